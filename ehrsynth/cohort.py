"""From hospital tables to one row per patient: who is in, the index admission, the outcome.

It is one lazy expression of Ibis, so that the same lines run in DuckDB, on Spark and in a database.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import pandas as pd

from .errors import InputError, check_choice
from .kinds import MISSING
from .phecode import Block, Coded, indicators, one_era_of, zeros_and_ones
from .phenotype import Phenotype, days_after
from .protection import told
from .rules import ORDERED
from .schema import AGE, DIE_1Y, DIE_ANY, PATIENT_KEY, RACE, SEX, VISIT_1Y, Column, Schema
from .sources import drugs
from .sources.engine import ROW, Table, Value, collect, distinct_codes, lazy, literal, totals
from .sources.quality import Finding, missed_codes, note
from .sources.tables import EVENTS, MEASUREMENTS, OLDEST, OTHER, RACES, UNITS, UNKNOWN, check_tables

log = logging.getLogger(__name__)

_YEAR = 365  # days


@dataclass(frozen=True)
class _Recorded:
    """An outcome that a hospital records by itself; to be used as a :class:`Phenotype` is."""

    name: str
    title: str
    when: str  #: the column of the index admission that says when it happened
    within_days: int | None = None  #: who is not seen so long after the index has another one

    def judged(self, index: Table, tables: Mapping[str, Table]) -> Table:
        """The index admissions with ``had`` and ``happened``."""
        # Deaths are dated by the day, so the discharge is too; nobody is admitted after death.
        day = index[self.when].date()
        after = day >= index["admit_time"].date()
        if self.name != DIE_ANY:
            after &= day <= days_after(index["discharge_time"], _YEAR)
        return index.mutate(had=literal(False), happened=after.fill_null(False))


OUTCOMES = {outcome.name: outcome for outcome in (
    _Recorded(DIE_1Y, "Death within a year of discharge", "death_date"),
    _Recorded(DIE_ANY, "Any recorded death after discharge", "death_date"),
    _Recorded(VISIT_1Y, "Another admission within a year of discharge", "next_time", _YEAR),
)}  # fmt: skip
_Outcome: TypeAlias = _Recorded | Phenotype
_RACE_UNKNOWN = r"^(UNKNOWN|UNABLE TO OBTAIN|PATIENT DECLINED)"
_FEWEST = 10  # patients that each class should have when the outcome is chosen for the user
DEMOGRAPHICS = (
    Column(SEX, "categorical", "demographic", "Sex", categories=("F", "M")),
    Column(RACE, "categorical", "demographic", "Race", categories=RACES),
    Column(AGE, "continuous", "demographic", "Age", unit="years", lower=18, upper=OLDEST,
           decimals=0),
)  # fmt: skip


def build_patients(
    tables: dict, outcome: str | Phenotype | None = None, code_level: str = "phecode",
    include: Sequence[str] = (),
) -> pd.DataFrame:  # fmt: skip
    """Make the patient table, one row per patient, with its schema attached.

    In the cohort are the patients with an admission who did not die in hospital. The last one is
    the index: diagnoses and the latest measurements count up to it, the outcome comes after.
    Chapter data-types, "Build it, part 2: one row per patient, by hand".

    Its columns are the outcome, ``sex``, ``race``, ``age``, the measurements (NaN when not
    measured) and one ``phe_...`` column of 0/1 for each code that occurs; no identifiers.

    Parameters
    ----------
    tables : dict of str to DataFrame or ibis Table
        Hospital tables, see :mod:`ehrsynth.sources.tables`.
    outcome : {"DIE_1y", "DIE_any", "VISIT_1y"} or Phenotype, optional
        Death within 365 days of the index discharge, any recorded death after it, or another
        admission within 365 days (OMOP only; the index is then the last that ended a year before
        the database does). By default the first; of OMOP the first that ten patients have and
        ten have not. A phenotype (OMOP only) is looked for within its days, in the same way.
    code_level : {"phecode", "leaf", "category"}
        As for :func:`ehrsynth.phecode.roll_up`.
    include : sequence of {"procedures", "medications", "labs"}
        Further 0/1 columns of what happened up to the index discharge; `tables` must have them.
    """
    check_tables(tables, include)
    tables = lazy(tables)
    # Only a database that says when a diagnosis was made has a calendar that is true for all.
    dated = "time" in tables["diagnoses"].columns
    wanted, found = _settle_outcome(tables, outcome, dated)
    expression, index = _patients(tables, wanted)
    people = collect(expression)
    found += [*_left_out(tables, len(people), wanted), *_upside_down(people)]
    subjects = people.pop("subject_id").to_numpy()
    people, columns = _describe_people(people, wanted, dated)
    coded = distinct_codes(tables["diagnoses"], index, ["icd_version", "icd_code"], subjects)
    found += missed_codes(one_era_of(coded, code_level), len(people))
    blocks = [indicators(coded, code_level)]
    for name in EVENTS:
        if name in tables and name in ("concepts", *include):
            written = "drug" in tables[name].columns  # a drug's name, not yet a code
            keys, make = (["drug"], _drugs) if written else (["code", "label"], _events)
            blocks.append(make(name, distinct_codes(tables[name], index, keys, subjects)))
    table = pd.concat([people, *(block for block, _ in blocks)], axis=1)
    schema = Schema((*columns, *(column for _, part in blocks for column in part)))
    patients = check_outcome(schema.attach(table))
    # What was left out on the way; a Schema keeps its place beside it.
    patients.attrs["quality"] = note(found).to_dict("records")
    return patients


def split(
    patients: pd.DataFrame, holdout: float = 0.3, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split the patients into train and holdout, with the same share of outcomes in both.
    Chapter preprocessing, "Step 3: split before you learn anything".

    Both are in the order of `patients`, with a new index and the schema attached. Rows of one
    patient, where the index is a patient key, stay together.

    Parameters
    ----------
    patients : DataFrame
    holdout : float
        Share of the patients in the holdout, between 0 and 1.
    seed : int
    """
    if not 0 < holdout < 1:
        raise InputError(f"The share of the holdout is {holdout}; give one between 0 and 1.")
    if len(patients) < 2:
        raise InputError(f"A table of {len(patients)} patients cannot be split; give more.")
    schema = Schema.of(patients)
    values = None if schema.outcome is None else schema.outcome_values(patients)
    key = patients.index if patients.index.name == PATIENT_KEY else None
    chosen = held_out(len(patients), values, holdout, seed, key)
    parts = (patients[~chosen], patients[chosen])
    train, test = (schema.attach(part.reset_index(drop=True)) for part in parts)
    return train, test


