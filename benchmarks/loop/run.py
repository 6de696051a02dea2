"""Runs the loop once: serve, respond, compact, import, retrain, and serve again beside the frozen model."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet
from numpy.typing import NDArray
from prudence.client import Client
from rich.console import Console

from benchmarks.dataset import read_json
from benchmarks.evaluate.artifacts import TaskArtifacts
from benchmarks.loop.judge import Judged, judge
from benchmarks.loop.people import IntArray, People, draw_own, find_people
from benchmarks.loop.visit import Visits, list_all, visit
from benchmarks.pipeline import DEFAULT_POLICY, Artifacts, DataCommand, plan_model, plan_stages, run_stages
from benchmarks.serving import ServerPlan, run_server
from benchmarks.stages import Stage
from training.simulate.settings import SimulationSettings

FROZEN: Final = "frozen"
AGAIN: Final = "more epochs alone"
FULL: Final = "feedback, counted in full"
LEARNED: Final = "feedback, as imported"
MODELS: Final = (FROZEN, AGAIN, FULL, LEARNED)
CLOCK: Final = datetime(2026, 6, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes:
        users, courses: sizes of the simulated platform, which has learning content alone.
        weeks: rounds of the first period; in each every user asks once and responds.
        work: directory for what is made; one of its own for each seed.
        settings: JSON file of training settings; None for the defaults.
    """

    users: int
    courses: int
    weeks: int
    work: Path
    settings: Path | None = None


@dataclass(frozen=True)
class LoopResult:
    """What one seed gave: each model's figures over the same users, and what came back.

    Attributes:
        seed: of the platform and of all responses.
        judged: by model.
        visits: of each week.
        report: what the import counted.
    """

    seed: int
    judged: Mapping[str, Judged]
    visits: tuple[Visits, ...]
    report: Mapping[str, int]


@dataclass(frozen=True)
class _Live:
    """Where one seed's period of serving happens; made anew each time."""

    directory: Path

    @property
    def store(self) -> Path:
        return self.directory / "store.sqlite"

    @property
    def log(self) -> Path:
        return self.directory / "log"

    @property
    def named(self) -> Path:
        """The first data set under the store's pseudonyms."""
        return self.directory / "named"

    @property
    def data(self) -> Path:
        """The data set with feedback."""
        return self.directory / "data"

    @property
    def full(self) -> Path:
        """The same without confidence, so that every event counts in full."""
        return self.directory / "full"


def run_loop(plan: Plan, seed: int, console: Console) -> LoopResult:
    """Runs the loop for one seed.

    Raises:
        StageFailedError: a command failed.
        ServerStartError: a server was not ready in time.
        EventRefusedError: a server did not accept an event.
    """
    settings = SimulationSettings(CLOCK, seed, users=plan.users, courses=plan.courses, products=0)
    rng = np.random.default_rng([seed, 6])
    first = Artifacts(plan.work / f"seed-{seed}")
    live = _Live(first.directory / "live")
    _prepare(plan, first, settings, console)
    people = _keep_stored(find_people(settings), first.data)
    _move_in(first, live)
    taken, visits = _list_taken(first.data, people), list[Visits]()
    for week in range(plan.weeks):
        visits.append(_open_week(first.bundles, live, people, taken, rng, week=week, console=console))
        taken |= visits[-1].touched
    run_stages(_plan_return(first, live), live.directory / "stages", console)
    _count_in_full(live)
    arms = {AGAIN: first.data, FULL: live.full, LEARNED: live.data}
    bundles = {FROZEN: first.bundles}
    for number, (name, data) in enumerate(arms.items()):
        made = TaskArtifacts(first.directory / f"arm-{number}", data)
        run_stages(_plan_arm(first, made), made.records, console)
        bundles[name] = made.bundles
    own = draw_own(people, taken, rng)
    judged = {
        name: judge(people, _serve_lists(folder, live, people, plan.weeks), taken, own)
        for name, folder in bundles.items()
    }
    return LoopResult(seed, judged, tuple(visits), read_json(live.data / "quality.json")["feedback"])


def _prepare(plan: Plan, first: Artifacts, settings: SimulationSettings, console: Console) -> None:
    """Simulates the platform, trains the first model on it and fills the store."""
    options = {
        "--seed": settings.seed,
        "--users": settings.users,
        "--courses": settings.courses,
        "--products": 0,
        "--clock": CLOCK.isoformat(),
    }
    texts = tuple(str(text) for pair in options.items() for text in pair)
    data = DataCommand(
        f"simulate {plan.users:,} users, seed {settings.seed}", ("training", "simulate"), texts
    )
    stages = plan_stages(first, data, model="two_tower", policy=DEFAULT_POLICY)
    if plan.settings is not None:
        modelled = plan_model(first, model="two_tower", settings=plan.settings)
        stages = [stages[0], *modelled, stages[-1]]
    run_stages(stages, first.records, console)


