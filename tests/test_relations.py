"""What holds for every patient: found in train beyond chance, kept by what is generated."""

import time

import numpy as np
import pandas as pd
import pytest
from conftest import described, schema_of
from toy import toy_patients, toy_schema

import ehrsynth as es
from ehrsynth.discovery import relations
from ehrsynth.discovery.formulas import formulas
from ehrsynth.errors import InputError
from ehrsynth.generation.decode import repair, violations
from ehrsynth.relations import Follows, Formula, compute, parse, written
from ehrsynth.rules import Above, Drop, Implies, chosen_rules, read_rules, write_rules
from ehrsynth.schema import MISSING, Column, Schema


def clinic(n: int = 3000, seed: int = 0) -> pd.DataFrame:
    """Patients of a clinic whose columns depend on each other in every way that is looked for."""
    rng = np.random.default_rng(seed)
    kilos, cm = rng.normal(75, 14, n).round(1), rng.normal(170, 9, n).round()
    upper = rng.normal(125, 15, n).round()
    lower = (upper - np.abs(rng.normal(45, 9, n)) - 5).round()
    died = rng.random(n) < 0.2
    town = rng.choice(list("abcde"), n)
    child = (parent := rng.random(n) < 0.3) & (rng.random(n) < 0.3)
    smoker = rng.choice(["never", "current", "former"], n)
    lab = np.where(rng.random(n) < 0.3, np.nan, rng.normal(10, 2, n).round(1))
    table = pd.DataFrame({
        "died": died.astype(int),
        "q": np.where(died, rng.choice(["heart", "cancer", "other"], n), None),
        "sex": rng.choice(["F", "M"], n), "age": rng.normal(60, 12, n).round(),
        "u": kilos, "v": cm, "w": (kilos / (cm / 100) ** 2).round(1),
        "area": (kilos * cm / 3600) ** 0.5,
        "hi": upper, "lo": lower, "mid": ((upper + 2 * lower) / 3).round(),
        "a": (a := rng.gamma(3, 2, n).round(2)), "b": (b := rng.gamma(3, 2, n).round(2)),
        "ab": (a + b).round(2), "town": town,
        "land": pd.Series(town).map(dict(a="N", b="N", c="S", d="S", e="W")),
        "parent": parent.astype(int), "child": child.astype(int), "smoker": smoker,
        "packs": np.where(smoker == "never", 0, rng.gamma(2, 5, n).round(1) + 0.1),
        "lab": lab, "other_lab": np.where(np.isnan(lab), np.nan, rng.normal(5, 1, n).round(1)),
    })  # fmt: skip
    return described(table, "died")


HOLDS = {
    "w = 10000 * u / v ** 2", "area = 1 / 60 * u ** 0.5 * v ** 0.5", "ab = a + b",
    "mid = 1 / 3 * hi + 2 / 3 * lo", "hi above lo", "died = 0 implies q = (missing)",
    "died = 1 implies q = cancer or heart or other", "land follows from town",
    "child = 1 implies parent = 1", "packs follows from smoker", "other_lab is known when lab is",
}  # fmt: skip


def names_of(found) -> set[str]:
    return {str(one.rule) for one in found}


def test_every_kind_of_relation_is_found_without_being_told_and_nothing_else():
    table = clinic()
    found = relations(table)
    assert names_of(found) == HOLDS
    for rule, by_chance in found:
        broken, applies = rule.broken(table, Schema.of(table))
        assert broken.sum() == 0 and by_chance > 10 and applies.sum() >= by_chance
        rule.check(Schema.of(table))


def test_what_is_computed_is_the_finer_one_for_its_size_whatever_its_decimals():
    """A clearance of 100.3 ml/min is finer than a creatinine of 1.03 mg/dL, which is measured."""
    rng = np.random.default_rng(5)
    creatinine, urine = (
        rng.lognormal(0, 0.45, 2000).round(2),
        rng.lognormal(4.4, 0.4, 2000).round(1),
    )
    volume = rng.normal(1500, 400, 2000).clip(300).round()
    clearance = (urine * volume / (creatinine * 1440)).round(1)
    table = pd.DataFrame({"died": np.arange(2000) % 2, "creatinine": creatinine, "urine": urine,
                          "volume": volume, "clearance": clearance})  # fmt: skip
    (found,) = [one.rule for one in relations(described(table, "died"))]
    assert found.column == "clearance"


