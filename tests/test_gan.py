"""The GAN: its pieces against their equations, then training, stopping, sampling, saving."""

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import described
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from toy import toy_patients

from ehrsynth.errors import InputError
from ehrsynth.gan import monitor as quality_monitor
from ehrsynth.gan import players
from ehrsynth.gan import train as training
from ehrsynth.gan.losses import critic_loss, distance, generator_loss, gradient_penalty
from ehrsynth.gan.monitor import QUALITY, Monitor, _collapse, _light_test, _pair_agreement
from ehrsynth.gan.networks import Columns, Critic, Generator
from ehrsynth.gan.players import (
    _starting_bias,
    column_means,
    critic_step,
    generator_step,
    new_game,
    stream,
)
from ehrsynth.gan.recipe import MODERN, PAPER, Recipe
from ehrsynth.gan.train import TrainingError, set_rates
from ehrsynth.generation.calibration import calibrate, refresh_statistics
from ehrsynth.generation.counts import Counts
from ehrsynth.generation.decode import postprocess
from ehrsynth.generation.draw import choose_cells, draw_in_turn, spread
from ehrsynth.generation.pairs import _chance, calibrate_pairs
from ehrsynth.generation.tabulate import co_occurrences, cross_tabulate
from ehrsynth.model import EMRWGAN
from ehrsynth.preprocessing.encode import Preprocessor
from ehrsynth.preprocessing.matrix import Block, Encoded
from ehrsynth.statistics import two_sample_test

SMALL = {"width": 32, "layers": 2, "latent": 8, "batch": 64}
SMALL_MODERN = dataclasses.replace(MODERN, **SMALL)
SMALL_PAPER = dataclasses.replace(PAPER, **SMALL, generator_rate=1e-3, critic_rate=2e-3)


@pytest.fixture(scope="module")
def encoded() -> Encoded:
    train = toy_patients(600)
    return Preprocessor().fit(train).transform(train)


@pytest.fixture(scope="module")
def scaled() -> Encoded:
    train = toy_patients(600)
    return Preprocessor.for_recipe("paper").fit(train).transform(train)


@pytest.fixture(scope="module")
def trained(encoded) -> EMRWGAN:
    return EMRWGAN(SMALL_MODERN, steps=60).fit(encoded)


@pytest.fixture(scope="module")
def begun(encoded) -> EMRWGAN:
    """For what is equal, or is not, after a third of these steps already."""
    return EMRWGAN(SMALL_MODERN, steps=20).fit(encoded)


def same_weights(one: EMRWGAN, other: EMRWGAN) -> bool:
    a, b = one.generator_.state_dict(), other.generator_.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


# -- the losses --------------------------------------------------------------------------


def test_losses_are_their_equations():
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.0, -2.0])
    assert distance(real, fake) == 3
    assert critic_loss(real, fake, torch.tensor(0.5), weight=10) == -3 + 5
    assert generator_loss(fake) == 1


def test_penalty_of_a_linear_critic_is_known():
    rng = torch.Generator().manual_seed(0)
    real, fake = torch.rand(7, 2), torch.rand(7, 2)
    slope = torch.tensor([3.0, 4.0])  # of length 5
    penalty = gradient_penalty(lambda x: x @ slope, real, fake, rng)
    assert penalty.item() == pytest.approx((5 - 1) ** 2)


def test_penalty_is_taken_between_real_and_fake():
    rng = torch.Generator().manual_seed(0)
    seen = []

    def critic(x):
        seen.append(x.detach())
        return x.sum(dim=1)

    gradient_penalty(critic, torch.zeros(50, 3), torch.ones(50, 3), rng)
    place = seen[0]
    assert (place >= 0).all() and (place <= 1).all()
    assert torch.allclose(place[:, 0], place[:, 2])  # one place for each pair
    assert place[:, 0].std() > 0.2


# -- the networks ------------------------------------------------------------------------


def test_networks_have_the_published_shape():
    generator = Generator(PAPER.latent, 0, 1460, PAPER.width, PAPER.layers)
    critic = Critic(1460, PAPER.width, PAPER.layers)
    count = sum(p.numel() for p in generator.parameters())
    dense = 128 * 384 + 384 + 4 * (384 * 384 + 384) + 384 * 1460 + 1460
    assert count == dense + 5 * 2 * 384 and round(count / 1e6, 2) == 1.21
    count = sum(p.numel() for p in critic.parameters())
    assert count == 1460 * 384 + 384 + 4 * (384 * 384 + 384) + 385 + 5 * 2 * 384
    assert round(count / 1e6, 2) == 1.16
    assert {norm.momentum for norm in generator.norms} == {0.01}  # Keras says 0.99
    assert generator(torch.randn(4, 128), torch.empty(4, 0)).shape == (4, 1460)
    assert critic(torch.rand(4, 1460)).shape == (4,)


def test_the_critic_judges_each_patient_alone():
    critic = Critic(10, 16, 2)
    x = torch.rand(6, 10)
    assert torch.allclose(critic(x)[2], critic(x[2:3])[0], atol=1e-6)


layouts = st.lists(
    st.one_of(st.just(("binary", 1)), st.just(("scalar", 1)),
              st.tuples(st.sampled_from(["category", "bins"]), st.integers(1, 6))),
    min_size=1, max_size=8,
)  # fmt: skip


def make_layout(shapes) -> tuple[Block, ...]:
    return tuple(
        Block(
            f"c{i}", kind, "feature", tuple(map(str, range(width))) if width > 1 else ("0",),
            tuple(float(j) for j in range(width)) if kind == "bins" else (),
        )
        for i, (kind, width) in enumerate(shapes)
    )  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(shapes=layouts, seed=st.integers(0, 10**6))
def test_any_layout_gives_proper_codes(shapes, seed):
    layout = make_layout(shapes)
    columns = Columns(layout)
    rng = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(9, columns.width, generator=rng)
    p = columns.probabilities(logits)
    start = 0
    for draw in (columns.draw(p, rng), columns.round(p)):
        start = 0
        for block in layout:
            here = slice(start, start + block.width)
            if block.kind in ("category", "bins"):
                assert torch.allclose(p[:, here], torch.softmax(logits[:, here], dim=1))
                assert (draw[:, here].sum(dim=1) == 1).all()
            else:
                assert torch.allclose(p[:, here], torch.sigmoid(logits[:, here]))
            if block.kind == "scalar":
                assert torch.equal(draw[:, here], p[:, here])
            else:
                assert ((draw[:, here] == 0) | (draw[:, here] == 1)).all()
            start += block.width


def test_codes_are_drawn_with_their_probabilities():
    columns = Columns(make_layout([("binary", 1), ("category", 3)]))
    p = torch.tensor([[0.2, 0.5, 0.1, 0.4]]).expand(20_000, -1)
    share = columns.draw(p, torch.Generator().manual_seed(0)).mean(dim=0)
    assert torch.allclose(share, p[0], atol=0.012)


def test_straight_through_has_codes_forward_and_the_probabilities_gradient():
    columns = Columns(make_layout([("binary", 1), ("category", 3)]))
    logits = torch.randn(50, 4, requires_grad=True)
    weight = torch.randn(4)
    codes = columns.straight_through(columns.probabilities(logits), torch.Generator())
    assert torch.allclose(codes, codes.round(), atol=1e-6)
    (through,) = torch.autograd.grad((codes @ weight).sum(), logits)
    (plain,) = torch.autograd.grad((columns.probabilities(logits) @ weight).sum(), logits)
    assert torch.allclose(through, plain)


