"""Signs of life: a bar on a terminal or in a notebook, a line now and then in a log.

A log gets a line every :data:`LINE_EVERY` seconds, however fast the work goes; the clock of a bar
moves at least every :data:`BAR_EVERY`, however long a single step takes.
"""

import sys
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TypeVar

from tqdm import tqdm

with warnings.catch_warnings():  # it asks for Jupyter's widgets, which are not used
    warnings.simplefilter("ignore")
    from tqdm.contrib.logging import logging_redirect_tqdm

LINE_EVERY, BAR_EVERY = 30.0, 5.0  # seconds
_Item = TypeVar("_Item")
_shown: list["Work"] = []  # what goes on now, the innermost last


class Work:
    """A piece of work: what it is, how much of it is done, since when."""

    def __init__(self, name: str, total: int | None, unit: str, done: int, live: bool):
        self.name, self.total, self.unit, self.done, self.note = name, total, unit, done, ""
        self.began = time.monotonic()
        form = None if total else "{desc} {elapsed}"  # nothing to count: the clock alone
        self.bar = tqdm(
            desc=name, total=total, unit=f" {unit}", initial=done, bar_format=form,
            leave=total is not None, delay=0 if total else BAR_EVERY, disable=not live,
        )  # fmt: skip

    def at(self, done: int) -> None:
        """So much is done; ``note`` says more of it."""
        self.bar.set_postfix_str(self.note, refresh=False)
        self.bar.update(done - self.done)
        self.done = done

    def line(self) -> str:
        """How far it is, for a log."""
        seconds = time.monotonic() - self.began
        count = f" {self.done:,} of {self.total:,} {self.unit}" if self.total else " at work"
        note = f" ({self.note})" if self.note else ""
        return f"  {self.name}:{count} after {seconds:.0f} s{note}"


@contextmanager
def at_work(
    name: str, total: int | None = None, unit: str = "", done: int = 0, shown: bool = True
) -> Iterator[Work]:
    """Show that a piece of work goes on until it ends; `done` of its `total` are already."""
    live = sys.stderr.isatty() or type(sys.stderr).__module__.startswith("ipykernel")
    work = Work(name, total, unit, done, live and shown)
    if not shown:
        yield work
        return
    stop, outermost = threading.Event(), not _shown
    _shown.append(work)
    try:
        with logging_redirect_tqdm() if live and outermost else nullcontext():
            if outermost:
                threading.Thread(target=_beat, args=(stop, live), daemon=True).start()
            yield work
    finally:
        stop.set()
        _shown.remove(work)
        work.bar.close()


def each(items: Sequence[_Item], name: str, unit: str, shown: bool) -> Iterator[_Item]:
    """The items one after the other, as a piece of work."""
    with at_work(name, len(items), unit, shown=shown) as work:
        for number, item in enumerate(items, start=1):
            yield item
            work.at(number)


def _beat(stop: threading.Event, live: bool) -> None:
    """Say how far the innermost work is, again and again until `stop`."""
    while not stop.wait(BAR_EVERY if live else LINE_EVERY):
        for work in _shown[-1:]:
            if live:
                work.bar.refresh()
            else:
                tqdm.write(work.line(), file=sys.stderr)
