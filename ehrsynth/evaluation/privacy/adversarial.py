"""Nearest-neighbor adversarial accuracy: is a patient nearer to his own table or to the other?

Nobody is attacked: two tables are compared as wholes. The privacy loss is the accuracy of
holdout against the release minus that of train against the release (Yale et al., Neurocomputing
2020;416:244-255): 0 for fresh patients, about 0.5 for a copy of train. Published, a tie counts
for nobody and tables are cut to holdout's size; corrected, it counts half and they stay whole.
"""

from collections.abc import Iterable

import numpy as np

from ...statistics import Estimate, NotComputable, nearest_distance, normal_interval
from ..setting import Setting
from .success import nearer


def adversarial_accuracy(
    to_other: np.ndarray, to_own: np.ndarray, other_to: np.ndarray, other_to_own: np.ndarray,
    ties: float = 0.5,
) -> float:  # fmt: skip
    """Share of records of two tables that are nearer to their own table than to the other.

    From the distances of each table's records to the nearest of the other and of their own: 0.5
    for equal distributions, 1 when they can be told apart, 0 for copies. An equal distance counts
    `ties`: the published 0 gives far less than 0.5 for equal distributions of sparse records.
    Chapter attacks, "Nearest-neighbor adversarial accuracy".
    """
    tables = (to_own, to_other), (other_to_own, other_to)
    return float(np.mean([nearer(*table, ties).mean() for table in tables]))


def _privacy_loss(
    pairs: Iterable[tuple[np.ndarray, ...]], queries: int, rng: np.random.Generator, ties: float
) -> Estimate:
    """Accuracy of the first pair of tables minus that of the second, of so many records a table."""
    accuracy, variance = [], 0.0
    for pair in pairs:
        if min(map(len, pair)) < 5:
            raise NotComputable("fewer than 5 patients in a table")
        asked = [np.sort(rng.choice(len(x), min(queries, len(x)), replace=False)) for x in pair]
        near = [
            (nearest_distance(own[rows], other), nearest_distance(own[rows], own, rows))
            for own, other, rows in zip(pair, reversed(pair), asked, strict=True)
        ]
        accuracy.append(adversarial_accuracy(*near[0], *near[1], ties=ties))
        variance += sum(nearer(own, other, ties).var() / len(own) / 4 for other, own in near)
    return normal_interval(accuracy[0] - accuracy[1], float(np.sqrt(variance)))


def _published(setting: Setting, rng: np.random.Generator) -> Estimate:
    """Tables are cut to holdout's size, train and synthetic by the same order of rows."""
    sides = setting.train, setting.holdout, setting.candidate
    n = min(*map(len, sides), 2 * setting.effort.queried)
    seed = int(rng.integers(2**31))
    train, holdout, made = (
        side.matrix[np.random.default_rng(seed).permutation(len(side))[:n]] for side in sides
    )
    return _privacy_loss([(holdout, made), (train, made)], n, rng, ties=0.0)


def _ties_half(setting: Setting, rng: np.random.Generator) -> Estimate:
    """Ties count half; only the larger table of a pair is cut, since a cut of all hides copies."""
    chosen = []
    for side in (setting.holdout, setting.train):
        n = min(len(side), len(setting.candidate))
        chosen.append([(t, t.sample(n, rng)) for t in (side, setting.candidate)])
    # One pair at a time, and no copy of a table that is there as a whole: they are large.
    pairs = (
        tuple(t.matrix if len(rows) == len(t) else t.matrix[rows] for t, rows in pair)
        for pair in chosen
    )
    return _privacy_loss(pairs, setting.effort.queried, rng, ties=0.5)


COMPUTE = {
    ("nearest_neighbor_adversarial_accuracy", "published"): _published,
    ("nearest_neighbor_adversarial_accuracy", "corrected"): _ties_half,
}
