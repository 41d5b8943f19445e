"""The hospital tables that every source yields, and the words in which they are written.

``patients(subject_id, sex, anchor_age, anchor_year, death_date)``,
``admissions(subject_id, hadm_id, admit_time, discharge_time, died_in_hospital, race)``,
``diagnoses(subject_id, hadm_id, icd_code, icd_version)``,
``measurements(subject_id, time, name, value, unit)``, and for what is included
``(subject_id, time, code, label)``.
"""

from collections.abc import Iterable, Mapping

from ..errors import InputError
from ..schema import BMI, DIASTOLIC, SYSTOLIC, Column

WHITE, BLACK, ASIAN, HISPANIC, UNKNOWN, OTHER = RACES = (
    "WHITE", "BLACK", "ASIAN", "HISPANIC", "UNKNOWN", "OTHER",
)  # fmt: skip
OLDEST = 91  # MIMIC-IV gives everyone older than 89 this age
LONGEST_LIFE = 120  # years; what is beyond it is a slip of the keyboard
# The bounds are what a living adult can have; what lies outside is a slip of the keyboard.
_PLAUSIBLE = (
    (BMI, "Body mass index", "kg/m2", 10, 60, 1),
    (SYSTOLIC, "Systolic blood pressure", "mmHg", 60, 250, 0),
    (DIASTOLIC, "Diastolic blood pressure", "mmHg", 30, 150, 0),
)
MEASUREMENTS = tuple(
    Column(name, "continuous", "measurement", label, unit=unit, lower=lower, upper=upper,
           decimals=decimals)
    for name, label, unit, lower, upper, decimals in _PLAUSIBLE
)  # fmt: skip
UNITS = {column.name: column.unit for column in MEASUREMENTS}
# What can have happened beside the diagnoses: the role and the beginning of its columns' names.
EVENTS = {
    "concepts": ("diagnosis", "con"),
    "procedures": ("procedure", "pro"),
    "medications": ("medication", "med"),
    "labs": ("lab", "lab"),
}
INCLUDABLE = tuple(name for name in EVENTS if name != "concepts")  # which are always there


def check_hospital(tables: Mapping[str, object]) -> None:
    """Raise for a hospital without one of its four tables."""
    for name in ("admissions", "diagnoses", "measurements", "patients"):
        if name not in tables:
            raise InputError(f"The table {name!r} is missing from the hospital tables.")


def check_included(include: Iterable[str]) -> None:
    """Raise for a name that is not in :data:`INCLUDABLE`."""
    for name in include:
        if name not in INCLUDABLE:
            raise InputError(
                f"Unknown kind of columns {name!r}; use one of {', '.join(INCLUDABLE)}."
            )
