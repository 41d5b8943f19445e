"""The file of a flat table as one raw DataFrame, and how it is written, found from the whole file.

Nothing is decided here about what a column is: a CSV's values stay the texts that are written
there, and of Parquet and DataFrames only the forms of one type are made the same.
"""

import codecs
import csv
import gzip
import json
import logging
import re
import warnings
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from charset_normalizer import from_bytes

from ...errors import InputError
from ...files import check_file, check_packed, read_table, reason, rewritten, suffix_of, unescape
from ...kinds import category_text
from ...schema import PATIENT_KEY
from .columns_file import FILE
from .decimals import sign_of_file
from .words import LINES, PATTERNS, SETS, WORDS

log = logging.getLogger(__name__)

_EXACT = 2**53  # from here on a floating-point number is not always the whole one that was written
DTYPE = b"dtype"  # of a DataFrame's columns, where Arrow's type does not tell it
_DELIMITERS = ",;\t|"
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
_LATIN, _ALPHABETS, _PAIRS = (WORDS[n].split() for n in ("latin", "own", "pairs"))
_WORD = re.compile(rb"[@-{}~\x80-\xff]*[\x80-\xff][@-{}~\x80-\xff]*")  # of pairs, too
_SIGNS = re.compile(f"[{WORDS['signs']}]+")
_BETWEEN = re.compile(rf"[^\W\d_][{WORDS['apart']}][^\W\d_]|[²³¹£][^\W\d_]")
_BACKSLASH = re.compile(rb"""(?:^|[,;\t|]) *"[^"]*\\"(?!["\r\n,;\t|]|$)""")
_HIGH = re.compile(rb"[\x80-\xff]+")
_MOST_WORDS = 20_000  # different ones; more do not change the guess
_LONGEST = 2**24  # letters of a cell, or of a line
_MOST_COLUMNS = 10_000
_ROWS_TO_GIVE_UP = 1_000  # after so many rows a delimiter that does not fit is left
_NUMBER = re.compile(r"[+-]?\d{1,15}(?:[.,]\d{1,15})?")
_DATE = PATTERNS["written_date"]
_GIVEN = SETS["given"] - {"jan"}  # a month
_PERSONAL = re.compile(
    "|".join([line.split(" | ", 1)[1] for line in LINES["forms"]] + [r"\+\d{9,15}|0\d{9,12}"])
)
_SPAN, _SERIES = 0.5, 6  # beyond the other numbers, of their span; names that only grow, a series


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
    decimal: str = ""  # the signs that are used, both of them, or none

    def facts(self) -> dict[str, str]:
        """What a person should know about it, by name."""
        if not self.kind.startswith(".csv"):
            return {"file type": self.kind or "DataFrame"}
        signs = {",": "comma", ",.": "comma in some columns, point in others"}
        return {
            "file type": self.kind, "encoding": self.encoding,
            "delimiter": {"\t": "tab"}.get(self.delimiter, self.delimiter),
            "decimal sign": signs.get(self.decimal, "point"),
        }  # fmt: skip


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
    elif (path := Path(data)).is_dir():
        raise InputError(f"{path} is a folder; give the CSV or Parquet file of the patients.")
    else:
        kind = suffix_of(path)
        check_packed(check_file(path))
        raw = _read_parquet(path) if kind == ".parquet" else _read_csv(path, kind, encoding, guess)
    if raw.frame.empty:
        raise InputError(f"{raw.where} has no rows.")
    return raw


