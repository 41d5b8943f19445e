"""From drug names as hospitals write them to ingredients.

A name is read from left to right for the ingredients of ``ingredients.csv`` (United States Adopted
Names, brands and short forms; of a mineral the salt belongs to the name); strength, form, route and
salt are passed over. "Oxycodone-Acetaminophen (5mg-325mg)" is two. What holds none is kept under
its own name and listed, never dropped in silence.
"""

import re
import tomllib
from functools import cache, lru_cache
from pathlib import Path

import pandas as pd

_MOST_WORDS = 5  # of a name in the list
_WRITTEN = tomllib.loads(Path(__file__).with_name("drugs.toml").read_text("utf-8"))
_NO_DRUG = set(_WRITTEN.pop("no_drug"))
_BRACKETS, _FLUSH, _DISSOLVED, _STRENGTH, _FORM = map(re.compile, _WRITTEN.values())


@cache
def _known() -> dict[tuple[str, ...], tuple[str, ...]]:
    """The ingredients that each name of the list stands for, by its words."""
    table = pd.read_csv(Path(__file__).with_name("ingredients.csv"), dtype=str)
    groups = table.groupby("written")["ingredient"]
    return {tuple(written.split()): tuple(sorted(names)) for written, names in groups}


@lru_cache(maxsize=100_000)
def ingredients(written: str) -> tuple[str, ...]:
    """The known ingredients in a drug's name, sorted; "heparin flush" rinses a line and is one."""
    text = written.lower()
    outside = _DISSOLVED.sub("", _BRACKETS.sub(" ", text))
    found = _scan(outside) or _scan(" ".join(part or "" for part in _BRACKETS.findall(text)))
    if _FLUSH.search(text):
        found = {f"{name} flush" for name in found}
    return tuple(sorted(found))


def _scan(text: str) -> set[str]:
    """Every ingredient of a text; of the names that begin with a word the longest counts."""
    words, known = re.findall(r"[a-z0-9]+", text), _known()
    found, place = set[str](), 0
    while place < len(words):
        stops = range(min(place + _MOST_WORDS, len(words)), place, -1)
        stop = next((s for s in stops if tuple(words[place:s]) in known), place + 1)
        found.update(known.get(tuple(words[place:stop]), ()))
        place = stop
    return found


def _plain_name(written: str) -> str:
    """A name without strength, form and what is in brackets; "" for what only dissolves a drug."""
    text = _FORM.sub(" ", _STRENGTH.sub(" ", _BRACKETS.sub(" ", written.lower())))
    name = " ".join(re.findall(r"[a-z0-9]+", text))
    return "" if name in _NO_DRUG else name


def map_names(written: pd.Series) -> pd.DataFrame:
    """A row for each ``ingredient`` of each name, and whether it is ``known``; the names' index.

    An unknown name is its own ingredient; what dissolves one and missing names are left out.
    """
    names = written.dropna()
    known = [bool(ingredients(name)) for name in names]
    found = [ingredients(name) or (_plain_name(name),) for name in names]
    table = pd.DataFrame({"ingredient": found, "known": known}, index=names.index)
    table = table.explode("ingredient").astype({"ingredient": "str", "known": bool})
    return table[table["ingredient"] != ""]
