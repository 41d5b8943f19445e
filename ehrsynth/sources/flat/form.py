"""The form of a flat table: what comes out is written as what went in.

:func:`learn` compares the columns of a file with what was read from them and notes the way back:
types, spellings, formats. :func:`write` goes it. No spelling of fewer than LEAST_PATIENTS is kept.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from datetime import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pandas.api.types import infer_dtype

from ...files import MISSING_TEXTS, atomic_path, escaped, read_json, table_ending, write_table
from ...kinds import REST, category_text, origin_of
from ...protection import LEAST_PATIENTS
from ...schema import MISSING, Column, Schema
from . import as_numbers as times
from .as_numbers import CLOCK, WHOLE
from .decimals import MARKS, sign_of_column, to_numbers
from .file import DTYPE, Raw
from .reading import OTHER, Reading, are_codes

FILE = "form.json"
_CSV = {"sep": ",", "encoding": "utf-8"}  # where nobody has said how
# The mark at the beginning of a file stands there only.
_LATER = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le"}
_MOST = 0.8  # of a category's patients, who have it in one spelling
_WHOLE = r"-?(?:0|[1-9]\d{0,17})"
_NUMBER = (
    rf"^(?P<before>[^\d+.,−(-]*)(?P<minus>[+−-]?)(?P<number>\d(?:[\d.,]|[{MARKS}](?=\d{{3}}))*|"
    r"[.,]\d+)(?P<after>.*(?<!-))$"
)
_STEPS = ("D", "h", "30min", "15min", "10min", "5min", "min", "s", "ms", "us")
# What is done to a text that strftime makes: 3/4/2020 05:06, 3/4/2020 5:06.
_CASES: dict[str, Callable[[str], str]] = {"": str, "upper": str.upper, "lower": str.lower}
_ZEROS = {"": "(?!)", "short": r"(?<![\d:T ])0(?=\d)", "all short": r"(?<![\d:])0(?=\d)"}
_TURNS = {f"{case} {zeros}".strip(): lambda text, turn=turn, zero=zero: turn(re.sub(zero, "", text))
          for case, turn in _CASES.items() for zeros, zero in _ZEROS.items()}  # fmt: skip
_DAY, _NO_NAMES = pd.Timedelta(days=1), (MISSING, REST)


def learn(raw: Raw, table: pd.DataFrame, readings: Mapping[str, Reading]) -> dict[str, Any]:
    """Note how a file is written, of which `table` was read: the same patients in their order."""
    schema, dialect, entries, fields = Schema.of(table), raw.dialect, [], []
    for label, name in zip(dialect.names, raw.frame.columns, strict=True):
        if name not in schema:
            continue
        old, new = raw.frame[name].reset_index(drop=True), table[name].reset_index(drop=True)
        known = dialect.schema and dialect.schema.field(str(label))
        field = known or pa.field(str(label), _type(old, readings[name].sign))
        entry = _learned(schema[name], old, new, readings[name])
        if entry["as"] == "category":
            of = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
            try:
                pa.array(entry["levels"]).cast(of)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # such as "Other" among numbers
                field = field.with_type(pa.string())
        entries.append({"name": name, "label": label, **entry})
        fields.append(field)
    arrow = pa.schema(fields, _of_pandas(dialect.schema, [field.name for field in fields]))
    said = {"sep": dialect.delimiter, "encoding": dialect.encoding} if raw.is_text else {}
    arrow = base64.b64encode(arrow.serialize()).decode()
    return {"file": dialect.kind, "csv": said, "arrow": arrow, "columns": entries}


def _type(raw: pd.Series, sign: str) -> pa.DataType:
    """The type that pandas gives a column of texts when it reads the file."""
    text = raw.dropna().drop_duplicates().astype("str")
    text = text[~text.isin(MISSING_TEXTS)]
    if text.isin(("True", "False", "TRUE", "FALSE")).all():
        return pa.bool_()
    if text.str.fullmatch(_WHOLE).all():
        return pa.int64()
    sign = sign_of_column(text, sign) or "."
    grouped = text.str.contains("." if sign == "," else ",", regex=False).any()
    as_text = are_codes(text) or grouped or to_numbers(text, sign).isna().any()
    return pa.string() if as_text else pa.float64()


def _of_pandas(schema: pa.Schema | None, names: list[str]) -> dict[str, str] | None:
    """What pandas notes about the dtypes of these columns; neither rows nor attributes."""
    if schema is None or not schema.pandas_metadata:
        return None
    noted = {key: schema.pandas_metadata[key] for key in ("column_indexes", "pandas_version")}
    columns = [c for c in schema.pandas_metadata["columns"] if c["field_name"] in names]
    for column in columns:
        if column["numpy_type"].startswith(("decimal", "dictionary")):  # pandas cannot read these
            column["numpy_type"] = "object"
    return {"pandas": json.dumps({**noted, "columns": columns, "index_columns": []})}


def _learned(column: Column, raw: pd.Series, values: pd.Series, reading: Reading) -> dict[str, Any]:
    missing = values.isna() if column.kind == "continuous" else values == MISSING
    is_text = not isinstance(raw.dtype, pd.CategoricalDtype) and infer_dtype(raw) == "string"
    word = None  # that most of those have who have no value, such as "?"; no number
    if is_text:
        words = raw[missing].dropna().astype("str")
        counts = words[~words.str.contains(r"\d", regex=True)].value_counts()
        if len(counts) and counts.iloc[0] >= max(LEAST_PATIENTS, missing.sum() / 2):
            word = str(counts.index[0])
    raw, values = raw[~missing], values[~missing]
    if column.kind == "continuous":
        return _numbers(column, raw, reading, is_text) | {"missing": word}
    written, counts = _spellings(raw, values), values.value_counts()
    enough = {str(c) for c, count in counts.items() if count >= LEAST_PATIENTS}
    levels = [written.get(c, c) for c in column.categories or ("0", "1") if c in enough]
    if isinstance(raw.dtype, pd.CategoricalDtype):  # in the order that was declared
        order = [category_text(level) for level in raw.cat.categories]
        levels.sort(key=lambda text: order.index(text) if text in order else len(order))
    return {"as": "category", "written": written, "levels": levels, "missing": word}


def _numbers(column: Column, raw: pd.Series, reading: Reading, is_text: bool) -> dict[str, Any]:
    """What numbers stand for: dates, lengths of time, times of the day, or themselves."""
    text = raw.astype("str")
    if (origin := origin_of(column.unit)) is not None:
        style: dict[str, Any] = {}
        if is_text or pd.api.types.is_numeric_dtype(raw):  # such as 20200131
            text = text if is_text else raw.astype("int64").astype("str")
            style = date_style(text, bool(reading.day_first))
        else:
            stamps = pd.to_datetime(raw)
            style = {"zone": str(stamps.dt.tz)} if stamps.dt.tz else {}
            style["step"] = step_of_time(stamps.dt.tz_localize(None))
        return {"as": "date", "origin": f"{origin:%Y-%m-%d}"} | style
    if pd.api.types.is_timedelta64_dtype(raw):
        return {"as": "duration", "step": step_of_time(raw)}
    if column.unit == times.HOURS and is_text:
        return {"as": "clock"} | date_style(text, True, CLOCK)
    if column.unit == times.DAYS and is_text and (days := times.days_of(text)).notna().all():
        step = step_of_time(pd.to_timedelta(days, unit="D").dt.round("s"))
        return {"as": "duration", "step": step, "iso": bool(text.str.startswith("P").all())}
    return {"as": "number"} | (number_style(text, reading.sign) if is_text else {})


def _spellings(raw: pd.Series, values: pd.Series) -> dict[str, str]:
    """How the file writes each category that it writes in another way."""
    # Counted first: there are few pairs, and many patients.
    counts = pd.DataFrame({"new": values, "old": raw}).groupby(["new", "old"], observed=True).size()
    pairs = [(str(new), category_text(old), count) for (new, old), count in counts.items()]
    sizes = values.astype("str").value_counts()
    written: dict[str, str] = {}
    taken = set(sizes.index)
    for category, text, count in sorted(pairs, key=lambda pair: -pair[2]):
        # Of several words for one category the first is meant, unless it only stands for others.
        often = category != OTHER and count >= _MOST * sizes[category]  # which is no value's name
        alike = text.casefold() == category.casefold() or often
        free = category not in written and (text == category or text not in taken)
        if count >= LEAST_PATIENTS and alike and free:
            written[category] = text
            taken.add(text)
    return {category: text for category, text in written.items() if category != text}


# -- the way back --------------------------------------------------------------------------


def dress(table: pd.DataFrame, form: dict[str, Any]) -> pd.DataFrame:
    """Give a patient table the columns, types and spellings of what was learned from."""
    labels = [entry["label"] for entry in form["columns"] if entry["name"] in table]
    made = _arrow_table(table, form)
    frame = made.to_pandas()
    for name, column in zip(made.column_names, made.columns, strict=True):
        if dtype := (made.field(name).metadata or {}).get(DTYPE, b"").decode():
            period = dtype.startswith("period")
            kind: Any = dtype if period else pd.ArrowDtype(column.type)
            frame[name] = pd.Series(frame[name] if period else column, dtype=kind)
    return frame.set_axis(labels, axis=1)


def _plain(values: pd.Series, entry: dict[str, Any]) -> pd.Series:
    """Texts where the file has texts (of dates, too), else numbers, times or lengths of time."""
    if entry["as"] == "category":
        return _named(values, entry["written"])
    if entry["as"] == "number":
        return write_numbers(values, entry) if "decimal" in entry else values.astype(object)
    if entry["as"] == "clock":
        passed = pd.to_timedelta(values, unit="h").dt.round(entry["step"])
        passed = passed.mask(passed >= _DAY, (_DAY - pd.Timedelta("1us")).floor(entry["step"]))
        return write_date(pd.Timestamp(0) + passed, entry)
    spans = pd.to_timedelta(values, unit="D").dt.as_unit("us")
    if entry["as"] == "duration":
        spans = spans.dt.round(entry["step"])
        if (iso := entry.get("iso")) is None:
            return spans
        return spans.map(_iso if iso else str, na_action="ignore")
    stamps = pd.Timestamp(entry["origin"]) + spans
    if zone := entry.get("zone"):  # whole days begin at its midnight
        local = stamps.dt.tz_localize("UTC").dt.tz_convert(zone).dt.tz_localize(None)
        first = np.ones(len(local), dtype=bool)
        local = local.dt.round(entry["step"]).dt.tz_localize(zone, first, "shift_forward")
        return local.dt.tz_convert("UTC").dt.tz_localize(None)
    stamps = stamps.dt.round(entry["step"])
    return write_date(stamps, entry) if "format" in entry else stamps


def _iso(span: pd.Timedelta) -> str:
    """A length of time in the short form of ISO 8601, such as P3DT4H."""
    return re.sub(r"(?<=[DTHM])0[HMS]", "", span.isoformat()).removesuffix("T")


def _named(values: pd.Series, written: dict[str, str]) -> pd.Series:
    """Categories as the file writes them; who has a rare one gets one that others have."""
    known, codes = ["0", "1"], values.to_numpy()
    if isinstance(values.dtype, pd.CategoricalDtype):
        known, codes = list(values.cat.categories), values.cat.codes.to_numpy(copy=True)
    takers = np.flatnonzero(codes == (known.index(REST) if REST in known else -1))
    nameless = [code for code, name in enumerate(known) if name in _NO_NAMES]
    if len(takers) and len(owners := np.flatnonzero(~np.isin(codes, nameless))):
        middles = (2 * np.arange(len(takers)) + 1) * len(owners) // (2 * len(takers))
        codes[takers] = codes[owners[middles]]
    texts = [None if c in _NO_NAMES else written.get(c, c) for c in known]
    return pd.Series(np.array(texts, dtype=object)[codes], index=values.index)


def _text(values: pd.Series, entry: dict[str, Any]) -> pd.Series:
    plain = _plain(values, entry)
    return plain if entry["missing"] is None else plain.where(plain.notna(), entry["missing"])


def _arrow_table(table: pd.DataFrame, form: dict[str, Any]) -> pa.Table:
    schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(form["arrow"])))
    pairs = [(e, f) for e, f in zip(form["columns"], schema, strict=True) if e["name"] in table]
    made = [_cast(table[entry["name"]], entry, field.type) for entry, field in pairs]
    fields = [field.with_nullable(True) for _, field in pairs]
    return pa.Table.from_arrays(made, schema=pa.schema(fields, schema.metadata))


def _cast(values: pd.Series, entry: dict[str, Any], kind: pa.DataType) -> pa.Array:
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    plain = _text(values, entry) if is_text else _plain(values, entry)
    if entry["as"] == "number" and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        plain = values.round() if pa.types.is_integer(kind) else values
    if pa.types.is_dictionary(kind):
        codes = plain.map({text: code for code, text in enumerate(entry["levels"])})
        levels = pa.array(entry["levels"]).cast(kind.value_type)
        codes = pa.array(codes.astype("Int32")).cast(kind.index_type)
        return pa.DictionaryArray.from_arrays(codes, levels, ordered=kind.ordered)
    if pa.types.is_time(kind):
        plain = plain.map(time.fromisoformat, na_action="ignore")
    made = pa.array(plain, from_pandas=True)
    if pa.types.is_timestamp(kind) and kind.tz:
        made = made.cast(pa.timestamp("us", "UTC"))
    return made.cast(kind)


def load(folder: str | Path) -> dict[str, Any] | None:
    """The form in a model's folder, or None: what went in was no flat table."""
    path = Path(folder) / FILE
    return read_json(path) if path.is_file() else None


