"""Where the synthetic data is farthest from real patients: columns and pairs, by name.

Only what differs by more than chance is named, by Holm's correction for all that was looked at;
then the largest difference comes first, because with many patients any difference is certain.
"""

from typing import Any

import numpy as np
from scipy.stats import ks_2samp, norm, wasserstein_distance

from ..protection import LEAST_PATIENTS, ends
from ..statistics import holm
from .setting import Setting

NAMED = 10  # columns, and pairs of columns
FEWEST = 10  # patients who have a value, or two together, in one of the tables
MOST_COLUMNS = 300  # the most varied, of which pairs are looked at
CERTAIN = 0.05


def farthest(setting: Setting) -> dict[str, list[dict[str, Any]]]:
    """The columns and the pairs of columns that differ most between train and the candidate.
    Chapter choosing-and-releasing, "Releasing: what travels with the data".
    """
    return {"columns": _columns(setting), "pairs": _pairs(setting)}


def _named(setting: Setting, i: int) -> str:
    """An encoded column's name for people."""
    name, kind, label = setting.encoder.layout[i]
    title = setting.schema[name].title
    return {"category": f"{title} {label}", "missing": f"{title} missing"}.get(kind, title)


def _worst(distance: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """Numbers of the largest distances, of those that are more than chance."""
    certain = np.flatnonzero(holm(chance) <= CERTAIN)
    return certain[np.argsort(-distance[certain], kind="stable")][:NAMED]


def _columns(setting: Setting) -> list[dict[str, Any]]:
    sides, encoder = (setting.train, setting.candidate), setting.encoder
    means = np.stack([side.matrix.mean(axis=0, dtype=np.float64) for side in sides])
    n, m = map(len, sides)
    # Of whom fewer than five have, no number tells how many they are.
    few = (means[0] > 0) & (means[0] * n < LEAST_PATIENTS) & ~encoder.is_kind("continuous")
    means[0, few] = LEAST_PATIENTS / n
    pooled = (n * means[0] + m * means[1]) / (n + m)
    spread = np.sqrt(np.maximum(pooled * (1 - pooled), 1e-12))
    distance = np.abs(means[0] - means[1]) / spread
    chance = 2 * norm.sf(distance / np.sqrt(1 / n + 1 / m))
    chance[means.max(axis=0) * min(n, m) < FEWEST] = 1
    for i in np.flatnonzero(encoder.is_kind("continuous")):
        name = encoder.layout[i][0]
        real, made = (side.frame[name].dropna().to_numpy(float) for side in sides)
        real = np.clip(real, *ends(real))  # of one patient's extreme the mean would tell
        if min(len(real), len(made)) < FEWEST or real.std() == 0:
            chance[i] = 1
            continue
        distance[i] = wasserstein_distance(real, made) / real.std()
        chance[i] = ks_2samp(real, made, method="asymp").pvalue
        means[:, i] = real.mean(), made.mean()
    return [
        {
            "column": _named(setting, i), "real": None if few[i] else _short(means[0, i]),
            "synthetic": _short(means[1, i]), "distance": _short(distance[i]),
        }
        for i in _worst(distance, chance)
    ]  # fmt: skip


def _pairs(setting: Setting) -> list[dict[str, Any]]:
    sides = setting.train, setting.candidate
    varied = np.argsort(-setting.train.matrix.var(axis=0), kind="stable")[:MOST_COLUMNS]
    for side in sides:
        varied = varied[np.ptp(side.matrix[:, varied], axis=0) > 0]
    if len(varied) < 2:
        return []
    rows = [side.matrix[:, varied] for side in sides]
    together = np.maximum(*(x.T @ x for x in rows))
    of = np.array([setting.encoder.layout[i][0] for i in varied])
    first, second = np.nonzero(np.triu((together >= FEWEST) & (of[:, None] != of), 1))
    real, made = (np.corrcoef(x.T)[first, second].clip(-0.999, 0.999) for x in rows)
    error = np.sqrt(sum(1 / max(len(side) - 3, 1) for side in sides))
    chance = 2 * norm.sf(np.abs(np.arctanh(real) - np.arctanh(made)) / error)
    return [
        {
            "first": _named(setting, varied[first[k]]),
            "second": _named(setting, varied[second[k]]),
            "real": _short(real[k]), "synthetic": _short(made[k]),
        }
        for k in _worst(np.abs(real - made), chance)
    ]  # fmt: skip


def _short(value: float) -> float:
    return float(f"{value:.4g}")
