"""Kills of run, generate and release at random moments: does the same command end with the same?

    python benchmarks/kills.py --kills 300
    python benchmarks/kills.py --kills 90 --seed 9 --jobs large largest csv parquet folder

Each job is first done in peace. Then it is killed again and again, each time at a moment drawn
anew, and taken up by the same command; some are killed a second time on the way. Its files are
compared with those of the job in peace. What differs, what is left over (parts of files, unpacked
rows, processes) and what did not end well stands in `kills.csv`, a row a kill; rows of other seeds
stay. Times, memory and what a manifest says of them are not compared.

A moment is so much processor time of the job, so a busy machine kills where an idle one does. The
generation of a small run is over too soon to be met by chance: the jobs of the second line make
more patients, and their moments are counted from, and drawn from, the time in which patients are
made; a run begins where the same command was killed before, at the end of its training.

A job is the command line in a process made by fork, which has imported all it needs; "imports" are
kills of a process that begins with nothing.
"""

import argparse
import atexit
import contextlib
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

import ehrsynth as es
from ehrsynth import __main__ as command
from ehrsynth import cli, pipeline, profiles, stream  # noqa: F401 (imported before the fork)
from ehrsynth.evaluation.privacy import power
from ehrsynth.evaluation.report import Report
from ehrsynth.run_folder import STAGES

RESULTS = Path(__file__).with_name("kills.csv")
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
JOBS = ("run", "generate", "release", "several", "imports")
# More patients, and within which stage each is killed.
AIMED = {"large": "generation", "largest": "generation",
         "csv": "part", "parquet": "part", "folder": "part"}  # fmt: skip
SHARE = dict(zip(JOBS, (0.4, 0.25, 0.25, 0.04, 0.06), strict=True))  # of the kills
MANY, ENDINGS = "60000", {"csv": ".csv", "parquet": ".parquet", "folder": ""}
LONGEST = 900  # seconds until a job counts as hanging
_MEASURED = ("seconds", "peak_gb")
_TICKS = os.sysconf("SC_CLK_TCK")


class Ended(NamedTuple):
    """How a job ended: its exit code, what it said, its processor time, where it was then.

    `within` is the processor time in the stage that was aimed at.
    """

    code: int
    said: str
    seconds: float
    stage: str
    within: float


def make_small() -> None:
    """Networks and parts of files so small that a job takes seconds and still has every stage."""
    import matplotlib.pyplot  # noqa: F401
    import seaborn  # noqa: F401
    import torch

    torch.set_num_threads(1)
    profiles.PROFILES["fast"] = profiles.Profile(500, 6_000, 0.01, steps=60, width=16, layers=1)
    fit = es.EMRWGAN.fit  # with a checkpoint every 20 steps instead of 200
    fit.__defaults__ = tuple(20 if value == 200 else value for value in fit.__defaults__)
    stream.CHUNK = 1_000
    # What is the same with fewer repetitions and without pictures.
    power.PLANTINGS = 4
    Report.to_html.__defaults__ = (False,)


def patients(path: Path) -> None:
    """A small table of patients."""
    rng = np.random.default_rng(0)
    ill = rng.random(300) < 0.3
    columns = {f"code{i}": (rng.random(300) < 0.1 + 0.3 * ill).astype(int) for i in range(6)}
    table = {"died": ill.astype(int), "age": rng.normal(60, 12, 300).round(1), **columns}
    pd.DataFrame(table).to_csv(path, index=False)


def jobs(place: Path, data: Path) -> dict[str, tuple[list[str], Path]]:
    """The commands, and what each leaves."""
    run, more, package = place / "run", place / "more.csv.gz", place / "package"
    many = {name: place / f"many{end}" for name, end in ENDINGS.items()}
    table = ["run", "--dataset", "table", "--data", str(data), "--outcome", "died",
             "--profile", "fast"]  # fmt: skip
    return {
        "run": ([*table, "--out", str(run)], run),
        "generate": (["generate", "--model", str(run / "model"), "--n", "9500",
                      "--out", str(more)], more),
        "release": (["release", str(run), "--out", str(package), "--with-model",
                     "--signed-by", "A. Name"], package),
        "several": ([*table, "--runs", "2", "--out", str(place / "two")], place / "two"),
        "imports": ([*table, "--out", str(run)], run),
        "large": ([*table, "--n", MANY, "--out", str(place / "large")], place / "large"),
        "largest": ([*table, "--n", MANY, "--runs", "2", "--out", str(place / "largest")],
                    place / "largest"),
        **{name: (["generate", "--model", str(run / "model"), "--n", MANY, "--out", str(out)], out)
           for name, out in many.items()},
    }  # fmt: skip


