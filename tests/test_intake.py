"""What a table must not bring in unasked, and what train and holdout must have alike."""

import json
import logging

import numpy as np
import pandas as pd
import pytest

from ehrsynth import datasets
from ehrsynth.datasets import split_patients
from ehrsynth.errors import InputError
from ehrsynth.evaluation.setting import Encoder
from ehrsynth.kinds import REST
from ehrsynth.preprocessing.encode import Preprocessor
from ehrsynth.schema import Column, Schema
from ehrsynth.sources.flat.applying import NEW
from ehrsynth.sources.flat.persons import names_somebody
from ehrsynth.sources.flat.table import open_sheet, tables_of

N = 300
GIVEN = ("Anna", "Peter", "Maria", "Ahmed", "Julia", "Thomas", "Ingrid", "José")
FAMILY = ("Schmidt", "Garcia", "O’Neil", "Müller", "Rossi", "van Dyke", "Nowak")
NAMES = [f"{one} {other}" for one in GIVEN for other in FAMILY]


def table(**columns):
    rng = np.random.default_rng(0)
    made = pd.DataFrame({
        "died": np.where(rng.random(N) < 0.3, "yes", "no"), "age": rng.integers(18, 90, N),
        "crp": rng.gamma(2, 10, N).round(1),
    })  # fmt: skip
    return made.assign(**{name: (list(v) * N)[:N] for name, v in columns.items()})


def load(frame, path, **said):
    if isinstance(frame, pd.DataFrame):
        frame.to_csv(path / "p.csv", index=False)
    else:
        (path / "p.csv").write_text(frame)
    columns = path / "columns.json"
    columns.write_text(json.dumps(said))
    tables = datasets.load("table", path / "p.csv", outcome="died", columns=columns)
    return tables, tables["columns"].set_index("column")


# -- who a patient is ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values", "what"),
    [
        ("name", NAMES, "names of persons"), ("whoever", NAMES, "names of persons"),
        ("seen by", [f"{f}, {g}" for g in GIVEN for f in FAMILY], "names of persons"),
        ("attending", [f"Dr. {name}" for name in (*FAMILY, "Wu", "Li", "Kim")], "names of persons"),
        ("Vorname", [*GIVEN, "Wei", "Amara"], "names of persons"),
        ("x", [f"a{i}@clinic.org" for i in range(20)], "e-mail addresses"),
        ("x", [f"0171 {i}4567" for i in range(100, 150)], "telephone numbers"),
        ("x", [f"+49 171 {i}4567" for i in range(100, 150)], "telephone numbers"),
        ("phone", [491711230000 + 7919 * i for i in range(60)], "telephone numbers"),
        ("x", [f"{i}-12-{i + 1000}" for i in range(100, 160)], "numbers of persons"),
        ("x", [f"{i} Main Street" for i in range(30)], "addresses"),
        ("x", [f"Hauptstraße {i}" for i in range(30)], "addresses"),
        ("note", ["Patient feels well.", *(f"He has pain since {i} days" for i in range(55)),
                  *[None] * 44], "free text"),
    ],
)  # fmt: skip
def test_what_says_who_a_patient_is_is_left_out_and_named(tmp_path, caplog, name, values, what):
    frame = table(**{name: values})
    with caplog.at_level(logging.WARNING, logger="ehrsynth"):
        tables, listed = load(frame, tmp_path)
    assert listed["kind"][name] == "dropped" and f"({what})" in listed["notes"][name]
    assert f"Column {name!r} is left out" in caplog.text and name not in tables["table"]
    assert not any(str(value) in caplog.text for value in values)
    _, listed = load(frame, tmp_path, **{name: {"identifier": "allowed"}})
    assert listed["kind"][name] != "dropped"


