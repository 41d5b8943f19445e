"""Privacy: what could someone learn about the patients whose data was used?

Every attack is run on patients whose data was used (train) and on patients whose data was not
(holdout). Only the difference is a risk of the release: what works on holdout as well is what
the data teaches about anybody.
"""

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from hashlib import blake2b
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..statistics import nearest_distance, nearest_distances
from .intervals import (
    Estimate,
    NotComputable,
    around,
    auroc,
    auroc_parts,
    largest_of,
    mean_of,
    wilson,
)
from .metric import described
from .setting import Encoder, Setting, Side, subgroups

RADIUS = 5.0


# -- membership inference --------------------------------------------------------------------


def membership_f1(rate_train: float, rate_holdout: float, n_train: int, n_holdout: int) -> float:
    """The published form: F1 of calling a patient a member who is within a fixed distance.

    With no leakage at all (both rates p) it is 2pn/(n + p(n + m)) for n train and m holdout
    patients: 1.4p/(p + 0.7) for the usual split, so it measures p, not risk.

    Parameters
    ----------
    rate_train, rate_holdout : float
        Share of each group within the distance of a synthetic patient.
    """
    hits, false_hits = rate_train * n_train, rate_holdout * n_holdout
    missed = n_train - hits
    return hits / (hits + (false_hits + missed) / 2) if hits else 0.0


def _membership_published(setting: Setting, rng) -> Estimate:
    """Squared distance at most 5, measurements scaled by the synthetic range, as published."""
    own = Encoder.fit(setting.schema, setting.candidate.frame)
    scaled_alike = own.scale == setting.encoder.scale and not setting.encoder.missing
    if scaled_alike:
        near = setting.nearest
    else:
        released = own.transform(setting.candidate.frame)
        near = []
        for side in (setting.train, setting.holdout):
            attacked = side.frame.iloc[side.sample(setting.effort.attacked, rng)]
            near.append(nearest_distance(own.transform(attacked), released))
    rates = [float(np.mean(d**2 <= RADIUS + 1e-6)) for d in near]
    sizes = len(setting.train), len(setting.holdout)
    drawn = [rng.binomial(len(d), rate, 500) / len(d) for d, rate in zip(near, rates, strict=True)]
    resampled = [membership_f1(a, b, *sizes) for a, b in zip(*drawn, strict=True)]
    value = membership_f1(*rates, *sizes)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Estimate(value, min(low, value), max(high, value))


def _membership_auroc(setting: Setting, rng) -> Estimate:
    train, holdout = setting.nearest
    _enough(train, holdout)
    return auroc(-train, -holdout)


def _holdout_exposure(setting: Setting, rng) -> Estimate:
    train, holdout = setting.nearest
    _enough(train, holdout)
    return auroc(-holdout, -train)


def _enough(train: np.ndarray, holdout: np.ndarray, least: int = 5) -> None:
    if min(len(train), len(holdout)) < least:
        raise NotComputable(f"fewer than {least} patients of a group to attack")


def true_positive_rate(train: np.ndarray, holdout: np.ndarray, false_positive_rate: float):
    """Share of train found when this share of holdout is falsely accused.

    Parameters
    ----------
    train, holdout : array of float
        Distances; the attack accuses whoever is near. Between two thresholds the ROC curve is
        a straight line (ties are accused at random).
    """
    levels = np.unique(np.concatenate([train, holdout]))
    found = np.searchsorted(np.sort(train), levels, "right") / len(train)
    false = np.searchsorted(np.sort(holdout), levels, "right") / len(holdout)
    false, found = np.concatenate([[0.0], false]), np.concatenate([[0.0], found])
    # At one false positive rate the best threshold counts.
    last = np.flatnonzero(np.append(np.diff(false) > 0, True))
    return float(np.interp(false_positive_rate, false[last], found[last]))


def _membership_rare(setting: Setting, rng) -> Estimate:
    train, holdout = setting.nearest
    if len(holdout) < 100:
        raise NotComputable("with fewer than 100 held-out patients, 1 % is less than one patient")
    value = true_positive_rate(train, holdout, 0.01)
    resampled = [
        true_positive_rate(
            rng.choice(train, len(train)), rng.choice(holdout, len(holdout)), 0.01
        )
        for _ in range(200)
    ]  # fmt: skip
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Estimate(value, min(low, value), max(high, value))


