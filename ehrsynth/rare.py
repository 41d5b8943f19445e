"""What few patients have in the source, as keyed hashes, and whether a file holds any of it.

Train and holdout do not know the columns that were left out, nor rare words. So the first stage
notes, for every column of what was read, the words (and up to five of them in a row), the numbers
of six digits or more and the dates that fewer than k patients have. The notes stay in the house;
what leaves is searched by them.
"""

import hashlib
import html
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from .errors import InputError
from .files import atomic_path, reason, table_ending
from .kinds import MISSING, REST, is_number
from .sources import engine
from .sources.flat.file import read_file
from .traces import CHANCE, DIGITS, Content, content_of, expected_by_chance

RARE_FILE = "inside/rare.parquet"
MOST_BYTES = 2**28  # of a packed file of a hospital; larger ones are known by the columns in use
_KEYS = ("subject_id", "person_id", "patient_nbr", "patient_id")
_WHO = "\u2063who"  # a name that no file has
_COMPUTED = 8  # decimals; a number with more is a fraction of small ones, as 7/13
_LETTERS = 4  # of a word that is looked for by itself; a shorter one only as all that a cell says
_LARGE = 1_000.0  # weights are smaller, so that none of them meets such a number by chance
_LONGEST = 5  # words in a row
_APART = 500  # a whole number of six or seven digits is a name where so few of them are in use
_UNIQUE, _COUNTED = 8, 7  # digits: hardly a count; so many counts in a report meet none by chance
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_NUMBER = re.compile(r"(?<![\w.,])\d[\d.,']*(?:[eE][+-]?\d+)?(?!\w)")
_PARTED = re.compile(r"(?<![\w.,])\d+(?:[ \u00a0\u202f]\d+)+(?![\w.,]\d|\w)")  # as 0171 638 1766
_GROUPED = re.compile(r"\d{1,3}(?:[,'.]\d{3})+")
_DAY = re.compile(r"[12]\d{3}-[01]\d-[0-3]\d")
_TIME = rf"^({_DAY.pattern})[ T][\d:.]+$"
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_MONTH = rf"({'|'.join(_MONTHS)})[a-z]*\.?"
# By the places of year, month and day; where day and month may stand for each other, both ways.
_DATES = (
    (re.compile(r"(?<!\d)(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)(?:T[\d:.]*Z?)?"), ((1, 2, 3),)),
    (re.compile(r"(?<!\d)(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})(?!\d)"), ((3, 2, 1), (3, 1, 2))),
    (re.compile(r"(?<![\w.])(\d\d)[-/.](\d\d)[-/.](\d\d)(?![\w/-]|\.\d)"), ((3, 2, 1), (3, 1, 2))),
    (re.compile(r"(?<![\w.,])([12]\d{3})([01]\d)([0-3]\d)(?!\w|[.,]\d)"), ((1, 2, 3),)),
    (re.compile(rf"\b(\d{{1,2}})\.? {_MONTH} (\d{{4}})\b", re.IGNORECASE), ((3, 2, 1),)),
    (re.compile(rf"\b{_MONTH} (\d{{1,2}}),? (\d{{4}})\b", re.IGNORECASE), ((3, 1, 2),)),
)


# -- what a text says ------------------------------------------------------------------------------


def _dates(text: str) -> set[str]:
    """The days that a text names, as 2019-03-14."""
    found = set()
    for pattern, orders in _DATES if re.search(r"\d", text) else ():
        for match in pattern.finditer(text):
            for places in orders:
                year, month, day = (match[place].casefold()[:4] for place in places)
                named = _MONTHS.index(month[:3]) + 1 if month[:3] in _MONTHS else int(month)
                for century in ("19", "20") if len(year) == 2 else ("",):
                    try:
                        found.add(date(int(century + year), named, int(day)).isoformat())
                    except ValueError:
                        continue
    return found


def _numbers(text: str, counts: bool = True) -> set[str]:
    """The numbers of six digits or more, in one spelling; of `counts`, as 123,456, if wanted."""
    parted = (re.sub(r"\D", "", written) for written in _PARTED.findall(text))
    found = {_spelled(digits) for digits in parted if len(digits) >= _COUNTED}
    for written in (one.rstrip(".,'") for one in _NUMBER.findall(text)):
        digits = re.sub(r"\D", "", written)
        if len(digits) < DIGITS:
            continue
        if not _GROUPED.fullmatch(written):
            found.add(_spelled(written.replace(",", "").replace("'", "")))
        elif counts or len(digits) >= _COUNTED:
            found.add(digits)
    return found - {""}


