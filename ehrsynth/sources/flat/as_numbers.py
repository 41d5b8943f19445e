"""Columns of numbers, with or without a unit, and of dates and times, which become numbers."""

import re
from dataclasses import replace
from itertools import chain

import numpy as np
import pandas as pd

from ... import kinds
from ...protection import LEAST_PATIENTS, ends, told
from ...schema import Column, role_of
from .decimals import grouped, joined, plain, sign_of_column, take_apart, to_numbers
from .reading import ICD_NAME, Reading, are_codes
from .words import LINES, PATTERNS, WORDS, is_called

FEW = 8  # whole numbers of few values are codes or grades: each value is a category of its own
_CODE, _CODES = r"[A-Za-z]\d{1,4}(?:\.\d+)?", 3  # "V57" or "E885.9"; from so many different ones on
_LIMIT = r"[<>≤≥]=?\s*\d[\d.,]*"  # of what can be measured, such as "<0.3"
_COMMA = r"[+-]?\d+,\d+|[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?"
_OLDEST = 120
_MOST_SENTINELS = 3  # at either end
_ORDERED = r"^\d{1,2}([/.-])\d{1,2}([/.-])\d{4}(?!\d)"  # 3/4/2020
# Each part of a date, and what strftime calls it; what is none of it stays.
_PARTS = [(re.compile(part), form) for part, form in (line.split("  ") for line in LINES["dates"])]
WHOLE = re.compile(f"(?=.*%[yY])(?=.*%[mbB]){WORDS['between']}")
CLOCK = re.compile("%[HI]:%M(?::%S(?:.%f)?)?(?: ?%p)?")  # a time of the day, in the same way
_MONTHS = [[m.split("/") for m in line.split()] for line in LINES["months"]]
ENGLISH = pd.date_range("2000-01", periods=12, freq="MS").month_name().tolist()
_SPOKEN = [line.split("  ") for line in LINES["spoken"]]
_LONGEST = 48  # characters
# Numbers that are dates: the digits of one, or the time since 1970.
_DIGITS = {"%Y%m": 6, "%Y%m%d": 8, "%Y%m%d%H%M": 12, "%Y%m%d%H%M%S": 14}
EPOCH = {"s": 1e10, "ms": 1e13, "us": 1e16, "ns": np.inf}  # the first number that is too large
_CLOCKS = {100 * hour + minute for hour in range(24) for minute in range(60)}
_SERIAL = (15_000, 60_000)  # days since 1900 or 1960
_LEAST_HOURS = 3  # different ones: 1:10, 1:20 and 1:40 are titers
HOURS, DAYS = "hours after midnight", "days"
_1970, _DAY, _PLACES = pd.Timestamp(0).as_unit("us"), pd.Timedelta(days=1).as_unit("us"), 5
# Other years stand for no date, such as 9999; MIMIC-IV shifts its dates into the 22nd century.
_YEARS = (1800, 2300)


