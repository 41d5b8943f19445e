"""Columns that (nearly) determine the outcome: what is known only once it has happened.

Each column is asked alone, by cross-validation: how well does it rank patients by the outcome (the
AUROC), and are there values with which nearly everybody has it? Age in a sick population, or the
best laboratory value, is far from both.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..protection import LEAST_PATIENTS
from ..relations import Formula, compute, has, has_numbers, numbers
from ..schema import MISSING, Column, Schema
from ..statistics import auroc, wilson
from .cells import Found

# The lower end of the 95 % interval, of the AUROC or of the share who have the outcome; of numbers,
# since a good laboratory value comes near, more.
DETERMINES, DETERMINES_AS_NUMBER = 0.95, 0.98
_SURE = 0.9  # share with the outcome, in other patients, from which on a value speaks for it
_CASES = 0.05  # of those with the outcome must have such a value
_FOLDS, _BINS = 5, 20
_IN_ORDER, _SEEN = 0.99, 20  # of a column's order, the time's; changes by chance that show it


class Leak(NamedTuple):
    """A column that nearly determines the outcome, and what shows it, with its interval."""

    column: str
    shows: str
    value: float
    low: float


def leaks(table: pd.DataFrame, schema: Schema, found: Iterable[Found] = ()) -> list[Leak]:
    """The columns that nearly determine the outcome, but for those that a person vouches for.

    By the relations `found`, what is computed from the time of the outcome tells as much as it.
    """
    if schema.outcome is None or table[schema.outcome].nunique() < 2:
        return []
    y = schema.outcome_values(table).astype(int)
    fold = np.random.default_rng(0).permutation(len(y)) % _FOLDS
    asked = (c for c in schema.columns if c.role not in ("outcome", "time") and c.predictor is None)
    rules = [one.rule for one in found if isinstance(one.rule, Formula)]
    of_time = _of_time(table, schema, rules) if schema.time else {}
    shown = ((c.name, of_time.get(c.name) or _shown(table, c, y, fold)) for c in asked)
    return [Leak(name, *said) for name, said in shown if said is not None]


def _of_time(table: pd.DataFrame, schema: Schema, rules: list[Formula]) -> dict[str, tuple]:
    """What shows that a column tells the time: its order, or a formula in which both grow."""
    time, shown = str(schema.time), {}
    order = table[time].rank()
    for column in schema.columns:
        if has_numbers(column):
            share = abs(pd.Series(numbers(table[column.name]), table.index).corr(order, "spearman"))
        else:  # its categories are bands of time
            there = ~has(table, column.name, MISSING)
            codes = pd.factorize(table.loc[there, column.name])[0]
            changes = np.count_nonzero(np.diff(codes[np.lexsort((codes, order[there]))]))
            by_chance = len(codes) - (np.bincount(codes) ** 2).sum() / len(codes)
            share = float(changes == codes.max(initial=0) and by_chance >= _SEEN)
        if share >= _IN_ORDER:
            shown[column.name] = ("share of its order that is that of the time", share, share)
    for rule in (rule for rule in rules if time in rule.columns):
        parts = {name: np.nanmedian(numbers(table[name])) for name in rule.columns[1:]}
        base, slope = compute(rule.equals, parts), {rule.column: -1.0}  # on the other side
        for name, value in parts.items():
            slope[name] = compute(rule.equals, parts | {name: value * 1.01 + 0.01}) - base
        later = [n for n in rule.columns if n != time and slope[n] * slope[time] < 0]
        shown |= {name: (f"share of patients with {rule}", 1.0, 1.0)
                  for name in (later or rule.columns) if name != time}  # fmt: skip
    return shown


def unused(schema: Schema, found: list[Leak]) -> list[str]:
    """The columns that models of the outcome do not see: found, or by the person's word."""
    said = [column.name for column in schema.columns if column.predictor is False]
    return list(dict.fromkeys([*said, *(leak.column for leak in found)]))


def _shown(table: pd.DataFrame, column: Column, y: np.ndarray, fold: np.ndarray):
    """What shows that a column nearly determines the outcome, or None."""
    rare, said = (y, "with") if y.mean() <= 0.5 else (1 - y, "without")
    levels = _levels(table, column, _BINS)
    n, cases = (np.bincount(levels, weights) for weights in (np.ones(len(y)), rare))
    rate = cases / np.maximum(n, 1)
    order = np.argsort(rate)
    well, ill = (n - cases)[order], cases[order]
    area = (ill * (np.cumsum(well) - well / 2)).sum() / (ill.sum() * well.sum())
    limit = DETERMINES_AS_NUMBER if column.kind == "continuous" else DETERMINES
    if area < limit and (rate < _SURE).all():  # already in its own patients
        return None
    score = _others(levels, rare, fold)
    found = auroc(score[rare == 1], score[rare == 0])
    if (found.low or 0) >= limit:
        return "AUROC", found.value, float(found.low or 0)
    # An end of a range of numbers may be sure by nature.
    sure = _others(_levels(table, column, 1), rare, fold) >= _SURE
    if rare[sure].sum() < max(LEAST_PATIENTS, _CASES * rare.sum()):
        return None
    share = wilson(int(rare[sure].sum()), int(sure.sum()))
    said = f"share {said} the outcome at some values"
    return (said, share.value, share.low) if (share.low or 0) >= DETERMINES else None


def _levels(table: pd.DataFrame, column: Column, bins: int) -> np.ndarray:
    """The number of each patient's value: a category, or the bin of a number; missing last."""
    values = table[column.name]
    if column.kind == "categorical":
        return values.cat.codes.to_numpy(int)
    numbers, empty = values.to_numpy(float), has(table, column.name, MISSING)
    if empty.all():
        return np.zeros(len(values), dtype=int)
    quantiles = np.linspace(0, 1, bins + 1)[1:-1]
    cuts = [1.0] if column.kind == "binary" else np.unique(np.quantile(numbers[~empty], quantiles))
    return np.where(empty, len(cuts) + 1, np.searchsorted(cuts, numbers, side="right"))


def _others(levels: np.ndarray, y: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """For each patient the outcome's share among patients of other folds with the same value."""
    cell, size = levels * _FOLDS + fold, (levels.max() + 1) * _FOLDS
    n, cases = (np.bincount(cell, w, size).reshape(-1, _FOLDS) for w in (np.ones(len(y)), y))
    n, cases = (x.sum(axis=1, keepdims=True) - x for x in (n, cases))
    return ((cases + y.mean()) / (n + 1))[levels, fold]
