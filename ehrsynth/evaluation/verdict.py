"""What the numbers say in words: a verdict for each family, the answer, and what the data is for.

A verdict rests on intervals and on the two references of each metric, so that what chance alone
would show is no reason for alarm, and no reason for praise either.
"""

import csv
from dataclasses import dataclass, field, replace
from importlib.resources import files

import numpy as np
import pandas as pd

from ..errors import some
from .alignment import DEFECTS, IN_TRAIN, LACKING, LEAKS, UNJUDGED
from .metric import Metric, number_text, per_100
from .privacy.more_rows import SHADOWS, audited, exposing_rows
from .privacy.success import ALARMS
from .repeats import level_of_repeats

FAMILIES = {
    "fidelity": "Does it look like real patients?",
    "utility": "Can one learn from it?",
    "privacy": "Are the patients protected?",
    "fairness": "Is it right for every group?",
}

# So well a classifier tells held-out from used patients only if they were not parted by chance.
UNLIKE = 0.7
TOLD_APART = 0.9  # so well a classifier tells synthetic from real patients: these are not alike
GOOD, CARE = 0.85, 0.5  # of the way from the worst reference to the best
LEAK = 0.05  # near copies of so many used patients must be noticed before silence is good
SAME = 0.05  # of the rows: so many copies need no reference to be bad
MANY = 1.5  # so much wider are intervals of which ten are looked at
TOO_GOOD = 0.01  # AUROC above what real patients teach
ATTACKERS = ("moments_attack", "density_ratio_attack", "membership_inference", "copied_values")
_CAREFUL = {"good": "care", "care": "care", "bad": "bad"}  # a level that is not good after all
_CANNOT_BE_JUDGED = "Cannot be judged with these held-out patients"


