"""The scenes, coverage and recall against a real server process that serves the shared small bundle."""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from prudence.v1 import recommendation_pb2 as pb
from rich.console import Console

from benchmarks.bench.recall import measure_recall, open_exact
from benchmarks.dataset import DataSet, read_dataset
from benchmarks.demo.coverage import measure_coverage
from benchmarks.demo.measure import make_pool
from benchmarks.demo.people import Pair
from benchmarks.demo.show import read_limits
from benchmarks.demo.story import Scene, show_limits, show_new_user, show_pair, show_serving
from benchmarks.errors import ServerStartError
from benchmarks.evaluate.bundle_scorer import BundleScorer, open_current
from benchmarks.messages import make_recommend, make_user
from benchmarks.pipeline import DEFAULT_POLICY
from benchmarks.serving import ServerPlan, open_stub, run_server
from benchmarks.verify.dataset import make_check
from index.build import build_bundle
from suitability import load_policy

CLOCK = "2026-11-22T09:00:00Z"
MAP = pa.map_(pa.string(), pa.int64())
PAIR = Pair("careful", "daring", "chosen by the test")


@dataclass(frozen=True)
class Served:
    """A running server with its data set."""

    scene: Scene
    bundles: Path
    export: Path


@pytest.fixture(scope="module")
def served(
    make_export: Any,
    tmp_path_factory: pytest.TempPathFactory,
    cautious_profile: Mapping[str, Any],
    bold_profile: Mapping[str, Any],
) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("served")
    case = make_export(directory)
    bundles = directory / "bundles"
    build_bundle(export=case.export, products=case.products, policy=case.policy, bundles=bundles)
    dataset = write_data(directory / "data", case.rows, {"careful": cautious_profile, "daring": bold_profile})
    with (
        run_server(ServerPlan(bundles=bundles, clock=CLOCK), directory / "server.log") as server,
        open_stub(server.target) as stub,
    ):
        info = stub.GetServingInfo(pb.GetServingInfoRequest(), timeout=10)
        console = Console(file=io.StringIO(), width=120, record=True)
        yield Served(Scene(stub, info, dataset, read_limits(DEFAULT_POLICY), console), bundles, case.export)


def write_data(
    directory: Path, products: Sequence[Mapping[str, Any]], profiles: Mapping[str, Mapping[str, Any]]
) -> DataSet:
    """Writes a data set of the case's products, two users and a few events, and reads it back."""
    directory.mkdir()
    catalogue = [{**row, "title": f"Title of {row['id']}", "category": row["family"]} for row in products]
    events = [("careful", "c001", 1), ("careful", "f003", 2), ("daring", "c001", 1), ("daring", "c002", 3)]
    interactions = {
        "user_id": [user for user, _, _ in events],
        "product_id": [product for _, product, _ in events],
        "event_type": ["click"] * len(events),
        "event_time": pa.array([day * 86_400_000_000 for *_, day in events], pa.timestamp("us", tz="UTC")),
    }
    pyarrow.parquet.write_table(pa.table(interactions), directory / "interactions.parquet")
    records = [{**plain(profile), "user_id": user} for user, profile in profiles.items()]
    people = pa.Table.from_pylist(records)
    for name in ("knowledge", "held_issuer"):
        column = pa.array([list(profile[name].items()) for profile in profiles.values()], MAP)
        people = people.append_column(name, column)
    pyarrow.parquet.write_table(people, directory / "profiles.parquet")
    pyarrow.parquet.write_table(
        pa.Table.from_pylist([plain(row) for row in catalogue]), directory / "products.parquet"
    )
    (directory / "source.json").write_text(json.dumps({"personas": {}, "clock": CLOCK}))
    return read_dataset(directory)


def plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """Turns sets into lists, which Parquet takes, and leaves maps to a typed column."""
    return {
        name: sorted(value) if isinstance(value, set | frozenset) else value
        for name, value in record.items()
        if not isinstance(value, Mapping) and name != "pseudonym"
    }


def told(scene: Scene) -> str:
    return scene.console.export_text(clear=True)


