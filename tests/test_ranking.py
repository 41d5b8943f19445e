"""Ranking candidates: weights, ties, effect sizes, and what is left out."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from ehrsynth import plots
from ehrsynth.errors import InputError
from ehrsynth.evaluation import SPECS, USE_CASES, chance_of_first, choose, rank, sensitivity


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


def test_table_of_weights_is_what_is_used():
    lines = Path(choose.__file__).with_name("use_cases.csv").read_text(encoding="utf-8").split()
    text = " ".join(lines).replace(",", " ")
    assert text.count("membership_inference") == len(USE_CASES) == 5
    assert USE_CASES["machine-learning development"]["tstr_auroc"] == 0.2
    assert sum(map(len, USE_CASES.values())) == text.count(" 0.")


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


def test_whom_privacy_calls_bad_gets_no_rank_and_moves_nobody():
    made = {"a": {"m": (1, 0.9), "n": (3, 0.8)}, "b": {"m": (2, 0.8), "n": (2, 0.9)}}
    copy = {"copy": {"m": (0, 1.0), "n": (2.5, 1.0)}}
    frame = table(**copy, **made).assign(family="privacy", verdict="good")
    weights = {"m": 0.6, "n": 0.4}
    assert rank(frame, weights=weights).index[0] == "copy"
    frame.loc[frame["candidate"] == "copy", "verdict"] = "bad"
    result, without = rank(frame, weights=weights), rank(table(**made), weights=weights)
    assert result.attrs["barred"] == ["copy"] and result.index[-1] == "copy"
    assert result.loc["copy", ["corrected_rank", "published_rank"]].isna().all()
    assert result.loc["copy", "score"] == 1
    pd.testing.assert_frame_equal(result.iloc[:2], without, check_dtype=False)
    assert without.attrs["barred"] == []
    assert chance_of_first(frame, weights=weights)["copy"] == 0
    assert rank(frame.assign(verdict="bad"), weights=weights)["corrected_rank"].isna().all()


def test_a_metric_that_only_a_barred_candidate_lacks_still_counts():
    """A copy as large as train has no published latent clusters: their logarithm is of zero."""
    made = {"a": {"m": (1, 0.9), "n": (3, 0.8)}, "b": {"m": (2, 0.8), "n": (2, 0.9)}}
    copy = {"copy": {"m": (0, 0.6), "n": (np.nan, np.nan)}}
    frame = table(**copy, **made).assign(family="privacy", verdict="good")
    frame.loc[frame["candidate"] == "copy", "verdict"] = "bad"
    weights = {"m": 0.4, "n": 0.6}
    result, without = rank(frame, weights=weights), rank(table(**made), weights=weights)
    pd.testing.assert_frame_equal(result.iloc[:2], without, check_dtype=False)
    assert result.attrs["left_out"] == {"published": [], "corrected": []}
    assert result.loc["copy", "score"] == pytest.approx(0.6), "the mean of what it has"
    assert chance_of_first(frame, weights=weights).to_dict() == {"copy": 0, "a": 0, "b": 1}
    every = rank(frame.assign(verdict="bad"), weights=weights)
    assert every.attrs["left_out"] == {"published": ["n"], "corrected": ["n"]}


# -- how sure the first place is -------------------------------------------------------------


def uncertain(runs=1, spread=0.0, **candidates):
    """Candidates with one metric each, from 0 (worst) to 1 (best): {name: (share, half width)}."""
    rng = np.random.default_rng(0)
    rows = []
    for candidate, (share, half) in candidates.items():
        for run in range(runs):
            value = share + spread * rng.normal()
            rows.append((candidate, run, "m", value, value, value - half, value + half))
    columns = ["candidate", "run", "name", "value", "share", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=columns).assign(
        form="corrected", family="utility", direction="higher", best=1.0, worst=0.0
    )


@pytest.mark.parametrize("half", [0.0, 0.1])
@pytest.mark.parametrize("k", [2, 5])
def test_identical_candidates_are_equally_likely_first(k, half):
    frame = uncertain(**{f"c{i}": (0.6, half) for i in range(k)})
    chance = chance_of_first(frame, weights={"m": 1}, draws=4_000)
    assert chance.sum() == pytest.approx(1)
    assert chance.to_numpy() == pytest.approx(1 / k, abs=0.03)


def test_who_dominates_is_first_for_sure():
    frame = uncertain(good=(0.9, 0.05), bad=(0.2, 0.05), worse=(0.1, 0.05))
    assert chance_of_first(frame, weights={"m": 1})["good"] == 1


def test_chance_follows_from_the_intervals():
    # Two normal values 0.1 apart, each with standard error 0.1: P = Phi(0.1 / 0.1414) = 0.760.
    frame = uncertain(a=(0.6, 0.196), b=(0.5, 0.196))
    chance = chance_of_first(frame, weights={"m": 1}, draws=20_000)
    assert chance["a"] == pytest.approx(0.760, abs=0.01)


def test_runs_that_differ_make_the_first_place_less_sure():
    one = uncertain(a=(0.6, 0.0), b=(0.55, 0.0))
    assert chance_of_first(one, weights={"m": 1})["a"] == 1
    many = uncertain(runs=5, spread=0.2, a=(0.6, 0.0), b=(0.55, 0.0))
    assert 0.1 < chance_of_first(many, weights={"m": 1})["a"] < 0.9
    assert len(rank(many, weights={"m": 1})) == 2


def test_same_seed_same_chance():
    frame = uncertain(a=(0.6, 0.1), b=(0.55, 0.1))
    first, again, other = (chance_of_first(frame, weights={"m": 1}, seed=s) for s in (1, 1, 2))
    assert first.equals(again) and not first.equals(other)


def test_score_moves_with_the_weight_of_a_family():
    # A copy: perfect everywhere but in privacy; and one that is 0.7 in everything.
    weights = USE_CASES["data sharing"]
    private = {s.name for s in SPECS if s.family == "privacy"}
    families = {s.name: s.family for s in SPECS}
    rows = [
        (candidate, name, families[name], share)
        for name in weights
        for candidate, share in (("copy", float(name not in private)), ("even", 0.7))
    ]
    frame = pd.DataFrame(rows, columns=["candidate", "name", "family", "share"])
    frame = frame.assign(form="corrected", direction="higher", value=frame["share"])
    paths = sensitivity(frame, "data sharing", steps=11)
    assert paths["copy"].to_numpy() == pytest.approx(1 - np.linspace(0, 1, 11))
    assert paths["even"].to_numpy() == pytest.approx(0.7)
    ax = plots.sensitivity(paths, current=0.5)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["copy", "even"]
    shaded = [patch.get_facecolor()[:3] for patch in ax.patches]
    colors = [line.get_color() for line in ax.lines[:2]]
    # The copy loses the first place at 30 % on privacy, where both have 0.7.
    assert [colors.index(color) for color in shaded][:3] == [0, 0, 0]
    assert [colors.index(color) for color in shaded][4:] == [1] * 7
    plt.close(ax.figure)
    with pytest.raises(InputError, match="fairness"):
        sensitivity(frame, "data sharing", family="fairness")
