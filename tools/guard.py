"""Keeps credentialed patients out of commits.

    python tools/guard.py staged     what is about to be committed (the git hook)
    python tools/guard.py tracked    every file of the repository (a test does the same)

A list says what may be committed: kinds of text that can be searched, data in few places, few other
files by name. Everything is searched for numbers like those of MIMIC-IV (eight digits that begin
with 1 for a subject, 2 for an admission, 3 for a stay), also in what is packed, attached or encoded
in it, and what a run of ehrsynth leaves is refused whatever it is called. The simulated hospital
numbers its patients in the same way; those that the book shows are known and pass.
"""

import argparse
import base64
import binascii
import csv
import gzip
import hashlib
import html
import io
import json
import re
import subprocess
import sys
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import date
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# What may be committed: texts anywhere, data where they belong, the rest by name.
TEXTS = (".py", ".md", ".yml", ".yaml", ".toml", ".cfg", ".txt", ".css", ".js", ".bib", ".cff",
         ".html", ".svg", ".mplstyle", ".typed", ".tex")  # fmt: skip
NAMES = ("Makefile", "LICENSE", "LICENSE-CONTENT", ".gitignore", ".gitattributes", "Dockerfile",
         ".ci/run", "tools/hooks/pre-commit", "ehrsynth/phecodes.parquet", "data/sample/truth.json",
         "ehrsynth/hospital/truth.json",
         "ehrsynth/evaluation/metrics.schema.json", "ehrsynth/sources/registry.json")  # fmt: skip
PLACES = (
    ("book/", (".ipynb", ".csv", ".png", ".json")),
    ("benchmarks/", (".csv",)),
    ("ehrsynth/", (".csv",)),
    ("tests/", (".csv",)),
    ("tools/", (".csv",)),
    ("data/sample/hosp/", (".csv.gz",)),
)
# Patients (with seed 0) of the simulated hospitals that the repository shows.
SIMULATED = (100, 200, 4_000)
SHOWN = ROOT / "tools" / "simulated_ids.csv"  # those of them that stand in the chapters

# Numbers that everybody knows: of OMOP's vocabulary, and made up.
PUBLIC = frozenset([38003563, 38003564, 10000001, 12345678, 2**24 - 1, 2**24, 2**25])

# Looked into once, since that takes a second.
_KNOWN = "536438bd07c844ec8e7e75074d4bcd6560aafcba637be497b9ddb8b4c7b3e98b"  # phecodes.parquet

# What a run leaves, by words that stand together in it alone.
_PRODUCTS = {
    "a run's manifest": ('"settings"', '"finished"', '"facts"'),
    "a schema of patients": ('"columns"', '"kind"', '"role"'),
    "a model": ('"layout"', '"recipe"', '"condition"'),
    "a preprocessor": ('"bins"', '"schema"', '"options"'),
    "the form of a table": ('"arrow"', '"columns"', '"csv"'),
    "a report": ('"verdicts"', '"metrics"'),
    "the manifest of a release": ('"privacy"', '"signed"', '"files"'),
}
_TITLES = ("# Data-set card", "<title>Report on synthetic patients")
# Templates and the description of a report, which say the same words.
_OWN = ("ehrsynth/",)
_UNPACKED = 2**28  # bytes of one file

# Not a part of a longer number, of a hash or of a UUID; after p or s as MIMIC's folders are called.
_IDENTIFIER = re.compile(
    r"(?<![A-Za-z0-9.+/])(?:[ps]|(?i:subject|patient|person|hadm|stay|id)_?)?0*([123]\d{7})"
    r"(?:\.0+)?(?![A-Za-z0-9+/]|\.\d|-[0-9a-fA-F]{4}-)"
    r"|(?<![\w.+/-])[ps]?([123]\d{7})(?=/|\.(?:csv|dat|hea|dcm)\b)"
    r"|/[ps]([123]\d{7})\b"
)
# First what is quick to find, then what is around it.
_EIGHT = re.compile(r"[123]\d{7}")
_GROUPED = re.compile(r"[123]\d([,.\xa0\u202f'_])\d{3}\1\d{3}(?![\w,.]\d|\d)")
_POWER = re.compile(r"([123]\.\d{5,7})[eE]\+?0?7(?!\d)")
_HEX = re.compile(r"\b0[xX]([0-9a-fA-F]{6,7})\b")
_ESCAPED = re.compile(r"(?:\\u00|%)(3\d)")  # a digit, as JSON and addresses may write it
_ENCODED = re.compile(r"[A-Za-z0-9+/\n\\]{24,}={0,2}")
_SUBJECTS = ("subject_id", "hadm_id", "stay_id")


