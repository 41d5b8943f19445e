"""Columns that say who a patient is: names, addresses, numbers of persons, and free text.

They are left out, by what they are called or by what stands in them, unless a columns file says
``identifier: allowed``. Of a category only the values that name somebody join the rest.
"""

import re

import pandas as pd

from ... import kinds
from ...protection import told
from .reading import Reading
from .words import WORDS

PERSONAL = "names or tells of single persons"
_LEAST_DIFFERENT = 10  # values; fewer are groups
_MANY, _SENTENCES, _LONG = 0.5, 0.2, 10  # shares of the different values, and words of a text
_LINES = (WORDS[name].strip().splitlines() for name in ("forms", "identifiers"))
_FORMS, _CALLED = (dict(line.split(" | ", 1) for line in lines) for lines in _LINES)
_ANYWHERE = re.compile("|".join(rf"(?<![\w.@+-])(?:{form})(?![\w@-])" for form in _FORMS.values()))
_FORMS["addresses"] = WORDS["address"]
_GIVEN, _TITLES, _PLACES, _TOLD = (
    set(WORDS[name].split()) for name in ("given", "titles", "places", "sentences")
)
_CAPITALS = re.compile(r"[^\W\d_a-z][\w.'’-]*(?:[,\s]+[^\W\d_a-z][\w.'’-]*)+")  # words in a row


def identifying(reading: Reading) -> str:
    """Why the column is left out for naming or telling of single persons, or ""."""
    present, called = reading.present, re.sub(r"[\W_]+", "", reading.name.casefold())
    if reading.wish.identifier or reading.wish.kind or present.nunique() < _LEAST_DIFFERENT:
        return ""
    number = kinds.is_number(present) and present.abs().median()
    called = re.sub(f"^{WORDS['whose']}(?=.)", "", called)
    if re.fullmatch(WORDS["birth"], called) and not 0 < number < 3000:
        reading.warnings.append(
            "a date of birth, which with little else says who a patient is; give the age "
            f"instead, or {reading.say(drop=True)}"
        )
    named = (w for w, names in _CALLED.items() if re.fullmatch(names, called))
    what = next(named, "") if number is False or number >= 10**5 else ""
    what = what or (_by_values(present) if reading.is_text else "")
    return what and f"{PERSONAL} ({what}); if it does not, {reading.say(identifier='allowed')}"


def _by_values(present: pd.Series) -> str:
    texts = pd.Series(present.unique()).astype("str")
    formed = (w for w, form in _FORMS.items() if texts.str.fullmatch(form).mean() >= _MANY)
    if what := next(formed, ""):
        return what
    if texts.map(names_somebody).mean() >= _MANY:
        return "names of persons"
    long = texts.str.split().str.len().mean() >= _LONG
    return "free text" if long or texts.map(_is_sentence).mean() >= _SENTENCES else ""


def join_persons(reading: Reading, rest: str) -> None:
    """The texts of a category that name somebody become the `rest`."""
    named = {text for text in reading.present.unique() if names_somebody(str(text))}
    if named:
        rows = reading.values.isin(named)
        reading.values = reading.values.astype(object).mask(rows, rest)  # of a Categorical, too
        reading.warnings.append(
            f"what names a person ({told(rows.sum())} rows) joined as {rest}; if it does not, "
            f"{reading.say(identifier='allowed')}"
        )


def names_somebody(text: str) -> bool:
    """Whether a text has a person's name, e-mail address, telephone or other number in it."""
    for run in _CAPITALS.findall(text):
        words = [word.strip(".,'’") for word in run.split()]
        plain = {word.casefold() for word in words}
        title = words[0].istitle() and words[0].casefold() in _TITLES
        if not plain & _PLACES and (plain & _GIVEN or title):
            return True
    return bool(_ANYWHERE.search(text))


def _is_sentence(text: str) -> bool:
    words = text.split()
    ends = re.search(r"[a-zß)]{2}[.!?](?:\s|$)", text)
    return len(words) >= 4 and bool(ends or _TOLD & {word.strip(".,").casefold() for word in words})
