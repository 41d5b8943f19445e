"""The two-player game: one step for each player, and the loop that can be stopped and resumed."""

import copy
import hashlib
import json
import math
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from ..errors import InputError
from ..files import atomic_path
from ..generation.calibration import column_means
from .losses import critic_loss, distance, generator_loss, gradient_penalty
from .monitor import APART, FIRST, QUALITY, Monitor, validation_rows
from .networks import Columns, Critic, Generator
from .recipe import Recipe, differences

RECORD_EVERY = 20  # steps between rows of the history
_SAFE_EVERY = 200  # steps between the states to which a diverged training can go back
_LOSSES = ("critic_loss", "distance", "penalty", "generator_loss")
_MONITORED = 1024  # patients generated for one look at the prevalences


class TrainingError(InputError):
    """Training went wrong in a way that other settings can cure."""


@dataclass
class Game:
    """Everything that changes while the players play."""

    recipe: Recipe
    columns: Columns
    generator: Generator
    critic: Critic
    chosen: Generator  # the weights that will generate: an average, or the best so far
    generator_optimizer: torch.optim.Optimizer
    critic_optimizer: torch.optim.Optimizer
    rng: torch.Generator
    smallest_loss: float = math.inf  # of an epoch, for the published choice of weights
    epoch_loss: float = 0.0  # sum over the present epoch
    halvings: int = 0  # of the learning rates, after divergence
    monitor: Monitor | None = None

    def imagine(self, real: Tensor) -> Tensor:
        """A fake patient for each real one, alike in the given columns. Shape (batch, width)."""
        noise = torch.randn(len(real), self.recipe.latent, generator=self.rng, device=real.device)
        logits = self.generator(noise, real[:, self.columns.condition]).float()
        x = self.columns.probabilities(logits)
        if self.recipe.sampled_codes:
            x = self.columns.straight_through(x, self.rng)
        return self.columns.fill_given(x, real)


def critic_step(game: Game, real: Tensor) -> Tensor:
    """The critic learns to score `real` patients above fake ones; returns its three numbers."""
    with torch.no_grad():
        fake = game.columns.features(game.imagine(real))
    real = game.columns.features(real)
    real_scores, fake_scores = game.critic(torch.cat([real, fake])).chunk(2)
    looked_at = max(1, round(game.recipe.penalty_share * len(real)))
    penalty = gradient_penalty(game.critic, real[:looked_at], fake[:looked_at], game.rng)
    loss = critic_loss(real_scores, fake_scores, penalty, game.recipe.penalty)
    game.critic_optimizer.zero_grad()
    loss.backward()
    game.critic_optimizer.step()
    return torch.stack([loss, distance(real_scores, fake_scores), penalty]).detach()


def generator_step(game: Game, real: Tensor) -> Tensor:
    """The generator learns to make patients that the critic scores high; returns its loss."""
    fake = game.columns.features(game.imagine(real))
    loss = generator_loss(game.critic(fake))
    game.generator_optimizer.zero_grad()
    loss.backward(inputs=list(game.generator.parameters()))
    game.generator_optimizer.step()
    return loss.detach()


def multiplying(recipe: Recipe, device: torch.device) -> torch.autocast:
    """The precision of one step; of one only, because torch keeps the rounded weights inside."""
    half = recipe.half_precision and has_bfloat16(device)
    return torch.autocast(device.type, torch.bfloat16, enabled=half)


@cache
def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 faster than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Without such instructions it is emulated, many times slower; an older torch does not tell.
    able = getattr(torch.cpu, "get_capabilities", dict)() if device.type == "cpu" else {}
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


# -- setting up --------------------------------------------------------------------------


def stream(seed: int, *purpose: object, device: str | torch.device = "cpu") -> torch.Generator:
    """A random generator of its own for each purpose, so that no draw depends on another's."""
    digest = hashlib.sha256(repr((seed, *purpose)).encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:7], "little"))


