"""A small patient population whose truth is known, and synthetic data of known quality.

Codes share two hidden severities, so that columns depend on each other; the outcome depends
on age and on some codes. A second draw is therefore the best synthetic data there can be,
independent columns are the worst with the right margins, and a copy is a privacy disaster.
"""

import numpy as np
import pandas as pd

from ehrsynth.schema import Column, Schema
from ehrsynth.sources.tables import RACES

MALE, FEMALE = ("600", "185", "605"), ("649", "655", "646")


def population(n: int, codes: int = 40, seed: int = 0) -> pd.DataFrame:
    """`n` fresh patients with `codes` further diagnoses; the schema is attached."""
    truth = np.random.default_rng(12345)  # the same truth for every sample
    loads = truth.normal(0, 1.1, (2, codes)) * (truth.random((2, codes)) < 0.6)
    base = truth.uniform(-4.5, -1.2, codes)
    effect = np.where(np.arange(codes) % 5 == 0, 1.1, 0.0)

    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(n, 2))
    female = rng.random(n) < 0.53
    age = np.clip(np.round(57 + 15 * rng.normal(size=n) + 6 * hidden[:, 0]), 18, 91)
    logits = base + hidden @ loads + 0.02 * (age[:, None] - 57)
    diagnoses = (rng.random((n, codes)) < _expit(logits)).astype("uint8")
    risk = -3.0 + 0.04 * (age - 57) + diagnoses @ effect
    bmi = np.round(28 + 5 * rng.normal(size=n) + 2 * hidden[:, 1], 1)
    systolic = np.round(125 + 14 * rng.normal(size=n) + 5 * hidden[:, 0])
    diastolic = np.round(30 + 0.35 * systolic + 7 * rng.normal(size=n))
    unmeasured = rng.random(n) < 0.3
    table = {
        "DIE_1y": (rng.random(n) < _expit(risk)).astype("uint8"),
        "sex": pd.Categorical(np.where(female, "F", "M"), categories=["F", "M"]),
        "race": pd.Categorical(
            rng.choice(RACES, n, p=[0.67, 0.13, 0.05, 0.05, 0.05, 0.05]), categories=RACES
        ),
        "age": age,
        "bmi": np.where(unmeasured, np.nan, bmi),
        "systolic": np.where(unmeasured, np.nan, systolic),
        "diastolic": np.where(unmeasured, np.nan, diastolic),
    }
    columns = [
        Column("DIE_1y", "binary", "outcome", "Died within a year"),
        Column("sex", "categorical", "demographic", "Sex", ("F", "M")),
        Column("race", "categorical", "demographic", "Race", RACES),
        Column("age", "continuous", "demographic", "Age", unit="years", decimals=0),
        Column("bmi", "continuous", "measurement", "BMI", unit="kg/m2", decimals=1),
        Column("systolic", "continuous", "measurement", "Systolic", unit="mmHg", decimals=0),
        Column("diastolic", "continuous", "measurement", "Diastolic", unit="mmHg", decimals=0),
    ]
    for sex, restricted in (("M", MALE), ("F", FEMALE)):
        for code in restricted:
            possible = female == (sex == "F")
            table[f"phe_{code}"] = (possible & (rng.random(n) < 0.12)).astype("uint8")
            columns.append(
                Column(f"phe_{code}", "binary", "diagnosis", f"Code {code}", code=code, sex=sex)
            )
    for i in range(codes):
        code = f"{i + 1}.9"
        table[f"phe_{code}"] = diagnoses[:, i]
        columns.append(Column(f"phe_{code}", "binary", "diagnosis", f"Disease {i + 1}", code=code))
    return Schema(tuple(columns)).attach(pd.DataFrame(table))


def noisy_copy(table: pd.DataFrame, share: float, seed: int = 0) -> pd.DataFrame:
    """The same records with this share of all binary entries flipped."""
    rng = np.random.default_rng(seed)
    schema = Schema.of(table)
    copy = table.copy()
    for name in schema.of_kind("binary"):
        flip = rng.random(len(table)) < share
        copy[name] = (table[name].to_numpy() ^ flip).astype("uint8")
    return copy


def _expit(x):
    return 1 / (1 + np.exp(-x))
