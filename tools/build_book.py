"""Build the book: copy it, run every chapter in the copy, make the site. `make book` calls this.

Committed notebooks are never touched. A chapter is run again only when its text, the package
or the pinned versions have changed since it last ran.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import colab
import notebooks
import yaml
from notebooks import ROOT, Run

BUILD = ROOT / "_build"
SOURCE = BUILD / "source"
EXECUTED = BUILD / "executed"
INDEX_MARK = "<!-- chapters -->"
# Pages that the build makes.
MADE = ("run-times.md", "flashcards.md")


def digest(*parts: bytes) -> str:
    """A name for exactly these contents."""
    total = hashlib.sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "little") + part)
    return total.hexdigest()[:16]


def package_digest() -> str:
    """Changes when the package, what it needs, in the versions that are here, or Python change."""
    files = [p for p in sorted((ROOT / "ehrsynth").rglob("*")) if p.is_file()]
    kept = [p for p in files if "__pycache__" not in p.parts]
    names = "\n".join(str(p.relative_to(ROOT)) for p in kept)
    contents = [p.read_bytes() for p in [*kept, ROOT / "constraints.txt"]]
    here = colab.installed()  # `make test-colab` must not be shown what ran with other versions
    versions = [f"{name} {here.get(colab.canonical(name))}" for name in sorted(colab.needed())]
    around = " ".join([platform.python_version(), *versions])
    return digest(names.encode(), around.encode(), *contents)


# -- the copy -----------------------------------------------------------------------------


def put(path: Path, content: bytes) -> None:
    """Write only what has changed, so that Sphinx rebuilds only what it must."""
    if not path.exists() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def copy_source() -> None:
    """Bring _build/source in line with _config.yml and book/, chapters aside."""
    put(SOURCE / "_config.yml", (ROOT / "_config.yml").read_bytes())
    wanted = set()
    for path in sorted((ROOT / "book").rglob("*")):
        parts = path.relative_to(ROOT).parts
        if not path.is_file() or "work" in parts or any(part.startswith(".") for part in parts):
            continue
        target = SOURCE / path.relative_to(ROOT)
        wanted.add(target)
        if path.parent != notebooks.CHAPTERS and path.name != "index.md":
            put(target, path.read_bytes())
    for path in (SOURCE / "book").rglob("*"):
        generated = "mathjax" in path.parts or path.name in MADE
        if path.is_file() and path not in wanted and not generated:
            path.unlink()


def copy_mathjax() -> None:
    """Formulas are set by a MathJax that the site serves itself, from a Python package."""
    package = Path(find_spec("mathjax").submodule_search_locations[0])
    es5 = package / "static" / "mathjax" / "es5"
    target = SOURCE / "book" / "_static" / "mathjax" / "es5"
    for part in ("tex-chtml.js", "input/tex/extensions", "output/chtml/fonts", "a11y", "ui"):
        if (es5 / part).is_dir():
            shutil.copytree(es5 / part, target / part, dirs_exist_ok=True)
        elif (es5 / part).exists():
            put(target / part, (es5 / part).read_bytes())


# -- the chapters -------------------------------------------------------------------------


def mark(path: Path, package: str, parameters: dict) -> str:
    """Changes when a chapter's text, the package or the parameters change."""
    key = json.dumps(parameters, sort_keys=True).encode()
    return digest(path.read_bytes(), package.encode(), key)


def as_run(path: Path, now: str) -> dict:
    """What is known of the chapter's last run, if its text and the package are still the same."""
    record = EXECUTED / f"{path.stem}.json"
    kept = json.loads(record.read_text()) if record.exists() else {}
    return kept if kept.pop("mark", "") == now and (EXECUTED / path.name).exists() else {}


