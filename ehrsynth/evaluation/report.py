"""The report: what the metrics mean, for people (HTML) and for programs (JSON)."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ..files import write_json
from .metric import Metric


@dataclass
class Report:
    """Every metric of one synthetic data set.

    Attributes
    ----------
    metrics : list of Metric
    facts : dict
        Known figures of the source.
    settings, rows : dict
        Seed and profile; number of patients of each table.
    columns : list of str
        The columns that were compared.
    left_out : dict of str to list of str
        By table, the columns that were not.
    tables, nearest, predictions
        What the pictures are drawn from; absent in a report that was loaded from JSON.
    """

    metrics: list[Metric]
    facts: dict = field(default_factory=dict)
    settings: dict = field(default_factory=dict)
    rows: dict = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    left_out: dict = field(default_factory=dict)
    tables: dict = field(default_factory=dict, repr=False)
    nearest: tuple | None = field(default=None, repr=False)
    predictions: dict = field(default_factory=dict, repr=False)

    def __getitem__(self, key: str | tuple[str, str]) -> Metric:
        """A metric by its name (the corrected form where there are two) or (name, form)."""
        name, form = key if isinstance(key, tuple) else (key, None)
        found = [m for m in self.metrics if m.name == name and form in (None, m.form)]
        if not found:
            raise KeyError(key)
        return min(found, key=lambda m: m.form)  # "corrected" comes before "published"

    def to_frame(self) -> pd.DataFrame:
        """One row a metric, missing numbers as NaN."""
        frame = pd.DataFrame([m.to_dict() for m in self.metrics])
        numbers = ["value", "ci_low", "ci_high", "best", "worst", "share"]
        return frame.astype(dict.fromkeys(numbers, float))

    def to_dict(self) -> dict:
        """What ``metrics.json`` holds."""
        return {
            "metrics": [m.to_dict() for m in self.metrics],
            "settings": self.settings,
            "rows": self.rows,
            "columns": self.columns,
            "left_out": self.left_out,
            "facts": {str(k): _plain(v) for k, v in self.facts.items()},
        }

    def save_json(self, path: str | Path) -> None:
        """Write the metrics as JSON; a number that is not there is null."""
        write_json(self.to_dict(), path)


def _plain(value):
    """A number or text that JSON knows."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if isinstance(value, int | float | str | bool | None) else str(value)
