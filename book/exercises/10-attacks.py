# %% prelude
import numpy as np
import pandas as pd

from ehrsynth import book
from ehrsynth.statistics import nearest_distance, nearest_distances

# %% exercise: which test finds it? | recall | core | 4 min
# Five leaks. Which test is made for each: `copies`, `near copies`, `carriers`, `moments` or `guard`?
# %% check
says = {
    "one row in 50 is a training patient, unchanged": "count the rows that equal a patient.",
    "each row is a training patient with two codes changed": "no row equals a patient, but each is too near to one.",
    "all nine patients with a rare disease are in the release": "among thousands nine drown: ask only who has the code.",
    "drawn from a formula of all pairs of columns of train": "nobody is near to anybody; what goes together gives it away.",
    "the generator was given the held-out patients too": "no control group is left: compare with how near patients are to each other.",
}
judge = book.choices(solution, says, {
    "exact copies": "copies", "copy": "copies", "near copy": "near copies",
    "copied carriers": "carriers", "carrier": "carriers", "moment": "moments",
    "absolute guard": "guard", "the guard": "guard",
})  # fmt: skip
hints = ["Each of the five finds one of them.", "Where does a control group not help?"]
# %% solution
finds = {
    "one row in 50 is a training patient, unchanged": "copies",
    "each row is a training patient with two codes changed": "near copies",
    "all nine patients with a rare disease are in the release": "carriers",
    "drawn from a formula of all pairs of columns of train": "moments",
    "the generator was given the held-out patients too": "guard",
}
# %% wrong: nobody is near to anybody
finds = {
    "one row in 50 is a training patient, unchanged": "copies",
    "each row is a training patient with two codes changed": "near copies",
    "all nine patients with a rare disease are in the release": "carriers",
    "drawn from a formula of all pairs of columns of train": "guard",
    "the generator was given the held-out patients too": "moments",
}
# %% wrong: 3 of 5
finds = {
    "one row in 50 is a training patient, unchanged": "near copies",
    "each row is a training patient with two codes changed": "copies",
    "all nine patients with a rare disease are in the release": "carriers",
    "drawn from a formula of all pairs of columns of train": "moments",
    "the generator was given the held-out patients too": "guard",
}
# %% wrong: keys
finds = ["copies", "near copies", "carriers", "moments", "guard"]
# %% right: capitals
finds = {
    "one row in 50 is a training patient, unchanged": "Copies",
    "each row is a training patient with two codes changed": "NEAR COPIES",
    "all nine patients with a rare disease are in the release": "carriers ",
    "drawn from a formula of all pairs of columns of train": "Moments",
    "the generator was given the held-out patients too": "Guard",
}
# %% right: longer names
finds = {
    "one row in 50 is a training patient, unchanged": "exact copies",
    "each row is a training patient with two codes changed": "near copies",
    "all nine patients with a rare disease are in the release": "copied carriers",
    "drawn from a formula of all pairs of columns of train": "moments",
    "the generator was given the held-out patients too": "absolute guard",
}


# %% exercise: whom to phone | apply | core | 6 min
# Somebody has to phone the patients who were copied. Given the matrix of the training patients and the matrix of a release, return
# the row numbers of the training patients whose record appears in the release, all values equal.
# %% check
def judge(answer, rng):
    patients = rng.integers(0, 2, (120, 15)).astype(float)
    patients[:, 0] = rng.normal(60, 9, 120).round()
    copied = np.sort(rng.choice(120, 17, replace=False))
    rows = rng.integers(0, 2, (200, 15)).astype(float)
    rows[:, 0] = 200 + rng.normal(0, 9, 200).round()
    rows[rng.choice(np.arange(20, 100), 17, replace=False)] = patients[copied]
    rows[100:160] = patients[np.setdiff1d(np.arange(120), copied)[:60]]
    rows[100:160, 7] = 1 - rows[100:160, 7]  # near, and not the same
    got = answer(patients.copy(), rows.copy())
    got = np.asarray(list(got) if isinstance(got, set) else got).ravel()
    if got.dtype == bool and len(got) == 120:
        return "that is a mask; row numbers are asked for: np.flatnonzero."
    found = set(got.astype(int))
    if found == set(copied):
        return ""
    if found & set(range(120, 200)) or found == set(
        np.flatnonzero(nearest_distance(rows, patients) == 0)
    ):
        return "these are rows of the release. Whom do you phone? A row of `patients`."
    if found == set(range(120)) - set(copied):
        return "these are all the others."
    more, less = len(found - set(copied)), len(set(copied) - found)
    return f"{less} who were copied are missing, and {more} who were not are phoned."


