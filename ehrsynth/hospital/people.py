"""Who comes to the simulated hospital: sex, age, race, why they come, and how ill they are.

Ten latent factors, independent and standardized, each much higher in the few who lean to it
(morbidity has a long upper tail); at most one of twenty reasons to come, many of them at an age of
their own, and at most one of fourteen rare syndromes (``groups.csv``).
"""

from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.random import Generator

from ..schema import AGE, RACE
from ..sources.tables import ASIAN, BLACK, HISPANIC, OLDEST, OTHER, RACES, WHITE
from .codes import PUBLISHED, declared

AGES = np.arange(18, OLDEST + 1)
FACTORS = declared("factors")["factor"].tolist()
_BIRTH_SHARE = 0.11  # of the patients are women who come to give birth
_YOUNG_SHARE = 0.3117  # of the others; solved with the means below to give the published mean, SD
_RACE_AGE = {WHITE: 0.25, BLACK: -0.15, ASIAN: -0.3, HISPANIC: -0.35, OTHER: -0.2}
_DYING = {"morbidity": 0.9, "infection": 1.1, "cancer": 0.3}  # shift of the factors
_DYING_AGE = 0.85  # tilt of the age distribution, log odds over 20 years
_TAIL = 4.0  # shape of the gamma distribution of morbidity
_STEP = 0.6  # correlation of a factor with leaning to it


def age_units(age: np.ndarray) -> np.ndarray:
    """Age as the coefficients take it: steps of 20 years from 55."""
    return (age - 55) / 20


def groups(kind: str) -> pd.DataFrame:
    """The reasons or the syndromes of ``groups.csv``; number 0 is to have none."""
    table = declared("groups")
    return table[table["kind"] == kind].reset_index(drop=True)


def _ages() -> dict[str, tuple[float, np.ndarray]]:
    """Share of women who give birth, other women, and men, and how their ages are distributed."""
    births = _normal_ages(31, 5.5) * (AGES <= 45)
    others = _YOUNG_SHARE * _normal_ages(36, 10) + (1 - _YOUNG_SHARE) * _normal_ages(70.06, 14)
    women = PUBLISHED["women"] - _BIRTH_SHARE
    return {
        "birth": (_BIRTH_SHARE, births / births.sum()),
        "F": (women, others),
        "M": (1 - PUBLISHED["women"], others),
    }


def all_ages() -> np.ndarray:
    """Share of the patients of each of :data:`AGES`."""
    return np.sum([share * mass for share, mass in _ages().values()], axis=0)


def _normal_ages(mean: float, sd: float) -> np.ndarray:
    """A normal distribution cut at 18 and with everyone above 91 counted as 91."""
    ages = np.arange(AGES[0], 106)
    mass = np.exp(-0.5 * ((ages - mean) / sd) ** 2)
    mass /= mass.sum()
    return np.append(mass[: len(AGES) - 1], mass[len(AGES) - 1 :].sum())


@lru_cache(maxsize=1)
def race_given_age() -> np.ndarray:
    """Races by age with the published shares overall (rows: ages, columns: races)."""
    ages = all_ages()
    target = np.array(list(PUBLISHED["races"].values()))
    tilt = np.array([_RACE_AGE.get(race, 0.0) for race in RACES])
    odds = target * np.exp(np.outer(age_units(AGES), tilt))
    for _ in range(50):
        table = odds / odds.sum(axis=1, keepdims=True)
        odds = odds * target / (ages @ table)
    return odds / odds.sum(axis=1, keepdims=True)


def draw_people(
    n: int, rng: Generator, dying: float = PUBLISHED["died in hospital"]
) -> pd.DataFrame:
    """Who they are, one row per person; a share `dying` of them dies in hospital.

    ``age``, ``female``, ``race`` (number), ``dies``, ``birth`` (gives birth), :data:`FACTORS`,
    and the numbers of the ``reason`` and of the ``syndrome`` (0: none).
    """
    dies = rng.random(n) < dying
    names, (shares, ages) = list(_ages()), zip(*_ages().values(), strict=True)
    group = draw_step(np.cumsum(shares), rng.random(n))
    # Nobody who gives birth dies; those who die are older.
    group[dies & (group == names.index("birth"))] = names.index("F")
    older = ages[1] * np.exp(_DYING_AGE * age_units(AGES))
    steps = np.cumsum([*ages, older / older.sum()], axis=1)
    which = np.where(dies, len(ages), group)
    age = np.empty(n, dtype=np.int64)
    draw = rng.random(n)
    for number, cumulative in enumerate(steps):
        age[which == number] = AGES[draw_step(cumulative, draw[which == number])]
    by_age = np.cumsum(race_given_age(), axis=1)[age - AGES[0]]
    race = np.minimum((rng.random(n)[:, None] > by_age).sum(axis=1), len(RACES) - 1)
    share = declared("factors")["leaning"].to_numpy()
    leans = rng.random((n, len(FACTORS))) < share
    factors = _STEP * (leans - share) / np.sqrt(share * (1 - share))
    factors += np.sqrt(1 - _STEP**2) * rng.standard_normal(leans.shape)
    factors[:, FACTORS.index("morbidity")] = (rng.gamma(_TAIL, size=n) - _TAIL) / np.sqrt(_TAIL)
    factors += np.outer(dies, [_DYING.get(name, 0.0) for name in FACTORS])
    people = {AGE: age, "female": group != names.index("M"), RACE: race, "dies": dies}
    people |= {"birth": group == names.index("birth")}
    table = pd.DataFrame(people | dict(zip(FACTORS, factors.T, strict=True)))
    for kind in ("reason", "syndrome"):
        steps = np.cumsum(group_chances(kind, table), axis=1)
        table[kind] = (rng.random(n)[:, None] >= steps[:, :-1]).sum(axis=1)
    return table


def group_chances(kind: str, people: pd.DataFrame) -> np.ndarray:
    """The chance that each person has no reason (or syndrome), the first one, and so on."""
    table = groups(kind)
    g, female = age_units(people[AGE].to_numpy()), people["female"].to_numpy()
    tilt = np.outer(g, table["age"]) + np.outer(g**2 - 1, table["age_squared"])
    tilt += np.outer(female - 0.5, table["female"].clip(-2, 2))
    chance = table["per_10000"].to_numpy() / 10_000 * np.exp(np.clip(tilt, -3, 1.5))
    only_women = (table["female"] > 2).to_numpy()
    chance[np.ix_(~female, only_women)] = 0
    chance[people["birth"].to_numpy()] = 0  # whoever gives birth came for that
    chance *= np.minimum(1, 0.95 / np.maximum(chance.sum(axis=1, keepdims=True), 1e-12))
    return np.column_stack([1 - chance.sum(axis=1), chance])


def draw_step(cumulative: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Which step of `cumulative` each draw falls into (never beyond the last)."""
    return np.minimum(np.searchsorted(cumulative, draws, side="right"), len(cumulative) - 1)
