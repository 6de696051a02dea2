"""Patches over the wire: real servers, killed and started again, and every answer verified by the checker."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prudence.__main__ import main
from prudence.client import Client
from prudence.reasons import CatalogueSequenceMismatchError, CatalogueStateMissingError
from prudence.v1 import admin_pb2, admin_pb2_grpc
from prudence.v1 import recommendation_pb2 as pb

from server.catalogue.patches import tighten
from tests.server.answers import find_faults
from tests.server.cases import NOW, eligible_user
from tests.server.conftest import CLOCK, Platform, Server, start_server
from tests.server.judging import DEFAULT
from tests.server.wire import recommend, to_timestamp, to_user

USERS = [to_user(f"u{level}", eligible_user(level)) for level in range(6)]


@pytest.fixture
def start(platform: Platform, tmp_path: Path) -> Iterator[Callable[[], Server]]:
    """Starts a server on one folder of patches, again and again."""
    (tmp_path / "state").mkdir()
    running: list[Server] = []

    def one() -> Server:
        settings = ("--bundles", str(platform.bundles), "--store", str(platform.store), "--clock", CLOCK)
        state = ("--catalogue-state", str(tmp_path / "state"))
        running.append(start_server(tmp_path / f"run{len(running)}", *settings, *state))
        return running[-1]

    yield one
    for server in running:
        server.__exit__()


def _shown(client: Client) -> list[str]:
    return [product.product_id for product in client.recommend(recommend(USERS[5], 40)).products]


def _patches(names: list[str]) -> list[admin_pb2.ProductPatch]:
    kinds: list[dict[str, Any]] = [
        {"status": "SUSPENDED"},
        {"capacity_left": 0},
        {"sale_end_time": to_timestamp(NOW)},
        {"sale_start_time": to_timestamp(NOW + timedelta(seconds=1))},
        {"level_issuer": 5, "level_distributor": 5},
        {"risk_score": 9_000},
    ]
    return [
        admin_pb2.ProductPatch(product_id=name, **kinds[place % len(kinds)])
        for place, name in enumerate(names)
    ]


def _patched(platform: Platform, response: admin_pb2.GetCatalogueResponse) -> Platform:
    """Returns the platform as the checker is to see it: with the products that the server says it patched."""
    products = dict(platform.products)
    names = {"sale_start_time": "sale_start", "sale_end_time": "sale_end"}
    for patch in response.patches:
        fields = {
            names.get(field.name, field.name): value.ToDatetime(NOW.tzinfo) if field.message_type else value
            for field, value in patch.ListFields()
            if field.name != "product_id"
        }
        products[patch.product_id] = tighten(products[patch.product_id], fields, DEFAULT)
    return dataclasses.replace(platform, products=products)


def _ask_everything(client: Client, names: list[str]) -> list[tuple[Any, Any]]:
    asked: list[tuple[Any, Any]] = []
    for user in USERS:
        request = recommend(user, 30)
        asked.append((request, client.recommend(request)))
        named = {"user": user, "product_ids": names}
        asked.append(
            (pb.ScoreProductsRequest(**named), client.score_products(pb.ScoreProductsRequest(**named)))
        )
        check = pb.CheckEligibilityRequest(**named)
        asked.append((check, client.check_eligibility(check)))
    return asked


def test_the_checker_agrees_with_every_answer_after_patches_and_after_a_kill(
    start: Callable[[], Server], platform: Platform
) -> None:
    server = start()
    with Client(server.target) as client:
        names = _shown(client)[:24]
        response = client.patch_products(admin_pb2.PatchProductsRequest(patches=_patches(names)))
        outcomes = {verdict.outcome for verdict in response.verdicts}
        assert admin_pb2.PATCH_OUTCOME_APPLIED in outcomes
        applied = [v.product_id for v in response.verdicts if v.outcome == admin_pb2.PATCH_OUTCOME_APPLIED]
        assert len(applied) > 15
        catalogue = client.catalogue()
        assert catalogue.patched_count == len(applied)
        seen = _patched(platform, catalogue)
        answers = _ask_everything(client, names)
    server.process.kill()
    server.process.wait()
    with Client(start().target) as client:
        assert client.catalogue() == catalogue
        answers += _ask_everything(client, names)
    for request, answer in answers:
        assert answer.decision.catalogue_sequence == 1
        assert find_faults(request, answer, seen) == []
    faults = [find_faults(request, answer, platform) for request, answer in answers]
    assert any(faults), "the checker would have noticed answers of the unpatched catalogue"


def test_refusals_and_mismatches_reach_the_caller_by_name(start: Callable[[], Server]) -> None:
    with Client(start().target) as client:
        (name, *_) = _shown(client)
        wrong = admin_pb2.ProductPatch(
            product_id=name, sale_end_time=to_timestamp(NOW + timedelta(days=9_000))
        )
        verdict = client.patch_products(admin_pb2.PatchProductsRequest(patches=[wrong])).verdicts[0]
        assert verdict.outcome == admin_pb2.PATCH_OUTCOME_REFUSED
        assert verdict.refusals[0].field == "sale_end_time"
        assert verdict.refusals[0].reason == admin_pb2.PATCH_REFUSAL_REASON_NEEDS_NEW_BUNDLE
        with pytest.raises(CatalogueSequenceMismatchError):
            client.patch_products(
                admin_pb2.PatchProductsRequest(patches=[wrong], expected_catalogue_sequence=5)
            )


def test_a_server_without_a_folder_refuses_patches(server: Server) -> None:
    patch = admin_pb2.ProductPatch(product_id="x0001", status="CLOSED")
    with Client(server.target) as client:
        with pytest.raises(CatalogueStateMissingError):
            client.patch_products(admin_pb2.PatchProductsRequest(patches=[patch]))
        assert not client.catalogue().accepts_patches


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [
        ({"patches": []}, "patches"),
        ({"patches": [{"product_id": "a", "status": "x"}] * 1001}, "patches"),
        ({"patches": [{"product_id": "", "status": "x"}]}, "patches[0].product_id"),
        ({"patches": [{"product_id": "a"}]}, "patches[0]"),
        ({"patches": [{"product_id": "a", "status": " "}]}, "patches[0].status"),
        ({"patches": [{"product_id": "a", "level_issuer": 8}]}, "patches[0].level_issuer"),
        ({"patches": [{"product_id": "a", "level_distributor": 0}]}, "patches[0].level_distributor"),
        ({"patches": [{"product_id": "a", "risk_score": 10_001}]}, "patches[0].risk_score"),
        ({"patches": [{"product_id": "a", "capacity_left": -1}]}, "patches[0].capacity_left"),
        (
            {"patches": [{"product_id": "a", "sale_end_time": {"seconds": 10**15}}]},
            "patches[0].sale_end_time",
        ),
        ({"patches": [{"product_id": "a", "status": "x"}] * 2}, "patches[1].product_id"),
        ({"patches": [{"product_id": "a", "status": "x"}], "idempotency_key": "k" * 129}, "idempotency_key"),
    ],
)
def test_a_wrong_field_is_refused_and_named(
    server: Server, request_fields: dict[str, Any], field: str
) -> None:
    request = admin_pb2.PatchProductsRequest(**request_fields)
    with grpc.insecure_channel(server.target) as channel, pytest.raises(grpc.RpcError) as caught:
        admin_pb2_grpc.AdminServiceStub(channel).PatchProducts(request, timeout=20)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    violations = error_details_pb2.BadRequest()
    details = rpc_status.from_call(caught.value).details
    assert [each.field for each in _unpack(details, violations)] == [field]


def _unpack(details: Any, violations: Any) -> Any:
    assert any(detail.Unpack(violations) for detail in details)
    return violations.field_violations


def test_the_command_line_patches_and_shows(
    start: Callable[[], Server], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = start().target
    with Client(target) as client:
        first, second, *_ = _shown(client)
    file = tmp_path / "patches.json"
    good = {"productId": first, "status": "CLOSED"}
    file.write_text(json.dumps({"patches": [good], "idempotencyKey": "k"}))
    patch = ["catalogue", "patch", "--target", target, str(file)]
    assert (main(patch), main(patch)) == (0, 0)
    out = capsys.readouterr().out
    assert f"{first}: APPLIED\ncatalogue sequence 1, request" in out
    assert "catalogue sequence 1, answered as before" in out
    bad = {"productId": second, "saleEndTime": "2199-01-01T00:00:00Z"}
    file.write_text(json.dumps({"patches": [bad, {"productId": "nobody", "riskScore": 1}]}))
    assert main(patch) == 1
    out = capsys.readouterr().out
    assert f"{second}: REFUSED; sale_end_time NEEDS_NEW_BUNDLE, " in out
    assert "nobody: PRODUCT_UNKNOWN" in out
    assert main(["catalogue", "show", "--target", target]) == 0
    out = capsys.readouterr().out
    assert "catalogue sequence 1, patches bind on 1 products" in out
    assert f'"product_id": "{first}"' in out
    file.write_text('{"patches": [{"colour": "red"}]}')
    assert main(patch) == 2
    assert "colour" in capsys.readouterr().err
