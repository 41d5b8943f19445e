"""A schema applied to a further table: what does not fit is counted, and nothing is refused.

What no column of the schema knows becomes a level of its own, so that it counts in every metric.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from ... import kinds
from ...files import MISSING_TEXTS
from ...kinds import MISSING
from ...schema import Column, Schema
from . import as_numbers
from .column_reader import says_yes, sexes_of
from .decimals import joined, sign_of_column, take_apart, to_numbers, unit_of
from .reading import OTHER, Reading, is_missing_word

NEW, OTHERWISE = "(not in train)", "written otherwise"
_BEGINS = set("0123456789+-−.,$€£")  # of a number
_DAY, _MOST_DAYS = pd.Timedelta(days=1), 183_000  # from 1800 to 2300


class Misfit(NamedTuple):
    """What does not fit: the column, what is odd, in how many of the rows, what was done."""

    column: str
    what: str
    rows: int
    of: int
    done: str
    texts: tuple[str, ...] = ()  # the values that train does not have


def fit_into(
    schema: Schema, table: pd.DataFrame, hints: Mapping[str, Reading] | None = None
) -> tuple[pd.DataFrame, list[Misfit]]:
    """The columns of `table` that the schema has, as it has them, and what did not fit.

    The attached schema has a level more where a value is missing, or new, that train never has.
    """
    columns, values, found = [], {}, []
    for column in schema.columns:
        if column.name in table:
            hint = (hints or {}).get(column.name) or Reading(column.name, table[column.name])
            fitted, made, odd = _fit(column, table[column.name], hint)
            columns.append(fitted)
            values[column.name] = made
            found += [Misfit(column.name, what, n, len(table), *how) for what, n, *how in odd if n]
    fitting = Schema(tuple(columns))
    return fitting.attach(pd.DataFrame(values, index=table.index)), found


def widest(schemas: list[Schema]) -> Schema:
    """The columns with every level that one of the tables needs."""
    columns = []
    for name in schemas[0].names:
        ones = [schema[name] for schema in schemas]
        levels = [level for one in ones for level in one.categories]
        extra = [level for level in (NEW, MISSING) if level in levels]
        widest = max(ones, key=lambda one: len(one.categories))
        known = [level for level in widest.categories if level not in extra]
        first = widest.role == "outcome"  # whose last category is the one that counts as 1
        columns.append(replace(widest, categories=(*extra, *known) if first else (*known, *extra))
                       if levels else widest)  # fmt: skip
    return Schema(tuple(columns))


def _fit(column: Column, values: pd.Series, hint: Reading):
    """The column (with more levels where needed), its values, and what was odd."""
    if column.kind == "continuous":
        numbers, odd = _numbers(column, values, hint)
        return column, numbers, odd
    known = column.categories or ("0", "1")
    if isinstance(values.dtype, pd.CategoricalDtype) and set(values.cat.categories) <= set(known):
        if column.kind == "categorical" and values.notna().all():
            return column, values.cat.set_categories(list(known)).cat.as_unordered(), []
    numeric = pd.api.types.is_bool_dtype(values) or kinds.is_number(values)
    plain = not hint.no_yes or "0" in hint.no_yes or values.eq(0).any()  # and not 1 and 2
    if column.kind == "binary" and numeric and plain and values.isin((0, 1)).all():
        return column, values.astype("uint8"), []
    levels, odd = _levels(column, values, hint, known)
    extra = [level for level in (NEW, MISSING) if level not in known and (levels == level).any()]
    if column.kind == "binary" and not extra:
        return column, (levels == "1").astype("uint8"), odd
    order = (*extra, *known) if column.role == "outcome" else (*known, *extra)
    fitted = replace(column, kind="categorical", categories=order)
    return fitted, pd.Series(pd.Categorical(levels, list(order)), values.index), odd


def _levels(column: Column, values: pd.Series, hint: Reading, known: tuple[str, ...]):
    """Each value as one of the known categories, NEW or MISSING, and what was odd."""
    plain = values.astype(object).where(values.notna(), MISSING)
    plain = plain.map({value: kinds.category_text(value) for value in plain.unique()})
    sexes = sexes_of(map(str.strip, plain.unique())) if {"F", "M"} <= set(known) else {}
    translated = {text: _level_of(text, column, hint, known, sexes) for text in plain.unique()}
    new = sorted(text for text, level in translated.items() if level == NEW)
    same = (*hint.no_yes, *hint.spelled)  # as train writes it
    odd = {t for t, level in translated.items() if level not in (t, NEW, OTHER, MISSING)}
    otherwise = [text for text in odd if text.strip() not in same]
    levels = plain.map(translated)
    missing = 0 if MISSING in known else int((levels == MISSING).sum())
    return levels, [
        (OTHERWISE, int(plain.isin(otherwise).sum()), "read as the value of train"),
        ("a value that train does not have", int(plain.isin(new).sum()),
         f"counted as the value {NEW}", tuple(new)),
        ("missing, though never in train", missing, f"counted as {MISSING}"),
    ]  # fmt: skip


def _level_of(
    text: str, column: Column, hint: Reading, known: tuple[str, ...], sexes: Mapping[str, str]
) -> str:
    """The known category that a text means, else OTHER where train has it, MISSING or NEW."""
    plain = text.strip()
    if column.kind == "binary" and plain in hint.no_yes:
        return str(hint.no_yes.index(plain))
    if text in known:
        return text
    folded = [level for level in known if level.casefold() == plain.casefold()]
    if len(folded) == 1:
        return folded[0]
    if plain == MISSING or plain in (*MISSING_TEXTS, *hint.blanks):
        return MISSING
    if plain in sexes:
        return sexes[plain]
    if plain[:1] in _BEGINS and (same := _same_number(plain, known)):
        return same
    if column.kind == "binary" or known == ("0", "1"):
        truth = says_yes(plain)
        return NEW if truth is None else str(int(truth))
    return OTHER if OTHER in known else NEW


def _same_number(text: str, known: tuple[str, ...]) -> str:
    """The category that is the same number, also with its unit, in another spelling, or ""."""
    numbers = pd.to_numeric(pd.Series([text, *known], dtype="object"), errors="coerce")
    if (same := numbers[1:] == numbers[0]).sum() == 1:
        return known[int(np.argmax(same))]
    if not re.search(r"[^\d.,+-]", text):
        return ""  # without a unit
    parts = take_apart(pd.Series([text, *known]))
    if parts["unit"].notna()[0] and parts["unit"][1:].notna().any():
        number = parts["number"].astype("str").str.replace(",", ".", regex=False)
        sized = f"{to_numbers(number[:1], '.')[0]:g} {parts['unit'][0]}"
        return next((level for level in known if level.casefold() == sized), "")
    return ""


def _numbers(column: Column, values: pd.Series, hint: Reading):
    """The values as numbers, NaN where one is none, and what was odd."""
    origin, there, numbers = kinds.origin_of(column.unit), values.notna(), values
    if pd.api.types.is_datetime64_any_dtype(values) and origin is not None:
        numbers = as_numbers.days_since(values, origin)
    elif pd.api.types.is_timedelta64_dtype(values) and column.unit == as_numbers.DAYS:
        numbers = values / _DAY
    elif values.dtype.kind in "mM":  # times, of a column that has none
        numbers = pd.Series(np.nan, values.index)
    elif not pd.api.types.is_numeric_dtype(values):
        text = values.dropna().map(kinds.category_text).astype("str").str.strip()
        text = text[~is_missing_word(text) & (text != "")]
        numbers = _numbers_of_texts(column, text, hint, origin).reindex(values.index)
        there = pd.Series(values.index.isin(text.index), values.index)
    numbers = pd.to_numeric(numbers, errors="coerce").astype("float64")
    if origin is not None:  # no days are as many as the numbers that are dates
        coded = numbers.abs() > _MOST_DAYS
        coded = numbers.notna() if coded.sum() > numbers.count() / 2 else coded
        if coded.any():
            days = as_numbers.days_since(as_numbers.of_numbers(numbers[coded]), origin)
            numbers = numbers.mask(coded, days.reindex(numbers.index))
    good = np.isfinite(numbers) & (numbers.abs() <= kinds.LARGEST)
    unreadable = int((there & ~good).sum())
    return numbers.where(good), [("no number", unreadable, "counted as not measured")]


def _numbers_of_texts(column: Column, text: pd.Series, hint: Reading, origin) -> pd.Series:
    """Numbers of texts: plain, with their unit, or of dates and times."""
    if origin is not None:
        first = as_numbers.first_is_day(text) if hint.day_first is None else hint.day_first
        found = as_numbers.days_since(as_numbers.to_dates(text, bool(first)), origin)
        return found.fillna(to_numbers(text, "."))
    text = joined(text)
    numbers = to_numbers(text, sign_of_column(text, hint.sign) or ".")
    rest = text[numbers.isna()]
    if rest.empty:
        return numbers
    parts = take_apart(rest)
    same = parts["unit"] == unit_of(column.unit) if column.unit else parts["unit"].notna()
    written = parts.loc[same, "number"].astype("str")
    found = to_numbers(written, sign_of_column(written, hint.sign) or ".").reindex(text.index)
    if read := as_numbers.OF_TIME.get(column.unit):
        found = found.fillna(read(rest))
    return numbers.fillna(found.astype("float64"))


def far_out(schema: Schema, train: pd.DataFrame, other: pd.DataFrame) -> list[Misfit]:
    """Numbers farther outside the range of train than the range is wide."""
    found = []
    for name in schema.of_kind("continuous"):
        known = schema[name].within(train[name])
        if np.isnan(known).all():
            continue
        low, high = np.nanmin(known), np.nanmax(known)
        far = (other[name] < low - (high - low)) | (other[name] > high + (high - low))
        far &= ~other[name].isin(train[name])  # nobody made up the age of 300 that train has
        if rows := int(far.sum()):
            what = "farther outside the range of train than it is wide"
            found.append(Misfit(name, what, rows, len(other), "kept as it is"))
    return found
