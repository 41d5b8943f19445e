"""Texts that are numbers: decimal signs, thousands and signs of every style, and their units.

What counts as a unit is a list, so that "2 wards" and "1a" stay what they are: texts.
"""

import re
from functools import lru_cache

import pandas as pd

from .words import LINES

MARKS = " '’\u00a0\u2009\u202f"  # that stand between thousands, and nowhere else in a number
_ODD = rf"[−(]|-$|\d[{MARKS}]\d"
_MARKED = rf"^([+-]?[1-9]\d{{0,2}})(?:[{MARKS}]\d{{3}})+(?:[.,]\d+)?$"
_FEW, _SOME = 8, 5  # different texts; rows
_POWER = r"(?:[eE][+-]?\d+)?"
_POINT_GROUPS = r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+"
_LAKHS = r"[+-]?[1-9]\d?(?:,\d\d)+,\d{3}"  # 12,34,567 in India
_COMMA_GROUPS = rf"(?:[+-]?[1-9]\d{{0,2}}(?:,\d{{3}})+|{_LAKHS})"
# What can be read in two ways: a decimal, or one group of thousands.
TWO_WAYS = {",": r"[+-]?[1-9]\d{0,2},\d{3}", ".": r"[+-]?[1-9]\d{0,2}\.\d{3}"}
# What shows the decimal sign, though it may be a group of thousands (see TWO_WAYS).
_SHOWS = {
    ",": rf"[+-]?\d*,\d+{_POWER}|{_POINT_GROUPS},\d+|[+-]?[1-9]\d{{0,2}}(?:\.\d{{3}}){{2,}}",
    ".": rf"[+-]?\d*\.\d+{_POWER}|{_COMMA_GROUPS}\.\d+|[+-]?[1-9]\d{{0,2}}(?:,\d{{3}}){{2,}}"
    rf"|{_LAKHS}",
}
_UNITS = {
    spelling: spellings.split()[0]
    for line in LINES["units"]
    for spellings in line.split("|")
    for spelling in spellings.split()
}
_ALIKE = str.maketrans({"µ": "u", "μ": "u", "²": "2", "³": "3", "⁹": "9", "×": "x", "℃": "c"})
_SPAN = re.compile(r"\d+(?:h|min|d)")
_WITH_UNIT = (
    rf"^\s*(?P<number>[+−-]?(?:\d+(?:[.,]\d+|[{MARKS}]\d{{3}}(?!\d))*|\.\d+))\s*"
    r"(?P<written>\D.*|10\D.*)$"
)


def _shows(texts: pd.Series, sign: str) -> bool:
    """Whether some of these texts can only be numbers with this decimal sign."""
    found = texts[texts.str.fullmatch(_SHOWS[sign])]
    return bool(len(found)) and not found.str.fullmatch(TWO_WAYS[sign]).all()


def sign_of_file(table: pd.DataFrame) -> str:
    """The decimal signs that the columns of text show: ",", ".", ",." or ""."""
    shown = ""
    for sign in ",.":
        marked = (c[c.str.contains(sign, regex=False, na=False)] for _, c in table.items())
        shown += sign if any(_shows(_different(column), sign) for column in marked) else ""
    return shown


def sign_of_column(texts: pd.Series, of_file: str) -> str:
    """The decimal sign of these texts: what they show, else the file's; "" where it is unclear."""
    if of_file != "," and not texts.str.contains(r",|\.\d{3}\.", regex=True).any():
        return "."
    texts = _different(texts)
    marked = texts[texts.str.contains("[.,]", regex=True)]
    own = [sign for sign in ",." if _shows(marked, sign)]
    if of_file == ",." and own == [","] and marked.str.fullmatch(r"\d,\d").all():
        return ""  # lists of choices
    if len(own) == 1:
        return own[0]
    if own or of_file == ",":
        return "" if own else ","
    # 1,234 is a number of thousands beside 999, and where all other columns have points.
    two_ways = marked.str.fullmatch(TWO_WAYS[","])
    thousands = grouped(texts, ",", 100) or (of_file == "." and two_ways.all())
    return "" if two_ways.any() and not thousands else "."


def _different(values: pd.Series) -> pd.Series:
    """The different texts of a column, numbers :func:`plain`."""
    unique = values.dropna().drop_duplicates()
    if unique.dtype == object:
        unique = unique[unique.map(lambda v: isinstance(v, str))]
    return plain(unique.astype("str").str.strip())


