"""How well an attack does on used against held-out patients: the measures that attacks share."""

from pathlib import Path

import numpy as np
import pandas as pd

# A privacy metric calls for care, or for not releasing, from these values on, if it is more than
# chance: by the test of the whole family of attacks ("exchange", "absolute"), or by its own
# interval. Some count from the best reference on.
ALARMS: dict[str, dict[str, str]] = pd.read_csv(
    Path(__file__).parents[1] / "alarms.csv", index_col="metric", dtype=str, keep_default_na=False
).to_dict("index")


def true_positive_rate(train: np.ndarray, holdout: np.ndarray, false_positive_rate: float) -> float:
    """Share of used patients found when this share of held-out ones is falsely accused.

    Whoever has a small distance is accused, of ties at random.
    Chapter privacy, "As it can be believed".
    """
    values, count = np.unique(holdout, return_counts=True)
    # At one false positive rate the best threshold counts: just below the next one falsely accused.
    false = np.append(0, np.cumsum(count)) / len(holdout)
    found = np.searchsorted(np.sort(train), np.append(values, np.inf)) / len(train)
    return float(np.interp(false_positive_rate, false, found))


def nearer(one: np.ndarray, other: np.ndarray, ties: float = 0.5) -> np.ndarray:
    """1 where the one is nearer, `ties` for a tie. Chapter privacy, "As it can be believed"."""
    return (one < other) + ties * (one == other)


def excess_risk(risk_train: float, risk_holdout: float) -> float:
    """Share of what could still be learned that the release gives away about its own patients.
    Source: Giomi et al., PoPETs 2023(2):312-328, eq. 4. Chapter privacy, "Attribute inference".
    """
    return (risk_train - risk_holdout) / (1 - risk_holdout) if risk_holdout < 1 else 0.0
