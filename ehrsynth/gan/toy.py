"""The family of GANs on a toy: points on a ring, two numbers each, small enough to watch.

Three members that differ in one thing each: the vanilla GAN (Goodfellow et al. 2014), the
Wasserstein GAN with clipped weights (Arjovsky et al. 2017), and with a gradient penalty
(Gulrajani et al. 2017). The game for patients is in :mod:`ehrsynth.gan.train`.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ..errors import InputError
from .losses import critic_loss, distance, generator_loss, gradient_penalty

KINDS = ("gan", "wgan", "wgan-gp")
_NOISE = 8


def ring(n: int, seed: int = 0, modes: int = 8, spread: float = 0.05) -> np.ndarray:
    """`n` points around `modes` equally likely centers on the unit circle, shape (n, 2)."""
    rng = np.random.default_rng(seed)
    return centers(modes)[rng.integers(modes, size=n)] + spread * rng.normal(size=(n, 2))


def centers(modes: int = 8) -> np.ndarray:
    """The ring's centers, shape (modes, 2)."""
    angle = 2 * np.pi * np.arange(modes) / modes
    return np.column_stack([np.cos(angle), np.sin(angle)])


def covered(points: np.ndarray, modes: int = 8, radius: float = 0.2) -> tuple[int, float]:
    """How many centers have a fair share of the points near them, and the share near any.

    A fair share is at least a quarter of what an equal distribution would give.
    """
    gap = np.linalg.norm(points[:, None] - centers(modes)[None], axis=2)
    near = gap.min(axis=1) < radius
    count = np.bincount(gap.argmin(axis=1)[near], minlength=modes)
    return int((count >= len(points) / modes / 4).sum()), float(near.mean())


def network(inputs: int, outputs: int, width: int, rng: torch.Generator) -> nn.Sequential:
    """Three layers with ReLU between them, with seeded weights."""
    layers = [nn.Linear(inputs, width), nn.Linear(width, width), nn.Linear(width, outputs)]
    for layer in layers:
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=rng)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])


def discriminator_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """Vanilla GAN: -E log sigmoid(D(real)) - E log(1 - sigmoid(D(fake)))."""
    return softplus(-real_scores).mean() + softplus(fake_scores).mean()


def fooling_loss(fake_scores: Tensor) -> Tensor:
    """Vanilla GAN, the generator's side: -E log sigmoid(D(fake))."""
    return softplus(-fake_scores).mean()


def clip_weights(critic: nn.Module, bound: float) -> None:
    """The first WGAN's way to keep the critic from being too steep."""
    with torch.no_grad():
        for weight in critic.parameters():
            weight.clamp_(-bound, bound)


@dataclass
class ToyRun:
    """What happened: `points` maps a step to generated points, `losses` to both players' losses."""

    points: dict[int, np.ndarray]
    losses: dict[int, tuple[float, float]]


def train_toy(
    kind: str, data: np.ndarray, steps: int = 1500, seed: int = 0, rate: float = 1e-3,
    betas: tuple[float, float] = (0.0, 0.9), critic_steps: int = 1, batch: int = 256,
    width: int = 64, penalty: float = 0.1, clip: float = 0.1, snapshots: int = 10,
) -> ToyRun:  # fmt: skip
    """Train one member of the family on points in the plane.

    Parameters
    ----------
    kind : {"gan", "wgan", "wgan-gp"}
    data : array, shape (n, 2)
    steps : int
        Generator steps.
    seed : int
        Same seed, same run.
    rate, betas : float, pair of float
        Adam's learning rate and averaging; (0.9, 0.999) invites mode collapse.
    critic_steps : int
        Critic steps for each generator step.
    batch, width : int
        Points per step, size of the hidden layers.
    penalty : float
        Weight of the gradient penalty (wgan-gp); clip: bound of the weights (wgan).
    snapshots : int
        How many times to look.
    """
    if kind not in KINDS:
        raise InputError(f"There is no toy GAN {kind!r}; use one of {', '.join(KINDS)}.")
    rng = torch.Generator().manual_seed(seed)
    real_points = torch.tensor(data, dtype=torch.float32)
    generator, critic = network(_NOISE, 2, width, rng), network(2, 1, width, rng)
    generator_optimizer = torch.optim.Adam(generator.parameters(), lr=rate, betas=betas)
    critic_optimizer = torch.optim.Adam(critic.parameters(), lr=rate, betas=betas)
    run = ToyRun({}, {})
    for step in range(steps + 1):
        for _ in range(critic_steps):
            real = real_points[torch.randint(len(data), (batch,), generator=rng)]
            with torch.no_grad():
                fake = generator(torch.randn(batch, _NOISE, generator=rng))
            if kind == "gan":
                loss = discriminator_loss(critic(real), critic(fake))
            elif kind == "wgan":
                loss = -distance(critic(real), critic(fake))
            else:
                slope = gradient_penalty(critic, real, fake, rng)
                loss = critic_loss(critic(real), critic(fake), slope, penalty)
            critic_optimizer.zero_grad()
            loss.backward()
            critic_optimizer.step()
            if kind == "wgan":
                clip_weights(critic, clip)
        scores = critic(generator(torch.randn(batch, _NOISE, generator=rng)))
        own_loss = fooling_loss(scores) if kind == "gan" else generator_loss(scores)
        generator_optimizer.zero_grad()
        own_loss.backward()
        generator_optimizer.step()
        if step % max(1, steps // snapshots) == 0:
            noise = torch.randn(1000, _NOISE, generator=torch.Generator().manual_seed(seed))
            run.points[step] = generator(noise).detach().numpy()
            run.losses[step] = (loss.item(), own_loss.item())
    return run
