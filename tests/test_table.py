"""Other people's flat tables."""

import gzip
import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from ehrsynth import datasets
from ehrsynth.cohort import split
from ehrsynth.datasets import build_patients
from ehrsynth.errors import InputError
from ehrsynth.kinds import category_text, looks_like_identifier
from ehrsynth.schema import MISSING, Schema
from ehrsynth.sources.flat.decimals import unit_of
from ehrsynth.sources.flat.table import open_sheet, show, tables_of


@pytest.fixture(scope="module")
def patients():
    """A table as a colleague might send it."""
    rng = np.random.default_rng(0)
    n = 300
    return pd.DataFrame(
        {
            "died": np.where(rng.random(n) < 0.2, "yes", "no"),
            "Gender": rng.choice(["female", "Male"], n),
            "age": rng.integers(18, 90, n),
            "crp": np.where(rng.random(n) < 0.3, np.nan, rng.gamma(2, 10, n).round(1)),
            "ward": rng.choice(["A", "B", "None"], n),
            "stage": rng.choice([1, 2, 3], n),
            "diabetes": rng.integers(0, 2, n),
            "smoker": rng.choice(["Y", "N", ""], n),
        }
    )


def write(table, path):
    if path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("name", ["p.csv", "p.csv.gz", "p.parquet", "P.CSV"])
def test_any_of_the_formats(patients, tmp_path, name):
    table = patients.replace({"smoker": {"": None}}) if name == "p.parquet" else patients
    tables = datasets.load("table", data=write(table, tmp_path / name), outcome="died")
    result = build_patients(tables)
    schema = Schema.of(result)
    assert list(result.columns) == schema.names == list(patients.columns)
    assert schema.outcome == "died" and schema["died"].categories == ("no", "yes")
    assert schema.sex == "Gender" and schema["Gender"].categories == ("F", "M")
    assert schema["age"].role == "demographic"
    assert schema["ward"].categories == ("A", "B", "None")  # a word, not a missing value
    assert schema["smoker"].categories == ("N", "Y", MISSING)
    assert schema["crp"].kind == "continuous" and result["crp"].isna().any()
    assert schema["diabetes"].kind == "binary"
    train, holdout = split(result, seed=0)
    assert Schema.of(train) == Schema.of(holdout) == schema
    assert datasets.describe(tables)["patients"] == 300


def spoil(column, value, row=4):
    def change(table):
        table = table.astype({column: object})
        table.loc[row, column] = value
        return table

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (spoil("age", "oops"), "'age' should hold numbers but has another text in row 5"),
        (spoil("crp", "<5"), "'crp' should hold numbers but has another text in row 5"),
        (spoil("died", "maybe"), "'died' has 3 different values"),
        (spoil("died", None), "'died' has missing values"),
        (lambda t: t.assign(died="no"), "'died' has 1 different value"),
        (lambda t: t.drop(columns="died"), "'died' is not in the table"),
        (lambda t: t.assign(mrn=range(len(t))), "'mrn' is different in every row"),
        (lambda t: t.assign(note=[f"saw {i}" for i in range(len(t))]), "'note' has 300 different"),
        (lambda t: t.assign(pid=[f"P{i:05}" for i in range(len(t))]), "'pid' has 300 different"),
        (lambda t: t.iloc[:0], "has no rows"),
    ],
)
@pytest.mark.parametrize("name", ["p.csv", "p.parquet"])
def test_what_cannot_be_used_is_named(patients, tmp_path, change, reason, name):
    table = change(patients)
    if name == "p.parquet":  # a column of numbers and text cannot be written as it is
        for column in ("age", "crp"):
            if table[column].dtype == object:
                text = [None if pd.isna(value) else str(value) for value in table[column]]
                table = table.assign(**{column: text})
    path = write(table, tmp_path / name)
    with pytest.raises(InputError, match=reason):
        datasets.load("table", data=path, outcome="died")


