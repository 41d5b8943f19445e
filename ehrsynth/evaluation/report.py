"""The report: what the metrics mean, for people (HTML) and for programs (JSON)."""

import base64
import io
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd

from ..files import atomic_path, read_json, write_json
from ..schema import Schema
from .metric import Metric

FAMILIES = {
    "fidelity": "Does it look like real patients?",
    "utility": "Can one learn from it?",
    "privacy": "Are the patients protected?",
    "fairness": "Is it right for every group?",
}

# A privacy metric calls for care, or for not releasing, when the low end of its interval lies
# above these values: chance alone hardly reaches them.
ALARMS = {
    "membership_inference": (0.51, 0.55),
    "membership_inference_at_1_percent": (0.015, 0.05),
    "membership_of_most_exposed": (0.51, 0.55),
    "membership_by_subgroup": (0.51, 0.55),
    "density_ratio_attack": (0.51, 0.55),
    "attribute_inference": (0.02, 0.10),
    "meaningful_identity_disclosure": (0.005, 0.02),
    "nearest_neighbor_adversarial_accuracy": (0.02, 0.10),
    "closer_to_train": (0.52, 0.60),
    "holdout_exposure": (0.51, 0.55),
    "nearest_neighbor_distance_ratio": (0.52, 0.60),
    "near_copies": (0.005, 0.05),
    "singling_out": (0.02, 0.10),
    "linkability": (0.02, 0.10),
    "inference": (0.02, 0.10),
}
# So well a classifier tells held-out from used patients only if they were not parted by chance.
UNLIKE = 0.7
COPIES_ALARM = (0.002, 0.05)  # above the share that held-out patients have by chance

METRICS_FILE, REPORT_FILE, CARD_FILE = "metrics.json", "report.html", "card.md"


@dataclass
class Verdict:
    """What one family of metrics says, in words."""

    level: str  # "good", "care", "bad" or "unknown"
    headline: str
    sentences: list[str] = field(default_factory=list)


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
    outside : dict of str to dict of str to int
        By table and column, values outside the plausible bounds, taken as not measured.
    absent : dict of str to float
        Codes and categories that no synthetic patient has, and the share of train that does.
    overlap : int
        Held-out patients who are in train too.
    tables, nearest, predictions
        What the pictures are drawn from; absent in a report that was loaded from JSON.
    """

    metrics: list[Metric]
    facts: dict = field(default_factory=dict)
    settings: dict = field(default_factory=dict)
    rows: dict = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    left_out: dict = field(default_factory=dict)
    outside: dict = field(default_factory=dict)
    absent: dict = field(default_factory=dict)
    overlap: int = 0
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

    def of(self, family: str) -> list[Metric]:
        """A family's metrics as they can be believed: each once, corrected where there are two."""
        names = dict.fromkeys(m.name for m in self.metrics if m.family == family)
        return [self[name] for name in names]

    def to_frame(self) -> pd.DataFrame:
        """One row a metric, missing numbers as NaN."""
        frame = pd.DataFrame([m.to_dict() for m in self.metrics])
        numbers = ["value", "ci_low", "ci_high", "best", "worst", "share"]
        return frame.astype(dict.fromkeys(numbers, float))

    # -- files -------------------------------------------------------------------------

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
            "facts": {str(k): _plain(v) for k, v in self.facts.items()},
        }

    def save_json(self, path: str | Path) -> None:
        """Write the metrics as JSON; a number that is not there is null."""
        write_json(self.to_dict(), path)

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
        with atomic_path(Path(folder) / CARD_FILE) as temporary:
            temporary.write_text(self.card(), encoding="utf-8")

    def save_html(self, path: str | Path) -> None:
        """Write the report as one HTML file that needs nothing else and no network."""
        with atomic_path(path) as temporary:
            temporary.write_text(self.to_html(), encoding="utf-8")

    def to_html(self, pictures: bool = True) -> str:
        """The whole report as one HTML page, drawn unless `pictures` is False."""
        return _template().render(
            report=self, answer=self.answer(), verdicts=self.verdicts(), advice=self.advice(),
            families=FAMILIES,
            pictures=_pictures(self) if pictures else {},
            number=_number, interval=_interval, track=_track, left_out=_left_out(self),
            tag=self._tag, lists={k: v for k, v in self.facts.items() if isinstance(v, list)},
            facts={k: _plain(v) for k, v in self.facts.items() if not isinstance(v, list)},
        )  # fmt: skip

    def _repr_html_(self) -> str:
        rows = []
        for family in FAMILIES:
            for m in self.of(family):
                way = "" if m.share is None else f"{100 * np.clip(m.share, 0, 1):.0f} %"
                rows.append(
                    [family, m.title, _number(m.value), _interval(m), _number(m.best),
                     _number(m.worst), way]
                )  # fmt: skip
        names = ["family", "metric", "value", "95 % interval", "best", "worst", "way to best"]
        return pd.DataFrame(rows, columns=names).to_html(index=False, border=0)

    def card(self) -> str:
        """The data-set card, in Markdown: one page that travels with the synthetic data."""
        return _card(self)

    def _tag(self, metric: Metric) -> str:
        """How a metric's form is called in the report."""
        forms = {m.form for m in self.metrics if m.name == metric.name}
        if metric.form == "published":
            return "as published"
        return "corrected" if len(forms) == 2 else "added"

    # -- words -------------------------------------------------------------------------

    def answer(self) -> list[str]:
        """The first sentences of the report: what this data may be used for."""
        return _answer(self, self.verdicts())

    def verdicts(self) -> dict[str, Verdict]:
        """By family, the answer in words."""
        verdicts = {
            "fidelity": _fidelity(self),
            "utility": _utility(self),
            "privacy": _privacy(self),
        }
        if any(m.value is not None for m in self.of("fairness")):
            verdicts["fairness"] = _fairness(self)
        return verdicts

    def advice(self) -> dict[str, list[str]]:
        """What the data is good for and what not, as sentences."""
        return _advice(self, self.verdicts())


