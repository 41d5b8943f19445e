"""How many patients the slow metrics look at, and how long their models learn."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """How many patients and rounds the slow metrics take.
    Chapter utility, "Tables of known quality".
    """

    attacked: int  # held-out patients whose membership is attacked; of train twice as many
    inferred: int  # patients of each group whose attributes are attacked
    queried: int  # patients of each table among whom neighbors are looked for
    clustered: int  # patients of each table in the latent cluster analysis
    classified: int  # patients of each side in the classifier two-sample test
    folds: int  # parts of its cross-validation
    rounds: int  # trees of every model
    learning_rate: float
    explained: int  # patients whose predictions are explained
    known_codes: int  # diagnoses that identify a patient in the meaningful identity disclosure


PROFILES = {
    "fast": Effort(
        attacked=1_500, inferred=200, queried=500, clustered=1_500, classified=1_200,
        folds=3, rounds=50, learning_rate=0.12, explained=300, known_codes=2,
    ),
    "full": Effort(
        attacked=4_000, inferred=1_000, queried=2_000, clustered=8_000, classified=6_000,
        folds=3, rounds=150, learning_rate=0.07, explained=1_000, known_codes=3,
    ),
}  # fmt: skip
