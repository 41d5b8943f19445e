"""From hospital tables of any size to one row per patient: one lazy expression, written once.

The expressions are Ibis's, so the same lines run in DuckDB (in this process, the default) and on
Spark. The engine streams the files and keeps what it needs of them within its own memory limit, on
disk beyond it; what comes back is one row per patient and the distinct codes of each patient.

BigQuery, where PhysioNet hosts MIMIC-IV for credentialed users, is another backend of Ibis:
:func:`ehrsynth.datasets.mimic_iv.from_database` takes the tables there. That the expression becomes
SQL for BigQuery is tested; that it runs there is not, since it needs an account.
"""

import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
import pandas as pd
import pyarrow as pa

from .errors import InputError

if TYPE_CHECKING:
    import ibis

ENGINES = ("duckdb", "spark")
# What there can be of each patient: the measurements with their units, and the tables of
# what happened beside the diagnoses, with the role and the beginning of their columns' names.
MEASURED = {"bmi": "kg/m2", "systolic": "mmHg", "diastolic": "mmHg"}
EVENTS = {
    "concepts": ("diagnosis", "con"),
    "procedures": ("procedure", "pro"),
    "medications": ("medication", "med"),
    "labs": ("lab", "lab"),
}
INCLUDABLE = tuple(name for name in EVENTS if name != "concepts")  # which are always there
MEMORY = "2GB"
ROW = "row"  # the place of a measurement in its file: of two of one day the later one counts
_BATCH = 500_000  # rows that come back from the engine at a time
_YEAR = 365  # days
OLDEST = 91  # MIMIC-IV gives everyone older than 89 this age
_RACE_UNKNOWN = r"^(UNKNOWN|UNABLE TO OBTAIN|PATIENT DECLINED)"


def check_included(include: Iterable[str]) -> None:
    """Raise for a name that is not in :data:`INCLUDABLE`."""
    for name in include:
        if name not in INCLUDABLE:
            raise InputError(
                f"Unknown kind of columns {name!r}; use one of {', '.join(INCLUDABLE)}."
            )


# -- engines ---------------------------------------------------------------------------


def connect(engine: str = "duckdb", memory: str = MEMORY, threads: int | None = None):
    """Start an engine.

    Parameters
    ----------
    engine : {"duckdb", "spark"}
        DuckDB runs in this process. Spark takes the session that is active, or starts a local
        one (``pip install "ehrsynth[scale]"``, and Java).
    memory : str
        What DuckDB may hold in memory, e.g. "2GB"; what does not fit goes to a temporary folder
        that is removed with the connection.
    threads : int, optional
        By default all of the machine's.

    Returns
    -------
    ibis backend
    """
    import ibis

    if engine == "duckdb":
        spill = tempfile.mkdtemp(prefix="ehrsynth-")
        options = {} if threads is None else {"threads": threads}
        con = ibis.duckdb.connect(
            ":memory:", memory_limit=memory, temp_directory=str(Path(spill) / "spill"), **options
        )
        con._finalizer = weakref.finalize(con, shutil.rmtree, spill, ignore_errors=True)
        return con
    if engine != "spark":
        raise InputError(f"Unknown engine {engine!r}; use one of {', '.join(ENGINES)}.")
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


def is_lazy(table: object) -> bool:
    """Whether this is a table of an engine, not a DataFrame."""
    return not isinstance(table, pd.DataFrame)


def lazy(tables: Mapping[str, object]) -> dict[str, "ibis.Table"]:
    """The tables in an engine: DataFrames are handed to a DuckDB of their own."""
    frames = {name: table for name, table in tables.items() if not is_lazy(table)}
    if not frames:
        return dict(tables)
    con = connect()
    return {
        name: _hand_over(con, name, frames[name]) if name in frames else table
        for name, table in tables.items()
    }


def _hand_over(con, name: str, frame: pd.DataFrame) -> "ibis.Table":
    frame = frame.reset_index(drop=True)
    if name == "measurements":
        frame = frame.assign(**{ROW: np.arange(len(frame))})
    table = pa.Table.from_pandas(frame, preserve_index=False)
    for i, field in enumerate(table.schema):
        if pa.types.is_null(field.type):  # nothing in the column says what it is
            kind = pa.timestamp("us") if field.name.endswith(("time", "date")) else pa.string()
            table = table.set_column(i, field.name, table.column(i).cast(kind))
    con.con.register(name, table)
    return con.table(name)


