# %% prelude
import numpy as np
import pandas as pd

from ehrsynth import book

# %% exercise: what does a prevalence see? | recall | core | 4 min
# Each of these accidents happens to a synthetic table. Which would the *average prevalence difference* of its codes notice? Write
# `True` or `False`.
# %% check
says = {
    "every column is shuffled on its own": "each column still has its own values, so each prevalence stays.",
    "every code has become twice as frequent": "every single prevalence is off, and they are averaged.",
    "a code that 1 in 5,000 patients has is lost": "0.2 per 1,000, among hundreds of codes: nobody sees that.",
    "each patient has the diagnoses of another one": "who has them is not asked, only how many have.",
    "the most frequent disease is missing": "one code, but a third of the patients: that is much.",
}
judge = book.choices(solution, says)
hints = ["It looks at one column at a time and adds up patients.", "Two of the five."]
# %% solution
noticed = {
    "every column is shuffled on its own": False,
    "every code has become twice as frequent": True,
    "a code that 1 in 5,000 patients has is lost": False,
    "each patient has the diagnoses of another one": False,
    "the most frequent disease is missing": True,
}
# %% wrong: each prevalence stays
noticed = {
    "every column is shuffled on its own": True,
    "every code has become twice as frequent": True,
    "a code that 1 in 5,000 patients has is lost": False,
    "each patient has the diagnoses of another one": False,
    "the most frequent disease is missing": True,
}
# %% wrong: nobody sees that
noticed = {
    "every column is shuffled on its own": False,
    "every code has become twice as frequent": True,
    "a code that 1 in 5,000 patients has is lost": True,
    "each patient has the diagnoses of another one": False,
    "the most frequent disease is missing": True,
}
# %% wrong: 3 of 5
noticed = {
    "every column is shuffled on its own": False,
    "every code has become twice as frequent": True,
    "a code that 1 in 5,000 patients has is lost": False,
    "each patient has the diagnoses of another one": True,
    "the most frequent disease is missing": False,
}
# %% wrong: keys
noticed = [False, True, False, False, True]
# %% right: in words
noticed = {
    "every column is shuffled on its own": "no",
    "every code has become twice as frequent": "Yes",
    "a code that 1 in 5,000 patients has is lost": "No",
    "each patient has the diagnoses of another one": "no",
    "the most frequent disease is missing": "yes",
}
# %% right: as numbers
noticed = {
    "every column is shuffled on its own": 0,
    "every code has become twice as frequent": 1,
    "a code that 1 in 5,000 patients has is lost": 0,
    "each patient has the diagnoses of another one": 0,
    "the most frequent disease is missing": 1,
}


# %% exercise: pairs that come apart | apply | core | 6 min
# A mean over all pairs of columns is mostly noise. Count instead: write `pairs_apart(a, b, limit)`, the share of the pairs of
# columns whose correlation in `a` and in `b` differs by more than `limit`. Both are NumPy matrices with a row for each patient;
# no column is constant. A column with itself is no pair.
# %% check
def cases(rng):
    made = []
    for limit in (0.05, 0.2):
        common = rng.normal(size=(300, 1))
        a = rng.normal(size=(300, 6)) + common * np.array([1, 1, 0, 0, -1, 0.5])
        made += [(a, rng.permuted(a, axis=0), limit), (a, a[:, ::-1] + 0.3 * common, limit)]
    return made


def apart(a, b):
    return np.corrcoef(a, rowvar=False) - np.corrcoef(b, rowvar=False)


def pairs(x):
    return x[np.triu_indices(len(x), 1)]