def take_numbers(reading: Reading) -> None:
    """Texts that are numbers, all with one unit or none, as numbers; what is unclear is refused."""
    text, asked = reading.without_words(), reading.wish.kind == "continuous"
    written = joined(text) if asked else text
    numbers = to_numbers(written, sign_of_column(written, reading.sign))
    parts, unit, texts = take_apart(written), "", written
    bare, units = parts["unit"].isna() & numbers.notna(), parts["unit"].nunique()
    there = parts["unit"].count() + (bare.sum() if units == 1 else 0)  # or in some cells only
    if units > 1 and not asked and written.str.fullmatch(r"\d ?[A-Z]").all():
        return  # 1D, 2F
    if units and (asked or there >= kinds.NUMERIC_SHARE * len(written)):
        unit = _only_unit(reading, parts)
        texts = parts["number"].mask(bare & asked, written).dropna().astype("str")
        numbers = to_numbers(texts, sign_of_column(texts, reading.sign)).reindex(written.index)
    elif not asked and are_codes(written):
        return
    if reading.sign != "," and not asked and grouped(texts):
        reading.refuse(
            "has numbers below 1000 without a point and others with three digits after it, so that "
            "1.234 may be 1234", "write thousands without a point", kind="continuous",
        )  # fmt: skip
    comma, wrong = plain(texts).str.fullmatch(_COMMA), numbers.isna()
    if not unit and not asked:
        likely = kinds.spoiled(written, ~wrong | comma | written.str.fullmatch(_LIMIT))
        if (wrong.any() or len(text) < len(reading.present)) and not likely:
            return
        odd = written[wrong]  # codes of which most happen to be numbers, such as ICD-9's
        if odd.str.fullmatch(_CODE).all() and odd.nunique() >= _CODES:
            return
    advice, first = "", wrong.idxmax() if wrong.any() else None
    if unit and first is not None and bare[first]:
        advice = f"write the unit, or {reading.say(kind='continuous')} if all are in {unit}"
    elif comma.get(first):
        advice = "write 1,5 as 1.5 and 1,234 as 1234"
    holds = f"should hold numbers in {unit}".removesuffix(" in ")
    reading.refuse_first(written, wrong, holds, advice)
    reading.note_words(text)
    if unit and not asked and (numbers.nunique() <= 2 or kinds.few_codes(numbers, FEW)):
        # "5 mg" and "10 mg": sizes of one tablet, categories as whole numbers would be.
        sizes = [f"{number:g} {unit}" for number in np.sort(numbers.unique())]
        shown = numbers.map(lambda number: f"{number:g} {unit}")
        reading.values = shown.reindex(reading.values.index).astype(pd.CategoricalDtype(sizes))
        return
    reading.values, reading.unit = numbers.reindex(reading.values.index), unit
    if unit:
        reading.notes.append(f"numbers in {unit}")


def _only_unit(reading: Reading, parts: pd.DataFrame) -> str:
    """The unit of all of the numbers, as it is written most often."""
    counts = parts["unit"].value_counts()
    spelled = [parts.loc[parts["unit"] == unit, "written"].mode()[0] for unit in counts.index[:2]]
    if len(counts) > 1:
        row = parts.index[parts["unit"] == counts.index[1]][0] + 1
        reading.refuse(
            f"has numbers in {spelled[0]} ({counts.iloc[0]:,} rows) and in {spelled[1]} "
            f"({counts.iloc[1]:,} rows, first in row {row})", "write all in one unit",
            kind="categorical",
        )  # fmt: skip
    return spelled[0]


def refuse_icd_numbers(reading: Reading) -> None:
    """Refuse ICD codes that have become numbers: 250 and 250.00 are two, and 38 was 038."""
    present = reading.present
    if isinstance(present.dtype, pd.CategoricalDtype):
        present = present.astype(present.cat.categories.dtype)
    floats = reading.is_text and present.astype("str").str.fullmatch(r"\d+\.0").all()
    if not (ICD_NAME.search(reading.plain_name) and (floats or kinds.is_number(present))):
        return
    numbers = present.to_numpy(float)
    few = 2 if np.any(numbers % 1) or "icd" in reading.plain_name else FEW
    if present.nunique() > few and (floats or np.any(numbers % 1) or numbers.min() < 100):
        what = "holds ICD codes as numbers, and 250 and 250.00 are different codes and 38 was 038"
        reading.refuse(what, "write it as text", kind="categorical")


def continuous(reading: Reading) -> Column:
    """A column of numbers, of which only an age has bounds; warns of values that stand for none."""
    name, present = reading.name, reading.present
    values = pd.to_numeric(present, errors="coerce").astype("float64")
    wrong = ~(values.abs() <= kinds.LARGEST)
    reading.refuse_first(present, wrong, "should hold numbers, none infinite or beyond 1e100,")
    places, numbers = kinds.decimals(values), values.to_numpy()
    column = Column(name, "continuous", role_of(name), unit=reading.unit, decimals=places)
    aged = is_called("age", reading.plain_name) and not reading.unit
    if aged and reading.wish.bounds is None:
        outside = numbers[(numbers < 0) | (numbers > _OLDEST)]
        near = np.unique(outside[(outside > _OLDEST) & (outside < 2 * _OLDEST)])
        if len(outside) <= len(numbers) / 4 and len(near) <= 5:  # else not in years
            if len(outside):
                reading.warnings.append(
                    f"{told(len(outside))} values outside 0 to {_OLDEST} are no ages and count as "
                    f"not measured; where that is wrong, {reading.say(bounds=[0, 130])}"
                )
            return replace(column, lower=0.0, upper=float(_OLDEST))
    found = _sentinels(numbers, kinds.origin_of(reading.unit))
    texts = [_as_written(reading, numbers, value) for value in found]
    if found:
        said = zip(texts, (f"({(numbers == v).sum():,} rows)" for v in found), strict=True)
        reading.warnings.append(
            f"{', '.join(f'{text} {rows}' for text, rows in said)} lies far from all other values "
            "and is learned as a value; if it means that there is none, "
            f"{reading.say(missing=texts)}"
        )
    return column


