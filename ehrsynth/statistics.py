"""Plain statistics: numbers with their intervals, and distances between records.

Nothing here knows of patients, columns or synthetic data; the folders above do.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.special import expit, logit
from scipy.stats import CensoredData, beta, binomtest, ecdf, norm, rankdata, t

Z95 = float(norm.ppf(0.975))
_BLOCK = 1_024  # rows whose distances are computed at once, to twice as many others
_SPARSE = 25  # times as fast is a value of a dense product; other values are 0 in most codes
_SQUARED_DECIMALS = 4  # float32 distances of equal rows agree to here


class NotComputable(Exception):
    """A statistic has no value for these data; the message is the reason a person reads."""


class Estimate(NamedTuple):
    """A number with its 95 % interval; the bounds are None where none is computed."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def half(self) -> float:
        """Half of the interval's width; 0 where there is none."""
        return 0.0 if self.low is None or self.high is None else (self.high - self.low) / 2


# -- intervals ---------------------------------------------------------------------------


def normal_interval(value: float, error: float, quantile: float = Z95) -> Estimate:
    """A number with as many standard errors on both sides as the quantile says."""
    return Estimate(value, value - quantile * error, value + quantile * error)


def wilson(hits: int, n: int) -> Estimate:
    """A share with its Wilson interval, which is right near 0 and 1 where Wald's is not."""
    if n <= 0:
        raise NotComputable("there are no patients to count")
    share, interval = hits / n, binomtest(hits, n).proportion_ci(method="wilson")
    return Estimate(share, min(float(interval.low), share), max(float(interval.high), share))


def mean_of(estimates: list[Estimate]) -> Estimate:
    """The mean of independent estimates with symmetric error, e.g. of cross-validation folds."""
    error = float(np.linalg.norm([e.half / Z95 for e in estimates])) / len(estimates)
    return normal_interval(float(np.mean([e.value for e in estimates])), error)


def jackknife_variance(left_out: np.ndarray) -> float:
    """Variance of a statistic, from its values without each of some equal groups (Kott 2001)."""
    count = len(left_out)
    return (count - 1) / count * float(np.sum((left_out - np.mean(left_out)) ** 2))


def group_sums(
    rows: np.ndarray, rng: np.random.Generator, groups: int = 20,
    sums: Callable[[np.ndarray], np.ndarray] = lambda part: part.sum(axis=0, dtype=np.float64),
) -> np.ndarray:  # fmt: skip
    """Number of rows and their sums, of at most so many random groups, for :func:`jackknife`."""
    groups = max(2, min(groups, len(rows)))
    member = rng.permutation(len(rows)) % groups
    parts = (rows[member == g] for g in range(groups))  # one at a time, for the memory
    return np.stack([np.append(float(len(x)), sums(x)) for x in parts])


def jackknife(statistic: Callable[..., float], *tables: np.ndarray) -> Estimate:
    """A statistic of tables' sums (by group) with a delete-a-group jackknife interval.

    Distances between two samples grow with noise, so a bootstrap, which adds noise, gives
    intervals that miss the value; the jackknife does not.
    """
    totals = [table.sum(axis=0) for table in tables]
    variance = 0.0
    for i, table in enumerate(tables):
        left_out = [statistic(*totals[:i], totals[i] - part, *totals[i + 1 :]) for part in table]
        variance += jackknife_variance(np.array(left_out))
    quantile = float(t.ppf(0.975, min(map(len, tables)) - 1))
    return normal_interval(statistic(*totals), float(np.sqrt(variance)), quantile)


def holm(chances: np.ndarray) -> np.ndarray:
    """Chances, corrected so that any is below 5 % in at most 5 % of cases by chance (Holm 1979)."""
    order, count = np.argsort(chances, kind="stable"), len(chances)
    found = np.empty(count)
    found[order] = np.maximum.accumulate(chances[order] * np.arange(count, 0, -1))
    return np.minimum(found, 1)


# -- telling two groups apart --------------------------------------------------------------


def auroc(cases: np.ndarray, controls: np.ndarray) -> Estimate:
    """Probability that a case scores higher than a control (ties count half).

    The interval is DeLong's (Biometrics 1988;44:837-845), on the logit scale so that it stays
    between 0 and 1; when the groups do not overlap at all, its open end is the exact binomial one
    of the smaller group.
    """
    placements = _placements(cases, controls)
    area = float(placements[0].mean())
    variance = sum(float(v.var(ddof=1)) / len(v) for v in placements if len(v) > 1)
    if area in (0.0, 1.0) or variance == 0:
        smaller = min(len(cases), len(controls))
        slack = 1 - beta.ppf(0.025, smaller, 1) if area in (0.0, 1.0) else 0.5
        return Estimate(area, max(area - slack, 0.0), min(area + slack, 1.0))
    error = np.sqrt(variance) / (area * (1 - area))
    return Estimate(area, *(float(expit(logit(area) + s * Z95 * error)) for s in (-1, 1)))


