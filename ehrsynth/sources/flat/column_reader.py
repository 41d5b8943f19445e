"""The column reader: what a column of somebody's table is, worked out from its values.

A columns file (:mod:`.columns_file`) overrules it. What could give a patient away, or cannot be
read in one way only, is refused.
"""

import re
from dataclasses import replace

import numpy as np
import pandas as pd

from ... import kinds
from ...errors import InputError
from ...protection import LEAST_PATIENTS
from ...schema import SEX_NAMES, Column, role_of
from .as_numbers import FEW, continuous, refuse_icd_numbers, take_numbers, take_unit
from .columns_file import NOTHING
from .dates import take_time
from .outcome import read_outcome
from .persons import are_shared, identifying, join_persons
from .reading import CODE_NAME, CODE_NUMBER, OTHER, Reading
from .words import WORDS

SEXES = {word: name[0].upper() for name in ("f", "m") for word in WORDS[name].split()}
TOO_FEW = "values of too few patients each"
_KEPT_CODES = 40
_HOLDOUT, _CHOSEN = 0.3, 0.5  # a usual holdout's share; of the error of chance
_ROW_NUMBERS = re.compile(WORDS["row_numbers"])
_TWO_NUMBERS = r"\d+(?:\.\d+)?\s*/\s*\d+(?:\.\d+)?\D*"  # a blood pressure
_MANY_ROWS = 20  # so many different values are in order by chance never
_NOTE_LENGTH = 30  # characters; longer texts on average are sentences
_ONE_CODE = r"(?:[A-Za-z]\d[0-9A-Za-z]{1,5}|[A-Za-z]?\d{2,5})(?:\.[0-9A-Za-z]{1,4})?"
_CODES = rf"{_ONE_CODE}(?:\s*[,;|/+&\s]\s*{_ONE_CODE})+"
# Texts so short may differ in capitals on purpose, as the alleles AA, Aa and aa do; these do not.
_SHORT = 3
_SAME = {"y", "n", "yes", "no", "ja", "j", "non", "oui", "si", "pos", "neg", "unk", "nil"}


# -- what it is ------------------------------------------------------------------------


def understand(reading: Reading, outcome: bool) -> None:
    """Give a tidy column its `column`, or the reason why it is `dropped`, and fitting values."""
    if outcome:
        read_outcome(reading)
    else:
        reading.dropped = identifying(reading) or _of_no_use(reading)
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
    whole = rows == len(present) and kinds.is_number(present) and not np.any(present % 1)
    if not whole or reading.wish != NOTHING or present.nunique() < rows:
        return ""
    steps = np.diff(present.to_numpy(float))
    named, even = _ROW_NUMBERS.fullmatch(reading.name.lower()), bool(np.all(steps == 1))
    grows = rows >= _MANY_ROWS and bool(np.all(steps > 0))
    if (named and (even or reading.name.lower() != "x")) or (
        grows and not kinds.looks_like_identifier(reading.name, present)
    ):
        return f"row numbers; if they are not, {reading.say(identifier='allowed')}"
    return ""


def _feature(reading: Reading) -> None:
    """Try what the values may be, one after the other; what is left are codes and categories."""
    wish, distinct = reading.wish, reading.present.nunique()
    if not wish.kind:
        refuse_icd_numbers(reading)
    if wish.kind in ("", "continuous") and reading.is_text and not _is_coded(reading):
        take_unit(reading)
        take_numbers(reading)
    if wish.kind in ("", "date") and not reading.unit:
        take_time(reading)
    if reading.unit or wish.kind == "continuous":
        reading.column = continuous(reading)
        return
    allowed = wish.identifier == "allowed" or bool(wish.kind)
    if not allowed and kinds.looks_like_identifier(reading.name, reading.present):
        _refuse_identifier(reading)
    as_codes = distinct > FEW and _are_codes(reading)
    if (as_codes or wish.kind in ("categorical", "binary")) and not isinstance(
        reading.values.dtype, pd.CategoricalDtype
    ):
        texts = reading.values.map(kinds.category_text, na_action="ignore")
        reading.values = texts.astype(object)
    if reading.is_text:
        _take_texts(reading, allowed)
        if reading.dropped:
            return
        if reading.values.nunique() == 1 and reading.values.notna().all():
            reading.dropped = "one value only is left"
            return
    reading.column = _kind(reading, as_codes)


