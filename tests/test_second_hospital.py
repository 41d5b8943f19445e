"""The second hospital is as hard as a real one, on another plan, and its truth is known."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ehrsynth.evaluation.setting import Encoder
from ehrsynth.gan.pairs_only import PairsOnly
from ehrsynth.schema import DIE_1Y, SEX, Schema
from ehrsynth.statistics import auroc, boosted_trees, two_sample_test

ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT / name) for name in ("benchmarks", "tools")]
import second_hospital  # noqa: E402
from simulated_hospital import mean_tetrachoric  # noqa: E402

N = 16_000


@pytest.fixture(scope="module")
def known() -> tuple[pd.DataFrame, np.ndarray]:
    return second_hospital.draw(N, seed=0)


@pytest.fixture(scope="module")
def new() -> pd.DataFrame:
    return second_hospital.patients(N, seed=1)


def encoded(*tables: pd.DataFrame) -> list[np.ndarray]:
    encoder = Encoder.fit(Schema.of(tables[0]), tables[0], tables)
    return [encoder.transform(table) for table in tables]


def area(score: np.ndarray, table: pd.DataFrame) -> float:
    died = table[DIE_1Y].to_numpy() == 1
    return auroc(score[died], score[~died]).value


def test_it_is_a_patient_table_and_the_seed_decides(known):
    table, risk = known
    assert Schema.of(table) == second_hospital.schema(300) and len(table) == len(risk) == N
    assert second_hospital.patients(500, seed=3).equals(second_hospital.patients(500, seed=3))
    assert not second_hospital.patients(500, seed=3).equals(second_hospital.patients(500, seed=4))
    assert len(second_hospital.schema(40).names) == 48


@pytest.mark.parametrize("codes", [300, 600])
def test_diseases_hang_together_as_in_a_real_hospital(codes):
    """The MIMIC-IV demo's 85 patients: .26 and .83."""
    table = second_hospital.patients(N, seed=1, codes=codes)
    diagnoses = table.filter(like="phe_").to_numpy()
    assert 0.17 < mean_tetrachoric(diagnoses) < 0.25
    number = diagnoses.sum(axis=1)
    assert 0.7 < number.std() / number.mean() < 0.95
    assert 9 < number.mean() < 16


def test_what_only_one_sex_can_have_the_other_never_has(known):
    table, _ = known
    bound = [c for c in Schema.of(table).columns if c.sex]
    assert {c.sex for c in bound} == {"F", "M"} and len(bound) > 8
    for column in bound:
        has = table.loc[table[column.name] == 1, SEX]
        assert len(has) and (has == column.sex).all()


def test_diseases_lead_to_diseases(known):
    table, _ = known
    truth, has = second_hospital.structure(300), table.filter(like="phe_").to_numpy()
    led = [(truth.parent[code], code) for code in np.flatnonzero(truth.parent >= 0)]

    def ratio(pairs: list[tuple[int, int]]) -> float:
        """Median over the pairs: how much more often with the first code than without it."""
        both = [(has[:, i] == 1, has[:, j]) for i, j in pairs if truth.sex[i] == truth.sex[j] == ""]
        return float(np.median([b[a].mean() / b[~a].mean() for a, b in both if a.sum() > 200]))

    others = [(first, code + 1) for first, code in led if code + 1 < 300]
    assert ratio(led) > 1.5 * ratio(others)


def test_who_dies_is_as_likely_as_the_truth_says(known):
    table, risk = known
    died = table[DIE_1Y].to_numpy()
    for part in np.array_split(np.argsort(risk), 8):
        error = np.sqrt((risk[part] * (1 - risk[part])).sum()) / len(part)
        assert abs(died[part].mean() - risk[part].mean()) < 4 * error
    assert 0.8 < area(risk, table) < 0.9


def test_numbers_are_missing_for_a_reason(known):
    table, _ = known
    died = table[DIE_1Y] == 1
    share = table.isna().groupby(died).mean()
    assert share.loc[True, "bmi"] > share.loc[False, "bmi"] + 0.1
    assert share.loc[True, "creatinine"] < share.loc[False, "creatinine"] - 0.1
    assert (table["systolic"].isna() == table["diastolic"].isna()).all()


def test_two_samples_are_not_told_apart_but_one_with_pairs_only_is(known, new):
    table, _ = known
    copula = PairsOnly().fit(table).sample(N, seed=2)
    real, fresh, made = encoded(new, table, copula)
    assert two_sample_test(real, fresh, np.random.default_rng(0)).value == pytest.approx(
        0.5, abs=0.02
    )
    assert two_sample_test(real, made, np.random.default_rng(0)).value > 0.6


def test_trees_know_more_than_a_sum_of_log_odds_and_less_than_the_truth(known, new):
    table, _ = known
    at = [i for i, name in enumerate(Schema.of(new).names) if name == DIE_1Y]
    train, test = (np.delete(x, at, axis=1) for x in encoded(table, new))
    died = table[DIE_1Y].to_numpy()
    logistic = make_pipeline(StandardScaler(), LogisticRegression(C=0.005)).fit(train, died)
    boosted = boosted_trees(train, died, 300, 0.05, 0)
    straight = area(logistic.decision_function(test), new)
    bent = area(boosted.predict(test), new)
    best = area(second_hospital.draw(N, seed=1)[1], new)
    assert straight + 0.015 < bent < best - 0.005
