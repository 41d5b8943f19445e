# %% prelude
import numpy as np
import pandas as pd

from ehrsynth import book

# %% exercise: why is it missing? | recall | core | 4 min
# Which word fits: MCAR (by pure chance), MAR (depends on what is recorded), MNAR (depends on the missing value itself)?
# %% check
says = {
    "a scale was broken for a week": "nothing about the patients decides who is missing.",
    "young patients are weighed less often": "it depends on the age, and the age is recorded.",
    "very heavy patients refuse the scale": "the weight that you do not see decides.",
    "the sicker the patient, by recorded diagnoses, the more lab tests": "the diagnoses decide, "
    "and they are recorded.",
}
judge = book.choices(solution, says, {
    "missing completely at random": "mcar", "missing at random": "mar",
    "missing not at random": "mnar", "completely at random": "mcar", "at random": "mar",
    "not at random": "mnar",
})  # fmt: skip
hints = ["What decides who has no value: nothing, another column, or the value itself?",
         "MAR is twice among the four."]  # fmt: skip
# %% solution
reasons = {
    "a scale was broken for a week": "MCAR",
    "young patients are weighed less often": "MAR",
    "very heavy patients refuse the scale": "MNAR",
    "the sicker the patient, by recorded diagnoses, the more lab tests": "MAR",
}
# %% wrong: nothing about the patients
reasons = {
    "a scale was broken for a week": "MAR",
    "young patients are weighed less often": "MAR",
    "very heavy patients refuse the scale": "MNAR",
    "the sicker the patient, by recorded diagnoses, the more lab tests": "MAR",
}
# %% wrong: 2 of 4
reasons = {
    "a scale was broken for a week": "MCAR",
    "young patients are weighed less often": "MNAR",
    "very heavy patients refuse the scale": "MNAR",
    "the sicker the patient, by recorded diagnoses, the more lab tests": "MNAR",
}
# %% wrong: keys
reasons = "MCAR MAR MNAR MAR"
# %% right: small letters
reasons = {
    "a scale was broken for a week": "mcar",
    "young patients are weighed less often": "mar ",
    "very heavy patients refuse the scale": "mnar",
    "the sicker the patient, by recorded diagnoses, the more lab tests": "mar",
}
# %% right: in words
reasons = {
    "a scale was broken for a week": "Missing completely at random",
    "young patients are weighed less often": "missing at random",
    "very heavy patients refuse the scale": "not at random",
    "the sicker the patient, by recorded diagnoses, the more lab tests": "at random",
}


# %% exercise: does the gap tell anything? | apply | core | 6 min
# Write `risk_by_gap(table, column, outcome)`: the share with the outcome among patients with a value, and among those without.
# %% check
def cases(rng):
    made = []
    for size in (50, 80):
        x, dead = rng.normal(size=size), (rng.random(size) < 0.3).astype(int)
        x[rng.random(size) < 0.3 + 0.4 * dead] = np.nan
        x[np.flatnonzero(~np.isnan(x))[:5]] = 0.0  # a value of zero is a value
        made.append((pd.DataFrame({"x": x, "dead": dead, "y": 1.0}), "x", "dead"))
    return made


def shares(mask, t, outcome, how="mean"):
    return [getattr(t.loc[m, outcome], how)() for m in (mask, ~mask)]


mistakes = {
    "the order is turned: with a value first, then without.":
        lambda t, c, o: shares(t[c].isna(), t, o),
    "these are numbers of patients, not shares.":
        lambda t, c, o: shares(t[c].notna(), t, o, "sum"),
    "that is the share *with a value* by outcome: the other way round.":
        lambda t, c, o: [t.loc[t[o] == 1, c].notna().mean(), t.loc[t[o] == 0, c].notna().mean()],
    "0 is a value, too. `notna()` asks whether there is one.":
        lambda t, c, o: shares(t[c].fillna(0) != 0, t, o),
    "the parts are divided by all patients, not by those of their group.":
        lambda t, c, o: [s / len(t) for s in shares(t[c].notna(), t, o, "sum")],
    "that is the risk of everybody, twice.": lambda t, c, o: [t[o].mean()] * 2,
}  # fmt: skip
judge = book.compare(solution, cases, mistakes)
hints = ["`notna()` makes a mask.", "The mean of a 0/1 column is a share. Return two of them."]


# %% solution
def risk_by_gap(table, column, outcome):
    """Two shares: (with a value, without)."""
    known = table[column].notna()
    return table.loc[known, outcome].mean(), table.loc[~known, outcome].mean()


# show
with_value, without = risk_by_gap(measured_only, vitals[0], bed_schema.outcome)
print(f"{vitals[0]}: {with_value:.1%} with a value, {without:.1%} without")


