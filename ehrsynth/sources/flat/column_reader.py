"""The column reader: what a column of somebody's table is, worked out from its values.

A columns file (:mod:`.columns_file`) overrules it. What could give a patient away, or cannot be
read in one way only, is refused.
"""

import re
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd

from ... import kinds
from ...errors import InputError, first_bad
from ...files import MISSING_TEXTS
from ...schema import SEX_NAMES, Column, role_of
from .columns_file import NOTHING
from .dates import take_time
from .file import CODE_NUMBER
from .reading import Reading, is_missing_word
from .units import take_apart

_SEXES = {"f": "F", "female": "F", "woman": "F", "m": "M", "male": "M", "man": "M"}
# Whole numbers of few values are codes or grades: each value is a category of its own.
_FEW = 8
_KEPT_CODES, _OTHER = 40, "Other"
# Numbers that name a place or a thing: no number lies between two of them.
_CODE_NAME = re.compile(
    r"zip|postal|postcode|plz|(?:^|_)(?:code|icd\d*|cpt|drg|ndc|site|ward)$|_id$"
)
_ROW_NUMBERS = re.compile(r"unnamed: \d+|index|row|row[ _.]?(?:names?|id|nr|no|num|number)|x")
# Of an outcome's two values the one that means that it happened.
_YES = {"yes", "y", "true", "t", "positive", "pos", "dead", "died", "deceased", "ja", "oui", "si"}
_CODE, _CODES = r"[A-Za-z]\d{1,4}(?:\.\d+)?", 3  # "V57" or "E885.9"; from so many different ones on
_COMMA = r"[+-]?\d+,\d+"
_THOUSANDS = r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?"
_NO_COMMAS = "write 1,5 as 1.5 and 1,234 as 1234"
_TWO_NUMBERS = r"\d+(?:\.\d+)?\s*/\s*\d+(?:\.\d+)?\D*"  # a blood pressure
_NOTE_LENGTH = 30  # characters; longer texts on average are sentences


def tidy(reading: Reading) -> None:
    """Make the values plain, in place: no spaces around texts, one way of saying there is none."""
    values = reading.values
    if values.dtype == object or pd.api.types.is_string_dtype(values):
        reading.values = _plain(reading)
    elif isinstance(values.dtype, pd.CategoricalDtype):
        if len(values.cat.categories) > kinds.MAX_CATEGORIES:
            reading.values = values.astype(object)
    if reading.wish.missing:
        texts = {kinds.category_text(value) for value in reading.wish.missing}
        said = reading.values.map(kinds.category_text, na_action="ignore").isin(texts)
        reading.values = reading.values.mask(said)


def _plain(reading: Reading) -> pd.Series:
    values, present = reading.values, reading.present
    nested = present.map(lambda v: isinstance(v, list | tuple | dict | np.ndarray | bytes))
    if bad := first_bad(present, nested):
        raise InputError(
            f"Column {reading.name!r} holds {type(bad.value).__name__} values in row "
            f"{bad.label + 1}; make one column of each part, or {reading.say(drop=True)}."
        )
    if present.empty:
        return values
    if present.map(lambda v: isinstance(v, Decimal)).all():
        return values.astype("float64")
    if present.map(lambda v: hasattr(v, "year")).all():
        return pd.to_datetime(values, errors="coerce")
    if present.map(lambda v: isinstance(v, str)).any():
        text = present.map(lambda v: v.strip() if isinstance(v, str) else kinds.category_text(v))
        return text[~text.isin(MISSING_TEXTS)].astype(object).reindex(values.index)
    return values


# -- what it is ------------------------------------------------------------------------


def understand(reading: Reading, outcome: bool) -> None:
    """Give a tidy column its `column`, or the reason why it is `dropped`, and fitting values."""
    if outcome:
        _outcome(reading)
    else:
        reading.dropped = _of_no_use(reading)
        if not reading.dropped:
            _feature(reading)
    if reading.column is not None:
        reading.column = _overrule(reading, reading.column)


