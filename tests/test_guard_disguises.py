"""A patient's number in another dress is refused, since no text here is made of such cloth."""

import base64
import binascii
import bz2
import gzip
import json
import re
import struct
import sys
import zlib
from io import BytesIO
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import guard  # noqa: E402
import notebooks  # noqa: E402

PATH = "mimic-iv-demo-2.2/hosp/patients.csv.gz"
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
GERMAN = ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"]
MORSE = ["-----", ".----", "..---", "...--", "....-", ".....", "-....", "--...", "---..", "----."]
BRAILLE = [26, 1, 3, 9, 25, 17, 11, 27, 19, 10]


@pytest.fixture(scope="module")
def stranger(shared_data):
    """A patient of the demo whom no simulated hospital has."""
    patients = pd.read_csv(shared_data / PATH)["subject_id"]
    known = guard.simulated(4_000) | guard.simulated(100) | guard.simulated(200)
    return str(next(one for one in patients if one not in known))


def b64(content):
    return base64.b64encode(content if isinstance(content, bytes) else content.encode()).decode()


def each(text, form):
    return "".join(form.format(int(c), ord(c)) for c in text)


def drawn(kind=b"", inside=b"", before=b"IEND", behind=b""):
    """A picture with a part of this kind."""
    file = BytesIO()
    Image.new("RGB", (4, 4)).save(file, format="png")
    content = file.getvalue()
    if kind:
        check = zlib.crc32(kind + inside).to_bytes(4, "big")
        place = content.index(before) - 4
        part = len(inside).to_bytes(4, "big") + kind + inside + check
        content = content[:place] + part + content[place:]
    return content + behind


def notebook(data=None, metadata=None, **cell):
    outputs = [{"output_type": "display_data", "data": data, "metadata": {}}] if data else []
    whole = {"cell_type": "code", "id": "abc", "metadata": {}, "source": "x", "outputs": outputs}
    return json.dumps({"cells": [whole | cell], "metadata": metadata or {}, "nbformat": 4})


