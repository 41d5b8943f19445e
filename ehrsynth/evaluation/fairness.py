"""Fairness: is the synthetic data as good for every group of patients?

Every metric is about the group that fares worst, without the luck of the choice (see
:func:`~ehrsynth.evaluation.intervals.largest_of`). Intervals are about patients, not new training.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from scipy.special import expit

from ..protection import LEAST_PATIENTS, told
from ..statistics import Estimate, NotComputable, auroc_parts
from .intervals import largest_of
from .setting import Setting, subgroups

FEWEST_IN_GROUP = 10  # patients with and without the outcome; smaller groups are left out


def by_group(setting: Setting) -> pd.DataFrame:
    """How the models of real and of synthetic patients do for each group of held-out patients.

    ``cases`` have the outcome; ``observed`` is their share, ``mean_risk_real`` and ``mean_risk``
    what the models of train and of the candidate predict. Groups of fewer than 10 patients with or
    without the outcome have counts only. Chapter utility, "For whom? Fairness".
    """
    y, *scores = setting.predictions
    rows: dict[str, dict[str, float]] = {}
    for name, member in _groups(setting, setting.holdout.frame).items():
        truth = y[member]
        row = rows[name] = {"patients": len(truth), "cases": int(truth.sum())}
        if _large(truth):
            row["observed"] = float(truth.mean())
            for model, score in zip(("_real", ""), scores, strict=True):
                row["auroc" + model] = auroc_parts(score[member], truth)[0]
                row["mean_risk" + model] = float(expit(score[member]).mean())
    risks = ["observed", "mean_risk_real", "mean_risk"]
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.reindex(columns=["patients", "cases", "auroc_real", "auroc", *risks])


def _groups(setting: Setting, frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Who is in which group; a group of few training patients has no name to be told."""
    train = setting.train.frame
    of_train = subgroups(setting.schema, train, train)
    groups = {name: member for name, member in subgroups(setting.schema, frame, train).items()
              if of_train[name].sum() >= LEAST_PATIENTS}  # fmt: skip
    if not groups:
        raise NotComputable("no column is demographic, so there are no groups to compare")
    return groups


def _large(y: np.ndarray) -> bool:
    return min(y.sum(), len(y) - y.sum()) >= FEWEST_IN_GROUP


def _auroc_loss(y, real, made) -> tuple[float, np.ndarray]:
    """By how much the real model's AUROC is higher, and each patient's influence on that."""
    (area_real, influence_real), (area, influence) = (auroc_parts(s, y) for s in (real, made))
    return area_real - area, influence_real - influence


def _risk_excess(y, real, made) -> tuple[float, np.ndarray]:
    """By how many percentage points the mean risk is too high, and each patient's influence."""
    excess = 100 * (expit(made) - y)
    return float(excess.mean()), (excess - excess.mean()) / len(y)


def _largest_over_groups(
    setting: Setting, rng, parts: Callable, both_ways: bool = False
) -> Estimate:
    """The largest of `parts` (of outcome and scores of a group), or of its size."""
    y, real, made = setting.predictions
    values, influence = [], []
    for member in _groups(setting, setting.holdout.frame).values():
        if _large(y[member]):
            value, own = parts(y[member], real[member], made[member])
            values.append(value)
            influence.append(np.zeros(len(y)))
            influence[-1][member] = own
    if not values:
        few = f"no group has {FEWEST_IN_GROUP} held-out patients with and without the outcome"
        raise NotComputable(few)
    each, by_patient = np.array(values), np.stack(influence, axis=1)
    if not both_ways:
        return largest_of(each, by_patient, rng)
    found = largest_of(np.append(each, -each), np.hstack([by_patient, -by_patient]), rng)
    return found._replace(value=max(found.value, 0.0))


def _missing_shares(real: np.ndarray, candidate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """1 minus the ratio of each group's shares (negative: too many), and everybody's influence."""
    p, q = real.mean(axis=0), candidate.mean(axis=0)
    parts = q / p**2 * (real - p) / len(real), -(candidate - q) / p / len(candidate)
    return 1 - q / p, np.concatenate(parts)


def _missing_group(setting: Setting, rng) -> Estimate:
    sides = setting.train, setting.even_candidate
    members = [np.stack([*_groups(setting, side.frame).values()], axis=1) for side in sides]
    # So many that as many synthetic patients can be expected to show FEWEST_IN_GROUP of the group.
    large = members[0].mean(axis=0) * len(members[1]) >= FEWEST_IN_GROUP
    if not large.any():
        raise NotComputable(f"no group has {FEWEST_IN_GROUP} patients")
    return largest_of(*_missing_shares(*(member[:, large] for member in members)), rng)


def _small_groups(table: pd.DataFrame) -> str:
    small = [f"{name} ({told(row.cases)} of {told(row.patients)} with the outcome)"
             for name, row in table[table["auroc"].isna()].iterrows()]  # fmt: skip
    return f" Too few patients to judge: {', '.join(small)}." if small else ""


def _worst_auroc(setting: Setting) -> str:
    table = by_group(setting)
    name = (table["auroc_real"] - table["auroc"]).idxmax()
    lost = "{auroc:.2f} instead of {auroc_real:.2f}.".format(**table.loc[name])
    gained = table["auroc"][name] >= table["auroc_real"][name]
    said = "Nothing is lost in any judged group; least is gained" if gained else "Most is lost"
    return f"{said} for {name}: {lost}{_small_groups(table)}"


def _worst_risk(setting: Setting) -> str:
    table = by_group(setting)
    name = (table["mean_risk"] - table["observed"]).abs().idxmax()
    risk, observed = 100 * table.loc[name, ["mean_risk", "observed"]]
    off = f"{risk:.1f} % predicted, {observed:.1f} % observed."
    return f"Farthest off for {name}: {off}{_small_groups(table)}"


COMPUTE = {
    ("subgroup_auroc_loss", "corrected"): partial(_largest_over_groups, parts=_auroc_loss),
    ("subgroup_risk_error", "corrected"): partial(
        _largest_over_groups, parts=_risk_excess, both_ways=True
    ),
    ("subgroup_missing", "corrected"): _missing_group,
}
NOTES = {
    ("subgroup_auroc_loss", "corrected"): _worst_auroc,
    ("subgroup_risk_error", "corrected"): _worst_risk,
}
