"""Ranking candidates: weights, ties, effect sizes, and what is left out."""

import numpy as np
import pandas as pd
import pytest

from ehrsynth.errors import InputError
from ehrsynth.evaluation import SPECS, USE_CASES, rank


def table(**candidates):
    """Candidates with metrics {name: (published value, share)}, lower is better."""
    rows = []
    for candidate, metrics in candidates.items():
        for name, (value, share) in metrics.items():
            for form in ("published", "corrected"):
                rows.append((candidate, name, form, value, share, "lower"))
    columns = ["candidate", "name", "form", "value", "share", "direction"]
    return pd.DataFrame(rows, columns=columns)


@pytest.mark.parametrize("use_case", USE_CASES)
def test_weights_sum_to_one_and_name_real_metrics(use_case):
    assert sum(USE_CASES[use_case].values()) == pytest.approx(1)
    assert set(USE_CASES[use_case]) <= {spec.name for spec in SPECS}


def test_tutorials_weighted_sum_of_ranks():
    # The tutorial's notebook on five runs: ranks by metric, weights, final ranks.
    ranks = {
        "dwd": [3, 1, 5, 4, 2], "lca": [2, 1, 3, 5, 4], "mca": [3, 2, 5, 4, 1],
        "ckv": [2, 4, 1, 3, 5], "tstr": [2, 1, 3, 5, 4], "fi": [2, 1, 4, 4, 4],
        "mem": [3, 5, 2, 1, 4], "attr": [3, 2, 4, 1, 5],
    }  # fmt: skip
    weights = dict.fromkeys(ranks, 0.1) | {"tstr": 0.2, "fi": 0.2}
    frame = table(
        **{f"run {i}": {name: (r[i], 0.5) for name, r in ranks.items()} for i in range(5)}
    )
    result = rank(frame, weights=weights)
    expected = [2.4, 1.9, 3.4, 3.6, 3.7]
    assert [result.loc[f"run {i}", "rank_sum"] for i in range(5)] == pytest.approx(expected)
    assert result.loc["run 1", "published_rank"] == 1


def test_ties_share_the_mean_of_their_ranks():
    frame = table(a={"m": (1, 0.9)}, b={"m": (1, 0.9)}, c={"m": (2, 0.1)})
    result = rank(frame, weights={"m": 1})
    assert result["rank_sum"].to_dict() == {"a": 1.5, "b": 1.5, "c": 3.0}
    assert result["corrected_rank"].to_dict() == {"a": 1.0, "b": 1.0, "c": 3.0}


def test_corrected_score_knows_by_how_much():
    # b is a hair worse on two metrics and far better on one: ranks say a, effect sizes say b.
    frame = table(
        a={"x": (1.0, 0.901), "y": (1.0, 0.901), "z": (9.0, 0.1)},
        b={"x": (1.1, 0.900), "y": (1.1, 0.900), "z": (1.0, 0.9)},
    )
    result = rank(frame, weights={"x": 1, "y": 1, "z": 1})
    assert result["published_rank"].idxmin() == "a"
    assert result.index[0] == "b"
    assert result.loc["b", "score"] == pytest.approx(0.9)


def test_direction_higher_is_respected():
    frame = table(a={"m": (0.9, 0.9)}, b={"m": (0.5, 0.1)}).assign(direction="higher")
    assert rank(frame, weights={"m": 1})["published_rank"].idxmin() == "a"


def test_metric_that_one_candidate_lacks_is_left_out_for_all():
    frame = table(a={"m": (1, 0.9), "n": (5, np.nan)}, b={"m": (2, 0.5), "n": (1, 0.9)})
    result = rank(frame, weights={"m": 0.3, "n": 0.7})
    assert result.attrs["left_out"] == {"published": [], "corrected": ["n"]}
    assert result.loc["a", "score"] == pytest.approx(0.9)


def test_unusable_input_is_refused():
    frame = table(a={"m": (1, 0.9)})
    with pytest.raises(InputError, match="'x'"):
        rank(frame, weights={"x": 1})
    with pytest.raises(InputError, match="no use case 'art'"):
        rank(frame, use_case="art")
    with pytest.raises(InputError, match="no report"):
        rank({})
    with pytest.raises(InputError, match="negative"):
        rank(frame, weights={"m": -1})
    with pytest.raises(InputError, match="candidate"):
        rank(frame.drop(columns="candidate"))
    with pytest.raises(InputError, match="in common"):
        rank(table(a={"m": (np.nan, np.nan)}), weights={"m": 1})
