"""Rules by which a column follows from others: a formula, or one value by another."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..errors import InputError
from ..schema import MISSING, Column
from . import formula
from .rule import OTHER, Rule, copy_rows, has, put, similar, states, texts


def half_unit(column: Column) -> float:
    """Half of the last decimal that a column's numbers have."""
    return 0.0 if column.decimals is None else 0.5 * 10.0**-column.decimals


@dataclass(frozen=True)
class Formula(Rule):
    """A number follows from others, up to the rounding of all of them; else it is computed again.

    Where the result is outside the column's bounds, the parts come from a patient who keeps the
    rule.
    """

    column: str  #: of numbers
    equals: str  #: as ``weight / height ** 2``; see :mod:`ehrsynth.relations.formula`
    kinds = ("continuous",)

    def __str__(self) -> str:
        return f"{self.column} = {self.equals}"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column, *formula.parse(self.equals)[1])

    def check(self, schema):
        super().check(schema)
        if self.column in self.columns[1:] or len(self.columns) == 1:
            raise InputError(f"{self} needs other columns on its right side, and only those.")

    def _expected(self, table: pd.DataFrame, schema) -> tuple[np.ndarray, np.ndarray]:
        """What the formula says, and how far a rounded number can be from it; arrays (n,)."""
        parts = {name: table[name].to_numpy(float) for name in self.columns[1:]}
        value = formula.compute(self.equals, parts)
        slack = half_unit(schema[self.column]) + 1e-6 * np.abs(value) + 1e-9
        for name, numbers in parts.items():
            if step := half_unit(schema[name]):
                ends = (formula.compute(self.equals, parts | {name: numbers + s})
                        for s in (step, -step))  # fmt: skip
                slack = slack + np.fmax.reduce([np.abs(end - value) for end in ends])
        return value, slack

    def broken(self, table, schema):
        value, slack = self._expected(table, schema)
        known = np.all([table[name].notna() for name in self.columns], axis=0)
        # What cannot be computed (a division by zero) is no contradiction.
        applies = known & np.isfinite(value)
        off = np.abs(table[self.column].to_numpy(float) - value)
        return applies & ~(off <= slack), applies

    def repair(self, table, wrong, schema, rng):
        value, _ = self._expected(table, schema)
        column, known = schema[self.column], table[self.column].to_numpy(float)
        made = value if column.decimals is None else np.round(value, column.decimals)
        outside = wrong & np.isnan(column.within(made))
        applies = self.broken(table, schema)[1]
        good = applies & ~wrong
        # Of everybody: who was only near by chance is computed too.
        table[self.column] = np.where(applies & ~np.isnan(column.within(made)), made, known)
        if outside.any() and good.any():
            copy_rows(table, self.columns, outside, similar(known, outside, good, rng))
        elif outside.any():
            table[self.column] = table[self.column].mask(outside)


@dataclass(frozen=True)
class Follows(Rule):
    """A column's value follows from that of another column: a code and its name, or two
    measurements that are known together.
    """

    column: str  #: what follows
    of: str  #: from what
    values: Mapping[str, object]  #: by the value of `of`, as of :class:`ehrsynth.rules.Implies`
    kinds = ("binary", "categorical", "continuous")

    def __str__(self) -> str:
        if set(self.values) <= {MISSING, "0", OTHER} and MISSING in self.values.values():
            return f"{self.column} is known when {self.of} is"
        return f"{self.column} follows from {self.of}"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column, self.of)

    @property
    def changed(self) -> tuple[str, ...]:
        return (self.column,)

    def check(self, schema):
        super().check(schema)
        for key, value in self.values.items():
            check_state(schema[self.of], key)
            check_state(schema[self.column], value)

    def broken(self, table, schema):
        wrong, applies = np.zeros((2, len(table)), dtype=bool)
        for key, value in self.values.items():
            there = has(table, self.of, key)
            applies |= there
            wrong |= there & ~has(table, self.column, value)
        return wrong, applies

    def repair(self, table, wrong, schema, rng):
        for key, value in self.values.items():
            there = has(table, self.of, key)
            put(table, schema[self.column], value, wrong & there, there & ~wrong, rng)


def check_state(column: Column, value: object) -> None:
    """Raise InputError unless the column can be in this state, or in each of these."""
    for text in texts(value):
        if text not in states(column):
            quotes = " (in quotes)" if isinstance(value, bool) else ""
            raise InputError(
                f"{column.name!r} has no value {value!r}; use one of "
                f"{', '.join(states(column))}{quotes}."
            )
