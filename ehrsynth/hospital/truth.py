"""What is true of the simulated hospital: everything a generator can be measured against.

"The patients" are those of the cohort: who were admitted and did not die in hospital.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from ..cohort import build_patients
from ..errors import InputError, check_choice
from ..phecode import definitions
from ..schema import DIE_1Y, RACE, Schema
from ..sources import mimic_iv
from ..sources.tables import RACES
from . import care, illness
from .codes import SECOND_LEAF, declared, pairs, shares_in
from .fate import bent_codes, draw_body, hazard_ratios, hazards, outcome_model, risk
from .illness import HOSPITAL_SEED, Illness
from .people import AGES, all_ages, groups, race_given_age
from .records import simulate
from .stays import check_size

_ORACLE_STREAM = 7_303  # sets new patients apart from every simulated hospital's
_RISK_PEOPLE = 20_000  # over whom the outcome's risk is averaged
_AT_A_TIME = 8_192
_IN_COHORT = 0.94  # of the people, nearly


def oracle_sample(
    n: int, seed: int = 0, like: pd.DataFrame | None = None, site: str = "A"
) -> pd.DataFrame:
    """New patients of the same hospital, independent of every simulated hospital's.

    Parameters
    ----------
    n, seed : int
        Number of patients, and what they depend on.
    like : DataFrame, optional
        A patient table whose columns the result gets: codes that occur in `like` only are 0,
        others are left out.
    site : {"A", "B"}
        Where they are treated: "B" writes down and measures less. The truth is that of "A".

    Returns
    -------
    DataFrame
        As :func:`ehrsynth.build_patients` makes it, the schema attached.
    """
    check_size(n, seed)
    check_choice("site", site, declared("sites")["site"])
    people = 200 + int(n / _IN_COHORT + 6 * np.sqrt(n))  # some die in hospital or never come
    rng = np.random.default_rng([_ORACLE_STREAM, seed])
    patients = build_patients(mimic_iv.from_frames(simulate(people, rng, site)[1]))
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
        By ``code``: ``name``, ``sex`` ("" for both), ``prevalence`` (share of the patients in whom
        it is recorded), ``odds_ratio`` and ``log_odds_ratio`` (marginal: nothing is held constant;
        averaged over 20,000 people).
    """
    check_choice("code level", level, ("phecode", "leaf"))
    model, risks = illness.illness(), _risks()
    code, chance, whole = model.whole, np.ones((2, 1)), np.arange(len(model.whole))
    if level == "leaf":
        code, whole = model.leaf["code"], model.leaf["whole"]
        # Of each leaf, as first or second draw, in men and women who have its whole code.
        shares = np.array([shares_in(model.leaf, sex).to_numpy() for sex in ("M", "F")])
        chance = shares * (1 + SECOND_LEAF * (1 - shares))
    both = risks["shares"][:, whole] * chance
    share, joint = both.sum(axis=0), (both * risks["of those with it"][:, whole]).sum(axis=0)
    died = risks["of all"]
    odds = joint * (1 - share - died + joint) / ((share - joint) * (died - joint))
    table = definitions(level).reindex(code)[["name", "sex"]].rename_axis("code")
    return table.assign(prevalence=share, odds_ratio=odds, log_odds_ratio=np.log(odds))


