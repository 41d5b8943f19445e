"""How long does the evaluation take, how much memory, and how long do others take for less?

    python benchmarks/evaluation.py --patients 24500 --code-level phecode
    python benchmarks/evaluation.py --patients 192000 --code-level leaf
    python benchmarks/evaluation.py --patients 24500 --sdmetrics /path/to/python

Each run replaces the rows of its size in ``benchmarks/evaluation.csv``. The synthetic data are
independent columns. Measured are the whole report (``ehrsynth.evaluate``) and each metric in it,
with its references; and, for comparison,

- the two attacks as loops written as the tutorial describes them, one patient at a time, on a few
  patients and scaled to all of train: each patient costs the same;
- SDMetrics' quality report (not installed with ehrsynth: name a Python that has it), on 2,000
  patients and few columns, its growth fitted by a straight line through the logarithms.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd

import ehrsynth
from ehrsynth import evaluation
from ehrsynth.evaluation.learners import PROFILES
from ehrsynth.evaluation.metric import Spec
from ehrsynth.evaluation.privacy.attribute import guess_attributes
from ehrsynth.evaluation.setting import Encoder, independent
from ehrsynth.files import write_table
from ehrsynth.preprocessing.encode import Preprocessor
from ehrsynth.schema import Schema
from ehrsynth.statistics import nearest_distance

RESULTS = Path(__file__).with_suffix(".csv")
PAGE_TABLE = Path(__file__).resolve().parents[1] / "book" / "evaluation-times.csv"
MIN_PREVALENCE = 5e-5
LOOPED = 40  # patients of the published loops
SDMETRICS_COLUMNS = (25, 50, 100)
SDMETRICS = """
import sys, time, json
import pandas as pd
from sdmetrics.reports.single_table import QualityReport
real, made = (pd.read_parquet(path) for path in sys.argv[1:3])
metadata = {"columns": {n: {"sdtype": "numerical" if real[n].nunique() > 2 else "categorical"}
                        for n in real}}
start, cpu = time.perf_counter(), time.process_time()
report = QualityReport()
report.generate(real, made, metadata, verbose=False)
print(json.dumps([time.perf_counter() - start, time.process_time() - cpu]))
"""


def tables(patients: int, code_level: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train and holdout of the simulated hospital, with the tutorial's filter of rare codes."""
    hospital = ehrsynth.load("simulated", patients=patients, seed=seed)
    whole = ehrsynth.build_patients(hospital, code_level=code_level)
    train, holdout = ehrsynth.split(whole, seed=seed)
    prep = Preprocessor(min_prevalence=MIN_PREVALENCE, seed=seed).fit(train)
    return tuple(prep.schema_.attach(prep.clip(t)[prep.schema_.names]) for t in (train, holdout))


@contextmanager
def timed_metrics():
    """Seconds and CPU seconds by metric, of everything that is evaluated inside."""
    spent, plain = defaultdict(lambda: np.zeros(2)), Spec.evaluate

    def evaluate(self, setting, seed):
        start = np.array([time.perf_counter(), time.process_time()])
        try:
            return plain(self, setting, seed)
        finally:
            stop = np.array([time.perf_counter(), time.process_time()])
            spent[f"{self.name} ({self.form})"] += stop - start
            print(f"  {self.name} ({self.form}): {stop[0] - start[0]:.1f} s, {peak_gb():.1f} GB",
                  file=sys.stderr)  # fmt: skip

    Spec.evaluate = evaluate
    try:
        yield spent
    finally:
        Spec.evaluate = plain


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def whole_report(train, holdout, synthetic, schema, profile: str) -> list[dict]:
    start, cpu = time.perf_counter(), time.process_time()
    with timed_metrics() as spent:
        report = evaluation.evaluate(train, holdout, synthetic, schema=schema, profile=profile)
        report.to_html()
    rows = [("whole report", time.perf_counter() - start, time.process_time() - cpu)]
    rows += [(name, *seconds) for name, seconds in spent.items()]
    return [
        {"what": what, "method": "ehrsynth", "how": "measured", "seconds": s, "cpu_seconds": c,
         "peak_gb": peak_gb() if what == "whole report" else None}
        for what, s, c in rows
    ]  # fmt: skip


# -- the published loops ---------------------------------------------------------------------


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


def against_loops(train: np.ndarray, released: np.ndarray) -> list[dict]:
    """Seconds for all of train, by the loops (scaled up) and by the package's functions."""
    n, half = len(train), train.shape[1] // 2
    flags = np.zeros(half, bool), np.zeros(train.shape[1] - half, bool)
    few = min(n, 1024)
    tasks = {
        ("membership of all of train", "published loop"): (
            LOOPED, lambda: membership_loop(train[:LOOPED], released)),
        ("membership of all of train", "ehrsynth"): (
            few, lambda: nearest_distance(train[:few], released)),
        ("attributes of all of train", "published loop"): (
            LOOPED, lambda: attribute_loop(train[:LOOPED, :half], released[:, :half])),
        ("attributes of all of train", "ehrsynth"): (
            few, lambda: guess_attributes(
                train[:few, :half], released[:, :half], released[:, half:], *flags)),
    }  # fmt: skip
    rows = []
    for (what, method), (done, task) in tasks.items():
        start, cpu = time.perf_counter(), time.process_time()
        task()
        spent = np.array([time.perf_counter() - start, time.process_time() - cpu]) * n / done
        how = "measured" if done == n else f"scaled from {done:,} patients"
        rows.append({"what": what, "method": method, "how": how,
                     "seconds": spent[0], "cpu_seconds": spent[1]})  # fmt: skip
    return rows