def test_equal_column_names_are_refused(patients, tmp_path):
    path = tmp_path / "p.csv"
    patients.rename(columns={"crp": "age"}).to_csv(path, index=False)
    with pytest.raises(InputError, match="'age' appears twice in .*p.csv"):
        datasets.load("table", data=path, outcome="died")


def test_without_outcome_or_file(tmp_path):
    with pytest.raises(InputError, match="needs an outcome; name the column with --outcome"):
        datasets.load("table", data=tmp_path)
    with pytest.raises(InputError, match="Data set table needs a file"):
        datasets.load("table", outcome="x")
    with pytest.raises(InputError, match="is a folder; give the CSV or Parquet file"):
        datasets.load("table", data=tmp_path, outcome="x")
    (tmp_path / "p.xlsx").write_bytes(b"PK")
    with pytest.raises(InputError, match="p.xlsx has an unknown ending; use one of .parquet"):
        datasets.load("table", data=tmp_path / "p.xlsx", outcome="x")
    (tmp_path / "p.csv").write_bytes(b"")
    with pytest.raises(InputError, match="p.csv cannot be read as .csv"):
        datasets.load("table", data=tmp_path / "p.csv", outcome="x")


def test_the_outcome_is_the_one_it_was_read_with(patients, tmp_path):
    tables = datasets.load("table", data=write(patients, tmp_path / "p.csv"), outcome="died")
    assert Schema.of(build_patients(tables, outcome="died")).outcome == "died"
    with pytest.raises(InputError, match="read with outcome 'died', not 'diabetes'"):
        build_patients(tables, outcome="diabetes")


# -- what a column is taken for ------------------------------------------------------------


def read(table, path, outcome="died", **options):
    """The patient table, its schema, and the list of what was done by column."""
    if not isinstance(table, Path):
        table = write(table, path / "p.csv")
    tables = datasets.load("table", data=table, outcome=outcome, **options)
    listed = tables["columns"].set_index("column")
    return tables["table"], Schema.of(tables["table"]), listed


def with_column(patients, values, name="x"):
    return patients.assign(**{name: (list(values) * 300)[:300]})


@pytest.mark.parametrize(
    ("values", "kind", "note"),
    [
        ([4], "dropped", "one value only"),
        (["a"], "dropped", "one value only"),
        ([None], "dropped", "no values at all"),
        ([1, 2, 3, 4], "categorical", ""),
        (range(20), "continuous", ""),
        ([0.1, 0.2, 0.35], "continuous", ""),
        ([True, False], "binary", ""),
        (["TRUE", "FALSE"], "binary", ""),
        ([True, False, None], "categorical", ""),
        (["Yes", "yes", "YES ", "no"], "categorical", "other spellings joined"),
        ([*map(str, range(50)), "N/A"], "continuous", "'N/A' read as missing"),
        ([*map(str, range(50)), "."], "continuous", "'.' read as missing"),
        ([*map(str, range(50)), *["-"] * 50], "continuous", "'-' read as missing"),
        ([f"{i:05}" for i in [*[900] * 99, *range(901, 1000)]], "categorical", "joined as Other"),
        (
            [f"C{i}" for i in [*[7] * 60, *[8] * 40, *range(100)]],
            "categorical",
            "98 rarer values joined as Other",
        ),
        ([f"C{i}" for i in range(100)], "dropped", "100 values of too few patients each"),
        ([f"2020-01-{1 + i % 31:02}" for i in range(60)], "continuous", "days since 2020-01-01"),
        (["2020-01-31 10:00", "2020-02-01T22:30:00Z"], "continuous", "days since 2020-01-01"),
        (["31/01/2020", "01/02/2020"], "continuous", "days since 2020-01-01"),
        (["01/31/2020", "02/01/2020"], "continuous", "days since 2020-01-01"),
        (["1.2.2020", "3.2.2020"], "continuous", "days since 2020-01-01"),
        (["31JAN2020", "01FEB2020"], "continuous", "days since 2020-01-01"),
        ([20200131, 20200201], "continuous", "days since 2020-01-01"),
        (["2187-03-01", "2190-05-06"], "continuous", "days since 2187-01-01"),
        (["07:30", "23:59"], "continuous", "times of the day, read as hours after midnight"),
        (["07:30:15", "00:00:00"], "continuous", "times of the day"),
        (["1:10", "1:20", "1:160"], "categorical", ""),  # titers
        (["10000000000000001", "10000000000000002"], "categorical", ""),
        ([f"${v}.50" for v in range(40)], "continuous", "numbers in $"),
    ],
)
def test_each_kind_of_column(patients, tmp_path, values, kind, note):
    table, schema, listed = read(with_column(patients, values), tmp_path)
    assert listed.loc["x", "kind"] == kind
    assert note in listed.loc["x", "notes"]
    assert ("x" in schema) == (kind != "dropped")
    if "days since" in note:
        assert schema["x"].unit in listed.loc["x", "notes"] and table["x"].min() >= 0


