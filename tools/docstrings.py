"""Checks the docstrings of everything that the API page shows, with numpydoc's own validation.

    python tools/docstrings.py

What is asked is in ``[tool.numpydoc_validation]`` of pyproject.toml. What a function returns may be
said by its signature instead, and each field of a data class by a comment ``#:`` on it: the page
shows both, and mypy holds to the types.
"""

import dataclasses
import importlib
import inspect
import pydoc
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from numpydoc.validate import validate
from sphinx.pycode import ModuleAnalyzer

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "book" / "api.md"


def shown() -> Iterator[str]:
    """The dotted name of every function, class and method on the page."""
    blocks = re.findall(r"^\.\. automodule:: (\S+)\n((?:   :.*\n)*)", PAGE.read_text("utf-8"), re.M)
    for name, options in blocks:
        module = importlib.import_module(name)
        members, left_out = (
            {m.strip() for m in ",".join(re.findall(f":{option}:(.*)", options)).split(",")} - {""}
            for option in ("members", "exclude-members")
        )
        yield from (f"{name}.{member}" for member in members - set(vars(module)))
        for member, thing in vars(module).items():
            if members and member not in members:
                continue
            if member.startswith("_") or getattr(thing, "__module__", "") != name:
                continue
            if inspect.isfunction(thing):
                yield f"{name}.{member}"
            elif inspect.isclass(thing):
                yield f"{name}.{member}"
                bases = thing.__mro__ if ":inherited-members:" in options else [thing]
                own = [base for base in bases if base.__module__.startswith(name.split(".")[0])]
                for method, inner in [pair for base in own for pair in vars(base).items()]:
                    is_function = inspect.isfunction(inner) or isinstance(inner, classmethod)
                    named = getattr(inner, "__name__", "") == method  # not a lambda's
                    # Without a docstring of its own a method is not shown, or with its base's.
                    hidden = method.startswith("_") or method in left_out
                    if is_function and named and inner.__doc__ and not hidden:
                        yield f"{name}.{member}.{method}"


def says_what_it_returns(name: str) -> bool:
    """Whether the signature does."""
    return "return" in getattr(pydoc.locate(name), "__annotations__", {})


def says_what_its_fields_are(name: str) -> bool:
    """Whether every field of a data class has a comment of its own, all of them."""
    thing = pydoc.locate(name)
    if not dataclasses.is_dataclass(thing):
        return False
    told: set[str] = set()
    for base in thing.__mro__[:-1]:
        here = ModuleAnalyzer.for_module(base.__module__).find_attr_docs()
        told |= {field for owner, field in here if owner == base.__name__}
    return told >= {field.name for field in dataclasses.fields(thing)}


SAID_ELSEWHERE = {"RT01": says_what_it_returns, "PR01": says_what_its_fields_are}


def complaints() -> list[str]:
    """What numpydoc finds wrong, a line for each fault."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    checks = set(settings["tool"]["numpydoc_validation"]["checks"])
    found = []
    for name in shown():
        if pydoc.locate(name) is None:
            found.append(f"{name}: there is no such thing")
            continue
        for code, message in validate(name)["errors"]:
            elsewhere = SAID_ELSEWHERE.get(code, lambda name: False)
            if code in checks and not elsewhere(name):
                found.append(f"{name}: {code} {message}")
    return found


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    faults = complaints()
    print("\n".join(faults) or "Every docstring of the API page is in order.")
    sys.exit(bool(faults))