def start(arguments: list[str], temporary: Path, said: Path, bare: bool = False) -> int:
    """The number of a new process that does what the command line does."""
    if child := os.fork():
        return child
    try:
        os.setsid()
        weakref.finalize._registry.clear()  # what is the parent's to put away
        file = os.open(said, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.environ["TMPDIR"], tempfile.tempdir = str(temporary), None
        if bare:
            os.execv(sys.executable, [sys.executable, "-m", "ehrsynth", *arguments])
        sys.argv = ["ehrsynth", *arguments]
        code = 0
        try:
            command.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        threading._shutdown()  # as Python does at the end of a process
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)


def used(process: int) -> float:
    """Seconds of the processor that a process has had."""
    with contextlib.suppress(OSError):
        after = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(after[11]) + int(after[12])) / _TICKS
    return 0.0


def stage_of(name: str, left: Path) -> str:
    """What a job is at, as far as its files tell."""
    if name == "generate" or name in ENDINGS:
        parts = left if name == "folder" else left.with_name(f"{left.name}.parts")
        made = len(list(parts.glob("part-*"))) if parts.is_dir() else 0
        return "done" if left.is_file() else f"part {made}" if parts.is_dir() else "model"
    if name == "release":
        packing = list(left.parent.glob(f".{left.name}.*.part"))
        return "done" if left.exists() else "packing" if packing else "checks"
    with contextlib.suppress(OSError, ValueError):
        done = json.loads((left / "run.json").read_text())["finished"]
        return next((stage for stage in STAGES if stage not in done), "done")
    return "before"


def wait(
    process: int, said: Path, name: str, left: Path, until: float = np.inf,
    how: signal.Signals | None = None,
) -> Ended:  # fmt: skip
    """See a process to its end, or kill it when it has had so much of the processor.

    That of a job of :data:`AIMED` is counted from the beginning of its stage.
    """
    began, seconds, stage, sent = time.monotonic(), 0.0, "done", False
    aim, first, last = AIMED.get(name), 0.0, 0.0
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return Ended(code, said.read_text(), seconds, stage, last - first)
        seconds = max(seconds, used(process))
        if aim and not sent and stage_of(name, left).startswith(aim):
            first, last = first or seconds, seconds
        if how is not None and not sent and (first or not aim) and seconds - first >= until:
            stage, sent = stage_of(name, left), True
            os.kill(process, how)
        if time.monotonic() - began > LONGEST:
            os.killpg(process, signal.SIGKILL)
        time.sleep(0.004)


