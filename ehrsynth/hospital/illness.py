"""Which diseases the people of the simulated hospital have, and which of them are written down.

Each whole phecode follows a logistic model in :func:`feature_names`: age, sex, giving birth, race,
the latent factors (some stronger with age), the reason to come and the syndrome. Diseases that
lead to others (``leads.csv``) are drawn first. ``tools/make_hospital.py`` makes the coefficients.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.random import Generator

from ..schema import AGE, RACE
from ..sources.tables import RACES
from .people import FACTORS, age_units, declared, groups

_BLOCK = 4_096  # people at a time; any number gives the same people


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
    again: np.ndarray  # (W,) chance that a later admission codes the disease again
    hazard_ratios: pd.DataFrame  # (W, causes) log hazard ratio of each alone, in its cause, else 0
    causes: pd.Series  # log hazard of each cause in who has nothing


@lru_cache(maxsize=1)
def illness() -> Illness:
    """The diseases' coefficients, always the same."""
    table, causes = declared("diseases").set_index("phecode"), declared("causes")["cause"]
    intercepts = declared("intercepts").set_index("phecode")["intercept"]
    features = table[feature_names()[1:]].assign(intercept=intercepts)[feature_names()]
    ratio = table["log_hazard_ratio"]
    return Illness(
        whole=table.index,
        disease=np.ascontiguousarray(features.to_numpy().T),
        stages=_stages(table["stage"]),
        again=table["again"].to_numpy(),
        hazard_ratios=pd.DataFrame({c: ratio.where(table["cause"] == c, 0.0) for c in causes}),
        causes=intercepts[causes],
    )


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


def _stages(stage: pd.Series) -> tuple[Stage, ...]:
    """The diseases by their `stage`, with what leads to them."""
    leads, stages = declared("leads"), []
    target, before = stage.index.get_indexer(leads["disease"]), leads["after"].str.split()
    first, second = (stage.index.get_indexer(before.str[place]) for place in (0, -1))
    for number in range(stage.max() + 1):
        codes = np.flatnonzero(stage == number)
        used = np.flatnonzero(stage.iloc[target] == number)
        odds = np.zeros((len(used), len(codes)))
        place = np.searchsorted(codes, target[used])
        odds[np.arange(len(used)), place] = leads["log_odds"].iloc[used]
        stages.append(Stage(codes, first[used], second[used], odds))
    return tuple(stages)


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
