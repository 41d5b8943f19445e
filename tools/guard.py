"""Keeps credentialed patients out of commits.

    python tools/guard.py staged          what is about to be committed (a git hook)
    python tools/guard.py message FILE    what is about to be said of it (another)
    python tools/guard.py tracked         every file of the repository (a test does the same)

Lists say what may be committed: which kinds of files and where (here), the columns of every table,
numbers of eight digits and more, and the checksums of the few files that no text can be made of
(tools/committed). What a file may be made of is in guard_shapes.py, what a text may hold in
guard_text.py. All else is refused, whatever it is; CONTRIBUTING.md says what to do then, and what
a guard cannot see. Numbers of MIMIC-IV have eight digits that begin with 1 for a subject, 2 for an
admission, 3 for a stay. The simulated hospital numbers its patients in the same way; those that the
book shows are known and pass.
"""

import argparse
import csv
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import guard_shapes
import guard_text

ROOT = Path(__file__).resolve().parents[1]
LISTS = ROOT / "tools" / "committed"

# What may be committed: texts anywhere, others in their places or by name.
TEXTS = (".py", ".pyi", ".md", ".yml", ".yaml", ".toml", ".cfg", ".css", ".js", ".bib", ".cff",
         ".mplstyle", ".typed")  # fmt: skip
NAMES = ("Makefile", "LICENSE", "LICENSE-CONTENT", ".gitignore", ".gitattributes", "Dockerfile",
         "constraints.txt", "tests/colab-constraints.txt",
         ".ci/run", "tools/hooks/pre-commit", "tools/hooks/commit-msg",)  # fmt: skip
PLACES = (
    ("book/", (".ipynb", ".csv")),
    ("book/_static/", (".png", ".svg", ".html")),
    ("benchmarks/", (".csv",)),
    ("ehrsynth/", (".csv", ".html")),
    ("tests/", (".csv",)),
    ("tools/", (".csv",)),
)
# Of these, what is no program.
PROSE = (".md", ".yml", ".yaml", ".bib", ".cff")
PAGES = (".html", ".svg")
# Where checksums belong.
HASHES = ("tools/committed/files.csv",)
# Patients (with seed 0) of the simulated hospitals that the repository shows.
SIMULATED = (100, 200, 4_000)
SHOWN = ROOT / "tools" / "simulated_ids.csv"  # those of them that stand in the chapters

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
# How a note of a hospital begins its parts, in PhysioNet's form too.
_NOTE = re.compile(
    r"(?i)\b(?:unit no|chief complaint|admission date|history of present illness) *:"
)
_TITLES = ("# Data-set card", "<title>Report on synthetic patients")
# Templates and the description of a report, which say the same words.
_OWN = ("ehrsynth/",)


# -- the lists ------------------------------------------------------------------------------


@lru_cache
def listed(what: str) -> dict[str, list[str]]:
    """One of the lists: what it names, and what it says of each."""
    path = LISTS / f"{what}.csv"
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {row[0]: row[1:] for row in list(csv.reader(file))[1:]}


@lru_cache
def known() -> frozenset[int]:
    """Numbers that are no patient's: public, made up, of colors, and of simulated patients."""
    shown = SHOWN.read_text(encoding="utf-8").split()[1:] if SHOWN.is_file() else []
    return frozenset(
        guard_text.without_zeros(one) if one.isdecimal() else int(one.lstrip("#"), 16)
        for one in [*listed("numbers"), *shown]
    )


@lru_cache
def simulated(patients: int) -> frozenset[int]:
    """The subjects and admissions of a simulated hospital with seed 0."""
    sys.path.insert(0, str(ROOT))
    from ehrsynth.datasets import load

    tables = load("simulated", patients=patients, seed=0)
    return frozenset(tables["patients"]["subject_id"]) | set(tables["admissions"]["hadm_id"])


# -- complaints -----------------------------------------------------------------------------


def may_be_committed(name: str) -> bool:
    """Whether a file of this name belongs into the repository."""
    if name in NAMES or name.endswith(TEXTS):
        return True
    return any(name.startswith(place) and name.endswith(endings) for place, endings in PLACES)


def complaint(name: str, content: bytes) -> str:
    """Why this file must not be committed, in a sentence; "" when it may."""
    shown = re.sub(r"\d{6,}", "…", name)  # numbers themselves stay out of logs
    if name in listed("files"):
        if hashlib.sha256(content).hexdigest() == listed("files")[name][0]:
            return ""
        return (
            f"{shown} is not the file that was looked into; look whether it holds patients, then "
            "note its SHA-256 in tools/committed/files.csv."
        )
    try:
        text = guard_shapes.read(name, content)
    except guard_shapes.ERRORS as error:
        reason = guard_shapes.reason(error)
        return f"{shown} cannot be looked into for patients ({reason}); leave it out or repair it."
    if name in HASHES:
        text = guard_text.without_hashes(text)
    if name.endswith(".ipynb") and (used := _made_from(content)):
        return f"{shown} holds output made from {used}, which must not be published; clear it."
    prose = name.endswith((*PROSE, *PAGES))
    said = _of_numbers(f"{name}\n\n{text}", prose) or _of_place(name, text) or _of_signs(name, text)
    if not said and name.endswith(".csv"):
        said = _of_columns(name, content)
    return said and f"{shown} {said}"


