"""What columns are: inferred, written down, checked."""

import json

import numpy as np
import pandas as pd
import pytest

from ehrsynth.errors import InputError
from ehrsynth.schema import MISSING, Column, Schema

# -- cast --------------------------------------------------------------------------------

SCHEMA = Schema(
    (
        Column("y", "binary", "outcome"),
        Column("sex", "categorical", "demographic", categories=("F", "M")),
        Column("smoker", "categorical", categories=("0", "1", MISSING)),
        Column("age", "continuous", unit="years", lower=0, upper=120, decimals=0),
    )
)


def table(**changes):
    columns = {"y": [0, 1], "sex": ["F", "M"], "smoker": [1.0, None], "age": [50, None]}
    return pd.DataFrame(columns | changes)


def test_cast_gives_proper_types():
    cast = SCHEMA.cast(table(extra=[1, 2])[["age", "extra", "smoker", "sex", "y"]])
    assert list(cast.columns) == SCHEMA.names
    assert cast["y"].dtype == "uint8" and cast["age"].dtype == "float64"
    assert cast["smoker"].tolist() == ["1", MISSING]
    assert Schema.of(cast) == SCHEMA


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"sex": ["F", "X"]},
            r"'sex' of f.csv has another text in row 2, which is not one of its .*\(F, M",
        ),
        ({"sex": ["F", None]}, "'sex' of f.csv has a missing value in row 2, which is not one of"),
        ({"age": [50, "old"]}, "'age' of f.csv should hold numbers but has another text in row 2"),
        ({"age": [np.inf, 2]}, "'age' of f.csv has an infinite value in row 1"),
        ({"y": [0, 2]}, "'y' of f.csv should be 0 or 1 but has another number in row 2"),
        ({"y": [None, 1]}, "'y' of f.csv should be 0 or 1 but has no value in row 1"),
    ],
)
def test_cast_names_what_does_not_fit(changes, reason):
    with pytest.raises(InputError, match=f"^Column {reason}"):
        SCHEMA.cast(table(**changes), where="f.csv")


def test_cast_names_a_missing_column():
    with pytest.raises(InputError, match="Column 'sex' is missing from f.csv"):
        SCHEMA.cast(table().drop(columns="sex"), where="f.csv")


# -- lookups, copies, files --------------------------------------------------------------


def test_lookups():
    assert SCHEMA.of_kind("binary", "continuous") == ["y", "age"]
    assert SCHEMA["age"].title == "age (years)"
    assert "age" in SCHEMA and "weight" not in SCHEMA
    assert SCHEMA.select(["age", "y"]).names == ["y", "age"]
    with pytest.raises(InputError, match="There is no column 'weight'; the columns are y, sex"):
        SCHEMA["weight"]
    assert SCHEMA.to_frame().shape == (4, 4)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ([Column("a", "binary"), Column("a", "binary")], "'a' appears twice"),
        ([Column("a", "binary", "outcome"), Column("b", "binary", "outcome")], "Only one column"),
    ],
)
def test_schemas_that_are_refused(columns, reason):
    with pytest.raises(InputError, match=reason):
        Schema(tuple(columns))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(("a", "text"), "kind 'text'"), (("a", "binary", "label"), "role 'label'")],
)
def test_columns_that_are_wrong(arguments, reason):
    with pytest.raises(InputError, match=reason):
        Column(*arguments)


def test_the_schema_travels_with_the_table(tmp_path):
    cast = SCHEMA.cast(table())
    assert Schema.of(cast[cast["age"] > 1].copy()) == SCHEMA
    assert Schema.of(cast.drop(columns="sex")).names == ["y", "smoker", "age"]
    cast.to_parquet(tmp_path / "t.parquet")
    assert Schema.of(pd.read_parquet(tmp_path / "t.parquet")) == SCHEMA


def test_saved_and_loaded(tmp_path):
    path = tmp_path / "schema.json"
    SCHEMA.save(path)
    assert Schema.load(path) == SCHEMA
    path.write_text(json.dumps({"columns": [{"name": "a"}]}))
    with pytest.raises(InputError, match="schema.json is not a schema"):
        Schema.load(path)
    path.write_text("{")
    with pytest.raises(InputError, match="schema.json is not readable JSON"):
        Schema.load(path)
