"""The one kind of error a user is meant to read, and the one place that finds a bad value."""

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
    """Find the first of `values` that is wrong.

    Parameters
    ----------
    values : Series
        The column.
    wrong : Series or ndarray of bool
        Of the same length and order.

    Returns
    -------
    Bad or None
        None when nothing is wrong.
    """
    found = np.flatnonzero(np.asarray(wrong))
    if len(found) == 0:
        return None
    place = int(found[0])
    return Bad(values.iloc[place], place + 1, values.index[place])
