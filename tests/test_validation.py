"""The metrics themselves, on synthetic data of known quality: who notices what."""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import ehrsynth as es
from ehrsynth import plots
from ehrsynth.evaluation import SPECS, compare
from ehrsynth.evaluation.validation import FRESH, results
from ehrsynth.hospital import truth
from ehrsynth.preprocessing.encode import Preprocessor

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.append(str(REPOSITORY / "tools"))
from validation import (  # noqa: E402
    DEFECTS,
    EXPECTED,
    Tables,
    as_table,
    candidates,
    summary,
    validate,
)

CELLS = [(defect, metric) for defect, metrics in EXPECTED.items() for metric in metrics]
COPIES = ("copy", "copy, 1 % noise", "copy, 5 % noise", "copy, 20 % noise", "half copies")
# A metric objects to 1 fresh sample in 40, if its interval is right; metrics of one family go
# together, so that a few may object to the same one.
FALSE_ALARMS = 0.05


def made_of(train, holdout, fresh, min_prevalence):
    """Tables with the columns that are frequent enough in train."""
    prep = Preprocessor(min_prevalence=min_prevalence).fit(train)
    schema = prep.schema_
    parts = (prep.clip(t)[schema.names].reset_index(drop=True) for t in (train, holdout, fresh))
    return Tables(*(schema.attach(part) for part in parts), schema)


def hospital(seed):
    """Train and holdout of a simulated hospital, and a fresh sample from its truth."""
    train, holdout = es.split(es.build_patients(es.load("simulated", patients=2_600, seed=seed)))
    return made_of(train, holdout, truth.oracle_sample(len(train), seed + 1, like=train), 0.02)


@pytest.fixture(scope="module")
def tables():
    return hospital(seed=0)


@pytest.fixture(scope="module")
def reports(tables):
    return validate(tables)


@pytest.fixture(scope="module")
def diabetes(shared_data):
    """Real patients: a part for train, one held out, and one as fresh as a sample can be."""
    patients = es.build_patients(es.load("diabetes130", data=shared_data / "diabetes130"))
    rows = np.random.default_rng(0).permutation(len(patients))
    parts = [patients.iloc[part] for part in np.split(rows[:4_500], [1_800, 2_700])]
    return made_of(*parts, 0.02)


@pytest.fixture(scope="module")
def diabetes_reports(diabetes):
    return validate(diabetes)


def believed(report):
    """A report's metrics in the form that can be believed."""
    families = dict.fromkeys(m.family for m in report.metrics)
    return [m for family in families for m in report.of(family) if m.value is not None]


def noticing(report):
    return [m.name for m in believed(report) if m.notices]


# -- the defects are what they say ---------------------------------------------------------


def test_every_defect_has_an_expectation_of_real_metrics():
    assert set(EXPECTED) == set(DEFECTS)
    assert all(EXPECTED.values())
    assert {metric for _, metric in CELLS} <= {spec.name for spec in SPECS}


def test_what_was_expected_wrongly_is_told_and_does_not_count():
    table = pd.read_csv(REPOSITORY / "tools" / "expected.csv", keep_default_na=False)
    assert not table.duplicated(["defect", "metric"]).any()
    assert set(table["metric"]) <= {spec.name for spec in SPECS} and (table["why"] != "").all()
    wrong = table[table["but"] != ""]
    assert 0 < len(wrong) < len(table) / 4
    assert not set(zip(wrong["defect"], wrong["metric"], strict=True)) & set(CELLS)
    assert len(CELLS) + len(wrong) == len(table)


