"""The two players' networks, and how the generator's outputs become patients.

Both are stacks of residual layers (Zhang et al. 2020, "Ensuring electronic medical record
simulation through better training, modeling, and evaluation", JAMIA 27(1)).
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from ..preprocessing.matrix import Block, places

_Function = Callable[[Tensor], Tensor]
_COUNTED = "diagnosis"  # the role of the codes whose number per patient is calibrated
_ONE_HOT = ("category", "bins")  # kinds of blocks of which a patient has one column
_MOMENTUM = 0.01  # of batch norm's running statistics; Keras, as published, says 0.99
_DEGREE = 4  # of the polynomials that are smooth over a number's bins


class Generator(nn.Module):
    """Noise and `given` columns about the patient to one logit for each matrix column.

    `centered` normalizes the last layer's input: were its values all positive, a step that moves
    all weights alike would move every prevalence. `smooth` is ``Columns.numbers``, the shapes that
    the noise may give a number's bins. Chapter gan-architecture, "Build it: EMR-WGAN".
    """

    def __init__(
        self, latent: int, given: int, output: int, width: int = 384, layers: int = 5,
        centered: bool = False, smooth: Sequence[tuple[slice, Tensor]] = (),
    ):  # fmt: skip
        super().__init__()
        self.first = nn.Linear(latent + given, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        norm = partial(nn.BatchNorm1d, width, eps=1e-5, momentum=_MOMENTUM)
        self.norms = nn.ModuleList(norm() for _ in range(layers + 1))
        self.center = norm(affine=False) if centered else nn.Identity()
        self.last = nn.Linear(width, output)
        self.smooth = [block for block, _ in smooth]
        for i, (_, shapes) in enumerate(smooth):
            basis, _ = torch.linalg.qr(torch.cat([torch.ones(len(shapes), 1), shapes], dim=1))
            self.register_buffer(f"shapes_{i}", basis @ basis.T, persistent=False)

    def forward(self, noise: Tensor, given: Tensor) -> Tensor:
        """Logits, shape (batch, output)."""
        x = torch.relu(self.norms[0](self.first(torch.cat([noise, given], dim=1))))
        for layer, norm in zip(self.layers, self.norms[1:], strict=True):
            x = x + torch.relu(norm(layer(x)))
        weights = self.last.weight.clone()
        for i, block in enumerate(self.smooth):  # each number's are projected on its shapes
            weights[block] = getattr(self, f"shapes_{i}") @ self.last.weight[block]
        return nn.functional.linear(self.center(x), weights, self.last.bias)


class Critic(nn.Module):
    """A patient to one number: the higher, the more it looks real to the critic.

    Layer norm instead of batch norm, because the gradient penalty is about single patients.
    Chapter gan-architecture, "Build it: EMR-WGAN".
    """

    def __init__(self, features: int, width: int = 384, layers: int = 5):
        super().__init__()
        self.first = nn.Linear(features, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-5) for _ in range(layers + 1))
        self.last = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Scores, shape (batch,)."""
        x = self.norms[0](torch.relu(self.first(x)))
        for layer, norm in zip(self.layers, self.norms[1:], strict=True):
            x = x + norm(torch.relu(layer(x)))
        return self.last(x).squeeze(1)


