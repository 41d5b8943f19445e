# %% prelude
import numpy as np
import pandas as pd

from ehrsynth import book

# %% exercise: name the type | recall | core | 4 min
# Which of the five types has each of these columns: categorical, binary, count, continuous or temporal?
# %% check
says = {
    "gender": "it says *which one*, without order.",
    "dod": "the date of death says *when*.",
    "hospital_expire_flag": "died in hospital: yes or no.",
    "dischtime": "the time of discharge says *when*.",
    "result_value of BMI": "*how much*: it has a unit, and 27.8 makes sense.",
    "number of stays of a patient": "*how many*: never negative, never 1.5.",
    "icd_code": "a code is a name, even when it is written in digits: 0389 is no number.",
}
judge = book.choices(solution, says, {
    "category": "categorical", "nominal": "categorical", "boolean": "binary", "bool": "binary",
    "yes/no": "binary", "integer": "count", "discrete": "count", "numeric": "continuous",
    "float": "continuous", "date": "temporal", "time": "temporal", "datetime": "temporal",
})  # fmt: skip
hints = ["Ask of each: which one, yes or no, how many, how much, or when?",
         "Two are categorical, two temporal, and one of each of the others."]  # fmt: skip
# %% solution
types = {
    "gender": "categorical",
    "dod": "temporal",
    "hospital_expire_flag": "binary",
    "dischtime": "temporal",
    "result_value of BMI": "continuous",
    "number of stays of a patient": "count",
    "icd_code": "categorical",
}
# %% wrong: a code is a name
types = dict(zip(["gender", "dod", "hospital_expire_flag", "dischtime", "result_value of BMI",
    "number of stays of a patient", "icd_code"], ["categorical", "temporal", "binary", "temporal",
    "continuous", "count", "count"], strict=True))  # fmt: skip
# %% wrong: 2 of 7
types = dict.fromkeys(["gender", "dod", "hospital_expire_flag", "dischtime", "result_value of BMI",
    "number of stays of a patient", "icd_code"], "categorical")  # fmt: skip
# %% wrong: keys
types = ["categorical", "temporal", "binary", "temporal", "continuous", "count", "categorical"]
# %% wrong: says *when*
types = dict(zip(["gender", "dod", "hospital_expire_flag", "dischtime", "result_value of BMI",
    "number of stays of a patient", "icd_code"], ["categorical", "continuous", "binary",
    "continuous", "continuous", "count", "categorical"], strict=True))  # fmt: skip
# %% right: capitals
types = dict(zip(["gender", "dod", "hospital_expire_flag", "dischtime", "result_value of BMI",
    "number of stays of a patient", "icd_code"], ["Categorical", "TEMPORAL", "Binary", "Temporal ",
    "Continuous", "Count", "categorical"], strict=True))  # fmt: skip
# %% right: other words
types = dict(zip(["gender", "dod", "hospital_expire_flag", "dischtime", "result_value of BMI",
    "number of stays of a patient", "icd_code"], ["category", "date", "boolean", "datetime",
    "numeric", "count", "nominal"], strict=True))  # fmt: skip


# %% exercise: which code tells the era? | apply | core | 6 min
# Write `era_gap(table, era)`: for each column of a 0/1 table the share of ICD-10 patients with the code minus the share
# of ICD-9 patients. `era` is True for ICD-10 patients, in the order of the rows.
# %% check
def cases(rng):
    made = []
    for size in (60, 90):
        era = pd.Series(rng.random(size) < 0.3)
        table = pd.DataFrame(
            rng.random((size, 4)) < 0.4, columns=["401", "401.1", "250", "V15"]
        )
        table["401.1"] &= era
        made.append((table.astype("uint8"), era))
    return made


