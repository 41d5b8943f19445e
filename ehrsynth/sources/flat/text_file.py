"""How a file of text is written: its encoding and its delimiter, found from the whole file."""

import codecs
import csv
import gzip
import re
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from charset_normalizer import from_bytes

from ...errors import InputError
from .columns_file import FILE
from .words import WORDS

_DELIMITERS = ",;\t|"
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
_LATIN, _ALPHABETS, _PAIRS = (tuple(WORDS[n].split()) for n in ("latin", "own", "pairs"))
_WORD = re.compile(rb"[@-{}~\x80-\xff]*[\x80-\xff][@-{}~\x80-\xff]*")  # of pairs, too
_SIGNS = re.compile(f"[{WORDS['signs']}]+")
_BETWEEN = re.compile(rf"[^\W\d_][{WORDS['apart']}][^\W\d_]|[²³¹£][^\W\d_]")
_HIGH = re.compile(rb"[\x80-\xff]+")
_MOST_WORDS = 20_000  # different ones; more do not change the guess
_ROWS_TO_GIVE_UP = 1_000  # after so many rows a delimiter that does not fit is left
_NUMBER = re.compile(r"[+-]?\d{1,15}(?:[.,]\d{1,15})?")
_DATE = re.compile(WORDS["written_date"])
_PERSONAL = re.compile(
    "|".join(line.split(" | ", 1)[1] for line in WORDS["forms"].strip().splitlines())
    + r"|\+\d{9,15}|0\d{9,12}"
)
_GIVEN = set(WORDS["given"].split()) - {"jan"}  # a month
_SPAN, _SERIES = 0.5, 6  # beyond the other numbers, of their span; names that only grow, a series


def open_file(path: Path, mode: str, **options) -> Any:
    """The file, unzipped where its name ends with .gz."""
    zipped = path.name.lower().endswith(".gz")
    return gzip.open(path, mode, **options) if zipped else open(path, mode, **options)


