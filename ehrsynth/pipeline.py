"""The whole tutorial as one resumable job: data, training, generation, evaluation.

Each stage leaves its files in one folder and is noted in ``run.json``; what still is as it was left
is not run again. What needs PyTorch is asked of the package by name, so only when it is used.
"""

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import ehrsynth as es

from . import datasets, rare
from .discovery import listed, look_into
from .errors import InputError, check_choice, check_count
from .evaluation.choose import USE_CASES, chance_of_first, rank
from .evaluation.judge import compare
from .evaluation.privacy.more_rows import MORE_ROWS, TIMES, by_rows
from .evaluation.report import METRICS_FILE, Report, plain
from .files import FORMATS, atomic_path, read_table, resolved, sweep, write_json, write_table
from .gan.recipe import CHECKPOINT, DEFAULT, PRIVACY, named
from .generation.decode import violations
from .phenotype import read as read_phenotype
from .preprocessing.encode import Preprocessor
from .profiles import PROFILES, check_fits, estimate, peak_memory
from .progress import at_work
from .protection import LEAST_PATIENTS, told
from .rules import RULES_FILE, Rule, chosen_rules, read_rules, summary, write_rules
from .run_folder import STAGES, RunFiles, RunFolder
from .schema import Schema
from .sources.engine import is_url, without_password
from .sources.flat import form
from .sources.flat.applying import fit_into
from .sources.flat.table import list_columns
from .statistics import NotComputable

MOST_CELLS = 200_000_000  # of the rows that are released to see how much more they give away
log = logging.getLogger(__name__)


