"""What the numbers say in words, on findings made up for the purpose."""

import dataclasses

import numpy as np
import pytest

from ehrsynth.evaluation.alignment import IN_TRAIN, LACKING, UNJUDGED
from ehrsynth.evaluation.metric import Metric, descriptions
from ehrsynth.evaluation.privacy.family import FALSE_ALARMS
from ehrsynth.evaluation.privacy.more_rows import MORE_ROWS, SHADOWS
from ehrsynth.evaluation.privacy.success import ALARMS
from ehrsynth.evaluation.verdict import _USES, _WORDS, FAMILIES, Findings, level_of


def metric(name, family, value, half=0.0, share=None, form="corrected", **known):
    fields = {"best": None, "worst": None, "behind": False} | known
    return Metric(
        name=name, title=name, family=family, form=form, value=value, ci_low=value - half,
        ci_high=value + half, share=share, direction="lower", unit="", source="", sentence="",
        **fields,
    )  # fmt: skip


POWER = {
    "probability": 0.8, "changed": 2, "exact": 0.01, "near": 0.02, "chance": 0.53, "auroc": 0.54,
}  # fmt: skip
NEEDED = [name for name, row in ALARMS.items() if row["needed"]]


def findings(*more, share=1.0, alarms=(), power=POWER, incomparable=(), **known):
    """Good data in every family, with these metrics in the place of those of the same name."""
    usual = [
        *(metric(f"f{i}", "fidelity", 0.1, share=share) for i in range(4)),
        metric("tstr_auroc", "utility", 0.8, share=share, best=0.8, worst=0.5),
        *(metric(name, "privacy", 0.5, 0.02) for name in NEEDED if "copies" not in name),
        *(metric(name, "privacy", 0.0, best=0.0) for name in ("near_copies", "exact_copies")),
    ]
    names = {m.name for m in more}
    rows = {"train": 700, "holdout": 300, "synthetic": 700}
    tried = {"alarms": dict(alarms), "incomparable": list(incomparable), "power": power}
    metrics = [*(m for m in usual if m.name not in names), *more]
    return Findings(metrics, rows=rows, **({"tried": tried} | known))


def level(found, family):
    return found.verdicts()[family].level


def test_good_data_is_called_good_and_may_be_shared():
    found = findings()
    assert {v.level for v in found.verdicts().values()} == {"good"}
    assert any("Sharing under an agreement" in use for use in found.advice()["good"])


@pytest.mark.parametrize(
    ("share", "expected"), [(0.85, "good"), (0.84, "care"), (0.5, "care"), (0.49, "bad")]
)
def test_levels_of_the_way(share, expected):
    assert level_of(share) == expected
    assert level(findings(share=share), "fidelity") == expected
    assert level(findings(share=share), "utility") == expected


@pytest.mark.parametrize(("share", "expected"), [(0.88, "good"), (0.6, "care")])
def test_what_a_classifier_tells_apart_is_not_close_to_real_patients(share, expected):
    test = metric("classifier_two_sample_test", "fidelity", 0.66, share=share, behind=True)
    assert level(findings(test), "fidelity") == expected


@pytest.mark.parametrize(("value", "expected"), [(0.99, "bad"), (0.9, "bad"), (0.89, "good")])
def test_what_a_classifier_always_tells_apart_is_not_like_real_patients(value, expected):
    test = metric("classifier_two_sample_test", "fidelity", value, 0.01, share=0.9, best=0.52)
    assert level(findings(test), "fidelity") == expected


@pytest.mark.parametrize(("value", "expected"), [(0.95, "bad"), (0.6, "unknown")])
def test_told_apart_is_bad_also_where_no_other_number_can_judge(value, expected):
    blind = [metric(f"f{i}", "fidelity", 0.1) for i in range(4)]
    test = metric("classifier_two_sample_test", "fidelity", value, 0.01, share=0.9, best=0.52)
    verdict = findings(*blind, test).verdicts()["fidelity"]
    assert verdict.level == expected
    assert ("From 0.90 on" in " ".join(verdict.sentences)) == (expected == "bad")


@pytest.mark.parametrize(("share", "expected"), [(None, "unknown"), (0.5, "unknown"), (90, "bad")])
def test_columns_that_nobody_judged_are_named_first_and_never_shared(share, expected):
    rows = [{"column": "patient_id", IN_TRAIN: share}, {"column": "note", IN_TRAIN: None}]
    left_out = {"train": [], "holdout": [], "synthetic": ["patient_id", "note"]}
    found = findings(left_out=left_out, facts={UNJUDGED: rows})
    assert level(found, "privacy") == expected
    assert " ".join(found.answer()).count("patient_id, note. Remove these columns") == 1
    said = " ".join(found.verdicts()["privacy"].sentences)
    assert "patient_id, note" in said and ("in 90 of 100 rows" in said) == (expected == "bad")
    assert not any("Sharing" in use for use in found.advice()["good"])
    assert "patient_id, note" in " ".join(dataclasses.replace(found, overlap=3).answer())


