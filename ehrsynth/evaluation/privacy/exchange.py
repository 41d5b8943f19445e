"""What chance alone would show: labels "used" and "held out" exchanged many times.

If the release knows nothing of who was used, or train and holdout are drawn from the same
patients, any other choice of the used ones was as likely.
"""

import numpy as np

EXCHANGES = 999
LEAST_SPREAD = 0.25  # of a largest of several: one that hardly varies makes no news
TOP = EXCHANGES // 10  # of the exchanges, from which what is rarer is concluded


class Exchanges:
    """Labels, exchanged among some (or all). Chapter privacy, "As it can be believed"."""

    def __init__(self, used: np.ndarray, rng: np.random.Generator, among: np.ndarray | None = None):
        self.used = used
        self.among = np.ones(len(used), dtype=bool) if among is None else among
        self.labels = np.zeros((EXCHANGES, len(used)), dtype=np.float32)
        own = np.tile(used[self.among].astype(np.float32), (EXCHANGES, 1))
        self.labels[:, self.among] = rng.permuted(own, axis=1)

    def both(
        self, terms: np.ndarray, used: np.ndarray | None = None, count: int = EXCHANGES
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sums of `terms` (patients, k), 0 for whoever is not exchanged, over used patients, and
        those of the last `count` exchanges (count, k).

        In standard deviations; mean and variance of all exchanges are known exactly. `used` are
        other labels than the true ones.
        """
        n, taken = self.among.sum(), self.used.sum()
        mean = terms.sum(axis=0, dtype=np.float64) / n
        rows = np.flatnonzero(terms.any(axis=1))  # few, where copies are counted
        squares = (terms[rows].astype(np.float64) ** 2).sum(axis=0) - n * mean**2
        variance = taken * (n - taken) / (n * (n - 1)) * squares
        scale = np.divide(1, np.sqrt(np.maximum(variance, 0)), out=np.zeros(len(mean)),
                          where=variance > 1e-9)  # fmt: skip
        part, labels = terms[rows] * scale, self.labels[-count:]
        labels = labels if len(rows) == len(terms) else labels[:, rows]
        exchanged = labels @ part.astype(np.float32)
        own, usual = (self.used if used is None else used)[rows] @ part, taken * mean * scale
        return own - usual, exchanged - usual.astype(np.float32)


def largest(z: np.ndarray, exchanged: np.ndarray) -> tuple[float, np.ndarray]:
    """The largest, by its own exchanges standardized. Chapter privacy, "As it can be believed"."""
    if exchanged.shape[1] == 0 or not exchanged.any():
        return 0.0, np.zeros(len(exchanged))
    most = exchanged.max(axis=1)
    scale = max(most.std(), LEAST_SPREAD)
    return float((z.max() - most.mean()) / scale), (most - most.mean()) / scale


def chance(value: float, most: np.ndarray) -> float:
    """How often an exchange shows as much. Chapter privacy, "As it can be believed".

    What fewer than ten show is concluded from the top tenth, with an exponential tail, which is
    rather too heavy. Source: after Knijnenburg et al., Bioinformatics 2009;25:i161-i168.
    """
    above = int((most >= value - 1e-4).sum())
    p = (1 + above) / (1 + len(most))
    top = np.sort(most)[-TOP:]
    beyond = float((top - top[0]).mean())
    if above >= 10 or beyond <= 0:
        return p
    return min(p, float(len(top) / len(most) * np.exp(-(value - top[0]) / beyond)))
