"""Every metric of a synthetic data set, as published and corrected, beside its two references."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import sha256
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

from ..discovery import listed, relations
from ..discovery.cells import Found
from ..discovery.leaks import leaks, unused
from ..errors import InputError, check_choice
from ..progress import each
from ..protection import told
from ..relations import Formula, Rule
from ..schema import Schema
from ..statistics import Estimate, NotComputable, holm, mean_of
from . import fairness, fidelity, inference, learners, marginals, survival, utility
from .alignment import LEAKS, RELATIONS, align, not_compared
from .farthest import farthest
from .metric import Metric, Spec, described
from .privacy import attacks
from .privacy.copies import shared_records
from .privacy.power import tried
from .report import Report
from .setting import MIXED, Setting, with_references

SPECS: tuple[Spec, ...] = (
    *described({**marginals.COMPUTE, **fidelity.COMPUTE, **utility.COMPUTE, **inference.COMPUTE}),
    *attacks.SPECS,
    *described(fairness.COMPUTE, fairness.NOTES),
)
UNUSUAL = 0.05  # how often chance may call a code absent that is not


def evaluate(
    train: pd.DataFrame, holdout: pd.DataFrame, synthetic: pd.DataFrame,
    schema: Schema | None = None, seed: int = 0, progress: bool = False, profile: str = "full",
    facts: dict | None = None,
) -> Report:  # fmt: skip
    """Compute every metric of a synthetic data set, each beside its best and worst reference.
    Chapter why-synthetic-data, "The whole book in a few lines".

    A metric that cannot be computed has no value in the report but a reason.

    Parameters
    ----------
    train, holdout, synthetic : DataFrame
        The patients the generator was trained on, real ones it has never seen, and those of any
        generator. Only common columns are compared; the report lists the others.
    schema : Schema, optional
        By default the schema attached to train, or an inferred one.
    seed, progress : int, bool
        The same seed gives the same numbers. The progress bar has a step for each metric.
    profile : {"full", "fast", "exact"}
        How many patients the slow metrics look at.
    facts : dict, optional
        Known figures of the source and its license, shown in the report.
    """
    candidates = {"synthetic": synthetic}
    return compare(train, holdout, candidates, schema, seed, progress, profile, facts)["synthetic"]


def compare(
    train: pd.DataFrame, holdout: pd.DataFrame, candidates: Mapping[str, pd.DataFrame],
    schema: Schema | None = None, seed: int = 0, progress: bool = False, profile: str = "full",
    facts: dict | None = None, rules: Iterable[Rule] | None = None,
) -> dict[str, Report]:  # fmt: skip
    """Evaluate several synthetic data sets of the same patients; :func:`evaluate` for each.
    Chapter choosing-and-releasing, "Build it: three candidates".

    Candidates of one size and the same columns share the references, so that a further one costs
    about a third of the first. The reports, by the candidate's name, are what :func:`rank` takes.

    Parameters
    ----------
    train, holdout, candidates : DataFrame, and mapping of str to DataFrame
    schema, seed, progress, profile, facts, rules : optional
        As for :func:`evaluate`; a run's rules, which switch relations off and add formulas.
    """
    if not isinstance(candidates, Mapping):
        raise InputError("The candidates must be a dict of DataFrames by name.")
    if not isinstance(seed, Integral) or seed < 0:
        raise InputError(f"The seed must be a whole number from 0 on, not {seed!r}.")
    check_choice("profile", profile, learners.PROFILES)
    reports: dict[str, Report] = {}
    known: dict[tuple, tuple[dict[str, Setting], dict]] = {}
    for candidate, synthetic in candidates.items():
        aligned = align({"train": train, "holdout": holdout, "synthetic": synthetic}, schema)
        about, shared = aligned.pop("facts"), Schema.of(aligned["train"])
        about |= not_compared(aligned, aligned.pop("schema"), shared) | dict(facts or {})
        cleaned = {role: shared.plausible(t[shared.names]) for role, t in aligned.items()}
        tables = {role: table for role, (table, _) in cleaned.items()}
        scenes, of_train = _scenes(tables, shared, profile, seed, rules)
        # The same columns, size and missing values make the same references.
        key = (shared, len(synthetic), scenes["synthetic"].encoder.missing)
        before, references = known.setdefault(key, (scenes, {}))
        real = replace(before["synthetic"], candidate=scenes["synthetic"].candidate)
        scenes = before | {"synthetic": real}
        specs = SPECS if shared.time is None else (*SPECS, *survival.SPECS)
        metrics = [
            _metric(spec, scenes, seed, references)
            for spec in each(specs, "Evaluating", "metrics", progress)
        ]
        reports[candidate] = Report(
            metrics, about | of_train, {"seed": seed, "profile": profile},
            rows={role: len(table) for role, table in tables.items()}, columns=shared.names,
            outside={r: {n: told(k) for n, k in out.items()} for r, (_, out) in cleaned.items()},
            left_out={r: [n for n in t if n not in shared] for r, t in aligned.items()},
            absent=_absent(tables["train"], tables["synthetic"], shared),
            overlap=shared_records(real.train.matrix, real.holdout.matrix), tried=tried(real),
            tables={role: shared.attach(t) for role, t in tables.items()}, **_of_scene(real),
        )  # fmt: skip
    return reports


def _scenes(
    tables: dict[str, pd.DataFrame], schema: Schema, profile: str, seed: int, rules
) -> tuple[dict[str, Setting], dict[str, list]]:
    """The settings, and as facts what holds for every patient of train and tells the outcome."""
    found = _to_keep(tables["train"], schema, rules)
    leaking = leaks(tables["train"], schema, found)
    facts = {RELATIONS: listed(found, tables, schema), LEAKS: [x._asdict() for x in leaking]}
    scenes = with_references(
        **tables, schema=schema, effort=learners.PROFILES[profile], seed=seed, relations=found,
        unused=unused(schema, leaking),
    )  # fmt: skip
    return scenes, {name: rows for name, rows in facts.items() if rows}


def _to_keep(train: pd.DataFrame, schema: Schema, rules: Iterable[Rule] | None) -> list[Found]:
    """What is found in train; of a run, what its rules did not switch off, and their formulas."""
    found = relations(train, schema)
    if rules is None:
        return found
    kept = {str(rule): rule for rule in rules if set(rule.columns) <= set(schema.names)}
    names = {str(one.rule) for one in found}
    own = [r for name, r in kept.items() if isinstance(r, Formula) and name not in names]
    return [one for one in found if str(one.rule) in kept] + [Found(r, np.nan) for r in own]


def _metric(spec: Spec, scenes: dict[str, Setting], seed: int, references: dict) -> Metric:
    """The value and both references; a reference that cannot be computed is None."""
    value = reason = note = None
    try:
        value = spec.evaluate(scenes["synthetic"], seed)
        note = spec.note(scenes["synthetic"]) if spec.note else None
    except NotComputable as stop:
        reason = str(stop)
    key = (spec.name, spec.form)
    if key not in references:
        worst = MIXED[: spec.draws] if spec.worst == MIXED[0] else (spec.worst,)
        references[key] = [_reference(spec, scenes, names, seed) for names in ((spec.best,), worst)]
    best, lowest = references[key]
    return Metric.of(spec, value, best, lowest, reason, note)


def _reference(spec: Spec, scenes: dict[str, Setting], names, seed: int) -> Estimate | None:
    """What the tables of these settings score on average, or None."""
    estimates = []
    for name in names:
        try:
            estimates.append(spec.evaluate(scenes[name], seed))
        except NotComputable:
            return None
        finally:
            if name in MIXED[1:]:  # which few metrics look at
                scenes[name].candidate.forget()
    return estimates[0] if len(estimates) == 1 else mean_of(estimates)


def _of_scene(scene: Setting) -> dict[str, Any]:
    """What the report shows beside the metrics, as its fields."""
    sides = {"train": scene.train, "holdout": scene.holdout, "synthetic": scene.candidate}
    rows = {role: pd.util.hash_pandas_object(x.frame, index=False) for role, x in sides.items()}
    prints = {role: sha256(x.to_numpy().tobytes()).hexdigest() for role, x in rows.items()}
    found: dict[str, Any] = {"farthest": farthest(scene), "fingerprints": prints}
    found["nearest"] = scene.nearest
    try:
        truth, *scores = scene.predictions
        roles = zip(("real", "synthetic"), scores, strict=True)
        found["predictions"] = {role: (truth, score) for role, score in roles}
        found["loss"] = [float(f"{x:.9g}") for x in utility.loss_of_auroc(scene)]
        known = fairness.by_group(scene)["auroc"].notna()
        found["groups"] = {"judged": list(known.index[known]), "small": list(known.index[~known])}
    except NotComputable:
        pass
    return found


def _absent(train: pd.DataFrame, synthetic: pd.DataFrame, schema: Schema) -> dict[str, float]:
    """What no synthetic patient has, by more than chance, such as a code: the share in train."""
    seen: list[tuple[str, float, bool]] = []  # title (which may repeat), share, whether absent
    for column in schema.columns:
        real, made = train[column.name], synthetic[column.name]
        if column.kind == "binary":
            seen.append((column.title, float(real.mean()), not made.any()))
        elif column.kind == "categorical":
            there = set(made.astype(str))
            for category, share in real.value_counts(normalize=True).items():
                seen.append((f"{column.title} {category}", float(share), category not in there))
        elif made.nunique() < 2:
            lost = real.dropna()[~real.dropna().isin(made.dropna())]
            what = "more than one value of" if made.notna().any() else "any value of"
            seen.append((f"{what} {column.title}", len(lost) / len(train), True))
    if not seen:
        return {}
    # Chance: that none of so many patients of both tables has fallen to the synthetic one.
    have = np.round([share * len(train) for _, share, _ in seen])
    chance = hypergeom.pmf(0, len(train) + len(synthetic), have, len(synthetic))
    sure = holm(np.where([absent for *_, absent in seen], chance, 1.0)) <= UNUSUAL
    found = [(title, share) for (title, share, _), absent in zip(seen, sure, strict=True) if absent]
    return {title: float(f"{share:.9g}") for title, share in sorted(found, key=lambda x: -x[1])}
