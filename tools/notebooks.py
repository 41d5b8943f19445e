"""One tool for the chapters: keep them in step, run them, normalize them, check them.

    python tools/notebooks.py sync         write every chapter's setup cell and badge line, the
                                           repository's address into README.md and CITATION.cff;
                                           README's picture
    python tools/notebooks.py execute      run the chapters into a folder (-p NAME VALUE, --out DIR)
    python tools/notebooks.py refresh      sync, run and normalize the committed chapters in place
    python tools/notebooks.py measure      run each chapter alone, from nothing, and write its
                                           processor time and memory into its badges
    python tools/notebooks.py normalize    strip what changes from run to run
    python tools/notebooks.py check        complain about what must not be committed

Chapters are named by the start of their file name (`05` or `05-training`); none means all.
"""

import argparse
import base64
import concurrent.futures
import contextlib
import copy
import hashlib
import json
import multiprocessing
import os
import re
import resource
import struct
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = ROOT / "book" / "chapters"
# Notebooks that are no chapters: shown as committed, run by a test.
ALSO = [ROOT / "book" / "workshops" / "competition.ipynb"]

# Files for people and machines that cannot read _config.yml.
WITH_ADDRESS = [ROOT / "README.md", ROOT / "CITATION.cff"]

# The picture at the top of README.md is the output of the one cell with this tag.
README_PICTURE, README_TAG = ROOT / "book" / "_static" / "readme.png", "readme-picture"

SETUP_ID, BADGES_ID = "setup", "badges"
CHECK_TAG = "nbval-check-output"
# Cells that set real patients beside the simulated ones, and what they say where there are none.
REAL_TAG, NOT_AT_HAND = "real-data", "Real patients are not at hand"
# Data sets whose use agreement forbids publishing anything computed from their rows.
CREDENTIALED = ("mimic-iv",)
# The book promises that a chapter runs in a minute with the fast profile.
MAX_SECONDS = 60

SETUP_TEMPLATE = """\
# @title Setup (the same in every chapter)
# Uses this clone or the installed package; where there is neither, as on Colab, installs it.
import importlib.util
import os
import pathlib
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads that wait for each other cost minutes
here = pathlib.Path.cwd()
sys.path += [str(p) for p in (here, *here.parents) if (p / "ehrsynth" / "book.py").is_file()]
if importlib.util.find_spec("ehrsynth") is None:
    %pip install --quiet "ehrsynth[gan] @ {archive}"
    importlib.invalidate_caches()
if importlib.util.find_spec("ehrsynth") is None:
    raise SystemExit(
        "ehrsynth {version} could not be installed: the address above was not reached. Try again, "
        "or download that file elsewhere, put it beside this notebook, and run: "
        "%pip install 'ehrsynth[gan] @ file:///FOLDER/{file}'"
    )

from ehrsynth import book

book.setup()
"""

BADGES_TEMPLATE = (
    "[Open in Colab]({colab}) · [source]({source}){run} · "
    "reading {teaching} min · exercises {exercises} min"
)


# -- where the repository lives -----------------------------------------------------------


@dataclass(frozen=True)
class Repository:
    """The repository's address, as `_config.yml` states it."""

    url: str
    branch: str
    version: str  # of the package, and so of the pages

    @classmethod
    def read(cls, config: Path = ROOT / "_config.yml") -> "Repository":
        repository = yaml.safe_load(config.read_text(encoding="utf-8"))["repository"]
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return cls(repository["url"].rstrip("/"), repository["branch"], project["version"])

    @property
    def slug(self) -> str:
        """Owner and name."""
        return "/".join(self.url.split("/")[-2:])

    @property
    def archive(self) -> str:
        """What pip installs, the version of the page: needs no git on the learner's machine."""
        return f"{self.url}/archive/refs/tags/v{self.version}.zip"

    def source(self, name: str) -> str:
        return f"{self.url}/blob/{self.branch}/book/chapters/{name}.ipynb"

    def colab(self, name: str) -> str:
        path = f"{self.slug}/blob/v{self.version}/book/chapters/{name}.ipynb"
        return f"https://colab.research.google.com/github/{path}"


# -- reading and writing ------------------------------------------------------------------


