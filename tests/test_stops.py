"""What is stopped says so, leaves nothing behind, and goes on; options come from a file, too."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from ehrsynth import files
from ehrsynth.errors import InputError


def start(*arguments, **options):
    command = [sys.executable, "-m", "ehrsynth.cli", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                            **options)  # fmt: skip


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"died": rng.integers(0, 2, 600), "age": rng.normal(50, 9, 600).round(1)})
    table.to_csv(tmp_path / "patients.csv", index=False)
    return tmp_path / "patients.csv"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_stopped_says_that_it_goes_on(data, tmp_path, number, code):
    arguments = ["run", "--dataset", "table", "--data", data, "--outcome", "died",
                 "--profile", "fast", "--out", tmp_path / "run"]  # fmt: skip
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    job = start(*arguments, env=os.environ | {"TMPDIR": str(temporary)})
    while not (tmp_path / "run" / "train.parquet").is_file():
        assert job.poll() is None, job.stderr.read()
        time.sleep(0.05)
    job.send_signal(number)
    _, said = job.communicate(timeout=60)
    assert job.returncode == code and "Traceback" not in said
    assert said.strip().endswith("Stopped. The same command goes on from here.")
    assert not list(tmp_path.rglob("*.part")) and not list(temporary.iterdir())


def test_what_a_killed_process_had_unpacked_goes_with_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(files.tempfile, "gettempdir", lambda: str(tmp_path))
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                          capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
    for name in (f"ehrsynth-{gone}-x", f"ehrsynth-{os.getpid()}-x", "ehrsynth-mine", "other-1-x"):
        (tmp_path / name).mkdir()
    files.temporary_folder().rmdir()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {f"ehrsynth-{os.getpid()}-x", "ehrsynth-mine", "other-1-x"}


@pytest.mark.parametrize(
    ("said", "code", "words"),
    [
        ("dataset: nowhere\nout: {out}\n", 2, "There is no data set 'nowhere'"),
        ("data-set: table\n", 2, "has no option 'data-set'"),
        ("config: other.yaml\n", 2, "has no option 'config'"),
        ("- table\n", 2, "does not give options as 'name: value'"),
        ("seed: many\nout: {out}\n", 2, "--seed"),
        ("dataset: table\ndata: {data}\nleast-patients: 0\noutcome: died\nout: {out}\n", 2, "0"),
    ],
)
def test_options_from_a_file(data, tmp_path, said, code, words):
    path = tmp_path / "job.yaml"
    path.write_text(said.format(out=tmp_path / "run", data=data))
    job = start("run", "--config", path)
    _, error = job.communicate(timeout=60)
    assert job.returncode == code and words in error and "Traceback" not in error
    assert not (tmp_path / "run").exists()


def test_the_command_line_goes_before_the_file(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text(f"dataset: nowhere\nout: {tmp_path / 'a'}\n")
    job = start("run", "--config", path, "--dataset", "elsewhere")
    assert "There is no data set 'elsewhere'" in job.communicate(timeout=60)[1]


def test_names_from_files_do_not_play_with_the_terminal(tmp_path):
    name = "a\x1b[2J\u202eb\x07"
    pd.DataFrame({name: [1, 2], "b": [1, 2]}).to_csv(tmp_path / "t.csv", index=False)
    job = start("run", "--dataset", "table", "--data", tmp_path / "t.csv", "--outcome", "c",
                "--out", tmp_path / "run")  # fmt: skip
    said = job.communicate(timeout=60)[1]
    assert job.returncode == 2 and "control character in the name of column 1" in said
    assert not set("\x1b\x07\u202e") & set(said)


@pytest.mark.parametrize(
    ("packed", "unpacked", "refused"),
    [(10**6, 10**9, True), (10**7, 10**9, False), (10, 10**6, False), (10**9, 10**12, True)],
)
def test_a_bomb_is_what_unpacks_far_beyond_its_size(packed, unpacked, refused):
    if refused:
        with pytest.raises(InputError, match="a.gz unpacks to more than 200 times its size"):
            files.check_room("a.gz", packed, unpacked)
    else:
        files.check_room("a.gz", packed, unpacked)
