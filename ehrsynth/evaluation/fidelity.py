"""Fidelity: does the synthetic data look like the real data, and keep what holds for all of it?

The public functions take arrays and answer one question each; the others tie them to tables.
"""

import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from ..statistics import (
    Estimate,
    NotComputable,
    group_sums,
    jackknife,
    jackknife_variance,
    normal_interval,
    wilson,
)
from . import learners
from .intervals import folded, jackknife_of_sums
from .neighbours import Neighborhoods
from .setting import Setting, Side

STARTS = 10  # of the published clustering, the best of which counts
_NEVER = {"F": ("600", "185", "605"), "M": ("649", "655", "646")}  # phecodes, published form


def correlation(sums: np.ndarray) -> np.ndarray:
    """Correlation matrix from one array of the number of rows, sums, and sums of products.

    Constants get NaN. Chapter fidelity, "Two columns at a time: column-wise correlation".
    """
    width = int((np.sqrt(4 * len(sums) - 3) - 1) / 2)
    n, mean = sums[0], sums[1 : width + 1] / sums[0]
    covariance = sums[width + 1 :].reshape(width, width) / n - np.outer(mean, mean)
    deviation = np.sqrt(np.clip(np.diag(covariance), 0, None))
    deviation[deviation < 1e-6] = np.nan
    return covariance / np.outer(deviation, deviation)


def frobenius(real: np.ndarray, candidate: np.ndarray) -> float:
    """The published form: Frobenius norm of the difference, over the squared width, times 1e6.

    A column that never varies correlates with nothing (the tutorial adds noise for that).
    Chapter fidelity, "Two columns at a time: column-wise correlation".
    """
    difference = np.nan_to_num(real) - np.nan_to_num(candidate)
    np.fill_diagonal(difference, 0.0)
    return 1e6 * float(np.linalg.norm(difference)) / len(real) ** 2


def mean_difference(real: np.ndarray, candidate: np.ndarray) -> float:
    """The corrected form: mean absolute difference over distinct pairs that vary in real data.

    A norm over the squared width makes wide tables look good; a mean over pairs does not.
    Chapter fidelity, "Two columns at a time: column-wise correlation".
    """
    known = np.isfinite(real)
    np.fill_diagonal(known, False)
    if not known.any():
        raise NotComputable("fewer than two columns vary")
    return float(np.abs(real - np.nan_to_num(candidate))[known].mean())


def _correlation(setting: Setting, rng, published: bool) -> Estimate:
    statistic = frobenius if published else mean_difference
    real, made = setting.train, setting.candidate if published else setting.even_candidate
    chosen = ~(setting.encoder.is_kind("missing") & published)
    if chosen.sum() < 2:
        raise NotComputable("fewer than two columns")
    # Centering on train's means keeps float sums exact enough. Sums of 0 and 1 are exact as they
    # are; centered, a code that nobody has would correlate by its rounding errors.
    center = real.matrix[:, chosen].mean(axis=0) * setting.encoder.is_kind("continuous")[chosen]

    def products(rows: np.ndarray) -> np.ndarray:
        rows = rows - center
        return np.append(rows.sum(axis=0), rows.T @ rows).astype(float)

    sums = [group_sums(side.matrix[:, chosen], rng, 10, products) for side in (real, made)]
    found = jackknife(lambda a, b: statistic(correlation(a), correlation(b)), *sums)
    one, other = (correlation(part.sum(axis=0)) for part in sums)
    known = np.triu(np.isfinite(one) & np.isfinite(other), 1)
    error = np.sqrt(sum(1 / len(side) for side in (real, made)))
    limits = (np.arctanh(np.clip(x[known], -0.999, 0.999)) for x in (one, other))
    return folded(found, np.subtract(*limits) / error)


