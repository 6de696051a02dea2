"""Learning data: read from a data directory, and encoded for a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import torch
from numpy.typing import NDArray
from torch import Tensor

from index.errors import FeatureError
from index.features import (
    EVENT_TYPES,
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
from training.errors import DataError, EmptyDataError, SchemaError
from training.histories import (
    Histories,
    IntArray,
    Interactions,
    Targets,
    cut_histories,
    find_targets,
    make_row_tokens,
    sort_interactions,
)
from training.schema import INTERACTIONS, PRODUCTS, PROFILES
from training.tables import read_table

pc: Any = pyarrow.compute  # The stubs of Arrow's compute functions lag the library.


@dataclass(frozen=True)
class LearningData:
    """Holds one data set in memory; user and item rows are positions in these sequences."""

    user_ids: tuple[str, ...]  # ascending; the users that have events
    profiles: tuple[Record | None, ...]  # [users]
    products: tuple[Record, ...]  # in catalogue order
    interactions: Interactions


@dataclass(frozen=True)
class Examples:
    """Holds encoded learning data: everything a model sees while it learns from some interactions."""

    spec: FeatureSpec
    vocabulary: Vocabulary
    interactions: Interactions
    targets: Targets
    row_tokens: IntArray  # [products], 0 where a product has no token
    item_inputs: tuple[Tensor, ...]  # of all products, in the item tower's order
    user_categorical: Tensor  # int64 [users, features]
    user_numeric: Tensor  # float32 [users, 2 * features]
    token_share: Tensor  # float32 [token_count], each token's share of the targets

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
    """Reads a data directory.

    Args:
        data: the directory that `training simulate`, `import` or `check` wrote.

    Raises:
        MissingFileError: a table or source.json is missing.
        SettingError: source.json is no JSON object.
        SchemaError: a table is not of the documented schema.
        EmptyDataError: there is no product, or no event.
    """
    products = read_table(data / "products.parquet", PRODUCTS).table.to_pylist()
    events = read_table(data / "interactions.parquet", INTERACTIONS).table
    if not products:
        raise EmptyDataError(f"{data / 'products.parquet'}: expected at least one product, got none")
    if not len(events):
        raise EmptyDataError(f"{data / 'interactions.parquet'}: expected at least one event, got none")
    user_ids = sorted(pc.unique(events["user_id"]).to_pylist())
    profiles = read_table(data / "profiles.parquet", PROFILES).table.to_pylist()
    dated = read_settings(data / "source.json").get("dated", True)
    by_id = {profile["user_id"]: profile for profile in profiles}
    return LearningData(
        user_ids=tuple(user_ids),
        profiles=tuple(by_id.get(user_id) for user_id in user_ids),
        products=tuple(products),
        interactions=_read_interactions(
            events, user_ids, [product["id"] for product in products], dated=dated
        ),
    )


def encode_examples(data: LearningData, interactions: Interactions) -> Examples:
    """Fits the features and encodes the learning data; only products with an event get a token.

    Raises:
        DataError: a feature cannot be used, for example because it is not finite.
    """
    now = datetime.fromtimestamp(float(interactions.event_time.max()), UTC)
    seen_rows = interactions.list_seen_rows()
    try:
        spec = fit_features([profile or {} for profile in data.profiles], data.products, now)
    except FeatureError as error:
        raise DataError(str(error)) from error
    vocabulary = Vocabulary(tuple(data.products[row]["id"] for row in seen_rows))
    row_tokens = make_row_tokens(len(data.products), seen_rows)
    targets = find_targets(interactions)
    items = encode_items(spec, vocabulary, data.products)
    categorical, numeric = encode_profiles(spec, data.profiles, now)
    count = np.bincount(row_tokens[targets.item_row], minlength=len(seen_rows) + FIRST_TOKEN)
    return Examples(
        spec=spec,
        vocabulary=vocabulary,
        interactions=interactions,
        targets=targets,
        row_tokens=row_tokens,
        item_inputs=tuple(torch.from_numpy(value) for value in items.feed().values()),
        user_categorical=torch.from_numpy(categorical),
        user_numeric=torch.from_numpy(numeric),
        token_share=torch.from_numpy((count / count.sum()).astype(np.float32)),
    )


def _read_interactions(
    events: pa.Table, user_ids: Sequence[str], product_ids: Sequence[str], *, dated: bool
) -> Interactions:
    rows = {
        name: _locate(events[name], values, name)
        for name, values in (("user_id", user_ids), ("product_id", product_ids), ("event_type", EVENT_TYPES))
    }
    microseconds = events["event_time"].cast(pa.int64()).to_numpy()
    if not dated:
        microseconds = np.full(len(microseconds), microseconds.max())
    weight = pc.fill_null(events["weight"], 1.0).to_numpy()
    return sort_interactions(
        rows["user_id"],
        rows["product_id"],
        rows["event_type"] + 1,
        microseconds / 1e6,
        liking=_read_liking(rows["event_type"] == EVENT_TYPES.index("rating"), weight),
        user_count=len(user_ids),
        item_count=len(product_ids),
    )


def _read_liking(rated: NDArray[np.bool_], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reads how far events show liking: a rating by its place between the lowest and the highest one.

    Every other event counts in full, and so does a rating where all are equal.
    """
    liking = np.ones(len(weight), np.float32)
    if rated.any():
        low, high = weight[rated].min(), weight[rated].max()
        if high > low:
            liking[rated] = (weight[rated] - low) / (high - low)
    return liking


def _locate(column: Any, values: Sequence[str], name: str) -> IntArray:
    """Replaces each value of a column by its position among the known values."""
    position = pc.index_in(column, value_set=pa.array(values, pa.string()))
    if position.null_count:
        unknown = column.filter(pc.is_null(position))[0].as_py()
        raise SchemaError(f"interactions.parquet: {name} {unknown!r} is unknown; expected a known one")
    located: IntArray = position.to_numpy().astype(np.int64)
    return located
