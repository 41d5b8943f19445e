"""From many attacks to one test: is there any trace of who was in train?

If the release knows nothing of who was used, "used" and "held out" can be exchanged, the
reference fixed. Every attack is a sum over used patients (of ranks, or of copies); the
largest, each standardized, is compared with the largest of 999 exchanges (Westfall and Young
1993). So the whole family together raises a false alarm as often as stated, at every size. What
compares with no held-out patient (exact copies, the guard) is tested apart, by Holm's correction.
An attack takes a holdout that is sicker, or older, for a leak: so train and holdout are compared
first, by exchanges too and with no release at all. One split at random in 100 is refused.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import rankdata

from ...statistics import holm
from ..setting import Setting
from . import guard
from .copies import carriers, census, pieces
from .reference import Attacked, attacked
from .scores import NEAREST, lonely, scores

EXCHANGES = 999
LEAST_SPREAD = 0.25  # of a largest of several: one that hardly varies makes no news
TOP = EXCHANGES // 10  # of the exchanges, from which what is rarer is concluded
# Of the attacks against holdout, and of those without: with what alarms by its own interval, 5 %.
FALSE_ALARMS, ABSOLUTE = 0.03, 0.01
SURE = 0.005  # of these, where patients are called exposed
REFUSED, RIDGE = 0.01, 0.1  # of comparing train with holdout


class Exchanges:
    """Labels, exchanged among some (or all). Chapter privacy, "One verdict"."""

    def __init__(self, used: np.ndarray, rng: np.random.Generator, among: np.ndarray | None = None):
        self.used = used
        self.among = np.ones(len(used), dtype=bool) if among is None else among
        self.labels = np.zeros((EXCHANGES, len(used)), dtype=np.float32)
        own = np.tile(used[self.among].astype(np.float32), (EXCHANGES, 1))
        self.labels[:, self.among] = rng.permuted(own, axis=1)

    def both(
        self, terms: np.ndarray, used: np.ndarray | None = None, count: int = EXCHANGES
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sums of `terms` (patients, k), 0 for whoever is not exchanged, over used patients, and
        those of the last `count` exchanges (count, k).

        In standard deviations; mean and variance of all exchanges are known exactly. `used` are
        other labels than the true ones.
        """
        n, taken = self.among.sum(), self.used.sum()
        mean = terms.sum(axis=0, dtype=np.float64) / n
        rows = np.flatnonzero(terms.any(axis=1))  # few, where copies are counted
        squares = (terms[rows].astype(np.float64) ** 2).sum(axis=0) - n * mean**2
        variance = taken * (n - taken) / (n * (n - 1)) * squares
        scale = np.divide(1, np.sqrt(np.maximum(variance, 0)), out=np.zeros(len(mean)),
                          where=variance > 1e-9)  # fmt: skip
        part, labels = terms[rows] * scale, self.labels[-count:]
        labels = labels if len(rows) == len(terms) else labels[:, rows]
        exchanged = labels @ part.astype(np.float32)
        own, usual = (self.used if used is None else used)[rows] @ part, taken * mean * scale
        return own - usual, exchanged - usual.astype(np.float32)


def largest(z: np.ndarray, exchanged: np.ndarray) -> tuple[float, np.ndarray]:
    """The largest, by its own exchanges standardized. Chapter privacy, "One verdict"."""
    if exchanged.shape[1] == 0 or not exchanged.any():
        return 0.0, np.zeros(len(exchanged))
    most = exchanged.max(axis=1)
    scale = max(most.std(), LEAST_SPREAD)
    return float((z.max() - most.mean()) / scale), (most - most.mean()) / scale


def chance(value: float, most: np.ndarray) -> float:
    """How often an exchange shows as much. Chapter privacy, "One verdict".

    What fewer than ten show is concluded from the top tenth, with an exponential tail, which is
    rather too heavy. Source: after Knijnenburg et al., Bioinformatics 2009;25:i161-i168.
    """
    above = int((most >= value - 1e-4).sum())
    p = (1 + above) / (1 + len(most))
    top = np.sort(most)[-TOP:]
    beyond = float((top - top[0]).mean())
    if above >= 10 or beyond <= 0:
        return p
    return min(p, float(len(top) / len(most) * np.exp(-(value - top[0]) / beyond)))


