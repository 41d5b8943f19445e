"""From hospital tables to one row per patient: who is in, the index admission, the outcome."""

import logging
from collections.abc import Callable

import numpy as np
import pandas as pd

from . import extract, phecode
from .errors import InputError
from .schema import Column, Schema

log = logging.getLogger(__name__)

RACES = ("WHITE", "BLACK", "ASIAN", "HISPANIC", "UNKNOWN", "OTHER")

OUTCOMES = {
    "DIE_1y": "Death within a year of discharge",
    "DIE_any": "Any recorded death after discharge",
}

DEMOGRAPHICS = (
    Column("sex", "categorical", "demographic", "Sex", categories=("F", "M")),
    Column("race", "categorical", "demographic", "Race", categories=RACES),
    Column("age", "continuous", "demographic", "Age", unit="years", lower=18, upper=extract.OLDEST,
           decimals=0),
)  # fmt: skip
# The bounds are what a living adult can have; what lies outside is a slip of the keyboard.
MEASUREMENTS = (
    Column("bmi", "continuous", "measurement", "Body mass index", unit="kg/m2", lower=10, upper=60,
           decimals=1),
    Column("systolic", "continuous", "measurement", "Systolic blood pressure", unit="mmHg",
           lower=60, upper=250, decimals=0),
    Column("diastolic", "continuous", "measurement", "Diastolic blood pressure", unit="mmHg",
           lower=30, upper=150, decimals=0),
)  # fmt: skip


def build_patients(
    tables: dict[str, pd.DataFrame], outcome: str | None = None, code_level: str = "phecode"
) -> pd.DataFrame:
    """Make the patient table, one row per patient, with its schema attached.

    In the cohort are the patients with an admission who did not die in hospital. The last
    admission is the index; diagnoses count up to and including it, measurements are the latest
    up to its discharge, and the outcome is what happens afterwards.

    Parameters
    ----------
    tables : dict of str to DataFrame
        What :func:`ehrsynth.load` returns.
    outcome : {"DIE_1y", "DIE_any"}, optional
        Death within 365 days of the index discharge (the default), or any recorded death after
        it. Flat data sets bring their own outcome.
    code_level : {"phecode", "leaf", "category"}
        Whole phecodes, their most specific form, or their categories.

    Returns
    -------
    DataFrame
        The outcome, ``sex``, ``race``, ``age``, the measurements (NaN when not measured) and one
        ``phe_...`` column of 0/1 for each code that occurs; no identifiers.

    Raises
    ------
    InputError
        If no patient is left, or the outcome is the same for all.
    """
    flat = _flat_source(tables)
    if flat is not None:
        return _checked(flat(tables, outcome, code_level))
    outcome = outcome or "DIE_1y"
    if outcome not in OUTCOMES:
        raise InputError(f"Unknown outcome {outcome!r}; use one of {', '.join(OUTCOMES)}.")
    tables = extract.lazy(tables)
    expression, index = extract.patients(tables, outcome)
    people = extract.collect(expression)
    if people.empty:
        raise _nobody(tables)
    subjects = people.pop("subject_id").to_numpy()
    people = people.astype({outcome: "uint8"} | {c.name: "float64" for c in MEASUREMENTS})
    for column in DEMOGRAPHICS:
        if column.kind == "categorical":
            people[column.name] = pd.Categorical(people[column.name], list(column.categories))
    row, number, found = extract.distinct_codes(
        tables["diagnoses"], index, ["icd_version", "icd_code"], subjects
    )
    codes, code_columns = _phecodes(row, number, found, len(subjects), code_level)
    table = pd.concat([people, codes], axis=1)
    first = Column(outcome, "binary", "outcome", OUTCOMES[outcome])
    schema = Schema((first, *DEMOGRAPHICS, *MEASUREMENTS, *code_columns))
    return _checked(schema.attach(table))