def test_the_critic_is_shown_the_normal_scores(encoded):
    columns = Columns(encoded.layout, score_weight=0.5)
    x = torch.from_numpy(encoded.values[:5]).float()
    seen = columns.features(x)
    block = next(b for b in encoded.layout if b.name == "age")
    expected = 0.5 * np.array(block.scores)[encoded["age"][:5].argmax(axis=1)]
    assert torch.equal(seen[:, : columns.width], x)
    assert np.allclose(seen[:, columns.width], expected, atol=1e-6)
    assert Columns(encoded.layout).feature_width == columns.width


def test_a_centered_output_keeps_prevalences_apart_from_the_weights():
    plain, centered = (Generator(8, 0, 6, 32, 2, centered=c) for c in (False, True))
    noise, nothing = torch.randn(500, 8), torch.empty(500, 0)
    moved = []
    for generator in (plain, centered):
        with torch.no_grad():
            before = generator(noise, nothing).mean(dim=0)
            generator.last.weight += 0.1  # every weight alike, as first steps do
            moved.append((generator(noise, nothing).mean(dim=0) - before).abs().max())
    assert moved[0] > 1 and moved[1] < 1e-4


def test_smooth_numbers_move_as_polynomials_of_their_scores(encoded):
    columns = Columns(encoded.layout)
    rough, smooth = (
        Generator(8, 0, columns.width, 32, 2, smooth=numbers).eval()
        for numbers in ((), columns.numbers)
    )
    for generator in (rough, smooth):
        with torch.no_grad():
            moved = generator(torch.randn(50, 8), torch.empty(50, 0)) - generator.last.bias
        left = 0.0
        for block in encoded.layout:
            if block.kind == "bins":
                scores = np.array(block.scores[:-1])
                where = encoded.slice(block.name)
                bins = moved[:, where.start : where.stop - 1].numpy().T
                powers = scores[:, None] ** np.arange(5)
                left += np.abs(bins - powers @ np.linalg.lstsq(powers, bins)[0]).max()
        assert (left < 1e-3) == (generator is smooth)
    assert smooth.state_dict().keys() == rough.state_dict().keys()


def test_generation_starts_at_the_prevalences_of_train(encoded):
    prevalence = torch.from_numpy(encoded.values).float().mean(dim=0)
    columns = Columns(encoded.layout)
    p = columns.probabilities(_starting_bias(columns, prevalence).unsqueeze(0))[0]
    assert torch.allclose(p, prevalence, atol=1e-5)


# -- after training ----------------------------------------------------------------------


def test_refreshed_statistics_are_those_of_the_weights():
    generator = Generator(4, 1, 5, 16, 1)
    nothing = torch.zeros(100, 1)
    refresh_statistics(generator, nothing, 4, torch.Generator().manual_seed(0))
    noise = torch.randn(20_000, 4)
    first = generator.first(torch.cat([noise, torch.zeros(20_000, 1)], dim=1))
    assert not generator.training
    assert torch.allclose(generator.norms[0].running_mean, first.mean(dim=0), atol=0.03)
    assert torch.allclose(generator.norms[0].running_var, first.var(dim=0), rtol=0.05)


@pytest.mark.parametrize("within", [False, True])
def test_calibration_reaches_the_prevalences_of_train(encoded, within):
    data = torch.from_numpy(encoded.values)
    columns = Columns(encoded.layout, ["DIE_1y", "sex"])
    generator = Generator(8, 3, columns.width, 32, 2).eval()
    groups, counts, prevalence = cross_tabulate(data, columns)
    rng = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    with torch.no_grad():
        shift = calibrate(generator, columns, groups, counts, prevalence, 8, rng, within)
        p = torch.stack(
            [
                columns.probabilities(
                    generator(torch.randn(8000, 8), g.float().expand(8000, -1)) + s
                ).mean(dim=0)
                for g, s in zip(groups, shift, strict=True)
            ]
        )
    learned = ~columns.is_given
    overall = (counts / counts.sum()) @ p
    assert (overall - data.float().mean(dim=0))[learned].abs().max() < 0.012
    error = ((p - prevalence).abs() * counts.unsqueeze(1) / counts.sum())[:, learned].sum(0).mean()
    if within:
        assert error < 0.01
        # Nobody of the other sex has it in train; a few prior patients keep it from zero.
        at = encoded.slice("phe_0").start
        women = groups[:, 1] == 1
        share = (p[women, at] @ counts[women]) / counts[women].sum()
        assert share < 0.35 * overall[at]
    else:
        assert error > 0.01


def paired(n: int, rng: torch.Generator) -> tuple[tuple[Block, ...], torch.Tensor]:
    """Patients whose second number follows the first, and whose code follows the second."""
    layout = (
        Block("died", "binary", "outcome", ("0", "1")),
        Block("high", "bins", "measurement", ("low", "middle", "high"), (-1.0, 0.0, 1.0)),
        Block("low", "bins", "measurement", ("low", "middle", "high"), (-1.0, 0.0, 1.0)),
        Block("code", "binary", "diagnosis", ("0", "1")),
    )
    died = torch.rand(n, generator=rng) < 0.2
    first = torch.randint(3, (n,), generator=rng)
    follows = torch.rand(n, generator=rng) < 0.8
    second = torch.where(follows, first, torch.randint(3, (n,), generator=rng))
    code = torch.rand(n, generator=rng) < torch.where(second == 2, 0.5, 0.1) + 0.2 * died
    one_hot = torch.nn.functional.one_hot
    parts = [died[:, None], one_hot(first, 3), one_hot(second, 3), code[:, None]]
    return layout, torch.cat([part.float() for part in parts], dim=1)


def everybody_of(cells) -> torch.Tensor:
    """One group, to which all cells belong."""
    return torch.ones(1, len(cells), dtype=torch.bool)


def test_pairs_are_as_frequent_as_in_train():
    rng = torch.Generator().manual_seed(0)
    layout, data = paired(20_000, rng)
    columns = Columns(layout, ["died"])
    groups, counts, prevalence = cross_tabulate(data, columns)
    cell = choose_cells(counts, 20_000, rng)
    alone = _starting_bias(columns, data.mean(dim=0)).expand(20_000, -1)  # no column knows another

    def made(logits: torch.Tensor, drawn: torch.Tensor | None = None) -> torch.Tensor:
        x = columns.draw(columns.probabilities(logits), rng)
        if drawn is not None:
            x = torch.where(drawn.sum(dim=0) > 0, drawn, x)
        x[:, 0] = groups[cell, 0]
        return x

    everybody, both = everybody_of(groups), co_occurrences(data, columns)[None]
    shift, pairs = calibrate_pairs(columns, alone, cell, counts, prevalence, both, everybody, rng)
    after = made(*draw_in_turn(columns, alone + shift[cell], cell, pairs, everybody, rng))
    real, before = data.T @ data / len(data), made(alone)
    assert (before.T @ before / len(before) - real).abs().max() > 0.1
    assert (after.T @ after / len(after) - real).abs().max() < 0.015
    assert (pairs[0].T[columns.turns[0]] == 0).all()  # the first block follows nothing


