"""What one number of a patient says about another, inside the bins."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

_SWEEPS = 3  # how often each number is drawn given the others
_SMALLEST = 0.02  # eigenvalue; two numbers that always go together keep a correlation of 0.98
_TINY = 1e-12  # keeps a drawn rank off 0 and 1, whose normal scores are infinite


@dataclass(frozen=True)
class Copula:
    """How the ranks of a patient's numbers go together: a Gaussian copula.

    A bin leaves open where in it a value lies. Drawn together, two pressures of one patient keep
    what they have in common (truncated normals by Gibbs sampling; Robert, Stat Comput 1995).
    Chapter generation, "From bins back to numbers".
    """

    correlation: list[list[float]]  # of the numbers' normal scores

    @classmethod
    def fit(cls, numbers: pd.DataFrame) -> "Copula":
        """Learn from the training patients' numbers; each pair from those who have both."""
        ranks = (numbers.rank() - 0.5) / numbers.count()
        scores = pd.DataFrame(ndtri(ranks.to_numpy()))
        # Two patients always lie on a line.
        found = scores.corr(min_periods=10).fillna(0.0).to_numpy(copy=True)
        np.fill_diagonal(found, 1.0)
        # Pairs counted among different patients can contradict each other.
        sizes, ways = np.linalg.eigh(found)
        found = (ways * np.maximum(sizes, _SMALLEST)) @ ways.T
        spread = np.sqrt(np.diag(found))
        return cls((found / np.outer(spread, spread)).tolist())

    def draw(self, low: np.ndarray, high: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw ranks (n, numbers), from 0 to 1, between given ones: together for each patient."""
        ends = ndtri(low), ndtri(high)
        precision = np.linalg.inv(self.correlation)
        scores = _inside(*ends, 0.0, 1.0, rng)
        for _ in range(_SWEEPS if len(precision) > 1 else 0):
            for i, row in enumerate(precision):
                others = np.where(np.arange(len(row)) == i, 0.0, row)
                center = -(scores @ others) / row[i]
                scores[:, i] = _inside(ends[0][:, i], ends[1][:, i], center, row[i] ** -0.5, rng)
        return ndtr(scores)


def _inside(low, high, center, spread, rng: np.random.Generator) -> np.ndarray:
    """Draw from a normal distribution cut off at `low` and `high`."""
    first, last = ndtr((low - center) / spread), ndtr((high - center) / spread)
    drawn = np.clip(first + rng.random(low.shape) * (last - first), _TINY, 1 - _TINY)
    return np.clip(center + spread * ndtri(drawn), low, high)
