"""A clock that jumps and a disk that fails under a running server: calls are answered, nothing is lost."""

import errno
from collections.abc import Iterator
from datetime import UTC, datetime

import grpc
import pytest
from prudence.v1 import recommendation_pb2 as pb

from benchmarks.errors import BenchmarkError
from benchmarks.faults import interposer as interposing
from benchmarks.faults.clocks import DAY_S, draw_instants, list_edges
from benchmarks.faults.disk import Recorder, count_lost
from benchmarks.faults.ground import Ground
from benchmarks.faults.interposer import FAIL_SYNC, FAIL_WRITE, Interposer
from benchmarks.faults.server_process import ServerProcess, run_server
from benchmarks.load.client import METHOD

CALL_S_MAX = 20.0
Broken = tuple[ServerProcess, Interposer]


@pytest.fixture(scope="module")
def broken(ground: Ground) -> Iterator[Broken]:
    """A server whose clock and disk can be broken."""
    folder = ground.make_folder("broken")
    interposer = Interposer(folder, failing=folder / "log")
    settings = ground.settings(
        "--store", ground.copy_store(folder), "--feedback-log", folder / "log", fixed=False
    )
    with run_server(folder, settings, through=interposer.command) as server:
        yield server, interposer


def test_a_clock_that_jumps_shows_in_answers_and_expires_no_call(ground: Ground, broken: Broken) -> None:
    server, interposer = broken
    days, now_s = set(), datetime.now(UTC).timestamp()
    with grpc.insecure_channel(server.target) as channel:
        call = channel.unary_unary(METHOD)
        for number in range(60):
            interposer.set_clock((0, DAY_S, -DAY_S)[number % 3])
            made = call.future(ground.questions[0].request, timeout=CALL_S_MAX)
            # It is set once more while the call is under way.
            interposer.set_clock((DAY_S, -DAY_S, 0)[number % 3])
            answer = pb.RecommendResponse.FromString(made.result())
            days.add(round((answer.decision.decision_time.seconds - now_s) / DAY_S))
    interposer.set_clock(0)
    assert days == {-1, 0, 1}


@pytest.mark.parametrize(
    ("kinds", "error"), [(FAIL_WRITE, errno.EIO), (FAIL_SYNC, errno.EIO), (FAIL_WRITE, errno.EROFS)]
)
def test_a_disk_that_fails_acknowledges_nothing_and_is_recovered_from(
    ground: Ground, broken: Broken, kinds: int, error: int
) -> None:
    server, interposer = broken
    recorder = Recorder(ground, server.target, f"{kinds}-{error}")
    assert recorder.record()
    interposer.fail(kinds, error)
    assert not recorder.record()
    interposer.fail(0)
    assert recorder.record()
    assert (recorder.refused_count, len(recorder.acknowledged)) == (1, 100)
    assert count_lost(server, ground, recorder.acknowledged) == 0


def test_the_clock_crosses_the_ends_of_sales_and_depends_on_the_seed_alone(ground: Ground) -> None:
    edges = list_edges(ground)
    first, again = (draw_instants(edges, 3) for _ in range(2))
    instants = [next(first) for _ in range(20)]
    assert instants == [next(again) for _ in range(20)]
    assert all(min(abs(instant - edge) for edge in edges) <= DAY_S / 2 for instant in instants)


def test_a_machine_without_a_compiler_is_told_so(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interposing, "COMPILERS", ())
    with pytest.raises(BenchmarkError, match="compiler is needed"):
        Interposer(ground.make_folder("nothing"))
