"""Fidelity metrics against hand-computed cases and data of known quality."""

import warnings

import numpy as np
import pandas as pd
import pytest
from known_truth import noisy_copy, population
from scipy.stats import wasserstein_distance
from sklearn.cluster import KMeans
from toy import toy_patients, toy_schema

from ehrsynth.cohort import split
from ehrsynth.evaluation import PROFILES, evaluate, fidelity, judge, learners, marginals
from ehrsynth.evaluation.intervals import folded
from ehrsynth.evaluation.neighbours import Neighborhoods
from ehrsynth.evaluation.setting import Encoder, independent, with_references
from ehrsynth.schema import Column, Schema
from ehrsynth.statistics import Estimate, NotComputable

SPECS = {(s.name, s.form): s for s in judge.SPECS if s.family == "fidelity"}


@pytest.fixture(scope="module")
def train():
    return population(1500, 40, seed=1)


@pytest.fixture(scope="module")
def scenes(train):
    synthetic, holdout = population(1500, 40, seed=3), population(700, 40, seed=2)
    return with_references(train, holdout, synthetic, Schema.of(train), PROFILES["fast"], seed=0)


def value(name, form, setting):
    return SPECS[name, form].evaluate(setting, seed=0)


# -- what is compared --------------------------------------------------------------------


def test_what_metrics_share_is_computed_once_for_a_setting(scenes):
    asked = []
    for name in ("synthetic", "synthetic", "holdout"):
        scenes[name].once(asked.append)
    assert asked == [scenes["synthetic"], scenes["holdout"]]


def test_corrected_metrics_compare_as_many_synthetic_as_held_out_patients(scenes):
    setting = scenes["synthetic"]
    assert len(setting.even_candidate) == len(setting.holdout) == 700


# -- formulas ------------------------------------------------------------------------------


def test_prevalence_difference_by_hand():
    real = np.array([[1, 0], [1, 0], [0, 1], [0, 0]])
    candidate = np.array([[1, 0], [0, 0]])
    assert marginals.prevalence_difference(real, candidate) == pytest.approx(1000 * 0.25 / 2)
    assert marginals.prevalence_difference(real, candidate, counted=4) == pytest.approx(62.5)


def test_published_prevalence_leaves_the_outcome_out_of_the_sum_only(scenes):
    setting = scenes["synthetic"]
    encoder = setting.encoder
    chosen = encoder.is_kind("binary", "category")
    p, q = (side.matrix[:, chosen].mean(axis=0) for side in (setting.train, setting.candidate))
    difference = np.abs(p.astype(float) - q)
    outcome = [encoder.layout[i][0] for i in np.flatnonzero(chosen)].index("DIE_1y")
    expected = 1000 * (difference.sum() - difference[outcome]) / chosen.sum()
    found = value("dimension_wise_distribution_binary", "published", setting)
    assert found.value == pytest.approx(expected, rel=1e-5)


def test_published_wasserstein_is_the_mean_over_measurements_on_the_unit_scale(scenes):
    setting = scenes["synthetic"]
    expected = []
    for name in ("age", "bmi", "systolic", "diastolic"):
        a, b = (s.frame[name].dropna().to_numpy() for s in (setting.train, setting.candidate))
        expected.append(wasserstein_distance(a, b) / np.ptp(a))
    found = value("dimension_wise_distribution_continuous", "published", setting)
    assert found.value == pytest.approx(np.mean(expected))
    assert found.low < found.value < found.high


def test_log_prevalence_is_perfect_for_equal_counts_and_low_for_shuffled_ones():
    counts = np.array([1, 10, 100, 400])
    assert marginals.log_prevalence_r2(counts, counts, 1000, 1000) == 1.0
    assert marginals.log_prevalence_r2(counts, counts[::-1], 1000, 1000) < 0


