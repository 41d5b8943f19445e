"""Time to an event: do synthetic patients live as long, and does the same make them die sooner?

Whoever was followed without the event is censored: nobody knows when it would have come. Kaplan and
Meier's curve and Cox's regression use such a patient for as long as he was followed.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from ..statistics import Estimate, NotComputable, kaplan_meier
from .inference import absolute_difference, interval_overlap
from .intervals import jackknife_of_rows
from .metric import described
from .setting import Setting, Side

FEWEST_AT_RISK = 10  # patients who are still followed, for a curve worth comparing
EVENTS_A_COLUMN = 10  # for each column of a regression (Peduzzi et al., J Clin Epidemiol 1995)
_MOST_COLUMNS = 10
_TOO_ALIKE = 0.9  # of a column's variance that other columns explain
_ROUNDS, _NEAR = 40, 1e-9  # of Newton's steps


def cox(x: np.ndarray, time: np.ndarray, event: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log hazard ratios of the columns of `x`, and their standard errors.

    Source: Cox, J R Stat Soc B 1972;34:187-220; ties: Efron, J Am Stat Assoc 1977;72:557-565.
    Chapter utility, "Effect estimates".
    """
    order = np.argsort(-time, kind="stable")
    x, time, dead = (x[order] - x.mean(axis=0)).astype(float), time[order], event[order] == 1
    # Of each moment: the last patient still at risk, its events, and which of them this one is.
    _, first, size = np.unique(-time, return_index=True, return_counts=True)
    place = np.repeat(np.arange(len(first)), size)
    deaths = np.bincount(place, dead, len(first))
    rank = np.cumsum(dead) - np.cumsum(deaths)[place] + deaths[place] - 1
    own = place[dead]
    tied = (rank[dead] / deaths[own])[:, None]
    beta = np.zeros(x.shape[1])
    for _ in range(_ROUNDS):
        weight = np.exp(np.clip(x @ beta, -50, 50))[:, None]
        squares = (x[:, :, None] * x[:, None, :]).reshape(len(x), -1)
        sums = np.hstack([weight, weight * x, weight * squares])
        at_risk = np.add.reduceat(sums, first, axis=0).cumsum(axis=0)
        at_once = np.add.reduceat(sums * dead[:, None], first, axis=0)
        left = at_risk[own] - tied * at_once[own]
        mean = left[:, 1 : x.shape[1] + 1] / left[:, :1]
        second = (left[:, x.shape[1] + 1 :] / left[:, :1]).sum(axis=0)
        information = second.reshape(x.shape[1], -1) - mean.T @ mean
        try:
            variance = np.linalg.inv(information)
        except np.linalg.LinAlgError:
            break
        step = np.clip(variance @ (x[dead] - mean).sum(axis=0), -1, 1)
        beta += step
        if np.abs(step).max() < _NEAR:
            return beta, np.sqrt(variance.diagonal())
    raise NotComputable("a column separates those with the event from those without")


