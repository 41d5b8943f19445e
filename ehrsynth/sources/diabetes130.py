"""Diabetes 130-US hospitals for years 1999-2008: a real, open and large data set.

Strack et al. 2014, doi 10.1155/2014/781670; UCI 296, doi 10.24432/C5230J, CC BY 4.0. Its traps:
``?`` means missing, the word None means "not measured" (pandas reads it as missing unless told
otherwise), and ICD-9 codes have lost their leading zeros (38 is 038, septicemia).
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from ..errors import InputError
from ..files import read_table
from ..phecode import code_table
from ..schema import MISSING, Column, Schema
from .quality import check_columns, check_values

log = logging.getLogger(__name__)

FILE = "diabetic_data.csv"
LABELS_FILE = "IDS_mapping.csv"
OUTCOME = "readmitted_30d"
_ABSENT = "?"

# The columns that are read: the name, role and label of those that become one of the patient table,
# and what values they have, "written=meant"; of a count the least; the first of a flag is yes.
_TABLE = pd.read_csv(Path(__file__).with_name("diabetes130.csv"), keep_default_na=False)
_DIAGNOSES, _CODED = ([*_TABLE.loc[_TABLE["kind"] == kind, "file"]]
                      for kind in ("code", "number of a label"))  # fmt: skip
_NO_LABEL = {"NULL", "Not Available", "Not Mapped", "Unknown/Invalid"}
_OTHER, _LEAST_SHARE = "Other", 1e-3  # what fewer patients than this share have
_NO_SEX = "Unknown/Invalid"
_DEAD_OR_HOSPICE = (11, 13, 14, 19, 20, 21)  # discharge_disposition_id


def load(data: str | Path) -> dict[str, pd.DataFrame]:
    """``encounters``, text as it is written and int64, and ``labels(column, number, label)``.

    `data` is the folder with ``diabetic_data.csv`` (and ``IDS_mapping.csv``), or that file itself.
    """
    path = Path(data)
    if path.is_dir():
        path = path / FILE
    if not path.is_file():
        raise InputError(f"{path} is missing; fetch it with 'ehrsynth fetch diabetes130'.")
    names = list(_TABLE["file"])
    check_columns(read_table(path, nrows=0), names, path)
    table = read_table(path, usecols=names, dtype=str, na_filter=False)[names]
    if table.empty:
        raise InputError(f"{path} has no rows.")
    for name, kind, said in _TABLE[["file", "kind", "values"]].itertuples(index=False):
        values = table[name]
        if choices := _choices(said):
            check_values(values, ~values.isin(choices), path, f"one of {', '.join(choices)}")
        elif kind in ("number", "number of a label", "count"):
            numbers, least = pd.to_numeric(values, errors="coerce"), int(said or 0)
            check_values(values, ~(numbers % 1 == 0), path, "a whole number")
            check_values(values, numbers < least, path, f"{least} or more")
            table[name] = numbers.astype("int64")
    twice = table["encounter_id"].duplicated()
    check_values(table["encounter_id"], twice, path, "there once")
    return {"encounters": table, "labels": _labels(path.with_name(LABELS_FILE))}


def _choices(said: str) -> dict[str, str]:
    """What each value means, by how it is written."""
    pairs = (choice.partition("=") for choice in said.split("|") if "|" in said)
    return {written: meant or written for written, _, meant in pairs}


def to_patients(
    tables: dict[str, pd.DataFrame], outcome: str | None = None, code_level: str = "phecode"
) -> pd.DataFrame:
    """The patient table: the first encounter of everyone who left alive and not to hospice.

    The age stays the ten-year band of the file, as an ordered category: a number would claim to
    know more. Medications are four doses (No, Down, Steady, Up), or 0/1 where only No and Steady
    occur; columns with one value are dropped and reported.
    """
    if outcome not in (None, OUTCOME):
        raise InputError(f"Unknown outcome {outcome!r}; diabetes130 has {OUTCOME}.")
    encounters = _first_encounters(tables["encounters"])
    known, constant = [], []
    for column, values in _columns(encounters, tables["labels"]):
        if column.role != "outcome" and values.nunique() < 2:
            constant.append(column.name)
        else:
            known.append((column, values.astype("uint8") if column.kind == "binary" else values))
    if constant:
        log.info("Dropped because they have one value only: %s.", ", ".join(constant))
    table = pd.DataFrame({column.name: values for column, values in known})
    codes, code_columns = code_table(diagnoses(encounters), table.index, code_level)
    schema = Schema((*(column for column, _ in known), *code_columns))
    return schema.attach(pd.concat([table, codes], axis=1))


def _columns(encounters: pd.DataFrame, labels: pd.DataFrame) -> Iterator[tuple[Column, pd.Series]]:
    """Each column of the patient table but the codes, with its values."""
    named = _TABLE[_TABLE["name"] != ""]
    for file, name, kind, role, label, said in named.itertuples(index=False):
        values, choices = encounters[file], _choices(said)
        if kind == "count":
            column = Column(name, "continuous", role, label, lower=int(said), decimals=0)
            yield column, values.astype("float64")
        elif kind == "flag" or (kind == "dose" and set(values.unique()) <= {"No", "Steady"}):
            yes = next(iter(choices)) if kind == "flag" else "Steady"
            yield Column(name, "binary", role, label), values == yes
        else:
            if file in _CODED:
                of_file = labels[labels["column"] == file].set_index("number")["label"]
                values = values.map(lambda number, of=of_file: of.get(number, str(number)))
                values = values.where(~values.isin(_NO_LABEL), MISSING)
            values = values.map(choices) if choices else values
            yield _category(name, label, role, values, tuple(choices.values()))


def diagnoses(encounters: pd.DataFrame) -> pd.DataFrame:
    """The three diagnoses of each encounter (the index), with their leading zeros back."""
    table = encounters.melt(value_vars=_DIAGNOSES, value_name="icd_code", ignore_index=False)
    table = table.rename_axis("subject_id").reset_index().drop(columns="variable")
    table = table[~table["icd_code"].isin([_ABSENT, ""])].reset_index(drop=True)
    parts = table["icd_code"].str.strip().str.partition(".")
    # V and E codes were never numbers, so they kept their zeros.
    whole = parts[0].where(~parts[0].str.isdigit(), parts[0].str.zfill(3))
    return table.assign(icd_code=whole + parts[2], icd_version=9)


def _first_encounters(encounters: pd.DataFrame) -> pd.DataFrame:
    first = encounters.sort_values("encounter_id").drop_duplicates("patient_nbr")
    known = first["gender"] != _NO_SEX
    dead = first["discharge_disposition_id"].isin(_DEAD_OR_HOSPICE)
    log.info(
        "%s encounters of %s patients: left out %s who died or went to hospice and %s whose sex "
        "is unknown.",
        f"{len(encounters):,}", f"{len(first):,}", f"{dead.sum():,}", (~known & ~dead).sum(),
    )  # fmt: skip
    if not (known & ~dead).any():
        raise InputError(
            f"No patient is left in the cohort: of {len(first)} patients {dead.sum()} died or "
            f"went to hospice and {(~known).sum()} have no known sex."
        )
    return first[known & ~dead].reset_index(drop=True)


def _category(
    name: str, label: str, role: str, values: pd.Series, categories: tuple[str, ...] = ()
) -> tuple[Column, pd.Series]:
    """A categorical column; ``?`` and nothing are the category "(missing)"."""
    values = values.where(values.notna() & (values != _ABSENT), MISSING)
    if not categories:  # nobody listed them, so there are very rare ones
        rare = values.map(values.value_counts()) < _LEAST_SHARE * len(values)
        values = values.mask(rare & (values != MISSING), _OTHER)
    present = set(values.unique())
    ordered = [c for c in categories if c in present] or sorted(present - {MISSING})
    if MISSING in present:
        ordered.append(MISSING)
    column = Column(name, "categorical", role, label, categories=tuple(ordered))
    return column, pd.Series(pd.Categorical(values, categories=ordered), index=values.index)


def _labels(path: Path) -> pd.DataFrame:
    """IDS_mapping.csv: three small tables below each other, with an empty row in between."""
    if not path.is_file():
        return pd.DataFrame(columns=["column", "number", "label"])
    table = pd.read_csv(path, header=None, names=["number", "label"], dtype=str,
                        keep_default_na=False)  # fmt: skip
    column = table["number"].where(table["number"].isin(_CODED)).ffill()
    table.insert(0, "column", column)
    table = table[column.notna() & table["number"].str.strip().str.isdigit()]
    label = table["label"].str.replace(r"\s+", " ", regex=True).str.strip()
    return table.astype({"number": int}).assign(label=label).reset_index(drop=True)
