"""Membership by moments: does the release lean toward this person?

The attacker has the whole record of a person, the release, and reference patients of the same
hospital. He asks whether pairs of columns go together in the release as they do in the person,
more than they do in the reference: z'(Zs'Zs/n - Zr'Zr/m)z without the diagonal, plus the same of
the means, z standardized. No record needs to be near: it finds what a generator learned of few
patients by heart. After Homer et al., PLoS Genet 2008;4:e1000167; Dwork et al., Annu Rev Stat
Appl 2017;4:61-84. AUROC: 0.5 for fresh patients, 1 for a copy of train of few patients.
"""

import numpy as np

from .reference import Shape, standardized


def score(patients: np.ndarray, reference, released) -> np.ndarray:
    """How far the release leans toward each patient, of three tables or of one and two shapes.
    Chapter attacks, "Nobody is near, and still it leaks: moments".
    """
    z, known, made = standardized(patients, Shape.of(reference), Shape.of(released))
    lean = made.products - known.products
    np.fill_diagonal(lean, 0)
    pairs = np.einsum("ij,ij->i", z @ lean.astype(np.float32), z, dtype=np.float64)
    return pairs + 2 * z @ (made.mean - known.mean)
