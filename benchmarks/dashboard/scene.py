"""What happens to the server while its metrics are read: calm, load, a new bundle, too much, calm again."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
import numpy as np
from prudence.v1 import feedback_pb2, feedback_pb2_grpc, profile_pb2
from prudence.v1 import recommendation_pb2 as pb

from benchmarks.load.driver import run_load
from benchmarks.load.plan import LoadPlan
from benchmarks.messages import make_user
from benchmarks.pipeline import Artifacts
from benchmarks.serving import Stub, open_stub
from index.build import build_bundle

VERSIONS: Final = ("20260101-before", "20260102-after")
OTHER_CALLS_PER_S: Final = 8.0
"""Calls of other methods beside, good and bad."""
_TIMEOUT_S: Final = 5.0
_RATES: Final = (40.0, 120.0, 250.0)


@dataclass(frozen=True)
class Step:
    """Something that happens: what it is called, and how to make it happen."""

    name: str
    run: Callable[[], object]


def build_bundles(artifacts: Artifacts, policy: Path, folder: Path) -> Path:
    """Seals the export twice, as VERSIONS; the first is current. Returns the folder of both."""
    bundles = folder / "bundles"
    for version in VERSIONS:
        build_bundle(
            export=artifacts.export,
            products=artifacts.data / "products.parquet",
            policy=policy,
            bundles=bundles,
            version=version,
        )
    name_current(bundles, VERSIONS[0])
    return bundles


def name_current(bundles: Path, version: str) -> None:
    """Writes CURRENT as a publication does."""
    draft = bundles / "CURRENT.tmp"
    draft.write_text(f"{version}\n", encoding="utf-8")
    draft.replace(bundles / "CURRENT")


def make_steps(
    target: str, requests: tuple[bytes, ...], publish: Callable[[], None], step_s: float
) -> list[Step]:
    """Lists what happens, in order; each but the publication lasts `step_s`."""

    def offer(rate: float) -> Callable[[], object]:
        plan = LoadPlan(
            target, requests, "open", rate=rate, client_count=1, duration_s=step_s, timeout_s=_TIMEOUT_S
        )
        return lambda: run_load(plan)

    crowd = LoadPlan(
        target, requests, "closed", concurrency=400, client_count=2, duration_s=step_s, timeout_s=_TIMEOUT_S
    )
    return [
        *(Step(f"{rate:g} a second", offer(rate)) for rate in _RATES),
        Step("a bundle is published", publish),
        Step(f"{_RATES[1]:g} a second", offer(_RATES[1])),
        Step("400 callers at once", lambda: run_load(crowd)),
        Step(f"{_RATES[0]:g} a second", offer(_RATES[0])),
    ]


@contextmanager
def call_other_methods(target: str, users: Sequence[str], products: Sequence[str]) -> Iterator[None]:
    """Calls what else there is, good and bad, from one thread for the length of the block."""
    stop = threading.Event()
    thread = threading.Thread(target=_call_in_turn, args=(target, users, products, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=4 * _TIMEOUT_S)


def _call_in_turn(target: str, users: Sequence[str], products: Sequence[str], stop: threading.Event) -> None:
    random = np.random.default_rng(1)
    with open_stub(target) as stub, grpc.insecure_channel(target) as channel:
        feedback = feedback_pb2_grpc.FeedbackServiceStub(channel)
        number = 0
        while not stop.wait(1 / OTHER_CALLS_PER_S):
            number += 1
            user, product = str(random.choice(users)), str(random.choice(products))
            try:
                if number % 2:
                    events = [_make_event(number, user, product)]
                    feedback.RecordEvents(feedback_pb2.RecordEventsRequest(events=events), timeout=_TIMEOUT_S)
                else:
                    _ask(stub, number // 2, user, product)
            except grpc.RpcError:
                # It is what is to be seen: the server counts it.
                continue


def _ask(stub: Stub, number: int, user_id: str, product_id: str) -> None:
    """Asks one question; one in five is a bad one, and one is about nobody."""
    user = make_user(user_id)
    names = [product_id]
    if number % 5 == 0:
        stub.CheckEligibility(pb.CheckEligibilityRequest(user=user, product_ids=names), timeout=_TIMEOUT_S)
    elif number % 5 == 1:
        stub.ScoreProducts(pb.ScoreProductsRequest(user=user, product_ids=names), timeout=_TIMEOUT_S)
    elif number % 5 == 2:
        stub.SimilarProducts(
            pb.SimilarProductsRequest(user=user, product_id=product_id, k=10), timeout=_TIMEOUT_S
        )
    elif number % 5 == 3:
        stub.Recommend(pb.RecommendRequest(user=user, k=0), timeout=_TIMEOUT_S)
    else:
        stub.Recommend(pb.RecommendRequest(user=make_user("nobody"), k=10), timeout=_TIMEOUT_S)


def _make_event(number: int, user: str, product: str) -> feedback_pb2.Event:
    return feedback_pb2.Event(
        event_id=f"dashboard-{number}",
        user_id=user,
        product_id=product,
        event_type=profile_pb2.EVENT_TYPE_CLICK,
    )