NUMBERS = [24 * 10**6 + 17 + 7919 * i for i in range(N - 1)]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("contact_no", NUMBERS), ("contact_number", NUMBERS), ("gsm", NUMBERS), ("hicn", NUMBERS),
        ("kv_nummer", NUMBERS), ("hosp_no", [n // 1000 for n in NUMBERS]),
        ("x", [f"+4917{n}" for n in NUMBERS]),
        ("x", [6_175_550_110 + 13 * i for i in range(N - 1)]),
    ],
)  # fmt: skip
def test_numbers_that_are_of_persons_are_left_out_and_named(tmp_path, caplog, name, values):
    with caplog.at_level(logging.WARNING, logger="ehrsynth"):
        tables, listed = load(table(**{name: values}), tmp_path)
    assert listed["kind"][name] == "dropped" and "numbers" in listed["notes"][name]
    assert f"Column {name!r} is left out" in caplog.text and name not in tables["table"]
    _, listed = load(table(**{name: values}), tmp_path, **{name: {"identifier": "allowed"}})
    assert listed["kind"][name] == "continuous"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("contact_no", range(12)), ("gsm", [80.5 + i for i in range(40)]),
        ("hosp_no", range(101, 120)), ("ndc", ["00002-8215-01", "00069-0200-30"]),
        ("cost", [1_000_003 + 7919 * i for i in range(N - 1)]),
        ("units", [10**9 + (3 * 10**7 - 1) * i for i in range(N - 1)]),
        ("z", [f"{i / 3e5 - 0.0005:+.9f}" for i in range(N - 1)]),
    ],
)  # fmt: skip
def test_numbers_of_things_stay(tmp_path, name, values):
    _, listed = load(table(**{name: values}), tmp_path)
    assert listed["kind"][name] != "dropped"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("ward", ["St. Mary", "Ward North", "ICU", "Elisabeth Hospital", "San Jose", "Anna",
                  "Martin Luther Krankenhaus", "Marie Curie Ward", "Station 3", "CCU", "ER"]),
        ("drug_name", ["Aspirin", "Insulin glargine", "Vitamin D", "St. John’s wort", "Codeine",
                       "Enoxaparin Sodium", "Ringer Lactate", "Morphine", "Statin", "Heparin"]),
        ("diagnosis", ["Type 2 diabetes mellitus without complications", "Hodgkin Lymphoma",
                       "Essential (primary) hypertension", "Parkinson Disease", "Asthma", "Gout",
                       "Encounter for screening for malignant neoplasm of colon", "Down Syndrome",
                       "Charcot Marie Tooth disease", "Acute myocardial infarction, unspecified"]),
        ("lab", ["ANA Positive", "ELISA Positive", "MR Angiography", "CT Thorax", "X-Ray Chest",
                 "HLA-B27 Positive", "Holter Monitor", "MRI Brain", "ECG Normal", "PET CT"]),
        ("answer", ["I agree with this.", "I do not agree.", "I am not sure."]),
        ("phone", ["yes", "no"]), ("via", ["oral", "iv"]), ("mac", [24.5, 25.5, 27.1]),
        ("zip", ["10115-1234", "10117-1234", "10119-1234"]),
    ],
)  # fmt: skip
def test_names_of_things_stay_categories(tmp_path, name, values):
    tables, listed = load(table(**{name: values}), tmp_path)
    assert listed["kind"][name] != "dropped" and "person" not in listed["notes"][name]
    if isinstance(values[0], str):
        assert len(tables["table"][name].cat.categories) == len(values)


MORE = ["Chidi Okafor", "Amara Nwosu", "Grace Otieno", "Wanjiru Kamau", "Tendai Moyo",
        "Kofi Mensah",
        "Adwoa Boateng", "Sizwe Dlamini", "Nomsa Khumalo", "Yetunde Bello", "Anna Schmidt",
        "Peter Kowalski"]  # fmt: skip
