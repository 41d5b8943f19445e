"""What few patients have and the synthetic table repeats is seen, and chance is not."""

import numpy as np
import pandas as pd
import pytest

import ehrsynth as es
from ehrsynth.evaluation.alignment import align
from ehrsynth.evaluation.repeats import (
    EXPECTED,
    MANY,
    NUMBERS,
    PERSONS,
    REPEATS,
    STRANGERS,
    TEXTS,
    level_of_repeats,
)

SIZES = {"train": 900, "holdout": 700, "synthetic": 900}
NAMED = "transfer of Anna Okafor, HIV positive, tel 0171 {}"


def tables(seed=0):
    """Patients whose reasons are a category; a few in a hundred have one that few share."""
    made = {}
    for number, (role, n) in enumerate(SIZES.items()):
        rng = np.random.default_rng(seed + number)
        reason = rng.choice(["rash", "old cough", "pain in the left hand", "fall at home"], n)
        rare = rng.random(n) < 0.05
        reason[rare] = [f"fracture of left toe {i}" for i in rng.integers(0, 30, rare.sum())]
        made[role] = pd.DataFrame(
            {
                "died": rng.integers(0, 2, n), "age": rng.integers(20, 90, n), "reason": reason,
                "platelets": rng.integers(100, 400, n) * 1000, "crp": rng.gamma(2, 5, n).round(1),
            }
        )  # fmt: skip
    return made


def with_leak(text, rows, column="reason", held=0, seed=0):
    """Each of so many patients of train has a text of his own, and the synthetic table has it."""
    made = tables(seed)
    for role, n in (("train", rows), ("holdout", held), ("synthetic", rows)):
        made[role][column] = made[role][column].astype(object)
        made[role].loc[range(n), column] = [text.format(234560 + 17 * i) for i in range(n)]
    return made


def found(made, **options):
    rows = align(made, outcome="died", **options)["facts"].get(REPEATS, [])
    return rows, *level_of_repeats({REPEATS: rows})


@pytest.mark.parametrize("seed", range(5))
def test_what_fresh_patients_share_by_chance_is_no_find(seed):
    assert found(tables(seed)) == ([], 0, [])


@pytest.mark.parametrize(
    ("text", "rows", "what", "level"),
    [(NAMED, 12, PERSONS, 2), (NAMED, 1, PERSONS, 2), ("qzx {} odd", 14, TEXTS, 2),
     ("qzx {} odd", 1, TEXTS, 1), ("QZX  {} odd", 1, TEXTS, 1)],
)  # fmt: skip
def test_a_text_of_one_patient_is_seen_and_never_told(text, rows, what, level):
    made = with_leak(text, rows)
    made = {role: table[~table["reason"].str.contains("toe")] for role, table in made.items()}
    made["synthetic"]["reason"] = made["synthetic"]["reason"].str.lower()
    (row,), seen, (said,) = found(made)
    assert (row["column"], row["what"], row["rows"], seen) == ("reason", what, rows, level)
    assert row[EXPECTED] == "none" and "Okafor" not in said + str(row) and "qzx" not in said


def test_who_is_named_is_seen_among_texts_that_are_shared_by_chance():
    (row,), level, _ = found(with_leak(NAMED, 2))
    assert row["what"] == PERSONS and level == 2


def test_what_held_out_patients_share_as_often_is_chance():
    assert found(with_leak("fracture of hand {}", 9, held=7))[1] == 0
    (row,), level, _ = found(with_leak("fracture of hand {}", 400, held=3))
    assert row[MANY] == "yes" and level == 2


def test_long_numbers_count_where_they_are_more_than_chance():
    made = {role: table.assign(caller=np.arange(len(table)) % 450 * 7 + 10**8 + i * 10**7)
            for i, (role, table) in enumerate(tables().items())}  # fmt: skip
    assert found(made)[1] == 0
    made["synthetic"].loc[:30, "caller"] = made["train"].loc[:30, "caller"]
    (row,), level, _ = found(made)
    assert (row["what"], level) == (NUMBERS, 2)


@pytest.mark.parametrize("rare", ["scleroderma", "native hawaiian or pacific islander"])
def test_a_rare_category_that_fresh_patients_meet_by_chance_is_no_text_of_somebody(rare):
    made = tables()
    for role, rows in (("train", 1 if " " not in rare else 3), ("synthetic", 2)):
        made[role]["reason"] = made[role]["reason"].str.replace("fracture.*", "rash", regex=True)
        made[role].loc[range(rows), "reason"] = rare
    assert found(made) == ([], 0, [])


def test_a_tiny_number_is_no_text():
    made = tables()
    for role, table in made.items():
        table["troponin"] = [f"{1.5 + i + len(role) / 100}e-06" for i in range(len(table))]
    made["synthetic"].loc[3, "troponin"] = made["train"].loc[5, "troponin"]
    assert found(made) == ([], 0, [])


def test_a_synthetic_text_that_names_somebody_is_named_too():
    made = tables()
    made["synthetic"].loc[3, "reason"] = "call Maria Gonzales"
    (row,), level, (said,) = found(made)
    assert (row["what"], row["rows"], level) == (STRANGERS, 1, 1)
    assert "reason (1)" in said and "Gonzales" not in said


def test_rows_of_one_patient_are_one_patient():
    made = with_leak("qzx odd", 8)  # in eight rows of train
    assert found(made)[1] == 0
    made = {role: t.assign(patient=[f"{role}{max(i, 8)}" for i in range(len(t))])
            for role, t in made.items()}  # fmt: skip
    assert found(made, patient_id="patient")[1] == 1


def test_the_report_says_it_first_and_privacy_is_bad():
    report = es.evaluate(**align(with_leak(NAMED, 3), outcome="died"), profile="fast")
    privacy = report.verdicts()["privacy"]
    assert privacy.level == "bad" and "reason (texts that name persons" in privacy.sentences[0]
    assert "Repeated word for word" in report.answer()[0]
    card = report.card()
    assert "Repeated word for word" in card and "Okafor" not in card + str(report.to_dict())
    raw = es.evaluate(**with_leak(NAMED, 3), profile="fast")
    assert raw.verdicts()["privacy"].level == "bad"
    plain = es.evaluate(**align(tables(), outcome="died"), profile="fast")
    assert not any("Repeated" in said for said in plain.answer())
