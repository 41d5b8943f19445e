"""An OMOP CDM database (version 5.4, and 5.3 as far as it is the same).

A folder or zip file of CSV or Parquet files, one a table, or a DuckDB file, which is opened
read-only. Names of tables and columns may be in upper or lower case, and the tables of a DuckDB
file in any schema.

Diagnoses are taken from the ICD source codes where the database kept them, since phecodes are
defined on these; where it did not, each standard concept is a column of its own. Nothing is left
out in silence: what has neither is counted.

Source: OHDSI, OMOP Common Data Model 5.4, https://ohdsi.github.io/CommonDataModel/cdm54.html
"""

import gzip
import logging
import shutil
import tempfile
import weakref
import zipfile
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..errors import InputError
from . import engine
from .tables import UNITS, check_included

if TYPE_CHECKING:
    import ibis

log = logging.getLogger(__name__)

# The columns that are used, with the kind of value they hold; "?" marks those that may be absent
# or hold nothing.
TABLES = {
    "person": {
        "person_id": "whole", "gender_concept_id": "whole?", "year_of_birth": "whole",
        "race_concept_id": "whole?", "ethnicity_concept_id": "whole?",
        "gender_source_value": "text?", "race_source_value": "text?",
    },
    "visit_occurrence": {
        "visit_occurrence_id": "whole", "person_id": "whole", "visit_concept_id": "whole",
        "visit_start_date": "date", "visit_end_date": "date?",
    },
    "condition_occurrence": {
        "person_id": "whole", "condition_concept_id": "whole?", "condition_start_date": "date",
        "condition_source_value": "text?", "condition_source_concept_id": "whole?",
    },
    "concept": {
        "concept_id": "whole", "concept_name": "text?", "vocabulary_id": "text?",
        "concept_code": "text?",
    },
    "measurement": {
        "measurement_id": "whole", "person_id": "whole", "measurement_concept_id": "whole?",
        "measurement_date": "date", "value_as_number": "number?", "range_low": "number?",
        "range_high": "number?", "measurement_source_value": "text?",
    },
    "death": {"person_id": "whole", "death_date": "date"},
    "procedure_occurrence": {
        "person_id": "whole", "procedure_concept_id": "whole?", "procedure_date": "date",
    },
    "drug_exposure": {
        "person_id": "whole", "drug_concept_id": "whole?", "drug_exposure_start_date": "date",
    },
}  # fmt: skip
_NEEDED = ("person", "visit_occurrence", "condition_occurrence", "concept")
_INCLUDED = {
    "procedures": "procedure_occurrence", "medications": "drug_exposure", "labs": "measurement",
}  # fmt: skip
_SUFFIXES = (".parquet", ".csv", ".csv.gz")
_TYPES = {"whole": "int64", "date": "timestamp", "text": "string", "number": "float64"}
_WHAT = {
    "whole": "whole numbers", "date": "dates like 2015-01-31", "number": "numbers", "text": "text",
}  # fmt: skip

# Standard concepts, whose numbers are the same in every OMOP database.
_SEXES = {8507: "M", 8532: "F"}
_RACES = {8527: "WHITE", 8516: "BLACK", 8515: "ASIAN", 8557: "OTHER", 8657: "OTHER"}
_HISPANIC = 38003563
_INPATIENT = (9201, 262, 8717, 32037, 581379)
_MEASURED = {  # concept, LOINC code, and the hospital tables' name
    3038553: ("39156-5", "bmi"),
    3004249: ("8480-6", "systolic"),
    3012888: ("8462-4", "diastolic"),
}
# Source values of a database without source concepts are taken for ICD codes by their looks; the
# letters E and V begin codes of both versions, which the day of the change tells apart.
_ICD_LOOKS = {
    9: r"^([0-9]{3}(\.?[0-9]{1,2})?|V[0-9]{2}(\.?[0-9]{1,2})?|E[89][0-9]{2}(\.?[0-9])?)$",
    10: r"^[A-Z][0-9][0-9A-Z](\.?[0-9A-Z]{1,4})?$",
}
_ICD10_SINCE = "2015-10-01"
# Kinds of visit, the most telling first; the first that at least this share of the people with a
# condition has is used.
VISITS = {
    "inpatient": "inpatient stays",
    "all": "visits of every kind, of which few are inpatient",
    "days": "days with a condition, since few people have a visit",
}
_ENOUGH = 0.5
_OLDEST = 120
_MAGIC = slice(8, 12)  # where a DuckDB file says that it is one


