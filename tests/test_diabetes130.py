"""Diabetes 130-US hospitals."""

import itertools

import pandas as pd
import pytest

from ehrsynth import datasets
from ehrsynth.cohort import split
from ehrsynth.datasets import build_patients
from ehrsynth.errors import InputError
from ehrsynth.schema import MISSING, Schema
from ehrsynth.sources import diabetes130


@pytest.fixture(scope="module")
def tables(shared_data):
    return datasets.load("diabetes130", data=shared_data / "diabetes130")


@pytest.fixture(scope="module")
def patients(tables):
    return build_patients(tables)


NUMBERS = itertools.count(1_000)  # no two encounters have the same


def of_kind(kind):
    table = diabetes130._TABLE
    return table.loc[table["kind"] == kind, "file"]


def row(**changes):
    """One encounter as the file has it."""
    values = {"encounter_id": str(next(NUMBERS)), "patient_nbr": "1", "race": "Caucasian",
              "gender": "Female", "age": "[70-80)", "weight": "?", "payer_code": "MC",
              "medical_specialty": "?",
              "readmitted": "NO", "max_glu_serum": "None", "A1Cresult": "None", "change": "No",
              "diabetesMed": "No", "diag_1": "38", "diag_2": "250.02", "diag_3": "?"}  # fmt: skip
    values |= dict.fromkeys(diabetes130._CODED, "1") | dict.fromkeys(of_kind("count"), "3")
    values |= dict.fromkeys(of_kind("dose"), "No")
    return values | changes


@pytest.fixture
def write(tmp_path):
    def write(*rows, drop=()):
        path = tmp_path / "diabetic_data.csv"
        pd.DataFrame(rows).drop(columns=list(drop)).to_csv(path, index=False)
        return path

    return write


# -- the real file -----------------------------------------------------------------------


def test_known_figures(tables):
    facts = datasets.describe(tables)
    assert facts["encounters"] == 101_766
    assert facts["patients"] == 71_518
    assert facts["patients with more than one encounter"] == 16_773
    assert facts["encounters without readmission (%)"] == 53.9
    assert facts["encounters with readmission later (%)"] == 34.9
    assert facts["encounters with readmission within 30 days (%)"] == 11.2
    assert facts["first encounters with readmission within 30 days (%)"] == 8.8
    assert facts["share of diagnosis entries mapped to a phecode (%)"] == 93.1


def test_the_patient_table(patients):
    assert len(patients) == 69_973 - 3  # dead and hospice out, then unknown sex
    train, _ = split(patients)
    assert len(train) == 48_979
    assert patients["readmitted_30d"].mean() == pytest.approx(0.0897, abs=1e-4)
    schema = Schema.of(patients)
    assert list(patients.columns) == schema.names
    assert (schema.outcome, schema.sex) == ("readmitted_30d", "sex")
    assert len(schema.of_role("diagnosis")) > 350
    assert not {"examide", "citoglipton", "weight"} & set(patients.columns)
    assert patients.nunique().min() >= 2
    assert not patients.isna().any(axis=None)


def test_kinds(patients):
    schema = Schema.of(patients)
    assert schema["age"].categories[0] == "0-9" and schema["age"].categories[-1] == "90-99"
    assert schema["race"].categories[-1] == MISSING
    assert schema["A1Cresult"].categories == ("None", "Norm", ">7", ">8")
    assert schema["insulin"].categories == ("No", "Down", "Steady", "Up")
    assert schema["tolbutamide"].kind == "binary"  # only No and Steady occur
    assert schema["time_in_hospital"].decimals == 0
    assert "Discharged to home" in schema["discharged_to"].categories
    assert MISSING in schema["admission_type"].categories
    for column in schema.columns:
        if column.kind == "categorical":
            assert tuple(patients[column.name].cat.categories) == column.categories
            assert patients[column.name].value_counts().min() > 0


def test_none_means_not_measured_and_is_not_missing(patients):
    assert (patients["A1Cresult"] == "None").mean() == pytest.approx(0.82, abs=0.01)
    assert (patients["max_glu_serum"] == "None").mean() > 0.9


def test_leaves_are_more_than_whole_phecodes(tables, patients):
    leaves = Schema.of(build_patients(tables, code_level="leaf")).of_role("diagnosis")
    assert len(leaves) > 1.3 * len(Schema.of(patients).of_role("diagnosis"))