def _table(name: str) -> list[dict[str, str]]:
    """The rows of a table beside this module."""
    text = (files(__package__) / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


# By family and level, its headline and the sentence of the answer.
_WORDS = {(row["family"], row["level"]): row for row in _table("verdicts.csv")}
# What the data is good or bad for: at which levels (empty: any), and with which weak spot.
_USES = _table("advice.csv")
SENTENCES = {row["name"]: row["sentence"] for row in _table("sentences.csv")}


@dataclass
class Verdict:
    """What one family of metrics says, in words.
    Chapter choosing-and-releasing, "Releasing: what travels with the data".
    """

    level: str  # good, care, bad or unknown
    headline: str
    sentences: list[str]
    judged: list[str] = field(default_factory=list)  # names of metrics
    not_judged: dict[str, str] = field(default_factory=dict)  # and why not
    power: dict | None = None  # which leaks would have been noticed


@dataclass
class Findings:
    """What the metrics of a synthetic data set say.
    Chapter choosing-and-releasing, "Releasing: what travels with the data".
    """

    metrics: list[Metric]  #: in the order of ``metrics.csv``
    facts: dict = field(default_factory=dict)  #: known figures of the source
    settings: dict = field(default_factory=dict)  #: seed and profile
    rows: dict = field(default_factory=dict)  #: patients of each table
    columns: list[str] = field(default_factory=list)  #: that were compared
    left_out: dict[str, list[str]] = field(default_factory=dict)  #: and were not, by table
    #: by table and column, values out of bounds, which count as not measured
    outside: dict[str, dict[str, str]] = field(default_factory=dict)
    #: codes and categories that no synthetic patient has, and the share of train that does
    absent: dict[str, float] = field(default_factory=dict)
    overlap: int = 0  #: held-out patients who are in train too
    #: what the family of attacks found beyond chance, and which leaks it would have noticed
    tried: dict = field(default_factory=dict)
    loss: list[float] | None = None  #: AUROC lost by training on synthetic patients, its interval
    #: columns and pairs of columns that differ most from train
    farthest: dict[str, list[dict]] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)  #: SHA-256 of each table's values
    #: groups of patients that were judged, and those too small for it
    groups: dict[str, list[str]] = field(default_factory=dict)
    #: what the pictures are drawn from, as the next two; not of a report loaded from JSON
    tables: dict[str, pd.DataFrame] = field(default_factory=dict, repr=False)
    nearest: tuple | None = field(default=None, repr=False)  #: distances
    predictions: dict[str, tuple] = field(default_factory=dict, repr=False)  #: for ROC curves

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
        verdicts = {"fidelity": _fidelity(self), "utility": _utility(self)}
        verdicts["privacy"] = _privacy(self, doubts)
        if any(m.value is not None for m in self.of("fairness")):
            verdicts["fairness"] = _fairness(self)
        if doubts:
            open_question = Verdict("unknown", _CANNOT_BE_JUDGED, doubts)
            verdicts |= {family: open_question for family in verdicts if family != "privacy"}
        return {family: self._told(family, verdict) for family, verdict in verdicts.items()}

    def _told(self, family: str, verdict: Verdict) -> Verdict:
        """The verdict with what was judged and what was not."""
        metrics = self.of(family)
        without = {m.name: str(m.reason) for m in metrics if m.value is None}
        if family == "privacy" and self.tried.get("incomparable"):
            differ = "used and held-out patients differ by more than chance"
            without |= {name: differ for name, row in ALARMS.items() if row["test"] != "absolute"}
        if family == "fairness":
            without |= dict.fromkeys(self.groups.get("small", []), "too few patients of the group")
        judged = [m.name for m in metrics if m.name not in without]
        power = self.tried.get("power") if family == "privacy" else None
        return replace(verdict, judged=judged, not_judged=without, power=power)

    def answer(self) -> list[str]:
        """The first sentences of the report: what this data may be used for."""
        level = self._levels()
        doubts, (_, repeated) = _doubts(self), level_of_repeats(self.facts)
        if doubts:
            share = [_say("no sharing")] if level["privacy"] == "bad" else []
            return [*doubts, *share, *repeated, _say("repeat"), *_unjudged(self)]
        said = {family: _WORDS[family, of]["answer"] for family, of in level.items()}
        use = said["fidelity"] + said["utility"] * (level["fidelity"] in ("good", "care"))
        private = said["privacy"].format(**_words_of(self))
        unjudged = (s for s in _unjudged(self) if s not in private)
        return [*repeated, private, use, *unjudged, *_missing(self)]

    def advice(self) -> dict[str, list[str]]:
        """What the data is good for ("good") and what not ("bad"), as sentences."""
        levels, bad = self._levels(), []
        if levels["privacy"] == "bad":
            bad.append(_say("like records"))
        if _doubts(self):
            return {"good": [], "bad": [*bad, _say("no reference")]}
        if more := exposing_rows(self.facts):
            bad.append(_say("keep the model", **more))
        advice, spots = {"good": [], "bad": bad}, _weak_spots(self)
        place = "" if levels["privacy"] == "good" else " inside the institution"
        train = f"{self.rows.get('train', 0):,}"
        for row in _USES:
            fits = all(level in (row[family] or level).split() for family, level in levels.items())
            if fits and (not row["spot"] or row["spot"] in spots):
                advice[row["for"]].append(row["sentence"].format(place=place, train=train, **spots))
        return advice

    def _levels(self) -> dict[str, str]:
        return {f: v.level for f, v in self.verdicts().items() if f != "fairness"}


def level_of(share: float) -> str:
    """Of a share of the way. Chapter choosing-and-releasing, "From many metrics to one order"."""
    return "good" if share >= GOOD else "care" if share >= CARE else "bad"


def _say(name: str, **values) -> str:
    return SENTENCES[name].format(**values)


def _verdict(family: str, level: str, sentences: list[str], **words) -> Verdict:
    return Verdict(level, _WORDS[family, level]["headline"].format(**words), sentences)


def _doubts(found: Findings) -> list[str]:
    """Why the held-out patients are no reference, as sentences; then no number can be believed."""
    doubts = []
    if found.overlap:
        doubts.append(_say("used", overlap=found.overlap, holdout=found.rows.get("holdout", 0)))
    exposed = found.known("holdout_exposure")
    if exposed and _alarm(found, exposed) == 2:
        doubts.append(_say("exposed"))
    test = found.known("classifier_two_sample_test")
    if test and (test.best or 0) > UNLIKE:
        doubts.append(_say("unlike", auroc=test.best))
    return doubts


