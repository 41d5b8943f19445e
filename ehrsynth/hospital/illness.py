"""Which diseases the people of the simulated hospital have, and which of them are written down.

Each whole phecode follows a logistic model in :func:`feature_names`: age, sex, giving birth, race,
the latent factors (some stronger with age), the reason to come and the syndrome. Diseases that
lead to others (``leads.csv``) are drawn first. Intercepts are solved for the intended share of
patients in whom a disease is *recorded* (``intercepts.csv``, by ``tools/simulated_hospital.py``).
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.random import Generator
from scipy.special import expit

from ..phecode import definitions
from ..schema import AGE, RACE
from ..sources.tables import RACES
from .codes import PUBLISHED, declared, icd_shares, leaves, pairs, shares_in, usable_codes
from .people import FACTORS, age_units, draw_people, group_chances, groups

HOSPITAL_SEED = 20_240_117  # of the hospital's coefficients, never of its patients

_LOADING_NOISE = 0.2
# How much the factors matter for diseases of at least this percent of the patients, and others.
_FREQUENT, _STRONG, _WEAK = 3.0, 1.3, 0.35
_BIRTH_HEALTH = -1.8  # log odds of every other disease in women who come to give birth
_IMPOSSIBLE = -60.0  # log odds
_BLOCK = 4_096  # people at a time; any number gives the same people
REFERENCE = 150_000  # people over whom shares are averaged
_EACH_SYNDROME = 400  # of them have each syndrome
_LATE = 0.588  # mean of the relative time of the last admission, see stays.admissions
_LATE_ENOUGH = 0.465  # share of last admissions in the days of ICD-10


@dataclass(frozen=True)
class Stage:
    """Diseases that are drawn together, given those of the stages before."""

    codes: np.ndarray  # (k,) their numbers
    first: np.ndarray  # (t,) the diseases that lead to them ...
    second: np.ndarray  # (t,) ... where both are there (the same number twice for one alone)
    odds: np.ndarray  # (t, k) log odds ratios


@dataclass(frozen=True)
class Illness:
    """The coefficients of the diseases. There are W whole phecodes and F features."""

    whole: pd.Index  # whole phecodes
    disease: np.ndarray  # (F, W) coefficients of the log odds; see feature_names
    stages: tuple[Stage, ...]
    prevalence: np.ndarray  # (W,) share of the patients in whom each is recorded
    recorded: np.ndarray  # (races, W) share of the ill in whom a disease is recorded, on average
    again: np.ndarray  # (W,) chance that a later admission codes the disease again
    leaf: pd.DataFrame  # see codes.leaves
    # For each sex the cumulative shares of the leaves, plus the number of the whole phecode.
    leaf_steps: dict[str, np.ndarray]
    # For each ICD version the codes and their cumulative shares, plus the number of the leaf.
    icd: dict[int, tuple[np.ndarray, np.ndarray]]


@lru_cache(maxsize=1)
def illness() -> Illness:
    """The diseases' coefficients, always the same."""
    model = unsolved()
    known = declared("intercepts").set_index("phecode")["intercept"]
    return with_intercepts(model, known.reindex(model.whole).to_numpy())


def unsolved() -> Illness:
    """The coefficients while every intercept is 0."""
    rng = np.random.default_rng(HOSPITAL_SEED)
    known, codes = declared("hospital").set_index("phecode"), usable_codes()
    leaf = leaves(codes, known["percent"] / 100, rng)
    whole = pd.Index(leaf["whole_code"].unique(), name="whole")
    shares = {sex: shares_in(leaf, sex).groupby(leaf["whole"]) for sex in ("F", "M")}
    category = declared("categories").set_index("category")
    category = category.loc[definitions("phecode")["category"].reindex(whole)]
    disease = _coefficients(whole, category, known.reindex(whole), rng)
    for sex, name in (("F", "woman"), ("M", "man")):
        disease.loc[name] += np.where(shares[sex].sum() > 0, 0, _IMPOSSIBLE)
    return Illness(
        whole=whole,
        disease=disease.to_numpy(),
        stages=_stages(whole),
        prevalence=leaf.groupby("whole")["first"].sum().to_numpy(),
        recorded=_recorded_on_average(whole),
        again=category["again"].to_numpy(),
        leaf=leaf,
        leaf_steps={sex: (s.cumsum() + leaf["whole"]).to_numpy() for sex, s in shares.items()},
        icd={version: icd_shares(codes, leaf, version, rng) for version in (9, 10)},
    )


def with_intercepts(model: Illness, intercepts: np.ndarray) -> Illness:
    """The same model with these intercepts (the first feature)."""
    return replace(model, disease=np.vstack([intercepts, model.disease[1:]]))


def feature_names() -> list[str]:
    """What the log odds of a disease depend on, in the order of Illness.disease."""
    plain = ["intercept", "age", "age squared", "woman", "man", "gives birth", "no birth"]
    return [
        *plain, *FACTORS, *(f"{name} times age" for name in FACTORS),
        *(f"race {race}" for race in RACES),
        *groups("reason")["name"], *groups("syndrome")["name"],
    ]  # fmt: skip


