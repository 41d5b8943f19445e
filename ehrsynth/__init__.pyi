"""What ``import ehrsynth as es`` gives, each from its module when it is asked for."""

from .cohort import split as split
from .datasets import DATASETS as DATASETS
from .datasets import build_patients as build_patients
from .datasets import describe as describe
from .datasets import load as load
from .errors import InputError as InputError
from .evaluation.choose import rank as rank
from .evaluation.judge import evaluate as evaluate
from .evaluation.report import Report as Report
from .gan.recipe import Recipe as Recipe
from .generation.decode import postprocess as postprocess
from .model import EMRWGAN as EMRWGAN
from .pipeline import Pipeline as Pipeline
from .preprocessing.encode import Preprocessor as Preprocessor
from .preprocessing.matrix import Encoded as Encoded
from .runs import fit_runs as fit_runs
from .schema import Column as Column
from .schema import Schema as Schema
from .sources.fetch import fetch as fetch
from .stream import generate as generate

__version__: str
