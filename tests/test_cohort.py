"""Who is in, the index admission, the outcome, one row per patient."""

import time

import numpy as np
import pandas as pd
import pytest
from conftest import schema_of

import ehrsynth
from ehrsynth import datasets
from ehrsynth.cohort import split
from ehrsynth.datasets import build_patients
from ehrsynth.errors import InputError
from ehrsynth.schema import Schema


def stamp(text):
    return pd.to_datetime(text)


def hospital():
    """Five people, each there for one question."""
    patients = pd.DataFrame(
        [
            # Two admissions; dies 365 days after the second.
            (1, "F", 50, 2150, "2152-06-11"),
            # Dies in hospital at the second of three admissions (the third is an error): out.
            (2, "M", 60, 2150, "2151-01-05"),
            # Dies 366 days after discharge.
            (3, "M", 89, 2150, "2154-01-07"),
            # Never admitted: out.
            (4, "F", 30, 2150, None),
            (5, "F", 40, 2150, None),
        ],
        columns=["subject_id", "sex", "anchor_age", "anchor_year", "death_date"],
    )
    patients["death_date"] = stamp(patients["death_date"])
    admissions = pd.DataFrame(
        [
            (1, 12, "2151-06-01 10:00", "2151-06-12 18:00", False, "HISPANIC OR LATINO"),
            (1, 11, "2150-01-01 10:00", "2150-01-05 10:00", False, "WHITE - RUSSIAN"),
            (2, 21, "2150-01-01 10:00", "2150-01-05 10:00", False, "WHITE"),
            (2, 22, "2151-01-01 10:00", "2151-01-05 10:00", True, "WHITE"),
            (2, 23, "2152-01-01 10:00", "2152-01-05 10:00", False, "WHITE"),
            (3, 31, "2153-01-01 10:00", "2153-01-06 10:00", False, "PATIENT DECLINED TO ANSWER"),
            (5, 51, "2150-03-01 10:00", "2150-03-02 10:00", False, None),
        ],
        columns=["subject_id", "hadm_id", "admit_time", "discharge_time", "died_in_hospital",
                 "race"],
    )  # fmt: skip
    for name in ("admit_time", "discharge_time"):
        admissions[name] = stamp(admissions[name])
    diagnoses = pd.DataFrame(
        [(1, 11, "4019", 9), (1, 12, "I10", 10), (1, 12, "E119", 10), (2, 22, "0389", 9),
         (3, 31, "4019", 9), (3, 31, "4019", 9), (5, 51, "ZZZ", 10), (99, 1, "5849", 9)],
        columns=["subject_id", "hadm_id", "icd_code", "icd_version"],
    )  # fmt: skip
    measurements = pd.DataFrame(
        [
            (1, "2150-06-01", "bmi", 25.0), (1, "2151-06-12", "bmi", 26.5),
            (1, "2151-06-13", "bmi", 99.0),  # after discharge
            (1, "2151-01-01", "systolic", 120.0), (1, "2151-01-01", "diastolic", 70.0),
            (1, "2151-01-01", "systolic", 140.0), (1, "2151-01-01", "diastolic", 90.0),
            (3, "2154-01-01", "bmi", 22.0),  # after discharge
            (2, "2150-01-01", "bmi", 30.0), (5, "2150-01-01", "heart rate", 80.0),
        ],
        columns=["subject_id", "time", "name", "value"],
    )  # fmt: skip
    measurements["time"] = stamp(measurements["time"])
    return {"patients": patients, "admissions": admissions, "diagnoses": diagnoses,
            "measurements": measurements.assign(unit="")}  # fmt: skip


def test_who_is_in_and_what_is_known_of_them():
    patients = build_patients(hospital())
    assert list(patients.columns) == ["DIE_1y", "sex", "race", "age", "bmi", "systolic",
                                      "diastolic", "phe_250", "phe_401"]  # fmt: skip
    expected = [
        [1, "F", "HISPANIC", 51.0, 26.5, 140.0, 90.0, 1, 1],
        [0, "M", "UNKNOWN", 91.0, np.nan, np.nan, np.nan, 0, 1],  # 92, but nobody is above 91
        [0, "F", "UNKNOWN", 40.0, np.nan, np.nan, np.nan, 0, 0],
    ]
    pd.testing.assert_frame_equal(
        patients.astype(object), pd.DataFrame(expected, columns=patients.columns, dtype=object),
        check_dtype=False,
    )  # fmt: skip
    assert patients["DIE_1y"].dtype == patients["phe_250"].dtype == "uint8"


def test_any_recorded_death_is_another_outcome():
    patients = build_patients(hospital(), outcome="DIE_any")
    assert patients["DIE_any"].tolist() == [1, 1, 0]
    assert Schema.of(patients).outcome == "DIE_any"


def test_measurements_after_discharge_are_not_used():
    """Taking the latest of all, as published, would leak the future."""
    tables = hospital()
    latest = (
        tables["measurements"]
        .sort_values("time")
        .drop_duplicates(["subject_id", "name"], keep="last")
    )
    leaked = latest[(latest["subject_id"] == 1) & (latest["name"] == "bmi")]["value"].item()
    assert leaked == 99.0
    assert build_patients(tables)["bmi"].iloc[0] == 26.5


