"""Three tables made comparable: checked, given one schema, and what could not be compared."""

import numpy as np
import pandas as pd

from ..errors import InputError
from ..schema import Schema

_FEWEST_ROWS = 5  # of each table


def align(
    tables: dict[str, pd.DataFrame], schema: Schema | None = None, outcome: str | None = None,
    names: dict[str, str] | None = None,
) -> dict:  # fmt: skip
    """Check the three tables as read from files and give them one schema.
    Chapter utility, "Tables of known quality".

    `tables` are "train", "holdout" and "synthetic", `names` what to call each in errors. Without a
    schema it is inferred from the real tables. The result has them with proper types, common
    columns first, and "schema": the arguments of :func:`ehrsynth.evaluate`.
    """
    names = {role: role + " table" for role in tables} | (names or {})
    for role, table in tables.items():
        _check(table, names[role])
    if not isinstance(schema, Schema | None):
        raise InputError(
            f"The schema is {_kind(schema)}; give a Schema, or none and it is inferred."
        )
    train, holdout = tables["train"], tables["holdout"]
    real = [name for name in train.columns if name in holdout.columns]
    both = f"{names['train']} and {names['holdout']}"
    if outcome is not None and outcome not in real:
        raise InputError(f"Outcome column {outcome!r} is not in both {both}; check --outcome.")
    schema = schema or _inferred(train, holdout, real, outcome, names["train"])
    common = [n for n in schema.names if n in real and n in tables["synthetic"].columns]
    if not common:
        raise InputError(
            f"{names['synthetic']} has no column in common with {both}; its first column is "
            f"{str(tables['synthetic'].columns[0])!r}."
        )
    shared = schema.select(common)
    cast = {}
    for role, table in tables.items():
        kept, rest = shared.cast(table[common], names[role]), table.drop(columns=common)
        cast[role] = shared.attach(pd.concat([kept, rest], axis=1).reset_index(drop=True))
    return {**cast, "schema": schema}


def _kind(thing: object) -> str:
    return "None" if thing is None else f"of the type {type(thing).__name__}"


def _check(table: pd.DataFrame, name: str) -> None:
    """Raise InputError unless this is a table of some rows and of columns with different names."""
    if not isinstance(table, pd.DataFrame):
        raise InputError(f"{name} is {_kind(table)}; give a DataFrame with one row a patient.")
    if len(table) == 0 or table.shape[1] == 0:
        raise InputError(f"{name} has no rows or no columns; check the file.")
    if len(table) < _FEWEST_ROWS:
        rows = "1 row" if len(table) == 1 else f"{len(table)} rows"
        raise InputError(f"{name} has {rows}; it needs at least {_FEWEST_ROWS}.")
    doubled = table.columns[table.columns.duplicated()]
    if len(doubled):
        raise InputError(f"Column name {doubled[0]!r} appears twice in {name}; rename one of them.")


def _inferred(
    train: pd.DataFrame, holdout: pd.DataFrame, real: list, outcome: str | None, where: str
) -> Schema:
    """The schema attached to train, or inferred from the columns of both real tables."""
    for name in real:
        if _numbers_rows(train[name]) and _numbers_rows(holdout[name]):
            raise InputError(
                f"Column {str(name)!r} of {where} only numbers the rows; leave it out."
            )
    both = pd.concat([train[real], holdout[real]], ignore_index=True)
    both.attrs = train.attrs if outcome is None else {}
    return Schema.of(both, outcome=outcome)


def _numbers_rows(values: pd.Series) -> bool:
    """Whether a column is an index that went into the file: 0, 1, 2, ... or 1, 2, 3, ..."""
    if not pd.api.types.is_numeric_dtype(values) or values.isna().any():
        return False
    return bool((np.diff(values.to_numpy(float)) == 1).all()) and values.iloc[0] in (0, 1)
