"""MIMIC-IV as published: csv.gz files in a ``hosp`` folder (or the same tables as Parquet).

The same reader serves the credentialed database, the open demo of 100 patients, and any
hospital in that layout. Only the columns that are used are read: into memory by :func:`load`,
or lazily by :func:`scan`, which a hospital of any size fits.

Source: Johnson et al. 2023, MIMIC-IV, a freely accessible electronic health record dataset,
doi 10.1038/s41597-022-01899-x.
"""

from collections.abc import Iterable, Mapping
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
from tqdm import tqdm

from ..errors import InputError, ValueFault
from ..files import read_columns, read_table
from . import engine
from .tables import UNITS, check_included

if TYPE_CHECKING:
    import ibis

# The columns that are used, by file of the hosp folder, with the kind of value they hold.
COLUMNS = {
    "patients": {
        "subject_id": "whole", "gender": "text", "anchor_age": "whole", "anchor_year": "whole",
        "dod": "date",
    },
    "admissions": {
        "subject_id": "whole", "hadm_id": "whole", "admittime": "date", "dischtime": "date",
        "race": "text", "hospital_expire_flag": "whole",
    },
    "diagnoses_icd": {
        "subject_id": "whole", "hadm_id": "whole", "icd_code": "text", "icd_version": "whole",
    },
    "omr": {
        "subject_id": "whole", "chartdate": "date", "result_name": "text", "result_value": "text",
    },
}  # fmt: skip
# Tables that are read only when they are asked for, and the dictionaries they need.
INCLUDED = {
    "procedures": {
        "procedures_icd": {
            "subject_id": "whole", "chartdate": "date", "icd_code": "text", "icd_version": "whole",
        },
        "d_icd_procedures": {"icd_code": "text", "icd_version": "whole", "long_title": "text"},
    },
    "medications": {
        "prescriptions": {
            "subject_id": "whole", "starttime": "date", "drug_type": "text", "drug": "text",
        },
    },
    "labs": {
        "labevents": {
            "subject_id": "whole", "itemid": "whole", "charttime": "date", "valuenum": "number",
            "ref_range_lower": "number", "ref_range_upper": "number",
        },
        "d_labitems": {"itemid": "whole", "label": "text", "fluid": "text"},
    },
}  # fmt: skip
SUFFIXES = (".csv.gz", ".csv", ".parquet")
BMI = "BMI (kg/m2)"
PRESSURE = "Blood Pressure"  # also "Blood Pressure Sitting", "Blood Pressure Lying", ...

_ARROW = {
    "whole": pa.int64(), "date": pa.timestamp("s"), "text": pa.string(), "number": pa.float64(),
}  # fmt: skip
_ENGINE = {"whole": "int64", "date": "timestamp", "text": "string", "number": "float64"}
_WHAT = {
    "whole": "whole numbers", "text": "text", "number": "numbers",
    "date": "dates like 2150-01-31 or 2150-01-31 12:00:00",
}  # fmt: skip
_MAY_BE_BLANK = {
    "dod", "race", "result_value", "long_title", "starttime", "drug", "drug_type", "valuenum",
    "ref_range_lower", "ref_range_upper", "label", "fluid",
}  # fmt: skip
_ALLOWED = {
    ("patients", "gender"): ("F", "M"),
    ("admissions", "hospital_expire_flag"): (0, 1),
    ("diagnoses_icd", "icd_version"): (9, 10),
    ("procedures_icd", "icd_version"): (9, 10),
}
_OLDEST = 120
_LARGEST = 2**62  # whole number
_KEYS = {"patients": "subject_id", "admissions": "hadm_id"}
_PRESSURE_TEXT = r"^\s*(\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)\s*$"
_WHOLE_TEXT = r"^\s*[+-]?\d+\s*$"


