"""Checks the docstrings of everything that the API page shows, with numpydoc's own validation.

    python tools/docstrings.py

What is asked is in ``[tool.numpydoc_validation]`` of pyproject.toml.
"""

import importlib
import inspect
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from numpydoc.validate import validate

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "book" / "api.md"


def shown() -> Iterator[str]:
    """The dotted name of every function, class and method on the page."""
    blocks = re.findall(r"^\.\. automodule:: (\S+)\n((?:   :.*\n)*)", PAGE.read_text("utf-8"), re.M)
    for name, options in blocks:
        module = importlib.import_module(name)
        chosen = re.search(r":members:[ ]*(.*)", options)
        members = [m.strip() for m in chosen[1].split(",")] if chosen and chosen[1] else None
        for member, thing in vars(module).items():
            if members is not None and member not in members:
                continue
            if member.startswith("_") or getattr(thing, "__module__", "") != name:
                continue
            if inspect.isfunction(thing):
                yield f"{name}.{member}"
            elif inspect.isclass(thing):
                yield f"{name}.{member}"
                for method, inner in vars(thing).items():
                    is_function = inspect.isfunction(inner) or isinstance(inner, classmethod)
                    named = getattr(inner, "__name__", "") == method  # not a lambda's
                    # Without a docstring of its own a method is not shown, or with its base's.
                    if is_function and named and inner.__doc__ and not method.startswith("_"):
                        yield f"{name}.{member}.{method}"


def complaints() -> list[str]:
    """What numpydoc finds wrong, a line for each fault."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    checks = set(settings["tool"]["numpydoc_validation"]["checks"])
    found = []
    for name in shown():
        for code, message in validate(name)["errors"]:
            if code in checks:
                found.append(f"{name}: {code} {message}")
    return found


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    faults = complaints()
    print("\n".join(faults) or "Every docstring of the API page is in order.")
    sys.exit(bool(faults))