IN_PROSE = {
    "in a name": lambda i: f"ID{i}X and object{i}",
    "base64 of zlib": lambda i: b64(zlib.compress(f"subject_id\n{i}".encode())),
    "base64 of bz2": lambda i: b64(bz2.compress(i.encode())),
    "base64 of UTF-16": lambda i: b64(i.encode("utf-16")),
    "base64 of a number": lambda i: b64(struct.pack("<i", int(i))),
    "base64 of numbers": lambda i: b64(struct.pack("<4i", *range(int(i), int(i) + 4))),
    "base64 alone": b64,
    "base64 of an address": lambda i: base64.urlsafe_b64encode(zlib.compress(i.encode())).decode(),
    "base64 in lines": lambda i: "\n\n" + "\n".join(re.findall(".{10}", b64(f"id {i} " * 3))),
    "UTF-7": lambda i: f"+{b64(i.encode('utf-16-be'))}-",
    "base32": lambda i: base64.b32encode(i.encode()).decode(),
    "base32 of a number": lambda i: base64.b32encode(struct.pack(">i", int(i))).decode(),
    "base85": lambda i: base64.b85encode(f"subject_id\n{i}\n".encode()).decode(),
    "Ascii85": lambda i: base64.a85encode(i.encode(), adobe=True).decode(),
    "binary": lambda i: f"{int(i):b}",
    "octal": lambda i: f"{int(i):o}",
    "base 7": lambda i: np.base_repr(int(i), 7),
    "hexadecimal": lambda i: f"{int(i):x}",
    "hexadecimal, large": lambda i: f"{int(i):X}h",
    "hexadecimal, padded": lambda i: f"{int(i):08x}",
    "backwards": lambda i: i[::-1],
    "raised": lambda i: "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(c)] for c in i),
    "lowered": lambda i: each(i, "<sub>{0}</sub>"),
    "in circles": lambda i: "".join(chr(0x245F + int(c)) if int(c) else "\u24ea" for c in i),
    "keys": lambda i: each(i, "{0}\ufe0f\u20e3"),
    "Braille": lambda i: "".join(chr(0x2800 + BRAILLE[int(c)]) for c in i),
    "Chinese": lambda i: "".join("零一二三四五六七八九"[int(c)] for c in i),
    "mathematical": lambda i: "".join(chr(0x1D7CE + int(c)) for c in i),
    "for private use": lambda i: "".join(chr(0xE000 + ord(c)) for c in i),
    "turned": lambda i: "\u202e" + i[::-1],
    "marked": "\u0332".join,
    "unseen signs between": "\u034f".join,
    "spaced": " ".join,
    "with hyphens": "-".join,
    "with words between": " and ".join,
    "a list": lambda i: "\n" + "\n".join(f"- {c}" for c in i) + "\n",
    "arrows": " \u2192 ".join,
    "binary decimals": lambda i: each(i, "{0:04b} "),
    "octal codes": lambda i: each(i, "{1:o} "),
    "zeros behind": lambda i: f"{i}00000",
    "a telephone's with brackets": lambda i: f"({i[:3]}) {i[3:6]}-{i[6:]}",
    "like a telephone's": lambda i: f"{i[:3]}-{i[3:6]}-{i[6:]}",
    "with points": lambda i: f"{i[:2]}.{i[2:5]}.{i[5:]}",
    "in halves": lambda i: f"{i[:4]} {i[4:]}",
    "in pairs": lambda i: f"{i[:2]} {i[2:4]} {i[4:6]} {i[6:]}",
    "no-break spaces": lambda i: f"{i[:2]}\xa0{i[2:5]}\xa0{i[5:]}",
    "thin spaces": lambda i: f"{i[:2]}&thinsp;{i[2:5]}&thinsp;{i[5:]}",
    "LaTeX": lambda i: f"${i[:2]}\\,{i[2:5]}\\,{i[5:]}$ or ${i[:2]}{{,}}{i[2:5]}{{,}}{i[5:]}$",
    "bold": lambda i: f"{i[:3]}**{i[3:]}**",
    "code": lambda i: f"{i[:3]}`{i[3:]}`",
    "backslashes": "\\".join,
    "a remark between": lambda i: f"{i[:3]}<!-- a -->{i[3:]}",
    "a footnote between": lambda i: f"{i[:4]}[^1]{i[4:]}",
    "across lines": lambda i: f"{i[:4]}-\n{i[4:]}",
    "cells of a table": lambda i: "\n| " + " | ".join(i) + " |\n",
    "one below the other": "\n".join,
    "words": lambda i: " ".join(WORDS[int(c)] for c in i),
    "words with hyphens": lambda i: "-".join(WORDS[int(c)] for c in i),
    "German words": lambda i: " ".join(GERMAN[int(c)] for c in i),
    "Morse": lambda i: " ".join(MORSE[int(c)] for c in i),
    "a dump": lambda i: each(i, "{1:x} "),
    "bits": lambda i: each(i, "{1:08b} "),
    "zeros before": lambda i: f"id0000{i}",
    "two in one": lambda i: f"{i}{i[::-1]}",
    "a time before": lambda i: f"20180101{i}",
    "a quarter more": lambda i: f"{i}.25",
    "a fraction": lambda i: f"0.{i}",
    "a power": lambda i: f"{int(i) / 1e3:.3f}e3",
    "times ten to the seventh": lambda i: f"{int(i) / 1e7:.7f} × 10⁷",
    "millions": lambda i: f"{int(i) / 1e6:.6f} million",
    "O for 0": lambda i: i.replace("0", "O"),
    "l for 1": lambda i: i.replace("1", "l"),
    "a UUID": lambda i: f"{i}-1234-4abc-8def-1234567890ab",
    "a checksum": lambda i: "ab" * 28 + i,
    "an address": lambda i: f"https://example.org/?id={i}&a=1",
    "quoted-printable": lambda i: each(i, "={1:X}"),
    "percent, twice": lambda i: each(i, "%25{1:X}"),
    "entities": lambda i: each(i, "&#{1:07d};"),
    "escapes of a terminal": "\x1b[1m".join,
    "tabs and spaces": lambda i: f"{int(i):b}".replace("1", "\t").replace("0", " "),
}  # fmt: skip
IN_CODE = {
    "0b": lambda i: f"{int(i):#b}",
    "0o": lambda i: f"{int(i):#o}",
    "0x with _": lambda i: f"0x{int(i) >> 16:x}_{int(i) & 65535:04x}",
    "negative": lambda i: f"-{i}",
    "complex": lambda i: f"{i}j",
    "escapes": lambda i: each(i, "\\x{1:x}"),
    "octal escapes": lambda i: each(i, "\\{1:o}"),
    "names of digits": lambda i: "".join(f"\\N{{DIGIT {WORDS[int(c)].upper()}}}" for c in i),
    "codes": lambda i: f"bytes([{', '.join(str(ord(c)) for c in i)}])",
    "hexadecimal codes": lambda i: f"[{', '.join(hex(ord(c)) for c in i)}]",
    "chr": lambda i: "+".join(f"chr({ord(c)})" for c in i),
    "a list of digits": lambda i: f"[{', '.join(i)}]",
    "two strings": lambda i: f'"{i[:4]}" + "{i[4:]}"',
    "joined": lambda i: f'"".join(["{i[:4]}", "{i[4:]}"])',
    "a broken string": lambda i: f'"{i[:4]}\\\n{i[4:]}"',
    "bytes": lambda i: "".join(f"\\x{c:02x}" for c in struct.pack("<2i", int(i), int(i))),
    "packed bytes": lambda i: repr(zlib.compress(f"subject_id,{i}".encode())),
}  # fmt: skip
IN_FILES = {
    "book/_static/a.html": lambda i: f"<p>{i[:3]}<b>{i[3:]}</b></p>",
    "book/_static/b.html": lambda i: "<tr>" + each(i, "<td>{0}</td>") + "</tr>",
    "book/_static/a.svg": lambda i: f"<svg><text>{i[:3]}<tspan>{i[3:]}</tspan></text></svg>",
    "book/_static/b.svg": lambda i: f'<svg><path d="M{i} 3"/></svg>',
    "book/_static/c.svg": lambda i: f'<svg><text x="{i[:4]}" y="{i[4:]}"/></svg>',
    "book/_static/a.css": lambda i: f'a::after{{content: "{each(i, chr(92) + "{1:x} ")}"}}',
    "book/_static/b.css": lambda i: f"a {{color: #{int(i):06x}}}",
    "book/_static/each.svg": lambda i: "<svg>" + each(i, "<text x='9'>{0}</text>") + "</svg>",
    "book/p.yml": lambda i: f"who: 0{int(i):o}",
    "book/q.yml": lambda i: f"who: !!binary {b64(i)}",
    "book/r.yml": lambda _: json.dumps({"settings": 1, "facts": 1, "finished": 1}),
    ".gitignore": lambda i: f"/{i}\n",
    "Makefile": lambda i: f"WHO := {i}\n",
    "tools/simulated_ids.csv": lambda i: f"number\n{i}\n",
    "book/gap.csv": lambda i: f"generated patients against,AUROC\n{i},0.5\n",
    "book/ablation.csv": lambda _: "age,gender,died\n52,F,1\n",
    "book/people.csv": lambda i: f"subject_id,hadm\n5,{i}\n",
    "data/sample/hosp/patients.csv.gz": lambda i: gzip.compress(f"subject_id\n{i}\n".encode()),
    "ehrsynth/sources/registry.json": lambda i: json.dumps({"a": "ab" * 28 + i}),
    "book/tail.md": lambda i: b"# x\n" + gzip.compress(i.encode()),
    "book/old.md": lambda i: i.encode("cp500"),
    "book/_static/text.png": lambda i: drawn(b"tEXt", b"a\0" + i.encode()),
    "book/_static/packed.png": lambda i: drawn(b"zTXt", b"a\0\0" + zlib.compress(i.encode())),
    "book/_static/other.png": lambda i: drawn(b"iTXt", b"a\0\0\0\0\0" + i.encode()),
    "book/_static/own.png": lambda i: drawn(b"paTi", i.encode()),
    "book/_static/colors.png": lambda i: drawn(b"PLTE", i.encode() + b"x", b"IDAT"),
    "book/_static/size.png": lambda i: drawn(b"pHYs", struct.pack(">IIB", int(i), 1, 1), b"IDAT"),
    "book/_static/twice.png": lambda i: drawn(b"IDAT", i.encode()),
    "book/_static/behind.png": lambda i: drawn(behind=gzip.compress(i.encode())),
    "book/id.ipynb": lambda i: notebook(id=i),
    "book/tag.ipynb": lambda i: notebook(metadata={"kernelspec": {"name": i}}),
    "book/count.ipynb": lambda i: notebook(execution_count=int(i)),
    "book/key.ipynb": lambda i: notebook(**{f"note {i}": 1}),
    "book/twice.ipynb": lambda i: notebook().replace('"id": "abc"', f'"id": "{i}", "id": "abc"'),
    "book/latex.ipynb": lambda _: notebook({"text/latex": "x"}),
    "book/gif.ipynb": lambda i: notebook({"text/html": f"data:image/gif;base64,{b64(i * 3)}"}),
    "book/png.ipynb": lambda i: notebook({"image/png": b64(drawn(b"tEXt", b"a\0" + i.encode()))}),
    "book/uri.ipynb": lambda i: notebook(
        {"text/html": f'<img src="data:image/png;base64,{b64(drawn(behind=i.encode()))}">'}
    ),
}  # fmt: skip
# What passes, and why nothing here can help: see CONTRIBUTING.md.
BEYOND = {
    "computed": lambda i: f"10_000_000 + {int(i) - 10**7}",
    "enciphered": lambda i: i.translate({48 + digit: 97 + digit for digit in range(10)}),
    "uuencoded": lambda i: binascii.b2a_uu(i.encode()).decode(),
}  # fmt: skip


