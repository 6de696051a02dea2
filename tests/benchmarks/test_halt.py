"""The halt is demonstrated against a real server whose policy two officers signed."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prudence.v1 import recommendation_pb2 as pb
from rich.console import Console

from benchmarks.dataset import DataSet
from benchmarks.demo.halt import show_halt
from benchmarks.demo.officers import appoint_officers
from benchmarks.demo.people import Pair
from benchmarks.demo.story import Scene
from benchmarks.pipeline import DEFAULT_POLICY
from benchmarks.serving import ServerPlan, open_admin_stub, open_stub, run_server
from index.build import build_bundle
from suitability.signatures import Purpose, load_keys, load_signatures
from suitability.tools.signed_documents import signatures_path

CLOCK = "2026-11-22T09:00:00Z"


class OnePerson:
    """Stands for a data set in which everybody has one profile and no history."""

    def __init__(self, profile: Mapping[str, Any]) -> None:
        self.profiles = {"careful": profile, "daring": profile}
        self.products: dict[str, dict[str, Any]] = {}

    def history(self, _user_id: str) -> list[Any]:
        return []


def test_officers_are_two_people_and_sign_for_one_purpose_at_a_time(tmp_path: Path) -> None:
    officers = appoint_officers(DEFAULT_POLICY, tmp_path)
    assert len({key.name for key in load_keys(officers.keys).keys.values()}) == 2
    signed = load_signatures(signatures_path(officers.policy))
    assert (signed.purpose, len(signed.signatures)) == (Purpose.ACTIVATE, 2)
    halt = officers.make_overlay(sequence=1, halted_products=["f1"], signer_count=1)
    assert load_signatures(halt.signatures).purpose is Purpose.TIGHTEN


def test_a_halt_is_shown_refused_to_be_lifted_by_one_and_lifted_by_two(
    make_export: Any, tmp_path: Path, bold_profile: Mapping[str, Any]
) -> None:
    case = make_export(tmp_path)
    bundles = tmp_path / "bundles"
    build_bundle(export=case.export, products=case.products, policy=case.policy, bundles=bundles)
    directory = tmp_path / "officers"
    directory.mkdir()
    officers = appoint_officers(DEFAULT_POLICY, directory)
    plan = ServerPlan(
        bundles=bundles,
        policy=officers.policy,
        policy_keys=officers.keys,
        policy_state=officers.state,
        clock=CLOCK,
    )
    console = Console(file=io.StringIO(), width=200, record=True)
    data: DataSet = OnePerson(bold_profile)  # type: ignore[assignment]
    with (
        run_server(plan, tmp_path / "server.log") as server,
        open_stub(server.target) as stub,
        open_admin_stub(server.target) as admin,
    ):
        scene = Scene(stub, pb.GetServingInfoResponse(), data, {}, console)
        show_halt(scene, Pair("careful", "daring", "chosen by the test"), admin, officers)
    lines = console.export_text().splitlines()
    halted = lines[0].split(": ")[1].split()[0]
    assert f"{halted} is withheld under PRD_HALTED" in lines[2]
    assert "refused" in lines[3]
    assert f"{halted} is number 1" in lines[4]
