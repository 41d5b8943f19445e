"""Write the book's table of which metric notices which defect.

    python tools/validation.py

It validates the metrics on the simulated hospital (see ehrsynth/evaluation/validation.py), with
more patients than the tests have time for. Some minutes.
"""

from pathlib import Path

import pandas as pd

import ehrsynth
from ehrsynth.evaluation import validation
from ehrsynth.files import write_table
from ehrsynth.hospital import truth
from ehrsynth.preprocessing.encode import Preprocessor
from ehrsynth.schema import Schema

PATIENTS, SEED, MIN_PREVALENCE = 4_000, 0, 0.01
PACKAGE_TABLE = Path(validation.__file__).with_name(validation.RESULTS)
PAGE_TABLE = Path(__file__).resolve().parents[1] / "book" / "validation.csv"


def hospital() -> validation.Tables:
    """Train and holdout of a simulated hospital, and a fresh sample from its truth."""
    patients = ehrsynth.build_patients(ehrsynth.load("simulated", patients=PATIENTS, seed=SEED))
    train, holdout = ehrsynth.split(patients, seed=SEED)
    fresh = truth.oracle_sample(len(train), seed=SEED + 1, like=train)
    prep = Preprocessor(min_prevalence=MIN_PREVALENCE, seed=SEED).fit(train)
    schema: Schema = prep.schema_
    parts = (prep.clip(t)[schema.names].reset_index(drop=True) for t in (train, holdout, fresh))
    return validation.Tables(*(schema.attach(part) for part in parts), schema)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row a defect: what was done, who notices, and who was expected to."""
    done = pd.read_csv(Path(__file__).with_name("defects.csv"), index_col="defect")["done"]
    rows = []
    for defect, part in table[table["believed"]].groupby("defect", sort=False):
        titles = part.loc[part["notices"], "title"]
        missed = part.loc[part["expected"] & ~part["notices"], "title"]
        rows.append(
            {
                "synthetic data": defect, "what was done": done[defect],
                "metrics that notice": len(titles),
                "which": "; ".join(titles) or "none",
                "expected, but silent": "; ".join(missed) or "none",
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def main() -> None:
    table = validation.as_table(validation.validate(hospital(), seed=SEED, profile="full"))
    write_table(table.round({"share": 2}), PACKAGE_TABLE)
    write_table(summary(table), PAGE_TABLE)


if __name__ == "__main__":
    main()
