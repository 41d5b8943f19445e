"""Evaluation of synthetic patient tables: fidelity, utility, privacy, fairness; which to choose.

:func:`evaluate` computes every metric of the tutorial, as published and corrected, for the
synthetic data and for the best and the worst table that could stand in its place. Names come from
their modules when they are asked for, so that one metric can be had without all the others.
"""

from importlib import import_module

_HOME = {
    "USE_CASES": "choose", "chance_of_first": "choose", "rank": "choose", "sensitivity": "choose",
    "Estimate": "intervals", "PROFILES": "learners", "SPECS": "judge", "compare": "judge",
    "evaluate": "judge", "Metric": "metric", "Report": "report", "align": "alignment",
}  # fmt: skip
__all__ = list(_HOME)


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
