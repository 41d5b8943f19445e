"""Who a row is: columns that say which patient a row belongs to are never learned."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd

from ... import kinds
from ...errors import InputError
from ...schema import RACE, SEX_NAMES
from .columns_file import NOTHING
from .reading import Reading
from .words import WORDS

_PERSON, _ANOTHER = re.compile(WORDS["person"]), re.compile(WORDS["another"])
_LEAST_DIFFERENT = 10  # fewer are groups, not patients
_MOST_ROWS = 50  # of one patient on average; more are a ward or a doctor


def settle_identity(
    readings: list[Reading], patient_id: str | None, where: str
) -> pd.Series | None:
    """Drop the patient key and other patients' numbers; the key's values, where it is named.

    A column that repeats like a patient's number is refused: the table then has several rows of a
    patient, which must not be parted between train and holdout.
    """
    keys, key = [r for r in readings if _is_unique_key(r)], None
    for reading in readings:
        if reading.name == patient_id:
            holds = f"is the patient key of {where} and"
            reading.refuse_first(reading.values, reading.values.isna(), holds, "fill it")
            reading.dropped = "the patient key: the split goes by it, and it is never learned"
            keys, key = [reading], reading.values.map(kinds.category_text)
    for one in keys:
        numbers = set(one.values.map(kinds.category_text))
        for reading in readings:
            if reading is not one and _are_among(reading, numbers):
                reading.dropped = f"other patients' numbers of the column {one.name!r}"
    for reading in readings:
        if _is_of_another(reading) and reading.name != patient_id:
            reading.dropped = "another person's number, which is never learned"
    people = [reading for reading in readings if reading.name.lower() in (*SEX_NAMES, RACE)]
    for reading in readings:
        if not _repeats(reading, people):
            continue
        if not keys:
            several = int(reading.values.duplicated().sum())
            raise InputError(
                f"{reading.name!r} repeats in {several:,} of {len(reading.values):,} rows, so "
                f"{where} has several rows a patient; make it one row a patient, or name the "
                f"column with --patient-id {reading.name}, and the split goes by it (if it is "
                f"no patient, {reading.say(identifier='allowed')})."
            )
        reading.dropped = "repeats like an identifier of somebody else"
    return key


def _plain_name(reading: Reading) -> str:
    return re.sub(r"[\s.-]+", "_", reading.name.strip().lower())


def _may_be_key(reading: Reading) -> bool:
    """Whether the values are texts or whole numbers, and nobody has said what they are."""
    present = reading.present
    if reading.dropped or reading.wish.drop or present.empty:
        return False
    if reading.wish.kind or reading.wish.role or reading.wish.identifier:
        return False
    if kinds.is_number(present):
        numbers = present.to_numpy(float)
        return bool(np.isfinite(numbers).all() and not np.any(numbers % 1))
    return reading.is_text


def _is_unique_key(reading: Reading) -> bool:
    named = _PERSON.fullmatch(_plain_name(reading)) and reading.values.is_unique
    return bool(named) and _may_be_key(replace(reading, wish=NOTHING))  # dropped, it still numbers


def _is_of_another(reading: Reading) -> bool:
    """Whether a mother's, a donor's or a doctor's number, by its name and its values."""
    name, present = _plain_name(reading), reading.present
    named = _ANOTHER.search(name) and _PERSON.fullmatch(name)
    return bool(named) and _may_be_key(reading) and present.nunique() >= _LEAST_DIFFERENT


def _are_among(reading: Reading, numbers: set[str]) -> bool:
    """Whether nearly all values, many different ones, are numbers of patients."""
    if not _may_be_key(reading):
        return False
    values = reading.present.map(kinds.category_text)
    if values.nunique() < max(_LEAST_DIFFERENT, len(values) / _MOST_ROWS):
        return False
    name = _plain_name(reading)
    named = _PERSON.fullmatch(name) or _ANOTHER.search(name) or re.search("(?:^|_)id", name)
    long = values.str.len().median() >= 4  # numbers below 1,000 are among each other by chance
    return bool((named or long) and values.isin(numbers).mean() >= 0.9)


def _repeats(reading: Reading, people: list[Reading]) -> bool:
    """Whether the column repeats like a patient's number in a table of visits."""
    if not _may_be_key(reading):
        return False
    values, different = reading.present, reading.present.nunique()
    if not max(_LEAST_DIFFERENT, len(values) / _MOST_ROWS) <= different < len(values):
        return False
    if _PERSON.fullmatch(_plain_name(reading)):
        return True
    return different > len(values) / _MOST_ROWS * 5 and _keeps(values, people)


def _keeps(values: pd.Series, people: list[Reading]) -> bool:
    """Whether rows of the same value always agree in sex and race, which a person keeps."""
    judged = False
    for person in people:
        pair = pd.DataFrame({"key": values, "is": person.values}).dropna()
        pair["is"] = pair["is"].map(kinds.category_text)
        again = pair["key"].duplicated(keep=False)
        expected = 1 - (pair["is"].value_counts(normalize=True) ** 2).sum()
        rows = int(again.sum() - pair.loc[again, "key"].nunique())
        if pair[again].groupby("key")["is"].nunique().gt(1).any():
            return False
        judged = judged or (1 - expected) ** rows < 1e-6
    return judged