mistakes = {
    "a column with itself is no pair: leave the diagonal out.":
        lambda a, b, m: (np.abs(apart(a, b)) > m).mean(),
    "the diagonal is still in: `np.triu_indices(k, 1)` begins beside it.":
        lambda a, b, m: (np.abs(apart(a, b))[np.triu_indices(a.shape[1])] > m).mean(),
    "a correlation may be too small or too large: take the absolute value of the difference.":
        lambda a, b, m: (pairs(apart(a, b)) > m).mean(),
    "these are the pairs that agree.": lambda a, b, m: (np.abs(pairs(apart(a, b))) <= m).mean(),
    "that is the mean difference; a share of pairs is asked for.":
        lambda a, b, m: np.abs(pairs(apart(a, b))).mean(),
    "that is a number of pairs, not a share.":
        lambda a, b, m: (np.abs(pairs(apart(a, b))) > m).sum(),
}  # fmt: skip
judge = book.compare(solution, cases, mistakes)
hints = ["`np.corrcoef(a, rowvar=False)` is the matrix of correlations of the columns.",
         "`matrix[np.triu_indices(len(matrix), 1)]` has each pair once."]  # fmt: skip


# %% solution
def pairs_apart(a, b, limit):
    """Share of the pairs of columns whose correlations differ by more than the limit."""
    r, s = (np.corrcoef(x, rowvar=False) for x in (a, b))
    return (np.abs(r - s)[np.triu_indices(len(r), 1)] > limit).mean()


# show
some = [n for n in codes if min(t[n].sum() for t in (real, fresh, ours)) >= 20]
columns = {name: candidates[name][some].to_numpy(float) for name in candidates}
for name in ("fresh real patients", "our synthetic data", "independent columns"):
    share = pairs_apart(real[some].to_numpy(float), columns[name], 0.1)
    print(f"{name:24}{share:6.1%} of the pairs of {len(some)} codes")


# %% wrong:
def pairs_apart(a, b, limit):
    return 0.0


# %% wrong: a case that you have not seen
def pairs_apart(a, b, limit):
    r, s = (np.cov(x, rowvar=False) for x in (a, b))
    return (np.abs(r - s)[np.triu_indices(len(r), 1)] > limit).mean()


# %% right: pandas
def pairs_apart(a, b, limit):
    gap = (pd.DataFrame(a).corr() - pd.DataFrame(b).corr()).abs().to_numpy()
    return np.mean(gap[np.tril_indices(a.shape[1], -1)] > limit)


# %% right: two loops
def pairs_apart(a, b, limit):
    k, found, all_pairs = a.shape[1], 0, 0
    for i in range(k):
        for j in range(i):
            r, s = (np.corrcoef(x[:, i], x[:, j])[0, 1] for x in (a, b))
            found += abs(r - s) > limit
            all_pairs += 1
    return found / all_pairs


# %% exercise: a metric of your own | apply | core | 6 min
# Missing values carry information. Write a metric for it: for every column in `columns` take the share of missing values
# in both tables, and return the mean absolute difference, in percent.
# %% check
def cases(rng):
    made = []
    for rows, others in ((40, 40), (30, 50)):
        a, b = (
            pd.DataFrame(rng.normal(size=(n, 3)), columns=list("xyz")) for n in (rows, others)
        )
        for table, shares in ((a, (0.1, 0.5, 0.3)), (b, (0.4, 0.2, 0.3))):
            for name, share in zip("xyz", shares, strict=True):
                table.loc[rng.random(len(table)) < share, name] = np.nan
        made += [(a, b, ["x", "y"]), (a, b, ["x", "y", "z"])]
    return made


def shares(a, b, columns):
    return a[columns].isna().mean() - b[columns].isna().mean()


