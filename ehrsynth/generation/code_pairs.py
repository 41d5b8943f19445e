"""Pairs of codes as frequent as in train: codes are drawn in turn, each shifts those after it."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csc_matrix, csr_matrix
from scipy.special import expit
from torch import Tensor

from .draw import Phase, spread

_ROUNDS = 20  # at most, of setting all pairs of a code right
_FEWEST = 10  # training patients with a code before it may shift another
_CLEAR = 4.0  # standard errors that make a pair's difference its own evidence
_NEAR = 0.02  # of the log odds
_STREAM = 6  # sets these random numbers apart
_BLOCK = 32  # codes, of those drawn in turn, that are shifted together


@dataclass
class CodePairs:
    """What each drawn code adds to the log odds of the codes after it.

    The codes are drawn one after another, the most frequent first, and each that a patient has
    shifts the later ones. As in :mod:`.pairs`, a shift is a posterior mode, and patients with the
    outcome have shifts of their own on top. Chapter generation, "What belongs together".
    """

    order: Tensor  # (k,) places among the yes/no columns, in the order of drawing
    start: Tensor  # (groups, k) shifts of the codes, by group of patients
    shifts: Tensor  # (groups, k, k) row i is added to later codes of those who have code i

    @torch.no_grad()
    def draw(
        self, logits: Tensor, cell: Tensor, groups: Tensor, phase: Phase
    ) -> tuple[Tensor, Tensor]:
        """Draw the codes of patients with these `logits`, shape (n, k), who lie cell after cell.

        Probabilities as they were when each code was drawn, and uniform numbers; a patient has the
        code where the uniform number is below the probability. `phase` as in
        :func:`ehrsynth.generation.draw.spread`.
        """
        ends = torch.bincount(cell, minlength=groups.shape[1]).cumsum(dim=0).tolist()
        own = [slice(*both) for both in zip([0, *ends], ends, strict=False)]
        start, tables = (torch.tensordot(groups.T.to(x), x, 1) for x in (self.start, self.shifts))
        # Of a code the patients lie side by side in memory.
        logits = logits.T.contiguous()[self.order]
        for shift, part in zip(start, own, strict=True):
            logits[:, part] += shift.unsqueeze(1)
        codes, chance, uniform = (torch.zeros_like(logits) for _ in range(3))
        for i, place in enumerate(self.order.tolist()):
            first = i - i % _BLOCK  # what was drawn before these few shifts all of them at once
            block, later = slice(first, first + _BLOCK), slice(i + 1, first + _BLOCK)
            for table, part in zip(tables, own if i == first else (), strict=False):
                logits[block, part].addmm_(table[:first, block].T, codes[:first, part])
            torch.sigmoid(logits[i], out=chance[place])
            own_phase = phase if isinstance(phase, torch.Generator) else phase[:, place]
            uniform[place] = spread(chance[place], cell, own_phase)
            torch.lt(uniform[place], chance[place], out=codes[i])
            for table, part in zip(tables, own, strict=True):
                logits[later, part].addr_(table[i, later], codes[i, part])
        return chance.T.contiguous(), uniform.T.contiguous()


def fit_code_pairs(
    logits: Tensor, cell: Tensor, data: Tensor, member: Tensor, groups: Tensor, trust: float,
    seed: int,
) -> CodePairs:  # fmt: skip
    """Find the shifts at which codes and pairs of codes are as frequent as in train.

    `logits` (n, k) are of generated patients, as frequent in every group as in train; `data`
    (patients, k) has train's codes; `cell` and `member` are the cells of either, and `groups` says
    which cells belong to each group. The many pairs that differ little tell most about who was in
    train: with a `trust` of 1 their shifts are the likeliest (empirical Bayes), less is more
    cautious. The few that differ by `_CLEAR` standard errors are the hospital's, and are kept.
    Chapter generation, "What belongs together".
    """
    generated, rng = logits.cpu().numpy(), np.random.default_rng([seed, _STREAM])
    inside, members = (groups[:, own].cpu().numpy() for own in (cell, member))
    real = csr_matrix(data.cpu().numpy().astype(np.float32))
    order = np.argsort(-np.asarray(real.sum(axis=0)).ravel(), kind="stable")
    real, n, size = real[:, order], len(generated), len(order)
    both = [np.asarray((part := real[own]).T @ part.toarray()) for own in members]
    start = np.zeros((len(members), size), np.float32)
    shifts = np.zeros((len(members), size, size), np.float32)
    number = np.ones(n, np.float32)  # of the codes that each patient has, and one
    rows, ends = np.empty(0, np.int32), [0]
    for i, place in enumerate(order):
        drawn = csc_matrix((np.ones(len(rows), np.float32), rows, ends), shape=(n, i))
        wanted = [table[: i + 1, i] for table in both]
        part, own_start, own_shifts = _fit_one(
            generated[:, place].astype(np.float32), drawn, number, inside, wanted,
            [table.diagonal()[:i] >= _FEWEST for table in both], members.sum(axis=1), trust,
        )  # fmt: skip
        start[:, i], shifts[:, :i, i] = own_start, own_shifts
        have = np.flatnonzero(rng.random(n) < expit(part)).astype(np.int32)
        number[have] += 1
        rows, ends = np.append(rows, have), [*ends, len(rows) + len(have)]
    parts = (torch.from_numpy(part).to(data.device) for part in (order, start, shifts))
    return CodePairs(*parts)


def _fit_one(
    logits: np.ndarray, drawn: csc_matrix, number: np.ndarray, inside: np.ndarray,
    wanted: list[np.ndarray], enough: list[np.ndarray], sizes: np.ndarray, trust: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """The shifts of one code: its logits with them, by group its own and those of codes before it.

    A step may be as long as the curvature's bound allows where a patient's `number` of codes all
    move at once, so that every step comes closer.
    """
    groups, k = len(wanted), drawn.shape[1]
    start, shifts = np.zeros(groups, np.float32), np.zeros((groups, k), np.float32)
    scale = sizes / np.maximum(inside.sum(axis=1), 1)
    prior: list[np.ndarray | None] = [None] * groups
    logits = logits.copy()
    for _ in range(_ROUNDS):
        largest = 0.0
        for g in range(groups):
            p = expit(logits) * inside[g]
            slope = p * (1 - p)
            apart = wanted[g][:k] - scale[g] * (drawn.T @ p)
            bound = scale[g] * (drawn.T @ (slope * number))
            if prior[g] is None:
                prior[g] = _prior(apart, scale[g] * (drawn.T @ slope), enough[g], trust)
            step = np.clip((apart - prior[g] * shifts[g]) / (bound + prior[g] + 1e-3), -1, 1)
            first = (wanted[g][k] - scale[g] * p.sum()) / (scale[g] * slope @ number + 1.0)
            first = float(np.clip(first, -1, 1))
            shifts[g] += step
            start[g] += first
            logits += inside[g] * (drawn @ step + first)
            largest = max(largest, float(np.abs(step).max(initial=0)), abs(first))
        if largest < _NEAR:
            break
    return logits, start, shifts


def _prior(
    apart: np.ndarray, information: np.ndarray, enough: np.ndarray, trust: float
) -> np.ndarray:
    """One over the prior variance of each shift; infinite, nearly, without enough patients."""
    known = enough & (information > 1)
    beyond = np.where(known, apart**2 / np.maximum(information, 1e-9) - 1, 0.0)
    variance = trust * max(beyond.sum() / max(information[known].sum(), 1e-9), 1e-5)
    own = np.where(beyond > _CLEAR**2 - 1, beyond / np.maximum(information, 1e-9), 0.0)
    return np.where(enough, 1 / np.maximum(variance, own), 1e9).astype(np.float32)
