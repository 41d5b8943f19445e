"""The figures on the book's pages are those that the benchmarks wrote."""

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from known_truth import population

from ehrsynth.evaluation import SPECS
from ehrsynth.gan.recipe import differences, named
from ehrsynth.preprocessing.encode import Preprocessor
from ehrsynth.schema import Schema
from ehrsynth.statistics import nearest_distance

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.append(str(REPOSITORY / "benchmarks"))  # where they find each other
benchmark, training, ablation, gap = map(
    import_module, ("evaluation", "training", "ablation", "gap")
)


def test_page_shows_what_the_benchmark_measured():
    fresh = benchmark.page_table(pd.read_csv(benchmark.RESULTS))
    shown = pd.read_csv(benchmark.PAGE_TABLE, dtype=str, keep_default_na=False)
    assert shown.to_numpy().tolist() == fresh.to_numpy(str).tolist()
    assert "evaluation-times.csv" in (REPOSITORY / "book" / "command-line.md").read_text()


def test_loops_find_what_the_package_finds():
    rng = np.random.default_rng(0)
    train, released = ((rng.random((n, 12)) < 0.4).astype(np.float32) for n in (30, 50))
    near = benchmark.membership_loop(train, released)
    np.testing.assert_allclose(near, nearest_distance(train, released), atol=1e-3)
    found = benchmark.attribute_loop(train, released)
    gaps = np.abs(released - train[:, None]).sum(axis=2)
    np.testing.assert_array_equal(gaps[np.arange(30), found], gaps.min(axis=1))


# -- the switches of the modern recipe -----------------------------------------------------------


def test_pages_show_what_the_ablation_measured():
    results = pd.read_csv(ablation.RESULTS)
    page = (REPOSITORY / "book" / "ablation.md").read_text("utf-8")
    variants = [training.FRESH, *(name for name, *_ in ablation.variants())]
    for path, metrics in ablation.PAGE_TABLES.items():
        fresh = ablation.page_table(results, metrics)
        shown = pd.read_csv(path, dtype=str, keep_default_na=False)
        assert shown.to_numpy().tolist() == fresh.to_numpy(str).tolist()
        assert shown["turned on"].tolist() == variants and f":file: {path.name}" in page
    (size,) = set(results[["train", "columns", "seconds"]].itertuples(index=False, name=None))
    words = "{:,} patients with {} columns, for the same time: {:.0f} seconds of one core"
    assert words.format(*size) in " ".join(page.split())


def test_the_ablation_ends_at_the_modern_recipe():
    """With what neither the time nor the seed leaves free."""
    steps = [recipe for _, _, recipe in ablation.variants()]
    assert steps[0] == named("paper") and len(set(steps)) == len(steps) - 1  # one is preprocessing
    left = differences(steps[-1], named("modern"))
    assert {line.split(":")[0] for line in left} == {"steps", "epochs", "recoveries"}


def test_the_page_shows_what_is_not_learned_and_what_is_learned_by_heart():
    results = pd.read_csv(gap.RESULTS)
    shown = pd.read_csv(gap.PAGE_TABLE, dtype=str, keep_default_na=False)
    assert shown.to_numpy().tolist() == gap.page_table(results).to_numpy(str).tolist()
    page = (REPOSITORY / "book" / "ablation.md").read_text("utf-8")
    assert f":file: {gap.PAGE_TABLE.name}" in page
    missed, all_found = (results[name].median() - 0.5 for name in gap.AGAINST)
    assert 0.35 < missed / all_found < 0.5, "the page says: the smaller part, but no small one"


@pytest.mark.parametrize("by_heart", [False, True])
def test_what_train_has_too_is_told_from_what_the_model_lacks(by_heart):
    """Generated patients are shifted; train is as new patients are, or shifted with them."""
    rng = np.random.default_rng(0)
    new, made, strangers, unseen, train = rng.normal(size=(5, 4_000, 3)).astype(np.float32)
    for shifted in (made, unseen, train) if by_heart else (made, unseen):
        shifted[:, 1] += 1
    against_train, against_new = gap.found((new, made), unseen, (train, strangers), seed=0)
    assert abs(against_new - 0.76) < 0.03  # of two normals that lie a standard deviation apart
    assert abs(against_train - (0.5 if by_heart else against_new)) < 0.02


