"""What would a user pick instead of ehrsynth, and is ehrsynth better and faster?

    python benchmarks/training.py --seconds 180          everyone trains for three minutes
    python benchmarks/training.py --only modern          one model again, the other rows are kept
    python benchmarks/training.py --race                 the others with their own settings, and
                                                         how soon ehrsynth is as good

The other generators are no part of ehrsynth. Give them an environment of their own:

    python -m venv peers && source peers/bin/activate
    pip install torch                         # the build for processors is enough
    pip install ctgan sdv mostlyai-engine -e path/to/ehrsynth
    pip uninstall torchvision torchaudio      # if they do not fit this torch; they are not needed

Who is not installed is skipped. All learn from the same patients of the simulated hospital, each
in a process of its own, on the same number of cores. With one core, seconds are those for which
the process had the core, so that whatever else the machine does costs nobody anything.

- Preparation is everything that happens once: transformers, encoding, ehrsynth's calibration.
- In the first part training stops after ``--seconds``. CTGAN and TVAE only count epochs: their
  loop over epochs gets an iterator that ends when the next epoch would lead further away from the
  time than stopping does, after one epoch at the earliest. mostlyai-engine asks at each step
  whether to stop. The steps of ehrsynth are chosen before, from what a step costs. The Gaussian
  copula has no loop.
- In the race everyone else has their own default settings, with no limit, on fewer patients and
  columns. ehrsynth is trained from the beginning with more and more steps.

Numbers get the decimals and bounds that they have in train, whoever made them.

Writes ``benchmarks/training.csv``, one row for each model, and the tables of the book's page.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from evaluation import MIN_PREVALENCE, peak_gb, tables
from measuring import FRESH, measure

import ehrsynth
from ehrsynth.evaluation import PROFILES, SPECS
from ehrsynth.evaluation.setting import independent
from ehrsynth.files import read_table, write_table
from ehrsynth.gan.recipe import Recipe, named
from ehrsynth.hospital.truth import oracle_sample
from ehrsynth.model import EMRWGAN
from ehrsynth.preprocessing.encode import Preprocessor
from ehrsynth.schema import Schema

RESULTS = Path(__file__).with_suffix(".csv")
BOOK = Path(__file__).resolve().parents[1] / "book"
EQUAL, RACE = "equal time", "race"
PAGE_TABLES = {EQUAL: BOOK / "training-times.csv", RACE: BOOK / "training-race.csv"}

# The tutorial's ten metrics. The first is one of them in two parts, one for each kind of column.
TUTORIAL = {
    "dimension_wise_distribution_binary": 0.5, "dimension_wise_distribution_continuous": 0.5,
    "column_wise_correlation": 1, "latent_cluster_analysis": 1, "medical_concept_abundance": 1,
    "clinical_knowledge_violation": 1, "tstr_auroc": 1, "trts_auroc": 1, "feature_importance": 1,
    "membership_inference": 1, "attribute_inference": 1,
}  # fmt: skip
FORMS = ("published", "corrected")
COSTS = ("preparation", "training", "generation", "seen", "steps", "peak_gb")
C2ST = "classifier_two_sample_test (corrected)"
RUNGS = (25, 50, 100, 200, 400, 800, 1600, 3200)  # steps of ehrsynth in the race


def label(name: str, form: str) -> str:
    """The column of a metric in the results."""
    return f"{name} ({form})"


def clock() -> float:
    """Seconds; of the core itself where there is only one, which others cannot take away."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


# -- the models ------------------------------------------------------------------------------
# Each takes train, its schema, a seed and the seconds to train (None: the model's own settings),
# and returns synthetic patients, as many as in train, and what it took.


class Loop:
    """Goes through epochs until the time is over; takes the place of the progress bar."""

    def __init__(self, seconds: float | None):
        self.limit, self.done, self.seconds = seconds, 0, 0.0

    def __call__(self, epochs, **_):
        self.start = clock()
        for epoch in epochs:
            yield epoch
            self.done, self.seconds = self.done + 1, clock() - self.start
            if self.limit is not None and self.seconds * (1 + 0.5 / self.done) > self.limit:
                return


