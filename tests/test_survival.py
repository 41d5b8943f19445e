"""Time to an event: the statistics, what may not predict, and the way from a columns file."""

import json
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import ehrsynth as es
from ehrsynth import plots
from ehrsynth.discovery import relations
from ehrsynth.discovery.leaks import leaks
from ehrsynth.errors import InputError
from ehrsynth.evaluation import PROFILES, evaluate, judge, survival
from ehrsynth.evaluation.report import _pictures
from ehrsynth.evaluation.setting import with_references
from ehrsynth.schema import Column, Schema
from ehrsynth.statistics import NotComputable, kaplan_meier

SPECS = {spec.name: spec for spec in survival.SPECS}


def followed(n=150, seed=7):
    """Whole times with many ties, a third of them censored, and three columns."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 10, (n, 3)).astype(float)
    time = np.ceil(rng.exponential(20 / np.exp(0.1 * x[:, 0] - 0.05 * x[:, 1])))
    end = rng.integers(5, 40, n)
    return x, np.minimum(time, end), (time <= end).astype(int)


def test_cox_and_kaplan_meier_as_lifelines_gives_them():
    """The numbers are those of lifelines 0.30.3, whose ties are Efron's too."""
    x, time, event = followed()
    beta, error = survival.cox(x, time, event)
    assert beta == pytest.approx([0.07267693027, -0.00263794571, 0.00547183607], abs=1e-6)
    assert error == pytest.approx([0.03313093908, 0.0344353019, 0.03218603042], abs=1e-6)
    at = kaplan_meier(time, event).evaluate([5, 10, 20])
    assert at == pytest.approx([0.6666666667, 0.4911139493, 0.2741331945])


def test_kaplan_meier_by_hand():
    """Five people; one is censored at 2, two die at 3."""
    curve = kaplan_meier(np.array([1, 2, 3, 3, 5]), np.array([1, 0, 1, 1, 0]))
    assert curve.evaluate([0, 1, 2, 3, 5]) == pytest.approx([1, 0.8, 0.8, 0.8 / 3, 0.8 / 3])
    error = np.array([0.8 * 0.05**0.5, 0.8 / 3 * (0.05 + 2 / 3) ** 0.5])
    low = curve.confidence_interval().low.evaluate([1, 3])
    assert low == pytest.approx(np.maximum([0.8, 0.8 / 3] - 1.96 * error, 0), abs=1e-4)


def test_a_column_that_separates_has_no_hazard_ratio():
    _, time, event = followed()
    with pytest.raises(NotComputable, match="separates"):
        survival.cox(np.array([event, event]).T.astype(float), time, event)


# -- metrics -----------------------------------------------------------------------------


def people(n, seed, effect=0.8, scale=10.0):
    """Followed for up to 15; `effect` is the log hazard ratio of a code and of 20 years of age."""
    rng = np.random.default_rng(seed)
    age, code = rng.uniform(30, 90, n).round(), rng.random(n) < 0.4
    noise = rng.random((n, 3)) < 0.3
    time = rng.exponential(scale / np.exp(effect * code + effect * (age - 60) / 20))
    died, time = time <= 15, np.minimum(time, 15).round(2)
    table = pd.DataFrame({"died": died, "years": time, "age": age, "code": code})
    table[["a", "b", "c"]] = noise
    return table.astype(dict.fromkeys(["died", "code", "a", "b", "c"], "uint8"))


SCHEMA = Schema(
    (Column("died", "binary", "event"), Column("years", "continuous", "time", lower=0, upper=15),
     Column("age", "continuous"), *(Column(c, "binary") for c in ("code", "a", "b", "c")))
)  # fmt: skip


def scenes(synthetic, seed=0):
    tables = {"train": people(1_400, 1), "holdout": people(600, 2), "synthetic": synthetic}
    return with_references(**tables, schema=SCHEMA, effort=PROFILES["fast"], seed=seed)


