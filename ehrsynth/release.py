"""What may leave the house: a package searched for single patients, and whether it still is it."""

import glob
import os
import re
import shutil
import tempfile
from datetime import date
from html import escape
from math import nan
from pathlib import Path

import pandas as pd

from .errors import InputError, some
from .evaluation.report import CARD_FILE, METRICS_FILE, REPORT_FILE
from .files import private_folder, read_json, read_table, resolved, sha256, write_json
from .gan.recipe import MODEL_FILES
from .preprocessing.encode import PREPROCESSOR_FILE
from .protection import LEAST_PATIENTS
from .rare import RARE_FILE, Rare
from .rules import RULES_FILE
from .run_folder import GUARANTEE, GUARANTEE_CARD, INSIDE, NOISY_SUMS, RUN_FILE, STAGES, RunFolder
from .schema import Schema
from .sources.flat.applying import fit_into
from .sources.flat.file import read_file
from .sources.flat.form import FILE as FORM_FILE
from .traces import copied_numbers, repeated

MANIFEST = "manifest.json"
_SCHEMA, _TRAIN, _HOLDOUT = "schema.json", "train.parquet", "holdout.parquet"
_REPORTS = (CARD_FILE, METRICS_FILE, REPORT_FILE, _SCHEMA)
_MODEL = (*MODEL_FILES, PREPROCESSOR_FILE, RULES_FILE, FORM_FILE)


def release(
    run: str | Path, out: str | Path, with_model: bool = False, signed_by: str | None = None,
    recipient: str | None = None, license: str | None = None,
) -> list[str]:  # fmt: skip
    """Pack what may leave of a finished run into a new folder, or say why it may not.

    A privacy verdict that is not good needs a person's name; what gives a single patient away is
    refused, whoever signs. Of a run with a guarantee the report stays, and the card says what is
    guaranteed. What only people know goes into the card here. The names of what was packed.
    """
    run, out = Path(run), Path(out)
    if out.is_symlink() or resolved(run) in (resolved(out), *resolved(out).parents):
        raise InputError(f"{out} is a link or in the run itself; choose a new folder beside it.")
    if wrong := _differences(run, unfinished=True):
        raise InputError(f"{run} cannot be released: {some(wrong, 4)}; run it again first.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already; choose a new folder for the package.")
    guarantee = read_json(run / GUARANTEE) if (run / GUARANTEE).is_file() else {}
    if guarantee:  # the verdict looks at the patients and is no part of it, so it stays
        level = f"epsilon {guarantee['epsilon']:g}, delta {guarantee['delta']:g}"
        verdict = {"level": level, "headline": "differential privacy"}
    else:
        verdict = read_json(run / METRICS_FILE)["verdicts"]["privacy"]
    signature = _signature(signed_by, verdict, needed=not guarantee)
    _check_typed(run, recipient=recipient, license=license, signed_by=signed_by)
    private_folder(out.parent)
    for killed in out.parent.glob(f".{glob.escape(out.name)}.{'[a-z0-9_]' * 8}.part"):
        shutil.rmtree(killed, ignore_errors=True)  # of a release to this place
    # Beside its place: when it is whole, it gets its name at once.
    package = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent))
    try:
        _pack(run, package, with_model, bool(guarantee))
        if found := _found(run, package, bool(guarantee)):
            raise InputError(f"{run} cannot be released, also if signed: {'; '.join(found)}.")
        _close(package, signature, verdict, _plainly(recipient), _plainly(license))
        os.replace(package, out)
    finally:
        shutil.rmtree(package, ignore_errors=True)
    return sorted(read_json(out / MANIFEST)["files"])


def _signature(signed_by: str | None, verdict: dict, needed: bool) -> dict[str, str]:
    """Who signed and when, or why somebody must."""
    name = _plainly(signed_by)
    if not name and (signed_by is not None or needed and verdict["level"] != "good"):
        said = verdict["headline"][:1].lower() + verdict["headline"][1:]
        raise InputError(
            f"The privacy verdict is {verdict['level']} ({said}), so this may only leave when "
            "somebody answers for it: read the report, then give a name with --signed-by NAME."
        )
    return {"name": name, "date": date.today().isoformat()} if name else {}


def _plainly(said: str | None) -> str:
    """What somebody has typed, without signs that mean something to a page."""
    plain = " ".join(re.sub(r"[^\w .,:;'/@()-]", " ", said or "").split())
    return plain if any(sign.isalnum() for sign in plain) else ""


