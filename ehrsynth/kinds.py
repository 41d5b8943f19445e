"""What kind of column values make: the one place for schemas and the reader of flat tables."""

import re
from collections.abc import Iterable, Sized
from typing import Any

import numpy as np
import pandas as pd

from .errors import InputError, first_bad, some
from .protection import LEAST_PATIENTS, is_shared

MISSING = "(missing)"
REST = "(other)"  # the categories that too few patients have, together
MAX_CATEGORIES = 60
NUMERIC_SHARE, _NUMERIC_VALUES = 0.8, 10
_ROWS_A_CODE = 10  # on average
_STEPPED = 10  # different numbers; fewer can be multiples of anything by chance
LARGEST = 1e100  # of a number; beyond it, differences and squares can overflow
_LEAST_IDENTIFIERS = 50  # fewer rows can be all different by chance


def cast(values: pd.Series, kind: str, categories: tuple[str, ...], what: str) -> pd.Series:
    """The values in the dtype of a kind; `what` is the column's name in errors."""
    if kind == "categorical":
        return _cast_categories(values, categories, what)
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    too_large = (numbers.abs() > LARGEST) & (kind == "continuous")
    for of, wrong, said in (
        (values, numbers.isna() & values.notna(), "should hold numbers but has {} in row {}"),
        (numbers, np.isinf(numbers), "has an infinite value in row {1}"),
        (numbers, too_large, "has a number beyond 1e100 in row {1}, which is no measurement"),
    ):
        if bad := first_bad(of, wrong):
            said = said.format(shown(of, bad.value), bad.row)
            raise InputError(f"{what} {said}; correct it or leave it empty.")
    if kind == "continuous":
        return numbers
    if bad := first_bad(values, ~numbers.isin((0.0, 1.0))):
        found = "no value" if pd.isna(bad.value) else shown(values, bad.value)
        raise InputError(f"{what} should be 0 or 1 but has {found} in row {bad.row}.")
    return numbers.astype("uint8")


def _cast_categories(values: pd.Series, categories: tuple[str, ...], what: str) -> pd.Series:
    text = values.astype(object).where(values.notna(), MISSING).map(category_text)
    if REST in categories:  # whatever is rare has joined it
        text = text.where(text.isin([*categories, MISSING]), REST)
    if bad := first_bad(text, ~text.isin(categories)):
        found = "a missing value" if bad.value == MISSING else shown(text, bad.value)
        raise InputError(
            f"{what} has {found} in row {bad.row}, which is not one of its categories "
            f"({some(categories)})."
        )
    return pd.Series(pd.Categorical(text, categories=list(categories)), values.index)


def shown(values: pd.Series, value: Any) -> str:
    """A value as a message may show it: only when enough patients have it."""
    if not is_shared(values, value):
        return "another text" if isinstance(value, str) else "another number"
    return repr(value[:40]) if isinstance(value, str) else str(value)


def categories(values: pd.Series) -> tuple[str, ...]:
    """The categories of these values, in order; last MISSING where some are not there."""
    present = values.dropna()
    texts = pd.Series(present.unique(), dtype=object).map(category_text).unique()
    if isinstance(present.dtype, pd.CategoricalDtype):  # whoever made it has chosen the order
        used = set(texts)
        found = tuple(t for t in map(category_text, present.cat.categories) if t in used)
    else:
        found = ordered(texts)
    return (*found, MISSING) if len(present) < len(values) and MISSING not in found else found


def ordered(texts: Iterable[str]) -> tuple[str, ...]:
    """Categories in order: by number where all of them are numbers, else by text."""
    found = pd.Series(sorted(texts), dtype="object")
    numbers = pd.to_numeric(found, errors="coerce")
    return tuple(found if numbers.hasnans else found[np.argsort(numbers, kind="stable")])


def category_text(value: Any) -> str:
    """What a value is called as a category: 0.0 and False are "0", else its own text."""
    if isinstance(value, bool | np.bool_) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    return str(value)