def density_ratio(targets: np.ndarray, released: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Log of how much denser the release is at each target than a reference is, up to a factor.

    Densities are Gaussian kernel estimates with a small bandwidth, where only the nearest record
    counts: the log ratio is the difference of the two squared distances. (Boosted trees as the
    estimator blur single records: a plain copy of train then gives an AUROC of about 0.6, not 1.)

    Source: van Breugel et al., AISTATS 2023, PMLR 206:3493-3514 (DOMIAS).

    Parameters
    ----------
    targets, released, reference : array
        Encoded patients; the reference patients must be neither released from nor attacked.
    """
    return nearest_distance(targets, reference) ** 2 - nearest_distance(targets, released) ** 2


def _density_ratio(setting: Setting, rng) -> Estimate:
    """Each half of holdout is the reference once, while the other half is attacked."""
    n = setting.effort.attacked
    _enough(*(range(len(side)) for side in (setting.train, setting.holdout)), least=10)
    train, holdout = (rng.permutation(s.sample(n, rng)) for s in (setting.train, setting.holdout))
    rows = setting.train.matrix[train], setting.holdout.matrix[holdout]
    (train_a, train_b), (holdout_a, holdout_b) = (np.array_split(x, 2) for x in rows)
    released = setting.candidate.matrix
    return mean_of(
        [
            auroc(*(density_ratio(x, released, reference) for x in (attacked, unused)))
            for attacked, unused, reference in (
                (train_a, holdout_a, holdout_b), (train_b, holdout_b, holdout_a),
            )
        ]
    )  # fmt: skip


def isolation(setting: Setting, rng: np.random.Generator, k: int = 5) -> tuple[np.ndarray, ...]:
    """How far attacked train and attacked holdout patients are from other real patients.

    The mean distance to the `k` nearest of a sample of train and holdout together, so that it
    says nothing about who was used.

    Source: after Meeus et al., arXiv 2023;2306.10308.
    """
    sides = setting.train, setting.holdout
    sizes = [len(side) for side in sides]
    pool = np.sort(rng.permutation(sum(sizes))[: 2 * setting.effort.queried])
    rows = np.concatenate(
        [side.matrix[part] for side, part in zip(sides, _split(pool, sizes[0]), strict=True)]
    )
    found = []
    for side, attacked, first in zip(sides, setting.attacked, (0, sizes[0]), strict=True):
        place = np.searchsorted(pool, attacked + first)
        own = pool[np.minimum(place, len(pool) - 1)] == attacked + first
        skip = np.where(own, place, -1)  # the patient himself, where he is in the sample
        found.append(nearest_distances(side.matrix[attacked], rows, k, skip).mean(axis=1))
    return tuple(found)


def _split(rows: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of two tables, from those of the tables under each other."""
    return rows[rows < first], rows[rows >= first] - first


def _membership_exposed(setting: Setting, rng) -> Estimate:
    alone = isolation(setting, rng)
    limit = np.quantile(np.concatenate(alone), 0.9)
    train, holdout = (
        distance[lonely >= limit] for distance, lonely in zip(setting.nearest, alone, strict=True)
    )
    _enough(train, holdout, least=10)
    return auroc(-train, -holdout)


def membership_by_group(setting: Setting) -> pd.DataFrame:
    """AUROC of membership inference within each group of patients.

    Returns
    -------
    DataFrame
        By group: ``train`` and ``holdout`` (attacked patients), ``auroc``, ``ci_low`` and
        ``ci_high``; missing where a group has fewer than 30 of either.
    """
    rows = {}
    for name, members in _attacked_groups(setting).items():
        groups = [d[m] for d, m in zip(setting.nearest, members, strict=True)]
        row = dict(zip(("train", "holdout"), map(len, groups), strict=True))
        if _large(members):
            estimate = auroc(*(-distance for distance in groups))
            row |= dict(zip(("auroc", "ci_low", "ci_high"), estimate, strict=True))
        rows[name] = row
    columns = ["train", "holdout", "auroc", "ci_low", "ci_high"]
    return pd.DataFrame.from_dict(rows, orient="index").reindex(columns=columns)


def _attacked_groups(setting: Setting) -> dict[str, list[np.ndarray]]:
    """Which attacked train and which attacked holdout patients belong to each group."""
    groups = [
        subgroups(setting.schema, side.frame.iloc[rows], setting.train.frame)
        for side, rows in zip((setting.train, setting.holdout), setting.attacked, strict=True)
    ]
    if not groups[0]:
        raise NotComputable("no column is demographic, so there are no groups to compare")
    return {name: [group[name] for group in groups] for name in groups[0]}


def _large(members: list[np.ndarray]) -> bool:
    return min(member.sum() for member in members) >= 30


def _membership_subgroup(setting: Setting, rng) -> Estimate:
    score = -np.concatenate(setting.nearest)
    used = np.repeat([True, False], [len(d) for d in setting.nearest])
    values, influence = [], []
    for members in _attacked_groups(setting).values():
        if _large(members):
            member = np.concatenate(members)
            area, own = auroc_parts(score[member], used[member])
            values.append(area)
            influence.append(np.zeros(len(score)))
            influence[-1][member] = own
    if not values:
        raise NotComputable("no group has 30 attacked patients in train and in holdout")
    return largest_of(np.array(values), np.stack(influence, axis=1), rng)


def _worst_group(setting: Setting) -> str:
    table = membership_by_group(setting)
    small = list(table.index[table["auroc"].isna()])
    missing = f" Too few patients to judge: {', '.join(small)}." if small else ""
    return f"Highest for {table['auroc'].idxmax()}: {table['auroc'].max():.2f}." + missing


# -- attribute inference -------------------------------------------------------------------


def guess_attributes(
    known: np.ndarray, released_known: np.ndarray, released_secret: np.ndarray,
    continuous_known: np.ndarray, continuous_secret: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Guess the secret columns of each target from the synthetic patients most like it.

    Like means the smallest sum of absolute differences over the known columns; a continuous
    one counts as its share of the largest difference to any synthetic patient (at least 1
    unit). All synthetic patients at the smallest distance vote; the most frequent value wins,
    the smaller one in a tie.

    Parameters
    ----------
    known : array, shape (targets, k)
        What the attacker knows.
    released_known, released_secret : array
        The synthetic patients' columns of both kinds.
    continuous_known, continuous_secret : array of bool
        Which of the columns are continuous; the others are 0/1.

    Returns
    -------
    array, shape (targets, secret columns)
    """
    guesses = np.zeros((len(known), released_secret.shape[1]))
    b = ~continuous_known
    released = released_known[:, b].astype(np.float32)
    ones = released.sum(axis=1)
    for start in range(0, len(known), 256):
        part = known[start : start + 256]
        flags = part[:, b].astype(np.float32)
        distance = flags.sum(axis=1)[:, None] + ones - 2 * (flags @ released.T)
        for j in np.flatnonzero(continuous_known):
            gap = np.abs(part[:, [j]] - released_known[:, j])
            distance += gap / np.maximum(gap.max(axis=1, keepdims=True), 1)
        nearest = distance <= distance.min(axis=1, keepdims=True) + 1e-6
        for i, voters in enumerate(nearest):
            guesses[start + i] = _vote(released_secret[voters], continuous_secret)
    return guesses


def _vote(values: np.ndarray, continuous: np.ndarray) -> np.ndarray:
    if len(values) == 1:
        return values[0]
    winner = (values.mean(axis=0) > 0.5).astype(float)
    for j in np.flatnonzero(continuous):
        found, counts = np.unique(values[:, j], return_counts=True)
        winner[j] = found[np.argmax(counts)]
    return winner


def inference_parts(secret: np.ndarray, guess: np.ndarray, continuous: np.ndarray) -> np.ndarray:
    """For each target and column, what the risk adds up.

    Returns
    -------
    array, shape (2, targets, columns)
        Numerator and denominator: true positives, and true positives plus half of the wrong
        ones, whose quotient is F1; for a continuous column, whether the guess is within 10 %
        and whether there is a value to guess.
    """
    hit, called = secret * guess, secret + guess
    numerator, denominator = hit, called / 2
    if continuous.any():
        present = ~np.isnan(secret[:, continuous])
        with np.errstate(invalid="ignore"):
            low, high = 0.9 * secret[:, continuous], 1.1 * secret[:, continuous]
            right = (guess[:, continuous] >= low) & (guess[:, continuous] <= high)
        numerator, denominator = numerator.copy(), denominator.copy()
        numerator[:, continuous] = right & present
        denominator[:, continuous] = present
    return np.stack([numerator, denominator])


def inference_risk(sums: np.ndarray, weights: np.ndarray) -> float:
    """Weighted mean over columns of F1 (0/1) or accuracy (continuous), from summed parts."""
    scores = np.divide(sums[0], sums[1], out=np.zeros_like(sums[0]), where=sums[1] > 0)
    return float(scores @ weights)


def entropy(values: np.ndarray) -> float:
    """Entropy in nats of a column; a continuous one is counted in whole units, as published."""
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return 0.0
    counts = np.unique(np.floor(values), return_counts=True)[1] / len(values)
    return float(-(counts * np.log(counts)).sum())


class _Attributes:
    """What an attacker knows of a patient and what he wants to know, for one setting.

    Known are the demographics, the outcome and the most frequent codes: 256 of about 1,450 in
    the tutorial, here at most half of them, so that something is left to guess.
    """

    def __init__(self, setting: Setting):
        schema, encoder = setting.schema, setting.encoder
        open_names = set(schema.of_role("demographic", "outcome"))
        layout = [
            (name, kind, i) for i, (name, kind, _) in enumerate(encoder.layout) if kind != "missing"
        ]
        self.encoder = encoder
        columns = np.array([i for _, _, i in layout])
        is_open = np.array([name in open_names for name, _, _ in layout])
        self.continuous = np.array([kind == "continuous" for _, kind, _ in layout])
        common = setting.train.matrix[:, columns].mean(axis=0)
        codes = np.flatnonzero(~is_open & ~self.continuous)
        ranked = codes[np.argsort(-common[codes], kind="stable")]
        self.known = is_open.copy()
        self.known[ranked[: min(256, len(codes) // 2)]] = True
        self.columns = columns
        if not self.known.any() or self.known.all():
            raise NotComputable("there is nothing to know or nothing left to guess of a patient")
        # One column at a time: a copy of a wide table would take gigabytes.
        entropies = np.zeros(np.count_nonzero(~self.known))
        for i, position in enumerate(np.flatnonzero(~self.known)):
            column = self.values(setting.train.frame, setting.train.matrix, [position])
            entropies[i] = entropy(column[:, 0])
        if entropies.sum() == 0:
            raise NotComputable("the columns to guess never vary")
        self.weights = entropies / entropies.sum()

    def values(self, frame: pd.DataFrame, matrix: np.ndarray, chosen) -> np.ndarray:
        """Chosen columns: 0/1 as encoded, continuous ones in their own units (NaN: missing)."""
        columns = self.columns[chosen]
        values = matrix[:, columns]
        for place in np.flatnonzero(self.continuous[chosen]):
            name = self.encoder.layout[columns[place]][0]
            values[:, place] = frame[name].to_numpy(np.float32)
        return values

    def parts(self, frame: pd.DataFrame, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the attacker knows, and what he wants to know."""
        return self.values(frame, matrix, self.known), self.values(frame, matrix, ~self.known)

    def attack(
        self, side: Side, released: tuple[np.ndarray, np.ndarray], rows: np.ndarray
    ) -> np.ndarray:
        """Parts of the risk (see :func:`inference_parts`) for these patients."""
        known, secret = self.parts(side.frame.iloc[rows], side.matrix[rows])
        released_known, released_secret = released
        continuous = self.continuous[self.known], self.continuous[~self.known]
        # A known measurement that is missing matches any: it is set to the middle.
        with warnings.catch_warnings():  # of a column that no synthetic patient has a value in
            warnings.simplefilter("ignore", RuntimeWarning)
            middle = np.nan_to_num(np.nanmedian(released_known, axis=0))
        known, released_known = (np.where(np.isnan(x), middle, x) for x in (known, released_known))
        guess = guess_attributes(known, released_known, released_secret, *continuous)
        return inference_parts(secret, guess, continuous[1])


def _attribute_attacks(setting: Setting, rng, sides: list[Side]):
    attributes = _Attributes(setting)
    released = attributes.parts(setting.candidate.frame, setting.candidate.matrix)
    parts = []
    for side in sides:
        rows = side.sample(setting.effort.inferred, rng)
        if len(rows) < 5:
            raise NotComputable("fewer than 5 patients of a group to attack")
        parts.append(attributes.attack(side, released, rows))
    return attributes.weights, parts


def _bootstrap_sums(parts: np.ndarray, rng, draws: int = 200) -> np.ndarray:
    """Sums over resampled targets, shape (draws, 2, columns)."""
    n = parts.shape[1]
    drawn = rng.multinomial(n, np.full(n, 1 / n), draws).astype(float)
    return np.stack([drawn @ parts[0], drawn @ parts[1]], axis=1)


def _attribute_published(setting: Setting, rng) -> Estimate:
    weights, (parts,) = _attribute_attacks(setting, rng, [setting.train])
    value = inference_risk(parts.sum(axis=1), weights)
    resampled = [inference_risk(s, weights) for s in _bootstrap_sums(parts, rng)]
    return around(value, float(np.std(resampled)))


def excess_risk(risk_train: float, risk_holdout: float) -> float:
    """Share of what could still be learned that the release gives away about its own patients.

    Source: Giomi et al., PoPETs 2023(2):312-328, eq. 4.
    """
    return (risk_train - risk_holdout) / (1 - risk_holdout) if risk_holdout < 1 else 0.0


def _attribute_corrected(setting: Setting, rng) -> Estimate:
    weights, parts = _attribute_attacks(setting, rng, [setting.train, setting.holdout])
    risks = [inference_risk(p.sum(axis=1), weights) for p in parts]
    resampled = [
        excess_risk(inference_risk(a, weights), inference_risk(b, weights))
        for a, b in zip(*(_bootstrap_sums(p, rng) for p in parts), strict=True)
    ]
    return around(excess_risk(*risks), float(np.std(resampled)))


# -- meaningful identity disclosure ----------------------------------------------------------

LEARNED = 0.05  # share of the secret columns that a meaningful match must teach


class Secrets(NamedTuple):
    """What a match may teach: rare 0/1 values, and measurements with how close is close."""

    rare: np.ndarray  # (patients, columns), 1 where the patient has the rarer value
    measured: np.ndarray  # (patients, measurements), scaled to 0-1, NaN where missing
    close: np.ndarray  # (patients, measurements), the largest difference that teaches


def identity_risk(
    levels: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]],
    patients: Secrets, released: Secrets, needed: int,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """For each patient, one over its group's size where a match teaches something.

    Parameters
    ----------
    levels : iterable of (patients, population, synthetic)
        For each level of generalization, the number of the group of every record of the three
        tables.
    patients, released : Secrets
        Of the patients and of the synthetic patients.
    needed : int
        How many secrets the synthetic patients of a group must teach.

    Returns
    -------
    tuple of array
        The largest risk over the levels, by the group's size in the patients' own table and
        in the population.
    """
    in_sample, in_population = np.zeros(len(patients.rare)), np.zeros(len(patients.rare))
    most = patients.rare.sum(axis=1) + (~np.isnan(patients.measured)).sum(axis=1)
    able = most >= needed  # the others cannot be taught enough at any level
    rare, made_rare = _bits(patients.rare), _bits(released.rare)
    for own, everybody, made in levels:
        size = 1 + max(int(x.max(initial=0)) for x in (own, everybody, made))
        chances = [1 / np.maximum(np.bincount(x, minlength=size), 1)[own] for x in (own, everybody)]
        has_match = np.bincount(made, minlength=size)[own] > 0
        # Only who is matched, and at greater risk here than at a level seen before.
        more = (chances[0] > in_sample) | (chances[1] > in_population)
        asked = np.flatnonzero(able & has_match & more)
        if len(asked) == 0:
            continue
        wanted = np.bincount(own[asked], minlength=size) > 0
        matched = np.flatnonzero(wanted[made])
        matched = matched[np.argsort(made[matched], kind="stable")]
        names, starts = np.unique(made[matched], return_index=True)
        union = np.bitwise_or.reduceat(made_rare[matched], starts, axis=0)
        group = np.searchsorted(names, own[asked])
        taught = _count_bits(rare[asked] & union[group])
        member = np.searchsorted(names, made[matched])
        for j in range(patients.measured.shape[1]):
            gap = _gap(group, patients.measured[asked, j], member, released.measured[matched, j])
            taught = taught + (gap < patients.close[asked, j])
        learned = asked[taught >= needed]
        for risk, chance in zip((in_sample, in_population), chances, strict=True):
            risk[learned] = np.maximum(risk[learned], chance[learned])
    return in_sample, in_population


def _bits(flags: np.ndarray) -> np.ndarray:
    """0/1 columns packed into 64-bit words, so that whole records are compared at once."""
    packed = np.packbits(flags.astype(bool), axis=1)
    padded = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8)))
    return np.ascontiguousarray(padded).view(np.uint64)


