"""The report: what the metrics mean, for people (HTML, Markdown) and for programs (JSON)."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..errors import InputError
from ..files import atomic_path, read_json, write_json
from . import page
from .metric import Metric
from .verdict import Findings

METRICS_FILE, REPORT_FILE, CARD_FILE = "metrics.json", "report.html", "card.md"


@dataclass
class Report(Findings):
    """Every metric of one synthetic data set, what it says, and the files that say so."""

    def to_frame(self) -> pd.DataFrame:
        """One row a metric, missing numbers as NaN, with the level of its family's verdict."""
        levels = {family: verdict.level for family, verdict in self.verdicts().items()}
        rows = [m.to_dict() | {"verdict": levels.get(m.family)} for m in self.metrics]
        frame = pd.DataFrame(rows)
        numbers = ["value", "ci_low", "ci_high", "best", "worst", "share"]
        return frame.astype(dict.fromkeys(numbers, float))

    def to_dict(self) -> dict:
        """What ``metrics.json`` holds; a number that is not there is None."""
        names = (
            "settings", "rows", "columns", "left_out", "outside", "tried", "loss", "groups",
            "farthest", "fingerprints",
        )  # fmt: skip
        return {
            "verdicts": {
                family: {name: part for name, part in vars(verdict).items() if name != "sentences"}
                for family, verdict in self.verdicts().items()
            },
            "metrics": [m.to_dict() for m in self.metrics],
            **{name: getattr(self, name) for name in names},
            "absent": {name: float(f"{share:.9g}") for name, share in self.absent.items()},
            "overlap": self.overlap,
            "facts": page.plain(self.facts),
        }

    def to_html(self, pictures: bool = True) -> str:
        """The whole report as one HTML page that needs nothing else and no network.

        Parameters
        ----------
        pictures : bool
            False draws none, which is faster.
        """
        return page.render(self, pictures)

    def card(self) -> str:
        """The data-set card, in Markdown: one page that travels with the synthetic data."""
        return page.card(self)

    def _repr_html_(self) -> str:
        return page.table(self)

    @classmethod
    def load(cls, path: str | Path) -> "Report":
        """Read ``metrics.json`` back, for ranking and tables; there is nothing to draw from.

        Parameters
        ----------
        path : path
        """
        content = read_json(path)
        try:
            content.pop("verdicts")  # said again by what the numbers say
            metrics = [Metric(**metric) for metric in content.pop("metrics")]
            return cls(metrics=metrics, **content)
        except (AttributeError, LookupError, TypeError) as error:
            raise InputError(f"{path} holds no report of ehrsynth; make it again.") from error

    def save(self, folder: str | Path) -> None:
        """Write ``metrics.json``, ``report.html`` and ``card.md``.

        Parameters
        ----------
        folder : path
        """
        write_json(self.to_dict(), Path(folder) / METRICS_FILE)
        for name, text in {REPORT_FILE: self.to_html(), CARD_FILE: self.card()}.items():
            with atomic_path(Path(folder) / name) as temporary:
                temporary.write_text(text, encoding="utf-8")
