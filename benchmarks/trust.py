"""Is the judge right? False alarms on fresh patients, and leaks that must be noticed.

    python benchmarks/trust.py --train 8000 --holdout 3500 --replications 40
    python benchmarks/trust.py --train 2600 --holdout 1100 --cases fresh "fresh, sicker holdout"
    python benchmarks/trust.py --train 400 --holdout 170 --families

New patients of the simulated hospital are drawn once and parted at random into train, holdout and
a release, which is left as it is or spoiled in one known way. Only privacy is judged, as a report
does; with --families all that a report judges, of fresh patients. Writes ``book/trust.csv``, or
``book/trust-families.csv``, one row a case and size, with the commit it was measured on.
"""

import argparse
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

import ehrsynth
from ehrsynth.evaluation import PROFILES, Metric
from ehrsynth.evaluation.privacy.attacks import SPECS
from ehrsynth.evaluation.privacy.power import tried
from ehrsynth.evaluation.setting import independent, with_references
from ehrsynth.evaluation.verdict import Findings
from ehrsynth.files import write_table
from ehrsynth.hospital.truth import oracle_sample
from ehrsynth.preprocessing.encode import Preprocessor
from ehrsynth.schema import Schema
from ehrsynth.statistics import NotComputable

BOOK = Path(__file__).resolve().parents[1] / "book"
RESULTS, FAMILIES = BOOK / "trust.csv", BOOK / "trust-families.csv"
LEVELS = ("good", "care", "bad", "unknown")
MIN_PREVALENCE = 1e-3
RIDGE, WEAK = 5.0, 100.0  # of the sequential generator


def patients(n: int) -> tuple[pd.DataFrame, Schema]:
    """New patients of the simulated hospital, with the columns of a train of usual size."""
    hospital = ehrsynth.load("simulated", patients=12_000, seed=0)
    train, _ = ehrsynth.split(ehrsynth.build_patients(hospital), seed=0)
    prep = Preprocessor(min_prevalence=MIN_PREVALENCE, seed=0).fit(train)
    drawn = prep.clip(oracle_sample(n, seed=1, like=train))[prep.schema_.names]
    return drawn.reset_index(drop=True), prep.schema_


def codes(schema: Schema) -> list[str]:
    return [n for n in schema.of_kind("binary") if n != schema.outcome]


def changed(rows: pd.DataFrame, schema: Schema, times: int, rng) -> pd.DataFrame:
    """The same patients with so many of their codes turned around."""
    names = codes(schema)
    values = rows[names].to_numpy().copy()
    for row in values:
        at = rng.choice(len(names), times, replace=False)
        row[at] = 1 - row[at]
    return rows.assign(**dict(zip(names, values.T, strict=True)))


def sequential(
    train: pd.DataFrame, schema: Schema, rng, ridge: float = RIDGE, times: int = 1
) -> pd.DataFrame:
    """Each code drawn from a ridge regression on all columns before it, without a threshold."""
    names = codes(schema)
    names = list(train[names].mean().sort_values(ascending=False, kind="stable").index)
    made = independent(train, times * len(train), rng)
    numbers = [n for n in train if n not in names and schema[n].kind != "categorical"]
    start, begun = (
        np.column_stack([np.ones(len(t)), t[numbers].fillna(train[numbers].median())])
        for t in (train, made)
    )
    scale = np.append(1.0, start[:, 1:].std(axis=0))
    real = np.column_stack([start / scale, train[names].to_numpy(float)])
    drawn = np.column_stack([begun / scale, np.zeros((len(made), len(names)))])
    products = real.T @ real
    for k in range(start.shape[1], real.shape[1]):
        chance = np.linalg.solve(products[:k, :k] + ridge * np.eye(k), products[:k, k])
        drawn[:, k] = rng.random(len(made)) < drawn[:, :k] @ chance
    values = drawn[:, start.shape[1] :].astype(np.uint8)
    return made.assign(**dict(zip(names, values.T, strict=True)))


