"""Patients as a matrix, and the layout that says what its columns are."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from ..errors import InputError


@dataclass(frozen=True)
class Block:
    """The part of the matrix that holds one column of the patient table.

    Category and bins take one 0/1 matrix column for each label; exactly one of them is 1. Binary
    takes one 0/1 column, scalar one between 0 and 1.
    Chapter preprocessing, "Look: what the network sees".
    """

    name: str
    kind: str  # category, bins, binary or scalar
    role: str  # as in the schema
    labels: tuple[str, ...] = ()  # what the matrix columns mean; for a binary what 0 and 1 mean
    scores: tuple[float, ...] = ()  # of bins: normal score, place on the column's scale, missing 0

    def __post_init__(self):
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "scores", tuple(self.scores))

    @property
    def width(self) -> int:
        """Number of matrix columns."""
        return len(self.columns)

    @property
    def columns(self) -> list[str]:
        """Readable names of the matrix columns, e.g. ``race=ASIAN``."""
        one_hot = self.kind in ("category", "bins")
        return [f"{self.name}={label}" for label in self.labels] if one_hot else [self.name]


@dataclass(frozen=True)
class Encoded:
    """Patients as a matrix, with the layout that says what its columns are.
    Chapter preprocessing, "Look: what the network sees".
    """

    #: shape (n, width), uint8 0/1, or float32 between 0 and 1 when the layout has scalar blocks
    values: np.ndarray
    layout: tuple[Block, ...]  #: a block for each column of the patient table

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def _places(self) -> dict[str, slice]:
        return places(self.layout)

    def slice(self, name: str) -> slice:
        """The matrix columns of one column of the patient table."""
        if name not in self._places:
            raise InputError(f"There is no column {name!r} in the encoded table.")
        return self._places[name]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.values[:, self.slice(name)]

    def to_frame(self) -> pd.DataFrame:
        """The matrix as a table with readable column names, e.g. ``race=ASIAN``."""
        names = [name for block in self.layout for name in block.columns]
        return pd.DataFrame(self.values, columns=names)


def places(layout: tuple[Block, ...]) -> dict[str, slice]:
    """The matrix columns of each block, by name.
    Chapter preprocessing, "Look: what the network sees".
    """
    ends = np.cumsum([block.width for block in layout]).tolist()
    return {b.name: slice(end - b.width, end) for b, end in zip(layout, ends, strict=True)}
