"""Singling out, linkability and inference, as the package Anonymeter measures them.

    python3.11 -m venv .venv-anonymeter
    .venv-anonymeter/bin/pip install . "anonymeter>=1.1"
    .venv-anonymeter/bin/python benchmarks/anonymeter_risks.py train.csv holdout.csv synthetic.csv \
        --outcome readmitted

The three risks are those by which European data protection authorities ask whether data is
anonymous. Anonymeter asks for NumPy 1.26 and so for Python 3.11 or 3.12: it needs an environment of
its own; the report has attacks of ours, printed beside them. Its attacks run on as many used as
held-out patients, because how easily a patient is singled out depends on the number of patients;
the excess of one success rate over the other is the risk. Printed are the risks of the synthetic
data and, to compare with, of fresh patients (one half of holdout, attacked together with the other
half) and of train itself.
"""

import argparse
import logging
import warnings
from zlib import crc32

import numpy as np
import pandas as pd

from ehrsynth.evaluation import PROFILES, align
from ehrsynth.evaluation.privacy.attacks import SPECS
from ehrsynth.evaluation.privacy.success import excess_risk
from ehrsynth.evaluation.setting import Setting, with_references
from ehrsynth.files import read_table
from ehrsynth.schema import Schema
from ehrsynth.statistics import Estimate, NotComputable, normal_interval

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
    value, low, high = normal_interval(value, half, 1.0)
    return Estimate(value, min(low, 1.0), min(high, 1.0))


def _evaluators():
    try:
        from anonymeter import evaluators
    except ImportError as error:
        raise NotComputable(
            "the package anonymeter is not installed (pip install 'anonymeter>=1.1')"
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


RISKS = {
    "singling_out": _singling_out, "linkability": _linkability, "inference": _inference,
}  # fmt: skip
# What the report says; its inference is of all secret codes, Anonymeter's of the outcome.
OURS = {
    name: next(s for s in SPECS if (s.name, s.form) == (ours, "corrected"))
    for name, ours in zip(
        RISKS, ("singling_out", "linkability", "attribute_inference"), strict=True
    )
}
RELEASES = {"synthetic": "the synthetic data", "half": "fresh patients", "train": "train itself"}


def risk(name: str, setting: Setting, seed: int) -> Estimate:
    """One of the three risks: 0 without a leak, 1 when all is given away.

    Parameters
    ----------
    name : {"singling_out", "linkability", "inference"}
    setting : Setting
    seed : int

    Returns
    -------
    Estimate

    Raises
    ------
    NotComputable
        If Anonymeter is not installed, or these tables do not allow the attack.
    """
    rng = np.random.default_rng([seed, crc32(f"{name}/corrected".encode())])
    return RISKS[name](setting, rng)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for role in ("train", "holdout", "synthetic"):
        parser.add_argument(role, help="CSV or Parquet table, one row a patient")
    parser.add_argument("--schema", help="schema.json of a run")
    parser.add_argument("--outcome", help="outcome column, where there is no schema")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    paths = {role: getattr(options, role) for role in ("train", "holdout", "synthetic")}
    schema = Schema.load(options.schema) if options.schema else None
    tables = align(
        {role: read_table(path) for role, path in paths.items()}, schema, options.outcome, paths
    )
    schema, _ = tables.pop("schema"), tables.pop("facts")
    common = [n for n in schema.names if all(n in table.columns for table in tables.values())]
    schema = schema.select(common)
    tables = {role: schema.plausible(table[common])[0] for role, table in tables.items()}
    scenes = with_references(**tables, schema=schema, effort=PROFILES["full"], seed=options.seed)
    for name in RISKS:
        for scene, title in RELEASES.items():
            try:
                both = [risk(name, scenes[scene], options.seed)]
                both.append(OURS[name].evaluate(scenes[scene], options.seed))
                told = ("{:7.3f} ({:.3f} to {:.3f})".format(*found) for found in both)
                print(f"{name:14}{title:20}" + "   ours:".join(told))
            except NotComputable as reason:
                print(f"{name:14}{title:20}no value: {reason}")


if __name__ == "__main__":
    main()
