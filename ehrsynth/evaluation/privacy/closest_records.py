"""Closest records: are released rows nearer to used patients than to as many held-out ones?

Nobody is attacked: the release is compared with both groups. Two shares of released rows: those
nearer to a used patient (Platzer and Reutterer, Front Big Data 2021;4:679939) and those of whom
one used patient stands out more (distance ratio; Zhao et al., ACML 2021), 0.5 for fresh patients,
about 1 for a copy of train. Both groups are cut to the same size.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...statistics import (
    Estimate,
    NotComputable,
    jackknife_variance,
    nearest_distances,
    normal_interval,
)
from ..setting import Setting

GROUPS = 10  # of real patients, for the jackknife


class ClosestRecords(NamedTuple):
    """Distances of synthetic patients to their two nearest used and held-out patients.

    One real patient can be the nearest of very many, so that intervals come from leaving out
    groups of them. Chapter privacy, "Near copies, and the one who stands out".
    """

    train: np.ndarray  # (groups, synthetic patients, 2)
    holdout: np.ndarray

    @classmethod
    def of(cls, setting: Setting) -> "ClosestRecords":
        """The distances in a setting, the same each time."""
        sides, queried = (setting.train, setting.holdout), setting.effort.queried
        n = min(map(len, sides))
        if n < 2 * GROUPS:
            raise NotComputable(f"fewer than {2 * GROUPS} patients in a table")
        rng = np.random.default_rng([setting.train.seed, 12])
        rows = setting.candidate.matrix[setting.candidate.sample(2 * queried, rng)]
        real = [side.matrix[rng.permutation(side.sample(n, rng))] for side in sides]
        return cls(*(
            np.stack([nearest_distances(rows, part, 2) for part in np.array_split(x, GROUPS)])
            for x in real
        ))  # fmt: skip

    def compare(self, scores: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Estimate:
        """Mean over synthetic patients, with the jackknife over real ones, of a function of the
        distances to the two nearest used and held-out patients (each of shape (synthetic, 2)).
        """

        def scored(*tables: np.ndarray) -> np.ndarray:
            return scores(*(np.sort(np.concatenate(x, axis=1), axis=1)[:, :2] for x in tables))

        train, holdout = self.train, self.holdout
        whole, groups = scored(train, holdout), range(len(train))
        fewer_train = [scored(np.delete(train, g, axis=0), holdout).mean() for g in groups]
        fewer_holdout = [scored(train, np.delete(holdout, g, axis=0)).mean() for g in groups]
        variance = sum(jackknife_variance(np.array(x)) for x in (fewer_train, fewer_holdout))
        return normal_interval(whole.mean(), np.sqrt(whole.var() / len(whole) + variance))


def distance_ratio(two: np.ndarray) -> np.ndarray:
    """Distance to the nearest over distance to the second nearest; 1 where both are 0.
    Chapter privacy, "Near copies, and the one who stands out".
    """
    return np.divide(two[:, 0], two[:, 1], out=np.ones(len(two)), where=two[:, 1] > 0)


def _wins(train: np.ndarray, holdout: np.ndarray) -> np.ndarray:
    """1 where the used patients are nearer, 0 where the held-out ones are, half for a tie."""
    return (train < holdout) + 0.5 * (train == holdout)


def _closer_to_train(setting: Setting, rng: np.random.Generator) -> Estimate:
    closest = setting.once(ClosestRecords.of)
    return closest.compare(lambda train, holdout: _wins(train[:, 0], holdout[:, 0]))


def _one_stands_out(setting: Setting, rng: np.random.Generator) -> Estimate:
    closest = setting.once(ClosestRecords.of)
    return closest.compare(
        lambda train, holdout: _wins(distance_ratio(train), distance_ratio(holdout))
    )


COMPUTE = {
    ("closer_to_train", "corrected"): _closer_to_train,
    ("nearest_neighbor_distance_ratio", "corrected"): _one_stands_out,
}
