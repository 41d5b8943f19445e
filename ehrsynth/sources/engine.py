"""Engines for hospital tables of any size: DuckDB in this process, Spark, any backend of Ibis.

A table is a lazy expression of Ibis. The engine streams the files and keeps what it needs of them
within its own memory limit, on disk beyond it; what comes back is small.
"""

import re
import shutil
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import uuid4

import numpy as np
import pandas as pd
import pyarrow as pa

from ..errors import InputError, check_choice
from ..files import check_packed, temporary_folder
from ..phecode import Coded

if TYPE_CHECKING:
    import ibis

Table: TypeAlias = "ibis.Table"  # Ibis itself is slow to import
Value: TypeAlias = "ibis.Value"
ENGINES = ("duckdb", "spark")
MEMORY = "2GB"
ROW = "row"  # the place of a measurement in its file: of two of one day the later one counts
_BATCH = 500_000  # rows that come back from the engine at a time


# -- engines ---------------------------------------------------------------------------


def connect(
    engine: str = "duckdb", memory: str = MEMORY, threads: int | None = None
) -> "ibis.BaseBackend":
    """Start an engine.

    Parameters
    ----------
    engine : {"duckdb", "spark"}
        DuckDB runs in this process. Spark takes the session that is active, or starts a local one.
    memory : str
        What DuckDB may hold, e.g. "2GB"; the rest goes to a temporary folder of the connection's.
    threads : int, optional
        By default all of the machine's.
    """
    import ibis

    check_choice("engine", engine, ENGINES)
    if engine == "duckdb":
        spill = temporary_folder()
        options = {} if threads is None else {"threads": threads}
        con = ibis.duckdb.connect(
            ":memory:", memory_limit=memory, temp_directory=str(spill / "spill"), **options
        )
        con._finalizer = weakref.finalize(con, shutil.rmtree, spill, ignore_errors=True)
        return con
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise InputError(
            'The engine spark needs pyspark and Java; install them: pip install "ehrsynth[scale]".'
        ) from error
    local = SparkSession.builder.master(f"local[{threads or '*'}]")
    session = local.config("spark.ui.enabled", "false").getOrCreate()
    # Dates are plain calendar days, which no time zone may move, and what is not a number is NULL.
    session.conf.set("spark.sql.session.timeZone", "UTC")
    session.conf.set("spark.sql.ansi.enabled", "false")
    return ibis.pyspark.connect(session)


def lazy(tables: Mapping[str, Any]) -> dict[str, Table]:
    """The tables in an engine: DataFrames are handed to a DuckDB of their own."""
    frames = {name: table for name, table in tables.items() if isinstance(table, pd.DataFrame)}
    con = connect() if frames else None
    handed = {n: hand_over(con, n, frame, n == "measurements") for n, frame in frames.items()}
    return {**tables, **handed}


def hand_over(con, name: str, frame: pd.DataFrame, rows: bool = False) -> Table:
    """A DataFrame as a table of DuckDB, with :data:`ROW` if `rows`."""
    frame = frame.reset_index(drop=True)
    if rows:
        frame = frame.assign(**{ROW: np.arange(len(frame))})
    table = pa.Table.from_pandas(frame, preserve_index=False)
    for i, field in enumerate(table.schema):
        if pa.types.is_null(field.type):  # nothing in the column says what it is
            kind = pa.timestamp("us") if field.name.endswith(("time", "date")) else pa.string()
            table = table.set_column(i, field.name, table.column(i).cast(kind))
    con.con.register(name, table)
    return con.table(name)


