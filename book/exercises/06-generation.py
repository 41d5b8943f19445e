# %% prelude
import numpy as np
import pandas as pd

from ehrsynth import book
from ehrsynth.generation.decode import violations
from ehrsynth.rules import Above

# %% exercise: round or draw? | recall | core | 3 min
# Every one of 1,000 imagined patients has a code with probability 0.03. How many of the 1,000 records have it when you
# round at 0.5, and how many, on average, when you draw? And with probability 0.6?
# %% check
says = {
    "0.03, rounded": "0.03 is below one half, for every patient.",
    "0.03, drawn": "three of a hundred, on average.",
    "0.6, rounded": "0.6 is above one half, for every patient.",
    "0.6, drawn": "six of ten, on average.",
}


def judge(answer, rng):
    if not isinstance(answer, dict) or set(answer) != set(solution):
        return "please keep the dictionary's four keys as they are."
    said = {k: float(str(v).replace(",", "").strip()) for k, v in answer.items()}
    shares = [v for v in said.values() if 0 < v < 1]
    if shares:
        return f"{shares[0]} is a share; how many of the 1,000 is that?"
    bad = [k for k in solution if abs(said[k] - solution[k]) > 0.5]
    return f"{4 - len(bad)} of 4 are right. {bad[0]}: {says[bad[0]]}" if bad else ""


hints = ["Rounding asks one question: is it at least one half?",
         "A draw keeps the mean: 1,000 times the probability."]  # fmt: skip
# %% solution
records = {
    "0.03, rounded": 0,
    "0.03, drawn": 30,
    "0.6, rounded": 1000,
    "0.6, drawn": 600,
}
# %% wrong: below one half
records = {"0.03, rounded": 30, "0.03, drawn": 30, "0.6, rounded": 600, "0.6, drawn": 600}
# %% wrong: is a share
records = {"0.03, rounded": 0, "0.03, drawn": 0.03, "0.6, rounded": 1000, "0.6, drawn": 600}
# %% wrong: above one half
records = {"0.03, rounded": 0, "0.03, drawn": 30, "0.6, rounded": 600, "0.6, drawn": 600}
# %% wrong: keys
records = [0, 30, 1000, 600]
# %% wrong: ValueError
records = {"0.03, rounded": "none", "0.03, drawn": 30, "0.6, rounded": 1000, "0.6, drawn": 600}
# %% right: as text
records = {
    "0.03, rounded": "0",
    "0.03, drawn": "30 ",
    "0.6, rounded": "1,000",
    "0.6, drawn": "600",
}
# %% right: computed
records = {"0.03, rounded": 1000 * (0.03 >= 0.5), "0.03, drawn": 1000 * 0.03,
           "0.6, rounded": np.float64(1000), "0.6, drawn": 1000 * 0.6}  # fmt: skip


# %% exercise: what rejection costs | apply | core | 6 min
# How many patients must be generated, on average, until rejection has `n` patients of which a share `rate` has the outcome,
# if the generator makes a share `q`? Mind that the *other* class can also be the rare one.
# %% check
def cases(rng):
    rates = rng.uniform(0.05, 0.3, 4)
    return [(1000, 0.1, 0.01), (1000, 0.1, 0.99), (500, 0.3, 0.3),
            *((int(rng.integers(100, 9000)), r, r * f) for r, f in zip(rates, (0.3, 0.9, 2, 3), strict=True))]  # fmt: skip


mistakes = {
    "that looks at the class with the outcome only; the other can be the rare one.":
        lambda n, r, q: n * r / q,
    "that looks at the class without the outcome only.":
        lambda n, r, q: n * (1 - r) / (1 - q),
    "both classes come from the same patients: the scarcer one decides, they are not added.":
        lambda n, r, q: n * r / q + n * (1 - r) / (1 - q),
    "the class that is there first does not decide; the scarcer one does.":
        lambda n, r, q: min(n * r / q, n * (1 - r) / (1 - q)),
    "only the patients *with* the outcome are n times rate.":
        lambda n, r, q: n / q,
    "that is the product with the share; a rarer class needs *more*.":
        lambda n, r, q: max(n * r * q, n * (1 - r) * (1 - q)),
}  # fmt: skip
compared = book.compare(solution, cases, mistakes)


def judge(answer, rng):  # whole patients are right too
    more = [np.squeeze(answer(*case)) - solution(*case) for case in cases(rng)]
    return "" if all(-1e-6 < m < 1 for m in more) else compared(answer, rng)


hints = ["How many of each class are needed, and which share of those made are of it?",
         "n = 1000, rate = 0.1, q = 0.01: 100 are needed, one of a hundred is one: 10,000."]  # fmt: skip


# %% solution
def patients_to_make(n, rate, q):
    """How many patients to make, on average."""
    return max(n * rate / q, n * (1 - rate) / (1 - q))


