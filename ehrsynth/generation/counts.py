"""How many diagnoses a patient has: as many as patients like this one have in train."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..gan.networks import Columns
from ..gan.players import PART
from ..protection import LEAST_PATIENTS, knots, mean
from .calibration import PRIOR

_STRATA = 5  # groups by the expected number of diagnoses, in each cell


@dataclass
class Counts:
    """How many diagnoses patients have, as the model makes it and as it should be.

    Patients are grouped by cell and by the number that their categories and bins let expect.
    Chapter generation, "How many diagnoses".
    """

    weights: Tensor  # of the matrix columns, for the expected number
    cuts: Tensor  # where the groups end, in each cell; a fifth of train is between two of them
    # Shape (2, groups, codes + 1): shares of a group's patients with at most 0, 1, ... diagnoses,
    # generated and wanted; wanted is train's distribution with five patients from the model's.
    tables: Tensor

    @classmethod
    @torch.no_grad()
    def fit(
        cls, columns: Columns, made: Tensor, cell: Tensor, real: Tensor, real_cell: Tensor,
        both: Tensor, least: int = LEAST_PATIENTS,
    ) -> "Counts":  # fmt: skip
        """From generated and training patients and their cells; `both` counts train's pairs."""
        rows = torch.nonzero(columns.in_turn).squeeze(1)
        weights = torch.zeros(columns.width, device=made.device)
        squares = both[rows][:, rows].double() + PRIOR * torch.eye(len(rows)).to(both)
        sums = both[rows][:, columns.counted].sum(dim=1).double()
        weights[rows] = torch.linalg.solve(squares, sums).float()
        score = np.sort(_score(real, weights).cpu().numpy())
        ends = (len(score) * np.arange(1, _STRATA) // _STRATA).tolist()
        cuts = [mean(score[max(end - least, 0) : end + least], least) for end in ends]
        counts = cls(weights, torch.tensor(cuts).to(weights), made.new_empty(0))
        groups, most = (int(real_cell.max()) + 1) * _STRATA, len(columns.counted)
        histograms = []
        for x, own in ((made, cell), (real, real_cell)):
            parts = x.split(PART)  # a sum of bytes is made from a copy eight times as large
            number = torch.cat([part[:, columns.counted].sum(dim=1).long() for part in parts])
            group = counts.group(x, own)
            if x is real:
                number = _smooth(number, group, least).clamp(0, most)
            flat = group * (most + 1) + number
            flat = torch.bincount(flat, minlength=groups * (most + 1))
            histograms.append(flat.view(groups, most + 1).double())
        model, observed = histograms
        model += model.sum(dim=0) / len(made)  # one patient like all, for a group that has nobody
        share = model / model.sum(dim=1, keepdim=True)
        tables = torch.stack([model, observed + PRIOR * share]).cumsum(dim=2)
        counts.tables = (tables / tables[:, :, -1:]).float()
        return counts

    def group(self, x: Tensor, cell: Tensor) -> Tensor:
        """The group of each patient, shape (n,); codes are not looked at."""
        return cell * _STRATA + torch.bucketize(_score(x, self.weights), self.cuts)

    @torch.no_grad()
    def draw(
        self, probabilities: Tensor, uniform: Tensor, group: Tensor, rng: torch.Generator
    ) -> Tensor:
        """Draw 0/1 codes, shape (n, codes), of which each patient has as many as the tables want.

        The count of codes drawn as usual (where `uniform` is below the probability) is moved to the
        same place in the wanted distribution; the patient keeps that many that came closest.
        """
        made, wanted = self.tables[:, group]
        margin = torch.logit(probabilities, 1e-7) - torch.logit(uniform, 1e-12)
        before = (margin > 0).float().sum(dim=1, keepdim=True).long()  # above zero means yes
        upper = made.gather(1, before)
        lower = torch.where(before > 0, made.gather(1, (before - 1).clamp_min(0)), 0.0)
        place = torch.rand(before.shape, generator=rng, device=lower.device)
        number = torch.searchsorted(wanted, lower + place * (upper - lower))
        number = number.clamp_max(margin.shape[1])
        best = margin.topk(int(number.max()), dim=1).indices if len(number) else number
        keep = torch.arange(best.shape[1], device=best.device) < number
        return torch.zeros_like(probabilities).scatter_(1, best, keep.to(probabilities.dtype))


def _smooth(number: Tensor, group: Tensor, least: int) -> Tensor:
    """Numbers spread between the means of neighbors in their group, so that none is one's own."""
    smooth, usual = torch.zeros_like(number), float(number.double().mean())
    for own in (torch.nonzero(group == i).squeeze(1) for i in group.unique()):
        values = number[own].cpu().numpy().astype(float)
        means = knots(values, len(values), least) or [usual]
        place = (np.argsort(np.argsort(values, kind="stable")) + 0.5) / len(values)
        found = np.interp(place, (np.arange(len(means)) + 0.5) / len(means), means)
        smooth[own] = torch.from_numpy(np.round(found)).to(number)
    return smooth


def _score(x: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of each patient's matrix columns, which may be bytes; some at a time."""
    return torch.cat([part.float() @ weights for part in x.split(PART)])
