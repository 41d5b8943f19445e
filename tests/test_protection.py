"""Messages name only what enough patients have."""

import numpy as np
import pandas as pd
import pytest

from ehrsynth.cohort import _drugs
from ehrsynth.phecode import Coded, indicators
from ehrsynth.protection import often


def test_what_few_patients_have_is_not_named():
    names = pd.Series(["few", "rows of one", "many ", "some"])
    number = np.array([0] * 4 + [1] * 9 + [2] * 7 + [3] * 5)
    row = np.array([*range(4), *[0] * 9, *range(7), *range(5)])
    assert often(names, row, number) == ", most often many, some"
    assert often(names[:2], row, number) == ""


@pytest.mark.parametrize(("patients", "named"), [(4, False), (5, True)])
def test_logs_of_codes_and_drugs_without_a_meaning(caplog, patients, named):
    caplog.set_level("INFO", "ehrsynth")
    row, number = np.arange(patients), np.zeros(patients, dtype=int)
    codes = pd.DataFrame({"icd_code": ["Y99999"], "icd_version": [10], "rows": [patients]})
    indicators(Coded(row, number, codes, 9), "phecode")
    drugs = pd.DataFrame({"drug": ["Wonderdrug Quist"], "rows": [patients]})
    _drugs("medications", Coded(row, number, drugs, 9))
    assert ("Y99999" in caplog.text) == ("Wonderdrug" in caplog.text) == named
    assert ("fewer than 5 of fewer than 5" in caplog.text) != named
