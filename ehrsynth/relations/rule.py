"""What a rule is, and what every kind of rule needs: who has a value, and who could lend one.

A column is in one *state* for each patient: its category, 0 or 1, and of a number whether it is
missing, zero or another one.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from ..errors import InputError, near
from ..kinds import category_text
from ..schema import MISSING, Column, Schema

OTHER = "(other)"  # a number that is not zero
_NEIGHBORS = 25


class Rule(ABC):
    """Something that holds for every possible patient; each kind of rule is one class."""

    column: str
    kinds: tuple[str, ...]  # that its columns can be of

    @property
    def kind(self) -> str:
        """What the rule is called in a file."""
        return type(self).__name__.lower()

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column the rule speaks of."""
        return (self.column,)

    @property
    def changed(self) -> tuple[str, ...]:
        """The columns that :meth:`repair` changes."""
        return self.columns

    def check(self, schema: Schema) -> None:
        """Raise InputError if the columns of `schema` cannot have such a rule."""
        for name in self.columns:
            if name not in schema:
                raise InputError(f"there is no column {name!r}; {near(name, schema.names)}.")
            if (kind := schema[name].kind) not in self.kinds:
                wanted = " or ".join(self.kinds)
                raise InputError(f"column {name!r} is {kind}; use a {wanted} one.")
        for name in self.changed:
            if name in (schema.outcome, schema.sex):
                raise InputError(
                    f"it would change {name!r}, which the generator is given; "
                    "write it so that another column gives way."
                )

    @abstractmethod
    def broken(self, table: pd.DataFrame, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
        """Which patients break the rule, and to which it applies: arrays of bool, shape (n,)."""

    @abstractmethod
    def repair(
        self, table: pd.DataFrame, wrong: np.ndarray, schema: Schema, rng: np.random.Generator
    ) -> None:
        """Make the patients who are `wrong` keep the rule, in place."""


def states(column: Column) -> tuple[str, ...]:
    """The states that a column can be in."""
    if column.kind == "continuous":
        return (MISSING, "0", OTHER)
    return column.categories or ("0", "1")


def texts(value: object) -> list[str]:
    """The states that a rule names for a column: one, or a list of which each will do."""
    several = isinstance(value, list | tuple)
    return [category_text(v) for v in (value if several else [value])]  # type: ignore[attr-defined]


def has(table: pd.DataFrame, name: str, value: object) -> np.ndarray:
    """Who is in this state of a column, or in one of these."""
    values, wanted = table[name], texts(value)
    if not pd.api.types.is_numeric_dtype(values):
        chosen = isinstance(values.dtype, pd.CategoricalDtype)
        return (values if chosen else values.astype(str)).isin(wanted).to_numpy()
    numbers = values.to_numpy(float)
    found = np.zeros(len(table), dtype=bool)
    for text in wanted:
        if text == MISSING:
            found |= np.isnan(numbers)
        elif text == OTHER:
            found |= ~np.isnan(numbers) & (numbers != 0)
        else:
            found |= numbers == float(text)
    return found


def has_all(table: pd.DataFrame, wanted: Mapping[str, object]) -> np.ndarray:
    """Who is in the wanted state of every column."""
    return np.all([has(table, name, value) for name, value in wanted.items()], axis=0)


def said(wanted: Mapping[str, object]) -> str:
    """Columns and their states in words."""
    return " and ".join(f"{name} = {' or '.join(texts(v))}" for name, v in wanted.items())


def similar(level: np.ndarray, wrong: np.ndarray, good: np.ndarray, rng) -> np.ndarray:
    """For each patient who is `wrong` the row of one who is `good` and has a close `level`."""
    donors = np.flatnonzero(good)
    donors = donors[np.argsort(level[donors], kind="stable")]
    near_by = np.searchsorted(level[donors], level[wrong])
    near_by = near_by + rng.integers(-_NEIGHBORS, _NEIGHBORS + 1, size=len(near_by))
    return donors[np.clip(near_by, 0, len(donors) - 1)]


def copy_rows(
    table: pd.DataFrame, names: Iterable[str], wrong: np.ndarray, donors: np.ndarray
) -> None:
    """Give the patients who are `wrong` the donors' values of these columns, in place."""
    rows = np.arange(len(table))
    rows[wrong] = donors
    for name in names:
        table[name] = table[name].array.take(rows)


def put(
    table: pd.DataFrame, column: Column, value: object, wrong: np.ndarray, good: np.ndarray, rng
) -> None:
    """Bring a column of the patients who are `wrong` into a state, in place.

    Where that leaves a choice, the value is that of a patient who is `good`.
    """
    name, wanted = column.name, texts(value)
    lent = len(wanted) > 1 or (column.kind == "continuous" and wanted == [OTHER])
    if lent and good.any():
        copy_rows(table, [name], wrong, rng.choice(np.flatnonzero(good), int(wrong.sum())))
    elif column.kind == "binary":
        table[name] = table[name].where(~wrong, int(wanted[0])).astype(np.uint8)
    elif column.kind == "categorical":
        table[name] = table[name].where(~wrong, wanted[0])
    else:
        table[name] = table[name].where(~wrong, 0.0 if "0" in wanted else np.nan)
