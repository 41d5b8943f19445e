"""The outcome of a flat table: its two values, and which of them counts as 1, and why."""

import re

import pandas as pd

from ... import kinds
from ...errors import InputError, first_bad
from ...schema import Column
from .reading import Reading
from .words import WORDS

# Words that say that it happened, and that it did not.
_YES, _NO = (set(WORDS[name].split()) for name in ("yes", "no"))
_NEGATION, _DENIED, _UNKNOWN = (re.compile(WORDS[w]) for w in ("negation", "denied", "unknown"))
_WORD = r"[^\W_]+"
_LETTERS = 2  # one letter alone, such as F, means too little to decide


def read_outcome(reading: Reading) -> None:
    """Give the outcome its column, with what counts as 1, and fitting values, in place."""
    name, wish, missing = reading.name, reading.wish, reading.values.isna()
    if bad := first_bad(reading.values, missing):
        raise InputError(
            f"Outcome column {name!r} has missing values in {missing.sum():,} rows, first in row "
            f"{bad.label + 1}; remove those rows, or {reading.say(missing_rows='drop')}."
        )
    if wish.kind in ("continuous", "date"):
        raise InputError(f"Outcome column {name!r} needs two values; it cannot be {wish.kind}.")
    texts = reading.values.map(lambda v: v.casefold() if isinstance(v, str) else v)
    if reading.is_text and wish.spelling != "exact" and texts.nunique() == 2:
        often = reading.values.groupby(texts).agg(lambda group: group.value_counts().index[0])
        reading.spelled = tuple(reading.values.unique())
        if reading.values.nunique() > 2:
            reading.notes.append("other spellings joined")
        reading.values = texts.map(often)
    kinds.check_outcome(name, reading.values)
    levels, why = _polarity(reading)
    reading.values = reading.values.map(kinds.category_text).astype(object)
    reading.notes.append(f"{levels[1]!r} counts as 1 ({why})")
    if levels == ("0", "1"):
        reading.values = reading.values.astype("uint8")
        reading.column = Column(name, "binary", "outcome")
    else:
        reading.column = Column(name, "categorical", "outcome", categories=levels)


def _polarity(reading: Reading) -> tuple[tuple[str, ...], str]:
    """The outcome's two values, the one that counts as 1 last, and why it does."""
    levels = kinds.ordered(reading.values.map(kinds.category_text).unique())
    if reading.wish.positive != "":
        positive = kinds.category_text(reading.wish.positive)
        if positive not in levels:
            raise InputError(
                f"Outcome column {reading.name!r} has no value {positive!r}; its values are "
                f"{levels[0]!r} and {levels[1]!r}."
            )
        return (*(level for level in levels if level != positive), positive), "as you say"
    if isinstance(reading.values.dtype, pd.CategoricalDtype) and reading.values.cat.ordered:
        order = [c for c in map(kinds.category_text, reading.values.cat.categories) if c in levels]
        return (order[0], order[1]), "the last of the declared order"
    if why := _why_last(*levels):
        return levels, why
    if why := _why_last(*levels[::-1]):
        return levels[::-1], why
    raise InputError(
        f"Outcome column {reading.name!r} has the values {levels[0]!r} and {levels[1]!r}, and "
        f"nothing says which of them counts as 1; say --positive VALUE, or "
        f"{reading.say(positive=levels[1])}."
    )


def _why_last(other: str, one: str) -> str:
    """Why `one` and not the `other` value means that it happened, or ""."""
    plain = [text.casefold().strip() for text in (other, one)]
    if any(map(_UNKNOWN.search, plain)):
        return ""
    if plain[0] == "0" or plain == ["-1", "1"]:
        return "the other is 0" if plain[0] == "0" else "the other is negative"
    no, yes = map(_means, plain)
    if (negation := _NEGATION.match(plain[0])) and negation[1] == plain[1] and yes is not False:
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
    if negation := _NEGATION.match(text):
        return _means(negation[1]) is False  # as "not well"
    words = re.findall(_WORD, text)
    rest = set(re.findall(_WORD, _DENIED.sub(" ", text)))
    if denied := set(words) - rest:
        unsure = rest & {*_YES, "free", "excluded", "out"} or denied & (_NO - {"no", "never"})
        return None if unsure else False
    said = {word in _YES for word in words if word in _YES or word in _NO}
    return said.pop() if len(said) == 1 else None


def says_yes(text: str) -> bool | None:
    """Whether a word such as yes or no means 1 (True) or 0 (False), None where it means neither."""
    plain = text.casefold().strip()
    return True if plain in _YES else False if plain in _NO else None
