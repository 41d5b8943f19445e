"""What comes out of a flat table has the form of what went in."""

import gzip
import json
from datetime import time
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import ehrsynth as es
from ehrsynth import datasets
from ehrsynth import stream as streaming
from ehrsynth.profiles import PROFILES, Profile
from ehrsynth.schema import Schema
from ehrsynth.sources.flat import form as forms
from ehrsynth.sources.flat import table as table_module
from ehrsynth.sources.flat.applying import fit_into
from ehrsynth.sources.flat.form import date_style, number_style, write_date, write_numbers
from ehrsynth.sources.flat.table import open_sheet

N = 240


def patients_as_texts():
    """Patients with every kind of column that a CSV can hold, as texts."""
    rng = np.random.default_rng(0)
    days = pd.Series(
        pd.Timestamp("2019-03-04") + pd.to_timedelta(rng.integers(0, 900, N), unit="D")
    )
    crp = rng.gamma(2, 10, N)
    return pd.DataFrame(
        {
            "smoker": rng.choice(["yes", "no", "?"], N, p=[0.3, 0.5, 0.2]),
            "Gender": rng.choice(["female", "Male"], N),
            "age": rng.integers(18, 90, N).astype(str),
            "crp": [f"{v:.2f}" if v < 40 else "" for v in crp],
            "weight": [f"{v:.1f} kg" for v in rng.normal(80, 12, N)],
            "dose": (5 * rng.integers(1, 40, N)).astype(str),
            "admitted": days.dt.strftime("%d.%m.%Y"),
            "seen": (days + pd.to_timedelta(15 * rng.integers(0, 96, N), unit="min")).dt.strftime(
                "%Y-%m-%d %H:%M"
            ),
            "woke": [f"{h:02d}:{m:02d}" for h, m in rng.integers((4, 0), (11, 60), (N, 2))],
            "zip": rng.choice(["02104", "02105", "10001"], N),
            "stage": rng.choice(["1", "2", "3"], N),
            "ward": rng.choice(["Über", "Ost", "None"], N),
            "diabetes": rng.choice(["True", "False"], N),
            "died": np.where(rng.random(N) < 0.3, "Y", "N"),
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def patients():
    return patients_as_texts()


def shuffled(table, seed=0):
    """Every column in an order of its own: the same values, as nobody has them together."""
    rng = np.random.default_rng(seed)
    mixed = {name: values.sample(frac=1, random_state=rng).array for name, values in table.items()}
    return Schema.of(table).attach(pd.DataFrame(mixed))


def loaded(data):
    """What was read, and the form, as it is when it comes back from a file of JSON."""
    tables = datasets.load("table", data=data, outcome="died")
    return tables["table"], json.loads(json.dumps(tables["form"], allow_nan=False))


TEXTS = [
    ({}, "p.csv"), ({}, "p.csv.gz"),
    ({"sep": "\t"}, "p.csv"), ({"sep": "|", "lineterminator": "\r\n"}, "p.csv"),
    ({"sep": ";", "decimal": ","}, "p.csv"),
    ({"encoding": "cp1252"}, "p.csv"), ({"encoding": "utf-16", "sep": "\t"}, "p.csv"),
    ({"encoding": "utf-8-sig"}, "p.csv"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "name"), TEXTS)
def test_a_csv_comes_out_as_it_went_in(patients, tmp_path, said, name):
    texts = patients.copy()
    if said.get("decimal") == ",":
        for column in ("crp", "weight"):
            texts[column] = texts[column].str.replace(".", ",")
        texts["weight"] = texts["weight"].str.replace(" kg", "")
    path, out = tmp_path / name, tmp_path / f"out-{name}"
    options = {"index": False} | {k: v for k, v in said.items() if k != "decimal"}
    texts.to_csv(path, **options)
    read, form = loaded(path)
    forms.write(read, out, form)
    before, after = (
        gzip.open(p).read() if p.suffix == ".gz" else p.read_bytes() for p in (path, out)
    )
    assert after == before.replace(b"\r\n", b"\n")
    forms.write(shuffled(read), out, form)
    assert Schema.of(loaded(out)[0]) == Schema.of(read)


def typed(patients):
    """Columns of every type that Parquet keeps."""
    rng = np.random.default_rng(1)
    stage = pd.CategoricalDtype(["low", "mid", "high"], ordered=True)
    days = pd.Series(
        pd.Timestamp("2020-02-01") + pd.to_timedelta(rng.integers(0, 500, N), unit="D")
    )
    lab = pd.Series(rng.normal(140, 4, N).round(1)).where(rng.random(N) < 0.8)
    spans = pd.Series(pd.to_timedelta(rng.integers(1, 400, N), unit="h"))
    return pd.DataFrame(
        {
            "int64": rng.integers(0, 100, N), "int32": rng.integers(0, 100, N).astype("int32"),
            "uint8": rng.integers(18, 99, N).astype("uint8"), "float64": lab,
            "Int64": pd.Series(rng.integers(0, 100, N)).astype("Int64").where(rng.random(N) < 0.8),
            "Float64": lab.astype("Float64"),
            "bool": rng.random(N) < 0.4,
            "boolean": pd.Series(rng.random(N) < 0.4).astype("boolean").where(rng.random(N) < 0.8),
            "text": rng.choice(["a", "b", "NA"], N),
            "string": pd.Series(rng.choice(["x", "y"], N)).astype("string"),
            "category": pd.Series(rng.choice(["red", "blue"], N)).astype("category"),
            "ordered": pd.Series(rng.choice(stage.categories, N)).astype(stage),
            "datetime": days,
            "minutes": days + pd.to_timedelta(rng.integers(0, 1440, N), unit="min"),
            "zoned": days.dt.tz_localize("Europe/Berlin"),
            "date": days.dt.date, "duration": spans,
            "decimal": [Decimal(f"{v:.2f}") for v in rng.gamma(2, 10, N)],
            "clock": [time(int(h), 30) for h in rng.integers(0, 24, N)],
            "codes": rng.choice([1, 0], N), "few": rng.choice([10, 20, 30], N).astype("int16"),
            "died": np.where(rng.random(N) < 0.3, "dead", "alive"),
        }
    )  # fmt: skip


def test_parquet_comes_out_with_the_types_that_went_in(patients, tmp_path):
    path, out = tmp_path / "p.parquet", tmp_path / "q.parquet"
    typed(patients).to_parquet(path, index=False)
    read, form = loaded(path)
    forms.write(shuffled(read), out, form)
    assert Schema.of(loaded(out)[0]) == Schema.of(read)
    one, two = pd.read_parquet(path), pd.read_parquet(out)
    pd.testing.assert_series_equal(one.dtypes, two.dtypes)
    for name in ("date", "decimal", "clock", "boolean", "text"):
        assert (
            two[name].dropna().map(type).unique().tolist()
            == one[name].dropna().map(type).unique().tolist()
        )
    assert two["ordered"].dtype.categories.tolist() == ["low", "mid", "high"]
    assert set(two["text"]) == set(one["text"])
    assert (two["zoned"].dt.normalize() == two["zoned"]).all()


ARROW = {
    "a": pa.int32(), "b": pa.float32(), "c": pa.string(), "d": pa.bool_(), "e": pa.date32(),
    "f": pa.timestamp("us"), "g": pa.large_string(), "h": pa.duration("s"),
    "i": pa.decimal128(10, 2), "j": pa.timestamp("us", "UTC"), "k": pa.time64("us"),
    "l": pa.dictionary(pa.int8(), pa.string(), ordered=True), "m": pa.int64(), "died": pa.string(),
}  # fmt: skip


def of_arrow():
    rng = np.random.default_rng(2)
    days = pd.Series(
        pd.Timestamp("2020-02-01") + pd.to_timedelta(rng.integers(0, 500, N), unit="D")
    )
    plain = {
        "a": rng.integers(0, 90, N), "b": rng.normal(size=N).round(2),
        "c": rng.choice(["x", "y"], N),
        "d": rng.random(N) < 0.5, "e": days.dt.date, "f": days, "g": rng.choice(["x", "y"], N),
        "h": pd.to_timedelta(rng.integers(1, 400, N), unit="h").as_unit("s"),
        "i": [Decimal(f"{v:.2f}") for v in rng.gamma(2, 10, N)], "j": days.dt.tz_localize("UTC"),
        "k": [time(int(h), 30) for h in rng.integers(0, 24, N)],
        "l": pd.Categorical(rng.choice(["lo", "hi"], N), ["lo", "hi"], ordered=True),
        "m": pd.Series(rng.integers(0, 90, N)).where(rng.random(N) < 0.7).astype("Int64"),
        "died": np.where(rng.random(N) < 0.3, "dead", "alive"),
    }  # fmt: skip
    return pa.table({name: pa.array(plain[name]).cast(kind) for name, kind in ARROW.items()})


def test_a_file_that_arrow_wrote(tmp_path):
    path, out = tmp_path / "p.parquet", tmp_path / "q.parquet"
    pa.parquet.write_table(of_arrow(), path)
    read, form = loaded(path)
    forms.write(shuffled(read), out, form)
    assert pa.parquet.read_schema(out).equals(pa.parquet.read_schema(path))
    assert Schema.of(loaded(out)[0]) == Schema.of(read)


@pytest.mark.parametrize("backend", [None, pd.ArrowDtype])
def test_a_table_in_memory(backend):
    table = of_arrow().to_pandas(types_mapper=backend)
    read, form = loaded(table)
    pd.testing.assert_frame_equal(forms.dress(read, form), table)


def test_a_column_that_arrow_has_no_type_for_spoils_no_other(patients):
    table = patients[["age", "died"]].assign(
        mixed=["one", 1] * (N // 2), band=pd.cut(np.arange(N) % 90, [-1, 9, 50, 99]),
        spent=pd.to_timedelta(np.arange(N) % 50 + 1, unit="D"),
        seen=pd.Timestamp("2021-03-01") + pd.to_timedelta(np.arange(N) % 300, unit="D"),
    )  # fmt: skip
    read, form = loaded(table)
    dressed = forms.dress(shuffled(read), form)
    for name in ("spent", "seen"):
        assert dressed[name].dtype == table[name].dtype
    assert dressed["band"].dtype.ordered and set(dressed["mixed"]) == {"one", "1"}
    assert dressed["band"].cat.categories.tolist() == [str(b) for b in table["band"].cat.categories]
    assert Schema.of(loaded(dressed)[0]) == Schema.of(read)


def test_names_that_are_numbers(patients):
    table = patients[["age", "stage"]].astype(int).set_axis([0, 1], axis=1)
    table["died"] = patients["died"]
    read, form = loaded(table)
    assert forms.dress(read, form).columns.tolist() == [0, 1, "died"]


# -- through the whole job ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of a few steps on a table with European dates, units and words for missing."""
    folder = tmp_path_factory.mktemp("run")
    path = folder / "patients.csv"
    table = patients_as_texts()
    table.to_csv(path, index=False, sep=";", encoding="cp1252")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROFILES, "fast", Profile(500, 6_000, min_prevalence=0.01, steps=20))
        job = es.Pipeline(out=folder / "out", dataset="table", data=path, outcome="died")
        _ = job.synthetic
    return job, table


def as_texts(path, **options):
    return pd.read_csv(
        path, dtype=str, keep_default_na=False, sep=";", encoding="cp1252", **options
    )


def assert_in_form(made, table):
    assert list(made.columns) == list(table.columns)
    for name in ("smoker", "Gender", "zip", "stage", "ward", "diabetes", "died"):
        assert set(made[name]) <= set(table[name]), name
    written = {
        "age": r"\d\d", "dose": r"\d+", "weight": r"\d+\.\d kg", "woke": r"\d\d:\d\d",
        "crp": r"\d+\.\d\d|", "admitted": r"\d\d\.\d\d\.20\d\d",
        "seen": r"20\d\d-\d\d-\d\d \d\d:\d\d",
    }  # fmt: skip
    for name, form in written.items():
        assert made[name].str.fullmatch(form).all(), name
    assert not (made["seen"].str[-2:].astype(int) % 15).any()


def test_a_run_hands_out_the_form_that_went_in(finished):
    job, table = finished
    assert job.files.released == "synthetic.csv" and not (job.out / "synthetic.parquet").exists()
    made = as_texts(job.out / "synthetic.csv")
    assert len(made) == len(job.train)
    assert_in_form(made, table)
    read = datasets.load("table", data=job.out / "synthetic.csv", outcome="died")["table"]
    assert Schema.of(read).names == job.schema.names
    for column in job.schema.columns:
        other = Schema.of(read)[column.name]
        assert (other.kind, other.role) == (column.kind, column.role)
        assert set(other.categories) <= set(column.categories)


@pytest.mark.parametrize("name", ["more.csv", "more.csv.gz", "more"])
def test_more_patients_come_in_the_same_form(finished, tmp_path, monkeypatch, name):
    job, table = finished
    monkeypatch.setattr(streaming, "CHUNK", 40)
    form = forms.load(job.out / "model")
    format = None if "." in name else "csv"
    es.generate(job.gan, job.prep, 100, tmp_path / name, form=form, format=format)
    parts = sorted((tmp_path / name).glob("*.csv")) if format else [tmp_path / name]
    made = pd.concat([as_texts(part) for part in parts])
    assert len(made) == 100 and len(parts) == (3 if format else 1)
    assert_in_form(made, table)


def test_another_format_keeps_the_types_that_pandas_reads(finished, tmp_path, monkeypatch):
    job, _ = finished
    monkeypatch.setattr(streaming, "CHUNK", 40)
    form = forms.load(job.out / "model")
    for name in ("x.csv", "x.parquet"):
        es.generate(job.gan, job.prep, 100, tmp_path / name, form=form)
    one = pd.read_parquet(tmp_path / "x.parquet")
    two = pd.read_csv(tmp_path / "x.csv", sep=";", keep_default_na=False, na_values=[""],
                      encoding="cp1252", dtype={"zip": str})  # fmt: skip
    pd.testing.assert_frame_equal(one, two, check_dtype=False)
    assert one["age"].dtype == "int64" and one["diabetes"].dtype == "bool"


@pytest.mark.parametrize(
    ("name", "format", "words"),
    [("x.csv", "parquet", "does not end in .parquet"), ("x", "xlsx", "no format 'xlsx'")],
)
def test_formats_that_do_not_fit(finished, tmp_path, name, format, words):
    job, _ = finished
    with pytest.raises(es.InputError, match=words):
        es.generate(job.gan, job.prep, 5, tmp_path / name, format=format)


def test_nothing_of_few_patients_is_kept(patients):
    texts = patients.assign(ward=np.where(np.arange(N) < 3, "ost", patients["ward"]))
    form = loaded(texts)[1]
    ward = next(entry for entry in form["columns"] if entry["name"] == "ward")
    assert "ost" not in ward["written"].values()
    many = [f"W{i:02d}" for i in range(60) for _ in range(3)] + ["X"] * (N - 180)
    many[:5] = ["rare"] * 5
    read, form = loaded(patients.assign(ward=many))
    ward = next(entry for entry in form["columns"] if entry["name"] == "ward")
    assert ward["levels"] == ["Other", "X"]


@pytest.mark.parametrize("kind", ["int64", "str", "category"])
def test_who_has_a_rare_category_gets_one_that_others_have(kind):
    values = pd.Series([1] * 60 + [2] * 40 + [3, 4]).astype(kind)
    read, form = loaded(pd.DataFrame({"site": values, "died": np.arange(102) % 2}))
    rest = [*["1"] * 60, *["2"] * 40, "(other)", "(other)"]
    made = read.assign(site=pd.Categorical(rest, ["1", "2", "(other)"]))
    dressed = forms.dress(made, form)
    assert dressed["site"].dtype == values.astype(kind).dtype or kind == "category"
    assert dressed["site"].astype(str).value_counts().to_dict() == {"1": 61, "2": 41}


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_what_is_handed_out_is_read_as_what_was_evaluated(finished, tmp_path, ending):
    job, _ = finished
    path = tmp_path / f"x{ending}"
    forms.write(job.synthetic, path, forms.load(job.out / "model"))
    # Without a word about how train was read, as in `ehrsynth evaluate` on the files of a run.
    read, misfits = fit_into(job.schema, open_sheet(path, "died").frame)
    for name in job.schema.names:
        before, after = job.synthetic[name], read[name]
        if job.schema[name].kind == "continuous":
            assert np.allclose(before, after, atol=0.0101, equal_nan=True), name
        else:
            assert before.astype(str).tolist() == after.astype(str).tolist(), name
    assert {misfit.what for misfit in misfits} <= {"written otherwise"}


DAYS = pd.Series(pd.date_range("2021-01-03", periods=40))


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ("%Y%m%d.0", "20210105.0"),
        ("%Y%m%d.00", "20210105"),  # not recognized
        ("%Y-%m-%d %H:%M x%d", "2021-01-05"),
        ("%Y-%m-%dT10:00:00+02:00", "2021-01-05T08:00:00+00:00"),
        ("%Y-%m-%d 10:00+0200", "2021-01-05 08:00+00:00"),
        ("%Y-%m-%d 10:00:00Z", "2021-01-05 10:00:00Z"),
        ("%d-%b-%Y", "05-Jan-2021"),
    ],
)
def test_no_date_of_a_patient_is_in_the_format(form, written):
    style = date_style(DAYS.dt.strftime(form), day_first=False)
    hours = 8 if "+02" in form else 10 if "Z" in form else 0
    stamps = pd.Series([pd.Timestamp(2021, 1, 5, hours)])
    assert write_date(stamps.dt.round(style["step"]), style)[0] == written


