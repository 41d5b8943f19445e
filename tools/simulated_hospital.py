"""Write the table of the book's page on the simulated hospital: published against simulated.

    python tools/simulated_hospital.py

A test makes it again and compares the numbers.
"""

from pathlib import Path

import pandas as pd

from ehrsynth.files import write_table
from ehrsynth.hospital.truth import published_against_simulated

PAGE_TABLE = Path(__file__).resolve().parents[1] / "book" / "simulated-hospital.csv"


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


if __name__ == "__main__":
    write_table(page_table(published_against_simulated(patients=20_000, seed=0)), PAGE_TABLE)
