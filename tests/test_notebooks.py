"""Every chapter runs, and says what it said when it was committed.

Papermill runs each chapter with the fast profile, chapters 4 to 8 also on the two public data
sets where those are at hand. nbval compares the cells tagged `nbval-check-output` of that run
with the committed outputs. All share one work folder, as a reader's do.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import build_book  # noqa: E402
import notebooks  # noqa: E402
from conftest import find_shared_data  # noqa: E402

NAMES = [path.stem for path in notebooks.chapters()]
# All chapters run on the demo's hundred patients; on Diabetes-130 those that look at its columns.
REAL_DATA = [(name, "mimic-iv-demo") for name in NAMES]
REAL_DATA += [(n, "diabetes130") for n in NAMES if n[:2] in ("01", "04", "05", "06", "07", "08")]
SANITIZE = Path(__file__).with_name("nbval-sanitize.cfg")


@pytest.fixture(scope="session")
def work(tmp_path_factory) -> Path:
    """One folder for all chapters and test processes of this session."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    folder = shared / "work"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, work):
    """What a chapter's kernel finds around it."""
    monkeypatch.setenv("EHRSYNTH_WORK", str(work))
    folder = find_shared_data()
    if folder:
        monkeypatch.setenv("EHRSYNTH_SHARED_DATA", str(folder))


def run(name: str, target: Path, work: Path, **parameters) -> notebooks.Run:
    """Run a chapter in a process of its own and fail with its error, if it has one."""
    source = notebooks.CHAPTERS / f"{name}.ipynb"
    (result,) = notebooks.execute([(source, target, parameters)], work, 1)
    if result.error:
        pytest.fail(result.error, pytrace=False)
    return result


def nbval(path: Path, played: Path | None = None) -> subprocess.CompletedProcess:
    """Run nbval on one notebook as on the command line; it runs the cells, or `played` did."""
    command = [
        *(sys.executable, "-m", "pytest", "-q", "--nbval-lax", "--nbval-current-env"),
        *("--nbval-sanitize-with", str(SANITIZE), "--nbval-cell-timeout", "600"),
        *("-p", "no:cacheprovider", "-p", "no:xdist", "-c", os.devnull, "--rootdir"),
        *(str(path.parent), str(path)),
    ]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    if played:
        command += ["-p", "replay"]
        places = [str(Path(__file__).parent), environment.get("PYTHONPATH", "")]
        environment |= {"EHRSYNTH_EXECUTED": str(played), "PYTHONPATH": os.pathsep.join(places)}
    environment |= {"OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def complain(done: subprocess.CompletedProcess) -> None:
    if done.returncode:
        pytest.fail(f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}", pytrace=False)


def executed(name: str, work: Path) -> Path:
    """The chapter as run: by `make book` if it has just run this text, else once in this session.

    A run without the public data does not count where they are at hand.
    """
    source = notebooks.CHAPTERS / f"{name}.ipynb"
    built = build_book.EXECUTED / source.name
    if build_book.as_run(source, build_book.mark(source, build_book.package_digest(), {})):
        outputs = [o for cell in notebooks.read(built).cells for o in cell.get("outputs", [])]
        without = any(notebooks.NOT_AT_HAND in notebooks.text_of(output) for output in outputs)
        if not (without and find_shared_data()):
            return built
    target = work / "executed" / source.name
    target.parent.mkdir(exist_ok=True)
    with FileLock(target.with_suffix(".lock")):
        if not target.exists():
            run(name, target.with_suffix(".running.ipynb"), work)
            target.with_suffix(".running.ipynb").replace(target)
    return target


@pytest.mark.parametrize("name", NAMES)
def test_papermill_simulated(name, work):
    for cell in notebooks.read(executed(name, work)).cells:
        shown = "".join(notebooks.text_of(output) for output in cell.get("outputs", []))
        if "solution" in notebooks.tags(cell):
            assert ": correct." in shown and "not yet" not in shown, shown


def test_the_competition_throws_the_copy_out(tmp_path, work):
    (source,) = notebooks.ALSO
    assert notebooks.problems(source, notebooks.Repository.read()) == []
    target = tmp_path / source.name
    (result,) = notebooks.execute([(source, target, {})], work, 1)
    assert not result.error, result.error
    (board,) = (cell for cell in notebooks.read(target).cells if cell.id == "board")
    rows = board.outputs[0].data["text/plain"]
    assert "a copy" in rows and "bad" in rows


@pytest.mark.parametrize(("name", "dataset"), REAL_DATA)
def test_papermill_real(name, dataset, tmp_path, work, shared_data):
    run(name, tmp_path / f"{name}.ipynb", work, dataset=dataset, profile="fast")


@pytest.mark.parametrize("name", NAMES)
def test_nbval(name, work):
    complain(nbval(notebooks.CHAPTERS / f"{name}.ipynb", executed(name, work)))


def up_to_first_checked_cell(name: str):
    """The committed chapter, cut off after its first checked cell, and that cell."""
    notebook = notebooks.read(notebooks.CHAPTERS / f"{name}.ipynb")
    for index, cell in enumerate(notebook.cells):
        if notebooks.CHECK_TAG in notebooks.tags(cell):
            notebook.cells = notebook.cells[: index + 1]
            return notebook, cell
    raise AssertionError(f"{name} has no checked cell")


@pytest.mark.parametrize("name", NAMES[2:3])
def test_nbval_notices_a_corrupted_output(name, tmp_path, work):
    notebook, cell = up_to_first_checked_cell(name)
    path = tmp_path / "chapter.ipynb"
    notebooks.write(notebook, path)
    complain(nbval(path))  # as committed it passes, also when nbval itself runs it ...
    (output,) = [o for o in cell.outputs if notebooks.text_of(o).strip()][:1]
    text = notebooks.text_of(output)
    digit = next(character for character in text if character.isdigit())
    changed = text.replace(digit, str((int(digit) + 1) % 10), 1)
    if output.output_type == "stream":
        output.text = changed
    else:
        output.data = {kind: changed for kind in output.data if kind.startswith("text/")}
    notebooks.write(notebook, path)
    done = nbval(path, executed(name, work))  # ... and with one digit changed it does not
    assert done.returncode == 1
    assert "1 failed" in done.stdout and "Cell outputs differ" in done.stdout


def test_nbval_is_not_shown_a_run_of_another_text(tmp_path, work):
    notebook, cell = up_to_first_checked_cell(NAMES[2])
    cell.source += "\n# changed since"
    notebooks.write(notebook, tmp_path / "chapter.ipynb")
    done = nbval(tmp_path / "chapter.ipynb", executed(NAMES[2], work))
    assert done.returncode == 1
    assert "did not run this cell" in done.stdout
