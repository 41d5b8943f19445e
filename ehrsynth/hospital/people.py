"""Who comes to the simulated hospital: sex, age, race, why they come, and how ill they are.

Ten latent factors, independent and standardized, each much higher in the few who lean to it
(morbidity has a long upper tail); at most one of twenty reasons to come, many of them at an age of
their own, and at most one of fourteen rare syndromes (``groups.csv``).
"""

from functools import lru_cache
from importlib.resources import as_file, files

import numpy as np
import pandas as pd
from numpy.random import Generator

from ..schema import AGE, RACE
from ..sources.tables import OLDEST, RACES


@lru_cache
def declared(name: str) -> pd.DataFrame:
    """One of the tables in this folder: what is known, assumed, or follows from that."""
    text = ("indication", "effects", "icd9", "icd10", "dose", "low", "high", "icd_code", "phecode",
            "codes", "disease", "after", "any", "three", "code", "leaf")  # fmt: skip
    with as_file(files("ehrsynth.hospital") / f"{name}.csv") as path:
        types = dict.fromkeys(text, str)
        return pd.read_csv(path, dtype=types, keep_default_na=name == "hospital")


AGES = np.arange(18, OLDEST + 1)
FACTORS = declared("factors")["factor"].tolist()
WOMEN, BIRTH_SHARE = 0.533, 0.11  # of the patients are women, and women who come to give birth
_DYING = {"morbidity": 0.9, "infection": 1.1, "cancer": 0.3}  # shift of the factors
_TAIL = 4.0  # shape of the gamma distribution of morbidity
_STEP = 0.6  # correlation of a factor with leaning to it


def age_units(age: np.ndarray) -> np.ndarray:
    """Age as the coefficients take it: steps of 20 years from 55."""
    return (age - 55) / 20


def groups(kind: str) -> pd.DataFrame:
    """The reasons or the syndromes of ``groups.csv``; number 0 is to have none."""
    table = declared("groups")
    return table[table["kind"] == kind].reset_index(drop=True)


def pairs(text: str) -> dict[str, float]:
    """What a cell like "571=0.6 070=0.5" says of single phecodes."""
    return {code: float(value) for code, value in (pair.split("=") for pair in text.split())}


def draw_people(n: int, rng: Generator, dying: float = 0.047) -> pd.DataFrame:
    """Who they are, one row per person; a share `dying` of them dies in hospital.

    ``age``, ``female``, ``race`` (number), ``dies``, ``birth`` (gives birth), :data:`FACTORS`,
    and the numbers of the ``reason`` and of the ``syndrome`` (0: none).
    """
    dies = rng.random(n) < dying
    ages = declared("ages").set_index("age")
    birth, woman, man = range(3)
    shares = np.cumsum([BIRTH_SHARE, WOMEN - BIRTH_SHARE, 1 - WOMEN])
    group = draw_step(shares, rng.random(n))
    # Nobody who gives birth dies; those who die are older.
    group[dies & (group == birth)] = woman
    age, draw = np.empty(n, dtype=np.int64), rng.random(n)
    for name, chosen in (
        ("birth", ~dies & (group == birth)), ("others", ~dies & (group != birth)), ("dying", dies),
    ):  # fmt: skip
        age[chosen] = AGES[draw_step(np.cumsum(ages[name]), draw[chosen])]
    by_age = np.cumsum(ages.loc[age, list(RACES)].to_numpy(), axis=1)
    race = np.minimum((rng.random(n)[:, None] > by_age).sum(axis=1), len(RACES) - 1)
    share = declared("factors")["leaning"].to_numpy()
    leans = rng.random((n, len(FACTORS))) < share
    factors = _STEP * (leans - share) / np.sqrt(share * (1 - share))
    factors += np.sqrt(1 - _STEP**2) * rng.standard_normal(leans.shape)
    factors[:, FACTORS.index("morbidity")] = (rng.gamma(_TAIL, size=n) - _TAIL) / np.sqrt(_TAIL)
    factors += np.outer(dies, [_DYING.get(name, 0.0) for name in FACTORS])
    people = {AGE: age, "female": group != man, RACE: race, "dies": dies}
    people |= {"birth": group == birth}
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
