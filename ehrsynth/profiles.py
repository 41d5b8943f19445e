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
    """How much of everything a run takes; None takes all, or leaves the recipe's own."""

    patients: int  # of the simulated hospital
    most: int | None  # patients of any other source
    min_prevalence: float  # share of training patients a yes/no column needs to be kept
    steps: int | None
    width: int | None = None  # of the networks' residual layers
    layers: int | None = None  # how many of those

    def adapt(self, recipe: Recipe) -> Recipe:
        """The recipe with the profile's networks."""
        width, layers = self.width or recipe.width, self.layers or recipe.layers
        return replace(recipe, width=width, layers=layers)


PROFILES = {
    # Networks this small learn as much in half the time when the time is short. The steps, and the
    # trust in pairs (gan/recipe.py), are the fewest after which the worst of three data sets is
    # told apart with about 0.6 (benchmarks/price_list.py, benchmarks/tuning.py).
    "fast": Profile(4_000, most=6_000, min_prevalence=0.01, steps=1_200, width=256, layers=3),
    "full": Profile(20_000, most=None, min_prevalence=5e-5, steps=None),
}


def peak_memory() -> float | None:
    """Most memory that this process has held so far, in GB (10^9 bytes); None where unknown."""
    if resource is None:
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB on Linux
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9, 2)
