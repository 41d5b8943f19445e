"""Privacy metrics against naive loops and against releases of known danger."""

import numpy as np
import pandas as pd
import pytest
from conftest import schema_of
from known_truth import noisy_copy, population

from ehrsynth.evaluation import PROFILES
from ehrsynth.evaluation.privacy import attacks, attribute, identity, opinion
from ehrsynth.evaluation.privacy.adversarial import adversarial_accuracy
from ehrsynth.evaluation.privacy.closest_records import ClosestRecords, distance_ratio
from ehrsynth.evaluation.privacy.copies import shared_records
from ehrsynth.evaluation.privacy.membership import membership_f1
from ehrsynth.evaluation.privacy.success import excess_risk, true_positive_rate
from ehrsynth.evaluation.setting import with_references
from ehrsynth.schema import Schema
from ehrsynth.statistics import nearest_distance

SPECS = {(s.name, s.form): s for s in attacks.SPECS}
# Of the patients whose data was used; the holdout's exposure has a test of its own.
CORRECTED = [key for key in SPECS if key[1] == "corrected" and key[0] != "holdout_exposure"]
NO_LEAK = {
    "membership_inference": 0.5,
    "membership_inference_at_1_percent": 0.01,
    "membership_of_most_exposed": 0.5,
    "membership_by_subgroup": 0.5,
    "moments_attack": 0.5,
    "density_ratio_attack": 0.5,
    "attribute_inference": 0.0,
    "meaningful_identity_disclosure": 0.0,
    "singling_out": 0.0,
    "linkability": 0.0,
    "nearest_neighbor_adversarial_accuracy": 0.0,
    "closer_to_train": 0.5,
    "nearest_neighbor_distance_ratio": 0.5,
    "near_copies": 0.0,
    "copied_carriers": 0.0,
    "copied_values": 0.5,
    "absolute_guard": 0.5,
    "exact_copies": 0.0,
}


@pytest.fixture(scope="module")
def people():
    return population(1200, 40, seed=1), population(500, 40, seed=2)


def scene(people, synthetic, name="synthetic"):
    train, holdout = people
    return with_references(train, holdout, synthetic, Schema.of(train), PROFILES["fast"], seed=0)[
        name
    ]


# -- singling out and linkability ------------------------------------------------------------


def test_singled_out_is_who_is_the_only_one():
    people = np.array([[1, 0.5], [1, 0.505], [0, 0.5], [0, 0.9]], dtype="f4")
    predicates = np.array([[1, 0.5], [0, 0.505], [0, 0.7], [0, 0.9]], dtype="f4")
    assert opinion.singled_out(predicates, people).tolist() == [False, True, False, True]


def test_linked_is_whose_halves_lead_to_the_same_row():
    released = [np.array([[0.0], [1.0], [1.0]]), np.array([[5.0], [7.0], [9.0]])]
    halves = [np.array([[0.1], [1.0], [1.0]]), np.array([[5.0], [9.2], [5.1]])]
    assert opinion.linked(halves, released).tolist() == [True, True, False]


def test_the_attacker_knows_no_outcome_and_the_most_frequent_codes(people):
    setting = scene(people, population(600, 40, seed=3))
    names = opinion.known_columns(setting, 3)
    share = people[0][[n for n in people[0] if n.startswith("phe_")]].mean()
    assert setting.schema.outcome not in names
    assert set(names) & set(share.index) == set(share.nlargest(3).index)


def test_few_copies_are_linked_in_proportion(people):
    """A tenth of the records released verbatim are a tenth of what can be linked."""
    made = population(1200, 40, seed=3)
    rows = np.random.default_rng(0).permutation(1200)
    made.iloc[:600] = people[0].iloc[rows[:600]]
    found = SPECS["linkability", "corrected"].evaluate(scene(people, made), 0)
    assert found.low < 0.5 < found.high and found.low > 0.2


# -- membership ----------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.05, 0.19, 0.6])
def test_published_membership_without_leakage_measures_the_radius(p):
    # DESIGN: with no leakage at all it gives 1.4p/(p+0.7).
    found = membership_f1(p, p, n_train=700, n_holdout=300)
    assert found == pytest.approx(1.4 * p / (p + 0.7))


def test_published_membership_counts_squared_distance_up_to_five():
    n = np.array([0.0, 1.0])
    base = pd.DataFrame({f"c{i}": n.astype("uint8") for i in range(12)})
    train = pd.concat([base] * 10, ignore_index=True)
    near = train.copy()
    near[[f"c{i}" for i in range(5)]] = 1 - near[[f"c{i}" for i in range(5)]]  # 5 codes differ
    far = train.copy()
    far[[f"c{i}" for i in range(6)]] = 1 - far[[f"c{i}" for i in range(6)]]  # 6 codes differ
    schema = schema_of(train)
    spec = SPECS["membership_inference", "published"]
    found = {
        name: spec.evaluate(
            with_references(train, holdout, train, schema, PROFILES["fast"], 0)["synthetic"], 0
        ).value
        for name, holdout in (("near", near), ("far", far))
    }
    assert found["far"] == pytest.approx(1.0)  # no holdout patient is within the radius
    assert found["near"] == pytest.approx(20 / (20 + 10))  # all of them are