mistakes = {
    "the sign is turned: ICD-10 minus ICD-9 is asked for.":
        lambda t, era: t[~era].mean() - t[era].mean(),
    "the sign is lost: a code may be rarer in ICD-10, too.":
        lambda t, era: (t[era].mean() - t[~era].mean()).abs(),
    "these are numbers of patients. The two eras are not equally large: take shares.":
        lambda t, era: t[era].sum() - t[~era].sum(),
    "that compares ICD-10 with everybody, ICD-10 patients included.":
        lambda t, era: t[era].mean() - t.mean(),
    "that is a ratio; a difference is asked for.":
        lambda t, era: t[era].mean() / t[~era].mean(),
    "the shares are of all patients, not of those of the era.":
        lambda t, era: t[era].sum() / len(t) - t[~era].sum() / len(t),
}  # fmt: skip
judge = book.compare(solution, cases, mistakes)
hints = [
    "The mean of a 0/1 column is a share.",
    "`table[era]` has the ICD-10 rows, `table[~era]` the others.",
]


# %% solution
def era_gap(table, era):
    """One number per column: share in ICD-10 patients minus share in ICD-9 patients."""
    return table[era].mean() - table[~era].mean()


# show
print(f"401, levels mixed: {era_gap(as_published, era)['401']:+.3f}")
print(f"401, one level:    {era_gap(one_level, era)['401']:+.3f}")


# %% wrong: turned
def era_gap(table, era):
    return table.groupby(era.to_numpy()).mean().diff(-1).iloc[0]


# %% wrong:
def era_gap(table, era):
    return table.corrwith(era.astype(float))


# %% right: groupby, as a dict
def era_gap(table, era):
    shares = table.groupby(era.to_numpy()).mean()
    return {code: shares.loc[True, code] - shares.loc[False, code] for code in table}


# %% right: NumPy
def era_gap(table, era):
    x, new = table.to_numpy(float), era.to_numpy(float)
    return new @ x / new.sum() - (1 - new) @ x / (1 - new).sum()


