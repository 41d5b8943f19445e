"""What users get wrong: each mistake is one sentence that names the culprit, and leaves no mess.

Every case is a name, a function that makes the mistake and returns the command line, and the words
that the sentence must have.
"""

import gzip
import json
import logging
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import schema_of
from toy import toy_patients

from ehrsynth import EMRWGAN, Preprocessor, cli
from ehrsynth.model import WEIGHTS

SAMPLE = Path(__file__).resolve().parents[1] / "data" / "sample" / "hosp"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The model folder of a very short training."""
    folder = tmp_path_factory.mktemp("run") / "model"
    train = toy_patients(80)
    prep = Preprocessor().fit(train)
    prep.save(folder)
    EMRWGAN(steps=1, seed=0).fit(prep.transform(train)).save(folder)
    return folder


class Folder:
    """A folder in which mistakes are made."""

    def __init__(self, path: Path, model: Path):
        self.path, self.trained = path, model
        self.out = path / "out"

    def run(self, dataset, data, *more):
        return ["run", "--dataset", dataset, "--data", data, "--profile", "fast",
                "--out", self.out, *more]  # fmt: skip

    # -- a hospital in MIMIC-IV's layout

    def hospital(self, file=None, change=lambda table: table, raw=None, gone=None):
        hosp = self.path / "hospital" / "hosp"
        hosp.mkdir(parents=True)
        for source in SAMPLE.glob("*.csv.gz"):
            shutil.copy(source, hosp)
        if file is not None:
            path = hosp / f"{file}.csv.gz"
            if gone:
                path.unlink()
            elif raw is not None:
                path.write_bytes(raw(path.read_bytes()))
            else:
                table = pd.read_csv(path, dtype=str, keep_default_na=False)
                change(table).to_csv(path, index=False)
        return self.run("mimic-iv", hosp.parent)

    def cell(self, file, column, value, row=2):
        def change(table):
            table.loc[row, column] = value
            return table

        return self.hospital(file, change)

    # -- a flat table

    def patients(self, n=80):
        rng = np.random.default_rng(0)
        return pd.DataFrame(
            {
                "died": np.where(rng.random(n) < 0.3, "yes", "no"),
                "sex": rng.choice(["F", "M"], n),
                "age": rng.integers(18, 90, n),
                "crp": rng.gamma(2, 10, n).round(1),
                "sepsis": rng.integers(0, 2, n),
            }
        )

    def table(self, change=lambda table: table, *more, outcome="died"):
        path = self.path / "t.csv"
        change(self.patients()).to_csv(path, index=False)
        return self.run("table", path, "--outcome", outcome, *more)

    def file(self, name, content, *more):
        path = self.path / name
        path.write_bytes(content)
        return self.run("table", path, "--outcome", "died", *more)

    def columns(self, content):
        path = self.path / "c.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return self.table(lambda t: t, "--columns", path)

    def rules(self, content):
        path = self.path / "r.yaml"
        path.write_text(content)
        return path

    # -- diabetes130

    def diabetes(self, change):
        source = os.environ.get("EHRSYNTH_SHARED_DATA")
        path = source and Path(source) / "diabetes130" / "diabetic_data.csv"
        if not path or not path.is_file():
            pytest.skip("the file of diabetes130 is not at hand")
        table = pd.read_csv(path, dtype=str, keep_default_na=False, nrows=60)
        change(table).to_csv(self.path / "diabetic_data.csv", index=False)
        return self.run("diabetes130", self.path)

    # -- a trained model, and tables to evaluate

    def generate(self, *more, spoil=lambda folder: None, n=5, out="s.csv"):
        folder = self.path / "model"
        shutil.copytree(self.trained, folder)
        spoil(folder)
        return ["generate", "--model", folder, "--n", n, "--out", self.out / out, *more]

    def evaluate(self, change=lambda table: table, *more, of="s", outcome="died"):
        for name in "ths":
            table = self.patients()
            (change(table) if name == of else table).to_csv(self.path / f"{name}.csv", index=False)
        given = ["evaluate", "--out", self.out, "--profile", "fast"]
        for name, option in zip("ths", ("--train", "--holdout", "--synthetic"), strict=True):
            given += [option, self.path / f"{name}.csv"]
        return [*given, *(["--outcome", outcome] if outcome else []), *more]

    def schema(self, change):
        table = self.patients()
        content = json.loads(schema_of(table, outcome="died").to_json())
        path = self.path / "schema.json"
        path.write_text(change if isinstance(change, str) else json.dumps(change(content)))
        return self.evaluate(lambda t: t, "--schema", path, outcome=None)

    def plain(self, *arguments):
        return [*arguments, "--out", self.out]


def at(table, column, value, row=4):
    table = table.astype({column: object})
    table.loc[row, column] = value
    return table


def say(content, column, **changes):
    for entry in content["columns"]:
        if entry["name"] == column:
            entry.update(changes)
    return content


FLAT = b"died,age\n" + b"yes,50\nno,60\n" * 30

CASES = {
    # MIMIC-IV's files
    "no folder": (lambda f: f.run("mimic-iv", f.path / "no"), ["no", "does not exist", "--data"]),
    "a file as folder": (lambda f: f.run("mimic-iv", Path(__file__)), ["is not a folder", "hosp"]),
    "mimic file missing": (lambda f: f.hospital("omr", gone=True), ["omr.csv.gz", "missing"]),
    "mimic column missing": (
        lambda f: f.hospital("patients", lambda t: t.drop(columns="gender")),
        ["'gender'", "patients.csv.gz"],
    ),
    "mimic truncated gzip": (
        lambda f: f.hospital("diagnoses_icd", raw=lambda b: b[: len(b) // 2]),
        ["diagnoses_icd.csv.gz"],
    ),
    "mimic no gzip at all": (
        lambda f: f.hospital("omr", raw=lambda b: b"subject_id\n1\n"), ["omr.csv.gz"],
    ),
    "mimic empty file": (lambda f: f.hospital("omr", raw=lambda b: b""), ["omr.csv.gz"]),
    "mimic empty gzip": (
        lambda f: f.hospital("omr", raw=lambda b: gzip.compress(b"")), ["omr.csv.gz"],
    ),
    "mimic header only": (
        lambda f: f.hospital("admissions", lambda t: t[:0]), ["admissions.csv.gz", "no rows"],
    ),
    "mimic wrong delimiter": (
        lambda f: f.hospital(
            "patients",
            raw=lambda b: gzip.compress(gzip.decompress(b).replace(b",", b";")),
        ),
        ["patients.csv.gz", "subject_id"],
    ),
    "mimic ragged row": (
        lambda f: f.hospital(
            "patients", raw=lambda b: gzip.compress(gzip.decompress(b) + b"1,2,3,4,5,6,7,8,9\n")
        ),
        ["patients.csv.gz"],
    ),
    "mimic BMI in words": (
        lambda f: f.hospital(
            "omr", lambda t: t.assign(result_value=t["result_value"].where(
                t["result_name"] != "BMI (kg/m2)", "normal"))
        ),
        ["BMI that is no number", "of omr", "correct the table"],
    ),
    "mimic nobody survives": (
        lambda f: f.hospital("admissions", lambda t: t.assign(hospital_expire_flag="1")),
        ["No patient is left"],
    ),
    # diabetes130
    "diabetes without its file": (
        lambda f: f.run("diabetes130", f.path), ["diabetic_data.csv", "missing", "fetch"],
    ),
    "diabetes column missing": (
        lambda f: f.diabetes(lambda t: t.drop(columns="diag_1")), ["'diag_1'", "diabetic_data.csv"],
    ),
    "diabetes unknown value": (
        lambda f: f.diabetes(lambda t: at(t, "readmitted", "soon")),
        ["'readmitted'", "another text", "row 5", "<30"],
    ),
    "diabetes text for a number": (
        lambda f: f.diabetes(lambda t: at(t, "num_medications", "many")),
        ["'num_medications'", "another text", "row 5"],
    ),
    "diabetes negative number": (
        lambda f: f.diabetes(lambda t: at(t, "time_in_hospital", "-3")),
        ["'time_in_hospital'", "another text", "row 5"],
    ),
    "diabetes encounter twice": (
        lambda f: f.diabetes(lambda t: pd.concat([t, t[:1]])),
        ["'encounter_id'", "diabetic_data.csv", "row 61"],
    ),
    "diabetes no rows": (lambda f: f.diabetes(lambda t: t[:0]), ["diabetic_data.csv", "no rows"]),
    # a flat table
    "table without file": (
        lambda f: ["run", "--dataset", "table", "--outcome", "died", "--out", f.out], ["--data"],
    ),
    "table without outcome": (lambda f: f.table()[:-2], ["--outcome"]),
    "table as a folder": (lambda f: f.run("table", f.path, "--outcome", "x"), ["is a folder"]),
    "table of an unknown kind": (lambda f: f.file("t.xlsx", b"PK"), ["t.xlsx", ".parquet"]),
    "table empty": (lambda f: f.file("t.csv", b""), ["t.csv"]),
    "table header only": (lambda f: f.file("t.csv", b"died,age\n"), ["t.csv", "no rows"]),
    "table truncated gzip": (
        lambda f: f.file("t.csv.gz", gzip.compress(FLAT)[:40]), ["t.csv.gz"],
    ),
    "table no Parquet": (lambda f: f.file("t.parquet", b"PAR1 no"), ["t.parquet"]),
    "table ragged row": (lambda f: f.file("t.csv", FLAT + b"yes,50,2,3\n"), ["t.csv", "62"]),
    "table names twice": (
        lambda f: f.file("t.csv", b"died,age,age\nyes,1,2\n"), ["'age'", "twice", "t.csv"],
    ),
    "table NUL bytes": (lambda f: f.file("t.csv", bytes(range(256)) * 9), ["t.csv"]),
    "table outcome in other case": (
        lambda f: f.table(outcome="Died"), ["'Died'", "did you mean 'died'"],
    ),
    "table outcome of one value": (
        lambda f: f.table(lambda t: t.assign(died="no")), ["'died'", "exactly two"],
    ),
    "table outcome of three": (
        lambda f: f.table(lambda t: at(t, "died", "maybe")), ["'died'", "no, yes; it needs"],
    ),
    "table outcome missing": (
        lambda f: f.table(lambda t: at(t, "died", None)), ["'died'", "row 5", "missing_rows"],
    ),
    "table text for a number": (
        lambda f: f.table(lambda t: at(t, "age", "old")), ["'age'", "another text", "row 5"],
    ),
    "table decimal comma": (
        lambda f: f.table(lambda t: at(t, "crp", "5,5")), ["'crp'", "another text", "row 5", "1.5"],
    ),
    "table two units": (
        lambda f: f.table(lambda t: t.assign(w=[f"{50 + i % 30} {'kg' if i % 9 else 'lb'}"
                                                for i in range(len(t))])),
        ["'w'", "kg", "lb", "row 1"],
    ),
    "table infinite": (
        lambda f: f.table(lambda t: at(t, "crp", "inf")), ["'crp'", "infinite", "row 5"],
    ),
    "table identifier": (
        lambda f: f.table(lambda t: t.assign(mrn=range(10**6, 10**6 + 80))),
        ["'mrn'", "identifier", "--columns"],
    ),
    "table free text": (
        lambda f: f.table(lambda t: t.assign(note=[f"saw {i}" for i in range(80)])),
        ["'note'", "free text", "--columns"],
    ),
    "table outcome only": (lambda f: f.table(lambda t: t[["died"]]), ["t.csv", "'died'"]),
    "columns file of broken JSON": (lambda f: f.columns("{"), ["c.json", "JSON"]),
    "columns file with a wrong name": (
        lambda f: f.columns({"aeg": {}}), ["c.json", "'aeg'", "'age'"],
    ),
    "columns file with a wrong key": (
        lambda f: f.columns({"age": {"kidn": "x"}}), ["c.json", "'kidn'", "'age'", "kind"],
    ),
    "columns file with a wrong value": (
        lambda f: f.columns({"age": {"kind": "x"}}), ["c.json", "'x'", "'age'", "continuous"],
    ),
    "columns file for MIMIC": (
        lambda f: [*f.hospital(), "--columns", f.path / "c.json"], ["mimic-iv", "--columns"],
    ),
    # what run is told
    "unknown data set": (lambda f: f.plain("run", "--dataset", "mimik"), ["'mimik'", "simulated"]),
    "unknown profile": (lambda f: f.plain("run", "--profile", "quick"), ["'quick'", "fast"]),
    "unknown recipe": (lambda f: f.plain("run", "--recipe", "best"), ["'best'", "modern"]),
    "no patients": (lambda f: f.plain("run", "--n", "0"), ["0", "1 or more"]),
    "negative seed": (lambda f: f.plain("run", "--seed", "-1"), ["seed", "-1", "0"]),
    "outcome of MIMIC": (
        lambda f: [*f.hospital(), "--outcome", "died"], ["'died'", "DIE_1y"],
    ),
    "data for the simulated": (
        lambda f: f.plain("run", "--data", f.path), ["simulated", "--data"],
    ),
    "simulate nobody": (lambda f: f.plain("simulate", "--patients", "0"), ["patients", "0"]),
    "simulate negative seed": (
        lambda f: f.plain("simulate", "--patients", "50", "--seed", "-1"), ["seed", "-1"],
    ),
    "fetch an unknown name": (lambda f: f.plain("fetch", "mimic"), ["'mimic'", "mimic-iv-demo"]),
    # a model folder
    "no model": (
        lambda f: ["generate", "--model", f.path, "--n", "5", "--out", f.out / "s.csv"],
        ["preprocessor.json", "does not exist"],
    ),
    "model without weights": (
        lambda f: f.generate(spoil=lambda m: (m / WEIGHTS).unlink()),
        [WEIGHTS],
    ),
    "corrupt weights": (
        lambda f: f.generate(spoil=lambda m: (m / WEIGHTS).write_bytes(b"x" * 99)),
        ["does not hold a saved model"],
    ),
    "pickled weights": (
        lambda f: f.generate(
            spoil=lambda m: (m / WEIGHTS).write_bytes(b"\x80\x04K\x01.")
        ),
        ["does not hold a saved model"],
    ),
    "broken preprocessor": (
        lambda f: f.generate(spoil=lambda m: (m / "preprocessor.json").write_text("{}")),
        ["preprocessor.json"],
    ),
    "preprocessor of wrong content": (
        lambda f: f.generate(spoil=lambda m: (m / "preprocessor.json").write_text("[1]")),
        ["preprocessor.json"],
    ),
    # the rules file
    "rules file of broken YAML": (
        lambda f: [*f.plain("run"), "--rules", f.rules("- [")], ["r.yaml", "YAML"],
    ),
    "rules file with an unknown kind": (
        lambda f: [*f.plain("run"), "--rules", f.rules("- below: {}")],
        ["r.yaml", "rule 1", "'below'", "above"],
    ),
    "rules file with an unknown column": (
        lambda f: [*f.table(), "--rules", f.rules("- between: {column: aeg, low: 1}")],
        ["r.yaml", "rule 1", "'aeg'", "'age'"],
    ),
    "rules file that is not there": (
        lambda f: f.generate("--rules", f.path / "no.json"), ["no.json", "does not exist"],
    ),
    "rules file with an unknown value": (
        lambda f: f.generate(
            "--rules", f.rules("- implies: {when: {sex: X}, then: {phe_5: 1}}")
        ),
        ["r.yaml", "rule 1", "'X'", "F, M"],
    ),
    "rules of the model broken": (
        lambda f: f.generate(spoil=lambda m: (m / "rules.json").write_text("{}")),
        ["rules.json", "list of rules"],
    ),
    # what generate is told
    "generate none": (lambda f: f.generate(n=0), ["0", "1 or more"]),
    "generate to an unknown kind": (lambda f: f.generate(out="s.xlsx"), ["s.xlsx", ".parquet"]),
    "generate negative seed": (lambda f: f.generate("--seed", "-2"), ["seed", "-2"]),
    "condition without a sign": (lambda f: f.generate("--where", "sex"), ["'sex'", "COLUMN=VALUE"]),
    "condition on no column": (lambda f: f.generate("--where", "gender=F"), ["'gender'"]),
    "condition on an unknown value": (lambda f: f.generate("--where", "sex=X"), ["'X'", "sex"]),
    # what evaluate is given
    "evaluate no file": (
        lambda f: [a if str(a) != str(f.path / "s.csv") else f.path / "no.csv"
                   for a in f.evaluate()], ["no.csv", "does not exist"],
    ),
    "evaluate a spoiled number": (
        lambda f: f.evaluate(lambda t: at(t, "age", "old"), of="t"),
        ["'age'", "another text", "row 5", "t.csv"],
    ),
    "evaluate other columns": (
        lambda f: f.evaluate(lambda t: t[["age"]].rename(columns={"age": "years"})),
        ["s.csv", "no column"],
    ),
    "evaluate no rows": (lambda f: f.evaluate(lambda t: t[:0]), ["s.csv", "no rows"]),
    "evaluate three rows": (lambda f: f.evaluate(lambda t: t[:3], of="t"), ["t.csv", "3 rows"]),
    "evaluate no outcome": (lambda f: f.evaluate(outcome="Died"), ["'Died'", "t.csv"]),
    "evaluate unknown profile": (
        lambda f: f.evaluate(lambda t: t, "--profile", "quick"), ["'quick'", "full"],
    ),
    "evaluate negative seed": (
        lambda f: f.evaluate(lambda t: t, "--seed", "-1"), ["seed", "-1"],
    ),
    "evaluate schema and outcome": (
        lambda f: [*f.schema(lambda s: s), "--outcome", "died"], ["--schema", "--outcome"],
    ),
    # schema.json
    "schema of broken JSON": (lambda f: f.schema("{"), ["schema.json", "JSON"]),
    "schema of other content": (lambda f: f.schema(lambda s: {"a": 1}), ["schema.json"]),
    "schema as a list": (lambda f: f.schema(lambda s: [1, 2]), ["schema.json"]),
    "schema with an unknown kind": (
        lambda f: f.schema(lambda s: say(s, "age", kind="number")), ["'age'", "'number'"],
    ),
    "schema with an unknown role": (
        lambda f: f.schema(lambda s: say(s, "age", role="target")), ["'age'", "'target'"],
    ),
    "schema with an unknown key": (
        lambda f: f.schema(lambda s: say(s, "age", units="y")), ["schema.json", "units"],
    ),
    "schema with bounds in words": (
        lambda f: f.schema(lambda s: say(s, "age", lower="young")), ["'age'", "'young'"],
    ),
    "schema with bounds reversed": (
        lambda f: f.schema(lambda s: say(s, "age", lower=90, upper=10)), ["'age'", "90", "10"],
    ),
    "schema that misses a category": (
        lambda f: f.schema(lambda s: say(s, "sex", categories=["F"])), ["'sex'", "'M'"],
    ),
}  # fmt: skip


def refused(capsys, arguments) -> str:
    """Run the command line as a user does; the sentence it ends with."""
    with pytest.raises(SystemExit) as stopped:
        sys.argv = ["ehrsynth", *map(str, arguments)]
        cli.main()
    shown = capsys.readouterr().err.strip()
    assert stopped.value.code == 2, shown
    assert "Traceback" not in shown
    last = shown.splitlines()[-1]
    assert last.startswith("Error: "), shown
    return last.removeprefix("Error: ")


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """The command line's log would hold on to a test's captured stream."""
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr("tqdm.std.tqdm.monitor_interval", 0)


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_sentence(name, tmp_path, capsys, model):
    make, words = CASES[name]
    folder = Folder(tmp_path, model)
    sentence = refused(capsys, make(folder))
    for word in words:
        assert word in sentence, sentence
    assert sentence.endswith(".") and ". " not in sentence, sentence
    assert not folder.out.exists() or not list(folder.out.rglob("*")), "something was left"
    assert not list(tmp_path.rglob("*.part"))


def test_folders_that_cannot_be_written(tmp_path, capsys, model):
    folder = Folder(tmp_path, model)
    (tmp_path / "file").write_text("not a folder")
    inside = tmp_path / "file" / "x"
    for arguments in (
        ["run", "--profile", "fast", "--out", inside],
        ["run", "--profile", "fast", "--out", tmp_path / "file"],
        ["simulate", "--patients", "50", "--out", inside],
        [*folder.generate()[:-1], inside / "s.csv"],
        [*folder.evaluate(), "--out", inside],
    ):
        sentence = refused(capsys, arguments)
        assert "file" in sentence and "rite" in sentence, sentence
    assert (tmp_path / "file").read_text() == "not a folder"


def test_there_are_as_many_as_promised():
    assert len(CASES) >= 40
