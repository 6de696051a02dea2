"""The recall monitor: it notices a retriever that loses rows, holds up no request, and tells no secrets."""

import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prudence.v1 import recommendation_pb2_grpc

from server import recall_monitor
from server.active_policy import ActivePolicy
from server.batch_queue import Call
from server.clock import Clock
from server.config import load_settings
from server.errors import PortError
from server.messages import Domain, ListAnswer, RecommendQuery, UserInput
from server.metrics_port import serve_metrics
from server.opening import open_monitor
from server.pipeline import Pipeline
from server.recall_monitor import ALARM_COUNT_MIN, QUEUE_COUNT_MAX, WINDOW_COUNT, Measured, RecallMonitor
from server.retrieval import Retriever, Round, Rows
from server.snapshot import Snapshot, under_policy
from server.users.directory import Directory
from suitability.overlay import load_overlay
from suitability.policy import load_policy
from tests.server.cases import CHANNEL, NOW, eligible_user
from tests.server.conftest import CLOCK, Platform, start_server
from tests.server.desk import open_tiny
from tests.server.officers import make_overlay, make_policy
from tests.server.test_takeover import START, LeapingClock
from tests.server.wire import recommend, to_user

WAIT_S_MAX = 30.0


class LosingRetriever(Retriever):
    """Drops every second row of what another one finds."""

    def __init__(self, like: Retriever) -> None:
        self.__dict__.update(like.__dict__)

    def search(self, queries: Any, rounds: Sequence[Round], on_device: Any = None) -> list[Rows]:
        return [rows[::2] for rows in super().search(queries, rounds, on_device)]


class Desk:
    """A pipeline whose every list is measured."""

    def __init__(self, snapshots: Sequence[Snapshot], clock: Any) -> None:
        self.registry = CollectorRegistry()
        self.monitor = RecallMonitor(1.0, self.registry)
        self.pipeline = Pipeline(
            ActivePolicy(snapshots, clock),
            Directory(None),
            clock=clock,
            channel=CHANNEL,
            queue_limit=8,
            monitor=self.monitor,
        )

    def ask(self, k: int = 10, **changes: Any) -> ListAnswer:
        values: dict[str, Any] = {
            "user": UserInput("user-7", eligible_user(), ()),
            "domain": Domain.BOTH,
            "k": k,
            "risk_score_limit": None,
            "include_product_ids": (),
            "exclude_product_ids": (),
            "allow_seen": False,
            "request_id": "request-7",
            "include_trace": False,
            "count_whole_domain": False,
        }
        call = Call(time.monotonic() + WAIT_S_MAX, lambda: True)
        answer = self.pipeline.recommend([RecommendQuery(**(values | changes))], call)[0]
        assert isinstance(answer, ListAnswer), answer
        return answer

    def measured_count(self) -> float:
        return sum(read(self.registry, "at_k_count", band=name) for _, name in recall_monitor.BANDS)

    def mean(self) -> float:
        total = sum(read(self.registry, "at_k_sum", band=name) for _, name in recall_monitor.BANDS)
        return total / self.measured_count()

    def close(self) -> None:
        self.pipeline.close()
        self.monitor.close()


def read(registry: CollectorRegistry, name: str, **labels: str) -> float:
    return registry.get_sample_value(f"prudence_recall_{name}", labels) or 0.0


def skipped(registry: CollectorRegistry, reason: str) -> float:
    return read(registry, "samples_skipped_total", reason=reason)


