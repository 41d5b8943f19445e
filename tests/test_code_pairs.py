"""Codes that are drawn in turn: pairs as in train, accidents not."""

import numpy as np
import pytest
import torch
from scipy.special import logit

from ehrsynth.gan.recipe import MODERN
from ehrsynth.generation.pairs import CodePairs, fit_code_pairs


def tied(n: int, seed: int) -> np.ndarray:
    """Four codes: the second follows the first, the third avoids it, the fourth knows nothing."""
    rng = np.random.default_rng(seed)
    first, draws = rng.random(n) < 0.3, rng.random((3, n))
    second = draws[0] < np.where(first, 0.7, 0.1)
    third = draws[1] < np.where(first, 0.05, 0.3)
    return np.column_stack([first, second, third, draws[2] < 0.2]).astype(np.float32)


def fit(real: np.ndarray, n: int = 16_000, died: np.ndarray | None = None, trust=1.0):
    """Shifts for a model that has the prevalences right and nothing else; its logits and cells."""
    logits = np.tile(logit(real.mean(axis=0)), (n, 1)).astype(np.float32)
    member, cell = torch.zeros(len(real), dtype=torch.long), np.zeros(n, int)
    groups = torch.ones(1, 1, dtype=torch.bool)
    if died is not None:
        cell[n - round(n * died.mean()) :] = 1  # cell after cell
        member, groups = torch.from_numpy(died).long(), torch.tensor([[True, True], [False, True]])
        for value in (0, 1):
            logits[cell == value] = logit(real[died == value].mean(axis=0))
    tensors = torch.from_numpy(logits), torch.from_numpy(cell)
    found = fit_code_pairs(
        *tensors, torch.from_numpy(real), member, groups, trust, 0, MODERN.stands_out
    )
    return found, *tensors


def draw(found: CodePairs, logits: torch.Tensor, cell: torch.Tensor) -> tuple:
    cells = int(cell.max()) + 1
    groups = torch.stack([torch.ones(cells, dtype=torch.bool), torch.arange(cells) == 1])
    phase = torch.rand(cells, logits.shape[1], dtype=torch.double)
    chance, uniform = found.draw(logits, cell, groups[: len(found.start)], phase)
    return chance, (uniform < chance).float()


def test_pairs_and_prevalences_are_those_of_train():
    real = tied(20_000, 0)
    _, codes = draw(*fit(real))
    made, wanted = (np.cov(table.T) for table in (codes.numpy(), real))
    np.testing.assert_allclose(codes.mean(dim=0), real.mean(axis=0), atol=0.012)
    np.testing.assert_allclose(made, wanted, atol=0.012)
    assert wanted[0, 1] > 0.1 and wanted[0, 2] < -0.04  # which no independent draw has


def test_patients_with_the_outcome_have_pairs_of_their_own():
    """Two codes go together among the survivors, and exclude each other among the others."""
    rng = np.random.default_rng(1)
    died, first = rng.random(20_000) < 0.3, rng.random(20_000) < 0.4
    second = rng.random(20_000) < np.where(first ^ died, 0.6, 0.1)
    real = np.column_stack([first, second]).astype(np.float32)
    found, logits, cell = fit(real, died=died)
    _, codes = draw(found, logits, cell)
    for value in (0, 1):
        made = np.corrcoef(codes[cell == value].T)[0, 1]
        assert made == pytest.approx(
            np.corrcoef(real[died == value].T)[0, 1], abs=0.1
        )  # a cautious shift falls short
    assert np.corrcoef(codes[cell == 1].T)[0, 1] < -0.3


def test_accidents_of_few_patients_are_not_copied():
    rng = np.random.default_rng(2)
    real = (rng.random((400, 12)) < 0.25).astype(np.float32)  # no code knows another
    usual, careless, cautious = (fit(real, trust=trust)[0] for trust in (1, 1e6, 0.1))
    above = torch.triu(torch.ones(12, 12, dtype=torch.bool), 1)
    spread = [found.shifts[0][above].std() for found in (careless, usual, cautious)]
    assert spread[0] > 4 * spread[1] > 8 * spread[2]


def weakly_tied(n: int, seed: int) -> np.ndarray:
    """A dozen codes that all go together a little: no pair stands out by itself."""
    rng = np.random.default_rng(seed)
    ill = rng.normal(size=(n, 1))
    return (rng.normal(size=(n, 12)) + 0.25 * ill > 0.8).astype(np.float32)


def test_less_trust_moves_weak_pairs_less():
    real = weakly_tied(1_500, 4)
    shifts = [fit(real, trust=trust)[0].shifts[0].sum() for trust in (1, 0.1, 0.01)]
    assert shifts[0] > 1.5 * shifts[1] > 3 * shifts[2] > 0


def test_a_pair_that_stands_out_is_kept_with_little_trust():
    real = np.column_stack([tied(2_000, 5), weakly_tied(2_000, 6)])
    little, full = (fit(real, trust=trust)[0] for trust in (0.001, 1))
    order = little.order.tolist()
    strong = tuple(sorted((order.index(0), order.index(1))))
    weak = torch.triu(torch.ones(16, 16, dtype=torch.bool), 1)
    weak[strong] = False
    assert little.shifts[0][strong] > 0.9 * full.shifts[0][strong] > 1
    assert little.shifts[0][weak].abs().median() < 0.1 * full.shifts[0][weak].abs().median()


def test_what_fewer_than_five_have_in_common_never_stands_out():
    """Four patients share two rare codes: by the numbers it is no chance, and it is they."""
    rng = np.random.default_rng(7)
    real = (rng.random((4_000, 6)) < 0.2).astype(np.float32)
    real[:, 4:] = 0
    real[:30, 4] = 1
    real[26:56, 5] = 1  # 30 each, four with both, of whom .2 are expected
    found, _, _ = fit(real, trust=0.01)
    assert float(found.shifts.abs().max()) < 0.1


def test_a_code_of_a_few_patients_shifts_nothing():
    real = tied(20_000, 0)
    real[:, 3] = 0
    real[np.flatnonzero(real[:, 1])[:9], 3] = 1  # 9 patients, all with the second code
    real[:, [1, 3]] = real[:, [3, 1]]
    real[:, 0] = 0
    real[:5, 0] = 1  # and a rarer one, drawn after them
    found, _, _ = fit(real)
    assert found.order.tolist()[-2:] == [1, 0]
    assert float(found.shifts[0, -2].abs().max()) < 1e-3


def test_a_code_goes_to_as_many_as_its_probabilities_add_up_to():
    chance, codes = draw(*fit(tied(5_000, 3), n=3_000))
    assert (codes.sum(dim=0) - chance.double().sum(dim=0)).abs().max() <= 1.001
    independent = torch.rand(200, 3_000, generator=torch.Generator().manual_seed(0)) < chance[:, 1]
    assert (independent.sum(dim=1) - chance[:, 1].sum()).abs().float().mean() > 5
