"""A running server follows CURRENT: every answer wholly from one bundle, whatever is published meanwhile."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from prudence.v1 import recommendation_pb2 as pb
from prudence.v1 import recommendation_pb2_grpc as pb_grpc

from index.bundle import write_current
from tests.server.cases import eligible_user
from tests.server.conftest import CLOCK, Server, start_server
from tests.server.shelf import copy_bundle, fill_shelf, spoil
from tests.server.wire import recommend, to_user

WAIT_S = 120.0
USER = to_user("somebody", eligible_user(5))


@pytest.fixture
def folder(two_bundles: Path, tmp_path: Path) -> Path:
    return fill_shelf(two_bundles, tmp_path / "bundles")


@pytest.fixture
def server(folder: Path, tmp_path: Path) -> Iterator[Server]:
    arguments = ("--bundles", str(folder), "--clock", CLOCK, "--bundle-poll-s", "0.05")
    with start_server(tmp_path / "run", *arguments) as running:
        yield running
        assert running.stop() == 0


def wait_for(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def told(server: Server, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


def ask(server: Server) -> pb.RecommendResponse:
    with grpc.insecure_channel(server.target) as channel:
        return pb_grpc.RecommendationServiceStub(channel).Recommend(recommend(USER, 20))


def test_every_answer_is_wholly_from_one_bundle_while_bundles_are_replaced(
    server: Server, folder: Path
) -> None:
    seen: dict[str, set[tuple[str, ...]]] = {}
    faults: list[BaseException] = []
    ended = threading.Event()

    def call_on() -> None:
        with grpc.insecure_channel(server.target) as channel:
            stub = pb_grpc.RecommendationServiceStub(channel)
            while not ended.is_set() and not faults:
                try:
                    answer = stub.Recommend(recommend(USER, 20))
                except grpc.RpcError as error:
                    faults.append(error)
                    return
                listed = tuple(product.product_id for product in answer.products)
                seen.setdefault(answer.decision.bundle_version, set()).add(listed)

    threads = [threading.Thread(target=call_on) for _ in range(3)]
    for thread in threads:
        thread.start()
    for version in ("b", "c"):
        write_current(folder, version)
        wait_for(lambda version=version: version in seen or bool(faults))  # type: ignore[misc]
    ended.set()
    for thread in threads:
        thread.join()
    assert faults == []
    assert seen["a"] == seen["c"] != seen["b"]
    assert {len(lists) for lists in seen.values()} == {1}
    # The line comes a moment after the first answer.
    wait_for(lambda: [line["bundle"] for line in told(server, "bundle changed")] == ["b", "c"])


def test_what_may_not_serve_is_refused_with_its_reason_and_the_old_one_serves(
    server: Server, folder: Path
) -> None:
    copy_bundle(folder / "a", "older", -1)
    spoil(copy_bundle(folder / "a", "flipped", 9), "item_vectors.int8.npy")
    spoil(copy_bundle(folder / "a", "forged", 9), "manifest.json")
    for version in ("older", "flipped", "forged"):
        write_current(folder, version)
        wait_for(
            lambda version=version: (
                told(server, "bundle refused")[-1:] != []  # type: ignore[misc]
                and told(server, "bundle refused")[-1]["bundle"] == version
            )
        )
        assert ask(server).decision.bundle_version == "a"
    for torn in ("", "b", "../b\n", "gone\n", "b\nb\n"):
        count = len(told(server, "bundle refused"))
        (folder / "CURRENT").write_text(torn)
        wait_for(lambda count=count: len(told(server, "bundle refused")) > count)  # type: ignore[misc]
        assert ask(server).decision.bundle_version == "a"
    reasons = [line["reason"] for line in told(server, "bundle refused")]
    assert reasons[:3] == ["BUNDLE_OLDER", "BUNDLE_CORRUPT", "BUNDLE_CORRUPT"]
    assert set(reasons[3:]) == {"BUNDLE_POINTER_UNREADABLE"}
    write_current(folder, "c")
    wait_for(lambda: ask(server).decision.bundle_version == "c")
