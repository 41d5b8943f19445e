"""Does the verdict on a run agree with an attack that was written apart from it?

    python benchmarks/independent_attack.py RUN [RUN ...]

Nothing of the package is used: columns are encoded, patients scored and areas computed here, from
the papers. Half of the held-out patients are the attacker's reference, the other half are those he
has to tell from training patients; then the halves change places. Four attackers: by means (Homer
et al. 2008, doi 10.1371/journal.pgen.1000167), by products of columns (the second moments of the
same idea), by both, and by a classifier of synthetic against reference patients (van Breugel et
al. 2023, arXiv 2302.12580, whose ratio of densities it estimates). Writes
``book/independent-attack.csv``, a row a run.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression

RESULTS = Path(__file__).resolve().parents[1] / "book" / "independent-attack.csv"
CARE, BAD = 0.53, 0.58  # as the table of thresholds has them


def encode(tables: list[pd.DataFrame]) -> list[np.ndarray]:
    """Numbers with their missing values marked, a column for each category."""
    whole = pd.concat(tables, ignore_index=True)
    parts = []
    for name in whole:
        values = pd.to_numeric(whole[name], errors="coerce")
        if values.notna().sum() == whole[name].notna().sum():
            parts.append(values.fillna(values.mean()))
            if values.isna().any():
                parts.append(values.isna().astype(float))
        else:
            parts += [part for _, part in pd.get_dummies(whole[name].astype(str)).items()]
    matrix = np.column_stack([np.asarray(part, float) for part in parts])
    return np.split(matrix, np.cumsum([len(table) for table in tables])[:-1])


def attackers(made: np.ndarray, reference: np.ndarray, asked: np.ndarray) -> dict[str, np.ndarray]:
    """A score of each patient who is asked about: more, if he looks as if he was used."""
    center, spread = reference.mean(axis=0), reference.std(axis=0)
    kept = spread > 1e-9
    z_made, z_known, z = (
        (x[:, kept] - center[kept]) / spread[kept] for x in (made, reference, asked)
    )
    products = z_made.T @ z_made / len(z_made) - z_known.T @ z_known / len(z_known)
    np.fill_diagonal(products, 0)
    mixed = np.vstack([z_made, z_known])
    which = np.repeat([1, 0], [len(z_made), len(z_known)])
    judge = LogisticRegression(C=0.01, max_iter=300, class_weight="balanced").fit(mixed, which)
    means, pairs = z @ z_made.mean(axis=0), np.einsum("ij,jk,ik->i", z, products, z)
    return {
        "means": means,
        "products": pairs,
        "both": means + pairs / 2,  # the logarithm of the ratio of densities to second order
        "classifier": judge.decision_function(z),
    }


def area(case: np.ndarray, control: np.ndarray) -> tuple[float, float]:
    """AUROC and its standard error (Hanley and McNeil 1982)."""
    ranks = rankdata(np.concatenate([case, control]))
    n, m = len(case), len(control)
    value = (ranks[:n].sum() - n * (n + 1) / 2) / (n * m)
    q1, q2 = value / (2 - value), 2 * value**2 / (1 + value)
    spread = value * (1 - value) + (n - 1) * (q1 - value**2) + (m - 1) * (q2 - value**2)
    return float(value), float(np.sqrt(spread / (n * m)))


def attack(train: np.ndarray, holdout: np.ndarray, made: np.ndarray, seed: int = 0) -> dict:
    """By attacker, the mean AUROC of the two halves and its standard error."""
    order = np.random.default_rng(seed).permutation(len(holdout))
    found: dict[str, list] = {}
    for known, asked in (np.array_split(order, 2), np.array_split(order, 2)[::-1]):
        scores = attackers(made, holdout[known], np.vstack([train, holdout[asked]]))
        for name, score in scores.items():
            found.setdefault(name, []).append(area(score[: len(train)], score[len(train) :]))
    # The two halves share the training patients, who are many; each held-out patient is asked once.
    return {name: (np.mean([v for v, _ in two]), np.mean([s for _, s in two]) / np.sqrt(2))
            for name, two in found.items()}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    rows = []
    for run in parser.parse_args().runs:
        inside = run / "inside" / "synthetic.parquet"
        made = pd.read_parquet(inside if inside.is_file() else run / "synthetic.parquet")
        real = [
            pd.read_parquet(run / f"{role}.parquet")[made.columns] for role in ("train", "holdout")
        ]
        found = attack(*encode([*real, made]))
        name, (value, error) = max(found.items(), key=lambda item: item[1][0])
        low = value - 2.5 * error  # 95 % for the largest of four
        expected = "good" if value < CARE or low <= 0.5 else "care" if value < BAD else "bad"
        noted = json.loads((run / "run.json").read_text())["settings"]
        verdict = json.loads((run / "metrics.json").read_text())["verdicts"]["privacy"]["level"]
        rows.append({
            "data": noted["dataset"], "way": noted["privacy"], "seed": noted["seed"],
            "train": len(real[0]), "holdout": len(real[1]), "columns": made.shape[1],
            **{key: round(float(v), 3) for key, (v, _) in found.items()},
            "strongest": name, "from": round(float(low), 3), "by it": expected, "verdict": verdict,
        })  # fmt: skip
        print(rows[-1], flush=True)
    before = [pd.read_csv(RESULTS)] if RESULTS.is_file() else []
    table = pd.concat([*before, pd.DataFrame(rows)])
    own = table.drop_duplicates(["data", "way", "seed", "train"], keep="last")
    own.to_csv(RESULTS, index=False)


if __name__ == "__main__":
    main()
