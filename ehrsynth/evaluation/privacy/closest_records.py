"""Closest records: are released rows nearer to used patients than to as many held-out ones?

Nobody is attacked: the release is compared with both groups. Two shares of released rows: those
nearer to a used patient (Platzer and Reutterer, Front Big Data 2021;4:679939) and those of whom
one used patient stands out more (distance ratio; Zhao et al., ACML 2021), 0.5 for fresh patients,
about 1 for a copy of train. Both groups are cut to the same size.
"""

from collections.abc import Callable
from functools import partial
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
from .success import nearer

GROUPS = 10  # of real patients, for the jackknife


class ClosestRecords(NamedTuple):
    """Distances of synthetic patients to their two nearest in each group of used and held-out ones.

    One real patient can be the nearest of very many, so intervals come from leaving out groups.
    Chapter attacks, "Near copies, and the one who stands out".
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

    def share(self, of: Callable[[np.ndarray], np.ndarray]) -> Estimate:
        """Share of synthetic patients of whom a number of the two distances is smaller for used
        patients than for held-out ones, with the jackknife over real ones.
        """

        def scored(*tables: np.ndarray) -> np.ndarray:
            two = [np.sort(np.concatenate(x, axis=1), axis=1)[:, :2] for x in tables]
            return nearer(of(two[0]), of(two[1]))

        whole, variance = scored(*self), 0.0
        for i, table in enumerate(self):
            fewer = (np.delete(table, group, axis=0) for group in range(len(table)))
            left_out = [scored(*self[:i], part, *self[i + 1 :]).mean() for part in fewer]
            variance += jackknife_variance(np.array(left_out))
        return normal_interval(whole.mean(), np.sqrt(whole.var() / len(whole) + variance))


def distance_ratio(two: np.ndarray) -> np.ndarray:
    """Distance to the nearest over distance to the second nearest; 1 where both are 0.
    Chapter attacks, "Near copies, and the one who stands out".
    """
    return np.divide(two[:, 0], two[:, 1], out=np.ones(len(two)), where=two[:, 1] > 0)


def _closer(setting: Setting, rng: np.random.Generator, of=lambda two: two[:, 0]) -> Estimate:
    return setting.once(ClosestRecords.of).share(of)


COMPUTE = {
    ("closer_to_train", "corrected"): _closer,
    ("nearest_neighbor_distance_ratio", "corrected"): partial(_closer, of=distance_ratio),
}
