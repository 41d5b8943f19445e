"""Who lives near whom: do the patients of two tables lie in each other's neighborhoods?"""

from typing import NamedTuple

import numpy as np

from ..statistics import NotComputable, distances

NEIGHBORS = 5


class Neighborhoods(NamedTuple):
    """Which patients of two tables lie in the other's neighborhoods, up to the fifth nearest.

    Chapter fidelity, "Who lives near whom: precision, recall, density, coverage".
    Source: Naeem et al., ICML 2020, PMLR 119:7176-7185, section 3; precision and recall after
    Kynkäänniemi et al., NeurIPS 2019;32:3927-3936, eq. 1 and 2.
    """

    of_real: np.ndarray  # (real, candidate): whether the candidate is in the real one's
    of_candidate: np.ndarray  # (real, candidate): whether the real one is in the candidate's
    k: int = NEIGHBORS
    apart: tuple[np.ndarray, ...] = ()  # distances of all real patients, all candidates, between
    radius: tuple[np.ndarray, ...] = ()  # of the neighborhoods of both

    @classmethod
    def of(cls, real: np.ndarray, candidate: np.ndarray, k: int = NEIGHBORS) -> "Neighborhoods":
        """Of two tables of encoded patients; everybody is the nearest of his own."""
        if min(len(real), len(candidate)) <= k:
            raise NotComputable(f"no more than {k} patients in a table")
        if not np.ptp(real, axis=0).any():
            raise NotComputable("all patients are the same")
        pairs = (real, real), (candidate, candidate), (real, candidate)
        apart = tuple(distances(*pair).astype(np.float32) for pair in pairs)
        radius = _radius(apart[0], k), _radius(apart[1], k)
        return cls(apart[2] <= radius[0][:, None], apart[2] <= radius[1], k, apart, radius)

    def precision(self) -> float:
        """Share of candidates in the neighborhood of any real patient."""
        return float(self.of_real.any(axis=0).mean())

    def recall(self) -> float:
        """Share of real patients in the neighborhood of any candidate."""
        return float(self.of_candidate.any(axis=1).mean())

    def density(self, k: int = NEIGHBORS) -> float:
        """Real neighborhoods that a candidate lies in, on average, over k."""
        return float(self.of_real.sum(axis=0).mean() / k)

    def coverage(self) -> float:
        """Share of real patients with a candidate in their neighborhood."""
        return float(self.of_real.any(axis=1).mean())

    def without(self, rows: np.ndarray, axis: int) -> "Neighborhoods":
        """The same without some real patients (axis 0) or candidates (axis 1)."""
        own, radius = self.apart[axis], self.radius[axis].copy()
        lost = np.flatnonzero((own[:, rows] <= radius[:, None]).any(axis=1))  # some neighbor
        radius[lost] = _radius(np.delete(own[lost], rows, axis=1), self.k)
        found = [np.delete(within, rows, axis) for within in (self.of_real, self.of_candidate)]
        found[axis] = np.delete(self.apart[2] <= np.expand_dims(radius, 1 - axis), rows, axis)
        return Neighborhoods(found[0], found[1], self.k)


def _radius(apart: np.ndarray, k: int) -> np.ndarray:
    """Distance of each to the k-th nearest of his own, or to the last."""
    last = min(k, apart.shape[1] - 1)
    return np.partition(apart, last, axis=1)[:, last]
