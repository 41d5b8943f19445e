"""Any flat patient table: one row per patient, as CSV or Parquet.

What each column is, is worked out from its values and listed for the user; a columns file
(:mod:`.columns_file`) overrules it. What could give a patient away, or cannot be
read in one way only, is refused.
"""

import codecs
import csv
import gzip
import json
import logging
import re
import warnings
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd

from ...errors import InputError
from ...files import MISSING_TEXTS, read_table
from ...schema import (
    MAX_CATEGORIES,
    MISSING,
    Column,
    Schema,
    as_outcome,
    category_text,
    continuous_column,
    few_codes,
    infer_column,
    looks_like_identifier,
    near,
    ordered,
)
from . import columns_file, units
from .columns_file import NOTHING, Wish

log = logging.getLogger(__name__)

_SEXES = {"f": "F", "female": "F", "woman": "F", "m": "M", "male": "M", "man": "M"}
_SEX_NAMES = ("sex", "gender")
# Whole numbers of few values are codes or grades: each value is a category of its own.
_FEW = 8
_KEPT_CODES, _OTHER = 40, "Other"
# Numbers that name a place or a thing: no number lies between two of them.
_CODE_NAME = re.compile(
    r"zip|postal|postcode|plz|(?:^|_)(?:code|icd\d*|cpt|drg|ndc|site|ward)$|_id$"
)
_ROW_NUMBERS = re.compile(r"unnamed: \d+|index|row|row[ _.]?(?:names?|id|nr|no|num|number)|x")
# Of an outcome's two values the one that means that it happened.
_YES = {"yes", "y", "true", "t", "positive", "pos", "dead", "died", "deceased", "ja", "oui", "si"}
_MISSING_WORDS = {"?", "-", "--", ".", "n/a", "#n/a", "none", "not available", "nil"}
_NUMERIC_SHARE, _NUMERIC_VALUES = 0.8, 10  # more of each: a number column, spoiled
_CODE, _CODES = r"[A-Za-z]\d{1,4}(?:\.\d+)?", 3  # "V57" or "E885.9"; from so many different ones on
_CODE_NUMBER = r"0\d+|\d{16,}"  # begins with 0, or has more digits than a number can keep
_COMMA = r"[+-]?\d+,\d+"
_THOUSANDS = r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?"
_TWO_NUMBERS = r"\d+(?:\.\d+)?\s*/\s*\d+(?:\.\d+)?\D*"  # a blood pressure
_TIME = r"(?:[ T]+\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?(?:\s?[AaPp][Mm])?(?:Z|[+-]\d\d:?\d\d)?)?"
_ISO = r"\d{4}-\d{1,2}-\d{1,2}" + _TIME
_NAMED_MONTH = r"\d{1,2}[- ]?[A-Za-z]{3}[- ]?\d{4}" + _TIME
_ORDERED_DATE = r"(\d{1,2})[/.](\d{1,2})[/.](\d{4}|\d{2})" + _TIME
_NOTE_LENGTH = 30  # characters; longer texts on average are sentences
_CLOCK, _HOURS = r"(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d)?", "hours after midnight"
_DAY = pd.Timedelta(days=1)
# Other years stand for no date, such as 9999; MIMIC-IV shifts its dates into the 22nd century.
_YEARS = (1800, 2300)
_DELIMITERS = ",;\t|"


