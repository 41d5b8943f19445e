"""Fidelity of single columns: are codes as frequent and measurements as large as in real data?"""

from collections.abc import Callable

import numpy as np
from scipy.stats import wasserstein_distance

from ..statistics import Estimate, NotComputable
from .intervals import folded, jackknife_of_rows, jackknife_of_sums
from .setting import Setting, Side

FEWEST_VALUES = 10  # in either table, for a distance
STRATA = {"frequent": (0.01, 1.0), "uncommon": (0.001, 0.01), "rare": (0.0, 0.001)}


def prevalence_difference(
    real: np.ndarray, candidate: np.ndarray, counted: int | None = None
) -> float:
    """Mean absolute difference of prevalences of 0/1 columns, per 1,000 patients.

    `counted` is what the sum is divided by; the number of columns by default.
    Chapter utility, "One column at a time: dimension-wise distribution".
    """
    difference = np.abs(real.mean(axis=0, dtype=float) - candidate.mean(axis=0, dtype=float))
    return 1000 * float(difference.sum()) / (counted or len(difference))


def _prevalence_published(setting: Setting, rng) -> Estimate:
    chosen = setting.encoder.is_kind("binary", "category")
    counted = int(chosen.sum())
    # The tutorial leaves the outcome out of the sum but not out of the divisor.
    chosen[setting.encoder.columns(setting.schema.outcome)] = False
    return _prevalence(setting.train, setting.candidate, rng, chosen, counted)


def _prevalence_corrected(setting: Setting, rng) -> Estimate:
    chosen = ~setting.encoder.is_kind("continuous")
    return _prevalence(setting.train, setting.even_candidate, rng, chosen, int(chosen.sum()))


def _prevalence(real: Side, made: Side, rng, chosen: np.ndarray, counted: int) -> Estimate:
    if not chosen.any():
        raise NotComputable("there is no binary or categorical column")
    return jackknife_of_sums(
        lambda a, b, n, m: 1000 * float(np.abs(a / n - b / m).sum()) / counted,
        real.matrix[:, chosen], made.matrix[:, chosen], rng,
    )  # fmt: skip


def _log_share(count: np.ndarray, n: float) -> np.ndarray:
    return np.log((count + 0.5) / (n + 1))


def log_prevalence_r2(
    real: np.ndarray, candidate: np.ndarray, n_real: float, n_candidate: float
) -> float:
    """How well log prevalences agree: 1 minus squared error over variance, 1 is perfect.

    Of the numbers of patients with each code and in all; half a patient is added to every count.
    Chapter utility, "The rare codes: log-prevalence agreement".
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
    Chapter utility, "The rare codes: log-prevalence agreement".
    """
    p, q = _log_share(real, n_real), _log_share(candidate, n_candidate)
    return float(np.exp(np.abs(p - q).mean()))


def _codes_counted(statistic, what: str, low: float = 0.0, high: float = np.inf):
    """Metric of the numbers of patients with each code whose prevalence in train is in a range."""

    def compute(setting: Setting, rng) -> Estimate:
        known = setting.train.matrix.mean(axis=0, dtype=float)
        chosen = setting.encoder.is_kind("binary") & (known >= low) & (known < high)
        if chosen.sum() < 3:
            raise NotComputable(f"fewer than three {what}")
        real, made = (x.matrix[:, chosen] for x in (setting.train, setting.even_candidate))
        return jackknife_of_sums(statistic, real, made, rng)

    return compute


def _wasserstein(real: Side, made: Side, rng, scale: Callable) -> Estimate:
    """Mean over continuous columns of the Wasserstein distance, divided by `scale(values)`."""
    known = {}
    for name in real.encoder.schema.of_kind("continuous"):
        a, b = (side.frame[name].dropna().to_numpy(float) for side in (real, made))
        if min(len(a), len(b)) >= FEWEST_VALUES and np.ptp(a) > 0:
            known[name] = scale(a)
    if not known:
        raise NotComputable(f"no continuous column has {FEWEST_VALUES} values in both tables")

    def distance(*sides: tuple[np.ndarray]) -> float:
        columns = ([x[np.isfinite(x)] for x in side[0].T] for side in sides)
        return float(np.mean(list(map(wasserstein_distance, *columns))))

    scaled = [
        (side.frame[list(known)].to_numpy(float) / [*known.values()],) for side in (real, made)
    ]
    z = [
        _steps(*([x[np.isfinite(x)] for x in pair]))
        for pair in zip(*(s[0].T for s in scaled), strict=True)
    ]
    return folded(jackknife_of_rows(distance, scaled, rng), np.concatenate(z))


def _steps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How far two distribution functions are apart at each tenth, in standard errors."""
    both = np.concatenate([a, b])
    at = np.quantile(both, np.linspace(0.1, 0.9, 9))
    share, *own = ((x[:, None] <= at).mean(axis=0) for x in (both, a, b))
    inside = (share > 0) & (share < 1)
    error = np.sqrt(share * (1 - share) * (1 / len(a) + 1 / len(b)))
    return (own[0] - own[1])[inside] / error[inside]


COMPUTE: dict[tuple[str, str], Callable] = {
    ("dimension_wise_distribution_binary", "published"): _prevalence_published,
    ("dimension_wise_distribution_binary", "corrected"): _prevalence_corrected,
    ("dimension_wise_distribution_continuous", "published"): lambda setting, rng: _wasserstein(
        setting.train, setting.candidate, rng, np.ptp
    ),
    ("dimension_wise_distribution_continuous", "corrected"): lambda setting, rng: _wasserstein(
        setting.train, setting.even_candidate, rng, np.std
    ),
    ("log_prevalence_r2", "corrected"): _codes_counted(log_prevalence_r2, "binary columns"),
} | {
    (f"prevalence_of_{name}_codes", "corrected"): _codes_counted(
        prevalence_factor, f"{name} codes", low, high
    )
    for name, (low, high) in STRATA.items()
}
