"""Meaningful identity disclosure: which released row is this person, and does it teach anything?

The attacker knows the demographics and a few frequent codes of a person, exactly or in bands. The
risk of a patient is one over the number of people who share these details, if a released row has
them too and teaches enough of what is rare in the rest, times the chance that the match can be
verified (El Emam et al., J Med Internet Res 2020;22:e23139). Published is the mean over used
patients; corrected, what is beyond held-out ones: 0 for fresh patients.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans

from ...statistics import Estimate, NotComputable, normal_interval
from ..setting import Setting, Side

LEARNED = 0.05  # share of the secret columns that a meaningful match must teach
YEARS = (1, 10, 30, 60)  # widths of the bands in which an age is known
BANDS = (100, 10, 3, 2)  # in how many bands of train's range another number is known


class _Secrets(NamedTuple):
    """What a match may teach: rare 0/1 values, and measurements with how close is close."""

    rare: np.ndarray  # (patients, columns), 1 where the patient has the rarer value
    measured: np.ndarray  # (patients, measurements), scaled to 0-1, NaN where missing
    close: np.ndarray  # (patients, measurements), the largest difference that teaches


def _risks(
    levels: Iterable[Sequence[np.ndarray]], patients: _Secrets, released: _Secrets, needed: int
) -> np.ndarray:
    """One over the size of each patient's group in the own table and in the population, (2, n), the
    largest of all levels at which the released ones of his group teach as many secrets as `needed`.
    """
    risk = np.zeros((2, len(patients.rare)))
    most = patients.rare.sum(axis=1) + (~np.isnan(patients.measured)).sum(axis=1)
    able = most >= needed  # the others cannot be taught enough at any level
    bits = [np.packbits(table.rare, axis=1) for table in (patients, released)]
    for own, everybody, made in levels:
        chance = np.stack([1 / np.bincount(x)[own] for x in (own, everybody)])
        # Only who is matched, and at greater risk here than at a level seen before.
        asked = np.flatnonzero(able & np.isin(own, made) & (chance > risk).any(axis=0))
        if len(asked) == 0:
            continue
        matched = np.flatnonzero(np.isin(made, own[asked]))
        matched = matched[np.argsort(made[matched], kind="stable")]
        names, starts, member = np.unique(made[matched], return_index=True, return_inverse=True)
        group = np.searchsorted(names, own[asked])
        # How many secrets of each asked patient the synthetic patients of his group have.
        union = np.bitwise_or.reduceat(bits[1][matched], starts, axis=0)
        taught = np.unpackbits(bits[0][asked] & union[group], axis=1).sum(axis=1)
        for j in range(patients.measured.shape[1]):
            gap = _gap(group, patients.measured[asked, j], member, released.measured[matched, j])
            taught += gap < patients.close[asked, j]
        learned = asked[taught >= needed]
        risk[:, learned] = np.maximum(risk[:, learned], chance[:, learned])
    return risk


def _gap(
    group: np.ndarray, value: np.ndarray, member: np.ndarray, released: np.ndarray
) -> np.ndarray:
    """Difference of each value to the nearest released one of its group (inf without one)."""
    present = ~np.isnan(released)
    # Group and value in one sorted number: groups are 2 apart, values between 0 and 1.
    keys = np.sort(2.0 * member[present] + np.clip(released[present], 0, 1))
    keys = np.pad(keys, 1, constant_values=(-np.inf, np.inf))
    own = 2.0 * group + np.clip(np.nan_to_num(value), 0, 1)
    at = np.searchsorted(keys, own)
    gap = np.minimum(own - keys[at - 1], keys[at] - own)
    return np.where((gap > 1) | np.isnan(value), np.inf, gap)  # more than 1 is another group


def _combined(options: list[list[np.ndarray]], ends: list[int]) -> Iterator[list[np.ndarray]]:
    """Groups of the rows of three tables (up to both ends, and the rest) at every combination of
    the quasi-identifiers' levels, the finest first; to leave one out is a level too, but not all.
    """
    left_out = np.zeros(len(options[0][0]), dtype=int)
    choices = [[*map(_numbered, levels), left_out] for levels in options]
    for chosen in list(product(*choices))[:-1]:
        groups = np.ravel_multi_index(chosen, [int(level.max()) + 1 for level in chosen])
        yield np.split(_numbered(groups), ends)


def _numbered(values: np.ndarray) -> np.ndarray:
    return pd.factorize(values, use_na_sentinel=False)[0]


class Identity:
    """Quasi-identifiers (the first four demographics and the most frequent codes) and secrets.
    Chapter attacks, "Meaningful identity disclosure".
    """

    def __init__(self, setting: Setting):
        schema, encoder = setting.schema, setting.encoder
        self.setting = setting
        codes = [n for n in schema.of_role("diagnosis") if schema[n].kind == "binary"]
        frequent = setting.train.frame[codes].mean().sort_values(ascending=False, kind="stable")
        demographic = schema.of_role("demographic")
        if not demographic:
            raise NotComputable("no column is demographic, so nobody can be singled out by it")
        self.known = demographic[:4] + list(frequent.index[: setting.effort.known_codes])
        self.secret = encoder.is_kind("binary", "category")
        self.secret[encoder.columns(*demographic, *self.known)] = False
        common = setting.train.matrix[:, self.secret].mean(axis=0)
        self.rarer = (common < 0.5).astype(np.float32)
        self.measured = [n for n in schema.of_kind("continuous") if n not in demographic]
        self.needed = max(1, int(np.ceil(LEARNED * (len(self.rarer) + len(self.measured)))))

    def _secrets(self, side: Side) -> _Secrets:
        rare = side.matrix[:, self.secret] == self.rarer
        measured = np.zeros((len(side), len(self.measured)))
        close = np.zeros_like(measured)
        for j, name in enumerate(self.measured):
            low, span, _ = self.setting.encoder.scale[name]
            real = (self.setting.train.frame[name].dropna().to_numpy(float) - low) / span
            measured[:, j] = (side.frame[name].to_numpy(float) - low) / span
            close[:, j] = _close(real, np.nan_to_num(measured[:, j]))
        return _Secrets(rare, measured, close)

    def _levels(self, name: str, values: pd.Series) -> list[np.ndarray]:
        """How exactly a quasi-identifier may be known, the finest first: bands, or the mode."""
        column = self.setting.schema[name]
        if column.kind == "continuous":
            span = self.setting.encoder.scale[name][1]
            widths = YEARS if column.unit == "years" else [span / bands for bands in BANDS]
            numbers = values.to_numpy(float, na_value=-1e6)
            return [np.floor(numbers / width) for width in widths]
        texts = values.astype(str).to_numpy(object)
        if len(column.categories) <= 2:
            return [texts]
        return [texts, texts == self.setting.train.frame[name].astype(str).mode()[0]]

    def risk(self, side: Side) -> np.ndarray:
        """Risk of each patient, by the group's size in the own table and in the population."""
        train, holdout, candidate = self.setting.train, self.setting.holdout, self.setting.candidate
        tables = pd.concat([x.frame[self.known] for x in (side, train, holdout, candidate)])
        ends = [len(side), len(tables) - len(candidate)]
        levels = _combined([self._levels(name, tables[name]) for name in self.known], ends)
        risks = _risks(levels, self._secrets(side), self._secrets(candidate), self.needed)
        rng = np.random.default_rng([side.seed, 10])
        return risks * _verified(len(side), len(self.known), rng)


