"""Texts that are numbers: decimal point or comma, thousands, and signs of every style."""

import pandas as pd

MARKS = " '’\u00a0\u2009\u202f"  # that stand between thousands, and nowhere else in a number
_ODD = rf"[−(]|-$|\d[{MARKS}]\d"
_MARKED = rf"^([+-]?[1-9]\d{{0,2}})(?:[{MARKS}]\d{{3}})+(?:[.,]\d+)?$"
_FEW, _SOME = 8, 5  # different texts; rows
_POWER = r"(?:[eE][+-]?\d+)?"
_POINT_GROUPS = r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+"
_COMMA_GROUPS = r"[+-]?[1-9]\d{0,2}(?:,\d{3})+"
# What can be read in two ways: a decimal, or one group of thousands.
TWO_WAYS = {",": r"[+-]?[1-9]\d{0,2},\d{3}", ".": r"[+-]?[1-9]\d{0,2}\.\d{3}"}
# What shows the decimal sign, though it may be a group of thousands (see TWO_WAYS).
_SHOWS = {
    ",": rf"[+-]?\d*,\d+{_POWER}|{_POINT_GROUPS},\d+|[+-]?[1-9]\d{{0,2}}(?:\.\d{{3}}){{2,}}",
    ".": rf"[+-]?\d*\.\d+{_POWER}|{_COMMA_GROUPS}\.\d+|[+-]?[1-9]\d{{0,2}}(?:,\d{{3}}){{2,}}",
}


def shows(texts: pd.Series, sign: str) -> bool:
    """Whether some of these texts can only be numbers with this decimal sign."""
    found = texts[texts.str.fullmatch(_SHOWS[sign])]
    return bool(len(found)) and not found.str.fullmatch(TWO_WAYS[sign]).all()


def sign_of_file(table: pd.DataFrame) -> str:
    """The decimal sign that the columns of text show: "," or ".", or "" where both are there."""
    if not any(_shown_by(table[name], ",") for name in table):
        return "."
    return "" if any(_shown_by(table[name], ".") for name in table) else ","


def _shown_by(column: pd.Series, sign: str) -> bool:
    return shows(_different(column[column.str.contains(sign, regex=False, na=False)]), sign)


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


def sign_of_column(texts: pd.Series, of_file: str) -> str:
    """The decimal sign of these texts: what they show, else the file's; "" where it is unclear."""
    if of_file == "." and not texts.str.contains(",", regex=False).any():
        return "."
    texts = _different(texts)
    marked = texts[texts.str.contains("[.,]", regex=True)]
    own = {sign for sign in ",." if shows(marked, sign)}
    if len(own) == 1:
        return own.pop()
    if own or marked.str.fullmatch(TWO_WAYS[","]).any():
        return "" if own or of_file != "," else ","
    return of_file if of_file == "," or not marked.str.fullmatch(TWO_WAYS["."]).any() else "."


def grouped(texts: pd.Series) -> bool:
    """Whether points may part thousands: below 1000 without one, else three digits after each."""
    marked = texts.str.contains(".", regex=False)
    bare = texts[~marked]
    return bool(
        marked.sum() >= _SOME
        and len(bare) >= len(texts) / 20  # of true decimals one in 1,000 is a whole number
        and texts[marked].str.fullmatch(TWO_WAYS["."]).all()
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
        return pd.to_numeric(turned.where(good), errors="coerce").astype("float64")
    if sign == "." and texts.str.contains(",", regex=False).any():
        grouped = texts.str.fullmatch(_COMMA_GROUPS + r"(?:\.\d+)?")
        if shows(texts[grouped], "."):
            texts = texts.where(~grouped, texts.str.replace(",", "", regex=False))
    return pd.to_numeric(texts, errors="coerce").astype("float64")
