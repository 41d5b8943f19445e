"""The figures on the book's pages are those that the benchmarks wrote."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pandas as pd

from ehrsynth.evaluation.privacy import nearest_distance

REPOSITORY = Path(__file__).resolve().parents[1]
_spec = spec_from_file_location("benchmark", REPOSITORY / "benchmarks" / "evaluation.py")
benchmark = module_from_spec(_spec)
_spec.loader.exec_module(benchmark)


def test_page_shows_what_the_benchmark_measured():
    fresh = benchmark.page_table(pd.read_csv(benchmark.RESULTS))
    shown = pd.read_csv(benchmark.PAGE_TABLE, dtype=str, keep_default_na=False)
    assert shown.to_numpy().tolist() == fresh.to_numpy(str).tolist()
    assert "evaluation-times.csv" in (REPOSITORY / "book" / "command-line.md").read_text()


def test_loops_find_what_the_package_finds():
    rng = np.random.default_rng(0)
    train, released = ((rng.random((n, 12)) < 0.4).astype(np.float32) for n in (30, 50))
    near = benchmark.membership_loop(train, released)
    np.testing.assert_allclose(near, nearest_distance(train, released), atol=1e-3)
    found = benchmark.attribute_loop(train, released)
    gaps = np.abs(released - train[:, None]).sum(axis=2)
    np.testing.assert_array_equal(gaps[np.arange(30), found], gaps.min(axis=1))
