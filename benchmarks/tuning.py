"""How many steps? One answer for three hospitals, judged by the worst of them.

    python benchmarks/tuning.py --data simulated second diabetes130 --train 2638 --steps 50 500
    python benchmarks/tuning.py --data second --train 16000 --steps 4000 --seeds 0

With 2,638 patients the networks and columns are those of the fast profile, with more those of the
full one. Beside the networks stand new patients, train itself, and margins and pairs with no
network. Pairs of codes are not calibrated: that hides what the networks have not learned, and
``price_list.py`` has it. What is in ``benchmarks/tuning.csv`` is not measured again, so a run may
be stopped.

Diabetes-130 is read from ``EHRSYNTH_SHARED_DATA``; it is large enough for new patients too.
"""

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import second_hospital
import torch
from measuring import FRESH, measure

import ehrsynth
from ehrsynth.evaluation import SPECS
from ehrsynth.evaluation.setting import Encoder
from ehrsynth.files import write_table
from ehrsynth.gan.pairs_only import PairsOnly
from ehrsynth.gan.recipe import MODERN
from ehrsynth.hospital.truth import oracle_sample
from ehrsynth.model import EMRWGAN
from ehrsynth.preprocessing.encode import Preprocessor
from ehrsynth.profiles import PROFILES
from ehrsynth.schema import Schema
from ehrsynth.statistics import auroc

RESULTS = Path(__file__).with_suffix(".csv")
SMALL = 2_638  # training patients; up to here the fast profile's networks and columns
KEY = ["data", "train", "generator", "steps", "seed"]
PAIRS, ITSELF, NETWORKS = "margins and pairs, no network", "train itself", "networks"
METRICS = {"classifier_two_sample_test": "C2ST", "tstr_auroc": "TSTR"}
_NEW = 5_000  # patients that the attacker knows


def diabetes130(n: int, seed: int) -> pd.DataFrame:
    folder = Path(os.environ["EHRSYNTH_SHARED_DATA"]) / "diabetes130"
    everybody = ehrsynth.build_patients(ehrsynth.load("diabetes130", data=folder))
    rows = np.random.default_rng(seed).choice(len(everybody), n, replace=False)
    return everybody.iloc[rows].reset_index(drop=True)


SOURCES: dict[str, Callable[[int, int], pd.DataFrame]] = {
    "simulated": oracle_sample, "second": second_hospital.patients, "diabetes130": diabetes130,
}  # fmt: skip


def moments(
    targets: np.ndarray, others: np.ndarray, released: np.ndarray, reference: np.ndarray
) -> float:
    """AUROC of an attacker who accuses whoever the release leans to, in means and pairs.

    Each column is standardized as in the reference, which must be neither released from nor
    attacked (Homer 2008; Dwork 2017). Fresh patients: 0.5.
    """
    center, spread = reference.mean(axis=0), reference.std(axis=0)
    released, reference, *attacked = (
        ((rows - center) / np.where(spread > 0, spread, 1))[:, spread > 0].astype(np.float64)
        for rows in (released, reference, targets, others)
    )
    lean = released.T @ released / len(released) - reference.T @ reference / len(reference)
    np.fill_diagonal(lean, 0.0)
    means = released.mean(axis=0) - reference.mean(axis=0)
    scores = [np.einsum("ij,ij->i", rows @ lean, rows) + 2 * rows @ means for rows in attacked]
    return float(auroc(*scores).value)


def code_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of all pairs' correlations; a column that never varies correlates with none."""
    with np.errstate(invalid="ignore"):
        pairs = [np.nan_to_num(np.corrcoef(rows.T)) for rows in (one, other)]
    above = np.triu_indices(one.shape[1], 1)
    return float(np.corrcoef(*(p[above] for p in pairs))[0, 1])


