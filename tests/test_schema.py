"""What columns are: inferred, written down, checked."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ehrsynth.errors import InputError
from ehrsynth.schema import MISSING, Column, Schema


def infer(values, name="x", **options):
    return Schema.infer(pd.DataFrame({name: values}), **options)[name]


# -- inference ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [[0, 1, 1], [0.0, 1.0, 0.0], [True, False, True], np.array([1, 0, 0], "uint8"),
     pd.array([1, 0, 1], "Int64"), pd.array([True, False, True], "boolean"), [0, 0, 0]],
)  # fmt: skip
def test_binary(values):
    assert infer(values).kind == "binary"


@pytest.mark.parametrize(
    ("values", "categories"),
    [
        (["b", "a", "b"], ("a", "b")),
        (["b", None, "a"], ("a", "b", MISSING)),
        ([1, 2, 2], ("1", "2")),
        ([1.0, np.nan, 0.0], ("0", "1", MISSING)),
        ([10, 2, 2], ("2", "10")),
        ([2.5, 1.5, 2.5], ("1.5", "2.5")),
        ([7, 7, 7], ("7",)),
        (["10", "9", "10"], ("9", "10")),
        ([True, None, False], ("0", "1", MISSING)),
        (pd.array([True, None, False], "boolean"), ("0", "1", MISSING)),
        (pd.Categorical(["hi", "lo", "hi"], ["lo", "mid", "hi"]), ("lo", "hi")),
        (pd.Categorical(["b", None, "a"], ["b", "a"]), ("b", "a", MISSING)),
        (["a", MISSING, None], (MISSING, "a")),
    ],
)
def test_categorical(values, categories):
    column = infer(values)
    assert (column.kind, column.categories) == ("categorical", categories)


@pytest.mark.parametrize(
    ("values", "decimals"),
    [
        ([1, 2, 3], 0),
        ([0, 1, 2], 0),
        ([1.0, 2.0, np.nan, 4.0], 0),
        ([1.5, 2.25, 3.0], 2),
        ([0.1, 0.2, 0.3], 1),
        ([1 / 3, 2 / 3, 1], None),
        (pd.array([1, None, 3, 5], "Int64"), 0),
        (np.array([1, 2, 200], "uint8"), 0),
    ],
)
def test_continuous(values, decimals):
    column = infer(values)
    assert (column.kind, column.decimals) == ("continuous", decimals)
    # What was seen is not what is plausible, and a holdout patient may have been seen.
    assert column.lower is column.upper is None


def test_demographic_columns_by_name():
    table = pd.DataFrame({"Age": [3, 40, 70], "sex": ["F", "M", "F"], "ethnicity": ["a", "b", "a"],
                          "dosage": [1, 2, 3]})  # fmt: skip
    schema = Schema.infer(table)
    assert schema.of_role("demographic") == ["Age", "sex", "ethnicity"]
    assert schema.sex == "sex"


@pytest.mark.parametrize(
    ("values", "level_of_one"),
    [([0, 1, 1], 1), (["yes", "no", "yes"], "yes"), ([1, 2, 2], 2), ([True, False, True], True),
     ([2, 10, 2], 10), ([1.0, 2.0, 1.0], 2)],
)  # fmt: skip
def test_outcomes(values, level_of_one):
    table = pd.DataFrame({"y": values})
    schema = Schema.infer(table, outcome="y")
    assert schema.outcome == "y"
    ones = schema.outcome_values(schema.cast(table))
    assert ones.tolist() == [int(value == level_of_one) for value in values]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (["a"] * 5, "has 1 different value, such as a; it needs exactly two"),
        ([1, 1], "has 1 different value; it needs"),
        (["Zaphod", *["no", "yes"] * 5], "has 3 different values, such as no, yes; it needs"),
        (list(range(100)), "has 100 different values"),
        ([0, 1, None], "has missing values; remove those rows"),
        ([None, None], "has missing values"),
    ],
)
def test_an_outcome_that_cannot_be_used(values, reason):
    with pytest.raises(InputError, match=f"Outcome column 'y' {reason}"):
        Schema.infer(pd.DataFrame({"y": values}), outcome="y")


def test_an_outcome_that_is_not_there():
    with pytest.raises(InputError, match="Outcome column 'died' is not in the table; .* are x"):
        Schema.infer(pd.DataFrame({"x": [1]}), outcome="died")


NUMBERS = [str(i) for i in range(50)]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([None, None], "has no values at all"),
        (pd.to_datetime(["2020-01-01", "2020-01-02"]), "holds dates"),
        ([pd.Timestamp("2020-01-01").date()] * 2, "holds dates"),
        ([f"2020-01-{d:02}" for d in range(1, 32)] + [f"2020-03-{d:02}" for d in range(1, 32)],
         "holds dates"),
        ([f"{d}/{m}/2020" for d in range(1, 29) for m in (1, 2, 3)], "holds dates"),
        (list(range(1000, 1060)), "is different in every row, like an identifier"),
        ([f"p{i}" for i in range(60)], "has 60 different texts, for example 'p0'"),
        ([f"note {i}" for i in range(70)] * 2, "has 70 different texts"),
        ([*NUMBERS, "abc"], "should hold numbers but has another text in row 51"),
        ([*NUMBERS, *["abc"] * 5], "should hold numbers but has 'abc' in row 51"),
        (["x", *NUMBERS, None], "should hold numbers but has another text in row 1"),
        ([1.0, 2.0, np.inf, 3.0], "has an infinite value in row 3"),
    ],
)  # fmt: skip
def test_columns_that_are_refused(values, reason):
    with pytest.raises(InputError, match=f"^Column 'x' {reason}"):
        infer(values)


def test_a_few_numbers_among_texts_are_categories():
    assert infer(["1", "2", "3", "4+"]).categories == ("1", "2", "3", "4+")


def test_tables_that_are_refused():
    with pytest.raises(InputError, match="no rows or no columns"):
        Schema.infer(pd.DataFrame({"x": []}))
    with pytest.raises(InputError, match="'x' appears twice"):
        Schema.infer(pd.DataFrame([[1, 2]], columns=["x", "x"]))


cells = st.one_of(st.none(), st.sampled_from(["a", "b", "10", "9", MISSING, "None"]))
numbers = st.one_of(st.none(), st.floats(-1e6, 1e6, width=32), st.sampled_from([0.0, 1.0]))


@settings(max_examples=150, deadline=None)
@given(st.lists(cells, min_size=1, max_size=30), st.lists(numbers, min_size=30, max_size=30))
def test_what_is_inferred_fits_the_table_it_came_from(texts, values):
    columns = {"t": texts, "n": values[: len(texts)], "b": [v == 1.0 for v in values[: len(texts)]]}
    table = pd.DataFrame(columns)
    table = table.loc[:, table.notna().any()]
    schema = Schema.infer(table)
    cast = schema.cast(table)
    assert Schema.of(cast) == schema == Schema.from_json(schema.to_json())
    pd.testing.assert_frame_equal(schema.cast(cast), cast)  # a second time changes nothing
    for column in schema.columns:
        if column.kind == "categorical":
            assert set(cast[column.name].cat.categories) == set(column.categories)
            assert cast[column.name].notna().all()
        if column.kind == "continuous":
            assert cast[column.name].isna().equals(table[column.name].isna())


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
            r"'sex' of f.csv has the value 'X', which is not one of its .*\(F, M",
        ),
        ({"sex": ["F", None]}, "'sex' of f.csv has a missing value, which is not one of"),
        ({"age": [50, "old"]}, "'age' of f.csv should hold numbers but has another text in row 2"),
        ({"age": [np.inf, 2]}, "'age' of f.csv has an infinite value in row 1"),
        ({"y": [0, 2]}, "'y' of f.csv should be 0 or 1 but has 2 in row 2"),
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
