"""The variants of the two towers: each takes one part away, or puts another in its place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import numpy as np
import torch

from benchmarks.errors import BenchmarkInputError
from training.examples import Examples
from training.histories import Targets

Part = Literal["history", "profiles", "content"]


@dataclass(frozen=True)
class Variant:
    """Names a variant and how it differs from the default.

    Attributes:
        name: for people.
        settings: settings other than the default's.
        without: what neither training nor measuring sees.
        user_ids: whether users have an embedding of their own beside what is known of them.
        against: the variant that it is compared with.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    without: Part | None = None
    against: str = "default"
    user_ids: bool = False


VARIANTS: Final = (
    Variant("default"),
    # Of a thousand events one is left: dropout must be below 1.
    Variant("no history", {"history_dropout": 0.999}, "history"),
    Variant("no profiles", {}, "profiles"),
    Variant("no content", {}, "content"),
    Variant("user ids among the features", user_ids=True),
    Variant("attention over the history", {"encoder": "attention"}),
    Variant("transformer over the history", {"encoder": "transformer"}),
    Variant("dot product", {"similarity": "dot"}),
    Variant("random start", {"spectral_start": False}),
    Variant("no ageing of targets", {"half_life_days": 1e6}),
    Variant("32 dimensions", {"embedding_dim": 32}),
    Variant("128 dimensions", {"embedding_dim": 128}),
    Variant("content learned by heart", {"content_decay": 1e-4, "term_dropout": 0.0}),
    Variant("no forgotten ids", {"id_dropout": 0.0}),
    Variant("512 negatives", {"negative_count": 512}),
    Variant("512, 32 hard", {"negative_count": 512, "hard_negative_count": 32}, None, "512 negatives"),
    Variant("in-batch negatives, no logQ", {"negative_count": 0, "logq": False}),
    Variant("in-batch negatives, logQ", {"negative_count": 0}, None, "in-batch negatives, no logQ"),
)


def hide_inputs(examples: Examples, part: Part | None) -> Examples:
    """Returns examples in which profiles, or the content of products, are missing."""
    if part == "profiles":
        numeric = _make_missing(examples.user_numeric)
        return replace(
            examples, user_categorical=torch.zeros_like(examples.user_categorical), user_numeric=numeric
        )
    if part == "content":
        token, categorical, numeric, term, *embedding = examples.item_inputs
        inputs = (token, torch.zeros_like(categorical), _make_missing(numeric), torch.zeros_like(term))
        return replace(examples, item_inputs=(*inputs, *map(_hide_embedding, embedding)))
    return examples


def add_user_ids(examples: Examples) -> Examples:
    """Returns examples in which each user's row is one more categorical feature; no server knows it."""
    count = len(examples.user_categorical)
    names = {**examples.spec.user_categorical, "user_id": tuple(str(row) for row in range(count))}
    own = torch.arange(1, count + 1)[:, None]
    return replace(
        examples,
        spec=replace(examples.spec, user_categorical=names),
        user_categorical=torch.cat([examples.user_categorical, own], dim=1),
    )


def choose_variants(names: Sequence[str]) -> tuple[Variant, ...]:
    """Chooses variants by name, and those that they are compared with; all of them without a name.

    Raises:
        BenchmarkInputError: there is no variant of a name.
    """
    by_name = {variant.name: variant for variant in VARIANTS}
    for name in names:
        if name not in by_name:
            raise BenchmarkInputError(f"--only: expected one of {sorted(by_name)}, got {name!r}")
    wanted = {*names, *(by_name[name].against for name in names)}
    return tuple(variant for variant in VARIANTS if not names or variant.name in wanted)


def hide_history(users: Targets, part: Part | None) -> Targets:
    """Returns users without a history where that is the part that is missing."""
    if part != "history":
        return users
    return replace(users, history_end=np.zeros_like(users.history_end))


def _hide_embedding(embedding: torch.Tensor) -> torch.Tensor:
    """Returns as many embeddings that are missing: zeros, then 1 for missing."""
    hidden = torch.zeros_like(embedding)
    hidden[:, -1] = 1.0
    return hidden


def _make_missing(numeric: torch.Tensor) -> torch.Tensor:
    """Returns as many values that are missing: 0, then 1 for missing, of each feature."""
    return torch.tensor([0.0, 1.0]).repeat(len(numeric), numeric.shape[1] // 2)