def test_pairs_that_depend_on_the_outcome():
    """Survivors have the same value twice, the others two different ones."""
    rng = torch.Generator().manual_seed(0)
    n, one_hot = 20_000, torch.nn.functional.one_hot
    layout = (
        Block("died", "binary", "outcome", ("0", "1")),
        Block("first", "category", "demographic", ("a", "b")),
        Block("second", "category", "demographic", ("a", "b")),
    )
    died, first = torch.rand(n, generator=rng) < 0.3, torch.randint(2, (n,), generator=rng)
    usual = torch.rand(n, generator=rng) < 0.9
    second = torch.where(usual ^ died, first, 1 - first)
    data = torch.cat([died[:, None], one_hot(first), one_hot(second)], dim=1).float()
    columns = Columns(layout, ["died"])
    given, counts, prevalence = cross_tabulate(data, columns)
    cell = choose_cells(counts, n, rng)
    alone = _starting_bias(columns, data.mean(dim=0)).expand(n, -1)
    groups = torch.stack([torch.ones(2, dtype=torch.bool), given[:, 0] == 1])
    both = torch.stack([co_occurrences(data, columns), co_occurrences(data[died], columns)])

    def alike(most: int) -> list[float]:
        """Share who have the same value twice, of the survivors and of the others."""
        shift, pairs = calibrate_pairs(
            columns, alone, cell, counts, prevalence, both[:most], groups[:most], rng
        )
        logits = alone + shift[cell]
        _, drawn = draw_in_turn(columns, logits, cell, pairs, groups[:most], rng)
        same = (drawn[:, 1] == drawn[:, 3]).float()
        return [float(same[given[cell, 0] == value].mean()) for value in (0, 1)]

    assert alike(2) == pytest.approx([0.9, 0.1], abs=0.02)
    assert alike(1) == pytest.approx([0.66, 0.66], abs=0.02)  # of both together


def test_a_pair_that_few_patients_tell_about_hardly_moves():
    rng = torch.Generator().manual_seed(0)
    layout, data = paired(12, rng)
    columns = Columns(layout, ["died"])
    groups, counts, prevalence = cross_tabulate(data, columns)
    cell = choose_cells(counts, 20_000, rng)
    logits = _starting_bias(columns, data.mean(dim=0)).expand(20_000, -1)
    everybody, both = everybody_of(groups), co_occurrences(data, columns)[None]
    many, few = (
        calibrate_pairs(
            columns, logits, cell, times * counts, prevalence, times * both, everybody, rng
        )
        for times in (1_000, 1)
    )
    assert 2.5 * few[1].abs().max() < many[1].abs().max()


def test_a_table_does_not_copy_the_accidents_of_train():
    rng = torch.Generator().manual_seed(0)
    layout = tuple(
        Block(name, "category", "demographic", tuple("abcdefgh")) for name in ("first", "second")
    )
    columns = Columns(layout)
    first, second = columns.turns
    one_hot = torch.nn.functional.one_hot
    # Two columns that know nothing of each other, and a model that has it right.
    parts = [one_hot(torch.randint(8, (800,), generator=rng), 8) for _ in range(2)]
    train = torch.cat(parts, dim=1).float()
    logits = _starting_bias(columns, train.mean(dim=0)).expand(20_000, -1)
    _, counts, prevalence = cross_tabulate(train, columns)
    both = co_occurrences(train, columns)
    shift, pairs = calibrate_pairs(
        columns, logits, torch.zeros(20_000, dtype=torch.long), counts, prevalence, both[None],
        everybody_of([0]), rng,
    )  # fmt: skip
    expected = both[first, first].diag()[:, None] * both[second, second].diag()[None] / 800
    accident = (both[first, second] / expected).log()
    assert accident.std() > 0.2 and pairs[0, first, second].std() < accident.std() / 4
    assert shift.abs().max() < 0.1


def test_the_prior_is_as_wide_as_the_effects_are():
    rng = torch.Generator().manual_seed(0)
    information = 20 + 200 * torch.rand(3, 20_000, generator=rng)
    effects = torch.tensor([[0.0], [0.1], [0.5]]) * torch.randn(3, 20_000, generator=rng)
    chance = information.sqrt() * torch.randn(3, 20_000, generator=rng)
    prior = _chance(information * effects + chance, information).median(dim=1).values
    assert prior[0] > 2_000 and abs(prior[1] / 100 - 1) < 0.1 and abs(prior[2] / 4 - 1) < 0.3
    # One pair of many that belongs together stands for itself.
    apart = torch.zeros(1, 500)
    apart[0, 7] = 100.0
    prior = _chance(apart, torch.full((1, 500), 100.0))
    assert prior[0, 7] < 1.1 and prior[0, 8] > 1e4


def drawn_values(logits: torch.Tensor, cell: torch.Tensor, seed: int) -> torch.Tensor:
    """0/1 of one block's values, as often as the logits say."""
    layout = (Block("x", "category", "demographic", tuple("abcde"[: logits.shape[1]])),)
    width, rng = logits.shape[1], torch.Generator().manual_seed(seed)
    nothing, everybody = torch.zeros(1, width, width), everybody_of(cell.unique())
    _, drawn = draw_in_turn(Columns(layout), logits, cell, nothing, everybody, rng)
    return drawn


def test_values_are_drawn_as_often_as_their_probabilities_say_for_each_patient():
    rng = torch.Generator().manual_seed(0)
    logits, cell = 2 * torch.randn(60, 5, generator=rng), torch.arange(60) // 20
    rounds = 4_000
    mean = sum(drawn_values(logits, cell, seed) for seed in range(rounds)) / rounds
    p = torch.softmax(logits, dim=1)
    assert ((mean - p).abs() < 5 * (p * (1 - p) / rounds).sqrt() + 1e-3).all()


