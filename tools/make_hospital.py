"""Make what never changes of the simulated hospital: its coefficients, its codes, and its truth.

    python tools/make_hospital.py            after a change of the tables in ehrsynth/hospital
    python tools/make_hospital.py --solve    the intercepts too (minutes)

What ``hospital.csv`` and its neighbors leave open is drawn here, once: ages.csv, diseases.csv,
leaves.csv, icd.csv. Intercepts are solved for the intended share of patients in whom a disease is
*recorded*, and who die (intercepts.csv). Then the truth follows (truth.json). A test makes all of
it again.
"""

import sys
import tomllib
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator
from scipy.special import expit, logit

from ehrsynth.files import write_json, write_table
from ehrsynth.hospital import care, illness
from ehrsynth.hospital.illness import Illness
from ehrsynth.hospital.people import (
    AGES,
    BIRTH_SHARE,
    FACTORS,
    WOMEN,
    age_units,
    declared,
    draw_people,
    group_chances,
    groups,
    pairs,
)
from ehrsynth.hospital.records import SECOND_LEAF
from ehrsynth.phecode import definitions, icd_table
from ehrsynth.schema import DIE_1Y, RACE
from ehrsynth.sources.tables import ASIAN, BLACK, HISPANIC, OTHER, RACES, WHITE

FOLDER = Path(illness.__file__).parent
HOSPITAL_SEED = 20_240_117  # of the hospital's coefficients, never of its patients
PUBLISHED: dict[str, Any] = tomllib.loads((FOLDER / "published.toml").read_text("utf-8"))
PUBLISHED["rare phecodes"] = {float(k): n for k, n in PUBLISHED["rare phecodes"].items()}

_YOUNG_SHARE = 0.3117  # of the others; solved with the means below to give the published mean, SD
_RACE_AGE = {WHITE: 0.25, BLACK: -0.15, ASIAN: -0.3, HISPANIC: -0.35, OTHER: -0.2}
_DYING_AGE = 0.85  # tilt of the age distribution, log odds over 20 years

# Leaf phecodes that occur. The published table had 1,600 columns, of which 12 are no phecodes.
_LEAVES = 1_600
_LEAF_SPREAD = 1.5  # of the log shares of the leaves of a whole phecode
# A count among the published patients misses most of the rarest codes; with so many more of them it
# finds the published numbers.
_UNSEEN = 18
_RAREST, _RARE_LIMIT = 3e-6, 9e-3  # prevalences of the leaves that hospital.csv does not name
_COMMON_CODES = ("4019", "I10", "2724", "E785", "25000", "E119", "42731", "I4891", "53081", "K219",
                 "3051", "F17210")  # fmt: skip
_MOST_CODES = 4  # ICD codes of each version that this hospital uses for a leaf

_LOADING_NOISE = 0.2
# How much the factors matter for diseases of at least this percent of the patients, and others.
_FREQUENT, _STRONG, _WEAK = 3.0, 1.3, 0.35
_BIRTH_HEALTH = -1.8  # log odds of every other disease in women who come to give birth
_IMPOSSIBLE = -60.0  # log odds
_HAZARD_SCALE = 0.5  # of the log hazard ratios of hospital.csv

REFERENCE = 150_000  # people over whom shares are averaged
_EACH_SYNDROME = 400  # of them have each syndrome
_LATE = 0.588  # mean of the relative time of the last admission, see people.admissions
_LATE_ENOUGH = 0.465  # share of last admissions in the days of ICD-10
_RISK_PEOPLE = 20_000  # over whom the outcome's risk is averaged
_AT_A_TIME = 8_192


# -- ages and races ------------------------------------------------------------------------


def _normal_ages(mean: float, sd: float) -> np.ndarray:
    """A normal distribution cut at 18 and with everyone above 91 counted as 91."""
    ages = np.arange(AGES[0], 106)
    mass = np.exp(-0.5 * ((ages - mean) / sd) ** 2)
    mass /= mass.sum()
    return np.append(mass[: len(AGES) - 1], mass[len(AGES) - 1 :].sum())