def _as_written(reading: Reading, numbers: np.ndarray, value: float) -> str | float:
    """A number as the file has it: a date, or with its unit, else as a number."""
    if reading.written is not None and reading.unit:
        text = reading.written[reading.present.index[numbers == value][0]]
        return kinds.category_text(text).removesuffix(" 00:00:00")
    return int(value) if float(value).is_integer() else float(value)


def _sentinels(numbers: np.ndarray, origin: pd.Timestamp | None) -> list[float]:
    """Values of several patients that lie far from all others, as -999 does: codes for no value."""
    found: list[float] = []
    values, counts = np.unique(numbers, return_counts=True)
    for end in (0, -1):
        for _ in range(_MOST_SENTINELS):
            if len(values) < 4:
                break
            rest = np.delete(values, end)
            value, span = values[end], rest[-1] - rest[0]
            core = np.quantile(rest, 0.9) - np.quantile(rest, 0.1)
            gap = rest[0] - value if end == 0 else value - rest[-1]
            odd = value < 0 <= rest[0] or gap > span or (gap > 2 * core and abs(value) >= 99)
            likely = is_called("sentinel", f"{value:g}")
            if origin is not None:  # the ends of a year, also where only far more frequent
                day = (origin + pd.Timedelta(days=value)).strftime("%m-%d")
                likely = day in ("01-01", "12-30", "12-31", "11-11")
                odd = odd or counts[end] > 10 * np.median(np.delete(counts, end))
            if counts[end] < LEAST_PATIENTS or not likely or not odd:
                break
            found.append(float(value))
            values, counts = rest, np.delete(counts, end)
    return found


# -- dates, lengths of time and times of the day ----------------------------------------------


def take_time(reading: Reading) -> None:
    """Turn dates, lengths of time and times of the day into numbers with a unit, in place."""
    values, asked = reading.values, reading.wish.kind == "date"
    dates = _dates(reading, asked)
    if dates is not None:
        _take_days(reading, dates)
    elif asked:
        wrong, advice = reading.values.notna(), "write them as 2020-01-31"
        reading.refuse_first(reading.values, wrong, "should hold dates", advice)
    elif pd.api.types.is_timedelta64_dtype(values):
        reading.values, reading.unit = values / _DAY, DAYS
    elif reading.is_text:
        _take_spans(reading)


def _take_spans(reading: Reading) -> None:
    """Turn texts that are times of the day, or lengths of time, into hours or days, in place."""
    text = reading.without_words()
    shape = text.str.fullmatch(WORDS["duration"]) | forms_of(text, True, CLOCK).ne("")
    begins = text.str.extract(r"^(\d+):")[0].dropna()
    titers = begins.str.len().min() == 1 and begins.nunique() < _LEAST_HOURS
    if text.empty or shape.mean() < kinds.NUMERIC_SHARE or titers:
        return
    hours, days = hours_of(text), days_of(text)
    numbers, unit, what = hours, HOURS, "times of the day"
    if hours.isna().any() and days.count() >= hours.count():
        numbers, unit, what = days, DAYS, "lengths of time"
    advice = "write times of the day as 13:05, and lengths of time as 26:05:00 or as numbers"
    reading.refuse_first(text, numbers.isna(), f"holds {what}", advice)
    reading.note_words(text)
    reading.values, reading.unit = numbers.reindex(reading.values.index), unit
    reading.notes.append(f"{what}, read as {unit}")


