"""From a generated matrix to a patient table that a clinician would believe.

The clinical rules are data, a list of :class:`Rule`, not code: the sexes come from the schema,
which has them from the phecode table.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .errors import InputError
from .preprocess import Encoded, Preprocessor
from .schema import Schema

_NEIGHBORS = 25


@dataclass(frozen=True)
class Rule:
    """Something that holds for every possible patient.

    Parameters
    ----------
    kind : {"sex", "above"}
        Sex: only patients of sex `other` can have the yes/no column `column`.
        Above: the number in `column` is larger than that in `other`, where both are known.
    column : str
    other : str
    """

    kind: str
    column: str
    other: str

    def __str__(self) -> str:
        if self.kind == "sex":
            return f"{self.column} only in sex {self.other}"
        return f"{self.column} above {self.other}"


ORDERED = (Rule("above", "systolic", "diastolic"),)


def clinical_rules(schema: Schema) -> list[Rule]:
    """The rules that the schema's columns call for."""
    rules = []
    if schema.sex is not None:
        rules += [Rule("sex", c.name, c.sex) for c in schema.columns if c.sex]
    return rules + [r for r in ORDERED if r.column in schema and r.other in schema]


def broken(table: pd.DataFrame, rule: Rule, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Which patients break a rule, and which could.

    Returns
    -------
    broken, applies : arrays of bool, shape (n,)
        A rule about sex applies to the patients of the other sex, a rule about two numbers to
        those with both.
    """
    if rule.kind == "sex":
        applies = (table[schema.sex].astype(str) != rule.other).to_numpy()
        return applies & (table[rule.column].to_numpy() == 1), applies
    if rule.kind == "above":
        upper, lower = table[rule.column].to_numpy(float), table[rule.other].to_numpy(float)
        applies = ~np.isnan(upper) & ~np.isnan(lower)
        return applies & ~(upper > lower), applies
    raise InputError(f"Rule {rule.kind!r} is not known; use sex or above.")


def violations(
    table: pd.DataFrame, schema: Schema | None = None, rules: Iterable[Rule] | None = None
) -> pd.DataFrame:
    """How often a table breaks each clinical rule.

    Parameters
    ----------
    table : DataFrame
    schema : Schema, optional
        By default the one attached to `table`.
    rules : list of Rule, optional
        By default :func:`clinical_rules`.

    Returns
    -------
    DataFrame
        rule, count, share (of the patients to whom the rule applies; 0 where there are none).
    """
    schema = Schema.of(table) if schema is None else schema
    rows = []
    for rule in clinical_rules(schema) if rules is None else rules:
        wrong, applies = broken(table, rule, schema)
        rows.append(
            {
                "rule": str(rule),
                "count": int(wrong.sum()),
                "share": float(wrong.sum() / max(1, applies.sum())),
            }
        )
    return pd.DataFrame(rows, columns=["rule", "count", "share"])


def repair(
    table: pd.DataFrame, rng: np.random.Generator, schema: Schema | None = None,
    rules: Iterable[Rule] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Make every patient keep the rules, changing as little as possible.

    A diagnosis that the patient's sex cannot have is removed. Two numbers in the wrong order are
    replaced together by those of a patient who keeps the rule and is close in the first number.
    """
    schema = Schema.of(table) if schema is None else schema
    table = schema.attach(table)
    for rule in clinical_rules(schema) if rules is None else rules:
        wrong, applies = broken(table, rule, schema)
        if not wrong.any():
            continue
        if rule.kind == "sex":
            table[rule.column] = table[rule.column].where(~wrong, 0).astype(np.uint8)
        else:
            table = _redraw_pair(table, rule, wrong, applies & ~wrong, rng)
    return table


def _redraw_pair(
    table: pd.DataFrame, rule: Rule, wrong: np.ndarray, right: np.ndarray, rng: np.random.Generator
) -> pd.DataFrame:
    pair = table[[rule.column, rule.other]].to_numpy(float, copy=True)
    donors = np.flatnonzero(right)
    if len(donors) == 0:  # nobody to copy from: the second number counts as not measured
        pair[wrong, 1] = np.nan
    else:
        donors = donors[np.argsort(pair[donors, 0], kind="stable")]
        near = np.searchsorted(pair[donors, 0], pair[wrong, 0])
        near = near + rng.integers(-_NEIGHBORS, _NEIGHBORS + 1, size=len(near))
        pair[wrong] = pair[donors[np.clip(near, 0, len(donors) - 1)]]
    table[rule.column], table[rule.other] = pair[:, 0], pair[:, 1]
    return table


def postprocess(
    encoded: Encoded, prep: Preprocessor, seed: int = 0, rules: bool | Iterable[Rule] = True
) -> pd.DataFrame:
    """Decode generated patients and make them keep the clinical rules.

    Parameters
    ----------
    encoded : Encoded
        What ``EMRWGAN.sample`` returned.
    prep : Preprocessor
        The one the model was trained with.
    seed : int
        Same seed, same table.
    rules : bool or list of Rule
        True repairs what :func:`clinical_rules` lists, False nothing; or your own list.

    Returns
    -------
    DataFrame
        One row per synthetic patient, with its schema attached.
    """
    decoding, repairing = np.random.SeedSequence(seed).spawn(2)
    table = prep.inverse_transform(encoded, seed=decoding)
    if rules is False:
        return table
    chosen = clinical_rules(prep.schema_) if rules is True else list(rules)
    return repair(table, np.random.default_rng(repairing), prep.schema_, chosen)
