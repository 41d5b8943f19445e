"""Whole reports on releases with one fault each: the family that it concerns says so."""

import numpy as np
import pytest
from known_truth import population

from ehrsynth.evaluation import evaluate
from ehrsynth.schema import Column, Schema

TRAIN, HOLDOUT = 700, 350


@pytest.fixture(scope="module")
def people():
    """Three tables in which one measurement is the sum of two others."""
    drawn = population(2 * TRAIN + HOLDOUT, 25, seed=11)
    columns = [c for c in Schema.of(drawn).columns if c.name != "bmi"]
    whole = Column("whole", "continuous", "measurement", decimals=1)
    drawn = drawn.drop(columns="bmi").assign(whole=drawn["systolic"] + drawn["diastolic"])
    ends = [TRAIN, TRAIN + HOLDOUT]
    parts = [drawn.iloc[a:b].reset_index(drop=True) for a, b in zip([0, *ends], [*ends, None],
                                                                    strict=True)]  # fmt: skip
    return parts, Schema((*columns, whole))


def judged(people, made=None, held_out=None):
    (train, holdout, fresh), schema = people
    report = evaluate(train, holdout if held_out is None else holdout.head(held_out),
                      fresh if made is None else made, schema, profile="fast")  # fmt: skip
    return report, {family: v.level for family, v in report.verdicts().items()}


def test_fresh_patients_keep_the_formula_and_leak_nothing(people):
    report, level = judged(people)
    assert level["fidelity"] != "bad" and level["privacy"] in ("good", "unknown")
    assert report["relations_kept"].value == 1
    assert not report["relations_kept"].notices


def test_a_broken_formula_is_noticed_and_listed(people):
    made = people[0][2]
    made = made.assign(whole=np.random.default_rng(0).permutation(made["whole"]))
    report, level = judged(people, made)
    assert report["relations_kept"].notices and level["fidelity"] != "good"
    rows = report.facts["relations that hold for every training patient"]
    broken = [row["synthetic, broken"] for row in rows if "whole" in row["relation"]]
    assert broken and not any(text.startswith("0 ") for text in broken)


def test_an_outcome_that_leaked_into_a_column_is_noticed(people):
    made = people[0][2].copy()
    code = next(n for n in made if n.startswith("phe_"))
    made[code] = made["DIE_1y"].astype(made[code].dtype)
    report, level = judged(people, made)
    assert report["classifier_two_sample_test"].notices and level["utility"] != "good"


def test_a_tiny_holdout_judges_nobody(people):
    _, level = judged(people, held_out=20)
    assert level["privacy"] == "unknown"
    (train, _, _), _ = people
    _, level = judged(people, made=train, held_out=20)  # a census needs no holdout
    assert level["privacy"] in ("bad", "care")
