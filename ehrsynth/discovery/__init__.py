"""What can be found out about a table: the relations that hold for everybody, and leaks."""

import logging

import pandas as pd

from ..protection import told
from ..schema import Schema
from .cells import Found, cells
from .formulas import formulas
from .leaks import Leak, leaks
from .orders import orders

log = logging.getLogger(__name__)
_SHOWN = 20  # relations in the log; all are in run.json and in the report


def relations(table: pd.DataFrame, schema: Schema | None = None) -> list[Found]:
    """Everything that holds for every patient of a table and would not in shuffled columns.

    Formulas last: what they are computed from is to be settled first.

    Parameters
    ----------
    table : DataFrame
        Training patients.
    schema : Schema, optional
        By default that of `table`.
    """
    schema = Schema.of(table) if schema is None else schema
    computed = formulas(table, schema)
    return [*cells(table, schema), *orders(table, schema, computed), *computed]


def listed(
    found: list[Found], tables: dict[str, pd.DataFrame], schema: Schema
) -> list[dict[str, object]]:
    """A row for each relation: how many patients of each table it speaks of, and break it."""
    rows = []
    for rule, by_chance in found:
        row: dict[str, object] = {"relation": str(rule), "broken by chance": round(by_chance)}
        for name, table in tables.items():
            broken, applies = rule.broken(table, schema)
            counts = (told(n) if n else "0" for n in (broken.sum(), applies.sum()))
            row[f"{name}, broken"] = " of ".join(counts)
        rows.append(row)
    return rows


def look_into(train: pd.DataFrame, schema: Schema) -> tuple[list[Found], list[Leak]]:
    """What holds for every training patient and what determines the outcome, told in the log."""
    found = relations(train, schema)
    leaking = leaks(train, schema, found)
    for rule, by_chance in found[:_SHOWN]:
        log.info("  Holds for all: %s (%d would break it by chance).", rule, by_chance)
    if found:
        log.info("  Relations: %d. Where one is not true, drop it with --rules.", len(found))
    for leak in leaking:
        log.warning(
            "  %s nearly determines the outcome (%s %.3f): models do not see it, unless a columns "
            "file says predictor: true.", leak.column, leak.shows, leak.value,
        )  # fmt: skip
    return found, leaking
