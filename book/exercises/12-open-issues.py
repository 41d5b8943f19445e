# %% prelude
import numpy as np
import pandas as pd

from ehrsynth import book

# %% exercise: what is promised? | recall | core | 3 min
# A table was made with differential privacy, epsilon 1. Which sentences follow from that alone? Write `True` or `False`.
# %% check
says = {
    "one patient more or less hardly changes what comes out": "that is the promise.",
    "the table is useful": "a table of pure noise keeps the promise, too.",
    "it holds against attacks that nobody knows yet": "it is about what comes out, whatever is "
    "done with it.",
    "nothing can be learned about smokers": "what holds for everybody may be learned. It is "
    "about each single patient.",
    "attacks need not be tried any more": "they test whether the procedure does what it says.",
}
judge = book.choices(solution, says)
hints = ["The promise is about each single patient, and about what comes out.", "Two follow."]
# %% solution
follows = {
    "one patient more or less hardly changes what comes out": True,
    "the table is useful": False,
    "it holds against attacks that nobody knows yet": True,
    "nothing can be learned about smokers": False,
    "attacks need not be tried any more": False,
}
# %% wrong: pure noise
follows = {
    "one patient more or less hardly changes what comes out": True,
    "the table is useful": True,
    "it holds against attacks that nobody knows yet": True,
    "nothing can be learned about smokers": False,
    "attacks need not be tried any more": False,
}
# %% wrong: holds for everybody
follows = {
    "one patient more or less hardly changes what comes out": True,
    "the table is useful": False,
    "it holds against attacks that nobody knows yet": True,
    "nothing can be learned about smokers": True,
    "attacks need not be tried any more": False,
}
# %% wrong: whatever is
follows = {
    "one patient more or less hardly changes what comes out": True,
    "the table is useful": False,
    "it holds against attacks that nobody knows yet": False,
    "nothing can be learned about smokers": False,
    "attacks need not be tried any more": False,
}
# %% right: words
follows = {
    "one patient more or less hardly changes what comes out": "true",
    "the table is useful": "false",
    "it holds against attacks that nobody knows yet": "True ",
    "nothing can be learned about smokers": "no",
    "attacks need not be tried any more": "false",
}
# %% right: numbers
follows = {
    "one patient more or less hardly changes what comes out": 1,
    "the table is useful": 0,
    "it holds against attacks that nobody knows yet": 1,
    "nothing can be learned about smokers": 0,
    "attacks need not be tried any more": 0,
}


# %% exercise: how many patients for a rare code? | apply | core | 4 min
# How many patients does train need, so that chance moves the prevalence of a code by at most a share of itself? Write
# `patients_needed(p, share)` that gives the number of *all* patients for a code of prevalence `p`. Use the formula above: chance
# moves it by the root of (1 - p) / (p n), as a share of itself.
# %% check
def cases(rng):
    return [(0.01, 0.1), (0.5, 0.5), *((p, s) for p, s in rng.uniform(0.02, 0.4, (4, 2)))]


mistakes = {
    "that is the number of patients *with* the code.": lambda p, s: (1 - p) / s**2,
    "the share has to be squared.": lambda p, s: (1 - p) / (p * s),
    "p is in the wrong place: rarer codes need more.": lambda p, s: p / ((1 - p) * s**2),
    "without (1 - p) it is a little too large.": lambda p, s: 1 / (p * s**2),
    "that is for a change by a share of everybody, not of the prevalence itself.":
        lambda p, s: p * (1 - p) / s**2,
    "that is the root of it.": lambda p, s: np.sqrt((1 - p) / (p * s**2)),
}  # fmt: skip
compared = book.compare(solution, cases, mistakes)


def judge(answer, rng):  # whole patients are right too
    more = [np.squeeze(answer(*case)) - solution(*case) for case in cases(rng)]
    return "" if all(-1e-6 < m < 1 for m in more) else compared(answer, rng)


hints = ["Set the root equal to the share and solve for n.", "p = 0.01, share = 0.1: 9,900."]


