"""Intervals, the two-sample test and distances against known values and naive loops."""

import numpy as np
import pytest

from ehrsynth import statistics
from ehrsynth.statistics import (
    NotComputable,
    auroc,
    distances,
    group_sums,
    holm,
    jackknife,
    mean_of,
    nearest_distance,
    nearest_distances,
    two_sample_test,
    wilson,
)

# -- many chances ----------------------------------------------------------------------------


def test_holm_by_hand_and_its_errors():
    assert holm(np.array([0.04, 0.01, 0.03])) == pytest.approx([0.06, 0.03, 0.06])
    assert holm(np.array([0.9, 0.6])).tolist() == [1.0, 1.0]
    rng = np.random.default_rng(0)
    wrong = [(holm(rng.random(30)) <= 0.05).any() for _ in range(2_000)]
    assert 0.035 < np.mean(wrong) < 0.065


# -- intervals -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (1, 1000, 2e-4, 0.0056)],
)
def test_wilson_interval_against_known_values(hits, n, low, high):
    estimate = wilson(hits, n)
    assert estimate.low == pytest.approx(low, abs=1e-4)
    assert estimate.high == pytest.approx(high, abs=1e-4)


def test_auroc_counts_ties_half():
    assert auroc(np.array([1.0, 2.0]), np.array([1.0, 0.0])).value == pytest.approx(3.5 / 4)
    assert auroc(np.ones(4), np.ones(5)).value == 0.5


def test_auroc_interval_covers_the_truth_in_about_95_percent():
    rng = np.random.default_rng(0)
    truth = 0.7602  # of two normal distributions one standard deviation apart
    hits = 0
    for _ in range(300):
        estimate = auroc(rng.normal(1, 1, 60), rng.normal(0, 1, 80))
        hits += estimate.low <= truth <= estimate.high
    assert 0.91 <= hits / 300 <= 0.985


def test_perfect_auroc_still_has_an_interval():
    estimate = auroc(np.arange(10.0) + 20, np.arange(10.0))
    assert (estimate.value, estimate.high) == (1.0, 1.0)
    assert 0.6 < estimate.low < 0.9


def test_mean_of_folds_is_narrower_than_a_fold():
    folds = [auroc(np.arange(9.0) + k, np.arange(9.0)) for k in (1, 2, 3)]
    assert np.ptp(mean_of(folds)[1:]) < np.ptp(folds[0][1:])


def test_jackknife_gives_the_standard_error_of_a_difference_of_means():
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 2, (4000, 1)), rng.normal(0, 1, (1000, 1))
    sums = group_sums(a, rng), group_sums(b, rng)
    estimate = jackknife(lambda x, y: x[1] / x[0] - y[1] / y[0], *sums)
    assert estimate.value == pytest.approx(a.mean() - b.mean())
    half = (estimate.high - estimate.low) / 2
    assert half == pytest.approx(2.09 * np.sqrt(4 / 4000 + 1 / 1000), rel=0.35)


def test_jackknife_interval_is_two_sided():
    groups = np.column_stack([np.full(20, 50.0), np.random.default_rng(0).normal(0, 1, 20)])
    estimate = jackknife(lambda total: total[1] / total[0], groups)
    error = groups[:, 1].std(ddof=1) / 50 / np.sqrt(20)  # of a mean of 20 groups
    assert estimate.half == pytest.approx(2.093 * error, rel=1e-3)


# -- two samples ---------------------------------------------------------------------------


def test_two_sample_test_notices_a_shift_and_nothing_else():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(900, 5)), rng.normal(size=(700, 5))
    same = two_sample_test(a, b, rng, most=600, rounds=50, learning_rate=0.12)
    assert same.low <= 0.5 <= same.high
    shifted = two_sample_test(a, b + [0, 0, 2, 0, 0], rng, rounds=50, learning_rate=0.12)
    assert shifted.low > 0.85
    with pytest.raises(NotComputable):
        two_sample_test(a, b[:9], rng)


# -- distances -----------------------------------------------------------------------------


def test_nearest_distance_equals_the_naive_loop():
    rng = np.random.default_rng(0)
    a, b = rng.random((70, 9)).astype("f4"), (rng.random((2500, 9)) < 0.3).astype("f4")
    naive = [np.sqrt(((b - row) ** 2).sum(axis=1).min()) for row in a]
    np.testing.assert_allclose(nearest_distance(a, b), naive, atol=1e-4)


def test_sparse_records_are_as_far_apart_as_others(monkeypatch):
    monkeypatch.setattr(statistics, "_BLOCK", 16)
    rng = np.random.default_rng(2)
    rows = (rng.random((90, 300)) < 0.02).astype("f4")
    rows[:, 0] = rng.random(90)
    own = np.arange(20)
    naive = np.linalg.norm(rows[:20, None] - rows, axis=2)
    naive[own, own] = np.inf
    np.testing.assert_allclose(nearest_distance(rows[:20], rows, own), naive.min(axis=1), atol=1e-4)
    copied = np.vstack([rows[:20], np.ones((1, 300), dtype="f4")])
    assert (nearest_distance(copied, rows)[:20] == 0).all()
    kinds = []
    plain = statistics.csr_array
    monkeypatch.setattr(statistics, "csr_array", lambda x: kinds.append(len(x)) or plain(x))
    nearest_distance(rows[:20], rows)
    nearest_distance(1 + rows[:20], rows)  # in which hardly a value is 0
    assert kinds == [20]


def test_nearest_distance_over_several_blocks_and_without_oneself(monkeypatch):
    monkeypatch.setattr(statistics, "_BLOCK", 4)
    rng = np.random.default_rng(1)
    rows = rng.random((90, 6)).astype("f4")
    chosen = np.array([3, 40, 89])
    found = nearest_distance(rows[chosen], rows, chosen)
    naive = [
        np.sqrt(np.delete(((rows - rows[i]) ** 2).sum(axis=1), i).min()) for i in chosen
    ]  # fmt: skip
    np.testing.assert_allclose(found, naive, atol=1e-4)
    assert (nearest_distance(rows[chosen], rows) == 0).all()
    three = nearest_distances(rows[chosen], rows, 3, chosen)
    expected = [np.sort(np.delete(row, i))[:3] for row, i in zip(
        distances(rows[chosen], rows), chosen, strict=True)]  # fmt: skip
    np.testing.assert_allclose(three, expected, atol=1e-4)
    few = nearest_distances(rows[:1], rows[:2], 3)
    assert few[0, 0] == 0 and np.isinf(few[0, 2])