def _check_typed(run: Path, **typed: str | None) -> None:
    """Refuse what says nothing, and what names a patient: it would stand in card and report.

    Who signs may have a name that patients have as well, but no number or date of theirs.
    """
    rare = Rare.load(run)
    for name, text in typed.items():
        option = "--" + name.replace("_", "-")
        if text is not None and not _plainly(text):
            raise InputError(f"{option} says nothing ({text!r}); give words, or leave it out.")
        said = f"{text or ''}\n{_plainly(text)}"
        if found := rare.found_in_words(option, said, texts=name != "signed_by"):
            raise InputError(f"{run} cannot be released: {found[0]}; say it in other words.")


def _pack(run: Path, package: Path, with_model: bool, guaranteed: bool) -> None:
    names = [_SCHEMA, GUARANTEE] if guaranteed else [*_REPORTS]
    names += [table.name for table in run.glob("synthetic.*")]  # in the form of what went in
    if with_model:
        private_folder(package / "model")
        names += [f"model/{name}" for name in (*_MODEL, NOISY_SUMS)]
    for name in names:
        if not name.startswith("model/") or (run / name).is_file():
            shutil.copyfile(run / name, package / name)
    if guaranteed:
        shutil.copyfile(run / GUARANTEE_CARD, package / CARD_FILE)


def _found(run: Path, package: Path, guaranteed: bool) -> list[str]:
    """What of single patients stands in the package, in sentences."""
    if guaranteed:  # what these patients share with a real one is chance; that would be a look more
        made = ("synthetic.*", NOISY_SUMS)
        return _searched(run, [f for f in _files(package) if not any(map(f.match, made))])
    schema, settings = Schema.load(run / _SCHEMA), RunFolder(run).content()["settings"]
    least = max(LEAST_PATIENTS, settings.get("least_patients", 0))
    train = schema.cast(read_table(run / _TRAIN), where=_TRAIN)
    holdout = fit_into(schema, read_table(run / _HOLDOUT))[0]  # may have what train never has
    real = pd.concat([train, holdout], ignore_index=True)
    found = _searched(run, _files(package))
    # As they were evaluated, and in the form of what went in, which may hide what was copied.
    for file in [*run.glob(INSIDE), *sorted(package.glob("synthetic.*"))]:
        released = fit_into(schema, read_file(file).frame)[0]
        if count := copied_numbers(released, real):
            found.append(f"{file.name} holds {count} long numbers of one patient each")
        if count := repeated(_alike(released, train, schema), train, holdout, least):
            found.append(f"{file.name} holds {count} training patients as they are")
    return found