def run_chapters(parameters: dict, at_once: int) -> list[Run]:
    """Run what has changed into _build/executed; one line for each chapter."""
    package = package_digest()
    work = BUILD / "work" / package
    for old in (BUILD / "work").glob("*"):
        if old != work:
            shutil.rmtree(old, ignore_errors=True)
    runs, jobs, marks = [], [], {}
    for path in notebooks.chapters():
        marks[path.stem] = mark(path, package, parameters)
        if kept := as_run(path, marks[path.stem]):
            runs.append(Run(**kept))
        else:
            jobs.append((path, EXECUTED / path.name, parameters))
    if runs:
        print(f"  {len(runs)} chapters are unchanged since they last ran", flush=True)
    for run in notebooks.execute(jobs, work, at_once):
        if not run.error:
            record = json.dumps({"mark": marks[run.name], **asdict(run)}, indent=2)
            (EXECUTED / f"{run.name}.json").write_text(record)
        runs.append(run)
    return sorted(runs, key=lambda run: run.name)


def with_committed(executed, committed):
    """A chapter with the committed results of the real patients that this machine does not hold."""
    kept = {c.id: c.outputs for c in committed.cells if notebooks.REAL_TAG in notebooks.tags(c)}
    for cell in executed.cells:
        shown = "".join(notebooks.text_of(output) for output in cell.get("outputs", []))
        if cell.id in kept and notebooks.NOT_AT_HAND in shown:
            cell.outputs = kept[cell.id]
    return executed


def place_chapters() -> None:
    """Put the executed chapters into the copy."""
    for path in notebooks.chapters():
        executed = notebooks.normalize(notebooks.read(EXECUTED / path.name))
        notebook = with_committed(executed, notebooks.read(path))
        put(SOURCE / path.relative_to(ROOT), notebooks.dumps(notebook).encode())


# -- pages made from the chapters -----------------------------------------------------------


def title(notebook) -> str:
    return notebook.cells[0].source.splitlines()[0].lstrip("# ").strip()


def promise(notebook) -> str:
    """The paragraph below the chapter's title."""
    paragraphs = notebook.cells[0].source.split("\n\n")
    return " ".join(paragraphs[1].splitlines()) if len(paragraphs) > 1 else ""


def index_page() -> str:
    """The landing page with its road map filled in."""
    entries = []
    for number, path in enumerate(notebooks.chapters(), start=1):
        notebook = notebooks.read(path)
        about = notebook.metadata.get("ehrsynth", {})
        entries.append(
            f"{number}. **[{title(notebook)}](chapters/{path.name})** "
            f"({about.get('teaching', '?')} min, exercises {about.get('exercises', '?')} min). "
            f"{promise(notebook)}"
        )
    text = (ROOT / "book" / "index.md").read_text(encoding="utf-8")
    return text.replace(INDEX_MARK, "\n".join(entries))


def run_times_page(runs: list[Run]) -> str:
    """How long every chapter took in this build, as QuantEcon's books show it."""
    machine = f"{platform.system()}, Python {platform.python_version()}, {os.cpu_count()} cores"
    lines = [
        "# Run times",
        "",
        "Every chapter was run, top to bottom, to build these pages: with the fast profile, one",
        f"thread each, two chapters at a time ({machine}).",
        "Chapters share what they make, so the first to need the trained model waits for it.",
        "",
        "| Chapter | Time | Processor time | Peak memory |",
        "|---|---:|---:|---:|",
    ]
    by_name = {path.stem: title(notebooks.read(path)) for path in notebooks.chapters()}
    for run in runs:
        lines.append(
            f"| [{by_name[run.name]}](chapters/{run.name}.ipynb) | {run.seconds:.0f} s "
            f"| {run.cpu_seconds:.0f} s | {run.memory_mb} MB |"
        )
    total = sum(run.seconds for run in runs)
    lines.append(f"| **All** | **{total:.0f} s** | | |")
    return "\n".join(lines) + "\n"