# -- the answer in words -------------------------------------------------------------------


def _find(report: Report, name: str) -> Metric | None:
    try:
        metric = report[name]
    except KeyError:
        return None
    return metric if metric.value is not None else None


def _shares(report: Report, family: str) -> list[float]:
    """How far each metric has come that can tell best from worst, between 0 and 1."""
    shares = [m.share for m in report.of(family) if m.share is not None]
    return np.clip(shares, 0, 1).tolist()


def _doubts(report: Report) -> list[str]:
    """Why the held-out patients are no reference, as sentences; then no number can be believed."""
    doubts = []
    if report.overlap:
        doubts.append(
            f"{report.overlap:,} of the {report.rows.get('holdout', 0):,} held-out patients are "
            "among the used ones; the references cannot be trusted."
        )
    exposed = _find(report, "holdout_exposure")
    if exposed and _alarm(report, exposed) == 2:
        doubts.append(
            "The holdout itself is in the synthetic data; the references cannot be trusted."
        )
    test = _find(report, "classifier_two_sample_test")
    if test and (test.best or 0) > UNLIKE:
        doubts.append(
            "The held-out patients are not like the used ones: a classifier tells them apart with "
            f"an AUROC of {test.best:.2f}; the references cannot be trusted."
        )
    return doubts


def _listed(names: list[str], most: int = 6) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _fidelity(report: Report) -> Verdict:
    doubts = _doubts(report)
    if doubts:
        return Verdict("unknown", "Cannot be judged with these held-out patients", doubts)
    shares = _shares(report, "fidelity")
    if len(shares) < 3:
        return Verdict(
            "unknown", "Too few patients to say",
            [
                "On tables this small, hardly any number tells real patients from columns that "
                "were drawn independently."
            ],
        )  # fmt: skip
    way = float(np.mean(shares))
    behind = [m for m in report.of("fidelity") if m.notices]
    # A mean hides the one thing that is badly wrong.
    half_way = all(m.share is None or m.share >= 0.5 for m in behind)
    whole = half_way and not report.absent
    level = "good" if way >= 0.85 and whole else "care" if way >= 0.5 else "bad"
    headline = {
        "good": "Close to real patients",
        "care": "Roughly like real patients",
        "bad": "Not like real patients",
    }[level]
    said = [
        f"On average it has come {100 * way:.0f} % of the way from columns drawn independently "
        f"(0 %) to real patients held out (100 %). Counted are the {len(shares)} of "
        f"{len(report.of('fidelity'))} numbers that can tell these two apart here."
    ]
    test = _find(report, "classifier_two_sample_test")
    if test:
        best = "" if test.best is None else f"; two groups of real patients: {test.best:.2f}"
        said.append(
            f"A classifier tells synthetic from real patients with an AUROC of {test.value:.2f} "
            f"(0.5 is guessing, 1 is always{best})."
        )
    if behind:
        titles = [m.title[:1].lower() + m.title[1:] for m in behind]
        said.append(f"Behind real patients by more than chance: {_listed(titles)}.")
    if report.absent:
        said.append(f"No synthetic patient has {_absent(report)}.")
    return Verdict(level, headline, said)


