"""What is true of the simulated hospital: everything a generator can be measured against.

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
    FEATURES,
    HOSPITAL_SEED,
    all_ages,
    death_log_odds,
    disease_chances,
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
    n, seed : int
        Number of patients, and what they depend on.
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


def codes(level: str = "phecode") -> pd.DataFrame:
    """The true prevalence of every code and its true odds ratio with the outcome.

    Parameters
    ----------
    level : {"phecode", "leaf"}
        Whole phecodes or the most specific ones.

    Returns
    -------
    DataFrame
        By ``code``: ``name``, ``sex`` ("" for both), ``prevalence`` (share of the patients, by
        numerical integration), ``odds_ratio`` and ``log_odds_ratio`` (marginal: nothing is held
        constant; averaged over 20,480 people, standard error about 0.015 on the log scale).

    Raises
    ------
    InputError
        If `level` is neither.
    """
    if level not in ("phecode", "leaf"):
        raise InputError(f"Unknown code level {level!r}; use one of phecode, leaf.")
    truth, risk = hospital(), _risks()
    code, chance, whole = truth.whole, np.ones((2, 1)), np.arange(len(truth.whole))
    if level == "leaf":
        code, chance, whole = truth.leaf["code"], leaf_chances(truth), truth.leaf["whole"]
    both = risk["shares"][:, whole] * chance
    share, joint = both.sum(axis=0), (both * risk["of those with it"][:, whole]).sum(axis=0)
    died = risk["of all"]
    odds = joint * (1 - share - died + joint) / ((share - joint) * (died - joint))
    table = definitions(level).reindex(code)[["name", "sex"]].rename_axis("code")
    return table.assign(prevalence=share, odds_ratio=odds, log_odds_ratio=np.log(odds))


@lru_cache(maxsize=1)
def _risks() -> dict[str, Any]:
    """Shares of men and women with each phecode (2, W), risks of the outcome, shares who get care.

    The diseases of a person are independent given age, sex, race and factors. So the risk of
    those who have code j is the mean over people of the risk they would have with it, weighted
    by their chance of it: nobody has to be drawn who really has a rare code.
    """
    truth = hospital()
    rng = np.random.default_rng([_RISK_STREAM, HOSPITAL_SEED])
    catalogs = {name: declared(name) for name in ("drugs", "procedures")}
    reasons = {n: care.indications(truth, table).astype(float) for n, table in catalogs.items()}
    blocks = _RISK_PEOPLE // _AT_A_TIME
    died, weighted, weights = 0.0, 0.0, 0.0
    indicated = dict.fromkeys(catalogs, 0.0)
    for _ in range(blocks):
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
            column, sick = truth.whole.get_loc(code), has.copy()
            sick[:, column] = True
            risk[:, column] = expit(log_odds(sick))
        female = people["female"].to_numpy()
        sexes = np.array([~female, female], dtype=float)
        weighted, weights = weighted + sexes @ (chance * risk), weights + sexes @ chance
        for name, reason in reasons.items():
            indicated[name] += (1 - np.exp(np.log1p(-chance) @ reason)).mean(axis=0)
    shares, (_, women) = true_shares(truth)
    risks = {"shares": shares, "women": women, "of all": died / blocks}
    risks |= {"of those with it": weighted / weights}
    for name, table in catalogs.items():
        reached = indicated[name] / blocks
        share = reached * table["indicated"] + (1 - reached) * table["others"]
        risks[name] = share.to_numpy() / 100
    return risks


def as_dict(patients: int | None = None, seed: int | None = None) -> dict:
    """The whole truth by name.

    Parameters
    ----------
    patients, seed : int, optional
        Of the simulated hospital that it goes with; they change nothing else.

    Returns
    -------
    dict
        What ``truth.json`` holds; ``keys`` says what each part means.
    """
    truth, risk, ages = hospital(), _risks(), all_ages()
    mean = ages @ AGES
    facts: dict[str, Any] = {
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
            "women": float(risk["women"]),
            "races": dict(zip(RACES, (ages @ truth.race_given_age).tolist(), strict=True)),
        },
        "outcome": {"name": DIE_1Y, "prevalence": float(risk["of all"])},
        "outcome_model": outcome_model(truth),
        "codes": {level: codes(level).to_dict("index") for level in ("phecode", "leaf")},
        "disease_model": {
            code: {name: value for name, value in zip(FEATURES, column, strict=True) if value}
            for code, column in zip(truth.whole, truth.disease.T.tolist(), strict=True)
        },
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
    """The same with all numbers to eight digits."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.8g}") if isinstance(value, float) else value
