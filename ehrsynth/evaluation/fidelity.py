"""Fidelity: does the synthetic data look like the real data?

The functions take arrays and answer one question each; the specs at the end tie them to tables.
"""

import warnings
from typing import NamedTuple

import numpy as np
from scipy.stats import wasserstein_distance

from ..statistics import distances, nearest_distances, two_sample_test
from .intervals import (
    Z95,
    Estimate,
    NotComputable,
    around,
    group_sums,
    jackknife,
    wilson,
)
from .metric import described
from .setting import Setting

MALE_CODES = ("600", "185", "605")
FEMALE_CODES = ("649", "655", "646")
NEIGHBORS = 5


# -- one column at a time ------------------------------------------------------------------


def prevalence_difference(real: np.ndarray, candidate: np.ndarray, counted: int | None = None):
    """Mean absolute difference of prevalences, per 1,000 patients.

    Parameters
    ----------
    real, candidate : array, shape (patients, columns)
        0/1 values.
    counted : int, optional
        What the sum is divided by; the number of columns by default.

    Returns
    -------
    float
    """
    difference = np.abs(real.mean(axis=0, dtype=float) - candidate.mean(axis=0, dtype=float))
    return 1000 * float(difference.sum()) / (counted or len(difference))


def _prevalence_published(setting: Setting, rng) -> Estimate:
    chosen = setting.encoder.is_kind("binary", "category")
    counted = int(chosen.sum())
    if setting.schema.outcome is not None:
        # The tutorial leaves the outcome out of the sum but not out of the divisor.
        chosen[setting.encoder.columns(setting.schema.outcome)] = False
    return _prevalence(setting, rng, setting.candidate.matrix, chosen, counted)


def _prevalence_corrected(setting: Setting, rng) -> Estimate:
    chosen = setting.encoder.is_kind("binary", "category", "missing")
    rows = setting.candidate.matrix[setting.even]
    return _prevalence(setting, rng, rows, chosen, int(chosen.sum()))


def _prevalence(setting, rng, rows, chosen, counted) -> Estimate:
    if not chosen.any():
        raise NotComputable("there is no binary or categorical column")
    real = setting.train.matrix[:, chosen]

    def statistic(a, b):
        return 1000 * np.abs(a[1:] / a[0] - b[1:] / b[0]).sum() / counted

    sums = group_sums(real, rng), group_sums(rows[:, chosen], rng)
    estimate = jackknife(statistic, *sums)
    return estimate._replace(value=prevalence_difference(real, rows[:, chosen], counted))


def _log_share(count: np.ndarray, n: float) -> np.ndarray:
    return np.log((count + 0.5) / (n + 1))


def log_prevalence_r2(real: np.ndarray, candidate: np.ndarray, n_real: int, n_candidate: int):
    """How well log prevalences agree: 1 minus squared error over variance, 1 is perfect.

    Half a patient is added to every count, so that a code that is missing has a logarithm.

    Parameters
    ----------
    real, candidate : array
        Patients with each code.
    n_real, n_candidate : float
        Patients in all.
    """
    p, q = _log_share(real, n_real), _log_share(candidate, n_candidate)
    spread = np.sum((p - p.mean()) ** 2)
    if spread == 0:
        raise NotComputable("all binary columns are equally frequent")
    return 1 - float(np.sum((p - q) ** 2) / spread)


def _log_prevalence(setting: Setting, rng) -> Estimate:
    chosen = setting.encoder.is_kind("binary")
    if chosen.sum() < 3:
        raise NotComputable("fewer than three binary columns")
    real = setting.train.matrix[:, chosen]
    rows = setting.candidate.matrix[setting.even][:, chosen]
    return jackknife(
        lambda a, b: log_prevalence_r2(a[1:], b[1:], a[0], b[0]),
        group_sums(real, rng), group_sums(rows, rng),
    )  # fmt: skip


