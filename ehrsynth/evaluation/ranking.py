"""Choosing one of several synthetic data sets for a use case.

The tutorial ranks the candidates by each metric and adds the ranks up with weights. That ignores
by how much one is better, so the corrected score adds up how far each candidate has come from
the worst reference to the best.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ..errors import InputError

# Weights by metric. "machine-learning development" is the tutorial's own profile; "education"
# and "software testing" are the companion benchmark's (its "system design"), doi
# 10.1038/s41467-022-35295-1, Table 2, whose one weight for distributions is shared by the two
# kinds of columns, and the one for prediction by TSTR and TRTS. "data sharing" is ours.
USE_CASES: dict[str, dict[str, float]] = {
    "machine-learning development": {
        "dimension_wise_distribution_binary": 0.05,
        "dimension_wise_distribution_continuous": 0.05,
        "latent_cluster_analysis": 0.1,
        "medical_concept_abundance": 0.1,
        "clinical_knowledge_violation": 0.1,
        "tstr_auroc": 0.2,
        "feature_importance": 0.2,
        "membership_inference": 0.1,
        "attribute_inference": 0.1,
    },
    "education": {
        "dimension_wise_distribution_binary": 0.125,
        "dimension_wise_distribution_continuous": 0.125,
        "column_wise_correlation": 0.15,
        "latent_cluster_analysis": 0.05,
        "tstr_auroc": 0.025,
        "trts_auroc": 0.025,
        "feature_importance": 0.05,
        "clinical_knowledge_violation": 0.15,
        "medical_concept_abundance": 0.1,
        "attribute_inference": 0.05,
        "membership_inference": 0.05,
        "meaningful_identity_disclosure": 0.05,
        "nearest_neighbor_adversarial_accuracy": 0.05,
    },
    "software testing": {
        "dimension_wise_distribution_binary": 0.075,
        "dimension_wise_distribution_continuous": 0.075,
        "column_wise_correlation": 0.04,
        "latent_cluster_analysis": 0.04,
        "tstr_auroc": 0.02,
        "trts_auroc": 0.02,
        "feature_importance": 0.04,
        "clinical_knowledge_violation": 0.04,
        "medical_concept_abundance": 0.15,
        "attribute_inference": 0.125,
        "membership_inference": 0.125,
        "meaningful_identity_disclosure": 0.125,
        "nearest_neighbor_adversarial_accuracy": 0.125,
    },
    "data sharing": {
        "dimension_wise_distribution_binary": 0.05,
        "dimension_wise_distribution_continuous": 0.05,
        "column_wise_correlation": 0.1,
        "latent_cluster_analysis": 0.05,
        "medical_concept_abundance": 0.05,
        "clinical_knowledge_violation": 0.05,
        "tstr_auroc": 0.1,
        "feature_importance": 0.05,
        "membership_inference": 0.2,
        "attribute_inference": 0.15,
        "meaningful_identity_disclosure": 0.1,
        "nearest_neighbor_adversarial_accuracy": 0.05,
    },
}


def rank(
    reports: Mapping | pd.DataFrame,
    use_case: str = "machine-learning development",
    weights: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Rank candidate data sets for a use case, as published and corrected.

    Parameters
    ----------
    reports : mapping of str to Report, or DataFrame
        By the candidate's name; or their ``to_frame()`` tables under each other with a column
        "candidate".
    use_case : str
        One of :data:`USE_CASES`.
    weights : mapping of str to float, optional
        Weights by metric instead of a use case; they are scaled to sum 1.

    Returns
    -------
    DataFrame
        One row a candidate, the best first by the corrected score. ``rank_sum`` is the weighted
        mean of the ranks by published metrics (1 is best; equal values share the mean of their
        ranks) and ``published_rank`` its order; ``score`` is the weighted mean of the way from
        the worst (0) to the best (1) reference by corrected metrics, each between 0 and 1, and
        ``corrected_rank`` its order. ``attrs["left_out"]`` names metrics that not every
        candidate has, by form; their weight goes to the others.

    Raises
    ------
    InputError
        For an unknown use case or metric, or when nothing can be compared.
    """
    frame = _long(reports)
    if weights is None:
        if use_case not in USE_CASES:
            raise InputError(
                f"There is no use case {use_case!r}; use one of {', '.join(USE_CASES)}."
            )
        weights = USE_CASES[use_case]
    unknown = sorted(set(weights) - set(frame["name"]))
    if unknown:
        raise InputError(f"No report has the metric {unknown[0]!r}; check the weights.")
    if min(weights.values(), default=0) < 0 or sum(weights.values()) <= 0:
        raise InputError("Weights must not be negative and one must be above 0.")
    names = list(dict.fromkeys(frame["candidate"]))
    ranks, lost_ranks = _table(frame, weights, "published", "value", names)
    shares, lost_shares = _table(frame, weights, "corrected", "share", names)
    if ranks.empty and shares.empty:
        raise InputError("The reports have no metric in common that has a value.")
    lower = frame.drop_duplicates("name").set_index("name")["direction"] == "lower"
    for metric in ranks.columns:
        ranks[metric] = ranks[metric].rank(method="average", ascending=bool(lower[metric]))
    result = pd.DataFrame(
        {
            "rank_sum": _weighted(ranks, weights),
            "score": _weighted(shares.clip(0, 1), weights),
        },
        index=pd.Index(names, name="candidate"),
    )
    result["published_rank"] = result["rank_sum"].rank(method="min")
    result["corrected_rank"] = result["score"].rank(method="min", ascending=False)
    result = result.sort_values(
        ["corrected_rank", "published_rank"], kind="stable", na_position="last"
    )
    result.attrs["left_out"] = {"published": lost_ranks, "corrected": lost_shares}
    return result[["score", "corrected_rank", "rank_sum", "published_rank"]]


def _long(reports) -> pd.DataFrame:
    if isinstance(reports, pd.DataFrame):
        if "candidate" not in reports.columns:
            raise InputError("The table of metrics has no column 'candidate'; add one.")
        return reports
    if not reports:
        raise InputError("There is no report to rank; give at least one.")
    return pd.concat(
        [report.to_frame().assign(candidate=name) for name, report in reports.items()],
        ignore_index=True,
    )


def _table(frame, weights, form: str, column: str, names: list[str]):
    """Candidates by metrics, in this form (or the only one there is), where all have a value."""
    kept, lost = {}, []
    for metric, weight in weights.items():
        rows = frame[frame["name"] == metric]
        if (rows["form"] == form).any():
            rows = rows[rows["form"] == form]
        values = rows.set_index("candidate")[column].reindex(names).astype(float)
        if weight > 0 and values.notna().all():
            kept[metric] = values
        elif weight > 0:
            lost.append(metric)
    return pd.DataFrame(kept, index=names), lost


def _weighted(table: pd.DataFrame, weights: Mapping[str, float]) -> np.ndarray:
    if table.empty:
        return np.full(len(table.index), np.nan)
    weight = np.array([weights[metric] for metric in table.columns])
    return table.to_numpy(float) @ (weight / weight.sum())