def _named(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """The frame with text names, none of them twice."""
    for number, name in enumerate(frame.columns, start=1):
        plain = isinstance(name, str | int | float) and name == name
        if not (plain and str(name).strip().isprintable()):
            holds = "a control character in" if plain else "no single text as"
            raise InputError(f"{where} has {holds} the name of column {number}.")
    frame = frame.set_axis([str(name).strip() for name in frame.columns], axis=1)
    _check_names(where, frame.columns)
    return frame.reset_index(drop=True)


def _check_names(where: object, names: Iterable[str]) -> None:
    index = pd.Index(list(names))
    if len(index) > _MOST_COLUMNS:
        most = f"{len(index):,} columns, more than {_MOST_COLUMNS:,}"
        raise InputError(f"{where} has {most}; keep those that are needed.")
    if index.has_duplicates:
        name = index[index.duplicated()][0]
        raise InputError(f"Column name {name!r} appears twice in {where}; rename one.")


# -- Parquet, and tables in memory --------------------------------------------------------


def _read_parquet(path: Path) -> Raw:
    try:
        _check_names(path, [name.strip() for name in pq.read_schema(path).names])
        table = pq.read_table(path)
        if odd := [one for one in table.schema if isinstance(one.type, pa.BaseExtensionType)]:
            raise InputError(f"{odd[0].name!r} of {path} is of the type {odd[0].type}; give dates.")
        meta = table.schema.pandas_metadata or {}
        told = json.loads((table.schema.metadata or {}).get(b"PANDAS_ATTRS", b"{}"))
    except InputError:
        raise
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"{path} cannot be read as .parquet: {reason(error)}.") from error
    index = [name for name in meta.get("index_columns", []) if isinstance(name, str)]
    table = table.drop_columns([name for name in index if name in table.column_names])
    columns = {name: _of_arrow(table.column(name)) for name in table.column_names}
    frame = _named(pd.DataFrame(columns), str(path))
    frame.attrs = told if isinstance(told, dict) else {}
    notes = tuple(f"the index {name!r} was left out" for name in index if "__index" not in name)
    dialect = Dialect(".parquet", tuple(table.column_names), table.schema)
    return Raw(frame, dialect, str(path), notes)


def _of_frame(table: pd.DataFrame, where: str) -> Raw:
    if table.index.name not in (None, PATIENT_KEY) and table.index.has_duplicates:
        raise InputError(
            f"The index {table.index.name!r} of {where} repeats, as of several rows a patient; "
            "make it a column with reset_index()."
        )
    named = _named(table, where)
    known = pd.DataFrame({name: _known(values) for name, values in named.items()})
    arrow = pa.Table.from_pandas(known.set_axis(table.columns, axis=1), preserve_index=False)
    frame = pd.DataFrame(dict(zip(known, map(_of_arrow, arrow.columns), strict=True)))
    frame.attrs = dict(table.attrs)
    own = (isinstance(t, pd.ArrowDtype | pd.PeriodDtype) and str(t) for t in table.dtypes)
    fields = [
        f.with_metadata({DTYPE: t}) if t else f for f, t in zip(arrow.schema, own, strict=True)
    ]
    dialect = Dialect("", tuple(table.columns), pa.schema(fields, arrow.schema.metadata))
    return Raw(frame, dialect, where)


def _known(values: pd.Series) -> pd.Series:
    """A column of which Arrow knows the type: texts where it is of several, or of intervals."""
    dtype = values.dtype
    if isinstance(dtype, pd.PeriodDtype):
        return values.dt.to_timestamp()
    if getattr(dtype, "kind", "") == "c" or isinstance(dtype, pd.IntervalDtype):
        raise InputError(f"{values.name!r} is of the type {dtype}; give numbers, dates or texts.")
    if isinstance(dtype, pd.SparseDtype):
        return values.sparse.to_dense()
    if isinstance(getattr(dtype, "categories", None), pd.IntervalIndex):
        return values.cat.rename_categories(str)
    if (inferred := pd.api.types.infer_dtype(values)) == "bytes":  # pandas.read_sas unasked
        raise InputError(f"{values.name!r} holds bytes; give texts, as with encoding='latin1'.")
    if inferred == "date":
        stamps = pd.to_datetime(values)  # of some, Arrow would cut the time of the day off
        return values if (stamps.dropna() == stamps.dropna().dt.normalize()).all() else stamps
    try:
        pa.array(values, from_pandas=True)
    except (TypeError, pa.ArrowException):
        if values.map(lambda v: isinstance(v, set | list | tuple | dict)).any():
            raise InputError(f"Column {values.name!r} holds several values in one cell.") from None
        return values.map(category_text, na_action="ignore")
    return values