# -- numbers with their unit ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "unit"),
    [
        ("mg", "mg"), ("MCG", "ug"), ("µg/mL", "ug/ml"), ("mcg / ml", "ug/ml"), ("kg/m²", "kg/m2"),
        ("%", "%"), ("K/uL", "k/ul"), ("x10^9/L", "10^9/l"), ("10*3/uL", "10^3/ul"),
        ("/min", "/min"), ("beats per minute", "beats/min"), ("mL/min/1.73m2", "ml/min/1.73m2"),
        ("mg/24h", "mg/24h"), ("lbs.", "lb"), ("yrs", "y"), ("°C", "c"), ("mmHg", "mmhg"),
        ("wards", None), ("a", None), ("", None), ("mg tablet", None), ("/", None), ("st", None),
    ],
)  # fmt: skip
def test_what_is_a_unit(written, unit):
    assert unit_of(written) == unit


@pytest.mark.parametrize(
    ("form", "unit"),
    [("{:.1f} mg/L", "mg/L"), ("{:.1f}kg", "kg"), ("{:.1f} %", "%"), (" {:.1f}  mmHg ", "mmHg"),
     ("{:.1f} 10^9/L", "10^9/L"), ("{:.1f} x10^9/L", "x10^9/L")],
)  # fmt: skip
def test_numbers_with_one_unit_are_numbers(patients, tmp_path, form, unit):
    values = np.round(np.random.default_rng(1).gamma(2, 20, 300), 1)
    written = [form.format(value) for value in values]
    written[7] = written[8] = None
    table, schema, listed = read(patients.assign(x=written), tmp_path)
    assert (schema["x"].kind, schema["x"].unit, schema["x"].decimals) == ("continuous", unit, 1)
    assert f"numbers in {unit}" in listed.loc["x", "notes"] and unit in listed.loc["x", "values"]
    assert np.allclose(table["x"].drop([7, 8]), np.delete(values, [7, 8]))
    assert table["x"][[7, 8]].isna().all()


def test_one_unit_in_many_spellings(patients, tmp_path):
    written = [f"{i % 40 + 1} {'day' if i % 40 == 0 else 'days' if i % 3 else 'Days'}"
               for i in range(300)]  # fmt: skip
    written[:2] = ["N/A", "-"]
    table, schema, listed = read(patients.assign(x=written), tmp_path)
    assert schema["x"].unit == "days" and schema["x"].decimals == 0
    assert "'-', 'N/A' read as missing" in listed.loc["x", "notes"]
    assert table["x"][2:].tolist() == [i % 40 + 1 for i in range(2, 300)]
    said = columns_file(tmp_path, {"x": {"unit": "d", "kind": "continuous"}})
    assert read(patients.assign(x=written), tmp_path, columns=said)[1]["x"].unit == "d"


