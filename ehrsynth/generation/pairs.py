"""Pairs of columns as frequent as in train: each drawn value shifts the columns that come later."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..gan.networks import Columns
from ..protection import LEAST_PATIENTS
from .calibration import PRIOR, activate
from .draw import draw_values

_ROUNDS = 12  # at most, of setting every pair right in turn
_CLEAR = 3.0  # standard errors that make a pair's difference its own evidence
_NEAR = 0.01  # of the log odds of a pair


@torch.no_grad()
def calibrate_pairs(
    columns: Columns, logits: Tensor, cell: Tensor, counts: Tensor, prevalence: Tensor,
    both: Tensor, groups: Tensor, rng: torch.Generator, least: int = LEAST_PATIENTS,
    trust: float = 1.0,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Shifts at which pairs of columns are as frequent as in train: (cells, width) and pairs.

    The generator draws its columns independently, given its noise, which loses some of what they
    have in common. Here they are drawn in turn, and each pair of a category (or bin) and a later
    column gets a shift of the later one's log odds; a group, such as the patients with the outcome,
    has shifts of its own on top.

    A table that copies train's every accident makes patients who resemble train more than the
    hospital. So each shift is a posterior mode: its prior is normal around zero, as wide as the
    pairs of this kind differ between train and model by more than chance (empirical Bayes; Efron
    and Morris 1973); less `trust` narrows it. What is smooth over the bins of a number is shifted
    first. A pair that some but fewer than `least` training patients have gets no shift of its own.

    `logits` are calibrated, of generated patients as frequent in the cells as train's; `both` has
    ``co_occurrences`` of each group. The pairs, (groups, width, width), are for `draw_in_turn`.
    Chapter generation, "What belongs together".
    """
    everybody, shift, pairs = (torch.zeros_like(x) for x in (prevalence[:1], prevalence, both))
    counted = counts.unsqueeze(1) * prevalence
    n, everyone, total = float(counts.sum()), torch.arange(len(cell)).to(cell), counted.sum(dim=0)
    known = [  # the outcome is in the cells: their prior keeps it clear
        _Known(everyone, n, torch.zeros_like(cell), total[None], everybody, least, prior=0.0),
        _Known(everyone, n, cell, counted, shift, least, prior=PRIOR),
    ]
    for block, shapes in zip(columns.turns, columns.shapes, strict=True):
        if shapes is not None:
            shapes = _over_patients(shapes.to(logits.device), total[block] / n)
        pick = draw_values(_fit_tables(logits[:, block], known, block, shapes), rng)
        for group, own_both, table in zip(groups, both, pairs, strict=True):
            rows, size = torch.nonzero(group[cell]).squeeze(1), float(counts[group].sum())
            tables = own_both[block], table[block]
            known.append(_Known(rows, size, pick[rows], *tables, least, None, shapes, trust))
    if len(columns.yes_no):
        _fit_tables(logits[:, columns.yes_no], known, columns.yes_no, None)
    return shift + everybody, pairs


@dataclass
class _Known:
    """What is known of patients when later columns are drawn: all of them, the cell, a block."""

    rows: Tensor  # generated patients of whom it is known
    n: float  # number of such training patients
    drawn: Tensor  # what is known of each row
    counted: Tensor  # training patients with each value and matrix column, (values, width)
    table: Tensor  # the shifts to be found, (values, width)
    least: int  # of those patients, behind every shift
    prior: float | None  # counts patients; None finds it out from how the model differs from train
    shapes: Tensor | None = None  # of the values, as in ``Columns.shapes``
    trust: float = 1.0


def _fit_tables(
    logits: Tensor, known: list[_Known], where: slice | Tensor, shapes: Tensor | None
) -> Tensor:
    """Fill the tables of all that is known, for the columns `where`; their shifted logits.

    `shapes` are those of a number's bins. Damped Newton steps, one table after another, each
    coefficient for itself.
    """
    levels, one_hot = [_Level(known[0], where)], isinstance(where, slice)
    for one in known[1:]:
        if one.shapes is not None or shapes is not None:
            levels.append(_Level(one, where, one.shapes, shapes))
        levels.append(_Level(one, where))
    logits, buffer = logits.clone(), torch.empty_like(logits)
    for _ in range(_ROUNDS):
        largest = 0.0
        for level in levels:
            step = level.step(activate(logits, one_hot, buffer))
            rows = level.known.rows
            added = torch.index_select(step, 0, level.known.drawn, out=buffer[: len(rows)])
            if len(rows) < len(logits):
                logits.index_add_(0, rows, added)
            else:
                logits += added
            largest = max(largest, float(step.abs().max()))
        if largest < _NEAR:
            break
    return logits + levels[0].step(activate(logits, one_hot, buffer))[0]


