"""Singling out, linkability and inference, as the package Anonymeter measures them.

The three risks are those by which European data protection authorities ask whether data is
anonymous. Anonymeter is optional (``pip install "ehrsynth[privacy]"``); without it the metrics
have no value and say why. Its attacks run on as many used as held-out patients, because how
easily a patient is singled out depends on the number of patients; the excess of one success rate
over the other is the risk.
"""

import logging
import warnings

import numpy as np
import pandas as pd

from .intervals import Estimate, NotComputable, around
from .metric import described
from .privacy import excess_risk
from .setting import Setting

ATTACKS = 200  # more narrow the intervals and take minutes
KNOWN_CODES = 60  # the most frequent ones; rare codes hardly tell two patients apart
SINGLED_CODES = 6  # a guess of five columns among hundreds of rare codes never singles out
FEWEST = 50


def _tables(setting: Setting, codes: int, rng, most: float = np.inf) -> tuple[pd.DataFrame, ...]:
    """As many used as held-out patients, and the release, in types that Anonymeter knows.

    Parameters
    ----------
    codes : int
        How many of the most frequent codes are kept.
    most : int, optional
        How many used and held-out patients at most. Anonymeter chooses whom it attacks without
        a seed; who is given all at once is attacked whatever it chooses.
    """
    n = min(len(setting.train), len(setting.holdout))
    if n < FEWEST:
        raise NotComputable(f"fewer than {FEWEST} patients in a table")
    n = int(min(n, most))
    schema = setting.schema
    binary = [name for name in schema.of_kind("binary") if name != schema.outcome]
    means = setting.train.frame[binary].mean().sort_values(ascending=False, kind="stable")
    names = [name for name in schema.names if schema[name].kind != "binary"]
    names = [name for name in names if name != schema.outcome] + list(means.index[:codes])
    if len(names) < 5:
        raise NotComputable("fewer than five columns besides the outcome")
    frames = []
    sides = setting.train, setting.holdout, setting.candidate
    for side, size in zip(sides, (n, n, len(setting.candidate)), strict=True):
        rows = side.sample(size, rng)
        table = side.frame.iloc[rows][names]
        columns = {
            name: table[name].astype(object if schema[name].kind == "categorical" else float)
            for name in names
        }
        frames.append(pd.DataFrame(columns).fillna(-1.0).reset_index(drop=True))
        if schema.outcome is not None:
            frames[-1][schema.outcome] = schema.outcome_values(side.frame)[rows]
    return tuple(frames)


def _excess(evaluator, **options) -> Estimate:
    """Excess of the success rate on used over that on held-out patients.

    Source: Giomi et al., PoPETs 2023(2):312-328, eq. 4; here it may be negative.
    """
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)  # of attacks that find nothing: the interval says that
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = evaluator.evaluate(**options).results(confidence_level=0.95)
    except RuntimeError as error:  # no attack could be carried out
        raise NotComputable(f"Anonymeter gave up: {error}") from error
    finally:
        logging.disable(level)
    used, others = results.attack_rate, results.control_rate
    left = 1 - others.value
    if left <= 0:
        raise NotComputable("the attack always succeeds on held-out patients")
    value = excess_risk(used.value, others.value)
    half = np.hypot(used.error, (1 - value) * others.error) / left
    return around(value, half, 1.0)


def _evaluators():
    try:
        from anonymeter import evaluators
    except ImportError as error:
        raise NotComputable(
            'the package anonymeter is not installed (pip install "ehrsynth[privacy]")'
        ) from error
    return evaluators


def _singling_out(setting: Setting, rng) -> Estimate:
    attack = _evaluators().SinglingOutEvaluator
    used, others, released = _tables(setting, SINGLED_CODES, rng)
    import polars

    polars.set_random_seed(int(rng.integers(2**31)))  # Anonymeter samples with it, unseeded
    return _excess(
        attack(
            ori=used, syn=released, control=others, n_attacks=ATTACKS, n_cols=5,
            max_attempts=10_000, seed=int(rng.integers(2**31)),
        ),
        mode="multivariate",
    )  # fmt: skip


def _linkability(setting: Setting, rng) -> Estimate:
    attack = _evaluators().LinkabilityEvaluator
    used, others, released = _tables(setting, KNOWN_CODES, rng, ATTACKS)
    names = [name for name in used.columns if name != setting.schema.outcome]
    halves = [list(part) for part in np.array_split(rng.permutation(names), 2)]
    evaluator = attack(
        ori=used, syn=released, control=others, n_attacks=len(used), n_neighbors=1,
        aux_cols=halves,
    )  # fmt: skip
    return _excess(evaluator, n_jobs=1)


def _inference(setting: Setting, rng) -> Estimate:
    attack = _evaluators().InferenceEvaluator
    secret = setting.schema.outcome
    if secret is None:
        raise NotComputable("the tables share no outcome column")
    tables = _tables(setting, KNOWN_CODES, rng, ATTACKS)
    # As text, the outcome is guessed by the nearest synthetic patient, and either value counts.
    used, others, released = (t.assign(**{secret: t[secret].astype(str)}) for t in tables)
    names = [name for name in used.columns if name != secret]
    evaluator = attack(
        ori=used, syn=released, control=others, n_attacks=len(used), aux_cols=names,
        secret=secret,
    )  # fmt: skip
    return _excess(evaluator, n_jobs=1)


COMPUTE = {
    ("singling_out", "corrected"): _singling_out,
    ("linkability", "corrected"): _linkability,
    ("inference", "corrected"): _inference,
}
SPECS = described(COMPUTE)