def read_file(con, path: Path, rows: bool = False, tabs: bool = False) -> "ibis.Table":
    """A CSV or Parquet file as a lazy table; of a CSV every column is text, "" is NULL.

    Parameters
    ----------
    con : ibis backend
    path : Path
        A ``.csv``, ``.csv.gz`` or ``.parquet`` file.
    rows : bool
        Add :data:`ROW`, the number of the row in the file.
    tabs : bool
        The columns of the CSV are parted by tabs and nothing is quoted (DuckDB only).
    """
    text = str(path)
    parquet = text.lower().endswith(".parquet")
    if con.name == "duckdb":
        quoted = "'" + text.replace("'", "''") + "'"
        zipped = "gzip" if text.lower().endswith(".gz") else "none"
        source = (
            f"read_parquet({quoted})"
            if parquet
            else f"read_csv({quoted}, header = true, all_varchar = true, nullstr = '', "
            f"compression = '{zipped}', "
            + ("delim = '\t', quote = '')" if tabs else "delim = ',', quote = '\"', escape = '\"')")
        )
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


def store(con, table: "ibis.Table") -> "ibis.Table":
    """Compute a table once and keep it in the engine, which may move it to disk."""
    query, name = con.compile(table), f"stored_{uuid4().hex}"
    if con.name == "duckdb":
        con.con.execute(f'CREATE TEMP TABLE "{name}" AS {query}')
    else:
        con._session.sql(query).persist().createOrReplaceTempView(name)
    return con.table(name)


def literal(value: object) -> "ibis.Value":
    """The same value in every row."""
    import ibis

    return ibis.literal(value)


# -- the expression --------------------------------------------------------------------


def patients(tables: Mapping[str, "ibis.Table"], outcome: str) -> tuple["ibis.Table", "ibis.Table"]:
    """One row per patient, and the index admissions it starts from.

    Parameters
    ----------
    tables : mapping of str to Table
        ``patients``, ``admissions`` and ``measurements``.
    outcome : {"DIE_1y", "DIE_any", "VISIT_1y"}

    Returns
    -------
    table : Table
        By subject_id: ``subject_id``, the outcome (0/1), ``sex``, ``race``, ``age`` (years) and
        the measurements (NULL when not measured).
    index : Table
        The index admission of everyone in the cohort.
    """
    index = index_admissions(tables["patients"], tables["admissions"], outcome)
    measured = latest_measurements(tables["measurements"], index)
    table = index.select(
        "subject_id",
        _outcome(index, outcome).cast("int8").name(outcome),
        "sex",
        race_group(index["race"]).name("race"),
        _age(index).name("age"),
    )
    table = table.left_join(measured, "subject_id").select(*table.columns, *MEASURED)
    return table.order_by("subject_id"), index


def index_admissions(
    patients: "ibis.Table", admissions: "ibis.Table", outcome: str = "DIE_1y"
) -> "ibis.Table":
    """The index admission of everyone who did not die in hospital, with what is known of them.

    It is the last one. For the outcome "VISIT_1y" it is the last one that ended a year or more
    before the last admission of the whole database: whoever is seen again in this year is known.

    Returns
    -------
    Table
        The columns of both tables, and ``next_time``, when the next admission begins (NULL if it
        is the last).
    """
    import ibis

    dead = admissions.filter(admissions["died_in_hospital"]).select("subject_id").distinct()
    alive = admissions.anti_join(dead, "subject_id")
    order = [alive[name] for name in ("admit_time", "discharge_time", "hadm_id")]
    following = alive["admit_time"].lead().over(group_by="subject_id", order_by=order)
    alive = alive.mutate(next_time=following)
    if outcome == "VISIT_1y":
        end = admissions["admit_time"].max().as_scalar().date()
        alive = alive.filter(_a_year_after(alive["discharge_time"]) <= end)
    newest = ibis.row_number().over(
        group_by="subject_id",
        order_by=[ibis.desc(alive[n]) for n in ("admit_time", "discharge_time", "hadm_id")],
    )
    last = alive.mutate(place=newest).filter(lambda t: t["place"] == 0).drop("place")
    return last.inner_join(patients, "subject_id").select(
        *last.columns, *(name for name in patients.columns if name != "subject_id")
    )


def _a_year_after(time: "ibis.Value") -> "ibis.Value":
    import ibis

    return (time.date() + ibis.interval(days=_YEAR)).cast("date")


def latest_measurements(measurements: "ibis.Table", index: "ibis.Table") -> "ibis.Table":
    """The latest value of each measurement up to each index discharge (the day included).

    Of two values of one day the later row of the file is kept, and both numbers of a pressure
    come from the same reading.
    """
    import ibis

    until = index.select("subject_id", "discharge_time")
    known = measurements.filter(measurements["name"].isin(list(MEASURED)))
    known = known.inner_join(until, "subject_id")
    known = known.filter(known["time"].date() <= known["discharge_time"].date())
    newest = ibis.row_number().over(
        group_by=["subject_id", "name"], order_by=[ibis.desc(known["time"]), ibis.desc(known[ROW])]
    )
    latest = known.mutate(place=newest).filter(lambda t: t["place"] == 0)
    wide = latest.group_by("subject_id").aggregate(
        **{n: latest["value"].max(where=latest["name"] == n) for n in MEASURED}
    )
    # The heart never rests at a higher pressure than it beats: somebody swapped or mistyped the
    # two numbers, and nobody can tell which of them is right.
    upside_down = (wide["diastolic"] >= wide["systolic"]).fill_null(False)
    right = {n: upside_down.ifelse(None, wide[n]) for n in ("systolic", "diastolic")}
    return wide.mutate(**right)


