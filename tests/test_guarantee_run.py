"""A run with a guarantee: from the files that are read to the package that leaves."""

import json
import re
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
import pytest
from known_truth import population
from test_release import admit
from typer.testing import CliRunner

import ehrsynth
from ehrsynth.audit import audit
from ehrsynth.cli import app
from ehrsynth.errors import InputError
from ehrsynth.files import read_json, read_table
from ehrsynth.guarantee.budget import Budget
from ehrsynth.guarantee.declared import declared_table
from ehrsynth.guarantee.run import PrivatePipeline, _publicly
from ehrsynth.kinds import MISSING
from ehrsynth.phecode import definitions
from ehrsynth.pipeline import Pipeline
from ehrsynth.profiles import PROFILES, Profile
from ehrsynth.rare import Rare
from ehrsynth.release import MANIFEST, problems, release
from ehrsynth.schema import Schema

DESCRIBED = {
    "died": {"kind": "binary"}, "sex": {"kind": "categorical", "role": "demographic"},
    "age": {"kind": "continuous", "bounds": [18, 100], "decimals": 0},
    "platelets": {"kind": "continuous", "bounds": [0, 900000], "missing": ["-9"]},
    "smoker": {"kind": "binary"}, "note": {"drop": True},
}  # fmt: skip
CANARY = {"died": 1, "sex": "Zaphod", "age": 99, "platelets": 876543.21, "smoker": "yes"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A table with one patient whom everybody would recognize, and what its columns are."""
    rng, n = np.random.default_rng(0), 3000
    age = rng.integers(18, 90, n)
    table = pd.DataFrame({
        "died": (rng.random(n) < age / 200).astype(int), "sex": rng.choice(["F", "M"], n),
        "age": age, "platelets": rng.normal(250_000, 30_000, n).round(1),
        "smoker": rng.choice(["yes", "no"], n), "note": [f"note {i} of somebody" for i in range(n)],
    })  # fmt: skip
    table.loc[:99, "platelets"] = -9
    table.loc[n] = CANARY | {"note": "Zaphod was here"}
    folder = tmp_path_factory.mktemp("declared")
    table.to_csv(folder / "patients.csv", index=False)
    (folder / "columns.json").write_text(json.dumps(DESCRIBED))
    return folder


def start(files, out, **options) -> PrivatePipeline:
    options = {"epsilon": 3.0, "outcome": "died", "columns": files / "columns.json"} | options
    return PrivatePipeline(out, "table", files / "patients.csv", **options)


@pytest.fixture(scope="module")
def finished(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("private") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROFILES, "fast", Profile(500, 6_000, min_prevalence=0.01, steps=20))
        start(files, folder).run()
    return folder


def test_what_leaves_is_accounted_for_and_nothing_else(finished, tmp_path):
    names = release(finished, tmp_path / "out", with_model=True)
    assert set(names) == {
        "card.md", "schema.json", "guarantee.json", "synthetic.csv", "model/noisy_sums.json",
        "model/rules.json",
    }  # fmt: skip
    card = (tmp_path / "out" / "card.md").read_text()
    assert "epsilon 3 and delta 1e-06" in card and "What is neither" in card
    for figure in ("AUROC", "attack", "verdict"):  # what looks at real patients
        assert figure not in card
    assert problems(tmp_path / "out") == []
    assert "good" not in json.dumps(read_json(tmp_path / "out" / MANIFEST))
    everything = b"".join(p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file())
    # Not among the digits of another number: those of the noise hold any six now and then.
    for secret in (rb"Zaphod", rb"(?<!\d)876543(?!\d)", rb"note"):
        assert not re.search(secret, everything)
    noted = read_json(finished / "guarantee.json")
    assert noted["spent"] == pytest.approx(3.0) and len(noted["looks"]) == 2
    made = read_table(tmp_path / "out" / "synthetic.csv")
    assert len(made) == noted["patients"] and made["age"].between(18, 100).all()
    assert set(made["sex"]) == {"F", "M"}


def test_the_card_says_what_one_patient_is_and_what_an_empty_cell_is(finished):
    card = (finished / "guarantee.md").read_text()
    assert "for each row and not for the patient" in card and "counts as no." in card
    assert re.findall(r"is at most (\S+) times that without, plus 1e-06", card) == ["20.1"]


def test_no_text_calls_delta_the_chance_that_nothing_is_promised():
    """It is added to a probability: outcomes beyond the factor are others, and more frequent."""
    root, kinds = Path(ehrsynth.__file__).parents[1], (".md", ".ipynb", ".yml", ".py", ".toml")
    loose = re.compile(
        r"(chance|probability) (that )?the (promise|guarantee) (may|does|fails)"
        r"|but for a (tiny )?chance"
    )
    texts = [
        path for folder in ("book", "ehrsynth") for path in (root / folder).rglob("*.*")
        if path.suffix in kinds
    ]  # fmt: skip
    assert len(texts) > 150
    for path in texts:
        text = path.read_text(encoding="utf-8").lower().replace("\\n", " ")  # of a notebook
        assert not loose.search(" ".join(re.findall(r"\w+", text))), path.name


def test_the_card_says_how_exact_it_is_and_when_it_is_mostly_noise(finished, tmp_path):
    noted = read_json(finished / "guarantee.json")
    off = 200 * noted["looks"][0]["noise"] / noted["patients"]
    card = (finished / "guarantee.md").read_text()
    assert f"is off by up to {off:.2g} percentage points" in card and "Mostly noise" not in card
    release(finished, tmp_path / "out", recipient="Team 7")
    card = (tmp_path / "out" / "card.md").read_text()
    assert "Intended recipient**: Team 7\n" in card and card.rstrip().endswith("on**: not stated")
    assert problems(tmp_path / "out") == []
    budget = Budget(1.0)
    budget.look("margins", 6.0, 0.3)
    few = {"rows": 70, "columns": 9, "facts": {}, "patients": 70, "factor": 3, "spent": 1.0}
    template = (Path(ehrsynth.__file__).parent / "guarantee/card.md").read_text()
    card = jinja2.Environment(trim_blocks=True).from_string(template).render(budget=budget, **few)
    off = 200 * budget.looks[0].noise / 70
    said = f"what is said here of a share of the patients is off by up to {off:.0f} percentage"
    assert off > 100 and f"**Mostly noise**: {said}" in card
    assert card.startswith("# Data-set card\n") and "How exact" not in card


def test_what_is_for_networks_is_refused_in_a_sentence(finished, tmp_path):
    with pytest.raises(InputError, match="has a guarantee and no network"):
        audit(finished)
    command = ["generate", "--model", str(finished / "model"), "--n", "5"]
    said = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "a.csv")])
    assert "only ehrsynth run --epsilon" in str(said.exception)


def test_a_folder_holds_a_run_with_epsilon_or_one_without(finished, files, tmp_path):
    same = (files / "patients.csv", files / "columns.json")
    with pytest.raises(InputError, match="holds a run with epsilon .*, not None; choose"):
        Pipeline(finished, "table", same[0], outcome="died", columns=same[1])
    Pipeline(tmp_path / "run", "table", same[0], outcome="died", columns=same[1])
    with pytest.raises(InputError, match="holds a run with epsilon None, not .*; choose"):
        start(files, tmp_path / "run")


def test_a_declared_bound_may_be_the_value_of_one_patient(files, tmp_path):
    """What the columns file says is public, before anybody looks at the patients."""
    bounds = {"kind": "continuous", "bounds": [0, 876543.21], "missing": ["-9"]}
    (tmp_path / "columns.json").write_text(json.dumps(DESCRIBED | {"platelets": bounds}))
    run = start(files, tmp_path / "run", columns=tmp_path / "columns.json")
    run._finish("generation")
    rare = Rare.load(tmp_path / "run")
    assert rare.found_in(tmp_path / "run" / "schema.json") == []
    assert "876543.21" in (tmp_path / "run" / "schema.json").read_text()


def test_who_signs_is_written_down_and_nobody_has_to(finished, tmp_path):
    release(finished, tmp_path / "out", signed_by="A. Name")
    assert "**Signed**: A. Name" in (tmp_path / "out" / "card.md").read_text()


def test_a_secret_in_what_leaves_is_refused(finished, tmp_path):
    import shutil

    run = tmp_path / "run"
    shutil.copytree(finished, run)
    card = run / "guarantee.md"
    card.write_text(card.read_text() + "\n876543.21\n")
    admit(run, "guarantee.md")
    with pytest.raises(InputError, match="cannot be released"):
        release(run, tmp_path / "out")


def test_the_report_of_the_house_says_that_it_stays(finished):
    for name in ("card.md", "report.html"):
        text = (finished / name).read_text()
        assert "stays in the house" in text and "not covered by the guarantee" in text


def test_two_runs_never_have_the_same_noise(files, tmp_path):
    """With the seed the noise could be taken away again."""
    counts = []
    for name in ("one", "two"):
        run = start(files, tmp_path / name, seed=0)
        run._finish("generation")
        counts.append(read_json(tmp_path / name / "model" / "noisy_sums.json")["shares"])
        assert read_json(tmp_path / name / "guarantee.json")["spent"] == pytest.approx(3.0)
    assert counts[0] != counts[1]


def test_rows_are_those_asked_for(files, tmp_path):
    run = start(files, tmp_path / "run", n=17)
    run._finish("generation")
    assert len(run.synthetic) == 17


def test_what_a_spreadsheet_would_compute_is_escaped_unless_asked_for(files, tmp_path):
    table = pd.read_csv(files / "patients.csv").replace({"sex": {"M": "=HYPERLINK(A1)"}})
    table.to_csv(tmp_path / "patients.csv", index=False)
    for raw, written in ((False, "'=HYPERLINK(A1)"), (True, "=HYPERLINK(A1)")):
        run = PrivatePipeline(
            tmp_path / f"raw {raw}", "table", tmp_path / "patients.csv", epsilon=3.0, n=50,
            outcome="died", columns=files / "columns.json", raw=raw,
        )  # fmt: skip
        run._finish("generation")
        assert f",{written}," in (run.out / "synthetic.csv").read_text()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"epsilon": 0.0}, "epsilon is 0"),
        ({"epsilon": float("inf")}, "promises nothing"),
        ({"epsilon": 100_000.0}, "at most 10, since"),
        ({"delta": 0.5}, "far below one"),
        ({"delta": 2e-4}, "at most 0.0001"),
        ({"runs": 2}, "--runs"),
        ({"recipe": "paper"}, "--recipe"),
        ({"min_prevalence": 0.1}, "--min-prevalence"),
        ({"patient_id": "note"}, "--patient-id"),
    ],
)
def test_what_has_no_account_is_refused(files, tmp_path, options, says):
    with pytest.raises(InputError, match=says):
        start(files, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_source_that_learns_from_all_patients_is_refused(tmp_path):
    with pytest.raises(InputError, match="diabetes130"):
        PrivatePipeline(tmp_path / "run", "diabetes130", epsilon=1.0)
    with pytest.raises(InputError, match="DIE_1y or DIE_any"):
        PrivatePipeline(tmp_path / "run", "omop", tmp_path, epsilon=1.0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"age": {"kind": "continuous"}}, "'age' has no two bounds"),
        ({"age": {"kind": "continuous", "bounds": [0, None]}}, "'age' has no two bounds"),
        ({"age": {"kind": "date"}}, "'age' is a date"),
        ({"sex": {}}, "does not say the kind of sex"),
    ],
)
def test_what_is_not_said_is_asked_for(files, tmp_path, change, says):
    (tmp_path / "columns.json").write_text(json.dumps(DESCRIBED | change))
    with pytest.raises(InputError, match=says):
        declared_table(files / "patients.csv", tmp_path / "columns.json", "died", None)
    with pytest.raises(InputError, match="give a columns file"):
        declared_table(files / "patients.csv", None, "died", None)
    with pytest.raises(InputError, match="'dead' is no column"):
        declared_table(files / "patients.csv", files / "columns.json", "dead", None)


def test_each_patient_is_read_by_himself(files):
    """Whoever else is in the file, the same patient has the same values."""
    whole = declared_table(files / "patients.csv", files / "columns.json", "died", None)
    some = pd.read_csv(files / "patients.csv").iloc[[0, 7, 2000, 3000]]
    part = declared_table(_written(some, files), files / "columns.json", "died", None)
    alike = whole.iloc[[0, 7, 2000, 3000]].reset_index(drop=True)
    for name in whole:
        assert alike[name].astype(str).tolist() == part[name].astype(str).tolist()
    assert np.isnan(whole["platelets"][0]) and whole["smoker"].isin([0, 1]).all()
    assert whole["smoker"].sum() == (pd.read_csv(files / "patients.csv")["smoker"] == "yes").sum()


def _written(table, folder):
    table.to_csv(folder / "some.csv", index=False)
    return folder / "some.csv"


def test_the_columns_of_a_hospital_are_nobodys():
    """Who has which code, age or race does not decide what columns and categories there are."""
    patients = population(50)
    one, two = (_publicly(part, "phecode") for part in (patients.iloc[:20], patients))
    assert Schema.of(one).to_json() == Schema.of(two).to_json()
    schema = Schema.of(one)
    assert len(schema.names) >= len(definitions("phecode"))
    assert schema["age"].lower == 0 and MISSING in schema["sex"].categories


def test_command_line(files, tmp_path):
    runner = CliRunner()
    said = runner.invoke(app, ["run", "--out", str(tmp_path / "a"), "--delta", "1e-6"])
    assert isinstance(said.exception, InputError) and "--epsilon" in str(said.exception)
    options = ["--dataset", "table", "--data", str(files / "patients.csv"), "--outcome", "died"]
    said = runner.invoke(app, ["run", "--out", str(tmp_path / "b"), *options, "--epsilon", "1"])
    assert "columns file" in str(said.exception)
    assert Budget(1.0).delta < 1 / 3000
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("kind", ["float32", "float16", "dictionary"])
def test_no_patient_decides_how_the_numbers_of_others_are_read(tmp_path, kind):
    """Not by the decimals of a Parquet file's short numbers either."""
    (tmp_path / "columns.json").write_text(
        json.dumps({"lab": {"kind": "continuous", "bounds": [0, 100]}})
    )
    read = []
    for other in (0.5, 0.12345679):
        lab = pd.Series(
            [9.3, 41.25, 0.1, np.nan, other] * 2, dtype=kind.replace("dictionary", "f4")
        )
        lab = lab.astype("category") if kind == "dictionary" else lab
        pd.DataFrame({"lab": lab, "died": [0, 1] * 5}).to_parquet(tmp_path / "a.parquet")
        table = declared_table(tmp_path / "a.parquet", tmp_path / "columns.json", "died", None)
        read.append(table["lab"][:4].tolist())
    assert read[0][:3] == read[1][:3] == [9.3, 41.25, 0.1] or kind == "float16"
    np.testing.assert_array_equal(read[0], read[1])


def test_no_patient_decides_on_encoding_delimiter_or_numbers(tmp_path):
    columns = {"a;b": {"kind": "categorical"}, "c": {"kind": "continuous", "bounds": [0, 1e20]}}
    columns |= {"(file)": {"encoding": "cp1252"}}
    (tmp_path / "columns.json").write_text(json.dumps(columns))
    read = []
    for last in ("x,1,1", 'x;"y",-1,1', "\xe9,18446744073709551615,0"):
        rows = ["a;b,c,died", "\xc3\xa9,9007199254740993,0", "x,0.1,1", last]
        (tmp_path / "a.csv").write_bytes("\n".join(rows).encode("cp1252"))
        table = declared_table(tmp_path / "a.csv", tmp_path / "columns.json", "died", None)
        read.append(table.iloc[:2].astype(str).to_numpy().tolist())
    assert read[0] == read[1] == read[2] and read[0][0][0] == "\xc3\xa9"


@pytest.mark.parametrize("yes", ["1", "1.0", "True", "true", "yes"])
@pytest.mark.parametrize("no", ["0", "0.0", "False", "", "no"])
def test_yes_and_no_are_read_however_they_are_written(tmp_path, yes, no):
    (tmp_path / "columns.json").write_text(json.dumps({"ill": {"kind": "binary"}}))
    (tmp_path / "a.csv").write_text(f"ill,died\n{yes},{yes}\n{no},{no or 0}\n")
    for positive in (None, yes):
        table = declared_table(tmp_path / "a.csv", tmp_path / "columns.json", "died", positive)
        assert table["ill"].tolist() == table["died"].tolist() == [1, 0]
