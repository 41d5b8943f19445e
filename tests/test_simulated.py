"""The simulated hospital: its layout, its faults, its structure, its published margins."""

import gzip
import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY

from ehrsynth import cli, datasets, phecode
from ehrsynth.datasets import build_patients
from ehrsynth.errors import InputError
from ehrsynth.evaluation.report import Report
from ehrsynth.hospital import care, illness, people, truth
from ehrsynth.hospital import writing as simulated
from ehrsynth.hospital.people import declared, pairs
from ehrsynth.schema import Schema
from ehrsynth.sources.tables import RACES

sys.path.insert(0, str(REPOSITORY / "tools"))

sys.path.append(str(REPOSITORY / "benchmarks"))

import drawn_truth
import make_hospital
import simulated_hospital
from make_hospital import PUBLISHED

NAMED = {"401": 31.6, "272": 21.6, "285": 18.7, "530": 14.3, "427": 14.0, "296": 13.9,
         "318": 13.3, "276": 13.2, "250": 13.1}  # fmt: skip
NAMED_LEAVES = {"401.1": 17.5, "272.1": 15.5}


@pytest.fixture(scope="module")
def raw():
    return simulated.raw_tables(patients=20_000, seed=11)


@pytest.fixture(scope="module")
def tables():
    return datasets.load("simulated", patients=20_000, seed=11)


@pytest.fixture(scope="module")
def patients(tables):
    return build_patients(tables)


@pytest.fixture(scope="module")
def comparison():
    return simulated_hospital.published_against_simulated(patients=20_000, seed=0)


