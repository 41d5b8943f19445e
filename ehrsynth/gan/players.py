"""The two players of a game: how they are set up, and one step for each."""

import copy
import hashlib
import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from .losses import critic_loss, distance, generator_loss, gradient_penalty
from .monitor import Monitor
from .networks import Columns, Critic, Generator
from .recipe import Recipe

PART = 8_192  # patients counted at a time


@dataclass
class Game:
    """Everything that changes while the players play.
    Chapter training, "Build it: one step for each player".
    """

    recipe: Recipe
    columns: Columns
    generator: Generator
    critic: Critic
    chosen: Generator  # the weights that will generate: an average, or the best so far
    generator_optimizer: torch.optim.Optimizer
    critic_optimizer: torch.optim.Optimizer
    rng: torch.Generator
    smallest_loss: float = math.inf  # of an epoch, for the published choice of weights
    epoch_loss: float = 0.0  # sum over the present epoch
    halvings: int = 0  # of the learning rates, after divergence
    monitor: Monitor | None = None

    @property
    def present(self) -> Generator:
        """The weights that would generate if training ended now."""
        return self.chosen if self.recipe.averaging else self.generator

    def imagine(self, real: Tensor) -> Tensor:
        """A fake patient for each real one, alike in the given columns. Shape (batch, width)."""
        noise = torch.randn(len(real), self.recipe.latent, generator=self.rng, device=real.device)
        logits = self.generator(noise, real[:, self.columns.condition]).float()
        x = self.columns.probabilities(logits)
        if self.recipe.sampled_codes:
            x = self.columns.straight_through(x, self.rng)
        return torch.where(self.columns.is_given, real, x)

    def precision(self, device: torch.device) -> torch.autocast:
        """That of one step; of one only, because torch keeps the rounded weights inside."""
        half = self.recipe.half_precision and _has_bfloat16(device)
        return torch.autocast(device.type, torch.bfloat16, enabled=half)


def critic_step(game: Game, real: Tensor) -> Tensor:
    """The critic learns to score `real` patients above fake ones: loss, distance and penalty.
    Chapter training, "Build it: one step for each player".
    """
    game.generator.train(game.recipe.fakes_by == "batch")
    with torch.no_grad():
        fake = game.columns.features(game.imagine(real))
    game.generator.train()
    real = game.columns.features(real)
    real_scores, fake_scores = game.critic(torch.cat([real, fake])).chunk(2)
    looked_at = max(1, round(game.recipe.penalty_share * len(real)))
    penalty = gradient_penalty(game.critic, real[:looked_at], fake[:looked_at], game.rng)
    loss = critic_loss(real_scores, fake_scores, penalty, game.recipe.penalty)
    game.critic_optimizer.zero_grad()
    loss.backward()
    game.critic_optimizer.step()
    return torch.stack([loss, distance(real_scores, fake_scores), penalty]).detach()


def generator_step(game: Game, real: Tensor) -> Tensor:
    """The generator learns to make patients that the critic scores high; its loss.
    Chapter training, "Build it: one step for each player".
    """
    fake = game.columns.features(game.imagine(real))
    loss = generator_loss(game.critic(fake))
    game.generator_optimizer.zero_grad()
    loss.backward(inputs=list(game.generator.parameters()))
    game.generator_optimizer.step()
    return loss.detach()


@cache
def _has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 faster than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Without such instructions it is emulated, many times slower; an older torch does not tell.
    able: dict = getattr(torch.cpu, "get_capabilities", dict)() if device.type == "cpu" else {}
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


# -- setting up --------------------------------------------------------------------------


def stream(seed: int, *purpose: object, device: str | torch.device = "cpu") -> torch.Generator:
    """A random generator of its own for each purpose, so that no draw depends on another's.
    Chapter training, "The loop, and a measure we can trust".
    """
    digest = hashlib.sha256(repr((seed, *purpose)).encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:7], "little"))


def new_game(
    recipe: Recipe, columns: Columns, prevalence: Tensor, seed: int, device: torch.device
) -> Game:
    """Networks with seeded random weights, their optimizers, and the game's random stream.

    `prevalence` is that of each matrix column in train.
    Chapter training, "Build it: one step for each player".
    """
    generator = new_generator(recipe, columns)
    with torch.random.fork_rng(devices=[]):
        critic = Critic(columns.feature_width, recipe.width, recipe.layers)
    weights = stream(seed, "weights")
    for network in (generator, critic):
        for layer in network.modules():
            if isinstance(layer, torch.nn.Linear):
                bound = 1 / math.sqrt(layer.in_features)
                if recipe.initialization == "glorot":  # Glorot and Bengio 2010, equation 16
                    bound = math.sqrt(6 / (layer.in_features + layer.out_features))
                torch.nn.init.uniform_(layer.weight, -bound, bound, generator=weights)
                torch.nn.init.zeros_(layer.bias)
    if recipe.prevalence_bias:
        generator.last.bias.data.copy_(_starting_bias(columns, prevalence))
    generator, critic = generator.to(device), critic.to(device)
    return Game(
        recipe, columns.to(device), generator, critic, copy.deepcopy(generator),
        _optimizer(recipe, generator, recipe.generator_rate),
        _optimizer(recipe, critic, recipe.critic_rate),
        stream(seed, "game", device=device),
    )  # fmt: skip


def new_generator(recipe: Recipe, columns: Columns) -> Generator:
    """A generator of this recipe; its weights are still to be set.
    Chapter gan-architecture, "Build it: EMR-WGAN".
    """
    with torch.random.fork_rng(devices=[]):  # torch starts layers from its global generator
        return Generator(
            recipe.latent, len(columns.condition), columns.width, recipe.width, recipe.layers,
            recipe.centered_output, columns.numbers if recipe.smooth_numbers else (),
        )  # fmt: skip


def column_means(data: Tensor) -> Tensor:
    """Mean of each matrix column; a few patients at a time, for the matrix is bytes.
    Chapter generation, "Calibration".
    """
    parts = (part.sum(dim=0, dtype=torch.float32) for part in data.split(PART))
    return sum(parts, torch.zeros(data.shape[1], device=data.device)) / len(data)


def _starting_bias(columns: Columns, prevalence: Tensor) -> Tensor:
    """Biases at which the generator's outputs have these prevalences."""
    p = prevalence.cpu().clamp(1e-6, 1 - 1e-6)
    bias = torch.where(columns.is_one_hot.cpu(), p.log(), p.logit())
    bias[prevalence.cpu() == 0] = -30.0  # never seen in train, never generated
    return bias


def _optimizer(recipe: Recipe, network: torch.nn.Module, rate: float) -> torch.optim.Optimizer:
    if recipe.optimizer == "rmsprop":
        return torch.optim.RMSprop(network.parameters(), lr=rate, alpha=0.9, eps=1e-7)
    return torch.optim.Adam(network.parameters(), lr=rate, betas=recipe.betas, fused=True)
