"""The truth of the simulated hospital: who comes, what they have, who dies.

Sex, age and race; seven latent factors, independent standard normals; each whole phecode by a
logistic model in :data:`FEATURES`, its intercept solved for the intended prevalence; weight and
pressure by disease and age; death by a logistic model. Who dies in hospital is sicker and older.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.random import Generator
from scipy.special import expit, logit

from ..phecode import definitions
from ..schema import AGE, BMI, DIASTOLIC, RACE, SYSTOLIC
from ..sources.tables import ASIAN, BLACK, HISPANIC, OLDEST, OTHER, RACES, WHITE
from .codes import PUBLISHED, SECOND_LEAF, declared, icd_shares, leaves, shares_in, usable_codes

HOSPITAL_SEED = 20_240_117  # of the hospital's coefficients, never of its patients

AGES = np.arange(18, OLDEST + 1)
_BIRTH_SHARE = 0.11  # of the patients are women who come to give birth
_YOUNG_SHARE = 0.3117  # of the others; solved with the means below to give the published mean, SD

_RACE_AGE = {WHITE: 0.25, BLACK: -0.15, ASIAN: -0.3, HISPANIC: -0.35, OTHER: -0.2}
# Log odds ratios of diseases by race.
_RACE_DISEASE = {
    BLACK: {"401": 0.45, "250": 0.4, "585": 0.4, "282": 2.0, "495": 0.35, "218": 0.9,
              "697": 1.0, "278": 0.3, "071": 0.6},
    HISPANIC: {"250": 0.4, "571": 0.3, "495": 0.3, "646": 0.2},
    ASIAN: {"070": 1.0, "278": -0.7, "318": -0.6, "316": -0.9, "155": 0.7, "010": 1.2},
}  # fmt: skip

FACTORS = ["morbidity", "metabolic", "cancer", "mind", "infection", "digestive", "frailty"]
# What the log odds of a disease depend on, in the order of Hospital.disease.
FEATURES = ["intercept", "age", "age squared", "woman", "man", "gives birth", "no birth", *FACTORS]
FEATURES += [f"race {race}" for race in RACES]
_LOADING_NOISE = 0.16
_BIRTH_HEALTH = -1.0  # log odds of every other disease in women who come to give birth
_DYING = {"morbidity": 0.9, "infection": 1.1, "cancer": 0.3}  # shift of the factors
_DYING_AGE = 0.85  # tilt of the age distribution, log odds over 20 years
_IMPOSSIBLE = -60.0  # log odds
_AGE_STEP, _SOLVER_STEPS = 5, 7  # finer or more changes no prevalence by 1 %
_BLOCK = 4_096  # people at a time; any number gives the same people

_MORTALITY_SCALE = 0.5  # of the log odds ratios of hospital.csv
_MORTALITY_AGE = 0.45  # per 20 years
_MORTALITY_AGE_SQUARED = 0.1
_MORTALITY_THIN = 0.07  # per kg/m2 below 24
_MORTALITY_BIRTH = -3.0


@dataclass(frozen=True)
class Hospital:
    """The coefficients of the hospital: its truth. It has W whole phecodes and F features."""

    whole: pd.Index  # whole phecodes
    disease: np.ndarray  # (F, W) coefficients of the diseases' log odds; see FEATURES
    prevalence: np.ndarray  # (W,) what the intercepts were solved for
    again: np.ndarray  # (W,) chance that a later admission codes the disease again
    leaf: pd.DataFrame  # see codes.leaves
    # For each sex the cumulative shares of the leaves, plus the number of the whole phecode.
    leaf_steps: dict[str, np.ndarray]
    # For each ICD version the codes and their cumulative shares, plus the number of the leaf.
    icd: dict[int, tuple[np.ndarray, np.ndarray]]
    mortality: np.ndarray  # (W,) log odds ratios of death within a year
    mortality_intercept: float
    race_given_age: np.ndarray  # (ages, races)


@lru_cache(maxsize=1)
def hospital() -> Hospital:
    """The hospital's coefficients, always the same."""
    rng = np.random.default_rng(HOSPITAL_SEED)
    known, codes = declared("hospital").set_index("phecode"), usable_codes()
    leaf = leaves(codes, known["percent"] / 100, rng)
    whole = pd.Index(leaf["whole_code"].unique(), name="whole")
    known = known.reindex(whole)
    shares = {sex: shares_in(leaf, sex).groupby(leaf["whole"]) for sex in ("F", "M")}
    category = declared("categories").set_index("category")
    category = category.loc[definitions("phecode")["category"].reindex(whole)]
    prevalence = leaf.groupby("whole")["first"].sum().to_numpy()
    race_given_age = _race_given_age()
    disease = _disease_coefficients(whole, category, known, rng)
    for sex, name in (("F", "woman"), ("M", "man")):
        disease.loc[name] += np.where(shares[sex].sum() > 0, 0, _IMPOSSIBLE)
    disease.loc["intercept"] = _intercepts(disease, prevalence, race_given_age)
    mortality = pd.Series(rng.normal(0.02, 0.12, len(whole)), whole)
    truth = Hospital(
        whole=whole,
        disease=disease.to_numpy(),
        prevalence=prevalence,
        again=category["again"].to_numpy(),
        leaf=leaf,
        leaf_steps={sex: (s.cumsum() + leaf["whole"]).to_numpy() for sex, s in shares.items()},
        icd={version: icd_shares(codes, leaf, version, rng) for version in (9, 10)},
        mortality=known["mortality"].fillna(mortality).to_numpy() * _MORTALITY_SCALE,
        mortality_intercept=0.0,
        race_given_age=race_given_age,
    )
    return replace(truth, mortality_intercept=_death_intercept(truth, rng))


