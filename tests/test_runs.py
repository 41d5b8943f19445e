"""Several runs side by side: the same models wherever they are trained."""

import dataclasses
import pickle
from pathlib import Path

import joblib
import pytest
import torch
from toy import toy_patients

from ehrsynth.errors import InputError
from ehrsynth.gan.recipe import MODERN
from ehrsynth.model import EMRWGAN
from ehrsynth.preprocessing.encode import Preprocessor
from ehrsynth.preprocessing.matrix import Encoded
from ehrsynth.runs import fit_runs, run_seeds

SMALL = dataclasses.replace(MODERN, width=16, layers=1, latent=8, batch=32)


@pytest.fixture(scope="module")
def encoded() -> Encoded:
    train = toy_patients(200)
    return Preprocessor().fit(train).transform(train)


def template(**options) -> EMRWGAN:
    return EMRWGAN(SMALL, **{"seed": 3, "steps": 20, "device": "cpu"} | options)


@pytest.fixture(scope="module")
def one_by_one(encoded) -> list[EMRWGAN]:
    return fit_runs(template(), encoded, runs=2)


def same(one: EMRWGAN, other: EMRWGAN) -> bool:
    """Whether two models make the same patients from the same noise."""
    a, b = (model.probabilities(60, seed=1).values for model in (one, other))
    return one.seed == other.seed and (a == b).all()


def test_runs_differ_in_their_seed_only(one_by_one):
    first, second = one_by_one
    assert [first.seed, second.seed] == run_seeds(3, 2)
    assert second.get_params() | {"seed": 3} == first.get_params() == template().get_params()
    a, b = (model.probabilities(60, seed=1).values for model in one_by_one)
    assert not (a == b).all()


def test_seeds_begin_with_the_models_own_and_do_not_overlap():
    assert run_seeds(7, 3) == run_seeds(7, 5)[:3]
    assert run_seeds(7, 1) == [7]
    seeds = [seed for start in range(20) for seed in run_seeds(start, 20)]
    assert len(set(seeds)) == 400


def test_the_first_run_is_the_model_trained_alone(encoded, one_by_one):
    model, before = template(), torch.get_num_threads()
    torch.set_num_threads(1)
    alone = model.fit(encoded)
    torch.set_num_threads(before)
    assert same(one_by_one[0], alone)


def test_what_workers_are_handed_lies_where_nobody_else_can_look(encoded, monkeypatch):
    asked = {}

    class Parallel(joblib.Parallel):
        def __init__(self, *positional, **options):
            asked.update(options)
            super().__init__(*positional, **options)

    monkeypatch.setattr(joblib, "Parallel", Parallel)
    fit_runs(template(steps=1), encoded, runs=1)
    assert Path(asked["temp_folder"]).stat().st_mode & 0o777 == 0o700


def test_in_processes_of_their_own_they_are_the_same(encoded, one_by_one):
    """Also where joblib hands the patients over in memory that nobody may write to."""
    with joblib.parallel_config(backend="loky", max_nbytes=1):
        side_by_side = fit_runs(template(), encoded, runs=2, n_jobs=2)
    assert all(same(a, b) for a, b in zip(side_by_side, one_by_one, strict=True))


def test_training_leaves_the_threads_as_they_were(encoded):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        fit_runs(template(steps=1), encoded, runs=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_models_come_back_small(one_by_one, tmp_path):
    """What travels between processes is the model, and nothing of its training."""
    one_by_one[0].save(tmp_path)
    saved = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert len(pickle.dumps(one_by_one[0])) < 1.5 * saved


def test_what_is_trained_is_not_trained_again(encoded, one_by_one, tmp_path):
    fit_runs(template(), encoded, runs=1, checkpoint_dir=tmp_path)
    (checkpoint,) = tmp_path.rglob("*.safetensors")
    assert checkpoint.parent == tmp_path / "1"
    written = checkpoint.stat().st_mtime_ns
    both = fit_runs(template(), encoded, runs=2, checkpoint_dir=tmp_path)
    assert checkpoint.stat().st_mtime_ns == written
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]
    assert all(same(a, b) for a, b in zip(both, one_by_one, strict=True))


def test_errors_name_the_run(encoded, tmp_path):
    for options, words in (
        ({"runs": 0}, "number of runs must be 1 or more, not 0"),
        ({"n_jobs": 0}, "n_jobs is 0"),
    ):
        with pytest.raises(InputError, match=words):
            fit_runs(template(), encoded, **options)
    fit_runs(template(), encoded, runs=1, checkpoint_dir=tmp_path)
    with pytest.raises(InputError, match=r"Run 1 of 2 \(seed 3\): .*steps: 20, now 21"):
        fit_runs(template(steps=21), encoded, runs=2, checkpoint_dir=tmp_path)
