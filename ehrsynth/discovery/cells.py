"""Which states of two columns never meet: implications, one category by another, joint missingness.

Every column is in one state a patient (:mod:`ehrsynth.relations`), so one matrix product
counts how often any two states meet. A pair that never does is a relation if patients of shuffled
columns would have met: by the exact hypergeometric chance, corrected for all pairs looked at.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.stats import hypergeom

from ..protection import LEAST_PATIENTS
from ..relations import OTHER, Follows, Rule, has, states
from ..rules import Implies
from ..schema import MISSING, Schema

CHANCE = 0.002  # of each kind of relation in a table of independent columns
_TRIVIAL = 0.1  # of shuffled patients with the rarer state; what fewer would break is trivial
_ROWS = 100_000  # multiplied at a time
_ZEROS = 0.05  # of the patients; so many make zero a state of its own, such as "none"


class Found(NamedTuple):
    """A rule that holds in train, and how many patients of shuffled columns would break it."""

    rule: Rule
    by_chance: float


class _Meetings:
    """How often any two states meet; a literal is a state, or (+ width) that it is absent."""

    def __init__(self, table: pd.DataFrame, schema: Schema):
        self.schema, self.n = schema, len(table)
        self.meant: list[tuple[str, list[str]]] = []  # by state, what a rule calls it
        owner: list[int] = []
        members: list[np.ndarray] = []
        for place, column in enumerate(schema.columns):
            calls = [[text] for text in states(column)]
            if column.kind == "continuous" and has(table, column.name, 0).mean() < _ZEROS:
                calls = [[MISSING], ["0", OTHER]]
            there = [(call, has(table, column.name, call)) for call in calls]
            there = [(call, member) for call, member in there if member.any()]
            if len(there) > 1:
                self.meant += [(column.name, call) for call, _ in there]
                owner += [place] * len(there)
                members += [member for _, member in there]
        flags, self.width, self.owner = np.array(members).T, len(members), np.array(owner, int)
        self.both = np.zeros((self.width, self.width))
        for start in range(0, self.n if self.width else 0, _ROWS):
            part = flags[start : start + _ROWS].astype(np.float32)
            self.both += part.T @ part
        # Demographics: how many patients of each group (numbers in eighths) are in a state.
        people = {}
        for name in schema.of_role("demographic"):
            values = table[name]
            if values.nunique() > 8 and not isinstance(values.dtype, pd.CategoricalDtype):
                values = pd.qcut(values, 8, labels=False, duplicates="drop")
            people[schema.names.index(name)] = pd.get_dummies(values, dummy_na=True).to_numpy(float)
        self.among = {place: flags.T @ group for place, group in people.items() if self.width}
        self.sizes = {place: group.sum(axis=0) for place, group in people.items()}
        alone = np.diag(self.both)
        self.count = np.concatenate([alone, self.n - alone])
        # Of two states, one is that the other is absent.
        self.several = np.bincount(self.owner, minlength=1)[self.owner] > 2
        self.absent = np.concatenate([np.arange(self.width) + self.width, np.arange(self.width)])
        first = np.flatnonzero(~self.several)[::2]
        self.absent[first], self.absent[first + 1] = first + 1, first

    def own(self, column: int) -> list[int]:
        """The states of a column."""
        return np.flatnonzero(self.owner == column).tolist()

    def stands_for(self, literal: int) -> list[int]:
        """The states that a literal stands for."""
        state = literal % self.width
        return [s for s in self.own(self.owner[state]) if (s == state) == (literal < self.width)]

    def says(self, chosen: list[int]) -> tuple[str, object]:
        """A column and some of its states, as a rule names them."""
        texts = [text for state in chosen for text in self.meant[state][1]]
        return self.meant[chosen[0]][0], texts[0] if len(texts) == 1 else texts

    def given(self, literal: int) -> bool:
        """Whether the generator is given the column, so that no rule may change it."""
        return self.meant[literal % self.width][0] in (self.schema.outcome, self.schema.sex)


def cells(table: pd.DataFrame, schema: Schema) -> list[Found]:
    """Every such relation that is not the consequence of others, most surprising ones first."""
    meet = _Meetings(table, schema)
    exclusive = _without_consequences(meet, _exclusive(meet))
    allowed: dict[tuple[int, int], set[int]] = {}
    for pair in exclusive.tolist():
        # The rarer one stays: that bends the columns least.
        when, other = sorted(pair, key=lambda literal: meet.count[literal])
        if meet.given(other):
            when, other = other, when
        if not meet.given(other):
            column = int(meet.owner[other % meet.width])
            kept = allowed.setdefault((when, column), set(meet.own(column)))
            kept &= set(meet.stands_for(meet.absent[other]))
    return sorted(_told(meet, allowed), key=lambda found: -found.by_chance)


def _exclusive(meet: _Meetings) -> np.ndarray:
    """Pairs of literals that exclude each other beyond chance, shape (pairs, 2)."""
    n, width, count = meet.n, meet.width, meet.count
    enough = np.minimum(count[:width], count[width:]) >= LEAST_PATIENTS
    pairs = enough[:, None] & enough & (meet.owner[:, None] != meet.owner)
    limit = np.log(CHANCE / max(2 * pairs.sum(), 1))
    never = np.argwhere(np.triu(pairs & (meet.both == 0)))
    always = np.argwhere(pairs & meet.several & (meet.both == count[:width, None]))
    found = np.concatenate([never, always + [0, width]])
    found = found[count[found].max(axis=1, initial=0) >= _TRIVIAL * n]
    # The chance that two states of so many patients never meet in shuffled columns.
    found = found[hypergeom.logpmf(0, n, count[found[:, 0]], count[found[:, 1]]) < limit]
    # That the young have few diseases of the old is no rule about any two of these: patients
    # shuffled among others of their age, sex or race would have met as well.
    for place, among in meet.among.items():
        of = np.concatenate([among, meet.sizes[place] - among])
        chance = hypergeom.logpmf(0, meet.sizes[place], of[found[:, 0]], of[found[:, 1]])
        chance = np.nansum(chance, axis=1)  # of groups with nobody there is none
        found = found[(chance < limit) | (meet.owner[found % width] == place).any(axis=1)]
    return found


def _without_consequences(meet: _Meetings, found: np.ndarray) -> np.ndarray:
    """The pairs that do not follow from others, or from what the schema says."""
    several = np.flatnonzero(meet.several).tolist()
    if len(found) == 0:
        return found
    told = [(i, j) for i in several for j in meet.own(meet.owner[i]) if i < j]
    sexes = {says[0]: s for s, (name, says) in enumerate(meet.meant) if name == meet.schema.sex}
    for state, (name, says) in enumerate(meet.meant):
        if says == ["1"] and (only := meet.schema[name].sex):
            told += [(state, other) for sex, other in sexes.items() if sex != only]
    known = np.array(told, int).reshape(-1, 2)
    size, absent = len(meet.absent), meet.absent

    def implied(pairs: np.ndarray) -> csr_matrix:
        start, end = np.concatenate([pairs, pairs[:, ::-1]]).T
        # What excludes it implies its absence.
        return csr_matrix((np.ones(len(start), np.float32), (start, absent[end])), (size, size))

    graph = implied(np.concatenate([found, known]))
    _, group = connected_components(graph, connection="strong")
    column = meet.owner[np.arange(size) % meet.width] if meet.width else np.arange(0)
    first = np.full(size, size)  # the first column of each group stands for all of it
    np.minimum.at(first, group, column)
    leads = column == first[group]
    a, b = found[:, 0], absent[found[:, 1]]
    apart = (group[a] != group[b]) & leads[a] & leads[b]
    inside = (group[a] == group[b]) & (leads[a] | leads[b])
    outer = implied(np.concatenate([found[apart], known]))
    follows = np.asarray((outer @ outer + implied(known))[a, b]).ravel() > 0
    return found[inside | (apart & ~follows)]


def _told(meet: _Meetings, allowed: dict[tuple[int, int], set[int]]) -> list[Found]:
    """The rules; one for two columns of which each state of the first has one of the second."""
    met, alone = meet.both > 0, {}
    whole: dict[tuple[int, int], Found] = {}
    for (when, column), kept in allowed.items():
        source, there = int(meet.owner[when % meet.width]), meet.own(column)
        wrong = meet.n - meet.count[list(kept)].sum()
        by_chance = float(meet.count[when] * wrong / meet.n)
        keys = [s for s in meet.own(source) if meet.count[s] >= LEAST_PATIENTS]
        to = {s: [other for other in there if met[s, other]] for s in keys}
        if all(len(others) == 1 for others in to.values()) and not meet.given(there[0]):
            values = {text: meet.says(to[s])[1] for s in keys for text in meet.meant[s][1]}
            rule = Follows(meet.meant[there[0]][0], meet.meant[keys[0]][0], values)
            before = whole.get((source, column), Found(rule, 0.0)).by_chance
            whole[source, column] = Found(rule, before + by_chance)
        else:
            says = [dict([meet.says(part)]) for part in (meet.stands_for(when), sorted(kept))]
            alone[when, column] = Found(Implies(*says), by_chance)
    single = [rule for (when, column), rule in alone.items()
              if (column, meet.owner[when % meet.width]) not in whole]  # fmt: skip
    # Of two columns that follow from each other, the later one does.
    return single + [rule for (source, column), rule in whole.items()
                     if source < column or (column, source) not in whole]  # fmt: skip