def chapters(names: list[str] | None = None, folder: Path = CHAPTERS) -> list[Path]:
    """The chapters' paths in order; `names` are beginnings of file names."""
    found = sorted(folder.glob("[0-9][0-9]-*.ipynb"))
    if not names:
        return found
    chosen = []
    for name in names:
        stem = Path(name).name.removesuffix(".ipynb")
        also = ALSO if folder == CHAPTERS else []
        hits = [path for path in [*found, *also] if path.stem.startswith(stem)]
        if not hits:
            known = ", ".join(path.stem for path in found) or "none yet"
            raise SystemExit(f"There is no chapter {name!r}; the chapters are: {known}.")
        chosen += hits
    return sorted(set(chosen))


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)


def dumps(notebook: nbformat.NotebookNode) -> str:
    """The one way a notebook is written: sorted keys, one-space indent, lines split."""
    split = nbformat.v4.rwbase.split_lines(copy.deepcopy(notebook))
    return json.dumps(split, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write(notebook: nbformat.NotebookNode, path: Path) -> bool:
    """Write the notebook when that changes the file; says whether it did."""
    text = dumps(notebook)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    path.write_text(text, encoding="utf-8")
    return True


def tags(cell) -> list[str]:
    return cell.get("metadata", {}).get("tags", [])


def text_of(output) -> str:
    """The text of one output: what was printed, or the plain form of what was shown."""
    if output.output_type == "stream":
        return output.text
    if output.output_type == "error":
        return "\n".join(output.traceback)
    data = output.get("data", {})
    return data.get("text/markdown") or data.get("text/plain") or ""


# -- sync: the cells that are the same in every chapter -------------------------------------


def sync_address(path: Path, repository: Repository) -> bool:
    """Write the repository's address into a text file that names it; says if it changed."""
    old = path.read_text(encoding="utf-8")
    new = re.sub(r"(github(?:\.com)?/)[\w.-]+/ehrsynth\b", rf"\g<1>{repository.slug}", old)
    if new != old:
        path.write_text(new, encoding="utf-8")
    return new != old


def setup_cell(repository: Repository):
    return nbformat.v4.new_code_cell(
        SETUP_TEMPLATE.format(
            archive=repository.archive,
            version=repository.version,
            file=repository.archive.rsplit("/", 1)[-1],
        ).rstrip("\n"),
        id=SETUP_ID,
        metadata={
            "cellView": "form",
            "mystnb": {
                "code_prompt_show": "Show the setup cell",
                "code_prompt_hide": "Hide the setup cell",
            },
            "tags": ["hide-input", "setup"],
        },
    )


def badges_cell(name: str, about: dict, repository: Repository):
    seconds, memory = about.get("seconds"), about.get("memory_mb")
    run = (
        f" · alone: under {seconds} s of processor time, {memory} MB" if seconds and memory else ""
    )
    source = BADGES_TEMPLATE.format(
        colab=repository.colab(name),
        source=repository.source(name),
        run=run,
        teaching=about.get("teaching", "?"),
        exercises=about.get("exercises", "?"),
    )
    return nbformat.v4.new_markdown_cell(source, id=BADGES_ID, metadata={"tags": ["badges"]})


def sync(notebook, name: str, repository: Repository):
    """Put the setup cell and the badge line in, or bring them up to date.

    The badge line of a chapter stands below the title cell, the setup cell above the parameters
    cell. Outputs and execution counts stay.
    """
    about = notebook.metadata.get("ehrsynth", {})
    if name[:2].isdigit():
        _place(notebook, badges_cell(name, about, repository), lambda cells: 1)
    _place(notebook, setup_cell(repository), _parameters_index)
    return notebook


def _place(notebook, new, where) -> None:
    for cell in notebook.cells:
        if cell.get("id") == new.id:
            cell.source, cell.metadata = new.source, new.metadata
            return
    notebook.cells.insert(where(notebook.cells), new)


def _parameters_index(cells) -> int:
    for index, cell in enumerate(cells):
        if "parameters" in tags(cell):
            return index
    raise SystemExit("A chapter needs a code cell tagged 'parameters'.")


def readme_picture() -> bytes | None:
    """The picture that a chapter has for README.md, as last committed there."""
    for path in chapters():
        for cell in read(path).cells:
            if README_TAG in tags(cell):
                for output in cell.outputs:
                    if "image/png" in output.get("data", {}):
                        return base64.b64decode(output.data["image/png"])
    return None


def sync_readme_picture() -> bool:
    """Bring the picture of README.md up to date; says if it changed."""
    picture = readme_picture()
    if picture is None or (README_PICTURE.exists() and README_PICTURE.read_bytes() == picture):
        return False
    README_PICTURE.write_bytes(picture)
    return True


# -- normalize: what differs from run to run ------------------------------------------------

_KEPT_CELL_METADATA = {"tags", "mystnb", "cellView"}
_DROPPED_PNG_CHUNKS = {b"tEXt", b"zTXt", b"iTXt", b"tIME", b"eXIf"}


def normalize(notebook):
    """Strip what changes from run to run; keep execution counts, which nbval needs."""
    about = notebook.metadata.get("ehrsynth")
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python", "pygments_lexer": "ipython3"},
        }
    )
    if about:
        notebook.metadata["ehrsynth"] = about
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.cells = [cell for cell in notebook.cells if cell.source.strip() or cell.get("outputs")]
    seen: set[str] = set()
    count = 0
    for cell in notebook.cells:
        cell.source = "\n".join(line.rstrip() for line in cell.source.rstrip().split("\n"))
        kept = {k: v for k, v in cell.metadata.items() if k in _KEPT_CELL_METADATA and v}
        if "tags" in kept:
            kept["tags"] = sorted(set(kept["tags"]))
        cell.metadata = nbformat.from_dict(kept)
        cell["id"] = _stable_id(cell, seen)
        cell.pop("attachments", None)
        if cell.cell_type == "code":
            if cell.execution_count is not None:
                count += 1
                cell.execution_count = count
            cell.outputs = _normalize_outputs(cell.outputs, cell.execution_count)
    return notebook


