"""How one number of a patient becomes one of a few bins, and what lies inside each of them."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from ..protection import LEAST_PATIENTS, around, ends, knots
from ..schema import MISSING

_KNOTS = 64  # at most, of the distribution kept inside each bin
_GROUPS = 2  # of patients in a bin, at least, so that a bin is more than one number


@dataclass(frozen=True)
class Bins:
    """How one continuous column is cut into bins, and what lies inside each of them.

    Every bin, cut point and knot comes from at least so many patients, the outermost by
    :func:`ehrsynth.protection.ends`. Decoding draws a place between two neighboring knots, so a
    value that few patients have does not come back. Chapter preprocessing, "Step 6: numbers into
    something a generator can imitate".
    """

    edges: list[float]  # bin i holds the values from edges[i-1] up to, not including, edges[i]
    # Of each bin the values that enough patients have, and their shares of the bin.
    frequent: list[list[float]]
    frequencies: list[list[float]]
    knots: list[list[float]]  # of each bin means of neighbors among the other values
    shares: list[float]  # of the observed values in each bin

    @classmethod
    def fit(cls, observed: np.ndarray, most: int, least: int = LEAST_PATIENTS) -> "Bins":
        """Cut observed values into at most `most` bins of about equal size, none below `least`."""
        if len(observed) < least:
            return cls([], [], [], [], [])
        values, counts = np.unique(observed, return_counts=True)
        observed = np.clip(np.sort(observed), *ends(observed, least))
        distinct = np.unique(observed)
        often = np.intersect1d(values[counts >= least], distinct)
        edges = _cut(observed, distinct, min(most, len(observed) // (_GROUPS * least)), least)
        member = np.searchsorted(edges, observed, side="right")
        sizes = np.bincount(member, minlength=len(edges) + 1)
        place = np.searchsorted(edges, often, side="right")
        has_often = np.array([np.count_nonzero(observed == value) for value in often])
        frequent = [often[place == i].tolist() for i in range(len(sizes))]
        frequencies = [(has_often[place == i] / size).tolist() for i, size in enumerate(sizes)]
        others = ~np.isin(observed, often)
        inner = [knots(observed[(member == i) & others], _KNOTS, least) for i in range(len(sizes))]
        return cls(edges.tolist(), frequent, frequencies, inner, (sizes / len(observed)).tolist())

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
            here = index == i
            values[here] = np.interp(place[here], *self._distribution(i))
        return values

    def _distribution(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Shares of the bin's patients, rising from 0 to 1, and the values up to which they go."""
        often, inner = np.array(self.frequent[i]), np.array(self.knots[i])
        # A frequent value is a step: its place goes on while the value stays.
        steps = np.append(0.0, np.cumsum(self.frequencies[i]))
        if len(inner) == 0:
            return np.repeat(steps, 2)[1:-1] / steps[-1], np.repeat(often, 2)
        even = np.linspace(0, 1 - steps[-1], len(inner))
        before = np.interp(often, inner, even) if len(often) else often
        share = np.concatenate(
            [even + steps[np.searchsorted(often, inner)], before + steps[:-1], before + steps[1:]]
        )
        value = np.concatenate([inner, often, often])
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
        cuts = [f"{edge:.{digits}f}" for edge in self.edges]
        if not cuts:
            return ("any", MISSING)
        inner = [f"{low} to {high}" for low, high in zip(cuts, cuts[1:], strict=False)]
        return (f"below {cuts[0]}", *inner, f"{cuts[-1]} and above", MISSING)


def _cut(observed: np.ndarray, distinct: np.ndarray, most: int, least: int) -> np.ndarray:
    """Cut points: means around each of few values, or quantiles; no bin has fewer than `least`."""
    if len(distinct) <= most:
        places = np.searchsorted(observed, distinct[1:])
    else:
        places = len(observed) * np.arange(1, most) // most
    kept: list[float] = []
    for edge in np.unique([around(observed, place, least) for place in places]):
        start, end = np.searchsorted(observed, [*kept[-1:], edge])[[0, -1]]
        if end - start * bool(kept) >= least and len(observed) - end >= least:
            kept.append(float(edge))
    return np.array(kept)
