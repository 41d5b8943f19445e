"""What is written down of the simulated patients: diagnoses, measurements, and the raw tables."""

import numpy as np
import pandas as pd
from numpy.random import Generator
from scipy.special import expit

from ..schema import BMI, DIASTOLIC, SYSTOLIC
from ..sources import mimic_iv
from . import care
from . import people as persons
from .care import ICD10_SINCE, Lives
from .illness import draw_body, draw_diseases, draw_recorded, hazards, illness, risk
from .people import YEARS, declared, draw_step, groups

# Shares of the BMIs with a height in feet, in centimeters, a slipped decimal point, or a typing
# error, and what each of them makes of the value.
BMI_FAULTS = ((0.0015, 144.0), (0.0015, 1 / 6.45), (0.0005, 10.0), (0.0001, 3_900.0))
_MEASURED = 0.25  # log odds that sets the published share of those never measured
SECOND_LEAF = 0.25  # chance that a whole phecode is coded with a second of its leaves
_OTHER_RATE = 1.35  # codes that belong to no phecode (other_codes.csv) per admission


def raw_tables(
    patients: int = 20_000, seed: int = 0, with_care: bool = False
) -> dict[str, pd.DataFrame]:
    """The tables of MIMIC-IV's ``hosp`` folder, with its column names.

    Care (:data:`ehrsynth.hospital.care.FILES` and what their codes mean) takes several times as
    long and as much memory as the rest.
    """
    persons.check_size(patients, seed)
    lives, tables = simulate(patients, np.random.default_rng(seed))
    if with_care:
        for name in care.FILES:
            tables[name] = pd.concat(care.blocks(name, lives, seed), ignore_index=True)
        tables |= care.dictionaries()
    return tables


def simulate(
    patients: int, rng: Generator, site: str = "A"
) -> tuple[Lives, dict[str, pd.DataFrame]]:
    """What happens to so many people, and the tables that every use needs.

    The `site` ("A" or "B", ``sites.csv``) changes what is recorded and measured, not who is ill.
    """
    practice = declared("sites").set_index("site").loc[site]
    people = persons.draw_people(patients, rng)
    has = draw_diseases(illness(), people, rng)
    admitted = persons.admissions(people, rng)
    last = admitted[admitted["last"]].set_index("person")["admit"].reindex(range(patients))
    late = ((last - YEARS[0]) / (YEARS[1] - YEARS[0])).fillna(0.5).to_numpy()
    recorded = draw_recorded(people, has, late, rng)
    thin = np.random.default_rng(rng.integers(2**63))  # both sites go on with the same numbers
    recorded[recorded] = thin.random(np.count_nonzero(recorded)) < practice["recorded"]
    body = draw_body(people, has, rng)
    dies = risk(hazards(people, has, body))
    people["dod"] = persons.deaths(dies, people, admitted, rng)
    people = people.join(persons.identity(people, admitted, rng))
    admissions = persons.admissions_table(people, admitted, rng)
    admitted["hadm_id"] = admissions["hadm_id"]
    lives = Lives(people, has, admitted)
    likely = _measured(lives, dies) + practice["measured"]
    omr = _omr_table(lives, body, expit(likely), rng)
    table = people[["subject_id", "anchor_age", "anchor_year", "anchor_year_group"]]
    table = table.assign(dod=people["dod"] + people["shift"])
    table.insert(1, "gender", np.where(people["female"], "F", "M"))
    # Whoever was measured long after a discharge was alive: such values give the outcome away.
    day = omr["subject_id"].map(table.set_index("subject_id")["dod"])
    key = ["icd_code", "icd_version"]
    titles = declared("icd").drop_duplicates(key, keep="last")[[*key, "long_title"]]
    tables = {
        "patients": table,
        "admissions": admissions,
        "diagnoses_icd": _diagnoses_table(lives, recorded, rng),
        "d_icd_diagnoses": titles.sort_values(key, ignore_index=True),
        "omr": omr[~(omr["chartdate"] > day)].reset_index(drop=True),
    }
    return lives, tables