def _absent(report: Report) -> str:
    return _listed(
        [f"{name} ({_per_100(share)} of 100 real ones)" for name, share in report.absent.items()], 4
    )


def _utility(report: Report) -> Verdict:
    doubts = _doubts(report)
    if doubts:
        return Verdict("unknown", "Cannot be judged with these held-out patients", doubts)
    test = _find(report, "tstr_auroc")
    if test is None:
        reason = next((m.reason for m in report.of("utility") if m.name == "tstr_auroc"), None)
        return Verdict("unknown", "Not measured", [_sentence(reason)])
    said = [
        f"A model trained on the synthetic patients reaches an AUROC of {_number(test.value)} "
        f"{_in_brackets(test)} on real patients it has not seen"
        + (
            f"; the same model trained on real patients reaches {_number(test.best)}"
            if test.best is not None
            else ""
        )
        + " (0.5 is guessing, 1 is perfect)."
    ]
    if test.share is None:
        return Verdict("unknown", "Too few patients to say", said)
    level = "good" if test.share >= 0.85 else "care" if test.share >= 0.5 else "bad"
    headline = {
        "good": "Almost as instructive as real data",
        "care": "Teaches part of what real data teaches",
        "bad": "Does not teach what real data teaches",
    }[level]
    return Verdict(level, headline, said)


def _fairness(report: Report) -> Verdict:
    """Are groups served as well by the synthetic data as by real patients?"""
    doubts = _doubts(report)
    if doubts:
        return Verdict("unknown", "Cannot be judged with these held-out patients", doubts)
    behind = [m for m in report.of("fairness") if m.notices]
    if behind:
        return Verdict(
            "care", "Some groups are served worse", [f"{m.title}: {m.sentence}" for m in behind]
        )
    unknown = [m for m in report.of("fairness") if m.value is None]
    if unknown:
        titles = [m.title[:1].lower() + m.title[1:] for m in unknown]
        why = dict.fromkeys(str(m.reason) for m in unknown)
        return Verdict(
            "unknown", "Cannot be said for every group",
            [f"Without a value: {_listed(titles)}, because {' and '.join(why)}."],
        )  # fmt: skip
    said = ["No group is served worse than by real patients, as far as these numbers can tell."]
    loss = _find(report, "subgroup_auroc_loss")
    if loss and loss.note:  # also who is too few to be judged
        said.append(f"{loss.title}: {loss.note[:1].lower()}{loss.note[1:]}")
    return Verdict("good", "No group stands out", said)


def _alarm(report: Report, metric: Metric) -> int:
    """0 nothing seen, 1 care, 2 do not release."""
    low = metric.value if metric.ci_low is None else metric.ci_low
    if metric.name == "exact_copies":
        bounds = [(metric.best or 0.0) + b for b in COPIES_ALARM]
    elif metric.name in ALARMS:
        bounds = ALARMS[metric.name]
    else:
        return 0
    return sum(low > bound for bound in bounds)


