"""From a patient table to the matrix a GAN learns, and back.

:class:`Preprocessor` learns everything from the training patients alone: the cut points, the
rare codes, the distribution inside each bin. Nothing about the holdout patients leaks in.
"""

from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtri

from ..errors import InputError
from ..files import read_json, write_json
from ..schema import MISSING, Column, Schema
from .copula import Copula
from .impute import Imputer

FILE = "preprocessor.json"
_KNOTS = 64  # points of the distribution kept inside each bin
_LEAST = 5  # training patients that a bin should hold


@dataclass(frozen=True)
class Block:
    """The part of the matrix that holds one column of the patient table.

    Parameters
    ----------
    name : str
        The table's column.
    kind : {"category", "bins", "binary", "scalar"}
        Category and bins take one 0/1 matrix column for each label; exactly one of them is 1.
        Binary takes one 0/1 column, scalar one column between 0 and 1.
    role : str
        The column's role in the schema.
    labels : tuple of str
        What the matrix columns mean; for a binary what 0 and 1 mean.
    scores : tuple of float
        Bins only: the normal score of each bin, its place on the column's scale (0 for missing).
    """

    name: str
    kind: str
    role: str
    labels: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "scores", tuple(self.scores))

    @property
    def width(self) -> int:
        """Number of matrix columns."""
        return len(self.labels) if self.kind in ("category", "bins") else 1


@dataclass(frozen=True)
class Encoded:
    """Patients as a matrix, with the layout that says what its columns are.

    Parameters
    ----------
    values : array, shape (n, width)
        uint8 0/1, or float32 between 0 and 1 when the layout has scalar blocks.
    layout : tuple of Block
    """

    values: np.ndarray
    layout: tuple[Block, ...]

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def _places(self) -> dict[str, slice]:
        return places(self.layout)

    def slice(self, name: str) -> slice:
        """The matrix columns of one column of the patient table."""
        if name not in self._places:
            raise InputError(f"There is no column {name!r} in the encoded table.")
        return self._places[name]

    def __getitem__(self, name: str) -> np.ndarray:
        """The matrix columns of one column of the patient table, shape (n, block width)."""
        return self.values[:, self.slice(name)]

    def to_frame(self) -> pd.DataFrame:
        """The matrix as a table with readable column names, e.g. ``race=ASIAN``."""
        names = []
        for block in self.layout:
            one_hot = block.kind in ("category", "bins")
            names += (
                [f"{block.name}={label}" for label in block.labels] if one_hot else [block.name]
            )
        return pd.DataFrame(self.values, columns=names)


def places(layout: tuple[Block, ...]) -> dict[str, slice]:
    """The matrix columns of each block, by name."""
    ends = np.cumsum([block.width for block in layout]).tolist()
    return {b.name: slice(end - b.width, end) for b, end in zip(layout, ends, strict=True)}