def fitted(recipe: Recipe, seed: int, steps: int | None, encoded) -> tuple[EMRWGAN, float, float]:
    """A trained model, the seconds of its steps, and those of all that fit does besides."""
    start, wall = clock(), time.perf_counter()
    gan = EMRWGAN(recipe, seed, steps=steps, device="cpu").fit(encoded)
    both = clock() - start
    # The steps are timed by the wall; the rest, calibration above all, comes after the last one.
    training = both * gan.history_["seconds"].iloc[-1] / (time.perf_counter() - wall)
    return gan, training, both - training


def steps_in(seconds: float, recipe: Recipe, seed: int, encoded) -> int:
    """Steps that fill these seconds, together with the looks of the quality monitor."""
    bare = replace(recipe, keep="last", looks=0, calibration="none", pairs=False,
                   code_counts=False, refresh_statistics=False)  # fmt: skip
    steps, spent = 2, 0.0
    while spent < seconds / 40:  # the first steps of a process are slow
        steps *= 2
        spent = fitted(bare, seed, steps, encoded)[1]
    looks = fitted(replace(bare, keep=recipe.keep, looks=recipe.looks), seed, steps, encoded)[1]
    return max(2, round((seconds - max(0.0, looks - spent)) * steps / spent))


def by_ehrsynth(name: str, train, schema, seed, seconds, steps=None):
    recipe = named(name)
    options = {"min_prevalence": MIN_PREVALENCE, "seed": seed}
    if steps is None and seconds is not None:
        trial = Preprocessor.for_recipe(name, **options).fit(train, schema).transform(train)
        steps = steps_in(seconds, recipe, seed, trial)
    start = clock()
    prep = Preprocessor.for_recipe(name, **options).fit(train, schema)
    encoded = prep.transform(train)
    before = clock() - start
    gan, training, after = fitted(recipe, seed, steps, encoded)
    done = clock()
    # The published model was released as it came; repairing clinical rules is ehrsynth's idea.
    made = ehrsynth.postprocess(gan.sample(len(train), seed=seed), prep, seed=seed,
                                rules=name != "paper")  # fmt: skip
    steps = int(gan.history_["step"].iloc[-1])
    seen = steps * recipe.critic_steps * min(recipe.batch, len(train))
    return made, {"preparation": before + after, "training": training, "seen": seen,
                  "steps": steps, "generation": clock() - done}  # fmt: skip


def by_ctgan(name: str, train, schema, seed, seconds):
    import ctgan
    from ctgan import synthesizers

    start = clock()
    loop = Loop(seconds)
    own = {} if seconds is None else {"epochs": 1_000_000}
    model = getattr(ctgan, name)(enable_gpu=False, **own)
    model.set_random_state(seed)
    whole, discrete = without_gaps(train, schema, np.random.default_rng(seed))
    with patch.object(getattr(synthesizers, name.lower()), "tqdm", loop):
        model.fit(whole, discrete)
    done = clock()
    made = model.sample(len(train))
    return with_gaps(made, schema), {
        "preparation": done - start - loop.seconds, "training": loop.seconds,
        "seen": loop.done * len(train), "steps": loop.done, "generation": clock() - done,
    }  # fmt: skip


def by_copula(train, schema, seed, seconds):
    from sdv.metadata import Metadata
    from sdv.single_table import GaussianCopulaSynthesizer

    start = clock()
    kinds = {c.name: {"sdtype": "numerical" if c.kind == "continuous" else "categorical"}
             for c in schema.columns}  # fmt: skip
    model = GaussianCopulaSynthesizer(
        Metadata.load_from_dict({"tables": {"patients": {"columns": kinds}}})
    )
    np.random.seed(seed)  # noqa: NPY002 - the one it draws from
    prepared = model.preprocess({"patients": plain(train, schema)})
    fitting = clock()
    model.fit_processed_data(prepared)
    done = clock()
    made = model.sample(len(train))["patients"]
    return made, {"preparation": fitting - start, "training": done - fitting, "seen": len(train),
                  "steps": 1, "generation": clock() - done}  # fmt: skip