def test_a_column_that_is_lacking_costs_and_without_an_outcome_there_is_no_model():
    for outcome in (False, True):
        row = {"column": "died", "what": "no such column", "outcome": outcome}
        found = findings(facts={LACKING: [row]})
        assert level(found, "fidelity") == "care"
        assert level(found, "utility") == ("bad" if outcome else "good")
        assert "died (no such column)" in " ".join(found.answer())
    assert "No model" in found.verdicts()["utility"].sentences[0]


def test_copies_are_counted_beside_as_many_held_out_patients():
    same = metric("exact_copies", "privacy", 10 / 700, best=1 / 300)
    said = " ".join(findings(same).verdicts()["privacy"].sentences)
    assert "10 of 700 synthetic patients equal a used patient" in said
    assert "of as many held-out patients 2 would" in said


def test_the_first_screen_names_those_who_are_most_unlike_others():
    alone = metric("membership_of_most_exposed", "privacy", 0.61, 0.02)
    said = " ".join(findings(alone).verdicts()["privacy"].sentences)
    assert "most unlike others, an attacker is right in 61 of 100 pairs" in said


def test_what_more_rows_give_away_is_said_and_speaks_against_passing_on_the_model():
    more = [{"rows": n, "AUROC": a, "from": a - 0.02, "to": a + 0.02}
            for n, a in ((700, 0.51), (2_100, 0.54), (7_000, 0.60))]  # fmt: skip
    found = findings(facts={MORE_ROWS: more})
    assert "right in 51 of 100 pairs from 700 rows, and in 60 from 7,000." in " ".join(
        found.verdicts()["privacy"].sentences
    )
    assert any("model" in use and "7,000 rows" in use for use in found.advice()["bad"])
    assert level(found, "privacy") == "good"  # of these rows
    for rows in (more[:1], [more[2] | {"rows": 700}, more[1], more[1]]):  # which give no more away
        found = findings(facts={MORE_ROWS: rows})
        assert not any("model, or" in use for use in found.advice()["bad"])


@pytest.mark.parametrize(
    ("value", "low", "expected"),
    [(0.51, 0.49, "good"), (0.55, 0.49, "good"), (0.55, 0.52, "care"), (0.6, 0.55, "bad")],
)
def test_an_audit_counts_as_the_strongest_attack(value, low, expected):
    audit = [{"models": 8, "AUROC": value, "from": low, "to": 2 * value - low}]
    found = findings(facts={SHADOWS: audit})
    assert level(found, "privacy") == expected
    said = " ".join(found.verdicts()["privacy"].sentences)
    assert f"right in {100 * value:.0f} of 100 pairs" in said
    assert ("audit by shadow models" in said) == (expected != "good")


def test_silence_is_good_only_with_the_power_to_notice_and_says_what_it_would_have_noticed():
    found = findings()
    assert "near copies of 2 of 100 used patients" in found.verdicts()["privacy"].headline
    assert "would have noticed near copies of 2 of 100" in found.answer()[0]
    assert found.verdicts()["privacy"].power == POWER
    tables = f"{100 * (1 - FALSE_ALARMS):.0f} of 100 tables"
    assert f"fewer than 53.0 of 100 pairs, in {tables}" in " ".join(
        found.verdicts()["privacy"].sentences
    )
    for weaker in ({"near": 0.1}, {"near": None}, {"auroc": 0.6}):
        found = findings(power=POWER | weaker)
        assert level(found, "privacy") == "unknown"
        assert "a leak can be missed" in found.answer()[0]
        assert not any("Sharing" in use for use in found.advice()["good"])
    assert level(findings(power=None), "privacy") == level(findings(tried={}), "privacy")
    assert level(findings(power=None), "privacy") == "unknown"


@pytest.mark.parametrize("name", NEEDED)
def test_what_was_not_tried_makes_privacy_unknown_and_is_named(name):
    found = findings(dataclasses.replace(metric(name, "privacy", 0.5), value=None, reason="few"))
    verdict = found.verdicts()["privacy"]
    assert verdict.level == "unknown" and verdict.not_judged == {name: "few"}
    assert name not in verdict.judged and name in verdict.sentences[0]


@pytest.mark.parametrize(
    ("value", "half", "alarm", "expected"),
    [
        (0.54, 0.01, 1, "care"), (0.54, 0.01, 0, "good"), (0.52, 0.01, 2, "good"),
        (0.6, 0.02, 2, "bad"), (0.6, 0.02, 1, "care"), (0.6, 0.06, 2, "care"),
    ],
)  # fmt: skip
def test_an_attack_alarms_if_the_family_says_so_and_the_effect_is_large(
    value, half, alarm, expected
):
    for name in ("moments_attack", "absolute_guard"):
        found = findings(metric(name, "privacy", value, half), alarms={name: alarm})
        assert level(found, "privacy") == expected
        assert any("Sharing" in use for use in found.advice()["good"]) == (expected == "good")


def test_other_attacks_alarm_by_their_own_wider_interval():
    for value, half, expected in ((0.04, 0.01, "care"), (0.04, 0.015, "good"), (0.3, 0.05, "bad")):
        found = findings(metric("attribute_inference", "privacy", value, half))
        assert level(found, "privacy") == expected