def test_prevalence_factor_by_hand():
    found = marginals.prevalence_factor(np.array([3.5, 9.5]), np.array([1.5, 19.5]), 99, 99)
    assert found == pytest.approx(2)  # 4 to 2 and 10 to 20
    assert marginals.prevalence_factor(np.zeros(3), np.zeros(3), 50, 50) == 1


def test_lost_rare_codes_are_seen_in_their_stratum_only():
    rng = np.random.default_rng(0)
    chances = np.repeat([0.2, 0.05, 0.004, 0.0005], 10)
    columns = [f"c{i}" for i in range(len(chances))]
    train, holdout, fresh = (
        pd.DataFrame((rng.random((n, len(chances))) < chances).astype("uint8"), columns=columns)
        for n in (12_000, 6_000, 12_000)
    )
    schema = Schema(tuple(Column(name, "binary", "diagnosis") for name in columns))
    lost = fresh.assign(**{f"c{i}": np.uint8(0) for i in range(20, 40)})
    found = {}
    for label, table in (("fresh", fresh), ("lost", lost)):
        scene = with_references(train, holdout, table, schema, PROFILES["fast"], 0)
        for name in marginals.STRATA:
            key = f"prevalence_of_{name}_codes", "corrected"
            found[label, name] = value(*key, scene["synthetic"])
            if label == "fresh":  # held-out patients are as far off, by chance
                best = value(*key, scene["holdout"])
                assert found[label, name].low < best.value < found[label, name].high
    assert found["lost", "frequent"].value == pytest.approx(found["fresh", "frequent"].value)
    assert found["fresh", "frequent"].value < 1.1
    assert found["lost", "uncommon"].low > 10 > found["fresh", "uncommon"].high
    assert found["lost", "rare"].low > found["fresh", "rare"].high


def test_correlation_from_sums_equals_numpy(train):
    rows = Encoder.fit(Schema.of(train), train).transform(train)[:, :20].astype(float)
    centered = rows - rows.mean(axis=0)
    sums = np.concatenate([[len(rows)], centered.sum(axis=0), (centered.T @ centered).ravel()])
    np.testing.assert_allclose(
        fidelity.correlation(sums), np.corrcoef(rows, rowvar=False), atol=1e-9
    )


def test_published_correlation_by_hand_and_its_fault():
    real = np.array([[1.0, 0.5], [0.5, 1.0]])
    candidate = np.array([[1.0, 0.1], [0.1, 1.0]])
    expected = 1e6 * np.sqrt(2 * 0.4**2) / 4
    assert fidelity.frobenius(real, candidate) == pytest.approx(expected)
    assert fidelity.mean_difference(real, candidate) == pytest.approx(0.4)
    # The same error in every pair of a wider table looks better as published, not corrected.
    width = 40
    wide_real, wide_candidate = np.full((width, width), 0.5), np.full((width, width), 0.1)
    for matrix in (wide_real, wide_candidate):
        np.fill_diagonal(matrix, 1.0)
    assert fidelity.frobenius(wide_real, wide_candidate) < expected / 10
    assert fidelity.mean_difference(wide_real, wide_candidate) == pytest.approx(0.4)


def test_a_column_without_variation_correlates_with_nothing():
    real = np.array([[1.0, 0.5], [0.5, 1.0]])
    constant = np.array([[1.0, np.nan], [np.nan, np.nan]])
    assert fidelity.mean_difference(real, constant) == pytest.approx(0.5)
    assert np.isfinite(fidelity.frobenius(real, constant))


def test_a_code_that_the_candidate_lost_correlates_with_nothing():
    # In tables as small as the MIMIC-IV demo many codes have no patient at all.
    train, holdout = population(29, 40, seed=1), population(26, 40, seed=2)
    lost = [f"phe_{i}" for i in range(1, 31)]
    candidate = holdout.assign(**{name: np.zeros(26, np.uint8) for name in lost})
    scene = with_references(train, holdout, candidate, Schema.of(train), PROFILES["fast"], 0)
    setting = scene["synthetic"]
    with np.errstate(invalid="ignore", divide="ignore"):
        real, made = (
            np.corrcoef(rows, rowvar=False)
            for rows in (setting.train.matrix, setting.even_candidate.matrix)
        )
    pairs = np.triu_indices(len(real), k=1)
    expected = np.nanmean(np.abs(real - np.nan_to_num(made))[pairs])
    estimate = value("column_wise_correlation", "corrected", setting)
    assert estimate.value == pytest.approx(expected, abs=1e-4)


