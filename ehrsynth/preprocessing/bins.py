"""How one number of a patient becomes one of a few bins, and what lies inside each of them."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from ..protection import LEAST_PATIENTS
from ..schema import MISSING

_KNOTS = 64  # points of the distribution kept inside each bin


@dataclass(frozen=True)
class Bins:
    """How one continuous column is cut into bins, and what lies inside each of them.

    Decoding draws a place between two neighboring knots, so a value that few patients have does not
    come back. Chapter preprocessing, "Step 6: numbers into something a generator can imitate".
    """

    edges: list[float]  # bin i holds the values from edges[i-1] up to, not including, edges[i]
    # Of each bin the values that five or more patients have, and their shares of the bin.
    frequent: list[list[float]]
    frequencies: list[list[float]]
    knots: list[list[float]]  # of each bin the other values, at even steps of their distribution
    shares: list[float]  # of the observed values in each bin

    @classmethod
    def fit(cls, observed: np.ndarray, most: int) -> "Bins":
        """Cut observed values into at most `most` bins of about equal size."""
        if len(observed) == 0:
            return cls([], [], [], [], [])
        distinct, counts = np.unique(observed, return_counts=True)
        edges = _cut(observed, distinct, max(1, min(most, len(observed) // LEAST_PATIENTS)))
        member = np.searchsorted(edges, observed, side="right")
        sizes = np.bincount(member, minlength=len(edges) + 1)
        place = np.searchsorted(edges, distinct, side="right")
        # The middle of each step leaves the very smallest and largest value out.
        steps = (np.arange(_KNOTS) + 0.5) / _KNOTS
        frequent, frequencies, knots = [], [], []
        for i, size in enumerate(sizes):
            known = (counts >= LEAST_PATIENTS) & (place == i)
            frequent.append(distinct[known].tolist())
            frequencies.append((counts[known] / size).tolist())
            rest = observed[(member == i) & ~np.isin(observed, distinct[known])]
            knots.append(np.quantile(rest, steps).tolist() if len(rest) else [])
        return cls(edges.tolist(), frequent, frequencies, knots, (sizes / len(observed)).tolist())

    def encode(self, values: np.ndarray) -> np.ndarray:
        """The bin of each value; one past the last bin for NaN. Shape (n,), integers."""
        index = np.searchsorted(self.edges, values, side="right")
        return np.where(np.isnan(values), len(self.knots), index)

    def limits(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The lowest and highest rank in each bin, as shares of train; 0 and 1 for missing."""
        ends = np.append(np.cumsum(self.shares), 1.0)
        ends[-2:] = 1.0  # the sum may miss 1 by a hair
        starts = np.append(0.0, ends[:-1])
        starts[-1] = 0.0
        return starts[index], ends[index]

    def decode(self, index: np.ndarray, place: np.ndarray) -> np.ndarray:
        """The value at each place in its bin, from 0 to 1; NaN for one past the last bin."""
        values = np.full(len(index), np.nan)
        for i in range(len(self.knots)):
            here = np.flatnonzero(index == i)
            values[here] = np.interp(place[here], *self._distribution(i))
        return values

    def _distribution(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Shares of the bin's patients, rising from 0 to 1, and the values up to which they go."""
        often, knots = np.array(self.frequent[i]), np.array(self.knots[i])
        # A frequent value is a step: its place goes on while the value stays.
        steps = np.append(0.0, np.cumsum(self.frequencies[i]))
        if len(knots) == 0:
            return np.repeat(steps, 2)[1:-1] / steps[-1], np.repeat(often, 2)
        even = np.linspace(0, 1 - steps[-1], len(knots))
        before = np.interp(often, knots, even) if len(often) else often
        share = np.concatenate(
            [even + steps[np.searchsorted(often, knots)], before + steps[:-1], before + steps[1:]]
        )
        value = np.concatenate([knots, often, often])
        order = np.lexsort((share, value))
        return share[order], value[order]

    def scores(self) -> tuple[float, ...]:
        """Normal score of each bin's middle rank, and 0 for missing."""
        middle = np.cumsum(self.shares) - np.array(self.shares) / 2
        return (*np.round(ndtri(middle), 4).tolist(), 0.0)

    def labels(self, decimals: int | None) -> tuple[str, ...]:
        """A readable name for each bin, and for missing."""
        if not self.knots:
            return (MISSING,)
        halves = decimals == 0 and any(edge % 1 for edge in self.edges)
        digits = 3 if decimals is None else decimals + halves
        ends = [f"{edge:.{digits}f}" for edge in self.edges]
        if not ends:
            return ("any", MISSING)
        inner = [f"{low} to {high}" for low, high in zip(ends, ends[1:], strict=False)]
        return (f"below {ends[0]}", *inner, f"{ends[-1]} and above", MISSING)


def _cut(observed: np.ndarray, distinct: np.ndarray, most: int) -> np.ndarray:
    """Cut points between at most `most` bins: a bin for each of few values, or quantiles."""
    if len(distinct) <= most:
        return (distinct[1:] + distinct[:-1]) / 2
    edges = np.unique(np.quantile(observed, np.arange(1, most) / most))
    edges = edges[edges > distinct[0]]
    # Where values lie far apart, a bin between two cut points can hold none of them.
    sizes = np.bincount(np.searchsorted(edges, observed, side="right"))
    return edges[sizes[:-1] > 0]
