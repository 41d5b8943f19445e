"""Credentialed patients stay out of commits; the public demo's identifiers stand in for them."""

import gzip
import json
import os
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from ehrsynth import datasets
from ehrsynth.errors import InputError
from ehrsynth.evaluation.report import Report
from ehrsynth.pipeline import Pipeline

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import guard  # noqa: E402
import notebooks  # noqa: E402


@pytest.fixture(scope="module")
def demo(shared_data):
    """Identifiers of the MIMIC-IV demo, as numbers."""
    path = shared_data / "mimic-iv-demo-2.2" / "hosp" / "patients.csv.gz"
    return pd.read_csv(path)["subject_id"].tolist()


def notebook(*outputs, source="x = 1"):
    cell = nbformat.v4.new_code_cell(source, outputs=list(outputs))
    return nbformat.writes(nbformat.v4.new_notebook(cells=[cell])).encode()


def shown(text, kind="text/plain"):
    return nbformat.v4.new_output("display_data", data={kind: text})


def parquet(table):
    file = BytesIO()
    table.to_parquet(file)
    return file.getvalue()


def zipped(name, content):
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as files:
        files.writestr(name, content)
    return file.getvalue()


CARRIERS = {
    "p.csv": lambda i: f"subject_id,age\n{i},50\n".encode(),
    "care.csv": lambda i: f"pharmacy_id,subject_id\n1,{i}\n2,5\n".encode(),
    "p.tsv": lambda i: f"subject_id\tage\n{i}\t50\n".encode(),
    "quoted.csv": lambda i: f'"{i}";"50"\n'.encode(),
    "utf16.csv": lambda i: f"{i},50\n".encode("utf-16"),
    "float.csv": lambda i: f"{float(i)},50\n".encode(),
    "p.csv.gz": lambda i: gzip.compress(f"a,{i}\n".encode()),
    "p.json": lambda i: json.dumps({"rows": [{"subject_id": i}]}).encode(),
    "p.jsonl": lambda i: f'{{"id": "{i}"}}\n'.encode(),
    "p.html": lambda i: f"<td>{i}</td>".encode(),
    "p.md": lambda i: f"| {i} | 50 |".encode(),
    "p.zip": lambda i: zipped("inner.csv", f"{i},2\n"),
    "whole.parquet": lambda i: parquet(pd.DataFrame({"x": [1, i]})),
    "float.parquet": lambda i: parquet(pd.DataFrame({"x": [None, float(i)]})),
    "text.parquet": lambda i: parquet(pd.DataFrame({"x": ["a", str(i)]})),
    "nested.parquet": lambda i: parquet(pd.DataFrame({"x": [[1, 2], [i]]})),
    "index.parquet": lambda i: parquet(pd.DataFrame({"x": [1]}, index=pd.Index([i], name="id"))),
    "stream.ipynb": lambda i: notebook(nbformat.v4.new_output("stream", text=f"id {i}\n")),
    "table.ipynb": lambda i: notebook(shown(f"<tr><td>{i}</td></tr>", "text/html")),
    "lines.ipynb": lambda i: notebook(shown(f"a  b\n1  {i}\n")),
    "source.ipynb": lambda i: notebook(source=f"patient = {i}"),
}


@pytest.mark.parametrize("name", CARRIERS)
def test_a_file_that_carries_an_identifier_is_refused(name, demo):
    for identifier in demo[:3]:
        said = guard.complaint(name, CARRIERS[name](identifier))
        assert said.startswith(f"{name} holds 1 number like a subject_id of MIMIC-IV")
        assert str(identifier) not in said


def test_every_identifier_of_the_demo_is_found(shared_data, demo):
    path = shared_data / "mimic-iv-demo-2.2" / "hosp" / "patients.csv.gz"
    assert guard.identifiers("patients.csv.gz", path.read_bytes()) >= set(demo)
    assert "holds 100 numbers" in guard.complaint("p.csv", "\n".join(map(str, demo)).encode())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.csv", b"1001472,100147290,0.10014729,10014729.5,x10014729,2150-01-01"),
        ("p.json", b'{"sha256": "ab10014729cd", "uuid": "10014729-aaaa-bbbb-cccc-dddddddddddd"}'),
        ("p.html", b'<img src="data:image/png;base64,AAA+10014729/BBB=">'),
        ("p.csv", b"20014729,30014729"),
        ("p.csv", b"pharmacy_id,subject_id\n10014729,5\n"),
        ("code.py", b"seed = 10014729"),
        ("p.parquet", parquet(pd.DataFrame({"x": [10014729.5, 2e7], "y": ["a", "b"]}))),
        ("p.ipynb", notebook(shown("aaaa+10014729/", "image/png"))),
    ],
)
def test_other_numbers_pass(name, content):
    assert guard.complaint(name, content) == ""


