"""From many attacks to one test: is there any trace of who was in train?

If the release knows nothing of who was used, "used" and "held out" can be exchanged, the
reference fixed. Every attack is a sum over used patients (of ranks, or of copies); the
largest, each standardized, is compared with the largest of 999 exchanges (Westfall and Young
1993). So the whole family together raises a false alarm as often as stated, at every size. What
compares with no held-out patient (exact copies, the guard) is tested apart, by Holm's correction.
"""

from typing import NamedTuple

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


def ranks(score: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Ranks minus their mean, over their number; 0 for whoever is not `among` those looked at.
    Chapter privacy, "As it can be believed".
    """
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
    """What the whole family of attacks found. Chapter privacy, "As it can be believed"."""

    alarms: dict[str, int]  # of each metric: its attack found what chance explains (0), more, far
    incomparable: list[str]  # how train and holdout differ by more than chance
    most: np.ndarray  # the largest of each exchange, copies not counted
    scored: Exchanges  # of those who are not in the reference
    everybody: Exchanges


def family(setting: Setting) -> Family:
    """All attacks on a setting, tested as one. Chapter privacy, "As it can be believed"."""
    whom, rng = setting.once(attacked), np.random.default_rng([setting.train.seed, 14])
    scored = Exchanges(whom.used, rng, whom.scored)
    everybody = Exchanges(whom.used, rng)
    by_score = _by_score(whom, setting.once(scores))
    # The same of copies, of which reference patients can be told too.
    distances = whom.to_release, whom.to_others
    by_copies = exactly(*distances), nearly(*distances, whom.patients.shape[1])
    z, exchanged = scored.both(np.stack(list(by_score.values()), axis=1))
    copied, copied_exchanged = everybody.both(np.stack(by_copies, axis=1))
    rare = carriers(whom.patients) * has_copy(whom)[:, None]
    of_carriers, rare_exchanged = largest(*everybody.both(rare))
    others = np.maximum(exchanged.max(axis=1), rare_exchanged)
    most = np.maximum(copied_exchanged.max(axis=1), others)
    names = [*by_score, "exact_copies", "near_copies", "copied_carriers"]
    observed = zip(names, [*z, *copied, of_carriers], strict=True)
    incomparable = comparable.differences(setting)
    # Where train and holdout cannot be compared, attacks that do so find nothing.
    chances = {name: 1.0 if incomparable else chance(value, most) for name, value in observed}
    alarms: dict[str, int] = {}
    for found, limit in ((chances, FALSE_ALARMS), (_absolute(setting), ABSOLUTE)):
        for name, p in found.items():
            metric = name.split("/")[0]
            alarm = (p <= limit) + (p <= limit * SURE)
            alarms[metric] = max(alarms.get(metric, 0), alarm)
    return Family(alarms, incomparable, others, scored, everybody)


def _absolute(setting: Setting) -> dict[str, float]:
    """Chance of what guard and census find, by Holm's correction."""
    whom = setting.once(attacked)
    sizes = whom.used, len(setting.candidate), whom.others
    by_guard = guard.unlikely(*setting.once(guard.crowds))[1]
    twins = guard.copied(whom.to_release, whom.to_others, *sizes)[1]
    corrected = holm(np.array([by_guard, twins])).tolist()
    return dict(zip(("absolute_guard", "exact_copies"), corrected, strict=True))