# %% solution
def patients_needed(p, share):
    """Number of all patients."""
    return (1 - p) / (p * share**2)


# show
print(f"a code of 1 in 1,000, by a tenth: {patients_needed(0.001, 0.1):,.0f} patients")


# %% wrong:
def patients_needed(p, share):
    return 9_900


# %% right: rearranged
def patients_needed(p, share):
    return (1 / p - 1) / share / share


# %% right: NumPy
def patients_needed(p, share):
    return np.array([np.divide(1 - p, p) * share**-2.0])


# %% right: whole patients
def patients_needed(p, share):
    return int(np.ceil((1 - p) / (p * share**2)))


# %% exercise: the cap | apply | core | 7 min
# A guarantee needs a cap: nobody may have more than so many codes. Write `limited(table, m, rng)` that keeps at most `m` randomly chosen
# codes of each patient, in a 0/1 table. Something is gained, and something is lost: what?
# %% check
def judge(answer, rng):
    table = pd.DataFrame(
        (rng.random((400, 12)) < 0.4).astype("uint8"), columns=list("abcdefghijkl")
    )
    for m in (3, 100):
        given = table.copy()
        made = answer(given, m, np.random.default_rng(1))
        if np.shape(made) != table.shape:
            return "a table of the same shape is asked for."
        x, old = np.asarray(made, dtype=float), table.to_numpy()
        if not given.equals(table):
            return "the table that was given has changed. Work on a copy."
        if ((x == 1) & (old == 0)).any():
            return "somebody has a code that was not there before."
        if not np.isin(x, (0, 1)).all() or x.sum(axis=1).max() > m:
            return (
                f"somebody has more than {m} codes." if np.isin(x, (0, 1)).all() else "0 or 1."
            )
        if (x.sum(axis=1) < np.minimum(old.sum(axis=1), m)).any():
            return f"somebody has fewer codes than the cap of {m} allows."
        many = old.sum(axis=1) > m
        kept = x[many].sum(axis=0) / np.maximum(old[many].sum(axis=0), 1)
        if many.any() and kept.max() - kept.min() > 0.3:
            return "the codes of some columns are kept more often. Choose at random."
    other = np.asarray(answer(table.copy(), 3, np.random.default_rng(2)), dtype=float)
    first = np.asarray(answer(table.copy(), 3, np.random.default_rng(1)), dtype=float)
    return "two generators keep the same: use the `rng`." if (other == first).all() else ""


hints = ["Draw a random number for every 1.", "Rank them within the row; keep ranks up to m."]


# %% solution
def limited(table, m, rng):
    """A table of the codes with at most m ones in each row."""
    order = table.mask(table == 0).astype(float) * rng.random(table.shape)
    return (order.rank(axis=1) <= m).astype("uint8")


# show
few = limited(train[codes], 3, np.random.default_rng(seed))
lost = 1 - few.to_numpy().sum() / train[codes].to_numpy().sum()
book.say(
    f"With at most 3 codes a patient, Gaussian noise shrinks to {np.sqrt(3 / most):.0%} of what {most} codes need, but {lost:.0%} of all codes are gone, most of them from the sickest patients."
)


# %% wrong: kept more often
def limited(table, m, rng):
    return table.where(table.cumsum(axis=1) <= m, 0)


# %% wrong: more than 3
def limited(table, m, rng):
    return table.copy()


# %% wrong: allows
def limited(table, m, rng):
    keep = rng.random(table.shape).argsort(axis=1).argsort(axis=1) < m
    return table * keep


# %% wrong: use the `rng`
def limited(table, m, rng):
    rng = np.random.default_rng(0)
    order = table.mask(table == 0).astype(float) * rng.random(table.shape)
    return (order.rank(axis=1) <= m).astype("uint8")


# %% wrong: same shape
def limited(table, m, rng):
    return table.loc[table.sum(axis=1) <= m]


# %% right: row by row
def limited(table, m, rng):
    made = np.zeros(table.shape, dtype=int)
    for i, row in enumerate(table.to_numpy()):
        there = np.flatnonzero(row)
        made[i, rng.permutation(there)[:m]] = 1
    return made