def ranks(score: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Centered ranks over their number, else 0. Chapter privacy, "One verdict"."""
    centered = np.zeros(len(score))
    if among.any():
        centered[among] = (rankdata(score[among]) - (among.sum() + 1) / 2) / among.sum()
    return centered


def _by_score(whom: Attacked, score: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What each attack by scores sums over used patients."""
    alone, found = lonely(whom), {}
    for name, values in score.items():
        found[name] = ranks(values, whom.scored)
        found[f"membership_of_most_exposed/{name}"] = ranks(values, alone & whom.scored)
    found["holdout_exposure"] = -found[NEAREST]
    return found


class Family(NamedTuple):
    """What the whole family of attacks found. Chapter privacy, "One verdict"."""

    alarms: dict[str, int]  # of each metric: its attack found what chance explains (0), more, far
    incomparable: list[str]  # how train and holdout differ by more than chance
    most: np.ndarray  # the largest of each exchange, copies not counted
    scored: Exchanges  # of those who are not in the reference
    everybody: Exchanges


def family(setting: Setting) -> Family:
    """All attacks on a setting, tested as one. Chapter privacy, "One verdict"."""
    whom, rng = setting.once(attacked), np.random.default_rng([setting.train.seed, 14])
    scored = Exchanges(whom.used, rng, whom.scored)
    everybody = Exchanges(whom.used, rng)
    by_score = _by_score(whom, setting.once(scores))
    # The same of copies, of which reference patients can be told too.
    distances = whom.to_release, whom.to_others
    by_copies = census(*distances, whom.patients.shape[1])
    z, exchanged = scored.both(np.stack(list(by_score.values()), axis=1))
    copied, copied_exchanged = everybody.both(np.c_[by_copies, setting.once(pieces)])
    rare = carriers(whom.patients) * (by_copies[:, 1:] > 0)
    of_carriers, rare_exchanged = largest(*everybody.both(rare))
    others = np.maximum.reduce([exchanged.max(axis=1), rare_exchanged, copied_exchanged[:, 2]])
    most = np.maximum(copied_exchanged.max(axis=1), others)
    names = [*by_score, "exact_copies", "near_copies", "near_copies/pieces", "copied_carriers"]
    observed = zip(names, [*z, *copied, of_carriers], strict=True)
    incomparable = _differences(setting)
    # Where train and holdout cannot be compared, attacks that do so find nothing.
    chances = {name: 1.0 if incomparable else chance(value, most) for name, value in observed}
    by_guard = guard.unlikely(*setting.once(guard.crowds))[1]
    twins = guard.copied(*distances, whom.used, len(setting.candidate), whom.others)
    corrected = holm(np.array([by_guard, twins])).tolist()
    absolute = dict(zip(("absolute_guard", "exact_copies"), corrected, strict=True))
    alarms: dict[str, int] = {}
    for found, limit in ((chances, FALSE_ALARMS), (absolute, ABSOLUTE)):
        for name, p in found.items():
            metric = name.split("/")[0]
            alarm = (p <= limit) + (p <= limit * SURE)
            alarms[metric] = max(alarms.get(metric, 0), alarm)
    return Family(alarms, incomparable, others, scored, everybody)


def _differences(setting: Setting) -> list[str]:
    """How train and holdout differ by more than chance, in words; empty where they do not.

    The number of codes, every measurement and demographic column, and all columns together.
    """
    whom, encoder = setting.once(attacked), setting.encoder
    rows = whom.patients
    exchanges = Exchanges(whom.used, np.random.default_rng([setting.train.seed, 18]))
    demographic = encoder.columns(*encoder.schema.of_role("demographic"))
    measured = np.flatnonzero(encoder.is_kind("continuous"))
    chosen = list(dict.fromkeys([*measured, *demographic]))
    single, names = rows[:, chosen], [encoder.labels[i] for i in chosen]
    if (codes := encoder.is_kind("binary")).any():
        single = np.column_stack([single, rows[:, codes].sum(axis=1)])
        names.append("number of codes")
    z, exchanged = exchanges.both(single)
    # All columns: the difference of the means in the metric of their correlations, with a ridge: a
    # classifier's two-sample test in closed form (Hotelling 1931).
    rows = rows[:, rows.std(axis=0, dtype=np.float64) > 1e-6]
    means = np.vstack(exchanges.both(rows))
    correlation = np.atleast_2d(np.corrcoef(rows.T.astype(np.float32)).astype(np.float64))
    factor = cho_factor(correlation + RIDGE * np.eye(len(correlation)))
    apart = np.einsum("ij,ji->i", means, cho_solve(factor, means.T))
    distance, distances = apart[0], apart[1:]
    # Each on the scale of its own exchanges, so that neither drowns the other.
    most = np.abs(exchanged).max(axis=1, initial=0)
    (middle, scale), (center, width) = ((x.mean(), x.std() or 1.0) for x in (most, distances))
    both = np.maximum((most - middle) / scale, (distances - center) / width)
    limit = float(np.quantile(both, 1 - REFUSED))
    far = (np.abs(z) - middle) / scale > limit
    found = [name for name, differs in zip(names, far, strict=True) if differs]
    return [*found, "all columns together"] if (distance - center) / width > limit else found