def by_mostlyai(train, schema, seed, seconds):
    from mostlyai import engine

    start, steps, batch = clock(), 0, 0

    def watch(message=None, total=None, **_):
        nonlocal steps, batch
        if message:
            batch = message["samples"] / message["steps"]
        steps += batch > 0 and total != 1  # which only opens and closes the bar
        return {"stopExecution": seconds is not None and clock() - training > seconds}

    engine.set_random_state(seed)
    types = {c.name: "TABULAR_NUMERIC_AUTO" if c.kind == "continuous" else "TABULAR_CATEGORICAL"
             for c in schema.columns}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        engine.split(plain(train, schema), tgt_encoding_types=types, workspace_dir=folder)
        # Nobody else hides rare values.
        engine.analyze(value_protection=False, workspace_dir=folder)
        engine.encode(workspace_dir=folder)
        training = clock()
        # A fixed order of the columns is more exact, and a flexible one is not needed here.
        engine.train(device="cpu", enable_flexible_generation=False, workspace_dir=folder,
                     update_progress=watch)  # fmt: skip
        done = clock()
        engine.generate(sample_size=len(train), device="cpu", workspace_dir=folder)
        made = pd.read_parquet(Path(folder) / "SyntheticData")
    seen = round(steps * batch)
    return made, {"preparation": training - start, "training": done - training, "seen": seen,
                  "steps": steps, "generation": clock() - done}  # fmt: skip


MODELS: dict[str, tuple[str, str | None, Callable]] = {  # title, what to install, function
    "modern": ("ehrsynth, modern recipe", None, partial(by_ehrsynth, "modern")),
    "paper": ("ehrsynth, published recipe", None, partial(by_ehrsynth, "paper")),
    "ctgan": ("CTGAN", "ctgan", partial(by_ctgan, "CTGAN")),
    "tvae": ("TVAE", "ctgan", partial(by_ctgan, "TVAE")),
    "copula": ("Gaussian copula (SDV)", "sdv", by_copula),
    "mostlyai": ("TabularARGN (mostlyai-engine)", "mostlyai-engine", by_mostlyai),
}
INDEPENDENT = "independent columns"
YARDSTICKS = "yardsticks"  # these two, in --only


# -- what the others take and give -----------------------------------------------------------


