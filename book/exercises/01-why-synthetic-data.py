# %% prelude
import numpy as np
import pandas as pd

from ehrsynth import book
from ehrsynth.statistics import nearest_distance

# %% exercise: who has answered the law? | recall | core | 4 min
# Five colleagues say what they have done. Which of them has **shown** how exposed the patients are?
# Write `True` or `False` for each.
# %% check
says = {
    "removed the eighteen identifiers": "Safe Harbor is a list of what to remove. Nobody measured "
    "whether what stays is a fingerprint.",
    "replaced names by numbers": "that is pseudonymous: whoever has the list can undo it.",
    "an expert attacked the table and wrote down what was found": "to measure and to write down "
    "is what Expert Determination asks for.",
    "every row has four doubles in sex and age": "k-anonymity holds for the columns that one "
    "thought of; the diagnoses beside them are still a fingerprint.",
    "the table is synthetic": "a model can remember people. Being synthetic shows nothing yet.",
}
judge = book.choices(solution, says)
hints = ["Ask of each: did anybody measure?", "Exactly one of the five did."]
# %% solution
shown = {
    "removed the eighteen identifiers": False,
    "replaced names by numbers": False,
    "an expert attacked the table and wrote down what was found": True,
    "every row has four doubles in sex and age": False,
    "the table is synthetic": False,
}
# %% wrong: a model can remember
shown = {
    "removed the eighteen identifiers": False,
    "replaced names by numbers": False,
    "an expert attacked the table and wrote down what was found": True,
    "every row has four doubles in sex and age": False,
    "the table is synthetic": True,
}
# %% wrong: 1 of 5
shown = {
    "removed the eighteen identifiers": True,
    "replaced names by numbers": True,
    "an expert attacked the table and wrote down what was found": True,
    "every row has four doubles in sex and age": True,
    "the table is synthetic": True,
}
# %% wrong: to measure and to write down
shown = {
    "removed the eighteen identifiers": False,
    "replaced names by numbers": False,
    "an expert attacked the table and wrote down what was found": False,
    "every row has four doubles in sex and age": False,
    "the table is synthetic": False,
}
# %% wrong: keys
shown = [False, False, True, False, False]
# %% right: as text
shown = {
    "removed the eighteen identifiers": "no",
    "replaced names by numbers": "No",
    "an expert attacked the table and wrote down what was found": "Yes",
    "every row has four doubles in sex and age": "no",
    "the table is synthetic": "no",
}
# %% right: as numbers
shown = {
    "the table is synthetic": 0,
    "removed the eighteen identifiers": 0,
    "replaced names by numbers": 0,
    "an expert attacked the table and wrote down what was found": np.int64(1),
    "every row has four doubles in sex and age": 0,
}


# %% exercise: build the worst case | apply | core | 7 min
# Write the generator of data set A. From a table, make one of the same size in which every column has
# exactly the values it had, and no two columns have anything to do with each other.
# %% check
def judge(answer, rng):
    ill = rng.random(400) < 0.5
    table = pd.DataFrame(
        {f"code {k}": np.where(rng.random(400) < 0.9, ill, ~ill) for k in range(6)}
    )
    table["age"] = np.where(ill, 70, 30) + rng.integers(0, 9, 400)
    made, again = (answer(table.copy(), np.random.default_rng(s)) for s in (1, 2))
    if not isinstance(made, pd.DataFrame):
        return f"a table is asked for (a pd.DataFrame), and this is {type(made).__name__}."
    if set(made.columns) != set(table.columns) or len(made) != len(table):
        return "the new table must have the same columns and as many rows."
    made, again = (t[list(table)].reset_index(drop=True).astype(float) for t in (made, again))
    if not all(sorted(made[c]) == sorted(table[c].astype(float)) for c in table):
        return "a column has other values than before. Shuffle; do not draw with replacement."
    if all((made[c].diff().dropna() >= 0).all() for c in made):
        return "the columns are sorted: now they go together more than ever."
    links = made.corr().abs().to_numpy()[np.triu_indices(7, 1)]
    if np.allclose(links, table.astype(float).corr().abs().to_numpy()[np.triu_indices(7, 1)]):
        return "whole rows were moved: the columns still go together. Give each its own order."
    if links.max() > 0.25:
        return "some columns still go together. Did each get an order of its own?"
    if made.equals(again):
        return "two generators give the same table: use the `rng` that you are given."
    return ""


