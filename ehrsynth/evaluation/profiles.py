"""How many patients the slow metrics look at, and how long their models learn."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """How many patients and rounds the slow metrics take.

    Parameters
    ----------
    attacked : int
        Patients of each group whose membership is attacked.
    inferred : int
        Patients of each group whose attributes are attacked.
    queried : int
        Patients of each table in the adversarial accuracy and among whom neighbors are looked
        for (precision, recall, density, coverage).
    clustered : int
        Patients of each table in the latent cluster analysis.
    classified : int
        Patients of each side in the classifier two-sample test.
    folds, rounds, learning_rate : int, int, float
        Cross-validation folds and the learner's trees and step.
    explained : int
        Patients whose predictions are explained.
    known_codes : int
        Diagnoses that identify a patient in the meaningful identity disclosure.
    """

    attacked: int
    inferred: int
    queried: int
    clustered: int
    classified: int
    folds: int
    rounds: int
    learning_rate: float
    explained: int
    known_codes: int


PROFILES = {
    "fast": Effort(
        attacked=1_000, inferred=200, queried=500, clustered=1_500, classified=1_200,
        folds=3, rounds=50, learning_rate=0.12, explained=300, known_codes=2,
    ),
    "full": Effort(
        attacked=4_000, inferred=1_000, queried=2_000, clustered=8_000, classified=6_000,
        folds=3, rounds=150, learning_rate=0.07, explained=1_000, known_codes=3,
    ),
}  # fmt: skip
