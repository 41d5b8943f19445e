"""Audit by shadow models: what does this very way of training give away?

The attacker trains models of his own as the run did, each on other patients of the same hospital.
By each release he scores every patient in three ways (moments, density ratio, nearest record), and
against the mean of the patient's scores over his other models. From all his models but one he
learns to tell members, and tries it on that one. AUROC: 0.5 where nothing is given away. After
Shokri et al., IEEE S&P 2017:3-18; Stadler et al., USENIX Security 2022:1451-1468.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t
from sklearn.linear_model import LogisticRegression

import ehrsynth as es

from .errors import InputError
from .evaluation.judge import compare
from .evaluation.privacy import density_ratio, moments
from .evaluation.privacy.more_rows import SHADOWS
from .evaluation.privacy.reference import Shape
from .evaluation.report import METRICS_FILE, Report
from .evaluation.setting import Encoder
from .files import read_table
from .profiles import PROFILES
from .progress import each
from .rules import RULES_FILE, read_rules
from .run_folder import INSIDE, STAGES, SYNTHETIC, RunFolder
from .schema import Schema
from .sources.flat.applying import fit_into
from .statistics import Estimate, auroc_parts, nearest_distance, normal_interval

FEWEST = 4  # shadow models: fewer give no interval worth its name


def audit(folder: str | Path, shadows: int = 8, progress: bool = False) -> Estimate:
    """Audit a finished run: its report, card and ``metrics.json`` tell what was found, too."""
    run = RunFolder(Path(folder))
    content = run.content()
    if wrong := [f"{stage} {why}" for stage in STAGES if (why := run.stale(stage))]:
        raise InputError(f"{folder} cannot be audited: {wrong[0]}; run it again.")
    if "epsilon" in content["settings"]:
        raise InputError(
            f"{folder} has a guarantee and no network; shadow networks would say nothing about it."
        )
    settings, report = content["settings"], Report.load(run.path / METRICS_FILE)
    schema = Schema.load(run.path / "schema.json")
    rules = read_rules(run.path / "model" / RULES_FILE)
    made = INSIDE if (run.path / INSIDE).is_file() else SYNTHETIC
    train, holdout, synthetic = (
        fit_into(schema, read_table(run.path / name))[0]
        for name in ("train.parquet", "holdout.parquet", made)
    )
    profile, chosen = PROFILES[settings["profile"]], settings["recipe"]
    least = settings["least_patients"]

    def released(patients: pd.DataFrame, seed: int) -> pd.DataFrame:
        """What the run would have released of these patients."""
        options = {"min_prevalence": settings["min_prevalence"], "least_patients": least}
        prep = es.Preprocessor.for_recipe(chosen, seed=seed, **options).fit(patients, schema)
        recipe, steps = profile.plan(chosen, settings["privacy"], len(patients))
        gan = es.EMRWGAN(recipe, seed, steps, least_patients=least)
        rows = gan.fit(prep.transform(patients)).sample(len(synthetic), seed=seed)
        return es.postprocess(rows, prep, seed=seed)

    everybody = schema.attach(pd.concat([train, holdout], ignore_index=True))
    seed = settings["seed"]
    found = shadow_attack(everybody, released, len(train), shadows, seed, progress)
    value, low, high = (float(f"{x:.4g}") for x in found if x is not None)
    facts = {SHADOWS: [{"models": shadows, "AUROC": value, "from": low, "to": high}]}
    again = compare(
        train, holdout, {"model": synthetic}, schema, seed, progress, settings["profile"],
        report.facts | facts, rules,
    )  # fmt: skip
    again["model"].save(run.path)
    noted = content["finished"]["evaluation"]
    run.finish("evaluation", noted.pop("files"), **noted)
    return found


def shadow_attack(
    patients: pd.DataFrame, released: Callable[[pd.DataFrame, int], pd.DataFrame], used: int,
    shadows: int, seed: int = 0, progress: bool = False,
) -> Estimate:  # fmt: skip
    """How well who knows the way of training tells its members: AUROC, the mean over the models.

    Each of the `shadows` models gets `used` of the patients, drawn anew; `released` says what
    would be released of them, by a seed. The interval says what other models would have given.
    """
    if shadows < FEWEST:
        raise InputError(f"An audit takes at least {FEWEST} shadow models, not {shadows}.")
    schema, rng = Schema.of(patients), np.random.default_rng([seed, 23])
    encoder = Encoder.fit(schema, patients)
    matrix = encoder.transform(patients)
    known = Shape.of(matrix)
    member, score = np.zeros((shadows, len(matrix)), dtype=bool), []
    for k in each(range(shadows), "Shadow models", "models", progress):
        rows = np.sort(rng.permutation(len(matrix))[:used])
        member[k, rows] = True
        own = schema.attach(patients.iloc[rows].reset_index(drop=True))
        made = released(own, int(rng.integers(2**31)))
        rare = {n: np.uint8(0) for n in schema.names if n not in made}  # too rare among them
        given = encoder.transform(made.assign(**rare))
        shape: Any = Shape.of(given)
        ways = [attack.score(matrix, known, shape) for attack in (moments, density_ratio)]
        score.append(np.stack([*ways, -nearest_distance(matrix, given)], axis=1))
    x = np.stack(score)
    x = np.concatenate([x, x - (x.sum(axis=0) - x) / (shadows - 1)], axis=2)
    x = (x - x.mean(axis=1, keepdims=True)) / np.maximum(x.std(axis=1, keepdims=True), 1e-9)
    areas = []
    for k in range(shadows):
        others = np.arange(shadows) != k
        attacker = LogisticRegression().fit(np.concatenate(x[others]), member[others].ravel())
        areas.append(auroc_parts(attacker.decision_function(x[k]), member[k])[0])
    error = float(np.std(areas, ddof=1) / np.sqrt(shadows))
    return normal_interval(float(np.mean(areas)), error, float(t.ppf(0.975, shadows - 1)))
