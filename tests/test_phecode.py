"""ICD codes to phecodes."""

import pandas as pd
import pytest

from ehrsynth import load, phecode
from ehrsynth.errors import InputError


def diagnoses(*pairs):
    codes, versions = zip(*pairs, strict=True)
    return pd.DataFrame({"subject_id": range(len(pairs)), "icd_code": codes,
                         "icd_version": versions})  # fmt: skip


@pytest.mark.parametrize(
    ("code", "version", "leaf", "whole", "category"),
    [
        ("4019", 9, "401.1", "401", "circulatory system"),
        ("I10", 10, "401.1", "401", "circulatory system"),
        ("25000", 9, "250.2", "250", "endocrine/metabolic"),
        ("E119", 10, "250.2", "250", "endocrine/metabolic"),
        ("E11.9", 10, "250.2", "250", "endocrine/metabolic"),
        (" e119 ", 10, "250.2", "250", "endocrine/metabolic"),
        ("0389", 9, "038", "038", "infectious diseases"),
    ],
)
def test_a_code_of_either_version_is_the_same_disease(code, version, leaf, whole, category):
    table = diagnoses((code, version))
    assert phecode.map_icd(table, "leaf")["phecode"].tolist() == [leaf]
    assert phecode.map_icd(table, "phecode")["phecode"].tolist() == [whole]
    assert phecode.map_icd(table, "category")["phecode"].tolist() == [category]


def test_the_same_text_means_different_things_in_the_two_versions():
    # V10 is a history of cancer in ICD-9-CM and a motorcycle accident in ICD-10-CM.
    table = diagnoses(("V103", 9), ("V103", 10))
    mapped = phecode.map_icd(table)
    assert mapped["subject_id"].tolist() == [0]
    assert phecode.unmapped(table)[["icd_code", "icd_version"]].values.tolist() == [["V103", 10]]


def test_unknown_codes_are_cut_until_known_and_listed_otherwise():
    table = diagnoses(("E119XYZ", 10), ("ZZZ99", 10), ("ZZZ99", 10), (None, 10), ("I1", 10))
    mapped = phecode.map_icd(table, "leaf")
    assert mapped[["subject_id", "phecode"]].values.tolist() == [[0, "250.2"]]
    assert phecode.map_icd(diagnoses(("I10ZZ", 10)), "leaf")["phecode"].tolist() == ["401.1"]
    lost = phecode.unmapped(table)
    assert lost["rows"].sum() == 4
    assert lost.iloc[0].tolist() == [10, "ZZZ99", 2]


def test_other_columns_and_the_index_are_kept():
    table = diagnoses(("I10", 10), ("ZZZ", 10), ("E119", 10)).set_index(pd.Index([7, 8, 9]))
    mapped = phecode.map_icd(table)
    assert list(mapped.columns) == ["subject_id", "phecode"]
    assert mapped["phecode"].to_dict() == {7: "401", 9: "250"}
    mapped = phecode.map_icd(table.assign(row=list("abc"), number=[4, 5, 6]))
    assert mapped[["row", "number"]].values.tolist() == [["a", 4], ["c", 6]]


def test_a_code_can_have_two_phecodes_but_each_once():
    mapped = phecode.map_icd(diagnoses(("A1851", 10)), "leaf")
    assert sorted(mapped["phecode"]) == ["010", "379.1"]
    once = phecode.map_icd(diagnoses(("A078", 10)), "phecode")["phecode"]
    assert sorted(once) == ["008", "136"]


def test_nothing_in_nothing_out():
    empty = diagnoses(("I10", 10)).iloc[:0]
    assert len(phecode.map_icd(empty)) == 0
    assert len(phecode.unmapped(empty)) == 0


def test_every_leaf_rolls_up_to_a_code_that_is_defined():
    leaves = phecode.definitions("leaf").index.to_series()
    for level in phecode.LEVELS:
        rolled = phecode.roll_up(leaves, level)
        assert rolled.isin(phecode.definitions(level).index).all()
        assert set(rolled) == set(phecode.definitions(level).index)


@pytest.mark.parametrize(
    ("code", "sex"),
    [("600", "M"), ("185", "M"), ("605", "M"), ("649", "F"), ("655", "F"), ("646", "F"),
     ("401", ""), ("174", "")],
)  # fmt: skip
def test_the_sex_of_the_clinical_rules(code, sex):
    assert phecode.definitions("phecode").at[code, "sex"] == sex


def test_names_and_categories():
    whole = phecode.definitions("phecode")
    assert whole.at["401", "name"] == "Hypertension"
    assert whole.at["305", "name"] == "Eating disorder"  # has no definition of its own
    assert len(whole) == 544
    assert len(phecode.definitions("leaf")) == 1817
    assert len(phecode.definitions("category")) == 17


