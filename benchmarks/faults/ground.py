"""What the faults are tried on: a small simulated platform with two bundles, made once, and its questions."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from prudence.v1 import recommendation_pb2 as pb
from rich.console import Console

from benchmarks.dataset import DataSet, read_dataset
from benchmarks.messages import DOMAINS, make_recommend, make_user
from benchmarks.pipeline import DEFAULT_POLICY, Artifacts, plan_stages, run_stages, simulate_platform
from benchmarks.verify.answers import Asked
from benchmarks.verify.dataset import CHANNEL
from benchmarks.verify.values import Record
from index.build import build_bundle
from index.bundle import write_current

USER_COUNT: Final = 400
COURSE_COUNT: Final = 60
PRODUCT_COUNT: Final = 180
QUESTION_COUNT: Final = 200
SEED: Final = 11
LATENCY_TARGET_S: Final = 5.0
OLD, NEW = "old", "new"


@dataclass(frozen=True)
class Question:
    """A request that only its own answer fits: a user, a request id and often a selection of its own.

    Attributes:
        number: place among the questions; the request id is made of it.
        request: RecommendRequest, serialized.
        asked: what the independent checker reads.
        own_ids: the products that an answer may hold.
    """

    number: int
    request: bytes
    asked: Asked
    own_ids: frozenset[str]


@dataclass(frozen=True)
class Ground:
    """What is served and asked.

    Attributes:
        bundles: folder of two bundles of one catalogue, "old" and "new", in opposite orders; old is current.
        store: stored users; copied by whoever changes them.
        clock: the evaluation clock, at which every product and profile is what it is.
        questions: what callers ask.
        user_ids: stored users.
        product_ids: the catalogue.
        work: folder for everything that a test writes.
        rate_max: calls a second that others may ask beside a fault, as measured.
    """

    bundles: Path
    store: Path
    clock: str
    questions: tuple[Question, ...]
    user_ids: tuple[str, ...]
    product_ids: tuple[str, ...]
    work: Path
    rate_max: float = float("inf")

    @property
    def requests(self) -> tuple[bytes, ...]:
        """The questions as a load sends them."""
        return tuple(question.request for question in self.questions)

    def make_folder(self, name: str) -> Path:
        """Makes a new folder for one run of a test."""
        self.work.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.work))

    def copy_bundles(self, folder: Path) -> Path:
        """Copies both bundles where a test may spoil them; old is current."""
        return Path(shutil.copytree(self.bundles, folder / "bundles"))

    def copy_store(self, folder: Path) -> Path:
        """Copies the stored users, and the keys of their names, where a test may change them."""
        for beside in ("", ".keys"):
            shutil.copy2(f"{self.store}{beside}", folder / f"users.sqlite{beside}")
        return folder / "users.sqlite"

    def settings(
        self,
        *more: object,
        bundles: Path | None = None,
        fixed: bool = True,
        latency_target_s: float = LATENCY_TARGET_S,
    ) -> list[str]:
        """Returns the server's command line.

        Args:
            more: further settings.
            bundles: a copy of the bundles.
            fixed: whether the evaluation clock is the server's.
            latency_target_s: above it the server lets in fewer calls.
        """
        # The cores are shared with the callers and with other work: slow answers are no fault here.
        plain = ["--bundles", str(bundles or self.bundles), "--latency-target-s", str(latency_target_s)]
        clock = ["--clock", self.clock] if fixed else []
        trust = [] if "--bundle-keys" in more else ["--allow-unsigned"]
        return [*plain, *clock, *trust, *map(str, more)]


def make_ground(directory: Path, console: Console) -> Ground:
    """Simulates, trains, exports and builds unless all of it is there, and opens it.

    Args:
        directory: keeps it between runs.
        console: shows what is being made.
    """
    artifacts = Artifacts(directory.resolve() / "platform")
    bundles = artifacts.directory / "pair"
    # It is kept whatever code changes, so that a long test goes on; remove the folder to renew it.
    if not (bundles / "CURRENT").is_file():
        shutil.rmtree(artifacts.directory, ignore_errors=True)
        artifacts.directory.mkdir(parents=True)
        data = simulate_platform(seed=SEED, users=USER_COUNT, courses=COURSE_COUNT, products=PRODUCT_COUNT)
        stages = plan_stages(artifacts, data, model="mf", policy=DEFAULT_POLICY)
        run_stages(stages, artifacts.records, console)
        _build_pair(artifacts, bundles)
    dataset = read_dataset(artifacts.data)
    policy = json.loads(DEFAULT_POLICY.read_bytes())
    return Ground(
        bundles=bundles,
        store=artifacts.store,
        clock=dataset.source["clock"],
        questions=draw_questions(dataset, policy, SEED),
        user_ids=tuple(sorted(dataset.profiles)),
        product_ids=tuple(sorted(dataset.products)),
        work=directory.resolve() / "work",
    )


def draw_questions(
    dataset: DataSet, policy: Mapping[str, Any], seed: int, count: int = QUESTION_COUNT
) -> tuple[Question, ...]:
    """Draws questions of users with profile and history inline; every second one names its own products."""
    random = np.random.default_rng(seed)
    users, products = sorted(dataset.profiles), sorted(dataset.products)
    chosen = random.choice(len(users), size=count, replace=count > len(users)).tolist()
    return tuple(
        _draw_question(number, users[user], products, dataset, policy, random)
        for number, user in enumerate(chosen)
    )


def _draw_question(
    number: int,
    user_id: str,
    products: list[str],
    dataset: DataSet,
    policy: Record,
    random: np.random.Generator,
) -> Question:
    profile, history = dataset.profiles[user_id], dataset.history(user_id)
    include = sorted(random.choice(products, size=len(products) // 2, replace=False)) if number % 2 else []
    k, limit = int(random.integers(1, 31)), int(random.integers(10_001)) if number % 5 == 0 else None
    request = make_recommend(
        make_user(user_id, profile, history),
        domain=list(DOMAINS)[number % len(DOMAINS)],
        k=k,
        risk_score_limit=limit,
        include_product_ids=include,
        allow_seen=bool(number % 3),
    )
    request.context.CopyFrom(pb.RequestContext(request_id=f"question-{number}"))
    asked = Asked(
        user_id=user_id,
        user={**profile, "pseudonym": user_id.encode()},
        history=tuple(event.product_id for event in history),
        catalogue=dataset.products,
        policy=policy,
        channel=CHANNEL,
        limit=limit,
        k=k,
    )
    return Question(number, request.SerializeToString(), asked, frozenset(include or products))


def _build_pair(artifacts: Artifacts, bundles: Path) -> None:
    """Builds two bundles of one export; the new one ranks in the opposite order."""
    for version, sign in ((NEW, -1), (OLD, 1)):
        export = bundles.parent / f"export-{version}"
        shutil.rmtree(export, ignore_errors=True)
        shutil.copytree(artifacts.export, export)
        np.save(export / "item_vectors.npy", sign * np.load(export / "item_vectors.npy"))
        build_bundle(
            export=export,
            products=artifacts.data / "products.parquet",
            policy=DEFAULT_POLICY,
            bundles=bundles,
            version=version,
            stated_time=datetime.fromisoformat(read_dataset(artifacts.data).source["clock"]),
        )
    write_current(bundles, OLD)
