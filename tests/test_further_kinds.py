"""Kinds of columns that hospitals of other countries, and other programs, send."""

import json

import numpy as np
import pandas as pd
import pytest

from ehrsynth import datasets
from ehrsynth.errors import InputError
from ehrsynth.schema import Schema
from ehrsynth.sources.flat import form as forms
from ehrsynth.sources.flat.words import LINES

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


@pytest.mark.parametrize(
    ("name", "woman", "man"),
    [("sexe", "F", "H"), ("geslacht", "V", "M"), ("cinsiyet", "K", "E"), ("sesso", "D", "U"),
     ("sex", "8532", "8507"), ("gender_concept_id", 8532, 8507), ("性别", "女", "男")],
)  # fmt: skip
@pytest.mark.parametrize("in_file", [True, False])
def test_sexes_by_letters_and_concepts(tmp_path, name, woman, man, in_file):
    data = table(**{name: np.where(FEMALE, woman, man)})
    tables, schema, notes = read(data, tmp_path if in_file else None)
    assert schema.sex == name and ((tables["table"][name] == "F") == FEMALE).all()
    assert name == "性别" or f"{man} as M" in notes[name] or man == "M"
    back = forms.dress(tables["table"], json.loads(json.dumps(tables["form"])))
    assert back[name].astype(str).tolist() == data[name].astype(str).tolist()


@pytest.mark.parametrize(("a", "b"), [("M", "H"), ("N", "F"), ("U", "M")])
def test_letters_that_may_be_the_other_sex_stay(tmp_path, a, b):
    """H and M are a man and a woman in Spanish."""
    _, schema, _ = read(table(sex=np.where(FEMALE, a, b)), tmp_path)
    assert set(schema["sex"].categories) == {a, b} and schema.sex is None