def test_few_whole_numbers_with_a_unit_are_categories(patients, tmp_path):
    """As whole numbers of few values are: in order of their size, in one spelling."""
    table, schema, _ = read(with_column(patients, ["10 mg", "5 mg", "10mg", " 5  MG"]), tmp_path)
    assert schema["x"].kind == "categorical" and schema["x"].categories == ("5 mg", "10 mg")
    assert table["x"].tolist() == ["10 mg", "5 mg"] * 150
    _, schema, listed = read(with_column(patients, ["5 mg", "10 mg", "20 mg", "-"]), tmp_path)
    assert schema["x"].categories == ("5 mg", "10 mg", "20 mg", MISSING)
    assert listed.loc["x", "notes"].startswith("'-' read as missing; if that is a value, say")
    said = columns_file(tmp_path, {"x": {"kind": "continuous"}})
    schema = read(with_column(patients, ["5 mg", "10 mg"]), tmp_path, columns=said)[1]
    assert (schema["x"].kind, schema["x"].unit) == ("continuous", "mg")


@pytest.mark.parametrize(
    ("values", "categories"),
    [
        (["2 wards", "3 wards", "1 ward"], 3),
        (["Stage 1", "Stage 2"], 2),
        (["1a", "2b", "3c", "4a"], 4),
        (["1st", "2nd", "3rd", "21st"], 4),
        ([f"{i}-{i + 9} years" for i in range(0, 90, 10)], 9),
        ([f"{i} beds" for i in range(30)], 30),
    ],
)
def test_texts_that_are_no_numbers_with_a_unit(patients, tmp_path, values, categories):
    _, schema, _ = read(with_column(patients, values), tmp_path)
    assert schema["x"].kind == "categorical" and len(schema["x"].categories) == categories


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (
            [*(f"{i} kg" for i in range(50, 88)), "150 lb", "160 lb"],
            r"'x' has numbers in kg \(286 rows\) and in lb \(14 rows, first in row 39\);",
        ),
        (
            ["5 mg", "1 g"],
            r"'x' has numbers in mg \(150 rows\) and in g \(150 rows, first",
        ),
        (
            [*(f"{i}.5 mg/L" for i in range(40)), "<5 mg/L"],
            "numbers in mg/L but has '<5 mg/L' in row 41; correct it, .*missing.*--columns",
        ),
        ([*(f"{i}.5 mg/L" for i in range(40)), "17"], "numbers in mg/L but has '17' in row 41"),
    ],
)
def test_units_that_cannot_be_read_in_one_way_are_refused(patients, tmp_path, values, reason):
    with pytest.raises(InputError, match=reason) as caught:
        read(with_column(patients, values), tmp_path)
    assert "\n" not in str(caught.value)
    said = columns_file(tmp_path, {"x": {"kind": "categorical"}})
    schema = read(with_column(patients, values), tmp_path, columns=said)[1]
    assert schema["x"].kind == "categorical"


def test_days_between_dates_are_kept(patients, tmp_path):
    dates = pd.Timestamp("2019-12-30") + pd.to_timedelta(np.arange(300) % 90, unit="D")
    table, schema, _ = read(patients.assign(day=dates), tmp_path)
    assert np.array_equal(table["day"], np.arange(300) % 90 + 363)  # since New Year
    assert schema["day"].unit == "days since 2019-01-01" and schema["day"].decimals == 0


def test_types_of_parquet(patients, tmp_path):
    rng = np.random.default_rng(1)
    typed = patients.assign(
        smoker=pd.Categorical(patients["smoker"], ["Y", "N", ""]),
        cost=[Decimal(f"{v:.2f}") for v in rng.gamma(2, 100, 300)],
        born=[date(1950 + i % 50, 1, 1) for i in range(300)],
        seen=pd.Timestamp("2020-01-01", tz="Europe/Paris")
        + pd.to_timedelta(np.arange(300) % 60, unit="h"),
        stay=pd.to_timedelta(np.arange(300) % 50, unit="D"),
        children=pd.array(rng.integers(0, 30, 300), "Int64"),
    )
    table, schema, _ = read(write(typed, tmp_path / "p.parquet"), tmp_path)
    assert schema["cost"].decimals == 2 and schema["born"].unit == "days since 1950-01-01"
    assert schema["seen"].unit == "days since 2019-01-01"  # in UTC
    assert schema["stay"].unit == "days" and table["stay"].max() == 49
    assert schema["children"].kind == "continuous"
    never = typed.assign(seen=np.array(["2020-01-01", "9999-12-31"] * 150, "datetime64[s]"))
    with pytest.raises(
        InputError, match="'seen' holds dates but has '9999-12-31' in row 2; .*missing"
    ):
        read(write(never, tmp_path / "never.parquet"), tmp_path)
    nested = write(patients.assign(codes=[["a", "b"]] * 300), tmp_path / "nested.parquet")
    with pytest.raises(InputError, match="'codes' holds several .* in row 1; make one"):
        datasets.load("table", data=nested, outcome="died")