def _move_in(first: Artifacts, live: _Live) -> None:
    """Gives the period a store of its own; what an earlier run left is removed."""
    shutil.rmtree(live.directory, ignore_errors=True)
    live.directory.mkdir(parents=True)
    for path in first.directory.glob(f"{first.store.name}*"):
        shutil.copy(path, live.directory / path.name)


def _open_week(
    bundles: Path,
    live: _Live,
    people: People,
    taken: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    week: int,
    console: Console,
) -> Visits:
    """Serves one week: every user asks once and responds."""
    server = _plan_server(bundles, live, week)
    server = replace(server, options=("--feedback-log", str(live.log)))
    with run_server(server, live.directory / f"week-{week}.txt") as running, Client(running.target) as client:
        found = visit(client, people, taken, rng, name=f"week-{week}")
    console.print(
        f"  week {week + 1}: {found.shown_count:,} shown, {found.click_count:,} clicks, "
        f"{found.event_count:,} events recorded"
    )
    return found


def _serve_lists(bundles: Path, live: _Live, people: People, week: int) -> IntArray:
    server = _plan_server(bundles, live, week)
    log = live.directory / f"{bundles.parent.name}.txt"
    with run_server(server, log) as running, Client(running.target) as client:
        return list_all(client, people)


def _plan_server(bundles: Path, live: _Live, week: int) -> ServerPlan:
    clock = (CLOCK + timedelta(weeks=week)).isoformat()
    return ServerPlan(bundles, store=live.store, clock=clock)


def _plan_return(first: Artifacts, live: _Live) -> list[Stage]:
    """Plans what brings the log back into training."""
    packages = ("server", "training", "index", "suitability")
    # A stage removes its output before it runs: the log is none, since a server compacts some of it itself.
    commands = {
        "compact": (("server", "compact", live.log), live.directory / "compacted"),
        "names": (("server", "pseudonymise", first.data, live.named, "--store", live.store), live.named),
        "import": (("training", "import", "feedback", live.log, live.data, "--with", live.named), live.data),
    }
    labels = {
        "compact": "compact the feedback log",
        "names": "name the first data's users as the log does",
        "import": "join what users did to what they were shown",
    }
    return [
        Stage(name, labels[name], tuple(map(str, command)), (), packages, output)
        for name, (command, output) in commands.items()
    ]


def _count_in_full(live: _Live) -> None:
    shutil.copytree(live.data, live.full)
    path = live.full / "interactions.parquet"
    table = pyarrow.parquet.read_table(path, use_threads=False)
    pyarrow.parquet.write_table(table.drop_columns(["confidence"]), path)


def _plan_arm(first: Artifacts, made: TaskArtifacts) -> list[Stage]:
    """Plans to carry the first model on with a data set, up to a bundle."""
    options = {"--from": first.run, "--data": made.data, "--out": made.run}
    update = Stage(
        "update",
        "carry the first model on",
        ("training", "update", *(str(text) for pair in options.items() for text in pair), "--force"),
        (first.run, made.data),
        ("training", "index", "suitability"),
        made.run,
    )
    _, *rest = plan_model(made, model="two_tower")
    return [update, *rest]


def _keep_stored(people: People, data: Path) -> People:
    """Keeps the users whom the store knows: those with an event or a profile."""
    stored: set[str] = set()
    for name in ("interactions", "profiles"):
        table = pyarrow.parquet.read_table(data / f"{name}.parquet", columns=["user_id"])
        stored.update(map(str, table["user_id"].to_pylist()))
    rows = [row for row, user in enumerate(people.user_ids) if user in stored]
    users = tuple(people.user_ids[row] for row in rows)
    return replace(people, user_ids=users, appeal=people.appeal[rows], click=people.click[rows])


def _list_taken(data: Path, people: People) -> NDArray[np.bool_]:
    """Marks what users have had before the first week, bool [users, courses]."""
    events = pyarrow.parquet.read_table(data / "interactions.parquet", columns=["user_id", "product_id"])
    taken = np.zeros(people.click.shape, np.bool_)
    place = {user: row for row, user in enumerate(people.user_ids)}
    users = [place[str(user)] for user in events["user_id"].to_pylist()]
    # The number in a simulated course's id is its row.
    taken[users, [int(str(course)[1:]) for course in events["product_id"].to_pylist()]] = True
    return taken
