"""What does each choice buy, and what does it cost? Fidelity, leakage and time of every setting.

    python benchmarks/price_list.py --data second --steps 1500 --seeds 0
    python benchmarks/price_list.py --data simulated second diabetes130 --seeds 0 1
    python benchmarks/price_list.py --data simulated second --train 16000 --seeds 0

A seed is a sample: of the patients who are drawn from a source, of the training and of the release.
A network is trained once for each number of steps; the calibrations and draws of the list are then
made from the same weights. Everything is compared with patients that nobody trained on: as many
as in train for the two-sample test, 16,000 for the pairs of codes and as what the attacker knows.
Two attacks: by moments, and by a sequential density ratio; the first also by an attacker who knows
fewer patients, as many as half a holdout or 5,000. What is in ``benchmarks/price_list.csv``
is not measured again, so a run may be stopped.

``--page`` only draws the picture and writes the table of the book's page.
"""

import argparse
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import second_hospital
import torch
import tuning
from measuring import FRESH
from peers import PEERS

import ehrsynth
from ehrsynth import plots
from ehrsynth.evaluation import PROFILES as EFFORTS
from ehrsynth.evaluation.learners import fit_classifier, predict
from ehrsynth.evaluation.privacy import density_ratio
from ehrsynth.evaluation.setting import Encoder
from ehrsynth.files import write_table
from ehrsynth.gan.pairs_only import PairsOnly
from ehrsynth.gan.recipe import MODERN, strict
from ehrsynth.model import EMRWGAN
from ehrsynth.preprocessing.encode import Preprocessor
from ehrsynth.profiles import PROFILES
from ehrsynth.schema import Schema
from ehrsynth.statistics import auroc, two_sample_test

RESULTS = Path(__file__).with_suffix(".csv")
BOOK = Path(__file__).resolve().parents[1] / "book"
KEY = ["data", "train", "setting", "steps", "seed"]
HALF, MORE = "moments, half the holdout", "moments, 5,000 more"  # what the attacker knows instead
REFERENCE = 16_000  # patients that the attacker knows, and strangers that he may accuse

BARE = {"calibration": "none", "pairs": False, "code_counts": False, "code_pairs": 0.0}
WITHOUT = BARE | {"code_counts": True}
SETTINGS: dict[str, dict] = {  # what happens after training
    "not calibrated": BARE,
    "numbers of codes": WITHOUT,
    "+ prevalences": WITHOUT | {"calibration": "global"},
    "+ prevalences in each cell": WITHOUT | {"calibration": "within"},
    "+ pairs with categories and numbers": {"code_pairs": 0.0},
    "+ pairs of codes, trust 0.03": {"code_pairs": 0.03},
    "+ pairs of codes, trust 0.3": {"code_pairs": 0.3},
    "+ pairs of codes, trust 1": {"code_pairs": 1.0},
    "trust 0.03, independent draws": {"code_pairs": 0.03, "draws": "independent"},
    "trust 0.03 in pairs of all kinds": {"pairs": 0.03, "code_pairs": 0.03},
}
STRICT = "strict: an eighth of the steps, pairs that stand out"
ITSELF, PAIRS = "train itself", "margins and pairs, no network"
SOURCES = tuning.SOURCES | {"second, 500 codes": partial(second_hospital.patients, codes=500)}


def changes(setting: str) -> dict:
    """What a setting of the list changes in the modern recipe, the steps aside."""
    if setting != STRICT:
        return SETTINGS[setting]
    names = ("pairs", "code_pairs", "stands_out")
    return {name: getattr(strict(MODERN, 1), name) for name in names}