def _of_no_use(reading: Reading) -> str:
    """Why nothing can be learned from the column, or ""."""
    present, rows = reading.present, len(reading.values)
    if present.empty:
        return "no values at all"
    if len(present) == rows and present.nunique() == 1:
        return f"one value only ({kinds.category_text(present.iloc[0])[:30]})"
    named = _ROW_NUMBERS.fullmatch(reading.name.lower()) and reading.wish == NOTHING
    if named and len(present) == rows and pd.api.types.is_integer_dtype(present):
        steps = present.to_numpy("int64") - np.arange(rows)
        if np.all(steps == steps[0]) and steps[0] in (0, 1):
            return "row numbers"
    return ""


def _feature(reading: Reading) -> None:
    """Try what the values may be, one after the other; what is left are codes and categories."""
    wish, distinct = reading.wish, reading.present.nunique()
    if wish.kind in ("", "continuous") and reading.is_text:
        _take_unit(reading)
        _take_numbers(reading)
    if wish.kind in ("", "date") and not reading.unit:
        take_time(reading)
    if reading.unit or wish.kind == "continuous":
        reading.column = _continuous(reading)
        return
    allowed = wish.identifier == "allowed" or bool(wish.kind)
    if not allowed and kinds.looks_like_identifier(reading.name, reading.present):
        _refuse_identifier(reading)
    as_codes = distinct > _FEW and _are_codes(reading)
    if as_codes or wish.kind in ("categorical", "binary"):
        if not isinstance(reading.values.dtype, pd.CategoricalDtype):
            texts = reading.values.map(kinds.category_text, na_action="ignore")
            reading.values = texts.astype(object)
    if reading.is_text:
        _take_texts(reading, allowed)
        if reading.values.nunique() == 1 and reading.values.notna().all():
            reading.dropped = "one value only is left"
            return
    if as_codes or wish.kind == "categorical":
        reading.column = _categorical(reading)
    elif wish.kind == "binary":
        reading.column = _binary(reading)
    else:
        facts = kinds.guess(reading.name, reading.values, few=_FEW, identifiers=allowed)
        reading.column = Column(reading.name, role=role_of(reading.name), **facts)


def _are_codes(reading: Reading) -> bool:
    """Whether whole numbers name a place or a thing, as a ward's number does."""
    present = reading.present
    named = _CODE_NAME.search(reading.name.lower()) and kinds.is_number(present)
    return bool(named) and not np.any(present.to_numpy(float) % 1)


def _refuse_identifier(reading: Reading) -> None:
    what, present = f"Column {reading.name!r}", reading.present
    if pd.api.types.is_numeric_dtype(present):
        raise InputError(
            f"{what} is different in every row or nearly so, like an identifier, which must not be "
            f"learned; {reading.say(drop=True)}, or {reading.say(kind='continuous')} if it is a "
            "measurement."
        )
    distinct = present.unique()
    raise InputError(
        f"{what} has {len(distinct)} different texts, for example {str(min(distinct))[:40]!r}, "
        f"like an identifier or free text; {reading.say(drop=True)}."
    )


# -- texts that are numbers --------------------------------------------------------------


def _take_unit(reading: Reading) -> None:
    """Of texts like "12.5 mg/L" the numbers, and their unit."""
    text, asked = reading.present.astype(str), reading.wish.kind == "continuous"
    parts, words = take_apart(text), is_missing_word(text)
    counts = parts["unit"].value_counts()
    if counts.empty or (counts.sum() < kinds.NUMERIC_SHARE * (~words).sum() and not asked):
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
    reading.refuse_first(text, parts["unit"].isna() & ~words, holds + unit)
    with_comma = parts["number"].str.contains(",", na=False)
    reading.refuse_first(text, with_comma, holds + unit, _NO_COMMAS)
    numbers = parts["number"].astype("float64")
    _note_missing(reading, text[parts["unit"].isna()])
    if not asked and (numbers.nunique() <= 2 or kinds.few_codes(numbers.dropna(), _FEW)):
        # "5 mg" and "10 mg": sizes of one tablet, categories as whole numbers would be.
        sizes = [f"{number:g} {unit}" for number in np.sort(numbers.dropna().unique())]
        written = numbers.map(lambda number: f"{number:g} {unit}", na_action="ignore")
        reading.values = written.reindex(reading.values.index).astype(pd.CategoricalDtype(sizes))
        return
    reading.notes.append(f"numbers in {unit}")
    reading.values, reading.unit = numbers.reindex(reading.values.index), unit