mistakes = {
    "that is a share; percent are asked for.": lambda a, b, c: shares(a, b, c).abs().mean(),
    "gaps in one direction and in the other cancel: take the absolute value of each first.":
        lambda a, b, c: 100 * abs(shares(a, b, c).mean()),
    "that is the sum over the columns, not the mean.":
        lambda a, b, c: 100 * shares(a, b, c).abs().sum(),
    "that is the largest difference, not the mean.":
        lambda a, b, c: 100 * shares(a, b, c).abs().max(),
    "that looks at all columns, not at those in `columns`.":
        lambda a, b, c: 100 * shares(a, b, list(a)).abs().mean(),
    "that compares the values; whether there *is* a value is asked.":
        lambda a, b, c: 100 * (a[c].mean() - b[c].mean()).abs().mean(),
}  # fmt: skip
judge = book.compare(solution, cases, mistakes)
hints = ["`table[columns].isna().mean()` is the share of missing values of each column.",
         "Two equal tables must give 0."]  # fmt: skip


# %% solution
def missing_gap(a, b, columns):
    """Mean over the columns of the absolute difference of two shares, in percent."""
    return 100 * (a[columns].isna().mean() - b[columns].isna().mean()).abs().mean()


# show
for name in ("fresh real patients", "our synthetic data"):
    print(f"{name:24}{missing_gap(real, candidates[name], continuous):6.2f} %")


# %% wrong:
def missing_gap(a, b, columns):
    return 0


# %% right: NumPy
def missing_gap(a, b, columns):
    one, other = (np.isnan(t[columns].to_numpy()).mean(axis=0) for t in (a, b))
    return 100 * np.abs(one - other).mean()


# %% right: a loop
def missing_gap(a, b, columns):
    total = 0.0
    for name in columns:
        total += abs(a[name].isnull().sum() / len(a) - b[name].isnull().sum() / len(b))
    return total / len(columns) * 100


# %% exercise: how far on the way? | extend | optional | 6 min
# A number means something between two references. Write `way(value, best, worst)`: 0 when the value is as bad as `worst`, 100 when it
# is as good as `best`, and `nan` when the two references are the same. Some metrics are better when larger, some when smaller: the
# references say which. Better than best is more than 100, and worth a look.
# %% check
def cases(rng):
    value, best, worst = rng.uniform(0, 1, (3, 5))
    made = [
        (0.55, 0.5, 0.9),
        (0.8, 0.85, 0.5),
        (0.4, 0.5, 0.9),
        (0.95, 0.5, 0.9),
        (0.3, 0.2, 0.2),
    ]
    return made + list(zip(value, best, worst, strict=True))


def ours(v, b, w, same=np.nan):
    return 100 * (v - w) / (b - w) if b != w else same


mistakes = {
    "that is a share; percent are asked for.": lambda v, b, w: ours(v, b, w) / 100,
    "turned: 0 is worst and 100 is best.": lambda v, b, w: ours(v, w, b),
    "more than 100 and less than 0 may be: do not cut them off.":
        lambda v, b, w: np.clip(ours(v, b, w), 0, 100),
    "the direction is lost: worse than worst is below 0.": lambda v, b, w: abs(ours(v, b, w)),
    "when both references are the same, nothing can be said: nan.":
        lambda v, b, w: ours(v, b, w, 0),
}  # fmt: skip
judge = book.compare(solution, cases, mistakes)
hints = [
    "From worst to value, divided by from worst to best.",
    "The signs work out by themselves.",
]


# %% solution
def way(value, best, worst):
    """Percent of the way from worst to best."""
    return 100 * (value - worst) / (best - worst) if best != worst else float("nan")


# show
three = ("our synthetic data", "fresh real patients", "independent columns")
for name in ("medical_concept_abundance", "classifier_two_sample_test"):
    values = [estimate(name, settings[candidate])[0] for candidate in three]
    print(f"{name.replace('_', ' ')}: ours is {way(*values):.0f} % of the way")


# %% wrong:
def way(value, best, worst):
    return 100 * value / best


# %% right: NumPy
def way(value, best, worst):
    return (
        np.interp(0, [0], [1]) * 100 * np.divide(value - worst, best - worst)
        if best - worst
        else np.nan
    )


# %% right: from the other end
def way(value, best, worst):
    if best == worst:
        return np.nan
    return 100 - 100 * (best - value) / (best - worst)
