"""A server of several processes for tests: its log, its metrics, and what is ordered and asked of it."""

import json
import shutil
import sqlite3
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families
from prudence.v1 import admin_pb2, admin_pb2_grpc
from prudence.v1 import recommendation_pb2_grpc as pb_grpc

from tests.server.cases import eligible_user
from tests.server.conftest import CLOCK, Platform, Server, start_server
from tests.server.officers import make_overlay, overlay_request
from tests.server.wire import recommend, to_user

COUNT = 2
USER = to_user("a", eligible_user(5))
WAIT_S = 120.0


@dataclass
class Supervised:
    """A server of two processes, and the overlay that it was sent last."""

    server: Server
    sequence: int = 0
    halted: list[str] = field(default_factory=list)

    def lines(self, event: str) -> list[dict[str, object]]:
        found = [
            json.loads(line) for line in self.server.log.read_text().splitlines() if line.startswith("{")
        ]
        return [line for line in found if line["event"] == event]

    def metrics(self) -> dict[tuple[str, str], float]:
        """Sums of samples by name and process."""
        address = next(line["address"] for line in self.lines("metrics") if "process" not in line)
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=WAIT_S) as page:
            families = text_string_to_metric_families(page.read().decode())
        told: dict[tuple[str, str], float] = {}
        for sample in (sample for family in families for sample in family.samples):
            key = (sample.name, sample.labels.get("process", ""))
            told[key] = told.get(key, 0.0) + sample.value
        return told

    def health(self, service: str) -> int:
        target = str(self.lines("supervising")[0]["probe_address"])
        with grpc.insecure_channel(target) as channel:
            asked = health_pb2.HealthCheckRequest(service=service)
            return health_pb2_grpc.HealthStub(channel).Check(asked, timeout=WAIT_S).status

    def pids(self) -> list[int]:
        """Ids of the processes that serve, without their supervisor."""
        children = Path(f"/proc/{self.server.process.pid}/task/{self.server.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def call(self, count: int = 1) -> None:
        """Recommends, each time over a connection of its own."""
        for _ in range(count):
            with own_channel(self.server.target) as channel:
                stub = pb_grpc.RecommendationServiceStub(channel)
                # A connection that a dying process had accepted is made again.
                answer = stub.Recommend(recommend(to_user("bold"), 5), timeout=WAIT_S, wait_for_ready=True)
                assert len(answer.products) == 5

    def halt(self, *names: str) -> admin_pb2.SetOverlayResponse:
        """Halts more products; whichever process gets the connection takes the order."""
        self.sequence += 1
        self.halted.extend(names)
        request = overlay_request(make_overlay(self.sequence, halted_products=self.halted))
        with self.admin() as admin:
            return admin.SetOverlay(request, timeout=WAIT_S)

    def suspend(self, name: str, key: str) -> admin_pb2.PatchProductsResponse:
        """Takes a product off sale; whichever process gets the connection takes the order."""
        patch = admin_pb2.ProductPatch(product_id=name, status="SUSPENDED")
        request = admin_pb2.PatchProductsRequest(patches=[patch], idempotency_key=key)
        with self.admin() as admin:
            return admin.PatchProducts(request, timeout=WAIT_S)

    @contextmanager
    def admin(self) -> Iterator[admin_pb2_grpc.AdminServiceStub]:
        with own_channel(str(self.lines("supervising")[0]["admin_address"])) as channel:
            yield admin_pb2_grpc.AdminServiceStub(channel)

    def shown(self) -> list[str]:
        with own_channel(self.server.target) as channel:
            answer = pb_grpc.RecommendationServiceStub(channel).Recommend(recommend(USER, 20))
        return [product.product_id for product in answer.products]


def start(
    platform: Platform, directory: Path, *more: str, program: Sequence[str] = ("-m", "server")
) -> Server:
    """Starts a server over a store of its own, which tests may write."""
    store = directory / "users.sqlite"
    with closing(sqlite3.connect(platform.store)) as source, closing(sqlite3.connect(store)) as copy:
        source.backup(copy)
    shutil.copy2(f"{platform.store}.keys", f"{store}.keys")
    return start_server(
        directory,
        *("--bundles", str(platform.bundles), "--store", str(store), "--clock", CLOCK),
        *("--processes", str(COUNT), "--metrics-port", "0", "--probe-port", "0", *more),
        program=program,
    )


def own_channel(target: str) -> grpc.Channel:
    """Opens a channel that shares its connection with no other."""
    return grpc.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)])


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
