"""Drug names to ingredients."""

from importlib.resources import files

import pandas as pd
import pytest

from ehrsynth.hospital.people import declared
from ehrsynth.sources import drugs


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("Acetaminophen IV", "acetaminophen"),
        ("Aspirin EC 81 mg Tablet", "aspirin"),
        ("HYDROmorphone (Dilaudid)", "hydromorphone"),
        ("Metoprolol Tartrate", "metoprolol"),
        ("Metoprolol Succinate XL", "metoprolol"),
        ("Diltiazem Extended-Release", "diltiazem"),
        ("*NF* Ibrutinib", "ibrutinib"),
        ("Furosemide-Heart Failure", "furosemide"),
        ("PHENObarbital - ICU Alcohol Withdrawal (Loading Dose 1) ", "phenobarbital"),
        # a brand alone, or the substance in brackets
        ("HumaLOG", "insulin"),
        ("Readi-Cat 2 (Barium Sulfate 2% Suspension)", "barium sulfate"),
        ("Contrast (Iohexol 240)", "iohexol"),
        # of a mineral the salt is the drug
        ("Potassium Chloride", "potassium chloride"),
        ("Potassium Phosphate", "potassium phosphate"),
        ("Magnesium Sulfate", "magnesium sulfate"),
        ("Calcium Gluconate sliding scale (Critical Care-Ionized calcium)", "calcium gluconate"),
        ("Fludarabine Phosphate", "fludarabine"),
        # combinations, in any order
        ("Ipratropium-Albuterol Neb", "albuterol, ipratropium"),
        ("Albuterol-Ipratropium", "albuterol, ipratropium"),
        ("Sulfameth/Trimethoprim DS", "sulfamethoxazole, trimethoprim"),
        ("Acetaminophen w/Codeine", "acetaminophen, codeine"),
        ("Percocet 5/325", "acetaminophen, oxycodone"),
        # what it is dissolved in, and what rinses a line
        ("Vancomycin in 0.9% Sodium Chloride", "vancomycin"),
        ("0.9% Sodium Chloride", "sodium chloride"),
        ("Sodium Chloride 0.9%  Flush", "sodium chloride flush"),
        ("Heparin Flush (10 units/ml)", "heparin flush"),
        ("Heparin (CRRT Machine Priming)", "heparin flush"),
        ("Heparin (Hemodialysis)", "heparin"),
        ("Wonderdrug 5 mg", ""),
        ("", ""),
    ],
)
def test_ingredients(written, names):
    assert ", ".join(drugs.ingredients(written)) == names


def test_every_name_of_the_simulated_pharmacy():
    """It was written before the list was, with the ingredient beside each name."""
    table = declared("drugs")
    for ingredient, names in table[["ingredient", "names"]].itertuples(index=False):
        for written in names.split(";"):
            found = [name.removesuffix(" flush") for name in drugs.ingredients(written)]
            assert found == sorted(ingredient.split("-")), written


def test_names_that_are_not_known_stay_and_are_marked():
    written = pd.Series(["Heparin", "Wonderdrug 5 mg Tablet", None, "Bag", "Sterile Water",
                         "Oxycodone-Acetaminophen"], index=[7, 8, 9, 10, 11, 12])  # fmt: skip
    found = drugs.map_names(written)
    assert found.reset_index().values.tolist() == [
        [7, "heparin", True], [8, "wonderdrug", False], [12, "acetaminophen", True],
        [12, "oxycodone", True],
    ]  # fmt: skip
    assert len(drugs.map_names(written.iloc[:0])) == 0


def test_the_list_is_in_order():
    with (files("ehrsynth.sources") / "ingredients.csv").open(encoding="utf-8") as file:
        rows = pd.read_csv(file)
    assert not rows.duplicated().any()
    assert rows.equals(rows.sort_values(["written", "ingredient"], ignore_index=True))
    assert rows.stack().str.fullmatch("[a-z0-9]+( [a-z0-9]+)*").all()
    assert rows["written"].str.count(" ").max() < drugs._MOST_WORDS
    # An ingredient that is a name itself stands for itself alone.
    own = rows[rows["written"].isin(rows["ingredient"])]
    assert (own["written"] == own["ingredient"]).all()


def test_the_demos_prescriptions(shared_data):
    """How much of a real pharmacy's writing is understood."""
    written = pd.read_csv(shared_data / "mimic-iv-demo-2.2" / "hosp" / "prescriptions.csv.gz")
    written = written.loc[written["drug_type"] != "BASE", "drug"].dropna().reset_index(drop=True)
    found = drugs.map_names(written)
    known = written.index.isin(found.index[found["known"]])
    assert written.nunique() > 550
    assert known.mean() > 0.99  # of the rows
    names = written[known].nunique() / written.nunique()
    assert names > 0.98
    # Names of one ingredient are one column: there are far fewer columns than names.
    assert found.loc[found["known"], "ingredient"].nunique() < 0.65 * written.nunique()
    strength = r"\d ?(?:mg|ml|mcg|%)|tablet|capsule|oral|solution|sulfate$|sodium$"
    minerals = r"^(?:magnesium|zinc|ferrous|barium) sulfate$"
    left = found["ingredient"][found["ingredient"].str.contains(strength)]
    assert left[~left.str.contains(minerals)].empty