def _kind(reading: Reading, as_codes: bool) -> Column:
    zeros = reading.is_text and reading.present.astype("str").str.fullmatch(CODE_NUMBER).any()
    if as_codes or zeros or reading.wish.kind == "categorical":
        return _categorical(reading)
    if reading.wish.kind == "binary":
        return _binary(reading)
    present = reading.present.infer_objects()
    if kinds.is_number(present) and present.nunique() > 2 and not kinds.few_codes(present, FEW):
        return continuous(reading)
    if len(present) == len(reading.values) and set(_levels(reading)) <= {"0", "1"}:
        return Column(reading.name, "binary", role_of(reading.name))
    return _categorical(reading)


def _is_coded(reading: Reading) -> bool:
    """Whether texts are codes by their name, of which most happen to look like numbers."""
    return bool(CODE_NAME.search(reading.name.lower())) and not reading.wish.kind


def _are_codes(reading: Reading) -> bool:
    """Whether whole numbers name a place or a thing, as a ward's number does."""
    present = reading.present
    named = CODE_NAME.search(reading.name.lower()) and kinds.is_number(present)
    return bool(named) and not np.any(present.to_numpy(float) % 1)


def _refuse_identifier(reading: Reading) -> None:
    present, unless = reading.present, ""
    what = f"has {present.nunique():,} different texts, like an identifier or free text"
    if pd.api.types.is_numeric_dtype(present):
        what = "is different in every row or nearly so, like an identifier, which is never learned"
        unless = f", or {reading.say(kind='continuous')} if it is a measurement"
    raise InputError(f"Column {reading.name!r} {what}; {reading.say(drop=True)}{unless}.")


# -- texts that are categories -----------------------------------------------------------


def _take_texts(reading: Reading, allowed: bool) -> None:
    """Texts as categories: spellings joined, sexes as F and M, rare codes as Other."""
    if reading.name.lower() in SEX_NAMES:
        plain = reading.values.str.lower().map(SEXES)
        if {"F", "M"} <= set(plain) or plain.notna().equals(reading.values.notna()):
            reading.spelled = tuple(reading.values[plain.notna()].unique())
            reading.values = plain.fillna(reading.values).astype(object)  # and "divers" stays
    if reading.blanks and reading.values.dtype == object:
        reading.warnings.append(
            f"{', '.join(map(repr, reading.blanks))} counts as missing; if that is a value, "
            f"{reading.say(values=list(reading.blanks))}"
        )
    _join_spellings(reading)
    present = reading.present
    if not allowed:
        _refuse_two(reading, present)
        join_persons(reading, OTHER)
    distinct = present.nunique()
    if distinct <= kinds.MAX_CATEGORIES:
        return
    long = present.str.len().mean() > _NOTE_LENGTH
    many = distinct > len(present) / 2 and not CODE_NAME.search(reading.name.lower())
    if not allowed and (many or (long and distinct > 200 and not are_shared(present))):
        _refuse_identifier(reading)
    _join_rare(reading)


def _refuse_two(reading: Reading, present: pd.Series) -> None:
    """Refuse two numbers, or two codes, in one text."""
    two = present.str.fullmatch(_TWO_NUMBERS)
    if kinds.spoiled(present, two):
        raise InputError(
            f"Column {reading.name!r} holds two numbers in one text, such as in row "
            f"{present.index[two][0] + 1}; make a column of each, or {reading.say(drop=True)}."
        )
    several = present.str.fullmatch(_CODES)
    codes = present.str.fullmatch(_ONE_CODE) | several
    if several.any() and codes.mean() >= kinds.NUMERIC_SHARE and present.nunique() > _SHORT:
        raise InputError(
            f"Column {reading.name!r} holds several codes in one cell in {several.sum():,} rows, "
            f"first in row {present.index[several][0] + 1}; make a yes/no column of each code, or "
            f"{reading.say(kind='categorical')}."
        )


