"""Utility: can one learn from the synthetic data what one would learn from real patients?

All models are LightGBM with one fixed setting: the tutorial's grid search had one candidate,
and its 2,000 trees are not needed to compare training sets. The tutorial leaves race out of
the features; here a model sees every column but the outcome.
"""

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import t

from ..schema import Schema
from ..statistics import boosted_trees
from .intervals import Z95, Estimate, NotComputable, around, auroc, group_sums, jackknife, magnitude
from .metric import described
from .setting import Effort, Setting, Side

TOP = 20
FEWEST_IN_CELL = 10  # patients in each cell of code by outcome, for an odds ratio worth comparing


def boost(x: np.ndarray, y: np.ndarray, effort: Effort, seed: int):
    """LightGBM classifier of 0/1 `y`, the same for the same seed.

    Returns
    -------
    lightgbm.Booster
    """
    return boosted_trees(x, y, effort.rounds, effort.learning_rate, seed)


def fit_classifier(x: np.ndarray, y: np.ndarray, effort: Effort, seed: int):
    """A model of the outcome; raises NotComputable when there is too little to learn from."""
    if min(y.sum(), len(y) - y.sum()) < 2 or len(y) < 10:
        raise NotComputable("a table has fewer than 10 patients or 2 patients of an outcome class")
    if x.shape[1] == 0:
        raise NotComputable("there is no column to predict the outcome from")
    return boost(x, y, effort, seed)


def predict(model, x: np.ndarray) -> np.ndarray:
    """Log odds, for each patient."""
    return model.predict(x, raw_score=True)


def score(model, side: Side) -> Estimate:
    """AUROC of a model on a table, with DeLong's interval (of the test patients' sampling)."""
    values = predict(model, side.features)
    return auroc(values[side.outcome == 1], values[side.outcome == 0])


def _tstr(setting: Setting, rng) -> Estimate:
    return score(setting.candidate.model, setting.holdout)


def _trts(setting: Setting, rng) -> Estimate:
    return score(setting.holdout.model, setting.candidate)


# -- calibration ---------------------------------------------------------------------------


def calibration_groups(log_odds: np.ndarray, groups: int = 10) -> np.ndarray:
    """Number of each patient's group by predicted risk; the groups are about equally large."""
    order = np.argsort(log_odds, kind="stable")
    group = np.empty(len(order), dtype=int)
    for number, part in enumerate(np.array_split(order, groups)):
        group[part] = number
    return group


def calibration_slope(log_odds: np.ndarray, y: np.ndarray) -> Estimate:
    """Slope of a logistic regression of the outcome on the predicted log odds; 1 is right.

    Below 1 the predicted risks are too extreme, above 1 too timid.

    Source: Cox, Biometrika 1958;45:562-565; Van Calster et al., BMC Med 2019;17:230.
    """
    spread = log_odds.std()
    if spread < 1e-9:
        raise NotComputable("the model predicts the same risk for everybody")
    x = np.stack([np.ones(len(y)), (log_odds - log_odds.mean()) / spread], axis=1)
    beta = np.zeros(2)
    for _ in range(50):
        risk = expit(x @ beta)
        information = x.T @ (x * (risk * (1 - risk))[:, None])
        if np.linalg.cond(information) > 1e10:
            break
        step = np.linalg.solve(information, x.T @ (y - risk))
        beta += step
        if np.abs(step).max() < 1e-9:
            error = np.sqrt(np.linalg.inv(information)[1, 1])
            return around(float(beta[1] / spread), float(error / spread))
    raise NotComputable("the predicted risks separate the outcome's classes without error")


