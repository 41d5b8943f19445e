"""The tables of an OMOP database, as files or in a DuckDB file: found, typed and checked."""

import gzip
import logging
import re
import shutil
import weakref
import zipfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from ..errors import InputError
from ..files import NOT_UNZIPPED, TABLE_SUFFIXES, check_members, reason, temporary_folder
from . import cells, engine
from .engine import Table
from .quality import Finding
from .tables import columns_of

log = logging.getLogger(__name__)

# "?" marks the columns that may be absent too.
TABLES = columns_of("omop")
_NEEDED = ("person", "condition_occurrence")
_OFTEN = ("visit_occurrence", "concept", "measurement", "death")
_MAGIC = slice(8, 12)  # where a DuckDB file says that it is one


def read(con, data: str | Path, more: Iterable[str]) -> tuple[dict[str, Table], list[Finding]]:
    """The tables that are used, and those of `more`, typed, and what could not be read of them.

    ``con`` is a DuckDB. A table that is not needed may be missing or empty.
    """
    names = list(dict.fromkeys([*_NEEDED, *_OFTEN, *more]))
    find = _on_server if engine.is_url(data) else _in_files
    written, data = find(con, str(data), names), engine.without_password(data)
    raw: dict[str, Table] = {}
    found: list[Finding] = []
    for name in names:
        where, table = written.get(name, ("", None))
        # Some were loaded with their header as the only row.
        heading = table is not None and all(re.fullmatch(r"column\d+", c) for c in table.columns)
        if table is not None and len(engine.collect(table.limit(2))) > heading:
            # Of a table of everything that was ever measured little is used.
            keep = None if name in more else con
            make = partial(lambda table, _: table, table)
            raw[name], wrong = cells.read(name, TABLES[name], make, where, keep)
            found += wrong
        elif name not in _OFTEN:
            what = "has no OMOP table" if table is None else "has no rows in the OMOP table"
            raise InputError(f"{data} {what} {name}; give the whole database.")
        else:
            kinds = {column: cells.Kind.of(said).name for column, said in TABLES[name].items()}
            nothing = {c: engine.literal(None).cast(cells.TYPES[k]) for c, k in kinds.items()}
            raw[name] = raw["person"].limit(0).select(**nothing)
            found.append(Finding(name, "no rows", 0, 0, "done without"))
    raw["person"], twice = cells.once("person", "person_id", raw["person"], f"person of {data}")
    return raw, found + twice


# -- the tables as they are written, by name, each with what to call it ----------------


def _in_files(con, data: str, names: list[str]) -> dict[str, tuple[str, Table]]:
    path, written = Path(data), {}
    if not path.is_dir() and not zipfile.is_zipfile(path):
        return _in_database(con, path, names)
    folder = path if path.is_dir() else _unzipped(con, path, names)
    for file in sorted(folder.rglob("*")):
        name = _table_of(file.name)
        if name in names and name not in written and file.is_file():
            label = str(file) if folder == path else f"{file.name} in {path}"
            try:
                written[name] = label, engine.read_file(con, file, tabs=_has_tabs(file))
            except Exception as error:  # the engine has kinds of its own
                raise InputError(
                    f"{label} cannot be read ({reason(error)}); check that it is a plain CSV file "
                    "in UTF-8."
                ) from error
    return written


def _unzipped(con, path: Path, names: list[str]) -> Path:
    """A folder with these tables out of a zip file, as long as the engine lives."""
    folder = temporary_folder()
    weakref.finalize(con, shutil.rmtree, folder, ignore_errors=True)
    try:
        with zipfile.ZipFile(path) as zipped:
            # Apple's archiver adds a hidden twin of every file.
            tables = [about for about in zipped.infolist() if "__MACOSX" not in about.filename
                      and _table_of(about.filename) in names]  # fmt: skip
            check_members(path, tables)
            zipped.extractall(folder, tables)
    except NOT_UNZIPPED as error:
        raise InputError(f"{path} cannot be unpacked ({reason(error)}); pack it anew.") from error
    return folder