def race_group(race: "ibis.Value") -> "ibis.Value":
    """MIMIC-IV's strings ("WHITE - RUSSIAN", "UNABLE TO OBTAIN", ...) to six races."""
    import ibis

    text = race.cast("string").fill_null("UNKNOWN").strip().upper()
    group = text.re_search(_RACE_UNKNOWN).ifelse("UNKNOWN", "OTHER")
    for name in ("WHITE", "BLACK", "ASIAN", "HISPANIC"):
        group = text.startswith(name).ifelse(ibis.literal(name), group)
    return group


def _age(index: "ibis.Table") -> "ibis.Value":
    import ibis

    age = index["anchor_age"] + index["admit_time"].year() - index["anchor_year"]
    return ibis.least(age.cast("int64"), OLDEST).cast("float64")


def _outcome(index: "ibis.Table", outcome: str) -> "ibis.Value":
    if outcome == "DIE_any":
        return index["death_date"].notnull()
    # Deaths are dated by the day, so the discharge is too.
    what = index["next_time" if outcome == "VISIT_1y" else "death_date"]
    return (what.date() <= _a_year_after(index["discharge_time"])).fill_null(False)


# -- codes -----------------------------------------------------------------------------


def distinct_codes(
    events: "ibis.Table", index: "ibis.Table", keys: list[str], subjects: np.ndarray
) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Which patient has which code, streamed from the engine.

    Parameters
    ----------
    events : Table
        ``subject_id`` and `keys`; with ``time``, only what happened up to the index discharge
        (the day included) counts.
    index : Table
        The index admissions.
    keys : list of str
        The columns that make a code.
    subjects : ndarray of int
        The cohort, sorted.

    Returns
    -------
    row : ndarray of int32, shape (pairs,)
        Places in `subjects`.
    number : ndarray of int32, shape (pairs,)
        Rows of `codes`.
    codes : DataFrame
        The distinct codes: `keys` and ``rows``, how many rows of `events` have it.
    """
    known = events.inner_join(index.select("subject_id", "discharge_time"), "subject_id")
    if "time" in events.columns:
        known = known.filter(known["time"].date() <= known["discharge_time"].date())
    pairs = known.group_by(["subject_id", *keys]).aggregate(rows=known.count())
    numbers: dict[tuple, int] = {}
    counts = np.zeros(0, dtype=np.int64)
    row, number = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
    for batch in _batches(pairs):
        local, distinct = _number(batch, keys)
        of_all = np.array(
            [numbers.setdefault(key, len(numbers)) for key in distinct], dtype=np.int32
        )
        counts = np.pad(counts, (0, len(numbers) - len(counts)))
        np.add.at(counts, of_all[local], batch["rows"].to_numpy())
        row.append(np.searchsorted(subjects, batch["subject_id"].to_numpy()).astype(np.int32))
        number.append(of_all[local])
    # In the order of the codes, whatever order the engine's threads gave them.
    codes = pd.DataFrame(list(numbers), columns=keys).assign(rows=counts)
    order = codes.sort_values(keys, kind="stable").index.to_numpy()
    place = np.empty(len(order), dtype=np.int32)
    place[order] = np.arange(len(order))
    codes = codes.iloc[order].reset_index(drop=True)
    return np.concatenate(row), place[np.concatenate(number)], codes


def _batches(table: "ibis.Table") -> Iterator[pa.RecordBatch]:
    for batch in table.to_pyarrow_batches(chunk_size=_BATCH):
        if batch.num_rows:
            yield batch


def _number(batch: pa.RecordBatch, keys: list[str]) -> tuple[np.ndarray, list[tuple]]:
    """Number the distinct codes of a batch: a number for each row, and the codes."""
    # Texts as dictionaries: a million rows hold a few thousand different strings.
    encoded = [pa.chunked_array([batch[key]]).combine_chunks().dictionary_encode() for key in keys]
    encoded = [e.combine_chunks() if isinstance(e, pa.ChunkedArray) else e for e in encoded]
    joint = np.zeros(batch.num_rows, dtype=np.int64)
    for values in encoded:
        joint = joint * (len(values.dictionary) + 1) + values.indices.fill_null(
            len(values.dictionary)
        ).to_numpy(zero_copy_only=False)
    _, first, local = np.unique(joint, return_index=True, return_inverse=True)
    distinct = pa.table({key: batch[key] for key in keys}).take(pa.array(first)).to_pydict()
    return local.ravel(), list(zip(*distinct.values(), strict=True))


def collect(table: "ibis.Table") -> pd.DataFrame:
    """The rows of a small lazy table, as a DataFrame."""
    return table.to_pyarrow().to_pandas()
