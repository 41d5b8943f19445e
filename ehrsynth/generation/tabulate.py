"""What is counted in train: the cells of the given columns, and who has two columns at once."""

import torch
from torch import Tensor

from ..gan.networks import Columns
from .calibration import column_means

_PART = 8192  # patients counted at a time


def cross_tabulate(data: Tensor, columns: Columns) -> tuple[Tensor, Tensor, Tensor]:
    """The combinations of the given columns in train, their counts, and the means in each.

    Chapter generation, "Calibration".

    Parameters
    ----------
    data : tensor, shape (n, width)
        The training patients.
    columns : Columns

    Returns
    -------
    cells, counts, prevalence : tensors, shapes (k, conditions), (k,), (k, width)
        One cell with no conditions when nothing is given.
    """
    given = data[:, columns.condition]
    if given.shape[1] == 0:
        mean = column_means(data).unsqueeze(0)
        return given[:1].contiguous(), torch.tensor([float(len(data))], device=data.device), mean
    values, member, counts = torch.unique(given, dim=0, return_inverse=True, return_counts=True)
    mean = torch.zeros(len(values), data.shape[1], device=data.device)
    for i in range(len(values)):
        mean[i] = column_means(data[member == i])
    return values, counts.float(), mean


def co_occurrences(data: Tensor, columns: Columns, own: Tensor | None = None) -> Tensor:
    """How many patients have both of two matrix columns.

    Only the rows of one-hot blocks are counted; the others stay zero.
    Chapter generation, "What belongs together".

    Parameters
    ----------
    data : tensor, shape (n, width)
    columns : Columns
    own : tensor of bool, shape (n,), optional
        Which patients count; by default all.

    Returns
    -------
    tensor, shape (width, width)
    """
    own = torch.ones(len(data), dtype=torch.bool, device=data.device) if own is None else own
    counts = torch.zeros(columns.width, columns.width, device=data.device)
    for part, mine in zip(data.split(_PART), own.split(_PART), strict=True):
        x = part[mine].float()
        for block in columns.turns:
            counts[block] += x[:, block].T @ x
    return counts
