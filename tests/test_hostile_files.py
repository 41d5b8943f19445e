"""Files from elsewhere, each through the real command: one sentence, soon, in little memory.

None takes 20 seconds, holds 2 GB, ends in a traceback or reads a file that it was not given.
"""

import gzip
import json
import os
import re
import shutil
import struct
import zipfile
from itertools import pairwise

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hostile import SECRET, refused
from safetensors.numpy import load_file, save_file
from toy import saved_toy_model

import ehrsynth as es
from ehrsynth.rules import write_rules
from ehrsynth.sources.flat.file import read_file

DEEP = "[" * 3_000 + "]" * 3_000
OPEN = "[" * 100_000


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = saved_toy_model(tmp_path_factory.mktemp("model"))
    write_rules([], folder / "rules.json")
    return folder


@pytest.fixture
def place(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "model")
    (tmp_path / "secret.csv").write_text(f"person_id,died\n{SECRET},1\n" * 50)
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"died": rng.integers(0, 2, 60), "age": rng.integers(20, 90, 60)})
    table.to_csv(tmp_path / "good.csv", index=False)
    return tmp_path


# -- model folders -----------------------------------------------------------------------------


def change(name, new):
    def make(model):
        known = json.loads((model / name).read_text())
        (model / name).write_text(json.dumps(new(known)))

    return make


def text(name, content):
    return lambda model: (model / name).write_text(content)


def tensors(new):
    def make(model):
        path = model / "gan.safetensors"
        save_file(new({k: v.copy() for k, v in load_file(path).items()}), path)

    return make


def recipe(**sizes):
    """A recipe that asks for networks far larger than the weights that are there."""

    def new(known):
        whole = es.EMRWGAN(known["recipe"])
        whole._settle(())
        own = {k: v for k, v in vars(whole.recipe_).items()}
        return known | {"recipe": own | sizes}

    return change("gan.json", new)


def header(length, rest=b"{}"):
    return lambda model: (model / "gan.safetensors").write_bytes(struct.pack("<Q", length) + rest)


def link(name, to="secret.csv"):
    def make(model):
        (model / name).unlink()
        (model / name).symlink_to(model.parent / to if not to.startswith("/") else to)

    return make


def pipe(name):
    def make(model):
        (model / name).unlink()
        os.mkfifo(model / name)

    return make


def pickled(model):
    torch.save({"a": torch.zeros(3)}, model / "gan.safetensors")


