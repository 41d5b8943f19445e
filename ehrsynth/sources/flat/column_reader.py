"""The column reader: what a column of somebody's table is, worked out from its values.

A columns file (:mod:`.columns_file`) overrules it. What could give a patient away, or cannot be
read in one way only, is refused.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from ... import kinds
from ...errors import some
from ...protection import LEAST_PATIENTS
from ...schema import SEX_NAMES, Column, role_of
from .as_numbers import FEW, continuous, refuse_icd_numbers, take_numbers, take_time
from .columns_file import NOTHING
from .persons import are_shared, identifying, join_persons
from .reading import CODE_NAME, CODE_NUMBER, OTHER, Reading
from .words import LINES, PATTERNS, SETS, WORDS, is_called

_SEXES = {word.casefold(): name.upper() for name in ("f", "m") for word in SETS[name]}
_SEX_CODES = [dict(zip(line.split(), "FM", strict=True)) for line in LINES["sex_codes"]]
TOO_FEW = "values of too few patients each"
_KEPT_CODES = 40
_HOLDOUT, _CHOSEN = 0.3, 0.5  # a usual holdout's share; of the error of chance
_is_identifier = re.compile(f"{WORDS['identifier']}|{WORDS['person']}").fullmatch
_MANY_ROWS = 20  # so many different values are in order by chance never
_NOTE_LENGTH = 30  # characters; longer texts on average are sentences
_ONE_CODE = r"(?:[A-Za-z]\d[0-9A-Za-z]{1,5}|[A-Za-z]?\d{2,5})(?:\.[0-9A-Za-z]{1,4})?"
_CODES = rf"{_ONE_CODE}(?:\s*[,;|/+&\s]\s*{_ONE_CODE})+"
_SHORT = 3  # texts that may differ in capitals on purpose; these do not
_SAME = {"y", "n", "yes", "no", "ja", "j", "non", "oui", "si", "pos", "neg", "unk", "nil"}
_YES, _NO = SETS["yes"], SETS["no"]  # that it happened, and that it did not
_WORD = r"[^\W_]+"
_LETTERS = 2  # one letter alone, such as F, means too little to decide


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
    present, rows, name = reading.present, len(reading.values), reading.plain_name
    if present.empty:
        return "no values at all"
    if len(present) == rows and present.nunique() == 1:
        return f"one value only ({kinds.category_text(present.iloc[0])[:30]})"
    whole = rows == present.nunique() and kinds.is_number(present) and kinds.are_whole(present)
    if not whole or reading.wish != NOTHING:
        return ""
    steps = np.diff(present.to_numpy(float))
    named = is_called("row_numbers", name) and (len(name) > 1 or np.all(steps == 1))
    grows = rows >= _MANY_ROWS and np.all(steps > 0)
    if named or (grows and not kinds.looks_like_identifier(present, _is_identifier(name))):
        return f"row numbers; if they are not, {reading.say(identifier='allowed')}"
    return ""


def _feature(reading: Reading) -> None:
    """Try what the values may be, one after the other; what is left are codes and categories."""
    wish, coded = reading.wish, bool(CODE_NAME.search(reading.plain_name))
    _take_sexes(reading)
    if not wish.kind:
        refuse_icd_numbers(reading)
    # Of codes by their name, most may happen to look like numbers.
    if reading.is_text and (wish.kind == "continuous" or not (wish.kind or coded)):
        take_numbers(reading)
    if wish.kind in ("", "date") and not reading.unit:
        take_time(reading)
    if reading.unit or wish.kind == "continuous":
        reading.column = continuous(reading)
        return
    present, allowed = reading.present, wish.identifier == "allowed" or bool(wish.kind)
    if reading.is_text and not allowed:
        _refuse_two(reading, present)
    if not allowed and kinds.looks_like_identifier(present, _is_identifier(reading.plain_name)):
        _refuse_identifier(reading)
    # Numbers that name a place or a thing, as a ward's number does.
    few = present.nunique() <= FEW and kinds.is_number(present) and kinds.are_whole(present)
    as_codes = coded and kinds.is_number(present) and not few
    if as_codes or wish.kind in ("categorical", "binary"):
        if not isinstance(reading.values.dtype, pd.CategoricalDtype):
            texts = reading.values.map(kinds.category_text, na_action="ignore")
            reading.values = texts.astype(object)
    if reading.is_text:
        _take_texts(reading, allowed)
        if not reading.dropped and reading.values.nunique(dropna=False) == 1:
            reading.dropped = "one value only is left"
    if not reading.dropped:
        reading.column = _column(reading, as_codes)


def _column(reading: Reading, as_codes: bool) -> Column:
    """The column of its kind, where it is no number of something."""
    name, role = reading.name, role_of(reading.name)
    present, wanted = reading.present.infer_objects(), reading.wish.kind
    zeros = reading.is_text and present.astype("str").str.fullmatch(CODE_NUMBER).any()
    if not (as_codes or zeros or wanted == "categorical"):
        if wanted == "binary":
            return _binary(reading)
        many = kinds.is_number(present) and present.nunique() > 2
        if many and not kinds.few_codes(present, FEW):
            return continuous(reading)
        there = len(present) == len(reading.values)
        if there and set(present.map(kinds.category_text).unique()) <= {"0", "1"}:
            return Column(name, "binary", role)
    return Column(name, "categorical", role, categories=kinds.categories(reading.values))


def _refuse_identifier(reading: Reading) -> NoReturn:
    present, unless = reading.present, ""
    what = f"has {present.nunique():,} different texts, like an identifier or free text"
    if pd.api.types.is_numeric_dtype(present):
        what = "is different in every row or nearly so, like an identifier, which is never learned"
        unless = f"{reading.say(kind='continuous')} if it is a measurement"
    elif present.str.contains(WORDS["like_a_date"]).mean() >= kinds.NUMERIC_SHARE:
        what = "seems to hold dates or times, in a form that is not known"
        unless = "write them as 2020-01-31, and as 14:30"
    reading.refuse(what, unless, drop=True)


# -- texts that are categories -----------------------------------------------------------


def sexes_of(texts: Iterable[str]) -> dict[str, str]:
    """F or M for those of these texts that mean a woman or a man."""
    folded = {text: text.casefold() for text in texts}
    found = {text: _SEXES[fold] for text, fold in folded.items() if fold in _SEXES}
    for pair in _SEX_CODES:
        if not {"F", "M"} <= set(found.values()) and set(pair) <= set(folded.values()):
            found |= {text: pair[fold] for text, fold in folded.items() if fold in pair}
    return found


def _take_sexes(reading: Reading) -> None:
    """What women and men are called, as F and M, where a column is called a sex."""
    if reading.name.lower() not in SEX_NAMES or reading.wish.spelling == "exact":
        return
    texts = reading.values.map(kinds.category_text, na_action="ignore").astype(object)
    found = sexes_of(texts.dropna().unique())
    if {"F", "M"} <= set(found.values()) or (found and texts.dropna().isin(found).all()):
        reading.spelled = tuple(found)
        reading.values = texts.map(lambda t: found.get(t, t), na_action="ignore")  # divers stays
        if odd := sorted(f"{t} as {sex}" for t, sex in found.items() if t.casefold() not in _SEXES):
            reading.notes.append(f"{', '.join(odd)}; if not, {reading.say(spelling='exact')}")


def _take_texts(reading: Reading, allowed: bool) -> None:
    """Texts as categories: spellings joined, rare codes as Other."""
    if reading.blanks and reading.values.dtype == object:
        reading.warnings.append(
            f"{', '.join(map(repr, reading.blanks))} counts as missing; if that is a value, "
            f"{reading.say(values=list(reading.blanks))}"
        )
    _join_spellings(reading)
    present = reading.present
    if not allowed:
        join_persons(reading, OTHER)
    distinct = present.nunique()
    if distinct <= kinds.MAX_CATEGORIES:
        return
    long = present.str.len().mean() > _NOTE_LENGTH
    many = distinct > len(present) / 2 and not CODE_NAME.search(reading.plain_name)
    if not allowed and (many or (long and distinct > 200 and not are_shared(present))):
        _refuse_identifier(reading)
    _join_rare(reading)


def _refuse_two(reading: Reading, present: pd.Series) -> None:
    """Refuse two numbers, or two codes, in one text."""
    two = present.str.fullmatch(WORDS["two_numbers"])
    if kinds.spoiled(present, two):
        what = f"holds two numbers in one text, such as in row {two.idxmax() + 1}"
        reading.refuse(what, "make a column of each, or write it as one number", drop=True)
    several = present.str.fullmatch(_CODES)
    codes = present.str.fullmatch(_ONE_CODE) | several
    if several.any() and codes.mean() >= kinds.NUMERIC_SHARE and present.nunique() > _SHORT:
        what, advice = "several codes in one cell", "make a yes/no column of each code"
        if present[several].str.fullmatch(r"\d{2,3}(?: \d{3})+").all():
            what += ", or numbers with blanks between thousands,"
            advice += f", or {reading.say(kind='continuous')} if they are numbers"
        where = f"in {several.sum():,} rows, first in row {several.idxmax() + 1}"
        reading.refuse(f"holds {what} {where}", advice, kind="categorical")


def _join_spellings(reading: Reading) -> None:
    """Words that differ in capitals only become the most frequent of them; short texts stay."""
    wish, counts = reading.wish.spelling, reading.values.value_counts()
    best: dict[str, str] = {}
    for text in counts.index:
        best.setdefault(text.casefold(), text)
    others = [text for text in counts.index if best[text.casefold()] != text]
    apart = others if wish == "exact" else []
    if not wish and reading.name.lower() not in SEX_NAMES:
        one = len(best) == 1  # nothing would be left to tell apart
        apart = [text for text in others if one or _may_differ(text)]
        if apart:
            reading.warnings.append(
                f"{_shown(counts, apart)} kept apart from what differs in capitals only; where "
                f"that is wrong, {reading.say(spelling='joined')}"
            )
    if joined := {text: best[text.casefold()] for text in others if text not in apart}:
        reading.notes.append(f"other spellings joined: {_shown(counts, joined)}")
        reading.spelled = tuple(joined)
        reading.values = reading.values.map(lambda t: joined.get(t, t), na_action="ignore")


def _may_differ(text: str) -> bool:
    """Whether capitals may mean something, as in the alleles AA, Aa and aa; not in codes."""
    word = text.casefold() in _SAME or re.fullmatch(r"[A-Za-z]\d[\w.]*", text)
    return len(text) <= _SHORT and not word


def _shown(counts: pd.Series, texts) -> str:
    """The first of some texts that enough patients have, and how many more there are."""
    known = sorted(text for text in texts if counts[text] >= LEAST_PATIENTS)[:4]
    more = len(list(texts)) - len(known)
    return ", ".join(known) + (f" and {more} more" if known and more else f"{more}" if more else "")


def _join_rare(reading: Reading) -> None:
    """Of many categories the most frequent, the others as one."""
    values = reading.values
    # Equal counts in order of the text, so that the order of the rows does not matter.
    counts = values[values != OTHER].value_counts().sort_index()
    counts = counts.sort_values(ascending=False, kind="stable")
    most = _KEPT_CODES if reading.wish.kind else _not_by_chance(counts.to_numpy())
    if not most:
        reading.dropped = (
            f"{len(counts):,} {TOO_FEW}; group them (a code by its first signs), or "
            f"{reading.say(kind='categorical')}"
        )
    reading.notes.append(f"{len(counts[most:]):,} rarer values joined as {OTHER}")
    kept = values.isna() | values.isin(counts.index[:most])
    reading.values = values.where(kept, OTHER)


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


def _binary(reading: Reading) -> Column:
    levels = kinds.ordered(reading.present.map(kinds.category_text).unique())
    if len(levels) != 2 or reading.values.isna().any():
        what = "missing values" if len(levels) == 2 else f"{len(levels)} different values"
        reading.refuse(f"has {what}, so it cannot be yes or no", kind="categorical")
    reading.no_yes = levels
    if levels != ("0", "1"):
        reading.notes.append(f"{levels[1]!r} is 1")
    reading.values = (reading.values.map(kinds.category_text) == levels[1]).astype("uint8")
    return Column(reading.name, "binary", role_of(reading.name))


def _overrule(reading: Reading, column: Column) -> Column:
    """The column with what the columns file says about it."""
    wish = reading.wish
    said: dict[str, Any] = {key: getattr(wish, key) for key in ("label", "unit", "sex", "decimals")}
    said["lower"], said["upper"] = wish.bounds or (None, None)
    if column.role != "outcome":
        said |= {"role": wish.role, "predictor": wish.predictor}
    said = {key: value for key, value in said.items() if value not in ("", None)}
    if (wish.bounds or "decimals" in said) and column.kind != "continuous":
        reading.refuse(f"is {column.kind}, so it has no bounds or decimals", kind="continuous")
    if wish.sex and column.kind != "binary":
        what = f"is {column.kind}; only a yes/no column can be of one sex"
        reading.refuse(what, kind="binary", sex=wish.sex)
    return replace(column, **said)


# -- the outcome --------------------------------------------------------------------------


def read_outcome(reading: Reading) -> None:
    """Give the outcome its column, with what counts as 1, and fitting values, in place."""
    name, wish, missing = reading.name, reading.wish, reading.values.isna()
    if missing.any():
        what = f"has missing values in {missing.sum():,} rows, first in row {missing.idxmax() + 1}"
        reading.refuse(f"{what}, and is the outcome", "remove those rows", missing_rows="drop")
    if wish.kind in ("continuous", "date"):
        reading.refuse("needs two values to be the outcome", f"it cannot be {wish.kind}")
    texts = reading.values.map(lambda v: v.casefold() if isinstance(v, str) else v)
    if reading.is_text and wish.spelling != "exact" and texts.nunique() == 2:
        often = reading.values.groupby(texts).agg(lambda group: group.value_counts().index[0])
        reading.spelled = tuple(reading.values.unique())
        if reading.values.nunique() > 2:
            reading.notes.append("other spellings joined")
        reading.values = texts.map(often)
    counts = reading.values.map(kinds.category_text).value_counts()
    if (n := len(counts)) != 2:
        shared = some(kinds.ordered(counts.index[counts >= LEAST_PATIENTS]), 4)  # no patient's own
        what = f"has {n} different value{'s' if n > 1 else ''}"
        what += f", such as {shared}" if shared else ""
        reading.refuse(what, "it needs exactly two, as the outcome")
    levels, why = _polarity(reading, kinds.ordered(counts.index))
    reading.notes.append(f"{levels[1]!r} counts as 1 ({why})")
    is_binary = levels == ("0", "1")
    texts = reading.values.map(kinds.category_text)
    reading.values = texts.astype(object).astype("uint8" if is_binary else object)
    kind, categories = ("binary", ()) if is_binary else ("categorical", levels)
    reading.column = Column(name, kind, "outcome", categories=categories)


def _polarity(reading: Reading, levels: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """The outcome's two values, the one that counts as 1 last, and why it does."""
    values = "{!r} and {!r}".format(*levels)
    if reading.wish.positive != "":
        positive = kinds.category_text(reading.wish.positive)
        if positive not in levels:
            reading.refuse(f"has no value {positive!r}", f"its values are {values}")
        return (*(level for level in levels if level != positive), positive), "as you say"
    if isinstance(reading.values.dtype, pd.CategoricalDtype) and reading.values.cat.ordered:
        declared = map(kinds.category_text, reading.values.cat.categories)
        return tuple(c for c in declared if c in levels), "the last of the declared order"
    for order in (levels, levels[::-1]):
        if why := _why_last(*order):
            return order, why
    reading.refuse(
        f"has the values {values}, and nothing says which of them counts as 1",
        "say --positive VALUE", positive=levels[1],
    )  # fmt: skip