def test_minutes_between_two_times_follow_though_they_are_little_beside_a_year():
    rng = np.random.default_rng(6)
    arrival = (np.round(rng.uniform(0, 365 * 1440, 2000)) / 1440).round(6)
    wait = rng.gamma(2, 30, 2000).round()
    table = pd.DataFrame({"died": np.arange(2000) % 2, "arrival": arrival, "wait": wait,
                          "seen": (arrival + wait / 1440).round(6),
                          "weight": rng.normal(75, 14, 2000).round(1)})  # fmt: skip
    (found,) = [one.rule for one in relations(described(table, "died"))
                if isinstance(one.rule, Formula)]  # fmt: skip
    assert sorted(found.columns) == ["arrival", "seen", "wait"]


def test_a_product_is_found_where_some_patients_have_none_of_it():
    rng = np.random.default_rng(8)
    packs = np.where(rng.random(2000) < 0.4, 0, rng.integers(1, 60, 2000))
    years = np.where(packs == 0, 0, rng.integers(1, 50, 2000))
    table = pd.DataFrame({"died": np.arange(2000) % 2, "a_day": packs, "years": years,
                          "pack_years": (packs / 20 * years).round(1)})  # fmt: skip
    assert "pack_years = 0.05 * a_day * years" in names_of(relations(described(table, "died")))


def test_the_order_of_dates_is_found_and_kept_whatever_day_they_are_counted_from():
    rng = np.random.default_rng(9)
    seen = pd.Timestamp("2018-01-01") + pd.to_timedelta(rng.integers(0, 600, 1000), unit="D")
    fell_ill = seen - pd.to_timedelta(rng.integers(0, 40, 1000), unit="D")
    frame = pd.DataFrame({"died": np.arange(1000) % 2, "fell_ill": fell_ill, "seen": seen})
    table = es.load("table", frame, outcome="died")["table"]
    schema = Schema.of(table)
    assert schema["seen"].unit != schema["fell_ill"].unit
    rules = [one.rule for one in relations(table)]
    assert rules == [Above("seen", "fell_ill", equal=True)]
    mixed = table.assign(seen=rng.permutation(table["seen"]))
    assert rules[0].broken(mixed, schema)[0].any()
    made = repair(mixed, rng, schema, rules)
    first = [pd.Timestamp(schema[n].unit[-10:]) for n in ("seen", "fell_ill")]
    days = [
        f + pd.to_timedelta(made[n], unit="D")
        for f, n in zip(first, ("seen", "fell_ill"), strict=True)
    ]
    assert (days[0] >= days[1]).all()


def test_what_some_patients_break_is_no_relation():
    table, rows = clinic(), np.arange(30)
    table.loc[rows, "w"] += 3
    table.loc[rows, "mid"] += 5
    table.loc[rows, "ab"] += 1
    table.loc[rows, "area"] += 1
    table.loc[rows, "hi"] = table.loc[rows, "lo"] - 1
    table.loc[:, "land"] = table["land"].where(table.index >= 30, "W")
    table.loc[:, "child"] = np.where((table.index < 200), 1, table["child"]).astype("uint8")
    table.loc[rows, "packs"] = 7.0
    table.loc[100:400, "other_lab"] = np.nan
    table["q"] = table["q"].where(table.index >= 400, "heart")
    left = names_of(relations(Schema.of(clinic()).cast(table)))
    assert left & HOLDS == {"died = 1 implies q = cancer or heart or other"}


