"""Files are whole or not there, and errors name them."""

import os
import subprocess
import sys

import pandas as pd
import pytest

from ehrsynth import cli
from ehrsynth.errors import InputError
from ehrsynth.evaluation.report import Report
from ehrsynth.files import atomic_path, read_json, read_table, sweep, write_json, write_table
from ehrsynth.run_folder import RunFiles, RunFolder


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.csv.gz"])
def test_round_trip(tmp_path, name):
    table = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    write_table(table, tmp_path / name)
    pd.testing.assert_frame_equal(read_table(tmp_path / name), table)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.json"
    write_json({"old": 1}, path)
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(path) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Cannot write .*file"):
        write_json({}, tmp_path / "file" / "a.json")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", b"not parquet", "a.parquet cannot be read"),
        ("a.csv", b"", "a.csv cannot be read"),
        ("a.csv.gz", b"not gzip", "a.csv.gz cannot be read"),
        ("a.xlsx", b"", "unknown ending"),
        ("a.csv", b"x,y\n1\n1,2,3,4\n", "a.csv cannot be read"),
        ("a.csv", b"x\n\xff\xfe\xfa\n", "a.csv cannot be read"),
    ],
)
def test_unreadable_tables(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_table(tmp_path / name)


def test_missing_table(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_table(tmp_path / "no.csv")


def test_broken_json(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(InputError, match="a.json is not readable JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(InputError, match="is not readable JSON: .*too long"):
        read_json(tmp_path / f"{'a' * 300}.json")


# -- what a killed command leaves ------------------------------------------------------------------

KILLED = """
import os, sys, time
from ehrsynth.files import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("half")
    print("half", flush=True)
    time.sleep(600)
"""


def half_written(path):
    """A process that is in the middle of writing a file."""
    command = [sys.executable, "-c", KILLED, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "half\n"
    return process


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_the_next_write_removes_what_a_killed_one_left_and_no_other(tmp_path):
    """Of the same file; not what another process writes right now, nor what is like it."""
    path, other = tmp_path / "a[1].json", tmp_path / "a[1].json.more.json"
    with half_written(path) as writes, half_written(other) as lives:
        write_json({}, path)
        assert len(list(tmp_path.glob(".*.part"))) == 2  # both are alive
        writes.kill()
        writes.wait()
        write_json({}, path)
        write_json({}, other)
        assert [p.name[:20] for p in tmp_path.glob(".*.part")] == [".a[1].json.more.json"]
        sweep(tmp_path)
        assert len(list(tmp_path.glob(".*.part"))) == 1
        lives.kill()
    sweep(tmp_path.parent)
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name, other.name]


def leave(folder, *names):
    """Half a file of each of these names, as a kill would have left it."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f".{path.name}.0123abcd.part").write_text("half")


def test_simulate_removes_what_a_killed_one_left(tmp_path):
    leave(tmp_path, "hosp/patients.csv.gz", "hosp/labevents.csv.gz", "truth.json")
    cli.simulate(out=tmp_path, patients=30)
    assert not list(tmp_path.rglob("*.part")) and (tmp_path / "truth.json").is_file()


def test_a_report_removes_what_a_killed_one_left(tmp_path):
    """As evaluate ends with it."""
    leave(tmp_path, "metrics.json", "report.html", "card.md")
    report = Report([], {})
    report.save(tmp_path)
    assert not list(tmp_path.rglob("*.part")) and (tmp_path / "card.md").is_file()


def test_a_folder_of_patients_is_hidden_from_git_before_anything_else(tmp_path, monkeypatch):
    """Who is killed at once and starts again would not come there a second time."""
    killed = KeyboardInterrupt

    def stop(self, content):
        raise killed

    monkeypatch.setattr(RunFolder, "_write", stop)
    with pytest.raises(killed):
        RunFolder(tmp_path / "run").claim({}, "1", True, RunFiles.of("table", None, None, 1))
    assert (tmp_path / "run" / ".gitignore").read_text() == "*\n"
    monkeypatch.undo()
    RunFolder(tmp_path / "run").claim({}, "1", True, RunFiles.of("table", None, None, 1))
    assert (tmp_path / "run" / ".gitignore").is_file()


def test_a_folder_in_the_place_of_a_table_is_called_one(tmp_path):
    (tmp_path / "train.parquet").mkdir()
    with pytest.raises(InputError, match="train.parquet is a folder; give a file"):
        read_table(tmp_path / "train.parquet")
    with pytest.raises(InputError, match="does not exist"):
        read_table(tmp_path / "other.parquet")
