"""Every choice in training a GAN for patient tables, as one named switch each."""

from dataclasses import dataclass, fields, replace

from ..errors import InputError, check_choice

MODEL_FILES = SETTINGS, WEIGHTS = "gan.json", "gan.safetensors"  # a trained model on disk
CHECKPOINT = "checkpoint.safetensors"  # a half-trained one
_CHOICES = {
    "initialization": ("glorot", "small"), "fakes_by": ("running", "batch"),
    "optimizer": ("rmsprop", "adam"), "calibration": ("none", "global", "within"),
    "draws": ("even", "independent"), "keep": ("last", "best", "smallest_loss"),
}  # fmt: skip
_LEAST = dict.fromkeys(
    ("latent", "width", "layers", "batch", "steps", "epochs", "critic_steps"), 1
) | dict.fromkeys(("looks", "patience", "recoveries", "pairs", "code_pairs", "stands_out"), 0)


@dataclass(frozen=True)
class Recipe:
    """How an EMR-WGAN is built and trained; the defaults are the published tutorial's choices.

    An ablation is a loop over ``dataclasses.replace(recipe, switch=...)``.
    Chapter training, "Two recipes, side by side".
    """

    latent: int = 128  #: length of the noise
    width: int = 384  #: of the residual layers, for both players
    layers: int = 4  #: number of the residual layers
    #: first weights up to the root of 6 / (inputs + outputs), or if "small" of 1 / inputs
    initialization: str = "glorot"
    #: batch-norm statistics of the generator in the critic's step, "running" or of the "batch"
    fakes_by: str = "running"
    batch: int = 4096  #: patients per step, at most all
    critic_steps: int = 1  #: for each generator step
    steps: int | None = None  #: generator steps; without, the passes alone count
    epochs: int = 15_000  #: most passes over train, so that small tables do not train forever
    optimizer: str = "rmsprop"  #: or "adam"
    generator_rate: float = 1e-5  #: learning rate
    critic_rate: float = 2e-5  #: learning rate
    betas: tuple[float, float] = (0.0, 0.9)  #: Adam's averaging of the gradient and of its square
    #: share of the steps after which the learning rates fall linearly to zero; 1 keeps them
    decay_from: float = 1.0
    penalty: float = 10.0  #: weight of the gradient penalty
    penalty_share: float = 1.0  #: of a batch that it looks at, the costliest part of a step
    #: multiply in bfloat16 where the hardware has instructions; all that is kept stays float32
    half_precision: bool = False
    #: the critic sees drawn 0/1 codes (straight-through gradient) instead of probabilities, which
    #: it would tell from real codes at once; and generation draws codes instead of rounding
    sampled_codes: bool = False
    score_weight: float = 0.0  #: of the bins' normal scores, shown to the critic beside them
    prevalence_bias: bool = False  #: the generator's output biases start at train's prevalences
    #: normalize the last layer's input, so that first steps do not move all prevalences together
    centered_output: bool = False
    #: the noise moves a number's bins as polynomials of their scores, four numbers instead of one
    #: for each bin that could learn a single patient by heart
    smooth_numbers: bool = False
    condition: bool = False  #: give the outcome and the sex to the generator
    #: or else reject patients until the outcome's classes are as frequent as in train
    match_outcome: bool = True
    averaging: float = 0.0  #: decay of the average of the generator's weights, which generates
    refresh_statistics: bool = False  #: recompute the averaged weights' batch-norm statistics
    #: "none", "global" or "within", shift the output biases to train's prevalences, over all
    #: patients, or also within outcome x sex (which `pairs` includes)
    calibration: str = "none"
    #: also calibrate which columns go together, each drawn category or bin shifts what comes later,
    #: by more or less among patients with the outcome; with `sampled_codes` only. 1 trusts train's
    #: pairs as far as they differ by more than chance, less gives less away, 0 draws all at once
    pairs: float = 0.0
    #: the same for pairs of codes, which are then drawn one after another; with `pairs` only
    code_pairs: float = 0.0
    #: standard errors by which a pair of codes differs to be kept, whatever the trust
    stands_out: float = 4.0
    #: "even", a code goes to as many patients as its probabilities add up to, or "independent",
    #: each patient for himself: prevalences differ by chance, as those of new patients do
    draws: str = "even"
    #: also calibrate how many diagnoses the patients have; with `sampled_codes` only
    code_counts: bool = False
    #: which weights generate, the "last", the "best" that the quality monitor finds, or those at
    #: the "smallest_loss", positive, of every 50th epoch from 150 on
    keep: str = "smallest_loss"
    looks: int = 0  #: how often the monitor looks, at most, from a third of the steps on
    #: looks in a row without improvement that end the training, 0 never; with ``keep="best"`` only
    patience: int = 0
    #: how often a training that diverges goes back to the last good state, at half the rates
    recoveries: int = 0

    def __post_init__(self):
        object.__setattr__(self, "betas", tuple(self.betas))
        for name, known in _CHOICES.items():
            check_choice(name, getattr(self, name), known)
        for name, least in _LEAST.items():
            if (own := getattr(self, name)) is not None and own < least:
                raise InputError(f"{name} is {own}; use {least} or more.")
        if self.keep == "best" and not self.looks:
            raise InputError("keep is 'best' but looks is 0; say how often to look, e.g. looks=12.")
        if self.patience and self.keep != "best":
            raise InputError(f"patience is {self.patience}; it needs keep='best'.")
        if not 0 < self.penalty_share <= 1:
            share = f"penalty_share is {self.penalty_share}"
            raise InputError(f"{share}; use a share above 0 and at most 1.")

    def total_steps(self, patients: int) -> int:
        """Generator steps for a table of this many training patients."""
        most = self.epochs * max(1, patients // self.batch)
        return most if self.steps is None else min(self.steps, most)


PAPER = Recipe()
MODERN = replace(
    PAPER, width=256, layers=5, initialization="small", fakes_by="batch",
    batch=128, steps=4_000, epochs=200,
    optimizer="adam", generator_rate=1e-3, critic_rate=2e-3, decay_from=0.6,
    penalty_share=0.25, half_precision=True,
    sampled_codes=True, score_weight=0.7, prevalence_bias=True, centered_output=True,
    smooth_numbers=True, condition=True, match_outcome=False,
    averaging=0.998, refresh_statistics=True,
    calibration="within", pairs=1.0, code_pairs=0.03, code_counts=True,
    keep="best", looks=12, recoveries=2,
)  # fmt: skip
RECIPES = {"paper": PAPER, "modern": MODERN}
DEFAULT = "modern"
PRIVACY = ("usual", "strict")  # how much a run may learn of the patients; see `strict`


def named(name: str) -> Recipe:
    """The recipe of this name. Chapter training, "Two recipes, side by side"."""
    check_choice("recipe", name, RECIPES)
    return RECIPES[name]


def strict(recipe: Recipe, steps: int) -> Recipe:
    """What tells less of who was in train: an eighth of the steps, and only pairs that stand out.

    Chosen in ``benchmarks/price_list.py``. Chapter attacks, "What fidelity costs".
    """
    shorter = replace(recipe, steps=max(steps // 8, 1))
    if not recipe.pairs:
        return shorter
    return replace(shorter, pairs=0.03, code_pairs=0.001, stands_out=5.0)


def differences(old: Recipe, new: Recipe) -> list[str]:
    """The switches in which two recipes differ, each as ``name: old, now new``.
    Chapter training, "Two recipes, side by side".
    """
    pairs = ((f.name, getattr(old, f.name), getattr(new, f.name)) for f in fields(Recipe))
    return [f"{name}: {a}, now {b}" for name, a, b in pairs if a != b]