def test_the_pair_is_shown_with_the_rule_that_told_them_apart(served: Served) -> None:
    show_pair(served.scene, PAIR)
    text = told(served.scene)
    assert "The cautious user: risk level 1; the policy's risk score limit is 2000" in text
    assert "The bold user: risk level 5; the policy's risk score limit is 10000" in text
    assert "MAT_LEVEL_OVER_TOLERANCE" in text


def test_a_lower_limit_shrinks_the_list(served: Served) -> None:
    show_limits(served.scene, PAIR)
    total = next(line for line in told(served.scene).splitlines() if "of all financial" in line).split()[-4:]
    counts = [int(cell) for cell in total]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]


def test_a_new_user_sees_learning_content_before_any_questionnaire(served: Served) -> None:
    show_new_user(served.scene, PAIR)
    before, after = told(served.scene).split("The questionnaire answered")
    assert " financial " not in before
    assert " learning " in before
    assert " financial " in after


def test_what_runs_is_shown(served: Served) -> None:
    show_serving(served.scene)
    assert "tower: CPUExecutionProvider" in told(served.scene)


def test_coverage_counts_codes_for_users_who_are_shown_nothing(served: Served) -> None:
    # The server has no store, so it knows nobody by id.
    done: list[int] = []
    users = ["careful", "daring", "third"]
    found = measure_coverage(served.scene.stub, users, k=5, batch_count=2, advance=done.append)
    assert done == [2, 1]
    assert (found.user_count, found.full_count, found.product_count) == (3, 0, 0)
    assert max(found.code_counts.values()) == 3


def test_served_answers_equal_exact_search_on_a_small_catalogue(served: Served) -> None:
    bundle = open_current(served.bundles)
    exact = open_exact(bundle, served.export, load_policy(DEFAULT_POLICY))
    scene = served.scene
    result = measure_recall(scene.stub, exact, scene.dataset, ["careful", "daring"], domain="both", k=5)
    assert (result.recall_mean, result.user_count, result.ineligible_count) == (1.0, 2, 0)


def test_answers_under_load_pass_the_second_reading(served: Served) -> None:
    bundle = open_current(served.bundles)
    catalogue = dict(zip(bundle.product_ids, bundle.products.rows, strict=True))
    dataset = served.scene.dataset
    inline = [
        make_recommend(make_user(user, dataset.profiles[user], dataset.history(user)), domain="both", k=10)
        for user in ("careful", "daring")
    ]
    requests = tuple(request.SerializeToString() for request in inline)
    answers = [served.scene.stub.Recommend(request).SerializeToString() for request in inline]
    check = make_check(dataset, catalogue, load_policy(DEFAULT_POLICY).values)
    assert [check(request, answer) for request, answer in zip(requests, answers, strict=True)] == [[], []]
    assert check(requests[0], answers[1])


def test_the_bundle_scorer_gives_the_scores_that_the_server_sends(served: Served) -> None:
    scene = served.scene
    profile, history = scene.dataset.profiles["daring"], scene.dataset.history("daring")
    answer = scene.recommend(make_recommend(make_user("daring", profile, history), domain="both", k=10))
    scorer = BundleScorer(
        open_current(served.bundles),
        profiles={"daring": profile},
        histories={"daring": history},
        now=answer.decision.decision_time.ToDatetime(tzinfo=UTC),
    )
    ids = [product.product_id for product in answer.products]
    assert scorer.score(["daring"], ids)[0].tolist() == [product.score for product in answer.products]


def test_the_pool_holds_requests_of_users_with_a_history(served: Served) -> None:
    requests = [
        pb.RecommendRequest.FromString(text)
        for text in make_pool(served.scene.dataset, k=10, domain="learning", seed=1)
    ]
    assert {request.user.user_id for request in requests} == {"careful", "daring"}
    assert {request.domain for request in requests} == {pb.DOMAIN_LEARNING}


def test_a_server_that_cannot_start_is_reported_with_its_log(tmp_path: Path) -> None:
    plan = ServerPlan(bundles=tmp_path / "nothing")
    with pytest.raises(ServerStartError, match="nothing"), run_server(plan, tmp_path / "server.log"):
        pass