# -- SDMetrics -------------------------------------------------------------------------------


def sdmetrics(python: str, train: pd.DataFrame, synthetic: pd.DataFrame) -> list[dict]:
    """Seconds of SDMetrics' quality report on 2,000 patients, and fitted to all columns."""
    rows, spent = [], []
    common = train.mean(numeric_only=True).sort_values(ascending=False, kind="stable").index
    for width in SDMETRICS_COLUMNS:
        with tempfile.TemporaryDirectory() as folder:
            paths = [str(Path(folder) / name) for name in ("real.parquet", "made.parquet")]
            for table, path in zip((train, synthetic), paths, strict=True):
                part = table[common[:width]].head(2_000)
                pd.DataFrame({n: part[n] for n in part}).to_parquet(path, index=False)
            done = subprocess.run(
                [python, "-c", SDMETRICS, *paths], capture_output=True, text=True, check=False
            )
        if done.returncode:
            print(f"SDMetrics: {done.stderr.strip().splitlines()[-1:]}; left out.", file=sys.stderr)
            return []
        spent.append(json.loads(done.stdout.strip().splitlines()[-1]))
        rows.append({"what": f"quality report, 2,000 patients, {width} columns",
                     "method": "SDMetrics", "how": "measured",
                     "seconds": spent[-1][0], "cpu_seconds": spent[-1][1]})  # fmt: skip
    fits = np.polyfit(np.log(SDMETRICS_COLUMNS), np.log(spent), 1)
    wide = train.shape[1]
    seconds = np.exp(fits[0] * np.log(wide) + fits[1])
    rows.append({"what": f"quality report, 2,000 patients, {wide} columns", "method": "SDMetrics",
                 "how": f"fitted: columns to the power {fits[0][1]:.2f}",
                 "seconds": seconds[0], "cpu_seconds": seconds[1]})  # fmt: skip
    return rows


def page_table(results: pd.DataFrame) -> pd.DataFrame:
    """The rows a reader of the book wants: whole reports and attacks, in time of one core."""
    metric = results["what"].str.contains(r"\((?:published|corrected)\)$")
    # The narrow quality reports are only what the wide one is fitted to.
    width = results["what"].str.extract(r" (\d+) columns$")[0].astype(float)
    narrow = width.notna() & (width != results["columns"])
    rows = results[~metric & ~narrow].sort_values(["train", "what", "method"], kind="stable")
    minutes = rows["cpu_seconds"] / 60
    return pd.DataFrame(
        {
            "what": rows["what"],
            "by": rows["method"],
            "training patients": rows["train"].map("{:,}".format),
            "columns": rows["columns"].map("{:,}".format),
            "minutes of one core": minutes.map(
                lambda m: f"{m:,.0f}" if m >= 10 else f"{m:.1f}" if m >= 0.1 else f"{m:.2g}"
            ),
            "memory (GB)": rows["peak_gb"].map(lambda gb: "" if pd.isna(gb) else f"{gb:.1f}"),
            "how": rows["how"],
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=24_500)
    parser.add_argument("--code-level", default="phecode")
    parser.add_argument("--profile", choices=PROFILES, default="full")
    parser.add_argument("--sdmetrics", metavar="PYTHON", help="a Python that has SDMetrics")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    # Made in a process of its own, so that the memory measured is the evaluation's.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        made = alone.submit(tables, options.patients, options.code_level, options.seed)
        train, holdout = made.result()
    del made
    schema = Schema.of(train)
    synthetic = schema.attach(independent(train, len(train), np.random.default_rng(options.seed)))
    size = {"profile": options.profile, "train": len(train), "columns": train.shape[1]}
    print(size, file=sys.stderr)
    if options.sdmetrics:
        rows = sdmetrics(options.sdmetrics, train, synthetic)
    else:
        rows = whole_report(train, holdout, synthetic, schema, options.profile)
        encoder = Encoder.fit(schema, train, [holdout, synthetic])
        rows += against_loops(encoder.transform(train), encoder.transform(synthetic))
    result = pd.DataFrame(rows).assign(**size, cores=len(os.sched_getaffinity(0)),
                                       threads=os.environ.get("OMP_NUM_THREADS", ""))  # fmt: skip
    result = result.round({"seconds": 2, "cpu_seconds": 2, "peak_gb": 2})
    print(result.to_string(index=False))
    if RESULTS.is_file():
        before = pd.read_csv(RESULTS)
        keys = ["profile", "train", "columns", "what", "method"]
        result = pd.concat([before, result]).drop_duplicates(keys, keep="last")
    write_table(result, RESULTS)
    write_table(page_table(result), PAGE_TABLE)


if __name__ == "__main__":
    main()
