"""Kills of run, generate and release at random moments: does the same command end with the same?

    python benchmarks/kills.py --kills 20

Each job is first done in peace. Then it is killed again and again, each time at a moment drawn
anew, taken up by the same command, and its files are compared with those of the job in peace. What
differs, what is left over (parts of files, unpacked rows) and what did not end well is printed.
Times, memory and what a manifest says of them are not compared.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_MEASURED = ("seconds", "peak_gb")


def patients(path: Path) -> None:
    """A small table of patients."""
    rng = np.random.default_rng(0)
    ill = rng.random(500) < 0.3
    columns = {f"code{i}": (rng.random(500) < 0.1 + 0.3 * ill).astype(int) for i in range(8)}
    table = {"died": ill.astype(int), "age": rng.normal(60, 12, 500).round(1), **columns}
    pd.DataFrame(table).to_csv(path, index=False)


def jobs(place: Path, data: Path) -> dict[str, tuple[list[str], Path]]:
    """The commands, one after the other, and what each leaves."""
    run, more, package = place / "run", place / "more.csv.gz", place / "package"
    return {
        "run": (["run", "--dataset", "table", "--data", str(data), "--outcome", "died",
                 "--profile", "fast", "--out", str(run)], run),
        "generate": (["generate", "--model", str(run / "model"), "--n", "250000",
                      "--out", str(more)], more),
        "release": (["release", str(run), "--out", str(package), "--with-model",
                     "--signed-by", "A. Name"], package),
    }  # fmt: skip


def start(arguments: list[str], temporary: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "ehrsynth.cli", *arguments]
    told = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, env=os.environ | {"TMPDIR": str(temporary)}, **told)


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
    """Parts of files and whatever lies in the temporary folder."""
    parts = [p.name for p in place.rglob("*") if p.name.endswith((".part", ".parts"))]
    return parts + [p.name for p in temporary.iterdir()]


def one_kill(
    name: str, done: Path, place: Path, data: Path, seconds: float, how: signal.Signals
) -> list[str]:
    """What is wrong after a job was killed once and taken up: nothing, if all is well."""
    shutil.rmtree(place, ignore_errors=True)
    temporary = place / "temporary"
    temporary.mkdir(parents=True)
    if name != "run":  # what the job starts from
        shutil.copytree(done / "run", place / "run")
    arguments, left = jobs(place, data)[name]
    job = start(arguments, temporary)
    time.sleep(seconds)
    job.send_signal(how)
    said = job.communicate()[0].decode()
    wrong = []
    # Before its own code has begun, Python ends as the signal wants it.
    if how != signal.SIGKILL and job.returncode not in (0, 128 + how, -how):
        wrong.append(f"ended with {job.returncode}: {said[-300:]}")
    if how != signal.SIGKILL and job.returncode != 0 and left_over(place / "x", temporary):
        wrong.append("left something in the temporary folder")
    again = start(arguments, temporary)
    said = again.communicate()[0].decode()
    finished = name == "release" and "is there already" in said
    if again.returncode != 0 and not finished:
        wrong.append(f"the same command ended with {again.returncode}: {said[-300:]}")
    expected, found = state(jobs(done, data)[name][1]), state(left)
    wrong += [f"{file} differs" for file in {*expected, *found}
              if expected.get(file) != found.get(file)]  # fmt: skip
    return wrong + [f"{file} is left over" for file in left_over(place, temporary)]


def in_peace(done: Path, data: Path) -> dict[str, float]:
    """Do every job once; the seconds that each takes."""
    (done / "temporary").mkdir(parents=True)
    took = {}
    for name, (arguments, _) in jobs(done, data).items():
        began = time.monotonic()
        job = start(arguments, done / "temporary")
        said = job.communicate()[0].decode()
        if job.returncode:
            raise SystemExit(f"{name} fails in peace: {said[-500:]}")
        took[name] = time.monotonic() - began
    return took


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    rng = np.random.default_rng(asked.seed)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        data = place / "patients.csv"
        patients(data)
        took = in_peace(place / "done", data)
        bad = 0
        for kill in range(asked.kills):
            name = list(took)[kill % len(took)]
            how = SIGNALS[int(rng.integers(len(SIGNALS)))]
            seconds = float(rng.uniform(0, took[name]))
            wrong = one_kill(name, place / "done", place / "killed", data, seconds, how)
            bad += bool(wrong)
            print(f"{kill + 1} {name} {how.name} after {seconds:.1f} s: {wrong or 'the same'}")
            sys.stdout.flush()
    print(f"{asked.kills - bad} of {asked.kills} kills ended with the same files.")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