def _followed(side: Side) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Who has a time, that time, and whether it ended with the event."""
    if (name := side.encoder.schema.time) is None:
        raise NotComputable("no column is the time to the event")
    time = side.frame[name].to_numpy(float)
    known = np.isfinite(time)
    if known.sum() < FEWEST_AT_RISK:
        raise NotComputable(f"fewer than {FEWEST_AT_RISK} patients have a time")
    return known, time[known], side.outcome[known]


def _apart(one: tuple, other: tuple, end: float) -> np.ndarray:
    """By how much two curves differ from each event to the next, up to `end`, and how long."""
    curves = [kaplan_meier(time, event) for time, event in (one, other)]
    moments = np.unique(np.concatenate([[0.0, end], *(curve.quantiles for curve in curves)]))
    moments = moments[moments <= end]
    heights = [curve.evaluate(moments[:-1]) for curve in curves]
    return np.stack([np.abs(heights[0] - heights[1]), np.diff(moments)])


def _curves(real: Side, made: Side) -> tuple[tuple, tuple, float]:
    """Times and events of both, and how long as many real patients are followed as it takes."""
    sides = [_followed(side)[1:] for side in (real, made)]
    return sides[0], sides[1], float(np.sort(sides[0][0])[-FEWEST_AT_RISK])


def _mean_apart(one: tuple, other: tuple, end: float) -> float:
    difference, width = _apart(one, other, end)
    return float((difference * width).sum() / width.sum()) if width.sum() else 0.0


def _difference(setting: Setting, rng) -> Estimate:
    one, other, end = _curves(setting.train, setting.even_candidate)
    return jackknife_of_rows(lambda a, b: _mean_apart(a, b, end), [one, other], rng)


def largest_difference(setting: Setting) -> str:
    """Where the two curves are farthest apart. Chapter utility, "Effect estimates"."""
    difference, width = _apart(*_curves(setting.train, setting.candidate))
    where, at = difference.argmax(), np.cumsum(width) - width
    return f"The curves are farthest apart at {at[where]:.4g}, by {difference[where]:.3f}."


def _columns(side: Side, most: int) -> np.ndarray:
    """The columns that tell most of the event in this table, none of them told by the others."""
    known, time, event = _followed(side)
    x = side.matrix[known].astype(float) - side.matrix[known].mean(axis=0)
    order = np.argsort(time, kind="stable")
    expected = np.cumsum((1 / np.arange(len(time), 0, -1)) * event[order])
    excess = np.empty(len(time))  # events beyond those expected of everybody (martingale residuals)
    excess[order] = event[order] - expected
    spread = x.std(axis=0)
    told = np.abs(excess @ x) / np.where(spread > 1e-9, spread, np.inf)
    told[~side.encoder.predictors] = 0
    chosen: list[int] = []
    for place in np.argsort(-told, kind="stable"):
        if len(chosen) == most or told[place] == 0:
            break
        rest = x[:, place]
        if chosen:
            rest = rest - x[:, chosen] @ np.linalg.lstsq(x[:, chosen], rest, rcond=None)[0]
        if rest.var() > (1 - _TOO_ALIKE) * x[:, place].var():
            chosen.append(int(place))
    return np.array(sorted(chosen), dtype=int)


def _regressions(setting: Setting) -> tuple[list[str], list[tuple]]:
    """The columns compared; their values, time and event of holdout and of as many candidates."""
    both = setting.holdout, setting.candidate
    n = min(*map(len, both), setting.effort.classified)
    rng, sides = np.random.default_rng([setting.train.seed, 19]), []
    for side in both:
        known, time, event = _followed(side)
        kept = np.sort(rng.choice(len(time), min(n, len(time)), replace=False))
        sides.append((side.matrix[known][kept], time[kept], event[kept]))
    most = min(_MOST_COLUMNS, min(int(event.sum()) for _, _, event in sides) // EVENTS_A_COLUMN)
    if most < 1:
        raise NotComputable(f"fewer than {EVENTS_A_COLUMN} patients have the event")
    columns = _columns(setting.train, most)
    if not len(columns):
        raise NotComputable("no column varies with the time to the event")
    spread = setting.train.matrix[:, columns].std(axis=0)
    labels = [setting.encoder.labels[place] for place in columns]
    return labels, [(x[:, columns] / spread, time, event) for x, time, event in sides]


def _hazards(setting: Setting, rng, compare: Callable) -> Estimate:
    """`compare` is a function of log hazard ratios and standard errors of both tables."""

    def mean(one: tuple, other: tuple) -> float:
        return float(np.mean(compare(*cox(*one), *cox(*other))))

    return jackknife_of_rows(mean, _regressions(setting)[1], rng)


SPECS = described({
    ("survival_difference", "corrected"): _difference,
    ("hazard_ratios", "corrected"): partial(_hazards, compare=absolute_difference),
    ("hazard_interval_overlap", "corrected"): partial(_hazards, compare=interval_overlap),
}, {("survival_difference", "corrected"): largest_difference})  # fmt: skip
