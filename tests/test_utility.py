"""Utility metrics: models learn what there is to learn, and say so when there is nothing."""

from collections import defaultdict

import numpy as np
import pytest
from known_truth import population
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from ehrsynth.evaluation import PROFILES, inference, judge, learners, utility
from ehrsynth.evaluation.intervals import magnitude
from ehrsynth.evaluation.setting import with_references
from ehrsynth.hospital.truth import codes, oracle_sample
from ehrsynth.schema import Schema
from ehrsynth.statistics import Z95, Estimate, NotComputable

SPECS = {(s.name, s.form): s for s in judge.SPECS if s.family == "utility"}
FAST = PROFILES["fast"]
GAP = defaultdict(lambda: 0.1)  # what at least lies between best and worst


@pytest.fixture(scope="module")
def scenes():
    train, holdout = population(2000, 40, seed=1), population(900, 40, seed=2)
    return with_references(
        train, holdout, population(2000, 40, seed=3), Schema.of(train), FAST, seed=0
    )


# Independent columns have the right share of outcomes, so the mean risk is right too.
@pytest.mark.parametrize("key", [key for key in SPECS if key[0] != "mean_risk_error"])
def test_fresh_sample_is_as_useful_as_train_and_independent_columns_are_not(scenes, key):
    spec = SPECS[key]
    fresh, best, worst = (
        spec.evaluate(scenes[name], seed=0) for name in ("synthetic", spec.best, spec.worst)
    )
    way = (fresh.value - worst.value) / (best.value - worst.value)
    assert way > 0.5
    assert (best.value - worst.value) * (1 if spec.direction == "higher" else -1) > GAP[spec.name]


def test_independent_columns_teach_nothing_about_the_outcome(scenes):
    found = SPECS["tstr_auroc", "published"].evaluate(scenes["independent"], seed=0)
    assert found.value == pytest.approx(0.5, abs=0.1)


def test_flipped_label_is_noticed(scenes):
    setting = scenes["synthetic"]
    flipped = setting.candidate.frame.copy()
    flipped["DIE_1y"] = 1 - flipped["DIE_1y"]
    frames = (setting.train.frame, setting.holdout.frame, flipped)
    broken = with_references(*frames, setting.schema, FAST, seed=0)["synthetic"]
    for name in ("tstr_auroc", "trts_auroc"):
        assert SPECS[name, "published"].evaluate(broken, seed=0).high < 0.5


def test_model_is_the_same_for_the_same_seed():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 6)).astype("f4")
    y = (x[:, 0] + rng.normal(size=300) > 0).astype(int)
    first, second = (learners.predict(learners.fit_classifier(x, y, FAST, 7), x) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_contributions_find_the_only_feature_that_matters():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 5)).astype("f4")
    y = (x[:, 2] > 0).astype(int)
    parts = learners.contributions(learners.fit_classifier(x, y, FAST, 0), x)
    assert parts.shape == (600, 5)
    assert parts.mean(axis=0).argmax() == 2
    assert parts.mean(axis=0)[2] > 20 * np.delete(parts.mean(axis=0), 2).max()


def test_top_overlap_by_hand():
    real, candidate = np.array([5.0, 4, 3, 2, 1]), np.array([5.0, 0, 0, 4, 3])
    assert utility._top_overlap(real, candidate, top=2) == 0.5
    assert utility._top_overlap(real, real, top=3) == 1.0


def test_shared_importance_by_hand():
    real, candidate = np.array([3.0, 1.0]), np.array([1.0, 1.0])
    assert utility._shared_importance(real, candidate) == pytest.approx(0.5 + 0.25)
    assert utility._shared_importance(real, np.zeros(2)) == 0.0


def test_feature_importance_is_labeled_and_leaves_the_outcome_out(scenes):
    setting = scenes["synthetic"]
    importance = utility.feature_importance(setting.train, setting.holdout)
    assert "age" in importance.index and "race = WHITE" in importance.index
    assert "DIE_1y" not in importance.index
    assert importance.nlargest(4).index.str.match(r"age|phe_\d*[16]\.9").all()


def test_tstr_is_scored_on_patients_whom_no_model_has_seen(scenes):
    setting = scenes["train"]
    on = {
        side: roc_auc_score(side.outcome, learners.predict(setting.candidate.model, side.features))
        for side in (setting.train, setting.holdout)
    }
    found = SPECS["tstr_auroc", "published"].evaluate(setting, seed=0).value
    assert found == pytest.approx(on[setting.holdout])
    assert found < on[setting.train] - 0.02


# -- calibration ---------------------------------------------------------------------------


def test_calibration_slope_finds_the_known_slope_in_about_95_percent():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(100):
        log_odds = rng.normal(-1, 1.5, 400)
        y = (rng.random(400) < expit(0.3 + 0.5 * log_odds)).astype(int)
        found = utility._calibration_slope(log_odds, y)
        covered += found.low <= 0.5 <= found.high
    assert 90 <= covered <= 99


def test_calibration_slope_says_why_there_is_none():
    y = np.repeat([0, 1], 50)
    with pytest.raises(NotComputable, match="same risk"):
        utility._calibration_slope(np.ones(100), y)
    with pytest.raises(NotComputable, match="without error"):
        utility._calibration_slope(np.arange(100.0), y)


