"""What a hospital writes in odd ways is read rightly, and what cannot be true is counted."""

import json

import numpy as np
import pandas as pd
import pytest
from test_mimic_iv import raw
from test_omop import as_csv, clinic

from ehrsynth import datasets
from ehrsynth.datasets import build_patients
from ehrsynth.errors import InputError
from ehrsynth.evaluation.report import Report
from ehrsynth.schema import MISSING, Schema
from ehrsynth.sources import cells, engine, mimic_iv, omop, quality
from ehrsynth.sources.quality import Finding

DAYS = ["2017-11-04", "1999-02-28", "2016-02-29", "2001-12-31"]


@pytest.fixture(scope="module")
def con():
    return engine.connect(threads=1)


def read(con, said, **columns):
    table = engine.hand_over(con, "made_up", pd.DataFrame(columns), rows=True)
    found, findings = cells.read("t", said, lambda _: table, "Table 't'", con)
    return engine.collect(found), findings


# -- dates -------------------------------------------------------------------------------


def since_1970(unit):
    return ((pd.to_datetime(DAYS) - pd.Timestamp(0)) // pd.Timedelta(1, unit)).tolist()


@pytest.mark.parametrize(
    ("written", "form"),
    [
        (DAYS, None),
        ([f"{day}T23:59:59Z" for day in DAYS], None),  # the clock is the hospital's
        ([f"{day} 00:30:00+09:00" for day in DAYS], None),
        ([f" {day} 10:00:00.25 UTC" for day in DAYS], None),
        ([day.replace("-", "") for day in DAYS], "20171104"),
        ([int(day.replace("-", "")) for day in DAYS], "20171104"),
        ([float(day.replace("-", "")) for day in DAYS], "20171104"),
        ([day.replace("-", "") + "235900" for day in DAYS], "20171104"),
        (since_1970("D"), "17474"),
        ([f"{n}.0" for n in since_1970("D")], "17474"),
        (since_1970("s"), "1509753600"),
        ([str(n) for n in since_1970("ms")], "1509753600000"),
        (since_1970("us"), "1509753600000000"),
        (since_1970("ns"), "1509753600000000000"),
        (["04/11/2017", "28/2/1999", "29.02.2016", "31/12/2001 00:00"], "31/12/2017"),
        (["11/04/2017", "2/28/1999", "02/29/2016", "12/31/2001"], "12/31/2017"),
        (["04-NOV-2017", "28feb1999", "29 Feb 2016", "31-December-2001"], "31-DEC-2017"),
        (pd.to_datetime(DAYS).tz_localize("UTC"), None),
        (list(pd.to_datetime(DAYS).date), None),
    ],
)
def test_a_date_is_read_in_the_form_of_its_whole_column(con, written, form):
    table, found = read(con, {"day": "date"}, day=written)
    assert table["day"].dt.strftime("%Y-%m-%d").tolist() == DAYS
    assert found == (
        [] if form is None else [Finding("t", f"day like {form}", 4, 4, "read as dates")]
    )


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (
            ["03/04/2017", "05/06/2017", "01/01/2018"],
            "nobody can misread, but has another text in row 1",
        ),
        ([2017, 2018, 1999], "nobody can misread, but has another text in row 1"),
        (["soon", "later", "2017-01-01"], "12:00:00 but has another text in row 1"),
        (["2017-01-01", None, None], "but has nothing in row 2"),
    ],
)
def test_a_column_that_is_unclear_as_a_whole_is_refused(con, written, shown):
    with pytest.raises(InputError, match=shown):
        read(con, {"day": "date"}, day=written)


# -- cells -------------------------------------------------------------------------------

BIG = [2**53 + 1, 2**53, 2**53 + 3, 5]


@pytest.mark.parametrize("write", [int, str, "{}.0".format, " {} ".format, "+{}".format])
def test_large_numbers_stay_apart(con, write):
    table, found = read(con, {"person": "whole"}, person=[write(n) for n in BIG])
    assert table["person"].tolist() == BIG and found == []


