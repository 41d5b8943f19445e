"""After training: the averaged weights' batch-norm statistics, and three calibrations.

The networks learn how a patient hangs together; what can simply be counted in train is then set
right. The output biases give each column its prevalence, a table for each pair of columns gives
the pairs theirs, and a last one gives the patients as many diagnoses as they have in train. None
of it needs the critic, and all of it takes seconds.
"""

import torch
from torch import Tensor, nn

from .networks import Columns, Generator

_ROWS = (4_096, 32_768)  # least and most patients generated to measure prevalences
_ITERATIONS = 40  # at most
_CLOSE = 1e-3  # of the log odds
_PRIOR = 5.0  # patients that the model's own prevalence counts for within a group
_ROUNDS = 12  # at most, of setting every pair right in turn
_NEAR = 0.03  # of the log odds of a pair


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


def enough(counts: Tensor) -> int:
    """How many patients to generate to measure what train's patients (in cells) have.

    Four times as many: then train's own sampling error, not this one, is what is left.
    """
    return int((4 * counts.sum()).clamp(*_ROWS))


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
    size = enough(counts) // len(cells)
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
    for _ in range(_ITERATIONS):
        mean, slope = torch.zeros_like(target), torch.zeros_like(target)
        for weight, own in zip(weights, logits, strict=True):
            p = columns.probabilities(own + shift)
            mean += weight * p.mean(dim=0)
            slope += weight * (p - p.square()).mean(dim=0)
        mean = mean.clamp(1e-7, 1 - 1e-7)
        # A shift moves the log odds of the mean by less than itself, the more patients differ.
        stretch = (mean * (1 - mean) / slope.clamp_min(1e-12)).clamp(1, 3)
        wanted = torch.where(
            columns.is_one_hot, (target / mean).log(), target.logit() - mean.logit()
        )
        wanted = torch.where(fixed, 0.0, wanted)
        shift = shift + (stretch * wanted).clamp(-2, 2)
        if bool((wanted.abs() < _CLOSE).all()):
            break
    return shift


# -- pairs of columns ---------------------------------------------------------------------


