"""What every attack by scores is given: patients to accuse, reference patients, the release.

The attacker has the whole record of whom he looks for, the release, and reference patients: half
of holdout, who are never scored. In each of two folds he scores one half of (a sample of) train
and the half of holdout that is not the reference. If the release knows nothing of who was in
train, the labels "used" and "held out" can be exchanged within a fold.
"""

from typing import NamedTuple

import numpy as np

from ...statistics import NotComputable, nearest_distances
from ..setting import Setting

NEIGHBORS = 5  # reference patients that tell how lonely somebody is
FEWEST = 5  # patients of a group in a fold
MOST_OTHERS = 16_384  # real patients among whom somebody's nearest is looked for


class Shape(NamedTuple):
    """Number of rows, means, and means of all products of two columns of a table.
    Chapter privacy, "An attacker who knows the hospital: the density ratio".
    """

    n: int
    mean: np.ndarray
    products: np.ndarray

    @classmethod
    def of(cls, rows: "np.ndarray | Shape") -> "Shape":
        """The shape of encoded patients; of a shape, itself. Summed in blocks, in float64."""
        if isinstance(rows, Shape):
            return rows
        total, products = np.zeros(rows.shape[1]), np.zeros((rows.shape[1],) * 2)
        for start in range(0, len(rows), 8_192):
            block = rows[start : start + 8_192]
            total += block.sum(axis=0, dtype=np.float64)
            products += block.T @ block
        return cls(len(rows), total / len(rows), products / len(rows))

    def scaled(self, mean: np.ndarray, scale: np.ndarray) -> "Shape":
        """The same of the table minus `mean`, times `scale`."""
        moved = self.mean - mean
        products = self.products - np.outer(self.mean, self.mean) + np.outer(moved, moved)
        return Shape(self.n, moved * scale, products * np.outer(scale, scale))


def standardized(
    patients: np.ndarray, reference: Shape, released: Shape
) -> tuple[np.ndarray, Shape, Shape]:
    """All three in standard deviations of reference and release together (equal columns: 0).
    Chapter privacy, "An attacker who knows the hospital: the density ratio".
    """
    n = reference.n + released.n
    mean = (reference.n * reference.mean + released.n * released.mean) / n
    square = sum(s.n * np.diag(s.products) for s in (reference, released)) / n
    sd = np.sqrt(np.maximum(square - mean**2, 0))
    scale = np.divide(1, sd, out=np.zeros(len(sd)), where=sd > 1e-6)
    z = (patients - mean.astype(np.float32)) * scale.astype(np.float32)
    return z, reference.scaled(mean, scale), released.scaled(mean, scale)


class Fold(NamedTuple):
    """Patients to be accused and the reference of one fold, with the distances attacks share."""

    patients: np.ndarray  # encoded, used ones first
    used: np.ndarray
    reference: np.ndarray
    to_release: np.ndarray  # (patients,): distance to the nearest released patient
    to_reference: np.ndarray  # (patients, NEIGHBORS): to the nearest reference patients
    to_others: np.ndarray  # (patients,): to the nearest other of `others` real patients
    others: int
    rows: list[np.ndarray]  # of train and of holdout


def folds(setting: Setting) -> list[Fold]:
    """Both folds of a setting. Chapter privacy, "As it can be believed"."""
    rng = np.random.default_rng([setting.train.seed, 13])
    attacked = setting.attacked
    fold: list[np.ndarray] = []
    for side, rows in zip((setting.train, setting.holdout), attacked, strict=True):
        fold.append((rng.permutation(len(side)) % 2)[rows])
    others, to_others = _others(setting, rng)
    found = []
    for k in range(2):
        chosen = [x[f == k] for x, f in zip(attacked, fold, strict=True)]
        known = attacked[1][fold[1] != k]
        if min(len(known), *map(len, chosen)) < FEWEST:
            raise NotComputable(f"fewer than {2 * FEWEST} patients of a group to attack")
        reference = setting.holdout.matrix[known]
        patients = np.concatenate(
            [setting.train.matrix[chosen[0]], setting.holdout.matrix[chosen[1]]]
        )
        to_release, alone = (
            np.concatenate([d[f == k] for d, f in zip(distances, fold, strict=True)])
            for distances in (setting.nearest, to_others)
        )
        used = np.repeat([True, False], [len(x) for x in chosen])
        near = nearest_distances(patients, reference, NEIGHBORS)
        found.append(Fold(patients, used, reference, to_release, near, alone, others, chosen))
    return found


def _others(setting: Setting, rng: np.random.Generator) -> tuple[int, list[np.ndarray]]:
    """How far attacked patients are from the nearest other of a sample of train and holdout.

    It is as large as the release where it can be, and says nothing about who was used.
    """
    sides = setting.train, setting.holdout
    sizes = [len(side) for side in sides]
    n = min(sum(sizes), len(setting.candidate), MOST_OTHERS)
    pool = np.sort(rng.permutation(sum(sizes))[:n])
    parts = pool[pool < sizes[0]], pool[pool >= sizes[0]] - sizes[0]
    rows = np.concatenate([side.matrix[part] for side, part in zip(sides, parts, strict=True)])
    found = []
    for side, attacked, first in zip(sides, setting.attacked, (0, sizes[0]), strict=True):
        own = attacked + first  # the patient himself does not count, where he is in the sample
        skip = np.where(np.isin(own, pool), np.searchsorted(pool, own), -1)
        found.append(nearest_distances(side.matrix[attacked], rows, 1, skip)[:, 0])
    return n, found