def test_values_are_drawn_evenly_within_the_cells():
    rng = torch.Generator().manual_seed(0)
    logits, cell = torch.randn(6_000, 4, generator=rng), (torch.arange(6_000) // 1_700).clamp_max(2)
    logits[:, 2] = -200.0  # impossible
    p, made = torch.softmax(logits, dim=1), drawn_values(logits, cell, seed=1)
    assert (made.sum(dim=1) == 1).all() and made[:, 2].sum() == 0
    for one in range(3):
        own = cell == one
        gap = made[own].sum(dim=0) - p[own].sum(dim=0)
        assert gap[0].abs() < 1.01
        chance = (p[own] * (1 - p[own])).sum(dim=0).sqrt()  # of independent draws
        assert (gap.abs() <= 1.5 * chance + 1e-3).all()
        assert gap.norm() < chance.norm()


def test_cells_come_as_often_as_they_are_in_train():
    rng = torch.Generator().manual_seed(0)
    cell = choose_cells(torch.tensor([10.0, 0.0, 30.0, 60.0]), 1_000, rng)
    assert torch.bincount(cell).tolist() == [100, 0, 300, 600]
    assert (cell.diff() >= 0).all()  # one cell after another
    single = [int(choose_cells(torch.tensor([1.0, 0.0, 3.0]), 1, rng)) for _ in range(400)]
    assert set(single) == {0, 2} and 60 < single.count(0) < 140
    assert choose_cells(torch.tensor([0.0, 2.0]), 3, rng).tolist() == [1, 1, 1]


def test_spread_numbers_are_uniform_and_even_within_the_cells():
    rng = torch.Generator().manual_seed(0)
    p = torch.rand(9_000, 50, generator=rng) * 0.3
    parts = torch.randint(3, (9_000,), generator=rng).split(2_500)
    cell = torch.cat([part.sort().values for part in parts])
    phase = torch.rand(3, 50, dtype=torch.double, generator=rng)
    pieces = zip(p.split(2_500), cell.split(2_500), strict=True)
    uniform = torch.cat([spread(a, b, phase) for a, b in pieces])
    assert uniform.min() >= 0 and uniform.max() < 1
    edges = torch.quantile(uniform.flatten()[::7], torch.linspace(0, 1, 11, dtype=torch.double))
    assert (edges - torch.linspace(0, 1, 11)).abs().max() < 0.02
    hits = (uniform < p).double()
    for own in range(3):  # even over the pieces together
        apart = hits[cell == own].sum(dim=0) - p[cell == own].double().sum(dim=0)
        assert apart.abs().max() < 1 + 1e-6
    # Given the probabilities, codes know nothing of each other.
    left = hits - p
    assert torch.corrcoef(left.T).fill_diagonal_(0).abs().max() < 0.06


def counted_layout(codes: int) -> tuple[Block, ...]:
    return (
        Block("sex", "category", "demographic", ("F", "M")),
        Block("age", "category", "demographic", ("young", "middle", "old")),
        *(Block(f"d{i}", "binary", "diagnosis", ("0", "1")) for i in range(codes)),
    )


def counted_patients(age: torch.Tensor, sex: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    one_hot = torch.nn.functional.one_hot
    return torch.cat([one_hot(sex, 2), one_hot(age, 3), codes.long()], dim=1).to(torch.uint8)


def test_everybody_has_as_many_codes_as_in_train():
    rng = torch.Generator().manual_seed(0)
    columns = Columns(counted_layout(40), ["sex"])
    sex, age = (torch.randint(k, (8_000,), generator=rng) for k in (2, 3))
    p = torch.rand(8_000, 40, generator=rng) * 0.15
    made = counted_patients(age, sex, torch.bernoulli(p, generator=rng))
    number = 3 + 2 * sex + 4 * (age == 2)  # women 3, men 5, and 4 more when old
    first = torch.arange(40) < number.unsqueeze(1)
    real = counted_patients(age, sex, first)
    counts = Counts.fit(columns, made, sex, real, sex, co_occurrences(real, columns))
    group = counts.group(made, sex)
    uniform = torch.rand(p.shape, generator=rng, dtype=torch.double)
    drawn = counts.draw(p, uniform, group, rng)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert (drawn.sum(dim=1) == number).float().mean() > 0.98
    # With more codes for all, the more probable ones are still the more frequent ones.
    likely = drawn[p > 0.1].mean() / drawn[p < 0.05].mean()
    assert 2 < likely < 8


def test_counts_that_are_right_already_stay():
    rng = torch.Generator().manual_seed(0)
    columns = Columns(counted_layout(30), ["sex"])
    sex, age = (torch.randint(k, (40_000,), generator=rng) for k in (2, 3))
    p = torch.rand(40_000, 30, generator=rng) * torch.rand(40_000, 1, generator=rng)
    codes = torch.bernoulli(p, generator=rng)
    made = counted_patients(age, sex, codes)
    counts = Counts.fit(columns, made, sex, made, sex, co_occurrences(made, columns))
    uniform = torch.rand(p.shape, generator=rng, dtype=torch.double)
    drawn = counts.draw(p, uniform, counts.group(made, sex), rng)
    before, after = (torch.bincount(x.sum(dim=1).long(), minlength=31) for x in (codes, drawn))
    assert (before - after).abs().max() < 0.01 * 40_000
    assert (drawn.mean(dim=0) - p.mean(dim=0)).abs().max() < 0.015
    assert (counts.draw(torch.zeros(5, 30), uniform[:5], sex[:5], rng).sum(dim=1) >= 0).all()


@pytest.mark.parametrize("given", [["sex"], ["sex", "age"]])
def test_a_cell_of_one_patient_has_counts_too(given):
    """Hundreds are generated to count, and nobody of that cell need be among them."""
    rng = torch.Generator().manual_seed(0)
    columns = Columns(counted_layout(10), given)
    sex, age = torch.zeros(500, dtype=torch.long), torch.randint(3, (500,), generator=rng)
    codes = torch.bernoulli(torch.full((500, 10), 0.3), generator=rng)
    made = counted_patients(age, sex, codes)
    real_sex = sex.clone()
    real_sex[0] = 1
    real = counted_patients(age, real_sex, codes)
    counts = Counts.fit(columns, made, sex, real, real_sex, co_occurrences(real, columns))
    one = counted_patients(age, torch.ones_like(sex), codes)
    uniform = torch.rand(500, 10, generator=rng)
    p = torch.full((500, 10), 0.3)
    drawn = counts.draw(p, uniform, counts.group(one, torch.ones_like(sex)), rng)
    assert 1 < drawn.sum(dim=1).mean() < 5


def test_cells_are_the_combinations_in_train(encoded):
    data = torch.from_numpy(encoded.values)
    columns = Columns(encoded.layout, ["DIE_1y", "sex"])
    groups, counts, prevalence = cross_tabulate(data, columns)
    assert groups.shape == (4, 3) and counts.sum() == 600
    overall = (counts / 600) @ prevalence
    assert torch.allclose(overall, data.float().mean(dim=0), atol=1e-6)


# -- training ----------------------------------------------------------------------------


@pytest.mark.parametrize("switch", ["generator", "critic"])
def test_each_step_changes_its_own_player_only(encoded, switch):
    columns = Columns(encoded.layout, ["DIE_1y", "sex"], 0.7)
    data = torch.from_numpy(encoded.values)
    game = new_game(SMALL_MODERN, columns, data.float().mean(dim=0), 0, torch.device("cpu"))
    before = {
        name: [p.clone() for p in getattr(game, name).parameters()]
        for name in ("generator", "critic")
    }
    {"generator": generator_step, "critic": critic_step}[switch](game, data[:64].float())
    for name, old in before.items():
        new = list(getattr(game, name).parameters())
        changed = [not torch.equal(a, b) for a, b in zip(old, new, strict=True)]
        # (the biases before a batch norm have no effect, so Adam leaves them alone)
        assert any(changed) == (name == switch)


def test_training_improves_on_the_start(encoded):
    # From scratch: with a centered output only the biases could move the prevalences, slowly.
    recipe = dataclasses.replace(SMALL_MODERN, prevalence_bias=False, centered_output=False)
    gan = EMRWGAN(recipe, steps=200).fit(encoded)
    errors = gan.history_["prevalence_error"]
    assert errors.iloc[-1] < 0.5 * errors.iloc[0]


def test_history_has_a_row_every_twenty_steps(trained):
    history = trained.history_
    assert history["step"].tolist() == [20, 40, 60]
    assert list(history.columns) == [
        "step", "epoch", "critic_loss", "distance", "penalty", "generator_loss",
        "prevalence_error", *QUALITY, "seconds",
    ]  # fmt: skip
    assert np.isfinite(history.drop(columns=list(QUALITY))).all(axis=None)
    assert history[list(QUALITY)].notna().all(axis=1).tolist() == [False, False, True]
    expected = -history["distance"] + 10 * history["penalty"]
    assert np.allclose(history["critic_loss"], expected, rtol=1e-4, atol=1e-4)


def test_same_seed_same_model_other_seed_another(encoded, begun):
    again = EMRWGAN(SMALL_MODERN, steps=20).fit(encoded)
    other = EMRWGAN(SMALL_MODERN, seed=1, steps=20).fit(encoded)
    assert same_weights(again, begun) and not same_weights(other, begun)


def test_training_leaves_the_global_random_state_alone(encoded):
    torch.manual_seed(5)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    EMRWGAN(SMALL_MODERN, steps=3).fit(encoded).sample(10)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


@pytest.mark.parametrize(
    ("switch", "value"),
    [
        ("sampled_codes", False), ("score_weight", 0.0), ("prevalence_bias", False),
        ("centered_output", False), ("penalty_share", 1.0),
        ("smooth_numbers", False), ("pairs", False), ("code_pairs", 0.5), ("code_counts", False),
        ("condition", False), ("averaging", 0.0), ("refresh_statistics", False),
        ("calibration", "none"), ("calibration", "global"), ("optimizer", "rmsprop"),
        ("critic_steps", 2), ("decay_from", 1.0), ("match_outcome", True), ("keep", "last"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Step 20 of training")
def test_every_switch_can_be_turned_alone(encoded, begun, switch, value):
    recipe = dataclasses.replace(SMALL_MODERN, **{switch: value})
    gan = EMRWGAN(recipe, steps=20).fit(encoded)
    sample = gan.sample(200)
    assert sample.values.shape == (200, encoded.values.shape[1])
    same = np.array_equal(sample.values, begun.sample(200).values)
    # Rejection has nothing to do when the outcome is given, and `pairs` looks within the cells.
    assert same == (switch == "match_outcome" or value == "global")


@pytest.mark.parametrize("able", [True, False])
def test_half_precision_is_used_where_the_processor_has_it(encoded, monkeypatch, able):
    monkeypatch.setattr(players, "_has_bfloat16", lambda device: able)
    half, single = (
        EMRWGAN(dataclasses.replace(SMALL_MODERN, half_precision=value), steps=20).fit(encoded)
        for value in (True, False)
    )
    assert same_weights(half, single) != able
    weights = half.generator_.state_dict().values()
    assert all(w.dtype == torch.float32 for w in weights if w.is_floating_point())
    # Rounding to 8 bits moves the losses a little, not much.
    gap = (half.history_["critic_loss"] / single.history_["critic_loss"] - 1).abs().max()
    assert gap < 0.1


def test_looks_that_decide_nothing_change_nothing(encoded):
    last = dataclasses.replace(SMALL_MODERN, keep="last")
    watched = EMRWGAN(last, steps=20).fit(encoded)
    alone = EMRWGAN(dataclasses.replace(last, looks=0), steps=20).fit(encoded)
    assert same_weights(watched, alone) and set(QUALITY) & set(watched.history_)


def test_rates_fall_linearly_at_the_end(encoded):
    columns = Columns(encoded.layout)
    data = torch.from_numpy(encoded.values).float()
    game = new_game(SMALL_MODERN, columns, data.mean(dim=0), 0, torch.device("cpu"))
    rates = []
    for step in (1, 60, 81, 100):
        set_rates(game, step, 100)
        rates.append(game.generator_optimizer.param_groups[0]["lr"] / MODERN.generator_rate)
    assert rates == pytest.approx([1, 1, 0.5, 0.025])


def test_small_tables_do_not_train_forever():
    assert MODERN.total_steps(16_000) == MODERN.steps
    assert MODERN.total_steps(60) == MODERN.epochs
    train = toy_patients(60)
    prep = Preprocessor().fit(train)
    gan = EMRWGAN(dataclasses.replace(SMALL_MODERN, epochs=5)).fit(prep.transform(train))
    assert gan.history_["step"].iloc[-1] == 5
    assert len(postprocess(gan.sample(60), prep)) == 60


def test_a_table_without_outcome_and_sex_trains_unconditionally():
    train = toy_patients(200)[["race", "bmi", "phe_2"]]
    encoded = Preprocessor().fit(train).transform(train)
    gan = EMRWGAN(SMALL_MODERN, steps=20).fit(encoded)
    assert gan.conditions_ == []
    assert len(gan.sample(50)) == 50


@pytest.mark.parametrize("codes", [0, 1, 6])
def test_yes_and_no_may_stand_apart_or_not_at_all(codes):
    rng = np.random.default_rng(0)
    train = toy_patients(400)
    codes = {f"code {i}": rng.random(400) < 0.2 + 0.1 * i for i in range(codes)}
    names = [name for name in train if train[name].dtype == "category"]
    table = train[[*names, "bmi"]].copy()
    for place, (name, values) in enumerate(codes.items()):
        table.insert(place, name, values)  # between categories
        table[f"lab {name}"] = rng.normal(size=400)
    table = described(table)
    prep = Preprocessor().fit(table)
    gan = EMRWGAN(SMALL_MODERN, steps=30).fit(prep.transform(table))
    made = postprocess(gan.sample(2000, seed=1), prep)
    for name in codes:
        real, synthetic = (t[name].astype(float).mean() for t in (table, made))
        assert synthetic == pytest.approx(real, abs=0.02)


def test_divergence_is_explained(encoded):
    recipe = dataclasses.replace(SMALL_MODERN, generator_rate=1e30, critic_rate=1e30)
    with (
        pytest.warns(RuntimeWarning, match="goes on from step 0 with half") as warned,
        pytest.raises(TrainingError, match="diverged.*step.*lower learning rates"),
    ):
        EMRWGAN(recipe, steps=40).fit(encoded)
    assert len([w for w in warned if "with half" in str(w.message)]) == 2
    with pytest.raises(TrainingError):  # and never in the published recipe
        EMRWGAN(dataclasses.replace(recipe, recoveries=0), steps=40).fit(encoded)


def test_a_training_that_diverges_goes_on_from_the_last_good_state(encoded, monkeypatch):
    monkeypatch.setattr(training, "_SAFE_EVERY", 20)
    columns = Columns(encoded.layout, ["DIE_1y", "sex"], 0.7)
    data = torch.from_numpy(encoded.values)
    game = new_game(SMALL_MODERN, columns, data.float().mean(dim=0), 0, torch.device("cpu"))
    good, poisoned = [], []

    def poison(step, game):
        if step == 40:
            good.append({k: v.clone() for k, v in game.chosen.state_dict().items()})
        if step == 50 and not poisoned:
            poisoned.append(step)
            with torch.no_grad():
                game.generator.first.weight.fill_(math.nan)

    with pytest.warns(RuntimeWarning, match="diverged.*at step 60.*from step 40 with half"):
        history = training.train(
            game, data, 80, 0, watch=poison, watch_every=10, test=two_sample_test
        )
    assert history["step"].tolist() == [20, 40, 60, 80]
    assert np.isfinite(history["critic_loss"]).all() and game.halvings == 1
    # Step 40 was not played again: the training went on from behind it.
    assert len(good) == 1
    assert all(torch.isfinite(v).all() for v in game.chosen.state_dict().values())
    rates = [group["lr"] for group in game.generator_optimizer.param_groups]
    assert rates[0] < 0.5 * MODERN.generator_rate  # halved, and fallen


def test_watching_does_not_change_the_model(encoded, trained, monkeypatch):
    seen, finished = [], Mock(side_effect=EMRWGAN._finish)
    monkeypatch.setattr(EMRWGAN, "_finish", lambda *state: finished(*state))

    def watch(step, model):
        seen.append((step, len(model.sample(7))))

    gan = EMRWGAN(SMALL_MODERN, steps=60).fit(encoded, watch=watch, watch_every=25)
    assert seen == [(25, 7), (50, 7), (60, 7)]
    assert same_weights(gan, trained)
    assert finished.call_count == 3  # the last look is at the model itself


def test_the_progress_bar_shows_the_losses(encoded, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    EMRWGAN(SMALL_MODERN, steps=20).fit(encoded, progress=True)
    shown = capsys.readouterr()
    assert "20/20" in shown.err and "critic" in shown.err and "generator" in shown.err
    assert shown.out == ""


# -- the quality monitor -----------------------------------------------------------------


def test_the_validation_part_is_a_seeded_tenth_of_train(encoded):
    def rows(n, seed=0):
        return quality_monitor.validation_rows(n, stream(seed, "validation")).tolist()

    assert len(set(rows(600))) == 60 and max(rows(600)) < 600
    assert rows(600) == rows(600) != rows(600, seed=1)
    assert len(rows(126_000)) == 2_000 and rows(150) == []
    columns, data = Columns(encoded.layout), torch.from_numpy(encoded.values)
    for keep, left in (("last", 600), ("best", 540)):
        recipe = dataclasses.replace(SMALL_MODERN, keep=keep)
        prevalence = data.float().mean(dim=0)
        game = new_game(recipe, columns, prevalence, 0, torch.device("cpu"))
        learned = training._start_monitor(game, data, prevalence, 0, two_sample_test)
        assert len(learned) == left and len(game.monitor.validation) == 60
        parts = np.concatenate([learned.numpy(), game.monitor.validation])
        assert keep == "last" or (parts.sum(axis=0) == encoded.values.sum(axis=0)).all()


def test_the_monitor_tells_good_patients_from_bad_ones():
    prep = Preprocessor().fit(toy_patients(3_000))
    real, fresh = (prep.transform(toy_patients(1_000, seed)) for seed in (1, 2))
    rng = np.random.default_rng(0)
    independent = rng.permuted(fresh.values, axis=0)
    score, error = _light_test(two_sample_test, real.values, fresh.values, 0)
    assert 0.005 < error < 0.03 and score < 0.5 + 3 * error
    assert _light_test(two_sample_test, real.values, independent, 0)[0] > 0.65
    owner = Columns(real.layout).owner
    assert _pair_agreement(real.values, fresh.values, owner) > 0.5
    assert abs(_pair_agreement(real.values, independent, owner)) < 0.15
    assert math.isnan(_pair_agreement(real.values[:, :2], fresh.values[:, :2], owner[:2] * 0))


def test_a_collapse_is_named(encoded):
    columns, real = Columns(encoded.layout), encoded.values
    prevalence = real.mean(axis=0)
    made = np.tile(real, (4, 1))[:2_000]
    assert _collapse(real, made, prevalence, columns) == ""
    few = np.tile(real[:100], (20, 1))
    found = _collapse(real, few, prevalence, columns)
    assert "of 600 generated patients only 100 are different (real ones: 600)" in found
    gone = made.copy()
    gone[:, encoded.slice("race")] = [1, 0, 0]
    found = _collapse(real, gone, prevalence, columns)
    assert "lost race=B (and 1 more such columns)" in found and "lower learning rates" in found


def test_a_collapse_is_reported_once(encoded, monkeypatch):
    monkeypatch.setattr(training, "_APART", 20)
    monkeypatch.setattr(quality_monitor, "_collapse", lambda *_: "Something is wrong.")
    with pytest.warns(RuntimeWarning) as warned:
        EMRWGAN(SMALL_MODERN, steps=80).fit(encoded)
    assert [str(w.message) for w in warned] == ["Step 40 of training: Something is wrong."]


@pytest.fixture
def scripted(monkeypatch):
    """Looks every 20 steps that find what the test wants them to find."""

    def script(*scores, error=0.02):
        left = iter(scores)
        monkeypatch.setattr(training, "_APART", 20)
        monkeypatch.setattr(quality_monitor, "_light_test", lambda *_: (next(left), error))

    return script


def test_a_later_look_wins_ties_within_a_standard_error(encoded, scripted):
    scripted(0.60, 0.55, 0.56, 0.58, 0.575)
    columns = Columns(encoded.layout)
    seen = Monitor(encoded.values[:60], encoded.values.mean(axis=0), two_sample_test)
    kept, waited = [], []
    for number in range(5):
        generator = Generator(8, 0, columns.width, 32, 2)
        with torch.no_grad():
            generator.last.bias.fill_(number)
        seen.look(generator, columns, SMALL_MODERN, stream(0, "look"))
        kept.append(seen.best["last.bias"][0].item())
        waited.append(seen.since)
    assert kept == [0, 1, 2, 2, 2]  # 0.575 is more than 0.02 above 0.55, whatever is kept
    assert waited == [0, 0, 1, 2, 3]


def test_the_weights_of_the_best_look_are_kept(encoded, scripted):
    scripted(0.60, 0.52, 0.70, 0.65)  # steps 40, 60, 80, 100
    recipe, averages = dataclasses.replace(SMALL_MODERN, keep="best"), {}
    columns = Columns(encoded.layout, ["DIE_1y", "sex"], 0.7)
    data = torch.from_numpy(encoded.values)
    game = new_game(recipe, columns, data.float().mean(dim=0), 0, torch.device("cpu"))

    def watch(step, game):
        averages[step] = {k: v.clone() for k, v in game.chosen.state_dict().items()}

    history = training.train(game, data, 100, 0, watch=watch, watch_every=20, test=two_sample_test)
    assert history["c2st"].dropna().tolist() == [0.60, 0.52, 0.70, 0.65]
    kept = game.chosen.state_dict()
    same = [s for s, state in averages.items() if all(torch.equal(state[k], kept[k]) for k in kept)]
    assert same == [60]


def test_training_stops_when_the_monitor_loses_its_patience(encoded, scripted, tmp_path):
    recipe = dataclasses.replace(SMALL_MODERN, keep="best", patience=2)
    scripted(0.60, 0.70, 0.55, 0.56, 0.57, 0.50)  # steps 80, 100, ...
    gan = EMRWGAN(recipe, steps=240).fit(encoded, checkpoint_dir=tmp_path)
    assert gan.history_["step"].iloc[-1] == 160
    again = EMRWGAN(recipe, steps=240).fit(encoded, checkpoint_dir=tmp_path)
    assert same_weights(again, gan) and len(again.history_) == 8


# -- the published recipe ----------------------------------------------------------------


def test_the_paper_recipe_is_the_published_one():
    assert (PAPER.latent, PAPER.width, PAPER.layers, PAPER.batch) == (128, 384, 4, 4096)
    assert (PAPER.optimizer, PAPER.generator_rate, PAPER.critic_rate) == ("rmsprop", 1e-5, 2e-5)
    assert (PAPER.penalty, PAPER.critic_steps, PAPER.epochs) == (10, 1, 15_000)
    assert PAPER.keep == "smallest_loss" and PAPER.match_outcome
    assert (PAPER.initialization, PAPER.fakes_by) == ("glorot", "running")
    assert not (PAPER.sampled_codes or PAPER.condition or PAPER.averaging)


def test_paper_trains_on_scaled_data_and_matches_the_outcome(scaled):
    frequent = scaled.values.copy()
    frequent[:, scaled.slice("DIE_1y")] = scaled["phe_2"]
    gan = EMRWGAN(SMALL_PAPER, steps=150).fit(Encoded(frequent, scaled.layout))
    sample = gan.sample(500)
    assert sample.values.dtype == np.float32
    rate = scaled["phe_2"].mean()
    assert abs(sample["DIE_1y"].mean() - rate) < 0.002
    assert (sample["sex"].sum(axis=1) == 1).all()
    assert set(np.unique(sample["phe_3"])) <= {0, 1}
    assert len(np.unique(sample["age"])) > 100
    assert not set(QUALITY) & set(gan.history_)  # nothing is watched, nothing held back


def test_rejection_ends_with_a_warning_when_a_class_is_gone(scaled):
    gone = scaled.values.copy()
    gone[:, 0] = 0
    gone[0, 0] = 1
    recipe = dataclasses.replace(SMALL_PAPER, prevalence_bias=True, generator_rate=1e-9)
    gan = EMRWGAN(recipe, steps=2).fit(Encoded(gone, scaled.layout))
    start = time.perf_counter()
    with pytest.warns(RuntimeWarning, match="too few patients with DIE_1y = 1"):
        sample = gan.sample(600)
    assert len(sample) == 600 and time.perf_counter() - start < 60


@pytest.mark.parametrize(
    ("rule", "looks"), [((150, 50), (90,)), ((4, 2), (36, 54, 72, 90)), ((4, 5), (45, 90))]
)
def test_the_smallest_positive_loss_of_some_epochs_is_kept(scaled, monkeypatch, rule, looks):
    """Of those from the first on, every so many; a training that ends before it keeps its last."""
    assert (training._CHOICE_FROM, training._CHOICE_EVERY) == (150, 50)
    for name, epochs in zip(("_CHOICE_FROM", "_CHOICE_EVERY"), rule, strict=True):
        monkeypatch.setattr(training, name, epochs)
    gan = EMRWGAN(SMALL_PAPER, steps=90)
    snapshots = {}

    def watch(step, model):
        snapshots[step] = {k: v.clone() for k, v in model.generator_.state_dict().items()}

    gan.fit(scaled, watch=watch, watch_every=9)  # 600 // 64 = 9 steps an epoch
    kept = gan.generator_.state_dict()
    same = [
        step for step, weights in snapshots.items()
        if all(torch.equal(weights[key], kept[key]) for key in kept)
    ]  # fmt: skip
    first, *rest = same
    assert first in looks and rest in ([], [90])  # at the last step the finished model is seen


@pytest.mark.parametrize("fakes_by", ["running", "batch"])
def test_in_the_critics_step_the_published_generator_uses_its_running_statistics(scaled, fakes_by):
    recipe = dataclasses.replace(SMALL_PAPER, fakes_by=fakes_by)
    columns = Columns(scaled.layout)
    real = torch.from_numpy(scaled.values[:64]).float()
    game = new_game(recipe, columns, column_means(real), 0, torch.device("cpu"))
    before = game.generator.norms[0].running_mean.clone()
    critic_step(game, real)
    moved = not torch.equal(before, game.generator.norms[0].running_mean)
    assert moved == (fakes_by == "batch") and game.generator.training
    generator_step(game, real)
    assert not torch.equal(before, game.generator.norms[0].running_mean)


def test_the_first_weights_are_uniform_up_to_glorots_bound(scaled):
    columns = Columns(scaled.layout)
    for initialization, bound in (("glorot", (6 / 192) ** 0.5), ("small", 64**-0.5)):
        recipe = dataclasses.replace(
            SMALL_PAPER, latent=64, width=128, initialization=initialization
        )
        means = torch.full((columns.width,), 0.5)
        game = new_game(recipe, columns, means, 0, torch.device("cpu"))
        largest = float(game.generator.first.weight.abs().max().detach())
        assert 0.99 * bound < largest <= bound


# -- stopping and resuming ---------------------------------------------------------------


class Stop(Exception):
    pass


@pytest.mark.parametrize("recipe", ["modern", "best", "paper"])
def test_resumed_training_is_bit_for_bit_the_same(
    encoded, scaled, scripted, tmp_path, recipe, monkeypatch
):
    data = scaled if recipe == "paper" else encoded
    settings_ = SMALL_PAPER if recipe == "paper" else SMALL_MODERN
    if recipe == "best":
        settings_ = dataclasses.replace(SMALL_MODERN, keep="best")
        # The look before the interruption finds what no later one beats.
        monkeypatch.setattr(training, "_FIRST", 0.0)
        scripted(0.50, 0.60, 0.70, 0.50, 0.60, 0.70)  # steps 20, 40, 60, twice
    whole = EMRWGAN(settings_, steps=60).fit(data)

    def stop(step, model):
        raise Stop

    options = {"checkpoint_dir": tmp_path, "checkpoint_every": 20}
    with pytest.raises(Stop):
        EMRWGAN(settings_, steps=60).fit(data, **options, watch=stop, watch_every=30)
    with safe_open(tmp_path / "checkpoint.safetensors", "pt") as file:
        assert json.loads(file.metadata()["state"])["step"] == 20
    resumed = EMRWGAN(settings_, steps=60).fit(data, **options)
    assert same_weights(resumed, whole)
    assert np.array_equal(resumed.sample(100).values, whole.sample(100).values)
    pd.testing.assert_frame_equal(
        resumed.history_.drop(columns="seconds"), whole.history_.drop(columns="seconds")
    )
    # A finished training is not repeated.
    again = EMRWGAN(settings_, steps=60).fit(data, **options)
    assert same_weights(again, whole)


KILLED = """
import sys
from test_gan import SMALL_MODERN
from toy import toy_patients
from ehrsynth.gan import train as training
from ehrsynth.model import EMRWGAN
from ehrsynth.preprocessing.encode import Preprocessor

training._APART = 80
train = toy_patients(600)
encoded = Preprocessor().fit(train).transform(train)
EMRWGAN(SMALL_MODERN, steps=int(sys.argv[2])).fit(
    encoded, checkpoint_dir=sys.argv[1], checkpoint_every=20
)
"""


def state_of(path: Path) -> dict:
    """What a checkpoint says beside its tensors; nothing before there is one."""
    if not path.exists():
        return {"step": 0, "game": {"monitor": {"smallest": math.inf}}}
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["state"])


def test_a_killed_process_loses_nothing(encoded, tmp_path, monkeypatch):
    """SIGKILL after the monitor's first look, whose weights are perhaps those that are kept."""
    monkeypatch.setattr(training, "_APART", 80)
    assert SMALL_MODERN.keep == "best"
    steps = 240  # looks after 80, 160 and 240
    path = tmp_path / "checkpoint.safetensors"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path), str(steps)],
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([p for p in sys.path if p])},
    )
    try:
        deadline = time.monotonic() + 120
        while state_of(path)["game"]["monitor"]["smallest"] == math.inf:
            assert process.poll() is None, "the training ended before it could be killed"
            assert time.monotonic() < deadline, "no look in two minutes"
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    killed = state_of(path)
    assert 80 <= killed["step"] < steps and killed["step"] % 20 == 0
    resumed = EMRWGAN(SMALL_MODERN, steps=steps).fit(encoded, checkpoint_dir=tmp_path)
    whole = EMRWGAN(SMALL_MODERN, steps=steps).fit(encoded)
    assert same_weights(resumed, whole)
    assert np.array_equal(resumed.sample(200).values, whole.sample(200).values)
    pd.testing.assert_frame_equal(
        resumed.history_.drop(columns="seconds"), whole.history_.drop(columns="seconds")
    )
    assert resumed.history_["c2st"].notna().sum() == 3


def test_a_checkpoint_of_other_settings_or_data_is_refused(encoded, tmp_path):
    options = {"checkpoint_dir": tmp_path}
    EMRWGAN(SMALL_MODERN, steps=20).fit(encoded, **options)
    with pytest.raises(InputError, match="steps: 20, now 40"):
        EMRWGAN(SMALL_MODERN, steps=40).fit(encoded, **options)
    with pytest.raises(InputError, match="seed: 0, now 1"):
        EMRWGAN(SMALL_MODERN, seed=1, steps=20).fit(encoded, **options)
    with pytest.raises(InputError, match="averaging: 0.998, now 0.9"):
        recipe = dataclasses.replace(SMALL_MODERN, averaging=0.9)
        EMRWGAN(recipe, steps=20).fit(encoded, **options)
    changed = encoded.values.copy()
    changed[0, 0] ^= 1
    with pytest.raises(InputError, match="training data: .*, now "):
        EMRWGAN(SMALL_MODERN, steps=20).fit(Encoded(changed, encoded.layout), **options)
    assert EMRWGAN(SMALL_MODERN, steps=40).fit(encoded, **options, resume=False)


def test_a_broken_checkpoint_is_refused(encoded, tmp_path):
    (tmp_path / "checkpoint.safetensors").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="not a readable checkpoint; delete it"):
        EMRWGAN(SMALL_MODERN, steps=20).fit(encoded, checkpoint_dir=tmp_path)