hints = ["`nearest_distance(patients, rows)` is 0 for a patient who is there.",
         "`np.flatnonzero` gives the numbers of the rows where something is true."]  # fmt: skip


# %% solution
def exposed(patients, rows):
    """Row numbers of the patients who appear in the release."""
    return np.flatnonzero(nearest_distance(patients, rows) == 0)


# show
release = settings["ours, 1 row in 50 copied"]
found = exposed(release.train.matrix, release.candidate.matrix)
by_chance = len(set(found) - set(copied))
print(f"{len(copied)} were copied, {len(found)} appear in the release")
print(f"{by_chance} of these by chance (a generator may make a common row by itself)")


# %% wrong: are phoned
def exposed(patients, rows):
    return np.flatnonzero(nearest_distance(patients, rows) < 1.2)


# %% wrong: mask
def exposed(patients, rows):
    return nearest_distance(patients, rows) == 0


# %% wrong: rows of the release
def exposed(patients, rows):
    return np.flatnonzero(nearest_distance(rows, patients) == 0)


# %% wrong: are phoned
def exposed(patients, rows):
    return np.arange(len(patients))


# %% wrong: all the others
def exposed(patients, rows):
    return np.flatnonzero(nearest_distance(patients, rows) > 0)


# %% wrong: missing
def exposed(patients, rows):
    return []


# %% right: a set of tuples
def exposed(patients, rows):
    there = set(map(tuple, rows))
    return [k for k, row in enumerate(patients) if tuple(row) in there]


# %% right: pandas, a set
def exposed(patients, rows):
    a, b = pd.DataFrame(patients).reset_index(), pd.DataFrame(rows).drop_duplicates()
    return set(a.merge(b, on=list(b.columns))["index"])


# %% exercise: who stands out? | apply | core | 6 min
# Does a row resemble one person, or a kind of person? Write `ratios(rows, patients)`: for each row of a release the distance to
# its nearest patient, divided by that to the second nearest. Both are NumPy matrices.
# %% check
def cases(rng):
    patients = rng.normal(0, 1, (30, 4))
    return [
        (rng.normal(0, 1, (20, 4)), patients),
        (patients[:12] + rng.normal(0, 0.1, (12, 4)), patients),
        (rng.normal(3, 1, (8, 4)), patients[:2]),
    ]


def near(rows, patients):
    return np.sort(np.linalg.norm(rows[:, None] - patients[None], axis=2), axis=1)


mistakes = {
    "the second divided by the nearest: turn it around, so that 0 is one person.":
        lambda r, p: near(r, p)[:, 1] / near(r, p)[:, 0],
    "that compares *squared* distances: take the root first.":
        lambda r, p: (near(r, p)[:, 0] / near(r, p)[:, 1]) ** 2,
    "that is for each patient; a value for each *row* is asked for.":
        lambda r, p: near(p, r)[:, 0] / near(p, r)[:, 1],
    "that is the distance to the nearest alone.": lambda r, p: near(r, p)[:, 0],
}  # fmt: skip
compared = book.compare(solution, cases, mistakes)


def judge(answer, rng):  # who computes in single precision is right too
    pairs = [(np.asarray(answer(*case)), solution(*case)) for case in cases(rng)]
    near = [a.shape == b.shape and np.allclose(a, b, atol=2e-3) for a, b in pairs]
    return "" if all(near) else compared(answer, rng)


