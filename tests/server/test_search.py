"""What the compute thread does with a batch, over an opened snapshot of the tiny bundle."""

import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest

from index import ann
from index.bundle import Bundle
from index.features import Event
from index.reference import rank_ids
from server.clock import Clock
from server.encoder import Encoder
from server.errors import DeviceError, ModelOutputError, SnapshotError
from server.filter import Filter
from server.gate import Gate
from server.messages import Subject
from server.planner import Planner, Strategy
from server.retrieval import Retriever
from server.row_search import Extent, IndexSearch, RowSearch, ScanSearch
from server.scoring import Scorer
from server.search import Found, Job, Searcher
from server.snapshot import Snapshot, load_fit_policy, open_snapshot, warm_up
from suitability import evaluate, load_policy
from suitability.policy import default_policy_path
from tests.server.cases import (
    CHANNEL,
    FAMILIES,
    NOW,
    PRODUCT_CHANGES,
    draw_changes,
    draw_users,
    eligible_product,
    eligible_user,
    put,
)

POLICY = load_policy(default_policy_path())

NO_ROWS = np.empty(0, np.int64)


@pytest.fixture(scope="module")
def snapshot(tiny_bundles: Path) -> Snapshot:
    return open_snapshot(
        tiny_bundles,
        load_fit_policy(None),
        device="cpu",
        thread_count=1,
        retriever="faiss",
        allow_assumed=False,
    )


@pytest.fixture
def searcher() -> Searcher:
    return Searcher(Clock(NOW), CHANNEL, lambda pinned, now: pinned)


