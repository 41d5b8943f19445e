"""A generator that has margins and pairs right, and nothing else."""

import numpy as np
import pandas as pd
import pytest
from toy import toy_patients

from ehrsynth.evaluation.setting import Encoder
from ehrsynth.gan import pairs_only
from ehrsynth.gan.pairs_only import PairsOnly
from ehrsynth.schema import Column, Schema
from ehrsynth.statistics import two_sample_test


def normals(n: int, correlation, seed: int = 0) -> np.ndarray:
    root = np.linalg.cholesky(correlation)
    return np.random.default_rng(seed).standard_normal((n, len(root))) @ root.T


def encoded(*tables: pd.DataFrame) -> list[np.ndarray]:
    encoder = Encoder.fit(Schema.of(tables[0]), tables[0], tables)
    return [encoder.transform(table) for table in tables]


def told_apart(first: pd.DataFrame, second: pd.DataFrame) -> float:
    return two_sample_test(*encoded(first, second), np.random.default_rng(0)).value


def correlations(rows: np.ndarray) -> np.ndarray:
    return np.corrcoef(rows.T)[np.triu_indices(rows.shape[1], 1)]


# -- tetrachoric correlations -------------------------------------------------------------


def tetrachoric(binary: np.ndarray) -> np.ndarray:
    x = np.asarray(binary, dtype=float)
    return pairs_only.tetrachoric(x.mean(axis=0), x.T @ x / len(x), len(x))


def test_tetrachoric_correlations_are_those_of_the_normal_variables():
    behind = np.array([[1, 0.6, -0.4], [0.6, 1, 0], [-0.4, 0, 1]])
    found = tetrachoric(normals(200_000, behind) > [1.5, 0.5, 0])
    np.testing.assert_allclose(found, behind, atol=0.015)


def test_of_two_halves_the_correlation_is_a_sine():
    """Sheppard 1899: both above their medians with 1/4 + arcsin(r) / 2 pi, so 1/3 for r = 1/2."""
    both = np.repeat([[1, 1], [1, 0], [0, 1], [0, 0]], [200, 100, 100, 200], axis=0)
    assert tetrachoric(both)[0, 1] == pytest.approx(0.5, abs=1e-6)
    assert tetrachoric(1 - both)[0, 1] == pytest.approx(0.5, abs=1e-6)
    assert tetrachoric(np.abs(both - [0, 1]))[0, 1] == pytest.approx(-0.5, abs=1e-6)


def test_columns_that_always_or_never_go_together_and_constants():
    first = np.arange(1000) < 300
    found = tetrachoric(np.column_stack([first, first, ~first, np.zeros(1000), np.ones(1000)]))
    assert found[0, 1] > 0.98 and found[0, 2] < -0.98
    np.testing.assert_array_equal(found[3:], np.eye(5)[3:])


# -- what the copula keeps -----------------------------------------------------------------


@pytest.fixture(scope="module")
def patients() -> pd.DataFrame:
    return toy_patients(8_000)


@pytest.fixture(scope="module")
def made(patients) -> pd.DataFrame:
    return PairsOnly().fit(patients).sample(8_000, seed=1)


def test_it_is_a_patient_table_and_the_seed_decides(patients, made):
    assert Schema.of(made) == Schema.of(patients) and (made.dtypes == patients.dtypes).all()
    copula = PairsOnly().fit(patients)
    pd.testing.assert_frame_equal(copula.sample(8_000, seed=1), made)
    assert not copula.sample(8_000, seed=2).equals(made)
    for name in ("age", "bmi"):
        assert set(made[name].dropna()) <= set(patients[name].dropna())


def test_margins_and_pairs_are_within_sampling_error(patients, made):
    real, other = encoded(patients, made)
    error = np.sqrt(real.var(axis=0) * 2 / 8_000)
    assert (np.abs(real.mean(axis=0) - other.mean(axis=0)) < 4.5 * error).all()
    varies = real.std(axis=0) > 0
    off = correlations(real[:, varies]) - correlations(other[:, varies])
    # The three categories of a race always sum to one; systolic and diastolic miss together.
    assert np.sqrt(np.mean(off**2)) < 1.6 * np.sqrt(2 / 8_000)
    assert np.abs(off).max() < 0.12


def test_categories_go_with_what_they_go_with():
    rng = np.random.default_rng(0)
    group = rng.choice(4, 40_000, p=[0.55, 0.3, 0.1, 0.05])
    chance = np.array([0.1, 0.4, 0.2, 0.6])
    names = ("a", "b", "c", "d")
    schema = Schema((
        Column("group", "categorical", categories=names), Column("ill", "binary"),
        Column("number", "continuous"),
    ))  # fmt: skip
    table = schema.cast(pd.DataFrame({
        "group": np.array(names)[group], "ill": rng.random(40_000) < chance[group],
        "number": rng.normal(size=40_000) + chance[group],
    }))  # fmt: skip
    new = PairsOnly().fit(table).sample(40_000, seed=1)
    for one in (table, new):
        shares = one["group"].value_counts(normalize=True)[list(names)]
        assert shares.to_numpy() == pytest.approx([0.55, 0.3, 0.1, 0.05], abs=0.01)
    ill, number = (new.groupby("group", observed=True)[name].mean() for name in ("ill", "number"))
    assert ill.to_numpy() == pytest.approx(chance, abs=0.06)
    assert number.to_numpy() == pytest.approx(chance, abs=0.08)


