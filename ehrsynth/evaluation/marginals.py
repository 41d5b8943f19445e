"""Fidelity of single columns: are codes as frequent and measurements as large as in real data?"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from scipy.stats import wasserstein_distance

from ..statistics import Estimate, NotComputable
from .intervals import folded, jackknife_of_rows, jackknife_of_sums
from .setting import Setting

FEWEST_VALUES = 10  # in either table, for a distance
STRATA = {"frequent": (0.01, 1.0), "uncommon": (0.001, 0.01), "rare": (0.0, 0.001)}


def prevalence_difference(
    real: np.ndarray, candidate: np.ndarray, counted: int | None = None
) -> float:
    """Mean absolute difference of prevalences of 0/1 columns (or of `counted`), per 1,000 patients.
    Chapter fidelity, "One column at a time: dimension-wise distribution".
    """
    difference = np.abs(real.mean(axis=0, dtype=float) - candidate.mean(axis=0, dtype=float))
    return 1000 * float(difference.sum()) / (counted or len(difference))


def _prevalence(setting: Setting, rng, published: bool) -> Estimate:
    encoder, made = setting.encoder, setting.candidate if published else setting.even_candidate
    chosen = encoder.is_kind("binary", "category", *([] if published else ["missing"]))
    counted = int(chosen.sum())
    if published:  # the tutorial leaves the outcome out of the sum but not out of the divisor
        chosen[encoder.columns(setting.schema.outcome)] = False
    if not chosen.any():
        raise NotComputable("there is no binary or categorical column")
    return jackknife_of_sums(
        lambda a, b, n, m: prevalence_difference(a[None] / n, b[None] / m, counted),
        setting.train.matrix[:, chosen], made.matrix[:, chosen], rng,
    )  # fmt: skip


def _log_share(count: np.ndarray, n: float) -> np.ndarray:
    return np.log((count + 0.5) / (n + 1))


def log_prevalence_r2(
    real: np.ndarray, candidate: np.ndarray, n_real: float, n_candidate: float
) -> float:
    """How well log prevalences agree: 1 minus squared error over variance, 1 is perfect.

    Of the numbers of patients with each code and in all; half a patient is added to every count.
    Chapter fidelity, "The rare codes: log-prevalence agreement".
    """
    p, q = _log_share(real, n_real), _log_share(candidate, n_candidate)
    spread = np.sum((p - p.mean()) ** 2)
    if spread == 0:
        raise NotComputable("all binary columns are equally frequent")
    return 1 - float(np.sum((p - q) ** 2) / spread)


def prevalence_factor(
    real: np.ndarray, candidate: np.ndarray, n_real: float, n_candidate: float
) -> float:
    """By which factor a prevalence is typically off: exp of the mean absolute log difference.
    Chapter fidelity, "The rare codes: log-prevalence agreement".
    """
    p, q = _log_share(real, n_real), _log_share(candidate, n_candidate)
    return float(np.exp(np.abs(p - q).mean()))


def _codes_counted(
    setting: Setting, rng, statistic: Callable, what: str, low: float = 0.0, high: float = np.inf
) -> Estimate:
    """Of the numbers of patients with each code whose prevalence in train is in a range."""
    known = setting.train.matrix.mean(axis=0, dtype=float)
    chosen = setting.encoder.is_kind("binary") & (known >= low) & (known < high)
    if chosen.sum() < 3:
        raise NotComputable(f"fewer than three {what}")
    real, made = (x.matrix[:, chosen] for x in (setting.train, setting.even_candidate))
    return jackknife_of_sums(statistic, real, made, rng)


def _wasserstein(setting: Setting, rng, published: bool) -> Estimate:
    """Mean over continuous columns of the Wasserstein distance, in ranges or deviations."""
    real, made = setting.train, setting.candidate if published else setting.even_candidate
    scale: Callable = np.ptp if published else np.std
    known = {}
    for name in real.encoder.schema.of_kind("continuous"):
        a, b = (side.frame[name].dropna().to_numpy(float) for side in (real, made))
        if min(len(a), len(b)) >= FEWEST_VALUES and np.ptp(a) > 0:
            known[name] = scale(a)
    if not known:
        raise NotComputable(f"no continuous column has {FEWEST_VALUES} values in both tables")

    def columns(side: tuple[np.ndarray]) -> list[np.ndarray]:
        return [x[np.isfinite(x)] for x in side[0].T]

    def distance(*sides: tuple[np.ndarray]) -> float:
        return float(np.mean(list(map(wasserstein_distance, *map(columns, sides)))))

    scaled = [
        (side.frame[list(known)].to_numpy(float) / [*known.values()],) for side in (real, made)
    ]
    z = np.concatenate(list(map(_steps, *map(columns, scaled))))
    return folded(jackknife_of_rows(distance, scaled, rng), z)


def _steps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How far two distribution functions are apart at each tenth, in standard errors."""
    both = np.concatenate([a, b])
    at = np.quantile(both, np.linspace(0.1, 0.9, 9))
    share, *own = ((x[:, None] <= at).mean(axis=0) for x in (both, a, b))
    inside = (share > 0) & (share < 1)
    error = np.sqrt(share * (1 - share) * (1 / len(a) + 1 / len(b)))
    return (own[0] - own[1])[inside] / error[inside]


COMPUTE: Mapping[tuple[str, str], Callable] = {
    ("dimension_wise_distribution_binary", "published"): partial(_prevalence, published=True),
    ("dimension_wise_distribution_binary", "corrected"): partial(_prevalence, published=False),
    ("dimension_wise_distribution_continuous", "published"): partial(_wasserstein, published=True),
    ("dimension_wise_distribution_continuous", "corrected"): partial(_wasserstein, published=False),
    ("log_prevalence_r2", "corrected"): partial(
        _codes_counted, statistic=log_prevalence_r2, what="binary columns"
    ),
} | {
    (f"prevalence_of_{name}_codes", "corrected"): partial(
        _codes_counted, statistic=prevalence_factor, what=f"{name} codes", low=low, high=high
    )
    for name, (low, high) in STRATA.items()
}
