"""Intervals that several metrics need: of sums of columns, of sizes, of the largest of groups."""

from collections.abc import Callable

import numpy as np
from scipy.special import erf
from scipy.stats import t

from ..statistics import Z95, Estimate, group_sums, jackknife, jackknife_variance, normal_interval

PARTS = 10  # of a table, left out in turn


def jackknife_of_sums(
    statistic: Callable[..., float], real: np.ndarray, candidate: np.ndarray,
    rng: np.random.Generator,
) -> Estimate:  # fmt: skip
    """A function of both tables' column sums, then of their numbers of rows, with its interval.
    Chapter fidelity, "One column at a time: dimension-wise distribution".
    """
    sums = [group_sums(rows, rng) for rows in (real, candidate)]
    means = [groups[:, 1:] / groups[:, :1] for groups in sums]
    error = np.sqrt(sum(groups.var(axis=0, ddof=1) / len(groups) for groups in means))
    apart = means[0].mean(axis=0) - means[1].mean(axis=0)
    found = jackknife(lambda a, b: statistic(a[1:], b[1:], a[0], b[0]), *sums)
    return folded(found, apart[error > 0] / error[error > 0])


def folded(found: Estimate, z: np.ndarray) -> Estimate:
    """The interval of a mean distance, of which every difference is so many standard errors.

    What is left out moves a distance as if its sign were certain. By chance alone it is not: the
    absolute value of noise varies by 0.6 of what the noise does. So an interval is made narrower,
    by what the squares of `z` say of the true differences (normal, of one variance).
    Chapter fidelity, "One column at a time: dimension-wise distribution".
    """
    true = max(float(np.mean(z**2)) - 1, 0) if len(z) else 0.0
    at, weight = np.polynomial.hermite_e.hermegauss(60)
    far = at * np.sqrt(true)
    mean = np.sqrt(2 / np.pi) * np.exp(-(far**2) / 2) + far * erf(far / np.sqrt(2))
    variance = 1 + true - (weight * mean**2).sum() / weight.sum()
    return normal_interval(found.value, found.half * float(np.sqrt(variance)), 1.0)


def jackknife_of_rows(
    statistic: Callable[..., float], sides: list[tuple], rng: np.random.Generator
) -> Estimate:
    """The interval leaves out parts of each table. Chapter utility, "Effect estimates"."""
    variance = 0.0
    for i, side in enumerate(sides):
        part, values = rng.permutation(len(side[0])) % PARTS, []
        for left_out in range(PARTS):
            kept = tuple(array[part != left_out] for array in side)
            values.append(statistic(*sides[:i], kept, *sides[i + 1 :]))
        variance += jackknife_variance(np.array(values))
    error = float(np.sqrt(variance))
    return normal_interval(statistic(*sides), error, float(t.ppf(0.975, PARTS - 1)))


def magnitude(estimate: Estimate) -> Estimate:
    """The absolute value. Chapter utility, "Calibration: are the risks right?"."""
    value, low, high = estimate
    assert low is not None and high is not None
    nearest = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    return Estimate(abs(value), nearest, max(abs(low), abs(high)))


def largest_of(values: np.ndarray, influence: np.ndarray, rng: np.random.Generator) -> Estimate:
    """The largest of several true values (k,), of which noisy, dependent estimates are known.

    `influence` (patients, k) is what each patient adds to the error of each estimate. The interval
    holds for all values at once. The largest estimate was chosen for its luck, so from each are
    subtracted as many standard errors as luck alone gives the largest contender in half of the
    cases. Contenders are less than 1.96 standard errors below the largest.

    Source: after Chernozhukov et al., Econometrica 2013;81:667-737.
    Chapter utility, "For whom? Fairness".
    """
    covariance = influence.T @ influence
    error = np.sqrt(np.diag(covariance))
    if not error.any():
        return Estimate(*[float(values.max())] * 3)
    scale = np.where(error > 0, error, 1.0)
    zero = np.zeros(len(values))
    luck = rng.multivariate_normal(zero, covariance, 2_000, method="eigh") / scale
    most = np.quantile(np.abs(luck).max(axis=1), 0.95)
    low, high = (values - most * error).max(), (values + most * error).max()
    best = values.argmax()
    apart = np.sqrt(np.clip(error**2 + error[best] ** 2 - 2 * covariance[best], 0, None))
    contends = values[best] - values <= Z95 * apart
    usual = np.median(luck[:, contends].max(axis=1))
    value = max((values - usual * error)[contends].max(), low)
    return Estimate(float(value), float(low), float(high))