def _of_arrow(values: pa.ChunkedArray) -> pd.Series:
    """A column of Arrow in one of NumPy's dtypes, as a Categorical, or as objects."""
    kind = values.type
    if pa.types.is_dictionary(kind):  # in its own order
        whole = values.unify_dictionaries().combine_chunks()
        whole = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
        codes = whole.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        words = pa.chunked_array([whole.dictionary])
        days = pa.types.is_date(words.type)  # without a time of the day
        categories = pd.Index(words.to_pandas() if days else _of_arrow(words))
        return pd.Series(pd.Categorical.from_codes(codes, categories, ordered=bool(kind.ordered)))
    if pa.types.is_decimal(kind):
        values = values.cast(pa.string()).cast(pa.float64())  # to the digit
    elif pa.types.is_date(kind):
        values = values.cast(pa.timestamp("ms"))
    elif pa.types.is_time(kind):
        times = values.cast(pa.time64("us")).to_pandas()
        return times.map(lambda t: str(t)[:8], na_action="ignore")
    elif pa.types.is_integer(kind):
        ends = pc.min_max(values).as_py().values()
        if any(end is not None and abs(end) >= _EXACT for end in ends):
            values = values.cast(pa.string())
    plain = values.to_pandas()
    if plain.dtype in (np.float16, np.float32):  # as the decimals that were written: 9.3 stays 9.3
        plain = pd.Series(plain.to_numpy().astype("U").astype("float64"))
    return plain


# -- CSV ----------------------------------------------------------------------------------


def _read_csv(path: Path, kind: str, encoding: str | None, guess: bool) -> Raw:
    encoding = _encoding(path, encoding) if guess else encoding or "utf-8-sig"
    said = _said_delimiter(path, encoding)
    delimiter, names = _header(path, encoding, guess, said or _DELIMITERS)
    if _has_no_names(path, encoding, delimiter, _ROWS_TO_GIVE_UP if guess else 0):
        raise InputError(
            f"{path} begins with a line that looks like the values of a patient, not like names of "
            "columns; put a line with the names above it."
        )
    _check_names(path, [name for name in names if name])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = read_table(
                path, sep=delimiter, encoding=encoding, index_col=False, skipinitialspace=True,
                dtype=str, na_filter=False, skiprows=int(bool(said)),
            )  # fmt: skip
    except pd.errors.ParserWarning as error:
        raise InputError(
            f"{path} has rows with more values than its first row has names; correct the file, or "
            "take out what stands above the names."
        ) from error
    frame = rewritten(frame, unescape)
    frame = pd.DataFrame({name: values.where(values != "") for name, values in frame.items()})
    written = tuple(map(unescape, names))
    dialect = Dialect(kind, written, None, delimiter, encoding, sign_of_file(frame))
    if not encoding.startswith("utf-8"):
        log.info(
            "%s is read as text in %s%s; if that is wrong, say {\"%s\": {\"encoding\": NAME}} in a "
            "columns file (--columns), or save it in UTF-8.", path, encoding,
            "".join(f", with a column {n!r}" for n in names if not n.isascii()), FILE,
        )  # fmt: skip
    return Raw(_named(frame, str(path)), dialect, str(path))


def _open(path: Path, mode: str, **options) -> Any:
    """The file, unzipped where its name ends with .gz."""
    zipped = path.name.lower().endswith(".gz")
    return gzip.open(path, mode, **options) if zipped else open(path, mode, **options)


