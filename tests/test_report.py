"""evaluate() and its report: right words, valid files, and no traceback on odd tables."""

import json
import re
from dataclasses import replace
from pathlib import Path

import jsonschema
import matplotlib

matplotlib.use("Agg")
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from known_truth import noisy_copy, population

import ehrsynth
from ehrsynth.errors import InputError
from ehrsynth.evaluation import (
    SPECS,
    Estimate,
    Metric,
    Report,
    align,
    compare,
    evaluate,
    fairness,
)  # fmt: skip
from ehrsynth.evaluation.alignment import DEFECTS, IN_TRAIN, LACKING, UNJUDGED, not_compared
from ehrsynth.evaluation.judge import _absent
from ehrsynth.evaluation.privacy import scores
from ehrsynth.evaluation.privacy.success import ALARMS
from ehrsynth.evaluation.setting import Encoder, independent
from ehrsynth.files import write_json
from ehrsynth.schema import Column, Schema

REPOSITORY = Path(__file__).resolve().parents[1]
SCHEMA = REPOSITORY / "ehrsynth" / "evaluation" / "metrics.schema.json"
FIELDS = {
    "name", "title", "family", "form", "value", "ci_low", "ci_high", "best", "worst", "share",
    "direction", "unit", "source", "sentence", "behind", "reason", "note",
}  # fmt: skip


@pytest.fixture(scope="module")
def people():
    return population(1000, 30, seed=1), population(430, 30, seed=2)


@pytest.fixture(scope="module")
def few():
    """For what does not depend on how many they are: a report of them takes half as long."""
    return population(300, 30, seed=1), population(130, 30, seed=2)


@pytest.fixture(scope="module")
def fresh(people):
    return evaluate(
        *people, population(1000, 30, seed=3), profile="fast",
        facts={"license": "<b>none</b>", "patients": 1430, "share": float("nan")},
    )  # fmt: skip


@pytest.fixture(scope="module")
def copied(people):
    return evaluate(*people, people[0].sample(frac=1, random_state=0), profile="fast")


@pytest.fixture(scope="module")
def mixed(people):
    made = independent(people[0], 1000, np.random.default_rng(0))
    return evaluate(*people, made, profile="fast")


# -- content -------------------------------------------------------------------------------


def test_every_metric_is_there_with_its_fields(fresh):
    assert [(m.name, m.form) for m in fresh.metrics] == [(s.name, s.form) for s in SPECS]
    for metric in fresh.to_dict()["metrics"]:
        assert set(metric) == FIELDS
        assert metric["form"] in ("published", "corrected")
        assert metric["direction"] in ("lower", "higher")
        assert metric["sentence"].endswith(".") and metric["source"] and metric["unit"]
        assert (metric["value"] is None) == (metric["reason"] is not None)


def test_every_metric_has_a_value_references_and_an_interval_around_it(fresh):
    for metric in fresh.metrics:
        if metric.name == "prevalence_of_rare_codes":  # there is no such code here
            assert "fewer than three" in metric.reason
            continue
        assert metric.value is not None, metric
        assert metric.best is not None and metric.worst is not None
        assert metric.ci_low <= metric.value <= metric.ci_high


def test_worst_auroc_is_an_average_near_chance(fresh):
    assert fresh["tstr_auroc"].worst == pytest.approx(0.5, abs=0.08)
    assert fresh["trts_auroc"].worst == pytest.approx(0.5, abs=0.05)


def test_name_and_form_are_unique():
    keys = [(s.name, s.form) for s in SPECS]
    assert len(set(keys)) == len(keys)
    assert all(re.fullmatch(r"[a-z0-9_]+", name) for name, _ in keys)


