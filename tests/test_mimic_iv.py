"""Reading MIMIC-IV's files."""

import gzip
import shutil

import pandas as pd
import pytest

from ehrsynth import cohort, datasets
from ehrsynth.datasets import build_patients
from ehrsynth.errors import InputError
from ehrsynth.hospital import writing as simulated
from ehrsynth.schema import Schema
from ehrsynth.sources import engine as extract
from ehrsynth.sources import mimic_iv


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hospital")
    simulated.write(folder, patients=120, seed=3)
    return folder


@pytest.fixture
def hospital(written, tmp_path):
    """A copy that a test may spoil."""
    shutil.copytree(written, tmp_path / "h")
    return tmp_path / "h"


def spoil(folder, table, change):
    path = folder / "hosp" / f"{table}.csv.gz"
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    change(frame).to_csv(path, index=False)


@pytest.fixture(params=["load", "scan"])
def read(request):
    """Both ways to read: into memory, and lazily (which has checked the files when it returns)."""
    return getattr(mimic_iv, request.param)


def test_the_demo_has_its_known_figures(shared_data):
    facts = datasets.describe(
        datasets.load("mimic-iv-demo", data=shared_data / "mimic-iv-demo-2.2")
    )
    known = {
        "patients": 100, "men": 57, "women": 43, "admissions": 275, "in-hospital deaths": 15,
        "patients with a date of death": 31, "diagnosis rows": 4506,
        "ICD-9 diagnosis rows": 2193, "ICD-9 codes": 740, "patients with ICD-9 codes": 76,
        "ICD-10 diagnosis rows": 2313, "ICD-10 codes": 734, "patients with ICD-10 codes": 44,
        "patients with ICD-9 and ICD-10 codes": 20, "BMI values": 773, "blood pressures": 872,
        "patients with a BMI": 62, "patients with a blood pressure": 70,
        "patients with a BMI and a blood pressure": 53,
    }  # fmt: skip
    assert 4649.4 not in facts.values()  # the largest BMI is a single patient's
    assert {name: facts[name] for name in known} == known
    assert 87 < facts["share of ICD-9 rows mapped to a phecode (%)"] < 91
    assert 89 < facts["share of ICD-10 rows mapped to a phecode (%)"] < 92


def test_the_demo_becomes_a_patient_table(shared_data):
    tables = datasets.load("mimic-iv", data=shared_data / "mimic-iv-demo-2.2" / "hosp")
    patients = build_patients(tables)
    assert len(patients) == 85
    assert patients["DIE_1y"].sum() == 16