def plain(train: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """The patients with text for categories, which every generator understands."""
    return pd.DataFrame(train).astype(
        dict.fromkeys(schema.of_kind("categorical"), object)
        | dict.fromkeys(schema.of_kind("binary"), int)
    )


def without_gaps(train, schema, rng) -> tuple[pd.DataFrame, list[str]]:
    """For who takes no missing numbers: drawn from the measured ones, and a column says so."""
    table = plain(train, schema)
    discrete = schema.of_kind("categorical", "binary")
    for name in schema.of_kind("continuous"):
        gap = table[name].isna()
        if gap.any():
            table.loc[gap, name] = rng.choice(table.loc[~gap, name], size=int(gap.sum()))
            table[f"{name} missing"] = gap.astype(int)
            discrete.append(f"{name} missing")
    return table, discrete


def with_gaps(made: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """The way back: numbers are missing where the column beside them says so."""
    made = made.copy()
    for name in schema.of_kind("continuous"):
        if f"{name} missing" in made:
            made.loc[made[f"{name} missing"] == 1, name] = np.nan
    return made


def tidy(made: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Numbers with the decimals and within the bounds of their column, types of the schema."""
    table = pd.DataFrame({name: made[name] for name in schema.names})
    for column in (schema[name] for name in schema.of_kind("continuous")):
        values = table[column.name].astype(float).clip(column.lower, column.upper)
        table[column.name] = values if column.decimals is None else values.round(column.decimals)
    return schema.cast(table, where="the synthetic patients")


# -- one model in a process of its own -------------------------------------------------------


def run(model: str, folder: Path, seed: int, threads: int, seconds: float | None,
        steps: int | None = None) -> tuple[pd.DataFrame, dict] | None:  # fmt: skip
    """Synthetic patients and what they took; None, with a line that says why, if there are none."""
    title, package, _ = MODELS[model]
    out = folder / f"{model}.parquet"
    command = [sys.executable, __file__, "--one", model, "--folder", str(folder),
               "--seed", str(seed), "--threads", str(threads)]  # fmt: skip
    command += [] if seconds is None else ["--seconds", str(seconds)]
    command += [] if steps is None else ["--steps", str(steps)]
    threaded = ("OMP", "MKL", "OPENBLAS", "NUMEXPR")
    settings = {f"{name}_NUM_THREADS": str(threads) for name in threaded}
    settings |= {
        "LOKY_MAX_CPU_COUNT": str(threads),
        "MOSTLY_ENGINE_AVAILABLE_RAM_FOR_HEURISTICS": "16G",  # not what happens to be free
        "HF_HUB_OFFLINE": "1",
    }
    wall = time.perf_counter()
    done = subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        print(f"{title} failed and is left out: {said[-1]}", file=sys.stderr, flush=True)
        return None
    facts = json.loads(done.stdout.strip().splitlines()[-1])
    facts["wall"] = time.perf_counter() - wall
    shown = ", ".join(f"{k} {v:,.1f}" for k, v in facts.items())
    print(f"{title}, seed {seed}: {shown}", flush=True)
    return read_table(out), facts | {"version": version(package or "ehrsynth")}


def one(model: str, folder: Path, seed: int, seconds: float | None, steps: int | None) -> None:
    """What the process does: learn, generate, say what it took."""
    schema = Schema.load(folder / "schema.json")
    train = schema.cast(read_table(folder / "train.parquet"))
    torch.manual_seed(seed)
    made, facts = MODELS[model][2](
        train, schema, seed, seconds, **({} if steps is None else {"steps": steps})
    )
    facts["peak_gb"] = peak_gb()
    write_table(tidy(made, schema), folder / f"{model}.parquet")
    print(json.dumps(facts))


# -- measuring -------------------------------------------------------------------------------


def installed(only: list[str] | None) -> list[str]:
    """The models to run, of which those without their package are named and left out."""
    models = []
    for model, (title, package, _) in MODELS.items():
        if only and model not in only:
            continue
        module = (package or "ehrsynth").replace("mostlyai-engine", "mostlyai")
        if find_spec(module) is None:
            print(f"{title} is left out: pip install {package}", file=sys.stderr)
        else:
            models.append(model)
    return models


def scores(train, holdout, synthetic, schema, profile: str, seed: int) -> dict[str, float]:
    """The classifier two-sample test and the tutorial's metrics in both forms."""
    wanted = [s for s in SPECS if s.name in TUTORIAL or label(s.name, s.form) == C2ST]
    values = measure(train, holdout, synthetic, schema, wanted, profile, seed)
    return {label(spec.name, spec.form): value for spec, value in values.items()}


def equal_time(options, train, schema, folder: Path, seed: int) -> Iterator[tuple]:
    """Model, patients and facts: the two yardsticks, then each model after the same time."""
    if options.only is None or YARDSTICKS in options.only:
        yield FRESH, tidy(oracle_sample(len(train), seed, like=train), schema), {}
        yield INDEPENDENT, independent(train, len(train), np.random.default_rng(seed)), {}
    for model in installed(options.only):
        found = run(model, folder, seed, options.threads, options.seconds)
        if found is not None:
            yield model, *found


def race(options, train, schema, folder: Path, seed: int) -> Iterator[tuple]:
    """The others with their own settings, and ehrsynth with more and more steps."""
    for model in installed(options.only):
        if model == "paper":  # whose own 15,000 epochs take days
            continue
        for steps in options.rungs if model == "modern" else [None]:
            found = run(model, folder, seed, options.threads, None, steps)
            if found is not None:
                yield model, *found


def merged(before: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The new rows in place of the old ones of the same models; other parts stay as they are.

    Rows of the same part that were measured with other settings cannot stand beside the new
    ones and go.
    """
    settings = ["train", "columns", "budget", "threads", "profile"]
    same_part = before["part"] == rows["part"].iloc[0]
    comparable = (before[settings] == rows[settings].iloc[0]).all(axis=1)
    replaced = before.set_index(["model", "seed"]).index.isin(
        rows.set_index(["model", "seed"]).index
    )
    return pd.concat([before[~same_part | (comparable & ~replaced)], rows], ignore_index=True)


# -- the page --------------------------------------------------------------------------------


def better(medians: pd.DataFrame, model: str, form: str, than: str = "modern") -> float:
    """On how many of the tutorial's ten metrics `than` beats `model` (in one form, or the only).

    Who has no value, because none of their patients is of the kind that a metric looks at, loses.
    """
    higher = {spec.name: spec.direction == "higher" for spec in SPECS}
    won = 0.0
    for name, weight in TUTORIAL.items():
        column = label(name, form if label(name, form) in medians else "published")
        ours, theirs = (float(medians.loc[m, column]) for m in (than, model))
        lost = np.isnan(theirs) and not np.isnan(ours)
        won += weight * bool(lost or (ours > theirs if higher[name] else ours < theirs))
    return won


def figures(values: pd.Series, pattern: str) -> list[str]:
    return ["" if pd.isna(v) else pattern.format(v) for v in values]


def equal_table(results: pd.DataFrame) -> pd.DataFrame:
    """One column a model, medians over the seeds; rows: what it took, then the metrics."""
    rows = results[results["part"] == EQUAL]
    order = [FRESH, *MODELS, INDEPENDENT]
    medians = rows.groupby("model").median(numeric_only=True).reindex(order).dropna(how="all")
    medians = medians.reindex(columns=medians.columns.union(COSTS))  # yardsticks have none
    titles = [MODELS[name][0] if name in MODELS else name for name in medians.index]
    speed = medians["seen"] / medians["training"]
    lines = {
        "patients in train": figures(medians["train"], "{:,.0f}"),
        "columns": figures(medians["columns"], "{:,.0f}"),
        "preparation (s)": figures(medians["preparation"], "{:,.0f}"),
        "training (s)": figures(medians["training"], "{:,.0f}"),
        "training patients seen per second": figures(speed, "{:,.0f}"),
        "passes over train": figures(medians["seen"] / medians["train"], "{:,.1f}"),
        "generation (s)": figures(medians["generation"], "{:,.0f}"),
        "memory (GB)": figures(medians["peak_gb"], "{:.1f}"),
        "C2ST ↓": figures(medians[C2ST], "{:.3f}"),
    }
    known = {(spec.name, spec.form): spec for spec in SPECS}
    for form in FORMS:
        for spec in (known[name, form] for name in TUTORIAL if (name, form) in known):
            # The published forms of privacy mislead most; all others are in the results.
            if form == "published" or spec.family == "privacy":
                arrow = "↑" if spec.direction == "higher" else "↓"
                title = spec.title or spec.name.replace("_", " ").capitalize()
                values = medians[label(spec.name, form)]
                lines[f"{title}, {form} {arrow}"] = figures(values, "{:.4g}")
    others = [name for name in medians.index if name in MODELS and name != "modern"]
    for winner, words in ((FRESH, FRESH), ("modern", "modern recipe")):
        for form in FORMS if winner in medians.index else ():
            lines[f"{words} better, of 10 {form}"] = [
                f"{better(medians, name, form, than=winner):g}" if name in others else ""
                for name in medians.index
            ]
    return pd.DataFrame(lines, index=titles).T.rename_axis("").reset_index()


def race_table(results: pd.DataFrame) -> pd.DataFrame:
    """Each other model with its own settings, and how soon the modern recipe is as good."""
    rows = results[results["part"] == RACE]
    rows = rows.assign(total=rows["preparation"] + rows["training"])
    lines = []
    for model in [name for name in MODELS if name != "modern" and name in set(rows["model"])]:
        found = []
        for _, peer in rows[rows["model"] == model].iterrows():
            ours = rows[(rows["model"] == "modern") & (rows["seed"] == peer["seed"])]
            ours = ours[ours[C2ST] <= peer[C2ST]].sort_values("steps").head(1)
            found.append({"total": peer["total"], "c2st": peer[C2ST]})
            if len(ours):
                first = ours.iloc[0]
                pair = pd.DataFrame([first, peer], index=["modern", model])
                found[-1] |= {
                    "seconds": first["total"],
                    "ours": first[C2ST],
                    "steps": first["steps"],
                    "ratio": peer["total"] / first["total"],
                }
                found[-1] |= {form: better(pair, model, form) for form in FORMS}  # fmt: skip
        found = pd.DataFrame(found, columns=["total", "c2st", "seconds", "ours", "steps", "ratio",
                                             *FORMS])  # fmt: skip
        reached, middle = found["seconds"].notna().mean() > 0.5, found.median()
        patterns = ("{:,.1f}", "{:.3f}", "{:,.1f}", "{:.3f}", "{:,.0f}", "{:,.1f}", "{:g}", "{:g}")
        texts = [pattern.format(v) for pattern, v in zip(patterns, middle, strict=True)]
        if not reached:
            texts[2:] = ["not reached"] + [""] * (len(texts) - 3)
        size = rows[["train", "columns"]].median().map("{:,.0f}".format)
        lines.append([MODELS[model][0], *size, *texts])
    names = ["generator with its own settings", "patients", "columns", "seconds", "C2ST",
             "modern recipe: seconds", "C2ST ", "steps", "times as fast",
             "better, of 10 published", "better, of 10 corrected"]  # fmt: skip
    return pd.DataFrame(lines, columns=names)


def page_tables(results: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The page's table of each part that has been measured."""
    makers = {EQUAL: equal_table, RACE: race_table}
    return {part: makers[part](results) for part in makers if (results["part"] == part).any()}


def write(results: pd.DataFrame, path: Path) -> None:
    write_table(results, path)
    if path == RESULTS:
        for part, table in page_tables(results).items():
            write_table(table, PAGE_TABLES[part])


def most_frequent(train: pd.DataFrame, codes: int) -> Schema:
    """The schema with only so many diagnoses."""
    schema = Schema.of(train)
    diagnoses = [c.name for c in schema.columns if c.code]
    rare = train[diagnoses].mean().sort_values(ascending=False, kind="stable").index[codes:]
    return schema.select([name for name in schema.names if name not in set(rare)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, help="of the hospital, before the cohort is chosen")
    parser.add_argument("--seconds", type=float, help="of training (default: 180)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--profile", choices=PROFILES, default="full")
    known = [*MODELS, YARDSTICKS]
    parser.add_argument("--only", nargs="+", choices=known, metavar="MODEL",
                        help=f"measure only some of: {', '.join(known)}")  # fmt: skip
    parser.add_argument("--race", action="store_true", help="the second part")
    parser.add_argument("--codes", type=int, default=80, help="diagnoses in the race")
    parser.add_argument("--rungs", type=int, nargs="+", default=RUNGS, help="steps in the race")
    parser.add_argument("--results", type=Path, default=RESULTS)
    for name, kind in (("--one", str), ("--folder", Path), ("--steps", int)):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.one:
        warnings.simplefilter("ignore")
        one(options.one, options.folder, options.seed, options.seconds, options.steps)
        return
    part, runners = (RACE, race) if options.race else (EQUAL, equal_time)
    options.patients = options.patients or (4_000 if options.race else 24_500)
    options.seconds = options.seconds or 180.0
    train, holdout = tables(options.patients, "phecode", seed=0)
    if options.race:
        schema = most_frequent(train, options.codes)
        train, holdout = (schema.attach(table[schema.names]) for table in (train, holdout))
    schema = Schema.of(train)
    about = {"part": part, "train": len(train), "columns": len(schema.columns),
             "budget": 0.0 if options.race else options.seconds, "threads": options.threads,
             "profile": options.profile}  # fmt: skip
    print(about, flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_table(train, folder / "train.parquet")
        schema.save(folder / "schema.json")
        for seed in range(options.seed, options.seed + options.seeds):
            rows = []
            for model, made, facts in runners(options, train, schema, folder, seed):
                found = scores(train, holdout, made, schema, options.profile, seed)
                print(f"{model}: C2ST {found[C2ST]:.3f}", flush=True)
                rows.append({**about, "model": model, "seed": seed, **facts, **found})
                # Written after each model, so that whoever stops here keeps what is done.
                results = pd.DataFrame(rows).round(4)
                if options.results.is_file():
                    results = merged(pd.read_csv(options.results), results)
                write(results, options.results)


if __name__ == "__main__":
    main()
