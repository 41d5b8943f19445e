"""Columns that say who a patient is: names, addresses, numbers of persons, and free text.

They are left out, by what they are called or by what stands in them, unless a columns file says
``identifier: allowed``. Of a category only the values that name somebody join the rest.
"""

import re
import unicodedata

import numpy as np
import pandas as pd

from ... import kinds
from ...protection import LEAST_PATIENTS, told
from .reading import CODE_NAME, Reading
from .words import WORDS

PERSONAL = "names or tells of single persons"
_LEAST_DIFFERENT, _LEAST_NAMES = 10, 3  # values; fewer are groups, and no list of names
_MANY, _SENTENCES, _LONG = 0.5, 0.2, 10  # shares of the different values, and words of a text
_LINES = (WORDS[name].strip().splitlines() for name in ("forms", "identifiers"))
_FORMS, _CALLED = (dict(line.split(" | ", 1) for line in lines) for lines in _LINES)
_ANYWHERE = re.compile("|".join(rf"(?<![\w.@+-])(?:{form})(?![\w@-])" for form in _FORMS.values()))
_FORMS["addresses"] = WORDS["address"]
_FORMS["telephone numbers"] += f"|{WORDS['digits']}"
_GIVEN, _TITLES, _PLACES, _TOLD, _MEDICAL, _PARTICLES = (
    set(WORDS[name].split())
    for name in ("given", "titles", "places", "sentences", "medical", "particles")
)
_DOCTOR, _DOTTED, _INITIALS, _ENDS = (
    re.compile(WORDS[name] + ("$" if name == "medical_ends" else ""))
    for name in ("called_doctor", "called_dotted", "initials", "medical_ends")
)
_ALIKE, _SOME, _SURE = 0.6, 0.05, 0.9  # shares of the different values
_SHARED = 0.8  # of the rows
_NUMBERED, _LARGE = 1_000, 10**5  # the least number of a person, and what hardly counts a thing
_CAPITALS = re.compile(r"[^\W\d_a-z][\w.'’-]*(?:[,\s]+[^\W\d_a-z][\w.'’-]*)+")  # words in a row


def identifying(reading: Reading) -> str:
    """Why the column is left out for naming or telling of single persons, or ""."""
    present, different = reading.present, reading.present.nunique()
    if reading.wish.identifier or reading.wish.kind or different < _LEAST_NAMES:
        return ""
    called = _called(reading.name)
    if different >= _LEAST_DIFFERENT:
        _note_birth(reading, called)
        what = _by_name(reading, called) or _by_digits(reading)
        what = what or (_by_values(present) if reading.is_text else "")
    else:
        texts = pd.Series(present.unique()).astype("str")
        named = reading.is_text and (_are_names(texts) or _are_few_names(called, texts))
        what = "names of persons" if named else ""
    return what and f"{PERSONAL} ({what}); if it does not, {reading.say(identifier='allowed')}"


