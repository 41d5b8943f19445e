"""The reference for :mod:`ehrsynth.sources.engine`: the same patient table in plain pandas."""

import numpy as np
import pandas as pd

from ehrsynth.cohort import DEMOGRAPHICS, OUTCOMES
from ehrsynth.phecode import code_table
from ehrsynth.schema import Column, Schema
from ehrsynth.sources.tables import MEASUREMENTS, RACES

OLDEST = 91
YEAR = 365  # days
RACE_UNKNOWN = r"^(?:UNKNOWN|UNABLE TO OBTAIN|PATIENT DECLINED)"


def build_patients(tables, outcome="DIE_1y", code_level="phecode"):
    """What ``ehrsynth.build_patients`` makes of hospital tables, with everything in memory."""
    index = _index_admissions(tables["patients"], tables["admissions"])
    people = pd.DataFrame(
        {
            outcome: _outcome(index, outcome).astype("uint8"),
            "sex": pd.Categorical(index["sex"], categories=["F", "M"]),
            "race": group_race(index["race"]),
            "age": _age(index),
        },
        index=index.index,
    )
    measured = _latest_measurements(tables["measurements"], index["discharge_time"])
    codes, code_columns = code_table(tables["diagnoses"], index.index, code_level)
    table = pd.concat([people, measured, codes], axis=1).reset_index(drop=True)
    first = Column(outcome, "binary", "outcome", OUTCOMES[outcome].title)
    return Schema((first, *DEMOGRAPHICS, *MEASUREMENTS, *code_columns)).attach(table)


def group_race(race: pd.Series) -> pd.Categorical:
    """MIMIC-IV's strings ("WHITE - RUSSIAN", "UNABLE TO OBTAIN", ...) to six races."""
    text = race.fillna("UNKNOWN").astype("str").str.strip().str.upper()
    group = pd.Series("OTHER", index=text.index, dtype="str")
    for name in ("WHITE", "BLACK", "ASIAN", "HISPANIC"):
        group = group.mask(text.str.startswith(name), name)
    group = group.mask(text.str.contains(RACE_UNKNOWN), "UNKNOWN")
    return pd.Categorical(group, categories=list(RACES))


def _index_admissions(patients: pd.DataFrame, admissions: pd.DataFrame) -> pd.DataFrame:
    """The last admission of everyone who did not die in hospital, by subject_id."""
    dead = admissions.loc[admissions["died_in_hospital"], "subject_id"]
    alive = admissions[~admissions["subject_id"].isin(dead)]
    last = alive.sort_values(["subject_id", "admit_time", "discharge_time", "hadm_id"])
    last = last.drop_duplicates("subject_id", keep="last")
    index = last.merge(patients, on="subject_id", how="inner").set_index("subject_id")
    return index.sort_index()


def _age(index: pd.DataFrame) -> pd.Series:
    age = index["anchor_age"] + index["admit_time"].dt.year - index["anchor_year"]
    return age.clip(upper=OLDEST).astype("float64")


def _outcome(index: pd.DataFrame, outcome: str) -> pd.Series:
    if outcome == "DIE_any":
        return index["death_date"].notna()
    # Deaths are dated by the day, so the discharge is too.
    days = index["death_date"].dt.floor("D") - index["discharge_time"].dt.floor("D")
    return days <= pd.Timedelta(days=YEAR)


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
