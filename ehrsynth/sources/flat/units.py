"""Numbers that are written with their unit, such as "12.5 mg/L".

What counts as a unit is a list, so that "2 wards" and "1a" stay what they are: texts.
"""

import re
from functools import lru_cache

import pandas as pd

from .decimals import MARKS
from .words import WORDS

_UNITS = {
    spelling: spellings.split()[0]
    for line in WORDS["units"].strip().splitlines()
    for spellings in line.split("|")
    for spelling in spellings.split()
}
_ALIKE = str.maketrans({"µ": "u", "μ": "u", "²": "2", "³": "3", "⁹": "9", "×": "x", "℃": "c"})
_SPAN = re.compile(r"\d+(?:h|min|d)")
_FORM = (
    rf"^\s*(?P<number>[+−-]?(?:\d+(?:[.,]\d+|[{MARKS}]\d{{3}}(?!\d))*|\.\d+))\s*"
    r"(?P<written>\D.*|10\D.*)$"
)


@lru_cache(maxsize=4096)
def unit_of(text: str) -> str | None:
    """The unit that `text` is a spelling of ("mcg/mL" and "µg/ml" are both "ug/ml"), or None."""
    plain = text.translate(_ALIKE).casefold().replace(" ", "").strip("().")
    if plain.startswith(("x10", "*10")):
        plain = plain[1:]
    if plain in _UNITS:
        return _UNITS[plain]
    parts = plain.replace("per", "/").split("/")
    known = [_UNITS.get(part) for part in parts]
    if len(parts) == 2 and parts[0] == "":  # "/min"
        known[0] = ""
    if known[-1] is None and known[0] and _SPAN.fullmatch(parts[-1]):  # "mg/24h"
        known[-1] = parts[-1]
    return None if None in known else "/".join(map(str, known))


def take_apart(texts: pd.Series) -> pd.DataFrame:
    """The ``number`` (text), the ``unit`` and how it is ``written``, missing for other texts."""
    # "$12.50" is written the other way round.
    texts = texts.astype(object).str.replace(r"^\s*([$€£])\s*(?=\d)(.*)$", r"\2 \1", regex=True)
    parts = texts.str.extract(_FORM).astype(object)
    parts["unit"] = parts["written"].map(unit_of, na_action="ignore")
    parts["written"] = parts["written"].str.strip()
    return parts.where(parts["unit"].notna(), None)
