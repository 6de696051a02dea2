"""Trains variants on what came first and measures each on what its users did next."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.ablation.variants import Variant, add_user_ids, hide_history, hide_inputs
from benchmarks.evaluate.intervals import Estimate, estimate
from benchmarks.evaluate.metrics import NO_CANDIDATE, FloatArray, Ranked, rank
from training.config import make_config
from training.examples import LearningData, encode_examples
from training.loop import Stage, encode_vectors, make_trainer, run_epoch
from training.split import Split, Validation, split_by_time

K: Final = 10
_CHUNK_COUNT: Final = 256


@dataclass(frozen=True)
class Measured:
    """What a variant reached; the differences are from the variant that it is compared with."""

    name: str
    against: str
    recall: Estimate
    ndcg: Estimate
    recall_difference: Estimate
    ndcg_difference: Estimate
    epoch_count: int
    seconds: float


def measure_variants(
    data: LearningData,
    variants: Sequence[Variant],
    settings: Mapping[str, Any],
    on_result: Callable[[Measured], None],
) -> list[Measured]:
    """Trains and measures variants, one after another.

    Args:
        data: the data set; the latest part of its pairs is held out, as a training run holds it out.
        variants: each after the one that it is compared with.
        settings: settings of all variants.
        on_result: called with each result.
    """
    config = make_config("two_tower", settings)
    split = split_by_time(
        data.interactions,
        fraction=config.validation_fraction,
        user_limit=config.validation_user_limit,
        seed=config.seed,
    )
    ranked: dict[str, Ranked] = {}
    results = []
    for variant in variants:
        users, items, stage = _train(data, split, variant, settings)
        ranked[variant.name] = rank_validation(users, items, split.validation)
        seconds = sum(epoch.seconds for epoch in stage.epochs)
        results.append(_compare(variant, ranked, stage.best_epoch_count, seconds))
        on_result(results[-1])
    return results


def rank_validation(users: NDArray[np.float32], items: NDArray[np.float32], validation: Validation) -> Ranked:
    """Ranks all products but those of the past for every validation user.

    Args:
        users: float32 [validation users, dim].
        items: float32 [products, dim].
        validation: the users' pasts and held-out products.
    """
    count = np.bincount(validation.pair_user, minlength=len(users))
    recall, ndcg = [np.zeros(0)], [np.zeros(0)]
    for start in range(0, len(users), _CHUNK_COUNT):
        stop = min(start + _CHUNK_COUNT, len(users))
        scores = (users[start:stop] @ items.T).astype(np.float64)
        seen = (validation.seen_user >= start) & (validation.seen_user < stop)
        scores[validation.seen_user[seen] - start, validation.seen_item[seen]] = NO_CANDIDATE
        mine = (validation.pair_user >= start) & (validation.pair_user < stop)
        pair_user, pair_item = validation.pair_user[mine] - start, validation.pair_item[mine]
        part = rank(scores, pair_user, pair_item, count[start:stop], K)
        recall.append(part.recall)
        ndcg.append(part.ndcg)
    return Ranked(np.concatenate(recall), np.concatenate(ndcg))


def _train(
    data: LearningData, split: Split, variant: Variant, settings: Mapping[str, Any]
) -> tuple[NDArray[np.float32], NDArray[np.float32], Stage]:
    """Trains as the search of a training run does, and encodes users and products after its best epoch."""
    config = make_config("two_tower", {**settings, **variant.settings})
    users = hide_history(split.validation.users, variant.without)
    examples = hide_inputs(encode_examples(data, split.train, split.boundary), variant.without)
    if variant.user_ids:
        examples = add_user_ids(examples)
    trainer = make_trainer(examples, replace(split.validation, users=users), config, lambda _: None)
    stage = run_epoch(trainer, Stage("search"), epoch_count=config.epochs)
    best = encode_vectors(trainer.learner.towers, examples, users)
    while not stage.finished:
        stage = run_epoch(trainer, stage, epoch_count=config.epochs)
        if stage.best_epoch_count == len(stage.epochs):
            best = encode_vectors(trainer.learner.towers, examples, users)
    return *best, stage


def _compare(variant: Variant, ranked: Mapping[str, Ranked], epoch_count: int, seconds: float) -> Measured:
    own, other = ranked[variant.name], ranked[variant.against]
    return Measured(
        name=variant.name,
        against=variant.against,
        recall=_estimate(own.recall),
        ndcg=_estimate(own.ndcg),
        recall_difference=_estimate(own.recall - other.recall),
        ndcg_difference=_estimate(own.ndcg - other.ndcg),
        epoch_count=epoch_count,
        seconds=seconds,
    )


def _estimate(values: FloatArray) -> Estimate:
    names = [str(row) for row in range(len(values))]
    return estimate([names], [values])
