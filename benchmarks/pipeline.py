"""The pipeline from a data source to a sealed bundle and a store, stage by stage."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.machine import ROOT
from benchmarks.stages import Stage, StageOutcome, run_stage
from suitability import default_policy_path

DEFAULT_POLICY = default_policy_path()
# The default policy came into force after FAR-Trans ends; this one differs in its id and its first day alone.
FAR_TRANS_POLICY = ROOT / "assumptions" / "far-trans.policy.json"


@dataclass(frozen=True)
class Artifacts:
    """Where one pipeline keeps what it made; the paths do not change between runs.

    Attributes:
        directory: holds everything of one data source, for example artifacts/simulated.
    """

    directory: Path

    @property
    def data(self) -> Path:
        """The data set."""
        return self.directory / "data"

    @property
    def run(self) -> Path:
        """The trained model."""
        return self.directory / "run"

    @property
    def export(self) -> Path:
        """The exported towers and vectors."""
        return self.directory / "export"

    @property
    def bundles(self) -> Path:
        """The sealed bundles."""
        return self.directory / "bundles"

    @property
    def store(self) -> Path:
        """The server's store of users."""
        return self.directory / "store.sqlite"

    @property
    def records(self) -> Path:
        """Keys and logs of the stages."""
        return self.directory / "stages"


@dataclass(frozen=True)
class DataCommand:
    """How a data set comes into being.

    Attributes:
        label: what it is, for people.
        arguments: command line after `python -m`, up to the target directory.
        options: command line after the target directory.
        inputs: files and directories that it reads.
    """

    label: str
    arguments: tuple[str, ...]
    options: tuple[str, ...] = ()
    inputs: tuple[Path, ...] = ()


def simulate_platform(*, seed: int, users: int, courses: int, products: int) -> DataCommand:
    """Makes the simulated platform."""
    sizes = ("--seed", seed, "--users", users, "--courses", courses, "--products", products)
    return DataCommand(
        f"simulate {users:,} users, {courses:,} courses, {products:,} financial products",
        arguments=("training", "simulate"),
        options=tuple(map(str, sizes)),
    )


def import_far_trans(directory: Path, assumptions: Path | None) -> DataCommand:
    """Imports FAR-Trans, as it is or with the assumptions of a file."""
    arguments = ("training", "import", "far-trans", str(directory))
    if assumptions is None:
        return DataCommand("import FAR-Trans, nothing assumed", arguments, inputs=(directory,))
    return DataCommand(
        f"import FAR-Trans with {assumptions.name}",
        arguments,
        options=("--assume", str(assumptions)),
        inputs=(directory, assumptions),
    )


def plan_stages(artifacts: Artifacts, data: DataCommand, *, model: str, policy: Path) -> list[Stage]:
    """Plans data, train, export, index and users, in order.

    Args:
        artifacts: where the results go.
        data: how the data set comes into being.
        model: two_tower or mf.
        policy: policy under which the rows are ordered.
    """
    modelled = plan_model(artifacts, model=model, policy=policy)
    return [plan_data(artifacts, data), *modelled, _plan_users(artifacts)]


def plan_model(
    artifacts: Artifacts,
    *,
    model: str,
    policy: Path = DEFAULT_POLICY,
    settings: Path | None = None,
    products: Path | None = None,
    associations: bool = True,
) -> list[Stage]:
    """Plans train, export and index on a data set that is there.

    Args:
        artifacts: where the data set is and the results go.
        model: two_tower or mf.
        policy: policy under which the rows are ordered.
        settings: JSON file of training settings; None for the defaults.
        products: the bundle's catalogue; None for the data set's.
        associations: whether the bundle has association rules; without them lists are the model's own.
    """
    export_options = () if associations else ("--no-associations",)
    setting_options = () if settings is None else ("--config", str(settings))
    # An interrupted run beside the target would stop the command; --force drops it.
    train = ("training", "--model", model, "--data", artifacts.data, "--out", artifacts.run, "--force")
    products = products or artifacts.data / "products.parquet"
    index_options = ("--export", artifacts.export, "--products", products, "--policy", policy)
    return [
        Stage(
            "train",
            f"train {model}",
            (*map(str, train), *setting_options),
            (artifacts.data,) if settings is None else (artifacts.data, settings),
            ("training", "index", "suitability"),
            artifacts.run,
        ),
        Stage(
            "export",
            "export both towers to ONNX, quantise, compare with torch",
            ("export", str(artifacts.run), str(artifacts.data), str(artifacts.export), *export_options),
            (artifacts.data, artifacts.run),
            ("export", "training", "index", "suitability"),
            artifacts.export,
        ),
        Stage(
            "index",
            "order rows by risk, build the FAISS index, seal the bundle",
            ("index", "build", *map(str, index_options), "--out", str(artifacts.bundles)),
            (artifacts.export, products, policy),
            ("index", "suitability"),
            artifacts.bundles,
        ),
    ]


def run_stages(stages: Sequence[Stage], records: Path, console: Console) -> list[StageOutcome]:
    """Runs the stages in order, each only if something that it depends on has changed."""
    return [run_stage(stage, records, console) for stage in stages]


def plan_data(artifacts: Artifacts, data: DataCommand) -> Stage:
    """Plans the data set."""
    return Stage(
        "data",
        data.label,
        (*data.arguments, str(artifacts.data), *data.options),
        data.inputs,
        ("training", "index", "suitability"),
        artifacts.data,
    )


def _plan_users(artifacts: Artifacts) -> Stage:
    profiles, interactions = artifacts.data / "profiles.parquet", artifacts.data / "interactions.parquet"
    options = ("--profiles", profiles, "--interactions", interactions, "--store", artifacts.store)
    return Stage(
        "users",
        "fill the server's store with profiles and histories",
        ("server", "import-users", *map(str, options)),
        (profiles, interactions),
        ("server", "index", "suitability"),
        artifacts.store,
    )
