"""The whole job: its files, resuming after a kill, and errors that name the thing."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ehrsynth as es
from ehrsynth import pipeline, profiles, rules, run_folder
from ehrsynth import stream as streaming
from ehrsynth.gan import recipe as recipes
from ehrsynth.profiles import PROFILES, Profile

REPOSITORY = Path(__file__).resolve().parents[1]
# A CSV went in: one comes out, and what is evaluated lies inside.
FILES = [
    *(name for names in run_folder.STAGES.values() for name in names),
    "synthetic.csv", "model/form.json",
]  # fmt: skip
FILES[FILES.index("synthetic.parquet")] = "inside/synthetic.parquet"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A flat table with structure that a short training can learn."""
    rng = np.random.default_rng(0)
    n = 900
    ill = rng.random(n) < 0.3
    table = pd.DataFrame(
        {
            "died": rng.random(n) < np.where(ill, 0.4, 0.05),
            "sex": rng.choice(["F", "M"], n),
            "age": np.clip(rng.normal(np.where(ill, 70, 50), 10), 18, 91).round(),
            "sodium": np.where(rng.random(n) < 0.2, np.nan, rng.normal(140, 3, n).round(1)),
            "sepsis": (rng.random(n) < np.where(ill, 0.5, 0.02)).astype(int),
            "asthma": (rng.random(n) < 0.1).astype(int),
        }
    )
    path = tmp_path_factory.mktemp("table") / "patients.csv"
    table.to_csv(path, index=False)
    return path


@pytest.fixture(autouse=True)
def short_training(monkeypatch):
    monkeypatch.setitem(PROFILES, "fast", Profile(500, 6_000, min_prevalence=0.01, steps=40))


def run(out, small, **options):
    options = {"dataset": "table", "data": small, "outcome": "died"} | options
    return es.Pipeline(out=out, **options)


def test_leaves_the_promised_files_and_nothing_half_written(tmp_path, small):
    job = run(tmp_path / "a", small).run()
    for name in FILES:
        assert (job.out / name).is_file(), name
    assert not list(job.out.rglob("*.part"))
    assert list(job.synthetic.columns) == list(job.train.columns) == list(job.holdout.columns)
    assert len(job.synthetic) == len(job.train)
    metrics = json.loads((job.out / "metrics.json").read_text())["metrics"]
    assert {"fidelity", "utility", "privacy"} <= {m["family"] for m in metrics}


def test_same_seed_same_patients_other_seed_others(tmp_path, small):
    first = run(tmp_path / "a", small).synthetic
    again = run(tmp_path / "b", small).synthetic
    other = run(tmp_path / "c", small, seed=1).synthetic
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)


def test_strict_learns_less_and_says_so(tmp_path, small):
    usual, strict = (run(tmp_path / p, small, privacy=p) for p in ("usual", "strict"))
    own, other = (es.EMRWGAN.load(job.run().out / "model") for job in (usual, strict))
    assert (own.history_["step"].iloc[-1], other.history_["step"].iloc[-1]) == (40, 5)
    changed = {line.split(":")[0] for line in recipes.differences(own.recipe_, other.recipe_)}
    assert changed == {"steps", "pairs", "code_pairs", "stands_out"}
    assert other.recipe_.pairs < own.recipe_.pairs and other.recipe_.stands_out > 4
    cards = [(job.out / "card.md").read_text("utf-8") for job in (usual, strict)]
    assert [", privacy strict, seed" in card for card in cards] == [False, True]
    with pytest.raises(es.InputError, match="privacy"):
        run(tmp_path / "c", small, privacy="lax")
    with pytest.raises(es.InputError, match="privacy"):  # another run
        run(tmp_path / "usual", small, privacy="strict")
    paper = recipes.strict(recipes.PAPER, 80)  # which calibrates no pairs
    assert recipes.differences(recipes.PAPER, paper) == ["steps: None, now 10"]


def test_finished_stages_are_not_repeated(tmp_path, small, monkeypatch):
    run(tmp_path / "a", small).run()

    def fail(*_):
        raise AssertionError("a finished stage ran again")

    for stage in run_folder.STAGES:
        monkeypatch.setattr(es.Pipeline, f"_make_{stage}", fail)
    job = run(tmp_path / "a", small).run()
    assert len(job.report.metrics) > 5


def test_the_preprocessor_sees_the_training_patients_only(tmp_path, small):
    job = run(tmp_path / "a", small, seed=3)
    train, holdout = es.split(job.patients, seed=3)
    assert job.prep is not None and len(job.train) == len(train)
    alone = es.Preprocessor.for_recipe("modern", min_prevalence=0.01, seed=3).fit(train)
    alone.save(tmp_path / "alone")
    for file in (tmp_path / "alone").iterdir():
        assert file.read_bytes() == (job.out / "model" / file.name).read_bytes(), file.name
    assert len(holdout) == len(job.holdout)