def _placements(cases: np.ndarray, controls: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of controls below each case, and of cases above each control (ties count half)."""
    m, n = len(cases), len(controls)
    if m == 0 or n == 0:
        raise NotComputable("one of the two groups is empty")
    ranks = rankdata(np.concatenate([cases, controls]))
    return (ranks[:m] - rankdata(cases)) / n, 1 - (ranks[m:] - rankdata(controls)) / m


def auroc_parts(score: np.ndarray, is_case: np.ndarray) -> tuple[float, np.ndarray]:
    """AUROC, and what each patient adds to its error: the sum of squares is the variance."""
    case = is_case.astype(bool)
    v_cases, v_controls = _placements(score[case], score[~case])
    area, influence = float(v_cases.mean()), np.zeros(len(score))
    influence[case] = (v_cases - area) / len(v_cases)
    influence[~case] = (v_controls - area) / len(v_controls)
    return area, influence


def boosted_trees(x: np.ndarray, y: np.ndarray, rounds: int, learning_rate: float, seed: int):
    """LightGBM classifier (a Booster) of 0/1 `y`, the same for the same seed."""
    import lightgbm

    parameters: dict[str, Any] = {
        "objective": "binary", "verbosity": -1, "seed": seed, "deterministic": True,
        "force_row_wise": True, "learning_rate": learning_rate, "num_leaves": 15,
        "min_data_in_leaf": int(np.clip(len(x) // 100, 2, 20)), "feature_fraction": 0.5,
        "lambda_l2": 1.0, "max_bin": 63, "min_data_in_bin": 1,
    }  # fmt: skip
    data = lightgbm.Dataset(np.ascontiguousarray(x), np.asarray(y), free_raw_data=True)
    return lightgbm.train(parameters, data, num_boost_round=rounds)


def two_sample_test(
    first: np.ndarray, second: np.ndarray, rng: np.random.Generator,
    most: int = 6_000, folds: int = 3, rounds: int = 150, learning_rate: float = 0.07,
) -> Estimate:  # fmt: skip
    """Cross-validated AUROC of boosted trees that tell two tables apart: 0.5 never, 1 always.

    Of both as many rows, at most `most`. That the folds' models share rows makes the interval wider
    (Nadeau and Bengio, Mach Learn 2003;52:239-281). Source: Lopez-Paz and Oquab, ICLR 2017.
    """
    n = min(len(first), len(second), most)
    if n < 10:
        raise NotComputable("fewer than 10 patients on a side")
    rows = [x[np.sort(rng.choice(len(x), n, replace=False))] for x in (first, second)]
    x, truth = np.concatenate(rows), np.repeat([0, 1], n)
    fold = np.concatenate([rng.permutation(n) % folds for _ in range(2)])
    seed = int(rng.integers(2**31))
    areas = []
    for k in range(folds):
        model = boosted_trees(x[fold != k], truth[fold != k], rounds, learning_rate, seed)
        score, label = model.predict(x[fold == k], raw_score=True), truth[fold == k]
        areas.append(auroc(score[label == 1], score[label == 0]))
    found = mean_of(areas)
    return normal_interval(found.value, found.half * float(np.sqrt(1 + folds / (folds - 1))), 1.0)


# -- time to an event ----------------------------------------------------------------------


def kaplan_meier(time: np.ndarray, event: np.ndarray):
    """The share that lives on without an event, as a curve of SciPy (with Greenwood's interval).

    `event` is 0 where the following ended without it (censored).
    """
    return ecdf(CensoredData.right_censored(time, event == 0)).sf


# -- distances -----------------------------------------------------------------------------


def distances(queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """All Euclidean distances (n, m) of two small tables, rounded as nearest ones are."""
    lengths = (np.einsum("ij,ij->i", x, x) for x in (queries, rows))
    squared = np.add.outer(*lengths) - 2 * (queries @ rows.T)
    return np.sqrt(np.round(np.maximum(squared, 0), _SQUARED_DECIMALS))


def squared_by_block(
    queries: np.ndarray, rows: np.ndarray, *skips: np.ndarray | None
) -> Iterator[tuple[slice, int, np.ndarray]]:
    """Which queries, the number of the first row, and their squared distances less the queries'
    own squares, block by block, in float32; infinite to the row that a query skips.
    """
    doubled = -2 * np.ascontiguousarray(queries, dtype=np.float32)
    if _SPARSE * np.count_nonzero(doubled) < doubled.size:
        doubled = csr_array(doubled)
    for start in range(0, len(rows), 2 * _BLOCK):
        block = np.ascontiguousarray(rows[start : start + 2 * _BLOCK], dtype=np.float32)
        columns, lengths = np.ascontiguousarray(block.T), np.einsum("ij,ij->i", block, block)
        for first in range(0, len(queries), _BLOCK):
            part = slice(first, first + _BLOCK)
            squared = doubled[part] @ columns
            squared += lengths
            for skip in (skip for skip in skips if skip is not None):
                own = skip[part] - start
                inside = np.flatnonzero((own >= 0) & (own < len(block)))
                squared[inside, own[inside]] = np.inf
            yield part, start, squared


def nearest_distances(
    queries: np.ndarray, rows: np.ndarray, k: int, skip: np.ndarray | None = None
) -> np.ndarray:
    """Euclidean distances (n, k) of each query to its `k` nearest rows, the nearest first.

    In blocks of float32, faster than scikit-learn's; infinite where there are fewer rows. Squares
    are rounded to four decimals, so that equal rows have distance 0. `skip` is for each query the
    row that does not count (itself).
    """
    nearest = np.full((len(queries), k), np.inf, dtype=np.float32)
    for part, _, squared in squared_by_block(queries, rows, skip):
        if k == 1:
            found = squared.min(axis=1, keepdims=True)
        else:
            found = np.partition(squared, min(k, squared.shape[1]) - 1, axis=1)[:, :k]
        nearest[part] = np.sort(np.concatenate([nearest[part], found], axis=1), axis=1)[:, :k]
    nearest += np.einsum("ij,ij->i", queries, queries)[:, None]
    return np.sqrt(np.round(np.maximum(nearest, 0), _SQUARED_DECIMALS))


def nearest_distance(
    queries: np.ndarray, rows: np.ndarray, skip: np.ndarray | None = None
) -> np.ndarray:
    """Euclidean distance of each query to its nearest row; see :func:`nearest_distances`."""
    return nearest_distances(queries, rows, 1, skip)[:, 0]