def _spelled(written: str) -> str:
    """One spelling for each number of enough digits; "" for others."""
    if not written.isdigit():
        try:
            number = float(written)
        except ValueError:  # as 1.2.3
            return ""
        whole = number.is_integer() and abs(number) < 1e15
        written = str(int(abs(number))) if whole else f"{abs(number):.15g}"
    if len(written.partition("e")[0].partition(".")[2]) > _COMPUTED:
        return ""
    digits = re.sub(r"\D", "", written.partition("e")[0]).lstrip("0")
    return written.lstrip("0") if len(digits) >= DIGITS else ""


def _short(number: float) -> str:
    """A number as it is left where there is room for seven digits."""
    return f"f{np.float32(np.clip(number, -3e38, 3e38)):.9g}"  # what a float32 can hold


def _words(text: str) -> list[str]:
    """The words of a text that have a letter, one after the other."""
    for pattern, _ in _DATES[:2]:
        text = pattern.sub(" ", text)
    return [word for word in _signs(text) if not word.isdigit()]


def _signs(text: str) -> list[str]:
    """Words and numbers, one after the other; an 's belongs to no name."""
    return [word.removesuffix("'s") for word in _WORD.findall(text.casefold().replace("’", "'"))]


def _addresses(text: str, whole: bool) -> set[str]:
    """Words with numbers between them, as of an address: all (`whole`), or 3 to 5 in a row."""
    signs, found = _signs(text), set()
    for row in [" ".join(signs)] if whole else _rows(signs, shortest=3):
        parts = row.split(" ")
        words = [one for one in parts if not one.isdigit()]
        if 1 < len(words) < len(parts) and max(map(len, words)) >= _LETTERS:
            found.add("#" + row)
    return found


def _rows(words: list[str], shortest: int = 1) -> Iterator[str]:
    """Each word, and two to five in a row."""
    for length in range(shortest, min(_LONGEST, len(words)) + 1):
        for start in range(len(words) - length + 1):
            yield " ".join(words[start : start + length])


def _cell(words: list[str]) -> str:
    """The whole of a short text, which is not looked for inside of others."""
    return "=" + " ".join(words)


@cache
def _own_rows() -> frozenset[str]:
    """The words of this package, alone and in a row: they say nothing about anybody."""
    folder, found = Path(__file__).parent, set[str]()
    for file in (*folder.glob("*.*"), *folder.glob("*/*.*")):
        if file.suffix in (".py", ".html", ".md", ".csv", ".json", ".js", ".css"):
            text = file.read_text(encoding="utf-8")
            for line in text.splitlines() if file.suffix == ".csv" else [text]:
                found.update(_rows(_words(line)))
                found.update(_cell(_words(cell)) for cell in line.split(","))
        elif file.suffix == ".parquet":
            columns = pd.read_parquet(file).items()
            for cell in {str(cell) for _, values in columns for cell in values.unique()}:
                found.update([*_rows(_words(cell)), _cell(_words(cell))])
    return frozenset(found)


# -- what few patients have ------------------------------------------------------------------------


def _said(text: str) -> set[str]:
    """All that a text says: days, numbers, words alone and in a row, and itself."""
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return {_spelled(text)} - {""} | (_dates(text) if len(text) == 8 else set())
    if _DAY.fullmatch(text):
        return {text}
    words, (last, comma, first) = _words(text), text.partition(",")
    cells = {_cell(words)} if words else set()
    if comma and 1 < len(words) <= _LONGEST:  # the last name first
        turned = _words(f"{first} {last}")
        cells |= {_cell(turned), *_rows(turned), *_glued(turned)}
    cells |= _addresses(text, whole=True) | _glued(words)
    return _dates(text) | _numbers(text) | set(_rows(words)) | cells


def _glued(words: list[str]) -> set[str]:
    """Two short words as one; of a longer one more is found anyway."""
    return {"".join(words)} if len(words) == 2 and max(map(len, words)) < _LETTERS else set()


def _of_column(table: engine.Table, name: str, key: str, least: int) -> dict[str, set]:
    """By what one column of a table says, who has it, up to `least` of them."""
    what = table[name].cast("string").re_replace(_TIME, r"\1")
    pairs = table.select(who=table[key].cast("string"), what=what)
    pairs = pairs.filter(pairs["what"].notnull()).distinct()
    often = pairs.group_by("what").aggregate(n=pairs.count())
    patients: dict[str, set] = defaultdict(set)
    for value in engine.collect(often.filter(often["n"] >= least))["what"]:
        for one in _said(value):
            patients[one] = set(range(least))
    seldom = pairs.inner_join(often.filter(often["n"] < least), "what")
    for batch in seldom.to_pyarrow_batches(chunk_size=100_000):
        for who, what in zip(batch["who"].to_pylist(), batch["what"].to_pylist(), strict=True):
            for one in _said(what):
                if len(patients[one]) < least:
                    patients[one].add(who)
    return patients


