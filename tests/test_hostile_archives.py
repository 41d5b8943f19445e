"""Zip files whose members lie over each other, and Parquet files whose footer is not true.

As in ``test_hostile_files.py``: one sentence, soon, in little memory, and nothing is left.
"""

import gzip
import struct
import zipfile
import zlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hostile import refused

from ehrsynth.errors import InputError
from ehrsynth.files import read_table

MEGABYTE = 2**20


@pytest.fixture
def place(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"died": rng.integers(0, 2, 60), "age": rng.integers(20, 90, 60)})
    table.to_csv(tmp_path / "good.csv", index=False)
    return tmp_path


def squeezed(megabytes):
    """So many MB of zeros, deflated, and their checksum; made of one that can be repeated."""
    press, check = zlib.compressobj(9, zlib.DEFLATED, -15), 0
    one = press.compress(bytes(MEGABYTE)) + press.flush(zlib.Z_FULL_FLUSH)
    for _ in range(megabytes):
        check = zlib.crc32(bytes(MEGABYTE), check)
    return one * megabytes + b"\3\0", check


def zip_of(place, names, megabytes, body=None, claimed=None):
    """A zip file in which every one of these names is at the same place: members lie over it."""
    packed, check = squeezed(megabytes)
    packed = packed if body is None else body
    size = megabytes * MEGABYTE if claimed is None else claimed
    about = struct.pack("<HHHHHLLL", 20, 0, 8, 0, 33, check, len(packed), size)
    head = b"PK\3\4" + about + struct.pack("<HH", len(names[0]), 0) + names[0].encode()
    contents = b"".join(
        b"PK\1\2\x14\0" + about + struct.pack("<HHHHHLL", len(name), 0, 0, 0, 0, 0, 0)
        + name.encode()
        for name in names
    )  # fmt: skip
    end = struct.pack("<4HLLH", 0, 0, *[len(names)] * 2, len(contents), len(head + packed), 0)
    (place / "a.zip").write_bytes(head + packed + contents + b"PK\5\6" + end)


def quoted(place):
    """Each member holds the heads of those after it, as bytes that are not packed, and a kernel."""
    kernel, _ = squeezed(200)
    zeros, heads, packed, contents = bytes(MEGABYTE), b"", kernel, []
    for number in range(10):
        name, check = f"x{number}/person.csv".encode(), zlib.crc32(heads)
        for _ in range(200):
            check = zlib.crc32(zeros, check)
        size = len(heads) + 200 * MEGABYTE
        about = struct.pack("<HHHHHLLL", 20, 0, 8, 0, 33, check, len(packed), size)
        head = b"PK\3\4" + about + struct.pack("<HH", len(name), 0) + name
        contents.append((about, name, len(packed)))
        heads, packed = (
            head + heads,
            b"\0" + struct.pack("<HH", len(head), len(head) ^ 65535) + head + packed,
        )
    whole = packed[5:]
    table = b"".join(
        b"PK\1\2\x14\0" + about + struct.pack("<HHHHHLL", len(name), 0, 0, 0, 0, 0,
                                              len(whole) - length - 30 - len(name)) + name
        for about, name, length in contents
    )  # fmt: skip
    end = struct.pack("<4HLLH", 0, 0, *[len(contents)] * 2, len(table), len(whole), 0)
    (place / "a.zip").write_bytes(whole + table + b"PK\5\6" + end)


def packed_by(method):
    def make(place):
        with zipfile.ZipFile(place / "a.zip", "w", method) as packed:
            packed.writestr("person.csv", "0" * 3_000_000)

    return make


NAMES = [f"x{number}/person.csv" for number in range(300)]
ARCHIVES = {
    "300 members that are one": (lambda place: zip_of(place, NAMES, 200), "200 times its size"),
    "60,000 members that are one of 1 MB": (
        lambda place: zip_of(place, [f"{i}/death.csv" for i in range(60_000)], 1), "200 times"
    ),
    "heads within heads": (quoted, "200 times its size"),
    "a member that says it is small": (
        lambda place: zip_of(place, NAMES[:1], 600, claimed=5_000), "cannot be unpacked"
    ),
    "bzip2": (packed_by(zipfile.ZIP_BZIP2), "not packed by deflate"),
    "LZMA": (packed_by(zipfile.ZIP_LZMA), "not packed by deflate"),
}  # fmt: skip


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_zip_that_is_more_than_it_looks(place, ask, name):
    make, reason = ARCHIVES[name]
    make(place)
    said = refused(
        place, ask("run", "--dataset", "omop", "--data", place / "a.zip", "--profile", "fast",
                   "--out", place / "out"),
    )  # fmt: skip
    assert reason in said and not (place / "out").exists()


@pytest.mark.parametrize("data", ["omop", "mimic-iv"])
def test_a_gz_bomb_among_a_databases_files(place, ask, data):
    """The engine would read it to its end: it is refused before."""
    folder, name = (place, "person") if data == "omop" else (place / "hosp", "patients")
    folder.mkdir(exist_ok=True)
    bomb = gzip.compress(b"0,0,0\n" * 2**20, 9) * 100
    (folder / f"{name}.csv.gz").write_bytes(gzip.compress(b"person_id,sex,age\n") + bomb)
    for other in ("condition_occurrence", "admissions", "diagnoses_icd", "omr"):
        (folder / f"{other}.csv").write_text("person_id\n1\n")
    said = refused(place, ask("run", "--dataset", data, "--data", place, "--profile", "fast",
                              "--out", place / "out"))  # fmt: skip
    assert f"{name}.csv.gz unpacks to more than 200 times" in said