def age_units(age: np.ndarray) -> np.ndarray:
    """Age as the coefficients take it: steps of 20 years from 55."""
    return (age - 55) / 20


def _features(people: pd.DataFrame) -> np.ndarray:
    """What people have of :data:`FEATURES`, (n, F); without factors, everybody is average."""
    g = age_units(people[AGE].to_numpy())
    female, birth = people["female"].to_numpy(), people["birth"].to_numpy()
    columns = [np.ones(len(g)), g, g**2, female, ~female, birth, ~birth]
    factors = people.reindex(columns=FACTORS, fill_value=0.0).to_numpy()
    return np.hstack([np.column_stack(columns), factors, np.eye(len(RACES))[people[RACE]]])


def _disease_coefficients(
    whole: pd.Index, category: pd.DataFrame, known: pd.DataFrame, rng: Generator
) -> pd.DataFrame:
    """Coefficients of the features (rows) for each whole phecode, the intercept still 0."""
    size = len(whole)
    table = pd.DataFrame(0.0, index=FEATURES, columns=whole)
    slope = pd.Series(category["age"].to_numpy() + rng.normal(0, 0.15, size), whole)
    table.loc["age"] = known["age"].fillna(slope)
    table.loc["age squared"] = rng.normal(-0.12, 0.05, size)
    table.loc["woman"] = known["female"].fillna(pd.Series(rng.normal(0, 0.15, size), whole))
    pregnancy = category.index == "pregnancy complications"
    table.loc["gives birth"] = np.where(pregnancy, 0, _BIRTH_HEALTH)
    table.loc["no birth"] = np.where(pregnancy, _IMPOSSIBLE, 0)
    loadings = category[FACTORS].to_numpy().T
    table.loc[FACTORS] = loadings + rng.normal(0, _LOADING_NOISE, loadings.shape)
    for race, odds in _RACE_DISEASE.items():
        for code in whole.intersection(list(odds)):
            table.loc[f"race {race}", code] = odds[code]
    return table


def _intercepts(
    disease: pd.DataFrame, prevalence: np.ndarray, race_given_age: np.ndarray
) -> np.ndarray:
    """The intercepts with which the mean over the hospital's people is the prevalence.

    The sum of the factors times their loadings is normal, so a few Gauss-Hermite nodes do for
    all factors together; age, sex, birth and race are summed over.
    """
    cells = _cells(race_given_age, _AGE_STEP)
    base = _features(cells) @ disease.to_numpy()
    intercept = logit(prevalence)
    for _ in range(_SOLVER_STEPS):
        odds, weight = base + intercept, cells["weight"].to_numpy()
        mean = _mean_over_factors(odds, disease.to_numpy(), weight, nodes=5)
        intercept = intercept + logit(prevalence) - logit(mean)
    return intercept


