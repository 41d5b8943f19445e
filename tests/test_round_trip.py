"""Any table makes the round trip: what comes back is close to what went in, and within bounds."""

import numpy as np
import pandas as pd
import pytest
from conftest import described
from hypothesis import given, settings
from hypothesis import strategies as st

from ehrsynth.errors import InputError
from ehrsynth.preprocessing.encode import Preprocessor
from ehrsynth.schema import MISSING, Column, Schema

TINY, HUGE = 5e-324, 1e100
numbers = st.one_of(
    st.integers(-5, 5).map(float),
    st.integers(-(2**53), 2**53).map(float),
    st.floats(-1e6, 1e6),
    st.floats(-HUGE, HUGE),
    st.sampled_from([0.0, -0.0, TINY, -TINY, 2.2e-308, HUGE, -HUGE, 1e-300, 0.1 + 0.2]),
)
texts = st.text(min_size=1, max_size=8)
CATEGORIES = ("a", " ", "=", "é\n", "[x)", "0", "1.0", "nan", "None", '"', MISSING)


@st.composite
def tables(draw):
    """A table of every kind of column, with a schema."""
    n = draw(st.integers(1, 40))

    def column(values):
        return draw(st.lists(values, min_size=n, max_size=n))

    names = draw(st.lists(texts, min_size=5, max_size=5, unique=True))
    categories = tuple(dict.fromkeys([*CATEGORIES, *draw(st.lists(texts, max_size=4))]))
    few = draw(st.lists(numbers, min_size=1, max_size=3))
    measured = [v if v is not None else np.nan for v in column(st.one_of(st.none(), numbers))]
    decimals = draw(st.sampled_from([None, 0, 1, 3]))
    if decimals is not None:
        measured = [np.round(v, decimals) if abs(v) < 1e12 else float(int(v)) if v == v else v
                    for v in measured]  # fmt: skip
    present = [v for v in measured if v == v]
    bounded = draw(st.booleans()) and present
    schema = Schema(
        (
            Column(names[0], "binary", "outcome"),
            Column(names[1], "categorical", categories=categories),
            Column(names[2], "continuous", decimals=decimals,
                   lower=min(present) if bounded else None,
                   upper=max(present) if bounded else None),
            Column(names[3], "continuous"),
            Column(names[4], "continuous"),
        )
    )  # fmt: skip
    values = (
        column(st.booleans()), column(st.sampled_from(categories)), measured,
        column(st.sampled_from(few)), [draw(numbers)] * n,
    )  # fmt: skip
    table = pd.DataFrame(dict(zip(names, values, strict=True)))
    return schema.cast(table)


def exact(table, back, schema):
    """Yes/no and categories come back as they were."""
    for name in schema.of_kind("binary", "categorical"):
        assert back[name].tolist() == table[name].tolist()
    assert list(back.columns) == list(table.columns)
    for name in schema.of_kind("continuous"):
        column, values = schema[name], back[name].dropna()
        assert np.isfinite(values).all()
        observed = table[name].dropna()
        if len(observed):
            assert values.between(observed.min(), observed.max()).all()
        if column.lower is not None:
            assert values.between(column.lower, column.upper).all()


@settings(max_examples=100, deadline=None)
@given(tables(), st.integers(0, 99))
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_bins_give_back_the_bin_and_what_is_missing(table, seed):
    schema = Schema.of(table)
    prep = Preprocessor(least_patients=1).fit(table)
    encoded = prep.transform(table)
    assert set(np.unique(encoded.values)) <= {0, 1}
    back = prep.inverse_transform(encoded, seed=seed)
    exact(table[back.columns], back, prep.schema_)
    for name in schema.of_kind("continuous"):
        before, after = table[name].to_numpy(), back[name].to_numpy()
        assert np.array_equal(np.isnan(before), np.isnan(after))
        # The tolerance is the bin: the range of the train values that share it.
        codes = encoded[name].argmax(axis=1)
        for code in np.unique(codes[~np.isnan(before)]):
            same = codes == code
            assert after[same].min() >= before[same].min()
            assert after[same].max() <= before[same].max()


