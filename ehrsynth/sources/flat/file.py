"""The file of a flat table as one raw DataFrame, and how it is written.

Nothing is decided here about what a column is: a CSV's values stay the texts that are written
there, and of Parquet and DataFrames only the forms of one type are made the same.
"""

import json
import logging
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ...errors import InputError
from ...files import TABLE_SUFFIXES, check_packed, read_table, reason, unescape, unescaped
from .columns_file import FILE
from .decimals import sign_of_file
from .text_file import encoding_of, header_of, without_names

log = logging.getLogger(__name__)

_EXACT = 2**53  # from here on a floating-point number is not always the whole one that was written


@dataclass(frozen=True)
class Dialect:
    """How a table is written, so that another one can be written alike.

    `names` are the columns in the file's order, as they are written there. `schema` has their Arrow
    types, and pandas' dtypes where pandas wrote them; a CSV has none.
    """

    kind: str  # ".csv", ".csv.gz", ".parquet", or "" of a DataFrame
    names: tuple[Any, ...]
    schema: pa.Schema | None = None
    delimiter: str = ","
    encoding: str = "utf-8"  # by its Python name; "utf-8-sig" and "utf-16" begin with a mark
    decimal: str = "."  # "" where both signs are used

    def facts(self) -> dict[str, str]:
        """What a person should know about it, by name."""
        facts = {"file type": self.kind or "DataFrame"}
        if self.kind.startswith(".csv"):
            signs = {",": "comma", ".": "point", "": "comma in some columns, point in others"}
            delimiter = {"\t": "tab"}.get(self.delimiter, self.delimiter)
            facts |= {"encoding": self.encoding, "delimiter": delimiter}
            facts["decimal sign"] = signs[self.decimal]
        return facts


@dataclass(frozen=True)
class Raw:
    """A table as it is written: nothing is learned from it yet.

    `frame` has text names without spaces around them and a row for each of the file, numbered from
    0. Its columns have NumPy's dtypes, a pandas Categorical, datetimes, or texts with None or NaN.
    """

    frame: pd.DataFrame
    dialect: Dialect
    where: str  # what to call it in messages
    notes: tuple[str, ...] = ()

    @property
    def is_text(self) -> bool:
        """Whether a missing value and the text "NA" look alike, as in a CSV."""
        return self.dialect.kind.startswith(".csv")


def read_file(
    data: str | Path | pd.DataFrame, where: str = "the table", encoding: str | None = None,
    guess: bool = True,
) -> Raw:  # fmt: skip
    """The table of a CSV or Parquet file, or a DataFrame: at least one row, no name twice.

    The `encoding` of a CSV that is not in UTF-8 is guessed where nobody says it. Without `guess` no
    row has a say in how the others are read: UTF-8 unless said, the delimiter by the names.
    """
    if isinstance(data, pd.DataFrame):
        raw = _of_frame(data, where)
    else:
        path = Path(data)
        if path.is_dir():
            raise InputError(f"{path} is a folder; give the CSV or Parquet file of the patients.")
        name = path.name.lower()
        kind = next((s for s in reversed(TABLE_SUFFIXES) if name.endswith(s)), "")
        if kind == ".parquet" and path.is_file():
            raw = _read_parquet(path)
        elif kind and path.is_file():
            raw = _read_csv(path, kind, encoding, guess)
        else:
            read_table(path)  # says what is wrong
            raise AssertionError(path)
    if raw.frame.empty:
        raise InputError(f"{raw.where} has no rows.")
    return raw


