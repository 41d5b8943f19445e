"""A column while it is read: its values so far, and what the person is told about it."""

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import NoReturn

import pandas as pd

from ... import kinds
from ...errors import InputError, first_bad
from ...files import MISSING_TEXTS
from ...kinds import MISSING
from ...protection import LEAST_PATIENTS, ends, is_shared, percent, told
from ...schema import Column
from .columns_file import NOTHING, Wish
from .decimals import MARKS, grouped, sign_of_column, to_numbers
from .words import LINES, PATTERNS, WORDS

_MISSING_WORDS = set(LINES["missing"])
OTHER = "Other"  # the rarer values, and those that name a person, as one
CODE_NUMBER = r"0\d+|\d{16,}|\d+[eE]\d+"  # begins with 0, is too long, or like 1E50 of ICD-11
ICD_NAME = PATTERNS["icd"]
CODE_NAME = re.compile(f"{WORDS['code']}|{WORDS['icd']}")
_NUMBERED = re.compile(r"#|№|\bn[°º]")
# Of a date: 03.2020, or 31.03
_PARTS = r"(?:0?[1-9]|1[0-2])\.(?:19|20)\d\d|(?:0[1-9]|[12]\d|3[01])\.(?:0[1-9]|1[0-2])"
_DIGITS = {i: str(int(chr(i))) for i in range(128, 2**16) if chr(i).isdecimal()}
_TRUTH = {"true": True, "false": False}


@dataclass
class Reading:
    """A column on its way from what the file has to what is used."""

    name: str
    values: pd.Series  # so far; the index counts the rows of the file from 0
    wish: Wish = NOTHING  # what the columns file says about it
    is_written: bool = False  # in a CSV, where a missing value and the text "NA" look alike
    sign: str = ""  # the file's decimal signs
    as_text: bool = False  # texts stay texts, also where all of them are numbers
    notes: list[str] = field(default_factory=list)  # what was done to it
    warnings: list[str] = field(default_factory=list)  # what the person has to look at
    unit: str = ""  # of its numbers
    day_first: bool | None = None  # in its dates, where they are like 3/4/2020
    no_yes: tuple[str, ...] = ()  # the texts that are 0 and 1, of a yes/no column
    spelled: tuple[str, ...] = ()  # the texts that were joined with another spelling
    blanks: tuple[str, ...] = ()  # words, such as NA, that were read as missing
    column: Column | None = None  # what it was taken for
    dropped: str = ""  # why it is left out
    written: pd.Series | None = None  # the values as the file has them, before they became numbers

    @property
    def plain_name(self) -> str:
        """Its name in small letters, with _ between the words, and no for # and its like."""
        return re.sub(r"[\W_]+", "_", _NUMBERED.sub(" no ", self.name.lower())).strip("_")

    @property
    def present(self) -> pd.Series:
        return self.values.dropna()

    @property
    def is_text(self) -> bool:
        """Whether the values are texts (or of several types), and not all of them booleans."""
        plain = self.values.dtype == object or pd.api.types.is_string_dtype(self.values)
        return plain and not self.present.map(pd.api.types.is_bool).all()

    def without_words(self) -> pd.Series:
        """Its texts, without words that stand for a missing value beside numbers and dates."""
        text = self.present.astype("str")
        return text[~is_missing_word(text) | text.isin(self.wish.values)]

    def note_words(self, rest: pd.Series) -> None:
        """Note the words for missing values, which are not in the `rest`."""
        if words := sorted(self.present.drop(rest.index).unique()):
            said = f"{', '.join(map(repr, words))} read as missing"
            self.notes.append(f"{said}; if that is a value, {self.say(kind='categorical')}")
            self.blanks = (*self.blanks, *words)

    def refuse_first(
        self, values: pd.Series, wrong: pd.Series, holds: str, advice: str = ""
    ) -> None:
        """Raise InputError for the first of `values` that is wrong, where there is one."""
        if bad := first_bad(values, wrong):
            shared, value = is_shared(values, bad.value), str(bad.value)
            holds += f" but has {kinds.shown(values, bad.value)} in row {bad.label + 1}"
            wish = {"missing": [value]} if shared and not advice else {}
            self.refuse(
                holds, advice or f"correct it{',' if shared else ' or'} leave it empty", **wish
            )

    def refuse(self, holds: str, advice: str = "", **wish) -> NoReturn:
        """Raise InputError: what the column holds, and what to do, or to say of it."""
        todo = [*filter(None, [advice]), *([self.say(**wish)] if wish else [])]
        raise InputError(f"Column {self.name!r} {holds}; {', or '.join(todo)}.")

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
            "missing (%)": percent(int(self.values.isna().sum()), len(self.values)),
            "notes": "; ".join([*self.notes, *self.warnings]),
        }  # fmt: skip

    def _shown(self, column: Column) -> str:
        """In a few words, which values there are."""
        if column.kind == "binary":
            return f"{percent(int(self.values.sum()), len(self.values)):.1f} % are 1"
        if column.kind == "categorical":
            known = [c for c in column.categories if c != MISSING]
            counts = self.values.astype(object).map(kinds.category_text).value_counts()
            told = [c for c in known if counts.get(c, 0) >= LEAST_PATIENTS][:4]
            more = f" and {len(known) - len(told)} more" if len(known) > len(told) else ""
            return ", ".join(told) + more
        numbers = column.within(self.values.dropna().astype("float64"))
        low, high = (float(f"{end:.4g}") for end in ends(pd.Series(numbers).dropna()))
        unit = f" {column.unit}" if column.unit else ""
        whole = ", whole numbers" if column.decimals == 0 else ""
        return f"{low:g} to {high:g}{unit}{whole}"


