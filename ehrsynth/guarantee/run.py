"""One run of the tutorial with a guarantee: what may leave it was made of noisy sums alone."""

import secrets
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from .. import __version__, datasets
from ..cohort import DEMOGRAPHICS, check_outcome
from ..errors import InputError
from ..files import atomic_path, read_by_hand, read_json, write_json, write_table
from ..gan.recipe import DEFAULT, PRIVACY
from ..generation.decode import repair
from ..kinds import MISSING, REST
from ..phecode import definitions
from ..pipeline import Pipeline
from ..rare import RARE_FILE, Rare, tables_of
from ..rules import RULES_FILE, chosen_rules, write_rules
from ..run_folder import GUARANTEE, GUARANTEE_CARD, NOISY_SUMS, STAGES, RunFiles
from ..schema import AGE, DIE_1Y, DIE_ANY, VISIT_1Y, Column, Schema
from ..sources.tables import EVENTS, MEASUREMENTS
from .budget import DELTA, MOST_EPSILON, Budget
from .declared import declared_table
from .pairs import MOST_CODES, fit_pairs, load_pairs, save_pairs

# Whose readers look at each patient by himself; that of diabetes130 joins rare categories.
PREPARED = ("simulated", "mimic-iv-demo", "mimic-iv", "omop", "table")
_HELD_OUT = 0.3
_OPEN = EVENTS["concepts"][1]  # how the names of codes begin that are no phecodes
_STAYS = (
    "this report looks at real patients and is not covered by the guarantee: it stays in the "
    "house, and ehrsynth release leaves it behind"
)


