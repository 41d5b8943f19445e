"""Several derived numbers in one table: whatever is chosen, all their formulas hold afterwards."""

import numpy as np
import pandas as pd
import pytest

import ehrsynth as es
from ehrsynth.discovery.formulas import formulas
from ehrsynth.relations import compute, half_unit
from ehrsynth.schema import Schema

N = 1500


def _heart(rng) -> tuple[dict, list[str]]:
    """A coarse rate, its fine interval, and two numbers made of the fine one."""
    hr = rng.normal(75, 14, N).clip(40, 150).round()
    rr = (60_000 / hr).round()
    qt = (400 * (rr / 800) ** 0.4 * np.exp(rng.normal(0, 0.06, N))).round()
    parts = {"hr": hr, "rr": rr, "qt": qt}
    parts |= {"bazett": (qt / (rr / 1000) ** 0.5).round()}
    parts |= {"fridericia": (qt / (rr / 1000) ** (1 / 3)).round()}
    return parts, [
        "rr = 60000 / hr", "bazett = qt / (rr / 1000) ** 0.5",
        "fridericia = qt / (rr / 1000) ** (1 / 3)",
    ]  # fmt: skip


def _units(rng) -> tuple[dict, list[str]]:
    """The same weight in two units; the inverse of the finer one is as exact."""
    height, weight = rng.normal(168, 9, N).round(), rng.normal(76, 13, N).clip(40).round(1)
    surface = (0.007184 * weight**0.425 * height**0.725).round(2)
    parts = {"height": height, "weight": weight, "surface": surface}
    return parts | {"pounds": (2.20462 * weight).round(1)}, [
        "pounds = 2.20462 * weight", "surface = 0.007184 * weight ** 0.425 * height ** 0.725",
    ]  # fmt: skip


def _sugar(rng) -> tuple[dict, list[str]]:
    """Two coarse numbers of one: constants of which least squares give too few digits."""
    a1c = rng.normal(6.4, 1.3, N).clip(4, 14).round(1)
    parts = {"a1c": a1c, "average": (28.7 * a1c - 46.7).round()}
    return parts | {"ifcc": (10.929 * a1c - 23.49735).round()}, [
        "average = 28.7 * a1c - 46.7", "ifcc = 10.929 * a1c - 23.49735",
    ]  # fmt: skip


def _four(rng) -> tuple[dict, list[str]]:
    """Numbers of four others; the smallest of them would hide in what rounding leaves open."""
    na, k = rng.normal(139, 4, N).round(), rng.normal(4.2, 0.5, N).round(1)
    cl, co2 = rng.normal(103, 4, N).round(), rng.normal(24, 3, N).round()
    parts = {"na": na, "k": k, "cl": cl, "co2": co2, "gap": (na + k - cl - co2).round()}
    years, platelets = rng.integers(20, 90, N), rng.normal(240, 50, N).clip(40).round()
    ast, alt = (rng.lognormal(3.3, 0.5, N).round() + 5 for _ in range(2))
    parts |= {"years": years, "ast": ast, "alt": alt, "platelets": platelets}
    return parts | {"fib4": (years * ast / (platelets * alt**0.5)).round(2)}, [
        "gap = na + k - cl - co2", "fib4 = years * ast / (platelets * alt ** 0.5)",
    ]  # fmt: skip


@pytest.mark.parametrize("make", [_heart, _units, _sugar, _four])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_formula_holds_when_the_parts_are_mixed(make, seed):
    rng = np.random.default_rng(seed)
    parts, truths = make(rng)
    frame = pd.DataFrame({n: parts[n] for n in rng.permutation(list(parts))})
    table = es.load("table", frame.assign(died=rng.integers(0, 2, N)), outcome="died")["table"]
    schema = Schema.of(table)
    mixed = {n: table[n].to_numpy(float)[rng.permutation(N)] for n in parts}
    found = [one.rule for one in formulas(table, schema)]
    assert len(found) == len(truths)
    for rule in found:  # as generation does, in this order
        digits = schema[rule.column].decimals
        mixed[rule.column] = np.round(compute(rule.equals, mixed), digits)
    for truth in truths:
        target, equals = truth.split(" = ")
        off = np.abs(mixed[target] - compute(equals, mixed)) / half_unit(schema[target])
        assert np.mean(off > 1.01) <= 0.001, truth  # rounded numbers tell a constant so far only
