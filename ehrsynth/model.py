"""EMR-WGAN: fit, sample, save."""

import warnings
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from sklearn.base import BaseEstimator
from torch import Tensor

from .errors import InputError, check_count
from .files import atomic_path, check_file, read_json, reason, write_json
from .gan.networks import Columns, Generator
from .gan.players import Game, column_means, new_game, new_generator, stream
from .gan.recipe import CHECKPOINT, DEFAULT, SETTINGS, WEIGHTS, Recipe, named
from .gan.train import Checkpoint, train, under
from .generation import tabulate
from .generation.calibration import calibrate, refresh_statistics, sample_size
from .generation.counts import Counts
from .generation.draw import Phase, choose_cells, draw_in_turn, span, spread
from .generation.pairs import CodePairs, calibrate_pairs, fit_code_pairs
from .preprocessing.encode import NotFittedError
from .preprocessing.matrix import Block, Encoded, places
from .progress import at_work
from .protection import LEAST_PATIENTS
from .statistics import two_sample_test

# What a model may have learned beside its tensors; their own tensors' names begin with these.
_PARTS: dict[str, Callable] = {"code_pairs": CodePairs, "code_counts": Counts}
_TENSORS = ("cells", "counts", "prevalence", "shift", "pairs")  # learned, beside the networks
_BROKEN = LookupError, TypeError, ValueError, AttributeError, RuntimeError, OSError, SafetensorError
_CHUNK = 8192
_PATIENCE = 50  # times n patients to draw before giving up on an outcome class


