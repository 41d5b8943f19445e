"""The columns and pairs that differ most: planted ones are named, and nobody else is."""

import numpy as np
import pytest
from known_truth import population

from ehrsynth import plots
from ehrsynth.evaluation import PROFILES
from ehrsynth.evaluation.farthest import farthest
from ehrsynth.evaluation.setting import with_references
from ehrsynth.schema import Schema


@pytest.fixture(scope="module")
def people():
    drawn = population(4_000, 40, 0)
    return drawn.head(1_500), drawn.iloc[1_500:2_500], drawn.tail(1_500)


def found(people, made):
    train, holdout, _ = (t.reset_index(drop=True) for t in people)
    made = made.reset_index(drop=True)
    schema = Schema.of(train)
    scene = with_references(train, holdout, made, schema, PROFILES["fast"], 0)["synthetic"]
    return farthest(scene)


def test_of_fresh_patients_nothing_is_named(people):
    assert found(people, people[2]) == {"columns": [], "pairs": []}


def test_what_was_changed_is_named_the_largest_change_first(people):
    made, rng = people[2].copy(), np.random.default_rng(0)
    made["age"] = made["age"] + 8
    codes = [n for n in made if n.startswith("phe_")]
    common = made[codes].mean().nlargest(1).index[0]
    extra = rng.random(len(made)) < 0.1
    made[common] = (made[common].to_numpy(bool) | extra).astype("uint8")
    named = [row["column"] for row in found(people, made)["columns"]]
    schema = Schema.of(made)
    assert named == [schema["age"].title, schema[common].title]
    row = found(people, made)["columns"][0]
    assert row["synthetic"] - row["real"] == pytest.approx(8, abs=1.5)


def test_a_pair_that_is_torn_apart_is_named(people):
    made = people[2].copy()
    shuffled = np.random.default_rng(1).permutation(len(made))
    made["diastolic"] = made["diastolic"].to_numpy()[shuffled]
    told = found(people, made)
    assert not told["columns"]
    schema = Schema.of(made)
    titles = {schema["diastolic"].title, schema["systolic"].title}
    both = [row for row in told["pairs"] if {row["first"], row["second"]} == titles]
    assert len(both) == 1 and abs(both[0]["synthetic"]) < 0.15 < both[0]["real"]


def test_how_many_of_fewer_than_five_have_a_code_is_not_told(people):
    told = {}
    for count in (2, 4, 8):
        train, made = people[0].copy(), people[2].copy()
        code = next(n for n in train if n.startswith("phe_"))
        train[code], made[code] = np.uint8(0), np.uint8(1)
        train.iloc[:count, train.columns.get_loc(code)] = 1
        told[count] = found((train, people[1], people[2]), made)["columns"][0]
    assert told[8]["real"] == pytest.approx(8 / 1_500, rel=1e-3)
    assert told[2]["real"] is None and told[2] == told[4]  # no other number tells it either


def test_the_picture_names_them():
    columns = [{"column": "Age (years)", "real": 50.0, "synthetic": 58.0, "distance": 0.4}]
    pairs = [{"first": "A", "second": "B", "real": 0.6, "synthetic": 0.1}]
    figure = plots.farthest(columns, pairs)
    labels = [label.get_text() for ax in figure.axes for label in ax.get_yticklabels()]
    assert labels == ["Age (years)", "A and B"]
    assert len(plots.farthest([], pairs).axes) == 1