def test_both_numbers_of_a_pressure_are_of_one_reading():
    tables = hospital()
    row = build_patients(tables).iloc[0]
    assert (row["systolic"], row["diastolic"]) == (140.0, 90.0)


@pytest.mark.parametrize("diastolic", [140.0, 155.0])
def test_a_pressure_upside_down_counts_as_not_measured(diastolic):
    """The published check compares the diastolic number with itself and never finds one."""
    tables = hospital()
    measurements = tables["measurements"]
    measurements.loc[measurements["value"] == 90.0, "value"] = diastolic
    row = build_patients(tables).iloc[0]
    assert np.isnan(row["systolic"]) and np.isnan(row["diastolic"])
    assert row["bmi"] == 26.5


@pytest.mark.parametrize(
    ("level", "columns"),
    [("leaf", ["phe_250.2", "phe_401.1"]), ("phecode", ["phe_250", "phe_401"]),
     ("category", ["phe_circulatory_system", "phe_endocrine/metabolic"])],
)  # fmt: skip
def test_code_levels(level, columns):
    patients = build_patients(hospital(), code_level=level)
    assert [c for c in patients if c.startswith("phe_")] == columns


def test_the_schema_says_what_the_columns_are():
    patients = build_patients(hospital())
    schema = Schema.of(patients)
    assert schema.names == list(patients.columns)
    assert (schema.outcome, schema.sex) == ("DIE_1y", "sex")
    assert schema["phe_401"].label == "Hypertension" and schema["phe_401"].code == "401"
    assert schema["bmi"].title == "Body mass index (kg/m2)"
    assert (schema["bmi"].lower, schema["bmi"].upper) == (10, 60)
    assert schema["diastolic"].lower == 30
    assert schema.of_role("demographic") == ["sex", "race", "age"]
    assert schema.of_role("measurement") == ["bmi", "systolic", "diastolic"]


def test_the_order_of_the_rows_in_the_files_does_not_matter():
    tables = hospital()
    rng = np.random.default_rng(0)
    shuffled = {
        name: table if name == "measurements" else table.iloc[rng.permutation(len(table))]
        for name, table in tables.items()
    }
    pd.testing.assert_frame_equal(build_patients(tables), build_patients(shuffled))


def test_the_input_is_not_changed():
    tables, untouched = hospital(), hospital()
    build_patients(tables)
    for name, table in untouched.items():
        pd.testing.assert_frame_equal(tables[name], table)


@pytest.mark.parametrize(
    ("text", "race"),
    [("WHITE - OTHER EUROPEAN", "WHITE"), ("BLACK/CARIBBEAN ISLAND", "BLACK"),
     ("ASIAN - KOREAN", "ASIAN"), ("HISPANIC/LATINO - CUBAN", "HISPANIC"),
     ("UNABLE TO OBTAIN", "UNKNOWN"), ("Unknown", "UNKNOWN"), (None, "UNKNOWN"),
     ("PORTUGUESE", "OTHER"), ("MULTIPLE RACE/ETHNICITY", "OTHER")],
)  # fmt: skip
def test_races(text, race):
    tables = hospital()
    tables["admissions"].loc[tables["admissions"]["hadm_id"] == 31, "race"] = text
    assert build_patients(tables)["race"].tolist() == ["HISPANIC", race, "UNKNOWN"]


def test_an_empty_cohort_is_refused():
    tables = hospital()
    tables["admissions"]["died_in_hospital"] = True
    with pytest.raises(InputError, match="No patient is left in the cohort: 5 patients have 7"):
        build_patients(tables)


def test_an_outcome_of_one_class_is_refused():
    tables = hospital()
    tables["patients"]["death_date"] = pd.NaT
    with pytest.raises(InputError, match="Outcome 'DIE_1y' is 0 for all 3 patients"):
        build_patients(tables)


def test_other_wrong_arguments_are_refused():
    with pytest.raises(InputError, match="no outcome 'death'; use one of DIE_1y, DIE_any"):
        build_patients(hospital(), outcome="death")
    with pytest.raises(InputError, match="no code level 'chapter'"):
        build_patients(hospital(), code_level="chapter")
    with pytest.raises(InputError, match="table 'diagnoses' is missing"):
        build_patients({k: v for k, v in hospital().items() if k != "diagnoses"})


@pytest.mark.parametrize("take", [ehrsynth.describe, ehrsynth.build_patients])
def test_something_else_than_the_tables_is_refused_in_one_sentence(take):
    with pytest.raises(InputError, match="A DataFrame is not a data set; give the tables that"):
        take(hospital()["patients"])
    with pytest.raises(InputError, match="table 'admissions' is missing"):
        take({"patients": hospital()["patients"]})


