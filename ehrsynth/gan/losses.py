"""The losses of WGAN-GP and of the first GAN, an equation each.

Gulrajani et al. 2017, "Improved training of Wasserstein GANs"; Goodfellow et al. 2014, "Generative
adversarial nets". Scores have shape (n,), patients (n, width).
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus


def distance(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """The critic's estimate of how far fake patients are from real: E D(real) - E D(fake).
    Chapter gan-architecture, "Look: WGAN with gradient penalty".
    """
    return real_scores.mean() - fake_scores.mean()


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, generator: torch.Generator
) -> Tensor:
    """Mean of ``(|grad D(x)| - 1)^2`` at random points x between real and fake patients.
    Chapter gan-architecture, "Look: WGAN with gradient penalty".
    """
    place = torch.rand(len(real), 1, generator=generator, device=real.device)
    between = torch.lerp(real, fake, place).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return slope_penalty(slope)


def slope_penalty(slope: Tensor) -> Tensor:
    """Mean of ``(|slope| - 1)^2`` over patients, shape (n, width).
    Chapter gan-architecture, "Look: WGAN with gradient penalty".
    """
    return (slope.norm(dim=1) - 1).square().mean()


def critic_loss(real_scores: Tensor, fake_scores: Tensor, penalty: Tensor, weight: float) -> Tensor:
    """What the critic minimizes: -(E D(real) - E D(fake)) + weight * penalty.
    Chapter gan-architecture, "Look: WGAN with gradient penalty".
    """
    return -distance(real_scores, fake_scores) + weight * penalty


def generator_loss(fake_scores: Tensor) -> Tensor:
    """What the generator minimizes: -E D(fake).
    Chapter gan-architecture, "Look: WGAN with gradient penalty".
    """
    return -fake_scores.mean()


def discriminator_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """First GAN: -E log sigmoid(D(real)) - E log(1 - sigmoid(D(fake))).
    Chapter gan-architecture, "Build it: the game".
    """
    return softplus(-real_scores).mean() + softplus(fake_scores).mean()


def fooling_loss(fake_scores: Tensor) -> Tensor:
    """First GAN, the generator's side: -E log sigmoid(D(fake)).
    Chapter gan-architecture, "A judge that goes silent".
    """
    return softplus(-fake_scores).mean()
