"""An OMOP CDM database (version 5.4, and 5.3 as far as it is the same).

https://ohdsi.github.io/CommonDataModel/cdm54.html. Diagnoses are taken from the ICD source codes
where the database kept them, since phecodes are defined on these; where it did not, each standard
concept is a column of its own. Nothing is left out in silence: what has neither is counted.
"""

import logging
import tomllib
from collections.abc import Mapping
from functools import reduce
from pathlib import Path

import pandas as pd

from ..errors import InputError
from . import engine, quality
from .engine import Table
from .omop_files import read
from .tables import HISPANIC, UNITS, check_included

log = logging.getLogger(__name__)

# Standard concepts, whose numbers are the same in every OMOP database.
_KNOWN = tomllib.loads(Path(__file__).with_name("omop.toml").read_text("utf-8"))
_SEXES, _RACES = ({int(k): v for k, v in _KNOWN[name].items()} for name in ("sexes", "races"))
_ICD10_SINCE = "2015-10-01"
VISITS = _KNOWN["visits"]
_ENOUGH = 0.5


def load(data: str | Path, include: tuple[str, ...] = ()) -> dict[str, pd.DataFrame]:
    """The tables of :func:`scan` in memory.

    Parameters
    ----------
    data, include : as for :func:`scan`
    """
    tables = scan(data, include=include).items()
    return {n: t if isinstance(t, pd.DataFrame) else engine.collect(t) for n, t in tables}


def scan(data: str | Path, con=None, include: tuple[str, ...] = ()) -> dict[str, Table]:
    """Read the hospital tables, lazily.

    Admissions are inpatient stays if at least half of the people with a condition have one, else
    visits of every kind if as many have one, else the days with a condition.

    They are those of :func:`ehrsynth.sources.mimic_iv.scan` (``diagnoses`` with their ``time``),
    ``concepts(subject_id, time, code, label)`` with the conditions that have no ICD code, and those
    of `include`, of the same form.

    Parameters
    ----------
    data : str or Path
        A folder or ``.zip`` file with one CSV or Parquet file a table, a DuckDB file with the
        tables in any schema, opened read-only, or the URL of a database for Ibis, such as
        ``postgres://user@host/name``. Names may be in upper or lower case.
    con : ibis backend, optional
        A DuckDB of :func:`ehrsynth.sources.engine.connect`; by default one of its own.
    include : tuple of {"procedures", "medications", "labs"}
        Further tables of what happened, by standard concept.
    """
    check_included(include)
    con = engine.connect() if con is None else con
    raw, found = read(con, data, [_KNOWN["included"][name][0] for name in include])
    named = {"concept_name": raw["concept"]["concept_name"].min()}  # one name for each concept
    concepts = raw["concept"].group_by("concept_id").aggregate(**named)
    conditions = engine.store(con, _conditions(raw["condition_occurrence"], raw["concept"]))
    has_icd = conditions["icd_code"].notnull()
    events = {"conditions": conditions, "measurements": _measurements(raw)}
    kind, admissions = _visits(raw["visit_occurrence"], conditions)
    patients, admissions, wrong = quality.settle(
        _patients(raw), admissions, events, "inpatient" if kind == "inpatient" else "visits"
    )
    patients = engine.store(con, patients)
    admissions = _with_race_and_death(
        admissions, patients, _race(raw["person"], concepts), kind == "inpatient"
    )
    return {
        "patients": patients,
        "admissions": engine.store(con, admissions),
        "diagnoses": conditions.filter(has_icd).rename(concept="code"),
        "measurements": events["measurements"],
        "concepts": _labeled(conditions.filter(~has_icd), concepts),
        **{name: _included(name, raw, concepts) for name in include},
        "quality": quality.note([*found, *wrong]),
    }


def _labeled(events: Table, concepts: Table, *more: str) -> Table:
    """``subject_id``, ``time``, ``code`` (text) and ``label``: what the concept is called."""
    table = events.left_join(concepts, events["code"] == concepts["concept_id"])
    code, name = table["code"].cast("string"), table["concept_name"]
    return table.select("subject_id", "time", *more, code=code, label=name.coalesce(code))


def _patients(raw: Mapping[str, Table]) -> Table:
    person = raw["person"]
    written = person["gender_source_value"].upper()
    sex = written.startswith("F").ifelse("F", written.startswith("M").ifelse("M", None))
    sex = person["gender_concept_id"].substitute(_SEXES, else_=sex)
    patients = person.select(
        subject_id="person_id", sex=sex, anchor_age=engine.literal(0), anchor_year="year_of_birth"
    )
    death = raw["death"].group_by("person_id").aggregate(death_date=lambda t: t["death_date"].min())
    joined = patients.left_join(death, patients["subject_id"] == death["person_id"])
    return joined.select(*patients.columns, "death_date")


def _race(person: Table, concepts: Table) -> Table:
    """``person_id`` and ``race``, in the words that the cohort knows."""
    table = person.left_join(concepts, person["race_concept_id"] == concepts["concept_id"])
    concept, written = table["race_concept_id"], table["race_source_value"]
    named = (concept > 0).ifelse(table["concept_name"], None).coalesce(written)
    race = concept.substitute(_RACES, else_=named)
    hispanic = table["ethnicity_concept_id"] == _KNOWN["hispanic"]
    return table.select("person_id", race=hispanic.ifelse(HISPANIC, race))


