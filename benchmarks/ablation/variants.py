"""The variants of the two towers: each takes one part away, or puts another in its place."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

# Nearly always: dropout must be below 1.
_ALWAYS: Final = 0.999


@dataclass(frozen=True)
class Variant:
    """Names a variant and its settings; `against` is the variant that it is compared with."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    against: str = "default"


VARIANTS: Final = (
    Variant("default"),
    Variant("no history", {"history_dropout": _ALWAYS}),
    Variant("no product ids", {"id_dropout": _ALWAYS}),
    Variant("no profiles", {"profile_dropout": _ALWAYS}),
    Variant("random start", {"spectral_start": False}),
    Variant("no ageing of targets", {"half_life_days": 1e6}),
    Variant("constant rate", {"schedule": "constant"}),
    Variant("32 dimensions", {"embedding_dim": 32}),
    Variant("128 dimensions", {"embedding_dim": 128}),
    Variant("in-batch negatives, no logQ", {"negative_count": 0, "logq": False}),
    Variant("in-batch negatives, logQ", {"negative_count": 0}, "in-batch negatives, no logQ"),
)
