"""Numbers with their intervals, as every metric uses them."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.stats import beta, norm, rankdata, t

Z95 = float(norm.ppf(0.975))


class NotComputable(Exception):
    """A metric has no value for these tables; the message is the reason a person reads."""


class Estimate(NamedTuple):
    """A number with its 95 % interval; the bounds are None where none is computed."""

    value: float
    low: float | None = None
    high: float | None = None


# -- intervals ---------------------------------------------------------------------------


def wilson(hits: float, n: int) -> Estimate:
    """A share with its Wilson interval, which is right near 0 and 1 where Wald's is not.

    Source: Wilson, J Am Stat Assoc 1927;22:209-212.
    """
    if n <= 0:
        raise NotComputable("there are no patients to count")
    p = hits / n
    center = (p + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * np.sqrt(p * (1 - p) / n + Z95**2 / (4 * n**2))
    return Estimate(p, min(center - half, p), max(center + half, p))


def around(value: float, error: float, z: float = Z95) -> Estimate:
    """A number and its standard error as an estimate."""
    return Estimate(value, value - z * error, value + z * error)


def magnitude(estimate: Estimate) -> Estimate:
    """The absolute value; its interval starts at 0 when the signed one holds 0."""
    value, low, high = estimate
    nearest = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    return Estimate(abs(value), nearest, max(abs(low), abs(high)))


def auroc(cases: np.ndarray, controls: np.ndarray) -> Estimate:
    """Probability that a case scores higher than a control (ties count half).

    The interval is DeLong's, on the logit scale so that it stays between 0 and 1; when the
    groups do not overlap at all, its open end is the exact binomial one of the smaller group.

    Source: DeLong et al., Biometrics 1988;44:837-845; fast form: Sun and Xu, IEEE Signal
    Process Lett 2014;21:1389-1393.

    Parameters
    ----------
    cases, controls : array of float
        Scores of the two groups, higher meaning "more likely a case".
    """
    m, n = len(cases), len(controls)
    if m == 0 or n == 0:
        raise NotComputable("one of the two groups is empty")
    v_cases, v_controls = _placements(cases, controls)
    area = float(v_cases.mean())
    variance = 0.0
    for v in (v_cases, v_controls):
        if len(v) > 1:
            variance += v.var(ddof=1) / len(v)
    if area in (0.0, 1.0) or variance == 0:
        slack = 1 - beta.ppf(0.025, min(m, n), 1) if area in (0.0, 1.0) else 0.5
        return Estimate(area, max(area - slack, 0.0), min(area + slack, 1.0))
    logit, error = np.log(area / (1 - area)), np.sqrt(variance) / (area * (1 - area))
    low, high = (1 / (1 + np.exp(-(logit + s * Z95 * error))) for s in (-1, 1))
    return Estimate(area, low, high)


def _placements(cases: np.ndarray, controls: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of controls below each case, and of cases above each control (ties half)."""
    m, n = len(cases), len(controls)
    ranks = rankdata(np.concatenate([cases, controls]))
    return (ranks[:m] - rankdata(cases)) / n, 1 - (ranks[m:] - rankdata(controls)) / m


def auroc_parts(score: np.ndarray, is_case: np.ndarray) -> tuple[float, np.ndarray]:
    """AUROC, and what each patient adds to its error (the influence, of sum 0).

    The sum of squares is the variance; of a difference of two models' AUROCs on the same
    patients, it is that of the differences.

    Source: DeLong et al., Biometrics 1988;44:837-845.
    """
    case = is_case.astype(bool)
    if case.all() or not case.any():
        raise NotComputable("one of the two groups is empty")
    v_cases, v_controls = _placements(score[case], score[~case])
    area, influence = float(v_cases.mean()), np.zeros(len(score))
    influence[case] = (v_cases - area) / len(v_cases)
    influence[~case] = (v_controls - area) / len(v_controls)
    return area, influence


def largest_of(values: np.ndarray, influence: np.ndarray, rng: np.random.Generator) -> Estimate:
    """The largest of several true values, of which noisy, dependent estimates are known.

    The largest estimate is too large: it was chosen for its luck. The interval holds for all
    values at once. The point is the largest after subtracting from each as many standard errors
    as luck alone gives the largest of the contenders in half of the cases, so that it is too
    large as often as too small when they are all equal, and rather too small when not. Contenders
    are those less than 1.96 standard errors below the largest; where one stands out nothing is
    subtracted.

    Source: after Chernozhukov et al., Econometrica 2013;81:667-737.

    Parameters
    ----------
    values : array, shape (k,)
    influence : array, shape (patients, k)
        What each patient adds to the error of each estimate.
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


def mean_of(estimates: list[Estimate]) -> Estimate:
    """The mean of independent estimates with symmetric error, e.g. of cross-validation folds."""
    errors = [(e.high - e.low) / (2 * Z95) for e in estimates]
    return around(
        float(np.mean([e.value for e in estimates])),
        float(np.sqrt(np.sum(np.square(errors)))) / len(estimates),
    )


def group_sums(rows: np.ndarray, rng: np.random.Generator, groups: int = 20) -> np.ndarray:
    """Sums of the rows in each of some random groups, for :func:`jackknife`; shape (groups, width).

    A column of ones is put in front, so that column 0 counts the rows.
    """
    groups = max(2, min(groups, len(rows)))
    member = rng.permutation(len(rows)) % groups
    sums = np.zeros((groups, rows.shape[1] + 1))
    for g in range(groups):
        part = rows[member == g]
        sums[g, 0] = len(part)
        sums[g, 1:] = part.sum(axis=0, dtype=np.float64)
    return sums


def jackknife(statistic: Callable[..., float], *tables: np.ndarray) -> Estimate:
    """A statistic of tables' sums with a delete-a-group jackknife interval.

    Distances between two samples grow with noise, so a bootstrap, which adds noise, gives
    intervals that miss the value; the jackknife does not.

    Source: Kott, J Off Stat 2001;17:521-526.

    Parameters
    ----------
    statistic : callable
        Function of the total sums of each table.
    tables : array
        Sums by group (first axis), independent of each other.
    """
    totals = [table.sum(axis=0) for table in tables]
    variance = 0.0
    for i, table in enumerate(tables):
        left_out = np.array(
            [statistic(*totals[:i], totals[i] - part, *totals[i + 1 :]) for part in table]
        )
        variance += (len(table) - 1) / len(table) * np.sum((left_out - left_out.mean()) ** 2)
    freedom = min(map(len, tables)) - 1
    return around(statistic(*totals), float(np.sqrt(variance)), float(t.ppf(0.975, freedom)))