def _stable_id(cell, seen: set[str]) -> str:
    """The cell's own id when it has a good one, else one made from its text.

    Eight digits look like a patient of MIMIC-IV, and tools/guard.py refuses them.
    """
    name = cell.get("id") or ""
    if not re.fullmatch(r"(?!.*\d{8})[a-zA-Z0-9_-]{1,64}", name) or name in seen:
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:7]
        digest = f"c{digest}"
        name = digest
        number = 1
        while name in seen:
            number += 1
            name = f"{digest}-{number}"
    seen.add(name)
    return name


def _normalize_outputs(outputs, execution_count):
    kept = []
    for output in outputs:
        if output.output_type == "stream":
            # How often a stream is flushed is chance; a progress bar's \r overwrites its line.
            text = "\n".join(line.rsplit("\r", 1)[-1] for line in output.text.split("\n"))
            if kept and kept[-1].output_type == "stream" and kept[-1].name == output.name:
                kept[-1].text += text
                continue
            output.text = text
        elif output.output_type != "error":
            output.metadata = nbformat.from_dict({})
            output.data = {
                kind: _clean_png(value) if kind == "image/png" else value
                for kind, value in output.data.items()
                if "widget" not in kind
            }
            if output.output_type == "execute_result":
                output.execution_count = execution_count
        kept.append(output)
    return kept


def _clean_png(encoded: str) -> str:
    """Drop the text chunks of a PNG: they name the software that wrote it."""
    raw = base64.b64decode(encoded)
    kept, position = [raw[:8]], 8
    while position < len(raw):
        (length,) = struct.unpack(">I", raw[position : position + 4])
        chunk = raw[position : position + 12 + length]
        if chunk[4:8] not in _DROPPED_PNG_CHUNKS:
            kept.append(chunk)
        position += 12 + length
    return base64.b64encode(b"".join(kept)).decode()


# -- execute ------------------------------------------------------------------------------


@dataclass
class Run:
    """How one chapter ran."""

    name: str
    seconds: float  # by the clock
    cpu_seconds: float
    memory_mb: int  # the kernel's largest resident size
    error: str = ""
    parameters: dict = field(default_factory=dict)

    def line(self) -> str:
        given = " ".join(f"{k}={v}" for k, v in self.parameters.items())
        state = "FAILED" if self.error else "ok"
        return (
            f"  {self.name:<32} {state:>6} {self.seconds:6.1f} s {self.memory_mb:6d} MB  {given}"
        ).rstrip()


def known_parameters(path: Path) -> set[str]:
    """Names assigned in the notebook's parameters cell."""
    for cell in read(path).cells:
        if "parameters" in tags(cell):
            return set(re.findall(r"^(\w+)\s*(?::[^=]+)?=", cell.source, flags=re.MULTILINE))
    return set()


