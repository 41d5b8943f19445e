"""The tools that keep, run and build the book."""

import base64
import copy
import importlib.util
import io
import re
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import build_book  # noqa: E402
import chapter_links  # noqa: E402
import colab  # noqa: E402
import docstrings  # noqa: E402
import mutations  # noqa: E402
import notebooks  # noqa: E402

REPOSITORY = notebooks.Repository("https://github.com/someone/ehrsynth", "main", "1.2.3")


def chapter(*code: str, parameters: str = 'dataset = "simulated"\nseed = 0'):
    """A small chapter that has not been run."""
    new = nbformat.v4
    notebook = new.new_notebook(
        cells=[
            new.new_markdown_cell("# Title\n\nWhat you can do afterwards.", id="title"),
            new.new_code_cell(parameters, id="parameters", metadata={"tags": ["parameters"]}),
            *(new.new_code_cell(source, id=f"cell-{i}") for i, source in enumerate(code)),
        ]
    )
    notebook.metadata["ehrsynth"] = {"teaching": 5, "exercises": 10}
    return notebook


@pytest.fixture
def write(tmp_path):
    def write(notebook, name="01-test") -> Path:
        path = tmp_path / f"{name}.ipynb"
        notebooks.write(notebook, path)
        return path

    return write


def run(path: Path, tmp_path: Path, **parameters):
    target = tmp_path / "out" / path.name
    (result,) = notebooks.execute(
        [(path, target, parameters)], tmp_path / "work", 1, report=lambda *_, **__: None
    )
    return result, notebooks.read(target)


# -- sync ---------------------------------------------------------------------------------


def test_sync_puts_setup_and_badges_in_and_is_stable():
    once = notebooks.sync(chapter(), "01-test", REPOSITORY)
    assert [cell.id for cell in once.cells] == ["title", "badges", "setup", "parameters"]
    assert "github/someone/ehrsynth/blob/v1.2.3/book/chapters/01-test.ipynb" in once.cells[1].source
    assert "reading 5 min" in once.cells[1].source
    again = notebooks.sync(copy.deepcopy(once), "01-test", REPOSITORY)
    assert notebooks.dumps(again) == notebooks.dumps(once)


def test_sync_follows_the_address():
    moved = notebooks.Repository("https://github.com/else/ehrsynth", "dev", "2.0.0")
    notebook = notebooks.sync(chapter(), "01-test", REPOSITORY)
    text = notebooks.dumps(notebooks.sync(notebook, "01-test", moved))
    assert "someone/ehrsynth" not in text
    assert "https://github.com/else/ehrsynth/archive/refs/tags/v2.0.0.zip" in text


def test_sync_writes_the_address_into_other_files(tmp_path):
    page = tmp_path / "README.md"
    page.write_text("https://github.com/old/ehrsynth and .../github/old/ehrsynth/blob")
    assert notebooks.sync_address(page, REPOSITORY)
    assert page.read_text().count("someone/ehrsynth") == 2
    assert not notebooks.sync_address(page, REPOSITORY)


# -- the setup cell in its three places -----------------------------------------------------


class Pip:
    """Stands for IPython's shell: notes what %pip would have installed."""

    def __init__(self):
        self.installed = []

    def run_line_magic(self, magic, line):
        assert magic == "pip"
        self.installed.append(line)


def run_setup(monkeypatch, folder: Path, found: bool, reached: bool = True) -> list[str]:
    """Run the setup cell as a plain script in `folder`; returns what it pip-installed."""
    from IPython.core.inputtransformer2 import TransformerManager

    source = TransformerManager().transform_cell(notebooks.setup_cell(REPOSITORY).source)
    shell = Pip()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    real = importlib.util.find_spec
    in_a_clone = (folder / "ehrsynth").is_dir() or (folder.parent.parent / "ehrsynth").is_dir()
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: (
            real(name, *rest) if found or in_a_clone or (shell.installed and reached) else None
        ),
    )
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    exec(compile(source, "setup", "exec"), {"get_ipython": lambda: shell})
    return shell.installed


def test_setup_uses_the_clone(monkeypatch):
    installed = run_setup(monkeypatch, ROOT / "book" / "chapters", found=False)
    assert installed == []


def test_setup_uses_the_installed_package(monkeypatch, tmp_path):
    assert run_setup(monkeypatch, tmp_path, found=True) == []


