"""What a file holds, and whether it repeats what patients have: long numbers, whole records.

Files are looked into by what they are: JSON, CSV, HTML, Parquet, safetensors, also packed in gz.
What of that gives somebody away, :mod:`ehrsynth.rare` knows.
"""

import base64
import gzip
import io
import json
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from scipy.stats import fisher_exact, poisson

from .errors import InputError
from .kinds import is_number

DIGITS = 6  # of a number that is like a name; shorter ones are met by chance
_DATA_URI = re.compile(r"data:[\w/+.-]+;base64,([A-Za-z0-9+/=]+)")
_NEIGHBORS = 20  # released values that tell how close together values lie
_GRID = 5  # different ones of them, before they tell that values lie on a grid
CHANCE = 0.01  # of a find where there is nothing to find
_BUDGET = 2**30  # bytes of one unpacked file
_MOST = 2_000  # numbers that tell how many are met by chance


# -- what a file holds -----------------------------------------------------------------------------


class Content(NamedTuple):
    """What a file says: its text without the rows of tables, its tables, its tensors."""

    text: str
    tables: list[pd.DataFrame]
    tensors: list[np.ndarray]


def content_of(name: str, content: bytes) -> Content:
    """What there is to read in the bytes of a file."""
    low = name.lower()
    if low.endswith(".gz"):
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
            content = packed.read(_BUDGET + 1)
        if len(content) > _BUDGET:
            raise InputError(f"{name} unpacks to more than 1 GiB; leave it out.")
        low = low.removesuffix(".gz")
    text = content.decode("utf-8", errors="ignore")
    if low.endswith(".parquet"):
        table = pq.ParquetFile(io.BytesIO(content)).read()
        noted = (v.decode("utf-8", "ignore") for v in (table.schema.metadata or {}).values())
        frame = table.to_pandas(ignore_metadata=True)
        return Content("\n".join([*noted, *table.column_names]), [frame], [])
    if low.endswith(".csv"):
        mark = max(",;\t|", key=text.partition("\n")[0].count)
        frame = pd.read_csv(io.StringIO(text), sep=mark, dtype=str)
        return Content("\n".join(frame.columns), [frame], [])
    if low.endswith(".safetensors"):
        return _tensors(content)
    if low.endswith(".json"):
        return Content("\n".join([text, *_strings(json.loads(text))]), [], [])
    pictures = (_beside_pixels(base64.b64decode(p + "===")) for p in _DATA_URI.findall(text))
    inside = [picture.decode("utf-8", errors="ignore") for picture in pictures]
    return Content("\n".join([_DATA_URI.sub("", text), *inside]), [], [])


def _tensors(content: bytes) -> Content:
    """The head and the numbers of a safetensors file, without the library that models need."""
    size = int.from_bytes(content[:8], "little")
    kinds = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "u1"}
    head, body = json.loads(content[8 : 8 + size]), content[8 + size :]
    tensors = [
        np.frombuffer(body[slice(*entry["data_offsets"])], kinds[entry["dtype"]])
        for name, entry in head.items()
        if name != "__metadata__" and entry["dtype"] in kinds
    ]
    return Content("\n".join(_strings(head)), [], tensors)  # where they lie are numbers, too


def _beside_pixels(picture: bytes) -> bytes:
    """What a picture says beside its pixels, where every short word stands by chance."""
    if not picture.startswith(b"\x89PNG"):
        return picture
    parts, at = [], 8
    while at < len(picture):
        end = at + 12 + int.from_bytes(picture[at : at + 4], "big")
        parts += [picture[at + 4 : end - 4]] if picture[at + 4 : at + 8] != b"IDAT" else []
        at = end
    return b"\n".join(parts)


def _strings(value: object) -> Iterator[str]:
    """Every text of a JSON document, as it reads."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from _strings(inner)


# -- numbers ---------------------------------------------------------------------------------------


def alone(values: pd.Series) -> np.ndarray:
    """The numbers of six digits or more that one patient of a column has, sorted."""
    numbers = values.drop_duplicates(keep=False).dropna().to_numpy(float)
    written = (f"{number:.15g}".partition("e")[0] for number in numbers)
    digits = [len(re.sub(r"\D", "", one).lstrip("0")) for one in written]
    return np.sort(numbers[np.array(digits, dtype=int) >= DIGITS])


def copied_numbers(released: pd.DataFrame, real: pd.DataFrame) -> int:
    """How many long numbers of single patients stand in a table, beyond what chance explains."""
    found: set[float] = set()
    for name in [name for name in real if is_number(real[name]) and name in released]:
        values = pd.to_numeric(released[name], errors="coerce").to_numpy(float, na_value=np.nan)
        found |= _beyond_chance(np.sort(values[np.isfinite(values)]), alone(real[name]))
    return len(found)


def _beyond_chance(values: np.ndarray, numbers: np.ndarray) -> set[float]:
    """The numbers that sorted values repeat though nothing near them lets expect it."""
    hits = np.intersect1d(numbers, values)
    if len(hits) == 0:
        return set()
    some = numbers[:: 1 + len(numbers) // _MOST]
    expected = sum(expected_by_chance(values, number) for number in some) * len(numbers) / len(some)
    if poisson.sf(len(hits) - 1, expected) < CHANCE / 100:
        return set(hits)
    return {hit for hit in hits if expected_by_chance(values, hit) < CHANCE / len(numbers)}


def expected_by_chance(values: np.ndarray, number: float) -> float:
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
