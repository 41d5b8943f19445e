"""Choosing one of several synthetic data sets for a use case.

The tutorial adds up ranks with weights, which ignores by how much one is better; the corrected
score adds up how far each has come from the worst reference to the best.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import InputError, check_choice
from ..statistics import Z95

# Weights by metric. "machine-learning development" is the tutorial's own profile, which later gave
# the weight of abundance to correlations; "education" and "software testing" ("system design") are
# the companion benchmark's, doi 10.1038/s41467-022-35295-1, Table 2, with two metrics each for
# distributions and for prediction. "data sharing" is ours.
_TABLE = pd.read_csv(Path(__file__).with_name("use_cases.csv"))
USE_CASES: dict[str, dict[str, float]] = {
    str(case): dict(zip(rows["metric"], rows["weight"], strict=True))
    for case, rows in _TABLE.groupby("use_case", sort=False)
}


def rank(
    reports: Mapping | pd.DataFrame, use_case: str = "machine-learning development",
    weights: Mapping[str, float] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Rank candidate data sets for a use case, as published and corrected.
    Chapter choosing-and-releasing, "From many metrics to one order".

    Privacy is a door, not a weight: whom its verdict calls bad gets no rank.

    Parameters
    ----------
    reports : mapping of str to Report (or to several), or DataFrame
        By the candidate's name; of several reports of one candidate, its runs, the mean counts.
        Or their ``to_frame()`` tables under each other with a column "candidate" (and "run").
    use_case, weights : str, mapping of str to float, optional
        One of :data:`USE_CASES`; or weights by metric instead, scaled to sum 1.

    Returns
    -------
    DataFrame
        One row a candidate, the best first by the corrected score. ``rank_sum`` is the weighted
        mean of the ranks by published metrics (1 is best; ties share the mean), ``score`` that of
        the way from the worst (0) to the best (1) reference by corrected metrics; each has its
        order beside it. ``attrs["barred"]`` are the candidates without a rank: patients are
        exposed in them. ``attrs["left_out"]`` names metrics that not every other candidate has,
        by form; their weight goes to the rest.
    """
    frame = _long(reports)
    weights = _weights(frame, use_case, weights)
    values, lost_values = _table(frame, weights, "published", "value")
    shares, lost_shares = _table(frame, weights, "corrected", "share")
    if values.empty and shares.empty:
        raise InputError("The reports have no metric in common that has a value.")
    lower = set(frame.loc[frame["direction"] == "lower", "name"])
    barred = _barred(frame)
    ranks = values.drop(index=barred).apply(lambda m: m.rank(ascending=m.name in lower))
    result = _weighted(shares.clip(0, 1), weights).to_frame("score")
    ranked = result["score"].drop(index=barred)
    result["corrected_rank"] = ranked.rank(method="min", ascending=False)
    result["rank_sum"] = _weighted(ranks, weights)
    result["published_rank"] = result["rank_sum"].rank(method="min")
    order = ["corrected_rank", "published_rank", "score"]
    result = result.sort_values(order, ascending=[True, True, False], kind="stable")
    result.attrs["barred"] = barred
    result.attrs["left_out"] = {"published": lost_values, "corrected": lost_shares}
    return result


def chance_of_first(
    reports: Mapping | pd.DataFrame, use_case: str = "machine-learning development",
    weights: Mapping[str, float] | None = None, draws: int = 2_000, seed: int = 0,
) -> pd.Series:  # fmt: skip
    """How likely each candidate is really the first, by its corrected score.
    Chapter choosing-and-releasing, "How sure is the first place?".

    The runs of a candidate are drawn again with replacement, and each metric, independently,
    within its interval, which says what other patients would have given. Whoever has the highest
    score of a draw is first; who share it, share the place. Who gets no rank is never first.

    Parameters
    ----------
    reports, use_case, weights : mapping or DataFrame, str, mapping of str to float
        As for :func:`rank`. With one report a candidate, only the patients are drawn again.
    draws, seed : int
    """
    frame = _long(reports)
    weights = _weights(frame, use_case, weights)
    kept = _table(frame, weights, "corrected", "share")[0]
    if kept.empty:
        raise InputError("The reports have no metric in common that has a value.")
    weight = np.array([weights[metric] for metric in kept.columns])
    rng = np.random.default_rng(seed)
    score = np.empty((draws, len(kept)))
    rows = _of_form(frame, "corrected")
    for column, name in enumerate(kept.index):
        runs = rows[rows["candidate"] == name].pivot(index="run", columns="name")
        share, error = (runs[what][kept.columns].to_numpy(float) for what in ("share", "error"))
        chosen = rng.integers(0, len(runs), (draws, len(runs)))
        drawn = np.clip(rng.normal(share[chosen], error[chosen]), 0, 1)
        score[:, column] = drawn.mean(axis=1) @ (weight / weight.sum())
    score[:, kept.index.isin(_barred(frame))] = -1  # out of the race
    first = score == score.max(axis=1, keepdims=True)
    return pd.Series((first / first.sum(axis=1, keepdims=True)).mean(axis=0), index=kept.index)


