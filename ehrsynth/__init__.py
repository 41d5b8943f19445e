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
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from .cohort import split
from .datasets import DATASETS, build_patients, describe, load
from .errors import InputError
from .schema import Column, Schema
from .sources.fetch import fetch

try:
    __version__ = version("ehrsynth")
except PackageNotFoundError:  # a clone that is on the path but not installed
    __version__ = "0+unknown"

# Torch, scikit-learn, LightGBM and Matplotlib take seconds to import: only who asks for them waits.
_LAZY = {
    "Encoded": "ehrsynth.preprocessing.matrix",
    "Preprocessor": "ehrsynth.preprocessing.encode",
    "postprocess": "ehrsynth.generation.decode",
    "EMRWGAN": "ehrsynth.model",
    "Recipe": "ehrsynth.gan.recipe",
    "evaluate": "ehrsynth.evaluation",
    "rank": "ehrsynth.evaluation",
    "Report": "ehrsynth.evaluation",
    "Pipeline": "ehrsynth.pipeline",
    "generate": "ehrsynth.stream",
}

__all__ = [
    "DATASETS",
    "Column",
    "InputError",
    "Schema",
    "build_patients",
    "describe",
    "fetch",
    "load",
    "split",
    *_LAZY,
]


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'ehrsynth' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
