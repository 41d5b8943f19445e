"""A column while it is read: its values so far, and what the person is told about it."""

import json
from dataclasses import dataclass, field

import pandas as pd

from ...errors import InputError, first_bad
from ...kinds import MISSING
from ...schema import Column
from .columns_file import NOTHING, Wish

_MISSING_WORDS = {"?", "-", "--", ".", "n/a", "#n/a", "none", "not available", "nil"}


@dataclass
class Reading:
    """A column on its way from what the file has to what is used."""

    name: str
    values: pd.Series  # so far; the index counts the rows of the file from 0
    wish: Wish = NOTHING  # what the columns file says about it
    notes: list[str] = field(default_factory=list)  # what was done to it
    unit: str = ""  # of its numbers
    column: Column | None = None  # what it was taken for
    dropped: str = ""  # why it is left out

    @property
    def present(self) -> pd.Series:
        return self.values.dropna()

    @property
    def is_text(self) -> bool:
        """Whether the values are texts (or of several types), and not all of them booleans."""
        plain = self.values.dtype == object or pd.api.types.is_string_dtype(self.values)
        return plain and not self.present.map(pd.api.types.is_bool).all()

    def refuse_first(
        self, values: pd.Series, wrong: pd.Series, holds: str, advice: str = ""
    ) -> None:
        """Raise InputError for the first of `values` that is wrong, where there is one."""
        if bad := first_bad(values, wrong):
            text = str(bad.value)
            advice = advice or f"correct it, leave it empty, or {self.say(missing=[text])}"
            raise InputError(
                f"Column {self.name!r} {holds} but has {text[:40]!r} in row {bad.label + 1}; "
                f"{advice}."
            )

    def say(self, **wish) -> str:
        """What to write into the columns file."""
        said = json.dumps({self.name: wish}, ensure_ascii=False)
        return f"say {said} in a columns file (--columns)"

    def listed(self) -> dict[str, object]:
        """Its row in the list of columns that the person sees."""
        row = {"column": self.name, "kind": "dropped", "role": "", "values": "",
               "missing (%)": float("nan"), "notes": self.dropped}  # fmt: skip
        if self.column is None:
            return row
        return row | {
            "kind": self.column.kind, "role": self.column.role, "values": self._shown(self.column),
            "missing (%)": round(100 * float(self.values.isna().mean()), 1),
            "notes": "; ".join(self.notes),
        }  # fmt: skip

    def _shown(self, column: Column) -> str:
        """In a few words, which values there are."""
        if column.kind == "binary":
            return f"{100 * self.values.astype(float).mean():.1f} % are 1"
        if column.kind == "categorical":
            known = [c for c in column.categories if c != MISSING]
            more = f" and {len(known) - 4} more" if len(known) > 4 else ""
            return ", ".join(known[:4]) + more
        numbers = self.values.astype("float64")
        unit = f" {column.unit}" if column.unit else ""
        whole = ", whole numbers" if column.decimals == 0 else ""
        return f"{numbers.min():g} to {numbers.max():g}{unit}{whole}"


def is_missing_word(text: pd.Series) -> pd.Series:
    """Which texts are words for a value that is not there, such as "n/a" or "-"."""
    return text.str.lower().isin(_MISSING_WORDS)
