"""From many attacks to one test: is there any trace of who was in train?

If the release knows nothing of who was used, "used" and "held out" can be exchanged, the
reference fixed. Every attack is a sum over used patients (of ranks, or of copies); the
largest, each standardized, is compared with the largest of 999 exchanges (Westfall and Young
1993). So the whole family together raises a false alarm as often as stated, at every size. What
compares with no held-out patient (exact copies, the guard) is tested apart, by Holm's correction.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.stats import rankdata

from ...statistics import holm
from ..setting import Setting
from . import comparable, guard
from .copies import carriers, exactly, has_copy, nearly
from .exchange import Exchanges, chance, largest
from .reference import Attacked, attacked
from .scores import NEAREST, lonely, scores

# Of the attacks against holdout, and of those without: with what alarms by its own interval, 5 %.
FALSE_ALARMS, ABSOLUTE = 0.03, 0.01
SURE = 0.005  # of these, where patients are called exposed
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
            found[key] = ranks(values, among & whom.scored)
    found["holdout_exposure"] = -found[NEAREST]
    return found


def censuses(whom: Attacked) -> dict[str, np.ndarray]:
    """The same for copies, of which reference patients can be told too.
    Chapter privacy, "Copies, and the distance to the closest record".
    """
    found = {}
    found["exact_copies"] = exactly(whom.to_release, whom.to_others)
    found["near_copies"] = nearly(whom.to_release, whom.to_others, whom.patients.shape[1])
    return found


@dataclass
class Family:
    """What the whole family of attacks found.
    Chapter privacy, "As it can be believed".
    """

    z: dict[str, float]  # standardized; the largest counts
    p: dict[str, float]  # of each attack, corrected for all
    incomparable: list[str]  # how train and holdout differ by more than chance
    most: np.ndarray = field(repr=False)  # the largest of each exchange, copies not counted
    scored: Exchanges = field(repr=False)  # of those who are not in the reference
    everybody: Exchanges = field(repr=False)

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
    whom, rng = setting.once(attacked), np.random.default_rng([setting.train.seed, 14])
    scored = Exchanges(whom.used, rng, whom.scored)
    everybody = Exchanges(whom.used, rng)
    by_score, by_copies = terms(whom, setting.once(scores)), censuses(whom)
    names = [*by_score, *by_copies, "copied_carriers"]
    z, exchanged = scored.both(np.stack(list(by_score.values()), axis=1))
    copied, copied_exchanged = everybody.both(np.stack(list(by_copies.values()), axis=1))
    rare = carriers(whom.patients) * has_copy(whom)[:, None]
    of_carriers, rare_exchanged = largest(*everybody.both(rare))
    observed = [*z, *copied, of_carriers]
    others = np.maximum(exchanged.max(axis=1), rare_exchanged)
    most = np.maximum(copied_exchanged.max(axis=1), others)
    p = {name: chance(value, most) for name, value in zip(names, observed, strict=True)}
    return Family(
        dict(zip(names, map(float, observed), strict=True)),
        p | absolute(setting),
        comparable.differences(setting), others, scored, everybody,
    )  # fmt: skip


def absolute(setting: Setting) -> dict[str, float]:
    """Chance of what guard and census find, by Holm's correction.
    Chapter privacy, "What these tests cannot show".
    """
    whom = setting.once(attacked)
    sizes = whom.used, len(setting.candidate), whom.others
    chances = {
        "absolute_guard": guard.unlikely(*setting.once(guard.crowds))[1],
        "twins": guard.copied(whom.to_release, whom.to_others, *sizes)[1],
    }
    corrected = holm(np.array(list(chances.values())))
    return dict(zip(chances, corrected.tolist(), strict=True))
