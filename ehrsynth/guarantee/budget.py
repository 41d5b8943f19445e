"""What a guarantee costs: the noise that each look at the patients needs, and the sum of all.

Two tables are neighbors when one has one patient more. A look sums something over all patients, of
which one changes at most a known length, and adds Gaussian noise. Several such looks together are
as strong as one whose squared strength (length over noise) is the sum of theirs (Dong, Roth and Su
2022, J R Stat Soc B 84:3-37); what that means in epsilon and delta is known exactly (Balle and Wang
2018, theorem 8). Chapter open-issues, "What a guarantee costs".
"""

from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import norm

from ..errors import InputError

DELTA = 1e-6
_LEAST_EPSILON, MOST_EPSILON, _MOST_DELTA = 0.01, 10.0, 1e-4


def failure(strength: float, epsilon: float) -> float:
    """The smallest delta at which looks of this strength keep epsilon."""
    if strength == 0:
        return 0.0
    half, rest = strength / 2, epsilon / strength
    return float(norm.cdf(half - rest) - np.exp(epsilon + norm.logcdf(-half - rest)))


def strength_of(epsilon: float, delta: float) -> float:
    """How strong all looks together may be: one patient's largest change over the noise."""
    if np.isinf(epsilon):
        return np.inf
    found = brentq(lambda log: failure(np.exp(log), epsilon) - delta, -15, np.log(epsilon + 50))
    return float(np.exp(found))


@dataclass(frozen=True)
class Look:
    """One look at the patients: what for, how far one patient can move it, and the noise."""

    what: str
    length: float  #: of the largest change that one patient makes
    noise: float  #: standard deviation of what is added to each number


@dataclass
class Budget:
    """An epsilon and a delta, and the looks at the patients that they were spent on.

    Parameters
    ----------
    epsilon, delta : float
        ``inf`` adds no noise, and promises nothing. A tenth of delta goes to which names there are.
    """

    epsilon: float
    delta: float = DELTA
    looks: list[Look] = field(default_factory=list)

    def __post_init__(self):
        if not self.epsilon >= _LEAST_EPSILON:
            raise InputError(f"epsilon is {self.epsilon}; use {_LEAST_EPSILON} or more.")
        if not 0 < self.delta <= _MOST_DELTA:
            raise InputError(
                f"delta is {self.delta}; it is added to what epsilon bounds, each probability: use "
                f"more than 0 and at most {_MOST_DELTA}, far below one in the number of patients."
            )

    @property
    def for_names(self) -> float:
        """The part of delta with which a name of one patient alone may come through."""
        return self.delta / 10

    def look(self, what: str, length: float, share: float) -> float:
        """The noise of a look that takes this share of the squared strength; it is noted."""
        strength = strength_of(self.epsilon, self.delta - self.for_names) * np.sqrt(share)
        self.looks.append(Look(what, length, 0.0 if np.isinf(strength) else length / strength))
        return self.looks[-1].noise

    def spent(self) -> float:
        """The epsilon of all looks so far, computed from their noise alone."""
        delta = self.delta - self.for_names
        if any(one.noise == 0 for one in self.looks):
            return np.inf
        strength = np.sqrt(sum((one.length / one.noise) ** 2 for one in self.looks))
        if failure(strength, 0.0) <= delta:
            return 0.0
        return float(brentq(lambda e: failure(strength, e) - delta, 0, strength**2 + 50 * strength))

    def table(self) -> pd.DataFrame:
        """A row for each look, its noise beside the most that one patient changes."""
        return pd.DataFrame([asdict(one) for one in self.looks])
