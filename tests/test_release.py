"""What leaves the house: packed, searched, signed, and still the same when somebody looks."""

import gzip
import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

import ehrsynth as es
from ehrsynth.errors import InputError
from ehrsynth.files import read_json, sha256, write_json, write_table
from ehrsynth.profiles import PROFILES, Profile
from ehrsynth.rare import Rare, tables_of
from ehrsynth.release import MANIFEST, check_beside, digest, problems, release
from ehrsynth.run_folder import RunFolder
from ehrsynth.schema import Schema
from ehrsynth.traces import alone, copied_numbers, repeated


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run on a flat table whose laboratory values have six digits."""
    rng = np.random.default_rng(0)
    n = 400
    table = pd.DataFrame(
        {
            "died": (rng.random(n) < 0.3).astype(int),
            "sex": rng.choice(["F", "M"], n),
            "age": rng.integers(18, 90, n).astype(float),
            "platelets": rng.normal(250_000, 30_000, n).round(1),
            # Left out when it is read, and nobody is to be called by it.
            "name": [f"Zed{chr(97 + i % 26)}n Quo{chr(97 + i // 26)}st" for i in range(n)],
            "mrn": rng.choice(10**9, n, replace=False) + 10**9,
        }
    )
    folder = tmp_path_factory.mktemp("finished")
    table.to_csv(folder / "patients.csv", index=False)
    write_json({name: {"drop": True} for name in ("name", "mrn")}, folder / "columns.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROFILES, "fast", Profile(500, 6_000, min_prevalence=0.01, steps=20))
        before = os.umask(0)
        try:
            data, columns = folder / "patients.csv", folder / "columns.json"
            options = {"dataset": "table", "data": data, "outcome": "died", "columns": columns}
            es.Pipeline(folder / "run", **options).run()
        finally:
            os.umask(before)
    return folder / "run"


@pytest.fixture
def run(finished, tmp_path):
    """A copy of it that a test may spoil."""
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def admit(run, *names):
    """Take what lies there for what the run has left, as an intruder would."""
    folder = RunFolder(run)
    for stage, noted in folder.noted("finished").items():
        files, figures = noted["files"], {k: v for k, v in noted.items() if k != "files"}
        folder.finish(stage, files, **figures)
        kept = folder.noted("finished")
        kept[stage]["files"] |= {n: h for n, h in files.items() if n not in names}
        folder.note(finished=kept)


def judge(run, level):
    metrics = read_json(run / "metrics.json")
    metrics["verdicts"]["privacy"] |= {"level": level, "headline": "As it was judged"}
    write_json(metrics, run / "metrics.json")
    admit(run, "metrics.json")


# -- the package -----------------------------------------------------------------------------


def of_nobody_else(run, column):
    source = pd.read_csv(read_json(run / "run.json")["settings"]["data"], dtype=str)
    assert column not in pd.read_parquet(run / "train.parquet")
    return source[column][7]


@pytest.mark.parametrize("column", ["name", "mrn"])
@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("card.md", "# ", "# {} "), ("report.html", "<body>", "<body><p>{}</p>"),
        ("metrics.json", '"facts": {', '"facts": {{ "a": "{}",'),
        ("schema.json", '"platelets",', '"platelets", "label": "{}",'),
        ("model/rules.json", "[]", '["{}"]'),
        ("model/form.json", '"label": "sex"', '"label": "{}"'), ("synthetic.csv", "F", "{}"),
    ],
)  # fmt: skip
def test_what_was_left_out_of_the_data_is_searched_for_too(run, tmp_path, column, file, old, new):
    said = of_nobody_else(run, column)
    text = (run / file).read_text(encoding="utf-8")
    assert old in text
    (run / file).write_text(text.replace(old, new.format(said), 1), encoding="utf-8")
    admit(run, file)
    name = file.rpartition("/")[2]
    assert any(f"{name} holds" in one and said not in one for one in problems(run))
    with pytest.raises(InputError, match=f"{name} holds .*fewer than 5 patients") as refused:
        release(run, tmp_path / "out", with_model=True, signed_by="A. Name")
    assert said not in str(refused.value) and not (tmp_path / "out").exists()


def test_what_may_leave_leaves_and_nothing_else(run, tmp_path):
    assert problems(run) == []
    names = release(run, tmp_path / "out", signed_by="A. Name")
    left = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*")}
    assert left == {*names, MANIFEST}
    # The run read a CSV file, so a CSV file is handed on.
    assert set(names) == {"card.md", "metrics.json", "report.html", "schema.json", "synthetic.csv"}
    made = tmp_path / "out" / "synthetic.csv"
    assert made.read_bytes() == (run / "synthetic.csv").read_bytes()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_the_model_leaves_on_request_only_and_without_a_critic(run, tmp_path):
    names = release(run, tmp_path / "out", with_model=True, signed_by="A. Name")
    inside = {n for n in names if n.startswith("model/")}
    assert inside == {f"model/{n}" for n in ("gan.json", "gan.safetensors", "preprocessor.json",
                                             "rules.json", "form.json")}  # fmt: skip
    assert len(es.EMRWGAN.load(tmp_path / "out" / "model").sample(5)) == 5


def test_only_the_owner_sees_patients_and_everybody_a_package(run, finished, tmp_path):
    # The run was made with the umask 0: everything would be open to all.
    for path in (finished, *finished.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    before = os.umask(0o077)
    try:
        release(run, tmp_path / "out", with_model=True, signed_by="A. Name")
    finally:
        os.umask(before)
    for path in (tmp_path / "out", *(tmp_path / "out").rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), path


@pytest.mark.parametrize("level", ["care", "bad", "unknown"])
def test_a_verdict_that_is_not_good_needs_a_name(run, tmp_path, level):
    judge(run, level)
    with pytest.raises(es.InputError, match=rf"{level} \(as it was judged\).*--signed-by"):
        release(run, tmp_path / "out")
    with pytest.raises(es.InputError, match="--signed-by"):
        release(run, tmp_path / "out", signed_by="  ")
    assert not (tmp_path / "out").exists()
    release(run, tmp_path / "out", signed_by="A. Name\n# <b>")
    card = (tmp_path / "out" / "card.md").read_text()
    assert f"verdict was: {level} (As it was judged)" in card
    for page in (card, (tmp_path / "out" / "report.html").read_text().partition("<body>")[2]):
        assert "A. Name b has released" in page[:400]  # on top, whoever reads no further
    assert read_json(tmp_path / "out" / MANIFEST)["signed"]["name"] == "A. Name b"


def test_what_only_people_know_goes_into_the_card_and_the_package_is_whole(run, tmp_path):
    """What the card leaves open is told to release; written by hand, it would be a change."""
    opened = (run / "card.md").read_text()
    assert opened.count("not stated: tell ehrsynth release") == 3 and "write it here" not in opened
    said = {"recipient": "Team 7, for a course <b>|*", "license": "Data use agreement 12/3"}
    release(run, tmp_path / "out", signed_by="A. Name", **said)
    card, page = ((tmp_path / "out" / name).read_text() for name in ("card.md", "report.html"))
    today = read_json(tmp_path / "out" / MANIFEST)["signed"]["date"]
    for line in ("Intended recipient**: Team 7, for a course b\n", f"on**: A. Name, {today}\n",
                 "License of the source**: Data use agreement 12/3\n"):  # fmt: skip
        assert line in card
    assert "purpose</td><td>Team 7, for a course b</td>" in page
    assert "role)</td><td>A. Name</td>" in page
    assert problems(tmp_path / "out") == [] and (run / "card.md").read_text() == opened
    release(run, tmp_path / "bare", signed_by="A. Name")
    bare = (tmp_path / "bare" / "card.md").read_text()
    assert bare.count(": not stated\n") == 2 and "tell ehrsynth" not in bare
    (tmp_path / "bare" / "card.md").write_text(bare.replace("not stated", "Team 7"))
    assert problems(tmp_path / "bare") == ["card.md is changed"]


@pytest.mark.parametrize("option", ["recipient", "license", "signed_by"])
def test_what_is_typed_is_searched_too(run, tmp_path, option):
    """A patient's name and number would stand in card and report; only who signs has a name."""
    name, mrn = of_nobody_else(run, "name"), of_nobody_else(run, "mrn")
    typed = {"signed_by": "A. Name"}
    for said in (f"# {name}, a friend", name.upper(), f"file {mrn}", f"file {mrn[:4]} {mrn[4:]}"):
        if option != "signed_by" or mrn[:4] in said:
            with pytest.raises(InputError, match="of fewer than 5 patients") as stop:
                release(run, tmp_path / "out", **typed | {option: said})
            assert said not in str(stop.value) and not (tmp_path / "out").exists()
    for said in ("!!!", " ", "--"):
        with pytest.raises(InputError, match="says nothing|somebody answers"):
            release(run, tmp_path / "out", **typed | {option: said})
    release(run, tmp_path / "out", **typed | {option: name if option == "signed_by" else "Team 7"})
    assert problems(tmp_path / "out") == []


