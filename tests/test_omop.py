"""OMOP databases: files and DuckDB, ICD codes and standard concepts, few deaths and few visits."""

import duckdb
import numpy as np
import pandas as pd
import pytest

from ehrsynth import datasets
from ehrsynth.datasets import build_patients
from ehrsynth.errors import InputError
from ehrsynth.schema import MISSING, Schema
from ehrsynth.sources import engine, omop, omop_files

DAY = np.timedelta64(1, "D")


def stamp(text):
    return pd.to_datetime(text)


def toy():
    """Four people, each there for one question; everything else is as small as it can be."""
    person = pd.DataFrame(
        {"person_id": [1, 2, 3, 4], "gender_concept_id": [8532, 8507, 0, 0],
         "year_of_birth": [1950, 1960, 1970, 2010], "race_concept_id": [8527, 0, 900, 0],
         "ethnicity_concept_id": [38003564, 38003563, 0, 0],
         "gender_source_value": ["F", "M", "male", None],
         "race_source_value": ["white", "white", "x", "black"]}
    )  # fmt: skip
    visit = pd.DataFrame(
        [(11, 1, 9201, "2010-01-01", "2010-01-05"), (12, 1, 9201, "2012-03-01", "2012-03-09"),
         (21, 2, 9201, "2013-01-01", "2013-01-02"), (22, 2, 9202, "2014-05-01", None),
         (31, 3, 9201, "2013-06-01", "2013-06-03"), (41, 4, 262, "2015-01-01", "2015-01-03")],
        columns=["visit_occurrence_id", "person_id", "visit_concept_id", "visit_start_date",
                 "visit_end_date"],
    )  # fmt: skip
    condition = pd.DataFrame(
        [
            (1, 320128, "2010-01-02", "I10", 501),  # ICD by its concept
            (1, 201826, "2012-03-01", "44054006", 201826),  # SNOMED only
            (1, 999, "2012-04-01", "E11.9", 0),  # after the index discharge
            (2, 320128, "2013-01-01", "401.9", 0),  # ICD-9 by its looks
            (2, 320128, "2013-01-01", "E11.9", 0),  # ICD-10 by its looks
            (3, 0, "2013-06-01", "nothing known", 0),  # neither
            (3, 77, "2013-06-01", None, 0),  # a concept without a name
            (4, 201826, "2015-01-01", "44054006", None),
        ],
        columns=["person_id", "condition_concept_id", "condition_start_date",
                 "condition_source_value", "condition_source_concept_id"],
    )  # fmt: skip
    measurement = pd.DataFrame(
        [(1, 1, 3038553, "2012-03-02", 27.5, None), (2, 1, 3038553, "2012-03-20", 40.0, None),
         (3, 2, 0, "2013-01-01", 131.0, "8480-6"), (4, 2, 3012888, "2013-01-01", 80.0, None),
         (5, 3, 3004249, "2013-06-01", None, None)],
        columns=["measurement_id", "person_id", "measurement_concept_id", "measurement_date",
                 "value_as_number", "measurement_source_value"],
    )  # fmt: skip
    death = pd.DataFrame({"person_id": [1, 4], "death_date": ["2013-03-08", "2020-01-01"]})
    concept = pd.DataFrame(
        [(501, "Essential (primary) hypertension", "ICD10CM", "I10"),
         (320128, "Essential hypertension", "SNOMED", "59621000"),
         (201826, "Type 2 diabetes mellitus", "SNOMED", "44054006"),
         (900, "Asian", "Race", "2")],
        columns=["concept_id", "concept_name", "vocabulary_id", "concept_code"],
    )  # fmt: skip
    tables = {"person": person, "visit_occurrence": visit, "condition_occurrence": condition,
              "measurement": measurement, "death": death, "concept": concept}  # fmt: skip
    for table in tables.values():
        for column in table:
            if column.endswith("_date"):
                table[column] = stamp(table[column])
    return tables


def as_csv(tables, folder, suffix=".csv", name=str.upper):
    folder.mkdir(exist_ok=True)
    for table, frame in tables.items():
        path = folder / f"{name(table)}{suffix}"
        if suffix == ".parquet":
            frame.to_parquet(path, index=False)
        else:
            frame.to_csv(path, index=False)
    return folder


def as_duckdb(tables, path, schema="main", name=str.lower, types=None):
    with duckdb.connect(str(path)) as con:
        con.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
        for table, frame in tables.items():
            frame = frame.rename(columns=name)
            con.register("frame", frame)
            con.execute(f'CREATE TABLE "{schema}"."{name(table)}" AS SELECT * FROM frame')
            con.unregister("frame")
    return path