def sensitivity(
    reports: Mapping | pd.DataFrame, use_case: str = "machine-learning development",
    family: str = "privacy", steps: int = 21,
) -> pd.DataFrame:  # fmt: skip
    """The score of each candidate while one family gets more and more of the total weight.
    Chapter choosing-and-releasing, "How much depends on the weights?".

    Told are scores by the family's share of the weight (rows) and candidate.

    Parameters
    ----------
    reports, use_case : mapping or DataFrame, str
        As for :func:`rank`.
    family : {"privacy", "fidelity", "utility", "fairness"}
        Whose weight moves; inside and outside the family, weights keep their proportions.
    steps : int
        Shares of the weight that are tried, from 0 to 1.
    """
    frame = _long(reports)
    base = pd.Series(_weights(frame, use_case, None))
    member = base.index.isin(frame.loc[frame["family"] == family, "name"])
    inside, outside = base.where(member, 0), base.where(~member, 0)
    if inside.sum() == 0 or outside.sum() == 0:
        raise InputError(f"The use case {use_case!r} cannot move weight to the family {family!r}.")
    rows = {}
    for share in np.linspace(0, 1, steps):
        moved = share * inside / inside.sum() + (1 - share) * outside / outside.sum()
        rows[float(share)] = rank(frame, weights=dict(moved))["score"]
    return pd.DataFrame(rows).T[frame["candidate"].unique()]


def _weights(frame: pd.DataFrame, use_case: str, weights) -> Mapping[str, float]:
    if weights is None:
        check_choice("use case", use_case, USE_CASES)
        weights = USE_CASES[use_case]
    if unknown := sorted(set(weights) - set(frame["name"])):
        raise InputError(f"No report has the metric {unknown[0]!r}; check the weights.")
    if min(weights.values(), default=0) < 0 or sum(weights.values()) <= 0:
        raise InputError("Weights must not be negative and one must be above 0.")
    return weights


def _long(reports) -> pd.DataFrame:
    """One row a candidate, run and metric, with the standard error of the share."""
    if isinstance(reports, pd.DataFrame):
        frame = reports
    elif not reports:
        raise InputError("There is no report to rank; give at least one.")
    else:
        frame = pd.concat(
            report.to_frame().assign(candidate=name, run=run)
            for name, runs in reports.items()
            for run, report in enumerate(runs if isinstance(runs, Sequence) else [runs])
        ).reset_index(drop=True)
    if "candidate" not in frame:
        raise InputError("The table of metrics has no column 'candidate'; add one.")
    if "run" not in frame:
        frame = frame.assign(run=0)
    ends = frame.reindex(columns=["ci_low", "ci_high", "best", "worst"]).astype(float)
    width, span = ends["ci_high"] - ends["ci_low"], (ends["best"] - ends["worst"]).abs()
    error = (width / (2 * Z95) / span.where(span > 0)).fillna(0.0)
    return frame.assign(error=error).astype({"value": float, "share": float})


def _barred(frame: pd.DataFrame) -> list[str]:
    """Candidates of which a run is bad in privacy, where the table says so."""
    if "verdict" not in frame:
        return []
    bad = (frame["family"] == "privacy") & (frame["verdict"] == "bad")
    return list(frame.loc[bad, "candidate"].unique())


def _of_form(frame: pd.DataFrame, form: str) -> pd.DataFrame:
    """The rows of this form, and those of metrics that have only the other one."""
    has = set(frame.loc[frame["form"] == form, "name"])
    return frame[(frame["form"] == form) | ~frame["name"].isin(has)]


def _table(
    frame: pd.DataFrame, weights: Mapping[str, float], form: str, column: str
) -> tuple[pd.DataFrame, list[str]]:
    """Means of runs by candidate, of metrics that all have who may be ranked; the others."""
    runs = _of_form(frame, form).groupby(["candidate", "name"], sort=False)[column]
    wide = runs.agg(lambda values: values.mean(skipna=False)).unstack()
    wanted = [metric for metric, weight in weights.items() if weight > 0]
    wide = wide.reindex(index=pd.unique(frame["candidate"]), columns=wanted)
    out = wide.index.isin(_barred(frame))
    kept = wide[~out | out.all()].notna().all()
    return wide.loc[:, kept], list(wide.columns[~kept])


def _weighted(table: pd.DataFrame, weights: Mapping[str, float]) -> pd.Series:
    """Weighted means of what each row has; missing where that is nothing."""
    weight = pd.Series(weights, dtype=float)[table.columns]
    return table.mul(weight).sum(axis=1) / table.notna().mul(weight).sum(axis=1)