def held_out(
    n: int, outcome: np.ndarray | None, holdout: float, seed: int, key: pd.Index | None = None
) -> np.ndarray:
    """Which of `n` rows are in the holdout: the same share of each outcome, and whole patients.

    Chapter preprocessing, "Step 3: split before you learn anything".
    """
    if key is not None and not key.is_unique:  # a patient has the outcome that one row has
        codes, patients = pd.factorize(key)
        values = None if outcome is None else pd.Series(outcome).groupby(codes).max().to_numpy()
        return held_out(len(patients), values, holdout, seed)[codes]
    order = np.random.default_rng(seed).permutation(n)
    if outcome is not None:
        order = order[np.argsort(outcome[order], kind="stable")]
    # Every class gets its share: along the sorted order the holdout is taken at equal steps.
    size = min(max(round(holdout * n), 1), n - 1)
    chosen = np.zeros(n, dtype=bool)
    steps = (np.arange(size) + 0.5) * n / size
    chosen[order[steps.astype(np.int64)]] = True
    return chosen


# -- the expression --------------------------------------------------------------------


def _index(tables: Mapping[str, Table], outcome: _Outcome) -> Table:
    """The index admissions, who ``had`` the outcome before, and to whom it ``happened`` then."""
    index = _index_admissions(tables["patients"], tables["admissions"], outcome.within_days)
    return outcome.judged(index, tables)


def _patients(tables: Mapping[str, Table], outcome: _Outcome) -> tuple[Table, Table]:
    """One row per patient, in the order of subject_id, and the index admissions it starts from."""
    index = _index(tables, outcome)
    index = index.filter(~index["had"])
    measured = _latest_measurements(tables["measurements"], index)
    age = index["anchor_age"] + index["admit_time"].year() - index["anchor_year"]
    age = (age > OLDEST).ifelse(OLDEST, age).cast("float64")  # NULL where it is not known
    columns = {outcome.name: index["happened"].cast("int8"), SEX: index[SEX],
               RACE: _race_group(index["race"]), AGE: age}  # fmt: skip
    table = index.select("subject_id", **columns)
    table = table.left_join(measured, "subject_id").select(*table.columns, *UNITS)
    return table.order_by("subject_id"), index


