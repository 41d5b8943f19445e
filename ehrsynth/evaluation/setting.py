"""What a metric looks at: real patients, a table that might be released, and references beside it.

What metrics share is computed once, of a table (:class:`Side`) or of all (:meth:`Setting.once`).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from ..discovery.cells import Found
from ..kinds import REST
from ..protection import around
from ..schema import Schema
from ..sources.flat.applying import NEW
from ..statistics import NotComputable, nearest_distance
from . import learners
from .learners import Effort

_AT_A_TIME = 16_384  # rows turned into numbers at once
_RARE = 10  # patients of train and holdout: a category of fewer may be in one of them by chance
_FARTHEST = 1_000.0  # ranges of train; squares of anything farther would not fit into a float32
MIXED = ("independent", "independent 2", "independent 3", "independent 4")


@dataclass(frozen=True)
class Encoder:
    """The one encoding of patients for distances and learners.

    A categorical with two categories is one 0/1 column, with more it is one a category; what few
    patients have, or train does not, is one together. Continuous columns are min-max scaled and cut
    at 1,000 ranges; a missing value is the median, with a 0/1 column beside it that says so.
    Chapter fidelity, "Tables of known quality".
    """

    schema: Schema
    scale: dict[str, tuple[float, float, float]]  # low, range, middle by continuous column
    missing: frozenset[str]  # continuous columns that get a missingness column
    rare: Mapping[str, set[str]]  # categories that share a column
    unused: frozenset[str] = frozenset()  # columns that models of the outcome do not see

    @classmethod
    def fit(cls, schema: Schema, table: pd.DataFrame, others: Iterable[pd.DataFrame] = ()):
        """Ranges are those of `table`, what is rare is so in it and the first other together, and
        missing values are looked for in all.
        """
        scale, missing, rare, tables = {}, set(), {}, [table, *others]
        for name in schema.of_kind("continuous"):
            values = table[name].dropna()
            low, middle, high = values.quantile([0, 0.5, 1]) if len(values) else (0.0, 0.0, 1.0)
            scale[name] = (low, high - low or 1.0, middle)
            if any(t[name].isna().any() for t in tables):
                missing.add(name)
        for name in set(schema.of_kind("categorical")) - {schema.outcome}:
            counts = Counter(pd.concat([t[name].astype(str) for t in tables[:2]]))
            few = {c for c in schema[name].categories if counts[c] < _RARE or c == NEW}
            if len(few) > 1 and len(schema[name].categories) > 2:
                rare[name] = few
        return cls(schema, scale, frozenset(missing), rare)

    @cached_property
    def layout(self) -> list[tuple[str, str, str]]:
        """(column of the table, "binary" | "category" | "continuous" | "missing", label)."""
        layout = []
        for column in self.schema.columns:
            name, rare = column.name, self.rare.get(column.name, set())
            if column.kind != "categorical":
                layout.append((name, column.kind, name))
                if name in self.missing:
                    layout.append((name, "missing", f"{name} missing"))
            else:
                known = dict.fromkeys(REST if c in rare else c for c in column.categories)
                labels = list(known)[-1:] if len(column.categories) <= 2 else known
                layout += [(name, "category", label) for label in labels]
        return layout

    @cached_property
    def labels(self) -> list[str]:
        """Name of each encoded column."""
        return [f"{n} = {label}" if kind == "category" else label for n, kind, label in self.layout]

    def columns(self, *names: str | None) -> np.ndarray:
        """Positions of the encoded columns of these table columns."""
        wanted = set(names)
        return np.array([i for i, c in enumerate(self.layout) if c[0] in wanted], dtype=int)

    @cached_property
    def predictors(self) -> np.ndarray:
        """Which encoded columns may predict the outcome: not itself, its time, what tells it."""
        known = (self.schema.outcome, self.schema.time, *self.unused)
        return np.array([name not in known for name, _, _ in self.layout], dtype=bool)

    def is_kind(self, *kinds: str) -> np.ndarray:
        """Which encoded columns are of these kinds."""
        return np.array([kind in kinds for _, kind, _ in self.layout], dtype=bool)

    def transform(self, table: pd.DataFrame) -> np.ndarray:
        """The table as a float32 matrix, one row a patient."""
        out = np.zeros((len(table), len(self.layout)), dtype=np.float32)
        if binary := self.schema.of_kind("binary"):
            at, values = self.columns(*binary), table[binary]
            for start in range(0, len(table), _AT_A_TIME):
                rows = slice(start, start + _AT_A_TIME)
                out[rows, at] = values.iloc[rows].to_numpy(np.float32)
        texts = {n: table[n].astype(str) for n in self.schema.of_kind("categorical")}
        texts |= {n: texts[n].mask(texts[n].isin(few), REST) for n, few in self.rare.items()}
        for i, (name, kind, label) in enumerate(self.layout):
            if kind == "category":
                out[:, i] = texts[name].to_numpy() == label
            elif kind == "continuous":
                low, span, middle = self.scale[name]
                scaled = (table[name].fillna(middle).to_numpy(float) - low) / span
                out[:, i] = np.clip(scaled, -_FARTHEST, _FARTHEST)
            elif kind == "missing":
                out[:, i] = table[name].isna()
        return out


_YEARS = (45, 65, 80)  # where bands of age begin


def subgroups(schema: Schema, table: pd.DataFrame, like: pd.DataFrame) -> dict[str, np.ndarray]:
    """Which patients belong to each group by demographics: by category, band of age, or third of
    another number in the table `like`. Chapter utility, "For whom? Fairness".
    """
    groups = {}
    for name in schema.of_role("demographic"):
        column = schema[name]
        if column.kind == "continuous":
            years, known = column.unit == "years", np.sort(like[name].dropna().to_numpy(float))
            thirds = (around(known, len(known) * i // 3) for i in (1, 2) if len(known))
            cuts = _YEARS if years else np.unique([float(f"{cut:.4g}") for cut in thirds])
            values = table[name].to_numpy(float)
            for low, high in pairwise([-np.inf, *cuts, np.inf]):
                label = f"{low:g} to {high - 1:g}" if years else f"{low:g} to below {high:g}"
                if low == -np.inf or high == np.inf:
                    label = f"below {high:g}" if low == -np.inf else f"{low:g} and more"
                groups[f"{name} {label}"] = (values >= low) & (values < high)
        else:
            values = table[name].astype(int if column.kind == "binary" else str).to_numpy()
            for category in column.categories or (0, 1):
                groups[f"{name} = {category}"] = values == category
    return groups


def independent(table: pd.DataFrame, n: int, rng: np.random.Generator) -> pd.DataFrame:
    """`n` patients, each column drawn on its own. Chapter fidelity, "Tables of known quality"."""
    drawn = {name: table[name].array.take(rng.integers(0, len(table), n)) for name in table}
    return pd.DataFrame(drawn)


@dataclass(eq=False)
class Side:
    """A table and what is computed of it once. Chapter fidelity, "Tables of known quality"."""

    frame: pd.DataFrame
    encoder: Encoder
    effort: Effort
    seed: int
    relations: list[Found] = field(default_factory=list, repr=False)  # that hold in train
    _explained: dict["Side", np.ndarray] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.frame)

    @cached_property
    def matrix(self) -> np.ndarray:
        """Encoded patients, float32, shape (patients, encoded columns)."""
        return self.encoder.transform(self.frame)

    @cached_property
    def outcome(self) -> np.ndarray:
        """The outcome as 0/1; raises NotComputable without an outcome of two classes."""
        if (schema := self.encoder.schema).outcome is None:
            raise NotComputable("the tables share no outcome column")
        values = schema.outcome_values(self.frame)
        if values.min() == values.max():
            raise NotComputable("the outcome has only one class in one of the tables")
        return values

    @property
    def features(self) -> np.ndarray:
        """The predictors' columns. Not kept, for its memory."""
        return self.matrix[:, self.encoder.predictors]

    def forget(self) -> None:
        """Give the matrix's memory back; it is made again when it is needed again."""
        self.__dict__.pop("matrix", None)

    def explained(self, on: "Side") -> np.ndarray:
        """SHAP values by this table's model for patients of another table (kept)."""
        if on not in self._explained:
            rows = on.features[: self.effort.explained]
            self._explained[on] = learners.contributions(self.model, rows)
        return self._explained[on]

    @cached_property
    def model(self):
        """LightGBM model of the outcome, trained on this table."""
        return learners.fit_classifier(self.features, self.outcome, self.effort, self.seed)

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Row numbers of at most `n` patients, without replacement, in order."""
        if n >= len(self):
            return np.arange(len(self))
        return np.sort(rng.choice(len(self), n, replace=False))


@dataclass(frozen=True)
class Setting:
    """Three tables that a metric looks at. Chapter fidelity, "Tables of known quality"."""

    train: Side
    holdout: Side
    candidate: Side
    _kept: dict[Callable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def encoder(self) -> Encoder:
        return self.train.encoder

    @property
    def schema(self) -> Schema:
        return self.train.encoder.schema

    @property
    def effort(self) -> Effort:
        return self.train.effort

    @cached_property
    def even_candidate(self) -> Side:
        """Patients of the candidate, at most as many as holdout has: distances between samples
        shrink with their size, so that a large table could beat "the best" by its size alone.
        """
        if len(self.candidate) <= len(self.holdout):
            return self.candidate
        rows = self.candidate.sample(len(self.holdout), np.random.default_rng([self.train.seed, 7]))
        return replace(self.candidate, frame=self.candidate.frame.iloc[rows])

    @cached_property
    def attacked(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the train (twice as many) and of the holdout patients who are attacked."""
        rng, n = np.random.default_rng([self.train.seed, 8]), self.effort.attacked
        return self.train.sample(2 * n, rng), self.holdout.sample(n, rng)

    @cached_property
    def nearest(self) -> tuple[np.ndarray, ...]:
        """Distances to the nearest candidate of attacked train and of attacked holdout patients."""
        return tuple(  # everybody is in his own table
            np.zeros(len(rows), dtype=np.float32) if side is self.candidate
            else nearest_distance(side.matrix[rows], self.candidate.matrix)
            for side, rows in zip((self.train, self.holdout), self.attacked, strict=True)
        )  # fmt: skip

    @cached_property
    def predictions(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Outcome of held-out patients; their log odds by train's and by the candidate's model."""
        y, x = self.holdout.outcome, self.holdout.features
        real, made = (learners.predict(side.model, x) for side in (self.train, self.candidate))
        return y, real, made

    def once(self, compute: Callable[["Setting"], Any]) -> Any:
        """What a function finds for this setting: computed when first asked for, then kept."""
        if compute not in self._kept:
            self._kept[compute] = compute(self)
        return self._kept[compute]


def with_references(
    train: pd.DataFrame, holdout: pd.DataFrame, synthetic: pd.DataFrame, schema: Schema,
    effort: Effort, seed: int, relations: Sequence[Found] = (), unused: Iterable[str] = (),
) -> dict[str, Setting]:  # fmt: skip
    """The synthetic data's setting and the references', by name (see :class:`Spec`).

    `relations` hold in train; models of the outcome do not see the `unused` columns.
    Chapter fidelity, "Tables of known quality".
    """
    rng = np.random.default_rng([seed, 9])
    encoder = Encoder.fit(schema, train, [holdout, synthetic])
    encoder = replace(encoder, unused=frozenset(unused))
    side = partial(Side, encoder=encoder, effort=effort, seed=seed, relations=list(relations))
    real, fresh = side(train), side(holdout)
    order, cut = rng.permutation(len(holdout)), len(holdout) // 2
    first, second = (side(holdout.iloc[np.sort(part)]) for part in (order[:cut], order[cut:]))
    mixed = {n: side(independent(train[schema.names], len(synthetic), rng)) for n in MIXED}
    released = {"synthetic": side(synthetic), **mixed, "train": real, "holdout": fresh}
    return {name: Setting(real, fresh, candidate) for name, candidate in released.items()} | {
        "swap": Setting(real, real, fresh), "half": Setting(real, second, first),
    }  # fmt: skip
