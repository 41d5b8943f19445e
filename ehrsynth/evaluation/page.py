"""The report as one HTML page that needs nothing else and no network, and as a page of Markdown."""

import base64
import io
from datetime import date
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from .. import plots
from ..errors import some
from ..protection import LEAST_PATIENTS, told
from ..schema import Schema
from .metric import Metric, number_text
from .privacy.success import ALARMS
from .verdict import FAMILIES, SENTENCES, TOLD_APART, Findings, level_of


def render(found: Findings, pictures: bool = True) -> str:
    """The whole report in HTML, drawn unless `pictures` is False."""
    facts = plain(found.facts)
    lists = {name: value for name, value in facts.items() if isinstance(value, list)}
    return _fill(
        "report.html", found, pictures=_pictures(found) if pictures else {}, lists=lists,
        facts={name: value for name, value in facts.items() if name not in lists},
        number=number_text, track=_track, some=some,
        alarms=ALARMS, told_apart=TOLD_APART, today=date.today().isoformat(), versions=_versions(),
    )  # fmt: skip


def card(found: Findings) -> str:
    """The data-set card, in Markdown: one page that travels with the synthetic data."""
    of_run = "training patients" in found.facts  # whose files may not be changed by hand
    unknown = "not stated: " + (
        "tell ehrsynth release" if of_run else "write it here before you pass the data on"
    )
    return _fill("card.md", found, facts=plain(found.facts), unknown=unknown)


def table(found: Findings) -> str:
    """The metrics that can be believed as a short HTML table, for a notebook."""
    return _fill("table.html", found, number=number_text)


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


def _versions() -> str:
    """Versions of what computed the numbers."""
    known = []
    for name in ("ehrsynth", "numpy", "pandas", "scipy", "scikit-learn", "lightgbm"):
        try:
            known.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            known.append(f"{name} (not installed as a package)")
    return ", ".join(known)


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

    if Schema.of(train).of_kind("binary"):
        add("fidelity", "prevalence", plots.prevalence(train, synthetic))
    if Schema.of(train).of_kind("continuous"):
        add("fidelity", "distributions", plots.distributions(train, synthetic))
    if Schema.of(train).time and Schema.of(train).outcome:
        add("fidelity", "survival", plots.survival(found.tables))
    if found.farthest.get("columns") or found.farthest.get("pairs"):
        add("fidelity", "farthest", plots.farthest(**found.farthest))
    if found.predictions:
        curves = {f"{name} training data": xy for name, xy in found.predictions.items()}
        add("utility", "roc", plots.roc(curves))
    if found.nearest is not None:
        add("privacy", "distances", plots.distances(*found.nearest))
    return pictures


def _fill(template: str, found: Findings, **values) -> str:
    """A template beside this module, filled with the verdicts and these values."""
    return _template(template).render(
        report=found, answer=found.answer(), verdicts=found.verdicts(), advice=found.advice(),
        families=FAMILIES, size=lambda role: f"{found.rows.get(role, 0):,}", **values,
    )  # fmt: skip


@cache
def _template(name: str):
    from jinja2 import Environment

    html = name.endswith(".html")
    text = files(__package__).joinpath(name).read_text(encoding="utf-8")
    return Environment(
        autoescape=html, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=not html
    ).from_string(text)
