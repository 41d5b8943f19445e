"""All attacks as metrics: the functions of each file, with their rows of ``metrics.csv``."""

from ..metric import Spec, described
from . import (
    adversarial,
    attribute,
    closest_records,
    copies,
    guard,
    identity,
    membership,
    opinion,
    scores,
)

ATTACKS = (
    membership, scores, attribute, identity, opinion, adversarial, closest_records, copies, guard,
)  # fmt: skip
COMPUTE = {key: compute for attack in ATTACKS for key, compute in attack.COMPUTE.items()}
SPECS: tuple[Spec, ...] = described(COMPUTE, scores.NOTES)