def execute_one(source: Path, target: Path, parameters: dict, work: Path) -> Run:
    """Run one notebook with papermill and write the executed copy to `target`.

    Runs in a process of its own so that the kernel's memory can be told apart.
    Unknown parameters are refused: papermill would only log them.
    """
    unknown = sorted(set(parameters) - known_parameters(source))
    if unknown:
        raise SystemExit(
            f"{source.name} has no parameter {unknown[0]!r}; its parameters are "
            f"{', '.join(sorted(known_parameters(source)))}."
        )
    work, target = Path(work).resolve(), Path(target).resolve()
    work.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    os.environ.update(
        EHRSYNTH_WORK=str(work),
        OMP_NUM_THREADS="1",
        OPENBLAS_NUM_THREADS="1",
        MKL_NUM_THREADS="1",
        JUPYTER_PREFER_ENV_PATH="1",  # the kernel of this environment, not a user's own
        PYDEVD_DISABLE_FILE_VALIDATION="1",
    )
    # Kernels that may not keep compiled files start three times slower.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    import logging
    import warnings

    import papermill

    logging.getLogger("papermill").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="papermill|nbclient|jupyter_client|zmq|traitlets")
    error, started = "", time.perf_counter()
    try:
        with _quiet_kernel():
            papermill.execute_notebook(
                str(source),
                str(target),
                parameters=parameters,
                kernel_name="python3",
                progress_bar=False,
                cwd=str(work),
                start_timeout=180,
                execution_timeout=900,
            )
    except papermill.PapermillExecutionError as failure:
        error = _error_block(source.stem, failure)
    except Exception as failure:  # a dead or silent kernel: report it like any other failure
        error = f"{source.stem}: {type(failure).__name__}: {failure}"
    seconds = time.perf_counter() - started
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB on Linux
    return Run(
        source.stem,
        seconds,
        usage.ru_utime + usage.ru_stime,
        round(usage.ru_maxrss * unit / 1e6),
        error,
        parameters,
    )


@contextlib.contextmanager
def _quiet_kernel():
    """Keep what the kernel's process itself writes (not the cells) off the terminal."""
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _error_block(name: str, failure) -> str:
    colors = re.compile(r"\x1b\[[0-9;]*m")
    tail = colors.sub("", "\n".join(failure.traceback)).splitlines()[-12:]
    lines = [
        f"{name}: cell [{failure.exec_count}] raised {failure.ename}: {failure.evalue}",
        *(f"    | {line}" for line in failure.source.splitlines()[:12]),
        *(f"    > {line}" for line in tail),
    ]
    return "\n".join(lines)


def execute(
    jobs: list[tuple[Path, Path, dict]], work: Path, at_once: int = 2, report=print
) -> list[Run]:
    """Run (source, target, parameters) jobs, some at a time; one progress line for each."""
    runs = []
    with concurrent.futures.ProcessPoolExecutor(
        max_workers=at_once,
        max_tasks_per_child=1,
        mp_context=multiprocessing.get_context("spawn"),
    ) as pool:
        waiting = [pool.submit(execute_one, *job, work) for job in jobs]
        for done in concurrent.futures.as_completed(waiting):
            run = done.result()
            runs.append(run)
            report(run.line(), flush=True)
    for run in sorted(runs, key=lambda run: run.name):
        if run.error:
            report(f"\n{run.error}\n", flush=True)
    return sorted(runs, key=lambda run: run.name)


def failed(runs: list[Run]) -> list[str]:
    return [run.name for run in runs if run.error]


# -- check --------------------------------------------------------------------------------

_MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:home|Users|root|tmp|work|content|mnt|opt)/\w[\w./-]*")


