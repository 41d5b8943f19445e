"""Any flat patient table: one row per patient, as CSV or Parquet.

What each column is, is worked out from its values (:mod:`.column_reader`) and listed for the user;
a columns file (:mod:`.columns_file`) overrules it.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import shorten
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from ...errors import InputError, near, some
from ...schema import PATIENT_KEY, Schema
from ..quality import Finding, note
from . import columns_file, form
from .applying import fit_into, widest
from .column_reader import TOO_FEW, read_outcome, understand
from .columns_file import NOTHING, Wish
from .file import Raw, read_file
from .persons import PERSONAL, settle_identity
from .reading import Reading, tidy

log = logging.getLogger(__name__)

_WIDTH = 72  # of a cell in the list of columns
Data: TypeAlias = str | Path | pd.DataFrame | Raw


@dataclass(frozen=True)
class Sheet:
    """A table that is read but not understood: nothing is learned from its values yet.

    ``readings`` has its columns with plain values, ``key`` the patient of each row where a column
    says so, ``rows`` which rows are used.
    """

    raw: Raw
    readings: tuple[Reading, ...]
    outcome: str | None
    rows: np.ndarray
    key: pd.Series | None = None

    @property
    def frame(self) -> pd.DataFrame:
        """The plain values of all columns, of the rows that are used."""
        values = {reading.name: reading.values for reading in self.readings}
        return pd.DataFrame(values, index=self.raw.frame.index)[self.rows]


@dataclass(frozen=True)
class Known:
    """What the columns are, learned from some rows: a schema, and how each column is read."""

    schema: Schema
    readings: Mapping[str, Reading]

    @property
    def columns(self) -> pd.DataFrame:
        """What each column of the file was taken for, for a person."""
        return pd.DataFrame([reading.listed() for reading in self.readings.values()])


def open_sheet(
    data: Data, outcome: str | None = None, columns: str | Path | None = None,
    patient_id: str | None = None, positive: str | None = None, where: str = "the table",
) -> Sheet:  # fmt: skip
    """Read a table without learning anything from it; :func:`load` tells of the parameters."""
    raw = data if isinstance(data, Raw) else read_file(data, where, columns_file.encoding(columns))
    table, where = raw.frame, raw.where
    for what, name in (("Outcome column", outcome), ("Patient key", patient_id)):
        if name is not None and name not in table.columns:
            raise InputError(f"{what} {name!r} is not in the table; {near(name, table.columns)}.")
    wishes = {} if columns is None else columns_file.read(columns, table.columns, where)
    outcome = _with_time(wishes, outcome, str(columns))
    if outcome is not None and wishes.get(outcome, NOTHING).drop:
        raise InputError(f"{columns} drops the outcome {outcome!r}; name another outcome.")
    if outcome is not None and positive is not None:
        wishes[outcome] = replace(wishes.get(outcome, NOTHING), positive=positive)
    how = raw.is_text, raw.dialect.decimal
    readings = [Reading(n, v, wishes.get(n, NOTHING), *how) for n, v in table.items()]
    _each(readings, tidy, where)
    rows = pd.Series(True, index=table.index)  # with a value in each column that must have one
    for reading in readings:
        if reading.wish.missing_rows and not reading.wish.drop:
            without = int(reading.values.isna().sum())
            reading.notes.append(f"{without:,} patients without it left out")
            rows &= reading.values.notna()
    if not rows.any():
        raise InputError(f"{columns} leaves no row of {where}; take out a missing_rows.")
    others = [reading for reading in readings if reading.name != outcome]
    key = settle_identity(others, patient_id, where)
    return Sheet(raw, tuple(readings), outcome, rows.to_numpy(), key)


def _with_time(wishes: dict[str, Wish], outcome: str | None, where: str) -> str | None:
    """The outcome, which is the event where a column has that role; a time is no less than 0."""
    of_role = {role: [n for n, w in wishes.items() if w.role == role] for role in ("event", "time")}
    for role, names in of_role.items():
        if len(names) > 1:
            raise InputError(f"{where} gives {some(names)} the role {role}; give it to one.")
    for name in of_role["time"]:
        wish = wishes[name]
        wishes[name] = replace(wish, kind="continuous", bounds=wish.bounds or (0, None))
    event = next(iter(of_role["event"]), outcome)
    if outcome not in (None, event):
        raise InputError(
            f"{where} says that {event!r} is the event, which is the outcome; leave out "
            f"--outcome {outcome}, or the role."
        )
    if of_role["time"] and event is None:
        raise InputError(f"{where} has a time but no event; give one column the role event.")
    return event


def learn(sheet: Sheet, rows: np.ndarray | None = None) -> Known:
    """What the columns of a sheet are, learned from these rows (places in it) alone."""
    used = np.flatnonzero(sheet.rows) if rows is None else np.asarray(rows)
    readings = [
        replace(one, values=one.values.iloc[used], notes=[*one.notes], warnings=[*one.warnings])
        for one in sheet.readings
    ]

    def read(reading: Reading) -> None:
        if reading.wish.drop and not reading.dropped:
            reading.dropped = "the columns file says so"
        if not reading.dropped:
            understand(reading, reading.name == sheet.outcome)

    _each(readings, read, sheet.raw.where)
    known = tuple(reading.column for reading in readings if reading.column is not None)
    if len(known) < 2:
        but = f" besides the outcome {sheet.outcome!r}" if sheet.outcome else ""
        raise InputError(f"{sheet.raw.where} has no column that can be used{but}.")
    return Known(Schema(known), {reading.name: reading for reading in readings})


def _each(readings: list[Reading], step: Any, where: str) -> None:
    """Take a step with every column; all that is wrong goes into one message."""
    wrong = []
    for reading in readings:
        try:
            step(reading)
        except InputError as error:
            wrong.append(str(error))
    if wrong:
        listed = " ".join(f"({i}) {one}" for i, one in enumerate(wrong, start=1))
        several = f" has {len(wrong)} columns that cannot be used as they are: {listed}"
        raise InputError(where + (several if len(wrong) > 1 else f": {wrong[0]}"))


def load(
    data: Data, outcome: str | None = None, columns: str | Path | None = None,
    patient_id: str | None = None, positive: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Read a flat table and work out what its columns are.

    ``table``, with its schema attached; ``columns``: for each column of the file what it was
    taken for (column, kind, role, values, missing (%), notes); ``file``: how it is written; and
    ``form``: the same, as :func:`ehrsynth.sources.flat.form.write` needs it.

    Parameters
    ----------
    data : str, Path or DataFrame
        A ``.csv``, ``.csv.gz`` or ``.parquet`` file, or a table in memory.
    outcome : str
        The column to predict, with two values.
    columns : str or Path, optional
        A columns file.
    patient_id : str, optional
        The column that says which patient a row belongs to, where a patient has several rows. It
        is never learned; it becomes the index, and :func:`ehrsynth.split` keeps its rows together.
    positive : str, optional
        Which of the outcome's two values counts as 1, where no word or order says so.
    """
    outcome = outcome if columns else _needed(outcome)  # a columns file may name the event
    sheet = open_sheet(data, outcome, columns, patient_id, positive)
    _needed(sheet.outcome)
    return tables_of(sheet, np.flatnonzero(sheet.rows))


