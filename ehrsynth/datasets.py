"""The sources of data: every one yields the same few hospital tables, or one flat table."""

import inspect
import logging
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from .cohort import build_patients as from_hospital
from .cohort import check_outcome, held_out, split
from .errors import InputError, check_choice
from .files import resolved, sha256
from .phecode import map_icd, unmapped
from .phenotype import Phenotype
from .protection import LEAST_PATIENTS
from .schema import BMI, FEWEST_ROWS, SEX, SYSTOLIC, Schema
from .sources import diabetes130
from .sources.engine import Table, collect, is_url, lazy, totals, without_password
from .sources.fetch import fetched, registry
from .sources.flat import table
from .sources.tables import check_tables

log = logging.getLogger(__name__)

# The reader of each data set.
_READERS = {
    "simulated": "hospital.writing", "mimic-iv-demo": "sources.mimic_iv",
    "mimic-iv": "sources.mimic_iv", "diabetes130": "sources.diabetes130",
    "omop": "sources.omop", "table": "sources.flat.table",
}  # fmt: skip
DATASETS = tuple(_READERS)
_HOLDOUT = 0.3  # share of the rows, as of split
# Flat data sets by the table that only they have.
_FLAT = {"encounters": "diabetes130", "table": "table"}


def load(
    name: str, data: str | Path | pd.DataFrame | None = None, **options
) -> dict[str, pd.DataFrame]:
    """Load a data set.

    They are hospital tables (``patients``, ``admissions``, ``diagnoses``, ``measurements``), or
    ``encounters`` or ``table`` of a flat data set, for :func:`ehrsynth.build_patients`.

    Parameters
    ----------
    name : str
        One of :data:`DATASETS`.
    data : str, Path or DataFrame, optional
        The folder or file with the data, of ``table`` also a DataFrame. ``simulated`` needs none;
        of ``mimic-iv-demo`` and ``diabetes130`` the fetched copy is used when it is not given.
    **options
        ``simulated``: ``patients`` (20,000) and ``seed`` (0). ``table``: ``outcome``, a column;
        ``columns``, a columns file; ``patient_id``, a column; ``positive``, a value.
    """
    read = _reader(name).load
    known = inspect.signature(read).parameters
    if unknown := sorted(options.keys() - (known.keys() - {"data"})):
        raise InputError(f"Data set {name} has no option {unknown[0]!r}.")
    if "data" in known:
        options["data"] = _location(name, data)
    elif data is not None:
        raise InputError(
            f"Data set {name} reads no files; leave --data out, or read "
            f"{without_password(data)} as mimic-iv."
        )
    return read(**options)


def load_split(
    data: str | Path | None, seed: int, most: int | None = None, **options
) -> dict[str, pd.DataFrame]:
    """The tables of a flat table, split into ``train`` and ``holdout`` before anything is learned.

    Of more than `most` rows a sample is taken; ``quality`` says what of the holdout does not fit.
    """
    sheet = table.open_sheet(_location("table", data), **options)
    table.learn(sheet)  # a fault is a fault on either side of the split; nothing of it is kept
    outcome, rows = table.outcome_of(sheet), np.flatnonzero(sheet.rows)
    if most is not None and len(rows) > most:
        log.info("The fast profile takes %d of %d rows.", most, len(rows))
        chosen = np.sort(np.random.default_rng(seed).choice(len(rows), most, replace=False))
        outcome, rows = outcome[chosen], rows[chosen]
    key = None if sheet.key is None else pd.Index(sheet.key)[rows]
    out = held_out(len(rows), outcome, _HOLDOUT, seed, key)
    return table.tables_of(sheet, rows[~out], rows[out])


def split_patients(source: Mapping, patients: pd.DataFrame, seed: int) -> list[pd.DataFrame]:
    """Train and holdout, large enough to be evaluated; those of :func:`load_split` are split."""
    parts = [source[role] for role in ("train", "holdout")] if "train" in source else None
    train, holdout = parts or split(patients, seed=seed)
    if min(len(train), len(holdout)) < FEWEST_ROWS:
        raise InputError(
            f"{len(train) + len(holdout)} patients leave {len(holdout)} for the holdout and "
            f"{len(train)} for training, and each needs at least {FEWEST_ROWS}; give more patients."
        )
    return [check_outcome(train, LEAST_PATIENTS), check_outcome(holdout)]


