"""Numbers that follow from others: sums, and products of powers, of up to four columns.

No column is told by its name. A few patients give candidates: groups of columns of which a
combination does not scatter, of the numbers (sums) or of their logarithms (products). A formula
holds if all of train follows it, up to the rounding of its columns.
"""

from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import pandas as pd
from scipy.optimize import linprog

from ..relations import Formula, compute, half_unit, has_numbers, numbers, written
from ..schema import Schema
from .cells import CHANCE, Found

Rows = dict[str, np.ndarray]  # the numbers of some patients, by column
_LOOKED_AT = 300  # patients who give candidates, those with the most numbers
_FITTED = 500  # patients who give the constants of a sum
_FEWEST = 20  # patients who have all columns of a formula
_SLIPS = 0.001  # of the patients; records have slips
_MOST = 150_000  # groups of columns of one size that are looked at
_YEAR = 365.25  # days: an age follows from two dates
_SEARCHED = 1e9  # formulas that could have been tried, for the correction


def formulas(table: pd.DataFrame, schema: Schema) -> list[Found]:
    """One formula for each column that follows from others, none in a circle."""
    several = [c.name for c in schema.columns if has_numbers(c) and table[c.name].nunique() > 2]
    names = [n for n in several if "`" not in n and n not in (schema.outcome, schema.sex)]
    table = pd.DataFrame({name: numbers(table[name]) for name in names}, index=table.index)
    accepted: dict[str, Found] = {}
    parts: dict[str, set[str]] = {}
    for groups in _candidates(table, schema) if len(names) > 1 else ():
        ranked, twins = [], {n for n, f in accepted.items() if len(f.rule.columns) == 2}
        for columns, product in groups:
            # Among many columns, one that is another in other units adds nothing but work.
            if not (_known(columns, accepted) or len(columns) > 3 and twins.intersection(columns)):
                for target in columns:
                    others = [n for n in columns if n != target]
                    if one := _fitted(table, schema, target, others, product):
                        ranked.append((*one, target, others))
        # The best of all groups first: a coarse column must not be computed from what is computed.
        for _, found, target, others in sorted(ranked, key=lambda one: one[0], reverse=True):
            below = set(others).union(*(parts.get(n, set()) for n in others))
            if not (target in accepted or target in below or _known([target, *others], accepted)):
                accepted[target] = found
                parts = {n: p | below if target in p else p for n, p in parts.items()}
                parts[target] = below
    # What is computed from something computed comes after it.
    return sorted(accepted.values(), key=lambda f: len(parts[f.rule.columns[0]]))


def _known(columns: list[str], accepted: dict[str, Found]) -> bool:
    """Whether some of the columns have a formula among themselves."""
    return any(set(columns).issuperset(f.rule.columns) for f in accepted.values())


def _candidates(table: pd.DataFrame, schema: Schema) -> Iterator[list[tuple[list[str], bool]]]:
    """Groups of two to five columns, and whether their logarithms are meant."""
    x = np.random.default_rng(0).permutation(table.to_numpy(float))
    x = x[np.argsort(np.isnan(x).sum(axis=1), kind="stable")][:_LOOKED_AT]
    half = np.array([[half_unit(schema[name]) for name in table]])
    with np.errstate(all="ignore"):
        positive = np.where((x > 0) & ~(x < 0).any(axis=0), x, np.nan)  # 0 of all products is 0
        forms = (x, half + 0 * x), (np.log(positive), half / positive)
        for size in (2, 3, 4, 5):
            yield [
                (list(table.columns[group]), bool(product))
                for product, (values, rounding) in enumerate(forms)
                for group in _bound(values, rounding, size)
            ]


