"""How long does the evaluation take, and how much faster are its attacks than the published loops?

Run with ``python benchmarks/evaluation.py --profile fast --patients 4000`` (or ``full`` and
20000). The first table is the whole report on independent columns, metric by metric; the second
compares the two attacks with loops written as the tutorial describes them, one patient at a time,
on a few patients, scaled to all of train. Results go to ``benchmarks/evaluation.csv``.
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import pandas as pd

import ehrsynth
from ehrsynth import evaluation
from ehrsynth.evaluation import fidelity, privacy, utility
from ehrsynth.evaluation.metric import NotComputable
from ehrsynth.evaluation.tables import PROFILES, independent, plausible, settings
from ehrsynth.files import write_table
from ehrsynth.schema import Schema

RESULTS = Path(__file__).with_suffix(".csv")


def tables(patients: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train and holdout of the simulated hospital."""
    hospital = ehrsynth.load("simulated", patients=patients, seed=seed)
    return ehrsynth.split(ehrsynth.build_patients(hospital), seed=seed)


def by_metric(scenes, seed: int) -> list[dict]:
    """Seconds of each metric for the synthetic data and both references."""
    rows = []
    for spec in (*fidelity.SPECS, *utility.SPECS, *privacy.SPECS):
        start, cpu = time.perf_counter(), time.process_time()
        for name in ("synthetic", spec.best, spec.worst):
            try:
                spec.evaluate(scenes[name], seed)
            except NotComputable:
                pass
        rows.append(
            {
                "what": f"{spec.name} ({spec.form})",
                "seconds": time.perf_counter() - start,
                "cpu_seconds": time.process_time() - cpu,
            }
        )
    return rows


def membership_loop(train: np.ndarray, released: np.ndarray) -> np.ndarray:
    """Nearest synthetic patient of each patient, one at a time."""
    return np.array([np.sqrt(((released - row) ** 2).sum(axis=1).min()) for row in train])


def attribute_loop(known: np.ndarray, released: np.ndarray) -> np.ndarray:
    """Index of the most similar synthetic patient by known columns, one patient at a time."""
    found = []
    for row in known:
        gap = np.abs(released - row)
        found.append(np.argmin((gap / np.maximum(gap.max(axis=0), 1)).sum(axis=1)))
    return np.array(found)


def against_loops(scenes, patients: int = 40) -> list[dict]:
    """Seconds for all of train, by the loops (scaled up) and by the package."""
    setting = scenes["synthetic"]
    train, released = setting.train.matrix, setting.candidate.matrix
    half = train.shape[1] // 2
    n = len(train)
    flags = np.zeros(half, bool), np.zeros(train.shape[1] - half, bool)
    tasks = {
        "membership, published loop": (
            patients, lambda: membership_loop(train[:patients].astype(float), released)),
        "membership, ehrsynth": (n, lambda: privacy.nearest_distance(train, released)),
        "attribute, published loop": (
            patients, lambda: attribute_loop(train[:patients, :half], released[:, :half])),
        "attribute, ehrsynth": (
            min(n, 1024), lambda: privacy.guess_attributes(
                train[:1024, :half], released[:, :half], released[:, half:], *flags)),
    }  # fmt: skip
    rows = []
    for what, (done, task) in tasks.items():
        start, cpu = time.perf_counter(), time.process_time()
        task()
        scale = n / done
        rows.append(
            {
                "what": f"{what}, all of train",
                "seconds": (time.perf_counter() - start) * scale,
                "cpu_seconds": (time.process_time() - cpu) * scale,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=4_000)
    parser.add_argument("--profile", choices=PROFILES, default="fast")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    train, holdout = tables(options.patients, options.seed)
    schema = Schema.of(train)
    train, holdout = (plausible(table, schema)[0] for table in (train, holdout))
    synthetic = independent(train, len(train), np.random.default_rng(options.seed))

    start, cpu = time.perf_counter(), time.process_time()
    report = evaluation.evaluate(
        train, holdout, schema.attach(synthetic), schema=schema, profile=options.profile
    )
    total = time.perf_counter() - start, time.process_time() - cpu
    start, cpu = time.perf_counter(), time.process_time()
    report.to_html()
    page = time.perf_counter() - start, time.process_time() - cpu

    effort = PROFILES[options.profile]
    scenes = settings(train, holdout, synthetic, schema, effort, options.seed)
    rows = [
        {"what": "whole evaluation", "seconds": total[0], "cpu_seconds": total[1]},
        {"what": "report.html", "seconds": page[0], "cpu_seconds": page[1]},
        *by_metric(scenes, options.seed),
        *against_loops(scenes),
    ]
    result = pd.DataFrame(rows).assign(
        profile=options.profile, train=len(train), columns=train.shape[1],
        peak_gb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    ).round(3)  # fmt: skip
    print(result.to_string(index=False))
    write_table(result, RESULTS)


if __name__ == "__main__":
    main()
