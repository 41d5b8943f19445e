"""What every attack by scores is given: patients to accuse, reference patients, the release.

The attacker has the whole record of whom he looks for, the release, and reference patients: half
of holdout, who are never scored. He scores (a sample of) train and the other half of holdout. The
halves do not change places: then the noise of one half would count in both results, and sums of
the two would raise false alarms.
"""

from typing import NamedTuple

import numpy as np

from ...statistics import NotComputable, nearest_distance, nearest_distances
from ..setting import Setting

NEIGHBORS = 5  # reference patients that tell how lonely somebody is
FEWEST = 5  # patients of each group, and of the reference
MOST_OTHERS = 16_384  # real patients among whom somebody's nearest is looked for


class Shape(NamedTuple):
    """What two attacks know of a table. Chapter privacy, "As it can be believed"."""

    n: int  # rows
    mean: np.ndarray
    products: np.ndarray  # means of all products of two columns

    @classmethod
    def of(cls, rows: "np.ndarray | Shape") -> "Shape":
        """The shape of encoded patients, summed in blocks, in float64; of a shape, itself."""
        if isinstance(rows, Shape):
            return rows
        total, products = np.zeros(rows.shape[1]), np.zeros((rows.shape[1],) * 2)
        for start in range(0, len(rows), 8_192):
            block = rows[start : start + 8_192]
            total += block.sum(axis=0, dtype=np.float64)
            products += block.T @ block
        return cls(len(rows), total / len(rows), products / len(rows))

    def joined(self, other: "Shape") -> "Shape":
        """The shape of both tables under each other."""
        n = self.n + other.n
        mean, products = (
            (self.n * a + other.n * b) / n for a, b in zip(self[1:], other[1:], strict=True)
        )
        return Shape(n, mean, products)

    def scaled(self, mean: np.ndarray, scale: np.ndarray) -> "Shape":
        """The same of the table minus `mean`, times `scale`."""
        moved = self.mean - mean
        products = self.products - np.outer(self.mean, self.mean) + np.outer(moved, moved)
        return Shape(self.n, moved * scale, products * np.outer(scale, scale))


def standardized(
    patients: np.ndarray, reference: Shape, released: Shape
) -> tuple[np.ndarray, Shape, Shape]:
    """All three in the same units. Chapter privacy, "As it can be believed"."""
    # Standard deviations of reference and release together; what never varies is 0.
    _, mean, products = reference.joined(released)
    sd = np.sqrt(np.maximum(np.diag(products) - mean**2, 0))
    scale = np.divide(1, sd, out=np.zeros(len(sd)), where=sd > 1e-6)
    z = (patients - mean.astype(np.float32)) * scale.astype(np.float32)
    return z, reference.scaled(mean, scale), released.scaled(mean, scale)


class Attacked(NamedTuple):
    """Whom attacks accuse, used patients first. Chapter privacy, "As it can be believed"."""

    patients: np.ndarray  # encoded
    used: np.ndarray
    scored: np.ndarray  # who is not in the reference; whoever looks for copies looks at all
    reference: np.ndarray  # encoded
    to_release: np.ndarray  # (patients,): distance to the nearest released patient
    to_reference: np.ndarray  # (patients, NEIGHBORS): to the nearest of the reference
    to_others: np.ndarray  # (patients,): to the nearest other of `others` real patients
    others: int


def attacked(setting: Setting) -> Attacked:
    """Whom attacks accuse, and the reference. Chapter privacy, "As it can be believed"."""
    rng, held_out = np.random.default_rng([setting.train.seed, 13]), setting.holdout
    used, unused = setting.attacked
    chosen = rng.permutation(len(unused)) < len(held_out) // 2
    rest = np.setdiff1d(np.arange(len(held_out)), unused[chosen])
    known = np.sort(rng.permutation(rest)[: setting.effort.attacked])
    if min(len(used), chosen.sum(), len(known)) < FEWEST:
        raise NotComputable(f"fewer than {2 * FEWEST} patients of a group to attack")
    patients = np.concatenate([setting.train.matrix[used], held_out.matrix[unused]])
    reference = held_out.matrix[known]
    # As many others as released rows, where it can be; they say nothing about who was used.
    pool, others = both_sides(setting, min(len(setting.candidate), MOST_OTHERS), rng)
    own = np.append(used, unused + len(setting.train))  # who himself does not count as another
    skip = np.where(np.isin(own, pool), np.searchsorted(pool, own), -1)
    return Attacked(
        patients=patients, used=np.repeat([True, False], [len(used), len(unused)]),
        scored=np.append(np.ones(len(used), dtype=bool), chosen), reference=reference,
        to_release=np.concatenate(setting.nearest),
        to_reference=nearest_distances(patients, reference, NEIGHBORS),
        to_others=nearest_distance(patients, others, skip), others=len(others),
    )  # fmt: skip


def both_sides(
    setting: Setting, most: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers, holdout's after train's, and rows of at most so many patients of both together.
    Chapter privacy, "What these tests cannot show".
    """
    train, holdout = setting.train, setting.holdout
    pool = np.sort(rng.permutation(len(train) + len(holdout))[:most])
    used, unused = pool[pool < len(train)], pool[pool >= len(train)] - len(train)
    return pool, np.concatenate([train.matrix[used], holdout.matrix[unused]])
