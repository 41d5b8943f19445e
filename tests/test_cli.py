"""The command line as a user types it: exit codes, one-sentence errors, help."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

COMMANDS = ["simulate", "fetch", "run", "generate", "evaluate", "release", "verify", "doctor"]


def ehrsynth(*arguments):
    command = [sys.executable, "-m", "ehrsynth.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "died": (rng.random(80) < 0.3).astype(int),
            "sex": rng.choice(["F", "M"], 80),
            "age": rng.integers(18, 90, 80).astype(float),
            "sepsis": (rng.random(80) < 0.2).astype(int),
        }
    )


def refused(tmp_path, result, *words):
    """Exit code 2, one sentence that names the thing, and nothing half-written."""
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    for word in words:
        assert word in last
    assert not list(tmp_path.rglob("*.part"))
    assert not list(tmp_path.rglob("report.html"))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command):
    result = ehrsynth(command, "--help")
    assert result.returncode == 0
    assert f"ehrsynth {command}" in result.stdout


def test_help_lists_every_command():
    result = ehrsynth("--help")
    for command in COMMANDS:
        assert command in result.stdout


def test_unknown_data_set(tmp_path):
    result = ehrsynth("run", "--dataset", "mimik", "--out", tmp_path / "x")
    refused(tmp_path, result, "'mimik'", "simulated", "diabetes130")
    assert not (tmp_path / "x").exists()


def test_unknown_profile(tmp_path):
    refused(tmp_path, ehrsynth("run", "--profile", "quick", "--out", tmp_path / "x"), "'quick'")


@pytest.mark.parametrize(("option", "value"), [("--runs", 0), ("--use-case", "art")])
def test_options_of_several_runs(tmp_path, option, value):
    result = ehrsynth("run", "--out", tmp_path / "x", option, value)
    refused(tmp_path, result, option.strip("-").replace("-", " "), str(value))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [("--code-level", "chapter"), ("--min-prevalence", 1.5), ("--outcome", "died"),
     ("--with", "notes")],
)  # fmt: skip
def test_options_of_the_patient_table(tmp_path, option, value):
    data = Path(__file__).parents[1] / "data" / "sample"
    result = ehrsynth(
        "run", "--dataset", "mimic-iv", "--data", data, "--out", tmp_path / "x", option, value
    )
    refused(tmp_path, result, str(value))
    assert not (tmp_path / "x").exists()


def test_missing_file(tmp_path):
    result = ehrsynth(
        "run", "--dataset", "table", "--data", tmp_path / "no.csv", "--outcome", "died",
        "--out", tmp_path / "x",
    )  # fmt: skip
    refused(tmp_path, result, "no.csv")


def test_folder_that_cannot_be_written(tmp_path, table):
    table.to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "file").write_text("not a folder")
    result = ehrsynth(
        "run", "--dataset", "table", "--data", tmp_path / "t.csv", "--outcome", "died",
        "--out", tmp_path / "file" / "x",
    )  # fmt: skip
    refused(tmp_path, result, "Cannot write", "file")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda t: t.assign(died=1), ["'died'", "exactly two"]),
        (lambda t: t.drop(columns="died"), ["'died'", "not in the table"]),
        (lambda t: t.iloc[:0], ["no rows"]),
        (lambda t: t.assign(note=[f"saw {i}" for i in range(80)]), ["'note'", "free text"]),
        (lambda t: t.assign(id=range(1000, 1080)), ["'id'", "identifier"]),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, table, spoil, words):
    spoil(table).to_csv(tmp_path / "t.csv", index=False)
    result = ehrsynth(
        "run", "--dataset", "table", "--data", tmp_path / "t.csv", "--outcome", "died",
        "--out", tmp_path / "x",
    )  # fmt: skip
    refused(tmp_path, result, *words)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda t: t[["age"]].rename(columns={"age": "years"}), ["s.csv", "no column"]),
        (lambda t: t.iloc[:0], ["s.csv", "no rows"]),
    ],
)  # fmt: skip
def test_evaluate_names_what_is_no_table_of_patients(tmp_path, table, spoil, words):
    for name, part in {"t": table[:40], "h": table[40:], "s": spoil(table[:40])}.items():
        part.to_csv(tmp_path / f"{name}.csv", index=False)
    result = ehrsynth(
        "evaluate", "--train", tmp_path / "t.csv", "--holdout", tmp_path / "h.csv",
        "--synthetic", tmp_path / "s.csv", "--outcome", "died", "--out", tmp_path / "x",
    )  # fmt: skip
    refused(tmp_path, result, *words)


def test_evaluate_any_generators_output(tmp_path, table):
    for name, part in {"t": table[:40], "h": table[40:], "s": table[:40]}.items():
        part.to_csv(tmp_path / f"{name}.csv", index=False)
    result = ehrsynth(
        "evaluate", "--train", tmp_path / "t.csv", "--holdout", tmp_path / "h.csv",
        "--synthetic", tmp_path / "s.csv", "--outcome", "died", "--out", tmp_path / "x",
        "--profile", "fast", "--exact",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert (
        json.loads((tmp_path / "x" / "metrics.json").read_text())["settings"]["profile"] == "exact"
    )
    metrics = json.loads((tmp_path / "x" / "metrics.json").read_text())["metrics"]
    copies = [m for m in metrics if "cop" in m["name"] and m["value"] is not None]
    assert copies, "no metric counts copies"
    assert all(m["value"] is not None or m["reason"] for m in metrics)
    assert "<html" in (tmp_path / "x" / "report.html").read_text()


def test_condition_of_the_wrong_form(tmp_path):
    result = ehrsynth(
        "generate", "--model", tmp_path, "--n", 5, "--out", tmp_path / "x.csv", "--where", "sex"
    )
    refused(tmp_path, result)
