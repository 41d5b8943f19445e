# %% prelude
import numpy as np
import pandas as pd

from ehrsynth import book

# %% exercise: which metric for which question? | recall | core | 4 min
# A partner asks. Which metric answers: `prevalence`, `C2ST`, `TSTR`, `calibration` or `odds ratio`?
# %% check
says = {
    "Is each disease as common as in the hospital?": "that is one column at a time.",
    "Can anybody tell these patients from real ones?": "a classifier tries to: C2ST.",
    "Does a model learned from them rank real patients well?": "train on synthetic, test on real.",
    "Of patients whom it gives 20 %, do 20 % have the outcome?": "right *risks* are calibration.",
    "Is the effect of smoking on death the right one?": "an effect is an odds ratio here.",
}
judge = book.choices(solution, says, {
    "prevalences": "prevalence", "dimension-wise distribution": "prevalence",
    "odds ratios": "odds ratio", "effect": "odds ratio", "classifier two-sample test": "c2st",
    "calibration of risks": "calibration", "train on synthetic, test on real": "tstr",
})  # fmt: skip
hints = ["Each of the five answers one question.", "An *order* of patients is not a *risk*."]
# %% solution
metrics = {
    "Is each disease as common as in the hospital?": "prevalence",
    "Can anybody tell these patients from real ones?": "C2ST",
    "Does a model learned from them rank real patients well?": "TSTR",
    "Of patients whom it gives 20 %, do 20 % have the outcome?": "calibration",
    "Is the effect of smoking on death the right one?": "odds ratio",
}
# %% wrong: right *risks*
metrics = {
    "Is each disease as common as in the hospital?": "prevalence",
    "Can anybody tell these patients from real ones?": "C2ST",
    "Does a model learned from them rank real patients well?": "TSTR",
    "Of patients whom it gives 20 %, do 20 % have the outcome?": "TSTR",
    "Is the effect of smoking on death the right one?": "odds ratio",
}
# %% wrong: 3 of 5
metrics = {
    "Is each disease as common as in the hospital?": "prevalence",
    "Can anybody tell these patients from real ones?": "TSTR",
    "Does a model learned from them rank real patients well?": "C2ST",
    "Of patients whom it gives 20 %, do 20 % have the outcome?": "calibration",
    "Is the effect of smoking on death the right one?": "odds ratio",
}
# %% wrong: keys
metrics = ["prevalence", "C2ST", "TSTR", "calibration", "odds ratio"]
# %% right: small letters
metrics = {
    "Is each disease as common as in the hospital?": "prevalence ",
    "Can anybody tell these patients from real ones?": "c2st",
    "Does a model learned from them rank real patients well?": "tstr",
    "Of patients whom it gives 20 %, do 20 % have the outcome?": "Calibration",
    "Is the effect of smoking on death the right one?": "ODDS RATIO",
}
# %% right: other words
metrics = {
    "Is each disease as common as in the hospital?": "prevalences",
    "Can anybody tell these patients from real ones?": "classifier two-sample test",
    "Does a model learned from them rank real patients well?": "TSTR",
    "Of patients whom it gives 20 %, do 20 % have the outcome?": "calibration of risks",
    "Is the effect of smoking on death the right one?": "odds ratios",
}


# %% exercise: a flipped label | apply | core | 4 min
# A *flipped* label is a different accident from a shuffled one: whoever died is recorded as alive and the other way round.
# Write the function that makes such a table, without changing the table that it is given. Before you open the solution: what
# will TSTR be?
# %% check
def judge(answer, rng):
    table = pd.DataFrame({"age": rng.normal(60, 9, 40), "died": rng.integers(0, 2, 40)})
    table["died"] = table["died"].astype("uint8")
    given = table.copy()
    made = answer(given, "died")
    if not isinstance(made, pd.DataFrame) or "died" not in made:
        return "a table with all its columns is asked for."
    if not given.equals(table):
        return "the table that was given has changed. Work on a copy."
    now = made["died"].to_numpy(dtype=float)
    if sorted(now) == sorted(table["died"]) and not (now == 1 - table["died"]).all():
        return "that is shuffled or unchanged; 0 must become 1, and 1 become 0."
    if not (now == 1 - table["died"].to_numpy(dtype=float)).all():
        return "0 must become 1, and 1 become 0, and nothing else."
    return "" if np.allclose(made["age"], table["age"]) else "another column has changed."


hints = ["`1 - x` exchanges 0 and 1.", "`table.assign(**{name: values})` returns a copy."]


# %% solution
def flipped(table, outcome):
    """A copy of the table in which 0 and 1 of the outcome are exchanged."""
    return table.assign(**{outcome: 1 - table[outcome]})


# show
mirror = tstr(flipped(fresh, outcome))
print(f"TSTR of fresh patients {tstr(fresh):.2f}, with the label flipped {mirror:.2f}")
# %% discussion
# The model learned everything and says the opposite. Shuffled: 0.5, nothing to learn. Flipped: a mirror image.


# %% wrong: has changed
def flipped(table, outcome):
    table[outcome] = 1 - table[outcome]
    return table


# %% wrong: shuffled
def flipped(table, outcome):
    return table.assign(**{outcome: table[outcome].sample(frac=1, random_state=0).to_numpy()})


# %% wrong: and nothing else
def flipped(table, outcome):
    return table.assign(**{outcome: -table[outcome].astype(int)})


# %% wrong: a table with all
def flipped(table, outcome):
    return 1 - table[outcome]


# %% right: replace
def flipped(table, outcome):
    made = table.copy()
    made[outcome] = made[outcome].map({0: 1, 1: 0})
    return made


# %% right: yes/no
def flipped(table, outcome):
    made = table.copy()
    made[outcome] = ~made[outcome].astype(bool)
    return made


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
m = run.report["tstr_auroc"]
print(f"TSTR of our run: {way(m.value, m.best, m.worst):.0f} % of the way")


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
