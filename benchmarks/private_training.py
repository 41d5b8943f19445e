"""The game with a guarantee: what one patient does to the critic is bounded, and drowned in noise.

Only the critic looks at patients; the generator learns from the critic, which costs nothing (Abadi
et al. 2016, "Deep learning with differential privacy"; Xie et al. 2018, "Differentially private
generative adversarial network"). Patients are drawn each for himself (Poisson sampling), as the
sum of the costs supposes. Everything else that the usual training looks at is left out: the
monitor, the history of losses, the choice of a checkpoint, the cells of outcome and sex.
"""

from dataclasses import replace

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from ehrsynth.errors import InputError
from ehrsynth.gan.losses import critic_loss, slope_penalty
from ehrsynth.gan.players import Game, generator_step
from ehrsynth.gan.recipe import Recipe
from ehrsynth.gan.train import average, set_rates

_AT_ONCE = 64  # gradients of patients held at a time


def without_looks(recipe: Recipe) -> Recipe:
    """The recipe without what looks at the patients outside of the critic's step."""
    return replace(
        recipe, penalty_share=1.0, condition=False, keep="last", looks=0, patience=0, recoveries=0,
        half_precision=False, calibration="none", pairs=False, code_counts=False, code_pairs=0.0,
        match_outcome=False,
    )  # fmt: skip


def private_gradient(game: Game, real: Tensor, fake: Tensor, place: Tensor, most: float) -> list:
    """The sum over patients of the critic's gradients, each clipped to length `most`.

    Of a patient it is the gradient of his critic loss, gradient penalty and all, with a fake
    patient of his own, at the `place` between the two. One list entry for each weight.
    """
    weights = {name: w.detach() for name, w in game.critic.named_parameters()}

    def loss(weights: dict, real: Tensor, fake: Tensor, place: Tensor) -> Tensor:
        def score(x: Tensor) -> Tensor:
            return functional_call(game.critic, weights, (x.unsqueeze(0),))[0]

        slope = grad(score)(torch.lerp(real, fake, place))
        penalty = slope_penalty(slope.unsqueeze(0))
        return critic_loss(score(real), score(fake), penalty, game.recipe.penalty)

    def clipped(real: Tensor, fake: Tensor, place: Tensor) -> dict:
        own = grad(loss)(weights, real, fake, place)
        length = torch.stack([g.square().sum() for g in own.values()]).sum().sqrt()
        factor = (most / length.clamp_min(1e-12)).clamp(max=1.0)
        return {name: torch.nan_to_num(g * factor, 0.0, 0.0, 0.0) for name, g in own.items()}

    total = [torch.zeros_like(w) for w in weights.values()]
    for start in range(0, len(real), _AT_ONCE):  # none, where nobody was drawn
        rows = slice(start, start + _AT_ONCE)
        part = vmap(clipped)(real[rows], fake[rows], place[rows])
        total = [t + g.sum(dim=0) for t, g in zip(total, part.values(), strict=True)]
    return total


def private_critic_step(
    game: Game, data: Tensor, drawn: Tensor, size: float, most: float, noise: float,
    rng: torch.Generator,
) -> None:  # fmt: skip
    """The critic learns from the patients `drawn`, without learning any of them.

    `size` is how many are drawn on average, `noise` the standard deviation in units of `most`. Each
    patient has a fake one by his number, however many others are drawn; no loss is returned, for
    nobody has paid for it. Chapter open-issues, "What a guarantee costs".
    """
    game.generator.train(game.recipe.fakes_by == "batch")
    fakes = max(2, round(size))
    with torch.no_grad():
        nobody = torch.zeros(fakes, data.shape[1], device=data.device)
        fake = game.columns.features(game.imagine(nobody))
    game.generator.train()
    real = game.columns.features(data[drawn].float())
    place = torch.rand(len(drawn), 1, generator=game.rng, device=data.device)
    total = private_gradient(game, real, fake[drawn % fakes], place, most)
    for weight, gradient in zip(game.critic.parameters(), total, strict=True):
        blur = torch.randn(gradient.shape, generator=rng, device=data.device)
        weight.grad = (gradient + (noise * most * blur if noise else 0.0)) / size
    game.critic_optimizer.step()


def train_private(
    game: Game, data: Tensor, steps: int, rate: float, size: float, most: float, noise: float,
    rng: torch.Generator,
) -> None:  # fmt: skip
    """Play so many rounds, the critic with `private_critic_step`; ``game.chosen`` generates.

    Each look of the critic draws every patient with probability `rate`, about `size` of them by
    what is known of their number; there are `steps` times ``recipe.critic_steps`` looks. `rng` has
    to stay secret. Chapter open-issues, "What a guarantee costs".
    """
    if game.recipe != without_looks(game.recipe):
        raise InputError("The recipe looks at patients outside of the critic; use without_looks.")
    nobody = torch.zeros(max(2, round(size)), data.shape[1], device=data.device)
    for step in range(1, steps + 1):
        set_rates(game, step, steps)
        for _ in range(game.recipe.critic_steps):
            lot = torch.rand(len(data), generator=rng, device=data.device)
            drawn = torch.nonzero(lot < rate)[:, 0]
            private_critic_step(game, data, drawn, size, most, noise, rng)
        generator_step(game, nobody)
        if game.recipe.averaging:
            average(game, step, steps)
    if not game.recipe.averaging:
        game.chosen.load_state_dict(game.generator.state_dict())