def test_the_toy_database_says_what_is_known(tmp_path):
    patients = build_patients(omop.scan(as_csv(toy(), tmp_path / "db")), outcome="DIE_1y")
    expected = {
        "DIE_1y": [1, 0, 0, 0],
        "sex": ["F", "M", "M", MISSING],
        "race": ["WHITE", "HISPANIC", "ASIAN", "BLACK"],
        "age": [62.0, 53.0, 43.0, 5.0],
        "bmi": [27.5, np.nan, np.nan, np.nan],
        "systolic": [np.nan, 131.0, np.nan, np.nan],
        "diastolic": [np.nan, 80.0, np.nan, np.nan],
        "phe_250": [0, 1, 0, 0],
        "phe_401": [1, 1, 0, 0],
        "con_201826": [1, 0, 0, 1],
        "con_77": [0, 0, 1, 0],
    }
    pd.testing.assert_frame_equal(
        patients.astype(object), pd.DataFrame(expected, dtype=object), check_dtype=False
    )
    schema = Schema.of(patients)
    assert schema["con_201826"].label == "Type 2 diabetes mellitus"
    assert schema["con_201826"].role == schema["phe_401"].role == "diagnosis"
    assert schema["age"].lower == 0


def test_a_letter_of_both_versions_is_told_by_the_day_and_a_concept_is_believed(tmp_path):
    """E804 is an accident of ICD-9 or a disease of ICD-10; a concept that is no ICD is no code."""
    tables = toy()
    more = [(2, 0, "2015-09-30", "E804", 0), (2, 0, "2015-10-01", "E804", 0),
            (2, 320128, "2016-01-01", "I10", 320128)]  # fmt: skip
    rows = pd.DataFrame(more, columns=tables["condition_occurrence"].columns)
    rows["condition_start_date"] = stamp(rows["condition_start_date"])
    tables["condition_occurrence"] = rows
    diagnoses = engine.collect(omop.scan(as_csv(tables, tmp_path / "db"))["diagnoses"])
    found = diagnoses.sort_values("time")[["icd_code", "icd_version"]]
    assert found.to_numpy().tolist() == [["E804", 9], ["E804", 10]]


def test_what_has_no_code_is_counted(tmp_path, caplog):
    caplog.set_level("INFO", "ehrsynth")
    tables = omop.scan(as_csv(toy(), tmp_path / "db"))
    facts = datasets.describe(tables)
    assert facts["diagnosis rows"] == 4
    assert facts["conditions with a standard concept only"] == 3
    assert facts["conditions without any code"] == 1
    build_patients(tables, outcome="DIE_any")
    assert "fewer than 5 rows of concepts have no code and are left out." in caplog.text


@pytest.mark.parametrize(
    "write",
    [
        lambda tables, path: as_csv(tables, path / "lower", name=str.lower),
        lambda tables, path: as_csv(tables, path / "zipped", suffix=".csv.gz"),
        lambda tables, path: as_csv(tables, path / "parquet", suffix=".parquet"),
        lambda tables, path: as_duckdb(tables, path / "a.duckdb"),
        lambda tables, path: as_duckdb(tables, path / "b.duckdb", schema="CDM", name=str.upper),
    ],
)
def test_every_form_gives_the_same(tmp_path, write):
    expected = build_patients(omop.scan(as_csv(toy(), tmp_path / "db")), outcome="DIE_1y")
    found = build_patients(omop.scan(write(toy(), tmp_path)), outcome="DIE_1y")
    pd.testing.assert_frame_equal(found, expected)
    assert found.attrs == expected.attrs


def test_tabs_numbers_with_a_point_and_dates_as_seconds(tmp_path):
    """As the vocabulary is downloaded, as R writes, and as SQLite keeps days."""
    tables = toy()
    expected = build_patients(omop.scan(as_csv(tables, tmp_path / "db")), outcome="DIE_1y")
    tables["person"] = tables["person"].astype({"gender_concept_id": float, "person_id": float})
    for name in ("death", "visit_occurrence"):
        for column in [c for c in tables[name] if c.endswith("_date")]:
            seconds = (tables[name][column] - stamp("1970-01-01")) / pd.Timedelta(seconds=1)
            tables[name][column] = seconds
    found = build_patients(omop.scan(as_duckdb(tables, tmp_path / "db.duckdb")), outcome="DIE_1y")
    pd.testing.assert_frame_equal(found, expected)
    folder = as_csv(toy(), tmp_path / "tabs")
    toy()["concept"].to_csv(folder / "CONCEPT.csv", sep="\t", index=False)
    pd.testing.assert_frame_equal(build_patients(omop.scan(folder), outcome="DIE_1y"), expected)