def ages() -> pd.DataFrame:
    """How the ages of women who give birth, of others and of the dying are distributed; races."""
    births = _normal_ages(31, 5.5) * (AGES <= 45)
    others = _YOUNG_SHARE * _normal_ages(36, 10) + (1 - _YOUNG_SHARE) * _normal_ages(70.06, 14)
    older = others * np.exp(_DYING_AGE * age_units(AGES))
    masses = {"birth": births / births.sum(), "others": others, "dying": older / older.sum()}
    table = pd.DataFrame({"age": AGES} | masses)
    races = pd.DataFrame(_race_given_age(_all_ages(table)), columns=list(RACES))
    return table.join(races)


def _all_ages(table: pd.DataFrame) -> np.ndarray:
    """Share of the patients of each of AGES."""
    birth, others = table["birth"].to_numpy(), table["others"].to_numpy()
    parts = [BIRTH_SHARE * birth, (WOMEN - BIRTH_SHARE) * others, (1 - WOMEN) * others]
    return np.sum(parts, axis=0)


def _race_given_age(ages: np.ndarray) -> np.ndarray:
    """Races by age with the published shares overall (rows: ages, columns: races)."""
    target = np.array(list(PUBLISHED["races"].values()))
    tilt = np.array([_RACE_AGE.get(race, 0.0) for race in RACES])
    odds = target * np.exp(np.outer(age_units(AGES), tilt))
    for _ in range(50):
        table = odds / odds.sum(axis=1, keepdims=True)
        odds = odds * target / (ages @ table)
    return odds / odds.sum(axis=1, keepdims=True)


# -- codes ---------------------------------------------------------------------------------


def _usable_codes() -> pd.DataFrame:
    """ICD codes that belong to one phecode and can stand on a bill (are no headings)."""
    table = icd_table().drop_duplicates(["icd_version", "icd_code"], keep=False)
    table = table.sort_values(["icd_version", "icd_code"], ignore_index=True)
    code = table["icd_code"].to_numpy(dtype=str)
    heading = np.append(np.char.startswith(code[1:], code[:-1]), False)
    billed = ~heading | table["icd_code"].isin(_COMMON_CODES)
    return table.loc[billed, ["icd_version", "icd_code", "phecode"]]


def _leaves(codes: pd.DataFrame, known: pd.Series, rng: Generator) -> pd.DataFrame:
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
    others = others[: _LEAVES - np.count_nonzero(first)]
    leaf = pd.DataFrame({"code": code, "whole_code": whole, "first": first})
    leaf["sex"] = code.map(definitions("leaf")["sex"])
    leaf.loc[others, "first"] = _rare(seen(leaf), len(others), rng)
    leaf = leaf[leaf["first"] > 0].reset_index(drop=True)
    number = pd.factorize(leaf["whole_code"])[0]
    return leaf.assign(whole=number, share=leaf["first"] / _within_whole(leaf))


def _shares_in(leaf: pd.DataFrame, sex: str) -> pd.Series:
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


def _icd(codes: pd.DataFrame, leaf: pd.DataFrame, version: int, rng: Generator) -> pd.DataFrame:
    """Codes as in icd.csv; ``step`` is the number of a leaf and the cumulative share within it."""
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
    twins, others = declared("twins"), declared("other_codes")
    usual = pd.DataFrame({
        "use": "disease",
        "icd_code": table["icd_code"],
        "long_title": table["phecode"].map(definitions("leaf")["name"]),
        "step": table["leaf"] + cumulative,
    })  # fmt: skip
    history = twins.assign(
        use="history", icd_code=twins[f"icd{version}"], long_title=twins["title"]
    )
    other = others[others["icd_version"] == version].assign(use="other")
    columns = ["icd_version", "use", "icd_code", "step", "long_title"]
    rows = pd.concat([usual, history, other]).assign(icd_version=version)
    return rows[columns].fillna({"step": 0})


