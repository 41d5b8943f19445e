"""What of a single patient stands in a file: rare texts, long numbers, whole records.

Looked for are texts that fewer than k patients have, numbers of six or more digits that one patient
has, and patients who are repeated as they are. Files are looked into as bytes and by what they
hold: JSON, CSV, HTML, Parquet, safetensors, and what is packed in gz and zip.
"""

import base64
import gzip
import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from scipy.stats import fisher_exact, poisson

from .errors import InputError
from .kinds import MISSING, REST, is_number

DIGITS = 6  # of a number that is like a name; shorter ones are met by chance
_LETTERS = 4  # of a text that is looked for inside of others; shorter ones as a whole only
_NUMBER = re.compile(r"(?<![\w.,])[-−]?\d[\d,]*(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w]|[.,]\d)")
_DATA_URI = re.compile(r"data:[\w/+.-]+;base64,([A-Za-z0-9+/=]+)")
_NEIGHBORS = 20  # released values that tell how close together values lie
_GRID = 5  # different ones of them, before they tell that values lie on a grid
_CHANCE = 0.01  # of a find where there is nothing to find
_BUDGET = 2**30  # bytes of one unpacked file
_MOST = 2_000  # numbers that tell how many are met by chance
_LARGE = 1_000.0  # weights are smaller, so that none of them meets such a number by chance


@dataclass(frozen=True)
class Secrets:
    """What must not be found: texts, and the numbers of single patients."""

    texts: frozenset[str]
    numbers: np.ndarray  # sorted


def secrets(real: pd.DataFrame, least: int, own_words: str = "") -> Secrets:
    """What gives somebody away in a table of all real patients: texts of fewer than `least`.

    Of texts not those that are part of `own_words`, which stand in every file anyway.
    """
    texts: set[str] = set()
    numbers = [np.empty(0)]
    for name in real:
        counts = real[name].value_counts()
        if is_number(real[name]):
            alone = counts.index[counts == 1].to_numpy(float)
            numbers.append(alone[[_digits(value) >= DIGITS for value in alone]])
        elif not pd.api.types.is_bool_dtype(real[name]):
            texts |= {str(text) for text in counts.index[(counts > 0) & (counts < least)]}
    texts = {text for text in texts - {MISSING, REST} if text not in own_words}
    return Secrets(frozenset(texts), np.unique(np.concatenate(numbers)))


def _digits(number: float) -> int:
    """How many digits a number is written with, without zeros in front."""
    written = f"{number:.15g}".partition("e")[0]
    return len(re.sub(r"\D", "", written).lstrip("0"))


def found_in(path: Path, known: Secrets) -> list[str]:
    """What a file holds of single patients, in sentences that repeat nothing of it."""
    found = []
    for texts, tables, tensors in _contents(path.name, path.read_bytes()):
        hits = _texts_in(texts, known.texts)
        hits += sum(_texts_in(_cells(table), known.texts) for table in tables)
        if hits:
            found.append(f"{_times(hits, 'text')} that fewer patients have than may")
        if numbers := _numbers_in(texts, tables, tensors, known.numbers):
            found.append(f"{_times(numbers, 'number')} of {DIGITS} or more digits of one patient")
    return [f"{path.name} holds {what}" for what in found]


def _times(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


# -- what a file holds -----------------------------------------------------------------------------

Content = tuple[str, list[pd.DataFrame], list[np.ndarray]]  # texts, tables, tensors


def _contents(name: str, content: bytes) -> Iterator[Content]:
    """What there is to read in a file, and in those packed in it."""
    low = name.lower()
    if low.endswith(".gz"):
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
            unpacked = packed.read(_BUDGET + 1)
        if len(unpacked) > _BUDGET:
            raise InputError(f"{name} unpacks to more than 1 GiB; leave it out.")
        yield from _contents(low.removesuffix(".gz"), unpacked)
        return
    if low.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            for member in packed.infolist():
                if member.file_size > _BUDGET:
                    raise InputError(f"{name} holds a file of more than 1 GiB; leave it out.")
                yield from _contents(member.filename, packed.read(member))
        return
    text = content.decode("utf-8", errors="ignore")
    if low.endswith(".parquet"):
        file = pq.ParquetFile(io.BytesIO(content))
        about = [v.decode("utf-8", "ignore") for v in (file.schema_arrow.metadata or {}).values()]
        yield "\n".join([text, *about]), [file.read().to_pandas()], []
    elif low.endswith(".csv"):
        mark = max(",;\t|", key=text.partition("\n")[0].count)
        yield text, [pd.read_csv(io.StringIO(text), sep=mark, dtype=str)], []
    elif low.endswith(".safetensors"):
        yield text, [], _tensors(content)
    elif low.endswith(".json"):
        yield "\n".join([text, *_strings(json.loads(text))]), [], []
    else:
        pictures = (base64.b64decode(part + "===") for part in _DATA_URI.findall(text))
        inside = [picture.decode("utf-8", errors="ignore") for picture in pictures]
        yield "\n".join([_DATA_URI.sub("", text), *inside]), [], []


def _tensors(content: bytes) -> list[np.ndarray]:
    """The numbers of a safetensors file, without the library that models need."""
    size = int.from_bytes(content[:8], "little")
    kinds = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "u1"}
    head, body = json.loads(content[8 : 8 + size]), content[8 + size :]
    return [
        np.frombuffer(body[slice(*entry["data_offsets"])], kinds[entry["dtype"]])
        for name, entry in head.items()
        if name != "__metadata__" and entry["dtype"] in kinds
    ]


