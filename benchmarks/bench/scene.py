"""Finds what a benchmark of a server serves: the bundle of the demonstration, or a larger one made of it."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.bench.catalogue import make_catalogue
from benchmarks.dataset import DataSet, read_dataset
from benchmarks.errors import BenchmarkInputError
from benchmarks.pipeline import DEFAULT_POLICY, FAR_TRANS_POLICY, Artifacts
from benchmarks.serving import ServerPlan


@dataclass(frozen=True)
class Scene:
    """What is served and asked for.

    Attributes:
        dataset: the users who ask.
        artifacts: export, bundle and store that are served.
        policy: the policy in force.
        suffix: what the names of results end with: "" for the demonstration's own bundle, or "-1m".
        log: where a server may write.
    """

    dataset: DataSet
    artifacts: Artifacts
    policy: Path
    suffix: str
    log: Path

    def make_plan(self, *, device: str = "cpu", threads: int = 1) -> ServerPlan:
        """Returns how the server is started."""
        return ServerPlan(
            bundles=self.artifacts.bundles,
            store=self.artifacts.store,
            policy=self.policy,
            clock=self.dataset.source["clock"],
            device=device,
            threads=threads,
            allow_assumed=any(self.dataset.source["assumed"].values()),
        )


def open_scene(directory: Path, product_count: int | None, console: Console) -> Scene:
    """Opens what the demonstration made, and makes the larger catalogue unless it is there.

    Args:
        directory: artifacts of the demonstration.
        product_count: products of a larger catalogue, kept beside it; None for the trained ones alone.
        console: shows that a catalogue is being made.

    Raises:
        BenchmarkInputError: the demonstration was not run, or the count cannot be made.
    """
    trained = Artifacts(directory.resolve())
    if not trained.bundles.is_dir() or not trained.store.is_file():
        raise BenchmarkInputError(f"no bundle and store under {directory}; run make demo first")
    dataset = read_dataset(trained.data)
    policy = FAR_TRANS_POLICY if dataset.source["name"] == "far-trans" else DEFAULT_POLICY
    log = trained.records / "bench-server.log"
    if product_count is None:
        return Scene(dataset, trained, policy, "", log)
    larger = trained.directory.with_name(f"{trained.directory.name}-{product_count}")
    with console.status(f"a catalogue of {product_count:,} products"):
        artifacts = make_catalogue(trained, larger, product_count, policy)
    return Scene(dataset, artifacts, policy, f"-{shorten_count(product_count)}", log)


def shorten_count(count: int) -> str:
    """Returns a count as file names hold it: 1m, 100k, or all its digits where these would round."""
    for size, letter in ((1_000_000, "m"), (1_000, "k")):
        if count % size == 0:
            return f"{count // size}{letter}"
    return str(count)
