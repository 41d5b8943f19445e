"""Are the metrics themselves right? Synthetic data of known quality, and who must notice what.

:data:`DEFECTS` makes synthetic tables that are spoiled in one known way, from train, holdout and
a fresh sample of the same population; :data:`EXPECTED` was written down before the first run: it
says which metrics must notice which defect, and why. :func:`validate` runs them all.

What it is to notice is said once, at :attr:`ehrsynth.evaluation.Metric.notices`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.resources import as_file, files

import numpy as np
import pandas as pd

from ..files import read_table
from ..schema import Schema
from .judge import compare
from .report import Report
from .setting import independent

FRESH = "fresh sample"
RESULTS = "validation.csv"


# -- synthetic data of known quality -----------------------------------------------------


@dataclass(frozen=True)
class Tables:
    """Three independent tables with the columns of the schema, of which defects are made.
    Chapter choosing-and-releasing, "Are the judges themselves reliable?".
    """

    train: pd.DataFrame
    holdout: pd.DataFrame
    fresh: pd.DataFrame
    schema: Schema


def _copy(tables: Tables, rng: np.random.Generator) -> pd.DataFrame:
    return tables.train.iloc[rng.permutation(len(tables.train))].reset_index(drop=True)


def _noisy_copy(tables: Tables, rng: np.random.Generator, share: float) -> pd.DataFrame:
    made = _copy(tables, rng)
    other = independent(tables.train, len(made), rng)
    columns = {n: made[n].where(rng.random(len(made)) >= share, other[n]) for n in made}
    return pd.DataFrame(columns)


def _half_copies(tables: Tables, rng: np.random.Generator) -> pd.DataFrame:
    half = len(tables.train) // 2
    return pd.concat([_copy(tables, rng).head(half), tables.fresh.head(half)])


def _collapsed(tables: Tables, rng: np.random.Generator, times: int = 20) -> pd.DataFrame:
    return pd.concat([tables.fresh.head(max(len(tables.fresh) // times, 5))] * times)


def _flipped_label(tables: Tables, rng: np.random.Generator) -> pd.DataFrame:
    (name,) = tables.schema.of_role("outcome")
    values = tables.fresh[name]
    if tables.schema[name].kind == "categorical":
        turned = pd.Categorical.from_codes(1 - values.cat.codes, dtype=values.dtype)
        return tables.fresh.assign(**{name: turned})
    return tables.fresh.assign(**{name: (1 - values).astype(values.dtype)})


def _shuffled_label(tables: Tables, rng: np.random.Generator) -> pd.DataFrame:
    """The outcome of another patient: as frequent as it should be, and without meaning."""
    (name,) = tables.schema.of_role("outcome")
    order = rng.permutation(len(tables.fresh))
    return tables.fresh.assign(**{name: tables.fresh[name].array.take(order)})


def _dropped_subgroup(tables: Tables, rng: np.random.Generator) -> pd.DataFrame:
    """No patient of the second most frequent category of the demographic column with most."""
    schema = tables.schema
    named = [n for n in schema.of_role("demographic") if schema[n].kind == "categorical"]
    name = max(named, key=lambda n: len(schema[n].categories))
    values = tables.fresh[name].astype(str)
    return tables.fresh[values != values.value_counts().index[1]]


def _era_artefact(tables: Tables, rng: np.random.Generator, codes: int = 10) -> pd.DataFrame:
    """Half of the patients have another code for the same disease, as in two ICD versions.

    Each of the most frequent codes is recorded as a rarer one in the patients of one era.
    """
    schema = tables.schema
    names = [n for n in schema.of_kind("binary") if n != schema.outcome and not schema[n].sex]
    common = tables.fresh[names].mean().sort_values(ascending=False, kind="stable").index
    codes = min(codes, len(names) // 2)
    made, late = tables.fresh.copy(), rng.random(len(tables.fresh)) < 0.5
    for old, new in zip(common[:codes], common[codes : 2 * codes], strict=True):
        made[new] = np.where(late, made[old], made[new]).astype(tables.fresh[new].dtype)
        made[old] = np.where(late, 0, made[old]).astype(tables.fresh[old].dtype)
    return made


def _leaked_holdout(tables: Tables, rng: np.random.Generator) -> pd.DataFrame:
    return tables.holdout.iloc[rng.permutation(len(tables.holdout))]


def _wrong_sex(tables: Tables, rng: np.random.Generator) -> pd.DataFrame:
    made, schema = tables.fresh.copy(), tables.schema
    sex = made[schema.sex].astype(str)
    for column in schema.columns:
        if column.sex and column.kind == "binary":
            has = (made[column.name] == 1).to_numpy()
            wrong = (sex != column.sex).to_numpy()
            drawn = rng.random(len(made)) < has[~wrong].mean()
            made[column.name] = np.where(wrong, drawn, has).astype(made[column.name].dtype)
    return made


def _rare_codes_lost(tables: Tables, rng: np.random.Generator) -> pd.DataFrame:
    schema = tables.schema
    names = [n for n in schema.of_kind("binary") if n != schema.outcome]
    common = tables.train[names].mean().sort_values(kind="stable").index
    return tables.fresh.assign(**{n: np.uint8(0) for n in common[: len(names) // 2]})


@dataclass(frozen=True)
class Defect:
    """One way in which synthetic data can be wrong.
    Chapter choosing-and-releasing, "Are the judges themselves reliable?".
    """

    says: str  # what was done
    make: Callable[[Tables, np.random.Generator], pd.DataFrame]
    needs: Callable[[Schema], bool] = lambda schema: True  # whether it can be made


def _has_outcome(schema: Schema) -> bool:
    return schema.outcome is not None


def _has_group(schema: Schema) -> bool:
    return any(len(schema[n].categories) > 2 for n in schema.of_role("demographic"))


def _has_sex_rule(schema: Schema) -> bool:
    return schema.sex is not None and any(c.sex and c.kind == "binary" for c in schema.columns)


_NOISE = "train, {} % of all entries drawn anew"
DEFECTS: dict[str, Defect] = {
    "independent columns": Defect(
        "every column drawn from train on its own",
        lambda tables, rng: independent(tables.train, len(tables.train), rng),
    ),
    "copy": Defect("train itself", _copy),
    "copy, 1 % noise": Defect(_NOISE.format(1), partial(_noisy_copy, share=0.01)),
    "copy, 5 % noise": Defect(_NOISE.format(5), partial(_noisy_copy, share=0.05)),
    "copy, 20 % noise": Defect(_NOISE.format(20), partial(_noisy_copy, share=0.20)),
    "half copies": Defect("half of train, half fresh patients", _half_copies),
    "collapsed mode": Defect("one fresh patient in 20, each 20 times", _collapsed),
    "flipped label": Defect("fresh, with the outcome turned around", _flipped_label, _has_outcome),
    "shuffled label": Defect("fresh, with another's outcome", _shuffled_label, _has_outcome),
    "dropped subgroup": Defect(
        "fresh, without the second largest group", _dropped_subgroup, _has_group
    ),
    "era artefact": Defect(
        "fresh, ten frequent codes under another name for half of the patients", _era_artefact
    ),
    "leaked holdout": Defect("the held-out patients", _leaked_holdout),
    "wrong sex": Defect("fresh, codes of one sex in both", _wrong_sex, _has_sex_rule),
    "rare codes lost": Defect("fresh, without the rarer half of the codes", _rare_codes_lost),
}


def _expected() -> dict[str, dict[str, str]]:
    with (files(__package__) / "expected.csv").open(encoding="utf-8") as file:
        table = pd.read_csv(file, keep_default_na=False, index_col="metric")
    kept = table[table["but"] == ""].groupby("defect", sort=False)
    return {str(defect): dict(rows["why"]) for defect, rows in kept}


# Which metrics (in the form that can be believed) must notice which defect, and why. The table
# was written before the first run; where a run said otherwise, its column "but" says what was
# wrong with the expectation, which then no longer counts.
EXPECTED = _expected()


# -- running it ----------------------------------------------------------------------------


def candidates(tables: Tables, seed: int = 0) -> dict[str, pd.DataFrame]:
    """The fresh sample and every defect that can be made of these tables, by name.
    Chapter choosing-and-releasing, "Are the judges themselves reliable?".
    """
    made = {FRESH: tables.fresh}
    for number, (name, defect) in enumerate(DEFECTS.items()):
        if defect.needs(tables.schema):
            made[name] = defect.make(tables, np.random.default_rng([seed, number]))
    return {
        name: tables.schema.attach(table.reset_index(drop=True)) for name, table in made.items()
    }


def validate(tables: Tables, seed: int = 0, profile: str = "fast") -> dict[str, Report]:
    """Evaluate the fresh sample and every defect.
    Chapter choosing-and-releasing, "Are the judges themselves reliable?".

    Parameters
    ----------
    tables : Tables
        Train, holdout, a fresh sample of the same population, and their schema.
    seed : int
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

    ``believed`` says whether it is the form that can be believed, ``share`` its part of the way
    from worst to best, ``expected`` whether it must notice.
    Chapter choosing-and-releasing, "Are the judges themselves reliable?".
    """
    rows = []
    for defect, report in reports.items():
        families = dict.fromkeys(m.family for m in report.metrics)
        believed = [m for family in families for m in report.of(family)]
        for m in report.metrics:
            if m.value is None:
                continue
            rows.append(
                {
                    "defect": defect, "family": m.family, "metric": m.name, "form": m.form,
                    "title": m.title, "believed": m in believed, "share": m.share,
                    "notices": m.notices,
                    "expected": m in believed and m.name in EXPECTED.get(defect, {}),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Of :func:`as_table`, one row a defect: what was done, who notices, and who was expected to.
    Chapter choosing-and-releasing, "Are the judges themselves reliable?".
    """
    rows = []
    for defect, part in table[table["believed"]].groupby("defect", sort=False):
        titles = part.loc[part["notices"], "title"]
        missed = part.loc[part["expected"] & ~part["notices"], "title"]
        done = "an independent sample of the truth" if defect == FRESH else DEFECTS[defect].says
        rows.append(
            {
                "synthetic data": defect, "what was done": done,
                "metrics that notice": len(titles),
                "which": "; ".join(titles) or "none",
                "expected, but silent": "; ".join(missed) or "none",
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def results() -> pd.DataFrame:
    """The table of the book: :func:`as_table` of the simulated hospital, as last computed.
    Chapter choosing-and-releasing, "Are the judges themselves reliable?".
    """
    with as_file(files(__package__) / RESULTS) as path:
        return read_table(path)
