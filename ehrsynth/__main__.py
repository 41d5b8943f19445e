"""The command ``ehrsynth``, also ``python -m ehrsynth``.

All that it imports takes a second. Who stops it before that is over is answered, too.
"""

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
