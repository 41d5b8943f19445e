"""evaluate() and its report: right words, valid files, and no traceback on odd tables."""

import json
import re

import matplotlib

matplotlib.use("Agg")
import numpy as np
import pandas as pd
import pytest
from known_truth import noisy_copy, population

import ehrsynth
from ehrsynth.errors import InputError
from ehrsynth.evaluation import SPECS, Estimate, Metric, Report, align, evaluate
from ehrsynth.evaluation.tables import Encoder, independent, plausible
from ehrsynth.schema import Column, Schema

FIELDS = {
    "name", "title", "family", "form", "value", "ci_low", "ci_high", "best", "worst", "share",
    "direction", "unit", "source", "sentence", "reason", "note",
}  # fmt: skip


@pytest.fixture(scope="module")
def people():
    return population(1000, 30, seed=1), population(430, 30, seed=2)


@pytest.fixture(scope="module")
def fresh(people):
    return evaluate(
        *people, population(1000, 30, seed=3), profile="fast",
        facts={"licence": "<b>none</b>", "patients": 1430, "share": float("nan")},
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
        if metric.reason and "anonymeter is not installed" in metric.reason:  # it is optional
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
    facts = {"licence": "<b>none</b>", "patients": 1430, "share": float("nan")}
    again = evaluate(*people, population(1000, 30, seed=3), profile="fast", facts=facts)
    fresh.save_json(tmp_path / "a.json")
    again.save_json(tmp_path / "b.json")
    text = (tmp_path / "a.json").read_text()
    assert text == (tmp_path / "b.json").read_text()
    content = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in the file"))
    assert content["rows"] == {"train": 1000, "holdout": 430, "synthetic": 1000}
    assert content["facts"]["share"] is None


def test_report_reads_its_file_back(fresh, tmp_path):
    fresh.save_json(tmp_path / "metrics.json")
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


# -- words ---------------------------------------------------------------------------------


def test_fresh_sample_is_close_useful_and_safe(fresh):
    levels = {family: verdict.level for family, verdict in fresh.verdicts().items()}
    assert levels["fidelity"] == "good"
    assert levels["utility"] in ("good", "care")  # 430 patients measure an AUROC to +-0.06
    assert levels["privacy"] in ("good", "care")  # one of many intervals may miss


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
    assert verdicts["fidelity"].level == verdicts["utility"].level == "bad"
    assert any("go together" in sentence for sentence in mixed.advice()["bad"])


def test_noisy_copy_is_still_an_alarm(people):
    report = evaluate(*people, noisy_copy(people[0], 0.02), profile="fast")
    assert report.verdicts()["privacy"].level == "bad"


def test_page_is_one_file_without_network_and_escapes_texts(fresh, tmp_path):
    fresh.save_html(tmp_path / "report.html")
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


def test_tiny_tables_give_a_report_that_says_so():
    tables = population(58, 30, seed=1), population(25, 30, seed=2), population(58, 30, seed=3)
    report = complete(evaluate(*tables, profile="fast"), pictures=True)
    assert report.verdicts()["privacy"].level == "unknown"
    assert "1 %" in report["membership_inference_at_1_percent"].reason


@pytest.mark.parametrize("rows", [5, 12])
def test_a_handful_of_rows(rows):
    tables = [population(n, 10, seed=i) for i, n in enumerate((rows, rows, rows))]
    complete(evaluate(*tables, profile="fast"))


def test_one_class_outcome_no_outcome_no_sex(people):
    train, holdout = people
    made = population(400, 30, seed=3)
    report = complete(evaluate(train, holdout, made.assign(DIE_1y=np.uint8(0)), profile="fast"))
    assert report["tstr_auroc"].value is None and "one class" in report["tstr_auroc"].reason
    report = complete(
        evaluate(train, holdout, made.drop(columns=["DIE_1y", "sex"]), profile="fast")
    )
    assert "no outcome" in report["tstr_auroc"].reason
    assert "sex" in report["clinical_knowledge_violation"].reason


def test_all_missing_measurement_and_constant_columns(people):
    made = population(400, 30, seed=3).assign(bmi=np.nan, age=50.0, **{"phe_1.9": np.uint8(0)})
    complete(evaluate(*people, made, profile="fast"), pictures=True)


def test_duplicated_rows(people):
    made = pd.concat([population(20, 30, seed=3)] * 20, ignore_index=True)
    report = complete(evaluate(*people, made, profile="fast"))
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


def test_implausible_values_count_as_not_measured(people):
    schema = Schema.of(people[0]).with_column(
        Column("bmi", "continuous", "measurement", unit="kg/m2", lower=10, upper=60, decimals=1)
    )
    train = people[0].copy()
    train.loc[0, "bmi"] = 107_840.0
    report = evaluate(train, people[1], people[1], schema=schema, profile="fast")
    assert report.outside["train"] == {"bmi": 1}
    assert "train table, values outside the plausible bounds" in report.to_html(pictures=False)
    table, _ = plausible(schema.attach(train), schema)
    assert np.isnan(table["bmi"][0])
    assert train["bmi"][0] == 107_840.0  # the caller's table is untouched


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.iloc[:0], "synthetic table has no rows"),
        (lambda t: t.iloc[:4], "synthetic table has 4 rows"),
        (lambda t: t[["age"]].rename(columns={"age": "years"}), "no column in common"),
        (lambda t: t.assign(race="MARTIAN"), "'MARTIAN'"),
        (lambda t: t.assign(age="old"), "'old' in row 1"),
        (lambda t: t.assign(DIE_1y=2), "should be 0 or 1"),
        (lambda t: pd.concat([t, t[["age"]]], axis=1), "'age' appears twice"),
    ],
)
def test_unusable_tables_are_refused_in_one_sentence(people, change, message):
    made = change(population(50, 30, seed=3))
    with pytest.raises(InputError, match=message) as caught:
        evaluate(*people, made, profile="fast")
    assert str(caught.value).count(". ") == 0 and str(caught.value).endswith(".")


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
