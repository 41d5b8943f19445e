"""The command ``ehrsynth`` and ``python -m ehrsynth``: it can be stopped while it imports."""

import os
import signal
from typing import NoReturn

STOPPED = "Stopped. The same command goes on from here."
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def at_once(number: int, _frame: object) -> NoReturn:
    """End without asking anybody: no import, and nothing at the end of Python, can swallow it."""
    os.write(2, f"{STOPPED}\n".encode())
    os._exit(128 + number)


def main() -> None:
    """Run the command line."""
    for number in SIGNALS:
        signal.signal(number, at_once)
    from .cli import main as command

    command()


if __name__ == "__main__":
    main()