_ONES = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)


def _count_bits(words: np.ndarray) -> np.ndarray:
    """How many bits are set in each row."""
    return _ONES[np.ascontiguousarray(words).view(np.uint8)].sum(axis=1, dtype=np.int64)


def _gap(group: np.ndarray, value: np.ndarray, member: np.ndarray, released: np.ndarray):
    """Difference of each value to the nearest released one of its group (inf without one)."""
    present = ~np.isnan(released)
    # Group and value in one sorted number: groups are 2 apart, values between 0 and 1.
    keys = np.sort(2.0 * member[present] + np.clip(released[present], 0, 1))
    if len(keys) == 0:
        return np.full(len(group), np.inf)
    own = 2.0 * group + np.clip(np.nan_to_num(value), 0, 1)
    at = np.searchsorted(keys, own)
    gap = np.minimum(
        np.abs(own - keys[np.maximum(at - 1, 0)]), np.abs(own - keys[np.minimum(at, len(keys) - 1)])
    )
    return np.where((gap > 1) | np.isnan(value), np.inf, gap)  # more than 1 is another group


def identity_levels(
    options: list[list[list[np.ndarray]]],
) -> Iterator[tuple[np.ndarray, ...]]:
    """Groups of the records of three tables at every level of generalization.

    Parameters
    ----------
    options : list of list of list of array
        For each quasi-identifier its levels; for each level one array a table. Leaving the
        quasi-identifier out is always a level too.
    """
    choices = [[*map(_number, levels), None] for levels in options]
    for chosen in product(*choices):  # the finest level comes first
        used = [level for level in chosen if level is not None]
        if used:
            keys, size = [np.zeros(len(x), dtype=np.int64) for x in used[0]], 1
            for level in used:
                radix = 1 + max(int(x.max(initial=0)) for x in level)
                keys = [key * radix + x for key, x in zip(keys, level, strict=True)]
                size *= radix
            yield keys if size <= 2**20 else _number(keys)


