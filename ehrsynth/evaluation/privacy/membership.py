"""Membership by the nearest record: was this person's data used?

The attacker has the whole record of a person and the release, and accuses whoever is near to a
released patient. Published is F1 of accusing within a fixed distance (Yan et al., JMIR AI
2024;3:e52615); without any leak it measures how dense the data is, and a distance mostly measures
how usual a patient is. To be believed is the distance calibrated by difficulty (after Watson et
al., ICLR 2022): how lonely somebody is among reference patients, minus the distance to the
release. AUROC 0.5 for fresh patients, 1 for a copy of train; and how many are found with one
false accusation in 100 (0.01 and 1; Carlini et al., IEEE S&P 2022).
"""

import numpy as np

from ...statistics import Estimate, NotComputable, nearest_distance, nearest_distances
from ..setting import Encoder, Setting
from .reference import NEIGHBORS, attacked
from .success import true_positive_rate

SQUARED_RADIUS = 5.0  # published: about five codes differ
RARELY = 0.01  # false accusations of an attacker who hardly ever errs


def score(patients: np.ndarray, reference: np.ndarray, released: np.ndarray) -> np.ndarray:
    """How much nearer a released row is than others. Chapter privacy, "As it can be believed"."""
    near = nearest_distances(patients, reference, NEIGHBORS)
    return calibrated(near, nearest_distance(patients, released))


def calibrated(to_reference: np.ndarray, to_release: np.ndarray) -> np.ndarray:
    """Mean distance to the nearest reference patients minus that to the nearest released one.
    Chapter privacy, "As it can be believed".
    """
    return np.where(np.isfinite(to_reference), to_reference, 0).mean(axis=1) - to_release


def membership_f1(rate_train: float, rate_holdout: float, n_train: int, n_holdout: int) -> float:
    """F1 of accusing whoever is near, from the share of each group that is and from its size.

    With no leak at all (both shares p) it is 1.4p/(p + 0.7) for the usual split, so it measures p,
    not risk. Chapter privacy, "As published".
    """
    hits, false_hits = rate_train * n_train, rate_holdout * n_holdout
    missed = n_train - hits
    return hits / (hits + (false_hits + missed) / 2) if hits else 0.0


def _published(setting: Setting, rng: np.random.Generator) -> Estimate:
    """Squared distance at most 5, measurements scaled by the synthetic range, as published."""
    own = Encoder.fit(setting.schema, setting.candidate.frame)
    if own.scale == setting.encoder.scale and not setting.encoder.missing:
        near = list(setting.nearest)
    else:
        released, n = own.transform(setting.candidate.frame), setting.effort.attacked
        near = [
            nearest_distance(own.transform(side.frame.iloc[side.sample(n, rng)]), released)
            for side in (setting.train, setting.holdout)
        ]
    rates = [float(np.mean(d**2 <= SQUARED_RADIUS + 1e-6)) for d in near]
    sizes = len(setting.train), len(setting.holdout)
    drawn = [rng.binomial(len(d), rate, 500) / len(d) for d, rate in zip(near, rates, strict=True)]
    resampled = [membership_f1(a, b, *sizes) for a, b in zip(*drawn, strict=True)]
    return _with_bootstrap(membership_f1(rates[0], rates[1], *sizes), resampled)


def _at_1_percent(setting: Setting, rng: np.random.Generator) -> Estimate:
    whom = setting.once(attacked)
    lonely = -calibrated(whom.to_reference, whom.to_release)
    train, holdout = lonely[whom.used], lonely[~whom.used & whom.scored]
    if len(holdout) < 100:
        raise NotComputable("with fewer than 100 held-out patients, 1 % is less than one patient")
    resampled = [
        true_positive_rate(rng.choice(train, len(train)), rng.choice(holdout, len(holdout)), RARELY)
        for _ in range(200)
    ]
    return _with_bootstrap(true_positive_rate(train, holdout, RARELY), resampled)


def _with_bootstrap(value: float, resampled: list[float]) -> Estimate:
    """A number with the middle 95 % of the same number of resampled patients."""
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Estimate(value, min(low, value), max(high, value))


COMPUTE = {
    ("membership_inference", "published"): _published,
    ("membership_inference_at_1_percent", "corrected"): _at_1_percent,
}
