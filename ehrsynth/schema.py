"""What each column of a patient table is: its kind, unit, bounds and role.

A :class:`Schema` is frozen and travels with the table it describes as a JSON string in
``DataFrame.attrs`` (so that slicing, copying and Parquet keep it), and beside it on disk
as ``schema.json``.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from .errors import InputError
from .files import read_json, write_json

KINDS = ("categorical", "binary", "continuous")
ROLES = (
    "outcome", "demographic", "diagnosis", "measurement", "medication", "procedure", "lab",
    "feature",
)  # fmt: skip
MISSING = "(missing)"
# The columns that the house knows by name; nobody else writes these words.
SEX, RACE, AGE = "sex", "race", "age"
BMI, SYSTOLIC, DIASTOLIC = "bmi", "systolic", "diastolic"
DIE_1Y, DIE_ANY, VISIT_1Y = "DIE_1y", "DIE_any", "VISIT_1y"
_ATTRIBUTE = "ehrsynth_schema"
MAX_CATEGORIES = 60
_DEMOGRAPHIC_NAMES = ("sex", "gender", "race", "ethnicity", "age")
# A text column is a spoiled number column when most of its many different values are numbers.
_NUMERIC_SHARE, _NUMERIC_VALUES = 0.8, 10
_LARGEST = 1e100  # of a number; beyond it, differences and squares can overflow
_ROWS_A_CODE = 10  # on average
# Fewer rows than this can be all different by chance.
_LEAST_IDENTIFIERS = 50
_IDENTIFIER_NAME = re.compile(
    r"(?:^|_)(?:id|ids|nr|nbr|mrn|ssn|guid|uuid|pid|key|identifier)$"
    r"|(?:patient|subject|record|case|encounter|visit|stay|admission|hadm|study)_?(?:id|no|nr|nbr"
    r"|num|number|key)$|^(?:patient|subject)s?$",
)


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
        if self.kind not in KINDS:
            raise InputError(
                f"Column {self.name!r} has kind {self.kind!r}; use one of {', '.join(KINDS)}."
            )
        if self.role not in ROLES:
            raise InputError(
                f"Column {self.name!r} has role {self.role!r}; use one of {', '.join(ROLES)}."
            )
        for bound in (self.lower, self.upper):
            if not (bound is None or isinstance(bound, int | float | np.number)):
                raise InputError(
                    f"Column {self.name!r} has the bound {bound!r}; use a number or nothing."
                )
        if None not in (self.lower, self.upper) and self.lower > self.upper:
            raise InputError(
                f"Column {self.name!r} has lower {self.lower:g} above upper {self.upper:g}; "
                "swap them."
            )
        if self.sex not in ("", "F", "M"):
            raise InputError(f"Column {self.name!r} has sex {self.sex!r}; use F, M or nothing.")
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
        for name in table.columns:
            if name == outcome and table[name].nunique() != 2:
                as_outcome(Column(str(name), "binary"), table[name])
            column = infer_column(str(name), table[name])
            if name == outcome:
                column = as_outcome(column, table[name])
            columns.append(column)
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


def infer_column(name: str, values: pd.Series, few: int = 2, identifiers: bool = False) -> Column:
    """Guess what one column is.

    Parameters
    ----------
    name : str
    values : Series
    few : int
        Numbers of at most this many values are categories (whole numbers only when it is more
        than 2, and only where each value has ten rows on average).
    identifiers : bool
        Accept numbers that look like an identifier.

    Raises
    ------
    InputError
        For what :meth:`Schema.infer` refuses.
    """
    present = values.dropna().infer_objects()
    if present.empty:
        raise InputError(f"Column {name!r} has no values at all; drop it from the table.")
    role = "demographic" if name.strip().lower() in _DEMOGRAPHIC_NAMES else "feature"
    if pd.api.types.is_numeric_dtype(present) and not pd.api.types.is_bool_dtype(present):
        if np.isinf(present.to_numpy(float)).any():
            row = _row(pd.Series(np.isinf(pd.to_numeric(values).to_numpy(float, na_value=0))))
            raise InputError(
                f"Column {name!r} has an infinite value in row {row}; correct it or leave it empty."
            )
        if present.nunique() > 2 and not few_codes(present, few):
            if not identifiers and looks_like_identifier(name, present):
                raise InputError(
                    f"Column {name!r} is different in every row, like an identifier; "
                    "drop it, or describe it in a schema if it is a measurement."
                )
            return continuous_column(name, role, present)
    elif not pd.api.types.is_bool_dtype(present):
        _refuse_text(name, values, present)
    texts = present.map(category_text).unique()
    if set(texts) <= {"0", "1"} and len(present) == len(values):
        return Column(name, "binary", role)
    if isinstance(present.dtype, pd.CategoricalDtype):  # whoever made it has chosen the order
        used = set(texts)
        categories = tuple(t for t in map(category_text, present.cat.categories) if t in used)
    else:
        categories = ordered(texts)
    if len(present) < len(values) and MISSING not in categories:
        categories = (*categories, MISSING)
    return Column(name, "categorical", role, categories=categories)


def few_codes(present: pd.Series, few: int) -> bool:
    """Whether these numbers (none missing) are codes or grades: whole, few, each of many rows."""
    distinct = present.nunique()
    return distinct <= few and len(present) >= _ROWS_A_CODE * distinct and _whole(present)


def continuous_column(name: str, role: str, present: pd.Series) -> Column:
    """A column of numbers with the decimals of these values (none missing).

    It has no bounds: what was seen is not what is plausible, and of a table that is not split yet
    the smallest and largest value may be a holdout patient's.
    """
    numbers = present.astype("float64")
    return Column(name, "continuous", role, decimals=0 if _whole(numbers) else _decimals(numbers))


def looks_like_identifier(name: str, present: pd.Series) -> bool:
    """Whether these values (none missing) single out the patients rather than describe them.

    Texts do when no two are equal. Whole numbers do when no two are equal and they lie close
    together, have six digits or more and all the same number of them, or the name says so; or
    when the name says so and most of them differ. A laboratory value with decimals never does.
    """
    if len(present) <= _LEAST_IDENTIFIERS:
        return False
    share = present.nunique() / len(present)
    named = bool(_IDENTIFIER_NAME.search(name.strip().lower().replace(" ", "_").replace("-", "_")))
    if not pd.api.types.is_numeric_dtype(present):
        return share == 1 or (named and share > 0.5)
    numbers = present.to_numpy(float)
    if not np.isfinite(numbers).all() or not _whole(numbers):
        return False
    if named and share > 0.5:
        return True
    if share < 1:
        return False
    low, high = numbers.min(), numbers.max()
    dense = high - low + 1 <= 2 * len(numbers)
    same_length = low >= 10**5 and len(str(int(low))) == len(str(int(high)))
    # Counts such as platelets per microliter are rounded; numbers that are given out are not.
    return dense or (same_length and not np.all(numbers % 10 == 0))


def _whole(values: pd.Series | np.ndarray) -> bool:
    return bool(np.all(np.mod(np.asarray(values, dtype=float), 1) == 0))


def _refuse_text(name: str, values: pd.Series, present: pd.Series) -> None:
    """Raise for dates, numbers spoiled by text, identifiers and free text."""
    if not pd.api.types.is_string_dtype(present) and not isinstance(
        present.dtype, pd.CategoricalDtype
    ):
        if present.map(lambda value: hasattr(value, "year")).all():
            raise _dates(name)
    text = present.astype(str)
    distinct = text.unique()
    numeric = pd.to_numeric(text, errors="coerce").notna()
    if (
        not isinstance(present.dtype, pd.CategoricalDtype)
        and numeric.mean() >= _NUMERIC_SHARE
        and not numeric.all()
        and text[numeric].nunique() > _NUMERIC_VALUES
    ):
        wrong = values.notna() & ~numeric.reindex(values.index, fill_value=True)
        raise InputError(
            f"Column {name!r} should hold numbers but has {values[wrong].iloc[0]!r} in row "
            f"{_row(wrong)}; correct it or leave it empty."
        )
    if len(distinct) <= MAX_CATEGORIES and not (len(distinct) == len(text) > 50):
        return
    sample = pd.Series(distinct[:100])
    if sample.str.fullmatch(r"\d{4}-\d\d?-\d\d?([ T].*)?|\d\d?[/.]\d\d?[/.]\d{2,4}.*").all():
        raise _dates(name)
    raise InputError(
        f"Column {name!r} has {len(distinct)} different texts, for example "
        f"{min(distinct)[:40]!r}; group them into at most {MAX_CATEGORIES} categories, "
        "or drop the column if it is an identifier, a date or free text."
    )


def _dates(name: str) -> InputError:
    return InputError(
        f"Column {name!r} holds dates; replace it by a number such as age or days, or drop it."
    )


def ordered(texts: Iterable[str]) -> tuple[str, ...]:
    """Categories in order: by number where all of them are numbers, else by text."""
    texts = list(texts)
    numbers = pd.to_numeric(pd.Series(texts, dtype="object"), errors="coerce")
    if numbers.notna().all():
        return tuple(text for _, text in sorted(zip(numbers, texts, strict=True)))
    return tuple(sorted(texts))


def _decimals(values: pd.Series) -> int | None:
    for decimals in (1, 2, 3):
        if np.allclose(values, values.round(decimals), rtol=0, atol=1e-9):
            return decimals
    return None


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
    if column.kind == "categorical":
        text = values.astype(object).where(values.notna(), MISSING)
        text = text.map(category_text)
        unknown = sorted(set(text.unique()) - set(column.categories))
        if unknown:
            what = "a missing value" if unknown[0] == MISSING else f"the value {unknown[0]!r}"
            raise InputError(
                f"Column {column.name!r} of {where} has {what}, which is not one of its "
                f"categories ({_some(column.categories)})."
            )
        return pd.Series(pd.Categorical(text, categories=list(column.categories)), values.index)
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    wrong = numbers.isna() & values.notna()
    if wrong.any():
        raise InputError(
            f"Column {column.name!r} of {where} should hold numbers but has "
            f"{str(values[wrong].iloc[0])!r} in row {_row(wrong)}; correct it or leave it empty."
        )
    if np.isinf(numbers).any():
        raise InputError(
            f"Column {column.name!r} of {where} has an infinite value in row "
            f"{_row(np.isinf(numbers))}; correct it or leave it empty."
        )
    if column.kind == "continuous":
        if (numbers.abs() > _LARGEST).any():
            wrong = numbers.abs() > _LARGEST
            raise InputError(
                f"Column {column.name!r} of {where} has {numbers[wrong].iloc[0]:g} in row "
                f"{_row(wrong)}, which is no measurement; correct it or leave it empty."
            )
        return numbers
    wrong = ~numbers.isin((0.0, 1.0))
    if wrong.any():
        missing = pd.isna(values[wrong].iloc[0])
        raise InputError(
            f"Column {column.name!r} of {where} should be 0 or 1 but has "
            f"{'no value' if missing else values[wrong].iloc[0]} in row {_row(wrong)}."
        )
    return numbers.astype("uint8")


def category_text(value: object) -> str:
    """0.0 and False read from a file mean the category "0"; everything else is its own text."""
    if isinstance(value, bool | np.bool_):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _row(mask: pd.Series) -> int:
    """1-based number of the first row where `mask` holds."""
    return int(np.flatnonzero(mask.to_numpy())[0]) + 1
