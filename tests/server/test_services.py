"""What is asked of a call before anything is done for it."""

from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest
from prudence.v1 import recommendation_pb2 as pb

from server.convert import RequestLimits
from server.errors import CancelledError, DeadlineError
from server.pipeline import Pipeline
from server.services import RecommendationService


def recommend(*, live: bool, remaining_s: float) -> Any:
    """Asks a service whose pipeline answers nothing."""
    service = RecommendationService(
        RequestLimits(k_max=10, allow_inline_profile=True), batch_count_max=1, assumed_data=False
    )
    service.open(cast(Pipeline, SimpleNamespace()))
    context = SimpleNamespace(is_active=lambda: live, time_remaining=lambda: remaining_s)
    return service.Recommend(pb.RecommendRequest(), cast(grpc.ServicerContext, context))


def test_a_call_whose_caller_hung_up_is_not_read() -> None:
    with pytest.raises(CancelledError):
        recommend(live=False, remaining_s=1.0)


def test_a_call_whose_time_is_over_is_not_read() -> None:
    with pytest.raises(DeadlineError):
        recommend(live=True, remaining_s=0.0)
