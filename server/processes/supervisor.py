"""Runs several processes on one port: starts them, replaces those that die or hang, drains all on SIGTERM.

The kernel spreads connections over the processes (SO_REUSEPORT). Files of the bundle are mapped, so they are
in memory once. One thread does everything: it waits for a signal, for a word from a process, or for the
instant at which one is started again. It also holds the logs that all processes share, and writes them.
"""

import contextlib
import selectors
import time
from collections.abc import Mapping
from typing import Final

import structlog

from server.catalogue.state import CatalogueState
from server.chained_log import ChainedLog
from server.config import Settings
from server.errors import ProcessError
from server.health import NOT_SERVING, PROBE_WATCH_COUNT_MAX, SERVING, Health
from server.identity.roles import SERVICE_ROLES
from server.metrics_port import serve_metrics
from server.policy_start import open_control
from server.port_file import write_port
from server.ports import LOOPBACK, Probes, reserve_port
from server.processes.child import Child
from server.processes.heartbeat import Heartbeat
from server.processes.order_desk import OrderDesk, Said
from server.processes.pages import Pages, register_pages
from server.processes.preparations import Preparations
from server.processes.wire import (
    Append,
    Followed,
    FromProcess,
    Joining,
    Orders,
    Pong,
    Prepare,
    Prepared,
    Ready,
    Release,
)
from server.signals import StopSignals

START_S_MAX: Final = 600.0
STOP_MARGIN_S: Final = 15.0
"""What a process may take to end beyond its drain delay and grace."""

_log = structlog.get_logger("server")


def supervise(settings: Settings) -> None:
    """Serves with several processes until SIGTERM or SIGINT, then drains.

    Raises:
        StartError: a port cannot be bound or a process cannot start, and nothing is served then; or a process
            did not drain as it should.
    """
    with contextlib.ExitStack() as held:
        stop = held.enter_context(StopSignals())
        write_port(settings, None)
        port = held.enter_context(reserve_port(settings.host, settings.port))
        addresses = {"address": f"{settings.host}:{port}"}
        own: dict[str, object] = {"port": port, "port_file": None, "probe_port": None}
        if settings.admin_port is not None:
            own["admin_port"] = held.enter_context(
                reserve_port(LOOPBACK, settings.admin_port, setting="admin_port")
            )
            addresses["admin_address"] = f"{LOOPBACK}:{own['admin_port']}"
        if settings.metrics_port is not None:
            own |= {"metrics_port": 0, "metrics_host": LOOPBACK}
        supervisor = _Supervisor(settings, settings.model_copy(update=own), _open_logs(settings, held), stop)
        held.callback(supervisor.kill)
        if settings.metrics_port is not None:
            served = serve_metrics(supervisor.registry, settings.metrics_port, settings.metrics_host)
            address = held.enter_context(served)
            _log.info("metrics", address=address)
        if settings.probe_port is not None:
            probes = Probes(supervisor.health)
            held.callback(probes.close)
            bound = probes.open(settings.host, settings.probe_port)
            addresses["probe_address"] = f"{settings.host}:{bound}"
        supervisor.start()
        write_port(settings, port)
        _log.info("supervising", **addresses, processes=supervisor.pids)
        supervisor.watch()
        _log.info("draining", drain_delay_s=settings.drain_delay_s, grace_s=settings.grace_s)
        supervisor.drain()
    _log.info("drained")


def _open_logs(settings: Settings, held: contextlib.ExitStack) -> dict[str, ChainedLog]:
    """Opens the logs that all processes share, and brings them into the state that a start serves."""
    logs: dict[str, ChainedLog] = {}
    if settings.policy_keys is not None and settings.policy_state is not None:
        control = open_control(
            settings.policy_keys, settings.policy_state, settings.signature_days_max, settings.policy
        )
        held.callback(control.log.close)
        assert isinstance(control.log.chain, ChainedLog), "nobody else writes it"
        logs["policy_state"] = control.log.chain
    if settings.catalogue_state is not None:
        # It is compacted now if ever: processes read on where they are.
        chain = CatalogueState(settings.catalogue_state).chain
        held.callback(chain.close)
        assert isinstance(chain, ChainedLog), "nobody else writes it"
        logs["catalogue_state"] = chain
    return logs


