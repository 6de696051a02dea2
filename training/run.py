"""A training run: search for the number of epochs, learn from everything, write the run directory.

The search learns from what came first and is validated on what came after; the final model learns from all
events for as many epochs as were best. Profiles and catalogue have no past, so the search sees them as they
are at the data's end; to judge a model at an earlier time, cut the data first, as benchmarks/evaluate does.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import torch
from rich.console import Console

from index.fields import EMBEDDING
from training.checkpoint import (
    Checkpoint,
    copy_weights,
    load_checkpoint,
    restore_trainer,
    save_checkpoint,
    write_tensors,
)
from training.config import Config, TwoTowerConfig, read_settings
from training.data_progress import show_progress
from training.dataset import check_target, parse_clock, put_in_place
from training.eligibility import SETTING, Users, judge_eligibility
from training.errors import (
    CheckpointError,
    MissingFileError,
    OutputError,
    RankError,
    SettingError,
    TrainingError,
)
from training.examples import Examples, LearningData, encode_examples, read_learning_data
from training.loop import Stage, Trainer, make_trainer, run_epoch
from training.metrics import RankingQuality, measure_popularity
from training.new_products import settle_new_products
from training.product_records import without_embedding
from training.ranks import Ranks, join_ranks
from training.split import Split, Validation, split_by_time
from training.two_tower import TwoTower

FORMAT_VERSION: Final = 6
_CHECKPOINT_NAME: Final = "checkpoint.safetensors"


@dataclass(frozen=True)
class Origin:
    """Where a run's first weights come from, where not from chance.

    Attributes:
        name: identifies it: a checkpoint of another origin must not be resumed.
        give: puts the weights into a fresh trainer.
    """

    name: str
    give: Callable[[Trainer], None]


@dataclass
class _Session:
    """Runs stages one after another, with a checkpoint after every epoch."""

    path: Path
    config: Config
    run_id: str
    console: Console
    resumed: Checkpoint | None
    origin: Origin | None
    ranks: Ranks
    done: list[Stage] = field(default_factory=list)

    def run(
        self, stage: Stage, examples: Examples, validation: Validation | None, epoch_count: int
    ) -> Trainer:
        """Runs a stage to its end, from the checkpoint where it has one."""
        total = epoch_count * examples.target_count
        with show_progress(self.console, text=f"training ({stage.name})", total=total) as advance:
            trainer = make_trainer(examples, validation, self.config, advance, self.ranks)
            if self.resumed is not None and self.resumed.stages[-1].name == stage.name:
                stage = self.resumed.stages[-1]
                restore_trainer(self.resumed, trainer)
            elif self.origin is not None:
                self.origin.give(trainer)
            self.ranks.share_weights(trainer.learner)
            while not stage.finished:
                stage = run_epoch(trainer, stage, epoch_count=epoch_count)
                stages = (*self.done, stage)
                if self.ranks.first:
                    save_checkpoint(self.path, run_id=self.run_id, stages=stages, trainer=trainer)
                self.console.print(_describe_epoch(stage), highlight=False)
        self.done.append(stage)
        return trainer


def train(
    data: Path,
    out: Path,
    config: Config,
    *,
    resume: bool,
    force: bool,
    console: Console,
    origin: Origin | None = None,
    policy: Path | None = None,
) -> None:
    """Trains a model and writes the run directory, whole or not at all.

    An interrupted run leaves its last checkpoint in a hidden sibling of `out`, from which `resume` goes on.
    With an origin nothing is searched for: what it knows already would be no test of it. Started by torchrun,
    several processes learn together and the first one writes. With a policy no user has a negative that may
    not be shown to them.

    Raises:
        TrainingError: see its tree.
    """
    with join_ranks() as ranks:
        _train(
            data,
            out,
            config,
            ranks,
            resume=resume,
            force=force,
            console=console,
            origin=origin,
            policy=policy,
        )


def _train(
    data: Path,
    out: Path,
    config: Config,
    ranks: Ranks,
    *,
    resume: bool,
    force: bool,
    console: Console,
    origin: Origin | None,
    policy: Path | None,
) -> None:
    work = out.with_name(f".{out.name}.partial")
    if ranks.first:
        check_target(out, force=force)
        _check_work(work, resume=resume, force=force)
    ranks.wait()
    torch.set_num_threads(config.thread_count)
    source_text = _read_text(data / "source.json")
    learning_data = read_data(data, config, policy)
    shown = console if ranks.first else Console(quiet=True)
    try:
        work.mkdir(parents=True, exist_ok=True)
        _train_into(work, learning_data, config, ranks, resume=resume, console=shown, origin=origin)
        if ranks.first:
            (work / "source.json").write_text(source_text, encoding="utf-8")
            (work / _CHECKPOINT_NAME).unlink()
            put_in_place(work, out)
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error}") from error
    except RankError:
        raise  # What the last checkpoint holds is good.
    except TrainingError:
        if not resume and ranks.first:
            with suppress(OSError):
                shutil.rmtree(work)
        raise


def read_data(data: Path, config: Config, policy: Path | None) -> LearningData:
    """Reads learning data, with the verdicts of a policy where one is given.

    Raises:
        TrainingError: see its tree.
    """
    found = read_learning_data(data)
    if policy is None:
        return found
    if not isinstance(config, TwoTowerConfig):
        raise SettingError(f"{SETTING}: expected model two_tower, got {config.model}")
    stated = read_settings(data / "source.json").get("clock")
    latest = datetime.fromtimestamp(_find_latest(found), UTC)
    clock = latest if stated is None else parse_clock(str(stated))
    users = _count(found)["users"]
    eligibility = judge_eligibility(_read_users(found), users, found.products, policy, clock)
    return replace(found, eligibility=eligibility)


def _find_latest(data: LearningData) -> float:
    return float(data.interactions.event_time.max()) if data.shards is None else data.shards.manifest.latest


def _read_users(data: LearningData) -> Iterator[Users]:
    """Yields the users of each shard; of data without shards, all."""
    yield data.user_ids, data.profiles
    if data.shards is not None:
        for index in range(1, data.shards.manifest.shard_count):
            shard = data.shards.read(index)
            yield shard.user_ids, shard.profiles


def _check_work(work: Path, *, resume: bool, force: bool) -> None:
    if resume:
        if not (work / _CHECKPOINT_NAME).is_file():
            raise CheckpointError(f"{work}: expected a checkpoint to resume from, found none")
    elif force:
        shutil.rmtree(work, ignore_errors=True)
    elif work.exists():
        raise OutputError(f"{work} holds an interrupted run; --resume goes on with it, --force drops it")


def _train_into(
    work: Path,
    data: LearningData,
    config: Config,
    ranks: Ranks,
    *,
    resume: bool,
    console: Console,
    origin: Origin | None,
) -> None:
    started = time.perf_counter()
    split = split_by_time(
        data.interactions,
        fraction=config.validation_fraction,
        user_limit=config.validation_user_limit,
        seed=config.seed,
    )
    path, run_id = work / _CHECKPOINT_NAME, _make_run_id(data, config, origin)
    resumed = load_checkpoint(path, run_id=run_id) if resume else None
    session = _Session(path, config, run_id, console, resumed, origin, ranks)
    popularity, epoch_count = None, config.epochs
    if origin is None and len(split.validation.pair_user):
        popularity, epoch_count = _search(session, data, split)
    trainer = session.run(Stage("final"), encode_examples(data, data.interactions), None, epoch_count)
    placed = _place_new_products(session, trainer)
    metrics = _collect_metrics(session, popularity, data, split, time.perf_counter() - started)
    metrics["new_products"] = placed
    if ranks.first:
        _write_run(work, trainer, metrics)


def _place_new_products(session: _Session, trainer: Trainer) -> dict[str, float] | None:
    """Places products without events by what the search found; a run that is carried on keeps its lift."""
    config, towers = trainer.config, trainer.learner.towers
    if not (isinstance(config, TwoTowerConfig) and isinstance(towers, TwoTower)):
        return None
    stated = config.new_product_lift
    lift = session.done[0].new_product_lift if stated == "auto" else stated
    tower = towers.item_tower
    settle_new_products(tower, trainer.examples, lift if session.origin is None else 0.0)
    return {"lift": lift, "length": float(tower.unknown_length)}


def _search(session: _Session, data: LearningData, split: Split) -> tuple[RankingQuality, int]:
    """Finds the number of epochs; returns popularity's quality on the same users beside it."""
    examples = encode_examples(data, split.train, split.boundary)
    share = examples.token_share.numpy()[examples.row_tokens]
    popularity = measure_popularity(share, split.validation)
    if session.resumed is not None and session.resumed.stages[0].finished:
        session.done.append(session.resumed.stages[0])
    else:
        session.run(Stage("search"), examples, split.validation, session.config.epochs)
    return popularity, session.done[0].best_epoch_count


