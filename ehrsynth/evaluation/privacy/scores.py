"""Attacks by scores as metrics: on everybody, on the most exposed, and in every group.

Three attacks accuse whoever has a high score: by moments, by the density ratio, by the nearest
record. A mean hides whom it hits, so that each is also looked at among the loneliest tenth of
patients (after Meeus et al., arXiv 2023;2306.10308), and the last within each group by sex, race
and age. The largest counts, corrected for having been chosen. AUROC: 0.5 for fresh patients.
"""

import numpy as np
import pandas as pd

from ...statistics import Estimate, NotComputable, auroc, auroc_parts
from ..intervals import largest_of
from ..setting import Setting, subgroups
from . import density_ratio, moments
from .membership import calibrated
from .reference import Attacked, Shape, attacked

NEAREST = "membership_inference"
LONELY = 0.9  # the quantile above which somebody is among the most exposed


def scores(setting: Setting) -> dict[str, np.ndarray]:
    """Of each attack, high for whoever is accused. Chapter privacy, "As it can be believed"."""
    whom, released = setting.once(attacked), Shape.of(setting.candidate.matrix)
    known = Shape.of(whom.reference)
    return {
        "moments_attack": moments.score(whom.patients, known, released),
        "density_ratio_attack": density_ratio.score(whom.patients, known, released),
        NEAREST: calibrated(whom.to_reference, whom.to_release),
    }


def lonely(whom: Attacked) -> np.ndarray:
    """Who is of the loneliest tenth. Chapter privacy, "The most exposed, and every group"."""
    return whom.to_others >= np.quantile(whom.to_others, LONELY)


def _area(name: str, of_holdout: bool = False):
    """The metric of an attack's AUROC; turned around, it accuses those who were held out."""

    def compute(setting: Setting, rng: np.random.Generator) -> Estimate:
        whom, score = setting.once(attacked), setting.once(scores)[name]
        used = ~whom.used if of_holdout else whom.used
        return auroc(score[used & whom.scored], score[~used & whom.scored])

    return compute


def _most_exposed(setting: Setting, rng: np.random.Generator) -> Estimate:
    whom, found = setting.once(attacked), setting.once(scores)
    alone = lonely(whom) & whom.scored
    if min(whom.used[alone].sum(), (~whom.used[alone]).sum()) < 5:
        raise NotComputable("fewer than 5 of the loneliest tenth in train or in holdout")
    parts = [auroc_parts(score[alone], whom.used[alone]) for score in found.values()]
    values, influence = zip(*parts, strict=True)
    return largest_of(np.array(values), np.stack(influence, axis=1), rng)


def membership_by_group(setting: Setting) -> pd.DataFrame:
    """Attacked patients of each group and the attack's AUROC (missing with fewer than 30).
    Chapter privacy, "The most exposed, and every group".
    """
    score, used, groups = _by_group(setting)
    rows = {}
    for name, member in groups.items():
        sides = score[member & used], score[member & ~used]
        estimate = auroc(*sides) if min(map(len, sides)) >= 30 else (np.nan,) * 3
        rows[name] = [*map(len, sides), *estimate]
    columns = ["train", "holdout", "auroc", "ci_low", "ci_high"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def _by_group(setting: Setting) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Score by the nearest record, who was used, and who belongs to each group."""
    used, unused = setting.attacked
    people = pd.concat([setting.train.frame.iloc[used], setting.holdout.frame.iloc[unused]])
    groups = subgroups(setting.schema, people, setting.train.frame)
    if not groups:
        raise NotComputable("no column is demographic, so there are no groups to compare")
    whom = setting.once(attacked)
    groups = {name: member[whom.scored] for name, member in groups.items()}
    return setting.once(scores)[NEAREST][whom.scored], whom.used[whom.scored], groups


def _worst_group(setting: Setting, rng: np.random.Generator) -> Estimate:
    score, used, groups = _by_group(setting)
    judged = [m for m in groups.values() if min((m & used).sum(), (m & ~used).sum()) >= 30]
    if not judged:
        raise NotComputable("no group has 30 attacked patients in train and in holdout")
    values, influence = np.zeros(len(judged)), np.zeros((len(score), len(judged)))
    for j, member in enumerate(judged):
        values[j], influence[member, j] = auroc_parts(score[member], used[member])
    return largest_of(values, influence, rng)


def _which_group(setting: Setting) -> str:
    area = membership_by_group(setting)["auroc"]
    small = ", ".join(area.index[area.isna()])
    missing = f" Too few patients to judge: {small}." if small else ""
    return f"Highest for {area.idxmax()}: {area.max():.2f}." + missing


def _who_is_exposed(setting: Setting) -> str:
    """How the loneliest tenth differ from all, as means."""
    whom, encoder = setting.once(attacked), setting.encoder
    alone, said = lonely(whom), []
    if (codes := encoder.is_kind("binary")).any():
        said.append(("codes", whom.patients[:, codes].sum(axis=1)))
    for name in encoder.schema.of_role("demographic"):
        if encoder.schema[name].unit == "years":
            low, span, _ = encoder.scale[name]
            said.append(("years", low + span * whom.patients[:, encoder.columns(name)[0]]))
    means = [(what, f"{n[alone].mean():.0f}", f"{n.mean():.0f}") for what, n in said]
    unlike = " and ".join(f"{few} {what} (all: {n})" for what, few, n in means if few != n)
    return f"Most exposed are patients unlike others{unlike and ', on average with '}{unlike}."


COMPUTE = {
    ("moments_attack", "corrected"): _area("moments_attack"),
    ("density_ratio_attack", "corrected"): _area("density_ratio_attack"),
    (NEAREST, "corrected"): _area(NEAREST),
    ("holdout_exposure", "corrected"): _area(NEAREST, of_holdout=True),
    ("membership_of_most_exposed", "corrected"): _most_exposed,
    ("membership_by_subgroup", "corrected"): _worst_group,
}
NOTES = {
    ("membership_by_subgroup", "corrected"): _which_group,
    ("membership_of_most_exposed", "corrected"): _who_is_exposed,
}