def _strings(value: object) -> Iterator[str]:
    """Every text of a JSON document, as it reads."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _cells(table: pd.DataFrame) -> str:
    """The different texts of a table, one a line."""
    kinds = [table[name] for name in table if not is_number(table[name])]
    return "\n".join(str(text) for values in kinds for text in values.dropna().unique())


# -- texts -----------------------------------------------------------------------------------------


def _texts_in(text: str, looked_for: frozenset[str]) -> int:
    """How many texts stand in another: short ones as a line or word, others anywhere."""
    if not text or not looked_for:
        return 0
    long = [one for one in looked_for if len(one) >= _LETTERS]
    hits = sum(one in text for one in _likely(text, long))
    short = {one for one in looked_for if len(one) < _LETTERS}
    return hits + len(short.intersection(text.split("\n"))) if short else hits


def _likely(text: str, texts: list[str]) -> list[str]:
    """Those of the texts whose first letters stand in `text`; a fast look before the real one."""
    if len(texts) < 50:
        return texts
    letters = np.frombuffer(text.encode("utf-32-le"), np.uint32).astype(np.uint64)
    starts = "".join(one[:_LETTERS] for one in texts).encode("utf-32-le")
    wanted = np.frombuffer(starts, np.uint32).astype(np.uint64).reshape(-1, _LETTERS)
    weights = np.uint64(0x9E3779B97F4A7C15) ** np.arange(_LETTERS, dtype=np.uint64)
    there = sum(letters[i : len(letters) - _LETTERS + i + 1] * weights[i] for i in range(_LETTERS))
    known = np.isin((wanted * weights).sum(axis=1), np.unique(there))
    return [one for one, is_known in zip(texts, known, strict=True) if is_known]


# -- numbers ---------------------------------------------------------------------------------------


def _numbers_in(
    text: str, tables: list[pd.DataFrame], tensors: list[np.ndarray], numbers: np.ndarray
) -> int:
    """How many of the numbers stand in a file, beyond what chance explains in a table."""
    if len(numbers) == 0:
        return 0
    found: set[float] = set()
    if not tables:
        written = {one.replace(",", "").replace("−", "-") for one in _NUMBER.findall(text)}
        found |= set(np.intersect1d(numbers, np.array([float(one) for one in written])))
    for tensor in tensors:
        short = tensor.dtype in (np.float32, np.float16)
        wanted = numbers[np.abs(numbers) >= _LARGE] if short else numbers
        written_as = tensor.dtype if short else np.dtype(float)
        same = np.isin(wanted.astype(written_as), tensor.astype(written_as))
        found |= set(wanted[same])
    for table in tables:
        for name in table:
            values = pd.to_numeric(table[name], errors="coerce").to_numpy(float, na_value=np.nan)
            found |= set(_beyond_chance(values[np.isfinite(values)], numbers))
    return len(found)


def _beyond_chance(released: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The numbers that released values repeat though nothing near them lets expect it."""
    values = np.sort(released)
    hits = np.intersect1d(numbers, values)
    if len(hits) == 0:
        return hits
    some = numbers[:: 1 + len(numbers) // _MOST]
    expected = sum(_expected(values, number) for number in some) * len(numbers) / len(some)
    if poisson.sf(len(hits) - 1, expected) < _CHANCE / 100:
        return hits
    return np.array([hit for hit in hits if _expected(values, hit) < _CHANCE / len(numbers)])


def _expected(values: np.ndarray, number: float) -> float:
    """How many of the sorted values equal the number by chance, as its neighbors lie."""
    low, high = np.searchsorted(values, number, "left"), np.searchsorted(values, number, "right")
    half = _NEIGHBORS // 2
    near = np.concatenate([values[max(low - half, 0) : low], values[high : high + half]])
    count = len(near)
    near = np.unique(near)
    ends = np.append(near, number)
    decimals = max(len(f"{value:.10g}".partition(".")[2]) for value in ends)
    step = 10.0**-decimals
    if len(near) >= _GRID:  # whole hundreds, say, meet more often than values that are not
        apart = np.round(np.diff(ends) / step).astype(np.int64)
        step *= int(np.gcd.reduce(apart))
    return float(count * step / (ends.max() - ends.min() + step))


# -- whole records ---------------------------------------------------------------------------------


def repeated(released: pd.DataFrame, train: pd.DataFrame, holdout: pd.DataFrame, least: int) -> int:
    """How many training patients are released as they are, where held-out ones are not.

    Counted are records that fewer than `least` training patients have. A census, with a control:
    where held-out patients, who cannot have been copied, are met as often, it is chance (0); also
    where they are met in all but two columns. The tables have the same columns and types.
    """
    made, used, other = (
        pd.util.hash_pandas_object(table, index=False).to_numpy()
        for table in (released, train, holdout)
    )
    names, counts = np.unique(used, return_counts=True)
    rare = names[counts < least]
    copied = np.intersect1d(rare, made)
    if len(copied) == 0:
        return 0
    met = int(np.isin(other, made).sum())
    table = [[len(copied), len(rare) - len(copied)], [met, len(other) - met]]
    if fisher_exact(table, alternative="greater").pvalue < 1e-3:
        return len(copied)
    return 0 if met or _nearly_met(released, holdout) else len(copied)


def _nearly_met(released: pd.DataFrame, holdout: pd.DataFrame) -> bool:
    """Whether a held-out patient equals a released one in all but two columns."""
    some, released = holdout.head(300), released.head(10_000)
    apart = np.zeros((len(some), len(released)), dtype=np.int32)
    for name in released:
        codes, _ = pd.factorize(pd.concat([some[name].astype(str), released[name].astype(str)]))
        apart += codes[: len(some), None] != codes[None, len(some) :]
    return bool((apart.min(axis=1) <= 2).any())