# %% wrong:
def risk_by_gap(table, column, outcome):
    return 0.5, 1.0


# %% wrong:
def risk_by_gap(table, column, outcome):
    return table.groupby(outcome)[column].mean()


# %% wrong:
def risk_by_gap(table, column, outcome):
    known = table[column].notna()
    return table.loc[known, outcome].mean() - table.loc[~known, outcome].mean()


# %% right: groupby
def risk_by_gap(table, column, outcome):
    return table.groupby(table[column].isna())[outcome].mean()


# %% right: NumPy
def risk_by_gap(table, column, outcome):
    gap, y = np.isnan(table[column].to_numpy()), table[outcome].to_numpy()
    return np.array([y[~gap].sum() / (~gap).sum(), y[gap].sum() / gap.sum()])


# %% right: a list of floats
def risk_by_gap(table, column, outcome):
    return [float(table.dropna(subset=[column])[outcome].mean()),
            float(table[table[column].isnull()][outcome].mean())]  # fmt: skip


# %% exercise: draw in pairs | apply | core | 8 min
# If somebody insists on drawing: write `draw_pairs(table, rng)`, which fills a missing blood pressure with *both* numbers of
# one measured patient. `table` has the columns `systolic` and `diastolic`; both are missing or none is.
# %% check
def judge(answer, rng):
    low = rng.normal(75, 12, 500).round()
    table = pd.DataFrame(
        {"systolic": low + rng.integers(5, 70, 500), "diastolic": low, "age": 50.0}
    )
    gap = rng.random(500) < 0.4
    table.loc[gap, ["systolic", "diastolic"]] = np.nan
    known = set(map(tuple, table.loc[~gap, ["systolic", "diastolic"]].to_numpy()))
    made, again = (answer(table.copy(), np.random.default_rng(s)) for s in (1, 2))
    if not isinstance(made, pd.DataFrame) or not {"systolic", "diastolic"} <= set(made):
        return "a table with the two pressures is asked for."
    if len(made) != 500:
        return f"{500 - len(made)} patients are gone. Fill them; do not drop them."
    pairs = made[["systolic", "diastolic"]].astype(float)
    if pairs.isna().any(axis=None):
        return "there are still gaps."
    if not np.allclose(pairs[~gap], table.loc[~gap, ["systolic", "diastolic"]]):
        return "measured pairs were changed. Only the gaps are to be filled."
    if (pairs["diastolic"] >= pairs["systolic"]).any():
        return "somebody's pressures are upside down: the two numbers come from two patients."
    if not set(map(tuple, pairs[gap].to_numpy())) <= known:
        return "some filled pairs belong to no measured patient. Copy both numbers of one."
    if len(pairs[gap].drop_duplicates()) < 40:
        return "nearly everybody gets the same pair. Draw a patient for each gap."
    return "two generators fill the same: use the `rng`." * made.equals(again)


hints = ["Draw row numbers of measured patients with `rng.choice`.",
         "Copy both columns at once, with `.to_numpy()`: otherwise pandas matches the index."]  # fmt: skip


# %% solution
def draw_pairs(table, rng):
    """A copy of `table` without gaps in the two pressures; measured pairs stay as they are."""
    filled, pair = table.copy(), ["systolic", "diastolic"]
    known = table[pair].notna().all(axis=1)
    donors = rng.choice(np.flatnonzero(known), size=(~known).sum())
    filled.loc[~known, pair] = table[pair].to_numpy()[donors]
    return filled


# show
# alt: Drawn pairs form the same tilted cloud below the diagonal as measured patients.
in_pairs = draw_pairs(measured_only, np.random.default_rng(0))
figure, ax = plt.subplots(figsize=(4.2, 3.2))
ax.scatter(
    *in_pairs.loc[~both_measured, pair].to_numpy().T,
    s=9,
    alpha=0.5,
    color="#CC79A7",
    linewidth=0,
)
ax.axline((80, 80), slope=1, color=plots.COLORS["neutral"], linewidth=1)
_ = ax.set(xlabel="Systolic (mmHg)", ylabel="Diastolic (mmHg)", title="drawn in pairs")


# %% wrong: upside down
def draw_pairs(table, rng):
    filled = table.copy()
    for name in ("systolic", "diastolic"):
        gap = table[name].isna()
        filled.loc[gap, name] = rng.choice(table[name].dropna(), gap.sum())
    return filled


# %% wrong: belong to no measured patient
def draw_pairs(table, rng):
    return table.fillna(table.mean())


# %% wrong: still gaps
def draw_pairs(table, rng):
    return table.copy()


# %% wrong: patients are gone
def draw_pairs(table, rng):
    return table.dropna()