def test_a_single_patient_does_not_decide_on_the_form():
    costs = number_style(pd.Series(["1234567.123456", *["282.40", "13.75"] * 20]), ".")
    assert write_numbers(pd.Series([5.0, 1 / 3]), costs).tolist() == ["5.00", "0.33"]
    seen = pd.Series([*DAYS.dt.strftime("%Y-%m-%d 00:00"), "2021-02-03 13:37"])
    assert date_style(seen, day_first=False)["step"] == "D"


@pytest.mark.parametrize("ending", ["", ".0"])
def test_dates_written_as_numbers_come_out_as_they_went_in(patients, ending):
    born = pd.Series(pd.date_range("1950-01-01", periods=N, freq="40D")).dt.strftime("%Y%m%d")
    frame = patients.assign(born=born + ending)
    rows = np.arange(N)
    result = table_module.tables_of(open_sheet(frame, "died"), rows[:200], rows[200:])
    assert forms.dress(result["train"], result["form"])["born"].astype(float).tolist() == [
        float(text) for text in born[:200]
    ]


@pytest.mark.parametrize("plus", ["+", ""])
def test_a_plus_sign_is_kept_where_the_file_has_it(plus):
    written = [f"{v / 10:{plus}.1f}" for v in range(-20, 21)]
    style = number_style(pd.Series(written), ".")
    assert write_numbers(pd.Series([1.5, -0.7]), style).tolist() == [f"{plus}1.5", "-0.7"]


