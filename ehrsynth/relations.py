"""What holds for every possible patient: what a rule is, and rules by which a column follows.

A column is in one *state* for each patient: its category, 0 or 1, and of a number whether it is
missing, zero or another one; a rule may name a span of numbers, "60 .. 70" (without its end).
Formulas that a person writes are read and computed here, never handed to Python: numbers, columns,
``+ - * / **``, brackets, sqrt, log and exp. A column whose name is no plain word stands in
backticks: ```weight (kg)` / height ** 2``.
"""

import ast
import operator
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from keyword import iskeyword
from typing import Any

import numpy as np
import pandas as pd

from .errors import InputError, near
from .kinds import cast, category_text, is_plain_number
from .schema import MISSING, Column, Schema

States = Mapping[str, object]  # of columns: one, or a list of which each will do
OTHER = "(other)"  # a number that is not zero
_SPAN = re.compile(r"(?:-inf|-?[\d.]+(?:e[+-]?\d+)?) \.\. (?:inf|-?[\d.]+(?:e[+-]?\d+)?)")
_NEIGHBORS = 25
_KNOWN: dict[Any, Callable] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow, ast.USub: operator.neg, ast.UAdd: operator.pos,
    "sqrt": np.sqrt, "log": np.log, "exp": np.exp,
}  # fmt: skip
_LONGEST = 1_000  # characters; what is nested deeper would exhaust the stack


class Rule:
    """Something that holds for every possible patient; each kind of rule is one class.

    What is about states says its :meth:`cases`; another kind of rule how it is broken and repaired.
    """

    named: tuple[str, ...] = ("column",)  # the fields that are columns
    kinds: tuple[str, ...]  # that its columns can be of

    @property
    def kind(self) -> str:
        """What the rule is called in a file."""
        return type(self).__name__.lower()

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column the rule speaks of."""
        return tuple(getattr(self, name) for name in self.named)

    @property
    def changed(self) -> tuple[str, ...]:
        """The columns that :meth:`repair` changes."""
        return self.columns

    def cases(self, schema: Schema) -> list[tuple[States, States]]:
        """Columns and their states: who has all of the first has all of the second."""
        return []

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
        for name, value in (p for case in self.cases(schema) for s in case for p in s.items()):
            check_state(schema[name], value)

    def broken(self, table: pd.DataFrame, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
        """Which patients break the rule, and to which it applies: arrays of bool, shape (n,)."""
        wrong, applies = np.zeros((2, len(table)), dtype=bool)
        for when, then in self.cases(schema):
            there = has_all(table, when)
            applies |= there
            wrong |= there & ~has_all(table, then)
        return wrong, applies

    def repair(
        self, table: pd.DataFrame, wrong: np.ndarray, schema: Schema, rng: np.random.Generator
    ) -> None:
        """Make the patients who are `wrong` keep the rule, in place."""
        for when, then in self.cases(schema):
            there = has_all(table, when)
            for name, value in then.items():
                bad = wrong & there & ~has(table, name, value)
                put(table, schema[name], value, bad, there & ~wrong, rng)


def states(column: Column) -> tuple[str, ...]:
    """The states that a column can be in."""
    if column.kind == "continuous":
        return (MISSING, "0", OTHER)
    return column.categories or ("0", "1")


def texts(value: object) -> list[str]:
    """The states that a rule names for a column: one, or a list of which each will do."""
    several = isinstance(value, list | tuple)
    return [category_text(v) for v in (value if several else [value])]  # type: ignore[attr-defined]


def check_state(column: Column, value: object) -> None:
    """Raise InputError unless the column can be in this state, or in each of these."""
    for text in texts(value) or [""]:
        span = column.kind == "continuous" and _SPAN.fullmatch(text)
        if text not in states(column) and not span:
            quotes = " (in quotes)" if isinstance(value, bool) else ""
            raise InputError(
                f"{column.name!r} has no value {value!r}; use one of "
                f"{', '.join(states(column))}{quotes}."
            )


def has(table: pd.DataFrame, name: str, value: object) -> np.ndarray:
    """Who is in this state of a column, or in one of these."""
    values, wanted = table[name], texts(value)
    if not pd.api.types.is_numeric_dtype(values):
        chosen = isinstance(values.dtype, pd.CategoricalDtype)
        return (values if chosen else values.astype(str)).isin(wanted).to_numpy()
    numbers, found = values.to_numpy(float), np.zeros(len(values), dtype=bool)
    for text in wanted:
        low, dots, high = text.partition(" .. ")
        if dots:
            found |= (numbers >= float(low)) & (numbers < float(high))
        elif text == OTHER:
            found |= ~np.isnan(numbers) & (numbers != 0)
        else:
            found |= np.isnan(numbers) if text == MISSING else numbers == float(text)
    return found


def has_all(table: pd.DataFrame, wanted: States) -> np.ndarray:
    """Who is in the wanted state of every column."""
    return np.all([has(table, name, value) for name, value in wanted.items()], axis=0)


def said(wanted: States) -> str:
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


# -- formulas ------------------------------------------------------------------------------


def written(name: str) -> str:
    """A column's name as it stands in a formula."""
    plain = name.isidentifier() and name.isascii() and name not in _KNOWN and name[:2] != "q_"
    return name if plain and not iskeyword(name) else f"`{name}`"


