"""An outcome of one's own: codes within some days after the index admission."""

import json

import pandas as pd
import pytest
from test_omop import as_csv, toy

from ehrsynth.datasets import build_patients
from ehrsynth.errors import InputError
from ehrsynth.phenotype import Phenotype, read
from ehrsynth.pipeline import Pipeline
from ehrsynth.schema import Schema
from ehrsynth.sources import omop

# Everybody has one stay of nine days; then comes what is told of him, by days after the discharge.
STORIES = {
    1: [("I50.9", 10, 30)],
    2: [("i509", 10, 90)],  # the last day that counts
    3: [("I509", 10, 91)],
    4: [("I509", 10, 0)],  # the day of the discharge: known before
    5: [("I5", 10, 30)],  # above the code, not below
    6: [("I509", 9, 30)],  # of the other version
    7: [("428.0", 9, 1)],
    8: [("I509", 10, -5), ("I509", 10, 30)],
    9: [("J189", 10, 30)],
    10: [],
    11: [("I509", 10, 30)],  # whose stay ends too late to know
}
END = "2012-12-31"


def hospital(stories=STORIES):
    people = list(stories)
    begin = pd.Series("2012-01-01", people).mask([who == 11 for who in people], "2012-11-01")
    begin = pd.to_datetime(begin)
    stays = pd.DataFrame({"subject_id": people, "hadm_id": people, "admit_time": begin.array,
                          "discharge_time": (begin + pd.Timedelta(days=9)).array,
                          "died_in_hospital": False, "race": "WHITE"})  # fmt: skip
    last = stays.tail(1).assign(subject_id=99, hadm_id=99, admit_time=pd.Timestamp(END),
                                discharge_time=pd.Timestamp(END))  # fmt: skip
    out = stays.set_index("subject_id")["discharge_time"]
    rows = [(who, out[who] + pd.Timedelta(days=day), code, version)
            for who, events in stories.items() for code, version, day in events]  # fmt: skip
    diagnoses = pd.DataFrame(rows, columns=["subject_id", "time", "icd_code", "icd_version"])
    named = [who for who in (9, 10) if who in stories]
    concepts = pd.DataFrame({"subject_id": named, "time": out[named].array, "code": "77",
                             "label": "x"})  # fmt: skip
    concepts["time"] += pd.Timedelta(days=20)
    return {
        "patients": pd.DataFrame({"subject_id": [*people, 99], "sex": "F", "anchor_age": 50,
                                  "anchor_year": 2012, "death_date": pd.NaT}),
        "admissions": pd.concat([stays, last], ignore_index=True),
        "diagnoses": diagnoses.assign(concept=[501] * len(rows)),
        "concepts": concepts,
        "measurements": pd.DataFrame({"subject_id": people, "time": begin.array, "name": "bmi",
                                      "value": 25.0, "unit": "kg/m2"}),
    }  # fmt: skip


FAILURE = Phenotype("hf", "Heart failure", icd9=("428",), icd10=("I50",), within_days=90)


def outcome(phenotype, tables=None):
    """Who is in the cohort, by his number, and the outcome; what is said of who is not."""
    tables = tables or hospital()
    # The body mass index tells who is who.
    values = tables["measurements"]["subject_id"].astype(float) + 10
    tables = tables | {"measurements": tables["measurements"].assign(value=values)}
    patients = build_patients(tables, outcome=phenotype)
    who = (patients["bmi"] - 10).astype(int)
    left_out = {row["what"]: row["rows"] for row in patients.attrs["quality"]}
    return dict(zip(who, patients[phenotype.name], strict=True)), left_out


def test_who_has_the_outcome_who_has_not_and_who_is_left_out():
    found, left_out = outcome(FAILURE)
    # 4 and 8 had it before; 11 (and 99) are not seen for 90 days.
    assert found == {1: 1, 2: 1, 3: 0, 5: 0, 6: 0, 7: 1, 9: 0, 10: 0}
    assert left_out["the outcome already up to the index discharge"] == 2
    assert left_out["no admission whose following 90 days are known"] == 2
    schema = Schema.of(build_patients(hospital(), outcome=FAILURE))
    assert schema.outcome == "hf"
    assert schema["hf"].label == "Heart failure within 90 days of discharge"


def test_prior_codes_can_be_kept_and_do_not_make_the_outcome():
    found, left_out = outcome(Phenotype(**vars(FAILURE) | {"prior": "keep"}))
    assert found == {1: 1, 2: 1, 3: 0, 4: 0, 5: 0, 6: 0, 7: 1, 8: 1, 9: 0, 10: 0}
    assert "the outcome already up to the index discharge" not in left_out


def test_days_are_counted_from_the_admission_when_that_is_said():
    """Nine days earlier; what is written until the discharge is known all the same."""
    found, _ = outcome(Phenotype(**vars(FAILURE) | {"after": "admission", "within_days": 39}))
    assert found[1] == 1 and found[2] == 0 and found[7] == 1
    found, _ = outcome(Phenotype(**vars(FAILURE) | {"after": "admission", "within_days": 38}))
    assert found[1] == 0
    kept = {"after": "admission", "within_days": 39, "prior": "keep"}
    found, _ = outcome(Phenotype(**vars(FAILURE) | kept))
    assert found[4] == 0 and found[8] == 1  # of 8 not what was written in the stay


