"""How the command line talks: a log, one sentence for an error, exit codes, options from a file."""

import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import typer

from .errors import InputError, some
from .files import read_by_hand
from .stops import SIGNALS, STOPPED

_LONGEST = 5_000  # letters of a sentence that says what is wrong
# What moves a terminal's cursor, hides text or turns its direction.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")


def _plain(text: str) -> str:
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


class _Plain(logging.Formatter):
    """Lines of the log in which no name from a file can play with the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return _plain(super().format(record))


_stopped: list[int] = []  # by which signals


def _stop(number: int, _frame: object) -> NoReturn:
    """End as an error would: everything that is open is closed and removed."""
    _stopped.append(number)
    sys.exit(128 + number)


@contextmanager
def one_sentence() -> Iterator[None]:
    """Say in a sentence what of the user's cannot be used, or that it was stopped."""
    before = {number: signal.signal(number, _stop) for number in SIGNALS}
    try:
        yield
    except BaseException as error:
        if _stopped:  # whatever a library has made of it
            typer.echo(STOPPED, err=True)
            sys.exit(128 + _stopped[0])
        if isinstance(error, InputError):
            typer.echo(f"Error: {' '.join(_plain(str(error)).split())[:_LONGEST]}", err=True)
            sys.exit(2)
        if not isinstance(error, Exception):
            raise
        where = traceback.format_tb(error.__traceback__)  # a library's words may quote a patient
        typer.echo("".join([*where, type(error).__name__]), err=True)
        sys.exit(1)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def start_log() -> None:
    """Show on stderr what the package tells."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Plain())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("ehrsynth").setLevel(logging.INFO)


def say(text: str, quiet: bool = False) -> None:
    """Print a line, unless it is to be quiet or nobody is there any more to read it."""
    with suppress(OSError):
        if not quiet:
            typer.echo(_plain(text))
        return
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that Python can close it


def hush(quiet: bool) -> bool:
    """Leave out of the log what is no warning."""
    if quiet:
        logging.getLogger("ehrsynth").setLevel(logging.WARNING)
    return quiet


def from_file(ctx: typer.Context, path: Path | None) -> Path | None:
    """Take what a file says for the options that are not given."""
    if path is None:
        return None
    said = read_by_hand(path)
    known = {name.lstrip("-"): o.name for o in ctx.command.params for name in o.opts}
    if not isinstance(said, dict) or not all(isinstance(name, str) for name in said):
        raise InputError(f"{path} does not give options as 'name: value'; see the API page.")
    names = {name: known.get(name.replace("_", "-")) for name in said}
    if lost := [name for name in said if names[name] in (None, "config")]:
        raise InputError(f"{path} has no option {lost[0]!r}; there are {some(sorted(known), 40)}.")
    given = {str(names[name]): value for name, value in said.items() if value is not None}
    ctx.default_map = {**(ctx.default_map or {}), **given}
    return path
