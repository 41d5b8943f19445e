"""The generative adversarial network: networks, losses, training, and the model that uses them."""

from .model import EMRWGAN
from .recipe import MODERN, PAPER, RECIPES, Recipe
from .runs import fit_runs, run_seeds
from .training import TrainingError

__all__ = [
    "EMRWGAN", "MODERN", "PAPER", "RECIPES", "Recipe", "TrainingError", "fit_runs", "run_seeds",
]  # fmt: skip
