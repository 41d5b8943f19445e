"""From hospital tables to one row per patient: who is in, the index admission, the outcome."""

import logging
from collections.abc import Callable

import numpy as np
import pandas as pd

from . import phecode
from .errors import InputError
from .schema import Column, Schema

log = logging.getLogger(__name__)

RACES = ("WHITE", "BLACK", "ASIAN", "HISPANIC", "UNKNOWN", "OTHER")
_RACE_UNKNOWN = r"^(?:UNKNOWN|UNABLE TO OBTAIN|PATIENT DECLINED)"
OLDEST = 91  # MIMIC-IV gives everyone older than 89 this age

OUTCOMES = {
    "DIE_1y": "Death within a year of discharge",
    "DIE_any": "Any recorded death after discharge",
}
_YEAR = 365  # days

DEMOGRAPHICS = (
    Column("sex", "categorical", "demographic", "Sex", categories=("F", "M")),
    Column("race", "categorical", "demographic", "Race", categories=RACES),
    Column("age", "continuous", "demographic", "Age", unit="years", lower=18, upper=OLDEST,
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
    index = _index_admissions(tables["patients"], tables["admissions"])
    died = _outcome(index, outcome)
    columns = [Column(outcome, "binary", "outcome", OUTCOMES[outcome]), *DEMOGRAPHICS]
    people = pd.DataFrame(
        {
            outcome: died.astype("uint8"),
            "sex": pd.Categorical(index["sex"], categories=["F", "M"]),
            "race": group_race(index["race"]),
            "age": _age(index),
        },
        index=index.index,
    )
    measured = _latest_measurements(tables["measurements"], index["discharge_time"])
    codes, code_columns = code_table(tables["diagnoses"], index.index, code_level)
    table = pd.concat([people, measured, codes], axis=1).reset_index(drop=True)
    schema = Schema((*columns, *MEASUREMENTS, *code_columns))
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


def group_race(race: pd.Series) -> pd.Categorical:
    """MIMIC-IV's strings ("WHITE - RUSSIAN", "UNABLE TO OBTAIN", ...) to six races."""
    text = race.fillna("UNKNOWN").astype("str").str.strip().str.upper()
    group = pd.Series("OTHER", index=text.index, dtype="str")
    for name in ("WHITE", "BLACK", "ASIAN", "HISPANIC"):
        group = group.mask(text.str.startswith(name), name)
    group = group.mask(text.str.contains(_RACE_UNKNOWN), "UNKNOWN")
    return pd.Categorical(group, categories=list(RACES))


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
    _report_unmapped(known)
    mapped = phecode.map_icd(known, level)
    codes = pd.Index(np.sort(mapped["phecode"].unique()))
    values = np.zeros((len(subjects), len(codes)), dtype=np.uint8)
    values[subjects.get_indexer(mapped["subject_id"]), codes.get_indexer(mapped["phecode"])] = 1
    meaning = phecode.definitions(level)
    columns = [
        Column(f"phe_{code.replace(' ', '_')}", "binary", "diagnosis", meaning.at[code, "name"],
               code=code, sex=meaning.at[code, "sex"])
        for code in codes
    ]  # fmt: skip
    return pd.DataFrame(values, index=subjects, columns=[c.name for c in columns]), columns


def _report_unmapped(diagnoses: pd.DataFrame) -> None:
    lost = phecode.unmapped(diagnoses)
    if len(lost):
        examples = ", ".join(lost["icd_code"].head(5).astype(str))
        log.info(
            "%s of %s diagnosis rows have no phecode (%s codes, most often %s).",
            f"{lost['rows'].sum():,}", f"{len(diagnoses):,}", f"{len(lost):,}", examples,
        )  # fmt: skip


def _index_admissions(patients: pd.DataFrame, admissions: pd.DataFrame) -> pd.DataFrame:
    """The last admission of everyone who did not die in hospital, by subject_id."""
    dead = admissions.loc[admissions["died_in_hospital"], "subject_id"]
    alive = admissions[~admissions["subject_id"].isin(dead)]
    last = alive.sort_values(["subject_id", "admit_time", "discharge_time", "hadm_id"])
    last = last.drop_duplicates("subject_id", keep="last")
    index = last.merge(patients, on="subject_id", how="inner").set_index("subject_id")
    if index.empty:
        raise InputError(
            "No patient is left in the cohort: "
            f"{len(patients)} patients have {len(admissions)} admissions, "
            "and none of the patients with an admission survived it; check the admissions."
        )
    return index.sort_index()


def _age(index: pd.DataFrame) -> pd.Series:
    age = index["anchor_age"] + index["admit_time"].dt.year - index["anchor_year"]
    return age.clip(upper=OLDEST).astype("float64")


def _outcome(index: pd.DataFrame, outcome: str) -> pd.Series:
    if outcome == "DIE_any":
        return index["death_date"].notna()
    # Deaths are dated by the day, so the discharge is too.
    days = index["death_date"].dt.floor("D") - index["discharge_time"].dt.floor("D")
    return days <= pd.Timedelta(days=_YEAR)


def _latest_measurements(measurements: pd.DataFrame, until: pd.Series) -> pd.DataFrame:
    """The latest value of each measurement up to each subject's time (the day included)."""
    names = [column.name for column in MEASUREMENTS]
    known = measurements[measurements["name"].isin(names)]
    limit = known["subject_id"].map(until)
    known = known[known["time"].dt.floor("D") <= limit]
    # A stable sort: of two values of one day the later row of the file is kept, and both numbers
    # of a pressure come from the same reading.
    latest = known.sort_values("time", kind="stable").drop_duplicates(
        ["subject_id", "name"], keep="last"
    )
    table = latest.pivot(index="subject_id", columns="name", values="value")
    table = table.reindex(index=until.index, columns=names).astype("float64")
    # The heart never rests at a higher pressure than it beats: somebody swapped or mistyped the
    # two numbers, and nobody can tell which of them is right.
    pressure = ["systolic", "diastolic"]
    table.loc[table["diastolic"] >= table["systolic"], pressure] = np.nan
    return table


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
