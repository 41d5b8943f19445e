"""The toy GANs: what is measured of them, and that a run can be repeated and learns."""

import numpy as np
import pytest

from ehrsynth.errors import InputError
from ehrsynth.gan import toy as family


def test_centers_lie_on_the_unit_circle_and_points_around_them():
    assert np.linalg.norm(family.centers(5), axis=1) == pytest.approx(np.ones(5))
    points = family.ring(4_000, seed=1, spread=0.01)
    assert family.covered(points) == (8, 1.0)


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (family.centers(8), (8, 1.0)),
        (np.repeat(family.centers(8)[:1], 8, axis=0), (1, 1.0)),  # a collapse onto one center
        (np.zeros((8, 2)), (0, 0.0)),  # in the middle, near none
    ],
)
def test_coverage_of_known_points(points, expected):
    assert family.covered(points) == expected


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
