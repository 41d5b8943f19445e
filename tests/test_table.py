"""Other people's flat tables."""

import numpy as np
import pandas as pd
import pytest

from ehrsynth import datasets
from ehrsynth.cohort import build_patients, split
from ehrsynth.errors import InputError
from ehrsynth.schema import MISSING, Schema


@pytest.fixture(scope="module")
def patients():
    """A table as a colleague might send it."""
    rng = np.random.default_rng(0)
    n = 300
    return pd.DataFrame(
        {
            "died": np.where(rng.random(n) < 0.2, "yes", "no"),
            "Gender": rng.choice(["female", "Male"], n),
            "age": rng.integers(18, 90, n),
            "crp": np.where(rng.random(n) < 0.3, np.nan, rng.gamma(2, 10, n).round(1)),
            "ward": rng.choice(["A", "B", "None"], n),
            "stage": rng.choice([1, 2, 3], n),
            "diabetes": rng.integers(0, 2, n),
            "smoker": rng.choice(["Y", "N", ""], n),
        }
    )


def write(table, path):
    if path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("name", ["p.csv", "p.csv.gz", "p.parquet", "P.CSV"])
def test_any_of_the_formats(patients, tmp_path, name):
    table = patients.replace({"smoker": {"": None}}) if name == "p.parquet" else patients
    tables = datasets.load("table", data=write(table, tmp_path / name), outcome="died")
    result = build_patients(tables)
    schema = Schema.of(result)
    assert list(result.columns) == schema.names == list(patients.columns)
    assert schema.outcome == "died" and schema["died"].categories == ("no", "yes")
    assert schema.sex == "Gender" and schema["Gender"].categories == ("F", "M")
    assert schema["age"].role == "demographic"
    assert schema["ward"].categories == ("A", "B", "None")  # a word, not a missing value
    assert schema["smoker"].categories == ("N", "Y", MISSING)
    assert schema["crp"].kind == "continuous" and result["crp"].isna().any()
    assert schema["diabetes"].kind == "binary"
    train, holdout = split(result, seed=0)
    assert Schema.of(train) == Schema.of(holdout) == schema
    assert datasets.describe(tables)["patients"] == 300


def spoil(column, value, row=4):
    def change(table):
        table = table.astype({column: object})
        table.loc[row, column] = value
        return table

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (spoil("age", "unknown"), "'age' should hold numbers but has 'unknown' in row 5"),
        (spoil("crp", "<5"), "'crp' should hold numbers but has '<5' in row 5"),
        (spoil("died", "maybe"), "'died' has 3 different values"),
        (spoil("died", None), "'died' has missing values"),
        (lambda t: t.assign(died="no"), "'died' has 1 different value"),
        (lambda t: t.drop(columns="died"), "'died' is not in the table"),
        (lambda t: t.assign(mrn=range(len(t))), "'mrn' is different in every row"),
        (lambda t: t.assign(note=[f"saw {i}" for i in range(len(t))]), "'note' has 300 different"),
        (lambda t: t.assign(day=pd.date_range("2020-01-01", periods=len(t))), "'day' holds dates"),
        (lambda t: t.assign(empty=None), "'empty' has no values at all"),
        (lambda t: t.iloc[:0], "has no rows"),
    ],
)
@pytest.mark.parametrize("name", ["p.csv", "p.parquet"])
def test_what_cannot_be_used_is_named(patients, tmp_path, change, reason, name):
    table = change(patients)
    if name == "p.parquet":  # a column of numbers and text cannot be written as it is
        for column in ("age", "crp"):
            if table[column].dtype == object:
                text = [None if pd.isna(value) else str(value) for value in table[column]]
                table = table.assign(**{column: text})
    path = write(table, tmp_path / name)
    with pytest.raises(InputError, match=reason):
        datasets.load("table", data=path, outcome="died")


def test_equal_column_names_are_refused(patients, tmp_path):
    path = tmp_path / "p.csv"
    patients.rename(columns={"crp": "age"}).to_csv(path, index=False)
    with pytest.raises(InputError, match="'age' appears twice in .*p.csv"):
        datasets.load("table", data=path, outcome="died")


def test_without_outcome_or_file(tmp_path):
    with pytest.raises(InputError, match="needs an outcome; name the column with --outcome"):
        datasets.load("table", data=tmp_path)
    with pytest.raises(InputError, match="Data set table needs a file"):
        datasets.load("table", outcome="x")
    with pytest.raises(InputError, match="is a folder; give the CSV or Parquet file"):
        datasets.load("table", data=tmp_path, outcome="x")
    (tmp_path / "p.xlsx").write_bytes(b"PK")
    with pytest.raises(InputError, match="p.xlsx has an unknown ending; use one of .parquet"):
        datasets.load("table", data=tmp_path / "p.xlsx", outcome="x")
    (tmp_path / "p.csv").write_bytes(b"")
    with pytest.raises(InputError, match="p.csv cannot be read as .csv"):
        datasets.load("table", data=tmp_path / "p.csv", outcome="x")


def test_the_outcome_is_the_one_it_was_read_with(patients, tmp_path):
    tables = datasets.load("table", data=write(patients, tmp_path / "p.csv"), outcome="died")
    assert Schema.of(build_patients(tables, outcome="died")).outcome == "died"
    with pytest.raises(InputError, match="read with outcome 'died', not 'diabetes'"):
        build_patients(tables, outcome="diabetes")
