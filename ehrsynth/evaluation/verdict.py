"""What the numbers say in words: a verdict for each family, the answer, and what the data is for.

Nothing is computed here. A verdict rests on intervals and on the two references of each metric,
so that what chance alone would show is no reason for alarm, and no reason for praise either.
"""

import csv
from dataclasses import dataclass, field
from importlib.resources import files

import numpy as np
import pandas as pd

from .metric import Metric

FAMILIES = {
    "fidelity": "Does it look like real patients?",
    "utility": "Can one learn from it?",
    "privacy": "Are the patients protected?",
    "fairness": "Is it right for every group?",
}

# So well a classifier tells held-out from used patients only if they were not parted by chance.
UNLIKE = 0.7
GOOD, CARE = 0.85, 0.5  # of the way from the worst reference to the best
_CANNOT_BE_JUDGED = "Cannot be judged with these held-out patients"


def _table(name: str) -> list[dict[str, str]]:
    """The rows of a table beside this module."""
    text = (files(__package__) / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


# By family and level, its headline and the sentence of the answer.
_WORDS = {(row["family"], row["level"]): row for row in _table("verdicts.csv")}
# A privacy metric calls for care, or for not releasing, when the low end of its interval lies
# above these values: chance alone hardly reaches them. Some count from the best reference on.
_ALARMS = {row["metric"]: row for row in _table("alarms.csv")}
# What the data is good or bad for: which levels fidelity, utility and privacy must have (empty:
# any), and which weak spot there must be.
_USES = _table("advice.csv")


@dataclass
class Verdict:
    """What one family of metrics says, in words.

    Chapter choosing-and-releasing, "Releasing: what travels with the data".

    Parameters
    ----------
    level : {"good", "care", "bad", "unknown"}
    headline : str
    sentences : list of str
    """

    level: str
    headline: str
    sentences: list[str] = field(default_factory=list)


@dataclass
class Findings:
    """Every metric of one synthetic data set, and what they say.

    Chapter choosing-and-releasing, "Releasing: what travels with the data".

    Parameters
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
    left_out: dict[str, list[str]] = field(default_factory=dict)
    outside: dict[str, dict[str, int]] = field(default_factory=dict)
    absent: dict[str, float] = field(default_factory=dict)
    overlap: int = 0
    tables: dict[str, pd.DataFrame] = field(default_factory=dict, repr=False)
    nearest: tuple | None = field(default=None, repr=False)
    predictions: dict[str, tuple] = field(default_factory=dict, repr=False)

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

    def known(self, name: str) -> Metric | None:
        """The metric, where it has a value."""
        found = [m for m in self.metrics if m.name == name]
        return self[name] if found and self[name].value is not None else None

    def verdicts(self) -> dict[str, Verdict]:
        """By family, the answer in words."""
        doubts = _doubts(self)
        open_question = Verdict("unknown", _CANNOT_BE_JUDGED, doubts)
        verdicts = {
            "fidelity": open_question if doubts else _fidelity(self),
            "utility": open_question if doubts else _utility(self),
            "privacy": _privacy(self, doubts),
        }
        if any(m.value is not None for m in self.of("fairness")):
            verdicts["fairness"] = open_question if doubts else _fairness(self)
        return verdicts

    def answer(self) -> list[str]:
        """The first sentences of the report: what this data may be used for."""
        looks, learns, safe = _levels(self)
        doubts = _doubts(self)
        if doubts:
            share = ["Do not share this data."] if safe == "bad" else []
            return [
                *doubts, *share,
                "Nothing below says how good or how safe this data is: repeat the evaluation with "
                "real patients who were drawn at random, and whom nobody has used.",
            ]  # fmt: skip
        use = _WORDS["fidelity", looks]["answer"]
        if looks in ("good", "care"):
            use += _WORDS["utility", learns]["answer"]
        missing = [f"No synthetic patient has {_absent(self)}."] if self.absent else []
        return [_WORDS["privacy", safe]["answer"], use, *missing]

    def advice(self) -> dict[str, list[str]]:
        """What the data is good for ("good") and what not ("bad"), as sentences."""
        levels = dict(zip(("fidelity", "utility", "privacy"), _levels(self), strict=True))
        advice: dict[str, list[str]] = {"good": [], "bad": []}
        spots = _weak_spots(self)
        if levels["privacy"] == "bad":
            advice["bad"].append(
                "Leaving the institution in any form: treat it like the real records."
            )
        if _doubts(self):
            advice["bad"].append(
                "Any use that relies on these numbers: the held-out patients are no reference."
            )
            return advice
        place = "" if levels["privacy"] == "good" else " inside the institution"
        for row in _USES:
            fits = all(level in (row[family] or level).split() for family, level in levels.items())
            if fits and (not row["spot"] or row["spot"] in spots):
                advice[row["for"]].append(row["sentence"].format(place=place, **spots))
        return advice


def _levels(found: Findings) -> tuple[str, str, str]:
    verdicts = found.verdicts()
    return verdicts["fidelity"].level, verdicts["utility"].level, verdicts["privacy"].level


def level_of(share: float) -> str:
    """A level in words of the way that was come from the worst reference to the best.

    Chapter choosing-and-releasing, "From many metrics to one order".

    Parameters
    ----------
    share : float

    Returns
    -------
    str
        "good", "care" or "bad".
    """
    return "good" if share >= GOOD else "care" if share >= CARE else "bad"


# -- the families --------------------------------------------------------------------------


def _verdict(family: str, level: str, sentences: list[str]) -> Verdict:
    return Verdict(level, _WORDS[family, level]["headline"], sentences)


def _doubts(found: Findings) -> list[str]:
    """Why the held-out patients are no reference, as sentences; then no number can be believed."""
    doubts = []
    if found.overlap:
        doubts.append(
            f"{found.overlap:,} of the {found.rows.get('holdout', 0):,} held-out patients are "
            "among the used ones; the references cannot be trusted."
        )
    exposed = found.known("holdout_exposure")
    if exposed and _alarm(exposed) == 2:
        doubts.append(
            "The holdout itself is in the synthetic data; the references cannot be trusted."
        )
    test = found.known("classifier_two_sample_test")
    if test and (test.best or 0) > UNLIKE:
        doubts.append(
            "The held-out patients are not like the used ones: a classifier tells them apart with "
            f"an AUROC of {test.best:.2f}; the references cannot be trusted."
        )
    return doubts


def _fidelity(found: Findings) -> Verdict:
    metrics = found.of("fidelity")
    shares = np.clip([m.share for m in metrics if m.share is not None], 0, 1)
    if len(shares) < 3:
        too_small = (
            "On tables this small, hardly any number tells real patients from columns that were "
            "drawn independently."
        )
        return _verdict("fidelity", "unknown", [too_small])
    way = float(np.mean(shares))
    behind = [m for m in metrics if m.notices]
    level = level_of(way)
    # A mean hides the one thing that is badly wrong.
    if found.absent or any(m.share is not None and m.share < CARE for m in behind):
        level = "bad" if level == "bad" else "care"
    said = [
        f"On average it has come {100 * way:.0f} % of the way from columns drawn independently "
        f"(0 %) to real patients held out (100 %). Counted are the {len(shares)} of "
        f"{len(metrics)} numbers that can tell these two apart here."
    ]
    test = found.known("classifier_two_sample_test")
    if test:
        best = "" if test.best is None else f"; two groups of real patients: {test.best:.2f}"
        said.append(
            f"A classifier tells synthetic from real patients with an AUROC of {test.value:.2f} "
            f"(0.5 is guessing, 1 is always{best})."
        )
    if behind:
        said.append(f"Behind real patients by more than chance: {_titles(behind)}.")
    if found.absent:
        said.append(f"No synthetic patient has {_absent(found)}.")
    return _verdict("fidelity", level, said)


def _utility(found: Findings) -> Verdict:
    test = found.known("tstr_auroc")
    if test is None:
        reasons = [m.reason for m in found.of("utility") if m.name == "tstr_auroc"]
        return Verdict("unknown", "Not measured", [_sentence(next(iter(reasons), None))])
    interval = f" (95 % interval {interval_text(test)})" if interval_text(test) else " "
    real = (
        "" if test.best is None
        else f"; the same model trained on real patients reaches {number_text(test.best)}"
    )  # fmt: skip
    said = [
        "A model trained on the synthetic patients reaches an AUROC of "
        f"{number_text(test.value)}{interval} on real patients it has not seen{real} (0.5 is "
        "guessing, 1 is perfect)."
    ]
    return _verdict("utility", "unknown" if test.share is None else level_of(test.share), said)


def _fairness(found: Findings) -> Verdict:
    """Are groups served as well by the synthetic data as by real patients?"""
    metrics = found.of("fairness")
    behind = [m for m in metrics if m.notices]
    if behind:
        return _verdict("fairness", "care", [f"{m.title}: {m.sentence}" for m in behind])
    unknown = [m for m in metrics if m.value is None]
    if unknown:
        why = dict.fromkeys(str(m.reason) for m in unknown)
        said = [f"Without a value: {_titles(unknown)}, because {' and '.join(why)}."]
        return _verdict("fairness", "unknown", said)
    said = ["No group is served worse than by real patients, as far as these numbers can tell."]
    loss = found.known("subgroup_auroc_loss")
    if loss and loss.note:  # also who is too few to be judged
        said.append(f"{loss.title}: {loss.note[:1].lower()}{loss.note[1:]}")
    return _verdict("fairness", "good", said)


def _alarm(metric: Metric) -> int:
    """0 nothing seen, 1 care, 2 do not release."""
    if metric.name not in _ALARMS:
        return 0
    row = _ALARMS[metric.name]
    start = (metric.best or 0.0) if row["above"] == "best" else 0.0
    low = _value(metric) if metric.ci_low is None else metric.ci_low
    return sum(low > start + float(row[level]) for level in ("care", "bad"))


def _privacy(found: Findings, doubts: list[str]) -> Verdict:
    metrics = [m for m in found.of("privacy") if m.value is not None and m.form == "corrected"]
    loud = [m.title.lower() for m in metrics if _alarm(m)]
    worst = max(map(_alarm, metrics), default=0)
    said = _attacks(found)
    if loud:
        said.append(f"Above what chance explains: {', '.join(loud)}.")
    exposed, same = found.known("holdout_exposure"), found.known("exact_copies")
    if doubts and exposed and _alarm(exposed) == 2:
        return Verdict("bad", "Held-out patients are exposed: do not release", doubts + said)
    if doubts and not (same and _value(same) > float(_ALARMS["exact_copies"]["bad"])):
        return Verdict("unknown", _CANNOT_BE_JUDGED, doubts + said)
    if doubts or worst:
        return _verdict("privacy", "bad" if doubts or worst == 2 else "care", said)
    member = found.known("membership_inference")
    if member and (member.ci_high or 0) <= 0.6:
        return _verdict("privacy", "good", said)
    too_few = (
        f"With {found.rows.get('holdout', 0):,} held-out patients these attacks can miss a leak: "
        "treat the result as unknown."
    )
    return _verdict("privacy", "unknown", [*said, too_few])


def _attacks(found: Findings) -> list[str]:
    """What three attacks found, in numbers of patients."""
    said = []
    member = found.known("membership_inference")
    if member:
        low, high = (100 * (b or 0) for b in (member.ci_low, member.ci_high))
        said.append(
            "Shown the full records of two patients, one whose data was used and one whose was "
            f"not, an attacker picks the right one in {100 * _value(member):.0f} of 100 pairs "
            f"(95 % interval {low:.0f} to {high:.0f}; 50 is guessing)."
        )
    rare = found.known("membership_inference_at_1_percent")
    if rare:
        said.append(
            f"Allowed one false accusation in 100, he finds {_per_100(_value(rare))} of 100 "
            "patients whose data was used; guessing finds 1."
        )
    same = found.known("exact_copies")
    if same:
        rows = found.rows.get("synthetic", 0)
        chance = "" if same.best is None else f" (held-out patients: {_per_100(same.best)} %)"
        said.append(
            f"{round(_value(same) * rows):,} of {rows:,} synthetic patients equal a used patient "
            f"in every column{chance}."
        )
    return said


def _weak_spots(found: Findings) -> dict[str, str | float]:
    """What is missing or wrong in the data, and by how much."""
    spots: dict[str, str | float] = {}
    if found.absent:
        spots["absent"] = _absent(found)
    rare = found.known("log_prevalence_r2")
    if rare and _value(rare) < min(0.9, (1 if rare.best is None else rare.best) - 0.02):
        spots["rare"] = _value(rare)
    pairs = found.known("column_wise_correlation")
    if pairs and pairs.share is not None and pairs.share < 0.7:
        spots["pairs"] = 100 * max(pairs.share, 0)
    broken = found.known("clinical_knowledge_violation")
    if broken and (broken.ci_low or 0) > (broken.best or 0):
        spots["broken"] = _per_100(_value(broken))
    return spots


# -- numbers and names in sentences ----------------------------------------------------------


def _value(metric: Metric) -> float:
    assert metric.value is not None
    return metric.value


def _absent(found: Findings) -> str:
    return _listed(
        [f"{name} ({_per_100(share)} of 100 real ones)" for name, share in found.absent.items()], 4
    )


def _titles(metrics: list[Metric]) -> str:
    return _listed([m.title[:1].lower() + m.title[1:] for m in metrics], 6)


def _listed(names: list[str], most: int) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _sentence(text: str | None) -> str:
    text = text or "there is no value"
    return text[:1].upper() + text[1:] + "."


def _per_100(share: float) -> str:
    return f"{100 * share:.2g}" if share < 0.1 else f"{100 * share:.0f}"


def number_text(value: float | None) -> str:
    """Three significant digits, no exponent for ordinary numbers.

    Chapter choosing-and-releasing, "Releasing: what travels with the data".

    Parameters
    ----------
    value : float or None

    Returns
    -------
    str
    """
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


def interval_text(metric: Metric) -> str:
    """The interval of a metric, or nothing where it has none.

    Chapter choosing-and-releasing, "Releasing: what travels with the data".

    Parameters
    ----------
    metric : Metric

    Returns
    -------
    str
    """
    if metric.ci_low is None or metric.ci_high is None:
        return ""
    return f"{number_text(metric.ci_low)} to {number_text(metric.ci_high)}"