# -- diseases ------------------------------------------------------------------------------


class Drawn(NamedTuple):
    """The hospital while every intercept is missing. There are W whole phecodes."""

    diseases: pd.DataFrame  # (W rows) as in diseases.csv
    leaf: pd.DataFrame  # see _leaves
    icd: pd.DataFrame  # as in icd.csv
    prevalence: np.ndarray  # (W,) share of the patients in whom each is recorded
    recorded: np.ndarray  # (races, W) share of the ill in whom a disease is recorded, on average


@lru_cache(maxsize=1)
def drawn() -> Drawn:
    """What is drawn once, always the same."""
    rng = np.random.default_rng(HOSPITAL_SEED)
    known, codes = declared("hospital").set_index("phecode"), _usable_codes()
    leaf = _leaves(codes, known["percent"] / 100, rng)
    whole = pd.Index(leaf["whole_code"].unique(), name="phecode")
    category = declared("categories").set_index("category")
    category = category.loc[definitions("phecode")["category"].reindex(whole)]
    coefficients = _coefficients(whole, category, known.reindex(whole), rng)
    for sex, name in (("F", "woman"), ("M", "man")):
        able = _shares_in(leaf, sex).groupby(leaf["whole"]).sum() > 0
        coefficients.loc[name] += np.where(able, 0, _IMPOSSIBLE)
    own = pd.DataFrame({"stage": _stages(whole), "again": category["again"].to_numpy()}, whole)
    return Drawn(
        diseases=own.join(_hazard_ratios(whole)).join(coefficients.T),
        leaf=leaf,
        icd=pd.concat([_icd(codes, leaf, version, rng) for version in (9, 10)]),
        prevalence=leaf.groupby("whole")["first"].sum().to_numpy(),
        recorded=_recorded_on_average(whole),
    )


def _feature_names() -> list[str]:
    """What the log odds of a disease depend on beside an intercept; as in illness.features."""
    plain = ["age", "age squared", "woman", "man", "gives birth", "no birth"]
    return [
        *plain, *FACTORS, *(f"{name} times age" for name in FACTORS),
        *(f"race {race}" for race in RACES),
        *groups("reason")["name"], *groups("syndrome")["name"],
    ]  # fmt: skip


def _coefficients(
    whole: pd.Index, category: pd.DataFrame, known: pd.DataFrame, rng: Generator
) -> pd.DataFrame:
    """Coefficients of the features (rows) for each whole phecode, but for the intercept."""
    size = len(whole)
    table = pd.DataFrame(0.0, index=_feature_names(), columns=whole)
    slope = pd.Series(category["age"].to_numpy() + rng.normal(0, 0.15, size), whole)
    table.loc["age"] = known["age"].fillna(slope)
    table.loc["age squared"] = category["age_squared"].to_numpy() + rng.normal(0, 0.35, size)
    table.loc["woman"] = known["female"].fillna(pd.Series(rng.normal(0, 0.15, size), whole))
    pregnancy = category.index == "pregnancy complications"
    table.loc["gives birth"] = np.where(pregnancy, 0, _BIRTH_HEALTH)
    table.loc["no birth"] = np.where(pregnancy, _IMPOSSIBLE, 0)
    loadings = category[FACTORS].to_numpy().T
    table.loc[FACTORS] = loadings + rng.normal(0, _LOADING_NOISE, loadings.shape)
    for row in declared("factors").itertuples():
        for code, value in pairs(row.codes).items():
            table.loc[row.factor, code] += value
        table.loc[row.factor] *= np.where(known["percent"] >= _FREQUENT, _STRONG, _WEAK)
        table.loc[f"{row.factor} times age"] = row.across_age * table.loc[row.factor]
    for row in declared("groups").itertuples():
        table.loc[row.name] = row.others
        for code, value in pairs(row.codes).items():
            table.loc[row.name, code] = value
    for row in declared("race_odds").itertuples():
        if row.phecode in whole:
            table.loc[f"race {row.race}", row.phecode] = row.log_odds
    return table


