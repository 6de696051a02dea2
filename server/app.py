"""The program: opens everything or says in one line why not, serves, and drains on SIGTERM."""

import contextlib
import gc
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog
from prometheus_client import CollectorRegistry
from prudence.v1 import (
    admin_pb2_grpc,
    feedback_pb2_grpc,
    profile_service_pb2_grpc,
    recommendation_pb2_grpc,
    risk_pb2_grpc,
)

from index import ann_gpu
from server import admin, feedback_service, profile_service, risk_service, services
from server.active_policy import ActivePolicy
from server.admin import AdminService
from server.bundle_service import BundleDesk
from server.bundles.keeper import Keeper
from server.bundles.log import BundleLog
from server.bundles.opener import Opener
from server.config import Settings
from server.door import Door, Service
from server.feedback.answers import AnswerLog
from server.feedback.recorder import Recorder
from server.feedback_service import FeedbackService
from server.followed_log import Appender
from server.opening import (
    open_active_policy,
    open_bundle_log,
    open_entrance,
    open_event_log,
    open_keeper,
    open_metrics,
    open_monitor,
    open_plan_watch,
    open_recommendation,
    open_users,
)
from server.pipeline import Pipeline
from server.port_file import write_port
from server.profile_service import ProfileService
from server.risk_service import RiskService
from server.services import RecommendationService, describe_source
from server.signals import StopSignals

_log = structlog.get_logger("server")


class Supervision(Appender, Protocol):
    """What one process of several has of its supervisor."""

    def join(
        self,
        followers: Mapping[str, Callable[[int], None]],
        preparers: Mapping[str, Callable[[Mapping[str, str] | None], None]],
    ) -> None:
        """Returns once this process follows the logs that all share, each by what brings it into force.

        What a preparer is given is about to be written there; None lets go of what was kept for it.
        """

    def tell_ready(self, metrics_address: str, find_batch: Callable[[], int | None]) -> None:
        """Says that everything is served, where metrics are (or empty), and what tells that calls go on."""


def serve(settings: Settings, supervision: Supervision | None = None) -> None:
    """Serves until SIGTERM or SIGINT, then drains.

    Args:
        settings: of a process by itself, or of one of several that share a port.
        supervision: of one of several.

    Raises:
        StartError: something that was asked for is not there; nothing is served then.
    """
    with contextlib.ExitStack() as held:
        _serve(settings, held, supervision)
    _log.info("drained")


def _serve(settings: Settings, held: contextlib.ExitStack, supervision: Supervision | None) -> None:
    """Serves; what must be given back at the end is pushed on `held`."""
    stop = held.enter_context(StopSignals())
    write_port(settings, None)
    opener, bundle_log = Opener(settings), open_bundle_log(settings, held)
    active = open_active_policy(settings, opener, bundle_log, held, supervision)
    registry = CollectorRegistry()
    users = open_users(settings, registry, held)
    assumed_data = users.store is not None and users.store.holds_assumed()
    metrics = open_metrics(settings, registry, held)
    monitor = open_monitor(settings, registry, held)
    open_plan_watch(settings, active, opener, metrics, held)
    recommendation, admin_service = open_recommendation(settings, assumed_data), AdminService()
    profiles = ProfileService(users, allow_changes=settings.allow_profile_changes)
    feedback = FeedbackService(settings.decision_clock(), kept=settings.feedback_log is not None)
    risk = RiskService()
    entrance = open_entrance(settings, metrics, held)
    door = Door(settings, _list_services(recommendation, admin_service, profiles, feedback, risk), entrance)
    pipeline: Pipeline | None = None
    try:
        if supervision is None:
            # Callers are told to come again. Where others share the port, they answer meanwhile.
            door.start()
        if settings.device == "cuda":
            tell_of_gpu()
        event_log = open_event_log(settings, users, registry, held)
        pipeline = Pipeline(
            active,
            users,
            clock=settings.decision_clock(),
            channel=settings.channel,
            queue_limit=settings.queue_limit,
            monitor=monitor,
            metrics=metrics,
            answers=None if event_log is None else AnswerLog(event_log),
        )
        if metrics is not None:
            metrics.calls.watch_searches(lambda: 0 if pipeline is None else pipeline.batcher.waiting_count)
        pipeline.searcher.take_turn = entrance.overload.watch_searches(pipeline.batcher.expect)
        recommendation.open(pipeline)
        if event_log is not None:
            feedback.open(Recorder(event_log, users.pseudonyms.derive_all, _knows_product(active)))
        keeper = open_keeper(settings, opener, bundle_log, active, registry)
        admin_service.open(active, _open_bundle_desk(settings, keeper, opener, bundle_log))
        profiles.open(None if event_log is None else event_log.purge)
        risk.open(active)
        _settle_memory()
        if supervision is not None:
            _join(settings, active, door, supervision)
        door.set_ready()
        _announce(settings, active, door, assumed_data)
        if supervision is not None:
            supervision.tell_ready("" if metrics is None else metrics.address, pipeline.batcher.find_batch)
        held.callback(keeper.close)
        keeper.start()
        stop.wait()
        _log.info("draining", drain_delay_s=settings.drain_delay_s, grace_s=settings.grace_s)
        door.drain(settings.drain_delay_s)
    finally:
        _close(door, pipeline, settings.grace_s)