def test_defects_are_spoiled_in_the_one_way_they_say(tables):
    made = candidates(tables)
    assert set(made) == {FRESH, *DEFECTS}
    train, fresh = tables.train, tables.fresh
    assert all(list(table.columns) == tables.schema.names for table in made.values())
    for share, name in ((0.01, "copy, 1 % noise"), (0.2, "copy, 20 % noise")):
        order = np.random.default_rng([0, list(DEFECTS).index(name)]).permutation(len(train))
        redrawn = train.iloc[order]["race"].to_numpy() != made[name]["race"].to_numpy()
        differ = 1 - (train["race"].value_counts(normalize=True) ** 2).sum()
        assert redrawn.mean() == pytest.approx(share * differ, abs=0.02)
    outcome = tables.schema.outcome
    assert (made["flipped label"][outcome] + fresh[outcome] == 1).all()
    assert made["shuffled label"][outcome].sum() == fresh[outcome].sum()
    assert len(made["collapsed mode"].drop_duplicates()) == len(fresh) // 20
    assert (made["dropped subgroup"]["race"] != "BLACK").all()
    assert len(made["dropped subgroup"]) < 0.92 * len(fresh)
    codes = [c.name for c in tables.schema.columns if c.kind == "binary" and c.name != outcome]
    era = made["era artefact"][codes].mean() / fresh[codes].mean()
    assert ((era > 0.4) & (era < 0.6)).sum() == 10 and (era > 1.03).sum() >= 8
    assert (made["rare codes lost"][codes].sum() == 0).sum() >= len(codes) // 2
    sexed = next(c for c in tables.schema.columns if c.sex == "F")
    men = made["wrong sex"].loc[made["wrong sex"]["sex"] == "M", sexed.name]
    women = fresh.loc[fresh["sex"] == "F", sexed.name]
    assert men.mean() == pytest.approx(women.mean(), abs=0.04)


# -- who notices what ------------------------------------------------------------------------


@pytest.mark.parametrize(("defect", "metric"), CELLS)
def test_expected_metric_notices_the_defect(reports, defect, metric):
    found = reports[defect][metric]
    assert found.notices, found


@pytest.mark.parametrize("defect", DEFECTS)
def test_some_metric_notices_every_defect(reports, defect):
    assert noticing(reports[defect])


def test_fresh_samples_raise_hardly_a_false_alarm(reports):
    found = [reports[FRESH]]
    for seed in (1, 2):
        other = hospital(seed)
        found += compare(
            other.train, other.holdout, {FRESH: other.fresh}, other.schema, profile="fast"
        ).values()
    metrics = [m for report in found for m in believed(report)]
    alarms = [m.name for m in metrics if m.notices]
    assert len(alarms) <= FALSE_ALARMS * len(metrics), alarms


@pytest.mark.parametrize("defect", ["copy", "copy, 1 % noise"])
def test_no_privacy_metric_is_happy_with_the_copy(reports, defect):
    report = reports[defect]
    privacy = [m for m in report.of("privacy") if m.value is not None]
    assert len(privacy) >= 9
    assert [m.name for m in privacy if not m.notices] == ["holdout_exposure"]


# -- what the report says of it ----------------------------------------------------------------


def test_words_about_the_fresh_sample(reports):
    report = reports[FRESH]
    answer = " ".join(report.answer())
    assert "found no trace of single patients in it, and would have noticed near copies" in answer
    assert "close to real patients" in answer
    assert report.verdicts()["fidelity"].level == "good"
    assert report.absent == {} and report.overlap == 0


@pytest.mark.parametrize("defect", COPIES)
def test_words_about_copies(reports, defect):
    report = reports[defect]
    assert report.answer()[0].startswith("Do not share this data:")
    assert report.verdicts()["privacy"].level == "bad"
    assert "do not release" in report.verdicts()["privacy"].headline
    advice = report.advice()
    assert advice["bad"][0].startswith("Leaving the institution in any form")
    assert not any("Sharing" in sentence for sentence in advice["good"])


def test_words_about_leaked_holdout(reports):
    report = reports["leaked holdout"]
    assert report.answer()[0] == (
        "The holdout itself is in the synthetic data; the references cannot be trusted."
    )
    assert "Do not share this data." in report.answer()
    levels = {verdict.level for verdict in report.verdicts().values()}
    assert "good" not in levels and report.advice()["good"] == []
    page = report.to_html(pictures=False)
    assert page.index("The holdout itself is in the synthetic data") < page.index("<section")


