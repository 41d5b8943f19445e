"""Any flat patient table: one row per patient, as CSV or Parquet."""

from pathlib import Path

import pandas as pd

from ..errors import InputError
from ..files import read_table
from ..schema import Schema

_SEXES = {"f": "F", "female": "F", "woman": "F", "m": "M", "male": "M", "man": "M"}
_SEX_NAMES = ("sex", "gender")


def load(data: str | Path, outcome: str | None = None) -> dict[str, pd.DataFrame]:
    """Read a flat table and work out what its columns are.

    Parameters
    ----------
    data : str or Path
        A ``.csv``, ``.csv.gz`` or ``.parquet`` file.
    outcome : str
        The column to predict, with two values. Of two texts or numbers the later one in order
        counts as 1.

    Returns
    -------
    dict of str to DataFrame
        ``table``, with its schema attached.

    Raises
    ------
    InputError
        If the file cannot be read, or a column is not fit for use.
    """
    if outcome is None:
        raise InputError("A flat table needs an outcome; name the column with --outcome COLUMN.")
    path = Path(data)
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the CSV or Parquet file of the patients.")
    if path.name.lower().endswith((".csv", ".csv.gz")):
        _check_header(path)
    table = read_table(path)
    if table.empty:
        raise InputError(f"{path} has no rows.")
    table.columns = [str(name) for name in table.columns]
    table.attrs.clear()  # what another program wrote there is not ours
    table = _with_plain_sex(table)
    schema = Schema.infer(table, outcome=outcome)
    return {"table": schema.cast(table, where=str(path))}


def to_patients(
    tables: dict[str, pd.DataFrame], outcome: str | None = None, code_level: str = "phecode"
) -> pd.DataFrame:
    """The table itself: it already has one row per patient."""
    table = tables["table"]
    schema = Schema.of(table)
    if outcome not in (None, schema.outcome):
        raise InputError(f"The table was read with outcome {schema.outcome!r}, not {outcome!r}.")
    return table


def _check_header(path: Path) -> None:
    """Pandas would rename the second of two equal names; we refuse it."""
    header = read_table(path, header=None, nrows=1, dtype=str, na_values=[])
    names = header.iloc[0]
    doubled = names[names.duplicated()]
    if len(doubled):
        raise InputError(f"Column name {doubled.iloc[0]!r} appears twice in {path}; rename one.")


def _with_plain_sex(table: pd.DataFrame) -> pd.DataFrame:
    """Write Female, male, f, ... as F and M, which clinical rules rely on."""
    for name in table.columns:
        if name.lower() in _SEX_NAMES and not pd.api.types.is_numeric_dtype(table[name]):
            plain = table[name].astype("str").str.strip().str.lower().map(_SEXES)
            if plain.notna().equals(table[name].notna()):
                table = table.assign(**{name: plain})
    return table
