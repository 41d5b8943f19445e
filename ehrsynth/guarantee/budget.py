"""What a guarantee costs: the noise that each look at the patients needs, and the sum of all.

Two tables are neighbors when one has one patient more. A look sums something over all patients, of
which one changes at most a known length, and adds Gaussian noise. Several such looks together are
as strong as one whose squared strength (length over noise) is the sum of theirs (Dong, Roth and Su
2022, J R Stat Soc B 84:3-37); what that means in epsilon and delta is known exactly (Balle and Wang
2018, theorem 8).
"""

import warnings
from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import norm

from ..errors import InputError

DELTA = 1e-6
_LEAST_EPSILON, MOST_EPSILON, _MOST_DELTA = 0.01, 10.0, 1e-4


def failure(strength: float, epsilon: float) -> float:
    """The smallest delta at which looks of this strength keep epsilon.
    Chapter open-issues, "What a guarantee costs".
    """
    if strength == 0:
        return 0.0
    half, rest = strength / 2, epsilon / strength
    return float(norm.cdf(half - rest) - np.exp(epsilon + norm.logcdf(-half - rest)))


def strength_of(epsilon: float, delta: float) -> float:
    """How strong all looks together may be: one patient's largest change over the noise.
    Chapter open-issues, "What a guarantee costs".
    """
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
    rate: float = 1.0  #: share of the patients that is drawn for a look
    times: int = 1


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
                f"delta is {self.delta}; it is the chance that the promise does not hold, so use "
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

    def training(self, what: str, length: float, rate: float, times: int) -> float:
        """The noise of so many looks, each at a share of the patients, that take what is left."""
        if np.isinf(self.epsilon):
            self.looks.append(Look(what, length, 0.0, rate, times))
            return 0.0
        before = list(self.looks)

        def too_much(log: float) -> float:
            self.looks = [*before, Look(what, length, length * np.exp(log), rate, times)]
            return self.spent() - self.epsilon

        brentq(too_much, np.log(0.3), np.log(1e4), xtol=1e-3)
        if too_much(least := np.log(self.looks[-1].noise / length) + 2e-3) > 0:
            raise InputError(
                "The other looks leave nothing for the training; use a larger epsilon."
            )
        return length * float(np.exp(least))

    def spent(self) -> float:
        """The epsilon of all looks so far, computed from their noise alone.

        Looks at all patients are summed exactly; where one is at a share of them, Opacus' Renyi
        accountant sums all (Mironov 2017; Mironov, Talwar and Zhang 2019).
        """
        delta = self.delta - self.for_names
        if any(one.noise == 0 for one in self.looks):
            return np.inf
        if any(one.rate < 1 for one in self.looks):
            return _by_opacus(self.looks, delta)
        strength = np.sqrt(sum(one.times * (one.length / one.noise) ** 2 for one in self.looks))
        if failure(strength, 0.0) <= delta:
            return 0.0
        return float(brentq(lambda e: failure(strength, e) - delta, 0, strength**2 + 50 * strength))

    def table(self) -> pd.DataFrame:
        """A row for each look, its noise beside the most that one patient changes."""
        return pd.DataFrame([asdict(one) for one in self.looks])


def _by_opacus(looks: list[Look], delta: float) -> float:
    try:
        from opacus.accountants import RDPAccountant
    except ImportError:
        raise InputError(
            "The sum of a training's costs takes Opacus; install it with pip install ehrsynth[dp]."
        ) from None
    accountant = RDPAccountant()
    accountant.history = [(one.noise / one.length, one.rate, one.times) for one in looks]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that another order might be a hair better
        return float(accountant.get_epsilon(delta=delta))