def _stages(whole: pd.Index) -> np.ndarray:
    """The order in which diseases are drawn: each after all that lead to it."""
    leads = declared("leads")
    before = [whole.get_indexer(text.split()) for text in leads["after"]]
    stage = np.zeros(len(whole), dtype=int)
    for _ in range(len(leads)):
        for code, sources in zip(whole.get_indexer(leads["disease"]), before, strict=True):
            stage[code] = max(stage[code], 1 + stage[sources].max())
    return stage


def _hazard_ratios(whole: pd.Index) -> pd.DataFrame:
    """Of each whole phecode the ``cause`` that it adds to, and its ``log_hazard_ratio`` alone."""
    rng = np.random.default_rng([HOSPITAL_SEED, 2])
    random = pd.Series(rng.normal(0.02, 0.12, len(whole)), whole)
    value = declared("hospital").set_index("phecode")["mortality"].reindex(whole).fillna(random)
    category = definitions("phecode")["category"].reindex(whole)
    cause = category.map(declared("categories").set_index("category")["cause"])
    for row in declared("causes").itertuples():
        cause[row.codes.split()] = row.cause
    return pd.DataFrame({"cause": cause, "log_hazard_ratio": value * _HAZARD_SCALE})


def _recorded_on_average(whole: pd.Index) -> np.ndarray:
    """Share of the ill in whom each disease is recorded, by race (rows)."""
    share = pd.DataFrame(1.0, index=RACES, columns=whole)
    for row in declared("recording").itertuples():
        races = [row.race] if row.race in RACES else list(RACES)
        share.loc[races, row.phecode] *= row.first + (row.last - row.first) * _LATE
    for row in declared("twins").itertuples():
        share[row.phecode] *= 1 - row.share * (1 - _LATE_ENOUGH)
    return share.to_numpy()


# -- intercepts ----------------------------------------------------------------------------


def reference_people(seed: int, n: int = REFERENCE) -> pd.DataFrame:
    """People over whom shares of all patients are averaged, with their ``weight``.

    Those with a syndrome are far more than by chance, and weigh the less.
    """
    rng = np.random.default_rng([HOSPITAL_SEED, seed])
    people = draw_people(n, rng, dying=0.0)
    chance = group_chances("syndrome", people)
    parts = [people.assign(syndrome=0, weight=chance[:, 0] / n)]
    for number in range(1, chance.shape[1]):
        able = np.flatnonzero(chance[:, number])
        some = rng.choice(able, _EACH_SYNDROME, p=chance[able, number] / chance[:, number].sum())
        share = chance[:, number].mean() / _EACH_SYNDROME
        parts.append(people.iloc[some].assign(syndrome=number, weight=share))
    everybody = pd.concat(parts, ignore_index=True)
    female, weight = everybody["female"], everybody["weight"]
    women = weight[female].sum() / weight.sum()
    exact = np.where(female, PUBLISHED["women"] / women, (1 - PUBLISHED["women"]) / (1 - women))
    return everybody.assign(weight=weight * exact / weight.sum())


def solve_illness(model: Illness, seed: int = 0, n: int = REFERENCE) -> np.ndarray:
    """The intercepts with which each disease is recorded in the intended share of the patients.

    Those of `model` are 0.
    """
    people = reference_people(seed, n)
    rng = np.random.default_rng([HOSPITAL_SEED, seed, 1])
    given, weight = illness.features(people), people["weight"].to_numpy()
    intercept = np.zeros(len(model.whole))
    has = np.zeros((len(people), len(model.whole)), dtype=bool)
    for stage in model.stages:
        odds = illness.log_odds(model, stage, given, has)
        recorded = (drawn().recorded[people[RACE]][:, stage] * weight[:, None]).astype(np.float32)
        target = drawn().prevalence[stage]
        solved = logit(target)
        for _ in range(12):
            p = expit((odds + solved).astype(np.float32))
            mean = (recorded * p).sum(axis=0, dtype=float)
            slope = (recorded * p * (1 - p)).sum(axis=0, dtype=float)
            newton = (logit(target) - logit(mean)) * mean * (1 - mean) / slope
            solved += np.clip(newton, -2, 2)
        intercept[stage] = solved
        has[:, stage] = rng.random(odds.shape) < expit(odds + solved)
    return intercept