def test_same_seed_gives_the_same_file_and_it_is_strict_json(fresh, people, tmp_path):
    facts = {"license": "<b>none</b>", "patients": 1430, "share": float("nan")}
    again = evaluate(*people, population(1000, 30, seed=3), profile="fast", facts=facts)
    fresh.save(tmp_path / "a")
    again.save(tmp_path / "b")
    text = (tmp_path / "a" / "metrics.json").read_text()
    assert text == (tmp_path / "b" / "metrics.json").read_text()
    content = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in the file"))
    assert content["rows"] == {"train": 1000, "holdout": 430, "synthetic": 1000}
    assert content["facts"]["share"] is None


def test_file_keeps_to_its_schema_and_the_book_names_every_key(fresh, people):
    schema = json.loads(SCHEMA.read_text())
    empty = fresh.metrics[0].__class__.of(SPECS[0], None, reason="there is nothing")
    for report in (fresh, Report(metrics=[empty], settings=fresh.settings, rows=fresh.rows)):
        jsonschema.validate(report.to_dict(), schema)
    broken = fresh.to_dict() | {"overlap": -1}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)
    silent = fresh.to_dict()
    silent["metrics"][0] |= {"value": None, "reason": None}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(silent, schema)
    page = (REPOSITORY / "book" / "command-line.md").read_text(encoding="utf-8")
    table = page[page.index("### What metrics.json holds") :]
    for part in (schema, schema["properties"]["metrics"]["items"]):
        assert set(part["required"]) == set(part["properties"])
        for key, about in part["properties"].items():
            assert f"`{key}`" in table and about["description"].endswith(".")


def test_report_names_thresholds_fingerprints_and_who_signs(fresh, tmp_path):
    page = fresh.to_html(pictures=False)
    assert "Reviewed by (name, role)" in page and "Intended recipient" in page
    assert all(row["why"].split(",")[0].split(";")[0] in page for row in ALARMS.values())
    assert set(fresh.fingerprints) == set(fresh.rows)
    assert all(print_ in page for print_ in fresh.fingerprints.values())
    for text in (page, fresh.card()):
        assert "anonym" not in text.lower().replace("k-anonymity", "")
    assert f"at most {fresh.rows['train']:,} of its rows" in fresh.card()
    assert any(f"more than {fresh.rows['train']:,} of its" in s for s in fresh.advice()["bad"])
    assert "Most exposed are patients unlike others" in page


def test_card_says_what_where_how_for_what_and_who_is_exposed(fresh, copied, tmp_path):
    fresh.save(tmp_path)
    card = (tmp_path / "card.md").read_text(encoding="utf-8")
    assert card == fresh.card()
    for words in (
        f"1,000 synthetic patients in {len(fresh.columns)} columns",
        "**License of the source**: <b>none</b>",
        "**Made by**: not stated",
        f"**Are the patients protected?** {fresh.verdicts()['privacy'].headline}.",
        "## Good for", "## Not for", "profile fast, seed 0", *fresh.answer(),
        "**Guaranteed**: nothing", "**Evidence**: every number", "**Neither**: attacks that",
    ):  # fmt: skip
        assert words in card, words
    page = fresh.to_html(pictures=False)
    for words in (
        "<b>Guaranteed</b>: nothing",
        "<b>Evidence</b>: every",
        "<b>Neither</b>: attacks",
    ):
        assert words in page, words
    promised = replace(fresh, facts={"guarantee": "differential privacy, epsilon 1"})
    assert "**Guaranteed**: differential privacy, epsilon 1, of what" in promised.card()
    assert "Do not share this data" in copied.card()
    assert "Leaving the institution" in copied.card().split("## Not for")[1]


def test_report_reads_its_file_back(fresh, tmp_path):
    fresh.save(tmp_path)
    back = Report.load(tmp_path / "metrics.json")
    pd.testing.assert_frame_equal(back.to_frame(), fresh.to_frame())
    assert "Close to real patients" in back.to_html()  # without pictures


def test_metrics_are_found_by_name_corrected_first(fresh):
    assert fresh["membership_inference"].form == "corrected"
    assert fresh["membership_inference", "published"].unit == "F1"
    with pytest.raises(KeyError):
        fresh["nonsense"]


