"""What is counted in train: the cells of the given columns, and who has two columns at once."""

import torch
from torch import Tensor

from ..errors import InputError
from ..gan.networks import Columns
from ..gan.players import PART, column_means
from ..kinds import category_text
from ..preprocessing.matrix import Block, places


def cross_tabulate(data: Tensor, columns: Columns) -> tuple[Tensor, Tensor, Tensor]:
    """The combinations of the given columns in train, their counts, and the means in each.

    Shapes (cells, conditions), (cells,), (cells, width); one cell when nothing is given.
    Chapter generation, "Calibration".
    """
    given = data[:, columns.condition]
    if given.shape[1] == 0:
        mean = column_means(data).unsqueeze(0)
        return given[:1].contiguous(), torch.tensor([float(len(data))], device=data.device), mean
    values, member, counts = torch.unique(given, dim=0, return_inverse=True, return_counts=True)
    means = [column_means(data[member == i]) for i in range(len(values))]
    return values, counts.float(), torch.stack(means)


def pool_small_cells(
    data: Tensor, columns: Columns, layout: tuple[Block, ...], least: int
) -> Tensor:
    """Patients whose combination of given columns fewer than `least` have, in a larger one.

    In the largest of the same outcome. Chapter generation, "Asking for a kind of patient".
    """
    if len(columns.condition) == 0:
        return data
    cells, member, counts = torch.unique(
        data[:, columns.condition], dim=0, return_inverse=True, return_counts=True
    )
    roles = [layout[columns.owner[i]].role for i in columns.condition.tolist()]
    own = cells[:, torch.tensor([role == "outcome" for role in roles])]
    for i in torch.nonzero(counts < least).squeeze(1):
        alike = (own == own[i]).all(dim=1)
        largest = torch.where(alike, counts, 0).argmax()
        if largest != i:
            rows = torch.nonzero(member == i)
            data = data.clone()
            data[rows, columns.condition] = cells[largest]
    return data


def co_occurrences(data: Tensor, columns: Columns) -> Tensor:
    """How many patients have both of two matrix columns, the first of a one-hot block (else 0).
    Chapter generation, "What belongs together".
    """
    counts = torch.zeros(columns.width, columns.width, device=data.device)
    for part in data.split(PART):
        x = part.float()
        for block in columns.turns:
            counts[block] += x[:, block].T @ x
    return counts


def condition_names(layout: tuple[Block, ...]) -> list[str]:
    """The columns a conditional model is given: the outcome and the sex, where there are any.
    Chapter generation, "Asking for a kind of patient".
    """
    sexes = [b.name for b in layout if b.role == "demographic" and {"F", "M"} <= set(b.labels)]
    return [b.name for b in layout if b.role == "outcome"] + sexes[:1]


def agreeing_cells(
    where: dict, layout: tuple[Block, ...], conditions: list[str], cells: Tensor
) -> Tensor:
    """Which cells agree with a wish, e.g. ``{"DIE_1y": 1, "sex": "F"}``; a mask.
    Chapter generation, "Asking for a kind of patient".
    """
    blocks = {block.name: block for block in layout}
    at = places(tuple(b for b in layout if b.name in conditions))
    allowed = torch.ones(len(cells), dtype=torch.bool, device=cells.device)
    for name, value in where.items():
        if name not in conditions:
            known = ", ".join(conditions) or "none; train with condition=True"
            what = "is not conditioned" if name in blocks else "is not in the data"
            raise InputError(f"Column {name!r} {what}; conditioned columns: {known}.")
        block = blocks[name]
        label = category_text(value)
        if label not in block.labels:
            raise InputError(
                f"Column {name!r} has no value {value!r}; use one of {', '.join(block.labels)}."
            )
        index, own = block.labels.index(label), cells[:, at[name]]
        allowed &= own[:, 0] == index if block.kind == "binary" else own[:, index] == 1
    if not bool(allowed.any()):
        wish = ", ".join(f"{name} = {value}" for name, value in where.items())
        raise InputError(f"No or too few training patients have {wish}; the model cannot make any.")
    return allowed