def _needed(outcome: str | None) -> str:
    if outcome is None:
        raise InputError("A flat table needs an outcome; name the column with --outcome COLUMN.")
    return outcome


def outcome_of(sheet: Sheet) -> np.ndarray:
    """The outcome of the used rows as 0 and 1; nothing else is looked at."""
    reading = next(one for one in sheet.readings if one.name == _needed(sheet.outcome))
    reading = replace(reading, values=reading.values[sheet.rows], notes=[], warnings=[])
    read_outcome(reading)
    table = pd.DataFrame({reading.name: reading.values})
    assert reading.column is not None
    return Schema((reading.column,)).outcome_values(table)


def tables_of(
    sheet: Sheet, train: np.ndarray, holdout: np.ndarray | None = None
) -> dict[str, pd.DataFrame]:
    """What :func:`load` gives, learned from the rows `train` alone.

    With `holdout`, the tables of both, ``train`` and ``holdout``, are there too, and what of the
    holdout does not fit is counted in ``quality``.
    """
    known = learn(sheet, train)
    for reading in known.readings.values():
        for warning in reading.warnings if reading.column else ():
            log.warning("Column %r: %s.", reading.name, warning)
        few = TOO_FEW in reading.dropped
        if few or reading.dropped.startswith(PERSONAL):  # the list of columns cuts what to do
            it = "it has" if few else "it"
            log.warning("Column %r is left out: %s %s.", reading.name, it, reading.dropped)
    facts = [*sheet.raw.dialect.facts().items(), *(("left out", text) for text in sheet.raw.notes)]
    result = {"columns": known.columns, "file": pd.DataFrame(facts, columns=["fact", "value"])}
    plain = sheet.frame
    table, _ = fit_into(known.schema, plain.loc[train], known.readings)
    result["table"] = known.schema.cast(table, where=sheet.raw.where)
    raw = replace(sheet.raw, frame=sheet.raw.frame.loc[train])
    result["form"] = form.learn(raw, result["table"], known.readings)
    if holdout is not None:
        other, odd = fit_into(known.schema, plain.loc[holdout], known.readings)
        found = [Finding("holdout", f"{m.column}: {m.what}", m.rows, m.of, m.done) for m in odd]
        result |= {"quality": note(found), "train": result["table"], "holdout": other}
        wide = widest([known.schema, Schema.of(other)])
        both = [fit_into(wide, one)[0] for one in (table, other)]
        result["table"] = wide.attach(pd.concat(both).sort_index())
        for name in ("train", "holdout"):
            result[name] = result[name].reset_index(drop=True)
    rows = result["table"].index
    key = None if sheet.key is None else pd.Index(sheet.key.loc[rows], name=PATIENT_KEY)
    result["table"] = result["table"].set_axis(range(len(rows)) if key is None else key, axis=0)
    return result