def _number(values: list[np.ndarray]) -> list[np.ndarray]:
    """Number the distinct values of several arrays together, without gaps."""
    numbers = np.unique(np.concatenate(values), return_inverse=True)[1]
    return np.split(numbers, np.cumsum([len(x) for x in values])[:-1])


class Identity:
    """Quasi-identifiers and secrets of the tables of one setting.

    Quasi-identifiers are the demographics (the first four) and the most frequent codes. Years
    are exact, in bands of 10, 30 and 60, or left out; categories exact, the most frequent
    against the rest, or left out; codes known or left out.
    """

    def __init__(self, setting: Setting):
        schema, encoder = setting.schema, setting.encoder
        self.setting = setting
        codes = [n for n in schema.of_role("diagnosis") if schema[n].kind == "binary"]
        frequent = setting.train.frame[codes].mean().sort_values(ascending=False, kind="stable")
        demographic = schema.of_role("demographic")
        if not demographic:
            raise NotComputable("no column is demographic, so nobody can be singled out by it")
        self.open = demographic[:4] + list(frequent.index[: setting.effort.known_codes])
        secret = encoder.is_kind("binary", "category")
        secret[encoder.columns(*demographic, *self.open)] = False
        self.secret = secret
        self.rarer = (setting.train.matrix[:, secret].mean(axis=0) < 0.5).astype(np.float32)
        self.measured = [n for n in schema.of_kind("continuous") if n not in demographic]
        self.needed = max(1, int(np.ceil(LEARNED * (int(secret.sum()) + len(self.measured)))))

    def secrets(self, side: Side) -> Secrets:
        rare = (side.matrix[:, self.secret] == self.rarer).astype(np.int8)
        measured = np.zeros((len(side), len(self.measured)))
        close = np.zeros_like(measured)
        for j, name in enumerate(self.measured):
            low, span, _ = self.setting.encoder.scale[name]
            real = (self.setting.train.frame[name].dropna().to_numpy(float) - low) / span
            measured[:, j] = (side.frame[name].to_numpy(float) - low) / span
            close[:, j] = _close(real, np.nan_to_num(measured[:, j]))
        return Secrets(rare, measured, close)

    def levels(self, side: Side) -> Iterator[tuple[np.ndarray, ...]]:
        schema = self.setting.schema
        population = pd.concat([self.setting.train.frame, self.setting.holdout.frame])
        tables = [side.frame, population, self.setting.candidate.frame]
        options = []
        for name in self.open:
            columns = [table[name] for table in tables]
            column = schema[name]
            if column.kind == "continuous":
                span = self.setting.encoder.scale[name][1]
                years = column.unit == "years"
                widths = (1, 10, 30, 60) if years else (span / 100, span / 10, span / 3, span / 2)
                levels = [
                    [np.floor(c.to_numpy(float, na_value=-1e6) / width) for c in columns]
                    for width in widths
                ]
            elif column.kind == "categorical":
                texts = [np.asarray(c.astype(str), dtype=str) for c in columns]
                levels = [texts]
                if len(column.categories) > 2:
                    top = self.setting.train.frame[name].astype(str).mode()[0]
                    levels.append([x == top for x in texts])
            else:
                levels = [[c.to_numpy() for c in columns]]
            options.append(levels)
        return identity_levels(options)

    def risk(self, side: Side) -> tuple[np.ndarray, np.ndarray]:
        """Risk of each patient of `side`, by its own table and by the population."""
        released = self.secrets(self.setting.candidate)
        risks = identity_risk(self.levels(side), self.secrets(side), released, self.needed)
        rng = np.random.default_rng([side.seed, 10])
        chance = _verified(len(side), len(self.open), rng)
        return risks[0] * chance, risks[1] * chance

    @cached_property
    def of_train(self) -> tuple[np.ndarray, np.ndarray]:
        return self.risk(self.setting.train)