# show
print(f"10 % wanted, 1 % made: {patients_to_make(1000, 0.1, 0.01):,.0f} patients for 1,000")


# %% wrong:
def patients_to_make(n, rate, q):
    return 10_000


# %% wrong:
def patients_to_make(n, rate, q):
    return n * rate / q if q < 0.1 else n * (1 - rate) / q


# %% right: by the scarcer class
def patients_to_make(n, rate, q):
    if q < rate:
        return n * rate / q
    return n * (1 - rate) / (1 - q)


# %% right: NumPy, rounded up
def patients_to_make(n, rate, q):
    return np.ceil(np.max([n * rate, n * (1 - rate)] / np.array([q, 1 - q]), keepdims=True))


# %% exercise: a rule of your own | apply | core | 4 min
# In the little ward below, nobody can be discharged before being admitted. Make `my_rules`, a list with one rule, such that
# `violations(ward, rules=my_rules)` finds the one broken stay of the three that are known:
#
#     ward = pd.DataFrame(
#         {"discharge_hour": [30.0, 8.0, 52.0, np.nan], "admit_hour": [4.0, 12.0, 50.0, 7.0]}
#     )
# %% check
def judge(answer, rng):
    rules = list(answer) if isinstance(answer, list | tuple) else [answer]
    if len(rules) != 1 or isinstance(rules[0], str):
        return (
            f"a list with one rule is asked for, not {'words' if rules else 'an empty list'}."
        )
    start = rng.integers(0, 40, 50).astype(float)
    hours = {"discharge_hour": start + rng.integers(-9, 30, 50), "admit_hour": start}
    found = violations(pd.DataFrame(hours), rules=rules)["count"].tolist()
    broken = int((hours["discharge_hour"] < start).sum())
    equal = int((hours["discharge_hour"] == start).sum())
    if found in ([broken], [broken + equal]):
        return ""
    if found == [int((hours["discharge_hour"] > start).sum())]:
        return "the rule is the wrong way round: it forbids the stays that are fine."
    return f"on another ward it finds {found} broken stays where there are {broken}."


hints = [
    "The kind is `Above(column, other)`.",
    "The first column must be larger than the other.",
]
# %% solution
my_rules = [Above("discharge_hour", "admit_hour")]
# show
ward = pd.DataFrame(
    {"discharge_hour": [30.0, 8.0, 52.0, np.nan], "admit_hour": [4.0, 12.0, 50.0, 7.0]}
)
print(violations(ward, rules=my_rules)["count"].to_string())
# %% wrong: empty list
my_rules = []
# %% wrong: wrong way round
my_rules = [Above("admit_hour", "discharge_hour")]
# %% wrong: words
my_rules = "discharge_hour > admit_hour"
# %% wrong: not yet
my_rules = [Above("discharge", "admit")]
# %% right: a tuple
my_rules = (Above("discharge_hour", "admit_hour"),)
# %% right: the rule itself
my_rules = Above(column="discharge_hour", other="admit_hour")


# %% exercise: spin the wheel | apply | core | 8 min
# Write `spin(p, rng)`: each row of `p` has the probabilities of a one-hot block (they add up to one). Return a table of zeros and
# ones of the same shape, in each row exactly one 1, drawn with these probabilities.
# %% check
def judge(answer, rng):
    p = rng.dirichlet([0.6, 1, 2, 0.2], 3000)
    made, again = (np.asarray(answer(p.copy(), np.random.default_rng(s))) for s in (1, 2))
    if made.shape != p.shape:
        return f"the shape is {made.shape} and should be that of p."
    if not np.isin(made, (0, 1)).all():
        return "zeros and ones are asked for."
    if not (made.sum(axis=1) == 1).all():
        return "some rows have no 1 or several. One coin for each column is not a wheel."
    if (made.argmax(axis=1) == p.argmax(axis=1)).all():
        return "the likeliest column always wins: that is rounding, and the rare ones vanish."
    if np.array_equal(made, again):
        return "two generators give the same draw: use the `rng`."
    # By column, and whether the rows' own probabilities were used: both within five errors.
    error = np.sqrt((p * (1 - p)).sum(axis=0))
    if (np.abs(made.sum(axis=0) - p.sum(axis=0)) > 5 * error).any():
        return f"the columns win {made.mean(axis=0).round(2)}, and should {p.mean(axis=0).round(2)}."
    own, expected = (made * p).sum(), (p**2).sum()
    far = abs(own - expected) > 5 * np.sqrt(3000) / 3
    return "each row has probabilities of its own." if far else ""


hints = ["`p.cumsum(axis=1)` cuts the way from 0 to 1 into pieces as long as the probabilities.",
         "One `rng.random()` per row falls into one piece: how many cuts lie below it?"]  # fmt: skip