def _conditions(condition: Table, concept: Table) -> Table:
    """With ``icd_code``, ``icd_version`` and ``code``, the standard concept; each may be NULL."""
    icd = concept.filter(concept["vocabulary_id"].upper().isin(["ICD9CM", "ICD10CM"]))
    icd = icd.group_by("concept_id").aggregate(
        named=icd["concept_code"].max(), vocabulary=icd["vocabulary_id"].upper().max()
    )
    table = condition.left_join(icd, condition["condition_source_concept_id"] == icd["concept_id"])
    value = table["condition_source_value"].upper()
    no_concept = table["condition_source_concept_id"].fill_null(0) == 0
    old = table["condition_start_date"] < engine.literal(_ICD10_SINCE).cast("timestamp")
    both = value.re_search("^[EV]")
    looks = {int(v): (value.re_search(pattern) & no_concept).fill_null(False)
             for v, pattern in _KNOWN["icd"].items()}  # fmt: skip
    nine = looks[9] & (~looks[10] | ~both | old)
    ten = looks[10] & ~nine
    version = nine.ifelse(9, ten.ifelse(10, None))
    code = (nine | ten).ifelse(value, None)
    from_concept = table["vocabulary"].notnull()
    version = from_concept.ifelse((table["vocabulary"] == "ICD9CM").ifelse(9, 10), version)
    code = from_concept.ifelse(table["named"], code)
    standard = table["condition_concept_id"].nullif(0)
    return table.select(
        subject_id="person_id", time="condition_start_date", icd_code=code,
        icd_version=version.cast("int64"), code=standard,
    )  # fmt: skip


def _with_race_and_death(admissions: Table, patients: Table, race: Table, stays: bool) -> Table:
    """The admissions with ``race`` and ``died_in_hospital``."""
    dead = patients.select("subject_id", "death_date")
    table = admissions.left_join(dead, "subject_id").select(*admissions.columns, "death_date")
    death, begin, end = (table[c].date() for c in ("death_date", "admit_time", "discharge_time"))
    died = (death >= begin) & (death <= end) if stays else engine.literal(False)
    table = table.mutate(died_in_hospital=died.fill_null(False)).drop("death_date")
    return table.left_join(race, table["subject_id"] == race["person_id"]).drop("person_id")


def _visits(visit: Table, conditions: Table) -> tuple[str, Table]:
    """The admissions: of the kinds in :data:`VISITS` the first one that is common enough."""
    table = visit.select(
        subject_id="person_id", hadm_id="visit_occurrence_id", kind="visit_concept_id",
        admit_time="visit_start_date", discharge_time="visit_end_date",
    )  # fmt: skip
    days = conditions.select("subject_id", "time").distinct().select(
        "subject_id", hadm_id=engine.literal(0), admit_time="time", discharge_time="time"
    )  # fmt: skip
    inpatient = table.filter(table["kind"].isin(_KNOWN["inpatient"]))
    kinds = {"inpatient": inpatient.drop("kind"), "all": table.drop("kind"), "days": days}
    people = {name: int(t["subject_id"].nunique().execute()) for name, t in kinds.items()}
    for kind, n in people.items():
        if n and n >= _ENOUGH * people["days"]:
            log.info("Admissions are %s.", VISITS[kind])
            return kind, kinds[kind]
    raise InputError("The OMOP database has no visits and no conditions; check its tables.")


def _measurements(raw: Mapping[str, Table]) -> Table:
    table, parts = raw["measurement"], []
    for name, (concept, loinc) in _KNOWN["measured"].items():
        wanted = table["measurement_concept_id"] == concept
        wanted |= table["measurement_source_value"] == loinc
        rows = table.filter(wanted, table["value_as_number"].notnull())
        parts.append(rows.select(
            subject_id="person_id", row="measurement_id", time="measurement_date",
            name=engine.literal(name), value="value_as_number", unit=engine.literal(UNITS[name]),
        ))  # fmt: skip
    return reduce(lambda a, b: a.union(b), parts)


def _included(name: str, raw: Mapping[str, Table], concepts: Table) -> Table:
    """``subject_id``, ``time``, ``code`` and ``label`` of procedures, medications or labs."""
    table, concept, day = _KNOWN["included"][name]
    events = raw[table].filter(raw[table][concept].fill_null(0) != 0)
    named = {"subject_id": "person_id", "time": day, "code": concept}
    if name != "labs":
        return _labeled(events.select(**named), concepts)
    value = events["value_as_number"]
    high = (value > events["range_high"]).ifelse("high", None)
    flag = high.coalesce((value < events["range_low"]).ifelse("low", None))
    events = events.select(**named, flag=flag)
    events = _labeled(events.filter(events["flag"].notnull()), concepts, "flag")
    flag = events["flag"]
    return events.select(
        "subject_id", "time", code=events["code"] + "_" + flag, label=events["label"] + ", " + flag
    )