def are_codes(text: pd.Series) -> bool:
    """Whether these texts are no numbers, though of digits: codes, or parts of dates."""
    parts = text.str.fullmatch(_PARTS)
    return bool(text.str.fullmatch(CODE_NUMBER).any() or parts.mean() == 1)


def is_missing_word(text: pd.Series) -> pd.Series:
    """Which texts are words for a value that is not there, such as "n/a" or "-"."""
    return text.str.lower().isin(_MISSING_WORDS) | text.isin(MISSING_TEXTS)


# -- plain values ------------------------------------------------------------------------


def tidy(reading: Reading) -> None:
    """Make the values plain, in place: no spaces around texts, one way of saying there is none.

    Texts of a CSV that are numbers without exception, or yes and no, become what they are.
    """
    values = reading.values
    if isinstance(values.dtype, pd.CategoricalDtype):  # which pandas takes for texts
        if len(values.cat.categories) > kinds.MAX_CATEGORIES:
            reading.values = values.astype(object)
    elif values.dtype == object or pd.api.types.is_string_dtype(values):
        reading.values = _plain(reading)
    if reading.wish.missing:
        reading.values = reading.values.mask(_said_missing(reading))
    reading.written = reading.values
    if reading.is_written and reading.is_text and not reading.as_text:
        _type(reading)
    if isinstance(reading.values.dtype, pd.StringDtype):
        reading.values = reading.values.astype(object)


def _said_missing(reading: Reading) -> pd.Series:
    """Which values the columns file calls missing: in any spelling of a number, or day."""
    said = pd.Series([*map(kinds.category_text, reading.wish.missing)], dtype=object)
    texts = reading.values.map(kinds.category_text, na_action="ignore").astype(object)
    texts, said = (t.str.removesuffix(" 00:00:00") for t in (texts, said))
    numbers = pd.to_numeric(texts, errors="coerce")
    wanted = pd.to_numeric(said, errors="coerce").dropna()
    return (texts.isin(said) | numbers.isin(wanted)).astype(bool)


def _plain(reading: Reading) -> pd.Series:
    values, present = reading.values, reading.present
    if values.dtype == object:
        nested = present.map(lambda v: hasattr(v, "__len__") and not isinstance(v, str))
        if bad := first_bad(present, nested):
            what = f"holds several values in one cell, such as in row {bad.label + 1}"
            reading.refuse(what, "make one column of each part", drop=True)
        if present.map(pd.api.types.is_bool).all():
            return values
        present = present.map(lambda v: v if isinstance(v, str) else kinds.category_text(v))
    text = present.astype("str").str.translate(_DIGITS).str.strip()
    words = set(MISSING_TEXTS if reading.is_written else ("", MISSING)) - set(reading.wish.values)
    blank = text.isin(words)
    found = Counter(text[blank])
    if not reading.is_written and found[""]:
        reading.notes.append(f"{told(found[''])} empty texts read as missing")
    reading.blanks = tuple(sorted(word for word in found if word))
    for word in reading.blanks:
        reading.notes.append(f"{word!r} read as missing ({told(found[word])} rows)")
    return text[~blank].reindex(values.index)


def _type(reading: Reading) -> None:
    """Texts without exception numbers, or true and false, as what they are."""
    text = reading.present.astype("str")
    truth = text.str.lower().map(_TRUTH)
    if truth.notna().all() and len(text):
        whole = len(text) == len(reading.values)
        reading.values = truth.astype(bool if whole else object).reindex(reading.values.index)
        return
    if are_codes(text):
        return
    name = reading.plain_name
    if CODE_NAME.search(name) or reading.wish.kind == "categorical":
        dotted = text[text.str.contains(".", regex=False)]
        floats = pd.to_numeric(dotted, errors="coerce").astype("float64").map(repr)
        whole = dotted.str.endswith(".0").all() and not ICD_NAME.search(name)
        if not whole and (0 < len(dotted) < len(text) or (dotted != floats).any()):
            return  # not as pandas writes floats: of 250.00 no digit may be lost
        if text.str.contains(" ", regex=False).any():
            return  # two codes
    numbers = to_numbers(text, sign_of_column(text, reading.sign))
    if numbers.isna().any() or grouped(text):
        return
    if text.str.contains(rf"[,(−]|-$|\d[{MARKS}]", regex=True).any():
        reading.notes.append("numbers with a decimal comma, thousands or signs of their own")
    if text.str.lstrip("+-").nunique() > numbers.abs().nunique():  # two versions, or stages
        told = reading.warnings if text.nunique() <= kinds.MAX_CATEGORIES else reading.notes
        told.append(
            "numbers in two spellings such as 1.1 and 1.10 are read as one; where they are not, "
            f"{reading.say(kind='categorical')}"
        )
    whole = len(text) == len(reading.values) and text.str.fullmatch(r"[+-]?\d{1,15}").all()
    reading.values = numbers.astype("int64") if whole else numbers.reindex(reading.values.index)
