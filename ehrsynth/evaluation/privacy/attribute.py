"""Attribute inference: somebody knows a part of a record; what of the rest does the release tell?

The attacker knows the demographics, the outcome and the most frequent codes of a person, and
takes for the rest what the most similar released patients have. Published is how well he does on
used patients, as F1 weighted by entropy (Yan et al., JMIR AI 2024;3:e52615): mostly medicine that
holds for everybody. To be believed is the excess over held-out patients (Giomi et al., PoPETs
2023(2):312-328, eq. 4): 0 for fresh patients, near 1 for a copy of train.
"""

import warnings

import numpy as np
from scipy.special import entr

from ...statistics import Estimate, NotComputable, normal_interval
from ..setting import Setting, Side
from .success import excess_risk

KNOWN_CODES = 256  # as published, of about 1,450


def guess_attributes(
    known: np.ndarray, released_known: np.ndarray, released_secret: np.ndarray,
    continuous_known: np.ndarray, continuous_secret: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Guess the secret columns of each target from the synthetic patients most like it.

    Like means the smallest sum of absolute differences over the known columns; a continuous one
    counts as its share of the largest difference to any synthetic patient (at least 1 unit). All
    at the smallest distance vote; the most frequent value wins, the smaller one in a tie.
    Columns that are not `continuous` are 0/1. Chapter privacy, "Attribute inference".
    """
    guesses = np.zeros((len(known), released_secret.shape[1]))
    binary = ~continuous_known
    released = released_known[:, binary].astype(np.float32)
    ones = released.sum(axis=1)
    for start in range(0, len(known), 256):
        part = known[start : start + 256]
        flags = part[:, binary].astype(np.float32)
        distance = flags.sum(axis=1)[:, None] + ones - 2 * (flags @ released.T)
        for j in np.flatnonzero(continuous_known):
            gap = np.abs(part[:, [j]] - released_known[:, j])
            distance += gap / np.maximum(gap.max(axis=1, keepdims=True), 1)
        nearest = distance <= distance.min(axis=1, keepdims=True) + 1e-6
        for i, voters in enumerate(nearest):
            guesses[start + i] = _vote(released_secret[voters], continuous_secret)
    return guesses


def _vote(values: np.ndarray, continuous: np.ndarray) -> np.ndarray:
    if len(values) == 1:
        return values[0]
    winner = (values.mean(axis=0) > 0.5).astype(float)
    for j in np.flatnonzero(continuous):
        found, counts = np.unique(values[:, j], return_counts=True)
        winner[j] = found[np.argmax(counts)]
    return winner


def _scored(secret: np.ndarray, guess: np.ndarray, continuous: np.ndarray) -> np.ndarray:
    """Numerator and denominator of F1 (0/1) or of hits within 10 %, shape (2, targets, columns)."""
    parts = np.stack([secret * guess, (secret + guess) / 2])
    if continuous.any():
        value, guessed = secret[:, continuous], guess[:, continuous]
        with np.errstate(invalid="ignore"):
            parts[0][:, continuous] = (guessed >= 0.9 * value) & (guessed <= 1.1 * value)
        parts[1][:, continuous] = ~np.isnan(value)
    return parts


def _risk(sums: np.ndarray, weights: np.ndarray) -> float:
    """Weighted mean over columns of the quotient of summed parts."""
    scores = np.divide(sums[0], sums[1], out=np.zeros_like(sums[0]), where=sums[1] > 0)
    return float(scores @ weights)


def _entropy(values: np.ndarray) -> float:
    """Entropy in nats of a column; a continuous one is counted in whole units, as published."""
    counts = np.unique(np.floor(values[~np.isnan(values)]), return_counts=True)[1]
    return float(entr(counts / max(counts.sum(), 1)).sum())


class _Attributes:
    """What an attacker knows of a patient (at most half of the codes) and what he wants to know."""

    def __init__(self, setting: Setting):
        self.names, kinds, _ = map(np.array, zip(*setting.encoder.layout, strict=True))
        train, used, self.continuous = setting.train, kinds != "missing", kinds == "continuous"
        self.known = used & np.isin(self.names, setting.schema.of_role("demographic", "outcome"))
        codes = np.flatnonzero(used & ~self.known & ~self.continuous)
        share = train.matrix.mean(axis=0, dtype=np.float64)
        ranked = codes[np.argsort(-share[codes], kind="stable")]
        self.known[ranked[: min(KNOWN_CODES, len(codes) // 2)]] = True
        self.secret = used & ~self.known
        if not self.known.any() or not self.secret.any():
            raise NotComputable("there is nothing to know or nothing left to guess of a patient")
        share[self.continuous] = 0
        entropies = entr(share) + entr(1 - share)
        for column in np.flatnonzero(self.secret & self.continuous):
            entropies[column] = _entropy(train.frame[self.names[column]].to_numpy(np.float32))
        if (total := entropies[self.secret].sum()) == 0:
            raise NotComputable("the columns to guess never vary")
        self.weights = entropies[self.secret] / total

    def parts(self, side: Side, rows: np.ndarray | slice) -> list[np.ndarray]:
        """Known and secret columns: 0/1, continuous ones in their own units (NaN: missing)."""
        parts = []
        for chosen in (self.known, self.secret):
            parts.append(side.matrix[rows][:, chosen])
            measured = side.frame[self.names[chosen & self.continuous]].iloc[rows]
            parts[-1][:, self.continuous[chosen]] = measured.to_numpy(np.float32)
        return parts

    def attack(self, side: Side, rows: np.ndarray, released: list[np.ndarray]) -> np.ndarray:
        """Parts of the risk (see :func:`_scored`) for these patients."""
        known, secret = self.parts(side, rows)
        continuous = self.continuous[self.known], self.continuous[self.secret]
        # A known measurement that is missing matches any: it is set to the middle.
        with warnings.catch_warnings():  # of a column that no synthetic patient has a value in
            warnings.simplefilter("ignore", RuntimeWarning)
            middle = np.nan_to_num(np.nanmedian(released[0], axis=0))
        known, released_known = (np.where(np.isnan(x), middle, x) for x in (known, released[0]))
        guess = guess_attributes(known, released_known, released[1], *continuous)
        return _scored(secret, guess, continuous[1])


def _attacks(
    setting: Setting, rng: np.random.Generator, *sides: Side
) -> tuple[list[float], np.ndarray]:
    """The risk of each side, and those of 200 resamplings of its attacked patients."""
    attributes = _Attributes(setting)
    chosen = [side.sample(setting.effort.inferred, rng) for side in sides]
    if min(map(len, chosen)) < 5:
        raise NotComputable("fewer than 5 patients of a group to attack")
    released = attributes.parts(setting.candidate, slice(None))
    risks, resampled = [], []
    for side, rows in zip(sides, chosen, strict=True):
        parts, n = attributes.attack(side, rows, released), len(rows)
        risks.append(_risk(parts.sum(axis=1), attributes.weights))
        drawn = rng.multinomial(n, np.full(n, 1 / n), 200).astype(float)
        sums = (drawn @ parts).swapaxes(0, 1)
        resampled.append([_risk(one, attributes.weights) for one in sums])
    return risks, np.array(resampled)


def _published(setting: Setting, rng: np.random.Generator) -> Estimate:
    (risk,), (resampled,) = _attacks(setting, rng, setting.train)
    return normal_interval(risk, float(np.std(resampled)))


def _beyond_holdout(setting: Setting, rng: np.random.Generator) -> Estimate:
    risks, resampled = _attacks(setting, rng, setting.train, setting.holdout)
    excesses = [excess_risk(*pair) for pair in resampled.T]
    return normal_interval(excess_risk(*risks), float(np.std(excesses)))


COMPUTE = {
    ("attribute_inference", "published"): _published,
    ("attribute_inference", "corrected"): _beyond_holdout,
}