def _missing(found: Findings) -> list[str]:
    said = [_say("absent", absent=_absent(found))] if found.absent else []
    if lacks := [f"{row['column']} ({row['what']})" for row in found.facts.get(LACKING, [])]:
        said.append(_say("lacks", count=len(lacks), columns=some(lacks, 12)))
    defects = [f"{one['what']} ({one['rows']:,} of {one['of']:,} patients)"
               for one in found.facts.get(DEFECTS, []) if one["table"] == "synthetic"]  # fmt: skip
    return said + ([_say("defects", defects=some(defects, 4))] if defects else [])


def _unjudged(found: Findings) -> list[str]:
    """Which columns nobody looked at, as sentences."""
    names = found.left_out.get("synthetic", [])
    return [_say("not judged", count=len(names), columns=some(names, 12))] if names else []


def _fidelity(found: Findings) -> Verdict:
    metrics = found.of("fidelity")
    shares = np.clip([m.share for m in metrics if m.share is not None], 0, 1)
    wrong = _missing(found)  # which is certain without any metric
    test, told = found.known("classifier_two_sample_test"), []
    apart = test is not None and _value(test) >= TOLD_APART
    if test:
        best = "" if test.best is None else f"; two groups of real patients: {test.best:.2f}"
        told = [_say("classifier", auroc=test.value, best=best)]
        told += [_say("told apart", limit=TOLD_APART)] * apart
    if len(shares) < 3:
        level = "bad" if apart else "care" if wrong else "unknown"
        return _verdict("fidelity", level, [*told, *wrong, _say("too small")])
    way = float(np.mean(shares))
    behind = [m for m in metrics if m.notices]
    level = "bad" if apart else level_of(way)
    # A mean hides the one thing that is badly wrong, and what only a classifier sees.
    least = {"classifier_two_sample_test": GOOD}
    if wrong or any(m.share is not None and m.share < least.get(m.name, CARE) for m in behind):
        level = _CAREFUL[level]
    said = [_say("way", way=100 * way, counted=len(shares), all=len(metrics)), *told]
    if test:
        value, _, high = _ends(test)
        if value + MANY * (high - value) < 0.5:
            level = _CAREFUL[level]
            said.append(_say("below chance"))
    if behind:
        said.append(_say("behind", titles=_titles(behind)))
    return _verdict("fidelity", level, said + wrong)


def _utility(found: Findings) -> Verdict:
    test = found.known("tstr_auroc")
    if any(row["outcome"] for row in found.facts.get(LACKING, [])):
        return _verdict("utility", "bad", [_say("no model")])
    if test is None:
        reasons = [m.reason for m in found.of("utility") if m.name == "tstr_auroc" and m.reason]
        why = reasons[0] if reasons else "there is no value"
        return Verdict("unknown", "Not measured", [f"{why[:1].upper()}{why[1:]}."])
    interval = f" (95 % interval {test.interval})" if test.interval else " "
    best = f"; the same model trained on real patients reaches {number_text(test.best)}"
    real = "" if test.best is None else best
    said = [_say("utility", auroc=number_text(test.value), interval=interval, real=real)]
    if determined := [row["column"] for row in found.facts.get(LEAKS, [])]:
        said.append(_say("determined", columns=some(determined)))
    if test.share is None:
        return _verdict("utility", "unknown", said)
    levels = [level_of(test.share)]
    if found.loss is not None:  # in the worst and in the best case
        span = (test.best or 0) - (test.worst or 0)
        levels = [level_of(1 - loss / span) for loss in found.loss[1:]]
        if levels[0] != levels[1]:
            low, high = (number_text(loss) for loss in found.loss[1:])
            return _verdict("utility", "unknown", [*said, _say("straddles", low=low, high=high)])
        if found.loss[2] < -TOO_GOOD and levels[0] == "good":
            said.append(_say("too good", titles=_titles([test])))
            return _verdict("utility", "care", said)
    return _verdict("utility", levels[0], said)


