# %% prelude
from dataclasses import fields, replace

import numpy as np

from ehrsynth import book
from ehrsynth.gan.recipe import PAPER

HURRIED = replace(PAPER, critic_rate=1e-3, generator_rate=5e-4, steps=60)


# %% exercise: what does a picture of the loss say? | recall | core | 3 min
# Four observations of a training. Which of them **alone** tells that the delivered patients look like real ones? Write `True` or `False`.
# (Whether they are copies is another question: [Chapter 9](09-privacy.ipynb).)
# %% check
says = {
    "the critic's loss is close to zero": "the critic may be too weak to see any difference.",
    "all prevalences are right": "a collapse, or calibration, can have right prevalences.",
    "the loss has fallen all the time": "it is one player's opinion of the other.",
    "a test on delivered patients, with patients nobody trained on, cannot tell them apart": "that "
    "looks at what you deliver, with a judge who has not seen it before.",
}
judge = book.choices(solution, says)
hints = ["Which of them looks at whole patients?", "One of the four."]
# %% solution
good = {
    "the critic's loss is close to zero": False,
    "all prevalences are right": False,
    "the loss has fallen all the time": False,
    "a test on delivered patients, with patients nobody trained on, cannot tell them apart": True,
}
# %% wrong: too weak
good = {
    "the critic's loss is close to zero": True,
    "all prevalences are right": False,
    "the loss has fallen all the time": False,
    "a test on delivered patients, with patients nobody trained on, cannot tell them apart": True,
}
# %% wrong: right prevalences
good = {
    "the critic's loss is close to zero": False,
    "all prevalences are right": True,
    "the loss has fallen all the time": False,
    "a test on delivered patients, with patients nobody trained on, cannot tell them apart": True,
}
# %% wrong: looks at what you deliver
good = {
    "the critic's loss is close to zero": False,
    "all prevalences are right": False,
    "the loss has fallen all the time": False,
    "a test on delivered patients, with patients nobody trained on, cannot tell them apart": False,
}
# %% right: as text
good = {
    "the critic's loss is close to zero": "no",
    "all prevalences are right": "no",
    "the loss has fallen all the time": "NO",
    "a test on delivered patients, with patients nobody trained on, cannot tell them apart": "yes",
}
# %% right: as numbers
good = {
    "the critic's loss is close to zero": 0,
    "all prevalences are right": 0,
    "the loss has fallen all the time": 0,
    "a test on delivered patients, with patients nobody trained on, cannot tell them apart": 1,
}


# %% exercise: the published rule | apply | core | 5 min
# Write the published rule. Given the (published) losses of all saved models, return the position of the smallest
# **positive** one.
# %% check
def cases(rng):
    made = [np.array([3.0, 0.0, 1.5, 2.0]), np.array([0.9, -0.1, 1.2])]
    for size in (8, 30):
        losses = rng.normal(0.5, 1, size).round(3)
        losses[int(rng.integers(1, size))] = 0.001  # not the first
        made.append(losses)
    return [(losses,) for losses in made]


mistakes = {
    "that is the smallest of all, and it is negative: only positive ones count.":
        lambda x: np.argmin(x),
    "that is the one nearest to zero, on either side.": lambda x: np.argmin(np.abs(x)),
    "that is the loss itself; its position is asked for.": lambda x: x[x > 0].min(),
    "that is the largest one.": lambda x: np.argmax(x),
    "that is its place among the positive ones, not among all.": lambda x: np.argmin(x[x > 0]),
    "that is the first positive one, not the smallest.": lambda x: np.flatnonzero(x > 0)[0],
    "positions are counted from 0.": lambda x: 1 + np.argmin(np.where(x > 0, x, np.inf)),
    "0 is not positive.": lambda x: np.argmin(np.where(x >= 0, x, np.inf)),
}  # fmt: skip
judge = book.compare(solution, cases, mistakes)
hints = ["`np.where` can put infinity where a loss is not positive.", "Then `np.argmin`."]


# %% solution
def smallest_positive(losses):
    """The position of the smallest value above zero."""
    return int(np.argmin(np.where(losses > 0, losses, np.inf)))


# %% wrong:
def smallest_positive(losses):
    return 3


# %% right: by hand
def smallest_positive(losses):
    best, place = float("inf"), 0
    for k, loss in enumerate(losses):
        if 0 < loss < best:
            best, place = loss, k
    return place


# %% right: sorted
def smallest_positive(losses):
    return np.array([k for k in np.argsort(losses, kind="stable") if losses[k] > 0])[:1]


# %% exercise: identical patients | apply | core | 8 min
# Prevalences alone do not see every collapse. Write `share_of_pairs(patients)`: the chance that two different rows of a
# 0/1 matrix, picked at random, are identical.
# %% check
def cases(rng):
    few = rng.integers(0, 2, (6, 12))
    return [
        (np.repeat([[0] * 20, [1] * 20], 50, axis=0),),
        (few[rng.integers(0, 6, 80)],),
        (rng.integers(0, 2, (60, 4)),),
        (np.eye(9, dtype=int),),
    ]


