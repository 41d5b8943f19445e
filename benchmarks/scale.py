"""Memory and time at the paper's size: training, calibration, and generating a hundred million.

    python benchmarks/scale.py                      192,000 simulated patients, leaves of the codes
    python benchmarks/scale.py --parts generation

Every part runs in a process of its own, so that its peak memory is its own. Measured are

- preparation: hospital, cohort, split, preprocessing (the evaluation's tables);
- training, for each recipe on one and on two threads: a few steps (with looks of the quality
  monitor), and all that follows the last step. A whole training, with the recipe's own number of
  steps, is projected: what was measured, with more steps and looks;
- generation: ``ehrsynth.generate`` to a folder of Parquet files, for two numbers of patients. If
  memory does not grow from one to the other, it does not at a hundred million, which is projected.

``peak_gb`` is the most memory that the process had resident while it did the work (VmHWM of
/proc/self/status, reset when the work begins; so Linux only), ``added_gb`` how much that is above
what was resident before. GB are 10^9 bytes. ``cpu_seconds`` counts all threads; where others use
the machine at the same time, it says more than ``seconds``; and two threads of which
``cpu_seconds`` is no more than ``seconds`` have had no more than one core between them.

Writes ``benchmarks/scale.csv``; the rows of the parts that ran are replaced.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from evaluation import MIN_PREVALENCE

import ehrsynth
from ehrsynth import model
from ehrsynth.files import write_table
from ehrsynth.gan import monitor
from ehrsynth.gan.recipe import RECIPES, Recipe
from ehrsynth.model import EMRWGAN
from ehrsynth.preprocessing.encode import Preprocessor
from ehrsynth.preprocessing.matrix import Encoded

RESULTS = Path(__file__).with_suffix(".csv")
STEPS = {"modern": 300, "paper": 6}  # enough for three looks; a quarter of an epoch
THREADS = (1, 2)
GENERATED = (1_000_000, 3_000_000)  # fewer have not yet reached the most memory they need
WANTED = 100_000_000
# Patients and code level of the hospital that the generating model learned: about 16,000 x 480.
GENERATOR = (24_500, "phecode")
# The parts of a training in words, by the function that does each.
LOOK = "a look of the quality monitor"
PARTS = {
    (model, "train"): "steps",
    (monitor.Monitor, "look"): LOOK,
    (model, "refresh_statistics"): "after the steps: statistics",
    (model, "calibrate"): "after the steps: prevalences",
    (model.tabulate, "co_occurrences"): "after the steps: counting pairs",
    (model, "calibrate_pairs"): "after the steps: calibrating pairs",
}


# -- measuring -------------------------------------------------------------------------------


def resident_gb(peak: bool = False) -> float:
    """Memory of this process, now or at most since :func:`forget_peak`."""
    name = "VmHWM:" if peak else "VmRSS:"
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024 / 1e9
    raise RuntimeError("/proc/self/status has no memory in it")


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


@contextmanager
def measured(what: str, rows: list[dict], **more):
    """Append a row with the time and the memory of the block."""
    forget_peak()
    before, start, cpu = resident_gb(), time.perf_counter(), time.process_time()
    yield
    peak = resident_gb(peak=True)
    rows.append(
        {"what": what, "how": "measured", "seconds": time.perf_counter() - start,
         "cpu_seconds": time.process_time() - cpu, "peak_gb": peak, "added_gb": peak - before}
        | more
    )  # fmt: skip


@contextmanager
def timed_parts():
    """Calls, seconds and CPU seconds of the parts of a training, by what they are."""
    spent, plain = defaultdict(lambda: [0, 0.0, 0.0]), {}

    def timed(function, what):
        def call(*arguments, **options):
            start, cpu = time.perf_counter(), time.process_time()
            try:
                return function(*arguments, **options)
            finally:
                calls, seconds, cpu_seconds = spent[what]
                spent[what] = [calls + 1, seconds + time.perf_counter() - start,
                               cpu_seconds + time.process_time() - cpu]  # fmt: skip

        return call

    for (owner, name), what in PARTS.items():
        plain[owner, name] = getattr(owner, name)
        setattr(owner, name, timed(plain[owner, name], what))
    try:
        yield spent
    finally:
        for (owner, name), function in plain.items():
            setattr(owner, name, function)


# -- the parts -------------------------------------------------------------------------------


def prepared(patients: int, code_level: str, recipe: str) -> tuple[Encoded, Preprocessor]:
    hospital = ehrsynth.load("simulated", patients=patients, seed=0)
    train, _ = ehrsynth.split(ehrsynth.build_patients(hospital, code_level=code_level), seed=0)
    prep = Preprocessor.for_recipe(recipe, min_prevalence=MIN_PREVALENCE).fit(train)
    return prep.transform(train), prep


def training(encoded: Encoded, recipe: Recipe, steps: int) -> list[dict]:
    """A few steps and what follows them, each measured; and the whole training, projected."""
    rows: list[dict] = []
    with timed_parts() as spent, measured(f"a training of {steps:,} steps", rows):
        EMRWGAN(recipe, steps=steps).fit(encoded)
    fit = np.array([rows[0]["seconds"], rows[0]["cpu_seconds"]])
    calls = {what: numbers[0] for what, numbers in spent.items()}
    one = {what: np.array(numbers[1:]) / numbers[0] for what, numbers in spent.items()}
    look, looked = one.get(LOOK, np.zeros(2)), calls.get(LOOK, 0)
    step = (one.pop("steps") - looked * look) / steps
    total, per_epoch = recipe.total_steps(len(encoded)), max(1, len(encoded) // recipe.batch)
    epochs = f"{total / per_epoch:,.0f} epochs"
    found = [("a step", "measured", step)]
    found += [(what, "measured", cost) for what, cost in one.items()]
    found += [
        (f"an epoch, {per_epoch:,} steps", "projected", per_epoch * step),
        (f"a whole training, {total:,} steps, {epochs}", "projected",
         fit + (total - steps) * step + (recipe.looks - looked) * look),
    ]  # fmt: skip
    return rows + [{"what": what, "how": how, "seconds": cost[0], "cpu_seconds": cost[1]}
                   for what, how, cost in found]  # fmt: skip


def trainings(patients: int, code_level: str, name: str) -> list[dict]:
    rows: list[dict] = []
    with measured("preparation", rows, threads=1):
        torch.set_num_threads(1)
        encoded, _ = prepared(patients, code_level, name)
    for threads in THREADS:
        torch.set_num_threads(threads)
        found = training(encoded, RECIPES[name], STEPS[name])
        rows += [row | {"threads": threads} for row in found]
    size = {"recipe": name, "train": len(encoded), "columns": encoded.values.shape[1]}
    return [row | size for row in rows]


def save_model(folder: Path, patients: int, code_level: str) -> None:
    """A model to generate from; how well it has learned does not change how fast it is."""
    encoded, prep = prepared(patients, code_level, "modern")
    recipe = replace(RECIPES["modern"], keep="last", looks=0)
    EMRWGAN(recipe, steps=40).fit(encoded).save(folder)
    prep.save(folder)


def generation(folder: Path, n: int) -> list[dict]:
    rows: list[dict] = []
    gan, prep = EMRWGAN.load(folder), Preprocessor.load(folder)
    with tempfile.TemporaryDirectory() as out:
        with measured(f"{n:,} patients", rows, threads=torch.get_num_threads()):
            ehrsynth.generate(gan, prep, n, Path(out) / "many")
        disk = sum(file.stat().st_size for file in Path(out).rglob("*.parquet")) / 1e9
    size = {"recipe": "modern", "train": int(gan.counts_.sum()),
            "columns": sum(block.width for block in gan.layout_)}  # fmt: skip
    return [row | size | {"disk_gb": disk, "patients": n} for row in rows]


def for_wanted(measurements: list[dict]) -> dict:
    """The largest measured generation, scaled to a hundred million patients."""
    last = max(measurements, key=lambda row: row["patients"])
    scale = WANTED / last["patients"]
    scaled = {name: last[name] * scale for name in ("seconds", "cpu_seconds", "disk_gb")}
    return last | scaled | {"what": f"{WANTED:,} patients", "how": "projected", "patients": WANTED}


# -- each in a process of its own ------------------------------------------------------------


def alone(*arguments: object, threads: int) -> list[dict]:
    command = [sys.executable, __file__, "--one", *map(str, arguments)]
    # Threads that wait for each other asleep: awake, two of them are far slower than one as soon
    # as somebody else needs a core.
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def one(part: str, *arguments: str) -> list[dict]:
    if part == "training":
        return trainings(int(arguments[0]), *arguments[1:])
    if part == "model":
        save_model(Path(arguments[0]), int(arguments[1]), arguments[2])
        return []
    return generation(Path(arguments[0]), int(arguments[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=192_000)
    parser.add_argument("--code-level", default="leaf")
    parser.add_argument("--parts", nargs="+", choices=[*RECIPES, "generation"],
                        default=["modern", "paper", "generation"])  # fmt: skip
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(*options.one)))
        return
    for part in options.parts:
        if part == "generation":
            with tempfile.TemporaryDirectory() as folder:
                alone("model", folder, *GENERATOR, threads=1)
                rows = [row for n in GENERATED
                        for row in alone("generation", folder, n, threads=1)]  # fmt: skip
            rows.append(for_wanted(rows))
        else:
            rows = alone("training", options.patients, options.code_level, part,
                         threads=max(THREADS))  # fmt: skip
        note(pd.DataFrame(rows).assign(part="generation" if part == "generation" else "training"))


def note(result: pd.DataFrame) -> None:
    """Print the rows, and put them in the place of those of the same part and recipe."""
    columns = ["part", "recipe", "train", "columns", "threads", "what", "how", "seconds",
               "cpu_seconds", "peak_gb", "added_gb", "patients", "disk_gb"]  # fmt: skip
    result = result.reindex(columns=columns).assign(cores=len(os.sched_getaffinity(0)))
    result = result.round({"seconds": 4, "cpu_seconds": 4, "disk_gb": 3}
                          | dict.fromkeys(("peak_gb", "added_gb"), 2))  # fmt: skip
    result["patients"] = result["patients"].astype("Int64")
    print(result.dropna(axis=1, how="all").to_string(index=False), flush=True)
    if RESULTS.is_file():
        before = pd.read_csv(RESULTS, dtype={"patients": "Int64"})
        keys = ["part", "recipe"]
        old = before.merge(result[keys].drop_duplicates(), on=keys, how="left", indicator=True)
        result = pd.concat([before[(old["_merge"] == "left_only").to_numpy()], result])
    write_table(result, RESULTS)


if __name__ == "__main__":
    main()