# %% wrong: nearly everybody
def draw_pairs(table, rng):
    donor = table.dropna().sample(random_state=rng)
    return table.fillna(donor.iloc[0])


# %% wrong: measured pairs were changed
def draw_pairs(table, rng):
    donors = rng.choice(np.flatnonzero(table["systolic"].notna()), len(table))
    return table.iloc[donors].reset_index(drop=True)


# %% wrong: use the `rng`
def draw_pairs(table, rng):
    filled, gap = table.copy(), table["systolic"].isna()
    donors = table[~gap].sample(gap.sum(), replace=True, random_state=0)
    filled.loc[gap, ["systolic", "diastolic"]] = donors[["systolic", "diastolic"]].to_numpy()
    return filled


# %% right: sample
def draw_pairs(table, rng):
    filled, gap = table.copy(), table["systolic"].isna()
    donors = table[~gap].sample(gap.sum(), replace=True, random_state=rng)
    filled.loc[gap, ["systolic", "diastolic"]] = donors[["systolic", "diastolic"]].to_numpy()
    return filled


# %% right: row by row, the two columns only
def draw_pairs(table, rng):
    rows = table[["systolic", "diastolic"]].to_numpy(copy=True)
    known = rows[~np.isnan(rows[:, 0])]
    for row in rows:
        if np.isnan(row[0]):
            row[:] = known[rng.integers(len(known))]
    return pd.DataFrame(rows, columns=["systolic", "diastolic"])


# %% exercise: fitted on train, and on nothing else | extend | optional | 8 min
# Write `to_bins(train, new, bins)`: the number of the bin (0 to `bins` - 1) of each value in `new`, when the bins are those
# that hold equally many of `train`'s values. Both are arrays without gaps. Values beyond the largest or smallest
# of `train` go into the outermost bins.
# %% check
def cases(rng):
    return [(rng.gamma(2, 20, 60), rng.gamma(2, 30, 25) - 5, bins) for bins in (4, 7)]


def cut(learned, new, bins, equal_width=False):
    q = np.arange(1, bins) / bins
    low, high = learned.min(), learned.max()
    return np.searchsorted(
        low + q * (high - low) if equal_width else np.quantile(learned, q), new
    )


mistakes = {
    "the cut points were learned from `new`: the holdout has shaped them.":
        lambda t, n, b: cut(n, n, b),
    "the cut points were learned from `train` and `new` together.":
        lambda t, n, b: cut(np.concatenate([t, n]), n, b),
    "these bins are equally *wide*; equally many patients are asked for.":
        lambda t, n, b: cut(t, n, b, equal_width=True),
    "the bins are counted from 1; count from 0.": lambda t, n, b: cut(t, n, b) + 1,
    "there is a bin too many: `bins` bins have `bins` - 1 cuts between them.":
        lambda t, n, b: cut(t, n, b + 1),
    "these are the bins of `train`'s values, not of `new`'s.":
        lambda t, n, b: cut(t, t, b),
    "values beyond the smallest of `train` get a bin of their own; put them into the outermost.":
        lambda t, n, b: np.searchsorted(np.quantile(t, np.arange(b + 1) / b), n),
}  # fmt: skip
judge = book.compare(solution, cases, mistakes)
hints = ["`np.quantile(train, [1/4, 2/4, 3/4])` has the three cuts of four bins.",
         "`np.searchsorted(cuts, new)` says how many cuts lie below each value."]  # fmt: skip


# %% solution
def to_bins(train, new, bins):
    """A whole number for each value of `new`."""
    cuts = np.quantile(train, np.arange(1, bins) / bins)
    return np.searchsorted(cuts, new)


# show
if "age" in train and pd.api.types.is_numeric_dtype(train["age"]):
    ages = [table["age"].to_numpy(float) for table in (train, holdout)]
    print("holdout patients in each of five bins of age:", np.bincount(to_bins(*ages, 5)))


# %% wrong:
def to_bins(train, new, bins):
    return pd.cut(new, bins, labels=False)


# %% wrong:
def to_bins(train, new, bins):
    return np.zeros(len(new))


# %% right: digitize
def to_bins(train, new, bins):
    edges = np.quantile(train, np.linspace(0, 1, bins + 1))
    return np.digitize(new, edges[1:-1])


# %% right: qcut's edges
def to_bins(train, new, bins):
    _, edges = pd.qcut(train, bins, retbins=True)
    edges[0], edges[-1] = -np.inf, np.inf
    return pd.Series(pd.cut(new, edges, labels=False))


# %% right: a list, by counting
def to_bins(train, new, bins):
    cuts = [np.quantile(train, k / bins) for k in range(1, bins)]
    return [sum(value > cut for cut in cuts) for value in new]
