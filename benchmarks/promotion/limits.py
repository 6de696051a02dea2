"""How much worse than the serving bundle a candidate may be; every limit is stated in the report."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks.errors import BenchmarkInputError


class Limits(BaseModel):
    """Limits of a promotion.

    Attributes:
        loss_max: for all users together, the relative loss of quality that must be ruled out: the whole
            interval lies above it. Too few users to rule it out refuse as well.
        segment_loss_max: for a segment, the relative loss that must not be proven: a segment counts against
            the candidate when the whole interval lies below it. Many segments are too small to rule it out.
        segment_user_min: a segment of fewer users is shown and not judged.
        coverage_loss_max: largest relative loss of catalogue coverage.
        gini_rise_max: largest rise of the Gini coefficient of what is shown.
        full_loss_max: largest fall of the share of users who are shown k products.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    loss_max: float = Field(default=0.05, gt=0, le=1)
    segment_loss_max: float = Field(default=0.05, gt=0, le=1)
    segment_user_min: int = Field(default=50, ge=2)
    coverage_loss_max: float = Field(default=0.1, ge=0, le=1)
    gini_rise_max: float = Field(default=0.05, ge=0, le=1)
    full_loss_max: float = Field(default=0.01, ge=0, le=1)


def read_limits(path: Path) -> Limits:
    """Reads limits that differ from the defaults, a JSON object.

    Raises:
        BenchmarkInputError: it cannot be read, or a limit is unknown or out of range.
    """
    try:
        return Limits.model_validate_json(path.read_bytes(), strict=True)
    except OSError as error:
        raise BenchmarkInputError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}, got {one['input']!r}" for one in error.errors()
        )
        raise BenchmarkInputError(f"{path}: {problems}") from error