def test_published_latent_cluster_is_log2_of_the_mean_squared_imbalance():
    # Two far clusters: one all real, one all synthetic, so each share is 1 or 0.
    real, candidate = np.zeros((50, 2)), np.full((50, 2), 9.0)
    real[:, 0] = candidate[:, 1] = np.linspace(0, 0.1, 50)
    for seed in (0, 1):
        best, *_ = fidelity.log_cluster(real, candidate, clusters=2, seed=seed)
        assert best == pytest.approx(np.log2(0.25))
    both = np.concatenate([real, candidate])
    assert fidelity.log_cluster(both, both, clusters=2, seed=0)[0] == -np.inf


def test_of_ten_starts_the_best_counts_as_in_one_k_means():
    rng = np.random.default_rng(0)
    real, candidate = rng.random((2, 150, 3)).astype(np.float32)  # no clusters: starts differ
    scores = fidelity.log_cluster(real, candidate, clusters=4, seed=3)
    mixed = np.concatenate([real, candidate])
    mean, axes = fidelity.principal_axes(mixed)
    labels = KMeans(4, n_init=10, random_state=3).fit_predict((mixed - mean) @ axes)
    shares = np.array([(np.flatnonzero(labels == k) < 150).mean() for k in range(4)])
    assert scores[0] == pytest.approx(np.log2(np.mean((shares - 0.5) ** 2)))
    assert len(scores) == 10
    assert len(set(scores)) > 1