@lru_cache(maxsize=256)
def parse(text: str) -> tuple[Any, tuple[str, ...]]:
    """The tree of a formula, and its columns in order; raises InputError for anything else."""
    plain = re.sub(r"`([^`]+)`", lambda found: f" q_{found[1].encode().hex()} ", text).strip()
    try:
        tree = ast.parse(plain[: _LONGEST * 10] if len(text) <= _LONGEST else "", mode="eval").body
        columns: dict[str, np.ndarray] = defaultdict(lambda: np.ones(1))
        _value(tree, columns)
    except (SyntaxError, ValueError, KeyError, RecursionError, MemoryError):
        raise InputError(
            f"{text!r} is no formula; write it as weight / height ** 2, with numbers, columns, "
            "+ - * / **, brackets, sqrt, log and exp."
        ) from None
    return tree, tuple(columns)


def compute(text: str, values: Mapping[str, np.ndarray]) -> Any:
    """The formula's value for each patient, not finite where it has none."""
    return _value(parse(text)[0], values)


def _value(node: Any, values: Mapping[str, np.ndarray]) -> Any:
    if isinstance(node, ast.Name):
        name = bytes.fromhex(node.id[2:]).decode() if node.id.startswith("q_") else node.id
        return np.asarray(values[name], dtype=float)
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return np.float64(node.value)  # type: ignore[arg-type]
    what: Any
    if isinstance(node, ast.BinOp):
        parts, what = [node.left, node.right], type(node.op)
    elif isinstance(node, ast.UnaryOp):
        parts, what = [node.operand], type(node.op)
    elif isinstance(node, ast.Call) and not node.keywords and len(node.args) == 1:
        parts, what = node.args, getattr(node.func, "id", "")
    else:
        raise ValueError
    with np.errstate(all="ignore"):
        return _KNOWN[what](*(_value(part, values) for part in parts))


# -- rules by which a column follows from others ---------------------------------------------


def has_numbers(column: Column) -> bool:
    """Whether a column holds numbers, also if these are the categories of a score."""
    known = [level for level in column.categories if level != MISSING]
    return column.kind == "continuous" or (len(known) > 2 and all(map(is_plain_number, known)))


def numbers(values: pd.Series) -> np.ndarray:
    """Numbers, or categories that are, as numbers; NaN where there is none."""
    if not isinstance(values.dtype, pd.CategoricalDtype):
        return values.to_numpy(float)
    levels = pd.to_numeric(pd.Series(values.cat.categories, dtype=object), errors="coerce")
    return np.append(levels.to_numpy(float), np.nan)[values.cat.codes]


