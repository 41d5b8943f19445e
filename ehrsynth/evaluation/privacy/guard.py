"""The absolute guard: is a released row nearer to a patient than another patient would be?

Attacks that compare used with held-out patients see nothing where the generator saw both. So
train and holdout are taken together: the distance from a released row to the nearest patient is
compared with that from a patient to the nearest other one. Each is divided by how far that nearest
patient lives from his next neighbor, since patients with few codes all live near each other. AUROC:
0.5 for fresh patients, 1 for a copy of train and holdout; less is no praise, but unlike real
patients. After Platzer and Reutterer, Front Big Data 2021;4:679939.
"""

import numpy as np
from scipy.stats import binom, norm

from ...statistics import Z95, Estimate, NotComputable, auroc, squared_by_block
from ..setting import Setting
from .reference import both_sides

MOST_REAL = 65_536  # patients among whom the nearest is looked for


def _nearest(queries: np.ndarray, rows: np.ndarray, *skips: np.ndarray):
    """Distance and number of the nearest row of each query, without the rows to skip."""
    least, nearest = np.full(len(queries), np.inf, np.float32), np.zeros(len(queries), dtype=int)
    for part, start, squared in squared_by_block(queries, rows, *skips):
        found = squared.min(axis=1)
        nearer = np.flatnonzero(found < least[part])
        nearest[part][nearer] = start + squared[nearer].argmin(axis=1)
        least[part][nearer] = found[nearer]
    return np.sqrt(((queries - rows[nearest]) ** 2).sum(axis=1)), nearest


def crowding(rows: np.ndarray, real: np.ndarray, own: np.ndarray | None = None) -> np.ndarray:
    """Distance to the nearest patient over that from there to the next; `own` are the numbers of
    rows that are patients themselves. Chapter attacks, "No control group left: a guard".
    """
    skip = [] if own is None else [own]
    near, where = _nearest(rows, real, *skip)
    apart, _ = _nearest(real[where], real, where, *skip)
    return near / np.maximum(apart, 0.1)


def crowds(setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    """Of released rows, of patients. Chapter attacks, "No control group left: a guard"."""
    rng, q = np.random.default_rng([setting.train.seed, 15]), setting.effort.attacked // 2
    _, real = both_sides(setting, MOST_REAL, rng)
    if min(len(real), len(setting.candidate)) < 30:
        raise NotComputable("fewer than 30 patients to look at")
    own, made = np.sort(rng.permutation(len(real))[:q]), setting.candidate.matrix
    # Who has no rare code lives near many: codes that a release has lost are no sign of copies.
    spread = [np.einsum("ij,ij->j", t, t) / len(t) - t.mean(axis=0) ** 2 for t in (made, real)]
    kept = 2 * spread[0] >= spread[1]
    released, real = made[setting.candidate.sample(q, rng)][:, kept], real[:, kept]
    return crowding(released, real), crowding(real[own], real, own)


def unlikely(released: np.ndarray, real: np.ndarray) -> tuple[Estimate, float]:
    """AUROC of both, and its chance if fresh. Chapter attacks, "No control group left: a guard"."""
    found = auroc(-released, -real)
    error = max(found.value - (found.low or 0), 1e-9) / Z95
    return found, float(norm.sf((found.value - 0.5) / error))


def copied(
    to_release: np.ndarray, to_others: np.ndarray, used: np.ndarray, released: int, others: int
) -> float:
    """Chance that so many fresh patients have an exact copy and nobody else near.

    By chance, a released row equals a patient as often as two patients, a pair, equal each other
    with no released row near (within one code, where there are twins at all). Asked is whether all
    patients, or those who were used, have more copies than that.
    Chapter attacks, "Copies, and the distance to the closest record".
    """
    near, used = float((to_others == 0).any()), used > 0
    same = (to_release == 0) & (to_others > near)
    pairs = int(((to_others == 0) & (to_release > near)).sum()) // 2
    seen = len(used) * (released + others / 2)
    total = same.sum() + pairs
    by_all = binom.sf(same.sum() - 1, total, len(used) * released / seen)
    by_used = binom.sf(same[used].sum() - 1, total, used.sum() * released / seen)
    return float(min(1.0, 2 * min(by_all, by_used)))


COMPUTE = {("absolute_guard", "corrected"): lambda setting, rng: unlikely(*setting.once(crowds))[0]}
