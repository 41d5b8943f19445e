"""Drawing cells, categories and codes: as often as their probabilities say, evenly.

Systematic sampling (Madow and Madow 1944, "On the theory of systematic sampling"): one uniform
number for many patients in a row. Independent numbers would add an error to every prevalence that
is as large as the one train has already.
"""

import torch
from torch import Tensor

from ..gan.networks import Columns

Phase = Tensor | torch.Generator  # of :func:`spread`


def choose_cells(counts: Tensor, n: int, rng: torch.Generator) -> Tensor:
    """The cells of new patients in random order, as frequent as in train, give or take one.

    `counts` are train's. Chapter generation, "Asking for a kind of patient".
    """
    ends = (counts.double() / counts.sum()).cumsum(dim=0)
    start = torch.rand(1, dtype=ends.dtype, generator=rng, device=ends.device)
    place = (torch.arange(n, device=ends.device) + start) / max(n, 1)
    cell = torch.searchsorted(ends[:-1], place, right=True)
    return cell[torch.randperm(n, generator=rng, device=ends.device)]


def spread(
    probabilities: Tensor, cell: Tensor, phase: Phase, order: Tensor | None = None
) -> Tensor:
    """Uniform numbers below which a patient has a code, spread evenly over a cell's patients.

    Of a cell as many fall below their probability as the probabilities add up to, give or take one.
    `phase`, shape (cells, codes), uniform at first, is where each has come to; it is moved on in
    place for the next patients. Of one code the shapes may be (n,) and (cells,). `order` has the
    patients' row numbers, cell after cell. A random generator in place of the phase gives
    independent numbers. Chapter generation, "Even coins".
    """
    if isinstance(phase, torch.Generator):
        where = phase.device
        return torch.rand(probabilities.shape, dtype=torch.double, generator=phase, device=where)
    order = torch.argsort(cell, stable=True) if order is None else order
    shape = len(order) + 1, *phase.shape[1:]
    total = torch.zeros(shape, dtype=phase.dtype, device=phase.device)
    torch.cumsum(probabilities[order].double(), dim=0, out=total[1:])
    ends = torch.bincount(cell, minlength=len(phase)).cumsum(dim=0)
    before = total[torch.cat([ends.new_zeros(1), ends[:-1]])]
    uniform = torch.empty_like(total[1:])
    uniform[order] = (total[1:] + (phase - before)[cell[order]]) % 1
    phase += total[ends] - before
    phase %= 1
    return uniform


def draw_in_turn(
    columns: Columns, logits: Tensor, cell: Tensor, pairs: Tensor, groups: Tensor,
    rng: torch.Generator,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Draw the one-hot blocks one after another, each given those drawn before it.

    Row i of a group's `pairs` is added to the logits of its patients who have matrix column i. The
    new logits, and 0/1 of what was drawn. Chapter generation, "What belongs together".
    """
    drawn, logits = torch.zeros_like(logits), logits.clone()
    who = [torch.nonzero(group[cell]).squeeze(1) for group in groups]
    order = torch.argsort(cell, stable=True)
    for block in columns.turns:
        pick = draw_values(logits[:, block], order, rng)
        drawn[:, block].scatter_(1, pick.unsqueeze(1), 1.0)
        for table, own in zip(pairs, who, strict=True):
            logits.index_add_(0, own, table[block][pick[own]])
    return logits, drawn


def draw_values(logits: Tensor, order: Tensor, rng: torch.Generator) -> Tensor:
    """Draw one value of a block for each patient, spread evenly over a cell's patients.

    Of who has none of the values before it, as many get one as its probabilities add up to, give
    or take one. `order` has row numbers, cell after cell. Chapter generation, "Even coins".
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
