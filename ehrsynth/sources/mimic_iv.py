"""MIMIC-IV as published: csv.gz files in a ``hosp`` folder (or the same tables as Parquet).

One reader serves the credentialed database, the open demo of 100 patients, and any hospital in that
layout (Johnson et al. 2023, doi 10.1038/s41597-022-01899-x). :func:`scan` reads lazily only what is
used, so that a hospital of any size fits; :func:`load` collects what it gives.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import partial, reduce
from operator import or_
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from ..errors import InputError
from ..files import read_columns, read_table
from ..schema import BMI as MEASURED_BMI
from ..schema import DIASTOLIC, SYSTOLIC
from . import engine, quality
from .engine import Table, Value
from .quality import TYPES, WORDS, Fault
from .tables import LONGEST_LIFE, UNITS, check_included, columns_of

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
_ALLOWED = {
    ("patients", "gender"): ("F", "M"),
    ("admissions", "hospital_expire_flag"): (0, 1),
    ("diagnoses_icd", "icd_version"): (9, 10),
    ("procedures_icd", "icd_version"): (9, 10),
}
_KEYS = {"patients": "subject_id", "admissions": "hadm_id"}
_PRESSURE_TEXT = r"^\s*(\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)\s*$"
_WHOLE_TEXT = r"^\s*[+-]?\d+\s*$"


def load(data: str | Path, include: tuple[str, ...] = ()) -> dict[str, pd.DataFrame]:
    """The tables of :func:`scan` in memory, in the order of the files.

    Parameters
    ----------
    data, include : as for :func:`scan`

    Returns
    -------
    dict of str to DataFrame
        Times have whole seconds.
    """
    return _collected(scan(data, include=include))


def scan(
    data: str | Path, con=None, include: tuple[str, ...] = (), progress: bool = False
) -> dict[str, Table]:
    """Read the hospital tables in an engine that reads and checks each file once.

    Parameters
    ----------
    data : str or Path
        The folder that holds ``hosp``, or ``hosp`` itself, with ``.csv.gz``, ``.csv`` or
        ``.parquet`` files.
    con : ibis backend, optional
        The engine, see :func:`ehrsynth.sources.engine.connect`; by default a DuckDB of its own.
    include : tuple of {"procedures", "medications", "labs"}
        Further tables of what happened: ICD procedure codes, drugs as they were written, results
        out of the laboratory's range.
    progress : bool

    Returns
    -------
    dict of str to Table
        Those of :mod:`ehrsynth.sources.tables`; the measurements have ``row`` too, their place in
        the file.

    Raises
    ------
    InputError
        That names the file, column, row and value that cannot be used.
    """
    con = engine.connect() if con is None else con
    layout = _layout(include)
    files = {name: find_file(data, name) for name in layout}
    with tqdm(files.items(), desc="Reading", unit=" files", disable=not progress) as bar:
        raw = {name: _from_file(con, name, path, layout[name]) for name, path in bar}
    return _hospital(raw, include)


def from_frames(
    raw: Mapping[str, pd.DataFrame], include: tuple[str, ...] = ()
) -> dict[str, pd.DataFrame]:
    """The tables of :func:`load` from MIMIC-IV's own in memory."""
    con, typed = engine.connect(), {}
    for name, columns in _layout(include, raw).items():
        table = engine.hand_over(con, name, raw[name][list(columns)], rows=True)
        read = partial(lambda table, rows: table, table)
        typed[name] = _checked(con, name, read, columns, f"Table {name!r}")
    return _collected(_hospital(typed, include))


def from_database(raw: Mapping[str, Table], include: tuple[str, ...] = ()) -> dict[str, Table]:
    """The tables of :func:`scan` from MIMIC-IV's own as they lie in a database.

    Nothing is read before it is needed, and values are not checked: what is not of its column's
    kind is NULL.

    Parameters
    ----------
    raw : mapping of str to ibis Table
        Those of :data:`ALWAYS`, and of :data:`INCLUDED` for what is in `include`. In ``omr``,
        ``seq_num`` is the order of the measurements of one day.
    include : tuple of str

    Returns
    -------
    dict of str to Table
    """
    layout = _layout(include, raw)
    for name, columns in layout.items():
        quality.check_columns(raw[name].columns, columns, f"the table {name!r}")
    ordered = dict(raw) | {"omr": raw["omr"].mutate(**{engine.ROW: raw["omr"]["seq_num"]})}
    return _hospital({n: _typed(n, ordered[n], columns) for n, columns in layout.items()}, include)


