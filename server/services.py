"""The gRPC service: each method checks, asks the pipeline, and writes the answer. Nothing is decided here."""

import importlib.metadata
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import grpc
from prudence.v1 import recommendation_pb2, recommendation_pb2_grpc

from server import convert, render
from server.batch_queue import WAIT_S_MAX, Call
from server.deadlines import read_time_left_s
from server.errors import InvalidArgumentError, NotReadyError, RequestError, ServerError
from server.identity.admission import current_caller
from server.identity.roles import Role
from server.messages import RecommendQuery
from server.overload.slot import current_slot
from server.pipeline import Pipeline

BATCH_K_FACTOR = 10
"""A batch may want this many times k_max products in all."""
BATCH_WHOLE_DOMAIN_COUNT_MAX = 16
"""So many requests of a batch may count over the whole domain: each judges every product of it."""

SERVICE_NAME = recommendation_pb2.DESCRIPTOR.services_by_name["RecommendationService"].full_name


class RecommendationService(recommendation_pb2_grpc.RecommendationServiceServicer):
    """Serves one pipeline, once it is there."""

    def __init__(self, limits: convert.RequestLimits, batch_count_max: int, assumed_data: bool) -> None:
        """Keeps the limits; calls are answered NOT_READY until `open`.

        Args:
            limits: what a request may ask.
            batch_count_max: most requests in a BatchRecommend call.
            assumed_data: whether the store holds assumed values; a catalogue says so itself.
        """
        self._limits = limits
        self._limits_of_strangers = replace(limits, allow_inline_profile=False)
        self._batch_count_max = batch_count_max
        self._assumed_data = assumed_data
        self._pipeline: Pipeline | None = None

    def open(self, pipeline: Pipeline) -> None:
        """Starts answering."""
        self._pipeline = pipeline

    def Recommend(
        self, request: recommendation_pb2.RecommendRequest, context: grpc.ServicerContext
    ) -> recommendation_pb2.RecommendResponse:
        """Answers Recommend."""
        pipeline, call = self._ready(), _begin(context)
        query = convert.read_recommend(request, self._limits_now(), pipeline.clock.now())
        answer = pipeline.recommend([query], call)[0]
        if isinstance(answer, Exception):
            raise answer
        return render.render_recommend(answer)

    def BatchRecommend(
        self, request: recommendation_pb2.BatchRecommendRequest, context: grpc.ServicerContext
    ) -> recommendation_pb2.BatchRecommendResponse:
        """Answers BatchRecommend."""
        pipeline, call = self._ready(), _begin(context)
        self._check_batch(request)
        queries: list[RecommendQuery | ServerError] = []
        for single in request.requests:
            try:
                queries.append(convert.read_recommend(single, self._limits_now(), pipeline.clock.now()))
            except RequestError as error:
                queries.append(error)
        answers = pipeline.recommend(queries, call)
        return recommendation_pb2.BatchRecommendResponse(
            results=[render.render_result(answer) for answer in answers]
        )

    def ScoreProducts(
        self, request: recommendation_pb2.ScoreProductsRequest, context: grpc.ServicerContext
    ) -> recommendation_pb2.ScoreProductsResponse:
        """Answers ScoreProducts."""
        pipeline, call = self._ready(), _begin(context)
        query = convert.read_named(request, self._limits_now(), pipeline.clock.now())
        return render.render_score(pipeline.score(query, call))

    def SimilarProducts(
        self, request: recommendation_pb2.SimilarProductsRequest, context: grpc.ServicerContext
    ) -> recommendation_pb2.SimilarProductsResponse:
        """Answers SimilarProducts."""
        pipeline, call = self._ready(), _begin(context)
        query = convert.read_similar(request, self._limits_now(), pipeline.clock.now())
        return render.render_similar(pipeline.find_similar(query, call))

    def CheckEligibility(
        self, request: recommendation_pb2.CheckEligibilityRequest, context: grpc.ServicerContext
    ) -> recommendation_pb2.CheckEligibilityResponse:
        """Answers CheckEligibility."""
        pipeline = self._ready()
        query = convert.read_named(request, self._limits_now(), pipeline.clock.now())
        return render.render_check(pipeline.check(query))

    def GetServingInfo(
        self, request: recommendation_pb2.GetServingInfoRequest, context: grpc.ServicerContext
    ) -> recommendation_pb2.GetServingInfoResponse:
        """Answers GetServingInfo."""
        pipeline = self._ready()
        snapshot = pipeline.active.pin()
        manifest = snapshot.bundle.manifest
        return recommendation_pb2.GetServingInfoResponse(
            bundle_version=manifest.bundle_version,
            bundle_create_time=render.render_instant(manifest.created),
            model=manifest.model,
            embedding_dim=manifest.embedding_dim,
            learning_product_count=manifest.learning_count,
            financial_product_count=manifest.product_count - manifest.learning_count,
            score_scale=manifest.score_scale,
            policy_id=snapshot.policy.policy_id,
            policy_version=snapshot.policy.version,
            policy_hash=snapshot.policy.sha256,
            provider=snapshot.encoder.provider,
            index_type=snapshot.index_kind,
            kernel=snapshot.kernel,
            k_max=self._limits.k_max,
            batch_count_max=self._batch_count_max,
            system_clock=pipeline.clock.system,
            decision_time=render.render_instant(pipeline.clock.now()),
            assumed_data=self._assumed_data or snapshot.assumed_data,
            data_source=describe_source(manifest.source),
            server_version=importlib.metadata.version("prudence"),
            cpu_time=render.render_duration(time.process_time()),
            diversity_trade_off=self._limits.diversity_trade_off,
        )

    def _check_batch(self, request: recommendation_pb2.BatchRecommendRequest) -> None:
        """Bounds the work that one small message can ask for."""
        count = len(request.requests)
        if not 1 <= count <= self._batch_count_max:
            raise InvalidArgumentError(
                "requests", f"expected 1 to {self._batch_count_max} requests, got {count}"
            )
        # 256 lists of 1,000 took 13 s of a core.
        wanted_max = BATCH_K_FACTOR * self._limits.k_max
        wanted = sum(max(single.k, 0) for single in request.requests)
        if wanted > wanted_max:
            raise InvalidArgumentError(
                "requests", f"expected at most {wanted_max} products wanted (the sum of k), got {wanted}"
            )
        counting = sum(single.count_whole_domain for single in request.requests)
        if counting > BATCH_WHOLE_DOMAIN_COUNT_MAX:
            raise InvalidArgumentError(
                "requests",
                f"expected at most {BATCH_WHOLE_DOMAIN_COUNT_MAX} with count_whole_domain, got {counting}",
            )

    def _limits_now(self) -> convert.RequestLimits:
        """Returns the limits of this thread's caller: only a source of profiles may say who a user is."""
        trusted = Role.PROFILE_SOURCE in current_caller().roles
        return self._limits if trusted else self._limits_of_strangers

    def _ready(self) -> Pipeline:
        if self._pipeline is None:
            raise NotReadyError("the server is starting")
        return self._pipeline


def describe_source(source: Mapping[str, Any]) -> str:
    """Names where the data came from, with its attribution."""
    parts = [source.get("name"), source.get("licence"), source.get("attribution")]
    return "; ".join(str(part) for part in parts if part)


def _begin(context: grpc.ServicerContext) -> Call:
    """Bounds how long the caller waits, all of a batch together; a call without a deadline has aeons left.

    Raises:
        CancelledError: the caller hung up while the call waited for its turn.
        DeadlineError: its time ran out meanwhile.
    """
    deadline_s = time.monotonic() + min(read_time_left_s(context), WAIT_S_MAX)
    call = Call(deadline_s, context.is_active, current_slot())
    call.check()
    return call