def solve_death(model: Illness, seed: int = 0, n: int = REFERENCE) -> pd.Series:
    """The causes' intercepts: each its share of deaths, all together the published ones."""
    people = reference_people(seed, n)
    rng = np.random.default_rng([HOSPITAL_SEED, seed, 3])
    has = illness.draw_diseases(model, people, rng)
    causes, weight = declared("causes"), people["weight"].to_numpy()
    hazards = illness.hazards(people, has, illness.draw_body(people, has, rng))
    odds = np.log(hazards) - model.causes.to_numpy()
    target = causes["deaths"].to_numpy() * PUBLISHED["death within a year"]
    base = np.log(target / (weight @ np.exp(odds)))
    for _ in range(200):
        each = np.exp(odds + base)
        total = each.sum(axis=1)
        died = (weight * -np.expm1(-total) / total) @ each  # who dies of which cause
        base += 0.5 * np.log(target / died)
    return pd.Series(base, causes["cause"])


# -- the truth -----------------------------------------------------------------------------


def disease_chances(model: Illness, given: np.ndarray, has: np.ndarray) -> np.ndarray:
    """The chance of each whole phecode given the features and what leads to it, (n, W)."""
    chance = np.empty(has.shape)
    for stage in model.stages:
        chance[:, stage] = expit(illness.log_odds(model, stage, given, has))
    return chance


def _bent_codes() -> list[str]:
    """The whole phecodes whose effect on the hazards is not one number for everybody."""
    lists = [declared("outcome")["codes"], *(declared("causes")[name] for name in ("any", "three"))]
    bent = {code for text in pd.concat(lists) for code in text.split()}
    return sorted(bent.union(illness.BODY_DISEASES))


def _outcome_model(model: Illness) -> dict[str, Any]:
    """The hazards of death within a year, by cause; see the keys of ``truth.json``."""
    together = declared("outcome").groupby("cause")
    facts: dict[str, Any] = {"gives birth": illness.BIRTH}
    for row in declared("causes").itertuples():
        alone = model.hazard_ratios[row.cause]
        pairs = together.get_group(row.cause)
        facts[row.cause] = {
            "intercept": float(model.causes[row.cause]),
            "age": row.age,
            "years beyond 75": row.beyond_75 / 20,
            f"kg/m2 below {illness.THIN:.0f}": row.thin,
            f"kg/m2 above {illness.HEAVY:.0f}": row.heavy,
            f"mmHg below {illness.LOW:.0f}": row.low_pressure,
            "any of": {row.any: row.any_odds},
            "three of": {row.three: row.three_odds},
            "diseases": alone[alone != 0].to_dict(),
            "diseases together": dict(zip(pairs["codes"], pairs["log_odds"], strict=True)),
        }
    return facts


