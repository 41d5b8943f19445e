"""A generative adversarial network with a guarantee, to be measured beside the private pairs."""

from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from private_training import train_private, without_looks
from training_budget import TrainingBudget

from ehrsynth.gan.networks import Columns
from ehrsynth.gan.players import column_means, new_game, stream
from ehrsynth.gan.recipe import MODERN, Recipe
from ehrsynth.generation.calibration import calibrate, refresh_statistics
from ehrsynth.guarantee.pairs import MOST_CODES, Margins, without_pairs
from ehrsynth.kinds import REST
from ehrsynth.preprocessing.encode import Preprocessor
from ehrsynth.preprocessing.matrix import Encoded
from ehrsynth.schema import Schema

_IMAGINED = 20_000  # patients drawn from the noisy margins, from whom bins and biases are learned
_BINS = 8  # of a number


def fit_in(margins: Margins, patients: pd.DataFrame) -> pd.DataFrame:
    """Patients with the columns and categories that are kept; others get the most frequent."""
    table = {}
    for column in margins.kept.columns:
        values = patients[column.name]
        if column.kind == "categorical":
            own = list(column.categories)
            other = REST if REST in own else own[int(margins.counts[column.name].argmax())]
            text = values.astype(str)
            values = text.where(text.isin(own), other)
        table[column.name] = values
    return margins.kept.plausible(margins.kept.cast(pd.DataFrame(table)))[0]


class PrivateGAN:
    """The modern recipe as far as it can be had with a guarantee.

    The margins are told with noise first. Columns, bins and the output biases come from patients
    drawn from them, so from nobody; what goes together comes from the critic alone.
    """

    def __init__(
        self, recipe: Recipe = MODERN, steps: int = 600, size: float = 256, most: float = 1.0,
        seed: int = 0,
    ):  # fmt: skip
        self.recipe = without_looks(replace(recipe, smooth_numbers=False))
        self.steps, self.size, self.most, self.seed = steps, size, most, seed

    def fit(
        self, train: pd.DataFrame, budget: TrainingBudget, rng: np.random.Generator,
        schema: Schema | None = None, most_codes: int = MOST_CODES,
    ) -> "PrivateGAN":  # fmt: skip
        """Learn from the patients what the budget allows; `rng` is of the noise, so secret."""
        schema = Schema.of(train) if schema is None else schema
        margins = Margins(schema, train, budget, rng, most_codes, public=schema.names)
        nobody = without_pairs(margins).sample(_IMAGINED, seed=int(rng.integers(2**31)))
        self.prep_ = Preprocessor(bins=_BINS, min_prevalence=0).fit(nobody)
        kept = self.prep_.schema_
        columns = Columns(self.prep_.layout_, (), self.recipe.score_weight)
        prevalence = column_means(torch.from_numpy(self.prep_.transform(nobody).values))
        data = torch.from_numpy(self.prep_.transform(fit_in(margins, train)[kept.names]).values)
        game = new_game(self.recipe, columns, prevalence, self.seed, torch.device("cpu"))
        rate = min(self.size / margins.patients, 1.0)
        size = rate * margins.patients
        times = self.steps * self.recipe.critic_steps
        noise = budget.training("the critic's steps", self.most, rate, times) / self.most
        secret = torch.Generator().manual_seed(int(rng.integers(2**62)))
        train_private(game, data, self.steps, rate, size, self.most, noise, secret)
        self.columns_, self.generator_ = columns, game.chosen
        given, latent = torch.zeros(len(nobody), 0), self.recipe.latent
        refresh_statistics(self.generator_, given, latent, stream(self.seed, "statistics"))
        self.generator_.eval()
        self.shift_ = calibrate(
            self.generator_, columns, torch.zeros(1, 0), torch.tensor([float(_IMAGINED)]),
            prevalence[None], latent, stream(self.seed, "calibration"), within=False,
        )[0]  # fmt: skip
        return self

    @torch.no_grad()
    def sample(self, n: int, seed: int = 0) -> pd.DataFrame:
        """Draw `n` new patients, the schema attached; the same for the same seed."""
        rng = stream(seed, "sample")
        noise = torch.randn(n, self.recipe.latent, generator=rng)
        logits = self.generator_(noise, torch.zeros(n, 0)) + self.shift_
        drawn = self.columns_.draw(self.columns_.probabilities(logits), rng)
        codes = drawn.to(torch.uint8).numpy()
        return self.prep_.inverse_transform(Encoded(codes, self.prep_.layout_), seed)
