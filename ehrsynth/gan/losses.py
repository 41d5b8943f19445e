"""The losses of WGAN-GP (Gulrajani et al. 2017, "Improved training of Wasserstein GANs")."""

from collections.abc import Callable

import torch
from torch import Tensor


def distance(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """The critic's estimate of how far fake patients are from real: E D(real) - E D(fake).

    Chapter gan-architecture, "Look: WGAN with gradient penalty".

    Parameters
    ----------
    real_scores, fake_scores : tensor, shape (n,)

    Returns
    -------
    tensor
    """
    return real_scores.mean() - fake_scores.mean()


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, generator: torch.Generator
) -> Tensor:
    """Mean of ``(|grad D(x)| - 1)^2`` at random points x between real and fake patients.

    Chapter gan-architecture, "Look: WGAN with gradient penalty".

    Parameters
    ----------
    critic : callable
        Features (n, width) to scores (n,).
    real, fake : tensor, shape (n, width)
    generator : torch.Generator

    Returns
    -------
    tensor
    """
    place = torch.rand(len(real), 1, generator=generator, device=real.device)
    between = torch.lerp(real, fake, place).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (slope.norm(dim=1) - 1).square().mean()


def critic_loss(real_scores: Tensor, fake_scores: Tensor, penalty: Tensor, weight: float) -> Tensor:
    """What the critic minimizes: -(E D(real) - E D(fake)) + weight * penalty.

    Chapter gan-architecture, "Look: WGAN with gradient penalty".

    Parameters
    ----------
    real_scores, fake_scores : tensor, shape (n,)
    penalty, weight : tensor, float

    Returns
    -------
    tensor
    """
    return -distance(real_scores, fake_scores) + weight * penalty


def generator_loss(fake_scores: Tensor) -> Tensor:
    """What the generator minimizes: -E D(fake).

    Chapter gan-architecture, "Look: WGAN with gradient penalty".

    Parameters
    ----------
    fake_scores : tensor, shape (n,)

    Returns
    -------
    tensor
    """
    return -fake_scores.mean()