# -- sampling ----------------------------------------------------------------------------


def test_samples_are_seeded_bytes_in_the_layout(encoded, trained):
    sample = trained.sample(300, seed=3)
    assert sample.values.dtype == np.uint8 and sample.layout == encoded.layout
    for block in sample.layout:
        if block.kind != "binary":
            assert (sample[block.name].sum(axis=1) == 1).all()
    assert np.array_equal(sample.values, trained.sample(300, seed=3).values)
    assert not np.array_equal(sample.values, trained.sample(300, seed=4).values)
    assert np.array_equal(trained.sample(300).values, trained.sample(300, seed=0).values)


def test_probabilities_are_those_of_the_sampled_patients(trained, scaled):
    p, drawn = trained.probabilities(4_000, seed=3), trained.sample(4_000, seed=3)
    outcome = p.slice("DIE_1y")
    assert p.values.dtype == np.float32
    np.testing.assert_array_equal(p.values[:, outcome], drawn.values[:, outcome])
    spread = np.sqrt((p.values * (1 - p.values)).sum(axis=0)) / 4_000
    gap = np.abs(p.values.mean(axis=0) - drawn.values.mean(axis=0))
    assert (gap <= 5 * spread + 1e-6).all()
    rounded = EMRWGAN(dataclasses.replace(SMALL_PAPER, match_outcome=False), steps=5).fit(scaled)
    codes = [s.start for b in scaled.layout if b.kind == "binary" for s in [scaled.slice(b.name)]]
    p, made = rounded.probabilities(50), rounded.sample(50)
    np.testing.assert_array_equal(p.values[:, codes] >= 0.5, made.values[:, codes] == 1)