def test_setup_installs_on_colab_from_the_repository_and_nothing_else(monkeypatch, tmp_path):
    (line,) = run_setup(monkeypatch, tmp_path, found=False)
    archive = "https://github.com/someone/ehrsynth/archive/refs/tags/v1.2.3.zip"
    assert line == f'install --quiet "ehrsynth[gan] @ {archive}"'


def test_setup_says_what_to_do_when_the_address_is_not_reached(monkeypatch, tmp_path):
    with pytest.raises(SystemExit, match="ehrsynth 1.2.3 could not be installed.*/v1.2.3.zip"):
        run_setup(monkeypatch, tmp_path, found=False, reached=False)


# -- normalize ----------------------------------------------------------------------------


def png_with_text() -> str:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, _ = plt.subplots(figsize=(1, 1))
    kept = io.BytesIO()
    figure.savefig(kept, metadata={"Software": "a certain program"})
    plt.close(figure)
    return base64.b64encode(kept.getvalue()).decode()


def test_normalize_strips_what_changes_and_keeps_what_counts():
    notebook = chapter("print(1)")
    cell = notebook.cells[-1]
    notebook.metadata["papermill"] = {"start_time": "now"}
    notebook.metadata["widgets"] = {"state": {}}
    cell.metadata.update(execution={"iopub": "12:00"}, tags=["b", "a"], papermill={"duration": 1})
    cell.execution_count = 7
    cell.outputs = [
        nbformat.v4.new_output("stream", name="stdout", text="1\n"),
        nbformat.v4.new_output("stream", name="stdout", text="2\n"),
        nbformat.v4.new_output("display_data", data={"image/png": png_with_text()}),
    ]
    clean = notebooks.normalize(notebook)
    text = notebooks.dumps(clean)
    assert "papermill" not in text and "widgets" not in text and "12:00" not in text
    cell = clean.cells[-1]
    assert cell.metadata == {"tags": ["a", "b"]}
    assert cell.execution_count == 1
    assert cell.outputs[0].text == "1\n2\n"
    picture = base64.b64decode(cell.outputs[1].data["image/png"])
    assert b"a certain program" not in picture
    from PIL import Image

    assert Image.open(io.BytesIO(picture)).convert("RGB").size[0] > 0
    assert clean.metadata["ehrsynth"] == {"teaching": 5, "exercises": 10}
    assert notebooks.dumps(notebooks.normalize(copy.deepcopy(clean))) == text


def test_cell_ids_are_stable_and_unique():
    notebook = chapter("1", "1", "2")
    for cell in notebook.cells:
        cell["id"] = ""
    first = [cell.id for cell in notebooks.normalize(copy.deepcopy(notebook)).cells]
    second = [cell.id for cell in notebooks.normalize(notebook).cells]
    assert first == second
    assert len(set(first)) == len(first)


# -- execute ------------------------------------------------------------------------------


def test_execute_runs_in_the_work_folder_with_this_environment(write, tmp_path):
    cells = ("import os, sys", "print(os.getcwd())", "print(sys.prefix, seed)")
    path = write(notebooks.normalize(chapter(*cells)))
    result, executed = run(path, tmp_path, seed=5)
    assert result.error == ""
    assert result.seconds > 0 and result.memory_mb > 20
    code = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert code[-2].outputs[0].text.strip() == str((tmp_path / "work").resolve())
    assert code[-1].outputs[0].text.split() == [sys.prefix, "5"]


def test_running_twice_gives_the_same_bytes(write, tmp_path):
    source = "import matplotlib.pyplot as plt\n_ = plt.plot([1, 2])"
    path = write(notebooks.normalize(chapter(source, "print(seed)")))
    first = notebooks.dumps(notebooks.normalize(run(path, tmp_path)[1]))
    assert notebooks.dumps(notebooks.normalize(run(path, tmp_path)[1])) == first


def test_execute_refuses_a_parameter_that_the_chapter_does_not_have(write, tmp_path):
    path = write(chapter())
    with pytest.raises(SystemExit, match="no parameter 'sed'; its parameters are dataset, seed"):
        notebooks.execute_one(path, tmp_path / "out.ipynb", {"sed": 1}, tmp_path)


def test_an_error_is_told_in_one_block(write, tmp_path):
    path = write(chapter("x = 1\nraise ValueError('the third row is odd')"))
    result, _ = run(path, tmp_path)
    assert "ValueError: the third row is odd" in result.error
    assert "    | raise ValueError" in result.error
    assert "FAILED" in result.line()


# -- check --------------------------------------------------------------------------------


