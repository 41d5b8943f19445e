"""The critic's step with a guarantee: gradients one by one, clipped, and drowned in noise."""

import copy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ehrsynth.errors import InputError
from ehrsynth.gan.losses import critic_loss
from ehrsynth.gan.networks import Columns
from ehrsynth.gan.players import column_means, critic_step, generator_step, new_game
from ehrsynth.gan.recipe import MODERN
from ehrsynth.preprocessing.encode import Preprocessor

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

from private_training import (
    private_critic_step,
    private_gradient,
    train_private,
    without_looks,
)
from training_budget import Looks, TrainingBudget

SMALL = without_looks(replace(MODERN, width=16, layers=1, latent=8, batch=64))


@pytest.fixture(scope="module")
def played():
    """A game, and the patients of its matrix."""
    from toy import toy_patients

    encoded = Preprocessor(bins=4).fit_transform(toy_patients(64))
    data = torch.from_numpy(encoded.values)
    columns = Columns(encoded.layout, (), SMALL.score_weight)
    return new_game(SMALL, columns, column_means(data), 0, torch.device("cpu")), data


def pairs(game, data):
    real = game.columns.features(data.float())
    with torch.no_grad():
        fake = game.columns.features(game.imagine(data.float()))
    return real, fake, torch.rand(len(real), 1, generator=torch.Generator().manual_seed(1))


def own_gradient(game, real, fake, place):
    """By the plain losses, of one patient alone."""

    critic = copy.deepcopy(game.critic)
    between = torch.lerp(real, fake, place)[None].requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty = (slope.norm(dim=1) - 1).square().mean()
    loss = critic_loss(critic(real[None]), critic(fake[None]), penalty, game.recipe.penalty)
    return torch.autograd.grad(loss, list(critic.parameters()))


@pytest.mark.parametrize("most", [1e9, 1.0, 0.05])
def test_the_sum_is_that_of_a_loop_over_patients(played, most):
    game, data = copy.deepcopy(played[0]), played[1]
    real, fake, place = pairs(game, data)
    total = [torch.zeros_like(w) for w in game.critic.parameters()]
    lengths = []
    for one in zip(real, fake, place, strict=True):
        own = own_gradient(game, *one)
        length = torch.cat([g.flatten() for g in own]).norm()
        lengths.append(float(length))
        total = [t + g * min(1.0, most / float(length)) for t, g in zip(total, own, strict=True)]
    assert most > 1e6 or max(lengths) > most  # somebody is clipped
    for mine, theirs in zip(private_gradient(game, real, fake, place, most), total, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=5e-4, atol=1e-5)


def test_one_patient_moves_the_sum_by_no_more_than_the_clip(played):
    game, data = copy.deepcopy(played[0]), played[1]
    real, fake, place = pairs(game, data)
    real[0] *= 1e6  # whatever he is like
    whole = private_gradient(game, real, fake, place, 0.5)
    for row in (0, 1, 40):
        rest = [i for i in range(len(real)) if i != row]
        less = private_gradient(game, real[rest], fake[rest], place[rest], 0.5)
        moved = torch.cat([(a - b).flatten() for a, b in zip(whole, less, strict=True)]).norm()
        assert float(moved) <= 0.5 * (1 + 1e-3)


def test_what_is_no_number_moves_nothing(played):
    game, data = copy.deepcopy(played[0]), played[1]
    real, fake, place = pairs(game, data)
    real[3] = torch.inf
    total = private_gradient(game, real, fake, place, 1.0)
    assert all(bool(g.isfinite().all()) for g in total)


def test_without_clip_and_noise_it_is_the_plain_game(played):
    """Step for step the same weights of both players, as far as float32 goes.

    With plain gradient descent: Adam makes a step of what is nothing but rounding.
    """
    plain, private = copy.deepcopy(played[0]), copy.deepcopy(played[0])
    data = played[1]
    everybody, rng = torch.arange(len(data)), torch.Generator().manual_seed(0)
    for game in (plain, private):
        game.rng.manual_seed(5)
        game.critic_optimizer = torch.optim.SGD(game.critic.parameters(), lr=0.02)
        game.generator_optimizer = torch.optim.SGD(game.generator.parameters(), lr=0.02)
    before = copy.deepcopy(private.critic.state_dict())
    for _ in range(3):
        critic_step(plain, data.float())
        generator_step(plain, data.float())
        private_critic_step(private, data, everybody, len(data), 1e12, 0.0, rng)
        generator_step(private, data.float())
    for name in ("critic", "generator"):
        mine, theirs = (dict(getattr(g, name).named_parameters()) for g in (private, plain))
        for key, value in theirs.items():
            torch.testing.assert_close(mine[key], value, rtol=1e-3, atol=1e-4)
    moved = private.critic.first.weight - before["first.weight"]
    assert float(moved.detach().abs().max()) > 1e-3


