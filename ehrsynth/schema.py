"""What each column of a patient table is: its kind, unit, bounds and role.

A :class:`Schema` is frozen and travels with the table it describes as a JSON string in
``DataFrame.attrs`` (so that slicing, copying and Parquet keep it), and beside it on disk
as ``schema.json``.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from .errors import InputError, first_bad
from .files import read_json, write_json
from .kinds import MISSING, category_text, guess, ordered

KINDS = ("categorical", "binary", "continuous")
ROLES = (
    "outcome", "demographic", "diagnosis", "measurement", "medication", "procedure", "lab",
    "feature",
)  # fmt: skip
# The columns that the house knows by name; nobody else writes these words.
SEX, RACE, AGE = "sex", "race", "age"
BMI, SYSTOLIC, DIASTOLIC = "bmi", "systolic", "diastolic"
DIE_1Y, DIE_ANY, VISIT_1Y = "DIE_1y", "DIE_any", "VISIT_1y"
SEX_NAMES = (SEX, "gender")
_DEMOGRAPHIC_NAMES = (*SEX_NAMES, RACE, "ethnicity", AGE)
_ATTRIBUTE = "ehrsynth_schema"
_LARGEST = 1e100  # of a number; beyond it, differences and squares can overflow


@dataclass(frozen=True)
class Column:
    """One column of a patient table.

    Parameters
    ----------
    name : str
        The column's name.
    kind : {"categorical", "binary", "continuous"}
        Categorical: one pandas Categorical column. Binary: 0/1 as uint8, never missing.
        Continuous: float64, NaN when not measured.
    role : str
        One of :data:`ROLES`.
    label : str
        The name a person reads, e.g. "Essential hypertension".
    categories : tuple of str
        The categories of a categorical, in order. A missing category is called "(missing)".
    unit : str
        e.g. "years", "kg/m2", "mmHg".
    lower, upper : float or None
        Plausible bounds (inclusive) of a continuous column.
    decimals : int or None
        Decimals of a continuous column; 0 means whole numbers, None means as many as needed.
    code : str
        The phecode of a diagnosis column, else "".
    sex : {"", "F", "M"}
        The only sex in which the diagnosis can occur, else "".
    """

    name: str
    kind: str
    role: str = "feature"
    label: str = ""
    categories: tuple[str, ...] = ()
    unit: str = ""
    lower: float | None = None
    upper: float | None = None
    decimals: int | None = None
    code: str = ""
    sex: str = ""

    def __post_init__(self):
        for what, known, said in (
            ("kind", KINDS, f"one of {', '.join(KINDS)}"),
            ("role", ROLES, f"one of {', '.join(ROLES)}"),
            ("sex", ("", "F", "M"), "F, M or nothing"),
        ):
            if getattr(self, what) not in known:
                raise InputError(
                    f"Column {self.name!r} has {what} {getattr(self, what)!r}; use {said}."
                )
        for bound in (self.lower, self.upper):
            if not (bound is None or isinstance(bound, int | float | np.number)):
                raise InputError(
                    f"Column {self.name!r} has the bound {bound!r}; use a number or nothing."
                )
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise InputError(
                f"Column {self.name!r} has lower {self.lower:g} above upper {self.upper:g}; "
                "swap them."
            )
        object.__setattr__(self, "categories", tuple(self.categories))

    @property
    def title(self) -> str:
        """Label with unit, for axes."""
        label = self.label or self.name
        return f"{label} ({self.unit})" if self.unit else label

    def within(self, values: np.ndarray) -> np.ndarray:
        """A copy of `values` as floats, those outside the plausible bounds set to NaN."""
        values = np.array(values, dtype=float)
        low = -np.inf if self.lower is None else self.lower
        high = np.inf if self.upper is None else self.upper
        values[(values < low) | (values > high)] = np.nan
        return values


@dataclass(frozen=True)
class Schema:
    """The columns of a patient table, in order."""

    columns: tuple[Column, ...]

    def __post_init__(self):
        object.__setattr__(self, "columns", tuple(self.columns))
        names = self.names
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise InputError(f"Column name {doubled[0]!r} appears twice; rename one of them.")
        outcomes = [c.name for c in self.columns if c.role == "outcome"]
        if len(outcomes) > 1:
            raise InputError(f"Only one column can be the outcome, found {', '.join(outcomes)}.")

    # -- looking things up -------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        return [c.name for c in self.columns]

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise InputError(f"There is no column {name!r}; the columns are {_some(self.names)}.")

    def __contains__(self, name: str) -> bool:
        return any(column.name == name for column in self.columns)

    def of_kind(self, *kinds: str) -> list[str]:
        """Names of the columns of these kinds."""
        return [c.name for c in self.columns if c.kind in kinds]

    def of_role(self, *roles: str) -> list[str]:
        """Names of the columns with these roles."""
        return [c.name for c in self.columns if c.role in roles]

    @property
    def outcome(self) -> str | None:
        """Name of the outcome column, or None."""
        return next(iter(self.of_role("outcome")), None)

    @property
    def sex(self) -> str | None:
        """Name of the column that holds the patient's sex, or None.

        It is the demographic categorical that has both categories F and M.
        """
        for column in self.columns:
            if column.role == "demographic" and {"F", "M"} <= set(column.categories):
                return column.name
        return None

    def outcome_values(self, table: pd.DataFrame) -> np.ndarray:
        """The outcome as 0/1 (uint8): of a two-category outcome the last one counts as 1."""
        if self.outcome is None:
            raise InputError("No column has the role outcome; name one with --outcome COLUMN.")
        column = self[self.outcome]
        values = table[column.name]
        if column.kind == "categorical":
            return (values.astype(str) == column.categories[-1]).to_numpy(np.uint8)
        return values.to_numpy(np.uint8)

    # -- making other schemas ----------------------------------------------------------

    def select(self, names: Iterable[str]) -> "Schema":
        """The schema of these columns, in this schema's order."""
        wanted = set(names)
        return Schema(tuple(c for c in self.columns if c.name in wanted))

    def with_column(self, column: Column) -> "Schema":
        """Replace the column of that name, or add it at the end."""
        if column.name in self:
            return Schema(tuple(column if c.name == column.name else c for c in self.columns))
        return Schema((*self.columns, column))

    # -- travelling with a table -------------------------------------------------------

    def attach(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return `table` (a shallow copy) with this schema in its attributes."""
        table = table.copy(deep=False)
        table.attrs[_ATTRIBUTE] = self.to_json()
        return table

    @classmethod
    def of(cls, table: pd.DataFrame, outcome: str | None = None) -> "Schema":
        """The schema attached to `table`, or an inferred one when there is none."""
        text = table.attrs.get(_ATTRIBUTE)
        if text is None:
            return cls.infer(table, outcome=outcome)
        schema = _parse(text)
        if list(table.columns) != schema.names:
            known = [name for name in table.columns if name in schema]
            schema = cls(tuple(schema[name] for name in known))
        return schema

    @classmethod
    def infer(cls, table: pd.DataFrame, outcome: str | None = None) -> "Schema":
        """Guess kinds from the values of a table that nobody has described.

        0/1 and booleans are binary; text, categoricals and numbers of two values (or 0/1 with
        missing values) are categorical; other numbers are continuous. Columns called sex, gender,
        race, ethnicity or age are demographic.

        Raises
        ------
        InputError
            For a duplicated name, an empty or all-missing column, dates, identifiers, free text
            and numbers spoiled by text, and an outcome that is missing or not of two values.
        """
        if table.shape[1] == 0 or len(table) == 0:
            raise InputError("The table has no rows or no columns; check the file.")
        doubled = table.columns[table.columns.duplicated()]
        if len(doubled):
            raise InputError(f"Column name {doubled[0]!r} appears twice; rename one of them.")
        if outcome is not None and outcome not in table.columns:
            raise InputError(
                f"Outcome column {outcome!r} is not in the table; {near(outcome, table.columns)}."
            )
        columns = []
        for name, values in table.items():
            if name == outcome and values.nunique() != 2:
                as_outcome(Column(str(name), "binary"), values)  # says in which way it is none
            column = Column(str(name), role=role_of(str(name)), **guess(str(name), values))
            columns.append(as_outcome(column, values) if name == outcome else column)
        return cls(tuple(columns))

    def cast(self, table: pd.DataFrame, where: str = "the table") -> pd.DataFrame:
        """Check that `table` fits this schema and give each column its proper dtype.

        Parameters
        ----------
        table : DataFrame
            A table as read from a file.
        where : str
            What to call the table in errors (its file name).

        Returns
        -------
        DataFrame
            The schema's columns, in its order, with the schema attached.

        Raises
        ------
        InputError
            That names the column and the value that do not fit.
        """
        missing = [name for name in self.names if name not in table.columns]
        if missing:
            raise InputError(f"Column {missing[0]!r} is missing from {where}.")
        columns = {c.name: _cast_column(c, table[c.name], where) for c in self.columns}
        return self.attach(pd.DataFrame(columns, index=table.index))

    # -- JSON --------------------------------------------------------------------------

    def to_json(self) -> str:
        """One line of JSON, without the fields that have their default."""
        default = asdict(Column("", "binary"))
        columns = [
            {k: v for k, v in asdict(c).items() if k in ("name", "kind", "role") or v != default[k]}
            for c in self.columns
        ]
        return json.dumps({"columns": columns})

    @classmethod
    def from_json(cls, text: str, where: str = "the schema") -> "Schema":
        """Read what :meth:`to_json` wrote."""
        try:
            return cls(tuple(Column(**column) for column in json.loads(text)["columns"]))
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise InputError(f"{where} is not a schema ({error}); see the API page.") from error

    def save(self, path: str | Path) -> None:
        """Write the schema as JSON."""
        write_json(json.loads(self.to_json()), path)

    @classmethod
    def load(cls, path: str | Path) -> "Schema":
        """Read a schema from JSON."""
        return cls.from_json(json.dumps(read_json(path)), where=str(path))

    def to_frame(self) -> pd.DataFrame:
        """The schema as a table a person can read."""
        return pd.DataFrame(
            {
                "column": [c.name for c in self.columns],
                "kind": [c.kind for c in self.columns],
                "role": [c.role for c in self.columns],
                "meaning": [c.title for c in self.columns],
            }
        )


@lru_cache(maxsize=32)
def _parse(text: str) -> Schema:
    return Schema.from_json(text)


def near(name: str, names: Iterable[str]) -> str:
    """Half a sentence that helps who asked for `name`: what it may have been, or what there is."""
    names = [str(known) for known in names]
    plain = {known.casefold(): known for known in names}
    found = get_close_matches(str(name).casefold(), plain, n=1)
    if found:
        return f"did you mean {plain[found[0]]!r}"
    return f"the columns are {_some(names)}"


def _some(names: Iterable[str], most: int = 8) -> str:
    names = [str(name) for name in names]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def role_of(name: str) -> str:
    """The role that a column's name tells: "demographic", or "feature" for everything else."""
    return "demographic" if name.strip().lower() in _DEMOGRAPHIC_NAMES else "feature"


def as_outcome(column: Column, values: pd.Series) -> Column:
    """The column in the role of the outcome, if it has two values and none is missing."""
    if values.isna().any():
        raise InputError(f"Outcome column {column.name!r} has missing values; remove those rows.")
    levels = ordered(values.map(category_text).unique())
    if len(levels) != 2:
        raise InputError(
            f"Outcome column {column.name!r} has {len(levels)} different "
            f"value{'s' if len(levels) > 1 else ''} ({_some(levels, 4)}); it needs exactly two."
        )
    return replace(column, role="outcome")


def _cast_column(column: Column, values: pd.Series, where: str) -> pd.Series:
    what = f"Column {column.name!r} of {where}"
    if column.kind == "categorical":
        text = values.astype(object).where(values.notna(), MISSING).map(category_text)
        unknown = sorted(set(text.unique()) - set(column.categories))
        if unknown:
            found = "a missing value" if unknown[0] == MISSING else f"the value {unknown[0]!r}"
            raise InputError(
                f"{what} has {found}, which is not one of its categories "
                f"({_some(column.categories)})."
            )
        return pd.Series(pd.Categorical(text, categories=list(column.categories)), values.index)
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    if bad := first_bad(values, numbers.isna() & values.notna()):
        raise InputError(
            f"{what} should hold numbers but has {str(bad.value)!r} in row {bad.row}; "
            "correct it or leave it empty."
        )
    if bad := first_bad(numbers, np.isinf(numbers)):
        raise InputError(
            f"{what} has an infinite value in row {bad.row}; correct it or leave it empty."
        )
    if column.kind == "continuous":
        if bad := first_bad(numbers, numbers.abs() > _LARGEST):
            raise InputError(
                f"{what} has {bad.value:g} in row {bad.row}, which is no measurement; "
                "correct it or leave it empty."
            )
        return numbers
    if bad := first_bad(values, ~numbers.isin((0.0, 1.0))):
        found = "no value" if pd.isna(bad.value) else bad.value
        raise InputError(f"{what} should be 0 or 1 but has {found} in row {bad.row}.")
    return numbers.astype("uint8")