STRATA = {"frequent": (0.01, 1.0), "uncommon": (0.001, 0.01), "rare": (0.0, 0.001)}


def prevalence_factor(real: np.ndarray, candidate: np.ndarray, n_real: float, n_candidate: float):
    """By which factor a prevalence is typically off, too high or too low; 1 is perfect.

    The exponential of the mean absolute difference of the log prevalences, with half a patient
    added to every count, so that a lost code has a logarithm.

    Parameters
    ----------
    real, candidate : array
        Patients with each code.
    n_real, n_candidate : float
        Patients in all.
    """
    p, q = _log_share(real, n_real), _log_share(candidate, n_candidate)
    return float(np.exp(np.abs(p - q).mean()))


def _prevalence_stratum(name: str):
    low, high = STRATA[name]

    def compute(setting: Setting, rng) -> Estimate:
        known = setting.train.matrix.mean(axis=0, dtype=float)
        chosen = setting.encoder.is_kind("binary") & (known >= low) & (known < high)
        if chosen.sum() < 3:
            raise NotComputable(f"fewer than three {name} codes")
        rows = setting.candidate.matrix[setting.even]
        return jackknife(
            lambda a, b: prevalence_factor(a[1:], b[1:], a[0], b[0]),
            group_sums(setting.train.matrix[:, chosen], rng), group_sums(rows[:, chosen], rng),
        )  # fmt: skip

    return compute


def _continuous(setting: Setting, rng, rows: np.ndarray, scale) -> Estimate:
    """Mean over continuous columns of the Wasserstein distance, divided by `scale(values)`."""
    names = setting.schema.of_kind("continuous")
    distances, errors = [], []
    for name in names:
        real = setting.train.frame[name].dropna().to_numpy(float)
        made = setting.candidate.frame[name].iloc[rows].dropna().to_numpy(float)
        if len(real) < 2 or len(made) < 2 or np.ptp(real) == 0:
            continue
        unit = scale(real)
        distances.append(wasserstein_distance(real, made) / unit)
        errors.append(_wasserstein_error(real / unit, made / unit, rng))
    if not distances:
        raise NotComputable("there is no continuous column with values in both tables")
    error = float(np.sqrt(np.sum(np.square(errors)))) / len(errors)
    return around(float(np.mean(distances)), error)


def _wasserstein_error(a: np.ndarray, b: np.ndarray, rng) -> float:
    """Standard error of the Wasserstein distance, by the jackknife on a grid of 200 bins."""
    edges = np.linspace(min(a.min(), b.min()), max(a.max(), b.max()) + 1e-12, 201)

    def indicator(values):
        cells = np.clip(np.searchsorted(edges, values, "right") - 1, 0, 199)
        return np.eye(200, dtype=np.float32)[cells]

    def statistic(x, y):
        steps = np.cumsum(x[1:] / x[0]) - np.cumsum(y[1:] / y[0])
        return np.abs(steps).sum() * (edges[1] - edges[0])

    estimate = jackknife(statistic, group_sums(indicator(a), rng), group_sums(indicator(b), rng))
    return (estimate.high - estimate.value) / Z95


def _wasserstein_published(setting: Setting, rng) -> Estimate:
    return _continuous(setting, rng, np.arange(len(setting.candidate)), np.ptp)


def _wasserstein_corrected(setting: Setting, rng) -> Estimate:
    return _continuous(setting, rng, setting.even, lambda values: values.std())


# -- pairs of columns ----------------------------------------------------------------------


def correlation(sums: np.ndarray) -> np.ndarray:
    """Correlation matrix from the sums of rows and of their products; NaN for constants.

    Parameters
    ----------
    sums : array, shape (1 + width + width * width,)
        Number of rows, column sums, and sums of products.
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
    """
    difference = np.nan_to_num(real) - np.nan_to_num(candidate)
    np.fill_diagonal(difference, 0.0)
    return 1e6 * float(np.linalg.norm(difference)) / len(real) ** 2