def test_verbatim_copies_beyond_chance_are_never_no_trace():
    for value, best, alarm, expected in (
        (0.003, 0.0, 1, "care"), (0.003, 0.0, 0, "good"), (0.003, 0.004, 1, "good"),
        (0.05, 0.0, 2, "bad"), (0.05, 0.0, 1, "bad"), (0.025, 0.0, 1, "care"),
    ):  # fmt: skip
        same = metric("exact_copies", "privacy", value, value / 4, best=best)
        assert level(findings(same, alarms={"exact_copies": alarm}), "privacy") == expected


def test_measurements_of_single_patients_are_bad_also_if_the_interval_is_a_numpy_number():
    values = dataclasses.replace(metric("copied_values", "privacy", 1.0), ci_low=np.float64(0.99))
    assert level(findings(values), "privacy") == "bad"
    said = findings(values).verdicts()["privacy"].sentences  # no attacker is called better
    assert "(copied_values) picks the right one in 100.0 of 100 pairs" in said[0]


def test_a_holdout_that_cannot_be_compared_is_unknown_and_copies_still_count():
    loud = metric("attribute_inference", "privacy", 0.9)
    found = findings(loud, incomparable=["number of codes"])
    assert level(found, "privacy") == "unknown"
    assert "number of codes" in found.answer()[0]
    assert "moments_attack" in found.verdicts()["privacy"].not_judged
    assert "absolute_guard" in found.verdicts()["privacy"].judged
    copied = metric("exact_copies", "privacy", 0.05, best=0.0)
    found = findings(copied, incomparable=["age"], alarms={"exact_copies": 2})
    assert level(found, "privacy") == "bad"


def test_the_published_form_raises_no_alarm():
    assert level(findings(metric("attribute_inference", "privacy", 0.9)), "privacy") == "bad"
    published = metric("attribute_inference", "privacy", 0.9, form="published")
    assert level(findings(published), "privacy") == "good"


def test_utility_that_straddles_a_threshold_is_unknown():
    levels = {(0.0, 0.04): "good", (0.0, 0.06): "unknown", (0.08, 0.14): "care", (0.2, 0.3): "bad"}
    for (low, high), expected in levels.items():  # of .3 between the worst and the best
        assert level(findings(loss=[0.0, low, high]), "utility") == expected
    said = findings(loss=[0.0, 0.0, 0.06]).verdicts()["utility"].sentences[1]
    assert "between 0 and 0.0600" in said


def test_a_model_better_than_real_patients_can_teach_asks_for_care():
    found = findings(loss=[-0.05, -0.08, -0.02])
    assert level(found, "utility") == "care"
    assert "Better than real patients can be" in found.verdicts()["utility"].sentences[-1]


@pytest.mark.parametrize(
    ("value", "half", "expected"), [(0.4, 0.05, "care"), (0.4, 0.07, "good"), (0.5, 0.01, "good")]
)
def test_a_classifier_that_is_worse_than_guessing_asks_for_care(value, half, expected):
    found = findings(metric("classifier_two_sample_test", "fidelity", value, half, share=1.0))
    verdict = found.verdicts()["fidelity"]
    assert verdict.level == expected
    assert any("below guessing" in s for s in verdict.sentences) == (expected == "care")


def test_fairness_is_green_for_the_groups_that_were_judged_only():
    fair = metric("subgroup_auroc_loss", "fairness", 0.0)
    groups = {"judged": ["sex = F"], "small": ["race = ASIAN"]}
    verdict = findings(fair, groups=groups).verdicts()["fairness"]
    assert verdict.level == "good" and "sex = F" in verdict.sentences[0]
    assert "judged" in verdict.headline and "race = ASIAN" in verdict.not_judged


def test_a_mean_does_not_hide_who_is_missing_or_what_is_far_behind():
    assert level(findings(absent={"Race BLACK": 0.1}), "fidelity") == "care"
    behind = metric("f9", "fidelity", 0.5, share=0.45, behind=True)
    assert level(findings(behind, *(findings().of("fidelity") * 4)), "fidelity") == "care"


def test_a_holdout_that_is_no_reference_leaves_nothing_judged():
    found = findings(overlap=3)
    assert {v.level for v in found.verdicts().values()} == {"unknown"}
    assert "3 of the 300 held-out patients" in found.answer()[0]
    assert found.advice()["good"] == []


def test_the_tables_of_words_name_what_there_is():
    described = descriptions()
    private = set(described.loc[described["family"] == "privacy", "name"])
    assert set(ALARMS) <= private
    assert all(float(row["care"]) < float(row["bad"]) for row in ALARMS.values())
    levels = {"good", "care", "bad", "unknown"}
    for family in ("fidelity", "utility", "privacy"):
        assert {name for f, name in _WORDS if f == family} == levels
        assert all(set(row[family].split()) <= levels for row in _USES)
    assert {family for family, _ in _WORDS} == set(FAMILIES)
    assert {row["for"] for row in _USES} == {"good", "bad"}
    assert {row["spot"] for row in _USES} == {"", "absent", "rare", "pairs", "broken"}
