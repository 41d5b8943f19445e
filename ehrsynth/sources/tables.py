"""The hospital tables that every source yields, and the words in which they are written.

``patients(subject_id, sex, anchor_age, anchor_year, death_date)``,
``admissions(subject_id, hadm_id, admit_time, discharge_time, died_in_hospital, race)``,
``diagnoses(subject_id, hadm_id, icd_code, icd_version)``,
``measurements(subject_id, time, name, value, unit)``, and for what is included
``(subject_id, time, code, label)``.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from ..errors import InputError, check_choice
from ..schema import BMI, DIASTOLIC, SYSTOLIC, Column

WHITE, BLACK, ASIAN, HISPANIC, UNKNOWN, OTHER = RACES = (
    "WHITE", "BLACK", "ASIAN", "HISPANIC", "UNKNOWN", "OTHER",
)  # fmt: skip
OLDEST = 91  # MIMIC-IV gives everyone older than 89 this age
LONGEST_LIFE = 120  # years; what is beyond it is a slip of the keyboard
# The bounds are what a living adult can have; what lies outside is a slip of the keyboard.
MEASUREMENTS = tuple(
    Column(name, "continuous", "measurement", label, unit=unit, lower=lower, upper=upper,
           decimals=decimals)
    for name, label, unit, lower, upper, decimals in (
        (BMI, "Body mass index", "kg/m2", 10, 60, 1),
        (SYSTOLIC, "Systolic blood pressure", "mmHg", 60, 250, 0),
        (DIASTOLIC, "Diastolic blood pressure", "mmHg", 30, 150, 0),
    )
)  # fmt: skip
UNITS = {column.name: column.unit for column in MEASUREMENTS}
# What can have happened beside the diagnoses: the role and the beginning of its columns' names.
INCLUDABLE = ("procedures", "medications", "labs")  # concepts are always there
EVENTS = {"concepts": ("diagnosis", "con")}
EVENTS |= {name: (name.removesuffix("s"), name[:3]) for name in INCLUDABLE}


def columns_of(source: str) -> dict[str, dict[str, str]]:
    """The columns that a reader uses, by table, with the kind of value; "?": may be blank."""
    rows = pd.read_csv(Path(__file__).with_name(f"{source}.csv"))
    return {table: dict(zip(of["column"], of["kind"], strict=True))
            for table, of in rows.groupby("table", sort=False)}  # fmt: skip


def check_tables(tables: Mapping[str, object], include: Iterable[str] = ()) -> None:
    """Raise for a hospital without one of its four tables, or what is included."""
    check_included(include)
    for name in ("admissions", "diagnoses", "measurements", "patients"):
        if name not in tables:
            raise InputError(f"The table {name!r} is missing from the hospital tables.")
    if missing := [name for name in include if name not in tables]:
        raise InputError(f"These tables were read without {missing[0]}; read them with include.")


def check_included(include: Iterable[str]) -> None:
    """Raise for a name that is not in :data:`INCLUDABLE`."""
    for name in include:
        check_choice("kind of columns", name, INCLUDABLE)
