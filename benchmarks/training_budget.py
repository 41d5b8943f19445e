"""What a training with a guarantee costs, whose looks are each at a share of the patients."""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from ehrsynth.errors import InputError
from ehrsynth.guarantee.budget import Budget, Look


@dataclass(frozen=True)
class Looks(Look):
    """So many looks of one kind, each at a share of the patients that is drawn anew."""

    rate: float = 1.0
    times: int = 1


class TrainingBudget(Budget):
    """A budget of which Opacus' Renyi accountant makes the sum (Mironov 2017; Mironov, Talwar and
    Zhang 2019), where a look is at a share of the patients.
    """

    def training(self, what: str, length: float, rate: float, times: int) -> float:
        """The noise of so many looks, each at a share of the patients, that take what is left."""
        if np.isinf(self.epsilon):
            self.looks.append(Looks(what, length, 0.0, rate, times))
            return 0.0
        before = list(self.looks)

        def too_much(log: float) -> float:
            self.looks = [*before, Looks(what, length, length * np.exp(log), rate, times)]
            return self.spent() - self.epsilon

        brentq(too_much, np.log(0.3), np.log(1e4), xtol=1e-3)
        if too_much(least := np.log(self.looks[-1].noise / length) + 2e-3) > 0:
            raise InputError(
                "The other looks leave nothing for the training; use a larger epsilon."
            )
        return length * float(np.exp(least))

    def history(self) -> list[tuple[float, float, int]]:
        """Noise over length, share of the patients and number of the looks of each kind."""
        return [
            (one.noise / one.length, getattr(one, "rate", 1.0), getattr(one, "times", 1))
            for one in self.looks
        ]

    def spent(self) -> float:
        """The epsilon of all looks so far, computed from their noise alone."""
        sampled = any(isinstance(one, Looks) for one in self.looks)
        if not sampled or any(one.noise == 0 for one in self.looks):
            return super().spent()
        try:
            from opacus.accountants import RDPAccountant
        except ImportError:
            raise InputError(
                "The sum of a training's costs takes Opacus; install it with "
                "pip install ehrsynth[dp]."
            ) from None
        accountant = RDPAccountant()
        accountant.history = self.history()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that another order might be a hair better
            return float(accountant.get_epsilon(delta=self.delta - self.for_names))
