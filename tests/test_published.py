"""The published forms, each against a straightforward computation of its own."""

import dataclasses
import sys
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pytest
from known_truth import population
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import f1_score, roc_auc_score

from ehrsynth.evaluation import PROFILES, SPECS, USE_CASES, fidelity
from ehrsynth.evaluation.privacy import attribute
from ehrsynth.evaluation.setting import with_references
from ehrsynth.schema import Schema

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
import published


@pytest.fixture(scope="module")
def setting():
    drawn = population(1_000, 20, seed=5)
    parts = (drawn.iloc[a:b].reset_index(drop=True) for a, b in ((0, 420), (420, 600), (600, None)))
    everybody = dataclasses.replace(PROFILES["fast"], inferred=10_000, attacked=10_000)
    return with_references(*parts, Schema.of(drawn), everybody, 0)["synthetic"]


def value(setting, name):
    spec = next(s for s in SPECS if (s.name, s.form) == (name, "published"))
    return spec.evaluate(setting, 0).value


def test_dimension_wise_scales_the_distances_over_the_runs():
    rng = np.random.default_rng(0)
    real = pd.DataFrame({"a": rng.random(50) < 0.3, "b": rng.random(50) < 0.5, "x": rng.random(50)})
    runs = [real.assign(a=rng.permutation(real["b"]), x=real["x"] + shift)
            for shift in (0.1, 0.5, 0.3)]  # fmt: skip
    expected = []
    for made, scaled in zip(runs, (0.0, 1.0, 0.5), strict=True):
        prevalence = sum(abs(real[n].mean() - made[n].mean()) for n in "ab")
        expected.append(1000 / 7 * (prevalence + scaled / 10))
    found = published.dimension_wise(real, runs, ["a", "b"], of=7)
    assert found == pytest.approx(expected)
    assert wasserstein_distance(real["x"], runs[1]["x"]) == pytest.approx(0.5)
    alone = published.dimension_wise(real, runs[:1], ["a", "b"], of=7)  # of one run, nothing
    assert alone == pytest.approx(expected[0])


def test_latent_clusters_are_five_of_ten_starts_in_the_axes_of_80_percent():
    rng = np.random.default_rng(0)
    axes = rng.normal(size=(4, 12)) * np.array([[3.0], [2.0], [1.0], [0.5]])
    real, made = (rng.normal(size=(150, 4)) @ axes + rng.normal(size=(150, 12)) for _ in range(2))
    made[:75] += 6
    mixed = np.concatenate([real, made])
    reduced = PCA(0.8, svd_solver="full").fit_transform(mixed)
    labels = KMeans(5, n_init=10, random_state=0).fit_predict(reduced)
    shares = [(np.flatnonzero(labels == k) < 150).mean() for k in range(5)]
    expected = np.log2(np.mean((np.array(shares) - 0.5) ** 2))
    found, *_ = fidelity.log_cluster(real, made, clusters=5, seed=0)
    assert found == pytest.approx(expected, abs=0.05)


def test_tstr_does_not_see_race(setting):
    encoded = pd.DataFrame(setting.candidate.matrix), pd.DataFrame(setting.holdout.matrix)
    seen = [i for i, (name, _, _) in enumerate(setting.encoder.layout)
            if name not in ("race", "DIE_1y")]  # fmt: skip
    model = lightgbm.LGBMClassifier(
        n_estimators=2_000, learning_rate=0.01, verbosity=-1, random_state=0, deterministic=True,
        force_row_wise=True, n_jobs=1,
    ).fit(encoded[0][seen], setting.candidate.outcome)  # fmt: skip
    score = model.predict_proba(encoded[1][seen])[:, 1]
    found = published.tstr(setting.candidate, setting.holdout)
    assert found.value == pytest.approx(roc_auc_score(setting.holdout.outcome, score), abs=0.002)
    with_race = published.tstr(setting.candidate, setting.holdout, race=None)
    assert with_race.value != found.value


