"""What the chapters need besides the package itself: setup, shared work, exercises."""

import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

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


def work_folder() -> Path:
    """Where chapters keep what they make: ``EHRSYNTH_WORK``, else ``work`` beside you."""
    return Path(os.environ.get("EHRSYNTH_WORK") or "work")


def workspace(
    dataset: str = "simulated", profile: str = "fast", seed: int = 0,
    data: str | Path | None = None,
) -> "Pipeline":  # fmt: skip
    """The pipeline that all chapters share, so that none repeats what another has made.

    Parameters
    ----------
    dataset, profile, seed : str or int
        The chapter's parameters; each combination has its own folder.
    data : path, optional
        Folder with the data set's files. Default: the data set's folder inside
        ``EHRSYNTH_SHARED_DATA`` when that is set, else what ``ehrsynth fetch`` downloads.
    """
    from .pipeline import Pipeline

    shared = os.environ.get("EHRSYNTH_SHARED_DATA")
    if data is None and shared and dataset in _SHARED_FOLDERS:
        data = Path(shared) / _SHARED_FOLDERS[dataset]
    out = work_folder() / f"{dataset}-{profile}-{seed}"
    return Pipeline(out, dataset=dataset, data=data, profile=profile, seed=seed)


def say(text: str) -> None:
    """Show a sentence in Markdown, so that numbers in the text are computed, not typed.

    Parameters
    ----------
    text : str
    """
    from IPython.display import Markdown, display

    display(Markdown(text))


def check(name: str, test: Callable[[], object], hint: str = "") -> None:
    """Say whether an exercise is solved. Never stops the notebook.

    Parameters
    ----------
    name : str
        What the reader sees, e.g. "Exercise 1".
    test, hint : callable, str
        Solved when it returns something true, an error is not; what to try next.
    """
    try:
        solved, reason = bool(test()), ""
    except AssertionError as error:
        solved, reason = False, str(error)
    except Exception as error:  # whatever the reader's code raises is part of the exercise
        solved, reason = False, f"{type(error).__name__}: {error}"
    if solved:
        print(f"{name}: correct.")
        return
    print(" ".join(part for part in (f"{name}: not yet.", hint) if part))
    if reason:
        print(f"  (What the check met: {reason})")