@pytest.mark.parametrize(
    ("value", "best", "worst", "share"),
    [
        (Estimate(0.6, 0.5, 0.7), Estimate(0.5, 0.4, 0.6), Estimate(0.9, 0.8, 1.0), 0.75),
        (Estimate(0.6), Estimate(0.5, 0.3, 0.7), Estimate(0.7, 0.5, 0.9), None),  # by chance
        (Estimate(0.6), Estimate(0.9), Estimate(0.5), None),  # best is worse than worst
        (Estimate(0.6), Estimate(0.5), None, None),
    ],
)
def test_share_is_the_way_from_worst_to_best(value, best, worst, share):
    spec = next(s for s in SPECS if s.direction == "lower")
    assert Metric.of(spec, value, best, worst).share == (share and pytest.approx(share))


@pytest.mark.parametrize(
    ("value", "best", "behind"),
    [
        (Estimate(0.6, 0.57, 0.63), Estimate(0.5, 0.46, 0.54), True),  # 0.10 > 0.05
        (Estimate(0.6, 0.55, 0.65), Estimate(0.5, 0.41, 0.59), False),  # 0.10 < 0.103
        (Estimate(0.4, 0.39, 0.41), Estimate(0.5, 0.49, 0.51), False),  # better than the best
        (Estimate(0.6), Estimate(0.5), True),  # no interval: nothing is left to chance
        (Estimate(0.6), None, None),
    ],
)
def test_behind_is_worse_than_best_by_more_than_chance(value, best, behind):
    spec = next(s for s in SPECS if s.direction == "lower")
    assert Metric.of(spec, value, best, Estimate(0.9)).behind is behind


def test_several_candidates_at_once_give_the_same_reports_as_one_by_one(few):
    candidates = {
        "fresh": population(200, 30, seed=3),
        "small": population(70, 30, seed=4),
        "copy": few[0].head(200).reset_index(drop=True),
        "narrow": population(200, 30, seed=5).drop(columns="bmi"),
    }
    reports = compare(*few, candidates, profile="fast")
    for name, table in candidates.items():
        assert reports[name].to_dict() == evaluate(*few, table, profile="fast").to_dict(), name


# -- words ---------------------------------------------------------------------------------


def test_fresh_sample_is_close_useful_and_safe(fresh):
    levels = {family: verdict.level for family, verdict in fresh.verdicts().items()}
    assert levels["fidelity"] == "good"
    assert levels["utility"] == "unknown"  # 430 patients measure an AUROC to +-0.06
    assert levels["privacy"] in ("good", "unknown")


def test_groups_too_small_to_judge_are_named_where_the_answer_is(fresh):
    small = fresh["subgroup_auroc_loss"].note.partition("Too few patients to judge: ")[2]
    assert small and small in " ".join(fresh.verdicts()["fairness"].sentences)


def test_copy_is_close_and_useful_but_must_not_be_released(copied):
    verdicts = copied.verdicts()
    assert verdicts["fidelity"].level == "good"
    assert verdicts["privacy"].level == "bad"
    assert "do not release" in verdicts["privacy"].headline
    assert any(
        "1,000 of 1,000 synthetic patients equal" in s for s in verdicts["privacy"].sentences
    )
    assert "Leaving the institution" in " ".join(copied.advice()["bad"])


def test_independent_columns_are_neither_close_nor_useful(mixed):
    verdicts = mixed.verdicts()
    assert verdicts["fidelity"].level == "bad" and verdicts["utility"].level in ("bad", "unknown")
    assert any("go together" in sentence for sentence in mixed.advice()["bad"])


def test_noisy_copy_is_still_an_alarm(people):
    report = evaluate(*people, noisy_copy(people[0], 0.02), profile="fast")
    assert report.verdicts()["privacy"].level == "bad"


