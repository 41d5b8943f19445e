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
from .folds import Fold, folds
from .scores import NEAREST, lonely, scores

EXCHANGES = 999
FALSE_ALARMS, ABSOLUTE = 0.04, 0.01  # of the attacks against holdout; of those without: 5 % in all
SURE = 0.05  # of these, where patients are called exposed
COPIES = ("exact_copies", "near_copies")
EXPOSED = "membership_of_most_exposed"


def ranks(score: np.ndarray, among: np.ndarray | None = None) -> np.ndarray:
    """Ranks minus their mean, over their number; 0 for whoever is not `among` those looked at.
    Chapter privacy, "As it can be believed".
    """
    among = np.ones(len(score), dtype=bool) if among is None else among
    centered = np.zeros(len(score))
    if among.any():
        centered[among] = (rankdata(score[among]) - (among.sum() + 1) / 2) / among.sum()
    return centered


def terms(fold: Fold, score: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What each attack sums over used patients. Chapter privacy, "As it can be believed"."""
    alone, columns = lonely(fold), fold.patients.shape[1]
    found = {name: ranks(values) for name, values in score.items()}
    found |= {f"{EXPOSED}/{name}": ranks(values, alone) for name, values in score.items()}
    found["holdout_exposure"] = -found[NEAREST]
    found["exact_copies"] = exactly(fold.to_release, fold.to_others)
    found["near_copies"] = nearly(fold.to_release, fold.to_others, columns)
    return found


class Exchanges:
    """All labels of the folds' patients, exchanged many times.
    Chapter privacy, "As it can be believed".
    """

    def __init__(self, parts: list[Fold], rng: np.random.Generator):
        self.used = np.concatenate([fold.used for fold in parts])
        drawn = [rng.permuted(np.tile(fold.used, (EXCHANGES, 1)), axis=1) for fold in parts]
        self.labels = np.concatenate(drawn, axis=1).astype(np.float32)
        sizes = [len(fold.used) for fold in parts]
        self.fold = np.repeat(np.arange(len(parts)), sizes)

    def standardized(
        self, terms: np.ndarray, used: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sums over used patients in standard deviations (k,), and the terms they are made of.

        `terms` has shape (patients, k). Mean and variance over all exchanges are known exactly;
        what never varies is 0. `used` are other labels than the true ones.
        """
        centered, variance = np.empty(terms.shape), np.zeros(terms.shape[1])
        for k in range(self.fold[-1] + 1):
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


def copied_carriers(parts: list[Fold]) -> np.ndarray:
    """Which carriers of each rare value have a copy: (patients, rare values of both folds).
    Chapter privacy, "Near copies, and the one who stands out".
    """
    has = np.concatenate([has_copy(fold) for fold in parts])
    return carriers(np.concatenate([fold.patients for fold in parts])) * has[:, None]


@dataclass
class Family:
    """What the whole family of attacks found.
    Chapter privacy, "As it can be believed".
    """

    z: dict[str, float]  # standardized; the largest counts
    p: dict[str, float]  # of each attack, corrected for all
    incomparable: list[str]  # how train and holdout differ by more than chance
    parts: list[Fold] = field(repr=False)
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
    parts, found = setting.once(folds), setting.once(scores)
    exchanges = Exchanges(parts, np.random.default_rng([setting.train.seed, 14]))
    by_fold = [terms(fold, score) for fold, score in zip(parts, found, strict=True)]
    names = list(by_fold[0])
    summed = np.concatenate([np.stack(list(t.values()), axis=1) for t in by_fold])
    z, exchanged = exchanges.both(summed)
    rare, rare_exchanged = largest(*exchanges.both(copied_carriers(parts)))
    names.append("copied_carriers")
    copied = np.isin(names[:-1], COPIES)
    others = np.maximum(exchanged[:, ~copied].max(axis=1), rare_exchanged)
    observed, most = np.append(z, rare), np.maximum(exchanged[:, copied].max(axis=1), others)
    p = {
        name: float((1 + (most >= value - 1e-6).sum()) / (1 + EXCHANGES))
        for name, value in zip(names, observed, strict=True)
    }
    return Family(
        dict(zip(names, map(float, observed), strict=True)),
        p | absolute(setting, parts),
        comparable.differences(setting, exchanges), parts, others, exchanges,
    )  # fmt: skip


def absolute(setting: Setting, parts: list[Fold]) -> dict[str, float]:
    """Chance of what guard and census find, by Holm's correction.
    Chapter privacy, "What these tests cannot show".
    """
    to_release, to_others = (
        np.concatenate([getattr(fold, name) for fold in parts])
        for name in ("to_release", "to_others")
    )
    value, low, _ = setting.once(guard.guard)
    error = max(value - (low or 0), 1e-9) / Z95
    chances = {
        "absolute_guard": float(norm.sf((value - 0.5) / error)),
        "twins": guard.copied(to_release, to_others, len(setting.candidate), parts[0].others)[1],
    }
    first, second = sorted(chances, key=chances.__getitem__)
    smallest = min(2 * chances[first], 1.0)
    return {first: smallest, second: max(chances[second], smallest)}