def _collect_metrics(
    session: _Session, popularity: RankingQuality | None, data: LearningData, split: Split, seconds: float
) -> dict[str, Any]:
    epochs = [epoch for stage in session.done for epoch in stage.epochs]
    learning_seconds = sum(epoch.seconds for epoch in epochs)
    examples = sum(epoch.seconds * epoch.examples_per_second for epoch in epochs)
    search = session.done[0]
    best = search.epochs[search.best_epoch_count - 1].quality
    return {
        "model": session.config.model,
        "seed": session.config.seed,
        "process_count": session.ranks.count,
        "origin": None if session.origin is None else session.origin.name,
        SETTING: _describe_eligibility(data),
        "validation": None
        if best is None or popularity is None
        else {
            "user_count": len(split.validation.users.user_row),
            **asdict(best),
            "popularity": asdict(popularity),
        },
        "epoch_count": search.best_epoch_count,
        "seconds": seconds,
        "examples_per_second": examples / learning_seconds,
        "counts": _count(data),
        "stages": [asdict(stage) for stage in session.done],
    }


def _describe_eligibility(data: LearningData) -> dict[str, Any] | None:
    if data.eligibility is None:
        return None
    return {key: value for key, value in vars(data.eligibility).items() if key != "bits"}


def _count(data: LearningData) -> dict[str, int]:
    users, events = len(data.user_ids), len(data.interactions.user_row)
    if data.shards is not None:
        users, events = data.shards.manifest.user_count, data.shards.manifest.event_count
    return {"users": users, "products": len(data.products), "events": events}