def load(data: str | Path, include: tuple[str, ...] = ()) -> dict[str, pd.DataFrame]:
    """The tables of :func:`scan` in memory."""
    return {name: engine.collect(table) for name, table in scan(data, include=include).items()}


def scan(
    data: str | Path, con=None, include: tuple[str, ...] = (), visits: str | None = None
) -> dict[str, "ibis.Table"]:
    """Read the hospital tables, lazily.

    Parameters
    ----------
    data : str or Path
        A folder or ``.zip`` file with one CSV or Parquet file a table, or a DuckDB file.
    con : ibis backend, optional
        A DuckDB of :func:`ehrsynth.sources.engine.connect`; by default one of its own.
    include : tuple of {"procedures", "medications", "labs"}
        Further tables of what happened, by standard concept.
    visits : {"inpatient", "all", "days"}, optional
        What counts as an admission; by default the first of them that at least half of the people
        with a condition have. Of "days" every day with a condition is one.

    Returns
    -------
    dict of str to Table
        The tables of :func:`ehrsynth.sources.mimic_iv.scan` (``diagnoses`` with their ``time``),
        ``concepts(subject_id, time, code, label)`` with the conditions that have no ICD code, and
        those of `include`, of the same form.

    Raises
    ------
    InputError
        For a missing table or column, and a value that cannot be used.
    """
    check_included(include)
    con = engine.connect() if con is None else con
    find = _finder(con, Path(data))
    wanted = [*_NEEDED, "measurement", "death", *(_INCLUDED[name] for name in include)]
    raw = {}
    for name in dict.fromkeys(wanted):
        found = find(name)
        if found is not None:
            raw[name] = _typed(name, *found)
        elif name not in ("measurement", "death"):
            raise InputError(f"{data} has no OMOP table {name}; give the whole database.")
    _check_people(raw, data)
    concepts = _concepts(raw["concept"])
    patients = _patients(raw)
    conditions = _conditions(raw["condition_occurrence"], raw["concept"])
    admissions = _admissions(raw, patients, conditions, _race(raw["person"], concepts), visits)
    has_icd = conditions["icd_code"].notnull()
    return {
        "patients": patients,
        "admissions": admissions,
        "diagnoses": conditions.filter(has_icd).drop("code"),
        "measurements": _measurements(raw),
        "concepts": _labeled(conditions.filter(~has_icd), concepts),
        **{name: _included(name, raw, concepts) for name in include},
    }


# -- finding the tables ----------------------------------------------------------------


def _finder(con, path: Path):
    """A function from a table's name to (what to call it, its lazy table), or None."""
    if path.is_dir():
        return lambda name: _file(con, path, path, name)
    if zipfile.is_zipfile(path):
        folder = Path(tempfile.mkdtemp(prefix="ehrsynth-"))
        weakref.finalize(con, shutil.rmtree, folder, ignore_errors=True)
        return lambda name: _file(con, _unpacked(path, name, folder), path, name)
    return _database(con, path)


def _unpacked(archive: Path, name: str, folder: Path) -> Path:
    with zipfile.ZipFile(archive) as zipped:
        for member in zipped.namelist():
            # Apple's archiver adds a hidden twin of every file.
            if _table_of(member) == name and "__MACOSX" not in member:
                target = folder / Path(member).name
                with zipped.open(member) as source, open(target, "wb") as file:
                    shutil.copyfileobj(source, file)
    return folder


def _table_of(file: str) -> str:
    """The table that a file of this name holds ("CDM/PERSON.csv" is person's), or ""."""
    name = Path(file).name.lower()
    return next((name.removesuffix(end) for end in _SUFFIXES if name.endswith(end)), "")


def _file(con, folder: Path, where: Path, name: str) -> tuple[str, "ibis.Table"] | None:
    paths = [p for p in sorted(folder.rglob("*")) if _table_of(p.name) == name and p.is_file()]
    if not paths:
        return None
    path = paths[0]
    label = str(path) if where == folder else f"{path.name} in {where}"
    try:
        return label, engine.read_file(con, path, tabs=_has_tabs(path))
    except Exception as error:  # the engine has kinds of its own
        reason = (str(error).strip().splitlines() or ["it is broken"])[0].rstrip(".")
        raise InputError(
            f"{label} cannot be read ({reason}); check that it is a plain CSV file in UTF-8."
        ) from error


def _has_tabs(path: Path) -> bool:
    """Whether a CSV is parted by tabs, as the vocabularies are that one downloads."""
    if path.suffix == ".parquet":
        return False
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", errors="replace") as file:
        return "\t" in file.readline()


