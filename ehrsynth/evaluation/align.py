"""Bring three tables from anywhere into the shape the metrics expect."""

import logging
from collections.abc import Mapping

import pandas as pd

from ..errors import InputError
from ..schema import Schema

log = logging.getLogger(__name__)


def align(
    tables: Mapping[str, pd.DataFrame],
    schema: Schema | None = None,
    outcome: str | None = None,
    names: Mapping[str, str] | None = None,
) -> dict:
    """Check and cast train, holdout and synthetic to one schema.

    Parameters
    ----------
    tables : mapping
        "train", "holdout" and "synthetic", one row per patient.
    schema : Schema, optional
        What the columns are; inferred from train and holdout together when not given, so
        that a category that only the holdout has is not an error.
    outcome : str, optional
        The outcome column, when there is no schema.
    names : mapping, optional
        What to call the tables in errors (their file names).

    Returns
    -------
    dict
        The keyword arguments train, holdout, synthetic and schema of
        :func:`ehrsynth.evaluate`. Synthetic keeps only columns that train has; a column that
        synthetic lacks is left to the evaluation, which reports it.

    Raises
    ------
    InputError
        That names the table, column and value that do not fit.
    """
    names = {role: role for role in tables} | dict(names or {})
    for role, table in tables.items():
        if table.empty:
            raise InputError(f"{names[role]} has no rows; check the file.")
        doubled = table.columns[table.columns.duplicated()]
        if len(doubled):
            raise InputError(f"Column {doubled[0]!r} appears twice in {names[role]}; rename one.")
    train, holdout, synthetic = (tables[role] for role in ("train", "holdout", "synthetic"))
    if schema is None:
        odd = sorted(set(train.columns) ^ set(holdout.columns), key=str)
        if odd:
            lacking = "holdout" if odd[0] in train.columns else "train"
            raise InputError(f"Column {odd[0]!r} is missing from {names[lacking]}.")
        schema = Schema.infer(pd.concat([train, holdout], ignore_index=True), outcome=outcome)
    shared = [name for name in schema.names if name in synthetic.columns]
    if not shared:
        raise InputError(
            f"{names['synthetic']} shares no column with {names['train']}; "
            "check that the files belong together."
        )
    extra = [str(name) for name in synthetic.columns if name not in schema]
    if extra:
        log.warning("%s has columns train lacks; ignored: %s", names["synthetic"], extra[:8])
    return {
        "train": schema.cast(train, where=names["train"]),
        "holdout": schema.cast(holdout, where=names["holdout"]),
        "synthetic": schema.select(shared).cast(synthetic, where=names["synthetic"]),
        "schema": schema,
    }
