"""The folder of one run: its files, and its manifest ``run.json``.

It says which run the folder holds, by which version, from which inputs, how far that is, and what
each stage has left, with the SHA-256 of every file.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from .errors import InputError, some
from .evaluation.report import CARD_FILE, METRICS_FILE, REPORT_FILE
from .files import atomic_path, foreign, private_folder, read_json, sha256, table_ending, write_json
from .gan.recipe import CHECKPOINT, MODEL_FILES
from .preprocessing.encode import PREPROCESSOR_FILE
from .rare import RARE_FILE
from .rules import RULES_FILE
from .sources.flat.form import FILE as FORM_FILE

RUN_FILE = "run.json"
SYNTHETIC = "synthetic.parquet"
# Where what is handed out has another form, the synthetic patients as they are evaluated.
INSIDE = f"inside/{SYNTHETIC}"
# Of a run with a guarantee: what it cost, the card that may leave, and the model.
GUARANTEE, GUARANTEE_CARD, NOISY_SUMS = "guarantee.json", "guarantee.md", "noisy_sums.json"
STAGES = {
    "data": ["train.parquet", "holdout.parquet", "schema.json", f"model/{PREPROCESSOR_FILE}",
             f"model/{RULES_FILE}", RARE_FILE],
    "training": [f"model/{name}" for name in MODEL_FILES],
    "generation": [SYNTHETIC],
    "evaluation": [METRICS_FILE, REPORT_FILE, CARD_FILE],
}  # fmt: skip
_LOCK, _GIT_IGNORE, _IGNORE_ALL = ".lock", ".gitignore", b"*\n"
log = logging.getLogger(__name__)


class RunFiles(NamedTuple):
    """What of a run is in which file: a flat table comes out as it went in, all else as Parquet."""

    released: str  # may be handed out
    inside: str  # the same patients as they are evaluated
    candidates: dict[str, str]  # by the folder of each model, the file of what it generates
    stages: dict[str, list[str]]  # what each stage leaves

    @classmethod
    def of(cls, dataset: str, data: object, format: str | None, runs: int) -> "RunFiles":
        """By the data set, where it lies, and the format that was asked for."""
        is_table = dataset == "table"
        as_it_was = table_ending(data) if is_table and isinstance(data, str | Path) else ""
        released = f"synthetic.{format}" if format else f"synthetic{as_it_was or '.parquet'}"
        inside = INSIDE if is_table or released != SYNTHETIC else SYNTHETIC
        kept = list(dict.fromkeys([inside, released]))
        stages = STAGES | {"data": [*STAGES["data"], *[f"model/{FORM_FILE}"] * is_table]}
        if runs == 1:
            return cls(released, inside, {"model": inside}, stages | {"generation": kept})
        folders = [f"runs/{run}" for run in range(1, runs + 1)]
        candidates = {folder: f"{folder}/{SYNTHETIC}" for folder in folders}
        stages |= {
            "training": [f"{folder}/{name}" for folder in folders for name in MODEL_FILES],
            "generation": list(candidates.values()),
            "evaluation": [*STAGES["training"], *kept, *STAGES["evaluation"]],  # it chooses one
        }
        return cls(released, inside, candidates, stages)

    def all(self) -> Iterator[str]:
        """Every file of the stages, also those that are there only while they are made."""
        for folder, file in self.candidates.items():
            checkpoint = "model/checkpoint" if folder == "model" else folder
            yield f"{checkpoint}/{CHECKPOINT}"
            yield from (f"{file}.parts/_job.json", f"{file}.parts/part-*.parquet")
        yield from chain(*self.stages.values())


@dataclass
class RunFolder:
    """A folder that may hold one run, unfinished or finished, but no other."""

    path: Path

    @cached_property
    def lock(self) -> FileLock:
        """Chapters run side by side share a folder: only one of them makes a stage."""
        return FileLock(self.path / _LOCK, mode=0o600)

    @property
    def beside(self) -> list[str]:
        """What is there beside the files of stages; a .gitignore is not, if others wrote it."""
        ignore = self.path / _GIT_IGNORE
        theirs = ignore.is_file() and ignore.read_bytes() != _IGNORE_ALL
        return [RUN_FILE, _LOCK] if theirs else [RUN_FILE, _LOCK, _GIT_IGNORE]

    def claim(self, settings: dict, version: str, private: bool, files: RunFiles) -> None:
        """Start ``run.json``, or check that the folder holds this very run: only `files`."""
        if taken_up := (self.path / RUN_FILE).exists():
            content = self.content()
            found = {"version": content.get("version"), **content["settings"]}
            asked = {"version": version, **settings}
            for name in {**asked, **found}:
                if (old := found.get(name)) != (new := asked.get(name)):
                    raise InputError(
                        f"{self.path} holds a run with {name} {old!r}, not {new!r}; "
                        "choose another folder, or delete this one to start over."
                    )
        if odd := foreign(self.path, [*self.beside, *(files.all() if taken_up else ())]):
            raise InputError(
                f"{self.path} holds what is not of {'this' if taken_up else 'a'} run "
                f"({some(odd, 4)}); nothing in it was touched: use another folder, or move that."
            )
        if self.path.is_dir() and not any(self.path.iterdir()):
            self.path.chmod(0o700)
        private_folder(self.path)
        if private and not (self.path / _GIT_IGNORE).exists():  # real patients: before a manifest
            with atomic_path(self.path / _GIT_IGNORE) as temporary:
                temporary.write_bytes(_IGNORE_ALL)
        if not taken_up:
            self._write({"version": version, "settings": settings, "facts": {}, "finished": {}})

    def content(self) -> dict[str, Any]:
        """All of ``run.json``, or say that it is not ours."""
        path, parts = self.path / RUN_FILE, ("settings", "facts", "finished", "inputs")
        content = {"inputs": {}, **known} if isinstance(known := read_json(path), dict) else {}
        if all(isinstance(content.get(n), dict) for n in parts) and _has_no_nan(content):
            return known
        raise InputError(f"{path} is not of a run of ehrsynth; choose another folder.")

    def stale(self, stage: str, files: Iterable[str] | None = None) -> str:
        """Why what a stage has left, or these files of it, cannot be used, or nothing."""
        left = _left(content := self.content(), stage)
        if left is None:
            return "is not finished"
        if stage == "data" and content.get("digest") != _digest(content):
            return f"left other notes than those in {RUN_FILE}"
        if content["finished"][stage].get("made_of") != _before(content, stage):
            return "was made of other files than those that are there"
        for name in left if files is None else files:
            if not (self.path / name).is_file():
                return f"has lost {name}"
            if left.get(name) != sha256(self.path / name):
                return f"left another {name} than the one that is there"
        return ""

    def other_inputs(self, now: dict[str, str]) -> str:
        """Which inputs the run was not made of; where none is there any more, it stands."""
        before = self.noted("inputs") if now else {}
        changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        return f"was made of what has changed since ({some(changed, 3)})" if changed else ""

    def finish(self, stage: str, files: Iterable[str], **figures) -> None:
        """Note that a stage is done, what it took, and the SHA-256 of what it left."""
        hashes = {name: sha256(self.path / name) for name in files}
        left = {"files": hashes, "made_of": _before(self.content(), stage)}
        self.note(finished=self.noted("finished") | {stage: figures | left})

    def restart(self, stage: str, why: str) -> None:
        """Take back that a stage is done, and those that follow."""
        done = self.noted("finished")
        if stage in done:
            log.warning("%s %s: made again, and what follows.", stage.capitalize(), why)
            if stage == "data":
                self.remove(CHECKPOINT)
        before = list(STAGES)[: list(STAGES).index(stage)]
        self.note(finished={name: done[name] for name in before if name in done})

    def remove(self, name: str) -> None:
        """Remove every file of this name, and a folder that held nothing else."""
        for file in list(self.path.rglob(name)):
            file.unlink()
            if not any(file.parent.iterdir()):
                file.parent.rmdir()

    def leave_if_empty(self) -> None:
        """Remove what claimed the folder when the very first stage could not be finished."""
        if not self.noted("finished"):
            for name in self.beside:
                (self.path / name).unlink(missing_ok=True)
            if not any(self.path.iterdir()):
                self.path.rmdir()

    def noted(self, name: str) -> dict:
        """What ``run.json`` has under a name, such as "facts" or "finished"; else nothing."""
        return self.content().get(name, {})

    def note(self, **changes) -> None:
        """Put something into ``run.json``."""
        self._write(self.content() | changes)

    def _write(self, content: dict) -> None:
        content = json.loads(json.dumps(content))  # as it is read again
        write_json(content | {"digest": _digest(content)}, self.path / RUN_FILE)


def _has_no_nan(content: dict) -> bool:
    """Whether this can be written again as JSON, which knows no such numbers."""
    try:
        return bool(json.dumps(content, allow_nan=False))
    except ValueError:
        return False


def _left(content: dict, stage: str) -> dict[str, str] | None:
    """The SHA-256 of every file that a stage has left; None of one that is not finished."""
    noted = content["finished"].get(stage)
    files = noted.get("files") if isinstance(noted, dict) else None
    inside = isinstance(files, dict) and not any({"..", "/"} & {*Path(n).parts} for n in files)
    return files if inside else None


def _before(content: dict, stage: str) -> str:
    """The digest of all that the stages before this one have left."""
    names = list(STAGES)[: list(STAGES).index(stage)]
    return _digest({name: _left(content, name) for name in names})


def _digest(content: dict) -> str:
    """Of what a manifest says that is held against nothing else: settings, inputs and files are."""
    known = ("version", "settings", "inputs", "finished", "digest")
    said = {name: value for name, value in content.items() if name not in known}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