def test_conditions_are_met(trained):
    sample = trained.sample(200, where={"DIE_1y": 1, "sex": "F"})
    assert (sample["DIE_1y"] == 1).all()
    assert (sample["sex"] == [1, 0]).all()
    men = trained.sample(2000, where={"sex": "M"})
    assert (men["sex"] == [0, 1]).all() and 0 < men["DIE_1y"].mean() < 0.5
    for value in (True, 1.0, "1", np.int64(1)):
        assert (trained.sample(20, where={"DIE_1y": value})["DIE_1y"] == 1).all()


def test_without_conditions_the_groups_are_as_in_train(encoded, trained):
    sample = trained.sample(20_000)
    assert abs(sample["DIE_1y"].mean() - encoded["DIE_1y"].mean()) < 0.01
    assert np.allclose(sample["sex"].mean(axis=0), encoded["sex"].mean(axis=0), atol=0.015)


def test_impossible_wishes_are_refused_at_once(encoded, trained):
    with pytest.raises(InputError, match="'race' is not conditioned.*DIE_1y, sex"):
        trained.sample(1, where={"race": "A"})
    with pytest.raises(InputError, match="'weight' is not in the data"):
        trained.sample(1, where={"weight": 70})
    with pytest.raises(InputError, match="'sex' has no value 'X'; use one of F, M"):
        trained.sample(1, where={"sex": "X"})
    with pytest.raises(InputError, match="'DIE_1y' has no value 2"):
        trained.sample(1, where={"DIE_1y": 2})
    with pytest.raises(InputError, match="must be 1 or more, not 0"):
        trained.sample(0)
    survivors = encoded.values[(encoded["DIE_1y"][:, 0] == 0) | (encoded["sex"][:, 0] == 0)]
    gan = EMRWGAN(SMALL_MODERN, steps=2).fit(Encoded(survivors, encoded.layout))
    with pytest.raises(InputError, match="too few training patients have DIE_1y = 1, sex = F"):
        gan.sample(1, where={"DIE_1y": 1, "sex": "F"})
    plain = EMRWGAN(SMALL_MODERN, steps=2, condition=False).fit(encoded)
    with pytest.raises(InputError, match="train with condition=True"):
        plain.sample(1, where={"sex": "F"})


