"""Missing measurements, filled from a model of the other columns."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge

from ..kinds import decimals
from ..protection import LEAST_PATIENTS, ends, knots
from ..rules import ORDERED
from ..schema import Schema

_RIDGE = 1.0  # pulls weights to 0; standardized columns
_QUANTILES = 201  # at most, that stand for a distribution


@dataclass(frozen=True)
class Imputer:
    """A ridge regression of each continuous column on all others, and what it leaves unexplained.

    A filled value is the prediction plus a residual drawn from train, so that filled values
    scatter as measured ones do (stochastic regression imputation; van Buuren, Flexible Imputation
    of Missing Data, 2018, section 3.2). A missing predictor counts as its mean.
    Chapter preprocessing, "Step 5: values that are not there".
    """

    # By continuous column:
    scale: dict[str, list[float]]  # mean and standard deviation
    weights: dict[str, list[float]]  # the intercept last
    residuals: dict[str, list[float]]  # quantiles of them
    limits: dict[str, list[float]]  # where its values end
    gaps: dict[str, list[float]]  # of the higher of an ordered pair, quantiles of the difference

    @classmethod
    def fit(cls, train: pd.DataFrame, schema: Schema, least: int = LEAST_PATIENTS) -> "Imputer":
        """Learn from the training patients; every continuous column has a measured value."""
        numbers = {name: train[name].to_numpy(float) for name in schema.of_kind("continuous")}
        scale = {n: [float(np.nanmean(v)), float(np.nanstd(v)) or 1.0] for n, v in numbers.items()}
        design, places = _design(train, schema, scale)
        weights, residuals, limits = {}, {}, {}
        for name, values in numbers.items():
            known = ~np.isnan(values)
            x, y = design[known], (values[known] - scale[name][0]) / scale[name][1]
            x[:, places[name]] = 0  # a column does not predict itself
            model = Ridge(_RIDGE).fit(x, y)
            weights[name] = [*model.coef_.tolist(), float(model.intercept_)]
            residuals[name] = knots(y - model.predict(x), _QUANTILES, least)
            limits[name] = list(ends(values[known], least))
        gaps = {}
        for upper, lower in _pairs(schema):
            gap = numbers[upper] - numbers[lower]
            gap = gap[gap > 0]
            means = np.array(knots(gap, _QUANTILES, least) or [1.0])
            # Whole differences between whole numbers, and never none.
            digits = decimals(pd.Series(gap)) if len(gap) else 0
            gaps[upper] = (means if digits is None else _up(means, digits)).tolist()
        return cls(scale, weights, residuals, limits, gaps)

    def fill(self, table: pd.DataFrame, schema: Schema, rng: np.random.Generator) -> pd.DataFrame:
        """The table with every missing number filled; what is measured stays as it is."""
        design, places = _design(table, schema, self.scale)
        filled = schema.attach(table)
        for name, weights in self.weights.items():
            empty = table[name].isna().to_numpy()
            x = design[empty]
            x[:, places[name]] = 0
            guess = x @ np.array(weights[:-1]) + weights[-1]
            guess = guess + rng.choice(self.residuals[name], size=len(x))
            guess = self.scale[name][0] + self.scale[name][1] * guess
            digits, (low, high) = schema[name].decimals, self.limits[name]
            guess = np.clip(guess, low, high)
            guess = guess if digits is None else np.round(guess, digits)
            filled[name] = _put(table[name], empty, guess)
        for upper, lower in _pairs(schema):
            wrong = (filled[lower] >= filled[upper]).to_numpy()
            gap = rng.choice(self.gaps[upper], size=len(table))
            # Of two numbers in the wrong order the one that was filled gives way.
            down = wrong & table[lower].isna().to_numpy()
            filled[lower] = _put(filled[lower], down, (filled[upper] - gap)[down])
            up = wrong & ~down & table[upper].isna().to_numpy()
            filled[upper] = _put(filled[upper], up, (filled[lower] + gap)[up])
        return filled


def _up(numbers: np.ndarray, digits: int) -> np.ndarray:
    return np.ceil(np.round(numbers * 10**digits, 6)) / 10**digits


def _put(values: pd.Series, where: np.ndarray, new) -> pd.Series:
    numbers = values.to_numpy(float, copy=True)
    numbers[where] = new
    return pd.Series(numbers, values.index)


def _pairs(schema: Schema) -> list[tuple[str, str]]:
    return [(r.column, r.other) for r in ORDERED if r.column in schema and r.other in schema]


def _design(table: pd.DataFrame, schema: Schema, scale: dict) -> tuple[np.ndarray, dict[str, int]]:
    """Predictors (n, columns), and the place of each continuous column among them."""
    parts, places, width = [], {}, 0
    for column in schema.columns:
        if column.kind == "continuous":
            mean, spread = scale[column.name]
            part = (table[column.name].to_numpy(float)[:, None] - mean) / spread
            places[column.name] = width
        elif column.kind == "binary":
            part = table[column.name].to_numpy(float)[:, None]
        else:
            part = np.eye(len(column.categories))[table[column.name].cat.codes.to_numpy()]
        parts.append(np.nan_to_num(part))
        width += part.shape[1]
    return np.hstack(parts), places
