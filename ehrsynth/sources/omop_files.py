"""The tables of an OMOP database, as files or in a DuckDB file: found, typed and checked."""

import gzip
import shutil
import tempfile
import weakref
import zipfile
from collections.abc import Iterable
from pathlib import Path

from ..errors import InputError
from ..files import TABLE_SUFFIXES, reason
from . import engine, quality
from .engine import Table, Value
from .quality import TYPES, WORDS, Fault
from .tables import columns_of

# "?" marks the columns that may be absent too.
TABLES = columns_of("omop")
_NEEDED = ("person", "visit_occurrence", "condition_occurrence", "concept")
_OFTEN = ("measurement", "death")
_MAGIC = slice(8, 12)  # where a DuckDB file says that it is one


def read(con, data: Path, more: Iterable[str]) -> dict[str, Table]:
    """The tables that are used, typed and checked, and those of `more` (``con`` is a DuckDB)."""
    find = _finder(con, data)
    raw: dict[str, Table] = {}
    for name in dict.fromkeys([*_NEEDED, *_OFTEN, *more]):
        found = find(name)
        if found is not None:
            raw[name] = _typed(name, *found)
        elif name not in _OFTEN:
            raise InputError(f"{data} has no OMOP table {name}; give the whole database.")
        else:
            nothing = {column: _blank(kind) for column, kind in TABLES[name].items()}
            raw[name] = raw["person"].limit(0).select(**nothing)
    _check_people(raw["person"], data)
    return raw


# -- finding the tables ----------------------------------------------------------------


def _finder(con, path: Path):
    """A function from a table's name to (what to call it, its lazy table), or None."""
    if path.is_dir():
        return lambda name: _file(con, path, path, name)
    if not zipfile.is_zipfile(path):
        return _database(con, path)
    folder = Path(tempfile.mkdtemp(prefix="ehrsynth-"))
    weakref.finalize(con, shutil.rmtree, folder, ignore_errors=True)

    def find(name: str):
        with zipfile.ZipFile(path) as zipped:
            for member in zipped.namelist():
                # Apple's archiver adds a hidden twin of every file.
                if _table_of(member) == name and "__MACOSX" not in member:
                    zipped.extract(member, folder)
        return _file(con, folder, path, name)

    return find


def _table_of(file: str) -> str:
    """The table that a file of this name holds ("CDM/PERSON.csv" is person's), or ""."""
    name = Path(file).name.lower()
    return next((name.removesuffix(end) for end in TABLE_SUFFIXES if name.endswith(end)), "")


def _file(con, folder: Path, where: Path, name: str) -> tuple[str, Table] | None:
    paths = [p for p in sorted(folder.rglob("*")) if _table_of(p.name) == name and p.is_file()]
    if not paths:
        return None
    label = str(paths[0]) if where == folder else f"{paths[0].name} in {where}"
    try:
        return label, engine.read_file(con, paths[0], tabs=_has_tabs(paths[0]))
    except Exception as error:  # the engine has kinds of its own
        raise InputError(
            f"{label} cannot be read ({reason(error)}); check that it is a plain CSV file in UTF-8."
        ) from error


def _has_tabs(path: Path) -> bool:
    """Whether a CSV is parted by tabs, as the vocabularies are that one downloads."""
    if path.suffix == ".parquet":
        return False
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", errors="replace") as file:
        return "\t" in file.readline()


def _database(con, path: Path):
    wanted = "give a folder or zip file of OMOP tables, or a DuckDB file"
    if not path.is_file():
        raise InputError(f"{path} does not exist; {wanted}.")
    with open(path, "rb") as file:
        if file.read(_MAGIC.stop)[_MAGIC] != b"DUCK":  # DuckDB would look for who reads it
            raise InputError(f"{path} is no DuckDB file; {wanted}.")
    name = "'" + str(path).replace("'", "''") + "'"
    try:
        con.con.execute(f"ATTACH {name} AS omop (READ_ONLY)")
    except Exception as error:  # the engine has kinds of its own
        raise InputError(f"{path} cannot be opened ({reason(error)}); {wanted}.") from error
    schemas: dict[str, dict[str, str]] = {}
    for schema, table in con.con.execute(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'omop' "
        "UNION SELECT schema_name, view_name FROM duckdb_views() WHERE database_name = 'omop'"
    ).fetchall():
        schemas.setdefault(schema, {})[table.lower()] = table
    # The schema that has most of what is used.
    most = max(schemas, key=lambda s: (len(set(schemas[s]) & set(TABLES)), s == "main"), default="")

    def find(name: str):
        table = schemas.get(most, {}).get(name)
        if table is None:
            return None
        return f"{name} in {path}", con.table(table, database=("omop", most))

    return find


# -- reading ---------------------------------------------------------------------------


def _typed(name: str, where: str, table: Table) -> Table:
    """The columns of :data:`TABLES` with their types; a value that does not fit is an error."""
    table = table.select(**{column.lower(): table[column] for column in table.columns})
    needed = [column for column, kind in TABLES[name].items() if not kind.endswith("?")]
    quality.check_columns(table.columns, needed, where)
    columns, faults = {}, []
    for column, kind in TABLES[name].items():
        if column not in table.columns:
            columns[column] = _blank(kind)
            continue
        kind = kind.rstrip("?")
        columns[column] = _value(table[column], kind)
        wrong = columns[column].isnull()
        if column not in needed:
            wrong &= table[column].cast("string").strip() != ""
        if column in needed or kind != "text":
            faults.append(Fault(column, WORDS[kind], wrong))
    quality.check(table, faults, where)
    return table.select(**columns)


def _blank(kind: str) -> Value:
    return engine.literal(None).cast(TYPES[kind.rstrip("?")])


def _check_people(person: Table, data: Path) -> None:
    """Raise for nobody, and for somebody who is there twice."""
    counts = engine.collect(person.group_by("person_id").aggregate(n=person.count()))
    if counts.empty:
        raise InputError(f"The table person of {data} has no rows.")
    twice = counts.loc[counts["n"] > 1, "person_id"]
    if len(twice):
        raise InputError(
            f"Column 'person_id' of the table person of {data} has {twice.min()} more than once; "
            "keep one row for each person."
        )


def _value(text: Value, kind: str) -> Value:
    """A column as this kind of value, NULL where it is none."""
    written = text.type()
    if not (written.is_string() or written.is_numeric() or written.is_temporal()):
        text = text.cast("string")  # an empty column can be of any type
    if kind == "date" and text.type().is_numeric():  # seconds since 1970, as SQLite keeps them
        return text.cast("int64").cast("timestamp")
    if kind == "whole" and not text.type().is_integer():  # R and pandas write 8507.0
        number = text.try_cast("float64")
        return (number == number.floor()).ifelse(number, None).cast("int64")
    if kind == "text":
        return text.cast("string").strip().nullif("")
    if text.type().is_string():
        text = text.nullif("")
    return text.try_cast(TYPES[kind])
