"""How a file writes its numbers and dates."""

import re
from typing import Any

import pandas as pd

from ...protection import LEAST_PATIENTS
from .dates import EPOCH, forms_of, number_form, of_numbers, to_dates
from .decimals import MARKS, sign_of_column

_NUMBER = (
    rf"^(?P<before>[^\d+.,−(-]*)(?P<sign>[+−-]?\(?)(?P<number>\d(?:[\d.,]|[{MARKS}](?=\d{{3}}))*|"
    r"[.,]\d+)(?:(?P<e>[eE])(?P<plus>\+?)-?(?P<power>\d+))?(?P<after>.*)$"
)
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
    """How a column writes its numbers: its signs, decimals, and what stands around them.

    Each is what most of the numbers do that could do it: which have thousands, or are below 1.
    """
    counts = texts.astype("str").value_counts()
    parts = counts.index.to_series().str.extract(_NUMBER)
    by_power = parts["e"].notna()
    if parts["number"].isna().any() or (by_power.any() and counts[by_power].sum() < len(texts) / 2):
        return {}
    bare = parts["number"].str.replace(f"[{MARKS}]", "", regex=True)
    decimal = sign_of_column(bare, sign) or "."
    whole = bare.str.partition(decimal)[0]
    places = bare.str.partition(decimal)[2].str.len().repeat(counts)
    most = int(places.nlargest(LEAST_PATIENTS).min())  # no single patient's decimals
    grouped = parts["number"].str.extract(rf"([.,{MARKS}])\d{{3}}(?!\d)")[0]
    grouped = grouped.where(grouped != decimal, "")
    last = parts["after"].str.endswith("-")  # of 5.2-
    after = parts["after"].where(~last, "-").str.removeprefix(")")
    minus = parts["sign"].str.strip("+").where(~last, "last")
    nothing = bare.str.match(rf"0?\{decimal}\d")

    def mostly(of: pd.Series, those: pd.Series) -> Any:
        found = of[those].fillna("").repeat(counts[those]).mode()
        return found.iloc[0] if len(found) else ""

    style: dict[str, Any] = {
        "decimal": decimal, "before": mostly(parts["before"], ~last), "after": mostly(after, ~last),
        "places": most, "thousands": mostly(grouped, whole.str.len() > 3),
        "fixed": bool((places != most).sum() < LEAST_PATIENTS),  # else without zeros at the end
        "minus": mostly(minus, minus != "") or "-", "plus": mostly(parts["sign"], minus == ""),
        "zero": mostly(bare.str.slice(0, 1), nothing) != decimal,  # 0.87, not .87
    }  # fmt: skip
    if by_power.any():
        style["power"] = [mostly(parts[name], by_power) for name in ("e", "plus")]
        style["power"].append(int(mostly(parts["power"].str.len(), by_power)))
    return style


def write_numbers(values: pd.Series, known: dict[str, Any]) -> pd.Series:
    """Numbers as texts of a style; None for NaN."""
    style: dict[str, Any] = {"minus": "-", "plus": "", "zero": True, "power": None} | known
    thousands, kind = "," if style["thousands"] else "", "e" if style["power"] else "f"
    text_of = f"{{:{thousands}.{style['places']}{kind}}}".format
    signs = str.maketrans({",": style["thousands"], ".": style["decimal"]})

    def write(value: float) -> str:
        text, _, power = text_of(abs(value)).partition("e")
        sign = style["minus"] if value < 0 and re.search("[1-9]", text) else style["plus"]
        if not style["fixed"] and "." in text:
            text = text.rstrip("0").rstrip(".")
        if not style["zero"] and text.startswith("0."):
            text = text[1:]
        text = text.translate(signs)
        if style["power"]:
            letter, plus, digits = style["power"]
            text += f"{letter}{'-' if power[0] == '-' else plus}{abs(int(power)):0{digits}d}"
        before, after = {"last": ("", "-"), "(": ("(", ")")}.get(sign, (sign, ""))
        return f"{style['before']}{before}{text}{after}{style['after']}"

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
    numbers = pd.to_numeric(distinct, errors="coerce")
    if numbers.notna().all():
        form, stamps = number_form(numbers), of_numbers(numbers)
        form += ".0" if distinct.str.endswith(".0").mean() > 0.5 else ""
    else:
        forms, stamps = forms_of(distinct, day_first), to_dates(distinct, day_first)
        form = forms.mode()[0]
        if not form or (forms == form).mean() <= 0.5:
            form = "%Y-%m-%d"
        stamps = stamps.dt.tz_localize(None)
    zones = distinct.str.extract(r"\d ?(UTC|GMT|Z)$")[0].fillna("+00:00")
    step = step_of_time(texts.map(dict(zip(distinct, stamps, strict=True))))
    style: dict[str, Any] = {"format": form.replace("%z", zones.mode()[0]), "step": step}
    if ".%f" in form:
        style["digits"] = int(distinct.str.extract(r"\.(\d+)")[0].str.len().mode()[0])
    turns = {t: (write_date(stamps, style | {"turn": t}) == distinct).mean() for t in _TURNS}
    return style | {"turn": max(turns, key=lambda turn: turns[turn])}


def write_date(stamps: pd.Series, style: dict[str, Any]) -> pd.Series:
    """Times as texts of a style; None where there is none."""
    if (unit := style["format"].removesuffix(".0")) in EPOCH:
        passed = (stamps - pd.Timestamp(0)) // pd.Timedelta(1, unit)
        texts = passed.astype("Int64").astype("str") + style["format"].removeprefix(unit)
        return texts.astype(object).where(stamps.notna(), None)
    texts = stamps.dt.strftime(style["format"]).astype(object)
    if digits := style.get("digits"):
        texts = texts.str.replace(rf"(:\d\d\.\d{{{digits}}})\d+", r"\1", regex=True)
    texts = texts.map(_TURNS[style.get("turn", "")], na_action="ignore")
    return texts.where(stamps.notna(), None)
