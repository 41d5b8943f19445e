"""Numbers drawn together inside their bins."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp, kstest

from ehrsynth.preprocessing.copula import Copula
from ehrsynth.preprocessing.encode import Preprocessor
from ehrsynth.schema import Column, Schema


def two_numbers(n: int, correlation: float, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, noise = rng.normal(size=(2, n))
    return pd.DataFrame({"x": x, "y": correlation * x + (1 - correlation**2) ** 0.5 * noise})


def there_and_back(table: pd.DataFrame, bins: int, joint: bool = True) -> pd.DataFrame:
    schema = Schema(tuple(Column(name, "continuous") for name in table))
    prep = Preprocessor(bins=bins, least_patients=1).fit(table, schema)
    if not joint:
        prep.copula_ = Copula(np.eye(table.shape[1]).tolist())
    return prep.inverse_transform(prep.transform(schema.attach(table)), seed=1)


def test_the_correlation_inside_the_bins_comes_back():
    table = two_numbers(20_000, 0.8)
    together = there_and_back(table, bins=4)
    apart = there_and_back(table, bins=4, joint=False)
    truth = table.corr().iloc[0, 1]
    assert abs(together.corr().iloc[0, 1] - truth) < 0.01
    assert apart.corr().iloc[0, 1] < truth - 0.1


def test_numbers_that_have_nothing_in_common_stay_so():
    together = there_and_back(two_numbers(20_000, 0.0), bins=4)
    assert abs(together.corr().iloc[0, 1]) < 0.03


def test_a_number_drawn_together_is_distributed_as_in_train():
    table = two_numbers(20_000, 0.9)
    table["y"] = np.exp(table["y"])
    back = there_and_back(table, bins=4)
    assert max(ks_2samp(back[name], table[name]).statistic for name in table) < 0.01


def test_ranks_lie_between_the_given_ones():
    rng = np.random.default_rng(0)
    low = rng.random((5_000, 3)) * 0.9
    high = low + rng.random((5_000, 3)) * (1 - low)
    strong = Copula.fit(two_numbers(500, 0.999).assign(z=lambda t: -t["x"]))
    ranks = strong.draw(low, high, rng)
    assert (ranks >= low - 1e-9).all() and (ranks <= high + 1e-9).all()


def test_a_missing_number_says_nothing_about_the_others():
    """Conditioned on nothing, a rank is uniform; conditioned on a high one, it is high."""
    copula = Copula([[1.0, 0.8], [0.8, 1.0]])
    low, high = np.zeros((20_000, 2)), np.ones((20_000, 2))
    free = copula.draw(low, high, np.random.default_rng(0))
    assert kstest(free[:, 1], "uniform").pvalue > 0.001
    low[:, 0] = 0.9
    assert copula.draw(low, high, np.random.default_rng(0))[:, 1].mean() > 0.8


def test_the_same_seed_draws_the_same():
    copula, ends = Copula([[1.0, 0.5], [0.5, 1.0]]), (np.zeros((50, 2)), np.ones((50, 2)))
    first, same, other = (copula.draw(*ends, np.random.default_rng(s)) for s in (4, 4, 5))
    assert np.array_equal(first, same) and not np.array_equal(first, other)


def test_the_correlation_is_that_of_the_ranks():
    table = two_numbers(20_000, 0.7)
    table["x"] = np.exp(3 * table["x"])  # ranks do not care
    table.loc[:12_000, "y"] = np.nan
    assert Copula.fit(table).correlation[0][1] == pytest.approx(0.7, abs=0.02)


@pytest.mark.parametrize("case", ["same", "constant", "empty", "never together", "one patient"])
def test_odd_columns_are_drawn_too(case):
    table = two_numbers(200, 0.5)
    if case == "same":
        table["y"] = table["x"]
    elif case == "constant":
        table["y"] = 3.0
    elif case == "empty":
        table["y"] = np.nan
    elif case == "never together":
        table.loc[:99, "x"] = table.loc[100:, "y"] = np.nan
    else:
        table = table.head(1)
    back = there_and_back(table, bins=5)
    assert back.isna().equals(table.isna())
    if case == "same":
        assert back.corr().iloc[0, 1] > 0.97


def test_correlations_that_contradict_each_other_are_mended():
    """x goes with y, y with z, and x against z: each pair counted among other patients."""
    rng = np.random.default_rng(0)
    x, y, z = rng.normal(size=(3, 300))
    y[:100], z[100:200], x[200:] = x[:100], y[100:200], -z[200:]
    z[:100] = x[100:200] = y[200:] = np.nan
    copula = Copula.fit(pd.DataFrame({"x": x, "y": y, "z": z}))
    assert np.linalg.eigvalsh(copula.correlation).min() > 0
    assert np.allclose(np.diag(copula.correlation), 1)