MODELS = {
    "settings 3,000 deep": text("gan.json", DEEP),
    "settings that never close": text("gan.json", OPEN),
    "settings of 70 MB": text("gan.json", "[" + "1," * 35_000_000 + "1]"),
    "settings as a pipe": pipe("gan.json"),
    "settings without end": link("gan.json", "/dev/zero"),
    "settings linked to a secret": link("gan.json"),
    "a number of 5,000 digits": text("gan.json", '{"seed": ' + "9" * 5_000 + "}"),
    "networks of a million wide": recipe(width=10**6),
    "networks of 10^30 wide": recipe(width=10**30),
    "networks of a million layers": recipe(layers=10**6),
    "noise of 10^9": recipe(latent=10**9),
    "a block of 40,000 labels": change(
        "gan.json",
        lambda known: known | {"layout": [
            known["layout"][0] | {"labels": [str(i) for i in range(40_000)]}, *known["layout"][1:]
        ]},
    ),
    "weights with a header of 2^60 bytes": header(2**60),
    "weights with a deep header": header(6_000, DEEP.encode()),
    "weights of which the header lies": header(
        85, b'{"shift":{"dtype":"F32","shape":[100000,100000],"data_offsets":[0,40000000000]}}     '
    ),
    "weights that are a pickle": pickled,
    "weights as a pipe": pipe("gan.safetensors"),
    "weights linked to a secret": link("gan.safetensors"),
    "weights that are no numbers": tensors(
        lambda known: known | {"shift": np.full_like(known["shift"], np.nan)}
    ),
    "a preprocessor 3,000 deep": text("preprocessor.json", DEEP),
    "a preprocessor as a pipe": pipe("preprocessor.json"),
    "a preprocessor of another kind": text("preprocessor.json", '{"schema": {"columns": 5}}'),
    "rules 3,000 deep": text("rules.json", DEEP),
    "rules that are none": text("rules.json", '{"between": 5}'),
    "settings with a text of 50 MB": text("gan.json", '{"seed": "' + "x" * 50_000_000 + '"}'),
    "settings that say a thing twice": text("gan.json", '{"recipe": {}, "recipe": NaN}'),
    "weights that begin after the file": header(
        64, b'{"shift":{"dtype":"F32","shape":[4],"data_offsets":[900,916]}}  ' + b"\0" * 16
    ),
    "settings linked to the house's users": link("gan.json", "/etc/passwd"),
    "a form 3,000 deep": text("form.json", DEEP),
    "a form that is no form": text("form.json", '{"columns": [{"name": "../x"}], "arrow": "A"}'),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_a_strangers_model(place, ask, name):
    MODELS[name](place / "model")
    refused(place, ask("generate", "--model", place / "model", "--n", 5, "--out", place / "more"))
    assert not list(place.glob("more/part-*"))


def test_a_friends_model(place, ask):
    answer = ask("generate", "--model", place / "model", "--n", 5, "--out", place / "more")
    assert answer["code"] == 0 and (place / "more").exists(), answer


# -- tables ------------------------------------------------------------------------------------


def zipped(name, piece, times, end=b""):
    def make(folder):
        with gzip.open(folder / name, "wb", 9) as file:
            for _ in range(times):
                file.write(piece)
            file.write(end)
        return folder / name

    return make


def written(name, content):
    def make(folder):
        (folder / name).write_bytes(content)
        return folder / name

    return make


def parquet_bomb(folder):
    part = pa.table({name: pa.array(np.zeros(5_000_000, np.int8)) for name in ("died", "age")})
    with pq.ParquetWriter(folder / "a.parquet", part.schema, compression="zstd") as writer:
        for _ in range(80):
            writer.write_table(part)
    return folder / "a.parquet"


def parquet_texts(folder):
    """Few rows of a text of 200 MB, which packs into nothing."""
    long = pa.array(["x" * 200_000_000] * 3)
    died = pa.array([0, 1, 1])
    pq.write_table(pa.table({"died": died, "note": long}), folder / "a.parquet", compression="zstd")
    return folder / "a.parquet"


def parquet_million(folder):
    """A million times the same text of 1 MB, which is written once."""
    note = pa.DictionaryArray.from_arrays(pa.array(np.zeros(10**6, np.int32)), ["x" * 10**6])
    table = pa.table({"died": pa.array(np.zeros(10**6, np.int8)), "note": note})
    pq.write_table(table, folder / "a.parquet", store_schema=False)  # so it is read as texts
    return folder / "a.parquet"


def parquet_attributes(content):
    def make(folder):
        table = pa.table({"died": [0, 1] * 50, "age": list(range(100))})
        table = table.replace_schema_metadata({"PANDAS_ATTRS": content, "pandas": content})
        pq.write_table(table, folder / "a.parquet")
        return folder / "a.parquet"

    return make


def parquet_nested(folder):
    """A column of lists of lists, 3,000 times: whoever reads its schema may fall."""
    elements = [b"\x48\x06schema\x15\x02\x00"]
    elements += [b"\x35\x02\x18\x01a\x15\x02\x00"] * 3_000
    footer = b"\x15\x02\x19\xfc\xb9\x17" + b"".join(elements) + b"\x16\x02\x19\x0c\x00"
    content = b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1"
    (folder / "a.parquet").write_bytes(content)
    return folder / "a.parquet"


def parquet_spoilt(folder):
    pd.DataFrame({"died": [0, 1] * 500, "age": range(1000)}).to_parquet(folder / "a.parquet")
    content = bytearray((folder / "a.parquet").read_bytes())
    content[10:400] = b"\xff" * 390
    (folder / "a.parquet").write_bytes(bytes(content))
    return folder / "a.parquet"


def fifo(folder):
    os.mkfifo(folder / "a.csv")
    return folder / "a.csv"


def endless(folder):
    (folder / "a.csv").symlink_to("/dev/zero")
    return folder / "a.csv"


def circle(folder):
    (folder / "a.csv").symlink_to("b.csv")
    (folder / "b.csv").symlink_to("a.csv")
    return folder / "a.csv"


def wide(folder):
    pd.DataFrame({f"c{i}": [0, 1] for i in range(20_000)}).to_parquet(folder / "a.parquet")
    return folder / "a.parquet"


GOOD = b"died,age\n" + b"1,40\n0,50\n" * 30
TABLES = {
    "a gz bomb": zipped("a.csv.gz", b"0,0\n" * 2**20, 150),
    "a gz bomb of one line": zipped("a.csv.gz", b"0" * 2**22, 150),
    "half a gz": lambda folder: written(
        "b.csv.gz", zipped("a.csv.gz", GOOD, 50)(folder).read_bytes()[:-20]
    )(folder),
    "a gz of something else": written("a.csv.gz", b"\x1f\x8b\x08" + b"\x00" * 500),
    "a Parquet bomb": parquet_bomb,
    "Parquet with texts of 200 MB": parquet_texts,
    "Parquet with a million texts of 1 MB": parquet_million,
    "Parquet with attributes 100,000 deep": parquet_attributes(OPEN),
    "Parquet with attributes that are none": parquet_attributes("5 5"),
    "spoilt Parquet": parquet_spoilt,
    "Parquet with a footer of 4 GB": written("a.parquet", b"PAR1" + b"\xff\xff\xff\xffPAR1"),
    "Parquet that is none": written("a.parquet", b"PAR1" + b"\x15" * 600 + b"\x58\x02\0\0PAR1"),
    "random bytes": written("a.csv", np.random.default_rng(0).bytes(300_000)),
    "zero bytes": written("a.csv", b"\0" * 1_000_000),
    "a line of 30 MB": written("a.csv", b"died,age\n" + b"1" * 30_000_000),
    "a quote that never closes": written("a.csv", b'died,age\n1,"40\n' + b"0,50\n" * 100_000),
    "100,000 columns": written("a.csv", (",".join(f"c{i}" for i in range(10**5)) + "\n").encode()),
    "names that move the cursor": written("a.csv", b"died,a\x1b[2J\n" + b"1,2\n0,3\n" * 30),
    "Parquet of 3,000 levels": parquet_nested,
    "a line of 200 MB of quotes": written("a.csv", b"died,age\n" + b'"' * 200_000_001),
    "a gz in a gz": lambda folder: written("a.csv.gz", gzip.compress(gzip.compress(GOOD)))(folder),
    "a pipe": fifo,
    "a file without end": endless,
    "links in a circle": circle,
    "Parquet of 20,000 columns": wide,
    "a file with another's ending": lambda folder: written("a.xlsx", GOOD)(folder),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_strangers_table(place, ask, name):
    path = TABLES[name](place)
    said = refused(
        place, ask("run", "--dataset", "table", "--data", path, "--outcome", "died",
                   "--profile", "fast", "--out", place / "out"),
    )  # fmt: skip
    assert not (place / "out").exists() and not re.search(r"[\x00-\x08\x1b]", said)


@pytest.mark.parametrize(
    "name", ["a gz bomb", "a Parquet bomb", "spoilt Parquet", "a pipe", "links in a circle"]
)
def test_a_strangers_synthetic_patients(place, ask, name):
    path = TABLES[name](place)
    good = place / "good.csv"
    refused(
        place, ask("evaluate", "--train", good, "--holdout", good, "--synthetic", path,
                   "--outcome", "died", "--out", place / "out"),
    )  # fmt: skip


# -- what a person writes by hand ----------------------------------------------------------------

BOMB = "a: &a [x, x]\n" + "".join(
    f"{new}: &{new} [*{old}, *{old}, *{old}]\n" for old, new in pairwise("abcdefghijk")
)
DOCUMENTS = {
    "an alias bomb": ("x.yaml", BOMB),
    "a document 3,000 deep": ("x.yaml", DEEP),
    "one that never closes": ("x.json", OPEN),
    "one that calls Python": ("x.yaml", "a: !!python/object/apply:os.system ['echo x > out']\n"),
    "half a letter": ("x.yaml", 'age: {label: "\\ud800"}\n'),
    "5,000 digits to the base 16": ("x.yaml", "age: {bounds: [0, 0x" + "f" * 5000 + "]}"),
    "a number of 5,000 digits": ("x.yaml", "age: {bounds: [0, " + "9" * 5000 + "]}"),
    "bounds that are no numbers": ("x.yaml", "age: {bounds: [.nan, .inf]}\nsteps: .nan\n"),
    "a document that is none": ("x.yaml", "\0\1\2"),
    "100,000 anchors": ("x.yaml", "".join(f"a{i}: &a{i} 1\n" for i in range(100_000))),
}  # fmt: skip


@pytest.mark.parametrize("option", ["--columns", "--rules", "--config"])
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_strangers_document(place, ask, name, option):
    file, content = DOCUMENTS[name]
    (place / file).write_text(content)
    refused(
        place, ask("run", "--dataset", "table", "--data", place / "good.csv", "--outcome", "died",
                   option, place / file, "--out", place / "out"),
    )  # fmt: skip


# -- databases and archives ----------------------------------------------------------------------


def database(*queries):
    def make(place):
        with duckdb.connect(str(place / "a.duckdb")) as own:
            for query in queries:
                own.execute(query.format(secret=f"'{place / 'secret.csv'}'"))
        return place / "a.duckdb"

    return make


def archive(spoil=None, **members):
    def make(place):
        with zipfile.ZipFile(place / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in members.items():
                packed.writestr(name.replace("__", "/") + ".csv", content)
        if spoil:
            content = bytearray((place / "a.zip").read_bytes())
            spoil(content)
            (place / "a.zip").write_bytes(bytes(content))
        return place / "a.zip"

    return make


def scramble(content):
    content[60:120] = b"\xaa" * 60


PERSON = "person_id,gender_concept_id,year_of_birth\n" + "1,8507,1950\n" * 400
DATABASES = {
    "a view on a secret": database("CREATE VIEW person AS SELECT * FROM {secret}"),
    "a view beside a table": database(
        "CREATE TABLE death (person_id INTEGER)", "CREATE VIEW person AS SELECT * FROM {secret}"
    ),
    "a macro on a secret": database(
        "CREATE TABLE death (person_id INTEGER)",
        "CREATE MACRO person() AS TABLE SELECT * FROM read_csv({secret})",
    ),
    "spoilt DuckDB": written("a.duckdb", b"\0" * 8 + b"DUCK" + b"\xff" * 20_000),
    "a zip bomb": archive(person="0" * 600_000_000),
    "a spoilt zip": archive(scramble, person=PERSON),
    "half a zip": archive(lambda content: content.__delitem__(slice(40, 80)), person=PERSON),
    "a zip of 100,000 files": archive(**{f"x{i}": "" for i in range(100_000)}),
    "a zip that climbs": archive(**{"..__..__person": PERSON}),
}  # fmt: skip


@pytest.mark.parametrize("name", DATABASES)
def test_a_strangers_database(place, ask, name):
    path = DATABASES[name](place)
    refused(
        place, ask("run", "--dataset", "omop", "--data", path, "--profile", "fast",
                   "--out", place / "out"),
    )  # fmt: skip
    assert not (place.parents[1] / "person.csv").exists()


# -- packages ----------------------------------------------------------------------------------

MANIFESTS = {
    "3,000 deep": DEEP,
    "a list": "[]",
    "files that are no names": '{"files": [1, 2]}',
    "a path that climbs": '{"files": {"../secret.csv": "00"}}',
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_strangers_package(place, ask, name):
    (place / "package").mkdir()
    (place / "package" / "manifest.json").write_text(MANIFESTS[name])
    refused(place, ask("verify", place / "package"))


def test_a_package_with_a_pipe(place, ask):
    (place / "package").mkdir()
    os.mkfifo(place / "package" / "card.md")
    (place / "package" / "manifest.json").write_text('{"files": {"card.md": "00"}}')
    refused(place, ask("verify", place / "package"))


def test_a_model_whose_package_names_other_files(place, ask):
    """To look whether the model is what its package says must not look elsewhere."""
    names = {"model/../secret.csv": "00", "model/gan.json": "00"}
    (place / "manifest.json").write_text(json.dumps({"files": names}))
    refused(place, ask("generate", "--model", place / "model", "--n", 5, "--out", place / "more"))


def test_there_are_as_many_as_promised():
    number = len(MODELS) + len(TABLES) + len(DATABASES) + len(MANIFESTS) + 3 * len(DOCUMENTS)
    assert number >= 40


def test_a_release_from_links_in_a_circle(place, ask):
    refused(place, ask("release", circle(place), "--out", place / "out"))


def test_a_table_of_many_columns_is_read_whatever_its_delimiter(tmp_path):
    """For the other delimiters its names are one field, longer than the csv module takes."""
    names = [f"measurement_{i:05d}" for i in range(9_000)]
    (tmp_path / "a.csv").write_text(";".join(names) + "\n" + ";".join(["1"] * 9_000) + "\n")
    assert read_file(tmp_path / "a.csv").frame.shape == (1, 9_000)
