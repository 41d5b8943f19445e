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

from .errors import InputError
from .schema import Column, Schema

try:  # TEMPORARY while modules are being written (final version will import plainly)
    from .postprocess import postprocess
except ImportError:
    pass

try:
    __version__ = version("ehrsynth")
except PackageNotFoundError:  # a clone that is on the path but not installed
    __version__ = "0+unknown"

# Torch, LightGBM and Matplotlib take seconds to import: only who asks for them waits.
_LAZY = {
    "build_patients": "ehrsynth.cohort", "split": "ehrsynth.cohort",
    "DATASETS": "ehrsynth.datasets", "describe": "ehrsynth.datasets", "fetch": "ehrsynth.datasets", "load": "ehrsynth.datasets",
    "Encoded": "ehrsynth.preprocess", "Preprocessor": "ehrsynth.preprocess",
    "EMRWGAN": "ehrsynth.gan",
    "Recipe": "ehrsynth.gan",
    "evaluate": "ehrsynth.evaluation",
    "rank": "ehrsynth.evaluation",
    "Report": "ehrsynth.evaluation",
    "Pipeline": "ehrsynth.pipeline",
    "generate": "ehrsynth.pipeline",
}

def __getattr__(name: str):
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'ehrsynth' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