def scores(n=600, seed=0):
    """Grades of few values: their sum is a category as well, and follows from them."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"y": rng.random(n) < 0.3, "eye": rng.integers(1, 4, n)})
    table[["motor", "other"]] = rng.integers(1, 5, (n, 2))
    return described(table.assign(total=table["eye"] + table["motor"]), "y")


def test_a_sum_of_scores_with_few_values_is_found_and_computed():
    table = scores()
    schema = Schema.of(table)
    assert schema["total"].kind == "categorical"
    found = relations(table)
    assert "total = eye + motor" in names_of(found)
    rules = [one.rule for one in found if isinstance(one.rule, Formula)]
    assert [rule.columns for rule in rules] == [("total", "eye", "motor")]
    rng = np.random.default_rng(1)
    mixed = schema.attach(
        pd.DataFrame({n: c.array[rng.permutation(600)] for n, c in table.items()})
    )
    assert rules[0].broken(mixed, schema)[0].any()
    mended = repair(mixed, np.random.default_rng(0), schema, rules)
    parts = [mended[name].astype(int) for name in ("eye", "motor")]
    assert (mended["total"].astype(int) == sum(parts)).all()
    assert mended.dtypes.equals(table.dtypes)


def test_a_slip_in_a_record_does_not_hide_a_formula():
    table = clinic()
    table.loc[5, "w"] += 4
    assert "w = 10000 * u / v ** 2" in names_of(relations(table))
    table.loc[:9, "w"] += 4
    assert "w = 10000 * u / v ** 2" not in names_of(relations(table))


def independent(seed: int) -> pd.DataFrame:
    """Columns of every kind that have nothing to do with each other."""
    rng = np.random.default_rng(seed)
    codes, kinds, numbers, n = [(5, 3, 8, 300), (60, 5, 6, 800), (3, 10, 4, 500)][seed % 3]
    table = {"y": rng.random(n) < 0.2, "sex": rng.choice(["F", "M"], n)}
    table |= {f"code{i}": rng.random(n) < 10 ** rng.uniform(-3, -0.2) for i in range(codes)}
    for i in range(kinds):
        size = rng.integers(2, 15)
        values = rng.choice(size, n, p=rng.dirichlet(np.full(size, 0.7))).astype(str).astype(object)
        table[f"kind{i}"] = np.where(rng.random(n) < rng.choice([0, 0.3]), None, values)
    for i in range(numbers):
        values = [rng.normal(50, 10, n).round(), rng.lognormal(1, 1, n).round(1),
                  rng.gamma(2, 2, n),
                  rng.poisson(0.3, n).astype(float)][i % 4]  # fmt: skip
        table[f"number{i}"] = np.where(rng.random(n) < rng.choice([0, 0.2, 0.8]), np.nan, values)
    made = pd.DataFrame(table)
    made = made.loc[:, [made[name].nunique() > 1 for name in made]]
    return described(made, "y")


@pytest.mark.parametrize("seed", range(9))
def test_independent_columns_have_no_relations(seed):
    assert relations(independent(seed)) == []


def test_what_age_alone_explains_is_no_relation_of_two_diseases():
    rng = np.random.default_rng(0)
    age = rng.uniform(18, 95, 6000).round()
    of_the_young = (age < 40) & (rng.random(6000) < 0.3)
    of_the_old = (age > 50) & (rng.random(6000) < 0.4)
    table = pd.DataFrame({"age": age, "young": of_the_young, "old": of_the_old})
    table["one"] = rng.random(6000) < 0.3
    table["another"] = ~table["one"] & (rng.random(6000) < 0.3)
    table = table.astype({name: "uint8" for name in ("young", "old", "one", "another")})
    found = relations(table, schema_of(table))
    assert names_of(found) == {"another = 1 implies one = 0"}
    assert "young" in str(names_of(relations(described(table.drop(columns="age")))))


def test_few_patients_show_nothing():
    assert relations(clinic(12)) == []


@pytest.mark.parametrize(("few", "found"), [(4, 0), (5, 1)])
def test_what_fewer_patients_have_than_may_be_told_is_no_relation(few, found):
    """Nobody with the rare disease has what nearly all others have: beyond chance, but too few."""
    rare = np.arange(2_000) < few
    usual = ~rare & (np.arange(2_000) < 1_990)
    table = pd.DataFrame({"rare": rare, "usual": usual}).astype("uint8")
    assert len(relations(table, schema_of(table))) == found


@pytest.mark.parametrize(("some", "found"), [(6, 0), (40, 1)])
def test_what_half_of_all_have_six_can_be_without_by_chance(some, found):
    place = np.arange(200)
    table = pd.DataFrame({"some": place < some, "half": place >= 100}).astype("uint8")
    assert len(relations(table, schema_of(table))) == found


def test_two_numbers_of_few_patients_can_be_in_order_by_chance():
    schema = Schema((Column("upper", "continuous"), Column("lower", "continuous")))
    upper, lower = [6.5, 7.1, 5.4, 8.2, 9.0, 10.3], [1.7, 2.2, 3.1, 4.9, 5.3, 6.0]
    assert relations(pd.DataFrame({"upper": upper, "lower": lower}), schema) == []
    lower = np.random.default_rng(0).normal(50, 10, 60)
    upper = lower + np.random.default_rng(1).gamma(2, 5, 60)
    found = relations(pd.DataFrame({"upper": upper, "lower": lower}), schema)
    assert names_of(found) == {"upper above lower"}


def test_a_formula_holds_up_to_the_rounding_of_its_columns():
    """Half a unit of the result where the parts are exact; of the parts, what they make of it."""
    table = pd.DataFrame({"total": [3.0, 3.0, 3.0, 3.0], "a": [1.4, 1.6, 2.0, 3.0], "b": 2.0})
    columns = [Column("total", "continuous", decimals=0), Column("b", "continuous")]
    for decimals, broken in ((None, [False, True, True, True]), (0, [False, False, False, True])):
        schema = Schema((*columns, Column("a", "continuous", decimals=decimals)))
        assert Formula("total", "a + b").broken(table, schema)[0].tolist() == broken


def test_codes_by_the_hundred_take_seconds():
    rng = np.random.default_rng(0)
    n, severity = 16_000, np.random.default_rng(1).normal(size=(16_000, 1))
    codes = rng.random((n, 480)) < 1 / (1 + np.exp(rng.uniform(2, 6, 480) - 0.7 * severity))
    codes[:, 1] |= codes[:, 0]
    table = pd.DataFrame(codes.astype("uint8")).add_prefix("c").assign(age=severity[:, 0].round(2))
    start = time.process_time()
    assert "c0 = 1 implies c1 = 1" in names_of(relations(table, schema_of(table)))
    assert time.process_time() - start < 20


# -- kept ------------------------------------------------------------------------------------


def test_shuffled_columns_keep_every_relation_after_the_repair():
    table, rng = clinic(), np.random.default_rng(0)
    schema, rules = Schema.of(table), [one.rule for one in relations(clinic())]
    mixed = {name: table[name].array.take(rng.permutation(len(table))) for name in table}
    mixed = schema.attach(pd.DataFrame(mixed))
    assert violations(mixed, rules=rules)["count"].min() > 0
    fixed = repair(mixed, rng, rules=rules)
    assert violations(fixed, rules=rules)["count"].sum() == 0
    pd.testing.assert_frame_equal(fixed[["died", "sex", "age", "u", "v"]],
                                  mixed[["died", "sex", "age", "u", "v"]])  # fmt: skip
    computed = (fixed["u"] / (fixed["v"] / 100) ** 2).round(1)
    assert (fixed["w"] - computed).abs().max() < 0.051
    for name in ("lab", "town", "smoker"):  # what decides is not bent
        assert fixed[name].isna().mean() == pytest.approx(table[name].isna().mean(), abs=0.02)


def test_a_result_outside_the_bounds_takes_the_parts_of_somebody_else():
    table = toy_patients(300)
    schema = Schema.of(table)
    rule = Formula("bmi", "age - 40")
    fixed = repair(table, np.random.default_rng(0), rules=[rule])
    assert violations(fixed, rules=[rule])["count"].sum() == 0
    measured = fixed["bmi"].dropna()
    assert measured.between(10, 60).all() and len(measured) == table["bmi"].notna().sum()
    assert schema["bmi"].upper == 60


def test_rules_that_pull_in_a_circle_are_settled_by_another_patient():
    """Each repair breaks the next rule; whoever keeps them all lends their values."""
    rules = [Implies({"phe_4": 1}, {"phe_5": 1}), Implies({"phe_5": 1}, {"phe_6": 0}),
             Implies({"phe_7": 1}, {"phe_6": 1}), Implies({"phe_4": 1}, {"phe_7": 1})]  # fmt: skip
    table = toy_patients(500)
    fixed = repair(table, np.random.default_rng(0), rules=rules)
    assert violations(fixed, rules=rules)["count"].sum() == 0
    for name in ("DIE_1y", "sex", "age", "phe_9"):
        assert fixed[name].equals(table[name])


# -- written by a person ---------------------------------------------------------------------


def test_the_file_switches_off_and_adds(tmp_path):
    table = clinic()
    schema, found = Schema.of(table), [one.rule for one in relations(table)]
    file = tmp_path / "rules.yaml"
    file.write_text("""
