"""Asks a running server and shows what a person wants to see, one scene at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prudence.v1 import recommendation_pb2 as pb
from prudence.v1.profile_pb2 import User
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.dataset import DataSet
from benchmarks.demo.people import Pair, choose_clicks
from benchmarks.demo.text import (
    TITLE_WIDTH_MIN,
    choose_withheld,
    describe_reasons_against,
    describe_retriever,
    describe_trace,
    make_product_table,
)
from benchmarks.messages import make_recommend, make_user
from benchmarks.serving import Stub

FINANCIAL_K = 8
LEARNING_K = 3
LIMITS = (6000, 4000, 2000)
CALL_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Scene:
    """What every scene needs.

    Attributes:
        stub: the server.
        info: what it serves.
        dataset: the data that it was filled with.
        limits: the policy's highest risk score by risk level.
        console: where to show it.
    """

    stub: Stub
    info: pb.GetServingInfoResponse
    dataset: DataSet
    limits: Mapping[int, int]
    console: Console

    def recommend(self, request: pb.RecommendRequest) -> pb.RecommendResponse:
        """Calls Recommend."""
        return self.stub.Recommend(request, timeout=CALL_TIMEOUT_S)

    def say(self, text: str) -> None:
        """Writes a paragraph as it stands."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @property
    def titles(self) -> Mapping[str, str]:
        """Returns titles by product id."""
        return {product_id: str(row["title"]) for product_id, row in self.dataset.products.items()}

    @property
    def now(self) -> float:
        """Returns the decision time, seconds since 1970-01-01 UTC."""
        return self.info.decision_time.ToNanoseconds() / 1e9


def show_serving(scene: Scene) -> None:
    """Shows what runs: bundle, devices, data, clock."""
    info = scene.info
    clock = "system clock" if info.system_clock else f"evaluation clock {info.decision_time.ToJsonString()}"
    scene.say(f"  bundle {info.bundle_version}: {info.model}, {info.embedding_dim} dimensions")
    scene.say(
        f"  {info.learning_product_count} learning and {info.financial_product_count} financial products; "
        f"data: {info.data_source}{', with assumed values' if info.assumed_data else ''}; {clock}"
    )
    scene.say(
        f"  tower: {info.provider}; index: {describe_retriever(info.index_type)}; kernel: {info.kernel}"
    )
    scene.say(f"  policy {info.policy_id} {info.policy_version} (SHA-256 {info.policy_hash[:12]}…)")


def show_pair(scene: Scene, pair: Pair) -> None:
    """Shows a cautious and a bold user with the same history: the request traced, then the lists."""
    history = scene.dataset.history(pair.cautious_id)
    scene.say(
        f"  Both requests carry the same history, the {len(history)} events of {pair.cautious_id}, and the\n"
        f"  stored profile of {pair.cautious_id} or of {pair.bold_id} ({pair.how})."
    )
    if scene.info.learning_product_count:
        scene.say(
            f"  {FINANCIAL_K} financial products are traced; {LEARNING_K} courses of a second request follow."
        )
    shown: list[set[str]] = []
    for name, user_id in (("cautious", pair.cautious_id), ("bold", pair.bold_id)):
        profile = scene.dataset.profiles[user_id]
        level = profile["risk_level"]
        user = make_user(user_id, profile, history)
        answer = scene.recommend(make_recommend(user, domain="financial", k=FINANCIAL_K, include_trace=True))
        products = [*answer.products]
        if scene.info.learning_product_count:
            learning = scene.recommend(make_recommend(user, domain="learning", k=LEARNING_K))
            products += learning.products
        shown.append({product.product_id for product in answer.products})
        limit = scene.limits[level]
        scene.say(f"\n  The {name} user: risk level {level}; the policy's risk score limit is {limit}")
        show_trace(scene, answer, limit=limit)
        show_products(scene, products)
        show_reasons(scene, user, answer)
    scene.say(f"  Financial products in both lists: {len(shown[0] & shown[1])} of {FINANCIAL_K}.")


def show_trace(scene: Scene, answer: pb.RecommendResponse, *, limit: int | None) -> None:
    """Shows how an answer came about."""
    for line in describe_trace(answer, kernel=scene.info.kernel, limit=limit, titles=scene.titles):
        scene.say(f"    {line}")