def test_patients_of_the_simulated_hospital_pass_and_one_more_does_not(demo):
    known = sorted(guard.simulated(100))[:50]
    assert guard.complaint("p.csv", "\n".join(map(str, known)).encode()) == ""
    stranger = next(i for i in demo if i not in guard.simulated(4_000) | guard.simulated(100))
    content = "\n".join(map(str, [*known, stranger])).encode()
    assert "holds 1 number" in guard.complaint("p.csv", content)


@pytest.mark.parametrize(
    ("name", "content"),
    [("p.pkl", b"x"), ("p.csv.gz", b"no gzip"), ("p.parquet", b"PAR1"), ("p.ipynb", b"{"),
     ("p.zip", b"PK"), ("p.duckdb", b"")],
)  # fmt: skip
def test_what_cannot_be_looked_into_is_refused(name, content):
    assert f"{name} cannot be looked into for patients" in guard.complaint(name, content)


def test_output_made_from_credentialed_data_is_refused_without_any_identifier():
    output = nbformat.v4.new_output("stream", text="42 patients\n")
    content = notebook(output, source='tables = es.load("mimic-iv", data=folder)')
    assert "holds output made from mimic-iv" in guard.complaint("n.ipynb", content)
    assert guard.complaint("n.ipynb", notebook(source='es.load("mimic-iv")')) == ""


# -- in git ---------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path):
    """A repository of its own with this project's hook, and a function that runs git in it."""
    home = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    home |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    home["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{home['PATH']}"

    def git(*arguments):
        who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        return subprocess.run(
            ["git", *who, *arguments], cwd=tmp_path, env=home, capture_output=True, text=True,
            check=False,
        )  # fmt: skip

    assert git("init", "-q").returncode == 0
    (tmp_path / "tools" / "hooks").mkdir(parents=True)
    for name in ("guard.py", "notebooks.py", "hooks/pre-commit"):
        target = tmp_path / "tools" / name
        target.write_bytes((ROOT / "tools" / name).read_bytes())
        target.chmod(0o755)
    git("config", "core.hooksPath", "tools/hooks")
    return tmp_path, git


def test_the_hook_refuses_what_is_staged_not_what_lies_there(repository, demo):
    folder, git = repository
    stranger = next(i for i in demo if i not in guard.simulated(4_000) | guard.simulated(100))
    path = folder / "patients.csv"
    path.write_text(f"subject_id\n{stranger}\n")
    git("add", "patients.csv")
    path.write_text("subject_id\n")  # too late: the index still has the patient
    refused = git("commit", "-m", "patients")
    assert refused.returncode != 0
    assert "patients.csv holds 1 number like a subject_id" in refused.stderr
    git("add", "patients.csv")
    accepted = git("commit", "-m", "no patients")
    assert accepted.returncode == 0, accepted.stderr


def test_chapters_run_on_credentialed_data_only_into_ignored_folders(repository, monkeypatch):
    folder, _ = repository
    (folder / ".gitignore").write_text("work/\n")
    with pytest.raises(SystemExit, match="Git would take .*open.* into a commit"):
        notebooks.keep_out_of_git("mimic-iv", folder / "work", folder / "open" / "deeper")
    notebooks.keep_out_of_git("mimic-iv", folder / "work" / "deeper")
    notebooks.keep_out_of_git("mimic-iv-demo", folder / "open")
    notebooks.keep_out_of_git(None, folder / "open")


def test_the_command_that_runs_chapters_asks_first(repository, monkeypatch):
    folder, _ = repository
    monkeypatch.setattr(notebooks, "execute", lambda *_: pytest.fail("it ran"))
    for given in (["-p", "dataset", "mimic-iv"],):
        with pytest.raises(SystemExit, match="must not be published"):
            notebooks.main(["execute", "01", *given, "--out", str(folder / "open")])


def test_git_overlooks_the_folder_of_a_run_on_real_patients(repository, shared_data):
    folder, git = repository
    run = Pipeline(folder / "r", dataset="mimic-iv", data=shared_data / "mimic-iv-demo-2.2")
    assert run.train is not None
    assert (folder / "r" / "train.parquet").is_file()
    assert "r/" not in git("status", "--porcelain", "-uall").stdout
    (folder / "kept").mkdir()
    (folder / "kept" / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="mine.txt"):  # the folder is not ours alone
        Pipeline(folder / "kept", dataset="mimic-iv-demo")
    assert not (folder / "kept" / ".gitignore").exists()


# -- the report -----------------------------------------------------------------------------


def test_the_first_line_of_the_report_says_what_the_agreement_allows():
    careful = datasets.source("mimic-iv")["careful"]
    for word in ("PhysioNet", "allows", "forbids sharing patient-level records"):
        assert word in careful
    report = Report([], facts=datasets.source("mimic-iv"), rows={}, settings={})
    page = report.to_html(pictures=False)
    body = page[page.index("<body>") + len("<body>") :].strip()
    assert body.startswith('<p class="careful">Made from MIMIC-IV.')
    report.facts = datasets.source("mimic-iv-demo")
    assert 'class="careful"' not in report.to_html(pictures=False)
