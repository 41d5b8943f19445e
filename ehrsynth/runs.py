"""Several models of the same patients, trained side by side."""

import os
import threading
import time
from pathlib import Path

import joblib
import numpy as np
import torch
from sklearn.base import clone

from .errors import InputError, check_count
from .files import temporary_folder
from .model import EMRWGAN
from .preprocessing.matrix import Encoded


def fit_runs(
    model: EMRWGAN, encoded: Encoded, runs: int = 5, n_jobs: int | None = None,
    checkpoint_dir: str | Path | None = None, progress: bool = False,
) -> list[EMRWGAN]:  # fmt: skip
    """Train models that differ in their seed only, as the tutorial does (doi 10.2196/52615).

    Each is trained with one thread, so that it is the same beside whatever it is trained.

    Parameters
    ----------
    model, encoded : EMRWGAN, Encoded
        What to train, which stays untrained itself; and on whom.
    runs : int
        How many; the seeds are :func:`run_seeds` of the model's.
    n_jobs : int, optional
        How many at the same time, in processes of their own; -1 for one a core. By default what
        ``joblib.parallel_config`` says around this call, or one after the other.
    checkpoint_dir : path, optional
        For a folder a run, each with its checkpoint: started again, a training goes on.
    progress : bool
        A bar for each run, or one line a run when several are trained at the same time.
    """
    seeds = run_seeds(model.seed, runs)
    if n_jobs == 0:
        raise InputError("n_jobs is 0; use 1 or more, or -1 for one a core.")
    alone = min(joblib.effective_n_jobs(n_jobs), runs) == 1
    verbose = 10 if progress and not alone else 0
    # In a folder of joblib's own others could see what the workers are handed.
    return joblib.Parallel(n_jobs, verbose=verbose, temp_folder=str(temporary_folder()))(
        joblib.delayed(_fit)(
            clone(model).set_params(seed=seed), encoded, f"Run {run} of {runs}", progress and alone,
            None if checkpoint_dir is None else Path(checkpoint_dir) / str(run), os.getpid(),
        )
        for run, seed in enumerate(seeds, start=1)
    )  # fmt: skip


def run_seeds(seed: int, runs: int) -> list[int]:
    """First `seed` itself, then numbers that follow from it: fewer runs are the first of more."""
    check_count("number of runs", runs)
    derived = (np.random.SeedSequence([seed, run]).generate_state(1) for run in range(1, runs))
    return [seed, *(int(state[0]) for state in derived)]


def _fit(
    model: EMRWGAN, encoded: Encoded, name: str, progress: bool, checkpoint_dir: Path | None,
    parent: int,
) -> EMRWGAN:  # fmt: skip
    if os.getpid() != parent:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    if not encoded.values.flags.writeable:  # memory shared between processes; torch wants its own
        encoded = Encoded(encoded.values.copy(), encoded.layout)
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # sums of floats depend on how many there are
    try:
        return model.fit(encoded, progress=progress, checkpoint_dir=checkpoint_dir)
    except InputError as error:
        raise type(error)(f"{name} (seed {model.seed}): {error}") from error
    finally:
        torch.set_num_threads(before)


def _end_with(parent: int) -> None:
    """End this process when the one that started it is gone, which may have been killed."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
