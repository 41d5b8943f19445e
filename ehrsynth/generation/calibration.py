"""After training: the averaged weights' batch-norm statistics, and three calibrations.

The networks learn how a patient hangs together; what can simply be counted in train is then set
right. The output biases give each column its prevalence, a table for each pair of columns gives
the pairs theirs, and a last one gives the patients as many diagnoses as they have in train. None
of it needs the critic, and all of it takes seconds.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..gan.networks import Columns, Generator

_ROWS = (4_096, 32_768)  # least and most patients generated to measure prevalences
_PART = 8_192  # patients of train who are counted at a time
_ITERATIONS = 40  # at most
_CLOSE = 1e-3  # of the log odds
_PRIOR = 5.0  # patients that the model's own prevalence counts for within a group
_STRATA = 5  # groups by the expected number of diagnoses, in each cell
_ROUNDS = 12  # at most, of setting every pair right in turn
_CLEAR = 3.0  # standard errors that make a pair's difference its own evidence
_NEAR = 0.01  # of the log odds of a pair


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


def column_means(data: Tensor) -> Tensor:
    """Mean of each matrix column; a few patients at a time, for the matrix is bytes."""
    parts = data.split(_PART)
    return sum(part.sum(dim=0, dtype=torch.float32) for part in parts) / len(data)


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
    weights = (counts / counts.sum()).unsqueeze(1)
    target = (weights * prevalence).sum(dim=0)
    shift = _solve(columns, logits, weights, target, torch.zeros_like(target))
    shifts = shift.repeat(len(cells), 1)
    if within and len(cells) > 1:
        for i, own in enumerate(logits):
            model = columns.probabilities(own + shift).mean(dim=0)
            observed, expected = counts[i] * prevalence[i], counts[i] * model
            target = model * (observed + _PRIOR) / (expected + _PRIOR)
            shifts[i] = _solve(columns, [own], torch.ones(1, 1), target, shift)
    return shifts


def _solve(
    columns: Columns, logits: list[Tensor], weights: Tensor, target: Tensor, shift: Tensor
) -> Tensor:
    """The shift of each matrix column at which its mean probability is `target`."""
    target, shift = target.clamp(1e-7, 1 - 1e-7), shift.clone()
    # By themselves, because the blocks take more steps than the many yes/no columns.
    for where in (columns.yes_no, *columns.turns):
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
            p = _activate(torch.add(own, shift, out=buffer), one_hot, buffer)
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


def _activate(logits: Tensor, one_hot: bool, out: Tensor) -> Tensor:
    """Probabilities, written to `out`: new memory for each of them costs ten times the sums."""
    return torch.softmax(logits, dim=1, out=out) if one_hot else torch.sigmoid(logits, out=out)


# -- pairs of columns ---------------------------------------------------------------------


def draw_in_turn(
    columns: Columns, logits: Tensor, cell: Tensor, pairs: Tensor, groups: Tensor,
    rng: torch.Generator,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Draw the one-hot blocks one after another, each given those drawn before it.

    Parameters
    ----------
    columns : Columns
    logits : tensor, shape (n, width)
    cell : tensor of int, shape (n,)
        Among the patients of a cell the values are spread evenly.
    pairs : tensor, shape (groups, width, width)
        Row i is added to the logits of the group's patients who have matrix column i.
    groups : tensor of bool, shape (groups, cells)
        Which cells belong to each group.

    Returns
    -------
    logits : tensor, shape (n, width)
        With the rows of all that was drawn added.
    drawn : tensor, shape (n, width)
        0/1; zero outside the blocks.
    """
    drawn, logits = torch.zeros_like(logits), logits.clone()
    who = [_members(group, cell) for group in groups]
    order = torch.argsort(cell, stable=True)
    for block in columns.turns:
        pick = _pick(logits[:, block], order, rng)
        drawn[:, block].scatter_(1, pick.unsqueeze(1), 1.0)
        for table, own in zip(pairs, who, strict=True):
            logits.index_add_(0, own, table[block][pick[own]])
    return logits, drawn


def _members(group: Tensor, cell: Tensor) -> Tensor:
    """Row numbers of the patients whose cell is in the group."""
    return torch.nonzero(group[cell]).squeeze(1)