def test_words_about_data_without_variety(reports):
    """Every twentieth row, twenty times: never called close to real patients."""
    report = reports["collapsed mode"]
    assert report.verdicts()["fidelity"].level in ("care", "bad")
    assert "It is close to real patients" not in " ".join(report.answer())


def test_words_about_data_without_structure(reports):
    report = reports["independent columns"]
    assert "good for testing software only" in " ".join(report.answer())
    assert report.verdicts()["fidelity"].level == "bad"
    assert [s for s in report.advice()["good"] if "Testing software only" not in s] == []
    assert "Anything that needs realistic patients." in report.advice()["bad"]


@pytest.mark.parametrize("defect", ["flipped label", "shuffled label"])
def test_words_about_wrong_labels(reports, defect):
    report = reports[defect]
    said = " ".join(report.answer())  # a label turned round gives nine of ten patients away
    assert "not for prediction" in said or "good for testing software only" in said
    assert report.verdicts()["utility"].level == "bad"
    assert any("Developing prediction models" in s for s in report.advice()["bad"])
    assert not any("prediction models" in s for s in report.advice()["good"])


@pytest.mark.parametrize(
    ("defect", "words"),
    [
        ("dropped subgroup", "No synthetic patient has Race BLACK"),
        ("rare codes lost", "No synthetic patient has"),
        ("era artefact", "prevalence of codes"),
        ("wrong sex", "have a diagnosis that their sex cannot have"),
    ],
)
def test_words_name_what_is_wrong(reports, defect, words):
    report = reports[defect]
    verdict = report.verdicts()["fidelity"]
    assert verdict.level == "care"
    assert words in " ".join(report.answer() + verdict.sentences + report.advice()["bad"])


# -- on other data -------------------------------------------------------------------------------


@pytest.mark.parametrize("defect", [name for name in DEFECTS if name != "wrong sex"])
def test_other_data_every_defect_is_noticed(diabetes_reports, defect):
    """Diabetes-130 has no code that one sex cannot have."""
    report = diabetes_reports[defect]
    assert noticing(report)
    if defect in COPIES:
        assert report.verdicts()["privacy"].level == "bad"


def test_other_data_fresh_patients_raise_hardly_a_false_alarm(diabetes_reports):
    metrics = believed(diabetes_reports[FRESH])
    alarms = [m.name for m in metrics if m.notices]
    assert len(alarms) <= 2, alarms
    assert diabetes_reports[FRESH].verdicts()["privacy"].level == "good"


# -- the table in the book -----------------------------------------------------------------------


def test_table_has_every_cell_once(reports):
    table = as_table(reports)
    assert not table.duplicated(["defect", "metric", "form"]).any()
    assert table["expected"].sum() == len(CELLS)


def test_the_book_shows_every_defect_and_what_is_expected_of_it():
    table = results()
    assert list(table["defect"].unique()) == [FRESH, *DEFECTS]
    expected = table[table["expected"]]
    assert set(zip(expected["defect"], expected["metric"], strict=True)) == set(CELLS)
    assert expected["notices"].mean() >= 1 - FALSE_ALARMS  # the page names those that are silent
    titles = {(spec.name, spec.form): spec.title for spec in SPECS if spec.title}
    for *key, title in table[["metric", "form", "title"]].itertuples(index=False):
        assert titles.get(tuple(key), title) == title
    believed = table[table["believed"]]
    assert believed.loc[believed["defect"] == FRESH, "notices"].mean() <= FALSE_ALARMS
    page = REPOSITORY / "book" / "validation.csv"
    shown = pd.read_csv(page, dtype=str, keep_default_na=False)
    assert shown.to_numpy().tolist() == summary(table).to_numpy(str).tolist()


def test_picture_marks_what_is_noticed_and_what_was_expected(reports):
    table = as_table(reports)
    ax = plots.noticed(table)
    believed = table[table["believed"]]
    cells, rings = ax.collections
    assert cells.get_array().size == believed["title"].nunique() * (len(DEFECTS) + 1)
    assert cells.get_array().sum() == believed["notices"].sum()
    assert len(rings.get_offsets()) == len(CELLS)
    plt.close(ax.figure)