def problems(path: Path, repository: Repository) -> list[str]:
    """What must be put right before this chapter can be committed, as sentences."""
    notebook, found = read(path), []

    def say(cell, text: str) -> None:
        found.append(f"{path.name}, cell {cell.get('id', '?')}: {text}")

    synced = sync(copy.deepcopy(notebook), path.stem, repository)
    if dumps(synced) != dumps(notebook):
        found.append(f"{path.name}: setup cell or badge line out of step; run `make notebooks`.")
    text = path.read_text(encoding="utf-8")
    if dumps(normalize(copy.deepcopy(notebook))) != text:
        found.append(f"{path.name}: not normalized; run `make notebooks`.")
    used = credentialed(notebook)
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        if cell.execution_count is None:
            say(cell, "was not run; run `make notebooks`.")
        if used and cell.outputs:
            say(cell, f"holds output made from {used}, which must not be published; clear it.")
        if len(cell.source.splitlines()) > 40:
            say(cell, "has more than 40 lines.")
        if REAL_TAG in tags(cell) and any(NOT_AT_HAND in text_of(o) for o in cell.outputs):
            say(cell, "was run without the public data; set EHRSYNTH_SHARED_DATA and run it again.")
        if CHECK_TAG in tags(cell) and not any(text_of(o).strip() for o in cell.outputs):
            say(cell, f"is tagged {CHECK_TAG} but has no text to compare.")
        pictures = [o for o in cell.outputs if "image/png" in o.get("data", {})]
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        if pictures and len(alt.split()) < 5:
            say(cell, "shows a picture without alt text that says what is to be seen.")
        for output in cell.outputs:
            shown = text_of(output)
            if output.output_type == "error":
                say(cell, f"holds an error: {output.ename}.")
            elif output.output_type == "stream" and output.name == "stderr":
                say(cell, f"holds a warning or a progress bar: {shown.strip()[:80]!r}.")
            elif re.search(r"\bat 0x[0-9a-f]{6,}", shown):
                say(cell, "shows a memory address, which differs on every run.")
            if _MACHINE_PATH.search(shown):
                say(cell, f"shows a path of one machine: {_MACHINE_PATH.search(shown)[0]}.")
    return found


_NAMES_A_DATASET = re.compile(
    r"""(?:\bdataset\s*=\s*|(?:load|workspace|Pipeline)\([^()]*?|--dataset[ =])["']?([\w-]+)"""
)
# Where PhysioNet keeps the data that is not for all, as in mimic-iv-3.1 or mimiciv/2.2.
_FOLDER = re.compile(r"\bmimic-?iv(?:-ed|-note|-ecg)?[-/]\d[\d.]*")


def credentialed(notebook) -> str:
    """The credentialed data set that this notebook holds output from, or ""."""
    has_output = any(cell.get("outputs") for cell in notebook.cells)
    return names_credentialed(notebook) if has_output else ""


def names_credentialed(notebook) -> str:
    """The credentialed data set that this notebook's code reads, or ""."""
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        for name in _NAMES_A_DATASET.findall(cell.source):
            if name in CREDENTIALED:
                return name
        if folder := _FOLDER.search(cell.source):
            return folder[0]
    return ""


# -- refresh ------------------------------------------------------------------------------