def _layout(include: Iterable[str], there: Collection[str] = COLUMNS) -> dict[str, dict[str, str]]:
    """The columns that are used, by table; all of the tables must be `there`."""
    check_included(include)
    needed = {"hospital tables": ALWAYS} | {name: INCLUDED[name] for name in include}
    for made, names in needed.items():
        if lost := [name for name in names if name not in there]:
            raise InputError(
                f"MIMIC-IV's table {lost[0]!r} is missing, which {made} are made from."
            )
    return {name: COLUMNS[name] for names in needed.values() for name in names}


def find_file(data: str | Path, name: str) -> Path:
    """The file of a table in the folder `data` or its ``hosp`` folder."""
    data = Path(data)
    if not data.is_dir():
        raise InputError(f"{data} is not a folder; give the folder that holds MIMIC-IV's hosp.")
    inside = {path.name.lower(): path for path in sorted(data.iterdir()) if path.is_dir()}
    folder = inside.get("hosp", data)
    there = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_file()}
    for suffix in (".csv.gz", ".csv", ".parquet"):
        if f"{name}{suffix}" in there:
            return there[f"{name}{suffix}"]
    raise InputError(
        f"{folder / name}.csv.gz is missing; give the folder that holds MIMIC-IV's hosp files."
    )


# -- from MIMIC-IV's tables to the hospital tables -------------------------------------


def _hospital(raw: Mapping[str, Table], include: tuple[str, ...]) -> dict[str, Table]:
    """The hospital tables from typed ones; ``omr`` says with ``row`` what is later in a day."""
    omr = raw["omr"]
    pressure = omr.filter(omr["result_name"].startswith(PRESSURE))
    values = {
        MEASURED_BMI: (omr.filter(omr["result_name"] == BMI), _number),
        SYSTOLIC: (pressure, lambda text: _number(text.re_extract(_PRESSURE_TEXT, 1))),
        DIASTOLIC: (pressure, lambda text: _number(text.re_extract(_PRESSURE_TEXT, 2))),
    }
    parts = [
        rows.filter(rows["result_value"].notnull()).select(
            "subject_id", engine.ROW, time="chartdate", name=engine.literal(name),
            value=value(rows["result_value"]), unit=engine.literal(UNITS[name]),
        )
        for name, (rows, value) in values.items()
    ]  # fmt: skip
    admissions = raw["admissions"].rename(
        admit_time="admittime", discharge_time="dischtime", died_in_hospital="hospital_expire_flag"
    )
    died = admissions["died_in_hospital"] == 1
    return {
        "patients": raw["patients"].rename(sex="gender", death_date="dod"),
        "admissions": admissions.mutate(died_in_hospital=died),
        "diagnoses": raw["diagnoses_icd"],
        "measurements": reduce(lambda a, b: a.union(b), parts),
        **{name: _events(name, raw) for name in include},
    }


def _events(name: str, raw: Mapping[str, Table]) -> Table:
    """``subject_id``, ``time``, and ``code`` and ``label``, or a ``drug`` as it was written.

    What drugs are dissolved in is left out; labs are results outside of the laboratory's range.
    """
    if name == "procedures":
        done, titles = raw["procedures_icd"], raw["d_icd_procedures"]
        named = done.left_join(titles, ["icd_version", "icd_code"])
        code = named["icd_version"].cast("string") + "_" + named["icd_code"].strip()
        return named.select(
            "subject_id", time="chartdate", code=code, label=named["long_title"].coalesce(code)
        )
    if name == "medications":
        given = raw["prescriptions"]
        given = given.filter((given["drug_type"] != "BASE").fill_null(True))
        given = given.filter(given["drug"].notnull(), given["starttime"].notnull())
        return given.select("subject_id", "drug", time="starttime")
    tests, items = raw["labevents"], raw["d_labitems"]
    above = (tests["valuenum"] > tests["ref_range_upper"]).fill_null(False)
    below = (tests["valuenum"] < tests["ref_range_lower"]).fill_null(False)
    tests = tests.mutate(flag=above.ifelse("high", "low")).filter(above | below)
    named = tests.left_join(items, "itemid")
    flag = named["flag"]
    code = named["itemid"].cast("string")
    label = named["label"].coalesce(code) + ", " + named["fluid"].fill_null("").lower() + ", "
    return named.select("subject_id", time="charttime", code=code + "_" + flag, label=label + flag)