def _cells(race_given_age: np.ndarray, step: int) -> pd.DataFrame:
    """Every kind of people and its share (``weight``), ages `step` years wide."""
    cells = []
    for group, (share, ages) in _groups().items():
        for start in range(0, len(AGES), step):
            mass = ages[start : start + step]
            if mass.sum() < 1e-6:
                continue
            age = mass @ AGES[start : start + step] / mass.sum()
            by_race = mass @ race_given_age[start : start + step]
            for race, weight in enumerate(share * by_race):
                cells.append((age, group != "M", group == "birth", race, weight))
    table = pd.DataFrame(cells, columns=[AGE, "female", "birth", RACE, "weight"])
    return table.assign(weight=table["weight"] / table["weight"].sum())


def _mean_over_factors(
    base: np.ndarray, disease: np.ndarray, weight: np.ndarray, nodes: int
) -> np.ndarray:
    """Mean chance of each disease over cells with the log odds `base` and over the factors."""
    first = FEATURES.index(FACTORS[0])
    spread = np.sqrt((disease[first : first + len(FACTORS)] ** 2).sum(axis=0))
    points, shares = np.polynomial.hermite_e.hermegauss(nodes)
    means = [weight @ expit(base + point * spread) for point in points]
    return np.tensordot(shares / shares.sum(), means, axes=1)


def _groups() -> dict[str, tuple[float, np.ndarray]]:
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
    return np.sum([share * mass for share, mass in _groups().values()], axis=0)


def _normal_ages(mean: float, sd: float) -> np.ndarray:
    """A normal distribution cut at 18 and with everyone above 91 counted as 91."""
    ages = np.arange(AGES[0], 106)
    mass = np.exp(-0.5 * ((ages - mean) / sd) ** 2)
    mass /= mass.sum()
    return np.append(mass[: len(AGES) - 1], mass[len(AGES) - 1 :].sum())


def _race_given_age() -> np.ndarray:
    """Races by age with the published shares overall (rows: ages, columns: races)."""
    ages = all_ages()
    target = np.array(list(PUBLISHED["races"].values()))
    tilt = np.array([_RACE_AGE.get(race, 0.0) for race in RACES])
    odds = target * np.exp(np.outer(age_units(AGES), tilt))
    for _ in range(50):
        table = odds / odds.sum(axis=1, keepdims=True)
        odds = odds * target / (ages @ table)
    return odds / odds.sum(axis=1, keepdims=True)


def _death_intercept(truth: Hospital, rng: Generator) -> float:
    """The intercept that gives the published share of deaths among 5,000 people."""
    people = draw_people(truth, 5_000, rng, dying=0.0)
    has = draw_diseases(truth, people, rng)
    odds = death_log_odds(truth, people, has, draw_body(truth, people, has, rng)[BMI])
    intercept = 0.0
    for _ in range(30):
        rate = expit(odds + intercept).mean()
        intercept += logit(PUBLISHED["death within a year"]) - logit(rate)
    return float(intercept)


def draw_people(
    truth: Hospital, n: int, rng: Generator, dying: float = PUBLISHED["died in hospital"]
) -> pd.DataFrame:
    """Who they are, one row per person; a share `dying` of them dies in hospital.

    ``age``, ``female``, ``race`` (number), ``dies``, ``birth`` (gives birth), :data:`FACTORS`.
    """
    dies = rng.random(n) < dying
    names, (shares, ages) = list(_groups()), zip(*_groups().values(), strict=True)
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
    by_age = np.cumsum(truth.race_given_age, axis=1)[age - AGES[0]]
    race = np.minimum((rng.random(n)[:, None] > by_age).sum(axis=1), len(RACES) - 1)
    factors = rng.standard_normal((n, len(FACTORS)))
    factors += np.outer(dies, [_DYING.get(name, 0.0) for name in FACTORS])
    people = {AGE: age, "female": group != names.index("M"), RACE: race, "dies": dies}
    people |= {"birth": group == names.index("birth")}
    return pd.DataFrame(people | dict(zip(FACTORS, factors.T, strict=True)))


def draw_diseases(truth: Hospital, people: pd.DataFrame, rng: Generator) -> np.ndarray:
    """Which whole phecodes each person has, (n, W) of bool."""
    given = _features(people)
    has = np.empty((len(people), len(truth.whole)), dtype=bool)
    for start in range(0, len(people), _BLOCK):
        rows = slice(start, start + _BLOCK)
        odds = np.exp(-(given[rows] @ truth.disease))
        has[rows] = rng.random(odds.shape) * (1 + odds) < 1
    return has