def committed(*code: str, **options):
    """A chapter as it may be committed: in step, normalized, every cell run."""
    notebook = notebooks.sync(chapter(*code, **options), "01-test", REPOSITORY)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count = 1
    return notebooks.normalize(notebook)


def test_a_good_chapter_has_no_problems(write):
    assert notebooks.problems(write(committed("x = 1")), REPOSITORY) == []


def stream(text: str, name: str = "stdout"):
    return nbformat.v4.new_output("stream", name=name, text=text)


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        (nbformat.v4.new_output("error", ename="KeyError", evalue="", traceback=[]), "an error"),
        (stream("UserWarning: no", "stderr"), "a warning"),
        (stream("<Axes at 0x7f1234567890>"), "memory address"),
        (stream("saved to /home/someone/x.csv"), "path of one machine"),
        (nbformat.v4.new_output("display_data", data={"image/png": "AAAA"}), "without alt text"),
    ],
)
def test_a_bad_output_is_found(output, complaint, write, monkeypatch):
    monkeypatch.setattr(notebooks, "_clean_png", lambda encoded: encoded)
    notebook = committed("x = 1")
    notebook.cells[-1].outputs = [output]
    found = notebooks.problems(write(notebooks.normalize(notebook)), REPOSITORY)
    assert len(found) == 1 and complaint in found[0]


def test_outputs_of_credentialed_data_are_refused(write):
    notebook = committed("x = 1", parameters='dataset = "mimic-iv"')
    assert notebooks.problems(write(notebook), REPOSITORY) == []  # stripped, it may be kept
    notebook.cells[-1].outputs = [stream("42 patients\n")]
    (found,) = notebooks.problems(write(notebook), REPOSITORY)
    assert "mimic-iv" in found and "must not be published" in found


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ('dataset = "mimic-iv"', "mimic-iv"),
        ("tables = es.load('mimic-iv', data=folder)", "mimic-iv"),
        ('run = book.workspace("mimic-iv", profile)', "mimic-iv"),
        ('run = Pipeline(out, dataset="mimic-iv")', "mimic-iv"),
        ("!ehrsynth run --dataset mimic-iv --out x", "mimic-iv"),
        ('dataset = "mimic-iv-demo"', ""),
        ('dataset = "simulated"  # or "mimic-iv-demo", "mimic-iv"', ""),
        ('tables = es.load("mimic-iv-demo")', ""),
    ],
)
def test_credentialed_data_is_recognized(source, name):
    notebook = chapter(source)
    assert notebooks.credentialed(notebook) == ""
    notebook.cells[-1].outputs = [stream("42 patients\n")]
    assert notebooks.credentialed(notebook) == name


def test_outputs_of_an_injected_credentialed_data_set_are_refused(write):
    notebook = committed('dataset = "mimic-iv"')
    notebook.cells[-1].metadata = nbformat.from_dict({"tags": ["injected-parameters"]})
    notebook.cells[-1].outputs = [stream("42 patients\n")]
    (found,) = notebooks.problems(write(notebook), REPOSITORY)
    assert "must not be published" in found


def test_a_chapter_out_of_step_is_found(write):
    notebook = committed("x = 1")
    notebook.cells[2].source += "\n!pip install something"
    (found,) = notebooks.problems(write(notebook), REPOSITORY)
    assert "out of step" in found


def test_a_chapter_that_was_not_run_is_found(write):
    notebook = committed("x = 1")
    notebook.cells[-1].execution_count = None
    found = notebooks.problems(write(notebook), REPOSITORY)
    assert any("was not run" in line for line in found)


def test_a_checked_cell_without_output_is_found(write):
    notebook = committed("x = 1")
    notebook.cells[-1].metadata = nbformat.from_dict({"tags": [notebooks.CHECK_TAG]})
    (found,) = notebooks.problems(write(notebook), REPOSITORY)
    assert "no text to compare" in found


def real_patients(text: str):
    notebook = committed("x = 1")
    cell = notebook.cells[-1]
    cell.metadata = nbformat.from_dict({"tags": [notebooks.REAL_TAG]})
    cell.outputs = [stream(text)]
    return notebook


def test_a_chapter_run_without_the_public_data_is_found(write):
    missing = f"{notebooks.NOT_AT_HAND} here: fetch them\n"
    (found,) = notebooks.problems(write(real_patients(missing)), REPOSITORY)
    assert "EHRSYNTH_SHARED_DATA" in found
    assert notebooks.problems(write(real_patients("85 patients\n")), REPOSITORY) == []


