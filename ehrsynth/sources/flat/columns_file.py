"""The columns file: what a person says about the columns of a flat table.

A small JSON or YAML file that maps names to a :class:`Wish`, such as
``{"age": {"unit": "years", "bounds": [18, 110]}, "notes": {"drop": true}}``; a column that it does
not name is worked out from its values.
"""

import codecs
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError, near
from ...files import read_by_hand
from ...schema import KINDS, ROLES


@dataclass(frozen=True)
class Wish:
    """What is said about one column; what is left out is worked out."""

    kind: str = ""  # one of a schema's, or date
    role: str = ""  # this and the next three as in a schema
    label: str = ""
    unit: str = ""
    sex: str = ""
    # Smallest and largest plausible value (None for none); others count as not measured.
    bounds: tuple[float | None, float | None] | None = None
    decimals: int | None = None
    drop: bool = False  # leave the column out
    identifier: str = ""  # "allowed" keeps a column that looks like one
    missing: tuple[str, ...] = ()  # values that mean that there is none, such as "-9"
    values: tuple[str, ...] = ()  # texts of a CSV that are no missing values, such as "NA"
    spelling: str = ""  # "exact" keeps texts apart that differ in capitals only, "joined" joins
    missing_rows: str = ""  # "drop" leaves out the patients who have no value here
    positive: str = ""  # which of the outcome's two values counts as 1
    predictor: bool | None = None  # whether models may predict the outcome from it


NOTHING = Wish()
FILE = "(file)"  # in the place of a name: what is said about the whole file
KEYS = tuple(Wish.__dataclass_fields__)


def encoding(path: str | Path | None) -> str | None:
    """The encoding that a columns file says for a file that is not in UTF-8, if it says one."""
    content = None if path is None else read_by_hand(path)
    said = content.get(FILE) if isinstance(content, Mapping) else None
    if said is None:
        return None
    try:
        codecs.lookup(said["encoding"])
    except (TypeError, KeyError, LookupError):
        raise InputError(
            f'{path} says {said!r} about {FILE}; write it as {{"encoding": "cp1254"}}, with a name '
            "that Python knows."
        ) from None
    return str(said["encoding"])


def read(path: str | Path, names: Iterable[str], where: str) -> dict[str, Wish]:
    """Read a columns file of a table that has these names and is called `where` in errors."""
    path, names = Path(path), list(names)
    content = read_by_hand(path)
    example = '{"age": {"unit": "years"}}'
    if not isinstance(content, Mapping):
        raise InputError(f"{path} should map the name of a column to what it is, as in {example}.")
    wishes = {}
    for name, said in content.items():
        if name == FILE:
            continue
        if name not in names:
            raise InputError(
                f"{path} names the column {name!r}, which {where} does not have; "
                f"{near(str(name), names)}."
            )
        if not isinstance(said, Mapping):
            raise InputError(
                f"{path} says {said!r} about column {name!r}; write it as in {example}."
            )
        wishes[name] = Wish(**{key: _value(path, name, key, said[key]) for key in said})
    return wishes


def _value(path: Path, name: str, key: object, value: Any) -> Any:
    if key not in KEYS:
        raise InputError(f"{path} has the key {key!r} for column {name!r}; use {', '.join(KEYS)}.")
    if key in ("missing", "values") and not isinstance(value, list):
        value = [value]
    choices = _CHOICES.get(str(key))
    good, wanted = _WANTED.get(str(key), (lambda v: isinstance(v, str), "a text"))
    if choices:
        good, wanted = choices.__contains__, f"one of {', '.join(choices)}"
    if not good(value):
        raise InputError(f"{path} says {key} {value!r} for column {name!r}; use {wanted}.")
    return tuple(value) if isinstance(value, list) else value


def _are_bounds(value: Any) -> bool:
    if not (isinstance(value, list) and len(value) == 2):
        return False
    numbers = [v for v in value if v is not None]
    finite = all(type(v) in (int, float) and abs(v) < 1e300 for v in numbers)
    return finite and numbers == sorted(numbers)


# What may stand behind a key, and how that is said; behind the others a text.
_CHOICES: dict[str, tuple[str, ...]] = {
    "kind": (*KINDS, "date"), "role": tuple(role for role in ROLES if role != "outcome"),
    "sex": ("F", "M"), "identifier": ("allowed",), "missing_rows": ("drop",),
    "spelling": ("exact", "joined"),
}  # fmt: skip
_TRUTH = (lambda v: isinstance(v, bool)), "true or false"
_WANTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "bounds": (_are_bounds, "two numbers, the smaller first, as in [0, 120]"),
    "decimals": (lambda v: type(v) is int and 0 <= v <= 12, "a whole number from 0 to 12"),
    "drop": _TRUTH, "predictor": _TRUTH,
    "missing": (lambda v: all(isinstance(one, str | int | float) for one in v),
                'a list of values, as in ["-9", "not done"]'),
    "values": (lambda v: all(isinstance(one, str) for one in v), 'a list of texts, as in ["NA"]'),
    "positive": (lambda v: isinstance(v, str | int | float), "one of the outcome's two values"),
}  # fmt: skip