def test_page_is_one_file_without_network_and_escapes_texts(fresh, tmp_path):
    fresh.save(tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)
    assert "url(" not in page and "@import" not in page and "<script" not in page
    assert page.count("data:image/png;base64,") >= 4
    assert "&lt;b&gt;none&lt;/b&gt;" in page
    assert page.index("Close to real patients") < page.index("How to read the numbers")
    assert all(m.sentence[:40] in page.replace("&#39;", "'") for m in fresh.metrics)
    for image in re.findall(r"<img[^>]*>", page):
        assert 'alt="' in image


def test_notebook_table_is_short(fresh):
    table = fresh._repr_html_()
    assert table.count("<tr") == 1 + len({m.name for m in fresh.metrics})


# -- odd tables ----------------------------------------------------------------------------


def complete(report, pictures=False):
    """The report can be written, and every missing number has a reason."""
    assert all(m.value is not None or m.reason for m in report.metrics)
    json.dumps(report.to_dict(), allow_nan=False)
    report.to_html(pictures)
    return report


def test_columns_only_in_one_table_are_left_out_and_named(people):
    made = population(300, 30, seed=3).drop(columns=["phe_7.9", "bmi"]).assign(extra=1)
    report = complete(evaluate(*people, made, profile="fast"))
    assert report.left_out == {
        "train": ["bmi", "phe_7.9"], "holdout": ["bmi", "phe_7.9"], "synthetic": ["extra"],
    }  # fmt: skip
    page = report.to_html(pictures=False)
    assert "bmi, phe_7.9" in page and "extra" in page
    first = " ".join(report.answer())
    assert "use them: extra" in first and "bmi (not there), phe_7.9" in first
    assert report.verdicts()["privacy"].level != "good"


def test_notes_leave_out_what_is_empty_and_what_nobody_lost(monkeypatch):
    whom = SimpleNamespace(patients=np.zeros((20, 2)), to_others=np.arange(20.0))
    schema = Schema((Column("a", "continuous"), Column("b", "binary")))
    encoder = SimpleNamespace(is_kind=lambda kind: np.array([False, True]), schema=schema)
    scene = SimpleNamespace(once=lambda compute: whom, encoder=encoder)
    assert scores._who_is_exposed(scene) == "Most exposed are patients unlike others."
    whom.patients[-2:, 1] = 1
    assert "with 1 codes (all: 0)." in scores._who_is_exposed(scene)
    table = pd.DataFrame({"auroc": [0.66, 0.7], "auroc_real": [0.6, 0.6]}, index=["sex = F", "M"])
    monkeypatch.setattr(fairness, "by_group", lambda setting: table)
    assert fairness._worst_auroc(scene).startswith("Nothing is lost in any judged group")
    table.loc["M", "auroc"] = 0.5
    assert fairness._worst_auroc(scene) == "Most is lost for M: 0.50 instead of 0.60."


def test_an_identifier_that_the_columns_file_drops_is_not_released_in_silence(
    people, tmp_path, caplog
):
    drop = tmp_path / "columns.json"
    drop.write_text('{"patient_id": {"drop": true}}')
    tables = dict(zip(("train", "holdout"), people, strict=True))
    keys = {role: [f"P{len(t) * 7 + 3 * i}" for i in range(len(t))] for role, t in tables.items()}
    real = {role: t.assign(patient_id=keys[role]) for role, t in tables.items()}
    made = population(300, 30, seed=3)
    for ids, expected in ((keys["train"][:300], 100.0), (["P7"] * 300, 0.0)):
        given = align(real | {"synthetic": made.assign(note="seen", patient_id=ids)},
                      None, "DIE_1y", columns=drop)  # fmt: skip
        shared = given["schema"]
        assert "patient_id" not in shared
        tables = {role: given[role] for role in (*real, "synthetic")}
        rows = not_compared(tables, shared, shared)[UNJUDGED]
        assert {row["column"]: row[IN_TRAIN] for row in rows} == {
            "note": None, "patient_id": expected,
        }  # fmt: skip
    assert "patient_id" in caplog.text and "note" in caplog.text
    tables["synthetic"] = tables["synthetic"].assign(DIE_1y=0)
    (lacking,) = not_compared(tables, shared, shared)[LACKING]
    assert lacking["outcome"] and lacking["what"] == "one value only"