SURNAMES = [name.split()[1] for name in MORE]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        *((name, SURNAMES) for name in (
            "achternaam", "Voornaam", "efternamn", "fornavn", "jmeno", "příjmení", "soyad", "ФИО",
            "Фамилия", "имя", "姓名", "attending", "surgeon", "Behandler", "nom", "prénom",
            "apellidos",
            "apellido", "cognome", "nazwisko", "imię", "nombre_paciente", "attending physician",
            "name_last", "fname",
        )),
        ("surgeon", SURNAMES[:4]), ("name", MORE[:3]), ("x", MORE), ("x", MORE[6:]),
        ("x", [f"{n[0]}. {n.split()[1]}" for n in MORE]),
        ("x", [f"{n.split()[1]}^{n.split()[0]}" for n in MORE]),
        ("x", [f"Hr. {n}" for n in SURNAMES]), ("x", [f"Fr. {n}" for n in SURNAMES]),
        ("x", [f"Fam. {n}" for n in SURNAMES]), ("x", [f"Sig.ra {n}" for n in SURNAMES]),
        ("x", [f"dr {n.lower()}" for n in SURNAMES]), ("x", [f"DR {n.upper()}" for n in SURNAMES]),
    ],
)  # fmt: skip
def test_names_of_many_countries_are_left_out(tmp_path, caplog, name, values):
    with caplog.at_level(logging.WARNING, logger="ehrsynth"):
        tables, listed = load(table(**{name: values}), tmp_path)
    assert listed["kind"][name] == "dropped" and "(names of persons)" in listed["notes"][name]
    assert f"Column {name!r} is left out" in caplog.text
    assert not any(value in caplog.text + str(tables["form"]) for value in values)
    _, listed = load(table(**{name: values}), tmp_path, **{name: {"identifier": "allowed"}})
    assert listed["kind"][name] == "categorical"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("attending", ["Cardiology", "Pediatrics", "Internal Medicine", "Neurology", "Oncology",
                       "General Surgery", "Psychiatry", "Urology", "Orthopaedics", "Radiology"]),
        ("attending", ["Cardiology", "Neurology", "Oncology"]),
        ("name", ["Ward A", "Ward B", "ICU"]),
        ("doctor", ["junior", "senior", "unknown"]), ("nurse", ["RN", "LPN", "None"]),
        ("surgeon", [f"S{i:02}" for i in range(12)]), ("surgeon", [f"{i}" for i in range(12)]),
        ("complaint", ["Chest Pain", "Hip Fracture", "Short Breath", "Back Pain", "Knee Injury",
                       "Acute Asthma", "Heart Failure", "Head Trauma", "Anna Schmidt", "High Fever",
                       "Abdominal Pain", "Gall Stones", "Peter Kowalski", "Gastric Ulcer"]),
        ("provider", ["Blue Cross", "Aetna", "Cigna", "Humana", "Medicare", "Medicaid", "Kaiser",
                      "Self Pay", "Tricare", "Anthem", "St. Mary Hospital", "Private"]),
        ("organism", ["E. Coli", "S. Aureus", "K. Pneumoniae", "H. Pylori", "C. Difficile",
                      "P. Mirabilis", "E. Faecalis", "C. Albicans", "M. Tuberculosis",
                      "B. Cereus"]),
        ("finding", ["DR Thorax", "DR KNEE", "DR Chest", "Fam. History", "Sr. Creatinine",
                     "Sr. Calcium",
                     "dr severe", "DR Hip", "MR Brain", "CT Head"]),
        ("city", ["New York", "Los Angeles", "San Diego", "San Jose", "Las Vegas", "El Paso",
                  "Santa Maria", "Fort Worth", "Saint Paul", "Kansas City", "St. Louis"]),
        ("insurance", ["Blue Cross", "Medicare", "Medicaid", "Self Pay", "Kaiser Permanente",
                       "Aetna",
                       "United Healthcare", "Cigna", "Humana", "Blue Shield", "Private"]),
    ],
)  # fmt: skip
def test_what_is_like_names_stays(tmp_path, name, values):
    _, listed = load(table(**{name: values}), tmp_path)
    assert listed["kind"][name] != "dropped"


