"""Stopping and resuming: the whole state of a game in one file."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..errors import InputError
from ..files import atomic_path
from ..preprocessing.matrix import Block
from .players import Game
from .recipe import Recipe

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
        tensors |= {f"{name}.{key}": x for key, x in getattr(game, name).state_dict().items()}
    for name in _OPTIMIZERS:
        for index, values in getattr(game, name).state_dict()["state"].items():
            tensors |= {f"{name}.{index}.{key}": x for key, x in values.items()}
    numbers = {name: getattr(game, name) for name in _NUMBERS}
    if game.monitor is not None:
        tensors |= {f"best.{key}": x for key, x in game.monitor.best.items()}
        numbers["monitor"] = {name: getattr(game.monitor, name) for name in _FOUND}
    return {name: x.clone().contiguous() for name, x in tensors.items()}, numbers


def unpack(game: Game, tensors: dict[str, Tensor], numbers: dict) -> None:
    """Put the game in the state that :func:`pack` copied.
    Chapter training, "Stop and resume".
    """
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


class Checkpoint:
    """One safetensors file from which training goes on as if it had never stopped.

    It is written every so many steps, a multiple of ``train.RECORD_EVERY``.
    Chapter training, "Stop and resume".
    """

    def __init__(
        self, path: Path, recipe: Recipe, steps: int, seed: int, data: Tensor,
        layout: tuple[Block, ...], every: int = 200,
    ):  # fmt: skip
        self.path, self.every = path, every
        digest = hashlib.sha256(repr((tuple(data.shape), layout)).encode())
        digest.update(data.cpu().contiguous().numpy().data)
        own = {"steps": steps, "seed": seed, "training data": digest.hexdigest()[:16]}
        self.settings = json.loads(json.dumps(asdict(recipe) | own))

    def save(self, game: Game, history: list[dict], step: int) -> None:
        """Write the whole state of the game, of which so many steps are done."""
        tensors, numbers = pack(game)
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
        unpack(game, tensors, state["game"])
        return state["history"], state["step"]