def to_patients(
    tables: dict[str, pd.DataFrame], outcome: str | None = None, code_level: str = "phecode"
) -> pd.DataFrame:
    """The table itself, which has one row per patient, and no codes to bring to a level."""
    known = Schema.of(tables["table"]).outcome
    if outcome not in (None, known):
        raise InputError(f"The table was read with outcome {known!r}, not {outcome!r}.")
    return tables["table"]


def records(columns: pd.DataFrame) -> list[dict]:
    """The list of columns in the form that JSON knows."""
    return columns.astype(object).where(columns.notna(), None).to_dict("records")


def list_columns(columns: pd.DataFrame) -> list[dict]:
    """Log what each column was taken for; give it in the form that JSON knows."""
    for line in show(columns):
        log.info("  %s", line)
    log.info("  Where this is wrong, say so in a columns file (--columns).")
    return records(columns)


def show(columns: pd.DataFrame, most: int = 60) -> list[str]:
    """The list of columns as lines of text, those with a note first when there are many."""
    if len(columns) > most:
        columns = columns.sort_values("notes", key=lambda notes: notes == "", kind="stable")
    texts = columns.head(most).astype(object).fillna("")
    cells = texts.map(lambda value: shorten(str(value), _WIDTH, placeholder=" ..."))
    lines = cells.T.reset_index().T  # the names as first line
    lines = lines.apply(lambda column: column.str.ljust(column.str.len().max()))
    shown = ["  ".join(line).rstrip() for line in lines.to_numpy()]
    return [*shown, f"and {len(columns) - most:,} more"] if len(columns) > most else shown
