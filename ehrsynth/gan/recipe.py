"""Every choice in training a GAN for patient tables, as one named switch each."""

from dataclasses import dataclass, fields, replace

from ..errors import InputError

MODEL_FILES = SETTINGS, WEIGHTS = "gan.json", "gan.safetensors"  # a trained model on disk
CHECKPOINT = "checkpoint.safetensors"  # a half-trained one


@dataclass(frozen=True)
class Recipe:
    """How an EMR-WGAN is built and trained; the defaults are the published tutorial's choices.

    An ablation is a loop over ``dataclasses.replace(recipe, switch=...)``.
    Chapter training, "Two recipes, side by side".

    Parameters
    ----------
    latent, width, layers : int
        Length of the noise; size and number of the residual layers, for both players.
    initialization : {"glorot", "small"}
        The first weights are uniform up to the square root of 6 / (inputs + outputs), or of
        1 / inputs.
    fakes_by : {"running", "batch"}
        In the critic's step the generator runs with its running batch-norm statistics, or with
        those of the batch.
    batch, critic_steps : int
        Patients per step (at most all); critic steps for each generator step.
    steps, epochs : int or None, int
        Generator steps; and most passes over the training patients, so that small tables do not
        train forever. Without `steps`, the passes alone count.
    optimizer : {"rmsprop", "adam"}
    generator_rate, critic_rate : float
        Learning rates.
    betas : pair of float
        Adam's averaging of the gradient and of its square.
    decay_from : float
        Share of the steps after which the learning rates fall linearly to zero; 1 keeps them.
    penalty, penalty_share : float
        Weight of the gradient penalty; and share of a batch that it looks at, as it is the
        costliest part of a step.
    half_precision : bool
        Multiply matrices in bfloat16 where the processor or the graphics card has instructions for
        it. The weights, the losses and what is generated stay float32.
    sampled_codes : bool
        The critic sees drawn 0/1 codes (straight-through gradient) instead of probabilities, which
        it would tell from real codes at once; and generation draws codes instead of rounding.
    score_weight : float
        Weight of the bins' normal scores, shown to the critic beside the one-hots; 0 shows none.
    prevalence_bias : bool
        The generator's output biases start at train's prevalences.
    centered_output : bool
        Normalize the input of the generator's last layer, so that the prevalences do not all move
        together in the first steps. Goes with `prevalence_bias`.
    smooth_numbers : bool
        The noise moves a number's bins as polynomials of their scores, not one by one: four
        numbers instead of one for each bin that could learn a single patient by heart.
    condition, match_outcome : bool
        Give the outcome and the sex to the generator; or else generate until the outcome's classes
        are as frequent as in train, and reject the rest.
    averaging : float
        Decay of the running average of the generator's weights, which generates; 0 for none.
    refresh_statistics : bool
        Recompute the batch-norm statistics for the averaged weights after training.
    calibration : {"none", "global", "within"}
        Shift the output biases until the generated prevalences equal train's: over all patients,
        or also within outcome x sex as far as there are patients to tell (which `pairs` includes).
    pairs : bool
        Also calibrate which columns go together: each drawn category or bin shifts the logits of
        what comes later, by more or less among patients with the outcome. With `sampled_codes`
        only.
    code_pairs : float
        Draw the codes one after another too, each shifting those after it, so that pairs of codes
        are as frequent as in train; with `pairs` only. 1 trusts train's pairs as far as they
        differ by more than chance, less is more cautious, 0 draws all codes at once.
    code_counts : bool
        Also calibrate how many diagnoses the patients have. With `sampled_codes` only.
    keep : {"last", "best", "smallest_loss"}
        Which weights generate: the last ones, those that the quality monitor finds best, or those
        at the smallest positive critic loss (of every 50th epoch from 150 on).
    looks : int
        How often the quality monitor looks, at most, from a third of the steps on.
    patience : int
        Looks in a row without improvement that end the training; 0 never ends it early. With
        ``keep="best"`` only. Where `decay_from` is below 1, the last looks are usually the best.
    recoveries : int
        How often a training whose losses are no longer numbers goes back to the last good state,
        each time with half the learning rates, before it is given up.
    """

    latent: int = 128
    width: int = 384
    layers: int = 4
    initialization: str = "glorot"
    fakes_by: str = "running"
    batch: int = 4096
    critic_steps: int = 1
    steps: int | None = None
    epochs: int = 15_000
    optimizer: str = "rmsprop"
    generator_rate: float = 1e-5
    critic_rate: float = 2e-5
    betas: tuple[float, float] = (0.0, 0.9)
    decay_from: float = 1.0
    penalty: float = 10.0
    penalty_share: float = 1.0
    half_precision: bool = False
    sampled_codes: bool = False
    score_weight: float = 0.0
    prevalence_bias: bool = False
    centered_output: bool = False
    smooth_numbers: bool = False
    condition: bool = False
    match_outcome: bool = True
    averaging: float = 0.0
    refresh_statistics: bool = False
    calibration: str = "none"
    pairs: bool = False
    code_pairs: float = 0.0
    code_counts: bool = False
    keep: str = "smallest_loss"
    looks: int = 0
    patience: int = 0
    recoveries: int = 0

    def __post_init__(self):
        object.__setattr__(self, "betas", tuple(self.betas))
        for name, known in (
            ("initialization", ("glorot", "small")),
            ("fakes_by", ("running", "batch")),
            ("optimizer", ("rmsprop", "adam")),
            ("calibration", ("none", "global", "within")),
            ("keep", ("last", "best", "smallest_loss")),
        ):
            if getattr(self, name) not in known:
                raise InputError(
                    f"{name} is {getattr(self, name)!r}; use one of {', '.join(known)}."
                )
        counts = dict.fromkeys(("latent", "width", "layers", "batch", "epochs", "critic_steps"), 1)
        counts |= {"looks": 0, "patience": 0, "recoveries": 0}
        counts |= {} if self.steps is None else {"steps": 1}
        for name, least in counts.items():
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}; use {least} or more.")
        if self.keep == "best" and not self.looks:
            raise InputError("keep is 'best' but looks is 0; say how often to look, e.g. looks=12.")
        if self.patience and self.keep != "best":
            raise InputError(f"patience is {self.patience}; it needs keep='best'.")
        if not 0 < self.penalty_share <= 1:
            raise InputError(
                f"penalty_share is {self.penalty_share}; use a share above 0 and at most 1."
            )

    def total_steps(self, patients: int) -> int:
        """Generator steps for a table of this many training patients."""
        per_epoch = max(1, patients // self.batch)
        most = self.epochs * per_epoch
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
    calibration="within", pairs=True, code_counts=True,
    keep="best", looks=12, recoveries=2,
)  # fmt: skip
RECIPES = {"paper": PAPER, "modern": MODERN}
DEFAULT = "modern"


def named(name: str) -> Recipe:
    """The recipe of this name, one of :data:`RECIPES`.

    Chapter training, "Two recipes, side by side".
    """
    if name not in RECIPES:
        raise InputError(f"There is no recipe {name!r}; use one of {', '.join(RECIPES)}.")
    return RECIPES[name]


def differences(old: Recipe, new: Recipe) -> list[str]:
    """The switches in which two recipes differ, each as ``name: old, now new``.

    Chapter training, "Two recipes, side by side".
    """
    pairs = ((f.name, getattr(old, f.name), getattr(new, f.name)) for f in fields(Recipe))
    return [f"{name}: {a}, now {b}" for name, a, b in pairs if a != b]