def _over_patients(shapes: Tensor, share: Tensor) -> Tensor:
    """Shapes that mean the same, orthonormal over patients instead of values.

    Then each coefficient can be found by itself, also where most patients are in one bin.
    """
    weight = share.sqrt().unsqueeze(1)
    orthonormal, size = torch.linalg.qr(
        weight * torch.cat([torch.ones_like(weight), shapes], dim=1)
    )
    told_apart = size.diagonal().abs() > 1e-4
    shapes = (orthonormal / weight.clamp_min(1e-6))[:, told_apart]
    return torch.where(weight > 0, shapes, 0.0)[:, 1:]


class _Level:
    """The coefficients of one table: for each pair of a known shape and a shape of the target.

    Without shapes, for each pair of values.
    """

    def __init__(
        self, known: _Known, where: slice | Tensor, inside: Tensor | None = None,
        outside: Tensor | None = None,
    ):  # fmt: skip
        self.known, self.where, self.inside, self.outside = known, where, inside, outside
        self.prior: float | Tensor | None = known.prior
        counted = known.counted[:, where]
        if inside is None and outside is None:  # one to four patients are some
            some = (counted > 0) & (counted < known.least)
            counted = torch.where(some, known.least / 2, counted)
        self.wanted, self.untold = self._by_shapes(counted), torch.tensor(False)
        self.coefficients = torch.zeros_like(self.wanted)

    def _untold(self, expected: Tensor) -> Tensor:
        """Where too few patients, in train and as expected, stand behind a coefficient.

        What is expected decides too: to leave out only what few have would make it more frequent.
        """
        least, counted = self.known.least, self.known.counted[:, self.where]
        for dim, shapes in ((0, self.inside), (1, self.outside)):
            if shapes is not None:
                counted, expected = (x.sum(dim=dim, keepdim=True) for x in (counted, expected))
        few = torch.maximum(counted, expected) < 2 * least
        shaped = self.inside is not None or self.outside is not None
        return few | (counted > 0) & (counted < least) if shaped else few

    def _sums(self, values: Tensor) -> Tensor:
        """Of generated patients, by what is known of them."""
        sums = torch.zeros(len(self.known.counted), values.shape[1], device=values.device)
        return sums.index_add_(0, self.known.drawn, values)

    def _by_shapes(self, sums: Tensor) -> Tensor:
        """Sums over patients by value and column, as sums by shape and shape."""
        sums = sums if self.outside is None else sums @ self.outside
        return sums if self.inside is None else self.inside.T @ sums

    def _inward(self, squares: Tensor) -> Tensor:
        """Sums of squares over patients by value, as sums by known shape."""
        return squares if self.inside is None else self.inside.square().T @ squares

    def step(self, p: Tensor) -> Tensor:
        """Move the coefficients towards train's sums; what it adds to the logits, by value."""
        if len(self.known.rows) < len(p):
            p = p[self.known.rows]
        scale, sums = self.known.n / max(len(p), 1), self._sums(p)
        if self.outside is None:
            squares = p - p.square()
        else:
            squares = p @ self.outside.square() - (p @ self.outside).square()
        information = scale * self._inward(self._sums(squares))
        apart = self.wanted - scale * self._by_shapes(sums)
        if self.coefficients.count_nonzero() == 0:
            self.untold = self._untold(scale * sums)
        if self.prior is None:
            self.prior = _chance(apart, information) / self.known.trust
        if self.outside is None and isinstance(self.where, slice):
            # All values of a block move at once, so that their differences move by two steps.
            information = scale * self._inward(sums)
        step = (apart - self.prior * self.coefficients) / (information + self.prior + 1e-3)
        step = torch.where(self.untold, 0.0, step.clamp(-1, 1))
        self.coefficients += step
        moved = step if self.outside is None else step @ self.outside.T
        moved = moved if self.inside is None else self.inside @ moved
        self.known.table[:, self.where] += moved
        return moved


def _chance(apart: Tensor, information: Tensor) -> Tensor:
    """One over the prior variance of each coefficient.

    A sum that differs by chance only has a mean square of `information`; what is beyond it is the
    coefficients' variance, times `information` squared, over a row. A difference `_CLEAR` times
    what chance makes of it stands for itself.
    """
    known = information > 1
    beyond = torch.where(known, apart.square() / information.clamp_min(1e-9) - 1, 0.0)
    sums = torch.where(known, information, 0.0).sum(dim=1, keepdim=True)
    variance = beyond.sum(dim=1, keepdim=True) / sums.clamp_min(1e-9)
    own = torch.where(beyond > _CLEAR**2 - 1, beyond / information.clamp_min(1e-9), 0.0)
    return 1 / torch.maximum(variance, own).clamp_min(1e-5)
