"""Which diseases the simulated people have, which of them are written down, and who dies.

Each whole phecode follows a logistic model in :func:`features`: age, sex, giving birth, race,
the latent factors (some stronger with age), the reason to come and the syndrome. Diseases that
lead to others (``leads.csv``) are drawn first. ``tools/make_hospital.py`` makes the coefficients.

Three causes of death compete, each with a hazard of its own (``causes.csv``): great age, cancer,
failing organs. Within a cause effects multiply, and some diseases weigh more together
(``outcome.csv``); the hazards of the causes add up, so no sum of log odds describes who dies.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.random import Generator

from ..schema import AGE, BMI, DIASTOLIC, RACE, SYSTOLIC
from ..sources.tables import RACES
from .people import FACTORS, age_units, declared, groups

BIRTH = -3.0  # log hazard ratio of women who come to give birth
THIN, HEAVY, LOW = 24.0, 36.0, 108.0  # kg/m2 and mmHg beyond which the body adds to the risk
# Diseases that act on the outcome through the body too.
BODY_DISEASES = ("278", "250", "260", "198", "496", "401", "428", "571", "585")
_BLOCK = 4_096  # people at a time; any number gives the same people


@dataclass(frozen=True)
class Illness:
    """The coefficients of the diseases. There are W whole phecodes and F features."""

    whole: pd.Index  # whole phecodes
    disease: pd.DataFrame  # (F, W) coefficients of the log odds
    stages: tuple[np.ndarray, ...]  # the numbers of those that are drawn together, in order
    leads: pd.DataFrame  # what leads to a disease: a first and a second together, or one twice
    again: np.ndarray  # (W,) chance that a later admission codes the disease again
    hazard_ratios: pd.DataFrame  # (W, causes) log hazard ratio of each alone, in its cause, else 0
    causes: pd.Series  # log hazard of each cause in who has nothing


@lru_cache(maxsize=1)
def illness() -> Illness:
    """The diseases' coefficients, always the same."""
    table, causes = declared("diseases").set_index("phecode"), declared("causes")["cause"]
    intercepts = declared("intercepts").set_index("phecode")["intercept"]
    own = ["stage", "again", "cause", "log_hazard_ratio"]
    disease = pd.concat([intercepts.reindex(table.index), table.drop(columns=own)], axis=1)
    ratio, whole, leads = table["log_hazard_ratio"], table.index, declared("leads")
    after = leads["after"].str.split()
    return Illness(
        whole=whole,
        disease=disease.T,
        stages=tuple(np.flatnonzero(table["stage"] == n) for n in range(table["stage"].max() + 1)),
        leads=leads.assign(
            disease=whole.get_indexer(leads["disease"]),
            first=whole.get_indexer(after.str[0]),
            second=whole.get_indexer(after.str[-1]),
        ),
        again=table["again"].to_numpy(),
        hazard_ratios=pd.DataFrame({c: ratio.where(table["cause"] == c, 0.0) for c in causes}),
        causes=intercepts[causes],
    )


def features(people: pd.DataFrame) -> np.ndarray:
    """What people have of the features, in the order of Illness.disease, (n, F)."""
    g = age_units(people[AGE].to_numpy())
    female, birth = people["female"].to_numpy(), people["birth"].to_numpy()
    plain = np.column_stack([np.ones(len(g)), g, g**2, female, ~female, birth, ~birth])
    factors = people[FACTORS].to_numpy()
    marks = [np.eye(len(groups(kind)) + 1)[people[kind]][:, 1:] for kind in ("reason", "syndrome")]
    races = np.eye(len(RACES))[people[RACE]]
    return np.hstack([plain, factors, factors * g[:, None], races, *marks])


def log_odds(model: Illness, stage: np.ndarray, given: np.ndarray, has: np.ndarray) -> np.ndarray:
    """Log odds of the diseases of one stage; `has` needs those of the stages before."""
    odds = given @ model.disease.to_numpy()[:, stage]
    for row in model.leads.itertuples():
        both = has[:, [row.first]] & has[:, [row.second]]
        odds[:, stage == row.disease] += row.log_odds * both
    return odds


def draw_diseases(model: Illness, people: pd.DataFrame, rng: Generator) -> np.ndarray:
    """Which whole phecodes each person has, (n, W) of bool."""
    has = np.zeros((len(people), len(model.whole)), dtype=bool)
    for start in range(0, len(people), _BLOCK):
        rows = slice(start, start + _BLOCK)
        draw_stages(model, features(people.iloc[rows]), rng.random(has[rows].shape), has[rows])
    return has


