"""Settings of the risk models: checked when read, frozen afterwards, stored with every run."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from index.risk_model import BASIS_POINTS_MAX
from training.errors import SettingError

ModelName = Literal["scorecard", "logistic", "forest", "boosting"]


class RiskSettings(BaseModel):
    """Settings of a run.

    Of the strengths, bins and counts of trees tried on UCI credit default, the defaults were the best by AUC
    in five folds of what is not held out; docs/risk.md says what was tried.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    seed: int = Field(1, ge=0, le=2**31 - 1)
    models: tuple[ModelName, ...] = Field(("scorecard", "logistic", "forest", "boosting"), min_length=1)
    # Sex, age, marriage and nationality are inputs only for who asks.
    use_protected: bool = False
    # Parts of the training rows, each scored by models that did not see it: what calibration learns from.
    fold_count: int = Field(5, ge=2, le=20)
    bin_count: int = Field(64, ge=2, le=250)

    # The scorecard: at most so many bins of a feature, each with this share of the borrowers or more.
    scorecard_bin_count: int = Field(6, ge=2, le=50)
    scorecard_bin_share: float = Field(0.03, gt=0, lt=0.5)
    # How many points double the odds of a default.
    points_to_double_odds: int = Field(20, ge=1, le=1000)

    # The inverse of the penalty on the squared weights.
    logistic_strength: float = Field(0.01, gt=0, le=1e6)

    forest_tree_count: int = Field(100, ge=1, le=5000)
    forest_depth: int = Field(8, ge=1, le=16)
    forest_leaf_size: int = Field(50, ge=1, le=100_000)

    boosting_tree_count: int = Field(200, ge=1, le=5000)
    boosting_learning_rate: float = Field(0.05, gt=0, le=1)
    boosting_leaf_count: int = Field(15, ge=2, le=255)

    # A policy number: where one band ends and the next begins, in basis points.
    band_limits: tuple[Annotated[int, Field(ge=2, le=BASIS_POINTS_MAX)], ...] = Field(
        (500, 1000, 2000, 4000), min_length=1, max_length=20
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(low >= high for low, high in pairwise(self.band_limits)):
            raise ValueError(f"band_limits: expected ascending basis points, got {self.band_limits}")
        if len(set(self.models)) != len(self.models):
            raise ValueError(f"models: expected each once, got {self.models}")
        return self


def make_settings(values: Mapping[str, Any]) -> RiskSettings:
    """Checks settings.

    Raises:
        SettingError: one is unknown or out of range; the message names it.
    """
    try:
        return RiskSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SettingError(f"{place}: {first['msg']}" if place else first["msg"]) from error
