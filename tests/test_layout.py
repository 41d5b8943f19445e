"""The house: every module in its room, imports that go down only, code that names its chapter."""

import ast
import re
import sys
from functools import cache
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import architecture  # noqa: E402

MOST_LINES, MOST_LINES_OF_A_FUNCTION = 450, 60
# What the chapters teach; the report is not among it.
TAUGHT = (
    "schema", "rules", "cohort", "phecode", "preprocessing", "gan", "generation", "model",
    "evaluation",
)  # fmt: skip
NOT_TAUGHT = ("evaluation.report", "evaluation")
FILES = architecture.modules()


def is_taught(module: str) -> bool:
    name = module.removeprefix("ehrsynth.")
    return name.split(".")[0] in TAUGHT and name not in NOT_TAUGHT


# -- imports ------------------------------------------------------------------------------


def test_imports_go_down_only_and_none_is_hidden():
    assert architecture.problems() == []


def test_there_is_no_circle():
    assert architecture.circles() == []


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A package of a few made-up modules in the place of ours."""

    def build(**texts: str) -> None:
        for name, text in ({"__init__": ""} | texts).items():
            path = tmp_path / "ehrsynth" / f"{name.replace('__of__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        monkeypatch.setattr(architecture, "ROOT", tmp_path)
        monkeypatch.setattr(architecture, "PACKAGE", tmp_path / "ehrsynth")

    return build


@pytest.mark.parametrize(
    ("module", "text", "complaint"),
    [
        ("schema", "from .rules import Rule", "imports ehrsynth.rules, which comes later"),
        ("schema", "from . import rules", "imports ehrsynth.rules, which comes later"),
        ("schema", "import ehrsynth.rules", "imports ehrsynth.rules, which comes later"),
        ("schema", "if True:\n    from .rules import Rule", "which comes later"),
        (
            "rules",
            "def f():\n    from .schema import Schema",
            "hides the import of ehrsynth.schema",
        ),
        ("rules", "def f():\n    import json", "hides the import of json"),
        ("surprise", "", "has no room"),
    ],
)
def test_a_fault_of_the_house_is_seen(house, module, text, complaint):
    house(**({"schema": "", "rules": ""} | {module: text}))
    (found,) = architecture.problems()
    assert complaint in found and f"{module}.py" in found


def test_what_is_allowed_is_not_complained_of(house):
    house(
        errors="",
        schema="from .errors import InputError",
        rules="import json\nfrom .schema import Schema\ndef f():\n    import torch",
        cli="def f():\n    from . import schema",
    )
    assert architecture.problems() == [] and architecture.circles() == []


def test_a_circle_is_seen(house):
    house(schema="def f():\n    from .rules import Rule", rules="from .schema import Schema")
    (circle,) = architecture.circles()
    assert set(circle) == {"ehrsynth.schema", "ehrsynth.rules"} and circle[0] == circle[-1]


def test_the_page_shows_the_code_as_it_is():
    assert architecture.stale() == []


def test_no_name_runs_out_of_its_box():
    """Nor into the next column; a letter of most monospaced fonts is 0.602 of their size wide."""
    drawn = re.findall(
        r'<rect class="(box)" x="(\d+)" .*?width="(\d+)"'
        r'|<text class="(room|part)" x="(\d+)" .*?>([^<]*)<',
        architecture.picture(),
    )
    ends, columns, right = [], set(), 0
    for box, left, width, kind, x, name in [*drawn, ("box", 0, 0, "", "", "")]:
        if box:
            for start, end in ends:
                assert end <= min([c for c in columns if c > start], default=right)
            ends, columns, right = [], set(), int(left) + int(width)
        elif kind == "room":
            assert int(x) + 6.02 * len(name) <= right, name
        else:
            columns.add(int(x))
            ends.append((int(x), int(x) + 5.42 * len(name)))


# -- size ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_module_is_read_in_one_sitting_and_a_function_on_one_screen(name):
    text = FILES[name].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            assert lines <= MOST_LINES_OF_A_FUNCTION, f"{node.name} has {lines} lines"


def test_the_package_stays_small():
    lines = {name: len(path.read_text("utf-8").splitlines()) for name, path in FILES.items()}
    assert sum(lines.values()) <= 21_707  # 18,000 are wanted: it only shrinks
    assert sum(n for name, n in lines.items() if is_taught(name)) <= 9_500


# -- book and code point at each other ----------------------------------------------------


@cache
def headings(slug: str) -> set[str]:
    number, file = architecture.chapters()[slug]
    notebook = nbformat.read(ROOT / f"{file}.ipynb", as_version=4)
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return set(re.findall(r"^#{2,4} (.+?)\s*$", prose, re.MULTILINE))


def public_things(path: Path):
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, " ".join((ast.get_docstring(node) or "").split())


@pytest.mark.parametrize("name", sorted(filter(is_taught, FILES)))
def test_every_public_function_of_a_taught_module_names_its_chapter(name):
    for thing, text in public_things(FILES[name]):
        found = re.findall(r'Chapter ([a-z-]+), "([^"]+)"', text)
        assert found, f"{thing} does not say which chapter teaches it"
        for slug, section in found:
            assert slug in architecture.chapters(), f"{thing}: there is no chapter {slug}"
            assert section in headings(slug), f"{thing}: {slug} has no section {section!r}"


CHAPTERS = sorted(architecture.chapters())


@pytest.mark.parametrize("slug", CHAPTERS)
def test_every_chapter_ends_with_the_code_to_open(slug):
    _, file = architecture.chapters()[slug]
    notebook = nbformat.read(ROOT / f"{file}.ipynb", as_version=4)
    (cell,) = [c.source for c in notebook.cells if "## Now open the code" in c.source]
    name, path = re.search(
        r"\*\*Open \[`(\S+)`\]\(https?://\S+/(ehrsynth/\S*)\) now\.\*\*", cell
    ).groups()
    assert name == path and (ROOT / path).exists()
    for other in re.findall(r"`([\w/]+(?:\.py|\.csv|/))`", cell):
        folder = (ROOT / path).parent if not other.startswith("ehrsynth/") else ROOT
        assert any((at / other).exists() for at in (folder, ROOT / "ehrsynth", ROOT)), other


def test_a_chapter_shows_that_each_taught_module_does_what_it_builds():
    """A cell tagged "agrees:gan.losses" compares the chapter's own code with the package's."""
    shown = set()
    for _, file in architecture.chapters().values():
        for cell in nbformat.read(ROOT / f"{file}.ipynb", as_version=4).cells:
            for tag in cell.metadata.get("tags", []):
                if tag.startswith("agrees:"):
                    assert re.search(r"\bassert\b|\bsame\b", cell.source), (
                        f"{file}, {tag}: no check"
                    )
                    shown.add(tag.removeprefix("agrees:"))
    assert all(f"ehrsynth.{name}" in FILES for name in shown)
    taught = {name.removeprefix("ehrsynth.").split(".")[0] for name in FILES if is_taught(name)}
    assert {name.split(".")[0] for name in shown} >= taught - {"model"}
    assert shown >= {"gan.losses", "gan.train", "evaluation.fidelity", "evaluation.utility"}
