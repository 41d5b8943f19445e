"""The how-to pages: their code runs as it stands there, and what it writes is what they say."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import ehrsynth as es
from ehrsynth.evaluation import align
from ehrsynth.hospital import truth
from ehrsynth.schema import MISSING, Schema
from ehrsynth.sources.flat.file import read_file

BOOK = Path(__file__).resolve().parents[1] / "book"
# What CDM 5.4 requires of each table (its specification, "Required: Yes").
REQUIRED = {
    "person": ["person_id", "gender_concept_id", "year_of_birth", "race_concept_id",
               "ethnicity_concept_id"],
    "visit_occurrence": ["visit_occurrence_id", "person_id", "visit_concept_id",
                         "visit_start_date", "visit_end_date", "visit_type_concept_id"],
    "death": ["person_id", "death_date"],
    "condition_occurrence": ["condition_occurrence_id", "person_id", "condition_concept_id",
                             "condition_start_date", "condition_type_concept_id"],
    "measurement": ["measurement_id", "person_id", "measurement_concept_id", "measurement_date",
                    "measurement_type_concept_id"],
}  # fmt: skip


def blocks(page):
    return re.findall(r"```python\n(.*?)```", (BOOK / page).read_text(encoding="utf-8"), re.S)


@pytest.fixture(scope="module")
def patients():
    """Patients as a generator would give them, with their schema."""
    return truth.oracle_sample(400, seed=3)


@pytest.fixture
def results(patients, tmp_path, monkeypatch):
    """A folder like a run's; the page is read beside it."""
    (tmp_path / "results").mkdir()
    patients.to_parquet(tmp_path / "results" / "synthetic.parquet", index=False)
    Schema.of(patients).save(tmp_path / "results" / "schema.json")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(page):
    names: dict = {}
    for block in blocks(page):
        exec(compile(block, page, "exec"), names)
    return names


def test_omop_has_what_the_model_requires(results):
    run("howto-omop.md")
    tables = {path.stem: pd.read_csv(path) for path in (results / "cdm").glob("*.csv")}
    assert set(tables) == set(REQUIRED)
    for name, columns in REQUIRED.items():
        assert tables[name][columns].notna().all(axis=None), name
        key = "person_id" if name == "death" else f"{name}_id"
        assert tables[name][key].is_unique, name
        assert tables[name]["person_id"].isin(tables["person"]["person_id"]).all(), name


def test_omop_counts_what_the_table_counts(patients, results):
    run("howto-omop.md")
    tables = {path.stem: pd.read_csv(path) for path in (results / "cdm").glob("*.csv")}
    schema, person = Schema.of(patients), tables["person"]
    assert (person["gender_concept_id"] == 8532).sum() == (patients["sex"] == "F").sum()
    unknown = person["ethnicity_concept_id"] == 0  # nobody is called not Hispanic who was not asked
    assert unknown.tolist() == (patients["race"] == "UNKNOWN").tolist()
    assert set(tables["death"]["person_id"] - 1) == set(np.flatnonzero(patients["DIE_1y"]))
    found = tables["condition_occurrence"]["condition_source_value"].value_counts()
    for name in schema.of_role("diagnosis"):
        assert found.get(f"phecode:{schema[name].code}", 0) == patients[name].sum(), name
    bmi = tables["measurement"].query("measurement_concept_id == 3038553")["value_as_number"]
    assert sorted(bmi) == sorted(patients["bmi"].dropna())


def test_omop_is_read_back(patients, results):
    run("howto-omop.md")
    tables = es.load("omop", data=results / "cdm")
    read = tables["patients"]
    assert len(read) == len(patients)
    assert (read["sex"] == "F").sum() == (patients["sex"] == "F").sum()
    assert read["death_date"].notna().sum() == patients["DIE_1y"].sum()
    taken = tables["measurements"].groupby("name")["value"].count()
    for name in ("bmi", "systolic", "diastolic"):
        assert taken[name] == patients[name].notna().sum()


def test_meds_keeps_its_schemas(results):
    meds = pytest.importorskip("meds")
    run("howto-meds.md")
    folder = results / "meds-data"
    schemas = {
        "data/0.parquet": meds.DataSchema, meds.code_metadata_filepath: meds.CodeMetadataSchema,
        meds.subject_splits_filepath: meds.SubjectSplitSchema,
        "labels/DIE_1y/0.parquet": meds.LabelSchema,
    }  # fmt: skip
    for name, form in schemas.items():
        form.validate(pq.read_table(folder / name))
    assert (folder / meds.dataset_metadata_filepath).is_file()


