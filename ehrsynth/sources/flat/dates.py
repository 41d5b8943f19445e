"""Dates, lengths of time and times of the day, as numbers that can be learned."""

import re
import warnings

import numpy as np
import pandas as pd

from ...errors import InputError
from ...protection import ends
from .reading import Reading, is_missing_word

MONTH = r"(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
WEEKDAY = r"(?i:mon|tue|wed|thu|fri|sat|sun)"
_TIME = r"(?:[ T]+\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?(?:\s?[AaPp][Mm])?(?:Z|[+-]\d\d:?\d\d)?)?"
_NAMED = rf"\d{{1,2}}[- ]?{MONTH}[a-z]*[- ]?\d{{4}}"
_ORDERED_DATE = r"(\d{1,2})[/.](\d{1,2})[/.](\d{4}|\d{2})" + _TIME
_SHAPE = (
    rf"(?:\d{{4}}-\d{{1,2}}-\d{{1,2}}|{_NAMED}){_TIME}|{_ORDERED_DATE}|\d{{4}}-(?:0[1-9]|1[0-2])"
)
_SHORT_YEAR = rf"\d{{1,2}}[- ]?{MONTH}[- ]?\d\d"
# Other usual ways to write a date, and how pandas reads it.
_LIKE = (
    (rf"^{WEEKDAY}[a-z]*\.?,? +", ""), (r"(\d) ?(?:UTC|GMT)$", r"\1Z"),
    (r"^(\d{4})[/.](\d{1,2})[/.](\d{1,2})\b", r"\1-\2-\3"),
    (r"^(\d{1,2})-(\d{1,2})-(\d{4})\b", r"\1/\2/\3"),
    (r"^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)?", r"\1-\2-\3T\4:\5:\6"), (r":$|:(Z)$", r"\1"),
    (rf"^({MONTH})[a-z]*[.]? *(\d{{1,2}}),? +(\d{{4}})\b", r"\2 \1 \3"),
    (rf"^({MONTH})[a-z]*[- ](\d{{4}})$", r"1 \1 \2"),
    (rf"^({_NAMED}):", r"\1 "),  # 20NOV2018:03:25, as SAS writes it
)  # fmt: skip
# Numbers that are dates: the digits of one, or the time since 1970.
_DIGITS = {"%Y%m%d": 8, "%Y%m%d%H%M": 12, "%Y%m%d%H%M%S": 14}
EPOCH = {"s": 1e10, "ms": 1e13, "us": 1e16, "ns": np.inf}  # the first number that is too large
_NAMED_TIME = re.compile(
    r"(?:^|[_ ])(?:time|date|ts|dt|dttm|epoch|unix|dob|dod|birth|death)(?:$|[_ ])"
    r"|(?:time|date|stamp|_at)$"
)
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
    text = reading.present.astype(str)
    plain = _plainly(text)
    shape = plain.str.fullmatch(_SHAPE)
    short = plain.str.fullmatch(_SHORT_YEAR)
    if short.any() and short.mean() >= 0.9:
        _refuse_short_year(reading.name, short.idxmax())
    if not shape.any() or (shape.mean() < 0.9 and not asked):
        return None
    reading.day_first = first_is_day(reading.name, plain[shape])
    found = to_dates(plain, reading.day_first)
    reading.refuse_first(text, found.isna() & ~is_missing_word(text), "holds dates")
    return found.reindex(values.index)


def _plainly(text: pd.Series) -> pd.Series:
    """Dates in one of the ways that pandas reads; other texts as they are."""
    distinct = text[text.str.contains(r"\d\d") & (text.str.len() < 48)].drop_duplicates()
    made = distinct.astype(object)
    for way, like in _LIKE if len(made) else ():
        made = made.str.replace(way, like, regex=True)
    changed = made[made != distinct]
    return text.replace(dict(zip(distinct[changed.index], changed, strict=True)))


def to_dates(text: pd.Series, day_first: bool) -> pd.Series:
    """Texts as dates, missing where one is none."""
    text = _plainly(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pandas, about texts that are looked at next
        found = pd.to_datetime(
            text.where(text.str.fullmatch(_SHAPE)), format="mixed", dayfirst=day_first,
            errors="coerce", utc=True,
        )  # fmt: skip
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
    found = pd.to_datetime(
        text.where(text.str.len() == _DIGITS[form]), format=form, errors="coerce"
    )
    return found.where(found.dt.year.between(*_YEARS))


def _from_numbers(reading: Reading, asked: bool) -> pd.Series | None:
    numbers = reading.present.astype("float64")
    form = number_form(numbers) if len(numbers) > 10 or asked else "s"
    if form not in _DIGITS:
        # A number that is given out may look like a time: the name, or whole seconds, must say it.
        said = asked or _NAMED_TIME.search(reading.name.lower())
        in_seconds = form == "ms" and np.all(numbers % 1000 == 0)
        recent = numbers.abs() >= 1e-2 * EPOCH[form] if np.isfinite(EPOCH[form]) else numbers > 1e17
        if not (said or in_seconds) or recent.mean() < (0.5 if asked else 0.9):
            return None
    found = of_numbers(numbers)
    reading.refuse_first(reading.present, found.isna(), "holds dates")
    return found.reindex(reading.values.index)


def _refuse_short_year(name: str, place: int) -> None:
    raise InputError(
        f"Column {name!r} holds dates with two digits for the year, such as in row {place + 1}; "
        "write them as 2020-01-31."
    )


def first_is_day(name: str, text: pd.Series) -> bool:
    """Of dates like 3/4/2020, whether the 3 is the day."""
    parts = text.str.extract(_ORDERED_DATE).dropna()
    if parts.empty:
        return False
    row = parts.index[0] + 1
    if (parts[2].str.len() == 2).any():
        _refuse_short_year(name, parts.index[0])
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
