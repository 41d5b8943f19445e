"""Keeps credentialed patients out of commits.

    python tools/guard.py staged     what is about to be committed (the git hook)
    python tools/guard.py tracked    every file of the repository (a test does the same)

A notebook with output made from credentialed data is refused, and so is a data file or notebook
that holds a subject_id of MIMIC-IV: a whole number of eight digits that begins with 1. The
simulated hospital numbers its patients in the same way; those of the hospitals that the book uses
are known and pass.
"""

import argparse
import csv
import gzip
import io
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

TEXTS = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".html", ".htm", ".xml", ".md")
# Nothing in the repository needs these, and nobody can see what is in them.
OPAQUE = (".pkl", ".pickle", ".feather", ".arrow", ".duckdb", ".db", ".sqlite", ".h5", ".rds",
          ".xls", ".sas7bdat", ".dta", ".sav")  # fmt: skip
# Patients (with seed 0) of the simulated hospitals that the repository shows.
SIMULATED = (100, 200, 4_000)

_LOWEST, _HIGHEST = 10_000_000, 19_999_999
# Not a part of a longer number, of a hash or of a UUID.
_IDENTIFIER = re.compile(
    r"(?<![A-Za-z0-9.+/])1\d{7}(?:\.0+)?(?![A-Za-z0-9+/]|\.\d|-[0-9a-fA-F]{4}-)"
)
_PICTURE = re.compile(r"data:[\w/+.-]+;base64,[A-Za-z0-9+/=\s]+")


# -- what a file holds ----------------------------------------------------------------------


def identifiers(name: str, content: bytes) -> set[int]:
    """The numbers in a file that look like a subject_id of MIMIC-IV.

    Parameters
    ----------
    name : str
        The file's name; its ending says how to read it. Other endings give nothing.
    content : bytes
    """
    name = name.lower()
    if name.endswith(".gz"):
        return identifiers(name.removesuffix(".gz"), gzip.decompress(content))
    if name.endswith((".zip", ".xlsx")):
        with zipfile.ZipFile(io.BytesIO(content)) as files:
            found = [identifiers(inner, files.read(inner)) for inner in files.namelist()]
        return set().union(*found)
    if name.endswith(".parquet"):
        return _of_parquet(content)
    if name.endswith(".ipynb"):
        return _of_text(_without_pictures(json.loads(content)))
    if name.endswith(TEXTS):
        encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
        text = content.decode(encoding, errors="replace")
        return _of_text(_subjects(text) if name.endswith(".csv") else text)
    return set()


def _subjects(text: str) -> str:
    """Of a table with subjects only those: other numbers, as of prescriptions, look alike."""
    rows = csv.reader(io.StringIO(text))
    try:
        header = next(rows, [])
        if "subject_id" not in header:
            return text
        place = header.index("subject_id")
        return "\n".join(row[place] for row in rows)
    except (csv.Error, IndexError):
        return text


def _of_text(text: str) -> set[int]:
    return {int(float(number)) for number in _IDENTIFIER.findall(_PICTURE.sub("", text))}


def _without_pictures(value: object) -> str:
    """Every text of a notebook, in lines, without its pictures and the cells' own names."""
    if isinstance(value, dict):
        cell = "cell_type" in value  # whose id may happen to be eight digits
        kept = (
            v for k, v in value.items() if not k.startswith("image/") and not (cell and k == "id")
        )
        return "\n".join(map(_without_pictures, kept))
    if isinstance(value, list):
        return "\n".join(map(_without_pictures, value))
    return str(value)


def _of_parquet(content: bytes) -> set[int]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table, found = pq.read_table(io.BytesIO(content)), set()
    for column in table.columns:
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            numbers = column.drop_null().to_numpy()
            inside = numbers[(numbers >= _LOWEST) & (numbers <= _HIGHEST) & (numbers % 1 == 0)]
            found |= set(inside.astype(int).tolist())
        else:
            found |= _of_text("\n".join({str(value) for value in column.to_pylist()}))
    return found


@lru_cache
def simulated(patients: int) -> frozenset[int]:
    """The subject_ids of a simulated hospital with seed 0."""
    sys.path.insert(0, str(ROOT))
    from ehrsynth.datasets import load

    return frozenset(load("simulated", patients=patients, seed=0)["patients"]["subject_id"])


# -- complaints -----------------------------------------------------------------------------


def complaint(name: str, content: bytes) -> str:
    """Why this file must not be committed, in a sentence; "" when it may."""
    if name.lower().endswith(OPAQUE):
        return f"{name} cannot be looked into for patients; commit a CSV or Parquet file instead."
    try:
        found = identifiers(name, content)
        if name.endswith(".ipynb") and (used := _made_from(content)):
            return f"{name} holds output made from {used}, which must not be published; clear it."
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return f"{name} cannot be looked into for patients ({reason}); leave it out or repair it."
    for patients in SIMULATED:
        if found:
            found = found - simulated(patients)
    if not found:
        return ""
    # The numbers themselves stay out of logs.
    return (
        f"{name} holds {len(found)} number{'s' if len(found) > 1 else ''} like a subject_id of "
        "MIMIC-IV, which must not be published; take them out, or, if they are of a simulated "
        "hospital, add its size to SIMULATED in tools/guard.py."
    )


def _made_from(content: bytes) -> str:
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