def mean_difference(real: np.ndarray, candidate: np.ndarray) -> float:
    """The corrected form: mean absolute difference over distinct pairs that vary in real data.

    Dividing a norm, which grows with the width, by the squared width makes wide tables look
    good; a mean over pairs does not depend on the number of columns.
    """
    known = np.isfinite(real)
    np.fill_diagonal(known, False)
    if not known.any():
        raise NotComputable("fewer than two columns vary")
    return float(np.abs(real - np.nan_to_num(candidate))[known].mean())


def _correlation(statistic, width_of, rows_of):
    def compute(setting: Setting, rng) -> Estimate:
        chosen = width_of(setting)
        if chosen.sum() < 2:
            raise NotComputable("fewer than two columns")
        # Centering on train's means changes no correlation and keeps float sums exact enough.
        # Sums of 0 and 1 are exact as they are; centered, a code that nobody has would not be
        # recognized as constant but would correlate by its rounding errors.
        center = setting.train.matrix[:, chosen].mean(axis=0)
        center *= setting.encoder.is_kind("continuous")[chosen]
        sums = []
        for rows in (setting.train.matrix, setting.candidate.matrix[rows_of(setting)]):
            rows = rows[:, chosen]
            rows -= center
            sums.append(_product_sums(rows, rng))
        return jackknife(lambda a, b: statistic(correlation(a), correlation(b)), *sums)

    return compute


def _product_sums(rows: np.ndarray, rng, groups: int = 10) -> np.ndarray:
    groups = max(2, min(groups, len(rows)))
    member = rng.permutation(len(rows)) % groups
    sums = []
    for g in range(groups):
        part = rows[member == g]
        sums.append(np.concatenate([[len(part)], part.sum(axis=0), (part.T @ part).ravel()]))
    return np.array(sums, dtype=float)


_correlation_published = _correlation(
    frobenius,
    lambda setting: setting.encoder.is_kind("binary", "category", "continuous"),
    lambda setting: slice(None),
)
_correlation_corrected = _correlation(
    mean_difference,
    lambda setting: np.ones(len(setting.encoder.layout), dtype=bool),
    lambda setting: setting.even,
)


# -- all columns together ------------------------------------------------------------------


