"""Are train and holdout comparable? Tested before anything is called a leak.

An attack against held-out patients takes a holdout that is sicker, or older, for a leak. So who
was used is exchanged among train and holdout, with no release at all: the number of codes, every
measurement and demographic column, and all columns together (the difference of means in the
metric of their covariance, a classifier's two-sample test in closed form: Hotelling 1931, with a
ridge). One split at random in 100 is refused.
"""

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from ..setting import Setting
from .exchange import Exchanges
from .reference import attacked

REFUSED = 0.01
RIDGE = 0.1


def differences(setting: Setting) -> list[str]:
    """In what they differ, beyond chance. Chapter privacy, "What these tests cannot show"."""
    whom, encoder = setting.once(attacked), setting.encoder
    rows = whom.patients
    exchanges = Exchanges(whom.used, np.random.default_rng([setting.train.seed, 18]))
    demographic = encoder.columns(*encoder.schema.of_role("demographic"))
    measured = np.flatnonzero(encoder.is_kind("continuous"))
    chosen = list(dict.fromkeys([*measured, *demographic]))
    single, names = rows[:, chosen], [encoder.labels[i] for i in chosen]
    if (codes := encoder.is_kind("binary")).any():
        single = np.column_stack([single, rows[:, codes].sum(axis=1)])
        names.append("number of codes")
    z, exchanged = exchanges.both(single)
    whole, exchanged_whole = exchanges.both(rows)
    distance, distances = _hotelling(whole, exchanged_whole, rows)
    # Each on the scale of its own exchanges, so that neither drowns the other.
    most = np.abs(exchanged).max(axis=1, initial=0)
    (middle, scale), (center, width) = ((x.mean(), x.std() or 1.0) for x in (most, distances))
    both = np.maximum((most - middle) / scale, (distances - center) / width)
    limit = float(np.quantile(both, 1 - REFUSED))
    far = (np.abs(z) - middle) / scale > limit
    found = [name for name, differs in zip(names, far, strict=True) if differs]
    return [*found, "all columns together"] if (distance - center) / width > limit else found


def _hotelling(z: np.ndarray, exchanged: np.ndarray, rows: np.ndarray) -> tuple[float, np.ndarray]:
    spread = rows.std(axis=0, dtype=np.float64)
    kept = spread > 1e-6
    correlation = np.corrcoef(rows[:, kept].T.astype(np.float32)).astype(np.float64)
    factor = cho_factor(correlation + RIDGE * np.eye(kept.sum()))
    both = np.vstack([z[kept], exchanged[:, kept]])
    found = np.einsum("ij,ji->i", both, cho_solve(factor, both.T))
    return float(found[0]), found[1:]