def flashcards_page(glossary: str) -> str:
    """A card for each word of the glossary: the word, and what it means when it is opened."""
    lines = [
        "# Flashcards",
        "",
        "A card for each word of the [glossary](glossary.md). Say aloud what the word means, then",
        "open the card. Knew it? On to the next. Did not? Come back to it tomorrow.",
        "",
    ]
    for entry in re.split(r"^## ", glossary, flags=re.MULTILINE)[1:]:
        word, meaning = entry.split("\n", 1)
        meaning = re.sub(r"\]\(#", "](glossary.md#", meaning.strip())
        lines += [f"<details><summary>{word.strip()}</summary>", "", meaning, "", "</details>", ""]
    return "\n".join(lines)


def check_toc() -> None:
    """Every page in the contents exists, every chapter is in the contents."""
    contents = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
    listed = [c["file"] for part in contents["parts"] for c in part["chapters"]]
    on_disk = {f"book/chapters/{path.stem}" for path in notebooks.chapters()}
    for name in listed:
        page = ROOT / name
        made = f"{name.removeprefix('book/')}.md" in MADE
        if not (made or page.with_suffix(".md").exists() or page.with_suffix(".ipynb").exists()):
            raise SystemExit(f"book/_toc.yml lists {name}, which does not exist.")
    missing = sorted(on_disk - set(listed))
    if missing:
        raise SystemExit(f"{missing[0]} is not listed in book/_toc.yml.")


# -- the site -----------------------------------------------------------------------------


def build_site() -> int:
    """Call jupyter-book; a warning fails the build. Prints only what is wrong."""
    command = [
        *(str(Path(sys.executable).with_name("jupyter-book")), "build", str(SOURCE)),
        *("--toc", str(SOURCE / "book" / "_toc.yml")),
        *("--path-output", str(ROOT), "-W", "--keep-going"),
    ]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=_site_env()
    )
    output = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    log = BUILD / "site.log"
    log.write_text(output)
    if done.returncode == 0 and (BUILD / "html" / "index.html").exists():
        return 0
    telling = ("WARNING", "ERROR", "CRITICAL", "Error:", "Exception")
    lines = [line for line in output.splitlines() if any(word in line for word in telling)]
    shown = list(dict.fromkeys(lines)) or output.splitlines()[-30:]
    print("\n".join(shown[:40]), file=sys.stderr)
    print(f"The site was not built; everything it said is in {log}.", file=sys.stderr)
    return 1


def _site_env() -> dict[str, str]:
    # Warnings of Sphinx about the book matter; those of Python about Sphinx do not.
    path = os.pathsep.join(filter(None, [str(ROOT / "tools"), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONWARNINGS": "ignore", "NO_COLOR": "1", "PYTHONPATH": path}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, help="chapters at a time (default: 2)")
    parser.add_argument("-p", dest="parameters", nargs=2, action="append", default=[])
    given = parser.parse_args()
    parameters = {name: yaml.safe_load(value) for name, value in given.parameters}
    started = time.perf_counter()
    check_toc()
    EXECUTED.mkdir(parents=True, exist_ok=True)
    print("Running the chapters (fast profile)", flush=True)
    runs = run_chapters(parameters, given.jobs)
    bad = notebooks.failed(runs)
    if bad:
        print(f"{len(bad)} of {len(runs)} chapters failed: {', '.join(bad)}", file=sys.stderr)
        return 1
    print("Building the site", flush=True)
    copy_source()
    copy_mathjax()
    place_chapters()
    put(SOURCE / "book" / "index.md", index_page().encode())
    put(SOURCE / "book" / "run-times.md", run_times_page(runs).encode())
    glossary = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
    put(SOURCE / "book" / "flashcards.md", flashcards_page(glossary).encode())
    status = build_site()
    if status == 0:
        page = (BUILD / "html" / "index.html").relative_to(ROOT)
        print(f"The book is in {page} ({time.perf_counter() - started:.0f} s).")
    return 1 if status else 0


if __name__ == "__main__":
    sys.exit(main())
