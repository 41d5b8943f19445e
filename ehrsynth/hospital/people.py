"""Who comes to the simulated hospital, why and when, how ill they are, and when they die.

Ten latent factors, independent and standardized, each much higher in the few who lean to it
(morbidity has a long upper tail); at most one of twenty reasons to come, many of them at an age of
their own, and at most one of fourteen rare syndromes (``groups.csv``).
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.random import Generator
from scipy.special import expit

from ..errors import InputError
from ..schema import AGE, RACE
from ..sources.tables import OLDEST, RACES


@lru_cache
def declared(name: str) -> pd.DataFrame:
    """One of the tables in this folder: what is known, assumed, or follows from that."""
    text = ("indication", "effects", "icd9", "icd10", "dose", "low", "high", "icd_code", "phecode",
            "codes", "disease", "after", "any", "three", "code")  # fmt: skip
    path, types = Path(__file__).with_name(f"{name}.csv"), dict.fromkeys(text, str)
    return pd.read_csv(path, dtype=types, keep_default_na=name == "hospital")


AGES = np.arange(18, OLDEST + 1)
FACTORS = declared("factors")["factor"].tolist()
WOMEN, BIRTH_SHARE = 0.533, 0.11  # of the patients are women, and women who come to give birth
_DYING = {"morbidity": 0.9, "infection": 1.1, "cancer": 0.3}  # shift of the factors
YEARS = (np.datetime64("2008-01-01"), np.datetime64("2019-12-31"))
_FIRST, _LAST = (int(edge.astype("datetime64[s]").astype(np.int64)) for edge in YEARS)
_NO_ADMISSION = 0.01  # of the people
_DAY = 86_400  # seconds
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
    shares = [BIRTH_SHARE, WOMEN - BIRTH_SHARE, 1 - WOMEN]
    group = draw_step(np.cumsum(shares), rng.random(n))
    # Nobody who gives birth dies; those who die are older.
    group[dies & (group == birth)] = woman
    age, draw = np.empty(n, dtype=np.int64), rng.random(n)
    which = np.where(dies, "dying", np.where(group == birth, "birth", "others"))
    for name in ("birth", "others", "dying"):
        age[which == name] = AGES[draw_step(np.cumsum(ages[name]), draw[which == name])]
    by_age = np.cumsum(ages.loc[age, list(RACES)].to_numpy(), axis=1)
    race = np.minimum((rng.random(n)[:, None] > by_age).sum(axis=1), len(RACES) - 1)
    share = declared("factors")["leaning"].to_numpy()
    leans = rng.random((n, len(FACTORS))) < share
    factors = _STEP * (leans - share) / np.sqrt(share * (1 - share))
    factors += np.sqrt(1 - _STEP**2) * rng.standard_normal(leans.shape)
    factors[:, FACTORS.index("morbidity")] = (rng.gamma(_TAIL, size=n) - _TAIL) / np.sqrt(_TAIL)
    factors += np.outer(dies, [_DYING.get(name, 0.0) for name in FACTORS])
    people = {AGE: age, "female": group != man, RACE: race, "dies": dies, "birth": group == birth}
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


# -- when they come, and who they are in the tables -----------------------------------------


def check_size(patients: int, seed: int) -> None:
    """Raise InputError unless that many patients can be drawn from that seed."""
    if patients < 1:
        raise InputError(f"The number of patients is {patients}; ask for 1 or more.")
    if seed < 0:
        raise InputError(f"The seed is {seed}; give 0 or a larger whole number.")


def admissions(people: pd.DataFrame, rng: Generator) -> pd.DataFrame:
    """``person``, ``admit``, ``discharge`` (real times), ``last``, ``dies``, by person and time.

    More come with more morbidity, and a few people have none.
    """
    n = len(people)
    burden = 0.75 * people["morbidity"].to_numpy() + 0.5 * rng.standard_normal(n)
    rate = np.where(people["birth"], 0.4, 1.36) * np.exp(burden - 0.4)
    count = 1 + np.minimum(rng.poisson(rate), 60)
    count[(rng.random(n) < _NO_ADMISSION) & ~people["dies"]] = 0
    end = _FIRST + rng.random(n) ** 0.7 * (_LAST - _FIRST)
    window = np.minimum(end - _FIRST, (30 + rng.exponential(900, n)) * _DAY)

    person = np.repeat(np.arange(n), count)
    final = np.append(person[1:] != person[:-1], True)[: len(person)]
    before = np.where(final, 0.0, rng.random(len(person)))
    admit = end[person] - window[person] * before
    admit = admit[np.lexsort((admit, person))]
    following = np.where(final, np.inf, np.append(admit[1:], np.inf))
    length = np.exp(rng.normal(1.1, 0.85, len(person))) * _DAY
    discharge = admit + np.minimum(length, 0.8 * (following - admit))
    return pd.DataFrame({
        "person": person,
        "admit": admit.astype(np.int64).astype("datetime64[s]"),
        "discharge": discharge.astype(np.int64).astype("datetime64[s]"),
        "last": final,
        "dies": final & people["dies"].to_numpy()[person],
    })  # fmt: skip


def deaths(
    risk: np.ndarray, people: pd.DataFrame, stays: pd.DataFrame, rng: Generator
) -> pd.Series:
    """Real date of death by person, NaT for the living; nobody is followed beyond a year."""
    dies = rng.random(len(people)) < risk
    days = np.floor(365 * rng.random(len(people)) ** 1.7).astype(np.int64) + 1
    days[people["dies"]] = 0
    last = stays[stays["last"]].set_index("person")["discharge"].reindex(range(len(people)))
    return (last.dt.floor("D") + pd.to_timedelta(days, unit="D")).where(dies | people["dies"])


def identity(people: pd.DataFrame, stays: pd.DataFrame, rng: Generator) -> pd.DataFrame:
    """Identifiers of each person, and the ``shift`` added to every real date, as in MIMIC-IV.

    ``anchor_year`` is shifted too, ``anchor_year_group`` is real and three years wide.
    """
    n = len(people)
    unseen = pd.Series((_FIRST + rng.random(n) * (_LAST - _FIRST)).astype("datetime64[s]"))
    admit = stays.groupby("person")["admit"]
    begin, end = (s.reindex(range(n)).fillna(unseen) for s in (admit.first(), admit.last()))
    years = rng.integers(95, 190, n)
    shift = pd.Series(pd.to_timedelta(np.round(years * 365.2425), unit="D").as_unit("s"))
    begin_year, end_year = (begin + shift).dt.year, (end + shift).dt.year
    # Nobody is younger than 18 at the anchor, and everyone above 89 is 91.
    since = np.minimum(end_year - begin_year, people[AGE] - AGES[0])
    anchor_age = people[AGE] - since
    anchor_real = (begin.dt.year + (end_year - begin_year - since)).clip(2008, 2019)
    group = (anchor_real - 2008) // 3 * 3 + 2008
    return pd.DataFrame({
        "subject_id": 10_000_000 + _numbers(n, rng),
        "shift": shift,
        "anchor_age": anchor_age.where(anchor_age < 90, AGES[-1]),
        "anchor_year": (end_year - since).astype("int64"),
        "anchor_year_group": group.astype(str) + " - " + (group + 2).astype(str),
    })  # fmt: skip


def _numbers(n: int, rng: Generator) -> np.ndarray:
    """Different numbers below ten million (more if there are many), in no order."""
    return rng.permutation(np.cumsum(rng.integers(1, max(2, 9_900_000 // max(1, n)), n)))


def admissions_table(people: pd.DataFrame, stays: pd.DataFrame, rng: Generator) -> pd.DataFrame:
    """MIMIC-IV's ``admissions``, without the columns that nobody reads."""
    n, own = len(stays), people.iloc[stays["person"]].reset_index(drop=True)
    old = own[AGE] >= 65
    draw, race = rng.random(len(people)), np.empty(len(people), dtype=object)
    for name, written in declared("races").groupby("race"):  # what the registration desk writes
        those = people[RACE] == RACES.index(name)
        step = draw_step(np.cumsum(written["share"]), draw[those])
        race[those] = written["written"].to_numpy(object)[step]
    kinds = np.array(["EW EMER.", "OBSERVATION ADMIT", "SURGICAL SAME DAY ADMISSION", "URGENT"])
    kind = 1 + draw_step(np.array([0.31, 0.71, 1.0]), rng.random(n))
    urgent = np.append(0, groups("reason")["emergency"])[own["reason"]]
    kind[rng.random(n) < expit(urgent - 0.4)] = 0
    homes = np.array(["HOME", "HOME HEALTH CARE", "SKILLED NURSING FACILITY", "REHAB"])
    home = draw_step(np.array([0.48, 0.76, 0.92, 1.0]), rng.random(n) * np.where(old, 1.0, 0.8))
    insurance = np.where(old, "Medicare", np.where(rng.random(n) < 0.2, "Medicaid", "Other"))
    discharge = stays["discharge"] + own["shift"]
    return pd.DataFrame({
        "subject_id": own["subject_id"],
        "hadm_id": 20_000_000 + _numbers(n, rng),
        "admittime": stays["admit"] + own["shift"],
        "dischtime": discharge,
        "deathtime": discharge.where(stays["dies"]),
        "admission_type": np.where(own["birth"], "DIRECT EMER.", kinds[kind]),
        "admission_location": np.where(kind == 0, "EMERGENCY ROOM", "PHYSICIAN REFERRAL"),
        "discharge_location": np.where(stays["dies"], "DIED", homes[home]),
        "insurance": insurance,
        "race": race[stays["person"]],
        "hospital_expire_flag": stays["dies"].astype("int64"),
    })  # fmt: skip
