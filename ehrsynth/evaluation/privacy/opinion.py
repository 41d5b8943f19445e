"""Singling out and linkability: what European data protection authorities ask.

The third of their questions, inference, is :mod:`.attribute`. *Singling out*: the attacker takes
the values that a released row has in five columns, and no other released row: does exactly one
real person have them? *Linkability*: he has two halves of a person's record without a name: is the
same released row the nearest to both? He knows what is no code and the most frequent codes (60;
of a few rare values nobody is singled out, so that six there). The baseline is the same attack on
as many held-out patients; the excess is the risk: 0 for fresh patients, 1 where all is given away.

Source: Article 29 Working Party, Opinion 05/2014 (WP216); Giomi et al., PoPETs 2023(2):312-328.
"""

import numpy as np

from ...statistics import Estimate, NotComputable, nearest_distances, normal_interval, wilson
from ..setting import Setting, Side
from .success import excess_risk

SINGLED_CODES, LINKED_CODES = 6, 60  # the most frequent ones
COLUMNS, DRAWS = 5, 10  # columns of a predicate; sets of columns that are tried
SAME = 0.01  # of the range: so near a number is the same
FEWEST = 50  # patients of each group
MOST_RELEASED = 65_536  # rows that are looked at


def known_columns(setting: Setting, codes: int) -> list[str]:
    """What is known of a person. Chapter attacks, "Singling out, linkability, inference"."""
    schema, outcome = setting.schema, setting.schema.outcome
    binary = [name for name in schema.of_kind("binary") if name != outcome]
    share = setting.train.frame[binary].mean().sort_values(ascending=False, kind="stable")
    others = [name for name in schema.names if name not in binary and name != outcome]
    return others + list(share.index[:codes])


def singled_out(predicates: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Which predicates (rows of encoded columns) exactly one of the people fulfills.
    Chapter attacks, "Singling out, linkability, inference".
    """
    near = nearest_distances(predicates, people, 2)
    return (near[:, 0] <= SAME) & (near[:, 1] > SAME)


def linked(halves: list[np.ndarray], released: list[np.ndarray]) -> np.ndarray:
    """Of whom the same released row is the nearest to both halves of the record.
    Chapter attacks, "Singling out, linkability, inference".
    """
    same = np.zeros(len(halves[0]), dtype=bool)
    lengths = [np.einsum("ij,ij->i", rows, rows) for rows in released]
    for start in range(0, len(same), 128):
        part = slice(start, start + 128)
        nearest = np.ones((1, 1), dtype=bool)
        for half, rows, length in zip(halves, released, lengths, strict=True):
            squared = length - 2 * (half[part] @ rows.T)
            nearest = nearest & (squared <= squared.min(axis=1, keepdims=True) + 1e-3)
        same[part] = nearest.any(axis=1)
    return same


def _sides(setting: Setting, most: int) -> list[tuple[Side, np.ndarray]]:
    """Equally many used and held-out patients."""
    n = min(len(setting.train), len(setting.holdout), most)
    if n < FEWEST:
        raise NotComputable(f"fewer than {FEWEST} patients in a table")
    rng = np.random.default_rng([setting.train.seed, 19])
    return [(side, side.sample(n, rng)) for side in (setting.train, setting.holdout)]


def _excess(hits: list[int], n: int) -> Estimate:
    """Excess of the success on used over that on held-out patients, with its interval."""
    used, others = (wilson(count, n) for count in hits)
    if others.value == 1:
        raise NotComputable("the attack always succeeds on held-out patients")
    value, left = excess_risk(used.value, others.value), 1 - others.value
    half = np.hypot(used.half, (1 - value) * others.half) / left
    return normal_interval(value, float(half), 1.0)


def _singling_out(setting: Setting, rng: np.random.Generator) -> Estimate:
    names, encoder = known_columns(setting, SINGLED_CODES), setting.encoder
    if len(names) < COLUMNS:
        raise NotComputable(f"fewer than {COLUMNS} columns besides the outcome")
    sides, made = _sides(setting, len(setting.train)), setting.candidate
    asked = rng.permutation(made.sample(2 * setting.effort.queried, rng))
    released = made.matrix[made.sample(MOST_RELEASED, rng)]
    hits, tried = np.zeros(2, dtype=int), 0
    for part in np.array_split(asked, DRAWS):
        columns = encoder.columns(*rng.choice(names, COLUMNS, replace=False))
        predicates = made.matrix[np.ix_(part, columns)]
        alone = nearest_distances(predicates, released[:, columns], 2)[:, 1] > SAME
        people = (side.matrix[np.ix_(rows, columns)] for side, rows in sides)
        hits += [singled_out(predicates[alone], them).sum() for them in people]
        tried += int(alone.sum())
    if tried < FEWEST:
        raise NotComputable(f"fewer than {FEWEST} released rows are the only one of their kind")
    return _excess(hits.tolist(), tried)


def _linkability(setting: Setting, rng: np.random.Generator) -> Estimate:
    names = known_columns(setting, LINKED_CODES)
    if len(names) < 2:
        raise NotComputable("there are no two columns besides the outcome")
    halves = [setting.encoder.columns(*names[first::2]) for first in (0, 1)]
    made = setting.candidate
    rows = made.sample(MOST_RELEASED, rng)
    released = [made.matrix[np.ix_(rows, half)] for half in halves]
    hits, sides = [], _sides(setting, setting.effort.inferred)
    for side, chosen in sides:
        asked = [side.matrix[np.ix_(chosen, half)] for half in halves]
        hits.append(int(linked(asked, released).sum()))
    return _excess(hits, len(sides[0][1]))


COMPUTE = {
    ("singling_out", "corrected"): _singling_out,
    ("linkability", "corrected"): _linkability,
}