def _pick(logits: Tensor, order: Tensor, rng: torch.Generator) -> Tensor:
    """Draw one value of a block for each patient, spread evenly over a cell's patients.

    `order` has the patients' row numbers, cell after cell. Of those who have none of the values
    before it, each value goes to as many as its probabilities add up to, give or take one; see
    :func:`spread`.
    """
    p = torch.softmax(logits[order].double(), dim=1)
    chance = p / p.flip(1).cumsum(dim=1).flip(1)  # of a value, for who has none of those before
    last = p.shape[1] - 1
    start = torch.rand(last, dtype=p.dtype, generator=rng, device=p.device)
    pick, without = torch.full_like(order, last), torch.ones_like(order, dtype=torch.bool)
    for value in range(last):
        own = torch.where(without, chance[:, value], 0.0)
        total = torch.cat([start[value : value + 1], own]).cumsum(dim=0)
        # Whatever the rounding: the certain comes, and the impossible does not.
        has = (total.floor().diff() > 0) & (own > 0) | (own >= 1)
        pick[has] = value
        without &= ~has
    return torch.empty_like(pick).scatter_(0, order, pick)


def choose_cells(counts: Tensor, n: int, rng: torch.Generator) -> Tensor:
    """The cells of `n` patients in random order, as frequent as `counts` says, give or take one."""
    ends = (counts.double() / counts.sum()).cumsum(dim=0)
    start = torch.rand(1, dtype=ends.dtype, generator=rng, device=ends.device)
    place = (torch.arange(n, device=ends.device) + start) / max(n, 1)
    cell = torch.searchsorted(ends[:-1], place, right=True)
    return cell[torch.randperm(n, generator=rng, device=ends.device)]


