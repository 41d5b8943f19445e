"""Rules as a person writes them: read, refused in one sentence, remembered by a run."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from toy import toy_schema

from ehrsynth.errors import InputError
from ehrsynth.generation.decode import violations
from ehrsynth.rules import (
    DEATHS,
    Above,
    Between,
    Implies,
    Only,
    check_rules,
    chosen_rules,
    clinical_rules,
    read_rules,
    summary,
    write_rules,
)
from ehrsynth.schema import Column, Schema

WRITTEN = """
- only:    {column: phe_3, sex: F}
- above:   {column: systolic, other: bmi}
- between: {column: age, low: 18, high: 80.5}
- between: {column: bmi, high: 50}
- implies: {when: {phe_4: 1, sex: M}, then: {phe_5: 1, race: B}}
- implies:
    when: {phe_6: true}
    then: {phe_7: false}
"""
RULES = [
    Only("phe_3", "F"),
    Above("systolic", "bmi"),
    Between("age", 18, 80.5),
    Between("bmi", high=50),
    Implies({"phe_4": 1, "sex": "M"}, {"phe_5": 1, "race": "B"}),
    Implies({"phe_6": True}, {"phe_7": False}),
]


@pytest.fixture
def write(tmp_path):
    def write(content, name="r.yaml"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def test_yaml_and_json_say_the_same(write, tmp_path):
    assert read_rules(write(WRITTEN)) == RULES
    assert read_rules(write(yaml.safe_load(WRITTEN), "r.json")) == RULES
    check_rules(RULES, toy_schema())
    write_rules(RULES, tmp_path / "again.json")
    assert read_rules(tmp_path / "again.json") == RULES


def test_own_rules_come_after_the_schemas_and_none_twice(write):
    path = write([{"above": {"column": "systolic", "other": "diastolic"}},
                  {"between": {"column": "age", "low": 30}}])  # fmt: skip
    schema = toy_schema()
    assert chosen_rules(schema, path) == [*clinical_rules(schema), Between("age", low=30)]


def test_a_rule_about_a_column_that_was_too_rare_is_left_out(write):
    path = write([{"implies": {"when": {"phe_99": 1}, "then": {"phe_2": 1}}}])
    schema = toy_schema()
    assert chosen_rules(schema, path, absent=["phe_99"]) == clinical_rules(schema)
    with pytest.raises(InputError, match="rule 1 .*'phe_99'"):
        chosen_rules(schema, path)


def test_death_within_a_year_is_a_death():
    """Whichever of the two is the outcome stays, and the other one follows."""
    two = (Column("DIE_1y", "binary", "outcome"), Column("DIE_any", "binary"))
    assert clinical_rules(Schema(two)) == [DEATHS[0]]
    two = (Column("DIE_1y", "binary"), Column("DIE_any", "binary", "outcome"))
    assert clinical_rules(Schema(two)) == [DEATHS[1]]
    assert clinical_rules(Schema(two[:1])) == []


def rule(kind, **said):
    return [{"between": {"column": "age", "low": 18}}, {kind: said}]


AGE = {"column": "age"}
REFUSED = {
    "no list": ({"above": {}}, ["a list of rules"]),
    "no mapping": (["age above 18"], ["rule 1", "only, above, between, implies"]),
    "two kinds in one": ([{"above": {}, "only": {}}], ["rule 1", "one of only"]),
    "unknown kind": (rule("below"), ["rule 2", "'below'", "only, above, between, implies"]),
    "list for a rule": ([{"only": ["phe_3", "F"]}], ["rule 1 (only)", "column, sex"]),
    "unknown key": (rule("only", column="phe_3", gender="F"), ["rule 2 (only)", "'gender'", "sex"]),
    "key left out": (rule("above", column="systolic"), ["rule 2 (above)", "no other"]),
    "no end": (rule("between", **AGE), ["rule 2 (between)", "low nor high"]),
    "text for a number": (rule("between", **AGE, low="old"), ["'old'", "a number"]),
    "yes for a number": (rule("between", **AGE, low=True), ["True", "a number"]),
    "no number": (rule("between", **AGE, low=float("nan")), ["nan", "a number"]),
    "number for a column": (rule("only", column=7, sex="F"), ["column 7", "a text"]),
    "unknown column": (rule("above", column="systolc", other="bmi"), ["'systolc'", "'systolic'"]),
    "unknown sex": (rule("only", column="phe_3", sex="X"), ["'X'", "F or M"]),
    "code for a number": (rule("above", column="phe_3", other="bmi"), ["'phe_3' is binary"]),
    "number for a code": (rule("only", column="bmi", sex="F"), ["'bmi' is continuous", "binary"]),
    "itself": (rule("above", column="bmi", other="bmi"), ["'bmi' with itself"]),
    "nothing left": (rule("between", **AGE, low=92), ["age at least 92", "18 to 91"]),
    "no whole number": (rule("between", **AGE, low=20.2, high=20.8), ["no value", "0 decimals"]),
    "changes the outcome": (
        rule("implies", when={"phe_3": 1}, then={"DIE_1y": 1}), ["'DIE_1y'", "another column"]
    ),
    "changes the sex": (
        rule("implies", when={"phe_3": 1}, then={"sex": "F"}), ["'sex'", "another column"]
    ),
    "unknown value": (
        rule("implies", when={"race": "C"}, then={"phe_3": 1}), ["'race'", "'C'", "A, B"]
    ),
    "yes for a text": (
        rule("implies", when={"race": True}, then={"phe_3": 1}), ["True", "in quotes"]
    ),
    "two for a code": (rule("implies", when={"phe_3": 2}, then={"phe_4": 1}), ["2", "0, 1"]),
    "empty": (rule("implies", when={}, then={"phe_4": 1}), ["when and then"]),
    "both": (rule("implies", when={"phe_4": 1}, then={"phe_4": 1}), ["'phe_4'", "once"]),
    "list of columns": (rule("implies", when=["phe_4"], then={"phe_4": 1}), ["{dialysis: 1}"]),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused_by_file_and_number(write, case):
    content, words = REFUSED[case]
    path = write(yaml.safe_dump(content))
    with pytest.raises(InputError) as refusal:
        chosen_rules(toy_schema(), path)
    assert str(refusal.value).startswith(str(path))
    for word in words:
        assert word in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [("r.yaml", "- [", "not readable YAML"), ("r.json", "[", "not readable JSON"),
     ("r.txt", "", "unknown ending"), ("r.yaml", None, "does not exist")],
)  # fmt: skip
def test_files_that_cannot_be_read(tmp_path, name, content, reason):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=f"{name}.*{reason}"):
        read_rules(tmp_path / name)


def test_the_summary_says_how_many_and_of_what():
    assert summary({"a": 0, "b": 0}) == "Nothing to repair: all patients keep the 2 clinical rules."
    assert summary({"a": 2, "b": 1200, "c": 0, "d": 3}, most=1) == (
        "1,205 repairs (b: 1,200; 2 more rules)."
    )


def test_an_order_is_looked_for_in_a_plain_table_too():
    """A reader's little ward has no schema; a rule that is given needs none."""
    ward = pd.DataFrame({"out": [30.0, 8.0, np.nan], "come": [4.0, 12.0, 7.0]})
    assert violations(ward, rules=[Above("out", "come")])["count"].tolist() == [1]