def test_what_train_never_had_is_never_generated(encoded):
    values = encoded.values.copy()
    race = encoded.slice("race")
    values[:, race] = [1, 0, 0]
    gan = EMRWGAN(SMALL_MODERN, steps=60).fit(Encoded(values, encoded.layout))
    assert (gan.sample(5000)["race"] == [1, 0, 0]).all()


# -- on disk, and mistakes ---------------------------------------------------------------


@pytest.mark.parametrize("recipe", ["modern", "paper", "own"])
def test_saving_and_loading_changes_nothing(encoded, scaled, tmp_path, recipe):
    data = scaled if recipe == "paper" else encoded
    gan = EMRWGAN(SMALL_MODERN if recipe == "own" else recipe, steps=4, seed=3).fit(data)
    gan.save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["gan.json", "gan.safetensors"]
    loaded = EMRWGAN.load(tmp_path)
    assert loaded.get_params() == gan.get_params() and loaded.layout_ == gan.layout_
    assert loaded.conditions_ == gan.conditions_
    assert np.array_equal(loaded.sample(50, seed=1).values, gan.sample(50, seed=1).values)
    # The time that it took is not stored: the same seed gives the same file.
    kept = gan.history_.drop(columns="seconds")
    pd.testing.assert_frame_equal(loaded.history_, kept)