def _database(con, path: Path):
    wanted = "give a folder or zip file of OMOP tables, or a DuckDB file"
    if not path.is_file():
        raise InputError(f"{path} does not exist; {wanted}.")
    with open(path, "rb") as file:
        if file.read(_MAGIC.stop)[_MAGIC] != b"DUCK":  # DuckDB would look for who reads it
            raise InputError(f"{path} is no DuckDB file; {wanted}.")
    name = "'" + str(path).replace("'", "''") + "'"
    try:
        con.con.execute(f"ATTACH {name} AS omop (READ_ONLY)")
    except Exception as error:  # the engine has kinds of its own
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise InputError(f"{path} cannot be opened ({reason}); {wanted}.") from error
    rows = con.con.execute(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'omop' "
        "UNION SELECT schema_name, view_name FROM duckdb_views() WHERE database_name = 'omop'"
    ).fetchall()
    schemas: dict[str, dict[str, str]] = {}
    for schema, table in rows:
        schemas.setdefault(schema, {})[table.lower()] = table
    # The schema that has most of what is used.
    schema = max(
        schemas, key=lambda s: (len(set(schemas[s]) & set(TABLES)), s == "main"), default=""
    )

    def find(name: str):
        table = schemas.get(schema, {}).get(name)
        if table is None:
            return None
        return f"{name} in {path}", con.table(table, database=("omop", schema))

    return find


# -- reading ---------------------------------------------------------------------------


def _typed(name: str, where: str, table: "ibis.Table") -> "ibis.Table":
    """The columns of :data:`TABLES` with their types; a value that does not fit is an error."""
    import ibis

    written = {column.lower(): column for column in table.columns}
    columns, faults = {}, {}
    for column, kind in TABLES[name].items():
        needed, kind = not kind.endswith("?"), kind.rstrip("?")
        if column not in written:
            if needed:
                raise InputError(f"Column {column!r} is missing from {where}.")
            columns[column] = ibis.literal(None).cast(_TYPES[kind])
            continue
        text = table[written[column]]
        value = _value(text, kind)
        columns[column] = value
        if needed:
            faults[column] = value.isnull()
        elif kind != "text":
            blank = text.isnull() | (text.cast("string").strip() == "")
            faults[column] = value.isnull() & ~blank
    found = engine.collect(
        table.aggregate(**{column: fault.sum() for column, fault in faults.items()})
    ).iloc[0]
    for column, number in found.fillna(0).items():
        if number:
            text = table[written[column]]
            rows = table.select(value=text.cast("string"), row=ibis.row_number(),
                                fault=faults[column])  # fmt: skip
            first = engine.collect(rows.filter(rows["fault"]).order_by("row").limit(1)).iloc[0]
            shown = "nothing" if pd.isna(first["value"]) else repr(str(first["value"]))
            what = _WHAT[TABLES[name][column].rstrip("?")]
            raise InputError(
                f"Column {column!r} of {where} should hold {what} but has {shown} in row "
                f"{int(first['row']) + 1}; correct it."
            )
    return table.select(**columns)


def _check_people(raw: Mapping[str, "ibis.Table"], data: object) -> None:
    """Raise for nobody, and for somebody who is there twice."""
    person = raw["person"]
    counts = engine.collect(person.group_by("person_id").aggregate(n=person.count()))
    if counts.empty:
        raise InputError(f"The table person of {data} has no rows.")
    twice = counts.loc[counts["n"] > 1, "person_id"]
    if len(twice):
        raise InputError(
            f"Column 'person_id' of the table person of {data} has {twice.min()} more than once; "
            "keep one row for each person."
        )


def _value(text: "ibis.Value", kind: str) -> "ibis.Value":
    """A column as this kind of value, NULL where it is none."""
    written = text.type()
    if not (written.is_string() or written.is_numeric() or written.is_temporal()):
        text = text.cast("string")  # an empty column can be of any type
    if kind == "date" and text.type().is_numeric():  # seconds since 1970, as SQLite keeps them
        return text.cast("int64").cast("timestamp")
    if kind == "whole" and not text.type().is_integer():  # R and pandas write 8507.0
        number = text.try_cast("float64")
        return (number == number.floor()).ifelse(number, None).cast("int64")
    if kind == "text":
        return text.cast("string").strip().nullif("")
    if text.type().is_string():
        text = text.nullif("")
    return text.try_cast(_TYPES[kind])


