"""Utility: can one learn from the synthetic data what one would learn from real patients?

The tutorial leaves race out of the features; here a model sees every column but the outcome, and
but those that determine it (:mod:`ehrsynth.discovery.leaks`).
"""

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import t
from sklearn.linear_model import LogisticRegression

from ..statistics import (
    Estimate,
    NotComputable,
    auroc,
    auroc_parts,
    group_sums,
    jackknife,
    normal_interval,
)
from .intervals import folded, magnitude
from .learners import contributions, fit_classifier, predict
from .setting import Setting, Side

TOP = 20


def _score(model, side: Side) -> Estimate:
    """AUROC of a model on a table, with DeLong's interval (of the test patients' sampling)."""
    values = predict(model, side.features)
    return auroc(values[side.outcome == 1], values[side.outcome == 0])


def loss_of_auroc(setting: Setting) -> Estimate:
    """How much less a model learns from the candidate than from train: difference of AUROCs.

    Of the same held-out patients, so that their luck cancels; new training of both models is
    counted, with the variance of the candidate's drawn again (see :func:`_drawn_again`).
    Chapter utility, "Train on synthetic, test on real (TSTR)".
    """
    y, *scores = setting.predictions
    (real, a), (made, b) = (auroc_parts(score, y) for score in scores)
    _, again = setting.once(_drawn_again)
    sizes = map(len, (setting.train, setting.candidate))
    training = np.var(again, ddof=1) * sum(len(setting.even_candidate) / size for size in sizes)
    error = np.sqrt(((a - b) ** 2).sum() + training)
    return normal_interval(real - made, float(error), float(t.ppf(0.975, 2 * len(again))))


def calibration_groups(log_odds: np.ndarray, groups: int = 10) -> np.ndarray:
    """Each patient's group by risk. Chapter utility, "Calibration: are the risks right?"."""
    order = np.argsort(log_odds, kind="stable")
    sizes = [len(part) for part in np.array_split(order, groups)]
    return np.repeat(np.arange(groups), sizes)[np.argsort(order)]


def _calibration_slope(log_odds: np.ndarray, y: np.ndarray) -> Estimate:
    """Slope of a logistic regression of the outcome on the predicted log odds; 1 is right.

    Below 1 the predicted risks are too extreme, above 1 too timid.
    Source: Cox, Biometrika 1958;45:562-565; Van Calster et al., BMC Med 2019;17:230.
    """
    spread = log_odds.std()
    if spread < 1e-9:
        raise NotComputable("the model predicts the same risk for everybody")
    sick, well = log_odds[y == 1], log_odds[y == 0]
    if sick.min() >= well.max() or well.min() >= sick.max():
        raise NotComputable("the predicted risks separate the outcome's classes without error")
    x = np.stack([np.ones(len(y)), (log_odds - log_odds.mean()) / spread], axis=1)
    fitted = LogisticRegression(C=np.inf, fit_intercept=False, solver="newton-cholesky", tol=1e-10)
    risk = fitted.fit(x, y).predict_proba(x)[:, 1]
    error = np.sqrt(np.linalg.inv(x.T @ (x * (risk * (1 - risk))[:, None]))[1, 1])
    return normal_interval(float(fitted.coef_[0, 1] / spread), float(error / spread))


def _calibration_error(setting: Setting, rng) -> Estimate:
    y, _, log_odds = setting.predictions
    if len(y) < 100:
        raise NotComputable("fewer than 100 held-out patients to compare risks with")
    excess = np.eye(10)[calibration_groups(log_odds)] * (expit(log_odds) - y)[:, None]
    sums = group_sums(excess, rng)
    found = jackknife(lambda total: 100 * np.abs(total[1:]).sum() / total[0], sums)
    return folded(found, excess.sum(axis=0) / np.sqrt((excess**2).sum(axis=0)))


def _mean_risk_error(setting: Setting, rng) -> Estimate:
    y, _, log_odds = setting.predictions
    excess = 100 * (expit(log_odds) - y)
    return magnitude(normal_interval(float(excess.mean()), float(excess.std() / np.sqrt(len(y)))))


