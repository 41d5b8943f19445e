"""From ICD-9-CM and ICD-10-CM codes to phecodes, the same way for both.

Every ICD code is mapped to its most specific phecode (the leaf) and then rolled up to one level, so
that a code tells the disease and never the coding system it was written in. The table is phecode
1.2 (Wei et al. 2017, doi 10.1371/journal.pone.0175508; Wu et al. 2019, doi 10.2196/14325).
"""

import logging
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from .errors import InputError, check_choice, first_bad
from .protection import often, told
from .schema import Column

log = logging.getLogger(__name__)

LEVELS = ("phecode", "leaf", "category")
_KEY = ["icd_version", "icd_code"]
_SHORTEST_CODE = 3
_ONE_CODE = r"(?:[A-Z]\d[0-9A-Z]*|\d{1,5})(?:\.[0-9A-Z]*)?"
_TWO_CODES = rf"{_ONE_CODE}(?:[\s,;|/+&]+{_ONE_CODE})+[\s,;|/+&]*"
_VERSION = r"^(?:ICD)?[-_ ]*(9|10)(?:\.0+)?(?:[-_ ]*CM)?$"
Block: TypeAlias = tuple[pd.DataFrame, list[Column]]  # 0/1 columns, and what they are


class Coded(NamedTuple):
    """Patient `row` of `n` has the code `number` of those `found`, of which each has some ``rows``.
    Chapter data-types, "A bag of codes".
    """

    row: np.ndarray
    number: np.ndarray
    found: pd.DataFrame
    n: int

    def log_lost(self, known: pd.Index, keys: list[str], what: str, names: str) -> None:
        """Say how many rows have a code that is not `known`, and which many patients have."""
        lost = self.found[~self.found.index.isin(known)]
        if len(lost):
            ascending = [False, *[True] * len(keys)]
            texts = lost.sort_values(["rows", *keys], ascending=ascending)[keys[-1]]
            log.info(
                "%s of %s %s (%s %s%s).", told(lost["rows"].sum()), told(self.found["rows"].sum()),
                what, f"{len(lost):,}", names, often(texts, self.row, self.number),
            )  # fmt: skip


@lru_cache(maxsize=1)
def icd_table() -> pd.DataFrame:
    """The shipped table: icd_version, icd_code, phecode, name, category, sex (read-only).
    Chapter data-types, "From ICD codes to phecodes".
    """
    table = pd.read_parquet(Path(__file__).with_name("phecodes.parquet"))
    return table.astype(dict.fromkeys(table.columns, str) | {"icd_version": "int64"})


def roll_up(phecodes: pd.Series, level: str = "phecode") -> pd.Series:
    """Leaf phecodes to one level. Chapter data-types, "Which level?".

    Parameters
    ----------
    phecodes : Series of str
        Leaves, e.g. "250.21".
    level : {"phecode", "leaf", "category"}
        The whole phecode ("250"), the leaf itself, or its category ("endocrine/metabolic").
    """
    check_choice("code level", level, LEVELS)
    if level == "leaf":
        return phecodes
    if level == "phecode":
        return phecodes.str.split(".").str[0]
    return phecodes.map(definitions("leaf")["category"])


