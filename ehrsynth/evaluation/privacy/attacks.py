"""All attacks as metrics: the functions of each file, with their rows of ``metrics.csv``."""

from ..metric import Spec, described
from . import (
    adversarial,
    attribute,
    closest_records,
    copies,
    density_ratio,
    identity,
    membership,
    most_exposed,
)

ATTACKS = (
    membership, density_ratio, most_exposed, attribute, identity, adversarial, closest_records,
    copies,
)  # fmt: skip
COMPUTE = {key: compute for attack in ATTACKS for key, compute in attack.COMPUTE.items()}
SPECS: tuple[Spec, ...] = described(COMPUTE, most_exposed.NOTES)