def refused(name, content, stranger):
    said = guard.complaint(name, content if isinstance(content, bytes) else content.encode())
    assert stranger not in said
    return said


@pytest.mark.parametrize("dress", IN_PROSE)
def test_no_page_hides_a_patient(dress, stranger):
    text = f"# Notes\n\nThe patient {IN_PROSE[dress](stranger)} was seen.\n"
    assert refused("book/page.md", text, stranger)


@pytest.mark.parametrize("dress", IN_CODE)
def test_no_program_hides_a_patient(dress, stranger):
    assert refused("benchmarks/p.py", f'who = "{IN_CODE[dress](stranger)}"\n', stranger)


@pytest.mark.parametrize("name", IN_FILES)
def test_no_file_hides_a_patient(name, stranger):
    assert refused(name, IN_FILES[name](stranger), stranger)


def test_no_name_of_a_file_hides_a_patient(stranger):
    for name in (f"book/p{stranger}.md", f"book/{stranger}/a.md"):
        assert "like a subject_id" in refused(name, "x", stranger)


def test_the_same_places_without_a_patient_pass():
    assert guard.complaint("book/page.md", b"# Notes\n\nThe patient was seen.\n") == ""
    assert guard.complaint("book/_static/a.png", drawn()) == ""
    assert guard.complaint("book/a.ipynb", notebook({"image/png": b64(drawn())}).encode()) == ""
    page = f'<img src="data:image/png;base64,{b64(drawn())}">'
    assert guard.complaint("book/a.ipynb", notebook({"text/html": page}).encode()) == ""
    columns = b"generated patients against,AUROC\ntrain,0.5\n"
    assert guard.complaint("book/gap.csv", columns) == ""


def test_normalizing_gives_a_cell_another_id_than_eight_digits(stranger):
    cell = nbformat.v4.new_markdown_cell("a text", id=stranger)
    normal = notebooks.normalize(nbformat.v4.new_notebook(cells=[cell]))
    assert guard.complaint("book/a.ipynb", nbformat.writes(normal).encode()) == ""
    assert notebooks.normalize(normal).cells[0].id == normal.cells[0].id


@pytest.mark.parametrize("dress", BEYOND)
def test_what_a_guard_cannot_see_is_said(dress, stranger):
    assert guard.complaint("book/page.md", f"Seen: {BEYOND[dress](stranger)}\n".encode()) == ""
    assert dress in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