def _index_admissions(patients: Table, admissions: Table, days: int | None = None) -> Table:
    """The last admission of everyone who did not die in hospital, and when the next one begins.

    With `days` the last of those that ended so long before the last admission of the whole
    database: what happens to anybody within these days is known.
    """
    dead = admissions.filter(admissions["died_in_hospital"]).select("subject_id").distinct()
    alive = admissions.anti_join(dead, "subject_id")
    order = ["admit_time", "discharge_time", "hadm_id"]
    following = alive["admit_time"].lead().over(group_by="subject_id", order_by=order)
    alive = alive.mutate(next_time=following)
    if days is not None:
        end = admissions["admit_time"].max().as_scalar().date()
        alive = alive.filter(days_after(alive["discharge_time"], days) <= end)
    return _newest(alive, ["subject_id"], order).inner_join(patients, "subject_id")


def _newest(table: Table, group: list[str], order: list[str]) -> Table:
    """The last row of each group."""
    import ibis

    place = ibis.row_number().over(group_by=group, order_by=[ibis.desc(table[n]) for n in order])
    return table.mutate(place=place).filter(lambda t: t["place"] == 0).drop("place")


def _latest_measurements(measurements: Table, index: Table) -> Table:
    """The latest value of each measurement up to each index discharge (the day included)."""
    until = index.select("subject_id", "discharge_time")
    known = measurements.filter(measurements["name"].isin(list(UNITS)))
    known = known.inner_join(until, "subject_id")
    known = known.filter(known["time"].date() <= known["discharge_time"].date())
    # By its place in the file, so that both numbers of a pressure come from the same reading.
    latest = _newest(known, ["subject_id", "name"], ["time", ROW])
    return latest.group_by("subject_id").aggregate(
        **{n: latest["value"].max(where=latest["name"] == n) for n in UNITS}
    )


def _race_group(race: Value) -> Value:
    """MIMIC-IV's strings ("WHITE - RUSSIAN", "UNABLE TO OBTAIN", ...) to six races."""
    text = race.cast("string").fill_null(UNKNOWN).strip().upper()
    group = text.re_search(_RACE_UNKNOWN).ifelse(UNKNOWN, OTHER)
    for name in RACES:
        if name not in (UNKNOWN, OTHER):
            group = text.startswith(name).ifelse(literal(name), group)
    return group


# -- the parts of the patient table ----------------------------------------------------


def _left_out(tables: Mapping[str, Table], n: int, outcome: _Outcome) -> list[Finding]:
    """Who is not among the `n` patients of the cohort, and why."""
    patients, admissions = tables["patients"], tables["admissions"]
    every = admissions.select("subject_id", "died_in_hospital").semi_join(patients, "subject_id")
    died = every.filter(every["died_in_hospital"])["subject_id"].nunique()
    numbers = (patients.count(), admissions.count(), every["subject_id"].nunique(), died)
    total, stays, seen, dead = (int(number.execute()) for number in numbers)
    if not n:
        raise InputError(
            f"No patient is left in the cohort: {total} patients have {stays} admissions, and none "
            "of the patients with an admission survived it; check the admissions."
        )
    days = "year is" if outcome.within_days == _YEAR else f"{outcome.within_days} days are"
    before = int(_index(tables, outcome).count().execute()) - n
    reasons = {
        "no admission": total - seen, "a death in hospital": dead,
        f"no admission whose following {days} known": seen - dead - n - before,
        "the outcome already up to the index discharge": before,
    }  # fmt: skip
    return [Finding("patients", why, number, total, "left out of the cohort")
            for why, number in reasons.items() if number]  # fmt: skip


def _upside_down(people: pd.DataFrame) -> list[Finding]:
    """The heart never rests at a higher pressure than it beats; which is wrong nobody can tell."""
    (above,) = ORDERED
    wrong, _ = above.broken(people, Schema(()))
    people.loc[wrong, list(above.columns)] = np.nan
    what = "a lower blood pressure that is not below the upper one"
    found = Finding("the cohort", what, int(wrong.sum()), len(people), "counted as not measured")
    return [found] if found.rows else []


