"""Membership of the most exposed, and in every group: whom does the average hide?

The attack by the nearest record (:mod:`.membership`) among the loneliest tenth of patients, who
are unlike all others (after Meeus et al., arXiv 2023;2306.10308), and within each group by sex,
race and age, of which the worst counts, corrected for having been chosen. AUROC: 0.5 for fresh
patients, 1 for a copy of train.
"""

import numpy as np
import pandas as pd

from ...statistics import Estimate, NotComputable, auroc, auroc_parts, nearest_distances
from ..intervals import largest_of
from ..setting import Setting, subgroups
from .success import attack_auroc


def isolation(setting: Setting, rng: np.random.Generator) -> list[np.ndarray]:
    """How far attacked train and attacked holdout patients are from other real patients.

    The mean distance to the five nearest of a sample of train and holdout together, so that it
    says nothing about who was used. Chapter privacy, "The most exposed, and every group".
    """
    sides = setting.train, setting.holdout
    sizes = [len(side) for side in sides]
    pool = np.sort(rng.permutation(sum(sizes))[: 2 * setting.effort.queried])
    parts = pool[pool < sizes[0]], pool[pool >= sizes[0]] - sizes[0]
    rows = np.concatenate([side.matrix[part] for side, part in zip(sides, parts, strict=True)])
    found = []
    for side, attacked, first in zip(sides, setting.attacked, (0, sizes[0]), strict=True):
        own = attacked + first  # the patient himself does not count, where he is in the sample
        skip = np.where(np.isin(own, pool), np.searchsorted(pool, own), -1)
        found.append(nearest_distances(side.matrix[attacked], rows, 5, skip).mean(axis=1))
    return found


def _most_exposed(setting: Setting, rng: np.random.Generator) -> Estimate:
    alone = isolation(setting, rng)
    limit = np.quantile(np.concatenate(alone), 0.9)
    train, holdout = (
        distance[lonely >= limit] for distance, lonely in zip(setting.nearest, alone, strict=True)
    )
    return attack_auroc(-train, -holdout, least=10)


def membership_by_group(setting: Setting) -> pd.DataFrame:
    """Attacked patients of each group and the attack's AUROC (missing with fewer than 30).
    Chapter privacy, "The most exposed, and every group".
    """
    rows = {}
    for name, members in _attacked_groups(setting).items():
        scores = [-d[member] for d, member in zip(setting.nearest, members, strict=True)]
        estimate = auroc(*scores) if _can_be_judged(members) else (np.nan,) * 3
        rows[name] = [*map(len, scores), *estimate]
    columns = ["train", "holdout", "auroc", "ci_low", "ci_high"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def _attacked_groups(setting: Setting) -> dict[str, list[np.ndarray]]:
    """Which attacked train and which attacked holdout patients belong to each group."""
    train, holdout = (
        subgroups(setting.schema, side.frame.iloc[rows], setting.train.frame)
        for side, rows in zip((setting.train, setting.holdout), setting.attacked, strict=True)
    )
    if not train:
        raise NotComputable("no column is demographic, so there are no groups to compare")
    return {name: [train[name], holdout[name]] for name in train}


def _can_be_judged(members: list[np.ndarray]) -> bool:
    return min(member.sum() for member in members) >= 30


def _worst_group(setting: Setting, rng: np.random.Generator) -> Estimate:
    score = -np.concatenate(setting.nearest)
    used = np.repeat([True, False], [len(d) for d in setting.nearest])
    judged = list(filter(_can_be_judged, _attacked_groups(setting).values()))
    if not judged:
        raise NotComputable("no group has 30 attacked patients in train and in holdout")
    values, influence = np.zeros(len(judged)), np.zeros((len(score), len(judged)))
    for j, member in enumerate(map(np.concatenate, judged)):
        values[j], influence[member, j] = auroc_parts(score[member], used[member])
    return largest_of(values, influence, rng)


def _which_group(setting: Setting) -> str:
    area = membership_by_group(setting)["auroc"]
    small = ", ".join(area.index[area.isna()])
    missing = f" Too few patients to judge: {small}." if small else ""
    return f"Highest for {area.idxmax()}: {area.max():.2f}." + missing


COMPUTE = {
    ("membership_of_most_exposed", "corrected"): _most_exposed,
    ("membership_by_subgroup", "corrected"): _worst_group,
}
NOTES = {("membership_by_subgroup", "corrected"): _which_group}