def new_game(
    recipe: Recipe, columns: Columns, prevalence: Tensor, seed: int, device: torch.device
) -> Game:
    """Networks with seeded random weights, their optimizers, and the game's random stream."""
    generator = new_generator(recipe, columns)
    with torch.random.fork_rng(devices=[]):
        critic = Critic(columns.feature_width, recipe.width, recipe.layers)
    weights = stream(seed, "weights")
    for network in (generator, critic):
        for layer in network.modules():
            if isinstance(layer, torch.nn.Linear):
                bound = 1 / math.sqrt(layer.in_features)
                torch.nn.init.uniform_(layer.weight, -bound, bound, generator=weights)
                torch.nn.init.zeros_(layer.bias)
    if recipe.prevalence_bias:
        with torch.no_grad():
            generator.last.bias.copy_(starting_bias(columns, prevalence))
    generator, critic = generator.to(device), critic.to(device)
    return Game(
        recipe, columns.to(device), generator, critic, copy.deepcopy(generator),
        _optimizer(recipe, generator, recipe.generator_rate),
        _optimizer(recipe, critic, recipe.critic_rate),
        stream(seed, "game", device=device),
    )  # fmt: skip


def new_generator(recipe: Recipe, columns: Columns) -> Generator:
    """A generator of this recipe; its weights are still to be set."""
    with torch.random.fork_rng(devices=[]):  # torch starts layers from its global generator
        return Generator(
            recipe.latent, len(columns.condition), columns.width, recipe.width, recipe.layers,
            recipe.centered_output, columns.numbers if recipe.smooth_numbers else (),
        )  # fmt: skip


def starting_bias(columns: Columns, prevalence: Tensor) -> Tensor:
    """Biases at which the generator's outputs have these prevalences, shape (width,)."""
    p = prevalence.cpu().clamp(1e-6, 1 - 1e-6)
    bias = torch.where(columns.is_one_hot.cpu(), p.log(), p.logit())
    bias[prevalence.cpu() == 0] = -30.0  # never seen in train, never generated
    return bias


def _optimizer(recipe: Recipe, network: torch.nn.Module, rate: float) -> torch.optim.Optimizer:
    if recipe.optimizer == "rmsprop":
        return torch.optim.RMSprop(network.parameters(), lr=rate, alpha=0.9, eps=1e-7)
    return torch.optim.Adam(network.parameters(), lr=rate, betas=recipe.betas, fused=True)


# -- the loop ----------------------------------------------------------------------------


