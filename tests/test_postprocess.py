"""Clinical rules: counted, repaired, and the repair does not bend the rest."""

import numpy as np
import pandas as pd
import pytest
from toy import toy_patients, toy_schema

from ehrsynth.errors import InputError
from ehrsynth.generation.decode import postprocess, repair, violations
from ehrsynth.preprocessing.encode import Preprocessor
from ehrsynth.rules import Above, Between, Implies, Only, clinical_rules


def with_mistakes(n: int = 3000, share: float = 0.03) -> pd.DataFrame:
    """Patients of whom some have the other sex's diagnosis or swapped pressures."""
    table = toy_patients(n)
    rng = np.random.default_rng(1)
    wrong = (rng.random(n) < share) & (table["sex"] == "F")
    table["phe_0"] = np.where(wrong, 1, table["phe_0"]).astype(np.uint8)
    swap = rng.random(n) < share
    systolic, diastolic = table["systolic"].copy(), table["diastolic"].copy()
    table.loc[swap, "systolic"], table.loc[swap, "diastolic"] = diastolic[swap], systolic[swap]
    return toy_schema().attach(table)


def test_rules_come_from_the_schema():
    rules = clinical_rules(toy_schema())
    assert rules == [
        Only("phe_0", "M"),
        Only("phe_1", "F"),
        Above("systolic", "diastolic"),
    ]
    assert clinical_rules(toy_schema().select(["phe_0", "systolic"])) == []


def test_violations_are_counted_among_those_a_rule_applies_to():
    table = toy_schema().attach(toy_patients(4))
    table["sex"] = pd.Categorical(["F", "F", "M", "M"], categories=["F", "M"])
    table["phe_0"] = np.array([1, 0, 1, 0], dtype=np.uint8)
    table["phe_1"] = np.array([1, 0, 0, 0], dtype=np.uint8)
    table["systolic"] = [120.0, 80.0, np.nan, 90.0]
    table["diastolic"] = [80.0, 80.0, 70.0, np.nan]
    counted = violations(table)
    assert counted["count"].tolist() == [1, 0, 1]
    assert counted["share"].tolist() == [0.5, 0.0, 0.5]


def test_repair_leaves_no_violation_and_touches_nobody_else():
    table = with_mistakes()
    before = violations(table)
    assert (before["count"] > 0).tolist() == [True, False, True]
    fixed = repair(table, np.random.default_rng(0))
    assert violations(fixed)["count"].tolist() == [0, 0, 0]
    untouched = [c for c in table if c not in ("phe_0", "systolic", "diastolic")]
    pd.testing.assert_frame_equal(fixed[untouched], table[untouched])
    right = table["systolic"] > table["diastolic"]
    pd.testing.assert_frame_equal(
        fixed.loc[right, ["systolic", "diastolic"]], table.loc[right, ["systolic", "diastolic"]]
    )
    assert violations(table)["count"].equals(before["count"])  # the input is as it was


def test_repair_distorts_neither_prevalence_nor_correlation():
    clean = toy_patients(3000)
    fixed = repair(with_mistakes(), np.random.default_rng(0))
    codes = [c for c in clean if c.startswith("phe_")]
    assert (fixed[codes].mean() - clean[codes].mean()).abs().max() < 1e-9
    real = clean[["systolic", "diastolic", "age"]].corr()
    repaired = fixed[["systolic", "diastolic", "age"]].corr()
    assert (real - repaired).abs().max().max() < 0.03
    assert (fixed[["systolic", "diastolic"]].isna().mean()
            == clean[["systolic", "diastolic"]].isna().mean()).all()  # fmt: skip


def test_without_anybody_to_copy_from_the_second_number_is_left_open():
    table = toy_schema().attach(toy_patients(30))
    table["systolic"], table["diastolic"] = 80.0, 90.0
    fixed = repair(table, np.random.default_rng(0))
    assert fixed["diastolic"].isna().all() and (fixed["systolic"] == 80).all()


def test_postprocess_decodes_repairs_and_is_seeded():
    table = with_mistakes()
    prep = Preprocessor().fit(table)
    encoded = prep.transform(table)
    first, same = postprocess(encoded, prep, seed=2), postprocess(encoded, prep, seed=2)
    pd.testing.assert_frame_equal(first, same)
    assert violations(first)["count"].sum() == 0
    assert violations(postprocess(encoded, prep, rules=False))["count"].sum() > 0
    only_sex = postprocess(encoded, prep, rules=[Only("phe_0", "M")])
    assert (violations(only_sex)["count"] > 0).tolist() == [False, False, True]


OWN = [
    Between("age", 30, 80),
    Between("bmi", high=45.04),
    Implies({"phe_2": 1, "sex": "F"}, {"phe_3": 1}),
    Implies({"phe_4": 1}, {"phe_5": 0}),
    Implies({"phe_6": 1}, {"race": "A"}),
]


