"""Is the simulated hospital's truth what its patients show? Drawn in numbers, against truth.json.

    python benchmarks/drawn_truth.py --patients 200000

Patients are drawn 20,000 at a time, each time with a seed of their own. Writes
``benchmarks/drawn_truth.csv``: the spread of the standardized errors of prevalences and log odds
ratios (1 is what chance makes), the largest, and the outcome's share. The truth's log odds ratios,
averaged over 20,000 people, have an error of their own of about 0.035 (from two such averages),
more than is allowed for here: with 200,000 drawn it shows.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from ehrsynth.files import write_table
from ehrsynth.hospital import truth
from ehrsynth.schema import DIE_1Y

RESULTS = Path(__file__).with_suffix(".csv")
_AT_A_TIME, _LEAST = 20_000, 20  # patients; of them in each cell of an odds ratio
_REFERENCE = 150_000  # people over whom the intercepts are solved, in tools/make_hospital.py
_OWN = 0.015  # allowed for as the truth's own error of a log odds ratio, as in the tests


def tables(patients: int, first_seed: int = 100) -> pd.DataFrame:
    """By code: how many have it, have it and died, and (row "") all patients and all deaths."""
    codes, total = truth.codes().index, 0
    for number, start in enumerate(range(0, patients, _AT_A_TIME)):
        drawn = truth.oracle_sample(min(_AT_A_TIME, patients - start), first_seed + number)
        has = drawn.reindex(columns=[f"phe_{code}" for code in codes], fill_value=0).to_numpy(float)
        died = drawn[DIE_1Y].to_numpy(float)
        found = np.column_stack([np.append(has.sum(axis=0), len(has)),
                                 np.append(died @ has, died.sum())])  # fmt: skip
        total = total + found
    return pd.DataFrame(total, [*codes, ""], columns=["have", "died"])


def errors(counts: pd.DataFrame, least_share: float = 0.0) -> dict[str, np.ndarray]:
    """Standardized errors of all codes with enough patients: of prevalence and log odds ratio."""
    n, died = counts.loc[""]
    codes, own = truth.codes(), counts.drop(index="")
    p, have = codes["prevalence"].to_numpy(), own["have"].to_numpy()
    often = (p * n > _LEAST) & (p > least_share)
    spread = np.sqrt(p * (1 - p) * (1 / n + 1 / _REFERENCE))
    a, b = own["died"].to_numpy(), have - own["died"].to_numpy()
    c, d = died - a, n - died - b
    enough = np.minimum.reduce([a, b, c, d]) > _LEAST
    cells = np.array([a, b, c, d])[:, enough & often]
    log_odds = np.log(cells[0] * cells[3] / (cells[1] * cells[2]))
    apart = log_odds - codes["log_odds_ratio"].to_numpy()[enough & often]
    return {
        "prevalence": ((have / n - p) / spread)[often],
        "log odds ratio": apart / np.sqrt((1 / cells).sum(axis=0) + _OWN**2),
    }


def summary(counts: pd.DataFrame) -> pd.DataFrame:
    """What is written."""
    n, died = counts.loc[""]
    p = truth.as_dict()["outcome"]["prevalence"]
    z = errors(counts) | {"outcome": np.array([(died / n - p) / np.sqrt(p * (1 - p) / n)])}
    rows = [(name, int(n), len(e), np.sqrt(np.mean(e**2)), np.abs(e).max())
            for name, e in z.items()]  # fmt: skip
    columns = ["of", "patients", "codes", "root mean square of z", "largest"]
    return pd.DataFrame(rows, columns=columns).round(3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=200_000)
    found = summary(tables(parser.parse_args().patients))
    write_table(found, RESULTS)
    print(found.to_string(index=False))


if __name__ == "__main__":
    main()
