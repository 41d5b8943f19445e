"""Models that metrics learn from a table: all are LightGBM with one fixed setting."""

import numpy as np

from ..statistics import Estimate, NotComputable, boosted_trees, two_sample_test
from .effort import Effort


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
    """Log odds of the outcome, for each patient.
    Chapter utility, "Train on synthetic, test on real (TSTR)".
    """
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
    Chapter utility, "Classifier two-sample test".
    """
    return two_sample_test(
        real, candidate, rng, effort.classified, effort.folds, effort.rounds, effort.learning_rate
    )