def draw_in_turn(
    columns: Columns, logits: Tensor, pairs: Tensor, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw the one-hot blocks one after another, each given those drawn before it.

    Parameters
    ----------
    columns : Columns
    logits : tensor, shape (n, width)
    pairs : tensor, shape (width, width)
        Row i is added to the logits of the patients who have matrix column i.

    Returns
    -------
    logits : tensor, shape (n, width)
        With the rows of all that was drawn added.
    drawn : tensor, shape (n, width)
        0/1; zero outside the blocks.
    """
    drawn = torch.zeros_like(logits)
    for block in columns.turns:
        pick = _pick(logits[:, block], rng)
        drawn[:, block].scatter_(1, pick.unsqueeze(1), 1.0)
        logits = logits + pairs[block][pick]
    return logits, drawn


def _pick(logits: Tensor, rng: torch.Generator) -> Tensor:
    return torch.multinomial(torch.softmax(logits, dim=1), 1, generator=rng).squeeze(1)


@torch.no_grad()
def calibrate_pairs(
    columns: Columns, logits: Tensor, cell: Tensor, counts: Tensor, prevalence: Tensor,
    together: Tensor, rng: torch.Generator,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Shifts at which pairs of columns are as frequent as in train.

    The generator draws its columns independently, given its noise. What one patient's columns have
    in common must come from the noise alone, and some of it is lost: two blood pressures that do
    not fit, a drug without its flag. Here the columns are drawn in turn, and each pair of a
    category (or bin) and a later column gets a shift, found by iterative proportional fitting
    (Deming and Stephan 1940, "On a least squares adjustment of a sampled frequency table when the
    expected marginal totals are known"). As within the cells, a pair is moved only as far as there
    are patients to tell: the wanted count is the model's, times (x + 5) / (E + 5).

    Parameters
    ----------
    columns : Columns
    logits : tensor, shape (m, width)
        Calibrated, of generated patients who are as frequent in the cells as train's.
    cell : tensor of int, shape (m,)
        The cell of each. A column's prevalence within the cells is kept up with the pairs.
    counts, prevalence : tensors, shapes (cells,), (cells, width)
        As in :func:`calibrate`.
    together : tensor, shape (width, width)
        Training patients who have both of two matrix columns; only the blocks' rows are read.

    Returns
    -------
    shift : tensor, shape (cells, width)
        To be added to the logits of the cell's patients.
    pairs : tensor, shape (width, width)
        For :func:`draw_in_turn`.
    """
    shift = torch.zeros_like(prevalence)
    pairs = torch.zeros_like(together)
    known = [(cell, counts.unsqueeze(1) * prevalence, shift)]
    for block in columns.turns:
        own = _fit_tables(logits[:, block], known, block, float(counts.sum()), one_hot=True)
        known.append((_pick(own, rng), together[block], pairs[block]))
    others = columns.is_given | columns.is_scalar | columns.is_one_hot
    yes_no = torch.nonzero(~others).squeeze(1)
    _fit_tables(logits[:, yes_no], known, yes_no, float(counts.sum()), one_hot=False)
    return shift, pairs


def _fit_tables(
    logits: Tensor, known: list[tuple[Tensor, Tensor, Tensor]], where: slice | Tensor, n: float,
    one_hot: bool,
) -> Tensor:  # fmt: skip
    """Fill each known column's table of shifts for the columns `where`; their shifted logits.

    `known` has for each earlier column what was drawn, shape (m,); train's counts of its values
    with every matrix column; and the table to fill, both of shape (values, width).
    """
    activate = (lambda x: torch.softmax(x, dim=1)) if one_hot else torch.sigmoid
    m, p, wanted, sizes = len(logits), activate(logits), [], []
    for drawn, counted, _ in known:
        expected = _sums(p, drawn, len(counted)) * (n / m)
        observed = counted[:, where]
        wanted.append(expected * (observed + _PRIOR) / (expected + _PRIOR))
        sizes.append(torch.bincount(drawn, minlength=len(counted)).unsqueeze(1) * (n / m))
    for _ in range(_ROUNDS):
        largest = 0.0
        for (drawn, counted, table), goal, size in zip(known, wanted, sizes, strict=True):
            now = _sums(activate(logits), drawn, len(counted)) * (n / m)
            step = _log_odds(goal, size, one_hot) - _log_odds(now, size, one_hot)
            step = step.clamp(-1, 1)
            table[:, where] += step
            logits = logits + step[drawn]
            largest = max(largest, float(step.abs().max()))
        if largest < _NEAR:
            break
    return logits


def _sums(values: Tensor, group: Tensor, groups: int) -> Tensor:
    """Column sums within each group, shape (groups, columns)."""
    sums = torch.zeros(groups, values.shape[1], device=values.device)
    return sums.index_add_(0, group, values)


def _log_odds(count: Tensor, size: Tensor, one_hot: bool) -> Tensor:
    share = (count / size.clamp_min(1e-6)).clamp(1e-6, 1 - 1e-6)
    return share.log() if one_hot else share.logit()


# -- how many diagnoses -------------------------------------------------------------------


@torch.no_grad()
def count_tables(
    made: Tensor, cell: Tensor, real: Tensor, real_cell: Tensor, cells: int, most: int
) -> Tensor:
    """Distributions of the number of diagnoses, as the model makes it and as it should be.

    Parameters
    ----------
    made, cell : tensors of int, shape (m,)
        Diagnoses of generated patients, and their cells.
    real, real_cell : tensors of int, shape (n,)
        The same of the training patients.
    cells, most : int
        Number of cells; largest possible number of diagnoses.

    Returns
    -------
    tensor, shape (2, cells, most + 1)
        Shares of patients with at most 0, 1, 2, ... diagnoses: generated, and wanted, which is
        train's distribution together with five patients from the model's.
    """

    def histogram(number: Tensor, group: Tensor) -> Tensor:
        flat = torch.bincount(group * (most + 1) + number, minlength=cells * (most + 1))
        return flat.view(cells, most + 1).double()

    model, observed = histogram(made, cell), histogram(real, real_cell)
    share = model / model.sum(dim=1, keepdim=True).clamp_min(1)
    wanted = observed + _PRIOR * share
    tables = torch.stack([model, wanted]).cumsum(dim=2)
    return (tables / tables[:, :, -1:].clamp_min(1e-9)).float()


@torch.no_grad()
def draw_counted(
    probabilities: Tensor, cell: Tensor, tables: Tensor, rng: torch.Generator
) -> Tensor:
    """Draw yes/no codes of which each patient has as many as the tables want.

    Each patient's codes are drawn as usual, and counted. The count is then moved to the same place
    in the wanted distribution, and the patient keeps that many of the codes that came closest.

    Parameters
    ----------
    probabilities : tensor, shape (n, codes)
    cell : tensor of int, shape (n,)
    tables : tensor, shape (2, cells, codes + 1)
        From :func:`count_tables`.

    Returns
    -------
    tensor, shape (n, codes)
        0/1.
    """
    made, wanted = tables[:, cell]
    p = probabilities.clamp(1e-7, 1 - 1e-7)
    uniform = torch.rand(p.shape, generator=rng, device=p.device).clamp(1e-7, 1 - 1e-7)
    margin = p.logit() - uniform.logit()  # above zero means yes
    number = (margin > 0).sum(dim=1, keepdim=True)
    upper = made.gather(1, number)
    lower = torch.where(number > 0, made.gather(1, (number - 1).clamp_min(0)), 0.0)
    place = torch.rand(number.shape, generator=rng, device=p.device)
    number = torch.searchsorted(wanted, lower + place * (upper - lower)).clamp_max(p.shape[1])
    best = margin.topk(int(number.max()), dim=1).indices if bool(number.any()) else number[:, :0]
    rank = torch.arange(best.shape[1], device=p.device)
    return torch.zeros_like(p).scatter_(1, best, (rank < number).to(p.dtype))