def test_nobody_has_a_code_or_a_measurement():
    tables = hospital()
    tables["diagnoses"] = tables["diagnoses"].iloc[:0]
    tables["measurements"] = tables["measurements"].iloc[:0]
    patients = build_patients(tables)
    assert list(patients.columns)[-1] == "diastolic"
    assert patients[["bmi", "systolic", "diastolic"]].isna().all(axis=None)


# -- split -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def patients():
    return build_patients(datasets.load("simulated", patients=1_500, seed=2))


def test_split_is_a_partition_with_equal_shares_of_the_outcome(patients):
    marked = patients.assign(row=range(len(patients)))
    train, holdout = split(marked, holdout=0.3, seed=1)
    assert len(holdout) == round(0.3 * len(patients))
    assert sorted([*train["row"], *holdout["row"]]) == list(range(len(patients)))
    assert holdout["DIE_1y"].mean() == pytest.approx(train["DIE_1y"].mean(), abs=0.003)
    assert list(train.index) == list(range(len(train)))


def test_split_keeps_the_schema_and_depends_on_the_seed(patients):
    train, holdout = split(patients, seed=1)
    assert Schema.of(train) == Schema.of(holdout) == Schema.of(patients)
    again, _ = split(patients, seed=1)
    other, _ = split(patients, seed=2)
    pd.testing.assert_frame_equal(train, again)
    assert not train.equals(other)


def test_split_leaves_no_pattern_of_the_file(patients):
    """Every row has the same chance, wherever it stands."""
    marked = pd.DataFrame({"row": range(len(patients)), "DIE_1y": patients["DIE_1y"]})
    marked = schema_of(marked.assign(row=marked["row"] / 2), "DIE_1y").attach(marked)
    counts = np.zeros(len(patients))
    for seed in range(200):
        counts[split(marked, holdout=0.3, seed=seed)[1]["row"]] += 1
    assert counts.min() > 25 and counts.max() < 95  # 60 expected, SD 6.5
    assert abs(counts[: len(counts) // 2].mean() - 60) < 1


@pytest.mark.parametrize("size", [2, 3, 7])
def test_a_tiny_table_can_be_split(patients, size):
    train, holdout = split(patients.head(size), holdout=0.3, seed=0)
    assert len(train) >= 1 and len(holdout) >= 1 and len(train) + len(holdout) == size


@pytest.mark.parametrize("share", [0, 1, -0.1, 30])
def test_a_wrong_share_is_refused(patients, share):
    with pytest.raises(InputError, match=f"share of the holdout is {share}"):
        split(patients, holdout=share)


def test_one_patient_cannot_be_split(patients):
    with pytest.raises(InputError, match="1 patients cannot be split"):
        split(patients.head(1))


# -- as a user calls it, and at size -----------------------------------------------------


def test_the_package_offers_them():
    tables = ehrsynth.load("simulated", patients=200, seed=0)
    train, holdout = ehrsynth.split(ehrsynth.build_patients(tables), seed=0)
    assert len(train) > len(holdout) > 0
    assert ehrsynth.describe(tables)["patients"] == 200


def test_a_plain_loop_gives_the_same():
    """The reference: one patient at a time, in the words of the cohort's definition."""
    tables = datasets.load("simulated", patients=150, seed=4)
    patients = build_patients(tables)
    from ehrsynth.phecode import map_icd

    mapped = map_icd(tables["diagnoses"])
    rows = []
    for subject in sorted(tables["patients"]["subject_id"]):
        person = tables["patients"].set_index("subject_id").loc[subject]
        stays = tables["admissions"].query("subject_id == @subject").sort_values("admit_time")
        if stays.empty or stays["died_in_hospital"].any():
            continue
        index = stays.iloc[-1]
        row = {"age": min(person["anchor_age"] + index["admit_time"].year
                          - person["anchor_year"], 91)}  # fmt: skip
        days = (person["death_date"] - index["discharge_time"].normalize()).days
        row["DIE_1y"] = int(pd.notna(person["death_date"]) and days <= 365)
        known = tables["measurements"].query("subject_id == @subject")
        known = known[known["time"] <= index["discharge_time"]]
        for name in ("bmi", "systolic", "diastolic"):
            values = known[known["name"] == name].sort_values("time", kind="stable")["value"]
            row[name] = values.iloc[-1] if len(values) else np.nan
        if row["diastolic"] >= row["systolic"]:
            row["systolic"] = row["diastolic"] = np.nan
        codes = mapped.loc[mapped["subject_id"] == subject, "phecode"]
        row |= {f"phe_{code}": 1 for code in set(codes)}
        rows.append(row)
    reference = pd.DataFrame(rows)
    codes = [c for c in patients if c.startswith("phe_")]
    assert sorted(c for c in reference if c.startswith("phe_")) == codes
    reference[codes] = reference[codes].fillna(0)
    for name in reference:
        np.testing.assert_array_equal(
            patients[name].to_numpy(float), reference[name].to_numpy(float)
        )


def test_it_is_vectorized():
    tables = datasets.load("simulated", patients=10_000, seed=0)
    start = time.process_time()
    build_patients(tables)
    assert time.process_time() - start < 6  # about half a second on an idle core
