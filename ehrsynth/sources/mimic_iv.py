"""MIMIC-IV as published: csv.gz files in a ``hosp`` folder (or the same tables as Parquet).

One reader serves the credentialed database, the open demo of 100 patients, and any hospital in that
layout (Johnson et al. 2023, doi 10.1038/s41597-022-01899-x). :func:`scan` reads lazily only what is
used, so that a hospital of any size fits; :func:`load` collects what it gives.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import partial, reduce
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv

from ..errors import InputError
from ..files import read_table, reason
from ..progress import each
from ..schema import BMI as MEASURED_BMI
from ..schema import DIASTOLIC, SYSTOLIC
from . import cells, engine, quality
from .engine import Table
from .quality import Finding
from .tables import UNITS, check_included, columns_of

# The columns that are used, by file of the hosp folder, with the kind of value they hold.
COLUMNS = columns_of("mimic_iv")
ALWAYS = ("patients", "admissions", "diagnoses_icd", "omr")
# The files that are read only when they are asked for.
INCLUDED = {
    "procedures": ("procedures_icd", "d_icd_procedures"),
    "medications": ("prescriptions",),
    "labs": ("labevents", "d_labitems"),
}
BMI = "BMI (kg/m2)"
PRESSURE = "Blood Pressure"  # also "Blood Pressure Sitting", "Blood Pressure Lying", ...
_DEEPEST = 5  # physionet.org/files/mimiciv/3.1/hosp, as wget leaves it
_KEYS = {"patients": "subject_id", "admissions": "hadm_id"}
_PRESSURE_TEXT = r"^\s*(\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)\s*$"


def load(data: str | Path, include: tuple[str, ...] = ()) -> dict[str, pd.DataFrame]:
    """The tables of :func:`scan` in memory, in the order of the files, with whole seconds.

    Parameters
    ----------
    data, include : as for :func:`scan`
    """
    return _collected(scan(data, include=include))


def scan(data: str | Path, con=None, include: tuple[str, ...] = (), progress: bool = False) -> dict:
    """Read the hospital tables in an engine that reads and checks each file once.

    They are those of :mod:`ehrsynth.sources.tables`; the measurements have ``row`` too, their place
    in the file. The DataFrame ``quality`` says what could not be used, and what became of it.

    Parameters
    ----------
    data : str or Path
        The folder that holds ``hosp``, itself or in folders such as ``mimiciv/3.1``, or ``hosp``,
        with ``.csv.gz``, ``.csv`` or ``.parquet`` files of any version from 2.0 to 3.1.
    con : ibis backend, optional
        The engine, see :func:`ehrsynth.sources.engine.connect`; by default a DuckDB of its own.
    include : tuple of {"procedures", "medications", "labs"}
        Further tables of what happened: ICD procedure codes, drugs as they were written, results
        out of the laboratory's range.
    progress : bool
    """
    con = engine.connect() if con is None else con
    files = [(name, find_file(data, name)) for name in _needed(include)]
    paths = each(files, "Reading", "files", progress)
    return _hospital({name: _from_file(con, name, path) for name, path in paths}, include, con)


def from_frames(
    raw: Mapping[str, pd.DataFrame], include: tuple[str, ...] = ()
) -> dict[str, pd.DataFrame]:
    """The tables of :func:`load` from MIMIC-IV's own in memory."""
    con, read = engine.connect(), {}
    for name in _needed(include, raw):
        used = [column for column in raw[name] if column.lower() in COLUMNS[name]]
        table = engine.hand_over(con, name, raw[name][used], rows=True)
        read[name] = _checked(name, lambda _, table=table: table, f"Table {name!r}", con)
    return _collected(_hospital(read, include, con))


def from_database(raw: Mapping[str, Table], include: tuple[str, ...] = ()) -> dict[str, Table]:
    """The tables of :func:`scan` from MIMIC-IV's own as they lie in a database.

    Nothing is copied: what cannot be used is counted and left out by the database itself.

    Parameters
    ----------
    raw : mapping of str to ibis Table
        Those of :data:`ALWAYS`, and of :data:`INCLUDED` for what is in `include`. In ``omr``,
        ``seq_num`` is the order of the measurements of one day.
    include : tuple of str
    """
    ordered = dict(raw) | {"omr": raw["omr"].mutate(**{engine.ROW: raw["omr"]["seq_num"]})}
    read = {name: _checked(name, lambda _, name=name: ordered[name], f"Table {name!r}", None)
            for name in _needed(include, raw)}  # fmt: skip
    return _hospital(read, include)