DISPOSITIONS = [
    "Expired at home. Medicaid only, hospice.", "Discharged to home or self care.",
    "Left against medical advice or discontinued care.", "Still a patient at this hospital.",
    *(f"Discharged or transferred to a place of kind {c}, certified." for c in "ABCDEFGHIJK"),
    "Expired in a medical facility. Medicaid only, hospice.", "Admitted as an inpatient.",
]  # fmt: skip
TITLES = [
    f"{root} of {side} {part} Artery with Drug-eluting Intraluminal Device, Percutaneous Approach"
    for root in ("Dilation", "Bypass", "Occlusion") for side in ("Left", "Right")
    for part in ("Coronary", "Femoral", "Renal", "Iliac")
]  # fmt: skip
ASA = ["ASA 1 - A normal healthy patient.", *(
    f"ASA {i} - A patient with {how} systemic disease that is {what}." for i in range(2, 6)
    for how in ("mild", "severe") for what in ("stable", "a threat")
)]  # fmt: skip


@pytest.mark.parametrize("values", [DISPOSITIONS, TITLES, ASA])
def test_long_texts_that_many_patients_share_are_categories(tmp_path, values):
    tables, listed = load(table(x=values), tmp_path)
    assert list(tables["table"]["x"].cat.categories) == sorted(values)
    own = [f"{value[:-1]} since {i} days." for i, value in enumerate((values * 20)[:250])]
    _, listed = load(table(x=own), tmp_path)
    assert "(free text)" in listed["notes"]["x"]


def test_many_long_texts_that_many_patients_share_are_categories(tmp_path):
    values = [f"{title}, Stage {i}" for title in TITLES for i in range(10)]
    frame = pd.concat([table(), *[table()] * 7], ignore_index=True)
    tables, listed = load(frame.assign(x=(values * 10)[: len(frame)]), tmp_path)
    assert "rarer values joined" in listed["notes"]["x"] or "group them" in listed["notes"]["x"]


def test_a_shared_text_that_names_a_person_is_joined(tmp_path, caplog):
    values = [*DISPOSITIONS, "Patient was seen by Anna Schmidt and is sent home."]
    tables, listed = load(table(x=values), tmp_path)
    assert "what names a person" in listed["notes"]["x"] and "Schmidt" not in str(tables["form"])
    assert list(tables["table"]["x"].cat.categories) == sorted([*DISPOSITIONS, "Other"])


@pytest.mark.parametrize("name", ["icd", "plz", "postcode"])
def test_codes_that_are_left_out_say_what_to_do(tmp_path, caplog, name):
    codes = [f"K{i:03}" if name == "icd" else f"{10000 + i}" for i in range(280)]
    with caplog.at_level(logging.WARNING, logger="ehrsynth"):
        load(table(**{name: codes}), tmp_path)
    said = f"Column {name!r} is left out: it has 280 values of too few patients each; group them"
    assert said in caplog.text and f'say {{"{name}": {{"kind": "categorical"}}}}' in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="ehrsynth"):
        load(table(**{name: codes[:5] * 60}), tmp_path)
    assert "left out" not in caplog.text


def test_a_name_within_a_category_joins_the_rest(tmp_path, caplog):
    values = ["fall", "chest pain", "transfer of Anna Schmidt", "call Mr. Weber", "dizzy"]
    tables, listed = load(table(reason=values), tmp_path)
    assert list(tables["table"]["reason"].cat.categories) == [
        "Other",
        "chest pain",
        "dizzy",
        "fall",
    ]
    assert "what names a person (120 rows) joined as Other" in listed["notes"]["reason"]
    assert "Schmidt" not in caplog.text + str(tables["form"])


@pytest.mark.parametrize(
    ("values", "categories"),
    [(["fall", "pain", "call Anna Schmidt"], ["Other", "fall", "pain"]),
     (["pain", "fall", "cough"], ["pain", "fall", "cough"])],
)  # fmt: skip
def test_a_name_within_a_declared_category_joins_the_rest(tmp_path, values, categories):
    frame = table(reason=values)
    declared = pd.CategoricalDtype(values, ordered=True)
    frame.astype({"reason": declared}).to_parquet(tmp_path / "p.parquet")
    tables = datasets.load("table", tmp_path / "p.parquet", outcome="died")
    assert list(tables["table"]["reason"].cat.categories) == categories
    assert "Schmidt" not in str(tables["form"])


