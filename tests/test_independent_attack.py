"""The attack that was written apart: silent on fresh patients, loud on copies, and on its own."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from known_truth import population

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.append(str(BENCHMARKS))

import independent_attack as apart  # noqa: E402


def test_it_is_silent_on_fresh_patients_and_finds_copies():
    train, holdout, fresh = (population(n, 30, seed=s) for n, s in ((900, 1), (600, 2), (900, 3)))
    tables = apart.encode([train, holdout, fresh, train])
    for name, (value, error) in apart.attack(*tables[:2], tables[2]).items():
        assert abs(value - 0.5) < 3 * error, name
    found = apart.attack(*tables[:2], tables[3])
    assert found["products"][0] > 0.5 + 3 * found["products"][1]  # the others are weaker here


def test_its_area_is_a_share_of_pairs_and_missing_values_are_a_column():
    case, control = np.array([3.0, 1.0]), np.array([2.0, 1.0])
    assert apart.area(case, control)[0] == (1 + 1 + 0 + 0.5) / 4
    (rows,) = apart.encode([pd.DataFrame({"a": [1.0, np.nan, 3.0], "b": ["x", "y", "x"]})])
    assert rows.tolist() == [[1, 0, 1, 0], [2, 1, 0, 1], [3, 0, 1, 0]]


def test_nothing_of_the_package_is_used():
    assert "ehrsynth" not in (BENCHMARKS / "independent_attack.py").read_text().split('"""')[2]


def test_it_says_what_the_verdict_says_of_every_strict_run_and_no_more_of_any():
    """What the page says: the verdict is the same or stricter."""
    runs, order = pd.read_csv(apart.RESULTS), ["good", "care", "bad"]
    assert not runs.duplicated(["data", "way", "seed", "train"]).any()
    strict = runs[runs["way"] == "strict"]
    assert len(strict) >= 3 and (strict["verdict"] == strict["by it"]).all()
    levels = runs[["verdict", "by it"]].map(order.index)
    assert (levels["verdict"] >= levels["by it"]).all()
