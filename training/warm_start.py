"""Starts a model from an earlier one: weights follow product ids and feature values to where those now stand.

Vocabulary and features are fitted anew on the newer data. Before its first step the model gives users, and
products that the earlier one knew, the vectors that the earlier one gave them, popularity included. A new
product starts as id dropout leaves it: placed by its content, with the popularity that the data shows.
"""

import hashlib
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn

from index.features import FIRST_TOKEN, FeatureSpec, Vocabulary
from index.item_embedding import EmbeddingScale
from training.checkpoint import copy_weights, load_weights
from training.config import TwoTowerConfig
from training.errors import CheckpointError, SettingError
from training.loop import Trainer
from training.trained import TrainedRun
from training.two_tower import FeatureEncoder, TwoTower

_TOKEN_TABLES: Final = ("user_tower.token", "user_tower.history.logit.token", "item_tower.token")
_BIAS: Final = "item_tower.bias.weight"
_EMBEDDING: Final = "item_tower.embedding.weight"

Weights = dict[str, Tensor]
Categories = Mapping[str, tuple[str, ...]]
Scales = Mapping[str, tuple[float, float]]


def require_two_tower(run: TrainedRun) -> TwoTowerConfig:
    """Returns the settings of a run that can be carried on.

    Raises:
        SettingError: it is of another model; classic models are found anew at little cost.
    """
    if not isinstance(run.config, TwoTowerConfig):
        raise SettingError(f"model: expected a run of two_tower to carry on, got {run.config.model}")
    return run.config


def identify_weights(run: TrainedRun) -> str:
    """Identifies a run by its weights and what their rows stand for, SHA-256 in hexadecimal."""
    digest = hashlib.sha256((run.vocabulary.to_json() + run.spec.to_json()).encode())
    for name, value in sorted(copy_weights(run.towers).items()):
        digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()


def carry_weights(previous: TrainedRun, trainer: Trainer) -> None:
    """Replaces a fresh trainer's weights by those of an earlier run.

    Raises:
        CheckpointError: the earlier run knows none of the products, or its weights do not fit the model; or
            it read embeddings of products, and those of the data are missing or of another width.
    """
    towers, examples = trainer.learner.towers, trainer.examples
    assert isinstance(towers, TwoTower), "an origin is for two towers"
    assert isinstance(previous.towers, TwoTower), "an origin is for two towers"
    fresh, carried = copy_weights(towers), copy_weights(previous.towers)
    place = _place_tokens(previous.vocabulary, examples.vocabulary)
    _carry_products(carried, fresh, place)
    _carry_features(carried, previous.towers, previous.spec, examples.spec)
    _carry_embedding(carried, fresh, previous.spec.item_embedding, examples.spec.item_embedding)
    load_weights(towers, carried)


def _place_tokens(old: Vocabulary, new: Vocabulary) -> Tensor:
    """Finds each token's earlier one, int64 [token_count]; -1 where there was none."""
    known = [old.tokens.get(product, -1) for product in new.product_ids]
    if not any(token >= 0 for token in known):
        raise CheckpointError(
            f"the earlier run knows none of the {len(known)} products with events; expected data of its kind"
        )
    return torch.tensor([*range(FIRST_TOKEN), *known])


def _carry_products(carried: Weights, fresh: Weights, place: Tensor) -> None:
    """Moves the rows of products to where the products now stand."""
    known = (place >= 0)[:, None]
    for table in _TOKEN_TABLES:
        name = f"{table}.weight"
        carried[name] = torch.where(known, carried[name][place.clamp(min=0)], 0.0)
    before, now = carried[_BIAS][place.clamp(min=0)], fresh[_BIAS]
    # Only differences of biases matter, and learning may have moved all of them together.
    moved = (before - now)[FIRST_TOKEN:][known[FIRST_TOKEN:, 0]].median(dim=0).values  # [heads]
    carried[_BIAS] = torch.where(known, before, now + moved)


def _carry_features(carried: Weights, towers: TwoTower, old: FeatureSpec, new: FeatureSpec) -> None:
    """Moves the rows of values and adapts to new scales, for users and for products."""
    user, item = towers.user_tower, towers.item_tower
    _carry_values(carried, "user_tower.profile", old.user_categorical, new.user_categorical)
    _carry_values(carried, "item_tower.content", old.item_categorical, new.item_categorical)
    reader = user.mix[0]
    assert isinstance(reader, nn.Linear)
    column = _find_numeric(user.profile, reader)
    _rescale(carried, "user_tower.mix.0", column, old.user_numeric, new.user_numeric)
    column = _find_numeric(item.content, item.project)
    _rescale(carried, "item_tower.project", column, old.item_numeric, new.item_numeric)


def _carry_values(carried: Weights, encoder: str, old: Categories, new: Categories) -> None:
    """Moves the rows of categorical values; a new value starts as a value that was never seen."""
    for column, (name, values) in enumerate(new.items()):
        code_of = {value: code for code, value in enumerate(old[name], start=1)}
        codes = torch.tensor([0, *(code_of.get(value, 0) for value in values)])
        table = f"{encoder}.tables.{column}.weight"
        carried[table] = carried[table][codes]


def _carry_embedding(
    carried: Weights, fresh: Weights, old: EmbeddingScale | None, new: EmbeddingScale | None
) -> None:
    """Adapts what reads the catalogue's embeddings to their new scale; what is new starts fresh."""
    if old is None:
        carried |= {_EMBEDDING: fresh[_EMBEDDING]} if new is not None else {}
        return
    found = None if new is None else new.width
    if new is None or found != old.width:
        raise CheckpointError(
            f"products: embedding: the earlier run learned from {old.width} numbers for a product; expected "
            f"the same encoder's, got {found or 'no such column'}"
        )
    weight = carried[_EMBEDDING]  # [outputs, width + 1], last what a missing one adds
    moved = (torch.tensor(new.mean) - torch.tensor(old.mean)) / old.scale
    shift = weight[:, :-1] @ moved
    carried["item_tower.project.bias"] += shift
    weight[:, -1] -= shift
    weight[:, :-1] *= new.scale / old.scale


def _find_numeric(encoder: FeatureEncoder, reader: nn.Linear) -> int:
    """Finds the first numeric column that a layer reads; the encoder's columns are the layer's last."""
    width = sum(int(table.get_parameter("weight").shape[1]) for table in encoder.tables)
    return reader.in_features - encoder.output_dim + width


def _rescale(carried: Weights, layer: str, column: int, old: Scales, new: Scales) -> None:
    """Adapts a layer to (value - mean) / std with another mean and std, so that it gives what it gave.

    A missing value is 0 under either, and its own column takes back what the bias adds.
    """
    weight, bias = carried[f"{layer}.weight"], carried[f"{layer}.bias"]
    for name, (mean, std) in new.items():
        old_mean, old_std = old[name]
        shift = weight[:, column] * ((mean - old_mean) / old_std)
        bias += shift
        weight[:, column + 1] -= shift
        weight[:, column] *= std / old_std
        column += 2
