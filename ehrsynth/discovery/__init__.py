"""What can be found out about a table: the relations that hold for everybody, and leaks."""

import logging
from itertools import permutations

import numpy as np
import pandas as pd

from ..protection import LEAST_PATIENTS, told
from ..rules import Above
from ..schema import Schema
from .bands import bands
from .cells import CHANCE, Found, cells
from .formulas import formulas
from .leaks import Leak, leaks

log = logging.getLogger(__name__)
_LOOKED_AT = 200  # patients in the first look at all pairs of numbers
_TRIVIAL = 0.01  # of the patients paired at random; what fewer would break is a matter of scale
_SHOWN = 20  # relations in the log; all are in run.json and in the report


def relations(table: pd.DataFrame, schema: Schema | None = None) -> list[Found]:
    """Everything that holds for every patient of a table and would not in shuffled columns.

    Formulas and bands last: what they are computed from is to be settled first.

    Parameters
    ----------
    table : DataFrame
        Training patients.
    schema : Schema, optional
        By default that of `table`.
    """
    schema = Schema.of(table) if schema is None else schema
    computed = formulas(table, schema)
    banded = bands(table, schema)
    return [*cells(table, schema), *orders(table, schema, computed), *computed, *banded]


def orders(table: pd.DataFrame, schema: Schema, computed: list[Found]) -> list[Found]:
    """Pairs of columns in one order in every patient who has both, consequences left out.

    Not compared are columns of different units, and one that is computed with its parts.
    """
    parts = {one.rule.columns[0]: set(one.rule.columns) for one in computed}
    names = schema.of_kind("continuous")
    x = table[names].to_numpy(float) + [schema[name].begins for name in names]
    some = x[np.random.default_rng(0).permutation(len(x))[:_LOOKED_AT]]
    found, tested = {}, len(names) * (len(names) - 1)
    for i, j in permutations(range(len(names)), 2):
        if (some[:, i] < some[:, j]).any():
            continue
        pair = {names[i], names[j]}
        units = {schema[name].unit.partition(" since ")[0] for name in pair} - {""}
        settled = any(pair <= parts[name] for name in pair & parts.keys())
        both = ~np.isnan(x[:, i]) & ~np.isnan(x[:, j])
        upper, lower = x[both, i], x[both, j]
        if settled or len(units) > 1 or len(upper) < LEAST_PATIENTS or (upper < lower).any():
            continue
        below = np.searchsorted(np.sort(lower), upper, side="right")
        by_chance = len(upper) - below.mean()
        # Of all ways to pair them, those in order: the smallest has so many to choose from, and
        # each that follows one fewer. Exact, ties and all.
        free = (np.sort(below) - np.arange(len(below))) / np.arange(len(below), 0, -1)
        order = np.log(free).sum() if (free > 0).all() else -np.inf
        if by_chance >= _TRIVIAL * len(upper) and order < np.log(CHANCE / tested):
            rule = Above(names[i], names[j], equal=bool((upper == lower).any()))
            found[i, j] = Found(rule, by_chance)
    by_way = {(i, j) for i, k in found for other, j in found if k == other}
    return [rule for pair, rule in found.items() if pair not in by_way]


def listed(
    found: list[Found], tables: dict[str, pd.DataFrame], schema: Schema
) -> list[dict[str, object]]:
    """A row for each relation: how many patients of each table it speaks of, and break it."""
    rows = []
    for rule, by_chance in found:
        row: dict[str, object] = {"relation": str(rule), "broken by chance": round(by_chance)}
        for name, table in tables.items():
            broken, applies = rule.broken(table, schema)
            counts = (told(n) if n else "0" for n in (broken.sum(), applies.sum()))
            row[f"{name}, broken"] = " of ".join(counts)
        rows.append(row)
    return rows


def look_into(train: pd.DataFrame, schema: Schema) -> tuple[list[Found], list[Leak]]:
    """What holds for every training patient and what determines the outcome, told in the log."""
    found = relations(train, schema)
    leaking = leaks(train, schema, found)
    for rule, by_chance in found[:_SHOWN]:
        log.info("  Holds for all: %s (%d would break it by chance).", rule, by_chance)
    if found:
        log.info("  Relations: %d. Where one is not true, drop it with --rules.", len(found))
    for leak in leaking:
        log.warning(
            "  %s nearly determines the outcome (%s %.3f): models do not see it, unless a columns "
            "file says predictor: true.", leak.column, leak.shows, leak.value,
        )  # fmt: skip
    return found, leaking
