"""What the tutorial's code computes, and a report of one table has no place for.

Yan et al., JMIR AI 2024;3:e52615, as their published code has it; all other published forms stand
beside the corrected ones in ``metrics.csv``.
"""

import numpy as np
import pandas as pd
from scipy.stats import wasserstein_distance

from ehrsynth.evaluation.setting import Side
from ehrsynth.statistics import Estimate, auroc

ROUNDS, LEARNING_RATE = 2_000, 0.01


def dimension_wise(real: pd.DataFrame, runs: list[pd.DataFrame], binary: list[str], of: int):
    """The dimension-wise distribution of several runs, the smaller the better (array, by run).

    Absolute differences of the `binary` columns' prevalences are summed, the outcome not among
    them; of the other columns the Wasserstein distances, scaled over the runs from 0 to 1, over
    ten. All times 1,000 over the number of columns `of` (1,459 there).
    """
    prevalences = [np.abs(real[binary].mean() - made[binary].mean()).sum() for made in runs]
    rest = [name for name in real if name not in binary]
    far = np.array([sum(wasserstein_distance(real[n], made[n]) for n in rest) for made in runs])
    span = np.ptp(far)
    scaled = (far - far.min()) / span if span else np.zeros(len(far))
    return 1000 / of * (np.array(prevalences) + scaled / 10)


def tstr(made: Side, real: Side, race: str | None = "race") -> Estimate:
    """AUROC on real patients of a model of the synthetic ones, which does not see their race."""
    from lightgbm import Booster, Dataset, train

    seen = made.encoder.predictors.copy()
    seen[made.encoder.columns(race)] = False
    options = {"objective": "binary", "learning_rate": LEARNING_RATE, "verbosity": -1, "seed": 0,
               "deterministic": True, "force_row_wise": True}  # fmt: skip
    model: Booster = train(options, Dataset(made.matrix[:, seen], made.outcome), ROUNDS)
    score = np.asarray(model.predict(real.matrix[:, seen]))
    return auroc(score[real.outcome == 1], score[real.outcome == 0])


def ranks(values: pd.DataFrame, lower: set[str]) -> pd.DataFrame:
    """Ranks of candidates (rows) by metric, 1 the best; of ties the mean, cut to a whole number.

    Where higher is better, they are cut before they are turned around, so that a tie gets the
    worse number.
    """
    cut = np.floor(values.rank())
    return cut.apply(lambda m: m if m.name in lower else len(m) + 1 - m)
