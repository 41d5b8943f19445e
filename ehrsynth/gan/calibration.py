"""After training: the averaged weights' batch-norm statistics, and the output biases.

Neither needs the critic, and both take seconds.
"""

import torch
from torch import Tensor, nn

from .networks import Columns, Generator

_ROWS = (4_096, 32_768)  # least and most patients generated to measure prevalences
_ITERATIONS = 40  # at most
_CLOSE = 1e-3  # of the log odds
_PRIOR = 5.0  # patients that the model's own prevalence counts for within a group


@torch.no_grad()
def refresh_statistics(
    generator: Generator, given: Tensor, latent: int, rng: torch.Generator, batches: int = 40,
    size: int = 512,
) -> None:  # fmt: skip
    """Recompute the batch-norm statistics for the generator's present weights.

    Averaged weights never ran forward in training, so their statistics are those of other weights.

    Parameters
    ----------
    generator : Generator
        Changed in place, and left in evaluation mode.
    given : tensor, shape (n, conditions)
        The training patients' given columns; batches are mixed as in train.
    """
    for norm in generator.modules():
        if isinstance(norm, nn.BatchNorm1d):
            norm.reset_running_stats()
            norm.momentum = None  # a plain average over the batches
    generator.train()
    for _ in range(batches):
        rows = torch.randint(len(given), (size,), generator=rng, device=given.device)
        noise = torch.randn(size, latent, generator=rng, device=given.device)
        generator(noise, given[rows].float())
    generator.eval()


@torch.no_grad()
def calibrate(
    generator: Generator, columns: Columns, cells: Tensor, counts: Tensor, prevalence: Tensor,
    latent: int, rng: torch.Generator, within: bool = True,
) -> Tensor:  # fmt: skip
    """Shifts of the output biases at which generated prevalences equal those of train.

    Parameters
    ----------
    generator : Generator
        In evaluation mode.
    cells : tensor, shape (cells, conditions)
        The combinations of the given columns in train (outcome x sex).
    counts : tensor, shape (cells,)
        Training patients in each cell.
    prevalence : tensor, shape (cells, width)
        Mean of each matrix column in each cell.
    within : bool
        Also match the prevalences within each cell, as far as there are patients to tell: the
        ratio of observed to expected patients, (x + 5) / (E + 5), which is 1 when few are expected.

    Returns
    -------
    tensor, shape (cells, width)
        To be added to the logits of the cell's patients.
    """
    # Four times train: then train's own sampling error, not this one, is what is left.
    size = int((4 * counts.sum()).clamp(*_ROWS)) // len(cells)
    logits = []
    for cell in cells:
        noise = torch.randn(size, latent, generator=rng, device=cells.device)
        logits.append(generator(noise, cell.float().expand(size, -1)))
    fixed = columns.is_given | columns.is_scalar
    weights = (counts / counts.sum()).unsqueeze(1)
    target = (weights * prevalence).sum(dim=0)
    shift = _solve(columns, logits, weights, target, torch.zeros_like(target), fixed)
    shifts = shift.repeat(len(cells), 1)
    if within and len(cells) > 1:
        for i, own in enumerate(logits):
            model = columns.probabilities(own + shift).mean(dim=0)
            observed, expected = counts[i] * prevalence[i], counts[i] * model
            target = model * (observed + _PRIOR) / (expected + _PRIOR)
            shifts[i] = _solve(columns, [own], torch.ones(1, 1), target, shift, fixed)
    return shifts


def _solve(
    columns: Columns, logits: list[Tensor], weights: Tensor, target: Tensor, shift: Tensor,
    fixed: Tensor,
) -> Tensor:  # fmt: skip
    """Damped Newton steps on the log odds until the mean probability is `target`."""
    target = target.clamp(1e-7, 1 - 1e-7)
    one_hot = torch.ones_like(fixed)
    one_hot[columns.single] = False
    for _ in range(_ITERATIONS):
        mean, slope = torch.zeros_like(target), torch.zeros_like(target)
        for weight, own in zip(weights, logits, strict=True):
            p = columns.probabilities(own + shift)
            mean += weight * p.mean(dim=0)
            slope += weight * (p - p.square()).mean(dim=0)
        mean = mean.clamp(1e-7, 1 - 1e-7)
        # A shift moves the log odds of the mean by less than itself, the more patients differ.
        stretch = (mean * (1 - mean) / slope.clamp_min(1e-12)).clamp(1, 3)
        wanted = torch.where(one_hot, (target / mean).log(), target.logit() - mean.logit())
        wanted = torch.where(fixed, 0.0, wanted)
        shift = shift + (stretch * wanted).clamp(-2, 2)
        if bool((wanted.abs() < _CLOSE).all()):
            break
    return shift
