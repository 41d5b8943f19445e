"""A generator with a guarantee that needs no network: noisy margins and pairs, and nothing else.

Both are sums over patients, so that one patient moves them by a known length. What is made of the
noisy sums looks at nobody any more, and costs nothing. Chapter open-issues, "What a guarantee
costs".
"""

from collections.abc import Callable, Container
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.fft import dct, idct
from scipy.special import ndtri
from scipy.stats import norm

from ..errors import InputError, check_count
from ..files import read_json, write_json
from ..gan.pairs_only import PairsOnly, tetrachoric
from ..kinds import REST
from ..schema import Column, Schema
from .budget import Budget

MOST_CODES = 20  # of a patient that count in full; said before anybody is looked at
_MARGINS, _PAIRS = 0.3, 0.7  # shares of the squared strength
_CELLS = 64  # of a number, at most, between its bounds
_MOST_NAMES = 1_000  # codes of a patient that are looked at
_ALONE, _WAVE = 3.3, 2.5  # times the noise: counts and waves that stand out of it
_FAR = 2.0  # normal score at which numbers are cut off
_OUTCOME = 1.5  # the outcome's weight in the pairs, which are then told more exactly
_QUANTILES = 2_001
_ROUNDS, _TYPICAL, _CLEAR = 10, 0.1, 4.0  # of taking the noise away
_LARGEST = 0.999  # correlation
_PART = 8_192  # patients looked at at a time


def fit_pairs(
    train: pd.DataFrame, budget: Budget, rng: np.random.Generator, schema: Schema | None = None,
    most_codes: int = MOST_CODES, public: Container[str] = (),
) -> tuple[PairsOnly, int]:  # fmt: skip
    """Margins and pairs of the patients, with noise, as a generator of patients; and their number.

    `schema` has to bound every number; by default it is the table's own. Of the columns that are
    `public` it could be known without the patients that they are there, and which categories they
    have. What does not stand out of the noise is left out. A patient with more than `most_codes`
    counts for less in each of them.
    """
    schema = Schema.of(train) if schema is None else schema
    margins = Margins(schema, train, budget, rng, most_codes, public)
    model = without_pairs(margins)
    return model.tie(_correlations(margins, train, budget, rng)), margins.patients


def without_pairs(margins: "Margins") -> PairsOnly:
    """A generator of patients whose columns have nothing to do with each other."""
    model = PairsOnly()
    model.schema_, model.shares_ = margins.kept, list(margins.shares.values())
    model.values_ = {name: margins.quantiles(name) for name in margins.numbers}
    model.correlation_ = np.eye(sum(map(len, model.shares_)) + len(margins.numbers))
    return model


def save_pairs(model: PairsOnly, path: str | Path) -> None:
    """Write a generator as JSON: its schema and what was made of the noisy sums."""
    write_json({
        "schema": model.schema_.to_json(), "shares": [share.tolist() for share in model.shares_],
        "values": {name: own.tolist() for name, own in model.values_.items()},
        "correlation": model.correlation_.tolist(),
    }, path)  # fmt: skip


def load_pairs(path: str | Path) -> PairsOnly:
    """Read what :func:`save_pairs` wrote."""
    state, model = read_json(path), PairsOnly()
    model.schema_ = Schema.from_json(state["schema"], where=str(path))
    model.shares_ = [np.array(share) for share in state["shares"]]
    model.values_ = {name: np.array(own) for name, own in state["values"].items()}
    model.correlation_ = np.array(state["correlation"])
    return model


