"""Numbers that are written with their unit, such as "12.5 mg/L".

What counts as a unit is a list, so that "2 wards" and "1a" stay what they are: texts.
"""

import re
from functools import lru_cache

import pandas as pd

# One line for each unit that stands alone or between slashes: how it is written, each of them.
_SPELLINGS = """
    kg kgs kilo kilos kilogram kilograms | g gr gm gms gram grams | mg mgs milligram milligrams
    ug mcg microgram micrograms | ng | pg | fg | lb lbs pound pounds | oz
    l liter liters litre litres | dl | cl | ml mls cc | ul | fl
    mol | mmol | umol | nmol | pmol | eq | meq | osm | mosm | mosmol
    unit units u | iu | miu | uiu | mu | ku
    m meter meters metre metres | cm cms | mm | um | ft | in inch inches | m2 | mm2 | cm2 | m3 | mm3
    1.73m2 | mmhg | cmh2o | kpa | hpa | pa | bar
    s sec secs second seconds | ms msec | min mins minute minutes | h hr hrs hour hours
    d day days | wk wks week weeks | mo month months | y yr yrs year years
    % percent pct | bpm | beats beat | breaths breath | cells cell | drops gtt | tablets tablet tab
    c °c degc celsius | f °f degf fahrenheit | kcal cal | kj j | w watt watts | mv | hz
    k/ul | m/ul | 10^3 10e3 10*3 | 10^6 10e6 10*6 | 10^9 10e9 10*9 | 10^12 10e12 10*12
    hpf | pack-years packyears | $ usd | € eur | £ gbp
"""
_UNITS = {
    spelling: spellings.split()[0]
    for line in _SPELLINGS.strip().splitlines()
    for spellings in line.split("|")
    for spelling in spellings.split()
}
_ALIKE = str.maketrans({"µ": "u", "μ": "u", "²": "2", "³": "3", "⁹": "9", "×": "x", "℃": "c"})
_SPAN = re.compile(r"\d+(?:h|min|d)")
_FORM = r"^\s*(?P<number>[+-]?(?:\d+(?:[.,]\d+)*|\.\d+))\s*(?P<written>\D.*|10\D.*)$"


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
