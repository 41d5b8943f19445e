"""Which number is never below another one."""

import numpy as np
import pandas as pd

from ..protection import LEAST_PATIENTS
from ..rules import Above
from ..schema import Schema
from .cells import CHANCE, Found

_LOOKED_AT = 200  # patients in the first look at all pairs
_TRIVIAL = 0.01  # of the patients paired at random; what fewer would break is a matter of scale


def orders(table: pd.DataFrame, schema: Schema, computed: list[Found]) -> list[Found]:
    """Pairs of columns in one order in every patient who has both, consequences left out.

    Not compared are columns of different units, and one that is computed with its parts.
    """
    parts = {one.rule.columns[0]: set(one.rule.columns) for one in computed}
    names = schema.of_kind("continuous")
    x = table[names].to_numpy(float)
    some = x[np.random.default_rng(0).permutation(len(x))[:_LOOKED_AT]]
    least = np.full((len(names), len(names)), 0.0)
    for i in range(len(names)):  # the smallest difference of i and each other column
        least[i] = np.nanmin(np.fmin(some[:, [i]] - some, np.inf), axis=0, initial=np.inf)
    found, tested = {}, len(names) * (len(names) - 1)
    for i, j in np.argwhere((least >= 0) & ~np.eye(len(names), dtype=bool)):
        pair = {names[i], names[j]}
        units = {schema[name].unit for name in pair} - {""}
        told = any(pair <= parts[name] for name in pair & parts.keys())
        both = ~np.isnan(x[:, i]) & ~np.isnan(x[:, j])
        upper, lower = x[both, i], x[both, j]
        if told or len(units) > 1 or len(upper) < LEAST_PATIENTS or (upper < lower).any():
            continue
        below = np.searchsorted(np.sort(lower), upper, side="right")
        by_chance = len(upper) - below.mean()
        # Of all ways to pair them, those in order: the smallest has so many to choose from, and
        # each that follows one fewer. Exact, ties and all.
        free = (np.sort(below) - np.arange(len(below))) / np.arange(len(below), 0, -1)
        order = np.log(free).sum() if (free > 0).all() else -np.inf
        if by_chance >= _TRIVIAL * len(upper) and order < np.log(CHANCE / tested):
            found[i, j] = Found(
                Above(names[i], names[j], equal=bool((upper == lower).any())), by_chance
            )
    by_way = {(i, j) for i, k in found for other, j in found if k == other}
    return [rule for pair, rule in found.items() if pair not in by_way]
