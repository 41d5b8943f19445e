"""Canaries: what single patients have is planted, everything is run, every file is searched.

Unique words, extreme numbers, rare dates and codes, of patients in train and in holdout. None may
stand in any file but train and holdout, and a release of it passes.
"""

import gzip
import re

import numpy as np
import pandas as pd
import pytest

import ehrsynth as es
from ehrsynth.hospital import writing
from ehrsynth.profiles import PROFILES, Profile
from ehrsynth.rare import Rare, tables_of
from ehrsynth.release import release

WORDS = [
    f"{first}{last}" for first in ("Zebulon", "Quix", "Yttri") for last in ("oth", "ark", "umb")
]
NUMBERS = [8_812_345.0, -7_654_321.0, 9_876_543.0, -6_543_217.0, 7_123_456.0, -8_234_561.0]
DAYS = ["1931-03-05", "1933-11-27", "2391-07-13", "2388-02-19"]


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setitem(PROFILES, "fast", Profile(500, 6_000, min_prevalence=0, steps=20))


def searched(run, tmp_path, also=()):
    """Every file but train and holdout, and the package, hold none of it."""
    package = tmp_path / "package"
    release(run, package, with_model=True, signed_by="A. Name")
    planted = [*WORDS, *DAYS, *also, *map(str, NUMBERS)]
    frame = pd.DataFrame({"subject_id": range(len(planted)), "value": planted})
    known = Rare.of(tables_of("omop", {"patients": frame}, []), 5)
    written = re.compile("|".join([*WORDS, *DAYS, *also, *(f"{abs(n):.0f}" for n in NUMBERS)]))
    for file in (*run.rglob("*"), *package.rglob("*")):
        if file.is_file() and file.name not in ("train.parquet", "holdout.parquet"):
            assert known.found_in(file) == [], file
            assert not written.search(file.read_bytes().decode("latin-1")), file


def flat(folder):
    rng = np.random.default_rng(0)
    n = 600
    ill = rng.random(n) < 0.4
    seen = pd.Timestamp("2015-01-01") + pd.to_timedelta(rng.integers(0, 2_000, n), unit="D")
    table = pd.DataFrame(
        {
            "died": (rng.random(n) < np.where(ill, 0.5, 0.1)).astype(int),
            "sex": rng.choice(["F", "M"], n),
            "age": rng.integers(18, 90, n).astype(float),
            "platelets": rng.normal(250_000, 30_000, n).round(1),
            "ward": rng.choice(["North", "South", "West"], n),
            "seen": seen.strftime("%Y-%m-%d"),
            "flag": ill.astype(int),
        }
    )
    table.loc[rng.choice(n, len(WORDS), replace=False), "ward"] = WORDS
    table.loc[rng.choice(n, len(NUMBERS), replace=False), "platelets"] = NUMBERS
    table.loc[rng.choice(n, 2, replace=False), "seen"] = DAYS[:2]
    table.to_csv(folder / "patients.csv", index=False)
    return {"dataset": "table", "data": folder / "patients.csv", "outcome": "died"}


def mimic(folder):
    writing.write(folder / "hospital", patients=500, seed=0)
    hosp, rng = folder / "hospital" / "hosp", np.random.default_rng(0)

    def edit(name, plant):
        with gzip.open(hosp / f"{name}.csv.gz", "rt") as file:
            table = pd.read_csv(file, dtype=str)
        plant(table)
        table.to_csv(hosp / f"{name}.csv.gz", index=False)

    def places(table, values, column):
        rows = table.drop_duplicates("subject_id").index
        table.loc[rng.choice(rows, len(values), replace=False), column] = values

    edit("admissions", lambda t: places(t, WORDS, "race"))
    edit("diagnoses_icd", lambda t: places(t, ["A9991", "Z99987", "99981"], "icd_code"))
    edit("patients", lambda t: places(t, DAYS[2:], "dod"))
    weights = [f"{abs(n):.0f}" for n in NUMBERS]
    edit("omr", lambda t: t.__setitem__("result_value", plant_bmi(t, weights)))
    return {"dataset": "mimic-iv", "data": folder / "hospital"}


