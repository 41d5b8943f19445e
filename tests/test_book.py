"""What chapters need: exercises that never stop a notebook, one work folder, computed prose."""

import logging
import sys
import types
from pathlib import Path

import pytest

from ehrsynth import book


@pytest.fixture
def fake_pipeline(monkeypatch):
    """Record what the workspace asks of the pipeline, without running one."""
    module = types.ModuleType("ehrsynth.pipeline")
    module.Pipeline = lambda out, **options: (out, options)
    monkeypatch.setitem(sys.modules, "ehrsynth.pipeline", module)


def test_workspace_has_a_folder_for_each_data_set_profile_and_seed(
    fake_pipeline, monkeypatch, tmp_path
):
    monkeypatch.setenv("EHRSYNTH_WORK", str(tmp_path))
    monkeypatch.delenv("EHRSYNTH_SHARED_DATA", raising=False)
    folders = {
        book.workspace(dataset, profile, seed)[0]
        for dataset in ("simulated", "diabetes130")
        for profile in ("fast", "full")
        for seed in (0, 1)
    }
    assert len(folders) == 8
    assert tmp_path / "diabetes130-full-1" in folders


def test_workspace_finds_public_data_on_this_machine(fake_pipeline, monkeypatch, tmp_path):
    monkeypatch.setenv("EHRSYNTH_SHARED_DATA", str(tmp_path))
    assert book.workspace("mimic-iv-demo")[1]["data"] == tmp_path / "mimic-iv-demo-2.2"
    assert book.workspace("mimic-iv-demo", data="mine")[1]["data"] == "mine"
    assert book.workspace("simulated")[1]["data"] is None


def test_work_folder_is_beside_the_reader_unless_told_otherwise(fake_pipeline, monkeypatch):
    monkeypatch.delenv("EHRSYNTH_WORK", raising=False)
    assert book.workspace("simulated")[0].parent == Path("work")


def test_setup_quietens_the_package_and_sets_the_style():
    import matplotlib as mpl

    mpl.rcdefaults()
    before = mpl.rcParams["axes.facecolor"]
    book.setup()
    assert logging.getLogger("ehrsynth").level == logging.WARNING
    assert mpl.rcParams["axes.facecolor"] != before
    mpl.rcdefaults()


def test_say_shows_markdown(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    book.say("The share is **0.11**.")
    assert shown[0].data == "The share is **0.11**."
