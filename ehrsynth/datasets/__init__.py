"""The sources of data: every one yields the same few hospital tables, or one flat table."""

from pathlib import Path

import pandas as pd

from ..errors import InputError
from . import mimic_iv, simulated

DATASETS = ("simulated", "mimic-iv-demo", "mimic-iv", "diabetes130", "table")


def load(name: str, data: str | Path | None = None, **options) -> dict[str, pd.DataFrame]:
    if name == "simulated":
        return simulated.load(**options)
    if name.startswith("mimic"):
        return mimic_iv.load(data)
    raise InputError(f"Unknown data set {name!r}; use one of {', '.join(DATASETS)}.")