@lru_cache(maxsize=1)
def _risks() -> dict[str, Any]:
    """Shares of men and women with each phecode (2, W), risks of the outcome, shares who get care.

    The risk of those who have code j is the mean over people of the risk that they would have
    with it, weighted by their chance of it given what leads to it: nobody has to be drawn who
    really has a rare code. Where j leads to other diseases, these are drawn anew given j.
    """
    model, everybody = illness.illness(), reference_people(4, _RISK_PEOPLE)
    catalogs = {name: declared(name) for name in ("drugs", "procedures")}
    sums: dict[str, Any] = dict.fromkeys(["of all", "shares", "joint", "women", *catalogs], 0.0)
    for start in range(0, len(everybody), _AT_A_TIME):
        people = everybody.iloc[start : start + _AT_A_TIME].reset_index(drop=True)
        given = illness.features(people)
        has, usual, with_it = _block(model, people, given, [HOSPITAL_SEED, start])
        female, weight = people["female"].to_numpy(), people["weight"].to_numpy()
        sexes = np.array([weight * ~female, weight * female])
        chance = disease_chances(model, given, has) * drawn().recorded[people[RACE]]
        sums["of all"] += weight @ usual
        sums["women"] += sexes[1].sum()
        sums["shares"] += sexes @ chance
        sums["joint"] += sexes @ (chance * with_it)
        for name, table in catalogs.items():
            reasons = care.indications(table).astype(np.float32)
            sums[name] += weight @ (has.astype(np.float32) @ reasons > 0)
    # What is solved for is known better than from so few people.
    scale = drawn().prevalence / sums["shares"].sum(axis=0)
    risks = {"of all": sums["of all"], "women": sums["women"], "shares": sums["shares"] * scale}
    with np.errstate(invalid="ignore"):  # nobody of the other sex
        risks["of those with it"] = np.nan_to_num(sums["joint"] / sums["shares"])
    for name, table in catalogs.items():
        percent = sums[name] * table["indicated"] + (1 - sums[name]) * table["others"]
        risks[name] = percent.to_numpy() / 100
    return risks


