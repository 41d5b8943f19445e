"""An OMOP database on a real PostgreSQL server, which the tests start and stop."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

import pandas as pd
import pytest
from test_omop import as_csv, as_duckdb, clinic, toy

from ehrsynth import datasets
from ehrsynth.datasets import build_patients
from ehrsynth.errors import InputError
from ehrsynth.pipeline import Pipeline
from ehrsynth.schema import Schema
from ehrsynth.sources import omop, omop_files
from ehrsynth.sources.engine import without_password

PASSWORD = "se@cret/7:x"


def _program(name):
    """Debian keeps the server's programs outside of the path."""
    found = shutil.which(name) or next(
        iter(sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None
    )
    if found is None:
        pytest.skip("there is no PostgreSQL server: apt-get install postgresql")
    return str(Path(found).resolve())


@pytest.fixture(scope="module")
def server():
    """The URL of an empty server that asks for a password."""
    pytest.importorskip("psycopg", reason='psycopg is missing: pip install "ehrsynth[postgres]"')
    initdb, control = _program("initdb"), _program("pg_ctl")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="ehrsynth-postgres-"))
    (folder / "password").write_text(PASSWORD)
    user = {}
    if os.geteuid() == 0:  # which the server refuses to be
        user = {"user": "nobody", "group": "nogroup"}
        for path in (folder, folder / "password"):
            shutil.chown(path, "nobody", "nogroup")
    options = {"cwd": folder, "check": True, "stdout": subprocess.DEVNULL, **user}
    data = str(folder / "data")
    subprocess.run([initdb, "-D", data, "-U", "tester", "-A", "scram-sha-256", "-E", "UTF8",
                    "--pwfile", str(folder / "password")], **options)  # fmt: skip
    listen = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    try:
        subprocess.run([control, "-D", data, "-w", "-o", listen, "-l", "log", "start"], **options)
        yield f"postgres://tester:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run(
            [control, "-D", data, "-m", "immediate", "stop"], **options | {"check": False}
        )
        shutil.rmtree(folder, ignore_errors=True)


def fill(url, tables, schema):
    """Tables of the database, as they are: typed, in a schema of their own."""
    import ibis

    con = ibis.connect(url)
    con.create_database(schema)
    for name, frame in tables.items():
        blank = [column for column in frame if frame[column].isna().all()]
        con.create_table(name, frame.astype(dict.fromkeys(blank, "string")), database=schema)
    con.disconnect()


@pytest.fixture(scope="module")
def sample(shared_data, tmp_path_factory):
    """The public sample of 28 people: the file, and what is used of it as DataFrames."""
    import duckdb

    path = shared_data / "omop" / "Synthea27Nj" / "Synthea27NjParquet_5.4.zip"
    folder = tmp_path_factory.mktemp("sample")
    shutil.unpack_archive(path, folder)
    files = {p.name.lower().removesuffix(".parquet"): p for p in folder.rglob("*.parquet")}
    used = files.keys() & omop_files.TABLES.keys()
    return path, {name: duckdb.read_parquet(str(files[name])).df() for name in sorted(used)}


def test_the_sample_is_the_same_from_a_server_and_from_its_files(server, sample):
    path, tables = sample
    fill(server, tables, "cdm")
    more = ("procedures", "medications")
    expected = build_patients(omop.scan(path, include=more), include=more)
    found = build_patients(omop.scan(server, include=more), include=more)
    assert len(found) == 27
    pd.testing.assert_frame_equal(found, expected)
    assert found.attrs == expected.attrs
    facts = datasets.describe(omop.scan(server))
    assert facts == datasets.describe(omop.scan(path))


def test_the_password_stays_with_the_user(server, tmp_path, capfd, caplog):
    caplog.set_level("DEBUG")
    fill(server, clinic(deaths=0.5), "other")
    run = Pipeline(out=tmp_path / "run", dataset="omop", data=server)
    assert run.facts["data set"] == "the OMOP database " + without_password(server)
    with pytest.raises(InputError, match="tester@127.0.0.1:.* cannot be opened") as wrong:
        omop.scan(server.replace("tester:", "tester:x"))
    with pytest.raises(InputError, match="only omop takes a database") as files:
        datasets.scan("mimic-iv", server)
    noted = (tmp_path / "run" / "run.json").read_text()
    assert json.loads(noted)["settings"]["data"] == without_password(server)
    told = (noted, caplog.text, *capfd.readouterr(), str(wrong.value), str(files.value), repr(run))
    for text in told:
        assert PASSWORD not in text and quote(PASSWORD, safe="") not in text
    again = Pipeline(out=tmp_path / "run", dataset="omop", data=server)
    assert again.facts == run.facts


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgres://me:secret@host:5432/cdm", "postgres://me@host:5432/cdm"),
        ("postgresql://me:se@c/r:et?x@host/cdm", "postgresql://me@host/cdm"),
        ("postgres://me@host/cdm?password=secret", "postgres://me@host/cdm"),
        ("postgres://host/cdm", "postgres://host/cdm"),
        ("folder/cdm.duckdb", "folder/cdm.duckdb"),
    ],
)
def test_how_a_place_is_called(url, shown):
    assert without_password(url) == shown


def test_tables_with_their_header_as_the_only_row_are_empty(tmp_path, caplog):
    """As DuckDB loads a file that has nothing else, when it is to guess."""
    caplog.set_level("INFO")
    expected = clinic(n=150)
    empty = {
        name: pd.DataFrame([frame.columns], columns=[f"column{i}" for i in range(frame.shape[1])])
        for name, frame in expected.items()
    }
    tables = expected | {name: empty[name] for name in ("death", "measurement")}
    without = {n: t for n, t in expected.items() if n not in ("death", "measurement")}
    run = Pipeline(out=tmp_path / "run", dataset="omop",
                   data=as_duckdb(tables, tmp_path / "cdm.duckdb", schema="v54"))  # fmt: skip
    files = omop.scan(as_csv(without, tmp_path / "files"))
    pd.testing.assert_frame_equal(run.patients, build_patients(files))
    noted = [(row["table"], row["what"]) for row in run.facts["data quality"]]
    assert ("death", "no rows") in noted and ("measurement", "no rows") in noted
    assert "No rows in death: done without." in caplog.messages
    path = as_duckdb(expected | {"person": empty["person"]}, tmp_path / "nobody.duckdb")
    with pytest.raises(InputError, match="has no rows in the OMOP table person"):
        omop.scan(path)


@pytest.mark.parametrize("lost", ["visit_occurrence", "concept"])
def test_a_table_that_is_not_needed_is_not_required(tmp_path, lost):
    tables = {name: frame for name, frame in toy().items() if name != lost}
    patients = build_patients(omop.scan(as_csv(tables, tmp_path / "db")), outcome="DIE_any")
    assert len(patients) == 4
    assert Schema.of(patients)["con_201826"].label == (
        "201826" if lost == "concept" else "Type 2 diabetes mellitus"
    )