hints = [
    "`rng.permutation(values)` gives the values in a new order.",
    "Do that for each column, and make a pd.DataFrame of the results.",
]


# %% solution
def shuffle_columns(table, rng):
    """A table of the same columns, each in an order of its own."""
    return pd.DataFrame({name: rng.permutation(table[name].to_numpy()) for name in table})


# %% wrong: sorted
def shuffle_columns(table, rng):
    return pd.DataFrame({name: np.sort(table[name]) for name in table})


# %% wrong: whole rows
def shuffle_columns(table, rng):
    return table.iloc[rng.permutation(len(table))]


# %% wrong: whole rows
def shuffle_columns(table, rng):
    return table


# %% wrong: other values
def shuffle_columns(table, rng):
    return pd.DataFrame({name: rng.choice(table[name], len(table)) for name in table})


# %% wrong: use the `rng`
def shuffle_columns(table, rng):
    rng = np.random.default_rng(0)
    return pd.DataFrame({name: rng.permutation(table[name].to_numpy()) for name in table})


# %% wrong: go together
def shuffle_columns(table, rng):
    made = table.copy()
    made["age"] = rng.permutation(made["age"].to_numpy())
    return made


# %% wrong: a table is asked for
def shuffle_columns(table, rng):
    return rng.permuted(table.to_numpy(), axis=0)


# %% right: with sample
def shuffle_columns(table, rng):
    made = table.copy()
    for name in table.columns:
        made[name] = table[name].sample(frac=1, random_state=rng).to_numpy()
    return made


# %% right: all at once, other types
def shuffle_columns(table, rng):
    values = rng.permuted(table.to_numpy(dtype=float), axis=0)
    return pd.DataFrame(values, columns=table.columns)


# %% exercise: the loneliest patient | apply | core | 5 min
# *k*-anonymity asks how many patients look alike. Write the function that says what *k* a table has for some
# columns: the size of the **smallest** group of patients with the same values in them.
# %% check
def cases(rng):
    made = []
    for size in (40, 60, 80):
        table = pd.DataFrame({
            "sex": rng.choice(["F", "M"], size), "age": rng.choice([30, 50, 70], size),
            "flu": rng.random(size) < 0.5,
        })  # fmt: skip
        table = pd.concat([table, table.iloc[:30], table.iloc[:30]], ignore_index=True)
        made += [(table, ["sex", "age"]), (table, ["sex", "age", "flu"])]
    return made


mistakes = {
    "that is the largest group. The smallest one decides.":
        lambda t, columns: t.groupby(columns).size().max(),
    "that is the number of groups, not the size of one.":
        lambda t, columns: t.groupby(columns).ngroups,
    "that is the mean size. An average protects nobody: the smallest group decides.":
        lambda t, columns: t.groupby(columns).size().mean(),
    "that is how many *others* look alike; the patient counts, too.":
        lambda t, columns: t.groupby(columns).size().min() - 1,
    "that looks at the first column only.":
        lambda t, columns: t.groupby(columns[0]).size().min(),
    "that is the number of rows, or of those in no group.":
        lambda t, columns: len(t),
}  # fmt: skip
judge = book.compare(solution, cases, mistakes)
hints = [
    "`table.groupby(columns).size()` has a number for each group.",
    "Which of them decides?",
]


# %% solution
def k_of(table, columns):
    """The size of the smallest group of patients who look alike in these columns."""
    return table.groupby(columns, observed=True).size().min()


# show
print(f"k with sex and age: {k_of(everybody, known[:1] + known[-1:])}")


# %% wrong:
def k_of(table, columns):
    return 1


# %% wrong: stops with KeyError
def k_of(table, columns):
    return table["race"].value_counts().min()