def test_a_lost_file_is_made_again(tmp_path, small):
    before = run(tmp_path / "a", small).run().synthetic
    (tmp_path / "a" / "synthetic.csv").unlink()
    pd.testing.assert_frame_equal(run(tmp_path / "a", small).run().synthetic, before)


def test_another_run_in_the_same_folder_is_refused(tmp_path, small):
    run(tmp_path / "a", small)
    with pytest.raises(es.InputError, match="holds a run with seed 0, not 1"):
        run(tmp_path / "a", small, seed=1)


def test_own_rules_are_kept_counted_and_remembered(tmp_path, small, caplog):
    file = tmp_path / "rules.yaml"
    file.write_text(
        "- between: {column: age, low: 40, high: 80}\n"
        "- implies: {when: {asthma: 1, sex: M}, then: {sepsis: 0}}\n"
    )
    job = run(tmp_path / "a", small, rules=file)
    with caplog.at_level("INFO", logger="ehrsynth"):
        assert job.synthetic["age"].between(40, 80).all()
    young = int((~job.train["age"].between(40, 80)).sum())
    assert f"{young} training patients break the rule 'age between 40 and 80'" in caplog.text
    noted = json.loads((tmp_path / "a" / "run.json").read_text())
    free = tmp_path / "free.parquet"
    es.generate(job.gan, job.prep, len(job.synthetic), free, rules=False)
    before = pd.read_parquet(free)
    both = (before["asthma"] == 1) & (before["sex"] == "M") & (before["sepsis"] == 1)
    assert noted["repaired"] == {
        "age between 40 and 80": (~before["age"].between(40, 80)).sum(),
        "asthma = 1 and sex = M implies sepsis = 0": both.sum(),
    }
    assert "age between 40 and 80" in job.facts["repairs"]
    assert job.facts["rules that synthetic patients keep"] >= 2
    assert rules.read_rules(tmp_path / "a" / "model" / "rules.json") == rules.read_rules(file)
    file.write_text("- between: {column: age, low: 41, high: 80}")
    with pytest.raises(es.InputError, match="holds a run with rules .*age between 41 and 80"):
        run(tmp_path / "a", small, rules=file)
    with pytest.raises(es.InputError, match="holds a run with rules"):
        run(tmp_path / "a", small)


def command(out, small):
    """The same job as a person starts it, in a process of its own that can be killed."""
    return [
        sys.executable, "-m", "ehrsynth.cli", "run", "--dataset", "table", "--data", str(small),
        "--outcome", "died", "--profile", "fast", "--out", str(out),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, small):
    out = tmp_path_factory.mktemp("whole") / "run"
    subprocess.run(command(out, small), check=True, stderr=subprocess.DEVNULL)
    return pd.read_parquet(out / "inside" / "synthetic.parquet")


def test_killed_and_started_again_gives_the_same_patients(tmp_path, small, uninterrupted):
    """SIGKILL in the middle of training."""
    out = tmp_path / "killed"
    checkpoint = out / "model" / "checkpoint" / "checkpoint.safetensors"
    process = subprocess.Popen(command(out, small), stderr=subprocess.DEVNULL)
    while process.poll() is None and not checkpoint.is_file():
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "report.html").exists(), "killed too late to test anything"
    before = json.loads((out / "run.json").read_text())["finished"]
    assert all(0.1 < stage["peak_gb"] < 20 for stage in before.values())
    subprocess.run(command(out, small), check=True, stderr=subprocess.DEVNULL)
    after = json.loads((out / "run.json").read_text())["finished"]
    assert {name: after[name] for name in before} == before, "a finished stage ran again"
    pd.testing.assert_frame_equal(
        pd.read_parquet(out / "inside" / "synthetic.parquet"), uninterrupted
    )


def test_generating_in_chunks_is_seeded_and_complete(tmp_path, small, monkeypatch):
    job = run(tmp_path / "a", small)
    monkeypatch.setattr(streaming, "CHUNK", 70)
    for name in ("x.parquet", "y.parquet", "z.csv"):
        es.generate(job.gan, job.prep, 200, tmp_path / name, seed=3)
    x, y = (pd.read_parquet(tmp_path / name) for name in ("x.parquet", "y.parquet"))
    z = job.schema.cast(pd.read_csv(tmp_path / "z.csv"))
    assert len(x) == 200
    pd.testing.assert_frame_equal(x, y)
    pd.testing.assert_frame_equal(job.schema.cast(x), z)
    assert not x.iloc[:70].reset_index(drop=True).equals(x.iloc[70:140].reset_index(drop=True))


def test_conditions_hold_in_every_generated_row(tmp_path, small):
    job = run(tmp_path / "a", small)
    es.generate(job.gan, job.prep, 50, tmp_path / "x.parquet", where={"died": 1, "sex": "F"})
    made = pd.read_parquet(tmp_path / "x.parquet")
    assert (made["died"] == 1).all() and (made["sex"] == "F").all()
    with pytest.raises(es.InputError):
        es.generate(job.gan, job.prep, 50, tmp_path / "x.parquet", where={"sex": "unknown"})