def wait_until(reached: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S_MAX
    while not reached():
        assert time.monotonic() < deadline_s, "it never came"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def snapshot(tiny_bundles: Path) -> Snapshot:
    return open_tiny(tiny_bundles)


@pytest.fixture
def make_desk() -> Iterator[Callable[..., Desk]]:
    made: list[Desk] = []

    def make(*snapshots: Snapshot, clock: Any = None) -> Desk:
        made.append(Desk(snapshots, clock or Clock(NOW)))
        return made[-1]

    yield make
    for desk in made:
        desk.close()


def test_a_retriever_that_loses_half_is_noticed_and_a_sound_one_is_not(
    snapshot: Snapshot, make_desk: Callable[..., Desk]
) -> None:
    with structlog.testing.capture_logs() as logs:
        sound = make_desk(snapshot)
        for number in range(ALARM_COUNT_MIN + 5):
            assert sound.ask(k=number % 15 + 1).products
        wait_until(lambda: sound.measured_count() == ALARM_COUNT_MIN + 5)
    assert (sound.mean(), logs) == (1.0, [])
    with structlog.testing.capture_logs() as logs:
        losing = make_desk(replace(snapshot, retriever=LosingRetriever(snapshot.retriever)))
        for _ in range(ALARM_COUNT_MIN + 5):
            losing.ask()
        wait_until(lambda: losing.measured_count() == ALARM_COUNT_MIN + 5)
    assert 0.2 < losing.mean() < 0.8
    (alarm,) = logs
    assert (alarm["event"], alarm["log_level"]) == ("recall_low", "warning")
    assert (alarm["samples"], alarm["recall_min"]) == (ALARM_COUNT_MIN, 0.99)
    assert alarm["recall"] == pytest.approx(losing.mean(), abs=1e-4)
    assert read(losing.registry, "running", band=alarm["band"]) == pytest.approx(losing.mean())
    assert read(losing.registry, "alarm", band=alarm["band"]) == 1
    assert [read(sound.registry, "alarm", band=name) for _, name in recall_monitor.BANDS] == [0] * 4


def test_the_exact_answer_leaves_out_and_includes_what_the_request_does(
    snapshot: Snapshot, make_desk: Callable[..., Desk]
) -> None:
    desk = make_desk(snapshot)
    ids = [product.product_id for product in desk.ask(k=9).products]
    desk.ask(k=5, exclude_product_ids=tuple(ids[:3]))
    desk.ask(k=5, include_product_ids=tuple(ids[2:8]))
    desk.ask(k=5, domain=Domain.LEARNING)
    desk.ask(k=5, domain=Domain.FINANCIAL, risk_score_limit=3000)
    desk.ask(k=5, trade_off=2000)  # What it was chosen from is the best there is, and all of it.
    wait_until(lambda: desk.measured_count() == 6)
    assert desk.mean() == 1.0


def test_what_is_searched_again_is_the_version_that_decided(
    snapshot: Snapshot, make_desk: Callable[..., Desk]
) -> None:
    policies = (
        make_policy(effective_to=START.isoformat()),
        make_policy(version="2027.1", effective_from=START.isoformat(), level_cap=1),
    )
    early, late = (under_policy(snapshot, load_policy(document)) for document in policies)
    desk = make_desk(early, late, clock=LeapingClock())
    assert desk.ask(k=40).decision.policy_hash == late.policy.sha256
    wait_until(lambda: desk.measured_count() == 1)
    assert desk.mean() == 1.0


def test_an_answer_from_before_a_halt_is_not_measured_after_it(
    snapshot: Snapshot, make_desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = under_policy(snapshot, snapshot.policy)
    desk, halted, find = make_desk(own), threading.Event(), recall_monitor.find_eligible

    def find_late(sample: Any) -> Any:
        assert halted.wait(WAIT_S_MAX)
        return find(sample)

    monkeypatch.setattr(recall_monitor, "find_eligible", find_late)
    shown = desk.ask().products
    own.gate.set_overlay(load_overlay(make_overlay(1, halted_products=[shown[0].product_id])))
    halted.set()
    wait_until(lambda: skipped(desk.registry, "overlay_changed") == 1)
    assert desk.ask().products != shown
    wait_until(lambda: desk.measured_count() == 1)
    assert desk.mean() == 1.0


def test_nothing_to_find_is_no_sample(snapshot: Snapshot, make_desk: Callable[..., Desk]) -> None:
    desk = make_desk(snapshot)
    desk.ask(domain=Domain.FINANCIAL, user=UserInput("user-7", eligible_user() | {"blocked": True}, ()))
    wait_until(lambda: skipped(desk.registry, "nothing_eligible") == 1)
    assert desk.measured_count() == 0


def test_a_full_queue_drops_and_counts_and_holds_up_nobody(
    snapshot: Snapshot, make_desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, begun, free = make_desk(snapshot), threading.Event(), threading.Event()
    find = recall_monitor.find_eligible

    def find_slowly(sample: Any) -> Any:
        begun.set()
        assert free.wait(WAIT_S_MAX)
        return find(sample)

    monkeypatch.setattr(recall_monitor, "find_eligible", find_slowly)
    desk.ask()
    assert begun.wait(WAIT_S_MAX)
    for _ in range(QUEUE_COUNT_MAX + 7):
        assert len(desk.ask().products) == 10
    assert skipped(desk.registry, "queue_full") == 7
    assert desk.measured_count() == 0
    free.set()
    wait_until(lambda: desk.measured_count() == QUEUE_COUNT_MAX + 1)


def test_a_sample_that_fails_is_counted_and_the_next_is_measured_and_nothing_personal_is_told(
    snapshot: Snapshot, make_desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    losing = replace(snapshot, retriever=LosingRetriever(snapshot.retriever))
    desk, measure = make_desk(losing), recall_monitor.measure

    def fail_once(sample: Any, eligible: Any) -> Any:
        monkeypatch.setattr(recall_monitor, "measure", measure)
        raise ValueError(f"{sample.found.user.profile}")

    monkeypatch.setattr(recall_monitor, "measure", fail_once)
    with structlog.testing.capture_logs() as logs:
        answers = [desk.ask() for _ in range(ALARM_COUNT_MIN + 1)]
        wait_until(lambda: desk.measured_count() == ALARM_COUNT_MIN)
    assert skipped(desk.registry, "failed") == 1
    assert [entry["event"] for entry in logs] == ["recall_not_measured", "recall_low"]
    assert logs[0] == {"event": "recall_not_measured", "log_level": "error", "error": "ValueError"}
    assert set(logs[1]) == {"event", "log_level", "band", "recall", "recall_min", "samples", "bundle"}
    told = json.dumps(logs) + generate_latest(desk.registry).decode()
    personal = ("user-7", "request-7", *(product.product_id for product in answers[0].products))
    assert [value for value in personal if value in told] == []


def test_the_alarm_sounds_once_and_ends_when_recall_recovers(
    snapshot: Snapshot, make_desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    recalls = iter([*[0.5] * ALARM_COUNT_MIN, *[1.0] * WINDOW_COUNT])
    monkeypatch.setattr(recall_monitor, "measure", lambda sample, eligible: Measured(next(recalls), 0.005))
    desk = make_desk(snapshot)
    with structlog.testing.capture_logs() as logs:
        for number in range(1, ALARM_COUNT_MIN + WINDOW_COUNT + 1):
            desk.ask(k=1)
            wait_until(lambda number=number: desk.measured_count() == number)  # type: ignore[misc]
    assert [(entry["event"], entry["log_level"], entry["band"]) for entry in logs] == [
        ("recall_low", "warning", "1%"),
        ("recall_recovered", "info", "1%"),
    ]
    assert logs[1]["recall"] >= 0.99
    assert read(desk.registry, "alarm", band="1%") == 0


@pytest.mark.parametrize(
    ("share", "band"),
    [(0.0001, "1%"), (0.01, "1%"), (0.011, "10%"), (0.1, "10%"), (0.5, "50%"), (0.51, "100%"), (1.0, "100%")],
)
def test_a_band_ends_at_its_share(share: float, band: str) -> None:
    assert Measured(1.0, share).band == band


@pytest.mark.parametrize("fraction", [0.01, 0.25, 1.0])
def test_the_stated_share_of_answers_is_taken_evenly(
    fraction: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    monkeypatch.setattr(RecallMonitor, "_take", lambda self, sample: taken.append(sample.job))
    monitor = RecallMonitor(fraction, CollectorRegistry())
    anything: Any = None
    for number in range(2000):
        job: Any = number
        wait_until(lambda: monitor._queue.qsize() < QUEUE_COUNT_MAX)
        monitor.offer(job, anything, anything)
    wait_until(monitor._queue.empty)
    monitor.close()
    assert abs(len(taken) - 2000 * fraction) <= 2
    # No period of the callers', such as every tenth request, meets all samples or none.
    assert len({number % 10 for number in taken}) >= 5


def test_a_share_of_0_starts_nothing() -> None:
    held: Any = None
    settings = load_settings(["--bundles", "b", "--recall-sample-fraction", "0"])
    assert open_monitor(settings, CollectorRegistry(), held) is None
    assert [thread.name for thread in threading.enumerate() if thread.name == "recall"] == []
    assert load_settings(["--bundles", "b"]).recall_sample_fraction == 0.01
    assert load_settings(["--bundles", "b"]).metrics_port is None


def test_a_metrics_port_that_is_taken_is_refused_by_name() -> None:
    with serve_metrics(CollectorRegistry(), 0) as address:
        port = int(address.rpartition(":")[2])
        with (
            pytest.raises(PortError, match=f"metrics_port: 127.0.0.1:{port}"),
            serve_metrics(CollectorRegistry(), port),
        ):
            pass


def test_a_live_server_reports_its_recall(platform: Platform, tmp_path: Path) -> None:
    arguments = ("--recall-sample-fraction", "1", "--metrics-port", "0", "--clock", CLOCK)
    with start_server(tmp_path, "--bundles", str(platform.bundles), *arguments) as server:
        lines = [json.loads(line) for line in server.log.read_text().splitlines()]
        (address,) = [line["address"] for line in lines if line["event"] == "metrics"]
        with grpc.insecure_channel(server.target) as channel:
            stub = recommendation_pb2_grpc.RecommendationServiceStub(channel)
            for k in (1, 10, 20):
                assert len(stub.Recommend(recommend(to_user("a", eligible_user(5)), k)).products) == k

        def read_counts() -> list[float]:
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=WAIT_S_MAX) as answer:
                text = answer.read().decode()
            names = ("prudence_recall_at_k_count{", "prudence_recall_at_k_sum{")
            return [
                sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))
                for name in names
            ]

        wait_until(lambda: read_counts() == [3.0, 3.0])
        assert server.stop() == 0