def _table_of(file: str) -> str:
    """The table that a file of this name holds ("CDM/PERSON.csv" is person's), or ""."""
    name = Path(file).name.lower()
    return next((name.removesuffix(end) for end in TABLE_SUFFIXES if name.endswith(end)), "")


def _has_tabs(path: Path) -> bool:
    """Whether a CSV is parted by tabs, as the vocabularies are that one downloads."""
    if path.suffix == ".parquet":
        return False
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", errors="replace") as file:
        return "\t" in file.readline()


def _in_database(con, path: Path, names: list[str]) -> dict[str, tuple[str, Table]]:
    wanted = "give a folder or zip file of OMOP tables, or a DuckDB file"
    if not path.is_file():
        raise InputError(f"{path} does not exist; {wanted}.")
    with open(path, "rb") as file:
        if file.read(_MAGIC.stop)[_MAGIC] != b"DUCK":  # DuckDB would look for who reads it
            raise InputError(f"{path} is no DuckDB file; {wanted}.")
    name = "'" + str(path).replace("'", "''") + "'"
    try:
        for setting in ("autoinstall_known_extensions", "autoload_known_extensions"):
            con.con.execute(f"SET {setting} = false")
        con.con.execute(f"ATTACH {name} AS omop (READ_ONLY)")
        # What is in the file may neither read nor load anything else.
        con.con.execute("SET enable_external_access = false")
        con.con.execute("SET lock_configuration = true")
    except Exception as error:  # the engine has kinds of its own
        raise InputError(f"{path} cannot be opened ({reason(error)}); {wanted}.") from error
    rows = con.con.execute(
        "SELECT schema_name, table_name, false FROM duckdb_tables() WHERE database_name = 'omop' "
        "UNION ALL SELECT schema_name, view_name, true FROM duckdb_views() "
        "WHERE database_name = 'omop' AND NOT internal"
    ).fetchall()
    schemas = {schema: {table.lower(): table for its, table, view in rows
                        if its == schema and not view} for schema, _, _ in rows}  # fmt: skip
    most, tables = _fullest(schemas)
    for name in {view.lower() for _, view, is_view in rows if is_view} & set(names):
        if name not in tables:
            raise InputError(
                f"{name} in {path} is a view, which could read anything; make a table of it."
            )
    return {name: (f"{name} in {path}", con.table(tables[name], database=("omop", most)))
            for name in names if name in tables}  # fmt: skip


def _on_server(con, url: str, names: list[str]) -> dict[str, tuple[str, Table]]:
    """From a database on a server; of each table, the columns that are used are copied."""
    import ibis

    shown = engine.without_password(url)
    try:
        remote = ibis.connect(url)
        schemas = {schema: {table.lower(): table for table in remote.list_tables(database=schema)}
                   for schema in remote.list_databases()}  # fmt: skip
    except Exception as error:  # every engine has kinds of its own; none may show the password
        raise InputError(
            f"{shown} cannot be opened ({type(error).__name__}); check name, password and server, "
            'and install what reads it, for PostgreSQL: pip install "ehrsynth[postgres]".'
        ) from None
    most, tables = _fullest(schemas)
    log.info("The tables are those of the schema %s of %s.", most, shown)
    written = {}
    for name in names:
        if name in tables:
            table = remote.table(tables[name], database=most)
            used = [column for column in table.columns if column.lower() in TABLES[name]]
            few = table.select(*used) if used else table.limit(2)
            written[name] = f"{name} in {shown}", engine.copy(con, few)
    return written


def _fullest(schemas: dict[str, dict[str, str]]) -> tuple[str, dict[str, str]]:
    """The schema that has most of the tables that are used, and its tables."""
    most = max(schemas, key=lambda s: (len(schemas[s].keys() & TABLES), s == "main"), default="")
    return most, schemas.get(most, {})
