"""Dates, lengths of time and times of the day, as numbers that can be learned."""

import warnings

import numpy as np
import pandas as pd

from ...errors import InputError, first_bad
from ...protection import ends
from .reading import Reading, is_missing_word

_TIME = r"(?:[ T]+\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?(?:\s?[AaPp][Mm])?(?:Z|[+-]\d\d:?\d\d)?)?"
_ISO = r"\d{4}-\d{1,2}-\d{1,2}" + _TIME
_NAMED_MONTH = r"\d{1,2}[- ]?[A-Za-z]{3}[- ]?\d{4}" + _TIME
_ORDERED_DATE = r"(\d{1,2})[/.](\d{1,2})[/.](\d{4}|\d{2})" + _TIME
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d)?"
HOURS, DAYS, _SINCE = "hours after midnight", "days", "days since "
_DAY = pd.Timedelta(days=1)
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
        return _from_numbers(reading)
    if not reading.is_text:
        return None
    text = reading.present.astype(str)
    shape = text.str.fullmatch(f"{_ISO}|{_NAMED_MONTH}|{_ORDERED_DATE}")
    if not shape.any() or (shape.mean() < 0.9 and not asked):
        return None
    reading.day_first = first_is_day(reading.name, text[shape])
    found = to_dates(text, reading.day_first)
    reading.refuse_first(text, found.isna() & ~is_missing_word(text), "holds dates")
    return found.reindex(values.index)


def to_dates(text: pd.Series, day_first: bool) -> pd.Series:
    """Texts as dates, missing where one is none."""
    shape = text.str.fullmatch(f"{_ISO}|{_NAMED_MONTH}|{_ORDERED_DATE}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pandas, about texts that are looked at next
        found = pd.to_datetime(
            text.where(shape), format="mixed", dayfirst=day_first, errors="coerce", utc=True
        )
    return found.where(found.dt.year.between(*_YEARS))


def _from_numbers(reading: Reading) -> pd.Series | None:
    plain = reading.present.to_numpy(float)
    if not np.all((plain > 18e6) & (plain < 21.01e6)) or np.any(plain % 1) or len(plain) <= 10:
        return None
    text = reading.present.astype("int64").astype(str)
    found = pd.to_datetime(text, format="%Y%m%d", errors="coerce")
    return found.reindex(reading.values.index) if found.notna().all() else None


def first_is_day(name: str, text: pd.Series) -> bool:
    """Of dates like 3/4/2020, whether the 3 is the day."""
    parts = text.str.extract(_ORDERED_DATE).dropna()
    if parts.empty:
        return False
    row = parts.index[0] + 1
    if (parts[2].str.len() == 2).any():
        raise InputError(
            f"Column {name!r} holds dates with two digits for the year, such as in row {row}; "
            "write them as 2020-01-31."
        )
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
    if bad := first_bad(dates, dates.notna() & ~dates.dt.year.between(*_YEARS)):
        raise InputError(
            f"Column {reading.name!r} has a date in the year {bad.value.year} in row "
            f"{bad.label + 1}, which stands for no date as a rule; leave it empty."
        )
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
    return ((_in_utc(dates) - origin) / _DAY).round(2)


def _in_utc(dates: pd.Series) -> pd.Series:
    return dates if dates.dt.tz is None else dates.dt.tz_convert("UTC").dt.tz_localize(None)


def hours_of(text: pd.Series) -> pd.Series:
    """Times of the day as hours after midnight, missing where a text is none."""
    text = text.where(text.str.fullmatch(_CLOCK)).str.replace(r"^(..:..)$", r"\1:00", regex=True)
    return (pd.to_timedelta(text) / pd.Timedelta(hours=1)).round(2)