def load(data: str | Path, include: tuple[str, ...] = ()) -> dict[str, pd.DataFrame]:
    """Read the hospital tables.

    Parameters
    ----------
    data : str or Path
        The folder that holds ``hosp``, or ``hosp`` itself, with ``.csv.gz``, ``.csv`` or
        ``.parquet`` files.
    include : tuple of {"procedures", "medications", "labs"}
        Further tables of what happened, see :func:`events`.

    Returns
    -------
    dict of str to DataFrame
        The tables of :func:`convert`, and those of `include`.

    Raises
    ------
    InputError
        That names the file, column, row and value that cannot be used.
    """
    files = {name: find_file(data, name) for name in COLUMNS}
    raw = {name: _read(path, COLUMNS[name]) for name, path in files.items()}
    tables = convert(raw, files)
    if include:
        more = scan(data, include=include)
        tables |= {name: engine.collect(more[name]) for name in include}
    return tables


def scan(
    data: str | Path, con=None, include: tuple[str, ...] = (), progress: bool = False
) -> dict[str, "ibis.Table"]:
    """The same hospital tables, in an engine that reads and checks each file once.

    Parameters
    ----------
    data : str or Path
        As for :func:`load`.
    con : ibis backend, optional
        The engine, see :func:`ehrsynth.sources.engine.connect`; by default a DuckDB of its own.
    include : tuple of {"procedures", "medications", "labs"}
        Further tables of what happened, see :func:`events`.
    progress : bool
        Show a progress bar.

    Returns
    -------
    dict of str to Table
        The tables of :func:`convert`; the measurements have ``row`` too, their place in the file.

    Raises
    ------
    InputError
        As :func:`load` does.
    """
    layout = _layout(include)
    con = engine.connect() if con is None else con
    files = {name: find_file(data, name) for name in layout}
    with tqdm(files.items(), desc="Reading", unit=" files", disable=not progress) as bar:
        raw = {name: _checked(con, name, path, layout[name]) for name, path in bar}
    return _hospital(raw, include)


def from_database(
    raw: Mapping[str, "ibis.Table"], include: tuple[str, ...] = ()
) -> dict[str, "ibis.Table"]:
    """The same hospital tables, from MIMIC-IV's own as they lie in a database.

    Nothing is read before it is needed, and values are not checked: what is not of its column's
    kind is NULL.

    Parameters
    ----------
    raw : mapping of str to ibis Table
        The tables of :data:`COLUMNS`, and those of :data:`INCLUDED` for what is in `include`. In
        ``omr``, ``seq_num`` is the order of the measurements of one day.
    include : tuple of {"procedures", "medications", "labs"}
        Further tables of what happened, see :func:`events`.

    Returns
    -------
    dict of str to Table
        As :func:`scan` does.
    """
    layout = _layout(include)
    missing = sorted(set(layout) - set(raw))
    if missing:
        raise InputError(f"MIMIC-IV's table {missing[0]!r} is missing from the database's tables.")
    for name, columns in layout.items():
        _find_missing(raw[name].columns, columns, f"the table {name!r}")
    typed = {name: _cast(raw[name], columns) for name, columns in layout.items() if name != "omr"}
    order = {engine.ROW: raw["omr"]["seq_num"]}
    return _hospital(typed | {"omr": _cast(raw["omr"], COLUMNS["omr"], **order)}, include)