def write(
    table: pd.DataFrame, path: str | Path, form: dict[str, Any] | None = None, head: bool = True,
    raw: bool = False,
) -> None:  # fmt: skip
    """Write patients, by the ending of `path`, in a form, or as they are where there is none.

    Without `head`, they are to follow others in the same file. If `raw`, what a spreadsheet would
    compute stands in a CSV as it is.
    """
    is_csv = table_ending(path) != ".parquet"
    options = {**_CSV, **(form["csv"] if form else {}), "header": head}
    if not head:
        options["encoding"] = _LATER.get(options["encoding"], options["encoding"])
    if form is None:
        table = table.copy(deep=False)
        table.attrs.clear()
    elif is_csv and form["csv"]:
        entries = [entry for entry in form["columns"] if entry["name"] in table]
        table = pd.DataFrame({one["name"]: _text(table[one["name"]], one) for one in entries})
    elif is_csv:
        table = dress(table, form)
    else:
        with atomic_path(path) as temporary:
            pq.write_table(_arrow_table(table, form), temporary)
        return
    table = escaped(table) if is_csv and not raw else table
    write_table(table, path, **(options if is_csv else {}))


# -- how numbers and dates are written -----------------------------------------------------


def number_style(texts: pd.Series, sign: str) -> dict[str, Any]:
    """How most of the numbers of a column are written, of those that could be written so."""
    counts = texts.astype("str").value_counts()
    parts = counts.index.to_series().str.extract(_NUMBER)
    if counts.index.str.contains(r"\d[eE][+-]?\d", regex=True).any():
        return _power_style(texts.astype("str"), sign)
    if parts["number"].isna().any():  # as of (1.5), which are written as plain numbers
        return {}
    bare = parts["number"].str.replace(f"[{MARKS}]", "", regex=True)
    decimal = sign_of_column(bare, sign) or "."
    whole, after = (bare.str.partition(decimal)[i].str.len() for i in (0, 2))
    places = after.repeat(counts)
    most = int(places.nlargest(LEAST_PATIENTS).min())  # no single patient's decimals
    padded = whole.where(bare.str.match(r"0\d")).repeat(counts).dropna()
    grouped = parts["number"].str.extract(rf"([.,{MARKS}])\d{{3}}(?!\d)")[0]
    grouped = grouped.where(grouped != decimal, "")

    def mostly(of: pd.Series, those: pd.Series) -> str:
        found = of[those].fillna("").repeat(counts[those]).mode()
        return found.iloc[0] if len(found) else ""

    return {
        "decimal": decimal, "places": most, "thousands": mostly(grouped, whole > 3),
        "before": mostly(parts["before"], whole >= 0), "after": mostly(parts["after"], whole >= 0),
        "fixed": bool((places != most).sum() < LEAST_PATIENTS),  # else without zeros at the end
        "minus": mostly(parts["minus"], parts["minus"].isin(("-", "−"))) or "-",
        "plus": mostly(parts["minus"], ~parts["minus"].isin(("-", "−"))),
        "width": int(padded.mode()[0]) if len(padded) >= LEAST_PATIENTS else 1,
        # 0.87, not .87
        "zero": mostly(bare.str.slice(0, 1), bare.str.match(rf"0?\{decimal}\d")) != decimal,
    }  # fmt: skip