def counts(x):
    return np.unique(x, axis=0, return_counts=True)[1]


mistakes = {
    "a row was compared with itself, too: two *different* rows.":
        lambda x: (counts(x) ** 2).sum() / len(x) ** 2,
    "that is the share of distinct rows.": lambda x: len(counts(x)) / len(x),
    "that is the share of rows that have a twin.":
        lambda x: counts(x)[counts(x) > 1].sum() / len(x),
    "that is the number of pairs, not their share.":
        lambda x: (counts(x) * (counts(x) - 1)).sum() / 2,
    "each pair was counted once above and twice below the line.":
        lambda x: (counts(x) * (counts(x) - 1)).sum() / 2 / (len(x) * (len(x) - 1)),
    "that is the share of the most frequent row.": lambda x: counts(x).max() / len(x),
}  # fmt: skip
judge = book.compare(solution, cases, mistakes)
hints = ["`np.unique(patients, axis=0, return_counts=True)` counts the identical ones.",
         "c identical patients make c (c - 1) ordered pairs, of n (n - 1)."]  # fmt: skip


# %% solution
def share_of_pairs(patients):
    """Chance that two rows picked at random are identical."""
    _, counts = np.unique(patients, axis=0, return_counts=True)
    n = counts.sum()
    return (counts * (counts - 1)).sum() / (n * (n - 1))


# show
rng = np.random.default_rng(seed)
twins = np.repeat([[0] * 20, [1] * 20], 500, axis=0)
independent = rng.permuted(twins, axis=0)
print(f"same prevalences; independent: {share_of_pairs(independent):.3f}")
print(f"two records:                   {share_of_pairs(twins):.3f}")


# %% wrong:
def share_of_pairs(patients):
    return 499 / 999


# %% wrong:
def share_of_pairs(patients):
    return np.corrcoef(patients.T)[0, 1]


# %% right: all pairs
def share_of_pairs(patients):
    same = (patients[:, None] == patients[None]).all(axis=2)
    n = len(patients)
    return (same.sum() - n) / (n * n - n)


# %% right: with a dictionary
def share_of_pairs(patients):
    seen = {}
    for row in map(tuple, patients.tolist()):
        seen[row] = seen.get(row, 0) + 1
    return np.float32(
        sum(c * (c - 1) / 2 for c in seen.values()) / (len(patients) * (len(patients) - 1) / 2)
    )


# %% exercise: a weak critic | extend | optional | 6 min
# Weaken the critic: write a recipe that differs from `HURRIED` in a single switch, the critic's learning rate, which shall be one
# fiftieth. Then guess, before you open the solution, how many codes a patient has after 60 steps.
# %% check
def judge(answer, rng):
    other = {
        f.name for f in fields(HURRIED) if getattr(HURRIED, f.name) != getattr(answer, f.name)
    }
    if not other:
        return "nothing is different. A recipe cannot be changed: `replace` makes a new one."
    if other == {"generator_rate"}:
        return "that is the generator's learning rate."
    if other != {"critic_rate"}:
        return f"these differ: {', '.join(sorted(other))}. Only the critic's rate shall."
    times = HURRIED.critic_rate / answer.critic_rate
    return f"it is divided by {times:.3g}, not by 50." if abs(times - 50) > 0.01 else ""


hints = ["`replace(HURRIED, name_of_the_switch=value)` makes a recipe with one switch changed.",
         "The switch is called `critic_rate`."]  # fmt: skip
# %% solution
weak = replace(HURRIED, critic_rate=HURRIED.critic_rate / 50)
# show
_, weak_film = film(weak, "paper", steps=60)
book.say(
    f"After 60 steps a generated patient has **{weak_film['codes per patient'].iloc[-1]:.0f}** codes "
    f"(real: {truth.sum(axis=1).mean():.1f}; with the critic of `HURRIED` {hurried.set_index('step')['codes per patient'][60]:.0f}). The generator runs ahead of a critic that has hardly "
    "seen enough to know a patient, and it learns from random first opinions."
)
# %% wrong: nothing is different
weak = HURRIED
# %% wrong: generator's
weak = replace(HURRIED, generator_rate=HURRIED.generator_rate / 50)
# %% wrong: not by 50
weak = replace(HURRIED, critic_rate=HURRIED.critic_rate * 50)
# %% wrong: Only the critic's
weak = replace(PAPER, critic_rate=HURRIED.critic_rate / 50)
# %% wrong: stops with
weak = {"critic_rate": HURRIED.critic_rate / 50}
# %% right: times 0.02
weak = replace(HURRIED, critic_rate=0.02 * HURRIED.critic_rate)
# %% right: built anew
weak = type(HURRIED)(**{**vars(HURRIED), "critic_rate": HURRIED.critic_rate / 50})
