"""How a file writes its numbers and dates."""

import re
from typing import Any

import pandas as pd

from ...protection import LEAST_PATIENTS
from .dates import to_dates
from .decimals import sign_of_column

_NUMBER = r"^([^\d+.,-]*)([+-]?(?:\d[\d.,]*|[.,]\d+))(.*)$"
# What stands for each part of a date.
_DATES = (
    (r"(:.*?)(?:Z|[+-]\d\d:?\d\d)$", r"\1%z"),
    (r"\d{1,2}:\d\d:\d\d\.\d+", "%H:%M:%S.%f"), (r"\d{1,2}:\d\d:\d\d", "%H:%M:%S"),
    (r"\d{1,2}:\d\d", "%H:%M"), (r"[AaPp][Mm](?=$|%z)", "%p"),
    (r"\d{4}-\d{1,2}-\d{1,2}", "%Y-%m-%d"), (r"^\d{8}(?=$|\.0$)", "%Y%m%d"),
    (r"\d{1,2}([- ]?)[A-Za-z]{3}([- ]?)\d{4}", r"%d\1%b\2%Y"),
)  # fmt: skip
_ORDERED = r"\d{1,2}([/.])\d{1,2}([/.])\d{4}"
_STEPS = ("D", "h", "30min", "15min", "10min", "5min", "min", "s", "ms", "us")
# What is done to a text that strftime makes.
_TURNS = {
    "": lambda text: text,
    "upper": str.upper,
    "lower": str.lower,
    "short": lambda text: re.sub(r"(?<![\d:T ])0(?=\d)", "", text),  # 3/4/2020 05:06
    "all short": lambda text: re.sub(r"(?<![\d:])0(?=\d)", "", text),  # 3/4/2020 5:06
}


def number_style(texts: pd.Series, sign: str) -> dict[str, Any]:
    """How a column writes its numbers: its signs, decimals, and what stands around them."""
    counts = texts.astype("str").value_counts()
    parts = counts.index.to_series().str.extract(_NUMBER)
    decimal = sign_of_column(parts[1], sign) or "."
    other = "," if decimal == "." else "."
    places = parts[1].str.partition(decimal)[2].str.len()
    before, after = (parts[side].mode()[0] for side in (0, 2))
    if parts[1].isna().any() or re.match(r"[eE][+-]?\d", after):
        return {}
    places = places.repeat(counts)
    most = int(places.nlargest(LEAST_PATIENTS).min())  # no single patient's decimals
    return {
        "decimal": decimal, "before": before, "after": after, "places": most,
        "thousands": other if parts[1].str.contains(other, regex=False).any() else "",
        "fixed": bool((places != most).sum() < LEAST_PATIENTS),  # else without zeros at the end
    }  # fmt: skip


def write_numbers(values: pd.Series, style: dict[str, Any]) -> pd.Series:
    """Numbers as texts of a style; None for NaN."""
    form = f"{{:{',' if style['thousands'] else ''}.{style['places']}f}}".format
    signs = str.maketrans({",": style["thousands"], ".": style["decimal"]})

    def write(value: float) -> str:
        text = form(value)
        text = text if style["fixed"] else text.rstrip("0").rstrip(".")
        return f"{style['before']}{text.translate(signs)}{style['after']}"

    return values.astype(object).map(write, na_action="ignore").where(values.notna(), None)


def step_of_time(times: pd.Series) -> str:
    """The longest of the usual spans that all but a few of these are multiples of."""
    known = times.dropna()
    odd = ((step, (known.dt.floor(step) != known).sum()) for step in _STEPS)
    return next((step for step, count in odd if count < LEAST_PATIENTS), "ns")


def date_style(texts: pd.Series, day_first: bool) -> dict[str, Any]:
    """The format of most of these dates, the step between them, and a turn of strftime's texts.

    Where no format fits most of them: year, month and day. Times with an offset are those of UTC.
    """
    distinct = texts.drop_duplicates()
    form = distinct.map(lambda text: _format(text, day_first)).mode()[0]
    stamps = pd.to_datetime(distinct, format=form, errors="coerce", utc=True)
    # What is left of a date, or of a time, is one patient's own.
    strange = "%Y" not in form or re.search(r"\d", form.removesuffix(".0"))
    if strange or stamps.notna().mean() <= 0.5:
        stamps = to_dates(distinct, day_first)
        form = "%Y%m%d" if pd.to_numeric(distinct, errors="coerce").notna().all() else "%Y-%m-%d"
    stamps = stamps.dt.tz_localize(None)
    step = step_of_time(texts.map(dict(zip(distinct, stamps, strict=True))))
    style = {"format": form.replace("%z", "+00:00"), "step": step}
    turns = {t: (write_date(stamps, style | {"turn": t}) == distinct).mean() for t in _TURNS}
    return style | {"turn": max(turns, key=lambda turn: turns[turn])}


def _format(text: str, day_first: bool) -> str:
    for pattern, form in (*_DATES, (_ORDERED, r"%d\1%m\2%Y" if day_first else r"%m\1%d\2%Y")):
        text = re.sub(pattern, form, text, count=1)
    return text.replace("%H", "%I") if "%p" in text else text


def write_date(stamps: pd.Series, style: dict[str, Any]) -> pd.Series:
    """Times as texts of a style; None where there is none."""
    texts = stamps.dt.strftime(style["format"]).astype(object)
    texts = texts.map(_TURNS[style.get("turn", "")], na_action="ignore")
    return texts.where(stamps.notna(), None)
