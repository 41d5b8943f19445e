"""Which generator makes more of the same guarantee: noisy pairs, or the network with noise?

    python benchmarks/guarantee.py --epsilons 1 3 10 inf --seeds 0 1 --hospitals first second
    python benchmarks/guarantee.py --only "private GAN" --steps 1000 --seeds 0

Both get the same patients, the same public columns (the commonest codes, said before) and the same
epsilon and delta. Codes that one of them drops count as never there. Needs the extra ``dp``. Writes
``benchmarks/guarantee.csv``, a row for each generator, epsilon and seed of the noise; rows that are
there already stay. MST, a program of others, needs a Python that has it (`dpmm_mst.py` says how):

    python benchmarks/guarantee.py --only MST --dpmm mst/bin/python --epsilons 1 3 10 --seeds 0
"""

import argparse
import json
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import second_hospital
from measuring import FRESH, measure
from private_gan import PrivateGAN
from training_budget import TrainingBudget

import ehrsynth
from ehrsynth.evaluation import SPECS
from ehrsynth.gan.recipe import MODERN
from ehrsynth.guarantee.budget import Budget
from ehrsynth.guarantee.pairs import fit_pairs
from ehrsynth.hospital.truth import oracle_sample
from ehrsynth.schema import Schema
from ehrsynth.sources.flat.applying import fit_into

RESULTS = Path(__file__).with_suffix(".csv")
PAGE_TABLE = Path(__file__).resolve().parents[1] / "book" / "guarantee.csv"
AGAINST = PAGE_TABLE.with_name("guarantee-mst.csv")
PAIRS, NETWORK, MST = "private pairs", "private GAN", "MST"
CELLS, STEPS = 32, 1_000  # of a number for MST, and of its inference
HOSPITALS = ("first", "second")
CODES, DELTA = 60, 1e-6
# The tutorial's ten metrics in their corrected form (the last of each name), and two of ours.
METRICS = (
    "dimension_wise_distribution_binary", "column_wise_correlation", "latent_cluster_analysis",
    "medical_concept_abundance", "clinical_knowledge_violation", "tstr_auroc", "trts_auroc",
    "feature_importance", "membership_inference", "attribute_inference",
    "classifier_two_sample_test", "moments_attack",
)  # fmt: skip
KEY = ["hospital", "generator", "epsilon", "seed"]


