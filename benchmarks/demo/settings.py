"""What the demonstration was asked to do."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkInputError
from benchmarks.pipeline import DEFAULT_POLICY, FAR_TRANS_POLICY

SIMULATED = "simulated"
FAR_TRANS = "far-trans"


@dataclass(frozen=True)
class DemoSettings:
    """What to demonstrate.

    Attributes:
        source: simulated or far-trans.
        directory: the publisher's files; None for the simulated platform.
        assumptions: file that fills what the source does not state; None for a strict run alone.
        artifacts: where everything that is made goes.
        device: cpu or cuda.
        model: two_tower or mf.
        seed, users, courses, products: size of the simulated platform.
        load_s: seconds of load at the end.
    """

    source: str
    directory: Path | None
    assumptions: Path | None
    artifacts: Path
    device: str
    model: str
    seed: int
    users: int
    courses: int
    products: int
    load_s: float

    @property
    def policy(self) -> Path:
        """Returns the policy in force at the data's own end of time."""
        return DEFAULT_POLICY if self.source == SIMULATED else FAR_TRANS_POLICY


def read_source(text: str) -> tuple[str, Path | None]:
    """Reads "simulated" or "far-trans:DIR".

    Raises:
        BenchmarkInputError: it is neither, or there is no such directory.
    """
    name, _, directory = text.partition(":")
    if name == SIMULATED and not directory:
        return name, None
    if name == FAR_TRANS and directory:
        path = Path(directory).expanduser().resolve()
        if not path.is_dir():
            raise BenchmarkInputError(f"data: expected a directory at {directory}, found none")
        return name, path
    raise BenchmarkInputError(f"data is {text!r}; expected simulated or far-trans:DIR")