def test_hosp_itself_and_plain_csv_are_read_too(hospital):
    expected = mimic_iv.load(hospital)
    for path in (hospital / "hosp").glob("*.csv.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    found = mimic_iv.load(hospital / "hosp")
    assert set(found) == {"patients", "admissions", "diagnoses", "measurements", "quality"}
    for name, table in expected.items():
        pd.testing.assert_frame_equal(table, found[name])


def test_parquet_is_read_too(hospital):
    expected = mimic_iv.load(hospital)
    for path in (hospital / "hosp").glob("*.csv.gz"):
        dates = {"chartdate", "dod", "admittime", "dischtime"}
        frame = pd.read_csv(path, dtype={"icd_code": str, "result_value": str})
        frame = frame.astype({c: "datetime64[s]" for c in dates & set(frame)})
        frame.to_parquet(path.with_name(path.name.replace(".csv.gz", ".parquet")), index=False)
        path.unlink()
    found = mimic_iv.load(hospital)
    for name, table in expected.items():
        pd.testing.assert_frame_equal(table, found[name])
    lazily = build_patients(mimic_iv.scan(hospital))
    pd.testing.assert_frame_equal(lazily, build_patients(expected))


def test_names_in_capitals_are_read_too(hospital, read):
    expected = build_patients(read(hospital))
    for path in (hospital / "hosp").glob("*.csv.gz"):
        path.rename(path.with_name(path.name.upper()))
    (hospital / "hosp").rename(hospital / "HOSP")
    pd.testing.assert_frame_equal(build_patients(read(hospital)), expected)


# -- version 3.1 -----------------------------------------------------------------------

# What patients and admissions have in version 3.1, in its order; the hospital's own are kept.
PATIENTS_31 = ["subject_id", "gender", "anchor_age", "anchor_year", "anchor_year_group", "dod"]
ADMISSIONS_31 = [
    "subject_id", "hadm_id", "admittime", "dischtime", "deathtime", "admission_type",
    "admit_provider_id", "admission_location", "discharge_location", "insurance", "language",
    "marital_status", "race", "edregtime", "edouttime", "hospital_expire_flag",
]  # fmt: skip
PRESCRIPTIONS_31 = [
    "subject_id", "hadm_id", "pharmacy_id", "poe_id", "poe_seq", "order_provider_id", "starttime",
    "stoptime", "drug_type", "drug", "formulary_drug_cd", "gsn", "ndc", "prod_strength",
]  # fmt: skip
WORDS_31 = {"anchor_year_group": "2020 - 2022", "language": "English", "insurance": "Medicare"}


def as_version_31(folder, ending=".csv.gz"):
    """The files as version 3.1 has them: more columns, more tables, other modules beside hosp."""
    hosp = folder / "hosp"
    tables = {
        "patients": PATIENTS_31, "admissions": ADMISSIONS_31, "prescriptions": PRESCRIPTIONS_31,
    }  # fmt: skip
    for name, columns in tables.items():
        words = {column: text for column, text in WORDS_31.items() if column in columns}
        spoil(folder, name, lambda f, c=columns, w=words: f.reindex(columns=c).assign(**w))
    pd.DataFrame({"provider_id": ["P00A1Z"]}).to_csv(hosp / "provider.csv.gz", index=False)
    events = pd.DataFrame({"subject_id": [1], "hadm_id": [2], "chartdate": ["2150-01-01"],
                           "hcpcs_cd": ["99218"], "seq_num": [1]})  # fmt: skip
    events.to_csv(hosp / "hcpcsevents.csv.gz", index=False)
    (folder / "icu").mkdir()
    pd.DataFrame({"caregiver_id": [3]}).to_csv(folder / "icu" / "caregiver.csv.gz", index=False)
    for name in ("CHANGELOG.txt", "LICENSE.txt", "SHA256SUMS.txt"):
        (folder / name).write_text("as PhysioNet writes it\n")
    if ending == ".csv":
        for path in hosp.glob("*.csv.gz"):
            path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
            path.unlink()


@pytest.mark.parametrize("ending", [".csv.gz", ".csv"])
def test_version_31_is_read_from_wherever_it_lies(hospital, tmp_path, read, ending):
    more = ("procedures", "medications", "labs")
    expected = build_patients(read(hospital, include=more), include=more)
    as_version_31(hospital, ending)
    frame = pd.read_csv(hospital / "hosp" / f"admissions{ending}")
    assert list(frame.columns) == ADMISSIONS_31 and (frame["language"] == "English").all()
    nested = tmp_path / "physionet.org" / "files" / "mimiciv" / "3.1"
    nested.parent.mkdir(parents=True)
    hospital.rename(nested)
    patients = build_patients(read(tmp_path, include=more), include=more)
    pd.testing.assert_frame_equal(patients, expected)
    for data in (nested, nested / "hosp", nested.parent, tmp_path / "physionet.org", tmp_path):
        assert mimic_iv.find_file(data, "omr") == nested / "hosp" / f"omr{ending}"
    nested.rename(tmp_path / "mimic-iv-3.1")
    assert mimic_iv.find_file(tmp_path, "omr").parts[-3] == "mimic-iv-3.1"


def test_two_versions_in_one_folder_are_not_guessed_between(hospital, tmp_path, read):
    shutil.copytree(hospital, tmp_path / "both" / "mimic-iv-2.2")
    shutil.copytree(hospital, tmp_path / "both" / "mimic-iv-3.1")
    with pytest.raises(InputError, match=r"more than one MIMIC-IV, .*2\.2/hosp and .*3\.1/hosp"):
        read(tmp_path / "both")
    assert len(read(tmp_path / "both" / "mimic-iv-3.1")) == 5
    (tmp_path / "empty" / "icu").mkdir(parents=True)
    with pytest.raises(InputError, match=r"patients\.csv\.gz is missing"):
        read(tmp_path / "empty")


@pytest.mark.parametrize("end", [".000", ".25", "Z"])
def test_times_written_in_another_way(hospital, read, end):
    expected = build_patients(read(hospital))
    spoil(hospital, "admissions", lambda frame: frame.assign(admittime=frame["admittime"] + end))
    found = build_patients(read(hospital))
    pd.testing.assert_frame_equal(found, expected)


def test_parquet_with_a_time_zone(hospital, read):
    expected = build_patients(read(hospital))
    path = hospital / "hosp" / "admissions.csv.gz"
    frame = pd.read_csv(path)
    for name in ("admittime", "dischtime"):
        frame[name] = pd.to_datetime(frame[name]).astype("datetime64[us]").dt.tz_localize("UTC")
    frame.to_parquet(path.with_name("admissions.parquet"), index=False)
    path.unlink()
    pd.testing.assert_frame_equal(build_patients(read(hospital)), expected)


@pytest.mark.parametrize("line", ["10000001,2150-01-01,1,BMI (kg/m2),20,9,9,9", "1,2"])
def test_a_row_of_another_length_is_shown(hospital, read, line):
    path = hospital / "hosp" / "omr.csv.gz"
    path.write_bytes(path.read_bytes() + gzip.compress(f"{line}\n".encode()))
    with pytest.raises(InputError, match=rf"omr\.csv\.gz cannot be read as CSV: .*{line[:6]}"):
        read(hospital)


def test_written_and_read_is_what_was_simulated(written):
    read, made = mimic_iv.load(written), simulated.load(patients=120, seed=3)
    for name in made:
        pd.testing.assert_frame_equal(made[name], read[name])


def test_types(written):
    tables = mimic_iv.load(written)
    assert tables["patients"]["anchor_age"].dtype == "int64"
    assert tables["admissions"]["died_in_hospital"].dtype == bool
    for table, column in (("patients", "death_date"), ("admissions", "discharge_time"),
                          ("measurements", "time")):  # fmt: skip
        assert pd.api.types.is_datetime64_any_dtype(tables[table][column])
    assert tables["measurements"]["value"].dtype == "float64"
    assert tables["diagnoses"]["icd_code"].str.len().min() >= 3  # leading zeros stay


def raw(**changes):
    """A hospital of two people, as MIMIC-IV writes it."""
    dates = {"admittime": pd.to_datetime("2150-01-01 10:00"),
             "dischtime": pd.to_datetime("2150-01-05 10:00")}  # fmt: skip
    tables = {
        "patients": pd.DataFrame({"subject_id": [1, 2], "gender": ["F", "M"],
            "anchor_age": [50, 60], "anchor_year": [2150, 2149], "dod": pd.to_datetime(
            [None, "2150-03-01"])}),
        "admissions": pd.DataFrame({"subject_id": [1, 2], "hadm_id": [11, 12], **dates,
            "race": ["WHITE", None], "hospital_expire_flag": [0, 0]}),
        "diagnoses_icd": pd.DataFrame({"subject_id": [1, 2], "hadm_id": [11, 12],
            "icd_code": ["I10", "4019"], "icd_version": [10, 9]}),
        "omr": pd.DataFrame({"subject_id": [1, 1, 2, 2, 2],
            "chartdate": pd.to_datetime(["2150-01-02"] * 5),
            "result_name": ["BMI (kg/m2)", "Blood Pressure", "Blood Pressure Sitting",
                            "Weight (Lbs)", "BMI (kg/m2)"],
            "result_value": ["25.4", "110/70", " 121 / 66 ", "heavy", None]}),
    }  # fmt: skip
    return tables | changes


def test_pressures_are_taken_apart():
    found = mimic_iv.from_frames(raw())["measurements"]
    assert found[["subject_id", "name", "value", "unit"]].values.tolist() == [
        [1, "bmi", 25.4, "kg/m2"],
        [1, "systolic", 110.0, "mmHg"],
        [2, "systolic", 121.0, "mmHg"],
        [1, "diastolic", 70.0, "mmHg"],
        [2, "diastolic", 66.0, "mmHg"],
    ]


@pytest.mark.parametrize("value", ["110", "110/", "110/70/3", "unable", "a/b"])
def test_a_pressure_that_is_none_counts_as_not_measured(value):
    omr = raw()["omr"]
    omr.loc[1, "result_value"] = value
    tables = mimic_iv.from_frames(raw(omr=omr))
    assert tables["quality"][["what", "rows", "of"]].values.tolist() == [
        ["no pressure like 110/70", 1, 2]
    ]
    assert tables["measurements"]["value"].tolist() == [25.4, 121.0, 66.0]


@pytest.mark.parametrize("table", mimic_iv.ALWAYS)
def test_a_missing_file_is_named(hospital, table, read):
    (hospital / "hosp" / f"{table}.csv.gz").unlink()
    with pytest.raises(InputError, match=rf"{table}\.csv\.gz is missing"):
        read(hospital)


@pytest.mark.parametrize(
    ("table", "column"), [(t, c) for t in mimic_iv.ALWAYS for c in mimic_iv.COLUMNS[t]]
)
def test_a_missing_column_is_named(hospital, table, column, read):
    spoil(hospital, table, lambda frame: frame.drop(columns=column))
    with pytest.raises(InputError, match=rf"Column '{column}' is missing from .*{table}\.csv\.gz"):
        read(hospital)


@pytest.mark.parametrize("table", mimic_iv.ALWAYS)
def test_an_empty_table_is_named(hospital, table, read):
    spoil(hospital, table, lambda frame: frame.iloc[:0])
    with pytest.raises(InputError, match=rf"{table}\.csv\.gz has no rows"):
        read(hospital)


@pytest.mark.parametrize(
    ("table", "column", "value", "found"),
    [
        ("patients", "anchor_age", "old", "unreadable anchor_age"),
        ("patients", "anchor_age", "61.5", "unreadable anchor_age"),
        ("patients", "anchor_year", "", None),
        ("patients", "subject_id", "1O", "unreadable subject_id"),
        ("patients", "gender", "X", "unreadable gender"),
        ("patients", "dod", "yesterday", "unreadable dod"),
        ("admissions", "admittime", "2150-13-01", "unreadable admittime"),
        ("admissions", "hospital_expire_flag", "2", "unreadable hospital_expire_flag"),
        ("diagnoses_icd", "icd_version", "11", "unreadable icd_version"),
        ("diagnoses_icd", "icd_code", "", "no icd_code"),
        ("omr", "chartdate", "soon", "unreadable chartdate"),
    ],
)
def test_a_value_that_cannot_be_used_is_counted(hospital, table, column, value, found, read):
    def change(frame):
        frame.loc[3, column] = value
        return frame

    spoil(hospital, table, change)
    counted = [(row.table, row.what, row.rows) for row in read(hospital)["quality"].itertuples()]
    assert (table, found, 1) in counted or (found is None and not counted)


def test_a_column_of_another_kind_is_named(hospital, read):
    spoil(hospital, "diagnoses_icd", lambda frame: frame.assign(icd_version="ten"))
    with pytest.raises(InputError, match=r"'icd_version' of .*icd\.csv.* 9 or 10 but has 'ten'"):
        read(hospital)


@pytest.mark.parametrize(("table", "key"), [("patients", "subject_id"), ("admissions", "hadm_id")])
def test_a_number_given_twice_is_named(hospital, table, key, read):
    def again(frame):
        other = frame.iloc[[0]].assign(**{frame.columns[2]: frame[frame.columns[2]].iloc[1]})
        return pd.concat([frame, other])

    spoil(hospital, table, again)
    with pytest.raises(InputError, match=f"Column '{key}' .* same number in 1 more rows"):
        read(hospital)


def test_a_broken_file_is_named(hospital, read):
    path = hospital / "hosp" / "patients.csv.gz"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"patients\.csv\.gz cannot be read as CSV"):
        read(hospital)


