"""What the numbers say in words, on findings made up for the purpose."""

import pytest

from ehrsynth.evaluation.metric import Metric, descriptions
from ehrsynth.evaluation.verdict import _ALARMS, _USES, _WORDS, FAMILIES, Findings, level_of


def metric(name, family, value, half=0.0, share=None, form="corrected", **known):
    fields = {"best": None, "worst": None, "behind": False} | known
    return Metric(
        name=name, title=name, family=family, form=form, value=value, ci_low=value - half,
        ci_high=value + half, share=share, direction="lower", unit="", source="", sentence="",
        **fields,
    )  # fmt: skip


def findings(*more, share=1.0, **known):
    """Good data in every family, with these metrics in the place of those of the same name."""
    usual = [
        *(metric(f"f{i}", "fidelity", 0.1, share=share) for i in range(4)),
        metric("tstr_auroc", "utility", 0.8, share=share),
        metric("membership_inference", "privacy", 0.5, 0.02),
        metric("exact_copies", "privacy", 0.0, best=0.0),
    ]
    names = {m.name for m in more}
    rows = {"train": 700, "holdout": 300, "synthetic": 700}
    return Findings([*(m for m in usual if m.name not in names), *more], rows=rows, **known)


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


@pytest.mark.parametrize(
    ("value", "half", "expected"),
    [(0.54, 0.02, "care"), (0.58, 0.02, "bad"), (0.54, 0.04, "good"), (0.52, 0.09, "unknown")],
)
def test_an_attack_alarms_by_the_low_end_of_its_interval(value, half, expected):
    found = findings(metric("membership_inference", "privacy", value, half))
    assert level(found, "privacy") == expected
    assert any("Sharing" in use for use in found.advice()["good"]) == (expected == "good")


def test_copies_count_above_those_that_chance_makes():
    assert level(findings(metric("exact_copies", "privacy", 0.04, best=0.04)), "privacy") == "good"
    assert level(findings(metric("exact_copies", "privacy", 0.04, best=0.0)), "privacy") == "care"
    assert level(findings(metric("exact_copies", "privacy", 0.06, best=0.0)), "privacy") == "bad"


def test_the_published_form_raises_no_alarm():
    found = findings(metric("holdout_exposure", "privacy", 0.9, form="published"))
    assert level(findings(metric("attribute_inference", "privacy", 0.9)), "privacy") == "bad"
    published = metric("attribute_inference", "privacy", 0.9, form="published")
    assert level(findings(published), "privacy") == "good"
    assert level(found, "fidelity") == "unknown"  # but it says that the holdout is no reference


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
    assert set(_ALARMS) <= private
    assert all(float(row["care"]) < float(row["bad"]) for row in _ALARMS.values())
    levels = {"good", "care", "bad", "unknown"}
    for family in ("fidelity", "utility", "privacy"):
        assert {name for f, name in _WORDS if f == family} == levels
        assert all(set(row[family].split()) <= levels for row in _USES)
    assert {family for family, _ in _WORDS} == set(FAMILIES)
    assert {row["for"] for row in _USES} == {"good", "bad"}
    assert {row["spot"] for row in _USES} == {"", "absent", "rare", "pairs", "broken"}
