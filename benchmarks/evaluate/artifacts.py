"""Where an evaluation keeps what it makes of one data set: one model's files beside the data."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.pipeline import Artifacts


@dataclass(frozen=True)
class TaskArtifacts(Artifacts):
    """Artifacts of one model over a data set that lies elsewhere.

    Attributes:
        data_directory: the data set.
    """

    data_directory: Path

    @property
    def data(self) -> Path:
        """The data set."""
        return self.data_directory

    @property
    def open_products(self) -> Path:
        """The catalogue in which every product may be shown to everybody."""
        return self.directory / "open-products.parquet"

    @property
    def open_policy(self) -> Path:
        """The policy that is in effect at any time."""
        return self.directory / "open.policy.json"