def test_each_kind_of_rule_finds_and_repairs_what_breaks_it():
    table = toy_schema().attach(toy_patients(6))
    table["age"] = [18.0, 30.0, 50.0, 80.0, 81.0, 91.0]
    table["bmi"] = [45.0, 45.1, np.nan, 60.0, 20.0, 20.0]
    table["sex"] = pd.Categorical(list("FFMMFF"), categories=["F", "M"])
    table["race"] = pd.Categorical(list("AABBAB"), categories=table["race"].cat.categories)
    for name, values in {
        "phe_2": [1, 1, 1, 0, 0, 0], "phe_3": [0, 1, 0, 0, 0, 1],
        "phe_4": [1, 1, 0, 0, 0, 0], "phe_5": [1, 0, 1, 0, 0, 0],
        "phe_6": [1, 0, 1, 0, 0, 1],
    }.items():  # fmt: skip
        table[name] = np.array(values, dtype=np.uint8)
    counted = violations(table, rules=OWN)
    assert counted["count"].tolist() == [3, 2, 1, 1, 2]
    assert counted["share"].tolist() == [3 / 6, 2 / 5, 1 / 2, 1 / 2, 2 / 3]
    repaired = {}
    fixed = repair(table, np.random.default_rng(0), rules=OWN, repaired=repaired)
    assert list(repaired.values()) == [3, 2, 1, 1, 2]
    assert fixed["age"].tolist() == [30, 30, 50, 80, 80, 80]
    np.testing.assert_array_equal(fixed["bmi"], [45.0, 45.0, np.nan, 45.0, 20.0, 20.0])
    assert fixed["phe_3"].tolist() == [1, 1, 0, 0, 0, 1]
    assert fixed["phe_5"].tolist() == [0, 0, 1, 0, 0, 0]
    assert fixed["race"].tolist() == list("AAABAA")
    assert violations(fixed, rules=OWN)["count"].sum() == 0
    assert (fixed.dtypes == toy_schema().cast(toy_patients(6)).dtypes).all()


def test_repair_moves_nothing_by_more_than_the_patients_it_counts():
    """Of columns that no rule changes, every value stays, so prevalences and correlations do."""
    table = with_mistakes()
    rules = [*clinical_rules(toy_schema()), *OWN]
    repaired = {}
    fixed = repair(table, np.random.default_rng(0), rules=rules, repaired=repaired)
    assert violations(fixed, rules=rules)["count"].sum() == 0
    changed = {name for rule in rules for name in rule.changed}
    for name in table:
        different = (fixed[name] != table[name]) & ~(fixed[name].isna() & table[name].isna())
        most = sum(repaired[str(rule)] for rule in rules if name in rule.changed)
        assert different.sum() <= most, name
        assert (most > 0) == different.any() or name in ("systolic", "diastolic", "phe_1")
        if name in changed and name.startswith("phe_"):
            moved = abs(int(fixed[name].sum()) - int(table[name].sum()))
            assert moved <= repaired[str(next(r for r in rules if name in r.changed))]
    still = [name for name in table.select_dtypes("number") if name not in changed]
    assert len(still) > 25
    pd.testing.assert_frame_equal(fixed[still].corr(), table[still].corr())


def test_repair_keeps_the_correlation_of_the_pressures_within_chance():
    """Forty simulated wards of 1,000 with 3 % of the pressures swapped, against the clean ones."""
    shift = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        systolic = rng.normal(125, 15, 1000)
        diastolic = np.minimum(0.5 * systolic + rng.normal(12, 8, 1000), systolic - 1)
        swapped = rng.random(1000) < 0.03
        clean = pd.DataFrame({"systolic": systolic, "diastolic": diastolic})
        clean = toy_schema().select(clean.columns).attach(clean)
        wrong = clean.copy()
        wrong["systolic"] = np.where(swapped, diastolic, systolic)
        wrong["diastolic"] = np.where(swapped, systolic, diastolic)
        fixed = repair(wrong, rng, rules=[Above("systolic", "diastolic")])
        shift.append([t["systolic"].corr(t["diastolic"]) for t in (clean, wrong, fixed)])
    clean, wrong, fixed = np.array(shift).T
    spread = clean.std()  # of the correlation, from ward to ward
    assert abs((fixed - clean).mean()) < spread / 2
    assert abs((wrong - clean).mean()) > 3 * spread  # without the repair


def test_rules_that_contradict_each_other_are_refused():
    rules = [Between("age", high=50), Between("age", low=60)]
    with pytest.raises(InputError, match="contradict each other.*patients cannot keep both"):
        repair(toy_schema().attach(toy_patients(50)), np.random.default_rng(0), rules=rules)


def test_one_repair_may_call_for_another():
    table = toy_schema().attach(toy_patients(400))
    chain = [Implies({"phe_3": 1}, {"phe_4": 1}), Implies({"phe_2": 1}, {"phe_3": 1})]
    fixed = repair(table, np.random.default_rng(0), rules=chain)
    assert violations(fixed, rules=chain)["count"].sum() == 0