# %% solution
def spin(p, rng):
    """One column of each row wins, each with its probability."""
    wheel = p.cumsum(axis=1)
    stop = rng.random((len(p), 1)) * wheel[:, -1:]
    return np.eye(p.shape[1], dtype=int)[(wheel <= stop).sum(axis=1)]


# %% wrong: likeliest
def spin(p, rng):
    return np.eye(p.shape[1])[p.argmax(axis=1)]


# %% wrong: One coin for each
def spin(p, rng):
    return (rng.random(p.shape) < p).astype(int)


# %% wrong: the columns win
def spin(p, rng):
    return np.eye(p.shape[1])[rng.integers(0, p.shape[1], len(p))]


# %% wrong: probabilities of its own
def spin(p, rng):
    return np.eye(p.shape[1])[rng.choice(p.shape[1], len(p), p=p.mean(axis=0))]


# %% wrong: the shape
def spin(p, rng):
    return (p.cumsum(axis=1) <= rng.random((len(p), 1))).sum(axis=1)


# %% wrong: use the `rng`
def spin(p, rng):
    rng = np.random.default_rng(0)
    return np.eye(p.shape[1])[(p.cumsum(axis=1) <= rng.random((len(p), 1))).sum(axis=1)]


# %% right: row by row
def spin(p, rng):
    made = np.zeros(p.shape, dtype=bool)
    for i, row in enumerate(p):
        made[i, rng.choice(len(row), p=row / row.sum())] = True
    return made


# %% right: multinomial
def spin(p, rng):
    return rng.multinomial(1, p / p.sum(axis=1, keepdims=True)).tolist()


# %% right: Gumbel, a table
def spin(p, rng):
    best = (np.log(p) + rng.gumbel(size=p.shape)).argmax(axis=1)
    return pd.DataFrame(np.eye(p.shape[1])[best])


# %% exercise: thresholds instead of draws | extend | optional | 9 min
# Rounding with a lower threshold? Choose, for each code, the threshold that a share `prevalence` of the patients exceeds. Then
# the prevalences are right without any draw. Write `thresholds(p, prevalence)`: one number for each column of `p`.
# The solution shows what is still wrong with such patients: guess first.
# %% check
def judge(answer, rng):
    p, want = rng.beta(0.4, 4, (2000, 6)), rng.uniform(0.02, 0.5, 6)
    cut = np.asarray(answer(p.copy(), want.copy()), dtype=float)
    if cut.shape != (6,):
        return (
            f"one threshold for each of 6 columns is asked for; this has the shape {cut.shape}."
        )
    got = (p > cut).mean(axis=0)
    if np.abs(got - want).max() < 0.002:
        return ""
    if np.abs(got - (1 - want)).max() < 0.002:
        return "turned: a share `prevalence` lies *below* these."
    if len(set(cut)) == 1:
        return "it is the same for all codes; each needs its own."
    if np.allclose(cut, want):
        return (
            "the prevalence itself is no threshold: a share of the *patients* must exceed it."
        )
    return f"a share of {got[0]:.3f} exceeds the first, and {want[0]:.3f} should."


hints = ["`np.quantile(values, share)` is what a share of the values lies below.",
         "A share `prevalence` above means 1 - `prevalence` below."]  # fmt: skip


# %% solution
def thresholds(p, prevalence):
    """For each column of p, the value that a share `prevalence` of the rows exceeds."""
    return np.array([np.quantile(p[:, k], 1 - share) for k, share in enumerate(prevalence)])


# show
strict = (p > thresholds(p, real)).sum(axis=1)
book.say(
    f"The number of codes per patient is {strict.mean():.1f} on average, as it should be, but its standard deviation is **{strict.std():.1f}** "
    f"(drawn {drawn_codes.sum(axis=1).std():.1f}, real {train[codes].sum(axis=1).std():.1f}). The patient with the highest probability always gets the "
    "code and the next one never: the open part of each record is gone, and diseases go together more strongly than they do."
)


# %% wrong: turned
def thresholds(p, prevalence):
    return np.array([np.quantile(p[:, k], share) for k, share in enumerate(prevalence)])


# %% wrong: same for all
def thresholds(p, prevalence):
    return np.full(len(prevalence), 0.5)


# %% wrong: itself
def thresholds(p, prevalence):
    return prevalence


# %% wrong: one threshold for each
def thresholds(p, prevalence):
    return np.quantile(p, 1 - prevalence.mean())


# %% wrong: exceeds the first
def thresholds(p, prevalence):
    return p.mean(axis=0)


# %% right: by sorting
def thresholds(p, prevalence):
    n = len(p)
    return [
        np.sort(column)[n - 1 - round(share * n)]
        for column, share in zip(p.T, prevalence, strict=True)
    ]


# %% right: pandas
def thresholds(p, prevalence):
    table = pd.DataFrame(p)
    return pd.Series({k: table[k].quantile(1 - prevalence[k]) for k in table})
