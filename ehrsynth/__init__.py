"""ehrsynth: synthetic electronic health records with GANs, a tutorial and its helper package.

The package reads like the tutorial::

    import ehrsynth as es
    tables = es.load("simulated", patients=20_000, seed=0)
    patients = es.build_patients(tables)
    train, holdout = es.split(patients, seed=0)
    prep = es.Preprocessor().fit(train)
    gan = es.EMRWGAN(seed=0).fit(prep.transform(train))
    synthetic = es.postprocess(gan.sample(len(train)), prep)
    report = es.evaluate(train, holdout, synthetic)

Each name comes from its module when it is asked for: only to train and to sample takes PyTorch.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cohort import split
    from .datasets import DATASETS, build_patients, describe, load
    from .errors import InputError
    from .evaluation.choose import rank
    from .evaluation.judge import evaluate
    from .evaluation.report import Report
    from .gan.recipe import Recipe
    from .generation.decode import postprocess
    from .model import EMRWGAN
    from .pipeline import Pipeline
    from .preprocessing.encode import Preprocessor
    from .preprocessing.matrix import Encoded
    from .runs import fit_runs
    from .schema import Column, Schema
    from .sources.fetch import fetch
    from .stream import generate

try:
    __version__ = version("ehrsynth")
except PackageNotFoundError:  # a clone that is on the path but not installed
    __version__ = "0+unknown"

_NAMES = {
    "cohort": "split", "datasets": "DATASETS build_patients describe load", "errors": "InputError",
    "evaluation.choose": "rank", "evaluation.judge": "evaluate", "evaluation.report": "Report",
    "gan.recipe": "Recipe", "generation.decode": "postprocess", "model": "EMRWGAN",
    "pipeline": "Pipeline", "preprocessing.encode": "Preprocessor",
    "preprocessing.matrix": "Encoded", "runs": "fit_runs", "schema": "Column Schema",
    "sources.fetch": "fetch", "stream": "generate",
}  # fmt: skip
_HOME = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = [
    "DATASETS", "EMRWGAN", "Column", "Encoded", "InputError", "Pipeline", "Preprocessor", "Recipe",
    "Report", "Schema", "build_patients", "describe", "evaluate", "fetch", "fit_runs", "generate",
    "load", "postprocess", "rank", "split",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ehrsynth' has no attribute {name!r}")
    try:
        return getattr(import_module(f"ehrsynth.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "safetensors"):
            raise
        from .errors import InputError

        raise InputError(
            'To train and to sample takes PyTorch: pip install "ehrsynth[gan]" '
            "(on Linux without a graphics card first: uv pip install --torch-backend=cpu torch)."
        ) from error


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
