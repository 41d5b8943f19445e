"""Clinical rules: what holds for every possible patient, as data that a person can write.

What the schema calls for (the sex of a phecode, systolic above diastolic) need not be written.
Further rules stand in a file of :func:`read_rules`.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError
from .files import read_by_hand, write_json
from .relations import Follows, Formula, Rule, States, parse, said, similar
from .schema import DIASTOLIC, DIE_1Y, DIE_ANY, SYSTOLIC, Column, Schema

log = logging.getLogger(__name__)

RULES_FILE = "rules.json"


@dataclass(frozen=True)
class Only(Rule):
    """Only patients of one sex can have a yes/no column; it is removed from the others.
    Chapter generation, "Rules as data".
    """

    column: str  #: yes/no
    sex: str  #: "F" or "M"
    kinds = ("binary",)

    def __str__(self) -> str:
        return f"{self.column} only in sex {self.sex}"

    def check(self, schema: Schema) -> None:
        if self.sex not in ("F", "M"):
            raise InputError(f"it has sex {self.sex!r}; use F or M.")
        if schema.sex is None:
            raise InputError("no column holds the sex (a demographic with the categories F and M).")
        super().check(schema)

    def cases(self, schema):
        others = [category for category in schema[schema.sex].categories if category != self.sex]
        return [({schema.sex: others}, {self.column: 0})]


@dataclass(frozen=True)
class Above(Rule):
    """One number is larger than another, where both are known.

    A pair in the wrong order is replaced by that of a patient who keeps the rule and whose two
    numbers have a close mean. Where nobody keeps it, `other` counts as not measured.
    Chapter generation, "Rules as data".
    """

    column: str  #: the larger
    other: str  #: the smaller
    equal: bool = False  #: whether the two may be equal
    named = ("column", "other")
    kinds = ("continuous",)

    def __str__(self) -> str:
        return f"{self.column} {'at least' if self.equal else 'above'} {self.other}"

    def check(self, schema: Schema) -> None:
        super().check(schema)
        if self.column == self.other:
            raise InputError(f"it compares {self.column!r} with itself; name two columns.")

    def broken(self, table, schema):
        begins = [schema[n].begins if n in schema else 0.0 for n in self.columns]
        upper, lower = (table[[*self.columns]].to_numpy(float) + begins).T
        applies = ~np.isnan(upper) & ~np.isnan(lower)
        return applies & ~((upper > lower) | (self.equal & (upper == lower))), applies

    def repair(self, table, wrong, schema, rng):
        pair = table[[self.column, self.other]].to_numpy(float, copy=True)
        if not (good := self.broken(table, schema)[1] & ~wrong).any():
            pair[wrong, 1] = np.nan
        else:
            # By the mean, not by either number: where that one is the wrong one, the patients
            # close in it are extreme, and copies of them would bend means and correlation.
            pair[wrong] = pair[similar(pair.mean(axis=1), wrong, good, rng)]
        table[self.column], table[self.other] = pair[:, 0], pair[:, 1]


@dataclass(frozen=True)
class Between(Rule):
    """A number lies in a range (ends included), where it is known; else it moves to the nearer end.
    Chapter generation, "Rules as data".
    """

    column: str  #: of numbers
    low: float | None = None  #: the least
    high: float | None = None  #: the largest
    kinds = ("continuous",)

    def __str__(self) -> str:
        if self.high is None:
            return f"{self.column} at least {self.low:g}"
        if self.low is None:
            return f"{self.column} at most {self.high:g}"
        return f"{self.column} between {self.low:g} and {self.high:g}"

    def check(self, schema: Schema) -> None:
        super().check(schema)
        column = schema[self.column]
        if self.low is None and self.high is None:
            raise InputError("it has neither low nor high; give one of them.")
        low, high = self._ends(column)
        if low > high:
            least, most = column.clip(np.array([-np.inf, np.inf]))
            raise InputError(
                f"{self} leaves no value, as the column goes from {least:g} to {most:g}"
                f"{'' if column.decimals is None else f' with {column.decimals} decimals'}."
            )

    def _ends(self, column: Column) -> tuple[float, float]:
        """The smallest and the largest number of the range that the column can hold."""
        low = max(-np.inf if x is None else x for x in (self.low, column.lower))
        high = min(np.inf if x is None else x for x in (self.high, column.upper))
        if column.decimals is None:
            return low, high
        unit = 10.0**column.decimals
        # Rounded first: 1.1 * 10 is a hair above 11.
        return np.ceil(np.round(low * unit, 6)) / unit, np.floor(np.round(high * unit, 6)) / unit

    def broken(self, table, schema):
        values = table[self.column].to_numpy(float)
        known = ~np.isnan(values)
        return known & (np.clip(values, self.low, self.high) != values), known

    def repair(self, table, wrong, schema, rng):
        nearer = table[self.column].clip(*self._ends(schema[self.column]))
        table[self.column] = table[self.column].where(~wrong, nearer)


@dataclass(frozen=True)
class Implies(Rule):
    """Who has all the values of `when` has those of `then` too; else the latter are put in.
    What excludes each other is written with 0: ``Implies({"type_1": 1}, {"type_2": 0})``.
    Chapter generation, "Rules as data".
    """

    #: column and value, of yes/no columns (1 or 0), categories, and numbers ("(missing)", 0, or
    #: "(other)"); of a list each value will do
    when: States
    then: States  #: the same
    kinds = ("binary", "categorical", "continuous")

    def __str__(self) -> str:
        return f"{said(self.when)} implies {said(self.then)}"

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.when, *self.then)

    @property
    def changed(self) -> tuple[str, ...]:
        return tuple(self.then)

    def check(self, schema: Schema) -> None:
        if not self.when or not self.then:
            raise InputError("when and then each need a column and its value.")
        if doubled := [name for name in self.then if name in self.when]:
            raise InputError(f"{doubled[0]!r} is in when and in then; name it once.")
        super().check(schema)

    def cases(self, schema):
        return [(self.when, self.then)]


@dataclass(frozen=True)
class Drop(Rule):
    """A relation that was found and is not to be kept.
    Chapter generation, "Rules as data".
    """

    relation: str  #: as the log and the report write it; "found" for all
    named = ()

    def __str__(self) -> str:
        return f"dropped: {self.relation}"


KINDS: dict[str, Any] = {
    kind.__name__.lower(): kind for kind in (Only, Above, Between, Implies, Formula, Follows, Drop)
}

ORDERED = (Above(SYSTOLIC, DIASTOLIC),)
# Once for each of the two that is the outcome: the other one gives way.
DEATHS = (Implies({DIE_1Y: 1}, {DIE_ANY: 1}), Implies({DIE_ANY: 0}, {DIE_1Y: 0}))


def clinical_rules(schema: Schema) -> list[Rule]:
    """The rules that the schema's columns call for, without being asked.
    Chapter generation, "Clinical rules".

    Parameters
    ----------
    schema : Schema
    """
    ones = [Only(c.name, c.sex) for c in schema.columns if c.sex and schema.sex is not None]
    there = [r for r in (*ones, *ORDERED, *DEATHS) if all(name in schema for name in r.columns)]
    return [rule for rule in there if schema.outcome not in rule.changed]


def check_rules(rules: Iterable[Rule], schema: Schema, where: str = "Rule", start: int = 1) -> None:
    """Raise InputError, with the number of the rule, unless every rule fits the columns.
    Chapter generation, "Rules as data".
    """
    for number, rule in enumerate(rules, start):
        try:
            rule.check(schema)
        except InputError as error:
            raise InputError(f"{where} {number} ({rule.kind}): {error}") from error


def chosen_rules(
    schema: Schema, path: str | Path | None = None, absent: Iterable[str] = (),
    found: Iterable[Rule] = (), clinical: bool = True,
) -> list[Rule]:  # fmt: skip
    """The rules of the schema, those that were found, and those of a person's file.
    Chapter generation, "Rules as data".

    Parameters
    ----------
    schema : Schema
    path : path, optional
    absent : iterable of str
        Columns that are not in `schema` because they were too rare; a rule about one of them is
        left out, with a word in the log.
    found : iterable of Rule
        Of :func:`ehrsynth.discovery.relations`, or a run's; the file can switch them off.
    clinical : bool
        Whether to begin with those of the schema; a run's own rules hold them as far as kept.
    """
    absent, own = set(absent), []
    for number, rule in enumerate(read_rules(path) if path is not None else (), start=1):
        if lost := absent.intersection(rule.columns):
            log.info("Rule %d (%s) is left out: %r is too rare.", number, rule, min(lost))
        else:
            check_rules([rule], schema, f"{path}, rule", number)
            own.append(rule)
    own_of_schema = clinical_rules(schema) if clinical else ()
    given = {str(rule): rule for rule in (*own_of_schema, *found)}
    off = {rule.relation for rule in own if isinstance(rule, Drop)}
    if unknown := off - {"found"} - set(given):
        log.warning("%s drops %r, which nobody found.", path, min(unknown))
    # A formula of the person's is in the place of one that was found.
    mine = {rule.column for rule in own if isinstance(rule, Formula)}
    kept = {
        name: rule
        for name, rule in given.items()
        if name not in off
        and not ("found" in off and rule in found)
        and not (isinstance(rule, Formula) and rule.column in mine)
    }
    return list((kept | {str(r): r for r in own if not isinstance(r, Drop)}).values())


def summary(repaired: Mapping[str, int], most: int = 5) -> str:
    """One sentence about how many patients each rule changed, the most frequent ones first.
    Chapter generation, "Clinical rules".
    """
    done = sorted(((n, rule) for rule, n in repaired.items() if n), key=lambda pair: -pair[0])
    if not done:
        return f"Nothing to repair: all patients keep the {len(repaired)} clinical rules."
    said = [f"{rule}: {n:,}" for n, rule in done[:most]]
    said += [f"{len(done) - most} more rules"] if len(done) > most else []
    return f"{sum(n for n, _ in done):,} repairs ({'; '.join(said)})."


def read_rules(path: str | Path) -> list[Rule]:
    """Read rules from a ``.json``, ``.yaml`` or ``.yml`` file.

    It is a list of kinds of rules with their parameters, as ``- between: {column: age, low: 18}``.
    Chapter generation, "Rules as data".

    Parameters
    ----------
    path : str or Path
    """
    content = read_by_hand(path)
    if not isinstance(content, list):
        raise InputError(
            f"{path} should be a list of rules, as in - above: "
            f"{{column: {SYSTOLIC}, other: {DIASTOLIC}}}."
        )
    return [_rule(f"{path}, rule {number}", entry) for number, entry in enumerate(content, start=1)]


def write_rules(rules: Iterable[Rule], path: str | Path) -> None:
    """Write rules as JSON that :func:`read_rules` reads.
    Chapter generation, "Rules as data".

    Parameters
    ----------
    rules : iterable of Rule
    path : str or Path
    """
    write_json([{rule.kind: vars(rule)} for rule in rules], path)


def _rule(where: str, entry: object) -> Rule:
    if not isinstance(entry, Mapping) or len(entry) != 1:
        raise InputError(f"{where} should be one of {', '.join(KINDS)} with its columns.")
    kind, said = next(iter(entry.items()))
    if kind not in KINDS:
        raise InputError(f"{where} has the unknown kind {kind!r}; use {', '.join(KINDS)}.")
    where = f"{where} ({kind})"
    keys = {field.name: field.default for field in fields(KINDS[kind])}
    if not isinstance(said, Mapping):
        raise InputError(f"{where} should have the keys {', '.join(keys)}, not {said!r}.")
    for key in dict.fromkeys((*said, *keys)):
        if key not in keys:
            raise InputError(f"{where} has the key {key!r}; use {', '.join(keys)}.")
        if key not in said and keys[key] is MISSING:
            raise InputError(f"{where} has no {key}; use {', '.join(keys)}.")
        good, wanted = _WANTED.get(key, _TEXT)
        if key in said and not good(said[key]):
            raise InputError(f"{where} says {key} {said[key]!r}; use {wanted}.")
    try:
        rule = KINDS[kind](**said)
        parse(getattr(rule, "equals", "0"))
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    return rule


_TEXT = (lambda value: isinstance(value, str), "a text (in quotes if it looks like a number)")
_END = (lambda x: x is None or (type(x) in (int, float) and np.isfinite(x)), "a number")
_STATES = (
    lambda value: isinstance(value, Mapping),
    "columns and their values, as in {dialysis: 1}",
)
_WANTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "low": _END, "high": _END, "when": _STATES, "then": _STATES, "values": _STATES,
    "equal": (lambda value: isinstance(value, bool), "true or false"),
}  # fmt: skip
