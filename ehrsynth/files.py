"""Reading and writing tables and JSON so that no file is ever left half-written."""

import atexit
import glob
import gzip
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import translate
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from uuid import uuid4

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml
from pandas.api.types import is_datetime64_any_dtype as is_datetime

from .errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

TABLE_SUFFIXES = (".parquet", ".csv", ".csv.gz")
FORMATS = ("parquet", "csv")
# What programs write into a CSV for nothing. Persons' None and N/A often mean "not measured".
_NOTHING = " NA NaN nan NaT NULL null (null) <NA> #N/A #NULL! (blank) (missing) \\N"
MISSING_TEXTS = tuple(_NOTHING.split(" "))

# What a file can do that is not what its name says, or was cut short, or asks for all memory.
UNREADABLE = OSError, EOFError, ValueError, zlib.error, MemoryError
NOT_UNZIPPED = OSError, EOFError, zlib.error, RuntimeError, zipfile.BadZipFile  # or with a password
_ROOM, _TIMES = 2**28, 200  # bytes, and times its size, to which a file may unpack unasked
_DOCUMENT = {"JSON": 2**26, "YAML": 2**20}  # bytes; a megabyte of YAML takes seconds
_PART = ".part"  # how the names of unfinished files end; they begin with a dot
_UNFINISHED = re.compile(rf"(?<![^/])\.([^/]+)\.[0-9a-f]{{8}}{_PART}$")


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary name beside `path`, which is renamed to `path` when the block succeeds.

    Whoever looks sees the old file or the whole new one, never half of it, and only the owner can
    look, whatever the umask; a folder that cannot be made or written to is an InputError. What a
    killed process has left of the same file is removed.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:8]}{_PART}")
    try:
        private_folder(path.parent)
        sweep(path.parent, f".{glob.escape(path.name)}")
        with open(temporary, "xb", opener=partial(os.open, mode=0o600)) as held:
            with suppress(OSError):  # some file systems know no locks
                _lock(held)
            yield temporary
        temporary.chmod(0o600)  # it may have been put in the place of the one made here
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(
            f"Cannot write {path}: {error.strerror or error}; "
            "choose a folder you can write to with enough free space."
        ) from error
    finally:
        if temporary.exists():
            temporary.unlink()


def sweep(folder: Path, which: str = "**/.*") -> None:
    """Remove what :func:`atomic_path` left in `folder`, and below, when its process was killed."""
    for leftover in list(folder.glob(f"{which}.{'?' * 8}{_PART}")):
        with suppress(OSError):  # somebody writes it right now
            with open(leftover, "r+b") as file:
                _lock(file)
            leftover.unlink()


def foreign(folder: Path, known: Sequence[str]) -> list[str]:
    """What lies in a folder or below and is none of these files (* is any text), whole or begun."""
    above = {str(one) for name in known for one in PurePosixPath(name).parents}
    is_known, found = re.compile("|".join(map(translate, known))).match, []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        with suppress(FileNotFoundError):  # another process has just removed it
            mode = path.lstat().st_mode
            ours = stat.S_ISREG(mode) and is_known(_UNFINISHED.sub(r"\1", name))
            if not (ours or stat.S_ISDIR(mode) and name in above):
                found.append(name)
    return found


def _lock(file: BinaryIO) -> None:
    """Lock a file until it is closed, also by a kill; an OSError where another process has it.

    The number of a process would not tell: it may be of another machine or container.
    """
    if fcntl:  # else Windows, where nobody can remove what is open
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def private_folder(path: str | Path) -> None:
    """Make a folder, and those above it that are not there, which only the owner can enter."""
    path = Path(path)
    try:
        for folder in reversed([path, *path.parents]):
            if not folder.exists():
                folder.mkdir(0o700, exist_ok=True)
    except OSError as error:
        why = error.strerror or error
        raise InputError(f"Cannot write {path}: {why}; choose another folder.") from error


