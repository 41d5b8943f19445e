"""After training: the averaged weights' batch-norm statistics, and the prevalences of train.

The networks learn how a patient hangs together; what can be counted in train is then set right.
"""

import torch
from torch import Tensor, nn

from ..gan.networks import Columns, Generator
from ..protection import LEAST_PATIENTS

PRIOR = 5.0  # patients that the model's own numbers count for within a group
_ROWS = (4_096, 32_768)  # least and most patients generated to measure prevalences
_BATCHES, _SIZE = 40, 512  # of generated patients, for the batch-norm statistics
_ITERATIONS = 40  # at most
_CLOSE = 1e-3  # of the log odds


@torch.no_grad()
def refresh_statistics(
    generator: Generator, given: Tensor, latent: int, rng: torch.Generator
) -> None:
    """Recompute the batch-norm statistics of averaged weights, with train's given columns.
    Chapter training, "What is each switch worth?".
    """
    for norm in generator.modules():
        if isinstance(norm, nn.BatchNorm1d):
            norm.reset_running_stats()
            norm.momentum = None  # a plain average over the batches
    generator.train()
    for _ in range(_BATCHES):
        rows = torch.randint(len(given), (_SIZE,), generator=rng, device=given.device)
        noise = torch.randn(_SIZE, latent, generator=rng, device=given.device)
        generator(noise, given[rows].float())
    generator.eval()


def sample_size(counts: Tensor) -> int:
    """How many patients to generate, so that train's own sampling error is what is left.
    Chapter generation, "Calibration".
    """
    return int((4 * counts.sum()).clamp(*_ROWS))


@torch.no_grad()
def calibrate(
    generator: Generator, columns: Columns, cells: Tensor, counts: Tensor, prevalence: Tensor,
    latent: int, rng: torch.Generator, within: bool = True, least: int = LEAST_PATIENTS,
) -> Tensor:  # fmt: skip
    """Shifts of the output biases, shape (cells, width), that give train's prevalences.

    `cells`, `counts` and `prevalence` are those of ``tabulate.cross_tabulate``; the generator is in
    evaluation mode. `within` also matches the prevalences within each cell, as far as there are
    patients to tell: the ratio of observed to expected ones, (x + 5) / (E + 5), is 1 when few are
    expected. Chapter generation, "Calibration".
    """
    size = sample_size(counts) // len(cells)
    logits = []
    for cell in cells:
        noise = torch.randn(size, latent, generator=rng, device=cells.device)
        logits.append(generator(noise, cell.float().expand(size, -1)))
    weights = (counts / counts.sum()).unsqueeze(1)
    target = (weights * prevalence).sum(dim=0)
    shift = _solve(columns, logits, weights, target, torch.zeros_like(target))
    shifts = shift.repeat(len(cells), 1)
    if within and len(cells) > 1:
        for i, own in enumerate(logits):
            model = columns.probabilities(own + shift).mean(dim=0)
            observed, expected = counts[i] * prevalence[i], counts[i] * model
            target = model * (observed + PRIOR) / (expected + PRIOR)
            target = torch.where((observed > 0) & (observed < least), model, target)
            shifts[i] = _solve(columns, [own], torch.ones(1, 1), target, shift)
    return shifts


def _solve(
    columns: Columns, logits: list[Tensor], weights: Tensor, target: Tensor, shift: Tensor
) -> Tensor:
    """The shift of each matrix column at which its mean probability is `target`."""
    target, shift = target.clamp(1e-7, 1 - 1e-7), shift.clone()
    # By themselves, because the blocks take more steps than the many yes/no columns.
    places: list[Tensor | slice] = [columns.yes_no, *columns.turns]
    for where in places:
        own = [part[:, where] for part in logits]
        one_hot = isinstance(where, slice)
        shift[where] = _newton(own, weights, target[where], shift[where], one_hot)
    return shift


def _newton(
    logits: list[Tensor], weights: Tensor, target: Tensor, shift: Tensor, one_hot: bool
) -> Tensor:
    """Damped Newton steps on the log odds until the mean probability is `target`."""
    buffer = torch.empty_like(logits[0])  # all cells have as many patients
    for _ in range(_ITERATIONS):
        mean, slope = torch.zeros_like(target), torch.zeros_like(target)
        for weight, own in zip(weights, logits, strict=True):
            p = activate(torch.add(own, shift, out=buffer), one_hot, buffer)
            own_mean = p.mean(dim=0)
            mean += weight * own_mean
            slope += weight * (own_mean - p.square_().mean(dim=0))
        mean = mean.clamp(1e-7, 1 - 1e-7)
        # A shift moves the log odds of the mean by less than itself, the more patients differ.
        stretch = (mean * (1 - mean) / slope.clamp_min(1e-12)).clamp(1, 3)
        wanted = (target / mean).log() if one_hot else target.logit() - mean.logit()
        shift = shift + (stretch * wanted).clamp(-2, 2)
        if bool((wanted.abs() < _CLOSE).all()):
            break
    return shift


def activate(logits: Tensor, one_hot: bool, out: Tensor) -> Tensor:
    """Probabilities, written to `out`: new memory for each of them costs ten times the sums.
    Chapter generation, "Calibration".
    """
    return torch.softmax(logits, dim=1, out=out) if one_hot else torch.sigmoid(logits, out=out)
