"""From a patient table to the matrix a GAN learns, and back: learned from train alone."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError as _NotFittedError

from ..errors import InputError, check_choice, check_count
from ..files import read_json, write_json
from ..kinds import MISSING, REST, step
from ..protection import LEAST_PATIENTS, ends, knots
from ..schema import Column, Schema
from .bins import Bins
from .copula import Copula
from .matrix import Block, Encoded, places

PREPROCESSOR_FILE = "preprocessor.json"
_DROPPED = ["column", "label", "prevalence"]
_REPORT = ["column", "measured", "missing", "outside", "bins"]
_QUANTILES = 1001  # stand for a column, so that no table of values is stored


class NotFittedError(InputError, _NotFittedError):
    """A preprocessor or model is used before it has learned anything.
    Chapter preprocessing, "Build it: the package does all of this".
    """


class Preprocessor(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Turns a patient table into a matrix and back; an estimator, fitted on train only.
    Chapter preprocessing, "Build it: the package does all of this".

    Parameters
    ----------
    continuous : {"bins", "minmax"}
        Each number becomes one-hot quantile bins, or as published one number from 0 to 1.
    missing : {"category", "draw"}
        "Not measured" is a bin of its own, or as published a value drawn from the observed ones.
    bins : int
        Most bins for a column; a column with few distinct values gets one bin for each.
    min_prevalence : float
        Yes/no columns that fewer training patients have (as a share), or that hardly ever change,
        are left out. The outcome always stays.
    seed : int
        For what ``missing="draw"`` draws.
    least_patients : int
        Training patients behind everything that is learned: a bin, a knot, a category, a column.

    Attributes
    ----------
    schema_, layout_ : Schema, tuple of Block
        The columns that are kept, of the table and of the matrix.
    dropped_ : DataFrame
        Columns left out: column, label, prevalence. Those that fewer than `least_patients` have (or
        have not) are not saved.
    patients_ : int
        Training patients.
    report_ : DataFrame
        Per continuous column, over train: measured, missing, outside the plausible bounds
        (treated as not measured), bins. Not saved.
    """

    def __init__(
        self, continuous: str = "bins", missing: str = "category", bins: int = 24,
        min_prevalence: float = 5e-5, seed: int = 0, least_patients: int = LEAST_PATIENTS,
    ):  # fmt: skip
        self.continuous, self.missing, self.bins = continuous, missing, bins
        self.min_prevalence, self.seed = min_prevalence, seed
        self.least_patients = least_patients

    @classmethod
    def for_recipe(cls, recipe: str, **options) -> "Preprocessor":
        """The preprocessing that a GAN recipe expects.

        Parameters
        ----------
        recipe : {"modern", "paper"}
        **options
        """
        known = {"modern": {}, "paper": {"continuous": "minmax", "missing": "draw"}}
        check_choice("recipe", recipe, known)
        return cls(**(known[recipe] | options))

    def fit(self, train: pd.DataFrame, schema: Schema | None = None) -> "Preprocessor":
        """Learn bounds, bins, categories and rare columns from the training patients.

        Parameters
        ----------
        train : DataFrame, shape (n, columns)
        schema : Schema, optional
            By default the one attached to `train`, or an inferred one.
        """
        self._check_options()
        _check_table(train)
        schema = Schema.of(train) if schema is None else schema
        if len(train) == 0:
            raise InputError("There are no training patients; check the cohort and the split.")
        train = schema.cast(train, where="the training patients")
        rare = [c for c in schema.columns if self._is_rare(c, train[c.name])]
        left = [c for c in schema.columns if c not in rare]
        if not left:
            raise InputError("Every column is constant or too rare; lower min_prevalence.")
        kept = Schema(tuple(self._with_rest(c, train[c.name]) for c in left))
        dropped = [(c.name, c.label, float(train[c.name].mean())) for c in rare]
        self.dropped_, self.patients_ = pd.DataFrame(dropped, columns=_DROPPED), len(train)
        self.cuts_, self.observed_, self.steps_ = {}, {}, {}
        plausible, rows = kept.plausible(kept.cast(train))[0], []
        for name in kept.of_kind("continuous"):
            observed = np.sort(plausible[name].dropna().to_numpy())
            self.steps_[name] = step(observed)
            if self.continuous == "bins":
                self.cuts_[name] = Bins.fit(observed, self.bins, self.least_patients)
            if self.missing != "category":
                self.observed_[name] = _quantiles(observed, name, self.least_patients)
            missing = int(train[name].isna().sum())
            bins = len(self.cuts_[name].knots) if self.cuts_ else 0
            rows.append((name, len(observed), missing, len(train) - len(observed) - missing, bins))
        self.report_ = pd.DataFrame(rows, columns=_REPORT)
        self.copula_ = Copula.fit(plausible[list(self.cuts_)]) if self.cuts_ else None
        self.layout_, self.schema_ = tuple(map(self._block, kept.columns)), kept
        return self

    def _check_options(self) -> None:
        check_choice("value of continuous", self.continuous, ("bins", "minmax"))
        check_choice("value of missing", self.missing, ("category", "draw"))
        if self.continuous == "minmax" and self.missing == "category":
            raise InputError(
                'A column scaled with continuous="minmax" has no place for missing values; '
                'use missing="draw" with it.'
            )
        if self.bins < 2:
            raise InputError(f"bins is {self.bins}; use 2 or more.")
        check_count("least number of patients", self.least_patients)
        if not 0 <= self.min_prevalence < 1:
            raise InputError(f"min_prevalence is {self.min_prevalence}; use a share from 0 to 1.")

    def _is_rare(self, column: Column, values: pd.Series) -> bool:
        if column.kind != "binary" or column.role == "outcome":
            return False
        have = int(values.sum())
        few = min(have, len(values) - have) < max(self.least_patients, 1)
        return few or have < self.min_prevalence * len(values)

    def _with_rest(self, column: Column, values: pd.Series) -> Column:
        """The column, with the categories that too few have joined in a rest."""
        if column.kind != "categorical" or column.role == "outcome":
            return column
        counts = values.value_counts()
        own = [c for c in column.categories if c not in (MISSING, REST)]
        kept = [c for c in own if counts.get(c, 0) >= self.least_patients]
        if len(kept) == len(own):
            return column
        last = [MISSING] if MISSING in column.categories else []
        return replace(column, categories=(*kept, REST, *last))

    def _block(self, column: Column) -> Block:
        if column.kind == "binary":
            return Block(column.name, "binary", column.role, ("0", "1"))
        if column.kind == "categorical":
            return Block(column.name, "category", column.role, column.categories)
        if self.continuous == "minmax":
            return Block(column.name, "scalar", column.role)
        bins = self.cuts_[column.name]
        return Block(column.name, "bins", column.role, bins.labels(column.decimals), bins.scores())

    def _check_fitted(self) -> None:
        if not hasattr(self, "schema_"):
            raise NotFittedError("The preprocessor is not fitted; call fit(train) first.")

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Readable names of the matrix columns; scikit-learn's pipelines give `input_features`."""
        self._check_fitted()
        return np.array([n for block in self.layout_ for n in block.columns], dtype=object)

    def transform(self, table: pd.DataFrame) -> Encoded:
        """Turn patients into the matrix; values outside plausible bounds count as not measured.

        Parameters
        ----------
        table : DataFrame, shape (n, columns)
        """
        table, rng = self.clip(table), np.random.default_rng(self.seed)
        scaled = any(block.kind == "scalar" for block in self.layout_)
        width = sum(block.width for block in self.layout_)
        values = np.zeros((len(table), width), dtype=np.float32 if scaled else np.uint8)
        rows = np.arange(len(table))
        for block, (name, where) in zip(self.layout_, places(self.layout_).items(), strict=True):
            start, series = where.start, table[name]
            if block.kind == "binary":
                values[:, start] = series.to_numpy()
            elif block.kind == "category":
                values[rows, start + series.cat.codes.to_numpy().astype(int)] = 1
            else:
                numbers = series.to_numpy(float, copy=True)
                if self.missing == "draw":
                    empty = np.isnan(numbers)
                    numbers[empty] = rng.choice(self.observed_[name], size=int(empty.sum()))
                if block.kind == "bins":
                    values[rows, start + self.cuts_[name].encode(numbers)] = 1
                else:
                    low, *_, high = self.observed_[name]
                    values[:, start] = np.clip((numbers - low) / ((high - low) or 1.0), 0, 1)
        return Encoded(values, self.layout_)

    def clip(self, table: pd.DataFrame) -> pd.DataFrame:
        """The kept columns, with values outside the plausible bounds replaced by NaN."""
        self._check_fitted()
        _check_table(table)
        return self.schema_.plausible(self.schema_.cast(table))[0]

    def inverse_transform(
        self, encoded: Encoded, seed: int | np.random.SeedSequence = 0
    ) -> pd.DataFrame:
        """Turn a matrix back into a patient table.

        One-hot blocks take their largest entry, yes/no columns are rounded at 0.5. A number is
        drawn from train's distribution inside its bin, together with the patient's others, and has
        the steps of train's, such as multiples of 5.

        Parameters
        ----------
        encoded, seed : Encoded, int or SeedSequence
            The matrix; and the seed of the draws inside the bins.
        """
        self._check_fitted()
        if getattr(encoded, "layout", None) != self.layout_:
            raise InputError(
                "The encoded data has another layout than this preprocessor; "
                "use the preprocessor that the model was trained with."
            )
        numbers, columns = self._numbers(encoded, np.random.default_rng(seed)), {}
        for column in self.schema_.columns:
            name, part = column.name, encoded[column.name]
            if column.kind == "binary":
                columns[name] = (part[:, 0] >= 0.5).astype(np.uint8)
            elif column.kind == "categorical":
                codes = part.argmax(axis=1)
                columns[name] = pd.Categorical.from_codes(codes, list(column.categories))
            else:
                columns[name] = _written(numbers[name], column, self.steps_[name])
        return self.schema_.attach(pd.DataFrame(columns))

    def _numbers(self, encoded: Encoded, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """The numbers, by column: drawn inside their bins, or scaled back."""
        found = {}
        if self.copula_ is None:
            for name in self.schema_.of_kind("continuous"):
                low, *_, high = self.observed_[name]
                scaled = low + encoded[name][:, 0].astype(float) * (high - low)
                found[name] = np.clip(scaled, low, high)  # rounding may lead a hair beyond the end
            return found
        index = {name: encoded[name].argmax(axis=1) for name in self.cuts_}
        limits = [self.cuts_[name].limits(i) for name, i in index.items()]
        lowest, highest = (np.stack(side, axis=1) for side in zip(*limits, strict=True))
        ranks = self.copula_.draw(lowest, highest, rng)
        for (name, i), rank in zip(index.items(), ranks.T, strict=True):
            found[name] = self.cuts_[name].decode(i, _spread_in_groups(i, rank, rng))
        return found

    def save(self, folder: str | Path) -> None:
        """Write everything learned as JSON into `folder`.

        Parameters
        ----------
        folder : path
        """
        self._check_fitted()
        have = self.dropped_["prevalence"] * self.patients_
        # Of what fewer patients have, or have not, not even the name stays.
        many = np.minimum(have, self.patients_ - have).round() >= self.least_patients
        state = {
            "options": self.get_params(),
            "schema": self.schema_.to_json(),
            "bins": {name: asdict(bins) for name, bins in self.cuts_.items()},
            "copula": self.copula_ and asdict(self.copula_),
            "observed": self.observed_,
            "steps": self.steps_,
            "dropped": self.dropped_[many].to_dict("records"),
            "patients": self.patients_,
        }
        write_json(state, Path(folder) / PREPROCESSOR_FILE)

    @classmethod
    def load(cls, folder: str | Path) -> "Preprocessor":
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        folder : path
        """
        path = Path(folder) / PREPROCESSOR_FILE
        state: Any = read_json(path)
        try:
            prep = cls(**state["options"])
            prep.schema_ = Schema.from_json(state["schema"], where=str(path))
            prep.cuts_ = {name: Bins(**bins) for name, bins in state["bins"].items()}
            prep.copula_ = state["copula"] and Copula(**state["copula"])
            prep.observed_, prep.steps_ = state["observed"], state["steps"]
            prep.patients_ = state["patients"]
            prep.dropped_ = pd.DataFrame(state["dropped"], columns=_DROPPED)
            prep.layout_ = tuple(map(prep._block, prep.schema_.columns))
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path} is not a saved preprocessor ({error}).") from error
        return prep


def _check_table(table) -> None:
    if not isinstance(table, pd.DataFrame):
        raise InputError(
            f"A preprocessor takes a patient table (a DataFrame), not {type(table).__name__}; "
            "give it what build_patients and split return."
        )


def _quantiles(observed: np.ndarray, name: str, least: int) -> list[float]:
    """Values that stand for a column, in order, from one end to the other."""
    if len(observed) < least:
        often = "hardly ever" if len(observed) else "never"
        raise InputError(
            f"Column {name!r} was {often} measured in train, so there is nothing "
            'to fill its missing values from; use missing="category" or drop it.'
        )
    low, high = ends(observed, least)
    return [low, *np.clip(knots(observed, _QUANTILES - 2, least), low, high).tolist(), high]


def _written(numbers: np.ndarray, column: Column, unit: float | None) -> np.ndarray:
    """Numbers as multiples of `unit`, with the column's decimals, inside its bounds."""
    if unit:
        numbers = np.round(numbers / unit) * unit
        numbers = np.round(numbers, 9) if unit % 1 else numbers
    if column.decimals is not None:
        # A number too large to have decimals would only be disturbed.
        small = np.abs(numbers) < 2.0**52 / 10.0**column.decimals
        numbers = np.where(small, np.round(numbers, column.decimals), numbers)
    return column.clip(numbers)


def _spread_in_groups(group: np.ndarray, ranks: np.ndarray, rng) -> np.ndarray:
    """Ranks spread evenly from 0 to 1 inside each group, in their order; shape (n,)."""
    order = np.lexsort((ranks, group))
    sizes = np.bincount(group)
    before = np.arange(len(ranks)) - (np.cumsum(sizes) - sizes)[group[order]]
    places = np.empty(len(ranks))
    # Somewhere in its share, not in the middle: one patient alone can be anywhere.
    places[order] = (before + rng.random(len(ranks))) / sizes[group[order]]
    return places
