"""What the benchmark of guarantees hands to a program of others, and takes back."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from known_truth import population

from ehrsynth.guarantee.budget import Budget
from ehrsynth.schema import Schema

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

import guarantee


def test_a_table_comes_back_as_it_went_to_mst_but_for_the_cells_of_numbers(tmp_path):
    """A stand-in for the other environment's Python hands back what it was given."""
    stand_in = tmp_path / "python"
    stand_in.write_text('#!/bin/sh\ncp "$2" "$4"\n')
    stand_in.chmod(0o755)
    train = population(200, 5, seed=1)
    ends = train.agg(["min", "max"], numeric_only=True)
    columns = (
        replace(c, lower=float(ends[c.name]["min"]), upper=float(ends[c.name]["max"]))
        if c.kind == "continuous"
        else c
        for c in Schema.of(train).columns
    )
    schema = Schema(tuple(columns))
    train = schema.attach(train)
    number, *others = schema.of_kind("continuous")
    train.loc[3, number] = np.nan
    made = guarantee.by_mst(train, Budget(1.0), 0, str(stand_in))
    assert (
        list(made) == schema.names and made[number].isna().tolist() == train[number].isna().tolist()
    )
    for name in (number, *others):
        cell = (schema[name].upper - schema[name].lower) / guarantee.CELLS
        apart = (made[name] - train[name].clip(schema[name].lower, schema[name].upper)).abs()
        assert apart.max() <= cell and apart.max() > 0
    for name in (*schema.of_kind("binary"), *schema.of_kind("categorical")):
        values = (table[name].astype(str).tolist() for table in (made, train))
        assert [one.replace("True", "1").replace("False", "0") for one in next(values)] == [
            one.replace("True", "1").replace("False", "0") for one in next(values)
        ]
