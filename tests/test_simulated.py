"""The simulated hospital: its layout, its faults, its structure, its published margins."""

import gzip
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import poisson

from ehrsynth import datasets, phecode
from ehrsynth.cohort import RACES, build_patients
from ehrsynth.datasets import simulated
from ehrsynth.datasets.simulated import PUBLISHED
from ehrsynth.errors import InputError

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


# -- published against simulated ---------------------------------------------------------


def test_people_are_as_published(patients):
    assert patients["age"].mean() == pytest.approx(PUBLISHED["age mean"], abs=0.6)
    assert patients["age"].std() == pytest.approx(PUBLISHED["age sd"], abs=0.4)
    assert patients["age"].between(18, 91).all()
    assert (patients["sex"] == "F").mean() == pytest.approx(PUBLISHED["women"], abs=0.02)
    assert patients["DIE_1y"].mean() == pytest.approx(PUBLISHED["death within a year"], abs=0.02)
    races = patients["race"].value_counts(normalize=True)
    assert tuple(PUBLISHED["races"]) == RACES
    for race, share in PUBLISHED["races"].items():
        assert races[race] == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize(("code", "percent"), NAMED.items())
def test_named_phecodes_are_as_frequent_as_published(patients, code, percent):
    assert 100 * patients[f"phe_{code}"].mean() == pytest.approx(percent, rel=0.10)


def test_named_leaves_are_as_frequent_as_published(tables):
    patients = build_patients(tables, code_level="leaf")
    for code, percent in NAMED_LEAVES.items():
        assert 100 * patients[f"phe_{code}"].mean() == pytest.approx(percent, rel=0.10)


def test_no_other_phecode_is_more_frequent_than_the_named(patients):
    prevalence = patients.filter(like="phe_").mean()
    others = prevalence.drop([f"phe_{code}" for code in NAMED])
    assert others.max() < 0.134


def test_rare_phecodes_are_as_many_as_published():
    """What would be counted among the published number of patients, from the truth."""
    truth, n = simulated.hospital(), PUBLISHED["patients"]
    expected = simulated.seen(truth.leaf) * n
    for share, count in PUBLISHED["rare phecodes"].items():
        most = np.ceil(share * n) - 1
        counted = (poisson.cdf(most, expected) - np.exp(-expected)).sum()  # but at least one
        assert counted == pytest.approx(count, rel=0.2, abs=7)
    assert (1 - np.exp(-expected)).sum() == pytest.approx(PUBLISHED["phecodes"], rel=0.05)


def test_the_table_of_the_hospital_is_used_in_full():
    truth = simulated.hospital()
    table = pd.read_csv(Path(simulated.__file__).with_name("hospital.csv"), dtype={"phecode": str})
    wanted = table.set_index("phecode")["percent"] / 100
    whole = pd.Series(truth.prevalence, truth.whole)
    leaf = pd.Series(simulated.seen(truth.leaf), truth.leaf["code"])
    is_leaf = wanted.index.str.contains(".", regex=False)
    pd.testing.assert_series_equal(whole[wanted.index[~is_leaf]], wanted[~is_leaf],
                                   check_names=False, rtol=1e-9)  # fmt: skip
    pd.testing.assert_series_equal(leaf[wanted.index[is_leaf]], wanted[is_leaf],
                                   check_names=False, rtol=1e-9)  # fmt: skip
    published = table.loc[table["source"] == "published"].set_index("phecode")["percent"]
    assert published.to_dict() == NAMED | NAMED_LEAVES


def test_solved_prevalences_hold(patients):
    """The intercepts are solved over everybody, not fitted to these patients."""
    truth = simulated.hospital()
    got = patients.filter(like="phe_").mean().rename(lambda name: name[4:])
    frequent = pd.Series(truth.prevalence, truth.whole).loc[lambda p: p > 0.01]
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
    codes = patients.filter(like="phe_").sum(axis=1)
    assert (
        codes[patients["systolic"].notna()].mean() > codes[patients["systolic"].isna()].mean() + 1
    )


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
    assert 0.74 < roc_auc_score(test["DIE_1y"], scores) < 0.82


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


@pytest.mark.parametrize("n", [0, -3])
def test_no_patients_are_refused(n):
    with pytest.raises(InputError, match=f"number of patients is {n}"):
        simulated.load(patients=n)


def test_it_is_quick():
    simulated.hospital()
    start = time.process_time()
    simulated.load(patients=4_000, seed=1)
    assert time.process_time() - start < 4  # about half a second on an idle core


def test_the_sample_in_data_is_what_simulate_writes(tmp_path):
    from conftest import REPOSITORY

    sample = REPOSITORY / "data" / "sample"
    files = simulated.write(tmp_path, patients=100, seed=0)
    assert {f.name for f in files} == {f.name for f in (sample / "hosp").iterdir()}
    assert sum(f.stat().st_size for f in (sample / "hosp").iterdir()) < 500_000
    for file in files:
        # The text, not the bytes: another zlib may compress it differently.
        assert gzip.decompress(file.read_bytes()) == gzip.decompress(
            (sample / "hosp" / file.name).read_bytes()
        )
    assert len(datasets.load("mimic-iv", data=sample)["patients"]) == 100


def test_wrong_options_are_refused(tmp_path):
    with pytest.raises(InputError, match="Unknown data set 'mimic'; use one of simulated, mimic-"):
        datasets.load("mimic")
    with pytest.raises(InputError, match="simulated has no option 'size'"):
        datasets.load("simulated", size=3)
    with pytest.raises(InputError, match="simulated reads no files"):
        datasets.load("simulated", data=tmp_path)
    with pytest.raises(InputError, match="nowhere does not exist; check --data"):
        datasets.load("diabetes130", data=tmp_path / "nowhere")
