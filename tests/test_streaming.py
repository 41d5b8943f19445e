"""Writing patients a chunk at a time: complete, seeded, and the same after a kill."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from toy import toy_patients

import ehrsynth as es
from ehrsynth import stream as streaming
from ehrsynth.gan.recipe import MODERN
from ehrsynth.rules import Between, write_rules

OWN = [Between("age", 30, 80)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model of three steps, saved as a run leaves it."""
    folder = tmp_path_factory.mktemp("model")
    train = toy_patients(400)
    prep = es.Preprocessor().fit(train)
    gan = es.EMRWGAN(replace(MODERN, width=16, layers=1), steps=3).fit(prep.transform(train))
    gan.save(folder)
    prep.save(folder)
    write_rules(OWN, folder / "rules.json")
    return gan, prep, folder


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(streaming, "CHUNK", 50)


def stop_in_chunk(monkeypatch, gan, number):
    """Let the model fail when it is asked for that chunk; the first call is for the fingerprint."""
    calls = []
    sample = type(gan).sample

    def fail(self, *arguments, **options):
        calls.append(1)
        if len(calls) == number + 2:
            raise KeyboardInterrupt
        return sample(self, *arguments, **options)

    monkeypatch.setattr(type(gan), "sample", fail)
    return calls


def test_chunks_differ_from_each_other(tmp_path, model):
    gan, prep, _ = model
    es.generate(gan, prep, 150, tmp_path / "all", rules=OWN)
    parts = [pd.read_parquet(part) for part in sorted((tmp_path / "all").glob("part-*"))]
    assert len(parts) == 3
    assert not parts[0].equals(parts[1]) and not parts[1].equals(parts[2])


@pytest.mark.parametrize("name", ["x.parquet", "x.csv", "x"])
def test_stopped_and_started_again_gives_the_same_bytes(tmp_path, model, monkeypatch, name):
    gan, prep, _ = model
    whole = es.generate(gan, prep, 220, tmp_path / "whole" / name, rules=OWN)
    out = tmp_path / "stopped" / name
    calls = stop_in_chunk(monkeypatch, gan, 3)
    with pytest.raises(KeyboardInterrupt):
        es.generate(gan, prep, 220, out, rules=OWN)
    assert not out.is_file()
    calls[:] = [1] * 10
    assert es.generate(gan, prep, 220, out, rules=OWN) == whole
    assert len(calls) == 10 + 1 + 2, "a finished chunk was made again"
    same = [p.relative_to(tmp_path / "whole") for p in sorted((tmp_path / "whole").rglob("*.*"))]
    assert same == [p.relative_to(tmp_path / "stopped") for p in sorted(out.parent.rglob("*.*"))]
    for path in same:
        assert (out.parent / path).read_bytes() == (tmp_path / "whole" / path).read_bytes()


def test_a_file_and_a_folder_hold_the_same_patients_and_count_their_repairs(tmp_path, model):
    gan, prep, _ = model
    repaired = es.generate(gan, prep, 220, tmp_path / "x.parquet", rules=OWN)
    es.generate(gan, prep, 220, tmp_path / "x", rules=OWN)
    table = pd.read_parquet(tmp_path / "x.parquet")
    pd.testing.assert_frame_equal(table, pd.read_parquet(tmp_path / "x"))
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["x.parquet"]
    assert len(table) == 220 and table["age"].between(30, 80).all()
    free = tmp_path / "free.parquet"
    assert es.generate(gan, prep, 220, free, rules=False) == {}
    before = pd.read_parquet(free)["age"]
    assert repaired == {"age between 30 and 80": (~before.between(30, 80)).sum()}
    pd.testing.assert_series_equal(table["age"], before.clip(30, 80))
    assert pq.ParquetFile(tmp_path / "x.parquet").num_row_groups == 5


@pytest.mark.parametrize("name", ["x.parquet", "x.csv"])
def test_stopped_while_the_parts_are_joined(tmp_path, model, monkeypatch, name):
    gan, prep, _ = model
    es.generate(gan, prep, 120, tmp_path / f"whole-{name}")

    def stop(parts, path):
        parts[0].with_name(f".{parts[0].name}.0123abcd.part").write_bytes(parts[0].read_bytes())
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(streaming, "_join", stop)
        with pytest.raises(KeyboardInterrupt):
            es.generate(gan, prep, 120, tmp_path / name)
    assert [p.name for p in tmp_path.glob("x.*")] == [f"{name}.parts"]
    es.generate(gan, prep, 120, tmp_path / name)
    assert (tmp_path / name).read_bytes() == (tmp_path / f"whole-{name}").read_bytes()
    assert [p.name for p in tmp_path.glob("x.*")] == [name]


