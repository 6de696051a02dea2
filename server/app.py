"""The program: opens everything or says in one line why not, serves, and drains on SIGTERM."""

import contextlib
import gc
from collections.abc import Callable

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
from server.active_policy import ActivePolicy, live_policies
from server.admin import AdminService
from server.catalogue.opening import open_catalogue
from server.config import Settings
from server.convert import RequestLimits
from server.door import Door, Entrance, Service
from server.errors import SettingsError
from server.experiments.assignment import Experiments
from server.experiments.opening import open_experiments
from server.feedback.answers import AnswerLog
from server.feedback.event_log import EventLog
from server.feedback.recorder import Recorder
from server.feedback_service import FeedbackService
from server.identity.access_log import AccessLog
from server.identity.admission import Admission
from server.identity.callers import Callers
from server.identity.tls import Certificates, TlsFiles
from server.pipeline import Pipeline
from server.policy_start import open_control
from server.profile_service import ProfileService
from server.recall_monitor import RecallMonitor
from server.risk_service import RiskService
from server.services import RecommendationService, describe_source
from server.signals import StopSignals
from server.snapshot import all_under_policy, load_fit_policy, load_publishers, open_snapshot, warm_up
from server.telemetry import Metrics, serve_metrics
from server.users.directory import Directory
from server.users.opening import StoreAddress, open_directory, open_without_store

_log = structlog.get_logger("server")