# -- training against other generators -----------------------------------------------------------


def test_pages_show_what_the_training_benchmark_measured():
    results = pd.read_csv(training.RESULTS)
    page = (REPOSITORY / "book" / "comparison.md").read_text(encoding="utf-8")
    fresh = training.page_tables(results)
    assert set(fresh) == set(training.PAGE_TABLES)
    for part, path in training.PAGE_TABLES.items():
        shown = pd.read_csv(path, dtype=str, keep_default_na=False)
        assert shown.to_numpy().tolist() == fresh[part].to_numpy(str).tolist()
        assert f":file: {path.name}" in page


def test_what_the_comparison_says_is_what_was_measured():
    results = pd.read_csv(training.RESULTS)
    rows = results[results["part"] == training.EQUAL]
    medians = rows.groupby("model").median(numeric_only=True)
    assert {*training.MODELS, training.FRESH, training.INDEPENDENT} == set(medians.index)
    c2st, speed = medians[training.C2ST], medians["seen"] / medians["training"]
    assert c2st.drop(training.FRESH).idxmin() == "modern"
    assert c2st[["ctgan", "tvae", "copula", "paper"]].min() > c2st[training.INDEPENDENT]
    assert speed["modern"] > 2 * speed[["ctgan", "mostlyai"]].max()
    leak = medians["membership_inference (published)"]
    assert leak["paper"] < leak["modern"]
    others = [name for name in training.MODELS if name != "modern"]
    won = [training.better(medians, name, "published", than=training.FRESH) for name in others]
    assert max(won) < 10
    race = training.race_table(results).set_index("generator with its own settings")
    assert (race["C2ST "].astype(float) < race["C2ST"].astype(float).min()).all()
    assert set(race["steps"]) == {"25"} and race.loc["TVAE", "better, of 10 published"] == "6"
    assert set(rows["budget"]) == {120.0} and set(rows["seed"]) == {0}  # two minutes, once
    assert float(race.loc["CTGAN", "times as fast"]) > 20
    assert set(race.index) == {training.MODELS[m][0] for m in training.MODELS} - {
        training.MODELS[m][0] for m in ("modern", "paper")
    }


def test_ten_metrics_of_the_tutorial_are_computed():
    assert sum(training.TUTORIAL.values()) == 10
    assert set(training.TUTORIAL) <= {spec.name for spec in SPECS}


def test_training_stops_after_the_epoch_that_ends_nearest_to_the_time(monkeypatch):
    now = iter(range(100))  # an epoch takes one second
    monkeypatch.setattr(training, "clock", lambda: next(now))
    for limit, epochs in ((3.4, 3), (3.6, 4), (0.1, 1), (None, 50)):
        loop = training.Loop(limit)
        assert len(list(loop(range(50), disable=True))) == epochs
        assert (loop.done, loop.seconds) == (epochs, epochs)
        now = iter(range(100))


def test_missing_numbers_survive_a_generator_that_takes_none():
    train = population(60, 3, seed=0)
    schema = Schema.of(train)
    whole, discrete = training.without_gaps(train, schema, np.random.default_rng(0))
    gaps = [name for name in schema.of_kind("continuous") if train[name].isna().any()]
    assert gaps and not whole.isna().any().any()
    assert {f"{name} missing" for name in gaps} <= set(discrete)
    back = training.tidy(training.with_gaps(whole, schema), schema)
    pd.testing.assert_frame_equal(pd.DataFrame(back), pd.DataFrame(schema.cast(train)))


def test_page_table_is_written_while_models_are_still_to_come():
    metrics = {training.label(s.name, s.form): 0.5 for s in SPECS if s.name in training.TUTORIAL}
    about = {"part": training.EQUAL, "train": 10, "columns": 3, training.C2ST: 0.6, **metrics}
    rows = [{**about, "model": training.FRESH}]
    assert training.page_tables(pd.DataFrame(rows))[training.EQUAL].shape[1] == 2
    for model in ("ctgan", "modern"):
        rows.append({**about, "model": model, **dict.fromkeys(training.COSTS, 2.0)})
    table = training.page_tables(pd.DataFrame(rows))[training.EQUAL].set_index("")
    assert table.columns[1:].tolist() == [training.MODELS[m][0] for m in ("modern", "ctgan")]
    assert table.iloc[-1].tolist() == ["", "", "0"]  # as good is not better


