"""Columns of numbers: texts that are numbers, with or without a unit, and values that are none."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd

from ... import kinds
from ...errors import InputError
from ...protection import LEAST_PATIENTS
from ...schema import Column, role_of
from .dates import origin_of
from .decimals import grouped, plain, sign_of_column, to_numbers
from .reading import CODE_NUMBER, ICD_NAME, Reading, is_missing_word
from .units import take_apart
from .words import WORDS

FEW = 8  # whole numbers of few values are codes or grades: each value is a category of its own
_CODE, _CODES = r"[A-Za-z]\d{1,4}(?:\.\d+)?", 3  # "V57" or "E885.9"; from so many different ones on
_COMMA = r"[+-]?\d+,\d+|[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?"
_NO_COMMAS = "write 1,5 as 1.5 and 1,234 as 1234"
_AGE, _SENTINEL = re.compile(WORDS["age"]), re.compile(WORDS["sentinel"])
_OLDEST = 120
_MOST_SENTINELS = 3  # at either end


def take_unit(reading: Reading) -> None:
    """Of texts like "12.5 mg/L" the numbers, and their unit."""
    text, asked = reading.present.astype(str), reading.wish.kind == "continuous"
    parts, words = take_apart(text), is_missing_word(text)
    counts = parts["unit"].value_counts()
    if counts.empty:
        return
    bare = parts["unit"].isna() & to_numbers(text, sign_of_column(text, reading.sign)).notna()
    there = counts.sum() + (bare.sum() if len(counts) == 1 else 0)  # or in some cells only
    if there < kinds.NUMERIC_SHARE * (~words).sum() and not asked:
        return
    if len(counts) > 1:
        first, other = counts.index[:2]
        row = parts.index[parts["unit"] == other][0] + 1
        raise InputError(
            f"Column {reading.name!r} has numbers in {_spelled(parts, first)} "
            f"({counts[first]:,} rows) and in {_spelled(parts, other)} ({counts[other]:,} rows, "
            f"first in row {row}); write all in one unit, or {reading.say(kind='categorical')}."
        )
    unit, holds = _spelled(parts, counts.index[0]), "should hold numbers in "
    if asked:
        parts.loc[bare, "number"], parts.loc[bare, "unit"] = text[bare], counts.index[0]
    advice = f"write the unit, or {reading.say(kind='continuous')} if all are in {unit}"
    wrong = parts["unit"].isna() & ~words
    reading.refuse_first(text, wrong, holds + unit, advice if bare[wrong].head(1).any() else "")
    written = parts["number"].dropna().astype("str")
    numbers = to_numbers(written, sign_of_column(written, reading.sign)).reindex(parts.index)
    unclear = parts["number"].notna() & numbers.isna()
    reading.refuse_first(text, unclear, holds + unit, _NO_COMMAS)
    _refuse_groups(reading, written)
    _note_missing(reading, text[parts["unit"].isna()])
    if not asked and (numbers.nunique() <= 2 or kinds.few_codes(numbers.dropna(), FEW)):
        # "5 mg" and "10 mg": sizes of one tablet, categories as whole numbers would be.
        sizes = [f"{number:g} {unit}" for number in np.sort(numbers.dropna().unique())]
        shown = numbers.map(lambda number: f"{number:g} {unit}", na_action="ignore")
        reading.values = shown.reindex(reading.values.index).astype(pd.CategoricalDtype(sizes))
        return
    reading.notes.append(f"numbers in {unit}")
    reading.values, reading.unit = numbers.reindex(reading.values.index), unit


def _spelled(parts: pd.DataFrame, unit: str) -> str:
    """How a unit is written most often."""
    return parts.loc[parts["unit"] == unit, "written"].value_counts().index[0]


def take_numbers(reading: Reading) -> None:
    """Texts that are numbers as numbers; refuses what is a number in one reading of two."""
    if not reading.is_text:  # but numbers by now
        return
    text, asked = reading.present.astype("str"), reading.wish.kind == "continuous"
    words = is_missing_word(text)
    if not asked and text.str.fullmatch(CODE_NUMBER).any():
        return
    _refuse_groups(reading, text[~words])
    numbers = to_numbers(text, sign_of_column(text[~words], reading.sign))
    good = numbers.notna()
    with_comma = plain(text).str.fullmatch(_COMMA)
    likely = kinds.spoiled(text[~words], (good | with_comma)[~words])
    if not asked and not good.all() and not likely:
        return
    wrong = ~good & ~words
    if not asked and text[wrong].str.fullmatch(_CODE).all() and text[wrong].nunique() >= _CODES:
        return  # codes of which most happen to be numbers, such as ICD-9's
    _note_missing(reading, text[~good & words])
    advice = _NO_COMMAS if with_comma[wrong].head(1).any() else ""
    reading.refuse_first(text, wrong, "should hold numbers", advice)
    reading.values = numbers[good].astype("float64").reindex(reading.values.index)


def _refuse_groups(reading: Reading, texts: pd.Series) -> None:
    if reading.sign != "," and reading.wish.kind != "continuous" and grouped(texts):
        raise InputError(
            f"Column {reading.name!r} has numbers below 1000 without a point and others with three "
            "digits after it, so that 1.234 may be 1234; write thousands without a point, or "
            f"{reading.say(kind='continuous')} if these are decimals."
        )


def _note_missing(reading: Reading, words: pd.Series) -> None:
    if len(words):
        said = ", ".join(map(repr, sorted(words.unique())))
        reading.notes.append(f"{said} read as missing")
        reading.blanks = (*reading.blanks, *words.unique())


def refuse_icd_numbers(reading: Reading) -> None:
    """Refuse ICD codes that have become numbers: 250 and 250.00 are two, and 38 was 038."""
    present = reading.present
    if not ICD_NAME.search(reading.name.lower()):
        return
    floats = reading.is_text and present.astype("str").str.fullmatch(r"\d+\.0").all()
    if not (floats or kinds.is_number(present)):
        return
    numbers = present.to_numpy(float)
    few = 2 if "icd" in reading.name.lower() else FEW
    if present.nunique() > few and (floats or np.any(numbers % 1) or numbers.min() < 100):
        raise InputError(
            f"Column {reading.name!r} holds ICD codes as numbers, and 250 and 250.00 are different "
            f"codes and 38 was 038; write it as text, or {reading.say(kind='continuous')} if these "
            "are no codes."
        )


def continuous(reading: Reading) -> Column:
    """A column of numbers, of which only an age has bounds; warns of values that stand for none."""
    name, present = reading.name, reading.present
    values = pd.to_numeric(present, errors="coerce").astype("float64")
    reading.refuse_first(present, values.isna(), "should hold numbers")
    huge = values.abs() > kinds.LARGEST
    reading.refuse_first(present, huge, "should hold numbers, none infinite or beyond 1e100,")
    places, numbers = kinds.decimals(values), values.to_numpy()
    column = Column(name, "continuous", role_of(name), unit=reading.unit, decimals=places)
    if _AGE.fullmatch(name.lower()) and reading.wish.bounds is None and not reading.unit:
        outside = numbers[(numbers < 0) | (numbers > _OLDEST)]
        near = np.unique(outside[(outside > _OLDEST) & (outside < 2 * _OLDEST)])
        if len(outside) <= len(numbers) / 4 and len(near) <= 5:  # else not in years
            if len(outside):
                reading.warnings.append(
                    f"{len(outside):,} values outside 0 to {_OLDEST} are no ages and count as not "
                    f"measured; where that is wrong, {reading.say(bounds=[0, 130])}"
                )
            return replace(column, lower=0.0, upper=float(_OLDEST))
    if found := _sentinels(numbers, origin_of(reading.unit)):
        texts = [_as_written(reading, numbers, value) for value in found]
        said = ", ".join(
            f"{text} ({(numbers == value).sum():,} rows)"
            for text, value in zip(texts, found, strict=True)
        )
        reading.warnings.append(
            f"{said} lies far from all other values and is learned as a value; if it means that "
            f"there is none, {reading.say(missing=texts)}"
        )
    return column


def _as_written(reading: Reading, numbers: np.ndarray, value: float) -> str | float:
    """A number as the file has it: a date, or with its unit, else as a number."""
    if reading.written is not None and reading.unit:
        text = reading.written[reading.present.index[numbers == value][0]]
        return kinds.category_text(text).removesuffix(" 00:00:00")
    return int(value) if float(value).is_integer() else float(value)


def _sentinels(numbers: np.ndarray, origin: pd.Timestamp | None) -> list[float]:
    """Values of several patients that lie far from all others, as -999 does: codes for no value.

    Of dates, the first or last day of a year, also where it is only far more frequent than others.
    """
    found: list[float] = []
    values, counts = np.unique(numbers, return_counts=True)
    for end in (0, -1):
        for _ in range(_MOST_SENTINELS):
            if len(values) < 4:
                break
            rest = np.delete(values, end)
            value, span = values[end], rest[-1] - rest[0]
            core = np.quantile(rest, 0.9) - np.quantile(rest, 0.1)
            gap = rest[0] - value if end == 0 else value - rest[-1]
            odd = value < 0 <= rest[0] or gap > span or (gap > 2 * core and abs(value) >= 99)
            likely = bool(_SENTINEL.fullmatch(f"{value:g}"))
            if origin is not None:
                day = (origin + pd.Timedelta(days=value)).strftime("%m-%d")
                likely = day in ("01-01", "12-30", "12-31", "11-11")
                odd = odd or counts[end] > 10 * np.median(np.delete(counts, end))
            if counts[end] < LEAST_PATIENTS or not likely or not odd:
                break
            found.append(float(value))
            values, counts = rest, np.delete(counts, end)
    return found