class ConstantScorer(Scorer):
    """Gives every row the same score."""

    def __init__(self, like: Scorer) -> None:
        self.__dict__.update(like.__dict__)

    def score(self, user: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.full(len(rows), 7, np.int64)


def make_job(snapshot: Snapshot, *events: str, **changes: Any) -> Job:
    history = tuple(Event(product_id, "click", NOW.timestamp()) for product_id in events)
    values: dict[str, Any] = {
        "snapshot": snapshot,
        "subject": Subject(eligible_user(), history, (), known=True),
        "row_start": 0,
        "row_stop": snapshot.bundle.products.count,
        "only_rows": None,
        "left_out_rows": NO_ROWS,
        "like_row": None,
        "k": 10,
        "risk_score_limit": None,
    }
    return Job(**(values | changes))


def found_of(outcome: Found | Exception) -> Found:
    assert isinstance(outcome, Found), outcome
    return outcome


def test_a_batch_gives_each_job_what_it_gets_alone(snapshot: Snapshot, searcher: Searcher) -> None:
    jobs = [
        make_job(snapshot, f"c{number:03}", f"f{number % 10:03}", k=number + 1, risk_score_limit=900 * number)
        for number in range(11)
    ]
    together = [found_of(outcome) for outcome in searcher.run(jobs)]
    alone = [found_of(searcher.run([job])[0]) for job in jobs]
    for one, other in zip(together, alone, strict=True):
        assert one.rows.tolist() == other.rows.tolist()
        assert one.scores.tolist() == other.scores.tolist()
        assert one.masks.tolist() == other.masks.tolist()


def test_a_batch_over_two_snapshots_gives_each_job_its_own(snapshot: Snapshot, searcher: Searcher) -> None:
    other = dataclasses.replace(snapshot, scorer=ConstantScorer(snapshot.scorer))
    jobs = [
        make_job(kept, "c001", k=k) for k, kept in enumerate([snapshot, other, snapshot, other, other], 1)
    ]
    together = [found_of(outcome) for outcome in searcher.run(jobs)]
    assert [found.batch_count for found in together] == [2, 3, 2, 3, 3]
    assert [set(found.scores.tolist()) == {7} for found in together] == [False, True, False, True, True]
    for job, found in zip(jobs, together, strict=True):
        alone = found_of(searcher.run([job])[0])
        assert (found.rows.tolist(), found.scores.tolist()) == (alone.rows.tolist(), alone.scores.tolist())


def test_rows_left_out_are_not_looked_at(snapshot: Snapshot, searcher: Searcher) -> None:
    found = found_of(searcher.run([make_job(snapshot, left_out_rows=np.array([0, 5, 31], np.int64))])[0])
    assert not {0, 5, 31} & set(found.rows.tolist())
    assert len(found.rows) == snapshot.bundle.products.count - 3


def test_only_the_rows_named_are_looked_at(snapshot: Snapshot, searcher: Searcher) -> None:
    found = found_of(searcher.run([make_job(snapshot, only_rows=np.array([4, 2, 40], np.int64))])[0])
    assert found.rows.tolist() == [2, 4, 40]
    assert found_of(searcher.run([make_job(snapshot, only_rows=NO_ROWS)])[0]).rows.tolist() == []


def test_an_empty_part_of_the_catalogue_gives_nothing(snapshot: Snapshot, searcher: Searcher) -> None:
    assert len(found_of(searcher.run([make_job(snapshot, row_start=7, row_stop=7)])[0]).rows) == 0


def make_retriever(vectors: np.ndarray, mode: Literal["exact", "faiss", "mixed"]) -> Retriever:
    """Returns a retriever that searches in one way; "mixed" takes FAISS where rows are selected."""
    index = ann.load_index(ann.build_index(vectors.astype(np.float32)))
    items = np.rint(vectors.astype(np.float64) * 127 / np.abs(vectors).max()).astype(np.int8)
    ways: dict[Strategy, RowSearch] = {"exact": ScanSearch(items), "faiss": IndexSearch(index, "faiss")}
    if mode == "mixed":
        return Retriever(Planner(ways, {"exact": SelectingCosts(1.0), "faiss": SelectingCosts(-1.0)}))
    return Retriever(Planner({mode: ways[mode]}, {}))


@dataclasses.dataclass
class SelectingCosts:
    """Costs that are high, or low, where rows are selected."""

    selected_s: float

    def estimate(self, extent: Extent, candidate_count: int) -> float:
        return 0.0 if extent.bitmap is None else self.selected_s


def catalogue_snapshot(
    snapshot: Snapshot,
    products: list[dict[str, Any]],
    mode: Literal["exact", "faiss", "mixed"],
    vectors: np.ndarray | None = None,
) -> Snapshot:
    """Returns the snapshot over another catalogue, with random vectors if none are given."""
    dim = snapshot.bundle.manifest.embedding_dim
    if vectors is None:
        vectors = np.random.default_rng(2).integers(-99, 100, (len(products), dim)).astype(np.int16)
    bundle: Any = SimpleNamespace(
        features=snapshot.bundle.features,
        vocabulary=snapshot.bundle.vocabulary,
        products=SimpleNamespace(count=len(products)),
    )
    return dataclasses.replace(
        snapshot,
        bundle=bundle,
        retriever=make_retriever(vectors, mode),
        scorer=Scorer(
            vectors, rank_ids([product["id"] for product in products]), user_scale=100.0, item_scale=10.0
        ),
        gate=Gate(products, snapshot.policy),
        filter=Filter(products, snapshot.policy),
    )


def sparse_products(count: int, eligible_count: int) -> list[dict[str, Any]]:
    """Returns products of which so many suit the eligible user, each of the others with one thing wrong."""
    random = np.random.default_rng(4)
    changes = draw_changes(PRODUCT_CHANGES, random)
    rows = set(random.choice(count, eligible_count, replace=False).tolist())
    products = []
    for row in range(count):
        good = eligible_product(f"x{row:04}", FAMILIES[row % len(FAMILIES)])
        product = dict(good)
        while row not in rows and is_eligible(product, eligible_user()):
            product = dict(good)
            put(product, *next(changes))
            product["id"] = good["id"]
        products.append(product)
    return products


def is_eligible(product: dict[str, Any], user: Mapping[str, Any]) -> bool:
    return not evaluate(user, product, POLICY, NOW, CHANNEL)


def assert_nothing_missed(snapshot: Snapshot, job: Job, found: Found, eligible: list[bool]) -> None:
    """Asserts that a list holds the best of what is eligible, and is short only where nothing else is."""
    rows = np.arange(job.row_start, job.row_stop) if job.only_rows is None else job.only_rows
    rows = np.array([row for row in rows if eligible[row] and row not in job.left_out_rows], np.int64)
    passing = found.rows[~found.masks.any(axis=1)]
    assert len(set(found.rows.tolist())) == len(found.rows)
    assert found.candidate_count >= len(found.rows)
    assert set(passing.tolist()) <= set(rows.tolist())
    assert best_of(snapshot, found, passing, job.k) == best_of(snapshot, found, rows, job.k)


def best_of(snapshot: Snapshot, found: Found, rows: np.ndarray, k: int) -> list[int]:
    scores = snapshot.scorer.score(found.vector, rows)
    best: list[int] = rows[snapshot.scorer.order(rows, scores, k)].tolist()
    return best


MODES: tuple[Literal["exact", "faiss", "mixed"], ...] = ("exact", "faiss", "mixed")


@pytest.mark.parametrize("mode", MODES)
def test_a_list_is_short_only_where_nothing_else_is_eligible(
    snapshot: Snapshot,
    searcher: Searcher,
    mode: Literal["exact", "faiss", "mixed"],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("server.search.WHOLE_COUNT_MAX", 0)  # Ask the filter, few as the rows are.
    random = np.random.default_rng(6)
    products = sparse_products(240, 3)
    sparse = catalogue_snapshot(snapshot, products, mode)
    jobs = []
    for number, user in enumerate(draw_users(random, 150)):
        named = random.choice(240, 60, replace=False) if number % 5 == 0 else None
        changes = {
            "subject": Subject(user, (), (), known=True),
            "k": (1, 2, 3, 9, 50, 1000)[number % 6],
            "row_start": (0, 8)[number % 2],
            "row_stop": (240, 220)[number % 3 == 0],
            "only_rows": named,
            "left_out_rows": random.choice(240, number % 40, replace=False),
        }
        jobs.append(make_job(sparse, **changes))
    some = 0
    for start in range(0, len(jobs), 16):
        batch = jobs[start : start + 16]
        for job, outcome in zip(batch, searcher.run(batch), strict=True):
            eligible = [is_eligible(product, job.subject.profile) for product in products]
            some += any(eligible)
            assert_nothing_missed(sparse, job, found_of(outcome), eligible)
    assert some > 100


@pytest.mark.parametrize("mode", MODES)
def test_rounds_go_on_while_the_gate_removes_what_the_filter_leaves(
    snapshot: Snapshot, searcher: Searcher, mode: Literal["exact", "faiss", "mixed"]
) -> None:
    good = [eligible_product(f"x{row:04}", "INS_PROTECTION") for row in range(1600)]
    # Premiums are left to the gate, so that the filter leaves every one of these rows.
    products = [
        product | {"annual_premium": 10**15} if row % 100 else product for row, product in enumerate(good)
    ]
    wide = catalogue_snapshot(snapshot, products, mode)
    eligible = [is_eligible(product, eligible_user()) for product in products]
    assert sum(eligible) == 16
    for k, rounds in ((1, {1, 2, 3}), (9, {3}), (16, {3}), (17, {3}), (100, {3}), (1000, {1})):
        job = make_job(wide, k=k)
        found = found_of(searcher.run([job])[0])
        assert_nothing_missed(wide, job, found, eligible)
        assert found.round_count in rounds
        assert len(set(found.retrievers)) == len(found.retrievers) <= found.round_count


@pytest.mark.parametrize("mode", MODES)
def test_long_lists_of_what_to_include_and_exclude_lose_nothing(
    snapshot: Snapshot, searcher: Searcher, mode: Literal["exact", "faiss", "mixed"]
) -> None:
    products = sparse_products(2400, 300)
    long = catalogue_snapshot(snapshot, products, mode)
    eligible = [is_eligible(product, eligible_user()) for product in products]
    random = np.random.default_rng(8)
    jobs = [
        make_job(
            long,
            only_rows=None if included is None else random.choice(2400, included, replace=False),
            left_out_rows=random.choice(2400, excluded, replace=False),
            row_start=9,
            k=k,
        )
        for included, excluded, k in itertools.product((None, 99, 500, 2400), (0, 40, 2000), (1, 5, 60))
    ]
    scanned = 0
    for job, outcome in zip(jobs, searcher.run(jobs), strict=True):
        found = found_of(outcome)
        assert_nothing_missed(long, job, found, eligible)
        scanned += found.rows_scanned_count > len(found.rows)
        allowed = long.filter.allow(job.subject.profile, NOW, CHANNEL, None)
        assert len(found.rows) <= max(100, 4 * job.k) + np.count_nonzero(allowed)
        alone = found_of(searcher.run([job])[0])
        assert (alone.rows.tolist(), alone.retrievers) == (found.rows.tolist(), found.retrievers)
    assert scanned > 10


def test_few_rows_within_a_risk_limit_are_looked_at_whole(snapshot: Snapshot, searcher: Searcher) -> None:
    products = [
        eligible_product(f"x{row:04}", "FUND") | {"level_issuer": level, "level_distributor": level}
        for row, level in enumerate([1] * 300 + [5] * 1200)
    ]
    vectors = np.full((1500, snapshot.bundle.manifest.embedding_dim), 9, np.int16)
    vectors[300:] = 99
    rising = catalogue_snapshot(snapshot, products, "exact", vectors)
    limit = rising.gate.columns.risk_scores[0]
    found = found_of(searcher.run([make_job(rising, like_row=1000, risk_score_limit=limit)])[0])
    assert found.retrievers == ("exact", "all rows")
    assert sorted(found.rows[~found.masks.any(axis=1)].tolist()) == list(range(300))


@pytest.mark.parametrize("good_count", [5, 30, 50])
@pytest.mark.parametrize("whole_count_max", [0, 1000])
def test_rounding_to_int8_hides_nothing_that_belongs_into_a_list(
    snapshot: Snapshot,
    searcher: Searcher,
    monkeypatch: pytest.MonkeyPatch,
    good_count: int,
    whole_count_max: int,
) -> None:
    """Candidates end among rows that int8 cannot tell apart, of which the best come last."""
    monkeypatch.setattr("server.search.WHOLE_COUNT_MAX", whole_count_max)
    first = 100 - good_count
    products = [eligible_product(f"x{row:04}", "INS_PROTECTION") for row in range(400)]
    products[:first] = [product | {"annual_premium": 10**15} for product in products[:first]]
    vectors = np.zeros((400, snapshot.bundle.manifest.embedding_dim), np.int16)
    order = np.arange(400 - first)
    vectors[:, 0] = np.r_[np.full(first, 30_000), 258 * (80 - order // 60) + order % 60]
    alike = catalogue_snapshot(snapshot, products, "exact", vectors)
    job = make_job(alike, k=5, like_row=0)
    found = found_of(searcher.run([job])[0])
    eligible = [row >= first for row in range(400)]
    assert [is_eligible(product, eligible_user()) for product in products] == eligible
    assert_nothing_missed(alike, job, found, eligible)
    assert found.round_count > 1


class BrokenEncoder:
    """Gives NaN for users without a history."""

    provider = "broken"

    def __init__(self, dim: int) -> None:
        self._dim = dim

    def embed(self, feed: Mapping[str, np.ndarray]) -> np.ndarray:
        vectors = np.ones((len(feed["history_token"]), self._dim), np.float32)
        vectors[feed["history_token"].sum(axis=1) == 0, 3] = np.nan
        return vectors


def test_a_vector_with_nan_is_an_error_of_its_own_request(
    snapshot: Snapshot, searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = BrokenEncoder(snapshot.bundle.manifest.embedding_dim)
    monkeypatch.setattr(type(snapshot.encoder), "embed", lambda _, feed: encoder.embed(feed))
    jobs = [make_job(snapshot, "c001"), make_job(snapshot), make_job(snapshot, "c002")]
    outcomes = searcher.run(jobs)
    assert isinstance(outcomes[1], ModelOutputError)
    assert found_of(outcomes[0]).scores.tolist() == found_of(outcomes[2]).scores.tolist()


def test_warm_up_accepts_the_bundle_and_refuses_another_answer(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm_up(snapshot)
    monkeypatch.setattr(
        type(snapshot.encoder),
        "embed",
        lambda _, feed: np.ones((1, snapshot.bundle.manifest.embedding_dim), np.float32),
    )
    with pytest.raises(SnapshotError, match="golden request 0"):
        warm_up(snapshot)


def test_a_device_that_is_not_there_is_refused(tiny_bundle: Bundle) -> None:
    with pytest.raises(DeviceError, match="CUDAExecutionProvider"):
        Encoder(tiny_bundle.user_tower, device="cuda", thread_count=1)


def test_what_is_no_tower_is_refused(tiny_bundle: Bundle) -> None:
    with pytest.raises(SnapshotError, match=r"user_tower\.onnx"):
        Encoder(b"no onnx", device="cpu", thread_count=1)
    with pytest.raises(SnapshotError, match="user_vector"):
        Encoder(tiny_bundle.item_tower, device="cpu", thread_count=1)


def test_inputs_the_tower_does_not_take_are_refused(snapshot: Snapshot) -> None:
    with pytest.raises(SnapshotError, match="history_token"):
        snapshot.encoder.check_feed({"history_token": np.zeros((1, 50), np.int64)})


def test_a_user_vector_does_not_depend_on_its_place_in_the_batch(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = Encoder(tiny_bundle.user_tower, device="cpu", thread_count=1)
    feeds = [request.inputs for request in tiny_bundle.golden.requests[:5]]
    together = {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}
    counts = []
    run = encoder._run

    def counting(feed: Mapping[str, Any]) -> Any:
        counts.append(len(feed["history_token"]))
        return run(feed)

    monkeypatch.setattr(encoder, "_run", counting)
    vectors = encoder.embed(together)
    assert counts == [1] * 5
    assert all(np.array_equal(row, run(feed)[0]) for row, feed in zip(vectors, feeds, strict=True))