def _predicted(setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    """Outcome of held-out patients and their log odds by the candidate's model."""
    return setting.holdout.outcome, predict(setting.candidate.model, setting.holdout.features)


def _calibration_error(setting: Setting, rng) -> Estimate:
    y, log_odds = _predicted(setting)
    if len(y) < 100:
        raise NotComputable("fewer than 100 held-out patients to compare risks with")
    excess = np.eye(10)[calibration_groups(log_odds)] * (expit(log_odds) - y)[:, None]
    return jackknife(
        lambda total: 100 * np.abs(total[1:]).sum() / total[0], group_sums(excess, rng)
    )


def _mean_risk_error(setting: Setting, rng) -> Estimate:
    y, log_odds = _predicted(setting)
    excess = 100 * (expit(log_odds) - y)
    return magnitude(around(float(excess.mean()), float(excess.std() / np.sqrt(len(y)))))


def _slope_error(setting: Setting, rng) -> Estimate:
    y, log_odds = _predicted(setting)
    slope = calibration_slope(log_odds, y)
    return magnitude(Estimate(*(x - 1 for x in slope)))


# -- what the model looks at ---------------------------------------------------------------


def contributions(model, x: np.ndarray) -> np.ndarray:
    """Absolute SHAP value of each feature for each patient (LightGBM's own TreeSHAP).

    Source: Lundberg et al., Nat Mach Intell 2020;2:56-67.
    """
    return np.abs(np.asarray(model.predict(x, pred_contrib=True))[:, :-1]).astype(np.float32)


def feature_importance(side: Side, on: Side) -> pd.Series:
    """Mean absolute SHAP value by feature, of the model trained on `side`, for patients `on`."""
    outcome = set(side.encoder.columns(side.encoder.schema.outcome))
    labels = [label for i, label in enumerate(side.encoder.labels) if i not in outcome]
    return pd.Series(side.explained(on).mean(axis=0), index=labels)


def top_overlap(real: np.ndarray, candidate: np.ndarray, top: int = TOP) -> float:
    """The published form: share of the `top` real features that are among the candidate's."""
    best = [set(np.argsort(-values, kind="stable")[:top]) for values in (real, candidate)]
    return len(best[0] & best[1]) / len(best[0])


def shared_importance(real: np.ndarray, candidate: np.ndarray) -> float:
    """The corrected form: the share of all importance that both models put on the same features.

    A count of the top 20 treats the 1st and the 20th alike and the 21st as nothing.
    """
    if real.sum() == 0 or candidate.sum() == 0:
        return 0.0
    return float(np.minimum(real / real.sum(), candidate / candidate.sum()).sum())


def _importance(compare, released, refits: int = 0):
    """`refits` models more, of candidates drawn again, say how much one fit varies."""

    def compute(setting: Setting, rng) -> Estimate:
        sides = setting.train, released(setting)
        parts = [side.explained(setting.holdout) for side in sides]
        n, width = parts[0].shape
        if width < 2 * TOP and compare is top_overlap:
            raise NotComputable(f"fewer than {2 * TOP} features to choose {TOP} from")
        value = compare(*(part.mean(axis=0) for part in parts))
        # Bootstrap over the explained patients, the same draws for both models.
        drawn = rng.multinomial(n, np.full(n, 1 / n), 100).astype(np.float32)
        means = [drawn @ part / n for part in parts]
        resampled = [compare(a, b) for a, b in zip(*means, strict=True)]
        if not refits:
            low, high = np.quantile(resampled, [0.025, 0.975])
            return Estimate(value, min(low, value), max(high, value))
        real, made = parts[0].mean(axis=0), sides[1]
        rows, x = setting.holdout.features[:n], made.features
        again = np.zeros(refits)
        for i in range(refits):
            drawn = np.sort(rng.integers(0, len(made), len(made)))
            model = fit_classifier(x[drawn], made.outcome[drawn], setting.effort, made.seed)
            again[i] = compare(real, contributions(model, rows).mean(axis=0))
        error = np.sqrt(np.var(resampled) + np.var(again, ddof=1))
        return around(value, float(error), float(t.ppf(0.975, refits - 1)))

    return compute


# -- effects -------------------------------------------------------------------------------


def log_odds_ratios(n, cases, with_code, both) -> tuple[np.ndarray, np.ndarray]:
    """Log odds ratio of the outcome for who has a code, and its standard error, by code.

    Half a patient is added to every cell, so that an empty one has a logarithm.

    Source: Haldane, Ann Hum Genet 1956;20:309-311; Woolf, Ann Hum Genet 1955;19:251-253.

    Parameters
    ----------
    n, cases : float
        Patients in all, and with the outcome.
    with_code, both : array
        Patients with each code, and with the code and the outcome.
    """
    cells = np.stack(_cells(n, cases, with_code, both)) + 0.5
    signs = np.array([1, -1, -1, 1])
    return signs @ np.log(cells), np.sqrt((1 / cells).sum(axis=0))


def _cells(n, cases, with_code, both) -> tuple[np.ndarray, ...]:
    """Patients with code and outcome, with the code alone, the outcome alone, and neither."""
    return both, with_code - both, cases - both, n - cases - with_code + both


def log_odds_errors(table: pd.DataFrame, truth: pd.Series) -> pd.Series:
    """Estimated minus true log odds ratio of each code with the outcome.

    Parameters
    ----------
    table : DataFrame
        Real or synthetic patients, the schema attached.
    truth : Series
        True log odds ratios by phecode, such as ``truth.codes()["log_odds_ratio"]`` of the
        simulated hospital (:mod:`ehrsynth.hospital.truth`).

    Returns
    -------
    Series
        By column name, in the table's order; codes with fewer than 10 patients in a cell of
        code by outcome are left out.
    """
    schema = Schema.of(table)
    names = [c.name for c in schema.columns if c.kind == "binary" and c.code in truth.index]
    y = schema.outcome_values(table).astype(float)
    flags = table[names].to_numpy(float)
    counts = len(table), y.sum(), flags.sum(axis=0), y @ flags
    enough = np.min(_cells(*counts), axis=0) >= FEWEST_IN_CELL
    errors = log_odds_ratios(*counts)[0] - truth[[schema[n].code for n in names]].to_numpy(float)
    return pd.Series(errors, index=names, name="error")[enough]


def interval_overlap(estimate_a, error_a, estimate_b, error_b) -> np.ndarray:
    """Share of two 95 % intervals that they have in common, averaged over both; 0 if none.

    Source: Karr et al., Am Stat 2006;60:224-232.
    """
    low = np.maximum(estimate_a - Z95 * error_a, estimate_b - Z95 * error_b)
    high = np.minimum(estimate_a + Z95 * error_a, estimate_b + Z95 * error_b)
    widths = 2 * Z95 * np.stack([error_a, error_b])
    return (np.clip(high - low, 0, None) / widths).mean(axis=0)


def _effects(compare):
    """`compare` is a function of log odds ratios and standard errors of both tables."""

    def compute(setting: Setting, rng) -> Estimate:
        sides = setting.holdout, setting.candidate
        n = min(map(len, sides))
        known, y = setting.train.matrix, setting.train.outcome
        counts = len(known), y.sum(), known.sum(axis=0, dtype=float), y.astype(np.float32) @ known
        expected = np.min(_cells(*counts), axis=0) * n / len(known)
        chosen = setting.encoder.is_kind("binary") & (expected >= FEWEST_IN_CELL)
        chosen[setting.encoder.columns(setting.schema.outcome)] = False
        if not chosen.any():
            raise NotComputable(
                f"no code has {FEWEST_IN_CELL} patients with and without the outcome"
            )
        sums = []
        for side in sides:
            rows = side.sample(n, rng)
            has, died = side.matrix[rows][:, chosen], side.outcome[rows, None]
            sums.append(group_sums(np.concatenate([died, has, has * died], axis=1), rng))
        width = int(chosen.sum())

        def ratios(total):
            return log_odds_ratios(total[0], total[1], total[2 : 2 + width], total[2 + width :])

        return jackknife(lambda a, b: float(np.mean(compare(*ratios(a), *ratios(b)))), *sums)

    return compute


_effect_difference = _effects(lambda a, error_a, b, error_b: np.abs(a - b))
_effect_overlap = _effects(interval_overlap)


COMPUTE = {
    ("tstr_auroc", "published"): _tstr,
    ("trts_auroc", "published"): _trts,
    ("calibration_error", "corrected"): _calibration_error,
    ("mean_risk_error", "corrected"): _mean_risk_error,
    ("calibration_slope_error", "corrected"): _slope_error,
    ("feature_importance", "published"): _importance(
        top_overlap, lambda setting: setting.candidate
    ),
    ("feature_importance", "corrected"): _importance(
        shared_importance, lambda setting: setting.even_candidate, refits=5
    ),
    ("effect_estimates", "corrected"): _effect_difference,
    ("effect_interval_overlap", "corrected"): _effect_overlap,
}
SPECS = described(COMPUTE)