def test_a_license_that_is_known_stays(run, tmp_path):
    card = (run / "card.md").read_text().replace("source**: not stated: tell ehrsynth release",
                                                 "source**: CC BY 4.0")  # fmt: skip
    (run / "card.md").write_text(card)
    admit(run, "card.md")
    release(run, tmp_path / "out", signed_by="A. Name", license="another")
    assert "source**: CC BY 4.0\n" in (tmp_path / "out" / "card.md").read_text()


def test_a_good_verdict_needs_none(run, tmp_path):
    judge(run, "good")
    release(run, tmp_path / "out")
    assert "Signed" not in (tmp_path / "out" / "card.md").read_text()


def test_a_category_that_only_a_held_out_patient_has_stops_nothing(run, tmp_path):
    holdout = pd.read_parquet(run / "holdout.parquet")
    holdout["sex"] = holdout["sex"].astype(str)
    holdout.loc[0, "sex"] = "X"
    write_table(holdout, run / "holdout.parquet")
    admit(run, "holdout.parquet")
    release(run, tmp_path / "package", signed_by="A. Steward")


def test_patients_in_the_file_that_is_handed_out_are_seen_too(run, tmp_path):
    """Whatever `inside` says: it is not what leaves."""
    train = pd.read_parquet(run / "train.parquet")
    made = pd.read_csv(run / "synthetic.csv")
    copied = train[made.columns].astype(str).replace({"True": "1", "False": "0"})
    copied.to_csv(run / "synthetic.csv", index=False)
    admit(run, "synthetic.csv")
    with pytest.raises(InputError, match="synthetic.csv holds .* training patients as they are"):
        release(run, tmp_path / "p", signed_by="A. Officer")


