"""The quizzes: enough questions, one right option each, and no pattern that gives it away."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import quizzes  # noqa: E402

SOURCES = quizzes.sources()
EVERY = [question for questions in SOURCES.values() for question in questions]


@pytest.mark.parametrize("name", SOURCES)
def test_a_quiz_is_complete(name):
    assert len(SOURCES[name]) >= 5
    for question in SOURCES[name]:
        assert set(question) == {"ask", "options"} and len(question["options"]) >= 3
        assert sum("right" in option for option in question["options"]) == 1
        for option in question["options"]:
            assert set(option) in ({"right", "why"}, {"wrong", "why"})
            assert not set("<>*`$[") & set(next(iter(option.values()))), "a fold's title is plain"


@pytest.mark.parametrize("name", SOURCES)
def test_the_chapter_is_in_step_with_its_quiz(name):
    path = quizzes.notebooks.CHAPTERS / f"{name}.ipynb"
    if quizzes.INTRODUCTION not in path.read_text(encoding="utf-8"):
        pytest.skip(f"not in the chapter yet: run tools/quizzes.py write {name[:2]}")
    assert not quizzes.stale(name, SOURCES[name]), f"run tools/quizzes.py write {name[:2]}"


def test_nobody_passes_by_a_rule_of_thumb():
    """Neither the place of the right option nor its length is a guide: a third by chance."""
    places = [["right" in o for o in q["options"]].index(True) for q in EVERY]
    for place in range(3):
        assert places.count(place) <= 0.5 * len(EVERY)
    longest = 0
    for question in EVERY:
        long = max(question["options"], key=lambda o: len(str(next(iter(o.values())))))
        longest += "right" in long
    assert longest <= 0.6 * len(EVERY)


def test_a_quiz_replaces_only_its_section():
    text = "## Take-aways\n\n- a\n\n## Quiz\n\nold\n\n## Now open the code\n\nb"
    made = quizzes.place(text, [{"ask": "Q?", "options": [{"right": "A", "why": "w."}]}])
    assert made.startswith("## Take-aways\n\n- a\n\n## Quiz\n")
    assert made.endswith("## Now open the code\n\nb") and "old" not in made
    assert "<details><summary>A</summary>\n\n**Right.** w.\n\n</details>" in made
    assert quizzes.place(made, []).count("## Quiz") == 1