@pytest.mark.parametrize(
    ("text", "names"),
    [("Schmidt, Anna", True), ("moved ANNA SCHMIDT home", True), ("Frau Öztürk", True),
     ("write to a@b.org", True), ("call 030 1234567", True), ("seen 123-45-6789", True),
     ("MR Thorax", False), ("Guillain Barre Syndrome", False), ("Anna", False),
     ("King George Hospital", False), ("1.5 mg/l", False), ("2020-01-31 10:00", False)],
)  # fmt: skip
def test_what_names_somebody(text, names):
    assert names_somebody(text) == names


@pytest.mark.parametrize(
    "name",
    ["dob", "Geburtsdatum", "patient birth date", "birth", "born", "date_birth", "birth_dttm",
     "geboren", "geboortedatum", "fecha_nac", "dt_nasc", "syntymaaika", "syntymäaika",
     "fodselsdato",
     "fødselsdato", "data_urodzenia", "date de naissance", "doğum tarihi", "дата рождения"],
)  # fmt: skip
def test_a_date_of_birth_is_named(tmp_path, caplog, name):
    days = pd.date_range("1950-01-01", periods=N, freq="37D").strftime("%Y-%m-%d")
    with caplog.at_level(logging.WARNING, logger="ehrsynth"):
        _, listed = load(table(**{name: days}), tmp_path)
    assert f"Column {name!r}: a date of birth, which" in caplog.text
    assert "which with little else says who a patient is" in listed["notes"][name]
    others = {
        "year_of_birth": [1950, 1961, 1972],
        "birth": ["breech", "vaginal", "section", *"abcdefgh"],
        "born": range(1950, 1990),
        "admitted": days,
    }
    _, listed = load(table(**others), tmp_path)
    assert not any("says who" in listed["notes"][name] for name in others)


# -- train and holdout alike ----------------------------------------------------------------


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("n", [400, 2600])
def test_kept_values_are_hardly_more_frequent_in_train(power, n):
    share, off = np.arange(1, 301) ** -power, []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        codes = rng.choice([f"K{i:03d}" for i in range(300)], n + 170, p=share / share.sum())
        frame = pd.DataFrame({"died": rng.choice(["yes", "no"], n + 170), "icd": codes,
                              "age": rng.integers(18, 90, n + 170)})  # fmt: skip
        sheet = open_sheet(frame, "died")
        train = tables_of(sheet, np.arange(n))["table"]
        if "icd" not in train:
            off.append(0.0)
            continue
        kept = set(train["icd"].cat.categories) - {"Other"}
        rest = [~frame["icd"].iloc[rows].isin(kept) for rows in (slice(0, n), slice(n, None))]
        both = np.concatenate(rest).mean()
        error = np.sqrt(both * (1 - both) * (1 / n + 1 / 170))
        off.append((rest[1].mean() - rest[0].mean()) / error)
    assert abs(np.mean(off)) < 0.75  # of the error of chance; it was 1.7 to 5
    assert power < 1 or n < 1000 or len(kept) >= 15


def test_rare_and_new_categories_are_one_column_for_distances():
    levels = ("A", "B", "C", "D", NEW)
    schema = Schema((Column("ward", "categorical", categories=levels), Column("x", "binary")))

    def draw(*counts):
        return schema.cast(pd.DataFrame({"ward": np.repeat(levels, counts), "x": 0}))

    train, holdout = draw(60, 30, 7, 3, 0), draw(25, 12, 1, 0, 4)
    encoder = Encoder.fit(schema, train, [holdout, draw(10, 10, 10, 10, 10)])
    assert encoder.labels == ["ward = A", "ward = B", f"ward = {REST}", "x"]
    assert encoder.transform(holdout).sum(axis=0).tolist() == [25, 12, 5, 0]
    alone = Encoder.fit(schema, draw(60, 30, 20, 15, 0), [draw(25, 12, 9, 5, 0)])
    assert len(alone.labels) == 6 and not alone.rare