@pytest.mark.parametrize("given", ["learned", "schema"])
def test_a_column_that_is_the_same_everywhere_tells_of_nobody(people, given):
    """And one that differs in a single row of one table does."""
    tables = dict(zip(("train", "holdout"), people, strict=True)) | {"synthetic": people[0].copy()}
    schema = Schema.of(people[0]) if given == "schema" else None
    tables = {role: pd.DataFrame(t).assign(site="North", year=2020.0) for role, t in tables.items()}
    aligned = align(tables, schema, "DIE_1y" if schema is None else None)
    assert not {"site", "year"} & set(aligned["synthetic"]) and not {"site"} & set(aligned["train"])
    tables["synthetic"].loc[3, "site"] = "South"
    assert "site" in align(tables, schema, "DIE_1y" if schema is None else None)["synthetic"]


def test_tiny_tables_give_a_report_that_says_so():
    tables = population(58, 30, seed=1), population(25, 30, seed=4), population(58, 30, seed=3)
    report = complete(evaluate(*tables, profile="fast"), pictures=True)
    verdicts = report.verdicts()
    assert verdicts["privacy"].level == "unknown"
    assert "1 %" in report["membership_inference_at_1_percent"].reason
    assert report["subgroup_auroc_loss"].value is None
    assert verdicts["fairness"].level == "unknown"
    # What nobody knows to be safe is good for nothing outside, and each reason is listed once.
    assert all("inside the institution" in use for use in report.advice()["good"])
    assert any("Leaving the institution" in use for use in report.advice()["bad"])
    listed = report.to_html(pictures=False).split("what was left out</h2>")[1]
    assert listed.count(report["subgroup_auroc_loss"].reason) == 1


def test_the_mean_says_how_many_numbers_it_is_of(fresh):
    counted = [m for m in fresh.of("fidelity") if m.share is not None]
    said = f"Counted are the {len(counted)} of {len(fresh.of('fidelity'))} numbers"
    assert said in fresh.verdicts()["fidelity"].sentences[0]


@pytest.mark.parametrize("rows", [5, 12])
def test_a_handful_of_rows(rows):
    tables = [population(n, 10, seed=i) for i, n in enumerate((rows, rows, rows))]
    complete(evaluate(*tables, profile="fast"))


def test_one_class_outcome_no_outcome_no_sex(few):
    train, holdout = few
    made = population(200, 30, seed=3)
    report = complete(evaluate(train, holdout, made.assign(DIE_1y=np.uint8(0)), profile="fast"))
    assert report["tstr_auroc"].value is None and "one class" in report["tstr_auroc"].reason
    report = complete(
        evaluate(train, holdout, made.drop(columns=["DIE_1y", "sex"]), profile="fast")
    )
    assert "no outcome" in report["tstr_auroc"].reason
    assert "sex" in report["clinical_knowledge_violation"].reason


def test_all_missing_measurement_and_constant_columns(few):
    made = population(200, 30, seed=3).assign(bmi=np.nan, age=50.0, **{"phe_1.9": np.uint8(0)})
    complete(evaluate(*few, made, profile="fast"), pictures=True)


def test_duplicated_rows(few):
    made = pd.concat([population(20, 30, seed=3)] * 20, ignore_index=True)
    report = complete(evaluate(*few, made, profile="fast"))
    assert report["classifier_two_sample_test"].value > 0.6


def test_tables_without_a_schema(people):
    plain = []
    for table in (*people, population(500, 30, seed=3)):
        table = pd.DataFrame({name: table[name].astype(object) for name in table.columns})
        table = table.infer_objects()
        table.attrs = {}
        plain.append(table)
    report = complete(evaluate(*plain, profile="fast"))
    assert report["classifier_two_sample_test"].value < 0.65
    aligned = align(
        dict(zip(("train", "holdout", "synthetic"), plain, strict=True)), None, "DIE_1y"
    )
    report = complete(evaluate(**aligned, profile="fast"))
    assert report["tstr_auroc"].value > 0.6