def _close(real: np.ndarray, values: np.ndarray) -> np.ndarray:
    """How near a released measurement must be: 1.48 MAD over the share of the value's cluster.

    Five clusters; the paper chooses their number by silhouette.
    """
    from sklearn.cluster import KMeans

    if len(real) < 10 or np.ptp(real) == 0:
        return np.zeros(len(values))
    sample = real[:5_000]
    kmeans = KMeans(min(5, len(np.unique(sample))), n_init=1, random_state=0)
    kmeans.fit(sample[:, None])
    share = np.bincount(kmeans.labels_, minlength=kmeans.n_clusters) / len(kmeans.labels_)
    deviation = np.median(np.abs(real - np.median(real)))
    return 1.48 * deviation / share[kmeans.predict(values[:, None])]


def _verified(n: int, identifiers: int, rng: np.random.Generator) -> np.ndarray:
    """Chance that a match can be verified and is not an error in the data, for each patient.

    Source: the published triangular distributions of the verification rate (0.1, mean 0.23,
    0.43) and the data error rate (0.0013, mean 0.0426, 0.065), correlated by 0.5.
    """
    verification = rng.triangular(0.1, 0.16, 0.43, n)
    error = 0.5 * verification + np.sqrt(0.75) * rng.triangular(0.0013, 0.0615, 0.065, n)
    return (1 + verification * (1 - (1 - error) ** identifiers)) / 2