def _privacy(report: Report) -> Verdict:
    known = [m for m in report.of("privacy") if m.value is not None and m.form == "corrected"]
    alarms = {m.name: _alarm(report, m) for m in known}
    said = []
    member = _find(report, "membership_inference")
    if member:
        said.append(
            "Shown the full records of two patients, one whose data was used and one whose was "
            f"not, an attacker picks the right one in {100 * member.value:.0f} of 100 pairs "
            f"(95 % interval {100 * member.ci_low:.0f} to {100 * member.ci_high:.0f}; 50 is "
            "guessing)."
        )
    rare = _find(report, "membership_inference_at_1_percent")
    if rare:
        said.append(
            f"Allowed one false accusation in 100, he finds {_per_100(rare.value)} of 100 "
            "patients whose data was used; guessing finds 1."
        )
    same = _find(report, "exact_copies")
    if same:
        found = round(same.value * report.rows.get("synthetic", 0))
        chance = "" if same.best is None else f" (held-out patients: {_per_100(same.best)} %)"
        said.append(
            f"{found:,} of {report.rows.get('synthetic', 0):,} synthetic patients equal a used "
            f"patient in every column{chance}."
        )
    loud = [report[name].title.lower() for name, level in alarms.items() if level]
    if loud:
        said.append(f"Above what chance explains: {', '.join(loud)}.")
    worst = max(alarms.values(), default=0)
    doubts = _doubts(report)
    if doubts and alarms.get("holdout_exposure") == 2:
        return Verdict("bad", "Held-out patients are exposed: do not release", doubts + said)
    if doubts and not (same and same.value > COPIES_ALARM[1]):
        return Verdict("unknown", "Cannot be judged with these held-out patients", doubts + said)
    if doubts or worst == 2:
        return Verdict("bad", "Patients are exposed: do not release", said)
    if worst == 1:
        return Verdict("care", "Some trace of the patients: not before a review", said)
    if not member or member.ci_high > 0.6:
        said.append(
            f"With {report.rows.get('holdout', 0):,} held-out patients these attacks can miss a "
            "leak: treat the result as unknown."
        )
        return Verdict("unknown", "Too few patients to rule exposure out", said)
    return Verdict("good", "No trace of single patients found", said)


def _answer(report: Report, verdicts: dict[str, Verdict]) -> list[str]:
    doubts = _doubts(report)
    looks, learns, safe = (verdicts[f].level for f in ("fidelity", "utility", "privacy"))
    if doubts:
        share = ["Do not share this data."] if safe == "bad" else []
        return [
            *doubts, *share,
            "Nothing below says how good or how safe this data is: repeat the evaluation with real "
            "patients who were drawn at random, and whom nobody has used.",
        ]  # fmt: skip
    exposed = {
        "bad": "Do not share this data: patients whose data was used can be found in it.",
        "care": "Do not share this data yet: there is some trace of the patients whose data was "
        "used.",
        "unknown": "Do not share this data yet: there are too few patients to say how exposed "
        "they are.",
        "good": "No attack found a trace of single patients.",
    }[safe]
    if looks == "bad":
        use = (
            "It is good for testing software only: these are not like real patients, and nothing "
            "can be learned from them."
        )
    elif looks == "unknown":
        use = "Whether it is like real patients cannot be said with so few of them."
    else:
        much = "It is close to real patients" if looks == "good" else "It is roughly like real ones"
        use = {
            "good": f"{much}, and models can be developed on it.",
            "care": f"{much}, but teaches a model only part of what real patients teach.",
            "bad": f"{much} in single columns, but not for prediction: the signal of the outcome "
            "is lost or wrong.",
            "unknown": f"{much}; whether models can be developed on it cannot be said.",
        }[learns]
    missing = [f"No synthetic patient has {_absent(report)}."] if report.absent else []
    return [exposed, use, *missing]


