"""The measurements at the paper's size: what is measured, and what they promise."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY
from toy import toy_patients

from ehrsynth.gan.recipe import MODERN, PAPER
from ehrsynth.preprocessing.encode import Preprocessor

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import scale

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="memory is read from Linux's /proc"
)


@needs_proc
def test_memory_is_the_peak_of_the_block_and_not_of_what_came_before():
    np.ones(40_000_000)  # 0.32 GB, gone again
    rows = []
    with scale.measured("block", rows, threads=1):
        np.ones(20_000_000)
    assert rows[0]["added_gb"] == pytest.approx(0.16, abs=0.03)
    assert rows[0]["peak_gb"] > rows[0]["added_gb"] and rows[0]["threads"] == 1


@needs_proc
@pytest.mark.parametrize(("recipe", "looks"), [(MODERN, 3), (PAPER, 0)])
def test_whole_training_is_what_was_measured_with_more_steps(recipe, looks):
    train = toy_patients(600)
    prep = Preprocessor.for_recipe("modern" if looks else "paper").fit(train)
    recipe = replace(recipe, width=16, layers=1, steps=4_000, epochs=10_000)
    rows = scale.training(prep.transform(train), recipe, steps=300)
    found = {row["what"]: row for row in rows}
    whole = next(row for row in rows if row["what"].startswith("a whole training, 4,000 steps"))
    few, step = found["a training of 300 steps"], found["a step"]
    look = found.get(scale.LOOK, {"seconds": 0})
    expected = few["seconds"] + 3_700 * step["seconds"] + (recipe.looks - looks) * look["seconds"]
    assert whole["seconds"] == pytest.approx(expected) and whole["how"] == "projected"
    assert 300 * step["seconds"] + looks * look["seconds"] < few["seconds"]
    parts = {what for what in found if what.startswith("after the steps")}
    assert len(parts) == (4 if looks else 0)


def test_figures_keep_the_promises():
    """At the paper's size in less than 6 GB, and memory that does not grow with the patients."""
    rows = pd.read_csv(scale.RESULTS)
    training = rows[rows["part"] == "training"]
    assert set(training["recipe"]) == set(scale.STEPS)
    assert (training["train"] >= 126_000).all() and (training["columns"] >= 1_400).all()
    assert rows["peak_gb"].max() < 6
    generation = rows[rows["part"] == "generation"].set_index("patients")
    few, many = (generation.loc[n] for n in scale.GENERATED)
    assert many["peak_gb"] < 1.1 * few["peak_gb"]
    wanted = generation.loc[scale.WANTED]
    for name in ("cpu_seconds", "disk_gb"):
        assert wanted[name] == pytest.approx(
            many[name] * scale.WANTED / scale.GENERATED[1], rel=0.05
        )


def test_the_page_shows_what_was_measured_and_what_follows():
    """Of ten million patients: what was run, and its projection, from the benchmarks' files."""
    page = " ".join((REPOSITORY / "book" / "on-a-server.md").read_text("utf-8").split())
    read = pd.read_csv(REPOSITORY / "benchmarks" / "extraction.csv")
    ours = read[read["method"] == "ehrsynth"].set_index("patients")
    few, many = ours.loc[50_000], ours.loc[180_000]
    said = f"180,000 patients, {many['diagnoses']:,} diagnoses: {many['seconds']} s"
    assert f"{said}, {many['peak_gb']} GB" in page
    assert f"| {many['seconds'] * 1e7 / 180_000 / 60:.0f} minutes; " in page
    grown = many["peak_gb"] + (many["peak_gb"] - few["peak_gb"]) / 130_000 * (1e7 - 180_000)
    assert f"; {grown:.0f} GB if memory grows" in page
    rows = pd.read_csv(scale.RESULTS)
    prepared = rows[rows["what"] == "preparation"].sort_values("added_gb")
    low, high = prepared["added_gb"] * 1e7 / prepared["train"]
    times = sorted(prepared["seconds"] * 1e7 / prepared["train"] / 60)
    assert f"{times[0]:.0f} to {times[1]:.0f} minutes, {low:.0f} to {high:.0f} GB: more" in page
    assert f"a million ({low / 10:.0f} to {high / 10:.0f} GB)" in page
    modern = rows[(rows["recipe"] == "modern") & (rows["threads"] == 1)].set_index("what")
    whole = modern.loc["a whole training, 4,000 steps, 4 epochs", "seconds"]
    assert f"300 steps: {modern.loc['a training of 300 steps', 'seconds']:.0f} s; " in page
    assert f"all 4,000 are projected to {whole:.0f} s" in page
    made = modern.loc["3,000,000 patients"]
    run = f"584 columns: {made['seconds']:.0f} s, {made['peak_gb']} GB, {made['disk_gb']} GB"
    assert run in page and made["columns"] == 584
    disk = f"{made['peak_gb']} GB, {made['disk_gb'] * 10 / 3:.2f} GB of disk"
    assert f"| {made['seconds'] * 10 / 3 / 60:.0f} minutes, {disk} |" in page