def _collected(tables: Mapping[str, Table]) -> dict[str, pd.DataFrame]:
    """The tables in memory, in the order of the files; measurements by kind first."""
    frames = {}
    for name, table in tables.items():
        frame = engine.collect(table)
        if name == "measurements":
            kind = frame["name"].map({name: place for place, name in enumerate(UNITS)})
            frame = frame.iloc[np.lexsort((frame[engine.ROW], kind))].reset_index(drop=True)
            frame = frame.drop(columns=engine.ROW)
        times = frame.select_dtypes("datetime").columns
        frames[name] = frame.astype(dict.fromkeys(times, "datetime64[s]"))
    return frames


# -- typed and checked -----------------------------------------------------------------


def _from_file(con, name: str, path: Path, columns: Mapping[str, str]) -> Table:
    try:
        return _checked(con, name, partial(engine.read_file, con, path), columns, path)
    except InputError:
        raise
    except Exception as error:  # every engine has its own kinds and words for a broken file
        if path.suffix.lower() == ".parquet":
            read_table(path)
        else:
            read_columns(path, columns)
        raise InputError(
            f"{path} cannot be read by the engine; check that it is a plain CSV file."
        ) from error


def _checked(con, name: str, read, columns: Mapping[str, str], where: object) -> Table:
    """A typed table, all of which can be used; `read` gives it as written, with row numbers."""
    text = read(rows=name == "omr")
    quality.check_columns(text.columns, columns, where)
    wrong = reduce(or_, (f.wrong.fill_null(False) for f in _faults(name, text, columns)))
    typed = _typed(name, text, columns, fault=wrong)
    if name in ALWAYS:
        # One pass over the file: everything else reads what the engine has kept of it. The tables
        # of INCLUDED can be much larger, of which little is used.
        typed = engine.store(con, typed)
    key = _KEYS.get(name)
    found = engine.collect(
        typed.aggregate(
            rows=typed.count(),
            faults=typed["fault"].sum(),
            twice=typed[key].count() - typed[key].nunique() if key else engine.literal(0),
        )
    ).iloc[0]
    if not found["rows"]:
        raise InputError(f"{where} has no rows.")
    if found["faults"]:
        text = read(rows=True)
        quality.check(text, _faults(name, text, columns), where)
    if key and found["twice"]:
        text = read(rows=True)
        again = text[engine.ROW].rank().over(group_by=key, order_by=engine.ROW) > 0
        quality.refuse_first(text, Fault(key, "each number once", again), where)
    return typed.drop("fault")


def _typed(name: str, text: Table, columns: Mapping[str, str], **more) -> Table:
    """These columns with their types (what cannot be read is NULL), and `more`."""
    typed = {c: text[c].try_cast(TYPES[kind.rstrip("?")]) for c, kind in columns.items()}
    return text.select(*([engine.ROW] if name == "omr" else []), **typed, **more)


def _faults(name: str, text: Table, columns: Mapping[str, str]) -> list[Fault]:
    """What no later step could use, in the order in which it is told."""
    kinds = {column: kind.rstrip("?") for column, kind in columns.items()}
    faults = [Fault(column, WORDS[kind], _unreadable(text[column], kind))
              for column, kind in kinds.items() if kind != "text"]  # fmt: skip
    for column, kind in kinds.items():
        if columns[column] == kind:
            faults.append(Fault(column, WORDS[kind].split(" like")[0], text[column].isnull()))
        if allowed := _ALLOWED.get((name, column)):
            wrong = ~text[column].try_cast(TYPES[kind]).isin(allowed)
            faults.append(Fault(column, " or ".join(map(str, allowed)), wrong))
    if name == "patients":
        age = text["anchor_age"].try_cast("int64")
        wrong = (age < 0) | (age > LONGEST_LIFE)
        faults.append(Fault("anchor_age", f"ages from 0 to {LONGEST_LIFE}", wrong))
    if name == "omr":
        result, kind = text["result_value"], text["result_name"]
        no_number = (kind == BMI) & result.notnull() & _number(result).isnull()
        no_pressure = kind.startswith(PRESSURE) & ~result.re_search(_PRESSURE_TEXT)
        faults += [Fault("result_value", "numbers", no_number),
                   Fault("result_value", 'pressures like "110/70"', no_pressure)]  # fmt: skip
    return faults


def _unreadable(written: Value, kind: str) -> Value:
    """Whether something is written that is not of its column's kind."""
    wrong = written.notnull() & written.try_cast(TYPES[kind]).isnull()
    if kind != "whole" or written.type().is_integer():
        return wrong
    if written.type().is_string():  # 61.5 would be made whole
        return wrong | ~written.re_search(_WHOLE_TEXT)
    return wrong | (written != written.floor())


def _number(text: Value) -> Value:
    return text.try_cast("float64")
