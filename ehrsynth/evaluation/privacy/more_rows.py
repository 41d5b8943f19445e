"""More rows, more leak: membership by moments while more and more rows are released.

What a generator learned of its patients is in every row a little; a table of ten times as many
rows shows it more clearly. Asked is the attack by moments, which needs no row to be near; it sees
the sums of a table only, so that any number of rows passes through. AUROC 0.5 for fresh patients.
"""

from collections.abc import Iterable
from itertools import accumulate, chain, islice

import pandas as pd

from ...schema import Schema
from ...statistics import auroc
from ..learners import PROFILES
from ..setting import with_references
from . import moments
from .reference import Shape, attacked
from .success import ALARMS

MORE_ROWS = "membership by moments, as more rows are released"  # where a report's facts have it
SHADOWS = "audit by shadow models"
TIMES = (1, 3, 10)  # of the rows of train


def by_rows(
    train: pd.DataFrame, holdout: pd.DataFrame, schema: Schema, tables: Iterable[pd.DataFrame],
    profile: str = "full", seed: int = 0,
) -> list[dict[str, float]]:  # fmt: skip
    """The attack on 1, 3 and 10 of these tables of the same model taken together.
    Chapter privacy, "What these tests cannot show".
    """
    clean = (schema.plausible(t[schema.names])[0] for t in chain((train, holdout), tables))
    train, holdout, first = islice(clean, 3)
    setting = with_references(train, holdout, first, schema, PROFILES[profile], seed)["synthetic"]
    whom, matrices = setting.once(attacked), map(setting.encoder.transform, clean)
    known, used = Shape.of(whom.reference), whom.used[whom.scored]
    found, shapes = [], map(Shape.of, chain([setting.candidate.matrix], matrices))
    for count, made in enumerate(accumulate(shapes, Shape.joined), 1):
        if count in TIMES:
            score = moments.score(whom.patients, known, made)[whom.scored]
            value, low, high = (float(f"{x:.4g}") for x in auroc(score[used], score[~used]))
            found.append({"rows": made.n, "AUROC": value, "from": low, "to": high})
    return found


def exposing_rows(facts: dict) -> dict[str, float]:
    """More rows that expose more, or {}. Chapter privacy, "What these tests cannot show"."""
    few, *rest = facts.get(MORE_ROWS) or [{}]
    care = float(ALARMS["moments_attack"]["care"])
    more = [r for r in rest if r["from"] > 0.5 and r["AUROC"] >= max(care, few["AUROC"])]
    told = {"few": few.get("rows", 0), "first": 100 * few.get("AUROC", 0.0)}
    return {"rows": more[-1]["rows"], "value": 100 * more[-1]["AUROC"]} | told if more else {}


def audited(facts: dict) -> int:
    """0 nothing seen, 1 care, 2 no release. Chapter privacy, "What these tests cannot show"."""
    limits = [float(ALARMS["moments_attack"][level]) for level in ("care", "bad")]
    return max([sum(row["AUROC"] >= limit and row["from"] > 0.5 for limit in limits)
                for row in facts.get(SHADOWS, [])], default=0)  # fmt: skip
