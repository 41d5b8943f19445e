"""Fixtures that every test module may use."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import settings

from ehrsynth.schema import Schema
from ehrsynth.sources.flat.applying import fit_into
from ehrsynth.sources.flat.table import learn, open_sheet

# The same examples every time: what fails here fails for everybody, and what passes stays passed.
settings.register_profile("same", derandomize=True)
settings.load_profile("same")

REPOSITORY = Path(__file__).resolve().parents[1]

# They take minutes: whoever began with one of them last would leave the other processors idle.
LONG_MODULES = ("test_validation", "test_browser", "test_report", "test_simulated", "test_gan")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long modules first, the others as they stand."""
    places = {name: place for place, name in enumerate(LONG_MODULES)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


def find_shared_data() -> Path | None:
    """Folder with the public files that tests use, or None."""
    candidates = [os.environ.get("EHRSYNTH_SHARED_DATA"), REPOSITORY.parent / "shared" / "data"]
    for candidate in candidates:
        if candidate and (Path(candidate) / "mimic-iv-demo-2.2").is_dir():
            return Path(candidate).resolve()
    return None


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the public data sets; the test is skipped where there is none."""
    folder = find_shared_data()
    if folder is None:
        pytest.skip(
            "public test data not found: set EHRSYNTH_SHARED_DATA to a folder that holds "
            "mimic-iv-demo-2.2/ and diabetes130/"
        )
    return folder


@pytest.fixture(scope="module")
def ask():
    """Runs a command of ehrsynth in a process of its own (``forked.py``)."""
    script = Path(__file__).with_name("forked.py")
    environment = os.environ | {"EHRSYNTH_DATA_URL": "", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True, env=environment) as server:  # fmt: skip

        def run(*arguments):
            server.stdin.write(json.dumps([str(a) for a in arguments]) + "\n")
            server.stdin.flush()
            return json.loads(server.stdout.readline())

        yield run
        server.stdin.close()


def described(table: pd.DataFrame, outcome: str | None = None) -> pd.DataFrame:
    """A table that nobody has described, as the reader takes it, with its schema."""
    sheet = open_sheet(table, outcome)
    known = learn(sheet)
    return known.schema.cast(fit_into(known.schema, sheet.frame, known.readings)[0])


def schema_of(table: pd.DataFrame, outcome: str | None = None) -> Schema:
    """What the reader takes the columns for."""
    return learn(open_sheet(table, outcome)).schema
