"""ICD codes to phecodes."""

import numpy as np
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


# -- codes that one ICD version alone can map --------------------------------------------


def smokers(lost=60, kept=30, n=100):
    """`n` people an era; of those in ICD-9 `lost` were smokers once and 5 smoke, in ICD-10 65."""
    nine = [(i, "V1582", 9) for i in range(lost)] + [(i, "3051", 9) for i in range(95, 100)]
    ten = [(n + i, "Z87891", 10) for i in range(65 - kept)]
    ten += [(n + 65 - kept + i, "F17210", 10) for i in range(kept)]
    rest = [(i, "4019", 9) for i in range(n)] + [(n + i, "I10", 10) for i in range(n)]
    return pd.DataFrame([*nine, *ten, *rest], columns=["subject_id", "icd_code", "icd_version"])


def test_a_code_without_phecode_whose_twin_has_one_is_found():
    table = smokers()
    assert phecode.map_icd(diagnoses(("V1582", 9)))["phecode"].tolist() == []
    assert phecode.map_icd(diagnoses(("Z87891", 10)))["phecode"].tolist() == ["318"]
    (found,) = phecode.one_era(table).to_dict("records")
    assert found.pop("p") < 1e-9 and found.pop("beyond_chance")
    assert found == {
        "phecode": "318", "name": "Tobacco use disorder", "missed_by": 9, "codes": "V1582",
        "twins": "Z87891", "patients": 60, "icd9": 0.05, "icd10": 0.65, "mapped": 0.65,
    }  # fmt: skip
    # Written with a dot, or in lower case, it is the same code.
    other = table.replace({"icd_code": {"V1582": " v15.82"}})
    assert phecode.one_era(other).equals(phecode.one_era(table))
    (leaf,) = phecode.one_era(table, "leaf")["phecode"]
    (category,) = phecode.one_era(table, "category")["phecode"]
    assert (leaf, category) == ("318", "mental disorders")


def test_a_code_of_icd10_can_be_the_one_that_is_lost():
    rows = [(i, "78791", 9) for i in range(50)] + [(50 + i, "R197", 10) for i in range(50)]
    table = pd.DataFrame(rows, columns=["subject_id", "icd_code", "icd_version"])
    (found,) = phecode.one_era(table).to_dict("records")
    assert (found["missed_by"], found["patients"], found["mapped"]) == (10, 50, 1.0)
    assert (found["icd9"], found["icd10"], found["beyond_chance"]) == (1.0, 0.0, True)


def test_codes_that_both_versions_map_are_not_listed():
    """Hypertension, here six times as frequent in ICD-10: another change, but none of the map."""
    rows = [(i, "4019" if i < 100 else "0389", 9) for i in range(1_000)]
    rows += [(1_000 + i, "I10" if i < 600 else "A419", 10) for i in range(1_000)]
    table = pd.DataFrame(rows, columns=["subject_id", "icd_code", "icd_version"])
    assert phecode.one_era(table).empty
    # Nor is a code without phecode whose twin has none either, or that nobody lacks.
    assert phecode.one_era(pd.concat([table, diagnoses(("V707", 9), ("Z006", 10))])).empty
    assert phecode.one_era(smokers(lost=0)).empty
    both = smokers()
    smoke = both.query("icd_code == 'V1582'").assign(icd_code="3051")
    assert phecode.one_era(pd.concat([both, smoke])).empty


def test_what_chance_can_do_is_said_and_one_era_alone_says_nothing():
    few = pd.concat([smokers().query("subject_id in [0, 1, 98, 99, 100, 101, 190, 191]")])
    found = phecode.one_era(few)
    assert found["patients"].tolist() == [2] and not found["beyond_chance"].any()
    # Both eras as often: the code is lost all the same, but no share tells the era.
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(60):
        has = rng.random(400) < 0.3
        rows = [(i, "3051" if h else "4019", 9) for i, h in enumerate(has[:200])]
        rows += [(200 + i, "F17210" if h else "I10", 10) for i, h in enumerate(has[200:])]
        rows += [(i, "V1582", 9) for i in range(20)]
        table = pd.DataFrame(rows, columns=["subject_id", "icd_code", "icd_version"])
        alarms += phecode.one_era(table)["beyond_chance"].any()
    assert alarms <= 7  # 5 % of 60, and what chance adds to it
    assert phecode.one_era(smokers().query("icd_version == 9")).empty
    assert phecode.one_era(smokers().iloc[:0]).empty


def test_every_shipped_twin_is_one():
    codes = phecode._one_era_codes()
    own = phecode.map_icd(codes[["icd_version", "icd_code"]])
    assert own.empty and len(codes) > 300
    assert codes["icd_version"].value_counts().min() > 100


# -- codes as they are written -----------------------------------------------------------


def coded(codes, version=9):
    table = pd.DataFrame({"icd_code": codes, "icd_version": version})
    return table


@pytest.mark.parametrize(
    ("written", "right", "version"),
    [
        ("38.9", "038.9", 9), ("8.45", "008.45", 9), ("42", "042", 9), ("70", "070", 9),
        ("1.9", "001.9", 9), ("V8.5", "V08.5", 9), ("v15.82", "V1582", 9), (" 250.00 ", "25000", 9),
        ("389", "389", 9), ("e11.9", "E119", 10), ("  i10", "I10", 10), ("E885.9", "E8859", 9),
    ],
)  # fmt: skip
def test_the_dot_says_where_a_code_ends(written, right, version):
    found = phecode.map_icd(coded([written, "4019"], [version, 9]), "leaf")
    wanted = phecode.map_icd(coded([right, "4019"], [version, 9]), "leaf")
    assert found["phecode"].tolist() == wanted["phecode"].tolist()
    assert len(found) > 1 or right.startswith(("V", "E885"))


@pytest.mark.parametrize("codes", [[38.9, 8.45], [250, 401], ["4019", 250.0]])
def test_codes_that_are_numbers_are_refused(codes):
    with pytest.raises(InputError, match="'icd_code' holds numbers, and 250, 250.0 and 250.00"):
        phecode.map_icd(coded(codes))


@pytest.mark.parametrize(
    "cell", ["250.00, 401.9", "25000;4019", "E11.9|I10", "250.00 401.9", "I10/"]
)
def test_two_codes_in_a_cell_are_refused(cell):
    codes = coded(["4019", "4019", cell, "I10"], [9, 9, 10, 10])
    if cell == "I10/":
        assert len(phecode.map_icd(codes)) >= 3
        return
    with pytest.raises(InputError, match="several codes in one cell, first in row 3; give each"):
        phecode.map_icd(codes)


@pytest.mark.parametrize(
    "written", [["ICD9CM", "ICD10CM"], ["ICD-9", "ICD-10-CM"], ["9", " 10 "], [9.0, 10.0],
                ["icd9cm", "icd10"], ["ICD_9_CM", "ICD 10"]],
)  # fmt: skip
def test_versions_may_be_texts(written):
    table = coded(["4019", "I10"], written)
    assert (
        phecode.map_icd(table)["phecode"].tolist()
        == phecode.map_icd(coded(["4019", "I10"], [9, 10]))["phecode"].tolist()
    )
    assert phecode.unmapped(table).empty


@pytest.mark.parametrize(
    ("written", "shown"), [("ICD8", "'ICD8' in row 2"), (11, "'11' in row 2"), (None, "'nothing'")]
)
def test_versions_that_are_none_are_named(written, shown):
    with pytest.raises(InputError, match=f"'icd_version' has {shown}.*; write 9 or 10"):
        phecode.map_icd(coded(["4019", "4019"], [9, written]))
