"""A hospital that never was, in MIMIC-IV's file layout and with MIMIC-IV's faults.

Nothing has to be downloaded and nothing is confidential. Its margins follow the published
aggregates of MIMIC-IV (``published.toml``); no real record was used. The hospital never changes,
the patients depend on a seed.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from ..files import write_blocks, write_json
from ..schema import AGE
from ..sources import mimic_iv
from . import care
from .care import Lives
from .people import check_size
from .records import raw_tables, simulate
from .truth import as_dict

__all__ = ["load", "raw_tables", "write"]

# Of MIMIC-IV's file of admissions, which has more of them than raw_tables.
_COLUMNS = [
    "subject_id", "hadm_id", "admittime", "dischtime", "deathtime", "admission_type",
    "admit_provider_id", "admission_location", "discharge_location", "insurance", "language",
    "marital_status", "race", "edregtime", "edouttime", "hospital_expire_flag",
]  # fmt: skip
_STREAM = 7_302  # sets the random numbers of these columns apart from those of the patients


def load(
    patients: int = 20_000, seed: int = 0, include: tuple[str, ...] = ()
) -> dict[str, pd.DataFrame]:
    """The tables of simulated patients, as :func:`ehrsynth.sources.mimic_iv.from_frames` has them.

    Parameters
    ----------
    patients, seed : int
        About 94 % of the patients will be in the cohort; another seed gives others.
    include : tuple of {"procedures", "medications", "labs"}
        Further tables of what happened, see :func:`ehrsynth.sources.mimic_iv.scan`.
    """
    return mimic_iv.from_frames(raw_tables(patients, seed, bool(include)), include=include)


def write(folder: str | Path, patients: int = 20_000, seed: int = 0) -> list[Path]:
    """Write the hospital as MIMIC-IV is published, and its truth beside it (the last file).

    Parameters
    ----------
    folder : str or Path
        Gets ``hosp/*.csv.gz`` and ``truth.json`` (see :func:`ehrsynth.hospital.truth.as_dict`).
    patients, seed : int
        As for :func:`load`, which gives the same patients.
    """
    check_size(patients, seed)
    lives, tables = simulate(patients, np.random.default_rng(seed))
    tables["admissions"] = _as_published(tables["admissions"], lives, seed)
    tables |= care.dictionaries()
    written = []
    for name in (*tables, *care.FILES):
        written.append(Path(folder) / "hosp" / f"{name}.csv.gz")
        blocks = [tables[name]] if name in tables else care.blocks(name, lives, seed)
        write_blocks(blocks, written[-1])
    written.append(Path(folder) / "truth.json")
    write_json(as_dict(patients, seed), written[-1])
    return written


def _as_published(admissions: pd.DataFrame, lives: Lives, seed: int) -> pd.DataFrame:
    """The admissions with all columns of MIMIC-IV's file, in its order."""
    rng = np.random.default_rng([_STREAM, seed])
    n, m = len(admissions), len(lives.people)
    states = np.array(["MARRIED", "SINGLE", "WIDOWED", "DIVORCED", None], dtype=object)
    old = lives.people[AGE].to_numpy() >= 65
    limits = np.where(old[:, None], [0.52, 0.70, 0.92, 0.98], [0.42, 0.88, 0.90, 0.96])
    state = states[(rng.random(m)[:, None] > limits).sum(axis=1)]
    language = np.where(rng.random(m) < 0.9, "ENGLISH", "?")
    admitted = admissions["admittime"]
    arrived = admitted - pd.to_timedelta(60 * rng.integers(60, 900, n), unit="s")
    left = admitted + pd.to_timedelta(60 * rng.integers(0, 120, n), unit="s")
    emergency = admissions["admission_location"] == "EMERGENCY ROOM"
    return admissions.assign(
        admit_provider_id=[f"P{number:05d}" for number in rng.integers(0, 2_000, n)],
        language=language[lives.stays["person"]],
        marital_status=state[lives.stays["person"]],
        edregtime=arrived.where(emergency),
        edouttime=left.where(emergency),
    )[_COLUMNS]