def load(
    data: str | Path, outcome: str | None = None, columns: str | Path | None = None
) -> dict[str, pd.DataFrame]:
    """Read a flat table and work out what its columns are.

    Parameters
    ----------
    data : str or Path
        A ``.csv``, ``.csv.gz`` or ``.parquet`` file; a CSV with commas, semicolons, tabs or bars,
        in UTF-8 or Windows' western European encoding.
    outcome : str
        The column to predict, with two values. What counts as 1: what the columns file says, else
        a word such as yes or died, else the later value in order.
    columns : str or Path, optional
        A columns file.

    Returns
    -------
    dict of str to DataFrame
        ``table``, with its schema attached, and ``columns``: for each column of the file what it
        was taken for (column, kind, role, values, missing (%), notes).

    Raises
    ------
    InputError
        If a file cannot be read, or a column is not fit for use.
    """
    if outcome is None:
        raise InputError("A flat table needs an outcome; name the column with --outcome COLUMN.")
    path = Path(data)
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the CSV or Parquet file of the patients.")
    table = _read(path)
    if table.empty:
        raise InputError(f"{path} has no rows.")
    if outcome not in table.columns:
        raise InputError(
            f"Outcome column {outcome!r} is not in the table; {near(outcome, table.columns)}."
        )
    wishes = {} if columns is None else columns_file.read(columns, table.columns, str(path))
    if wishes.get(outcome, NOTHING).drop:
        raise InputError(f"{columns} drops the outcome {outcome!r}; name another outcome.")
    tidy = {}
    for name in table.columns:
        wish = wishes.get(name, NOTHING)
        if not wish.drop:
            tidy[name] = _tidy(name, table[name], wish)
    kept = pd.Series(True, index=table.index)
    for name, values in tidy.items():
        if wishes.get(name, NOTHING).missing_rows:
            kept &= values.notna()
    if not kept.any():
        raise InputError(f"{columns} leaves no row of {path}; take out a missing_rows.")
    described, rows = {}, []
    for name in table.columns:
        wish = wishes.get(name, NOTHING)
        if wish.drop:
            rows.append(_dropped(name, "the columns file says so"))
            continue
        values = tidy[name][kept]
        if name == outcome:
            values, column, notes = _outcome(name, values, wish)
        else:
            values, column, notes = _understand(name, values, wish)
        if column is None:
            rows.append(_dropped(name, notes[-1]))
            continue
        if wish.missing_rows:
            notes.append(f"{(~tidy[name].notna()).sum():,} patients without it left out")
        column = _overrule(column, wish)
        described[name] = (column, values)
        rows.append(_listed(column, values, notes))
    schema = Schema(tuple(column for column, _ in described.values()))
    if len(schema.columns) < 2:
        raise InputError(f"{path} has no column that can be used besides the outcome {outcome!r}.")
    result = pd.DataFrame({name: values for name, (_, values) in described.items()})
    return {
        "table": schema.cast(result.reset_index(drop=True), where=str(path)),
        "columns": pd.DataFrame(rows),
    }


def to_patients(
    tables: dict[str, pd.DataFrame], outcome: str | None = None, code_level: str = "phecode"
) -> pd.DataFrame:
    """The table itself: it already has one row per patient."""
    table = tables["table"]
    schema = Schema.of(table)
    if outcome not in (None, schema.outcome):
        raise InputError(f"The table was read with outcome {schema.outcome!r}, not {outcome!r}.")
    return table


# -- reading ---------------------------------------------------------------------------


def _read(path: Path) -> pd.DataFrame:
    if path.name.lower().endswith((".csv", ".csv.gz")) and path.is_file():
        table = _read_csv(path)
    else:
        table = read_table(path)
    table.columns = [str(name).strip() for name in table.columns]
    doubled = table.columns[table.columns.duplicated()]
    if len(doubled):  # of a Parquet file, once the spaces around names are gone
        raise InputError(f"Column name {doubled[0]!r} appears twice in {path}; rename one.")
    table.attrs.clear()  # what another program wrote there is not ours
    return table.reset_index(drop=True)


def _read_csv(path: Path) -> pd.DataFrame:
    encoding = _encoding(path)
    if encoding == "cp1252":
        log.info("%s is not in UTF-8; read as western European Windows text.", path)
    delimiter, names = _header(path, encoding)
    seen = set()
    for name in names:
        if name and name in seen:
            raise InputError(f"Column name {name!r} appears twice in {path}; rename one.")
        seen.add(name)
    options = {
        "sep": delimiter, "encoding": encoding, "low_memory": False, "index_col": False,
        "skipinitialspace": True,
    }  # fmt: skip
    if delimiter == ";":  # how European spreadsheets export: 1,5 is one and a half
        options["decimal"] = ","
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            start = read_table(path, **options, nrows=2_000, dtype=str)
            # Such a number is a code, of which a digit would be lost.
            codes = [n for n in start if start[n].str.fullmatch(_CODE_NUMBER, na=False).any()]
            return read_table(path, **options, dtype=dict.fromkeys(codes, str))
    except pd.errors.ParserWarning as error:
        raise InputError(
            f"{path} has rows with more values than its first row has names; correct the file."
        ) from error