def _of_numbers(text: str, prose: bool) -> str:
    """What is wrong with the numbers of a text, as the rest of a sentence."""
    found = guard_text.numbers(text, prose) - known()
    like = {one for one in found if guard_text.LOWEST <= one < guard_text.HIGHEST}
    for patients in SIMULATED:
        if like:
            found, like = found - simulated(patients), like - simulated(patients)
    many = f"{len(like or found)} number{'s' if len(like or found) > 1 else ''}"
    if like:
        return (
            f"holds {many} like a subject_id of MIMIC-IV, which must not be published; take them "
            "out, or, if they are of a simulated hospital, add its size to SIMULATED in "
            "tools/guard.py; if they are made up, note them in tools/committed/numbers.csv."
        )
    if found:
        return (
            f"holds {many} of eight digits or more, in which a patient's could stand; take them "
            "out, or note them in tools/committed/numbers.csv with the reason."
        )
    return ""


def _of_place(name: str, text: str) -> str:
    """Why a file does not belong where it is, as the rest of a sentence."""
    if what := _product(name, text):
        return f"is {what} that ehrsynth has made of patients; leave it out."
    if not may_be_committed(name):
        return (
            "is nothing that belongs here; leave it out, or, if the repository needs such files, "
            "add it to the lists in tools/guard.py."
        )
    return ""


def _of_signs(name: str, text: str) -> str:
    """What a text is made of that none needs, as the rest of a sentence."""
    if name == "Makefile":
        text = re.sub(r"(?m)^\t+", "", text)
    if _NOTE.search(text):
        return "reads as a note about a patient; take it out."
    if sign := guard_text.odd_sign(text):
        return f"holds the sign {sign}, which no text here needs; write it as an escape."
    if length := guard_text.opaque(text, name.endswith(PROSE)):
        return (
            f"holds {length} signs in a row that read as no words, as packed or encoded data does; "
            "take them out (a checksum belongs into a file that HASHES in tools/guard.py names)."
        )
    return ""


def _of_columns(name: str, content: bytes) -> str:
    columns = content.decode("utf-8").partition("\n")[0].rstrip("\r")
    if [columns] == listed("tables").get(name, [])[:1]:
        return ""
    return (
        "is a table whose columns are not noted; look whether it holds rows of patients, then note "
        "its first line in tools/committed/tables.csv."
    )


def _product(name: str, text: str) -> str:
    """What of a run's results a file is, or ""."""
    if name.startswith(_OWN) or name.endswith((".py", ".js", ".ipynb")):
        return ""
    if text.lstrip().startswith(_TITLES) or _TITLES[1] in text:
        return "a card or a report"
    if text.lstrip().startswith("{"):
        for what, words in _PRODUCTS.items():
            if all(word in text for word in words):
                return what
    return ""


def _made_from(content: bytes) -> str:
    """The credentialed data set that a notebook's outputs were made from, or ""."""
    if not re.search(rb"mimic-?iv(?!\w|-demo)", content):  # else the next two lines cost their time
        return ""
    import nbformat
    import notebooks

    return notebooks.credentialed(nbformat.reads(content.decode("utf-8"), as_version=4))


def complaints(files: Iterable[tuple[str, bytes]]) -> list[str]:
    """Sentences about the files that must not be committed."""
    return [said for name, content in files if (said := complaint(name, content))]


# -- where files come from ------------------------------------------------------------------


def _git(*arguments: str, given: bytes | None = None) -> bytes:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, input=given).stdout


def _name(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def staged() -> Iterable[tuple[str, bytes]]:
    """The files of the next commit as they will be in it, not as they lie in the folder.

    A link is the name that it leads to; a repository within this one cannot be looked into.
    """
    changes = _git("diff", "--cached", "--raw", "-z", "--no-renames", "--no-abbrev",
                   "--diff-filter=ACMRT").split(b"\0")[:-1]  # fmt: skip
    blobs = [what.split()[3] for what in changes[::2]]
    whole = _git("cat-file", "--batch", given=b"\n".join(blobs) + b"\n") if blobs else b""
    place = 0
    for raw in changes[1::2]:
        head, _, _ = whole[place:].partition(b"\n")
        place += len(head) + 1
        if not head.split()[1:2] == [b"blob"]:
            yield _name(raw), b"\xff"
            continue
        size = int(head.split()[2])
        yield _name(raw), whole[place : place + size]
        place += size + 1


def tracked() -> Iterable[tuple[str, bytes]]:
    """Every file that git knows and that is there."""
    for raw in filter(None, _git("ls-files", "-z").split(b"\0")):
        path = Path(os.fsdecode(raw))
        if path.is_symlink():
            yield _name(raw), os.fsencode(path.readlink())
        elif path.is_file():
            yield _name(raw), path.read_bytes()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("which", choices=["staged", "tracked", "message"])
    parser.add_argument("file", nargs="?", type=Path)
    given = parser.parse_args(arguments)
    if given.which == "message":
        said = _of_message(given.file.read_text(encoding="utf-8", errors="replace"))
        found = [said] if said else []
    else:
        found = complaints({"staged": staged, "tracked": tracked}[given.which]())
    for said in found:
        print(said, file=sys.stderr)
    return 1 if found else 0


def _of_message(text: str) -> str:
    text = guard_text.without_hashes(text)
    said = _of_numbers(text, prose=True) or _of_signs(".md", text)
    return said and f"The commit's message {said}"


if __name__ == "__main__":
    sys.exit(main())