def plain(texts: pd.Series) -> pd.Series:
    """Numbers with one kind of minus and nothing but point and comma inside; other texts as is.

    Of the accountants' (1,234) and of 1,234- the sign comes first. Blanks between thousands can be
    told from those between codes, as in 401 250, only where some first group is short.
    """
    odd = texts[texts.str.contains(_ODD, regex=True)]
    if odd.empty:
        return texts
    made = odd.str.replace("−", "-", regex=False)
    if texts[~texts.index.isin(odd.index)].nunique() > _FEW:  # else (1), 2, 3 may be grades
        made = made.str.replace(r"^\(([^-].*)\)$", r"-\1", regex=True)
    made = made.str.replace(r"^(\d.*)-$", r"-\1", regex=True)
    first = made.str.extract(_MARKED)[0]
    if (first.str.strip("+-").str.len() < 3).any() or not odd.str.contains(r"\d \d").any():
        made = made.where(first.isna(), made.str.replace(f"[{MARKS}]", "", regex=True))
    made = made.where(made.str.fullmatch(rf"[+-]?[\d.,]+{_POWER}"), odd)
    return texts.where(~texts.index.isin(made.index), made.reindex(texts.index))


def joined(texts: pd.Series) -> pd.Series:
    """Numbers without blanks and apostrophes between their thousands, where they are no codes."""
    return texts.str.replace(rf"(?<=\d)[{MARKS}](?=\d{{3}}(?!\d))", "", regex=True)


def grouped(texts: pd.Series, mark: str = ".", most: int = 20) -> bool:
    """Whether points may part thousands: below 1000 without one, else three digits after each."""
    marked = texts.str.contains(mark, regex=False)
    bare = texts[~marked]
    return bool(
        marked.sum() >= _SOME
        and len(bare) >= len(texts) / most  # of true decimals one in 1,000 is a whole number
        and texts[marked].str.fullmatch(TWO_WAYS[mark]).all()
        and bare.str.fullmatch(r"[+-]?\d{1,3}").all()
    )


def to_numbers(texts: pd.Series, sign: str) -> pd.Series:
    """These texts as numbers, NaN where one is none."""
    if sign != ",":
        numbers = pd.to_numeric(texts, errors="coerce").astype("float64")
        if numbers.notna().all():
            return numbers
    texts = plain(texts)
    if sign == ",":
        good = texts.str.fullmatch(rf"(?:[+-]?\d+|{_POINT_GROUPS}|[+-]?\d*)(?:,\d+)?{_POWER}")
        turned = texts.str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
        texts = turned.where(good)
    elif sign == "." and texts.str.contains(",", regex=False).any():
        in_groups = texts.str.fullmatch(_COMMA_GROUPS + r"(?:\.\d+)?")
        texts = texts.where(~in_groups, texts.str.replace(",", "", regex=False))
    return pd.to_numeric(texts, errors="coerce").astype("float64")


@lru_cache(maxsize=4096)
def unit_of(text: str) -> str | None:
    """The unit that `text` is a spelling of ("mcg/mL" and "µg/ml" are both "ug/ml"), or None."""
    plain = text.translate(_ALIKE).casefold().replace(" ", "").strip("().")
    if plain.startswith(("x10", "*10")):
        plain = plain[1:]
    if plain in _UNITS:
        return _UNITS[plain]
    parts = plain.replace("per", "/").split("/")
    known = [_UNITS.get(part) for part in parts]
    if len(parts) == 2 and parts[0] == "":  # "/min"
        known[0] = ""
    if known[-1] is None and known[0] and _SPAN.fullmatch(parts[-1]):  # "mg/24h"
        known[-1] = parts[-1]
    return None if None in known else "/".join(map(str, known))


def take_apart(texts: pd.Series) -> pd.DataFrame:
    """The ``number`` (text), the ``unit`` and how it is ``written``, missing for other texts."""
    # "$12.50" is written the other way round.
    texts = texts.astype(object).str.replace(r"^\s*([$€£])\s*(?=\d)(.*)$", r"\2 \1", regex=True)
    parts = texts.str.extract(_WITH_UNIT).astype(object)
    parts["unit"] = parts["written"].map(unit_of, na_action="ignore")
    parts["written"] = parts["written"].str.strip()
    return parts.where(parts["unit"].notna(), None)