def read_file(con, path: Path, rows: bool = False, tabs: bool = False) -> Table:
    """A CSV or Parquet file as a lazy table, with :data:`ROW` if `rows`.

    Of a CSV every column is text, "" is NULL. With `tabs` (DuckDB only) nothing is quoted.
    """
    check_packed(path)
    text = str(path)
    parquet = text.lower().endswith(".parquet")
    if con.name == "duckdb":
        quoted = "'" + text.replace("'", "''") + "'"
        zipped = "gzip" if text.lower().endswith(".gz") else "none"
        marks = "delim = '\t', quote = ''" if tabs else "delim = ',', quote = '\"', escape = '\"'"
        csv = "header = true, skip = 0, all_varchar = true, nullstr = '', compression = "
        source = f"read_csv({quoted}, {csv}'{zipped}', {marks})"
        source = f"read_parquet({quoted})" if parquet else source
        number = f', row_number() OVER () AS "{ROW}"' if rows else ""
        return con.sql(f"SELECT *{number} FROM {source}")
    session = con._session
    if parquet:
        frame = session.read.parquet(text)
    else:
        frame = session.read.csv(text, header=True, quote='"', escape='"', emptyValue=None)
    if rows:
        from pyspark.sql.functions import monotonically_increasing_id

        frame = frame.withColumn(ROW, monotonically_increasing_id())
    name = f"file_{uuid4().hex}"
    frame.createOrReplaceTempView(name)
    return con.table(name)


def is_url(data: object) -> bool:
    """Whether this names a database on a server, such as postgres://user@host/name."""
    return isinstance(data, str) and "://" in data


def without_password(data: object) -> str:
    """How to call a place in a log or a report: of a URL without the password and the options."""
    plain = re.sub(r"^([^:]+://[^:/@]*):.*@", r"\1@", str(data), flags=re.DOTALL)
    return plain.partition("?")[0] if is_url(data) else plain


def copy(con, table: Table) -> Table:
    """A table of another database, streamed into this DuckDB."""
    name = f"copied_{uuid4().hex}"
    con.con.register(f"of_{name}", table.to_pyarrow_batches(chunk_size=_BATCH))
    con.con.execute(f'CREATE TEMP TABLE "{name}" AS FROM "of_{name}"')
    con.con.unregister(f"of_{name}")
    return con.table(name)


def store(con, table: Table) -> Table:
    """Compute a table once and keep it in the engine, which may move it to disk."""
    query, name = con.compile(table), f"stored_{uuid4().hex}"
    if con.name == "duckdb":
        con.con.execute(f'CREATE TEMP TABLE "{name}" AS {query}')
    else:
        con._session.sql(query).persist().createOrReplaceTempView(name)
    return con.table(name)


def literal(value: object) -> Value:
    """The same value in every row."""
    import ibis

    return ibis.literal(value)


# -- codes -----------------------------------------------------------------------------


def distinct_codes(events: Table, index: Table, keys: list[str], subjects: np.ndarray) -> Coded:
    """Which patient (place in `subjects`, sorted) has which code, which the columns `keys` make.

    Of events with a ``time`` only what happened up to the index discharge (the day included)
    counts. Streamed.
    """
    known = events.inner_join(index.select("subject_id", "discharge_time"), "subject_id")
    if "time" in events.columns:
        known = known.filter(known["time"].date() <= known["discharge_time"].date())
    pairs = known.group_by(["subject_id", *keys]).aggregate(rows=known.count())
    row, number = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
    tables, so_far = [collect(pairs.limit(0))[[*keys, "rows"]]], 0
    for batch in pairs.to_pyarrow_batches(chunk_size=_BATCH):
        frame = batch.to_pandas()
        groups = frame.groupby(keys, dropna=False, sort=False)
        row.append(np.searchsorted(subjects, frame["subject_id"]).astype(np.int32))
        number.append(groups.ngroup().to_numpy(np.int32) + so_far)
        tables.append(groups["rows"].sum().reset_index())
        so_far += len(tables[-1])
    # In the order of the codes, whatever order the engine's threads gave them.
    groups = pd.concat(tables, ignore_index=True).groupby(keys, dropna=False)
    place = groups.ngroup().to_numpy(np.int32)[np.concatenate(number)]
    codes = groups["rows"].sum().reset_index()
    return Coded(np.concatenate(row), place, codes, len(subjects))


def collect(table: Table) -> pd.DataFrame:
    """The rows of a small lazy table."""
    return table.to_pyarrow().to_pandas()


def totals(table: Table, **sums: Value) -> dict[str, int]:
    """These counts and sums over a table, in one pass; 0 where there is nothing to sum."""
    found = collect(table.aggregate(**sums)).iloc[0].fillna(0)
    return {name: int(found[name]) for name in sums}