def test_a_page_shows_real_patients_also_where_they_are_not_at_hand():
    kept, new = real_patients("85 patients\n"), real_patients("86 patients\n")
    without = real_patients(f"{notebooks.NOT_AT_HAND} here\n")
    assert build_book.with_committed(without, kept).cells[-1].outputs[0].text == "85 patients\n"
    assert build_book.with_committed(new, kept).cells[-1].outputs[0].text == "86 patients\n"


# -- badges -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "measured", "new"),
    [(None, 11, 20), (20, 11, 20), (20, 21, 30), (60, 11, 20), (20, 20, 20)],
)
def test_the_stated_run_time_is_true_and_stays_while_it_is(old, measured, new):
    about = {} if old is None else {"seconds": old}
    result = notebooks.Run("x", seconds=99, cpu_seconds=measured, memory_mb=400)
    assert notebooks.measured(about, result)["seconds"] == new


def test_each_chapter_is_measured_alone_and_keeps_its_outputs(tmp_path, monkeypatch):
    paths, folders = [], []
    for name in ("01-test", "02-test"):
        paths.append(tmp_path / f"{name}.ipynb")
        notebooks.write(committed("print(1)"), paths[-1])
    before = notebooks.read(paths[0])

    def execute(jobs, work, at_once):
        assert len(jobs) == at_once == 1
        folders.append(work)
        return [
            notebooks.Run(
                jobs[0][0].stem, 70, 47.0, 800, error="" if "01" in jobs[0][0].stem else "no"
            )
        ]

    monkeypatch.setattr(notebooks, "execute", execute)
    assert notebooks.measure(paths) == 1  # the second failed
    assert len(set(folders)) == 2 and not any(folder.exists() for folder in folders)
    after = notebooks.read(paths[0])
    assert "alone: under 60 s of processor time, 1000 MB" in after.cells[1].source
    assert after.cells[3:] == before.cells[3:]
    assert "alone" not in notebooks.read(paths[1]).cells[1].source


def test_every_word_of_the_glossary_is_a_card():
    glossary = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
    page = build_book.flashcards_page(glossary)
    words = re.findall(r"^## (.+)$", glossary, re.M)
    assert re.findall(r"<summary>(.+)</summary>", page) == words and len(words) > 50
    assert "](#" not in page and "](glossary.md#" in page  # links lead to the glossary
    assert page.count("<details>") == page.count("</details>") == len(words)


# -- the builder --------------------------------------------------------------------------


def test_a_run_with_other_versions_is_another_run(monkeypatch):
    """Else `make test-colab` after `make book` would pass with chapters that it never ran."""
    here = {"numpy": "2.1.3", "uv": "1"}
    monkeypatch.setattr(build_book.colab, "installed", lambda: dict(here))
    before = build_book.package_digest()
    here["uv"] = "2"  # a tool that no chapter meets
    assert build_book.package_digest() == before
    here["numpy"] = "2.3.0"
    assert build_book.package_digest() != before
    assert {"numpy", "torch"} <= set(colab.needed())


def test_chapters_run_again_only_when_something_changed(tmp_path, monkeypatch):
    folder = tmp_path / "book" / "chapters"
    folder.mkdir(parents=True)
    notebooks.write(chapter("print(1)"), folder / "01-test.ipynb")
    executed = tmp_path / "executed"
    executed.mkdir()
    ran = []

    def execute(jobs, work, at_once):
        for source, target, _ in jobs:
            ran.append(source.stem)
            target.write_text(source.read_text())
        return [notebooks.Run(job[0].stem, 1.0, 1.0, 100) for job in jobs]

    monkeypatch.setattr(build_book.notebooks, "execute", execute)
    monkeypatch.setattr(build_book, "EXECUTED", executed)
    monkeypatch.setattr(build_book, "BUILD", tmp_path)
    monkeypatch.setattr(build_book.notebooks, "chapters", lambda: [folder / "01-test.ipynb"])
    monkeypatch.setattr(build_book, "package_digest", lambda: "as it was")
    build_book.run_chapters({}, 1)
    build_book.run_chapters({}, 1)
    assert ran == ["01-test"]
    notebooks.write(chapter("print(2)"), folder / "01-test.ipynb")
    build_book.run_chapters({}, 1)
    assert len(ran) == 2
    monkeypatch.setattr(build_book, "package_digest", lambda: "changed")
    build_book.run_chapters({}, 1)
    assert len(ran) == 3
    build_book.run_chapters({"seed": 1}, 1)
    assert len(ran) == 4