def _power_style(texts: pd.Series, sign: str) -> dict[str, Any]:
    """How numbers like 1.2E+03 are written, if all but a few are alike; else as floats are: {}."""
    parts = texts.str.extract(r"^[+-]?\d[.,]?(?P<places>\d*)(?P<e>[eE])").fillna("").mode()
    style = {"decimal": sign_of_column(texts, sign) or ".",
             "power": f".{len(parts['places'][0])}{parts['e'][0] or 'e'}"}  # fmt: skip
    odd = write_numbers(to_numbers(texts, sign), style) != texts
    return style if odd.sum() < LEAST_PATIENTS else {}


def write_numbers(values: pd.Series, style: dict[str, Any]) -> pd.Series:
    """Numbers as texts of a style; None for NaN."""
    if "power" in style:
        texts = values.map(lambda value: f"{value:{style['power']}}")
        return texts.str.replace(".", style["decimal"], regex=False).where(values.notna(), None)
    signs = str.maketrans({",": style["thousands"], ".": style["decimal"]})
    size = style.get("width", 1) + (style["places"] > 0) + style["places"]
    text_of = f"{{:0{size}{',' if style['thousands'] else ''}.{style['places']}f}}".format

    def write(value: float) -> str:
        text = text_of(abs(value))
        minus = style["minus"] if value < 0 and re.search("[1-9]", text) else style.get("plus", "")
        if not style["fixed"] and "." in text:
            text = text.rstrip("0").rstrip(".")
        if not style["zero"] and text.startswith("0."):
            text = text[1:]
        return f"{style['before']}{minus}{text.translate(signs)}{style['after']}"

    return values.astype(object).map(write, na_action="ignore").where(values.notna(), None)


