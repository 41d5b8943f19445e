"""What is true of the simulated hospital: everything a generator can be measured against.

"The patients" are those of the cohort: who were admitted and did not die in hospital.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..cohort import build_patients
from ..errors import InputError, check_choice
from ..files import read_json
from ..schema import Schema
from ..sources import mimic_iv
from .illness import illness
from .people import check_size, declared
from .records import simulate

_ORACLE_STREAM = 7_303  # sets new patients apart from every simulated hospital's
_IN_COHORT = 0.94  # of the people, nearly


def oracle_sample(
    n: int, seed: int = 0, like: pd.DataFrame | None = None, site: str = "A"
) -> pd.DataFrame:
    """A patient table of the same hospital, independent of every simulated hospital's.

    Parameters
    ----------
    n, seed : int
        Number of patients, and what they depend on.
    like : DataFrame, optional
        A patient table whose columns the result gets: codes that occur in `like` only are 0,
        others are left out.
    site : {"A", "B"}
        Where they are treated: "B" writes down and measures less. The truth is that of "A".
    """
    check_size(n, seed)
    check_choice("site", site, declared("sites")["site"])
    people = 200 + int(n / _IN_COHORT + 6 * np.sqrt(n))  # some die in hospital or never come
    rng = np.random.default_rng([_ORACLE_STREAM, seed])
    patients = build_patients(mimic_iv.from_frames(simulate(people, rng, site)[1]))
    schema, patients = Schema.of(patients), patients.head(n)
    if like is None:
        columns = tuple(c for c in schema.columns if not c.code or patients[c.name].any())
    else:
        columns = Schema.of(like).columns
        if wrong := [c.name for c in columns if c.name not in patients and c.name[:4] != "phe_"]:
            raise InputError(
                f"Column {wrong[0]!r} of `like` is none of the simulated hospital's; "
                "give a patient table made from it."
            )
    names = [c.name for c in columns]
    return Schema(columns).attach(patients.reindex(columns=names, fill_value=np.uint8(0)))


@lru_cache(maxsize=1)
def _facts() -> dict[str, Any]:
    """What ``tools/make_hospital.py`` found."""
    return read_json(Path(__file__).with_name("truth.json"))


def codes(level: str = "phecode") -> pd.DataFrame:
    """The true prevalence of every code and its true odds ratio with the outcome.

    By ``code``: ``name``, ``sex`` ("" for both), ``prevalence`` (share of the patients in whom it
    is recorded), ``odds_ratio``, ``log_odds_ratio`` (nothing held constant; of 20,000 people).

    Parameters
    ----------
    level : {"phecode", "leaf"}
        Whole phecodes or the most specific ones.
    """
    check_choice("code level", level, ("phecode", "leaf"))
    return pd.DataFrame.from_dict(_facts()["codes"][level], orient="index").rename_axis("code")


def as_dict(patients: int | None = None, seed: int | None = None) -> dict[str, Any]:
    """The whole truth by name, as in ``truth.json``; ``keys`` says what each part means.

    Parameters
    ----------
    patients, seed : int, optional
        Of the simulated hospital that it goes with; they change nothing else.
    """
    return _facts() | {
        "made_with": _facts()["made_with"] | {"patients": patients, "seed": seed},
        "disease_model": {
            code: {name: float(f"{value:.8g}") for name, value in row.items() if value}
            for code, row in illness().disease.items()
        },
    }
