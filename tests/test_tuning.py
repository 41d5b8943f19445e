"""What the number of steps is chosen by."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
import tuning


def tied(n: int, seed: int, how: float = 0.3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, 60)) + how * rng.normal(size=(n, 1)) > 0.8).astype(np.float32)


def test_a_release_leans_to_whom_it_was_made_of_and_a_fresh_one_to_nobody():
    train, others, known, fresh = (tied(n, seed) for seed, n in enumerate((100, 500, 3_000, 100)))
    assert tuning.moments(train, others, fresh, known) == pytest.approx(0.5, abs=0.08)
    copied = tuning.moments(train, others, train, known)
    assert copied > 0.7
    assert tuning.moments(others, train, train, known) == pytest.approx(1 - copied)
    constant = np.zeros((len(known), 1), np.float32)  # nobody of the reference has it
    wide = [np.hstack([x, constant[: len(x)]]) for x in (train, others, train, known)]
    assert tuning.moments(*wide) == pytest.approx(copied)


def test_correlations_of_codes_agree_with_themselves_and_not_with_others():
    half = np.arange(60) % 2  # the others never vary
    one, other = (tied(3_000, seed, how=1.0) * half for seed in (0, 1))
    assert tuning.code_correlation(one, one) == pytest.approx(1)
    assert tuning.code_correlation(one, other) > 0.95
    rng = np.random.default_rng(2)
    assert abs(tuning.code_correlation(one, rng.permuted(one, axis=0))) < 0.1


def test_the_parts_of_a_hospital_are_different_patients_with_the_same_columns():
    place = tuning.Hospital("second", 300)
    parts = place.train, place.holdout, place.new, place.fresh
    assert [len(part) for part in parts] == [300, 129, 5_000, 300]
    keys = [set(map(bytes, part.fillna(-1).astype(str).to_numpy("S8"))) for part in parts]
    assert not (keys[0] & keys[1] or keys[0] & keys[3]) and len(keys[0]) == 300
    assert all(list(part) == place.schema.names for part in parts)
    without = tuning.replace(tuning.MODERN, code_pairs=0.0)
    assert place.recipe == tuning.PROFILES["fast"].adapt(without)


def test_nothing_was_measured_twice():
    results = pd.read_csv(tuning.RESULTS)
    assert not results.duplicated(tuning.KEY).any()
    control = results[results["generator"] == tuning.FRESH]
    assert control["moments, 5,000 new"].between(0.47, 0.53).all()


def test_without_pairs_of_codes_more_steps_are_needed_than_the_fast_profile_has():
    """With the worse of the seeds; test_price_list has the profile with pairs of codes."""
    results = pd.read_csv(tuning.RESULTS)
    fast = results[(results["train"] == tuning.SMALL) & (results["generator"] == tuning.NETWORKS)]
    told = fast.pivot_table(index="steps", columns="data", values="C2ST", aggfunc="max")
    enough = (told["simulated"] <= 0.60) & (told["second"] <= 0.62)
    assert enough[enough].index.min() > tuning.PROFILES["fast"].steps
    assert told.loc[50, "second"] > 0.7 and told.loc[50, "simulated"] > 0.7