def _fairness(found: Findings) -> Verdict:
    metrics = found.of("fairness")
    if behind := [m for m in metrics if m.notices]:
        return _verdict("fairness", "care", [f"{m.title}: {m.note or m.sentence}" for m in behind])
    if unknown := [m for m in metrics if m.value is None]:
        why = dict.fromkeys(str(m.reason) for m in unknown)
        said = [_say("group unknown", titles=_titles(unknown), why=" and ".join(why))]
        return _verdict("fairness", "unknown", said)
    said = [_say("fair", groups=some(found.groups.get("judged", []), 20))]
    loss = found.known("subgroup_auroc_loss")
    if loss and loss.note:  # also who is too few to be judged
        said.append(f"{loss.title}: {loss.note[:1].lower()}{loss.note[1:]}")
    return _verdict("fairness", "good", said)


def _alarm(found: Findings, metric: Metric) -> int:
    """0 nothing seen, 1 care, 2 do not release. Copies are counted, attacks guess."""
    if metric.name not in ALARMS or metric.form != "corrected":
        return 0
    row, (value, low, _) = ALARMS[metric.name], _ends(metric)
    if found.overlap and row["test"] == "exchange":  # the same person is used and not used
        return 0
    above = (metric.best or 0.0) * (row["above"] == "best")
    care, bad = above + float(row["care"]), above + float(row["bad"])
    if row["test"] == "interval":
        if found.tried.get("incomparable"):
            return 0
        low = value - MANY * (value - low)
        return int(low > care) + int(low > bad)
    if not (alarm := found.tried.get("alarms", {}).get(metric.name, 0)) or value < care:
        return 0
    sure = alarm == 2 or (metric.name.endswith("_copies") and low >= bad)
    return 2 if sure and value >= bad and low >= (care + bad) / 2 else 1


def _privacy(found: Findings, doubts: list[str]) -> Verdict:
    metrics = [m for m in found.of("privacy") if m.value is not None]
    alarms = {m.name: _alarm(found, m) for m in metrics}
    copied, repeated = level_of_repeats(found.facts)
    least = 100 * float(ALARMS["exact_copies"]["bad"])
    rows = [row for row in found.facts.get(UNJUDGED, []) if (row[IN_TRAIN] or 0) >= least]
    named = [_say("named", column=row["column"], share=row[IN_TRAIN]) for row in rows]
    named = (repeated if copied == 2 else []) + named
    worst = max([*alarms.values(), audit := audited(found.facts), copied, 2 * bool(named)])
    said = (repeated if copied < 2 else []) + named + _attacks(found)
    if max([*alarms.values(), audit]):
        loud = [m.title.lower() for m in metrics if alarms[m.name]] + [SHADOWS] * bool(audit)
        said.append(_say("loud", titles=", ".join(loud)))
    said += [m.note for m in metrics if m.name == "membership_of_most_exposed" and m.note]
    if doubts and alarms.get("holdout_exposure") == 2:
        return Verdict("bad", "Held-out patients are exposed: do not release", doubts + said)
    same = found.known("exact_copies")
    said += _unjudged(found) if doubts or worst else []
    if doubts and not (named or (same and _value(same) > SAME)):
        return Verdict("unknown", _CANNOT_BE_JUDGED, doubts + said)
    if doubts or worst:
        return _verdict("privacy", "bad" if doubts or worst == 2 else "care", said)
    if why := _unproven(found):
        return _verdict("privacy", "unknown", [*why, *said])
    return _verdict("privacy", "good", said, **_words_of(found))


def _unproven(found: Findings) -> list[str]:
    """Why silence of all attacks is no proof, as sentences."""
    why, power = _unjudged(found), found.tried.get("power")
    if how := found.tried.get("incomparable"):
        why.append(_say("incomparable", how=some(how, 4)))
    needed = [name for name, row in ALARMS.items() if row["needed"] and not found.known(name)]
    if needed or not power:
        titles = dict.fromkeys(m.title.lower() for m in found.of("privacy") if m.name in needed)
        why.append(_say("not tried", titles=some(list(titles) or ["the family of attacks"], 9)))
    elif (power["near"] or 1) > LEAK or power["auroc"] > float(ALARMS["moments_attack"]["bad"]):
        leak = "none" if power["near"] is None else f"only copies of {per_100(power['near'])} %"
        rows = {role: found.rows.get(role, 0) for role in ("train", "holdout")}
        why.append(_say("too few", leak=leak, auroc=100 * power["auroc"], **rows))
    return why