def test_the_noise_is_as_large_as_it_says(played):
    game, data = copy.deepcopy(played[0]), played[1]
    nobody, rng = torch.arange(0), torch.Generator().manual_seed(0)
    private_critic_step(game, data, nobody, 10.0, 2.0, 3.0, rng)
    drawn = torch.cat([w.grad.flatten() for w in game.critic.parameters()])
    assert float(drawn.std()) == pytest.approx(2.0 * 3.0 / 10.0, rel=0.05)


def test_patients_are_drawn_each_for_himself(played, monkeypatch):
    game, data = copy.deepcopy(played[0]), played[1]
    drawn = []
    monkeypatch.setattr(
        "private_training.private_critic_step", lambda g, d, who, *rest: drawn.append(who)
    )
    monkeypatch.setattr("private_training.generator_step", lambda *_: None)
    train_private(game, data, 500, 0.25, 16.0, 1.0, 1.0, torch.Generator().manual_seed(0))
    sizes = np.array([len(who) for who in drawn])
    assert sizes.mean() == pytest.approx(16, abs=0.6)
    assert sizes.std() == pytest.approx(np.sqrt(64 * 0.25 * 0.75), rel=0.15)
    often = np.bincount(torch.cat(drawn).numpy(), minlength=64)
    assert often.min() > 85 and often.max() < 170


def test_what_looks_at_patients_elsewhere_is_refused(played):
    game = copy.deepcopy(played[0])
    game.recipe = replace(game.recipe, condition=True)
    with pytest.raises(InputError, match="without_looks"):
        train_private(game, played[1], 1, 0.5, 32.0, 1.0, 1.0, torch.Generator())


# -- what a training costs ----------------------------------------------------------------


def by_hand(history, delta):
    """Mironov, Talwar and Zhang 2019, for whole orders, and Canonne et al. 2020 for epsilon."""
    from scipy.special import gammaln, logsumexp

    found = []
    for order in range(2, 200):
        total = 0.0
        for sd, rate, times in history:
            k = np.arange(order + 1)
            if rate == 1:
                total += times * order / 2 / sd**2
                continue
            choose = gammaln(order + 1) - gammaln(k + 1) - gammaln(order - k + 1)
            terms = choose + k * np.log(rate) + (order - k) * np.log1p(-rate)
            total += times * logsumexp(terms + (k * k - k) / (2 * sd**2)) / (order - 1)
        found.append(total + np.log1p(-1 / order) - np.log(delta * order) / (order - 1))
    return min(found)


@pytest.mark.parametrize("epsilon", [1.0, 3.0, 10.0])
def test_the_sum_of_a_training_is_that_of_a_second_accountant(epsilon):
    pytest.importorskip("opacus", reason="the extra dp is not installed")
    budget = TrainingBudget(epsilon)
    budget.look("margins", 5.0, 0.3)
    budget.training("the critic's steps", 1.0, 0.01, 500)
    assert 0.97 * epsilon < budget.spent() <= epsilon
    again = by_hand(budget.history(), budget.delta - budget.for_names)
    assert 0.999 * budget.spent() < again < 1.04 * budget.spent()  # it knows whole orders only


def test_without_opacus_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "opacus.accountants", None)
    budget = TrainingBudget(1.0, looks=[Looks("steps", 1.0, 1.0, 0.01, 10)])
    with pytest.raises(InputError, match=r"pip install ehrsynth\[dp\]"):
        budget.spent()


def test_the_network_makes_patients_with_a_guarantee():
    pytest.importorskip("opacus", reason="the extra dp is not installed")
    from private_gan import PrivateGAN
    from test_guarantee import patients

    budget, small = TrainingBudget(5.0), replace(MODERN, width=16, layers=1, latent=8)
    network = PrivateGAN(small, steps=5, size=32).fit(
        patients(600), budget, np.random.default_rng(0)
    )
    made = network.sample(50)
    assert len(made) == 50 and made["age"].between(18, 91).all()
    assert 4.5 < budget.spent() <= 5.0 and len(budget.looks) == 2
