"""Texts and long numbers of few patients that the synthetic table repeats, as they are written.

What is rare joins the rest before anything is measured. It is compared here before that, and
counted by column; no value is told. What held-out patients share with train as often is chance.
"""

import re
from collections.abc import Collection, Mapping

import pandas as pd
from scipy.stats import hypergeom

from ..errors import some
from ..kinds import MISSING, REST, category_text, is_number
from ..protection import LEAST_PATIENTS, told
from ..sources.flat.column_reader import says_yes
from ..sources.flat.persons import names_somebody

REPEATS = "what the synthetic table repeats of fewer than five patients"
PERSONS, TEXTS, NUMBERS = "texts that name persons", "texts", "long numbers"
STRANGERS = "names of persons whom train does not have"
EXPECTED, MANY = "held-out patients would", "more than chance"
CHANCE = 0.01  # of a find where there is nothing to find
_OFTEN = 2  # times as often as held-out patients; less is another shape of the column
_LETTERS, _DIGITS = 4, 6  # of a text, and of a number, that is somebody's
_DECIMAL = re.compile(r"[+-]?\d*([.,]\d+(e[+-]?\d+)?|e-\d+)", re.IGNORECASE)


def repeats(
    frames: Mapping[str, pd.DataFrame], declared: Mapping[str, Collection[str]],
    patient: str | None = None,
) -> list[dict]:  # fmt: skip
    """The columns with texts and long numbers that fewer than five patients of train have and
    synthetic ones repeat. Chapter fidelity, "Tables of known quality".

    `declared` are categories that a schema names: they must be repeated often to count. `patient`
    is the column that says whose a row is; else each is a patient.
    """
    train, holdout, made = (frames[role] for role in ("train", "holdout", "synthetic"))
    found, whose = [], None if patient is None else train.get(patient)
    for name in train:
        if name in made and name != patient and _may_tell(train[name]):
            known = _known(train[name], whose)
            there = holdout.get(name, made[name][:0])
            spelled = {_key(text) for text in declared.get(name, ())}
            rows = _of_column(known, there, made[name], spelled, len(holdout))
            found += [{"column": name} | row for row in rows]
    tried, told_of = sum(row["what"] != STRANGERS for row in found), []
    for row in found:
        many, expected = _is_many(row, tried), round(row["expected"])
        if row["sure"] or many:
            said = {"rows": row["made"], "of": row["rows of"], MANY: "yes" if many else "no"}
            said[EXPECTED] = told(expected) if expected else "none"
            told_of.append({"column": row["column"], "what": row["what"]} | said)
    return told_of


def level_of_repeats(facts: Mapping) -> tuple[int, list[str]]:
    """0 nothing, 1 care, 2 do not release; and why, in sentences that repeat nothing.
    Chapter fidelity, "Tables of known quality".
    """
    rows = facts.get(REPEATS, [])
    copied = [row for row in rows if row["what"] != STRANGERS]
    level = 2 if any(row["what"] == PERSONS or row[MANY] == "yes" for row in copied) else bool(rows)
    said = []
    if copied:
        each = [f"{row['column']} ({row['what']}, in {row['rows']:,} of {row['of']:,} rows; of as "
                f"many held-out patients {row[EXPECTED]} would)" for row in copied]  # fmt: skip
        said.append(
            f"Repeated word for word, though fewer than {LEAST_PATIENTS} patients whose data was "
            f"used have it: {some(each, 12)}."
        )
    if named := [f"{row['column']} ({row['rows']:,})" for row in rows if row not in copied]:
        said.append(f"Rows name persons who are not in train, in {some(named, 12)}: see who it is.")
    return int(level), said


def _may_tell(values: pd.Series) -> bool:
    """Whether texts or long whole numbers can stand in a column."""
    if pd.api.types.is_bool_dtype(values) or pd.api.types.is_datetime64_any_dtype(values):
        return False
    return not is_number(values) or bool((values.abs() >= 10 ** (_DIGITS - 1)).any())


def _key(value: object) -> str:
    return " ".join(category_text(value).casefold().split())


def _known(values: pd.Series, whose: pd.Series | None) -> pd.DataFrame:
    """By spelling, how many patients have a value of train, and one way to write it."""
    there = values.dropna().astype(object)
    written = {value: category_text(value) for value in there.unique()}
    table = pd.DataFrame(
        {"key": there.map({v: _key(v) for v in written}), "text": there.map(written)}
    )
    if whose is not None:
        table = table.assign(who=whose[table.index]).drop_duplicates(["key", "who"])
    return table.groupby("key")["text"].agg(["size", "first"])


def _kind(text: str) -> str:
    """What a text could give away, or ""."""
    if text in (REST, MISSING):
        return ""
    if names_somebody(text):
        return PERSONS
    if any(sign.isalpha() for sign in text) and not _DECIMAL.fullmatch(text):
        plain = len(text) < _LETTERS and text.isascii() or says_yes(text) is not None
        return "" if plain else TEXTS
    digits = sum(sign.isdigit() for sign in text.removesuffix(".0"))
    whole = text.endswith(".0") or not _DECIMAL.fullmatch(text)
    return NUMBERS if digits >= _DIGITS and whole else ""


def _of_column(
    known: pd.DataFrame, holdout: pd.Series, made: pd.Series, declared: set[str], of: int
) -> list[dict]:
    """What is repeated of one column, by kind: `sure` where one row is enough."""
    few = known.loc[known["size"] < LEAST_PATIENTS, "first"]
    kinds = {key: _kind(text) for key, text in few.items()}
    rows: dict[str, dict] = {}
    for role, values in (("made", made), ("held", holdout)):
        for value, count in values.dropna().astype(object).value_counts().items():
            key = _key(value)
            kind = kinds.get(key, "")
            if role == "made" and key not in known.index and names_somebody(category_text(value)):
                kind = STRANGERS
            if kind:
                row = rows.setdefault(kind, {"what": kind, "made": 0, "held": 0, "own": 0})
                row[role] += int(count)
                # What patients share is a category, as is a word: fresh ones meet it by chance.
                own = kind == PERSONS or (known["size"].get(key) == 1 and not key.isalpha())
                row["own"] += role == "made" and key not in declared and own
    for kind, row in rows.items():
        row |= {"rows of": len(made), "held out": of, "expected": row["held"] / of * len(made)}
        row["sure"] = kind == STRANGERS or (kind != NUMBERS and row["held"] == 0 and row["own"] > 0)
    return [row for row in rows.values() if row["made"]]


def _is_many(row: dict, tried: int) -> bool:
    """Whether so many rows are more than chance, in the light of all columns that were tried."""
    if row["what"] == STRANGERS or row["made"] <= _OFTEN * row["expected"]:
        return False
    both, made = row["rows of"] + row["held out"], row["made"]
    chance = hypergeom.sf(made - 1, both, made + row["held"], row["rows of"])
    return bool(chance < CHANCE / max(tried, 1))