def _named(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """The frame with text names, none of them twice."""
    frame = frame.set_axis([str(name).strip() for name in frame.columns], axis=1)
    for number, name in enumerate(frame.columns, start=1):
        if not name.isprintable():
            raise InputError(f"{where} has a control character in the name of column {number}.")
    _refuse_doubled(where, frame.columns)
    return frame.reset_index(drop=True)


def _refuse_doubled(where: object, names: Iterable[str]) -> None:
    index = pd.Index(list(names))
    if index.has_duplicates:
        name = index[index.duplicated()][0]
        raise InputError(f"Column name {name!r} appears twice in {where}; rename one.")


def _read_csv(path: Path, kind: str, said: str | None, guess: bool) -> Raw:
    check_packed(path)
    encoding = encoding_of(path, said) if guess else said or "utf-8-sig"
    delimiter, names = header_of(path, encoding, guess)
    if without_names(path, encoding, delimiter, guess):
        raise InputError(
            f"{path} begins with a line that looks like the values of a patient, not like names of "
            "columns; put a line with the names above it."
        )
    _refuse_doubled(path, [name for name in names if name])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = read_table(
                path, sep=delimiter, encoding=encoding, index_col=False, skipinitialspace=True,
                dtype=str, na_filter=False,
            )  # fmt: skip
    except pd.errors.ParserWarning as error:
        raise InputError(
            f"{path} has rows with more values than its first row has names; correct the file, or "
            "take out what stands above the names (a title, sep=;)."
        ) from error
    frame = unescaped(frame)
    frame = pd.DataFrame({name: values.where(values != "") for name, values in frame.items()})
    dialect = Dialect(
        kind, tuple(map(unescape, names)), None, delimiter, encoding, sign_of_file(frame)
    )
    if not encoding.startswith("utf-8"):
        log.info(
            "%s is read as text in %s%s; if that is wrong, say {\"%s\": {\"encoding\": NAME}} in a "
            "columns file (--columns), or save it in UTF-8.", path, encoding,
            "".join(f", with a column {n!r}" for n in names if not n.isascii()), FILE,
        )  # fmt: skip
    return Raw(_named(frame, str(path)), dialect, str(path))


def _read_parquet(path: Path) -> Raw:
    check_packed(path)
    try:
        table = pq.read_table(path)
        meta = table.schema.pandas_metadata or {}
        told = json.loads((table.schema.metadata or {}).get(b"PANDAS_ATTRS", b"{}"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as .parquet: {reason(error)}.") from error
    index = [name for name in meta.get("index_columns", []) if isinstance(name, str)]
    table = table.drop_columns([name for name in index if name in table.column_names])
    _refuse_doubled(path, [name.strip() for name in table.column_names])
    columns = {name: _of_arrow(table.column(name)) for name in table.column_names}
    frame = _named(pd.DataFrame(columns), str(path))
    frame.attrs = told if isinstance(told, dict) else {}
    notes = tuple(f"the index {name!r} was left out" for name in index if "__index" not in name)
    dialect = Dialect(".parquet", tuple(table.column_names), table.schema)
    return Raw(frame, dialect, str(path), notes)


def _of_frame(table: pd.DataFrame, where: str) -> Raw:
    frame = _named(table, where)
    plain = {name: _plain(values) for name, values in frame.items()}
    made = pd.DataFrame(plain, index=frame.index)
    made.attrs = dict(table.attrs)
    try:
        schema = pa.Schema.from_pandas(table, preserve_index=False)
    except (TypeError, pa.ArrowException):  # a column of several types
        schema = None
    return Raw(made, Dialect("", tuple(table.columns), schema), where)


# -- the types of Arrow and of pandas ----------------------------------------------------


def _plain(values: pd.Series) -> pd.Series:
    """A column of any of pandas' dtypes in one of NumPy's, where there is one."""
    if isinstance(values.dtype, pd.SparseDtype):
        values = values.sparse.to_dense()
    dtype = values.dtype
    if getattr(dtype, "kind", "") == "c" or isinstance(dtype, pd.PeriodDtype | pd.IntervalDtype):
        raise InputError(
            f"Column {values.name!r} is of the type {dtype}; give numbers, dates or texts."
        )
    if isinstance(dtype, pd.ArrowDtype):
        return _of_arrow(pa.chunked_array(pa.array(values.array)))
    if isinstance(dtype, pd.CategoricalDtype):
        kinds = dtype.categories.dtype
        if isinstance(kinds, pd.ArrowDtype):
            return values.cat.rename_categories(dtype.categories.astype(object))
        return values
    if pd.api.types.is_extension_array_dtype(dtype) and pd.api.types.is_numeric_dtype(dtype):
        return _of_arrow(pa.chunked_array(pa.array(values)))  # Int64, Float64, boolean
    if pd.api.types.is_integer_dtype(dtype) and _is_exact(values):
        return values.astype("str").astype(object)
    return _widened(values) if dtype in (np.float16, np.float32) else values


def _is_exact(whole: pd.Series) -> bool:
    """Whether some whole numbers are so large that a floating-point number loses digits."""
    return bool(len(whole)) and not -_EXACT < whole.min() <= whole.max() < _EXACT


def _of_arrow(values: pa.ChunkedArray) -> pd.Series:
    """A column of Arrow in one of NumPy's dtypes, as a Categorical, or as objects."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return _of_dictionary(values)
    if pa.types.is_decimal(kind):
        values = values.cast(pa.float64())
    elif pa.types.is_date(kind):
        values = values.cast(pa.timestamp("ms"))
    elif pa.types.is_time(kind):
        times = values.cast(pa.time64("us")).to_pandas()
        return times.map(lambda t: str(t)[:8], na_action="ignore")
    elif pa.types.is_integer(kind) and _is_exact(values.drop_null().to_pandas()):
        values = values.cast(pa.string())
    plain = values.to_pandas()
    return _widened(plain) if plain.dtype in (np.float16, np.float32) else plain


def _of_dictionary(values: pa.ChunkedArray) -> pd.Series:
    """A Categorical, in its own order of categories."""
    whole = values.unify_dictionaries().combine_chunks()
    whole = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
    codes = whole.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    categories = _of_arrow(pa.chunked_array([whole.dictionary]))
    ordered = bool(values.type.ordered)
    return pd.Series(pd.Categorical.from_codes(codes, pd.Index(categories), ordered=ordered))


def _widened(values: pd.Series) -> pd.Series:
    """Short floating-point numbers, each as the decimals it was written as: 9.3 stays 9.3."""
    return pd.Series(values.to_numpy().astype("U").astype("float64"), values.index)
