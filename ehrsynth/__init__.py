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

import ast
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

try:
    __version__ = version("ehrsynth")
except PackageNotFoundError:  # a clone that is on the path but not installed
    __version__ = "0+unknown"

# What there is stands once, in the stub that editors and type checkers read, too.
_STUB = ast.parse(Path(__file__).with_suffix(".pyi").read_text("utf-8"))
_LISTED = [line for line in _STUB.body if isinstance(line, ast.ImportFrom)]
_HOME = {name.name: str(line.module) for line in _LISTED for name in line.names}
__all__ = sorted(_HOME)


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
