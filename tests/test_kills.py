"""Ten kills at random moments; hundreds are in ``benchmarks/kills.csv``."""

import os
import subprocess
import sys

import pandas as pd
import pytest
from conftest import REPOSITORY

RESULTS = REPOSITORY / "benchmarks" / "kills.csv"


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="needs Linux's /proc")
def test_ten_kills_end_with_the_same_files(tmp_path):
    command = [
        sys.executable, str(RESULTS.with_suffix(".py")), "--kills", "10", "--seed", "0",
        "--jobs", "run", "generate", "release", "--out", str(tmp_path / "kills.csv"),
    ]  # fmt: skip
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    rows = pd.read_csv(tmp_path / "kills.csv")
    assert len(rows) == 10 and rows["wrong"].isna().all()
    assert {"run", "generate", "release"} <= set(rows["job"])


def test_the_benchmark_killed_every_job_in_every_stage():
    rows = pd.read_csv(RESULTS)
    assert rows["wrong"].dropna().str.startswith("mended since: ").all()
    assert len(rows) >= 300 and rows["wrong"].notna().mean() < 0.05
    stages = rows.assign(stage=rows["stage"].str.split(", ")).explode("stage")
    assert {"data", "training", "generation", "evaluation"} <= set(
        stages.loc[stages["job"] == "run", "stage"]
    )
    assert {"checks", "packing"} <= set(stages.loc[stages["job"] == "release", "stage"])
    assert {"model", "part 0", "part 5"} <= set(stages.loc[stages["job"] == "generate", "stage"])
    assert {"SIGKILL", "SIGTERM", "SIGINT"} == set(rows["signal"])
    within = stages[stages["stage"].str.fullmatch(r"generation|part \d+")]
    aimed = within.loc[within["job"].isin(["large", "largest", "csv", "parquet", "folder"]), "job"]
    assert len(aimed) >= 60 and aimed.nunique() == 5