class Margins:
    """How often each category, cell of a number and code is there, with noise.

    What is made of it (the names that are kept, shares, quantiles) looks at nobody any more.
    """

    def __init__(
        self, schema: Schema, train: pd.DataFrame, budget: Budget, rng: np.random.Generator,
        most: int, public: Container[str] = (),
    ):  # fmt: skip
        check_count("number of codes that count in full", most)
        for column in schema.columns:
            if column.kind == "continuous" and None in (column.lower, column.upper):
                raise InputError(
                    f"Column {column.name!r} has no bounds, and with a guarantee they cannot be "
                    'read off the patients; say them in a columns file, as in {"bounds": [0, 120]}.'
                )
        self.codes, others = _codes_and_others(schema)
        self.most = min(most, max(1, len(self.codes)))
        length = float(np.sqrt(1 + len(others) + self.most))
        self.noise = budget.look("how frequent each value is", length, _MARGINS)
        sums = _sum(train, lambda part: margin_matrix(schema, part, self.most).sum(axis=0))
        sums = sums + rng.normal(scale=self.noise, size=len(sums))
        ends = np.cumsum([1, *(_block(c, train[c.name].iloc[:0]).shape[1] for c in others)])
        n, *counts, codes = np.split(sums, ends)
        self.patients = max(1, round(float(n[0])))
        #: The noisy counts; the names of codes that are not kept must not leave.
        self.counts = dict(zip(self.codes, codes[:, None], strict=True))
        for c, x in zip(others, counts, strict=True):
            self.counts[c.name] = self._smooth(x) if c.kind == "continuous" else np.clip(x, 0, None)
        #: What a count has to be above to be kept. Where the name itself could tell of a patient,
        #: one patient alone is above it with the chance `for_names` at most.
        own = 1 + self.noise * norm.isf(budget.for_names / (_MOST_NAMES + len(others)))
        self.least = {n: _ALONE * self.noise if n in public else own for n in schema.names}
        self.codes = [name for name in self.codes if self.counts[name] > self.least[name]]
        left = [c for c in schema.columns if not _is_code(c) or c.name in self.codes]
        self.kept = Schema(tuple(self._named(c, c.name in public) for c in left))
        self.numbers = self.kept.of_kind("continuous")
        self.shares = {c.name: self._shares(c) for c in self.kept.columns}

    def _named(self, column: Column, public: bool) -> Column:
        """The column, its categories those that stand out of the noise; the others are a rest."""
        if column.kind != "categorical":
            return column
        counts, least = self.counts[column.name], self.least[column.name]
        kept = counts > least
        if column.role == "outcome" and kept.sum() < 2:
            raise InputError(
                f"The values of the outcome {column.name!r} do not stand out of the noise; give "
                "more patients or a larger epsilon."
            )
        names, counts = np.array(column.categories, dtype=object)[kept], counts[kept]
        if column.role != "outcome" and not (public and kept.all()) and REST not in names:
            # Not a sum over the other categories, which would tell whether there are any.
            rest = self.patients - counts.sum()
            few = len(names) and rest <= least
            names = np.append(names, REST)
            counts = np.append(counts, 0.0 if few else max(rest, 1.0))
        self.counts[column.name] = counts
        return replace(column, categories=tuple(names))

    def _shares(self, column: Column) -> np.ndarray:
        """How frequent the flags are that :class:`PairsOnly` has for a column."""
        counts = self.counts[column.name]
        if column.kind == "binary":
            return np.clip(counts / self.patients, 0, 1)
        if column.kind == "continuous":
            few = counts[-1] < 3 * self.noise
            return np.array([0.0 if few else counts[-1] / max(counts.sum(), 1.0)])
        return (counts / counts.sum())[-1 if len(counts) <= 2 else 0 :]

    def _smooth(self, counts: np.ndarray) -> np.ndarray:
        """Counts of cells and of missing, the waves left out that are no larger than the noise."""
        waves = dct(counts[:-1], norm="ortho")
        waves[1:][abs(waves[1:]) < _WAVE * self.noise] = 0.0
        return np.clip(np.append(idct(waves, norm="ortho"), counts[-1]), 0, None)

    def _cells(self, name: str) -> np.ndarray:
        """The share of each cell among the patients who have the number."""
        counts = self.counts[name][:-1] + 1e-6
        return counts / counts.sum()

    def quantiles(self, name: str) -> np.ndarray:
        """Values that stand for a number, evenly over its patients."""
        column, places = self.kept[name], (np.arange(_QUANTILES) + 0.5) / _QUANTILES
        values = np.interp(places, np.append(0.0, np.cumsum(self._cells(name))), _edges(column))
        if column.decimals is None:
            return column.clip(values)
        low, step = float(column.lower or 0), 10.0**-column.decimals
        steps = np.floor((values - low) / step)
        return column.clip(np.round(low + steps * step, column.decimals))

    def scores(self, name: str) -> np.ndarray:
        """The normal score of each cell, cut off and brought from -1 to 1; 0 of missing."""
        cells = self._cells(name)
        return np.append(np.clip(ndtri(np.cumsum(cells) - cells / 2) / _FAR, -1, 1), 0.0)

    def spread(self, name: str) -> float:
        """The standard deviation of these scores among the patients who have the number."""
        cells, scores = self._cells(name), self.scores(name)[:-1]
        return float(np.sqrt(cells @ scores**2 - (cells @ scores) ** 2)) or 1.0


