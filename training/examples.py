"""Learning data: read from a data directory, and encoded for a model."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute
import torch
from numpy.typing import NDArray
from torch import Tensor

from index.errors import FeatureError
from index.features import (
    FIRST_TOKEN,
    FeatureSpec,
    Vocabulary,
    encode_items,
    encode_profiles,
    fit_features,
)
from index.fields import Record
from training.blocks import Blocks, cut_block_histories
from training.config import read_settings
from training.eligibility import Eligibility
from training.errors import DataError, EmptyDataError
from training.event_rows import EventRanges, locate_events
from training.histories import (
    Histories,
    IntArray,
    Interactions,
    Targets,
    cut_histories,
    find_targets,
    make_row_tokens,
)
from training.product_records import list_products
from training.schema import INTERACTIONS, PRODUCTS, PROFILES
from training.shards import Shards, open_shards
from training.tables import read_table

pc: Any = pyarrow.compute  # The stubs of Arrow's compute functions lag the library.


@dataclass(frozen=True)
class LearningData:
    """Holds one data set in memory; user and item rows are positions in these sequences.

    Of a data set in shards it holds the first shard, a random sample of users, and where the others are.
    """

    user_ids: tuple[str, ...]  # ascending; the users that have events
    profiles: tuple[Record | None, ...]  # [users]
    products: tuple[Record, ...]  # in catalogue order
    interactions: Interactions
    shards: Shards | None = None
    eligibility: Eligibility | None = None  # of these users; None where every product may be a negative


@dataclass(frozen=True)
class Stream:
    """Says what else there is to learn from than the first shard of a data set.

    Attributes:
        shards: where it is.
        until: later events are left out, seconds since 1970-01-01 UTC.
        now: the time that profiles are encoded at.
        target_count: how many targets all shards have.
        eligible_bits: of each shard, as in Eligibility; None where every product may be a negative.
    """

    shards: Shards
    until: float
    now: datetime
    target_count: int
    eligible_bits: tuple[NDArray[np.uint8], ...] | None = None


@dataclass(frozen=True)
class Examples:
    """Holds encoded learning data: everything a model sees while it learns from some interactions.

    With a stream, users, interactions and targets are those of the first shard; `draw_parts` gives all.
    """

    spec: FeatureSpec
    vocabulary: Vocabulary
    interactions: Interactions
    targets: Targets
    row_tokens: IntArray  # [products], 0 where a product has no token
    item_inputs: tuple[Tensor, ...]  # of all products, in the item tower's order
    user_categorical: Tensor  # int64 [users, features]
    user_numeric: Tensor  # float32 [users, 2 * features]
    token_share: Tensor  # float32 [token_count], each token's share of the targets
    latest: float  # the latest event, seconds since 1970-01-01 UTC
    stream: Stream | None = None
    eligible_bits: Tensor | None = None  # of these users, as in Eligibility, uint8 [users, bytes]

    @property
    def target_count(self) -> int:
        """Counts the targets, those of all shards."""
        return len(self.targets.user_row) if self.stream is None else self.stream.target_count

    def draw_parts(self, rng: np.random.Generator) -> Iterator["Examples"]:
        """Yields the examples in parts that fit into memory, in random order; without a stream, as one."""
        if self.stream is None:
            yield self
            return
        for index in rng.permutation(self.stream.shards.manifest.shard_count):
            yield self if index == 0 else self._read_part(self.stream, int(index))

    def _read_part(self, stream: Stream, index: int) -> "Examples":
        shard = stream.shards.read(index)
        interactions = shard.interactions.take(shard.interactions.event_time <= stream.until)
        categorical, numeric = encode_profiles(self.spec, shard.profiles, stream.now)
        return replace(
            self,
            interactions=interactions,
            targets=find_targets(interactions),
            user_categorical=torch.from_numpy(categorical),
            user_numeric=torch.from_numpy(numeric),
            eligible_bits=None
            if stream.eligible_bits is None
            else torch.from_numpy(stream.eligible_bits[index]),
        )

    def encode_targets(
        self, targets: Targets, rows: IntArray
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Encodes the users of some targets as the user tower's inputs, with histories trimmed."""
        histories = cut_histories(self.interactions, targets, rows, self.row_tokens)
        return self._join(histories, torch.from_numpy(targets.user_row[rows]))

    def encode_blocks(self, blocks: Blocks) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Encodes the users of blocks of the examples' own targets, as `encode_targets` does."""
        histories = cut_block_histories(self.interactions, self.targets, blocks, self.row_tokens)
        return self._join(histories, torch.from_numpy(self.targets.user_row[blocks.first_row]))

    def _join(self, histories: Histories, user_row: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        return (
            torch.from_numpy(histories.token),
            torch.from_numpy(histories.event),
            torch.from_numpy(histories.age),
            self.user_categorical[user_row],
            self.user_numeric[user_row],
        )


def read_learning_data(data: Path) -> LearningData:
    """Reads a data directory; of one in shards, the first.

    Args:
        data: the directory that `training simulate`, `import` or `check` wrote.

    Raises:
        MissingFileError: a table or source.json is missing.
        SettingError: source.json is no JSON object.
        SchemaError: a table is not of the documented schema.
        SourceError: the shards are not those of the tables.
        EmptyDataError: there is no product, or no event.
    """
    products = list_products(read_table(data / "products.parquet", PRODUCTS).table)
    if not products:
        raise EmptyDataError(f"{data / 'products.parquet'}: expected at least one product, got none")
    shards = open_shards(data, len(products))
    if shards is not None:
        first = shards.read(0)
        return LearningData(first.user_ids, first.profiles, products, first.interactions, shards)
    events = read_table(data / "interactions.parquet", INTERACTIONS).table
    if not len(events):
        raise EmptyDataError(f"{data / 'interactions.parquet'}: expected at least one event, got none")
    user_ids = sorted(pc.unique(events["user_id"]).to_pylist())
    profiles = read_table(data / "profiles.parquet", PROFILES).table.to_pylist()
    dated = read_settings(data / "source.json").get("dated", True)
    by_id = {profile["user_id"]: profile for profile in profiles}
    ranges = EventRanges(dated=dated).widen(events)
    return LearningData(
        user_ids=tuple(user_ids),
        profiles=tuple(by_id.get(user_id) for user_id in user_ids),
        products=products,
        interactions=locate_events(events, user_ids, [product["id"] for product in products], ranges),
    )


def encode_examples(data: LearningData, interactions: Interactions, until: float = np.inf) -> Examples:
    """Fits the features and encodes the learning data; only products with an event get a token.

    Args:
        data: the learning data; features are fitted on the users that it holds.
        interactions: those of these users that are learned from.
        until: later events of other shards are not learned from.

    Raises:
        DataError: a feature cannot be used, for example because it is not finite.
    """
    targets = find_targets(interactions)
    count, latest = _count_products(data, interactions, targets, until)  # [products]
    now = datetime.fromtimestamp(latest, UTC)
    seen_rows = np.flatnonzero(count)
    try:
        spec = fit_features([profile or {} for profile in data.profiles], data.products, now)
    except FeatureError as error:
        raise DataError(str(error)) from error
    vocabulary = Vocabulary(tuple(data.products[row]["id"] for row in seen_rows))
    items = encode_items(spec, vocabulary, data.products)
    categorical, numeric = encode_profiles(spec, data.profiles, now)
    bits = None if data.eligibility is None else data.eligibility.bits
    token_count = np.concatenate([np.zeros(FIRST_TOKEN, np.int64), count[seen_rows]])
    return Examples(
        spec=spec,
        vocabulary=vocabulary,
        interactions=interactions,
        targets=targets,
        row_tokens=make_row_tokens(len(data.products), seen_rows),
        item_inputs=tuple(torch.from_numpy(value) for value in items.feed().values()),
        user_categorical=torch.from_numpy(categorical),
        user_numeric=torch.from_numpy(numeric),
        token_share=torch.from_numpy((token_count / token_count.sum()).astype(np.float32)),
        latest=latest,
        stream=None if data.shards is None else Stream(data.shards, until, now, int(count.sum()), bits),
        eligible_bits=None if bits is None else torch.from_numpy(bits[0]),
    )


def _count_products(
    data: LearningData, interactions: Interactions, targets: Targets, until: float
) -> tuple[IntArray, float]:
    """Counts the targets of each product in all shards, int64 [products]; finds the latest event."""
    count = np.bincount(targets.item_row, minlength=len(data.products))
    latest = float(interactions.event_time.max())
    others = () if data.shards is None else data.shards.read_others()
    for shard in others:
        events = shard.take(shard.event_time <= until)
        count += np.bincount(find_targets(events).item_row, minlength=len(data.products))
        latest = max(latest, float(events.event_time.max(initial=-np.inf)))
    return count, latest