def _spelled(parts: pd.DataFrame, unit: str) -> str:
    """How a unit is written most often."""
    return parts.loc[parts["unit"] == unit, "written"].value_counts().index[0]


def _take_numbers(reading: Reading) -> None:
    """Texts that are numbers as numbers; refuses what is a number in one reading of two."""
    if not reading.is_text:  # but numbers by now
        return
    text, asked = reading.present.astype(str), reading.wish.kind == "continuous"
    numbers = pd.to_numeric(text, errors="coerce")
    good, words = numbers.notna(), is_missing_word(text)
    if not asked and text.str.fullmatch(CODE_NUMBER).any():
        return
    with_comma = text.str.fullmatch(_COMMA) | text.str.fullmatch(_THOUSANDS)
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


def _note_missing(reading: Reading, words: pd.Series) -> None:
    if len(words):
        said = ", ".join(map(repr, sorted(words.unique())))
        reading.notes.append(f"{said} read as missing")


# -- texts that are categories -----------------------------------------------------------


def _take_texts(reading: Reading, allowed: bool) -> None:
    """Texts as categories: spellings joined, sexes as F and M, rare codes as Other."""
    if reading.name.lower() in SEX_NAMES:
        plain = reading.values.str.lower().map(_SEXES)
        if plain.notna().equals(reading.values.notna()):
            reading.values = plain.astype(object)
            return
    _join_spellings(reading)
    present = reading.present
    two = present.str.fullmatch(_TWO_NUMBERS)
    if not allowed and kinds.spoiled(present, two):
        raise InputError(
            f"Column {reading.name!r} holds two numbers in one text, such as "
            f"{present[two].iloc[0]!r}; make a column of each, or {reading.say(drop=True)}."
        )
    distinct = present.nunique()
    if distinct <= kinds.MAX_CATEGORIES:
        return
    long = present.str.len().mean() > _NOTE_LENGTH
    if not allowed and (distinct > len(present) / 2 or (long and distinct > 200)):
        _refuse_identifier(reading)
    _join_rare(reading)


def _join_spellings(reading: Reading) -> None:
    """Texts that differ in capitals only become the most frequent of them."""
    counts = reading.values.value_counts()
    best: dict[str, str] = {}
    for text in counts.index:
        best.setdefault(text.casefold(), text)
    others = [text for text in counts.index if best[text.casefold()] != text]
    if others:
        reading.notes.append(f"other spellings joined: {', '.join(sorted(others)[:4])}")
        reading.values = reading.values.map(lambda t: best[t.casefold()], na_action="ignore")


def _join_rare(reading: Reading) -> None:
    """Of many categories the most frequent, the others as one."""
    values = reading.values
    counts = values[values != _OTHER].value_counts()
    # Equal counts in order of the text, so that the order of the rows does not matter.
    counts = counts.sort_index().sort_values(ascending=False, kind="stable")
    kept = set(counts.index[:_KEPT_CODES])
    reading.notes.append(f"{len(counts) - len(kept):,} rarer values joined as {_OTHER}")
    reading.values = values.where(values.isna() | values.isin(kept), _OTHER)


# -- the column of a kind ------------------------------------------------------------------


def _levels(reading: Reading) -> tuple[str, ...]:
    return kinds.ordered(reading.present.map(kinds.category_text).unique())


