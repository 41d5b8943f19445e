"""A hospital that never was, in MIMIC-IV's file layout and with MIMIC-IV's faults.

Nothing has to be downloaded and nothing is confidential, yet the tables have what makes real ones
hard: two ICD versions, "110/70" pressures, impossible values, vitals missing for a third of the
patients, several admissions, deaths in hospital, sub-divided race strings. Its margins follow the
published aggregates of MIMIC-IV (:data:`PUBLISHED`); no real record was used.

The people and their diseases come from :mod:`ehrsynth.hospital.people`. Here they are admitted,
coded, measured and written down: more admissions with more morbidity, every disease coded at one
of them or more, readings at visits before and after discharge. Procedures, prescriptions and
laboratory results are made in :mod:`ehrsynth.hospital.care`.

The hospital never changes and the patients depend on a seed, so a fresh sample from the same truth
is ``load("simulated", seed=another)``; :mod:`ehrsynth.hospital.truth` draws one as a patient table
and says all that is true of the hospital.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import InputError
from ..files import write_blocks, write_json, write_table
from ..phecode import definitions
from ..sources import mimic_iv
from . import care
from .care import ICD10_SINCE, Lives
from .people import (
    AGES,
    PUBLISHED,
    RACES,
    SECOND_LEAF,
    Hospital,
    age_units,
    death_log_odds,
    draw_body,
    draw_diseases,
    draw_people,
    draw_step,
    hospital,
    seen,
    sigmoid,
)

__all__ = ["PUBLISHED", "hospital", "load", "raw_tables", "seen", "write"]

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
_YEARS = (np.datetime64("2008-01-01"), np.datetime64("2019-12-31"))
_NO_ADMISSION = 0.01  # of the people
# Shares of the BMIs with a height in feet, in centimeters, a slipped decimal point, or a typing
# error, and what each of them makes of the value.
BMI_FAULTS = ((0.0015, 144.0), (0.0015, 1 / 6.45), (0.0005, 10.0), (0.0001, 3_900.0))
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
# What MIMIC-IV's file of admissions has beyond the columns of raw_tables, and where it stands.
_MORE_COLUMNS = {
    "admit_provider_id": "admission_type", "language": "insurance", "marital_status": "language",
    "edregtime": "race", "edouttime": "edregtime",
}  # fmt: skip
_STREAM = 7_302  # sets the random numbers of these columns apart from those of the patients


def load(
    patients: int = 20_000, seed: int = 0, include: tuple[str, ...] = ()
) -> dict[str, pd.DataFrame]:
    """The hospital tables of `patients` simulated patients.

    Parameters
    ----------
    patients : int
        Rows of the table of patients; about 94 % of them will be in the cohort.
    seed : int
        Of the patients. Another seed gives other patients of the same hospital.
    include : tuple of {"procedures", "medications", "labs"}
        Further tables of what happened, see :func:`ehrsynth.sources.mimic_iv.scan`.

    Returns
    -------
    dict of str to DataFrame
        See :func:`ehrsynth.sources.mimic_iv.from_frames`, which makes them.
    """
    return mimic_iv.from_frames(
        raw_tables(patients, seed, with_care=bool(include)), include=include
    )


def write(folder: str | Path, patients: int = 20_000, seed: int = 0) -> list[Path]:
    """Write the hospital as MIMIC-IV is published, and its truth beside it.

    Parameters
    ----------
    folder : str or Path
        Gets ``hosp/*.csv.gz`` and ``truth.json`` (see :func:`ehrsynth.hospital.truth.as_dict`).
    patients, seed : int
        As for :func:`load`, which gives the same patients.

    Returns
    -------
    list of Path
        The files, ``truth.json`` last.
    """
    from .truth import as_dict

    lives, tables = simulate(patients, _generator(patients, seed))
    hadm_id = tables["admissions"]["hadm_id"].to_numpy()
    tables["admissions"] = _as_published(tables["admissions"], lives, seed)
    written = []

    def file(name: str) -> Path:
        written.append(Path(folder) / "hosp" / f"{name}.csv.gz")
        return written[-1]

    for name in list(tables):
        table = tables.pop(name)  # its memory is free when it is written
        if name.startswith("d_"):
            write_table(table, file(name))
        else:
            write_blocks([table], file(name), dates=("dod", "chartdate"))
        del table
    for name in care.FILES:
        rows = care.blocks(name, hospital(), lives, hadm_id, seed)
        write_blocks(rows, file(name), dates=("chartdate",))
    for name, table in care.dictionaries().items():
        write_table(table, file(name))
    written.append(Path(folder) / "truth.json")
    write_json(as_dict(patients, seed), written[-1])
    return written


def raw_tables(
    patients: int = 20_000, seed: int = 0, with_care: bool = False
) -> dict[str, pd.DataFrame]:
    """The tables of MIMIC-IV's ``hosp`` folder, with its column names.

    Parameters
    ----------
    patients, seed : int
        As for :func:`load`.
    with_care : bool
        Also procedures, prescriptions and laboratory results, which take several times as long
        and as much memory as the rest.

    Returns
    -------
    dict of str to DataFrame
        ``patients``, ``admissions``, ``diagnoses_icd``, ``d_icd_diagnoses``, ``omr``; with care
        also ``procedures_icd``, ``prescriptions``, ``labevents``, ``d_icd_procedures`` and
        ``d_labitems``.

    Raises
    ------
    InputError
        If `patients` is less than 1 or `seed` is negative.
    """
    lives, tables = simulate(patients, _generator(patients, seed))
    if with_care:
        hadm_id = tables["admissions"]["hadm_id"].to_numpy()
        for name in care.FILES:
            rows = care.blocks(name, hospital(), lives, hadm_id, seed)
            tables[name] = pd.concat(rows, ignore_index=True)
        tables |= care.dictionaries()
    return tables


def simulate(patients: int, rng: np.random.Generator) -> tuple[Lives, dict[str, pd.DataFrame]]:
    """What happens to so many people, and the tables that every use needs."""
    truth = hospital()
    people = draw_people(truth, patients, rng)
    has = draw_diseases(truth, people, rng)
    stays = _stays(people, rng)
    body = draw_body(truth, people, has, rng)
    dod = _deaths(truth, people, has, body, stays, rng)
    identity = _identity(people, stays, rng)
    admissions = _admissions_table(people, identity, stays, rng)
    tables = {
        "patients": _patients_table(people, identity, dod),
        "admissions": admissions,
        "diagnoses_icd": _diagnoses_table(truth, people, has, stays, admissions, rng),
        "d_icd_diagnoses": _titles(truth),
        "omr": _before_death(_omr_table(people, identity, body, stays, rng), identity, dod),
    }
    return Lives(people, has, stays, dod, identity), tables


def _generator(patients: int, seed: int) -> np.random.Generator:
    check_size(patients, seed)
    return np.random.default_rng(seed)


def check_size(patients: int, seed: int) -> None:
    """Raise InputError unless that many patients can be drawn from that seed."""
    if patients < 1:
        raise InputError(f"The number of patients is {patients}; ask for 1 or more.")
    if seed < 0:
        raise InputError(f"The seed is {seed}; give 0 or a larger whole number.")


# -- what happens to them --------------------------------------------------------------


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


def _deaths(truth, people, has, body, stays, rng) -> pd.Series:
    """Real date of death by person, NaT for the living; nobody is followed beyond a year."""
    odds = death_log_odds(truth, people, has, body["bmi"])
    dies = rng.random(len(people)) < sigmoid(odds)
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
    return rng.permutation(np.cumsum(rng.integers(1, max(2, 9_900_000 // max(1, n)), n)))


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
    birth = people["birth"].to_numpy()[person]
    old = people["age"].to_numpy()[person] >= 65
    race = _race_strings(people["race"].to_numpy(), rng)
    kinds = np.array(["EW EMER.", "OBSERVATION ADMIT", "SURGICAL SAME DAY ADMISSION", "URGENT"])
    kind = draw_step(np.array([0.45, 0.62, 0.84, 1.0]), rng.random(n))
    homes = np.array(["HOME", "HOME HEALTH CARE", "SKILLED NURSING FACILITY", "REHAB"])
    home = draw_step(np.array([0.48, 0.76, 0.92, 1.0]), rng.random(n) * np.where(old, 1.0, 0.8))
    insurance = np.where(old, "Medicare", np.where(rng.random(n) < 0.2, "Medicaid", "Other"))
    discharge = stays["discharge"].to_numpy() + shift
    return pd.DataFrame(
        {
            "subject_id": identity["subject_id"].to_numpy()[person],
            "hadm_id": 20_000_000 + _numbers(n, rng),
            "admittime": stays["admit"].to_numpy() + shift,
            "dischtime": discharge,
            "deathtime": pd.Series(discharge).where(stays["dies"]),
            "admission_type": np.where(birth, "DIRECT EMER.", kinds[kind]),
            "admission_location": np.where(kind == 0, "EMERGENCY ROOM", "PHYSICIAN REFERRAL"),
            "discharge_location": np.where(stays["dies"], "DIED", homes[home]),
            "insurance": insurance,
            "race": race[person],
            "hospital_expire_flag": stays["dies"].astype("int64"),
        }
    )


def _as_published(admissions: pd.DataFrame, lives: Lives, seed: int) -> pd.DataFrame:
    """The admissions with all columns of MIMIC-IV's file, in its order."""
    rng = np.random.default_rng([_STREAM, seed])
    n, m = len(admissions), len(lives.people)
    person = lives.stays["person"].to_numpy()
    states = np.array(["MARRIED", "SINGLE", "WIDOWED", "DIVORCED", None], dtype=object)
    old = lives.people["age"].to_numpy() >= 65
    limits = np.where(old[:, None], [0.52, 0.70, 0.92, 0.98], [0.42, 0.88, 0.90, 0.96])
    state = states[(rng.random(m)[:, None] > limits).sum(axis=1)]
    language = np.where(rng.random(m) < 0.9, "ENGLISH", "?")
    admitted = admissions["admittime"]
    arrived = admitted - pd.to_timedelta(60 * rng.integers(60, 900, n), unit="s")
    left = admitted + pd.to_timedelta(60 * rng.integers(0, 120, n), unit="s")
    emergency = admissions["admission_location"] == "EMERGENCY ROOM"
    more = {
        "admit_provider_id": [f"P{number:05d}" for number in rng.integers(0, 2_000, n)],
        "language": language[person],
        "marital_status": state[person],
        "edregtime": arrived.where(emergency),
        "edouttime": left.where(emergency),
    }
    table = admissions.copy()
    for name, before in _MORE_COLUMNS.items():
        table.insert(table.columns.get_loc(before) + 1, name, more[name])
    return table


def _race_strings(race: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What the registration desk writes for each person's race (its number)."""
    draw = rng.random(len(race))
    text = np.empty(len(race), dtype=object)
    for number, name in enumerate(RACES):
        shares = _RACE_STRINGS[name]
        chosen = race == number
        steps = np.cumsum(list(shares.values()))
        text[chosen] = np.array(list(shares), dtype=object)[draw_step(steps, draw[chosen])]
    return text


def _diagnoses_table(truth, people, has, stays, admissions, rng) -> pd.DataFrame:
    """Every disease coded at one admission or more, in the ICD version of the day."""
    count = np.bincount(stays["person"], minlength=len(people))
    start = np.cumsum(count) - count
    person, whole, leaf = _leaf_diseases(truth, people, has & (count > 0)[:, None], rng)

    # From the first admission that codes it, each later one codes it again with some chance.
    # Most diseases are there from an early admission on.
    since = np.floor(rng.random(len(person)) ** 3 * count[person]).astype(np.int64)
    visits = count[person] - since
    row = np.repeat(np.arange(len(person)), visits)
    nth = np.arange(len(row)) - np.repeat(np.cumsum(visits) - visits, visits)
    coded = (nth == 0) | (rng.random(len(row)) < truth.again[whole[row]])
    row, nth = row[coded], nth[coded]
    stay = start[person[row]] + since[row] + nth

    recent = stays["admit"].to_numpy() >= ICD10_SINCE
    code = np.empty(len(row), dtype="U7")
    draw = rng.random(len(row))
    more = np.repeat(np.arange(len(stays)), rng.poisson(_OTHER_RATE, len(stays)))
    more_code = np.empty(len(more), dtype="U7")
    for version, chosen in ((9, ~recent), (10, recent)):
        names, steps = truth.icd[version]
        now = chosen[stay]
        code[now] = names[draw_step(steps, leaf[row[now]] + draw[now])]
        others = np.array(list(_OTHER_CODES[version]))
        weight = 0.8 ** np.arange(len(others))
        now = chosen[more]
        steps = np.cumsum(weight / weight.sum())
        more_code[now] = others[draw_step(steps, rng.random(now.sum()))]

    table = pd.DataFrame({"stay": np.append(stay, more), "icd_code": np.append(code, more_code)})
    table = table.drop_duplicates()
    table = table.iloc[np.lexsort((rng.random(len(table)), table["stay"]))]
    stay = table["stay"].to_numpy()
    return pd.DataFrame(
        {
            "subject_id": admissions["subject_id"].to_numpy()[stay],
            "hadm_id": admissions["hadm_id"].to_numpy()[stay],
            "seq_num": table.groupby("stay").cumcount().to_numpy() + 1,
            "icd_code": table["icd_code"].astype("str").to_numpy(),
            "icd_version": np.where(recent[stay], 10, 9),
        }
    )


def _leaf_diseases(truth, people, has, rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Person, whole phecode and leaf (numbers) of every disease; some have a second leaf."""
    person, whole = np.nonzero(has)
    leaf = _leaf_draws(truth, people, person, whole, rng)
    second = np.flatnonzero(rng.random(len(person)) < SECOND_LEAF)
    other = _leaf_draws(truth, people, person[second], whole[second], rng)
    new = other != leaf[second]
    second, other = second[new], other[new]
    return (
        np.append(person, person[second]), np.append(whole, whole[second]), np.append(leaf, other),
    )  # fmt: skip


def _leaf_draws(truth, people, person, whole, rng) -> np.ndarray:
    """A leaf (its number) of each whole phecode, one that the person's sex can have."""
    draw = rng.random(len(person))
    female = people["female"].to_numpy()[person]
    leaf = np.empty(len(person), dtype=np.int64)
    for sex, chosen in (("F", female), ("M", ~female)):
        leaf[chosen] = draw_step(truth.leaf_steps[sex], whole[chosen] + draw[chosen])
    return leaf


def _titles(truth: Hospital) -> pd.DataFrame:
    """d_icd_diagnoses: what each code means (for phecodes their name)."""
    names = definitions("leaf")["name"].reindex(truth.leaf["code"]).to_numpy()
    rows = []
    for version, (codes, steps) in truth.icd.items():
        # A step is the number of the leaf and a share above 0 and up to 1.
        leaf = np.ceil(steps - 1e-9).astype(np.int64) - 1
        rows += zip(codes.tolist(), [version] * len(codes), names[leaf], strict=True)
        rows += [(code, version, title) for code, title in _OTHER_CODES[version].items()]
    table = pd.DataFrame(rows, columns=["icd_code", "icd_version", "long_title"])
    return table.sort_values(["icd_code", "icd_version"], ignore_index=True)


def _omr_table(people, identity, body, stays, rng) -> pd.DataFrame:
    """What was measured at visits, with the faults of real notes.

    Whether somebody was measured at all depends on who they are: the frequent visitors of the
    hospital are, the young and the emergencies are not.
    """
    n = len(people)
    count = np.bincount(stays["person"], minlength=n)
    likely = -0.30 + 1.0 * np.log1p(count) + 0.25 * people["metabolic"] + 0.3 * people["birth"]
    likely += -0.25 * people["infection"] + 0.1 * age_units(people["age"])
    pressed = rng.random(n) < sigmoid(likely.to_numpy())
    weighed = rng.random(n) < np.where(pressed, 0.80, 0.26)
    table = pd.concat(
        [
            _pressures(_visits(pressed, 3.2, stays, rng), body, rng),
            _weights(_visits(weighed, 2.6, stays, rng), body, rng),
        ]
    )
    table = table.sort_values(["person", "date"], kind="stable", ignore_index=True)
    person = table["person"].to_numpy()
    same = ["person", "date", "result_name"]
    return pd.DataFrame(
        {
            "subject_id": identity["subject_id"].to_numpy()[person],
            "chartdate": table["date"] + identity["shift"].to_numpy()[person],
            "seq_num": table.groupby(same, sort=False).cumcount() + 1,
            "result_name": table["result_name"],
            "result_value": table["result_value"],
        }
    )


def _visits(measured: np.ndarray, mean: float, stays: pd.DataFrame, rng) -> pd.DataFrame:
    """Days on which these people are measured: ``person``, ``date`` (real), some after discharge.

    Parameters
    ----------
    measured : ndarray of bool
        Who is measured at all, at least once.
    mean : float
        Further visits on average.
    """
    n = len(measured)
    person = np.repeat(np.arange(n), np.where(measured, 1 + rng.poisson(mean, n), 0))
    by_person = stays.groupby("person")
    begin = by_person["admit"].first().reindex(range(n)).fillna(pd.Timestamp(_YEARS[0]))
    end = by_person["discharge"].last().reindex(range(n)).fillna(pd.Timestamp(_YEARS[1]))
    begin = begin.to_numpy() - np.timedelta64(500, "D")
    end = end.to_numpy() + np.timedelta64(300, "D")
    days = np.floor(rng.random(len(person)) * ((end - begin) / np.timedelta64(1, "D"))[person])
    date = begin[person].astype("datetime64[D]") + days.astype(np.int64)
    return pd.DataFrame({"person": person, "date": date.astype("datetime64[s]")})


def _pressures(visits: pd.DataFrame, body: pd.DataFrame, rng) -> pd.DataFrame:
    """Readings like "110/70": some swapped, some with a digit too few or too many."""
    n = len(visits)
    usual = body.iloc[visits["person"]]
    change = 9 * rng.standard_normal(n)
    systolic = usual["systolic"].to_numpy() + change
    diastolic = usual["diastolic"].to_numpy() + 0.55 * change + 4 * rng.standard_normal(n)
    systolic = np.clip(np.round(systolic), 70, 240).astype(np.int64)
    diastolic = np.clip(np.round(diastolic), 35, None).astype(np.int64)
    diastolic = np.minimum(diastolic, systolic - 8)
    fault = rng.random(n)
    swapped, short, long = (
        (fault >= low) & (fault < high) for low, high in ((0, 1e-3), (1e-3, 3e-3), (3e-3, 3.5e-3))
    )
    systolic, diastolic = (
        np.where(swapped, diastolic, systolic), np.where(swapped, systolic, diastolic),
    )  # fmt: skip
    diastolic = np.where(short, diastolic // 10, diastolic)
    systolic = np.where(long, systolic * 10 + 5, systolic)
    place = np.where(rng.random(n) < 0.004, " Sitting", "")
    return visits.assign(
        result_name=np.char.add(mimic_iv.PRESSURE, place),
        result_value=_text(systolic) + "/" + _text(diastolic),
    )


def _weights(visits: pd.DataFrame, body: pd.DataFrame, rng) -> pd.DataFrame:
    """BMI and weight at every visit, height at the first row of each person."""
    usual = body.iloc[visits["person"]]
    bmi = usual["bmi"].to_numpy() * np.exp(0.03 * rng.standard_normal(len(visits)))
    height = usual["height"].to_numpy()
    weight = bmi * height**2 / 703
    shares, factors = zip(*BMI_FAULTS, strict=True)
    which = np.searchsorted(np.cumsum(shares), rng.random(len(visits)), side="right")
    bmi = bmi * np.array([*factors, 1.0])[which]
    results = {
        mimic_iv.BMI: _text(np.round(bmi, 1)),
        "Weight (Lbs)": _text(np.round(weight, 1)),
        "Height (Inches)": _text(np.round(height * 2) / 2),
    }
    tables = [visits.assign(result_name=name, result_value=text) for name, text in results.items()]
    tables[-1] = tables[-1].drop_duplicates("person")
    return pd.concat(tables)


def _before_death(omr: pd.DataFrame, identity: pd.DataFrame, dod: pd.Series) -> pd.DataFrame:
    """The measurements without those of visits that the person did not live to make.

    Whoever was measured long after a discharge was alive then: such values give the outcome away,
    and cutting them off at the discharge is not a formality.
    """
    last_day = (dod + identity["shift"]).set_axis(identity["subject_id"])
    day = omr["subject_id"].map(last_day)
    return omr[~(omr["chartdate"] > day)].reset_index(drop=True)


def _text(numbers: np.ndarray) -> pd.Series:
    return pd.Series(numbers).astype("str")
