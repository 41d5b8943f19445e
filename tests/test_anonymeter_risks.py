"""The benchmark of singling out, linkability and inference: with Anonymeter, and without it."""

import sys

import numpy as np
import pytest
from conftest import REPOSITORY
from known_truth import noisy_copy, population

from ehrsynth.evaluation import PROFILES
from ehrsynth.evaluation.setting import with_references
from ehrsynth.schema import Schema
from ehrsynth.statistics import NotComputable

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import anonymeter_risks
from anonymeter_risks import RISKS, risk

NEEDS = "needs an environment of its own: see benchmarks/anonymeter_risks.py"


@pytest.fixture(scope="module")
def people():
    return population(700, 30, seed=1), population(500, 30, seed=2)


def scene(people, synthetic):
    schema = Schema.of(people[0])
    return with_references(*people, synthetic, schema, PROFILES["fast"], seed=0)["synthetic"]


@pytest.mark.parametrize("name", RISKS)
def test_without_the_package_the_reason_says_what_to_install(people, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "anonymeter", None)
    with pytest.raises(NotComputable, match=r"not installed \(pip install"):
        risk(name, scene(people, people[1]), seed=0)


def test_tables_are_of_one_size_and_hold_no_missing_values(people):
    used, others, released = anonymeter_risks._tables(
        scene(people, population(600, 30, seed=3)), codes=6, rng=np.random.default_rng(0)
    )
    assert len(used) == len(others) == 500
    assert len(released) == 600
    assert list(used.columns) == list(released.columns)
    assert used.shape[1] == 6 + 6 + 1  # not binary, codes, outcome
    assert not any(t.isna().any(axis=None) for t in (used, others, released))


@pytest.mark.parametrize("name", RISKS)
def test_fresh_patients_are_safe_and_copies_are_not(people, name):
    pytest.importorskip("anonymeter", reason=NEEDS)
    fresh = risk(name, scene(people, population(700, 30, seed=3)), seed=0)
    half = (fresh.high - fresh.low) / 2
    assert abs(fresh.value) < 1.5 * half
    for copy in (people[0], noisy_copy(people[0], 0.01)):
        found = risk(name, scene(people, copy), seed=0)
        assert found.low > fresh.value
        assert found.low > 0
    again = risk(name, scene(people, population(700, 30, seed=3)), seed=0)
    assert again == fresh


def test_too_few_patients_have_a_reason(people):
    pytest.importorskip("anonymeter", reason=NEEDS)
    tiny = scene([t.iloc[:30] for t in people], people[1].iloc[:30])
    for name in RISKS:
        with pytest.raises(NotComputable, match="fewer than 50"):
            risk(name, tiny, 0)
