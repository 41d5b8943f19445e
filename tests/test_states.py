"""What became of a run's folder since: never "Done" over what is stale, damaged or not its own.

One run is finished once; each state is a copy of it that something happened to. ``verify`` says so,
and the same command either makes what is wrong again, with the same bytes, or refuses in a sentence
and touches nothing.
"""

import json
import os
import shutil

import joblib
import numpy as np
import pandas as pd
import pytest

import ehrsynth as es
from ehrsynth import pipeline
from ehrsynth import stream as streaming
from ehrsynth.audit import audit
from ehrsynth.errors import InputError
from ehrsynth.evaluation.report import Report
from ehrsynth.files import sha256
from ehrsynth.profiles import PROFILES, Profile
from ehrsynth.release import check_beside, problems, release
from ehrsynth.schema import Schema

FILES = (
    "train.parquet", "holdout.parquet", "schema.json", "model/preprocessor.json",
    "model/rules.json", "model/form.json", "inside/rare.parquet", "model/gan.json",
    "model/gan.safetensors", "inside/synthetic.parquet", "synthetic.csv", "metrics.json",
    "report.html", "card.md",
)  # fmt: skip


def table(seed=0, n=200):
    rng = np.random.default_rng(seed)
    ill = rng.random(n) < 0.3
    codes = {f"code{i}": (rng.random(n) < 0.1 + 0.3 * ill).astype(int) for i in range(3)}
    sex = rng.choice(["F", "M"], n)
    return pd.DataFrame({"died": ill * 1, "age": rng.normal(60, 9, n).round(1), "sex": sex} | codes)