class EMRWGAN(BaseEstimator):
    """A generator of patients, trained against a critic; an estimator like scikit-learn's.
    Chapter training, "The loop, and a measure we can trust".

    Parameters
    ----------
    recipe, seed : str or Recipe, int
        Name of one in ``gan.recipe.RECIPES``, or your own. Same seed and data, same model, on the
        same machine.
    steps, condition : int and bool, optional
        Override the recipe's.
    device : str
        "auto" takes a GPU when there is one.
    least_patients : int
        Training patients behind every combination of given columns, and in every count.

    Attributes
    ----------
    recipe_, conditions_ : Recipe, list of str
        The recipe with this model's overrides; the columns that ``sample(where=...)`` may fix.
    history_ : DataFrame
        Losses, prevalence error and seconds every 20 steps, and what the quality monitor found.
    """

    def __init__(
        self, recipe: str | Recipe = DEFAULT, seed: int = 0, steps: int | None = None,
        condition: bool | None = None, device: str = "auto", least_patients: int = LEAST_PATIENTS,
    ):  # fmt: skip
        self.recipe, self.seed, self.steps = recipe, seed, steps
        self.condition, self.device, self.least_patients = condition, device, least_patients

    # -- learning ----------------------------------------------------------------------

    def fit(
        self, encoded: Encoded, progress: bool = False, checkpoint_dir: str | Path | None = None,
        resume: bool = True, checkpoint_every: int = 200,
        watch: Callable[[int, "EMRWGAN"], None] | None = None, watch_every: int | None = None,
    ) -> "EMRWGAN":  # fmt: skip
        """Train on encoded patients.

        Parameters
        ----------
        encoded, progress : Encoded, bool
            From ``Preprocessor.transform``; and whether to show a progress bar.
        checkpoint_dir, resume, checkpoint_every : path, bool and int, optional
            Folder for a checkpoint, from which training goes on to the same model, unless `resume`
            is False; and the steps between two (rounded up to a multiple of 20).
        watch, watch_every : callable and int, optional
            Called as ``watch(step, model)``; and the steps between, by default a tenth of all.
        """
        if not isinstance(encoded, Encoded):
            what = f"A model is trained on encoded patients, not on {type(encoded).__name__}"
            raise InputError(f"{what}; give it Preprocessor().fit(train).transform(train).")
        if len(encoded) < 2:
            raise InputError(f"{len(encoded)} training patient(s) are too few to train on.")
        self._settle(encoded.layout)
        recipe, device = self.recipe_, self._device()
        steps = recipe.total_steps(len(encoded)) if self.steps is None else self.steps
        columns = Columns(self.layout_, self.conditions_, recipe.score_weight).to(device)
        data = torch.from_numpy(np.ascontiguousarray(encoded.values)).to(device)
        data = tabulate.pool_small_cells(data, columns, self.layout_, self.least_patients)
        game = new_game(recipe, columns, column_means(data), self.seed, device)
        checkpoint = None
        if checkpoint_dir is not None:
            path, about = Path(checkpoint_dir) / CHECKPOINT, (recipe, steps, self.seed)
            checkpoint = Checkpoint(path, *about, data, self.layout_, checkpoint_every)
            if not resume:
                path.unlink(missing_ok=True)
        self.cells_, self.counts_, self.of_cells_ = tabulate.cross_tabulate(data, game.columns)
        # Those of a cell would tell of the few who have a code there.
        self.prevalence_ = (self.counts_ @ self.of_cells_ / self.counts_.sum()).unsqueeze(0)

        def look(step: int, game: Game) -> None:
            if step < steps:
                self._finish(game, data, game.present)
                watch(step, self)  # type: ignore[misc]

        self.history_ = train(
            game, data, steps, self.seed, progress, checkpoint,
            watch=None if watch is None else look,
            watch_every=watch_every or max(1, steps // 10), test=two_sample_test,
        )  # fmt: skip
        with at_work("Calibration", shown=progress):
            self._finish(game, data, game.chosen)
        if watch is not None and self.history_["step"].iloc[-1] == steps:
            watch(steps, self)  # the model itself, which need not be made ready twice
        return self

    def _settle(self, layout: tuple[Block, ...]) -> None:
        """Check the options, and learn from them and the layout what there is to train."""
        recipe = named(self.recipe) if isinstance(self.recipe, str) else self.recipe
        if not isinstance(recipe, Recipe):
            raise InputError(f"recipe is {self.recipe!r}; use the name of one, or a Recipe.")
        if self.steps is not None and self.steps < 1:
            raise InputError(f"steps is {self.steps}; use 1 or more.")
        if self.condition is not None:
            recipe = replace(recipe, condition=self.condition)
        self.recipe_, self.layout_ = recipe, layout
        self.conditions_ = tabulate.condition_names(layout) if recipe.condition else []

    def _finish(self, game: Game, data: Tensor, trained: Generator) -> None:
        """Make the weights that generate ready: statistics, then output biases."""
        recipe, self.columns_ = game.recipe, game.columns
        self.generator_ = new_generator(recipe, game.columns).to(data.device)
        self.generator_.load_state_dict(trained.state_dict())
        if recipe.refresh_statistics:
            given = data[:, game.columns.condition]
            rng = stream(self.seed, "statistics", device=data.device)
            refresh_statistics(self.generator_, given, recipe.latent, rng)
        self.generator_.eval()
        self.shift_ = torch.zeros(len(self.cells_), game.columns.width, device=data.device)
        if recipe.calibration != "none":
            self.shift_ = calibrate(
                self.generator_, game.columns, self.cells_, self.counts_, self.of_cells_,
                recipe.latent, stream(self.seed, "calibration", device=data.device),
                within=recipe.calibration == "within" and not recipe.pairs,
                least=self.least_patients,
            )  # fmt: skip
        self._calibrate_draws(data)

    @torch.no_grad()
    def _calibrate_draws(self, data: Tensor) -> None:
        """What codes that are drawn need beside the biases: pairs, and numbers of diagnoses."""
        recipe, columns = self.recipe_, self.columns_
        self.pairs_ = self.code_pairs_ = self.code_counts_ = None
        if not recipe.sampled_codes or not (recipe.pairs or recipe.code_counts):
            return
        rng = stream(self.seed, "calibration of draws", device=data.device)
        size = sample_size(self.counts_) // 2  # seconds, even with thirty columns to draw in turn
        cell = choose_cells(self.counts_, size, rng)
        logits = torch.cat([self._logits(part, rng) for part in cell.split(_CHUNK)])
        given, groups, drawn = data[:, columns.condition].unsqueeze(1), self._groups(), None
        member = (given == self.cells_.to(given.dtype)).all(dim=2).to(torch.uint8).argmax(dim=1)
        both = torch.stack([tabulate.co_occurrences(data[g[member]], columns) for g in groups])
        if recipe.pairs:
            shift, self.pairs_ = calibrate_pairs(
                columns, logits, cell, self.counts_, self.of_cells_, both, groups, rng,
                self.least_patients, recipe.pairs,
            )  # fmt: skip
            self.shift_, logits = self.shift_ + shift, logits + shift[cell]
            logits, drawn = draw_in_turn(columns, logits, cell, self.pairs_, groups, rng)
        if recipe.pairs and recipe.code_pairs and len(columns.yes_no) > 1:
            self.code_pairs_ = fit_code_pairs(
                logits[:, columns.yes_no], cell, data[:, columns.yes_no], member, groups,
                recipe.code_pairs, self.seed, recipe.stands_out,
            )  # fmt: skip
        if recipe.code_counts and len(columns.counted) > 1:
            made = columns.draw(columns.probabilities(logits), rng)
            made = made if drawn is None else torch.where(columns.in_turn, drawn, made)
            chance, uniform = self._toss(logits, cell, self._phase(rng))
            made[:, columns.yes_no] = (uniform < chance).to(made.dtype)
            least = self.least_patients
            self.code_counts_ = Counts.fit(columns, made, cell, data, member, both[0], least)

    def _groups(self) -> Tensor:
        """The cells of everybody, and where it is given, of the patients with the outcome."""
        given = tuple(b for b in self.layout_ if b.name in self.conditions_)
        groups = [torch.ones(len(self.cells_), dtype=torch.bool, device=self.cells_.device)]
        ends = [places(given)[b.name].stop for b in given if b.role == "outcome"]
        return torch.stack(groups + [self.cells_[:, end - 1] == 1 for end in ends])

    # -- generating --------------------------------------------------------------------

    def sample(self, n: int, where: dict | None = None, seed: int | None = None) -> Encoded:
        """Generate `n` patients.

        Parameters
        ----------
        n : int
        where : dict, optional
            Fix conditioned columns, e.g. ``{"DIE_1y": 1, "sex": "F"}``. The columns left open are
            drawn as they are in train among such patients.
        seed : int, optional
            By default the model's seed. Same seed, same patients.
        """
        check_count("number of synthetic patients", n)
        allowed, rng, phase = self._asked(where, seed)
        block = next((b for b in self.layout_ if b.role == "outcome"), None)
        if self.recipe_.match_outcome and block is not None and not self.conditions_:
            pieces = self._matched(n, block, rng, phase)
        else:
            sizes = [min(_CHUNK, n - start) for start in range(0, n, _CHUNK)]
            pieces = [self._generate(size, allowed, rng, phase) for size in sizes]
        return Encoded(np.concatenate(pieces), self.layout_)

    def probabilities(self, n: int, where: dict | None = None, seed: int | None = None) -> Encoded:
        """What :meth:`sample` draws its codes from (or rounds): probabilities, as float32.

        With up to 8,192 patients, the same arguments mean the same patients.

        Parameters
        ----------
        n, where, seed : int, dict, int
            As in :meth:`sample`.
        """
        allowed, rng, phase = self._asked(where, seed)
        logits, cell, _, back = self._imagine(n, allowed, rng)
        p = self.columns_.probabilities(logits)
        p[:, self.columns_.condition] = self.cells_[cell].to(p.dtype)
        p[:, self.columns_.yes_no], _ = self._toss(logits, cell, phase)
        return Encoded(p[back].cpu().numpy(), self.layout_)

    def _asked(self, where: dict | None, seed: int | None) -> tuple[Tensor, torch.Generator, Phase]:
        """The cells that agree with a wish, and the streams to sample with."""
        self._check_fitted()
        allowed = tabulate.agreeing_cells(where or {}, self.layout_, self.conditions_, self.cells_)
        seed = self.seed if seed is None else seed
        rng, other = (stream(seed, use, device=self.shift_.device) for use in ("sample", "phase"))
        return allowed, rng, self._phase(other)

    @torch.no_grad()
    def _imagine(
        self, n: int, allowed: Tensor, rng: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
        """Logits of `n` patients, cell after cell; cells; blocks drawn in turn; a random order."""
        cell = choose_cells(torch.where(allowed, self.counts_, 0), n, rng)
        logits, drawn = self._logits(cell, rng), None
        if self.pairs_ is not None:
            groups = self._groups()
            logits, drawn = draw_in_turn(self.columns_, logits, cell, self.pairs_, groups, rng)
        return logits, cell, drawn, torch.randperm(n, generator=rng, device=cell.device)

    def _phase(self, rng: torch.Generator) -> Phase:
        """Where ``draw.spread`` starts, for each cell and yes/no column."""
        if self.recipe_.draws == "independent":
            return rng
        shape = len(self.cells_), len(self.columns_.yes_no)
        return torch.rand(shape, dtype=torch.double, generator=rng, device=rng.device)

    def _toss(self, logits: Tensor, cell: Tensor, phase: Phase) -> tuple[Tensor, Tensor]:
        """Probabilities of the yes/no columns, as each is drawn, and uniform numbers."""
        logits = logits[:, span(self.columns_.yes_no)]
        if self.code_pairs_ is None:
            return (p := torch.sigmoid(logits)), spread(p, cell, phase)
        return self.code_pairs_.draw(logits, cell, self._groups(), phase)

    def _logits(self, cell: Tensor, rng: torch.Generator) -> Tensor:
        """Calibrated logits of new patients in these cells."""
        given = self.cells_[cell].float()
        noise = torch.randn(len(cell), self.recipe_.latent, generator=rng, device=given.device)
        return self.generator_(noise, given).add_(self.shift_[cell])

    @torch.no_grad()
    def _generate(self, n: int, allowed: Tensor, rng: torch.Generator, phase: Phase) -> np.ndarray:
        columns = self.columns_
        logits, cell, x, back = self._imagine(n, allowed, rng)
        if not self.recipe_.sampled_codes:
            x = columns.round(columns.probabilities(logits))
        else:
            if x is None:
                x = columns.draw(columns.probabilities(logits), rng)
            else:
                x[:, columns.is_scalar] = torch.sigmoid(logits[:, columns.is_scalar])
            chance, uniform = self._toss(logits, cell, phase)
            x[:, span(columns.yes_no)] = (uniform < chance).to(x.dtype)
            if self.code_counts_ is not None:
                own, group = span(columns.counted), self.code_counts_.group(x, cell)
                some = span(torch.nonzero(torch.isin(columns.yes_no, columns.counted)).squeeze(1))
                chance, uniform = chance[:, some], uniform[:, some]
                x[:, own] = self.code_counts_.draw(chance, uniform, group, rng).to(x.dtype)
        x[:, columns.condition] = self.cells_[cell].to(x.dtype)
        return (x if bool(columns.is_scalar.any()) else x.to(torch.uint8))[back].cpu().numpy()

    def _matched(
        self, n: int, block: Block, rng: torch.Generator, phase: Phase
    ) -> list[np.ndarray]:
        """The published way: keep patients until each outcome class is as frequent as in train."""
        last = places(self.layout_)[block.name].stop - 1
        positive = round(n * float(self.prevalence_[0, last]))
        wanted, every = {1: positive, 0: n - positive}, torch.ones(1, dtype=torch.bool)
        pieces: list[np.ndarray] = []
        while any(wanted.values()):
            made = self._generate(_CHUNK, every, rng, phase)
            if (len(pieces) + 1) * _CHUNK > _PATIENCE * max(n, _CHUNK):
                name = next(k for k, left in wanted.items() if left)
                warnings.warn(
                    f"The model makes too few patients with {block.name} = {block.labels[name]}: "
                    f"{wanted[name]} of {n} are filled up with others. Train longer, or use "
                    "condition=True.",
                    RuntimeWarning, stacklevel=3,
                )  # fmt: skip
                return [*pieces, made[: sum(wanted.values())]]
            outcome = made[:, last] >= 0.5
            rows = {k: np.flatnonzero(outcome == k)[:left] for k, left in wanted.items()}
            wanted = {k: left - len(rows[k]) for k, left in wanted.items()}
            pieces.append(made[np.sort(np.concatenate([*rows.values()]))])
        return pieces

    # -- on disk -----------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write options as JSON and weights as safetensors.

        Parameters
        ----------
        folder : path
        """
        self._check_fitted()
        folder = Path(folder)
        tensors = {f"generator.{k}": v for k, v in self.generator_.state_dict().items()}
        tensors |= {name: x for name in _TENSORS if (x := getattr(self, f"{name}_")) is not None}
        for name in _PARTS:
            if (part := getattr(self, f"{name}_")) is not None:
                tensors |= {f"{name}.{k}": v for k, v in vars(part).items()}
        with atomic_path(folder / WEIGHTS) as temporary:
            temporary.write_bytes(save({k: v.contiguous() for k, v in tensors.items()}))
        history = self.history_.drop(columns="seconds", errors="ignore")  # same seed, same file
        write_json(
            {
                "recipe": self.recipe if isinstance(self.recipe, str) else asdict(self.recipe),
                "seed": self.seed, "steps": self.steps, "condition": self.condition,
                "layout": [asdict(block) for block in self.layout_],
                "history": history.astype(object).where(history.notna(), None).to_dict("list"),
            },
            folder / SETTINGS,
        )  # fmt: skip

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto") -> "EMRWGAN":
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        folder, device : path, str
        """
        folder = Path(folder)
        state = read_json(folder / SETTINGS)
        try:
            recipe = state["recipe"]
            recipe = recipe if isinstance(recipe, str) else Recipe(**recipe)
            gan = cls(recipe, state["seed"], state["steps"], state["condition"], device)
            gan._settle(tuple(Block(**block) for block in state["layout"]))
            gan.history_ = pd.DataFrame(state["history"]).apply(pd.to_numeric)
            where = gan._device()
            tensors = load_file(check_file(folder / WEIGHTS), device=str(where))
            for name, tensor in tensors.items():
                if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                    raise ValueError(f"{name} has values that are no numbers")
            weights = under(tensors, "generator")
            recipe = gan.recipe_
            asked = recipe.width * max(recipe.latent, recipe.layers * recipe.width)
            widest = max(max(len(block.labels), len(block.scores)) for block in gan.layout_)
            if asked > sum(weight.numel() for weight in weights.values()) or widest > 10_000:
                raise ValueError("its settings ask for larger networks than those it holds")
            gan.columns_ = Columns(gan.layout_, gan.conditions_, gan.recipe_.score_weight)
            gan.generator_ = new_generator(gan.recipe_, gan.columns_)
            gan.generator_.load_state_dict(weights)
            gan.generator_.to(where).eval()
            gan.columns_.to(where)
            for name in _TENSORS:
                setattr(gan, f"{name}_", tensors.get(name))
            for name, part in _PARTS.items():
                found = under(tensors, name)
                setattr(gan, f"{name}_", part(**found) if found else None)
            gan._generate(2, gan.counts_ > 0, rng := torch.Generator(where), gan._phase(rng))
        except _BROKEN as error:
            raise InputError(f"{folder} does not hold a saved model: {reason(error)}.") from error
        return gan

    def _check_fitted(self) -> None:
        if not hasattr(self, "generator_"):
            raise NotFittedError("The model is not trained; call fit(encoded) first.")

    def _device(self) -> torch.device:
        if self.device != "auto":
            return torch.device(self.device)
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
