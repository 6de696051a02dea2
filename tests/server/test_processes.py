"""Several processes behind one port: they share the work, survive one another, and end together."""

import itertools
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2
from prudence.v1 import admin_pb2
from prudence.v1 import profile_service_pb2 as pb
from prudence.v1 import profile_service_pb2_grpc as profile_grpc
from prudence.v1 import recommendation_pb2_grpc as pb_grpc

from server.errors import PolicyStateError
from server.policy_log import PolicyLog
from tests.server.cases import eligible_user
from tests.server.conftest import Platform, count_codes, run_command
from tests.server.officers import make_overlay, make_policy, overlay_request, policy_request, write_office
from tests.server.supervised import COUNT, USER, WAIT_S, Supervised, own_channel, start, wait_until
from tests.server.wire import recommend, to_profile, to_user

CALLER_COUNT = 6
IMPATIENT = """
import sys
from server.__main__ import main
from server.processes import heartbeat
heartbeat.PERIOD_S, heartbeat.SILENCE_S_MAX = 0.1, 1.5
sys.exit(main(sys.argv[1:]))
"""
"""The server whose supervisor soon takes a process for one that hangs."""


@dataclass
class Audience:
    """Callers over connections of their own, enough for each process to have some, that look for halts."""

    supervised: Supervised
    halted: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    answer_count: int = 0
    done: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        while not self.done.is_set():
            with own_channel(self.supervised.server.target) as channel:
                stub = pb_grpc.RecommendationServiceStub(channel)
                for _ in range(20):
                    halted = set(self.halted)
                    try:
                        answer = stub.Recommend(recommend(USER, 20), timeout=WAIT_S, wait_for_ready=True)
                    except grpc.RpcError as error:
                        if error.code() is not grpc.StatusCode.UNAVAILABLE:
                            raise
                        break
                    shown = {product.product_id for product in answer.products}
                    self.faults.extend(f"{name} after its halt" for name in halted & shown)
                    self.answer_count += 1

    def wait(self) -> None:
        """Waits until every caller was answered some times more."""
        wanted = self.answer_count + 4 * CALLER_COUNT
        wait_until(lambda: self.answer_count >= wanted)


@contextmanager
def audience(supervised: Supervised) -> Iterator[Audience]:
    watching = Audience(supervised)
    with ThreadPoolExecutor(CALLER_COUNT) as pool:
        looks = [pool.submit(watching.look) for _ in range(CALLER_COUNT)]
        try:
            yield watching
        finally:
            watching.done.set()
        for look in looks:
            look.result()
    assert watching.faults == []


def is_free(state: Path) -> bool:
    """Tells whether a server could take the policy log of a folder."""
    try:
        PolicyLog(state).close()
    except PolicyStateError as error:
        assert "held by another server" in str(error)  # noqa: PT017 - any other error is one of the test.
        return False
    return True


@pytest.fixture(scope="module")
def supervised(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    folder = tmp_path_factory.mktemp("processes")
    (folder / "catalogue").mkdir()
    state = ("--catalogue-state", str(folder / "catalogue"), *write_office(folder / "office"))
    with start(platform, folder, "--admin-port", "0", *state, program=("-c", IMPATIENT)) as server:
        yield Supervised(server)
        assert server.stop() == 0


def test_every_process_answers_and_is_counted(supervised: Supervised) -> None:
    assert len(supervised.pids()) == COUNT
    supervised.call(40)
    told = supervised.metrics()
    counts = [told["prudence_call_seconds_count", str(number)] for number in range(COUNT)]
    # 40 connections all reach one of two processes once in 10^12 times.
    assert min(counts) >= 1
    assert sum(counts) == 40
    assert told["prudence_processes_ready", ""] == told["prudence_processes_wanted", ""] == COUNT


def test_a_killed_process_is_replaced_and_the_others_answer_meanwhile(supervised: Supervised) -> None:
    before = supervised.pids()
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: len(supervised.lines("process ended")) == 1)
    assert supervised.health("prudence.v1.RecommendationService") == health_pb2.HealthCheckResponse.SERVING
    supervised.call(5)
    wait_until(lambda: supervised.metrics()["prudence_processes_ready", ""] == COUNT)
    assert supervised.metrics()["prudence_process_restarts_total", ""] == 1
    assert set(supervised.pids()) & set(before) == {before[1]}
    line = supervised.lines("process ended")[0]
    assert (line["process"], line["status"]) == (0, -signal.SIGKILL)