def alive(group: int) -> bool:
    """Whether a process of a job's group still runs ten seconds after the job."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.1)
    return True


def state(left: Path) -> dict[str, str]:
    """The hash of every file, of manifests what is no measurement."""
    files = [left] if left.is_file() else [p for p in sorted(left.rglob("*")) if p.is_file()]
    found = {}
    for file in files:
        content = file.read_bytes()
        if file.name == "run.json":
            noted = json.loads(content)
            stages = noted["finished"].values()
            kept = [{k: v for k, v in stage.items() if k not in _MEASURED} for stage in stages]
            content = json.dumps([noted["facts"], kept], sort_keys=True).encode()
        elif file.name == "manifest.json":
            content = json.dumps(json.loads(content)["files"], sort_keys=True).encode()
        if file.name != ".lock":
            found[str(file.relative_to(left.parent))] = hashlib.sha256(content).hexdigest()
    return found


def left_over(place: Path, temporary: Path) -> list[str]:
    """Parts of files, checkpoints, and whatever lies in the temporary folder."""
    ends = (".part", ".parts", "checkpoint.safetensors")
    parts = [p.name for p in place.rglob("*") if p.name.endswith(ends)]
    own = [p.name for p in temporary.iterdir() if not p.name.startswith("torchinductor_")]
    return parts + own  # that folder is PyTorch's own, one a user


def one_kill(
    name: str, done: Path, place: Path, data: Path, moments: list[float], how: signal.Signals
) -> dict:
    """A row for a job that was killed once or more and taken up; nothing is "wrong" if all well."""
    shutil.rmtree(place, ignore_errors=True)
    temporary = place / "temporary"
    temporary.mkdir(parents=True)
    if name in ("generate", "release", *ENDINGS):  # what the job starts from
        shutil.copytree(done / "run", place / "run")
    arguments, left = jobs(place, data)[name]
    if (begun := jobs(done / "begun", data)[name][1]).is_dir():
        shutil.copytree(begun, left)
    wrong, stages = [], []
    for number, moment in enumerate(moments):
        said = place / f"said{number}"
        job = start(arguments, temporary, said, bare=name == "imports")
        ended = wait(job, said, name, left, moment, how)
        stages.append(ended.stage)
        if "Traceback" in ended.said:
            wrong.append(f"a traceback: {ended.said[-300:]}")
        if how == signal.SIGKILL:
            good = ended.code in (0, -how)
        else:
            good = ended.code in (0, 128 + how) and (ended.code == 0 or "goes on" in ended.said)
            finished = name == "release" and "is there already" in ended.said
            if not good and not finished:
                wrong.append(f"ended with {ended.code}: {ended.said[-300:]}")
            if good and ended.code and (lost := left_over(place / "none", temporary)):
                wrong.append(f"stopped and left {lost}")
        if alive(job):
            wrong.append("left a process")
    again = start(arguments, temporary, place / "said")
    ended = wait(again, place / "said", name, left)
    finished = name == "release" and "is there already" in ended.said
    if ended.code != 0 and not finished:
        wrong.append(f"the same command ended with {ended.code}: {ended.said[-300:]}")
    if alive(again):
        wrong.append("left a process")
    expected, found = state(jobs(done, data)[name][1]), state(left)
    wrong += [f"{file} differs" for file in sorted({*expected, *found})
              if expected.get(file) != found.get(file)]  # fmt: skip
    wrong += [f"{file} is left over" for file in left_over(place, temporary)]
    return {
        "job": name, "signal": how.name, "seconds": " ".join(f"{m:.2f}" for m in moments),
        "stage": ", ".join(stages), "wrong": "; ".join(" ".join(w.split()) for w in wrong),
    }  # fmt: skip


def in_peace(done: Path, data: Path, names: tuple[str, ...]) -> dict[str, float]:
    """Do every job once; the seconds of the processor that each takes."""
    (done / "temporary").mkdir(parents=True)
    took = {}
    for name, (arguments, left) in jobs(done, data).items():
        if name in ("run", *names) and name != "imports":
            said = done / f"said-{name}"
            ended = wait(start(arguments, done / "temporary", said), said, name, left)
            if ended.code:
                raise SystemExit(f"{name} fails in peace: {ended.said[-500:]}")
            took[name] = ended.within if name in AIMED else ended.seconds
        if name in names and AIMED.get(name) == "generation":
            said = done / f"said-{name}-begun"
            arguments, left = jobs(done / "begun", data)[name]
            wait(start(arguments, done / "temporary", said), said, name, left, 0, signal.SIGKILL)
    return took | {"imports": 1.5}


def kills(number: int, seed: int, place: Path, names: tuple[str, ...] = JOBS) -> Iterator[dict]:
    """So many kills of these jobs, a row each."""
    rng = np.random.default_rng(seed)
    make_small()
    data = place / "patients.csv"
    patients(data)
    took = in_peace(place / "done", data, names)
    shares = np.array([SHARE.get(name, 0.2) for name in names])
    for _ in range(number):
        name = names[int(rng.choice(len(names), p=shares / shares.sum()))]
        how = SIGNALS[int(rng.integers(len(SIGNALS)))]
        times = 2 if rng.random() < 0.15 else 1
        moments = [float(rng.uniform(0, took[name])) for _ in range(times)]
        yield one_kill(name, place / "done", place / "killed", data, moments, how)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", nargs="+", choices=(*JOBS, *AIMED), default=JOBS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args(arguments)
    rows: list[dict] = []
    others = (
        pd.read_csv(asked.out)
        if asked.out.is_file()
        else pd.DataFrame({"seed": [], "kill": []}, dtype=int)
    )
    others = others[others["seed"] != asked.seed]
    with tempfile.TemporaryDirectory() as folder:
        for row in kills(asked.kills, asked.seed, Path(folder), tuple(asked.jobs)):
            rows.append({"seed": asked.seed, "kill": len(rows) + 1} | row)
            print(" ".join(map(str, rows[-1].values())), "" if row["wrong"] else "the same")
            sys.stdout.flush()
            pd.concat([others, pd.DataFrame(rows)]).to_csv(asked.out, index=False)
    bad = sum(bool(row["wrong"]) for row in rows)
    print(f"{len(rows) - bad} of {len(rows)} kills ended with the same files.")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
