"""Columns that determine the outcome are found, and nothing is claimed on their strength."""

import numpy as np
import pandas as pd
import pytest
from conftest import schema_of

from ehrsynth.discovery.leaks import leaks, unused
from ehrsynth.evaluation import evaluate
from ehrsynth.evaluation.alignment import LEAKS, RELATIONS
from ehrsynth.schema import MISSING, Column, Schema
from ehrsynth.sources.flat import table as flat


def sick(n: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Patients of whom many die, by their age and a good laboratory value."""
    rng = np.random.default_rng(seed)
    age = rng.normal(68, 14, n).round()
    died = rng.random(n) < 1 / (1 + np.exp(13 - 0.18 * age))
    return pd.DataFrame({
        "died": died.astype(int), "age": age, "sex": rng.choice(["F", "M"], n),
        "lab": (rng.normal(0, 1, n) + 1.8 * died).round(2),
        "ward": np.where(rng.random(n) < 0.1 + 0.3 * died, "intensive", "medicine"),
        "code": (rng.random(n) < 0.1 + 0.6 * died).astype(int),
    })  # fmt: skip


LEAKING = {
    "label": lambda d, rng: np.where(d, "dead", "alive"),
    "label with slips": lambda d, rng: np.where(rng.random(len(d)) < 0.01, ~d, d).astype(int),
    "cause": lambda d, rng: np.where(d, rng.choice(["heart", "cancer"], len(d)), None),
    "cause, half unknown": lambda d, rng: np.where(d & (rng.random(len(d)) < 0.5), "heart", None),
    "morgue": lambda d, rng: np.where(d & (rng.random(len(d)) < 0.3), "morgue",
                                      rng.choice(["home", "care"], len(d))),
    "days to death": lambda d, rng: np.where(d, rng.integers(1, 300, len(d)), np.nan),
    "some days to death": lambda d, rng: np.where(d & (rng.random(len(d)) < 0.4),
                                                  rng.integers(1, 300, len(d)), np.nan),
    "follow-up": lambda d, rng: np.where(d, rng.integers(1, 300, len(d)), 365),
}  # fmt: skip


def with_column(name: str, values, **said) -> tuple[pd.DataFrame, Schema]:
    table = sick().assign(**{name: values})
    schema = schema_of(table, outcome="died")
    return schema.cast(table), schema


@pytest.mark.parametrize("kind", LEAKING)
@pytest.mark.parametrize("mostly", [False, True], ids=["rare", "common"])
def test_what_is_known_only_afterwards_is_found_and_nothing_else(kind, mostly):
    rng, table = np.random.default_rng(1), sick()
    died = table["died"].to_numpy() == 1
    if mostly:  # the outcome is to survive, and most do
        died_ = rng.random(len(died)) < 0.6
        table["died"], died = died_.astype(int), died_
    table["x"] = LEAKING[kind](died, rng)
    schema = schema_of(table, outcome="died")
    found = leaks(schema.cast(table), schema)
    if mostly and kind in ("cause, half unknown", "morgue", "some days to death"):
        # Who has no such value has survived no more surely than others: it says the common class.
        assert found == []
    else:
        assert [leak.column for leak in found] == ["x"] and 0.95 <= found[0].low <= found[0].value


def test_a_strong_honest_predictor_is_none():
    table = sick()
    schema = schema_of(table, outcome="died")
    assert leaks(schema.cast(table), schema) == []
    assert leaks(schema.cast(table).head(12), schema) == []
    assert leaks(schema.cast(table), schema_of(table)) == []  # no outcome


def test_the_persons_word_counts(tmp_path):
    table = sick().assign(label=lambda t: np.where(t["died"], "dead", "alive"))
    file, columns = tmp_path / "t.csv", tmp_path / "c.yaml"
    table.to_csv(file, index=False)
    read = flat.load(file, "died")["table"]
    assert unused(Schema.of(read), leaks(read, Schema.of(read))) == ["label"]
    columns.write_text("label: {predictor: true}\nage: {predictor: false}")
    read = flat.load(file, "died", columns)["table"]
    schema = Schema.of(read)
    assert unused(schema, leaks(read, schema)) == ["age"]
    assert Schema.from_json(schema.to_json()) == schema


def test_models_do_not_see_it_and_the_report_says_so():
    """A synthetic table that has nothing but the leak is not as instructive as real data."""
    tables = [sick(1200, seed).assign(label=lambda t: np.where(t["died"], "dead", "alive"))
              for seed in range(3)]  # fmt: skip
    rng = np.random.default_rng(0)
    for name in ("age", "lab", "ward", "code"):
        tables[2][name] = rng.permutation(tables[2][name])
    schema = schema_of(tables[0], outcome="died")
    report = evaluate(*tables, schema=schema, profile="fast")
    assert report["tstr_auroc"].value < 0.6
    assert report["tstr_auroc"].best < 0.98
    assert [row["column"] for row in report.facts[LEAKS]] == ["label"]
    verdict = report.verdicts()["utility"]
    assert verdict.level == "bad" and "determines the outcome: label" in " ".join(verdict.sentences)
    assert "nearly determine the outcome" in report.to_html(pictures=False)


def test_relations_kept_is_a_metric_and_a_table_of_the_report():
    tables = []
    for seed in range(3):
        table, rng = sick(1200, seed), np.random.default_rng(seed + 10)
        tables.append(
            table.assign(u=(u := rng.normal(70, 9, 1200).round()), twice=2 * u + table["age"])
        )
    tables[2].loc[:299, "twice"] += 5
    schema = schema_of(tables[0], outcome="died")
    report = evaluate(*tables, schema=schema, profile="fast")
    metric = report["relations_kept"]
    assert (metric.value, metric.best) == (0.75, 1.0) and metric.worst < 0.2 and metric.notices
    (row,) = report.facts[RELATIONS]
    assert row["relation"] == "twice = age + 2 * u"
    assert [row[f"{name}, broken"] for name in ("train", "holdout", "synthetic")] == [
        "0 of 1,200", "0 of 1,199", "300 of 1,200",  # of the holdout one is too old for an age
    ]  # fmt: skip
    assert "twice = age + 2 * u" in report.to_html(pictures=False)


def test_without_relations_the_metric_says_why():
    tables = [sick(300, seed) for seed in range(3)]
    report = evaluate(*tables, schema=schema_of(tables[0], outcome="died"), profile="fast")
    metric = report["relations_kept"]
    assert metric.value is None and "no relation" in metric.reason
    assert RELATIONS not in report.facts and LEAKS not in report.facts


@pytest.mark.parametrize("told", [True, False])
def test_a_band_of_the_time_is_seen_where_some_have_none(told):
    rng = np.random.default_rng(6)
    time = rng.exponential(400, 500).round() + 1
    band = np.where(time > 365, "long", "short") if told else rng.choice(["long", "short"], 500)
    band = pd.Series(band).where(rng.random(500) < 0.9, MISSING)
    columns = (Column("event", "binary", "outcome"), Column("time", "continuous", "time"),
               Column("band", "categorical", categories=("long", "short", MISSING)))  # fmt: skip
    table = pd.DataFrame({"event": rng.integers(0, 2, 500), "time": time, "band": band})
    table = Schema(columns).cast(table)
    assert [leak.column for leak in leaks(table, Schema(columns))] == (["band"] if told else [])
