"""A second hospital, built on another plan: what holds only in the first one fails here.

Every patient is of one of 18 types. A type has its own age, share of women and diseases, and some
of its diseases come more, or less, with age and in one sex. Over all lies a severity with a heavy
tail. Diseases lead to diseases; numbers follow type and diseases, and are missing for a reason;
who dies depends on what comes together. The structure is always the same, for a number of codes.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.special import expit

from ehrsynth.schema import AGE, BMI, DIASTOLIC, DIE_1Y, RACE, SEX, SYSTOLIC, Column, Schema

STRUCTURE_SEED, _PATIENTS_STREAM = 20_251_111, 4_211  # of what is fixed, and of the patients
TYPES, RACES = 18, ("first", "second", "third", "fourth")
_RAISED, _BY_AGE, _BY_SEX, _CHAINED, _BOUND = 0.08, 0.3, 0.2, 0.35, 0.05  # shares of codes
_KNOWN = 12  # codes that the outcome knows


@dataclass(frozen=True)
class Structure:
    """What is true of the hospital: sizes are (types, codes) or (codes,)."""

    share: np.ndarray  # of the types
    age: np.ndarray  # mean of each type
    women: np.ndarray
    race: np.ndarray  # (types, races)
    base: np.ndarray  # log odds of the codes
    raised: np.ndarray  # by type
    by_age: np.ndarray  # by type, for ten years
    by_sex: np.ndarray  # by type, in women
    by_severity: np.ndarray
    parent: np.ndarray  # the code that leads to each, or -1
    led: np.ndarray  # how strongly
    sex: np.ndarray  # "", "F" or "M"
    body: np.ndarray  # (types + codes, 4): BMI, systolic and diastolic pressure, creatinine
    deadly: np.ndarray  # codes that the outcome knows


@lru_cache
def structure(codes: int) -> Structure:
    """The hospital's truth, with so many codes."""
    rng = np.random.default_rng([STRUCTURE_SEED, codes])
    share = _RAISED * rng.gamma(3, 1 / 3, (TYPES, 1))  # some types have more of all
    special = rng.random((TYPES, codes)) < share
    raised = np.where(special, rng.uniform(2.5, 5.5, special.shape), 0.0)

    def some(of_them: float) -> np.ndarray:
        return special & (rng.random(special.shape) < of_them)

    parent = np.full(codes, -1)
    for code in np.flatnonzero(rng.random(codes) < _CHAINED):
        parent[code] = rng.integers(code) if code else -1
    bound = rng.random(codes) < _BOUND
    bound[:2], women = True, rng.random(codes) < 0.6
    women[:2] = True, False
    body = rng.normal(0, [1.0, 4.0, 2.5, 0.12], (TYPES + codes, 4))
    body[TYPES:] *= (rng.random(codes) < 0.1)[:, None]
    return Structure(
        share=rng.dirichlet(np.full(TYPES, 2.0)),
        age=rng.uniform(32, 76, TYPES), women=rng.beta(4, 4, TYPES),
        race=rng.dirichlet([6.0, 2.0, 1.0, 0.6], TYPES),
        base=np.sort(rng.uniform(-7.3, -4.5, codes))[::-1] - np.log(codes / 300),
        raised=raised,
        by_age=rng.uniform(-0.05, 0.25, codes) + some(_BY_AGE) * rng.choice([-0.5, 0.5], codes),
        by_sex=some(_BY_SEX) * rng.choice([-1.5, 1.5], codes),
        by_severity=np.linspace(1.65, -0.9, codes) + rng.normal(0, 0.15, codes),
        parent=parent, led=rng.uniform(0.8, 1.5, codes),
        sex=np.where(bound, np.where(women, "F", "M"), ""),
        body=body,
        deadly=rng.choice(np.arange(2, min(codes, 60)), _KNOWN, replace=False),
    )  # fmt: skip


