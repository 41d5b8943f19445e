"""What keeps a single patient out of whatever is learned."""

import numpy as np
import pandas as pd

# Patients behind anything that is learned from values: a bin, an exact value, a category. With one
# or two it would be theirs to be recognized by; five is the smallest count that statistical offices
# and hospitals commonly let out in a table.
LEAST_PATIENTS = 5


def is_shared(values: pd.Series, value: object) -> bool:
    """Whether enough patients have a value for a message to show it."""
    return int((values == value).sum()) >= LEAST_PATIENTS


def often(names: pd.Series, row: np.ndarray, number: np.ndarray) -> str:
    """For a message, the first five names, by number, that enough patients (`row`) have."""
    pairs = pd.DataFrame({"row": row, "number": number}).drop_duplicates()
    patients = pairs["number"].value_counts().reindex(names.index, fill_value=0)
    shared = names[patients >= LEAST_PATIENTS].head(5).astype(str).str.strip()
    return f", most often {', '.join(shared)}" if len(shared) else ""


def told(count: float) -> str:
    """A number of patients, or of rows, as a page that leaves the house may say it."""
    return f"{count:,.0f}" if count >= LEAST_PATIENTS else f"fewer than {LEAST_PATIENTS}"


def percent(hits: int, of: int) -> float:
    """A share in percent as a page may say it: of fewer, or of all but fewer, as if of so many."""
    least = min(LEAST_PATIENTS, of / 2) if 0 < hits < of else 0
    return round(100 * float(np.clip(hits, least, of - least)) / max(of, 1), 1)


def around(ordered: np.ndarray, place: int, least: int = LEAST_PATIENTS) -> float:
    """What stands for a place among ordered values: the mean of enough of them around it."""
    return mean(ordered[max(place - least // 2 - 1, 0) : place + least // 2 + 1], least)


def ends(values: np.ndarray, least: int = LEAST_PATIENTS) -> tuple[float, float]:
    """Where values begin and end, as far as that is nobody's: NaN for fewer than `least` values.

    Where `least` patients share the outermost value, that is it. Else it is the mean of as many
    values from the `least`-th on: so many patients have one as far out, and it is not one's own.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    if len(ordered) < least:
        return np.nan, np.nan
    if len(ordered) < 4 * least:  # halves, or all of them
        half = len(ordered) // 2 if len(ordered) >= 2 * least else len(ordered)
        return mean(ordered[:half], least), mean(ordered[-half:], least)
    both = []
    for side in (ordered, ordered[::-1]):
        shared = side[0] == side[least - 1]
        both.append(float(side[0]) if shared else mean(side[least - 1 : 2 * least - 1], least))
    return both[0], both[1]


def knots(values: np.ndarray, most: int, least: int = LEAST_PATIENTS) -> list[float]:
    """Means of at most `most` groups of neighboring values, each of `least` patients or more."""
    ordered = np.sort(np.asarray(values, dtype=float))
    groups = min(most, len(ordered) // least)
    if groups == 0:
        return []
    return [mean(group, least) for group in np.array_split(ordered, groups)]


def mean(group: np.ndarray, least: int) -> float:
    """The mean of values of which one that few share is not it."""
    low, high = float(group.min()), float(group.max())
    if low == high:
        return low
    found = float(np.clip(group.mean(), low, high))
    return found + (high - found) / 97 if 0 < np.count_nonzero(group == found) < least else found