@pytest.mark.parametrize("function", [phecode.map_icd, phecode.unmapped])
def test_a_missing_column_is_named(function):
    with pytest.raises(InputError, match="'icd_version' is missing"):
        function(pd.DataFrame({"icd_code": ["I10"]}))


def test_an_unknown_level_is_refused():
    with pytest.raises(InputError, match="'chapter'; use one of phecode, leaf, category"):
        phecode.map_icd(diagnoses(("I10", 10)), "chapter")


def test_the_demo_maps_as_published(shared_data):
    table = pd.read_csv(shared_data / "mimic-iv-demo-2.2/hosp/diagnoses_icd.csv.gz",
                        dtype={"icd_code": str})  # fmt: skip
    lost = phecode.unmapped(table).groupby("icd_version")["rows"].sum()
    share = 1 - lost / table["icd_version"].value_counts()
    assert 0.87 < share[9] < 0.91
    assert 0.89 < share[10] < 0.92


def test_the_code_does_not_tell_the_era(shared_data):
    """Hypertension is one phecode in both versions; the published map made it two."""
    table = pd.read_csv(shared_data / "mimic-iv-demo-2.2/hosp/diagnoses_icd.csv.gz",
                        dtype={"icd_code": str})  # fmt: skip
    plain = table[table["icd_code"].isin(["4019", "I10"])]
    assert set(plain["icd_version"]) == {9, 10}
    assert set(phecode.map_icd(plain)["phecode"]) == {"401"}
    assert set(phecode.map_icd(plain, "leaf")["phecode"]) == {"401.1"}


# -- the association with the ICD version ------------------------------------------------


def eras():
    """Six people an era, half with hypertension and one with diabetes, and one of both eras."""
    nine = [(i, "4019" if i < 3 else "0389", 9) for i in range(6)]
    ten = [(i, "I10" if i < 9 else "A419", 10) for i in range(6, 12)]
    rest = [(5, "25000", 9), (11, "E119", 10), (12, "4019", 9), (12, "I10", 10)]
    return pd.DataFrame(nine + ten + rest, columns=["subject_id", "icd_code", "icd_version"])


def test_the_published_map_tells_the_era_and_one_level_does_not():
    found = phecode.era_association(eras()).set_index(["mapping", "phecode"])
    # 401.9 becomes 401 and I10 becomes 401.1: two codes, each of one era.
    assert found.loc[("published", "401"), ["icd9", "icd10"]].tolist() == [0.5, 0.0]
    assert found.loc[("published", "401.1"), ["icd9", "icd10"]].tolist() == [0.0, 0.5]
    assert found.at[("published", "401.1"), "phi"] == pytest.approx((1 / 3) ** 0.5)
    assert found.at[("published", "401"), "phi"] == pytest.approx(-((1 / 3) ** 0.5))
    assert found.loc[("one level", "401"), ["icd9", "icd10", "phi"]].tolist() == [0.5, 0.5, 0.0]
    assert ("one level", "401.1") not in found.index
    assert found.at[("one level", "401"), "name"] == "Hypertension"
    assert found["phi"].abs().is_monotonic_decreasing


def test_phi_is_the_correlation_of_two_columns():
    tables = load("simulated", patients=600, seed=1)
    diagnoses = tables["diagnoses"]
    found = phecode.era_association(diagnoses, "leaf").query("mapping == 'one level'")
    versions = diagnoses.groupby("subject_id")["icd_version"].agg(["min", "max"])
    era = (versions.loc[versions["min"] == versions["max"], "min"] == 10).astype(float)
    mapped = phecode.map_icd(diagnoses, "leaf")
    for code, phi in found.head(20)[["phecode", "phi"]].itertuples(index=False):
        has = era.index.isin(mapped.loc[mapped["phecode"] == code, "subject_id"]).astype(float)
        assert phi == pytest.approx(era.corr(pd.Series(has, era.index)))


def test_hypertension_in_a_hospital_of_both_eras():
    diagnoses = load("simulated", patients=3_000, seed=0)["diagnoses"]
    found = phecode.era_association(diagnoses).set_index(["mapping", "phecode"])["phi"]
    assert found["published", "401"] < -0.3 and found["published", "401.1"] > 0.3
    assert abs(found["one level", "401"]) < 0.15
    largest = found.abs().groupby("mapping").max()
    assert largest["one level"] < largest["published"]


def test_one_era_alone_has_no_association():
    with pytest.raises(InputError, match="there are 6 and 0"):
        phecode.era_association(eras().query("icd_version == 9 and subject_id < 6"))