def split(
    patients: pd.DataFrame, holdout: float = 0.3, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split the patients into train and holdout, with the same share of outcomes in both.

    Parameters
    ----------
    patients : DataFrame
        The patient table.
    holdout : float
        Share of the patients in the holdout, between 0 and 1.
    seed : int

    Returns
    -------
    train, holdout : DataFrame
        In the order of `patients`, with a new index and the schema attached.
    """
    if not 0 < holdout < 1:
        raise InputError(f"The share of the holdout is {holdout}; give one between 0 and 1.")
    if len(patients) < 2:
        raise InputError(f"A table of {len(patients)} patients cannot be split; give more.")
    schema = Schema.of(patients)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(patients))
    if schema.outcome is not None:
        values = schema.outcome_values(patients)
        order = order[np.argsort(values[order], kind="stable")]
    # Every class gets its share: along the sorted order the holdout is taken at equal steps.
    size = min(max(round(holdout * len(order)), 1), len(order) - 1)
    chosen = np.zeros(len(order), dtype=bool)
    steps = (np.arange(size) + 0.5) * len(order) / size
    chosen[order[steps.astype(np.int64)]] = True
    parts = (patients[~chosen], patients[chosen])
    train, test = (schema.attach(part.reset_index(drop=True)) for part in parts)
    return train, test


# -- the parts of the patient table ----------------------------------------------------


def code_table(
    diagnoses: pd.DataFrame, subjects: pd.Index, level: str
) -> tuple[pd.DataFrame, list[Column]]:
    """One 0/1 column for each code that these subjects have, and what the columns are.

    Parameters
    ----------
    diagnoses : DataFrame
        ``subject_id``, ``icd_code``, ``icd_version``; others' rows are left out.
    subjects : Index
        The subject_id of each row of the result.
    level : {"phecode", "leaf", "category"}
    """
    known = diagnoses[["subject_id", "icd_code", "icd_version"]]
    known = known[known["subject_id"].isin(subjects)]
    keys = ["icd_version", "icd_code"]
    number = known.groupby(keys, dropna=False).ngroup().to_numpy()
    found = known.groupby(keys, dropna=False).size().rename("rows").reset_index()
    row = subjects.get_indexer(known["subject_id"])
    codes, columns = _phecodes(row, number, found, len(subjects), level)
    return codes.set_axis(subjects), columns


def _phecodes(
    row: np.ndarray, number: np.ndarray, found: pd.DataFrame, n: int, level: str
) -> tuple[pd.DataFrame, list[Column]]:
    """Patient `row` has the ICD code `number` of `found`: a 0/1 column for each phecode."""
    mapped = phecode.map_icd(found, level)
    _report_unmapped(found, mapped.index)
    codes = np.sort(mapped["phecode"].unique())
    meaning = phecode.definitions(level)
    columns = [
        Column(f"phe_{code.replace(' ', '_')}", "binary", "diagnosis", meaning.at[code, "name"],
               code=code, sex=meaning.at[code, "sex"])
        for code in codes
    ]  # fmt: skip
    place = pd.Index(codes).get_indexer(mapped["phecode"])
    pairs = pd.DataFrame({"number": mapped.index, "place": place})
    has = pd.DataFrame({"row": row, "number": number}).merge(pairs, on="number")
    return _zeros_and_ones(has["row"], has["place"], n, [c.name for c in columns]), columns


def _zeros_and_ones(row, place, n: int, names: list[str]) -> pd.DataFrame:
    """A table of `n` rows that is 1 at these places and 0 elsewhere (uint8)."""
    # Column by column in memory, as pandas will read it.
    values = np.zeros((n, len(names)), dtype=np.uint8, order="F")
    values[np.asarray(row), np.asarray(place)] = 1
    return pd.DataFrame(values, columns=names, copy=False)


def _report_unmapped(found: pd.DataFrame, mapped: pd.Index) -> None:
    lost = found[~found.index.isin(mapped)]
    if len(lost):
        often = lost.sort_values(["rows", "icd_version", "icd_code"], ascending=[False, True, True])
        log.info(
            "%s of %s diagnosis rows have no phecode (%s codes, most often %s).",
            f"{lost['rows'].sum():,}", f"{found['rows'].sum():,}", f"{len(lost):,}",
            ", ".join(often["icd_code"].head(5).astype(str)),
        )  # fmt: skip


# -- checks ----------------------------------------------------------------------------


def _flat_source(tables: dict[str, pd.DataFrame]) -> Callable | None:
    """The function that makes the patient table of a flat data set, None for hospital tables."""
    if "encounters" in tables:
        from .datasets import diabetes130

        return diabetes130.to_patients
    if "table" in tables:
        from .datasets import table

        return table.to_patients
    missing = {"patients", "admissions", "diagnoses", "measurements"} - set(tables)
    if missing:
        raise InputError(f"The table {sorted(missing)[0]!r} is missing from the hospital tables.")
    return None


def _nobody(tables: dict) -> InputError:
    patients, admissions = (
        int(tables[name].count().execute()) for name in ("patients", "admissions")
    )
    return InputError(
        "No patient is left in the cohort: "
        f"{patients} patients have {admissions} admissions, "
        "and none of the patients with an admission survived it; check the admissions."
    )


def _checked(patients: pd.DataFrame) -> pd.DataFrame:
    """The table itself, unless its outcome is the same for everybody."""
    schema = Schema.of(patients)
    if schema.outcome is not None:
        values = schema.outcome_values(patients)
        ones = int(values.sum())
        if ones in (0, len(values)):
            raise InputError(
                f"Outcome {schema.outcome!r} is {values[0]} for all {len(values)} patients; "
                "choose another outcome or more patients."
            )
    return patients