def encoding_of(path: Path, said: str | None = None) -> str:
    """The encoding, by its mark, as UTF-8, as somebody `said`, or as its words beyond ASCII say."""
    first: dict[bool, int] = {}  # line that has more than ASCII and is, or is not, in UTF-8
    words: set[bytes] = set()
    mark = ""
    if said and re.match("utf.?(?:16|32)", said.lower()):
        return said
    try:
        with open_file(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                if number == 1:
                    mark = next((name for m, name in _MARKS.items() if line.startswith(m)), "")
                    if mark.startswith(("utf-16", "utf-32")):
                        return mark
                if b"\0" in line:
                    raise InputError(f"{path} is not a text file; save the table as CSV in UTF-8.")
                if not line.isascii():
                    fits = line.decode("utf-8", "ignore").encode() == line
                    first.setdefault(fits, number)
                    if len(words) < _MOST_WORDS:
                        words.update(_WORD.findall(line))
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read as .csv: {error}.") from error
    if False not in first:
        return mark or "utf-8"
    guess = said or _guess(sorted(words))
    if not guess:
        raise InputError(
            f"{path} is not in UTF-8 (first in line {first[False]}), and its encoding cannot be "
            f'told; say {{"{FILE}": {{"encoding": NAME}}}} in a columns file (--columns), or save '
            "it in UTF-8."
        )
    # Of a mixed file one half of the letters would be garbled. Two bytes of Chinese can be UTF-8.
    if True in first and guess not in _PAIRS and not said:
        raise InputError(
            f"{path} is written in two encodings: line {first[True]} is in UTF-8 and line "
            f"{first[False]} is not; save all of it in UTF-8."
        )
    return guess


def _by_alphabet(text: bytes) -> str:
    """The encoding in which the words have the letters of one language and usual signs, or ""."""
    for encoding, letters in (line.split() for line in WORDS["alphabets"].split("\n") if line):
        read = text.decode(encoding, "replace").replace("İ", "ı").casefold()
        words = [word for word in read.split() if not _SIGNS.fullmatch(word)]
        mixed = sum(not word.isascii() and bool(re.search("[a-z]", word)) for word in words)
        known = {*letters, *WORDS["signs"], "s"}  # of which ß is two
        if (
            mixed >= len(words) / 2
            and all(c.isascii() or c in known for c in read)
            and not _BETWEEN.search(read)
        ):
            return encoding
    return ""


def _guess(words: list[bytes]) -> str:
    """The encoding in which these words are words, or ""."""
    text = b" ".join(words)
    if found := _by_alphabet(text):
        return found
    high = b"".join(_HIGH.findall(text))
    order: tuple[str, ...] = (*_ALPHABETS, *_PAIRS, *_LATIN)
    if len(high) < 0.5 * sum(map(len, words)):
        alone = all(len(run) == 1 for run in _HIGH.findall(text))
        order = _LATIN if alone else (*_LATIN, *_PAIRS)
    elif not all(byte >= 0xC0 or byte in b"\xa8\xb8" for byte in high):  # all in Cyrillic
        if all(len(run) % 2 == 0 for run in _HIGH.findall(text)):
            order = (*_PAIRS, *_ALPHABETS, *_LATIN)
    fits = {}
    for match in from_bytes(text, cp_isolation=list(order)):
        for name in set(match.could_be_from_charset) & set(order):
            if (share := _letters(text, name)) > 0.5:
                fits[name] = (-round(share, 2), round(match.chaos, 2), order.index(name))
    return min(fits, key=lambda name: fits[name]) if fits else ""


def _letters(text: bytes, encoding: str) -> float:
    """Which share of the characters beyond ASCII are letters."""
    characters = [c for c in text.decode(encoding, "replace") if not c.isascii()]
    return sum(c.isalpha() and c != "\ufffd" for c in characters) / max(len(characters), 1)


def header_of(path: Path, encoding: str, by_rows: bool = True) -> tuple[str, list[str]]:
    """The delimiter that cuts the rows into as many values as there are names, and the names.

    Not `by_rows`, it is the one that makes the most names.
    """
    names = {}
    for delimiter in _DELIMITERS:
        names[delimiter] = next(_rows(path, encoding, delimiter), [])
    likely = [delimiter for delimiter in _DELIMITERS if len(names[delimiter]) > 1]
    many = by_rows and len(likely) > 1
    fits = {d: _fit(path, encoding, d, len(names[d])) if many else 1.0 for d in likely}
    best = max(likely, key=lambda d: (round(fits[d], 2), len(names[d])), default=",")
    return best, [name.strip() for name in names[best]]


def without_names(path: Path, encoding: str, delimiter: str, by_rows: bool = True) -> bool:
    """Whether most of the first line is what stands in the columns below it: no names, a patient.

    Not `by_rows`, dates, e-mail addresses and numbers of persons or telephones are.
    """
    rows = _rows(path, encoding, delimiter)
    names = [name.strip() for name in next(rows, [])]
    below = [row for row in islice(rows, _ROWS_TO_GIVE_UP if by_rows else 0)]
    below = [cells for row in below if (cells := [cell.strip() for cell in row]) != names]
    columns: list[list[str]] = [
        [row[i] for row in below if i < len(row) and row[i]] for i in range(len(names))
    ]
    series = _is_series([_number(name) for name in names if _NUMBER.fullmatch(name)])
    alike = sum(
        _is_value(name, column)
        for name, column in zip(names, columns, strict=True)
        if name and not (series and _NUMBER.fullmatch(name))
    )
    return alike >= 2 and alike > sum(map(bool, names)) / 2


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


def _is_series(numbers: list[float]) -> bool:
    """Whether numbers count columns: years, wavelengths, 0 to 99."""
    steps = [after - before for before, after in zip(numbers, numbers[1:], strict=False)]
    even = len(steps) > 1 and max(steps) - min(steps) < 1e-6 * max(map(abs, steps), default=1)
    return bool(steps) and min(steps) > 0 and (even or len(numbers) >= _SERIES)


def _fit(path: Path, encoding: str, delimiter: str, width: int) -> float:
    """How full the rows are on average, from 0 to 1; one with too many values counts as empty."""
    total, number = 0.0, 0
    for row in _rows(path, encoding, delimiter):
        if row:
            total, number = total + (len(row) / width if len(row) <= width else 0.0), number + 1
        if number == _ROWS_TO_GIVE_UP and total < 0.9 * number:
            break
    return total / max(number, 1)


def _rows(path: Path, encoding: str, delimiter: str) -> Iterator[list[str]]:
    """The rows of the file, cut by the delimiter with quotes respected."""
    try:
        with open_file(path, "rt", encoding=encoding, newline="") as file:
            yield from csv.reader(file, delimiter=delimiter, skipinitialspace=True)
    except (UnicodeError, csv.Error) as error:
        raise InputError(f"{path} is not a text file in {encoding}: {error}.") from error
