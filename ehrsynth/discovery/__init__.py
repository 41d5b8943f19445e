"""What can be found out about a table: the relations that hold for everybody, and leaks."""

import pandas as pd

from ..schema import Schema
from .cells import Found, cells
from .formulas import formulas
from .orders import orders


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
            row[f"{name}, broken"] = f"{broken.sum():,} of {applies.sum():,}"
        rows.append(row)
    return rows
