"""What is each switch of the modern recipe worth? All of them, turned on one after another.

    python benchmarks/ablation.py --patients 10000 --seconds 20 --seeds 3

Starts from the published recipe with its preprocessing, and turns on one switch (or two that make
no sense alone) at a time, until it is the modern recipe. Every model trains for the same time, in
seconds of one core: a switch that makes the steps dearer has to earn them back. The same seeds
train all variants; the table has medians over the seeds, with the smallest and the largest.

Writes ``benchmarks/ablation.csv``, one row for each model, and the page's two tables in ``book``.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from measuring import FRESH, measure, over_seeds

import ehrsynth
from ehrsynth.evaluation import SPECS
from ehrsynth.files import write_table
from ehrsynth.gan.recipe import MODERN, PAPER, Recipe
from ehrsynth.hospital.truth import oracle_sample
from ehrsynth.model import EMRWGAN
from ehrsynth.preprocessing.encode import Preprocessor
from ehrsynth.schema import Schema

RESULTS = Path(__file__).with_suffix(".csv")
_BOOK = Path(__file__).resolve().parents[1] / "book"
# Two tables that fit a page, with their metrics.
PAGE_TABLES = {
    _BOOK / "ablation.csv": ("C2ST", "TSTR", "prevalence"),
    _BOOK / "ablation-more.csv": ("correlation", "abundance", "log odds ratios", "membership"),
}

# What is turned on, in words, and the fields of the recipe that do it.
SWITCHES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "Adam, steps a hundred times as large",
        ("optimizer", "generator_rate", "critic_rate", "initialization", "fakes_by"),
    ),
    ("the best weights of 12 looks, no rejection", ("keep", "looks", "match_outcome")),
    ("batches of 128", ("batch",)),
    ("the critic sees drawn codes", ("sampled_codes",)),
    ("numbers as bins, missing as one of them", ()),
    ("starts at train's prevalences, centered", ("prevalence_bias", "centered_output")),
    ("numbers move as polynomials", ("smooth_numbers",)),
    ("outcome and sex are given", ("condition",)),
    ("average of the weights, its own statistics", ("averaging", "refresh_statistics")),
    ("the critic sees the bins' scores", ("score_weight",)),
    ("learning rates fall from 60 % on", ("decay_from",)),
    ("smaller networks", ("width", "layers")),
    ("penalty on a quarter of the batch", ("penalty_share",)),
    ("bfloat16, where there are instructions", ("half_precision",)),
    ("prevalences calibrated, within outcome and sex", ("calibration",)),
    ("pairs calibrated", ("pairs", "code_pairs")),
    ("number of diagnoses calibrated", ("code_counts",)),
)
BINS = "numbers as bins, missing as one of them"
METRICS = {
    "classifier_two_sample_test": "C2ST",
    "tstr_auroc": "TSTR",
    "dimension_wise_distribution_binary": "prevalence",
    "column_wise_correlation": "correlation",
    "medical_concept_abundance": "abundance",
    "effect_estimates": "log odds ratios",
    "membership_inference": "membership",
}


def variants() -> list[tuple[str, str, Recipe]]:
    """Name, preprocessing and recipe, from the published to the modern one."""
    recipe, prep = PAPER, "paper"
    found = [("as published", prep, recipe)]
    for words, names in SWITCHES:
        recipe = replace(recipe, **{name: getattr(MODERN, name) for name in names})
        prep = "modern" if words == BINS else prep
        found.append((words, prep, recipe))
    same = ("steps", "epochs", "recoveries")  # none of them changes the weights here
    left = replace(recipe, **{name: getattr(MODERN, name) for name in same})
    assert left == MODERN, "a switch of the modern recipe is missing in SWITCHES"
    return found


def steps_in(seconds: float, recipe: Recipe, encoded, seed: int) -> int:
    """Steps that this machine takes in so many seconds of one core."""
    costs = []
    for steps in (2, 4, 12):  # the first of them warms up
        start = time.process_time()
        bare = replace(recipe, calibration="none", pairs=False, code_counts=False,
                       refresh_statistics=False, keep="last", looks=0)  # fmt: skip
        EMRWGAN(bare, seed, steps=steps).fit(encoded)
        costs.append(time.process_time() - start)
    return max(2, round(seconds / max((costs[2] - costs[1]) / 8, 1e-4)))


def scores(train, holdout, synthetic, schema: Schema, seed: int) -> dict[str, float]:
    specs = [spec for spec in SPECS if spec.name in METRICS
             and (spec.form == "published") == (spec.name == "tstr_auroc")]  # fmt: skip
    values = measure(train, holdout, synthetic, schema, specs, "fast", seed)
    return {METRICS[spec.name]: value for spec, value in values.items()}


def page_table(results: pd.DataFrame, metrics: tuple[str, ...]) -> pd.DataFrame:
    """Median over the seeds, with the smallest and the largest, in the order of the switches."""
    groups = results.groupby("variant", sort=False)
    table = pd.DataFrame({"turned on": list(groups.groups)})
    if "C2ST" in metrics:
        table["steps"] = groups["steps"].median().astype(int).map("{:,}".format).to_numpy()
    for name in metrics:
        digits = 1 if name == "prevalence" else 3
        table[name] = groups[name].agg(over_seeds, digits).to_numpy()
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)

    hospital = ehrsynth.load("simulated", patients=options.patients, seed=0)
    train, holdout = ehrsynth.split(ehrsynth.build_patients(hospital), seed=0)
    preps = {kind: Preprocessor.for_recipe(kind, min_prevalence=1e-3).fit(train)
             for kind in ("paper", "modern")}  # fmt: skip
    encoded = {kind: prep.transform(train) for kind, prep in preps.items()}
    schema = preps["modern"].schema_
    clean = [preps["modern"].clip(t) for t in (train, holdout)]
    rows = []
    for seed in range(options.seeds):
        new = oracle_sample(len(train), seed, like=train)
        found = scores(*clean, preps["modern"].clip(new), schema, seed)
        rows.append({"variant": FRESH, "seed": seed, "steps": 0, **found})
    for name, kind, recipe in variants():
        for seed in range(options.seeds):
            steps = steps_in(options.seconds, recipe, encoded[kind], seed)
            gan = EMRWGAN(recipe, seed, steps=steps).fit(encoded[kind])
            made = ehrsynth.postprocess(gan.sample(len(train), seed=seed), preps[kind], seed=seed)
            found = scores(*clean, preps["modern"].clip(made), schema, seed)
            rows.append({"variant": name, "seed": seed, "steps": steps, **found})
            print(rows[-1], flush=True)
        results = pd.DataFrame(rows).assign(
            train=len(train), columns=len(schema.columns), seconds=options.seconds
        )
        results = results.round(4)
        write_table(results, RESULTS)
        for path, metrics in PAGE_TABLES.items():
            write_table(page_table(results, metrics), path)


if __name__ == "__main__":
    main()