def patients(hospital: str, n: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """About `n` training patients, their holdout, and as many fresh patients as train."""
    if hospital == "second":
        whole = second_hospital.patients(round(n / 0.7), 0)
        fresh = second_hospital.patients(n, 1)
    else:
        tables = ehrsynth.load("simulated", patients=round(n / 0.65), seed=0)
        whole = ehrsynth.build_patients(tables)
        fresh = oracle_sample(n, seed=1, like=whole)
    common = list(whole.filter(like="phe_").mean().sort_values().index[-CODES:])
    schema = Schema.of(whole)
    kept = [n for n in schema.names if not n.startswith("phe_") or n in common]
    train, holdout = ehrsynth.split(schema.select(kept).attach(whole[kept]), seed=0)
    return train, holdout, fresh[kept]


def make(
    generator: str, train: pd.DataFrame, budget: TrainingBudget, seed: int, steps: int
) -> pd.DataFrame:
    """As many synthetic patients as there are in train."""
    rng = np.random.default_rng([7, seed])
    if generator == PAIRS:
        return fit_pairs(train, budget, rng, public=list(train))[0].sample(len(train), seed)
    small = replace(MODERN, width=64, layers=1, critic_steps=1)
    network = PrivateGAN(small, steps=steps, size=128, most=1.0, seed=seed)
    return network.fit(train, budget, rng).sample(len(train), seed)


def by_mst(train: pd.DataFrame, budget: Budget, seed: int, python: str) -> pd.DataFrame:
    """As many patients of MST, which knows the same public columns, categories and bounds."""
    schema, rng = Schema.of(train), np.random.default_rng([8, seed])
    codes, widths, edges = {}, {}, {}
    for column in schema.columns:
        values = train[column.name]
        if column.kind == "categorical":
            codes[column.name] = values.cat.codes.to_numpy()
            widths[column.name] = len(values.cat.categories)
        elif column.kind == "continuous":
            edges[column.name] = np.linspace(column.lower, column.upper, CELLS + 1)
            cells = np.clip(np.digitize(values, edges[column.name]) - 1, 0, CELLS - 1)
            codes[column.name] = np.where(values.isna(), CELLS, cells)
            widths[column.name] = CELLS + 1
        else:
            codes[column.name], widths[column.name] = values.to_numpy(int), 2
    with tempfile.TemporaryDirectory() as folder:
        table, known, out = (str(Path(folder) / name) for name in ("in.csv", "in.json", "out.csv"))
        pd.DataFrame(codes).to_csv(table, index=False)
        Path(known).write_text(json.dumps(widths), encoding="utf-8")
        options = [budget.epsilon, budget.delta, len(train), seed, STEPS]
        program = Path(__file__).with_name("dpmm_mst.py")
        subprocess.run([python, str(program), table, known, out, *map(str, options)], check=True)
        made = pd.read_csv(out)
    for name, ends in edges.items():
        place = np.minimum(made[name].to_numpy(), CELLS - 1)
        values = rng.uniform(ends[place], ends[place + 1])
        made[name] = np.where(made[name] == CELLS, np.nan, values)
    for name in schema.of_kind("categorical"):
        made[name] = train[name].cat.categories.to_numpy()[made[name]]
    return made


def scores(
    train: pd.DataFrame, holdout: pd.DataFrame, made: pd.DataFrame, profile: str, seed: int
) -> dict[str, float]:
    """Each metric of a table in which what was dropped is never there."""
    schema = Schema.of(train)
    lost = [name for name in schema.names if name not in made]
    nothing = pd.DataFrame(0, index=made.index, columns=lost, dtype="uint8")
    made = fit_into(schema, pd.concat([made, nothing], axis=1))[0]
    specs = [[spec for spec in SPECS if spec.name == name][-1] for name in METRICS]
    found = measure(train, holdout, made, schema, specs, profile, seed)
    return {spec.name: value for spec, value in found.items()}


# What the page shows of each row: heading, metric, digits.
SHOWN = (
    ("C2ST", "classifier_two_sample_test", 2), ("TSTR", "tstr_auroc", 3),
    ("correlation", "column_wise_correlation", 3), ("abundance", "medical_concept_abundance", 3),
    ("moments", "moments_attack", 3),
)  # fmt: skip


def page_table(results: pd.DataFrame) -> pd.DataFrame:
    """The table of the page: the mean over the seeds of the noise, texts."""
    rows = []
    order = {name: place for place, name in enumerate((PAIRS, MST, NETWORK, FRESH))}
    for key, part in results.groupby(["hospital", "generator", "epsilon"], sort=False):
        hospital, generator, epsilon = key
        none = "" if generator == FRESH else "none"
        row = {"hospital": hospital, "generator": generator,
               "epsilon": none if np.isinf(epsilon) else f"{epsilon:g}"}  # fmt: skip
        row |= {title: f"{part[name].mean():.{digits}f}" for title, name, digits in SHOWN}
        rows.append((hospital, order[generator], epsilon, row))
    return pd.DataFrame([row for *_, row in sorted(rows, key=lambda row: row[:3])])


def better(results: pd.DataFrame, one: str, other: str) -> dict[tuple[str, float], int]:
    """In how many of the tutorial's ten metrics `one` is no worse, by hospital and epsilon."""
    higher = {"tstr_auroc", "trts_auroc", "feature_importance"}
    means = results.groupby(["hospital", "epsilon", "generator"])[list(METRICS[:10])].mean()
    found = {}
    for key in means.index.droplevel("generator").unique():
        if {(*key, one), (*key, other)} <= set(means.index):
            apart = means.loc[(*key, one)] - means.loc[(*key, other)]
            found[key] = sum((d >= 0) if name in higher else (d <= 0) for name, d in apart.items())
    return found


def against(results: pd.DataFrame, one: str, other: str, hospital: str) -> pd.DataFrame:
    """The tutorial's ten metrics of two generators at each epsilon that both were measured at."""
    own = results[(results["hospital"] == hospital) & np.isfinite(results["epsilon"])]
    means = own.groupby(["epsilon", "generator"])[list(METRICS[:10])].mean().unstack()
    table = pd.DataFrame({"metric": [name.replace("_", " ") for name in METRICS[:10]]})
    for epsilon, row in means.dropna().iterrows():
        table[f"epsilon {epsilon:g}"] = [
            f"{row[name, one]:.3f} / {row[name, other]:.3f}" for name in METRICS[:10]
        ]
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hospitals", nargs="+", default=HOSPITALS, choices=HOSPITALS)
    parser.add_argument("--only", nargs="+", default=(FRESH, PAIRS, NETWORK))
    parser.add_argument("--epsilons", nargs="+", type=float, default=[1, 3, 10, np.inf])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--patients", type=int, default=13_000)
    parser.add_argument("--steps", type=int, default=1_000)
    parser.add_argument("--profile", default="fast")
    parser.add_argument("--dpmm", help="a Python that has the package dpmm, for MST")
    options = parser.parse_args()
    for hospital in options.hospitals:
        train, holdout, fresh = patients(hospital, options.patients)
        wanted = [(g, e, s) for s in options.seeds for g in options.only for e in options.epsilons]
        for generator, epsilon, seed in wanted:
            epsilon = np.inf if generator == FRESH else epsilon
            key = dict(zip(KEY, (hospital, generator, epsilon, seed), strict=True))
            results = pd.read_csv(RESULTS) if RESULTS.exists() else pd.DataFrame(columns=KEY)
            if (results[KEY] == pd.Series(key)).all(axis=1).any():
                continue
            start, budget = time.perf_counter(), TrainingBudget(epsilon, DELTA)
            made = fresh
            if generator == MST:
                made = by_mst(train, budget, seed, options.dpmm)
            elif generator != FRESH:
                made = make(generator, train, budget, seed, options.steps)
            spent = epsilon if generator == MST else budget.spent()
            row = key | {
                "delta": DELTA, "train": len(train), "columns": train.shape[1],
                "dropped": train.shape[1] - made.shape[1], "spent": round(spent, 4),
                "seconds": round(time.perf_counter() - start, 1),
            }  # fmt: skip
            row |= {
                k: round(v, 4)
                for k, v in scores(train, holdout, made, options.profile, seed).items()
            }
            pd.concat([results, pd.DataFrame([row])]).to_csv(RESULTS, index=False)
            print(row, flush=True)
    results = pd.read_csv(RESULTS)
    page_table(results).to_csv(PAGE_TABLE, index=False)
    against(results, PAIRS, MST, HOSPITALS[0]).to_csv(AGAINST, index=False)


if __name__ == "__main__":
    main()