def visits(key, shuffled):
    rows = [(key(k), 40 + k % 31 + v // 3, v + 1) for k in range(90) for v in range(1 + k * 7 % 5)]
    made = pd.DataFrame(rows, columns=["whoever", "age", "visit"])
    made["died"] = np.where(np.arange(len(made)) % 3 > 0, "no", "yes")
    made["crp"] = np.arange(len(made)) * 7 % 101 / 2
    return made.sample(frac=1, random_state=0) if shuffled else made


@pytest.mark.parametrize("column", ["age", "visit", None])
@pytest.mark.parametrize("in_order", [True, False])
def test_unequal_numbers_of_visits_under_an_unknown_key(column, in_order):
    """Together in the file, of one age, or counted: any of it tells."""
    made = visits(lambda k: 5_000 + 7 * k if in_order else (k * 7_919) % 90_001, column)
    made = made.drop(columns={"age", "visit"} - {column})
    if column is None and in_order:  # as a table that is sorted by a measurement
        assert "whoever" in read(made, None)[1]
        return
    with pytest.raises(InputError, match="'whoever' repeats .*several rows a patient"):
        read(made, None)


def test_dates_and_years_of_birth_are_no_patients(tmp_path):
    age = RNG.integers(18, 99, N)
    days = pd.Series(pd.Timestamp("2020-01-01") + pd.to_timedelta(RNG.integers(0, 90, N), unit="D"))
    texts = days.sort_values().dt.strftime("%d.%m.%Y").to_numpy()
    _, schema, _ = read(table(age=age, born=2020 - age, seen=texts), tmp_path)
    assert "born" in schema and schema["seen"].unit.startswith("days since")


def test_an_index_that_repeats_is_named():
    made = table().set_index(pd.Index(np.arange(N) // 3, name="mrn"))
    with pytest.raises(InputError, match=r"index 'mrn' of the table repeats.*reset_index\(\)"):
        read(made, None)


CLOCKS = {
    "%I:%M %p": str, "%H:%M": str, "%I:%M%p": str.lower, "%Hh%M": str, "%H:%M Uhr": str,
}  # fmt: skip


@pytest.mark.parametrize("form", CLOCKS)
def test_times_of_the_day(tmp_path, form):
    stamps = pd.Series(pd.Timestamp(0) + pd.to_timedelta(HOURS * 60 + MINUTES, unit="min"))
    texts = stamps.dt.strftime(form).map(CLOCKS[form])
    tables, schema, _ = read(table(x=texts), tmp_path)
    assert schema["x"].unit == "hours after midnight"
    assert np.allclose(tables["table"]["x"], HOURS + MINUTES / 60, atol=1e-4)
    if "h" not in form:
        assert forms.dress(tables["table"], tables["form"])["x"].tolist() == texts.tolist()


MONTHS = {"{d}. {m} {y}": 0, "{d:02}-{m}-{y}": 1, "{d} {m} {y}": 2, "{d} de {m} de {y}": 4,
          "{y}年{n}月{d}日": 0}  # fmt: skip


@pytest.mark.parametrize("form", MONTHS)
def test_dates_of_other_languages(tmp_path, form):
    names = [names.split("/")[-1] for names in LINES["months"][MONTHS[form]].split()]
    names = names if "de" in form or form == "{d} {m} {y}" else [n.title() for n in names]
    texts = [form.format(d=t.day, n=t.month, m=names[t.month - 1], y=t.year) for t in DAYS]
    tables, schema, _ = read(table(x=texts), tmp_path)
    assert schema["x"].unit == "days since 2018-01-01"
    assert np.allclose(tables["table"]["x"], (DAYS - pd.Timestamp("2018-01-01")).dt.days)
    assert forms.dress(tables["table"], tables["form"])["x"].tolist() == texts


@pytest.mark.parametrize("form", ["%m/%Y", "%m.%Y"])
def test_months_of_a_year_are_no_numbers(tmp_path, form):
    texts = DAYS.dt.strftime(form)
    tables, schema, _ = read(table(x=texts), tmp_path)
    first = DAYS.dt.to_period("M").dt.to_timestamp()
    assert np.allclose(tables["table"]["x"], (first - pd.Timestamp("2018-01-01")).dt.days)
    assert forms.dress(tables["table"], tables["form"])["x"].tolist() == texts.tolist()


@pytest.mark.parametrize("freq", ["D", "M", "Q-DEC"])
def test_periods_are_dates_and_come_back(freq):
    made = table(x=pd.PeriodIndex(DAYS, freq=freq))
    tables, schema, _ = read(made, None)
    assert schema["x"].unit == "days since 2018-01-01"
    back = forms.dress(tables["table"], json.loads(json.dumps(tables["form"])))["x"]
    assert back.dtype == made["x"].dtype and back.tolist() == made["x"].tolist()


SPANS = pd.Series(pd.to_timedelta(HOURS * 61 + MINUTES + 1440 * (MINUTES % 9), unit="min"))


@pytest.mark.parametrize(
    ("write", "again"),
    [(str, True), (lambda t: f"P{t.days}DT{t.seconds // 3600}H{t.seconds // 60 % 60}M", False),
     (lambda t: f"{t.days * 24 + t.seconds // 3600:02}:{t.seconds // 60 % 60:02}:00", False),
     (lambda t: f"{t.days} d {t.seconds // 3600} h {t.seconds // 60 % 60} min", False)],
)  # fmt: skip
def test_lengths_of_time_in_texts(tmp_path, write, again):
    texts = SPANS.map(write)
    tables, schema, _ = read(table(x=texts), tmp_path)
    assert schema["x"].unit == "days"
    assert np.allclose(tables["table"]["x"], SPANS / pd.Timedelta(days=1), atol=1e-5)
    back = forms.dress(tables["table"], json.loads(json.dumps(tables["form"])))["x"]
    assert not again or back.tolist() == texts.tolist()
    repeated, _, _ = read(table(x=back), tmp_path)
    assert np.allclose(repeated["table"]["x"], tables["table"]["x"], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("x", [f"{h * 3:02}:{m:02}" for h, m in zip(HOURS, MINUTES, strict=True)],
         "lengths of time as 26:05:00"),
        ("x", [f"{4 + h % 3}'{m % 12}\"" for h, m in zip(HOURS, MINUTES, strict=True)],
         "two numbers in one text"),
        ("x", [f"{30 + h % 12}+{m % 7}" for h, m in zip(HOURS, MINUTES, strict=True)],
         "two numbers in one text"),
        ("x", [f"{36 + i % 30 / 10} °C ({98 + i % 30 / 5} °F)" for i in range(N)], "two numbers"),
        ("x", DAYS.dt.strftime("%d.%m"), "in a form that is not known; write them as 2020-01-31"),
        ("x", DAYS.dt.strftime("%b-%y"), "two digits for the year"),
        ("admit_time", 100 * HOURS + MINUTES, "numbers such as 1430; write them as 14:30"),
        ("Aufnahme", (DAYS - pd.Timestamp("1899-12-30")).dt.days, "called a date but holds other"),
    ],
)  # fmt: skip
def test_what_nobody_can_read_in_one_way_is_refused(tmp_path, name, values, words):
    with pytest.raises(InputError, match=words):
        read(table(**{name: values}), tmp_path)


@pytest.mark.parametrize("texts", ["1:10 1:20 1:40", "1:10 1:20 1:40 1:80 1:160", "1 1,3 2 2,3"])
def test_titers_and_lists_of_choices_are_categories(tmp_path, texts):
    _, schema, _ = read(
        table(x=np.array(texts.split())[np.arange(N) % len(texts.split())]), tmp_path
    )
    assert set(schema["x"].categories) == set(texts.split())


@pytest.mark.parametrize("first", ["sep=;\n", '"sep=;"\n', "SEP=;\r\n"])
def test_the_first_line_of_excel_says_the_delimiter(tmp_path, first):
    made = table(x=[f"{v},5" for v in range(N)])
    tables, schema, _ = read(made, tmp_path, first, sep=";")
    assert schema.names == ["died", "crp", "x"] and tables["table"]["x"].max() == N - 0.5
    assert tables["form"]["csv"]["sep"] == ";"


def lakhs(value):
    head, last = str(value)[:-3], str(value)[-3:]
    pairs = [head[max(i - 2, 0) : i] for i in range(len(head), 0, -2)][::-1]
    return ",".join([*pairs, last])


@pytest.mark.parametrize("write", [lakhs, "{:,}".format])
def test_thousands_beside_points(tmp_path, write):
    tables, _, notes = read(table(x=list(map(write, LARGE))), tmp_path)
    assert tables["table"]["x"].tolist() == LARGE.tolist() and "thousands" in notes["x"]


def test_thousands_beside_numbers_below_thousand(tmp_path):
    values = [*LARGE[:-20], *range(300, 320)]
    made = table(x=[f"{v:,}" for v in values]).drop(columns="crp")
    assert read(made, tmp_path)[0]["table"]["x"].tolist() == values


def test_digits_of_other_alphabets_are_numbers(tmp_path):
    arabic = {ord(str(i)): chr(0x660 + i) for i in range(10)}
    ages = RNG.integers(1, 90, N)
    tables, _, _ = read(table(x=[str(v).translate(arabic) for v in ages]), tmp_path)
    assert tables["table"]["x"].tolist() == ages.tolist()


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
