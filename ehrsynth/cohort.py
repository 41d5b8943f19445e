"""From hospital tables to one row per patient: who is in, the index admission, the outcome."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from . import drugs, extract, phecode
from .errors import InputError
from .schema import MISSING, Column, Schema

log = logging.getLogger(__name__)

RACES = ("WHITE", "BLACK", "ASIAN", "HISPANIC", "UNKNOWN", "OTHER")

OUTCOMES = {
    "DIE_1y": "Death within a year of discharge",
    "DIE_any": "Any recorded death after discharge",
    "VISIT_1y": "Another admission within a year of discharge",
}
# The calendar of MIMIC-IV is shifted for each patient, so nobody can say who was seen how long.
_SHIFTED_OUTCOMES = ("DIE_1y", "DIE_any")
_FEWEST = 10  # patients that each class should have when the outcome is chosen for the user

DEMOGRAPHICS = (
    Column("sex", "categorical", "demographic", "Sex", categories=("F", "M")),
    Column("race", "categorical", "demographic", "Race", categories=RACES),
    Column("age", "continuous", "demographic", "Age", unit="years", lower=18, upper=extract.OLDEST,
           decimals=0),
)  # fmt: skip
# The bounds are what a living adult can have; what lies outside is a slip of the keyboard.
_PLAUSIBLE = {
    "bmi": ("Body mass index", 10, 60, 1),
    "systolic": ("Systolic blood pressure", 60, 250, 0),
    "diastolic": ("Diastolic blood pressure", 30, 150, 0),
}
MEASUREMENTS = tuple(
    Column(name, "continuous", "measurement", label, unit=extract.MEASURED[name], lower=lower,
           upper=upper, decimals=decimals)
    for name, (label, lower, upper, decimals) in _PLAUSIBLE.items()
)  # fmt: skip


def build_patients(
    tables: dict,
    outcome: str | None = None,
    code_level: str = "phecode",
    include: Sequence[str] = (),
) -> pd.DataFrame:
    """Make the patient table, one row per patient, with its schema attached.

    In the cohort are the patients with an admission who did not die in hospital. The last
    admission is the index; diagnoses count up to and including it, measurements are the latest
    up to its discharge, and the outcome is what happens afterwards.

    Parameters
    ----------
    tables : dict of str to DataFrame or ibis Table
        What :func:`ehrsynth.load` or :func:`ehrsynth.datasets.scan` returns.
    outcome : {"DIE_1y", "DIE_any", "VISIT_1y"}, optional
        Death within 365 days of the index discharge, any recorded death after it, or another
        admission within 365 days of it (OMOP only; the index is then the last admission that
        ended a year before the end of the database). The default is the first of them; of an OMOP
        database the first that at least ten patients have and ten have not. Flat data sets bring
        their own outcome.
    code_level : {"phecode", "leaf", "category"}
        Whole phecodes, their most specific form, or their categories.
    include : sequence of {"procedures", "medications", "labs"}
        Further yes/no columns: what happened up to the index discharge. The tables must have
        been read with the same `include`.

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
        _check_included(include, tables)
        return _checked(flat(tables, outcome, code_level))
    _check_included(include, tables)
    tables = extract.lazy(tables)
    # Only a database that says when a diagnosis was made has a calendar that is true for all.
    dated = "time" in tables["diagnoses"].columns
    known = tuple(OUTCOMES) if dated else _SHIFTED_OUTCOMES
    if outcome is None:
        outcome = _choose_outcome(tables, known) if dated else known[0]
    if outcome not in known:
        raise InputError(f"Unknown outcome {outcome!r}; use one of {', '.join(known)}.")
    expression, index = extract.patients(tables, outcome)
    people = extract.collect(expression)
    if people.empty:
        raise _nobody(tables)
    subjects = people.pop("subject_id").to_numpy()
    people, columns = _describe_people(people, outcome, dated)
    row, number, found = extract.distinct_codes(
        tables["diagnoses"], index, ["icd_version", "icd_code"], subjects
    )
    blocks = [_phecodes(row, number, found, len(subjects), code_level)]
    for name in extract.EVENTS:
        if name in tables and name in ("concepts", *include):
            written = "drug" in tables[name].columns  # a drug's name, not yet a code
            keys = ["drug"] if written else ["code", "label"]
            events = extract.distinct_codes(tables[name], index, keys, subjects)
            make = _drugs if written else _events
            blocks.append(make(name, *events, len(subjects)))
    table = pd.concat([people, *(block for block, _ in blocks)], axis=1)
    schema = Schema((*columns, *(column for _, part in blocks for column in part)))
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


