"""Kinds of columns that hospitals of other countries, and other programs, send."""

import json

import numpy as np
import pandas as pd
import pytest

from ehrsynth import datasets
from ehrsynth.errors import InputError
from ehrsynth.schema import Schema
from ehrsynth.sources.flat import form as forms

N = 200
RNG = np.random.default_rng(0)
FEMALE = RNG.random(N) < 0.5
HOURS, MINUTES = RNG.integers(0, 24, N), RNG.integers(0, 60, N)
DAYS = pd.Series(pd.Timestamp("2018-01-01") + pd.to_timedelta(RNG.integers(0, 1500, N), unit="D"))
LARGE = RNG.integers(1_000, 400_000, N)
DIED = np.where(RNG.random(N) < 0.3, "yes", "no")


def table(**columns):
    made = {"died": DIED, "crp": RNG.gamma(2, 10, N).round(1)} | columns
    return pd.DataFrame(made)


def read(data, folder, first="", **options):
    """The patients, their schema and notes, of a CSV unless `data` is a DataFrame to be kept."""
    if folder:
        path = folder / "p.csv"
        path.write_text(first + data.to_csv(index=False, sep=options.pop("sep", ",")))
        data = path
    tables = datasets.load("table", data, outcome="died", **options)
    return tables, Schema.of(tables["table"]), tables["columns"].set_index("column")["notes"]


def test_units_of_one_size_are_one(tmp_path):
    texts = [f"{v / 10} {'ng/mL' if v % 3 else 'ug/L'}" for v in range(N)]
    tables, schema, _ = read(table(x=texts), tmp_path)
    assert schema["x"].unit == "ng/mL" and tables["table"]["x"].max() == (N - 1) / 10


LETTERS = [("sexe", "F", "H"), ("geslacht", "V", "M"), ("sex", "K", "E"), ("gender", "ž", "m")]


@pytest.mark.parametrize(("name", "woman", "man"), LETTERS)
def test_sexes_by_letters_of_other_languages(tmp_path, name, woman, man):
    data = table(**{name: np.where(FEMALE, woman, man)})
    tables, schema, _ = read(data, tmp_path)
    assert schema.sex == name and ((tables["table"][name] == "F") == FEMALE).all()
    back = forms.dress(tables["table"], json.loads(json.dumps(tables["form"])))
    assert back[name].tolist() == data[name].tolist()


@pytest.mark.parametrize(("a", "b"), [("M", "H"), ("N", "F"), ("U", "M")])
def test_letters_that_may_be_the_other_sex_stay(tmp_path, a, b):
    """H and M are a man and a woman in Spanish."""
    _, schema, _ = read(table(sex=np.where(FEMALE, a, b)), tmp_path)
    assert set(schema["sex"].categories) == {a, b} and schema.sex is None


@pytest.mark.parametrize(
    ("no", "yes"),
    [("survived", "did not survive"), ("did survive", "did not survive"), ("lives", "dies"),
     ("still alive", "no longer alive"), ("Unchecked", "Checked"), ("FALSCH", "WAHR"),
     ("überlebt", "verstorben"), ("survivor", "nonsurvivor")],
)  # fmt: skip
def test_which_word_says_that_it_happened(tmp_path, no, yes):
    tables, schema, _ = read(table(died=np.where(DIED == "yes", yes, no)), tmp_path)
    assert (schema.outcome_values(tables["table"]) == (DIED == "yes")).all()


@pytest.mark.parametrize("word", ["k. A.", "unbekannt", "unknown", "not done", "—", "sin datos"])
def test_words_of_other_languages_for_no_value(tmp_path, word):
    values = np.where(np.arange(N) % 7 == 0, word, LARGE.astype(str))
    tables, _, notes = read(table(x=values), tmp_path)
    assert tables["table"]["x"].isna().sum() == 29 and f"{word!r} read as missing" in notes["x"]


@pytest.mark.parametrize("name", ["trio", "plate", "batch_no", "block"])
def test_numbers_of_further_sets_are_never_learned(name):
    assert name not in read(table(**{name: RNG.permutation(np.arange(N) // 3)}), None)[1]


TWO = ["6'{m}\"", "5 ft {m} in", "38+{m}", "36.{m} °C (98.2 °F)", "(!) 120/8{m}"]


@pytest.mark.parametrize("text", TWO)
def test_two_numbers_in_one_text_are_refused(tmp_path, text):
    texts = [text.format(m=m) for m in range(N)]
    with pytest.raises(InputError, match="two numbers in one text, .* write it as one number"):
        read(table(x=texts), tmp_path)


@pytest.mark.parametrize("form", ["%m/%Y", "%Y年%m月%d日"])
def test_months_of_a_year_and_dates_in_chinese(tmp_path, form):
    texts = DAYS.dt.strftime(form)
    tables, schema, _ = read(table(x=texts), tmp_path)
    assert schema["x"].unit == "days since 2018-01-01"
    assert forms.dress(tables["table"], tables["form"])["x"].tolist() == texts.tolist()