def step_of_time(times: pd.Series) -> str:
    """The longest of the usual spans that all but a few of these are multiples of."""
    known = times.dropna()
    odd = ((step, (known.dt.floor(step) != known).sum()) for step in _STEPS)
    return next((step for step, count in odd if count < LEAST_PATIENTS), "ns")


def date_style(texts: pd.Series, day_first: bool, whole: re.Pattern[str] = WHOLE) -> dict[str, Any]:
    """The format of most of these dates, the step between them, and a turn of strftime's texts."""
    distinct = texts.drop_duplicates()
    numbers = pd.to_numeric(distinct, errors="coerce")
    forms = times.forms_of(distinct, day_first, whole)
    if numbers.notna().all() and not forms.any():  # 03.2020 is none
        form, stamps = times.number_form(numbers), times.of_numbers(numbers)
        form += ".0" if distinct.str.endswith(".0").mean() > 0.5 else ""
    else:
        form, stamps = forms.mode()[0], times.parsed(distinct, forms)
        if not form or (forms == form).mean() <= 0.5:  # none fits most of them
            form = "%Y-%m-%d" if whole is WHOLE else "%H:%M:%S"
        stamps = stamps.dt.tz_localize(None)
    zones = distinct.str.extract(r"\d ?(UTC|GMT|Z)$")[0].fillna("+00:00")
    step = step_of_time(texts.map(dict(zip(distinct, stamps, strict=True))))
    style: dict[str, Any] = {"format": form.replace("%z", zones.mode()[0]), "step": step}
    style |= {"months": months} if (months := times.in_english(distinct)[1]) else {}
    if ".%f" in form:
        style["digits"] = int(distinct.str.extract(r"\.(\d+)")[0].str.len().mode()[0])
    turns = {t: (write_date(stamps, style | {"turn": t}) == distinct).mean() for t in _TURNS}
    return style | {"turn": max(turns, key=lambda turn: turns[turn])}


def write_date(stamps: pd.Series, style: dict[str, Any]) -> pd.Series:
    """Times as texts of a style; None where there is none."""
    if (unit := style["format"].removesuffix(".0")) in times.EPOCH:
        passed = (stamps - pd.Timestamp(0)) // pd.Timedelta(1, unit)
        texts = passed.astype("Int64").astype("str") + style["format"].removeprefix(unit)
        return texts.astype(object).where(stamps.notna(), None)
    texts = stamps.dt.strftime(style["format"]).astype(object)
    if months := style.get("months"):
        texts = texts.replace(dict(zip(times.ENGLISH, months, strict=True)), regex=True)
    if digits := style.get("digits"):
        texts = texts.str.replace(rf"(:\d\d\.\d{{{digits}}})\d+", r"\1", regex=True)
    texts = texts.map(_TURNS[style.get("turn", "")], na_action="ignore")
    return texts.where(stamps.notna(), None)
