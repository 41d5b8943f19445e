"""The sources of data: every one yields the same few hospital tables, or one flat table."""

import inspect
from importlib import import_module
from pathlib import Path

import pandas as pd

from ..errors import InputError
from ..phecode import unmapped
from .fetch import cache_folder, credentialed_help, fetch, is_fetched, registry

__all__ = ["DATASETS", "describe", "fetch", "load", "source"]

# The reader of each data set.
_READERS = {
    "simulated": "simulated",
    "mimic-iv-demo": "mimic_iv",
    "mimic-iv": "mimic_iv",
    "diabetes130": "diabetes130",
    "table": "table",
}
DATASETS = tuple(_READERS)


def load(name: str, data: str | Path | None = None, **options) -> dict[str, pd.DataFrame]:
    """Load a data set.

    Parameters
    ----------
    name : str
        One of :data:`DATASETS`.
    data : str or Path, optional
        The folder or file with the data. ``simulated`` needs none; of ``mimic-iv-demo`` and
        ``diabetes130`` the fetched copy is used when it is not given.
    **options
        ``simulated``: ``patients`` (20,000) and ``seed`` (0). ``table``: ``outcome``, a column, and
        ``columns``, a columns file.

    Returns
    -------
    dict of str to DataFrame
        Hospital tables (``patients``, ``admissions``, ``diagnoses``, ``measurements``), or
        ``encounters`` or ``table`` of a flat data set. :func:`ehrsynth.build_patients` takes
        any of them.

    Raises
    ------
    InputError
        In one sentence, for anything that cannot be used.
    """
    check_name(name)
    read = import_module(f".{_READERS[name]}", __package__).load
    known = inspect.signature(read).parameters
    unknown = sorted(set(options) - (set(known) - {"data"}))
    if unknown:
        raise InputError(f"Data set {name} has no option {unknown[0]!r}.")
    if "data" in known:
        options["data"] = _location(name, data)
    elif data is not None:
        raise InputError(
            f"Data set {name} reads no files; leave --data out, or read {data} as mimic-iv."
        )
    return read(**options)


def check_name(name: str) -> None:
    """Raise InputError unless `name` is one of :data:`DATASETS`."""
    if name not in _READERS:
        raise InputError(f"Unknown data set {name!r}; use one of {', '.join(DATASETS)}.")


def _location(name: str, data: str | Path | None) -> Path:
    """The folder or file to read: when none is given, the fetched copy."""
    if data is not None:
        data = Path(data)
        if not data.exists():
            raise InputError(f"{data} does not exist; check --data.")
        return data
    entry = registry().get(name)
    if entry is None:
        raise InputError(f"Data set {name} needs a file; give it with --data.")
    if entry.get("credentialed"):
        raise InputError(credentialed_help(name))
    if not is_fetched(name):
        raise InputError(
            f"{name} is not here yet; run 'ehrsynth fetch {name}', or give its folder with --data."
        )
    return cache_folder(name)


def source(name: str, data: str | Path | None = None) -> dict[str, str]:
    """What a data set is, its license and whom to name, as the report shows it."""
    entry = registry().get(name)
    if entry is not None:
        facts = {"data set": entry["title"], "license": entry["license"]}
        facts["attribution"] = entry["attribution"]
        if entry.get("credentialed"):
            facts["careful"] = entry["allows"]
        return facts
    if name == "simulated":
        return {"data set": "a simulated hospital: no row comes from a real person"}
    return {"data set": f"the table {Path(data).name}" if data else name}


# -- what is in it ---------------------------------------------------------------------


def describe(tables: dict[str, pd.DataFrame]) -> dict[str, int | float | str]:
    """The figures by which one recognizes a data set, in words a person reads.

    Parameters
    ----------
    tables : dict of str to DataFrame
        What :func:`load` returns.

    Returns
    -------
    dict of str to int, float or str
        Counts, and shares in percent.
    """
    if "encounters" in tables:
        return _describe_encounters(tables["encounters"])
    if "table" in tables:
        table = tables["table"]
        return {
            "patients": len(table),
            "columns used": table.shape[1],
            "columns of the file left out": int((tables["columns"]["kind"] == "dropped").sum()),
            "missing values (%)": _percent(table.isna().to_numpy().mean()),
        }
    patients, admissions = tables["patients"], tables["admissions"]
    return {
        "patients": len(patients),
        "men": int((patients["sex"] == "M").sum()),
        "women": int((patients["sex"] == "F").sum()),
        "admissions": len(admissions),
        "in-hospital deaths": int(admissions["died_in_hospital"].sum()),
        "patients with a date of death": int(patients["death_date"].notna().sum()),
        **_describe_diagnoses(tables["diagnoses"]),
        **_describe_measurements(tables["measurements"]),
    }


def _describe_diagnoses(diagnoses: pd.DataFrame) -> dict[str, int | float]:
    facts, subjects = {"diagnosis rows": len(diagnoses)}, {}
    lost = unmapped(diagnoses)
    for version in (9, 10):
        rows = diagnoses[diagnoses["icd_version"] == version]
        subjects[version] = set(rows["subject_id"].unique())
        facts[f"ICD-{version} diagnosis rows"] = len(rows)
        facts[f"ICD-{version} codes"] = rows["icd_code"].nunique()
        facts[f"patients with ICD-{version} codes"] = len(subjects[version])
        if len(rows):
            share = 1 - lost.loc[lost["icd_version"] == version, "rows"].sum() / len(rows)
            facts[f"share of ICD-{version} rows mapped to a phecode (%)"] = _percent(share)
    facts["patients with ICD-9 and ICD-10 codes"] = len(subjects[9] & subjects[10])
    return facts


def _describe_measurements(measurements: pd.DataFrame) -> dict[str, int | float]:
    bmi = measurements[measurements["name"] == "bmi"]
    pressure = measurements[measurements["name"] == "systolic"]
    weighed, pressed = set(bmi["subject_id"]), set(pressure["subject_id"])
    facts = {
        "BMI values": len(bmi),
        "blood pressures": len(pressure),
        "patients with a BMI": len(weighed),
        "patients with a blood pressure": len(pressed),
        "patients with a BMI and a blood pressure": len(weighed & pressed),
    }
    return facts | ({"largest BMI": float(bmi["value"].max())} if len(bmi) else {})


def _describe_encounters(encounters: pd.DataFrame) -> dict[str, int | float]:
    from .diabetes130 import diagnoses

    rows = diagnoses(encounters)
    visits = encounters["patient_nbr"].value_counts()
    readmitted = encounters["readmitted"].value_counts(normalize=True)
    first = encounters.sort_values("encounter_id").drop_duplicates("patient_nbr")
    return {
        "encounters": len(encounters),
        "patients": len(visits),
        "patients with more than one encounter": int((visits > 1).sum()),
        "most encounters of one patient": int(visits.max()),
        "encounters with readmission within 30 days (%)": _percent(readmitted.get("<30", 0.0)),
        "encounters with readmission later (%)": _percent(readmitted.get(">30", 0.0)),
        "encounters without readmission (%)": _percent(readmitted.get("NO", 0.0)),
        "first encounters with readmission within 30 days (%)": _percent(
            (first["readmitted"] == "<30").mean()
        ),
        "diagnosis entries": len(rows),
        "share of diagnosis entries mapped to a phecode (%)": _percent(
            1 - unmapped(rows)["rows"].sum() / len(rows)
        ),
    }


def _percent(share: float) -> float:
    return round(100 * float(share), 1)
