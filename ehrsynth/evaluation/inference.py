"""Inference: do the synthetic data show the same effects as real patients?

The effects are the log odds ratios of the outcome for who has a diagnosis.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from ..schema import Schema
from ..statistics import Z95, Estimate, NotComputable, group_sums, jackknife, wilson
from .intervals import folded
from .setting import Setting

FEWEST_IN_CELL = 10  # patients in each cell of code by outcome, for an odds ratio worth comparing
_TOO_FEW = f"no code has {FEWEST_IN_CELL} patients with and without the outcome"


def log_odds_ratios(
    n: float, cases: float, with_code: np.ndarray, both: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Log odds ratio of the outcome for who has a code, and its standard error, by code.

    From the numbers of patients in all, with the outcome, with each code, and with both. Half a
    patient is added to every cell, so that an empty one has a logarithm.

    Source: Haldane, Ann Hum Genet 1956;20:309-311; Woolf, Ann Hum Genet 1955;19:251-253.
    Chapter utility, "Effect estimates".
    """
    cells = _cells(n, cases, with_code, both) + 0.5
    signs = np.array([1, -1, -1, 1])
    return signs @ np.log(cells), np.sqrt((1 / cells).sum(axis=0))


def _cells(n, cases, with_code, both) -> np.ndarray:
    """Patients with code and outcome, with the code alone, the outcome alone, and neither."""
    return np.stack([both, with_code - both, cases - both, n - cases - with_code + both])


def log_odds_errors(table: pd.DataFrame, truth: pd.Series) -> pd.Series:
    """Estimated minus true log odds ratio of each code with the outcome, by column name.

    `truth` is by phecode, e.g. of :func:`ehrsynth.hospital.truth.codes`. Codes with fewer than 10
    patients in a cell of code by outcome are left out. Chapter utility, "Effect estimates".
    """
    return _against_truth(table, truth)["error"]


def _against_truth(table: pd.DataFrame, truth: pd.Series) -> pd.DataFrame:
    """Error and standard error of each code's log odds ratio."""
    schema = Schema.of(table)
    names = [c.name for c in schema.columns if c.kind == "binary" and c.code in truth.index]
    y, flags = schema.outcome_values(table).astype(float), table[names].to_numpy(float)
    counts = len(table), y.sum(), flags.sum(axis=0), y @ flags
    found, error = log_odds_ratios(*counts)
    errors = found - truth[[schema[n].code for n in names]].to_numpy(float)
    judged = _cells(*counts).min(axis=0) >= FEWEST_IN_CELL
    return pd.DataFrame({"error": errors, "standard_error": error}, index=names)[judged]


def coverage(table: pd.DataFrame, truth: pd.Series, patients: int | None = None) -> Estimate:
    """Share of codes whose 95 % interval from this table holds the true log odds ratio.

    Of real patients it is 0.95. Of a synthetic table the intervals are those of whoever takes its
    rows for patients; with the number of used `patients`, :func:`combined` widens them.
    Chapter utility, "May one believe an interval?".
    """
    found = _against_truth(table, truth)
    if found.empty:
        raise NotComputable(_TOO_FEW)
    error = found["standard_error"]
    if patients is not None:
        _, error = combined(found[["error"]].T, error.to_frame().T ** 2, len(table), patients)
    return wilson(int((found["error"].abs() <= Z95 * error).sum()), len(found))


def combined(
    estimates: np.ndarray, variances: np.ndarray, rows: int, patients: int, drawn: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """One estimate and its standard error from several synthetic tables of the same patients.

    `estimates` and `variances` (tables, k) are what each table says when its rows are taken for
    patients; all tables have as many `rows`. The variance is their mean, times rows over
    `patients` (what the patients themselves do not know) plus 1 over the number of tables (what
    drawing rows adds); one table is enough. `drawn` says that the model's parameters were drawn
    anew for each table, which adds more. Both ask for a model that is right.

    Source: Raab, Nowok and Dibben, J Priv Confid 2016;7(3):67-97.
    Chapter utility, "May one believe an interval?".
    """
    tables, share = len(estimates), rows / patients
    factor = share + (1 + share if drawn else 1) / tables
    return np.mean(estimates, axis=0), np.sqrt(np.mean(variances, axis=0) * factor)


def interval_overlap(estimate_a, error_a, estimate_b, error_b) -> np.ndarray:
    """Share of two 95 % intervals that they have in common, averaged over both; 0 if none.

    Source: Karr et al., Am Stat 2006;60:224-232. Chapter utility, "Effect estimates".
    """
    low = np.maximum(estimate_a - Z95 * error_a, estimate_b - Z95 * error_b)
    high = np.minimum(estimate_a + Z95 * error_a, estimate_b + Z95 * error_b)
    widths = 2 * Z95 * np.stack([error_a, error_b])
    return (np.clip(high - low, 0, None) / widths).mean(axis=0)


def _effects(setting: Setting, rng, compare: Callable) -> Estimate:
    """`compare` is a function of log odds ratios and standard errors of both tables."""
    sides = setting.holdout, setting.candidate
    n = min(map(len, sides))
    known, y = setting.train.matrix, setting.train.outcome
    counts = len(known), y.sum(), known.sum(axis=0, dtype=float), y.astype(np.float32) @ known
    expected = _cells(*counts).min(axis=0) * n / len(known)
    chosen = setting.encoder.is_kind("binary") & (expected >= FEWEST_IN_CELL)
    chosen[setting.encoder.columns(setting.schema.outcome)] = False
    if not chosen.any():
        raise NotComputable(_TOO_FEW)
    sums = []
    for side in sides:
        rows = side.sample(n, rng)
        has, died = side.matrix[rows][:, chosen], side.outcome[rows, None]
        sums.append(group_sums(np.concatenate([died, has, has * died], axis=1), rng))

    def ratios(total):
        return log_odds_ratios(total[0], total[1], *np.split(total[2:], 2))

    found = jackknife(lambda a, b: float(np.mean(compare(*ratios(a), *ratios(b)))), *sums)
    (a, error_a), (b, error_b) = (ratios(part.sum(axis=0)) for part in sums)
    return folded(found, (a - b) / np.hypot(error_a, error_b))


def absolute_difference(estimate_a, error_a, estimate_b, error_b) -> np.ndarray:
    """Of two effects, whatever their errors. Chapter utility, "Effect estimates"."""
    return np.abs(estimate_a - estimate_b)


COMPUTE = {
    ("effect_estimates", "corrected"): partial(_effects, compare=absolute_difference),
    ("effect_interval_overlap", "corrected"): partial(_effects, compare=interval_overlap),
}