@settings(max_examples=100, deadline=None)
@given(tables())
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_minmax_gives_back_the_number(table):
    schema = Schema.of(table)
    empty = [n for n in schema.of_kind("continuous") if table[n].isna().all()]
    prep = Preprocessor.for_recipe("paper", least_patients=1)
    if empty:
        with pytest.raises(InputError, match="measured in train"):
            prep.fit(table)
        return
    prep.fit(table)
    encoded = prep.transform(table)
    assert ((encoded.values >= 0) & (encoded.values <= 1)).all()
    back = prep.inverse_transform(encoded)
    exact(table[back.columns], back, prep.schema_)
    for name in schema.of_kind("continuous"):
        before, after = table[name].to_numpy(), back[name].to_numpy()
        assert not np.isnan(after).any()
        known = ~np.isnan(before)
        span = np.ptp(before[known])
        size = np.abs(before[known]).max()
        # The matrix holds 32-bit numbers.
        unit = 0.5 * 10.0 ** -schema[name].decimals if schema[name].decimals is not None else 0
        allowed = 1e-6 * span + 1e-15 * size + unit * 1.01
        assert (np.abs(after[known] - before[known]) <= allowed).all()


@settings(max_examples=60, deadline=None)
@given(tables(), tables(), st.sampled_from(["modern", "paper"]))
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_other_patients_stay_within_what_train_has(train, other, recipe):
    schema = Schema.of(train)
    names = dict(zip(other.columns, train.columns, strict=True))
    other = pd.DataFrame({names[n]: other[n].to_numpy() for n in other.columns})
    category = schema.of_kind("categorical")[0]
    known = schema[category].categories
    other[category] = [v if v in known else known[0] for v in other[category]]
    try:
        prep = Preprocessor.for_recipe(recipe).fit(train)
    except InputError as error:
        assert "measured in train" in str(error)
        return
    back = prep.inverse_transform(prep.transform(other))
    for name in prep.schema_.of_kind("continuous"):
        observed, values = train[name].dropna(), back[name].dropna()
        assert len(values) == 0 or values.between(observed.min(), observed.max()).all()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.text(max_size=5), st.integers(), st.floats(), st.booleans()),
             min_size=1, max_size=70),
    st.integers(0, 9),
)  # fmt: skip
def test_a_table_that_nobody_described_makes_the_trip_or_is_refused_in_a_sentence(values, seed):
    table = pd.DataFrame(
        {
            "x": pd.Series(values, dtype=object),
            "y": [i % 2 for i in range(len(values))],
            "z": [i % 3 for i in range(len(values))],
        }
    )
    if len(values) < 2:
        return
    try:
        cast = described(table, "y")
        schema = Schema.of(cast)
    except InputError as error:
        assert str(error).endswith(".") and "'x'" in str(error)
        return
    prep = Preprocessor(min_prevalence=0, least_patients=1).fit(cast)
    back = prep.inverse_transform(prep.transform(cast), seed=seed)
    exact(cast[back.columns], back, prep.schema_)
    if "x" in schema and schema["x"].kind == "continuous":
        assert back["x"].isna().tolist() == cast["x"].isna().tolist()


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_value_is_refused(value):
    schema = Schema((Column("x", "continuous"),))
    table = pd.DataFrame({"x": [1.0, value]})
    with pytest.raises(InputError, match="'x' .*infinite value in row 2"):
        Preprocessor().fit(table, schema)
    prep = Preprocessor(least_patients=1).fit(pd.DataFrame({"x": [1.0, 2.0]}), schema)
    with pytest.raises(InputError, match="infinite value in row 2"):
        prep.transform(table)


def test_measured_in_holdout_only_counts_as_not_measured():
    schema = Schema((Column("x", "continuous"), Column("y", "binary", "outcome")))
    prep = Preprocessor(least_patients=1).fit(
        pd.DataFrame({"x": [np.nan] * 3, "y": [0, 1, 0]}), schema
    )
    back = prep.inverse_transform(prep.transform(pd.DataFrame({"x": [5.0], "y": [1]})))
    assert np.isnan(back["x"][0]) and back["y"][0] == 1


def test_a_number_that_is_no_measurement_is_refused():
    schema = Schema((Column("x", "continuous"),))
    with pytest.raises(InputError, match="'x' .* beyond 1e100 in row 2, which is no measurement"):
        schema.cast(pd.DataFrame({"x": [1.0, 1e200]}))


def test_a_gap_between_values_makes_no_empty_bin():
    values = np.r_[np.arange(12.0), np.geomspace(1e3, 1e12, 12)]
    schema = Schema((Column("x", "continuous"), Column("y", "binary", "outcome")))
    table = schema.cast(pd.DataFrame({"x": values, "y": np.arange(24) % 2}))
    for bins in range(2, 25):
        prep = Preprocessor(bins=bins, least_patients=1).fit(table)
        assert all(share > 0 for share in prep.cuts_["x"].shares)
        assert prep.inverse_transform(prep.transform(table))["x"].notna().all()