@dataclass
class Pipeline:
    """One run of the tutorial in one folder; every part is made when it is first asked for."""

    out: Path  #: its folder, which may hold the same run, unfinished or finished, but no other
    dataset: str = "simulated"  #: one of ``ehrsynth.DATASETS``
    #: where it lies (not for "simulated"); a URL can hold a password
    data: str | Path | None = field(default=None, repr=False)
    profile: str = "fast"  #: "fast" takes seconds and is for learning; "full" is for use
    seed: int = 0  #: of everything that is drawn, the simulated hospital too
    recipe: str = DEFAULT  #: how the GAN is trained, "modern" or "paper"
    privacy: str = PRIVACY[0]  #: or "strict", which learns less and so gives less away
    outcome: str | None = None  #: a column of a flat table, or an outcome of ``build_patients``
    phenotype: Path | None = None  #: a file of codes that make an outcome (OMOP only)
    columns: Path | None = None  #: a file that says what the columns of the data set "table" are
    patient_id: str | None = None  #: its column that says whose a row is; never learned
    positive: str | None = None  #: which of its outcome's two values counts as 1
    rules: Path | None = None  #: a file of clinical rules beside the schema's
    n: int | None = None  #: synthetic patients; by default as many as there are training patients
    code_level: str = "phecode"  #: how finely diagnoses are told apart, or "leaf" or "category"
    include: Sequence[str] = ()  #: further columns ("procedures", "medications", "labs")
    min_prevalence: float | None = None  #: share of patients a yes/no column needs; the profile's
    least_patients: int = LEAST_PATIENTS  #: how many must be behind whatever is learned
    #: models to train; the one that is first for the use case is kept. That looks at the holdout,
    #: so that its numbers are a little too good
    runs: int = 1
    use_case: str = next(iter(USE_CASES))  #: one of ``ehrsynth.evaluation.USE_CASES``
    format: str | None = None  #: "parquet" or "csv"; by default as the flat table that went in
    raw: bool = False  #: leave in a CSV what a spreadsheet would compute
    n_jobs: int | None = None  #: runs to train at the same time, -1 for one a core
    progress: bool = False  #: progress bars and a log
    anyway: bool = False  #: go on where the memory or the disk seems too small

    def __post_init__(self):
        self.out = Path(self.out)
        if self.data is not None and not is_url(self.data):
            self.data = Path(self.data)
        check_choice("profile", self.profile, PROFILES)
        named(self.recipe)
        check_choice("privacy", self.privacy, PRIVACY)
        check_choice("data set", self.dataset, datasets.DATASETS)
        self.include = tuple(self.include)
        if self.min_prevalence is None:
            self.min_prevalence = PROFILES[self.profile].min_prevalence
        for name in ("columns", "patient_id", "positive"):
            if self.dataset != "table" and getattr(self, name) is not None:
                option = "--" + name.replace("_", "-")
                raise InputError(f"Data set {self.dataset} needs no {name}; leave out {option}.")
        if self.n is not None:
            check_count("number of synthetic patients", self.n)
        check_count("number of runs", self.runs)
        check_choice("use case", self.use_case, USE_CASES)
        if self.format is not None:
            check_choice("format", self.format, FORMATS)
        self._seen: set[str] = set()  # stages that this object has made, or found as they were left
        self._phenotype = None if self.phenotype is None else read_phenotype(self.phenotype)
        if self._phenotype and self.outcome is not None:
            raise InputError("Give --phenotype or --outcome, not both: a phenotype is an outcome.")
        self._own_rules = [] if self.rules is None else [str(r) for r in read_rules(self.rules)]
        self._folder = RunFolder(self.out)
        private = self.dataset != "simulated"
        self._folder.claim(self._settings(), es.__version__, private, self.files)

    # -- what a run is made of ---------------------------------------------------------

    @cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The source's tables in memory, for a person to look at."""
        return datasets.load(self.dataset, data=self.data, **self._source_options())

    @cached_property
    def _source(self) -> dict:
        """The source's tables for the job itself: lazy, where the reader can."""
        if self.dataset == "table":
            most = PROFILES[self.profile].most
            return datasets.load_split(self.data, self.seed, most, **self._source_options())
        if not datasets.reads_lazily(self.dataset):
            return self.tables
        return datasets.scan(self.dataset, self.data, self.progress, **self._source_options())

    def _source_options(self) -> dict[str, Any]:
        if self.dataset == "table":
            return {n: getattr(self, n) for n in ("outcome", "columns", "patient_id", "positive")}
        more: dict[str, Any] = {"include": self.include} if self.include else {}
        if self.dataset == "simulated":
            return more | {"patients": PROFILES[self.profile].patients, "seed": self.seed}
        return more

    @cached_property
    def patients(self) -> pd.DataFrame:
        """One row per patient, before the split, with every column the source has."""
        outcome = self._phenotype or self.outcome
        patients = datasets.build_patients(self._source, outcome, self.code_level, self.include)
        most = PROFILES[self.profile].most
        if most is None or self.dataset == "simulated" or len(patients) <= most:
            return patients
        log.info("The fast profile takes %d of %d patients.", most, len(patients))
        rows = patients.sample(most, random_state=np.random.default_rng(self.seed))
        return rows.sort_index().reset_index(drop=True)

    @cached_property
    def schema(self) -> Schema:
        """The columns of the three tables."""
        return Schema.load(self._made("schema.json"))

    @cached_property
    def train(self) -> pd.DataFrame:
        """Training patients."""
        return self._table("train.parquet")

    @cached_property
    def holdout(self) -> pd.DataFrame:
        """Patients the model never sees; only the evaluation does."""
        return self._table("holdout.parquet")

    @property
    def facts(self) -> dict:
        """What is known about the source and what was made of it, in words and figures."""
        self._finish("data")
        return self._folder.noted("facts")

    @cached_property
    def prep(self) -> Preprocessor:
        """The preprocessor, fitted on the training patients."""
        self._finish("data")
        return Preprocessor.load(self.out / "model")

    @cached_property
    def clinical_rules(self) -> list[Rule]:
        """What every patient of the run keeps: the schema's rules and the person's own."""
        return read_rules(self._made(f"model/{RULES_FILE}"))

    @cached_property
    def gan(self) -> "es.EMRWGAN":
        """The trained model."""
        return es.EMRWGAN.load(self._made(STAGES["training"][0]).parent)

    @cached_property
    def synthetic(self) -> pd.DataFrame:
        """Synthetic patients, in the form in which they are evaluated."""
        return self._table(self.files.inside)

    @cached_property
    def report(self) -> Report:
        """The evaluation of the synthetic patients."""
        return Report.load(self._made(METRICS_FILE))

    def run(self) -> "Pipeline":
        """Finish every stage that is not finished yet."""
        try:
            if self._stale("generation"):
                _ = es.EMRWGAN  # where PyTorch is missing, it is said before the work begins
            self._finish("data")
            if self._stale("evaluation"):
                real, columns = (len(self.train), len(self.holdout)), len(self.schema.names)
                recipe = named(self.recipe) if self.files.stages["training"] else None
                needed = estimate(real, columns, self.n, PROFILES[self.profile], recipe, self.runs)
                check_fits(needed, self.out, self.anyway)
            self._finish("evaluation")
        except InputError:
            self._folder.leave_if_empty()
            raise
        return self

    def _stale(self, stage: str) -> str:
        """Why a stage has to be made, or nothing."""
        why = self._folder.stale(stage, self.files.stages[stage])
        return self._folder.other_inputs(self._inputs) if stage == "data" and not why else why

    @cached_property
    def _inputs(self) -> dict[str, str]:
        """The SHA-256 of every file that the run reads; its settings hold the rules themselves."""
        more = [] if self.columns is None else [self.columns]
        with at_work("Checksums", shown=self.progress):
            return datasets.checksums(self.dataset, self.data, more, apart=self.out)

    @cached_property
    def files(self) -> RunFiles:
        """What of the run is in which file."""
        return RunFiles.of(self.dataset, self.data, self.format, self.runs)

    # -- the stages --------------------------------------------------------------------

    def _make_data(self) -> None:
        patients = self.patients
        train, holdout = datasets.split_patients(self._source, patients, self.seed)
        prep = Preprocessor.for_recipe(
            self.recipe, min_prevalence=self.min_prevalence, seed=self.seed,
            least_patients=self.least_patients,
        ).fit(train)  # fmt: skip
        schema = prep.schema_
        # An impossible value counts as not measured, in every table of the run.
        train = prep.clip(train)[schema.names]
        found, leaking = look_into(train, schema)
        kept = [one.rule for one in found]
        rules = chosen_rules(schema, self.rules, prep.dropped_["column"], kept)
        facts: dict[str, Any] = {
            **datasets.source(self.dataset, self.data), **datasets.describe(self._source),
            "outcome": datasets.outcome_fact(patients),
            "patients in the cohort": len(patients),
            "training patients": len(train),
            "holdout patients": len(holdout),
            "columns": len(schema.columns),
            "columns left out because they are too rare or constant": len(prep.dropped_),
            "rules that synthetic patients keep": len(rules),
            "relations that hold for every training patient": len(found),
        }  # fmt: skip
        for name, value in facts.items():
            log.info("  %s: %s", name, value)
        if "form" in self._source:
            write_json(self._source["form"], self.out / "model" / form.FILE)
        if "columns" in self._source:
            facts["columns of the file"] = list_columns(self._source["columns"])
        if "quality" in self._source:
            of_source = self._source["quality"].to_dict("records")
            wrong = plain([*of_source, *patients.attrs.get("quality", [])])
            facts["data quality"] = wrong or "no rule of the reader found anything"
        own = [rule for rule in rules if str(rule) in self._own_rules]
        broken = violations(train, schema, own)
        for rule, count in zip(broken["rule"], broken["count"], strict=True):
            if count:
                log.warning("  %s training patients break the rule %r.", told(count), rule)
        write_table(train, self.out / "train.parquet")
        held_out = schema.plausible(fit_into(schema, holdout)[0])[0]
        write_table(held_out, self.out / "holdout.parquet")
        schema.save(self.out / "schema.json")
        prep.save(self.out / "model")
        write_rules(rules, self.out / "model" / RULES_FILE)
        read = rare.tables_of(self.dataset, self._source, self._inputs, self.patient_id)
        rare.Rare.of(read, self.least_patients, [str(self._settings())]).save(self.out)
        self._folder.note(
            facts=facts, relations=listed(found, {"train": train}, schema),
            leaks=[leak._asdict() for leak in leaking],
        )  # fmt: skip

    def _make_training(self) -> None:
        encoded = self.prep.transform(self.train)
        recipe, steps = PROFILES[self.profile].plan(self.recipe, self.privacy, len(encoded))
        gan = es.EMRWGAN(recipe, self.seed, steps, least_patients=self.least_patients)
        if self.runs == 1:
            checkpoints = self.out / "model" / "checkpoint"
            trained = [gan.fit(encoded, progress=self.progress, checkpoint_dir=checkpoints)]
        else:
            folder = self.out / "runs"
            trained = es.fit_runs(gan, encoded, self.runs, self.n_jobs, folder, self.progress)
        for gan, name in zip(trained, self.files.candidates, strict=True):
            gan.save(self.out / name)

    def _make_generation(self) -> None:
        n = len(self.train) if self.n is None else self.n
        repaired = {}
        for folder, name in self.files.candidates.items():
            gan, out = es.EMRWGAN.load(self.out / folder), self.out / name
            repaired[folder] = es.generate(
                gan, self.prep, n, out, self.seed, None, self.progress, self.clinical_rules
            )
        if self.runs == 1:
            self._hand_out()
            self._note_repairs(repaired["model"])
        else:
            self._folder.note(repaired_by_run=repaired)

    def _hand_out(self) -> None:
        """Write what is kept in the form of the table that went in."""
        if self.files.released != self.files.inside:
            kept = self.schema.cast(read_table(self.out / self.files.inside))
            like = form.load(self.out / "model")
            form.write(kept, self.out / self.files.released, like, raw=self.raw)

    def _note_repairs(self, repaired: dict[str, int]) -> None:
        log.info("  %s", summary(repaired))
        self._folder.note(facts=self.facts | {"repairs": summary(repaired)}, repaired=repaired)

    def _make_evaluation(self) -> None:
        tables = {folder: self._table(name) for folder, name in self.files.candidates.items()}
        facts = self.facts | {"generator": self._made_by()}
        if self.runs > 1:  # which is kept is still open, also where an evaluation was stopped
            facts.pop("repairs", None)
        reports = compare(
            self.train, self.holdout, tables, schema=self.schema, seed=self.seed,
            progress=self.progress, profile=self.profile, rules=self.clinical_rules, facts=facts,
        )  # fmt: skip
        report = reports["model"] if self.runs == 1 else self._keep_first(reports)
        if more := self._more_rows():
            report.facts[MORE_ROWS] = more
        report.save(self.out)

    def _made_by(self) -> str:
        strictly = "" if self.privacy == PRIVACY[0] else f", privacy {self.privacy}"
        how = f"recipe {self.recipe}, profile {self.profile}{strictly}, seed {self.seed}"
        return f"EMR-WGAN of ehrsynth {es.__version__}: {how}"

    def _more_rows(self) -> list[dict[str, float]]:
        """The attack by moments on more and more rows; empty where there are too many, or few."""
        n = len(self.train)
        if max(TIMES) * n * len(self.schema.names) > MOST_CELLS:
            return []
        model = es.EMRWGAN.load(self.out / "model")
        seeds = (self.seed + 1 + k for k in range(max(TIMES)))
        tables = (es.postprocess(model.sample(n, seed=s), self.prep, seed=s) for s in seeds)
        try:
            with at_work("Releasing more rows"):
                real = self.train, self.holdout, self.schema
                return by_rows(*real, tables, self.profile, self.seed)
        except NotComputable:
            return []

    def _keep_first(self, reports: dict[str, Report]) -> Report:
        """Rank the runs for the use case; the model and the patients of the first are the job's."""
        ranking = rank(reports, self.use_case)
        ranking["chance_of_first"] = chance_of_first(reports, self.use_case, seed=self.seed)
        models = {name: es.EMRWGAN.load(self.out / name) for name in ranking.index}
        ranking["seed"] = [model.seed for model in models.values()]
        first, report = ranking.index[0], reports[ranking.index[0]]
        models[first].save(self.out / "model")
        with atomic_path(self.out / self.files.inside) as temporary:
            shutil.copyfile(self.out / self.files.candidates[first], temporary)
        self._hand_out()
        rows = ranking.reset_index().astype(object)
        self._folder.note(ranking=rows.where(rows.notna(), None).to_dict("records"))
        scores = ", ".join(f"{name} {score:.3f}" for name, score in ranking["score"].items())
        log.info("  Kept: %s. Scores: %s", first, scores)
        self._note_repairs(self._folder.noted("repaired_by_run")[first])
        report.facts |= self.facts | {
            "kept": f"{first}, the first of {self.runs} runs for {self.use_case}",
            "scores of the runs": f"{scores} (they were ranked on the held-out patients)",
        }
        return report

    # -- bookkeeping -------------------------------------------------------------------

    def _settings(self) -> dict:
        """What makes a run this run, as ``run.json`` notes it."""
        unlike = ("out", "n_jobs", "progress", "anyway")
        settings = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in unlike}
        for name in ("data", "columns"):
            if is_url(settings[name]):
                settings[name] = without_password(settings[name])
            elif settings[name] is not None:
                settings[name] = str(resolved(settings[name]))
        said = None if self._phenotype is None else str(self._phenotype)
        return settings | {
            "rules": self._own_rules, "include": list(self.include), "phenotype": said,
        }  # fmt: skip

    def _finish(self, stage: str) -> None:
        """Run every stage up to and including `stage` that is not finished, or no longer is."""
        with self._folder.lock:
            sweep(self.out)
            for name in STAGES:
                if name not in self._seen:
                    if why := self._stale(name):
                        self._folder.restart(name, why)
                        self._run_stage(name)
                    elif self.progress:
                        log.info("%s: already finished, kept.", name.capitalize())
                    self._seen.add(name)
                    if name == "training":  # the critics know the training patients best
                        self._folder.remove(CHECKPOINT)
                if name == stage:
                    return

    def _run_stage(self, name: str) -> None:
        log.info("%s ...", name.capitalize())
        start, inputs = time.perf_counter(), self._inputs or self._folder.noted("inputs")
        with at_work(name.capitalize(), shown=self.progress):
            getattr(self, f"_make_{name}")()
        seconds, peak = round(time.perf_counter() - start, 1), peak_memory()
        self._folder.note(inputs=inputs)
        self._folder.finish(name, self.files.stages[name], seconds=seconds, peak_gb=peak)
        memory = "" if peak is None else f", with at most {peak:.1f} GB of memory so far"
        log.info("%s: finished in %.1f s%s.", name.capitalize(), seconds, memory)

    def _made(self, name: str) -> Path:
        """A file of the run, when its stage is finished."""
        self._finish(next(stage for stage, files in self.files.stages.items() if name in files))
        return self.out / name

    def _table(self, name: str) -> pd.DataFrame:
        return fit_into(self.schema, read_table(self._made(name)))[0]
