"""Every metric of a synthetic data set, as published and corrected, beside its two references."""

from collections.abc import Mapping

import pandas as pd
from tqdm import tqdm

from ..errors import InputError
from ..schema import Schema
from ..statistics import Estimate, NotComputable, mean_of
from . import fairness, fidelity, inference, learners, utility
from .alignment import absent, align, left_out, plausible
from .metric import Metric, Spec
from .privacy import attacks
from .privacy.copies import shared_records
from .profiles import PROFILES
from .report import Report
from .setting import MIXED, Setting, with_references

SPECS: tuple[Spec, ...] = (
    *fidelity.SPECS, *utility.SPECS, *inference.SPECS, *attacks.SPECS, *fairness.SPECS,
)  # fmt: skip


def evaluate(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    synthetic: pd.DataFrame,
    schema: Schema | None = None,
    seed: int = 0,
    progress: bool = False,
    profile: str = "full",
    facts: dict | None = None,
) -> Report:
    """Compute every metric of a synthetic data set, each beside its best and worst reference.

    Parameters
    ----------
    train, holdout : DataFrame
        The patients the generator was trained on, and real patients it has never seen.
    synthetic : DataFrame
        Synthetic patients of any generator. It may have fewer columns than train; only common
        columns are compared, and the report lists the others.
    schema : Schema, optional
        What the columns are; by default the schema attached to train, or an inferred one.
    seed : int
        The same seed gives the same numbers.
    progress : bool
        Show a progress bar, one step a metric.
    profile : {"full", "fast"}
        How many patients the slow metrics look at (see :data:`PROFILES`).
    facts : dict, optional
        Known figures of the source and its licence, shown in the report.

    Returns
    -------
    Report

    Raises
    ------
    InputError
        If a table is empty, no column is common, or a value does not fit its column. A single
        metric that cannot be computed never raises: its value is None and it has a reason.
    """
    candidates = {"synthetic": synthetic}
    return compare(train, holdout, candidates, schema, seed, progress, profile, facts)["synthetic"]


def compare(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    candidates: Mapping[str, pd.DataFrame],
    schema: Schema | None = None,
    seed: int = 0,
    progress: bool = False,
    profile: str = "full",
    facts: dict | None = None,
) -> dict[str, Report]:
    """Evaluate several synthetic data sets of the same patients; :func:`evaluate` for each.

    The references depend on the real tables and on the candidate's size and columns only. They
    are computed once for all candidates that share these, so that a further candidate costs
    about a third of the first, and the reports are the same as one by one.

    Parameters
    ----------
    candidates : mapping of str to DataFrame
        The synthetic data sets by name.
    train, holdout, schema, seed, progress, profile, facts
        As for :func:`evaluate`.

    Returns
    -------
    dict of str to Report
        By the candidate's name; :func:`rank` takes it.
    """
    if profile not in PROFILES:
        raise InputError(f"There is no profile {profile!r}; use one of {', '.join(PROFILES)}.")
    reports: dict[str, Report] = {}
    known: dict[tuple, tuple[dict[str, Setting], dict]] = {}
    for candidate, synthetic in candidates.items():
        originals = (train, holdout, synthetic)
        tables = align({"train": train, "holdout": holdout, "synthetic": synthetic}, schema)
        full_schema = tables.pop("schema")
        common = [n for n in full_schema.names if all(n in t.columns for t in tables.values())]
        shared = full_schema.select(common)
        tables, outside = {role: table[common] for role, table in tables.items()}, {}
        for role, table in tables.items():
            tables[role], outside[role] = plausible(table, shared)
        scenes = with_references(**tables, schema=shared, effort=PROFILES[profile], seed=seed)
        # The same columns, size and missing values make the same references.
        key = (shared, len(synthetic), scenes["synthetic"].encoder.missing)
        before, references = known.setdefault(key, (scenes, {}))
        scenes = before | {"synthetic": before["synthetic"].release(scenes["synthetic"].candidate)}
        metrics = [
            _metric(spec, scenes, seed, references)
            for spec in tqdm(SPECS, desc="evaluating", unit="metric", disable=not progress)
        ]
        reports[candidate] = Report(
            metrics=metrics,
            facts=dict(facts or {}),
            settings={"seed": seed, "profile": profile},
            rows={role: len(table) for role, table in tables.items()},
            columns=common,
            left_out=left_out(*originals),
            outside=outside,
            absent=absent(tables["train"], tables["synthetic"], shared),
            overlap=shared_records(
                before["synthetic"].train.matrix, before["synthetic"].holdout.matrix
            ),
            tables={role: shared.attach(table) for role, table in tables.items()},
            nearest=scenes["synthetic"].nearest,
            predictions=_predictions(scenes),
        )
    return reports


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
    return Metric.of(spec, value, *references[key], reason, note)


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


def _predictions(scenes: dict[str, Setting]) -> dict:
    """Outcome of held-out patients and its log odds by the model of each table, for ROC curves."""
    curves = {}
    for name, role in (("real", "train"), ("synthetic", "synthetic")):
        try:
            setting = scenes[role]
            score = learners.predict(setting.candidate.model, setting.holdout.features)
            curves[name] = (setting.holdout.outcome, score)
        except NotComputable:
            return {}
    return curves
