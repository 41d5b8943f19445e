"""The one kind of error a user is meant to read, and the one place that finds a bad value."""

from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import pandas as pd


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one sentence that names the file, column, row or value and says
    what to do. The command line prints it without a traceback and exits with code 2.
    """


class Bad(NamedTuple):
    """A value that cannot be used: the value, the number of its row (from 1), its index label."""

    value: Any
    row: int
    label: Any


def first_bad(values: pd.Series, wrong: pd.Series | np.ndarray) -> Bad | None:
    """The first of `values` that is `wrong` (of the same length and order), or None."""
    found = np.flatnonzero(np.asarray(wrong))
    if len(found) == 0:
        return None
    place = int(found[0])
    return Bad(values.iloc[place], place + 1, values.index[place])


def near(name: str, names: Iterable[str]) -> str:
    """Half a sentence that helps who asked for `name`: what it may have been, or what there is."""
    names = [str(known) for known in names]
    plain = {known.casefold(): known for known in names}
    found = get_close_matches(str(name).casefold(), plain, n=1)
    return f"did you mean {plain[found[0]]!r}" if found else f"the columns are {some(names)}"


def some(names: Iterable[str], most: int = 8) -> str:
    """The first of these names, and how many more there are."""
    names = [str(name) for name in names]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def check_count(what: str, n: int) -> None:
    """Refuse what is not a whole number of 1 or more; `what` is counted ("number of runs")."""
    if isinstance(n, bool) or not isinstance(n, Integral) or n < 1:
        said = n if isinstance(n, int | float) else repr(n)
        raise InputError(f"The {what} must be 1 or more, not {said}.")


def check_choice(what: str, value: object, known: Iterable[str]) -> None:
    """Refuse what is none of the known ones; `what` says what there is none of ("profile")."""
    names = list(known)
    if value not in names:
        raise InputError(f"There is no {what} {value!r}; use one of {', '.join(names)}.")