def half_unit(column: Column) -> float:
    """Half of the last decimal that a column's numbers have; those of a score are exact."""
    return 0.0 if column.decimals is None else 0.5 * 10.0**-column.decimals


@dataclass(frozen=True)
class Formula(Rule):
    """A number follows from others, up to the rounding of all of them; else it is computed again.

    Where the result is outside the column's bounds, the parts come from a patient who keeps the
    rule.
    """

    column: str  #: of numbers
    equals: str  #: as ``weight / height ** 2``; see :func:`parse`
    kinds = ("continuous", "categorical")

    def __str__(self) -> str:
        return f"{self.column} = {self.equals}"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column, *parse(self.equals)[1])

    def check(self, schema):
        super().check(schema)
        if self.column in self.columns[1:] or len(self.columns) == 1:
            raise InputError(f"{self} needs other columns on its right side, and only those.")
        for name in self.columns:
            if not has_numbers(schema[name]):
                raise InputError(f"column {name!r} has no numbers; use a continuous one.")

    def _expected(self, table: pd.DataFrame, schema) -> tuple[np.ndarray, np.ndarray]:
        """What the formula says, and how far a rounded number can be from it; arrays (n,)."""
        parts = {name: numbers(table[name]) for name in self.columns[1:]}
        value = compute(self.equals, parts)
        slack = half_unit(schema[self.column]) + 1e-6 * np.abs(value) + 1e-9
        for name, part in parts.items():
            step = half_unit(schema[name])
            ends = [compute(self.equals, parts | {name: part + s}) for s in (step, -step)]
            slack = slack + np.fmax(*(np.abs(end - value) for end in ends))
        return value, slack

    def broken(self, table, schema):
        value, slack = self._expected(table, schema)
        own = numbers(table[self.column])
        # What cannot be computed (a division by zero) is no contradiction.
        applies = ~np.isnan(own) & np.isfinite(value)
        return applies & ~(np.abs(own - value) <= slack), applies

    def repair(self, table, wrong, schema, rng):
        value, _ = self._expected(table, schema)
        column, known = schema[self.column], numbers(table[self.column])
        made = value if column.decimals is None else np.round(value, column.decimals)
        if column.kind == "categorical":
            levels = numbers(pd.Series(pd.Categorical(column.categories)))
            inside = np.isclose(made[:, None], levels).any(axis=1)
        else:
            inside = ~np.isnan(column.within(made))
        outside = wrong & ~inside
        applies = self.broken(table, schema)[1]
        good = applies & ~wrong
        # Of everybody: who was only near by chance is computed too.
        table[self.column] = cast(
            pd.Series(np.where(applies & inside, made.round(9), known), table.index),
            column.kind, column.categories, self.column,
        )  # fmt: skip
        if outside.any() and good.any():
            copy_rows(table, self.columns, outside, similar(known, outside, good, rng))
        elif outside.any() and (column.kind == "continuous" or MISSING in column.categories):
            put(table, column, MISSING, outside, good, rng)


@dataclass(frozen=True)
class Follows(Rule):
    """A column's value follows from that of another column: a code and its name, or two
    measurements that are known together.
    """

    column: str  #: what follows
    of: str  #: from what
    values: Mapping[str, object]  #: by the value of `of`, as of :class:`ehrsynth.rules.Implies`
    named = ("column", "of")
    kinds = ("binary", "categorical", "continuous")

    def __str__(self) -> str:
        if set(self.values) <= {MISSING, "0", OTHER} and MISSING in self.values.values():
            return f"{self.column} is known when {self.of} is"
        return f"{self.column} follows from {self.of}"

    @property
    def changed(self) -> tuple[str, ...]:
        return (self.column,)

    def cases(self, schema):
        return [({self.of: key}, {self.column: value}) for key, value in self.values.items()]
