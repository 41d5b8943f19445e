"""Columns that say who a patient is: names, addresses, numbers of persons, and free text.

They are left out, by what they are called or by what stands in them, unless a columns file says
``identifier: allowed``. Of a category only the values that name somebody join the rest. Columns
that say which patient a row belongs to are never learned.
"""

import re
import unicodedata

import numpy as np
import pandas as pd

from ... import kinds
from ...errors import InputError
from ...protection import LEAST_PATIENTS, told
from ...schema import RACE, SEX_NAMES
from .as_numbers import CLOCK, WHOLE, forms_of
from .reading import CODE_NAME, Reading
from .words import LINES, PATTERNS, SETS, WORDS, is_called

PERSONAL = "names or tells of single persons"
_LEAST_DIFFERENT, _LEAST_NAMES = 10, 3  # values; fewer are groups, and no list of names
_MANY, _SENTENCES, _LONG = 0.5, 0.2, 10  # shares of the different values, and words of a text
_FORMS, _CALLED = (dict(one.split(" | ", 1) for one in LINES[n]) for n in ("forms", "identifiers"))
_ANYWHERE = re.compile("|".join(rf"(?<![\w.@+-])(?:{form})(?![\w@-])" for form in _FORMS.values()))
_FORMS["addresses"] = WORDS["address"]
_FORMS["telephone numbers"] += "|" + WORDS["digits"]
_MOST_ROWS = 50  # of one patient on average; more are a ward or a doctor
_ALIKE, _SOME, _SURE = 0.6, 0.05, 0.9  # shares of the different values
_SHARED = 0.8  # of the rows
_FEW_YEARS = 5  # between the visits of a patient
_NUMBERED, _LARGE = 1_000, 10**5  # the least number of a person, and what hardly counts a thing


def identifying(reading: Reading) -> str:
    """Why the column is left out for naming or telling of single persons, or ""."""
    present, different, what = reading.present, reading.present.nunique(), ""
    said = reading.wish.kind
    if reading.wish.identifier or said in ("continuous", "date") or different < _LEAST_NAMES:
        return ""
    name, apart = reading.name, unicodedata.normalize("NFKD", reading.name)
    plain = "".join(c for c in apart if not unicodedata.combining(c))
    called = [re.sub(r"[\W_]+", "", one.casefold()) for one in (name, plain)]
    called += [re.sub(f"^{WORDS['whose']}(?=.)", "", one) for one in called]  # whose it is
    texts = pd.Series(present.unique() if reading.is_text else []).astype("str")
    if different >= _LEAST_DIFFERENT:
        _note_birth(reading, called)
        what = _by_name(reading, called, texts) or _by_digits(reading)
        what = what or (_by_values(present, texts) if len(texts) else "")
    elif len(texts) and (_are_names(texts) or _are_few_names(called, texts)):
        what = "names of persons"
    if said and (what or texts.map(names_somebody).any()):
        reading.warnings.append(
            f"has {what or 'names of persons'} and is kept, with those that enough patients share, "
            f"as you say its kind; if nobody may know them, {reading.say(drop=True)}"
        )
        return ""
    return what and f"{PERSONAL} ({what}); if it does not, {reading.say(identifier='allowed')}"


def _note_birth(reading: Reading, called: list[str]) -> None:
    present = reading.present
    if kinds.is_number(present):
        dates = not 0 < present.abs().median() < 3000  # years
    else:
        dates = present.astype("str").str.count(r"\d").median() >= 3
    if dates and any(is_called("birth", one) for one in called):
        reading.warnings.append(
            "a date of birth, which with little else says who a patient is; give the age "
            f"instead, or {reading.say(drop=True)}"
        )


def _by_name(reading: Reading, called: list[str], texts: pd.Series) -> str:
    """What the column holds by its name, where its values are none of a thing."""
    present = reading.present
    if kinds.is_number(present):
        many = present.nunique() > _MANY * len(present) and kinds.are_whole(present)
        if present.abs().median() < (_NUMBERED if many else _LARGE):
            return ""
    found = (w for w, names in _CALLED.items() if any(re.fullmatch(names, n) for n in called))
    by_staff = len(texts) and _are_of_staff(called, texts)
    return next(found, "names of persons" if by_staff else "")


