"""From many attacks to one test: is there any trace of who was in train?

If the release knows nothing of who was used, "used" and "held out" can be exchanged within each
fold, its reference fixed. Every attack is a sum over used patients (of ranks, or of copies); the
largest, each standardized, is compared with the largest of 999 exchanges (Westfall and Young
1993). So the whole family together raises a false alarm as often as stated, at every size. What
compares with no held-out patient (exact copies, the guard) is tested apart, by Holm's correction.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.stats import norm, rankdata

from ...statistics import Z95
from ..setting import Setting
from . import comparable, guard
from .copies import carriers, exactly, has_copy, nearly
from .folds import Attacked, attacked
from .scores import NEAREST, lonely, scores

EXCHANGES = 999
FALSE_ALARMS, ABSOLUTE = 0.04, 0.01  # of the attacks against holdout; of those without: 5 % in all
SURE = 0.05  # of these, where patients are called exposed
COPIES = ("exact_copies", "near_copies")
EXPOSED = "membership_of_most_exposed"


def ranks(score: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Ranks minus their mean, over their number; 0 for whoever is not `among` those looked at.
    Chapter privacy, "As it can be believed".
    """
    centered = np.zeros(len(score))
    if among.any():
        centered[among] = (rankdata(score[among]) - (among.sum() + 1) / 2) / among.sum()
    return centered


def terms(whom: Attacked, score: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What each attack sums over used patients. Chapter privacy, "As it can be believed"."""
    alone, found = lonely(whom), {}
    for name, values in score.items():
        for among, key in ((np.ones_like(alone), name), (alone, f"{EXPOSED}/{name}")):
            first, second = (ranks(values, among & (whom.fold == k)) for k in range(2))
            found[key] = first + second
    found["holdout_exposure"] = -found[NEAREST]
    found["exact_copies"] = exactly(whom.to_release, whom.to_others)
    found["near_copies"] = nearly(whom.to_release, whom.to_others, whom.patients.shape[1])
    return found


class Exchanges:
    """All labels of the folds' patients, exchanged many times.
    Chapter privacy, "As it can be believed".
    """

    def __init__(self, used: np.ndarray, fold: np.ndarray, rng: np.random.Generator):
        self.used, self.fold = used, fold
        self.labels = np.empty((EXCHANGES, len(used)), dtype=np.float32)
        for k in range(2):
            own = np.tile(used[fold == k], (EXCHANGES, 1))
            self.labels[:, fold == k] = rng.permuted(own, axis=1)

    def standardized(
        self, terms: np.ndarray, used: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sums over used patients in standard deviations (k,), and the terms they are made of.

        `terms` has shape (patients, k). Mean and variance over all exchanges are known exactly;
        what never varies is 0. `used` are other labels than the true ones.
        """
        centered, variance = np.empty(terms.shape), np.zeros(terms.shape[1])
        for k in range(2):
            rows = self.fold == k
            centered[rows] = terms[rows] - terms[rows].mean(axis=0)
            n, taken = rows.sum(), self.used[rows].sum()
            spread = (centered[rows] ** 2).sum(axis=0)
            variance += taken * (n - taken) / (n * (n - 1)) * spread
        scale = np.divide(1, np.sqrt(variance), out=np.zeros(len(variance)), where=variance > 1e-12)
        centered *= scale
        return (self.used if used is None else used) @ centered, centered

    def both(
        self, terms: np.ndarray, used: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same sums as they are (k,) and of all exchanges (EXCHANGES, k)."""
        z, centered = self.standardized(terms, used)
        return z, self.labels @ centered.astype(np.float32)


def largest(z: np.ndarray, exchanged: np.ndarray) -> tuple[float, np.ndarray]:
    """The largest of several, standardized by its own distribution over the exchanges.
    Chapter privacy, "As it can be believed".
    """
    if exchanged.shape[1] == 0 or not exchanged.any():
        return 0.0, np.zeros(len(exchanged))
    most = exchanged.max(axis=1)
    scale = most.std() or 1.0
    return float((z.max() - most.mean()) / scale), (most - most.mean()) / scale


@dataclass
class Family:
    """What the whole family of attacks found.
    Chapter privacy, "As it can be believed".
    """

    z: dict[str, float]  # standardized; the largest counts
    p: dict[str, float]  # of each attack, corrected for all
    incomparable: list[str]  # how train and holdout differ by more than chance
    most: np.ndarray = field(repr=False)  # the largest of each exchange, copies not counted
    exchanges: Exchanges = field(repr=False)

    @property
    def alarms(self) -> dict[str, int]:
        """Of each metric, whether its attack found more than chance explains: 0 no, 1 yes, 2 far
        more. Where train and holdout cannot be compared, attacks that do so find nothing.
        """
        found: dict[str, int] = {}
        for name, p in self.p.items():
            limit = ABSOLUTE if name in ("absolute_guard", "twins") else FALSE_ALARMS
            metric = {"twins": "exact_copies"}.get(name, name.split("/")[0])
            alarm = 0 if self.incomparable and limit == FALSE_ALARMS else (p <= limit) + (
                p <= limit * SURE
            )  # fmt: skip
            found[metric] = max(found.get(metric, 0), alarm)
        return found


def family(setting: Setting) -> Family:
    """Run all attacks on a setting, and test them as one.
    Chapter privacy, "As it can be believed".
    """
    whom = setting.once(attacked)
    exchanges = Exchanges(whom.used, whom.fold, np.random.default_rng([setting.train.seed, 14]))
    summed = terms(whom, setting.once(scores))
    names = list(summed)
    z, exchanged = exchanges.both(np.stack(list(summed.values()), axis=1))
    rare = carriers(whom.patients) * has_copy(whom)[:, None]
    of_carriers, rare_exchanged = largest(*exchanges.both(rare))
    names.append("copied_carriers")
    copied = np.isin(names[:-1], COPIES)
    others = np.maximum(exchanged[:, ~copied].max(axis=1), rare_exchanged)
    observed, most = np.append(z, of_carriers), np.maximum(exchanged[:, copied].max(axis=1), others)
    p = {
        name: float((1 + (most >= value - 1e-6).sum()) / (1 + EXCHANGES))
        for name, value in zip(names, observed, strict=True)
    }
    return Family(
        dict(zip(names, map(float, observed), strict=True)),
        p | absolute(setting),
        comparable.differences(setting, exchanges), others, exchanges,
    )  # fmt: skip


def absolute(setting: Setting) -> dict[str, float]:
    """Chance of what guard and census find, by Holm's correction.
    Chapter privacy, "What these tests cannot show".
    """
    whom, (value, low, _) = setting.once(attacked), setting.once(guard.guard)
    error = max(value - (low or 0), 1e-9) / Z95
    sizes = len(setting.candidate), whom.others
    chances = {
        "absolute_guard": float(norm.sf((value - 0.5) / error)),
        "twins": guard.copied(whom.to_release, whom.to_others, *sizes)[1],
    }
    first, second = sorted(chances, key=chances.__getitem__)
    smallest = min(2 * chances[first], 1.0)
    return {first: smallest, second: max(chances[second], smallest)}