def _diagnoses_table(lives: Lives, recorded: np.ndarray, rng: Generator) -> pd.DataFrame:
    """Every disease coded at one admission or more, in the ICD version of the day."""
    person, whole, leaf = _leaf_diseases(lives, recorded, rng)

    # From the first admission that codes it, each later one codes it again with some chance.
    # Most diseases are there from an early admission on.
    since = np.floor(rng.random(len(person)) ** 6 * lives.visits[person]).astype(np.int64)
    row, stay, nth = lives.turns(person, since)
    former = np.full(len(person), -1)  # which of twins.csv writes a disease down as history
    for place, twin in enumerate(declared("twins").itertuples()):
        chosen = rng.random(person.max(initial=0) + 1) < twin.share
        former[(whole == illness().whole.get_loc(twin.phecode)) & chosen[person]] = place
    coded = (nth == 0) | (rng.random(len(row)) < illness().again[whole[row]])
    coded |= former[row] >= 0  # a history is written down every time
    row, stay = row[coded], stay[coded]

    n, codes = len(lives.stays), declared("icd")
    number, names = pd.factorize(codes["icd_code"])
    recent = lives.stays["admit"].to_numpy() >= ICD10_SINCE
    code, draw = np.empty(len(row), dtype=np.int64), rng.random(len(row))
    more = np.repeat(np.arange(n), rng.poisson(_OTHER_RATE, n))
    more_code = np.empty(len(more), dtype=np.int64)
    for version, chosen in ((9, ~recent), (10, recent)):
        here = codes["icd_version"] == version
        usual, history, others = (
            number[here & (codes["use"] == use)] for use in ("disease", "history", "other")
        )
        now = chosen[stay]
        steps = codes.loc[here & (codes["use"] == "disease"), "step"]
        code[now] = usual[draw_step(steps, leaf[row[now]] + draw[now])]
        past = now & (former[row] >= 0)
        code[past] = history[former[row[past]]]
        weight = 0.8 ** np.arange(len(others))
        now = chosen[more]
        more_code[now] = others[draw_step(np.cumsum(weight / weight.sum()), rng.random(now.sum()))]

    # Each code once an admission, in any order.
    once = np.sort(np.append(stay, more) * len(names) + np.append(code, more_code))
    once = once[np.diff(once, prepend=-1) > 0]
    once = once[np.lexsort((rng.random(len(once)), once // len(names)))]
    stay, code = np.divmod(once, len(names))
    turn = np.arange(len(stay)) - np.searchsorted(stay, stay) + 1
    person, _, _, hadm_id = lives.admissions(stay)
    return pd.DataFrame({
        "subject_id": lives.people["subject_id"].to_numpy()[person],
        "hadm_id": hadm_id,
        "seq_num": turn,
        "icd_code": names.take(code),
        "icd_version": np.where(recent[stay], 10, 9),
    })  # fmt: skip


def _leaf_diseases(
    lives: Lives, recorded: np.ndarray, rng: Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Person, whole phecode and leaf (numbers) of every disease; some have a second leaf."""
    person, whole = np.nonzero(recorded & (lives.visits > 0)[:, None])
    female = lives.people["female"].to_numpy()[person]
    leaf = _leaf_draws(female, whole, rng)
    second = np.flatnonzero(rng.random(len(person)) < SECOND_LEAF)
    other = _leaf_draws(female[second], whole[second], rng)
    new = other != leaf[second]
    second, other = second[new], other[new]
    every = np.append(np.arange(len(person)), second)
    return person[every], whole[every], np.append(leaf, other)


def _leaf_draws(female: np.ndarray, whole: np.ndarray, rng: Generator) -> np.ndarray:
    """A leaf (its number) of each whole phecode, one that the person's sex can have."""
    draw = rng.random(len(whole))
    leaf = np.empty(len(whole), dtype=np.int64)
    for sex, chosen in (("F", female), ("M", ~female)):
        leaf[chosen] = draw_step(declared("leaves")[sex], whole[chosen] + draw[chosen])
    return leaf


def _measured(lives: Lives, dies: np.ndarray) -> np.ndarray:
    """Log odds that somebody is ever measured.

    Planned care and frequent visits make it likely; emergencies, great illness and the risk to die
    (`dies`) unlikely. So what is missing is not missing at random.
    """
    people = lives.people
    likely = _MEASURED + 0.8 * np.log1p(lives.visits) + 0.3 * people["cardiometabolic"]
    likely += 0.3 * people["birth"] - 0.45 * people["morbidity"] - 2.2 * dies
    for kind in ("reason", "syndrome"):
        likely += np.append(0, groups(kind)["measured"])[people[kind]]
    return likely.to_numpy()


def _omr_table(
    lives: Lives, body: pd.DataFrame, measured: np.ndarray, rng: Generator
) -> pd.DataFrame:
    """What was `measured` (a chance) at visits, with the faults of real notes."""
    n = len(lives.people)
    pressed = rng.random(n) < measured
    weighed = rng.random(n) < np.where(pressed, 0.90, 0.10)
    pressures = _pressures(_visits(pressed, 3.2, lives.stays, rng), body, rng)
    weights = _weights(_visits(weighed, 2.6, lives.stays, rng), body, rng)
    table = pd.concat([pressures, weights])
    table = table.sort_values(["person", "date"], kind="stable", ignore_index=True)
    person, same = table["person"].to_numpy(), ["person", "date", "result_name"]
    return pd.DataFrame({
        "subject_id": lives.people["subject_id"].to_numpy()[person],
        "chartdate": lives.shifted(table["date"].to_numpy(), person),
        "seq_num": table.groupby(same, sort=False).cumcount() + 1,
        "result_name": table["result_name"],
        "result_value": table["result_value"],
    })  # fmt: skip


def _visits(measured: np.ndarray, mean: float, stays: pd.DataFrame, rng: Generator) -> pd.DataFrame:
    """``person`` and ``date`` (real) of measurements, 1 + `mean` each; some after discharge."""
    n = len(measured)
    person = np.repeat(np.arange(n), np.where(measured, 1 + rng.poisson(mean, n), 0))
    by_person = stays.groupby("person")
    begin = by_person["admit"].first().reindex(range(n)).fillna(pd.Timestamp(YEARS[0]))
    end = by_person["discharge"].last().reindex(range(n)).fillna(pd.Timestamp(YEARS[1]))
    begin = begin.to_numpy() - np.timedelta64(500, "D")
    length = (end.to_numpy() + np.timedelta64(300, "D") - begin) / np.timedelta64(1, "D")
    days = np.floor(rng.random(len(person)) * length[person]).astype(np.int64)
    date = begin[person].astype("datetime64[D]") + days
    return pd.DataFrame({"person": person, "date": date.astype("datetime64[s]")})


def _pressures(visits: pd.DataFrame, body: pd.DataFrame, rng: Generator) -> pd.DataFrame:
    """Readings like "110/70": some swapped, some with a digit too few or too many."""
    n, usual = len(visits), body.iloc[visits["person"]]
    change = 9 * rng.standard_normal(n)
    systolic = usual[SYSTOLIC].to_numpy() + change
    diastolic = usual[DIASTOLIC].to_numpy() + 0.55 * change + 4 * rng.standard_normal(n)
    systolic = np.clip(np.round(systolic), 70, 240).astype(np.int64)
    diastolic = np.minimum(np.maximum(np.round(diastolic), 35).astype(np.int64), systolic - 8)
    fault = np.searchsorted([1e-3, 3e-3, 3.5e-3], rng.random(n), side="right")
    systolic, diastolic = np.where(fault == 0, [diastolic, systolic], [systolic, diastolic])
    diastolic = np.where(fault == 1, diastolic // 10, diastolic)
    systolic = np.where(fault == 2, systolic * 10 + 5, systolic)
    place = np.where(rng.random(n) < 0.004, " Sitting", "")
    return visits.assign(
        result_name=np.char.add(mimic_iv.PRESSURE, place),
        result_value=_text(systolic) + "/" + _text(diastolic),
    )


def _weights(visits: pd.DataFrame, body: pd.DataFrame, rng: Generator) -> pd.DataFrame:
    """BMI and weight at every visit, height at the first row of each person."""
    usual = body.iloc[visits["person"]]
    bmi = usual[BMI].to_numpy() * np.exp(0.03 * rng.standard_normal(len(visits)))
    height = usual["height"].to_numpy()
    weight = bmi * height**2 / 703
    shares, factors = np.transpose([*BMI_FAULTS, (1.0, 1.0)])
    bmi = bmi * factors[draw_step(np.cumsum(shares), rng.random(len(visits)))]
    results = {
        mimic_iv.BMI: _text(np.round(bmi, 1)),
        "Weight (Lbs)": _text(np.round(weight, 1)),
        "Height (Inches)": _text(np.round(height * 2) / 2),
    }
    tables = [visits.assign(result_name=name, result_value=text) for name, text in results.items()]
    tables[-1] = tables[-1].drop_duplicates("person")
    return pd.concat(tables)


def _text(numbers: np.ndarray) -> pd.Series:
    return pd.Series(numbers).astype("str")
