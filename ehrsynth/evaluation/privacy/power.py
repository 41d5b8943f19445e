"""Power: what would the family of attacks have noticed in this very table?

Silence is worth what a leak would have broken it. So leaks are planted into the release that is
judged: records of a share of train, exactly or with two values changed, and all carriers of a
rare value. Each time "used" and "held out" are exchanged first, so that neither luck nor a leak
that is there already counts. A planted record changes only the distance of the patient it is made
from, so that 64 plantings of a kind cost no distance at all: census, nearest record and guard are
tried again each time. Of the other attacks is said which AUROC would stand out from chance.
"""

from bisect import bisect_left
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import norm

from ...statistics import NotComputable, auroc_parts
from ..setting import Setting
from .copies import NEAR, carriers, census
from .family import ABSOLUTE, FALSE_ALARMS, Family, family, largest
from .guard import copied, crowds, unlikely
from .membership import calibrated
from .reference import attacked
from .scores import lonely
from .success import ALARMS

PLANTINGS = 64
LIKELY = 0.8  # the probability with which a leak must be noticed
SHARES = tuple(np.geomspace(5e-4, 1, 31).tolist())  # of train
SEEN = float(ALARMS["membership_inference"]["care"])  # AUROC
EXCHANGED = 249  # exchanges that a planting is compared with
FEWEST = 5  # carriers of a rare value who are copied together
CHANGED = 2  # values of a near copy that differ, one where 2 % of the columns are fewer than two


def power(setting: Setting) -> dict[str, Any]:
    """The smallest leak that is noticed with 80 % probability, by kind; None where none is.

    ``exact`` and ``near`` (with so many values ``changed``) are shares of train, ``rare_group`` is
    the probability with which copies of all carriers of a rare value are noticed, ``auroc`` the
    smallest of an attack by scores, ``chance`` what the best of all reaches where nothing leaks.
    Chapter attacks, "Would it have been noticed? Power".
    """
    found = setting.once(family)
    rng = np.random.default_rng([setting.train.seed, 16])
    planted = _Planted(setting, found)
    changed = min(CHANGED, max(1, int(NEAR * planted.columns)))
    result: dict[str, Any] = {"probability": LIKELY, "changed": changed}
    for kind, distance in (("exact", 0.0), ("near", float(np.sqrt(changed)))):
        smallest = [
            bisect_left(range(len(SHARES)), True, key=planted.some(distance, b, rng))
            for b in range(PLANTINGS)
        ]
        place = sorted(smallest)[int(LIKELY * PLANTINGS)]
        result[kind] = float(f"{SHARES[place]:.2g}") if place < len(SHARES) else None
    seen = [planted.group(b, rng) for b in range(PLANTINGS) if planted.carriers.any()]
    result["rare_group"] = float(f"{np.mean(seen):.9g}") if seen else None
    limit = np.quantile(found.most, 1 - FALSE_ALARMS)
    error = _error(found.scored.used[found.scored.among])
    for name, z in (("chance", limit), ("auroc", limit + norm.ppf(LIKELY))):
        result[name] = float(f"{0.5 + z * error:.9g}")
    return result


def tried(setting: Setting) -> dict[str, Any]:
    """What the family found, for the report; or the reason why nothing was tried.
    Chapter attacks, "Would it have been noticed? Power".
    """
    try:
        found = setting.once(family)
    except NotComputable as stop:
        return {"alarms": {}, "incomparable": [], "power": None, "reason": str(stop)}
    return {"alarms": found.alarms, "incomparable": found.incomparable,
            "power": power(setting), "reason": None}  # fmt: skip


class _Planted:
    """A table into which leaks are planted, and whether the family notices."""

    def __init__(self, setting: Setting, found: Family):
        self.labels, self.exchanges = found.scored.labels, found.everybody
        self.most = found.most[-EXCHANGED:]
        self.whom, self.released = setting.once(attacked), len(setting.candidate)
        self.columns, self.carriers = self.whom.patients.shape[1], carriers(self.whom.patients)
        self.lonely = lonely(self.whom)
        made, self.of_real = setting.once(crowds)
        # Neither luck nor a leak that is there already counts here either.
        fresh = made if unlikely(made, self.of_real)[0].value <= 0.5 else self.of_real
        self.of_released = np.random.default_rng(setting.train.seed).choice(fresh, len(made))
        # Of each used patient who is looked at, rows among those that the guard looks at.
        self.times = len(setting.train) / self.whom.used.sum() * len(made) / self.released

    def some(self, distance: float, b: int, rng: np.random.Generator) -> Callable[[int], bool]:
        """Whether the k-th share of who was used in the b-th exchange is noticed."""
        used = self.labels[b]
        order = rng.permutation(np.flatnonzero(used))
        rows = [order[: max(1, round(share * len(order)))] for share in SHARES]
        return lambda k: self.noticed(rows[k], distance, used)

    def group(self, b: int, rng: np.random.Generator) -> bool:
        """Whether exact copies of all used carriers of some rare value are noticed."""
        used = self.labels[b]
        enough = np.flatnonzero(used @ self.carriers >= FEWEST)
        if not len(enough):
            return False
        rows = np.flatnonzero(used * self.carriers[:, rng.choice(enough)])
        return self.noticed(rows, 0.0, used, rare=True)

    def noticed(
        self, rows: np.ndarray, distance: float, used: np.ndarray, rare: bool = False
    ) -> bool:
        """Whether copies of these patients at this distance are noticed (`rare`: of carriers)."""
        to_release, to_others = self.whom.to_release.copy(), self.whom.to_others
        to_release[rows] = np.minimum(to_release[rows], distance)
        copies = census(to_release, to_others, self.columns)
        z, exchanged = self.exchanges.both(copies, used, EXCHANGED)
        most = np.maximum(self.most, exchanged.max(axis=1))
        critical = np.quantile(most, 1 - FALSE_ALARMS)
        if z.max() > critical or self._guarded(rows, distance):
            return True
        if copied(to_release, to_others, used, self.released, self.whom.others) <= ABSOLUTE / 2:
            return True
        if rare:
            groups = self.carriers * (copies[:, 1:] > 0)
            z, exchanged = self.exchanges.both(groups[:, groups.any(axis=0)], used)
            return largest(z, exchanged)[0] > critical
        return self._accused(to_release, used, critical)

    def _guarded(self, rows: np.ndarray, distance: float) -> bool:
        """Whether the guard finds them too near."""
        count = min(round(self.times * len(rows)), len(self.of_released))
        apart = np.resize(self.whom.to_others[rows], count)
        made = np.append(distance / np.maximum(apart, 0.1), self.of_released[count:])
        found, chance = unlikely(made, self.of_real)
        return found.value >= SEEN and chance <= ABSOLUTE / 2

    def _accused(self, to_release: np.ndarray, used: np.ndarray, critical: float) -> bool:
        """Whether an attacker by the nearest record finds them, among all or the loneliest."""
        score = calibrated(self.whom.to_reference, to_release)
        for among in (self.whom.scored, self.whom.scored & self.lonely):
            case = used[among] > 0
            if 0 < case.sum() < len(case):
                area = auroc_parts(score[among], case)[0]
                if area >= max(SEEN, 0.5 + critical * _error(case)):
                    return True
        return False


def _error(used: np.ndarray) -> float:
    """Standard error of an AUROC where nothing leaks."""
    return float(np.sqrt((len(used) + 1) / (12 * used.sum() * (~used).sum())))
