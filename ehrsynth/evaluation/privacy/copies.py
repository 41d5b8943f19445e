"""Exact copies: are there released rows that *are* a used patient?

No attacker is needed: whoever knows a record finds it in the release. The measure is the share of
released rows that equal a used patient in every column; the best reference is holdout itself
(two people of one common diagnosis are the same row by chance), the worst, train, has 1.
"""

from collections import Counter
from hashlib import blake2b

import numpy as np

from ...statistics import Estimate, wilson
from ..setting import Setting


def _digests(rows: np.ndarray) -> list[bytes]:
    """A short name for each record; the records themselves would fill the memory again."""
    return [blake2b(row.tobytes(), digest_size=16).digest() for row in np.ascontiguousarray(rows)]


def copies(released: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Which released records are the same as a real one in every encoded column.
    Chapter privacy, "Copies, and the distance to the closest record".
    """
    known = set(_digests(real))
    return np.array([digest in known for digest in _digests(released)])


def shared_records(train: np.ndarray, holdout: np.ndarray) -> int:
    """How many held-out records equal a used one, if more than by chance (else 0).

    By chance, a held-out record has an equal one in train as often as a used record has another
    there; more is an excess of three standard errors and of one record in 100.
    Chapter privacy, "What these tests cannot show".
    """
    seen = Counter(_digests(train))
    twins = sum(count for count in seen.values() if count > 1) / len(train)
    shared = np.mean([digest in seen for digest in _digests(holdout)])
    excess = shared - twins
    chance = 3 * np.sqrt(twins * (1 - twins) * (1 / len(train) + 1 / len(holdout)))
    return round(excess * len(holdout)) if excess > max(chance, 0.01) else 0


def _exact_copies(setting: Setting, rng: np.random.Generator) -> Estimate:
    same = copies(setting.candidate.matrix, setting.train.matrix)
    return wilson(int(same.sum()), len(same))


COMPUTE = {("exact_copies", "corrected"): _exact_copies}
