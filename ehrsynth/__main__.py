"""The command ``ehrsynth`` and ``python -m ehrsynth``: it can be stopped while it imports."""

import signal

from .stops import SIGNALS, at_once


def main() -> None:
    """Run the command line."""
    for number in SIGNALS:
        signal.signal(number, at_once)
    from .cli import main as command

    command()


if __name__ == "__main__":
    main()
