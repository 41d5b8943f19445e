"""Speed and memory of the way from a hospital's files to one row per patient.

    python benchmarks/extraction.py                 10,000, 50,000 and 180,000 patients
    python benchmarks/extraction.py --sizes 10000   other sizes

Simulated hospitals are written once (``ehrsynth simulate``) and kept in ``--cache``. Every method
reads the same csv.gz files in a process of its own, so that its peak memory is its own:

- ehrsynth: the lazy expression on DuckDB, with the checks of every file;
- pandas: the same table in plain pandas, as the tests keep it for reference;
- row by row: one assignment for each diagnosis, as the published notebook goes about it, in our
  words. It is run on small hospitals until it takes too long; the time for the others is fitted
  (a straight line through the logarithms) and marked so.

Results: benchmarks/extraction.csv.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
RESULTS = Path(__file__).with_suffix(".csv")
SIZES = (10_000, 50_000, 180_000)
SMALL = (1_000, 2_000, 4_000, 8_000)  # for the loop
LONGEST = 60  # seconds of the loop after which no larger hospital is tried


def by_ehrsynth(folder: Path) -> pd.DataFrame:
    from ehrsynth.datasets import build_patients
    from ehrsynth.sources import mimic_iv

    return build_patients(mimic_iv.scan(folder))


def by_pandas(folder: Path) -> pd.DataFrame:
    sys.path.insert(0, str(HERE.parent / "tests"))
    import plain_cohort

    from ehrsynth.sources import mimic_iv

    return plain_cohort.build_patients(mimic_iv.load(folder))


def by_row(folder: Path) -> pd.DataFrame:
    """The diagnosis part alone: a table of zeros, and a one for each row of the diagnoses."""
    from ehrsynth import phecode

    diagnoses = pd.read_csv(
        folder / "hosp" / "diagnoses_icd.csv.gz", dtype={"icd_code": str},
        usecols=["subject_id", "icd_code", "icd_version"],
    )  # fmt: skip
    known = phecode.icd_table()
    known = dict(zip(zip(known["icd_version"], known["icd_code"], strict=True),
                     known["phecode"], strict=True))  # fmt: skip
    codes = sorted(set(known.values()))
    table = pd.DataFrame(0, index=diagnoses["subject_id"].unique(), columns=codes)
    for _, row in diagnoses.iterrows():
        code = known.get((row["icd_version"], row["icd_code"]))
        if code is not None:
            table.loc[row["subject_id"], code] = 1
    return table


METHODS = {"ehrsynth": by_ehrsynth, "pandas": by_pandas, "row by row": by_row}


def rows_of(folder: Path) -> int:
    """Rows of the diagnoses."""
    import pyarrow.csv

    return pyarrow.csv.read_csv(folder / "hosp" / "diagnoses_icd.csv.gz").num_rows


def hospital(cache: Path, patients: int) -> Path:
    folder = cache / str(patients)
    if not folder.exists():
        print(f"writing a hospital of {patients:,} patients to {folder}", flush=True)
        part = folder.with_name(folder.name + ".part")
        command = [sys.executable, "-m", "ehrsynth.cli", "simulate", "--patients", str(patients)]
        subprocess.run([*command, "--seed", "0", "--out", str(part)], check=True)
        part.rename(folder)
    return folder


def measure(method: str, folder: Path) -> dict:
    """Seconds, peak memory and the size of the result, from a process of its own."""
    command = [sys.executable, __file__, "--one", method, "--folder", str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def one(method: str, folder: Path) -> None:
    start = time.perf_counter()
    table = METHODS[method](folder)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2  # KiB on Linux
    print(
        json.dumps(
            {
                "seconds": round(seconds, 1),
                "peak_gb": round(peak, 2),
                "result_rows": len(table),
                "result_columns": table.shape[1],
            }
        )  # fmt: skip
    )


def fitted(small: list[dict], rows: int) -> float:
    """Seconds for this many diagnoses, on a straight line through the logarithms."""
    slope, start = np.polyfit(
        np.log([r["diagnoses"] for r in small]), np.log([r["seconds"] for r in small]), 1
    )
    return float(np.exp(start + slope * np.log(rows)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--cache", type=Path, default=Path("work") / "hospitals")
    parser.add_argument("--one", choices=METHODS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(options.one, options.folder)
        return
    results = []

    def note(method: str, patients: int, diagnoses: int, how: str, **figures) -> None:
        figures["rows_per_second"] = round(diagnoses / figures["seconds"])
        row = {"method": method, "patients": patients, "diagnoses": diagnoses, "how": how}
        results.append(row | figures)
        print(results[-1], flush=True)

    for patients in SMALL:
        folder = hospital(options.cache, patients)
        note("row by row", patients, rows_of(folder), "measured", **measure("row by row", folder))
        if results[-1]["seconds"] > LONGEST:
            break
    small = list(results)
    for patients in options.sizes:
        folder = hospital(options.cache, patients)
        rows = rows_of(folder)
        for method in ("ehrsynth", "pandas"):
            note(method, patients, rows, "measured", **measure(method, folder))
        note("row by row", patients, rows, "fitted", seconds=round(fitted(small, rows), 1))
    table = pd.DataFrame(results)
    table["cores"] = len(os.sched_getaffinity(0))
    table.astype({"result_rows": "Int64", "result_columns": "Int64"}).to_csv(RESULTS, index=False)
    print(f"Results are in {RESULTS}.")


if __name__ == "__main__":
    main()