def test_many_parts_are_joined_in_order_into_fewer_row_groups(tmp_path):
    parts = [tmp_path / f"{i}.parquet" for i in range(300)]
    table = pd.DataFrame({"i": range(600), "c": pd.Categorical(list("ab") * 300)})
    for i, part in enumerate(parts):
        table[2 * i : 2 * i + 2].to_parquet(part, index=False)
    streaming._join(parts, tmp_path / "whole" / "x.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "whole" / "x.parquet"), table)
    assert pq.ParquetFile(tmp_path / "whole" / "x.parquet").num_row_groups == 150


def test_parts_of_another_job_are_not_mixed_in(tmp_path, model, monkeypatch):
    gan, prep, _ = model
    whole = tmp_path / "whole.parquet"
    es.generate(gan, prep, 220, whole, seed=1)
    for name in ("x.parquet", "x"):
        with monkeypatch.context() as patch:
            stop_in_chunk(patch, gan, 2)
            with pytest.raises(KeyboardInterrupt):
                es.generate(gan, prep, 220, tmp_path / name, seed=0)
    es.generate(gan, prep, 220, tmp_path / "x.parquet", seed=1)
    assert (tmp_path / "x.parquet").read_bytes() == whole.read_bytes()
    for n, where, wrong in [(220, None, "seed 0, not 1"), (90, None, "patients 220, not 90"),
                            (220, {"sex": "F"}, "where {}, not {'sex': 'F'}")]:  # fmt: skip
        seed = 1 if "seed" in wrong else 0
        with pytest.raises(es.InputError, match=wrong):
            es.generate(gan, prep, n, tmp_path / "x", seed=seed, where=where)
    other = es.EMRWGAN(gan.recipe, seed=1, steps=3).fit(prep.transform(toy_patients(400)))
    with pytest.raises(es.InputError, match="made with model '.*choose another folder"):
        es.generate(other, prep, 220, tmp_path / "x")


def test_a_lost_part_is_made_again(tmp_path, model):
    gan, prep, _ = model
    repaired = es.generate(gan, prep, 120, tmp_path / "x")
    before = pd.read_parquet(tmp_path / "x")
    (tmp_path / "x" / "part-00001.parquet").unlink()
    assert es.generate(gan, prep, 120, tmp_path / "x") == repaired
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "x"), before)


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path, model):
    gan, prep, _ = model
    for name in ("mine", "x.csv.parts"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.txt").write_text("all I have")
    for name, reason in [("mine", "mine is there already"), ("x.csv", "x.csv.parts is there")]:
        with pytest.raises(es.InputError, match=reason):
            es.generate(gan, prep, 10, tmp_path / name)
    (tmp_path / "y.csv").mkdir()
    with pytest.raises(es.InputError, match="y.csv is a folder"):
        es.generate(gan, prep, 10, tmp_path / "y.csv")
    assert len(list(tmp_path.rglob("thesis.txt"))) == 2


@pytest.mark.parametrize("other", ["thesis.txt", "part-00009.parquet", "part-0/part-00001.csv"])
@pytest.mark.parametrize("name", ["x", "x.parquet"])
def test_what_somebody_puts_among_the_parts_is_neither_read_nor_removed(
    tmp_path, model, monkeypatch, name, other
):
    """Whoever reads the folder would take it for a part; the folder of a file's parts goes."""
    gan, prep, _ = model
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_in_chunk(patch, gan, 2)
        es.generate(gan, prep, 220, tmp_path / name)
    mine = next(tmp_path.glob("x*")) / other
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("all I have")
    with pytest.raises(es.InputError, match=f"not ours .*{other}"):
        es.generate(gan, prep, 220, tmp_path / name)
    assert mine.read_text() == "all I have"
    mine.unlink()
    if "/" in other:
        mine.parent.rmdir()
    es.generate(gan, prep, 220, tmp_path / name)


GENERATE = """
import sys
from ehrsynth import cli, stream
stream.CHUNK = 50
sys.argv[0] = "ehrsynth"
cli.main()
"""


def test_killed_and_started_again_gives_the_same_file(tmp_path, model):
    """SIGKILL from the command line, with conditions and the rules that the model remembers."""

    def command(out):
        return [
            sys.executable, "-c", GENERATE, "generate", "--model", str(model[2]), "--n", "3000",
            "--out", str(out), "--where", "DIE_1y=1", "--where", "sex=F",
        ]  # fmt: skip

    def done(out):
        job = Path(f"{out}.parts") / "_job.json"
        return len(json.loads(job.read_text())["finished"]) if job.is_file() else 0

    out = tmp_path / "killed.parquet"
    process = subprocess.Popen(command(out), stderr=subprocess.DEVNULL)
    while process.poll() is None and done(out) < 5:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists() and 5 <= done(out) < 60, "killed too late to test anything"
    times = {p.name: p.stat().st_mtime_ns for p in Path(f"{out}.parts").glob("part-0000[0-4]*")}
    again = subprocess.Popen(command(out), stderr=subprocess.DEVNULL, stdout=subprocess.PIPE)
    while again.poll() is None and done(out) < 50:
        time.sleep(0.005)
        kept = {n: (Path(f"{out}.parts") / n).stat().st_mtime_ns for n in times}
        assert kept == times, "a finished part was made again"
    said, _ = again.communicate()
    assert again.returncode == 0 and b"age between 30 and 80" in said
    whole = tmp_path / "whole.parquet"
    gan, prep, _ = model
    es.generate(gan, prep, 3_000, whole, where={"DIE_1y": "1", "sex": "F"}, rules=OWN)
    assert out.read_bytes() == whole.read_bytes()
    table = pd.read_parquet(out)
    assert len(table) == 3_000
    assert (table["DIE_1y"] == 1).all() and (table["sex"] == "F").all()
    assert table["age"].between(30, 80).all()
    assert [p.name for p in tmp_path.iterdir() if "killed" in p.name] == ["killed.parquet"]