def disease_chances(truth: Hospital, people: pd.DataFrame) -> np.ndarray:
    """The chance that each person has each whole phecode, (n, W)."""
    return expit(_features(people) @ truth.disease)


def draw_body(
    truth: Hospital, people: pd.DataFrame, has: np.ndarray, rng: Generator
) -> pd.DataFrame:
    """Each person's usual BMI, systolic and diastolic pressure, and height in inches."""
    g = age_units(people[AGE].to_numpy())
    sick = pd.DataFrame(has, people.index, truth.whole)
    noise = rng.standard_normal((4, len(people)))
    log_bmi = np.log(27.0) + 0.16 * noise[0] + 0.045 * people["metabolic"] - 0.03 * g**2
    log_bmi += 0.25 * sick["278"] + 0.05 * sick["250"] + 0.12 * people["birth"]
    log_bmi -= 0.13 * sick["260"] + 0.05 * sick["198"] + 0.04 * sick["496"]
    bmi = np.exp(log_bmi)
    systolic = 124 + 4.5 * g + 7 * sick["401"] + 0.3 * (bmi - 27) - 5 * sick["428"]
    systolic += -7 * people["birth"] - 3 * sick["571"] + 1.5 * people["metabolic"]
    systolic += 11 * noise[1]
    diastolic = 73 + 0.45 * (systolic - 126) - 3.2 * g - 2 * people["female"]
    diastolic += -2 * sick["585"] + 5.0 * noise[2]
    height = np.where(people["female"], 63.5, 69.0) + 2.8 * noise[3]
    return pd.DataFrame({BMI: bmi, SYSTOLIC: systolic, DIASTOLIC: diastolic, "height": height})


# Diseases that act on the outcome through the BMI too.
BMI_DISEASES = ("278", "250", "260", "198", "496")


def death_log_odds(
    truth: Hospital, people: pd.DataFrame, has: np.ndarray, bmi: pd.Series
) -> np.ndarray:
    """Log odds of death within a year of each person, (n,)."""
    g = age_units(people[AGE].to_numpy())
    odds = has @ truth.mortality + _MORTALITY_AGE * g + _MORTALITY_AGE_SQUARED * g**2
    odds += _MORTALITY_THIN * np.maximum(24 - bmi.to_numpy(), 0)
    return odds + np.where(people["birth"], _MORTALITY_BIRTH, 0) + truth.mortality_intercept


def true_shares(truth: Hospital) -> tuple[np.ndarray, np.ndarray]:
    """Shares of men and women who have each whole phecode (2, W), and of men and women (2,).

    Both of all patients, exact up to numerical integration: one year of age, 40 nodes.
    """
    cells = _cells(truth.race_given_age, 1)
    weight, female = cells["weight"].to_numpy(), cells["female"].to_numpy()
    by_sex = np.array([weight * ~female, weight * female])
    base = _features(cells) @ truth.disease
    return _mean_over_factors(base, truth.disease, by_sex, nodes=40), by_sex.sum(axis=1)


def leaf_chances(truth: Hospital) -> np.ndarray:
    """Chance of each leaf, as first or second draw, in men and women who have its whole code."""
    chances = []
    for sex in ("M", "F"):
        share = shares_in(truth.leaf, sex).to_numpy()
        chances.append(share * (1 + SECOND_LEAF * (1 - share)))
    return np.array(chances)


def outcome_model(truth: Hospital) -> dict[str, float | dict[str, float]]:
    """The coefficients of the log odds of death within a year, by name."""
    return {
        "intercept": truth.mortality_intercept,
        "age": _MORTALITY_AGE,
        "age squared": _MORTALITY_AGE_SQUARED,
        "bmi below 24": _MORTALITY_THIN,
        "gives birth": _MORTALITY_BIRTH,
        "diseases": dict(zip(truth.whole, truth.mortality.tolist(), strict=True)),
    }


def draw_step(cumulative: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Which step of `cumulative` each draw falls into (never beyond the last)."""
    return np.minimum(np.searchsorted(cumulative, draws, side="right"), len(cumulative) - 1)