def scan(name: str, data: str | Path | None = None, progress: bool = False, **options) -> dict:
    """Load a data set lazily where its reader can, so that a hospital of any size fits.

    They are those of :func:`load`; those of a database as Ibis tables, which
    :func:`ehrsynth.build_patients` and :func:`describe` take as well.

    Parameters
    ----------
    name, data : as for :func:`load`
    progress : bool
        Show a progress bar where files are read.
    **options : as for :func:`load`
    """
    if not reads_lazily(name):
        return load(name, data, **options)
    lazily = _reader(name).scan
    if "progress" in inspect.signature(lazily).parameters:
        options["progress"] = progress
    return lazily(_location(name, data), **options)


def reads_lazily(name: str) -> bool:
    """Whether :func:`scan` gives the tables of this data set as lazy ones."""
    return hasattr(_reader(name), "scan")


def _reader(name: str) -> ModuleType:
    check_choice("data set", name, DATASETS)
    return import_module(f".{_READERS[name]}", __package__)


def _location(name: str, data: str | Path | pd.DataFrame | None) -> Any:
    """The folder, file or database to read: when none is given, the fetched copy."""
    if data is None:
        return fetched(name)
    if isinstance(data, pd.DataFrame):
        if name != "table":
            raise InputError(f"Data set {name} is read from files; only table takes a DataFrame.")
        return data
    if is_url(data):
        if name != "omop":
            raise InputError(f"Data set {name} is read from files; only omop takes a database.")
        return data
    if not isinstance(data, str | Path):
        wanted = "a path or a DataFrame" if name == "table" else "a path"
        raise InputError(f"Data of the type {type(data).__name__} are no {name}; give {wanted}.")
    if not Path(data).exists():
        raise InputError(f"{data} does not exist; check --data.")
    return Path(data)


def checksums(
    name: str, data: str | Path | None, more: Sequence[str | Path] = (), apart: Path | None = None
) -> dict[str, str]:
    """The SHA-256 of every file of a data set, and of `more` read beside it, by path.

    Results that lie `apart`, though among the data, do not count; a server has no files.
    """
    files = [Path(file) for file in more]
    if "data" in inspect.signature(_reader(name).load).parameters and not is_url(data):
        try:
            place = Path(_location(name, data))
        except InputError:
            return {}
        files += [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())
    kept = [f for f in files if apart is None or resolved(apart) not in resolved(f).parents]
    return {str(resolved(file)): sha256(file) for file in kept}


def source(name: str, data: str | Path | None = None) -> dict[str, str]:
    """What a data set is, its license and whom to name, as the report shows it.

    Parameters
    ----------
    name, data : as for :func:`load`
    """
    if entry := registry().get(name):
        facts = {"data set": "title", "license": "license", "attribution": "attribution"}
        facts |= {"careful": "allows"} if entry.get("credentialed") else {}
        return {fact: entry[key] for fact, key in facts.items()}
    if name == "simulated":
        title = "a simulated hospital: no row comes from a real person"
        return {"data set": title, "license": "MIT, as the code of ehrsynth that makes it"}
    if data is None:
        return {"data set": name}
    place = without_password(data) if is_url(data) else Path(data).name
    return {"data set": f"the {'OMOP database' if name == 'omop' else 'table'} {place}"}


def build_patients(
    tables: dict, outcome: str | Phenotype | None = None, code_level: str = "phecode",
    include: Sequence[str] = (),
) -> pd.DataFrame:  # fmt: skip
    """Make the patient table, one row per patient, with its schema attached.

    Parameters
    ----------
    tables : dict of str to DataFrame or ibis Table
        What :func:`load` or :func:`scan` returns.
    outcome, code_level, include : as for :func:`ehrsynth.cohort.build_patients`
        A flat data set brings its own outcome.
    """
    _check_loaded(tables)
    for key, name in _FLAT.items():
        if key in tables:
            if include:
                raise InputError(f"A flat data set has no {include[0]} to add; leave them out.")
            if isinstance(outcome, Phenotype):
                raise InputError("A flat data set has no codes for a phenotype; leave it out.")
            return check_outcome(_reader(name).to_patients(tables, outcome, code_level))
    return from_hospital(tables, outcome, code_level, include)


# -- what is in it ---------------------------------------------------------------------