class _Supervisor:
    """The processes, what health checks are told of them, and what metrics are."""

    def __init__(
        self, settings: Settings, theirs: Settings, logs: Mapping[str, ChainedLog], stop: StopSignals
    ) -> None:
        """Keeps the settings of the whole and of each process; nothing runs before `start`."""
        self._settings, self._stop = settings, stop
        self._desk = OrderDesk(logs, time.monotonic)
        self._preparations = Preparations(time.monotonic)
        self._heartbeat = Heartbeat(time.monotonic)
        # A log stays locked until the last process that may serve by it has ended.
        locked = [log.fileno() for log in logs.values()]
        self._children = [Child(Orders(number, theirs), locked) for number in range(settings.processes)]
        self._selector = selectors.DefaultSelector()
        self._selector.register(stop, selectors.EVENT_READ)
        self.registry = register_pages(Pages(self._list_pages, self._count_restarts, settings.processes))
        self.health = Health(PROBE_WATCH_COUNT_MAX)
        self._tell_health()

    @property
    def pids(self) -> list[int]:
        """Ids of the processes that run."""
        return [child.pid for child in self._children if child.running]

    def start(self) -> None:
        """Starts every process and waits until all serve.

        Raises:
            ProcessError: one of them ended, or took too long; or a signal to stop came first.
        """
        for child in self._children:
            self._run(child)
        deadline_s = time.monotonic() + START_S_MAX
        while not all(child.ready for child in self._children):
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise ProcessError(f"processes: not all of them served within {START_S_MAX:.0f} s")
            for child, status in self._hear(left_s):
                raise ProcessError(f"processes: process {child.number} ended with {status} at start")
            if self._stop.heard:
                raise ProcessError("processes: stopped before all of them served")

    def watch(self) -> None:
        """Starts processes again that end, or hang and are ended, until a signal to stop comes."""
        while not self._stop.heard:
            ended = self._hear(self._next_wait_s())
            for child, status in [*ended, *self._end_hanging()]:
                assert child.start_s is not None
                delay_s = round(child.start_s - time.monotonic(), 1)
                _log.error("process ended", process=child.number, status=status, again_in_s=delay_s)
            for child in self._children:
                if child.start_s is not None and child.start_s <= time.monotonic():
                    self._run(child)

    def drain(self) -> None:
        """Asks every process to drain and waits for all.

        Raises:
            ProcessError: one was killed because it took too long, or ended otherwise than with 0.
        """
        self.health.enter_graceful_shutdown()
        running = [child for child in self._children if child.running]
        for child in running:
            child.terminate()
        deadline_s = time.monotonic() + self._settings.drain_delay_s + self._settings.grace_s + STOP_MARGIN_S
        lost: dict[int, int | None] = {}
        while any(child.running for child in running) and (left_s := deadline_s - time.monotonic()) > 0:
            lost |= {child.number: status for child, status in self._hear(left_s) if status != 0}
        lost |= {child.number: None for child in running if child.running}
        if lost:
            raise ProcessError(f"processes: did not drain: {lost}")

    def kill(self) -> None:
        """Ends what still runs, at once."""
        for child in self._children:
            if child.running:
                self._selector.unregister(child)
                child.kill()
        self._selector.close()

    def _run(self, child: Child) -> None:
        child.start()
        self._selector.register(child, selectors.EVENT_READ)

    def _hear(self, wait_s: float | None) -> list[tuple[Child, int]]:
        """Waits for a signal or a word; returns the processes that ended, with their status."""
        ended = []
        events = self._selector.select(self._shorten(wait_s))
        # What was said until now is among these. A disk may take long below, and nobody is late by that.
        late = {*self._desk.list_late()}
        for key, _ in events:
            if key.fileobj is self._stop:
                self._stop.hear()
                continue
            child = key.fileobj
            assert isinstance(child, Child)
            # The descriptor is gone once the end is heard.
            self._selector.unregister(child)
            heard = child.hear()
            if isinstance(heard, int):
                ended.append((child, heard))
                self._leave(child.number)
                continue
            self._selector.register(child, selectors.EVENT_READ)
            for message in heard:
                self._say(self._answer(child.number, message))
        for number in late.intersection(self._desk.list_late()):
            _log.error("process did not follow an order and is ended", process=number)
            ended.append(self._end(number))
        self._say(self._preparations.expire())
        self._tell_health()
        return ended

    def _end_hanging(self) -> list[tuple[Child, int]]:
        """Asks processes whether they live; ends those that hang, and returns them with their status."""
        self._say(self._heartbeat.beat())
        ended = []
        for number, reason in self._heartbeat.list_hanging():
            _log.error("process hangs and is ended", process=number, reason=reason)
            ended.append(self._end(number))
        self._tell_health()
        return ended

    def _end(self, number: int) -> tuple[Child, int]:
        child = self._children[number]
        self._selector.unregister(child)
        status = child.kill()
        self._leave(number)
        return child, status

    def _leave(self, number: int) -> None:
        self._heartbeat.leave(number)
        self._say(self._desk.leave(number) + self._preparations.leave(number))

    def _answer(self, number: int, message: FromProcess) -> Said:
        said: Said = []
        match message:
            case Joining():
                said = self._desk.join(number) + self._preparations.join(number)
            case Ready():
                self._heartbeat.join(number)
            case Pong():
                self._heartbeat.hear(number, message)
            case Append():
                said = self._desk.append(number, message)
            case Followed():
                said = self._desk.hear(number, message)
            case Prepare():
                said = self._preparations.begin(number, message)
            case Prepared():
                said = self._preparations.hear(number, message)
            case Release():
                said = self._preparations.release(number, message)
        return said

    def _say(self, said: Said) -> None:
        for number, message in said:
            if self._children[number].running:
                self._children[number].say(message)

    def _shorten(self, wait_s: float | None) -> float | None:
        """Returns how long to wait where processes have until then to follow an order or prepare for it."""
        deadlines = [
            each for each in (self._desk.deadline_s, self._preparations.deadline_s) if each is not None
        ]
        if not deadlines:
            return wait_s
        left_s = max(0.0, min(deadlines) - time.monotonic())
        return left_s if wait_s is None else min(wait_s, left_s)

    def _next_wait_s(self) -> float | None:
        """Returns how long until a process is started again or asked whether it lives."""
        instants = [self._heartbeat.next_s, *(child.start_s for child in self._children)]
        known = [instant for instant in instants if instant is not None]
        return max(0.0, min(known) - time.monotonic()) if known else None

    def _tell_health(self) -> None:
        """Alive is alive; a service is served while any process serves it."""
        ready = any(child.ready for child in self._children)
        served = SERVING if ready else NOT_SERVING
        for name in ("", *SERVICE_ROLES):
            self.health.set(name, served)

    def _list_pages(self) -> dict[int, str]:
        return {child.number: child.ready.metrics_address for child in self._children if child.ready}

    def _count_restarts(self) -> int:
        return sum(child.restarts.count for child in self._children)