def plant_bmi(omr, weights):
    values = omr["result_value"].copy()
    rows = omr.index[omr["result_name"].str.contains("BMI")]
    values[rows[:: len(rows) // len(weights)][: len(weights)]] = weights
    return values


def omop(folder):
    rng = np.random.default_rng(0)
    n = 500
    people = np.arange(1, n + 1)
    start = pd.Timestamp("2012-01-01") + pd.to_timedelta(rng.integers(0, 900, n), unit="D")
    person = pd.DataFrame(
        {"person_id": people, "gender_concept_id": rng.choice([8532, 8507], n),
         "year_of_birth": rng.integers(1930, 1990, n), "race_concept_id": 8527,
         "ethnicity_concept_id": 38003564, "gender_source_value": "x",
         "race_source_value": "white"}
    )  # fmt: skip
    person["race_concept_id"] = person["race_concept_id"].where(people > 9, 900 + people)
    person.loc[: len(WORDS) - 1, "race_source_value"] = WORDS
    visit = pd.DataFrame(
        {"visit_occurrence_id": people, "person_id": people, "visit_concept_id": 9201,
         "visit_start_date": start, "visit_end_date": start + pd.Timedelta("2D")}
    )  # fmt: skip
    codes = rng.choice(["I10", "E11.9", "J45.909", "N18.9"], (n, 2))
    condition = pd.DataFrame(
        {"person_id": np.repeat(people, 2), "condition_concept_id": 0,
         "condition_start_date": np.repeat(start, 2), "condition_source_value": codes.ravel(),
         "condition_source_concept_id": 0}
    )  # fmt: skip
    condition.loc[: 2 * len(WORDS) - 1 : 2, "condition_concept_id"] = 7_000 + people[: len(WORDS)]
    condition.loc[: 2 * len(WORDS) - 1 : 2, "condition_source_value"] = WORDS
    measurement = pd.DataFrame(
        {"measurement_id": people, "person_id": people, "measurement_concept_id": 3038553,
         "measurement_date": start, "value_as_number": rng.normal(28, 4, n).round(1),
         "measurement_source_value": None}
    )  # fmt: skip
    measurement.loc[: len(NUMBERS) - 1, "value_as_number"] = np.abs(NUMBERS)
    died = people[rng.random(n) < 0.3]
    death = pd.DataFrame({"person_id": died, "death_date": start[died - 1] + pd.Timedelta("90D")})
    names = [*WORDS, *WORDS]
    ids = [*(7_000 + people[: len(WORDS)]), *(900 + people[: len(WORDS)])]
    concept = pd.DataFrame(
        {"concept_id": ids, "concept_name": names, "vocabulary_id": "SNOMED",
         "concept_code": [str(i) for i in ids]}
    )  # fmt: skip
    (folder / "cdm").mkdir()
    tables = {"person": person, "visit_occurrence": visit, "condition_occurrence": condition,
              "measurement": measurement, "death": death, "concept": concept}  # fmt: skip
    for name, table in tables.items():
        table.to_csv(folder / "cdm" / f"{name}.csv", index=False)
    return {"dataset": "omop", "data": folder / "cdm"}


@pytest.mark.parametrize("source", [flat, mimic, omop])
def test_no_canary_leaves_train_and_holdout(tmp_path, source, caplog):
    caplog.set_level("INFO", "ehrsynth")
    options = source(tmp_path)
    job = es.Pipeline(tmp_path / "run", **options).run()
    searched(job.out, tmp_path)
    for word in (*WORDS, *DAYS, *(f"{abs(n):.0f}" for n in NUMBERS)):
        assert word not in caplog.text