def describe(tables: Mapping) -> dict[str, Any]:
    """The counts, and shares in percent, by which one recognizes a data set, in a person's words.

    Parameters
    ----------
    tables : dict of str to DataFrame or Table
        What :func:`load` or :func:`scan` returns.
    """
    _check_loaded(tables)
    if "encounters" in tables:
        return _describe_encounters(tables["encounters"])
    if "table" in tables:
        frame = tables["table"]
        return {
            "patients": len(frame),
            "columns used": frame.shape[1],
            "columns of the file left out": int((tables["columns"]["kind"] == "dropped").sum()),
            "missing values (%)": _percent(frame.isna().to_numpy().mean()),
            **dict(tables["file"].itertuples(index=False, name=None)),
        }
    check_tables(tables)
    tables = lazy(tables)
    patients, admissions = tables["patients"], tables["admissions"]
    men, women = ((patients[SEX] == sex).sum() for sex in ("M", "F"))
    died = admissions["died_in_hospital"].sum()
    facts: dict[str, int | float] = {
        **totals(patients, patients=patients.count(), men=men, women=women),
        **totals(admissions, admissions=admissions.count(), **{"in-hospital deaths": died}),
        **totals(patients, **{"patients with a date of death": patients["death_date"].count()}),
        **_describe_diagnoses(tables["diagnoses"]),
    }
    if (concepts := tables.get("concepts")) is not None:
        facts |= totals(concepts, **{
            "conditions with a standard concept only": concepts["code"].notnull().sum(),
            "conditions without any code": concepts["code"].isnull().sum(),
        })  # fmt: skip
    return facts | _describe_measurements(tables["measurements"])


def outcome_fact(patients: pd.DataFrame) -> str:
    """What is predicted, and how many patients have it."""
    schema = Schema.of(patients)
    name = schema.of_role("outcome")[0]
    share = schema.outcome_values(patients).mean()
    return f"{schema[name].title} ({name}), {share:.1%} of the patients"


def _check_loaded(tables: object) -> None:
    if not isinstance(tables, Mapping):
        raise InputError(
            f"A {type(tables).__name__} is not a data set; give the tables that load returns."
        )


def _describe_diagnoses(diagnoses: Table) -> dict[str, int | float]:
    codes = diagnoses.group_by(["icd_version", "icd_code"]).aggregate(rows=diagnoses.count())
    codes = collect(codes)
    codes["mapped"] = codes.index.isin(map_icd(codes[["icd_version", "icd_code"]]).index)
    has = {f"v{v}": (diagnoses["icd_version"] == v).any() for v in (9, 10)}
    people = diagnoses.group_by("subject_id").aggregate(**has)
    nine, ten = people["v9"], people["v10"]
    subjects = totals(people, v9=nine.sum(), v10=ten.sum(), both=(nine & ten).sum())
    facts: dict[str, int | float] = {"diagnosis rows": int(codes["rows"].sum())}
    for v in (9, 10):
        part = codes[codes["icd_version"] == v]
        facts[f"ICD-{v} diagnosis rows"] = rows = int(part["rows"].sum())
        facts[f"ICD-{v} codes"] = len(part)
        facts[f"patients with ICD-{v} codes"] = subjects[f"v{v}"]
        if rows:
            share = part.loc[part["mapped"], "rows"].sum() / rows
            facts[f"share of ICD-{v} rows mapped to a phecode (%)"] = _percent(share)
    return facts | {"patients with ICD-9 and ICD-10 codes": subjects["both"]}


def _describe_measurements(measurements: Table) -> dict[str, int]:
    bmi, pressure = (measurements["name"] == name for name in (BMI, SYSTOLIC))
    people = measurements.group_by("subject_id").aggregate(bmi=bmi.sum(), pressure=pressure.sum())
    weighed, pressed = people["bmi"] > 0, people["pressure"] > 0
    return totals(people, **{
        "BMI values": people["bmi"].sum(),
        "blood pressures": people["pressure"].sum(),
        "patients with a BMI": weighed.sum(),
        "patients with a blood pressure": pressed.sum(),
        "patients with a BMI and a blood pressure": (weighed & pressed).sum(),
    })  # fmt: skip


def _describe_encounters(encounters: pd.DataFrame) -> dict[str, int | float]:
    rows = diabetes130.diagnoses(encounters)
    visits = encounters["patient_nbr"].value_counts()
    readmitted = encounters["readmitted"]
    first = encounters.sort_values("encounter_id").drop_duplicates("patient_nbr")["readmitted"]
    lost = unmapped(rows)["rows"].sum() / len(rows)
    return {
        "encounters": len(encounters),
        "patients": len(visits),
        "patients with more than one encounter": int((visits > 1).sum()),
        "encounters with readmission within 30 days (%)": _percent((readmitted == "<30").mean()),
        "encounters with readmission later (%)": _percent((readmitted == ">30").mean()),
        "encounters without readmission (%)": _percent((readmitted == "NO").mean()),
        "first encounters with readmission within 30 days (%)": _percent((first == "<30").mean()),
        "diagnosis entries": len(rows),
        "share of diagnosis entries mapped to a phecode (%)": _percent(1 - lost),
    }


def _percent(share: float) -> float:
    return round(100 * float(share), 1)