def test_only_rows_of_the_same_measurement_are_kept():
    def rows(part, model, seed, train=10, value=0.0, budget=5.0):
        about = {"part": part, "model": model, "seed": seed, "train": train, "columns": 3}
        return about | {"budget": budget, "threads": 1, "profile": "fast", "value": value}

    race = rows("race", "ctgan", 0, budget=0.0)
    before = pd.DataFrame([race, *(rows("equal time", m, s) for m in "ab" for s in (0, 1))])
    again = training.merged(before, pd.DataFrame([rows("equal time", "a", 0, value=1.0)]))
    kept = again.set_index(["model", "seed"])["value"]
    assert len(again) == 5 and kept["a", 0] == 1 and kept.sum() == 1
    other = training.merged(before, pd.DataFrame([rows("equal time", "a", 0, train=20)]))
    assert other["model"].tolist() == ["ctgan", "a"]
    same = training.merged(before, pd.DataFrame([rows("race", "tvae", 0, budget=0.0)]))
    assert len(same) == 6


def test_wins_are_counted_over_ten_metrics():
    names = [f"{name} (published)" for name in training.TUTORIAL]
    medians = pd.DataFrame({name: {"modern": 1.0, "peer": 2.0} for name in names})
    higher = {"tstr_auroc", "trts_auroc", "feature_importance"}
    assert training.better(medians, "peer", "published") == 10 - len(higher)
    assert training.better(medians, "modern", "published", than="peer") == len(higher)
    assert training.better(medians.assign(**{names[0]: 1.0}), "peer", "published") == 6.5
    medians.loc["peer", "tstr_auroc (published)"] = np.nan  # nobody with the outcome
    assert training.better(medians, "peer", "published") == 8
    assert training.better(medians, "modern", "published", than="peer") == 2


def test_race_is_won_by_the_fewest_steps_that_are_as_good():
    def row(model, seed, seconds, c2st, steps):
        value = 0.5 if model == "modern" else 0.6
        metrics = {training.label(name, "published"): value for name in training.TUTORIAL}
        taken = {"preparation": 1.0, "training": seconds - 1.0, "steps": steps}
        about = {"part": training.RACE, "model": model, "seed": seed, "train": 9, "columns": 3}
        return about | taken | metrics | {training.C2ST: c2st}

    results = [row("ctgan", seed, 100.0, 0.9, 600) for seed in (0, 1)]
    results += [row("tvae", seed, 50.0, 0.5, 300) for seed in (0, 1)]
    results += [row("modern", s, 4.0 * k, c, 25 * k) for s in (0, 1) for k, c in
                ((1, 0.95), (2, 0.85), (4, 0.7))]  # fmt: skip
    table = training.race_table(pd.DataFrame(results)).to_numpy(str).tolist()
    assert table[0] == ["CTGAN", "9", "3", "100.0", "0.900", "8.0", "0.850", "50", "12.5", "7", "7"]
    assert table[1][5:] == ["not reached", "", "", "", "", ""]


def test_ehrsynth_is_measured_as_the_others_are(tmp_path):
    train, holdout = (population(n, 6, seed=s) for n, s in ((600, 1), (200, 2)))
    schema = Schema.of(train)
    made, facts = training.MODELS["modern"][2](train, schema, 0, None, steps=4)
    made = training.tidy(made, schema)
    assert facts["steps"] == 4 and facts["seen"] == 4 * 128
    assert min(facts["preparation"], facts["training"], facts["generation"]) > 0
    values = training.scores(train, holdout, made, schema, "fast", 0)
    assert 0 <= values[training.C2ST] <= 1
    del values[training.C2ST]
    assert {name.split()[0] for name in values} == set(training.TUTORIAL)


def test_time_of_a_step_is_known_before(monkeypatch):
    train = population(200, 6, seed=1)
    prep = Preprocessor().fit(train)
    recipe = named("modern")

    def fitted(recipe, seed, steps, encoded):
        return None, 0.1 * steps + 1.5 * (recipe.looks > 0), 9.0  # seconds: steps, looks; the rest

    monkeypatch.setattr(training, "fitted", fitted)
    assert training.steps_in(20.0, recipe, 0, prep.transform(train)) == 185