def test_an_outcome_of_hardly_anybody_is_refused_before_training():
    schema = Schema((Column("died", "binary", "outcome"), Column("x", "binary")))

    def part(n, ones):
        return schema.cast(pd.DataFrame({"died": np.arange(n) < ones, "x": 0}))

    with pytest.raises(InputError, match="is 0 for all 70 patients but fewer than 5"):
        split_patients({"train": part(70, 4), "holdout": part(30, 2)}, None, 0)
    assert len(split_patients({"train": part(70, 5), "holdout": part(30, 2)}, None, 0)) == 2


# -- how things are written ----------------------------------------------------------------


def test_lines_above_the_names_are_told(tmp_path):
    with pytest.raises(InputError, match="take out what stands above the names"):
        load("Ward 3, 2021\n" + table().to_csv(index=False), tmp_path)


@pytest.mark.parametrize(
    ("words", "categories"),
    [(["männlich", "weiblich"], ["F", "M"]), (["m", "w"], ["F", "M"]),
     (["Mann", "Frau", "divers"], ["F", "M", "divers"]), (["homme", "femme"], ["F", "M"]),
     (["masculino", "femenino"], ["F", "M"]), (["maschio", "femmina"], ["F", "M"]),
     (["Female", "Male", "Unknown"], ["F", "M", "Unknown"])],
)  # fmt: skip
@pytest.mark.parametrize("name", ["sex", "Geschlecht"])
def test_sexes_of_several_languages(tmp_path, name, words, categories):
    tables, _ = load(table(**{name: words}), tmp_path)
    assert list(tables["table"][name].cat.categories) == categories
    assert Schema.of(tables["table"]).sex == name


def test_numbers_with_a_unit_in_some_cells(tmp_path):
    values = [f"{60 + i} mmHg" if i % 3 else f"{60 + i}" for i in range(30)]
    with pytest.raises(InputError, match="write the unit, or say .*continuous.* are in mmHg"):
        load(table(x=values), tmp_path)
    tables, _ = load(table(x=values), tmp_path, x={"kind": "continuous"})
    assert tables["table"]["x"].between(60, 90).all()
    assert Schema.of(tables["table"])["x"].unit == "mmHg"


def test_codes_that_a_program_made_numbers_are_refused(tmp_path):
    with pytest.raises(InputError, match="ICD codes as numbers"):
        load(table(icd=["38.0", "250.0", "401.0"]), tmp_path)


def test_the_list_of_columns_shows_no_powers_of_ten(tmp_path):
    days = pd.date_range("1950-03-01", periods=N, freq="61D").strftime("%Y-%m-%d")
    _, listed = load(table(admitted=days, cost=[26530, 31999, 29111.5]), tmp_path)
    assert listed["values"]["admitted"].endswith(" to 17570 days since 1951-01-01, whole numbers")
    assert "e+" not in "".join(listed["values"])


def test_a_spreadsheet_is_told_the_way(tmp_path):
    (tmp_path / "p.xlsx").write_bytes(b"PK")
    with pytest.raises(InputError, match="a spreadsheet can be saved as CSV"):
        datasets.load("table", tmp_path / "p.xlsx", outcome="died")


def headless(n=60):
    rng = np.random.default_rng(0)
    return [
        [NAMES[i % 50], f"{1 + i % 28:02}.{1 + i % 12:02}.19{40 + i % 50}", f"a{i}@x.de",
         f"{rng.integers(20, 90)}", "MF"[i % 2], "01"[i % 3 == 0]]
        for i in range(n)
    ]  # fmt: skip