@dataclass
class PrivatePipeline(Pipeline):
    """A run whose synthetic patients have a guarantee (differential privacy).

    They come from noisy margins and pairs, which of our two generators with a guarantee measured
    better (``benchmarks/guarantee.py``). The noise comes from the operating system, so that two
    runs are never the same; with the seed it could be taken away again.
    """

    epsilon: float = 1.0  #: small is strict
    delta: float = DELTA  #: what is added to each probability that epsilon bounds

    def __post_init__(self):
        Budget(self.epsilon, self.delta)
        if not np.isfinite(self.epsilon):
            raise InputError("epsilon is infinite, which promises nothing; leave out --epsilon.")
        if self.epsilon > MOST_EPSILON:
            raise InputError(
                f"epsilon is {self.epsilon:g}; use at most {MOST_EPSILON:g}, since above it a "
                "release may be more than 22,000 times as likely with a patient as without him, "
                "which is no promise that could stand in for a search and a signature."
            )
        if self.dataset in datasets.DATASETS and self.dataset not in PREPARED:
            raise InputError(
                f"The reader of {self.dataset} learns categories from all patients, so it cannot "
                f"have --epsilon; use one of {', '.join(PREPARED)}."
            )
        looks = {
            "--runs": self.runs != 1, "--recipe": self.recipe != DEFAULT, "--with": self.include,
            "--min-prevalence": self.min_prevalence is not None, "--phenotype": self.phenotype,
            "--patient-id": self.patient_id, "--privacy": self.privacy != PRIVACY[0],
        }  # fmt: skip
        for option in (name for name, asked in looks.items() if asked):
            raise InputError(f"{option} cannot be had with --epsilon; leave it out.")
        if self.dataset == "omop" and self.outcome in (None, VISIT_1Y):
            raise InputError(
                "With --epsilon the outcome cannot depend on the whole database; choose "
                f"--outcome {DIE_1Y} or {DIE_ANY}."
            )
        super().__post_init__()

    @cached_property
    def files(self) -> RunFiles:
        """What of the run is in which file; nothing is trained, the noisy sums come with data."""
        files = super().files
        table, holdout, schema, *_ = STAGES["data"]
        sums = f"model/{NOISY_SUMS}"
        data = [table, holdout, schema, f"model/{RULES_FILE}", RARE_FILE, sums, GUARANTEE]
        kept = list(dict.fromkeys([files.inside, files.released, GUARANTEE_CARD]))
        return files._replace(stages=STAGES | {"data": data, "training": [], "generation": kept})

    @cached_property
    def patients(self) -> pd.DataFrame:
        """One row per patient, before the split, each read without a look at the others."""
        if self.dataset == "table":
            return declared_table(self.data, self.columns, self.outcome, self.positive)
        patients = datasets.build_patients(self._source, self.outcome, self.code_level)
        return _publicly(patients, self.code_level)

    @property
    def gan(self):
        """There is none."""
        raise InputError("A run with --epsilon trains no network; its model is noisy sums.")

    def _make_data(self) -> None:
        patients = self.patients
        # Each patient by a coin of his own: no other patient's place depends on whether he is here.
        rng = np.random.default_rng(secrets.randbits(256))
        chosen = rng.random(len(patients)) < _HELD_OUT
        schema = Schema.of(patients)
        parts = (patients[side].reset_index(drop=True) for side in (~chosen, chosen))
        train, holdout = (check_outcome(schema.attach(part)) for part in parts)
        budget = Budget(self.epsilon, self.delta)
        codes = [n for n in schema.of_kind("binary") if not n.startswith(_OPEN)]
        public = {*codes, *(c.name for c in DEMOGRAPHICS if self.dataset != "table")}
        model, told = fit_pairs(train, budget, rng, schema, public=public)
        kept = model.schema_
        names = set(schema.names) - set(kept.names)
        facts: dict[str, Any] = {
            **datasets.source(self.dataset, self.data), "kept in the house": _STAYS,
            "guarantee": f"differential privacy, epsilon {self.epsilon:g}, delta {self.delta:g}",
            "outcome": datasets.outcome_fact(patients), "training patients": len(train),
            "holdout patients": len(holdout), "columns": len(kept.columns),
            "columns left out because they do not stand out of the noise": len(names),
        }  # fmt: skip
        for name, part in (("train.parquet", train), ("holdout.parquet", holdout)):
            write_table(_fitted(kept, part), self.out / name)
        kept.save(self.out / "schema.json")
        save_pairs(model, self.out / "model" / NOISY_SUMS)
        write_rules(chosen_rules(kept, self.rules, names), self.out / "model" / RULES_FILE)
        source = {} if self.dataset == "table" else self._source
        read = tables_of(self.dataset, source, self._inputs)
        said = None if self.columns is None else read_by_hand(self.columns)  # public as well
        Rare.of(read, self.least_patients, [str(self._settings()), str(said)]).save(self.out)
        spent = {"patients": told, "spent": budget.spent()}
        write_json(asdict(budget) | spent, self.out / GUARANTEE)
        self._folder.note(facts=facts)

    def _make_training(self) -> None:
        """The noisy sums are the model."""

    def _make_generation(self) -> None:
        noted = read_json(self.out / GUARANTEE)
        repaired: dict[str, int] = {}
        rows = noted["patients"] if self.n is None else self.n
        model = load_pairs(self.out / "model" / NOISY_SUMS)
        rng = np.random.default_rng([self.seed, 1])
        made = model.sample(rows, self.seed)
        made = repair(made, rng, model.schema_, self.clinical_rules, repaired)
        write_table(made, self.out / self.files.inside)
        self._hand_out()
        template = Path(__file__).with_name("card.md").read_text(encoding="utf-8")
        text = jinja2.Environment(trim_blocks=True).from_string(template).render(
            noted, rows=rows, columns=len(model.schema_.columns), version=__version__,
            facts=datasets.source(self.dataset, self.data), factor=np.exp(self.epsilon),
            declared=self.dataset == "table", most_codes=MOST_CODES, budget=noted,
        )  # fmt: skip
        with atomic_path(self.out / GUARANTEE_CARD) as temporary:
            temporary.write_text(text, encoding="utf-8")
        self._note_repairs(repaired)

    def _made_by(self) -> str:
        return f"noisy margins and pairs of ehrsynth {__version__}"

    def _more_rows(self) -> list[dict[str, float]]:
        return []  # more rows of the same sums give no more away


def _publicly(patients: pd.DataFrame, code_level: str) -> pd.DataFrame:
    """The patients of a hospital with every column and category that one may have, so that nobody's
    codes or age decide what there is; names that are no phecodes are told with noise.
    """
    schema = Schema.of(patients)
    own = {c.name: replace(c, lower=0) if c.name == AGE else c for c in DEMOGRAPHICS}
    for name, column in own.items():
        if column.kind == "categorical" and MISSING not in column.categories:
            own[name] = replace(column, categories=(*column.categories, MISSING))
    codes = [
        Column(f"phe_{code.replace(' ', '_')}", "binary", "diagnosis", label, code=code, sex=sex)
        for code, label, sex in definitions(code_level)[["name", "sex"]].itertuples()
    ]
    new = [c for c in (*MEASUREMENTS, *codes) if c.name not in schema]
    empty = pd.DataFrame({c.name: 0 if c.kind == "binary" else np.nan for c in new}, patients.index)
    whole = Schema((*(own.get(c.name, c) for c in schema.columns), *new))
    return whole.cast(pd.concat([patients, empty], axis=1))


def _fitted(schema: Schema, patients: pd.DataFrame) -> pd.DataFrame:
    """Real patients as the schema has them, to be compared with synthetic ones in the house."""
    patients = patients.copy(deep=False)
    for column in schema.columns:
        if REST in column.categories:
            text = patients[column.name].astype(str)
            patients[column.name] = text.where(text.isin(column.categories), REST)
    return schema.plausible(schema.cast(patients))[0]
