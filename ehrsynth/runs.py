"""Several models of the same patients, trained side by side."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import joblib
import numpy as np
import torch
from sklearn.base import clone

from .errors import InputError, check_count
from .model import EMRWGAN
from .preprocessing.matrix import Encoded


def fit_runs(
    model: EMRWGAN,
    encoded: Encoded,
    runs: int = 5,
    n_jobs: int | None = None,
    checkpoint_dir: str | Path | None = None,
    progress: bool = False,
) -> list[EMRWGAN]:
    """Train models that differ in their seed only.

    Two trainings give two models, and neither is best at everything. The tutorial trains five
    and ranks what they generate (doi 10.2196/52615); :func:`ehrsynth.rank` does that.

    Parameters
    ----------
    model : EMRWGAN
        What to train. It stays untrained itself.
    encoded : Encoded
        From ``Preprocessor.transform``.
    runs : int
        How many.
    n_jobs : int, optional
        How many at the same time, in processes of their own; -1 for one a core. By default what
        ``joblib.parallel_config`` says around this call, or one after the other.
    checkpoint_dir : path, optional
        Folder for a folder a run, ``1``, ``2`` and so on, each with its checkpoint. Started
        again, what is trained is not trained again, and the others go on.
    progress : bool
        Say how far the training is: a bar for each run, or one line a run when several are
        trained at the same time.

    Returns
    -------
    list of EMRWGAN
        By run. The seeds are :func:`run_seeds` of the model's. Each model is trained with one
        thread, so that it is the same wherever and beside whatever it is trained.

    Raises
    ------
    InputError
        For fewer than one run or job, and where a run fails, which it names.
    """
    seeds = run_seeds(model.seed, runs)
    if n_jobs == 0:
        raise InputError("n_jobs is 0; use 1 or more, or -1 for one a core.")
    alone = min(joblib.effective_n_jobs(n_jobs), runs) == 1
    return joblib.Parallel(n_jobs, verbose=10 if progress and not alone else 0)(
        joblib.delayed(_fit)(
            clone(model).set_params(seed=seed), encoded, f"Run {run} of {runs}", progress and alone,
            None if checkpoint_dir is None else Path(checkpoint_dir) / str(run),
        )
        for run, seed in enumerate(seeds, start=1)
    )  # fmt: skip


def run_seeds(seed: int, runs: int) -> list[int]:
    """The seeds of so many runs: first `seed` itself, then numbers that follow from it.

    So the first run is the model that one thread would train alone, and fewer runs are the first
    ones of more.
    """
    check_count("number of runs", runs)
    derived = (np.random.SeedSequence([seed, run]).generate_state(1) for run in range(1, runs))
    return [seed, *(int(state[0]) for state in derived)]


def _fit(
    model: EMRWGAN, encoded: Encoded, name: str, progress: bool, checkpoint_dir: Path | None
) -> EMRWGAN:
    if not encoded.values.flags.writeable:  # memory shared between processes; torch wants its own
        encoded = Encoded(encoded.values.copy(), encoded.layout)
    try:
        with _one_thread():
            return model.fit(encoded, progress=progress, checkpoint_dir=checkpoint_dir)
    except InputError as error:
        raise type(error)(f"{name} (seed {model.seed}): {error}") from error


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch with one thread: sums of floats depend on how many there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
