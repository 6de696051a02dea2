"""Settings of the models: checked when read, frozen afterwards, stored with every run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from index.features import EVENT_TYPES
from training.errors import MissingFileError, SettingError

Loss = Literal["mse", "bce"]
Schedule = Literal["constant", "linear"]
Optimizer = Literal["adamw", "rowwise_adagrad"]
Encoder = Literal["pooled", "attention", "transformer"]
Similarity = Literal["cosine", "dot"]
Precision = Literal["float32", "bf16", "fp16"]
Device = Literal["cpu", "cuda"]


class RunConfig(BaseModel):
    """Settings that every model has."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    embedding_dim: int = Field(64, ge=4, le=512)
    seed: int = Field(1, ge=0, le=2**31 - 1)
    epochs: int = Field(20, ge=1, le=1000)
    patience: int = Field(2, ge=1, le=1000)
    batch_size: int = Field(1024, ge=1, le=65_536)
    learning_rate: float = Field(0.01, gt=0, le=1)
    # What becomes of the rate: it stays, or falls to zero by the last epoch.
    schedule: Schedule = "constant"
    # The largest norm of a step's gradient; a longer one is shortened to it.
    gradient_norm_max: float = Field(5.0, gt=0, le=1e9)
    validation_fraction: float = Field(0.1, ge=0, le=0.5)
    validation_user_limit: int = Field(4000, ge=1, le=1_000_000)
    # The work per operation is small: two threads gained 8 % of time for six times the CPU.
    thread_count: int = Field(1, ge=1, le=256)
    # What a target is worth by the most valuable type of its events; 1 where a type is not named.
    event_weights: dict[str, Annotated[float, Field(ge=0, le=1000)]] = {}

    @field_validator("event_weights", "heads", check_fields=False)
    @classmethod
    def _check_event_types(cls, weights: dict[str, float]) -> dict[str, float]:
        unknown = sorted(set(weights) - set(EVENT_TYPES))
        if unknown:
            raise ValueError(f"expected event types of {list(EVENT_TYPES)}, got {unknown[0]!r}")
        return weights


class TwoTowerConfig(RunConfig):
    """Settings of the two towers.

    The defaults were chosen on the simulated platform's validation, on FAR-Trans splits 3, 12 and 20, and on
    one enrolment of each of 5,000 MOOCCubeX learners, drawn from those that are not the publisher's test.
    """

    model: Literal["two_tower"] = "two_tower"
    # How a history becomes one vector; heads are of attention and transformer, layers of the transformer.
    encoder: Encoder = "pooled"
    encoder_head_count: int = Field(2, ge=1, le=16)
    encoder_layer_count: int = Field(1, ge=1, le=8)
    similarity: Similarity = "cosine"
    # Where and how precisely the towers learn; a trained model is judged and served in float32.
    device: Device = "cpu"
    precision: Precision = "float32"
    temperature: float = Field(0.15, gt=0, le=10)
    epochs: int = Field(10, ge=1, le=1000)
    # Validation still rises while the rate falls: two epochs without a rise ended too early.
    patience: int = Field(5, ge=1, le=1000)
    schedule: Schedule = "linear"
    batch_size: int = Field(512, ge=1, le=65_536)  # Of blocks, each with up to 16 targets.
    negative_count: int = Field(4096, ge=0, le=1_000_000)
    # Beside a pool that is drawn: the products that a user scores highest, found anew in every batch.
    hard_negative_count: int = Field(0, ge=0, le=1000)
    logq: bool = True
    spectral_start: bool = True
    # What each named type is worth to a task head of its own; see training/task_heads.py.
    heads: dict[str, Annotated[float, Field(gt=0, le=1000)]] = {}
    # A target this much older than the latest event counts half, because popularity drifts.
    half_life_days: float = Field(90.0, gt=0, le=1e6)
    history_dropout: float = Field(0.2, ge=0, lt=1)
    hidden_dim: int = Field(128, ge=1, le=4096)
    feature_dim: int = Field(8, ge=1, le=256)
    dropout: float = Field(0.1, ge=0, lt=1)
    id_dropout: float = Field(0.1, ge=0, lt=1)
    profile_dropout: float = Field(0.1, ge=0, lt=1)
    term_dropout: float = Field(0.5, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0, le=1)
    # Of what reads a product's content: words of few products would be learned by heart, as a second id.
    content_decay: float = Field(1.0, ge=0, le=100)
    # Log of how much more popular a product without events counts than is expected of it: room to be found.
    # "auto": as much as validation can bear; see training/new_products.py.
    new_product_lift: Literal["auto"] | Annotated[float, Field(ge=-10, le=10)] = "auto"
    # What trains the tables of products and terms; rowwise_adagrad for those too large for AdamW's moments.
    optimizer: Optimizer = "adamw"


