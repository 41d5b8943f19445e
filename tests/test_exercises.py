"""The grader's ledger: every check refuses wrong answers, by name, and accepts other right ones."""

import csv
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import exercises  # noqa: E402

from ehrsynth import book  # noqa: E402

SOURCES = {source.path.stem: source for source in exercises.sources()}
ALL = [(name, k) for name, source in SOURCES.items() for k in range(len(source.exercises))]
IDS = [f"{name}-{k + 1}" for name, k in ALL]


@cache
def names_of(name: str) -> dict:
    if name[:2] in ("02", "05", "06"):
        pytest.importorskip("torch", reason="this chapter's exercises need torch")
    return exercises.surroundings(SOURCES[name])


@pytest.mark.parametrize(("name", "k"), ALL, ids=IDS)
def test_answers_are_judged_rightly(name, k):
    names, exercise = names_of(name), SOURCES[name].exercises[k]

    def said(text: str) -> str:
        return exercises.mark(names, exercise, text)

    assert "correct." in said(exercise.parts[0])
    assert "still open" in said(exercises.stub(exercise)), "a hint for an untouched stub"
    for words, text in exercise.right:
        assert "correct." in said(text), f"refused: {words}: {said(text)}"
    for words, text in exercise.wrong:
        told = said(text)
        assert "not yet" in told and words in told, f"wanted {words!r}: {told}"
    named = exercises.named_mistakes(names, exercise)
    for words, function in named.items():
        told = exercises.mark(
            names | {"mistake": function}, exercise, f"{exercise.answer} = mistake"
        )
        assert words in told, f"wanted {words!r}: {told}"
    assert len(named) + len(exercise.wrong) >= 3 and len(exercise.right) >= 2


with Path(__file__).with_name("further_answers.csv").open(encoding="utf-8", newline="") as file:
    FURTHER = list(csv.DictReader(file))


@pytest.mark.parametrize("name", SOURCES)
def test_answers_that_were_written_after_the_checks(name):
    rows = [row for row in FURTHER if row["chapter"] == name[:2]]
    assert rows
    for row in rows:
        exercise = SOURCES[name].exercises[int(row["exercise"]) - 1]
        said = exercises.mark(names_of(name), exercise, row["answer"])
        assert ("correct." in said) == (row["right"] == "1"), f"{row['answer']}\n{said}"


@pytest.mark.parametrize("name", SOURCES)
def test_a_chapter_has_four_exercises_in_three_grades(name):
    found = SOURCES[name].exercises
    assert len(found) >= 4
    assert {exercise.grade for exercise in found} == set(exercises.GRADES)
    assert any(e.core for e in found) and not all(e.core for e in found)


@pytest.mark.parametrize(("name", "k"), ALL, ids=IDS)
def test_a_check_is_no_longer_than_a_cell_may_be(name, k):
    assert len(exercises.check(SOURCES[name].exercises[k], 1).splitlines()) <= 40


@pytest.mark.parametrize("name", SOURCES)
def test_the_chapter_is_in_step_with_its_source(name):
    cells = exercises.notebooks.read(exercises.chapter(SOURCES[name])).cells
    if not any(cell.get("id") == "exercise-1" for cell in cells):
        pytest.skip(
            f"not in the chapter yet: run tools/exercises.py write {name[:2]} and refresh it"
        )
    assert not exercises.stale(SOURCES[name]), f"run tools/exercises.py write {name[:2]}"


def test_the_page_of_the_ledger_is_in_step():
    pytest.importorskip("torch", reason="some chapters' exercises need torch")
    assert exercises.PAGE.read_text(encoding="utf-8") == exercises.page(list(SOURCES.values()))


# -- what an exercise does with an answer -----------------------------------------------------


def test_hints_come_one_by_one_and_never_on_the_untouched_stub(capsys):
    exercise = book.Exercise(
        "Exercise 1", lambda answer, rng: "too small." * (answer < 3), ["A", "B"]
    )
    for answer in (..., 1, ..., 2, 2, 3):
        exercise.check(answer)
    opened = "Exercise 1: still open. Write your answer and run this cell again.\n"
    first, second = "\n  Hint 1: A", "\n  Hint 2: B"
    wrong = "Exercise 1: not yet: too small."
    assert capsys.readouterr().out == (
        f"{opened}{wrong}{first}\n{opened}{wrong}{first}{second}\n{wrong}{first}{second}\n"
        "Exercise 1: correct.\n"
    )


def leave(x):
    raise SystemExit


@pytest.mark.parametrize(
    "answer", [3, "x", [1], lambda: 1, lambda x: 1 / 0, lambda x: print, lambda x: x.y, leave]
)
def test_a_check_never_raises(answer, capsys):
    judge = book.compare(lambda x: x + 1, lambda rng: [(1,), (2,)], {"twice": lambda x: 2 * x})
    book.Exercise("Exercise 1", judge, []).check(answer)
    assert "not yet" in capsys.readouterr().out


def test_the_cases_are_the_same_each_time_and_no_answer_spoils_them(capsys):
    seen = []

    def spoil(values):
        seen.append(list(values))
        values[:] = 0
        return 0

    judge = book.compare(sum, lambda rng: [(list(rng.integers(1, 9, 4)),)], {})
    for _ in range(2):
        book.Exercise("Exercise 1", judge, []).check(spoil)
    assert seen[0] == seen[1] and capsys.readouterr().out.count("not yet") == 2


SERIES = pd.Series([1.0, 2.0], index=["a", "b"])
FRAME = pd.DataFrame({"a": [1, 2], "b": [3, 4]})


@pytest.mark.parametrize(
    ("answer", "solution", "same"),
    [
        (1, 1.0, True),
        (np.int64(3), 3, True),
        (np.array([0.5]), 0.5, True),
        ("Yes ", "yes", True),
        (True, 1, True),
        ((1, 2), [1.0, 2.0], True),
        (SERIES.iloc[::-1], SERIES, True),
        (SERIES.to_numpy(), SERIES, True),
        (SERIES.to_dict(), {"a": 1, "b": 2}, True),
        (SERIES.to_dict(), SERIES, True),
        (FRAME[["b", "a"]].astype("uint8"), FRAME, True),
        (float("nan"), float("nan"), True),
        (1, 2, False),
        ("no", "yes", False),
        (None, 1, False),
        ([1, 2, 3], [1, 2], False),
        ([2, 1], [1, 2], False),
        (SERIES.rename({"a": "z"}), SERIES, False),
        (SERIES + 0.01, SERIES, False),
        (FRAME["a"], FRAME, False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
    ],
)
def test_what_counts_as_the_same_answer(answer, solution, same):
    assert book.alike(answer, solution) is same


def test_the_stub_keeps_what_the_reader_needs():
    def made(solution: str) -> str:
        return exercises.stub(exercises.Exercise("t", "apply", True, 1, "q", solution=solution))

    assert made("def f(x):\n    '''What.'''\n    return x") == (
        "def f(x):\n    '''What.'''\n    ...  # your code"
    )
    assert made("a = [1, 2]\n# show\nprint(a)") == "a = ...  # your answer"
    assert made('a = {\n    "b": 1,\n}') == 'a = {\n    "b": ...,\n}'