# -- what a file holds ----------------------------------------------------------------------


def identifiers(name: str, content: bytes) -> set[int]:
    """The numbers in a file that look like a subject, an admission or a stay of MIMIC-IV.

    Parameters
    ----------
    name : str
        The file's name; its ending says how to read it, and what is no known kind is read as text.
    content : bytes
    """
    name = name.lower()
    if content[:2] == b"\x1f\x8b" or name.endswith(".gz"):
        unzipped = zlib.decompressobj(31).decompress(content, _UNPACKED + 1)
        if len(unzipped) > _UNPACKED:
            raise ValueError("it unpacks to more than 256 MiB")
        return identifiers(name.removesuffix(".gz"), unzipped)
    if content[:4] == b"PK\x03\x04" or name.endswith((".zip", ".xlsx")):
        with zipfile.ZipFile(io.BytesIO(content)) as files:
            if sum(inner.file_size for inner in files.infolist()) > _UNPACKED:
                raise ValueError("it unpacks to more than 256 MiB")
            found = [identifiers(inner, files.read(inner)) for inner in files.namelist()]
            found.append(_of_text("\n".join([*files.namelist(), files.comment.decode("latin-1")])))
        return set().union(*found)
    if name.endswith("phecodes.parquet") and hashlib.sha256(content).hexdigest() == _KNOWN:
        return set()
    if content[:4] == b"PAR1" or name.endswith(".parquet"):
        return _of_parquet(content)
    is_text = name.endswith((*TEXTS, ".csv", ".json", ".ipynb"))
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    text = content.decode(encoding, errors="strict" if is_text else "replace")
    if is_text and "\0" in text:
        raise ValueError("it is no text")
    if name.endswith(".ipynb"):
        text = "\n \n".join(_strings(json.loads(content)))  # base64 ends at a space
    elif name.endswith(".csv"):
        text = _subjects(text)
    return _of_text(text)


def _subjects(text: str) -> str:
    """Of a table with subjects only those: other numbers, as of prescriptions, look alike."""
    rows = csv.reader(io.StringIO(text))
    try:
        places = [i for i, name in enumerate(next(rows, [])) if name in _SUBJECTS]
        if not places:
            return text
        kept = []
        for row in rows:
            kept += [row[place] for place in places]
            # And what is no number by itself: a remark may name somebody.
            kept += [cell for cell in row if len(cell) > 7 and not cell.isdecimal()]
        return "\n".join(kept)
    except (csv.Error, IndexError):
        return text


def _of_text(text: str) -> set[int]:
    if "&#" in text:
        text = html.unescape(text)
    if "\\u003" in text or "%3" in text:
        text = _ESCAPED.sub(lambda digit: chr(int(digit[1], 16)), text)
    if not text.isascii():  # digits of other alphabets, wide ones, and what nobody sees between
        text = re.sub("[\xad\u200b-\u200d\u2060\ufeff]", "", text)
        text = re.sub(r"(?![0-9])\d", lambda digit: str(unicodedata.digit(digit[0])), text)
    found = _written_alone(text)
    for grouped in _GROUPED.finditer(text):
        if not re.match(r"[\w.,]", text[max(grouped.start() - 1, 0) : grouped.start()]):
            found.add(re.sub(r"\D", "", grouped[0]))
    for power in _POWER.finditer(text):
        if not re.match(r"[\w.]", text[max(power.start() - 1, 0) : power.start()]):
            found.add(str(round(float(power[1]) * 10**7)))
    if "0x" in text or "0X" in text:
        written = {str(int(one, 16)) for one in _HEX.findall(text)}
        found |= {one for one in written if re.fullmatch(r"[123]\d{7}", one)}
    numbers = {int(one) for one in found if not _is_day(one) and int(one) % 1000}
    return numbers.union(*(_of_encoded(one) for one in _ENCODED.findall(text)))


