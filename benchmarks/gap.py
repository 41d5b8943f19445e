"""What is left to tell the modern recipe's patients from real ones: not learned, or by heart?

    python benchmarks/gap.py --patients 23000 --seeds 3

A classifier learns to tell generated patients from new ones of the same hospital, and is then
shown patients it has never seen. What it finds against *train's* patients, the model has not
learned. What it finds against new patients beyond that are accidents of train, learned by heart.
(A classifier cannot be trained against train itself: calibration makes the counts of both sides
equal, so what is more frequent in one part of them is less frequent in the rest, and the test on
the rest comes out below 0.5.)

Writes ``benchmarks/gap.csv``, one row for each seed, and the page's table in ``book``.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from measuring import FRESH, over_seeds

import ehrsynth
from ehrsynth.evaluation import PROFILES
from ehrsynth.evaluation.learners import fit_classifier, predict
from ehrsynth.evaluation.setting import Encoder
from ehrsynth.files import write_table
from ehrsynth.hospital.truth import oracle_sample
from ehrsynth.model import EMRWGAN
from ehrsynth.preprocessing.encode import Preprocessor
from ehrsynth.statistics import auroc

RESULTS = Path(__file__).with_suffix(".csv")
PAGE_TABLE = Path(__file__).resolve().parents[1] / "book" / "gap.csv"
AGAINST = ("train's patients", FRESH)


def found(
    learned: tuple[np.ndarray, np.ndarray], unseen: np.ndarray, others: tuple[np.ndarray, ...],
    seed: int,
) -> list[float]:  # fmt: skip
    """AUROC at which generated patients are told from each of `others`.

    Parameters
    ----------
    learned : pair of array
        New and generated patients, from which the classifier learns.
    unseen : array
        Generated patients that it has not seen.
    others : arrays
        Real patients that it has not seen.
    """
    truth = np.repeat([0, 1], [len(side) for side in learned])
    model = fit_classifier(np.concatenate(learned), truth, PROFILES["full"], seed)
    made = predict(model, unseen)
    return [round(float(auroc(made, predict(model, other)).value), 4) for other in others]


def page_table(results: pd.DataFrame) -> pd.DataFrame:
    """Median over the seeds, with the smallest and the largest."""
    areas = [over_seeds(results[name], 3) for name in AGAINST]
    return pd.DataFrame({"generated patients against": AGAINST, "AUROC": areas})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=23_000)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)

    hospital = ehrsynth.load("simulated", patients=options.patients, seed=0)
    train, _ = ehrsynth.split(ehrsynth.build_patients(hospital), seed=0)
    prep = Preprocessor.for_recipe("modern", min_prevalence=1e-3).fit(train)
    encoded, names = prep.transform(train), prep.schema_.names
    old = prep.clip(train[names])
    new = prep.clip(oracle_sample(2 * len(train), 0, like=train)[names])
    encoder = Encoder.fit(prep.schema_, old)
    known, strangers = np.array_split(encoder.transform(new), 2)
    old = encoder.transform(old)
    rows = []
    for seed in range(options.seeds):
        gan = EMRWGAN("modern", seed).fit(encoded)
        made = ehrsynth.postprocess(gan.sample(2 * len(train), seed=seed), prep, seed=seed)
        learned, unseen = np.array_split(encoder.transform(made), 2)
        values = found((known, learned), unseen, (old, strangers), seed)
        rows.append({"seed": seed, "train": len(train), "columns": len(names)}
                    | dict(zip(AGAINST, values, strict=True)))  # fmt: skip
        print(rows[-1], flush=True)
        results = pd.DataFrame(rows)
        write_table(results, RESULTS)
        write_table(page_table(results), PAGE_TABLE)


if __name__ == "__main__":
    main()
