"""The book's example of training on a Dask cluster, run as it stands there."""

import re
from pathlib import Path

import pytest
from toy import toy_patients

import ehrsynth as es
from ehrsynth.runs import fit_runs

PAGE = Path(__file__).resolve().parents[1] / "book" / "command-line.md"
ADDRESS, FOLDER, SEED = '"tcp://scheduler:8786"', '"results/', "seed=0"


def example() -> str:
    (code,) = [
        code
        for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
        if "dask" in code
    ]
    return code


def test_the_example_names_what_the_test_replaces():
    code = example()
    compile(code, str(PAGE), "exec")
    assert code.count(ADDRESS) == 1 and code.count(FOLDER) == 3 and code.count(SEED) == 1


def forbidden(*_, **__):
    raise AssertionError("trained here, not on a worker")


def test_the_example_gives_the_models_of_one_process(tmp_path, monkeypatch):
    """On two workers; only the address and the folder are replaced, and the training is short."""
    distributed = pytest.importorskip(
        "distributed",
        reason='Dask is not installed: pip install -e ".[scale]" (or make test-spark)',
    )
    train = toy_patients(100)
    prep = es.Preprocessor().fit(train)
    prep.save(tmp_path / "model")
    prep.schema_.save(tmp_path / "schema.json")
    train[prep.schema_.names].to_parquet(tmp_path / "train.parquet")
    code = example().replace(FOLDER, f'"{tmp_path}/').replace(SEED, "seed=0, steps=20")
    names = {}
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=tmp_path
        ) as cluster,
        monkeypatch.context() as here,
    ):
        here.setattr(es.EMRWGAN, "fit", forbidden)
        exec(code.replace(ADDRESS, repr(cluster.scheduler_address)), names)
        names["client"].close()
    models = names["models"]
    expected = fit_runs(es.EMRWGAN(seed=0, steps=20), prep.transform(train), runs=5)
    assert [m.seed for m in models] == [m.seed for m in expected]
    for found, alone in zip(models, expected, strict=True):
        assert (found.sample(200).values == alone.sample(200).values).all()
