"""The same patient table from every engine and from plain pandas: rows, order, values, schema."""

import importlib.util
import re
import shutil
from pathlib import Path

import pandas as pd
import plain_cohort
import pytest

from ehrsynth import cohort, datasets
from ehrsynth.datasets import build_patients
from ehrsynth.errors import InputError
from ehrsynth.hospital import writing as simulated
from ehrsynth.schema import Schema
from ehrsynth.sources import engine as extract
from ehrsynth.sources import mimic_iv, omop
from ehrsynth.sources.tables import INCLUDABLE, MEASUREMENTS, UNITS

MORE = ("procedures", "medications", "labs")


def test_readers_and_columns_have_what_there_can_be_of_a_patient():
    assert tuple(mimic_iv.INCLUDED) == tuple(omop._KNOWN["included"]) == INCLUDABLE
    assert [column.name for column in MEASUREMENTS] == list(UNITS)
    assert list(omop._KNOWN["measured"]) == list(UNITS)


@pytest.fixture(scope="module", params=extract.ENGINES)
def engine(request):
    if request.param == "spark":
        if importlib.util.find_spec("pyspark") is None:
            pytest.skip('pyspark is not installed: pip install -e ".[scale]" (or make test-spark)')
        if shutil.which("java") is None:
            pytest.skip("Spark needs Java, which is not installed: apt-get install default-jre")
    return extract.connect(request.param, threads=2)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hospital")
    simulated.write(folder, patients=400, seed=6)
    return folder


def same(found, expected):
    pd.testing.assert_frame_equal(found, expected)
    assert Schema.of(found) == Schema.of(expected)


@pytest.mark.parametrize(("outcome", "level"), [("DIE_1y", "phecode"), ("DIE_any", "leaf")])
def test_a_simulated_hospital_is_the_same_on_every_engine(engine, hospital, outcome, level):
    expected = plain_cohort.build_patients(mimic_iv.load(hospital), outcome, level)
    found = build_patients(mimic_iv.scan(hospital, engine), outcome, level)
    assert found.shape[0] > 300 and found.shape[1] > 200
    same(found, expected)


def test_everything_else_is_the_same_on_every_engine(engine, hospital):
    options = {"code_level": "leaf", "include": MORE}
    found = build_patients(mimic_iv.scan(hospital, engine, include=MORE), **options)
    assert all(len(Schema.of(found).of_role(role)) > 20 for role in ("procedure", "medication"))
    same(found, build_patients(mimic_iv.load(hospital, include=MORE), **options))


def test_the_demo_is_the_same_on_every_engine(engine, shared_data):
    folder = shared_data / "mimic-iv-demo-2.2"
    same(
        build_patients(mimic_iv.scan(folder, engine)),
        plain_cohort.build_patients(mimic_iv.load(folder)),
    )


# -- what "your own data" says -----------------------------------------------------------

PAGE = Path(__file__).resolve().parents[1] / "book" / "your-own-data.md"


def example(containing):
    """The page's one Python example with these words."""
    text = PAGE.read_text(encoding="utf-8")
    (code,) = [c for c in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if containing in c]
    return code


@pytest.mark.parametrize("words", ['mimic_iv.scan("mimic-iv-3.1")', 'engine.connect("spark")'])
def test_the_examples_of_the_page(engine, hospital, words):
    """Run as they are printed, but on a folder that is here."""
    if ("spark" in words) != (engine.name == "pyspark"):
        pytest.skip("an example of the other engine")
    code = example(words)
    assert code.count('"mimic-iv-3.1"') == 1
    names = {}
    exec(code.replace('"mimic-iv-3.1"', repr(str(hospital))), names)
    same(names["patients"], plain_cohort.build_patients(mimic_iv.load(hospital)))


def test_the_figures_of_the_page_are_the_benchmarks():
    results = pd.read_csv(PAGE.parents[1] / "benchmarks" / "extraction.csv")
    ours = results[results["method"] == "ehrsynth"]
    loop = results[results["how"] == "fitted"].set_index("patients")["seconds"]
    assert len(ours) == len(loop) == 3
    text = PAGE.read_text(encoding="utf-8")
    for row in ours.itertuples():
        assert (
            f"| {row.patients:,} | {row.diagnoses:,} | {row.seconds} | {row.peak_gb} GB "
            f"| {loop[row.patients]:.0f} s |"
        ) in text


@pytest.fixture(scope="module")
def database(hospital):
    """MIMIC-IV's own tables in a database, with types of its choice."""
    con = extract.connect()
    for path in sorted((hospital / "hosp").glob("*.csv.gz")):
        con.con.execute(
            f"CREATE TABLE {path.name.split('.')[0]} AS SELECT * FROM "
            f"read_csv('{path}', types = {{'icd_code': 'VARCHAR'}}) ORDER BY random()"
            if "icd" in path.name
            else f"CREATE TABLE {path.name.split('.')[0]} AS FROM read_csv('{path}')"
        )
    return con


