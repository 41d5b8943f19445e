"""A flat table as a person has described it, with nothing worked out from its values."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import InputError, some
from ..kinds import MISSING, category_text
from ..schema import Column, Schema, role_of
from ..sources.flat import columns_file
from ..sources.flat.column_reader import says_yes
from ..sources.flat.columns_file import NOTHING, Wish
from ..sources.flat.file import read_file


def declared_table(
    data: Path | str | None, columns: Path | None, outcome: str | None, positive: str | None
) -> pd.DataFrame:
    """The patients of a table, one a row: each value read by itself, as the columns file says.

    What cannot be read is missing. The names of categories are those that occur; which of them may
    leave is decided later, with noise.
    """
    if columns is None:
        raise InputError(
            "With --epsilon nothing is worked out from the patients: give a columns file "
            "(--columns) that says the kind of every column and the bounds of every number."
        )
    if data is None:
        raise InputError("A table needs a file; give it with --data FILE.")
    raw = read_file(data, encoding=columns_file.encoding(columns), guess=False)
    said = columns_file.read(columns, raw.frame.columns, raw.where)
    if outcome not in raw.frame:
        raise InputError(f"The outcome {outcome!r} is no column; name one with --outcome COLUMN.")
    wishes = {n: wish for n in raw.frame if not (wish := said.get(n, NOTHING)).drop}
    if silent := [n for n, wish in wishes.items() if n != outcome and not wish.kind]:
        raise InputError(
            f"{columns} does not say the kind of {some(silent, 4)}, and with --epsilon it cannot "
            'be read off the patients; add one, as in {"kind": "categorical"}, or {"drop": true}.'
        )
    found, described = {}, []
    for name, wish in wishes.items():
        texts = raw.frame[name].astype(object).where(raw.frame[name].notna(), "")
        texts = texts.map(category_text).str.strip()
        texts = texts.mask(texts.isin([category_text(value) for value in wish.missing]), "")
        if name == outcome:
            value = positive or wish.positive
            yes = texts.map(_plain) == _plain(str(value)) if value else texts.map(_is_yes)
            found[name] = yes.astype("uint8")
            described.append(Column(name, "binary", "outcome", wish.label))
        else:
            column, found[name] = _read(name, wish, texts, columns)
            described.append(column)
    return Schema(tuple(described)).cast(pd.DataFrame(found), where=raw.where)


def _number(text: str) -> float:
    """The number that one text is, NaN where it is none; pandas would look at all of them."""
    try:
        return float(text) if "_" not in text else np.nan
    except ValueError:
        return np.nan


def _plain(text: str) -> str:
    """The same text for 1.0, 1 and "True", and for 0.0, 0 and "False"."""
    plain = {"true": 1.0, "false": 0.0}.get(text.casefold(), _number(text))
    return category_text(plain) if plain in (0, 1) else text


def _is_yes(text: str) -> bool:
    return _plain(text) == "1" or says_yes(text) is True


def _read(name: str, wish: Wish, texts: pd.Series, columns: Path) -> tuple[Column, pd.Series]:
    """A column as the file describes it, and its values."""
    known: dict[str, Any] = {"role": wish.role or role_of(name), "label": wish.label}
    known["unit"] = wish.unit
    if wish.kind == "categorical":
        texts = texts.replace("", MISSING)
        return Column(name, "categorical", categories=tuple(sorted(set(texts))), **known), texts
    if wish.kind == "binary":
        return Column(name, "binary", sex=wish.sex, **known), texts.map(_is_yes).astype("uint8")
    low, high = wish.bounds or (None, None)
    if wish.kind != "continuous" or low is None or high is None:
        what = "is a date" if wish.kind == "date" else "has no two bounds"
        raise InputError(
            f"Column {name!r} {what} in {columns}; with --epsilon a number needs both, as in "
            '{"kind": "continuous", "bounds": [0, 120]}, and dates have to be dropped.'
        )
    column = Column(name, "continuous", lower=low, upper=high, decimals=wish.decimals, **known)
    numbers = texts.map(_number).astype("float64")
    return column, pd.Series(column.within(np.where(np.isfinite(numbers), numbers, np.nan)))