def _advice(report: Report, verdicts: dict[str, Verdict]) -> dict[str, list[str]]:
    looks, learns, safe = (verdicts[f].level for f in ("fidelity", "utility", "privacy"))
    good, bad = [], []
    if safe == "bad":
        bad.append("Leaving the institution in any form: treat it like the real records.")
    if _doubts(report):
        bad.append("Any use that relies on these numbers: the held-out patients are no reference.")
        return {"good": good, "bad": bad}
    place = "" if safe == "good" else " inside the institution"
    if looks in ("good", "care"):
        good.append(f"Building and testing software, pipelines and dashboards{place}.")
        if learns != "bad":
            good.append(f"Teaching and demonstrations{place}.")
        else:
            bad.append("Teaching what the outcome depends on: that is lost or wrong.")
    elif looks == "bad":
        good.append(f"Testing software only{place}: formats, ranges and load.")
        bad.append("Anything that needs realistic patients.")
    if report.absent:
        bad.append(f"Questions about who is missing: no synthetic patient has {_absent(report)}.")
    if looks == "good":
        good.append(
            f"Planning a study{place}: cohort sizes, which columns go together, what to ask for."
        )
    if learns == "good" and looks != "bad":
        good.append(f"Developing prediction models{place}, to be validated on real patients.")
    elif learns == "care":
        bad.append("Training the final prediction model: part of the signal is lost.")
    elif learns == "bad":
        bad.append("Developing prediction models: the signal of the outcome is lost.")
    if safe == "good" and looks != "bad":
        good.append("Sharing under an agreement, after the review that your rules require.")
    elif safe in ("care", "unknown"):
        bad.append("Leaving the institution, until a privacy officer has read the whole report.")
    rare = _find(report, "log_prevalence_r2")
    if rare and rare.value < min(0.9, (rare.best if rare.best is not None else 1) - 0.02):
        bad.append(f"Questions about rare codes: their prevalences are off (R2 {rare.value:.2f}).")
    pairs = _find(report, "column_wise_correlation")
    if pairs and pairs.share is not None and pairs.share < 0.7:
        bad.append(
            "Questions about how columns go together: correlations have come only "
            f"{100 * max(pairs.share, 0):.0f} % of the way."
        )
    broken = _find(report, "clinical_knowledge_violation")
    if broken and (broken.ci_low or 0) > (broken.best or 0):
        bad.append(
            f"Display to clinicians as it is: {_per_100(broken.value)} of 100 patients have a "
            "diagnosis that their sex cannot have."
        )
    bad.append("Conclusions about patients: confirm every finding on real data.")
    return {"good": good, "bad": bad}


def _sentence(text: str | None) -> str:
    text = text or "there is no value"
    return text[:1].upper() + text[1:] + "."


def _per_100(share: float) -> str:
    return f"{100 * share:.2g}" if share < 0.1 else f"{100 * share:.0f}"


# What a card says of the source, and the facts that know it, in the order of trust.
_CARD = {
    "Made from": ("data set",),
    "Made by": ("generator",),
    "Outcome": ("outcome",),
    "License of the source": ("license",),
    "To be named": ("attribution",),
    "Careful": ("careful",),
}
_MAY_BE_MISSING = ("Outcome", "To be named", "Careful")


def _card(report: Report) -> str:
    """What it is, where it comes from, what it is good for and not, and who is exposed."""
    verdicts, advice = report.verdicts(), report.advice()
    size = f"{report.rows.get('synthetic', 0):,} synthetic patients in {len(report.columns):,}"
    rows = {"What it is": f"{size} columns; no row is meant to be a real person"}
    for title, names in _CARD.items():
        known = next((report.facts[name] for name in names if report.facts.get(name)), None)
        if known or title not in _MAY_BE_MISSING:
            rows[title] = str(known or "not stated: write it here before you pass the data on")
    rows["Compared with"] = (
        f"{report.rows.get('train', 0):,} training patients and "
        f"{report.rows.get('holdout', 0):,} who were held out (profile "
        f"{report.settings.get('profile')}, seed {report.settings.get('seed')})"
    )
    for family, verdict in verdicts.items():
        rows[FAMILIES[family]] = " ".join([f"{verdict.headline}.", *verdict.sentences])
    lines = ["# Data-set card", "", *report.answer(), ""]
    lines += [f"- **{title}**{'' if title.endswith('?') else ':'} {text}" for title, text in
              rows.items()]  # fmt: skip
    for title, sentences in (("Good for", advice["good"]), ("Not for", advice["bad"])):
        listed = sentences or ["Nothing that the numbers support."]
        lines += ["", f"## {title}", "", *(f"- {sentence}" for sentence in listed)]
    lines += [
        "", "The attacks that were tried can show a leak; they cannot prove that there is none.",
        f"All numbers are in `{METRICS_FILE}` and `{REPORT_FILE}`, which belong to this card.", "",
    ]  # fmt: skip
    return "\n".join(lines)


# -- numbers and pictures for the page -------------------------------------------------------