def test_numbers_that_have_lost_their_end_are_refused(con):
    with pytest.raises(
        InputError, match="Column 'person' .* whole numbers but has another text in row 1"
    ):
        read(con, {"person": "whole"}, person=[float(n) for n in BIG])


@pytest.mark.parametrize(
    ("kind", "written", "values", "found"),
    [
        ("whole", ["1", "2", "1O", "61.5", "3"], [1, 2, 3], [("unreadable c", 2, "left out")]),
        ("whole", ["1", "\\N", "NULL", "4", " 5"], [1, 4, 5], [("no c", 2, "left out")]),
        ("whole?", ["1", "", "x", "3"], [1, None, None, 3],
         [("unreadable c", 1, "counted as not known")]),
        ("whole? 0..120", [50, -1, 300, 120, 0], [50, None, None, 120, 0],
         [("unreadable c", 2, "counted as not known")]),
        ("text? F|M", ["f", "Male", "U", "\\N", "F"], ["F", "M", None, None, "F"],
         [("unreadable c", 1, "counted as not known")]),
        ("number?", ["1e3", "2,5", "nan", "-1.5"], [1000, None, None, -1.5],
         [("unreadable c", 1, "counted as not known")]),
        ("text", ["a", "NA ", "038", "b"], ["a", "038", "b"], [("no c", 1, "left out")]),
    ],
)  # fmt: skip
def test_a_cell_that_cannot_be_read_is_counted(con, kind, written, values, found):
    table, findings = read(con, {"c": kind}, c=written)
    assert table["c"].astype(object).where(table["c"].notna(), None).tolist() == values
    assert [(f.what, f.rows, f.done) for f in findings] == found
    assert {f.of for f in findings} <= {len(written)}


def test_a_needed_column_that_is_blank_in_most_rows_is_refused(con):
    with pytest.raises(InputError, match="Column 'c' .* whole numbers but has nothing in row 2"):
        read(con, {"c": "whole"}, c=["1", "", "\\N"])
    table, findings = read(con, {"c": "whole"}, c=["1", "", "\\N", "2"])
    assert table["c"].tolist() == [1, 2] and findings[0].rows == 2


def test_names_of_columns_may_be_in_capitals(con):
    said = {"person": "whole", "day": "date?"}
    table, found = read(con, said, **{"\ufeffPERSON": [1], " Day": ["2017-11-04"]})
    assert list(table) == ["person", "day"] and found == []
    table, _ = read(con, said, person=[1])
    assert table["day"].isna().all()


def test_the_same_row_twice_counts_once(con):
    frame = pd.DataFrame({"key": [1, 2, 2, 2], "sex": ["F", "M", "M", "M"]})
    table, found = cells.once("t", "key", engine.hand_over(con, "twice", frame), "Table 't'")
    assert sorted(engine.collect(table)["key"]) == [1, 2]
    assert found == [Finding("t", "the same key and all else", 2, 4, "left out")]
    other = engine.hand_over(con, "other", frame.assign(sex=list("FMFM")))
    with pytest.raises(InputError, match="'key' of Table 't' has the same number in 1 more rows"):
        cells.once("t", "key", other, "Table 't'")


# -- times that make sense ---------------------------------------------------------------


def spoiled(table, **values):
    """MIMIC-IV's tables of two people, with other values in the rows (row, value) of a table."""
    tables = raw()
    for column, (row, value) in values.items():
        frame = tables[table]
        text = frame[column].astype("str").astype(object).where(frame[column].notna(), None)
        text.loc[row] = None if value is None else str(value)
        tables[table] = frame.assign(**{column: text})
    return tables


def findings(tables):
    return {row.what: (row.rows, row.of, row.done) for row in tables["quality"].itertuples()}


NEVER = "before the birth or past the age of 120"
NOT_USED = "the date of death is not used"