def _dates(reading: Reading, asked: bool) -> pd.Series | None:
    """Texts or numbers like 20200131 that are dates, as dates; None when they are not."""
    values = reading.values
    if pd.api.types.is_datetime64_any_dtype(values):
        return values
    if pd.api.types.is_numeric_dtype(reading.present):
        return _from_numbers(reading, asked)
    if not reading.is_text:
        return None
    text = reading.without_words()
    forms = forms_of(text, True)
    shape = forms.ne("")
    if not shape.any() or (shape.mean() < kinds.NUMERIC_SHARE and not asked):
        return None
    reading.day_first = first_is_day(text[shape])
    wrong, what = forms.str.contains("%y", regex=False), "with two digits for the year"
    if not wrong.any() and reading.day_first is None:
        wrong, what = text.str.match(_ORDERED), "of which nobody can tell day from month"
    if wrong.any():
        what = f"holds dates {what}, such as in row {wrong.idxmax() + 1}"
        reading.refuse(what, "write them as 2020-01-31")
    found = to_dates(text, bool(reading.day_first))
    reading.refuse_first(text, found.isna(), "holds dates")
    reading.note_words(text)
    return found.reindex(values.index)


def in_english(text: pd.Series) -> tuple[pd.Series, list[str]]:
    """Dates as they are in English, and what the months are called in them if not as there."""
    for part, usual in _SPOKEN:
        text = text.str.replace(part, usual, regex=True)
    words = {w.casefold() for found in text.str.findall(r"[^\W\d_]{3,}").dropna() for w in found}
    english = {name.casefold() for month in ENGLISH for name in (month, month[:3])}
    names = next((line for line in _MONTHS if words and words <= set(chain(*line))), [])
    if not names or words <= english:
        return text, []
    called = {name: one for one, of in zip(ENGLISH, names, strict=True) for name in of}
    turned = text.str.replace(r"[^\W\d_]{3,}", lambda m: called[m[0].casefold()], regex=True)
    return turned, [next((n for n in of if n in words), of[0]).title() for of in names]


def forms_of(text: pd.Series, day_first: bool, whole: re.Pattern[str] = WHOLE) -> pd.Series:
    """How strftime would write these dates, "" for a text that is none."""
    ordered = (re.compile(_ORDERED), r"%d\1%m\2%Y" if day_first else r"%m\1%d\2%Y")
    likely = text[text.str.contains(r"\d\d", regex=True) & (text.str.len() <= _LONGEST)]
    found = dict.fromkeys(likely.unique(), "")
    for one, form in zip(found, in_english(pd.Series(found.keys()))[0], strict=True):
        for part, called in (ordered, *_PARTS):
            form = part.sub(called, form, count=1)
        if whole.fullmatch(form):
            found[one] = form.replace("%H", "%I") if "%p" in form else form
    return text.map(lambda one: found.get(one, ""))


def to_dates(text: pd.Series, day_first: bool) -> pd.Series:
    """Texts as dates, missing where one is none."""
    found = parsed(text, forms_of(text, day_first))
    return found.where(found.dt.year.between(*_YEARS))


def parsed(text: pd.Series, forms: pd.Series) -> pd.Series:
    plain = in_english(text)[0]
    found = [pd.Series(pd.NaT, text.index, dtype="datetime64[us, UTC]")[:0]]
    for form in filter(None, forms.unique()):
        found.append(pd.to_datetime(plain[forms == form], format=form, errors="coerce", utc=True))
    return pd.concat([one.astype("datetime64[us, UTC]") for one in found]).reindex(text.index)


def number_form(numbers: pd.Series) -> str:
    """How most of these numbers are dates, if they are: by their digits, or a unit since 1970."""
    size = float(numbers.abs().median())
    form = next((f for f, n in _DIGITS.items() if 1.8 <= size / 10 ** (n - 1) < 2.301), "")
    if form and of_numbers(numbers, form).notna().mean() >= 0.9:
        return form
    return next(unit for unit, most in EPOCH.items() if size < most)


