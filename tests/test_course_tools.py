"""What is made for a class: slides that stand alone, a kit that says how to begin."""

import base64
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import slides  # noqa: E402


def picture_of_one_pixel():
    file = io.BytesIO()
    Image.new("RGB", (1, 1)).save(file, format="png")
    return base64.b64encode(file.getvalue()).decode()


PIXEL = picture_of_one_pixel()


def chapter():
    new = nbformat.v4
    picture = new.new_code_cell("plot()", metadata={"mystnb": {"image": {"alt": "Two <lines>"}}})
    picture.outputs = [new.new_output("display_data", {"image/png": PIXEL, "text/plain": ""})]
    solution = new.new_code_cell("plot()", metadata={"tags": ["solution"]})
    solution.outputs = picture.outputs
    return new.new_notebook(
        cells=[
            new.new_markdown_cell("# Why\n\nYou see [it](other.ipynb)."),
            new.new_markdown_cell("## Questions\n\n- What?\n\n**You need to know**: nothing."),
            new.new_markdown_cell("## Look\n\nThe text before."),
            picture,
            new.new_markdown_cell("*What to see: they meet.* And more."),
            solution,
            new.new_markdown_cell("A table", metadata={"tags": ["slide"]}),
            new.new_markdown_cell("## Take-aways\n\n- One.\n\n## Quiz\n\nNo."),
        ]
    )


def test_slides_have_what_a_teacher_shows_and_no_solution():
    made = slides.slides(chapter(), "## Chapter 1: Why\n\nSay it.")
    shown = [re.sub(r"<[^>]+>", " ", slide.shown) for slide in made]
    assert len(made) == 5
    assert "Why" in shown[0] and "Say it." in made[0].notes
    assert "What?" in shown[1] and "You need to know" not in shown[1]
    assert "Look" in shown[2] and "they meet." in shown[2] and "And more" not in shown[2]
    assert made[2].notes.endswith("The text before.") and "Two &lt;lines&gt;" in made[2].shown
    assert "A table" in shown[3]
    assert "One." in shown[4] and "Quiz" not in shown[4]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("*What to see: **5** of 9 leave it.* And more.", "What to see: **5** of 9 leave it."),
        ("*What to see: about **64 %***", "What to see: about **64 %**"),
        ("From 1 to **2**.", "From 1 to **2**."),
    ],
)
def test_a_number_in_bold_does_not_end_what_to_see(said, shown):
    new = nbformat.v4
    cell = new.new_code_cell("book.say(...)")
    cell.outputs = [new.new_output("display_data", {"text/markdown": said, "text/plain": ""})]
    assert slides.what_to_see(cell) == shown


def test_slides_need_nothing_else():
    text = slides.page("A <title>", slides.slides(chapter(), ""))
    assert "A &lt;title&gt;" in text and PIXEL in text
    assert not re.search(r"""(src|href)=["'](?!data:|https?:)""", text)
    assert not re.search(r"<(script|link)[^>]+(src|href)=", text)


def test_every_chapter_has_notes_for_the_teacher():
    told = slides.NOTES.read_text(encoding="utf-8")
    for path in slides.notebooks.chapters():
        part = slides.part(told, rf"Chapter {int(path.stem[:2])}: .*")
        for word in ("**Say**", "**Stuck**", "**Wrong answers**", "**Skip**"):
            assert word in part, f"{path.stem} has no {word}"


@pytest.mark.parametrize(("name", "minutes"), [("three-hours", 180), ("one-day", 480)])
def test_the_minutes_of_a_workshop_add_up(name, minutes):
    text = (ROOT / "book" / "workshops" / f"{name}.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+:\d+|\d+) \| ?(\d*)", text, re.M)
    if name == "three-hours":
        starts = [int(start) for start, _ in rows]
        assert starts == sorted(set(starts)) and starts[-1] == minutes
        return
    clock = [60 * int(t[:-3]) + int(t[-2:]) for t, _ in rows]
    lengths = [int(length) for _, length in rows if length]
    assert [a + m for a, m in zip(clock, lengths, strict=False)] == clock[1:]
    assert clock[-1] - clock[0] == minutes


def test_the_exercises_that_a_workshop_names_are_there():
    import exercises

    numbers = {s.path.stem[:2].lstrip("0"): len(s.exercises) for s in exercises.sources()}
    for path in (ROOT / "book" / "workshops").glob("*.md"):
        for chapter_, number in re.findall(r"(?<![\d.])(\d{1,2})\.(\d)\b(?! GB)", path.read_text()):
            assert int(number) <= numbers[chapter_], (
                f"{path.name} names exercise {chapter_}.{number}"
            )


def test_the_kit_is_tried_where_there_is_no_network(tmp_path, monkeypatch):
    import workshop_kit

    reach = "import socket; socket.create_connection(('192.0.2.1', 80), 1)"
    monkeypatch.setenv("PIP_FIND_LINKS", "elsewhere")
    seen = "import os; print(os.environ.get('PIP_FIND_LINKS'), os.getcwd())"
    told = workshop_kit.without_network([sys.executable, "-c", seen], tmp_path)
    if told.returncode and "unshare" in told.stderr:
        pytest.skip("this machine gives no network namespace")
    assert told.stdout.strip() == f"None {tmp_path}"
    refused = workshop_kit.without_network([sys.executable, "-c", reach], tmp_path)
    assert refused.returncode and "unreachable" in refused.stderr.lower()
    (tmp_path / "chapters").mkdir()
    with pytest.raises(SystemExit, match="Without a network the packages failed"):
        workshop_kit.check(tmp_path, [])


def test_the_kit_takes_the_wheels_that_pip_is_told_of(monkeypatch):
    import workshop_kit

    monkeypatch.setenv("PIP_FIND_LINKS", "one two")
    assert workshop_kit.arguments([]).find_links == ["one", "two"]
    assert workshop_kit.arguments(["--find-links", "three"]).find_links == ["three"]


def test_what_the_kit_cannot_fetch_is_said_without_the_noise():
    import workshop_kit

    code = "import sys; sys.stderr.write(20 * 'WARNING: x\\n'); sys.exit('no wheel')"
    with pytest.raises(SystemExit, match="-c failed:\\nno wheel$"):
        workshop_kit.run(sys.executable, "-c", code)


def test_the_kit_says_how_to_begin():
    import workshop_kit

    text = workshop_kit.BEGIN.format(python="3.12", patch=".5", unix="linux")
    for folder in (
        "wheels/linux",
        "wheels\\windows",
        "chapters/01",
        "slides/01",
        "book/index.html",
    ):
        assert folder in text


def test_a_browser_test_that_cannot_look_fails_when_it_was_asked_for(tmp_path):
    """`make test-browser` must not pass by skipping."""
    code = (
        "import sys; sys.path.insert(0, 'tests'); import test_browser as t, pytest\n"
        "try: t.do_without('no browser')\n"
        "except pytest.fail.Exception: print('failed')\n"
        "except pytest.skip.Exception: print('skipped')\n"
    )
    for asked, said in (({"EHRSYNTH_BROWSER": "required"}, "failed"), ({}, "skipped")):
        environment = {k: v for k, v in os.environ.items() if k != "EHRSYNTH_BROWSER"} | asked
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert done.stdout.strip() == said, done.stderr