def test_meds_counts_what_the_table_counts(patients, results):
    pytest.importorskip("meds")
    run("howto-meds.md")
    data = pd.read_parquet(results / "meds-data" / "data" / "0.parquet")
    codes = pd.read_parquet(results / "meds-data" / "metadata" / "codes.parquet")
    labels = pd.read_parquet(results / "meds-data" / "labels" / "DIE_1y" / "0.parquet")
    assert set(data["code"]) <= set(codes["code"]) and codes["code"].is_unique
    # Each subject's rows are together and in order, what has no time first.
    assert data["subject_id"].is_monotonic_increasing
    times = data["time"].fillna(pd.Timestamp("1700-01-01")).groupby(data["subject_id"])
    assert times.is_monotonic_increasing.all()
    assert not (data["code"] == "MEDS_DEATH").any()
    assert labels["boolean_value"].tolist() == patients["DIE_1y"].astype(bool).tolist()
    schema, found = Schema.of(patients), data["code"].value_counts()
    for name in schema.of_role("diagnosis"):
        assert found.get(f"PHECODE//{schema[name].code}", 0) == patients[name].sum(), name
    assert found["SEX//F"] == (patients["sex"] == "F").sum()
    assert found["BMI//kg/m2"] == patients["bmi"].notna().sum()
    born = data[data["code"] == "MEDS_BIRTH"].set_index("subject_id")["time"]
    years = (pd.Timestamp("2020-06-30 12:00") - born).dt.days / 365.25
    assert np.allclose(years, patients["age"], atol=0.01)


# -- what other generators write -----------------------------------------------------------------


@pytest.fixture(scope="module")
def people():
    """Patients with texts, a yes/no, missing numbers and missing texts."""
    rng = np.random.default_rng(5)
    n = 400
    return pd.DataFrame(
        {
            "died": rng.random(n) < 0.3,
            "sex": rng.choice(["F", "M"], n),
            "age": rng.integers(18, 90, n),
            "crp": pd.Series(rng.gamma(2, 10, n).round(1)).where(rng.random(n) < 0.8),
            "smoker": pd.Series(rng.choice(["yes", "no"], n)).where(rng.random(n) < 0.9),
        }
    )


def of_r(table, path):
    """As write.csv of R does it, row names included."""
    table = table.copy()
    table["died"] = table["died"].map({True: "TRUE", False: "FALSE"})
    table.index = pd.Index(range(1, len(table) + 1)).astype(str)
    names = {name: f'"{name}"' for name in table}
    for name in ("sex", "smoker"):
        table[name] = '"' + table[name] + '"'
    table.index = '"' + table.index + '"'
    table.rename(columns=names).to_csv(path, na_rep="NA", quoting=3, index_label='""')


def of_pandas(table, path):
    table.to_csv(path)


def nullable(table, path):
    table.convert_dtypes(dtype_backend="pyarrow").to_parquet(path)


@pytest.mark.parametrize(
    ("write", "name"), [(of_r, "s.csv"), (of_pandas, "s.csv"), (nullable, "s.parquet")]
)
def test_the_same_patients_whoever_wrote_them(people, tmp_path, write, name):
    people[:150].to_csv(tmp_path / "train.csv", index=False)
    people[150:270].to_csv(tmp_path / "holdout.csv", index=False)
    write(people[270:].reset_index(drop=True), tmp_path / name)
    files = {"train": "train.csv", "holdout": "holdout.csv", "synthetic": name}
    tables = {role: read_file(tmp_path / file) for role, file in files.items()}
    given = align(tables, outcome="died")
    made, schema = given["synthetic"], given["schema"]
    expected = people[270:].reset_index(drop=True)
    assert schema.names == list(people.columns)
    assert schema.outcome_values(made).tolist() == expected["died"].astype(int).tolist()
    for column in ("age", "crp"):
        pd.testing.assert_series_equal(made[column], expected[column].astype(float))
    for column in ("sex", "smoker"):
        texts = expected[column].astype(object).where(expected[column].notna(), MISSING)
        assert made[column].astype(str).tolist() == texts.tolist()


def test_a_matrix_gets_its_names(tmp_path, monkeypatch):
    (code,) = [block for block in blocks("howto-evaluate.md") if "np.load" in block]
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"a": [0, 1], "b": [1, 1]}).to_csv("train.csv", index=False)
    np.save("synthetic.npy", np.array([[0.9, 0.1], [0.4, 0.6]]))
    exec(compile(code, "page", "exec"), {"pd": pd})
    assert pd.read_csv("synthetic.csv").to_dict("list") == {"a": [1, 0], "b": [0, 1]}


def test_every_block_of_the_page_is_python():
    for block in blocks("howto-evaluate.md"):
        compile(block, "howto-evaluate.md", "exec")


def test_what_a_generator_invents_is_counted(people):
    made = people[270:].copy()
    tables = {"train": people[:150], "holdout": people[150:270]}
    assert not align(tables | {"synthetic": made}, outcome="died")["facts"].get("what does not fit")
    made.loc[made.index[:4], "smoker"] = "_RARE_"
    (found,) = align(tables | {"synthetic": made}, outcome="died")["facts"]["what does not fit"]
    assert found["table"] == "synthetic" and found["rows"] == 4 and "smoker" in found["what"]
