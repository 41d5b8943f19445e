"""What is done for the simulated patients: procedures, prescriptions, laboratory results.

``drugs.csv`` and ``procedures.csv`` hold percent of the patients with an indication (``indicated``)
and of all others who receive each; ``labs.csv`` what is usual and what a disease adds (on the scale
``log`` to the logarithm). All of it is our own assumption. A block of people has random numbers of
its own, so any hospital fits in memory. Labeler 99999 and GSN numbers from 99 on are unassigned.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.random import Generator

from ..schema import AGE
from .illness import illness
from .people import age_units, declared, pairs

FILES = ("procedures_icd", "prescriptions", "labevents")
PEOPLE_AT_A_TIME = 4_096
ICD10_SINCE = np.datetime64("2015-10-01")

_STREAM = 7_301  # sets these random numbers apart from those of the patients
_AGAIN = 0.6  # chance that an earlier admission than the last prescribes a drug, too
_WITHOUT_NDC, _BLANK_NDC = 0.144, 0.0012  # shares in the MIMIC-IV demo
_MORE_DRAWS = 0.35  # blood draws of an admission beyond the first, on average
_CLINIC_DRAWS = 0.6  # blood draws of a person at no admission, on average
_BEFORE, _AFTER = 400, 250  # days around the admissions in which they fall
_ILLEGIBLE, _SLIPPED = 0.003, 0.0005  # shares of the results
_WORSE = 0.15  # how much a standard deviation of morbidity adds to a disease's effect on a lab
_NOTHING = np.array(None)  # was written down


@dataclass(frozen=True)
class Lives:
    """What happened to the people: the ground on which every table is written."""

    people: pd.DataFrame  # see people.draw_people, people.identity; real date of death (dod)
    has: np.ndarray  # (people, W) which whole phecodes each person has
    stays: pd.DataFrame  # admissions in real time, sorted by person

    @property
    def visits(self) -> np.ndarray:
        """Admissions of each person."""
        return np.bincount(self.stays["person"], minlength=len(self.people))

    def turns(
        self, person: np.ndarray, since: int | np.ndarray = 0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Every admission of each of `person` from number `since` on.

        Its position in `person`, its row in ``stays``, and how many have gone before.
        """
        visits = self.visits[person] - since
        start = (np.cumsum(self.visits) - self.visits)[person] + since
        row = np.repeat(np.arange(len(person)), visits)
        turn = np.arange(len(row)) - np.repeat(np.cumsum(visits) - visits, visits)
        return row, start[row] + turn, turn

    def admissions(self, stay: np.ndarray) -> Iterator[np.ndarray]:
        """Person, real admission and discharge, and ``hadm_id`` of these rows of ``stays``."""
        columns = ("person", "admit", "discharge", "hadm_id")
        return (self.stays[name].to_numpy()[stay] for name in columns)

    def shifted(self, time: np.ndarray, person: np.ndarray) -> np.ndarray:
        """Real times of these people (numbers) in their shifted calendars."""
        return time + self.people["shift"].to_numpy()[person]


def dictionaries() -> dict[str, pd.DataFrame]:
    """``d_icd_procedures`` and ``d_labitems``: what the codes and items mean."""
    codes = declared("procedures").rename(columns={"icd9": 9, "icd10": 10})
    codes = codes.melt("title", [9, 10], "icd_version", "icd_code").sort_values("icd_code")
    titles = codes[["icd_code", "icd_version"]].assign(long_title=codes["title"])
    titles = titles.astype({"icd_version": int}).reset_index(drop=True)
    items = declared("labs")[["itemid", "label", "fluid", "category"]]
    items = items.sort_values("itemid", ignore_index=True)
    return {"d_icd_procedures": titles, "d_labitems": items}


def blocks(name: str, lives: Lives, seed: int) -> Iterator[pd.DataFrame]:
    """The rows of one of :data:`FILES` as MIMIC-IV has them, a few thousand people at a time."""
    make = {"procedures_icd": _procedures, "prescriptions": _prescriptions, "labevents": _labs}
    rows = 0
    for number, start in enumerate(range(0, len(lives.people), PEOPLE_AT_A_TIME)):
        those = slice(start, start + PEOPLE_AT_A_TIME)
        people = lives.people.iloc[those].reset_index(drop=True)
        stays = lives.stays[lives.stays["person"].between(start, start + len(people) - 1)]
        stays = stays.assign(person=stays["person"] - start).reset_index(drop=True)
        part = Lives(people, lives.has[those], stays)
        rng = np.random.default_rng([_STREAM, FILES.index(name), number, seed])
        table = make[name](part, rng, rows)
        rows += len(table)
        yield table