@lru_cache(maxsize=1)
def _risks() -> dict[str, Any]:
    """Shares of men and women with each phecode (2, W), risks of the outcome, shares who get care.

    The risk of those who have code j is the mean over people of the risk that they would have
    with it, weighted by their chance of it given what leads to it: nobody has to be drawn who
    really has a rare code. Where j leads to other diseases, these are drawn anew given j.
    """
    model, everybody = illness.illness(), illness.reference_people(4, _RISK_PEOPLE)
    catalogs = {name: declared(name) for name in ("drugs", "procedures")}
    sums: dict[str, Any] = dict.fromkeys(["of all", "shares", "joint", "women", *catalogs], 0.0)
    for start in range(0, len(everybody), _AT_A_TIME):
        people = everybody.iloc[start : start + _AT_A_TIME].reset_index(drop=True)
        given = illness.features(people)
        has, usual, with_it = _block(model, people, given, [HOSPITAL_SEED, start])
        female, weight = people["female"].to_numpy(), people["weight"].to_numpy()
        sexes = np.array([weight * ~female, weight * female])
        chance = illness.disease_chances(model, given, has) * model.recorded[people[RACE]]
        sums["of all"] += weight @ usual
        sums["women"] += sexes[1].sum()
        sums["shares"] += sexes @ chance
        sums["joint"] += sexes @ (chance * with_it)
        for name, table in catalogs.items():
            reasons = care.indications(model, table).astype(np.float32)
            sums[name] += weight @ (has.astype(np.float32) @ reasons > 0)
    # What is solved for is known better than from so few people.
    scale = model.prevalence / sums["shares"].sum(axis=0)
    risks = {"of all": sums["of all"], "women": sums["women"], "shares": sums["shares"] * scale}
    with np.errstate(invalid="ignore"):  # nobody of the other sex
        risks["of those with it"] = np.nan_to_num(sums["joint"] / sums["shares"])
    for name, table in catalogs.items():
        percent = sums[name] * table["indicated"] + (1 - sums[name]) * table["others"]
        risks[name] = percent.to_numpy() / 100
    return risks


def _block(
    model: Illness, people: pd.DataFrame, given: np.ndarray, seed: list[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What people have, their risk, and (n, W) the risk that they would have with each phecode."""
    has = np.zeros((len(people), len(model.whole)), dtype=bool)
    draws = np.random.default_rng([*seed, 1]).random(has.shape)
    illness.draw_stages(model, model.stages, given, draws, has)

    def hazards_of(has: np.ndarray) -> np.ndarray:
        body = draw_body(model, people, has, np.random.default_rng([*seed, 2]))
        return hazards(model, people, has, body)

    usual = hazards_of(has)
    more = usual @ np.expm1(hazard_ratios().to_numpy()).T
    with_it = -np.expm1(-(usual.sum(axis=1)[:, None] + ~has * more))
    leading = {code for text in declared("leads")["after"] for code in text.split()}
    for code in sorted({*bent_codes(), *leading}):
        column, then = model.whole.get_loc(code), has.copy()
        then[:, column] = True
        first = next(n for n, stage in enumerate(model.stages) if column in stage.codes)
        illness.draw_stages(model, model.stages[first + 1 :], given, draws, then)
        with_it[:, column] = risk(hazards_of(then))
    return has, risk(usual), with_it


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
    model, risks, ages = illness.illness(), _risks(), all_ages()
    mean = ages @ AGES
    names = illness.feature_names()
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
            "women": float(risks["women"]),
            "races": dict(zip(RACES, (ages @ race_given_age()).tolist(), strict=True)),
        },
        "outcome": {"name": DIE_1Y, "prevalence": float(risks["of all"])},
        "outcome_model": outcome_model(),
        "codes": {level: codes(level).to_dict("index") for level in ("phecode", "leaf")},
        "disease_model": {
            code: {name: value for name, value in zip(names, column, strict=True) if value}
            for code, column in zip(model.whole, model.disease.T.tolist(), strict=True)
        },
        "leads": declared("leads").to_dict("records"),
        "latent_factors": declared("factors").set_index("factor")["leaning"].to_dict(),
        "reasons": _groups("reason"),
        "syndromes": _groups("syndrome"),
        "recording": declared("recording").to_dict("records"),
        "twins": declared("twins").to_dict("records"),
        "sites": declared("sites").to_dict("records"),
        "drugs": _care("drugs", ["ingredient", "names"]),
        "procedures": _care("procedures", ["title", "icd9", "icd10", "again"]),
        "labs": [
            row | {"effects": pairs(row["effects"])} for row in declared("labs").to_dict("records")
        ],
    }
    return _rounded(facts)


def _groups(kind: str) -> list[dict]:
    """The reasons or syndromes; what they do to diseases stands in disease_model."""
    return groups(kind).drop(columns=["kind", "codes", "others"]).to_dict("records")


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
