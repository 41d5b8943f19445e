"""Clinical rules: counted, repaired, and the repair does not bend the rest."""

import numpy as np
import pandas as pd
import pytest
from toy import toy_patients, toy_schema

from ehrsynth.errors import InputError
from ehrsynth.postprocess import Rule, clinical_rules, postprocess, repair, violations
from ehrsynth.preprocess import Preprocessor


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
        Rule("sex", "phe_0", "M"),
        Rule("sex", "phe_1", "F"),
        Rule("above", "systolic", "diastolic"),
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
    only_sex = postprocess(encoded, prep, rules=[Rule("sex", "phe_0", "M")])
    assert (violations(only_sex)["count"] > 0).tolist() == [False, False, True]


def test_an_unknown_rule_is_refused():
    with pytest.raises(InputError, match="'below'"):
        violations(toy_patients(5), rules=[Rule("below", "age", "bmi")])