def test_true_positive_rate_by_hand():
    train, holdout = np.array([0.0, 0.0, 1.0, 9.0]), np.arange(1, 101) / 10
    assert true_positive_rate(train, holdout, 0.0) == pytest.approx(0.5)
    assert true_positive_rate(train, holdout, 0.1) == pytest.approx(0.75)
    same = np.ones(200)  # nothing but ties: accusing at random finds as many as it accuses
    assert true_positive_rate(same, same, 0.01) == pytest.approx(0.01)


def test_density_ratio_interval_covers_guessing_when_nothing_leaks():
    spec, covered = SPECS["density_ratio_attack", "corrected"], 0
    for seed in range(40):
        parts = (population(n, 20, seed=1000 + 3 * seed + i) for i, n in enumerate((300, 150, 300)))
        train, holdout, fresh = parts
        scenes = with_references(train, holdout, fresh, Schema.of(train), PROFILES["fast"], seed)
        found = spec.evaluate(scenes["synthetic"], seed)
        covered += found.low <= 0.5 <= found.high
    assert covered >= 34  # with 95 % coverage, fewer happen 3 times in 1,000


# -- attributes ----------------------------------------------------------------------------


def test_guess_is_the_vote_of_all_nearest_synthetic_patients():
    released_known = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], dtype=float)
    released_secret = np.array([[1, 7.0], [1, 5.0], [0, 5.0], [0, 9.0]])
    flags = np.array([False, False]), np.array([False, True])
    guess = attribute.guess_attributes(
        np.array([[1.0, 0.0], [0.0, 1.0]]), released_known, released_secret, *flags
    )
    assert guess.tolist() == [[1.0, 5.0], [0.0, 9.0]]


def test_known_measurement_counts_as_its_share_of_the_largest_difference():
    released_known = np.array([[1, 40.0], [0, 50.0], [1, 90.0]])
    secret = np.array([[10.0], [20.0], [30.0]])
    flags = np.array([False, True]), np.array([True])
    # From age 50: differences 10/40, 0 and 40/40; one code differs in the second patient.
    guess = attribute.guess_attributes(np.array([[1.0, 50.0]]), released_known, secret, *flags)
    assert guess.tolist() == [[10.0]]


def test_inference_risk_is_entropy_weighted_f1_and_accuracy():
    secret = np.array([[1, 100.0], [1, 100.0], [0, np.nan]])
    guess = np.array([[1, 109.0], [0, 120.0], [1, 50.0]])
    parts = attribute._scored(secret, guess, np.array([False, True]))
    sums = parts.sum(axis=1)
    assert sums[0] / sums[1] == pytest.approx([1 / (1 + 0.5 * 2), 1 / 2])
    assert attribute._risk(sums, np.array([0.25, 0.75])) == pytest.approx(0.5)
    assert attribute._entropy(np.array([0, 1, 0, 1.0])) == pytest.approx(np.log(2))


def test_excess_risk_is_zero_without_a_leak_and_one_when_all_is_given_away():
    assert excess_risk(0.3, 0.3) == 0
    assert excess_risk(1.0, 0.3) == 1


# -- identity ------------------------------------------------------------------------------


def test_identity_risk_by_hand():
    # Group 0: two patients, matched by one synthetic patient with two rare values.
    patients = identity._Secrets(
        np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1]]), np.zeros((3, 0)), np.zeros((3, 0))
    )
    released = identity._Secrets(np.array([[1, 1, 0]]), np.zeros((1, 0)), np.zeros((1, 0)))
    level = (np.array([0, 0, 1]), np.array([0, 0, 0, 0, 1]), np.array([0]))
    sample, population_risk = identity._risks([level], patients, released, needed=2)
    assert sample.tolist() == [0.5, 0.0, 0.0]  # one of two; too little to learn; no match
    assert population_risk.tolist() == [0.25, 0.0, 0.0]


def test_a_near_measurement_teaches_and_a_far_one_does_not():
    group, member = np.array([0, 0, 1]), np.array([0, 1])
    gap = identity._gap(group, np.array([0.5, np.nan, 0.9]), member, np.array([0.4, np.nan]))
    assert gap.tolist() == [pytest.approx(0.1), np.inf, np.inf]


def test_levels_go_from_the_finest_to_single_identifiers():
    sex, age = [np.array([0, 1] * 3)], [np.array([30, 40] * 3)]
    levels = list(identity._combined([sex, age], [2, 4]))
    assert len(levels) == 3
    assert [len(np.unique(level[0])) for level in levels] == [2, 2, 2]


# -- adversarial accuracy ------------------------------------------------------------------


def four_distances(a, b):
    own = np.arange(len(a))
    return (
        nearest_distance(a, b), nearest_distance(a, a, own),
        nearest_distance(b, a), nearest_distance(b, b, own),
    )  # fmt: skip