hints = ["`np.linalg.norm(patients - row, axis=1)` has the distances of one row to all patients.",
         "`np.sort` puts the nearest first."]  # fmt: skip


# %% solution
def ratios(rows, patients):
    """Distance of each row to its nearest patient over that to the second nearest."""
    two = np.array([np.sort(np.linalg.norm(patients - row, axis=1))[:2] for row in rows])
    return two[:, 0] / two[:, 1]


# show
for name in ("our synthetic data", "copy, a fifth redrawn"):
    found = ratios(settings[name].candidate.matrix[:200], matrix)
    print(f"{name:32}a typical row: {np.median(found):.2f}")


# %% wrong:
def ratios(rows, patients):
    return np.ones(len(rows))


# %% right: nearest_distances
def ratios(rows, patients):
    two = np.sort(nearest_distances(rows, patients, 2), axis=1)
    return two[:, 0] / two[:, 1]


# %% right: a list
def ratios(rows, patients):
    found = []
    for row in rows:
        d = sorted(((patients - row) ** 2).sum(axis=1) ** 0.5)
        found.append(d[0] / d[1])
    return found


# %% exercise: many attacks, one chance | extend | optional | 8 min
# Who tries ten attacks finds something by chance. So the labels *used* and *held out* are exchanged many times, and each time the
# **largest** of all attacks is kept. Write `chance(found, exchanged)`: `found` has what each attack gives with the true labels,
# `exchanged` a row for each exchange and a column for each attack. Return the share of all label sets, the true one among them,
# whose largest attack is at least as large as the largest of `found`.
# %% check
def cases(rng):
    exchanged = rng.normal(size=(199, 10))
    weak, strong = rng.normal(size=(2, 10)) * 0.5
    strong[3] = 2.9
    tied = exchanged.copy()
    tied[:9, 4] = 9.0
    return [(weak, exchanged), (strong, exchanged), (np.full(10, 9.0), tied), (weak + 1, tied)]


mistakes = {
    "the true labels are one of the sets, too: add one above and below.":
        lambda f, e: np.mean(e.max(axis=1) >= max(f)),
    "at least as large: who ties counts too.":
        lambda f, e: (1 + np.sum(e.max(axis=1) > max(f))) / (1 + len(e)),
    "each attack alone here: of each exchange the *largest* attack is compared.":
        lambda f, e: min((1 + (e >= f).sum(axis=0)) / (1 + len(e))),
    "that is the mean of all attacks; the largest is asked for.":
        lambda f, e: (1 + np.sum(e.mean(axis=1) >= np.mean(f))) / (1 + len(e)),
    "that is the share of exchanges that show *less*.":
        lambda f, e: np.mean(e.max(axis=1) < max(f)),
}  # fmt: skip
judge = book.compare(solution, cases, mistakes)
hints = ["`exchanged.max(axis=1)` is the largest attack of each exchange.",
         "(1 + how many are at least as large) / (1 + how many exchanges)"]  # fmt: skip


# %% solution
def chance(found, exchanged):
    """How often the largest attack of a set of labels is at least as large as the largest found."""
    as_large = exchanged.max(axis=1) >= np.max(found)
    return (1 + as_large.sum()) / (1 + len(exchanged))


# show
noise = np.random.default_rng(seed).normal(size=(1_000, 10))  # ten attacks that find nothing
alone = np.mean(noise.max(axis=1) > 1.64)
print(f"ten attacks, each with 5 % false alarms: some alarm in {alone:.0%} of the cases")
print(f"the largest is 1.9: chance {chance(np.array([1.9]), noise):.2f}, not 0.03")


# %% wrong:
def chance(found, exchanged):
    return 0.05


# %% right: a loop
def chance(found, exchanged):
    sets = [list(found), *exchanged.tolist()]
    return sum(max(one) >= max(found) for one in sets) / len(sets)


# %% right: stacked
def chance(found, exchanged):
    most = np.append(exchanged.max(axis=1), np.max(found))
    return (most >= most[-1]).mean()
