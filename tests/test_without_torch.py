"""What the package does where PyTorch is not installed, and how little its import takes."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import ehrsynth

# None in sys.modules would do for us, but SciPy looks there for other people's tensors.
WITHOUT_TORCH = """
import importlib.abc, sys
class Without(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "safetensors"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Without())
"""


def python(code, *arguments):
    command = [sys.executable, "-c", WITHOUT_TORCH + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def command(*arguments):
    return python("from ehrsynth.cli import main; main()", *arguments)


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("train", "holdout", "synthetic"):
        table = pd.DataFrame(
            {
                "died": (rng.random(40) < 0.3).astype(int),
                "sex": rng.choice(["F", "M"], 40),
                "age": rng.integers(18, 90, 40).astype(float),
            }
        )
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    return tmp_path


def test_evaluate_needs_no_torch(files):
    tables = [(f"--{name}", files / f"{name}.csv") for name in ("train", "holdout", "synthetic")]
    result = command(
        "evaluate", *(part for pair in tables for part in pair), "--outcome", "died",
        "--profile", "fast", "--out", files / "x",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert json.loads((files / "x" / "metrics.json").read_text())["rows"]["train"] == 40
    assert (files / "x" / "report.html").is_file()


def test_simulate_needs_no_torch(tmp_path):
    result = command("simulate", "--patients", 60, "--out", tmp_path / "hospital")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", ["run", "generate"])
def test_commands_that_need_it_say_what_to_install(tmp_path, name):
    options = {"run": [], "generate": ["--model", tmp_path, "--n", 5]}[name]
    result = command(name, "--out", tmp_path / "x", *options)
    assert result.returncode == 2 and "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert 'pip install "ehrsynth[gan]"' in last and "--torch-backend=cpu" in last
    assert not (tmp_path / "x").exists()


def test_python_says_it_too_and_does_the_rest():
    result = python(
        """
import ehrsynth as es, ehrsynth.pipeline, ehrsynth.evaluation.validation
assert es.Pipeline and es.Preprocessor and es.postprocess and es.evaluate and es.Recipe
for name in ("EMRWGAN", "generate", "fit_runs"):
    try:
        getattr(es, name)
    except es.InputError as error:
        assert "ehrsynth[gan]" in str(error)
    else:
        raise AssertionError(name)
"""
    )
    assert result.returncode == 0, result.stderr


def test_the_import_takes_nothing_that_it_does_not_need():
    """Seconds depend on the machine; what is imported does not."""
    heavy = "torch scipy sklearn lightgbm matplotlib seaborn ibis duckdb pyarrow pandas".split()
    code = f"import sys, ehrsynth; print([n for n in {heavy} if n in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stdout


def test_the_interface_is_what_is_listed():
    assert dir(ehrsynth) == sorted([*ehrsynth.__all__, "__version__"])
    assert set(ehrsynth.__all__) == set(ehrsynth._HOME)
    assert all(getattr(ehrsynth, name) is not None for name in ehrsynth.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = ehrsynth.nonsense


@pytest.mark.parametrize(
    "name", ["evaluation", "pipeline", "schema", "stream", "generation.decode"]
)
def test_a_module_of_the_package_is_a_module(name):
    code = f"import ehrsynth.{name} as module; print(type(module).__name__)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "module", result.stderr