def _identity_published(setting: Setting, rng) -> Estimate:
    by_sample, by_population = setting.identity.of_train
    people = len(setting.train) + len(setting.holdout)
    n = len(setting.train)
    candidates = [
        around(by_sample.sum() / people, by_sample.std() * np.sqrt(n) / people),
        around(by_population.mean(), by_population.std() / np.sqrt(n)),
    ]
    return max(candidates, key=lambda estimate: estimate.value)


def _identity_corrected(setting: Setting, rng) -> Estimate:
    risks = [setting.identity.of_train[1], setting.identity.risk(setting.holdout)[1]]
    error = np.sqrt(sum(r.var() / len(r) for r in risks))
    return around(float(risks[0].mean() - risks[1].mean()), float(error))


# -- nearest-neighbor adversarial accuracy ---------------------------------------------------


def adversarial_accuracy(
    to_other: np.ndarray, to_own: np.ndarray, other_to: np.ndarray, other_to_own: np.ndarray,
    ties: float = 0.5,
) -> float:  # fmt: skip
    """Share of records of two tables that are nearer to their own table than to the other.

    0.5 when both come from the same distribution, 1 when they can be told apart, 0 when each
    record has a copy in the other table.

    Source: Yale et al., Neurocomputing 2020;416:244-255.

    Parameters
    ----------
    to_other, to_own : array
        Distances of the first table's records to the nearest of the second and of their own.
    other_to, other_to_own : array
        The same for the second table's records.
    ties : float
        What an equal distance counts. The published strict inequality is 0; on sparse binary
        records, where ties are frequent, it gives far less than 0.5 for equal distributions.
    """
    halves = [
        np.mean((other > own) + ties * (other == own))
        for other, own in ((to_other, to_own), (other_to, other_to_own))
    ]
    return float(np.mean(halves))