def _needed(include: Iterable[str], there: Collection[str] = COLUMNS) -> list[str]:
    """The tables that are used; all of them must be `there`."""
    check_included(include)
    needed = {"hospital tables": ALWAYS} | {name: INCLUDED[name] for name in include}
    for made, names in needed.items():
        if lost := [name for name in names if name not in there]:
            raise InputError(
                f"MIMIC-IV's table {lost[0]!r} is missing, which {made} are made from."
            )
    return [name for names in needed.values() for name in names]


def find_file(data: str | Path, name: str) -> Path:
    """The file of a table in the ``hosp`` folder of `data`; see :func:`scan`."""
    folder = _hosp(Path(data))
    there = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_file()}
    for suffix in (".csv.gz", ".csv", ".parquet"):
        if f"{name}{suffix}" in there:
            return there[f"{name}{suffix}"]
    raise InputError(
        f"{folder / name}.csv.gz is missing; give the folder that holds MIMIC-IV's hosp files."
    )


def _hosp(data: Path) -> Path:
    """The folder with the files: ``hosp`` in `data` or in folders inside of it, else `data`."""
    if not data.is_dir():
        raise InputError(f"{data} is not a folder; give the folder that holds MIMIC-IV's hosp.")
    level = [data]
    for _ in range(_DEEPEST):
        paths = (path for folder in level for path in sorted(folder.iterdir()))
        level = [path for path in paths if path.is_dir() and not path.name.startswith(".")]
        found = [path for path in level if path.name.lower() == "hosp"]
        if len(found) > 1:
            names = " and ".join(str(path) for path in found[:2])
            raise InputError(f"{data} holds more than one MIMIC-IV, {names}; give one of them.")
        if found:
            return found[0]
    return data


# -- from MIMIC-IV's tables to the hospital tables -------------------------------------


def _hospital(
    read: Mapping[str, tuple[Table, list[Finding]]], include: tuple[str, ...], con=None
) -> dict[str, Table]:
    """The hospital tables from typed ones; ``omr`` says with ``row`` what is later in a day."""
    raw = {name: table for name, (table, _) in read.items()}
    found = [finding for _, findings in read.values() for finding in findings]
    measurements, unread = _measurements(raw["omr"])
    admissions = raw["admissions"].rename(
        admit_time="admittime", discharge_time="dischtime", died_in_hospital="hospital_expire_flag"
    )
    patients, admissions, wrong = quality.settle(
        raw["patients"].rename(sex="gender", death_date="dod"),
        admissions.mutate(died_in_hospital=admissions["died_in_hospital"] == 1),
        {"diagnoses": raw["diagnoses_icd"], "measurements": measurements}, "hospital",
    )  # fmt: skip
    if con is not None:
        patients, admissions = engine.store(con, patients), engine.store(con, admissions)
    return {
        "patients": patients,
        "admissions": admissions,
        "diagnoses": raw["diagnoses_icd"],
        "measurements": measurements,
        **{name: _events(name, raw) for name in include},
        "quality": quality.note([*found, *unread, *wrong]),
    }