@lru_cache(maxsize=len(LEVELS))
def definitions(level: str = "leaf") -> pd.DataFrame:
    """Name, category and sex of every code. Chapter data-types, "From ICD codes to phecodes".

    They are indexed by code: ``name``, ``category``, ``sex`` (the only one it occurs in, else "");
    read-only, as they are kept for the next call.

    Parameters
    ----------
    level : {"phecode", "leaf", "category"}
        "leaf" lists every phecode of the table, whole ones too.
    """
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
    three characters (ICD-10-CM adds codes every year); :func:`unmapped` lists what is left out.
    Chapter data-types, "From ICD codes to phecodes".

    Out come the other columns and ``phecode``, a row for each pair of diagnosis and phecode; the
    index is that of `diagnoses`, repeated where a code has two phecodes.

    Parameters
    ----------
    diagnoses : DataFrame
        ``icd_code`` (text, one code a cell; 38.9 is read as 038.9), ``icd_version`` (9 or 10, or a
        text such as "ICD10CM") and anything else.
    level : {"phecode", "leaf", "category"}
    """
    numbers, _, leaves = _leaves(diagnoses)
    pairs = leaves.assign(phecode=roll_up(leaves["phecode"], level)).drop_duplicates()
    # Joined on numbers of our own, so that the other columns may have any name.
    rows = pd.DataFrame({"number": numbers.to_numpy(), "row": range(len(diagnoses))})
    found = rows.merge(pairs, on="number", sort=False)
    mapped = diagnoses.drop(columns=_KEY).iloc[found["row"].to_numpy()]
    return mapped.assign(phecode=found["phecode"].to_numpy())


def unmapped(diagnoses: pd.DataFrame) -> pd.DataFrame:
    """What :func:`map_icd` leaves out. Chapter data-types, "From ICD codes to phecodes".

    Each has ``icd_version``, ``icd_code`` and ``rows``, how many have it; the most frequent first.

    Parameters
    ----------
    diagnoses : DataFrame
    """
    numbers, codes, leaves = _leaves(diagnoses)
    codes = codes.assign(rows=numbers.value_counts().reindex(codes.index).to_numpy())
    lost = codes[~codes.index.isin(leaves["number"])]
    return lost.sort_values(["rows", *_KEY], ascending=[False, True, True], ignore_index=True)


def era_association(diagnoses: pd.DataFrame, level: str = "phecode") -> pd.DataFrame:
    """How much each phecode tells in which ICD version a patient was coded, before and after.

    Before: as published, ICD-9 401.9 is 401 and ICD-10 I10 is 401.1. After: both to the leaf and
    then to one level. Patients with codes of both versions are left out.
    Chapter data-types, "Break it. What goes wrong: the era artefact".

    The most telling first: ``mapping`` ("published" or "one level"), ``phecode``, ``name``,
    ``icd9``, ``icd10`` (share of that version's patients), and ``phi``, the correlation of
    having it with being coded in ICD-10.

    Parameters
    ----------
    diagnoses : DataFrame
        ``subject_id``, ``icd_code`` and ``icd_version``.
    level : {"phecode", "leaf", "category"}
        Of the second mapping.
    """
    versions = _versions(diagnoses["icd_version"])
    rows = diagnoses[["subject_id", *_KEY]].assign(icd_version=versions, version=versions)
    era, size = _eras(rows["version"], rows["subject_id"])
    if not size.all():
        raise InputError(
            "The association with the ICD version needs patients coded in ICD-9 only and patients "
            f"coded in ICD-10 only; there are {size[9]} and {size[10]}."
        )
    rows = rows[rows["subject_id"].isin(era.index)]
    leaves = map_icd(rows, "leaf")
    above = roll_up(leaves["phecode"], "phecode")
    published = leaves.assign(phecode=leaves["phecode"].where(leaves["version"] == 10, above))
    parts = {
        "published": _association(published, size, definitions("leaf")["name"]),
        "one level": _association(map_icd(rows, level), size, definitions(level)["name"]),
    }
    table = pd.concat(parts, names=["mapping"]).reset_index()
    return table.sort_values("phi", key=np.abs, ascending=False, kind="stable", ignore_index=True)


def _eras(version: pd.Series, patient: pd.Series | np.ndarray) -> tuple[pd.Series, pd.Series]:
    """The ICD version of every patient who is coded in one only, and how many patients each has."""
    span = version.groupby(patient).agg(["min", "max"])
    era = span.loc[span["min"] == span["max"], "min"]
    return era, era.value_counts().reindex([9, 10], fill_value=0)


def _association(mapped: pd.DataFrame, size: pd.Series, names: pd.Series) -> pd.DataFrame:
    """By phecode: ``name``, its shares ``icd9`` and ``icd10``, and ``phi`` with the version."""
    once = mapped.drop_duplicates(["subject_id", "phecode"])
    has = pd.crosstab(once["phecode"], once["version"]).reindex(columns=[9, 10], fill_value=0)
    share, every = has / size, has.sum(axis=1) / size.sum()
    weight = (size[9] / size.sum()) * (size[10] / size.sum())
    # The correlation of two 0/1 columns, from their shares (0/0 when everybody has the code).
    phi = (share[10] - share[9]) * (weight / (every * (1 - every))) ** 0.5
    table = pd.DataFrame({"icd9": share[9], "icd10": share[10], "phi": phi.fillna(0.0)})
    table.insert(0, "name", names)
    return table


@lru_cache(maxsize=1)
def _one_era_codes() -> pd.DataFrame:
    """``icd_version``, ``icd_code`` (without a phecode) and ``phecode`` (leaf) of its ``twin``."""
    path = Path(__file__).with_name("one_era.csv")
    codes = pd.read_csv(path, dtype={"icd_code": "str", "twin": "str"})
    other = codes.assign(icd_version=19 - codes["icd_version"], icd_code=codes["twin"])
    return codes.join(map_icd(other[_KEY], "leaf")["phecode"], how="inner")


def one_era(diagnoses: pd.DataFrame, level: str = "phecode") -> pd.DataFrame:
    """Phecodes that one ICD version misses, because a code has none where its twin has one.

    ICD-9 V15.82 has no phecode, its translation Z87.891 has 318 (by the General Equivalence
    Mappings of the Centers for Medicare & Medicaid Services).
    Chapter data-types, "What is left: twins".

    The surest first: ``phecode``, ``name``, ``missed_by`` (9 or 10), its ``codes`` and their
    ``twins``, ``patients`` who have a code and not the phecode, ``icd9``, ``icd10`` (share of
    the patients who have the phecode), ``mapped`` (the smaller share, were the codes mapped),
    ``p`` (Fisher's test, times the number of rows) and ``beyond_chance`` (p below .05).

    Parameters
    ----------
    diagnoses : DataFrame
        ``subject_id``, ``icd_code`` and ``icd_version``.
    level : {"phecode", "leaf", "category"}
    """
    row, people = diagnoses["subject_id"].factorize()
    numbers, codes, _ = _leaves(diagnoses)
    return one_era_of(Coded(row, numbers.to_numpy(), codes, len(people)), level)


def one_era_of(coded: Coded, level: str) -> pd.DataFrame:
    """:func:`one_era` of codes that are counted. Chapter data-types, "What is left: twins"."""
    row, number, found, _ = coded
    era, size = _eras(pd.Series(found["icd_version"].to_numpy()[number]), row)
    known = pd.DataFrame({"row": row, "number": number})[np.isin(row, era.index)]
    _, codes, leaves = _leaves(found)
    leaves, twins = (table.assign(phecode=roll_up(table["phecode"], level))
                     for table in (leaves, _one_era_codes()))  # fmt: skip
    has = known.merge(leaves, on="number")
    lost = known.merge(codes[_KEY], left_on="number", right_index=True).merge(twins, on=_KEY)
    rows = [
        _missed(phecode, part, has.loc[has["phecode"] == phecode, "row"].unique(), era, size)
        for phecode, part in lost.groupby("phecode") if size.all()
    ]  # fmt: skip
    names = ["phecode", "missed_by", "codes", "twins", "patients", "icd9", "icd10", "mapped", "p"]
    table = pd.DataFrame([row for row in rows if row[4]], columns=names)
    table.insert(1, "name", table["phecode"].map(definitions(level)["name"]))
    p = (table["p"].astype(float) * len(table)).clip(upper=1)
    table = table.assign(p=p, beyond_chance=p < 0.05)
    return table.sort_values("p", kind="stable", ignore_index=True)


def _missed(
    phecode: str, lost: pd.DataFrame, have: np.ndarray, era: pd.Series, size: pd.Series
) -> tuple:
    """A row of :func:`one_era`: `lost` are the rows without the phecode, who else has it `have`."""
    from scipy.stats import fisher_exact

    version = int(lost["icd_version"].mode()[0])
    lost = lost[lost["icd_version"] == version]
    gained = len(set(lost["row"]) - set(have))
    count = era.reindex(have).value_counts().reindex([9, 10], fill_value=0)
    table = [[count[v], size[v] - count[v]] for v in (version, 19 - version)]
    share, mapped = count / size, (count[version] + gained) / size[version]
    written = [", ".join(sorted(lost[name].unique())) for name in ("icd_code", "twin")]
    p = fisher_exact(table, "less").pvalue
    return phecode, version, *written, gained, share[9], share[10], mapped, p


def code_table(diagnoses: pd.DataFrame, subjects: pd.Index, level: str) -> Block:
    """A 0/1 column for each code of these subjects. Chapter data-types, "A bag of codes"."""
    known = diagnoses[diagnoses["subject_id"].isin(subjects)]
    groups = known.groupby(_KEY, dropna=False)
    found = groups.size().rename("rows").reset_index()
    row, number = subjects.get_indexer(known["subject_id"]), groups.ngroup().to_numpy()
    codes, columns = indicators(Coded(row, number, found, len(subjects)), level)
    return codes.set_axis(subjects), columns


def indicators(coded: Coded, level: str) -> Block:
    """A 0/1 column for each phecode. Chapter data-types, "A bag of codes"."""
    mapped, meaning = map_icd(coded.found, level)["phecode"], definitions(level)
    coded.log_lost(mapped.index, _KEY, "diagnosis rows have no phecode", "codes")
    columns = {code: Column(f"phe_{code.replace(' ', '_')}", "binary", "diagnosis",
                            meaning.at[code, "name"], code=code, sex=meaning.at[code, "sex"])
               for code in np.sort(mapped.unique())}  # fmt: skip
    return zeros_and_ones(coded, mapped, columns)


def zeros_and_ones(coded: Coded, codes: pd.Series, columns: Mapping[str, Column]) -> Block:
    """1 (uint8) where a patient has a number whose code, one of `codes`, is that of the column.
    Chapter data-types, "A bag of codes".
    """
    place = pd.Index(list(columns)).get_indexer(codes)
    pairs = pd.DataFrame({"number": codes.index, "place": place})
    has = pd.DataFrame({"row": coded.row, "number": coded.number}).merge(pairs, on="number")
    # Column by column in memory, as pandas will read it.
    values = np.zeros((coded.n, len(columns)), dtype=np.uint8, order="F")
    values[has["row"], has["place"]] = 1
    names = [column.name for column in columns.values()]
    return pd.DataFrame(values, columns=names, copy=False), list(columns.values())


def _leaves(diagnoses: pd.DataFrame) -> tuple[pd.Series, pd.DataFrame, pd.DataFrame]:
    """The number of each row's code, the distinct cleaned codes, and (number, leaf phecode)."""
    if missing := [name for name in _KEY if name not in diagnoses]:
        raise InputError(f"Column {missing[0]!r} is missing from the table of diagnoses.")
    numbers = diagnoses.groupby(_KEY, sort=False, dropna=False).ngroup()
    codes = diagnoses[_KEY].reset_index(drop=True)[~numbers.duplicated().to_numpy()]
    versions = _versions(codes["icd_version"])
    codes = codes.assign(icd_code=_codes(codes["icd_code"], versions), icd_version=versions)
    codes = codes.reset_index(drop=True)
    table = icd_table()[[*_KEY, "phecode"]]
    waiting = codes[_KEY].assign(number=codes.index)
    waiting = waiting[waiting["icd_code"].notna()]
    found = [pd.DataFrame({"number": pd.Series(dtype="int64"), "phecode": pd.Series(dtype="str")})]
    while len(waiting):
        hits = waiting.merge(table, on=_KEY)[["number", "phecode"]]
        found.append(hits)
        waiting = waiting[~waiting["number"].isin(hits["number"])]
        waiting = waiting[waiting["icd_code"].str.len() > _SHORTEST_CODE]
        waiting = waiting.assign(icd_code=waiting["icd_code"].str[:-1])
    return numbers, codes, pd.concat(found, ignore_index=True)


def _codes(written: pd.Series, versions: pd.Series) -> pd.Series:
    """Codes in capitals, without dots and with the zeros in front that a spreadsheet took."""
    present = written.dropna()
    if len(present) and not present.map(lambda code: isinstance(code, str)).all():
        raise InputError(
            "Column 'icd_code' holds numbers, and 250, 250.0 and 250.00 are different codes; read "
            "it as text (dtype=str)."
        )
    text = written.astype("str").str.strip().str.upper()
    if bad := first_bad(text, text.str.fullmatch(_TWO_CODES, na=False)):
        raise InputError(
            f"Column 'icd_code' holds several codes in one cell, first in row {bad.label + 1}; "
            "give each code a row of its own."
        )
    # Before the dot ICD-9 has three digits, behind a V two: 38.9 can only be 038.9.
    whole = text.str.replace(
        r"^([VE]?)(\d+)(?=\.|$)",
        lambda found: found[1] + found[2].zfill(2 if found[1] == "V" else 3), regex=True,
    )  # fmt: skip
    text = text.where(versions != 9, whole)
    return text.str.replace(".", "", regex=False)


def _versions(written: pd.Series) -> pd.Series:
    """The version of each code as 9 or 10, also where it is written as ICD9CM or ICD-10-CM."""
    if pd.api.types.is_integer_dtype(written) and written.isin((9, 10)).all():
        return written.astype("int64")
    text = written.astype(object).where(written.notna(), "nothing").astype(str).str.strip()
    number = text.str.upper().str.extract(_VERSION, expand=False).astype("float64")
    if bad := first_bad(text, ~number.isin((9, 10))):
        raise InputError(
            f"Column 'icd_version' has {bad.value[:20]!r} in row {bad.label + 1}; write 9 or 10 "
            "(ICD-9-CM or ICD-10-CM)."
        )
    return number.astype("int64")
