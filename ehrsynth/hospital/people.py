"""The truth of the simulated hospital: who comes, what they have, who dies.

How a patient comes about:

1. sex and age (young adults, older adults, and women who come to give birth), race given age;
2. seven latent factors (general morbidity, heart and metabolism, cancer, mind and substances,
   infection, digestion, bones and nerves), independent standard normals;
3. each whole phecode by a logistic model in age, sex, race and factors, whose intercept is solved
   so that the prevalence is the intended one; within it the leaf phecode, then the ICD code;
4. weight and blood pressure that follow disease and age;
5. death within a year by a logistic model in diseases, age and weight.

Patients who die in hospital are the same with more morbidity and infection and a higher age.
All coefficients depend on :data:`HOSPITAL_SEED` only. ``hospital.csv`` holds what is known or
assumed about single phecodes: the share of the patients who have it, log odds ratios for 20 years
of age and for women, and the log odds ratio of death within a year (before it is scaled).
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import as_file, files

import numpy as np
import pandas as pd

from ..phecode import definitions, icd_table

HOSPITAL_SEED = 20_240_117  # of the hospital's coefficients, never of its patients

# Published aggregates of MIMIC-IV 2.0, patients who had an admission and did not die in hospital;
# the prevalences of the named phecodes are in hospital.csv (see published_phecodes).
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
    "no vitals": 1 / 3,
    "largest BMI": 107_840,
}

# -- who comes -------------------------------------------------------------------------

AGES = np.arange(18, 92)  # 91 stands for everyone older than 90, as in MIMIC-IV
_BIRTH_SHARE = 0.11  # of the patients are women who come to give birth
_YOUNG_SHARE = 0.3117  # of the others; solved with the means below to give the published mean, SD

RACES = tuple(PUBLISHED["races"])
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
    "infectious diseases":     ((0.55, 0.10, 0.10, 0.10, 0.75, 0.15, 0.10), 0.20, 0.48),
    "neoplasms":               ((0.20, 0.00, 0.95, 0.00, 0.05, 0.15, 0.00), 0.45, 0.90),
    "endocrine/metabolic":     ((0.55, 0.60, 0.10, 0.10, 0.15, 0.10, 0.10), 0.25, 0.92),
    "hematopoietic":           ((0.65, 0.10, 0.40, 0.00, 0.35, 0.30, 0.00), 0.20, 0.74),
    "mental disorders":        ((0.25, 0.00, 0.00, 1.00, 0.00, 0.10, 0.15), -0.15, 0.90),
    "neurological":            ((0.35, 0.10, 0.05, 0.40, 0.10, 0.00, 0.55), 0.15, 0.86),
    "sense organs":            ((0.20, 0.25, 0.00, 0.10, 0.00, 0.00, 0.45), 0.40, 0.78),
    "circulatory system":      ((0.50, 0.75, 0.00, 0.00, 0.15, 0.05, 0.10), 0.65, 0.92),
    "respiratory":             ((0.60, 0.25, 0.15, 0.15, 0.55, 0.00, 0.10), 0.25, 0.82),
    "digestive":               ((0.40, 0.05, 0.15, 0.15, 0.10, 0.85, 0.10), 0.15, 0.78),
    "genitourinary":           ((0.40, 0.30, 0.10, 0.00, 0.35, 0.10, 0.15), 0.20, 0.78),
    "pregnancy complications": ((0.15, 0.10, 0.00, 0.10, 0.10, 0.00, 0.00), 0.00, 0.15),
    "dermatologic":            ((0.35, 0.30, 0.05, 0.10, 0.50, 0.05, 0.20), 0.10, 0.66),
    "musculoskeletal":         ((0.20, 0.15, 0.00, 0.20, 0.05, 0.05, 0.95), 0.35, 0.82),
    "congenital anomalies":    ((0.20, 0.10, 0.00, 0.00, 0.00, 0.10, 0.20), -0.20, 0.86),
    "symptoms":                ((0.40, 0.05, 0.10, 0.25, 0.25, 0.30, 0.15), 0.10, 0.55),
    "injuries & poisonings":   ((0.25, 0.05, 0.05, 0.30, 0.15, 0.05, 0.45), 0.10, 0.36),
}  # fmt: skip
_LOADING_NOISE = 0.16
_BIRTH_HEALTH = -1.0  # log odds of every other disease in women who come to give birth
_DYING = {"morbidity": 0.9, "infection": 1.1, "cancer": 0.3}  # shift of the factors
_DYING_AGE = 0.85  # tilt of the age distribution, log odds over 20 years
_IMPOSSIBLE = -60.0  # log odds
_AGE_STEP, _SOLVER_STEPS = 5, 7  # finer or more changes no prevalence by 1 %
_LEAF_SPREAD = 1.5  # of the log shares of the leaves of a whole phecode
# A count among the published patients misses most of the rarest codes; with so many more of them it
# finds the published numbers.
_UNSEEN = 18
_RAREST, _RARE_LIMIT = 3e-6, 9e-3  # prevalences of the leaves that hospital.csv does not name
SECOND_LEAF = 0.25  # chance that a whole phecode is coded with a second of its leaves
_COMMON_CODES = ("4019", "I10", "2724", "E785", "25000", "E119", "42731", "I4891", "53081", "K219")
_MOST_CODES = 4  # ICD codes of each version that this hospital uses for a leaf
_BLOCK = 4_096  # people at a time; any number gives the same people

# -- what becomes of them --------------------------------------------------------------

_MORTALITY_SCALE = 0.5  # of the log odds ratios of hospital.csv
_MORTALITY_AGE = 0.45  # per 20 years
_MORTALITY_AGE_SQUARED = 0.1
_MORTALITY_THIN = 0.07  # per kg/m2 below 24
_MORTALITY_BIRTH = -3.0


@dataclass(frozen=True)
class Hospital:
    """The coefficients of the hospital: its truth.

    Parameters
    ----------
    whole : Index of str
        Whole phecodes, W of them.
    disease : ndarray (features, W)
        Coefficients of the diseases' log odds; the features are those of ``_features``.
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