def test_missing_numbers_are_as_many_and_go_with_what_they_go_with():
    rng = np.random.default_rng(0)
    ill, value = rng.random(20_000) < 0.3, rng.exponential(size=20_000)
    value[rng.random(20_000) < np.where(ill, 0.1, 0.7)] = np.nan
    schema = Schema((Column("ill", "binary"), Column("value", "continuous")))
    new = PairsOnly().fit(schema.cast(pd.DataFrame({"ill": ill, "value": value}))).sample(20_000)
    missing = new["value"].isna().groupby(new["ill"]).mean()
    assert missing.to_numpy() == pytest.approx([0.7, 0.1], abs=0.02)
    assert new["value"].median() == pytest.approx(np.log(2), abs=0.04)


def test_it_is_not_told_from_itself_and_a_normal_table_not_from_it(patients, made):
    again = PairsOnly().fit(patients).sample(8_000, seed=2)
    assert 0.47 < told_apart(made, again) < 0.53
    # Where there is nothing beyond pairs, nothing is lost.
    behind = 0.5 * np.eye(8) + 0.5
    schema = Schema(tuple(Column(f"code {i}", "binary") for i in range(8)))
    real, other = (
        schema.cast(pd.DataFrame(normals(6_000, behind, seed) > 0.5, columns=schema.names))
        for seed in (0, 1)
    )
    assert 0.47 < told_apart(PairsOnly().fit(real).sample(6_000), other) < 0.53


def test_what_three_columns_have_in_common_is_lost_and_told_apart():
    def three(n: int, seed: int) -> pd.DataFrame:
        one, two, *others = np.random.default_rng(seed).random((6, n)) < 0.5
        table = pd.DataFrame({"one": one, "two": two, "either": one ^ two})
        table[list("abcd")] = np.transpose(others)  # a tree sees half of the columns
        return Schema(tuple(Column(name, "binary") for name in table)).cast(table)

    real, new = three(6_000, 0), three(6_000, 1)
    made = PairsOnly().fit(real).sample(6_000)
    assert np.abs(correlations(made.to_numpy(float))).max() < 0.05
    odd = (made["one"] ^ made["two"]) == made["either"]
    assert odd.mean() == pytest.approx(0.5, abs=0.03)
    assert told_apart(made, new) > 0.7
    assert 0.47 < told_apart(real, new) < 0.53


def test_correlations_that_contradict_each_other_become_possible(patients):
    """Counted among different patients, or from few, they can."""
    few = PairsOnly().fit(patients.head(60))
    assert np.linalg.eigvalsh(few.correlation_).min() > -1e-8
    np.testing.assert_allclose(np.diag(few.correlation_), 1.0)
    assert not few.sample(50)[["age"]].isna().any().any()


def test_rare_and_unused_categories_disturb_nobody():
    """A column of thirty categories, most of them of one patient or of none."""
    rng = np.random.default_rng(0)
    n, names = 4_000, [str(i) for i in range(30)]
    first = rng.normal(size=n)
    group = np.where(
        rng.random(n) < 0.004, rng.integers(3, 20, n), rng.choice(3, n, p=[0.9, 0.07, 0.03])
    )
    schema = Schema((
        Column("group", "categorical", categories=tuple(names)),
        Column("always", "categorical", categories=("yes",)),
        *(Column(f"number {i}", "continuous") for i in range(3)),
        *(Column(f"code {i}", "binary") for i in range(20)),
    ))  # fmt: skip
    table = pd.DataFrame({"group": np.array(names)[group], "always": "yes", "number 0": first})
    table["number 1"] = 0.8 * first + 0.6 * rng.normal(size=n)
    table["number 2"] = rng.poisson(0.1, n).astype(float)
    for i in range(20):
        table[f"code {i}"] = rng.random(n) < 0.05
    made = PairsOnly().fit(schema.cast(table)).sample(40_000)
    shares = made["group"].value_counts(normalize=True)
    assert shares[["0", "1", "2"]].to_numpy() == pytest.approx([0.896, 0.07, 0.03], abs=0.012)
    assert shares[names[20:]].sum() == 0 and (made["always"] == "yes").all()
    assert made["number 0"].corr(made["number 1"]) == pytest.approx(0.8, abs=0.02)
    assert abs(made["number 0"].corr(made["number 2"])) < 0.05
