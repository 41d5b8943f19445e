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
from ..files import NOT_UNZIPPED, TABLE_SUFFIXES, check_room, reason, temporary_folder
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
    find = _server(con, str(data)) if engine.is_url(data) else _finder(con, Path(data))
    data = engine.without_password(data)
    raw: dict[str, Table] = {}
    found: list[Finding] = []
    for name in dict.fromkeys([*_NEEDED, *_OFTEN, *more]):
        where, table = find(name) or ("", None)
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


# -- finding the tables ----------------------------------------------------------------


def _finder(con, path: Path):
    """A function from a table's name to (what to call it, its lazy table), or None."""
    if path.is_dir():
        return lambda name: _file(con, path, path, name)
    if not zipfile.is_zipfile(path):
        return _database(con, path)
    folder = temporary_folder()
    weakref.finalize(con, shutil.rmtree, folder, ignore_errors=True)

    def find(name: str):
        try:
            with zipfile.ZipFile(path) as zipped:
                for member in zipped.namelist():
                    # Apple's archiver adds a hidden twin of every file.
                    if _table_of(member) == name and "__MACOSX" not in member:
                        about = zipped.getinfo(member)
                        check_room(f"{member} in {path}", about.compress_size, about.file_size)
                        zipped.extract(member, folder)
        except NOT_UNZIPPED as error:
            raise InputError(
                f"{path} cannot be unpacked ({reason(error)}); pack it anew."
            ) from error
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
        for setting in ("autoinstall_known_extensions", "autoload_known_extensions"):
            con.con.execute(f"SET {setting} = false")
        con.con.execute(f"ATTACH {name} AS omop (READ_ONLY)")
        # What is in the file may neither read nor load anything else.
        con.con.execute("SET enable_external_access = false")
        con.con.execute("SET lock_configuration = true")
    except Exception as error:  # the engine has kinds of its own
        raise InputError(f"{path} cannot be opened ({reason(error)}); {wanted}.") from error
    schemas: dict[str, dict[str, str]] = {}
    for schema, table in con.con.execute(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'omop'"
    ).fetchall():
        schemas.setdefault(schema, {})[table.lower()] = table
    views = con.con.execute(
        "SELECT view_name FROM duckdb_views() WHERE database_name = 'omop' AND NOT internal"
    ).fetchall()
    refused = {str(view).lower() for (view,) in views}
    if not schemas and refused:
        raise InputError(f"{path} holds views only, which could read any file; make them tables.")
    most = _fullest(schemas)

    def find(name: str):
        if name in refused and name not in schemas[most]:
            raise InputError(
                f"{name} in {path} is a view, which could read anything; make a table of it."
            )
        table = schemas.get(most, {}).get(name)
        if table is None:
            return None
        return f"{name} in {path}", con.table(table, database=("omop", most))

    return find


def _server(con, url: str):
    """The tables of a database on a server; of each, the columns that are used are copied."""
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
    most = _fullest(schemas)
    log.info("The tables are those of the schema %s of %s.", most, shown)

    def find(name: str):
        if name not in schemas.get(most, {}):
            return None
        table = remote.table(schemas[most][name], database=most)
        used = [column for column in table.columns if column.lower() in TABLES[name]]
        few = table.select(*used) if used else table.limit(2)
        return f"{name} in {shown}", engine.copy(con, few)

    return find


def _fullest(schemas: dict[str, dict[str, str]]) -> str:
    """The schema that has most of the tables that are used."""
    return max(schemas, key=lambda s: (len(set(schemas[s]) & set(TABLES)), s == "main"), default="")