@pytest.mark.parametrize(
    ("table", "changes", "found", "left"),
    [
        ("patients", {"dod": (1, "1900-01-01")}, {f"a death {NEVER}": (1, 2, NOT_USED)},
         {"deaths": 0}),
        ("patients", {"dod": (1, "9999-12-31")}, {f"a death {NEVER}": (1, 2, NOT_USED)},
         {"deaths": 0}),
        ("patients", {"dod": (1, "2149-12-31")},
         {"a death before the last admission begins": (1, 2, NOT_USED)}, {"deaths": 0}),
        ("patients", {"dod": (1, "2150-01-01")}, {}, {"deaths": 1}),
        ("admissions", {"dischtime": (0, "2149-12-31 09:00")},
         {"an end before the beginning": (1, 2, "taken to end as it begins")}, {}),
        ("admissions", {"dischtime": (0, None)},
         {"no end, or one past the age of 120": (1, 2, "taken to end as it begins")}, {}),
        ("admissions", {"dischtime": (0, "2999-01-01")},
         {"no end, or one past the age of 120": (1, 2, "taken to end as it begins")}, {}),
        ("admissions", {"admittime": (0, "1970-01-01")},
         {f"a beginning {NEVER}": (1, 2, "left out")}, {"admissions": 1}),
        ("admissions", {"subject_id": (0, 77)}, {"no such patient": (1, 2, "left out")},
         {"admissions": 1}),
        ("admissions", {"hospital_expire_flag": (0, "?")},
         {"unreadable hospital_expire_flag": (1, 2, "left out")}, {"admissions": 1}),
        ("diagnoses_icd", {"subject_id": (0, 77)}, {"no such patient": (1, 2, "left out")}, {}),
        ("omr", {"result_value": (1, "120/")},
         {"no pressure like 110/70": (1, 2, "counted as not measured")}, {}),
        ("omr", {"chartdate": (0, "1900-01-01")}, {f"a date {NEVER}": (2, 5, "kept")}, {}),
    ],
)  # fmt: skip
def test_what_cannot_be_true_is_counted(table, changes, found, left):
    tables = mimic_iv.from_frames(spoiled(table, **changes))
    if table == "omr" and "chartdate" in changes:  # of the measurements, without the rest of omr
        found = {f"a date {NEVER}": (1, 5, "kept")}
    assert findings(tables) == found
    assert tables["patients"]["death_date"].notna().sum() == left.get("deaths", 1)
    assert len(tables["admissions"]) == left.get("admissions", 2)
    admissions = tables["admissions"]
    assert (admissions["discharge_time"] >= admissions["admit_time"]).all()
    assert (admissions["discharge_time"].dt.year == 2150).all()


def test_a_death_between_two_admissions_is_none():
    """It is before the last admission, if not before the first."""
    tables = spoiled("patients", dod=(1, "2149-12-31"))
    dead = tables["patients"]["subject_id"].iloc[1]
    admissions = tables["admissions"].astype({"admittime": str, "dischtime": str})
    admissions.loc[0, ["subject_id", "admittime", "dischtime"]] = [
        dead, "2149-06-01 08:00:00", "2149-06-03 08:00:00",
    ]  # fmt: skip
    found = mimic_iv.from_frames(tables | {"admissions": admissions})
    what = "a death before the last admission begins"
    assert findings(found)[what] == (1, 2, NOT_USED)
    assert found["patients"]["death_date"].isna().all()


def test_most_of_a_table_cannot_be_an_error_of_single_rows():
    with pytest.raises(InputError, match="in fewer than 5 rows of omr.*which is most of them"):
        mimic_iv.from_frames(spoiled("omr", result_value=(slice(1, 2), "110-70")))
    with pytest.raises(
        InputError, match="in fewer than 5 rows of admissions.*which is most of them"
    ):
        mimic_iv.from_frames(spoiled("admissions", admittime=(slice(0, 1), "1950-01-01")))