# -- its traps ---------------------------------------------------------------------------


def test_leading_zeros_come_back():
    table = pd.DataFrame({"diag_1": ["38", "8", "250.8"], "diag_2": ["V57", "E885", "?"],
                          "diag_3": ["5", "414.01", "41.09"]})  # fmt: skip
    codes = diabetes130.diagnoses(table)
    assert codes["icd_code"].tolist() == ["038", "008", "2508", "V57", "E885", "005", "41401",
                                          "04109"]  # fmt: skip
    assert codes["subject_id"].tolist() == [0, 1, 2, 0, 1, 0, 1, 2]
    assert set(codes["icd_version"]) == {9}


def test_first_encounter_dead_hospice_and_unknown_sex(write):
    path = write(
        row(encounter_id="20", patient_nbr="1", readmitted="<30"),
        row(encounter_id="10", patient_nbr="1", gender="Male"),  # the first of patient 1
        row(encounter_id="30", patient_nbr="2", discharge_disposition_id="11"),
        row(encounter_id="40", patient_nbr="3", discharge_disposition_id="13"),
        row(encounter_id="50", patient_nbr="4", gender="Unknown/Invalid"),
        row(encounter_id="60", patient_nbr="5", readmitted="<30"),
        row(encounter_id="70", patient_nbr="6", readmitted=">30"),
    )
    patients = build_patients(datasets.load("diabetes130", data=path))
    assert patients["sex"].tolist() == ["M", "F", "F"]
    assert patients["readmitted_30d"].tolist() == [0, 1, 0]
    assert patients["phe_038"].tolist() == [1, 1, 1]


def test_without_the_labels_the_numbers_stay(write):
    path = write(row(readmitted="<30", patient_nbr="2", admission_type_id="3"), row())
    tables = datasets.load("diabetes130", data=path)
    assert set(build_patients(tables)["admission_type"]) == {"1", "3"}


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [("num_medications", "many", "a whole number but is another text in row 2"),
     ("time_in_hospital", "2.5", "a whole number but is another text in row 2"),
     ("number_diagnoses", "", "a whole number but is nothing in row 2"),
     ("gender", "female", "one of Female, Male, Unknown/Invalid but is another text in row 2"),
     ("age", "75", r"one of \[0-10\), .* but is another text in row 2"),
     ("readmitted", "YES", "one of <30, >30, NO but is another text in row 2"),
     ("insulin", "Some", "one of No, Down, Steady, Up but is another text in row 2"),
     ("A1Cresult", "", "one of None, Norm, >7, >8 but is nothing in row 2")],
)  # fmt: skip
def test_a_wrong_value_is_named(write, column, value, reason):
    path = write(row(), row(patient_nbr="2", **{column: value}))
    with pytest.raises(InputError, match=f"Column '{column}' of .*diabetic_data.csv .*{reason}"):
        datasets.load("diabetes130", data=path)


def test_other_wrong_input_is_named(write, tmp_path):
    with pytest.raises(InputError, match="diabetic_data.csv is missing; fetch it with"):
        datasets.load("diabetes130", data=tmp_path)
    with pytest.raises(InputError, match="Column 'diag_2' is missing from .*diabetic_data.csv"):
        datasets.load("diabetes130", data=write(row(), drop=["diag_2"]))
    path = write(row())
    pd.read_csv(path).iloc[:0].to_csv(path, index=False)
    with pytest.raises(InputError, match="diabetic_data.csv has no rows"):
        datasets.load("diabetes130", data=path)


def test_an_empty_cohort_and_one_class_are_refused(write):
    tables = datasets.load("diabetes130", data=write(row(discharge_disposition_id="11")))
    with pytest.raises(InputError, match="No patient is left .* of 1 patients 1 died or"):
        build_patients(tables)
    tables = datasets.load("diabetes130", data=write(row(), row(patient_nbr="2")))
    with pytest.raises(InputError, match="'readmitted_30d' is 0 for all 2 patients"):
        build_patients(tables)
    with pytest.raises(InputError, match="Unknown outcome 'DIE_1y'; diabetes130 has readmitted"):
        build_patients(tables, outcome="DIE_1y")