def _close(real: np.ndarray, values: np.ndarray) -> np.ndarray:
    """How near a released measurement must be: 1.48 MAD over the share of the value's cluster
    (of five; the paper chooses their number by silhouette).
    """
    if len(real) < 10 or np.ptp(real) == 0:
        return np.zeros(len(values))
    sample = real[:5_000]
    kmeans = KMeans(min(5, len(np.unique(sample))), n_init=1, random_state=0)
    kmeans.fit(sample[:, None])
    share = np.bincount(kmeans.labels_, minlength=kmeans.n_clusters) / len(kmeans.labels_)
    deviation = np.median(np.abs(real - np.median(real)))
    return 1.48 * deviation / share[kmeans.predict(values[:, None])]


def _verified(n: int, identifiers: int, rng: np.random.Generator) -> np.ndarray:
    """Chance that a match can be verified and is not an error in the data, for each patient, from
    the published triangular distributions of the two rates (means 0.23, 0.0426; correlation 0.5).
    """
    verification = rng.triangular(0.1, 0.16, 0.43, n)
    error = 0.5 * verification + np.sqrt(0.75) * rng.triangular(0.0013, 0.0615, 0.065, n)
    return (1 + verification * (1 - (1 - error) ** identifiers)) / 2


def _of_train(setting: Setting) -> np.ndarray:
    return setting.once(Identity).risk(setting.train)


def _published(setting: Setting, rng: np.random.Generator) -> Estimate:
    by_sample, by_population = setting.once(_of_train)
    n, people = len(setting.train), len(setting.train) + len(setting.holdout)
    return max(
        normal_interval(by_sample.sum() / people, by_sample.std() * np.sqrt(n) / people),
        normal_interval(by_population.mean(), by_population.std() / np.sqrt(n)),
    )


def _beyond_holdout(setting: Setting, rng: np.random.Generator) -> Estimate:
    train, holdout = setting.once(_of_train)[1], setting.once(Identity).risk(setting.holdout)[1]
    error = np.sqrt(train.var() / len(train) + holdout.var() / len(holdout))
    return normal_interval(float(train.mean() - holdout.mean()), float(error))


COMPUTE = {
    ("meaningful_identity_disclosure", "published"): _published,
    ("meaningful_identity_disclosure", "corrected"): _beyond_holdout,
}
