"""Generators without a network: each keeps what it promises, and no more."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
import peers

from ehrsynth.preprocessing.matrix import Block, Encoded


@pytest.fixture(scope="module")
def chained() -> Encoded:
    """A category leads to a code, the code to a second; a third knows nobody."""
    rng = np.random.default_rng(0)
    category = rng.choice(3, 6_000, p=[0.5, 0.3, 0.2])
    first = rng.random(6_000) < np.array([0.1, 0.4, 0.8])[category]
    second = rng.random(6_000) < np.where(first, 0.7, 0.1)
    third = rng.random(6_000) < 0.2
    values = np.column_stack([np.eye(3)[category], first, second, third]).astype(np.uint8)
    layout = (
        Block("race", "category", "demographic", ("a", "b", "c")),
        *(Block(f"phe_{i}", "binary", "diagnosis", ("0", "1")) for i in range(3)),
    )
    return Encoded(values, layout)


def test_whole_numbers_lead_back_to_the_matrix(chained):
    again = peers.to_encoded(peers.to_values(chained), chained)
    np.testing.assert_array_equal(again.values, chained.values)


@pytest.mark.parametrize("name", ["sequential CART", "Chow-Liu tree"])
def test_neighbors_in_the_chain_go_together_as_in_train(chained, name):
    made, again = (peers.PEERS[name](chained, seed).values for seed in (0, 0))
    np.testing.assert_array_equal(made, again)
    assert (made[:, :3].sum(axis=1) == 1).all()
    np.testing.assert_allclose(made.mean(axis=0), chained.values.mean(axis=0), atol=0.03)
    wanted, found = (np.cov(x.T.astype(float)) for x in (chained.values, made))
    np.testing.assert_allclose(found, wanted, atol=0.015)
    assert wanted[3, 4] > 0.1 and abs(found[4, 5]) < 0.02


def test_a_tenth_of_a_bootstrap_is_somebody_elses(chained):
    made = peers.bootstrap(chained, 0).values
    ratio = np.cov(made[:, 3], made[:, 4])[0, 1] / np.cov(*chained.values[:, 3:5].T)[0, 1]
    assert ratio == pytest.approx(0.81, abs=0.08)  # both columns must be left as they were
