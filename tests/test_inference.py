"""Coverage of intervals from synthetic tables, and the rules that mend them, where it is known."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from ehrsynth.evaluation.inference import combined, coverage, log_odds_ratios
from ehrsynth.schema import Column, Schema
from ehrsynth.statistics import NotComputable

CHANCES = np.array([0.06, 0.14, 0.10, 0.70])  # code and outcome, code alone, outcome alone, neither
TRUTH = np.log(0.06 * 0.70 / (0.14 * 0.10))
PATIENTS, TIMES = 1_500, 4_000


def estimates(cells):
    """Log odds ratios and their variances of tables of four cells (..., 4)."""
    both, code, outcome, neither = cells.reshape(-1, 4).T
    value, error = log_odds_ratios(cells.sum(axis=-1).ravel(), both + outcome, both + code, both)
    return value.reshape(cells.shape[:-1]), error.reshape(cells.shape[:-1]) ** 2


def simulated(tables, rows, drawn, rng):
    """Coverage of the naive and of the combined interval, the generator knowing the right model."""
    real = rng.multinomial(PATIENTS, CHANCES, TIMES)
    shares = np.repeat(real[None] / PATIENTS, tables, axis=0)
    if drawn:
        shares = rng.gamma(np.repeat(real[None] + 0.5, tables, axis=0))
        shares /= shares.sum(axis=-1, keepdims=True)
    found, variance = estimates(rng.multinomial(rows, shares))
    value, error = combined(found, variance, rows, PATIENTS, drawn)
    naive = np.abs(found[0] - TRUTH) <= 1.96 * np.sqrt(variance[0])
    return naive.mean(), (np.abs(value - TRUTH) <= 1.96 * error).mean()


@pytest.mark.parametrize("times", [1, 4, 20])
@pytest.mark.parametrize(("tables", "drawn"), [(1, False), (5, False), (1, True), (5, True)])
def test_combined_intervals_cover_and_naive_ones_do_not(times, tables, drawn):
    rng = np.random.default_rng([times, tables, drawn])
    naive, right = simulated(tables, times * PATIENTS, drawn, rng)
    assert right == pytest.approx(0.95, abs=0.015)
    spread = 1 + times + (times if drawn else 0)  # of the estimate, in naive variances
    assert naive == pytest.approx(2 * norm.cdf(1.96 / np.sqrt(spread)) - 1, abs=0.025)
    assert naive < 0.87


def test_combined_by_hand():
    value, error = combined(np.array([[1.0], [3.0]]), np.array([[4.0], [2.0]]), 50, 100)
    assert value == [2] and error == pytest.approx(np.sqrt(3 * (0.5 + 1 / 2)))
    drawn = combined(np.array([[1.0], [3.0]]), np.array([[4.0], [2.0]]), 50, 100, drawn=True)[1]
    assert drawn == pytest.approx(np.sqrt(3 * (0.5 + 1.5 / 2)))


def table(rows, codes=300):
    rng = np.random.default_rng(rows)
    y = rng.random(rows) < 0.3
    made = {f"phe_{i}": (rng.random(rows) < np.where(y, 0.4, 0.2)).astype("uint8")
            for i in range(codes)}  # fmt: skip
    columns = [Column(name, "binary", "diagnosis", code=name[4:]) for name in made]
    schema = Schema((Column("died", "binary", "outcome"), *columns))
    frame = schema.attach(pd.DataFrame({"died": y.astype("uint8")} | made))
    return frame, pd.Series(np.log(0.4 * 0.8 / (0.6 * 0.2)), [c.code for c in columns])


def test_intervals_of_patients_cover_and_those_of_repeated_rows_do_not():
    patients, truth = table(1_000)
    found = coverage(patients, truth)
    assert 0.9 < found.value < 0.99 and found.low < found.value < found.high
    again = Schema.of(patients).attach(pd.concat([patients] * 9, ignore_index=True))
    assert coverage(again, truth).value < 0.6
    assert coverage(again, truth, patients=1_000).value > 0.9


def test_too_few_patients_have_a_reason():
    few, truth = table(1_000)
    with pytest.raises(NotComputable, match="no code has"):
        coverage(Schema.of(few).attach(few.head(20)), truth)