def train(
    game: Game,
    data: Tensor,
    steps: int,
    seed: int,
    progress: bool = False,
    checkpoint: "Checkpoint | None" = None,
    watch: Callable[[int, Game], None] | None = None,
    watch_every: int | None = None,
) -> pd.DataFrame:
    """Play `steps` rounds and return the history.

    Parameters
    ----------
    game : Game
        Changed in place.
    data : tensor, shape (n, width)
        All training patients, uint8 or float, on the device.
    steps : int
    seed : int
        For the order of the patients.
    progress : bool
        Show a progress bar with the losses.
    checkpoint : Checkpoint, optional
        Where to save, and to go on from.
    watch : callable, optional
        Called with the step and the game every `watch_every` steps.

    Returns
    -------
    DataFrame
        step, epoch, critic_loss, distance, penalty, generator_loss (means since the row before),
        prevalence_error (mean absolute difference from train), seconds; with a monitor also what
        its looks found (:data:`~ehrsynth.gan.monitor.QUALITY`), NaN between two looks.
    """
    recipe = game.recipe
    prevalence = column_means(data)
    learned = _start_monitor(game, data, prevalence, seed)
    look_every = _look_every(recipe, steps)
    history, step, before = [], 0, 0.0
    if checkpoint is not None and checkpoint.path.exists():
        history, step = checkpoint.load(game)
        before = history[-1]["seconds"] if history else 0.0
    per_epoch = max(1, len(learned) // recipe.batch)
    batches = _batches(learned, recipe, seed, start=step * recipe.critic_steps)
    sums = torch.zeros(len(_LOSSES), device=data.device)
    safe = (pack(game), step, len(history))
    start = time.perf_counter()
    with tqdm(
        total=steps, initial=step, desc="Training", unit=" steps", disable=not progress
    ) as bar:
        while step < steps and not _is_over(game):
            step += 1
            _set_rates(game, step, steps)
            for _ in range(recipe.critic_steps):
                real = next(batches).float()
                with multiplying(recipe, data.device):
                    critic_numbers = critic_step(game, real)
            with multiplying(recipe, data.device):
                generator_number = generator_step(game, real)
            sums += torch.cat([critic_numbers, generator_number.reshape(1)])
            if recipe.averaging:
                _average(game, recipe.averaging, step, steps)
            elif recipe.keep == "smallest_loss":
                game.epoch_loss += float(critic_numbers[0])
                if step % per_epoch == 0:
                    _keep_smallest(game, -game.epoch_loss / per_epoch, counts=step > steps / 2)
                    game.epoch_loss = 0.0
            if step % RECORD_EVERY == 0 or step == steps:
                count = step - (step - 1) // RECORD_EVERY * RECORD_EVERY
                row = dict(zip(_LOSSES, (sums / count).tolist(), strict=True))
                sums.zero_()
                diverged = _divergence(row, step)
                if diverged and game.halvings < recipe.recoveries:
                    step = _go_back(game, safe, diverged)
                    del history[safe[2] :]
                    batches = _batches(learned, recipe, seed, start=step * recipe.critic_steps)
                    bar.n = step
                    continue
                if diverged:
                    raise TrainingError(diverged)
                row["prevalence_error"] = prevalence_error(game, data, prevalence, seed, step)
                if game.monitor is not None:
                    due = step == steps or (step >= FIRST * steps and step % look_every == 0)
                    row |= _look(game, seed, step) if due else dict.fromkeys(QUALITY, math.nan)
                seconds = before + time.perf_counter() - start
                history.append({"step": step, "epoch": step / per_epoch, **row, "seconds": seconds})
                bar.set_postfix_str(
                    f"critic {row['critic_loss']:.2f}, generator {row['generator_loss']:.2f}, "
                    f"prevalence error {row['prevalence_error']:.4f}"
                )
            bar.update()
            last = step == steps or _is_over(game)
            if recipe.recoveries and step % _SAFE_EVERY == 0:
                safe = (pack(game), step, len(history))
            if checkpoint is not None and (step % checkpoint.every == 0 or last):
                checkpoint.save(game, history, step)
            if watch is not None and (step % watch_every == 0 or last):
                watch(step, game)
    if recipe.keep == "best" and game.monitor is not None:
        game.chosen.load_state_dict(game.monitor.best)
    elif not recipe.averaging and game.smallest_loss == math.inf:
        game.chosen.load_state_dict(game.generator.state_dict())
    return pd.DataFrame(history)


# -- the quality monitor in the loop -----------------------------------------------------


def _start_monitor(game: Game, data: Tensor, prevalence: Tensor, seed: int) -> Tensor:
    """Give the game its monitor, if the recipe has one; return the patients to train on."""
    recipe = game.recipe
    rows = validation_rows(len(data), stream(seed, "validation")) if recipe.looks else []
    if len(rows) == 0:
        return data
    inside = torch.zeros(len(data), dtype=torch.bool)
    inside[rows] = True
    inside = inside.to(data.device)
    game.monitor = Monitor(data[inside].cpu().numpy(), prevalence.cpu().numpy())
    return data[~inside] if recipe.keep == "best" else data


def _look_every(recipe: Recipe, steps: int) -> int:
    """Steps between two looks: evenly spread, and not so many that looking takes the time."""
    spread = math.ceil(steps * (1 - FIRST) / max(recipe.looks, 1) / RECORD_EVERY) * RECORD_EVERY
    return max(APART, spread)


def _look(game: Game, seed: int, step: int) -> dict[str, float]:
    trained = game.chosen if game.recipe.averaging else game.generator
    rng = stream(seed, "look", device=game.rng.device)
    quality, trouble = game.monitor.look(trained, game.columns, game.recipe, rng)
    if trouble and not game.monitor.warned:
        warnings.warn(f"Step {step} of training: {trouble}", RuntimeWarning, stacklevel=3)
        game.monitor.warned = True
    return quality


def _is_over(game: Game) -> bool:
    """Whether the monitor has lost its patience."""
    patience = game.recipe.patience
    return game.monitor is not None and 0 < patience <= game.monitor.since


def _go_back(game: Game, safe: tuple[tuple[dict, dict], int, int], diverged: str) -> int:
    """Put the game back to the last good state, with half the learning rates; return its step."""
    (tensors, numbers), step, _ = safe
    halvings = game.halvings + 1
    unpack(game, tensors, numbers)
    game.halvings = halvings
    warnings.warn(
        f"{diverged} Training goes on from step {step} with half the learning rates.",
        RuntimeWarning, stacklevel=3,
    )  # fmt: skip
    return step


def _batches(data: Tensor, recipe: Recipe, seed: int, start: int) -> Iterator[Tensor]:
    """Batches from `start` on, in an order that seed and epoch alone decide."""
    size = min(recipe.batch, len(data))
    per_epoch = len(data) // size
    for epoch in range(start // per_epoch, 10**9):
        order = torch.randperm(len(data), generator=stream(seed, "order", epoch)).to(data.device)
        for i in range(start % per_epoch, per_epoch):
            yield data[order[i * size : (i + 1) * size]]
        start = 0


def _set_rates(game: Game, step: int, steps: int) -> None:
    """Constant learning rates up to `decay_from` of the steps, then linearly towards zero."""
    decay_from = game.recipe.decay_from
    left = 1 - (step - 1) / steps
    share = min(1.0, left / (1 - decay_from)) if decay_from < 1 else 1.0
    for optimizer, rate in (
        (game.generator_optimizer, game.recipe.generator_rate),
        (game.critic_optimizer, game.recipe.critic_rate),
    ):
        for group in optimizer.param_groups:
            group["lr"] = rate * share / 2**game.halvings


@torch.no_grad()
def _average(game: Game, averaging: float, step: int, steps: int) -> None:
    """Move the averaged weights towards the generator's; a short training averages over less.

    The batch-norm statistics are those of the generator's own weights until they are recomputed.
    """
    decay = min(averaging, 1 - 10 / (steps + 10), step / (step + 10))
    torch._foreach_lerp_(
        list(game.chosen.parameters()), list(game.generator.parameters()), 1 - decay
    )
    torch._foreach_copy_(list(game.chosen.buffers()), list(game.generator.buffers()))


def _keep_smallest(game: Game, loss: float, counts: bool) -> None:
    """The published choice of weights: those at the smallest positive critic loss.

    As published, the loss is printed with its sign turned (distance - penalty), as the mean over
    an epoch. It starts negative and crosses zero on its way up, so only the second half counts.
    """
    if counts and 0 < loss < game.smallest_loss:
        game.chosen.load_state_dict(game.generator.state_dict())
        game.smallest_loss = loss


def _divergence(row: dict[str, float], step: int) -> str:
    """A sentence when one of the numbers is none, or ""."""
    wrong = [name for name, value in row.items() if not math.isfinite(value)]
    if not wrong:
        return ""
    return (
        f"Training diverged: {wrong[0].replace('_', ' ')} is {row[wrong[0]]} at step {step}; "
        "use lower learning rates (generator_rate, critic_rate) or another seed."
    )


@torch.no_grad()
def prevalence_error(game: Game, data: Tensor, prevalence: Tensor, seed: int, step: int) -> float:
    """Mean absolute difference between generated and training prevalences, over the columns."""
    generator = copy.deepcopy(game.chosen if game.recipe.averaging else game.generator)
    rng = stream(seed, "monitor", step, device=data.device)
    rows = torch.randint(len(data), (_MONITORED,), generator=rng, device=data.device)
    given = data[rows][:, game.columns.condition].float()
    noise = torch.randn(_MONITORED, game.recipe.latent, generator=rng, device=data.device)
    generated = game.columns.probabilities(generator(noise, given)).mean(dim=0)
    learned = ~game.columns.is_given
    return float((generated - prevalence)[learned].abs().mean())


# -- stopping and resuming ---------------------------------------------------------------


def pack(game: Game) -> tuple[dict[str, Tensor], dict]:
    """Copies of all that changes in a game: tensors, and numbers that JSON can hold."""
    tensors = {"random_state": game.rng.get_state()}
    for name in ("generator", "critic", "chosen"):
        for key, value in getattr(game, name).state_dict().items():
            tensors[f"{name}.{key}"] = value.clone().contiguous()
    for name in ("generator_optimizer", "critic_optimizer"):
        for index, values in getattr(game, name).state_dict()["state"].items():
            for key, value in values.items():
                tensors[f"{name}.{index}.{key}"] = torch.as_tensor(value).clone()
    numbers = {
        "epoch_loss": game.epoch_loss, "halvings": game.halvings,
        "smallest_loss": None if game.smallest_loss == math.inf else game.smallest_loss,
    }  # fmt: skip
    if game.monitor is not None:
        seen = game.monitor
        tensors |= {f"best.{key}": value.clone() for key, value in seen.best.items()}
        smallest = None if seen.smallest == math.inf else seen.smallest
        numbers["monitor"] = {"smallest": smallest, "since": seen.since, "warned": seen.warned}
    return tensors, numbers


def unpack(game: Game, tensors: dict[str, Tensor], numbers: dict) -> None:
    """Put the game in the state that :func:`pack` copied."""
    game.rng.set_state(tensors["random_state"])
    for name in ("generator", "critic", "chosen"):
        getattr(game, name).load_state_dict(_under(tensors, name))
    for name in ("generator_optimizer", "critic_optimizer"):
        optimizer = getattr(game, name)
        values: dict[int, dict[str, Tensor]] = {}
        for key, value in _under(tensors, name).items():
            index, field = key.split(".", 1)
            values.setdefault(int(index), {})[field] = value.clone()
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": values, "param_groups": groups})
    smallest = numbers["smallest_loss"]
    game.smallest_loss = math.inf if smallest is None else smallest
    game.epoch_loss, game.halvings = numbers["epoch_loss"], numbers["halvings"]
    if game.monitor is not None:
        found = numbers["monitor"]
        smallest = math.inf if found["smallest"] is None else found["smallest"]
        game.monitor.smallest, game.monitor.since = smallest, found["since"]
        game.monitor.best, game.monitor.warned = _under(tensors, "best"), found["warned"]


@dataclass
class Checkpoint:
    """One file from which training goes on as if it had never stopped.

    Parameters
    ----------
    path : path
        A safetensors file; written whole or not at all.
    recipe : Recipe
    steps, seed : int
    data : str
        Fingerprint of the training data.
    every : int
        Steps between two saves, a multiple of `RECORD_EVERY`.
    """

    path: Path
    recipe: Recipe
    steps: int
    seed: int
    data: str
    every: int = 200

    def save(self, game: Game, history: list[dict], step: int) -> None:
        """Write the whole state of the game."""
        tensors, numbers = pack(game)
        state = {
            "recipe": asdict(self.recipe), "steps": self.steps, "seed": self.seed,
            "data": self.data, "step": step, "history": history, "game": numbers,
        }  # fmt: skip
        with atomic_path(self.path) as temporary:
            save_file(tensors, temporary, metadata={"state": json.dumps(state)})

    def load(self, game: Game) -> tuple[list[dict], int]:
        """Put the game in the saved state; return the history and the steps done.

        Raises
        ------
        InputError
            If the file is broken or comes from other data or settings.
        """
        try:
            with safe_open(self.path, framework="pt") as file:
                state = json.loads(file.metadata()["state"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}
        except (SafetensorError, OSError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise InputError(
                f"{self.path} is not a readable checkpoint; delete it to start again."
            ) from error
        self._check_same(state)
        unpack(game, tensors, state["game"])
        return state["history"], state["step"]

    def _check_same(self, state: dict) -> None:
        other = differences(Recipe(**state["recipe"]), self.recipe)
        for name in ("steps", "seed"):
            if state[name] != getattr(self, name):
                other.append(f"{name}: {state[name]}, now {getattr(self, name)}")
        if state["data"] != self.data:
            other.append("other training data")
        if other:
            raise InputError(
                f"{self.path} was made with other settings ({'; '.join(other)}); "
                "use the same, another folder, or resume=False to start again."
            )


def _under(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    start = f"{name}."
    return {key[len(start) :]: value for key, value in tensors.items() if key.startswith(start)}


def fingerprint(data: Tensor, layout: tuple) -> str:
    """A short text that changes when the training data does."""
    digest = hashlib.sha256(repr((tuple(data.shape), layout)).encode())
    digest.update(data.cpu().contiguous().numpy())
    return digest.hexdigest()[:16]