def test_the_time_predicts_nothing_and_the_event_is_the_outcome():
    assert (SCHEMA.outcome, SCHEMA.time) == ("died", "years")
    assert Schema.from_json(SCHEMA.to_json()) == SCHEMA
    setting = scenes(people(1_400, 3))["synthetic"]
    labels = np.array(setting.encoder.labels)[setting.encoder.predictors]
    assert labels.tolist() == ["age", "code", "a", "b", "c"]
    assert setting.train.features.shape == (1_400, 5)
    # Without the role, the time tells nearly everything.
    given = {"train": people(1_400, 1), "holdout": people(600, 2), "synthetic": people(1_400, 3)}
    plain = Schema(tuple(Column(c.name, c.kind, "outcome" if c.name == "died" else "feature")
                         for c in SCHEMA.columns))  # fmt: skip
    found = {}
    for name, schema in (("time", SCHEMA), ("no time", plain)):
        scene = with_references(**given, schema=schema, effort=PROFILES["fast"], seed=0)
        spec = next(spec for spec in judge.SPECS if spec.name == "tstr_auroc")
        found[name] = spec.evaluate(scene["synthetic"], 0).value
    assert found["time"] < 0.85 and found["no time"] > 0.97


def test_what_follows_from_the_time_is_no_predictor_either():
    def told(seed, n):
        table, rng = people(n, seed), np.random.default_rng(seed)
        entry = rng.integers(0, 2_000, n).astype(float)
        return table.assign(
            months=(12 * table["years"]).round(2), gone=(entry + table["years"]).round(2),
            entry=entry, log_time=np.log1p(table["years"]).round(6), size=rng.normal(9, 1, n),
            band=pd.cut(table["years"], [-1, 2, 8, 99], labels=["short", "mid", "long"]),
        )  # fmt: skip

    more = [Column(name, "continuous", decimals=2) for name in ("months", "gone")]
    more += [Column("entry", "continuous", decimals=0), Column("log_time", "continuous"),
             Column("size", "continuous"),
             Column("band", "categorical", categories=("short", "mid", "long"))]  # fmt: skip
    years = replace(SCHEMA["years"], decimals=2)
    schema = Schema((*(years if c.name == "years" else c for c in SCHEMA.columns), *more))
    tables = {"train": told(1, 1_400), "holdout": told(2, 600), "synthetic": told(3, 1_400)}
    found = leaks(tables["train"], schema, relations(tables["train"], schema))
    assert {leak.column for leak in found} == {"months", "gone", "log_time", "band"}
    report = evaluate(*tables.values(), schema=schema, profile="fast")
    assert report["tstr_auroc"].value < 0.85
    vouched = Schema(tuple(replace(c, predictor=True) for c in schema.columns))
    assert leaks(tables["train"], vouched, relations(tables["train"], schema)) == []


def test_fresh_patients_are_as_good_as_the_best():
    at, behind = scenes(people(1_400, 3)), []
    for spec in SPECS.values():
        metric = judge._metric(spec, at, 0, {})
        assert metric.value is not None and metric.best is not None and metric.worst is not None
        behind.append(metric.behind)
    assert not any(behind)
    labels, sides = survival._regressions(at["synthetic"])
    (real, _), (made, error) = (survival.cox(*side) for side in sides)
    assert {"age", "code"} <= set(labels)
    assert (np.abs(real - made) < 5 * error).all()


@pytest.mark.parametrize(
    ("fault", "noticed"),
    [
        (lambda t: t.assign(years=t["years"] / 2), {"survival_difference"}),
        (lambda t: people(1_400, 5, effect=0.0), {"hazard_ratios"}),
        # Times that do not belong to the event: as many of each, but of others.
        (lambda t: t.assign(years=np.random.default_rng(0).permutation(t["years"])),
         {"hazard_ratios"}),
    ],
    ids=["half the time", "no effect", "another's time"],
)  # fmt: skip
def test_a_fault_is_noticed(fault, noticed):
    at = scenes(fault(people(1_400, 3)))
    found = {name: judge._metric(spec, at, 0, {}) for name, spec in SPECS.items()}
    assert noticed <= {name for name, metric in found.items() if metric.notices}