def _names_nobody(one: str, own: frozenset[str], whole: frozenset[str]) -> bool:
    """Whether this is met by chance: short words, and words that stand in every report.

    All that a cell says (`whole`) is somebody's name even of short words; one of these words, and
    two initials, are not.
    """
    if one in own:
        return True
    if one.startswith(("=", "#")):
        return len(one) < 3
    words = one.split(" ")
    if len(words) > 1 and one in whole and len(one) > 3:
        return False
    if re.fullmatch(r"\d{4}-01-01", one):  # where days are counted from
        return True
    if len(words) == 1:  # in other scripts names are shorter, and chance has more letters
        return len(one) < (_LETTERS if one.isascii() else 2)
    return len(words) < 4 and all(word in own or len(word) < _LETTERS for word in words)


def _too_close(numbers: Iterable[str]) -> set[str]:
    """Whole numbers of six or seven digits that lie so close that counts meet them by chance."""
    short = sorted(int(one) for one in numbers if one.isdigit() and len(one) < _UNIQUE)
    near = np.array(short, dtype=np.int64)
    if len(near) == 0:
        return set()
    low, high = (np.searchsorted(near, near + side * 10 * _APART) for side in (-1, 1))
    return {str(one) for one, close in zip(short, high - low > 20, strict=True) if close}


@dataclass(frozen=True)
class Rare:
    """Keyed hashes of what fewer than `least` patients have."""

    key: bytes
    hashes: np.ndarray  # sorted
    least: int

    @classmethod
    def of(cls, tables: Mapping[str, tuple], least: int, public: Iterable[str] = ()) -> "Rare":
        """Of lazy tables, each with the name of its column of patients.

        What `public` texts say, and the names of columns, tells nothing about anybody.
        """
        rare, common = set[str](), set[str]()
        columns = [(*both, name) for both in tables.values() for name in both[0].columns]
        for table, key, name in columns:
            if name not in (engine.ROW, _WHO):
                for one, patients in _of_column(table, name, key, least).items():
                    (rare if len(patients) < least else common).add(one)
        names = [name for *_, name in columns]
        own = _own_rows() | {one for text in (*public, *names) for one in _said(str(text))}
        own |= {one.casefold() for one in (MISSING, REST)}
        rare -= common
        whole = frozenset(one[1:] for one in rare if one.startswith("="))
        rare = {one for one in rare if not _names_nobody(one, own, whole)}
        rare -= _too_close(rare)
        rare |= {_short(float(one)) for one in rare if _spelled(one)}
        # Made of what is noted, so that the same data leave the same file.
        key = hashlib.sha256("\n".join(sorted(rare)).encode()).digest()
        return cls(key, np.unique(_hashes(rare, key)), least)

    def save(self, folder: Path) -> None:
        """Write the hashes into the folder of a run."""
        noted = {"key": self.key.hex(), "least": str(self.least)}
        table = pa.table({"hash": self.hashes}, metadata=noted)
        with atomic_path(folder / RARE_FILE) as temporary:
            pq.write_table(table, temporary)

    @classmethod
    def load(cls, folder: Path) -> "Rare":
        """Read them back."""
        try:
            table = pq.read_table(folder / RARE_FILE)
            key, least = (table.schema.metadata[name].decode() for name in (b"key", b"least"))
            return cls(bytes.fromhex(key), table["hash"].to_numpy(), int(least))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder / RARE_FILE} cannot be used: {reason(error)}.") from error

    def _hits(self, said: set[str]) -> set[str]:
        known = np.isin(_hashes(said, self.key), self.hashes)
        return {one for one, is_known in zip(said, known, strict=True) if is_known}

    def found_in(self, path: Path, counted: frozenset[str] = frozenset()) -> list[str]:
        """What a file holds of it but numbers `counted` of patients; in sentences without it."""
        try:
            hits = self._in_content(content_of(path.name, path.read_bytes()), path.suffix) - counted
        except (ValueError, OSError, EOFError, KeyError) as error:
            raise InputError(f"{path} cannot be searched: {reason(error)}.") from error
        return self._say(path.name, hits)

    def found_in_words(self, what: str, text: str, texts: bool = True) -> list[str]:
        """The same of `what` somebody has typed; only its dates and numbers if not `texts`."""
        parts = "\n".join([text, *re.split(r"[,;:()#]", text)])
        hits = self._in_content(Content(parts, [], []), ".md")
        return self._say(what, {o for o in hits if texts or _DAY.fullmatch(o) or _spelled(o)})

    def _say(self, where: str, hits: set[str]) -> list[str]:
        kinds = {
            "dates" if _DAY.fullmatch(o) else "numbers" if _spelled(o) else "texts" for o in hits
        }
        what, few = " and ".join(sorted(kinds)), f"fewer than {self.least} patients of the source"
        return [f"{where} holds {what} of {few}"] if hits else []

    def _in_content(self, content: Content, kind: str) -> set[str]:
        text = html.unescape(content.text)
        said = _dates(text) | _numbers(text, counts=False) | set(_rows(_words(text)))
        for line in re.split(r"[\n<>|\"]", text):
            cell = _cell(_words(line))
            # In the code of a page stand short words of every kind.
            said |= {cell} if kind != ".html" or len(cell) > _LETTERS else set()
            said |= _addresses(line, whole=True) | _addresses(line, whole=False)
        for tensor in content.tensors:
            large = np.unique(np.abs(tensor[np.abs(tensor.astype(float)) >= _LARGE]))
            short = tensor.dtype == np.float32
            said |= {_short(value) if short else _spelled(repr(float(value))) for value in large}
        found = self._hits(said - {""})
        for table in content.tables:
            for name in table:
                found |= self._in_column(table[name].dropna())
        return found

    def _in_column(self, values: pd.Series) -> set[str]:
        """What a column of a table holds; of numbers and dates what lies apart from the others."""
        if is_number(values):
            texts = [str(value).lstrip("-") for value in values.unique()]
            hits = self._hits({one for text in texts for one in _numbers(text)})
        else:
            texts = list(set(map(str, values)))
            hits = self._hits({one for text in texts for one in _said(text)})
        kinds = (_dates, lambda day: date.fromisoformat(day).toordinal()), (_numbers, float)
        for pattern, number in kinds:
            some = {one for one in hits if one in pattern(one)}
            if some:
                all_of = np.sort([number(o) for text in texts for o in pattern(text.lstrip("-"))])
                few = CHANCE / (10 if pattern is _dates else len(all_of))
                hits -= {o for o in some if expected_by_chance(all_of, number(o)) > few}
        return hits


