"""The command line: every command is a few lines over the package's functions."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar, get_type_hints

import typer
from typer import Argument, Option

from . import __version__, datasets
from .errors import InputError
from .gan.recipe import DEFAULT, PRIVACY
from .progress import at_work
from .protection import LEAST_PATIENTS
from .schema import DIE_1Y, DIE_ANY, VISIT_1Y, Schema
from .sources.fetch import fetch as fetch_data
from .terminal import from_file, hush, one_sentence, say, start_log

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="""Generate synthetic electronic health records and measure how good and how safe they are.

    Start with:  ehrsynth run --out first-run

    Exit codes: 0 done, 2 something given cannot be used (one sentence says what), 130 or 143
    stopped by Ctrl-C or by the system (the same command goes on), 1 anything else.
    """,
)  # fmt: skip
_Command = TypeVar("_Command", bound=Callable)
_MEANS = tomllib.loads(Path(__file__).with_name("options.toml").read_text("utf-8"))
_KNOWN = {
    "datasets": ", ".join(datasets.DATASETS), "outcomes": f"{DIE_1Y}, {DIE_ANY}, {VISIT_1Y}"
}  # fmt: skip


def _seed(seed: int) -> int:
    if seed < 0:
        raise InputError(f"The seed is {seed}; use 0 or more.")
    return seed


_CALLBACKS: dict[str, Callable] = {"seed": _seed, "config": from_file, "quiet": hush}


def explained(command: _Command) -> _Command:
    """A command whose options say what they mean, as ``options.toml`` has it."""
    means = _MEANS["all"] | _MEANS.get(command.__name__, {})
    for name, kind in get_type_hints(command).items():
        if name in means:
            option = Option(
                "--" + name.strip("_").replace("_", "-"), callback=_CALLBACKS.get(name),
                is_eager=name == "config", help=means[name].format(**_KNOWN),
            )  # fmt: skip
            command.__annotations__[name] = Annotated[kind, option]
    return command


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


@app.command()
@explained
def simulate(out: Path, patients: int = 20_000, seed: int = 0) -> None:
    """Write a simulated hospital in the file layout of MIMIC-IV (nothing to download).

    Beside the folder hosp it leaves truth.json: all that is true of the hospital, by name.

    Example:  ehrsynth simulate --patients 20000 --out hospital
    """
    from .hospital import writing as simulated

    with at_work("Simulating"):
        simulated.write(out, patients=patients, seed=seed)
    say(f"A simulated hospital of {patients:,} patients is in {out}, its truth beside it.")


@app.command()
@explained
def fetch(
    name: Annotated[str, Argument(help="Public data set: mimic-iv-demo or diabetes130.")],
    out: Path | None = None,
) -> None:
    """Download a public data set, or what is missing of it, checked against known checksums.

    Example:  ehrsynth fetch mimic-iv-demo
    """
    folder = fetch_data(name, data_dir=out, progress=True)
    say(f"{name} is in {folder}.")


@app.command()
@explained
def run(
    out: Path,
    dataset: str = "simulated",
    data: str | None = None,
    profile: str = "full",
    seed: int = 0,
    outcome: str | None = None,
    phenotype: Path | None = None,
    columns: Path | None = None,
    patient_id: str | None = None,
    positive: str | None = None,
    rules: Path | None = None,
    recipe: str = DEFAULT,
    privacy: str = PRIVACY[0],
    n: int | None = None,
    code_level: str = "phecode",
    with_: str = "",
    min_prevalence: float | None = None,
    least_patients: int = LEAST_PATIENTS,
    runs: int = 1,
    use_case: str = "machine-learning development",
    format: str | None = None,
    raw: bool = False,
    anyway: bool = False,
    config: Path | None = None,
    quiet: bool = False,
    epsilon: float | None = None,
    delta: float | None = None,
) -> None:
    """Do the whole tutorial in one go: prepare, train, generate, evaluate.

    Leaves train.parquet, holdout.parquet, schema.json, model/, metrics.json, report.html, card.md
    and the synthetic patients in the folder: synthetic.parquet, or of a flat table a file like
    the one that went in. Stop it whenever you like: the same command goes on from there.

    Example:  ehrsynth run --dataset table --data patients.csv --outcome died --out my-run
    """
    # All that is given, by name.
    options = {n: v for n, v in locals().items() if n not in ("with_", "config", "quiet")}
    options = {n: v for n, v in options.items() if v is not None or n not in ("epsilon", "delta")}
    options["include"] = [name.strip() for name in with_.split(",") if name.strip()]
    from .guarantee.run import PrivatePipeline
    from .pipeline import Pipeline

    if epsilon is None and delta is not None:
        raise InputError("--delta needs --epsilon, the strength of the guarantee.")
    pipeline = Pipeline if epsilon is None else PrivatePipeline
    pipeline(**options, n_jobs=-1, progress=not quiet).run()
    say(f"Done. Read {out / 'report.html'} first.", quiet)


@app.command()
@explained
def generate(
    model: Path,
    n: int,
    out: Path,
    seed: int = 0,
    where: list[str] | None = None,
    rules: Path | None = None,
    format: str | None = None,
    raw: bool = False,
    config: Path | None = None,
    quiet: bool = False,
) -> None:
    """Make more patients from a trained model, as many as the disk holds.

    Stop it whenever you like: the same command goes on from there.

    Example:  ehrsynth generate --model first-run/model --n 100000 --out more.parquet
    """
    from . import EMRWGAN, Preprocessor, stream
    from .release import check_beside
    from .rules import RULES_FILE, chosen_rules, read_rules, summary
    from .run_folder import NOISY_SUMS
    from .sources.flat import form

    check_beside(model)
    if (model / NOISY_SUMS).is_file():
        raise InputError(
            f"{model} has a guarantee; only ehrsynth run --epsilon makes patients of it (--n)."
        )
    prep = Preprocessor.load(model)
    of_run = (model / RULES_FILE).is_file()
    known = read_rules(model / RULES_FILE) if of_run else []
    kept = chosen_rules(prep.schema_, rules, prep.dropped_["column"], known, clinical=not of_run)
    gan, condition = EMRWGAN.load(model), _conditions(where or [])
    try:
        like = form.load(model)
        repaired = stream.generate(
            gan, prep, n, out, seed, condition, not quiet, kept, like, format, raw
        )
    except InputError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{model} does not hold a model that can be used: {error!r}.") from error
    say(summary(repaired), quiet)
    say(f"{n:,} synthetic patients are in {out}.", quiet)


def _conditions(pairs: list[str]) -> dict[str, str] | None:
    conditions = {}
    for pair in pairs:
        column, _, value = pair.partition("=")
        if not column or not value:
            raise InputError(f"The condition {pair!r} is not of the form COLUMN=VALUE.")
        conditions[column] = value
    return conditions or None


@app.command()
@explained
def evaluate(
    train: Path,
    holdout: Path,
    synthetic: Path,
    out: Path,
    schema: Path | None = None,
    outcome: str | None = None,
    columns: Path | None = None,
    patient_id: str | None = None,
    positive: str | None = None,
    profile: str = "full",
    exact: bool = False,
    seed: int = 0,
    config: Path | None = None,
    quiet: bool = False,
) -> None:
    """Measure any generator's output: how close, how useful, how exposed.

    The three files are CSV or Parquet tables with one row per patient and the same columns.

    Example:  ehrsynth evaluate --train a.csv --holdout b.csv --synthetic c.csv --outcome died
    --out report
    """
    from .evaluation import alignment, judge
    from .release import check_beside
    from .sources.flat.columns_file import encoding
    from .sources.flat.file import read_file

    if schema is not None and outcome is not None:
        raise InputError("Give --schema or --outcome, not both: the schema names the outcome.")
    paths = {"train": train, "holdout": holdout, "synthetic": synthetic}
    for path in (*paths.values(), *([] if schema is None else [schema])):
        check_beside(path)
    with at_work("Evaluation"):
        said = encoding(columns)
        tables = {name: read_file(path, encoding=said) for name, path in paths.items()}
        if schema is None and columns is None:
            schema = alignment.schema_beside(train, tables["train"].frame)
        known = None if schema is None else Schema.load(schema)
        names = {name: str(path) for name, path in paths.items()}
        given = alignment.align(tables, known, outcome, names, positive, columns, patient_id)
        how = "exact" if exact else profile
        judge.evaluate(**given, seed=seed, profile=how, progress=not quiet).save(out)
    say(f"Done. Read {out / 'report.html'} first.", quiet)


_Run = Annotated[Path, Argument(help="The folder of a finished run.", metavar="DIR")]


@app.command()
@explained
def audit(run: _Run, shadows: int = 8) -> None:
    """Train shadow models of a run, and judge it again by an attacker who has them.

    Each learns of other patients of its train and holdout; the report says what he found.

    Example:  ehrsynth audit first-run --shadows 8
    """
    from .audit import audit as look_closer

    found = look_closer(run, shadows, progress=True)
    interval = f"{found.low:.3f} to {found.high:.3f}"
    typer.echo(f"AUROC {found.value:.3f} (95 % interval {interval}). Read {run / 'report.html'}.")


@app.command()
@explained
def release(
    run: _Run,
    out: Path,
    with_model: bool = False,
    signed_by: str | None = None,
    recipient: str | None = None,
    license: str | None = None,
) -> None:
    """Pack what may leave the house, checked for single patients.

    The synthetic patients, the card, the report and the columns' description, with a manifest.
    Train, holdout and checkpoints stay. If the privacy verdict is not good, somebody has to sign.

    Example:  ehrsynth release first-run --out package --signed-by "A. Name"
    """
    from . import release as packing

    packed = packing.release(run, out, with_model, signed_by, recipient, license)
    say(f"{len(packed)} files are in {out}: {', '.join(packed)}.")
    say(f"Tell who receives it, by another way than the files: the digest is {packing.digest(out)}")


@app.command()
@explained
def verify(
    folder: Annotated[
        Path, Argument(help="A package of release, or a run's folder.", metavar="DIR")
    ],
    digest: str | None = None,
) -> None:
    """Say whether a folder still is what its manifest says: every file, and no other.

    That shows what was damaged, added or lost. Who changes files on purpose can write a new
    manifest, too: only the digest that release printed, told by another way, shows that.

    Example:  ehrsynth verify package --digest 0123...
    """
    from . import release as packing

    if wrong := packing.problems(folder):
        raise InputError(f"{folder} is not what its manifest says: {', '.join(wrong)}.")
    found = packing.digest(folder)
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


def main() -> None:
    """Run the command line; an error of the user's is one sentence and exit code 2."""
    with one_sentence():
        app()


if __name__ == "__main__":
    main()