def test_implausible_values_count_as_not_measured(few):
    bmi = Column("bmi", "continuous", "measurement", unit="kg/m2", lower=10, upper=60, decimals=1)
    columns = Schema.of(few[0]).columns
    schema = Schema(tuple(bmi if column.name == "bmi" else column for column in columns))
    train = few[0].copy()
    train.loc[0, "bmi"] = 107_840.0
    report = evaluate(train, few[1], few[1], schema=schema, profile="fast")
    assert report.outside["train"] == {"bmi": "fewer than 5"}
    assert "train table, values outside the plausible bounds" in report.to_html(pictures=False)
    table, _ = schema.plausible(schema.attach(train))
    assert np.isnan(table["bmi"][0])
    assert train["bmi"][0] == 107_840.0  # the caller's table is untouched


ODD = {
    "only the outcome": lambda t: t[["DIE_1y"]],
    "only one measurement": lambda t: t[["age"]],
    "nobody measured": lambda t: t.assign(age=np.nan, bmi=np.nan, systolic=np.nan),
    "columns in another order": lambda t: t[t.columns[::-1]],
    "a value beyond all ranges": lambda t: t.assign(age=t["age"].where(t.index != 3, 1e30)),
    "one patient many times": lambda t: pd.concat([t.head(1)] * 40, ignore_index=True),
    "floats and booleans": lambda t: t.assign(
        DIE_1y=t["DIE_1y"].astype(float), **{"phe_1.9": t["phe_1.9"] == 1}
    ),
    "text booleans": lambda t: t.assign(DIE_1y=np.where(t["DIE_1y"] == 1, "1", "0")),
    "an index that is no range": lambda t: t.set_axis([f"r{i}" for i in range(len(t))]),
    "one patient with the outcome": lambda t: t.assign(DIE_1y=(t.index == 0).astype("uint8")),
}


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("what", ODD)
def test_odd_synthetic_tables_give_a_report(what):
    real = population(120, 10, seed=1), population(60, 10, seed=2)
    complete(evaluate(*real, ODD[what](population(120, 10, seed=3)), profile="fast"))


@pytest.mark.parametrize("factor", [0.1, 10])
def test_synthetic_table_of_another_size(people, factor):
    report = complete(evaluate(*people, population(int(300 * factor), 30, seed=3), profile="fast"))
    assert report["classifier_two_sample_test"].value < 0.65
    assert report.verdicts()["privacy"].level in ("good", "care", "unknown")


def test_holdout_that_is_the_same_file_as_train(people):
    train = people[0].head(300)
    report = complete(evaluate(train, train, population(300, 30, seed=3), profile="fast"))
    assert report.overlap == 300
    assert "300 of the 300 held-out patients are among the used ones" in report.answer()[0]
    assert report.verdicts()["privacy"].level == "unknown"
    report = complete(evaluate(train, train, train, profile="fast"))
    assert report.verdicts()["privacy"].level == "bad"


def test_holdout_that_is_not_like_train(people):
    other = people[1].assign(bmi=np.nan, **{f"phe_{i}.9": np.uint8(1) for i in range(1, 6)})
    report = complete(evaluate(people[0], other, population(400, 30, seed=3), profile="fast"))
    assert "The held-out patients are not like the used ones" in report.answer()[0]
    assert {v.level for v in report.verdicts().values()} == {"unknown"}


