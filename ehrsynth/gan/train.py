"""The loop that plays the game: it records, looks, saves, resumes, recovers from divergence."""

import copy
import hashlib
import json
import math
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..errors import InputError
from ..files import atomic_path
from ..preprocessing.matrix import Block
from ..progress import at_work
from .monitor import QUALITY, Monitor, TwoSampleTest, validation_rows
from .players import Game, column_means, critic_step, generator_step, stream
from .recipe import Recipe

RECORD_EVERY = 20  # steps between rows of the history
_FIRST = 1 / 3  # of the steps before the monitor's first look: earlier weights have hardly begun
_APART = 100  # steps between two looks, at least; they cost a few per cent of those
_SAFE_EVERY = 200  # steps between the states to which a diverged training can go back
_CHOICE_FROM, _CHOICE_EVERY = 150, 50  # epochs at which the published choice of weights looks
_LOSSES = ("critic_loss", "distance", "penalty", "generator_loss")
_NETWORKS = ("generator", "critic", "chosen")
_OPTIMIZERS = ("generator_optimizer", "critic_optimizer")
_NUMBERS = ("epoch_loss", "halvings", "smallest_loss")  # of a game
_FOUND = ("smallest", "since", "warned")  # by its monitor
_IMAGINED = 1_024  # patients generated to see how far the prevalences are


class TrainingError(InputError):
    """Training went wrong in a way that another recipe can cure.
    Chapter training, "Break it: a collapse".
    """