def _why_last(other: str, one: str) -> str:
    """Why `one` and not the `other` value means that it happened, or ""."""
    plain = [text.casefold().strip() for text in (other, one)]
    if any(map(PATTERNS["unknown"].search, plain)):
        return ""
    if plain[0] == "0" or plain == ["-1", "1"]:
        return "the other is 0" if plain[0] == "0" else "the other is negative"
    no, yes = map(_means, plain)
    denied = PATTERNS["negation"].match(plain[0])
    if denied and denied[1] == plain[1] and yes is not False:
        return f"{other!r} denies it"
    if yes is True and (no is False or (no is None and len(plain[1]) >= _LETTERS)):
        return "the word says that it happened"
    if no is False and yes is None and len(plain[0]) >= _LETTERS:
        return f"{other!r} says that it did not happen"
    return ""


def _means(level: str) -> bool | None:
    """Whether a value says that the outcome happened (True), that it did not, or nothing."""
    text = level.casefold().strip()
    if (said_so := says_yes(text)) is not None:
        return said_so
    if negation := PATTERNS["negation"].match(text):
        return _means(negation[1]) is False  # as "not well"
    words = re.findall(_WORD, text)
    rest = set(re.findall(_WORD, PATTERNS["denied"].sub(" ", text)))
    if denied := set(words) - rest:
        unsure = rest & {*_YES, "free", "excluded", "out"} or denied & (_NO - {"no", "never"})
        return None if unsure else False
    said = {word in _YES for word in words if word in _YES or word in _NO}
    return said.pop() if len(said) == 1 else None


def says_yes(text: str) -> bool | None:
    """Whether a word such as yes or no means 1 (True) or 0 (False), None where it means neither."""
    plain = text.casefold().strip()
    return True if plain in _YES else False if plain in _NO else None
