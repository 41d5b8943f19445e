"""Evaluation of synthetic patient tables: fidelity, utility, privacy, fairness; which to choose.

:func:`evaluate` computes every metric of the tutorial, as published and corrected, for the
synthetic data and for the best and the worst table that could stand in its place. The names come
from their modules when they are asked for, so that one metric can be had without all the others.
"""

from importlib import import_module

_MODULES = {
    "choose": ("USE_CASES", "chance_of_first", "rank", "sensitivity"),
    "intervals": ("Estimate",),
    "judge": ("SPECS", "compare", "evaluate"),
    "metric": ("Metric",),
    "report": ("Report",),
    "alignment": ("align",),
    "learners": ("PROFILES",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}
__all__ = list(_HOME)


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
