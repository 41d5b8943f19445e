"""The one place that finds and names what cannot be used of a table: column, row and value."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, NoReturn

import pandas as pd

from ..errors import InputError, first_bad
from .engine import ROW, Table, Value, collect

# The kinds of values in the files of a hospital: their types in an engine, and their names.
TYPES = {"whole": "int64", "date": "timestamp", "text": "string", "number": "float64"}
WORDS = {
    "whole": "whole numbers", "text": "text", "number": "numbers",
    "date": "dates like 2150-01-31 or 2150-01-31 12:00:00",
}  # fmt: skip


class Fault(NamedTuple):
    """Which rows of a lazy table have a value in `column` that is not `what` it should hold."""

    column: str
    what: str
    wrong: Value


def check(table: Table, faults: Sequence[Fault], where: object) -> None:
    """Raise for the first of these faults that a lazy table has; all are sought in one pass.

    It needs :data:`ROW` where its engine does not keep the rows in order; `where` is its name.
    """
    sums = {str(i): fault.wrong.fill_null(False).sum() for i, fault in enumerate(faults)}
    found = collect(table.aggregate(**sums)).iloc[0].fillna(0)
    for fault, number in zip(faults, found, strict=True):
        if number:
            refuse_first(table, fault, where)


def refuse_first(table: Table, fault: Fault, where: object) -> NoReturn:
    """Raise for the first row with a fault; it may need the whole table to be seen."""
    import ibis

    order = {"order_by": ROW} if ROW in table.columns else {}
    rows = table.select(
        value=table[fault.column].cast("string"), row=ibis.row_number().over(**order),
        wrong=fault.wrong,
    )  # fmt: skip
    first = collect(rows.filter(rows["wrong"]).order_by("row").limit(1)).iloc[0]
    shown = "nothing" if pd.isna(first["value"]) else repr(str(first["value"]))
    _refuse(fault.column, where, f"hold {fault.what} but has {shown}", int(first["row"]) + 1)


def check_values(values: pd.Series, wrong: pd.Series, where: object, what: str) -> None:
    """Raise for the first of the values of a column that is `wrong`: it should be `what`."""
    if bad := first_bad(values, wrong):
        _refuse(values.name, where, f"be {what} but is {str(bad.value)!r}", bad.row)


def _refuse(column: object, where: object, should: str, row: int) -> NoReturn:
    raise InputError(
        f"Column {column!r} of {where} should {should} in row {row}; correct the file."
    )


def check_columns(found: Iterable[str], wanted: Iterable[str], where: object) -> None:
    """Raise for the first of the wanted columns that is not there."""
    there = set(found)
    for name in wanted:
        if name not in there:
            raise InputError(f"Column {name!r} is missing from {where}.")