# %% right: argsort
def limited(table, m, rng):
    x = table.to_numpy()
    rank = np.where(x == 1, rng.random(x.shape), 2.0).argsort(axis=1).argsort(axis=1)
    return pd.DataFrame((rank < m) & (x == 1), columns=table.columns)


# %% exercise: noise for a promise | extend | optional | 7 min
# Write `noisy(counts, most, epsilon, rng)`: counts of codes with Laplace noise such that all of them together keep the promise with
# `epsilon`, when no patient has more than `most` codes. One patient changes the counts by `most` in total; the noise of each count has
# the scale `most` / `epsilon`.
# %% check
def judge(answer, rng):
    counts = rng.integers(20, 900, 6000).astype(float)
    for most, epsilon in ((8, 0.5), (3, 2.0)):
        given = counts.copy()
        made = np.asarray(answer(given, most, epsilon, np.random.default_rng(4)), dtype=float)
        if made.shape != counts.shape:
            return "one noisy count for each count is asked for."
        noise, scale = made - counts, most / epsilon
        if np.abs(noise).max() == 0:
            return "there is no noise."
        if len(set(noise.round(6))) < 100 and len(set(noise)) < 20:
            return "all counts get the same noise. Draw one for each."
        size = np.abs(noise).mean() / scale  # 1 for Laplace of this scale
        for factor, says in (
            (1 / most, "the cap is not used: a patient changes several counts at once."),
            (1 / scale, "neither the cap nor epsilon is used."),
            (epsilon, "epsilon is not used."),
            (1 / scale**2, "turned: a smaller epsilon needs *more* noise."),
        ):
            if abs(size / factor - 1) < 0.06 and abs(factor - 1) > 0.1:
                return says
        if abs(size - 1) > 0.06:
            return f"the noise is {size:.2f} times as large as it has to be."
        if abs(noise.mean()) > 0.1 * scale:
            return "the noise pushes all counts the same way; it has to go up as often as down."
        if abs((noise**2).mean() / scale**2 - 2) > 0.3:
            return "the noise has the right size, and another form than Laplace."
    again = np.asarray(answer(counts.copy(), 3, 2.0, np.random.default_rng(5)), dtype=float)
    return "two generators give the same noise: use the `rng`." if (again == made).all() else ""


hints = ["`rng.laplace(0, scale, size)` draws it.", "The size is that of `counts`."]


# %% solution
def noisy(counts, most, epsilon, rng):
    """The counts with the noise that the promise needs."""
    return counts + rng.laplace(0, most / epsilon, len(counts))


# %% wrong: cap is not used
def noisy(counts, most, epsilon, rng):
    return counts + rng.laplace(0, 1 / epsilon, len(counts))


# %% wrong: epsilon is not used
def noisy(counts, most, epsilon, rng):
    return counts + rng.laplace(0, most, len(counts))


# %% wrong: turned
def noisy(counts, most, epsilon, rng):
    return counts + rng.laplace(0, epsilon / most, len(counts))


# %% wrong: same noise
def noisy(counts, most, epsilon, rng):
    return counts + rng.laplace(0, most / epsilon)


# %% wrong: form
def noisy(counts, most, epsilon, rng):
    return counts + rng.normal(0, most / epsilon * np.sqrt(np.pi / 2), len(counts))


# %% wrong: the same way
def noisy(counts, most, epsilon, rng):
    return np.abs(rng.laplace(0, most / epsilon, len(counts))) + counts


# %% wrong: no noise
def noisy(counts, most, epsilon, rng):
    return counts


# %% wrong: use the `rng`
def noisy(counts, most, epsilon, rng):
    return counts + np.random.default_rng(0).laplace(0, most / epsilon, len(counts))


# %% right: two exponentials
def noisy(counts, most, epsilon, rng):
    scale = most / epsilon
    return counts + rng.exponential(scale, counts.shape) - rng.exponential(scale, counts.shape)


# %% right: one by one
def noisy(counts, most, epsilon, rng):
    return [c + rng.laplace(scale=most / epsilon) for c in counts]
