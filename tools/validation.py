"""Are the metrics themselves right? Synthetic data of known quality, and who must notice what.

    python tools/validation.py

:data:`DEFECTS` makes tables that are spoiled in one known way; :data:`EXPECTED` says which metrics
must notice (:attr:`ehrsynth.evaluation.Metric.notices`) which, and why; :func:`validate` runs all.
The command writes the book's table: of the simulated hospital, with more patients than the tests
have time for. Some minutes.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

import ehrsynth
from ehrsynth.evaluation import compare, validation
from ehrsynth.evaluation.report import Report
from ehrsynth.evaluation.setting import independent
from ehrsynth.evaluation.validation import FRESH
from ehrsynth.files import write_table
from ehrsynth.hospital import truth
from ehrsynth.preprocessing.encode import Preprocessor
from ehrsynth.schema import Schema

PATIENTS, SEED, MIN_PREVALENCE = 4_000, 0, 0.01
PACKAGE_TABLE = Path(validation.__file__).with_name(validation.RESULTS)
PAGE_TABLE = Path(__file__).resolve().parents[1] / "book" / "validation.csv"


class Tables(NamedTuple):
    """Three independent tables with the columns of the schema, of which defects are made."""

    train: pd.DataFrame
    holdout: pd.DataFrame
    fresh: pd.DataFrame
    schema: Schema


def _copy(tables: Tables, rng: np.random.Generator, noise: float = 0.0) -> pd.DataFrame:
    """Train's patients in another order, with so many of their values drawn anew."""
    made = tables.train.iloc[rng.permutation(len(tables.train))].reset_index(drop=True)
    if not noise:
        return made
    other = independent(tables.train, len(made), rng)
    columns = {n: made[n].where(rng.random(len(made)) >= noise, other[n]) for n in made}
    return pd.DataFrame(columns)


def _flipped_label(tables: Tables, rng: np.random.Generator) -> pd.DataFrame | None:
    if (name := tables.schema.outcome) is None:
        return None
    first, second = tables.train[name].unique()
    values = tables.fresh[name]
    turned = values.map({first: second, second: first}).astype(values.dtype)
    return tables.fresh.assign(**{name: turned})


def _shuffled_label(tables: Tables, rng: np.random.Generator) -> pd.DataFrame | None:
    """The outcome of another patient: as frequent as it should be, and without meaning."""
    if (name := tables.schema.outcome) is None:
        return None
    order = rng.permutation(len(tables.fresh))
    return tables.fresh.assign(**{name: tables.fresh[name].array.take(order)})


def _dropped_subgroup(tables: Tables, rng: np.random.Generator) -> pd.DataFrame | None:
    """No patient of the second most frequent category of the demographic column with most."""
    groups = {n: len(tables.schema[n].categories) for n in tables.schema.of_role("demographic")}
    if max(groups.values(), default=0) < 3:
        return None
    values = tables.fresh[max(groups, key=groups.__getitem__)].astype(str)
    return tables.fresh[values != values.value_counts().index[1]]


def _codes(tables: Tables) -> list[str]:
    return [n for n in tables.schema.of_kind("binary") if n != tables.schema.outcome]