def indications(table: pd.DataFrame) -> np.ndarray:
    """Which whole phecodes are an indication for each row of `table`, (W, rows) of bool."""
    matrix = np.zeros((len(illness().whole), len(table)), dtype=bool)
    for row, codes in enumerate(table["indication"]):
        matrix[illness().whole.get_indexer(codes.split()), row] = True
    return matrix


def _receive(lives: Lives, table: pd.DataFrame, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Person and row of `table` (numbers) of everything that somebody with a stay receives."""
    indicated = lives.has.astype(np.float32) @ indications(table).astype(np.float32) > 0
    chance = np.where(indicated, table["indicated"].to_numpy(), table["others"].to_numpy()) / 100
    person, row = np.nonzero((rng.random(chance.shape) < chance) & (lives.visits > 0)[:, None])
    return person, row


def _procedures(lives: Lives, rng: Generator, _: int) -> pd.DataFrame:
    """Each at one admission, drawn at random, and at later ones with the chance ``again``."""
    table = declared("procedures")
    person, kind = _receive(lives, table, rng)
    row, stay, turn = lives.turns(person)
    first = np.floor(rng.random(len(person)) * lives.visits[person])[row]
    again = table["again"].to_numpy()[kind[row]]
    done = (turn == first) | ((turn > first) & (rng.random(len(row)) < again))
    stay, kind = stay[done], kind[row[done]]
    order = np.lexsort((rng.random(len(stay)), stay))
    stay, kind = stay[order], kind[order]
    person, admit, discharge, hadm_id = lives.admissions(stay)
    length, recent = discharge - admit, admit >= ICD10_SINCE
    codes = table[["icd9", "icd10"]].to_numpy(object)[kind, recent.astype(int)]
    day = lives.shifted(admit + length * rng.random(len(stay)), person).astype("datetime64[D]")
    return pd.DataFrame({
        "subject_id": lives.people["subject_id"].to_numpy()[person],
        "hadm_id": hadm_id,
        "seq_num": pd.Series(stay).groupby(stay).cumcount() + 1,
        "chartdate": day.astype("datetime64[s]"),
        "icd_code": codes,
        "icd_version": np.where(recent, 10, 9),
    })  # fmt: skip


def _prescriptions(lives: Lives, rng: Generator, rows: int) -> pd.DataFrame:
    """At the last admission, and at each other one with the chance ``_AGAIN``."""
    table = declared("drugs")
    person, kind = _receive(lives, table, rng)
    row, stay, _ = lives.turns(person)
    written = lives.stays["last"].to_numpy()[stay] | (rng.random(len(row)) < _AGAIN)
    stay, kind = stay[written], kind[row[written]]
    order = np.lexsort((kind, stay))
    stay, kind, n = stay[order], kind[order], len(stay)
    person, admit, discharge, hadm_id = lives.admissions(stay)
    admit, discharge = (lives.shifted(time, person) for time in (admit, discharge))
    length = (discharge - admit) / np.timedelta64(1, "s")
    start = admit + np.floor(0.6 * length * rng.random(n) ** 2).astype("timedelta64[s]")
    start = _hour(start, admit)
    stop = np.where(rng.random(n) < 0.5, _hour(discharge, start), start + np.timedelta64(1, "D"))

    (name, _), (strength, nth) = (_pick(table[of], kind, rng) for of in ("names", "strengths"))
    draw = rng.random(n)
    product = 99_999_000_000 + 100 * kind + nth
    ndc = np.where(draw < _WITHOUT_NDC, "0", product.astype(str)).astype(object)
    subject = lives.people["subject_id"].to_numpy()[person]
    number = pd.Series(subject).groupby(subject).cumcount().to_numpy() + 1
    per_day = table["per_day"].to_numpy()[kind]
    fluid = table["ingredient"].isin(("sodium chloride", "dextrose")).to_numpy()[kind]
    letters = table["ingredient"].str.replace(r"\W", "", regex=True).str[:4].str.upper()
    return pd.DataFrame({
        "subject_id": subject,
        "hadm_id": hadm_id,
        "pharmacy_id": 10_000_000 + rows + np.arange(n),
        "poe_id": [f"{who}-{which}" for who, which in zip(subject, number, strict=True)],
        "poe_seq": number,
        "order_provider_id": _providers(n, rng),
        "starttime": start,
        "stoptime": stop,
        "drug_type": np.where(fluid, "BASE", "MAIN"),
        "drug": name,
        "formulary_drug_cd": letters.to_numpy(object)[kind],
        "gsn": (990_000 + kind).astype(str).astype(object),
        "ndc": np.where(draw > 1 - _BLANK_NDC, _NOTHING, ndc),
        "prod_strength": strength,
        "form_rx": None,
        "dose_val_rx": table["dose"].to_numpy(object)[kind],
        "dose_unit_rx": table["unit"].to_numpy(object)[kind],
        "form_val_disp": np.where(rng.random(n) < 0.8, "1", "2").astype(object),
        "form_unit_disp": table["form"].to_numpy(object)[kind],
        "doses_per_24_hrs": pd.Series(per_day, dtype="Int64").mask(per_day == 0),
        "route": table["route"].to_numpy(object)[kind],
    })  # fmt: skip


def _hour(time: np.ndarray, earliest: np.ndarray) -> np.ndarray:
    """The full hour before `time`, as orders are dated, but not before `earliest`."""
    return np.maximum(time.astype("datetime64[h]").astype("datetime64[s]"), earliest)


def _pick(choices: pd.Series, kind: np.ndarray, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """One of the texts between semicolons of each row, most often the first, and its number."""
    lists = choices.str.split(";")
    size = lists.str.len().to_numpy()
    flat = np.concatenate(lists.to_numpy()).astype(object)
    nth = np.minimum(rng.geometric(0.65, len(kind)) - 1, size[kind] - 1)
    return flat[(np.cumsum(size) - size)[kind] + nth], nth


def _providers(n: int, rng: Generator) -> np.ndarray:
    """Who ordered it: one of 2,000, or nobody known."""
    names = np.array([f"P{100 + i % 900}{'ABCDEFGHJK'[i // 200 % 10]}S" for i in range(2_000)])
    chosen = names[rng.integers(0, len(names), n)]
    return np.where(rng.random(n) < 0.02, _NOTHING, chosen)


def _usual_levels(people: pd.DataFrame, has: np.ndarray) -> np.ndarray:
    """What each lab is expected to be in each person, (people, labs), on the lab's own scale."""
    table = declared("labs")
    adds = np.zeros((len(illness().whole), len(table)))
    for lab, effects in enumerate(map(pairs, table["effects"])):
        adds[illness().whole.get_indexer(list(effects)), lab] = list(effects.values())
    typical = table["typical"].to_numpy(float)
    base = np.where(table["scale"] == "log", np.log(typical), typical)
    used = np.flatnonzero(adds.any(axis=1))
    # The sicker somebody is, the further the results are off.
    worse = 1 + _WORSE * people["morbidity"].clip(-1, 3).to_numpy()[:, None]
    level = base + worse * (has[:, used].astype(float) @ adds[used])
    level += np.outer(age_units(people[AGE].to_numpy()), table["age"])
    return level + np.outer(people["female"].to_numpy(), table["female"])


def _labs(lives: Lives, rng: Generator, rows: int) -> pd.DataFrame:
    """Every panel that is ordered at a blood draw, around what is usual for the person."""
    table = declared("labs")
    draws = _blood_draws(lives, rng)
    level = _usual_levels(lives.people, lives.has)
    level += table["between"].to_numpy() * rng.standard_normal(level.shape)

    panels = table.drop_duplicates("panel").set_index("panel")["ordered"]
    ordered = rng.random((len(draws), len(panels))) * 100 < panels.to_numpy()
    draw, lab = np.nonzero(ordered[:, panels.index.get_indexer(table["panel"])])
    specimen = rng.integers(10_000_000, 99_999_999, ordered.shape)
    panel = panels.index.get_indexer(table["panel"])[lab]

    n = len(draw)
    person = draws["person"].to_numpy()[draw]
    value = level[person, lab] + table["within"].to_numpy()[lab] * rng.standard_normal(n)
    value = np.where((table["scale"] == "log").to_numpy()[lab], np.exp(value), value)
    fault = rng.random(n)
    value = np.where(fault > 1 - _SLIPPED, 10 * value, value)
    text, number = _results(value, table["decimals"].to_numpy()[lab])
    illegible = fault < _ILLEGIBLE
    text, number = np.where(illegible, "___", text), np.where(illegible, np.nan, number)

    low, high = (pd.to_numeric(table[name]).to_numpy()[lab] for name in ("low", "high"))
    abnormal = (number < low) | (number > high)
    time = lives.shifted(draws["time"].to_numpy()[draw], person)
    stored = time + (60 * rng.integers(25, 180, n)).astype("timedelta64[s]")
    priority = np.array(["STAT", "ROUTINE", None], dtype=object)
    priority = priority[np.searchsorted([0.53, 0.92], rng.random(len(draws)))]
    return pd.DataFrame({
        "labevent_id": rows + np.arange(n) + 1,
        "subject_id": lives.people["subject_id"].to_numpy()[person],
        "hadm_id": draws["hadm_id"].array.take(draw),
        "specimen_id": specimen[draw, panel],
        "itemid": table["itemid"].to_numpy()[lab],
        "order_provider_id": _providers(len(draws), rng)[draw],
        "charttime": time,
        "storetime": pd.Series(stored).mask(rng.random(n) < 0.009),
        "value": text,
        "valuenum": number,
        "valueuom": table["unit"].replace("", None).to_numpy(object)[lab],
        "ref_range_lower": low,
        "ref_range_upper": high,
        "flag": np.where(abnormal, "abnormal", _NOTHING),
        "priority": priority[draw],
        "comments": np.where(illegible, "___", _NOTHING),
    })  # fmt: skip


def _blood_draws(lives: Lives, rng: Generator) -> pd.DataFrame:
    """``person``, ``hadm_id`` (missing outside admissions), ``time`` (real); nobody dead."""
    stays, minute = lives.stays, np.timedelta64(60, "s")
    stay = np.repeat(np.arange(len(stays)), 1 + rng.poisson(_MORE_DRAWS, len(stays)))
    first = np.append(True, stay[1:] != stay[:-1])[: len(stay)]
    person, admit, discharge, hadm_id = lives.admissions(stay)
    length = (discharge - admit) / minute
    after = np.where(first, np.minimum(360, length), length) * rng.random(len(stay))
    time = admit + np.floor(after).astype(np.int64) * minute
    inside = pd.DataFrame({"person": person, "hadm_id": pd.array(hadm_id, "Int64"), "time": time})
    spans = stays.groupby("person").agg(begin=("admit", "first"), end=("discharge", "last"))
    person = np.repeat(spans.index.to_numpy(), rng.poisson(_CLINIC_DRAWS, len(spans)))
    spans = spans.loc[person]
    begin = spans["begin"].to_numpy() - np.timedelta64(_BEFORE, "D")
    length = (spans["end"].to_numpy() + np.timedelta64(_AFTER, "D") - begin) / minute
    time = begin + np.floor(length * rng.random(len(person))).astype(np.int64) * minute
    outside = pd.DataFrame({"person": person, "time": time})
    day = outside["person"].map(lives.people["dod"])
    draws = pd.concat([inside, outside[~(outside["time"] >= day)]])
    return draws.sort_values(["person", "time"], kind="stable", ignore_index=True)


def _results(value: np.ndarray, decimals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As the laboratory reports them, text and number; what it cannot detect is "<0.01"."""
    text, number = np.empty(len(value), dtype=object), np.full(len(value), np.nan)
    for places in np.unique(decimals):
        here = decimals == places
        units = np.rint(value[here] * 10.0**places).astype(np.int64)
        least = f"{10.0**-places:.{places}f}"
        seen, which = np.unique(units, return_inverse=True)
        texts = [f"{u / 10.0**places:.{places}f}" if u > 0 else f"<{least}" for u in seen]
        text[here] = np.array(texts, dtype=object)[which]
        number[here] = np.where(units > 0, units / 10.0**places, np.nan)
    return text, number