class Place:
    """Train, strangers, the attacker's patients and new ones of one source, encoded."""

    def __init__(self, data: str, train: int, seed: int = 0):
        sizes = np.cumsum([train, REFERENCE, REFERENCE, train])
        patients = SOURCES[data](int(sizes[-1]), seed)
        parts = [patients.iloc[rows] for rows in np.split(np.arange(len(patients)), sizes[:-1])]
        small = train <= tuning.SMALL
        least = PROFILES["fast"].min_prevalence if small else 1e-3
        self.prep = Preprocessor.for_recipe("modern", min_prevalence=least).fit(parts[0])
        self.schema: Schema = self.prep.schema_
        self.encoded = self.prep.transform(parts[0])
        tables = [self.clean(part) for part in parts]
        self.table = tables[0]
        self.encoder = Encoder.fit(self.schema, self.table, tables)
        self.train, self.others, self.known, self.fresh = map(self.encoder.transform, tables)
        half = round(train * 3 / 14)  # of a holdout; five of them, since one alone is mostly chance
        self.halves = [self.known[k * half : (k + 1) * half] for k in range(5)]
        codes = self.encoder.columns(*self.schema.of_role("diagnosis"))
        self.codes = codes if len(codes) > 2 else np.arange(self.train.shape[1])
        self.died = [self.outcome(table) for table in (tables[1], self.table, tables[3])]
        self.recipe = PROFILES["fast"].adapt(MODERN) if small else MODERN

    def clean(self, table: pd.DataFrame) -> pd.DataFrame:
        return self.schema.attach(self.prep.clip(table[self.schema.names]).reset_index(drop=True))

    def outcome(self, table: pd.DataFrame) -> np.ndarray:
        return table[self.schema.outcome].to_numpy(int)

    def without_network(self, name: str, seed: int) -> pd.DataFrame:
        if name == PAIRS:
            return PairsOnly().fit(self.table).sample(len(self.table), seed)
        made = PEERS[name](self.encoded, seed)
        return self.clean(ehrsynth.postprocess(made, self.prep, seed=seed))

    def scores(self, rows: np.ndarray, died: np.ndarray, seed: int) -> dict[str, float]:
        own = self.encoder.columns(self.schema.outcome)
        left = np.setdiff1d(np.arange(rows.shape[1]), own)
        model = fit_classifier(rows[:, left], died, EFFORTS["fast"], seed)
        risk = predict(model, self.others[:, left])
        numbers = [x[:, self.codes].sum(axis=1).astype(int) for x in (rows, self.known)]
        shares = [np.bincount(n, minlength=rows.shape[1] + 1) / len(n) for n in numbers]
        n = min(len(rows), 6_000)
        told = two_sample_test(self.others[:n], rows, np.random.default_rng(seed))
        accused = [density_ratio.score(x, self.known, rows) for x in (self.train, self.others)]
        return {
            "C2ST": told.value,
            "correlation": tuning.code_correlation(rows[:, self.codes], self.known[:, self.codes]),
            "abundance": abs(shares[0] - shares[1]).sum() / 2,
            "TSTR": auroc(risk[self.died[0] == 1], risk[self.died[0] == 0]).value,
            "moments": self.found(rows, self.known),
            "sequential": auroc(*accused).value,
            HALF: float(np.mean([self.found(rows, part) for part in self.halves])),
            MORE: self.found(rows, self.known[:5_000]),
        }

    def found(self, rows: np.ndarray, known: np.ndarray) -> float:
        """The attack by moments of who knows these patients of the source."""
        return tuning.moments(self.train, self.others, rows, known)


class Trained:
    """Weights after so many steps, and patients of any calibration of them."""

    def __init__(self, place: Place, steps: int, seed: int):
        self.place, self.seed, start = place, seed, time.process_time()
        self.gan = EMRWGAN(replace(place.recipe, steps=steps), seed, device="cpu")
        self.gan._finish = lambda *state: vars(self).update(state=state)  # type: ignore[method-assign]
        self.gan.fit(place.encoded)
        del self.gan._finish
        self.seconds = time.process_time() - start

    def make(self, setting: dict) -> pd.DataFrame:
        game, gan = self.state[0], self.gan  # type: ignore[attr-defined]
        game.recipe = gan.recipe_ = replace(self.place.recipe, **setting)
        gan._finish(*self.state)  # type: ignore[attr-defined]
        made = gan.sample(len(self.place.train), seed=self.seed)
        return self.place.clean(ehrsynth.postprocess(made, self.place.prep, seed=self.seed))


def page_table(results: pd.DataFrame) -> pd.DataFrame:
    """For each setting, the data sets in turn: means over the samples, and their number."""
    small = results[results["train"] <= tuning.SMALL]
    over = small.groupby(["setting", "steps", "data"])[["seconds", *MEASURES]]
    middle, number, error = over.mean(), over.size(), over.sem()
    rows = []
    for setting, steps in dict.fromkeys(small[["setting", "steps"]].itertuples(index=False)):
        own, strongest = middle.loc[setting, steps], error.loc[setting, steps, :][list(ATTACKS)]
        # A plus or a minus would begin a list in the page.
        row = {"setting": setting.replace("+ ", "and "), "steps": f"{steps:,}" if steps else ""}
        row["samples"] = in_turn(number.loc[setting, steps].astype(float), "{:.0f}")
        row["seconds"] = in_turn(own["seconds"], "{:.0f}")
        row |= {name: in_turn(own[name], "{:.3f}") for name in MEASURES}
        row["standard error"] = in_turn(strongest.max(axis=1), "{:.3f}")
        rows.append(row)
    return pd.DataFrame(rows)


