"""The report: what the metrics mean, for people (HTML, Markdown) and for programs (JSON)."""

import base64
import io
from dataclasses import dataclass, fields
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, select_autoescape

from .. import __version__, plots
from ..errors import InputError, some
from ..files import atomic_path, read_json, write_json
from ..protection import LEAST_PATIENTS, told
from ..schema import Schema
from .metric import Metric, number_text
from .privacy.success import ALARMS
from .verdict import FAMILIES, SENTENCES, TOLD_APART, Findings, level_of

METRICS_FILE = "metrics.json"
REPORT_FILE = "report.html"
CARD_FILE = "card.md"
_NUMBERS = ["value", "ci_low", "ci_high", "best", "worst", "share"]
_COMPUTED_WITH = ("numpy", "pandas", "scipy", "scikit-learn", "lightgbm")
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=select_autoescape(),
    trim_blocks=True, lstrip_blocks=True,
)  # fmt: skip


@dataclass
class Report(Findings):
    """Every metric of one synthetic data set, what it says, and the files that say so."""

    def to_frame(self) -> pd.DataFrame:
        """One row a metric, missing numbers as NaN, with the level of its family's verdict."""
        levels = {family: verdict.level for family, verdict in self.verdicts().items()}
        rows = [m.to_dict() | {"verdict": levels.get(m.family)} for m in self.metrics]
        return pd.DataFrame(rows).astype(dict.fromkeys(_NUMBERS, float))

    def to_dict(self) -> dict:
        """What ``metrics.json`` holds; a number that is not there is None."""
        said = {
            family: {name: part for name, part in vars(verdict).items() if name != "sentences"}
            for family, verdict in self.verdicts().items()
        }
        kept = {field.name: getattr(self, field.name) for field in fields(self) if field.repr}
        metrics = [m.to_dict() for m in self.metrics]
        return {"verdicts": said} | kept | {"metrics": metrics, "facts": plain(self.facts)}

    def to_html(self, pictures: bool = True) -> str:
        """The whole report as one HTML page that needs nothing else and no network.

        Parameters
        ----------
        pictures : bool
            False draws none, which is faster.
        """
        lists = {name: rows for name, rows in plain(self.facts).items() if isinstance(rows, list)}
        versions = [f"ehrsynth {__version__}", *(f"{n} {version(n)}" for n in _COMPUTED_WITH)]
        return _fill(
            "report.html", self, pictures=_pictures(self) if pictures else {}, lists=lists,
            track=_track, some=some, alarms=ALARMS, told_apart=TOLD_APART,
            today=date.today().isoformat(), versions=", ".join(versions),
        )  # fmt: skip

    def card(self) -> str:
        """The data-set card, in Markdown: one page that travels with the synthetic data."""
        of_run = "training patients" in self.facts  # whose files may not be changed by hand
        unknown = "tell ehrsynth release" if of_run else "write it here before you pass the data on"
        return _fill("card.md", self, unknown=f"not stated: {unknown}") + "\n"

    def _repr_html_(self) -> str:
        return _fill("table.html", self)

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


def plain(value: Any) -> Any:
    """Numbers, text, and lists and dicts of them, as JSON knows them.

    How many rows of real patients a finding is about is said from five on.
    """
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        value = {str(name): plain(one) for name, one in value.items()}
        rows = value.get("rows")
        if isinstance(rows, int) and value.get("table", "synthetic") != "synthetic":
            value["rows"] = rows if rows >= LEAST_PATIENTS else told(rows)
            if value.get("of", LEAST_PATIENTS) < LEAST_PATIENTS:  # no more than that is known
                value["of"] = ""
        return value
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if isinstance(value, int | float | str | bool | None) else str(value)


def _track(metric: Metric) -> dict | None:
    """Where the dot and the interval are on the line from worst (0) to best (100)."""
    if metric.share is None or metric.best is None or metric.worst is None:
        return None
    span = metric.best - metric.worst
    ends = [metric.value if b is None else b for b in (metric.ci_low, metric.ci_high)]
    low, high = sorted((float(end or 0) - metric.worst) / span for end in ends)
    dot, low, high = (100 * float(np.clip(x, 0, 1)) for x in (metric.share, low, high))
    return {"dot": dot, "low": low, "width": high - low, "level": level_of(metric.share)}


def _pictures(found: Findings) -> dict[str, list[dict]]:
    """By family, pictures as base64 PNG with caption and alternative text."""
    if not found.tables:
        return {}
    train, synthetic = found.tables["train"], found.tables["synthetic"]
    pictures: dict[str, list[dict]] = {"fidelity": [], "utility": [], "privacy": []}

    def add(family: str, caption: str, drawn) -> None:
        figure = getattr(drawn, "figure", drawn)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
        plt.close(figure)
        data = base64.b64encode(buffer.getvalue()).decode()
        pictures[family].append({"data": data, "caption": SENTENCES[caption]})

    schema = Schema.of(train)
    if schema.of_kind("binary"):
        add("fidelity", "prevalence", plots.prevalence(train, synthetic))
    if schema.of_kind("continuous"):
        add("fidelity", "distributions", plots.distributions(train, synthetic))
    if schema.time and schema.outcome:
        add("fidelity", "survival", plots.survival(found.tables))
    if any(found.farthest.values()):
        add("fidelity", "farthest", plots.farthest(**found.farthest))
    if found.predictions:
        curves = {f"{name} training data": xy for name, xy in found.predictions.items()}
        add("utility", "roc", plots.roc(curves))
    if found.nearest is not None:
        add("privacy", "distances", plots.distances(*found.nearest))
    return pictures


def _fill(template: str, found: Findings, **values) -> str:
    """A template beside this module, filled with the verdicts and these values."""
    return _TEMPLATES.get_template(template).render(
        report=found, answer=found.answer(), verdicts=found.verdicts(), advice=found.advice(),
        facts=plain(found.facts), families=FAMILIES, number=number_text,
        size=lambda role: f"{found.rows.get(role, 0):,}", **values,
    )  # fmt: skip