def draw_stages(
    model: Illness, given: np.ndarray, draws: np.ndarray, has: np.ndarray, since: int = 0
) -> None:
    """Write into `has` who uniform numbers (n, W) give which disease, from a stage on."""
    for stage in model.stages[since:]:
        odds = np.exp(-log_odds(model, stage, given, has))
        has[:, stage] = draws[:, stage] * (1 + odds) < 1


def draw_recorded(
    people: pd.DataFrame, has: np.ndarray, late: np.ndarray, rng: Generator
) -> np.ndarray:
    """Which of the diseases that people have are ever written down, (n, W) of bool.

    Recording drifts with the relative time `late` (0 to 1) of the last admission, and by race.
    """
    recorded = has.copy()
    for row in declared("recording").itertuples():
        column = illness().whole.get_loc(row.phecode)
        share = row.first + (row.last - row.first) * late
        if row.race in RACES:
            share = np.where(people[RACE] == RACES.index(row.race), share, 1.0)
        recorded[:, column] &= rng.random(len(people)) < share
    return recorded


def draw_body(people: pd.DataFrame, has: np.ndarray, rng: Generator) -> pd.DataFrame:
    """Each person's usual BMI, systolic and diastolic pressure, and height in inches."""
    g = age_units(people[AGE].to_numpy())
    sick = {code: has[:, illness().whole.get_loc(code)] for code in BODY_DISEASES}
    noise = rng.standard_normal((4, len(people)))
    log_bmi = np.log(27.0) + 0.16 * noise[0] + 0.045 * people["cardiometabolic"] - 0.03 * g**2
    log_bmi += 0.25 * sick["278"] + 0.05 * sick["250"] + 0.12 * people["birth"]
    log_bmi -= 0.13 * sick["260"] + 0.05 * sick["198"] + 0.04 * sick["496"]
    bmi = np.exp(log_bmi)
    systolic = 124 + 4.5 * g + 9 * sick["401"] + 0.3 * (bmi - 27) - 6 * sick["428"]
    systolic += -7 * people["birth"] - 4 * sick["571"] + 1.5 * people["cardiometabolic"]
    systolic += -2 * people["morbidity"] + 11 * noise[1]
    diastolic = 73 + 0.45 * (systolic - 126) - 3.2 * g - 2 * people["female"]
    diastolic += -2 * sick["585"] + 5.0 * noise[2]
    height = np.where(people["female"], 63.5, 69.0) + 2.8 * noise[3]
    return pd.DataFrame({BMI: bmi, SYSTOLIC: systolic, DIASTOLIC: diastolic, "height": height})


def hazards(people: pd.DataFrame, has: np.ndarray, body: pd.DataFrame) -> np.ndarray:
    """Hazard of death within a year by each cause, (n, causes); see :func:`risk`."""
    model, age, bmi = illness(), people[AGE].to_numpy(), body[BMI].to_numpy()
    odds = (has.astype(np.float32) @ model.hazard_ratios.to_numpy(np.float32)).astype(float)
    odds += np.where(people["birth"], BIRTH, 0)[:, None]
    for place, row in enumerate(declared("causes").itertuples()):
        add = row.age * age_units(age) + row.beyond_75 * np.maximum(age - 75, 0) / 20
        add += row.thin * np.maximum(THIN - bmi, 0) + row.heavy * np.maximum(bmi - HEAVY, 0)
        add += row.low_pressure * np.maximum(LOW - body[SYSTOLIC].to_numpy(), 0)
        for codes, least, value in ((row.any, 1, row.any_odds), (row.three, 3, row.three_odds)):
            found = has[:, model.whole.get_indexer(codes.split())].sum(axis=1)
            add += value * (found >= least)
        odds[:, place] += add
    for row in declared("outcome").itertuples():
        both = has[:, model.whole.get_indexer(row.codes.split())].all(axis=1)
        odds[:, model.causes.index.get_loc(row.cause)] += row.log_odds * both
    return np.exp(odds + model.causes.to_numpy())


def risk(hazards: np.ndarray) -> np.ndarray:
    """Chance to die of any cause."""
    return -np.expm1(-hazards.sum(axis=-1))