def in_turn(values: pd.Series, form: str) -> str:
    """A number for each data set, the same text once if all have it."""
    texts = [form.format(values.get(data, np.nan)) for data in ORDER]
    texts = ["–" if text == "nan" else text.removeprefix("0") or "0" for text in texts]
    return texts[0] if len(set(texts)) == 1 else "\N{NO-BREAK SPACE}/ ".join(texts)


def strict_table(results: pd.DataFrame) -> pd.DataFrame:
    """Default, strict, and what strict changes for the same patients: mean ± standard error."""
    rows = []
    for data in ORDER:
        usual, strictly = (samples(results, data, *row) for row in (DEFAULT, STRICTLY))
        parts = {"default": usual, "strict": strictly, "difference": apart(strictly, usual)}
        for name, part in parts.items():
            sign = "+" if name == "difference" else ""
            form = f"{{:{sign}.3f}} ± {{:.3f}}"
            row = {"data": data, "what": name, "samples": len(part)}
            rows.append(
                row | {key: form.format(part[key].mean(), part[key].sem()) for key in SHOWN}
            )
    return pd.DataFrame(rows)


def samples(results: pd.DataFrame, data: str, setting: str, steps: int) -> pd.DataFrame:
    """What was measured of a setting with few patients, by the seed of patients and training."""
    keys = {"data": data, "train": tuning.SMALL, "setting": setting, "steps": steps}
    own = results[(results[list(keys)] == pd.Series(keys)).all(axis=1)]
    return own.set_index("seed")[[*MEASURES, HALF, MORE]]


