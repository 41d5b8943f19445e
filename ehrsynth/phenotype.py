"""An outcome of one's own: any of some codes within some days, as a small file says it.

``{"name": "heart_failure", "icd10": ["I50"], "icd9": ["428"], "concepts": [316139],
"within_days": 365, "after": "discharge", "prior": "exclude"}``. An ICD code stands for all below it
too; a concept only for itself.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from .errors import InputError
from .files import read_by_hand
from .sources.engine import Table, Value, literal

_DATED = ("concepts", "procedures", "medications")  # tables with one standard concept a row


@dataclass(frozen=True)
class Phenotype:
    """Which codes make the outcome, and when they count."""

    name: str  #: of the outcome's column
    label: str = ""  #: the name a person reads
    icd9: tuple[str, ...] = ()  #: ICD-9-CM codes, each with all below it
    icd10: tuple[str, ...] = ()  #: ICD-10-CM codes, each with all below it
    concepts: tuple[int, ...] = ()  #: standard concepts
    within_days: int = 365  #: after the index; who is not seen so long after it has another index
    after: str = "discharge"  #: or "admission": from which day on these days are counted
    prior: str = "exclude"  #: who had a code up to the index discharge is left out; or "keep"

    @property
    def title(self) -> str:
        """What the outcome is, for a person."""
        return f"{self.label or self.name} within {self.within_days} days of {self.after}"

    def _rows(self, tables: Mapping[str, Table]) -> Table:
        """``subject_id`` and ``time`` of everything that has one of the codes."""
        diagnoses = tables["diagnoses"]
        code = diagnoses["icd_code"].strip().upper().replace(".", "")
        wanted = literal(False)
        if self.concepts and "concept" in diagnoses.columns:
            wanted |= diagnoses["concept"].isin(self.concepts)
        for version, codes in ((9, self.icd9), (10, self.icd10)):
            if codes:
                begins = "|".join(re.escape(one.replace(".", "").strip().upper()) for one in codes)
                wanted |= (diagnoses["icd_version"] == version) & code.re_search(f"^({begins})")
        parts = [diagnoses.filter(wanted).select("subject_id", "time")]
        names = [str(concept) for concept in self.concepts]
        for table in (tables[name] for name in _DATED if name in tables and names):
            parts.append(table.filter(table["code"].isin(names)).select("subject_id", "time"))
        return reduce(lambda a, b: a.union(b), parts)

    def judged(self, index: Table, tables: Mapping[str, Table]) -> Table:
        """The index admissions with ``had`` (a code up to their end) and ``happened`` afterwards.

        What is written down until the discharge is known already: it never makes the outcome.
        """
        rows = index.select("subject_id", "admit_time", "discharge_time")
        rows = rows.inner_join(self._rows(tables), "subject_id")
        begin = rows["admit_time" if self.after == "admission" else "discharge_time"]
        day, known = rows["time"].date(), rows["time"].date() <= rows["discharge_time"].date()
        soon = ~known & (day <= days_after(begin, self.within_days))
        had = known & literal(self.prior == "exclude")
        found = rows.group_by("subject_id").aggregate(had=had.any(), happened=soon.any())
        joined = index.left_join(found, "subject_id").select(*index.columns, "had", "happened")
        return joined.fill_null({"had": False, "happened": False})


def days_after(time: Value, days: int) -> Value:
    """The day so many days later."""
    import ibis

    return (time.date() + ibis.interval(days=days)).cast("date")


def read(path: str | Path) -> Phenotype:
    """Read a phenotype from JSON or YAML; what is wrong with it is said in one sentence."""
    content, keys = read_by_hand(Path(path)), tuple(Phenotype.__dataclass_fields__)
    if not isinstance(content, Mapping) or "name" not in content:
        raise InputError(f"{path} should say the name of a phenotype; use {', '.join(keys)}.")
    said: dict[str, Any] = {}
    for key, value in content.items():
        if key not in keys:
            raise InputError(f"{path} has the key {key!r}; use {', '.join(keys)}.")
        many = key in ("icd9", "icd10", "concepts")
        said[key] = tuple(value if isinstance(value, list) else [value]) if many else value
        good, wanted = _WANTED.get(key, _CODES)
        if not good(said[key]):
            raise InputError(f"{path} says {key} {value!r}; use {wanted}.")
    found = Phenotype(**said)
    if not (found.icd9 or found.icd10 or found.concepts):
        raise InputError(f"{path} has no codes; list some as icd9, icd10 or concepts.")
    return found


# What may stand behind a key, and how that is said.
_CODES = (
    lambda v: all(isinstance(one, str) and re.match(r"^\s*[A-Za-z0-9]{2}", one) for one in v),
    'a list of texts, as in ["I50", "428.0"]',
)
_WANTED: dict[str, tuple] = {
    "name": (lambda v: isinstance(v, str) and v.isidentifier(), "a word such as heart_failure"),
    "label": (lambda v: isinstance(v, str), "a text"),
    "concepts": (lambda v: all(type(one) is int for one in v), "a list of numbers, as in [316139]"),
    "within_days": (lambda v: type(v) is int and v > 0, "a whole number of 1 or more"),
    "after": (lambda v: v in ("discharge", "admission"), "discharge or admission"),
    "prior": (lambda v: v in ("exclude", "keep"), "exclude or keep"),
}
