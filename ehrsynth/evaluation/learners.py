"""Models that metrics learn from a table, all LightGBM, and how much work slow metrics take."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..statistics import Estimate, NotComputable, boosted_trees, two_sample_test


@dataclass(frozen=True)
class Effort:
    """How many patients and rounds the slow metrics take.
    Chapter fidelity, "Tables of known quality".
    """

    attacked: int  # held-out patients whose membership is attacked; of train twice as many
    inferred: int  # patients of each group whose attributes are attacked
    queried: int  # patients of each table among whom neighbors are looked for
    clustered: int  # patients of each table in the latent cluster analysis
    classified: int  # patients of each side in the classifier two-sample test
    rounds: int  # trees of every model
    learning_rate: float
    explained: int  # patients whose predictions are explained
    known_codes: int  # diagnoses that identify a patient in the meaningful identity disclosure


# By profile; a billion is everybody, however long that takes.
_EFFORT = pd.read_csv(Path(__file__).with_name("effort.csv"), index_col="profile")
PROFILES = {str(name): Effort(**row) for name, row in _EFFORT.to_dict("index").items()}


def fit_classifier(x: np.ndarray, y: np.ndarray, effort: Effort, seed: int):
    """A LightGBM model of a 0/1 outcome, the same for the same seed.
    Chapter utility, "Train on synthetic, test on real (TSTR)".
    """
    if min(y.sum(), len(y) - y.sum()) < 2 or len(y) < 10:
        raise NotComputable("a table has fewer than 10 patients or 2 patients of an outcome class")
    if x.shape[1] == 0:
        raise NotComputable("there is no column to predict the outcome from")
    return boosted_trees(x, y, effort.rounds, effort.learning_rate, seed)


def predict(model, x: np.ndarray) -> np.ndarray:
    """Log odds by patient. Chapter utility, "Train on synthetic, test on real (TSTR)"."""
    return model.predict(x, raw_score=True)


def contributions(model, x: np.ndarray) -> np.ndarray:
    """Absolute SHAP value of each feature for each patient (LightGBM's own TreeSHAP).

    Source: Lundberg et al., Nat Mach Intell 2020;2:56-67. Chapter utility, "Feature importance".
    """
    return np.abs(np.asarray(model.predict(x, pred_contrib=True))[:, :-1]).astype(np.float32)


def c2st(
    real: np.ndarray, candidate: np.ndarray, effort: Effort, rng: np.random.Generator
) -> Estimate:
    """Cross-validated AUROC of telling `candidate` from `real`: 0.5 is guessing, 1 is always.
    Chapter fidelity, "Classifier two-sample test".
    """
    return two_sample_test(
        real, candidate, rng, effort.classified, rounds=effort.rounds,
        learning_rate=effort.learning_rate,
    )  # fmt: skip
