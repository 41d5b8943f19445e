"""Write the table of the book's page on the simulated hospital: published against simulated.

    python tools/simulated_hospital.py

A test makes it again and compares the numbers.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from make_hospital import PUBLISHED
from scipy.stats import poisson

from ehrsynth.cohort import build_patients
from ehrsynth.files import write_table
from ehrsynth.gan.pairs_only import tetrachoric
from ehrsynth.hospital.people import declared
from ehrsynth.hospital.records import BMI_FAULTS
from ehrsynth.hospital.truth import as_dict, codes
from ehrsynth.hospital.writing import load
from ehrsynth.schema import AGE, BMI, DIE_1Y, RACE, SEX, SYSTOLIC

BOOK = Path(__file__).resolve().parents[1] / "book"
PAGE_TABLE, TOGETHER_TABLE = BOOK / "simulated-hospital.csv", BOOK / "comorbidity.csv"
# Percent of patients hospitalized with heart failure who have another disease: 105,388 stays of the
# ADHERE registry (Adams et al., Am Heart J 2005;149:209-216).
ADHERE = {"401": 73, "411": 57, "250": 44, "427": 31, "496": 31, "585": 30}
# The same in the open MIMIC-IV demo (18 patients with heart failure), and who has heart failure,
# high blood pressure or ischemic heart disease of its patients with diabetes (33).
DEMO = {"428": {"401": 89, "411": 61, "250": 50, "427": 72, "496": 33, "585": 72},
        "250": {"401": 85, "411": 48, "428": 27, "585": 52}}  # fmt: skip


def published_against_simulated(patients: int = 20_000, seed: int = 0) -> pd.DataFrame:
    """How close the hospital comes to the published aggregates of MIMIC-IV.

    Parameters
    ----------
    patients, seed : int
        Of the simulated hospital to compare; the truth does not depend on them.

    Returns
    -------
    DataFrame
        By ``quantity``: ``published``; ``truth`` of the hospital (missing where only a sample can
        tell); ``simulated`` (missing where it depends on the number of patients); ``lowest`` and
        ``highest``, between which both have to lie. Shares are in percent.
    """
    tables = load(patients, seed)
    table = build_patients(tables)
    rows = [*_people_rows(table), *_vitals_rows(tables), *_code_rows(tables, table)]
    frame = pd.DataFrame(rows, columns=["quantity", "published", "truth", "simulated", "room"])
    frame["lowest"] = frame["published"] - frame["room"]
    frame["highest"] = frame["published"] + frame["room"]
    return frame.drop(columns="room").set_index("quantity")


def _people_rows(table: pd.DataFrame) -> list[tuple]:
    people, outcome = as_dict()["people"], as_dict()["outcome"]
    age, women = table[AGE], (table[SEX] == "F").mean()
    races = table[RACE].value_counts(normalize=True)
    mean, sd, died = (PUBLISHED[name] for name in ("age mean", "age sd", "death within a year"))
    return [
        ("age, mean", mean, people["age_mean"], age.mean(), 0.02 * mean),
        ("age, SD", sd, people["age_sd"], age.std(), 0.02 * sd),
        _share("women", PUBLISHED["women"], people["women"], women, 2),
        *(
            _share(f"race {race}", published, people["races"][race], races[race], 2)
            for race, published in PUBLISHED["races"].items()
        ),
        _share("death within a year", died, outcome["prevalence"], table[DIE_1Y].mean(), 2),
    ]


def _share(quantity: str, published: float, true: float, simulated: float, room: float) -> tuple:
    return (f"{quantity} (%)", 100 * published, 100 * true, 100 * simulated, room)


def _vitals_rows(tables: dict[str, pd.DataFrame]) -> list[tuple]:
    """Who was never measured, and the wildest BMI among as many patients as published."""
    admissions, measurements = tables["admissions"], tables["measurements"]
    dead = admissions.loc[admissions["died_in_hospital"], "subject_id"]
    cohort = pd.Index(admissions["subject_id"].unique()).difference(dead)
    known = measurements[measurements["subject_id"].isin(cohort)]
    rows = []
    for name, label in ((BMI, "BMI"), (SYSTOLIC, "blood pressure")):
        missing = 1 - known.loc[known["name"] == name, "subject_id"].nunique() / len(cohort)
        rows.append(_share(f"no {label}", PUBLISHED["no vitals"], np.nan, missing, 5))
    bmi = known.loc[known["name"] == BMI, "value"]
    share, factor = BMI_FAULTS[-1]
    mistyped = share * len(bmi) / len(cohort) * PUBLISHED["patients"]
    median_of_largest = bmi[bmi.between(10, 60)].quantile(0.5 ** (1 / mistyped)) * factor
    largest = PUBLISHED["largest BMI"]
    return [*rows, ("largest BMI (kg/m2)", largest, median_of_largest, np.nan, 0.75 * largest)]


def _code_rows(tables: dict[str, pd.DataFrame], table: pd.DataFrame) -> list[tuple]:
    leaves = build_patients(tables, code_level="leaf")
    whole, leaf = codes("phecode"), codes("leaf")
    rows, known = [], declared("hospital").set_index("phecode")
    for code, published in known.loc[known["source"] == "published", "percent"].items():
        true, made = (whole, table) if code in whole.index else (leaf, leaves)
        quantity = f"phecode {code} {true.at[code, 'name']} (%)"
        simulated_share = made[f"phe_{code}"].mean()
        rows.append(
            (quantity, published, 100 * true.at[code, "prevalence"], 100 * simulated_share,
             0.1 * published)
        )  # fmt: skip
    n = PUBLISHED["patients"]
    expected = leaf["prevalence"].to_numpy() * n
    for share, published in PUBLISHED["rare phecodes"].items():
        # What a count among the published patients gives on average.
        seen = (poisson.cdf(np.ceil(share * n) - 1, expected) - np.exp(-expected)).sum()
        rows.append((f"phecodes rarer than {share:.0e}", published, seen, np.nan, 0.2 * published))
    seen, published = (1 - np.exp(-expected)).sum(), PUBLISHED["phecodes"]
    return [*rows, (f"phecodes seen among {n:,}", published, seen, np.nan, 0.05 * published)]


def together(patients: pd.DataFrame) -> pd.DataFrame:
    """Percent of patients with one disease who have another: published, demo, and `patients`."""
    names, rows = codes("phecode")["name"], []
    for among, others in DEMO.items():
        ill = patients[patients[f"phe_{among}"] == 1]
        for code, demo in others.items():
            published = ADHERE.get(code) if among == "428" else None
            found = round(100 * ill[f"phe_{code}"].mean())
            rows.append((names[among], names[code], published, demo, found))
    columns = ["of patients with", "have", "ADHERE", "MIMIC-IV demo", "simulated"]
    return pd.DataFrame(rows, columns=columns).astype({"ADHERE": "Int64"})


def page_table(comparison: pd.DataFrame) -> pd.DataFrame:
    """What :func:`published_against_simulated` returns, as a reader wants to see it."""
    table = comparison.map(_shown)
    allowed = table["lowest"] + " to " + table["highest"]
    table = table.drop(columns=["lowest", "highest"]).assign(allowed=allowed)
    names = {"truth": "truth of the hospital", "simulated": "20,000 simulated"}
    return table.rename(columns=names).reset_index()


def _shown(value: float) -> str:
    if pd.isna(value):
        return "–"
    return f"{value:,.0f}" if value >= 1_000 or value == round(value) else f"{value:.2f}"


def mean_tetrachoric(codes: np.ndarray, most: int = 60, least: float = 0.03) -> float:
    """Over the pairs of the most frequent codes, those of at least a share `least`."""
    share = codes.mean(axis=0)
    often = np.argsort(-share)[:most]
    x = codes[:, often[share[often] >= least]].astype(float)
    found = tetrachoric(x.mean(axis=0), x.T @ x / len(x), len(x))
    return float(found[np.triu_indices(len(found), 1)].mean())


if __name__ == "__main__":
    write_table(page_table(published_against_simulated(patients=20_000, seed=0)), PAGE_TABLE)
    write_table(together(build_patients(load(20_000, 0))), TOGETHER_TABLE)