def _distances_between(a: np.ndarray, b: np.ndarray, queries: int, rng) -> tuple[np.ndarray, ...]:
    """The four distances of :func:`adversarial_accuracy` for at most `queries` records a table."""
    rows_a, rows_b = (
        np.sort(rng.choice(len(x), min(queries, len(x)), replace=False)) for x in (a, b)
    )
    return (
        nearest_distance(a[rows_a], b), nearest_distance(a[rows_a], a, rows_a),
        nearest_distance(b[rows_b], a), nearest_distance(b[rows_b], b, rows_b),
    )  # fmt: skip


def _privacy_loss(pairs: Iterable[tuple[np.ndarray, np.ndarray]], queries: int, rng, ties: float):
    """Accuracy of the first pair of tables minus accuracy of the second, with interval."""
    accuracy, variance = [], 0.0
    for a, b in pairs:
        if min(len(a), len(b)) < 5:
            raise NotComputable("fewer than 5 patients in a table")
        parts = _distances_between(a, b, queries, rng)
        accuracy.append(adversarial_accuracy(*parts, ties=ties))
        for other, own in (parts[:2], parts[2:]):
            wins = (other > own) + ties * (other == own)
            variance += wins.var() / len(wins) / 4
    return around(accuracy[0] - accuracy[1], float(np.sqrt(variance)))


def _adversarial_published(setting: Setting, rng) -> Estimate:
    """Tables are cut to holdout's size, train and synthetic by the same order of rows."""
    n = min(len(setting.train), len(setting.holdout), len(setting.candidate))
    n = min(n, 2 * setting.effort.queried)
    seed = int(rng.integers(2**31))
    train, holdout, made = (
        side.matrix[np.random.default_rng(seed).permutation(len(side))[:n]]
        for side in (setting.train, setting.holdout, setting.candidate)
    )
    return _privacy_loss([(holdout, made), (train, made)], n, rng, ties=0.0)


def _adversarial_corrected(setting: Setting, rng) -> Estimate:
    """The same with ties counted half, and with a sample of queries against whole tables.

    Train and the synthetic data are compared at full size (the larger cut to the smaller):
    cutting both to holdout's size, as published, hides most copies, because a copied patient
    is rarely in both samples.
    """
    chosen = []
    for side in (setting.holdout, setting.train):
        n = min(len(side), len(setting.candidate))
        chosen.append([(t, t.sample(n, rng)) for t in (side, setting.candidate)])
    # One pair at a time, and no copy of a table that is there as a whole: they are large.
    pairs = (
        tuple(t.matrix if len(rows) == len(t) else t.matrix[rows] for t, rows in pair)
        for pair in chosen
    )
    return _privacy_loss(pairs, setting.effort.queried, rng, ties=0.5)


# -- closest records -------------------------------------------------------------------------


class ClosestRecords(NamedTuple):
    """Distances of synthetic patients to their two nearest used and held-out patients.

    As many used as held-out patients are looked at, each in ten groups: one real patient can be
    the nearest of very many, so that intervals come from leaving out groups of real patients.
    """

    train: np.ndarray  # (groups, synthetic patients, 2)
    holdout: np.ndarray
    near: float  # one in 100 held-out patients has a used patient within this distance

    @classmethod
    def of(cls, setting: Setting, rng: np.random.Generator, groups: int = 10) -> "ClosestRecords":
        n = min(len(setting.train), len(setting.holdout))
        if n < 2 * groups:
            raise NotComputable(f"fewer than {2 * groups} patients in a table")
        queried = setting.effort.queried
        rows = setting.candidate.matrix[setting.candidate.sample(2 * queried, rng)]
        real = [
            s.matrix[rng.permutation(s.sample(n, rng))] for s in (setting.train, setting.holdout)
        ]
        found = [
            np.stack([nearest_distances(rows, part, 2) for part in np.array_split(x, groups)])
            for x in real
        ]
        between = nearest_distance(real[1][:queried], real[0])
        return cls(*found, float(np.quantile(between, 0.01, method="lower")))

    def compare(self, scores) -> Estimate:
        """Mean over synthetic patients of `scores`, with the jackknife over real patients.

        Parameters
        ----------
        scores : callable
            Function of the distances to the two nearest used and to the two nearest held-out
            patients, each of shape (synthetic patients, 2), that gives one number a patient.
        """

        def mean(train, holdout):
            return float(np.mean(scores(_two_nearest(train), _two_nearest(holdout))))

        whole = scores(_two_nearest(self.train), _two_nearest(self.holdout))
        variance = whole.var() / len(whole)
        for side in (0, 1):
            left_out = []
            for group in range(len(self.train)):
                tables = [self.train, self.holdout]
                tables[side] = np.delete(tables[side], group, axis=0)
                left_out.append(mean(*tables))
            count = len(left_out)
            variance += (count - 1) / count * np.sum((np.array(left_out) - np.mean(left_out)) ** 2)
        return around(float(whole.mean()), float(np.sqrt(variance)))