def test_concepts_of_conditions_with_and_without_an_icd_code():
    found, _ = outcome(Phenotype("x", concepts=(77,), within_days=90))
    assert {who for who, has in found.items() if has} == {9, 10}
    found, _ = outcome(Phenotype("x", concepts=(501,), within_days=90, prior="keep"))
    assert {who for who, has in found.items() if has} == {1, 2, 5, 6, 7, 8, 9}


def test_the_concept_of_a_coded_condition_is_read_from_omop(tmp_path):
    tables = omop.scan(as_csv(toy(), tmp_path / "db"))
    assert "concept" in tables["diagnoses"].columns
    wanted = Phenotype("dm", icd10=("E11",), concepts=(320128,), within_days=100, prior="keep")
    patients = build_patients(tables, outcome=wanted)
    # Of person 1 the first stay is too old a story: the second ends 100 days before the end.
    assert patients["dm"].tolist() == [1, 0, 0]


def test_a_shifted_calendar_has_no_phenotype():
    tables = hospital()
    tables["diagnoses"] = tables["diagnoses"].drop(columns="time")
    with pytest.raises(InputError, match="only OMOP has: MIMIC-IV's are shifted"):
        build_patients(tables, outcome=FAILURE)


def test_without_deaths_another_outcome_is_chosen_and_said():
    stories = {who: [("I10", 10, 0)] for who in range(100, 140)}
    tables = hospital(stories)
    again = tables["admissions"].iloc[:15].assign(
        hadm_id=range(500, 515), admit_time=pd.Timestamp("2012-06-01"),
        discharge_time=pd.Timestamp("2012-06-02"),
    )  # fmt: skip
    end = pd.Timestamp("2013-03-20")
    late = tables["admissions"].tail(1).assign(hadm_id=999, admit_time=end, discharge_time=end)
    tables["admissions"] = pd.concat([tables["admissions"], again, late], ignore_index=True)
    patients = build_patients(tables)
    assert Schema.of(patients).outcome == "VISIT_1y" and patients["VISIT_1y"].sum() == 15
    (said,) = [row for row in patients.attrs["quality"] if "smaller class of DIE_1y" in row["what"]]
    assert said["rows"] == 0 and "the outcome is VISIT_1y (another admission" in said["done"]
    tables["patients"]["death_date"] = pd.Timestamp("2012-07-01")
    tables["patients"].loc[20:, "death_date"] = pd.NaT
    usual = build_patients(tables)
    assert Schema.of(usual).outcome == "DIE_1y"
    assert not [row for row in usual.attrs["quality"] if "smaller class" in row["what"]]


# -- the file ------------------------------------------------------------------------------


def test_a_file_says_it_all(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("name: hf\nlabel: Heart failure\nicd9: 428\nicd10: [I50, I11.0]\nconcepts: 7\n")
    with pytest.raises(InputError, match="says icd9 428; use a list of texts"):
        read(path)
    path.write_text('name: hf\nicd9: "428"\nicd10: [I50, I11.0]\nconcepts: 7\nwithin_days: 30\n')
    assert read(path) == Phenotype("hf", "", ("428",), ("I50", "I11.0"), (7,), 30)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"icd10": ["I50"]}, "should say the name"),
        ({"name": "hf"}, "has no codes; list some"),
        ({"name": "h f", "icd10": ["I50"]}, "says name 'h f'; use a word"),
        ({"name": "hf", "icd10": ["*"]}, "use a list of texts"),
        ({"name": "hf", "concepts": ["316139"]}, "use a list of numbers"),
        ({"name": "hf", "icd10": ["I50"], "within_days": 0}, "a whole number of 1 or more"),
        ({"name": "hf", "icd10": ["I50"], "after": "birth"}, "use discharge or admission"),
        ({"name": "hf", "icd10": ["I50"], "prior": True}, "use exclude or keep"),
        ({"name": "hf", "icd11": ["I50"]}, "has the key 'icd11'; use name, label"),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(tmp_path, content, words):
    path = tmp_path / "p.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=words.replace("*", r"\*")):
        read(path)


def test_a_run_takes_the_file_and_notes_what_it_said(tmp_path):
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"name": "dm", "icd10": ["E11"], "within_days": 100}))
    given = {"dataset": "omop", "data": as_csv(toy(), tmp_path / "db"), "phenotype": path}
    Pipeline(out=tmp_path / "run", **given)
    noted = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["phenotype"]
    assert "name='dm'" in noted and "within_days=100" in noted
    path.write_text(json.dumps({"name": "dm", "icd10": ["E11"], "within_days": 99}))
    with pytest.raises(InputError, match="holds a run with phenotype"):
        Pipeline(out=tmp_path / "run", **given)
    with pytest.raises(InputError, match="not both: a phenotype is an outcome"):
        Pipeline(out=tmp_path / "other", outcome="DIE_1y", **given)
