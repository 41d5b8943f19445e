"""The columns file: what a person says about the columns of a flat table.

A small JSON or YAML file that maps names to what is known about them; a column that it does not
name is worked out from its values::

    {"age":   {"unit": "years", "bounds": [18, 110]},
     "ward":  {"kind": "categorical"},
     "notes": {"drop": true},
     "crp":   {"missing": ["not done"], "role": "measurement"}}
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError, near
from ...files import read_by_hand
from ...schema import KINDS, ROLES


@dataclass(frozen=True)
class Wish:
    """What is said about one column; what is left out is worked out.

    Parameters
    ----------
    kind : {"", "categorical", "binary", "continuous", "date"}
    role, label, unit, sex : str
        As in :class:`ehrsynth.Column`.
    bounds : tuple of float or None
        Smallest and largest plausible value; others count as not measured. Either may be None.
    decimals : int or None
    drop : bool
        Leave the column out.
    identifier : {"", "allowed"}
        "allowed" keeps a column that looks like an identifier.
    missing : tuple of str
        Values that mean that there is none, e.g. "-9" or "not done".
    missing_rows : {"", "drop"}
        "drop" leaves out the patients who have no value here.
    positive : str
        Which of the outcome's two values counts as 1.
    """

    kind: str = ""
    role: str = ""
    label: str = ""
    unit: str = ""
    sex: str = ""
    bounds: tuple[float | None, float | None] | None = None
    decimals: int | None = None
    drop: bool = False
    identifier: str = ""
    missing: tuple[str, ...] = ()
    missing_rows: str = ""
    positive: str = ""


NOTHING = Wish()
KEYS = tuple(Wish.__dataclass_fields__)


def read(path: str | Path, names: Iterable[str], where: str) -> dict[str, Wish]:
    """Read a columns file.

    Parameters
    ----------
    path : path
        A ``.json``, ``.yaml`` or ``.yml`` file.
    names : iterable of str
        The columns that there are.
    where : str
        What to call the table in errors.

    Returns
    -------
    dict of str to Wish

    Raises
    ------
    InputError
        That names the file, the column and the key or value that cannot be used.
    """
    path, names = Path(path), list(names)
    content = read_by_hand(path)
    example = '{"age": {"unit": "years"}}'
    if not isinstance(content, Mapping):
        raise InputError(f"{path} should map the name of a column to what it is, as in {example}.")
    wishes = {}
    for name, said in content.items():
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
    if key == "missing" and not isinstance(value, list):
        value = [value]
    good, wanted = _WANTED.get(str(key), (lambda v: isinstance(v, str), "a text"))
    if not good(value):
        raise InputError(f"{path} says {key} {value!r} for column {name!r}; use {wanted}.")
    return tuple(value) if isinstance(value, list) else value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _are_bounds(value: Any) -> bool:
    if not (isinstance(value, list) and len(value) == 2):
        return False
    return all(v is None or _is_number(v) for v in value) and (
        None in value or value[0] <= value[1]
    )


def _one_of(*choices: str) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value in choices, f"one of {', '.join(choices)}"


# What may stand behind a key, and how that is said; behind the others a text.
_WANTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "kind": _one_of(*KINDS, "date"),
    "role": _one_of(*(role for role in ROLES if role != "outcome")),
    "sex": _one_of("F", "M"),
    "identifier": _one_of("allowed"),
    "missing_rows": _one_of("drop"),
    "bounds": (_are_bounds, "two numbers, the smaller first, as in [0, 120]"),
    "decimals": (
        lambda v: isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= 12,
        "a whole number from 0 to 12",
    ),
    "drop": (lambda v: isinstance(v, bool), "true or false"),
    "missing": (
        lambda value: all(isinstance(v, str | int | float) for v in value),
        'a list of values, as in ["-9", "not done"]',
    ),
    "positive": (lambda v: isinstance(v, str | int | float), "one of the outcome's two values"),
}
