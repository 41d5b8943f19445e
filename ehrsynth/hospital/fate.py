"""What becomes of the simulated people: their body, and who dies within a year.

Three causes compete, each with a hazard of its own (``causes.csv``): great age, cancer, failing
organs. Within a cause effects multiply, and some diseases weigh more together (``outcome.csv``);
the hazards of the causes add up, so no sum of log odds describes who dies.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator

from ..phecode import definitions
from ..schema import AGE, BMI, DIASTOLIC, SYSTOLIC
from .codes import declared
from .illness import HOSPITAL_SEED, Illness, illness
from .people import age_units

_SCALE = 0.5  # of the log hazard ratios of hospital.csv
_BIRTH = -3.0  # log hazard ratio of women who come to give birth
_THIN, _HEAVY, _LOW = 24.0, 36.0, 108.0  # kg/m2 and mmHg beyond which the body adds to the risk
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


@lru_cache(maxsize=1)
def hazard_ratios() -> pd.DataFrame:
    """Log hazard ratio of each whole phecode alone (rows), in its own cause (columns), else 0."""
    rng = np.random.default_rng([HOSPITAL_SEED, 2])
    whole, causes = illness().whole, declared("causes")
    drawn = pd.Series(rng.normal(0.02, 0.12, len(whole)), whole)
    value = declared("hospital").set_index("phecode")["mortality"].reindex(whole).fillna(drawn)
    category = definitions("phecode")["category"].reindex(whole)
    cause = category.map(declared("categories").set_index("category")["cause"])
    for row in causes.itertuples():
        cause[row.codes.split()] = row.cause
    return pd.DataFrame({name: (cause == name) * value * _SCALE for name in causes["cause"]})


def bent_codes() -> list[str]:
    """The whole phecodes whose effect on the hazards is not one number for everybody."""
    lists = [declared("outcome")["codes"], *(declared("causes")[name] for name in ("any", "three"))]
    return sorted({*BODY_DISEASES, *(code for text in pd.concat(lists) for code in text.split())})


def hazards(
    model: Illness, people: pd.DataFrame, has: np.ndarray, body: pd.DataFrame
) -> np.ndarray:
    """Hazard of death within a year by each cause, (n, causes); see :func:`risk`."""
    base = declared("intercepts").set_index("phecode")["intercept"][declared("causes")["cause"]]
    return np.exp(relative_log_hazards(model, people, has, body) + base.to_numpy())


def risk(hazards: np.ndarray) -> np.ndarray:
    """Chance to die of any cause."""
    return -np.expm1(-hazards.sum(axis=-1))


def relative_log_hazards(
    model: Illness, people: pd.DataFrame, has: np.ndarray, body: pd.DataFrame
) -> np.ndarray:
    """Log hazards of each cause, (n, causes), but for their intercepts."""
    age, bmi = people[AGE].to_numpy(), body[BMI].to_numpy()
    odds = (has.astype(np.float32) @ hazard_ratios().to_numpy(np.float32)).astype(float)
    odds += np.where(people["birth"], _BIRTH, 0)[:, None]
    for place, row in enumerate(declared("causes").itertuples()):
        add = row.age * age_units(age) + row.beyond_75 * np.maximum(age - 75, 0) / 20
        add += row.thin * np.maximum(_THIN - bmi, 0) + row.heavy * np.maximum(bmi - _HEAVY, 0)
        add += row.low_pressure * np.maximum(_LOW - body[SYSTOLIC].to_numpy(), 0)
        for codes, least, value in ((row.any, 1, row.any_odds), (row.three, 3, row.three_odds)):
            found = has[:, model.whole.get_indexer(codes.split())].sum(axis=1)
            add += value * (found >= least)
        odds[:, place] += add
    for row in declared("outcome").itertuples():
        both = has[:, model.whole.get_indexer(row.codes.split())].all(axis=1)
        odds[:, declared("causes")["cause"].tolist().index(row.cause)] += row.log_odds * both
    return odds


def outcome_model() -> dict[str, Any]:
    """The hazards of death within a year, by cause; see the keys of ``truth.json``."""
    base = declared("intercepts").set_index("phecode")["intercept"]
    together = declared("outcome").groupby("cause")
    model: dict[str, Any] = {"gives birth": _BIRTH}
    for row in declared("causes").itertuples():
        alone = hazard_ratios()[row.cause]
        pairs = together.get_group(row.cause)
        model[row.cause] = {
            "intercept": float(base[row.cause]),
            "age": row.age,
            "years beyond 75": row.beyond_75 / 20,
            f"kg/m2 below {_THIN:.0f}": row.thin,
            f"kg/m2 above {_HEAVY:.0f}": row.heavy,
            f"mmHg below {_LOW:.0f}": row.low_pressure,
            "any of": {row.any: row.any_odds},
            "three of": {row.three: row.three_odds},
            "diseases": alone[alone != 0].to_dict(),
            "diseases together": dict(zip(pairs["codes"], pairs["log_odds"], strict=True)),
        }
    return model