def _join_spellings(reading: Reading) -> None:
    """Words that differ in capitals only become the most frequent of them; short texts stay."""
    wish, counts = reading.wish.spelling, reading.values.value_counts()
    best: dict[str, str] = {}
    for text in counts.index:
        best.setdefault(text.casefold(), text)
    others = [text for text in counts.index if best[text.casefold()] != text]
    coded = re.compile(r"[A-Za-z]\d[\w.]*")
    short = [t for t in others if len(t) <= _SHORT and t.casefold() not in _SAME]
    short = [t for t in short if not coded.fullmatch(t)]
    left = others if len(best) == 1 else short  # nothing would be left to tell apart
    apart = {"exact": others, "joined": []}.get(wish, left)
    apart = [] if reading.name.lower() in SEX_NAMES and not wish else apart
    if apart and not wish:
        reading.warnings.append(
            f"{_shown(counts, apart)} kept apart from what differs in capitals only; where that is "
            f"wrong, {reading.say(spelling='joined')}"
        )
    if joined := {text: best[text.casefold()] for text in others if text not in apart}:
        reading.notes.append(f"other spellings joined: {_shown(counts, joined)}")
        reading.spelled = tuple(joined)
        reading.values = reading.values.map(lambda t: joined.get(t, t), na_action="ignore")


def _shown(counts: pd.Series, texts) -> str:
    """The first of some texts that enough patients have, and how many more there are."""
    known = sorted(text for text in texts if counts[text] >= LEAST_PATIENTS)[:4]
    more = len(list(texts)) - len(known)
    return ", ".join(known) + (f" and {more} more" if known and more else f"{more}" if more else "")


def _join_rare(reading: Reading) -> None:
    """Of many categories the most frequent, the others as one."""
    values = reading.values
    counts = values[values != OTHER].value_counts()
    # Equal counts in order of the text, so that the order of the rows does not matter.
    counts = counts.sort_index().sort_values(ascending=False, kind="stable")
    most = _KEPT_CODES if reading.wish.kind else _not_by_chance(counts.to_numpy())
    kept = set(counts.index[:most])
    if not kept:
        reading.dropped = (
            f"{len(counts):,} {TOO_FEW}; group them (a code by its first "
            f"signs), or {reading.say(kind='categorical')}"
        )
    reading.notes.append(f"{len(counts) - len(kept):,} rarer values joined as {OTHER}")
    reading.values = values.where(values.isna() | values.isin(kept), OTHER)


def _not_by_chance(counts: np.ndarray) -> int:
    """How many of the most frequent values may be kept, by their falling counts.

    Chosen by train's counts, they are rarer in other patients: if all with a count of c or more are
    kept, by c times the number of values whose count is c (Robbins 1956). That must be small beside
    what the share of the others varies anyway between train and a holdout.
    """
    for k in range(min(_KEPT_CODES, len(counts) - 1), 0, -1):
        least, share = counts[k - 1], counts[:k].sum() / counts.sum()
        near = np.abs(counts - least) <= np.sqrt(least)
        chosen = least * near.sum() / (2 * int(np.sqrt(least)) + 1)
        varies = np.sqrt(counts.sum() * share * (1 - share) / _HOLDOUT)
        if least >= LEAST_PATIENTS and chosen <= _CHOSEN * varies:
            return k
    return 0


# -- the column of a kind ------------------------------------------------------------------


def _levels(reading: Reading) -> tuple[str, ...]:
    return kinds.ordered(reading.present.map(kinds.category_text).unique())


def _categorical(reading: Reading) -> Column:
    categories = kinds.categories(reading.values)
    return Column(reading.name, "categorical", role_of(reading.name), categories=categories)


def _binary(reading: Reading) -> Column:
    name, levels = reading.name, _levels(reading)
    if len(levels) != 2 or reading.values.isna().any():
        what = "missing values" if len(levels) == 2 else f"{len(levels)} different values"
        raise InputError(
            f"Column {name!r} has {what}, so it cannot be yes or no; "
            f"{reading.say(kind='categorical')}."
        )
    reading.no_yes = levels
    if levels != ("0", "1"):
        reading.notes.append(f"{levels[1]!r} is 1")
    reading.values = (reading.values.map(kinds.category_text) == levels[1]).astype("uint8")
    return Column(name, "binary", role_of(name))


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
    if wish.predictor is not None and column.role != "outcome":
        said["predictor"] = wish.predictor
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
