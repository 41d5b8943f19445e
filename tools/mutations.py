"""Breaks one promise of the code at a time; the test named beside it must fail.

    python tools/mutations.py [--jobs N] [--only WORD]

``tests/mutations.csv`` has a row for each promise: the file, the text that keeps it (there exactly
once), a text that breaks it, and the test that must notice. Each worker breaks a copy of the
project, never this one.
"""

import argparse
import csv
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LEDGER = ROOT / "tests" / "mutations.csv"
COPIED = ("ehrsynth", "tests", "tools", "benchmarks", "book", "data", "pyproject.toml")
FILES = ("_config.yml", "Makefile", "README.md", "constraints.txt", "environment.yml")
LIMIT = 300  # seconds for one test


class Mutation(NamedTuple):
    """A line of the ledger."""

    file: str
    old: str
    new: str
    test: str


def ledger() -> list[Mutation]:
    """The rows of ``tests/mutations.csv``."""
    with open(LEDGER, newline="", encoding="utf-8") as file:
        return [Mutation(**row) for row in csv.DictReader(file)]


def problem(mutation: Mutation) -> str:
    """Why a row cannot be used, or ""."""
    path = ROOT / mutation.file
    if not path.is_file():
        return "there is no such file"
    times = path.read_text(encoding="utf-8").count(mutation.old)
    if times != 1:
        return f"its text is there {times} times, not once"
    if mutation.old == mutation.new:
        return "it changes nothing"
    if not (ROOT / mutation.test.split("::")[0]).is_file():
        return f"there is no test {mutation.test}"
    return ""


def copy_of_the_project(folder: Path) -> Path:
    """What the tests need, in a folder of its own."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    return folder


def run_test(copy: Path, test: str) -> int:
    """The exit code of pytest: 0 passed, 1 failed, anything else is trouble."""
    environment = os.environ | {
        "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1",
        "EHRSYNTH_SHARED_DATA": os.environ.get(
            "EHRSYNTH_SHARED_DATA", str(ROOT.parent / "shared" / "data")
        ),
    }  # fmt: skip
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test]
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, timeout=LIMIT, check=False
        )
    except subprocess.TimeoutExpired:
        return 1  # it hangs: noticed, too
    return done.returncode


def survives(copy: Path, mutation: Mutation) -> str:
    """Break a copy, run the test, mend the copy; say what is wrong, or ""."""
    path = copy / mutation.file
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    try:
        code = run_test(copy, mutation.test)
    finally:
        path.write_text(text, encoding="utf-8")
    if code == 0:
        return "no test failed"
    return "" if code == 1 else f"the test could not be run (pytest says {code})"


def main() -> None:
    """Run the ledger, and the same tests on an unbroken copy first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="rows whose file or test holds this word")
    arguments = parser.parse_args()
    rows = [row for row in ledger() if arguments.only in f"{row.file} {row.test}"]
    found = {row: why for row in rows if (why := problem(row))}
    with tempfile.TemporaryDirectory(prefix="ehrsynth-mutations-") as folder:
        copies: Queue[Path] = Queue()
        for i in range(arguments.jobs):
            copies.put(copy_of_the_project(Path(folder) / str(i)))

        def judge(row: Mutation) -> str:
            copy = copies.get()
            try:
                return survives(copy, row)
            finally:
                copies.put(copy)

        def sound(test: str) -> str:
            copy = copies.get()
            try:
                return "" if run_test(copy, test) == 0 else "fails without any change"
            finally:
                copies.put(copy)

        usable = [row for row in rows if row not in found]
        with ThreadPoolExecutor(arguments.jobs) as pool:
            tests = sorted({row.test for row in usable})
            broken = {t: why for t, why in zip(tests, pool.map(sound, tests), strict=True) if why}
            for row, why in zip(usable, pool.map(judge, usable), strict=True):
                if why or row.test in broken:
                    found[row] = why or broken[row.test]
                print("." if not why else "S", end="", flush=True)
    print(f"\n{len(rows) - len(found)} of {len(rows)} broken promises were noticed.")
    for row, why in found.items():
        print(f"{row.file}: {row.old!r} -> {row.new!r}, {row.test}: {why}")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
