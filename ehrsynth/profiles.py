"""How much of everything a run takes, and the memory that it took."""

import sys
from dataclasses import dataclass, replace

from .gan.recipe import Recipe

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Profile:
    """How much of everything a run takes.

    Parameters
    ----------
    patients : int
        Size of the simulated hospital.
    most : int or None
        Patients used of any other source; None takes all.
    min_prevalence : float
        Share of training patients a yes/no column needs to be kept.
    steps : int or None
        Training steps; None leaves the recipe's own number.
    width, layers : int or None
        Size and number of the networks' residual layers; None leaves the recipe's own.
    """

    patients: int
    most: int | None
    min_prevalence: float
    steps: int | None
    width: int | None = None
    layers: int | None = None

    def adapt(self, recipe: Recipe) -> Recipe:
        """The recipe with the profile's networks."""
        width, layers = self.width or recipe.width, self.layers or recipe.layers
        return replace(recipe, width=width, layers=layers)


PROFILES = {
    # Networks this small learn as much in half the time when the time is short.
    "fast": Profile(4_000, most=6_000, min_prevalence=0.01, steps=500, width=256, layers=3),
    "full": Profile(20_000, most=None, min_prevalence=5e-5, steps=None),
}


def peak_memory() -> float | None:
    """Most memory that this process has held so far, in GB (10^9 bytes); None where unknown."""
    if resource is None:
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB on Linux
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9, 2)
