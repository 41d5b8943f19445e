"""Which codes the simulated hospital uses, and how frequent they are.

``hospital.csv`` says what is known or assumed of single phecodes. The others are drawn so that all
together have the published tail; each leaf is written in a few ICD codes of either version.
"""

import tomllib
from functools import lru_cache
from importlib.resources import as_file, files
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator

from ..phecode import definitions, icd_table

PUBLISHED: dict[str, Any] = tomllib.loads(
    files("ehrsynth.hospital").joinpath("published.toml").read_text("utf-8")
)
PUBLISHED["rare phecodes"] = {float(k): n for k, n in PUBLISHED["rare phecodes"].items()}
_LEAF_SPREAD = 1.5  # of the log shares of the leaves of a whole phecode
# A count among the published patients misses most of the rarest codes; with so many more of them it
# finds the published numbers.
_UNSEEN = 18
_RAREST, _RARE_LIMIT = 3e-6, 9e-3  # prevalences of the leaves that hospital.csv does not name
SECOND_LEAF = 0.25  # chance that a whole phecode is coded with a second of its leaves
_COMMON_CODES = ("4019", "I10", "2724", "E785", "25000", "E119", "42731", "I4891", "53081", "K219",
                 "3051", "F17210")  # fmt: skip
_MOST_CODES = 4  # ICD codes of each version that this hospital uses for a leaf


@lru_cache
def declared(name: str) -> pd.DataFrame:
    """One of the tables in this folder: what is known or assumed."""
    text = ("indication", "effects", "icd9", "icd10", "dose", "low", "high", "icd_code", "phecode",
            "codes", "disease", "after", "any", "three")  # fmt: skip
    with as_file(files("ehrsynth.hospital") / f"{name}.csv") as path:
        types = dict.fromkeys(text, str)
        return pd.read_csv(path, dtype=types, keep_default_na=name == "hospital")


def pairs(text: str) -> dict[str, float]:
    """What a cell like "571=0.6 070=0.5" says of single phecodes."""
    return {code: float(value) for code, value in (pair.split("=") for pair in text.split())}


def usable_codes() -> pd.DataFrame:
    """ICD codes that belong to one phecode and can stand on a bill (are no headings)."""
    table = icd_table().drop_duplicates(["icd_version", "icd_code"], keep=False)
    table = table.sort_values(["icd_version", "icd_code"], ignore_index=True)
    code = table["icd_code"].to_numpy(dtype=str)
    heading = np.append(np.char.startswith(code[1:], code[:-1]), False)
    billed = ~heading | table["icd_code"].isin(_COMMON_CODES)
    return table.loc[billed, ["icd_version", "icd_code", "phecode"]]


def leaves(codes: pd.DataFrame, known: pd.Series, rng: Generator) -> pd.DataFrame:
    """Which leaf phecodes occur in this hospital, and how often; shares not `known` are drawn.

    ``code``, ``whole_code``, ``whole`` (its number), ``sex``, ``first`` (share of the patients in
    whom it is the first leaf drawn) and ``share`` (``first`` over its sum within the whole code).
    """
    sizes = codes.groupby(["phecode", "icd_version"]).size().unstack(fill_value=0)
    code = pd.Series(sizes.index[(sizes > 0).all(axis=1)])  # known to both ICD versions
    whole = code.str.split(".").str[0]
    first = np.zeros(len(code))
    within = (code.map(known) / whole.map(known)).where(code != whole).to_numpy()
    for name, members in code[whole.isin(known.index)].groupby(whole).groups.items():
        first[members] = known[name] * _shares(within[members], rng)
    others = rng.permutation(np.flatnonzero(first == 0))
    others = others[: PUBLISHED["phecodes"] - np.count_nonzero(first)]
    leaf = pd.DataFrame({"code": code, "whole_code": whole, "first": first})
    leaf["sex"] = code.map(definitions("leaf")["sex"])
    leaf.loc[others, "first"] = _rare(seen(leaf), len(others), rng)
    leaf = leaf[leaf["first"] > 0].reset_index(drop=True)
    number = pd.factorize(leaf["whole_code"])[0]
    return leaf.assign(whole=number, share=leaf["first"] / _within_whole(leaf))