def _measurements(omr: Table) -> tuple[Table, list[Finding]]:
    """BMI and both numbers of each pressure, and how many results are none."""
    omr = omr.filter(omr["result_value"].notnull())
    pressure = omr.filter(omr["result_name"].startswith(PRESSURE))
    parts: list[Table] = []
    found: list[Finding] = []
    for name, rows, number in (
        (MEASURED_BMI, omr.filter(omr["result_name"] == BMI), 0),
        (SYSTOLIC, pressure, 1), (DIASTOLIC, pressure, 2),
    ):  # fmt: skip
        text = rows["result_value"]
        value = text.re_extract(_PRESSURE_TEXT, number) if number else text
        part = rows.select(
            "subject_id", engine.ROW, time="chartdate", name=engine.literal(name),
            value=value.try_cast("float64"), unit=engine.literal(UNITS[name]),
        )  # fmt: skip
        unreadable = part["value"].isnull()
        if name != DIASTOLIC:  # it is written with the other one
            what = "no pressure like 110/70" if number else "a BMI that is no number"
            found += quality.counted(part, "omr", [(what, unreadable, "counted as not measured")])
        parts.append(part.filter(~unreadable))
    quality.refuse_most(found)
    return reduce(lambda a, b: a.union(b), parts), found


def _events(name: str, raw: Mapping[str, Table]) -> Table:
    """``subject_id``, ``time``, and ``code`` and ``label``, or a ``drug`` as it was written."""
    if name == "procedures":
        done, titles = raw["procedures_icd"], raw["d_icd_procedures"]
        named = done.left_join(titles, ["icd_version", "icd_code"])
        code = named["icd_version"].cast("string") + "_" + named["icd_code"].strip()
        return named.select(
            "subject_id", time="chartdate", code=code, label=named["long_title"].coalesce(code)
        )
    if name == "medications":
        given = raw["prescriptions"]
        # What drugs are dissolved in is left out.
        given = given.filter((given["drug_type"] != "BASE").fill_null(True))
        given = given.filter(given["drug"].notnull(), given["starttime"].notnull())
        return given.select("subject_id", "drug", time="starttime")
    tests, items = raw["labevents"], raw["d_labitems"]
    high = tests["valuenum"] > tests["ref_range_upper"]
    low = tests["valuenum"] < tests["ref_range_lower"]
    tests = tests.mutate(flag=high.ifelse("high", "low")).filter(high | low)
    named = tests.left_join(items, "itemid")
    flag, code = named["flag"], named["itemid"].cast("string")
    label = named["label"].coalesce(code) + ", " + named["fluid"].fill_null("").lower() + ", "
    return named.select("subject_id", time="charttime", code=code + "_" + flag, label=label + flag)


def _collected(tables: Mapping[str, Table]) -> dict[str, pd.DataFrame]:
    """The tables in memory, in the order of the files; measurements by kind first."""
    frames = {}
    for name, table in tables.items():
        frame = table if isinstance(table, pd.DataFrame) else engine.collect(table)
        if name == "measurements":
            kind = frame["name"].map({name: place for place, name in enumerate(UNITS)})
            frame = frame.iloc[np.lexsort((frame[engine.ROW], kind))].reset_index(drop=True)
            frame = frame.drop(columns=engine.ROW)
        times = frame.select_dtypes("datetime").columns
        frames[name] = frame.astype(dict.fromkeys(times, "datetime64[s]"))
    return frames


# -- typed and checked -----------------------------------------------------------------


def _from_file(con, name: str, path: Path) -> tuple[Table, list[Finding]]:
    make = partial(engine.read_file, con, path)
    try:
        # The tables of INCLUDED can be much larger, of which little is used.
        return _checked(name, make, path, con if name in ALWAYS else None)
    except InputError:
        raise
    except Exception as error:  # every engine has its own kinds and words for a broken file
        if path.suffix.lower() == ".parquet":
            read_table(path)
        fault = error
        try:  # Arrow names the row
            names = csv.open_csv(path).schema.names
            texts = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
            for _ in csv.open_csv(path, convert_options=texts):
                pass
        except (pa.ArrowInvalid, OSError) as said:
            fault = said
        raise InputError(
            f"{path} cannot be read as CSV: {reason(fault)}; check that it is a plain CSV file."
        ) from error


def _checked(name: str, make, where: object, con) -> tuple[Table, list[Finding]]:
    """A typed table of which the row numbers of ``omr`` are kept, and what is wrong with it."""
    columns, rows = COLUMNS[name], name == "omr"
    table, found = cells.read(name, columns, make, where, con, rows=rows, complete=True)
    if name not in ALWAYS:
        return table, found
    table, twice = cells.once(name, _KEYS.get(name), table, where)
    return table, found + twice