def _layout(include: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """The columns that are used, by table."""
    check_included(include)
    return reduce(lambda tables, name: tables | INCLUDED[name], include, COLUMNS)


def _hospital(raw: Mapping[str, "ibis.Table"], include: tuple[str, ...]) -> dict[str, "ibis.Table"]:
    """The hospital tables from typed ones; ``omr`` says with ``row`` what is later in a day."""
    omr = raw["omr"]
    pressure = omr.filter(omr["result_name"].startswith(PRESSURE))
    values = {
        "bmi": (omr.filter(omr["result_name"] == BMI), _number),
        "systolic": (pressure, lambda text: _number(text.re_extract(_PRESSURE_TEXT, 1))),
        "diastolic": (pressure, lambda text: _number(text.re_extract(_PRESSURE_TEXT, 2))),
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
        **{name: events(name, raw) for name in include},
    }


def events(name: str, raw: Mapping[str, "ibis.Table"]) -> "ibis.Table":
    """What happened, as one row for each time that a code was given to a patient.

    Procedures are ICD procedure codes. Medications are the names of drugs as they were written,
    which :mod:`.drugs` turns into ingredients; what they are dissolved in is left out. Labs
    are results above or below the range of the laboratory.

    Parameters
    ----------
    name : {"procedures", "medications", "labs"}
    raw : mapping of str to Table
        The tables of ``INCLUDED[name]``, typed.

    Returns
    -------
    Table
        ``subject_id``, ``time``, and ``code`` and ``label`` (texts), or ``drug`` of medications.
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
    tests = tests.filter(above | below)
    named = tests.left_join(items, "itemid")
    flag = (named["valuenum"] > named["ref_range_upper"]).fill_null(False).ifelse("high", "low")
    code = named["itemid"].cast("string")
    label = named["label"].coalesce(code) + ", " + named["fluid"].fill_null("").lower() + ", "
    return named.select("subject_id", time="charttime", code=code + "_" + flag, label=label + flag)


def _events_of_frames(name: str, raw: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    missing = sorted(set(INCLUDED[name]) - set(raw))
    if missing:
        raise InputError(f"The table {missing[0]!r} is missing, which {name} are made from.")
    lazily = engine.lazy({table: raw[table] for table in INCLUDED[name]})
    typed = {table: _cast(lazily[table], columns) for table, columns in INCLUDED[name].items()}
    return engine.collect(events(name, typed))


def convert(
    raw: Mapping[str, pd.DataFrame],
    files: Mapping[str, object] | None = None,
    include: tuple[str, ...] = (),
) -> dict[str, pd.DataFrame]:
    """Turn MIMIC-IV's own tables into the hospital tables that every data set yields.

    Parameters
    ----------
    raw : mapping of str to DataFrame
        The tables of :data:`COLUMNS`, with at least those columns.
    files : mapping of str to str, optional
        What to call each table in errors; its name when not given.
    include : tuple of {"procedures", "medications", "labs"}
        Further tables of what happened, see :func:`events`; `raw` has those of :data:`INCLUDED`.

    Returns
    -------
    dict of str to DataFrame
        ``patients(subject_id, sex, anchor_age, anchor_year, death_date)``,
        ``admissions(subject_id, hadm_id, admit_time, discharge_time, died_in_hospital, race)``,
        ``diagnoses(subject_id, hadm_id, icd_code, icd_version)``,
        ``measurements(subject_id, time, name, value, unit)``.
    """
    check_included(include)
    files = {name: str((files or {}).get(name, f"Table {name!r}")) for name in COLUMNS}
    for name, columns in COLUMNS.items():
        _check(name, raw[name], columns, files[name])
    tables = {name: _typed(raw[name], columns) for name, columns in COLUMNS.items()}
    return {
        "patients": tables["patients"].rename(columns={"gender": "sex", "dod": "death_date"}),
        "admissions": _admissions(tables["admissions"]),
        "diagnoses": tables["diagnoses_icd"],
        "measurements": _measurements(tables["omr"], files["omr"]),
        **{name: _events_of_frames(name, raw) for name in include},
    }


def find_file(data: str | Path, name: str) -> Path:
    """The file of a table in the folder `data` or its ``hosp`` folder."""
    data = Path(data)
    if not data.is_dir():
        raise InputError(f"{data} is not a folder; give the folder that holds MIMIC-IV's hosp.")
    inside = {path.name.lower(): path for path in sorted(data.iterdir()) if path.is_dir()}
    folder = inside.get("hosp", data)
    there = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_file()}
    for suffix in SUFFIXES:
        if f"{name}{suffix}" in there:
            return there[f"{name}{suffix}"]
    raise InputError(
        f"{folder / name}.csv.gz is missing; give the folder that holds MIMIC-IV's hosp files."
    )


# -- reading lazily --------------------------------------------------------------------


def _checked(con, name: str, path: Path, columns: Mapping[str, str]) -> "ibis.Table":
    """A file with its columns typed, in which nothing is left that cannot be used."""
    try:
        text = engine.read_file(con, path, rows=name == "omr")
        if not set(columns) <= set(text.columns):
            _explain(name, path, columns)
        typed = _cast(text, columns, fault=_fault_in(name, text, columns))
        if name in COLUMNS:
            # One pass over the file: everything else reads what the engine has kept of it. The
            # tables of INCLUDED can be much larger, of which little is used.
            typed = engine.store(con, typed)
        key = _KEYS.get(name)
        found = engine.collect(
            typed.aggregate(
                rows=typed.count(),
                faults=typed["fault"].sum(),
                twice=typed[key].count() - typed[key].nunique() if key else engine.literal(0),
            )
        ).iloc[0]
        sound = found["rows"] and not found[["faults", "twice"]].fillna(0).any()
    except InputError:
        raise
    except Exception:  # every engine has its own kinds; which value it is, _explain finds
        sound = False
    if not sound:
        _explain(name, path, columns)
    return typed.drop("fault")


def _cast(text: "ibis.Table", columns: Mapping[str, str], **more) -> "ibis.Table":
    """These columns with their types (what cannot be read is NULL), and `more`."""
    typed = {name: text[name].try_cast(_ENGINE[kind]) for name, kind in columns.items()}
    rows = [engine.ROW] if engine.ROW in text.columns else []
    return text.select(*rows, **typed, **more)


def _number(text: "ibis.Value") -> "ibis.Value":
    return text.try_cast("float64")


def _fault_in(name: str, text: "ibis.Table", columns: Mapping[str, str]) -> "ibis.Value":
    """Whether a row has something that :func:`_check` would refuse."""
    faults = []
    for column, kind in columns.items():
        written = text[column]
        value = written.try_cast(_ENGINE[kind])
        fault = value.isnull()
        if column in _MAY_BE_BLANK:
            fault = fault & written.notnull()
        if kind == "whole" and written.type().is_string():  # 61.5 would be made whole
            fault = fault | ~written.re_search(_WHOLE_TEXT)
        allowed = _ALLOWED.get((name, column))
        if allowed:
            fault = fault | ~value.isin(allowed)
        faults.append(fault.fill_null(True))
    if name == "patients":
        faults.append(_no_age(text["anchor_age"].try_cast("int64")).fill_null(True))
    if name == "omr":
        result, kind = text["result_value"], text["result_name"]
        no_number = (kind == BMI) & _number(result).isnull()
        no_pressure = kind.startswith(PRESSURE) & ~result.re_search(_PRESSURE_TEXT)
        faults.append((result.notnull() & (no_number | no_pressure)).fill_null(False))
    return reduce(lambda a, b: a | b, faults)


def _explain(name: str, path: Path, columns: Mapping[str, str]) -> None:
    """Raise for what is wrong with a file, in the words of :func:`load`."""
    raw = _read(path, columns)
    _check(name, raw, columns, str(path))
    if name == "omr":
        _measurements(_typed(raw, COLUMNS[name]), str(path))
    raise InputError(f"{path} cannot be read by the engine; check that it is a plain CSV file.")


# -- reading into memory ---------------------------------------------------------------


def _find_missing(found: Iterable[str], columns: Mapping[str, str], path: object) -> None:
    missing = [name for name in columns if name not in found]
    if missing:
        raise InputError(f"Column {missing[0]!r} is missing from {path}.")


def _read(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    """Read these columns with their types; on trouble read text and find the value at fault."""
    if path.suffix.lower() == ".parquet":
        table = read_table(path)
        _find_missing(list(table.columns), columns, path)
        _find_fault(table[list(columns)].astype("string"), columns, path)
        return _typed(table, columns)
    try:
        return read_columns(path, {name: _ARROW[kind] for name, kind in columns.items()})
    except ValueFault:
        text = read_columns(path, dict.fromkeys(columns, pa.string()))
        _find_fault(text, columns, path)
        return _typed(text, columns)  # written in another way than usual, but readable


def _find_fault(text: pd.DataFrame, columns: Mapping[str, str], path: Path) -> None:
    """Raise for the first value that is not of its column's kind."""
    for name, kind in columns.items():
        values = text[name]
        if kind == "whole":
            wrong = ~values.str.fullmatch(_WHOLE_TEXT, na=True).astype(bool)
            wrong |= pd.to_numeric(values, errors="coerce").abs() > _LARGEST
        elif kind == "date":
            wrong = pd.to_datetime(values, format="ISO8601", errors="coerce").isna()
            wrong &= values.notna()
        elif kind == "number":
            wrong = pd.to_numeric(values, errors="coerce").isna() & values.notna()
        else:
            continue
        if wrong.any():
            _fault(path, name, _WHAT[kind], values, wrong)


def _fault(where: object, column: str, what: str, values: pd.Series, wrong: pd.Series) -> None:
    row = int(np.flatnonzero(wrong.to_numpy())[0])
    value = values.iloc[row]
    shown = "nothing" if pd.isna(value) else repr(value if isinstance(value, str) else str(value))
    raise InputError(
        f"Column {column!r} of {where} should hold {what} but has {shown} in row {row + 1}; "
        "correct the file."
    )


# -- checking --------------------------------------------------------------------------


def _no_age(age):
    """Which numbers are no age of a person; of a Series or of an engine's column."""
    return (age < 0) | (age > _OLDEST)


def _check(name: str, table: pd.DataFrame, columns: Mapping[str, str], where: str) -> None:
    """Raise for what no later step could use."""
    if table.empty:
        raise InputError(f"{where} has no rows.")
    for column, kind in columns.items():
        values = table[column]
        if column not in _MAY_BE_BLANK and values.isna().any():
            _fault(where, column, _WHAT[kind].split(" like")[0], values, values.isna())
        allowed = _ALLOWED.get((name, column))
        if allowed:
            wrong = ~values.isin(allowed)
            if wrong.any():
                _fault(where, column, " or ".join(map(str, allowed)), values, wrong)
    if name == "patients":
        wrong = _no_age(table["anchor_age"])
        if wrong.any():
            _fault(where, "anchor_age", f"ages from 0 to {_OLDEST}", table["anchor_age"], wrong)
    key = _KEYS.get(name)
    if key and table[key].duplicated().any():
        _fault(where, key, "each number once", table[key], table[key].duplicated())


# -- converting ------------------------------------------------------------------------


def _typed(table: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """These columns, in one resolution of time and one size of number."""
    dtypes = {"whole": "int64", "number": "float64", "date": "datetime64[s]"}
    table = table[list(columns)]
    for name in (c for c, kind in columns.items() if kind == "date"):
        times = table[name]
        if pd.api.types.is_string_dtype(times):
            times = pd.to_datetime(times, format="ISO8601", utc=True)
        if isinstance(times.dtype, pd.DatetimeTZDtype):
            table = table.assign(**{name: times.dt.tz_convert("UTC").dt.tz_localize(None)})
    return table.astype({c: dtypes[k] for c, k in columns.items() if k in dtypes})


def _admissions(admissions: pd.DataFrame) -> pd.DataFrame:
    table = admissions.rename(
        columns={
            "admittime": "admit_time",
            "dischtime": "discharge_time",
            "hospital_expire_flag": "died_in_hospital",
        }
    )
    died = table["died_in_hospital"].astype(bool)
    return table.assign(died_in_hospital=died)


def _measurements(omr: pd.DataFrame, where: str) -> pd.DataFrame:
    """BMI and both numbers of every blood pressure, which omr keeps as the text "110/70"."""
    omr = omr.reset_index(drop=True)  # so that the index is the row of the file
    present = omr["result_value"].notna()
    bmi = omr[present & (omr["result_name"] == BMI)]
    value = pd.to_numeric(bmi["result_value"], errors="coerce")
    _check_result(value.isna(), omr, where, "numbers")
    pressure = omr[present & omr["result_name"].str.startswith(PRESSURE)]
    both = pressure["result_value"].str.extract(_PRESSURE_TEXT).astype("float64")
    _check_result(both[0].isna(), omr, where, 'pressures like "110/70"')
    parts = [
        ("bmi", bmi, value),
        ("systolic", pressure, both[0]),
        ("diastolic", pressure, both[1]),
    ]
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "subject_id": rows["subject_id"],
                    "time": rows["chartdate"],
                    "name": name,
                    "value": values.astype("float64"),
                    "unit": UNITS[name],
                }
            )
            for name, rows, values in parts
        ],
        ignore_index=True,
    )


def _check_result(wrong: pd.Series, omr: pd.DataFrame, where: str, what: str) -> None:
    if wrong.any():
        values = omr["result_value"]
        _fault(where, "result_value", what, values, wrong.reindex(omr.index, fill_value=False))