# -- what it will take ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "free"),
    [("memory", {"memory": 0.1}), ("disk", {"disk": 0.001}), ("", {"memory": 2.0, "disk": 2.0})],
)
def test_what_does_not_fit_is_refused_before_the_training(tmp_path, small, monkeypatch, what, free):
    memory, disk = free.get("memory", 9.0), free.get("disk", 9.0)
    monkeypatch.setattr(profiles, "free_memory", lambda: memory)
    usage = shutil.disk_usage(tmp_path)._replace(free=disk * 1e9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(es.Pipeline, "_make_training", lambda _: pytest.fail("it began"))
    job = run(tmp_path / "a", small)
    if what:
        with pytest.raises(es.InputError, match=f"GB of {what} and 0.. GB are free; .*--anyway"):
            job.run()
        assert (tmp_path / "a" / "train.parquet").is_file()
    for asked in [job] * (not what) + [run(tmp_path / "a", small, anyway=True)]:
        with pytest.raises(pytest.fail.Exception, match="it began"):
            asked.run()


def test_the_estimate_is_near_what_was_measured():
    """Of training at the paper's size, and of a million patients, within a factor of two."""
    known = pd.read_csv(REPOSITORY / "benchmarks" / "scale.csv").set_index("what")
    one = known[(known["recipe"] == "modern") & (known["threads"] == 1)]
    full, recipe = PROFILES["full"], recipes.named("modern")
    row = one.loc["a whole training, 4,000 steps, 4 epochs"]
    size = (int(row["train"]), 0), int(row["columns"])
    found, judged = (profiles.estimate(*size, 1, full, trained) for trained in (recipe, None))
    assert 0.5 < (found.minutes - judged.minutes) * 60 / row["seconds"] < 2
    assert 0.5 < found.memory / one.loc["a training of 300 steps", "peak_gb"] < 2
    row = one.loc["1,000,000 patients"]
    size = (int(row["train"]), 0), int(row["columns"])
    found, none = (profiles.estimate(*size, made, full) for made in (10**6, 1))
    assert 0.5 < (found.minutes - none.minutes) * 60 / row["seconds"] < 2
    assert 0.5 < found.memory / row["peak_gb"] < 2 and found.disk > row["disk_gb"]


# -- several runs ----------------------------------------------------------------------------


def test_of_several_runs_the_first_for_the_use_case_is_kept(tmp_path, small, monkeypatch):
    job = run(tmp_path / "a", small, runs=2, use_case="education").run()
    ranking = json.loads((job.out / "run.json").read_text())["ranking"]
    names = [row["candidate"] for row in ranking]
    assert sorted(names) == ["runs/1", "runs/2"]
    assert ranking[0]["score"] >= ranking[1]["score"] > 0
    assert sum(row["chance_of_first"] for row in ranking) == pytest.approx(1)
    first, second = (pd.read_parquet(job.out / name / "synthetic.parquet") for name in names)
    assert not first.equals(second)
    pd.testing.assert_frame_equal(job.synthetic, job.schema.cast(first))
    assert job.gan.seed == ranking[0]["seed"]
    assert job.report.facts["kept"] == f"{names[0]}, the first of 2 runs for education"
    for name in FILES:
        assert (job.out / name).is_file(), name

    # What is evaluated once more says the same, to the byte.
    said = (job.out / "metrics.json").read_bytes()
    (job.out / "metrics.json").unlink()
    run(tmp_path / "a", small, runs=2, use_case="education").run()
    assert (job.out / "metrics.json").read_bytes() == said

    # When the other one is first, the other one is kept; nothing but the evaluation runs again.
    (job.out / "inside" / "synthetic.parquet").unlink()
    before = {path: path.stat().st_mtime_ns for path in job.out.rglob("runs/*/*")}
    monkeypatch.setattr(pipeline, "rank", lambda *args: es.rank(*args).iloc[::-1])
    again = run(tmp_path / "a", small, runs=2, use_case="education").run()
    pd.testing.assert_frame_equal(again.synthetic, job.schema.cast(second))
    assert again.gan.seed == ranking[1]["seed"]
    assert before == {path: path.stat().st_mtime_ns for path in job.out.rglob("runs/*/*")}


def test_the_first_of_several_runs_is_the_only_one_of_one(tmp_path, small):
    alone = run(tmp_path / "a", small).synthetic
    several = run(tmp_path / "b", small, runs=2)
    several._finish("generation")
    found = pd.read_parquet(several.out / "runs" / "1" / "synthetic.parquet")
    pd.testing.assert_frame_equal(several.schema.cast(found), alone)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"runs": 0}, "runs must be 1 or more, not 0"), ({"use_case": "art"}, "no use case 'art'")],
)
def test_several_runs_of_nothing_or_for_nothing(tmp_path, small, options, words):
    with pytest.raises(es.InputError, match=words):
        run(tmp_path / "a", small, **options)
    assert not (tmp_path / "a").exists()