def _block(
    model: Illness, people: pd.DataFrame, given: np.ndarray, seed: list[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What people have, their risk, and (n, W) the risk that they would have with each phecode."""
    has = np.zeros((len(people), len(model.whole)), dtype=bool)
    draws = np.random.default_rng([*seed, 1]).random(has.shape)
    illness.draw_stages(model, given, draws, has)

    def hazards_of(has: np.ndarray) -> np.ndarray:
        body = illness.draw_body(people, has, np.random.default_rng([*seed, 2]))
        return illness.hazards(people, has, body)

    usual = hazards_of(has)
    more = usual @ np.expm1(model.hazard_ratios.to_numpy()).T
    with_it = -np.expm1(-(usual.sum(axis=1)[:, None] + ~has * more))
    leading = {code for text in declared("leads")["after"] for code in text.split()}
    for code in sorted({*_bent_codes(), *leading}):
        column, then = model.whole.get_loc(code), has.copy()
        then[:, column] = True
        first = next(n for n, stage in enumerate(model.stages) if column in stage)
        illness.draw_stages(model, given, draws, then, first + 1)
        with_it[:, column] = illness.risk(hazards_of(then))
    return has, illness.risk(usual), with_it


def _codes(level: str) -> pd.DataFrame:
    """What :func:`ehrsynth.hospital.truth.codes` gives."""
    leaf, risks = drawn().leaf, _risks()
    code, chance, whole = illness.illness().whole, np.ones((2, 1)), slice(None)
    if level == "leaf":
        code, whole = leaf["code"], leaf["whole"]
        # Of each leaf, as first or second draw, in men and women who have its whole code.
        shares = np.array([_shares_in(leaf, sex).to_numpy() for sex in ("M", "F")])
        chance = shares * (1 + SECOND_LEAF * (1 - shares))
    both = risks["shares"][:, whole] * chance
    share, joint = both.sum(axis=0), (both * risks["of those with it"][:, whole]).sum(axis=0)
    died = risks["of all"]
    odds = joint * (1 - share - died + joint) / ((share - joint) * (died - joint))
    table = definitions(level).reindex(code)[["name", "sex"]].rename_axis("code")
    return table.assign(prevalence=share, odds_ratio=odds, log_odds_ratio=np.log(odds))


def truth() -> dict[str, Any]:
    """The whole truth by name, but for the coefficients in diseases.csv."""
    model, risks, table = illness.illness(), _risks(), ages()
    share = _all_ages(table)
    mean = share @ AGES
    races = share @ table[list(RACES)].to_numpy()
    facts: dict[str, Any] = {
        "keys": dict(declared("truth").to_numpy().tolist()),
        "made_with": {
            "patients": None,
            "seed": None,
            "hospital_seed": HOSPITAL_SEED,
            "people_behind_odds_ratios": _RISK_PEOPLE,
        },
        "cohort": "patients with an admission who did not die in hospital",
        "people": {
            "age_mean": float(mean),
            "age_sd": float(np.sqrt(share @ (AGES - mean) ** 2)),
            "women": float(risks["women"]),
            "races": dict(zip(RACES, races.tolist(), strict=True)),
        },
        "outcome": {"name": DIE_1Y, "prevalence": float(risks["of all"])},
        "outcome_model": _outcome_model(model),
        "codes": {level: _codes(level).to_dict("index") for level in ("phecode", "leaf")},
        "disease_model": {},
        "leads": declared("leads").to_dict("records"),
        "latent_factors": declared("factors").set_index("factor")["leaning"].to_dict(),
        "reasons": _groups("reason"),
        "syndromes": _groups("syndrome"),
        "recording": declared("recording").to_dict("records"),
        "twins": declared("twins").to_dict("records"),
        "sites": declared("sites").to_dict("records"),
        "drugs": _care("drugs", ["ingredient", "names"]),
        "procedures": _care("procedures", ["title", "icd9", "icd10", "again"]),
        "labs": [
            row | {"effects": pairs(row["effects"])} for row in declared("labs").to_dict("records")
        ],
    }
    return _rounded(facts)


def _groups(kind: str) -> list[dict]:
    """The reasons or syndromes; what they do to diseases stands in disease_model."""
    return groups(kind).drop(columns=["kind", "codes", "others"]).to_dict("records")


def _care(name: str, columns: list[str]) -> list[dict]:
    table = declared(name)[[*columns, "indication", "indicated", "others"]]
    return [
        row | {"prevalence": float(share), "indication": row["indication"].split()}
        for row, share in zip(table.to_dict("records"), _risks()[name], strict=True)
    ]


def _rounded(value):
    """The same with all numbers to eight digits."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.8g}") if isinstance(value, float) else value


# -- the files -----------------------------------------------------------------------------


def tables() -> dict[str, pd.DataFrame]:
    """The tables that are drawn, by the names of their files."""
    leaf = drawn().leaf
    steps = {sex: _shares_in(leaf, sex).groupby(leaf["whole"]).cumsum() for sex in ("F", "M")}
    steps = {sex: share + leaf["whole"] for sex, share in steps.items()}
    return {
        "ages": ages(),
        "diseases": drawn().diseases.reset_index(),
        "leaves": leaf[["code"]].assign(**steps),
        "icd": drawn().icd,
    }


def without_intercepts() -> Illness:
    """The diseases while every intercept is 0."""
    return _with_intercepts(0.0)


def _with_intercepts(values: float | np.ndarray) -> Illness:
    disease = illness.illness().disease.copy()
    disease.loc["intercept"] = values
    return replace(illness.illness(), disease=disease)


def solve() -> None:
    """Write ``intercepts.csv``: those of the diseases first, for those of the deaths need them."""
    model = without_intercepts()
    found = pd.Series(solve_illness(model), model.whole)
    base = solve_death(_with_intercepts(found.to_numpy()))
    table = pd.concat([found, base]).round(4).rename("intercept").rename_axis("phecode")
    write_table(table.reset_index(), FOLDER / "intercepts.csv")
    declared.cache_clear()
    illness.illness.cache_clear()


if __name__ == "__main__":
    for name, table in tables().items():
        write_table(table, FOLDER / f"{name}.csv")
    if "--solve" in sys.argv[1:]:
        solve()
    write_json(truth(), FOLDER / "truth.json")