@pytest.fixture(scope="module", autouse=True)
def quick():
    """A short training; the same tables are evaluated once, and no report draws pictures."""
    known, compare, draw = {}, pipeline.compare, Report.to_html

    def once(*tables, **options):
        key = joblib.hash([tables, {n: v for n, v in options.items() if n != "schema"}])
        if key not in known:
            known[key] = compare(*tables, **options)
        return dict(known[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROFILES, "fast", Profile(300, 6_000, min_prevalence=0.01, steps=20))
        patch.setattr(pipeline, "compare", once)
        patch.setattr(pipeline.Pipeline, "_more_rows", lambda _: [])
        patch.setattr(Report, "to_html", lambda report: draw(report, pictures=False))
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run, and another whose files could be taken for its own."""
    folder = tmp_path_factory.mktemp("finished")
    table().to_csv(folder / "patients.csv", index=False)
    (folder / "columns.yaml").write_text("code0: {kind: binary}\n")
    start(folder, "run").run()
    start(folder, "seed", seed=1).run()
    return folder


def start(folder, name="run", **options):
    table = {"dataset": "table", "outcome": "died", "columns": folder / "columns.yaml"}
    return es.Pipeline(out=folder / name, data=folder / "patients.csv", **table, **options)


@pytest.fixture
def place(finished, tmp_path):
    """A copy of everything, in which the run's files lie where they were made."""
    for name in ("run", "patients.csv", "columns.yaml"):
        copy = shutil.copytree if (finished / name).is_dir() else shutil.copy2
        copy(finished / name, tmp_path / name)
    noted = (tmp_path / "run" / "run.json").read_text()
    (tmp_path / "run" / "run.json").write_text(noted.replace(str(finished), str(tmp_path)))
    return tmp_path


def bytes_of(run):
    """Every file's hash, but for what a manifest measures."""
    left = {p.relative_to(run).as_posix(): p for p in run.rglob("*") if p.is_file()}
    return {n: sha256(p) for n, p in left.items() if n not in ("run.json", ".lock")}


def content_of(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


# -- one file ----------------------------------------------------------------------------------


def truncated(path, other):
    path.write_bytes(path.read_bytes()[: max(1, path.stat().st_size // 2)])


def emptied(path, other):
    path.write_bytes(b"")


def flipped(path, other):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def lost(path, other):
    path.unlink()


def swapped(path, other):
    """By that of another run, or where the two are the same, by its model's."""
    if other.read_bytes() == path.read_bytes():
        run = next(p for p in other.parents if (p / "run.json").is_file())
        other = run / "model" / "gan.json"
    shutil.copyfile(other, path)


DAMAGE = (truncated, emptied, flipped, lost, swapped)
STATES = [(name, damage) for name in FILES for damage in DAMAGE]


def test_there_are_more_states_than_promised():
    assert len(STATES) + len(OTHER) + len(REFUSED) > 80


@pytest.mark.parametrize(("name", "damage"), STATES)
def test_a_damaged_file_is_noticed(place, finished, name, damage):
    """By verify, by whoever would release or audit it, and by the run itself."""
    damage(place / "run" / name, finished / "seed" / name)
    said = problems(place / "run")
    assert len(said) == 1 and said[0] in (f"{name} is changed", f"{name} is missing")
    job = start(place)
    stale = [stage for stage, files in job.files.stages.items() if name in files]
    assert [bool(job._stale(stage)) for stage in job.files.stages] == [
        stage in stale for stage in job.files.stages
    ]
    with pytest.raises(InputError, match=name):
        release(place / "run", place / "out", signed_by="A. Name")
    with pytest.raises(InputError, match=f"cannot be audited: .*{name}"):
        audit(place / "run")


@pytest.mark.parametrize("first", range(0, len(FILES), 4))
def test_damaged_files_are_made_again_with_the_same_bytes(place, finished, first):
    expected = bytes_of(place / "run")
    for i, name in enumerate(FILES[first : first + 4]):
        DAMAGE[(first + i) % len(DAMAGE)](place / "run" / name, finished / "seed" / name)
    start(place).run()
    assert bytes_of(place / "run") == expected and problems(place / "run") == []


# -- several, and what is no file of a stage -------------------------------------------------------


def change_notes(place, change):
    path = place / "run" / "run.json"
    noted = json.loads(path.read_text())
    change(noted)
    path.write_text(json.dumps(noted))


def swap_model(place, finished):
    """All of another model, with what the manifest of its own run says of it."""
    shutil.rmtree(place / "run" / "model")
    shutil.copytree(finished / "seed" / "model", place / "run" / "model")


def swap_stage(place, finished):
    """A stage with its line of another manifest: the files agree with that, and with no run."""
    other = json.loads((finished / "seed" / "run.json").read_text())["finished"]["generation"]
    for name in other["files"]:
        shutil.copyfile(finished / "seed" / name, place / "run" / name)
    change_notes(place, lambda noted: noted["finished"].update(generation=other))


def swap_one(place, finished):
    """One file of another run with its hash, as somebody would who hides it."""
    shutil.copyfile(finished / "seed" / "synthetic.csv", place / "run" / "synthetic.csv")

    def change(noted):
        for stage in noted["finished"].values():
            if "synthetic.csv" in stage["files"]:
                stage["files"]["synthetic.csv"] = sha256(place / "run" / "synthetic.csv")

    change_notes(place, change)


def digit(path):
    """The last digit is another."""
    content = path.read_text()
    last = max(i for i, sign in enumerate(content) if sign.isdigit())
    path.write_text(content[:last] + str((int(content[last]) + 1) % 10) + content[last + 1 :])


def same_size(place, finished):
    """A patient of the input is another; size and time of the file are as they were."""
    before = (place / "patients.csv").stat()
    digit(place / "patients.csv")
    os.utime(place / "patients.csv", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (place / "patients.csv").stat().st_size == before.st_size


OTHER = {
    "another model": swap_model,
    "the evaluation of another run": lambda place, finished: [
        shutil.copyfile(finished / "seed" / name, place / "run" / name)
        for name in ("metrics.json", "report.html", "card.md")
    ],
    "train and holdout in each other's place": lambda place, _: (
        os.replace(place / "run/train.parquet", place / "run/x"),
        os.replace(place / "run/holdout.parquet", place / "run/train.parquet"),
        os.replace(place / "run/x", place / "run/holdout.parquet"),
    ),
    "train in the place of the synthetic patients": lambda place, _: shutil.copyfile(
        place / "run/train.parquet", place / "run/inside/synthetic.parquet"
    ),
    "no model": lambda place, _: shutil.rmtree(place / "run" / "model"),
    "a fact that nobody noted": lambda place, _: change_notes(
        place, lambda noted: noted["facts"].update(patients=5)
    ),
    "a note that is gone": lambda place, _: change_notes(
        place, lambda noted: noted.pop("relations")
    ),
    "no stage finished": lambda place, _: change_notes(
        place, lambda noted: noted.update(finished={})
    ),
    "a stage that says nothing": lambda place, _: change_notes(
        place, lambda noted: noted["finished"].update(training=None)
    ),
    "a stage without files": lambda place, _: change_notes(
        place, lambda noted: noted["finished"]["generation"].pop("files")
    ),
    "files that are no hashes": lambda place, _: change_notes(
        place, lambda noted: noted["finished"]["data"].update(files=["train.parquet"])
    ),
    "another input": lambda place, _: change_notes(
        place, lambda noted: noted["inputs"].update({str(place / "patients.csv"): "0" * 64})
    ),
    "synthetic patients and their hash of another run": swap_one,
    "a digit of a metric": lambda place, _: digit(place / "run" / "metrics.json"),
    "a report without its last byte": lambda place, _: os.truncate(
        place / "run" / "report.html", (place / "run" / "report.html").stat().st_size - 1
    ),
    "no rules": lambda place, _: (place / "run" / "model" / "rules.json").unlink(),
    "a comment in the columns file": lambda place, _: (place / "columns.yaml").write_text(
        "# mine\ncode0: {kind: binary}\n"
    ),
    "older train with other content": lambda place, _: (
        flipped(place / "run" / "train.parquet", None),
        os.utime(place / "run" / "train.parquet", (0, 0)),
    ),
    "the preprocessor of another seed": lambda place, finished: shutil.copyfile(
        finished / "seed/model/preprocessor.json", place / "run/model/preprocessor.json"
    ),
    "a half-written part": lambda place, _: (
        (place / "run" / ".train.parquet.0123abcd.part").write_text("half"),
        (place / "run" / "model" / ".gan.json.0123abcd.part").write_text("half"),
    ),
    "every other file of another run": lambda place, finished: [
        shutil.copyfile(finished / "seed" / name, place / "run" / name) for name in FILES[::2]
    ],
    "metrics that say the same in other words": lambda place, _: (
        place / "run" / "metrics.json"
    ).write_text(json.dumps(json.loads((place / "run" / "metrics.json").read_text()))),
    "a manifest of before files had hashes": lambda place, _: change_notes(
        place,
        lambda noted: [
            stage.update(files=[*stage["files"]], made_of=None)
            for stage in noted["finished"].values()
        ],
    ),
    "a manifest of before stages knew what they are made of": lambda place, _: change_notes(
        place,
        lambda noted: [
            noted.pop("digest"),
            *[stage.pop("made_of") for stage in noted["finished"].values()],
        ],
    ),
    "a file that is elsewhere": lambda place, _: (
        (place / "mine").write_text("x"),
        change_notes(
            place,
            lambda noted: noted["finished"]["generation"]["files"].update(
                {"../mine": sha256(place / "mine")}
            ),
        ),
    ),
    "a clock set back, and another report of that time": lambda place, _: (
        flipped(place / "run" / "report.html", None),
        [os.utime(path, (4e9, 4e9)) for path in (place / "run").rglob("*")],
    ),
    "another input of the same size and time": same_size,
    "a hard link to the metrics of another run": lambda place, finished: (
        (place / "run" / "metrics.json").unlink(),
        os.link(
            shutil.copy(finished / "seed" / "metrics.json", place / "theirs"),
            place / "run" / "metrics.json",
        ),
    ),
    "a checkpoint of a training that is over": lambda place, _: (
        (place / "run" / "model" / "checkpoint").mkdir(),
        (place / "run" / "model" / "checkpoint" / "checkpoint.safetensors").write_text("old"),
    ),
}


LEFT_OVER = ("a half-written part", "a checkpoint of a training that is over")
MENDED = (*LEFT_OVER, "another model", "files that are no hashes", "a note that is gone",
          "a file that is elsewhere")  # fmt: skip


@pytest.mark.parametrize("state", OTHER)
def test_what_happened_to_a_run_is_noticed(place, finished, state):
    OTHER[state](place, finished)
    try:
        said = problems(place / "run", unfinished=True)
    except InputError as error:
        said = str(error)
    assert said or state in (
        "another input",
        "another input of the same size and time",
        "a comment in the columns file",
    )  # which only who has the input can know
    job = start(place)
    assert any(map(job._stale, job.files.stages)) == (state not in LEFT_OVER)


def test_a_manifest_that_was_put_into_a_run_hides_nothing(place):
    """A package's, say, which names other files: the run's own is what counts."""
    (place / "run" / "manifest.json").write_text('{"files": {}}')
    assert problems(place / "run") == ["manifest.json is not in it"]
    flipped(place / "run" / "model" / "gan.safetensors", None)
    with pytest.raises(InputError, match=r"model/gan\.safetensors"):
        check_beside(place / "run" / "model")


def test_what_is_made_again_is_not_written_through_a_hard_link(place, finished):
    state = "a hard link to the metrics of another run"
    OTHER[state](place, finished)
    theirs, expected = (place / "theirs").read_bytes(), sha256(finished / "run" / "metrics.json")
    start(place).run()
    assert sha256(place / "run" / "metrics.json") == expected
    assert (place / "theirs").read_bytes() == theirs


@pytest.mark.parametrize("state", MENDED)
def test_what_happened_to_a_run_is_mended(place, finished, state):
    expected = bytes_of(place / "run")
    OTHER[state](place, finished)
    start(place).run()
    assert bytes_of(place / "run") == expected and problems(place / "run", unfinished=True) == []


def test_a_stage_of_another_run_with_its_line_in_the_manifest(place, finished):
    """Its files are those that the manifest names; that the next stage read others shows it."""
    expected = bytes_of(place / "run")
    swap_stage(place, finished)
    assert "made of other files" in start(place)._stale("evaluation")
    assert "made of other files" in problems(place / "run")[0]
    start(place).run()
    assert bytes_of(place / "run") == expected


def test_a_changed_input_makes_another_run_of_it(place):
    expected = bytes_of(place / "run")
    (place / "columns.yaml").write_text("code0: {kind: binary, label: of the heart}\n")
    assert "columns.yaml" in start(place)._stale("data")
    table(2).to_csv(place / "patients.csv", index=False)
    start(place).run()
    made = bytes_of(place / "run")
    assert all(made[name] != expected[name] for name in ("train.parquet", "synthetic.csv"))
    assert "of the heart" in (place / "run" / "schema.json").read_text()
    assert problems(place / "run") == []


# -- refused, and nothing touched ------------------------------------------------------------------


def link(place, name):
    """A file of the run that lies elsewhere, where somebody keeps his own."""
    os.replace(place / "run" / name, place / "theirs")
    (place / "run" / name).symlink_to(place / "theirs")


REFUSED = {
    "another seed": lambda run, _: change_notes(
        run.parent, lambda noted: noted["settings"].update(seed=7)
    ),
    "another version": lambda run, _: change_notes(
        run.parent, lambda noted: noted.update(version="0.0.1")
    ),
    "a newer version": lambda run, _: change_notes(
        run.parent, lambda noted: noted.update(version="99.0")
    ),
    "another outcome": lambda run, _: change_notes(
        run.parent, lambda noted: noted["settings"].update(outcome="code0")
    ),
    "no settings": lambda run, _: change_notes(run.parent, lambda noted: noted.pop("settings")),
    "a manifest of something else": lambda run, _: (run / "run.json").write_text('{"a": 1}'),
    "a list as a manifest": lambda run, _: (run / "run.json").write_text("[]"),
    "inputs that are a list": lambda run, _: change_notes(
        run.parent, lambda noted: noted.update(inputs=["a"])
    ),
    "a note that is no number": lambda run, _: change_notes(
        run.parent, lambda noted: noted["facts"].update(rows=float("nan"))
    ),
    "half a manifest": lambda run, _: truncated(run / "run.json", None),
    "an empty manifest": lambda run, _: emptied(run / "run.json", None),
    "the manifest of another run": lambda run, finished: shutil.copyfile(
        finished / "seed" / "run.json", run / "run.json"
    ),
    "no manifest": lambda run, _: (run / "run.json").unlink(),
    "a folder as a manifest": lambda run, _: (
        (run / "run.json").unlink(), (run / "run.json").mkdir()
    ),
    "a link to the same file": lambda run, _: link(run.parent, "train.parquet"),
    "a link to the same report": lambda run, _: link(run.parent, "report.html"),
    "a link to the same folder": lambda run, _: link(run.parent, "model"),
    "a link as a lock": lambda run, _: (
        (run / ".lock").unlink(missing_ok=True), (run / ".lock").symlink_to(run.parent / "mine")
    ),
    "a folder as a lock": lambda run, _: (
        (run / ".lock").unlink(missing_ok=True), (run / ".lock").mkdir()
    ),
    "a person's own files": lambda run, _: (
        shutil.rmtree(run), run.mkdir(), (run / "train.parquet").write_text("mine")
    ),
    "a person's own file": lambda run, _: (shutil.rmtree(run), run.write_text("mine")),
}  # fmt: skip


@pytest.mark.parametrize("state", REFUSED)
def test_what_is_not_this_run_is_refused_and_not_touched(place, finished, state):
    (place / "mine").write_text("of the person")
    REFUSED[state](place / "run", finished)
    before = content_of(place)
    with pytest.raises(InputError) as refused:
        start(place).run()
    assert "\n" not in str(refused.value) and str(place) in str(refused.value)
    assert content_of(place) == before


def in_place_of(path, make):
    path.unlink()
    make(path)


# What somebody puts into the folder of a run, by the name that is told.
FOREIGN = {
    "notes.txt": lambda path: path.write_text("mine"),
    "synthetic.parquet": lambda path: path.write_text("of another format"),
    ".mine": lambda path: path.write_text("hidden"),
    ".gitignore": lambda path: path.write_text("!train.parquet"),
    "manifest.json": lambda path: path.write_text('{"files": {}}'),
    "model/form.yaml": lambda path: path.write_text("mine"),
    "model/noisy_sums.json": lambda path: path.write_text("of a run with a guarantee"),
    "model/checkpoint/mine.safetensors": lambda path: path.write_text("mine"),
    "inside/patients.csv": lambda path: path.write_text("mine"),
    "inside/synthetic.parquet.parts/mine.csv": lambda path: path.write_text("mine"),
    "runs/1/gan.json": lambda path: path.write_text("of several runs"),
    "report/index.html": lambda path: path.write_text("mine"),
    "model/checkpoint.safetensors": lambda path: path.write_text("in another place"),
    ".notes.txt.0123abcd.part": lambda path: path.write_text("half of what is mine"),
    "an empty folder": lambda path: path.mkdir(),
    "elsewhere": lambda path: path.symlink_to(path.parents[1] / "patients.csv"),
    "nowhere": lambda path: path.symlink_to("gone"),
    "model/up": lambda path: path.symlink_to(path.parents[1]),
    "a pipe": os.mkfifo,
    "report.html": lambda path: in_place_of(path, os.mkdir),
    "model/gan.json": lambda path: in_place_of(path, os.mkfifo),
    "card.md": lambda path: in_place_of(path, lambda p: p.symlink_to("report.html")),
    "card.md/mine": lambda path: in_place_of(path.parent, lambda p: (p.mkdir(), path.mkdir())),
}


@pytest.mark.parametrize("is_finished", [True, False])
@pytest.mark.parametrize("name", FOREIGN)
def test_what_the_manifest_does_not_know_is_told_and_not_touched(place, name, is_finished):
    path = place / "run" / name
    if path.parent.parent != place / "run" or not path.parent.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
    FOREIGN[name](path)
    assert any(said.startswith(name) for said in problems(place / "run"))
    if not is_finished:
        change_notes(place, lambda noted: noted["finished"].pop("evaluation"))
    before, there = content_of(place), sorted(place.rglob("*"))
    with pytest.raises(InputError, match=f"not of this run .*{name}.* nothing in it was touched"):
        start(place).run()
    assert content_of(place) == before and sorted(place.rglob("*")) == there


@pytest.mark.parametrize("name", ["form.yaml", "noisy_sums.json", "checkpoint/mine"])
def test_a_model_with_a_file_of_others_is_not_used(place, name):
    check_beside(place / "run" / "model")
    (place / "run" / "model" / name).parent.mkdir(exist_ok=True)
    (place / "run" / "model" / name).write_text("{}")
    with pytest.raises(InputError, match=f"model/{name} in .* is not what its manifest says"):
        check_beside(place / "run" / "model")


# -- who reads a file without its run --------------------------------------------------------------

READERS = {
    "metrics.json": Report.load, "schema.json": Schema.load,
    "model/gan.json": lambda path: es.EMRWGAN.load(path.parent),
    "model/gan.safetensors": lambda path: es.EMRWGAN.load(path.parent),
    "model/preprocessor.json": lambda path: es.Preprocessor.load(path.parent),
}  # fmt: skip


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("damage", [truncated, emptied, lost, "{}", "[]", "null", '{"a": 1}'])
def test_what_is_read_alone_is_refused_in_a_sentence(place, name, damage):
    path = place / "run" / name
    READERS[name](path)
    damage(path, None) if callable(damage) else path.write_text(damage)
    with pytest.raises(InputError) as refused:
        READERS[name](path)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 500


# -- parts of what is generated --------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["", ".csv", ".parquet"])
@pytest.mark.parametrize("damage", [truncated, emptied, flipped, lost, swapped])
def test_a_damaged_part_is_not_joined(place, monkeypatch, ending, damage):
    monkeypatch.setattr(streaming, "CHUNK", 40)
    gan, prep = (kind.load(place / "run" / "model") for kind in (es.EMRWGAN, es.Preprocessor))
    es.generate(gan, prep, 120, place / f"whole{ending}")
    stop = streaming._note

    def stopped(folder, job, finished, *more):
        stop(folder, job, finished, *more)
        if len(finished) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(streaming, "_note", stopped)
        es.generate(gan, prep, 120, place / f"again{ending}")
    first, second = sorted((place / (f"again{ending}.parts" if ending else "again")).glob("part-*"))
    damage(first, second)
    es.generate(gan, prep, 120, place / f"again{ending}")
    if ending:
        assert sha256(place / f"again{ending}") == sha256(place / f"whole{ending}")
    else:
        whole, again = (bytes_of(place / name) for name in ("whole", "again"))
        assert whole == again and len(whole) == 3 + 1
