"""Fairness metrics notice the group that fares worse, and only that."""

import numpy as np
import pandas as pd
import pytest
from known_truth import population

from ehrsynth.evaluation import PROFILES, fairness, judge
from ehrsynth.evaluation.intervals import largest_of
from ehrsynth.evaluation.setting import subgroups, with_references
from ehrsynth.schema import Column, Schema
from ehrsynth.statistics import NotComputable, auroc, auroc_parts

SPECS = {s.name: s for s in judge.SPECS if s.family == "fairness"}


@pytest.fixture(scope="module")
def people():
    return population(2000, 20, seed=1), population(1500, 20, seed=2)


def scene(people, synthetic, name="synthetic"):
    return with_references(*people, synthetic, Schema.of(people[0]), PROFILES["fast"], seed=0)[name]


@pytest.fixture(scope="module")
def fresh(people):
    return scene(people, population(2000, 20, seed=3))


# -- the largest of several ----------------------------------------------------------------


def test_parts_of_the_auroc_give_its_standard_error():
    rng = np.random.default_rng(0)
    y = rng.random(400) < 0.3
    score = rng.normal(size=400) + y
    area, influence = auroc_parts(score, y)
    expected = auroc(score[y], score[~y])
    assert area == pytest.approx(expected.value)
    assert influence.sum() == pytest.approx(0, abs=1e-12)
    error = np.sqrt(np.sum(influence**2))
    assert error == pytest.approx((expected.high - expected.low) / (2 * 1.96), rel=0.05)


@pytest.mark.parametrize("highest", [0.0, 0.1, 0.6])
def test_largest_is_not_chosen_for_its_luck_and_its_interval_covers(highest):
    rng = np.random.default_rng(0)
    truth, n, found, naive = np.array([0, 0, highest, 0, 0, 0, 0, 0]), 200, [], []
    for _ in range(150):
        sample = rng.normal(size=(n, 8)) + rng.normal(size=(n, 1))  # standard error 0.1, dependent
        values = truth + sample.mean(axis=0)
        naive.append(values.max() - highest)
        found.append(largest_of(values, (sample - sample.mean(axis=0)) / n, rng))
    assert np.mean([e.low <= highest <= e.high for e in found]) >= 0.92
    assert all(e.low <= e.value <= e.high for e in found)
    bias = np.median([e.value for e in found]) - highest
    if highest == 0:  # all are equal
        assert abs(bias) < 0.02 < 0.08 < np.median(naive)
    else:
        assert -0.09 < bias < 0.02


def test_one_value_far_above_the_others_is_left_as_it_is():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(500, 6))
    noise = (noise - noise.mean(axis=0)) / 500
    found = largest_of(np.array([0, 0, 5.0, 0, 0, 0]), noise, rng)
    assert found.value == pytest.approx(5, abs=0.01)
    exact = largest_of(np.array([1.0, 2.0]), np.zeros((9, 2)), rng)
    assert exact == (2, 2, 2)


# -- groups --------------------------------------------------------------------------------


def test_groups_by_sex_race_and_age_band(people):
    groups = subgroups(Schema.of(people[0]), people[1], people[0])
    assert list(groups)[:3] == ["sex = F", "sex = M", "race = WHITE"]
    assert list(groups)[-4:] == [
        "age below 45", "age 45 to 64", "age 65 to 79", "age 80 and more",
    ]  # fmt: skip
    bands = np.stack([groups[name] for name in groups if name.startswith("age")])
    assert (bands.sum(axis=0) == 1).all()
    assert groups["age 45 to 64"].sum() == people[1]["age"].between(45, 64).sum()


@pytest.mark.parametrize("dtype", ["uint8", "bool", "int64"])
def test_a_sex_of_0_and_1_is_two_groups(dtype):
    schema = Schema((Column("female", "binary", "demographic"),))
    table = pd.DataFrame({"female": np.array([0, 1, 1], dtype=dtype)})
    groups = subgroups(schema, table, table)
    assert {name: member.tolist() for name, member in groups.items()} == {
        "female = 0": [True, False, False], "female = 1": [False, True, True]}  # fmt: skip


