"""Dates, lengths of time and times of the day, as numbers that can be learned."""

import re

import numpy as np
import pandas as pd

from ...errors import InputError
from ...protection import ends
from .reading import Reading, is_missing_word
from .words import WORDS

_ORDERED = r"^\d{1,2}([/.-])\d{1,2}([/.-])\d{4}(?!\d)"  # 3/4/2020
# Each part of a date, and what strftime calls it; what is none of it stays.
_PARTS = tuple((re.compile(part), form) for part, form in (
    line.split("  ") for line in WORDS["dates"].strip().split("\n")
))  # fmt: skip
_WHOLE = re.compile(r"(?=.*%[yY])(?=.*%[mbB])(?:%[YymdHIMSfpzbBaA]|[-/., :T])*")
_LONGEST = 48  # characters
# Numbers that are dates: the digits of one, or the time since 1970.
_DIGITS = {"%Y%m%d": 8, "%Y%m%d%H%M": 12, "%Y%m%d%H%M%S": 14}
EPOCH = {"s": 1e10, "ms": 1e13, "us": 1e16, "ns": np.inf}  # the first number that is too large
_NAMED_TIME = re.compile(WORDS["time"])
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d)?"
HOURS, DAYS, _SINCE = "hours after midnight", "days", "days since "
_DAY, _PLACES = pd.Timedelta(days=1), 5  # to the second
# Other years stand for no date, such as 9999; MIMIC-IV shifts its dates into the 22nd century.
_YEARS = (1800, 2300)


def take_time(reading: Reading) -> None:
    """Turn dates, lengths of time and times of the day into numbers with a unit, in place."""
    values, asked = reading.values, reading.wish.kind == "date"
    dates = _dates(reading, asked)
    if dates is not None:
        _take_days(reading, dates)
    elif asked:
        reading.refuse_first(
            reading.present, reading.present.notna(), "should hold dates",
            "write them as 2020-01-31",
        )  # fmt: skip
    elif pd.api.types.is_timedelta64_dtype(values):
        reading.values, reading.unit = values / _DAY, DAYS
    elif reading.is_text and reading.present.astype(str).str.fullmatch(_CLOCK).all():
        hours = hours_of(reading.present.astype(str))
        reading.values, reading.unit = hours.reindex(values.index), HOURS
        reading.notes.append(f"times of the day, read as {HOURS}")


def _dates(reading: Reading, asked: bool) -> pd.Series | None:
    """Texts or numbers like 20200131 that are dates, as dates; None when they are not."""
    values = reading.values
    if pd.api.types.is_datetime64_any_dtype(values):
        return values
    if pd.api.types.is_numeric_dtype(reading.present):
        return _from_numbers(reading, asked)
    if not reading.is_text:
        return None
    text = reading.present.astype("str")
    shape = forms_of(text, True).ne("")
    if not shape.any() or (shape.mean() < 0.9 and not asked):
        return None
    reading.day_first = first_is_day(reading.name, text[shape])
    found = to_dates(text, reading.day_first)
    reading.refuse_first(text, found.isna() & ~is_missing_word(text), "holds dates")
    return found.reindex(values.index)


def forms_of(text: pd.Series, day_first: bool) -> pd.Series:
    """How strftime would write these dates, "" for a text that is none."""
    ordered = (re.compile(_ORDERED), r"%d\1%m\2%Y" if day_first else r"%m\1%d\2%Y")
    likely = text[text.str.contains(r"\d\d", regex=True) & (text.str.len() <= _LONGEST)]
    found = dict.fromkeys(likely.unique(), "")
    for one in found:
        form = one
        for part, called in (ordered, *_PARTS):
            form = part.sub(called, form, count=1)
        if _WHOLE.fullmatch(form):
            found[one] = form.replace("%H", "%I") if "%p" in form else form
    return text.map(lambda one: found.get(one, ""))


def to_dates(text: pd.Series, day_first: bool) -> pd.Series:
    """Texts as dates, missing where one is none."""
    forms = forms_of(text, day_first)
    plain = text.str.replace(r"(\d ?)(?:UTC|GMT)$", r"\1Z", regex=True)
    parsed = [pd.Series(pd.NaT, text.index, dtype="datetime64[us, UTC]")[:0]]
    for form in forms.unique():
        of_form = plain[forms == form]
        parsed.append(pd.to_datetime(of_form, format=form or "none", errors="coerce", utc=True))
    found = pd.concat([one.astype("datetime64[us, UTC]") for one in parsed]).reindex(text.index)
    return found.where(found.dt.year.between(*_YEARS))


def number_form(numbers: pd.Series) -> str:
    """How most of these numbers are dates, if they are: by their digits, or a unit since 1970."""
    size = float(numbers.abs().median())
    form = next((f for f, n in _DIGITS.items() if 1.8 <= size / 10 ** (n - 1) < 2.301), "")
    if form and _parsed(numbers, form).notna().mean() >= 0.9:
        return form
    return next(unit for unit, most in EPOCH.items() if size < most)


