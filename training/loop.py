"""The training loop: epochs, validation and early stopping.

Every epoch's order and every random draw come from (seed, stage, epoch), so a resumed run needs no saved
random state to end where an uninterrupted run ends.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from training.config import Config, IalsConfig, MfConfig, SvdConfig, TwoTowerConfig
from training.errors import DivergenceError, SettingError
from training.examples import Examples
from training.histories import Targets
from training.ials import IalsLearner
from training.learner import TwoTowerLearner
from training.metrics import RankingQuality, measure_ranking
from training.mf import MfLearner
from training.mixed_precision import make_scaler
from training.new_products import choose_lift
from training.ranks import ALONE, Ranks
from training.rowwise import clip_gradients, merge_rows
from training.split import Validation
from training.svd import SvdLearner
from training.two_tower import TwoTower

StageName = Literal["search", "final"]
Learner = TwoTowerLearner | MfLearner | SvdLearner | IalsLearner
STAGES: Final[tuple[StageName, ...]] = ("search", "final")
_ENCODE_COUNT: Final = 2048


@dataclass(frozen=True)
class Epoch:
    """Holds what one epoch gave."""

    loss: float
    seconds: float
    examples_per_second: float
    quality: RankingQuality | None
    new_product_lift: float | None = None  # That validation can bear; None where it was not asked.


@dataclass(frozen=True)
class Stage:
    """Holds how far a stage is: "search" finds the number of epochs, "final" learns from everything."""

    name: StageName
    epochs: tuple[Epoch, ...] = ()
    finished: bool = False

    @property
    def best_epoch_count(self) -> int:
        """Counts the epochs up to the one with the best validation recall; all of them without validation."""
        recalls = [epoch.quality.recall_at_20 for epoch in self.epochs if epoch.quality is not None]
        return int(np.argmax(recalls)) + 1 if recalls else len(self.epochs)

    @property
    def new_product_lift(self) -> float:
        """Gives the lift of new products that the best epoch can bear; 0 where that was not asked."""
        return self.epochs[self.best_epoch_count - 1].new_product_lift or 0.0


@dataclass(frozen=True)
class Trainer:
    """Holds a learner with its optimizer, and the examples it learns from."""

    learner: Learner
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    examples: Examples
    validation: Validation | None
    config: Config
    on_batch: Callable[[int], None]  # Called with the number of examples done since the last call.
    ranks: Ranks = ALONE


def make_trainer(
    examples: Examples,
    validation: Validation | None,
    config: Config,
    on_batch: Callable[[int], None],
    ranks: Ranks = ALONE,
) -> Trainer:
    """Makes a fresh learner; its weights depend on the seed and the examples alone.

    Raises:
        SettingError: there are several ranks, or shards, and the model wants all examples in one place.
    """
    if not isinstance(config, TwoTowerConfig):
        if ranks.count > 1:
            raise SettingError(f"model: expected two_tower with {ranks.count} processes, got {config.model}")
        if examples.stream is not None:
            raise SettingError(f"model: expected two_tower with data in shards, got {config.model}")
    torch.manual_seed(config.seed)
    learner = _make_learner(examples, config, ranks)
    optimizer, scaler = learner.make_optimizer(), make_scaler(config)
    return Trainer(learner, optimizer, scaler, examples, validation, config, on_batch, ranks)


def _make_learner(examples: Examples, config: Config, ranks: Ranks) -> Learner:
    match config:
        case TwoTowerConfig():
            return TwoTowerLearner(examples, config, ranks)
        case MfConfig():
            return MfLearner(examples, config)
        case SvdConfig():
            return SvdLearner(examples, config)
        case IalsConfig():
            return IalsLearner(examples, config)


def run_epoch(trainer: Trainer, stage: Stage, *, epoch_count: int) -> Stage:
    """Runs one more epoch.

    The stage is finished when it has `epoch_count` epochs, or when validation recall@20 has not risen for
    `patience` epochs.

    Raises:
        DivergenceError: the loss is not finite.
    """
    config, examples = trainer.config, trainer.examples
    started = time.perf_counter()
    loss = _learn(trainer, stage, epoch_count)
    count = examples.target_count
    seconds = time.perf_counter() - started
    quality, lift = (None, None) if trainer.validation is None else _validate(trainer, trainer.validation)
    stage = replace(stage, epochs=(*stage.epochs, Epoch(loss, seconds, count / seconds, quality, lift)))
    waited = len(stage.epochs) - stage.best_epoch_count
    return replace(stage, finished=len(stage.epochs) >= epoch_count or waited >= config.patience)


def _validate(trainer: Trainer, validation: Validation) -> tuple[RankingQuality, float | None]:
    """Measures on the first rank and tells the others, so that all stop after the same epoch.

    Returns:
        The quality, and the lift of new products that it can bear where the settings leave it open.
    """
    config, towers = trainer.config, trainer.learner.towers
    asked = isinstance(config, TwoTowerConfig) and config.new_product_lift == "auto"
    quality, lift = RankingQuality(0.0, 0.0), 0.0
    if trainer.ranks.first:
        users, items = encode_vectors(towers, trainer.examples, validation.users)
        quality = measure_ranking(users, items, validation)
        if asked and isinstance(towers, TwoTower):
            lift = choose_lift(towers.item_tower, trainer.examples, users, validation, seed=config.seed)
    recall, ndcg, lift = trainer.ranks.tell([quality.recall_at_20, quality.ndcg_at_10, lift])
    return RankingQuality(recall, ndcg), lift if asked else None


def encode_vectors(
    towers: Any, examples: Examples, targets: Targets
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Encodes the users of some targets, and every product, in evaluation mode and float32."""
    towers.eval()
    device = next((entry.device for entry in towers.parameters()), torch.device("cpu"))
    rows = np.arange(len(targets.user_row))
    chunks = [rows[start : start + _ENCODE_COUNT] for start in range(0, len(rows), _ENCODE_COUNT)]
    with torch.no_grad():
        inputs = (examples.encode_targets(targets, chunk) for chunk in chunks)
        users = [towers.user_tower(*(values.to(device) for values in chunk)).cpu() for chunk in inputs]
        items = towers.item_tower(*(values.to(device) for values in examples.item_inputs)).cpu()
    return torch.cat(users).numpy(), items.numpy()


