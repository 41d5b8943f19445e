"""The cells of a hospital's tables as values, in whatever form they are written.

What cannot be read is counted; only a column that is unreadable as a whole, or that can be read in
two ways, is refused.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from ..errors import InputError
from ..files import MISSING_TEXTS
from . import engine
from .engine import ROW, Table, Value, literal
from .quality import Finding, check_columns, refuse_first

# The kinds of values in the files of a hospital: their types in an engine, and their names.
TYPES = {"whole": "int64", "date": "timestamp", "text": "string", "number": "float64"}
WORDS = {
    "whole": "whole numbers", "text": "text", "number": "numbers",
    "date": "dates like 2150-01-31 or 2150-01-31 12:00:00",
}  # fmt: skip
_EXACT = 2**53  # from here on a floating-point number is not always the one that was written


class Kind(NamedTuple):
    """What a column holds: one of :data:`TYPES`, whether a row needs it, and the values allowed."""

    name: str
    needed: bool
    allowed: tuple[str, ...]

    @classmethod
    def of(cls, said: str) -> "Kind":
        """From the words of a table of columns: "date?", "text? F|M", "whole 0..120"."""
        name, _, allowed = said.partition(" ")
        return cls(name.rstrip("?"), "?" not in name, tuple(filter(None, allowed.split("|"))))

    @property
    def words(self) -> str:
        return " or ".join(self.allowed) or WORDS[self.name]


def read(
    name: str, said: Mapping[str, str], make: Callable[[bool], Table], where: object,
    con=None, rows: bool = False, complete: bool = False,
) -> tuple[Table, list[Finding]]:  # fmt: skip
    """A table with typed columns, and what could not be read of it.

    A row without a value that it needs is left out; any other unreadable cell is NULL. `make` gives
    the table as written, with the numbers of its rows or without, which `rows` keeps. With `con`
    everything is read once, and the engine holds it. Unless the table is to be `complete`, a
    column whose values may be blank may be absent.
    """
    kinds = {column: Kind.of(words) for column, words in said.items()}
    written = named(make(rows))
    check_columns(written.columns, [c for c, k in kinds.items() if k.needed or complete], where)
    forms: dict[str, str] = {}
    table, counts = _marked(written, kinds, forms, con)
    odd = [column for column, kind in kinds.items()
           if kind.name == "date" and counts[column] < counts[f"there_{column}"]]  # fmt: skip
    if odd and (forms := _forms(written, odd, where)):
        table, counts = _marked(written, kinds, forms, con)
    n = counts["rows"]
    found = [Finding(name, f"{column} like {form}", counts[column], n, "read as dates")
             for column, form in forms.items()]  # fmt: skip
    for column, kind in kinds.items():
        wrong = counts[f"there_{column}"] - counts[column]
        blank = n - counts[f"there_{column}"] if kind.needed else 0
        if wrong > counts[column] or 2 * blank > n:
            text = named(make(True))
            cell = _cleaned(text[column])
            bad = cell.notnull() & _value(cell, kind, forms.get(column, _ISO)).isnull()
            refuse_first(text, column, kind.words, bad if wrong else cell.isnull(), where)
        done = "left out" if kind.needed else "counted as not known"
        for what, number in (("unreadable", wrong), ("no", blank)):
            if number:
                found.append(Finding(name, f"{what} {column}", number, n, done))
    needed = [table[column].notnull() for column, kind in kinds.items() if kind.needed]
    table = table.filter(*needed) if needed else table
    return table.select(*kinds, *([ROW] if rows else [])), found


def once(name: str, key: str | None, table: Table, where: object) -> tuple[Table, list[Finding]]:
    """A table that must have rows, without those that are there again where it has a `key`."""
    number = table[key].nunique() if key else table.count()
    n, keys = engine.totals(table, n=table.count(), keys=number).values()
    if not n:
        raise InputError(f"{where} has no rows.")
    if n == keys:
        return table, []
    table = table.distinct()
    if twice := table.count().execute() - keys:
        raise InputError(
            f"Column {key!r} of {where} has the same number in {twice:,} more rows, which differ; "
            "keep one row for each."
        )
    return table, [Finding(name, f"the same {key} and all else", n - keys, n, "left out")]


def named(table: Table) -> Table:
    """The table with the names of its columns in small letters."""
    plain = {name: name.strip().lstrip("\ufeff").lower() for name in table.columns}
    first = {new: old for old, new in reversed(plain.items())}
    return table.select(**{new: table[old] for new, old in first.items()})


def _marked(
    written: Table, kinds: Mapping[str, Kind], forms: Mapping[str, str], con
) -> tuple[Table, dict[str, int]]:
    """Typed columns, how many values each has and how many are written, in one pass."""
    typed, there = {}, {}
    for column, kind in kinds.items():
        typed[column], there[f"there_{column}"] = literal(None), literal(False)
        if column in written.columns:
            cell = _cleaned(written[column])
            typed[column] = _value(cell, kind, forms.get(column, _ISO))
            there[f"there_{column}"] = cell.notnull()
        typed[column] = typed[column].cast(TYPES[kind.name])
    row = [ROW] if ROW in written.columns else []
    table = written.select(*row, **typed, **there)
    if con is not None:
        table = engine.store(con, table)
    sums = {name: table[name].sum() for name in there}
    sums |= {column: table[column].count() for column in kinds}
    return table, engine.totals(table, rows=table.count(), **sums)


# -- values ----------------------------------------------------------------------------


def _cleaned(column: Value) -> Value:
    """A number or date as it is, anything else as text; NULL where nothing is written."""
    kind = column.type()
    if kind.is_floating():
        return column.isnan().ifelse(None, column)
    if kind.is_numeric() or kind.is_timestamp() or kind.is_date():
        return column
    text = column.cast("string").strip()
    return text.isin(MISSING_TEXTS).ifelse(None, text)


def _value(cell: Value, kind: Kind, form: str) -> Value:
    """A cell as this kind of value, NULL where it is none or none that is allowed."""
    if kind.name == "date":
        temporal = cell.type().is_timestamp() or cell.type().is_date()
        return cell.cast("timestamp") if temporal else FORMS[form](cell)
    if kind.name == "whole":
        value = whole(cell)
    else:
        value = cell.cast("string") if kind.name == "text" else cell.try_cast("float64")
    if not kind.allowed:
        return value
    low, dots, high = kind.allowed[0].partition("..")
    if dots:
        right = value.between(int(low), int(high))
    elif kind.name == "text":  # "Female" and "f" are F
        value = value.upper().substr(0, 1)
        right = value.isin(kind.allowed)
    else:
        right = value.isin([int(one) for one in kind.allowed])
    return right.ifelse(value, None)


def whole(cell: Value) -> Value:
    """A whole number, never rounded: R and pandas write 8507.0."""
    kind = cell.type()
    if kind.is_integer():
        return cell.try_cast("int64")
    if kind.is_numeric():
        exact = (cell == cell.floor()) & (cell.abs() < _EXACT)
        return exact.ifelse(cell, None).try_cast("int64")
    text = cell.cast("string").re_extract(r"^([+-]?[0-9]+)(\.0*)?$", 1)
    return text.nullif("").try_cast("int64")


# -- dates -----------------------------------------------------------------------------


def _iso(cell: Value) -> Value:
    """What the clock there showed: a time zone, and all else behind the seconds, is passed over."""
    text = cell.cast("string").substr(0, 19)
    return text.like("____-_%-_%").ifelse(text, None).try_cast("timestamp")


def _parts(pattern: str, year: int, month: int, day: int, cell: Value) -> Value:
    """The groups of a pattern as a date."""
    whole_text = cell.try_cast("int64") if cell.type().is_numeric() else cell
    text = whole_text.cast("string")
    part = partial(text.re_extract, pattern)
    spelled = part(month)
    if "A-Z" in pattern:
        place = literal("JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC").find(spelled.upper())
        spelled = (place // 3 + 1).cast("string")
    return _iso(part(year) + "-" + spelled + "-" + part(day))


def _since_1970(seconds: float, low: float, high: float, cell: Value) -> Value:
    number = cell.try_cast("float64")
    inside = (number.abs() > low) & (number.abs() <= high)
    return (inside.ifelse(number, None) * seconds).floor().cast("int64").cast("timestamp")


_ISO, _DAYS, _DAY_FIRST, _MONTH_FIRST = "2017-11-04", "17474", "31/12/2017", "12/31/2017"
_DAY_MONTH_YEAR = r"^([0-9]{1,2})[./-]([0-9]{1,2})[./-]([0-9]{4})"
# A number that can be read in two of these forms is read in the first.
FORMS: dict[str, Callable[[Value], Value]] = {
    _ISO: _iso,
    "20171104": partial(
        _parts, r"^((?:18|19|20|21|22)[0-9]{2})([01][0-9])([0-3][0-9])(?:[0-9]{6})?(?:\.0*)?$",
        1, 2, 3),
    _DAYS: partial(_since_1970, 86_400, -1, 110_000),
    "1509753600": partial(_since_1970, 1, 110_000, 9e9),
    "1509753600000": partial(_since_1970, 1e-3, 9e9, 9e12),
    "1509753600000000": partial(_since_1970, 1e-6, 9e12, 9e15),
    "1509753600000000000": partial(_since_1970, 1e-9, 9e15, 9e18),
    _DAY_FIRST: partial(_parts, _DAY_MONTH_YEAR, 3, 2, 1),
    _MONTH_FIRST: partial(_parts, _DAY_MONTH_YEAR, 3, 1, 2),
    "31-DEC-2017": partial(
        _parts, r"^([0-9]{1,2})[ ./-]?([A-Za-z]{3})[a-z]*[ ./-]?([0-9]{4})", 3, 2, 1),
}  # fmt: skip


def _forms(table: Table, columns: list[str], where: object) -> dict[str, str]:
    """How these columns write their dates, where it is another form than the usual one."""
    sums: dict[str, Value] = {}
    forms: dict[str, str] = {}
    for i, column in enumerate(columns):
        cell = _cleaned(table[column])
        sums |= {f"{i} {form}": read(cell).count() for form, read in FORMS.items()}
        sums[f"{i} years"] = cell.try_cast("float64").between(1850, 2250).sum()
    found = engine.totals(table, **sums)
    for i, column in enumerate(columns):
        n = {form: found[f"{i} {form}"] for form in FORMS}
        best = max(n, key=lambda form: n[form])  # the first of equals
        same = {_DAY_FIRST: n[_MONTH_FIRST], _DAYS: found[f"{i} years"]}.get(best)
        if n[best] and n[best] == same:
            there = table[column].notnull()
            refuse_first(
                table, column, f"dates like {_ISO}, which nobody can misread,", there, where
            )
        if best != _ISO:
            forms[column] = best
    return forms