@torch.no_grad()
def calibrate_pairs(
    columns: Columns, logits: Tensor, cell: Tensor, counts: Tensor, prevalence: Tensor,
    together: Tensor, groups: Tensor, rng: torch.Generator,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Shifts at which pairs of columns are as frequent as in train.

    The generator draws its columns independently, given its noise. What one patient's columns have
    in common must come from the noise alone, and some of it is lost: two blood pressures that do
    not fit, a drug without its flag. Here the columns are drawn in turn, and each pair of a
    category (or bin) and a later column gets a shift of the later one's log odds.

    Train's pairs are a sample too, and a table that copies their every accident makes patients who
    resemble train more than they resemble the hospital. So each shift is a posterior mode: its
    prior is normal around zero, as wide as the pairs of this kind differ between train and model
    by more than chance (empirical Bayes; Efron and Morris 1973, "Stein's estimation rule and its
    competitors"). What is smooth over the bins of a number is shifted first, the single bins after.

    Which columns go together can depend on the outcome, and a model that predicts it lives on that.
    So a group of patients can have shifts of its own, on top of those that all have.

    Parameters
    ----------
    columns : Columns
    logits : tensor, shape (m, width)
        Calibrated, of generated patients who are as frequent in the cells as train's.
    cell : tensor of int, shape (m,)
        The cell of each. A column's prevalence within the cells is kept up with the pairs.
    counts, prevalence : tensors, shapes (cells,), (cells, width)
        As in :func:`calibrate`.
    together : tensor, shape (groups, width, width)
        Training patients of each group who have both of two matrix columns; only the blocks' rows
        are read.
    groups : tensor of bool, shape (groups, cells)
        Which cells belong to each group.

    Returns
    -------
    shift : tensor, shape (cells, width)
        To be added to the logits of the cell's patients.
    pairs : tensor, shape (groups, width, width)
        For :func:`draw_in_turn`.
    """
    everybody, shift = torch.zeros_like(prevalence[:1]), torch.zeros_like(prevalence)
    pairs = torch.zeros_like(together)
    counted = counts.unsqueeze(1) * prevalence
    n, everyone = float(counts.sum()), torch.arange(len(cell), device=cell.device)
    known = [
        _Known(everyone, n, torch.zeros_like(cell), counted.sum(dim=0, keepdim=True), everybody),
        _Known(everyone, n, cell, counted, shift),
    ]
    who = [(_members(group, cell), float(counts[group].sum())) for group in groups]
    order = torch.argsort(cell, stable=True)
    for block, shapes in zip(columns.turns, columns.shapes, strict=True):
        shapes = _over_patients(shapes.to(logits.device), known[0].counted[0, block] / n)
        pick = _pick(_fit_tables(logits[:, block], known, block, shapes), order, rng)
        for (own, size), both, table in zip(who, together, pairs, strict=True):
            known.append(_Known(own, size, pick[own], both[block], table[block], shapes))
    if len(columns.yes_no):
        _fit_tables(logits[:, columns.yes_no], known, columns.yes_no)
    return shift + everybody, pairs


@dataclass
class _Known:
    """What is known of patients when later columns are drawn: all of them, the cell, a block.

    `rows` are the generated patients of whom it is known, `n` the number of such training patients.
    `drawn` is what is known of each row; `counted` has the training patients with each of these
    values and each matrix column, `table` the shifts to be found, both of shape (values, width);
    `shapes` is as in :class:`~ehrsynth.gan.networks.Columns`.
    """

    rows: Tensor
    n: float
    drawn: Tensor
    counted: Tensor
    table: Tensor
    shapes: Tensor | None = None


def _fit_tables(
    logits: Tensor, known: list[_Known], where: slice | Tensor, shapes: Tensor | None = None
) -> Tensor:
    """Fill the tables of all that is known, for the columns `where`; their shifted logits.

    `shapes` are those of a block's values, None for yes/no columns. Damped Newton steps, one table
    after another, each coefficient for itself.
    """
    one_hot = shapes is not None
    levels = [_Level(known[0], where, None, None, one_hot, prior=0.0)]
    for one in known[1:]:
        prior = _PRIOR if one.shapes is None else None  # the outcome is in the cells: keep it clear
        levels.append(_Level(one, where, one.shapes, shapes, one_hot, prior))
        if not (_is_plain(one.shapes) and _is_plain(shapes)):
            levels.append(_Level(one, where, None, None, one_hot, prior))
    logits, buffer = logits.clone(), torch.empty_like(logits)
    for _ in range(_ROUNDS):
        largest = 0.0
        for level in levels:
            step = level.step(_activate(logits, one_hot, buffer))
            rows = level.known.rows
            added = torch.index_select(step, 0, level.known.drawn, out=buffer[: len(rows)])
            if len(rows) < len(logits):
                logits.index_add_(0, rows, added)
            else:
                logits += added
            largest = max(largest, float(step.abs().max()))
        if largest < _NEAR:
            break
    return logits + levels[0].step(_activate(logits, one_hot, buffer))[0]


def _over_patients(shapes: Tensor, share: Tensor) -> Tensor:
    """Shapes that mean the same, orthonormal over patients instead of values.

    Then each coefficient can be found by itself, also where most patients are in one bin.
    """
    if _is_plain(shapes):
        return shapes
    weight = share.sqrt().unsqueeze(1)
    orthonormal, size = torch.linalg.qr(
        weight * torch.cat([torch.ones_like(weight), shapes], dim=1)
    )
    told_apart = size.diagonal().abs() > 1e-4
    shapes = (orthonormal / weight.clamp_min(1e-6))[:, told_apart]
    return torch.where(weight > 0, shapes, 0.0)[:, 1:]


def _is_plain(shapes: Tensor | None) -> bool:
    """Whether each value has a shape of its own, as categories have."""
    return shapes is None or torch.equal(shapes, torch.eye(len(shapes), device=shapes.device))


class _Level:
    """The coefficients of one table: for each pair of a known shape and a shape of the target.

    Without shapes, for each pair of values. `prior` counts patients, like `_PRIOR`; None finds it
    out from how the model's pairs differ from train's.
    """

    def __init__(
        self, known: _Known, where: slice | Tensor, inside: Tensor | None, outside: Tensor | None,
        one_hot: bool, prior: float | None = None,
    ):  # fmt: skip
        self.known, self.where, self.prior = known, where, prior
        self.one_hot = one_hot
        self.inside = None if _is_plain(inside) else inside
        self.outside = None if _is_plain(outside) else outside
        self.wanted = self._outward(known.counted[:, where], self.inside)
        self.coefficients = torch.zeros_like(self.wanted)

    def _outward(self, sums: Tensor, inside: Tensor | None) -> Tensor:
        """Sums over patients by value and column, as sums by shape and shape."""
        sums = sums if self.outside is None else sums @ self.outside
        return sums if inside is None else inside.T @ sums

    def _inward(self, squares: Tensor) -> Tensor:
        """Sums of squares over patients by value, as sums by known shape."""
        return squares if self.inside is None else self.inside.square().T @ squares

    def step(self, p: Tensor) -> Tensor:
        """Move the coefficients towards train's sums; what it adds to the logits, by value."""
        if len(self.known.rows) < len(p):
            p = p[self.known.rows]
        scale = self.known.n / max(len(p), 1)
        values = len(self.known.counted)
        model = scale * self._outward(_sums(p, self.known.drawn, values), self.inside)
        if self.outside is None:
            spread = p - p.square()
        else:
            spread = p @ self.outside.square() - (p @ self.outside).square()
        information = scale * self._inward(_sums(spread, self.known.drawn, values))
        apart = self.wanted - model
        if self.prior is None:
            self.prior = _chance(apart, information)
        if self.outside is None and self.one_hot:
            # All values of a block move at once, so that their differences move by two steps.
            information = scale * self._inward(_sums(p, self.known.drawn, values))
        step = (apart - self.prior * self.coefficients) / (information + self.prior + 1e-3)
        step = step.clamp(-1, 1)
        self.coefficients += step
        moved = step if self.outside is None else step @ self.outside.T
        moved = moved if self.inside is None else self.inside @ moved
        self.known.table[:, self.where] += moved
        return moved


def _chance(apart: Tensor, information: Tensor) -> Tensor:
    """One over the prior variance of each coefficient.

    A sum that differs by chance only has a mean square of `information`; what there is beyond it
    is the coefficients' own variance, times `information` squared. It is taken over a row. Few
    pairs belong much more closely together than most: where a difference is `_CLEAR` times what
    chance makes of it, it stands for itself.
    """
    known = information > 1
    beyond = torch.where(known, apart.square() / information.clamp_min(1e-9) - 1, 0.0)
    sums = torch.where(known, information, 0.0).sum(dim=1, keepdim=True)
    variance = beyond.sum(dim=1, keepdim=True) / sums.clamp_min(1e-9)
    own = torch.where(beyond > _CLEAR**2 - 1, beyond / information.clamp_min(1e-9), 0.0)
    return 1 / torch.maximum(variance, own).clamp_min(1e-5)


def _sums(values: Tensor, group: Tensor, groups: int) -> Tensor:
    """Column sums within each group, shape (groups, columns)."""
    sums = torch.zeros(groups, values.shape[1], device=values.device)
    return sums.index_add_(0, group, values)


# -- drawing codes ------------------------------------------------------------------------


def spread(probabilities: Tensor, cell: Tensor, phase: Tensor) -> Tensor:
    """Uniform numbers below which a patient has a code, spread evenly over a cell's patients.

    Each number is uniform, but of the patients of a cell as many fall below their probability as
    the probabilities add up to, give or take one: systematic sampling (Madow and Madow 1944, "On
    the theory of systematic sampling"). Independent numbers would add an error to every prevalence
    that is as large as the one train has already.

    Parameters
    ----------
    probabilities : tensor, shape (n, codes)
    cell : tensor of int, shape (n,)
    phase : tensor of double, shape (cells, codes)
        Where each cell and code has come to, uniform at first. It is moved on, in place, so that
        the patients of the next call continue those of this one.

    Returns
    -------
    tensor of double, shape (n, codes)
    """
    order = torch.argsort(cell, stable=True)
    total = torch.zeros(len(order) + 1, phase.shape[1], dtype=phase.dtype, device=phase.device)
    torch.cumsum(probabilities[order].double(), dim=0, out=total[1:])
    ends = torch.bincount(cell, minlength=len(phase)).cumsum(dim=0)
    before = total[torch.cat([ends.new_zeros(1), ends[:-1]])]
    uniform = torch.empty_like(total[1:])
    uniform[order] = (total[1:] + (phase - before)[cell[order]]) % 1
    phase += total[ends] - before
    phase %= 1
    return uniform


def _score(x: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of each patient's matrix columns, which may be bytes; some at a time."""
    return torch.cat([part.float() @ weights for part in x.split(_PART)])


@dataclass
class Counts:
    """How many diagnoses patients have, as the model makes it and as it should be.

    The number depends on the cell and on the patient's other columns: who is old and has been
    measured often has more. So patients are grouped by cell and by the number that their categories
    and bins let expect.

    Parameters
    ----------
    weights : tensor, shape (width,)
        Of the matrix columns, for the expected number.
    cuts : tensor
        Where the groups end, in each cell; a fifth of train lies between two of them.
    tables : tensor, shape (2, groups, codes + 1)
        Shares of a group's patients with at most 0, 1, 2, ... diagnoses: generated, and wanted,
        which is train's distribution together with five patients from the model's.
    """

    weights: Tensor
    cuts: Tensor
    tables: Tensor

    @classmethod
    @torch.no_grad()
    def fit(
        cls, columns: Columns, made: Tensor, cell: Tensor, real: Tensor, real_cell: Tensor,
        together: Tensor,
    ) -> "Counts":  # fmt: skip
        """From generated and training patients, shapes (m, width) and (n, width), and their cells.

        `together`, shape (width, width), has the training patients with both of two matrix
        columns: all that least squares need.
        """
        rows = torch.nonzero(columns.in_turn).squeeze(1)
        weights = torch.zeros(columns.width, device=made.device)
        squares = together[rows][:, rows].double() + _PRIOR * torch.eye(len(rows)).to(together)
        sums = together[rows][:, columns.counted].sum(dim=1).double()
        weights[rows] = torch.linalg.solve(squares, sums).float()
        places = np.arange(1, _STRATA) / _STRATA
        cuts = np.quantile(_score(real, weights).cpu().numpy(), places)
        counts = cls(weights, torch.from_numpy(cuts).to(weights), made.new_empty(0))
        groups, most = (int(real_cell.max()) + 1) * _STRATA, len(columns.counted)
        histograms = []
        for x, own in ((made, cell), (real, real_cell)):
            parts = x.split(_PART)  # a sum of bytes is made from a copy eight times as large
            number = torch.cat([part[:, columns.counted].sum(dim=1).long() for part in parts])
            flat = counts.group(x, own) * (most + 1) + number
            flat = torch.bincount(flat, minlength=groups * (most + 1))
            histograms.append(flat.view(groups, most + 1).double())
        model, observed = histograms
        model += model.sum(dim=0) / len(made)  # one patient like all, for a group that has nobody
        share = model / model.sum(dim=1, keepdim=True)
        tables = torch.stack([model, observed + _PRIOR * share]).cumsum(dim=2)
        counts.tables = (tables / tables[:, :, -1:]).float()
        return counts

    def group(self, x: Tensor, cell: Tensor) -> Tensor:
        """The group of each patient, shape (n,); codes are not looked at."""
        return cell * _STRATA + torch.bucketize(_score(x, self.weights), self.cuts)

    @torch.no_grad()
    def draw(
        self, probabilities: Tensor, uniform: Tensor, group: Tensor, rng: torch.Generator
    ) -> Tensor:
        """Draw yes/no codes of which each patient has as many as the tables want.

        Each patient's codes are drawn as usual, and counted. The count is then moved to the same
        place in the wanted distribution, and the patient keeps that many of the codes that came
        closest.

        Parameters
        ----------
        probabilities : tensor, shape (n, codes)
        uniform : tensor, shape (n, codes)
            A code comes when its number is below its probability; e.g. from :func:`spread`.
        group : tensor of int, shape (n,)

        Returns
        -------
        tensor, shape (n, codes)
            0/1.
        """
        made, wanted = self.tables[:, group]
        p = probabilities.clamp(1e-7, 1 - 1e-7)
        margin = p.logit() - uniform.clamp(1e-12, 1 - 1e-12).logit().to(p.dtype)
        number = (margin > 0).sum(dim=1, keepdim=True)  # above zero means yes
        upper = made.gather(1, number)
        lower = torch.where(number > 0, made.gather(1, (number - 1).clamp_min(0)), 0.0)
        place = torch.rand(number.shape, generator=rng, device=p.device)
        number = torch.searchsorted(wanted, lower + place * (upper - lower))
        number = number.clamp_max(p.shape[1])
        best = margin.topk(int(number.max()), dim=1).indices if len(number) else number
        rank = torch.arange(best.shape[1], device=p.device)
        return torch.zeros_like(p).scatter_(1, best, (rank < number).to(p.dtype))