def _are_of_staff(called: list[str], texts: pd.Series) -> bool:
    """Whether a column is called by who treats, and its values are neither codes nor things."""
    if not any(is_called("staff", one) for one in called):
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
    if not kinds.is_number(present) or CODE_NAME.search(reading.plain_name):
        return ""
    if reading.is_written and reading.written is not None:
        texts = reading.written[present.index].astype("str")
    elif not kinds.are_whole(present) or present.abs().max() >= 10**15:
        return ""
    else:
        texts = present.astype("int64").astype("str")
    formed = pd.Series(texts.unique()).str.fullmatch(WORDS["digits"])
    return "telephone numbers" if formed.mean() >= _SURE else ""


def _by_values(present: pd.Series, texts: pd.Series) -> str:
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
    short = alike & texts.str.fullmatch(WORDS["initials"])
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
    words = {word.casefold() for word in _words(text)}
    known = words & (SETS["medical"] | SETS["places"])
    return bool(known) or any(map(PATTERNS["medical_ends"].search, words))


def _is_like_a_name(text: str) -> bool:
    """Whether a text is two to four words with capitals, none of them of medicine or a place."""
    words = [word for word in _words(text) if word not in SETS["particles"]]
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
    for run in PATTERNS["capitals"].findall(text):
        words = [word.strip(".,'’") for word in run.split()]
        plain = {word.casefold() for word in words}
        title = words[0].istitle() and words[0].casefold() in SETS["titles"]
        if not plain & SETS["places"] and (plain & SETS["given"] or title):
            return True
    if any(not _is_thing(surname) for surname in PATTERNS["called_dotted"].findall(text)):
        return True
    if (doctor := PATTERNS["called_doctor"].fullmatch(text.strip())) and not _is_thing(doctor[1]):
        return True
    return bool(_ANYWHERE.search(text))


def _is_sentence(text: str) -> bool:
    words = text.split()
    ends = re.search(r"[a-zß)]{2}[.!?](?:\s|$)", text)
    told = SETS["sentences"] & {word.strip(".,").casefold() for word in words}
    return len(words) >= 4 and bool(ends or told)


# -- who a row is --------------------------------------------------------------------------


def settle_identity(
    readings: list[Reading], patient_id: str | None, where: str
) -> pd.Series | None:
    """Drop the patient key and other patients' numbers; the key's values, where it is named.

    A column that repeats like a patient's number is refused: the table then has several rows of a
    patient, which must not be parted between train and holdout.
    """
    keys, key = [], None
    for reading in readings:
        if reading.name == patient_id:
            holds = f"is the patient key of {where} and"
            reading.refuse_first(reading.values, reading.values.isna(), holds, "fill it")
            reading.dropped = "the patient key: the split goes by it, and it is never learned"
            key = reading.values.map(kinds.category_text)
        elif reading.values.is_unique and is_called("person", reading.plain_name):
            keys += [reading] if _are_whole_or_texts(reading) else []  # left out, it still numbers
    keys = [reading for reading in readings if reading.name == patient_id] or keys
    numbers = {one.name: set(one.values.map(kinds.category_text)) for one in keys}
    for reading in filter(_may_be_key, readings):
        for name, known in numbers.items():
            if reading.name != name and _are_among(reading, known):
                reading.dropped = f"other patients' numbers of the column {name!r}"
    for reading in filter(_may_be_key, readings):
        name, different = reading.plain_name, reading.present.nunique()
        another = PATTERNS["another"].search(name) and is_called("person", name)
        if another and different >= _LEAST_DIFFERENT:
            reading.dropped = "another person's number, which is never learned"
        elif is_called("set_of_patients", name) and _is_of_few(reading.present):
            reading.dropped = "the number of a set of patients, which is never learned"
        elif _repeats(reading, readings):
            if not keys:
                several = int(reading.values.duplicated().sum())
                raise InputError(
                    f"{reading.name!r} repeats in {several:,} of {len(reading.values):,} rows, so "
                    f"{where} has several rows a patient; make it one row a patient, or name the "
                    f"column with --patient-id {reading.name}, and the split goes by it (if it is "
                    f"no patient, {reading.say(identifier='allowed')})."
                )
            reading.dropped = "repeats like an identifier of somebody else"
    return key