class Hospital:
    """Train, holdout and new patients of one source, and the columns that a profile keeps."""

    def __init__(self, data: str, train: int):
        sizes = np.cumsum([train, round(train * 3 / 7), _NEW])
        patients = SOURCES[data](int(sizes[-1]) + train, 0)
        parts = [patients.iloc[rows] for rows in np.split(np.arange(len(patients)), sizes)]
        least = PROFILES["fast"].min_prevalence if train <= SMALL else 1e-3
        self.prep = Preprocessor.for_recipe("modern", min_prevalence=least).fit(parts[0])
        self.schema: Schema = self.prep.schema_
        self.encoded = self.prep.transform(parts[0])
        self.train, self.holdout, self.new, self.fresh = map(self.clean, parts)
        without = replace(MODERN, code_pairs=0.0)
        self.recipe = PROFILES["fast"].adapt(without) if train <= SMALL else without

    def clean(self, table: pd.DataFrame) -> pd.DataFrame:
        return self.schema.attach(self.prep.clip(table[self.schema.names]).reset_index(drop=True))

    def networks(self, steps: int, seed: int) -> pd.DataFrame:
        gan = EMRWGAN(replace(self.recipe, steps=steps), seed, device="cpu").fit(self.encoded)
        made = gan.sample(len(self.train), seed=seed)
        return self.clean(ehrsynth.postprocess(made, self.prep, seed=seed))

    def pairs(self, seed: int) -> pd.DataFrame:
        return PairsOnly().fit(self.train).sample(len(self.train), seed)

    def scores(self, made: pd.DataFrame, seed: int) -> dict[str, float]:
        specs = [spec for spec in SPECS if spec.name in METRICS
                 and (spec.form == "published") == (spec.name == "tstr_auroc")]  # fmt: skip
        values = measure(self.train, self.holdout, made, self.schema, specs, "full", seed)
        tables = (self.train, self.holdout, self.new, made)
        encoder = Encoder.fit(self.schema, self.train, tables)
        train, holdout, new, rows = map(encoder.transform, tables)
        codes = encoder.columns(*self.schema.of_role("diagnosis"))
        codes = codes if len(codes) > 1 else np.arange(rows.shape[1])
        first, second = np.array_split(holdout, 2)
        return {METRICS[spec.name]: value for spec, value in values.items()} | {
            "correlation": code_correlation(rows[:, codes], new[:, codes]),
            "moments, half the holdout": moments(train, second, rows, first),
            "moments, 5,000 new": moments(train, holdout, rows, new),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--train", type=int, default=SMALL)
    parser.add_argument("--steps", type=int, nargs="+", default=[50, 200, 500, 1000, 1500, 2000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    options = parser.parse_args()
    torch.set_num_threads(1)

    done = pd.read_csv(RESULTS) if RESULTS.exists() else pd.DataFrame(columns=KEY)
    known = set(done[KEY].itertuples(index=False, name=None))
    hospitals: dict[str, Hospital] = {}
    jobs = [(name, 0, seed) for name in (FRESH, ITSELF, PAIRS) for seed in options.seeds]
    jobs += [(NETWORKS, steps, seed) for steps in options.steps for seed in options.seeds]
    for name, steps, seed in jobs:
        for data in options.data:
            if (data, options.train, name, steps, seed) in known:
                continue
            if data not in hospitals:
                hospitals[data] = Hospital(data, options.train)
            place = hospitals[data]
            make = {
                FRESH: lambda at=place: at.fresh,
                ITSELF: lambda at=place: at.train,
                PAIRS: partial(place.pairs, seed),
                NETWORKS: partial(place.networks, steps, seed),
            }[name]
            start = time.process_time()
            made = make()
            row = dict(zip(KEY, (data, options.train, name, steps, seed), strict=True))
            row |= {"columns": len(place.schema.names), "seconds": time.process_time() - start}
            row |= place.scores(made, seed)
            print(
                {k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}, flush=True
            )
            done = pd.concat([done, pd.DataFrame([row]).round(4)], ignore_index=True)
            write_table(done, RESULTS)


if __name__ == "__main__":
    main()