def test_colab_versions_that_changed_are_named():
    assert colab.changed({"pandas": "2.2.3", "shap": "1"}, {"pandas": "3.1"}) == [
        "pandas is 3.1, Colab has 2.2.3"
    ]
    assert "numpy" in colab.pinned()
    assert colab.CONSTRAINTS.exists()


def test_references_have_no_roles_that_are_not_so():
    body = (
        '<div role="list" class="citation-list"><div class="citation" id="a"'
        ' role="doc-biblioentry"></div></div><div role="list">'
    )
    left = '<div class="citation-list"><div class="citation" id="a"></div></div><div role="list">'
    assert chapter_links.without_false_roles(body) == left


def test_a_docstring_that_names_its_chapter_links_to_it():
    linked = chapter_links.link_chapters('Chapter utility, "One\ncolumn". Chapter nowhere, "x".')
    assert ':doc:`Chapter 8, "One column" </book/chapters/08-utility>`' in linked
    assert 'Chapter nowhere, "x".' in linked


ONE = '"""One."""'
ITS_X = '"""One.\n\n    Parameters\n    ----------\n    x : int\n    """'


@pytest.mark.parametrize(
    ("function", "faults"),
    [
        (f"def told(x: int) -> int:\n    {ITS_X}\n    return x", []),
        (f"def told(x: int):\n    {ITS_X}\n    return x", ["RT01"]),
        (f"def told(x: int) -> int:\n    {ONE}\n    return x", ["PR01"]),
    ],
)
def test_the_page_says_what_a_function_takes_and_returns(function, faults, tmp_path, monkeypatch):
    name = f"shown_{len(faults)}{len(function)}"
    (tmp_path / f"{name}.py").write_text(function)
    page = tmp_path / "api.md"
    page.write_text(f".. automodule:: {name}\n   :members:\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(docstrings, "PAGE", page)
    assert [fault.split()[1] for fault in docstrings.complaints()] == faults
    page.write_text(f".. automodule:: {name}\n   :members: other\n")
    assert docstrings.complaints() == [f"{name}.other: there is no such thing"]


FIELDS = {
    "told": ("    x: int  #: how many\n    #: and how often\n    y: int = 1\n", []),
    "half_told": ("    x: int  #: how many\n    y: int = 1  # and how often\n", ["PR01"]),
}


@pytest.mark.parametrize("name", FIELDS)
def test_the_fields_of_a_data_class_may_be_told_beside_them(name, tmp_path, monkeypatch):
    fields, faults = FIELDS[name]
    start = 'from dataclasses import dataclass\n\n\n@dataclass\nclass Shown:\n    """One."""\n\n'
    (tmp_path / f"{name}.py").write_text(start + fields)
    page = tmp_path / "api.md"
    page.write_text(f".. automodule:: {name}\n   :members:\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(docstrings, "PAGE", page)
    assert [fault.split()[1] for fault in docstrings.complaints()] == faults


# -- mutations ----------------------------------------------------------------------------


def test_every_row_of_the_ledger_can_be_used():
    rows = mutations.ledger()
    assert len(rows) >= 60 and len({row[:3] for row in rows}) == len(rows)
    assert [(row.file, row.old, why) for row in rows if (why := mutations.problem(row))] == []


def test_a_promise_that_no_test_keeps_survives(tmp_path):
    (tmp_path / "code.py").write_text("LEAST = 5\n")
    (tmp_path / "test_code.py").write_text(
        "import code_under_test\n\n"
        "def test_keeps():\n    assert code_under_test.LEAST == 5\n\n"
        "def test_sleeps():\n    assert True\n"
    )
    (tmp_path / "code.py").rename(tmp_path / "code_under_test.py")
    broken = ("code_under_test.py", "= 5", "= 4")
    noticed = mutations.Mutation(*broken, "test_code.py::test_keeps")
    slept = noticed._replace(test="test_code.py::test_sleeps")
    lost = noticed._replace(test="test_code.py::test_is_not_there")
    assert mutations.survives(tmp_path, noticed) == ""
    assert mutations.survives(tmp_path, slept) == "no test failed"
    assert "could not be run" in mutations.survives(tmp_path, lost)
    assert (tmp_path / "code_under_test.py").read_text() == "LEAST = 5\n"