def of_numbers(numbers: pd.Series) -> pd.Series:
    """Numbers that are dates as dates, missing where one is none."""
    form = number_form(numbers)
    if form in _DIGITS:
        return _parsed(numbers, form)
    found = pd.to_datetime(numbers, unit=form, errors="coerce")
    return found.where(found.dt.year.between(*_YEARS))


def _parsed(numbers: pd.Series, form: str) -> pd.Series:
    text = numbers.where(numbers % 1 == 0).astype("Int64").astype("str")
    text = text.where(text.str.len() == _DIGITS[form])
    found = pd.to_datetime(text, format=form, errors="coerce")
    return found.where(found.dt.year.between(*_YEARS))


def _from_numbers(reading: Reading, asked: bool) -> pd.Series | None:
    numbers = reading.present.astype("float64")
    form = number_form(numbers) if len(numbers) > 10 or asked else "s"
    if form not in _DIGITS:
        # A number that is given out may look like a time: the name, or whole seconds, must say it.
        said = asked or _NAMED_TIME.search(reading.name.lower())
        in_seconds = form == "ms" and np.all(numbers % 1000 == 0)
        if np.all(numbers % 100_000 == 0):  # or days; else a number that a sheet cut to 1.23457E+11
            in_seconds = in_seconds and np.all(numbers % 86_400_000 == 0)
        recent = numbers.abs() >= 1e-2 * EPOCH[form] if np.isfinite(EPOCH[form]) else numbers > 1e17
        if not (said or in_seconds) or recent.mean() < (0.5 if asked else 0.9):
            return None
    found = of_numbers(numbers)
    reading.refuse_first(reading.present, found.isna(), "holds dates")
    return found.reindex(reading.values.index)


def first_is_day(name: str, text: pd.Series) -> bool:
    """Of dates like 3/4/2020, whether the 3 is the day."""
    if (short := forms_of(text, True).str.contains("%y", regex=False)).any():
        raise InputError(
            f"Column {name!r} holds dates with two digits for the year, such as in row "
            f"{short.idxmax() + 1}; write them as 2020-01-31."
        )
    parts = text.str.extract(r"^(\d{1,2})[/.-](\d{1,2})[/.-]\d{4}(?!\d)").dropna()
    if parts.empty:
        return False
    row = parts.index[0] + 1
    first, second = (int(parts[i].astype(int).max()) for i in (0, 1))
    dots = text[parts.index].str.contains(r"\d\.\d", regex=True).all()
    if first <= 12 and second <= 12 and not dots:
        raise InputError(
            f"Column {name!r} holds dates, such as in row {row}, of which nobody can tell day "
            "from month; write them as 2020-01-31."
        )
    return bool(first > 12 or (dots and second <= 12))


def _take_days(reading: Reading, dates: pd.Series) -> None:
    """Days since the year of the earliest dates began, and the unit that says so."""
    far = dates.notna() & ~dates.dt.year.between(*_YEARS)
    texts = dates.astype("str").str.removesuffix(" 00:00:00")
    reading.refuse_first(texts, far, "holds dates")
    dates = _in_utc(dates)
    # Neither the earliest date nor its year: they are a patient's.
    first, _ = ends(((dates.dropna() - pd.Timestamp(0)) / _DAY).to_numpy(float))
    first = first if np.isfinite(first) else 0.0
    origin = pd.Timestamp((pd.Timestamp(0) + first * _DAY).year, 1, 1)
    reading.unit = f"{_SINCE}{origin:%Y-%m-%d}"
    reading.values = days_since(dates, origin)
    reading.notes.append(f"dates, read as {reading.unit}")


def origin_of(unit: str) -> pd.Timestamp | None:
    """The day that a unit such as "days since 1950-01-01" counts from, or None."""
    return pd.Timestamp(unit.removeprefix(_SINCE)) if unit.startswith(_SINCE) else None


def days_since(dates: pd.Series, origin: pd.Timestamp) -> pd.Series:
    """Dates, in UTC where they say their zone, as days since that day."""
    return ((_in_utc(dates) - origin) / _DAY).round(_PLACES)


def _in_utc(dates: pd.Series) -> pd.Series:
    return dates if dates.dt.tz is None else dates.dt.tz_convert("UTC").dt.tz_localize(None)


def hours_of(text: pd.Series) -> pd.Series:
    """Times of the day as hours after midnight, missing where a text is none."""
    text = text.where(text.str.fullmatch(_CLOCK)).str.replace(r"^(..:..)$", r"\1:00", regex=True)
    return (pd.to_timedelta(text) / pd.Timedelta(hours=1)).round(2)
