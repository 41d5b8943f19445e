"""The file of a flat table as one DataFrame: its ending, encoding, delimiter and header."""

import codecs
import csv
import gzip
import logging
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from ...errors import InputError
from ...files import read_table

log = logging.getLogger(__name__)

CODE_NUMBER = r"0\d+|\d{16,}"  # begins with 0, or has more digits than a number can keep
_DELIMITERS = ",;\t|"


def read_file(path: Path) -> pd.DataFrame:
    """The table of a CSV or Parquet file: at least one row, names without spaces, none twice."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the CSV or Parquet file of the patients.")
    is_csv = path.name.lower().endswith((".csv", ".csv.gz")) and path.is_file()
    table = _read_csv(path) if is_csv else read_table(path)
    table.columns = [str(name).strip() for name in table.columns]
    _refuse_doubled(path, table.columns)  # of Parquet, once the spaces around names are gone
    if table.empty:
        raise InputError(f"{path} has no rows.")
    table.attrs.clear()  # what another program wrote there is not ours
    return table.reset_index(drop=True)


def _read_csv(path: Path) -> pd.DataFrame:
    encoding = _encoding(path)
    if encoding == "cp1252":
        log.info("%s is not in UTF-8; read as western European Windows text.", path)
    delimiter, names = _header(path, encoding)
    _refuse_doubled(path, [name for name in names if name])
    options: dict[str, Any] = {
        "sep": delimiter, "encoding": encoding, "low_memory": False, "index_col": False,
        "skipinitialspace": True,
    }  # fmt: skip
    if delimiter == ";":  # how European spreadsheets export: 1,5 is one and a half
        options["decimal"] = ","
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            start = read_table(path, **options, nrows=2_000, dtype=str)
            # Such a number is a code, of which a digit would be lost.
            codes = [n for n in start if start[n].str.fullmatch(CODE_NUMBER, na=False).any()]
            return read_table(path, **options, dtype=dict.fromkeys(codes, str))
    except pd.errors.ParserWarning as error:
        raise InputError(
            f"{path} has rows with more values than its first row has names; correct the file."
        ) from error


def _refuse_doubled(path: Path, names: Iterable[str]) -> None:
    index = pd.Index(list(names))
    if index.has_duplicates:
        name = index[index.duplicated()][0]
        raise InputError(f"Column name {name!r} appears twice in {path}; rename one.")


def _open(path: Path, mode: str, **options) -> Any:
    zipped = path.name.lower().endswith(".gz")
    return gzip.open(path, mode, **options) if zipped else open(path, mode, **options)


def _encoding(path: Path) -> str:
    """UTF-8, or what Windows writes in western Europe, or UTF-16 by its mark."""
    first: dict[bool, int] = {}  # line that has more than ASCII and is, or is not, in UTF-8
    try:
        with _open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                if number == 1 and line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                    return "utf-16"
                if not line.isascii():
                    first.setdefault(line.decode("utf-8", "ignore").encode() == line, number)
    except (OSError, EOFError) as error:
        raise InputError(f"{path} cannot be read as .csv: {error}.") from error
    if len(first) == 2:  # pasted together from others; one half of the accents would be garbled
        raise InputError(
            f"{path} is written in two encodings: line {first[True]} is in UTF-8 and line "
            f"{first[False]} is not; save all of it in UTF-8."
        )
    return "cp1252" if False in first else "utf-8-sig"


def _header(path: Path, encoding: str) -> tuple[str, list[str]]:
    """The delimiter that cuts the first row into most names, and the names."""
    try:
        with _open(path, "rt", encoding=encoding, newline="") as file:
            start = [line for line, _ in zip(file, range(50), strict=False)]
    except UnicodeError as error:
        raise InputError(f"{path} is not a text file: {error}.") from error
    if any("\0" in line for line in start[:1]):
        raise InputError(f"{path} is not a text file; save the table as CSV in UTF-8.")
    names: dict[str, list[str]] = {d: next(csv.reader(start, delimiter=d), []) for d in _DELIMITERS}
    delimiter = max(_DELIMITERS, key=lambda d: len(names[d]))
    return delimiter, [name.strip() for name in names[delimiter]]