def draw(n: int, seed: int = 0, codes: int = 300) -> tuple[pd.DataFrame, np.ndarray]:
    """New patients, and the true risk of each that DIE_1y is 1.

    Parameters
    ----------
    n, seed : int
        Number of patients, and what they depend on.
    codes : int
        Number of diagnoses; another number is another hospital.

    Returns
    -------
    DataFrame, ndarray
        The patient table, the schema attached.
    """
    truth, rng = structure(codes), np.random.default_rng([_PATIENTS_STREAM, seed])
    kind = rng.choice(TYPES, n, p=truth.share)
    female = rng.random(n) < truth.women[kind]
    age = np.clip(np.round(truth.age[kind] + 13 * rng.standard_normal(n)), 18, 91)
    decades, severity = (age - 55) / 10, rng.gamma(1.9, 1 / 1.9, n)
    has = np.zeros((n, codes), dtype=np.uint8)
    for code in range(codes):
        odds = truth.base[code] + truth.raised[kind, code] + truth.by_age[kind, code] * decades
        odds += truth.by_sex[kind, code] * female + truth.by_severity[code] * severity
        if truth.parent[code] >= 0:
            odds += truth.led[code] * has[:, truth.parent[code]]
        possible = truth.sex[code] == "" or (truth.sex[code] == "F") == female
        has[:, code] = possible & (rng.random(n) < expit(odds))
    chance = risk(truth, kind, decades, female, severity, has)
    died = rng.random(n) < chance
    numbers = _numbers(truth, kind, decades, severity, has, rng)
    hidden = rng.random((n, 3)) < _missing(severity, chance, kind)
    numbers = np.where(hidden[:, [0, 1, 1, 2]], np.nan, numbers)
    ancestry = (rng.random((n, 1)) > truth.race[kind].cumsum(axis=1)).sum(axis=1)
    own = {
        DIE_1Y: died, SEX: np.where(female, "F", "M"),
        RACE: np.array(RACES)[np.minimum(ancestry, len(RACES) - 1)], AGE: age,
        **dict(zip((BMI, SYSTOLIC, DIASTOLIC, "creatinine"), numbers.T, strict=True)),
    }  # fmt: skip
    diagnoses = pd.DataFrame(has, columns=[f"phe_{code}" for code in range(codes)])
    return schema(codes).cast(pd.concat([pd.DataFrame(own), diagnoses], axis=1)), chance


def patients(n: int, seed: int = 0, codes: int = 300) -> pd.DataFrame:
    """New patients of the second hospital, see :func:`draw`."""
    return draw(n, seed, codes)[0]


def risk(truth: Structure, kind, decades, female, severity, has) -> np.ndarray:
    """Probability to die within a year: what comes together counts, more than each alone."""
    ill = has[:, truth.deadly].astype(float)
    odds = -3.5 + 0.3 * decades + 0.3 * np.minimum(severity, 4) + 0.3 * ill.sum(axis=1)
    odds += 1.2 * ill[:, 0:6:2].sum(axis=1) * ill[:, 1:6:2].any(axis=1)  # one of each
    odds += 0.8 * ill[:, 6:9].max(axis=1) * decades  # dangerous to the old, harmless to the young
    odds += np.where(kind % 3 == 0, 0.9 * (2 * female - 1), 0.0)  # reversed in some types
    return expit(odds + 1.5 * (ill[:, 9] != ill[:, 10]))


def _numbers(truth: Structure, kind, decades, severity, has, rng) -> np.ndarray:
    """BMI, systolic, diastolic, creatinine."""
    center = truth.body[:TYPES][kind] * [2.5, 2.0, 2.0, 1.5] + has @ truth.body[TYPES:]
    noise = rng.standard_normal((len(kind), 4))
    bmi = 27 + center[:, 0] - 0.3 * decades**2 + 4.5 * noise[:, 0]
    systolic = 126 + center[:, 1] + 3 * decades - 3 * severity + 14 * noise[:, 1]
    diastolic = 22 + center[:, 2] + 0.42 * systolic - 2 * decades + 7 * noise[:, 2]
    creatinine = np.exp(center[:, 3] + 0.12 * severity + 0.05 * decades + 0.25 * noise[:, 3])
    return np.column_stack([
        np.clip(bmi, 12, 70).round(1), np.clip(systolic, 60, 240).round(),
        np.clip(diastolic, 30, 140).round(), np.clip(creatinine, 0.2, 15).round(1),
    ])  # fmt: skip


def _missing(severity, chance, kind) -> np.ndarray:
    """Chance that BMI, both pressures, creatinine are missing: the sick are weighed less."""
    hasty = 0.5 * np.minimum(severity, 3) + 3 * chance + np.where(kind % 4 == 0, 0.8, 0.0)
    return expit(np.column_stack([hasty - 2.0, hasty - 2.8, 0.4 - 1.2 * hasty]))


@lru_cache
def schema(codes: int) -> Schema:
    """The columns of a patient table."""
    sexes = structure(codes).sex
    return Schema((
        Column(DIE_1Y, "binary", "outcome", "Died within a year"),
        Column(SEX, "categorical", "demographic", "Sex", ("F", "M")),
        Column(RACE, "categorical", "demographic", "Race", RACES),
        Column(AGE, "continuous", "demographic", "Age", (), "years", 18, 91, 0),
        Column(BMI, "continuous", "measurement", "BMI", (), "kg/m2", 10, 80, 1),
        Column(SYSTOLIC, "continuous", "measurement", "Systolic", (), "mmHg", 50, 250, 0),
        Column(DIASTOLIC, "continuous", "measurement", "Diastolic", (), "mmHg", 20, 150, 0),
        Column("creatinine", "continuous", "lab", "Creatinine", (), "mg/dL", 0.1, 20, 1),
        *(Column(f"phe_{code}", "binary", "diagnosis", f"Disease {code}", code=str(code), sex=sex)
          for code, sex in enumerate(sexes.tolist())),
    ))  # fmt: skip