def train(
    game: Game, data: Tensor, steps: int, seed: int, progress: bool = False,
    checkpoint: "Checkpoint | None" = None, watch: Callable[[int, Game], None] | None = None,
    watch_every: int | None = None, test: TwoSampleTest | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Play `steps` rounds of the game on all training patients, and return the history.

    A row has means since the row before, and with a monitor (which needs `test`) its ``QUALITY``.
    Chapter training, "The loop, and a measure we can trust".
    """
    run = _Run(game, data, steps, seed, checkpoint, test)
    with at_work("Training", steps, "steps", run.step, progress) as work:
        while not run.is_over():
            run.play()
            if run.is_due(RECORD_EVERY):
                if diverged := run.record():
                    run.recover(diverged)
                    continue
                row = run.history[-1]
                work.note = (
                    f"critic {row['critic_loss']:.2f}, generator {row['generator_loss']:.2f}, "
                    f"prevalence error {row['prevalence_error']:.4f}"
                )
            work.at(run.step)
            run.save()
            if watch is not None and run.is_due(watch_every or steps):
                watch(run.step, game)
    if game.recipe.keep == "best" and game.monitor is not None:
        game.chosen.load_state_dict(game.monitor.best)
    elif not game.recipe.averaging and game.smallest_loss == math.inf:
        game.chosen.load_state_dict(game.generator.state_dict())  # the last, as none was chosen
    return pd.DataFrame(run.history)


class _Run:
    """One training: where it is, its history, and the state to which it can go back."""

    def __init__(
        self, game: Game, data: Tensor, steps: int, seed: int, checkpoint: "Checkpoint | None",
        test: TwoSampleTest | None,
    ):  # fmt: skip
        self.game, self.data, self.steps, self.seed = game, data, steps, seed
        self.checkpoint, self.prevalence = checkpoint, column_means(data)
        self.learned = _start_monitor(game, data, self.prevalence, seed, test)
        self.per_epoch = max(1, len(self.learned) // game.recipe.batch)
        self.history: list[dict] = []
        self.step, before = 0, 0.0
        if checkpoint is not None and checkpoint.path.exists():
            self.history, self.step = checkpoint.load(game)
            before = self.history[-1]["seconds"] if self.history else 0.0
        self.started = time.perf_counter() - before
        self.sums = torch.zeros(len(_LOSSES), device=data.device)
        self.safe = (_pack(game), self.step, len(self.history))
        self.batches = _batches(self.learned, game.recipe, seed, self.step)

    def is_over(self) -> bool:
        monitor, patience = self.game.monitor, self.game.recipe.patience
        return self.step >= self.steps or (monitor is not None and 0 < patience <= monitor.since)

    def is_due(self, every: int) -> bool:
        return self.step % every == 0 or self.is_over()

    def play(self) -> None:
        """One step of each player, and of the weights that will generate."""
        game, recipe = self.game, self.game.recipe
        self.step += 1
        set_rates(game, self.step, self.steps)
        for _ in range(recipe.critic_steps):
            real = next(self.batches).float()
            with game.precision(real.device):
                critic_numbers = critic_step(game, real)
        with game.precision(real.device):
            own_loss = generator_step(game, real)
        self.sums += torch.cat([critic_numbers, own_loss.reshape(1)])
        if recipe.averaging:
            average(game, self.step, self.steps)
        elif recipe.keep == "smallest_loss":
            self._choose(float(critic_numbers[0]))

    def _choose(self, critic_loss: float) -> None:
        """As published: the weights at the smallest positive loss of an epoch, its sign turned."""
        game = self.game
        game.epoch_loss += critic_loss
        epoch, inside = divmod(self.step, self.per_epoch)
        if inside == 0:
            loss, game.epoch_loss = -game.epoch_loss / self.per_epoch, 0.0
            due = epoch >= _CHOICE_FROM and epoch % _CHOICE_EVERY == 0
            if due and 0 < loss <= game.smallest_loss:
                game.chosen.load_state_dict(game.generator.state_dict())
                game.smallest_loss = loss

    def record(self) -> str:
        """Add a row to the history; instead a sentence if the training has diverged."""
        count = (self.step - 1) % RECORD_EVERY + 1
        row = dict(zip(_LOSSES, (self.sums / count).tolist(), strict=True))
        self.sums.zero_()
        for name, value in row.items():
            if not math.isfinite(value):
                return (
                    f"Training diverged: {name.replace('_', ' ')} is {value} at step {self.step}; "
                    "use lower learning rates (generator_rate, critic_rate) or another seed."
                )
        row |= {"prevalence_error": self._prevalence_error(), **self._look()}
        row["seconds"] = time.perf_counter() - self.started
        self.history.append({"step": self.step, "epoch": self.step / self.per_epoch, **row})
        return ""

    @torch.no_grad()
    def _prevalence_error(self) -> float:
        """Mean absolute difference between generated and training prevalences."""
        game, data = self.game, self.data
        generator = copy.deepcopy(game.present)
        rng = stream(self.seed, "monitor", self.step, device=data.device)
        rows = torch.randint(len(data), (_IMAGINED,), generator=rng, device=data.device)
        given = data[rows][:, game.columns.condition].float()
        noise = torch.randn(_IMAGINED, game.recipe.latent, generator=rng, device=data.device)
        generated = game.columns.probabilities(generator(noise, given)).mean(dim=0)
        return float((generated - self.prevalence)[~game.columns.is_given].abs().mean())

    def _look(self) -> dict[str, float]:
        """What the monitor finds, NaN between two looks; nothing without a monitor."""
        game, monitor = self.game, self.game.monitor
        if monitor is None:
            return {}
        rows = math.ceil(self.steps * (1 - _FIRST) / game.recipe.looks / RECORD_EVERY)
        due = self.step % max(_APART, rows * RECORD_EVERY) == 0
        if (not due or self.step < _FIRST * self.steps) and self.step < self.steps:
            return dict.fromkeys(QUALITY, math.nan)
        rng = stream(self.seed, "look", device=game.rng.device)
        quality, trouble = monitor.look(game.present, game.columns, game.recipe, rng)
        if trouble and not monitor.warned:
            warnings.warn(f"Step {self.step} of training: {trouble}", RuntimeWarning, stacklevel=4)
            monitor.warned = True
        return quality

    def save(self) -> None:
        """Keep the state to which to go back, and the checkpoint, where they are due."""
        if self.game.recipe.recoveries and self.step % _SAFE_EVERY == 0:
            self.safe = (_pack(self.game), self.step, len(self.history))
        if self.checkpoint is not None and self.is_due(self.checkpoint.every):
            self.checkpoint.save(self.game, self.history, self.step)

    def recover(self, diverged: str) -> None:
        """Go back to the last good state, with half the learning rates, if the recipe has it."""
        halvings = self.game.halvings + 1
        if halvings > self.game.recipe.recoveries:
            raise TrainingError(diverged)
        (tensors, numbers), self.step, rows = self.safe
        _unpack(self.game, tensors, numbers)
        self.game.halvings = halvings
        del self.history[rows:]
        self.batches = _batches(self.learned, self.game.recipe, self.seed, self.step)
        warnings.warn(
            f"{diverged} Training goes on from step {self.step} with half the learning rates.",
            RuntimeWarning, stacklevel=3,
        )  # fmt: skip


# -- what the loop is made of ------------------------------------------------------------


def _start_monitor(
    game: Game, data: Tensor, prevalence: Tensor, seed: int, test: TwoSampleTest | None
) -> Tensor:
    """Give the game its monitor, if the recipe has one; return the patients to train on."""
    recipe = game.recipe
    if recipe.looks and test is None:
        raise InputError(f"looks is {recipe.looks}; give the test to look with, or use looks=0.")
    rows = validation_rows(len(data), stream(seed, "validation"))
    if test is None or not recipe.looks or len(rows) == 0:
        return data
    inside = torch.isin(torch.arange(len(data)), rows).to(data.device)
    game.monitor = Monitor(data[inside].cpu().numpy(), prevalence.cpu().numpy(), test)
    return data[~inside] if recipe.keep == "best" else data


def _batches(data: Tensor, recipe: Recipe, seed: int, step: int) -> Iterator[Tensor]:
    """Batches after so many steps, in an order that seed and epoch alone decide."""
    size, start = min(recipe.batch, len(data)), step * recipe.critic_steps
    per_epoch = len(data) // size
    for epoch in range(start // per_epoch, 10**9):
        order = torch.randperm(len(data), generator=stream(seed, "order", epoch)).to(data.device)
        for i in range(start % per_epoch, per_epoch):
            yield data[order[i * size : (i + 1) * size]]
        start = 0


def set_rates(game: Game, step: int, steps: int) -> None:
    """Constant learning rates up to `decay_from` of the steps, then linearly toward zero.
    Chapter training, "The loop, and a measure we can trust".
    """
    decay_from = game.recipe.decay_from
    left = 1 - (step - 1) / steps
    share = min(1.0, left / (1 - decay_from)) if decay_from < 1 else 1.0
    for player in ("generator", "critic"):
        for group in getattr(game, f"{player}_optimizer").param_groups:
            group["lr"] = getattr(game.recipe, f"{player}_rate") * share / 2**game.halvings


@torch.no_grad()
def average(game: Game, step: int, steps: int) -> None:
    """Move the averaged weights toward the generator's; a short training averages over less.
    Chapter training, "The loop, and a measure we can trust".
    """
    decay = min(game.recipe.averaging, 1 - 10 / (steps + 10), step / (step + 10))
    own, average = game.generator, game.chosen
    torch._foreach_lerp_(list(average.parameters()), list(own.parameters()), 1 - decay)
    torch._foreach_copy_(list(average.buffers()), list(own.buffers()))  # until they are refreshed


# -- stopping and resuming ----------------------------------------------------------------


class Checkpoint:
    """One safetensors file from which training goes on as if it had never stopped.

    It is written every so many steps, rounded up to a multiple of :data:`RECORD_EVERY`.
    Chapter training, "Stop and resume".
    """

    def __init__(
        self, path: Path, recipe: Recipe, steps: int, seed: int, data: Tensor,
        layout: tuple[Block, ...], every: int = 200,
    ):  # fmt: skip
        self.path, self.every = path, max(1, math.ceil(every / RECORD_EVERY)) * RECORD_EVERY
        digest = hashlib.sha256(repr((tuple(data.shape), layout)).encode())
        digest.update(data.cpu().contiguous().numpy().data)
        own = {"steps": steps, "seed": seed, "training data": digest.hexdigest()[:16]}
        self.settings = json.loads(json.dumps(asdict(recipe) | own))

    def save(self, game: Game, history: list[dict], step: int) -> None:
        """Write the whole state of the game, of which so many steps are done."""
        tensors, numbers = _pack(game)
        state = {"settings": self.settings, "step": step, "history": history, "game": numbers}
        with atomic_path(self.path) as temporary:
            temporary.write_bytes(save(tensors, metadata={"state": json.dumps(state)}))

    def load(self, game: Game) -> tuple[list[dict], int]:
        """Put the game in the saved state; return the history and the steps done."""
        try:
            with safe_open(self.path, framework="pt") as file:
                state = json.loads(file.metadata()["state"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}
            old = state["settings"]
        except (SafetensorError, OSError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise InputError(
                f"{self.path} is not a readable checkpoint; delete it to start again."
            ) from error
        new = self.settings.items()
        if other := [f"{k}: {old.get(k)}, now {v}" for k, v in new if old.get(k) != v]:
            raise InputError(
                f"{self.path} was made with other settings ({'; '.join(other)}); "
                "use the same, another folder, or resume=False to start again."
            )
        _unpack(game, tensors, state["game"])
        return state["history"], state["step"]


def _pack(game: Game) -> tuple[dict[str, Tensor], dict]:
    """Copies of all that changes in a game: tensors, and what JSON can hold."""
    tensors = {"random_state": game.rng.get_state()}
    for name in _NETWORKS:
        tensors |= {f"{name}.{key}": x for key, x in getattr(game, name).state_dict().items()}
    for name in _OPTIMIZERS:
        for index, values in getattr(game, name).state_dict()["state"].items():
            tensors |= {f"{name}.{index}.{key}": x for key, x in values.items()}
    numbers = {name: getattr(game, name) for name in _NUMBERS}
    if game.monitor is not None:
        tensors |= {f"best.{key}": x for key, x in game.monitor.best.items()}
        numbers["monitor"] = {name: getattr(game.monitor, name) for name in _FOUND}
    return {name: x.clone().contiguous() for name, x in tensors.items()}, numbers


def _unpack(game: Game, tensors: dict[str, Tensor], numbers: dict) -> None:
    """Put the game in the state that was copied."""
    game.rng.set_state(tensors["random_state"])
    for name in _NETWORKS:
        getattr(game, name).load_state_dict(under(tensors, name))
    for name in _OPTIMIZERS:
        optimizer, values = getattr(game, name), under(tensors, name)
        state = {
            int(i): {key: x.clone() for key, x in under(values, i).items()}
            for i in sorted({key.split(".")[0] for key in values})
        }
        optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
    for name in _NUMBERS:
        setattr(game, name, numbers[name])
    if game.monitor is not None:
        game.monitor.best = under(tensors, "best")
        for name in _FOUND:
            setattr(game.monitor, name, numbers["monitor"][name])


def under(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors whose keys begin with `name` and a dot, by the rest of their keys.
    Chapter training, "Stop and resume".
    """
    start = f"{name}."
    return {k.removeprefix(start): value for k, value in tensors.items() if k.startswith(start)}