def _slope_error(setting: Setting, rng) -> Estimate:
    y, _, log_odds = setting.predictions
    slope = _calibration_slope(log_odds, y)
    return magnitude(Estimate(*(bound - 1 for bound in slope if bound is not None)))


def feature_importance(side: Side, on: Side) -> pd.Series:
    """Mean absolute SHAP value of each feature. Chapter utility, "Feature importance"."""
    labels = np.array(side.encoder.labels)[side.encoder.predictors]
    return pd.Series(side.explained(on).mean(axis=0), index=labels)


def _top_overlap(real: np.ndarray, candidate: np.ndarray, top: int = TOP) -> float:
    """The published form: share of the `top` real features that are among the candidate's."""
    best = [set(np.argsort(-values, kind="stable")[:top]) for values in (real, candidate)]
    return len(best[0] & best[1]) / len(best[0])


def _shared_importance(real: np.ndarray, candidate: np.ndarray) -> float:
    """The corrected form: the share of all importance that both put on the same features."""
    if real.sum() == 0 or candidate.sum() == 0:
        return 0.0
    return float(np.minimum(real / real.sum(), candidate / candidate.sum()).sum())


def _overlap_of_top(setting: Setting, rng) -> Estimate:
    parts = [side.explained(setting.holdout) for side in (setting.train, setting.candidate)]
    if parts[0].shape[1] < 2 * TOP:
        raise NotComputable(f"fewer than {2 * TOP} features to choose {TOP} from")
    value, resampled = _compared(_top_overlap, rng, *parts)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Estimate(value, min(low, value), max(high, value))


def _importance_shared(setting: Setting, rng) -> Estimate:
    """Models of candidates drawn again say how much one fit varies, on a quarter of patients."""
    parts = [side.explained(setting.holdout) for side in (setting.train, setting.even_candidate)]
    value, resampled = _compared(_shared_importance, rng, *parts)
    real = parts[0][: setting.effort.explained // 4].mean(axis=0)
    again = [_shared_importance(real, importance) for importance in setting.once(_drawn_again)[0]]
    error = np.sqrt(np.var(resampled) + np.var(again, ddof=1))
    return normal_interval(value, float(error), float(t.ppf(0.975, len(again) - 1)))


def _drawn_again(setting: Setting, times: int = 5) -> tuple[list[np.ndarray], list[float]]:
    """Importances and AUROC, on held-out patients, of models of the candidate drawn again."""
    rng, made = np.random.default_rng([setting.train.seed, 17]), setting.even_candidate
    x, on, explained = made.features, setting.holdout.features, setting.effort.explained // 4
    importances, areas = [], []
    for _ in range(times):
        drawn = np.sort(rng.integers(0, len(made), len(made)))
        model = fit_classifier(x[drawn], made.outcome[drawn], setting.effort, made.seed)
        importances.append(contributions(model, on[:explained]).mean(axis=0))
        areas.append(auroc_parts(predict(model, on), setting.holdout.outcome)[0])
    return importances, areas


def _compared(compare, rng, real: np.ndarray, made: np.ndarray) -> tuple[float, list[float]]:
    """A comparison of mean importances, for the patients and for 100 draws of them for both."""
    n = len(real)
    drawn = rng.multinomial(n, np.full(n, 1 / n), 100).astype(np.float32)
    resampled = [compare(a, b) for a, b in zip(drawn @ real / n, drawn @ made / n, strict=True)]
    return compare(real.mean(axis=0), made.mean(axis=0)), resampled


COMPUTE = {
    ("tstr_auroc", "published"): lambda s, rng: _score(s.candidate.model, s.holdout),
    ("trts_auroc", "published"): lambda s, rng: _score(s.holdout.model, s.candidate),
    ("calibration_error", "corrected"): _calibration_error,
    ("mean_risk_error", "corrected"): _mean_risk_error,
    ("calibration_slope_error", "corrected"): _slope_error,
    ("feature_importance", "published"): _overlap_of_top,
    ("feature_importance", "corrected"): _importance_shared,
}
