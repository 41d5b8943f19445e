"""MST (McKenna, Miklau and Sheldon 2021) of the package `dpmm`, in an environment of its own.

    python -m venv mst && mst/bin/pip install dpmm
    mst/bin/python benchmarks/dpmm_mst.py IN.csv WIDTHS.json OUT.csv EPSILON DELTA ROWS SEED STEPS

It wants NumPy 1, so that `benchmarks/guarantee.py --dpmm mst/bin/python` calls this file with the
Python of that environment. A table of whole numbers goes in, with the number of values that each
column may have, which is public; patients come out.
"""

import json
import sys

import numpy as np
import pandas as pd


def main(codes: str, widths: str, out: str, epsilon: str, delta: str, *rest: str) -> None:
    from dpmm.models.mst import MSTGM

    rows, seed, steps = map(int, rest)
    with open(widths, encoding="utf-8") as file:
        domain = json.load(file)
    model = MSTGM(epsilon=float(epsilon), delta=float(delta), domain=domain, n_jobs=1,
                  random_state=np.random.RandomState(seed), n_iters=steps)  # fmt: skip
    model.fit(pd.read_csv(codes))
    model.generate(n_records=rows).to_csv(out, index=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
