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
    apart: tuple[np.ndarray, ...]  # distances of all real patients, all candidates, and between
    k: int = NEIGHBORS

    @classmethod
    def of(cls, real: np.ndarray, candidate: np.ndarray, k: int = NEIGHBORS) -> "Neighborhoods":
        """Of two tables of encoded patients."""
        if min(len(real), len(candidate)) <= k:
            raise NotComputable(f"no more than {k} patients in a table")
        if not np.ptp(real, axis=0).any():
            raise NotComputable("all patients are the same")
        pairs = (real, real), (candidate, candidate), (real, candidate)
        return cls.from_distances(*(distances(*pair).astype(np.float32) for pair in pairs), k=k)

    @classmethod
    def from_distances(cls, *apart: np.ndarray, k: int = NEIGHBORS) -> "Neighborhoods":
        """The same from the distances; everybody is the nearest of his own."""
        last = min(k, min(map(len, apart[:2])) - 1)
        radius, radius_candidate = (np.partition(d, last, axis=1)[:, last] for d in apart[:2])
        return cls(apart[2] <= radius[:, None], apart[2] <= radius_candidate, apart, k)

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
        apart = [*self.apart[:2], np.delete(self.apart[2], rows, axis)]
        apart[axis] = np.delete(np.delete(apart[axis], rows, 0), rows, 1)
        return Neighborhoods.from_distances(*apart, k=self.k)
