"""Categories that are bands of a number, as the age group is of the age."""

from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.special import gammaln

from ..kinds import MAX_CATEGORIES
from ..protection import LEAST_PATIENTS
from ..relations import Follows
from ..schema import Schema
from .cells import CHANCE, Found

_STEPS = [float(f"{first}e{power}") for power in range(6, -7, -1) for first in (5, 2, 1)]


def bands(table: pd.DataFrame, schema: Schema) -> list[Found]:
    """Categories that follow from a number: in its order, each of them is there once, in a row."""
    found: dict[str, Found] = {}
    names, given = schema.of_kind("continuous"), (schema.outcome, schema.sex)
    columns = [c for c in schema.of_kind("binary", "categorical") if c not in given]
    codes = np.array([pd.factorize(table[c])[0] for c in columns]).reshape(-1, len(table))
    for name in names:
        x = table[name].to_numpy(float)
        order = np.argsort(x, kind="stable")[: np.count_nonzero(~np.isnan(x))]
        for column, changes in zip(columns, np.diff(codes[:, order]) != 0, strict=True):
            if column in found or not 0 < np.count_nonzero(changes) < MAX_CATEGORIES:
                continue
            last = np.flatnonzero(changes)
            sizes = np.diff([-1, *last, len(order) - 1])
            levels = table[column].iloc[order[[*last, -1]]].astype("str")
            edges = [_edge(x[order], end) for end in last]
            # Of all ways to deal the categories out, those in which each is one band.
            chance = gammaln(len(sizes) + 1) + gammaln(sizes + 1).sum() - gammaln(len(order) + 1)
            sure = chance < np.log(CHANCE / (len(names) * len(columns)))
            if sure and levels.is_unique and not np.isnan(edges).any():
                ends = pairwise(f"{end:.12g}" for end in (-np.inf, *edges, np.inf))
                each = zip(map(" .. ".join, ends), levels, sizes, strict=True)
                values = {span: level for span, level, size in each if size >= LEAST_PATIENTS}
                by_chance = len(order) - float((sizes**2).sum() / len(order))
                found[column] = Found(Follows(column, name, values), by_chance)
    return [*found.values()]


def _edge(ordered: np.ndarray, last: np.intp) -> float:
    """The roundest number above the `last` of a band, NaN where few patients are as near to it as
    it is round: it would tell their values.
    """
    low, high = ordered[last : last + 2]
    edges = ((round(np.floor(high / step + 1e-9) * step, 9), step) for step in _STEPS)
    edge, step = next(((e, step) for e, step in edges if low < e <= high), (np.nan, 0.0))
    return edge if np.sum(np.abs(ordered - edge) <= step) >= LEAST_PATIENTS else np.nan
