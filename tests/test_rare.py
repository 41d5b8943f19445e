"""What few patients have in any column of the source is found in whatever leaves, and no more."""

import base64
import gzip
import json
import struct

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from ehrsynth.errors import InputError
from ehrsynth.files import write_table
from ehrsynth.rare import RARE_FILE, Rare, _said, tables_of
from ehrsynth.traces import content_of

FIRST = "Ada Bo Cyd Dorrit Esmeralda Fenno Gwydion Hjalmar Ilka Jolanda".split()
LAST = "Aardenburg Brzeczek Czornyj Dlamini Eerkens Fjellstad Gbadamosi Hruska".split()
# Whom no word of four letters names, or words only that stand in every report.
SHORT = {20: "Bo Li", 21: "Wu, An Ma", 22: "J. Ng", 23: "Mark Young", 24: "李明", 25: "B. L."}


def hospital(n=400):
    """Names, numbers and days of birth that nobody learns from; one ward that few know."""
    rng = np.random.default_rng(0)
    born = pd.Timestamp("1920-01-01") + pd.to_timedelta(rng.integers(0, 30_000, n), unit="D")
    return pd.DataFrame(
        {
            "died": rng.integers(0, 2, n),
            "name": [f"{FIRST[i % 10]} {LAST[i % 8]}{'aeiou'[i % 5]}x{i}z" for i in range(n)],
            "called": [SHORT.get(i, f"Qu{i}o Zwx") for i in range(n)],
            "mrn": rng.choice(10**9, n, replace=False) + 10**9,
            "born": born.strftime("%d.%m.%Y"),
            "ward": np.where(np.arange(n) < 3, "Quarantine 7b", rng.choice(["North", "South"], n)),
            "note": np.where(np.arange(n) == 9, "he was the mayor of our town", "no note"),
            "place": [f"{i} Menongasse, {1000 + i % 90} Wien" for i in range(n)],
            "phone": [f"+49 171 6{i:02d} {1766 + i}" for i in range(n)],
            "insured": [f"{3591453 + 7919 * i}" for i in range(n)],
            "platelets": rng.normal(250_000, 30_000, n).round(1),
        }
    )


@pytest.fixture(scope="module")
def source():
    return hospital()