def _write_run(work: Path, trainer: Trainer, metrics: dict[str, Any]) -> None:
    examples = trainer.examples
    texts = {
        "config.json": trainer.config.model_dump_json(indent=2),
        "features.json": examples.spec.to_json(),
        "vocabulary.json": examples.vocabulary.to_json(),
        "metrics.json": json.dumps(metrics, indent=2),
    }
    for name, text in texts.items():
        (work / name).write_text(text + "\n", encoding="utf-8")
    weights = copy_weights(trainer.learner.towers)
    write_tensors(work / "model.safetensors", weights, {"format_version": str(FORMAT_VERSION)})


def _make_run_id(data: LearningData, config: Config, origin: Origin | None) -> str:
    """Identifies settings, data and origin: a checkpoint of another run must not be resumed."""
    first = "" if origin is None else origin.name
    text = config.model_dump_json() + identify_data(data) + first
    return hashlib.sha256(text.encode()).hexdigest()


def identify_data(data: LearningData) -> str:
    """Identifies learning data by everything that a model learns from, verdicts included."""
    digest = hashlib.sha256()
    events = data.interactions
    for array in (events.user_row, events.item_row, events.event_code, events.event_time, events.liking):
        digest.update(array.tobytes())
    # NumPy shortens the text of a long array.
    digest.update(repr((data.user_ids, data.profiles, without_embedding(data.products))).encode())
    for product in data.products:
        if product.get(EMBEDDING) is not None:
            digest.update(product["id"].encode() + product[EMBEDDING].tobytes())
    if data.shards is not None:
        digest.update(data.shards.manifest.digest.encode())
    if data.eligibility is not None:
        digest.update(data.eligibility.name.encode())
    return digest.hexdigest()


def _describe_epoch(stage: Stage) -> str:
    epoch = stage.epochs[-1]
    text = f"{stage.name} epoch {len(stage.epochs)}: loss {epoch.loss:.4f}, {epoch.seconds:.1f} s"
    if epoch.quality is not None:
        text += f", recall@20 {epoch.quality.recall_at_20:.4f}, ndcg@10 {epoch.quality.ndcg_at_10:.4f}"
    return text


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise MissingFileError(f"{path}: cannot be read: {error.strerror}") from error