def show_products(scene: Scene, products: Sequence[pb.RecommendedProduct]) -> None:
    """Shows a list, and what a missing limit means."""
    if not products:
        return
    scene.console.print(make_product_table(products, score_scale=scene.info.score_scale))
    if any(
        product.HasField("risk_score") and not product.HasField("risk_score_limit") for product in products
    ):
        scene.say(
            "  Insurance without a limit beside it is not rated for risk: it lies below the level from\n"
            "  which the policy rates it, so neither its level nor its risk score is held against the user's."
        )


def show_reasons(scene: Scene, user: User, answer: pb.RecommendResponse) -> None:
    """Asks why one product was withheld and shows every reason, as a customer service would read it."""
    product_id = choose_withheld(answer)
    if product_id is None:
        return
    request = pb.CheckEligibilityRequest(user=user, product_ids=[product_id])
    verdict = scene.stub.CheckEligibility(request, timeout=CALL_TIMEOUT_S).products[0]
    scene.say(f"  Why not {product_id} {scene.titles.get(product_id, '')}? (CheckEligibility)")
    for line in describe_reasons_against(verdict):
        scene.say(f"    {line}")


def show_limits(scene: Scene, pair: Pair) -> None:
    """Shows the bold user's financial list as the request's risk_score_limit goes down."""
    profile = scene.dataset.profiles[pair.bold_id]
    user = make_user(pair.bold_id, profile, scene.dataset.history(pair.bold_id))
    request = make_recommend(user, domain="financial", k=FINANCIAL_K)
    first = scene.recommend(request).products
    scene.say(f"  With the history of {pair.bold_id} now: one list, asked for again under lower limits.")
    policy_limit = scene.limits[profile["risk_level"]]
    limits: list[int | None] = [None, *(limit for limit in LIMITS if limit < policy_limit)]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("title", overflow="fold", min_width=TITLE_WIDTH_MIN)
    table.add_column("risk score", justify="right")
    kept: list[set[str]] = []
    counts: list[int] = []
    for limit in limits:
        table.add_column("no limit asked" if limit is None else f"limit {limit}", justify="center")
        one = _with_limit(request, limit, include=[product.product_id for product in first])
        kept.append({product.product_id for product in scene.recommend(one).products})
        every = _with_limit(request, limit, k=scene.info.k_max)
        counts.append(len(scene.recommend(every).products))
    for product in first:
        marks = ["shown" if product.product_id in ids else "-" for ids in kept]
        # A product that is not rated has a score, too, which no limit is held against.
        score = str(product.risk_score) if product.HasField("risk_score_limit") else "not rated"
        table.add_row(product.title, score, *marks)
    table.add_row("of this list", "", *(str(len(ids)) for ids in kept), style="bold")
    table.add_row("of all financial products", "", *map(str, counts), style="bold")
    scene.console.print(table)


def _with_limit(
    request: pb.RecommendRequest, limit: int | None, *, k: int | None = None, include: Sequence[str] = ()
) -> pb.RecommendRequest:
    changed = pb.RecommendRequest()
    changed.CopyFrom(request)
    changed.include_product_ids.extend(include)
    changed.k = k or request.k
    if limit is not None:
        changed.risk_score_limit = limit
    return changed


def show_new_user(scene: Scene, pair: Pair) -> None:
    """Shows a user nobody has seen before: three clicks, first without and then with a questionnaire."""
    clicks = choose_clicks(scene.dataset, count=3, now=scene.now)
    titles = scene.titles
    scene.say("  Three clicks: " + "; ".join(titles[click.product_id] for click in clicks))
    borrowed: dict[str, Any] = dict(scene.dataset.profiles[pair.bold_id])
    answered = f"The questionnaire answered as {pair.bold_id} did (risk level {borrowed['risk_level']})"
    visits: tuple[tuple[str, dict[str, Any], str], ...] = (
        ("No questionnaire yet", {}, "both"),
        # Courses would take the places of what the questionnaire opened.
        (f"{answered}: financial products", borrowed, "financial"),
    )
    for text, profile, domain in visits:
        user = make_user("new-visitor", profile, clicks)
        answer = scene.recommend(make_recommend(user, domain=domain, k=FINANCIAL_K, include_trace=True))
        scene.say(f"\n  {text}")
        show_trace(scene, answer, limit=scene.limits[borrowed["risk_level"]] if profile else None)
        show_products(scene, answer.products)
        show_reasons(scene, user, answer)
