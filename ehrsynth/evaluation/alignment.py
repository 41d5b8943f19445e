"""Three tables made comparable: read alike, given one schema, and what does not fit counted."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ..errors import InputError, some
from ..kinds import category_text, is_plain_number
from ..schema import FEWEST_ROWS, Schema
from ..sources.flat.applying import NEW, OTHERWISE, far_out, fit_into, widest
from ..sources.flat.columns_file import NOTHING, read
from ..sources.flat.file import Raw, read_file
from ..sources.flat.reading import Reading, tidy
from ..sources.flat.table import learn, open_sheet, records
from ..sources.quality import Finding
from .repeats import REPEATS, repeats

log = logging.getLogger(__name__)
DEFECTS = "what does not fit"  # where a report's facts have it
UNJUDGED, LACKING = "columns that were not judged", "what the synthetic table lacks"
RELATIONS = "relations that hold for every training patient"
LEAKS = "columns that nearly determine the outcome"
IN_TRAIN = "its values are those of used patients (% of rows)"
DISTINCT = 0.9  # of a column's values in train: from so many on a value names a patient


def align(
    tables: Mapping[str, pd.DataFrame | Raw], schema: Schema | None = None,
    outcome: str | None = None, names: dict[str, str] | None = None, positive: str | None = None,
    columns: str | Path | None = None, patient_id: str | None = None,
) -> dict:  # fmt: skip
    """Check the three tables and give them one schema.
    Chapter fidelity, "Tables of known quality".

    `tables` are "train", "holdout" and "synthetic", `names` what to call each in errors. Without a
    schema, the one attached to train holds, or the columns are learned from train; the options are
    those of the data set "table". The result are the arguments of :func:`ehrsynth.evaluate`.
    """
    names = {role: role + " table" for role in tables} | (names or {})
    if not isinstance(schema, Schema | None):
        raise InputError(f"The schema is {_kind(schema)}; give a Schema, or none to infer it.")
    raws = {role: _read(table, names[role]) for role, table in tables.items()}
    train, holdout = raws["train"].frame, raws["holdout"].frame
    both = f"{names['train']} and {names['holdout']}"
    if outcome is not None and not (outcome in train and outcome in holdout):
        raise InputError(f"Outcome column {outcome!r} is not in both {both}; check --outcome.")
    hints: Mapping[str, Reading] = {}
    left_out: list[str] = []
    facts = _repeated(raws, schema, patient_id)  # as they are written: later the rare is joined
    if schema is None and columns is None and positive is None:
        schema = Schema.attached(train)
    if schema is not None and outcome not in (None, schema.outcome):
        schema = None  # another question is asked
    if schema is None:
        both_have = replace(raws["train"], frame=train[[name for name in train if name in holdout]])
        known = learn(open_sheet(both_have, outcome, columns, patient_id, positive))
        schema, hints = known.schema, known.readings
        facts["columns of the file"] = records(known.columns)
        dropped = known.columns.loc[known.columns["kind"] == "dropped", "column"]
        made = raws["synthetic"].frame
        left_out = [name for name in dropped if name not in made or _counts_rows(made[name])]
    left_out += [n for n in train if n not in schema and _same(raws, n)]
    raws = {role: replace(raw, frame=raw.frame.drop(columns=left_out, errors="ignore"))
            for role, raw in raws.items()}  # fmt: skip
    synthetic = raws["synthetic"].frame
    common = [n for n in schema.names if n in train and n in holdout and n in synthetic]
    if not common:
        raise InputError(
            f"{names['synthetic']} has no column in common with {both}; its first column is "
            f"{str(synthetic.columns[0])!r}."
        )
    wishes = {name: hint.wish for name, hint in hints.items()}
    wishes |= {} if columns is None else read(columns, train.columns, names["train"])
    fitted, defects = _fitted(raws, schema, common, hints, wishes)
    return fitted | {"schema": schema, "facts": facts | defects}


def _fitted(raws: dict[str, Raw], schema: Schema, common: list[str], hints, wishes) -> tuple:
    """The tables with the levels that one of them needs, and what does not fit, as a fact."""
    shared = schema.select(common)
    plain, fitted, misfits = {}, {}, {}
    for role, raw in raws.items():
        plain[role] = _plain(raw, shared, wishes)
        fitted[role], misfits[role] = fit_into(shared, plain[role][common], hints)
    if any(odd.what != OTHERWISE for odd in misfits["train"]):  # which the schema describes
        shared.cast(plain["train"], raws["train"].where)
    misfits["synthetic"] += far_out(shared, fitted["train"], fitted["synthetic"])
    wide = widest([Schema.of(table) for table in fitted.values()])
    for role, table in fitted.items():
        rest = raws[role].frame.drop(columns=common)
        fitted[role] = wide.attach(pd.concat([fit_into(wide, table)[0], rest], axis=1))
    own = {odd.column for odd in misfits["train"]}  # which train writes in several ways itself
    held_out = {text for odd in misfits["holdout"] for text in odd.texts}
    found = []
    for role in ("synthetic", "holdout"):
        for odd in (odd for odd in misfits[role] if odd.column not in own):
            # What the generator made up is nobody's; what holdout has too may be a patient's.
            made = [repr(t[:40]) for t in odd.texts if t not in held_out and t != NEW]
            named = f" ({some(made, 4)})" if role == "synthetic" and made else ""
            what = f"{odd.column}: {odd.what}{named}"
            found.append(Finding(role, what, odd.rows, odd.of, odd.done)._asdict())
    return fitted, {DEFECTS: found} if found else {}


def _repeated(raws: dict[str, Raw], schema: Schema | None, patient: str | None) -> dict:
    """What the synthetic table repeats of few patients, as a fact."""
    frames = {role: raw.frame for role, raw in raws.items()}
    made, attached = frames["synthetic"], schema or Schema.attached(frames["train"])
    frames["synthetic"] = made.drop(columns=list({n for n in made if _counts_rows(made[n])}))
    declared = {c.name: c.categories for c in attached.columns} if attached else {}
    found = repeats(frames, declared, patient)
    return {REPEATS: found} if found else {}


def _plain(raw: Raw, schema: Schema, wishes: Mapping) -> pd.DataFrame:
    """The table with plain values: texts of a CSV that are numbers for this schema are numbers."""
    values = dict(raw.frame.items())
    for column in schema.columns:
        categories, wish = column.categories, wishes.get(column.name, NOTHING)
        wish = replace(wish, values=(*wish.values, *categories))
        as_text = bool(categories) and not all(map(is_plain_number, categories[:-1]))
        reading = Reading(column.name, values[column.name], wish, raw.is_text,
                          raw.dialect.decimal, as_text=as_text)  # fmt: skip
        tidy(reading)
        values[column.name] = reading.values
    return pd.DataFrame(values, index=raw.frame.index)


def not_compared(tables: Mapping, schema: Schema, shared: Schema) -> dict[str, list[dict]]:
    """What nobody judges, and what is lacking. Chapter fidelity, "Tables of known quality"."""
    train, made, outcome = tables["train"], tables["synthetic"], shared.outcome
    known = {n: train.get(n, made[n][:0]) for n in made if n not in shared}
    extra = [{"column": n, IN_TRAIN: _of_train(real, made[n])} for n, real in known.items()]
    lost = [n for n in schema.names if n in train and n in tables["holdout"] and n not in made]
    lacking = [{"column": n, "what": "not there", "outcome": n == schema.outcome} for n in lost]
    if outcome and made[outcome].nunique() < 2 <= train[outcome].nunique():
        lacking.append({"column": outcome, "what": "one value only", "outcome": True})
    found = {what: rows for what, rows in ((UNJUDGED, extra), (LACKING, lacking)) if rows}
    for what, rows in found.items():
        log.warning("%s (%d): %s", what, len(rows), some([str(row["column"]) for row in rows], 12))
    return found


def _of_train(real: pd.Series, made: pd.Series) -> float | None:
    """Per cent of the rows whose value is one of train's; None where no value names a patient."""
    known, texts = (column.dropna().map(category_text) for column in (real, made))
    names = len(known) and known.nunique() >= DISTINCT * len(known) and not _counts_rows(made)
    return round(100 * float(texts.isin(set(known)).sum() / len(made)), 1) if names else None


