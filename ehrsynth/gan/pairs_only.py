"""What needs no network: every column and every pair of columns right, and nothing else.

Each patient is a point of one normal distribution (a Gaussian copula), each column is read off it.
"""

import numpy as np
import pandas as pd
from scipy.linalg import block_diag
from scipy.special import log_ndtr, ndtr, ndtri
from scipy.stats import norm

from ..schema import Column, Schema

_HALVINGS, _NODES, _ROUNDS = 30, 24, 30  # of solving, integrating, projecting
_LARGEST, _FEWEST = 0.999, 10  # correlation; patients with something before it has any


def tetrachoric(share: np.ndarray, both: np.ndarray, n: int) -> np.ndarray:
    """Correlations of the normal variables behind 0/1 columns, of which one that is constant has 0.

    `share` of `n` patients have each column, and `both` each two. Two normal variables, cut at the
    columns' prevalences, are both beyond their cuts as often (Pearson 1900). The integral over the
    correlation of the bivariate density (Drezner and Wesolowsky 1990) is solved by halving.
    Chapter training, "Margins, pairs, and what the networks add".
    """
    found = np.eye(len(share))
    varies = np.flatnonzero((share > 0) & (share < 1))
    first, second = (varies[side] for side in np.triu_indices(len(varies), 1))
    p, q, half = share[first], share[second], 0.5 / n  # of a patient in an empty cell
    wanted = both[first, second]
    wanted = np.clip(wanted, np.maximum(0, p + q - 1) + half, np.minimum(p, q) - half)
    a, b = ndtri(p), ndtri(q)
    low, high = np.full(len(a), -_LARGEST), np.full(len(a), _LARGEST)
    for _ in range(_HALVINGS):
        middle, more = (low + high) / 2, np.zeros(len(a))
        for node, weight in zip(*np.polynomial.legendre.leggauss(_NODES), strict=True):
            r = middle * (node + 1) / 2
            left = 1 - r**2
            more += weight * np.exp((r * a * b - (a**2 + b**2) / 2) / left) / np.sqrt(left)
        above = p * q + more * middle / (4 * np.pi) > wanted
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    found[first, second] = found[second, first] = (low + high) / 2
    return found


class PairsOnly:
    """A Gaussian copula of a patient table: all margins and pairs, and no more.

    Yes/no columns and "not measured" are cut at train's prevalence, numbers take train's values; of
    more than two categories each has a coordinate, and a patient gets the one that is largest.
    Chapter training, "Margins, pairs, and what the networks add".
    """

    def fit(self, train: pd.DataFrame) -> "PairsOnly":
        """Learn the margins and pairs of a patient table."""
        self.schema_ = Schema.of(train)
        numbers = train[self.schema_.of_kind("continuous")]
        flags = [_flags(column, train[column.name]) for column in self.schema_.columns]
        self.shares_ = [own.mean(axis=0) for own in flags]
        self.values_ = {name: np.sort(numbers[name].dropna().to_numpy(float)) for name in numbers}
        return self.tie(_correlations(np.concatenate(flags, axis=1), numbers))

    def tie(self, found: np.ndarray) -> "PairsOnly":
        """Learn the pairs from correlations: of yes/no columns and categories, then of numbers."""
        blocks = [*map(_to_coordinates, self.shares_), np.eye(len(self.values_))]
        back = block_diag(*blocks)
        alone = block_diag(*map(np.ones_like, blocks[:-1]), blocks[-1])
        wanted = np.where(alone, np.eye(len(back)), back @ found @ back.T)
        self.correlation_ = _nearest(np.clip(wanted, -_LARGEST, 1.0))
        return self

    def sample(self, n: int, seed: int = 0) -> pd.DataFrame:
        """Draw `n` new patients, the schema attached; the same for the same seed."""
        sizes, ways = np.linalg.eigh(self.correlation_)
        scores = np.random.default_rng(seed).standard_normal((n, len(sizes)))
        scores = scores @ (ways * np.sqrt(np.clip(sizes, 0, None))).T
        own, numbers = np.split(scores, [sum(map(len, self.shares_))], axis=1)
        parts = np.split(own, np.cumsum([len(share) for share in self.shares_])[:-1], axis=1)
        ranks, table = iter(ndtr(numbers).T), {}
        for column, share, part in zip(self.schema_.columns, self.shares_, parts, strict=True):
            yes = (part > ndtri(1 - share)).any(axis=1)
            if column.kind == "continuous":
                known = np.append(self.values_[column.name], np.nan)
                values = known[(next(ranks) * (len(known) - 1)).astype(int)]
                table[column.name] = np.where(yes, np.nan, values)
            elif column.kind == "binary":
                table[column.name] = yes
            else:
                if len(share) > 1:  # Gumbel variables: each is largest as often as in train
                    yes = (np.log(share + 1e-300) - np.log(-log_ndtr(part))).argmax(axis=1)
                place = np.minimum(yes, len(column.categories) - 1)
                table[column.name] = np.array(column.categories, dtype=object)[place]
        return self.schema_.cast(pd.DataFrame(table))