class Columns(nn.Module):
    """What the layout means for the networks: which logits form a softmax, which are given.

    Blocks of equal width are handled together. `given` names the columns that the generator is
    conditioned on; `score_weight` is that of the normal scores shown to the critic beside the bins.
    Chapter gan-architecture, "Why codes are hard".
    """

    # Masks of the matrix columns, shape (width,).
    is_given: Tensor
    is_one_hot: Tensor
    is_scalar: Tensor
    in_turn: Tensor  # one-hot, not given
    # Numbers of matrix columns.
    single: Tensor  # outside the one-hot blocks
    condition: Tensor  # given
    yes_no: Tensor  # not given
    counted: Tensor  # those of them that are diagnoses, whose number per patient is calibrated
    back: Tensor
    scores: Tensor

    def __init__(self, layout: Sequence[Block], given: Sequence[str] = (), score_weight: float = 0):
        super().__init__()
        where, widths = places(tuple(layout)), [block.width for block in layout]
        self.width = sum(widths)
        self.owner = np.repeat(np.arange(len(layout)), widths)  # its number in the layout
        self.names = [name for block in layout for name in block.columns]

        def mask(blocks: Iterable[bool]) -> Tensor:
            return torch.from_numpy(np.repeat(list(blocks), widths))

        self._keep("is_given", mask(block.name in given for block in layout))
        self._keep("is_one_hot", mask(block.kind in _ONE_HOT for block in layout))
        self._keep("is_scalar", mask(block.kind == "scalar" for block in layout))
        self._keep("in_turn", self.is_one_hot & ~self.is_given)
        coins = ~self.is_given & ~self.is_one_hot & ~self.is_scalar
        diagnoses = mask(b.kind == "binary" and b.role == _COUNTED for b in layout)
        masks = {
            "single": ~self.is_one_hot, "condition": self.is_given, "yes_no": coins,
            "counted": diagnoses & ~self.is_given,
        }  # fmt: skip
        self.block_widths = list(dict.fromkeys(b.width for b in layout if b.kind in _ONE_HOT))
        for width in self.block_widths:
            as_wide = mask(block.width == width for block in layout)
            masks[f"block_{width}"] = self.is_one_hot & as_wide
        for name, own in masks.items():
            self._keep(name, torch.nonzero(own)[:, 0])
        blocks = [getattr(self, f"block_{width}") for width in self.block_widths]
        self._keep("back", torch.argsort(torch.cat([self.single, *blocks])))
        turns = [b for b in layout if b.kind in _ONE_HOT and b.name not in given]
        self.turns = [where[block.name] for block in turns]
        self.shapes = [_shapes(block) for block in turns]  # None where values have none in common
        both = zip(self.turns, self.shapes, strict=True)
        self.numbers = [(place, shapes) for place, shapes in both if shapes is not None]
        binned = [block for block in layout if block.kind == "bins"] if score_weight else []
        scores = np.zeros((self.width, len(binned)), dtype=np.float32)
        for i, block in enumerate(binned):
            scores[where[block.name], i] = block.scores
        self._keep("scores", score_weight * torch.from_numpy(scores))
        self.feature_width = self.width + len(binned)  # what the critic sees

    def _keep(self, name: str, values: Tensor) -> None:
        self.register_buffer(name, values, persistent=False)

    def _blockwise(self, x: Tensor, alone: _Function, together: _Function) -> Tensor:
        """`alone` of the single columns, `together` of the blocks, shape (n, blocks, values)."""
        parts = [alone(x[:, self.single])]
        for width in self.block_widths:
            blocks = x[:, getattr(self, f"block_{width}")].view(len(x), -1, width)
            parts.append(together(blocks).flatten(1))
        return torch.cat(parts, dim=1)[:, self.back]

    def features(self, x: Tensor) -> Tensor:
        """Matrix columns with the bins' normal scores beside them, shape (n, feature_width)."""
        return torch.cat([x, x @ self.scores], dim=1) if self.scores.shape[1] else x

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax within each one-hot block, sigmoid elsewhere; same shape as `logits`."""
        return self._blockwise(logits, torch.sigmoid, lambda block: torch.softmax(block, dim=2))

    def draw(self, probabilities: Tensor, generator: torch.Generator) -> Tensor:
        """Draw 0/1 codes (one 1 in each one-hot block); scalars stay as they are."""
        # One uniform number decides a yes/no column, or a whole block by its running total.
        uniform = partial(torch.rand, generator=generator, device=probabilities.device)

        def one_of(block: Tensor) -> Tensor:
            total = block.cumsum(dim=2)
            reached = total > uniform(*block.shape[:2], 1) * total[:, :, -1:]
            reached[:, :, -1] = True  # whatever the rounding, somebody is drawn
            first = reached.clone()
            first[:, :, 1:] &= ~reached[:, :, :-1]
            return first

        codes = self._blockwise(
            probabilities, lambda single: uniform(*single.shape) < single, one_of
        )
        return torch.where(self.is_scalar, probabilities, codes.to(probabilities.dtype))

    def round(self, probabilities: Tensor) -> Tensor:
        """The published way: yes/no at 0.5, the largest entry of each one-hot block."""
        codes = self._blockwise(
            probabilities, lambda single: single >= 0.5,
            lambda block: nn.functional.one_hot(block.argmax(dim=2), block.shape[2]),
        )  # fmt: skip
        return torch.where(self.is_scalar, probabilities, codes.to(probabilities.dtype))

    def straight_through(self, probabilities: Tensor, generator: torch.Generator) -> Tensor:
        """Drawn codes whose gradient is that of their probabilities (Bengio et al. 2013)."""
        codes = self.draw(probabilities.detach(), generator)
        return codes + (probabilities - probabilities.detach())


def _shapes(block: Block) -> Tensor | None:
    """Orthonormal shapes over a number's bins: polynomials of their scores, and "missing"."""
    if block.kind == "category" or block.width == 1:
        return None
    scores = np.array(block.scores[:-1])  # the last one is missing
    powers = scores[:, None] ** np.arange(min(_DEGREE + 1, len(np.unique(scores))))
    polynomials = np.linalg.qr(powers)[0][:, 1:] * len(scores) ** 0.5
    shapes = np.zeros((block.width, polynomials.shape[1] + 1), dtype=np.float32)
    shapes[:-1, :-1] = polynomials
    shapes[-1, -1] = 1
    return torch.from_numpy(shapes)