def test_groups_by_risk_are_equally_large_and_in_order():
    group = utility.calibration_groups(np.array([5.0, 1, 4, 2, 3, 0]), groups=3)
    assert group.tolist() == [2, 0, 2, 1, 1, 0]


@pytest.mark.parametrize(
    ("signed", "expected"),
    [((-2, -3, -1), (2, 1, 3)), ((0.5, -1, 2), (0.5, 0, 2)), ((1, 0.5, 1.5), (1, 0.5, 1.5))],
)
def test_magnitude_keeps_the_interval_around_the_value(signed, expected):
    assert magnitude(Estimate(*signed)) == expected


def test_more_outcomes_spoil_the_risks_and_not_their_order(scenes):
    setting = scenes["synthetic"]
    frame = setting.candidate.frame
    y = setting.candidate.outcome
    chance = (1 + 2 * y) / (1 + 2 * y).sum()
    rows = np.random.default_rng(0).choice(len(frame), len(frame), p=chance)
    tripled = frame.iloc[rows].reset_index(drop=True)
    frames = setting.train.frame, setting.holdout.frame, tripled
    broken = with_references(*frames, setting.schema, FAST, seed=0)["synthetic"]
    found, fresh = (
        {name: SPECS[name].evaluate(s, seed=0) for name in SPECS} for s in (broken, setting)
    )
    assert found["tstr_auroc", "published"].high > fresh["tstr_auroc", "published"].value
    for name in ("mean_risk_error", "calibration_error"):
        assert found[name, "corrected"].low > fresh[name, "corrected"].high > 0
    assert fresh["mean_risk_error", "corrected"].low < 1


# -- effects -------------------------------------------------------------------------------


def test_log_odds_ratio_by_hand():
    # 9 of 20 with the code and 4 of 30 without it have the outcome; half a patient in each cell.
    found, error = inference.log_odds_ratios(50, 13, np.array([20]), np.array([9]))
    assert found == pytest.approx(np.log(9.5 * 26.5 / (11.5 * 4.5)))
    assert error == pytest.approx(np.sqrt(1 / 9.5 + 1 / 11.5 + 1 / 4.5 + 1 / 26.5))


def test_interval_overlap_by_hand():
    one = np.array([0.0, 0.0, 0.0]), np.ones(3)
    other = np.array([0.0, Z95, 9.0]), np.array([1.0, 1.0, 1.0])
    assert inference.interval_overlap(*one, *other) == pytest.approx([1, 0.5, 0])
    assert inference.interval_overlap(0, 1, 0, 0.5) == pytest.approx((1 + 0.5) / 2)


def test_effects_do_not_reward_a_copy_of_train_beyond_fresh_patients(scenes):
    spec = SPECS["effect_estimates", "corrected"]
    copy, best = (spec.evaluate(scenes[name], seed=0) for name in ("train", "swap"))
    assert copy.low < best.value < copy.high


def test_lost_codes_and_a_flipped_label_change_the_effects(scenes):
    setting = scenes["synthetic"]
    frame = setting.candidate.frame
    spec = SPECS["effect_estimates", "corrected"]
    fresh = spec.evaluate(setting, seed=0)
    for broken in (frame.assign(DIE_1y=1 - frame["DIE_1y"]), frame.assign(**{"phe_1.9": 0})):
        frames = setting.train.frame, setting.holdout.frame, broken
        found = spec.evaluate(
            with_references(*frames, setting.schema, FAST, 0)["synthetic"], seed=0
        )
        assert found.value > fresh.value


def test_errors_against_the_known_truth_are_as_large_as_their_standard_errors():
    patients, truth = oracle_sample(3000, seed=1), codes()["log_odds_ratio"]
    errors = inference.log_odds_errors(patients, truth)
    y, flags = patients["DIE_1y"].to_numpy(float), patients[errors.index].to_numpy(float)
    _, expected = inference.log_odds_ratios(len(y), y.sum(), flags.sum(axis=0), y @ flags)
    assert len(errors) > 50
    assert np.mean((errors / expected) ** 2) == pytest.approx(1, abs=0.45)
    shuffled = patients.assign(DIE_1y=np.random.default_rng(0).permutation(patients["DIE_1y"]))
    lost = inference.log_odds_errors(shuffled, truth)
    assert lost.abs().mean() > 1.5 * errors.abs().mean()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.assign(DIE_1y=np.uint8(0)), "only one class"),
        (lambda t: t.drop(columns="DIE_1y"), "no outcome"),
        (lambda t: t.iloc[:8], "fewer than 10 patients|only one class|no code has 10"),
    ],
)
def test_no_outcome_or_too_little_has_a_reason(scenes, change, reason):
    setting = scenes["synthetic"]
    frames = [change(s.frame) for s in (setting.train, setting.holdout, setting.candidate)]
    schema = setting.schema.select(frames[0].columns)
    broken = with_references(*frames, schema, FAST, seed=0)["synthetic"]
    for spec in SPECS.values():
        with pytest.raises(NotComputable, match=reason):
            spec.evaluate(broken, seed=0)