@pytest.mark.parametrize("cut", [slice(0, 6), slice(0, 3), slice(3, 6), slice(1, 6)])
@pytest.mark.parametrize("outcome", ["1", "died"])
def test_a_file_without_names_is_refused_and_not_quoted(tmp_path, caplog, cut, outcome):
    rows = [row[cut] for row in headless()]
    (tmp_path / "p.csv").write_text("\n".join(map(",".join, rows)))
    with pytest.raises(InputError, match="looks like the values of a patient") as told:
        datasets.load("table", tmp_path / "p.csv", outcome=outcome)
    said = str(told.value).replace(str(tmp_path), "") + caplog.text
    assert not any(value in said for value in rows[0] if len(value) > 1)


def test_a_file_without_names_whose_texts_all_differ_is_refused(tmp_path):
    each = (f"19{30 + i}0{1 + i % 9}11\t0171123{i + 1000}\t{i % 2}" for i in range(60))
    rows = [f"Doe{i}\tBob{i}\t{rest}" for i, rest in enumerate(each)]
    first = "Schmidt\tAnna\t19560312\t01711234567\t1"
    (tmp_path / "p.csv").write_text("\n".join([first, *rows]))
    with pytest.raises(InputError, match="looks like the values of a patient"):
        datasets.load("table", tmp_path / "p.csv", outcome="1")


@pytest.mark.parametrize("names", [
    ["died", *map(str, range(8))], ["died", "2019", "2020", "2021"],
    ["died", "250", "401", "38", "427"], ["died", "2020-01-01", "2020-02-01", "2020-03-01"],
    ["died", "M", "F", "A"], ["died", "jan", "feb", "mar"], ["died", "400.5", "402.5", "404.5"],
])  # fmt: skip
def test_names_that_are_numbers_or_dates_stay_names(tmp_path, names):
    rng = np.random.default_rng(0)
    made = pd.DataFrame(rng.integers(0, 2, (N, len(names))), columns=names)
    tables, _ = load(made, tmp_path)
    assert list(tables["table"].columns) == names


# -- what a number is ----------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["", " mg"])
def test_thousands_that_look_like_decimals_are_refused(tmp_path, unit):
    doses = [f"{v:,}{unit}".replace(",", ".") for v in range(610, 1410, 7)]
    with pytest.raises(InputError, match=r"1\.234 may be 1234.*kind.*continuous"):
        load(table(dose=doses), tmp_path)
    tables, _ = load(table(dose=doses), tmp_path, dose={"kind": "continuous"})
    assert tables["table"]["dose"].between(1, 1000).all()


@pytest.mark.parametrize(
    "values",
    [
        [f"{v / 1000:.3f}" for v in range(1000, 9000, 97)],  # no whole number
        [f"{v / 1000:g}" for v in range(1000, 9000, 25)],  # fewer digits, too
        [f"{v / 1000:.3f}" for v in range(600, 1400, 7)],  # some below 1
    ],
)
def test_numbers_of_three_decimals_are_read_as_such(tmp_path, values):
    tables, _ = load(table(dose=values), tmp_path)
    assert tables["table"]["dose"].max() < 10


SHARED, OWN = ("Anna Meier", "Peter Schulz", "Maria Rossi"), [f"Julia Berg{c}" for c in "abcdefghi"]


def test_names_that_are_kept_by_their_kind_are_named_and_no_single_one_is_learned(tmp_path, caplog):
    frame = table(who=[*OWN, *SHARED * N], ward=["A", "B", "C"])
    with caplog.at_level(logging.WARNING, logger="ehrsynth"):
        tables, listed = load(frame, tmp_path, who={"kind": "categorical"})
    assert "has names of persons and is kept" in listed["notes"]["who"]
    assert "Column 'who': has names of persons" in caplog.text and '{"drop": true}' in caplog.text
    learned = Preprocessor(least_patients=5).fit(tables["table"]).schema_["who"].categories
    assert set(learned) == {*SHARED, REST} and not any(name in caplog.text for name in OWN)
    caplog.clear()
    _, listed = load(frame, tmp_path, who={"identifier": "allowed"}, ward={"kind": "categorical"})
    assert not listed["notes"]["ward"] and "names of persons" not in caplog.text