# -- the hospital ----------------------------------------------------------------------


@lru_cache(maxsize=1)
def hospital() -> Hospital:
    """Work out the hospital's coefficients; they are always the same."""
    rng = np.random.default_rng(HOSPITAL_SEED)
    named = declared()
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


def declared() -> pd.DataFrame:
    """``hospital.csv`` by phecode."""
    with as_file(files("ehrsynth.hospital") / "hospital.csv") as path:
        return pd.read_csv(path, dtype={"phecode": str}).set_index("phecode")


def published_phecodes() -> dict[str, float]:
    """Percent of MIMIC-IV's patients who have each of the most frequent phecodes."""
    table = declared()
    return table.loc[table["source"] == "published", "percent"].to_dict()


def _usable_codes() -> pd.DataFrame:
    """ICD codes that belong to one phecode and can stand on a bill (are no headings)."""
    table = icd_table().drop_duplicates(["icd_version", "icd_code"], keep=False)
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
    half = (1 + SECOND_LEAF) / 2
    root = np.sqrt(half**2 - SECOND_LEAF * known[given])
    share[given] = (half - root) / SECOND_LEAF
    if share.sum() >= 1:
        raise ValueError("hospital.csv gives leaves that together exceed their whole phecode")
    share[~given] = (1 - share.sum()) * weights[~given] / weights[~given].sum()
    return share


def seen(leaf: pd.DataFrame) -> np.ndarray:
    """Share of the patients in whom each leaf is coded, as first or as second draw."""
    share = leaf["first"] / _within_whole(leaf).where(leaf["first"] > 0, 1)
    return (leaf["first"] * (1 + SECOND_LEAF * (1 - share))).to_numpy()