def temporary_folder() -> Path:
    """A new folder for what must not outlive this process; those of killed ones go."""
    for old in Path(tempfile.gettempdir()).glob("ehrsynth-*-*"):
        process = old.name.split("-")[1]
        try:
            if process.isdigit() and os.name == "posix":
                os.kill(int(process), 0)
        except ProcessLookupError:
            shutil.rmtree(old, ignore_errors=True)
        except OSError:  # somebody else's
            continue
    folder = Path(tempfile.mkdtemp(prefix=f"ehrsynth-{os.getpid()}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def check_room(what: object, packed: int, unpacked: int) -> None:
    """Refuse a file that is many times larger than it looks: nothing of patients packs so well."""
    if unpacked > _ROOM and unpacked > _TIMES * max(packed, 1):
        raise InputError(
            f"{what} unpacks to more than {_TIMES} times its size and more than "
            f"{_ROOM // 2**20} MiB; no table of patients does, so it is not read."
        )


def check_members(path: Path, members: Iterable[zipfile.ZipInfo]) -> None:
    """Refuse a zip file when one of these members, or all of them, are many times larger.

    Members can lie over each other, and what is packed by other means unpacks in one go.
    """
    for one in members:
        check_room(f"{one.filename} in {path}", one.compress_size, one.file_size)
        if one.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise zipfile.BadZipFile(f"{one.filename} is not packed by deflate")
    check_room(path, path.stat().st_size, sum(one.file_size for one in members))


def check_file(path: Path) -> Path:
    """The path of a file that is there; a pipe or a device may never end."""
    if not path.exists():
        raise InputError(f"{path} does not exist; check the name.")
    if not path.is_file():
        raise InputError(f"{path} is {'a folder' if path.is_dir() else 'no file'}; give a file.")
    return path


def resolved(path: str | Path) -> Path:
    """Where a path leads; of links in a circle, that a file is not there is said later."""
    return Path(os.path.realpath(path))


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal digits."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error


def write_json(value: object, path: str | Path) -> None:
    """Write `value` as indented JSON (no NaN: a number that is not there is null)."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read JSON, or say which file is missing or broken."""
    return _parsed(path, json.loads, "JSON")


def read_by_hand(path: str | Path) -> Any:
    """Read JSON or YAML, by the ending of `path`, or say which file is missing or broken."""
    suffix = Path(path).suffix.lower()
    if suffix == ".json":
        return read_json(path)
    if suffix not in (".yaml", ".yml"):
        raise InputError(f"{path} has an unknown ending; use .json, .yaml or .yml.")
    return _parsed(path, lambda text: yaml.load(text, _Plain), "YAML")


class _Plain(yaml.SafeLoader):
    """YAML without aliases, a few lines of which can stand for more than any memory holds."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has an alias (*name); write out what it stands for")
        return super().compose_node(parent, index)


def _parsed(path: str | Path, parse: Callable[[str], Any], form: str) -> Any:
    path = Path(path)
    try:
        if check_file(path).stat().st_size > _DOCUMENT[form]:
            raise InputError(
                f"{path} is larger than {_DOCUMENT[form] // 2**20} MiB; it is not read."
            )
        found = parse(path.read_text(encoding="utf-8"))
        json.dumps(found, ensure_ascii=False, skipkeys=True, default=str).encode()  # can be said
        return found
    except InputError:
        raise
    except (OSError, RecursionError, ValueError, yaml.YAMLError) as error:  # or it is not UTF-8
        deep = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        why = " ".join(deep.split())[:200].rstrip(".")
        raise InputError(f"{path} is not readable {form}: {why}.") from error


def write_table(table: pd.DataFrame, path: str | Path, **options) -> None:
    """Write a table as Parquet or CSV, by the ending of `path`; `options` are those of pandas."""
    suffix = suffix_of(path)
    with atomic_path(path) as temporary:
        if suffix == ".parquet":
            table.to_parquet(temporary, index=False, **options)
        elif suffix == ".csv":
            table.to_csv(temporary, index=False, **options)
        else:
            with _zipped(temporary, level=9) as zipped:
                table.to_csv(zipped, index=False, mode="wb", **options)


@contextmanager
def _zipped(path: Path, level: int) -> Iterator[gzip.GzipFile]:
    """A gz file; without time and name in its header, the same table gives the same bytes."""
    with open(path, "wb") as file, gzip.GzipFile("", "wb", level, file, mtime=0) as zipped:
        yield zipped


# A cell of a CSV that a spreadsheet would compute: it begins so, and is no number.
_FORMULA = re.compile(r"[=+\-@\t\r](?![\d.,' ]+(?:[eE][-+]?\d+)?%?$).", re.DOTALL)


def escaped(table: pd.DataFrame) -> pd.DataFrame:
    """The table with an apostrophe before what a spreadsheet would take for a formula."""
    return rewritten(table, lambda text: f"'{text}" if _FORMULA.match(text) else text)


def unescape(text: str) -> str:
    """A cell without the apostrophe of :func:`escaped`."""
    return text[1:] if text[:1] == "'" and _FORMULA.match(text, 1) else text


def rewritten(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """The table with every name and text changed."""
    made = {}
    for name, values in table.items():
        if not pd.api.types.is_numeric_dtype(values) and not is_datetime(values):
            texts = [one for one in values.dropna().unique() if isinstance(one, str)]
            if other := {one: new for one in texts if (new := change(one)) != one}:
                values = values.astype(object).map(lambda one, other=other: other.get(one, one))
        made[change(str(name))] = values
    return pd.DataFrame(made, index=table.index)


def write_blocks(blocks: Iterable[pd.DataFrame], path: str | Path) -> None:
    """Write tables of the same columns one after the other into one ``.csv.gz``.

    Only one is in memory at a time; a number is written as short as it can be, 3 and not 3.0.
    """
    with atomic_path(path) as temporary, _zipped(temporary, level=4) as zipped:
        for number, block in enumerate(blocks):
            block.to_csv(zipped, index=False, header=number == 0, mode="wb", float_format="%.15g")


def read_table(path: str | Path, **csv_options) -> pd.DataFrame:
    """Read a Parquet or CSV table, by the ending of `path`."""
    path, suffix = Path(path), suffix_of(path)
    check_packed(check_file(path))
    try:
        if suffix == ".parquet":
            return pd.read_parquet(path)
        missing = {"keep_default_na": False, "na_values": list(MISSING_TEXTS)}
        return pd.read_csv(path, **(missing | csv_options))
    except UNREADABLE as error:  # a ValueError: of pandas or pyarrow
        why = reason(error).removeprefix("Error tokenizing data. C error: ")
        raise InputError(f"{path} cannot be read as {suffix}: {why}.") from error


def check_packed(path: Path) -> None:
    """Refuse a bomb: of a gz file its first part tells, of Parquet what it says of itself."""
    try:
        if path.name.lower().endswith(".gz"):
            with open(path, "rb") as file, gzip.GzipFile(fileobj=file) as unzipped:
                length = unzipped.seek(_ROOM + 1)  # or where it ends
                check_room(path, file.tell(), length)
        elif path.name.lower().endswith(".parquet"):
            for length in _unpacked(path):
                check_room(path, path.stat().st_size, length)
    except InputError:
        raise
    except UNREADABLE:
        return  # it is not what its name says, which whoever reads it says


def _unpacked(path: Path) -> Iterator[int]:
    """Bytes that a Parquet file takes: without its texts (many rows share one), then with them."""
    about, schema = pq.read_metadata(path), pq.read_schema(path)
    bits = [t.bit_width if pa.types.is_primitive(t) else 64 for t in schema.types]
    if len(bits) != about.num_columns:  # some are lists
        bits = [64] * about.num_columns
    groups = [about.row_group(i) for i in range(about.num_row_groups)]
    cells = ((b, g.num_rows, g.column(i).num_values) for g in groups for i, b in enumerate(bits))
    length = sum(bit * max(numbers) for bit, *numbers in cells) // 8
    yield length
    texts = [f.name for f in schema if f.type in (pa.string(), pa.large_string(), pa.binary())]
    if texts:
        for batch in pq.ParquetFile(path, read_dictionary=texts).iter_batches(columns=texts):
            for column in batch.columns:
                of_each = pc.binary_length(column.dictionary).take(column.indices)
                length += pc.sum(of_each).as_py() or 0
            yield length


def reason(error: Exception) -> str:
    """The first line of what another library says, without a full stop."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")


def table_ending(path: str | Path) -> str:
    """Of :data:`TABLE_SUFFIXES` the one with which a name ends, or ""."""
    name = Path(path).name.lower()
    return next((suffix for suffix in TABLE_SUFFIXES if name.endswith(suffix)), "")


def suffix_of(path: str | Path) -> str:
    """The same, or an InputError for a name with none of these endings."""
    if ending := table_ending(path):
        return ending
    raise InputError(
        f"{path} has an unknown ending; use one of {', '.join(TABLE_SUFFIXES)} (a spreadsheet can "
        "be saved as CSV in UTF-8)."
    )
