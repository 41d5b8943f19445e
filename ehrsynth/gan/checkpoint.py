"""Stopping and resuming: the whole state of a game in one file."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..errors import InputError
from ..files import atomic_path
from ..preprocessing.matrix import Block
from .players import Game
from .recipe import Recipe, differences

_NETWORKS = ("generator", "critic", "chosen")
_OPTIMIZERS = ("generator_optimizer", "critic_optimizer")
_NUMBERS = ("epoch_loss", "halvings", "smallest_loss")  # of a game
_FOUND = ("smallest", "since", "warned")  # by its monitor


def pack(game: Game) -> tuple[dict[str, Tensor], dict]:
    """Copies of all that changes in a game: tensors, and what JSON can hold.
    Chapter training, "Stop and resume".
    """
    tensors = {"random_state": game.rng.get_state()}
    for name in _NETWORKS:
        for key, value in getattr(game, name).state_dict().items():
            tensors[f"{name}.{key}"] = value.clone().contiguous()
    for name in _OPTIMIZERS:
        for index, values in getattr(game, name).state_dict()["state"].items():
            for key, value in values.items():
                tensors[f"{name}.{index}.{key}"] = value.clone()
    numbers = {name: getattr(game, name) for name in _NUMBERS}
    if game.monitor is not None:
        tensors |= {f"best.{key}": value.clone() for key, value in game.monitor.best.items()}
        numbers["monitor"] = {name: getattr(game.monitor, name) for name in _FOUND}
    return tensors, numbers


def unpack(game: Game, tensors: dict[str, Tensor], numbers: dict) -> None:
    """Put the game in the state that :func:`pack` copied.
    Chapter training, "Stop and resume".
    """
    game.rng.set_state(tensors["random_state"])
    for name in _NETWORKS:
        getattr(game, name).load_state_dict(under(tensors, name))
    for name in _OPTIMIZERS:
        optimizer = getattr(game, name)
        values: dict[int, dict[str, Tensor]] = {}
        for key, value in under(tensors, name).items():
            index, field = key.split(".", 1)
            values.setdefault(int(index), {})[field] = value.clone()
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": values, "param_groups": groups})
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


@dataclass
class Checkpoint:
    """One safetensors file from which training goes on as if it had never stopped.
    Chapter training, "Stop and resume".
    """

    path: Path
    recipe: Recipe
    steps: int
    seed: int
    data: str  # its fingerprint
    every: int = 200  # steps between two saves, a multiple of ``train.RECORD_EVERY``

    def save(self, game: Game, history: list[dict], step: int) -> None:
        """Write the whole state of the game, of which so many steps are done."""
        tensors, numbers = pack(game)
        state = {
            "recipe": asdict(self.recipe), "steps": self.steps, "seed": self.seed,
            "data": self.data, "step": step, "history": history, "game": numbers,
        }  # fmt: skip
        with atomic_path(self.path) as temporary:
            temporary.write_bytes(save(tensors, metadata={"state": json.dumps(state)}))

    def load(self, game: Game) -> tuple[list[dict], int]:
        """Put the game in the saved state; return the history and the steps done."""
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


def fingerprint(data: Tensor, layout: tuple) -> str:
    """A short text that changes when the training data does.
    Chapter training, "Stop and resume".
    """
    digest = hashlib.sha256(repr((tuple(data.shape), layout)).encode())
    digest.update(data.cpu().contiguous().numpy().data)
    return digest.hexdigest()[:16]


def check_size(recipe: Recipe, layout: tuple[Block, ...], weights: dict[str, Tensor]) -> None:
    """Refuse settings that ask for much larger networks than those whose weights are there.
    Chapter training, "Stop and resume".
    """
    asked = recipe.width * max(recipe.latent, recipe.layers * recipe.width)
    widest = max(max(len(block.labels), len(block.scores)) for block in layout)
    if asked > sum(weight.numel() for weight in weights.values()) or widest > 10_000:  # in pairs
        raise ValueError("its settings ask for larger networks than those it holds")
