"""What is true of the simulated hospital: everything a generator can be measured against.

:func:`oracle_sample` draws new patients from the same hospital, :func:`codes` lists the true
prevalence of every code and its true odds ratio with the outcome, :func:`as_dict` is the whole
model by name (``truth.json``), and :func:`published_against_simulated` says how close the hospital
comes to the published aggregates of MIMIC-IV.

"The patients" are those of the cohort: who were admitted and did not die in hospital.
"""

from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.stats import poisson

from ..cohort import build_patients
from ..errors import InputError
from ..phecode import definitions
from ..schema import AGE, BMI, DIE_1Y, RACE, SEX, SYSTOLIC, Schema
from ..sources import mimic_iv
from ..sources.tables import RACES
from . import care
from .codes import PUBLISHED, declared, published_phecodes
from .people import (
    AGES,
    BMI_DISEASES,
    FACTORS,
    HOSPITAL_SEED,
    age_and_race,
    death_log_odds,
    disease_chances,
    disease_model,
    draw_body,
    draw_diseases,
    draw_people,
    expit,
    hospital,
    leaf_chances,
    outcome_model,
    true_shares,
)
from .records import BMI_FAULTS, raw_tables, simulate
from .stays import check_size

__all__ = ["as_dict", "codes", "oracle_sample", "published_against_simulated"]

_ORACLE_STREAM = 7_303  # sets new patients apart from every simulated hospital's
_RISK_STREAM = 7_304
_RISK_PEOPLE = 20_480  # over whom the outcome's risk is averaged
_AT_A_TIME = 4_096
_IN_COHORT = 0.94  # of the people, nearly


def oracle_sample(n: int, seed: int = 0, like: pd.DataFrame | None = None) -> pd.DataFrame:
    """New patients of the same hospital, independent of every simulated hospital's.

    Parameters
    ----------
    n : int
        Number of patients.
    seed : int
    like : DataFrame, optional
        A patient table whose columns the result gets: codes that occur in `like` only are 0,
        others are left out.

    Returns
    -------
    DataFrame
        As :func:`ehrsynth.build_patients` makes it, the schema attached.

    Raises
    ------
    InputError
        If `n` is less than 1 or `seed` is negative.
    """
    check_size(n, seed)
    people = 200 + int(n / _IN_COHORT + 6 * np.sqrt(n))  # some die in hospital or never come
    rng = np.random.default_rng([_ORACLE_STREAM, seed])
    patients = build_patients(mimic_iv.from_frames(simulate(people, rng)[1]))
    schema, patients = Schema.of(patients), patients.head(n)
    if like is None:
        empty = [c.name for c in schema.columns if c.code and not patients[c.name].any()]
        columns = [c for c in schema.columns if c.name not in empty]
    else:
        columns = Schema.of(like).columns
        missing = [c.name for c in columns if c.name not in patients]
        wrong = [name for name in missing if not name.startswith("phe_")]
        if wrong:
            raise InputError(
                f"Column {wrong[0]!r} of `like` is none of the simulated hospital's; "
                "give a patient table made from it."
            )
        none = pd.DataFrame(np.uint8(0), index=patients.index, columns=missing)
        patients = pd.concat([patients, none], axis=1)
    return Schema(tuple(columns)).attach(patients[[c.name for c in columns]].copy())


@lru_cache(maxsize=1)
def _codes() -> pd.DataFrame:
    truth, risk = hospital(), _risks()
    by_sex, _ = true_shares(truth)
    tables = []
    for level, code, chance, whole in (
        ("phecode", truth.whole, 1.0, np.arange(len(truth.whole))),
        ("leaf", truth.leaf["code"], leaf_chances(truth), truth.leaf["whole"].to_numpy()),
    ):
        both = by_sex[:, whole] * chance
        share, joint = both.sum(axis=0), (both * risk["of those with it"][:, whole]).sum(axis=0)
        died = risk["of all"]
        odds = joint * (1 - share - died + joint) / ((share - joint) * (died - joint))
        table = definitions(level).reindex(code)[["name", "sex"]].rename_axis("code").reset_index()
        table.insert(0, "level", level)
        tables.append(table.assign(prevalence=share, odds_ratio=odds, log_odds_ratio=np.log(odds)))
    return pd.concat(tables, ignore_index=True)


def codes(level: str = "phecode") -> pd.DataFrame:
    """The truth about every code.

    Parameters
    ----------
    level : {"phecode", "leaf"}

    Returns
    -------
    DataFrame
        By ``code``: ``name``, ``sex`` ("" for both), ``prevalence`` (true share of the patients,
        by numerical integration), ``odds_ratio`` and ``log_odds_ratio`` with death within a year:
        marginal, that is with nothing held constant. The odds ratios average the exact risk of
        each of 20,480 people of a fixed seed, weighted by their chance of the code; their
        standard error on the log scale is about 0.015.
    """
    table = _codes()
    if level not in set(table["level"]):
        raise InputError(f"Unknown code level {level!r}; use one of phecode, leaf.")
    return table[table["level"] == level].drop(columns="level").set_index("code")


