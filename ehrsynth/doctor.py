"""Does this machine have what the book and a run need, and what is to be done if not?"""

import os
import platform
import shutil
import timeit
from importlib import metadata
from time import process_time
from typing import NamedTuple

import numpy as np
from packaging.requirements import Requirement

from .errors import InputError
from .profiles import free_memory
from .sources.fetch import fetched, registry

# A fast run takes so many seconds where `work` of a thread does; a chapter takes so much memory.
_FAST_RUN, _REFERENCE, _MEMORY_GB, _DISK_GB = 60.0, 0.065, 2.0, 1.0


class Finding(NamedTuple):
    """What was looked at, whether it will do, what was found, and what to do."""

    name: str
    good: bool
    found: str
    advice: str = ""


def _packages() -> list[Finding]:
    """The core dependencies, and what training takes besides, against their bounds."""
    bad, good = [], 0
    for line in metadata.requires("ehrsynth") or []:
        wanted = Requirement(line)
        if wanted.marker and not wanted.marker.evaluate({"extra": "gan"}):
            continue
        use = " (training and sampling need it, evaluation does not)" if wanted.marker else ""
        try:
            version = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            version = ""
        if version and wanted.specifier.contains(version, prereleases=True):
            good += 1
            continue
        cure = f'pip install "{wanted.name}{wanted.specifier}"'
        text = f"is {version or 'missing'}; {wanted.specifier or 'any version'} is needed{use}"
        bad.append(Finding(wanted.name, False, text, cure))
    return [Finding("packages", not bad, f"{good} of {good + len(bad)} are there"), *bad]


def _room(name: str, have: float, least: float, advice: str) -> Finding:
    told = "this system does not tell" if have == float("inf") else f"{have:.1f} GB free"
    return Finding(name, have >= least, told, "" if have >= least else advice)


def _data(name: str) -> Finding:
    try:
        return Finding(name, True, f"is in {fetched(name)}")
    except InputError:
        return Finding(name, True, "is not fetched", f"if you want it: ehrsynth fetch {name}")


def examine() -> list[Finding]:
    """Look at versions, processors, memory, disk and data; nothing is changed."""
    threads = os.environ.get("OMP_NUM_THREADS")
    slow = "" if threads else "if chapters are slow, set OMP_NUM_THREADS=1 before you start"
    public = [name for name, entry in registry().items() if not entry.get("credentialed")]
    x, weights = np.ones((512, 384), np.float32), np.ones((384, 384), np.float32)
    work = min(timeit.repeat(lambda: np.maximum(x @ weights, 0), timer=process_time, number=60))
    minutes = max(1, round(_FAST_RUN * work / _REFERENCE / 60))
    return [
        Finding("Python", True, f"{platform.python_version()} on {platform.system()}"),
        *_packages(),
        Finding("processors", True, f"{os.cpu_count()}, threads: {threads or 'not set'}", slow),
        _room("memory", free_memory(), _MEMORY_GB, "close other programs"),
        _room("disk", shutil.disk_usage(".").free / 1e9, _DISK_GB, "choose another folder"),
        *map(_data, public),
        Finding("time", True, f"ehrsynth run --profile fast: about {minutes} min"),
    ]