def apart(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """What the first has more than the second on the same patients; "found" by its stronger attack.

    The stronger attack is the one that finds more on average, so that chance is not chosen.
    """
    one, other = (x.assign(found=x[x[list(ATTACKS)].mean().idxmax()]) for x in (one, other))
    shared = one.index.intersection(other.index)
    return one.loc[shared] - other.loc[shared]


def beats(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Is the first better in fidelity and in its stronger attack, by two standard errors?

    Of a few samples the standard error can be small by chance; it counts as usual at least.
    """
    both = apart(one, other)[["C2ST", "found"]]
    error = np.maximum(both.sem().fillna(0), NOISE / np.sqrt(len(both)))
    return bool((both.mean() < -2 * error).all())


def beaten(results: pd.DataFrame, setting: str, steps: int) -> list[tuple]:
    """What beats a setting, by data set; new patients and train are no settings."""
    listed = results.loc[results["train"] == tuning.SMALL, ["data", "setting", "steps"]]
    return [
        (data, *other)
        for data, *other in listed.drop_duplicates().itertuples(index=False)
        if other[0] not in (FRESH, ITSELF)
        and beats(samples(results, data, *other), samples(results, data, setting, steps))
    ]


NOISE = pd.Series({"C2ST": 0.01, "found": 0.005})  # usual spread of two settings' difference
ATTACKS = ("moments", "sequential")
MOMENTS = (HALF, MORE, "moments")  # of attackers who know more and more patients
SHOWN = ("C2ST", "TSTR", *MOMENTS, "sequential")
MEASURES = ("C2ST", "correlation", "abundance", "TSTR", "moments", "sequential")
ORDER = list(tuning.SOURCES)


def picture(results: pd.DataFrame, path: Path) -> None:
    """Fidelity against leakage, a panel for each data set; the size of a dot is time."""
    small = results[results["train"] <= tuning.SMALL]
    names = [name for name in ORDER if name in set(small["data"])]
    figure, axes = plt.subplots(1, len(names), figsize=(3.3 * len(names), 3.6), squeeze=False)
    for ax, name in zip(axes[0], names, strict=True):
        own = small[(small["data"] == name) & (small["setting"] != ITSELF)]
        dots = own.groupby(["setting", "steps"], sort=False)[["seconds", *MEASURES]].mean()
        dots = dots.assign(found=dots[list(ATTACKS)].max(axis=1))
        for (setting, steps), row in dots.iterrows():
            color = plots.COLORS["synthetic"] if steps else plots.COLORS["neutral"]
            chosen = steps == PROFILES["fast"].steps and SETTINGS.get(setting) == OURS
            ax.scatter(
                row["found"], row["C2ST"], s=20 + 2 * row["seconds"], alpha=0.7, linewidth=1.5,
                color=plots.COLORS["holdout"] if setting == FRESH else color,
                edgecolor=plots.INK if chosen else "none",
            )  # fmt: skip
            if not steps or setting == STRICT:
                words = SHORT.get(setting, setting)
                ax.annotate(words, (row["found"], row["C2ST"]), (4, 4), fontsize=7,
                            textcoords="offset points")  # fmt: skip
        ax.set(title=name, xlabel="train found out (stronger attack)")
        ax.margins(x=0.22)
    axes[0][0].set_ylabel("told from real ones (C2ST)")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def measure_all(options: argparse.Namespace) -> pd.DataFrame:
    done = pd.read_csv(RESULTS) if RESULTS.exists() else pd.DataFrame(columns=KEY)
    known = set(done[KEY].itertuples(index=False, name=None))
    steps_of = {steps: list(SETTINGS) if steps == max(options.steps) else FEW
                for steps in options.steps}  # fmt: skip
    shortened = strict(MODERN, PROFILES["fast"].steps or 0)
    steps_of[shortened.total_steps(options.train)] = [STRICT]
    jobs = [(name, 0) for name in (FRESH, ITSELF, PAIRS, *PEERS)]
    jobs += [(name, steps) for steps, names in steps_of.items() for name in names]
    wanted = set(options.only or [name for name, _ in jobs])
    jobs = [(name, steps) for name, steps in jobs if name in wanted]
    for seed in options.seeds:
        for data in options.data:
            place: Place | None = None
            trained: dict[int, Trained] = {}
            for setting, steps in jobs:
                if (data, options.train, setting, steps, seed) in known:
                    continue
                place = place or Place(data, options.train, seed)
                if steps and steps not in trained:
                    trained = {steps: Trained(place, steps, seed)}
                start = time.process_time()
                if setting == FRESH:
                    rows, died = place.fresh, place.died[2]
                elif setting == ITSELF:
                    rows, died = place.train, place.died[1]
                else:
                    made = (
                        trained[steps].make(changes(setting)) if steps
                        else place.without_network(setting, seed)
                    )  # fmt: skip
                    rows, died = place.encoder.transform(made), place.outcome(made)
                after = time.process_time() - start
                row = dict(zip(KEY, (data, options.train, setting, steps, seed), strict=True))
                row |= {"columns": len(place.schema.names), "calibration": after}
                row |= {"seconds": after + (trained[steps].seconds if steps else 0.0)}
                row |= place.scores(rows, died, seed)
                print({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()},
                      flush=True)  # fmt: skip
                done = pd.concat([done, pd.DataFrame([row]).round(4)], ignore_index=True)
                write_table(done, RESULTS)
    return done


SHORT = {
    FRESH: "new patients", PAIRS: "copula", "sequential CART": "CART", "Chow-Liu tree": "Chow-Liu",
    "train, a tenth of the columns redrawn": "bootstrap", STRICT: "strict",
}  # fmt: skip
FEW = ["+ pairs with categories and numbers", "+ pairs of codes, trust 0.03"]  # of fewer steps
DEFAULT = ("+ pairs of codes, trust 0.03", PROFILES["fast"].steps or 0)
STRICTLY = (STRICT, DEFAULT[1] // 8)
OURS = SETTINGS[DEFAULT[0]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=SOURCES, default=list(tuning.SOURCES))
    parser.add_argument("--train", type=int, default=tuning.SMALL)
    parser.add_argument("--steps", type=int, nargs="+", default=[50, 500, 1_200])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", nargs="+", help="settings, all of the list if not given")
    parser.add_argument("--page", action="store_true", help="measure nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    plt.rcParams["svg.hashsalt"] = "price list"  # the same picture, the same file
    results = pd.read_csv(RESULTS) if options.page else measure_all(options)
    write_table(page_table(results), BOOK / "price-list.csv")
    write_table(strict_table(results), BOOK / "price-list-strict.csv")
    picture(results, BOOK / "_static" / "price-list.svg")


if __name__ == "__main__":
    main()