@lru_cache(maxsize=1)
def _risks() -> dict[str, np.ndarray | float]:
    """Risks of the outcome and chances of care, averaged over people instead of drawn.

    The diseases of a person are independent given age, sex, race and factors. So the risk of
    those who have code j is the mean over people of the risk they would have with it, weighted
    by their chance of it: nobody has to be drawn who really has a rare code.

    Returns
    -------
    dict
        ``of all``: share with the outcome; ``of those with it``: (2, W) the risk of men and women
        who have each whole phecode; ``drugs`` and ``procedures``: share who receive each.
    """
    truth = hospital()
    rng = np.random.default_rng([_RISK_STREAM, HOSPITAL_SEED])
    catalogs = {name: declared(name) for name in ("drugs", "procedures")}
    reasons = {n: care.indications(truth, table).astype(float) for n, table in catalogs.items()}
    died, weighted, weights = 0.0, 0.0, 0.0
    indicated = dict.fromkeys(catalogs, 0.0)
    for _ in range(_RISK_PEOPLE // _AT_A_TIME):
        people = draw_people(truth, _AT_A_TIME, rng, dying=0.0)
        chance = disease_chances(truth, people)
        has = draw_diseases(truth, people, rng)
        body_seed = int(rng.integers(2**32))

        def log_odds(has, people=people, body_seed=body_seed):
            body = draw_body(truth, people, has, np.random.default_rng(body_seed))
            return death_log_odds(truth, people, has, body[BMI])

        usual = log_odds(has)
        died += expit(usual).mean()
        risk = expit(usual[:, None] + ~has * truth.mortality)
        for code in BMI_DISEASES:
            column = truth.whole.get_loc(code)
            sick = has.copy()
            sick[:, column] = True
            risk[:, column] = expit(log_odds(sick))
        female = people["female"].to_numpy()
        sexes = np.array([~female, female], dtype=float)
        weighted, weights = weighted + sexes @ (chance * risk), weights + sexes @ chance
        for name, reason in reasons.items():
            indicated[name] += (1 - np.exp(np.log1p(-chance) @ reason)).mean(axis=0)
    blocks = _RISK_PEOPLE // _AT_A_TIME
    shares = {}
    for name, table in catalogs.items():
        reached = indicated[name] / blocks
        with_it, others = table["indicated"].to_numpy(), table["others"].to_numpy()
        shares[name] = (reached * with_it + (1 - reached) * others) / 100
    return {"of all": died / blocks, "of those with it": weighted / weights, **shares}


# -- truth.json ------------------------------------------------------------------------


def as_dict(patients: int | None = None, seed: int | None = None) -> dict:
    """The whole truth by name, as ``truth.json`` holds it; ``keys`` says what each part means.

    Parameters
    ----------
    patients, seed : int, optional
        Of the simulated hospital that it goes with; they change nothing else.
    """
    truth, risk = hospital(), _risks()
    ages, races = age_and_race(truth)
    mean = ages @ AGES
    facts = {
        "keys": dict(declared("truth").to_numpy().tolist()),
        "made_with": {
            "patients": patients,
            "seed": seed,
            "hospital_seed": HOSPITAL_SEED,
            "people_behind_odds_ratios": _RISK_PEOPLE,
        },
        "cohort": "patients with an admission who did not die in hospital",
        "people": {
            "age_mean": float(mean),
            "age_sd": float(np.sqrt(ages @ (AGES - mean) ** 2)),
            "women": float(true_shares(truth)[1][1]),
            "races": dict(zip(RACES, races.tolist(), strict=True)),
        },
        "outcome": {"name": DIE_1Y, "prevalence": float(risk["of all"])},
        "outcome_model": outcome_model(truth),
        "codes": {level: codes(level).to_dict("index") for level in ("phecode", "leaf")},
        "disease_model": disease_model(truth),
        "latent_factors": list(FACTORS),
        "drugs": _care("drugs", ["ingredient", "names"]),
        "procedures": _care("procedures", ["title", "icd9", "icd10", "again"]),
        "labs": [
            row | {"effects": care.effects(row["effects"])}
            for row in declared("labs").to_dict("records")
        ],
    }
    return _rounded(facts)


def _care(name: str, columns: list[str]) -> list[dict]:
    table = declared(name)[[*columns, "indication", "indicated", "others"]]
    return [
        row | {"prevalence": float(share), "indication": row["indication"].split()}
        for row, share in zip(table.to_dict("records"), _risks()[name], strict=True)
    ]


def _rounded(value):
    """The same with all numbers to eight digits, which is more than anybody needs."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.8g}") if isinstance(value, float) else value


# -- published against simulated -------------------------------------------------------


def published_against_simulated(patients: int = 20_000, seed: int = 0) -> pd.DataFrame:
    """How close the hospital comes to the published aggregates of MIMIC-IV.

    Parameters
    ----------
    patients, seed : int
        Of the simulated hospital to compare; the truth does not depend on them.

    Returns
    -------
    DataFrame
        By ``quantity``: ``published``; ``truth`` of the hospital (missing where only a sample can
        tell); ``simulated`` (missing where it depends on the number of patients); ``lowest`` and
        ``highest``, between which both have to lie. Shares are in percent.
    """
    tables = mimic_iv.from_frames(raw_tables(patients, seed))
    table = build_patients(tables)
    rows = [*_people_rows(table), *_vitals_rows(tables), *_code_rows(tables, table)]
    frame = pd.DataFrame(rows, columns=["quantity", "published", "truth", "simulated", "room"])
    frame["lowest"] = frame["published"] - frame["room"]
    frame["highest"] = frame["published"] + frame["room"]
    return frame.drop(columns="room").set_index("quantity")


def _people_rows(table: pd.DataFrame) -> list[tuple]:
    people, outcome = as_dict()["people"], as_dict()["outcome"]
    age, women = table[AGE], (table[SEX] == "F").mean()
    races = table[RACE].value_counts(normalize=True)
    mean, sd, died = (PUBLISHED[name] for name in ("age mean", "age sd", "death within a year"))
    return [
        ("age, mean", mean, people["age_mean"], age.mean(), 0.02 * mean),
        ("age, SD", sd, people["age_sd"], age.std(), 0.02 * sd),
        _share("women", PUBLISHED["women"], people["women"], women, 2),
        *(
            _share(f"race {race}", published, people["races"][race], races[race], 2)
            for race, published in PUBLISHED["races"].items()
        ),
        _share("death within a year", died, outcome["prevalence"], table[DIE_1Y].mean(), 2),
    ]


def _share(quantity: str, published: float, true: float, simulated: float, room: float) -> tuple:
    return (f"{quantity} (%)", 100 * published, 100 * true, 100 * simulated, room)


def _vitals_rows(tables: dict[str, pd.DataFrame]) -> list[tuple]:
    """Who was never measured, and the wildest BMI among as many patients as published."""
    admissions, measurements = tables["admissions"], tables["measurements"]
    dead = admissions.loc[admissions["died_in_hospital"], "subject_id"]
    cohort = pd.Index(admissions["subject_id"].unique()).difference(dead)
    known = measurements[measurements["subject_id"].isin(cohort)]
    rows = []
    for name, label in ((BMI, "BMI"), (SYSTOLIC, "blood pressure")):
        missing = 1 - known.loc[known["name"] == name, "subject_id"].nunique() / len(cohort)
        rows.append(_share(f"no {label}", PUBLISHED["no vitals"], np.nan, missing, 5))
    bmi = known.loc[known["name"] == BMI, "value"]
    share, factor = BMI_FAULTS[-1]
    mistyped = share * len(bmi) / len(cohort) * PUBLISHED["patients"]
    median_of_largest = bmi[bmi.between(10, 60)].quantile(0.5 ** (1 / mistyped)) * factor
    largest = PUBLISHED["largest BMI"]
    return [*rows, ("largest BMI (kg/m2)", largest, median_of_largest, np.nan, 0.75 * largest)]


def _code_rows(tables: dict[str, pd.DataFrame], table: pd.DataFrame) -> list[tuple]:
    leaves = build_patients(tables, code_level="leaf")
    whole, leaf = codes("phecode"), codes("leaf")
    rows = []
    for code, published in published_phecodes().items():
        true, made = (whole, table) if code in whole.index else (leaf, leaves)
        quantity = f"phecode {code} {true.at[code, 'name']} (%)"
        simulated_share = made[f"phe_{code}"].mean()
        rows.append(
            (quantity, published, 100 * true.at[code, "prevalence"], 100 * simulated_share,
             0.1 * published)
        )  # fmt: skip
    n = PUBLISHED["patients"]
    expected = leaf["prevalence"].to_numpy() * n
    for share, published in PUBLISHED["rare phecodes"].items():
        # What a count among the published patients gives on average.
        seen = (poisson.cdf(np.ceil(share * n) - 1, expected) - np.exp(-expected)).sum()
        rows.append((f"phecodes rarer than {share:.0e}", published, seen, np.nan, 0.2 * published))
    seen, published = (1 - np.exp(-expected)).sum(), PUBLISHED["phecodes"]
    return [*rows, (f"phecodes seen among {n:,}", published, seen, np.nan, 0.05 * published)]