def _era_artefact(tables: Tables, rng: np.random.Generator) -> pd.DataFrame:
    """In half of the patients each of the most frequent codes is a rarer one: two ICD versions."""
    names = [n for n in _codes(tables) if not tables.schema[n].sex]
    common = tables.fresh[names].mean().sort_values(ascending=False, kind="stable").index
    codes = min(10, len(names) // 2)
    made, late = tables.fresh.copy(), rng.random(len(tables.fresh)) < 0.5
    for old, new in zip(common[:codes], common[codes : 2 * codes], strict=True):
        made.loc[late, new], made.loc[late, old] = made.loc[late, old], 0
    return made


def _wrong_sex(tables: Tables, rng: np.random.Generator) -> pd.DataFrame | None:
    """Codes of one sex in both, as often in the other one."""
    restricted = [c for c in tables.schema.columns if c.sex and c.kind == "binary"]
    if tables.schema.sex is None or not restricted:
        return None
    made, sex = tables.fresh.copy(), tables.fresh[tables.schema.sex].astype(str)
    for column in restricted:
        has, wrong = (made[column.name] == 1).to_numpy(), (sex != column.sex).to_numpy()
        drawn = rng.random(len(made)) < has[~wrong].mean()
        made[column.name] = np.where(wrong, drawn, has).astype(made[column.name].dtype)
    return made


def _rare_codes_lost(tables: Tables, rng: np.random.Generator) -> pd.DataFrame:
    names = _codes(tables)
    common = tables.train[names].mean().sort_values(kind="stable").index
    return tables.fresh.assign(**{n: np.uint8(0) for n in common[: len(names) // 2]})


# By name, what makes it; none where the tables lack what it takes.
DEFECTS: dict[str, Callable[[Tables, np.random.Generator], pd.DataFrame | None]] = {
    "independent columns": lambda tables, rng: independent(tables.train, len(tables.train), rng),
    "copy": _copy,
    "copy, 1 % noise": partial(_copy, noise=0.01),
    "copy, 5 % noise": partial(_copy, noise=0.05),
    "copy, 20 % noise": partial(_copy, noise=0.20),
    "half copies": lambda tables, rng: pd.concat(
        [part.head(len(tables.train) // 2) for part in (_copy(tables, rng), tables.fresh)]
    ),
    "collapsed mode": lambda t, _: pd.concat([t.fresh.head(max(len(t.fresh) // 20, 5))] * 20),
    "flipped label": _flipped_label,
    "shuffled label": _shuffled_label,
    "dropped subgroup": _dropped_subgroup,
    "era artefact": _era_artefact,
    "leaked holdout": lambda t, rng: t.holdout.iloc[rng.permutation(len(t.holdout))],
    "wrong sex": _wrong_sex,
    "rare codes lost": _rare_codes_lost,
}


# Which metrics (in the form that can be believed) must notice which defect, and why. The table
# was written before the first run; where a run said otherwise, its column "but" says what was
# wrong with the expectation, which then no longer counts.
_expected = pd.read_csv(Path(__file__).with_name("expected.csv"), keep_default_na=False)
EXPECTED: dict[str, dict[str, str]] = {
    str(defect): dict(zip(rows["metric"], rows["why"], strict=True))
    for defect, rows in _expected[_expected["but"] == ""].groupby("defect", sort=False)
}


def candidates(tables: Tables, seed: int = 0) -> dict[str, pd.DataFrame]:
    """The fresh sample and every defect that can be made of these tables, by name."""
    made = {FRESH: tables.fresh}
    for number, (name, make) in enumerate(DEFECTS.items()):
        if (table := make(tables, np.random.default_rng([seed, number]))) is not None:
            made[name] = table
    return {name: tables.schema.attach(t.reset_index(drop=True)) for name, t in made.items()}


def validate(tables: Tables, seed: int = 0, profile: str = "fast") -> dict[str, Report]:
    """Evaluate the fresh sample and every defect.

    Parameters
    ----------
    tables, seed : Tables, int
    profile : {"fast", "full"}

    Returns
    -------
    dict of str to Report
        By the name of the defect, :data:`FRESH` first.
    """
    return compare(
        tables.train, tables.holdout, candidates(tables, seed), tables.schema,
        seed=seed, profile=profile,
    )  # fmt: skip


def as_table(reports: Mapping[str, Report]) -> pd.DataFrame:
    """What :func:`validate` found, one row a defect and metric that has a value.

    ``believed``: it is the form that can be; ``expected``: it must notice.
    """
    rows = [
        {
            "defect": defect, "family": m.family, "metric": m.name, "form": m.form,
            "title": m.title, "believed": report[m.name] is m, "share": m.share,
            "notices": m.notices,
            "expected": report[m.name] is m and m.name in EXPECTED.get(defect, {}),
        }
        for defect, report in reports.items()
        for m in report.metrics
        if m.value is not None
    ]  # fmt: skip
    return pd.DataFrame(rows)


def hospital() -> Tables:
    """Train and holdout of a simulated hospital, and a fresh sample from its truth."""
    patients = ehrsynth.build_patients(ehrsynth.load("simulated", patients=PATIENTS, seed=SEED))
    train, holdout = ehrsynth.split(patients, seed=SEED)
    fresh = truth.oracle_sample(len(train), seed=SEED + 1, like=train)
    prep = Preprocessor(min_prevalence=MIN_PREVALENCE, seed=SEED).fit(train)
    schema: Schema = prep.schema_
    parts = (prep.clip(t)[schema.names].reset_index(drop=True) for t in (train, holdout, fresh))
    return Tables(*(schema.attach(part) for part in parts), schema)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row a defect: what was done, who notices, and who was expected to."""
    done = pd.read_csv(Path(__file__).with_name("defects.csv"), index_col="defect")["done"]
    rows = []
    for defect, part in table[table["believed"]].groupby("defect", sort=False):
        titles = part.loc[part["notices"], "title"]
        missed = part.loc[part["expected"] & ~part["notices"], "title"]
        rows.append(
            {
                "synthetic data": defect, "what was done": done[defect],
                "metrics that notice": len(titles),
                "which": "; ".join(titles) or "none",
                "expected, but silent": "; ".join(missed) or "none",
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def main() -> None:
    table = as_table(validate(hospital(), seed=SEED, profile="full"))
    write_table(table.round({"share": 2}), PACKAGE_TABLE)
    write_table(summary(table), PAGE_TABLE)


if __name__ == "__main__":
    main()