def _choose_outcome(tables: dict, known: tuple[str, ...]) -> str:
    """The first outcome that enough patients have and have not, else the one nearest to it."""
    fewer = {}
    for outcome in known:
        table, _ = extract.patients(tables, outcome)
        counts = extract.collect(table.aggregate(n=table.count(), ones=table[outcome].sum()))
        n, ones = counts.fillna(0).astype(int).iloc[0]
        fewer[outcome] = int(min(ones, n - ones))
        if fewer[outcome] >= _FEWEST:
            break
    chosen = max(fewer, key=fewer.get)
    passed = ", ".join(f"{name} of {number}" for name, number in fewer.items() if name != chosen)
    log.info(
        "The outcome is %s: %s%s.", chosen, OUTCOMES[chosen].lower(),
        f" (patients in the smaller class: {fewer[chosen]}, {passed})" if passed else "",
    )  # fmt: skip
    return chosen


def _describe_people(
    people: pd.DataFrame, outcome: str, dated: bool
) -> tuple[pd.DataFrame, list[Column]]:
    """Give what an engine returned its dtypes, and say what the columns are."""
    people = people.astype({outcome: "uint8"} | {c.name: "float64" for c in MEASUREMENTS})
    columns = [Column(outcome, "binary", "outcome", OUTCOMES[outcome])]
    for column in DEMOGRAPHICS:
        if column.kind == "categorical":
            values = people[column.name]
            if dated and values.isna().any():
                column = replace(column, categories=(*column.categories, MISSING))
                values = values.fillna(MISSING)
            people[column.name] = pd.Categorical(values, list(column.categories))
        elif people[column.name].min() < column.lower:
            column = replace(column, lower=0)  # a database with children
        columns.append(column)
    for column in MEASUREMENTS:
        if dated and people[column.name].isna().all():
            log.info("Nobody has a %s, so there is no such column.", column.label.lower())
            del people[column.name]
        else:
            columns.append(column)
    return people, columns


def _events(
    name: str, row: np.ndarray, number: np.ndarray, found: pd.DataFrame, n: int
) -> tuple[pd.DataFrame, list[Column]]:
    """Patient `row` has the event `number` of `found`: a 0/1 column for each code."""
    role, prefix = extract.EVENTS[name]
    known = found["code"].notna()
    if not known.all():
        log.info(
            "%s of %s rows of %s have no code and are left out.",
            f"{found.loc[~known, 'rows'].sum():,}", f"{found['rows'].sum():,}", name,
        )  # fmt: skip
    names = prefix + "_" + found["code"].str.lower().str.replace(r"[^a-z0-9.]+", "_", regex=True)
    names = names.str.rstrip("_")
    labels = found["label"].groupby(names).first()  # two spellings of one name are one column
    place = labels.index.get_indexer(names)[number]
    columns = [Column(c, "binary", role, label) for c, label in labels.items()]
    there = place >= 0
    return _zeros_and_ones(row[there], place[there], n, list(labels.index)), columns


def _drugs(
    name: str, row: np.ndarray, number: np.ndarray, found: pd.DataFrame, n: int
) -> tuple[pd.DataFrame, list[Column]]:
    """Patient `row` was given the drug `number` of `found`: a 0/1 column for each ingredient."""
    named = drugs.map_names(found["drug"])
    _report_unknown(found, named)
    pairs = named.drop(columns="known").rename_axis("number").reset_index()
    # Each pair of a name and an ingredient is an event with the ingredient as its code.
    pairs = pairs.assign(pair=range(len(pairs)))
    given = pd.DataFrame({"row": row, "number": number}).merge(pairs, on="number")
    codes = pd.DataFrame(
        {
            "code": pairs["ingredient"],
            "label": pairs["ingredient"].str.capitalize(),
            "rows": found["rows"].reindex(pairs["number"]).to_numpy(),
        }
    )
    return _events(name, given["row"].to_numpy(), given["pair"].to_numpy(), codes, n)


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


def _report_unknown(found: pd.DataFrame, named: pd.DataFrame) -> None:
    strange = found[~found.index.isin(named.index[named["known"]])]
    if len(strange):
        often = strange.sort_values(["rows", "drug"], ascending=[False, True])["drug"]
        log.info(
            "%s of %s drug rows hold no ingredient that is known (%s names, most often %s).",
            f"{strange['rows'].sum():,}", f"{found['rows'].sum():,}", f"{len(strange):,}",
            ", ".join(often.head(5).str.strip()),
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


def _check_included(include: Sequence[str], tables: dict) -> None:
    extract.check_included(include)
    for name in include:
        if "encounters" in tables or "table" in tables:
            raise InputError(f"A flat data set has no {name} to add; leave them out.")
        if name not in tables:
            raise InputError(f"These tables were read without {name}; read them with include.")


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
