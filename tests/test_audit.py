"""Shadow models: who trains as the run did tells its members, and nobody's where none leak."""

import numpy as np
import pandas as pd
import pytest
from known_truth import population

import ehrsynth as es
from ehrsynth.audit import audit, shadow_attack
from ehrsynth.evaluation.privacy.more_rows import SHADOWS
from ehrsynth.evaluation.setting import independent
from ehrsynth.files import read_json
from ehrsynth.profiles import PROFILES, Profile
from ehrsynth.release import problems
from ehrsynth.schema import Schema

USED = 1_400


@pytest.fixture(scope="module")
def people():
    table = population(2_000, 30, seed=3)
    return Schema.of(table).attach(table)


def overfitted(train, seed):
    """Patients with 30 in 100 values of somebody else: none is a copy, and each is near one."""
    rng = np.random.default_rng(seed)
    other, made = independent(train, len(train), rng), train.sample(frac=1, random_state=seed)
    made = made.reset_index(drop=True)
    return pd.DataFrame({n: made[n].where(rng.random(len(made)) < 0.7, other[n]) for n in made})


def no_learner(train, seed):
    return independent(train, len(train), np.random.default_rng(seed))


def test_an_overfitted_generator_is_found(people):
    found = shadow_attack(people, overfitted, USED, shadows=6)
    assert found.low > 0.58


def test_independent_columns_are_not_found(people):
    few = Schema.of(people).select([n for n in people if not n.startswith("phe_")])
    found = shadow_attack(few.attach(people[few.names]), no_learner, USED, shadows=6)
    assert abs(found.value - 0.5) < 0.03  # care begins at .53


def test_the_same_seed_gives_the_same_and_labels_are_drawn_anew(people):
    asked = []

    def noted(train, seed):
        asked.append(tuple(train["age"].head(20)))
        return no_learner(train, seed)

    first, again = (shadow_attack(people, noted, USED, shadows=4, seed=1) for _ in range(2))
    assert first == again and len(set(asked)) == 4


def test_too_few_models_are_refused_in_a_sentence(people):
    with pytest.raises(es.InputError, match="at least 4 shadow models, not 2"):
        shadow_attack(people, no_learner, USED, shadows=2)


def test_a_run_is_judged_again_with_what_was_found(tmp_path, monkeypatch, people):
    monkeypatch.setitem(PROFILES, "fast", Profile(500, 6_000, min_prevalence=0.01, steps=20))
    people.head(400).to_csv(tmp_path / "people.csv", index=False)
    job = es.Pipeline(
        tmp_path / "run", "table", tmp_path / "people.csv", outcome="DIE_1y", privacy="strict"
    )
    with pytest.raises(es.InputError, match="evaluation|data"):
        audit(job.out)
    job.run()
    fit, trained = es.EMRWGAN.fit, []
    monkeypatch.setattr(
        es.EMRWGAN, "fit", lambda gan, *given: trained.append(gan.recipe) or fit(gan, *given)
    )
    found = audit(job.out, shadows=4)
    assert trained == [job.gan.recipe] * 4  # trained as the run was, a strict one too
    assert 0.3 < found.value < 0.7
    metrics = read_json(job.out / "metrics.json")
    (told,) = metrics["facts"][SHADOWS]
    assert told["models"] == 4 and told["AUROC"] == pytest.approx(found.value, abs=1e-4)
    assert "who trained 4 models of his own" in (job.out / "report.html").read_text()
    assert not problems(job.out, unfinished=True)
