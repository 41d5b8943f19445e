"""What is stopped says so, leaves nothing behind, and goes on; options come from a file, too."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from toy import toy_patients

import ehrsynth as es
from ehrsynth import files, terminal
from ehrsynth.errors import InputError
from ehrsynth.runs import _end_with


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


def caught(process, number):
    """Whether a process has a handler of its own for a signal."""
    try:
        status = open(f"/proc/{process.pid}/status").read()
    except OSError:
        return False
    return bool(int(status.partition("SigCgt:")[2].split()[0], 16) >> (number - 1) & 1)


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="needs Linux's /proc")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("wait", [0.0, 0.1, 0.3])
def test_who_stops_it_while_it_still_imports_is_answered_too(tmp_path, number, code, wait):
    command = [sys.executable, "-m", "ehrsynth", "run", "--out", str(tmp_path / "run")]
    job = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not caught(job, signal.SIGTERM):  # which Python itself does not catch
        assert job.poll() is None
        time.sleep(0.002)
    time.sleep(wait)
    job.send_signal(number)
    said = job.communicate(timeout=60)[1]
    assert job.returncode == code and said == "Stopped. The same command goes on from here.\n"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_is_a_stop_whatever_a_library_makes_of_it(monkeypatch, capsys, number, code):
    """What a library calls when it is stopped may be swallowed there, and end as its own error."""
    monkeypatch.setattr(terminal, "_stopped", [])
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as end, terminal.one_sentence():
        try:
            signal.raise_signal(number)
        except SystemExit:
            raise InputError("model does not hold a saved model") from None
    assert end.value.code == code and capsys.readouterr().err == f"{terminal.STOPPED}\n"
    assert signal.getsignal(number) == before


def test_a_process_of_its_own_ends_with_the_one_that_started_it(monkeypatch):
    """Also where that was killed and could tell nobody."""
    parents = iter([7, 7, 1])
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(os, "_exit", lambda code: (_ for _ in ()).throw(SystemExit(code)))
    with pytest.raises(SystemExit) as end:
        _end_with(7)
    assert end.value.code == 1 and next(parents, None) is None


def test_what_a_killed_process_had_unpacked_goes_with_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(files.tempfile, "gettempdir", lambda: str(tmp_path))
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                          capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
    for name in (f"ehrsynth-{gone}-x", f"ehrsynth-{os.getpid()}-x", "ehrsynth-mine", "other-1-x"):
        (tmp_path / name).mkdir()
    files.temporary_folder().rmdir()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {f"ehrsynth-{os.getpid()}-x", "ehrsynth-mine", "other-1-x"}


def test_what_a_process_has_unpacked_goes_when_it_is_stopped(tmp_path):
    """At whatever line that is: nobody else may know of the folder yet."""
    code = "from ehrsynth import files; files.temporary_folder(); raise SystemExit(130)"
    made = subprocess.run([sys.executable, "-c", code], env=os.environ | {"TMPDIR": str(tmp_path)},
                          check=False)  # fmt: skip
    assert made.returncode == 130 and not list(tmp_path.iterdir())


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


@pytest.mark.parametrize("ending", ["full", "closed"])
def test_a_job_whose_reader_is_gone_is_done_all_the_same(tmp_path, ending):
    """The disk behind stdout is full, or nobody reads it any more."""
    code = "from ehrsynth import __main__, terminal; terminal.say('done'); print(5, flush=True)"
    reader, writer = os.pipe()
    os.close(reader)
    out = writer if ending == "closed" else os.open("/dev/full", os.O_WRONLY)
    made = subprocess.run([sys.executable, "-c", code], stdout=out, stderr=subprocess.PIPE,
                          text=True, check=False)  # fmt: skip
    os.close(writer)
    assert (made.returncode, made.stderr) == (0, "")


def test_a_full_disk_is_said_wherever_weights_are_written(tmp_path):
    resource = pytest.importorskip("resource")
    train = toy_patients(200)
    encoded = es.Preprocessor().fit(train).transform(train)
    gan = es.EMRWGAN(steps=2).fit(encoded)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(InputError, match="Cannot write .*: File too large; choose a folder"):
            gan.save(tmp_path / "model")
        with pytest.raises(InputError, match="Cannot write .*: File too large; choose a folder"):
            es.EMRWGAN(steps=2).fit(encoded, checkpoint_dir=tmp_path / "checkpoint")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