# -- Parquet -----------------------------------------------------------------------------------


def varint(number):
    """A whole number as the footer of a Parquet file has it."""
    number, said = 2 * number if number >= 0 else -2 * number - 1, b""
    while number > 127:
        number, said = number >> 7, said + bytes([number & 127 | 128])
    return said + bytes([number])


ROWS = 10_007


def parquet(path, change):
    """A table of a number of rows that its footer says four times, after a change to that."""
    rng = np.random.default_rng(0)
    table = {"died": rng.integers(0, 2, ROWS), "age": rng.integers(20, 90, ROWS).astype("int32")}
    pq.write_table(pa.table(table), path, store_schema=False)
    content = path.read_bytes()
    length = struct.unpack("<I", content[-8:-4])[0]
    body, footer = content[: -8 - length], content[-8 - length : -8]
    assert footer.count(b"\x16" + varint(ROWS)) == 4
    about = pq.read_metadata(path).row_group(0)
    body, footer = change(body, footer, about)
    path.write_bytes(body + footer + struct.pack("<I", len(footer)) + b"PAR1")


def rows(said, which=(0, 1, 2, 3)):
    """Where the footer says the number of rows: of the file, of two columns, of the row group."""

    def change(body, footer, about):
        first, *parts = footer.split(b"\x16" + varint(ROWS))
        numbers = [varint(said if i in which else ROWS) for i in range(4)]
        return body, first + b"".join(
            b"\x16" + number + part for number, part in zip(numbers, parts, strict=True)
        )

    return change


def size(name, said):
    def change(body, footer, about):
        true = varint(getattr(about.column(1), name))
        assert true in footer
        return body, footer.replace(true, varint(said))

    return change


def page(of, said):
    """Another size in the head of the last column's page (of its dictionary, or its data)."""

    def change(body, footer, about):
        column = about.column(1)
        start = getattr(column, f"{of}_page_offset")
        kind = b"\x15" + varint(2 if of == "dictionary" else 0) + b"\x15"
        assert body[start:].startswith(kind)
        after = next(i for i in range(start + 3, start + 9) if body[i] < 128) + 1
        made = body[: start + 3] + varint(said) + body[after:]
        true = varint(column.total_compressed_size)
        grown = varint(column.total_compressed_size + len(made) - len(body))
        footer = footer.replace(true, grown)
        offset = column.data_page_offset
        if of == "dictionary":
            footer = footer.replace(varint(offset), varint(offset + len(made) - len(body)))
        return made, footer

    return change


FOOTERS = {
    "10^15 rows, everywhere": rows(10**15),
    "10^9 rows, everywhere": rows(10**9),
    "10^15 rows in its only group": rows(10**15, [3]),
    "10^15 rows in both": rows(10**15, [0, 3]),
    "10^9 rows in both": rows(10**9, [0, 3]),
    "10^9 rows in its only group": rows(10**9, [3]),
    "10^15 values in a column": rows(10**15, [1]),
    "-5 rows": rows(-5),
    "a column of 2^60 bytes": size("total_compressed_size", 2**60),
    "a column of -1 bytes": size("total_compressed_size", -1),
    "a column that begins before it": size("data_page_offset", -7),
    "a page of 2^31 - 1 bytes": page("data", 2**31 - 1),
    "a dictionary of 2^31 - 1 bytes": page("dictionary", 2**31 - 1),
    "a dictionary of -1 bytes": page("dictionary", -1),
}

# Nobody asks for these: every row comes.
HARMLESS = {
    "10^15 rows in the file": rows(10**15, [0]),
    "fewer values in a column": rows(3, [2]),
    "a column that begins after the file": size("data_page_offset", 2**50),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_a_footer_that_nobody_is_misled_by(tmp_path, name):
    parquet(tmp_path / "a.parquet", lambda body, footer, _: (body, footer))
    expected = read_table(tmp_path / "a.parquet")
    parquet(tmp_path / "a.parquet", HARMLESS[name])
    try:
        pd.testing.assert_frame_equal(read_table(tmp_path / "a.parquet"), expected)
    except InputError:  # as other versions of Arrow may say
        pass


@pytest.mark.parametrize("name", FOOTERS)
def test_a_parquet_file_that_is_not_what_its_footer_says(place, ask, name):
    path = place / "a.parquet"
    parquet(path, lambda body, footer, _: (body, footer))
    assert len(pd.read_parquet(path)) == ROWS  # what is changed below would be read
    parquet(path, FOOTERS[name])
    said = refused(
        place, ask("run", "--dataset", "table", "--data", path, "--outcome", "nothing",
                   "--out", place / "out"),
    )  # fmt: skip
    assert f"{path} cannot be read" in said or f"{path} unpacks to more" in said
    assert not (place / "out").exists()