def test_an_age_or_sex_that_nobody_knows_is_missing_and_no_reason_to_be_left_out():
    frames = spoiled("patients", anchor_age=(0, 300), gender=(1, "?"))
    patients = build_patients(mimic_iv.from_frames(frames))
    assert patients["age"].isna().tolist() == [True, False]
    assert patients["sex"].tolist() == ["F", MISSING]


def test_after_a_death_there_is_only_paperwork(tmp_path):
    """A death before all visits is none; visits after one are left out, and it counts."""
    tables = clinic(n=200, deaths=0.3, seed=3)
    visit, death = tables["visit_occurrence"], tables["death"]
    visit["visit_concept_id"] = 9202  # nobody stays, so every visit counts
    first = visit.groupby("person_id")["visit_start_date"].min()
    after = visit.groupby("person_id")["visit_start_date"].max()
    early, late = death["person_id"].iloc[:10], death["person_id"].iloc[10:30]
    death.loc[death.index[:10], "death_date"] = first[early].to_numpy() - np.timedelta64(9, "D")
    death.loc[death.index[10:30], "death_date"] = after[late].to_numpy() - np.timedelta64(1, "D")
    found = omop.scan(as_csv(tables, tmp_path / "db"))
    several = visit["person_id"].value_counts()[late].gt(1).sum()
    counts = findings(found)
    alone = int(len(late) - several)  # their only visit is the one after the death
    assert counts["a death before the first admission begins"] == (10 + alone, 200, NOT_USED)
    assert counts["a beginning after the death"][0] == several
    dead = engine.collect(found["patients"]).set_index("subject_id")["death_date"].notna()
    assert not dead[early].any() and dead[late].sum() == several


def test_who_is_not_in_the_cohort_is_counted(caplog):
    caplog.set_level("INFO", "ehrsynth")
    frames = raw()
    frames["patients"] = pd.concat([frames["patients"], frames["patients"].assign(
        subject_id=[3, 4], dod=pd.NaT)])  # fmt: skip
    again = frames["admissions"].assign(subject_id=[3, 3], hadm_id=[13, 14])
    again["hospital_expire_flag"] = [0, 1]
    frames["admissions"] = pd.concat([frames["admissions"], again])
    omr = frames["omr"]
    omr.loc[1, "result_value"] = "70/110"
    patients = build_patients(mimic_iv.from_frames(frames | {"omr": omr}))
    assert patients.attrs["quality"] == [
        {"table": "patients", "what": "no admission", "rows": 1, "of": 4,
         "done": "left out of the cohort"},
        {"table": "patients", "what": "a death in hospital", "rows": 1, "of": 4,
         "done": "left out of the cohort"},
        {"table": "the cohort", "what": "a lower blood pressure that is not below the upper one",
         "rows": 1, "of": 2, "done": "counted as not measured"},
    ]  # fmt: skip
    assert (
        "A death in hospital in fewer than 5 rows of patients: left out of the cohort."
        in caplog.text
    )


# -- public reports ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def cases(shared_data):
    """Inputs made after public bug reports, which are kept beside the public data."""
    folder = shared_data.parent / "cases"
    if not folder.is_dir():
        pytest.skip(f"there is no folder {folder} with inputs of public bug reports")
    return {path.name[:2]: path for path in folder.iterdir() if path.is_dir()}


@pytest.mark.parametrize(
    ("case", "found"),
    [
        ("17", {"visit_start_date like 20171104": 252, "a beginning after the death": 5}),
        ("20", {"an end before the beginning": 252, "a beginning after the death": 5}),
    ],
)
def test_cases_of_omop(cases, case, found):
    tables = datasets.scan("omop", cases[case] / "omop")
    patients = build_patients(tables)
    assert len(patients) == 120 and patients["DIE_1y"].mean() == pytest.approx(0.217, abs=0.001)
    assert patients["phe_250"].sum() == 75
    assert found.items() <= {what: n for what, (n, _, _) in findings(tables).items()}.items()


