"""Copies as a census: are there released rows that *are* a patient, or nearly?

No attacker is needed: whoever knows a record finds it in the release. An exact copy equals a
patient in every column; a near copy differs in at most 2 % of the columns and is much nearer
than the nearest of as many other real patients (a twin), so that whoever has few codes is no
copy. A row that is near to nobody can hold a piece of somebody: more rare values together (dates,
measurements, words) than two patients share. Counted are used patients with a copy or a piece
beyond held-out ones: 0 for fresh patients, 1 for a copy of train. Carriers of a rare code are
looked at on their own: a small group that is copied as a whole drowns among all others. So does a
measurement of one's own.
"""

from collections import Counter
from functools import partial
from hashlib import blake2b
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array, diags_array
from sklearn.preprocessing import OneHotEncoder

from ...statistics import Z95, Estimate, NotComputable, auroc, normal_interval, wilson
from ..setting import Setting
from .reference import attacked

NEAR = 0.02  # of the columns
CARRIERS = (3, 40)  # attacked patients who carry a code that is called rare
PIECE = 0.999  # the quantile of what a patient shares with another; more is a piece of him


def _digests(rows: np.ndarray) -> list[bytes]:
    """A short name for each record; the records themselves would fill the memory again."""
    return [blake2b(row.tobytes(), digest_size=16).digest() for row in np.ascontiguousarray(rows)]


def copies(released: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Which released records equal a real one in every encoded column.
    Chapter attacks, "Copies, and the distance to the closest record".
    """
    known = set(_digests(real))
    return np.array([digest in known for digest in _digests(released)])


def shared_records(train: np.ndarray, holdout: np.ndarray) -> int:
    """How many held-out records equal a used one, beyond how often a used one equals another; 0 if
    fewer than three standard errors or one in 100. Chapter privacy, "What these tests cannot show".
    """
    seen = Counter(_digests(train))
    twins = sum(count for count in seen.values() if count > 1) / len(train)
    shared = np.mean([digest in seen for digest in _digests(holdout)])
    excess = shared - twins
    chance = 3 * np.sqrt(twins * (1 - twins) * (1 / len(train) + 1 / len(holdout)))
    return round(excess * len(holdout)) if excess > max(chance, 0.01) else 0


def census(to_release: np.ndarray, to_others: np.ndarray, columns: int) -> np.ndarray:
    """How much of an exact and of a near copy each patient has, shape (patients, 2), 0 for none.

    Exact: the distance to the nearest other patient, so that who has a twin has no copy. Near: the
    root of its square minus twice that of the distance to the release.
    Chapter attacks, "Near copies, and the one who stands out".
    """
    near = to_release**2 <= max(NEAR * columns, 1)
    lonelier = np.sqrt(np.maximum(to_others**2 - 2 * to_release**2, 0))
    return np.stack([(to_release == 0) * to_others, near * lonelier], axis=1)


def carriers(patients: np.ndarray) -> np.ndarray:
    """Who carries which rare value, of shape (patients, rare columns of 0 and 1).
    Chapter attacks, "Carriers of a rare code".
    """
    count, (low, high) = (patients != 0).sum(axis=0), CARRIERS
    rows = patients[:, (count >= low) & (count <= high)]
    return rows[:, ((rows == 0) | (rows == 1)).all(axis=0)]


def pieces(setting: Setting) -> np.ndarray:
    """How much more each attacked patient shares with a released row than two patients do, or 0.

    Shared values that at most 40 attacked patients have are weighed by the log of one over their
    share, codes aside (after Fellegi and Sunter, J Am Stat Assoc 1969;64:1183-1210).
    Chapter attacks, "Near copies, and the one who stands out".
    """
    sides = zip((setting.train, setting.holdout), setting.attacked, strict=True)
    people = pd.concat([side.frame.iloc[rows] for side, rows in sides])
    kinds: dict[str, Any] = dict.fromkeys(setting.schema.of_kind("continuous"), "float32")
    kinds |= dict.fromkeys(setting.schema.of_kind("categorical"), str)
    if not kinds:
        return np.zeros(len(people))
    values = OneHotEncoder(handle_unknown="ignore", dtype=np.float32, sparse_output=True)
    real = csr_array(values.fit_transform(people[list(kinds)].astype(kinds)))
    made = csr_array(values.transform(setting.candidate.frame[list(kinds)].astype(kinds)))
    count = real.sum(axis=0)
    rare = np.flatnonzero(count <= CARRIERS[1])
    real, made = real[:, rare], made[:, rare]
    weighed = (real @ diags_array(np.log(len(people) / count[rare]))).tocsr()
    others = _most_shared(weighed, real, himself=True)
    usual = np.maximum(others, np.quantile(others, PIECE))
    return np.maximum(_most_shared(weighed, made) - usual, 0)


def _most_shared(weighed: csr_array, rows: csr_array, himself: bool = False) -> np.ndarray:
    """The largest weight that each patient shares with a row; `himself` is in his own place."""
    most = np.zeros(weighed.shape[0])
    for start in range(0, len(most), 512):
        shared = (weighed[start : start + 512] @ rows.T).tocsr()
        if himself:
            shared.setdiag(0, start)
        most[start : start + 512] = shared.max(axis=1).toarray().ravel()
    return most


def _near_copies(setting: Setting, rng: np.random.Generator, rare: bool = False) -> Estimate:
    """Share of used patients with a copy minus that of held-out ones; `rare` asks carriers only."""
    whom = setting.once(attacked)
    asked = carriers(whom.patients).any(axis=1) if rare else np.ones(len(whom.used), dtype=bool)
    has = census(whom.to_release, whom.to_others, whom.patients.shape[1])[:, 1] > 0
    if not rare:
        has |= setting.once(pieces) > 0
    sides = asked & whom.used, asked & ~whom.used
    if min(side.sum() for side in sides) < 5:
        raise NotComputable("fewer than 5 patients of a group to compare")
    used, other = (wilson(int(has[side].sum()), int(side.sum())) for side in sides)
    return normal_interval(used.value - other.value, float(np.hypot(used.half, other.half)) / Z95)


def _copied_values(setting: Setting, rng: np.random.Generator) -> Estimate:
    """An attack by how many measurements of somebody are released that no other patient has."""
    sides, has = (setting.train, setting.holdout, setting.candidate), []
    for name in setting.schema.of_kind("continuous"):
        *real, made = (side.frame[name].astype("float32") for side in sides)
        alone = pd.concat(real).dropna().drop_duplicates(keep=False)
        has.append([column.isin(alone[alone.isin(made)]) for column in real])
    if not has:
        raise NotComputable("no column is a measurement")
    return auroc(*(np.sum(columns, axis=0) for columns in zip(*has, strict=True)))


COMPUTE = {
    ("copied_values", "corrected"): _copied_values,
    ("exact_copies", "corrected"): lambda setting, rng: wilson(
        int(copies(setting.candidate.matrix, setting.train.matrix).sum()), len(setting.candidate)
    ),
    ("near_copies", "corrected"): _near_copies,
    ("copied_carriers", "corrected"): partial(_near_copies, rare=True),
}