def principal_axes(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (width,) and the fewest principal axes (width, axes) that explain 80 % of the variance.
    Chapter fidelity, "Latent cluster analysis".
    """
    mean = rows.mean(axis=0)
    centered = rows - mean
    values, vectors = np.linalg.eigh((centered.T @ centered).astype(np.float64) / len(rows))
    values, vectors = np.clip(values[::-1], 0, None), vectors[:, ::-1]
    if values.sum() == 0:
        raise NotComputable("all patients are the same")
    kept = int(np.searchsorted(np.cumsum(values) / values.sum(), 0.8 - 1e-12)) + 1
    return mean, vectors[:, :kept].astype(np.float32)


def log_cluster(real: np.ndarray, candidate: np.ndarray, clusters: int, seed: int) -> list[float]:
    """The published latent cluster analysis of two tables with equally many rows: of ten starts.

    The rows are mixed, reduced to their axes, and clustered; the score is the log2 of the mean
    squared distance of each cluster's real share from one half (-inf where all are half real), of
    the best clustering, the published one, first. Chapter fidelity, "Latent cluster analysis".
    """
    mixed = np.concatenate([real, candidate])
    mean, axes = principal_axes(mixed)
    reduced = (mixed - mean) @ axes
    is_real = np.arange(len(mixed)) < len(real)
    draws = check_random_state(seed)  # one after the other, as those of one `KMeans`
    found = [_k_means(reduced, clusters, draws) for _ in range(STARTS)]
    labels = [fitted.labels_ for fitted in sorted(found, key=lambda fitted: fitted.inertia_)]
    shares = [np.array([is_real[own == k].mean() for k in np.unique(own)]) for own in labels]
    with np.errstate(divide="ignore"):
        return [float(np.log2(np.mean((share - 0.5) ** 2))) for share in shares]


def _latent_published(setting: Setting, rng) -> Estimate:
    """The interval is the spread of other seeds: of the best of ten starts drawn from these ten."""
    sides, chosen = (setting.train, setting.candidate), ~setting.encoder.is_kind("missing")
    n = min(*map(len, sides), setting.effort.clustered)
    if n < 20:
        raise NotComputable("fewer than 20 patients to cluster")
    real, made = (side.matrix[side.sample(n, rng)][:, chosen] for side in sides)
    scores = np.array(log_cluster(real, made, 5, rng.integers(2**31)))
    if not np.isfinite(scores[0]):
        raise NotComputable("the published formula takes the logarithm of zero here")
    best = -np.diff((np.arange(STARTS, -1, -1) / STARTS) ** STARTS)  # chance that it is this one
    finite = np.isfinite(scores)
    spread = np.sqrt(np.cov(scores[finite], aweights=best[finite], ddof=0))
    return normal_interval(float(scores[0]), float(spread))


def _latent_corrected(setting: Setting, rng) -> Estimate:
    """Clusters are made of real patients only; do synthetic ones fall into them as often?"""
    sample = setting.train.matrix[setting.train.sample(setting.effort.clustered, rng)]
    clusters = min(20, len(sample) // 20)
    if clusters < 2:
        raise NotComputable("fewer than 40 patients to cluster")
    mean, axes = principal_axes(sample)
    kmeans = _k_means((sample - mean) @ axes, clusters, rng.integers(2**31))
    sides = setting.train, setting.even_candidate
    return _total_variation(
        rng, clusters, *(kmeans.predict((side.matrix - mean) @ axes) for side in sides)
    )


def _k_means(rows: np.ndarray, clusters: int, seed) -> KMeans:
    with warnings.catch_warnings():  # of clusters that stay empty, where fewer rows differ
        warnings.filterwarnings("ignore", "Number of distinct clusters", ConvergenceWarning)
        return KMeans(clusters, n_init=1, random_state=seed).fit(rows)


def _total_variation(rng, cells: int, *of_each: np.ndarray) -> Estimate:
    """Half the absolute difference of two tables' distributions, from everybody's cell."""
    a, b = (np.eye(cells)[cell] for cell in of_each)
    return jackknife_of_sums(lambda x, y, n, m: 0.5 * np.abs(x / n - y / m).sum(), a, b, rng)


def _abundance_cells(real: np.ndarray, candidate: np.ndarray, bins: int = 20) -> tuple:
    """The published bin of each patient by his number of codes, to the digit.

    Bins are equal between train's smallest and largest count; synthetic counts are divided by the
    width alone (right only when train's smallest is 0), and what lies above goes into the last.
    """
    edges = np.histogram_bin_edges(real, bins=bins)
    return (
        np.clip(np.searchsorted(edges, real, "right") - 1, 0, bins - 1),
        np.minimum((candidate // (edges[1] - edges[0])).astype(int), bins - 1),
    )


def _code_counts(*sides: Side) -> list[np.ndarray]:
    """Codes of each patient of these tables: diagnoses, or all binary columns."""
    encoder, schema = sides[0].encoder, sides[0].encoder.schema
    binary = set(schema.of_kind("binary"))
    names = (set(schema.of_role("diagnosis")) or binary - {schema.outcome}) & binary
    if len(names) < 2:
        raise NotComputable("there are fewer than two codes to count")
    return [side.matrix[:, encoder.columns(*names)].sum(axis=1) for side in sides]


def _abundance_published(setting: Setting, rng) -> Estimate:
    real, made = (x.astype(int) for x in _code_counts(setting.train, setting.candidate))
    if np.ptp(real) == 0:
        raise NotComputable("every patient has the same number of codes")
    # Half the absolute difference of counts over train's size; tables of one size as published.
    return _total_variation(rng, 20, *_abundance_cells(real, made))


def _abundance_corrected(setting: Setting, rng) -> Estimate:
    counts = _code_counts(setting.train, setting.even_candidate)
    # Bins with about as many real patients each: equal widths would put nearly all in one.
    edges = np.unique(np.quantile(counts[0], np.linspace(0, 1, 21)[1:-1]))
    return _total_variation(rng, len(edges) + 1, *(np.searchsorted(edges, x) for x in counts))


_NEAR: dict[str, Callable[[Neighborhoods], float]] = {
    "improved_precision": Neighborhoods.precision, "recall": Neighborhoods.recall,
    "density": Neighborhoods.density, "coverage": Neighborhoods.coverage,
}  # fmt: skip


def _near(setting: Setting) -> dict[str, Estimate]:
    """What four metrics say of who is near whom; the jackknife leaves out a tenth of a table."""
    rng = np.random.default_rng([setting.train.seed, 11])
    sides = setting.holdout, setting.candidate
    n = min(*map(len, sides), setting.effort.queried)
    whole = Neighborhoods.of(*(side.matrix[side.sample(n, rng)] for side in sides))
    variance = np.zeros(len(_NEAR))
    for axis in (0, 1):
        parts = np.array_split(rng.permutation(n), min(10, n))
        left_out = (whole.without(rows, axis) for rows in parts)
        said = np.array([[say(one) for say in _NEAR.values()] for one in left_out])
        variance += [jackknife_variance(one) for one in said.T]
    found = zip(_NEAR.items(), np.sqrt(variance).tolist(), strict=True)
    return {name: normal_interval(say(whole), spread) for (name, say), spread in found}


def _sex(setting: Setting) -> np.ndarray:
    if (name := setting.schema.sex) is None:
        raise NotComputable("there is no sex column with the categories F and M")
    return setting.candidate.frame[name].astype(str).to_numpy()


def _violation_published(setting: Setting, rng) -> Estimate:
    sex = _sex(setting)
    by_code = {setting.schema[n].code: n for n in setting.schema.of_role("diagnosis")}
    total = variance = 0.0
    for wrong, codes in _NEVER.items():
        has = setting.candidate.frame[[by_code[c] for c in codes if c in by_code]].to_numpy() == 1
        has = has[:, has.any(axis=0)]
        if not has.size:
            raise NotComputable(f"no patient has one of the phecodes {', '.join(codes)}")
        rates = has[sex == wrong].sum(axis=0) / has.sum(axis=0)
        total += rates.mean()
        variance += (rates * (1 - rates) / has.sum(axis=0)).sum() / len(rates) ** 2
    return normal_interval(float(total), float(np.sqrt(variance)))


def _violation_corrected(setting: Setting, rng) -> Estimate:
    sex = _sex(setting)
    restricted = [c for c in setting.schema.columns if c.sex and c.kind == "binary"]
    if not restricted:
        raise NotComputable("no column of the schema is restricted to one sex")
    violating = np.zeros(len(sex), dtype=bool)
    for column in restricted:
        wrong = sex == ("M" if column.sex == "F" else "F")
        violating |= wrong & (setting.candidate.frame[column.name].to_numpy() == 1)
    return wilson(int(violating.sum()), len(violating))


def _relations_kept(setting: Setting, rng) -> Estimate:
    if not (found := setting.train.relations):
        raise NotComputable("no relation beyond chance holds for every training patient")
    frame, schema = setting.candidate.frame, setting.schema
    broken = np.any([one.rule.broken(frame, schema)[0] for one in found], axis=0)
    return wilson(int((~broken).sum()), len(broken))


COMPUTE: dict[tuple[str, str], Callable] = {
    ("classifier_two_sample_test", "corrected"): lambda setting, rng: learners.c2st(
        setting.holdout.matrix, setting.candidate.matrix, setting.effort, rng
    ),
    ("column_wise_correlation", "published"): partial(_correlation, published=True),
    ("column_wise_correlation", "corrected"): partial(_correlation, published=False),
    ("latent_cluster_analysis", "published"): _latent_published,
    ("latent_cluster_analysis", "corrected"): _latent_corrected,
    ("medical_concept_abundance", "published"): _abundance_published,
    ("medical_concept_abundance", "corrected"): _abundance_corrected,
    ("clinical_knowledge_violation", "published"): _violation_published,
    ("clinical_knowledge_violation", "corrected"): _violation_corrected,
    ("relations_kept", "corrected"): _relations_kept,
    **{(one, "corrected"): lambda s, rng, name=one: s.once(_near)[name] for one in _NEAR},
}
