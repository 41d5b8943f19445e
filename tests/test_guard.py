"""Credentialed patients stay out of commits; the public demo's identifiers stand in for them."""

import base64
import bz2
import gzip
import json
import os
import pickle
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
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
    # A random name could be eight digits.
    cell = nbformat.v4.new_code_cell(source, outputs=list(outputs), id="a-cell")
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
    # any ending, any place
    "p.py": lambda i: f"seed = {i}\n".encode(),
    "p.yml": lambda i: f"patients: [{i}]\n".encode(),
    "p.svg": lambda i: f"<svg><text>{i}</text></svg>".encode(),
    "p.dat": lambda i: f"{i} 50\n".encode(),
    "p": lambda i: f"{i}\n".encode(),
    "p.log": lambda i: f"subject {i}: left out".encode(),
    "p.sql": lambda i: f"select * from patients where subject_id = {i};".encode(),
    "p.R": lambda i: f"ids <- c({i})".encode(),
    "hidden.csv.bak": lambda i: f"{i},50\n".encode(),
    "gz-without-its-ending": lambda i: gzip.compress(f"a,{i}\n".encode()),
    "zip.md": lambda i: zipped("inner.csv", f"{i},2\n"),
    "parquet.txt": lambda i: parquet(pd.DataFrame({"x": [1, i]})),
    "p.xlsx": lambda i: zipped("xl/sharedStrings.xml", f"<t>{i}</t>"),
    "p.zip.gz": lambda i: gzip.compress(zipped("inner.csv", f"{i},2\n")),
    # other ways to write it
    "entity.html": lambda i: "".join(f"&#{ord(c)};" for c in str(i)).encode(),
    "grouped.md": lambda i: f"patient {i:,} died".encode(),
    "dots.md": lambda i: f"Patient {i:,} starb".replace(",", ".").encode(),
    "unseen.md": lambda i: f"of {str(i)[:3]}\u200b{str(i)[3:6]}\xad{str(i)[6:]}".encode(),
    "power.csv": lambda i: f"{i:.7e},50\n".encode(),
    "path.md": lambda i: f"files/p{str(i)[:2]}/p{i}/s1.dat".encode(),
    "encoded.json": lambda i: json.dumps({"a": encoded(f"subject_id\n{i}\n{i}\n")}).encode(),
    "packed.html": lambda i: encoded(gzip.compress(f"subject_id,age\n{i},9".encode())).encode(),
    "uri.svg": lambda i: b'<a href="data:text/csv;base64,%s"/>'
    % encoded(f"id,age\n{i},50\n" * 3).encode(),
    "percent.md": lambda i: "".join(f"%{ord(c):x}" for c in f"{i}").encode(),
    "escaped.json": lambda i: "".join(f"\\u{ord(c):04x}" for c in str(i)).join('""').encode(),
    "wide.md": lambda i: str(i).translate({48 + d: 0xFF10 + d for d in range(10)}).encode(),
    "arabic.md": lambda i: str(i).translate({48 + d: 0x660 + d for d in range(10)}).encode(),
    "hexadecimal.py": lambda i: f"who = {i:#x}".encode(),
    "underscores.py": lambda i: f"who = {i:_}".encode(),
    "joined.md": lambda i: f"of subject{i} and".encode(),
    "zeros.md": lambda i: f"of 0000{i} and".encode(),
    "remark.csv": lambda i: f"subject_id,note\n5,mother of {i}\n".encode(),
    "metadata.parquet": lambda i: with_metadata(str(i)),
    "member.md": lambda i: zipped(f"p{i}.csv", "x"),
    # notebooks
    "image.ipynb": lambda i: notebook(shown(encoded(f"PNG tEXt{'x' * 40} {i} \n"), "image/png")),
    "svg.ipynb": lambda i: notebook(shown(f"<svg><text>{i}</text></svg>", "image/svg+xml")),
    "json.ipynb": lambda i: notebook(shown({"rows": [{"subject_id": i}]}, "application/json")),
    "plotly.ipynb": lambda i: notebook(shown(
        {"x": {"dtype": "i4", "bdata": encoded(np.array([i, 5] * 9, "i4").tobytes())}},
        "application/vnd.plotly.v1+json",
    )),
    "attached.ipynb": lambda i: attached(encoded(f"subject_id\n{i}\n" * 5)),
    "widget.ipynb": lambda i: widget({"value": i}),
    "meta.ipynb": lambda i: widget(f"about {i}"),
    "error.ipynb": lambda i: notebook(
        nbformat.v4.new_output("error", ename="Key", evalue=str(i), traceback=[f"Key: {i}"])
    ),
    "html.ipynb": lambda i: notebook(shown(["<td>", f"{i}", "</td>"], "text/html")),
}  # fmt: skip
PRODUCTS = {
    "run.json": lambda: json.dumps({"version": "1", "settings": {}, "facts": {}, "finished": {}}),
    "renamed.txt": lambda: json.dumps({"settings": {}, "facts": {}, "finished": {}}),
    "schema.json": lambda: json.dumps({"columns": [{"name": "a", "kind": "b", "role": "c"}]}),
    "gan.json": lambda: json.dumps({"recipe": "modern", "layout": [], "condition": None}),
    "preprocessor.json": lambda: json.dumps({"options": {}, "schema": {}, "bins": {}}),
    "form.json": lambda: json.dumps({"file": ".csv", "csv": {}, "arrow": "", "columns": []}),
    "metrics.json": lambda: json.dumps({"verdicts": {}, "metrics": []}),
    "manifest.json": lambda: json.dumps({"privacy": "good", "signed": {}, "files": {}}),
    "book/card.md": lambda: "# Data-set card\n\nSynthetic patients\n",
    "book/report.html": lambda: "<html><title>Report on synthetic patients</title>",
    "gan.safetensors": lambda: "x", "book/synthetic.parquet": lambda: "x", "p.pkl": lambda: "x",
    "book/p.duckdb": lambda: "", "model/gan.pt": lambda: "x", "p.json": lambda: "{}",
    "p.csv": lambda: "a,b\n", "data/p.csv": lambda: "a,b\n", "p.csv.gz": lambda: "",
    "book/picture.jpg": lambda: "x", "book/p.feather": lambda: "x", "p.unknown": lambda: "x",
}  # fmt: skip


