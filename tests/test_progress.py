"""Signs of life: a line now and then in a log, a clock that moves on a terminal."""

import io
import itertools
import logging
import re
import sys
import threading
import time

import pytest

from ehrsynth import progress
from ehrsynth.pipeline import Pipeline

beat = progress._beat


class Clock:
    """A clock that moves only when somebody waits, as the event that ends the waiting."""

    def __init__(self, until):
        self.now, self.until = 1_000.0, 1_000.0 + until

    def monotonic(self):
        return self.now

    def wait(self, seconds):
        self.now += seconds
        return self.now > self.until


@pytest.fixture
def clock(monkeypatch):
    clock = Clock(until=200)
    monkeypatch.setattr(progress.time, "monotonic", clock.monotonic)
    monkeypatch.setattr(progress, "_beat", lambda stop, live: None)  # but as the tests call it
    return clock


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_log_gets_a_line_every_10_to_60_seconds(clock, capsys):
    with progress.at_work("Data"):
        clock.now += 5
        beat(clock, live=False)
    lines = capsys.readouterr().err.splitlines()
    seconds = [int(re.fullmatch(r"  Data: at work after (\d+) s", line)[1]) for line in lines]
    gaps = [b - a for a, b in itertools.pairwise([0, *seconds])]
    assert len(seconds) == 6 and all(10 <= gap <= 60 for gap in gaps)


def test_a_line_says_how_far_the_innermost_work_is(clock, capsys):
    with progress.at_work("Evaluation"), progress.at_work("Evaluating", 61, "metrics") as work:
        work.note = "slow ones"
        work.at(1_037)
        beat(Clock(until=30), live=False)
    beat(Clock(until=30), live=False)  # nothing goes on any more
    shown = capsys.readouterr().err
    assert shown == "  Evaluating: 1,037 of 61 metrics after 0 s (slow ones)\n"


def test_the_clock_of_a_bar_moves_while_a_step_takes_long(clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr("tqdm.std.time", clock.monotonic)
    with progress.at_work("Evaluation") as whole, progress.at_work("Evaluating", 61, "metrics"):
        moments = []
        monkeypatch.setattr(progress.tqdm, "refresh", lambda bar: moments.append(clock.now))
        beat(clock, live=True)
        assert whole.bar.delay > 0  # a short stage shows no clock
    gaps = [b - a for a, b in itertools.pairwise(moments)]
    assert len(moments) == 40 and max(gaps) <= 10
    assert "0/61" in sys.stderr.getvalue()


def test_a_thread_of_its_own_beats_and_ends(monkeypatch, capsys):
    monkeypatch.setattr(progress, "LINE_EVERY", 0.02)
    before = threading.active_count()
    with progress.at_work("Data"):
        time.sleep(0.3)
    time.sleep(0.1)
    assert capsys.readouterr().err.count("Data: at work after 0 s\n") >= 3
    assert threading.active_count() == before and not progress._shown
    with pytest.raises(ValueError), progress.at_work("Data"):
        raise ValueError
    assert not progress._shown


@pytest.mark.parametrize("stage", ["data", "training", "generation", "evaluation"])
def test_every_stage_of_a_run_is_shown_from_its_begin_to_its_end(stage, tmp_path, monkeypatch):
    seen = []
    run = Pipeline(tmp_path / "run", progress=True)
    monkeypatch.setattr(
        Pipeline, f"_make_{stage}", lambda _: seen.extend(work.name for work in progress._shown)
    )
    monkeypatch.setattr(run._folder, "finish", lambda *_, **__: None)
    run._run_stage(stage)
    assert seen == [stage.capitalize()] and not progress._shown


def test_what_is_not_to_be_shown_is_silent(monkeypatch, capsys):
    monkeypatch.setattr(progress, "LINE_EVERY", 0.02)
    with progress.at_work("Training", 3, "steps", shown=False) as work:
        work.at(2)
        time.sleep(0.1)
    assert list(progress.each([1, 2], "Reading", "files", shown=False)) == [1, 2]
    assert capsys.readouterr() == ("", "")


def test_a_log_beside_a_bar_stands_in_lines_of_its_own(monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    root = logging.getLogger()
    handler = logging.StreamHandler(terminal)
    root.addHandler(handler)
    try:
        with progress.at_work("Reading", 3, "files") as work:
            root.warning("a sentence")
            work.at(3)
    finally:
        root.removeHandler(handler)
    shown = terminal.getvalue()
    assert "3/3" in shown and re.search(r"[\r\n]a sentence\n", shown)