def test_a_difference_of_curves_by_hand():
    """One half of the time at 1 instead of 0.5; nobody lives on from 2 to 3 on either side."""
    one = (np.array([1.0, 2.0]), np.array([1, 1]))
    other = (np.array([2.0, 2.0]), np.array([1, 1]))
    assert survival._mean_apart(one, other, 2.0) == pytest.approx(0.25)
    assert survival._mean_apart(one, other, 4.0) == pytest.approx(0.125)
    assert survival._mean_apart(one, one, 2.0) == 0
    censored = (np.array([1.0, 2.0]), np.array([0, 0]))
    assert survival._mean_apart(censored, censored, 2.0) == 0


def test_without_times_or_events_there_is_a_reason():
    empty = people(1_400, 3).assign(years=np.nan)
    found = {name: judge._metric(s, scenes(empty), 0, {}) for name, s in SPECS.items()}
    assert all("have a time" in metric.reason for metric in found.values())
    few = people(1_400, 3)
    few["died"] = np.uint8(0)
    few.loc[:4, "died"] = 1
    assert "fewer than 10 patients have the event" in (
        judge._metric(SPECS["hazard_ratios"], scenes(few), 0, {}).reason
    )


def test_a_report_has_the_metrics_and_a_picture_only_where_there_is_a_time():
    tables = {"train": people(700, 1), "holdout": people(300, 2), "synthetic": people(700, 3)}
    found = evaluate(**tables, schema=SCHEMA, profile="fast")
    assert set(SPECS) <= {metric.name for metric in found.metrics}
    captions = [picture["caption"] for picture in _pictures(found)["fidelity"]]
    assert any("still without the event" in caption for caption in captions)
    ax = plots.survival(found.tables)
    assert [line.get_label() for line in ax.get_lines()] == ["real", "holdout", "synthetic"]
    assert ax.collections  # the band
    plt.close(ax.figure)
    timeless = SCHEMA.select([name for name in SCHEMA.names if name != SCHEMA.time])
    found = evaluate(**tables, schema=timeless, profile="fast")
    assert not set(SPECS) & {metric.name for metric in found.metrics}


# -- from a columns file ------------------------------------------------------------------


def written(tmp_path, table, columns):
    table.to_csv(tmp_path / "table.csv", index=False)
    (tmp_path / "columns.json").write_text(json.dumps(columns))
    return {"data": tmp_path / "table.csv", "columns": tmp_path / "columns.json"}


ROLES = {"years": {"role": "time"}, "died": {"role": "event"}}


def test_the_event_of_a_columns_file_is_the_outcome(tmp_path):
    table = people(300, 0)
    table.loc[3, "years"] = -1
    found = es.load("table", **written(tmp_path, table, ROLES))["table"]
    schema = Schema.of(found)
    assert (schema.outcome, schema.time) == ("died", "years")
    assert schema["years"].kind == "continuous" and schema["years"].lower == 0
    given = es.load("table", **written(tmp_path, table, ROLES), outcome="died")["table"]
    pd.testing.assert_frame_equal(given, found)


@pytest.mark.parametrize(
    ("columns", "outcome", "words"),
    [
        (ROLES | {"code": {"role": "event"}}, None, "died, code the role event; give it to one"),
        (ROLES | {"age": {"role": "time"}}, None, "years, age the role time; give it to one"),
        (ROLES, "code", "'died' is the event, which is the outcome"),
        ({"years": {"role": "time"}}, None, "a time but no event"),
        (ROLES | {"years": {"role": "moment"}}, None, "'moment' for column 'years'"),
    ],
)
def test_roles_that_do_not_fit_are_refused(tmp_path, columns, outcome, words):
    given = written(tmp_path, people(300, 0), columns)
    with pytest.raises(InputError, match=words):
        es.load("table", **given, outcome=outcome)


def test_a_time_is_a_number():
    with pytest.raises(InputError, match="role time but is categorical; a time is a number"):
        Column("t", "categorical", "time")
    with pytest.raises(InputError, match="Only one column can be the time"):
        Schema((Column("a", "continuous", "time"), Column("b", "continuous", "time")))
