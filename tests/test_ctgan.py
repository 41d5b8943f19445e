"""The book's example of another generator, CTGAN, run as it stands there, if it is installed."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from known_truth import population

from ehrsynth import cli

PAGE = Path(__file__).resolve().parents[1] / "book" / "command-line.md"


def example() -> str:
    """The Python of the page that makes synthetic.csv with CTGAN."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    (found,) = [block for block in blocks if "from ctgan import" in block]
    return found


def test_example_writes_the_file_that_the_command_reads():
    code = example()
    compile(code, str(PAGE), "exec")
    assert 'read_csv("train.csv")' in code and 'to_csv("synthetic.csv", index=False)' in code
    assert "--synthetic synthetic.csv" in PAGE.read_text(encoding="utf-8")


def test_ctgans_output_is_evaluated(tmp_path, monkeypatch):
    pytest.importorskip("ctgan")
    monkeypatch.chdir(tmp_path)
    for name, n, seed in (("train", 300, 1), ("holdout", 150, 2)):
        table = population(n, 10, seed=seed).dropna(axis="columns")
        pd.DataFrame(table).to_csv(f"{name}.csv", index=False)
    exec(example().replace("epochs=300", "epochs=1"), {})
    paths = {name: Path(f"{name}.csv") for name in ("train", "holdout", "synthetic")}
    cli.evaluate(**paths, out=Path("report"), outcome="DIE_1y", profile="fast")
    metrics = json.loads(Path("report/metrics.json").read_text())
    assert metrics["rows"] == {"train": 300, "holdout": 150, "synthetic": 300}
    values = {m["name"]: m["value"] for m in metrics["metrics"] if m["form"] == "corrected"}
    assert values["classifier_two_sample_test"] > 0.6  # one epoch has learned next to nothing
    assert Path("report/report.html").is_file() and Path("report/card.md").is_file()
