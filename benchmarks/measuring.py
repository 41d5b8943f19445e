"""What the benchmarks of models share: values of metrics, without their references."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from ehrsynth.evaluation import PROFILES
from ehrsynth.evaluation.metric import Spec
from ehrsynth.evaluation.setting import with_references
from ehrsynth.schema import Schema
from ehrsynth.statistics import NotComputable

FRESH = "new patients of the same hospital"


def over_seeds(values: pd.Series, digits: int) -> str:
    """Median over the seeds, with the smallest and the largest in brackets if there are several."""
    middle, low, high = (f"{v:.{digits}f}" for v in (values.median(), values.min(), values.max()))
    return middle if len(values) == 1 else f"{middle} ({low} to {high})"


def measure(
    train: pd.DataFrame, holdout: pd.DataFrame, synthetic: pd.DataFrame, schema: Schema,
    specs: Iterable[Spec], profile: str, seed: int,
) -> dict[Spec, float]:  # fmt: skip
    """Value of each metric, NaN where it cannot be computed."""
    shared = [table[schema.names] for table in (train, holdout, synthetic)]
    scene = with_references(*shared, schema=schema, effort=PROFILES[profile], seed=seed)[
        "synthetic"
    ]
    values = {}
    for spec in specs:
        try:
            values[spec] = spec.evaluate(scene, seed).value
        except NotComputable:
            values[spec] = np.nan
    return values