def _called(name: str) -> list[str]:
    """The name of a column without blanks, with and without accents and whose it is."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    names = [re.sub(r"[\W_]+", "", one.casefold()) for one in (name, plain)]
    return [*names, *(re.sub(f"^{WORDS['whose']}(?=.)", "", one) for one in names)]


def _note_birth(reading: Reading, called: list[str]) -> None:
    present = reading.present
    if kinds.is_number(present):
        dates = not 0 < present.abs().median() < 3000  # years
    else:
        dates = present.astype("str").str.count(r"\d").median() >= 3
    if dates and any(re.fullmatch(WORDS["birth"], one) for one in called):
        reading.warnings.append(
            "a date of birth, which with little else says who a patient is; give the age "
            f"instead, or {reading.say(drop=True)}"
        )


def _by_name(reading: Reading, called: list[str]) -> str:
    """What the column holds by its name, where its values are none of a thing."""
    present = reading.present
    if kinds.is_number(present):
        least, whole = present.abs().median(), _are_whole(present)
        many = present.nunique() > _MANY * len(present)
        if least < (_NUMBERED if whole and many else _LARGE):
            return ""
    found = (w for w, names in _CALLED.items() if any(re.fullmatch(names, n) for n in called))
    if (what := next(found, "")) or not reading.is_text:
        return what
    texts = pd.Series(present.unique()).astype("str")
    return "names of persons" if _are_of_staff(called, texts) else ""


def _are_of_staff(called: list[str], texts: pd.Series) -> bool:
    """Whether a column is called by who treats, and its values are neither codes nor things."""
    if not any(re.fullmatch(WORDS["staff"], one) for one in called):
        return False
    single = ~texts.str.contains(r"\d|^.{1,2}$|^[A-Z]{1,4}$", regex=True) & ~texts.map(_is_thing)
    return bool(single.mean() >= _ALIKE)


def _are_few_names(called: list[str], texts: pd.Series) -> bool:
    """Whether so few values that they may be groups are names, as their column is called."""
    if texts.str[0].str.isupper().mean() >= _SURE and _are_of_staff(called, texts):
        return True
    named = any(re.fullmatch(_CALLED["names of persons"], one) for one in called)
    return named and bool(texts.map(_is_like_a_name).mean() >= _ALIKE)


def _by_digits(reading: Reading) -> str:
    """Telephone numbers that a reader of numbers has taken for such."""
    present = reading.present
    if not kinds.is_number(present) or CODE_NAME.search(reading.name.lower()):
        return ""
    if reading.is_written and reading.written is not None:
        texts = reading.written[present.index].astype("str")
    elif not _are_whole(present) or present.abs().max() >= 10**15:
        return ""
    else:
        texts = present.astype("int64").astype("str")
    formed = pd.Series(texts.unique()).str.fullmatch(WORDS["digits"])
    return "telephone numbers" if formed.mean() >= _SURE else ""


def _are_whole(numbers: pd.Series) -> bool:
    plain = numbers.to_numpy(float)
    return bool(np.isfinite(plain).all()) and not np.any(plain % 1)


def _by_values(present: pd.Series) -> str:
    texts = pd.Series(present.unique()).astype("str")
    formed = (w for w, form in _FORMS.items() if texts.str.fullmatch(form).mean() >= _MANY)
    if what := next(formed, ""):
        return what
    if texts.map(names_somebody).mean() >= _MANY or _are_names(texts):
        return "names of persons"
    if are_shared(present):
        return ""
    long = texts.str.split().str.len().mean() >= _LONG
    return "free text" if long or texts.map(_is_sentence).mean() >= _SENTENCES else ""


def are_shared(present: pd.Series) -> bool:
    """Whether nearly all rows have one of a few values that others have too: no text is free."""
    counts = present.value_counts()
    few = len(counts) <= len(present) / LEAST_PATIENTS
    return few and bool(counts[counts >= LEAST_PATIENTS].sum() >= _SHARED * len(present))


def _are_names(texts: pd.Series) -> bool:
    """Whether some texts are full names that are known, and most others are like them."""
    alike = texts.map(_is_like_a_name)
    short = alike & texts.str.fullmatch(_INITIALS.pattern)
    if short.mean() >= _MANY and texts[short].str[0].nunique() >= 3:
        return True
    known = alike & texts.map(names_somebody)
    if known.sum() < max(2, _SOME * len(texts)):
        return False
    return bool(known.all() or alike[~known].mean() >= _ALIKE)


def _words(text: str) -> list[str]:
    return [word for part in re.split(r"[\s,]+", text) if (word := part.strip(".'’()"))]


def _is_thing(text: str) -> bool:
    """Whether a text has a word of medicine, or of a place."""
    words = [word.casefold() for word in _words(text)]
    return bool({*words} & (_MEDICAL | _PLACES)) or any(map(_ENDS.search, words))


def _is_like_a_name(text: str) -> bool:
    """Whether a text is two to four words with capitals, none of them of medicine or a place."""
    words = [word for word in _words(text) if word not in _PARTICLES]
    capital = all(word[0].isupper() and word.replace("-", "").isalpha() for word in words)
    return 2 <= len(words) <= 4 and capital and not _is_thing(text)


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
    if any(not _is_thing(surname) for surname in _DOTTED.findall(text)):
        return True
    if (doctor := _DOCTOR.fullmatch(text.strip())) and not _is_thing(doctor[1]):
        return True
    return bool(_ANYWHERE.search(text))


def _is_sentence(text: str) -> bool:
    words = text.split()
    ends = re.search(r"[a-zß)]{2}[.!?](?:\s|$)", text)
    return len(words) >= 4 and bool(ends or _TOLD & {word.strip(".,").casefold() for word in words})