def test_synthea_in_both_forms(shared_data):
    folder = shared_data / "omop" / "Synthea27Nj"
    csv, parquet = (
        omop.scan(folder / name) for name in ("Synthea27Nj_5.4.zip", "Synthea27NjParquet_5.4.zip")
    )
    facts = datasets.describe(csv)
    known = {"patients": 28, "men": 15, "women": 13, "patients with a date of death": 3,
             "BMI values": 438, "blood pressures": 726,
             "conditions with a standard concept only": 470}  # fmt: skip
    assert {name: facts[name] for name in known} == known
    patients = build_patients(csv)
    assert len(patients) == 27 and "VISIT_1y" in patients
    assert patients["VISIT_1y"].sum() in range(5, 23)
    pd.testing.assert_frame_equal(build_patients(parquet), patients)


# -- what kind of visit, and which outcome ---------------------------------------------


def clinic(n=300, seed=0, visits=True, deaths=0.0, icd=True, concepts=None):
    """`n` people who are seen for fifteen years."""
    rng = np.random.default_rng(seed)
    start = np.datetime64("2005-01-01")
    person = pd.DataFrame(
        {"person_id": np.arange(1, n + 1) * 3, "gender_concept_id": rng.choice([8507, 8532], n),
         "year_of_birth": rng.integers(1930, 1990, n),
         "race_concept_id": rng.choice([8527, 8516, 0], n),
         "ethnicity_concept_id": 0, "gender_source_value": None, "race_source_value": None}
    )  # fmt: skip
    ids = person["person_id"].to_numpy()
    ill = rng.random(n) < 0.5
    count = rng.poisson(np.where(ill, 9, 3)) + 1
    who = np.repeat(np.arange(n), count)
    when = start + rng.integers(0, 15 * 365, len(who)) * DAY
    codes = {"I10": 4501, "E11.9": 4502, "K92.2": 4503, "J45.909": 4504, "401.9": 4505}
    icd9 = {"401.9"}
    source = rng.choice(list(codes), len(who), p=[0.35, 0.25, 0.2, 0.1, 0.1])
    standard = {name: 1000 + i for i, name in enumerate(codes)}
    condition = pd.DataFrame(
        {"person_id": ids[who], "condition_concept_id": [standard[s] for s in source],
         "condition_start_date": when,
         "condition_source_value": source if icd else [str(standard[s]) for s in source],
         "condition_source_concept_id": [codes[s] if icd else standard[s] for s in source]}
    )  # fmt: skip
    seen = np.arange(len(who)) if visits is True else np.flatnonzero(rng.random(len(who)) < visits)
    visit = pd.DataFrame(
        {"visit_occurrence_id": seen + 1, "person_id": ids[who[seen]],
         "visit_concept_id": rng.choice([9201, 9202, 9203], len(seen), p=[0.1, 0.8, 0.1]),
         "visit_start_date": when[seen], "visit_end_date": when[seen] + DAY}
    )  # fmt: skip
    dead = np.flatnonzero(rng.random(n) < deaths)
    last = pd.Series(when).groupby(who).max().to_numpy()
    death = pd.DataFrame(
        {"person_id": ids[dead], "death_date": last[dead] + rng.integers(2, 700, len(dead)) * DAY}
    )
    rows = rng.choice(len(who), len(who) // 2, replace=False)
    measurement = pd.DataFrame(
        {"measurement_id": np.arange(len(rows)), "person_id": ids[who[rows]],
         "measurement_concept_id": 3038553, "measurement_date": when[rows],
         "value_as_number": rng.normal(27, 4, len(rows)).round(1), "measurement_source_value": ""}
    )  # fmt: skip
    concept = pd.DataFrame(
        [(i, name, "ICD9CM" if name in icd9 else "ICD10CM", name) for name, i in codes.items()]
        + [(i, f"Disorder {name}", "SNOMED", str(i)) for name, i in standard.items()],
        columns=["concept_id", "concept_name", "vocabulary_id", "concept_code"],
    )
    return {"person": person, "visit_occurrence": visit, "condition_occurrence": condition,
            "measurement": measurement, "death": death, "concept": concept}  # fmt: skip


def bleeding():
    """As large and as odd as OHDSI's small example database: 2,694 people, hardly any visits.

    No deaths, no ICD codes but one, text in upper case, identifiers as floating-point numbers, a
    schema of its own, and a vocabulary that leaves out sexes and races.
    """
    tables = clinic(2_694, seed=1, visits=0.05, icd=False)
    condition = tables["condition_occurrence"]
    bled = condition["condition_concept_id"] == 1002
    condition.loc[bled, "condition_source_value"] = "K92.2"
    condition.loc[bled, "condition_source_concept_id"] = 4503
    tables["measurement"] = tables["measurement"].assign(measurement_concept_id=3000963)
    for name, table in tables.items():
        ids = [c for c in table if c.endswith("_id") and c != "vocabulary_id"]
        tables[name] = table.astype(dict.fromkeys(ids, "float64"))
    # Nothing in a column says what it should hold, so it can be of any type.
    tables["death"] = tables["death"].astype(bool)
    return tables


def test_a_database_that_nobody_has_tuned(tmp_path, caplog):
    caplog.set_level("INFO", "ehrsynth")
    path = as_duckdb(bleeding(), tmp_path / "cdm.duckdb", schema="CDM53", name=str.upper)
    patients = build_patients(datasets.scan("omop", path))
    schema = Schema.of(patients)
    assert schema.outcome == "VISIT_1y"
    assert 0.05 < patients["VISIT_1y"].mean() < 0.95
    assert 2_000 < len(patients) <= 2_694  # nobody is lost because visits were not kept
    assert "phe_578" in schema and "con_1000" in schema
    assert "days with a condition" in caplog.text and "The outcome is VISIT_1y" in caplog.text
    few = min(patients["VISIT_1y"].sum(), (patients["VISIT_1y"] == 0).sum())
    assert f"{few:,} in the smaller class" in caplog.text
    assert "bmi" not in schema  # nobody was weighed
    assert patients["sex"].isin(["F", "M"]).all()


def test_a_table_whose_only_row_is_its_header_is_empty(tmp_path):
    header = pd.DataFrame([["person_id", "death_date"]], columns=["column0", "column1"])
    path = as_duckdb(toy() | {"death": header}, tmp_path / "a.duckdb")
    tables = omop.scan(path)
    assert "no rows" in tables["quality"].set_index("table").loc[["death"], "what"].tolist()
    assert engine.collect(tables["patients"])["death_date"].isna().all()
    path = as_duckdb(toy() | {"person": header}, tmp_path / "b.duckdb")
    with pytest.raises(InputError, match="has no rows in the OMOP table person"):
        omop.scan(path)


def test_the_database_file_is_not_changed(tmp_path):
    path = as_duckdb(clinic(), tmp_path / "cdm.duckdb")
    before = path.read_bytes()
    build_patients(omop.scan(path))
    assert path.read_bytes() == before


def test_deaths_are_the_outcome_where_people_die(tmp_path):
    path = as_duckdb(clinic(deaths=0.4), tmp_path / "cdm.duckdb")
    patients = build_patients(omop.scan(path))
    assert "DIE_1y" in patients and 0.1 < patients["DIE_1y"].mean() < 0.4
    assert {"phe_401", "phe_250", "phe_578", "phe_495"} <= set(patients)
    assert not [c for c in patients if c.startswith("con_")]


def test_the_next_visit_is_counted_by_hand(tmp_path):
    tables = clinic(seed=4)
    patients = build_patients(omop.scan(as_duckdb(tables, tmp_path / "c.duckdb")), "VISIT_1y")
    visit = tables["visit_occurrence"]
    end, expected = visit["visit_start_date"].max(), []
    for _, mine in visit.groupby("person_id"):
        mine = mine.sort_values(["visit_start_date", "visit_end_date", "visit_occurrence_id"])
        early = mine[mine["visit_end_date"] + 365 * DAY <= end]
        if len(early):
            last = early.iloc[-1]
            later = mine["visit_start_date"].to_numpy()[len(early) :]
            expected.append(int((later <= last["visit_end_date"] + 365 * DAY).any()))
    assert patients["VISIT_1y"].tolist() == expected


# -- what cannot be used ---------------------------------------------------------------


@pytest.mark.parametrize("table", ["person", "condition_occurrence"])
def test_a_missing_table_is_named(tmp_path, table):
    tables = {name: frame for name, frame in toy().items() if name != table}
    for path in (as_csv(tables, tmp_path / "db"), as_duckdb(tables, tmp_path / "db.duckdb")):
        with pytest.raises(InputError, match=f"has no OMOP table {table}; give the whole"):
            omop.scan(path)


def test_measurements_and_deaths_may_be_missing(tmp_path):
    tables = {n: t for n, t in clinic().items() if n not in ("measurement", "death")}
    patients = build_patients(omop.scan(as_csv(tables, tmp_path / "db")))
    assert "VISIT_1y" in patients and "bmi" not in patients


@pytest.mark.parametrize(
    ("table", "column"),
    [(t, c) for t in ("person", "visit_occurrence", "condition_occurrence", "concept", "death")
     for c, kind in omop_files.TABLES[t].items() if not kind.endswith("?")],
)  # fmt: skip
def test_a_missing_column_is_named(tmp_path, table, column):
    tables = toy()
    tables[table] = tables[table].drop(columns=column)
    with pytest.raises(InputError, match=f"Column '{column}' is missing from .*{table.upper()}"):
        omop.scan(as_csv(tables, tmp_path / "db"))


@pytest.mark.parametrize(
    ("table", "column", "value", "found"),
    [
        ("person", "year_of_birth", "long ago", ("unreadable year_of_birth", 1, 4)),
        ("person", "year_of_birth", "1950.5", ("unreadable year_of_birth", 1, 4)),
        ("person", "person_id", "", ("no person_id", 1, 4)),
        ("visit_occurrence", "visit_start_date", "soon", ("unreadable visit_start_date", 1, 6)),
        ("measurement", "value_as_number", "high", ("unreadable value_as_number", 1, 5)),
        ("death", "death_date", "", ("no death_date", 1, 2)),
    ],
)
def test_a_value_that_cannot_be_used_is_counted(tmp_path, table, column, value, found):
    tables = toy()
    tables[table] = tables[table].astype({column: object})
    tables[table].loc[1, column] = value
    first = next(omop.scan(as_csv(tables, tmp_path / "db"))["quality"].itertuples())
    assert (first.table, first.what, first.rows, first.of) == (table, *found)


def test_somebody_who_is_there_twice_is_refused(tmp_path):
    tables = toy()
    again = tables["person"].iloc[1:2].assign(year_of_birth=1961)
    tables["person"] = pd.concat([tables["person"], again])
    with pytest.raises(InputError, match="'person_id' .* same number in 1 more rows, which differ"):
        omop.scan(as_csv(tables, tmp_path / "db"))


@pytest.mark.parametrize("born", [0, 1850, 2020])
def test_visits_at_no_age_are_left_out_and_counted(tmp_path, caplog, born):
    caplog.set_level("INFO", "ehrsynth")
    tables = toy()
    tables["person"].loc[1, "year_of_birth"] = born  # two visits, one of them inpatient
    patients = build_patients(omop.scan(as_csv(tables, tmp_path / "db")), outcome="DIE_1y")
    assert patients["age"].tolist() == [62.0, 43.0, 5.0]
    said = "before the birth or past the age of 120 in fewer than 5 of 5 rows of admissions: left"
    assert said in caplog.text


def test_a_file_of_another_kind_is_refused(tmp_path):
    for content in (b"not a database", b"SQLite format 3\0" + bytes(900), b""):
        (tmp_path / "cdm.duckdb").write_bytes(content)
        with pytest.raises(InputError, match="cdm.duckdb is no DuckDB file; give a folder or zip"):
            omop.scan(tmp_path / "cdm.duckdb")
    (tmp_path / "cdm.duckdb").write_bytes(bytes(8) + b"DUCK" + bytes(900))
    with pytest.raises(
        InputError, match=r"cdm.duckdb cannot be opened \(.*\); give a folder or zip"
    ):
        omop.scan(tmp_path / "cdm.duckdb")
    with pytest.raises(InputError, match="none does not exist; give a folder or zip file"):
        omop.scan(tmp_path / "none")


def test_an_outcome_without_cases_is_refused(tmp_path):
    path = as_duckdb(clinic(), tmp_path / "cdm.duckdb")
    with pytest.raises(InputError, match="Outcome 'DIE_1y' is 0 for all .* choose another outcome"):
        build_patients(omop.scan(path), outcome="DIE_1y")


def test_no_person_at_all(tmp_path):
    tables = toy() | {"person": toy()["person"].iloc[:0]}
    with pytest.raises(InputError, match="has no rows in the OMOP table person"):
        omop.scan(as_csv(tables, tmp_path / "db"))
