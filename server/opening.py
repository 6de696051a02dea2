"""Opens what the settings name, or says in one line why not: policy, users, logs, entrance, metrics."""

import contextlib
import sys

import grpc
import structlog
from prometheus_client import CollectorRegistry

from server.accounting import Traces
from server.active_policy import ActivePolicy
from server.bundles.keeper import Keeper
from server.bundles.log import BundleLog
from server.bundles.machine import Machine
from server.bundles.metrics import BundleMetrics
from server.bundles.opener import Opener, facts_of
from server.bundles.ports import LivePorts
from server.bundles.start import open_first
from server.bundles.state import State
from server.catalogue.opening import open_catalogue
from server.config import Settings
from server.convert import RequestLimits
from server.door import Entrance
from server.errors import SettingsError
from server.experiments.plan_watch import PlanWatch
from server.family import live_policies
from server.feedback.event_log import EventLog
from server.feedback.forgetting import forget_erased
from server.followed_log import Appender
from server.identity.access_log import AccessLog
from server.identity.admission import Admission
from server.identity.callers import Callers
from server.identity.tls import Certificates, TlsFiles
from server.metrics_port import serve_metrics
from server.overload.controller import OverloadController
from server.overload.limit import AdaptiveLimit
from server.policy_start import open_control
from server.recall_monitor import RecallMonitor
from server.services import RecommendationService
from server.snapshot import load_fit_policy
from server.telemetry import Metrics
from server.users.directory import Directory
from server.users.opening import StoreAddress, open_directory, open_without_store
from server.users.watched_store import WatchedStore

_log = structlog.get_logger("server")


def open_bundle_log(settings: Settings, held: contextlib.ExitStack) -> BundleLog | None:
    """Opens the log of what serves if it is asked for."""
    if settings.bundle_state is None:
        return None
    log = BundleLog(settings.bundle_state)
    held.callback(log.close)
    return log


def open_active_policy(
    settings: Settings,
    opener: Opener,
    bundle_log: BundleLog | None,
    held: contextlib.ExitStack,
    appender: Appender | None = None,
) -> ActivePolicy:
    """Opens the bundles under every version of the policy that is or will be in force.

    Args:
        settings: name what is opened.
        opener: opens bundles.
        bundle_log: what served before, if it is kept.
        held: gives back at the end what was opened.
        appender: writes the logs that all processes of this server share; None for a single process.
    """
    clock, control = settings.decision_clock(), None
    if settings.policy_keys is not None and settings.policy_state is not None:
        control = open_control(
            settings.policy_keys,
            settings.policy_state,
            settings.signature_days_max,
            settings.policy,
            appender,
        )
        held.callback(control.log.close)
        first, *later = live_policies(control.history.policies, clock.now())
    else:
        first, later = load_fit_policy(settings.policy), []
    family = open_first(opener, bundle_log, [first, *later])
    current, *beside = zip(*family.versions, strict=True)
    catalogue = None
    if settings.catalogue_state is not None:
        catalogue = open_catalogue(settings.catalogue_state, current[0].bundle, current[0].row_of, appender)
        held.callback(catalogue.close)
    return ActivePolicy(
        current, clock, control, others=beside, catalogue=catalogue, experiments=family.experiments
    )


def open_keeper(
    settings: Settings,
    opener: Opener,
    bundle_log: BundleLog | None,
    active: ActivePolicy,
    registry: CollectorRegistry,
) -> Keeper:
    """Makes the bundle manager; it does nothing before it is started."""
    facts = facts_of(active.pin())
    metrics = None if settings.metrics_port is None else BundleMetrics(registry, facts.version)
    ports = LivePorts(settings.bundles, opener, active, bundle_log, metrics)
    state = None if bundle_log is None else bundle_log.state
    machine = Machine(state or State(facts, facts.version))
    if metrics is not None:
        metrics.watch(lambda: machine.trouble is not None)
    return Keeper(machine, ports, settings.bundle_poll_s)


def open_plan_watch(
    settings: Settings,
    active: ActivePolicy,
    opener: Opener,
    metrics: Metrics | None,
    held: contextlib.ExitStack,
) -> None:
    """Follows the experiments file, if there is one; bundles opened later follow it, too."""
    if settings.experiments is None:
        return
    counting = None if metrics is None else metrics.experiments
    watch = PlanWatch(settings, lambda: active.family, opener.follow, counting)
    held.callback(watch.close)
    watch.start()