def principal_axes(rows: np.ndarray, explained: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """Mean and the fewest principal axes that explain this share of the variance."""
    mean = rows.mean(axis=0)
    centered = rows - mean
    values, vectors = np.linalg.eigh((centered.T @ centered).astype(np.float64) / len(rows))
    values, vectors = np.clip(values[::-1], 0, None), vectors[:, ::-1]
    if values.sum() == 0:
        raise NotComputable("all patients are the same")
    kept = int(np.searchsorted(np.cumsum(values) / values.sum(), explained - 1e-12)) + 1
    return mean, vectors[:, :kept].astype(np.float32)


def log_cluster(real: np.ndarray, candidate: np.ndarray, clusters: int, seeds: list[int]):
    """The published latent cluster analysis, for two tables with equally many rows.

    The rows are mixed, reduced to the principal axes that explain 80 %, and clustered; the
    score is the log2 of the mean squared distance of each cluster's real share from one half.

    Parameters
    ----------
    seeds : list of int
        The clustering is run once with each; the published one is not seeded.

    Returns
    -------
    list of float
        One score a seed; -inf where every cluster is half real.
    """
    mixed = np.concatenate([real, candidate])
    mean, axes = principal_axes(mixed)
    reduced = (mixed - mean) @ axes
    is_real = np.arange(len(mixed)) < len(real)
    scores = []
    for seed in seeds:
        labels = _k_means(reduced, clusters, seed).labels_
        shares = np.array([is_real[labels == k].mean() for k in np.unique(labels)])
        with np.errstate(divide="ignore"):
            scores.append(float(np.log2(np.mean((shares - 0.5) ** 2))))
    return scores


def _latent_published(setting: Setting, rng) -> Estimate:
    """The interval is the spread of runs that differ in the seed of the clustering alone."""
    n = min(len(setting.train), len(setting.candidate), setting.effort.clustered)
    if n < 20:
        raise NotComputable("fewer than 20 patients to cluster")
    chosen = setting.encoder.is_kind("binary", "category", "continuous")
    rows = [
        side.matrix[side.sample(n, rng)][:, chosen] for side in (setting.train, setting.candidate)
    ]
    scores = log_cluster(*rows, clusters=5, seeds=[_seed(rng) for _ in range(3)])
    if not np.isfinite(scores[0]):
        raise NotComputable("the published formula takes the logarithm of zero here")
    finite = [score for score in scores if np.isfinite(score)]
    return around(scores[0], float(np.std(finite, ddof=1)) if len(finite) > 1 else 0.0)


def _latent_corrected(setting: Setting, rng) -> Estimate:
    """Clusters are made of real patients only; do synthetic ones fall into them as often?"""
    sample = setting.train.matrix[setting.train.sample(setting.effort.clustered, rng)]
    clusters = min(20, len(sample) // 20)
    if clusters < 2:
        raise NotComputable("fewer than 40 patients to cluster")
    mean, axes = principal_axes(sample)
    kmeans = _k_means((sample - mean) @ axes, clusters, _seed(rng))
    tables = setting.train.matrix, setting.candidate.matrix[setting.even]
    member = [np.eye(clusters)[kmeans.predict((rows - mean) @ axes)] for rows in tables]
    return _total_variation(*member, rng)


def _k_means(rows: np.ndarray, clusters: int, seed: int):
    """K-means, fitted. Where fewer rows than `clusters` differ, the clusters too many stay empty.

    Both scores count the clusters that have somebody in them, so that needs no warning.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Number of distinct clusters", ConvergenceWarning)
        return KMeans(clusters, n_init=1, random_state=seed).fit(rows)


def _total_variation(a: np.ndarray, b: np.ndarray, rng) -> Estimate:
    """Half the absolute difference of two distributions, from 0/1 membership columns."""
    return jackknife(
        lambda x, y: 0.5 * np.abs(x[1:] / x[0] - y[1:] / y[0]).sum(),
        group_sums(a, rng), group_sums(b, rng),
    )  # fmt: skip


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def abundance_cells(real: np.ndarray, candidate: np.ndarray, bins: int = 20):
    """The published bins of code counts, to the digit, as one 0/1 column a bin.

    Counts fall into `bins` equal bins between train's smallest and largest count; synthetic
    counts are put into bins by dividing by the width alone (right only when train's smallest
    count is 0), and what lies above goes into the last bin.

    Parameters
    ----------
    real, candidate : array of int
        Codes of each patient.
    """
    edges = np.histogram_bin_edges(real, bins=bins)
    cells = (
        np.clip(np.searchsorted(edges, real, "right") - 1, 0, bins - 1),
        np.minimum((candidate // (edges[1] - edges[0])).astype(int), bins - 1),
    )
    return tuple(np.eye(bins)[cell] for cell in cells)


def _codes(setting: Setting) -> np.ndarray:
    schema = setting.schema
    names = schema.of_role("diagnosis") or [
        n for n in schema.of_kind("binary") if n != schema.outcome
    ]
    names = [n for n in names if schema[n].kind == "binary"]
    if len(names) < 2:
        raise NotComputable("there are fewer than two codes to count")
    return setting.encoder.columns(*names)


def _abundance_published(setting: Setting, rng) -> Estimate:
    codes = _codes(setting)
    real, made = (
        side.matrix[:, codes].sum(axis=1).astype(int) for side in (setting.train, setting.candidate)
    )
    if np.ptp(real) == 0:
        raise NotComputable("every patient has the same number of codes")
    # Half the absolute difference of counts over train's size; tables of one size as published.
    return _total_variation(*abundance_cells(real, made), rng)


def _abundance_corrected(setting: Setting, rng) -> Estimate:
    codes = _codes(setting)
    real = setting.train.matrix[:, codes].sum(axis=1)
    made = setting.candidate.matrix[setting.even][:, codes].sum(axis=1)
    # Bins with about as many real patients each: equal widths would put nearly all in one.
    edges = np.unique(np.quantile(real, np.linspace(0, 1, 21)[1:-1]))
    member = [np.eye(len(edges) + 1)[np.searchsorted(edges, x)] for x in (real, made)]
    return _total_variation(*member, rng)


def c2st(real: np.ndarray, candidate: np.ndarray, effort, rng: np.random.Generator) -> Estimate:
    """Classifier two-sample test: cross-validated AUROC of telling `candidate` from `real`.

    0.5 means that a LightGBM model cannot tell them apart, 1 that it always can. Both tables
    are cut to the same size.

    Source: Lopez-Paz and Oquab, ICLR 2017.
    """
    return two_sample_test(
        real, candidate, rng, effort.classified, effort.folds, effort.rounds, effort.learning_rate
    )


def _c2st(setting: Setting, rng) -> Estimate:
    return c2st(setting.holdout.matrix, setting.candidate.matrix, setting.effort, rng)


class Neighborhoods(NamedTuple):
    """Which patients of two tables lie in the neighborhoods of the other's.

    The neighborhood of a patient reaches as far as the fifth nearest patient of his own table.

    Source: Naeem et al., ICML 2020, PMLR 119:7176-7185, section 3; precision and recall after
    Kynkäänniemi et al., NeurIPS 2019;32:3927-3936, eq. 1 and 2.
    """

    of_real: np.ndarray  # (real, candidate): whether the candidate is in the real one's
    of_candidate: np.ndarray  # (real, candidate): whether the real one is in the candidate's

    @classmethod
    def of(cls, real: np.ndarray, candidate: np.ndarray, k: int = NEIGHBORS) -> "Neighborhoods":
        if min(len(real), len(candidate)) <= k:
            raise NotComputable(f"no more than {k} patients in a table")
        if not np.ptp(real, axis=0).any():
            raise NotComputable("all patients are the same")
        radius, radius_candidate = (
            nearest_distances(rows, rows, k, np.arange(len(rows)))[:, -1]
            for rows in (real, candidate)
        )
        near = distances(real, candidate)
        return cls(near <= radius[:, None], near <= radius_candidate)

    def precision(self) -> float:
        """Share of candidates in the neighborhood of any real patient."""
        return float(self.of_real.any(axis=0).mean())

    def recall(self) -> float:
        """Share of real patients in the neighborhood of any candidate."""
        return float(self.of_candidate.any(axis=1).mean())

    def density(self, k: int = NEIGHBORS) -> float:
        """Real neighborhoods that a candidate lies in, on average, over k."""
        return float(self.of_real.sum(axis=0).mean() / k)

    def coverage(self) -> float:
        """Share of real patients with a candidate in their neighborhood."""
        return float(self.of_real.any(axis=1).mean())

    def without(self, rows: np.ndarray, axis: int) -> "Neighborhoods":
        """The same without some real patients (axis 0) or candidates (axis 1)."""
        return Neighborhoods(*(np.delete(inside, rows, axis) for inside in self))


def _neighborhoods(statistic):
    def compute(setting: Setting, rng) -> Estimate:
        """The jackknife leaves out a tenth of either table at a time; radii stay as they are."""
        whole = setting.neighborhoods
        variance = 0.0
        for axis, n in enumerate(whole.of_real.shape):
            parts = np.array_split(rng.permutation(n), min(10, n))
            left_out = np.array([statistic(whole.without(part, axis)) for part in parts])
            count = len(left_out)
            variance += (count - 1) / count * np.sum((left_out - left_out.mean()) ** 2)
        return around(statistic(whole), float(np.sqrt(variance)))

    return compute


# -- clinical knowledge --------------------------------------------------------------------


def violation_rate(has_code: np.ndarray, wrong_sex: np.ndarray) -> float:
    """Of the patients with a code, the share whose sex cannot have it."""
    return float(wrong_sex[has_code].mean())


def _sex(setting: Setting) -> np.ndarray:
    name = setting.schema.sex
    if name is None:
        raise NotComputable("there is no sex column with the categories F and M")
    return setting.candidate.frame[name].astype(str).to_numpy()


def _violation_published(setting: Setting, rng) -> Estimate:
    sex = _sex(setting)
    by_code = {setting.schema[n].code: n for n in setting.schema.of_role("diagnosis")}
    total = variance = 0.0
    for codes, wrong in ((MALE_CODES, "F"), (FEMALE_CODES, "M")):
        rates = []
        for code in codes:
            if code not in by_code:
                continue
            has = setting.candidate.frame[by_code[code]].to_numpy() == 1
            if has.any():
                rate = violation_rate(has, sex == wrong)
                rates.append((rate, rate * (1 - rate) / has.sum()))
        if not rates:
            raise NotComputable(f"no patient has one of the phecodes {', '.join(codes)}")
        total += float(np.mean([rate for rate, _ in rates]))
        variance += sum(v for _, v in rates) / len(rates) ** 2
    return around(total, float(np.sqrt(variance)))


def _violation_corrected(setting: Setting, rng) -> Estimate:
    sex = _sex(setting)
    violating = np.zeros(len(sex), dtype=bool)
    restricted = [c for c in setting.schema.columns if c.sex and c.kind == "binary"]
    if not restricted:
        raise NotComputable("no column of the schema is restricted to one sex")
    for column in restricted:
        has = setting.candidate.frame[column.name].to_numpy() == 1
        violating |= has & np.isin(sex, ["F", "M"]) & (sex != column.sex)
    return wilson(int(violating.sum()), len(violating))


# -- the metrics ---------------------------------------------------------------------------

COMPUTE = {
    ("classifier_two_sample_test", "corrected"): _c2st,
    ("dimension_wise_distribution_binary", "published"): _prevalence_published,
    ("dimension_wise_distribution_binary", "corrected"): _prevalence_corrected,
    ("dimension_wise_distribution_continuous", "published"): _wasserstein_published,
    ("dimension_wise_distribution_continuous", "corrected"): _wasserstein_corrected,
    ("log_prevalence_r2", "corrected"): _log_prevalence,
    ("column_wise_correlation", "published"): _correlation_published,
    ("column_wise_correlation", "corrected"): _correlation_corrected,
    ("latent_cluster_analysis", "published"): _latent_published,
    ("latent_cluster_analysis", "corrected"): _latent_corrected,
    ("medical_concept_abundance", "published"): _abundance_published,
    ("medical_concept_abundance", "corrected"): _abundance_corrected,
    ("clinical_knowledge_violation", "published"): _violation_published,
    ("clinical_knowledge_violation", "corrected"): _violation_corrected,
    ("prevalence_of_frequent_codes", "corrected"): _prevalence_stratum("frequent"),
    ("prevalence_of_uncommon_codes", "corrected"): _prevalence_stratum("uncommon"),
    ("prevalence_of_rare_codes", "corrected"): _prevalence_stratum("rare"),
    ("improved_precision", "corrected"): _neighborhoods(Neighborhoods.precision),
    ("recall", "corrected"): _neighborhoods(Neighborhoods.recall),
    ("density", "corrected"): _neighborhoods(Neighborhoods.density),
    ("coverage", "corrected"): _neighborhoods(Neighborhoods.coverage),
}
SPECS = described(COMPUTE)
