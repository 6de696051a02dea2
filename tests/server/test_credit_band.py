"""What a user's risk band changes in answers: credit-like products go, and nothing else moves."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from index.build import build_bundle
from index.features import encode_users
from server.active_policy import ActivePolicy
from server.batch_queue import Call
from server.clock import Clock
from server.messages import Domain, ListAnswer, RecommendQuery, UserInput
from server.pipeline import Pipeline
from server.snapshot import Snapshot, open_snapshot
from server.users.directory import Directory
from suitability.policy import default_policy_path, load_policy
from tests.conftest import NOW, MakeExport

K = 60
MAX_BAND = 3
POLICY = load_policy({**load_policy(default_policy_path()).values, "credit": {"max_band": MAX_BAND}})


@pytest.fixture(scope="module")
def snapshot(
    make_export: MakeExport, catalogue_rows: Any, tmp_path_factory: pytest.TempPathFactory
) -> Snapshot:
    """The small bundle with every third financial product credit-like."""
    rows = [dict(row) for row in catalogue_rows]
    for number, row in enumerate(sorted(rows, key=lambda row: str(row["id"]))):
        if row["family"] != "COURSE":
            row["credit_like"] = number % 3 == 0
    directory = tmp_path_factory.mktemp("credit")
    case = make_export(directory, rows)
    build_bundle(
        export=case.export, products=case.products, policy=case.policy, bundles=directory / "bundles"
    )
    return open_snapshot(
        directory / "bundles",
        POLICY,
        device="cpu",
        thread_count=1,
        retriever="exact",
        allow_assumed=False,
    )


@pytest.fixture(scope="module")
def pipeline(snapshot: Snapshot) -> Iterator[Pipeline]:
    clock = Clock(NOW)
    made = Pipeline(
        ActivePolicy([snapshot], clock), Directory(None), clock=clock, channel="app", queue_limit=8
    )
    yield made
    made.close()


def ask(pipeline: Pipeline, profile: dict[str, Any], band: int | None) -> list[tuple[str, int]]:
    """Returns ids and scores of the list that the user is shown."""
    query = RecommendQuery(
        user=UserInput("someone", {**profile, "user_risk_band": band}, ()),
        domain=Domain.BOTH,
        k=K,
        risk_score_limit=None,
        include_product_ids=(),
        exclude_product_ids=(),
        allow_seen=True,
        request_id="request",
        include_trace=False,
        count_whole_domain=False,
    )
    answer = pipeline.recommend([query], Call(time.monotonic() + 60, lambda: True))[0]
    assert isinstance(answer, ListAnswer), answer
    return [(product.product_id, product.score) for product in answer.products]


def is_credit(snapshot: Snapshot, product_id: str) -> bool:
    return bool(snapshot.bundle.products.row(snapshot.row_of[product_id]).get("credit_like"))


def test_a_band_over_the_limit_takes_credit_away_and_moves_nothing_else(
    pipeline: Pipeline, snapshot: Snapshot, bold_profile: dict[str, Any]
) -> None:
    within = ask(pipeline, bold_profile, MAX_BAND)
    others = [entry for entry in within if not is_credit(snapshot, entry[0])]
    assert len(others) + 5 <= len(within)
    for band in (MAX_BAND + 1, 99, None):
        assert ask(pipeline, bold_profile, band) == others


def test_bands_within_the_limit_are_all_alike(pipeline: Pipeline, bold_profile: dict[str, Any]) -> None:
    lists = [ask(pipeline, bold_profile, band) for band in range(1, MAX_BAND + 1)]
    assert lists == lists[:1] * MAX_BAND


def test_the_towers_input_does_not_hold_the_band(snapshot: Snapshot, bold_profile: dict[str, Any]) -> None:
    bundle = snapshot.bundle
    feeds = [
        encode_users(
            bundle.features, bundle.vocabulary, [{**bold_profile, "user_risk_band": band}], [[]], NOW
        )
        for band in (1, 99, None)
    ]
    for name, values in feeds[0].feed().items():
        assert all((values == feed.feed()[name]).all() for feed in feeds[1:])