def test_a_process_that_hangs_is_replaced_and_calls_go_on(supervised: Supervised) -> None:
    before = supervised.pids()
    os.kill(before[0], signal.SIGSTOP)
    # Some of these come to the one that hangs: they are answered once it is gone.
    supervised.call(6)
    wait_until(lambda: len(supervised.lines("process hangs and is ended")) == 1)
    wait_until(lambda: supervised.metrics()["prudence_processes_ready", ""] == COUNT)
    assert set(supervised.pids()) & set(before) == {before[1]}
    reason, ended = supervised.lines("process hangs and is ended")[0], supervised.lines("process ended")[1]
    assert "it has not answered for " in str(reason["reason"])
    assert (reason["process"], ended["process"], ended["status"]) == (1, 1, -signal.SIGKILL)


def test_a_halt_is_in_force_in_every_process_once_it_is_acknowledged(supervised: Supervised) -> None:
    with audience(supervised) as watching:
        for name in supervised.shown()[:8]:
            assert supervised.halt(name).overlay_sequence == supervised.sequence
            watching.halted.append(name)
            watching.wait()
    # Each order comes over a connection of its own, so that both processes take some.
    while {line["process"] for line in supervised.lines("change accepted")} != set(range(COUNT)):
        supervised.halt(supervised.shown()[0])


def test_a_patch_is_in_force_in_every_process_and_a_repeated_one_answered_alike_by_each(
    supervised: Supervised,
) -> None:
    names = supervised.shown()[:4]
    with audience(supervised) as watching:
        for sequence, name in enumerate(names, start=1):
            assert supervised.suspend(name, name).catalogue_sequence == sequence
            watching.halted.append(name)
            watching.wait()
    repeated = [supervised.suspend(names[0], names[0]) for _ in range(12)]
    assert {(each.catalogue_sequence, each.repeated_answer) for each in repeated} == {(1, True)}
    while {line["process"] for line in supervised.lines("products patched")} != set(range(COUNT)):
        supervised.suspend(name := supervised.shown()[0], name)


def test_orders_at_the_same_time_are_taken_one_by_one(supervised: Supervised) -> None:
    def try_to_halt(name: str) -> grpc.StatusCode:
        overlay = make_overlay(supervised.sequence + 1, halted_products=[*supervised.halted, name])
        with supervised.admin() as admin:
            try:
                admin.SetOverlay(overlay_request(overlay), timeout=WAIT_S)
            except grpc.RpcError as error:
                code: grpc.StatusCode = error.code()
                return code
        return grpc.StatusCode.OK

    names = supervised.shown()[:6]
    with ThreadPoolExecutor(len(names)) as pool:
        codes = list(pool.map(try_to_halt, names))
    # The others are too old by now, or were asked to come again while the first one was on its way.
    assert codes.count(grpc.StatusCode.OK) == 1
    refusals = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.FAILED_PRECONDITION}
    assert set(codes) <= {grpc.StatusCode.OK} | refusals
    supervised.sequence += 1
    supervised.halted.append(names[codes.index(grpc.StatusCode.OK)])
    assert [supervised.shown().count(supervised.halted[-1]) for _ in range(8)] == [0] * 8


def test_a_halt_outlives_a_process_that_is_killed_while_it_is_ordered(supervised: Supervised) -> None:
    names = supervised.shown()[:5]
    killed = supervised.pids()[0]
    with audience(supervised) as watching, ThreadPoolExecutor(1) as pool:
        halted = pool.submit(supervised.halt, *names)
        os.kill(killed, signal.SIGKILL)
        try:
            halted.result()
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            # It died with the order: whether that was stored is not known, so it is sent again.
            supervised.halt()
        watching.halted.extend(names)
        wait_until(lambda: supervised.metrics()["prudence_processes_ready", ""] == COUNT)
        watching.wait()
    assert supervised.lines("serving")[-1]["overlay_sequence"] == supervised.sequence
    patched = supervised.lines("products patched")
    assert supervised.lines("catalogue")[-1]["catalogue_sequence"] == len(patched)