def encoded(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode("latin-1")).decode()


def with_metadata(said):
    file = BytesIO()
    table = pa.table({"x": [1]}).replace_schema_metadata({"patients": said})
    pq.write_table(table, file)
    return file.getvalue()


def attached(text):
    cell = nbformat.v4.new_markdown_cell("![](a.csv)", attachments={"a.csv": {"text/csv": text}})
    return nbformat.writes(nbformat.v4.new_notebook(cells=[cell])).encode()


def widget(state):
    made = nbformat.v4.new_notebook(metadata={"widgets": {"application/x": {"state": state}}})
    return nbformat.writes(made).encode()


def where(name):
    """Where a file of this kind may be, so that only what it holds is against it."""
    places = {".ipynb": "book/", ".svg": "book/_static/", ".html": "book/_static/"}
    return places.get(Path(name).suffix, "") + name


def test_a_note_of_a_hospital_is_refused_without_a_number():
    note = "Name: ___ Unit No" + ": ___\nChief Complaint" + ": worsening pain\n"
    assert "a note about a patient" in guard.complaint("book/x.md", note.encode())
    assert not guard.complaint("book/x.md", b"The admission date is known.\n")


@pytest.mark.parametrize(
    ("folder", "refused"),
    [("mimic-iv-3.1", True), ("files/mimiciv/2.2", True), ("mimic-iv-note/2.2", True),
     ("mimic-iv-demo-2.2", False)],
)  # fmt: skip
def test_output_of_a_notebook_that_reads_a_folder_of_credentialed_data(folder, refused):
    cell = nbformat.v4.new_code_cell(f'pd.read_csv("/data/{folder}/hosp/patients.csv.gz")')
    cell.outputs = [nbformat.v4.new_output("stream", text="F 52")]
    book = nbformat.v4.new_notebook(cells=[cell])
    said = guard.complaint("book/x.ipynb", nbformat.writes(book).encode())
    assert ("must not be published" in said) == refused