NUMBERS = {
    "fixed": ("{:06.2f}", 1.005, "001.00"), "signed": ("{:+06.1f}", -7.25, "-007.2"),
    "power": ("{:.1E}", 123456.0, "1.2E+05"), "small": ("{:.3e}", 0.00012345, "1.234e-04"),
}  # fmt: skip


@pytest.mark.parametrize("name", NUMBERS)
def test_zeros_in_front_and_powers_of_ten_are_written_as_they_were(patients, tmp_path, name):
    form, value, wanted = NUMBERS[name]
    written = [form.format(v) for v in np.random.default_rng(3).uniform(2, 900, N)]
    assert name != "fixed" or any(text.startswith("00") for text in written)
    path, out = tmp_path / "p.csv", tmp_path / "out.csv"
    patients[["age", "died"]].assign(lab=written).to_csv(path, index=False)
    read, form = loaded(path)
    forms.write(read, out, form)
    assert out.read_bytes() == path.read_bytes()
    style = next(entry for entry in form["columns"] if entry["name"] == "lab")
    assert write_numbers(pd.Series([value]), style)[0] == wanted


def test_powers_of_ten_that_a_float_chose_itself_stay_floats():
    assert number_style(pd.Series([repr(v / 3e6) for v in range(1, 400)]), ".") == {}


@pytest.mark.parametrize(("step", "made"), [(1, "23:59:59"), (60, "23:59:00")])
def test_times_of_the_day_keep_their_seconds(patients, tmp_path, step, made):
    seconds = np.random.default_rng(4).integers(0, 86_400 // step, N) * step
    clocks = [str(time(s // 3600, s // 60 % 60, s % 60)) for s in seconds.tolist()]
    table = patients[["age", "died"]].assign(woke=clocks)
    path, out = tmp_path / "p.csv", tmp_path / "out.csv"
    table.to_csv(path, index=False)
    read, form = loaded(path)
    read.loc[0, "woke"] = 23.99999
    forms.write(read, out, form)
    assert pd.read_csv(out)["woke"].tolist() == [made, *clocks[1:]]