def _rare(seen: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Prevalences of `n` more leaves so that all of them together have the published tail."""
    limits = np.log10([_RAREST, *PUBLISHED["rare phecodes"], _RARE_LIMIT])
    counts = np.diff([0, *PUBLISHED["rare phecodes"].values(), len(seen)])
    counts[0] += _UNSEEN
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


def age_units(age: np.ndarray) -> np.ndarray:
    return (age - 55) / 20


def _features(age, female, birth, race, factors) -> np.ndarray:
    """The matrix whose product with :attr:`Hospital.disease` is the log odds of the diseases."""
    g = age_units(age)
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
    age, female, birth, race, weight = _cells(race_given_age, _AGE_STEP)
    base = _features(age, female, birth, race, np.zeros((len(age), len(FACTORS)))) @ disease
    spread = _factor_spread(disease)
    intercept = _logit(prevalence)
    for _ in range(_SOLVER_STEPS):
        mean = _mean_over_factors(base, intercept, spread, weight, nodes=5)
        intercept = intercept + _logit(prevalence) - _logit(mean)
    disease[_ONE] = intercept


def _cells(race_given_age: np.ndarray, step: int) -> tuple[np.ndarray, ...]:
    """Age, female, birth, race and share of every kind of people, ages `step` years wide."""
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
    age, female, birth, race, weight = (np.array(column) for column in zip(*cells, strict=True))
    weight /= weight.sum()
    return age, female, birth, race, weight


def _factor_spread(disease: np.ndarray) -> np.ndarray:
    return np.sqrt((disease[_FACTOR_ROWS] ** 2).sum(axis=0))


def _mean_over_factors(base, intercept, spread, weight, nodes: int) -> np.ndarray:
    """Mean chance of each disease over cells with the log odds `base` and over the factors."""
    points, shares = np.polynomial.hermite_e.hermegauss(nodes)
    shares = shares / shares.sum()
    mean = 0.0
    for point, share in zip(points, shares, strict=True):
        mean = mean + share * (weight @ sigmoid(base + (intercept + point * spread)))
    return mean


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
    odds = target * np.exp(np.outer(age_units(AGES), tilt))
    for _ in range(50):
        table = odds / odds.sum(axis=1, keepdims=True)
        odds = odds * target / (ages @ table)
    return odds / odds.sum(axis=1, keepdims=True)


def _death_intercept(truth: Hospital, rng: np.random.Generator) -> float:
    """The intercept that gives the published share of deaths among 5,000 people."""
    people = draw_people(truth, 5_000, rng, dying=0.0)
    has = draw_diseases(truth, people, rng)
    odds = death_log_odds(truth, people, has, draw_body(truth, people, has, rng)["bmi"])
    intercept = 0.0
    for _ in range(30):
        rate = sigmoid(odds + intercept).mean()
        intercept += _logit(PUBLISHED["death within a year"]) - _logit(rate)
    return float(intercept)


# -- the people ------------------------------------------------------------------------


def draw_people(truth: Hospital, n: int, rng: np.random.Generator, dying: float | None = None):
    """Who they are: one row per person, and the factors as columns."""
    dies = rng.random(n) < (PUBLISHED["died in hospital"] if dying is None else dying)
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
    people = {"age": age, "female": group != names.index("M"), "race": race, "dies": dies}
    people |= {"birth": group == names.index("birth")}
    return pd.DataFrame(people | dict(zip(FACTORS, factors.T, strict=True)))


def draw_diseases(truth: Hospital, people: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """Which whole phecodes each person has, (n, W) of bool."""
    features = _people_features(people)
    has = np.empty((len(people), len(truth.whole)), dtype=bool)
    for start in range(0, len(people), _BLOCK):
        rows = slice(start, start + _BLOCK)
        odds = np.exp(-(features[rows] @ truth.disease))
        has[rows] = rng.random(odds.shape) * (1 + odds) < 1
    return has


def _people_features(people: pd.DataFrame) -> np.ndarray:
    return _features(
        *(people[name].to_numpy() for name in ("age", "female", "birth", "race")),
        people[list(FACTORS)].to_numpy(),
    )


def disease_chances(truth: Hospital, people: pd.DataFrame) -> np.ndarray:
    """The chance that each person has each whole phecode, (n, W)."""
    return sigmoid(_people_features(people) @ truth.disease)


def draw_body(truth, people, has, rng) -> pd.DataFrame:
    """Each person's usual BMI, systolic and diastolic pressure, and height in inches."""
    n = len(people)
    g = age_units(people["age"].to_numpy())

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


# Diseases that act on the outcome through the BMI too.
BMI_DISEASES = ("278", "250", "260", "198", "496")


def death_log_odds(truth, people, has, bmi) -> np.ndarray:
    g = age_units(people["age"].to_numpy())
    odds = has @ truth.mortality + _MORTALITY_AGE * g + _MORTALITY_AGE_SQUARED * g**2
    odds += _MORTALITY_THIN * np.maximum(24 - bmi.to_numpy(), 0)
    return odds + np.where(people["birth"], _MORTALITY_BIRTH, 0) + truth.mortality_intercept


# -- the truth, to be read -------------------------------------------------------------


def true_shares(truth: Hospital) -> tuple[np.ndarray, np.ndarray]:
    """Share of all patients who are men (women) and have each whole phecode, (2, W) and (2,).

    Exact for the model of step 3 above up to its numerical integration: one year of age, 40 nodes.
    """
    age, female, birth, race, weight = _cells(truth.race_given_age, 1)
    base = _features(age, female, birth, race, np.zeros((len(age), len(FACTORS)))) @ truth.disease
    by_sex = np.array([weight * ~female, weight * female])
    spread = _factor_spread(truth.disease)
    return _mean_over_factors(base, 0.0, spread, by_sex, nodes=40), by_sex.sum(axis=1)


def leaf_chances(truth: Hospital) -> np.ndarray:
    """Chance of each leaf, as first or second draw, in men and women who have its whole code."""
    chances = []
    for sex in ("M", "F"):
        share = truth.leaf["share"].where(truth.leaf["sex"].isin(("", sex)), 0.0)
        total = share.groupby(truth.leaf["whole"]).transform("sum")
        share = (share / total.where(total > 0, 1)).to_numpy()
        chances.append(share * (1 + SECOND_LEAF * (1 - share)))
    return np.array(chances)


def age_and_race(truth: Hospital) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the patients by age (of :data:`AGES`) and by race (of :data:`RACES`)."""
    ages = sum(share * mass for share, mass in _groups().values())
    return ages, ages @ truth.race_given_age


def disease_model(truth: Hospital) -> dict[str, dict[str, float]]:
    """The coefficients of the diseases' log odds by name of the feature, for each whole phecode."""
    names = ("intercept", "age", "age squared", "woman", "man", "gives birth", "no birth")
    names = (*names, *FACTORS, *(f"race {race}" for race in RACES))
    return {
        code: {name: float(value) for name, value in zip(names, column, strict=True) if value}
        for code, column in zip(truth.whole, truth.disease.T, strict=True)
    }


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


# -- arithmetic ------------------------------------------------------------------------


def draw_step(cumulative: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Which step of `cumulative` each draw falls into (never beyond the last)."""
    return np.minimum(np.searchsorted(cumulative, draws, side="right"), len(cumulative) - 1)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _logit(p: np.ndarray) -> np.ndarray:
    return np.log(p) - np.log1p(-p)
