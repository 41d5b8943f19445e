"""Files from elsewhere are never trusted: one sentence, soon, and nothing else is read."""

import json
import shutil

import duckdb
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from toy import saved_toy_model

import ehrsynth as es
from ehrsynth import datasets
from ehrsynth.cli import generate
from ehrsynth.files import read_by_hand
from ehrsynth.sources import engine


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return saved_toy_model(tmp_path_factory.mktemp("model"))


def spoilt(tensors, name):
    tensors = {k: v.copy() for k, v in tensors.items()}
    weight = next(k for k in tensors if k.startswith("generator.") and tensors[k].ndim == 2)
    tensors |= {
        "nothing": {},
        "not finite": {"shift": np.full_like(tensors["shift"], np.nan)},
        "infinite": {weight: np.full_like(tensors[weight], np.inf)},
        "misshapen": {"shift": tensors["shift"][:, :-3].copy()},
        "misshapen network": {weight: tensors[weight][:-1].copy()},
        "misshapen cells": {"cells": tensors["cells"][:, :0].copy()},
        "misshapen counts": {"code_counts.tables": tensors["code_counts.tables"][:, :1].copy()},
    }[name]
    return tensors


@pytest.mark.parametrize(
    "name",
    ["not finite", "infinite", "misshapen", "misshapen network", "misshapen cells",
     "misshapen counts"],
)  # fmt: skip
def test_a_model_with_broken_tensors_is_refused_in_a_sentence(saved, tmp_path, name):
    shutil.copytree(saved, tmp_path / "model")
    tensors = load_file(saved / "gan.safetensors")
    save_file(spoilt(tensors, "nothing"), tmp_path / "model" / "gan.safetensors")
    assert len(es.EMRWGAN.load(tmp_path / "model").sample(5)) == 5
    save_file(spoilt(tensors, name), tmp_path / "model" / "gan.safetensors")
    with pytest.raises(es.InputError, match="does not hold a saved model") as refused:
        es.EMRWGAN.load(tmp_path / "model")
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 500


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("deep.json", "[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ("deep.yaml", "[" * 3_000 + "]" * 3_000, "nested too deeply"),
        ("bomb.yaml", "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "has an alias"),
    ],
)
def test_a_document_that_would_fill_the_memory_is_refused(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(es.InputError, match=said):
        read_by_hand(tmp_path / name)
    (tmp_path / name).write_text(json.dumps({"a": [1, {"b": 2}]}))
    assert read_by_hand(tmp_path / name) == {"a": [1, {"b": 2}]}


def test_a_view_in_a_duckdb_file_is_refused(tmp_path):
    """A view can read a file of whoever opens the database."""
    (tmp_path / "secret.csv").write_text("person_id\n1\n")
    path = tmp_path / "a.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute(f"CREATE VIEW person AS SELECT * FROM '{tmp_path / 'secret.csv'}'")
    with pytest.raises(es.InputError, match="person in .* is a view"):
        datasets.scan("omop", path)
    with duckdb.connect(str(path)) as con:
        con.execute("CREATE TABLE death (person_id INTEGER)")
    with pytest.raises(es.InputError, match="person in .* is a view"):
        datasets.scan("omop", path)


def test_beside_a_duckdb_file_nothing_is_read(tmp_path):
    """Whatever a table of the file holds: the engine opens no other file while it is read."""
    (tmp_path / "secret.csv").write_text("person_id\n1\n")
    path, con = tmp_path / "a.duckdb", engine.connect()
    with duckdb.connect(str(path)) as own:
        own.execute("CREATE TABLE death (person_id INTEGER)")
    secret = f"SELECT * FROM '{tmp_path / 'secret.csv'}'"
    assert con.con.execute(secret).fetchall() == [(1,)]
    with pytest.raises(es.InputError, match="has no OMOP table person"):
        datasets.scan("omop", path, con=con)
    for query in (secret, "SET enable_external_access = true", "SET lock_configuration = false"):
        with pytest.raises(duckdb.Error):
            con.con.execute(query)


DOCUMENTS = {
    "gan.json": [
        lambda known: [], lambda known: known | {"layout": 5}, lambda known: known | {"steps": {}},
        lambda known: {k: v for k, v in known.items() if k != "layout"},
        lambda known: known | {"layout": [{"name": "x"}]}, lambda known: known | {"recipe": "x"},
        lambda known: known | {"history": {"a": [[1], 2]}},
    ],
    "preprocessor.json": [
        lambda known: [], lambda known: known | {"options": 3}, lambda known: known | {"bins": []},
        lambda known: known | {"schema": {"columns": [{"name": "../x"}]}},
        lambda known: {k: v for k, v in known.items() if k != "steps"},
    ],
    "form.json": [
        lambda known: [], lambda known: {}, lambda known: {"columns": 4, "csv": {}, "arrow": ""},
        lambda known: {"file": ".csv", "csv": {"sep": 3}, "arrow": "AAAA", "columns": [{}]},
        lambda known: {"file": ".csv", "csv": {"encoding": "rot13"}, "arrow": "", "columns": []},
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "number"),
    [(name, i) for name, all_of in DOCUMENTS.items() for i in range(len(all_of))],
)
def test_a_strangers_model_is_used_or_refused_in_a_sentence(saved, tmp_path, name, number):
    shutil.copytree(saved, tmp_path / "model")
    path = tmp_path / "model" / name
    known = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(DOCUMENTS[name][number](known)))
    with pytest.raises(es.InputError) as refused:
        generate(tmp_path / "model", 5, tmp_path / "more.csv")
    assert len(str(refused.value)) < 2_000 and not (tmp_path / "more.csv").exists()