def _are_whole_or_texts(reading: Reading) -> bool:
    numbers = kinds.is_number(present := reading.present)
    return not present.empty and (kinds.are_whole(present) if numbers else reading.is_text)


def _may_be_key(reading: Reading) -> bool:
    """Whether the values are texts or whole numbers, and nobody has said what they are."""
    wish = reading.wish
    said = reading.dropped or wish.drop or wish.kind or wish.role or wish.identifier
    return not said and _are_whole_or_texts(reading)


def _are_among(reading: Reading, numbers: set[str]) -> bool:
    """Whether nearly all values, many different ones, are numbers of patients."""
    values = reading.present.map(kinds.category_text)
    if values.nunique() < max(_LEAST_DIFFERENT, len(values) / _MOST_ROWS):
        return False
    name = reading.plain_name
    named = is_called("person", name) or re.search(f"(?:^|_)id|{WORDS['another']}", name)
    long = values.str.len().median() >= 4  # numbers below 1,000 are among each other by chance
    return bool((named or long) and values.isin(numbers).mean() >= 0.9)


def _repeats(reading: Reading, readings: list[Reading]) -> bool:
    """Whether the column repeats like a patient's number in a table of visits."""
    values, different = reading.present, reading.present.nunique()
    if not max(_LEAST_DIFFERENT, len(values) / _MOST_ROWS) <= different < len(values):
        return False
    if is_called("person", reading.plain_name):
        return True
    texts = values.astype("str")
    if not _is_of_few(values) or any(forms_of(texts, True, of).any() for of in (WHOLE, CLOCK)):
        return False
    others = [one for one in readings if one is not reading]
    return _stand_together(values) or _keeps(values, others) or _are_counted(values, others)


def _is_of_few(values: pd.Series) -> bool:
    """Whether each value is that of few rows on average, as the number of a person or pair is."""
    return values.nunique() > max(_LEAST_DIFFERENT, len(values) / _MOST_ROWS * 5)


def _stand_together(values: pd.Series) -> bool:
    """Whether rows of the same value follow each other, as no measurement does.

    A table that is sorted by a measurement does it, too, but not with each value equally often.
    """
    begins = values[values != values.shift()]
    if not begins.is_unique or len(values) < len(begins) + LEAST_PATIENTS:
        return False
    found = begins.astype("str").str.findall(r"\d+")
    numbers = pd.Index([tuple(map(int, parts)) for parts in found], tupleize_cols=False)
    in_order = numbers.is_monotonic_increasing or numbers.is_monotonic_decreasing
    return values.value_counts().nunique() == 1 or bool(found.map(len).all() and not in_order)


def _are_counted(values: pd.Series, others: list[Reading]) -> bool:
    """Whether some column counts the rows of each value, as the numbers of visits do."""
    for counts in (other.values[values.index] for other in others):
        if kinds.is_number(counts) and counts.min() in (0, 1) and counts.nunique() > 1:
            if (counts - counts.min() == counts.groupby(values).rank() - 1).all():
                return True
    return False


def _keeps(values: pd.Series, others: list[Reading]) -> bool:
    """Whether rows of the same value agree in what a person keeps: sex, race and nearly the age."""
    judged, order = False, pd.Series(pd.factorize(values, sort=True)[0], values.index)
    for person in others:
        there, most = person.present, 0
        if kinds.is_number(there) and is_called("age", person.plain_name):
            most = _FEW_YEARS
        elif person.name.lower() in (*SEX_NAMES, RACE):
            there = there.map(kinds.category_text).rank(method="dense")
        else:
            continue
        pair = pd.DataFrame({"key": order, "is": there}).dropna()
        again = pair[pair["key"].duplicated(keep=False)]
        apart = (again.groupby("key")["is"].agg(np.ptp) > most).any()
        if most and (apart or abs(pair.corr("spearman").iloc[0, 1]) > _MANY):
            continue  # seen for many years, or no person but a year of birth
        if apart:
            return False
        alike = (pair["is"] - pair["is"].sample(frac=1, random_state=0).array).abs() <= most
        judged = judged or alike.mean() ** (len(again) - again["key"].nunique()) < 1e-6
    return judged
