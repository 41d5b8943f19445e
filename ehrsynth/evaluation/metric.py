"""What a metric is: its description (a row of ``metrics.csv``), its function, its value.

It is computed with the synthetic data, and with the best and worst table that could replace it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd

from ..statistics import Estimate, NotComputable

LOST = 0.1  # of the way from best to worst; see Metric.notices


@dataclass(frozen=True)
class Spec:
    """What a metric asks and how it is computed: a row of ``metrics.csv`` with its functions.

    `best` names the table that stands for the best: holdout itself; holdout compared with train
    ("swap"); train, where holdout is the test set; or one half of holdout, attacked together with
    the other half. Chapter fidelity, "Tables of known quality".
    """

    name: str
    title: str
    family: str
    form: str
    direction: str
    unit: str
    source: str
    sentence: str
    compute: Callable  # of a Setting and a Generator: an Estimate, or raises NotComputable
    best: str
    worst: str
    bounds: tuple[float, float]  # what the value can be; intervals are cut there
    draws: int  # tables in the worst reference: a model of noise scores 0.5 only on average
    note: Callable | None = None  # of a Setting: a sentence on what is behind the value

    def evaluate(self, setting, seed: int) -> Estimate:
        """The value in this setting, with the interval cut to what is possible."""
        # Random numbers of its own: adding a metric never changes another's value.
        rng = np.random.default_rng([seed, crc32(f"{self.name}/{self.form}".encode())])
        value, *ends = self.compute(setting, rng)
        if not np.isfinite(value):
            raise NotComputable("the formula gives no finite number for these tables")
        known = (None if end is None or not np.isfinite(end) else end for end in ends)
        cut = (end if end is None else float(np.clip(end, *self.bounds)) for end in known)
        return Estimate(float(value), *cut)


@dataclass(frozen=True)
class Metric:
    """One metric of one synthetic data set, beside its two references.
    Chapter fidelity, "Tables of known quality".
    """

    name: str  #: this and the next three as ``metrics.schema.json`` says
    title: str  #: what a person reads
    family: str  #: fidelity, utility, privacy or fairness
    form: str  #: "published", or "corrected", as is what the tutorial and its benchmark do not have
    value: float | None  #: the number
    ci_low: float | None  #: of its 95 % interval
    ci_high: float | None  #: of its 95 % interval
    best: float | None  #: what the best table scores in the synthetic data's place
    worst: float | None  #: what the worst table scores there
    #: the way from worst (0) to best (1) that the value has come, or beyond; None when the two
    #: cannot be told apart on these data
    share: float | None
    direction: str  #: which way is better
    unit: str  #: in what
    source: str  #: after which paper
    sentence: str  #: what the number says
    #: whether the value is worse than the best reference by more than both intervals explain (one-
    #: sided, at 2.5 %)
    behind: bool | None = None
    reason: str | None = None  #: why there is no value
    note: str | None = None  #: what is behind it, e.g. in which group of patients it is worst

    @classmethod
    def of(
        cls, spec: Spec, value: Estimate | None,
        best: Estimate | None = None, worst: Estimate | None = None,
        reason: str | None = None, note: str | None = None,
    ) -> "Metric":  # fmt: skip
        told = ("name", "title", "family", "form", "direction", "unit", "source", "sentence")
        point, low, high = value or (None, None, None)
        share = behind = None
        if value and best:
            worse = (best.value - value.value) * (1 if spec.direction == "higher" else -1)
            behind = bool(worse > np.hypot(value.half, best.half))
        if value and best and worst:
            span, noise = best.value - worst.value, np.hypot(best.half, worst.half)
            if (span > 0) == (spec.direction == "higher") and abs(span) > noise:
                share = (value.value - worst.value) / span
        return cls(
            **{name: getattr(spec, name) for name in told},
            value=point, ci_low=low, ci_high=high, best=best and best.value,
            worst=worst and worst.value, share=share, behind=behind, reason=reason, note=note,
        )  # fmt: skip

    @property
    def notices(self) -> bool:
        """Whether the metric objects to the data: behind the best by more than chance (1 metric in
        40 is, with nothing wrong), and by more than a tenth of the way to the worst, since with
        enough patients every difference is more than chance.
        """
        return bool(self.behind) and (self.share is None or self.share < 1 - LOST)

    @property
    def interval(self) -> str:
        """The interval in words, or nothing where there is none."""
        if self.ci_low is None or self.ci_high is None:
            return ""
        return f"{number_text(self.ci_low)} to {number_text(self.ci_high)}"

    def to_dict(self) -> dict:
        """Plain numbers and texts, rounded so that the file is the same on every machine."""
        fields = vars(self).items()
        return {k: float(f"{v:.9g}") if isinstance(v, float) else v for k, v in fields}


@cache
def descriptions() -> pd.DataFrame:
    """All metrics, in the report's order. Chapter fidelity, "Tables of known quality"."""
    return pd.read_csv(Path(__file__).with_name("metrics.csv"), keep_default_na=False)


def described(compute: Mapping, notes: Mapping | None = None) -> tuple[Spec, ...]:
    """The metrics whose functions these are, by name and form, in the order of the table.

    Chapter fidelity, "Tables of known quality".
    """
    specs = []
    for row in descriptions().to_dict("records"):
        if (key := (row["name"], row["form"])) in compute:
            bounds, note = (row.pop("low"), row.pop("high")), (notes or {}).get(key)
            specs.append(Spec(**row, bounds=bounds, compute=compute[key], note=note))
    return tuple(specs)


def number_text(value: float | None) -> str:
    """Three significant digits, no exponent for ordinary numbers.
    Chapter choosing-and-releasing, "Releasing: what travels with the data".
    """
    if value is None or not np.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) < 1e-4:
        return f"{value:.1e}"
    return f"{value:.{max(0, 2 - int(np.floor(np.log10(abs(value)))))}f}".replace("-", "−")


def per_100(share: float) -> str:
    """So many of 100. Chapter choosing-and-releasing, "Releasing: what travels with the data"."""
    return f"{100 * share:.2g}" if share < 0.1 else f"{100 * share:.0f}"
