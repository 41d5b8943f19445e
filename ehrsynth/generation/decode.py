"""From a generated matrix to a patient table that a clinician would believe."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from ..errors import InputError
from ..preprocessing.encode import Preprocessor
from ..preprocessing.matrix import Encoded
from ..relations import copy_rows
from ..rules import Rule, check_rules, clinical_rules
from ..schema import Schema

_PASSES = 5  # the repair of one rule may break another


def violations(
    table: pd.DataFrame, schema: Schema | None = None, rules: Iterable[Rule] | None = None
) -> pd.DataFrame:
    """How often a table breaks each clinical rule: rule, count, share of whom it applies to.
    Chapter generation, "Clinical rules".

    Parameters
    ----------
    table : DataFrame
    schema, rules : Schema, list of Rule, optional
        By default those of `table`.
    """
    if schema is None:  # a rule such as an order needs no more than its columns
        schema = Schema.of(table) if rules is None else Schema.attached(table) or Schema(())
    rows = []
    for rule in clinical_rules(schema) if rules is None else rules:
        wrong, applies = rule.broken(table, schema)
        count = int(wrong.sum())
        rows.append((str(rule), count, float(count / max(1, applies.sum()))))
    return pd.DataFrame(rows, columns=["rule", "count", "share"])


def repair(
    table: pd.DataFrame, rng: np.random.Generator, schema: Schema | None = None,
    rules: Iterable[Rule] | None = None, repaired: dict[str, int] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Make every patient keep the rules, changing as little as possible.

    What is changed is said at each kind of rule in :mod:`ehrsynth.rules`; nothing else is.
    Chapter generation, "Clinical rules".

    Parameters
    ----------
    table, rng : DataFrame, Generator
    schema, rules : Schema, list of Rule, optional
        By default those of `table`.
    repaired : dict, optional
        To it is added, for each rule, the number of patients that it changed.
    """
    schema = Schema.of(table) if schema is None else schema
    rules = clinical_rules(schema) if rules is None else list(rules)
    repaired = {} if repaired is None else repaired
    table = schema.attach(table)
    for rule in rules:
        repaired.setdefault(str(rule), 0)
    for _ in range(_PASSES):
        count = 0
        for rule in rules:
            wrong, _ = rule.broken(table, schema)
            if wrong.any():
                rule.repair(table, wrong, schema, rng)
                count = int(wrong.sum())
                repaired[str(rule)] += count
                last = rule
        if count == 0:
            return table
    if _lend(table, rng, schema, rules):
        return table
    raise InputError(
        f"The rule {str(last)!r} and another one contradict each other: "
        f"{count} patients cannot keep both; correct one of them."
    )


def _lend(table: pd.DataFrame, rng: np.random.Generator, schema: Schema, rules: list[Rule]) -> bool:
    """Give who breaks a rule still, but for outcome and sex, what one has who keeps them all."""
    broken = np.any([rule.broken(table, schema)[0] for rule in rules], axis=0)
    if broken.mean() > 0.5:
        return False
    given = [name for name in (schema.outcome, schema.sex) if name is not None]
    names = {name for rule in rules for name in rule.columns} - set(given)
    kind = np.zeros(len(table), dtype=int)
    for name in given:
        kind = kind * 100 + pd.factorize(table[name])[0]
    for own in np.unique(kind[broken]):
        wrong, good = broken & (kind == own), np.flatnonzero(~broken & (kind == own))
        if len(good) == 0:
            return False
        copy_rows(table, names, wrong, rng.choice(good, int(wrong.sum())))
    return True


def postprocess(
    encoded: Encoded, prep: Preprocessor, seed: int = 0, rules: bool | Iterable[Rule] = True,
    repaired: dict[str, int] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Decode generated patients, a row each, and make them keep the clinical rules.
    Chapter generation, "Rules as data".

    Parameters
    ----------
    encoded, prep, seed : Encoded, Preprocessor, int
        From ``EMRWGAN.sample``, and with what the model was trained.
    rules : bool or list of Rule
        Your own, True for :func:`ehrsynth.rules.clinical_rules`, False for none.
    repaired : dict, optional
        To it is added, for each rule, the number of patients that it changed.
    """
    decoding, repairing = np.random.SeedSequence(seed).spawn(2)
    table = prep.inverse_transform(encoded, seed=decoding)
    if rules is False:
        return table
    own = None if rules is True else list(rules)
    check_rules(own or [], prep.schema_)
    return repair(table, np.random.default_rng(repairing), prep.schema_, own, repaired)
