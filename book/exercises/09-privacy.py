# %% prelude
import numpy as np
import pandas as pd

from ehrsynth import book

# %% exercise: which sentence speaks of risk? | recall | core | 4 min
# Which of these sentences from reports tells that patients are **exposed**? Write `True` or `False`.
# %% check
says = {
    "F1 of membership inference is 0.29": "at a fixed distance F1 has no zero. What is it without a leak?",
    "40 % of the diagnoses of used patients are guessed, 40 % of strangers'": "as much is learned "
    "about people who were never in the data.",
    "used patients are nearer than held-out ones, AUROC 0.60 (0.57 to 0.63)": "there is a control "
    "group, and the interval lies above one half.",
    "the median distance to the closest record is small": "healthy patients are near to everybody.",
    "AUROC 0.51 (0.44 to 0.58)": "the interval holds 0.5: nothing was found. Nor was it shown that nothing is there.",
}
judge = book.choices(solution, says)
hints = ["Where is the control group?", "Where does the interval lie? One of the five."]
# %% solution
exposes = {
    "F1 of membership inference is 0.29": False,
    "40 % of the diagnoses of used patients are guessed, 40 % of strangers'": False,
    "used patients are nearer than held-out ones, AUROC 0.60 (0.57 to 0.63)": True,
    "the median distance to the closest record is small": False,
    "AUROC 0.51 (0.44 to 0.58)": False,
}
# %% wrong: has no zero
exposes = {
    "F1 of membership inference is 0.29": True,
    "40 % of the diagnoses of used patients are guessed, 40 % of strangers'": False,
    "used patients are nearer than held-out ones, AUROC 0.60 (0.57 to 0.63)": True,
    "the median distance to the closest record is small": False,
    "AUROC 0.51 (0.44 to 0.58)": False,
}
# %% wrong: never in the data
exposes = {
    "F1 of membership inference is 0.29": False,
    "40 % of the diagnoses of used patients are guessed, 40 % of strangers'": True,
    "used patients are nearer than held-out ones, AUROC 0.60 (0.57 to 0.63)": True,
    "the median distance to the closest record is small": True,
    "AUROC 0.51 (0.44 to 0.58)": False,
}
# %% wrong: above one half
exposes = {
    "F1 of membership inference is 0.29": False,
    "40 % of the diagnoses of used patients are guessed, 40 % of strangers'": False,
    "used patients are nearer than held-out ones, AUROC 0.60 (0.57 to 0.63)": False,
    "the median distance to the closest record is small": False,
    "AUROC 0.51 (0.44 to 0.58)": False,
}
# %% right: in words
exposes = {
    "F1 of membership inference is 0.29": "no",
    "40 % of the diagnoses of used patients are guessed, 40 % of strangers'": "no",
    "used patients are nearer than held-out ones, AUROC 0.60 (0.57 to 0.63)": "Yes",
    "the median distance to the closest record is small": "no",
    "AUROC 0.51 (0.44 to 0.58)": "no",
}
# %% right: NumPy
exposes = {
    "F1 of membership inference is 0.29": np.False_,
    "40 % of the diagnoses of used patients are guessed, 40 % of strangers'": np.False_,
    "used patients are nearer than held-out ones, AUROC 0.60 (0.57 to 0.63)": np.True_,
    "the median distance to the closest record is small": np.False_,
    "AUROC 0.51 (0.44 to 0.58)": np.False_,
}


# %% exercise: the score without a leak | apply | core | 5 min
# Nothing leaks, so used patients and strangers have the same chance `p` to be accused. Of all patients that are attacked, a share
# `used` was used. Write `f1_without_leak(p, used)`: the F1 of the accusations.
# %% check
def cases(rng):
    p, used = rng.uniform(0.05, 0.95, (2, 6))
    return [(0.3, 0.7), (1.0, 0.5), *zip(p, used, strict=True)]


def f1(hits, wrong, missed, half=0.5):
    return hits / (hits + half * (wrong + missed))


mistakes = {
    "that holds for 70 % used patients only: use the second argument.":
        lambda p, u: 1.4 * p / (p + 0.7),
    "turned: `used` is the share of those who were in the data.":
        lambda p, u: f1((1 - u) * p, u * p, (1 - u) * (1 - p)),
    "the used patients who are not accused are missed: they count too.":
        lambda p, u: f1(u * p, (1 - u) * p, 0),
    "strangers are accused by mistake: they count too.": lambda p, u: f1(u * p, 0, u * (1 - p)),
    "the mistakes count half: mind the one half in the formula.":
        lambda p, u: f1(u * p, (1 - u) * p, u * (1 - p), 1),
    "that is the share of the used patients who are found.": lambda p, u: p,
    "that is the share of the accused who were used.": lambda p, u: u,
}  # fmt: skip
judge = book.compare(solution, cases, mistakes)
hints = ["Hits: `used * p`. Strangers accused: `(1 - used) * p`. Missed: `used * (1 - p)`.",
         "With 0.7 it must give `1.4 * p / (p + 0.7)`."]  # fmt: skip


# %% solution
def f1_without_leak(p, used):
    """F1 of accusations that hit used patients and strangers with the same chance."""
    return 2 * used * p / (p + used)


# show
for used in (0.1, 0.5, 0.9):
    print(f"{used:.0%} were used, and everybody is accused: F1 {f1_without_leak(1, used):.2f}")
# %% discussion
# Without any leak F1 can be 0.18 or 0.95. It says more about who was attacked than about the release.


# %% wrong:
def f1_without_leak(p, used):
    return 0.0


