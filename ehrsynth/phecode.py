"""From ICD-9-CM and ICD-10-CM codes to phecodes, the same way for both.

Phecodes group billing codes into diseases that a researcher would study: ICD-9-CM 250.00 and
ICD-10-CM E11.9 are both phecode 250.2, type 2 diabetes. Every ICD code is mapped to its most
specific phecode (the leaf) and then rolled up to one level, so that a code tells the disease and
never the coding system it was written in.

The table is phecode 1.2 (Wei et al. 2017, doi 10.1371/journal.pone.0175508; Wu et al. 2019,
doi 10.2196/14325); ``tools/make_phecode_table.py`` makes it and ``data/README.md`` says from what.
"""

from functools import lru_cache
from importlib.resources import as_file, files

import pandas as pd

from .errors import InputError

LEVELS = ("phecode", "leaf", "category")
_KEY = ["icd_version", "icd_code"]
_SHORTEST_CODE = 3


@lru_cache(maxsize=1)
def icd_table() -> pd.DataFrame:
    """The shipped table: icd_version, icd_code, phecode, name, category, sex (read-only)."""
    with as_file(files("ehrsynth") / "phecodes.parquet") as path:
        table = pd.read_parquet(path)
    text = [name for name in table.columns if name != "icd_version"]
    return table.astype({"icd_version": "int64"} | dict.fromkeys(text, str))


def roll_up(phecodes: pd.Series, level: str = "phecode") -> pd.Series:
    """Leaf phecodes to one level.

    Parameters
    ----------
    phecodes : Series of str
        Leaf phecodes, e.g. "250.21".
    level : {"phecode", "leaf", "category"}
        The whole phecode ("250"), the leaf itself, or its category ("endocrine/metabolic").

    Returns
    -------
    Series of str
    """
    _check_level(level)
    if level == "leaf":
        return phecodes
    if level == "phecode":
        return phecodes.str.split(".").str[0]
    return phecodes.map(definitions("leaf")["category"])


@lru_cache(maxsize=len(LEVELS))
def definitions(level: str = "leaf") -> pd.DataFrame:
    """Name, category and sex of every code of a level.

    Parameters
    ----------
    level : {"phecode", "leaf", "category"}
        "leaf" lists every phecode of the table, whole ones too.

    Returns
    -------
    DataFrame
        Indexed by code: ``name``, ``category``, ``sex`` ("F" or "M" when the disease occurs
        in that sex only, else ""). Treat it as read-only: it is kept for the next call.
    """
    _check_level(level)
    leaves = icd_table()[["phecode", "name", "category", "sex"]].drop_duplicates("phecode")
    leaves = leaves.set_index("phecode").sort_index().rename_axis("code")
    if level == "leaf":
        return leaves
    groups = leaves.groupby(roll_up(leaves.index.to_series(), level))
    # A whole phecode sorts before its parts, so the first of the group is the group's own
    # definition (305 alone has none; it takes that of 305.2). A group belongs to one sex only
    # if every disease in it does.
    sex = groups["sex"].first().where(groups["sex"].nunique() == 1, "")
    whole = groups.first().assign(sex=sex).rename_axis("code")
    return whole if level == "phecode" else whole.assign(name=whole.index.str.capitalize())


def map_icd(diagnoses: pd.DataFrame, level: str = "phecode") -> pd.DataFrame:
    """Map every diagnosis to the phecode(s) it belongs to.

    A code that is not in the table is cut by one character at a time until it is, down to
    three characters (ICD-10-CM adds codes every year). What still does not map is left out
    here and listed by :func:`unmapped`.

    Parameters
    ----------
    diagnoses : DataFrame
        ``icd_code`` (text; dots are ignored), ``icd_version`` (9 or 10) and anything else.
    level : {"phecode", "leaf", "category"}

    Returns
    -------
    DataFrame
        The other columns of `diagnoses` and ``phecode``, one row for each pair of diagnosis
        and phecode; the index is that of `diagnoses`, repeated where a code has two phecodes.
    """
    _check_level(level)
    numbers, codes = _distinct_codes(diagnoses)
    leaves = _leaves(codes)
    pairs = leaves.assign(phecode=roll_up(leaves["phecode"], level)).drop_duplicates()
    rows = diagnoses.drop(columns=_KEY)
    mapped = rows.assign(number=numbers, row=diagnoses.index).merge(pairs, on="number", sort=False)
    mapped.index = pd.Index(mapped.pop("row").to_numpy(), name=diagnoses.index.name)
    return mapped.drop(columns="number")


def unmapped(diagnoses: pd.DataFrame) -> pd.DataFrame:
    """The codes that :func:`map_icd` leaves out, most frequent first.

    Returns
    -------
    DataFrame
        ``icd_version``, ``icd_code`` and ``rows``, the number of rows of `diagnoses`.
    """
    numbers, codes = _distinct_codes(diagnoses)
    codes = codes.assign(rows=numbers.value_counts().reindex(codes.index).to_numpy())
    lost = codes[~codes.index.isin(_leaves(codes)["number"])]
    return lost.sort_values(["rows", *_KEY], ascending=[False, True, True], ignore_index=True)


def _distinct_codes(diagnoses: pd.DataFrame) -> tuple[pd.Series, pd.DataFrame]:
    """Number the distinct codes: a number for each row, and the cleaned codes by number."""
    missing = [name for name in _KEY if name not in diagnoses]
    if missing:
        raise InputError(f"Column {missing[0]!r} is missing from the table of diagnoses.")
    numbers = diagnoses.groupby(_KEY, sort=False, dropna=False).ngroup()
    codes = diagnoses.loc[~numbers.duplicated().to_numpy(), _KEY].reset_index(drop=True)
    text = codes["icd_code"].astype("str").str.replace(".", "", regex=False)
    return numbers, codes.assign(icd_code=text.str.strip().str.upper())


def _leaves(codes: pd.DataFrame) -> pd.DataFrame:
    """Leaf phecodes of distinct codes: ``number`` (their index) and ``phecode``."""
    table = icd_table()[[*_KEY, "phecode"]]
    waiting = codes[_KEY].assign(number=codes.index)
    waiting = waiting[waiting["icd_code"].notna()].astype({"icd_version": "int64"})
    found = []
    while len(waiting):
        hits = waiting.merge(table, on=_KEY)[["number", "phecode"]]
        found.append(hits)
        waiting = waiting[~waiting["number"].isin(hits["number"])]
        waiting = waiting[waiting["icd_code"].str.len() > _SHORTEST_CODE]
        waiting = waiting.assign(icd_code=waiting["icd_code"].str[:-1])
    if not found:
        return pd.DataFrame({"number": pd.Series(dtype="int64"), "phecode": pd.Series(dtype="str")})
    return pd.concat(found, ignore_index=True)


def _check_level(level: str) -> None:
    if level not in LEVELS:
        raise InputError(f"Unknown code level {level!r}; use one of {', '.join(LEVELS)}.")
