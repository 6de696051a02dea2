"""Training of the two towers: which products a user's next ones are told apart from, and the loss.

Where no more than `negative_count` products have been seen, the softmax runs over all of them. Otherwise it
runs over a pool: the batch's own targets and `negative_count` products drawn evenly, corrected for the chance
of each to be there (logQ). On request a user's best products, by the item vectors of the epoch's start, are
all in the pool, for that user alone: the largest terms of the softmax are then exact and the rest is drawn.
On request, too, a product that may not be shown to a user is none of their negatives.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from index.features import FIRST_TOKEN, PADDING_TOKEN
from training.blocks import Blocks, draw_blocks
from training.config import TwoTowerConfig
from training.examples import Examples
from training.histories import list_target_kinds, weigh_targets
from training.mixed_precision import compute_in, find_device
from training.ranks import ALONE, Ranks
from training.rowwise import ROWWISE, RowwiseAdagrad
from training.spectral import embed_products
from training.task_heads import divide_targets
from training.two_tower import TwoTower

_BARRED_LOGIT: Final = -1e4  # Its exponential is exactly zero, and a row of nothing else stays finite.
_SPECTRAL_LENGTH: Final = 0.8  # Of the first vectors; random ones have the same on average.
# Names of parameters that are decayed otherwise than the rest.
_PLAIN: Final = ("bias", "temperature", "heads")
_CONTENT: Final = ("item_tower.content", "item_tower.project", "item_tower.term", "item_tower.embedding")
_EMBED_COUNT: Final = 4096  # Products embedded at once for `_mine`.
_NOISE_STD: Final = 0.02  # Lets the two tables, which start alike, part.


@dataclass(frozen=True)
class _Pool:
    """Holds the products that a batch is scored against."""

    item_row: Tensor  # int64 [pool]
    log_count: Tensor | None  # float32 [pool], log of how often each is expected; None if all are there
    column: Tensor  # int64 [targets], where each target is


class TwoTowerLearner(nn.Module):
    """Computes the training loss of the two towers."""

    def __init__(self, examples: Examples, config: TwoTowerConfig, ranks: Ranks = ALONE) -> None:
        super().__init__()
        self._ranks = ranks
        self._examples = examples
        self._config = config
        self._device = find_device(config.device, ranks.rank)
        # In the order of the tokens: the n-th has token FIRST_TOKEN + n.
        self._seen_row = torch.from_numpy(np.flatnonzero(examples.row_tokens))
        self._token = torch.from_numpy(examples.row_tokens)
        self._part: Examples | None = None
        rng = np.random.default_rng(config.seed)
        worth = np.sum([self._sum_weights(part) for part in examples.draw_parts(rng)], axis=0)
        share = torch.from_numpy((worth / worth.sum(axis=1, keepdims=True).clip(min=1e-12)).T).float()
        self.towers = TwoTower(examples.spec, share, config)
        # Id dropout teaches what a product like this has once it has events; this is the chance of any.
        chance = len(self._seen_row) / len(examples.row_tokens)
        self.towers.item_tower.lift_unknown(math.log(chance))
        for table in self._list_tables():
            table.sparse = config.optimizer == "rowwise_adagrad"
        if config.spectral_start:
            self._start_from(embed_products(examples, config.embedding_dim - 1))
        self.to(self._device)

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Makes the optimizer; biases, temperature and heads are not decayed: popularity is in them."""
        config = self._config
        by_rows = config.optimizer == "rowwise_adagrad"
        tables = [table.weight for table in self._list_tables()] if by_rows else []
        decay = {"plain": 0.0, "content": config.content_decay, "other": config.weight_decay}
        kinds: dict[str, list[nn.Parameter]] = {kind: [] for kind in decay}
        for name, entry in self.named_parameters():
            if not any(entry is table for table in tables):
                kinds[_name_kind(name)].append(entry)
        groups: list[dict[str, Any]] = [
            {"params": entries, "weight_decay": decay[kind]} for kind, entries in kinds.items()
        ]
        if not by_rows:
            return torch.optim.AdamW(groups, lr=config.learning_rate)
        groups.append({"params": tables, ROWWISE: True})
        return RowwiseAdagrad(groups, lr=config.learning_rate)

    def _list_tables(self) -> tuple[nn.Embedding, ...]:
        """Lists the tables that grow with the catalogue, and the one of its terms."""
        user_tower, item_tower = self.towers.user_tower, self.towers.item_tower
        return user_tower.token, item_tower.token, item_tower.term

    def draw_batches(self, rng: np.random.Generator) -> Iterator[Blocks]:
        """Deals one epoch's targets into batches; those of a part of the examples follow each other."""
        if self._config.hard_negative_count:
            self._remember_items()
        for part in self._examples.draw_parts(rng):
            self._turn_to(part)
            yield from draw_blocks(part.targets, rng).split(self._config.batch_size, rng)

    @property
    def part(self) -> Examples:
        """The part of the examples that batches are of."""
        assert self._part is not None, "the constructor turned to a part"
        return self._part

    def _turn_to(self, part: Examples) -> None:
        """Lets the next batches be of a part of the examples."""
        if part is self._part:
            return
        config = self._config
        weight = weigh_targets(
            part.interactions,
            part.targets,
            config.event_weights,
            half_life_days=config.half_life_days,
            latest=part.latest,
        )
        kinds = list_target_kinds(part.interactions, part.targets)
        weights = divide_targets(kinds, config.heads) * weight[:, None]
        self._part, self._weight = part, torch.from_numpy(weights)  # float32 [targets, heads]

    def _sum_weights(self, part: Examples) -> NDArray[np.float64]:
        """Turns to a part and sums the weights of each product's targets, float64 [heads, tokens]."""
        self._turn_to(part)
        token = part.row_tokens[part.targets.item_row]
        size = len(part.token_share)
        return np.stack([np.bincount(token, weight, size) for weight in self._weight.numpy().T])

    def forward(self, batch: Blocks) -> Tensor:
        """Computes the loss of a batch: each target against the products that its user never touched.

        Of several ranks each computes what its share of the blocks adds; the sum is the batch's loss.
        """
        examples, ranks = self.part, self._ranks
        target_item = torch.from_numpy(examples.targets.item_row[batch.target_row])
        mine = np.arange(ranks.rank, len(batch.offset) - 1, ranks.count)
        # Where there are fewer blocks than ranks, some compute one that is not theirs, which counts nothing:
        # every rank must have a gradient for every weight.
        own, place = batch.take(mine if len(mine) else np.zeros(1, np.int64))
        token, event, age, categorical, numeric = examples.encode_blocks(own)
        block = torch.from_numpy(own.block)
        user_row = torch.from_numpy(examples.targets.user_row[own.first_row])
        known = token  # No product of the past is a negative, also where the past is forgotten.
        with ranks.own_draws():
            forgotten = torch.rand(token.shape) < self._config.history_dropout
            token = token.masked_fill(forgotten, PADDING_TOKEN)
            profile = self._drop_profiles(categorical, numeric)
            users = self._embed(self.towers.user_tower, token, event, age, *profile)
        pool = self._draw_pool(target_item)
        bar = partial(self._bar, known, block, self._token[target_item[place]], user_row)
        hard = self._mine(users, bar, pool)
        extra = None if hard is None else self._gather(hard)
        pool = _widen(pool, extra)
        inputs = (values[pool.item_row] for values in examples.item_inputs)
        items = self._embed(self.towers.item_tower, *inputs)
        barred = bar(pool)
        if hard is not None and extra is not None:
            barred |= _bar_hard(pool, hard, len(extra))
        weight = self._weight[own.target_row] * float(len(mine) > 0)  # [targets, heads]
        loss = self._compare(users, items, pool.log_count, barred, block, pool.column[place], weight)
        if ranks.count == 1:
            return loss
        return loss * (weight.sum() / self._weight[batch.target_row].sum().clamp(min=1e-6))

    def _embed(self, tower: nn.Module, *inputs: Tensor) -> Tensor:
        """Embeds on the device, in the precision asked for; float32 [n, embedding_dim].

        Batches are made on the CPU with all that is drawn at random, so that no draw depends on the device.
        """
        with compute_in(self._config.precision, self._device):
            vectors: Tensor = tower(*(values.to(self._device) for values in inputs))
        return vectors.float()

    def _bar(self, past: Tensor, block: Tensor, target: Tensor, user_row: Tensor, pool: _Pool) -> Tensor:
        """Marks the pool's products that are no negatives, bool [blocks, pool].

        Those are the products of a user's past or targets and, where eligibility is known, those that may not
        be shown. Where these are barred the pool is a draw from the eligible ones alone: the chance of each
        is divided by the same number, a user's share of eligible draws, so that logQ changes by a constant in
        all of the user's logits, and the softmax stays as it is. A target is scored apart and never barred.

        Args:
            past: tokens of each block's history, int64 [blocks, length].
            block: the block of each target, int64 [targets].
            target: the token of each target, int64 [targets].
            user_row: the user of each block, int64 [blocks].
            pool: the products.
        """
        token = self._token[pool.item_row]  # [pool]
        # One column for each product of the pool, and column 0 for all that are not in it.
        column = torch.zeros(len(self._examples.token_share), dtype=torch.int64)  # [tokens]
        column[token] = torch.arange(1, len(token) + 1)
        barred = torch.zeros(len(past), len(token) + 1, dtype=torch.bool)  # [blocks, 1 + pool]
        barred.scatter_(1, column[past], value=True)
        barred[block, column[target]] = True
        # All of the catalogue's products stand in order; a product drawn twice has one column.
        barred = barred[:, 1:] if pool.log_count is None else barred[:, column[token]]
        bits = self.part.eligible_bits
        if bits is None:
            return barred
        mask = (128 >> (pool.item_row & 7)).to(torch.uint8)  # [pool]
        return barred | (bits[user_row][:, pool.item_row >> 3] & mask == 0)

    def _compare(self, users: Tensor, items: Tensor, log_count: Tensor | None, *about: Tensor) -> Tensor:
        """Computes the loss of all heads, each with its share of the weight; `softmax_loss` tells `about`."""
        tower = self.towers.item_tower
        barred, block, column, weights = (values.to(self._device) for values in about)
        losses = []
        for vectors, weight in zip(tower.divide(items), weights.unbind(dim=1), strict=True):
            logit = tower.logit_scale * users @ vectors.T  # [blocks, pool]
            if log_count is not None:
                logit = logit - log_count.to(self._device)
            losses.append(softmax_loss(logit, barred, block, column, weight))
        if len(losses) == 1:
            return losses[0]
        return torch.stack(losses) @ (weights.sum(dim=0) / weights.sum().clamp(min=1e-6))

    def _mine(self, users: Tensor, bar: Callable[[_Pool], Tensor], pool: _Pool) -> Tensor | None:
        """Finds each block's best products that are negatives, int64 [blocks, hard]; None if none are asked.

        A pool of all products holds them anyway. Scores are those of the item vectors at the epoch's start.

        Source: Mussmann and Ermon 2016, Learning and inference via maximum inner product search: a partition
            function is estimated well by its largest terms and a sample of the rest.
        """
        count = min(self._config.hard_negative_count, len(self._seen_row))
        if not count or pool.log_count is None:
            return None
        seen = _Pool(self._seen_row, None, pool.column)
        with torch.no_grad():
            score = (users @ self._item_vectors.T).cpu()
            score = score.masked_fill(bar(seen), -math.inf)
        return self._seen_row[score.topk(count, dim=1).indices]

    def _gather(self, hard: Tensor) -> Tensor:
        """Returns the products that are a hard negative of any block of any rank, int64 [products].

        Every rank embeds all of them, so that the ranks' draws stay the same.
        """
        marked = torch.zeros(len(self._token), dtype=torch.uint8)
        marked[hard.flatten()] = 1
        return self._ranks.unite(marked).nonzero()[:, 0]

    def _remember_items(self) -> None:
        """Keeps the vectors of all products with events, as they are served, for `_mine`."""
        tower, inputs = self.towers.item_tower, self._examples.item_inputs
        was_training = tower.training
        tower.eval()
        with torch.no_grad():
            parts = [
                self._embed(tower, *(values[rows] for values in inputs))
                for rows in torch.split(self._seen_row, _EMBED_COUNT)
            ]
        tower.train(was_training)
        self._item_vectors = torch.cat(parts)  # float32 [products with events, embedding_dim]

    def _draw_pool(self, target_item: Tensor) -> _Pool:
        seen, negative_count = self._seen_row, self._config.negative_count
        if len(seen) <= negative_count:
            return _Pool(seen, None, self._token[target_item] - FIRST_TOKEN)
        drawn = seen[torch.randint(len(seen), (negative_count,))]
        item_row = torch.cat([target_item, drawn])
        share = self._examples.token_share[self._token[item_row]]
        expected = len(target_item) * share + negative_count / len(seen)
        log_count = expected.log() if self._config.logq else torch.zeros(len(item_row))
        return _Pool(item_row, log_count, torch.arange(len(target_item)))

    def _drop_profiles(self, categorical: Tensor, numeric: Tensor) -> tuple[Tensor, Tensor]:
        """Hides some users' profiles, so that a request without one is nothing new."""
        hidden = torch.rand(len(categorical), 1) < self._config.profile_dropout
        missing = torch.tensor([0.0, 1.0]).repeat(numeric.shape[1] // 2)
        return categorical.masked_fill(hidden, 0), torch.where(hidden, missing, numeric)

    def _start_from(self, direction: Tensor) -> None:
        """Lets both product tables start from given directions, float32 [token_count, dim].

        A product without one keeps its random start: the first shard has no event of it.
        """
        given = direction.any(dim=1, keepdim=True)[FIRST_TOKEN:]
        with torch.no_grad():
            for table in (self.towers.user_tower.token, self.towers.item_tower.token):
                noise = torch.randn(direction.shape) * _NOISE_STD
                start = (direction * _SPECTRAL_LENGTH + noise)[FIRST_TOKEN:]
                table.weight[FIRST_TOKEN:] = torch.where(given, start, table.weight[FIRST_TOKEN:])


def _name_kind(name: str) -> str:
    """Names the kind of a parameter, by which it is decayed."""
    if any(part in name for part in _PLAIN):
        return "plain"
    return "content" if any(part in name for part in _CONTENT) else "other"


def _widen(pool: _Pool, extra: Tensor | None) -> _Pool:
    """Adds the hard negatives of all blocks, int64 [extra], to a pool; each is there for certain."""
    if extra is None:
        return pool
    assert pool.log_count is not None, "a pool of all products is never widened"
    log_count = torch.cat([pool.log_count, torch.zeros(len(extra))])
    return _Pool(torch.cat([pool.item_row, extra]), log_count, pool.column)


def _bar_hard(pool: _Pool, hard: Tensor, added_count: int) -> Tensor:
    """Bars what a block has as a hard negative where it was drawn, and others' hard negatives where added.

    Args:
        pool: what `_widen` gave.
        hard: each block's hard negatives, int64 [blocks, hard].
        added_count: how many products `_widen` added.

    Returns:
        bool [blocks, pool].
    """
    row = int(pool.item_row.max()) + 1
    mine = torch.zeros(len(hard), row, dtype=torch.bool).scatter_(1, hard, value=True)
    barred = mine[:, pool.item_row]
    barred[:, -added_count:] = ~barred[:, -added_count:]
    return barred


def softmax_loss(logit: Tensor, barred: Tensor, block: Tensor, column: Tensor, weight: Tensor) -> Tensor:
    """Computes the softmax loss of targets, each against every product of the pool that is not barred.

    Args:
        logit: corrected scores of each block's user against the pool's products, float32 [blocks, pool].
        barred: true where a product is no negative for a user: of the past, or a target, [blocks, pool].
        block: the block of each target, int64 [targets].
        column: the place of each target in the pool, int64 [targets].
        weight: how much each target counts, float32 [targets].

    Source: Yi et al. 2019, Sampling-bias-corrected neural modeling, eq. 3, for the correction; Yang et al.
        2020, Mixed negative sampling, for a pool of both kinds.
    """
    score = logit[block, column]  # [targets]
    logit = logit.masked_fill(barred, _BARRED_LOGIT)
    # log_softmax is one fused pass where logsumexp takes several.
    best = logit.detach().argmax(dim=1, keepdim=True)
    others = (logit.gather(1, best) - functional.log_softmax(logit, dim=1).gather(1, best))[:, 0]  # [blocks]
    loss = functional.softplus(others[block] - score)  # [targets]
    return (loss * weight).sum() / weight.sum().clamp(min=1e-6)