def test_from_a_database(database, hospital):
    """Dates as dates, the rows in any order: the same patients."""
    raw = {name: database.table(name) for name in database.list_tables()}
    assert str(raw["omr"].schema()["chartdate"]) == "date"
    assert "build_patients(mimic_iv.from_database(raw))" in example("bigquery")
    found = build_patients(mimic_iv.from_database(raw, MORE), include=MORE)
    same(found, build_patients(mimic_iv.scan(hospital, include=MORE), include=MORE))
    with pytest.raises(InputError, match="MIMIC-IV's table 'prescriptions' is missing"):
        mimic_iv.from_database({n: t for n, t in raw.items() if n != "prescriptions"}, MORE)
    with pytest.raises(InputError, match="'dod' is missing from Table 'patients'"):
        mimic_iv.from_database(raw | {"patients": raw["patients"].drop("dod")})


def test_the_query_can_be_written_for_bigquery(database):
    import ibis

    raw = {name: database.table(name) for name in database.list_tables()}
    tables = mimic_iv.from_database(raw, MORE)
    table, index = cohort._patients(tables, cohort.OUTCOMES["DIE_1y"])
    events = [tables[name].semi_join(index, "subject_id") for name in ("diagnoses", *MORE)]
    for expression in (table, *events):
        query = ibis.to_sql(expression, dialect="bigquery")
        assert "`" in query and "admittime" in query


def test_tables_in_memory_give_the_same():
    tables = datasets.load("simulated", patients=700, seed=8)
    for outcome in ("DIE_1y", "DIE_any"):
        same(build_patients(tables, outcome), plain_cohort.build_patients(tables, outcome))


def test_of_two_readings_of_one_day_the_later_row_counts(hospital, tmp_path):
    """Whatever the values are: it is the order in the file that tells."""
    shutil.copytree(hospital, tmp_path / "h")
    path = tmp_path / "h" / "hosp" / "omr.csv.gz"
    omr = pd.read_csv(path, dtype=str)
    for shift in (-3.0, 3.0):
        again = omr[omr["result_name"] == mimic_iv.BMI]
        value = (again["result_value"].astype(float) + shift).round(1).astype(str)
        pd.concat([omr, again.assign(result_value=value)]).to_csv(path, index=False)
        expected = plain_cohort.build_patients(mimic_iv.load(tmp_path / "h"))
        same(build_patients(mimic_iv.scan(tmp_path / "h")), expected)


def test_batches_do_not_change_the_result(hospital, monkeypatch):
    whole = build_patients(mimic_iv.scan(hospital))
    monkeypatch.setattr(extract, "_BATCH", 100)
    same(build_patients(mimic_iv.scan(hospital)), whole)


def test_both_ways_to_read_are_described_alike(hospital):
    assert datasets.describe(mimic_iv.scan(hospital)) == datasets.describe(mimic_iv.load(hospital))


def test_a_run_does_not_load_the_tables(hospital, tmp_path, monkeypatch):
    from ehrsynth.pipeline import Pipeline

    def fail(*_):
        raise AssertionError("the run loaded the whole tables")

    expected = build_patients(mimic_iv.load(hospital))
    monkeypatch.setattr(mimic_iv, "load", fail)
    run = Pipeline(out=tmp_path / "run", dataset="mimic-iv", data=hospital)
    same(run.patients, expected)
    assert run.facts["patients"] == 400


def test_a_run_takes_the_options_of_the_patient_table(shared_data, tmp_path):
    from ehrsynth.pipeline import Pipeline

    folder = shared_data / "mimic-iv-demo-2.2"
    options = {"outcome": "DIE_any", "code_level": "category", "include": ["labs"]}
    run = Pipeline(
        out=tmp_path / "run", dataset="mimic-iv", data=folder, min_prevalence=0.2, **options
    )
    tables = mimic_iv.scan(folder, include=("labs",))
    same(run.patients, build_patients(tables, "DIE_any", "category", ("labs",)))
    kept = run.schema.of_role("lab")
    assert 0 < len(kept) < 245
    assert run.train[kept].mean().min() >= 0.2
    with pytest.raises(InputError, match="holds a run with min_prevalence 0.2, not 0.01"):
        Pipeline(out=tmp_path / "run", dataset="mimic-iv", data=folder, **options)


def test_a_flat_table_has_nothing_to_include(tmp_path):
    from ehrsynth.pipeline import Pipeline

    table = pd.DataFrame({"died": [0, 1] * 20, "age": [30 + 7 * i % 50 for i in range(40)]})
    table.to_csv(tmp_path / "t.csv", index=False)
    run = Pipeline(out=tmp_path / "other", dataset="table", data=tmp_path / "t.csv",
                   outcome="died", include=["labs"])  # fmt: skip
    with pytest.raises(InputError, match="A flat data set has no labs to add"):
        run.run()
    assert not (tmp_path / "other").exists()


def test_memory_and_threads_are_set_and_the_spill_folder_is_temporary():
    con = extract.connect(memory="1GB", threads=1)
    settings = {
        name: con.con.execute(f"SELECT current_setting('{name}')").fetchone()[0]
        for name in ("threads", "memory_limit", "temp_directory")
    }
    assert settings["threads"] == 1
    assert settings["memory_limit"].startswith("95")  # 1 GB in MiB
    folder = settings["temp_directory"]
    assert "ehrsynth-" in folder and shutil.os.path.isdir(shutil.os.path.dirname(folder))
    con._finalizer()
    assert not shutil.os.path.isdir(shutil.os.path.dirname(folder))


def test_an_unknown_engine_is_refused():
    with pytest.raises(InputError, match="no engine 'dask'; use one of duckdb, spark"):
        extract.connect("dask")