def _learn(trainer: Trainer, stage: Stage, epoch_count: int) -> float:
    """Goes once through all targets in a seeded order; returns the mean loss."""
    config, learner, scaler = trainer.config, trainer.learner, trainer.scaler
    seeds = np.random.SeedSequence([config.seed, STAGES.index(stage.name), len(stage.epochs)])
    torch.manual_seed(int(seeds.generate_state(1)[0]))
    count = trainer.examples.target_count
    learner.train()
    total, done = 0.0, 0
    for batch in learner.draw_batches(np.random.default_rng(seeds)):
        if config.schedule == "linear":
            left = 1.0 - (len(stage.epochs) + done / count) / epoch_count
            _set_rate(trainer.optimizer, config.learning_rate * left)
        loss = learner(batch)
        trainer.optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        merge_rows(learner.parameters())
        loss = trainer.ranks.sum_gradients(learner.parameters(), loss)
        _check_finite(loss, stage)
        scaler.unscale_(trainer.optimizer)
        clip_gradients(learner.parameters(), config.gradient_norm_max)
        scaler.step(trainer.optimizer)
        scaler.update()
        total += loss.item() * len(batch)
        done += len(batch)
        trainer.on_batch(len(batch))
    return total / count


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _check_finite(loss: torch.Tensor, stage: Stage) -> None:
    if not torch.isfinite(loss):
        epoch = len(stage.epochs) + 1
        raise DivergenceError(f"loss in epoch {epoch} of {stage.name}: expected a finite number, got {loss}")