# %% right: value_counts
def k_of(table, columns):
    return int(table[columns].value_counts().iloc[-1])


# %% right: by hand, as a float
def k_of(table, columns):
    seen = {}
    for row in table[columns].itertuples(index=False):
        seen[row] = seen.get(row, 0) + 1
    return float(min(seen.values()))


# %% exercise: the thief's disguise | extend | optional | 9 min
# A vendor promises: "No synthetic patient equals a real one." Cheat! Write a generator that copies the training
# patients (a table of yes/no codes) with a tiny change in each row, so that **no exact copy** is left. Is the promise
# worth anything?
# %% check
def judge(answer, rng):
    risk = rng.beta(1, 3, 40)
    seen, unseen = (pd.DataFrame((rng.random((300, 40)) < risk).astype(int),
                                 columns=[f"code {k}" for k in range(40)]) for _ in "ab")  # fmt: skip
    made = answer(seen.copy(), np.random.default_rng(1))
    shape = np.shape(made)
    if len(shape) != 2 or shape[1] != 40 or not 250 <= shape[0] <= 350:
        return "make as many patients as there are, with the same columns."
    rows = np.asarray(made, dtype=float)
    if not np.isin(rows, (0, 1)).all():
        return "a code is 0 or 1: anything else gives the thief away at a glance."
    near, far = (nearest_distance(t.to_numpy(float), rows) for t in (seen, unseen))
    back = nearest_distance(rows, seen.to_numpy(float))
    if (back < 0.5).mean() > 0.02:
        return f"{(back < 0.5).mean():.0%} of your patients are still exact copies."
    if (near[:, None] < far).mean() + (near[:, None] == far).mean() / 2 < 0.8:
        return (
            "this is no copy any more: your patients are as near to strangers as to the robbed."
        )
    return ""


hints = ["Switch one random code in each row: yes becomes no, no becomes yes.",
         "`values[row, column] = 1 - values[row, column]` does it for lists of rows and columns."]  # fmt: skip


# %% solution
def disguise(table, rng):
    """Copies of the rows, each with one code switched."""
    values = table.to_numpy(dtype=int, copy=True)
    row, column = np.arange(len(values)), rng.integers(0, values.shape[1], len(values))
    values[row, column] = 1 - values[row, column]
    return pd.DataFrame(values, columns=table.columns)


# show
thief = train.copy()
thief[codes] = disguise(train[codes], np.random.default_rng(1)).astype(train[codes[0]].dtype)
twins, strangers = (nearest_distance(x, encoder.transform(thief)) for x in (trained, unseen))
print(f"exact copies: {100 * exact_copies(thief):.1f} %")
print(f"trained patient nearer than unseen: {nearer([twins, strangers]):.2f}")


# %% discussion
# "No exact copy" protects nobody: a twin that differs in one disease gives away all the others. What gives
# the thief away is the *comparison with patients never seen*. It is the backbone of
# [Chapter 9](09-privacy.ipynb).
# %% wrong: exact copies
def disguise(table, rng):
    return table


# %% wrong: exact copies
def disguise(table, rng):
    return table.iloc[rng.permutation(len(table))]


# %% wrong: no copy any more
def disguise(table, rng):
    return pd.DataFrame({c: rng.permutation(table[c].to_numpy()) for c in table})


# %% wrong: 0 or 1
def disguise(table, rng):
    return table + 0.01


# %% wrong: as many patients
def disguise(table, rng):
    return table.drop(columns=table.columns[0])


# %% right: two switches, NumPy
def disguise(table, rng):
    values = table.to_numpy().copy()
    for row in values:
        k = rng.choice(len(row), 2, replace=False)
        row[k] = 1 - row[k]
    return values


# %% right: row by row, yes/no
def disguise(table, rng):
    made = table.astype(bool).copy()
    for i in range(len(made)):
        k = int(rng.integers(made.shape[1]))
        made.iloc[i, k] = not made.iloc[i, k]
    return made.sample(frac=1, random_state=0)