def _written_alone(text: str) -> set[str]:
    found = set()
    for hit in _EIGHT.finditer(text):
        for whole in _IDENTIFIER.finditer(text, max(hit.start() - 12, 0), hit.end() + 7):
            found.add(next(filter(None, whole.groups())))
    return found


def _is_day(written: str) -> bool:
    """Whether this is a day of these years, as 20240131."""
    try:
        day = date(int(written[:4]), int(written[4:6]), int(written[6:]))
    except ValueError:
        return False
    return 1990 <= day.year <= 2039


def _of_encoded(text: str) -> set[int]:
    """What stands in base64, also of a picture's remarks."""
    plain = re.sub(r"\\n|\s|\\", "", text).rstrip("=")
    if len(plain) < 24:
        return set()
    try:
        raw = base64.b64decode(plain[: len(plain) - len(plain) % 4 or None] if len(plain) % 4 == 1
                               else plain + "=" * (-len(plain) % 4))  # fmt: skip
    except (binascii.Error, ValueError):
        return set()
    if raw[:2] == b"\x1f\x8b" or raw[:4] in (b"PK\x03\x04", b"PAR1"):
        return identifiers("inside", raw)
    return {int(one) for one in _written_alone(raw.decode("latin-1")) if not _is_day(one)}


def _strings(value: object) -> Iterator[str]:
    """Every text and number of a notebook but the cells' own names."""
    if isinstance(value, dict):
        if {"bdata", "dtype"} <= value.keys():  # numbers of a plotly figure
            yield from _numbers(value)
        cell = "cell_type" in value  # whose id may happen to be eight digits
        for key, inner in value.items():
            if not (cell and key == "id"):
                yield from _strings(key)
                yield from _strings(inner)
    elif isinstance(value, list):
        if all(isinstance(one, str) for one in value):  # the lines of one text
            yield "".join(value)
        else:
            for inner in value:
                yield from _strings(inner)
    else:
        yield str(value)


def _numbers(array: dict) -> Iterator[str]:
    """What a plotly figure holds as the bytes of an array, by its type such as i4 or f8."""
    import numpy as np

    with suppress(TypeError, ValueError):  # then it is something else
        raw = base64.b64decode(array["bdata"])
        numbers = np.frombuffer(raw, array["dtype"])
        yield " ".join(f"{one:.0f}" for one in numbers if one % 1 == 0)


def _of_parquet(content: bytes) -> set[int]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table, found = pq.read_table(io.BytesIO(content)), set()
    for key, value in (table.schema.metadata or {}).items():
        if key != b"ARROW:schema":
            found |= _of_text(value.decode("utf-8", "replace"))
    for column in table.columns:
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            numbers = column.drop_null().to_numpy()
            inside = numbers[(numbers >= 10**7) & (numbers < 4 * 10**7) & (numbers % 1 == 0)]
            found |= set(inside.astype(int).tolist())
        else:
            found |= _of_text("\n".join({str(value) for value in column.to_pylist()}))
    return found


@lru_cache
def simulated(patients: int) -> frozenset[int]:
    """The subjects and admissions of a simulated hospital with seed 0."""
    sys.path.insert(0, str(ROOT))
    from ehrsynth.datasets import load

    tables = load("simulated", patients=patients, seed=0)
    return frozenset(tables["patients"]["subject_id"]) | set(tables["admissions"]["hadm_id"])