def _settle_outcome(
    tables: dict, outcome: str | Phenotype | None, dated: bool
) -> tuple[_Outcome, list[Finding]]:
    """The outcome that is wanted, else one that is chosen, and why it is not the usual one."""
    # The calendar of MIMIC-IV is shifted for each patient: nobody can say who was seen how long.
    known = [name for name, usual in OUTCOMES.items() if dated or usual.within_days is None]
    if isinstance(outcome, Phenotype):
        if not dated:
            raise InputError(
                "A phenotype needs dates that are true for all, which only OMOP has: MIMIC-IV's "
                "are shifted for each patient, so nobody knows who was seen how long; leave it out."
            )
        return outcome, []
    if outcome is not None:
        check_choice("outcome", outcome, known)
    elif dated:
        return _choose_outcome(tables)
    return OUTCOMES[outcome or known[0]], []


def _choose_outcome(tables: dict) -> tuple[_Outcome, list[Finding]]:
    """The first outcome that enough patients have and have not, else the one nearest to it."""
    fewer: dict[str, int] = {}
    for name, outcome in OUTCOMES.items():
        table, _ = _patients(tables, outcome)
        counts = totals(table, n=table.count(), ones=table[name].sum())
        fewer[name] = min(counts["ones"], counts["n"] - counts["ones"])
        if fewer[name] >= _FEWEST:
            break
    usual, chosen = next(iter(fewer)), max(fewer, key=lambda name: fewer[name])
    title = OUTCOMES[chosen].title.lower()
    log.info("The outcome is %s: %s; %s in the smaller class.", chosen, title, told(fewer[chosen]))
    if chosen == usual:
        return OUTCOMES[chosen], []
    what = f"the smaller class of {usual} ({OUTCOMES[usual].title.lower()})"
    done = f"too few, so the outcome is {chosen} ({title})"
    of = int(tables["patients"].count().execute())
    return OUTCOMES[chosen], [Finding("patients", what, fewer[usual], of, done)]


def _describe_people(
    people: pd.DataFrame, outcome: _Outcome, dated: bool
) -> tuple[pd.DataFrame, list[Column]]:
    """Give what an engine returned its dtypes, and say what the columns are."""
    people = people.astype({outcome.name: "uint8"} | dict.fromkeys(UNITS, "float64"))
    columns = [Column(outcome.name, "binary", "outcome", outcome.title)]
    for column in (*DEMOGRAPHICS, *MEASUREMENTS):
        values = people[column.name]
        if column.kind == "categorical":
            if values.isna().any():
                column = replace(column, categories=(*column.categories, MISSING))
            people[column.name] = pd.Categorical(values.fillna(MISSING), list(column.categories))
        elif column.name == AGE and values.min() < column.lower:
            column = replace(column, lower=0)  # a database with children
        elif dated and column.name in UNITS and values.isna().all():
            log.info("Nobody has a %s, so there is no such column.", column.label.lower())
            del people[column.name]
            continue
        columns.append(column)
    return people, columns


def _events(name: str, coded: Coded) -> Block:
    """A 0/1 column for each code of procedures, concepts, labs or ingredients."""
    (role, prefix), found = EVENTS[name], coded.found
    known = found["code"].notna()
    if not known.all():
        log.info(
            "%s of %s rows of %s have no code and are left out.",
            told(found.loc[~known, "rows"].sum()), told(found["rows"].sum()), name,
        )  # fmt: skip
    codes = found.loc[known, "code"].str.lower().str.replace(r"[^a-z0-9.]+", "_", regex=True)
    names = prefix + "_" + codes.str.rstrip("_")
    labels = found["label"].groupby(names).first()  # two spellings of one name are one column
    columns = {code: Column(code, "binary", role, label) for code, label in labels.items()}
    return zeros_and_ones(coded, names, columns)


def _drugs(name: str, coded: Coded) -> Block:
    """A 0/1 column for each ingredient of the drugs that were given."""
    named = drugs.map_names(coded.found["drug"])
    known = named.index[named["known"]]
    coded.log_lost(known, ["drug"], "drug rows hold no ingredient that is known", "names")
    codes = named.assign(code=named["ingredient"], label=named["ingredient"].str.capitalize())
    return _events(name, coded._replace(found=codes))


def check_outcome(patients: pd.DataFrame, least: int = 1) -> pd.DataFrame:
    """The table itself, unless fewer than `least` patients have one of the outcome's two values.
    Chapter data-types, "The patient table and its schema".
    """
    schema = Schema.of(patients)
    if schema.outcome is not None:
        few, most = np.sort(counts := np.bincount(schema.outcome_values(patients), minlength=2))
        if few < least:
            but = f" but {told(few)}" if few else ""
            raise InputError(
                f"Outcome {schema.outcome!r} is {counts.argmax()} for all {few + most} patients"
                f"{but}; choose another outcome or more patients."
            )
    return patients
