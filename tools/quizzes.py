"""The quizzes of the chapters: one source each, made into Markdown that marks itself.

    python tools/quizzes.py write 01 04     put them into the chapters
    python tools/quizzes.py check           complain about chapters that are out of step

book/quizzes/NN-slug.yml has a chapter's questions. Each option becomes a fold that opens on a
click and says whether it is right, and why. So it works in the static page and in Colab, without
a network and without a script; on the page book/_static/quiz.js counts besides.
"""

import argparse
import re
import sys
from pathlib import Path

import notebooks
import yaml
from notebooks import ROOT

SOURCES = ROOT / "book" / "quizzes"
INTRODUCTION = "Open the option that you would choose. It says whether it is right, and why."


def sources(names: list[str] | None = None) -> dict[str, list[dict]]:
    """The questions by chapter; `names` are beginnings of file names."""
    found = {}
    for path in sorted(SOURCES.glob("[0-9][0-9]-*.yml")):
        if not names or any(path.name.startswith(name[:2]) for name in names):
            found[path.stem] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def section(questions: list[dict]) -> str:
    """The chapter's section Quiz."""
    lines = ["## Quiz", "", INTRODUCTION, ""]
    for number, question in enumerate(questions, start=1):
        lines += [f"**{number}.** {question['ask']}", ""]
        for option in question["options"]:
            right = "right" in option
            text = option["right" if right else "wrong"]
            says = f"**Right.** {option['why']}" if right else f"**No.** {option['why']}"
            lines += [f"<details><summary>{text}</summary>", "", says, "", "</details>", ""]
    return "\n".join(lines)


def place(text: str, questions: list[dict]) -> str:
    """A Markdown cell with these questions in the place of those that it had."""
    return re.sub(
        r"^## Quiz\n.*?(?=^## |\Z)",
        lambda _: section(questions) + "\n",
        text,
        flags=re.MULTILINE | re.DOTALL,
    ).rstrip()


def update(name: str, questions: list[dict]) -> tuple[Path, object]:
    """A chapter's path and its notebook with its quiz."""
    path = notebooks.CHAPTERS / f"{name}.ipynb"
    notebook = notebooks.read(path)
    (cell,) = (
        c
        for c in notebook.cells
        if c.cell_type == "markdown" and re.search(r"^## Quiz$", c.source, re.M)
    )
    cell.source = place(cell.source, questions)
    return path, notebook


def stale(name: str, questions: list[dict]) -> bool:
    """Whether a chapter's quiz is not what its source makes."""
    path, notebook = update(name, questions)
    return notebooks.dumps(notebook) != path.read_text(encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=["write", "check"])
    parser.add_argument("names", nargs="*", help="chapters, e.g. 01")
    given = parser.parse_args()
    late = []
    for name, questions in sources(given.names).items():
        if given.action == "check":
            late += [name] if stale(name, questions) else []
            continue
        path, notebook = update(name, questions)
        if notebooks.write(notebook, path):
            print(f"  {path.name} has its quiz")
    print("\n".join(f"{name}: the quiz is out of step; run write" for name in late), end="")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