def measured(about: dict, run: Run) -> dict:
    """Bring the badge's run time and memory up to date, in round numbers.

    They stay as they are while they are true and not wasteful, so that running again on
    the same machine changes no byte.
    """

    def keep_or_round(old, value, step):
        if old and 0.4 * old <= value <= old:
            return old
        return max(step, int(-(-value * 1.25 // step)) * step)

    return {
        **about,
        "seconds": keep_or_round(about.get("seconds"), run.cpu_seconds, 10),
        "memory_mb": keep_or_round(about.get("memory_mb"), run.memory_mb, 250),
    }


def refresh(paths: list[Path], work: Path | None, at_once: int) -> int:
    """Sync, run and normalize the committed chapters in place."""
    repository = Repository.read()
    for path in paths:
        keep_out_of_git(names_credentialed(read(path)), path.parent)
    with tempfile.TemporaryDirectory() as scratch:
        jobs = []
        for path in paths:
            write(sync(read(path), path.stem, repository), path)
            jobs.append((path, Path(scratch) / path.name, {}))
        runs = execute(jobs, work or Path(scratch) / "work", at_once)
        for path, target, run in zip(paths, (job[1] for job in jobs), runs, strict=True):
            if not run.error:
                if run.cpu_seconds > MAX_SECONDS:
                    print(
                        f"{path.stem} took {run.cpu_seconds:.0f} s of processor time; the book "
                        f"promises {MAX_SECONDS} s a chapter. Shorten it, or try an idle machine.",
                        file=sys.stderr,
                    )
                notebook = read(target)
                about = dict(read(path).metadata.get("ehrsynth", {}))
                # Of several, only the first to need the trained model pays for it: see measure.
                alone = len(paths) == 1 and work is None
                notebook.metadata["ehrsynth"] = measured(about, run) if alone else about
                write(normalize(sync(notebook, path.stem, repository)), path)
    sync_readme_picture()
    bad = failed(runs)
    if bad:
        print(f"{len(bad)} of {len(runs)} chapters failed: {', '.join(bad)}", file=sys.stderr)
    return 1 if bad else 0


def measure(paths: list[Path]) -> int:
    """Run each chapter alone and cold, as a reader does; only its badge line changes."""
    repository, bad = Repository.read(), []
    for path in paths:
        with tempfile.TemporaryDirectory() as scratch:
            place = Path(scratch)
            (run,) = execute([(path, place / path.name, {})], place / "work", 1)
        print(f"  {'':<32} {run.cpu_seconds:13.1f} s of processor time", flush=True)
        bad += [path.stem] if run.error else []
        if not run.error and path not in ALSO:
            notebook = read(path)
            about = dict(notebook.metadata.get("ehrsynth", {}))
            notebook.metadata["ehrsynth"] = measured(about, run)
            write(normalize(sync(notebook, path.stem, repository)), path)
    if os.getloadavg()[0] > (os.cpu_count() or 1):
        print(
            "This machine is busy: processor times are longer than on an idle one.", file=sys.stderr
        )
    return 1 if bad else 0


# -- command line -------------------------------------------------------------------------


def keep_out_of_git(dataset: str, *folders: Path) -> None:
    """Stop before output made from credentialed data lies where a commit would take it."""
    if dataset not in CREDENTIALED:
        return
    for folder in folders:
        folder = Path(folder).resolve()
        there = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
        ignored = subprocess.run(
            ["git", "check-ignore", "-q", str(folder / "x")], cwd=there, check=False,
            capture_output=True,
        )  # fmt: skip
        if ignored.returncode == 1:  # 0: ignored; 128: not in a repository
            raise SystemExit(
                f"Git would take {folder} into a commit, and output made from {dataset} must not "
                "be published; choose a folder in _build or work with --out and --work."
            )


ACTIONS = ("sync", "execute", "refresh", "measure", "normalize", "check")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=[*ACTIONS])
    parser.add_argument("names", nargs="*", help="chapters, e.g. 05 or 05-training")
    parser.add_argument("-p", dest="parameters", nargs=2, action="append", default=[])
    parser.add_argument("--out", type=Path, default=ROOT / "_build" / "executed")
    parser.add_argument("--work", type=Path, help="folder for what the chapters make")
    parser.add_argument("--jobs", type=int, default=2, help="chapters at a time (default: 2)")
    given = parser.parse_args(arguments)
    paths = chapters(given.names)
    repository = Repository.read()
    if not given.names and given.action in ("sync", "normalize", "check"):
        paths += ALSO
    if given.action == "sync":
        changed = [p.name for p in paths if write(sync(read(p), p.stem, repository), p)]
        changed += [path.name for path in WITH_ADDRESS if sync_address(path, repository)]
        changed += [README_PICTURE.name] if sync_readme_picture() else []
        for name in changed:
            print(f"  {name} brought up to date")
        return 0
    if given.action == "normalize":
        for path in paths:
            if write(normalize(read(path)), path):
                print(f"  {path.name} normalized")
        return 0
    if given.action == "check":
        found = [line for path in paths for line in problems(path, repository)]
        print("\n".join(found) or f"  {len(paths)} notebooks are fine")
        return 1 if found else 0
    if given.action == "measure":
        return measure(paths)
    if given.action == "refresh":
        return refresh(paths, given.work, given.jobs)
    parameters = {name: yaml.safe_load(value) for name, value in given.parameters}
    work = given.work or given.out / "work"
    for dataset in {parameters.get("dataset"), *(names_credentialed(read(p)) for p in paths)}:
        keep_out_of_git(dataset, given.out, work)
    jobs = [(path, given.out / path.name, parameters) for path in paths]
    runs = execute(jobs, work, given.jobs)
    (given.out / "runs.json").write_text(json.dumps([asdict(run) for run in runs], indent=2))
    return 1 if failed(runs) else 0


if __name__ == "__main__":
    sys.exit(main())