def _encoding(path: Path) -> str:
    """UTF-8, or what Windows writes in western Europe, or UTF-16 by its mark."""
    open_it = gzip.open if path.name.lower().endswith(".gz") else open
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with open_it(path, "rb") as file:
            start = file.read(4)
            if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                return "utf-16"
            decoder.decode(start)
            while block := file.read(2**20):
                decoder.decode(block)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        with open_it(path, "rb") as file:
            _refuse_two_encodings(path, file)
        return "cp1252"
    except (OSError, EOFError) as error:
        raise InputError(f"{path} cannot be read as .csv: {error}.") from error
    return "utf-8-sig"


def _refuse_two_encodings(path: Path, lines: Iterable[bytes]) -> None:
    """Raise for a file pasted together from others: one half of its accents would be garbled."""
    first: dict[bool, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.isascii():
            try:
                line.decode("utf-8")
                first.setdefault(True, number)
            except UnicodeDecodeError:
                first.setdefault(False, number)
        if len(first) == 2:
            raise InputError(
                f"{path} is written in two encodings: line {first[True]} is in UTF-8 and line "
                f"{first[False]} is not; save all of it in UTF-8."
            )


def _header(path: Path, encoding: str) -> tuple[str, list[str]]:
    """The delimiter that cuts the first row into most names, and the names."""
    open_it = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with open_it(path, "rt", encoding=encoding, newline="") as file:
            start = [line for line, _ in zip(file, range(50), strict=False)]
    except UnicodeError as error:
        raise InputError(f"{path} is not a text file: {error}.") from error
    if any("\0" in line for line in start[:1]):
        raise InputError(f"{path} is not a text file; save the table as CSV in UTF-8.")
    names = {d: next(csv.reader(start, delimiter=d), []) for d in _DELIMITERS}
    delimiter = max(_DELIMITERS, key=lambda d: len(names[d]))
    return delimiter, [name.strip() for name in names[delimiter]]


# -- cleaning --------------------------------------------------------------------------


def _tidy(name: str, values: pd.Series, wish: Wish) -> pd.Series:
    """Plain values: spaces around texts gone, and one way of saying that there is none."""
    if values.dtype == object or pd.api.types.is_string_dtype(values):
        present = values.dropna()
        odd = present[
            present.map(lambda v: isinstance(v, list | tuple | dict | np.ndarray | bytes))
        ]
        if len(odd):
            raise InputError(
                f"Column {name!r} holds {type(odd.iloc[0]).__name__} values in row "
                f"{odd.index[0] + 1}; make one column of each part, or {_say(name, drop=True)}."
            )
        if len(present) and present.map(lambda v: isinstance(v, Decimal)).all():
            values = values.astype("float64")
        elif len(present) and present.map(lambda v: hasattr(v, "year")).all():
            values = pd.to_datetime(values, errors="coerce")
        elif present.map(lambda v: isinstance(v, str)).any():
            text = present.map(lambda v: v.strip() if isinstance(v, str) else category_text(v))
            text = text[~text.isin(MISSING_TEXTS)]
            values = text.astype(object).reindex(values.index)
    elif isinstance(values.dtype, pd.CategoricalDtype) and len(values.cat.categories) > (
        MAX_CATEGORIES
    ):
        values = values.astype(object)
    if wish.missing:
        texts = {category_text(value) for value in wish.missing}
        values = values.mask(values.map(category_text, na_action="ignore").isin(texts))
    return values


def _say(name: str, **wish) -> str:
    """What to write into the columns file."""
    return f"say {json.dumps({name: wish}, ensure_ascii=False)} in a columns file (--columns)"


def _is_text(values: pd.Series) -> bool:
    present = values.dropna()
    return (values.dtype == object or pd.api.types.is_string_dtype(values)) and not present.map(
        lambda v: isinstance(v, bool | np.bool_)
    ).all()


def _numbers(name: str, values: pd.Series, wish: Wish, notes: list[str]) -> pd.Series:
    """Texts that are numbers as numbers; refuses what is a number in one reading of two."""
    text = values.dropna().astype(str)
    numbers = pd.to_numeric(text, errors="coerce")
    good = numbers.notna()
    if not wish.kind and text.str.fullmatch(_CODE_NUMBER).any():
        return values
    with_comma = text.str.fullmatch(_COMMA) | text.str.fullmatch(_THOUSANDS)
    said = ~text.str.lower().isin(_MISSING_WORDS)  # rows that say something
    likely = (good | with_comma).sum() >= _NUMERIC_SHARE * said.sum()
    many = text[good | with_comma].nunique() > _NUMERIC_VALUES
    if wish.kind != "continuous" and not good.all() and not (likely and many):
        return values
    words = sorted(text[~good & text.str.lower().isin(_MISSING_WORDS)].unique())
    wrong = ~good & ~text.isin(words)
    codes = text[wrong].str.fullmatch(_CODE).all() and text[wrong].nunique() >= _CODES
    if codes and wish.kind != "continuous":
        return values  # codes of which most happen to be numbers, such as ICD-9's
    if words:
        notes.append(f"{', '.join(map(repr, words))} read as missing")
    if wrong.any():
        value, row = text[wrong].iloc[0], wrong[wrong].index[0] + 1
        if with_comma[wrong].iloc[0]:
            advice = "write 1,5 as 1.5 and 1,234 as 1234"
        else:
            advice = f"correct it, leave it empty, or {_say(name, missing=[value])}"
        raise InputError(
            f"Column {name!r} should hold numbers but has {value[:40]!r} in row {row}; {advice}."
        )
    return numbers[good].astype("float64").reindex(values.index)


def _without_unit(
    name: str, values: pd.Series, wish: Wish, notes: list[str]
) -> tuple[pd.Series, str]:
    """Of texts like "12.5 mg/L" the numbers and their unit; "" and the values for other texts."""
    text = values.dropna().astype(str)
    parts = units.take_apart(text)
    counts = parts["unit"].value_counts()
    said = (~text.str.lower().isin(_MISSING_WORDS)).sum()  # rows that say something
    if counts.empty or (counts.sum() < _NUMERIC_SHARE * said and wish.kind != "continuous"):
        return values, ""
    if len(counts) > 1:
        first, other = counts.index[:2]
        rows = parts.index[parts["unit"] == other]
        raise InputError(
            f"Column {name!r} has numbers in {_spelled(parts, first)} ({counts[first]:,} rows) and "
            f"in {_spelled(parts, other)} ({counts[other]:,} rows, first in row {rows[0] + 1}); "
            f"write all in one unit, or {_say(name, kind='categorical')}."
        )
    unit = _spelled(parts, counts.index[0])
    wrong = parts["unit"].isna() & ~text.str.lower().isin(_MISSING_WORDS)
    with_comma = parts["number"].str.contains(",", na=False)
    if wrong.any() or with_comma.any():
        row = wrong.idxmax() if wrong.any() else with_comma.idxmax()
        advice = "write 1,5 as 1.5 and 1,234 as 1234"
        if wrong.any():
            advice = f"correct it, leave it empty, or {_say(name, missing=[text[row]])}"
        raise InputError(
            f"Column {name!r} should hold numbers in {unit} but has {text[row][:40]!r} in row "
            f"{row + 1}; {advice}."
        )
    numbers = parts["number"].astype("float64")
    words = sorted(text[parts["unit"].isna()].unique())
    if words:
        notes.append(f"{', '.join(map(repr, words))} read as missing")
    if wish.kind != "continuous" and (
        numbers.nunique() <= 2 or few_codes(numbers.dropna(), _FEW)
    ):  # "5 mg" and "10 mg": sizes of one tablet, categories as whole numbers would be
        sizes = [f"{number:g} {unit}" for number in np.sort(numbers.dropna().unique())]
        written = numbers.map(lambda number: f"{number:g} {unit}", na_action="ignore")
        return written.reindex(values.index).astype(pd.CategoricalDtype(sizes)), ""
    notes.append(f"numbers in {unit}")
    return numbers.reindex(values.index), unit


def _spelled(parts: pd.DataFrame, unit: str) -> str:
    """How a unit is written most often."""
    return parts.loc[parts["unit"] == unit, "written"].value_counts().index[0]


def _dates(name: str, values: pd.Series, asked: bool) -> pd.Series | None:
    """Texts or numbers like 20200131 that are dates, as dates; None when they are not."""
    if pd.api.types.is_datetime64_any_dtype(values):
        return values
    present = values.dropna()
    if pd.api.types.is_numeric_dtype(present):
        plain = present.to_numpy(float)
        if not np.all((plain > 18e6) & (plain < 21.01e6)) or np.any(plain % 1):
            return None
        found = pd.to_datetime(present.astype("int64").astype(str), format="%Y%m%d",
                               errors="coerce")  # fmt: skip
        return found.reindex(values.index) if found.notna().all() and len(present) > 10 else None
    if not _is_text(values):
        return None
    text = present.astype(str)
    shape = text.str.fullmatch(f"{_ISO}|{_NAMED_MONTH}|{_ORDERED_DATE}")
    if not shape.any() or (shape.mean() < 0.9 and not asked):
        return None
    first_is_day = _first_is_day(name, text[shape])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pandas, about texts that we look at next
        found = pd.to_datetime(
            text.where(shape), format="mixed", dayfirst=first_is_day, errors="coerce", utc=True
        )
    found = found.where(found.dt.year.between(*_YEARS))
    wrong = found.isna() & ~text.str.lower().isin(_MISSING_WORDS)
    if wrong.any():
        value, row = text[wrong].iloc[0], wrong[wrong].index[0] + 1
        raise InputError(
            f"Column {name!r} holds dates but has {value[:40]!r} in row {row}; correct it, leave "
            f"it empty, or {_say(name, missing=[value])}."
        )
    return found.reindex(values.index)


def _first_is_day(name: str, text: pd.Series) -> bool:
    """Of dates like 3/4/2020, whether the 3 is the day."""
    parts = text.str.extract(_ORDERED_DATE).dropna()
    if parts.empty:
        return False
    if (parts[2].str.len() == 2).any():
        raise InputError(
            f"Column {name!r} holds dates with two digits for the year, such as "
            f"{text[parts.index[0]]!r}; write them as 2020-01-31."
        )
    first, second = (int(parts[i].astype(int).max()) for i in (0, 1))
    dots = text[parts.index].str.contains(r"\d\.\d", regex=True).all()
    if first <= 12 and second <= 12 and not dots:
        raise InputError(
            f"Column {name!r} holds dates such as {text[parts.index[0]]!r} of which nobody can "
            "tell day from month; write them as 2020-01-31."
        )
    return first > 12 or (dots and second <= 12)


def _days(name: str, dates: pd.Series, notes: list[str]) -> tuple[pd.Series, str]:
    """Days since the year of the earliest date began, and the unit that says so."""
    wrong = dates.notna() & ~dates.dt.year.between(*_YEARS)
    if wrong.any():
        row = wrong[wrong].index[0]
        raise InputError(
            f"Column {name!r} has a date in the year {dates[row].year} in row {row + 1}, which "
            "stands for no date as a rule; leave it empty."
        )
    if dates.dt.tz is not None:
        dates = dates.dt.tz_convert("UTC").dt.tz_localize(None)
    # Not the earliest date itself: that is a patient's, perhaps of the holdout.
    origin = pd.Timestamp(dates.dt.year.min(), 1, 1)
    unit = f"days since {origin:%Y-%m-%d}"
    notes.append(f"dates, read as {unit}")
    return ((dates - origin) / _DAY).round(2), unit


def _one_spelling(values: pd.Series, notes: list[str]) -> pd.Series:
    """Texts that differ in capitals only become the most frequent of them."""
    counts = values.value_counts()
    best = {}
    for text in counts.index:
        best.setdefault(text.casefold(), text)
    others = [text for text in counts.index if best[text.casefold()] != text]
    if others:
        notes.append(f"other spellings joined: {', '.join(sorted(others)[:4])}")
        values = values.map(lambda text: best[text.casefold()], na_action="ignore")
    return values


def _group(values: pd.Series, notes: list[str]) -> pd.Series:
    """Of many categories the most frequent, the others as one."""
    counts = values[values != _OTHER].value_counts()
    # Equal counts in order of the text, so that the order of the rows does not matter.
    counts = counts.sort_index().sort_values(ascending=False, kind="stable")
    kept = set(counts.index[:_KEPT_CODES])
    notes.append(f"{len(counts) - len(kept):,} rarer values joined as {_OTHER}")
    return values.where(values.isna() | values.isin(kept), _OTHER)


# -- understanding ---------------------------------------------------------------------


def _understand(
    name: str, values: pd.Series, wish: Wish
) -> tuple[pd.Series, Column | None, list[str]]:
    """A column's values as they are used, what it is (None: drop it), and what was done."""
    notes: list[str] = []
    present = values.dropna()
    if present.empty:
        return values, None, ["no values at all"]
    distinct = present.nunique()
    if distinct == 1 and len(present) == len(values):
        return values, None, [f"one value only ({category_text(present.iloc[0])[:30]})"]
    if _is_row_number(name, present, len(values)) and wish == NOTHING:
        return values, None, ["row numbers"]
    allowed = wish.identifier == "allowed" or bool(wish.kind)
    unit = ""
    if wish.kind in ("", "continuous") and _is_text(values):
        values, unit = _without_unit(name, values, wish, notes)
    if wish.kind in ("", "continuous") and _is_text(values):
        values = _numbers(name, values, wish, notes)
    if wish.kind in ("", "date") and not unit:
        dates = _dates(name, values, asked=wish.kind == "date")
        if dates is not None:
            values, unit = _days(name, dates, notes)
        elif wish.kind == "date":
            raise InputError(
                f"Column {name!r} should hold dates but has {str(present.iloc[0])[:40]!r} in row "
                f"{present.index[0] + 1}; write them as 2020-01-31."
            )
        elif pd.api.types.is_timedelta64_dtype(values):
            values, unit = values / _DAY, "days"
        elif _is_text(values) and present.astype(str).str.fullmatch(_CLOCK).all():
            hours = pd.to_timedelta(
                present.astype(str).str.replace(r"^(..:..)$", r"\1:00", regex=True)
            )
            values, unit = (hours / pd.Timedelta(hours=1)).round(2).reindex(values.index), _HOURS
            notes.append(f"times of the day, read as {_HOURS}")
    if unit or wish.kind == "continuous":
        return values, replace(_continuous(name, values), unit=unit), notes
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if not allowed and looks_like_identifier(name, values.dropna()):
        _refuse_identifier(name, values.dropna())
    as_codes = numeric and distinct > _FEW and _CODE_NAME.search(name.lower()) is not None
    as_codes = as_codes and not np.any(values.dropna().to_numpy(float) % 1)
    if as_codes or wish.kind in ("categorical", "binary"):
        if not isinstance(values.dtype, pd.CategoricalDtype):
            values = values.map(category_text, na_action="ignore").astype(object)
    if _is_text(values):
        values = _texts(name, values, allowed, notes)
        if values.nunique() == 1 and values.notna().all():
            return values, None, [*notes, "one value only is left"]
    if as_codes or wish.kind == "categorical":
        return values, _categorical(name, values), notes
    if wish.kind == "binary":
        return *_binary(name, values, notes), notes
    return values, infer_column(name, values, few=_FEW, identifiers=allowed), notes


def _is_row_number(name: str, present: pd.Series, rows: int) -> bool:
    if len(present) < rows or not _ROW_NUMBERS.fullmatch(name.lower()):
        return False
    if not pd.api.types.is_integer_dtype(present):
        return False
    steps = present.to_numpy("int64") - np.arange(rows)
    return bool(np.all(steps == steps[0]) and steps[0] in (0, 1))


def _refuse_identifier(name: str, present: pd.Series) -> None:
    if pd.api.types.is_numeric_dtype(present):
        raise InputError(
            f"Column {name!r} is different in every row or nearly so, like an identifier, which "
            f"must not be learned; {_say(name, drop=True)}, or {_say(name, kind='continuous')} if "
            "it is a measurement."
        )
    distinct = present.unique()
    raise InputError(
        f"Column {name!r} has {len(distinct)} different texts, for example "
        f"{str(min(distinct))[:40]!r}, like an identifier or free text; {_say(name, drop=True)}."
    )


def _texts(name: str, values: pd.Series, allowed: bool, notes: list[str]) -> pd.Series:
    """Texts as categories: spellings joined, sexes as F and M, rare codes as Other."""
    if name.lower() in _SEX_NAMES:
        plain = values.str.lower().map(_SEXES)
        if plain.notna().equals(values.notna()):
            return plain.astype(object)
    values = _one_spelling(values, notes)
    present = values.dropna()
    distinct = present.unique()
    two = present.str.fullmatch(_TWO_NUMBERS)
    if not allowed and two.mean() >= _NUMERIC_SHARE and present[two].nunique() > _NUMERIC_VALUES:
        raise InputError(
            f"Column {name!r} holds two numbers in one text, such as {present[two].iloc[0]!r}; "
            f"make a column of each, or {_say(name, drop=True)}."
        )
    if len(distinct) <= MAX_CATEGORIES:
        return values
    long = present.str.len().mean() > _NOTE_LENGTH
    if not allowed and (len(distinct) > len(present) / 2 or (long and len(distinct) > 200)):
        _refuse_identifier(name, present)
    return _group(values, notes)


def _categorical(name: str, values: pd.Series) -> Column:
    column = infer_column(name, values.dropna().astype("category"))
    categories = ordered(values.dropna().map(category_text).unique())
    if values.isna().any() and MISSING not in categories:
        categories = (*categories, MISSING)
    return Column(name, "categorical", column.role, categories=categories)


def _binary(name: str, values: pd.Series, notes: list[str]) -> tuple[pd.Series, Column]:
    levels = ordered(values.dropna().map(category_text).unique())
    if len(levels) != 2 or values.isna().any():
        what = "missing values" if len(levels) == 2 else f"{len(levels)} different values"
        raise InputError(
            f"Column {name!r} has {what}, so it cannot be yes or no; "
            f"{_say(name, kind='categorical')}."
        )
    if levels != ("0", "1"):
        notes.append(f"{levels[1]!r} is 1")
    yes = (values.map(category_text) == levels[1]).astype("uint8")
    return yes, Column(name, "binary", infer_column(name, yes).role)


def _continuous(name: str, values: pd.Series) -> Column:
    numbers = pd.to_numeric(values.dropna(), errors="coerce").astype("float64")
    wrong = numbers.isna() | np.isinf(numbers)
    if wrong.any():
        row = wrong[wrong].index[0]
        raise InputError(
            f"Column {name!r} should hold numbers but has {str(values[row])[:40]!r} in row "
            f"{row + 1}; correct it, leave it empty, or {_say(name, missing=[str(values[row])])}."
        )
    role = infer_column(name, pd.Series([0, 1])).role
    return continuous_column(name, role, numbers)


def _outcome(name: str, values: pd.Series, wish: Wish) -> tuple[pd.Series, Column, list[str]]:
    notes: list[str] = []
    missing = values.isna()
    if missing.any():
        raise InputError(
            f"Outcome column {name!r} has missing values in {missing.sum():,} rows, first in row "
            f"{missing[missing].index[0] + 1}; remove those rows, or "
            f"{_say(name, missing_rows='drop')}."
        )
    if wish.kind in ("continuous", "date"):
        raise InputError(f"Outcome column {name!r} needs two values; it cannot be {wish.kind}.")
    if _is_text(values):
        values = _one_spelling(values, notes)
    as_outcome(Column(name, "binary"), values)  # first of all it has two values
    levels = ordered(values.map(category_text).unique())
    if wish.positive != "":
        positive = category_text(wish.positive)
        if positive not in levels:
            raise InputError(
                f"Outcome column {name!r} has no value {positive!r}; its values are "
                f"{levels[0]!r} and {levels[1]!r}."
            )
        levels = (next(level for level in levels if level != positive), positive)
    elif levels[0].casefold() in _YES and levels[1].casefold() not in _YES:
        levels = levels[::-1]
    values = values.map(category_text)
    notes.append(f"{levels[1]!r} counts as 1")
    if levels == ("0", "1"):
        return values.astype("uint8"), Column(name, "binary", "outcome"), notes
    return values, Column(name, "categorical", "outcome", categories=levels), notes


def _overrule(column: Column, wish: Wish) -> Column:
    """The column with what the columns file says about it."""
    said = {key: getattr(wish, key) for key in ("role", "label", "unit", "sex")}
    said = {key: value for key, value in said.items() if value}
    if column.role == "outcome":
        said.pop("role", None)
    if wish.bounds is not None or wish.decimals is not None:
        if column.kind != "continuous":
            raise InputError(
                f"Column {column.name!r} is {column.kind}, so it has no bounds or decimals; "
                f"{_say(column.name, kind='continuous')} if it is a number."
            )
    if wish.bounds is not None:
        said["lower"], said["upper"] = wish.bounds
    if wish.decimals is not None:
        said["decimals"] = wish.decimals
    if wish.sex and column.kind != "binary":
        raise InputError(
            f"Column {column.name!r} is {column.kind}; only a yes/no column can be of one sex, so "
            f"{_say(column.name, kind='binary', sex=wish.sex)}."
        )
    return replace(column, **said)


# -- what the user sees ------------------------------------------------------------------


def _listed(column: Column, values: pd.Series, notes: list[str]) -> dict:
    if column.kind == "binary":
        shown = f"{100 * values.astype(float).mean():.1f} % are 1"
    elif column.kind == "categorical":
        known = [c for c in column.categories if c != MISSING]
        shown = ", ".join(known[:4]) + (f" and {len(known) - 4} more" if len(known) > 4 else "")
    else:
        observed = values.astype("float64")
        shown = f"{observed.min():g} to {observed.max():g}"
        shown += f" {column.unit}" if column.unit else ""
        shown += ", whole numbers" if column.decimals == 0 else ""
    return {
        "column": column.name, "kind": column.kind, "role": column.role, "values": shown,
        "missing (%)": round(100 * float(values.isna().mean()), 1), "notes": "; ".join(notes),
    }  # fmt: skip


def _dropped(name: str, why: str) -> dict:
    return {
        "column": name, "kind": "dropped", "role": "", "values": "", "missing (%)": float("nan"),
        "notes": why,
    }  # fmt: skip


def show(columns: pd.DataFrame, most: int = 60) -> list[str]:
    """The list of columns as lines of text, dropped ones first when there are many."""
    if len(columns) > most:
        odd = columns["notes"] != ""
        columns = pd.concat([columns[odd], columns[~odd]])
    shown = columns.head(most)
    cells = [list(shown.columns)] + [
        ["" if pd.isna(v) else str(v)[:48] for v in row] for row in shown.itertuples(index=False)
    ]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells
    ]
    if len(columns) > most:
        lines.append(f"and {len(columns) - most:,} more")
    return lines
