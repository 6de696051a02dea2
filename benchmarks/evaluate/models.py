"""Carries a model through the pipeline, and answers through each of its forms: torch, sealed bundle, server.

The bundle's catalogue is opened: every product is learning content on sale, so that a server, which never
shows what does not suit a user, ranks all of them. Vectors and scores do not depend on these fields. What is
opened is listed in each row's `assumed` column, as an assumption would be.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.parquet
from rich.console import Console

from benchmarks.dataset import LEARNING_FAMILY, DataSet, read_dataset
from benchmarks.evaluate.artifacts import TaskArtifacts
from benchmarks.evaluate.bundle_scorer import BundleScorer, open_current
from benchmarks.evaluate.server_scorer import ServerScorer
from benchmarks.evaluate.task import Scorer, Task
from benchmarks.evaluate.torch_scorer import TorchScorer
from benchmarks.pipeline import DEFAULT_POLICY, plan_model, run_stages
from benchmarks.serving import ServerPlan, open_stub, run_server
from index.features import Event
from training.schema import PRODUCTS

Form = Literal["model", "bundle", "server"]
FORMS: Final[tuple[Form, ...]] = ("model", "bundle", "server")

_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END: Final = datetime(9000, 1, 1, tzinfo=UTC)
_OPENED: Final[Mapping[str, Any]] = {
    "family": LEARNING_FAMILY,
    "issuer": "evaluation",
    "status": "ON_SALE",
    "sale_start": _START,
    "sale_end": _END,
    "channels": ["app"],
}


@dataclass(frozen=True)
class BuiltModel:
    """A model that was carried through the pipeline, with what it is asked about."""

    artifacts: TaskArtifacts
    dataset: DataSet
    task: Task

    @contextmanager
    def open(self, form: Form) -> Iterator[Scorer]:
        """Opens one form of the model for the length of the block."""
        if form == "model":
            yield TorchScorer(self.artifacts.run, self._histories(), self.dataset, now=self.task.now)
        elif form == "bundle":
            yield BundleScorer(
                open_current(self.artifacts.bundles),
                profiles=self.dataset.profiles,
                histories=self._histories(),
                now=self.task.now,
            )
        else:
            plan = ServerPlan(
                bundles=self.artifacts.bundles,
                policy=self.artifacts.open_policy,
                clock=self.task.now.isoformat(),
                allow_assumed=True,
            )
            log = self.artifacts.records / "server.log"
            with run_server(plan, log) as server, open_stub(server.target) as stub:
                yield ServerScorer(stub, self._histories(), self.dataset.profiles)

    def _histories(self) -> dict[str, list[Event]]:
        return {user: self.dataset.history(user) for user in self.task.users}


def build_model(task: Task, work: Path, *, model: str, settings: Path | None, console: Console) -> BuiltModel:
    """Trains, exports and seals; what is there already is kept.

    Args:
        task: names the data set.
        work: directory for everything made on the way.
        model: name of a model of training.
        settings: JSON file of training settings; None for the defaults.
        console: where progress goes.

    Raises:
        StageFailedError: a command of the pipeline failed.
    """
    artifacts = open_task(task, work)
    stages = plan_model(
        artifacts,
        model=model,
        policy=artifacts.open_policy,
        settings=settings,
        products=artifacts.open_products,
        associations=False,
    )
    run_stages(stages, artifacts.records, console)
    return BuiltModel(artifacts, read_dataset(task.data), task)


def open_task(task: Task, work: Path) -> TaskArtifacts:
    """Writes the catalogue and the policy under which a server ranks everything that the task may rank."""
    artifacts = TaskArtifacts(work, task.data)
    work.mkdir(parents=True, exist_ok=True)
    open_catalogue(task.data / "products.parquet", artifacts.open_products)
    policy = json.loads(DEFAULT_POLICY.read_text(encoding="utf-8"))
    policy |= {"policy_id": "evaluation", "effective_from": "1970-01-01T00:00:00Z"}
    artifacts.open_policy.write_text(json.dumps(policy) + "\n", encoding="utf-8")
    return artifacts


def open_catalogue(products: Path, out: Path) -> None:
    """Writes a catalogue in which everybody may be shown every product."""
    records = pyarrow.parquet.read_table(products, use_threads=False).to_pylist()
    opened = [{**record, **_OPENED, "assumed": sorted(_OPENED)} for record in records]
    pyarrow.parquet.write_table(pa.Table.from_pylist(opened, schema=PRODUCTS.arrow), out)