def _hashes(said: Iterable[str], key: bytes) -> np.ndarray:
    made = b"".join(hashlib.blake2b(s.encode(), digest_size=8, key=key).digest() for s in said)
    return np.frombuffer(made, dtype="<u8")


# -- what was read ---------------------------------------------------------------------------------


def tables_of(
    dataset: str, source: Mapping, inputs: Iterable[str], patient: str | None = None
) -> dict[str, tuple[engine.Table, str]]:
    """The tables that a run was made of, its files with all columns, and who is in which row.

    Of a flat table each row is a patient, unless a column (`patient`) says who.
    """
    con, found, large = engine.connect(), {}, False
    for number, path in enumerate(map(Path, inputs)):
        name = f"input_{number}"
        if not table_ending(path):
            continue
        if dataset == "table":
            frame = read_file(path).frame
            frame = frame.astype(object).where(frame.notna(), None).map(str, na_action="ignore")
            row = pd.Series(map(str, range(len(frame))), index=frame.index)
            frame[_WHO] = row if patient is None else frame[patient].fillna("row " + row)
            found[name] = (engine.hand_over(con, name, frame), _WHO)
        elif path.stat().st_size > MOST_BYTES:
            large = True
        elif table := _of_hospital(con, path):
            found[name] = table
    if large or not found or dataset == "omop":  # where names stand in other tables than codes
        told = {n: t for n, t in source.items() if hasattr(t, "columns") and _key(t.columns)}
        found |= {n: (t, _key(t.columns) or "") for n, t in engine.lazy(told).items()}
    return found


def _key(columns: Iterable[str]) -> str | None:
    known = {name.lower(): name for name in columns}
    return next((known[key] for key in _KEYS if key in known), None)


def _of_hospital(con, path: Path) -> tuple[engine.Table, str] | None:
    """A file of a hospital with all its columns, where it has one of patients and can be read."""
    try:
        table = engine.read_file(con, path)
        if len(table.columns) == 1:
            table = engine.read_file(con, path, tabs=True)
        key = _key(table.columns)
        return None if key is None else (engine.store(con, table), key)
    except Exception as error:  # the engine's; a file that the reader needs is refused by it
        if type(error).__module__.split(".")[0] not in ("duckdb", "_duckdb", "ibis"):
            raise
        return None