def _two_nearest(groups: np.ndarray) -> np.ndarray:
    """The two smallest distances over all groups, shape (synthetic patients, 2)."""
    return np.sort(np.concatenate(groups, axis=1), axis=1)[:, :2]


def smaller(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """1 where a is smaller than b, 0 where it is larger, and half for a tie."""
    return (a < b) + 0.5 * (a == b)


def distance_ratio(two: np.ndarray) -> np.ndarray:
    """Distance to the nearest over distance to the second nearest; 1 where both are 0."""
    return np.divide(two[:, 0], two[:, 1], out=np.ones(len(two)), where=two[:, 1] > 0)


def _closer_to_train(setting: Setting, rng) -> Estimate:
    return setting.closest.compare(lambda train, holdout: smaller(train[:, 0], holdout[:, 0]))


def _ratio_smaller(setting: Setting, rng) -> Estimate:
    return setting.closest.compare(
        lambda train, holdout: smaller(distance_ratio(train), distance_ratio(holdout))
    )


def _near_copies(setting: Setting, rng) -> Estimate:
    near = setting.closest.near
    value, low, high = setting.closest.compare(
        lambda train, holdout: (train[:, 0] <= near).astype(float) - (holdout[:, 0] <= near)
    )
    least = 3 / setting.closest.train.shape[1]  # none among n does not exclude 3 in n
    return Estimate(value, min(low, value - least), max(high, value + least))


# -- copies ----------------------------------------------------------------------------------


def _digests(rows: np.ndarray) -> list[bytes]:
    """A short name for each record; the records themselves would fill the memory again."""
    return [blake2b(row.tobytes(), digest_size=16).digest() for row in np.ascontiguousarray(rows)]


def copies(released: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Which released records are the same as a real one in every encoded column."""
    known = set(_digests(real))
    return np.array([digest in known for digest in _digests(released)])


def shared_records(train: np.ndarray, holdout: np.ndarray) -> int:
    """How many held-out records are used ones: equal in every column, beyond chance.

    In a narrow table two patients may well be equal. By chance a held-out record has an equal
    one in train as often as a used record has another one there.

    Returns
    -------
    int
        0 unless the excess is more than three standard errors and one record in 100.
    """
    seen = Counter(_digests(train))
    twins = sum(count for count in seen.values() if count > 1) / len(train)
    shared = np.mean([digest in seen for digest in _digests(holdout)])
    excess = shared - twins
    chance = 3 * np.sqrt(twins * (1 - twins) * (1 / len(train) + 1 / len(holdout)))
    return round(excess * len(holdout)) if excess > max(chance, 0.01) else 0


def _copies(setting: Setting, rng) -> Estimate:
    same = copies(setting.candidate.matrix, setting.train.matrix)
    return wilson(int(same.sum()), len(same))


# -- the metrics -----------------------------------------------------------------------------

COMPUTE = {
    ("membership_inference", "published"): _membership_published,
    ("membership_inference", "corrected"): _membership_auroc,
    ("membership_inference_at_1_percent", "corrected"): _membership_rare,
    ("membership_of_most_exposed", "corrected"): _membership_exposed,
    ("membership_by_subgroup", "corrected"): _membership_subgroup,
    ("density_ratio_attack", "corrected"): _density_ratio,
    ("attribute_inference", "published"): _attribute_published,
    ("attribute_inference", "corrected"): _attribute_corrected,
    ("meaningful_identity_disclosure", "published"): _identity_published,
    ("meaningful_identity_disclosure", "corrected"): _identity_corrected,
    ("nearest_neighbor_adversarial_accuracy", "published"): _adversarial_published,
    ("nearest_neighbor_adversarial_accuracy", "corrected"): _adversarial_corrected,
    ("closer_to_train", "corrected"): _closer_to_train,
    ("holdout_exposure", "corrected"): _holdout_exposure,
    ("nearest_neighbor_distance_ratio", "corrected"): _ratio_smaller,
    ("near_copies", "corrected"): _near_copies,
    ("exact_copies", "corrected"): _copies,
}
NOTES = {
    ("membership_by_subgroup", "corrected"): _worst_group,
}
SPECS = described(COMPUTE, NOTES)
