"""The family of GANs on a toy: points on a ring, two numbers each, small enough to watch.

Three members that differ in one thing each: the vanilla GAN (Goodfellow et al. 2014), the
Wasserstein GAN with clipped weights (Arjovsky et al. 2017), and with a gradient penalty
(Gulrajani et al. 2017). The game for patients is in :mod:`ehrsynth.gan.players`.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ..errors import InputError
from .losses import critic_loss, distance, generator_loss, gradient_penalty

KINDS = ("gan", "wgan", "wgan-gp")
_NOISE, _WIDTH, _BATCH = 8, 64, 256  # numbers a point is made of; of the hidden layers; points


def ring(n: int, seed: int = 0, modes: int = 8, spread: float = 0.05) -> np.ndarray:
    """Points, shape (n, 2), around `modes` equally likely centers on the unit circle.

    Chapter gan-architecture, "Build it: the game".
    """
    rng = np.random.default_rng(seed)
    angle = 2 * np.pi * np.arange(modes) / modes
    centers = np.column_stack([np.cos(angle), np.sin(angle)])
    return centers[rng.integers(modes, size=n)] + spread * rng.normal(size=(n, 2))


def discriminator_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """Vanilla GAN: -E log sigmoid(D(real)) - E log(1 - sigmoid(D(fake))).

    Chapter gan-architecture, "Build it: the game".
    """
    return softplus(-real_scores).mean() + softplus(fake_scores).mean()


def fooling_loss(fake_scores: Tensor) -> Tensor:
    """Vanilla GAN, the generator's side: -E log sigmoid(D(fake)).

    Chapter gan-architecture, "A judge that goes silent".
    """
    return softplus(-fake_scores).mean()


class ToyRun(NamedTuple):
    """What happened: `points` maps a step to generated points, `losses` to both players' losses.

    Chapter gan-architecture, "Look: mode collapse".
    """

    points: dict[int, np.ndarray]
    losses: dict[int, tuple[float, float]]


def train_toy(
    kind: str, data: np.ndarray, steps: int = 1500, seed: int = 0, rate: float = 1e-3,
    betas: tuple[float, float] = (0.0, 0.9), penalty: float = 0.1, clip: float = 0.1,
    snapshots: int = 10,
) -> ToyRun:  # fmt: skip
    """Train one of :data:`KINDS` on points in the plane, and look `snapshots` times.

    `betas` are Adam's; (0.9, 0.999) invites mode collapse. `penalty` weighs the gradient penalty
    (wgan-gp), `clip` bounds the critic's weights (wgan).
    Chapter gan-architecture, "Look: WGAN with gradient penalty".
    """
    if kind not in KINDS:
        raise InputError(f"There is no toy GAN {kind!r}; use one of {', '.join(KINDS)}.")
    rng = torch.Generator().manual_seed(seed)
    points = torch.tensor(data, dtype=torch.float32)
    generator, critic = _network(_NOISE, 2, rng), _network(2, 1, rng)
    own, other = (
        torch.optim.Adam(player.parameters(), lr=rate, betas=betas)
        for player in (generator, critic)
    )
    run = ToyRun({}, {})
    for step in range(steps + 1):
        real = points[torch.randint(len(data), (_BATCH,), generator=rng)]
        with torch.no_grad():
            fake = generator(torch.randn(_BATCH, _NOISE, generator=rng))
        if kind == "gan":
            loss = discriminator_loss(critic(real), critic(fake))
        elif kind == "wgan":
            loss = -distance(critic(real), critic(fake))
        else:
            slope = gradient_penalty(critic, real, fake, rng)
            loss = critic_loss(critic(real), critic(fake), slope, penalty)
        _descend(other, loss)
        if kind == "wgan":  # so that the critic is not too steep
            with torch.no_grad():
                for weight in critic.parameters():
                    weight.clamp_(-clip, clip)
        scores = critic(generator(torch.randn(_BATCH, _NOISE, generator=rng)))
        own_loss = fooling_loss(scores) if kind == "gan" else generator_loss(scores)
        _descend(own, own_loss)
        if step % max(1, steps // snapshots) == 0:
            noise = torch.randn(1000, _NOISE, generator=torch.Generator().manual_seed(seed))
            run.points[step] = generator(noise).detach().numpy()
            run.losses[step] = (loss.item(), own_loss.item())
    return run


def _network(inputs: int, outputs: int, rng: torch.Generator) -> nn.Sequential:
    """Three layers with ReLU between them, with seeded weights."""
    layers = [nn.Linear(inputs, _WIDTH), nn.Linear(_WIDTH, _WIDTH), nn.Linear(_WIDTH, outputs)]
    for layer in layers:
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=rng)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