def _words_of(found: Findings) -> dict[str, object]:
    """What the sentences about privacy name: what was tried, what would have been noticed."""
    power = found.tried.get("power") or {}
    leak = f"near copies of {per_100(power.get('near') or 1)} of 100 used patients"
    tried = sum(found.known(name) is not None for name in ALARMS)
    return {"leak": leak, "tried": tried, "why": " ".join(_unproven(found)[:1])}


def _attacks(found: Findings) -> list[str]:
    """What the attacks found in numbers of patients, and what they would have found."""
    said, power = [], found.tried.get("power")
    if attackers := [m for name in ATTACKERS if (m := found.known(name))]:
        best = max(attackers, key=_value)
        said.append(_say("strongest", title=_titles([best]), **_of_100(*_ends(best))))
        said += [_say("by chance", chance=100 * power["chance"])] if power else []
    if alone := found.known("membership_of_most_exposed"):
        said.append(_say("lonely", **_of_100(*_ends(alone))))
    if rare := found.known("membership_inference_at_1_percent"):
        said.append(_say("rare", found=per_100(_value(rare))))
    if same := found.known("exact_copies"):
        rows = found.rows.get("synthetic", 0)
        would = f"; of as many held-out patients {round((same.best or 0) * rows):,} would"
        chance, copies = "" if same.best is None else would, round(_value(same) * rows)
        said.append(_say("copies", copies=copies, synthetic=rows, chance=chance))
    if more := exposing_rows(found.facts):
        said.append(_say("more rows", **more))
    for row in found.facts.get(SHADOWS, []):
        ends = _of_100(row["AUROC"], row["from"], row["to"])
        said.append(_say("audit", models=row["models"], **ends))
    if power and not any(_alarm(found, m) for m in found.of("privacy") if m.value is not None):
        least = {
            kind: f"{per_100(share)} % of train" if (share := power[kind]) else "no share of train"
            for kind in ("exact", "near")
        }
        changed = "a value" if power["changed"] == 1 else "two values"
        said.append(_say("power", **least, changed=changed, auroc=100 * power["auroc"]))
    return said


def _weak_spots(found: Findings) -> dict[str, str | float]:
    """What is missing or wrong in the data, and by how much."""
    spots: dict[str, str | float] = {"absent": _absent(found)} if found.absent else {}
    rare = found.known("log_prevalence_r2")
    if rare and _value(rare) < min(0.9, (1 if rare.best is None else rare.best) - 0.02):
        spots["rare"] = _value(rare)
    pairs = found.known("column_wise_correlation")
    if pairs and pairs.share is not None and pairs.share < 0.7:
        spots["pairs"] = 100 * max(pairs.share, 0)
    broken = found.known("clinical_knowledge_violation")
    if broken and (broken.ci_low or 0) > (broken.best or 0):
        spots["broken"] = per_100(_value(broken))
    return spots


def _value(metric: Metric) -> float:
    assert metric.value is not None
    return metric.value


def _ends(metric: Metric) -> tuple[float, float, float]:
    """The value and the ends of its interval, or itself where there is none."""
    value = _value(metric)
    low, high = (value if end is None else end for end in (metric.ci_low, metric.ci_high))
    return value, low, high


def _of_100(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": 100 * value, "low": 100 * low, "high": 100 * high}


def _absent(found: Findings) -> str:
    shares = found.absent.items()
    return some([f"{name} ({per_100(share)} of 100 real ones)" for name, share in shares], 4)


def _titles(metrics: list[Metric]) -> str:
    return some([m.title[:1].lower() + m.title[1:] for m in metrics], 6)