@dataclass(frozen=True)
class Bins:
    """How one continuous column is cut into bins, and what lies inside each of them.

    Parameters
    ----------
    edges : list of float
        Inner cut points: bin i holds the values from edges[i-1] up to, not including, edges[i].
    frequent, frequencies : list of list of float
        For each bin, the values that at least five training patients have, and their shares of
        the bin.
    knots : list of list of float
        For each bin, the other values at even steps of their distribution. Decoding draws a place
        between two neighboring knots, so a value that few patients have does not come back.
    shares : list of float
        Share of the observed training values in each bin.
    """

    edges: list[float]
    frequent: list[list[float]]
    frequencies: list[list[float]]
    knots: list[list[float]]
    shares: list[float]

    @classmethod
    def fit(cls, observed: np.ndarray, most: int) -> "Bins":
        """Cut observed values into at most `most` bins of about equal size."""
        if len(observed) == 0:
            return cls([], [], [], [], [])
        distinct, counts = np.unique(observed, return_counts=True)
        if len(distinct) <= min(most, max(1, len(observed) // _LEAST)):
            edges = (distinct[1:] + distinct[:-1]) / 2
        else:
            number = max(1, min(most, len(observed) // _LEAST))
            edges = np.unique(np.quantile(observed, np.arange(1, number) / number))
            edges = edges[edges > distinct[0]]
            # Where values lie far apart, a bin between two cut points can hold none of them.
            sizes = np.bincount(np.searchsorted(edges, observed, side="right"))
            edges = edges[sizes[:-1] > 0]
        member = np.searchsorted(edges, observed, side="right")
        sizes = np.bincount(member, minlength=len(edges) + 1)
        often = counts >= _LEAST
        place = np.searchsorted(edges, distinct, side="right")
        # The middle of each step leaves the very smallest and largest value out.
        steps = (np.arange(_KNOTS) + 0.5) / _KNOTS
        frequent, frequencies, knots = [], [], []
        for i, size in enumerate(sizes):
            known = often & (place == i)
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
        digits = 3 if decimals is None else decimals + bool(decimals == 0 and self._between())
        ends = [f"{edge:.{digits}f}" for edge in self.edges]
        if not ends:
            return ("any", MISSING)
        inner = [f"{low} to {high}" for low, high in zip(ends, ends[1:], strict=False)]
        return (f"below {ends[0]}", *inner, f"{ends[-1]} and above", MISSING)

    def _between(self) -> bool:
        return any(edge % 1 for edge in self.edges)


@dataclass
class Preprocessor:
    """Turns a patient table into a matrix and back; fitted on the training patients only.

    Parameters
    ----------
    continuous : {"bins", "minmax"}
        Bins: each continuous column becomes one-hot quantile bins. Minmax: one number from 0 to 1,
        as in the published tutorial.
    missing : {"category", "draw", "model"}
        Category: "not measured" is a bin of its own. Draw: a missing value is replaced by one drawn
        from the column's observed training values, as published. Model: it is predicted from the
        patient's other columns, with the scatter that measured values have
        (:class:`ehrsynth.preprocessing.impute.Imputer`).
    bins : int
        Most bins for a column; a column with few distinct values gets one bin for each.
    min_prevalence : float
        Yes/no columns that fewer training patients have (as a share), or that never change, are
        left out and listed in ``dropped_``. The outcome always stays.
    seed : int
        For the draws of ``missing="draw"`` and ``missing="model"``.

    Attributes
    ----------
    schema_ : Schema
        The columns that are kept: what the synthetic data will have.
    layout_ : tuple of Block
        The layout of the matrix.
    dropped_ : DataFrame
        Columns left out: column, label, prevalence.
    report_ : DataFrame
        Per continuous column, over train: measured, missing, outside the plausible bounds
        (treated as not measured), bins.
    """

    continuous: str = "bins"
    missing: str = "category"
    bins: int = 24
    min_prevalence: float = 5e-5
    seed: int = 0
    schema_: Schema | None = field(default=None, init=False, repr=False)

    def __post_init__(self):
        for name, value, known in (
            ("continuous", self.continuous, ("bins", "minmax")),
            ("missing", self.missing, ("category", "draw", "model")),
        ):
            if value not in known:
                raise InputError(f"{name} is {value!r}; use one of {', '.join(known)}.")
        if self.continuous == "minmax" and self.missing == "category":
            raise InputError(
                'A column scaled with continuous="minmax" has no place for missing values; '
                'use missing="draw" or missing="model" with it.'
            )
        if self.bins < 2:
            raise InputError(f"bins is {self.bins}; use 2 or more.")
        if not 0 <= self.min_prevalence < 1:
            raise InputError(f"min_prevalence is {self.min_prevalence}; use a share from 0 to 1.")

    @classmethod
    def for_recipe(cls, recipe: str, **options) -> "Preprocessor":
        """The preprocessing that a GAN recipe expects: "modern" or "paper"."""
        known = {
            "modern": {"continuous": "bins", "missing": "category"},
            "paper": {"continuous": "minmax", "missing": "draw"},
        }
        if recipe not in known:
            raise InputError(f"There is no recipe {recipe!r}; use one of {', '.join(known)}.")
        return cls(**{**known[recipe], **options})

    # -- learning ----------------------------------------------------------------------

    def fit(self, train: pd.DataFrame, schema: Schema | None = None) -> "Preprocessor":
        """Learn bounds, bins, categories and rare columns from the training patients.

        Parameters
        ----------
        train : DataFrame, shape (n, columns)
        schema : Schema, optional
            By default the one attached to `train`, or an inferred one.
        """
        schema = Schema.of(train) if schema is None else schema
        if len(train) == 0:
            raise InputError("There are no training patients; check the cohort and the split.")
        train = schema.cast(train, where="the training patients")
        rare = [c for c in schema.columns if self._is_rare(c, train[c.name])]
        self.dropped_ = pd.DataFrame(
            {
                "column": [c.name for c in rare],
                "label": [c.label for c in rare],
                "prevalence": [float(train[c.name].mean()) for c in rare],
            }
        )
        left_out = set(self.dropped_["column"])
        kept = tuple(c for c in schema.columns if c.name not in left_out)
        if not kept:
            raise InputError(
                "Every column is constant or too rare to keep; "
                "lower min_prevalence or check the table."
            )
        self._bins: dict[str, Bins] = {}
        self._observed: dict[str, list[float]] = {}
        rows, numbers = [], {}
        for column in (c for c in kept if c.kind == "continuous"):
            values = train[column.name].to_numpy(float)
            inside = numbers[column.name] = column.within(values)
            observed = np.sort(inside[~np.isnan(inside)])
            if self.continuous == "bins":
                self._bins[column.name] = Bins.fit(observed, self.bins)
            if self.missing != "category":
                if len(observed) == 0:
                    raise InputError(
                        f"Column {column.name!r} was never measured in train, so there is nothing "
                        'to fill its missing values from; use missing="category" or drop it.'
                    )
                # A thousand quantiles stand for the column, so no table of values is stored.
                points = np.linspace(0, 1, min(len(observed), 1001))
                self._observed[column.name] = np.quantile(observed, points).tolist()
            rows.append(
                {
                    "column": column.name,
                    "measured": len(observed),
                    "missing": int(np.isnan(values).sum()),
                    "outside": int(np.isnan(inside).sum() - np.isnan(values).sum()),
                    "bins": len(self._bins[column.name].knots) if self._bins else 0,
                }
            )
        self.report_ = pd.DataFrame(
            rows, columns=["column", "measured", "missing", "outside", "bins"]
        )
        self.schema_ = Schema(kept)
        self._copula = None
        if self._bins:
            self._copula = Copula.fit(pd.DataFrame(numbers))
        self._imputer = None
        if self.missing == "model":
            self._imputer = Imputer.fit(self.clip(train), self.schema_)
        return self

    def _is_rare(self, column: Column, values: pd.Series) -> bool:
        if column.kind != "binary" or column.role == "outcome":
            return False
        prevalence = float(values.mean())
        return prevalence in (0.0, 1.0) or prevalence < self.min_prevalence

    @property
    def layout_(self) -> tuple[Block, ...]:
        self._check_fitted()
        return tuple(self._block(column) for column in self.schema_.columns)

    def _block(self, column: Column) -> Block:
        if column.kind == "binary":
            return Block(column.name, "binary", column.role, ("0", "1"))
        if column.kind == "categorical":
            return Block(column.name, "category", column.role, column.categories)
        if self.continuous == "minmax":
            return Block(column.name, "scalar", column.role)
        bins = self._bins[column.name]
        return Block(column.name, "bins", column.role, bins.labels(column.decimals), bins.scores())

    def _check_fitted(self) -> None:
        if self.schema_ is None:
            raise InputError("The preprocessor is not fitted; call fit(train) first.")

    # -- there -------------------------------------------------------------------------

    def transform(self, table: pd.DataFrame) -> Encoded:
        """Turn patients into the matrix; values outside plausible bounds count as not measured.

        Raises
        ------
        InputError
            For a missing column, a category that the schema does not know, a text among numbers.
        """
        self._check_fitted()
        table = self.schema_.cast(table)
        layout = self.layout_
        scaled = any(block.kind == "scalar" for block in layout)
        width = sum(block.width for block in layout)
        values = np.zeros((len(table), width), dtype=np.float32 if scaled else np.uint8)
        rows = np.arange(len(table))
        rng = np.random.default_rng(self.seed)
        where = places(layout)
        if self._imputer is not None:
            table = self._imputer.fill(self.clip(table), self.schema_, rng)
        for block, column in zip(layout, self.schema_.columns, strict=True):
            start, series = where[block.name].start, table[column.name]
            if block.kind == "binary":
                values[:, start] = series.to_numpy()
            elif block.kind == "category":
                values[rows, start + series.cat.codes.to_numpy().astype(int)] = 1
            else:
                numbers = self._fill(column.within(series), column, rng)
                if block.kind == "bins":
                    values[rows, start + self._bins[column.name].encode(numbers)] = 1
                else:
                    low, high = self._range(column.name)
                    span = (high - low) or 1.0
                    values[:, start] = np.clip((numbers - low) / span, 0, 1)
        return Encoded(values, layout)

    def clip(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table with values outside the plausible bounds replaced by NaN."""
        self._check_fitted()
        table = self.schema_.cast(table)
        for name in self.schema_.of_kind("continuous"):
            table[name] = self.schema_[name].within(table[name])
        return table

    def _fill(self, values: np.ndarray, column: Column, rng: np.random.Generator) -> np.ndarray:
        if self.missing != "draw":
            return values
        empty = np.isnan(values)
        values[empty] = rng.choice(self._observed[column.name], size=int(empty.sum()))
        return values

    def _range(self, name: str) -> tuple[float, float]:
        return self._observed[name][0], self._observed[name][-1]

    # -- and back ----------------------------------------------------------------------

    def inverse_transform(self, encoded: Encoded, seed: int = 0) -> pd.DataFrame:
        """Turn a matrix back into a patient table.

        One-hot blocks take their largest entry, yes/no columns are rounded at 0.5. A number is
        drawn from the training distribution inside its bin, together with the patient's other
        numbers (:class:`ehrsynth.preprocessing.copula.Copula`), and keeps its decimals and bounds.

        Parameters
        ----------
        encoded : Encoded
            With this preprocessor's layout.
        seed : int
            For the draws inside the bins.
        """
        self._check_fitted()
        if encoded.layout != self.layout_:
            raise InputError(
                "The encoded data has another layout than this preprocessor; "
                "use the preprocessor that the model was trained with."
            )
        drawn = self._draw(encoded, np.random.default_rng(seed))
        columns = {}
        for block, column in zip(encoded.layout, self.schema_.columns, strict=True):
            part = encoded[block.name]
            if block.kind == "binary":
                columns[block.name] = (part[:, 0] >= 0.5).astype(np.uint8)
            elif block.kind == "category":
                codes = part.argmax(axis=1)
                columns[block.name] = pd.Categorical.from_codes(codes, list(column.categories))
            else:
                if block.kind == "bins":
                    numbers = drawn[block.name]
                else:
                    low, high = self._range(block.name)
                    # Rounding may lead a hair beyond the end.
                    numbers = np.clip(low + part[:, 0].astype(float) * (high - low), low, high)
                if column.decimals is not None:
                    # A number too large to have decimals would only be disturbed.
                    small = np.abs(numbers) < 2.0**52 / 10.0**column.decimals
                    numbers = np.where(small, np.round(numbers, column.decimals), numbers)
                columns[block.name] = np.clip(numbers, column.lower, column.upper)
        return self.schema_.attach(pd.DataFrame(columns))

    def _draw(self, encoded: Encoded, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """A value inside the bin of each number that has bins, by column."""
        if not self._bins:
            return {}
        index = {name: encoded[name].argmax(axis=1) for name in self._bins}
        limits = [self._bins[name].limits(i) for name, i in index.items()]
        low, high = (np.stack(ends, axis=1) for ends in zip(*limits, strict=True))
        ranks = self._copula.draw(low, high, rng)
        return {
            name: self._bins[name].decode(i, _even(i, rank, rng))
            for (name, i), rank in zip(index.items(), ranks.T, strict=True)
        }

    # -- on disk -----------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write everything learned as JSON into `folder`."""
        self._check_fitted()
        state = {
            "options": {
                "continuous": self.continuous, "missing": self.missing, "bins": self.bins,
                "min_prevalence": self.min_prevalence, "seed": self.seed,
            },
            "schema": self.schema_.to_json(),
            "bins": {name: asdict(bins) for name, bins in self._bins.items()},
            "copula": None if self._copula is None else asdict(self._copula),
            "observed": self._observed,
            "imputer": None if self._imputer is None else asdict(self._imputer),
            "dropped": self.dropped_.to_dict("records"),
            "report": self.report_.to_dict("records"),
        }  # fmt: skip
        write_json(state, Path(folder) / FILE)

    @classmethod
    def load(cls, folder: str | Path) -> "Preprocessor":
        """Read what :meth:`save` wrote."""
        path = Path(folder) / FILE
        state = read_json(path)
        try:
            prep = cls(**state["options"])
            prep.schema_ = Schema.from_json(state["schema"], where=str(path))
            prep._bins = {name: Bins(**bins) for name, bins in state["bins"].items()}
            copula = state["copula"]
            prep._copula = None if copula is None else Copula(**copula)
            prep._observed = state["observed"]
            imputer = state.get("imputer")
            prep._imputer = None if imputer is None else Imputer(**imputer)
            prep.dropped_ = pd.DataFrame(
                state["dropped"], columns=["column", "label", "prevalence"]
            )
            prep.report_ = pd.DataFrame(
                state["report"], columns=["column", "measured", "missing", "outside", "bins"]
            )
        except (KeyError, TypeError) as error:
            raise InputError(f"{path} is not a saved preprocessor ({error}).") from error
        return prep


def _even(group: np.ndarray, ranks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Ranks spread evenly from 0 to 1 inside each group, in their order; shape (n,)."""
    order = np.lexsort((ranks, group))
    sizes = np.bincount(group)
    before = np.arange(len(ranks)) - (np.cumsum(sizes) - sizes)[group[order]]
    places = np.empty(len(ranks))
    # Somewhere in its share, not in the middle: one patient alone can be anywhere.
    places[order] = (before + rng.random(len(ranks))) / sizes[group[order]]
    return places
