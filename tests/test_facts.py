"""Each fact stands once: a list of what is looked for in the code, and the file that owns it.

Docstrings and comments do not count; they may name a thing.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "ehrsynth"

# What it is (a whole text of the code, a part of one, a function or an assigned name), how it is
# found, and the only file that may have it.
FACTS = [
    ("part of a text", r"\b(systolic|diastolic)\b", "schema.py"),
    ("part of a text", r"\b(DIE_1y|DIE_any|VISIT_1y)\b", "schema.py"),
    ("text", r"\(missing\)", "kinds.py"),
    ("text", r"gender", "schema.py"),
    ("text", r"WHITE|BLACK|ASIAN|HISPANIC", "sources/tables.py"),
    ("function", r"jackknife(_variance)?", "statistics.py"),
    ("function", r"wilson\w*", "statistics.py"),
    ("function", r"first_bad|\w*bad_value\w*|first_wrong", "errors.py"),
    ("function", r"within\w*", "schema.py"),
    ("function", r"category_text|looks_like_identifier", "kinds.py"),
    ("assignment", r"LEAST_PATIENTS", "protection.py"),
    ("function", r"sex", "schema.py"),
]
# The words of a file format that happen to be the same are no facts of ours.
FORMATS = {
    ("sources/mimic_iv.py", "gender"): "a column of MIMIC-IV's patients.csv",
    ("hospital/records.py", "gender"): "the simulated hospital writes that file",
    ("sources/diabetes130.py", "gender"): "a column of diabetic_data.csv",
}


def docstrings(tree: ast.AST) -> set[int]:
    """The nodes that are docstrings, by identity."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                found.add(id(first.value))
    return found


def said(text: str) -> Iterator[tuple[str, str]]:
    """What a module says outside of docstrings: kind of thing and its text or name."""
    tree = ast.parse(text)
    skipped = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in skipped:
                yield "text", node.value
        elif isinstance(node, ast.FunctionDef):
            yield "function", node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield "assignment", node.id


CODE = {
    path.relative_to(PACKAGE).as_posix(): list(said(path.read_text(encoding="utf-8")))
    for path in sorted(PACKAGE.rglob("*.py"))
}


def holders(kind: str, pattern: str, code: dict[str, list[tuple[str, str]]]) -> set[str]:
    """The files that say it."""
    match = re.search if kind.startswith("part") else re.fullmatch
    kind = kind.rpartition(" ")[2]
    return {
        file
        for file, things in code.items()
        for what, text in things
        if what == kind and match(pattern, text) and (file, text) not in FORMATS
    }


@pytest.mark.parametrize(("kind", "pattern", "owner"), FACTS)
def test_a_fact_stands_with_its_owner_only(kind, pattern, owner):
    assert holders(kind, pattern, CODE) == {owner}


def test_what_is_looked_for_would_be_found():
    code = {"a.py": list(said('"""A docstring: systolic."""\nx = f"{y} systolic"  # diastolic'))}
    assert holders("part of a text", r"\bsystolic\b", code) == {"a.py"}
    assert holders("text", "systolic", code) == set()
    assert holders("part of a text", "diastolic|docstring", code) == set()
    code = {"a.py": list(said("def wilson(x):\n    return 'jackknife'"))}
    assert holders("function", "wilson", code) == {"a.py"}
    assert holders("function", "jackknife", code) == set()


def test_no_exception_is_left_over():
    for file, text in FORMATS:
        assert ("text", text) in CODE[file]
