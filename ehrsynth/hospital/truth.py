"""What is true of the simulated hospital: everything a generator can be measured against.

:func:`oracle_sample` draws new patients from the same hospital, :func:`codes` lists the true
prevalence of every code and its true odds ratio with the outcome, and :func:`as_dict` is the whole
model by name (``truth.json``).

"The patients" are those of the cohort: who were admitted and did not die in hospital.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from ..cohort import build_patients
from ..errors import InputError
from ..phecode import definitions
from ..schema import BMI, DIE_1Y, Schema
from ..sources import mimic_iv
from ..sources.tables import RACES
from . import care
from .codes import declared
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
    hospital,
    leaf_chances,
    outcome_model,
    true_shares,
)
from .records import simulate
from .stays import check_size

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
        columns = tuple(c for c in schema.columns if c.name not in empty)
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
    return Schema(columns).attach(patients[[c.name for c in columns]].copy())


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
def _risks() -> dict[str, Any]:
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