def test_case_of_deaths_in_1900(cases):
    tables = datasets.scan("omop", cases["21"] / "omop")
    assert findings(tables) == {f"a death {NEVER}": (26, 120, NOT_USED)}
    assert tables["admissions"]["subject_id"].nunique().execute() == 120
    patients = build_patients(tables)  # without a death only this outcome is left
    assert Schema.of(patients).outcome == "VISIT_1y"
    lost = {row["what"]: row for row in patients.attrs["quality"]}
    lost = lost["no admission whose following year is known"]
    assert lost["rows"] + len(patients) == 120


@pytest.mark.parametrize(("case", "pressures"), [("24", 427), ("25", 428)])
def test_cases_of_mimic(cases, case, pressures):
    tables = datasets.scan("mimic-iv", cases[case])
    patients = build_patients(tables)
    assert len(patients) == 139 and patients["DIE_1y"].sum() == 16
    assert datasets.describe(tables)["blood pressures"] == pressures
    assert sum(n for n, *_ in findings(tables).values()) == 428 - pressures


def test_case_of_deaths_in_2050(cases):
    tables = datasets.scan("mimic-iv", cases["22"])
    assert sum(n for n, *_ in findings(tables).values()) == 75
    assert datasets.describe(tables)["patients with a date of death"] == 0
    with pytest.raises(InputError, match="Outcome 'DIE_1y' is 0 for all 139 patients"):
        build_patients(tables)


# -- where it is told --------------------------------------------------------------------


def test_a_run_tells_it_in_the_log_run_json_report_and_card(tmp_path, caplog):
    from ehrsynth.pipeline import Pipeline

    caplog.set_level("INFO", "ehrsynth")
    tables = clinic(n=150, deaths=0.5)
    tables["visit_occurrence"].loc[:2, "visit_end_date"] = pd.Timestamp("1999-01-01")
    run = Pipeline(out=tmp_path / "run", dataset="omop", data=as_csv(tables, tmp_path / "db"))
    facts = run.facts
    said = "An end before the beginning in fewer than 5 of"
    assert said in caplog.text
    noted = json.loads((tmp_path / "run" / "run.json").read_text())["facts"]["data quality"]
    assert {"table": "admissions", "what": "an end before the beginning", "rows": "fewer than 5",
            "done": "taken to end as it begins"}.items() <= noted[0].items()  # fmt: skip
    report = Report(metrics=[], facts=facts)
    assert "an end before the beginning in fewer than 5 of" in report.card()
    html = report.to_html(pictures=False)
    assert "Data quality" in html
    assert "<td>an end before the beginning</td><td>fewer than 5</td>" in html


def test_codes_that_one_icd_version_misses_are_a_finding_of_the_cohort():
    tables = datasets.load("simulated", patients=3_000, seed=0)
    rows = build_patients(tables).attrs["quality"]
    (found,) = [row for row in rows if "phecode" in row["what"]]
    assert all(word in found["what"] for word in ("V1582", "318", "more than chance"))
    assert 100 < found["rows"] < found["of"] and "kept" in found["done"]
    other = tables["diagnoses"].replace({"icd_code": {"V1582": "3051"}})
    mapped = build_patients(tables | {"diagnoses": other}).attrs["quality"]
    assert not [row for row in mapped if "phecode" in row["what"]]


def test_of_many_missed_codes_the_surest_are_listed_and_the_rest_is_counted():
    missed = pd.DataFrame(
        {"phecode": [str(i) for i in range(14)], "name": "N", "missed_by": 9, "codes": "V1",
         "patients": [50] * 13 + [2], "icd9": 0.1, "icd10": 0.5,
         "beyond_chance": [True] * 12 + [False] * 2}
    )  # fmt: skip
    *listed, rest = quality.missed_codes(missed, 1_000)
    assert len(listed) == 10 and rest[2:4] == (4, 14)
    assert "less than in the 10" in rest.what and "among them 10, 11, 12)" in rest.what
    (rest,) = quality.missed_codes(missed.tail(1), 1_000)  # of two patients the code is not named
    assert rest.what.endswith("no more than chance")
    assert quality.missed_codes(missed.head(0), 1_000) == []