- drop: {relation: hi above lo}
- formula: {column: w, equals: u / (v / 100) ** 2}
- follows: {column: smoker, of: town, values: {a: never}}
- implies: {when: {lab: (missing)}, then: {packs: [0, (other)]}}
- above: {column: a, other: b, equal: true}
""")
    kept = chosen_rules(schema, file, found=found)
    assert {str(rule) for rule in kept} == HOLDS - {"hi above lo", "w = 10000 * u / v ** 2"} | {
        "w = u / (v / 100) ** 2", "smoker follows from town", "a at least b",
        "lab = (missing) implies packs = 0 or (other)",
    }  # fmt: skip
    write_rules(kept, tmp_path / "all.json")
    assert [str(r) for r in read_rules(tmp_path / "all.json")] == [str(r) for r in kept]
    file.write_text("- drop: {relation: found}")
    assert chosen_rules(schema, file, found=found) == []
    assert isinstance(read_rules(file)[0], Drop)


def test_switching_off_what_nobody_found_is_said(tmp_path, caplog):
    file = tmp_path / "rules.yaml"
    file.write_text("- drop: {relation: a above c}")
    chosen_rules(toy_schema(), file)
    assert "'a above c', which nobody found" in caplog.text


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("formula: {column: w, equals: u + nobody}", ["rule 1", "'nobody'"]),
        ("formula: {column: w, equals: w * 2}", ["rule 1", "other columns"]),
        ("formula: {column: w, equals: __import__('os')}", ["rule 1", "no formula"]),
        ("follows: {column: land, of: town, values: {z: N}}", ["rule 1", "'z'", "a, b"]),
        ("follows: {column: land, of: town, values: [N]}", ["rule 1", "{dialysis: 1}"]),
        ("implies: {when: {died: 1}, then: {lab: 3}}", ["rule 1", "'lab'", "(other)"]),
        ("above: {column: a, other: b, equal: maybe}", ["rule 1", "true or false"]),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused(tmp_path, entry, words):
    file = tmp_path / "rules.yaml"
    file.write_text(f"- {entry}")
    with pytest.raises(InputError) as refusal:
        chosen_rules(Schema.of(clinic(200)), file)
    for word in [str(file), *words]:
        assert word in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("a + b * 2 ** 2", 14.0), ("-(a - b) / 4", 0.25), ("sqrt(`b c`) + log(exp(a))", 5.0),
     ("a / 0", np.inf), ("+a", 2.0), ("3e0 * `a`", 6.0)],
)  # fmt: skip
def test_formulas_are_computed(text, value):
    values = {"a": np.array([2.0]), "b": np.array([3.0]), "b c": np.array([9.0])}
    assert compute(text, values) == pytest.approx([value])


@pytest.mark.parametrize(
    "text",
    ["", "a +", "a.sum()", "open('x')", "[a]", "a if b else c", "a < b", "'a'", "lambda: a",
     "a @ b",
     "sqrt(a, b)", "True", "a := 3", "(" * 500 + "a" + ")" * 500, "a" * 2000, "abs(a)"],
)  # fmt: skip
def test_what_is_no_formula_is_refused(text):
    with pytest.raises(InputError, match="no formula"):
        compute(text, {"a": np.ones(1)})


def test_columns_are_known_by_any_name():
    names = ["weight (kg)", "größe", "q_1", "sqrt", "if", "a"]
    assert parse(" + ".join(map(written, names)))[1] == tuple(names)


def test_missing_states_are_written_and_repaired():
    table = clinic(500)
    rule = Follows("lab", "parent", {"0": MISSING, "1": ["0", "(other)"]})
    fixed = repair(table, np.random.default_rng(0), rules=[rule])
    assert (fixed["lab"].notna() == (fixed["parent"] == 1)).all()


def test_at_least_lets_two_numbers_be_equal():
    table = toy_patients(10)
    table["diastolic"] = table["systolic"]
    count = [violations(table, rules=[Above("systolic", "diastolic", equal)])["count"][0]
             for equal in (False, True)]  # fmt: skip
    assert count == [table["systolic"].notna().sum(), 0]


DAYS = pd.to_timedelta(np.random.default_rng(3).integers(7_400, 32_000, 400), unit="D")
SEEN = pd.Timestamp("2015-01-01") + pd.to_timedelta(np.arange(400) * 5, unit="D")


@pytest.mark.parametrize("when", ["seen", "one day"])
def test_an_age_in_whole_years_follows_from_two_dates(when):
    seen = SEEN if when == "seen" else pd.DatetimeIndex([pd.Timestamp("2024-06-01")] * 400)
    born = seen - DAYS
    later = seen.month * 100 + seen.day < born.month * 100 + born.day
    frame = pd.DataFrame({
        "age": seen.year - born.year - later, "born": born, "seen": seen, "died": DAYS.days % 2,
    })  # fmt: skip
    table = es.load("table", frame, outcome="died")["table"]
    (found,) = [one.rule for one in formulas(table, Schema.of(table))]
    assert found.column == "age" and "1 / 365.25 * born" in str(found)
    assert found.broken(table, Schema.of(table))[0].sum() == 0
    mixed = table.assign(age=table["age"].to_numpy()[::-1])
    assert formulas(mixed, Schema.of(table)) == []


def test_a_total_follows_from_its_scores_and_not_a_score_from_the_total():
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(
        {n: rng.integers(1, k, 400) for n, k in zip("evm", (5, 6, 7), strict=True)}
    )
    frame = frame.assign(total=frame.sum(axis=1), died=rng.integers(0, 2, 400))
    table = es.load("table", frame, outcome="died")["table"]
    assert [str(one.rule) for one in formulas(table, Schema.of(table))] == ["total = e + v + m"]


def banded(n: int = 1500, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age, lab = rng.normal(58, 15, n).round().clip(18, 95), rng.normal(70, 20, n)
    lab[rng.random(n) < 0.1] = np.nan
    groups = pd.cut(age, [0, 40, 60, 80, 999], right=False, labels=["<40", "40-59", "60-79", "80+"])
    level = pd.cut(lab, [-999, 45, 60, 90, 999], right=False, labels=["3b", "3a", "2", "1"])
    table = pd.DataFrame({
        "died": rng.integers(0, 2, n), "sex": rng.choice(["F", "M"], n), "age": age, "lab": lab,
        "group": groups.astype(str), "old": (age >= 65).astype(int),
        "stage": np.where(np.isnan(lab), None, level.astype(str)),
        "quarter": pd.qcut(age + rng.random(n) / 99, 4, labels=list("abcd")).astype(str),
        "other": rng.choice(["a", "b"], n),
    })  # fmt: skip
    return described(table, "died")


def test_bands_of_a_number_follow_from_it_and_their_edges_are_nobodys():
    table = banded()
    found = {one.rule.column: one.rule for one in relations(table) if one.rule.kind == "follows"}
    edges = {name: [key.split(" .. ")[1] for key in found[name].values][:-1] for name in found
             if " .. " in "".join(found[name].values)}  # fmt: skip
    assert edges == {"group": ["40", "60", "80"], "old": ["65"], "stage": ["45", "60", "90"]}
    schema = Schema.of(table)
    assert not any(rule.broken(table, schema)[0].any() for rule in found.values())
    rng = np.random.default_rng(1)
    mixed = pd.DataFrame({name: rng.permutation(table[name].array) for name in table})
    rules = [one.rule for one in relations(table)]
    kept = repair(schema.cast(mixed), rng, schema, rules)
    assert not any(rule.broken(kept, schema)[0].any() for rule in rules)
    assert kept["age"].value_counts().equals(mixed["age"].value_counts())
    assert set(kept.loc[kept["age"] == 65, "group"]) == {"60-79"}


def test_an_edge_between_two_lonely_values_is_not_told():
    """Where only two patients' values tell where a band ends, the rule would tell these."""
    x = np.r_[np.arange(50) * 1.0, 1000.25, 1000.5, 2000.0 + np.arange(50)]
    table = described(
        pd.DataFrame({"died": np.arange(102) % 2, "x": x, "high": x > 1000.4}), "died"
    )
    assert names_of(relations(table)) == set()
    table["x"] = table["x"].where(~table["x"].between(1000, 1001), [900.0, 1100.0] * 51)
    assert names_of(relations(table)) == {"high follows from x"}


def test_a_span_of_numbers_is_a_state_of_a_persons_rule(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text("- implies: {when: {age: 60 .. 80}, then: {old: 1}}\n")
    table = banded()
    rule = read_rules(path)[0]
    rule.check(Schema.of(table))
    broken, applies = rule.broken(table, Schema.of(table))
    assert applies.sum() == table["age"].between(60, 79).sum()
    assert broken.sum() == table["age"].between(60, 64).sum()
    with pytest.raises(InputError, match="'age' has no value '60 to 80'"):
        Implies({"age": "60 to 80"}, {"old": 1}).check(Schema.of(table))