# %% exercise: what the snapshot forgets | apply | core | 7 min
# Write `share_repeated(events)`: of all pairs of patient and phecode, the share
# that was written in more than one stay. `events` has a row for each diagnosis with `subject_id`, `hadm_id` and `phecode`.
# %% check
def cases(rng):
    made = []
    for size in (40, 80):
        stay = rng.integers(0, 24, size)
        events = pd.DataFrame({
            "subject_id": np.where(stay < 8, 100 + stay, stay // 4), "hadm_id": 100 + stay,
            "phecode": rng.choice(["401", "250", "318", "272"], size),
        })  # fmt: skip
        made.append((pd.concat([events, events.iloc[:20]], ignore_index=True),))
    return made


PAIR = ["subject_id", "phecode"]
mistakes = {
    "that counts rows. A code may be written twice in one stay: count the *different* stays.":
        lambda e: (e.groupby(PAIR).size() > 1).mean(),
    "that is a share of patients: the pairs are of patient *and* phecode.":
        lambda e: (e.groupby("subject_id")["hadm_id"].nunique() > 1).mean(),
    "that is a number of pairs, not a share.":
        lambda e: (e.groupby(PAIR)["hadm_id"].nunique() > 1).sum(),
    "that is the mean number of stays, not the share with more than one.":
        lambda e: e.groupby(PAIR)["hadm_id"].nunique().mean(),
    "*more than* one: a pair with one stay does not count.":
        lambda e: (e.groupby(PAIR)["hadm_id"].nunique() >= 1).mean(),
    "the repeated pairs are divided by the rows; divide by the pairs.":
        lambda e: (e.groupby(PAIR)["hadm_id"].nunique() > 1).sum() / len(e),
}  # fmt: skip
judge = book.compare(solution, cases, mistakes)
hints = ["Group by patient and phecode.", "`nunique()` counts the different stays of a group."]


# %% solution
def share_repeated(events):
    """One number between 0 and 1."""
    stays = events.groupby(["subject_id", "phecode"])["hadm_id"].nunique()
    return (stays > 1).mean()


# show
mapped = phecode.map_icd(diagnoses, "phecode")
print(f"Written in more than one stay: {share_repeated(mapped):.0%} of patient-phecode pairs")


# %% wrong:
def share_repeated(events):
    return 1 / 3


# %% right: duplicates dropped first
def share_repeated(events):
    once = events.drop_duplicates(["subject_id", "hadm_id", "phecode"])
    n = once.value_counts(["subject_id", "phecode"])
    return len(n[n > 1]) / len(n)


# %% right: by hand
def share_repeated(events):
    seen = {}
    for row in events.itertuples():
        seen.setdefault((row.subject_id, row.phecode), set()).add(row.hadm_id)
    return np.float32(sum(len(stays) > 1 for stays in seen.values()) / len(seen))


# %% exercise: the snapshot, without the future | extend | optional | 9 min
# Write `latest(measurements, discharge)`: for each patient the value of the last measurement **not later than the
# discharge**. `measurements` has `subject_id`, `time` and `value` in no order; `discharge` is a Series of times by
# `subject_id`. Return a Series by `subject_id`; leave out who has no such measurement.
# %% check
def cases(rng):
    made = []
    for patients in (6, 9):
        who = rng.integers(0, patients, 60)
        time = pd.Timestamp("2130-01-01") + pd.to_timedelta(rng.permutation(400)[:60], "D")
        table = pd.DataFrame(
            {"subject_id": who, "time": time, "value": rng.normal(28, 4, 60).round(2)}
        )
        days = rng.integers(120, 300, patients)
        days[0] = -1  # discharged before any measurement
        leave = pd.Timestamp("2130-01-01") + pd.to_timedelta(days, "D")
        made.append((table, pd.Series(leave, index=range(patients))))
    return made


def last(m, discharge, pick="last", keep=lambda time, leave: time <= leave, order="time"):
    rows = m[keep(m["time"], m["subject_id"].map(discharge))]
    return getattr(rows.sort_values(order).groupby("subject_id")["value"], pick)()


mistakes = {
    "some values are from after the discharge: that is the future.":
        lambda m, d: last(m, d, keep=lambda time, leave: time == time),
    "these are the *first* values.": lambda m, d: last(m, d, "first"),
    "these are the means; one value is asked for.": lambda m, d: last(m, d, "mean"),
    "the rows are in no order: sort them by time.":
        lambda m, d: last(m.assign(k=range(len(m))), d, order="k"),
}  # fmt: skip
judge = book.compare(solution, cases, mistakes)
hints = ["`measurements['subject_id'].map(discharge)` has each row's discharge.",
         "Keep what is not later, sort by time, group by patient, take the last."]  # fmt: skip


# %% solution
def latest(measurements, discharge):
    """The last value of each patient up to the discharge."""
    known = measurements["time"] <= measurements["subject_id"].map(discharge)
    in_order = measurements[known].sort_values("time")
    return in_order.groupby("subject_id")["value"].last()


# %% wrong: future
def latest(measurements, discharge):
    return measurements.sort_values("time").groupby("subject_id")["value"].last()


# %% wrong:
def latest(measurements, discharge):
    rows = measurements[measurements["time"] <= discharge.max()]
    return rows.sort_values("time").groupby("subject_id")["value"].last()


# %% wrong:
def latest(measurements, discharge):
    return measurements["value"]


# %% right: merge and idxmax
def latest(measurements, discharge):
    rows = measurements.merge(discharge.rename("leave"), left_on="subject_id", right_index=True)
    rows = rows[rows["time"] <= rows["leave"]].reset_index(drop=True)
    return rows.loc[rows.groupby("subject_id")["time"].idxmax()].set_index("subject_id")[
        "value"
    ]


# %% right: a dict
def latest(measurements, discharge):
    found = {}
    for row in measurements.sort_values("time").itertuples():
        if row.time <= discharge[row.subject_id]:
            found[row.subject_id] = row.value
    return pd.Series(found)
