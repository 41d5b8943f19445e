"""Any number of patients from a trained model, in the memory of one chunk of them."""

import hashlib
import json
import logging
import math
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .errors import InputError, check_choice, check_count, some
from .files import FORMATS, atomic_path, foreign, read_json, sha256, sweep, table_ending, write_json
from .generation.decode import postprocess
from .model import EMRWGAN
from .preprocessing.encode import Preprocessor
from .progress import at_work
from .rules import Rule
from .sources.flat import form as forms

log = logging.getLogger(__name__)

CHUNK = 100_000  # patients generated, decoded and written at a time
_JOB = "_job.json"  # readers of a folder of Parquet files pass over names that begin so


def generate(
    gan: EMRWGAN, prep: Preprocessor, n: int, path: str | Path, seed: int = 0,
    where: dict | None = None, progress: bool = False, rules: bool | Iterable[Rule] = True,
    form: dict[str, Any] | None = None, format: str | None = None, raw: bool = False,
) -> dict[str, int]:  # fmt: skip
    """Write `n` synthetic patients to a file or a folder, a chunk at a time.

    The same call goes on where it was stopped, and gives the same as if it had not been. Until a
    file is whole, its parts are in ``PATH.parts``, so it needs twice its room. Told is how many
    patients were repaired, for each rule.

    Parameters
    ----------
    gan, prep, n : EMRWGAN, Preprocessor, int
        The model, the preprocessor that it was trained with, and the number of patients.
    path : path
        A .parquet, .csv or .csv.gz file; without an ending, a folder of Parquet files.
    seed, where, progress : int, dict, bool
        As in :meth:`ehrsynth.model.EMRWGAN.sample`; and whether to show a bar.
    rules : bool or list of Rule
        As in :func:`ehrsynth.generation.decode.postprocess`.
    form, format : dict, {"parquet", "csv"}, optional
        Of the table that went in (:func:`ehrsynth.sources.flat.form.learn`); of a folder's files.
    raw : bool
        Leave in a CSV what a spreadsheet would compute, instead of an apostrophe before it.
    """
    check_count("number of synthetic patients", n)
    path, ending = Path(path), _checked_ending(path, format)
    rules = rules if isinstance(rules, bool) else list(rules)
    of_parts = ending or f".{format or FORMATS[0]}"
    # Of another model or preprocessor the first patients are others.
    first = postprocess(gan.sample(100, where=where, seed=seed), prep, seed=seed, rules=False)
    job = {
        "patients": n, "seed": seed, "chunk": CHUNK, "format": of_parts, "raw": raw,
        "where": {name: str(value) for name, value in (where or {}).items()},
        "rules": rules if isinstance(rules, bool) else [str(rule) for rule in rules],
        "form": _hash(form), "model": _hash(first.to_csv(index=False)),
    }  # fmt: skip
    folder = path.with_name(f"{path.name}.parts") if ending else path
    sizes = [min(CHUNK, n - start) for start in range(0, n, CHUNK)]
    parts = [folder / f"part-{i:05d}{of_parts}" for i in range(len(sizes))]
    made, repaired = _start(folder, parts, job, discard=bool(ending))
    with at_work("Generating", n, "patients", sum(sizes[: len(made)]), progress) as work:
        for chunk in range(len(made), len(parts)):
            # One seed a chunk: the chunks differ, and each can be made again alone.
            own_seed = int(np.random.SeedSequence([seed, chunk]).generate_state(1)[0])
            encoded = gan.sample(sizes[chunk], where=where, seed=own_seed)
            patients = postprocess(encoded, prep, own_seed, rules, repaired)
            forms.write(patients, parts[chunk], form, chunk == 0 or not ending, raw)
            made.append(sha256(parts[chunk]))
            _note(folder, job, made, repaired)
            work.at(sum(sizes[: chunk + 1]))
    if ending:
        _join(parts, path)
        shutil.rmtree(folder)
    return repaired


def _checked_ending(path: str | Path, format: str | None) -> str:
    """The ending of a file that can be written, or "" for a folder."""
    path, ending = Path(path), table_ending(path)
    if format is not None:
        check_choice("format", format, FORMATS)
    wrong = ""
    if path.suffix and not ending:
        wrong = "has an unknown ending; use .parquet, .csv, .csv.gz, or none for a folder"
    elif ending and format not in (None, ending.split(".")[1]):
        wrong = f"does not end in .{format}; change the name or leave --format out"
    elif ending and path.is_dir():
        wrong = "is a folder; choose the name of a file, or no ending"
    if wrong:
        raise InputError(f"{path} {wrong}.")
    return ending


def _hash(what: object) -> str:
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]


def _start(folder: Path, parts: Sequence[Path], job: dict, discard: bool) -> tuple[list, dict]:
    """The SHA-256 of each finished part, and what was repaired in them; none in a new folder."""
    begun = (folder / _JOB).is_file()
    known, hashes, repaired = _noted(folder / _JOB) if begun else ({}, [], {})
    differ = [name for name in job if known.get(name) != job[name]]
    ours = ["part-*"] if differ else [part.name for part in parts]
    if odd := foreign(folder, [_JOB, *ours] if begun else [_JOB]):
        raise InputError(
            f"{folder} is there already with what is not ours ({some(odd, 4)}); use another name."
        )
    sweep(folder)  # also of a process that was killed before its first note
    if begun and differ and not discard:
        raise InputError(
            f"{folder} holds patients made with {(name := differ[0])} {known.get(name)!r}, not "
            f"{job[name]!r}; choose another folder, or delete this one to start over."
        )
    if begun and differ:
        log.info("%s is of another job (%s); starting over.", folder, ", ".join(differ))
        shutil.rmtree(folder)
    elif begun and all(p.is_file() and sha256(p) == h for p, h in zip(parts, hashes, strict=False)):
        return hashes, repaired
    _note(folder, job, [], {})
    return [], {}


def _noted(path: Path) -> tuple[dict, list, dict]:
    """What :func:`_note` wrote; of a file that is not ours nothing agrees with any job."""
    found, kinds = read_json(path), {"job": dict, "finished": list, "repaired": dict}
    if isinstance(found, dict) and all(isinstance(found.get(n), k) for n, k in kinds.items()):
        return found["job"], found["finished"], found["repaired"]
    return {}, [], {}


def _note(folder: Path, job: dict, finished: list[str], repaired: dict[str, int]) -> None:
    write_json({"job": job, "finished": finished, "repaired": repaired}, folder / _JOB)


def _join(parts: Sequence[Path], path: Path) -> None:
    with atomic_path(path) as whole:
        if path.suffix != ".parquet":  # files of gzip, too, are one when they follow each other
            with open(whole, "wb") as file:
                file.writelines(part.read_bytes() for part in parts)
        else:
            # A writer remembers 2 kB for each column of each row group until it closes. So row
            # groups grow with their number: of a thousand parts, three make one.
            together = max(1, math.isqrt(len(parts)) // 8)
            with pq.ParquetWriter(whole, pq.read_schema(parts[0])) as writer:
                for start in range(0, len(parts), together):
                    some = [pq.ParquetFile(part).read() for part in parts[start:][:together]]
                    writer.write_table(pa.concat_tables(some))