def test_membership_is_f1_within_a_squared_distance_of_five_on_the_synthetic_range(setting):
    made = setting.candidate.frame
    tables = []
    for side in (setting.candidate, setting.train, setting.holdout):
        columns = []
        for name, kind, label in setting.encoder.layout:
            if kind == "continuous":
                known = made[name].dropna()
                middle = known.median()
                low, high = known.min(), known.max()
                columns.append((side.frame[name].fillna(middle) - low) / (high - low))
            elif kind == "missing":
                columns.append(side.frame[name].isna().astype(float))
            elif kind == "category":
                columns.append((side.frame[name].astype(str) == label).astype(float))
            else:
                columns.append(side.frame[name].astype(float))
        tables.append(np.stack(columns, axis=1))
    released, train, holdout = tables
    accused = [cdist(rows, released, "sqeuclidean").min(axis=1) <= 5 for rows in (train, holdout)]
    truth = np.repeat([1, 0], [len(train), len(holdout)])
    expected = f1_score(truth, np.concatenate(accused))
    assert value(setting, "membership_inference") == pytest.approx(expected, abs=1e-3)


def test_attribute_inference_row_by_row(setting):
    """Demographics, the outcome and the commonest codes are known; all training rows attacked."""
    real, made = (t.reset_index(drop=True) for t in (setting.train.frame, setting.candidate.frame))
    codes = [n for n in real if n.startswith("phe_")]
    common = real[codes].mean().sort_values(ascending=False, kind="stable").index
    flags = [common[:i].tolist() for i in (attribute.KNOWN_CODES, len(codes) // 2)]
    flags = min(flags, key=len)

    def encoded(table):
        columns = {"age": table["age"], "DIE_1y": table["DIE_1y"], "male": table["sex"] == "M"}
        columns |= {r: table["race"] == r for r in real["race"].cat.categories}
        return pd.DataFrame(columns | {n: table[n] for n in flags}).astype(float).to_numpy()

    secrets = [n for n in codes if n not in flags] + ["bmi", "systolic", "diastolic"]
    hits, of = (np.zeros((len(real), len(secrets))) for _ in range(2))
    known, theirs = encoded(real), encoded(made)
    for i, row in enumerate(known):
        gap = np.abs(row - theirs)
        gap[:, 0] /= max(gap[:, 0].max(), 1)
        near = made[gap.sum(axis=1) <= gap.sum(axis=1).min() + 1e-6]
        for j, name in enumerate(secrets):
            truth = real.loc[i, name]
            if name in codes:
                guess = float(near[name].mean() > 0.5)
                hits[i, j], of[i, j] = truth * guess, (truth + guess) / 2
            else:
                votes = near[name].value_counts(dropna=False).sort_index(kind="stable")
                guess = votes.idxmax()
                hits[i, j] = 0.9 * truth <= guess <= 1.1 * truth
                of[i, j] = not np.isnan(truth)
    entropy = []
    for name in secrets:
        values = real[name].dropna()
        shares = np.floor(values.astype(float)).value_counts(normalize=True)
        entropy.append(-(shares * np.log(shares)).sum())
    scores = hits.sum(axis=0) / of.sum(axis=0)
    expected = (scores * entropy).sum() / sum(entropy)
    assert value(setting, "attribute_inference") == pytest.approx(expected, abs=0.003)


def test_a_tie_gets_the_worse_number_where_higher_is_better():
    values = pd.DataFrame({"low": [1, 1, 2, 3], "high": [9, 9, 5, 1]}, index=list("abcd"))
    found = published.ranks(values, {"low"})
    assert found["low"].tolist() == [1, 1, 3, 4]
    assert found["high"].tolist() == [2, 2, 3, 4]


def test_both_weight_profiles_are_there():
    early, late = (USE_CASES[n] for n in (
        "machine-learning development", "machine-learning development, latest"))  # fmt: skip
    assert sum(early.values()) == pytest.approx(1) == pytest.approx(sum(late.values()))
    assert early["medical_concept_abundance"] == late["column_wise_correlation"] == 0.1
    assert "column_wise_correlation" not in early and "medical_concept_abundance" not in late