def origin_of(unit: str) -> pd.Timestamp | None:
    """The day that a unit such as "days since 1950-01-01" counts from; of "since surgery" None."""
    found = re.fullmatch(r"days since (\d{4}-\d\d-\d\d)", unit)
    return pd.Timestamp(found[1]) if found else None


def is_plain_number(text: str) -> bool:
    """Whether a category is a number, written as :func:`category_text` writes it."""
    try:
        return category_text(float(text)) == text
    except ValueError:
        return False


def is_number(values: pd.Series) -> bool:
    """Whether these are numbers; yes and no (booleans) are none."""
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def are_whole(values: pd.Series | np.ndarray) -> bool:
    """Whether all of these numbers are whole; neither infinite nor missing ones are."""
    numbers = np.asarray(values, dtype=float)
    return bool(np.isfinite(numbers).all()) and not np.any(numbers % 1)


def spoiled(texts: pd.Series, good: pd.Series) -> bool:
    """Whether most texts, and many different ones, are `good`, so that the others are mistakes."""
    return bool(good.mean() >= NUMERIC_SHARE and texts[good].nunique() > _NUMERIC_VALUES)


def few_codes(present: pd.Series, few: int) -> bool:
    """Whether these numbers (none missing) are codes: whole, at most `few`, each of many rows."""
    distinct = present.nunique()
    return distinct <= few and len(present) >= _ROWS_A_CODE * distinct and are_whole(present)


def looks_like_identifier(present: pd.Series, named: object) -> bool:
    """Whether these values (none missing) single out the patients rather than describe them.

    Texts do when no two are equal; whole numbers too when they lie close together or all have the
    same number of digits, six or more; both when most differ and the name says so.
    """
    if len(present) <= _LEAST_IDENTIFIERS:
        return False
    share = present.nunique() / len(present)
    numeric = pd.api.types.is_numeric_dtype(present)
    if numeric and not are_whole(present):
        return False
    if named and share > 0.5:
        return True
    if share < 1 or not numeric:
        return share == 1
    numbers = present.to_numpy(float)
    low, high = numbers.min(), numbers.max()
    dense = high - low + 1 <= 2 * len(numbers)
    same_length = low >= 10**5 and len(str(int(low))) == len(str(int(high)))
    # Counts such as platelets per microliter are rounded; numbers that are given out are not.
    return bool(dense or (same_length and not np.all(numbers % 10 == 0)))


def _too_many(values: Sized) -> int:
    """How many exceptions count: a single one where there are so few values that each matters."""
    return LEAST_PATIENTS if len(values) >= 20 * LEAST_PATIENTS else 1


def decimals(present: pd.Series) -> int | None:
    """How many decimals all but a few of these (none missing) have; None for more than three."""
    there = present[present != 0].to_numpy(float)  # what is not 0 must not become it
    near = ((p, there.round(p)) for p in range(4))
    odd = ((p, (np.abs(there - made) > 1e-9 * (p > 0)) | (made == 0)) for p, made in near)
    return next((p for p, wrong in odd if wrong.sum() < _too_many(present)), None)


def step(numbers: np.ndarray) -> float | None:
    """The largest number, such as 5 or 0.25, that all but a few of these are multiples of."""
    for places in range(7 if len(np.unique(numbers)) >= _STEPPED else 0):
        scaled = numbers * 10.0**places
        exact = np.isclose(scaled, scaled.round(), rtol=1e-9, atol=1e-9)
        few = _too_many(numbers) - np.count_nonzero(~exact)  # who may still be none
        if few > 0 and np.abs(scaled).max() < 2**53:
            kept = scaled[exact].round().astype(np.int64)
            parts = [np.gcd.reduce(kept[i::LEAST_PATIENTS]) for i in range(LEAST_PATIENTS)]
            known = sorted({*parts, np.gcd.reduce(parts)} - {0})  # one part has none of the few
            steps = (one for one in known[::-1] if np.count_nonzero(kept % one) < few)
            return float(next(steps) / 10.0**places)
    return None
