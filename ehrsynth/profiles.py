"""How much of everything a run takes, and the memory that it took."""

import logging
import re
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from .errors import InputError
from .gan.recipe import Recipe, named, strict

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

log = logging.getLogger(__name__)


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

    def plan(self, recipe: str, privacy: str, patients: int) -> tuple[Recipe, int | None]:
        """Recipe and steps for so many training patients; None are those of the recipe."""
        found = self.adapt(named(recipe))
        if privacy == "strict":
            return strict(found, self.steps or found.total_steps(patients)), None
        return found, self.steps


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


class Estimate(NamedTuple):
    """About how much a run takes from its training on, on one core."""

    minutes: float
    memory: float  # GB, of 10^9 bytes
    disk: float


def estimate(
    real: tuple[int, int], columns: int, made: int | None, profile: Profile,
    recipe: Recipe | None = None, runs: int = 1,
) -> Estimate:  # fmt: skip
    """What it takes by the patients of train and holdout, columns, and patients to make.

    Fitted to what was measured (``benchmarks/scale.csv``): it may be half or twice as much.
    """
    cells, new = sum(real) * columns, (made or real[0]) * columns
    steps = 0 if recipe is None else profile.steps or recipe.total_steps(real[0])
    seconds = 10 + steps * runs * (0.01 + 1.5e-5 * columns)  # training
    seconds += 2e-7 * cells + 1e-7 * new + 9e-6 * runs * min(cells, 2e7)
    memory = 0.7 + 1e-8 * max(cells, min(new, 100_000 * columns))
    return Estimate(max(seconds / 60, 1), memory, 0.05 + 1e-10 * cells + 5e-9 * new)


def check_fits(needed: Estimate, folder: Path, anyway: bool = False) -> None:
    """Say what a run takes; refuse what there is no memory or room for, unless it is to go on."""
    log.info("From here it takes about %.0f min, %.1f GB of memory, %.1f GB of disk.", *needed)
    room = (free_memory(), shutil.disk_usage(folder).free / 1e9)
    for what, asked, free in zip(("memory", "disk"), needed[1:], room, strict=True):
        if asked > free and not anyway:
            raise InputError(
                f"The rest of this run takes about {asked:,.1f} GB of {what} and {free:,.1f} GB "
                "are free; use fewer patients or columns, or try it all the same (--anyway)."
            )


def free_memory() -> float:
    """GB of memory that may still be taken, of the machine or its container; inf where unknown."""
    known, group = [float("inf")], Path("/sys/fs/cgroup")
    machine, limit = Path("/proc/meminfo"), group / "memory.max"
    if machine.is_file() and (found := re.search(r"MemAvailable: *(\d+)", machine.read_text())):
        known.append(int(found[1]) * 1024)
    if limit.is_file() and (most := limit.read_text().strip()).isdigit():
        known.append(int(most) - int((group / "memory.current").read_text()))
    return min(known) / 1e9
