"""Do synthetic patients keep what holds for every training patient?"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from ..discovery import listed, relations
from ..discovery.cells import Found
from ..relations import Formula, Rule
from ..schema import Schema
from ..statistics import Estimate, NotComputable, wilson
from .setting import Setting

# Lists of the report.
RELATIONS = "relations that hold for every training patient"
LEAKS = "columns that nearly determine the outcome"


def to_keep(train: pd.DataFrame, schema: Schema, rules: Iterable[Rule] | None) -> list[Found]:
    """What is found in train; of a run, what its rules did not switch off, and their formulas.
    Chapter utility, "Tables of known quality".
    """
    found = relations(train, schema)
    if rules is None:
        return found
    kept = {str(rule): rule for rule in rules if set(rule.columns) <= set(schema.names)}
    names = {str(one.rule) for one in found}
    own = [r for name, r in kept.items() if isinstance(r, Formula) and name not in names]
    return [one for one in found if str(one.rule) in kept] + [Found(r, np.nan) for r in own]


def in_each_table(setting: Setting) -> list[dict[str, object]]:
    """For each relation, how many patients of train, holdout and the candidate break it.
    Chapter utility, "Tables of known quality".
    """
    tables = {
        "train": setting.train.frame,
        "holdout": setting.holdout.frame,
        "synthetic": setting.candidate.frame,
    }
    return listed(setting.train.relations, tables, setting.schema)


def _kept(setting: Setting, rng) -> Estimate:
    found, frame = setting.train.relations, setting.candidate.frame
    if not found:
        raise NotComputable("no relation beyond chance holds for every training patient")
    broken = np.any([one.rule.broken(frame, setting.schema)[0] for one in found], axis=0)
    return wilson(int((~broken).sum()), len(broken))


COMPUTE = {("relations_kept", "corrected"): _kept}
