"""What cannot be true in a hospital's tables: found, counted, and said what became of it.

In the spirit of OHDSI's DataQualityDashboard (doi 10.1093/jamia/ocab132), but for the few tables
that are used. Of an error no outcome is ever made, and nothing is left out without a count.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, NoReturn

import pandas as pd

from ..errors import InputError, first_bad, some
from ..kinds import shown
from ..protection import LEAST_PATIENTS, told
from .engine import ROW, Table, Value, collect, literal, totals
from .tables import LONGEST_LIFE

log = logging.getLogger(__name__)

_NEVER = f"before the birth or past the age of {LONGEST_LIFE}"
_NOT_USED = "the date of death is not used"
_AS_MAPPED = "kept as the phecode map has it"
_MOST_LISTED = 10


class Finding(NamedTuple):
    """`what` is wrong in `rows` of the `of` rows of a `table`, and what was `done` about it."""

    table: str
    what: str
    rows: int
    of: int
    done: str

    def __str__(self) -> str:
        among = f" of {self.of:,}" if self.of >= LEAST_PATIENTS else ""
        rows = f"{told(self.rows)}{among} rows of " if self.rows else ""
        return f"{self.what[0].upper()}{self.what[1:]} in {rows}{self.table}: {self.done}."


def note(findings: Iterable[Finding]) -> pd.DataFrame:
    """Log the findings; as a table they travel with the hospital tables, under "quality"."""
    found = list(findings)
    for finding in found:
        log.info("%s", finding)
    return pd.DataFrame(found, columns=list(Finding._fields))


def counted(
    table: Table, name: str, rules: Sequence[tuple[str, Value, str]]
) -> tuple[Finding, ...]:
    """How many rows of a table break each rule (what, which rows, what is done); in one pass."""
    sums = {what: wrong.fill_null(False).sum() for what, wrong, _ in rules}
    found = totals(table, rows=table.count(), **sums)
    return tuple(Finding(name, what, found[what], found["rows"], done)
                 for what, _, done in rules if found[what])  # fmt: skip


# -- the rules -------------------------------------------------------------------------


def settle(
    patients: Table, admissions: Table, events: Mapping[str, Table], kind: str
) -> tuple[Table, Table, list[Finding]]:
    """Patients and admissions that can be true, and what could not be.

    The `events` are looked through for rows of nobody, or at no age; they stay as they are. `kind`
    is "hospital", "inpatient" or "visits". Who is admitted to the hospital itself cannot have died
    before. A database of many sources goes on after a death, with paperwork that is left out: stays
    that begin later, and other visits from the day itself.
    """
    never = ~(patients["death_date"].year() - _born(patients)).between(0, LONGEST_LIFE)
    found = [*counted(patients, "patients", [(f"a death {_NEVER}", never, _NOT_USED)])]
    patients = patients.mutate(death_date=never.ifelse(None, patients["death_date"]))
    admissions, more = _possible(patients, admissions)
    begin, last = admissions["admit_time"], kind == "hospital"
    seen = admissions.group_by("subject_id").aggregate(seen=begin.max() if last else begin.min())
    joined = patients.left_join(seen, "subject_id").select(*patients.columns, "seen")
    dead = joined["death_date"].date() < joined["seen"].date()
    what = f"a death before the {'last' if last else 'first'} admission begins"
    found += [*more, *counted(joined, "patients", [(what, dead, _NOT_USED)])]
    patients = joined.mutate(death_date=dead.ifelse(None, joined["death_date"])).drop("seen")
    if not last:
        known = _with_patient(admissions, patients)
        begin, death = known["admit_time"].date(), known["death_date"].date()
        late = (begin > death if kind == "inpatient" else begin >= death).fill_null(False)
        found += counted(known, "admissions", [("a beginning after the death", late, "left out")])
        admissions = known.filter(~late).select(*admissions.columns)
    for name, table in events.items():
        known = _with_patient(table, patients)
        rules = [("no such patient", known["there"].isnull(), "left out")]
        if "time" in table.columns:
            age = known["time"].year() - known["born"]
            rules.append((f"a date {_NEVER}", ~age.between(0, LONGEST_LIFE), "kept"))
        found += counted(known, name, rules)
    return patients, admissions, found


def _possible(patients: Table, admissions: Table) -> tuple[Table, tuple[Finding, ...]]:
    """The admissions of somebody at some age, which end no earlier than they begin."""
    known = _with_patient(admissions, patients)
    begin, end = known["admit_time"], known["discharge_time"]
    nobody = known["there"].isnull()
    never = (~(begin.year() - known["born"]).between(0, LONGEST_LIFE)).fill_null(False)
    lost = nobody | never
    backwards = ((end < begin) & ~lost).fill_null(False)
    endless = (end.isnull() | (end.year() - known["born"] > LONGEST_LIFE)) & ~lost
    taken = "taken to end as it begins"
    found = counted(known, "admissions", [
        ("no such patient", nobody, "left out"),
        (f"a beginning {_NEVER}", never & ~nobody, "left out"),
        ("an end before the beginning", backwards, taken),
        (f"no end, or one past the age of {LONGEST_LIFE}", endless & ~backwards, taken),
    ])  # fmt: skip
    refuse_most(finding for finding in found if finding.done == "left out")
    known = known.mutate(discharge_time=(backwards | endless).ifelse(begin, end))
    return known.filter(~lost).select(*admissions.columns), found


def _born(patients: Table) -> Value:
    return patients["anchor_year"] - patients["anchor_age"]


def _with_patient(table: Table, patients: Table) -> Table:
    """The rows with the year of birth and the day of death; ``there`` is NULL without a patient."""
    known = patients.select(
        person="subject_id", born=_born(patients), death_date="death_date", there=literal(True)
    )
    return table.left_join(known, table["subject_id"] == known["person"]).drop("person")


def missed_codes(missed: pd.DataFrame, n: int) -> list[Finding]:
    """Phecodes that one ICD version misses (:func:`ehrsynth.phecode.one_era`), of `n` patients."""
    sure = missed["beyond_chance"] & (missed["patients"] >= LEAST_PATIENTS)
    listed = missed[sure].head(_MOST_LISTED)
    found = [
        Finding(
            "the cohort",
            f"an ICD-{row.missed_by} code without phecode ({row.codes}) whose twin of the other "
            f"version has {row.phecode} ({row.name}), so that {row.icd9:.1%} of ICD-9 patients "
            f"have it and {row.icd10:.1%} of ICD-10 patients, more than chance",
            row.patients, n, _AS_MAPPED,
        )
        for row in listed.itertuples(index=False)
    ]  # fmt: skip
    if rest := len(missed) - len(listed):
        few = missed.drop(listed.index).query("patients >= @LEAST_PATIENTS")["phecode"]
        what = "a share in ICD-9 and ICD-10 that differs by no more than chance"
        what += f" (among them {some(few)})" if len(few) else ""
        if sure.sum() > len(listed):
            what += f", or by less than in the {_MOST_LISTED} that are listed"
        where = "the phecodes that one version misses"
        found.append(Finding(where, what, rest, len(missed), _AS_MAPPED))
    return found


# -- what cannot be used ---------------------------------------------------------------


def refuse_most(findings: Iterable[Finding]) -> None:
    """Raise for what is wrong in most of a table: then it is no error of single rows."""
    for finding in findings:
        if 2 * finding.rows > finding.of:
            raise InputError(
                f"{str(finding).removesuffix('.')}, which is most of them; correct the table first."
            )


def refuse_first(table: Table, column: str, what: str, wrong: Value, where: object) -> NoReturn:
    """Raise for the first row whose `column` is `wrong`: it should hold `what`."""
    import ibis

    order = {"order_by": ROW} if ROW in table.columns else {}
    text, row = table[column].cast("string"), ibis.row_number().over(**order)
    rows = table.select(value=text, row=row, wrong=wrong)
    first = collect(rows.filter(rows["wrong"]).order_by("row").limit(1)).iloc[0]
    value = "" if pd.isna(first["value"]) else str(first["value"])
    alike = collect(rows.filter(rows["value"] == value).limit(LEAST_PATIENTS))["value"]
    has = shown(alike, value) if value.strip() else "nothing"
    _refuse(column, where, f"hold {what} but has {has}", int(first["row"]) + 1)


def check_values(values: pd.Series, wrong: pd.Series, where: object, what: str) -> None:
    """Raise for the first of the values of a column that is `wrong`: it should be `what`."""
    if bad := first_bad(values, wrong):
        is_ = shown(values, bad.value) if str(bad.value).strip() else "nothing"
        _refuse(values.name, where, f"be {what} but is {is_}", bad.row)


def _refuse(column: object, where: object, should: str, row: int) -> NoReturn:
    raise InputError(
        f"Column {column!r} of {where} should {should} in row {row}; correct the file."
    )


def check_columns(found: Iterable[str], wanted: Iterable[str], where: object) -> None:
    """Raise for the first of the wanted columns that is not there."""
    if missing := [name for name in wanted if name not in set(found)]:
        raise InputError(f"Column {missing[0]!r} is missing from {where}.")