def test_mistakes_are_named(encoded, trained, tmp_path):
    with pytest.raises(InputError, match="no recipe 'best'; use one of paper, modern"):
        EMRWGAN("best").fit(encoded)
    with pytest.raises(InputError, match="steps is 0"):
        EMRWGAN(steps=0).fit(encoded)
    with pytest.raises(InputError, match="not trained"):
        EMRWGAN().sample(5)
    with pytest.raises(InputError, match="too few"):
        EMRWGAN().fit(Encoded(encoded.values[:1], encoded.layout))
    with pytest.raises(InputError, match="penalty_share is 0; use a share above 0"):
        Recipe(penalty_share=0)
    with pytest.raises(InputError, match="keep is 'best' but looks is 0"):
        Recipe(keep="best")
    with pytest.raises(InputError, match="patience is 3; it needs keep='best'"):
        Recipe(patience=3)
    with pytest.raises(InputError, match="looks is -1; use 0 or more"):
        Recipe(looks=-1)
    with pytest.raises(InputError, match="no optimizer 'sgd'"):
        Recipe(optimizer="sgd")
    with pytest.raises(InputError, match="does not exist"):
        EMRWGAN.load(tmp_path)
    trained.save(tmp_path)
    (tmp_path / "gan.safetensors").write_bytes(b"broken")
    with pytest.raises(InputError, match="does not hold a saved model"):
        EMRWGAN.load(tmp_path)


def test_streams_of_different_purposes_differ():
    draws = [torch.rand(3, generator=stream(0, *p)) for p in (("a",), ("b",), ("a", 1))]
    assert not torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert torch.equal(draws[0], torch.rand(3, generator=stream(0, "a")))
    assert math.isfinite(draws[0].sum())
