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


# %% exercise: who is judged most wrongly? | apply | core | 6 min
# A model learned from synthetic patients gives each real patient a risk. Write `most_misjudged(risk, died, group)`: the group in
# which the mean risk is farthest from the share that died, in whichever direction. All three are NumPy arrays, a place for
# each patient; `died` has 0 and 1.
# %% check
def cases(rng):
    made = []
    for off in ([12, -30, 5, 0], [-12, 0, 30, 5], [10, 3, -35, 0], [-10, 35, 0, -4]):
        kind = rng.permutation(np.repeat(np.arange(4), [240, 80, 48, 32]))
        died = rng.permutation(np.arange(400) % 2)
        means = np.array([died[kind == k].mean() for k in range(4)])
        made.append(((means + np.array(off) / 100)[kind], died, np.array(list("ABCD"))[kind]))
    return made


def by(risk, died, group, of=lambda r, d: abs(r.mean() - d.mean()), best=max):
    return best(sorted(set(group)), key=lambda g: of(risk[group == g], died[group == g]))


mistakes = {
    "only risks that are too high count here: take the absolute value of the difference.":
        lambda r, d, g: by(r, d, g, lambda r, d: r.mean() - d.mean()),
    "only risks that are too low count here: take the absolute value of the difference.":
        lambda r, d, g: by(r, d, g, lambda r, d: d.mean() - r.mean()),
    "that is the group that is judged best.": lambda r, d, g: by(r, d, g, best=min),
    "that adds up patients, so the largest group wins. Means are asked for.":
        lambda r, d, g: by(r, d, g, lambda r, d: abs(r.sum() - d.sum())),
    "the distance of each patient's risk from 0 or 1 is large for everybody. Compare the two means.":
        lambda r, d, g: by(r, d, g, lambda r, d: np.abs(r - d).mean()),
}  # fmt: skip
judge = book.compare(solution, cases, mistakes)
hints = ["`risk[group == name].mean()` is the mean risk of one group.",
         "`max(names, key=function)` gives the name for which the function is largest."]  # fmt: skip


# %% solution
def most_misjudged(risk, died, group):
    """The group in which the mean risk is farthest from the share that died."""
    names = np.unique(group)
    errors = [abs(risk[group == name].mean() - died[group == name].mean()) for name in names]
    return names[np.argmax(errors)]


# show
for kind in kinds:
    group, risk = holdout[kind].astype(str).to_numpy(), 1 / (1 + np.exp(-risks(ours)))
    worst = most_misjudged(risk, test.outcome, group)
    members = group == worst
    mean, share = risk[members].mean(), test.outcome[members].mean()
    print(f"{kind} = {worst}, {members.sum()} patients: risk {mean:.1%}, outcome {share:.1%}")
# %% discussion
# The worst of many groups is bad by luck, too. Before you call it unfair, look at how many patients it has, and at the section on
# fairness.


# %% wrong:
def most_misjudged(risk, died, group):
    return group[0]


# %% wrong:
def most_misjudged(risk, died, group):
    return np.abs(risk - died).max()


# %% right: pandas
def most_misjudged(risk, died, group):
    t = pd.DataFrame({"risk": risk, "died": died}).groupby(group).mean()
    return (t["risk"] - t["died"]).abs().idxmax()


# %% right: a loop
def most_misjudged(risk, died, group):
    best, largest = None, -1
    for name in set(group):
        at = [k for k in range(len(group)) if group[k] == name]
        gap = abs(sum(risk[k] for k in at) / len(at) - sum(died[k] for k in at) / len(at))
        if gap > largest:
            best, largest = name, gap
    return best


# %% exercise: an interval that may be believed | extend | optional | 7 min
# Several synthetic tables of the same patients were released. From each somebody has an estimate and the variance that the table
# claims for it. Write `interval(estimates, variances, rows, patients)`: the ends of the 95 % interval (1.96 standard errors) of the
# mean estimate, widened as in *May one believe an interval?* `rows` are those of one table, `patients` those behind all of them.
# %% check
def cases(rng):
    return [
        (rng.normal(0.7, 0.1, m), rng.uniform(0.01, 0.03, m), rows, 1_500)
        for m, rows in ((1, 1_500), (1, 6_000), (5, 3_000), (3, 1_000))
    ]


def ends(e, v, factor, z=1.96):
    error = z * np.sqrt(np.mean(v) * factor)
    return np.mean(e) - error, np.mean(e) + error


mistakes = {
    "that is the usual interval, rows taken for patients.": lambda e, v, k, n: ends(e, v, 1),
    "that divides by the number of tables only: more tables would know more than the patients do.":
        lambda e, v, k, n: ends(e, v, 1 / len(e)),
    "upside down: more rows for each patient make the interval *wider*.":
        lambda e, v, k, n: ends(e, v, n / k + 1 / len(e)),
    "drawing the rows adds to it as well: the part with the number of tables is missing.":
        lambda e, v, k, n: ends(e, v, k / n),
    "of several tables, the part that drawing adds is divided by their number.":
        lambda e, v, k, n: ends(e, v, k / n + 1),
    "that is one standard error; 1.96 are asked for.":
        lambda e, v, k, n: ends(e, v, k / n + 1 / len(e), 1),
}  # fmt: skip
judge = book.compare(solution, cases, mistakes)
hints = ["The variance of the mean is `mean(variances) * (rows / patients + 1 / tables)`.",
         "The error is its square root."]  # fmt: skip


# %% solution
def interval(estimates, variances, rows, patients):
    """Ends of the 95 % interval of the mean estimate of several synthetic tables."""
    widened = np.mean(variances) * (rows / patients + 1 / len(estimates))
    error = 1.96 * np.sqrt(widened)
    return np.mean(estimates) - error, np.mean(estimates) + error


# show
for rows in (1_500, 30_000):
    low, high = interval([0.7], [0.02 * 1_500 / rows], rows, 1_500)
    print(f"{rows:6,} rows of 1,500 patients: {low:.2f} to {high:.2f}")


# %% wrong: a case that you have not seen
def interval(estimates, variances, rows, patients):
    error = 1.96 * np.mean(variances) * (rows / patients + 1 / len(estimates))
    return np.mean(estimates) - error, np.mean(estimates) + error


# %% wrong:
def interval(estimates, variances, rows, patients):
    return np.mean(estimates)


# %% right: a list
def interval(estimates, variances, rows, patients):
    m = len(estimates)
    v = sum(variances) / m
    half = 1.96 * (v * rows / patients + v / m) ** 0.5
    return [sum(estimates) / m - half, sum(estimates) / m + half]


# %% right: an array
def interval(estimates, variances, rows, patients):
    error = np.sqrt(np.mean(variances) * (rows / patients + 1 / np.size(estimates)))
    return np.mean(estimates) + 1.96 * error * np.array([-1, 1])