def _flags(column: Column, values: pd.Series) -> np.ndarray:
    """The 0/1 columns of one table column."""
    if column.kind != "categorical":
        return (values if column.kind == "binary" else values.isna()).to_numpy(float)[:, None]
    shown = column.categories[-1:] if len(column.categories) <= 2 else column.categories
    return (values.astype(str).to_numpy()[:, None] == np.array(shown)).astype(float)


def _to_coordinates(share: np.ndarray) -> np.ndarray:
    """From correlations with the categories of these shares to those with their coordinates."""
    if len(share) == 1:
        return np.eye(1)
    # The mean coordinate among those with a category; of the others' it is what is left.
    used = np.flatnonzero(share * (1 - share) > 0)
    p, even, found = share[used], (np.arange(10_000) + 0.5) / 10_000, np.eye(len(share))
    with_it = np.array([one * ndtri(even**one).mean() for one in p])
    moved = -np.outer(p, with_it / (1 - p))
    np.fill_diagonal(moved, with_it)
    found[np.ix_(used, used)] = np.linalg.pinv(moved / norm.pdf(ndtri(p))[:, None], rcond=1e-6)
    return found


def _correlations(flags: np.ndarray, numbers: pd.DataFrame) -> np.ndarray:
    """Tetrachoric ones of the 0/1 columns, biserial ones, and those of the numbers' scores."""
    scores = pd.DataFrame(ndtri(((numbers.rank() - 0.5) / numbers.count()).to_numpy()))
    known, n = scores.notna().to_numpy(float), np.maximum(numbers.count().to_numpy(), 1)
    share = known.T @ flags / n[:, None]  # among those who have the number
    height = np.where(share * (1 - share) > 0, norm.pdf(ndtri(share)), np.inf)
    biserial = (scores / scores.std()).fillna(0.0).to_numpy().T @ flags / n[:, None] / height
    enough = np.minimum(flags.sum(axis=0), (1 - flags).sum(axis=0)) >= _FEWEST
    biserial, both = biserial * enough, scores.corr(min_periods=_FEWEST).fillna(0.0)
    share, together = flags.mean(axis=0), flags.T @ flags / len(flags)
    alike = tetrachoric(share, together, len(flags)) * np.outer(enough, enough)
    return np.block([[alike, biserial.T], [biserial, both]])


def _nearest(wanted: np.ndarray) -> np.ndarray:
    """The nearest correlation matrix (Higham, IMA J Numer Anal 2002;22:329-343)."""
    correction = np.zeros_like(wanted)
    for _ in range(_ROUNDS):
        sizes, ways = np.linalg.eigh(wanted - correction)
        positive = (ways * np.clip(sizes, 0, None)) @ ways.T
        correction = positive - wanted + correction
        wanted = positive - np.diag(np.diag(positive) - 1)
    return positive / np.sqrt(np.outer(np.diag(positive), np.diag(positive)))
