"""Orders to a running server: list, load, activate, roll back and pin; and what a restart serves."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from prudence.__main__ import main
from prudence.client import Client
from prudence.reasons import (
    BundleCorruptError,
    BundleMissingError,
    BundleNoOtherError,
    BundleOlderError,
    BundleVersionMismatchError,
    BundleWorseError,
    IdempotencyKeyReusedError,
)
from prudence.v1 import admin_pb2, admin_pb2_grpc

from index.bundle import write_current
from tests.server.conftest import CLOCK, Server, start_server
from tests.server.shelf import copy_bundle, fill_shelf, spoil
from tests.server.test_bundle_swap import told, wait_for

STATES = {"SERVING": 1, "LOADED": 2, "LOADING": 3, "AVAILABLE": 4, "REFUSED": 5}


class Shop:
    """A server over a shelf of bundles that may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bundles = folder / "bundles"
        (folder / "state").mkdir()
        self.count = 0
        self.server: Server | None = None

    def start(self) -> Client:
        self.kill()
        self.count += 1
        self.server = start_server(
            self.folder / f"run{self.count}",
            *("--bundles", str(self.bundles), "--bundle-state", str(self.folder / "state")),
            *("--clock", CLOCK, "--bundle-poll-s", "0.05"),
        )
        return Client(self.server.target)

    def kill(self) -> None:
        if self.server is not None:
            self.server.process.kill()
            self.server.process.wait()


@pytest.fixture
def shop(two_bundles: Path, tmp_path: Path) -> Iterator[Shop]:
    fill_shelf(two_bundles, tmp_path / "bundles")
    made = Shop(tmp_path)
    yield made
    made.kill()


def activate(version: str, **fields: object) -> admin_pb2.ActivateBundleRequest:
    return admin_pb2.ActivateBundleRequest(bundle_version=version, **fields)  # type: ignore[arg-type]


def serving(client: Client) -> str:
    return client.serving_info().bundle_version


def test_orders_move_the_bundle_and_outlive_kill_and_restart(shop: Shop) -> None:
    with shop.start() as client:
        with pytest.raises(BundleNoOtherError):
            client.roll_back_bundle(admin_pb2.RollbackBundleRequest())
        answer = client.activate_bundle(activate("b", expected_bundle_version="a", explanation="better"))
        assert (answer.previous_bundle_version, answer.bundle_version) == ("a", "b")
        assert answer.kept_over_restart
        assert serving(client) == "b"
    with shop.start() as client:
        # CURRENT names a, as it did when b was activated: nothing was published since.
        assert serving(client) == "b"
        back = client.roll_back_bundle(admin_pb2.RollbackBundleRequest(explanation="worse after all"))
        assert (back.previous_bundle_version, back.bundle_version) == ("b", "a")
        write_current(shop.bundles, "b")
        assert shop.server is not None
        server = shop.server
        wait_for(lambda: told(server, "bundle refused") != [])
        assert told(server, "bundle refused")[-1]["reason"] == "BUNDLE_ROLLED_BACK"
        assert serving(client) == "a"
    with shop.start() as client:
        assert serving(client) == "a"
        assert client.pin_bundle(admin_pb2.PinBundleRequest(pinned=True)).pinned
        write_current(shop.bundles, "c")
    with shop.start() as client:
        assert (client.list_bundles().pinned, serving(client)) == (True, "a")
        assert not client.pin_bundle(admin_pb2.PinBundleRequest()).pinned
        wait_for(lambda: serving(client) == "c")


def test_orders_are_refused_with_a_reason_each(shop: Shop) -> None:
    spoil(copy_bundle(shop.bundles / "a", "flipped", 9), "products.parquet")
    write_current(shop.bundles, "b")
    with shop.start() as client:
        with pytest.raises(BundleMissingError):
            client.activate_bundle(activate("gone"))
        with pytest.raises(BundleCorruptError, match=r"products\.parquet"):
            client.load_bundle(admin_pb2.LoadBundleRequest(bundle_version="flipped"))
        with pytest.raises(BundleOlderError):
            client.activate_bundle(activate("a"))
        with pytest.raises(BundleVersionMismatchError):
            client.activate_bundle(activate("c", expected_bundle_version="a"))
        assert serving(client) == "b"


def test_a_worse_bundle_is_refused_with_the_figures_unless_that_is_allowed(shop: Shop) -> None:
    for version, day, figure in (("good", 10, 0.25), ("worse", 11, 0.125)):
        quality = {"validation": {"ndcg_at_10": figure}}
        copy_bundle(shop.bundles / "a", version, day, quality=quality)
    with shop.start() as client:
        client.activate_bundle(activate("good"))
        with pytest.raises(BundleWorseError, match=r"ndcg_at_10 is 0\.125, expected at least 0\.2375"):
            client.activate_bundle(activate("worse"))
        assert serving(client) == "good"
        answer = client.activate_bundle(activate("worse", allow_worse=True))
        assert {each.gate for each in answer.findings if not each.passed} == {"ndcg_at_10"}
        assert serving(client) == "worse"


def test_a_repeated_order_is_answered_as_before_also_after_a_restart(shop: Shop) -> None:
    with shop.start() as client:
        first = client.activate_bundle(activate("b", idempotency_key="once"))
        client.activate_bundle(activate("c"))
    with shop.start() as client:
        again = client.activate_bundle(activate("b", idempotency_key="once"))
        assert (again.bundle_version, again.bundle_sequence) == ("b", first.bundle_sequence)
        assert again.repeated_answer
        assert serving(client) == "c"
        with pytest.raises(IdempotencyKeyReusedError):
            client.activate_bundle(activate("c", idempotency_key="once"))


def test_a_loaded_bundle_is_listed_and_activated(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(shop.bundles / "a", shop.bundles / "renamed")
    with shop.start() as client:
        assert shop.server is not None
        target = shop.server.target
        assert main(["bundle", "load", "b", "--target", target]) == 0
        listed = {entry.bundle_version: entry.state for entry in client.list_bundles().bundles}
        expected = {"a": "SERVING", "b": "LOADED", "c": "AVAILABLE", "renamed": "REFUSED"}
        assert listed == {version: STATES[state] for version, state in expected.items()}
        assert main(["bundle", "list", "--target", target]) == 0
        assert "renamed: BUNDLE_CORRUPT: " in capsys.readouterr().out
        assert main(["bundle", "activate", "b", "--expect", "a", "--target", target]) == 0
        assert "b serves, a did before" in capsys.readouterr().out
        assert main(["bundle", "activate", "b", "--target", target]) == 0
        assert "b serves already" in capsys.readouterr().out
        assert main(["bundle", "rollback", "--why", "a test", "--target", target]) == 0
        assert main(["bundle", "pin", "--target", target]) == 0
        assert main(["bundle", "unpin", "--target", target]) == 0
        assert "a serves, not pinned" in capsys.readouterr().out
        with grpc.insecure_channel(target) as channel:
            # Without a deadline: as long as it takes, and no thread can wait for ever.
            stub = admin_pb2_grpc.AdminServiceStub(channel)
            assert stub.PinBundle(admin_pb2.PinBundleRequest(pinned=True)).pinned