def test_a_folder_that_is_none(tmp_path, read):
    with pytest.raises(InputError, match="nowhere is not a folder"):
        read(tmp_path / "nowhere")


# -- procedures, medications, labs -------------------------------------------------------

MORE = ("procedures", "medications", "labs")


def test_the_demo_as_a_wide_table_counted_by_hand(shared_data):
    """Leaf codes with everything else: as wide as the published table nearly, of 85 patients."""
    folder = shared_data / "mimic-iv-demo-2.2"
    tables = mimic_iv.scan(folder, include=MORE)
    patients = build_patients(tables, code_level="leaf", include=MORE)
    schema = Schema.of(patients)
    assert len(patients) == 85 and patients.shape[1] >= 1_400
    index = extract.collect(
        cohort._index_admissions(tables["patients"], tables["admissions"]).order_by("subject_id")
    )
    until = index.set_index("subject_id")["discharge_time"].dt.normalize() + pd.Timedelta(days=1)

    def raw(name):
        table = pd.read_csv(folder / "hosp" / f"{name}.csv.gz", dtype={"icd_code": str})
        return table[table["subject_id"].isin(until.index)]

    def column(rows, day):
        rows = rows[pd.to_datetime(rows[day]) < rows["subject_id"].map(until)]
        return until.index.isin(rows["subject_id"]).astype("uint8").tolist()

    done = raw("procedures_icd")
    done = done[(done["icd_version"] == 10) & (done["icd_code"] == "02HV33Z")]
    assert patients["pro_10_02hv33z"].tolist() == column(done, "chartdate")
    labs = raw("labevents").query("itemid == 50912")  # creatinine
    high = labs[labs["valuenum"] > labs["ref_range_upper"]]
    assert patients["lab_50912_high"].tolist() == column(high, "charttime")
    assert schema["lab_50912_high"].label == "Creatinine, blood, high"
    drugs = raw("prescriptions").query("drug_type != 'BASE'")
    drugs = drugs[drugs["drug"].str.lower().str.contains("furosemide", na=False)]
    assert patients["med_furosemide"].tolist() == column(drugs, "starttime")
    for role, name in (("procedure", "pro"), ("medication", "med"), ("lab", "lab")):
        assert schema.of_role(role) == [c for c in patients if c.startswith(f"{name}_")]
        assert patients[schema.of_role(role)].sum().min() >= 1
    loaded = mimic_iv.load(folder, include=MORE)
    pd.testing.assert_frame_equal(build_patients(loaded, code_level="leaf", include=MORE), patients)