@pytest.mark.parametrize("name", CARRIERS)
def test_a_file_that_carries_an_identifier_is_refused(name, demo):
    for identifier in demo[:3]:
        said = guard.complaint(where(name), CARRIERS[name](identifier))
        assert said.startswith(where(name))
        assert str(identifier) not in said
        if name.endswith((".md", ".py", ".yml", ".ipynb", ".svg", ".html")):
            assert "belongs here" not in said


def test_every_identifier_of_the_demo_is_found(demo):
    said = guard.complaint("p.md", "\n".join(map(str, demo)).encode())
    assert "holds 100 numbers like a subject_id of MIMIC-IV" in said


@pytest.mark.parametrize("kind", [2, 3])
def test_admissions_and_stays_are_found_too(demo, kind):
    other = kind * 10**7 + demo[0] % 10**7
    for name in ("p.csv", "p.json", "table.ipynb", "p.py"):
        assert "holds 1 number like" in guard.complaint(name, CARRIERS[name](other))


@pytest.mark.parametrize("name", PRODUCTS)
def test_what_a_run_leaves_and_what_nobody_needs_is_refused(name):
    said = guard.complaint(name, PRODUCTS[name]().encode())
    assert (
        said.startswith(name)
        and "that ehrsynth has made" in said
        or "belongs here" in said
        or "columns are not noted" in said
        or "cannot be looked into" in said
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("book/p.md", "color 0xffffff, %3 of 1_000_000, 7 x 24, 10.1038/s41597-022-01899-x"),
        ("book/p.md", "on 20240131 and of 10,000,000 or 16,777,216 patients, 2012-2020, 1.25e7"),
        ("book/p.md", "| 1001 | 4730 |\n| 2150-01-01 | 10:14:29 |\nE11.9, I50.21 and 0SR90J9"),
        ("book/p.md", "at 0.3333333333333333 of 1.7976931348623157e308, commit 1018b47"),
        ("book/p.md", "1234 rows, 5678 columns; 2,638 x 870; $n = 10^7$; a_long_name"),
        ("book/p.md", "`[1438 2051]`, (1000, 1000), [0, 1, 0, 1, 0, 0, 1, 1], 12 345 patients"),
        ("book/p.md", "1131 of 2640 patients, 1131/2640, pp. 1102-1111, 300 x 16198"),
        ("tests/test_a.py", 'x = re.compile(r"(?<![A-Za-z0-9.+/])(?:[ps]|(?i:id)_?)0*")'),
        ("tests/test_a.py", "x1_y2_z3_w4 = T__row1_col1 = icd9_icd10_v2_to_v3"),
        ("tests/test_a.py", "raise ModuleNotFoundError(f'{PYTHONDONTWRITEBYTECODE=}')"),
        ("pyproject.toml", "x = 1"), (".gitignore", "*.csv"), ("tools/hooks/pre-commit", "#!"),
    ],
)  # fmt: skip
def test_other_numbers_and_words_pass(name, content):
    assert guard.complaint(name, content.encode()) == ""


def test_nothing_of_the_open_data_sets_looks_like_a_product(shared_data):
    """A page on the demo, on Diabetes-130 or on a simulated hospital may be committed."""
    for name in ("simulated", "mimic-iv-demo", "diabetes130"):
        facts = json.dumps(datasets.source(name))
        assert guard.complaint("book/page.md", facts.encode()) == ""
        assert guard.complaint("book/page.ipynb", notebook(shown(facts))) == ""


def test_the_numbers_that_chapters_show_are_of_simulated_hospitals():
    known = {int(line) for line in guard.SHOWN.read_text().split()[1:]}
    assert known <= guard.simulated(100) | guard.simulated(200) | guard.simulated(4_000)


def test_the_lists_name_what_is_there_and_say_why(demo):
    assert not guard.known() & set(demo) - guard.simulated(4_000)
    tracked = {name for name, _ in guard.tracked()}
    assert set(guard.listed("files")) <= tracked
    tables = {name for name in tracked if name.endswith(".csv")} - set(guard.listed("files"))
    assert set(guard.listed("tables")) == tables
    for what in ("files", "numbers"):
        assert all(said[-1] for said in guard.listed(what).values())