def _concepts(concept: "ibis.Table") -> "ibis.Table":
    """One name for each concept."""
    return concept.group_by("concept_id").aggregate(concept_name=concept["concept_name"].min())


def _labeled(events: "ibis.Table", concepts: "ibis.Table") -> "ibis.Table":
    """``subject_id``, ``time``, ``code`` (text) and ``label``: what the concept is called."""
    table = events.left_join(concepts, events["code"] == concepts["concept_id"])
    code = table["code"].cast("string")
    return table.select("subject_id", "time", code=code, label=table["concept_name"].coalesce(code))


# -- the hospital tables ---------------------------------------------------------------


def _patients(raw: Mapping[str, "ibis.Table"]) -> "ibis.Table":
    person = raw["person"]
    written = person["gender_source_value"].upper()
    sex = written.startswith("F").ifelse("F", written.startswith("M").ifelse("M", None))
    for concept, name in _SEXES.items():
        sex = (person["gender_concept_id"] == concept).fill_null(False).ifelse(name, sex)
    patients = person.select(
        subject_id="person_id", sex=sex, anchor_age=engine.literal(0), anchor_year="year_of_birth"
    )
    if "death" not in raw:
        return patients.mutate(death_date=engine.literal(None).cast("timestamp"))
    death = raw["death"].group_by("person_id").aggregate(death_date=lambda t: t["death_date"].min())
    joined = patients.left_join(death, patients["subject_id"] == death["person_id"])
    return joined.select(*patients.columns, "death_date")


def _race(person: "ibis.Table", concepts: "ibis.Table") -> "ibis.Table":
    """``person_id`` and ``race``, in the words that the cohort knows."""
    table = person.left_join(concepts, person["race_concept_id"] == concepts["concept_id"])
    concept = table["race_concept_id"]
    named = (concept > 0).fill_null(False).ifelse(table["concept_name"], None)
    race = named.coalesce(table["race_source_value"])
    for number, name in _RACES.items():
        race = (concept == number).fill_null(False).ifelse(name, race)
    hispanic = (table["ethnicity_concept_id"] == _HISPANIC).fill_null(False)
    return table.select("person_id", race=hispanic.ifelse("HISPANIC", race))


def _conditions(condition: "ibis.Table", concept: "ibis.Table") -> "ibis.Table":
    """``subject_id``, ``time``, ``icd_code``, ``icd_version`` and ``code``, the standard concept.

    Each of them is NULL where the condition has none.
    """
    icd = concept.filter(concept["vocabulary_id"].upper().isin(["ICD9CM", "ICD10CM"]))
    icd = icd.group_by("concept_id").aggregate(
        named=icd["concept_code"].max(), vocabulary=icd["vocabulary_id"].upper().max()
    )
    table = condition.left_join(icd, condition["condition_source_concept_id"] == icd["concept_id"])
    value = table["condition_source_value"].upper()
    no_concept = table["condition_source_concept_id"].fill_null(0) == 0
    old = table["condition_start_date"] < engine.literal(_ICD10_SINCE).cast("timestamp")
    both = value.re_search("^[EV]")
    looks = {v: (value.re_search(pattern) & no_concept).fill_null(False)
             for v, pattern in _ICD_LOOKS.items()}  # fmt: skip
    nine = looks[9] & (~looks[10] | ~both | old)
    ten = looks[10] & ~nine
    from_concept = table["vocabulary"].notnull()
    version = nine.ifelse(9, ten.ifelse(10, None))
    version = from_concept.ifelse((table["vocabulary"] == "ICD9CM").ifelse(9, 10), version)
    code = (nine | ten).ifelse(value, None)
    code = from_concept.ifelse(table["named"], code)
    standard = table["condition_concept_id"].nullif(0)
    return table.select(
        subject_id="person_id", time="condition_start_date", icd_code=code,
        icd_version=version.cast("int64"), code=standard,
    )  # fmt: skip