def _bound(x: np.ndarray, half: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Groups with a combination that scatters no more than rounding explains."""
    usable = np.flatnonzero((~np.isnan(x)).sum(axis=0) >= _FEWEST)
    if not size <= len(usable) or comb(len(usable), size) > _MOST:
        return
    x, known = x[:, usable], ~np.isnan(x[:, usable])
    scale = np.nanstd(x, axis=0)
    scale[scale == 0] = np.inf
    z = np.where(known, (x - np.nanmean(x, axis=0)) / scale, 0.0)
    step = np.nanmax(half[:, usable], axis=0) / scale + 1e-6
    groups = np.array(list(combinations(range(len(usable)), size)))
    for start in range(0, len(groups), 4096):
        part = groups[start : start + 4096]
        there = known[:, part].all(axis=2).T[:, :, None]  # group, patient, 1
        n = np.maximum(there.sum(axis=1), 1)
        rows = np.swapaxes(z[:, part], 0, 1) * there
        rows = (rows - rows.sum(axis=1, keepdims=True) / n[:, :, None]) * there
        scatter, weights = np.linalg.eigh(np.swapaxes(rows, 1, 2) @ rows / n[:, :, None])
        least = np.abs(weights[:, :, 0])
        slack = (least * step[part]).sum(axis=1, keepdims=True)
        # Who belongs to it adds more than rounding, be it little, as minutes between two dates do.
        real = (least > np.minimum(1e-3, 3 * slack)).all(axis=1)
        yield from usable[part[real & (scatter[:, 0] <= slack[:, 0] ** 2) & (n[:, 0] >= _FEWEST)]]


def _fitted(
    table: pd.DataFrame, schema: Schema, target: str, names: list[str], product: bool
) -> tuple[tuple, Found] | None:
    """The formula for a column, if train follows it beyond chance, and how good a choice it is."""
    known = table[[target, *names]].dropna()
    rows = {name: values.to_numpy(float) for name, values in known.items()}
    own, column = half_unit(schema[target]), schema[target]
    texts = _products(target, names, rows, own) if product else _sums(target, names, rows)
    fits = _shares(texts, target, rows, own)
    if not product and max(fits, default=(0.0,))[0] < 1 - _SLIPS:
        tight = _shares(_sums(target, names, rows, tight=True), target, rows, own)
        fits = [one for one in tight if one[0] >= 1 - _SLIPS] or fits
    exact = max(fits, default=(0.0,))[0]
    if exact < 0.05:  # the rounding of the parts does not explain that
        return None
    rule = Formula(target, min((t for share, t in fits if share >= exact - 2e-4), key=len))
    broken, applies = rule.broken(table, schema)
    n, wrong, able = int(applies.sum()), int(broken.sum()), np.flatnonzero(applies)
    if n < _FEWEST or wrong > _SLIPS * n:
        return None
    if exact < 1 - _SLIPS:  # what rounding leaves open may hide another column's part
        off = pd.Series(rows[target] - compute(rule.equals, rows), known.index)
        with np.errstate(all="ignore"):
            beside = table.drop(columns=[target, *names]).corrwith(off).abs().max()
        if beside > 0.3 + 3 / np.sqrt(n):
            return None
    mixed = table[target].to_numpy(copy=True)
    mixed[able] = mixed[np.random.default_rng(0).permutation(able)]
    by_chance = int(rule.broken(table.assign(**{target: mixed}), schema)[0].sum())
    kept = max(1 - by_chance / n, 1 / n)  # of shuffled patients; five constants may fit themselves
    if kept > 0.5 or (n - 5 - wrong) * np.log(kept) > np.log(CHANCE / _SEARCHED):
        return None
    # Computed, not measured: exact, of finer steps (in a product for its size, in a pair than the
    # other's steps give it, so that the other follows from it too), no difference.
    step = _step(schema, target)
    fine = -step / np.median(np.abs(rows[target])) if product else -step
    if len(names) == 1:
        moved = compute(rule.equals, {names[0]: rows[names[0]] + _step(schema, names[0])})
        fine = -round(step / np.median(np.abs(moved - compute(rule.equals, rows))), 2)
    good = (column.role != "demographic", exact >= 1 - _SLIPS, len(names) == 1 or not product, fine,
            "-" not in rule.equals, -len(rule.equals), list(table).index(target))  # fmt: skip
    return good, Found(rule, float(by_chance))


def _step(schema: Schema, name: str) -> float:
    """Half of the step in which a column is written; a score's numbers are whole."""
    return half_unit(schema[name]) if schema[name].kind == "continuous" else 0.5


def _shares(texts: Iterator[str], target: str, rows: Rows, own: float) -> list[tuple[float, str]]:
    """For each formula the share of patients whose value is what it gives, rounded."""
    fits = []
    for text in dict.fromkeys(texts):
        value = compute(text, rows)
        off = np.abs(rows[target] - value) - 1e-9 * np.abs(value) - 1e-12
        fits.append((float(np.mean(off <= own * (1 + 1e-6))), text))
    return fits


def _sums(target: str, names: list[str], rows: Rows, tight: bool = False) -> Iterator[str]:
    """Sums of the columns, with constants of every style, by least squares, which bear slips.

    If tight, by the least largest error: what is only rounded has more digits of a constant so.
    """
    lines = np.stack([*(rows[name] for name in names), np.ones(len(rows[target]))], axis=1)
    lines /= (scale := np.abs(lines).max(axis=0, initial=1e-300))
    if tight:
        few, y = np.tile(lines[:_FITTED], (2, 1)), np.tile(rows[target][:_FITTED], 2)
        side = np.repeat([1, -1], len(y) // 2)
        cost = [*np.zeros(len(scale)), 1]
        fit = linprog(
            cost, np.c_[few * side[:, None], -np.ones(len(y))], y * side, bounds=(None, None)
        )
    slopes = (fit.x[:-1] if tight else np.linalg.lstsq(lines, rows[target], rcond=None)[0]) / scale
    for style in _STYLES:
        made = [_styled(slope, *style) for slope in slopes[:-1]]
        if "0" not in made:
            signs = {"1": "", "-1": "-"}
            terms = [signs.get(c, f"{c} * ") + written(n) for c, n in zip(made, names, strict=True)]
            total = " + ".join(terms)
            off = rows[target] - compute(total, rows)
            for middle in (0, np.median(off), (off.min() + off.max()) / 2):  # whole years: the last
                rest = f" + {_styled(float(middle), *(style if any(style) else (0, 6)))}"
                yield (total + (rest if middle else "")).replace("+ -", "- ")


def _products(target: str, names: list[str], rows: Rows, own: float) -> Iterator[str]:
    """Products of powers of the columns, with constants of every style."""
    above = np.all([values > 0 for values in rows.values()], axis=0)
    y, *parts = (np.log(values[above]) for values in rows.values())
    if len(y) < _FEWEST:
        return
    powers = np.linalg.lstsq(np.stack([*parts, np.ones(len(y))], axis=1), y, rcond=None)[0][:-1]
    for digits in (0, 2, 3, 4):
        made = np.round(powers, digits) if digits else np.round(6 * powers) / 6  # and cube roots
        whole, plain = np.exp(y), np.exp(made @ parts)
        low = np.quantile((whole - own) / plain, 0.9995)
        high = np.quantile((whole + own) / plain, 5e-4)
        # All constants that give what was written; where there are none, the middle one.
        constant = float((low + high) / 2 if low <= high else np.median(whole / plain))
        terms = [(written(n) + (f" ** {abs(p):.9g}" if abs(p) != 1 else ""), p > 0)
                 for n, p in zip(names, made, strict=True) if p]  # fmt: skip
        over = [term for term, above_line in terms if above_line]
        for style in _STYLES if len(terms) == len(names) else ():
            first = _styled(constant, *style)
            top = " * ".join(over if first == "1" and over else [first, *over])
            yield " / ".join([top, *(term for term, above_line in terms if not above_line)])


# Constants as fractions with a denominator up to the first number, or to so many digits; last, days
# that are a part of a year.
_STYLES = [(1, 0), (12, 0), (1000, 0), *((0, digits) for digits in (2, 3, 4, 5, 6, 8, 12, 0))]


def _styled(number: float, most: int, digits: int) -> str:
    if not (most or digits):
        years = number * _YEAR
        return f"{years:.0f} / {_YEAR}" if 0.98 < abs(years) < 1.02 else _styled(number, 1, 0)
    up = -1 if 0 < abs(number) < 1 else 1  # 1 / 1440 is as plain as 1440
    near = Fraction(f"{number:.{digits}g}") if digits else Fraction(number**up)
    near = near.limit_denominator(most) ** up if most else near
    value = float(near)
    if most and len(repr(value)) > 6 and near.denominator > 1:
        return f"{near.numerator} / {near.denominator}"
    return str(int(value)) if value.is_integer() else repr(value)
