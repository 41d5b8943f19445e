"""The preprocessor: fitted on train only, and invertible."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import toy_patients, toy_schema

from ehrsynth import protection
from ehrsynth.errors import InputError
from ehrsynth.kinds import REST
from ehrsynth.preprocessing.bins import Bins
from ehrsynth.preprocessing.encode import Preprocessor
from ehrsynth.rare import Rare, tables_of
from ehrsynth.schema import MISSING, Column, Schema


def one_column(values, **options) -> pd.DataFrame:
    schema = Schema((Column("x", "continuous", **options),))
    return schema.attach(pd.DataFrame({"x": np.asarray(values, dtype=float)}))


@pytest.fixture(scope="module")
def train():
    return toy_patients(1000)


def test_bins_matrix_is_one_hot_bytes(train):
    encoded = Preprocessor().fit(train).transform(train)
    assert encoded.values.dtype == np.uint8
    assert len(encoded) == 1000
    for block in encoded.layout:
        part = encoded[block.name]
        if block.kind == "binary":
            assert set(np.unique(part)) <= {0, 1}
        else:
            assert (part.sum(axis=1) == 1).all(), block.name


def test_exact_columns_come_back_exactly_and_bins_come_back_in_the_same_bin(train):
    prep = Preprocessor().fit(train)
    encoded = prep.transform(train)
    back = prep.inverse_transform(encoded, seed=1)
    exact = prep.schema_.of_kind("binary", "categorical")
    pd.testing.assert_frame_equal(back[exact], train[exact])
    assert np.array_equal(prep.transform(back).values, encoded.values)
    assert Schema.of(back) == prep.schema_


def test_decoded_values_are_distributed_as_in_train(train):
    prep = Preprocessor().fit(train)
    back = prep.inverse_transform(prep.transform(train))
    for name in prep.schema_.of_kind("continuous"):
        real, decoded = train[name].dropna(), back[name].dropna()
        assert len(real) == len(decoded)
        assert abs(real.mean() - decoded.mean()) < 0.05 * real.std()
        assert abs(real.std() - decoded.std()) < 0.05 * real.std()


def test_decoding_is_seeded(train):
    prep = Preprocessor().fit(train)
    encoded = prep.transform(train)
    first, same, other = (prep.inverse_transform(encoded, seed=s) for s in (5, 5, 6))
    pd.testing.assert_frame_equal(first, same)
    assert not first["bmi"].equals(other["bmi"])


def test_decoding_keeps_decimals_and_bounds(train):
    prep = Preprocessor().fit(train)
    back = prep.inverse_transform(prep.transform(train))
    assert (back["age"] % 1 == 0).all()
    assert back["age"].between(18, 91).all()
    bmi = back["bmi"].dropna()
    assert np.allclose(bmi, bmi.round(1))


@pytest.mark.parametrize("unit", [5, 250, 0.25, 0.00001, 7])
@pytest.mark.parametrize("recipe", ["modern", "paper"])
def test_decoding_keeps_the_steps_of_train(tmp_path, unit, recipe):
    values = unit * np.random.default_rng(0).normal(400, 100, 2000).round()
    prep = Preprocessor.for_recipe(recipe).fit(one_column(values))
    prep.save(tmp_path)
    back = Preprocessor.load(tmp_path).inverse_transform(prep.transform(one_column(values)))["x"]
    assert np.allclose(back / unit, (back / unit).round(), atol=1e-4)
    # Five values between two steps, and there are none; nor are there of few values.
    values[7:12] += unit / 2
    assert Preprocessor.for_recipe(recipe).fit(one_column(values)).steps_["x"] == unit / 2
    few = one_column(np.tile([7.0, 14.0, 21.0], 50))
    assert Preprocessor.for_recipe(recipe).fit(few).steps_["x"] is None


def test_a_value_of_one_patient_alone_does_not_come_back():
    rng = np.random.default_rng(0)
    values = rng.normal(size=2000)
    prep = Preprocessor().fit(one_column(values))
    back = prep.inverse_transform(prep.transform(one_column(values)))
    assert len(np.intersect1d(back["x"], values)) == 0


def test_bins_do_not_keep_the_extreme_value():
    values = np.append(np.random.default_rng(0).normal(size=999), 50.0)
    bins = Bins.fit(np.sort(values), 24)
    # Not in a mean with others either, which would lie beyond all of them.
    assert max(bins.knots[-1]) < values[:-1].max() and min(bins.knots[0]) > values.min()


def test_frequent_values_come_back_as_often():
    rng = np.random.default_rng(42)
    values = np.where(rng.random(4000) < 0.3, 120.0, np.round(rng.normal(125, 20, 4000)))
    prep = Preprocessor().fit(one_column(values, decimals=0))
    back = prep.inverse_transform(prep.transform(one_column(values)))
    assert abs((back["x"] == 120).mean() - (values == 120).mean()) < 0.02


def test_few_distinct_values_get_a_bin_each():
    values = np.tile([0.0, 1.0, 2.0, 5.0], 50)
    prep = Preprocessor().fit(one_column(values, decimals=0))
    encoded = prep.transform(one_column(values))
    assert prep.layout_[0].width == 5  # and one for missing
    assert np.array_equal(prep.inverse_transform(encoded)["x"], values)


def test_bins_hold_about_equally_many():
    values = np.random.default_rng(0).lognormal(size=2400)
    prep = Preprocessor().fit(one_column(values))
    counts = prep.transform(one_column(values)).values.sum(axis=0)
    assert counts[-1] == 0  # nobody is missing
    assert len(counts) == 25
    assert counts[:-1].min() >= 95 and counts[:-1].max() <= 105


def test_a_value_is_kept_exactly_only_with_five_patients_behind_it():
    values = np.r_[np.arange(100) / 7, [3.3] * 4, [55.5] * 5]
    assert sum(Bins.fit(values, 10).frequent, []) == [55.5]


def test_scores_rise_with_the_bins_and_are_zero_for_missing(train):
    block = next(b for b in Preprocessor().fit(train).layout_ if b.name == "bmi")
    assert list(block.scores[:-1]) == sorted(block.scores[:-1])
    assert block.labels[-1] == MISSING and block.scores[-1] == 0
    assert abs(np.mean(block.scores[:-1])) < 0.05


def test_values_out_of_bounds_count_as_not_measured():
    table = one_column([20.0, 25.0, 30.0, 107_840.0, 3.0, np.nan], lower=10, upper=60)
    prep = Preprocessor(least_patients=1).fit(table)
    row = prep.report_.iloc[0]
    assert (row["measured"], row["missing"], row["outside"]) == (3, 1, 2)
    back = prep.inverse_transform(prep.transform(table))["x"]
    assert back.isna().tolist() == [False, False, False, True, True, True]
    assert prep.clip(table)["x"].isna().tolist() == [False, False, False, True, True, True]


def test_rare_and_constant_columns_are_left_out_and_listed(train):
    table = train.copy()
    table["phe_2"] = np.uint8(0)
    table["phe_3"] = np.uint8(1)
    table["phe_4"] = (np.arange(1000) < 5).astype(np.uint8)
    prep = Preprocessor(min_prevalence=0.01).fit(table, toy_schema())
    assert prep.dropped_["column"].tolist() == ["phe_2", "phe_3", "phe_4"]
    assert prep.dropped_["prevalence"].tolist() == [0.0, 1.0, 0.005]
    assert "phe_4" not in prep.schema_ and "phe_5" in prep.schema_
    assert prep.transform(table).values.shape[1] == sum(b.width for b in prep.layout_)


def test_the_outcome_stays_however_rare(train):
    table = train.copy()
    table["DIE_1y"] = (np.arange(1000) < 1).astype(np.uint8)
    assert Preprocessor(min_prevalence=0.5).fit(table).schema_.outcome == "DIE_1y"


def test_everything_is_learned_from_train_alone(train):
    other = toy_patients(1000, seed=9)
    prep, again = Preprocessor().fit(train), Preprocessor().fit(train)
    prep.transform(other)
    assert prep.layout_ == again.layout_
    assert np.array_equal(prep.transform(train).values, again.transform(train).values)


def test_minmax_is_the_published_scaling(train):
    prep = Preprocessor.for_recipe("paper", least_patients=1).fit(train)
    encoded = prep.transform(train)
    assert encoded.values.dtype == np.float32
    age = train["age"].to_numpy()
    expected = (age - age.min()) / (age.max() - age.min())
    assert np.allclose(encoded["age"][:, 0], expected)
    back = prep.inverse_transform(encoded)
    assert np.array_equal(back["age"], age)
    measured = train["bmi"].notna()
    assert np.allclose(back["bmi"][measured], train["bmi"][measured])
    assert back["bmi"].notna().all()


def test_minmax_clips_what_lies_beyond_train():
    prep = Preprocessor.for_recipe("paper", least_patients=1).fit(one_column([0.0, 10.0]))
    assert prep.transform(one_column([-5.0, 5.0, 20.0])).values[:, 0].tolist() == [0, 0.5, 1]


def test_drawn_values_follow_the_column():
    rng = np.random.default_rng(0)
    values = np.where(rng.random(4000) < 0.5, np.nan, rng.normal(50, 10, 4000))
    table = one_column(values)
    prep = Preprocessor("bins", "draw", seed=3).fit(table)
    filled = prep.inverse_transform(prep.transform(table))["x"][np.isnan(values)]
    assert abs(filled.mean() - 50) < 1 and abs(filled.std() - 10) < 1
    assert np.array_equal(prep.transform(table).values, prep.transform(table).values)


def test_layout_knows_roles_and_places(train):
    encoded = Preprocessor().fit(train).transform(train)
    roles = {block.name: block.role for block in encoded.layout}
    assert roles["DIE_1y"] == "outcome" and roles["sex"] == "demographic"
    frame = encoded.to_frame()
    assert frame.shape == encoded.values.shape
    assert frame.columns.is_unique
    assert np.array_equal(frame["sex=F"], train["sex"] == "F")
    with pytest.raises(InputError, match="no column 'nothing'"):
        encoded.slice("nothing")


def test_saving_and_loading_changes_nothing(train, tmp_path):
    for recipe in ("modern", "paper"):
        prep = Preprocessor.for_recipe(recipe, min_prevalence=0.1).fit(train)
        prep.save(tmp_path / recipe)
        loaded = Preprocessor.load(tmp_path / recipe)
        assert loaded.get_params() == prep.get_params() and loaded.schema_ == prep.schema_
        assert loaded.layout_ == prep.layout_
        pd.testing.assert_frame_equal(loaded.dropped_, prep.dropped_)
        encoded = prep.transform(train)
        assert np.array_equal(loaded.transform(train).values, encoded.values)
        pd.testing.assert_frame_equal(
            loaded.inverse_transform(encoded, 4), prep.inverse_transform(encoded, 4)
        )


def test_sixty_patients_are_enough():
    train = toy_patients(60)
    prep = Preprocessor().fit(train)
    back = prep.inverse_transform(prep.transform(train))
    assert len(back) == 60
    assert all(block.width <= 13 for block in prep.layout_)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(
        st.one_of(
            st.just(np.nan), st.integers(-50, 50).map(float),
            st.floats(-1e6, 1e6).map(lambda value: round(value, 2)),  # as far as it is written
        ),
        min_size=1, max_size=80,
    ),
    seed=st.integers(0, 1000),
)  # fmt: skip
def test_any_column_makes_the_round_trip_to_the_same_bins(values, seed):
    table = one_column(values)
    prep = Preprocessor(least_patients=1).fit(table)
    encoded = prep.transform(table)
    back = prep.inverse_transform(encoded, seed=seed)
    assert np.array_equal(np.isnan(back["x"]), np.isnan(values))
    assert np.array_equal(prep.transform(back).values, encoded.values)
    measured = np.array(values)[~np.isnan(values)]
    if len(measured):
        slack = 0.5 * 10.0 ** -(prep.schema_["x"].decimals or 0)  # of the last decimal written
        assert back["x"].dropna().between(measured.min() - slack, measured.max() + slack).all()


@settings(max_examples=40, deadline=None)
@given(
    flags=st.lists(st.booleans(), min_size=2, max_size=40),
    texts=st.lists(st.sampled_from(["a", "b", "c", None]), min_size=2, max_size=40),
)
def test_any_yes_no_and_category_come_back_exactly(flags, texts):
    n = min(len(flags), len(texts))
    schema = Schema(
        (
            Column("flag", "binary", "outcome"),
            Column("group", "categorical", categories=("a", "b", "c", MISSING)),
        )
    )
    table = schema.cast(pd.DataFrame({"flag": flags[:n], "group": texts[:n]}))
    for recipe in ("modern", "paper"):
        prep = Preprocessor.for_recipe(recipe, least_patients=1).fit(table)
        back = prep.inverse_transform(prep.transform(table))
        pd.testing.assert_frame_equal(back.astype(str), table.astype(str))


def test_bins_of_a_constant():
    bins = Bins.fit(np.full(30, 7.0), 24)
    assert bins.edges == [] and bins.frequent == [[7.0]] and bins.knots == [[]]
    assert bins.decode(np.array([0, 1]), np.array([0.3, 0.3]))[0] == 7.0


def test_an_unknown_category_is_named(train):
    prep = Preprocessor().fit(train)
    table = train.copy()
    table["race"] = table["race"].astype(str).replace("A", "MARTIAN")
    with pytest.raises(InputError, match="'race'.*'MARTIAN'"):
        prep.transform(table)


def test_a_missing_column_is_named(train):
    with pytest.raises(InputError, match="'bmi' is missing"):
        Preprocessor().fit(train).transform(train.drop(columns="bmi"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"continuous": "onehot"}, "no value of continuous 'onehot'"),
        ({"missing": "mean"}, "no value of missing 'mean'"),
        ({"continuous": "minmax"}, "no place for missing values"),
        ({"bins": 1}, "bins is 1"),
        ({"min_prevalence": 2}, "min_prevalence is 2"),
    ],
)
def test_impossible_options_are_refused(train, options, message):
    with pytest.raises(InputError, match=message):
        Preprocessor(**options).fit(train)


def test_other_mistakes_are_named(train, tmp_path):
    with pytest.raises(InputError, match="not fitted"):
        Preprocessor().transform(train)
    with pytest.raises(InputError, match="no recipe 'best'"):
        Preprocessor.for_recipe("best")
    with pytest.raises(InputError, match="no training patients"):
        Preprocessor().fit(train[:0])
    with pytest.raises(InputError, match="never measured"):
        Preprocessor.for_recipe("paper").fit(one_column([np.nan, np.nan]))
    with pytest.raises(InputError, match="does not exist"):
        Preprocessor.load(tmp_path)
    encoded = Preprocessor.for_recipe("paper").fit(train).transform(train)
    with pytest.raises(InputError, match="another layout"):
        Preprocessor().fit(train).inverse_transform(encoded)


# -- nothing of a single patient -------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        (np.arange(100.0), 6.0, 93.0),  # means of 4 to 8 and of 91 to 95
        (np.repeat([0.0, 50.0, 100.0], 20), 0.0, 100.0),  # many share them
        (np.append(np.full(99, 7.0), 1e9), 7.0, 7.0),
    ],
)
def test_ends_are_what_enough_patients_have(values, low, high):
    found = protection.ends(values)
    assert found[0] == pytest.approx(low, abs=0.5) and found[1] == pytest.approx(high, abs=0.5)
    assert not {*found} & {v for v in values if np.count_nonzero(values == v) < 5}


def test_of_fewer_values_than_may_be_told_there_is_nothing():
    assert np.isnan(protection.ends(np.arange(4.0))).all()
    assert protection.knots(np.arange(4.0), 64) == []
    assert len(protection.knots(np.arange(5.0), 64)) == 1


@pytest.mark.parametrize(
    ("recipe", "missing"), [("modern", "category"), ("modern", "draw"), ("paper", "draw")]
)
def test_no_value_of_a_single_patient_is_saved_or_can_be_solved_for(tmp_path, recipe, missing):
    """The attack that gave back every patient of a lab: the knots are a system of equations."""
    rng = np.random.default_rng(0)
    values = rng.normal(500_000, 50_000, 1_400).round(2)
    values[:3] = [7_654_321.25, -8_765_432.5, 9_876_543.75]  # planted
    table = one_column(values).assign(y=rng.normal(0, 1, 1_400))
    schema = Schema((Column("x", "continuous"), Column("y", "continuous")))
    prep = Preprocessor.for_recipe(recipe, missing=missing).fit(table, schema)
    prep.save(tmp_path)
    of_each = {"patients": table.assign(subject_id=range(len(table)))}
    known = Rare.of(tables_of("omop", of_each, []), 5)
    assert len(known.hashes) > 2_000  # of both columns
    assert known.found_in(tmp_path / "preprocessor.json") == []
    if recipe == "modern":
        # The best guess at each patient, from everything that is kept of the column.
        kept = np.sort(
            np.concatenate([np.concatenate(prep.cuts_["x"].knots), prep.cuts_["x"].edges])
        )
        order = np.argsort(np.argsort(values))
        guess = np.interp(order / 1_399, np.linspace(0, 1, len(kept)), kept)
        assert np.mean(np.abs(guess - values) < 0.01) < 0.01


def test_categories_that_few_have_join_a_rest_that_says_nothing(tmp_path):
    column = ["A"] * 500 + ["B"] * 490 + ["Zebulon"] * 4 + ["Quist"] * 2 + [None] * 4
    schema = Schema(
        (Column("g", "categorical", categories=("A", "B", "Quist", "Zebulon", MISSING)),)
    )
    table = schema.cast(pd.DataFrame({"g": column}))
    prep = Preprocessor().fit(table)
    assert prep.schema_["g"].categories == ("A", "B", REST, MISSING)
    assert (prep.clip(table)["g"] == REST).sum() == 6
    prep.save(tmp_path)
    text = (tmp_path / "preprocessor.json").read_text()
    assert "Zebulon" not in text and "Quist" not in text
    assert prep.inverse_transform(prep.transform(table))["g"].tolist().count(REST) == 6
    # What is only in the holdout joins the rest too; five patients are enough for a name.
    held = schema.cast(pd.DataFrame({"g": ["A", "Zebulon"]}))
    assert prep.clip(held)["g"].tolist() == ["A", REST]
    assert Preprocessor(least_patients=4).fit(table).schema_["g"].categories[2] == "Zebulon"


def test_of_a_column_that_few_have_not_even_the_name_is_saved(tmp_path):
    n = 1_000
    flags = {"unique": 1, "few": 4, "fewer_not": n - 4, "some": 5, "common": 300}
    table = pd.DataFrame({name: [1] * k + [0] * (n - k) for name, k in flags.items()})
    schema = Schema(tuple(Column(name, "binary") for name in table))
    prep = Preprocessor(min_prevalence=0.1).fit(table, schema)
    assert prep.schema_.names == ["common"]
    assert set(prep.dropped_["column"]) == set(flags) - {"common"}
    prep.save(tmp_path)
    assert Preprocessor.load(tmp_path).dropped_["column"].tolist() == ["some"]
    assert Preprocessor(min_prevalence=0).fit(table, schema).schema_.names == ["some", "common"]