def _admissions(raw, patients, conditions, race, wanted: str | None) -> "ibis.Table":
    """Visits before death, of the kind that is common enough, with who died in one of them."""
    visit = raw["visit_occurrence"]
    all_visits = visit.select(
        subject_id="person_id", hadm_id="visit_occurrence_id", kind="visit_concept_id",
        admit_time="visit_start_date",
        discharge_time=visit["visit_end_date"].coalesce(visit["visit_start_date"]),
    )  # fmt: skip
    inpatient = all_visits["kind"].isin(_INPATIENT)
    day = conditions.select("subject_id", "time").distinct()
    kinds = {
        "inpatient": all_visits.filter(inpatient).drop("kind"),
        "all": all_visits.drop("kind"),
        "days": day.select(
            "subject_id", hadm_id=engine.literal(0), admit_time="time", discharge_time="time"
        ),
    }
    kind = _kind(kinds) if wanted is None else wanted
    if kind not in kinds:
        raise InputError(f"Unknown kind of visits {kind!r}; use one of {', '.join(kinds)}.")
    log.info("Admissions are %s.", VISITS[kind])
    table = kinds[kind]
    table = table.inner_join(
        patients.select("subject_id", "death_date", "anchor_year"), "subject_id"
    )
    age = table["admit_time"].year() - table["anchor_year"]
    possible = (age >= 0) & (age <= _OLDEST)
    never = int(engine.collect(table.aggregate(n=(~possible).sum()))["n"].fillna(0).iloc[0])
    if never:
        log.info(
            "%s of them begin before the birth or past the age of %s and are left out.",
            f"{never:,}", _OLDEST,
        )  # fmt: skip
        table = table.filter(possible)
    table = table.drop("anchor_year")
    death = table["death_date"].date()
    if kind == "inpatient":
        died = (death >= table["admit_time"].date()) & (death <= table["discharge_time"].date())
        table = table.filter((table["admit_time"].date() <= death).fill_null(True))
        table = table.mutate(died_in_hospital=died.fill_null(False))
    else:  # a visit on the day of death is a certificate as a rule
        table = table.filter((table["admit_time"].date() < death).fill_null(True))
        table = table.mutate(died_in_hospital=engine.literal(False))
    table = table.drop("death_date")
    table = table.left_join(race, table["subject_id"] == race["person_id"])
    return table.drop("person_id")


def _kind(kinds: Mapping[str, "ibis.Table"]) -> str:
    people = {
        name: int(engine.collect(t.aggregate(n=t["subject_id"].nunique()))["n"].iloc[0])
        for name, t in kinds.items()
    }
    for name, number in people.items():
        if number and number >= _ENOUGH * people["days"]:
            return name
    raise InputError("The OMOP database has no visits and no conditions; check its tables.")


def _measurements(raw: Mapping[str, "ibis.Table"]) -> "ibis.Table":
    if "measurement" not in raw:
        return raw["person"].limit(0).select(
            subject_id="person_id", row=engine.literal(0), name=engine.literal(""),
            time=engine.literal(None).cast("timestamp"), value=engine.literal(0.0),
            unit=engine.literal(""),
        )  # fmt: skip
    measurement = raw["measurement"]
    parts = []
    for concept, (loinc, name) in _MEASURED.items():
        known = measurement["measurement_concept_id"] == concept
        known = known.fill_null(False) | (
            measurement["measurement_source_value"] == loinc
        ).fill_null(False)
        rows = measurement.filter(known & measurement["value_as_number"].notnull())
        parts.append(
            rows.select(
                subject_id="person_id",
                row="measurement_id",
                time="measurement_date",
                name=engine.literal(name),
                value="value_as_number",
                unit=engine.literal(UNITS[name]),
            )  # fmt: skip
        )
    return reduce(lambda a, b: a.union(b), parts)


def _included(name: str, raw: Mapping[str, "ibis.Table"], concepts: "ibis.Table") -> "ibis.Table":
    """``subject_id``, ``time``, ``code`` and ``label`` of procedures, medications or labs."""
    table = raw[_INCLUDED[name]]
    prefix, day = {
        "procedures": ("procedure", "procedure_date"),
        "medications": ("drug", "drug_exposure_start_date"),
        "labs": ("measurement", "measurement_date"),
    }[name]
    events = table.filter(table[f"{prefix}_concept_id"].fill_null(0) != 0)
    if name != "labs":
        events = events.select(subject_id="person_id", time=day, code=f"{prefix}_concept_id")
        return _labeled(events, concepts)
    value = events["value_as_number"]
    high, low = (value > events["range_high"]), (value < events["range_low"])
    flag = high.fill_null(False).ifelse("high", low.fill_null(False).ifelse("low", None))
    events = events.select(
        subject_id="person_id", time=day, code="measurement_concept_id", flag=flag
    )
    flagged = events.filter(events["flag"].notnull())
    parts = [
        _labeled(flagged.filter(flagged["flag"] == f).drop("flag"), concepts).mutate(
            code=lambda t, f=f: t["code"] + f"_{f}", label=lambda t, f=f: t["label"] + f", {f}"
        )
        for f in ("high", "low")
    ]
    return reduce(lambda a, b: a.union(b), parts)
