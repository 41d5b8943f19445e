"""What becomes of the simulated people: their body, and who dies within a year.

Three causes compete, each with a hazard of its own (``causes.csv``): great age, cancer, failing
organs. Within a cause effects multiply, and some diseases weigh more together (``outcome.csv``);
the hazards of the causes add up, so no sum of log odds describes who dies.
"""

import numpy as np
import pandas as pd
from numpy.random import Generator

from ..schema import AGE, BMI, DIASTOLIC, SYSTOLIC
from .illness import Illness
from .people import age_units, declared

BIRTH = -3.0  # log hazard ratio of women who come to give birth
THIN, HEAVY, LOW = 24.0, 36.0, 108.0  # kg/m2 and mmHg beyond which the body adds to the risk
# Diseases that act on the outcome through the body too.
BODY_DISEASES = ("278", "250", "260", "198", "496", "401", "428", "571", "585")


def draw_body(
    model: Illness, people: pd.DataFrame, has: np.ndarray, rng: Generator
) -> pd.DataFrame:
    """Each person's usual BMI, systolic and diastolic pressure, and height in inches."""
    g = age_units(people[AGE].to_numpy())
    sick = {code: has[:, model.whole.get_loc(code)] for code in BODY_DISEASES}
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


def hazards(
    model: Illness, people: pd.DataFrame, has: np.ndarray, body: pd.DataFrame
) -> np.ndarray:
    """Hazard of death within a year by each cause, (n, causes); see :func:`risk`."""
    age, bmi = people[AGE].to_numpy(), body[BMI].to_numpy()
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