def features(people: pd.DataFrame) -> np.ndarray:
    """What people have of :func:`feature_names`, (n, F)."""
    g = age_units(people[AGE].to_numpy())
    female, birth = people["female"].to_numpy(), people["birth"].to_numpy()
    plain = np.column_stack([np.ones(len(g)), g, g**2, female, ~female, birth, ~birth])
    factors = people[FACTORS].to_numpy()
    marks = [np.eye(len(groups(kind)) + 1)[people[kind]][:, 1:] for kind in ("reason", "syndrome")]
    races = np.eye(len(RACES))[people[RACE]]
    return np.hstack([plain, factors, factors * g[:, None], races, *marks])


def _coefficients(
    whole: pd.Index, category: pd.DataFrame, known: pd.DataFrame, rng: Generator
) -> pd.DataFrame:
    """Coefficients of the features (rows) for each whole phecode, the intercept still 0."""
    size = len(whole)
    table = pd.DataFrame(0.0, index=feature_names(), columns=whole)
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


def _stages(whole: pd.Index) -> tuple[Stage, ...]:
    """The order in which diseases are drawn: each after all that lead to it."""
    leads = declared("leads")
    before = [[whole.get_loc(code) for code in text.split()] for text in leads["after"]]
    target = whole.get_indexer(leads["disease"])
    stage = np.zeros(len(whole), dtype=int)
    for _ in range(len(leads)):
        for code, sources in zip(target, before, strict=True):
            stage[code] = max(stage[code], 1 + stage[sources].max())
    first, second = (np.array([sources[place] for sources in before]) for place in (0, -1))
    stages = []
    for number in range(stage.max() + 1):
        codes = np.flatnonzero(stage == number)
        used = np.flatnonzero(stage[target] == number)
        odds = np.zeros((len(used), len(codes)))
        place = np.searchsorted(codes, target[used])
        odds[np.arange(len(used)), place] = leads["log_odds"].iloc[used]
        stages.append(Stage(codes, first[used], second[used], odds))
    return tuple(stages)


def _recorded_on_average(whole: pd.Index) -> np.ndarray:
    """Share of the ill in whom each disease is recorded, by race (rows)."""
    share = pd.DataFrame(1.0, index=RACES, columns=whole)
    for row in declared("recording").itertuples():
        races = [row.race] if row.race in RACES else list(RACES)
        share.loc[races, row.phecode] *= row.first + (row.last - row.first) * _LATE
    for row in declared("twins").itertuples():
        share[row.phecode] *= 1 - row.share * (1 - _LATE_ENOUGH)
    return share.to_numpy()


def log_odds(model: Illness, stage: Stage, given: np.ndarray, has: np.ndarray) -> np.ndarray:
    """Log odds of the diseases of one stage; `has` needs those of the stages before."""
    both = has[:, stage.first] & has[:, stage.second]
    return given @ model.disease[:, stage.codes] + both @ stage.odds


def draw_diseases(model: Illness, people: pd.DataFrame, rng: Generator) -> np.ndarray:
    """Which whole phecodes each person has, (n, W) of bool."""
    has = np.zeros((len(people), len(model.whole)), dtype=bool)
    for start in range(0, len(people), _BLOCK):
        rows = slice(start, start + _BLOCK)
        draws = rng.random(has[rows].shape)
        draw_stages(model, model.stages, features(people.iloc[rows]), draws, has[rows])
    return has


def draw_stages(
    model: Illness, stages: tuple[Stage, ...], given: np.ndarray, draws: np.ndarray, has: np.ndarray
) -> None:
    """Write into `has` which diseases of these stages uniform numbers (n, W) give everybody."""
    for stage in stages:
        odds = np.exp(-log_odds(model, stage, given, has))
        has[:, stage.codes] = draws[:, stage.codes] * (1 + odds) < 1


def disease_chances(model: Illness, given: np.ndarray, has: np.ndarray) -> np.ndarray:
    """The chance of each whole phecode given :func:`features` and what leads to it, (n, W)."""
    chance = np.empty(has.shape)
    for stage in model.stages:
        chance[:, stage.codes] = expit(log_odds(model, stage, given, has))
    return chance


def draw_recorded(
    model: Illness, people: pd.DataFrame, has: np.ndarray, late: np.ndarray, rng: Generator
) -> np.ndarray:
    """Which of the diseases that people have are ever written down, (n, W) of bool.

    Recording drifts with the relative time `late` (0 to 1) of the last admission, and by race.
    """
    recorded = has.copy()
    for row in declared("recording").itertuples():
        column = model.whole.get_loc(row.phecode)
        share = row.first + (row.last - row.first) * late
        if row.race in RACES:
            share = np.where(people[RACE] == RACES.index(row.race), share, 1.0)
        recorded[:, column] &= rng.random(len(people)) < share
    return recorded


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