def test_laboratory_values_are_no_identifiers(patients, tmp_path):
    rng = np.random.default_rng(2)
    table = patients.assign(
        lactate=rng.lognormal(0, 1, 300),  # all different, with decimals
        bnp=rng.choice(35_000, 300, replace=False),  # all different, whole
        platelets=rng.choice(np.arange(100_000, 900_000, 1_000), 300, replace=False),
        few=np.where(np.arange(300) < 60, rng.choice(100_000, 300, replace=False), np.nan),
    )
    _, schema, _ = read(table, tmp_path)
    for name in ("lactate", "bnp", "platelets", "few"):
        assert schema[name].kind == "continuous"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("mrn", np.arange(1, 301)[::-1]),
        ("lot", np.random.default_rng(0).permutation(np.arange(5000, 5300))),
        ("hash", [f"{i * 7919:x}" for i in range(300)]),
        ("pat", np.random.default_rng(0).choice(np.arange(10**7, 2 * 10**7), 300, replace=False)),
        ("Patient ID", np.r_[np.arange(290) * 1013, np.arange(10)]),
    ],
)
def test_identifiers_are_refused_unless_told_otherwise(patients, tmp_path, name, values):
    table = patients.assign(**{name: values})
    with pytest.raises(InputError, match=f"'{name}' .*(identifier.*drop|several rows).*--columns"):
        read(table, tmp_path)
    said = columns_file(tmp_path, {name: {"drop": True}})
    assert name not in read(table, tmp_path, columns=said)[1]
    if name != "hash":
        said = columns_file(tmp_path, {name: {"identifier": "allowed"}})
        assert name in read(table, tmp_path, columns=said)[1]


def test_a_name_tells_an_identifier_that_some_rows_share():
    """Numbers far apart, ten of them twice: the number of a visit, or a count of platelets."""
    numbers = pd.Series([1013 * i for i in range(90)] + [1013 * i for i in range(10)])
    assert looks_like_identifier(numbers, named=True)
    assert not looks_like_identifier(numbers, named=False)


def test_row_numbers_are_dropped_with_a_word(patients, tmp_path):
    path = tmp_path / "p.csv"
    patients.to_csv(path)  # pandas writes its index as a first column without a name
    _, schema, listed = read(path, tmp_path)
    assert schema.names == list(patients.columns)
    assert listed.loc["Unnamed: 0", "notes"].startswith("row numbers; if they are not")


def test_a_ward_number_is_a_code_and_a_long_one_is_grouped(patients, tmp_path):
    ward = [100 + i % 70 for i in range(150)] + [101] * 80 + [102] * 70
    table = patients.assign(hospital_id=ward)
    _, schema, listed = read(table, tmp_path)
    assert schema["hospital_id"].categories == ("101", "102", "Other")
    assert "68 rarer values joined as Other" in listed.loc["hospital_id", "notes"]
    said = tmp_path / "columns.json"
    said.write_text(json.dumps({"hospital_id": {"kind": "categorical"}}))
    asked = read(table, tmp_path, columns=said)[1]
    assert len(asked["hospital_id"].categories) == 41


# -- how the file is written ---------------------------------------------------------------


