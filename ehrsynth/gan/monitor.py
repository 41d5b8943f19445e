"""The quality monitor: now and then, some patients are generated and compared with validation ones.

These are of train, but the players never see them when the looks decide which weights are kept.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..statistics import Z95, Estimate
from .networks import Columns, Generator
from .recipe import Recipe

TwoSampleTest = Callable[..., Estimate]  # as statistics.two_sample_test

QUALITY = ("validation_prevalence_error", "c2st", "c2st_error", "correlation", "kept")
_MOST, _SHARE, _LEAST = 2_000, 0.1, 20  # patients in a look; validation share, fewest patients
_LIGHT = {"most": _MOST, "folds": 2, "rounds": 20, "learning_rate": 0.2}  # few trees
_TESTED = 1_200  # validation patients, counted once for each set that they are compared with
_FREQUENT = 10  # validation patients with a code whose correlations are looked at
_EXPECTED = 20  # generated patients with a category, of whom chance does not make none
_CURE = "use lower learning rates (generator_rate, critic_rate), a larger penalty or another seed"


@dataclass
class Monitor:
    """What the looks compare with, and what they have found so far.

    Kept are the weights of the last look whose two-sample test is within one standard error of the
    smallest, so that noise seldom prefers earlier ones. Chapter training, "What the loss hides".
    """

    validation: np.ndarray  # encoded patients, shape (m, width)
    prevalence: np.ndarray  # of each matrix column in all of train
    test: TwoSampleTest
    best: dict[str, Tensor] = field(default_factory=dict)  # state of the generator that is kept
    smallest: float = float("inf")  # classifier two-sample test so far; 0.5 is perfect
    since: int = 0  # looks since it was last made smaller
    warned: bool = False  # a collapse has been reported

    def look(
        self, generator: Generator, columns: Columns, recipe: Recipe, rng: torch.Generator
    ) -> tuple[dict[str, float], str]:
        """Measure the generator and keep its weights if they are good; a sentence if it collapsed.

        With the same `rng` state, the looks differ by the weights alone.
        """
        made = _draw_patients(generator, columns, recipe, self.validation, rng)
        learned = ~columns.is_given.cpu().numpy()
        error = np.abs(made.mean(axis=0) - self.validation.mean(axis=0))[learned].mean()
        seed = int(torch.randint(2**31, (1,), generator=rng, device=rng.device))
        score, standard_error = _light_test(self.test, self.validation, made, seed)
        kept = score <= self.smallest + standard_error
        if kept:
            self.best = {key: value.clone() for key, value in generator.state_dict().items()}
        self.since = 0 if score < self.smallest else self.since + 1
        self.smallest = min(self.smallest, score)
        pairs = _pair_agreement(self.validation, made, columns.owner)
        numbers = (float(error), score, standard_error, pairs, float(kept))
        quality = dict(zip(QUALITY, numbers, strict=True))
        return quality, _collapse(self.validation, made, self.prevalence, columns)


def validation_rows(n: int, rng: torch.Generator) -> Tensor:
    """Which of `n` training patients are the validation part; none of a table that is too small.
    Chapter training, "What the loss hides".
    """
    size = min(_MOST, int(_SHARE * n))
    return torch.randperm(n, generator=rng)[: size if size >= _LEAST else 0]


@torch.no_grad()
def _draw_patients(
    generator: Generator, columns: Columns, recipe: Recipe, like: np.ndarray, rng: torch.Generator
) -> np.ndarray:
    """2,000 patients, not calibrated, with the given columns of those in `like`."""
    generator = copy.deepcopy(generator)
    generator.train()  # on the batch's own statistics
    given = torch.from_numpy(like[np.arange(_MOST) % len(like)]).to(rng.device).float()
    noise = torch.randn(_MOST, recipe.latent, generator=rng, device=rng.device)
    p = columns.probabilities(generator(noise, given[:, columns.condition]))
    x = columns.draw(p, rng) if recipe.sampled_codes else columns.round(p)
    return torch.where(columns.is_given, given, x).cpu().numpy().astype(like.dtype)


def _light_test(
    test: TwoSampleTest, real: np.ndarray, made: np.ndarray, seed: int
) -> tuple[float, float]:
    """A two-sample test with few trees, nearer to 0.5 than the report's, and its standard error."""
    # Against several sets, if validation is small: their half of the variance becomes small.
    sets = max(1, min(_TESTED // len(real), len(made) // len(real)))
    rng = np.random.default_rng(seed)
    parts = np.array_split(made, sets)
    value, low, high = np.array([test(real, part, rng, **_LIGHT) for part in parts]).T
    error = float(np.mean(high - low)) / (2 * Z95)
    return max(float(value.mean()), 0.5), error * ((1 + 1 / sets) / 2) ** 0.5


def _pair_agreement(real: np.ndarray, made: np.ndarray, owner: np.ndarray) -> float:
    """Correlation of real and generated coefficients of correlation, over pairs of columns."""
    counts = real.sum(axis=0)
    known = (np.minimum(counts, len(real) - counts) >= _FREQUENT) & (made.std(axis=0) > 0)
    first, second = np.triu_indices(int(known.sum()), k=1)
    apart = owner[known][first] != owner[known][second]  # categories exclude each other anyway
    if apart.sum() < 2:
        return float("nan")
    tables = [x[:, known].astype(np.float32) for x in (real, made)]
    pairs = [np.atleast_2d(np.corrcoef(table, rowvar=False)) for table in tables]
    return float(np.corrcoef([x[first[apart], second[apart]] for x in pairs])[0, 1])


def _collapse(real: np.ndarray, made: np.ndarray, prevalence: np.ndarray, columns: Columns) -> str:
    """A sentence when the patients repeat each other or lack a category that train has, or ""."""
    n = min(len(real), len(made))
    wanted, distinct = (len({row.tobytes() for row in x[:n]}) for x in (real, made))
    if distinct < wanted / 2:
        return (
            f"The generator has collapsed: of {n:,} generated patients only {distinct:,} are "
            f"different (real ones: {wanted:,}); {_CURE}."
        )
    lost = (prevalence * len(made) >= _EXPECTED) & ~made.any(axis=0)
    if not lost.any():
        return ""
    i = int(np.argmax(np.where(lost, prevalence, 0)))
    more = f" (and {lost.sum() - 1} more such columns)" if lost.sum() > 1 else ""
    return (
        f"The generator has lost {columns.names[i]}{more}: {prevalence[i]:.1%} of the training "
        f"patients have it, and none of {len(made):,} generated ones; train longer, or {_CURE}."
    )
