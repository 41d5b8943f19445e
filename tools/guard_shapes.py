"""What is to be read in a file, and whether it has the shape of its kind.

Each function takes a file's bytes, raises a ValueError that says what such a file needs not hold,
and returns the text to be searched.
"""

import base64
import csv
import io
import json
import re
import zlib
from collections.abc import Iterator

ERRORS = (ValueError, TypeError, AttributeError, LookupError, RecursionError, csv.Error)
_PICTURE = re.compile(r"iVBORw0KGgo[A-Za-z0-9+/]{40,}={0,2}")  # base64 of a PNG
# Colors of a traceback, and the name of a cell in a warning.
_OF_KERNEL = re.compile(r"\x1b\[[0-9;]{0,12}m|ipykernel_\d{1,7}/\d{9,10}\.py")
_COORDINATES = re.compile(r"\s(?:d|points|transform|viewBox)=\"[-+a-zA-Z\d\s.,()]*\"")
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by a PNG's kind of color
_OF_PICTURE = {  # parts of a PNG: its size and kind, pixels a meter, who wrote it, colors, pixels
    b"IHDR": rb".{8}[\x01\x02\x04\x08][\x00\x02\x03\x04\x06]\0\0\0",
    b"pHYs": rb"(\x00\x00..)\1\x01",
    b"tEXt": rb"Software\0Matplotlib version\d\.\d{1,2}\.\d{1,2}, https://matplotlib\.org/",
    b"PLTE": rb"(?!.*[123]\d{7}).{3,768}",
    b"IDAT": rb".*",
    b"IEND": rb"",
}

_OF_NOTEBOOK = {"cells", "metadata", "nbformat", "nbformat_minor"}
_OF_METADATA = {"ehrsynth", "kernelspec", "language_info"}
_OF_CELL = {"cell_type", "id", "metadata", "source", "execution_count", "outputs"}
_OF_OUTPUT = {"output_type", "data", "metadata", "execution_count", "name", "text",
              "ename", "evalue", "traceback"}  # fmt: skip
_SHOWN = {"text/plain", "text/html", "text/markdown", "image/png"}


def read(name: str, content: bytes) -> str:
    """The text of a file, read by its ending."""
    if name.endswith(".png"):
        picture(content)
        return ""
    text = content.decode("utf-8")
    if name.endswith(".ipynb"):
        text = _OF_KERNEL.sub("", "\n \n".join(_of_notebook(_once(text))))
    elif name.endswith(".json"):
        _once(text)
    elif name.endswith(".csv"):
        return "\n,\n".join(cell for row in rows(text) for cell in row)
    elif name.endswith(".svg"):  # coordinates are no parts of one number
        text = _COORDINATES.sub(lambda found: found[0].replace(" ", "\n,\n"), text)
    if "iVBORw0KGgo" in text:
        text = _PICTURE.sub(_encoded, text)
    return text


def reason(error: Exception) -> str:
    """Why a file could not be read, without anything of what it holds."""
    if isinstance(error, UnicodeError):
        return "it is no text"
    ours = type(error) is ValueError or isinstance(error, json.JSONDecodeError)
    return str(error).splitlines()[0] if ours and str(error) else type(error).__name__


def rows(text: str) -> list[list[str]]:
    """The rows of a table, as many cells in each as it has columns."""
    found = list(csv.reader(io.StringIO(text), strict=True))
    if len({len(row) for row in found}) > 1:
        raise ValueError("its rows are not equally long")
    return found


def picture(content: bytes) -> None:
    """Whether this is a PNG as Matplotlib and Pillow write it: pixels, and nothing beside them."""
    parts = list(_parts(content))
    kinds = [kind for kind, _ in parts]
    others = [kind for kind in kinds if kind != b"IDAT"]
    if kinds[0] != b"IHDR" or kinds[-1] != b"IEND" or len(others) > len(set(others)):
        raise ValueError("the picture's parts are not in order")
    for kind, inside in parts:
        if kind not in _OF_PICTURE or not re.fullmatch(_OF_PICTURE[kind], inside, re.DOTALL):
            raise ValueError("the picture holds more than pixels")
    header = parts[0][1]
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    if width * height > 2**24:
        raise ValueError("the picture is too large")
    size = height * (1 + (width * _CHANNELS[header[9]] * header[8] + 7) // 8)
    unpacking = zlib.decompressobj()
    unpacked = unpacking.decompress(b"".join(i for k, i in parts if k == b"IDAT"), size + 1)
    if len(unpacked) != size or not unpacking.eof or unpacking.unused_data:
        raise ValueError("the picture holds more or less than its pixels")


def _parts(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    if content[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError("it is no PNG")
    place = 8
    while place < len(content):
        behind = place + 12 + int.from_bytes(content[place : place + 4], "big")
        if zlib.crc32(content[place + 4 : behind - 4]).to_bytes(4, "big") != content[
            behind - 4 : behind
        ]:  # fmt: skip
            raise ValueError("a part of the picture is damaged")
        yield content[place + 4 : place + 8], content[place + 8 : behind - 4]
        place = behind


def _encoded(found: re.Match) -> str:
    written = found[0]
    content = base64.b64decode(written, validate=True)
    if base64.b64encode(content).decode() != written:
        raise ValueError("a picture's base64 holds more than the picture")
    picture(content)
    return ""


def _once(text: str) -> object:
    """The document, in which no key stands twice, since readers see only the last."""

    def paired(pairs: list[tuple[str, object]]) -> dict:
        if len(found := dict(pairs)) < len(pairs):
            raise ValueError("a key stands in it twice")
        return found

    return json.loads(text, object_pairs_hook=paired)


def _of_notebook(notebook: dict) -> Iterator[str]:
    _known(notebook, _OF_NOTEBOOK, "")
    _known(notebook["metadata"], _OF_METADATA, "the metadata's ")
    yield from _strings({key: value for key, value in notebook.items() if key != "cells"})
    for cell in notebook["cells"]:
        _known(cell, _OF_CELL, "a cell's ")
        for key in ("source", "metadata", "execution_count"):
            yield from _strings(cell.get(key, ""))
        if re.search(r"\d{8}", name := str(cell.get("id"))):  # most are hexadecimal digits
            yield name
        for output in cell.get("outputs", []):
            _known(output, _OF_OUTPUT, "an output's ")
            data = output.get("data", {})
            _known(data, _SHOWN, "an output's kind ")
            if drawn := data.get("image/png"):
                _encoded(re.match("(?s).*", "".join(drawn).strip().replace("\n", "")))
            yield from _strings({k: v for k, v in data.items() if k != "image/png"})
            yield from _strings({k: v for k, v in output.items() if k != "data"})


def _known(found: dict, known: set[str], of: str) -> None:
    if others := set(found) - known:
        # Not its name, which may be anybody's.
        raise ValueError(f"{of}part number {[*found].index(others.pop()) + 1} is none that is used")


def _strings(value: object) -> Iterator[str]:
    """Every text and number, and every name of one."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _strings(inner)
    elif isinstance(value, list):
        if all(isinstance(one, str) for one in value):  # the lines of one text
            yield "".join(value)
        else:
            for inner in value:
                yield from _strings(inner)
    else:
        yield str(value)