def margin_matrix(schema: Schema, part: pd.DataFrame, most: int) -> np.ndarray:
    """What each patient adds to the margins: a row of length sqrt(1 + columns + `most`) at most."""
    codes, others = _codes_and_others(schema)
    blocks = [_block(c, part[c.name]) for c in others]
    one = np.ones((len(part), 1))
    return np.concatenate([one, *blocks, capped(part[codes].to_numpy(np.uint8), most)], axis=1)


def pair_matrix(margins: Margins, part: pd.DataFrame) -> np.ndarray:
    """The flags and scores of each patient: a row of length sqrt(:func:`pair_square`) at most."""
    own = capped(part[margins.codes].to_numpy(np.uint8), margins.most)
    codes = dict(zip(margins.codes, own.T[:, :, None], strict=True))
    flags, scores = [], []
    for column in margins.kept.columns:
        if column.name in codes:
            flags.append(codes[column.name])
            continue
        block = _block(column, part[column.name])
        flags.append(block[:, -len(margins.shares[column.name]) :] * _weight(column))
        if column.kind == "continuous":
            scores.append(block @ margins.scores(column.name)[:, None])
    return np.concatenate([*flags, *scores], axis=1)


def pair_square(margins: Margins) -> float:
    """The square of the length that no row of :func:`pair_matrix` exceeds."""
    _, others = _codes_and_others(margins.kept)
    return margins.most + sum(_weight(c) ** 2 for c in others)


def capped(ones: np.ndarray, most: int) -> np.ndarray:
    """0/1 codes of patients (of each the first thousand), of a length of at most sqrt(`most`)."""
    if ones.shape[1] > _MOST_NAMES:
        ones = ones * (ones.cumsum(axis=1, dtype=np.int32) <= _MOST_NAMES)
    return ones * np.sqrt(most / np.maximum(ones.sum(axis=1, keepdims=True, dtype=float), most))


def _is_code(column: Column) -> bool:
    return column.kind == "binary" and column.role != "outcome"


def _codes_and_others(schema: Schema) -> tuple[list[str], list[Column]]:
    codes = [c.name for c in schema.columns if _is_code(c)]
    return codes, [c for c in schema.columns if not _is_code(c)]


def _weight(column: Column) -> float:
    return _OUTCOME if column.role == "outcome" else 1.0


