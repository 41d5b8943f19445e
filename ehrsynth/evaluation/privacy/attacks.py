"""All attacks as metrics: the functions of each file, with their rows of ``metrics.csv``."""

from ..metric import Spec, described
from . import adversarial, attribute, closest_records, copies, guard, identity, membership, opinion
from .scores import COMPUTE as BY_SCORES
from .scores import NOTES

OTHERS = adversarial, attribute, closest_records, copies, guard, identity, membership, opinion
COMPUTE = BY_SCORES | {key: compute for attack in OTHERS for key, compute in attack.COMPUTE.items()}
SPECS: tuple[Spec, ...] = described(COMPUTE, NOTES)
