"""Answers under experiments: each wholly from its variant's bundle, and suitable as if there were none."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry
from prudence.v1 import recommendation_pb2, recommendation_pb2_grpc

from index.build import build_bundle
from server.active_policy import ActivePolicy
from server.batch_queue import Call
from server.clock import Clock
from server.config import Settings
from server.diversity import WHOLE
from server.errors import ExperimentsError, ProductUnknownError
from server.experiments.assignment import Experiments
from server.experiments.opening import open_experiments, read_plan
from server.messages import Domain, NamedQuery, RecommendQuery, SimilarQuery, UserInput
from server.pipeline import Pipeline
from server.snapshot import Snapshot, load_fit_policy, open_snapshot
from server.telemetry import Metrics
from server.users.directory import Directory
from server.users.pseudonyms import Pseudonyms, make_key_file
from suitability.overlay import load_overlay
from suitability.signatures import KEYS_SCHEMA_NAME, generate_private_key, public_key_of
from tests.conftest import MakeExport
from tests.server.cases import CHANNEL, NOW, eligible_user
from tests.server.conftest import CLOCK, run_command, start_server
from tests.server.officers import make_overlay
from tests.server.wire import recommend, to_user

KEYS = Pseudonyms({1: bytes(32)})
USER_IDS = [f"user {number}" for number in range(24)]
PLAN: dict[str, Any] = {
    "experiments": [
        {
            "name": "tower",
            "salt": "salt of the tower",
            "variants": [
                {"name": "control", "share_bps": 4000, "bundle": "old"},
                {"name": "new", "share_bps": 4000, "bundle": "new"},
            ],
        },
        {
            "name": "search",
            "salt": "salt of the search",
            "variants": [
                {"name": "control", "share_bps": 5000},
                {
                    "name": "varied",
                    "share_bps": 5000,
                    "settings": {"diversity_trade_off": 0.5, "retriever": "exact"},
                },
            ],
        },
    ]
}


def settings_for(bundles: Path, folder: Path, plan: dict[str, Any], **settings: Any) -> Settings:
    path = folder / "experiments.json"
    path.write_text(json.dumps(plan))
    lasting = {"pseudonym_keys": folder / "keys.json"} | settings
    return Settings(bundles=bundles, experiments=path, retriever="faiss", **lasting)


def open_beside(settings: Settings, current: Snapshot) -> tuple[Experiments, tuple[Snapshot, ...]]:
    return open_experiments(read_plan(settings), settings, current)


def open_current(bundles: Path) -> Snapshot:
    policy = load_fit_policy(None)
    return open_snapshot(
        bundles, policy, device="cpu", thread_count=1, retriever="faiss", allow_assumed=False
    )


@pytest.fixture(scope="module")
def current(two_bundles: Path) -> Snapshot:
    return open_current(two_bundles)


@pytest.fixture
def pipeline(two_bundles: Path, current: Snapshot, tmp_path: Path) -> Iterator[Pipeline]:
    experiments, others = open_beside(settings_for(two_bundles, tmp_path, PLAN), current)
    clock = Clock(NOW)
    active = ActivePolicy([current], clock, others=[[other] for other in others], experiments=experiments)
    made = Pipeline(active, Directory(None, KEYS), clock=clock, channel=CHANNEL, queue_limit=64)
    yield made
    made.close()
    for place in range(active.family.place_count):
        active.pin(place).gate.set_overlay(None)


def call() -> Call:
    return Call(time.monotonic() + 30.0, lambda: True)


def ask(pipeline: Pipeline, *user_ids: str, **changes: Any) -> list[Any]:
    queries = [
        RecommendQuery(
            *(UserInput(user_id, eligible_user(), ()), Domain.BOTH, 60, None, (), (), False, "test"),
            include_trace=True,
            count_whole_domain=True,
            **changes,
        )
        for user_id in user_ids
    ]
    return pipeline.recommend(queries, call())


def drawn(variants: Any) -> dict[str, str]:
    return {each.experiment: each.variant for each in variants}


def test_an_answer_is_from_the_bundle_of_its_variant_and_names_both(pipeline: Pipeline) -> None:
    versions = {"control": "old", "new": "new", None: "old"}
    seen = set()
    for answer in ask(pipeline, *USER_IDS):
        variants = drawn(answer.experiments)
        assert answer.decision.bundle_version == versions[variants.get("tower")]
        varied = variants["search"] == "varied"
        assert answer.trade_off == (WHOLE // 2 if varied else WHOLE)
        seen.add((variants.get("tower"), variants["search"]))
    assert len(seen) == 6


def test_a_batch_of_several_bundles_answers_as_each_request_alone(pipeline: Pipeline) -> None:
    for together, user_id in zip(ask(pipeline, *USER_IDS), USER_IDS, strict=True):
        alone = ask(pipeline, user_id)[0]
        assert (together.products, together.decision) == (alone.products, alone.decision)


def test_every_call_of_a_user_is_answered_by_one_bundle(pipeline: Pipeline) -> None:
    for user_id, answer in zip(USER_IDS, ask(pipeline, *USER_IDS), strict=True):
        user, variants = UserInput(user_id, eligible_user(), ()), answer.experiments
        named = NamedQuery(user, ("c000", "f000"), False, None, "test")
        similar = SimilarQuery(user, "c000", Domain.BOTH, 5, None, "test")
        others = [pipeline.score(named, call()), pipeline.find_similar(similar, call())]
        assert [other.experiments for other in others] == [variants, variants]
        versions = {other.decision.bundle_version for other in (*others, pipeline.check(named))}
        assert versions == {answer.decision.bundle_version}


def test_every_list_and_score_is_counted_for_its_variants(pipeline: Pipeline) -> None:
    registry = CollectorRegistry()
    pipeline._metrics = Metrics(registry)
    assert pipeline.active.family.experiments is not None
    pipeline._metrics.experiments.follow(pipeline.active.family.experiments.plan)
    answers = [*ask(pipeline, *USER_IDS)]
    user = UserInput(USER_IDS[0], eligible_user(), ())
    answers.append(pipeline.score(NamedQuery(user, ("c000", "f000"), False, None, "test"), call()))
    answers.append(pipeline.find_similar(SimilarQuery(user, "c000", Domain.BOTH, 5, None, "test"), call()))
    for variant in ("control", "varied"):
        mine = [answer for answer in answers if drawn(answer.experiments)["search"] == variant]
        labels = {"experiment": "search", "variant": variant}
        count, withheld, timed = (
            registry.get_sample_value(f"prudence_experiment_{name}", labels)
            for name in ("answers_total", "products_withheld_total", "answer_seconds_count")
        )
        assert count == timed == len(mine) > 5
        assert withheld == sum(answer.withheld_count for answer in mine) > 0


def test_what_suits_a_user_is_the_same_in_every_variant(pipeline: Pipeline) -> None:
    answers = ask(pipeline, *USER_IDS)
    assert {answer.decision.bundle_version for answer in answers} == {"old", "new"}
    assert len({frozenset(product.product_id for product in answer.products) for answer in answers}) == 1
    assert len({tuple(sorted((w.code, w.product_count) for w in answer.withheld)) for answer in answers}) == 1
    assert len({answer.decision.policy_hash for answer in answers}) == 1


def test_a_halt_holds_in_every_variant(pipeline: Pipeline) -> None:
    overlay = load_overlay(make_overlay(1, halted_products=["f000"]))
    for gate in pipeline.active._gates:
        gate.set_overlay(overlay)
    for answer in ask(pipeline, *USER_IDS):
        assert "f000" not in {product.product_id for product in answer.products}
        assert answer.decision.overlay == overlay


def test_a_trade_off_that_a_request_states_is_not_changed(pipeline: Pipeline) -> None:
    answers = ask(pipeline, *USER_IDS, trade_off=3000, trade_off_stated=True)
    assert {answer.trade_off for answer in answers} == {3000}
    assert {drawn(answer.experiments)["search"] for answer in answers} == {"control", "varied"}


def test_each_draw_has_its_snapshot_and_each_bundle_is_compiled_once(
    two_bundles: Path, current: Snapshot, tmp_path: Path
) -> None:
    experiments, others = open_beside(settings_for(two_bundles, tmp_path, PLAN), current)
    served = [current, *others]
    assert [snapshot.place for snapshot in served] == list(range(4))
    assert len({id(snapshot.gate) for snapshot in served}) == 2
    seen = set()
    for number in range(40):
        assignment = experiments.assign(bytes([number]), NOW)
        variants, snapshot = drawn(assignment.variants), served[assignment.place]
        assert snapshot.version == ("new" if variants.get("tower") == "new" else "old")
        assert (snapshot.retriever.name == "exact") == (variants["search"] == "varied")
        seen.add(assignment.place)
    assert seen == set(range(4))


def refuse(bundles: Path, folder: Path, current: Snapshot, *words: str, **settings: Any) -> None:
    with pytest.raises(ExperimentsError) as caught:
        open_beside(settings_for(bundles, folder, PLAN, **settings), current)
    assert all(word in str(caught.value) for word in ("tower.new.bundle", *words)), caught.value


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"level_distributor": 1}, ("f003", "level_distributor", "one catalogue")),
        ({"status": None}, ("f003", "status")),
        ({"channels": ["app"]}, ("f003", "channels")),
        ({"id": "f003-b"}, ("f003-b", "current bundle only")),
        # A patch older than this would bind in the current bundle and not here.
        ({"stated_time": NOW}, ("f003", "stated_time")),
    ],
)
def test_a_bundle_that_says_something_else_of_a_product_is_refused(
    make_export: MakeExport, two_bundles: Path, catalogue_rows: Any, tmp_path: Path, change: Any, words: Any
) -> None:
    rows = [row | change if row["id"] == "f003" else row for row in catalogue_rows]
    bundles = build_beside(make_export, tmp_path, rows)
    refuse(bundles, tmp_path, open_current(bundles), *words)


def test_a_bundle_with_fewer_products_may_be_compared(
    make_export: MakeExport, catalogue_rows: Any, tmp_path: Path
) -> None:
    bundles = build_beside(make_export, tmp_path, [row for row in catalogue_rows if row["id"] != "f003"])
    current = open_current(bundles)
    experiments, others = open_beside(settings_for(bundles, tmp_path, PLAN), current)
    active = ActivePolicy(
        [current], Clock(NOW), others=[[other] for other in others], experiments=experiments
    )
    made = Pipeline(
        active,
        Directory(None, KEYS),
        clock=Clock(NOW),
        channel=CHANNEL,
        queue_limit=8,
    )
    user_id = next(name for name in USER_IDS if drawn(ask(made, name)[0].experiments).get("tower") == "new")
    similar = SimilarQuery(UserInput(user_id, eligible_user(), ()), "f003", Domain.BOTH, 5, None, "test")
    with pytest.raises(ProductUnknownError):
        made.find_similar(similar, call())
    made.close()


def build_beside(make_export: MakeExport, folder: Path, rows: list[Any]) -> Path:
    """Builds "new" with other rows beside "old", which is current."""
    for version, its_rows in (("new", rows), ("old", None)):
        case = make_export(folder / version, **({} if its_rows is None else {"rows": its_rows}))
        build_bundle(
            export=case.export,
            products=case.products,
            policy=case.policy,
            bundles=folder / "bundles",
            version=version,
        )
    return folder / "bundles"


def test_a_bundle_that_is_not_there_is_refused(two_bundles: Path, current: Snapshot, tmp_path: Path) -> None:
    plan = json.loads(json.dumps(PLAN).replace('"new"', '"none"'))
    with pytest.raises(ExperimentsError, match=r"tower\.none\.bundle: .*none"):
        open_beside(settings_for(two_bundles, tmp_path, plan), current)


def test_a_bundle_that_no_publisher_signed_is_refused(
    two_bundles: Path, current: Snapshot, tmp_path: Path
) -> None:
    entry = public_key_of(generate_private_key(), key_id="mei", name="Mei Lin").values()
    keys = tmp_path / "publishers.json"
    keys.write_text(json.dumps({"schema": KEYS_SCHEMA_NAME, "keys": [entry]}))
    refuse(two_bundles, tmp_path, current, "unsigned", bundle_keys=keys)


def test_settings_that_this_server_cannot_serve_are_refused(
    two_bundles: Path, current: Snapshot, tmp_path: Path
) -> None:
    with pytest.raises(ExperimentsError, match=r"search\.varied\.settings\.diversity_trade_off: .*k_max"):
        open_beside(settings_for(two_bundles, tmp_path, PLAN, k_max=1001), current)
    plan = json.loads(json.dumps(PLAN).replace('"exact"', '"gpu"'))
    with pytest.raises(ExperimentsError, match=r"search\.varied\.settings\.retriever: gpu needs device cuda"):
        open_beside(settings_for(two_bundles, tmp_path, plan), current)


def test_keys_that_end_with_the_process_are_refused(
    two_bundles: Path, current: Snapshot, tmp_path: Path
) -> None:
    with pytest.raises(ExperimentsError, match="pseudonym_keys"):
        open_beside(settings_for(two_bundles, tmp_path, PLAN, pseudonym_keys=None), current)
    assert open_beside(settings_for(two_bundles, tmp_path, {}, pseudonym_keys=None), current)[1] == ()


def test_a_server_says_on_the_wire_who_drew_what(two_bundles: Path, tmp_path: Path) -> None:
    path = tmp_path / "experiments.json"
    path.write_text(json.dumps(PLAN))
    make_key_file(tmp_path / "keys.json")
    keys = ("--pseudonym-keys", str(tmp_path / "keys.json"))
    arguments = ("--bundles", str(two_bundles), "--clock", CLOCK, "--experiments", str(path), *keys)
    with (
        start_server(tmp_path / "run", *arguments) as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        stub = recommendation_pb2_grpc.RecommendationServiceStub(channel)
        bundle_of = {}
        for user_id in USER_IDS[:12]:
            user = to_user(user_id, eligible_user())
            answer = stub.Recommend(recommend(user, 5))
            variants = {each.experiment: each.variant for each in answer.experiments}
            bundle_of[variants.get("tower")] = answer.decision.bundle_version
            named = recommendation_pb2.ScoreProductsRequest(user=user, product_ids=["c000"])
            similar = recommendation_pb2.SimilarProductsRequest(user=user, product_id="c000", k=2)
            for other in (stub.ScoreProducts(named), stub.SimilarProducts(similar)):
                assert other.experiments == answer.experiments
        assert bundle_of == {"control": "old", "new": "new", None: "old"}
        # The file is followed: the variant is stopped without a restart.
        path.write_text(json.dumps(PLAN).replace('"share_bps": 4000', '"share_bps": 0'))
        users = [to_user(user_id, eligible_user()) for user_id in USER_IDS]
        deadline_s = time.monotonic() + 120.0
        while any("tower" in drawn(stub.Recommend(recommend(user, 5)).experiments) for user in users):
            assert time.monotonic() < deadline_s
        assert server.stop() == 0
    path.write_text('{"experiments": 1}')
    refused = run_command(*arguments)
    assert refused.returncode == 1
    assert "experiments: " in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