def _plain(value):
    """A number or text that JSON knows."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if isinstance(value, int | float | str | bool | None) else str(value)


def _number(value: float | None) -> str:
    """Three significant digits, no exponent for ordinary numbers."""
    if value is None or not np.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) < 1e-4:
        return f"{value:.1e}"
    text = f"{value:.{max(0, 2 - int(np.floor(np.log10(abs(value)))))}f}"
    return text.replace("-", "−")


def _interval(metric: Metric) -> str:
    if metric.ci_low is None or metric.ci_high is None:
        return ""
    return f"{_number(metric.ci_low)} to {_number(metric.ci_high)}"


def _in_brackets(metric: Metric) -> str:
    return f"(95 % interval {_interval(metric)})" if _interval(metric) else ""


def _track(metric: Metric) -> dict | None:
    """Where the dot and the interval are on the line from worst (0) to best (100)."""
    if metric.share is None:
        return None
    span = metric.best - metric.worst
    ends = [metric.value if b is None else b for b in (metric.ci_low, metric.ci_high)]
    low, high = sorted((end - metric.worst) / span for end in ends)
    dot, low, high = (100 * float(np.clip(x, 0, 1)) for x in (metric.share, low, high))
    level = "good" if metric.share >= 0.85 else "care" if metric.share >= 0.5 else "bad"
    return {"dot": dot, "low": low, "width": high - low, "level": level}


def _left_out(report: Report) -> list[str]:
    """Sentences about what was not compared or has no value."""
    where = {
        "train": "only in the real tables, so nothing is known of them here",
        "holdout": "in the held-out table but not in all three",
        "synthetic": "only in the synthetic table, so nothing real to compare with",
    }
    sentences = []
    for role, names in report.left_out.items():
        if role == "holdout":  # a real column is named once
            names = [n for n in names if n not in report.left_out.get("train", [])]
        if names:
            shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" * (len(names) > 12))
            sentences.append(f"{len(names):,} columns are {where[role]}: {shown}.")
    for role, counts in report.outside.items():
        if counts:
            listed = ", ".join(f"{name} {count:,}" for name, count in counts.items())
            sentences.append(
                f"In the {role} table, values outside the plausible bounds count as not "
                f"measured: {listed}."
            )
    without: dict[str, list[str]] = {}
    for m in report.metrics:
        if m.value is None:
            form = " (as published)" if m.form == "published" else ""
            without.setdefault(str(m.reason), []).append(f"{m.title}{form}")
    sentences += [f"No value for {', '.join(them)}: {why}." for why, them in without.items()]
    return sentences


def _pictures(report: Report) -> dict[str, list[dict]]:
    """By family, pictures as base64 PNG with caption and alternative text."""
    if not report.tables:
        return {}
    from .. import plots

    train, synthetic = report.tables["train"], report.tables["synthetic"]
    pictures: dict[str, list[dict]] = {"fidelity": [], "utility": [], "privacy": []}
    schema = Schema.of(train)
    if schema.of_kind("binary"):
        pictures["fidelity"].append(
            _png(
                plots.prevalence(train, synthetic),
                "Every dot is a code. On the line, as many synthetic as real patients have it; "
                "within the gray band the difference is no more than chance.",
            )
        )
    if schema.of_kind("continuous"):
        pictures["fidelity"].append(
            _png(
                plots.distributions(train, synthetic, across=2),
                "Measurements of real (blue) and synthetic (orange) patients; the outlines "
                "should agree.",
            )
        )
    if report.predictions:
        pictures["utility"].append(
            _png(
                plots.roc({f"{name} training data": xy for name, xy in report.predictions.items()}),
                "How well two models rank held-out patients by risk, one trained on real and "
                "one on synthetic patients; the nearer to the upper left corner the better.",
            )
        )
    if report.nearest is not None:
        pictures["privacy"].append(
            _png(
                plots.distances(*report.nearest),
                "Distance to the nearest synthetic patient. When the two outlines agree, a "
                "patient whose data was used (blue) cannot be told from one whose was not "
                "(green); blue far to the left means copies.",
            )
        )
    return pictures


def _png(drawn, caption: str) -> dict:
    import matplotlib.pyplot as plt

    figure = getattr(drawn, "figure", drawn)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    plt.close(figure)
    return {"data": base64.b64encode(buffer.getvalue()).decode(), "caption": caption}


@cache
def _template():
    from jinja2 import Environment

    text = files(__package__).joinpath("report.html").read_text(encoding="utf-8")
    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(text)
