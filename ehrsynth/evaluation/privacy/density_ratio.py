"""Membership by the density ratio: an attacker who knows the hospital.

He has the whole record of a person, the release, and records of other patients of the same
hospital (the reference), and accuses where the release is denser than the reference, so that a
common record is not taken for a used one (van Breugel et al., AISTATS 2023, PMLR 206:3493-3514,
DOMIAS). AUROC: 0.5 for fresh patients, 1 for a copy of train.
"""

import numpy as np

from ...statistics import Estimate, mean_of, nearest_distance
from ..setting import Setting
from .success import attack_auroc


def density_ratio(targets: np.ndarray, released: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Log of how much denser the release is at each target than a reference is, up to a factor.

    Densities are Gaussian kernel estimates with a small bandwidth, where only the nearest record
    counts. (Boosted trees blur single records: a copy of train has an AUROC of about 0.6, not 1.)
    Reference patients must be neither released from nor attacked.
    Chapter privacy, "An attacker who knows the hospital: the density ratio".
    """
    return nearest_distance(targets, reference) ** 2 - nearest_distance(targets, released) ** 2


def _density_ratio(setting: Setting, rng: np.random.Generator) -> Estimate:
    """Each half of holdout is the reference once, while the other half is attacked."""
    sides, n = (setting.train, setting.holdout), setting.effort.attacked
    rows = [side.matrix[rng.permutation(side.sample(n, rng))] for side in sides]
    (train_a, train_b), (holdout_a, holdout_b) = (np.array_split(x, 2) for x in rows)
    released = setting.candidate.matrix
    areas = []
    for used, others, known in (train_a, holdout_a, holdout_b), (train_b, holdout_b, holdout_a):
        scores = [density_ratio(x, released, known) for x in (used, others)]
        areas.append(attack_auroc(scores[0], scores[1]))
    return mean_of(areas)


COMPUTE = {("density_ratio_attack", "corrected"): _density_ratio}