def test_fewer_different_patients_than_clusters_are_no_reason_to_warn():
    """Of three kinds of patients, two are always real and one is never."""
    real = np.repeat(np.eye(3)[:2], [30, 20], axis=0)
    candidate = np.repeat(np.eye(3)[2:], 50, axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        best = [fidelity.log_cluster(real, candidate, clusters=5, seed=s)[0] for s in (0, 1)]
    assert best == [pytest.approx(np.log2(0.25))] * 2


@pytest.mark.parametrize("n", [24, 60, 120])
def test_a_report_on_few_patients_and_columns_warns_of_nothing(n):
    names = ["DIE_1y", "phe_0", "phe_1"]
    schema = toy_schema().select(names)
    real, made = (schema.attach(toy_patients(n, seed)[names]) for seed in (0, 1))
    train, holdout = split(real, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = evaluate(train, holdout, made, profile="fast")
    if n > 24:  # else there are too few to cluster
        assert report["latent_cluster_analysis"].value is not None


def test_published_abundance_by_hand():
    real = np.array([0, 0, 1, 3])  # bins of width 1.5: [0, 1.5) and [1.5, 3]
    cells = fidelity._abundance_cells(real, np.array([0, 1, 2, 9]), bins=2)
    counts = [np.bincount(c, minlength=2).tolist() for c in cells]
    assert counts == [[3, 1], [2, 2]]
    # The published fault: with a smallest count of 2 the synthetic counts land too high.
    cells = fidelity._abundance_cells(real + 2, real + 2, bins=2)
    assert np.bincount(cells[0]).tolist() != np.bincount(cells[1]).tolist()


def test_published_violations_are_the_sum_of_two_means(scenes):
    frame = scenes["synthetic"].candidate.frame
    table = frame.copy()
    table["phe_600"] = np.uint8(0)
    table.loc[:9, "phe_600"] = 1  # of ten patients, the women violate
    women = (table["sex"].astype(str)[:10] == "F").mean()
    broken = with_references(frame, frame, table, Schema.of(frame), PROFILES["fast"], 0)[
        "synthetic"
    ]
    found = value("clinical_knowledge_violation", "published", broken)
    assert found.value == pytest.approx(women / 3)
    corrected = value("clinical_knowledge_violation", "corrected", broken)
    assert corrected.value == pytest.approx(10 * women / len(table))


def test_neighborhoods_by_hand():
    real, made = np.array([[0.0], [1.0], [3.0]]), np.array([[0.5], [6.0]])
    # With one neighbor the real ones reach 1, 1 and 2 far, the synthetic ones 5.5.
    found = Neighborhoods.of(real, made, k=1)
    assert found.of_real.tolist() == [[True, False], [True, False], [False, False]]
    assert found.precision() == 0.5
    assert found.recall() == 1
    assert found.density(k=1) == 1
    assert found.coverage() == pytest.approx(2 / 3)
    assert found.without(np.array([0]), axis=1).coverage() == 0


@pytest.mark.parametrize("n", [6, 12, 40])
def test_without_some_patients_neighborhoods_are_those_of_the_others(n):
    rng = np.random.default_rng(n)
    real, made = rng.integers(0, 3, (2, n, 4)).astype(np.float32)  # with ties
    whole = Neighborhoods.of(real, made)
    for rows in np.array_split(rng.permutation(n), min(n, 5)):
        for axis in (0, 1):
            tables = [real, made]
            tables[axis] = np.delete(tables[axis], rows, axis=0)
            found = whole.without(rows, axis)
            own = [np.sort(np.linalg.norm(x[:, None] - x, axis=2)) for x in tables]
            near = [x[:, min(5, len(x) - 1)] for x in own]
            apart = np.linalg.norm(tables[0][:, None] - tables[1], axis=2)
            assert (found.of_real == (apart <= near[0][:, None] + 1e-3)).all()
            assert (found.of_candidate == (apart <= near[1] + 1e-3)).all()


def test_ties_and_copies_do_not_break_the_neighborhoods():
    rows = np.repeat(np.eye(4), 3, axis=0)
    found = Neighborhoods.of(rows, rows, k=2)
    assert (found.precision(), found.recall(), found.coverage()) == (1, 1, 1)
    with pytest.raises(NotComputable, match="the same"):
        Neighborhoods.of(np.zeros((20, 3)), rows)
    with pytest.raises(NotComputable, match="no more than 5"):
        Neighborhoods.of(rows[:5], rows)


# -- data of known quality -----------------------------------------------------------------

JOINT = [
    ("classifier_two_sample_test", "corrected"),
    ("column_wise_correlation", "published"),
    ("column_wise_correlation", "corrected"),
    ("latent_cluster_analysis", "published"),
    ("latent_cluster_analysis", "corrected"),
    ("medical_concept_abundance", "corrected"),
    ("clinical_knowledge_violation", "published"),
    ("clinical_knowledge_violation", "corrected"),
]


@pytest.mark.parametrize(("name", "form"), JOINT)
def test_fresh_sample_is_near_the_best_and_far_from_independent_columns(scenes, name, form):
    spec = SPECS[name, form]
    fresh = value(name, form, scenes["synthetic"]).value
    best, worst = value(name, form, scenes[spec.best]), value(name, form, scenes[spec.worst])
    assert abs(fresh - best.value) < 0.4 * abs(worst.value - best.value)
    assert fresh < worst.value


NEIGHBORS = ["improved_precision", "recall", "density", "coverage"]


@pytest.mark.parametrize("name", NEIGHBORS)
def test_fresh_sample_and_copy_have_neighbors_like_held_out_patients(scenes, name):
    best = value(name, "corrected", scenes["swap"])
    for candidate in ("synthetic", "train"):
        found = value(name, "corrected", scenes[candidate])
        slack = (best.high - best.low) / 2
        assert found.low - slack <= best.value <= found.high + slack


@pytest.mark.parametrize("name", ["improved_precision", "density", "coverage"])
def test_independent_columns_live_where_no_patient_lives(scenes, name):
    best, worst = (value(name, "corrected", scenes[s]) for s in ("swap", "independent"))
    assert worst.high < best.low


def test_collapse_keeps_precision_and_loses_recall_and_coverage(train, scenes):
    fresh = population(1500, 40, seed=3)
    collapsed = fresh.iloc[np.resize(np.arange(25), 1500)].reset_index(drop=True)
    frames = train, scenes["synthetic"].holdout.frame, collapsed
    scene = with_references(*frames, Schema.of(train), PROFILES["fast"], 0)["synthetic"]
    found = {name: value(name, "corrected", scene) for name in NEIGHBORS}
    best = {name: value(name, "corrected", scenes["swap"]) for name in NEIGHBORS}
    assert found["improved_precision"].high > best["improved_precision"].low
    assert found["recall"].high < best["recall"].low
    assert found["coverage"].high < best["coverage"].low


@pytest.mark.parametrize("form", ["published", "corrected"])
@pytest.mark.parametrize(
    "name", ["dimension_wise_distribution_binary", "dimension_wise_distribution_continuous"]
)
def test_marginal_metrics_accept_independent_columns_and_notice_a_shift(train, name, form):
    rng = np.random.default_rng(0)
    holdout, mixed = population(700, 40, seed=2), independent(train, 1500, rng)
    shifted = noisy_copy(train, 0.2)
    for column in ("age", "bmi", "systolic", "diastolic"):
        shifted[column] = train[column] + train[column].std()
    found = [
        value(name, form, with_references(train, holdout, s, Schema.of(train), PROFILES["fast"], 0)[
            "synthetic"
        ]).value
        for s in (population(1500, 40, seed=3), mixed, shifted)
    ]  # fmt: skip
    assert found[1] < 3 * found[0]
    assert found[2] > 3 * max(found[:2])


def test_copy_of_train_looks_perfect_to_fidelity(train):
    holdout = population(700, 40, seed=2)
    scene = with_references(train, holdout, train, Schema.of(train), PROFILES["fast"], 0)[
        "synthetic"
    ]
    assert value("dimension_wise_distribution_binary", "published", scene).value == 0
    assert value("column_wise_correlation", "published", scene).value == pytest.approx(0, abs=0.01)


def test_c2st_notices_one_shifted_column_and_not_a_fresh_sample():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(800, 5)).astype("f4"), rng.normal(size=(800, 5)).astype("f4")
    same = learners.c2st(a, b, PROFILES["fast"], rng)
    assert same.low < 0.5 < same.high
    shifted = learners.c2st(a, b + [0, 0, 2, 0, 0], PROFILES["fast"], rng)
    assert shifted.low > 0.85


def test_metrics_say_why_they_have_no_value(train):
    plain = train[["age"]].assign(age=40.0)
    schema = Schema.of(train).select(["age"])
    scene = with_references(plain, plain, plain, schema, PROFILES["fast"], 0)["synthetic"]
    for name, form in SPECS:
        if name != "classifier_two_sample_test":
            with pytest.raises(NotComputable, match="column|codes|the same|relation"):
                value(name, form, scene)


@pytest.mark.parametrize("true", [0.0, 1.0, 4.0])
def test_a_mean_distance_varies_as_its_folded_interval_says(true):
    """By chance alone by 0.6 of the noise; where differences are certain, by all of it."""
    rng = np.random.default_rng(0)
    differences = rng.normal(0, true, 4_000)
    z = differences + rng.normal(0, 1, (40, 4_000))
    spread = np.abs(z).mean(axis=1).std(ddof=1) * np.sqrt(4_000)
    found = folded(Estimate(1.0, 0.0, 2.0), z[0])
    assert found.value == 1 and found.half == pytest.approx(spread, rel=0.25)
    assert found.half == pytest.approx({0.0: 0.60, 1.0: 0.78, 4.0: 0.93}[true], abs=0.03)
