"""What the chapters need besides the package itself: setup, shared work, exercises."""

import copy
import dis
import logging
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .pipeline import Pipeline

# Names of the folders in EHRSYNTH_SHARED_DATA, for machines that hold the public files.
_SHARED_FOLDERS = {"mimic-iv-demo": "mimic-iv-demo-2.2", "diabetes130": "diabetes130"}


def setup() -> None:
    """Make pictures look alike in every chapter and keep library chatter out of the text."""
    from . import plots

    plots.use_style()
    logging.getLogger("ehrsynth").setLevel(logging.WARNING)
    # Warnings for the authors of libraries, not for a reader of the book.
    for kind in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
        warnings.filterwarnings("ignore", category=kind)


def workspace(
    dataset: str = "simulated", profile: str = "fast", seed: int = 0,
    data: str | Path | None = None,
) -> "Pipeline":  # fmt: skip
    """The pipeline that all chapters share, so that none repeats what another has made.

    Parameters
    ----------
    dataset, profile, seed : str or int
        The chapter's parameters; each combination has its own folder in ``EHRSYNTH_WORK``, or
        else in ``work`` beside you.
    data : path, optional
        Folder with the data set's files. Default: the data set's folder inside
        ``EHRSYNTH_SHARED_DATA`` when that is set, else what ``ehrsynth fetch`` downloads.
    """
    from .pipeline import Pipeline

    shared = os.environ.get("EHRSYNTH_SHARED_DATA")
    if data is None and shared and dataset in _SHARED_FOLDERS:
        data = Path(shared) / _SHARED_FOLDERS[dataset]
    out = Path(os.environ.get("EHRSYNTH_WORK") or "work", f"{dataset}-{profile}-{seed}")
    return Pipeline(out, dataset=dataset, data=data, profile=profile, seed=seed)


def say(text: str) -> None:
    """Show a sentence in Markdown, so that numbers in the text are computed, not typed.

    Parameters
    ----------
    text : str
    """
    from IPython.display import Markdown, display

    display(Markdown(text))


class Exercise:
    """An exercise that marks itself and never stops the notebook.

    ``judge(answer, rng)`` returns what is wrong, in words, or "". Each wrong answer brings one
    more of the hints, an untouched stub none.
    """

    def __init__(self, name: str, judge: Callable, hints: Sequence[str]) -> None:
        self.name, self.judge, self.hints, self.wrong = name, judge, hints, 0

    def check(self, answer: object) -> None:
        """Print whether this function or value is right, else what is wrong and the next hint."""
        if untouched(answer):
            print(f"{self.name}: still open. Write your answer and run this cell again.")
            return
        try:
            with np.errstate(all="ignore"):
                complaint = self.judge(answer, np.random.default_rng(list(self.name.encode())))
        except (Exception, SystemExit) as error:  # whatever the reader's code raises
            complaint = f"it stops with {type(error).__name__}: {error}"
        if not complaint:
            print(f"{self.name}: correct.")
            return
        self.wrong += 1
        lines = [f"Hint {k}: {hint}" for k, hint in enumerate(self.hints[: self.wrong], start=1)]
        print("\n  ".join([f"{self.name}: not yet: {complaint}", *lines]))


def untouched(answer: Any) -> bool:
    """Whether nothing was filled in: ``...``, a function of ``...``, a dict of nothing else."""
    if isinstance(answer, dict):
        return all(map(untouched, answer.values()))
    if not hasattr(answer, "__code__"):
        return answer is None or answer is ...
    steps = [s for s in dis.get_instructions(answer) if s.opname not in ("RESUME", "NOP")]
    empty = all(s.opname.endswith("_VALUE") or s.argval is None for s in steps)
    return empty and set(answer.__code__.co_consts) <= {None, ..., answer.__doc__}


def alike(a: Any, b: Any) -> bool:
    """Whether an answer says what the solution `b` says, in whatever type, case or order."""
    if isinstance(a, dict) and hasattr(b, "keys"):
        b = dict(b)
    if isinstance(b, dict):
        return set(dict(a)) == set(b) and all(alike(a[key], b[key]) for key in b)
    if all(hasattr(v, "reindex_like") for v in (a, b)) and a.ndim == b.ndim:
        if any(set(one) != set(other) for one, other in zip(a.axes, b.axes, strict=True)):
            return False
        a = a.reindex_like(b)
    x, y = (np.squeeze(np.asarray(getattr(v, "detach", lambda v=v: v)())) for v in (a, b))
    if x.shape != y.shape:
        return False
    try:
        return bool(np.allclose(x.astype(float), y.astype(float), 1e-4, 1e-6, equal_nan=True))
    except (TypeError, ValueError):
        return [str(v).strip().lower() for v in x.flat] == [str(v).lower() for v in y.flat]


def compare(solution: Callable, cases: Callable, mistakes: dict[str, Callable]) -> Callable:
    """A judge: the answer does what the solution does on ``cases(rng)``, a list of arguments.

    Each mistake is a function that makes it, under what is said to an answer that does the same.
    """

    def judge(answer: Callable, rng: np.random.Generator) -> str:
        given = cases(rng)

        def made(function: Callable) -> list:
            return [function(*copy.deepcopy(case)) for case in given]

        got, solved = made(answer), made(solution)
        same = [alike(*pair) for pair in zip(got, solved, strict=True)]
        if all(same):
            return ""
        for says, mistake in mistakes.items():
            if all(alike(*pair) for pair in zip(got, made(mistake), strict=True)):
                return says
        one, other = (repr(answers[same.index(False)])[:120] for answers in (got, solved))
        return f"for a case that you have not seen it gives {one} where {other} is right."

    return judge


def choices(solution: dict, says: dict[str, str], also: dict[str, str] | None = None) -> Callable:
    """A judge of a dict of choices; of the first wrong one it says why. `also`: synonyms."""
    words = {"yes": "true", "1": "true", "no": "false", "0": "false"} | (also or {})

    def judge(answer: dict, rng: np.random.Generator) -> str:
        if not isinstance(answer, dict) or set(answer) != set(solution):
            return "please keep the dictionary and its keys as they are."
        said = {key: str(value).strip().lower() for key, value in answer.items()}
        bad = [k for k in solution if words.get(said[k], said[k]) != str(solution[k]).lower()]
        right = f"{len(solution) - len(bad)} of {len(solution)} are right."
        return f"{right} {bad[0]}: {says[bad[0]]}" if bad else ""

    return judge
