"""Choosing one of several synthetic data sets for a use case.

The tutorial ranks the candidates by each metric and adds the ranks up with weights. That ignores
by how much one is better: the corrected score adds up how far each has come from the worst
reference to the best.
"""

from collections.abc import Mapping, Sequence
from importlib.resources import files

import numpy as np
import pandas as pd

from ..errors import InputError
from ..statistics import Z95


def _use_cases() -> dict[str, dict[str, float]]:
    with (files(__package__) / "use_cases.csv").open(encoding="utf-8") as file:
        cases = pd.read_csv(file, index_col="metric").groupby("use_case", sort=False)
    return {str(name): dict(rows["weight"]) for name, rows in cases}


# Weights by metric. "machine-learning development" is the tutorial's own profile; "education"
# and "software testing" are the companion benchmark's (its "system design"), doi
# 10.1038/s41467-022-35295-1, Table 2, whose one weight for distributions is shared by the two
# kinds of columns, and the one for prediction by TSTR and TRTS. "data sharing" is ours.
USE_CASES = _use_cases()


def rank(
    reports: Mapping | pd.DataFrame,
    use_case: str = "machine-learning development",
    weights: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Rank candidate data sets for a use case, as published and corrected.
    Chapter choosing-and-releasing, "From many metrics to one order".

    Parameters
    ----------
    reports : mapping of str to Report (or to several), or DataFrame
        By the candidate's name; of several reports of one candidate, its runs, the mean counts.
        Or their ``to_frame()`` tables under each other with a column "candidate" (and "run").
    use_case : str
        One of :data:`USE_CASES`.
    weights : mapping of str to float, optional
        Weights by metric instead of a use case; they are scaled to sum 1.

    Returns
    -------
    DataFrame
        One row a candidate, the best first by the corrected score. ``rank_sum`` is the weighted
        mean of the ranks by published metrics (1 is best; ties share the mean), ``score`` that of
        the way from the worst (0) to the best (1) reference by corrected metrics; each has its
        order beside it. ``attrs["left_out"]`` names metrics that not every candidate has, by
        form; their weight goes to the others.

    Raises
    ------
    InputError
        For an unknown use case or metric, or when nothing can be compared.
    """
    frame = _mean_of_runs(_long(reports))
    weights = _weights(frame, use_case, weights)
    names = list(frame["candidate"].unique())
    values, lost_values = _table(frame, weights, "published", "value", names)
    shares, lost_shares = _table(frame, weights, "corrected", "share", names)
    if values.empty and shares.empty:
        raise InputError("The reports have no metric in common that has a value.")
    lower = set(frame.loc[frame["direction"] == "lower", "name"])
    ranks = pd.DataFrame({m: values[m].rank(ascending=m in lower) for m in values}, index=names)
    result = pd.DataFrame(
        {"score": _weighted(shares.clip(0, 1), weights), "rank_sum": _weighted(ranks, weights)},
        index=pd.Index(names, name="candidate"),
    )
    result.insert(1, "corrected_rank", result["score"].rank(method="min", ascending=False))
    result["published_rank"] = result["rank_sum"].rank(method="min")
    order = ["corrected_rank", "published_rank"]
    result = result.sort_values(order, kind="stable", na_position="last")
    result.attrs["left_out"] = {"published": lost_values, "corrected": lost_shares}
    return result


def chance_of_first(
    reports: Mapping | pd.DataFrame,
    use_case: str = "machine-learning development",
    weights: Mapping[str, float] | None = None,
    draws: int = 2_000,
    seed: int = 0,
) -> pd.Series:
    """How likely each candidate is really the first, by its corrected score.
    Chapter choosing-and-releasing, "How sure is the first place?".

    The runs of a candidate are drawn again with replacement, and each metric, independently,
    within its interval, which says what other patients would have given. Whoever has the highest
    score of a draw is first; who share it, share the place.

    Parameters
    ----------
    reports : mapping or DataFrame
    use_case : str
    weights : mapping of str to float, optional
        As for :func:`rank`. With one report a candidate, only the patients are drawn again:
        another training run may differ by more.
    draws, seed : int

    Returns
    -------
    Series
        By candidate, summing to 1.
    """
    frame = _long(reports)
    weights = _weights(frame, use_case, weights)
    names = list(frame["candidate"].unique())
    kept = _table(_mean_of_runs(frame), weights, "corrected", "share", names)[0]
    if kept.empty:
        raise InputError("The reports have no metric in common that has a value.")
    weight = np.array([weights[metric] for metric in kept.columns])
    rng = np.random.default_rng(seed)
    score = np.empty((draws, len(names)))
    rows = _of_form(frame, "corrected")
    for column, name in enumerate(names):
        runs = rows[rows["candidate"] == name].pivot(index="run", columns="name")
        share, error = (runs[what][kept.columns].to_numpy(float) for what in ("share", "error"))
        chosen = rng.integers(0, len(runs), (draws, len(runs)))
        drawn = np.clip(rng.normal(share[chosen], error[chosen]), 0, 1)
        score[:, column] = drawn.mean(axis=1) @ (weight / weight.sum())
    first = score == score.max(axis=1, keepdims=True)
    return pd.Series((first / first.sum(axis=1, keepdims=True)).mean(axis=0), index=names)


def sensitivity(
    reports: Mapping | pd.DataFrame,
    use_case: str = "machine-learning development",
    family: str = "privacy",
    steps: int = 21,
) -> pd.DataFrame:
    """The score of each candidate while one family gets more and more of the total weight.
    Chapter choosing-and-releasing, "How much depends on the weights?".

    Parameters
    ----------
    reports : mapping or DataFrame
    use_case : str
        As for :func:`rank`.
    family : {"privacy", "fidelity", "utility", "fairness"}
        Whose weight moves; inside and outside the family, weights keep their proportions.
    steps : int
        Shares of the weight that are tried, from 0 to 1.

    Returns
    -------
    DataFrame
        Scores by the family's share of the weight (rows) and candidate.

    Raises
    ------
    InputError
        If the use case gives the family no weight, or all of it.
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


def check_use_case(name: str) -> None:
    """Refuse a use case that there is not.
    Chapter choosing-and-releasing, "Look: one order for each use case".
    """
    if name not in USE_CASES:
        raise InputError(f"There is no use case {name!r}; use one of {', '.join(USE_CASES)}.")


def _weights(frame: pd.DataFrame, use_case: str, weights) -> Mapping[str, float]:
    if weights is None:
        check_use_case(use_case)
        weights = USE_CASES[use_case]
    unknown = sorted(set(weights) - set(frame["name"]))
    if unknown:
        raise InputError(f"No report has the metric {unknown[0]!r}; check the weights.")
    if min(weights.values(), default=0) < 0 or sum(weights.values()) <= 0:
        raise InputError("Weights must not be negative and one must be above 0.")
    return weights


def _long(reports) -> pd.DataFrame:
    """One row a candidate, run and metric, with the standard error of the share."""
    if isinstance(reports, pd.DataFrame):
        if "candidate" not in reports.columns:
            raise InputError("The table of metrics has no column 'candidate'; add one.")
        frame = reports if "run" in reports.columns else reports.assign(run=0)
    elif not reports:
        raise InputError("There is no report to rank; give at least one.")
    else:
        frames = []
        for name, runs in reports.items():
            for run, report in enumerate(runs if isinstance(runs, Sequence) else [runs]):
                frames.append(report.to_frame().assign(candidate=name, run=run))
        frame = pd.concat(frames, ignore_index=True)
    if {"ci_low", "ci_high", "best", "worst"} <= set(frame.columns):
        span = (frame["best"] - frame["worst"]).abs()
        error = (frame["ci_high"] - frame["ci_low"]) / (2 * Z95) / span.where(span > 0)
        return frame.assign(error=error.astype(float).fillna(0.0))
    return frame.assign(error=0.0)


def _mean_of_runs(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a candidate and metric; a metric that a run lacks has no mean."""
    keys = ["candidate", "name", "form"]
    numbers = frame.astype({"value": float, "share": float}).groupby(keys, sort=False)
    means = numbers[["value", "share"]].agg(lambda values: values.mean(skipna=False))
    return means.join(numbers[["direction"]].first()).reset_index()


def _of_form(frame: pd.DataFrame, form: str) -> pd.DataFrame:
    """The rows of this form, and those of metrics that have only the other one."""
    has = set(frame.loc[frame["form"] == form, "name"])
    return frame[(frame["form"] == form) | ~frame["name"].isin(has)]


def _table(
    frame: pd.DataFrame, weights: Mapping[str, float], form: str, column: str, names: list[str]
) -> tuple[pd.DataFrame, list[str]]:
    """Candidates by metrics where all have a value; the metrics where not all have one."""
    wide = _of_form(frame, form).pivot(index="candidate", columns="name", values=column)
    wanted = [metric for metric, weight in weights.items() if weight > 0]
    wide = wide.reindex(index=names, columns=wanted).astype(float)
    kept = wide.notna().all()
    return wide.loc[:, kept], [metric for metric in wanted if not kept[metric]]


def _weighted(table: pd.DataFrame, weights: Mapping[str, float]) -> np.ndarray:
    if table.empty:
        return np.full(len(table.index), np.nan)
    weight = np.array([weights[metric] for metric in table.columns])
    return table.to_numpy(float) @ (weight / weight.sum())
