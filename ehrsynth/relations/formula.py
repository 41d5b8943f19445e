"""Formulas that a person can write: read and computed here, never handed to Python.

They have numbers, columns, ``+ - * / **``, brackets, sqrt, log and exp. A column whose name is no
plain word stands in backticks: ```weight (kg)` / height ** 2``.
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from ..errors import InputError

_KNOWN: dict[Any, Callable] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow, ast.USub: operator.neg, ast.UAdd: operator.pos,
    "sqrt": np.sqrt, "log": np.log, "exp": np.exp,
}  # fmt: skip
_LONGEST = 1_000  # characters; what is nested deeper would exhaust the stack


def written(name: str) -> str:
    """A column's name as it stands in a formula."""
    plain = name.isidentifier() and name.isascii() and name not in _KNOWN and name[:2] != "q_"
    return name if plain and name not in ("and", "or", "not", "if", "in", "is") else f"`{name}`"


@lru_cache(maxsize=256)
def parse(text: str) -> tuple[Any, tuple[str, ...]]:
    """The tree of a formula, and its columns in order; raises InputError for anything else."""
    plain = re.sub(r"`([^`]+)`", lambda found: f" q_{found[1].encode().hex()} ", text).strip()
    try:
        tree = ast.parse(plain[: _LONGEST * 10] if len(text) <= _LONGEST else "", mode="eval").body
        heads = {id(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
        names = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and id(n) not in heads]
        names.sort(key=lambda node: (node.lineno, node.col_offset))
        columns = tuple(dict.fromkeys(_column(node) for node in names))
        _value(tree, dict.fromkeys(columns, np.ones(1)))
    except (SyntaxError, ValueError, KeyError, RecursionError, MemoryError):
        raise InputError(
            f"{text!r} is no formula; write it as weight / height ** 2, with numbers, columns, "
            "+ - * / **, brackets, sqrt, log and exp."
        ) from None
    return tree, columns


def compute(text: str, values: Mapping[str, np.ndarray]) -> Any:
    """The formula's value for each patient, not finite where it has none."""
    return _value(parse(text)[0], values)


def _column(node: ast.Name) -> str:
    return bytes.fromhex(node.id[2:]).decode() if node.id.startswith("q_") else node.id


def _value(node: Any, values: Mapping[str, np.ndarray]) -> Any:
    if isinstance(node, ast.Name):
        return np.asarray(values[_column(node)], dtype=float)
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return np.float64(node.value)  # type: ignore[arg-type]
    if isinstance(node, ast.BinOp) and type(node.op) in _KNOWN:
        parts, apply = [node.left, node.right], _KNOWN[type(node.op)]
    elif isinstance(node, ast.UnaryOp) and type(node.op) in _KNOWN:
        parts, apply = [node.operand], _KNOWN[type(node.op)]
    elif isinstance(node, ast.Call) and not node.keywords and len(node.args) == 1:
        parts, apply = node.args, _KNOWN[getattr(node.func, "id", "")]
    else:
        raise ValueError
    with np.errstate(all="ignore"):
        return apply(*(_value(part, values) for part in parts))