def test_what_patients_were_given(hospital, caplog):
    """A name in the files becomes the columns of its ingredients, and strange names are listed."""
    path = hospital / "hosp" / "prescriptions.csv.gz"
    table = pd.read_csv(path, dtype=str)
    rows = table.index[table["drug_type"] == "MAIN"]
    table.loc[rows[:40], "drug"] = "Oxycodone-Acetaminophen (5mg-325mg)"
    table.loc[rows[40:60], "drug"] = "Wonderdrug 5 mg"
    table.to_csv(path, index=False)
    caplog.set_level("INFO", "ehrsynth")
    tables = mimic_iv.scan(hospital, include=("medications",))
    patients = build_patients(tables, include=("medications",))
    index = extract.collect(cohort._index_admissions(tables["patients"], tables["admissions"]))
    index = index.set_index("subject_id").sort_index()
    table["subject_id"] = table["subject_id"].astype(int)
    day = pd.to_datetime(table["starttime"]).dt.normalize()
    table = table[day <= table["subject_id"].map(index["discharge_time"])]
    table = table[table["drug_type"] != "BASE"]
    for name in ("oxycodone", "acetaminophen", "wonderdrug"):
        has = table["subject_id"][table["drug"].str.lower().str.contains(name)]
        assert patients[f"med_{name}"].tolist() == index.index.isin(has).astype(int).tolist()
        assert patients[f"med_{name}"].any()
    # Too few patients have it for its name to stand in a log.
    assert "drug rows hold no ingredient that is known (1 names)." in caplog.text
    assert "Wonderdrug" not in caplog.text
    loaded = build_patients(mimic_iv.load(hospital, ("medications",)), include=("medications",))
    pd.testing.assert_frame_equal(loaded, patients)


def test_what_is_asked_for_must_be_there(shared_data, hospital):
    folder = shared_data / "mimic-iv-demo-2.2"
    with pytest.raises(InputError, match="read without labs"):
        build_patients(mimic_iv.scan(folder), include=("labs",))
    with pytest.raises(InputError, match="no kind of columns 'notes'; use one of procedures"):
        build_patients(mimic_iv.scan(folder), include=("notes",))
    with pytest.raises(InputError, match="'prescriptions' is missing, which medications are made"):
        mimic_iv.from_frames(raw(), include=("medications",))
    (hospital / "hosp" / "labevents.csv.gz").unlink(missing_ok=True)
    with pytest.raises(InputError, match=r"labevents\.csv\.gz is missing"):
        mimic_iv.scan(hospital, include=("labs",))