def _categorical(reading: Reading) -> Column:
    name = reading.name
    kinds.guess(name, reading.present.astype("category"))  # refuses what is too much for categories
    categories = kinds.categories(reading.values)
    return Column(name, "categorical", role_of(name), categories=categories)


def _binary(reading: Reading) -> Column:
    name, levels = reading.name, _levels(reading)
    if len(levels) != 2 or reading.values.isna().any():
        what = "missing values" if len(levels) == 2 else f"{len(levels)} different values"
        raise InputError(
            f"Column {name!r} has {what}, so it cannot be yes or no; "
            f"{reading.say(kind='categorical')}."
        )
    if levels != ("0", "1"):
        reading.notes.append(f"{levels[1]!r} is 1")
    reading.values = (reading.values.map(kinds.category_text) == levels[1]).astype("uint8")
    return Column(name, "binary", role_of(name))


def _continuous(reading: Reading) -> Column:
    """A column of numbers. It has no bounds: what was seen is not what is plausible, and of a
    table that is not split yet the smallest and largest value may be a holdout patient's."""
    name, present = reading.name, reading.present
    numbers = pd.to_numeric(present, errors="coerce").astype("float64")
    wrong = numbers.isna() | np.isinf(numbers)
    reading.refuse_first(present, wrong, "should hold numbers")
    places = kinds.decimals(numbers)
    return Column(name, "continuous", role_of(name), unit=reading.unit, decimals=places)


def _outcome(reading: Reading) -> None:
    name, wish, missing = reading.name, reading.wish, reading.values.isna()
    if bad := first_bad(reading.values, missing):
        raise InputError(
            f"Outcome column {name!r} has missing values in {missing.sum():,} rows, first in row "
            f"{bad.label + 1}; remove those rows, or {reading.say(missing_rows='drop')}."
        )
    if wish.kind in ("continuous", "date"):
        raise InputError(f"Outcome column {name!r} needs two values; it cannot be {wish.kind}.")
    if reading.is_text:
        _join_spellings(reading)
    kinds.check_outcome(name, reading.values)
    levels = _polarity(reading)
    reading.values = reading.values.map(kinds.category_text)
    reading.notes.append(f"{levels[1]!r} counts as 1")
    if levels == ("0", "1"):
        reading.values = reading.values.astype("uint8")
        reading.column = Column(name, "binary", "outcome")
    else:
        reading.column = Column(name, "categorical", "outcome", categories=levels)


def _polarity(reading: Reading) -> tuple[str, ...]:
    """The outcome's two values, the one that counts as 1 last."""
    levels = _levels(reading)
    if reading.wish.positive != "":
        positive = kinds.category_text(reading.wish.positive)
        if positive not in levels:
            raise InputError(
                f"Outcome column {reading.name!r} has no value {positive!r}; its values are "
                f"{levels[0]!r} and {levels[1]!r}."
            )
        return (*(level for level in levels if level != positive), positive)
    if levels[0].casefold() in _YES and levels[1].casefold() not in _YES:
        return levels[::-1]
    return levels


def _overrule(reading: Reading, column: Column) -> Column:
    """The column with what the columns file says about it."""
    wish, what = reading.wish, f"Column {column.name!r} is {column.kind}"
    said = {key: value for key in ("label", "unit", "sex") if (value := getattr(wish, key))}
    if wish.role and column.role != "outcome":
        said["role"] = wish.role
    if wish.bounds is not None:
        said["lower"], said["upper"] = wish.bounds
    if wish.decimals is not None:
        said["decimals"] = wish.decimals
    if said.keys() & {"lower", "decimals"} and column.kind != "continuous":
        raise InputError(
            f"{what}, so it has no bounds or decimals; {reading.say(kind='continuous')} if it is a "
            "number."
        )
    if wish.sex and column.kind != "binary":
        raise InputError(
            f"{what}; only a yes/no column can be of one sex, so "
            f"{reading.say(kind='binary', sex=wish.sex)}."
        )
    return replace(column, **said)
