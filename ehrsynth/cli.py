"""The command line: every command is a few lines over the package's functions."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from . import __version__, datasets
from .errors import InputError
from .gan.recipe import DEFAULT
from .progress import at_work
from .protection import LEAST_PATIENTS
from .schema import DIE_1Y, DIE_ANY, VISIT_1Y, Schema
from .sources.fetch import fetch as fetch_data
from .terminal import from_file, hush, one_sentence, say, start_log

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="""Generate synthetic electronic health records and measure how good and how safe they are.

    Start with:  ehrsynth run --out first-run

    Exit codes: 0 done, 2 something given cannot be used (one sentence says what), 130 or 143
    stopped by Ctrl-C or by the system (the same command goes on), 1 anything else.
    """,
)

DatasetOption = Annotated[
    str, Option(help=f"Where the patients come from: {', '.join(datasets.DATASETS)}.")
]


def _seed(seed: int) -> int:
    if seed < 0:
        raise InputError(f"The seed is {seed}; use 0 or more.")
    return seed


SeedOption = Annotated[
    int, Option(callback=_seed, help="Same seed, same result on the same machine.")
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ehrsynth {__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[
        bool, Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    start_log()


_Config = Annotated[
    Path | None,
    Option(callback=from_file, is_eager=True, help="YAML or JSON file with the options by name; "
           "what the command line gives goes first."),
]  # fmt: skip


_Quiet = Annotated[bool, Option("--quiet", callback=hush, help="Say only what went wrong.")]


@app.command()
def simulate(
    out: Annotated[Path, Option(help="Folder to write the hospital's files to.")],
    patients: Annotated[int, Option(help="Number of patients.")] = 20_000,
    seed: SeedOption = 0,
) -> None:
    """Write a simulated hospital in the file layout of MIMIC-IV (nothing to download).

    Beside the folder hosp it leaves truth.json: all that is true of the hospital, by name.

    Example:  ehrsynth simulate --patients 20000 --out hospital
    """
    from .hospital import writing as simulated

    with at_work("Simulating"):
        simulated.write(out, patients=patients, seed=seed)
    say(f"A simulated hospital of {patients:,} patients is in {out}, its truth beside it.")


@app.command()
def fetch(
    name: Annotated[str, Argument(help="Public data set: mimic-iv-demo or diabetes130.")],
    out: Annotated[
        Path | None, Option(help="Folder to put it in; by default the user's cache folder.")
    ] = None,
) -> None:
    """Download a public data set, or what is missing of it, checked against known checksums.

    Example:  ehrsynth fetch mimic-iv-demo
    """
    folder = fetch_data(name, data_dir=out, progress=True)
    say(f"{name} is in {folder}.")


# What run can be told, in the order of its help.
_Data = Annotated[
    str | None,
    Option(help="Folder or file with the data (not for simulated), or a database's URL (omop)."),
]
_Profile = Annotated[str, Option(help="fast takes a minute and is for trying; full is for use.")]
_Outcome = Annotated[
    str | None,
    Option(
        help="Outcome column with two values (table), or "
        f"{DIE_1Y}, {DIE_ANY}, {VISIT_1Y} (omop only)."
    ),
]
_Phenotype = Annotated[
    Path | None, Option(help="JSON or YAML file of codes that make an outcome (omop only).")
]
_Columns = Annotated[
    Path | None, Option(help="JSON or YAML file that says what the columns are (data set table).")
]
_PatientId = Annotated[
    str | None,
    Option(help="Column of the patient, where a patient has several rows (table); never learned."),
]
_Positive = Annotated[
    str | None, Option(help="Which of the outcome's two values counts as 1 (table).")
]
_Rules = Annotated[
    Path | None, Option(help="JSON or YAML file of clinical rules that every patient has to keep.")
]
_Recipe = Annotated[
    str, Option(help="modern (better, faster) or paper (as the tutorial published it).")
]
_Number = Annotated[
    int | None, Option(help="Synthetic patients to make; default: as many as in train.")
]
_CodeLevel = Annotated[str, Option(help="Diagnoses as phecode (whole), leaf (finest) or category.")]
_With = Annotated[
    str, Option("--with", help="More columns, parted by commas: procedures,medications,labs.")
]
_MinPrevalence = Annotated[
    float | None, Option(help="Share of patients a yes/no column needs; default: the profile's.")
]
_Least = Annotated[
    int, Option(help="Patients who must be behind anything that is learned: a bin, a category.")
]
_Runs = Annotated[int, Option(help="Models to train, one a core at a time; the best one is kept.")]
_Format = Annotated[str | None, Option(help="parquet or csv; default: as the table that went in.")]
_Raw = Annotated[
    bool, Option("--raw", help="Put no apostrophe before what a spreadsheet would compute (CSV).")
]
_Anyway = Annotated[bool, Option("--anyway", help="Go on where memory or disk seem too small.")]
_UseCase = Annotated[
    str, Option(help="What several runs are ranked for; the book's Chapter 9 says how.")
]
_Epsilon = Annotated[
    float | None,
    Option(help="Give a guarantee (differential privacy) of this strength; small is strict."),
]
_Delta = Annotated[float | None, Option(help="Chance that the guarantee fails; default 1e-6.")]


@app.command()
def run(
    out: Annotated[Path, Option(help="Folder for the results; made when it is not there.")],
    dataset: DatasetOption = "simulated",
    data: _Data = None,
    profile: _Profile = "full",
    seed: SeedOption = 0,
    outcome: _Outcome = None,
    phenotype: _Phenotype = None,
    columns: _Columns = None,
    patient_id: _PatientId = None,
    positive: _Positive = None,
    rules: _Rules = None,
    recipe: _Recipe = DEFAULT,
    n: _Number = None,
    code_level: _CodeLevel = "phecode",
    with_: _With = "",
    min_prevalence: _MinPrevalence = None,
    least_patients: _Least = LEAST_PATIENTS,
    runs: _Runs = 1,
    use_case: _UseCase = "machine-learning development",
    format: _Format = None,
    raw: _Raw = False,
    anyway: _Anyway = False,
    config: _Config = None,
    quiet: _Quiet = False,
    epsilon: _Epsilon = None,
    delta: _Delta = None,
) -> None:
    """Do the whole tutorial in one go: prepare, train, generate, evaluate.

    Leaves train.parquet, holdout.parquet, schema.json, model/, metrics.json, report.html, card.md
    and the synthetic patients in the folder: synthetic.parquet, or of a flat table a file like
    the one that went in. Stop it whenever you like: the same command goes on from there.

    Example:  ehrsynth run --dataset table --data patients.csv --outcome died --out my-run
    """
    from .guarantee.run import PrivatePipeline
    from .pipeline import Pipeline

    guarantee = {"epsilon": epsilon, "delta": delta}
    given = {name: value for name, value in guarantee.items() if value is not None}
    if epsilon is None and given:
        raise InputError("--delta needs --epsilon, the strength of the guarantee.")
    (Pipeline if epsilon is None else PrivatePipeline)(
        out=out, dataset=dataset, data=data, profile=profile, seed=seed, recipe=recipe,
        outcome=outcome, phenotype=phenotype, columns=columns, patient_id=patient_id,
        positive=positive, rules=rules, n=n, code_level=code_level, min_prevalence=min_prevalence,
        least_patients=least_patients, runs=runs, use_case=use_case, n_jobs=-1, format=format,
        include=[name.strip() for name in with_.split(",") if name.strip()],
        progress=not quiet, raw=raw, anyway=anyway,
        **given,
    ).run()  # fmt: skip
    say(f"Done. Read {out / 'report.html'} first.", quiet)


@app.command()
def generate(
    model: Annotated[Path, Option(help="The model folder of a run.")],
    n: Annotated[int, Option(help="Number of patients.")],
    out: Annotated[
        Path, Option(help="File to write, .parquet, .csv or .csv.gz; without an ending, a folder.")
    ],
    seed: SeedOption = 0,
    where: Annotated[
        list[str] | None,
        Option(help="Condition COLUMN=VALUE on the outcome or sex; may be repeated."),
    ] = None,
    rules: Annotated[
        Path | None,
        Option(help="JSON or YAML file of rules, beside those of the run, which it can drop."),
    ] = None,
    format: Annotated[str | None, Option(help="Of a folder's files: parquet or csv.")] = None,
    raw: _Raw = False,
    config: _Config = None,
    quiet: _Quiet = False,
) -> None:
    """Make more patients from a trained model, as many as the disk holds.

    Stop it whenever you like: the same command goes on from there.

    Example:  ehrsynth generate --model first-run/model --n 100000 --out more.parquet
    """
    from . import EMRWGAN, Preprocessor
    from . import generate as write
    from .release import check_beside
    from .rules import FILE, chosen_rules, read_rules, summary
    from .run_folder import NOISY_SUMS
    from .sources.flat import form

    check_beside(model)
    if (model / NOISY_SUMS).is_file():
        raise InputError(
            f"{model} has a guarantee; only ehrsynth run --epsilon makes patients of it (--n)."
        )
    prep = Preprocessor.load(model)
    of_run = (model / FILE).is_file()
    known = read_rules(model / FILE) if of_run else []
    dropped = prep.dropped_["column"]
    kept = chosen_rules(prep.schema_, rules, dropped, known, clinical=not of_run)
    gan, condition = EMRWGAN.load(model), _conditions(where)
    shown = not quiet
    try:
        like = form.load(model)
        repaired = write(gan, prep, n, out, seed, condition, shown, kept, like, format, raw)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{model} does not hold a model that can be used: {error!r}.") from error
    say(summary(repaired), quiet)
    say(f"{n:,} synthetic patients are in {out}.", quiet)


@app.command()
def evaluate(
    train: Annotated[Path, Option(help="The patients the generator was trained on.")],
    holdout: Annotated[Path, Option(help="Real patients it has never seen.")],
    synthetic: Annotated[Path, Option(help="The synthetic patients.")],
    out: Annotated[Path, Option(help="Folder for metrics.json, report.html, card.md.")],
    schema: Annotated[
        Path | None,
        Option(help="schema.json of a run; else the one beside train, or learned from it."),
    ] = None,
    outcome: Annotated[
        str | None, Option(help="Outcome column with two values, when there is no schema.")
    ] = None,
    columns: _Columns = None,
    patient_id: _PatientId = None,
    positive: _Positive = None,
    profile: Annotated[
        str, Option(help="fast samples fewer patients for the slow metrics; full is for use.")
    ] = "full",
    seed: SeedOption = 0,
    config: _Config = None,
    quiet: _Quiet = False,
) -> None:
    """Measure any generator's output: how close, how useful, how exposed.

    The three files are CSV or Parquet tables with one row per patient and the same columns.

    Example:  ehrsynth evaluate --train a.csv --holdout b.csv --synthetic c.csv --outcome died
    --out report
    """
    from .evaluation import align
    from .evaluation import evaluate as measure
    from .evaluation.alignment import schema_beside
    from .release import check_beside
    from .sources.flat.columns_file import encoding
    from .sources.flat.file import read_file

    if schema is not None and outcome is not None:
        raise InputError("Give --schema or --outcome, not both: the schema names the outcome.")
    for path in (train, holdout, synthetic, *([] if schema is None else [schema])):
        check_beside(path)
    paths = {"train": train, "holdout": holdout, "synthetic": synthetic}
    with at_work("Evaluation"):
        said = encoding(columns)
        tables = {name: read_file(path, encoding=said) for name, path in paths.items()}
        if schema is None and columns is None:
            schema = schema_beside(train, tables["train"].frame)
        known = None if schema is None else Schema.load(schema)
        names = {name: str(path) for name, path in paths.items()}
        given = align(tables, known, outcome, names, positive, columns, patient_id)
        measure(**given, seed=seed, profile=profile, progress=not quiet).save(out)
    say(f"Done. Read {out / 'report.html'} first.", quiet)


@app.command()
def audit(
    run: Annotated[Path, Argument(help="The folder of a finished run.", metavar="DIR")],
    shadows: Annotated[int, Option(help="Models to train, each as long as the run's own.")] = 8,
) -> None:
    """Train shadow models of a run, and judge it again by an attacker who has them.

    Each learns of other patients of its train and holdout; the report says what he found.

    Example:  ehrsynth audit first-run --shadows 8
    """
    from .audit import audit as look_closer

    found = look_closer(run, shadows, progress=True)
    interval = f"{found.low:.3f} to {found.high:.3f}"
    typer.echo(f"AUROC {found.value:.3f} (95 % interval {interval}). Read {run / 'report.html'}.")


@app.command()
def release(
    run: Annotated[Path, Argument(help="The folder of a finished run.", metavar="DIR")],
    out: Annotated[Path, Option(help="New folder for what may leave.")],
    with_model: Annotated[
        bool, Option("--with-model", help="Pack the model, too: it makes any number of patients.")
    ] = False,
    signed_by: Annotated[
        str | None,
        Option(help="Name of who answers for it, where the privacy verdict is not good."),
    ] = None,
    recipient: Annotated[
        str | None, Option(help="For whom it is, and for what: goes into the card.")
    ] = None,
    license: Annotated[
        str | None, Option(help="License of the source, for the card, where none is known.")
    ] = None,
) -> None:
    """Pack what may leave the house, checked for single patients.

    The synthetic patients, the card, the report and the columns' description, with a manifest.
    Train, holdout and checkpoints stay. If the privacy verdict is not good, somebody has to sign.

    Example:  ehrsynth release first-run --out package --signed-by "A. Name"
    """
    from .release import digest
    from .release import release as pack

    packed = pack(run, out, with_model, signed_by, recipient, license)
    say(f"{len(packed)} files are in {out}: {', '.join(packed)}.")
    say(f"Tell who receives it, by another way than the files: the digest is {digest(out)}")


@app.command()
def verify(
    folder: Annotated[
        Path, Argument(help="A package of release, or a run's folder.", metavar="DIR")
    ],
    digest: Annotated[
        str | None, Option(help="What release printed, as its sender tells it.")
    ] = None,
) -> None:
    """Say whether a folder still is what its manifest says: every file, and no other.

    That shows what was damaged, added or lost. Who changes files on purpose can write a new
    manifest, too: only the digest that release printed, told by another way, shows that.

    Example:  ehrsynth verify package --digest 0123...
    """
    from .release import digest as digest_of
    from .release import problems

    if wrong := problems(folder):
        raise InputError(f"{folder} is not what its manifest says: {', '.join(wrong)}.")
    found = digest_of(folder)
    if digest is not None and digest.strip().lower() != found:
        raise InputError(f"{folder} is not what was sent: its digest is {found}.")
    known = "and what was sent" if digest else f"whoever wrote that; its digest is {found}"
    say(f"{folder} is what its manifest says, {known}.")


@app.command()
def doctor() -> None:
    """Say whether this machine has what is needed, and what to do where it has not.

    Example:  ehrsynth doctor
    """
    from .doctor import examine

    found = examine()
    for name, good, text, advice in found:
        typer.echo(f"{'ok' if good else 'NOT':<4} {name:<15} {text}{advice and f' - {advice}'}")
    raise typer.Exit(0 if all(finding.good for finding in found) else 1)


def _conditions(pairs: list[str] | None) -> dict[str, str] | None:
    conditions = {}
    for pair in pairs or []:
        column, _, value = pair.partition("=")
        if not column or not value:
            raise InputError(f"The condition {pair!r} is not of the form COLUMN=VALUE.")
        conditions[column] = value
    return conditions or None


def main() -> None:
    """Run the command line; an error of the user's is one sentence and exit code 2."""
    with one_sentence():
        app()


if __name__ == "__main__":
    main()
