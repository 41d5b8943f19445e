"""A small patient table with structure, for tests that should not wait for a whole hospital."""

import numpy as np
import pandas as pd

import ehrsynth as es
from ehrsynth.schema import MISSING, Column, Schema

CODES = 30


def toy_schema() -> Schema:
    """Outcome, demographics, three measurements and diagnoses, two of them of one sex only."""
    return Schema(
        (
            Column("DIE_1y", "binary", "outcome"),
            Column("sex", "categorical", "demographic", categories=("F", "M")),
            Column("race", "categorical", "demographic", categories=("A", "B", MISSING)),
            Column("age", "continuous", "demographic", lower=18, upper=91, decimals=0),
            Column("bmi", "continuous", "measurement", lower=10, upper=60, decimals=1),
            Column("systolic", "continuous", "measurement", lower=60, upper=250, decimals=0),
            Column("diastolic", "continuous", "measurement", lower=30, upper=150, decimals=0),
            *(
                Column(f"phe_{i}", "binary", "diagnosis", sex={0: "M", 1: "F"}.get(i, ""))
                for i in range(CODES)
            ),
        )
    )


def toy_patients(n: int, seed: int = 0) -> pd.DataFrame:
    """`n` patients whose codes depend on a hidden severity, on age and on sex."""
    rng = np.random.default_rng(seed)
    severity = rng.normal(size=n)
    sex = rng.random(n) < 0.55
    age = np.clip(np.round(55 + 15 * rng.normal(size=n) + 5 * severity), 18, 91)
    systolic = np.round(125 + 15 * rng.normal(size=n) + 0.2 * (age - 55))
    diastolic = np.round(np.minimum(systolic - 20, 0.55 * systolic + 8 * rng.normal(size=n) + 5))
    bmi = np.round(28 + 6 * rng.normal(size=n), 1)
    columns = {
        "DIE_1y": rng.random(n) < 1 / (1 + np.exp(2.5 - severity)),
        "sex": pd.Categorical(np.where(sex, "F", "M"), categories=["F", "M"]),
        "race": pd.Categorical(
            rng.choice(["A", "B", MISSING], size=n, p=[0.6, 0.3, 0.1]),
            categories=["A", "B", MISSING],
        ),
        "age": age,
        "bmi": np.where(rng.random(n) < 0.3, np.nan, bmi),
        "systolic": np.where(rng.random(n) < 0.2, np.nan, systolic),
        "diastolic": diastolic,
    }
    columns["diastolic"] = np.where(np.isnan(columns["systolic"]), np.nan, diastolic)
    for i in range(CODES):
        logit = -1 - 0.08 * i + severity * (0.5 + (i % 3) / 2) + 0.02 * (age - 55) * (i % 2)
        has = rng.random(n) < 1 / (1 + np.exp(-logit))
        if i < 2:
            has &= ~sex if i == 0 else sex
        columns[f"phe_{i}"] = has.astype(np.uint8)
    return toy_schema().cast(pd.DataFrame(columns))


def saved_toy_model(folder):
    """A folder with a model of toy patients, hardly trained, and its preprocessor."""
    train = toy_patients(200)
    prep = es.Preprocessor().fit(train)
    es.EMRWGAN(steps=2).fit(prep.transform(train)).save(folder)
    prep.save(folder)
    return folder