def test_who_could_be_missing_by_chance_is_not_called_missing():
    """Few carriers, or few synthetic patients, or many codes that one could be missing of."""
    codes = [f"phe_{i}" for i in range(40)]
    schema = Schema(tuple(Column(name, "binary", "diagnosis") for name in codes))
    train = pd.DataFrame(0, index=range(1_000), columns=codes, dtype="uint8")
    train.iloc[:7, 0] = train.iloc[:11, 1] = 1  # .008 and .0005 for as many patients
    none = pd.DataFrame(0, index=range(1_000), columns=codes, dtype="uint8")
    assert list(_absent(train, none, schema)) == [schema["phe_1"].title]
    assert _absent(train, none.head(300), schema) == {}
    alone = schema.select(["phe_0"])
    assert _absent(train, none, alone) == {alone["phe_0"].title: 0.007}
    twins = Schema(tuple(Column(name, "binary", "diagnosis", label="low") for name in codes[:2]))
    assert set(_absent(train, none, twins)) == {"low"}  # two columns of one name


def test_who_is_missing_is_named(people):
    made = population(600, 30, seed=3)
    report = complete(
        evaluate(
            *people,
            made[made["race"] != "BLACK"].assign(**{"phe_600": np.uint8(0)}),
            profile="fast",
        )
    )
    assert set(report.absent) == {"Race BLACK", "Code 600"}
    assert report.absent["Race BLACK"] == pytest.approx((people[0]["race"] == "BLACK").mean())
    assert any("no synthetic patient has Race BLACK" in s for s in report.advice()["bad"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.iloc[:0], "synthetic table has no rows"),
        (lambda t: t.iloc[:1], "synthetic table has 1 row;"),
        (lambda t: t.iloc[:4], "synthetic table has 4 rows"),
        (lambda t: t[["age"]].rename(columns={"age": "years"}), "no column in common"),
        (lambda t: pd.concat([t, t[["age"]]], axis=1), "'age' appears twice"),
    ],
)
def test_unusable_tables_are_refused_in_one_sentence(people, change, message):
    made = change(population(50, 30, seed=3))
    with pytest.raises(InputError, match=message) as caught:
        evaluate(*people, made, profile="fast")
    assert str(caught.value).count(". ") == 0 and str(caught.value).endswith(".")


@pytest.fixture(scope="module")
def faultless(people):
    """Patients of whom a report has nothing to complain."""
    made = population(50, 30, seed=3)
    made["age"] = made["age"].clip(*people[0]["age"].quantile([0, 1]))
    assert DEFECTS not in evaluate(*people, made, profile="fast").facts
    return made


@pytest.mark.parametrize(
    ("change", "what", "rows"),
    [
        (lambda t: t.assign(DIE_1y=t["DIE_1y"].where(t.index > 2)), "DIE_1y: missing", 3),
        (lambda t: t.assign(age=t["age"].where(t.index != 1, np.inf)), "age: no number", 1),
        (lambda t: t.assign(age=t["age"].where(t.index != 1, 1e300)), "age: no number", 1),
        (lambda t: t.assign(age=t["age"].where(t.index != 1, 999)), "age: farther outside", 1),
        (lambda t: t.assign(DIE_1y=np.where(t["DIE_1y"] == 1, "yes", "no")), "DIE_1y: written", 50),
        (lambda t: t.assign(race="MARTIAN"), "race: a value .* \\('MARTIAN'\\)", 50),
        (lambda t: t.assign(sex=t["sex"].astype(str).str.lower()), "sex: written otherwise", 50),
        (lambda t: t.assign(age="old"), "age: no number", 50),
        (lambda t: t.assign(DIE_1y=2), "DIE_1y: a value that train does not have", 50),
    ],
)
def test_what_a_generator_did_is_counted_and_never_refused(people, faultless, change, what, rows):
    report = evaluate(*people, change(faultless), profile="fast")
    found = [one for one in report.facts[DEFECTS] if one["table"] == "synthetic"]
    assert [one["rows"] for one in found if re.match(what, one["what"])] == [rows]
    assert report.verdicts()["fidelity"].level != "good"
    assert "do not fit" in report.to_html(pictures=False)


