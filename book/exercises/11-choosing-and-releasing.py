# %% prelude
import numpy as np
import pandas as pd

from ehrsynth import book

# %% exercise: what may leave? | recall | core | 3 min
# A data set was chosen. Which of these may leave the house with it? Write `True` or `False`.
# %% check
says = {
    "the synthetic table": "that is what was chosen and tested.",
    "its card": "it says what the data is good for and what not.",
    "the report": "it says what was tested, and numbers of fewer than five patients are not in it.",
    "the trained model": "it holds more about the patients than any one table.",
    "the holdout, so that others can check": "these are real patients.",
}
judge = book.choices(solution, says)
hints = ["Which of them are real patients, or hold what they have taught?", "Three may leave."]
# %% solution
leaves = {
    "the synthetic table": True,
    "its card": True,
    "the report": True,
    "the trained model": False,
    "the holdout, so that others can check": False,
}
# %% wrong: more about the patients
leaves = {
    "the synthetic table": True,
    "its card": True,
    "the report": True,
    "the trained model": True,
    "the holdout, so that others can check": False,
}
# %% wrong: real patients
leaves = {
    "the synthetic table": True,
    "its card": True,
    "the report": True,
    "the trained model": False,
    "the holdout, so that others can check": True,
}
# %% wrong: what was tested
leaves = {
    "the synthetic table": True,
    "its card": True,
    "the report": False,
    "the trained model": False,
    "the holdout, so that others can check": False,
}
# %% right: in words
leaves = {
    "the synthetic table": "yes",
    "its card": "yes",
    "the report": "YES",
    "the trained model": "no",
    "the holdout, so that others can check": "no",
}
# %% right: numbers
leaves = {
    "the synthetic table": 1,
    "its card": 1,
    "the report": 1,
    "the trained model": 0,
    "the holdout, so that others can check": 0,
}


# %% exercise: the weighted mean rank | apply | core | 6 min
# Write `mean_rank(values, weights)`. `values` is a table with a row for each candidate and a column for each metric, and *lower is
# better* in each; `weights` is a dictionary. Return the weighted mean rank of each candidate. Candidates that tie share the mean of
# their ranks.
# %% check
def cases(rng):
    tied = pd.DataFrame({"m1": [0.1, 0.1, 0.3], "m2": [5.0, 4.0, 3.0]}, index=["A", "B", "C"])
    drawn = pd.DataFrame(rng.normal(size=(5, 3)).round(1), columns=["m1", "m2", "m3"])
    return [(tied, {"m1": 0.5, "m2": 0.5}), (drawn, {"m3": 3.0, "m1": 1.0, "m2": 2.0})]


def by(values, weights, how="average", up=True, share=True):
    w = pd.Series(weights)
    ranks = values.rank(method=how, ascending=up)
    return (ranks * (w / w.sum() if share else w)).sum(axis=1)


mistakes = {
    "lower is better: the smallest value gets rank 1.": lambda v, w: by(v, w, up=False),
    "ties go to the lower rank here: that is the published way. Share them.":
        lambda v, w: by(v, w, "min"),
    "ties go to the higher rank here. Share them.": lambda v, w: by(v, w, "max"),
    "ties go by the order of the rows. Share them.": lambda v, w: by(v, w, "first"),
    "the weights are not used.": lambda v, w: v.rank().mean(axis=1),
    "weights need not add up to one: divide by their sum.": lambda v, w: by(v, w, share=False),
    "the weights go with the names of the columns, not with their order.":
        lambda v, w: (v.rank() * np.array(list(w.values())) / sum(w.values())).sum(axis=1),
    "these are weighted values; ranks are asked for.":
        lambda v, w: (v * pd.Series(w) / sum(w.values())).sum(axis=1),
}  # fmt: skip
judge = book.compare(solution, cases, mistakes)
hints = ["`DataFrame.rank` shares ties by itself.", "Multiply by the weights, add up each row."]


# %% solution
def mean_rank(values, weights):
    """Weighted mean rank of each candidate."""
    weights = pd.Series(weights)
    return (values.rank() * weights / weights.sum()).sum(axis=1)


# %% wrong:
def mean_rank(values, weights):
    return [2.25, 1.75, 2.0]


# %% right: a dictionary, by hand
def mean_rank(values, weights):
    total, found = sum(weights.values()), {}
    for name, row in values.iterrows():
        found[name] = 0.0
        for metric, weight in weights.items():
            below = (values[metric] < row[metric]).sum()
            tied = (values[metric] == row[metric]).sum()
            found[name] += weight / total * (below + (tied + 1) / 2)
    return found


# %% right: NumPy
def mean_rank(values, weights):
    w = np.array([weights[name] for name in values])
    return values.rank().to_numpy() @ w / w.sum()