@pytest.fixture(scope="module")
def rare(source, tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "patients.csv"
    source.to_csv(path, index=False)
    return Rare.of(tables_of("table", {}, [str(path)]), 5, ["the ward book"])


def day(source, form):
    return pd.to_datetime(source["born"], format="%d.%m.%Y")[40].strftime(form)


PLANTED = {
    "a name": lambda t: t["name"][17],
    "a name in capitals": lambda t: t["name"][17].upper(),
    "a number": lambda t: str(t["mrn"][5]),
    "a number as a float": lambda t: f"{float(t['mrn'][5])}",
    "a day": lambda t: day(t, "%Y-%m-%d"),
    "a day as it was written": lambda t: t["born"][40],
    "a day in words": lambda t: day(t, "%d %B %Y"),
    "a day in American words": lambda t: day(t, "%B %d, %Y"),
    "a day without signs": lambda t: day(t, "%Y%m%d"),
    "a rare ward": lambda t: "Quarantine 7b",
    "a name of short words": lambda t: t["called"][20],
    "a name as it is spoken": lambda t: "An Ma Wu",
    "a name with an initial": lambda t: "J Ng",
    "a name of common words": lambda t: t["called"][23],
    "a name in another script": lambda t: t["called"][24],
    "an address of common words": lambda t: t["place"][174],
    "a short name that owns": lambda t: "of the dull Bo Li's pressure",
    "a short name as one word": lambda t: "BoLi",
    "a number with commas": lambda t: f"{int(t['insured'][5]):,}",
    "a number with blanks": lambda t: f"{t['insured'][5][:4]} {t['insured'][5][4:]}",
    "a telephone number": lambda t: t["phone"][140],
    "a telephone number without blanks": lambda t: t["phone"][140].replace(" ", ""),
    "a day of two digits": lambda t: day(t, "%d.%m.%y"),
    "common words in a rare row": lambda t: "he was the mayor of our town",
}


def text(path, said):
    path.write_text(f"# A card\n\nOf {said}, and nobody else.\n")


def page(path, said):
    path.write_text(f"<html><p title='x'>{said.replace(' ', '&#32;')}</p></html>")


def document(path, said):
    path.write_text(json.dumps({"a": [1.5, {"note": said}]}))


def key(path, said):
    path.write_text(json.dumps({said: 1}))


def table(path, said):
    write_table(pd.DataFrame({"a": [said, *["x"] * 9], "b": range(10)}), path)


def header(path, said):
    write_table(pd.DataFrame({said: [1, 2]}), path)


def packed(path, said):
    with gzip.open(path, "wt") as file:
        json.dump({"a": said}, file)


def metadata(path, said):
    save_file({"a": np.zeros(3, dtype=np.float32)}, path, {"by": said})


CARRIERS = {
    "card.md": text, "report.html": page, "metrics.json": document, "schema.json": key,
    "synthetic.parquet": table, "synthetic.csv": table, "synthetic.csv.gz": table,
    "other.csv": header, "other.parquet": header, "form.json.gz": packed,
    "gan.safetensors": metadata,
}  # fmt: skip


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("planted", PLANTED)
def test_whatever_is_planted_is_found_in_whatever_leaves(source, rare, tmp_path, carrier, planted):
    said = PLANTED[planted](source)
    CARRIERS[carrier](tmp_path / carrier, said)
    found = rare.found_in(tmp_path / carrier)
    assert len(found) == 1 and "of fewer than 5 patients of the source" in found[0]
    assert said not in found[0]


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize(
    "said",
    ["no note", "North", "the ward book", "Bo", "the Li of B. L. an", "Young",
     "Berta Nobody", "4711471147",
     "20 Menongasse, 1051 Wien", "4 711 471", "numpy 1.26.04, pandas 2.2.10", "Bodo's ward",
     "12.5 mg", "1919-12-31", "1920-01-01",
     "The privacy verdict is good; patients of the training data", "0.123456789"],
)  # fmt: skip
def test_what_many_have_or_nobody_is_no_find(rare, tmp_path, carrier, said):
    CARRIERS[carrier](tmp_path / carrier, said)
    assert rare.found_in(tmp_path / carrier) == []


def test_a_column_of_the_source_does_not_make_its_chance_hits_a_find(source, rare, tmp_path):
    """Fresh values of a column meet some of the source's; one that lies apart does not."""
    rng = np.random.default_rng(1)
    days = pd.Timestamp("1920-01-01") + pd.to_timedelta(rng.integers(0, 30_000, 400), unit="D")
    fresh = pd.DataFrame(
        {"platelets": rng.normal(250_000, 30_000, 400).round(1), "seen": days.strftime("%Y-%m-%d")}
    )
    fresh.loc[:9, "platelets"] = source["platelets"][source["platelets"].sub(250_000).abs() < 9_000]
    write_table(fresh, tmp_path / "synthetic.parquet")
    assert rare.found_in(tmp_path / "synthetic.parquet") == []
    fresh.loc[5, "platelets"] = source["mrn"][5]
    write_table(fresh, tmp_path / "synthetic.parquet")
    assert "holds numbers of" in rare.found_in(tmp_path / "synthetic.parquet")[0]


def test_a_count_of_patients_may_look_like_a_number_of_theirs(source, rare, tmp_path):
    number = str(source["mrn"][5])
    text(tmp_path / "card.md", number)
    assert rare.found_in(tmp_path / "card.md", frozenset([number])) == []
    assert rare.found_in(tmp_path / "card.md") != []


def test_numbers_in_a_row_are_nobodys():
    frame = pd.DataFrame({"subject_id": range(600_000, 603_000)})
    known = Rare.of({"a": (tables_of("omop", {"p": frame}, [])["p"][0], "subject_id")}, 5)
    assert len(known.hashes) == 0


def test_who_has_a_value_in_several_rows_is_one_patient(tmp_path):
    """Ten rows of one patient do not make a name common; five patients do."""
    frame = pd.DataFrame(
        {"subject_id": [1] * 10 + [2, 3, 4, 5, 6], "name": ["Zebulon"] * 10 + ["Yolanda"] * 5}
    )
    known = Rare.of(tables_of("omop", {"patients": frame}, []), 5)
    text(tmp_path / "a.md", "Yolanda")
    assert known.found_in(tmp_path / "a.md") == []
    text(tmp_path / "a.md", "Zebulon")
    assert known.found_in(tmp_path / "a.md") != []


def test_the_notes_hold_hashes_only_and_the_same_data_leave_the_same(source, rare, tmp_path):
    for place in ("a", "b"):
        rare.save(tmp_path / place)
    assert (tmp_path / "a" / RARE_FILE).read_bytes() == (tmp_path / "b" / RARE_FILE).read_bytes()
    raw = (tmp_path / "a" / RARE_FILE).read_bytes()
    assert not [n for n in source["name"] if n.split()[1].encode() in raw]
    assert np.array_equal(Rare.load(tmp_path / "a").hashes, rare.hashes)
    (tmp_path / "a" / RARE_FILE).write_bytes(raw[:-9])
    with pytest.raises(InputError, match=r"rare.parquet cannot be used"):
        Rare.load(tmp_path / "a")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("2119-03-14 12:30:00", {"2119-03-14"}),
        ("3/4/2119", {"2119-03-04", "2119-04-03"}),
        ("1.234.567", {"1234567"}),
        ("1,234,567.25", {"1234567.25"}),
        ("0012345678", {"12345678"}),
        ("12345", set()),
        ("O’Brien", {"o'brien", "=o'brien"}),
    ],
)
def test_spellings(written, said):
    assert _said(written) == said


def test_short_names_are_not_found_in_pixels(source, rare):
    """Between random bytes stand all words of two letters; what a picture says is no pixel."""
    named = source["called"].iloc[20]
    pixels, said = (b"\0" + f"x {named} x".encode() + b"\0" for _ in range(2))
    parts = {"IHDR": b"0" * 13, "IDAT": pixels, "tEXt": b"", "IEND": b""}
    for searched in ("IDAT", "tEXt"):
        parts["tEXt"] = said if searched == "tEXt" else b""
        chunks = [struct.pack(">I", len(d)) + k.encode() + d + b"0000" for k, d in parts.items()]
        png = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(chunks)).decode()
        text = content_of("a.html", f"data:image/png;base64,{png}".encode()).text
        assert (named in text) == (searched == "tEXt")
