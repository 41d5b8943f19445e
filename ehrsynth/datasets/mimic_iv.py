"""MIMIC-IV as published: csv.gz files in a ``hosp`` folder.

The same reader serves the credentialed database, the open demo of 100 patients, and any
hospital in that layout. Only the columns that are used are read.

Source: Johnson et al. 2023, MIMIC-IV, a freely accessible electronic health record dataset,
doi 10.1038/s41597-022-01899-x.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from ..errors import InputError, ValueFault
from ..files import read_columns

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
SUFFIXES = (".csv.gz", ".csv")
UNITS = {"bmi": "kg/m2", "systolic": "mmHg", "diastolic": "mmHg"}
BMI = "BMI (kg/m2)"
PRESSURE = "Blood Pressure"  # also "Blood Pressure Sitting", "Blood Pressure Lying", ...

_ARROW = {"whole": pa.int64(), "date": pa.timestamp("s"), "text": pa.string()}
_MAY_BE_BLANK = {"dod", "race", "result_value"}
_ALLOWED = {
    ("patients", "gender"): ("F", "M"),
    ("admissions", "hospital_expire_flag"): (0, 1),
    ("diagnoses_icd", "icd_version"): (9, 10),
}
_OLDEST = 120
_KEYS = {"patients": "subject_id", "admissions": "hadm_id"}
_PRESSURE_TEXT = r"^\s*(\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)\s*$"


def load(data: str | Path) -> dict[str, pd.DataFrame]:
    """Read the hospital tables.

    Parameters
    ----------
    data : str or Path
        The folder that holds ``hosp``, or ``hosp`` itself, with ``.csv.gz`` or ``.csv`` files.

    Returns
    -------
    dict of str to DataFrame
        The tables of :func:`convert`.

    Raises
    ------
    InputError
        That names the file, column, row and value that cannot be used.
    """
    files = {name: find_file(data, name) for name in COLUMNS}
    raw = {name: _read(path, COLUMNS[name]) for name, path in files.items()}
    return convert(raw, files)


def convert(
    raw: Mapping[str, pd.DataFrame], files: Mapping[str, object] | None = None
) -> dict[str, pd.DataFrame]:
    """Turn MIMIC-IV's own tables into the hospital tables that every data set yields.

    Parameters
    ----------
    raw : mapping of str to DataFrame
        The tables of :data:`COLUMNS`, with at least those columns.
    files : mapping of str to str, optional
        What to call each table in errors; its name when not given.

    Returns
    -------
    dict of str to DataFrame
        ``patients(subject_id, sex, anchor_age, anchor_year, death_date)``,
        ``admissions(subject_id, hadm_id, admit_time, discharge_time, died_in_hospital, race)``,
        ``diagnoses(subject_id, hadm_id, icd_code, icd_version)``,
        ``measurements(subject_id, time, name, value, unit)``.
    """
    files = {name: str((files or {}).get(name, f"Table {name!r}")) for name in COLUMNS}
    for name, columns in COLUMNS.items():
        _check(name, raw[name], columns, files[name])
    tables = {name: _typed(raw[name], columns) for name, columns in COLUMNS.items()}
    return {
        "patients": tables["patients"].rename(columns={"gender": "sex", "dod": "death_date"}),
        "admissions": _admissions(tables["admissions"]),
        "diagnoses": tables["diagnoses_icd"],
        "measurements": _measurements(tables["omr"], files["omr"]),
    }


def find_file(data: str | Path, name: str) -> Path:
    """The file of a table in the folder `data` or its ``hosp`` folder."""
    data = Path(data)
    if not data.is_dir():
        raise InputError(f"{data} is not a folder; give the folder that holds MIMIC-IV's hosp.")
    folder = data / "hosp" if (data / "hosp").is_dir() else data
    for suffix in SUFFIXES:
        if (folder / f"{name}{suffix}").is_file():
            return folder / f"{name}{suffix}"
    raise InputError(
        f"{folder / name}.csv.gz is missing; give the folder that holds MIMIC-IV's hosp files."
    )


# -- reading ---------------------------------------------------------------------------


def _read(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    """Read these columns with their types; on trouble read text and find the value at fault."""
    try:
        return read_columns(path, {name: _ARROW[kind] for name, kind in columns.items()})
    except ValueFault:
        _find_fault(read_columns(path, dict.fromkeys(columns, pa.string())), columns, path)
        raise


def _find_fault(text: pd.DataFrame, columns: Mapping[str, str], path: Path) -> None:
    """Raise for the first value that is not of its column's kind."""
    for name, kind in columns.items():
        values = text[name]
        if kind == "whole":
            wrong = ~values.str.fullmatch(r"\s*[+-]?\d+\s*", na=True).astype(bool)
            what = "whole numbers"
        elif kind == "date":
            wrong = pd.to_datetime(values, format="ISO8601", errors="coerce").isna()
            wrong &= values.notna()
            what = "dates like 2150-01-31 or 2150-01-31 12:00:00"
        else:
            continue
        if wrong.any():
            _fault(path, name, what, values, wrong)


def _fault(where: object, column: str, what: str, values: pd.Series, wrong: pd.Series) -> None:
    row = int(np.flatnonzero(wrong.to_numpy())[0])
    value = values.iloc[row]
    shown = "nothing" if pd.isna(value) else repr(value if isinstance(value, str) else str(value))
    raise InputError(
        f"Column {column!r} of {where} should hold {what} but has {shown} in row {row + 1}; "
        "correct the file."
    )


# -- checking --------------------------------------------------------------------------


def _check(name: str, table: pd.DataFrame, columns: Mapping[str, str], where: str) -> None:
    """Raise for what no later step could use."""
    if table.empty:
        raise InputError(f"{where} has no rows.")
    for column, kind in columns.items():
        values = table[column]
        if column not in _MAY_BE_BLANK and values.isna().any():
            what = {"whole": "whole numbers", "date": "dates", "text": "text"}[kind]
            _fault(where, column, what, values, values.isna())
        allowed = _ALLOWED.get((name, column))
        if allowed:
            wrong = ~values.isin(allowed)
            if wrong.any():
                _fault(where, column, " or ".join(map(str, allowed)), values, wrong)
    if name == "patients":
        age = table["anchor_age"]
        wrong = (age < 0) | (age > _OLDEST)
        if wrong.any():
            _fault(where, "anchor_age", f"ages from 0 to {_OLDEST}", age, wrong)
    key = _KEYS.get(name)
    if key and table[key].duplicated().any():
        _fault(where, key, "each number once", table[key], table[key].duplicated())


# -- converting ------------------------------------------------------------------------


def _typed(table: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """These columns, in one resolution of time and one size of number."""
    dtypes = {"whole": "int64", "date": "datetime64[s]"}
    return table[list(columns)].astype({c: dtypes[k] for c, k in columns.items() if k in dtypes})


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