def test_strict_inequality_fails_on_equal_sparse_distributions_and_ties_half_do_not():
    rng = np.random.default_rng(0)
    a, b = ((rng.random((1500, 60)) < 0.02).astype("f4") for _ in range(2))
    parts = four_distances(a, b)
    assert adversarial_accuracy(*parts, ties=0.0) < 0.2
    assert adversarial_accuracy(*parts) == pytest.approx(0.5, abs=0.03)


def test_adversarial_accuracy_is_zero_for_copies_and_one_for_strangers():
    rng = np.random.default_rng(0)
    a = rng.random((200, 5)).astype("f4")
    assert adversarial_accuracy(*four_distances(a, a)) == 0
    assert adversarial_accuracy(*four_distances(a, a + 9)) == 1


def test_closest_records_by_hand():
    # Two groups of real patients, two synthetic ones; the second and fourth numbers are farther.
    train = np.array([[[1.0, 8], [5, 8]], [[3, 9], [2, 9]]])
    holdout = np.array([[[2.0, 8], [2, 2]], [[4, 9], [3, 9]]])
    found = ClosestRecords(train, holdout)
    closer = found.share(lambda two: two[:, 0])
    assert closer.value == 0.75  # nearest 1 against 2, and 2 against 2
    assert closer.low < 0.5
    assert found.share(distance_ratio).value == 1  # 1/3 against 2/4, and 2/5 against 2/2
    assert distance_ratio(np.zeros((1, 2))) == 1


def test_what_metrics_share_is_made_once(people):
    setting = scene(people, people[1])
    assert setting.once(ClosestRecords.of) is setting.once(ClosestRecords.of)


def test_copies_are_counted(people):
    train, _ = people
    mixed = pd.concat([population(900, 40, seed=5), train[:100]], ignore_index=True)
    found = SPECS["exact_copies", "corrected"].evaluate(scene(people, mixed), 0)
    assert found.value == pytest.approx(0.1)


# -- releases of known danger --------------------------------------------------------------


@pytest.fixture(scope="module")
def fresh(people):
    return scene(people, population(1200, 40, seed=3))


@pytest.fixture(scope="module")
def shuffled_copy(people):
    return scene(people, people[0].sample(frac=1, random_state=0).reset_index(drop=True))


@pytest.fixture(scope="module")
def nearly_copied(people):
    return scene(people, noisy_copy(people[0], 0.01))


@pytest.mark.parametrize("key", CORRECTED)
def test_fresh_sample_shows_no_leak(fresh, key):
    found = SPECS[key].evaluate(fresh, seed=0)
    # The interval covers "no leak", give or take half its width (eight intervals are looked at).
    slack = 0.5 * (found.high - found.low)
    assert found.low - slack <= NO_LEAK[key[0]] <= found.high + slack


@pytest.mark.parametrize("key", CORRECTED)
def test_no_corrected_privacy_metric_is_happy_with_a_shuffled_copy(shuffled_copy, key):
    found = SPECS[key].evaluate(shuffled_copy, seed=0)
    assert found.low > NO_LEAK[key[0]] + 0.01


@pytest.mark.parametrize("key", [key for key in CORRECTED if key[0] != "exact_copies"])
def test_a_copy_with_one_percent_noise_is_noticed(nearly_copied, key):
    assert SPECS[key].evaluate(nearly_copied, seed=0).low > NO_LEAK[key[0]]


def test_attribute_inference_as_published_rates_a_leakless_sample_as_risky(fresh):
    assert SPECS["attribute_inference", "published"].evaluate(fresh, 0).value > 0.1
    assert SPECS["attribute_inference", "corrected"].evaluate(fresh, 0).low < 0.02


def test_best_reference_of_every_attack_is_without_leak(people):
    half = scene(people, population(1200, 40, seed=3), "half")
    for key in CORRECTED:
        if SPECS[key].best == "half":
            found = SPECS[key].evaluate(half, seed=0) if len(half.holdout) >= 250 else None
            slack = 0.5 * (found.high - found.low)
            assert found.low - slack <= NO_LEAK[key[0]] <= found.high + slack


def test_holdout_exposure_notices_that_held_out_patients_were_seen(people, fresh, shuffled_copy):
    spec = SPECS["holdout_exposure", "corrected"]
    honest = spec.evaluate(fresh, seed=0)
    assert honest.low < 0.5 < honest.high
    assert spec.evaluate(scene(people, people[1]), seed=0).value > 0.999
    half = pd.concat([people[1].head(200), population(200, 40, seed=3)], ignore_index=True)
    assert spec.evaluate(scene(people, half), seed=0).low > 0.6
    assert spec.evaluate(shuffled_copy, seed=0).value < 0.001


def test_shared_records_are_counted_beyond_chance():
    rng = np.random.default_rng(0)
    wide = (rng.random((900, 60)) < 0.3).astype(np.float32)
    assert shared_records(wide[:600], wide[600:]) == 0
    assert shared_records(wide[:600], wide[500:]) == 100
    assert shared_records(wide, wide) == 900
    narrow = (rng.random((900, 4)) < 0.3).astype(np.float32)  # everybody has a twin somewhere
    assert shared_records(narrow[:600], narrow[600:]) == 0