def test_codes_that_mostly_look_like_numbers_stay_codes(patients, tmp_path):
    codes = [str(100 + i % 80 * (i % 2)) for i in range(len(patients))]
    codes[5:9] = ["V57", "E885.9", "V10", "?"]
    tables = datasets.load("table", data=write(patients.assign(x=codes), tmp_path / "p.csv"),
                           outcome="died")  # fmt: skip
    assert Schema.of(tables["table"])["x"].kind == "categorical"
    assert "100" in set(tables["table"]["x"])
    patients = patients.assign(x=["V57", *codes[1:5], *map(str, range(len(patients) - 5))])
    with pytest.raises(InputError, match="'x' should hold numbers but has another text in row 1"):
        datasets.load("table", data=write(patients, tmp_path / "q.csv"), outcome="died")


def test_a_european_spreadsheet(patients, tmp_path):
    path = tmp_path / "p.csv"
    table = patients.rename(columns={"ward": "Größe"})
    table.to_csv(path, sep=";", decimal=",", index=False, encoding="cp1252")
    result, schema, _ = read(path, tmp_path)
    assert "Größe" in schema and schema["crp"].kind == "continuous"
    assert np.allclose(result["crp"], patients["crp"], equal_nan=True)


@pytest.mark.parametrize("sep", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_delimiters_and_encodings(patients, tmp_path, sep, encoding):
    path = tmp_path / "p.csv"
    patients.to_csv(path, sep=sep, index=False, encoding=encoding)
    assert list(read(path, tmp_path)[0].columns) == list(patients.columns)


def test_quoted_line_breaks_and_commas(patients, tmp_path):
    table = with_column(patients, ["a,\nb", 'say "c"'], "odd, name")
    _, schema, _ = read(table, tmp_path)
    assert schema["odd, name"].categories == ("a,\nb", 'say "c"')


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([*map(str, range(40)), "<5"], "has '<5' in row 41; .*missing.*<5.*--columns"),
        (["?", *map(str, range(40)), "none yet"], "has 'none yet' in row 42; .*missing"),
        (["03/04/2020", "05/06/2020"], "'x' holds dates of which nobody can .* row 1"),
        (["2020-01-01", "9999-12-31"], "'x' holds dates but has '9999-12-31' in row 2; .*missing"),
        (["0001-01-01", "2020-01-01"], "'x' holds dates but has '0001-01-01' in row 1; correct"),
        ([str(10**25 + 7 * i) for i in range(300)], "'x' has 300 different texts, .*identifier"),
        (["13/04/20", "15/06/20"], "'x' holds dates with two digits for the year, such as"),
        (["2020-01-01"] * 20 + ["2020-02-31"], "'x' holds dates but has '2020-02-31' in row 21"),
        ([f"fell in corridor {i}" for i in range(250)], "'x' has 250 different"),
        (
            [1.0, 2.0, float("inf"), 3.0],
            "'x' should hold numbers, none infinite or beyond 1e100, but has inf in row 3",
        ),
        ([f"{110 + i}/{70 + i % 9} mmHg" for i in range(40)], "'x' holds two numbers in one text"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(patients, tmp_path, values, reason):
    with pytest.raises(InputError, match=reason) as caught:
        read(with_column(patients, values), tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("died,city\n" + "0,Z\u00fcrich\n1,Bern\n" * 20, None),
        (b"died,city\n" + b"0,Z\xfcrich\n1,Bern\n" * 20, None),
        (b"died,city\n" + "0,Z\u00fcrich\n".encode() * 20 + b"1,Gen\xe8ve\n" * 20,
         "p.csv is written in two encodings: line 2 is in UTF-8 and line 22 is not; save all"),
        ("died,city\n0,Bern\n".encode("utf-16-le"), "p.csv is not a text file; save"),
        (gzip.compress(b"died,city\n" + b"0,Bern\n" * 50, mtime=0), "p.csv is not a text file"),
    ],
)  # fmt: skip
def test_encodings_that_are_mixed_or_none(tmp_path, content, reason):
    path = tmp_path / "p.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    if reason is None:
        assert Schema.of(read(path, tmp_path)[0])["city"].categories == ("Bern", "Zürich")
    else:
        with pytest.raises(InputError, match=reason):
            read(path, tmp_path)


def test_names_that_are_equal_without_their_spaces(patients, tmp_path):
    table = patients.rename(columns={"crp": "age "})
    for name in ("p.csv", "p.parquet"):
        with pytest.raises(InputError, match=f"'age' appears twice in .*{name}"):
            read(write(table, tmp_path / name), tmp_path)


def test_a_file_with_longer_rows_than_names(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("died,age\n" + "0,50,1\n1,60,2\n" * 20)
    with pytest.raises(InputError, match="p.csv has rows with more values than its first row"):
        read(path, tmp_path)


# -- the outcome ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "positive"),
    [
        (["no", "yes"], "yes"), (["ja", "nein"], "ja"), (["died", "survived"], "died"),
        (["Alive", "Dead"], "Dead"), ([0, 1], "1"), ([0, 2], "2"), ([-1, 1], "1"),
        ([True, False], "1"), (["Yes", "NO", "yes", "no"], "Yes"),
    ],
)  # fmt: skip
def test_which_value_of_the_outcome_is_one(patients, tmp_path, values, positive):
    table, schema, listed = read(with_column(patients, values, "died"), tmp_path)
    assert f"{positive!r} counts as 1 (" in listed.loc["died", "notes"]
    cells = [category_text(v).casefold() for v in (values * 300)[:300]]
    assert schema.outcome_values(table).tolist() == [c == positive.casefold() for c in cells]


def test_the_near_name_of_an_outcome_is_suggested(patients, tmp_path):
    with pytest.raises(InputError, match="'Died' is not in the table; did you mean 'died'"):
        read(patients, tmp_path, outcome="Died")


# -- the columns file ----------------------------------------------------------------------


def columns_file(folder, content, name="columns.json"):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_what_the_columns_file_says_is_done(patients, tmp_path):
    table = with_column(patients, ["no", "yes"], "pregnant").assign(
        lab=[-9 if i % 5 == 0 else i % 40 for i in range(300)],
        died=[None if i < 10 else "yes" if i % 3 else "no" for i in range(300)],
    )
    said = {
        "age": {"unit": "years", "bounds": [18, 110], "label": "Age at entry"},
        "stage": {"kind": "continuous", "role": "measurement"},
        "diabetes": {"role": "diagnosis"},
        "pregnant": {"kind": "binary", "sex": "F"},
        "ward": {"drop": True},
        "lab": {"missing": [-9], "decimals": 1, "bounds": [None, 35]},
        "died": {"missing_rows": "drop", "positive": "no"},
    }
    yaml_text = yaml.safe_dump(said)
    for path in (columns_file(tmp_path, said), columns_file(tmp_path, yaml_text, "c.yaml")):
        result, schema, listed = read(table, tmp_path, columns=path)
        assert len(result) == 290 and list(result.index) == list(range(290))
        assert schema["age"].title == "Age at entry (years)"
        assert (schema["age"].lower, schema["age"].upper) == (18, 110)
        assert (schema["stage"].kind, schema["stage"].role) == ("continuous", "measurement")
        assert schema["diabetes"].role == "diagnosis"
        assert (schema["pregnant"].kind, schema["pregnant"].sex) == ("binary", "F")
        assert "ward" not in schema and listed.loc["ward", "kind"] == "dropped"
        assert schema["lab"].upper == 35 and schema["lab"].decimals == 1
        assert result["lab"].isna().sum() == 58
        assert schema["died"].categories == ("yes", "no")
        assert "10 patients without it left out" in listed.loc["died", "notes"]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([1], "should map the name of a column"),
        ({"Age": {}}, "names the column 'Age', which .*p.csv does not have; did you mean 'age'"),
        ({"age": "years"}, "says 'years' about column 'age'"),
        ({"age": {"units": "y"}}, "has the key 'units' for column 'age'; use kind, role"),
        ({"age": {"kind": "number"}}, "says kind 'number' for column 'age'; use one of categ"),
        ({"age": {"role": "outcome"}}, "says role 'outcome' for column 'age'"),
        ({"age": {"bounds": [9, 1]}}, r"says bounds \[9, 1\] for column 'age'; use two numbers"),
        ({"age": {"bounds": ["a", 1]}}, "use two numbers"),
        ({"age": {"decimals": -1}}, "says decimals -1"),
        ({"age": {"drop": "yes"}}, "says drop 'yes' for column 'age'; use true or false"),
        ({"age": {"sex": "W"}}, "says sex 'W' for column 'age'; use one of F, M"),
        ({"age": {"sex": "F"}}, "'age' is continuous; only a yes/no column can be of one sex"),
        ({"age": {"identifier": True}}, "use one of allowed"),
        ({"age": {"unit": 3}}, "says unit 3 for column 'age'; use a text"),
        ({"age": {"kind": "binary"}}, "'age' has [0-9]+ different values, so it cannot be yes"),
        ({"age": {"kind": "date"}}, "'age' should hold dates but has .* in row 1"),
        ({"ward": {"kind": "continuous"}}, "'ward' should hold numbers but has '.*' in row"),
        ({"ward": {"bounds": [0, 1]}}, "'ward' is categorical, so it has no bounds"),
        ({"died": {"drop": True}}, "drops the outcome 'died'"),
        ({"died": {"positive": "maybe"}}, "'died' has no value 'maybe'; its values are 'no'"),
        ({"died": {"kind": "continuous"}}, "'died' needs two values"),
        ("{", "columns.json is not readable JSON"),
    ],
)
def test_columns_files_that_are_refused(patients, tmp_path, said, reason):
    with pytest.raises(InputError, match=reason) as caught:
        read(patients, tmp_path, columns=columns_file(tmp_path, said))
    assert "\n" not in str(caught.value)