def test_a_version_is_in_force_in_every_process_once_it_is_acknowledged(supervised: Supervised) -> None:
    def decided_by() -> str:
        with own_channel(supervised.server.target) as channel:
            answer = pb_grpc.RecommendationServiceStub(channel).Recommend(
                recommend(USER, 5), timeout=WAIT_S, wait_for_ready=True
            )
        return answer.decision.policy_hash

    for minor in itertools.count(1):
        document = make_policy(version=f"2027.{minor}")
        with supervised.admin() as admin:
            answer = admin.ActivatePolicy(policy_request(document), timeout=WAIT_S)
        assert {decided_by() for _ in range(8)} == {answer.policy_hash}
        accepted = [line for line in supervised.lines("change accepted") if line["kind"] == "activate"]
        if {line["process"] for line in accepted} == set(range(COUNT)):
            break
    start_count = len(supervised.lines("serving"))
    os.kill(supervised.pids()[0], signal.SIGKILL)
    wait_until(lambda: len(supervised.lines("serving")) > start_count)
    wait_until(lambda: supervised.metrics()["prudence_processes_ready", ""] == COUNT)
    assert {decided_by() for _ in range(8)} == {answer.policy_hash}
    assert supervised.lines("serving")[-1]["policy_version"] == f"2027.{minor}"


def test_an_order_of_bundles_would_reach_one_process_alone_and_is_refused(supervised: Supervised) -> None:
    with supervised.admin() as admin, pytest.raises(grpc.RpcError) as refused:
        admin.PinBundle(admin_pb2.PinBundleRequest(pinned=True))
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "processes 1" in str(refused.value.details())


def test_a_profile_written_by_one_process_is_read_by_all(supervised: Supervised) -> None:
    versions = []
    for number in range(12):
        with own_channel(supervised.server.target) as channel:
            request = pb.PutProfileRequest(
                user_id=f"u{number}", profile=to_profile(eligible_user(5)), idempotency_key=f"{number}"
            )
            versions.append(
                profile_grpc.ProfileServiceStub(channel).PutProfile(request, timeout=WAIT_S).version
            )
    for number in range(12):
        with own_channel(supervised.server.target) as channel:
            stub = profile_grpc.ProfileServiceStub(channel)
            assert stub.GetProfile(pb.GetProfileRequest(user_id=f"u{number}")).version == versions[number]
    assert sorted(set(versions)) == versions


def test_nobody_else_gets_a_share_of_the_port(supervised: Supervised, platform: Platform) -> None:
    port = supervised.server.target.rpartition(":")[2]
    for processes in ("1", "2"):
        done = run_command("--bundles", str(platform.bundles), "--port", port, "--processes", processes)
        assert done.returncode == 1
        assert f"port: 127.0.0.1:{port} cannot be bound" in done.stderr


def test_sigterm_cuts_no_call_in_any_process(platform: Platform, tmp_path: Path) -> None:
    begun, answered = threading.Event(), itertools.count()

    def call_until_refused(_: int) -> grpc.StatusCode:
        with own_channel(server.target) as channel:
            stub = pb_grpc.RecommendationServiceStub(channel)
            for _ in range(100_000):
                try:
                    assert len(stub.Recommend(recommend(to_user("bold"), 50)).products) == 50
                except grpc.RpcError as error:
                    code: grpc.StatusCode = error.code()
                    return code
                next(answered)
                begun.set()
        raise AssertionError("the server did not stop")

    access = tmp_path / "access.jsonl"
    # A machine that stands still for longer than the usual grace is no reason to cut calls here.
    settings = ("--access-log", str(access), "--grace-s", "120")
    with start(platform, tmp_path, *settings) as server, ThreadPoolExecutor(6) as pool:
        ends = pool.map(call_until_refused, range(6))
        assert begun.wait(WAIT_S)
        assert server.stop() == 0
        # gRPC itself cancels a call that reaches it as the port closes; no process has seen it.
        assert set(ends) <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    codes = count_codes(access)
    assert codes.keys() <= {"OK", "UNAVAILABLE"}
    assert codes["OK"] == next(answered)
    assert len(Supervised(server).lines("drained")) == COUNT + 1


def test_processes_end_with_a_supervisor_that_is_killed(platform: Platform, tmp_path: Path) -> None:
    with start(platform, tmp_path, *write_office(tmp_path / "office")) as server:
        supervised = Supervised(server)
        pids = supervised.pids()
        os.kill(pids[0], signal.SIGSTOP)
        server.process.kill()
        server.process.wait()
        # As long as one may still answer by it, nobody else takes the policy log.
        assert not is_free(tmp_path / "office" / "state")
        os.kill(pids[0], signal.SIGCONT)
        wait_until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in pids))
        assert len(supervised.lines("drained")) == COUNT
        wait_until(lambda: is_free(tmp_path / "office" / "state"))