def of_numbers(numbers: pd.Series, form: str = "") -> pd.Series:
    """Numbers that are dates as dates, missing where one is none."""
    form = form or number_form(numbers)
    if form in _DIGITS:
        text = numbers.where(numbers % 1 == 0).astype("Int64").astype("str")
        text = text.where(text.str.len() == _DIGITS[form])
        found = pd.to_datetime(text, format=form, errors="coerce")
    else:
        found = pd.to_datetime(numbers, unit=form, errors="coerce")
    return found.where(found.dt.year.between(*_YEARS))


def _from_numbers(reading: Reading, asked: bool) -> pd.Series | None:
    numbers, name = reading.present.astype("float64"), reading.plain_name
    form = number_form(numbers) if len(numbers) > 10 or asked else "s"
    if form not in _DIGITS:  # a number that is given out may look like a time: the name must say it
        recent = numbers.abs() >= 1e-2 * EPOCH[form] if np.isfinite(EPOCH[form]) else numbers > 1e17
        said = asked or PATTERNS["time"].search(reading.name.lower())
        if not said or recent.mean() < (0.5 if asked else 0.9):
            years = numbers.between(*_YEARS).mean() > 0.5 or numbers.nunique() <= FEW
            serial = numbers.between(*_SERIAL).mean() > 0.9 and is_called("event", name)
            if not asked and said and numbers.isin(_CLOCKS).all() and numbers.nunique() > 20:
                what = "is called a time and holds numbers such as 1430"
                reading.refuse(what, "write them as 14:30", kind="continuous")
            if not asked and (serial or is_called("date", name)) and not years:
                what = "is called a date but holds other numbers, as days since 1900, 1960 or 1970"
                reading.refuse(what, "write dates as 2020-01-31", kind="continuous")
            return None
    found = of_numbers(numbers)
    reading.refuse_first(reading.present, found.isna(), "holds dates")
    return found.reindex(reading.values.index)


def first_is_day(text: pd.Series) -> bool | None:
    """Of dates like 3/4/2020, whether the 3 is the day; None where nobody can tell."""
    parts = text.str.extract(r"^(\d{1,2})[/.-](\d{1,2})[/.-]\d{4}(?!\d)").dropna()
    if parts.empty:
        return False
    first, second = parts.astype(int).max()
    dots = text[parts.index].str.contains(r"\d\.\d", regex=True).all()
    if first <= 12 and second <= 12 and not dots:
        return None
    return bool(first > 12 or (dots and second <= 12))


def _take_days(reading: Reading, dates: pd.Series) -> None:
    """Days since the year of the earliest dates began, and the unit that says so."""
    far = dates.notna() & ~dates.dt.year.between(*_YEARS)
    texts = dates.astype("str").str.removesuffix(" 00:00:00")
    reading.refuse_first(texts, far, "holds dates")
    # Neither the earliest date nor its year: they are a patient's.
    first = np.nan_to_num(ends(days_since(dates, _1970).dropna().to_numpy())[0])
    origin = pd.Timestamp((_1970 + int(first // 1) * _DAY).year, 1, 1)
    reading.values, reading.unit = days_since(dates, origin), f"days since {origin:%Y-%m-%d}"
    reading.notes.append(f"dates, read as {reading.unit}")


def days_since(dates: pd.Series, origin: pd.Timestamp) -> pd.Series:
    """Dates, in UTC where they say their zone, as days since that day."""
    if dates.dt.tz is not None:
        dates = dates.dt.tz_convert("UTC").dt.tz_localize(None)
    return ((dates.dt.as_unit("us") - origin.as_unit("us")) / _DAY).round(_PLACES)  # ns end 2262


def hours_of(text: pd.Series) -> pd.Series:
    """Times of the day as hours after midnight, missing where a text is none."""
    found = parsed(text, forms_of(text, True, CLOCK))
    return ((found - found.dt.normalize()) / pd.Timedelta(hours=1)).round(_PLACES)


def days_of(text: pd.Series) -> pd.Series:
    """Lengths of time as days, missing where a text is none, or is 30:15."""
    spans = text.where(text.str.fullmatch(WORDS["duration"])).str.replace(",", "", regex=False)
    spans = spans.str.replace(r"(?<=[\d ])d\b", "D", regex=True)  # as pandas 3 spells it
    return (pd.to_timedelta(spans, errors="coerce") / _DAY).round(_PLACES)


OF_TIME = {HOURS: hours_of, DAYS: days_of}
