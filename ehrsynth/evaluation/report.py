"""The report: what the metrics mean, for people (HTML, Markdown) and for programs (JSON)."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..files import atomic_path, read_json, write_json
from . import page
from .metric import Metric
from .verdict import Findings

METRICS_FILE, REPORT_FILE, CARD_FILE = "metrics.json", "report.html", "card.md"


@dataclass
class Report(Findings):
    """Every metric of one synthetic data set, what it says, and the files that say so."""

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
            "outside": self.outside,
            "absent": {name: float(f"{share:.9g}") for name, share in self.absent.items()},
            "overlap": self.overlap,
            "facts": {str(k): page.plain(v) for k, v in self.facts.items()},
        }

    def to_html(self, pictures: bool = True) -> str:
        """The whole report as one HTML page, drawn unless `pictures` is False."""
        return page.render(self, pictures)

    def card(self) -> str:
        """The data-set card, in Markdown: one page that travels with the synthetic data."""
        return page.card(self)

    def _repr_html_(self) -> str:
        return page.table(self)

    @classmethod
    def load(cls, path: str | Path) -> "Report":
        """Read ``metrics.json`` back, for ranking and tables; there is nothing to draw from."""
        content = read_json(path)
        metrics = [Metric(**metric) for metric in content.pop("metrics")]
        return cls(metrics=metrics, **content)

    def save(self, folder: str | Path) -> None:
        """Write ``metrics.json``, ``report.html`` and ``card.md`` into `folder`."""
        self.save_json(Path(folder) / METRICS_FILE)
        self.save_html(Path(folder) / REPORT_FILE)
        _write(self.card(), Path(folder) / CARD_FILE)

    def save_json(self, path: str | Path) -> None:
        """Write the metrics as JSON; a number that is not there is null."""
        write_json(self.to_dict(), path)

    def save_html(self, path: str | Path) -> None:
        """Write the report as one HTML file that needs nothing else and no network."""
        _write(self.to_html(), path)


def _write(text: str, path: str | Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
