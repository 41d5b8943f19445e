"""What each column of a patient table is: its kind, unit, bounds and role.

A :class:`Schema` is frozen and travels with its table as JSON in ``DataFrame.attrs``, which
slicing, copying and Parquet keep.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from .errors import InputError, some
from .files import read_json, write_json
from .kinds import MISSING as MISSING
from .kinds import cast, origin_of

KINDS = ("categorical", "binary", "continuous")
ROLES = (
    "outcome", "demographic", "diagnosis", "measurement", "medication", "procedure", "lab",
    "feature", "time", "event",
)  # fmt: skip
# The columns that the house knows by name; nobody else writes these words.
SEX, RACE, AGE = "sex", "race", "age"
BMI, SYSTOLIC, DIASTOLIC = "bmi", "systolic", "diastolic"
DIE_1Y, DIE_ANY, VISIT_1Y = "DIE_1y", "DIE_any", "VISIT_1y"
SEX_NAMES = (
    SEX, "gender", "gender_concept_id", "geschlecht", "sexe", "sexo", "sesso", "geslacht", "płeć",
    "пол", "kön", "køn", "kjønn", "sukupuoli", "cinsiyet", "pohlaví", "spol", "nem", "性别", "性別",
)  # fmt: skip
_DEMOGRAPHIC_NAMES = (*SEX_NAMES, RACE, "ethnicity", AGE)
_ATTRIBUTE = "ehrsynth_schema"
FEWEST_ROWS = 5  # of each table that is evaluated
PATIENT_KEY = "patient key"  # name of a table's index that says whose a row is


@dataclass(frozen=True)
class Column:
    """One column of a patient table.
    Chapter data-types, "Build it, part 1: name the type".
    """

    name: str  #: in the table
    #: "categorical", a pandas Categorical; "binary", 0/1 as uint8, never missing; or "continuous",
    #: float64, NaN when not measured
    kind: str
    #: one of :data:`ROLES`; a time says when the outcome, its event, happened, or until when not
    role: str = "feature"
    label: str = ""  #: the name a person reads, e.g. "Essential hypertension"
    categories: tuple[str, ...] = ()  #: in order; a missing category is called "(missing)"
    unit: str = ""  #: e.g. "years", "kg/m2", "mmHg"
    lower: float | None = None  #: least plausible number
    upper: float | None = None  #: largest plausible number
    decimals: int | None = None  #: 0 means whole numbers, None as many as needed
    code: str = ""  #: the phecode of a diagnosis
    sex: str = ""  #: "F" or "M", the only sex in which the diagnosis can occur
    #: whether a model may predict the outcome from it; None leaves out what determines it
    predictor: bool | None = None

    def __post_init__(self):
        has = f"Column {self.name!r} has"
        for what, known in (("kind", KINDS), ("role", ROLES), ("sex", ("F", "M", ""))):
            if (value := getattr(self, what)) not in known:
                said = ", ".join(name or "or nothing" for name in known)
                raise InputError(f"{has} {what} {value!r}; use one of {said}.")
        for bound in (self.lower, self.upper):
            if not (bound is None or isinstance(bound, int | float | np.number)):
                raise InputError(f"{has} the bound {bound!r}; use a number or nothing.")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise InputError(f"{has} lower {self.lower:g} above upper {self.upper:g}; swap them.")
        object.__setattr__(self, "categories", tuple(self.categories))
        if self.role == "event":  # an outcome that has a time
            object.__setattr__(self, "role", "outcome")
        if self.role == "time" and self.kind != "continuous":
            raise InputError(f"{has} role time but is {self.kind}; a time is a number.")

    @property
    def title(self) -> str:
        """Label with unit, for axes."""
        label = self.label or self.name
        return f"{label} ({self.unit})" if self.unit else label

    @property
    def begins(self) -> float:
        """The day that dates are counted from, in days since 1970; of other numbers 0."""
        return origin.timestamp() / 86_400 if (origin := origin_of(self.unit)) else 0.0

    def clip(self, values: np.ndarray) -> np.ndarray:
        """Move what lies outside the plausible bounds to the nearer one."""
        low = -np.inf if self.lower is None else self.lower
        high = np.inf if self.upper is None else self.upper
        return np.clip(np.asarray(values, dtype=float), low, high)

    def within(self, values: np.ndarray) -> np.ndarray:
        """A copy with NaN, not measured, where a value lies outside the plausible bounds."""
        return np.where(self.clip(values) == values, values, np.nan)


@dataclass(frozen=True)
class Schema:
    """The columns of a patient table, in order.
    Chapter data-types, "The patient table and its schema".
    """

    columns: tuple[Column, ...]  #: no two of one name, and at most one outcome

    def __post_init__(self):
        object.__setattr__(self, "columns", tuple(self.columns))
        if doubled := sorted(pd.Index(self.names)[pd.Index(self.names).duplicated()]):
            raise InputError(f"Column name {doubled[0]!r} appears twice; rename one of them.")
        for role in ("outcome", "time"):
            if len(of_role := self.of_role(role)) > 1:
                raise InputError(f"Only one column can be the {role}, found {', '.join(of_role)}.")

    @property
    def names(self) -> list[str]:
        return [c.name for c in self.columns]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    def __getitem__(self, name: str) -> Column:
        if name not in self:
            raise InputError(f"There is no column {name!r}; the columns are {some(self.names)}.")
        return self.columns[self._places[name]]

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def of_kind(self, *kinds: str) -> list[str]:
        """Names of the columns of these kinds.

        Parameters
        ----------
        *kinds : str
        """
        return [c.name for c in self.columns if c.kind in kinds]

    def of_role(self, *roles: str) -> list[str]:
        """Names of the columns with these roles.

        Parameters
        ----------
        *roles : str
        """
        return [c.name for c in self.columns if c.role in roles]

    @property
    def outcome(self) -> str | None:
        """Name of the outcome column, or None."""
        return next(iter(self.of_role("outcome")), None)

    @property
    def time(self) -> str | None:
        """Name of the column that says when the outcome happened, or None."""
        return next(iter(self.of_role("time")), None)

    @property
    def sex(self) -> str | None:
        """Name of the column that holds the patient's sex, or None.

        It is the demographic categorical that has both categories F and M.
        """
        people = self.of_role("demographic")
        return next((name for name in people if {"F", "M"} <= set(self[name].categories)), None)

    def outcome_values(self, table: pd.DataFrame) -> np.ndarray:
        """The outcome as 0 and 1: of a two-category outcome the last one counts as 1.

        Parameters
        ----------
        table : DataFrame
        """
        if self.outcome is None:
            raise InputError("No column has the role outcome; name one with --outcome COLUMN.")
        column, values = self[self.outcome], table[self.outcome]
        if column.kind == "categorical":
            return (values.astype(str) == column.categories[-1]).to_numpy(np.uint8)
        return values.to_numpy(np.uint8)

    def select(self, names: Iterable[str]) -> "Schema":
        """The schema of some columns, in this schema's order."""
        wanted = set(names)
        return Schema(tuple(c for c in self.columns if c.name in wanted))

    def attach(self, table: pd.DataFrame) -> pd.DataFrame:
        """A shallow copy of a table that carries this schema along.

        Parameters
        ----------
        table : DataFrame
        """
        table = table.copy(deep=False)
        table.attrs[_ATTRIBUTE] = self.to_json()
        return table

    @classmethod
    def of(cls, table: pd.DataFrame) -> "Schema":
        """The schema attached to `table`, of the columns that it has, in its order.

        Parameters
        ----------
        table : DataFrame
        """
        if (schema := cls.attached(table)) is None:
            raise InputError(
                "The table has no schema; es.load('table', data=table, outcome=NAME)['table'] is "
                "the same table with one."
            )
        return schema

    @classmethod
    def attached(cls, table: pd.DataFrame) -> "Schema | None":
        """The attached schema of the columns that the table has, in its order, or None."""
        if (text := table.attrs.get(_ATTRIBUTE)) is None:
            return None
        schema = cls.from_json(text)
        if list(table.columns) == schema.names:
            return schema
        return cls(tuple(schema[name] for name in table.columns if name in schema))

    def cast(self, table: pd.DataFrame, where: str = "the table") -> pd.DataFrame:
        """Check that `table` fits this schema and give each of its columns the proper dtype.

        Parameters
        ----------
        table : DataFrame
        where : str
            What to call the table in errors, which name the column and the value.
        """
        columns = {}
        for c in self.columns:
            if c.name not in table.columns:
                raise InputError(f"Column {c.name!r} is missing from {where}.")
            what = f"Column {c.name!r} of {where}"
            columns[c.name] = cast(table[c.name], c.kind, c.categories, what)
        return self.attach(pd.DataFrame(columns, index=table.index))

    def plausible(self, table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
        """The table without numbers outside their bounds, and how many there were, by column."""
        table, counts = table.copy(deep=False), {}
        for name in self.of_kind("continuous"):
            inside = self[name].within(table[name].to_numpy(float))
            if outside := int((np.isnan(inside) & table[name].notna()).sum()):
                counts[name], table[name] = outside, inside
        return table, counts

    def to_json(self) -> str:
        """One line of JSON, without the fields that have their default."""
        default = asdict(Column("", "binary")) | {"name": None, "kind": None, "role": None}
        columns = [{k: v for k, v in asdict(c).items() if v != default[k]} for c in self.columns]
        return json.dumps({"columns": columns})

    @classmethod
    @lru_cache(maxsize=32)  # every look at a table's schema parses it
    def from_json(cls, text: str, where: str = "the schema") -> "Schema":
        """Read what :meth:`to_json` wrote."""
        try:
            return cls(tuple(Column(**column) for column in json.loads(text)["columns"]))
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise InputError(f"{where} is not a schema ({error}); see the API page.") from error

    def save(self, path: str | Path) -> None:
        """Write the schema as JSON.

        Parameters
        ----------
        path : str or Path
        """
        write_json(json.loads(self.to_json()), path)

    @classmethod
    def load(cls, path: str | Path) -> "Schema":
        """Read a schema from JSON.

        Parameters
        ----------
        path : str or Path
        """
        return cls.from_json(json.dumps(read_json(path)), where=str(path))

    def to_frame(self) -> pd.DataFrame:
        """A row a column, for a person to read: its name, kind, role and meaning."""
        rows = [(c.name, c.kind, c.role, c.title) for c in self.columns]
        return pd.DataFrame(rows, columns=["column", "kind", "role", "meaning"])


def role_of(name: str) -> str:
    """The role that a column's name tells: demographic, or feature for everything else.
    Chapter data-types, "The patient table and its schema".
    """
    return "demographic" if name.strip().lower() in _DEMOGRAPHIC_NAMES else "feature"