def _rows(path: Path, encoding: str, delimiter: str) -> Iterator[list[str]]:
    """The rows of the file but for blank ones, cut by the delimiter with quotes respected."""
    csv.field_size_limit(_LONGEST)  # for another delimiter, a wide table's names are one
    try:
        with _open(path, "rt", encoding=encoding, newline="") as file:
            rows = filter(None, csv.reader(file, delimiter=delimiter, skipinitialspace=True))
            yield from (row for i, row in enumerate(rows) if i or row[0][:4].lower() != "sep=")
    except UnicodeError as error:
        raise InputError(f"{path} is not a text file in {encoding}: {error}.") from error
    except csv.Error as error:
        raise InputError(
            f"{path} cannot be cut into columns ({error}); is a quotation mark never closed?"
        ) from error


def _encoding(path: Path, said: str | None) -> str:
    """The encoding, by its mark, as UTF-8, as somebody `said`, or as its words beyond ASCII say."""
    if said and re.match("utf.?(?:16|32)", said.lower()):
        return said
    try:
        with _open(path, "rb") as file:
            data = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read as .csv: {error}.") from error
    mark = next((name for m, name in _MARKS.items() if data.startswith(m)), "")
    if mark.startswith(("utf-16", "utf-32")):
        return mark
    if b"\0" in data:
        raise InputError(f"{path} is not a text file; save the table as CSV in UTF-8.")
    if b'\\"' in data and (quote := _BACKSLASH.search(data)):
        raise InputError(
            f'{path} writes a quote in a text as \\" (first in line {_line(data, quote.end())}); '
            'write it twice, as "", or other programs end the text there.'
        )
    try:
        data.decode("utf-8")
        return mark or "utf-8"
    except UnicodeDecodeError as error:
        other = _line(data, error.start)
    guess = said or _guess(sorted(set(_WORD.findall(data)))[:_MOST_WORDS])
    if not guess:
        raise InputError(
            f"{path} is not in UTF-8 (first in line {other}), and its encoding cannot be "
            f'told; say {{"{FILE}": {{"encoding": NAME}}}} in a columns file (--columns), or save '
            "it in UTF-8."
        )
    # Of a mixed file one half of the letters would be garbled. Two bytes of Chinese can be UTF-8.
    if guess not in _PAIRS and not said:
        for number, line in enumerate(data.split(b"\n"), start=1):
            if not line.isascii() and line.decode("utf-8", "ignore").encode() == line:
                raise InputError(
                    f"{path} is written in two encodings: line {number} is in UTF-8 and line "
                    f"{other} is not; save all of it in UTF-8."
                )
    return guess


def _line(data: bytes, place: int) -> int:
    return data.count(b"\n", 0, place) + 1


def _guess(words: list[bytes]) -> str:
    """The encoding in which these words are words, or ""."""
    text = b" ".join(words)
    if found := _by_alphabet(text):
        return found
    runs = _HIGH.findall(text)
    order = _ALPHABETS + _PAIRS + _LATIN
    if sum(map(len, runs)) < 0.5 * sum(map(len, words)):
        order = _LATIN if all(len(run) == 1 for run in runs) else _LATIN + _PAIRS
    elif not all(byte >= 0xC0 or byte in b"\xa8\xb8" for byte in b"".join(runs)):  # not Cyrillic
        if all(len(run) % 2 == 0 for run in runs):
            order = _PAIRS + _ALPHABETS + _LATIN
    fits = {}
    for match in from_bytes(text, cp_isolation=order):
        for name in set(match.could_be_from_charset) & set(order):
            beyond = [c for c in text.decode(name, "replace") if not c.isascii()]
            letters = sum(c.isalpha() and c != "\ufffd" for c in beyond) / max(len(beyond), 1)
            if letters > 0.5:
                fits[name] = (-round(letters, 2), round(match.chaos, 2), order.index(name))
    return min(fits, key=lambda name: fits[name]) if fits else ""