def test_patients_of_the_simulated_hospital_pass_and_one_more_does_not(demo):
    known = sorted(guard.simulated(100))[:50]
    assert guard.complaint("book/p.md", "\n".join(map(str, known)).encode()) == ""
    stranger = next(i for i in demo if i not in guard.simulated(4_000) | guard.simulated(100))
    content = "\n".join(map(str, [*known, stranger])).encode()
    assert "holds 1 number" in guard.complaint("p.csv", content)


@pytest.mark.parametrize(
    ("name", "content"),
    [("p.csv.gz", b"\x1f\x8b no gzip"), ("p.parquet", b"PAR1\xff"), ("p.ipynb", b"{"),
     ("p.zip", b"PK\3\4\xff"), ("p.txt", pickle.dumps([1])), ("p.md", b"\x93NUMPY\x01\0"),
     ("p.py", bz2.compress(b"1, 2")), ("p.md", "1, 2".encode("utf-16")), ("p.csv", b"a,b\n1\n"),
     ("p.ipynb", b"[" * 100_000), ("bomb.md", gzip.compress(bytes(2**24))), ("p.png", b"\x89PNG"),
     ("book/p.json", b'{"a": 1, "a": 2}')],
)  # fmt: skip
def test_what_cannot_be_looked_into_is_refused(name, content):
    assert f"{name} cannot be looked into for patients" in guard.complaint(name, content)


def test_output_made_from_credentialed_data_is_refused_without_any_identifier():
    output = nbformat.v4.new_output("stream", text="42 patients\n")
    content = notebook(output, source='tables = es.load("mimic-iv", data=folder)')
    assert "holds output made from mimic-iv" in guard.complaint("n.ipynb", content)
    assert guard.complaint("book/n.ipynb", notebook(source='es.load("mimic-iv")')) == ""


# -- in git ---------------------------------------------------------------------------------


TOOLS = ("guard.py", "guard_shapes.py", "guard_text.py", "notebooks.py", "hooks/pre-commit",
         "hooks/commit-msg", "committed/numbers.csv", "committed/tables.csv")  # fmt: skip


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
    (tmp_path / "tools" / "committed").mkdir()
    for name in TOOLS:
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
    git("mv", "patients.csv", "patients.md")
    accepted = git("commit", "-m", "no patients")
    assert accepted.returncode == 0, accepted.stderr


def test_the_hook_refuses_ten_carriers_at_once(repository, demo):
    folder, git = repository
    names = ["p.tsv", "p.zip", "p.json", "grouped.md", "wide.md", "hexadecimal.py", "p.svg",
             "attached.ipynb", "image.ipynb", "packed.html"]  # fmt: skip
    for name in names:
        (folder / name).write_bytes(CARRIERS[name](demo[0]))
    git("add", *names)
    refused = git("commit", "-m", "ten")
    assert refused.returncode != 0
    assert [line.split()[0] for line in refused.stderr.splitlines()] == sorted(names)
    assert str(demo[0]) not in refused.stderr


def test_the_hook_of_messages_refuses_a_patient(repository, demo):
    folder, git = repository
    (folder / "a.md").write_text("x")
    git("add", "a.md")
    refused = git("commit", "-m", f"without patient {demo[0]}")
    assert refused.returncode != 0
    assert "The commit's message holds 1 number like a subject_id" in refused.stderr
    assert git("commit", "-m", f"Revert {'ab' * 20}, commit 1018b47").returncode == 0


def test_a_link_is_what_it_leads_to(repository, demo):
    folder, git = repository
    (folder / "a.md").write_text("x")
    git("add", "a.md")
    assert git("commit", "-m", "a text").returncode == 0
    (folder / "a.md").unlink()
    (folder / "a.md").symlink_to(f"patients/{demo[0]}")
    git("add", "a.md")
    refused = git("commit", "-m", "a link")
    assert "a.md holds 1 number like a subject_id" in refused.stderr


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
    (folder / "r" / ".gitignore").unlink()  # lost on the way to another machine
    Pipeline(folder / "r", dataset="mimic-iv", data=shared_data / "mimic-iv-demo-2.2")
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
