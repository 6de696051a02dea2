"""Places products without events: how far their content is trusted, and how much room they are given.

What is expected of a product by its content is right on average, so that it seldom reaches a list, and is
then never seen. Two numbers place such products; both come from the data.

* The *length* of their taste vectors. Content tells a part of a product's direction, and the best guess of a
  direction that is known in part is shorter than the direction: least squares over the products with events,
  each vector against the one that content alone gives it (James and Stein's shrinkage, towards no taste).
* The *lift* of their log-popularity: the largest that validation can bear. More of it finds more new products
  and takes places from others, so that it ends where it costs more than `TOLERANCE` of recall@20 or nDCG@10.

Where few products are new, twins stand in: copies of products as they are without events, which take places
and are never a right answer. The lift is then chosen as if a twentieth of the catalogue were new.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from index.features import UNKNOWN_TOKEN
from training.examples import Examples
from training.metrics import SCORED_COUNT, RankingQuality, hide_seen, list_best, measure_lists
from training.split import Validation
from training.two_tower import ItemTower

TOLERANCE: Final = 0.01  # Of recall@20 and of nDCG@10, each.
LIFTS: Final = np.linspace(0.0, 2.0, 41)  # e ** 2 is seven times the popularity that is expected.
_NEW_SHARE: Final = 0.05


@dataclass(frozen=True)
class _Best:
    """Holds each user's best products of one kind."""

    column: NDArray[np.int64]  # [users, k]
    score: NDArray[np.float32]  # [users, k]


def settle_new_products(tower: ItemTower, examples: Examples, lift: float) -> None:
    """Gives a learned tower the length that its products with events show, and a lift beside it."""
    tower.unknown_length.fill_(1.0)
    tower.unknown_length.fill_(_measure_length(tower, examples))
    tower.lift_unknown(lift)


def choose_lift(
    tower: ItemTower, examples: Examples, users: NDArray[np.float32], validation: Validation, *, seed: int
) -> float:
    """Chooses the largest lift whose cost validation can bear; 0 where validation finds nothing anyway.

    Args:
        tower: the item tower, whose products without events are placed without a lift.
        examples: what it learned from.
        users: vectors of the validation users, float32 [validation users, dim].
        validation: what they did next.
        seed: of the draw of twins.
    """
    length = _measure_length(tower, examples)
    items, new = _add_twins(tower, examples, seed)
    items[new, :-1] *= length
    known, fresh = _find_best(users, items, new, validation)
    with torch.no_grad():
        room = users[:, -1:] * float(tower.log_temperature.exp())  # What a lift of 1 adds to a score.
    before = _measure(known, fresh, room * 0.0, validation)
    chosen = 0.0
    for lift in LIFTS[1:].tolist() if before.recall_at_20 > 0.0 else ():
        if not _bears(before, _measure(known, fresh, room * lift, validation)):
            break
        chosen = lift
    return chosen


def _measure_length(tower: ItemTower, examples: Examples) -> float:
    """Measures how far content tells a product's direction, 0 to 1; 1 says all of it."""
    inputs = [
        values[torch.from_numpy(examples.row_tokens > UNKNOWN_TOKEN)] for values in examples.item_inputs
    ]
    known, guessed = _embed(tower, inputs)[:, :-1], _embed(tower, _forget(inputs))[:, :-1]
    return float(((known * guessed).sum() / (guessed * guessed).sum().clamp(min=1e-12)).clamp(0.0, 1.0))


def _bears(before: RankingQuality, after: RankingQuality) -> bool:
    left = 1.0 - TOLERANCE
    return after.recall_at_20 >= left * before.recall_at_20 and after.ndcg_at_10 >= left * before.ndcg_at_10


def _add_twins(
    tower: ItemTower, examples: Examples, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Embeds all products and then the twins, float32 [n, dim]; says which are new, bool [n]."""
    new = examples.row_tokens <= UNKNOWN_TOKEN
    rows = np.flatnonzero(~new)
    missing = int(np.ceil(_NEW_SHARE * len(new))) - int(new.sum())
    twins = np.random.default_rng([seed, 2]).permutation(rows)[: max(0, missing)]
    copied = _forget([values[torch.from_numpy(twins)] for values in examples.item_inputs])
    inputs = [torch.cat(pair) for pair in zip(examples.item_inputs, copied, strict=True)]
    return _embed(tower, inputs).numpy(), np.concatenate([new, np.ones(len(twins), np.bool_)])


def _forget(inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """Takes the products' identities away, which are the first input."""
    return [torch.full_like(inputs[0], UNKNOWN_TOKEN), *inputs[1:]]


def _embed(tower: ItemTower, inputs: list[torch.Tensor]) -> torch.Tensor:
    """Embeds products as they are served, float32 [n, dim], on the CPU."""
    device = tower.unknown_length.device
    was_training = tower.training
    tower.eval()
    with torch.no_grad():
        vectors: torch.Tensor = tower(*(values.to(device) for values in inputs)).cpu()
    tower.train(was_training)
    return vectors


def _find_best(
    users: NDArray[np.float32], items: NDArray[np.float32], new: NDArray[np.bool_], validation: Validation
) -> tuple[_Best, _Best]:
    """Finds each user's best products with events and without: a lift changes the order of neither."""
    parts: tuple[list[_Best], list[_Best]] = ([], [])
    for start in range(0, len(users), SCORED_COUNT):
        scores = hide_seen(users[start : start + SCORED_COUNT] @ items.T, validation, start)
        for part, columns in zip(parts, (np.flatnonzero(~new), np.flatnonzero(new)), strict=True):
            mine = scores[:, columns]
            best = list_best(mine)
            part.append(_Best(columns[best], np.take_along_axis(mine, best, axis=1)))
    known, fresh = (
        _Best(np.concatenate([one.column for one in part]), np.concatenate([one.score for one in part]))
        for part in parts
    )
    return known, fresh


def _measure(known: _Best, fresh: _Best, room: NDArray[np.float32], validation: Validation) -> RankingQuality:
    """Measures the lists of both kinds together, with some room for the new ones."""
    column = np.concatenate([known.column, fresh.column], axis=1)
    score = np.concatenate([known.score, fresh.score + room], axis=1)
    return measure_lists(np.take_along_axis(column, list_best(score), axis=1), validation)