@pytest.fixture(scope="module")
def cared():
    return simulated.raw_tables(patients=3_000, seed=7, with_care=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hospital")
    simulated.write(folder, patients=150, seed=4)
    return folder


@pytest.fixture(scope="module")
def oracle():
    return truth.oracle_sample(15_000, seed=1)


# -- published against simulated ---------------------------------------------------------


def test_the_hospital_is_as_published(comparison):
    for column in ("truth", "simulated"):
        known = comparison[comparison[column].notna()]
        assert len(known) > 20
        wrong = ~known[column].between(known["lowest"], known["highest"])
        assert not wrong.any(), known[wrong]
    assert comparison[["truth", "simulated"]].notna().any(axis=1).all()


def test_the_comparison_uses_the_published_figures_and_the_agreed_room(comparison):
    published = {name.split(" (%)")[0]: row for name, row in comparison.iterrows()}
    assert published["age, mean"]["published"] == 56.20
    for quantity, percent in {
        "women": 53.3,
        "death within a year": 11.3,
        "race WHITE": 67.3,
    }.items():
        assert published[quantity]["published"] == pytest.approx(percent)
        assert published[quantity]["highest"] == pytest.approx(percent + 2)
    codes = {name.split()[1]: row for name, row in published.items() if name[:8] == "phecode "}
    assert {code: row["published"] for code, row in codes.items()} == NAMED | NAMED_LEAVES
    for row in codes.values():
        assert row["lowest"] == pytest.approx(0.9 * row["published"])
    for name, count in {"1e-05": 25, "1e-04": 224, "1e-03": 718}.items():
        row = published[f"phecodes rarer than {name}"]
        assert row["published"] == count
        assert row["lowest"] == pytest.approx(0.8 * count)


def test_the_books_page_shows_these_numbers(comparison):
    fresh = simulated_hospital.page_table(comparison)
    shown = pd.read_csv(simulated_hospital.PAGE_TABLE, dtype=str, keep_default_na=False)
    assert shown.columns.tolist() == fresh.columns.tolist()
    assert shown["quantity"].tolist() == fresh["quantity"].tolist()
    for column in shown.columns[1:]:
        for old, new in zip(shown[column], fresh[column], strict=True):
            # Another machine's arithmetic may move the last digit.
            numbers = [re.findall(r"[\d.]+", text.replace(",", "")) for text in (old, new)]
            assert len(numbers[0]) == len(numbers[1])
            for one, other in zip(*numbers, strict=True):
                assert float(one) == pytest.approx(float(other), rel=2e-3, abs=0.02), column


def test_diseases_come_together_as_published(patients, shared_data):
    table = simulated_hospital.together(patients)
    assert len(table) == 10
    apart = (table["simulated"] - table["MIMIC-IV demo"]).abs()
    assert apart.mean() < 12 and apart.max() < 25
    known = table.dropna().set_index("have")
    for name in ("Hypertension", "Ischemic Heart Disease", "Diabetes mellitus"):
        assert abs(known.at[name, "simulated"] - known.at[name, "ADHERE"]) < 10
    shown = pd.read_csv(simulated_hospital.TOGETHER_TABLE)
    assert (shown["simulated"] - table["simulated"]).abs().max() <= 6  # of another sample
    demo = build_patients(datasets.load("mimic-iv", data=shared_data / "mimic-iv-demo-2.2"))
    assert (
        simulated_hospital.together(demo)["simulated"].tolist() == shown["MIMIC-IV demo"].tolist()
    )


def test_no_other_phecode_is_more_frequent_than_the_named(patients):
    prevalence = patients.filter(like="phe_").mean()
    others = prevalence.drop([f"phe_{code}" for code in NAMED])
    assert others.max() < 0.134


def test_counts_of_rare_phecodes_are_those_of_a_sample():
    """The expected counts of the comparison against codes drawn for the published number."""
    prevalence, n = truth.codes("leaf")["prevalence"].to_numpy(), PUBLISHED["patients"]
    drawn = np.random.default_rng(0).poisson(prevalence * n, (200, len(prevalence)))
    table = simulated_hospital.published_against_simulated(patients=300, seed=0)["truth"]
    for share in PUBLISHED["rare phecodes"]:
        counted = ((drawn > 0) & (drawn < share * n)).sum(axis=1).mean()
        expected = table[f"phecodes rarer than {share:.0e}"]
        assert expected == pytest.approx(counted, rel=0.03)


def test_the_table_of_the_hospital_is_used_in_full():
    drawn = make_hospital.drawn()
    table = pd.read_csv(Path(simulated.__file__).with_name("hospital.csv"), dtype={"phecode": str})
    wanted = table.set_index("phecode")["percent"] / 100
    whole = pd.Series(drawn.prevalence, drawn.diseases.index)
    leaf = pd.Series(make_hospital.seen(drawn.leaf), drawn.leaf["code"])
    is_leaf = wanted.index.str.contains(".", regex=False)
    pd.testing.assert_series_equal(whole[wanted.index[~is_leaf]], wanted[~is_leaf],
                                   check_names=False, rtol=1e-9)  # fmt: skip
    pd.testing.assert_series_equal(leaf[wanted.index[is_leaf]], wanted[is_leaf],
                                   check_names=False, rtol=1e-9)  # fmt: skip
    published = table.loc[table["source"] == "published"].set_index("phecode")["percent"]
    assert published.to_dict() == NAMED | NAMED_LEAVES


def test_solved_prevalences_hold(patients):
    """The intercepts are solved over everybody, not fitted to these patients."""
    drawn = make_hospital.drawn()
    got = patients.filter(like="phe_").mean().rename(lambda name: name[4:])
    frequent = pd.Series(drawn.prevalence, drawn.diseases.index).loc[lambda p: p > 0.01]
    error = (got[frequent.index] - frequent) / np.sqrt(frequent / len(patients))
    assert error.abs().max() < 5
    assert error.abs().median() < 1


# -- the faults of real data -------------------------------------------------------------


def test_both_icd_versions_by_calendar_year(raw):
    diagnoses, admissions = raw["diagnoses_icd"], raw["admissions"]
    share = (diagnoses["icd_version"] == 9).mean()
    assert 0.45 < share < 0.7
    # Within a patient ICD-10 never comes before ICD-9.
    table = diagnoses.merge(admissions[["hadm_id", "admittime"]], on="hadm_id")
    times = table.groupby(["subject_id", "icd_version"])["admittime"].agg(["min", "max"]).unstack()
    both = times.dropna()
    assert len(both) > 500
    assert (both[("max", 9)] < both[("min", 10)]).all()


def test_values_that_cannot_be(tables):
    values = tables["measurements"].pivot_table(index=["subject_id", "time"], columns="name",
                                                values="value", aggfunc="first")  # fmt: skip
    assert values["bmi"].max() > 10_000
    assert (values["bmi"] < 10).any()
    assert (values["diastolic"] > values["systolic"]).any()
    assert (values["diastolic"] < 30).any()
    assert values["bmi"].dropna().between(10, 60).mean() > 0.98


def test_vitals_are_missing_for_a_third_and_not_at_random(patients):
    for name, low, high in (("bmi", 0.33, 0.45), ("systolic", 0.27, 0.38)):
        assert low < patients[name].isna().mean() < high
    died = patients["DIE_1y"].groupby(patients["systolic"].isna()).mean()
    assert died[True] > 1.3 * died[False]


def test_some_measurements_come_after_the_index_discharge(tables):
    last = tables["admissions"].groupby("subject_id")["discharge_time"].max()
    measurements = tables["measurements"]
    late = measurements["time"] > measurements["subject_id"].map(last)
    assert 0.1 < late.mean() < 0.4


def test_a_measurement_after_discharge_gives_survival_away(tables):
    """Whoever is measured long after a discharge was alive then: using such a value is leakage."""
    death = tables["patients"].set_index("subject_id")["death_date"]
    discharge = tables["admissions"].groupby("subject_id")["discharge_time"].max()
    last = tables["measurements"].groupby("subject_id")["time"].max().reindex(discharge.index)
    alive = ~tables["admissions"].groupby("subject_id")["died_in_hospital"].any()
    died = death.reindex(discharge.index).notna()
    seen_later = alive & (last > discharge)
    assert died[seen_later].mean() < 0.6 * died[alive & ~seen_later].mean()


def test_nobody_is_measured_after_death(tables):
    died = tables["patients"].set_index("subject_id")["death_date"]
    measurements = tables["measurements"]
    assert not (measurements["time"] > measurements["subject_id"].map(died)).any()


def test_several_admissions_that_do_not_overlap(raw):
    admissions = raw["admissions"].sort_values(["subject_id", "admittime"])
    assert (admissions["dischtime"] >= admissions["admittime"]).all()
    following = admissions.groupby("subject_id")["admittime"].shift(-1)
    assert (following.isna() | (following >= admissions["dischtime"])).all()
    counts = admissions["subject_id"].value_counts()
    assert counts.mean() == pytest.approx(2.39, abs=0.25)
    assert counts.max() > 15
    assert len(counts) < len(raw["patients"])  # some have none


def test_deaths(raw):
    admissions, people = raw["admissions"], raw["patients"].set_index("subject_id")
    died = admissions[admissions["hospital_expire_flag"] == 1]
    share = len(died) / len(people)
    assert share == pytest.approx(PUBLISHED["died in hospital"], abs=0.01)
    assert died["deathtime"].equals(died["dischtime"])
    assert (died["subject_id"].map(people["dod"]) == died["dischtime"].dt.floor("D")).all()
    last = admissions.groupby("subject_id")["dischtime"].max().dt.floor("D")
    days = (people["dod"] - last.reindex(people.index)).dropna().dt.days
    assert days.min() >= 0
    assert days.max() <= 365


def test_diagnoses_are_as_many_as_in_mimic_iv(raw):
    """There are about 430,000 admissions and 5 million diagnoses."""
    assert len(raw["diagnoses_icd"]) / len(raw["admissions"]) == pytest.approx(5_000 / 430, rel=0.1)


def test_races_are_subdivided(raw):
    strings = set(raw["admissions"]["race"])
    assert len(strings) > 25
    assert {"WHITE - RUSSIAN", "BLACK/CAPE VERDEAN", "UNABLE TO OBTAIN"} <= strings


def test_about_a_ninth_of_the_codes_have_no_phecode(tables):
    diagnoses = tables["diagnoses"]
    share = phecode.unmapped(diagnoses)["rows"].sum() / len(diagnoses)
    assert 0.08 < share < 0.15


def test_every_code_has_a_title(raw):
    titles = raw["d_icd_diagnoses"].set_index(["icd_code", "icd_version"])["long_title"]
    assert titles.index.is_unique
    used = raw["diagnoses_icd"][["icd_code", "icd_version"]].drop_duplicates()
    assert titles.reindex(pd.MultiIndex.from_frame(used)).notna().all()
    assert titles[("I10", 10)] == "Essential hypertension"


def test_identifiers(raw):
    people, admissions = raw["patients"], raw["admissions"]
    assert people["subject_id"].is_unique and people["subject_id"].between(1e7, 2e7).all()
    assert admissions["hadm_id"].is_unique and admissions["hadm_id"].between(2e7, 3e7).all()
    assert admissions["subject_id"].isin(people["subject_id"]).all()
    pairs = raw["diagnoses_icd"][["hadm_id", "subject_id"]].drop_duplicates()
    assert pairs["hadm_id"].is_unique
    assert not raw["diagnoses_icd"].duplicated(["hadm_id", "icd_code"]).any()
    assert people["anchor_age"].between(18, 91).all() and not (people["anchor_age"] == 90).any()
    assert (
        people["anchor_year_group"]
        .isin(["2008 - 2010", "2011 - 2013", "2014 - 2016", "2017 - 2019"])
        .all()
    )


# -- structure ---------------------------------------------------------------------------


def test_sex_restricted_codes(patients):
    meaning = phecode.definitions("phecode")
    for sex, other in (("F", "M"), ("M", "F")):
        codes = [f"phe_{c}" for c in meaning.index[meaning["sex"] == sex]]
        codes = [c for c in codes if c in patients]
        assert len(codes) > 5
        assert patients.loc[patients["sex"] == other, codes].to_numpy().sum() == 0
        assert patients.loc[patients["sex"] == sex, codes].to_numpy().sum() > 100


def odds_ratio(x, y):
    a, b, c, d = ((x & y).sum(), (x & ~y).sum(), (~x & y).sum(), (~x & ~y).sum())
    return a * d / (b * c)


def test_diseases_come_together_and_with_age_and_kill(patients):
    has = patients.filter(like="phe_").astype(bool)
    assert odds_ratio(has["phe_401"], has["phe_585"]) > 2
    assert odds_ratio(has["phe_316"], has["phe_317"]) > 3
    assert odds_ratio(has["phe_411"], patients["age"] > 60) > 3
    assert odds_ratio(has["phe_198"], patients["DIE_1y"] == 1) > 3
    births = has["phe_649"]
    assert patients.loc[births, "age"].max() <= 45
    assert patients.loc[births, "DIE_1y"].mean() < 0.01


def test_measurements_follow_disease_and_age(patients):
    plausible = patients[
        patients["bmi"].between(10, 60) & patients["systolic"].between(60, 250)
        & patients["diastolic"].between(30, 150)
    ]  # fmt: skip
    assert 0.55 < plausible["systolic"].corr(plausible["diastolic"]) < 0.75
    obese = plausible["phe_278"] == 1
    assert plausible.loc[obese, "bmi"].mean() > plausible.loc[~obese, "bmi"].mean() + 5
    hypertensive = plausible["phe_401"] == 1
    difference = (
        plausible.loc[hypertensive, "systolic"].mean()
        - plausible.loc[~hypertensive, "systolic"].mean()
    )
    assert difference > 5


def test_the_outcome_can_be_predicted_but_not_too_well(patients):
    lightgbm = pytest.importorskip("lightgbm")
    from sklearn.metrics import roc_auc_score

    train, test = patients[: len(patients) // 2], patients[len(patients) // 2 :]
    model = lightgbm.LGBMClassifier(
        n_estimators=100, learning_rate=0.06, num_leaves=15, n_jobs=1, verbose=-1, random_state=0
    ).fit(train.drop(columns="DIE_1y"), train["DIE_1y"])
    scores = model.predict_proba(test.drop(columns="DIE_1y"))[:, 1]
    assert 0.85 < roc_auc_score(test["DIE_1y"], scores) < 0.94  # 0.92 in MIMIC-IV


def test_diseases_hang_together_as_in_a_real_hospital(patients, shared_data):
    """The demo's 85 patients: .26 (.21 to .34); a first hospital of ours had .15."""
    codes = patients.filter(like="phe_").to_numpy()
    assert 0.20 < simulated_hospital.mean_tetrachoric(codes) < 0.30
    number = codes.sum(axis=1)
    assert 0.75 < number.std() / number.mean() < 0.95
    demo = build_patients(datasets.load("mimic-iv", data=shared_data / "mimic-iv-demo-2.2"))
    real = simulated_hospital.mean_tetrachoric(demo.filter(like="phe_").to_numpy())
    assert real == pytest.approx(0.263, abs=0.02)


def test_who_dies_is_no_sum_of_log_odds(oracle):
    """Boosted trees know more than a logistic model, and both less than the truth."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    lightgbm = pytest.importorskip("lightgbm")
    new = truth.oracle_sample(8_000, seed=9, like=oracle)
    columns = [c for c in oracle if c[:4] == "phe_" and oracle[c].sum() > 15]

    def table(patients):
        numbers = patients[["age", "bmi", "systolic", "diastolic"]]
        numbers = numbers.where(~(numbers["bmi"] > 60) & ~(numbers["bmi"] < 10))
        return pd.concat([numbers, numbers.isna().add_prefix("no "), patients["sex"] == "F",
                          patients[columns]], axis=1).astype(float)  # fmt: skip

    middle = table(oracle).median()
    logistic = make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=500))
    logistic.fit(table(oracle).fillna(middle), oracle["DIE_1y"])
    boosted = lightgbm.LGBMClassifier(
        n_estimators=250, learning_rate=0.04, num_leaves=12, min_child_samples=40, reg_lambda=5,
        subsample=0.7, subsample_freq=1, colsample_bytree=0.3, n_jobs=1, verbose=-1, random_state=0,
    ).fit(table(oracle), oracle["DIE_1y"])  # fmt: skip
    linear = roc_auc_score(new["DIE_1y"], logistic.predict_proba(table(new).fillna(middle))[:, 1])
    assert roc_auc_score(new["DIE_1y"], boosted.predict_proba(table(new))[:, 1]) > linear + 0.012


def test_what_is_missing_tells_who_dies(patients):
    from scipy.stats import chi2_contingency

    few = patients.head(2_638)
    for name in ("bmi", "systolic"):
        test = chi2_contingency(pd.crosstab(few[name].isna(), few["DIE_1y"]))
        assert test.pvalue < 1e-3
    other = np.random.default_rng(0).permutation(few["DIE_1y"])
    assert chi2_contingency(pd.crosstab(few["bmi"].isna(), other)).pvalue > 1e-3


def test_rare_syndromes_are_groups_with_codes_of_their_own():
    rng = np.random.default_rng(1)
    persons = people.draw_people(40_000, rng, dying=0.0)
    has = illness.draw_diseases(illness.illness(), persons, rng)
    table = people.groups("syndrome")
    assert 10 <= len(table) <= 15
    for number, row in enumerate(table.itertuples(), start=1):
        own = (persons["syndrome"] == number).to_numpy()
        assert 15 <= 10_000 * own.mean() <= 60, row.name
        codes = illness.illness().whole.get_indexer(list(pairs(row.codes)))
        inside, outside = has[own][:, codes].mean(axis=0), has[~own][:, codes].mean(axis=0)
        assert (inside > outside).all(), row.name
        assert inside.max() > 0.45 and inside.max() > 15 * outside[inside.argmax()], row.name


def test_a_history_of_smoking_is_lost_by_the_older_version(raw, patients):
    """V15.82 has no phecode and its twin Z87.891 has one, so tobacco use seems to double."""
    admissions = raw["admissions"][["hadm_id", "subject_id", "admittime"]]
    diagnoses = raw["diagnoses_icd"].merge(admissions[["hadm_id", "admittime"]], on="hadm_id")
    last = diagnoses.sort_values("admittime").groupby("subject_id")["icd_version"].last()
    smokers = phecode.map_icd(diagnoses, "phecode").query("phecode == '318'")["subject_id"]
    share = pd.Series(last.index.isin(smokers), last.index).groupby(last).mean()
    assert 1.5 < share[10] / share[9] < 3
    assert (diagnoses["icd_code"] == "V1582").mean() > 0.002
    assert (diagnoses["icd_code"] == "Z87891").mean() > 0.002


def test_recording_drifts_and_is_biased_as_the_truth_says():
    rng, model = np.random.default_rng(2), illness.illness()
    persons = people.draw_people(60_000, rng, dying=0.0)
    has = illness.draw_diseases(model, persons, rng)
    late = rng.random(len(persons))
    seen_ = illness.draw_recorded(persons, has, late, rng)
    assert not (seen_ & ~has).any()
    black = (persons["race"] == RACES.index("BLACK")).to_numpy()
    for row in declared("recording").itertuples():
        column = model.whole.get_loc(row.phecode)
        ill = has[:, column] & (black if row.race else True)
        for part, share in ((late < 0.2, row.first + (row.last - row.first) * 0.1),
                            (late > 0.8, row.first + (row.last - row.first) * 0.9)):  # fmt: skip
            n = (ill & part).sum()
            error = seen_[ill & part, column].mean() - share
            assert abs(error) < 4.5 * np.sqrt(share * (1 - share) / n) + 1e-9, row
        if row.race:
            assert seen_[has[:, column] & ~black, column].all()


def test_another_site_writes_down_and_measures_less(oracle):
    other = truth.oracle_sample(4_000, seed=1, like=oracle, site="B")
    ours = oracle.head(4_000)
    theirs, own = (x.filter(like="phe_").to_numpy(int).sum() for x in (other, ours))
    assert theirs / own == pytest.approx(0.8, abs=0.04)
    assert other["systolic"].isna().mean() > ours["systolic"].isna().mean() + 0.1
    with pytest.raises(InputError, match="no site 'C'; use one of A, B"):
        truth.oracle_sample(10, site="C")


# -- what is done for the patients -------------------------------------------------------


def kind(values: pd.Series) -> str:
    """What a column of text holds; nothing when it is blank."""
    values = values[values != ""]
    if values.empty:
        return ""
    for name, pattern in (
        ("date", r"\d{4}-\d\d-\d\d"),
        ("time", r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"),
        ("number", r"-?\d+(\.\d+)?"),
    ):
        if values.str.fullmatch(pattern).all():
            return name
    return "text"


def text_table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def test_files_have_the_columns_and_kinds_of_values_of_mimic_iv(folder, shared_data):
    published = shared_data / "mimic-iv-demo-2.2" / "hosp"
    names = {path.name for path in (folder / "hosp").iterdir()}
    assert names == {
        f"{name}.csv.gz"
        for name in (
            "patients", "admissions", "diagnoses_icd", "d_icd_diagnoses", "procedures_icd",
            "d_icd_procedures", "prescriptions", "omr", "labevents", "d_labitems",
        )
    }  # fmt: skip
    for name in sorted(names):
        ours, theirs = text_table(folder / "hosp" / name), text_table(published / name)
        assert ours.columns.tolist() == theirs.columns.tolist(), name
        for column in ours:
            kinds = kind(ours[column]), kind(theirs[column])
            # A text column of theirs may hold only numbers in ours (a dose of "5" but no "5-10").
            fits = kinds[0] == kinds[1] or "" in kinds or kinds == ("number", "text")
            assert fits, f"{name}, {column}: {kinds}"


def test_procedure_codes_and_lab_items_are_those_of_mimic_iv(folder, shared_data):
    published = shared_data / "mimic-iv-demo-2.2" / "hosp"
    key = ["icd_code", "icd_version"]
    known = text_table(published / "d_icd_procedures.csv.gz").set_index(key)
    ours = text_table(folder / "hosp" / "d_icd_procedures.csv.gz").set_index(key)
    assert ours.index.is_unique and len(ours) > 150
    assert ours.index.isin(known.index).all()
    known = text_table(published / "d_labitems.csv.gz").set_index("itemid")
    ours = text_table(folder / "hosp" / "d_labitems.csv.gz").set_index("itemid")
    pd.testing.assert_frame_equal(ours, known.loc[ours.index])


def test_the_declared_care_makes_sense():
    codes = set(illness.illness().whole)
    drugs, procedures, labs = (declared(name) for name in ("drugs", "procedures", "labs"))
    assert (len(drugs), len(procedures), len(labs)) == (119, 90, 27)
    for table, key in ((drugs, "ingredient"), (procedures, "title"), (labs, "itemid")):
        assert table[key].is_unique
    for table in (drugs, procedures):
        assert {code for text in table["indication"] for code in text.split()} <= codes
        assert table[["others", "indicated"]].stack().between(0, 100).all()
        assert (table["indicated"] > table["others"]).all()
    assert {code for text in labs["effects"] for code in pairs(text)} <= codes
    assert (labs.groupby("panel")["ordered"].nunique() == 1).all()
    assert (labs[["low", "high"]].astype(float).diff(axis=1)["high"] > 0).all()


def test_care_leaves_the_patients_as_they_are(cared):
    without = simulated.raw_tables(patients=3_000, seed=7)
    for name, table in without.items():
        pd.testing.assert_frame_equal(table, cared[name])


@pytest.fixture(scope="module")
def has_code(cared):
    """The subject_id of everybody who has any of some whole phecodes, written with spaces."""
    subjects = phecode.map_icd(cared["diagnoses_icd"], "phecode").groupby("phecode")["subject_id"]
    subjects = subjects.agg(set).to_dict()

    def any_of(codes: str) -> pd.Index:
        return pd.Index(set().union(*(subjects.get(code, set()) for code in codes.split())))

    return any_of


def test_drugs_and_procedures_follow_disease_as_declared(cared, has_code):
    admitted = pd.Index(cared["admissions"]["subject_id"].unique())
    drugs, procedures = declared("drugs"), declared("procedures")
    wrote = cared["prescriptions"].groupby("drug")["subject_id"].agg(set)
    done = cared["procedures_icd"].groupby("icd_code")["subject_id"].agg(set)
    errors = []
    under_recorded = {*declared("recording")["phecode"], *declared("twins")["phecode"]}
    for table, names, found in (
        (drugs, drugs["names"].str.split(";"), wrote),
        (procedures, procedures[["icd9", "icd10"]].apply(list, axis=1), done),
    ):
        for (_, row), texts in zip(table.iterrows(), names, strict=True):
            receivers = set().union(*(found.get(text, set()) for text in texts))
            indicated = admitted.isin(has_code(row["indication"]))
            received = admitted.isin(receivers)
            if under_recorded & set(row["indication"].split()):
                continue  # it is given for the disease, also where that was not written down
            for group, percent in ((indicated, row["indicated"]), (~indicated, row["others"])):
                n, p = group.sum(), percent / 100
                if n * p > 20:
                    errors.append((received[group].mean() - p) / np.sqrt(p * (1 - p) / n))
                elif p == 0:
                    assert not received[group].any()
    assert len(errors) > 120
    assert np.abs(errors).max() < 5
    assert np.std(errors) == pytest.approx(1, abs=0.2)


def test_labs_follow_disease(cared, has_code):
    labs = cared["labevents"].dropna(subset=["valuenum"])
    everybody = pd.Index(labs["subject_id"].unique())
    renal, anemia, diabetes = (has_code(code) for code in ("585", "285", "250"))
    for item, sick, factor in (
        (50912, renal, 1.6), (51006, renal, 1.6), (51222, anemia, 0.9), (50852, diabetes, 1.2),
        (50931, diabetes, 1.3),
    ):  # fmt: skip
        usual = labs[labs["itemid"] == item].groupby("subject_id")["valuenum"].median()
        well = usual[usual.index.isin(everybody.difference(sick))].median()
        ratio = usual[usual.index.isin(sick)].median() / well
        assert ratio > factor if factor > 1 else ratio < factor, item


def test_lab_values_are_what_the_truth_expects(cared, has_code):
    """In patients without any of the diseases that act on it, creatinine is as declared."""
    lab = declared("labs").set_index("itemid").loc[50912]
    people = cared["patients"].set_index("subject_id")
    results = cared["labevents"].query("itemid == 50912").dropna(subset=["valuenum"])
    well = results[~results["subject_id"].isin(has_code(" ".join(pairs(lab["effects"]))))]
    first = well.drop_duplicates("subject_id")
    first = first[first["subject_id"].isin(people.index[people["anchor_age"].between(53, 57)])]
    women = (first["subject_id"].map(people["gender"]) == "F").mean()
    expected = np.log(lab["typical"]) + women * lab["female"]
    spread = np.hypot(lab["between"], lab["within"]) / np.sqrt(len(first))
    assert len(first) > 60
    assert abs(np.log(first["valuenum"]).mean() - expected) < 4 * spread + 0.02


def test_rows_of_care_belong_to_somebody_and_to_their_time(cared):
    admissions = cared["admissions"].set_index("hadm_id")
    died = cared["patients"].set_index("subject_id")["dod"]
    for name in ("procedures_icd", "prescriptions", "labevents"):
        rows = cared[name].dropna(subset=["hadm_id"])
        assert (rows["hadm_id"].map(admissions["subject_id"]) == rows["subject_id"]).all()
    labs, drugs, procedures = (cared[n] for n in ("labevents", "prescriptions", "procedures_icd"))
    assert labs["labevent_id"].is_unique and drugs["pharmacy_id"].is_unique
    assert drugs["poe_id"].is_unique
    inside = labs.dropna(subset=["hadm_id"])
    for rows, when in ((inside, "charttime"), (drugs, "starttime")):
        begin, end = (rows["hadm_id"].map(admissions[c]) for c in ("admittime", "dischtime"))
        assert ((rows[when] >= begin) & (rows[when] <= end)).all()
    assert (drugs["stoptime"] >= drugs["starttime"]).all()
    begin, end = (procedures["hadm_id"].map(admissions[c]) for c in ("admittime", "dischtime"))
    assert (procedures["chartdate"] >= begin.dt.floor("D")).all()
    assert (procedures["chartdate"] <= end).all()
    outside = labs[labs["hadm_id"].isna()]
    assert 0.1 < len(outside) / len(labs) < 0.3  # 0.26 in the MIMIC-IV demo
    assert not (outside["charttime"] >= outside["subject_id"].map(died)).any()


def test_procedures_are_coded_in_the_version_of_the_day(cared):
    versions = cared["diagnoses_icd"].drop_duplicates("hadm_id").set_index("hadm_id")["icd_version"]
    procedures = cared["procedures_icd"]
    version = procedures["hadm_id"].map(versions).dropna()
    assert (version == procedures.loc[version.index, "icd_version"]).all()
    assert set(procedures["icd_version"]) == {9, 10}
    titles = cared["d_icd_procedures"].set_index(["icd_code", "icd_version"]).index
    assert pd.MultiIndex.from_frame(procedures[["icd_code", "icd_version"]]).isin(titles).all()


def test_care_has_the_faults_of_real_tables(cared):
    ndc = cared["prescriptions"]["ndc"]
    assert (ndc == "0").mean() == pytest.approx(2_610 / 18_087, abs=0.01)  # as in the demo
    assert ndc.isna().mean() == pytest.approx(21 / 18_087, abs=0.001)
    labs = cared["labevents"]
    assert (labs["value"] == "___").mean() == pytest.approx(0.003, abs=0.001)
    assert labs.loc[labs["value"].str.startswith("<"), "valuenum"].isna().all()
    assert (labs["value"] == "<0.01").any()
    outside = (labs["valuenum"] < labs["ref_range_lower"]) | (
        labs["valuenum"] > labs["ref_range_upper"]
    )
    assert (outside == (labs["flag"] == "abnormal")).all()


def test_blocks_of_people_make_one_table(monkeypatch):
    """However many are done at a time, every row is there once and belongs to somebody."""
    monkeypatch.setattr(care, "PEOPLE_AT_A_TIME", 40)
    tables = simulated.raw_tables(patients=130, seed=3, with_care=True)
    admissions = tables["admissions"].set_index("hadm_id")["subject_id"]
    for name in care.FILES:
        rows = tables[name].dropna(subset=["hadm_id"])
        assert (rows["hadm_id"].map(admissions) == rows["subject_id"]).all()
    assert tables["labevents"]["labevent_id"].tolist() == list(
        range(1, len(tables["labevents"]) + 1)
    )
    tested, came = (set(tables[name]["subject_id"]) for name in ("labevents", "admissions"))
    assert tested <= came and len(tested) > 0.97 * len(came)


def test_written_files_hold_the_tables(folder):
    made = simulated.raw_tables(patients=150, seed=4, with_care=True)
    for name in ("diagnoses_icd", "procedures_icd", "prescriptions", "labevents"):
        read = text_table(folder / "hosp" / f"{name}.csv.gz")
        assert len(read) == len(made[name])
        for column, values in made[name].items():
            back = pd.Series(read[column].replace("", None))
            if pd.api.types.is_datetime64_dtype(values.dtype):
                back = pd.to_datetime(back).astype(values.dtype)
            elif pd.api.types.is_numeric_dtype(values.dtype):
                back, values = pd.to_numeric(back), values.astype("Float64")
                back = back.astype("Float64")
            assert back.isna().equals(values.isna()), column
            assert (back == values)[values.notna()].all(), column


def test_the_mimic_iv_reader_cannot_tell_the_difference(folder):
    read = build_patients(datasets.load("mimic-iv", data=folder))
    made = build_patients(datasets.load("simulated", patients=150, seed=4))
    pd.testing.assert_frame_equal(read, made)
    assert Schema.of(read) == Schema.of(made)


def test_the_card_states_the_license_of_the_repository():
    facts = datasets.source("simulated")
    name = facts["license"].split(",")[0]
    assert (REPOSITORY / "LICENSE").read_text(encoding="utf-8").startswith(f"{name} License")
    report = Report([], facts=facts, rows={}, settings={})
    assert f"**License of the source**: {name}," in report.card()


# -- the truth ---------------------------------------------------------------------------


def test_oracle_has_the_true_prevalences_and_odds_ratios(oracle):
    codes, died = truth.codes(), oracle["DIE_1y"].to_numpy()
    codes = codes[codes["prevalence"] > 0.01]
    has = oracle[[f"phe_{code}" for code in codes.index]].to_numpy()
    p = codes["prevalence"].to_numpy()
    error = (has.mean(axis=0) - p) / np.sqrt(p * (1 - p) / len(oracle))
    assert np.abs(error).max() < 4.5
    assert np.std(error) == pytest.approx(1, abs=0.25)

    cells = np.array(
        [[has[died == d].sum(axis=0), (1 - has[died == d]).sum(axis=0)] for d in (1, 0)]
    )
    often = cells.min(axis=(0, 1)) > 20
    cells = cells[:, :, often]
    log_odds = np.log(cells[0, 0] * cells[1, 1] / (cells[0, 1] * cells[1, 0]))
    spread = np.sqrt((1 / cells).sum(axis=(0, 1)) + 0.015**2)
    error = (log_odds - codes["log_odds_ratio"].to_numpy()[often]) / spread
    assert often.sum() > 100
    assert np.abs(error).max() < 4.5
    assert np.std(error) == pytest.approx(1, abs=0.25)
    outcome = truth.as_dict()["outcome"]["prevalence"]
    assert died.mean() == pytest.approx(outcome, abs=4 * np.sqrt(0.1 / len(oracle)))


def test_the_check_of_the_truth_finds_one_wrong_code():
    """200,000 patients are drawn by benchmarks/drawn_truth.py, here 3,000."""
    counts = drawn_truth.tables(3_000)
    right = drawn_truth.summary(counts).set_index("of")
    assert right.at["prevalence", "largest"] < 4.5 and right.at["log odds ratio", "largest"] < 4.5
    assert right.at["prevalence", "codes"] > 150
    counts.loc["244", "have"] *= 1.5
    assert drawn_truth.summary(counts).set_index("of").at["prevalence", "largest"] > 5
    stored = pd.read_csv(drawn_truth.RESULTS).set_index("of")
    assert (stored["patients"] == 200_000).all() and stored.at["prevalence", "largest"] < 4.5


def test_leaves_have_the_true_prevalences(tables):
    patients = build_patients(tables, code_level="leaf")
    codes = truth.codes("leaf")
    codes = codes[codes["prevalence"] > 0.01]
    p = codes["prevalence"].to_numpy()
    got = patients[[f"phe_{code}" for code in codes.index]].mean().to_numpy()
    error = (got - p) / np.sqrt(p * (1 - p) / len(patients))
    assert np.abs(error).max() < 4.5
    assert np.std(error) == pytest.approx(1, abs=0.25)


def test_stored_intercepts_are_those_that_are_solved_for():
    """Over other people, so the difference is what chance makes of so many of them."""
    model = illness.illness()
    again = make_hospital.solve_illness(make_hospital.without_intercepts(), seed=1, n=20_000)
    frequent = make_hospital.drawn().prevalence > 0.01
    apart = (again - model.disease.loc["intercept"])[frequent]
    assert np.abs(apart).max() < 0.25
    assert np.abs(apart).mean() < 0.04
    base = make_hospital.solve_death(model, seed=1, n=20_000)
    stored = declared("intercepts").set_index("phecode")["intercept"][base.index]
    assert (base - stored).abs().max() < 0.2


def test_the_files_of_the_package_are_those_that_are_made():
    folder = Path(simulated.__file__).parent
    for name, table in make_hospital.tables().items():
        again = table.reset_index(drop=True).fillna(
            {column: "" for column in table.select_dtypes(exclude=["number", "bool"])}
        )
        pd.testing.assert_frame_equal(declared(name), again, check_dtype=False)
    facts = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    assert_nearly_equal(facts, make_hospital.truth())


def test_oracle_sample_is_a_patient_table(oracle, patients):
    assert len(oracle) == 15_000
    assert oracle.index.equals(pd.RangeIndex(15_000))
    schema, usual = Schema.of(oracle), Schema.of(patients)
    shared = [name for name in usual.names if name in schema]
    assert shared[:7] == ["DIE_1y", "sex", "race", "age", "bmi", "systolic", "diastolic"]
    assert [schema[name] for name in shared] == [usual[name] for name in shared]
    assert oracle[shared].dtypes.equals(patients[shared].dtypes)
    assert oracle.filter(like="phe_").any().all()


def test_oracle_sample_can_have_the_columns_of_another_table(patients):
    oracle = truth.oracle_sample(300, seed=2, like=patients)
    assert oracle.columns.equals(patients.columns)
    assert oracle.dtypes.equals(patients.dtypes)
    assert Schema.of(oracle) == Schema.of(patients)
    with pytest.raises(InputError, match="has no schema"):
        truth.oracle_sample(5, like=pd.DataFrame({"weight": [71.5, 80.1, 65.0]}))


def test_oracle_patients_are_new():
    one, again, other = (truth.oracle_sample(400, seed=s) for s in (0, 0, 1))
    pd.testing.assert_frame_equal(one, again)
    shared = [c for c in one if c in other]
    assert not one[shared].equals(other[shared])
    # As many people as are drawn for 400 patients: with the same random numbers they were the same.
    simulated_ones = build_patients(simulated.load(patients=745, seed=0))
    columns = ["sex", "race", "age", "bmi", "systolic"]
    both = one[columns].dropna().merge(simulated_ones[columns].dropna())
    assert len(both) < 5
    assert len(truth.oracle_sample(1, seed=3)) == 1


@pytest.mark.parametrize("call", [lambda: truth.oracle_sample(0), lambda: truth.oracle_sample(-5)])
def test_no_new_patients_are_refused(call):
    with pytest.raises(InputError, match="number of patients is"):
        call()


def test_negative_seeds_and_unknown_levels_are_refused():
    for call in (truth.oracle_sample, simulated.load):
        with pytest.raises(InputError, match="The seed is -1"):
            call(10, seed=-1)
    with pytest.raises(InputError, match="code level 'category'; use one of phecode, leaf"):
        truth.codes("category")


def test_the_file_says_all_that_decides_over_diseases_and_death(folder):
    """Somebody who has only truth.json works out the same chances as the hospital does."""
    facts = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    assert set(facts["keys"]) == set(facts) - {"keys"}
    assert facts["made_with"]["patients"] == 150 and facts["made_with"]["seed"] == 4
    model, rng = illness.illness(), np.random.default_rng(8)
    persons = people.draw_people(60, rng)
    has = illness.draw_diseases(model, persons, rng)
    body = illness.draw_body(persons, has, rng)
    chance = make_hospital.disease_chances(model, illness.features(persons), has)
    hazards = illness.hazards(persons, has, body)
    groups = {kind: [""] + [one["name"] for one in facts[f"{kind}s"]]
              for kind in ("reason", "syndrome")}  # fmt: skip
    leads = pd.DataFrame(facts["leads"])
    checked = [0, 100, 250, 500, *model.whole.get_indexer(["585", "994", "797", "198"])]
    for i, person in persons.iterrows():
        g, sick = (person["age"] - 55) / 20, set(model.whole[has[i]])
        present = {"intercept": 1, "age": g, "age squared": g**2}
        present["gives birth" if person["birth"] else "no birth"] = 1
        present["woman" if person["female"] else "man"] = 1
        present[f"race {RACES[person['race']]}"] = 1
        present |= {names[person[kind]]: 1 for kind, names in groups.items()}
        for factor in facts["latent_factors"]:
            present |= {factor: person[factor], f"{factor} times age": person[factor] * g}
        for j in checked:
            coefficients = facts["disease_model"][model.whole[j]]
            total = sum(value * present.get(name, 0) for name, value in coefficients.items())
            own = leads[leads["disease"] == model.whole[j]]
            total += sum(r.log_odds for r in own.itertuples() if set(r.after.split()) <= sick)
            assert 1 / (1 + np.exp(-total)) == pytest.approx(chance[i, j], rel=1e-4, abs=1e-12)
        for place, cause in enumerate(declared("causes")["cause"]):
            one = facts["outcome_model"][cause]
            total = one["intercept"] + one["age"] * g
            total += one["years beyond 75"] * max(person["age"] - 75, 0)
            total += one["kg/m2 below 24"] * max(24 - body["bmi"][i], 0)
            total += one["kg/m2 above 36"] * max(body["bmi"][i] - 36, 0)
            total += one["mmHg below 108"] * max(108 - body["systolic"][i], 0)
            for least, name in ((1, "any of"), (3, "three of")):
                for codes, value in one[name].items():
                    total += value * (len(sick & set(codes.split())) >= least)
            total += sum(one["diseases"].get(code, 0) for code in sick)
            for codes, value in one["diseases together"].items():
                total += value * (set(codes.split()) <= sick)
            total += facts["outcome_model"]["gives birth"] * person["birth"]
            assert total == pytest.approx(np.log(hazards[i, place]), abs=1e-3)


def test_the_file_tells_the_shares_of_drugs_and_procedures(folder, cared):
    facts = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    admissions = cared["admissions"]
    dead = admissions.loc[admissions["hospital_expire_flag"] == 1, "subject_id"]
    cohort = pd.Index(admissions["subject_id"].unique()).difference(dead)
    errors = []
    for drug in facts["drugs"]:
        rows = cared["prescriptions"]["drug"].isin(drug["names"].split(";"))
        share = cohort.isin(cared["prescriptions"].loc[rows, "subject_id"]).mean()
        p = drug["prevalence"]
        errors.append((share - p) / np.sqrt(p * (1 - p) / len(cohort)))
    assert np.abs(errors).max() < 4.5
    assert np.std(errors) == pytest.approx(1, abs=0.25)


# -- a generator one can rely on ---------------------------------------------------------


def test_same_seed_same_patients_other_seed_others():
    first, again, other = (simulated.raw_tables(300, seed) for seed in (5, 5, 6))
    for name in first:
        pd.testing.assert_frame_equal(first[name], again[name])
    assert not first["patients"].equals(other["patients"])
    assert first["d_icd_diagnoses"].equals(other["d_icd_diagnoses"])  # the hospital is the same


def test_global_random_state_is_left_alone():
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    simulated.load(patients=50, seed=0)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("n", [1, 2, 7])
def test_a_very_small_hospital_can_be_read(n, tmp_path):
    raw = simulated.raw_tables(patients=n, seed=0)
    assert len(raw["patients"]) == n
    simulated.write(tmp_path, patients=n, seed=0)
    assert (tmp_path / "hosp/patients.csv.gz").is_file()


def test_somebody_who_never_came_makes_a_hospital_without_admissions(tmp_path):
    raw = simulated.raw_tables(patients=1, seed=15, with_care=True)
    for name in ("admissions", "diagnoses_icd", *care.FILES):
        assert raw[name].empty
    simulated.write(tmp_path, patients=1, seed=15)
    with pytest.raises(InputError, match="admissions.csv.gz has no rows"):
        datasets.load("mimic-iv", data=tmp_path)


def test_the_command_writes_the_hospital_and_its_truth(tmp_path, capsys):
    cli.simulate(out=tmp_path / "new", patients=30, seed=1)
    assert f"30 patients is in {tmp_path / 'new'}, its truth beside it" in capsys.readouterr().out
    facts = json.loads((tmp_path / "new" / "truth.json").read_text(encoding="utf-8"))
    assert facts["made_with"]["patients"] == 30
    assert len(datasets.load("mimic-iv", data=tmp_path / "new")["patients"]) == 30
    with pytest.raises(InputError, match="The number of patients is 0"):
        cli.simulate(out=tmp_path / "other", patients=0)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("n", [0, -3])
def test_no_patients_are_refused(n):
    with pytest.raises(InputError, match=f"number of patients is {n}"):
        simulated.load(patients=n)


def test_it_is_quick():
    illness.illness()
    start = time.process_time()
    simulated.load(patients=4_000, seed=1)
    assert time.process_time() - start < 4  # about half a second on an idle core


def test_the_sample_in_data_is_what_simulate_writes(tmp_path):
    sample = REPOSITORY / "data" / "sample"
    files = simulated.write(tmp_path, patients=200, seed=0)
    committed = [path for path in sample.rglob("*") if path.is_file()]
    names = {path.relative_to(sample) for path in committed}
    assert {path.relative_to(tmp_path) for path in files} == names
    assert sum(path.stat().st_size for path in committed) < 2_000_000
    for file in files[:-1]:
        # The text, not the bytes: another zlib may compress it differently.
        assert gzip.decompress(file.read_bytes()) == gzip.decompress(
            (sample / "hosp" / file.name).read_bytes()
        )
    assert_nearly_equal(
        *(json.loads((where / "truth.json").read_text("utf-8")) for where in (sample, tmp_path))
    )
    assert len(datasets.load("mimic-iv", data=sample)["patients"]) == 200


def assert_nearly_equal(one, other):
    """Equal but for the last digits of numbers, which depend on the machine."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key, value in one.items():
            assert_nearly_equal(value, other[key])
    elif isinstance(one, list):
        for a, b in zip(one, other, strict=True):
            assert_nearly_equal(a, b)
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-5)
    else:
        assert one == other


def test_wrong_options_are_refused(tmp_path):
    with pytest.raises(InputError, match="no data set 'mimic'; use one of simulated, mimic-"):
        datasets.load("mimic")
    with pytest.raises(InputError, match="simulated has no option 'size'"):
        datasets.load("simulated", size=3)
    with pytest.raises(InputError, match="simulated reads no files"):
        datasets.load("simulated", data=tmp_path)
    with pytest.raises(InputError, match="nowhere does not exist; check --data"):
        datasets.load("diabetes130", data=tmp_path / "nowhere")