def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT, then drains.

    Raises:
        StartError: something that was asked for is not there; nothing is served then.
    """
    with contextlib.ExitStack() as held:
        _serve(settings, held)
    _log.info("drained")


def _serve(settings: Settings, held: contextlib.ExitStack) -> None:
    """Serves; what must be given back at the end is pushed on `held`."""
    stop = held.enter_context(StopSignals())
    _write_port(settings, None)
    active, experiments = _open_active_policy(settings, held)
    snapshot, users = active.pin(), _open_users(settings, held)
    assumed_data = snapshot.assumed_data or (users.store is not None and users.store.holds_assumed())
    registry = CollectorRegistry()
    metrics = _open_metrics(settings, registry, held)
    monitor = _open_monitor(settings, registry, held)
    recommendation, admin_service = _open_recommendation(settings, assumed_data), AdminService()
    profiles = ProfileService(users, allow_changes=settings.allow_profile_changes)
    feedback = FeedbackService(settings.decision_clock(), kept=settings.feedback_log is not None)
    risk = RiskService()
    entrance = _open_entrance(settings, metrics, held)
    door = Door(settings, _list_services(recommendation, admin_service, profiles, feedback, risk), entrance)
    pipeline: Pipeline | None = None
    try:
        door.start()
        for place in range(active.place_count):
            warm_up(active.pin(place))
        if settings.device == "cuda":
            tell_of_gpu()
        event_log = _open_event_log(settings, users, registry, held)
        pipeline = Pipeline(
            active,
            users,
            clock=settings.decision_clock(),
            channel=settings.channel,
            queue_limit=settings.queue_limit,
            monitor=monitor,
            metrics=metrics,
            experiments=experiments,
            answers=None if event_log is None else AnswerLog(event_log),
        )
        if metrics is not None:
            metrics.calls.watch_searches(lambda: 0 if pipeline is None else pipeline.waiting_count)
        recommendation.open(pipeline)
        if event_log is not None:
            feedback.open(Recorder(event_log, users.pseudonyms.derive_all, _knows_product(active)))
        admin_service.open(active)
        profiles.open(None if event_log is None else event_log.purge)
        risk.open(active)
        _settle_memory()
        door.set_ready()
        _announce(settings, active, door, assumed_data)
        stop.wait()
        _log.info("draining", drain_delay_s=settings.drain_delay_s, grace_s=settings.grace_s)
        door.drain(settings.drain_delay_s)
    finally:
        _close(door, pipeline, settings.grace_s)


def _open_users(settings: Settings, held: contextlib.ExitStack) -> Directory:
    """Opens the stored users and the keys of their pseudonyms."""
    if settings.store is None:
        return open_without_store(settings.pseudonym_keys)
    address = StoreAddress(settings.store, settings.pseudonym_keys, settings.store_password_file)
    users = open_directory(address, allow_assumed=settings.allow_assumed)
    if users.store is not None:
        held.callback(users.store.close)
    return users


def _open_event_log(
    settings: Settings, users: Directory, registry: CollectorRegistry, held: contextlib.ExitStack
) -> EventLog | None:
    """Opens the log of events and answers if it is asked for; the store takes what it lacks."""
    if settings.feedback_log is None or users.store is None:
        return None
    event_log = EventLog(settings.feedback_log, users.store, registry)
    held.callback(event_log.close)
    return event_log


def _knows_product(active: ActivePolicy) -> Callable[[str], bool]:
    """Returns what tells whether the bundle in force has a product."""
    return lambda product_id: product_id in active.pin().row_of


def _open_entrance(settings: Settings, metrics: Metrics | None, held: contextlib.ExitStack) -> Entrance:
    """Opens what is asked of callers: certificates and names, or nothing on a port of this machine's own."""
    access_log, calls = None, None if metrics is None else metrics.calls
    if settings.access_log is not None:
        access_log = AccessLog(settings.access_log)
        held.callback(access_log.close)
    if (
        settings.tls_certificate is None
        or settings.tls_key is None
        or settings.tls_client_ca is None
        or settings.callers is None
    ):
        return Entrance(Admission(None), None, access_log, calls)
    files = TlsFiles(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
    credentials = Certificates(files).make_credentials()
    return Entrance(Admission(Callers(settings.callers)), credentials, access_log, calls)


def tell_of_gpu() -> None:
    """Logs what faiss makes of a selector on the GPU, which a small search shows.

    No search there relies on it; a faiss that starts to apply selectors may allow more.
    """
    _log.info("gpu", selector=ann_gpu.try_selector_on_gpu())


def _open_metrics(
    settings: Settings, registry: CollectorRegistry, held: contextlib.ExitStack
) -> Metrics | None:
    """Opens the metrics' port if it is asked for; without it nobody reads them and nothing is counted."""
    if settings.metrics_port is None:
        return None
    _log.info("metrics", address=held.enter_context(serve_metrics(registry, settings.metrics_port)))
    return Metrics(registry)


def _open_monitor(
    settings: Settings, registry: CollectorRegistry, held: contextlib.ExitStack
) -> RecallMonitor | None:
    """Starts the recall monitor if it is asked for."""
    if settings.recall_sample_fraction == 0:
        return None
    monitor = RecallMonitor(settings.recall_sample_fraction, registry)
    held.callback(monitor.close)
    return monitor


def _open_active_policy(settings: Settings, held: contextlib.ExitStack) -> tuple[ActivePolicy, Experiments]:
    """Opens the bundles under every version of the policy that is or will be in force."""
    clock, control = settings.decision_clock(), None
    if settings.policy_keys is not None and settings.policy_state is not None:
        control = open_control(
            settings.policy_keys, settings.policy_state, settings.signature_days_max, settings.policy
        )
        held.callback(control.log.close)
        first, *later = live_policies(control.history.policies, clock.now())
    else:
        first, later = load_fit_policy(settings.policy), []
    snapshot = open_snapshot(
        settings.bundles,
        first,
        device=settings.device,
        thread_count=settings.threads,
        retriever=settings.retriever,
        allow_assumed=settings.allow_assumed,
        kernel=settings.kernel,
        keys=load_publishers(settings.bundle_keys),
    )
    experiments, others = open_experiments(settings, snapshot)
    served = (snapshot, *others)
    versions = [served, *(all_under_policy(served, policy) for policy in later)]
    current, *beside = zip(*versions, strict=True)
    catalogue = None
    if settings.catalogue_state is not None:
        catalogue = open_catalogue(settings.catalogue_state, snapshot.bundle, snapshot.row_of)
        held.callback(catalogue.close)
    return ActivePolicy(current, clock, control, others=beside, catalogue=catalogue), experiments


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


def _open_recommendation(settings: Settings, assumed_data: bool) -> RecommendationService:
    limits = RequestLimits(
        k_max=settings.k_max,
        allow_inline_profile=settings.allow_inline_profile,
        diversity_trade_off=settings.diversity_trade_off,
    )
    return RecommendationService(limits, settings.batch_count_max, assumed_data)


def _settle_memory() -> None:
    """Takes what the start made out of the garbage collector's sight: it stays until the process ends.

    A full collection went through all of it, 97,000 objects, and kept every thread waiting for 0.26 s.
    """
    gc.collect()
    gc.freeze()


def _announce(settings: Settings, active: ActivePolicy, door: Door, assumed_data: bool) -> None:
    _write_port(settings, door.port)
    snapshot, in_force = active.pin(), active.describe()
    _log.info(
        "serving",
        address=f"{settings.host}:{door.port}",
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
        assumed_data=assumed_data,
        data_source=describe_source(snapshot.bundle.manifest.source),
    )


def _write_port(settings: Settings, port: int | None) -> None:
    """Writes the port file; an older one is removed first, so that nobody reads the port of another run."""
    if settings.port_file is None:
        return
    if settings.port_file.exists() and not settings.port_file.is_file():
        raise SettingsError(f"port_file: {settings.port_file} is there and no plain file; it is left alone")
    try:
        settings.port_file.unlink(missing_ok=True)
        if port is not None:
            settings.port_file.write_text(f"{port}\n", encoding="ascii")
    except OSError as error:
        raise SettingsError(f"port_file: {settings.port_file} cannot be written: {error.strerror}") from error


def _close(door: Door, pipeline: Pipeline | None, grace_s: float) -> None:
    door.stop(grace_s)
    if pipeline is not None:
        pipeline.close()
    door.close()
