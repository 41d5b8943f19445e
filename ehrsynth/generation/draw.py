"""Drawing cells, categories and codes: as often as their probabilities say, evenly.

Systematic sampling (Madow and Madow 1944, "On the theory of systematic sampling"): one uniform
number for many patients in a row. Independent numbers would add an error to every prevalence that
is as large as the one train has already.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..gan.networks import Columns

Phase = Tensor | torch.Generator  # of :func:`spread`


def choose_cells(counts: Tensor, n: int, rng: torch.Generator) -> Tensor:
    """The cells of new patients, one cell after another, as frequent as in train, give or take one.
    Chapter generation, "Asking for a kind of patient".
    """
    ends = (counts.double() / counts.sum()).cumsum(dim=0)
    start = torch.rand(1, dtype=ends.dtype, generator=rng, device=ends.device)
    place = (torch.arange(n, device=ends.device) + start) / max(n, 1)
    return torch.searchsorted(ends[:-1], place, right=True)


def spread(probabilities: Tensor, cell: Tensor, phase: Phase) -> Tensor:
    """Uniform numbers below which a patient has a code, spread evenly over a cell's patients.

    Of a cell as many fall below their probability as the probabilities add up to, give or take one.
    The patients lie cell after cell. `phase`, shape (cells, codes), uniform at first, is where each
    has come to; it is moved on in place for the next patients. Of one code the shapes may be (n,)
    and (cells,). A random generator in place of the phase gives independent numbers.
    Chapter generation, "Even coins".
    """
    if isinstance(phase, torch.Generator):
        where = phase.device
        return torch.rand(probabilities.shape, dtype=torch.double, generator=phase, device=where)
    shape, cells = (len(cell) + 1, *phase.shape[1:]), torch.arange(len(phase), device=cell.device)
    total = torch.zeros(shape, dtype=phase.dtype, device=phase.device)
    torch.cumsum(probabilities, dim=0, dtype=phase.dtype, out=total[1:])
    before, end = (total[torch.searchsorted(cell, cells, right=right)] for right in (False, True))
    uniform = total[1:] + (phase - before)[cell]
    phase += end - before
    phase -= phase.floor()
    return uniform.sub_(uniform.floor())


def span(places: Tensor) -> Tensor | slice:
    """Places, as a slice where they follow on: no copy. Chapter generation, "Even coins"."""
    n, first = len(places), int(places[0]) if len(places) else 0
    follow = n > 0 and bool((places == torch.arange(first, first + n).to(places)).all())
    return slice(first, first + n) if follow else places


def draw_in_turn(
    columns: Columns, logits: Tensor, cell: Tensor, pairs: Tensor, groups: Tensor,
    rng: torch.Generator,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Draw the one-hot blocks one after another; the new logits, and 0/1 of what was drawn.

    The patients lie cell after cell. Row i of a group's `pairs` is added to the logits of its
    patients who have matrix column i. Chapter generation, "What belongs together".
    """
    pick = torch.empty(len(logits), 0, dtype=torch.long).to(cell)
    who = [span(torch.nonzero(group[cell]).squeeze(1)) for group in groups]
    for block in columns.turns:
        value = draw_values(_shifted(logits[:, block], pick, pairs[:, :, block], who), rng)
        pick = torch.cat([pick, block.start + value.unsqueeze(1)], dim=1)
    return _shifted(logits, pick, pairs, who), torch.zeros_like(logits).scatter_(1, pick, 1.0)


def _shifted(logits: Tensor, pick: Tensor, pairs: Tensor, who: Sequence[Tensor | slice]) -> Tensor:
    """Logits, and what the rows `pick` of each group's `pairs` add to those of its patients."""
    logits = logits.clone()
    for table, own in zip(pairs, who if pick.shape[1] else (), strict=False):
        logits[own] += nn.functional.embedding_bag(pick[own], table.contiguous(), mode="sum")
    return logits


def draw_values(logits: Tensor, rng: torch.Generator) -> Tensor:
    """Draw one value of a block for each patient, evenly where they lie cell after cell.

    Of who has none of the values before it, as many get one as its probabilities add up to, give
    or take one. Chapter generation, "Even coins".
    """
    p = torch.softmax(logits.double(), dim=1).T.contiguous()
    chance = p / p.flip(0).cumsum(dim=0).flip(0)  # of a value, for who has none of those before
    last = len(p) - 1
    start = torch.rand(last, dtype=p.dtype, generator=rng, device=p.device)
    pick = torch.full(p.shape[1:], last, device=p.device)
    without = torch.ones_like(pick, dtype=torch.bool)
    for value in range(last):
        own = torch.where(without, chance[value], 0.0)
        total = torch.cat([start[value : value + 1], own]).cumsum(dim=0)
        # Whatever the rounding: the certain comes, and the impossible does not.
        has = (total.floor().diff() > 0) & (own > 0) | (own >= 1)
        pick[has] = value
        without &= ~has
    return pick