# %% right: in words
def f1_without_leak(p, used):
    hits, wrong, missed = used * p, (1 - used) * p, used * (1 - p)
    return hits / (hits + (wrong + missed) / 2)


# %% right: precision and recall
def f1_without_leak(p, used):
    precision, recall = used, p
    return 2 / (1 / precision + 1 / recall)


# %% exercise: excess risk | apply | core | 4 min
# Write the excess risk of attribute inference: how much of what could still be learned about used patients is learned, beyond
# what is guessed of strangers. Take care of strangers who are guessed perfectly: then nothing is left to learn, and the
# excess is 0.
# %% check
def cases(rng):
    return [
        (0.5, 0.5),
        (0.9, 0.5),
        (0.2, 0.4),
        (1.0, 1.0),
        (1.0, 0.0),
        *map(tuple, rng.random((4, 2))),
    ]


mistakes = {
    "that is the difference; what is *left to learn* goes below the line.":
        lambda used, strangers: used - strangers,
    "that divides by the strangers' risk, not by what is left to learn.":
        lambda used, strangers: (used - strangers) / strangers if strangers else 1.0,
    "less than strangers gives a negative number: do not cut it off, it tells of noise.":
        lambda used, strangers: max(0.0, (used - strangers) / (1 - strangers)) if strangers < 1 else 0.0,
    "the two are exchanged.":
        lambda used, strangers: (strangers - used) / (1 - used) if used < 1 else 0.0,
    "what is left to learn is of the strangers' risk.":
        lambda used, strangers: (used - strangers) / (1 - used) if used < 1 else 0.0,
    "when strangers are guessed perfectly the excess is 0.":
        lambda used, strangers: (used - strangers) / (1 - strangers) if strangers < 1 else 1.0,
}  # fmt: skip
judge = book.compare(solution, cases, mistakes)
hints = ["0.9 and 0.5: of the half that is left, four fifths are learned, 0.8.",
         "(used - strangers) / (1 - strangers)"]  # fmt: skip


# %% solution
def excess(risk_used, risk_strangers):
    """Share of what is left to learn that is learned of used patients."""
    if risk_strangers == 1:
        return 0.0
    return (risk_used - risk_strangers) / (1 - risk_strangers)


# show
for name, row in risk.iterrows():
    print(f"{name:32}{excess(row['used'], row['strangers']):7.2f}")


# %% wrong: stops with ZeroDivisionError
def excess(risk_used, risk_strangers):
    return (risk_used - risk_strangers) / (1 - risk_strangers)


# %% right: in one line
def excess(risk_used, risk_strangers):
    return 0 if risk_strangers >= 1 else 1 - (1 - risk_used) / (1 - risk_strangers)


# %% right: NumPy
def excess(risk_used, risk_strangers):
    left = np.float64(1 - risk_strangers)
    return np.divide(risk_used - risk_strangers, left, out=np.zeros(1), where=left > 0)


# %% exercise: the surest accusations | extend | optional | 8 min
# An average hides the few. Write `caught(used, strangers, rate)`: an attacker has a score for each person, large for "used". He accuses
# those above the limit that a share `rate` of the **strangers** exceeds. Which share of the used patients does he catch?
# %% check
def cases(rng):
    used, strangers = rng.normal(0.3, 1, 300), rng.normal(0, 1, 400)
    used[:20] += 4
    return [(used, strangers, rate) for rate in (0.01, 0.05, 0.1)]


q = np.quantile
mistakes = {
    "the limit was taken from the used patients; the strangers say how often he is wrong.":
        lambda used, strangers, rate: (strangers > q(used, 1 - rate)).mean(),
    "he accuses those *above* the limit.":
        lambda used, strangers, rate: (used < q(strangers, rate)).mean(),
    "at this limit nearly every stranger is accused: 1 - rate.":
        lambda used, strangers, rate: (used > q(strangers, rate)).mean(),
    "that is the number of those caught, not their share.":
        lambda used, strangers, rate: (used > q(strangers, 1 - rate)).sum(),
    "that is the share of strangers who are accused: the rate itself.":
        lambda used, strangers, rate: (strangers > q(strangers, 1 - rate)).mean(),
    "that is the share of those accused who were used; the share of the *used* is asked for.":
        lambda used, strangers, rate: (used > q(strangers, 1 - rate)).sum()
        / ((used > q(strangers, 1 - rate)).sum() + (strangers > q(strangers, 1 - rate)).sum()),
}  # fmt: skip
compared = book.compare(solution, cases, mistakes)


def judge(answer, rng):  # a limit between two strangers may lie anywhere between them
    near = [abs(answer(*case) - solution(*case)) < 0.012 for case in cases(rng)]
    return "" if all(near) else compared(answer, rng)


hints = ["`np.quantile(strangers, 1 - rate)` is exceeded by a share `rate` of them.",
         "The mean of a mask is a share."]  # fmt: skip


# %% solution
def caught(used, strangers, rate):
    """Share of the used patients above the limit that a share `rate` of strangers exceeds."""
    return (used > np.quantile(strangers, 1 - rate)).mean()


# %% wrong:
def caught(used, strangers, rate):
    return (used[:, None] > strangers).mean()


# %% wrong:
def caught(used, strangers, rate):
    return rate


# %% right: by sorting
def caught(used, strangers, rate):
    limit = np.sort(strangers)[len(strangers) - 1 - int(rate * len(strangers))]
    return (used > limit).mean()


# %% right: the exact quantile, as a list's share
def caught(used, strangers, rate):
    limit = pd.Series(strangers).quantile(1 - rate)
    return sum(float(x) > limit for x in used) / len(used)