class MfConfig(RunConfig):
    """Settings of matrix factorisation; the defaults were chosen as those of the two towers.

    negative_weight is the weight of a user's unobserved products together, relative to the observed ones.

    The loss bce wants other weights than mse: of those tried on the simulated platform (4,000 users), l2 0.03
    with negative_weight 1 was best, after 18 epochs where mse took 7. An l2 below 0.01 needs more steps than
    folding in makes.
    """

    model: Literal["mf"] = "mf"
    loss: Loss = "mse"
    l2: float = Field(0.1, gt=0, le=100)
    negative_count: int = Field(8, ge=1, le=1000)
    negative_weight: float = Field(4.0, gt=0, le=1e6)


class SvdConfig(RunConfig):
    """Settings of truncated SVD; an epoch tries the next of training/svd.py's candidates, none is skipped."""

    model: Literal["svd"] = "svd"
    embedding_dim: int = Field(65, ge=4, le=512)
    epochs: int = Field(15, ge=15, le=15)
    patience: int = Field(15, ge=15, le=15)
    # A product's popularity counts a pair this much older than the latest event half.
    half_life_days: float = Field(90.0, gt=0, le=1e6)


class IalsConfig(RunConfig):
    """Settings of iALS, chosen as those of the two towers.

    An observed pair weighs alpha beyond the 1 of every pair; a user and a product have an L2 of the ridge
    times what all their pairs weigh together. The ridge grows from epoch to epoch, up to the setting.
    """

    model: Literal["ials"] = "ials"
    embedding_dim: int = Field(65, ge=4, le=512)
    epochs: int = Field(15, ge=1, le=1000)
    patience: int = Field(4, ge=1, le=1000)
    alpha: float = Field(10.0, gt=0, le=1e6)
    ridge: float = Field(0.3, gt=0, le=1e6)
    half_life_days: float = Field(90.0, gt=0, le=1e6)


Config = TwoTowerConfig | MfConfig | SvdConfig | IalsConfig
_MODELS: Final[Mapping[str, type[Config]]] = {
    "two_tower": TwoTowerConfig,
    "mf": MfConfig,
    "svd": SvdConfig,
    "ials": IalsConfig,
}


def make_config(model: str, values: Mapping[str, Any]) -> Config:
    """Checks settings.

    Raises:
        SettingError: the model is unknown, or a setting is unknown or out of range; the message names it.
    """
    if model not in _MODELS:
        raise SettingError(f"model: expected one of {sorted(_MODELS)}, got {model!r}")
    try:
        return _MODELS[model].model_validate({**values, "model": model}, strict=True)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}, got {problem['input']!r}"
            for problem in error.errors()
        )
        raise SettingError(problems) from error


def read_settings(path: Path) -> dict[str, Any]:
    """Reads a JSON object of settings.

    Raises:
        MissingFileError: the file cannot be read.
        SettingError: it is no JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MissingFileError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SettingError(f"{path}: expected a JSON object: {error}") from error
    if not isinstance(values, dict):
        raise SettingError(f"{path}: expected a JSON object, got {type(values).__name__}")
    return values