def test_columns_files_that_cannot_be_read(patients, tmp_path):
    for name, content, reason in [
        ("c.yaml", "age: [", "c.yaml is not readable YAML"),
        ("c.txt", "", "c.txt has an unknown ending; use .json, .yaml or .yml"),
    ]:
        with pytest.raises(InputError, match=reason):
            read(patients, tmp_path, columns=columns_file(tmp_path, content, name))
    for name in ("no.json", "no.yaml"):
        with pytest.raises(InputError, match=f"{name} does not exist"):
            read(patients, tmp_path, columns=tmp_path / name)


def test_the_list_of_columns_can_be_read(patients, tmp_path):
    tables = datasets.load("table", data=write(patients, tmp_path / "p.csv"), outcome="died")
    lines = show(tables["columns"])
    assert lines[0].split()[:3] == ["column", "kind", "role"] and len(lines) == 9
    assert len(show(tables["columns"], most=3)) == 5
    assert all("nan" not in line for line in lines)


def test_tables_of_many_columns(tmp_path):
    rng = np.random.default_rng(0)
    wide = pd.DataFrame(rng.integers(0, 2, (200, 600)), columns=[f"c{i}" for i in range(600)])
    _, schema, _ = read(wide, tmp_path, outcome="c0")
    assert len(schema.columns) == 600


def test_the_holdout_is_read_as_train_is(patients, tmp_path):
    table = patients.assign(
        grp=[1, 2] * 150, old=["yes", "no", "no"] * 100, word=["Home", "away", "home"] * 100,
        died=["Yes", "no", "yes"] * 100, Gender=["female", "Male", "male"] * 100,
    )  # fmt: skip
    (path := tmp_path / "columns.json").write_text('{"grp": {"kind": "binary"}}')
    result = tables_of(open_sheet(table, "died", path), np.arange(180), np.arange(180, 300))
    grp = pd.concat([result["train"]["grp"], result["holdout"]["grp"]])
    assert grp.value_counts().to_dict() == {0: 150, 1: 150}
    assert not [f for f in result["quality"] if "otherwise" in str(f)]