def _edges(column: Column) -> np.ndarray:
    """The ends of the cells of a number: whole steps of it, where it has some."""
    low, high = float(column.lower or 0), float(column.upper or 0)
    if column.decimals is None:
        return np.linspace(low, max(high, low + 1e-9), _CELLS + 1)
    step = 10.0**-column.decimals
    values = round((high - low) / step) + 1
    wide = -(-values // _CELLS)
    return low + wide * step * np.arange(-(-values // wide) + 1)


def _block(column: Column, values: pd.Series) -> np.ndarray:
    """A column as 0/1, at most one 1 a patient: its categories, or its cells and missing."""
    if column.kind == "binary":
        return values.to_numpy(np.uint8)[:, None]
    if column.kind == "categorical":
        at = pd.Index(column.categories).get_indexer(values.astype(str))
        if REST in column.categories:
            at = np.where(at < 0, column.categories.index(REST), at)
        return np.eye(len(column.categories) + 1, dtype=np.uint8)[at, :-1]
    edges, numbers = _edges(column), column.within(values.to_numpy(float))
    at = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(edges) - 2)
    return np.eye(len(edges), dtype=np.uint8)[np.where(np.isnan(numbers), len(edges) - 1, at)]


def _sum(train: pd.DataFrame, of: Callable[[pd.DataFrame], np.ndarray]) -> np.ndarray:
    """The sum over the patients, a few at a time."""
    starts = range(0, len(train), _PART)
    return np.sum([of(train.iloc[start : start + _PART]) for start in starts], axis=0)


def _correlations(margins: Margins, train: pd.DataFrame, budget: Budget, rng) -> np.ndarray:
    """Correlations of the normal variables behind the flags, and of the numbers' scores."""
    # The sum over all pairs of the squares of what a patient adds is at most square**2 / 2.
    noise = budget.look("how often two go together", pair_square(margins) / np.sqrt(2), _PAIRS)

    def products(part: pd.DataFrame) -> np.ndarray:
        own = pair_matrix(margins, part)
        return own.T @ own

    sums = _sum(train, products)
    upper = np.triu(sums + rng.normal(scale=noise, size=sums.shape), 1)
    n = margins.patients
    owner = [margins.kept[name] for name in margins.shares for _ in margins.shares[name]]
    share = np.concatenate([*margins.shares.values()])
    there = np.array([1 - margins.shares[name][0] for name in margins.numbers])
    weight = np.array([*map(_weight, owner), *np.ones(len(there))])
    height = norm.pdf(ndtri(np.clip(share, 1e-6, 1 - 1e-6)))
    scale = np.append(height, there * [margins.spread(name) for name in margins.numbers])
    k, scale = len(share), np.maximum(scale, 1e-6)
    both = (upper + upper.T) / n / np.outer(weight, weight)
    both[:k, :k] -= np.outer(share, share)
    found = _without_noise(both / np.outer(scale, scale), np.sqrt(noise / n) / weight / scale)
    both = found[:k, :k] * np.outer(height, height) + np.outer(share, share)
    found[:k, :k] = tetrachoric(share, both, n)
    missing = [i for i, column in enumerate(owner) if column.kind == "continuous"]
    known = 1 - share[missing][:, None] - share[missing] + both[np.ix_(missing, missing)]
    found[k:, k:] *= np.outer(there, there) / np.maximum(known, np.outer(there, there) / 4 + 1e-6)
    found = np.clip(found, -_LARGEST, _LARGEST)
    np.fill_diagonal(found, 1.0)
    return found


def _without_noise(found: np.ndarray, error: np.ndarray) -> np.ndarray:
    """What is left of correlations when their noise is taken for what it is.

    The noise of each is the product of its two sides' `error`. Divided by it, what many columns
    have in common stands out as large eigenvalues (Gavish and Donoho 2017, IEEE Trans Inf Theory
    63:2137-2152). The rest of a pair is believed as far as pairs differ by more than noise
    (empirical Bayes), or where it is clear by itself.
    """
    noise, off = np.outer(error, error), ~np.eye(len(found), dtype=bool)
    if not noise.any() or len(found) < 2:
        return found
    found, common = np.where(off, found / noise, 0.0), np.zeros_like(found)
    for _ in range(_ROUNDS):
        sizes, ways = np.linalg.eigh(np.where(off, found, common))
        sizes = np.sign(sizes) * np.sqrt(np.clip(sizes**2 - 4 * len(found), 0, None))
        common = (ways * sizes) @ ways.T
    apart = found - common
    weight = np.where(off, 1 / (noise**2 + _TYPICAL**2), 0.0)
    beyond = max(float((weight * noise**2 * (apart**2 - 1)).sum() / weight.sum()), 0.0)
    spread = np.maximum(beyond / noise**2, np.where(abs(apart) > _CLEAR, apart**2, 0.0))
    return (common + spread / (spread + 1) * apart) * noise
