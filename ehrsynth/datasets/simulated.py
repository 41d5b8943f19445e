"""A hospital that never was, in MIMIC-IV's file layout and with MIMIC-IV's faults.

Nothing has to be downloaded and nothing is confidential, yet the tables have what makes real ones
hard: two ICD versions, "110/70" pressures, impossible values, vitals missing for a third of the
patients, several admissions, deaths in hospital, sub-divided race strings. Its margins follow the
published aggregates of MIMIC-IV (:data:`PUBLISHED` and ``hospital.csv``); no real record was used.

How a patient comes about:

1. sex and age (young adults, older adults, and women who come to give birth), race given age;
2. seven latent factors (general morbidity, heart and metabolism, cancer, mind and substances,
   infection, digestion, bones and nerves), independent standard normals;
3. each whole phecode by a logistic model in age, sex, race and factors, whose intercept is solved
   so that the prevalence is the intended one; within it the leaf phecode, then the ICD code;
4. admissions, more of them with more morbidity; every disease is coded at one admission or more;
5. weight and pressure that follow disease and age, read at visits before and after discharge;
6. death within a year by a logistic model in diseases, age and weight.

Patients who die in hospital are the same with more morbidity and infection and a higher age.
The hospital itself (all coefficients) depends on one fixed seed and the patients on theirs, so a
fresh sample from the same truth is ``load("simulated", seed=another)``.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import InputError
from ..files import write_table
from ..phecode import _table as phecode_table
from ..phecode import definitions
from . import mimic_iv

HOSPITAL_SEED = 20_240_117  # of the hospital's coefficients, never of its patients

# Published aggregates of MIMIC-IV 2.0, patients who had an admission and did not die in hospital;
# the prevalences of the named phecodes are in hospital.csv.
PUBLISHED = {
    "patients": 181_294,
    "age mean": 56.20,
    "age sd": 20.39,
    "women": 0.533,
    "death within a year": 0.113,
    "races": {
        "WHITE": 0.673,
        "BLACK": 0.132,
        "ASIAN": 0.042,
        "HISPANIC": 0.055,
        "UNKNOWN": 0.042,
        "OTHER": 0.056,
    },
    # How many phecodes are rarer than this share of the patients.
    "rare phecodes": {1e-5: 25, 1e-4: 224, 1e-3: 718},
    "phecodes": 1_600,
    "died in hospital": 0.047,
}

# -- who comes -------------------------------------------------------------------------

AGES = np.arange(18, 92)  # 91 stands for everyone older than 90, as in MIMIC-IV
_BIRTH_SHARE = 0.11  # of the patients are women who come to give birth
_YOUNG_SHARE = 0.3117  # of the others; solved with the means below to give the published mean, SD
_NO_ADMISSION = 0.01

# The strings a registration desk writes for each race, with their shares.
_RACE_STRINGS = {
    "WHITE": {
        "WHITE": 0.90, "WHITE - OTHER EUROPEAN": 0.055, "WHITE - RUSSIAN": 0.025,
        "WHITE - EASTERN EUROPEAN": 0.012, "WHITE - BRAZILIAN": 0.008,
    },
    "BLACK": {
        "BLACK/AFRICAN AMERICAN": 0.80, "BLACK/CAPE VERDEAN": 0.10,
        "BLACK/CARIBBEAN ISLAND": 0.05, "BLACK/AFRICAN": 0.05,
    },
    "ASIAN": {
        "ASIAN": 0.40, "ASIAN - CHINESE": 0.38, "ASIAN - SOUTH EAST ASIAN": 0.12,
        "ASIAN - ASIAN INDIAN": 0.07, "ASIAN - KOREAN": 0.03,
    },
    "HISPANIC": {
        "HISPANIC/LATINO - PUERTO RICAN": 0.35, "HISPANIC OR LATINO": 0.25,
        "HISPANIC/LATINO - DOMINICAN": 0.22, "HISPANIC/LATINO - GUATEMALAN": 0.07,
        "HISPANIC/LATINO - SALVADORAN": 0.06, "HISPANIC/LATINO - CUBAN": 0.03,
        "HISPANIC/LATINO - MEXICAN": 0.02,
    },
    "UNKNOWN": {
        "UNKNOWN": 0.66, "UNABLE TO OBTAIN": 0.14, "PATIENT DECLINED TO ANSWER": 0.20,
    },
    "OTHER": {
        "OTHER": 0.72, "PORTUGUESE": 0.14, "SOUTH AMERICAN": 0.05,
        "AMERICAN INDIAN/ALASKA NATIVE": 0.04, "MULTIPLE RACE/ETHNICITY": 0.03,
        "NATIVE HAWAIIAN OR OTHER PACIFIC ISLANDER": 0.02,
    },
}  # fmt: skip
RACES = tuple(_RACE_STRINGS)
_RACE_AGE = {"WHITE": 0.25, "BLACK": -0.15, "ASIAN": -0.3, "HISPANIC": -0.35, "OTHER": -0.2}
# Log odds ratios of diseases by race.
_RACE_DISEASE = {
    "BLACK": {"401": 0.45, "250": 0.4, "585": 0.4, "282": 2.0, "495": 0.35, "218": 0.9,
              "697": 1.0, "278": 0.3, "071": 0.6},
    "HISPANIC": {"250": 0.4, "571": 0.3, "495": 0.3, "646": 0.2},
    "ASIAN": {"070": 1.0, "278": -0.7, "318": -0.6, "316": -0.9, "155": 0.7, "010": 1.2},
}  # fmt: skip

# -- what they have --------------------------------------------------------------------

FACTORS = ("morbidity", "metabolic", "cancer", "mind", "infection", "digestive", "frailty")
# Mean loading of the diseases of a category on the factors, their slope over 20 years of age,
# and the chance that a later admission codes the disease again.
_CATEGORIES = {
    "infectious diseases":     ((0.55, 0.10, 0.10, 0.10, 0.75, 0.15, 0.10), 0.20, 0.15),
    "neoplasms":               ((0.20, 0.00, 0.95, 0.00, 0.05, 0.15, 0.00), 0.45, 0.60),
    "endocrine/metabolic":     ((0.55, 0.60, 0.10, 0.10, 0.15, 0.10, 0.10), 0.25, 0.65),
    "hematopoietic":           ((0.65, 0.10, 0.40, 0.00, 0.35, 0.30, 0.00), 0.20, 0.35),
    "mental disorders":        ((0.25, 0.00, 0.00, 1.00, 0.00, 0.10, 0.15), -0.15, 0.60),
    "neurological":            ((0.35, 0.10, 0.05, 0.40, 0.10, 0.00, 0.55), 0.15, 0.50),
    "sense organs":            ((0.20, 0.25, 0.00, 0.10, 0.00, 0.00, 0.45), 0.40, 0.40),
    "circulatory system":      ((0.50, 0.75, 0.00, 0.00, 0.15, 0.05, 0.10), 0.65, 0.65),
    "respiratory":             ((0.60, 0.25, 0.15, 0.15, 0.55, 0.00, 0.10), 0.25, 0.45),
    "digestive":               ((0.40, 0.05, 0.15, 0.15, 0.10, 0.85, 0.10), 0.15, 0.40),
    "genitourinary":           ((0.40, 0.30, 0.10, 0.00, 0.35, 0.10, 0.15), 0.20, 0.40),
    "pregnancy complications": ((0.15, 0.10, 0.00, 0.10, 0.10, 0.00, 0.00), 0.00, 0.10),
    "dermatologic":            ((0.35, 0.30, 0.05, 0.10, 0.50, 0.05, 0.20), 0.10, 0.25),
    "musculoskeletal":         ((0.20, 0.15, 0.00, 0.20, 0.05, 0.05, 0.95), 0.35, 0.45),
    "congenital anomalies":    ((0.20, 0.10, 0.00, 0.00, 0.00, 0.10, 0.20), -0.20, 0.50),
    "symptoms":                ((0.40, 0.05, 0.10, 0.25, 0.25, 0.30, 0.15), 0.10, 0.20),
    "injuries & poisonings":   ((0.25, 0.05, 0.05, 0.30, 0.15, 0.05, 0.45), 0.10, 0.12),
}  # fmt: skip
_LOADING_NOISE = 0.16
_BIRTH_HEALTH = -1.0  # log odds of every other disease in women who come to give birth
_DYING = {"morbidity": 0.9, "infection": 1.1, "cancer": 0.3}  # shift of the factors
_DYING_AGE = 0.85  # tilt of the age distribution, log odds over 20 years
_IMPOSSIBLE = -60.0  # log odds
_AGE_STEP, _SOLVER_STEPS = 5, 7  # finer or more changes no prevalence by 1 %
_LEAF_SPREAD = 1.5  # of the log shares of the leaves of a whole phecode
_RAREST, _RARE_LIMIT = 3e-6, 9e-3  # prevalences of the leaves that hospital.csv does not name
_SECOND_LEAF = 0.25  # chance that a whole phecode is coded with a second of its leaves

# Codes that belong to no phecode: status, circumstances, place of an accident.
_OTHER_CODES = {
    9: {
        "V1582": "Personal history of tobacco use", "E8497": "Accidents in residential institution",
        "V707": "Examination of participant in clinical trial",
        "E8798": "Other specified procedures as the cause of abnormal reaction of patient",
        "V4986": "Do not resuscitate status", "E8490": "Home accidents",
        "V1581": "Noncompliance with medical treatment",
        "E8782": "Surgical operation with anastomosis as the cause of abnormal reaction",
        "E8889": "Unspecified fall",
    },
    10: {
        "Z66": "Do not resuscitate", "Y92230": "Patient room in hospital as the place",
        "Y929": "Unspecified place or not applicable", "Z515": "Encounter for palliative care",
        "Y848": "Other medical procedures as the cause of abnormal reaction",
        "Z781": "Physical restraint status", "R0902": "Hypoxemia",
        "Z8249": "Family history of ischemic heart disease",
    },
}  # fmt: skip
_OTHER_RATE = 0.95  # such codes per admission
_COMMON_CODES = ("4019", "I10", "2724", "E785", "25000", "E119", "42731", "I4891", "53081", "K219")
_MOST_CODES = 4  # ICD codes of each version that this hospital uses for a leaf
_ICD10_SINCE = np.datetime64("2015-10-01")

# -- what becomes of them --------------------------------------------------------------

_BMI_FAULTS = (
    (0, 0.0015, 144),
    (0.0015, 0.003, 1 / 6.45),
    (0.003, 0.0035, 10),
    (0.0035, 0.0036, 3_900),
)
_BLOCK = 4_096  # people at a time; any number gives the same people
_MORTALITY_SCALE = 0.5
_MORTALITY_AGE = 0.45
_MORTALITY_THIN = 0.07  # per kg/m2 below 24
_MORTALITY_BIRTH = -3.0
_YEARS = (np.datetime64("2008-01-01"), np.datetime64("2019-12-31"))


@dataclass(frozen=True)
class Hospital:
    """The coefficients of the hospital: its truth.

    Parameters
    ----------
    whole : Index of str
        Whole phecodes, W of them.
    disease : ndarray (features, W)
        Coefficients of the diseases' log odds; the features are those of :func:`_features`.
    prevalence : ndarray (W,)
        What the intercepts were solved for.
    again : ndarray (W,)
        Chance that a later admission codes the disease again.
    leaf : DataFrame
        ``code``, ``whole`` (number), ``share`` (of the whole phecode), ``sex``; in the order of
        the whole phecodes.
    leaf_steps : dict of str to ndarray
        For each sex the cumulative shares of the leaves, plus the number of the whole phecode.
    icd : dict of int to (ndarray of str, ndarray)
        For each ICD version the codes and their cumulative shares, plus the number of the leaf.
    mortality : ndarray (W,)
        Log odds ratios of death within a year.
    mortality_intercept : float
    race_given_age : ndarray (ages, races)
    """

    whole: pd.Index
    disease: np.ndarray
    prevalence: np.ndarray
    again: np.ndarray
    leaf: pd.DataFrame
    leaf_steps: dict[str, np.ndarray]
    icd: dict[int, tuple[np.ndarray, np.ndarray]]
    mortality: np.ndarray
    mortality_intercept: float
    race_given_age: np.ndarray


def load(patients: int = 20_000, seed: int = 0) -> dict[str, pd.DataFrame]:
    """The hospital tables of `patients` simulated patients.

    Parameters
    ----------
    patients : int
        Rows of the table of patients; about 94 % of them will be in the cohort.
    seed : int
        Of the patients. Another seed gives other patients of the same hospital.

    Returns
    -------
    dict of str to DataFrame
        See :func:`ehrsynth.datasets.mimic_iv.convert`, which makes them.
    """
    return mimic_iv.convert(raw_tables(patients, seed))


def write(folder: str | Path, patients: int = 20_000, seed: int = 0) -> list[Path]:
    """Write the hospital as MIMIC-IV is published: ``hosp/*.csv.gz``; return the files."""
    written = []
    for name, table in raw_tables(patients, seed).items():
        path = Path(folder) / "hosp" / f"{name}.csv.gz"
        write_table(table, path)
        written.append(path)
    return written


def raw_tables(patients: int = 20_000, seed: int = 0) -> dict[str, pd.DataFrame]:
    """The tables of MIMIC-IV's ``hosp`` folder, with its column names.

    Returns
    -------
    dict of str to DataFrame
        ``patients``, ``admissions``, ``diagnoses_icd``, ``d_icd_diagnoses``, ``omr``.

    Raises
    ------
    InputError
        If `patients` is less than 1.
    """
    if patients < 1:
        raise InputError(f"The number of patients is {patients}; ask for 1 or more.")
    truth = hospital()
    rng = np.random.default_rng(seed)
    people = _people(truth, patients, rng)
    has = _diseases(truth, people, rng)
    stays = _stays(people, rng)
    body = _body(truth, people, has, rng)
    dod = _deaths(truth, people, has, body, stays, rng)
    identity = _identity(people, stays, rng)
    admissions = _admissions_table(people, identity, stays, rng)
    return {
        "patients": _patients_table(people, identity, dod),
        "admissions": admissions,
        "diagnoses_icd": _diagnoses_table(truth, people, has, stays, admissions, rng),
        "d_icd_diagnoses": _titles(truth),
        "omr": _before_death(_omr_table(people, identity, body, stays, rng), identity, dod),
    }


# -- the hospital ----------------------------------------------------------------------


@lru_cache(maxsize=1)
def hospital() -> Hospital:
    """Work out the hospital's coefficients; they are always the same."""
    rng = np.random.default_rng(HOSPITAL_SEED)
    with as_file(files("ehrsynth.datasets") / "hospital.csv") as path:
        named = pd.read_csv(path, dtype={"phecode": str}).set_index("phecode")
    codes = _usable_codes()
    leaf = _leaves(codes, named["percent"] / 100, rng)
    whole = pd.Index(leaf["whole_code"].unique(), name="whole")
    leaf["whole"] = whole.get_indexer(leaf["whole_code"])
    named = named.reindex(whole)

    steps, possible = {}, {}
    for sex in ("F", "M"):
        share = leaf["share"].where(leaf["sex"].isin(("", sex)), 0.0)
        total = share.groupby(leaf["whole"]).transform("sum")
        cumulative = (share / total.where(total > 0, 1)).groupby(leaf["whole"]).cumsum()
        steps[sex] = (cumulative + leaf["whole"]).to_numpy()
        possible[sex] = (total > 0).groupby(leaf["whole"]).first().to_numpy()

    category = definitions("phecode")["category"].reindex(whole)
    prevalence = leaf.groupby("whole")["first"].sum().to_numpy()
    race_given_age = _race_given_age()
    disease = _disease_coefficients(whole, category, named, possible, rng)
    _solve_intercepts(disease, prevalence, race_given_age)
    mortality = pd.Series(rng.normal(0.02, 0.12, len(whole)), whole)
    truth = Hospital(
        whole=whole,
        disease=disease,
        prevalence=prevalence,
        again=category.map(lambda name: _CATEGORIES[name][2]).to_numpy(),
        leaf=leaf,
        leaf_steps=steps,
        icd={version: _icd_shares(codes, leaf, version, rng) for version in (9, 10)},
        mortality=named["mortality"].fillna(mortality).to_numpy() * _MORTALITY_SCALE,
        mortality_intercept=0.0,
        race_given_age=race_given_age,
    )
    return replace(truth, mortality_intercept=_death_intercept(truth, rng))


def _usable_codes() -> pd.DataFrame:
    """ICD codes that belong to one phecode and can stand on a bill (are no headings)."""
    table = phecode_table().drop_duplicates(["icd_version", "icd_code"], keep=False)
    table = table.sort_values(["icd_version", "icd_code"], ignore_index=True)
    code = table["icd_code"].to_numpy(dtype=str)
    heading = np.append(np.char.startswith(code[1:], code[:-1]), False)
    return table.loc[~heading, ["icd_version", "icd_code", "phecode"]]


def _leaves(codes: pd.DataFrame, named: pd.Series, rng: np.random.Generator) -> pd.DataFrame:
    """Which leaf phecodes occur in this hospital, and how often.

    Returns
    -------
    DataFrame
        ``code``, ``whole_code``, ``sex``, ``first`` (share of the patients in whom it is the
        first leaf drawn) and ``share`` (``first`` over its sum within the whole phecode), in the
        order of the codes.
    """
    sizes = codes.groupby(["phecode", "icd_version"]).size().unstack(fill_value=0)
    code = pd.Series(sizes.index[(sizes > 0).all(axis=1)])  # known to both ICD versions
    whole = code.str.split(".").str[0]
    first = np.zeros(len(code))
    known = (code.map(named) / whole.map(named)).where(code != whole).to_numpy()
    for name, members in code[whole.isin(named.index)].groupby(whole).groups.items():
        first[members] = named[name] * _shares(known[members], rng)
    others = rng.permutation(np.flatnonzero(first == 0))
    others = others[: PUBLISHED["phecodes"] - np.count_nonzero(first)]
    leaf = pd.DataFrame({"code": code, "whole_code": whole, "first": first})
    leaf["sex"] = leaf["code"].map(definitions("leaf")["sex"])
    leaf.loc[others, "first"] = _rare(seen(leaf), len(others), rng)
    leaf = leaf[leaf["first"] > 0].reset_index(drop=True)
    return leaf.assign(share=leaf["first"] / _within_whole(leaf))


def _within_whole(leaf: pd.DataFrame) -> pd.Series:
    return leaf.groupby("whole_code")["first"].transform("sum")


def _shares(known: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shares of the leaves of one whole phecode as first draw, some of them given as seen.

    A leaf with share q of the first draws is seen in q (1 + s (1 - q)) of those who have the
    whole phecode, s being the chance of a second draw; this is solved for q where it is known.
    """
    weights = np.exp(_LEAF_SPREAD * rng.standard_normal(len(known)))
    given = ~np.isnan(known)
    share = np.zeros(len(known))
    half = (1 + _SECOND_LEAF) / 2
    root = np.sqrt(half**2 - _SECOND_LEAF * known[given])
    share[given] = (half - root) / _SECOND_LEAF
    if share.sum() >= 1:
        raise ValueError("hospital.csv gives leaves that together exceed their whole phecode")
    share[~given] = (1 - share.sum()) * weights[~given] / weights[~given].sum()
    return share


def seen(leaf: pd.DataFrame) -> np.ndarray:
    """Share of the patients in whom each leaf is coded, as first or as second draw."""
    share = leaf["first"] / _within_whole(leaf).where(leaf["first"] > 0, 1)
    return (leaf["first"] * (1 + _SECOND_LEAF * (1 - share))).to_numpy()


def _rare(seen: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Prevalences of `n` more leaves so that all of them together have the published tail."""
    limits = np.log10([_RAREST, *PUBLISHED["rare phecodes"], _RARE_LIMIT])
    counts = np.diff([0, *PUBLISHED["rare phecodes"].values(), len(seen)])
    have, _ = np.histogram(np.log10(seen[seen > 0]), bins=[-9, *limits[1:-1], 0])
    want = np.maximum(counts - have, 0)[:-1]
    want = [*want, max(n - want.sum(), 0)]
    pieces = zip(want, limits[:-1], limits[1:], strict=True)
    values = np.concatenate([low + (high - low) * rng.random(k) for k, low, high in pieces])
    return 10 ** rng.permutation(values)[:n]


def _icd_shares(codes, leaf, version, rng) -> tuple[np.ndarray, np.ndarray]:
    """ICD codes used for each leaf: the codes, and the number of the leaf + cumulative share."""
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
    return table["icd_code"].to_numpy(str), (table["leaf"] + cumulative).to_numpy()


# -- features and coefficients of the diseases -------------------------------------------


def _age_units(age: np.ndarray) -> np.ndarray:
    return (age - 55) / 20


def _features(age, female, birth, race, factors) -> np.ndarray:
    """The matrix whose product with :attr:`Hospital.disease` is the log odds of the diseases."""
    g = _age_units(age)
    columns = [np.ones(len(g)), g, g**2, female, ~female, birth, ~birth]
    return np.hstack([np.column_stack(columns), factors, np.eye(len(RACES))[race]])


_ONE, _AGE, _AGE2, _FEMALE, _MALE, _BIRTH, _OTHER = range(7)
_FACTOR_ROWS = slice(7, 7 + len(FACTORS))


def _disease_coefficients(whole, category, named, possible, rng) -> np.ndarray:
    """Coefficients of the features for each whole phecode, the intercept still 0."""
    size = len(whole)
    coefficients = np.zeros((7 + len(FACTORS) + len(RACES), size))
    slope = category.map(lambda name: _CATEGORIES[name][1]) + rng.normal(0, 0.15, size)
    coefficients[_AGE] = named["age"].fillna(slope)
    coefficients[_AGE2] = rng.normal(-0.12, 0.05, size)
    coefficients[_FEMALE] = named["female"].fillna(pd.Series(rng.normal(0, 0.15, size), whole))
    pregnancy = (category == "pregnancy complications").to_numpy()
    coefficients[_BIRTH] = np.where(pregnancy, 0, _BIRTH_HEALTH)
    coefficients[_OTHER] = np.where(pregnancy, _IMPOSSIBLE, 0)
    coefficients[_FEMALE] += np.where(possible["F"], 0, _IMPOSSIBLE)
    coefficients[_MALE] = np.where(possible["M"], 0, _IMPOSSIBLE)
    loadings = np.array([_CATEGORIES[name][0] for name in category]).T
    coefficients[_FACTOR_ROWS] = loadings + rng.normal(0, _LOADING_NOISE, loadings.shape)
    for race, odds in _RACE_DISEASE.items():
        row = _FACTOR_ROWS.stop + RACES.index(race)
        known = [code for code in odds if code in whole]
        coefficients[row, whole.get_indexer(known)] = [odds[code] for code in known]
    return coefficients


def _solve_intercepts(disease, prevalence, race_given_age) -> None:
    """Set the intercepts so that the mean over the hospital's people is the prevalence.

    The sum of the factors times their loadings is normal, so a few Gauss-Hermite nodes do for
    all factors together; age, sex, birth and race are summed over.
    """
    nodes, node_weights = np.polynomial.hermite_e.hermegauss(5)
    node_weights = node_weights / node_weights.sum()
    cells = []
    for group, (share, ages) in _groups().items():
        for start in range(0, len(AGES), _AGE_STEP):
            mass = ages[start : start + _AGE_STEP]
            if mass.sum() < 1e-6:
                continue
            age = mass @ AGES[start : start + _AGE_STEP] / mass.sum()
            by_race = mass @ race_given_age[start : start + _AGE_STEP]
            for race, weight in enumerate(share * by_race):
                cells.append((age, group != "M", group == "birth", race, weight))
    age, female, birth, race, weight = (np.array(column) for column in zip(*cells, strict=True))
    weight /= weight.sum()
    base = _features(age, female, birth, race, np.zeros((len(age), len(FACTORS)))) @ disease
    spread = np.sqrt((disease[_FACTOR_ROWS] ** 2).sum(axis=0))
    intercept = _logit(prevalence)
    for _ in range(_SOLVER_STEPS):
        mean = 0.0
        for node, node_weight in zip(nodes, node_weights, strict=True):
            mean = mean + node_weight * (weight @ _sigmoid(base + (intercept + node * spread)))
        intercept = intercept + _logit(prevalence) - _logit(mean)
    disease[_ONE] = intercept


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


def _normal_ages(mean: float, sd: float) -> np.ndarray:
    """A normal distribution cut at 18 and with everyone above 91 counted as 91."""
    ages = np.arange(AGES[0], 106)
    mass = np.exp(-0.5 * ((ages - mean) / sd) ** 2)
    mass /= mass.sum()
    return np.append(mass[: len(AGES) - 1], mass[len(AGES) - 1 :].sum())


def _race_given_age() -> np.ndarray:
    """Races by age with the published shares overall (rows: ages, columns: races)."""
    ages = sum(share * mass for share, mass in _groups().values())
    target = np.array(list(PUBLISHED["races"].values()))
    tilt = np.array([_RACE_AGE.get(race, 0.0) for race in RACES])
    odds = target * np.exp(np.outer(_age_units(AGES), tilt))
    for _ in range(50):
        table = odds / odds.sum(axis=1, keepdims=True)
        odds = odds * target / (ages @ table)
    return odds / odds.sum(axis=1, keepdims=True)


def _death_intercept(truth: Hospital, rng: np.random.Generator) -> float:
    """The intercept that gives the published share of deaths among 5,000 people."""
    people = _people(truth, 5_000, rng, dying=0.0)
    has = _diseases(truth, people, rng)
    odds = _death_log_odds(truth, people, has, _body(truth, people, has, rng)["bmi"])
    intercept = 0.0
    for _ in range(30):
        rate = _sigmoid(odds + intercept).mean()
        intercept += _logit(PUBLISHED["death within a year"]) - _logit(rate)
    return float(intercept)


# -- the people ------------------------------------------------------------------------


def _people(truth: Hospital, n: int, rng: np.random.Generator, dying: float | None = None):
    """Who they are: one row per person, and the factors as columns."""
    dies = rng.random(n) < (PUBLISHED["died in hospital"] if dying is None else dying)
    names, (shares, ages) = list(_groups()), zip(*_groups().values(), strict=True)
    group = _draw(np.cumsum(shares), rng.random(n))
    # Nobody who gives birth dies; those who die are older.
    group[dies & (group == names.index("birth"))] = names.index("F")
    older = ages[1] * np.exp(_DYING_AGE * _age_units(AGES))
    steps = np.cumsum([*ages, older / older.sum()], axis=1)
    which = np.where(dies, len(ages), group)
    age = np.empty(n, dtype=np.int64)
    draw = rng.random(n)
    for number, cumulative in enumerate(steps):
        age[which == number] = AGES[_draw(cumulative, draw[which == number])]
    by_age = np.cumsum(truth.race_given_age, axis=1)[age - AGES[0]]
    race = np.minimum((rng.random(n)[:, None] > by_age).sum(axis=1), len(RACES) - 1)
    factors = rng.standard_normal((n, len(FACTORS)))
    factors += np.outer(dies, [_DYING.get(name, 0.0) for name in FACTORS])
    people = {"age": age, "female": group != names.index("M"), "race": race, "dies": dies}
    people |= {"birth": group == names.index("birth")}
    return pd.DataFrame(people | dict(zip(FACTORS, factors.T, strict=True)))


def _diseases(truth: Hospital, people: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """Which whole phecodes each person has, (n, W) of bool."""
    features = _features(
        *(people[name].to_numpy() for name in ("age", "female", "birth", "race")),
        people[list(FACTORS)].to_numpy(),
    )
    has = np.empty((len(people), len(truth.whole)), dtype=bool)
    for start in range(0, len(people), _BLOCK):
        rows = slice(start, start + _BLOCK)
        odds = np.exp(-(features[rows] @ truth.disease))
        has[rows] = rng.random(odds.shape) * (1 + odds) < 1
    return has


def _stays(people: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Admissions: ``person``, ``admit``, ``discharge`` (real times), ``last``, ``dies``.

    They are sorted by person and time. A few people have none.
    """
    n = len(people)
    burden = 0.75 * people["morbidity"].to_numpy() + 0.5 * rng.standard_normal(n)
    rate = np.where(people["birth"], 0.4, 1.45) * np.exp(burden - 0.4)
    count = 1 + np.minimum(rng.poisson(rate), 60)
    count[(rng.random(n) < _NO_ADMISSION) & ~people["dies"]] = 0
    day = 86_400
    first, last = (edge.astype("datetime64[s]").astype(np.int64) for edge in _YEARS)
    end = first + rng.random(n) ** 0.7 * (last - first)
    window = np.minimum(end - first, (30 + rng.exponential(900, n)) * day)

    person = np.repeat(np.arange(n), count)
    final = np.append(person[1:] != person[:-1], True)[: len(person)]
    before = np.where(final, 0.0, rng.random(len(person)))
    admit = end[person] - window[person] * before
    order = np.lexsort((admit, person))
    admit = admit[order]
    following = np.where(final, np.inf, np.append(admit[1:], np.inf))
    length = np.exp(rng.normal(1.1, 0.85, len(person))) * day
    discharge = admit + np.minimum(length, 0.8 * (following - admit))
    return pd.DataFrame(
        {
            "person": person,
            "admit": admit.astype(np.int64).astype("datetime64[s]"),
            "discharge": discharge.astype(np.int64).astype("datetime64[s]"),
            "last": final,
            "dies": final & people["dies"].to_numpy()[person],
        }
    )


def _body(truth, people, has, rng) -> pd.DataFrame:
    """Each person's usual BMI, systolic and diastolic pressure, and height in inches."""
    n = len(people)
    g = _age_units(people["age"].to_numpy())

    def disease(code: str) -> np.ndarray:
        return has[:, truth.whole.get_loc(code)]

    noise = rng.standard_normal((4, n))
    log_bmi = np.log(27.0) + 0.16 * noise[0] + 0.045 * people["metabolic"] - 0.03 * g**2
    log_bmi += 0.25 * disease("278") + 0.05 * disease("250") + 0.12 * people["birth"]
    log_bmi -= 0.13 * disease("260") + 0.05 * disease("198") + 0.04 * disease("496")
    bmi = np.exp(log_bmi)
    systolic = 124 + 4.5 * g + 7 * disease("401") + 0.3 * (bmi - 27) - 5 * disease("428")
    systolic += -7 * people["birth"] - 3 * disease("571") + 1.5 * people["metabolic"]
    systolic += 11 * noise[1]
    diastolic = 73 + 0.45 * (systolic - 126) - 3.2 * g - 2 * people["female"]
    diastolic += -2 * disease("585") + 5.0 * noise[2]
    height = np.where(people["female"], 63.5, 69.0) + 2.8 * noise[3]
    return pd.DataFrame(
        {"bmi": bmi, "systolic": systolic, "diastolic": diastolic, "height": height}
    )


def _death_log_odds(truth, people, has, bmi) -> np.ndarray:
    g = _age_units(people["age"].to_numpy())
    odds = has @ truth.mortality + _MORTALITY_AGE * g + 0.1 * g**2
    odds += _MORTALITY_THIN * np.maximum(24 - bmi.to_numpy(), 0)
    return odds + np.where(people["birth"], _MORTALITY_BIRTH, 0) + truth.mortality_intercept


def _deaths(truth, people, has, body, stays, rng) -> pd.Series:
    """Real date of death by person, NaT for the living; nobody is followed beyond a year."""
    odds = _death_log_odds(truth, people, has, body["bmi"])
    dies = rng.random(len(people)) < _sigmoid(odds)
    days = np.floor(365 * rng.random(len(people)) ** 1.7).astype(np.int64) + 1
    days[people["dies"]] = 0
    last = stays[stays["last"]].set_index("person")["discharge"].astype("datetime64[s]")
    last = last.reindex(range(len(people))).dt.floor("D")
    return (last + pd.to_timedelta(days, unit="D")).where(dies | people["dies"])


# -- the tables ------------------------------------------------------------------------


def _identity(people: pd.DataFrame, stays: pd.DataFrame, rng) -> pd.DataFrame:
    """Identifiers and shifted calendar of each person, as MIMIC-IV de-identifies them.

    Returns
    -------
    DataFrame
        ``subject_id``, ``shift`` (added to every real date), ``anchor_age``, ``anchor_year``
        (shifted) and ``anchor_year_group`` (real, three years wide).
    """
    n = len(people)
    first, last = (edge.astype("datetime64[s]").astype(np.int64) for edge in _YEARS)
    unseen = pd.Series((first + rng.random(n) * (last - first)).astype("datetime64[s]"))
    begin = stays.groupby("person")["admit"].first().reindex(range(n)).fillna(unseen)
    end = stays.groupby("person")["admit"].last().reindex(range(n)).fillna(unseen)
    years = rng.integers(95, 190, n)
    shift = pd.Series(pd.to_timedelta(np.round(years * 365.2425), unit="D").as_unit("s"))
    end_year = (end + shift).dt.year
    age = people["age"]
    # Nobody is younger than 18 at the anchor, and everyone above 89 is 91.
    since = np.minimum(end_year - (begin + shift).dt.year, age - AGES[0])
    anchor_age = age - since
    anchor_real = (begin.dt.year + (end_year - (begin + shift).dt.year - since)).clip(2008, 2019)
    group = (anchor_real - 2008) // 3 * 3 + 2008
    return pd.DataFrame(
        {
            "subject_id": 10_000_000 + _numbers(n, rng),
            "shift": shift,
            "anchor_age": anchor_age.where(anchor_age < 90, AGES[-1]),
            "anchor_year": (end_year - since).astype("int64"),
            "anchor_year_group": group.astype(str) + " - " + (group + 2).astype(str),
        }
    )


def _numbers(n: int, rng: np.random.Generator) -> np.ndarray:
    """Different numbers below ten million (more if there are many), in no order."""
    return rng.permutation(np.cumsum(rng.integers(1, max(2, 9_900_000 // n), n)))


def _patients_table(people, identity, dod) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "subject_id": identity["subject_id"],
            "gender": np.where(people["female"], "F", "M"),
            "anchor_age": identity["anchor_age"],
            "anchor_year": identity["anchor_year"],
            "anchor_year_group": identity["anchor_year_group"],
            "dod": dod + identity["shift"],
        }
    )


def _admissions_table(people, identity, stays, rng) -> pd.DataFrame:
    n = len(stays)
    person = stays["person"].to_numpy()
    shift = identity["shift"].to_numpy()[person]
    text = np.empty(len(people), dtype=np.int64)
    strings, first = [], 0
    draw = rng.random(len(people))
    for number, shares in enumerate(_RACE_STRINGS.values()):
        chosen = (people["race"] == number).to_numpy()
        text[chosen] = first + _draw(np.cumsum(list(shares.values())), draw[chosen])
        strings += shares
        first += len(shares)
    birth = people["birth"].to_numpy()[person]
    kinds = np.array(["EW EMER.", "OBSERVATION ADMIT", "SURGICAL SAME DAY ADMISSION", "URGENT"])
    emergency = _draw(np.array([0.45, 0.62, 0.84, 1.0]), rng.random(n))
    old = people["age"].to_numpy()[person] >= 65
    home = np.array(["HOME", "HOME HEALTH CARE", "SKILLED NURSING FACILITY", "REHAB"])
    leaves = _draw(np.array([0.48, 0.76, 0.92, 1.0]), rng.random(n) * np.where(old, 1.0, 0.8))
    insurance = np.where(old, "Medicare", np.where(rng.random(n) < 0.2, "Medicaid", "Other"))
    discharge = stays["discharge"].to_numpy() + shift
    return pd.DataFrame(
        {
            "subject_id": identity["subject_id"].to_numpy()[person],
            "hadm_id": 20_000_000 + _numbers(n, rng),
            "admittime": stays["admit"].to_numpy() + shift,
            "dischtime": discharge,
            "deathtime": pd.Series(discharge).where(stays["dies"]),
            "admission_type": np.where(birth, "DIRECT EMER.", kinds[emergency]),
            "admission_location": np.where(emergency == 0, "EMERGENCY ROOM", "PHYSICIAN REFERRAL"),
            "discharge_location": np.where(stays["dies"], "DIED", home[leaves]),
            "insurance": insurance,
            "race": np.array(strings)[text][person],
            "hospital_expire_flag": stays["dies"].astype("int64"),
        }
    )


def _diagnoses_table(truth, people, has, stays, admissions, rng) -> pd.DataFrame:
    """Every disease coded at one admission or more, in the ICD version of the day."""
    count = np.bincount(stays["person"], minlength=len(people))
    start = np.cumsum(count) - count
    person, whole = np.nonzero(has & (count > 0)[:, None])
    leaf = _leaf_draws(truth, people, person, whole, rng)
    second = np.flatnonzero(rng.random(len(person)) < _SECOND_LEAF)
    other = _leaf_draws(truth, people, person[second], whole[second], rng)
    new = other != leaf[second]
    person = np.append(person, person[second[new]])
    whole = np.append(whole, whole[second[new]])
    leaf = np.append(leaf, other[new])

    since = np.floor(rng.random(len(person)) * count[person]).astype(np.int64)
    visits = count[person] - since  # from the first admission that codes it to the last
    row = np.repeat(np.arange(len(person)), visits)
    nth = np.arange(len(row)) - np.repeat(np.cumsum(visits) - visits, visits)
    coded = (nth == 0) | (rng.random(len(row)) < truth.again[whole[row]])
    row, nth = row[coded], nth[coded]
    stay = start[person[row]] + since[row] + nth
    recent = (stays["admit"].to_numpy() >= _ICD10_SINCE)[stay]
    code = np.empty(len(row), dtype="U7")
    draw = rng.random(len(row))
    for version, chosen in ((9, ~recent), (10, recent)):
        names, steps = truth.icd[version]
        code[chosen] = names[_draw(steps, leaf[row[chosen]] + draw[chosen])]

    more = np.repeat(np.arange(len(stays)), rng.poisson(_OTHER_RATE, len(stays)))
    more_recent = (stays["admit"].to_numpy() >= _ICD10_SINCE)[more]
    more_code = np.empty(len(more), dtype="U7")
    for version, chosen in ((9, ~more_recent), (10, more_recent)):
        names = np.array(list(_OTHER_CODES[version]))
        weight = 0.8 ** np.arange(len(names))
        steps = np.cumsum(weight / weight.sum())
        more_code[chosen] = names[_draw(steps, rng.random(chosen.sum()))]

    table = pd.DataFrame(
        {
            "stay": np.append(stay, more),
            "icd_code": np.append(code, more_code),
            "icd_version": np.where(np.append(recent, more_recent), 10, 9),
        }
    ).drop_duplicates(["stay", "icd_code"])
    order = np.lexsort((rng.random(len(table)), table["stay"]))
    table = table.iloc[order].reset_index(drop=True)
    return pd.DataFrame(
        {
            "subject_id": admissions["subject_id"].to_numpy()[table["stay"]],
            "hadm_id": admissions["hadm_id"].to_numpy()[table["stay"]],
            "seq_num": table.groupby("stay").cumcount() + 1,
            "icd_code": table["icd_code"].astype("str"),
            "icd_version": table["icd_version"].astype("int64"),
        }
    )


def _leaf_draws(truth, people, person, whole, rng) -> np.ndarray:
    """A leaf (its number) of each whole phecode, one that the person's sex can have."""
    draw = rng.random(len(person))
    female = people["female"].to_numpy()[person]
    leaf = np.empty(len(person), dtype=np.int64)
    for sex, chosen in (("F", female), ("M", ~female)):
        leaf[chosen] = _draw(truth.leaf_steps[sex], whole[chosen] + draw[chosen])
    return leaf


def _titles(truth: Hospital) -> pd.DataFrame:
    """d_icd_diagnoses: what each code means."""
    names = definitions("leaf")["name"]
    parts = []
    for version, (codes, steps) in truth.icd.items():
        leaf = truth.leaf["code"].iloc[np.ceil(steps - 1e-9).astype(np.int64) - 1]
        parts.append(pd.DataFrame({"icd_code": codes, "long_title": names[leaf].to_numpy()}))
        other = pd.Series(_OTHER_CODES[version], name="long_title").rename_axis("icd_code")
        parts.append(other.reset_index())
        parts[-2]["icd_version"] = parts[-1]["icd_version"] = version
    table = pd.concat(parts, ignore_index=True)[["icd_code", "icd_version", "long_title"]]
    return table.sort_values(["icd_code", "icd_version"], ignore_index=True)


def _omr_table(people, identity, body, stays, rng) -> pd.DataFrame:
    """What was measured at visits, with the faults of real notes.

    Whether somebody was measured at all depends on who they are: the frequent visitors of the
    clinics are, the young and the emergencies are not.
    """
    n = len(people)
    count = np.bincount(stays["person"], minlength=n)
    likely = -0.30 + 1.0 * np.log1p(count) + 0.25 * people["metabolic"] + 0.3 * people["birth"]
    likely += -0.25 * people["infection"] + 0.1 * _age_units(people["age"])
    pressed = rng.random(n) < _sigmoid(likely.to_numpy())
    weighed = rng.random(n) < np.where(pressed, 0.80, 0.26)

    def visits(measured: np.ndarray, mean: float) -> tuple[np.ndarray, np.ndarray]:
        person = np.repeat(np.arange(n), np.where(measured, 1 + rng.poisson(mean, n), 0))
        begin = stays.groupby("person")["admit"].first().reindex(range(n))
        end = stays.groupby("person")["discharge"].last().reindex(range(n))
        begin = begin.fillna(pd.Timestamp(_YEARS[0])).to_numpy() - np.timedelta64(500, "D")
        end = end.fillna(pd.Timestamp(_YEARS[1])).to_numpy() + np.timedelta64(300, "D")
        days = ((end - begin) / np.timedelta64(1, "D"))[person]
        date = begin[person].astype("datetime64[D]") + np.floor(
            rng.random(len(person)) * days
        ).astype(np.int64)
        return person, date.astype("datetime64[s]") + identity["shift"].to_numpy()[person]

    person, date = visits(pressed, 3.2)
    systolic = body["systolic"].to_numpy()[person] + 9 * rng.standard_normal(len(person))
    diastolic = body["diastolic"].to_numpy()[person] + 0.55 * (
        systolic - body["systolic"].to_numpy()[person]
    )
    diastolic += 4.0 * rng.standard_normal(len(person))
    systolic = np.clip(np.round(systolic), 70, 240).astype(np.int64)
    diastolic = np.clip(np.round(diastolic), 35, None).astype(np.int64)
    diastolic = np.minimum(diastolic, systolic - 8)
    fault = rng.random(len(person))
    swapped = fault < 0.001
    systolic, diastolic = (
        np.where(swapped, diastolic, systolic), np.where(swapped, systolic, diastolic)
    )  # fmt: skip
    diastolic = np.where((fault > 0.001) & (fault < 0.003), diastolic // 10, diastolic)
    systolic = np.where((fault > 0.003) & (fault < 0.0035), systolic * 10 + 5, systolic)
    place = np.where(rng.random(len(person)) < 0.004, " " + "Sitting", "")
    pressure = pd.DataFrame(
        {
            "person": person,
            "chartdate": date,
            "result_name": np.char.add(mimic_iv.PRESSURE, place),
            "result_value": _text(systolic) + "/" + _text(diastolic),
        }
    )

    person, date = visits(weighed, 2.6)
    bmi = body["bmi"].to_numpy()[person] * np.exp(0.03 * rng.standard_normal(len(person)))
    height = body["height"].to_numpy()[person]
    weight = bmi * height**2 / 703
    # A height in feet, in centimeters or with a slipped decimal point.
    wrong = rng.random(len(person))
    for below, above, factor in _BMI_FAULTS:
        bmi = np.where((wrong >= below) & (wrong < above), bmi * factor, bmi)
    once = np.append(True, person[1:] != person[:-1])[: len(person)]
    results = [
        (mimic_iv.BMI, slice(None), _text(np.round(bmi, 1))),
        ("Weight (Lbs)", slice(None), _text(np.round(weight, 1))),
        ("Height (Inches)", once, _text(np.round(height * 2) / 2)),
    ]
    parts = [
        pd.DataFrame(
            {
                "person": person[rows],
                "chartdate": date[rows],
                "result_name": name,
                "result_value": text[rows],
            }
        )
        for name, rows, text in results
    ]
    table = pd.concat([pressure, *parts], ignore_index=True)
    table = table.sort_values(["person", "chartdate"], kind="stable", ignore_index=True)
    person = table.pop("person")
    table.insert(0, "subject_id", identity["subject_id"].to_numpy()[person])
    seq = table.groupby(["subject_id", "chartdate", "result_name"], sort=False).cumcount() + 1
    table.insert(2, "seq_num", seq)
    return table


def _before_death(omr: pd.DataFrame, identity: pd.DataFrame, dod: pd.Series) -> pd.DataFrame:
    """The measurements without those of visits that the person did not live to make.

    So whoever was measured long after a discharge was alive then: such values give the outcome
    away, and cutting them off is not a formality.
    """
    last_day = (dod + identity["shift"]).set_axis(identity["subject_id"])
    day = omr["subject_id"].map(last_day)
    return omr[~(omr["chartdate"] > day)].reset_index(drop=True)


def _text(numbers: np.ndarray) -> pd.Series:
    return pd.Series(numbers).astype("str")


# -- arithmetic ------------------------------------------------------------------------


def _draw(cumulative: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Which step of `cumulative` each draw falls into (never beyond the last)."""
    return np.minimum(np.searchsorted(cumulative, draws, side="right"), len(cumulative) - 1)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _logit(p: np.ndarray) -> np.ndarray:
    return np.log(p) - np.log1p(-p)