def test_numbers_that_are_no_years_are_cut_into_thirds():
    schema = Schema((Column("income", "continuous", "demographic"),))
    table = pd.DataFrame({"income": [*np.arange(9.0), np.nan]})
    groups = subgroups(schema, table, table)
    assert [int(member.sum()) for member in groups.values()] == [3, 3, 3]


# -- metrics -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPECS)
def test_fresh_sample_is_fair_within_chance(fresh, name):
    found = SPECS[name].evaluate(fresh, seed=0)
    assert found.low <= 0.02 <= found.high


def test_independent_columns_lose_most_for_somebody(people, fresh):
    worst = scene(people, population(2000, 20, seed=3), "independent")
    for name in ("subgroup_auroc_loss", "subgroup_risk_error"):
        assert SPECS[name].evaluate(worst, 0).low > SPECS[name].evaluate(fresh, 0).value


def test_a_label_flipped_in_one_sex_is_found_and_named(people):
    made = population(2000, 20, seed=3)
    women = made["sex"] == "F"
    made["DIE_1y"] = np.where(women, 1 - made["DIE_1y"], made["DIE_1y"]).astype("uint8")
    setting = scene(people, made)
    loss = SPECS["subgroup_auroc_loss"]
    assert loss.evaluate(setting, 0).low > 0.2
    assert "sex = F" in loss.note(setting)
    table = fairness.by_group(setting)
    assert table.at["sex = F", "auroc"] < 0.5 < table.at["sex = M", "auroc"]
    assert SPECS["subgroup_risk_error"].evaluate(setting, 0).low > 20


@pytest.mark.parametrize(("kept", "missing"), [(0.0, 1.0), (0.5, 0.5)])
def test_a_dropped_group_is_missing(people, kept, missing):
    made = population(4000, 20, seed=3)
    black = np.flatnonzero(made["race"] == "BLACK")
    rest = np.delete(np.arange(4000), black[int(kept * len(black)) :])
    found = SPECS["subgroup_missing"].evaluate(scene(people, made.iloc[rest]), 0)
    assert found.low <= missing <= found.high
    assert found.low > 0.1
    assert found.value == pytest.approx(missing, abs=0.25)


def test_missing_shares_by_hand():
    real = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=bool)
    made = np.array([[1, 0], [0, 1], [0, 1], [0, 1]], dtype=bool)
    shares, influence = fairness._missing_shares(real, made)
    assert shares == pytest.approx([0.5, -0.5])
    assert influence.shape == (8, 2)
    assert influence.sum(axis=0) == pytest.approx([0, 0])


def test_small_groups_are_left_out_and_named(people):
    train, holdout = people[0].iloc[:600], people[1].iloc[:500]
    setting = scene((train, holdout), train)
    table = fairness.by_group(setting)
    assert table.loc[table["cases"] < 10, "auroc"].isna().all()
    assert "Too few patients to judge" in SPECS["subgroup_auroc_loss"].note(setting)


def test_a_group_of_few_training_patients_has_no_name(people):
    """Its name would be theirs, and so would a count of fewer than five."""
    train, holdout = (table.iloc[:600].copy() for table in people)
    schema = Schema.of(train)
    names = schema["race"].categories
    for table in (train, holdout):
        table["race"] = pd.Categorical(["WHITE"] * 600, names)
    rare, few = (name for name in names if name != "WHITE" and name in names[:3])
    train.iloc[:2, train.columns.get_loc("race")] = rare
    train.iloc[2:9, train.columns.get_loc("race")] = few
    holdout.iloc[:3, holdout.columns.get_loc("race")] = few
    told = SPECS["subgroup_auroc_loss"].note(scene((train, holdout), train))
    assert rare not in told and few in told and "fewer than 5 of fewer than 5" in told


def test_no_groups_or_no_outcome_has_a_reason(people):
    frames = [t.drop(columns=["sex", "race", "age"]) for t in (*people, people[1])]
    schema = Schema.of(people[0]).select(frames[0].columns)
    setting = with_references(*frames, schema, PROFILES["fast"], 0)["synthetic"]
    for spec in SPECS.values():
        with pytest.raises(NotComputable, match="no column is demographic"):
            spec.evaluate(setting, 0)
    tiny = scene([t.iloc[:30] for t in people], people[1].iloc[:30])
    with pytest.raises(NotComputable, match="no group has 10"):
        SPECS["subgroup_auroc_loss"].evaluate(tiny, 0)