def test_a_file_with_gaps_in_a_yes_no_column_is_searched_too(tmp_path):
    """By the rows without a gap."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.integers(0, 2, (400, 12)), columns=[f"c{i}" for i in range(12)])
    table = table.assign(died=rng.integers(0, 2, 400), age=rng.normal(50, 15, 400).round(2))
    table.to_csv(tmp_path / "t.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROFILES, "fast", Profile(500, 6_000, min_prevalence=0.01, steps=20))
        data = tmp_path / "t.csv"
        es.Pipeline(tmp_path / "run", dataset="table", data=data, outcome="died").run()
    train = pd.read_parquet(tmp_path / "run" / "train.parquet")
    made = train[pd.read_csv(tmp_path / "run" / "synthetic.csv").columns].astype(object)
    made.loc[:9, "c3"] = None
    made.to_csv(tmp_path / "run" / "synthetic.csv", index=False)
    admit(tmp_path / "run", "synthetic.csv")
    with pytest.raises(InputError, match="holds 270 training patients as they are"):
        release(tmp_path / "run", tmp_path / "p", signed_by="A. Officer")


def test_only_its_own_leftovers_go(run, tmp_path):
    for name in (".p.mine.part", ".p.v2.abcd1234.part", ".p.abcd1234.part"):
        (tmp_path / name).mkdir()
    release(run, tmp_path / "p", signed_by="A. Officer")
    left = sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".p"))
    assert left == [".p.mine.part", ".p.v2.abcd1234.part"]


def test_an_unfinished_or_changed_run_and_a_taken_place_are_refused(run, tmp_path):
    (run / "report.html").write_text("another")
    with pytest.raises(es.InputError, match="report.html is changed"):
        release(run, tmp_path / "out", signed_by="A")
    noted = read_json(run / "run.json")
    del noted["finished"]["evaluation"]
    write_json(noted, run / "run.json")
    with pytest.raises(es.InputError, match="evaluation is not finished"):
        release(run, tmp_path / "out", signed_by="A")
    admit(run)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").write_text("")
    with pytest.raises(es.InputError):
        release(run, tmp_path / "mine", signed_by="A")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["x"]


def plant_number(run):
    """A laboratory value that one training patient has, in the card."""
    values = pd.read_parquet(run / "train.parquet")["platelets"]
    value = values.drop_duplicates(keep=False).iloc[0]
    card = (run / "card.md").read_text()
    (run / "card.md").write_text(f"{card}\nA patient had {value:,}.\n")
    return "card.md", str(value)


def plant_extreme(run):
    """A value that nobody else has nearly, of a training patient, in the synthetic table."""
    train, made = pd.read_parquet(run / "train.parquet"), pd.read_csv(run / "synthetic.csv")
    for table in (train, made):
        table.loc[3, "platelets"] = 987_654_321.0
    train.to_parquet(run / "train.parquet")
    made.to_csv(run / "synthetic.csv", index=False)
    return "synthetic", "987654321"


def plant_beside_a_yes_that_is_none(run):
    """The same in the row of a patient whose yes/no is 7, which no training patient has."""
    where, value = plant_extreme(run)
    made = pd.read_csv(run / "synthetic.csv")
    yes_no = Schema.load(run / "schema.json").of_kind("binary")
    made.loc[3, yes_no[-1]] = 7
    made.to_csv(run / "synthetic.csv", index=False)
    return where, value


@pytest.mark.parametrize("plant", [plant_number, plant_extreme, plant_beside_a_yes_that_is_none])
def test_what_one_patient_has_is_refused_even_if_signed_and_not_repeated(run, tmp_path, plant):
    release(run, tmp_path / "before", signed_by="A. Name")
    where, value = plant(run)
    admit(run, "card.md", "train.parquet", "synthetic.csv")
    with pytest.raises(es.InputError, match=f"also if signed: {where}.* numbers") as refused:
        release(run, tmp_path / "out", signed_by="A. Name")
    assert value not in str(refused.value)
    assert not (tmp_path / "out").exists()


# -- is it still what it was? ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda out: (out / "card.md").write_text("x"), ["card.md is changed"]),
        (lambda out: (out / "report.html").unlink(), ["report.html is missing"]),
        (lambda out: (out / "more.csv").write_text("x"), ["more.csv is not in it"]),
        (lambda out: None, []),
    ],
)
def test_verify_finds_what_is_not_as_it_was(run, tmp_path, spoil, said):
    release(run, tmp_path / "out", signed_by="A. Name")
    spoil(tmp_path / "out")
    assert problems(tmp_path / "out") == said


def a_link(out):
    (out / "elsewhere").symlink_to(out.parent)


def a_swapped_link(out):
    (out / "card.md").rename(out.parent / "card.md")
    (out / "card.md").symlink_to(out.parent / "card.md")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (a_link, ["elsewhere is not in it"]),
        (lambda out: (out / "empty").mkdir(), ["empty is not in it"]),
        (a_swapped_link, ["card.md is changed"]),
        (lambda out: ((out / "card.md").unlink(), os.mkfifo(out / "card.md")),
         ["card.md is changed"]),
    ],
)  # fmt: skip
def test_links_folders_and_pipes_are_seen(run, tmp_path, spoil, said):
    release(run, tmp_path / "out", signed_by="A. Name")
    spoil(tmp_path / "out")
    assert problems(tmp_path / "out") == said


def test_a_package_lies_beside_a_run(run, tmp_path):
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    for place in (run, run / "package", tmp_path / "gone"):
        with pytest.raises(InputError, match="is a link or in the run"):
            release(run, place, signed_by="A. Name")
    assert problems(run) == []


def test_the_digest_shows_a_package_that_was_made_anew(run, tmp_path):
    release(run, tmp_path / "out", signed_by="A. Name")
    told = digest(tmp_path / "out")
    (tmp_path / "out" / "card.md").write_text("all is well")
    noted = read_json(tmp_path / "out" / MANIFEST)
    noted["files"]["card.md"] = sha256(tmp_path / "out" / "card.md")
    write_json(noted, tmp_path / "out" / MANIFEST)
    assert problems(tmp_path / "out") == [] and digest(tmp_path / "out") != told


@pytest.mark.parametrize("name", ["model/gan.safetensors", "model/rules.json", "train.parquet"])
def test_a_model_or_table_that_is_not_its_runs_is_not_used(run, name):
    asked = run / name.partition("/")[0] if "/" in name else run / name
    check_beside(asked)
    (run / name).write_bytes((run / name).read_bytes() + b" ")
    with pytest.raises(InputError, match=f"{name} in .* is not what its manifest says"):
        check_beside(asked)
    check_beside(run / "holdout.parquet")


def test_verify_looks_into_runs_too(run, tmp_path):
    assert problems(run) == []
    content = (run / "model" / "gan.safetensors").read_bytes()
    (run / "model" / "gan.safetensors").write_bytes(content[:-8])
    (run / "notes.txt").write_text("mine")
    assert problems(run) == ["model/gan.safetensors is changed", "notes.txt is not in it"]
    with pytest.raises(es.InputError, match="give a package or a run"):
        problems(tmp_path)


# -- the search ------------------------------------------------------------------------------


def known(*values):
    """What is searched for when as many patients have one of these values each."""
    frame = pd.DataFrame({"subject_id": range(len(values)), "value": list(map(str, values))})
    return Rare.of(tables_of("omop", {"patients": frame}, []), 5)


KNOWN = known("Zebulon Quist", "q7", 8_812_345.0, 70_123.25)


def json_file(path, said):
    path.write_text(json.dumps({"a": [said, 1.5]}))


def parquet_file(path, said):
    write_table(pd.DataFrame({"a": [said, said, *[type(said)(2)] * 3]}), path)


def packed(path, said):
    with gzip.open(path, "wt") as file:
        json.dump({"a": said}, file)


WRITERS = {
    "a.json": json_file, "a.parquet": parquet_file, "a.csv": parquet_file, "a.json.gz": packed,
    "a.html": lambda p, said: p.write_text(f"<p title='{said}'>"),
    "a.log": lambda p, said: p.write_text(f"row 3: {said}."),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("Zebulon Quist", "text"), (8_812_345, "number"), (8_812_345.0, "number"),
        (70_123.25, "number"), ("Zebulon", "text"), ("Zabulon Quest", ""), (8_812_346, ""),
        (70_123.5, ""),
    ],
)  # fmt: skip
def test_a_planted_text_or_number_is_found_in_every_kind_of_file(tmp_path, name, said, found):
    WRITERS[name](tmp_path / name, said)
    what = KNOWN.found_in(tmp_path / name)
    assert bool(what) == bool(found) and all(f"holds {found}s of" in one for one in what)
    assert str(said) not in " ".join(what)


def test_weights_hold_a_number_only_where_they_do(tmp_path):
    weights = np.random.default_rng(0).normal(size=10_000).astype(np.float32)
    save_file({"a": weights}, tmp_path / "a.safetensors")
    assert KNOWN.found_in(tmp_path / "a.safetensors") == []
    weights[7] = 8_812_345
    save_file({"a": weights}, tmp_path / "a.safetensors")
    assert KNOWN.found_in(tmp_path / "a.safetensors") != []


def test_a_short_text_is_met_as_a_whole_only(tmp_path):
    (tmp_path / "a.md").write_text("the code q7b is no name")
    assert KNOWN.found_in(tmp_path / "a.md") == []
    write_table(pd.DataFrame({"a": ["q7", "x"]}), tmp_path / "a.parquet")
    assert KNOWN.found_in(tmp_path / "a.parquet") != []


def test_numbers_that_fresh_patients_share_by_chance_are_no_find():
    """Of whole hundreds between 100,000 and 300,000, two samples have many in common."""
    rng = np.random.default_rng(0)
    real, fresh = (pd.DataFrame({"x": rng.integers(1_000, 3_000, 900) * 100.0}) for _ in "ab")
    numbers = alone(real["x"])
    assert len(np.intersect1d(numbers, fresh["x"])) > 50
    assert copied_numbers(fresh, real) == 0
    fresh.loc[:300, "x"] = numbers[:301]
    assert copied_numbers(fresh, real) > 300


def test_what_is_looked_for():
    values = pd.Series([123_456, 123_456, 654_321, 12_345, 1, 2, 3])
    assert alone(values).tolist() == [654_321]


def test_whole_records_are_counted_beyond_chance():
    rng = np.random.default_rng(0)
    wide = [pd.DataFrame(rng.integers(0, 2, (300, 60)).astype("uint8")) for _ in range(3)]
    train, holdout, made = (table.rename(columns=str) for table in wide)
    assert repeated(made, train, holdout, 5) == 0
    made.iloc[4] = train.iloc[9]
    assert repeated(made, train, holdout, 5) == 1
    narrow = [pd.DataFrame(rng.integers(0, 9, (300, 3))).rename(columns=str) for _ in range(3)]
    assert repeated(narrow[0], narrow[1], narrow[2], 5) == 0
    assert repeated(narrow[1], narrow[1], narrow[2], 5) > 100


# -- a run that is taken up again ------------------------------------------------------------


def again(run, **options):
    settings = read_json(run / "run.json")["settings"]
    known = {name: settings[name] for name in ("dataset", "data", "outcome", "columns")}
    options = known | options
    return es.Pipeline(run, **options)


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def swap(path):
    table = pd.read_parquet(path)
    table.iloc[::-1].to_parquet(path)


STALE = [
    ("data", "train.parquet", cut),
    ("data", "holdout.parquet", swap),
    ("data", "schema.json", lambda path: path.write_text("{}")),
    ("data", "model/preprocessor.json", lambda path: path.unlink()),
    ("training", "model/gan.safetensors", cut),
    ("training", "model/gan.json", lambda path: path.write_text("{}")),
    ("generation", "inside/synthetic.parquet", swap),
    ("generation", "synthetic.csv", cut),
    ("evaluation", "metrics.json", cut),
    ("evaluation", "report.html", lambda path: path.write_text("")),
    ("evaluation", "card.md", lambda path: path.unlink()),
]


@pytest.mark.parametrize(("stage", "name", "spoil"), STALE)
def test_a_damaged_or_swapped_file_makes_its_stage_stale_and_no_other(run, stage, name, spoil):
    stages = ("data", "training", "generation", "evaluation")
    assert [again(run)._stale(one) for one in stages] == ["", "", "", ""]
    spoil(run / name)
    found = {one: again(run)._stale(one) for one in stages}
    assert name in found.pop(stage) and not any(found.values())


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setitem(PROFILES, "fast", Profile(500, 6_000, min_prevalence=0.01, steps=20))


def test_a_stale_stage_is_made_again_with_what_follows(run, short, caplog):
    before = {name: sha256(run / name) for name in ("train.parquet", "synthetic.csv")}
    cut(run / "synthetic.csv")
    (run / ".card.md.0123abcd.part").write_text("of a process that was killed")
    again(run).run()
    assert "Generation left another synthetic.csv than the one that is there" in caplog.text
    assert {name: sha256(run / name) for name in before} == before
    assert problems(run, unfinished=True) == []


def test_a_changed_input_makes_everything_again(run, short, tmp_path, caplog):
    data = tmp_path / "patients.csv"
    shutil.copy(read_json(run / "run.json")["settings"]["data"], data)
    noted = read_json(run / "run.json")
    columns = noted["settings"]["columns"]
    noted["inputs"] = {str(data): sha256(data), columns: sha256(columns)}
    noted["settings"]["data"] = str(data)
    write_json(noted, run / "run.json")
    assert again(run)._stale("data") == ""
    data.write_text(data.read_text().rsplit("\n", 2)[0] + "\n")  # one patient less
    job = again(run)
    assert len(job.train) + len(job.holdout) == 399
    assert "was made of what has changed since" in caplog.text and "patients.csv" in caplog.text
    assert set(read_json(run / "run.json")["finished"]) == {"data"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda noted: noted | {"version": "0.0.1"}, "run with version '0.0.1'"),
        (lambda noted: {"distance": 5}, "run.json is not of a run of ehrsynth"),
        (lambda noted: [], "run.json is not of a run of ehrsynth"),
    ],
)
def test_another_version_or_a_file_that_is_no_run_is_refused(run, change, said):
    noted = read_json(run / "run.json")
    write_json(change(noted), run / "run.json")
    known = noted["settings"]
    options = {name: known[name] for name in ("dataset", "data", "outcome", "columns")}
    with pytest.raises(es.InputError, match=said):
        es.Pipeline(run, **options)


def test_a_folder_with_files_of_others_is_refused_and_not_touched(tmp_path):
    (tmp_path / "train.parquet").write_text("mine")
    (tmp_path / ".hidden").write_text("mine too")
    with pytest.raises(es.InputError, match=r"not of a run \(.hidden, train.parquet\)"):
        es.Pipeline(tmp_path)
    assert {p.name: p.read_text()[:4] for p in tmp_path.iterdir()} == {
        "train.parquet": "mine", ".hidden": "mine"
    }  # fmt: skip


def test_checkpoints_and_critics_go_when_training_is_done(finished):
    assert not [p for p in finished.rglob("*") if "checkpoint" in p.name]