def shares_in(leaf: pd.DataFrame, sex: str) -> pd.Series:
    """Share of each leaf of its whole phecode in one sex; 0 where that sex cannot have it."""
    share = leaf["share"].where(leaf["sex"].isin(("", sex)), 0.0)
    total = share.groupby(leaf["whole"]).transform("sum")
    return share / total.where(total > 0, 1)


def _within_whole(leaf: pd.DataFrame) -> pd.Series:
    """What all leaves of the same whole phecode have together."""
    return leaf.groupby("whole_code")["first"].transform("sum")


def _shares(known: np.ndarray, rng: Generator) -> np.ndarray:
    """Shares of the leaves of one whole phecode as first draw, some of them given as seen.

    A leaf with share q of the first draws is seen in q (1 + s (1 - q)) of those who have the
    whole phecode, s being the chance of a second draw; this is solved for q where it is known.
    """
    weights = np.exp(_LEAF_SPREAD * rng.standard_normal(len(known)))
    given = ~np.isnan(known)
    share, half = np.zeros(len(known)), (1 + SECOND_LEAF) / 2
    share[given] = (half - np.sqrt(half**2 - SECOND_LEAF * known[given])) / SECOND_LEAF
    if share.sum() >= 1:
        raise ValueError("hospital.csv gives leaves that together exceed their whole phecode")
    share[~given] = (1 - share.sum()) * weights[~given] / weights[~given].sum()
    return share


def seen(leaf: pd.DataFrame) -> np.ndarray:
    """Share of the patients in whom each leaf is coded, as first or as second draw."""
    share = leaf["first"] / _within_whole(leaf).where(leaf["first"] > 0, 1)
    return (leaf["first"] * (1 + SECOND_LEAF * (1 - share))).to_numpy()


def _rare(seen: np.ndarray, n: int, rng: Generator) -> np.ndarray:
    """Prevalences of `n` more leaves so that all of them together have the published tail."""
    limits = np.log10([_RAREST, *PUBLISHED["rare phecodes"], _RARE_LIMIT])
    counts = np.diff([0, *PUBLISHED["rare phecodes"].values(), len(seen)])
    counts[0] += _UNSEEN
    have, _ = np.histogram(np.log10(seen[seen > 0]), bins=[-9, *limits[1:-1], 0])
    want = np.maximum(counts - have, 0)[:-1]
    want = [*want, max(n - want.sum(), 0)]
    pieces = zip(want, limits[:-1], limits[1:], strict=True)
    values = np.concatenate([low + (high - low) * rng.random(k) for k, low, high in pieces])
    return 10 ** rng.permutation(values)[:n]


def icd_shares(
    codes: pd.DataFrame, leaf: pd.DataFrame, version: int, rng: Generator
) -> tuple[np.ndarray, np.ndarray]:
    """ICD codes used for each leaf: the codes, and the number of the leaf + cumulative share."""
    table = codes[codes["icd_version"] == version]
    number = pd.Index(leaf["code"]).get_indexer(table["phecode"])
    table = table.assign(leaf=number, draw=rng.random(len(table)))[number >= 0]
    # The codes that everybody uses come first, then the "unspecified" ones, which end in 9.
    table["draw"] -= table["icd_code"].str.endswith("9") + 2 * table["icd_code"].isin(_COMMON_CODES)
    table = table.sort_values(["leaf", "draw"])
    rank = table.groupby("leaf").cumcount()
    table, rank = table[rank < _MOST_CODES], rank[rank < _MOST_CODES]
    weight = 0.4**rank
    share = weight / weight.groupby(table["leaf"]).transform("sum")
    cumulative = share.groupby(table["leaf"]).cumsum()
    return table["icd_code"].to_numpy(str), (table["leaf"] + cumulative).to_numpy()
