"""Any flat patient table: one row per patient, as CSV or Parquet.

What each column is, is worked out from its values (:mod:`.column_reader`) and listed for the user;
a columns file (:mod:`.columns_file`) overrules it.
"""

from pathlib import Path

import pandas as pd

from ...errors import InputError, near
from ...schema import Schema
from . import columns_file
from .column_reader import tidy, understand
from .columns_file import NOTHING
from .file import read_file
from .reading import Reading


def load(
    data: str | Path, outcome: str | None = None, columns: str | Path | None = None
) -> dict[str, pd.DataFrame]:
    """Read a flat table and work out what its columns are.

    Parameters
    ----------
    data : str or Path
        A ``.csv``, ``.csv.gz`` or ``.parquet`` file.
    outcome : str
        The column to predict, with two values. What counts as 1: what the columns file says, else
        a word such as yes or died, else the later value in order.
    columns : str or Path, optional
        A columns file.

    Returns
    -------
    dict of str to DataFrame
        ``table``, with its schema attached, and ``columns``: for each column of the file what it
        was taken for (column, kind, role, values, missing (%), notes).
    """
    if outcome is None:
        raise InputError("A flat table needs an outcome; name the column with --outcome COLUMN.")
    path = Path(data)
    table = read_file(path)
    if outcome not in table.columns:
        raise InputError(
            f"Outcome column {outcome!r} is not in the table; {near(outcome, table.columns)}."
        )
    wishes = {} if columns is None else columns_file.read(columns, table.columns, str(path))
    readings = [Reading(str(n), values, wishes.get(n, NOTHING)) for n, values in table.items()]
    if wishes.get(outcome, NOTHING).drop:
        raise InputError(f"{columns} drops the outcome {outcome!r}; name another outcome.")
    # The patients who have a value in every column that the columns file wants one of.
    rows = pd.Series(True, index=table.index)
    for reading in readings:
        if not reading.wish.drop:
            tidy(reading)
            if reading.wish.missing_rows:
                rows &= reading.values.notna()
    if not rows.any():
        raise InputError(f"{columns} leaves no row of {path}; take out a missing_rows.")
    for reading in readings:
        _read(reading, rows, outcome)
    used = {reading.column: reading.values for reading in readings if reading.column is not None}
    if len(used) < 2:
        raise InputError(f"{path} has no column that can be used besides the outcome {outcome!r}.")
    result = pd.DataFrame({column.name: values for column, values in used.items()})
    return {
        "table": Schema(tuple(used)).cast(result.reset_index(drop=True), where=str(path)),
        "columns": pd.DataFrame([reading.listed() for reading in readings]),
    }


def _read(reading: Reading, rows: pd.Series, outcome: str) -> None:
    if reading.wish.drop:
        reading.dropped = "the columns file says so"
        return
    without = reading.values.isna().sum()
    reading.values = reading.values[rows]
    understand(reading, reading.name == outcome)
    if reading.wish.missing_rows:
        reading.notes.append(f"{without:,} patients without it left out")


def to_patients(
    tables: dict[str, pd.DataFrame], outcome: str | None = None, code_level: str = "phecode"
) -> pd.DataFrame:
    """The table itself, which has one row per patient, and no codes to bring to a level."""
    known = Schema.of(tables["table"]).outcome
    if outcome not in (None, known):
        raise InputError(f"The table was read with outcome {known!r}, not {outcome!r}.")
    return tables["table"]


def show(columns: pd.DataFrame, most: int = 60) -> list[str]:
    """The list of columns as lines of text, those with a note first when there are many."""
    if len(columns) > most:
        columns = columns.sort_values("notes", key=lambda notes: notes == "", kind="stable")
    cells = columns.head(most).fillna("").map(lambda value: str(value)[:48])
    lines = cells.T.reset_index().T  # the names as first line
    lines = lines.apply(lambda column: column.str.ljust(column.str.len().max()))
    shown = ["  ".join(line).rstrip() for line in lines.to_numpy()]
    return [*shown, f"and {len(columns) - most:,} more"] if len(columns) > most else shown
