"""The toy GANs: what is measured of them, and that a run can be repeated and learns."""

import numpy as np
import pytest

from ehrsynth.errors import InputError
from ehrsynth.gan import toy as family


def test_points_lie_around_the_unit_circle():
    points = family.ring(4_000, seed=1, modes=5, spread=0.01)
    assert np.linalg.norm(points, axis=1) == pytest.approx(np.ones(4_000), abs=0.06)
    turns = np.angle(points[:, 0] + 1j * points[:, 1]) / (2 * np.pi) * 5
    assert np.abs(turns - turns.round()).max() < 0.06
    assert sorted(set(turns.round() % 5)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("kind", family.KINDS)
def test_the_same_seed_gives_the_same_run(kind):
    data = family.ring(500)
    first, again, other = (
        family.train_toy(kind, data, steps=20, seed=seed, snapshots=2) for seed in (0, 0, 1)
    )
    assert list(first.points) == [0, 10, 20]
    assert np.isfinite(list(first.losses.values())).all()
    np.testing.assert_array_equal(first.points[20], again.points[20])
    assert not np.array_equal(first.points[20], other.points[20])


def test_training_moves_the_points_towards_the_ring():
    run = family.train_toy("wgan", family.ring(2_000), steps=500, seed=0, snapshots=1)
    far = {step: np.abs(np.linalg.norm(p, axis=1) - 1).mean() for step, p in run.points.items()}
    assert far[500] < 0.5 * far[0]


def test_an_unknown_kind_is_named():
    with pytest.raises(InputError, match="'dcgan'; use one of gan, wgan, wgan-gp"):
        family.train_toy("dcgan", family.ring(10))
