"""Generators without a network, to compare with: short, and as their authors describe them.

Each takes encoded patients and a seed, and gives as many new ones. A table column is one whole
number here: yes or no, a category, or the bin of a number (missing is a bin).
"""

import numpy as np
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree
from sklearn.tree import DecisionTreeClassifier

from ehrsynth.preprocessing.matrix import Encoded

PARENTS, LEAST = 24, 5  # columns that a tree may ask, and patients in a leaf (synthpop's default)
REDRAWN = 0.1


def to_values(encoded: Encoded) -> np.ndarray:
    """(patients, columns) whole numbers."""
    blocks = [encoded.values[:, encoded.slice(block.name)] for block in encoded.layout]
    return np.column_stack([
        block[:, 0] if block.shape[1] == 1 else block.argmax(axis=1) for block in blocks
    ])  # fmt: skip


def to_encoded(values: np.ndarray, like: Encoded) -> Encoded:
    """The way back."""
    made = np.zeros((len(values), like.values.shape[1]), like.values.dtype)
    for column, block in zip(values.T, like.layout, strict=True):
        where = like.slice(block.name)
        if block.width == 1:
            made[:, where.start] = column
        else:
            made[np.arange(len(values)), where.start + column] = 1
    return Encoded(made, like.layout)


def bootstrap(encoded: Encoded, seed: int) -> Encoded:
    """Patients of train, a tenth of whose columns is drawn anew: privacy that only looks so."""
    rng, values = np.random.default_rng(seed), to_values(encoded)
    rows = values[rng.integers(len(values), size=len(values))]
    others = rng.permuted(values, axis=0)
    return to_encoded(np.where(rng.random(values.shape) < REDRAWN, others, rows), encoded)


def cart(encoded: Encoded, seed: int) -> Encoded:
    """A tree for each column, the most varied first, on those before it; draws from its leaves.

    The method of synthpop (Nowok, Raab, Dibben, J Stat Softw 2016;74(11)), with at most 24 columns
    for a tree to ask: the most correlated.
    """
    rng, values = np.random.default_rng(seed), to_values(encoded)
    order = np.argsort(-values.std(axis=0), kind="stable")
    tied = np.abs(np.nan_to_num(np.corrcoef(values.T)))
    made = np.zeros_like(values)
    first = order[0]
    made[:, first] = rng.choice(values[:, first], len(values))
    for i, column in enumerate(order[1:], start=1):
        before = order[:i]
        asked = before[np.argsort(-tied[column, before], kind="stable")[:PARENTS]]
        tree = DecisionTreeClassifier(min_samples_leaf=LEAST, random_state=seed)
        tree.fit(values[:, asked], values[:, column])
        leaf, own = tree.apply(values[:, asked]), tree.apply(made[:, asked])
        donors = np.argsort(leaf, kind="stable")
        start = np.searchsorted(leaf[donors], own, side="left")
        end = np.searchsorted(leaf[donors], own, side="right")
        place = start + (rng.random(len(own)) * (end - start)).astype(int)
        made[:, column] = values[donors[place], column]
    return to_encoded(made, encoded)


def chow_liu(encoded: Encoded, seed: int) -> Encoded:
    """The best tree of pairs: each column depends on one other (Chow and Liu 1968)."""
    rng, values = np.random.default_rng(seed), to_values(encoded)
    n, widths = len(values), values.max(axis=0) + 1
    starts = np.concatenate([[0], widths.cumsum()[:-1]])
    ones = np.zeros((n, widths.sum()), np.float32)
    for column, start in zip(values.T, starts, strict=True):
        ones[np.arange(n), start + column] = 1
    both, alone = ones.T @ ones / n, ones.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.nan_to_num(both * np.log(both / np.outer(alone, alone)))
    shared = np.add.reduceat(np.add.reduceat(parts, starts, axis=0), starts, axis=1)
    tree = minimum_spanning_tree(np.triu(-shared - 1e-9, 1))
    order, parent = breadth_first_order(tree, 0, directed=False)
    made = np.zeros_like(values)
    made[:, 0] = rng.choice(values[:, 0], n)
    for column in order[1:]:
        above = parent[column]
        for value in np.unique(made[:, above]):
            own = np.flatnonzero(made[:, above] == value)
            made[own, column] = rng.choice(values[values[:, above] == value, column], len(own))
    return to_encoded(made, encoded)


PEERS = {
    "sequential CART": cart, "Chow-Liu tree": chow_liu,
    "train, a tenth of the columns redrawn": bootstrap,
}  # fmt: skip