def _alike(released: pd.DataFrame, train: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """The rows that have only words of train and 0 or 1, as only training patients can."""
    own = {n: [*train[n].cat.categories, nan] for n in train if train[n].dtype == "category"}
    odd = [n for n in schema.of_kind("binary") if released[n].dtype != train[n].dtype]
    released = released.astype(dict.fromkeys(odd, str))
    met = released.isin(own | dict.fromkeys(odd, ["0", "1"]))
    return released[met[[*own, *odd]].all(axis=1)].astype(train.dtypes)


def _searched(run: Path, leaving: list[Path]) -> list[str]:
    """What stands in these files that too few patients of the source have."""
    rare, content = Rare.load(run), RunFolder(run).content()
    counted = frozenset(re.findall(r"\d{6,}", str(content["facts"])))
    return [said for file in leaving for said in rare.found_in(file, counted)]


def _close(package: Path, signature: dict, verdict: dict, recipient: str, license: str) -> None:
    """Write into card and report who signed and what was left open, then the manifest."""
    level, name, day = verdict["level"], signature.get("name", ""), signature.get("date", "")
    said = (
        f"{name} has released this data on {day} and answers for it. The privacy verdict was: "
        f"{level} ({verdict['headline']})."
    )
    tops = {CARD_FILE: ("# Data-set card\n", f"\n**Signed**: {said}\n"),
            REPORT_FILE: ("<body>\n", f'<p class="careful">{escape(said)}</p>\n')}  # fmt: skip
    rows = {"Intended recipient and purpose": recipient, "Reviewed by (name, role)": name}
    lines = {"License of the source": license, "Intended recipient": recipient,
             "Reviewed by, on": name and f"{name}, {day}"}  # fmt: skip
    for file, (top, line) in ((package / name, both) for name, both in tops.items()):
        if file.is_file():
            text = file.read_text(encoding="utf-8")
            text = text.replace(top, top + line, 1) if signature else text
            for label, value in rows.items():
                empty = f"<td>{label}</td><td></td>"
                text = text.replace(empty, empty.replace("<td></td>", f"<td>{escape(value)}</td>"))
            for label, value in lines.items():
                open_line = rf"(?m)^(- \*\*{label}\*\*: not stated):.*$"
                text = re.sub(open_line, rf"- **{label}**: {value}" if value else r"\1", text)
            file.write_text(text, encoding="utf-8")
    hashes = {file.relative_to(package).as_posix(): sha256(file) for file in _files(package)}
    write_json({"privacy": level, "signed": signature, "files": hashes}, package / MANIFEST)
    for place in (package, *package.rglob("*")):
        place.chmod(0o755 if place.is_dir() else 0o644)


def _files(folder: Path) -> list[Path]:
    """All that is in a folder but folders; links to some, and empty ones, are no such."""
    return sorted(
        path for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir() or not any(path.iterdir())
    )  # fmt: skip


# -- is it still what it was? ----------------------------------------------------------------------


def problems(folder: str | Path, unfinished: bool = False) -> list[str]:
    """In what a package or a run's folder is not what its manifest says: every file, no other.

    Of a run, a stage that was never finished counts if `unfinished`, and what could leave is
    searched for what too few patients have.
    """
    folder = Path(folder)
    wrong = _differences(folder, unfinished)
    if wrong or not (folder / RARE_FILE).is_file():
        return wrong
    may_leave = (*_REPORTS, *(f"model/{name}" for name in _MODEL))
    tables = folder.glob("synthetic.*")
    files = [*tables, *(path for name in may_leave if (path := folder / name).is_file())]
    return _searched(folder, sorted(files))


def _differences(folder: Path, unfinished: bool) -> list[str]:
    known, wrong, beside = _known(folder), [], [MANIFEST]
    if (folder / RUN_FILE).is_file():
        beside = (run := RunFolder(folder)).beside
        told = [stage for stage in STAGES if unfinished or stage in run.noted("finished")]
        wrong = [f"{stage} {why}" for stage in told if (why := run.stale(stage, ()))]
    there = {path.relative_to(folder).as_posix() for path in _files(folder)}
    for name, digest in known.items():
        if name not in there or not _is(folder / name, digest):
            wrong.append(f"{name} is {'changed' if name in there else 'missing'}")
    return wrong + [f"{name} is not in it" for name in sorted(there - {*known, *beside})]


def _known(folder: Path) -> dict[str, str]:
    """The hash of each file, as the manifest of a package or a run has it."""
    if (folder / RUN_FILE).is_file():  # whatever else was put there
        parts = list(RunFolder(folder).content()["finished"].values())
    elif (folder / MANIFEST).is_file():
        parts = [read_json(folder / MANIFEST)]
    else:
        raise InputError(f"{folder} has no {MANIFEST} and no {RUN_FILE}; give a package or a run.")
    known: dict[str, str] = {}
    for part in parts:
        files = part.get("files", {}) if isinstance(part, dict) else None
        if not isinstance(files, dict):
            raise InputError(f"{folder} has no manifest of ehrsynth; take it anew.")
        known |= files
    return known


def digest(folder: str | Path) -> str:
    """The SHA-256 of a package's manifest, or a run's: who knows it knows all the files'."""
    manifest = Path(folder) / MANIFEST
    return sha256(manifest if manifest.is_file() else Path(folder) / RUN_FILE)


def check_beside(path: str | Path) -> None:
    """Refuse a model or a table that is not what the manifest of its own folder says."""
    path = resolved(path)
    for folder in path.parents[:3]:
        if (folder / MANIFEST).is_file() or (folder / RUN_FILE).is_file():
            asked, known = path.relative_to(folder).as_posix(), _known(folder)
            there = (file.relative_to(folder).as_posix() for file in _files(path))
            wrong = [
                name for name in sorted({*known, *there})
                if (name == asked or name.startswith(f"{asked}/"))
                and (".." in name.split("/") or not _is(folder / name, known.get(name)))
            ]  # fmt: skip
            if wrong:
                raise InputError(
                    f"{some(wrong, 3)} in {folder} is not what its manifest says; take it from "
                    "where it was made, or make it again."
                )
            return


def _is(path: Path, digest: str | None) -> bool:
    return path.is_file() and not path.is_symlink() and sha256(path) == digest