def test_an_invented_category_counts_against_the_generator(people):
    made = population(600, 30, seed=3)
    good = evaluate(*people, made, profile="fast")["classifier_two_sample_test"].value
    odd = made.assign(race=made["race"].astype(object).where(made.index % 4 > 0, "MARTIAN"))
    assert evaluate(*people, odd, profile="fast")["classifier_two_sample_test"].value > good + 0.05


def test_an_index_that_went_into_the_files_is_left_out_and_said():
    tables = {
        role: pd.DataFrame(population(60, 10, seed=seed)).reset_index(names="Unnamed: 0")
        for seed, role in enumerate(("train", "holdout", "synthetic"))
    }
    for table in tables.values():
        table.attrs = {}
    aligned = align(tables, outcome="DIE_1y")
    assert "Unnamed: 0" not in aligned["schema"] and "Unnamed: 0" not in aligned["synthetic"]
    said = {row["column"]: row["notes"] for row in aligned["facts"]["columns of the file"]}
    assert said["Unnamed: 0"].startswith("row numbers")


@pytest.mark.parametrize(
    ("argument", "wrong", "sentence"),
    [
        ("synthetic", None, "synthetic table is None; give a DataFrame"),
        ("train", [1, 2], "train table is of the type list; give a DataFrame"),
        ("holdout", "holdout.csv", "holdout table is of the type str; give a DataFrame"),
        ("schema", {"age": "continuous"}, "schema is of the type dict; give a Schema"),
        ("seed", -1, "seed must be a whole number from 0 on, not -1"),
        ("seed", "one", "seed must be a whole number from 0 on, not 'one'"),
        ("profile", ["fast"], "no profile"),
    ],
)
def test_a_wrong_argument_is_said_in_a_sentence(people, argument, wrong, sentence):
    arguments = {"train": people[0], "holdout": people[1], "synthetic": people[0]}
    with pytest.raises(InputError, match=sentence):
        evaluate(**arguments | {argument: wrong})
    with pytest.raises(InputError, match="dict of DataFrames"):
        compare(*people, [people[0]])


def test_unknown_profile_and_wrong_outcome(people):
    with pytest.raises(InputError, match="no profile 'slow'"):
        evaluate(*people, people[1], profile="slow")
    tables = dict(zip(("train", "holdout", "synthetic"), [*people, people[1]], strict=True))
    with pytest.raises(InputError, match="'death'"):
        align(tables, outcome="death")


def test_encoder_is_one_place_for_every_kind(people):
    train = people[0]
    encoder = Encoder.fit(Schema.of(train), train)
    matrix = encoder.transform(train)
    assert matrix.dtype == np.float32 and matrix.min() == 0 and matrix.max() == 1
    assert encoder.labels[:8] == ["DIE_1y", "sex = M", *(f"race = {r}" for r in (
        "WHITE", "BLACK", "ASIAN", "HISPANIC", "UNKNOWN", "OTHER"))]  # fmt: skip
    missing = encoder.labels.index("bmi missing")
    np.testing.assert_array_equal(matrix[:, missing], train["bmi"].isna())
    assert (matrix[:, encoder.columns("race")].sum(axis=1) == 1).all()


def test_evaluate_is_on_the_package(people):
    assert ehrsynth.evaluate is evaluate


def test_a_report_read_back_says_the_same_of_its_source(tmp_path):
    """What a reader found stays rows, so that card and page can tell it in their own words."""
    found = [{"table": "omr", "what": "a BMI that is no number", "rows": np.int64(3), "of": 1_200,
              "done": "counted as not measured"}]  # fmt: skip
    report = Report([], facts={"data quality": found}, rows={}, settings={})
    write_json(report.to_dict(), tmp_path / "metrics.json")
    back = Report.load(tmp_path / "metrics.json")
    assert back.facts == {"data quality": [found[0] | {"rows": "fewer than 5"}]}  # of patients
    assert back.card() == report.card() and "in fewer than 5 of 1,200 rows of omr" in back.card()
    found[0]["rows"] = 5
    assert "in 5 of 1,200 rows of omr" in report.card()