# %% exercise: privacy is a door | apply | core | 5 min
# A privacy officer sets a rule: *no candidate that is less than halfway from worst to best in membership inference may be released.*
# Write `allowed(shares)`, where `shares` has for each candidate's name the way from worst (0) to best (1), or `None` where nobody has
# measured it. Return the names of those that pass. Who was not measured does not pass.
# %% check
def judge(answer, rng):
    names = [f"candidate {k}" for k in range(9)]
    values = [*rng.uniform(0, 0.49, 3), *rng.uniform(0.51, 1.3, 3), 0.5, None, -0.2]
    given = dict(zip(names, values, strict=True))
    got = answer(dict(given))
    if isinstance(got, dict):
        got = [
            name for name, passes in got.items() if passes is not False and passes is not None
        ]
    got = set(got)
    wanted = set(solution(given))
    if got == wanted:
        return ""
    if not got <= set(names):
        return "names are asked for."
    if got - wanted == {"candidate 7"}:
        return "who was not measured has passed. Unknown is not good."
    if wanted - got == {"candidate 6"} and not got - wanted:
        return "exactly halfway is not *less than* halfway: it passes."
    if not got & wanted:
        return "turned: 0 is the worst, 1 the best."
    return f"{len(got - wanted)} pass that should not, {len(wanted - got)} do not pass that should."


hints = ["A comparison with `None` is an error: ask first.", "`share >= 0.5`"]


# %% solution
def allowed(shares):
    """Names of the candidates that pass."""
    return [name for name, share in shares.items() if share is not None and share >= 0.5]


# show
way = {name: report["membership_inference"].share for name, report in reports.items()}
print("pass this one rule, which alone releases nothing:", ", ".join(allowed(way)))


# %% wrong: TypeError
def allowed(shares):
    return [name for name, share in shares.items() if share >= 0.5]


# %% wrong: Unknown is not good
def allowed(shares):
    return [name for name, share in shares.items() if share is None or share >= 0.5]


# %% wrong: halfway
def allowed(shares):
    return [name for name, share in shares.items() if share is not None and share > 0.5]


# %% wrong: turned
def allowed(shares):
    return [name for name, share in shares.items() if share is not None and share < 0.5]


# %% wrong: pass that should not
def allowed(shares):
    return list(shares)


# %% wrong: names
def allowed(shares):
    return [share for share in shares.values() if share is not None and share >= 0.5]


# %% right: pandas
def allowed(shares):
    found = pd.Series(shares, dtype=float)
    return found[found >= 0.5].index


# %% right: a dictionary of verdicts
def allowed(shares):
    return {name: bool(share is not None and not share < 0.5) for name, share in shares.items()}


# %% exercise: how sure is the first place? | extend | optional | 6 min
# Write `first_place(scores)`: `scores` has a row for each repetition and a column for each candidate, *higher is better*. Return the
# share of repetitions in which each candidate comes first. Where several tie for the first place they share it.
# %% check
def cases(rng):
    a = pd.DataFrame(rng.normal([0, 0.3, -0.2], 0.5, (40, 3)).round(1), columns=["A", "B", "C"])
    b = pd.DataFrame([[1, 1, 0], [0, 1, 0], [2, 1, 2], [3, 3, 3]], columns=["A", "B", "C"])
    return [(a,), (b,)]


mistakes = {
    "ties for the first place are to be shared; here the first column takes them.":
        lambda s: (s.rank(axis=1, ascending=False, method="first") == 1).mean(),
    "who ties for the first place gets all of it here: the shares add up to more than 1.":
        lambda s: s.eq(s.max(axis=1), axis=0).mean(),
    "who ties for the first place gets nothing here.":
        lambda s: (s.rank(axis=1, ascending=False) == 1).mean(),
    "higher is better.":
        lambda s: (e := s.eq(s.min(axis=1), axis=0)).div(e.sum(axis=1), axis=0).mean(),
    "these are numbers of repetitions, not shares.":
        lambda s: (e := s.eq(s.max(axis=1), axis=0)).div(e.sum(axis=1), axis=0).sum(),
    "that is the mean rank.": lambda s: s.rank(axis=1, ascending=False).mean(),
}  # fmt: skip
judge = book.compare(solution, cases, mistakes)
hints = ["`scores.eq(scores.max(axis=1), axis=0)` says who is at the top of each row.",
         "Divide each row by how many are."]  # fmt: skip


# %% solution
def first_place(scores):
    """Share of repetitions in which each candidate comes first."""
    top = scores.eq(scores.max(axis=1), axis=0)
    return top.div(top.sum(axis=1), axis=0).mean()


# %% wrong:
def first_place(scores):
    return scores.mean()


# %% right: NumPy
def first_place(scores):
    x = scores.to_numpy()
    top = x == x.max(axis=1, keepdims=True)
    return (top / top.sum(axis=1, keepdims=True)).mean(axis=0)


# %% right: by hand
def first_place(scores):
    won = dict.fromkeys(scores, 0.0)
    for _, row in scores.iterrows():
        best = [name for name in scores if row[name] == row.max()]
        for name in best:
            won[name] += 1 / len(best) / len(scores)
    return won