def open_users(settings: Settings, registry: CollectorRegistry, held: contextlib.ExitStack) -> Directory:
    """Opens the stored users and the keys of their pseudonyms; how the store fares is counted."""
    if settings.store is None:
        return open_without_store(settings.pseudonym_keys)
    address = StoreAddress(settings.store, settings.pseudonym_keys, settings.store_password_file)
    users = open_directory(address, allow_assumed=settings.allow_assumed)
    store = WatchedStore(users.require_store(), registry)
    held.callback(store.close)
    return Directory(store, users.pseudonyms)


def open_event_log(
    settings: Settings, users: Directory, registry: CollectorRegistry, held: contextlib.ExitStack
) -> EventLog | None:
    """Opens the log of events and answers if it is asked for; store and log catch up with each other."""
    if settings.feedback_log is None or users.store is None:
        return None
    event_log = EventLog(settings.feedback_log, users.store, registry)
    held.callback(event_log.close)
    forget_erased(settings.feedback_log, users.store.erased_names, event_log.purge)
    return event_log


def open_overload(settings: Settings, metrics: Metrics | None) -> OverloadController:
    """Makes what limits the calls under way; no more of them than there are threads."""
    limit = AdaptiveLimit(settings.latency_target_s, settings.rpc_thread_count)
    overload = None if metrics is None else metrics.overload
    return OverloadController(limit, overload, set_switch_interval=sys.setswitchinterval)


def open_entrance(settings: Settings, metrics: Metrics | None, held: contextlib.ExitStack) -> Entrance:
    """Opens what is asked of callers: certificates and names, or nothing on a port of this machine's own."""
    access_log, calls = None, None if metrics is None else metrics.calls
    overload, traces = open_overload(settings, metrics), _open_traces(settings, held)
    if settings.access_log is not None:
        access_log = AccessLog(settings.access_log)
        held.callback(access_log.close)
    if (
        settings.tls_certificate is None
        or settings.tls_key is None
        or settings.tls_client_ca is None
        or settings.callers is None
    ):
        return Entrance(Admission(None), None, access_log, calls, overload, traces)
    files = TlsFiles(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)

    def make_credentials() -> grpc.ServerCredentials:
        # A change of the files is told once, so each port has an object of its own that looks for it.
        return Certificates(files).make_credentials()

    admission = Admission(Callers(settings.callers))
    return Entrance(admission, make_credentials, access_log, calls, overload, traces)


def _open_traces(settings: Settings, held: contextlib.ExitStack) -> Traces | None:
    """Opens what sends traces if it is asked for; nothing of it is loaded otherwise."""
    if settings.otlp_endpoint is None:
        return None
    try:
        from server.tracing import open_tracing
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"otlp_endpoint: {error.name} is not installed; install prudence[tracing]"
        ) from error
    tracing = open_tracing(settings.otlp_endpoint, settings.trace_sample_fraction)
    held.callback(tracing.close)
    return tracing


def open_metrics(
    settings: Settings, registry: CollectorRegistry, held: contextlib.ExitStack
) -> Metrics | None:
    """Opens the metrics' port if it is asked for; without it nobody reads them and nothing is counted."""
    if settings.metrics_port is None:
        return None
    address = held.enter_context(serve_metrics(registry, settings.metrics_port, settings.metrics_host))
    _log.info("metrics", address=address)
    return Metrics(registry, address)


def open_monitor(
    settings: Settings, registry: CollectorRegistry, held: contextlib.ExitStack
) -> RecallMonitor | None:
    """Starts the recall monitor if it is asked for."""
    if settings.recall_sample_fraction == 0:
        return None
    monitor = RecallMonitor(settings.recall_sample_fraction, registry)
    held.callback(monitor.close)
    return monitor


def open_recommendation(settings: Settings, assumed_data: bool) -> RecommendationService:
    """Makes the service that lists products, closed as yet."""
    limits = RequestLimits(
        k_max=settings.k_max,
        allow_inline_profile=settings.allow_inline_profile,
        diversity_trade_off=settings.diversity_trade_off,
    )
    return RecommendationService(limits, settings.batch_count_max, assumed_data)
