"""What a metric is, and the intervals that every metric uses.

A metric is described once, as a :class:`Spec`: its name, what it asks, where its formula comes
from, and a pure function of a :class:`~ehrsynth.evaluation.setting.Setting` (train, holdout and a
candidate table). The driver evaluates that function three times, with the synthetic data, with
the best and with the worst table one could release in its place, and keeps the three numbers as
one :class:`Metric`.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import NamedTuple
from zlib import crc32

import numpy as np
from scipy.stats import beta, norm, rankdata, t

Z95 = float(norm.ppf(0.975))
LOST = 0.1  # of the way from best to worst; see Metric.notices
TUTORIAL = "Yan et al., JMIR AI 2024;3:e52615"
BENCHMARK = "Yan et al., Nat Commun 2022;13:7609"


class NotComputable(Exception):
    """A metric has no value for these tables; the message is the reason a person reads."""


class Estimate(NamedTuple):
    """A number with its 95 % interval; the bounds are None where none is computed."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Spec:
    """What a metric asks and how it is computed.

    Parameters
    ----------
    name : str
        Name in snake case; the published and the corrected form share it.
    family : {"fidelity", "utility", "privacy", "fairness"}
    form : {"published", "corrected"}
        As in the tutorial and its companion benchmark, or as it can be believed. A metric that
        they do not have is "corrected".
    direction : {"lower", "higher"}
        Which way is better.
    unit : str
    source : str
        Paper and place of the formula.
    sentence : str
        One plain sentence: what the number says.
    compute : callable
        Function of a Setting and a numpy Generator that returns an :class:`Estimate` or raises
        :class:`NotComputable`.
    best : {"holdout", "swap", "train", "half"}
        Which table stands for the best: holdout itself; holdout compared with train, where the
        metric compares with holdout; train, where holdout is the test set; or one half of
        holdout, attacked together with the other half, where the metric is an attack.
    worst : {"independent", "train", "holdout"}
        Independent columns drawn from train, or train or holdout released as it is.
    bounds : tuple of float
        What the value can be; intervals are cut there.
    title : str
        What a person reads in a table; made from the name by default.
    draws : int
        Independent tables over which the worst reference is averaged: a model of noise scores
        0.5 only on average.
    note : callable, optional
        Function of a Setting: a sentence on what is behind the value, e.g. which group.
    """

    name: str
    family: str
    form: str
    direction: str
    unit: str
    source: str
    sentence: str
    compute: Callable
    best: str = "holdout"
    worst: str = "independent"
    bounds: tuple[float, float] = (-np.inf, np.inf)
    title: str = ""
    draws: int = 1
    note: Callable | None = None

    def generator(self, seed: int) -> np.random.Generator:
        """The metric's own random numbers: adding a metric never changes another's value."""
        return np.random.default_rng([seed, crc32(f"{self.name}/{self.form}".encode())])

    def evaluate(self, setting, seed: int) -> Estimate:
        """The value in this setting, with the interval cut to what is possible."""
        value, low, high = self.compute(setting, self.generator(seed))
        if not np.isfinite(value):
            raise NotComputable("the formula gives no finite number for these tables")
        bounds = [
            None if b is None or not np.isfinite(b) else float(np.clip(b, *self.bounds))
            for b in (low, high)
        ]
        return Estimate(float(value), *bounds)


@dataclass(frozen=True)
class Metric:
    """One metric of one synthetic data set, beside its two references.

    Attributes
    ----------
    value, ci_low, ci_high : float or None
        The number and its 95 % interval.
    best, worst : float or None
        What the best and the worst table score in the synthetic data's place.
    share : float or None
        The way from worst (0) to best (1) that the value has come; it may lie outside. None
        when the two references cannot be told apart on these data.
    behind : bool or None
        Whether the value is worse than the best reference by more than both intervals explain
        (one-sided, at 2.5 %).
    reason : str or None
        Why there is no value.
    note : str or None
        What is behind the value, e.g. in which group of patients it is worst.
    """

    name: str
    title: str
    family: str
    form: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    best: float | None
    worst: float | None
    share: float | None
    direction: str
    unit: str
    source: str
    sentence: str
    behind: bool | None = None
    reason: str | None = None
    note: str | None = None

    @classmethod
    def of(
        cls,
        spec: Spec,
        value: Estimate | None,
        best: Estimate | None = None,
        worst: Estimate | None = None,
        reason: str | None = None,
        note: str | None = None,
    ) -> "Metric":
        """Put the three estimates of one metric together."""
        return cls(
            name=spec.name, title=spec.title or spec.name.replace("_", " ").capitalize(),
            family=spec.family, form=spec.form,
            value=None if value is None else value.value,
            ci_low=None if value is None else value.low,
            ci_high=None if value is None else value.high,
            best=None if best is None else best.value,
            worst=None if worst is None else worst.value,
            share=_share(spec, value, best, worst),
            direction=spec.direction, unit=spec.unit, source=spec.source,
            sentence=spec.sentence, behind=_behind(spec, value, best), reason=reason, note=note,
        )  # fmt: skip

    @property
    def notices(self) -> bool:
        """Whether the metric objects to the data: behind the best, and not by a trifle.

        It is worse than its best reference by more than chance (1 metric in 40 is, with nothing
        wrong) and has lost more than a tenth of the way from best to worst, because with enough
        patients every difference, however small, is more than chance. Metrics of single columns
        have no such way: independent columns, their worst reference, have the right margins. For
        them the first condition decides.
        """
        return bool(self.behind) and (self.share is None or self.share < 1 - LOST)

    def to_dict(self) -> dict:
        """Plain numbers and texts, rounded so that the file is the same on every machine."""
        return {
            k: float(f"{v:.9g}") if isinstance(v, float) else v for k, v in asdict(self).items()
        }


def _share(spec: Spec, value, best, worst) -> float | None:
    if value is None or best is None or worst is None:
        return None
    span = best.value - worst.value
    if span == 0 or (span > 0) != (spec.direction == "higher"):
        return None
    halves = [0.0 if e.low is None else (e.high - e.low) / 2 for e in (best, worst)]
    if abs(span) <= np.hypot(*halves):  # within chance of each other
        return None
    return (value.value - worst.value) / span


def _behind(spec: Spec, value: Estimate | None, best: Estimate | None) -> bool | None:
    if value is None or best is None:
        return None
    worse = value.value - best.value if spec.direction == "lower" else best.value - value.value
    halves = [0.0 if e.low is None else (e.high - e.low) / 2 for e in (value, best)]
    return bool(worse > np.hypot(*halves))


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