@lru_cache
def shown() -> frozenset[int]:
    """Those that the chapters and the sample show, as they are noted here."""
    known = SHOWN.read_text(encoding="utf-8").split()[1:] if SHOWN.is_file() else []
    found = set(map(int, known))
    for name in ("patients", "admissions"):
        sample = ROOT / "data" / "sample" / "hosp" / f"{name}.csv.gz"
        if sample.is_file():
            text = gzip.decompress(sample.read_bytes()).decode("utf-8")
            found |= {int(one) for one in _subjects(text).split() if one.isdecimal()}
    return frozenset(found)


# -- complaints -----------------------------------------------------------------------------


def may_be_committed(name: str) -> bool:
    """Whether a file of this name belongs into the repository."""
    low = name.lower()
    if name in NAMES or low.endswith(TEXTS):
        return True
    return any(low.startswith(place) and low.endswith(endings) for place, endings in PLACES)


def complaint(name: str, content: bytes) -> str:
    """Why this file must not be committed, in a sentence; "" when it may."""
    try:
        found = identifiers(name, content)
        if name.endswith(".ipynb") and (used := _made_from(content)):
            return f"{name} holds output made from {used}, which must not be published; clear it."
    except (
        OSError, ValueError, ArithmeticError, NotImplementedError, EOFError, RecursionError,
        zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return f"{name} cannot be looked into for patients ({reason}); leave it out or repair it."
    found -= PUBLIC | shown()
    if found:
        for patients in SIMULATED:
            found = found - simulated(patients)
        if found:
            # The numbers themselves stay out of logs.
            return (
                f"{name} holds {len(found)} number{'s' if len(found) > 1 else ''} like a "
                "subject_id of MIMIC-IV, which must not be published; take them out, or, if they "
                "are of a simulated hospital, add its size to SIMULATED in tools/guard.py."
            )
    if what := _product(name, content):
        return f"{name} is {what} that ehrsynth has made of patients; leave it out."
    if not may_be_committed(name):
        return (
            f"{name} is nothing that belongs here, and cannot be looked into for patients as well "
            "as text can; leave it out, or add it to the lists in tools/guard.py."
        )
    return ""


def _product(name: str, content: bytes) -> str:
    """What of a run's results a file is, or ""."""
    if name in NAMES or name.startswith(_OWN) or name.endswith((".py", ".js", ".ipynb")):
        return ""
    text = content.decode("utf-8", errors="replace")
    if text.lstrip().startswith(_TITLES) or _TITLES[1] in text:
        return "a card or a report"
    if not name.endswith((".md", ".yml", ".css", ".bib", ".svg", ".toml")):
        for what, words in _PRODUCTS.items():
            if all(word in text for word in words):
                return what
    return ""


def _made_from(content: bytes) -> str:
    if b"mimic-iv" not in content:
        return ""
    import nbformat
    import notebooks

    return notebooks.credentialed(nbformat.reads(content.decode("utf-8"), as_version=4))


def complaints(files: Iterable[tuple[str, bytes]]) -> list[str]:
    """Sentences about the files that must not be committed."""
    return [said for name, content in files if (said := complaint(name, content))]


# -- where files come from ------------------------------------------------------------------


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], check=True, capture_output=True).stdout


def staged() -> Iterable[tuple[str, bytes]]:
    """The files of the next commit as they will be in it, not as they lie in the folder."""
    names = _git("diff", "--cached", "--name-only", "-z", "--diff-filter=ACMR").decode()
    for name in filter(None, names.split("\0")):
        yield name, _git("show", f":{name}")


def tracked() -> Iterable[tuple[str, bytes]]:
    """Every file that git knows and that is there."""
    for name in filter(None, _git("ls-files", "-z").decode().split("\0")):
        if Path(name).is_file():
            yield name, Path(name).read_bytes()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("which", choices=["staged", "tracked"])
    found = complaints({"staged": staged, "tracked": tracked}[parser.parse_args(arguments).which]())
    for said in found:
        print(said, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