def in_place_of(fresh: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Fresh patients, the first of them replaced."""
    return pd.concat([rows, fresh.iloc[len(rows) :]], ignore_index=True)


def some(train: pd.DataFrame, share: float, rng) -> pd.DataFrame:
    return train.iloc[rng.permutation(len(train))[: round(share * len(train))]]


def rare_carriers(train: pd.DataFrame, schema: Schema, rng) -> pd.DataFrame:
    """All carriers of a code that 12 to 20 patients have."""
    count = train[codes(schema)].sum()
    code = rng.choice(count.index[(count >= 12) & (count <= 20)])
    return train[train[code] == 1]


LEAKS = {  # of train, holdout, fresh patients, schema and random numbers
    "fresh": lambda t, h, f, s, rng: f,
    "fresh, sicker holdout": lambda t, h, f, s, rng: f,
    "fresh, older holdout": lambda t, h, f, s, rng: f,
    "0.3 % verbatim": lambda t, h, f, s, rng: in_place_of(f, some(t, 0.003, rng)),
    "5 %, two codes changed": lambda t, h, f, s, rng: in_place_of(
        f, changed(some(t, 0.05, rng), s, 2, rng)),
    "carriers of a rare code": lambda t, h, f, s, rng: in_place_of(f, rare_carriers(t, s, rng)),
    "sequential ridge": lambda t, h, f, s, rng: sequential(t, s, rng),
    "train and holdout, one code changed": lambda t, h, f, s, rng: changed(
        some(pd.concat([t, h]), len(t) / (len(t) + len(h)), rng), s, 1, rng),
    "ten times the rows of a weak memorizer": lambda t, h, f, s, rng: sequential(
        t, s, rng, ridge=WEAK, times=10),
    "the smallest near copies that power names": None,
}  # fmt: skip


def tilted(pool: pd.DataFrame, schema: Schema, by: str, n: int, rng) -> np.ndarray:
    """Rows of `n` patients with .3 standard deviations more codes, or years."""
    values = pool[codes(schema)].sum(axis=1) if by == "sicker" else pool["age"]
    weight = np.exp(0.3 * (values - values.mean()) / values.std()).to_numpy()
    return rng.choice(len(pool), n, replace=False, p=weight / weight.sum())


def judged(train, holdout, release, schema: Schema, profile: str, seed: int) -> Findings:
    """What a report finds about privacy."""
    scenes = with_references(train, holdout, release, schema, PROFILES[profile], seed)
    metrics = []
    for spec in SPECS:
        if spec.form == "corrected":
            try:
                best = spec.best == "holdout" and spec.evaluate(scenes["holdout"], seed) or None
                value = spec.evaluate(scenes["synthetic"], seed)
                metrics.append(Metric.of(spec, value, best))
            except NotComputable as stop:
                metrics.append(Metric.of(spec, None, reason=str(stop)))
    rows = {"train": len(train), "holdout": len(holdout), "synthetic": len(release)}
    return Findings(metrics, rows=rows, tried=tried(scenes["synthetic"]))


def replicate(case: str, pool, schema: Schema, sizes: tuple[int, int], profile: str, seed: int):
    """The privacy verdict of one replication, and what raised the alarm."""
    rng = np.random.default_rng([seed, list(LEAKS).index(case)])
    n, m = sizes
    order = rng.permutation(len(pool))
    parts = np.split(order[: 2 * n + m], [n, n + m])
    if "holdout" in case.split(" ")[-1] and case.startswith("fresh"):
        rest = order[2 * n + m :]
        by = "sicker" if "sicker" in case else "older"
        parts[1] = rest[tilted(pool.iloc[rest], schema, by, m, rng)]
    train, holdout, fresh = (pool.iloc[part].reset_index(drop=True) for part in parts)
    if LEAKS[case] is None:
        power = judged(train, holdout, fresh, schema, profile, seed).tried["power"]
        leak = changed(some(train, power["near"] or 1.0, rng), schema, power["changed"], rng)
        release = in_place_of(fresh, leak)
    else:
        release = LEAKS[case](train, holdout, fresh, schema, rng)
    found = judged(train, holdout, schema.attach(release), schema, profile, seed)
    level = found.verdicts()["privacy"].level
    loud = [name for name, alarm in found.tried["alarms"].items() if alarm]
    print(case, seed, level, loud, found.tried, file=sys.stderr, flush=True)
    return level


def families(pool, schema: Schema, sizes: tuple[int, int], profile: str, seed: int):
    """What a whole report says of fresh patients, by family."""
    n, m = sizes
    order = np.random.default_rng([seed, 9]).permutation(len(pool))
    parts = np.split(order[: 2 * n + m], [n, n + m])
    tables = (schema.attach(pool.iloc[part].reset_index(drop=True)) for part in parts)
    verdicts = ehrsynth.evaluate(*tables, seed=seed, profile=profile).verdicts()
    print(n, seed, {k: v.level for k, v in verdicts.items()}, file=sys.stderr, flush=True)
    return {family: verdict.level for family, verdict in verdicts.items()}


def store(rows: list[dict], path: Path, keys: list[str]) -> None:
    """These rows in place of older ones of the same keys."""
    before = [pd.read_csv(path)] if path.is_file() else []
    result = pd.concat([*before, pd.DataFrame(rows)]).drop_duplicates(keys, keep="last")
    write_table(result.sort_values(["train", keys[0]], kind="stable"), path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=int, default=2_600)
    parser.add_argument("--holdout", type=int, default=1_100)
    parser.add_argument("--replications", type=int, default=40)
    parser.add_argument("--cases", nargs="*", default=list(LEAKS), choices=LEAKS)
    parser.add_argument("--profile", choices=PROFILES, default="full")
    parser.add_argument("--families", action="store_true", help="all that a report judges")
    options = parser.parse_args()
    sizes = options.train, options.holdout
    pool, schema = patients(3 * options.train + 6 * options.holdout + 2_000)
    state = subprocess.run(
        ["git", "rev-parse", "--short=7", "HEAD"], capture_output=True, text=True, check=True,
        cwd=BOOK,
    ).stdout.strip()  # fmt: skip
    size = {"train": sizes[0], "holdout": sizes[1], "columns": len(schema.names)}
    size |= {"profile": options.profile, "replications": options.replications}
    asked, seeds = (pool, schema, sizes, options.profile), range(options.replications)

    def row(what: str, case: str, levels) -> dict:
        count = Counter(levels)
        return {what: case, **size, **{level: count[level] for level in LEVELS}, "state": state}

    if options.families:
        found = pd.DataFrame([families(*asked, seed) for seed in seeds])
        rows = [row("family", family, levels) for family, levels in found.items()]
        store(rows, FAMILIES, ["family", "train", "holdout", "profile"])
        return
    for case in options.cases:
        told = row("release", case, [replicate(case, *asked, seed) for seed in seeds])
        print(told, flush=True)
        store([told], RESULTS, ["release", "train", "holdout", "profile"])


if __name__ == "__main__":
    main()
