"""Does a 95 % interval hold what it should in 95 % of cases? Every metric with an interval.

    python benchmarks/coverage.py --replications 400
    python benchmarks/coverage.py --replications 400 --only feature_importance

New patients of the simulated hospital are drawn once and parted at random, again and again, into
train, holdout and a release of fresh patients. What an interval should hold is the metric's mean
over all replications: what other patients would have given, tables and models of these sizes.
Writes ``benchmarks/coverage.csv`` and, of it, what the book shows; with ``--only`` the rows of
these metrics.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import trust

from ehrsynth.evaluation import PROFILES, SPECS
from ehrsynth.evaluation.setting import with_references
from ehrsynth.files import write_table
from ehrsynth.statistics import NotComputable, wilson

RESULTS = Path(__file__).with_suffix(".csv")
PAGE = Path(__file__).resolve().parents[1] / "book" / "coverage.csv"
REASONS = Path(__file__).with_name("coverage_reasons.csv")
LOW, HIGH = 0.92, 0.98  # what counts as right
TRAIN, HOLDOUT, POOL = 1_000, 400, 40_000
MIN_PREVALENCE = 0.02
# What takes most of the time is asked in every fifth replication only.
COSTLY, EVERY = {
    "feature_importance", "membership_inference_at_1_percent", "classifier_two_sample_test",
    "meaningful_identity_disclosure",
}, 5  # fmt: skip


def one(pool: pd.DataFrame, schema, seed: int, only: set[str]) -> dict[tuple[str, str], tuple]:
    """Every metric's value and interval for one choice of train, holdout and release."""
    order = np.random.default_rng([seed, 3]).permutation(len(pool))
    cuts = np.split(order[: 2 * TRAIN + HOLDOUT], [TRAIN, TRAIN + HOLDOUT])
    parts = (pool.iloc[rows].reset_index(drop=True) for rows in cuts)
    setting = with_references(*parts, schema, PROFILES["fast"], seed)["synthetic"]
    found = {}
    for spec in SPECS:
        if spec.name not in only if only else spec.name in COSTLY and seed % EVERY:
            continue
        try:
            found[spec.name, spec.form] = tuple(spec.evaluate(setting, seed))
        except NotComputable:
            continue
    return found


def summary(found: dict[tuple[str, str], list[tuple]]) -> pd.DataFrame:
    """One row a metric: its mean, how often the interval holds it, how wide it is for its SD."""
    titles = {(spec.name, spec.form): spec.title for spec in SPECS}
    rows = []
    for (name, form), values in found.items():
        known = np.array([v for v in values if None not in v], dtype=float)
        if len(known) < 20:
            continue
        value, low, high = known.T
        held = int(((low <= value.mean() + 1e-12) & (value.mean() - 1e-12 <= high)).sum())
        share = wilson(held, len(known))
        spread = value.std(ddof=1)
        width = (high - low).mean() / 2 / 1.96
        rows.append({
            "metric": name, "form": form, "title": titles[name, form],
            "replications": len(known), "mean": value.mean(), "coverage": share.value,
            "from": share.low, "to": share.high,
            "width over spread": width / spread if spread > 0 else np.nan,
        })  # fmt: skip
    return pd.DataFrame(rows)


def write(table: pd.DataFrame, only: set[str]) -> None:
    """The whole table, and the page's: percent, and why where it is not what it should be."""
    if only:
        both = [pd.read_csv(RESULTS), table]
        table = pd.concat(both).drop_duplicates(["metric", "form"], keep="last")
    write_table(table.round(4), RESULTS)
    reasons = pd.read_csv(REASONS).set_index(["metric", "form"])["why"]
    off = ~table["coverage"].between(LOW, HIGH)
    why = [reasons.get(key, "") for key in zip(table["metric"], table["form"], strict=True)]
    page = pd.DataFrame({
        "metric": table["title"], "form": table["form"], "replications": table["replications"],
        "coverage": [f"{100 * share:.1f} %" for share in table["coverage"]],
        "why not 95": np.where(off, why, ""),
    })  # fmt: skip
    write_table(page.sort_values(["metric", "form"], kind="stable"), PAGE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replications", type=int, default=400)
    parser.add_argument("--only", nargs="+", default=[], metavar="METRIC", choices=sorted(
        {spec.name for spec in SPECS}), help="in every replication")  # fmt: skip
    options = parser.parse_args()
    only = set(options.only)
    trust.MIN_PREVALENCE = MIN_PREVALENCE
    pool, schema = trust.patients(POOL)
    found = defaultdict(list)
    for seed in range(options.replications):
        for key, value in one(pool, schema, seed, only).items():
            found[key].append(value)
        if seed % 20 == 19:
            print(seed + 1, file=sys.stderr, flush=True)
            write(summary(found), only)
    write(summary(found), only)


if __name__ == "__main__":
    main()