def _by_alphabet(text: bytes) -> str:
    """The encoding in which the words have the letters of one language and usual signs, or ""."""
    for encoding, letters in map(str.split, LINES["alphabets"]):
        read = text.decode(encoding, "replace").replace("İ", "ı").casefold()
        words = [word for word in read.split() if not _SIGNS.fullmatch(word)]
        mixed = sum(not word.isascii() and bool(re.search("[a-z]", word)) for word in words)
        known = {*letters, *WORDS["signs"], "s"}  # of which ß is two
        usual = all(c.isascii() or c in known for c in read) and not _BETWEEN.search(read)
        if mixed >= len(words) / 2 and usual:
            return encoding
    return ""


def _said_delimiter(path: Path, encoding: str) -> str:
    """What Excel's first line "sep=;" says, or ""."""
    with _open(path, "rt", encoding=encoding, errors="replace") as file:
        found = re.fullmatch(r"\ufeff?\"?sep=(.)\"?\s*", file.readline(_LONGEST), re.IGNORECASE)
    return found[1] if found else ""


def _header(path: Path, encoding: str, by_rows: bool, delimiters: str) -> tuple[str, list[str]]:
    """The delimiter that cuts the rows best, or else makes the most names, and the names."""
    names = {d: next(_rows(path, encoding, d), []) for d in delimiters}
    likely = [d for d in delimiters if len(names[d]) > 1]
    many = by_rows and len(likely) > 1
    fits = {d: _fit(path, encoding, d, len(names[d])) if many else 1.0 for d in likely}
    best = max(likely, key=lambda d: (round(fits[d], 2), len(names[d])), default=delimiters[0])
    return best, [name.strip() for name in names[best]]


def _fit(path: Path, encoding: str, delimiter: str, width: int) -> float:
    """How full the rows are on average, from 0 to 1; one with too many values counts as empty."""
    total, number = 0.0, 0
    for row in _rows(path, encoding, delimiter):
        total, number = total + (len(row) / width if len(row) <= width else 0.0), number + 1
        if number == _ROWS_TO_GIVE_UP and total < 0.9 * number:
            break
    return total / max(number, 1)


def _has_no_names(path: Path, encoding: str, delimiter: str, most: int) -> bool:
    """Whether the first line is mostly values, of `most` rows below it or of a person."""
    rows = _rows(path, encoding, delimiter)
    first = [name.strip() for name in next(rows, [])]
    below = [cells for row in islice(rows, most) if (cells := [c.strip() for c in row]) != first]
    # Numbers that count columns (years, wavelengths, 0 to 99) are names.
    steps = np.diff([_number(name) for name in first if _NUMBER.fullmatch(name)])
    even = len(steps) > 1 and np.ptp(steps) < 1e-6 * np.abs(steps).max()
    series = bool(len(steps)) and steps.min() > 0 and (even or len(steps) + 1 >= _SERIES)
    alike = 0
    for place, name in enumerate(first):
        column = [row[place] for row in below if place < len(row) and row[place]]
        if name and not (series and _NUMBER.fullmatch(name)):
            alike += _is_value(name, column)
    return alike >= 2 and alike > sum(map(bool, first)) / 2


def _is_value(name: str, column: list[str]) -> bool:
    """Whether a name is one of the values below it, or of their kind."""
    if _PERSONAL.fullmatch(name) or name in column or _GIVEN & set(name.casefold().split()):
        return True
    if _DATE.fullmatch(name):
        return sum(bool(_DATE.fullmatch(value)) for value in column) >= len(column) / 2
    numbers = [_number(value) for value in column if _NUMBER.fullmatch(value)]
    if not _NUMBER.fullmatch(name) or len(numbers) <= len(column) / 2:
        return False
    low, high = min(numbers), max(numbers)
    beyond = _SPAN * (high - low)
    return low - beyond <= _number(name) <= high + beyond


def _number(text: str) -> float:
    return float(text.replace(",", "."))
