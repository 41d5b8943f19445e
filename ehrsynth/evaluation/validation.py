"""Are the metrics themselves right? What they say of synthetic data of known faults.

``tools/validation.py`` makes such data, lets every metric judge it, and says who must notice what.
"""

from pathlib import Path

import pandas as pd

from ..files import read_table

FRESH = "fresh sample"
RESULTS = "validation.csv"


def results() -> pd.DataFrame:
    """The book's table, of the simulated hospital: one row a defect and metric.

    ``believed``: it is the form that can be; ``expected``: it must notice.
    Chapter choosing-and-releasing, "Are the judges themselves reliable?".
    """
    return read_table(Path(__file__).with_name(RESULTS))
