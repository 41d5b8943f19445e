"""The house is in order: one place for each fact, nothing committed that must not be."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import guard  # noqa: E402
import notebooks  # noqa: E402

CHAPTER_NAMES = [
    "01-why-synthetic-data",
    "02-gan-architecture",
    "03-data-types",
    "04-preprocessing",
    "05-training",
    "06-generation",
    "07-fidelity",
    "08-utility",
    "09-privacy",
    "10-attacks",
    "11-choosing-and-releasing",
    "12-open-issues",
]


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("this is not a git clone")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def text_files() -> list[tuple[Path, str]]:
    found = []
    for path in tracked():
        try:
            found.append((path, path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return found


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def requirements(project) -> dict[str, str]:
    """Every package that `make` installs, with its bounds."""
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *extras["gan"], *extras["book"], *extras["test"]]
    split = (re.fullmatch(r"([\w.-]+)(.*)", line) for line in lines)
    return {notebooks_name(hit[1]): hit[2] for hit in split}


def notebooks_name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# -- dependencies -------------------------------------------------------------------------


def test_environment_yml_and_pyproject_are_in_step(project, requirements):
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    lines = []
    for entry in environment["dependencies"]:
        lines += entry["pip"] if isinstance(entry, dict) else [entry]
    conda_names = {"pytorch": "torch", "python-duckdb": "duckdb"}
    split = [re.fullmatch(r"([\w.-]+)(.*)", line) for line in lines if line != "-e ."]
    found = {conda_names.get(hit[1], notebooks_name(hit[1])): hit[2] for hit in split}
    assert found.pop("python") == project["requires-python"]
    found.pop("pip")
    assert found == requirements


def test_constraints_pin_every_requirement(requirements):
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {notebooks_name(hit[1]) for line in lines if (hit := re.match(r"([\w.-]+)==", line))}
    assert set(requirements) <= pins
    assert 'torch==2.13.0; sys_platform == "linux"' in lines
    assert not [line for line in lines if "@" in line or line.startswith("-e")]


def test_readers_do_not_install_the_books_tools(project):
    core = {notebooks_name(re.match(r"[\w.-]+", line)[0]) for line in project["dependencies"]}
    assert not core & {"jupyter-book", "papermill", "nbval", "pytest", "playwright", "ipykernel"}
    assert not core & {"torch", "safetensors"}  # only who trains or samples needs them


def test_package_imports_only_what_it_declares(project):
    imports = set()
    for path in (ROOT / "ehrsynth").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imports |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imports.add(node.module.split(".")[0])
    distributions = {
        "sklearn": "scikit-learn", "yaml": "pyyaml", "ibis": "ibis-framework", "PIL": "pillow",
    }  # fmt: skip
    used = {distributions.get(name, name) for name in imports - sys.stdlib_module_names}
    lines = [*project["dependencies"], *project["optional-dependencies"]["gan"]]
    declared = {notebooks_name(re.match(r"[\w.-]+", line)[0]) for line in lines}
    # IPython is there wherever a notebook runs, and only book.py and slider.py ask for it;
    # an extra brings pyspark.
    assert {name for name in used if notebooks_name(name) not in declared} <= {
        "ehrsynth",
        "IPython",
        "pyspark",
    }


# -- the repository's address ---------------------------------------------------------------


def test_address_is_the_one_in_config():
    repository = notebooks.Repository.read()
    assert repository.slug.endswith("/ehrsynth")
    for path, text in text_files():
        if path.name in ("_config.yml", "test_tools.py"):  # the source; made-up examples
            continue
        for slug in re.findall(r"github(?:\.com)?/([\w.-]+/ehrsynth)\b", text):
            assert slug == repository.slug, f"{path.relative_to(ROOT)} names {slug}"


def test_version_is_the_same_everywhere(project):
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    index = (ROOT / "book" / "index.md").read_text(encoding="utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert citation["version"] == project["version"]
    assert f"version {project['version']}," in index
    assert re.search(r"^## (\S+?),", changelog, re.MULTILINE)[1] == project["version"]


def test_picture_of_the_readme_is_the_chapters():
    assert notebooks.README_PICTURE.read_bytes() == notebooks.readme_picture()
    link = notebooks.README_PICTURE.relative_to(ROOT).as_posix()
    assert link in (ROOT / "README.md").read_text(encoding="utf-8")


def test_links_of_the_readme_lead_somewhere():
    for name in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        for link in re.findall(r"\]\((?!https?:|#|\.\./|\d\d-)([^)#\s]+)\)", text):
            assert (ROOT / link).exists(), f"{name} links to {link}"


# -- what must not be committed -------------------------------------------------------------


def test_no_registry_and_no_machine_is_named():
    # In pieces, so that this file does not name them either.
    hosts = re.compile("|".join([r"pyp" + r"i\.org", "python" + "hosted", "index" + "-url"]))
    machine = re.compile(r"(?:^|[^A-Za-z0-9_.])/(?:work|farm|root)/")
    for path, text in text_files():
        where = path.relative_to(ROOT)
        assert not hosts.search(text), f"{where} names a package registry"
        assert not machine.search(text), f"{where} names a path of one machine"


def test_no_tracked_file_is_large_or_credentialed():
    for path in tracked():
        where = path.relative_to(ROOT).as_posix()
        assert path.stat().st_size < 2 * 2**20, f"{where} is larger than 2 MiB"
        if not where.startswith("data/sample/"):  # a simulated hospital
            assert not re.search(r"(^|/)(hosp|icu)/", where), f"{where} looks like MIMIC-IV"


def test_no_tracked_file_holds_credentialed_patients():
    files = ((path.relative_to(ROOT).as_posix(), path.read_bytes()) for path in tracked())
    assert guard.complaints(files) == []


def test_what_chapters_and_runs_leave_is_ignored():
    for name in ("work/x.parquet", "book/chapters/work/x", "_build/html/x", "mimic-iv-2.2/hosp/x"):
        ignored = subprocess.run(["git", "check-ignore", "-q", name], cwd=ROOT, check=False)
        if ignored.returncode == 128:
            pytest.skip("this is not a git clone")
        assert ignored.returncode == 0, f"{name} would be committed"


# -- the chapters as committed --------------------------------------------------------------


def test_every_chapter_is_there_and_in_the_contents():
    contents = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
    listed = [entry["file"] for entry in contents["parts"][0]["chapters"]]
    assert listed == [f"book/chapters/{name}" for name in CHAPTER_NAMES]
    assert [path.stem for path in notebooks.chapters()] == CHAPTER_NAMES


@pytest.mark.parametrize("name", CHAPTER_NAMES)
def test_chapter_is_fit_to_commit(name):
    path = notebooks.CHAPTERS / f"{name}.ipynb"
    assert notebooks.problems(path, notebooks.Repository.read()) == []


@pytest.mark.parametrize("name", CHAPTER_NAMES)
def test_chapter_follows_the_template(name):
    notebook = notebooks.read(notebooks.CHAPTERS / f"{name}.ipynb")
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    counts = {}
    for tag in (tag for cell in notebook.cells for tag in notebooks.tags(cell)):
        counts[tag] = counts.get(tag, 0) + 1
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    pictures = sum("image/png" in o.get("data", {}) for cell in code for o in cell.outputs)
    assert notebook.cells[0].source.startswith("# ")
    for heading in ("## Questions", "## Take-aways", "## References"):
        assert heading in prose, f"no {heading!r}"
    assert counts.get("parameters") == 1
    assert counts.get("exercise", 0) >= 2
    assert counts.get("solution", 0) >= 2
    assert counts.get(notebooks.CHECK_TAG, 0) >= 1
    assert pictures >= 2
    directives = re.findall(
        r"^(?::::|```\{).*|\{(?:cite|term|ref|doc|math)\}`", prose, re.MULTILINE
    )
    assert not directives, "Colab would show these as they stand"


@pytest.mark.parametrize("name", CHAPTER_NAMES)
def test_stubs_fail_and_solutions_pass(name):
    notebook = notebooks.read(notebooks.CHAPTERS / f"{name}.ipynb")
    for cell in notebook.cells:
        shown = "".join(notebooks.text_of(output) for output in cell.get("outputs", []))
        if "exercise" in notebooks.tags(cell):
            left = ": still open." in shown or ": not yet." in shown
            assert left and ": correct." not in shown, f"the stub {cell.id} passes its own check"
        if "solution" in notebooks.tags(cell):
            assert ": correct." in shown and "not yet" not in shown, f"{cell.id}: {shown}"
            assert cell.source.startswith("# @title Solution")
            assert "hide-cell" in notebooks.tags(cell)


def test_what_a_page_takes_in_lies_in_the_books_folder():
    """The site is built from a copy of ``book/`` alone."""
    book = ROOT / "book"
    taken = [
        (page.name, page.parent / name)
        for page in book.rglob("*.md")
        for name in re.findall(r"^:file: (\S+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert len(taken) >= 12
    for page, path in taken:
        assert path.is_file() and path.resolve().is_relative_to(book), f"{page} takes in {path}"


def test_every_cited_doi_is_in_the_bibliography():
    bibliography = (ROOT / "book" / "references.bib").read_text(encoding="utf-8").lower()
    known = set(re.findall(r"doi = \{([^}]+)\}", bibliography))
    for path in notebooks.chapters():
        for cell in notebooks.read(path).cells:
            if cell.cell_type == "markdown":
                for doi in re.findall(r"https://doi\.org/([^\s)>\]]+)", cell.source.lower()):
                    assert doi in known, f"{path.name} cites {doi}"


def test_the_bibliography_has_every_work_once():
    bibliography = (ROOT / "book" / "references.bib").read_text(encoding="utf-8").lower()
    for pattern in (r"^@\w+\{([^,]+),", r"doi = \{([^}]+)\}"):
        found = re.findall(pattern, bibliography, flags=re.MULTILINE)
        assert len(found) > 20
        assert [name for name in set(found) if found.count(name) > 1] == []
