"""Pairs of columns as frequent as in train: what is drawn in turn shifts what comes later."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csc_matrix, csr_matrix
from scipy.special import expit
from torch import Tensor

from ..gan.networks import Columns
from ..protection import LEAST_PATIENTS
from .calibration import PRIOR, activate
from .draw import Phase, draw_values, spread

_ROUNDS, _CODE_ROUNDS = 12, 20  # at most, of setting every pair, or all pairs of a code right
_NEAR, _CODE_NEAR = 0.01, 0.02  # of the log odds
_CLEAR = 3.0  # standard errors that make a pair's difference its own evidence
_FEWEST = 10  # training patients with a code before it may shift another
_STREAM = 6  # sets the random numbers of codes apart
_BLOCK = 32  # codes, of those drawn in turn, that are shifted together


@torch.no_grad()
def calibrate_pairs(
    columns: Columns, logits: Tensor, cell: Tensor, counts: Tensor, prevalence: Tensor,
    both: Tensor, groups: Tensor, rng: torch.Generator, least: int = LEAST_PATIENTS,
    trust: float = 1.0,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Shifts at which pairs of columns are as frequent as in train: (cells, width) and pairs.

    Columns are drawn in turn, and each pair of a category (or bin) and a later column gets a shift
    of the later one's log odds; a group, such as the patients with the outcome, has its own on top.

    Not to copy train's accidents, each shift is a posterior mode: its prior is normal around zero,
    as wide as pairs of this kind differ between train and model by more than chance (empirical
    Bayes; Efron and Morris 1973); less `trust` narrows it. What is smooth over the bins of a number
    is shifted first. A pair of some but fewer than `least` training patients gets no shift.

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
    """Fill in turn the tables of all that is known, by damped Newton steps; the shifted logits."""
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
    """The same, orthonormal over patients: each coefficient can then be found by itself."""
    weight = share.sqrt().unsqueeze(1)
    shapes = torch.cat([torch.ones_like(weight), shapes], dim=1)
    orthonormal, size = torch.linalg.qr(weight * shapes)
    told_apart = size.diagonal().abs() > 1e-4
    shapes = (orthonormal / weight.clamp_min(1e-6))[:, told_apart]
    return torch.where(weight > 0, shapes, 0.0)[:, 1:]


class _Level:
    """The coefficients of one table: for each pair of shapes, or without them of values."""

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
        """Where too few patients, in train and as expected, stand behind a coefficient."""
        # To leave out only what few have would make it more frequent, so what is expected counts.
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
        """Move the coefficients toward train's sums; what it adds to the logits, by value."""
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
    """One over the prior variance of each coefficient, or of its own where it is clear."""
    # Squares of what differs by chance have the mean `information`; what is beyond is variance.
    known = information > 1
    beyond = torch.where(known, apart.square() / information.clamp_min(1e-9) - 1, 0.0)
    sums = torch.where(known, information, 0.0).sum(dim=1, keepdim=True)
    variance = beyond.sum(dim=1, keepdim=True) / sums.clamp_min(1e-9)
    own = torch.where(beyond > _CLEAR**2 - 1, beyond / information.clamp_min(1e-9), 0.0)
    return 1 / torch.maximum(variance, own).clamp_min(1e-5)


# -- pairs of codes ------------------------------------------------------------------------


@dataclass
class CodePairs:
    """What each drawn code adds to the log odds of the codes after it, the most frequent first.

    A shift is a posterior mode, and patients with the outcome have shifts of their own on top.
    Chapter generation, "What belongs together".
    """

    order: Tensor  # (k,) places among the yes/no columns, in the order of drawing
    start: Tensor  # (groups, k) shifts of the codes, by group of patients
    shifts: Tensor  # (groups, k, k) row i is added to later codes of those who have code i

    @torch.no_grad()
    def draw(
        self, logits: Tensor, cell: Tensor, groups: Tensor, phase: Phase
    ) -> tuple[Tensor, Tensor]:
        """Draw the codes of patients with these `logits`, shape (n, k), who lie cell after cell.

        Probabilities as they were when each code was drawn, and uniform numbers, below which a
        patient has the code. `phase` as in :func:`ehrsynth.generation.draw.spread`.
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
    seed: int, clear: float,
) -> CodePairs:  # fmt: skip
    """Find the shifts at which codes and pairs of codes are as frequent as in train.

    `logits` (n, k) are of generated patients, as frequent in every group as in train; `data`
    (patients, k) has train's codes; `cell` and `member` are the cells of either, and `groups` says
    which cells belong to each group. The many pairs that differ little tell most about who was in
    train: with a `trust` of 1 their shifts are the likeliest (empirical Bayes), less is more
    cautious. The few that differ by `clear` standard errors are the hospital's, and are kept.
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
            [table.diagonal()[:i] >= _FEWEST for table in both], members.sum(axis=1), trust, clear,
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
    clear: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """The logits of one code, shifted, and by group its own shift and those of codes before it."""
    groups, k = len(wanted), drawn.shape[1]
    start, shifts = np.zeros(groups, np.float32), np.zeros((groups, k), np.float32)
    scale = sizes / np.maximum(inside.sum(axis=1), 1)
    prior: list[np.ndarray | None] = [None] * groups
    logits = logits.copy()
    for _ in range(_CODE_ROUNDS):
        largest = 0.0
        for g in range(groups):
            p = expit(logits) * inside[g]
            slope = p * (1 - p)
            apart = wanted[g][:k] - scale[g] * (drawn.T @ p)
            # All codes of a patient move at once; with this bound every step comes closer.
            bound = scale[g] * (drawn.T @ (slope * number))
            if prior[g] is None:
                information = scale[g] * (drawn.T @ slope)
                prior[g] = _prior(apart, information, enough[g], trust, clear)
            step = np.clip((apart - prior[g] * shifts[g]) / (bound + prior[g] + 1e-3), -1, 1)
            first = (wanted[g][k] - scale[g] * p.sum()) / (scale[g] * slope @ number + 1.0)
            first = float(np.clip(first, -1, 1))
            shifts[g] += step
            start[g] += first
            logits += inside[g] * (drawn @ step + first)
            largest = max(largest, float(np.abs(step).max(initial=0)), abs(first))
        if largest < _CODE_NEAR:
            break
    return logits, start, shifts


def _prior(
    apart: np.ndarray, information: np.ndarray, enough: np.ndarray, trust: float, clear: float
) -> np.ndarray:
    """One over the prior variance of each shift; infinite, nearly, without enough patients."""
    known = enough & (information > 1)
    beyond = np.where(known, apart**2 / np.maximum(information, 1e-9) - 1, 0.0)
    variance = trust * max(beyond.sum() / max(information[known].sum(), 1e-9), 1e-5)
    own = np.where(beyond > clear**2 - 1, beyond / np.maximum(information, 1e-9), 0.0)
    return np.where(enough, 1 / np.maximum(variance, own), 1e9).astype(np.float32)