def _counts_rows(values: pd.Series) -> bool:
    """Whether these are the numbers of the rows, from 0 or 1 on, which are nobody's."""
    texts = values.map(category_text).tolist() if values.is_unique else []
    return any(texts == [str(i + first) for i in range(len(texts))] for first in (0, 1) if texts)


def _same(raws: dict[str, Raw], name: str) -> bool:
    """Whether a column has one value in all rows of all tables, so that it tells of nobody."""
    columns = [raw.frame[name] for raw in raws.values() if name in raw.frame]
    texts = {category_text(value) for column in columns for value in column.unique()}
    return len(columns) == len(raws) and len(texts) == 1


def schema_beside(path: Path, train: pd.DataFrame) -> Path | None:
    """The ``schema.json`` beside train, if it has its columns.
    Chapter fidelity, "Tables of known quality".
    """
    beside = path.parent / "schema.json"
    try:
        fits = beside.is_file() and set(Schema.load(beside).names) == set(train.columns)
    except InputError:  # another program's
        fits = False
    return beside if fits else None


def _kind(thing: object) -> str:
    return "None" if thing is None else f"of the type {type(thing).__name__}"


def _read(table: pd.DataFrame | Raw, name: str) -> Raw:
    """A table of some rows and of columns with different names, or InputError."""
    if isinstance(table, pd.DataFrame):
        if table.empty:
            raise InputError(f"{name} has no rows or no columns; check the file.")
        table = read_file(table, name)
    if not isinstance(table, Raw):
        raise InputError(f"{name} is {_kind(table)}; give a DataFrame with one row a patient.")
    if (n := len(table.frame)) < FEWEST_ROWS:
        rows = "1 row" if n == 1 else f"{n} rows"
        raise InputError(f"{name} has {rows}; it needs at least {FEWEST_ROWS}.")
    return table