def _join(settings: Settings, active: ActivePolicy, door: Door, supervision: Supervision) -> None:
    """Takes calls once this process follows the logs that all share: it would show what is halted."""
    followers: dict[str, Callable[[int], None]] = {}
    if settings.policy_state is not None:
        followers["policy_state"] = active.follow_policy
    if settings.catalogue_state is not None:
        followers["catalogue_state"] = active.follow_catalogue
    supervision.join(followers, {"policy_state": active.prepare_policy})
    door.start()


def _open_bundle_desk(
    settings: Settings, keeper: Keeper, opener: Opener, bundle_log: BundleLog | None
) -> BundleDesk:
    return BundleDesk(
        keeper, opener, settings.bundles, kept=bundle_log is not None, alone=settings.processes == 1
    )


def _knows_product(active: ActivePolicy) -> Callable[[str], bool]:
    """Returns what tells whether the bundle in force has a product."""
    return lambda product_id: product_id in active.pin().row_of


def tell_of_gpu() -> None:
    """Logs what faiss makes of a selector on the GPU, which a small search shows.

    No search there relies on it; a faiss that starts to apply selectors may allow more.
    """
    _log.info("gpu", selector=ann_gpu.try_selector_on_gpu())


def _list_services(
    recommendation: RecommendationService,
    admin_service: AdminService,
    profiles: ProfileService,
    feedback: FeedbackService,
    risk: RiskService,
) -> tuple[Service, ...]:
    """Lists what the door answers."""
    return (
        Service(
            services.SERVICE_NAME,
            recommendation,
            recommendation_pb2_grpc.add_RecommendationServiceServicer_to_server,
        ),
        Service(
            feedback_service.SERVICE_NAME,
            feedback,
            feedback_pb2_grpc.add_FeedbackServiceServicer_to_server,
        ),
        Service(admin.SERVICE_NAME, admin_service, admin_pb2_grpc.add_AdminServiceServicer_to_server),
        Service(
            profile_service.SERVICE_NAME,
            profiles,
            profile_service_pb2_grpc.add_ProfileServiceServicer_to_server,
        ),
        Service(risk_service.SERVICE_NAME, risk, risk_pb2_grpc.add_RiskServiceServicer_to_server),
    )


def _settle_memory() -> None:
    """Takes what the start made out of the garbage collector's sight: it stays until the process ends.

    A full collection went through all of it, 97,000 objects, and kept every thread waiting for 0.26 s.
    """
    gc.collect()
    gc.freeze()


def _announce(settings: Settings, active: ActivePolicy, door: Door, assumed_data: bool) -> None:
    write_port(settings, door.port)
    snapshot, in_force = active.pin(), active.describe()
    _log.info(
        "serving",
        **door.addresses,
        tower=snapshot.encoder.provider,
        index=snapshot.index_kind,
        retriever=snapshot.retriever.name,
        kernel=snapshot.kernel,
        bundle=snapshot.version,
        bundle_signers=list(snapshot.bundle.signers) or "not asked for",
        products=snapshot.bundle.products.count,
        policy=snapshot.policy.policy_id,
        policy_version=snapshot.policy.version,
        policy_hash=snapshot.policy.sha256,
        policy_signed=in_force.signature_required,
        overlay_sequence=0 if in_force.overlay is None else in_force.overlay.sequence,
        clock=settings.decision_clock().describe(),
        assumed_data=assumed_data or snapshot.assumed_data,
        data_source=describe_source(snapshot.bundle.manifest.source),
    )
    if settings.allow_unsigned:
        _log.warning("bundles are not asked who made them", setting="allow_unsigned")


def _close(door: Door, pipeline: Pipeline | None, grace_s: float) -> None:
    door.stop(grace_s)
    if pipeline is not None:
        pipeline.close()
    door.close()
