"""Shows one pipeline from data to answers: builds what is missing, serves it, asks it."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from prudence.v1 import recommendation_pb2 as pb
from rich.console import Console

from benchmarks.dataset import DataSet, read_dataset, read_json
from benchmarks.demo.coverage import measure_coverage
from benchmarks.demo.halt import show_halt
from benchmarks.demo.measure import make_pool, measure_speed
from benchmarks.demo.officers import Officers, appoint_officers
from benchmarks.demo.people import choose_pair
from benchmarks.demo.quality import make_quality_table
from benchmarks.demo.settings import DemoSettings
from benchmarks.demo.story import Scene, show_limits, show_new_user, show_pair, show_serving
from benchmarks.machine import describe_machine
from benchmarks.pipeline import (
    Artifacts,
    DataCommand,
    import_far_trans,
    plan_stages,
    run_stages,
    simulate_platform,
)
from benchmarks.progress import show_bar, show_step
from benchmarks.serving import ServerPlan, open_admin_stub, open_stub, run_server

COVERAGE_K = 10
BATCH_COUNT = 100
INFO_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Served:
    """A running server: the scene that asks it, its target, and the officers whose signatures it takes."""

    scene: Scene
    target: str
    officers: Officers


def show_simulated(settings: DemoSettings, console: Console) -> str:
    """Shows the simulated platform; returns the id of a stored user to go on with."""
    heading(console, "Prudence on a simulated platform: every person, product and event is invented")
    data = simulate_platform(
        seed=settings.seed, users=settings.users, courses=settings.courses, products=settings.products
    )
    artifacts = find_artifacts(settings, strict=False)
    build(artifacts, data, settings, console)
    with serve(artifacts, settings, console) as served:
        return show_everything(served, artifacts, settings)


def show_far_trans(settings: DemoSettings, console: Console) -> str:
    """Shows FAR-Trans: strictly, where nobody may be shown anything, then with assumptions if given.

    Returns: the id of a stored user to go on with.
    """
    assert settings.directory is not None, "far-trans has a directory"
    heading(console, "Prudence on FAR-Trans, strict: what the source does not state stays unknown")
    say(
        console,
        "  The policy is the default one, taken to be in force from 2018-01-02, as the data ends in 2022.",
    )
    strict = find_artifacts(settings, strict=True)
    build(strict, import_far_trans(settings.directory, None), settings, console)
    with serve(strict, settings, console) as served:
        rated = list_rated(served.scene.dataset)
        show_coverage(served.scene, rated)
    user_id = rated[0]
    if settings.assumptions is not None:
        heading(
            console, f"Prudence on FAR-Trans with {settings.assumptions.name}: assumed, marked and counted"
        )
        assumed = find_artifacts(settings, strict=False)
        build(assumed, import_far_trans(settings.directory, settings.assumptions), settings, console)
        show_assumed(read_json(assumed.data / "source.json"), console)
        with serve(assumed, settings, console, allow_assumed=True) as served:
            show_coverage(served.scene, list_rated(served.scene.dataset))
            user_id = show_everything(served, assumed, settings)
    source = read_json(strict.data / "source.json")
    heading(console, "Attribution")
    console.print(f"  {source['attribution']}. Licence: {source['licence']}.", markup=False, highlight=False)
    return user_id


def find_artifacts(settings: DemoSettings, *, strict: bool) -> Artifacts:
    """Returns where a pipeline keeps its results; the path depends on nothing but the source."""
    name = f"{settings.source}-strict" if strict else settings.source
    return Artifacts(settings.artifacts.resolve() / name)


def make_server_plan(artifacts: Artifacts, settings: DemoSettings, *, allow_assumed: bool) -> ServerPlan:
    """Plans a server at the data's own end of time."""
    return ServerPlan(
        bundles=artifacts.bundles,
        store=artifacts.store,
        policy=settings.policy,
        clock=read_json(artifacts.data / "source.json")["clock"],
        device=settings.device,
        allow_assumed=allow_assumed,
    )


def build(artifacts: Artifacts, data: DataCommand, settings: DemoSettings, console: Console) -> None:
    """Runs the stages up to the sealed bundle and the filled store."""
    stages = plan_stages(artifacts, data, model=settings.model, policy=settings.policy)
    outcomes = run_stages(stages, artifacts.records, console)
    kept = sum(outcome.reused for outcome in outcomes)
    seconds = sum(outcome.elapsed_s for outcome in outcomes)
    say(console, f"  {kept} of {len(outcomes)} stages kept from before, {seconds:.1f} s")


@contextmanager
def serve(
    artifacts: Artifacts, settings: DemoSettings, console: Console, *, allow_assumed: bool = False
) -> Iterator[Served]:
    """Runs the real server, under a policy that two officers signed, for the length of the block."""
    plan = make_server_plan(artifacts, settings, allow_assumed=allow_assumed)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        officers = appoint_officers(settings.policy, directory)
        plan = replace(plan, policy=officers.policy, policy_keys=officers.keys, policy_state=officers.state)
        server = stack.enter_context(run_server(plan, artifacts.records / "server.log"))
        stub = stack.enter_context(open_stub(server.target))
        heading(console, f"The server is ready on {server.target} after {server.ready_s:.1f} s")
        info = stub.GetServingInfo(pb.GetServingInfoRequest(), timeout=INFO_TIMEOUT_S)
        with show_step(console, "reading the data set"):
            dataset = read_dataset(artifacts.data)
        scene = Scene(stub, info, dataset, read_limits(settings.policy), console)
        show_serving(scene)
        yield Served(scene, server.target, officers)
        say(console, f"\n  stopping the server (process {server.pid})")


def show_everything(served: Served, artifacts: Artifacts, settings: DemoSettings) -> str:
    """Shows all scenes, speed and quality; returns the bold user's id."""
    scene = served.scene
    console, pair = scene.console, choose_pair(scene.dataset)
    heading(console, "The same taste, two tolerances")
    show_pair(scene, pair)
    heading(console, f"The bold user ({pair.bold_id}) asks for less risk: risk_score_limit in the request")
    show_limits(scene, pair)
    heading(console, "A brand-new user with three clicks")
    show_new_user(scene, pair)
    heading(console, "A halt: one signature takes a product from everybody, from the next request on")
    with open_admin_stub(served.target) as admin:
        show_halt(scene, pair, admin, served.officers)
    heading(console, "Speed under a short load")
    show_speed(scene, served.target, duration_s=settings.load_s)
    heading(console, "Quality on held-out data")
    console.print(make_quality_table(artifacts.run / "metrics.json"))
    say(
        console,
        "  Measured on a model that learned only from what came before; the same users chose its number of\n"
        "  epochs. The served model then learned from everything for as many.",
    )
    return pair.bold_id


def show_speed(scene: Scene, target: str, *, duration_s: float) -> None:
    """Shows latency and requests per second, clients and server on the same machine."""
    domain = "both" if scene.info.learning_product_count else "financial"
    requests = make_pool(scene.dataset, k=10, domain=domain, seed=1)
    with show_step(scene.console, f"driving load for {duration_s:.0f} s"):
        found = measure_speed(target, requests, duration_s=duration_s)
    say(
        scene.console,
        f"  {found.answered_count:,} requests for 10 products by users in the store: "
        f"{found.requests_per_s:,.0f} requests/s\n"
        f"  latency p50 {found.latency_ms_p50:.2f} ms, p95 {found.latency_ms_p95:.2f} ms, "
        f"p99 {found.latency_ms_p99:.2f} ms; "
        f"server CPU {found.server_cpu_us_per_request:,.0f} us per request, "
        f"{_describe_errors(found.error_counts)}\n"
        f"  closed loop, 8 callers in 2 client processes beside the server on {describe_machine().line}",
    )


def _describe_errors(counts: Mapping[str, int]) -> str:
    """Names the failed requests; a busy machine refuses some as OVERLOADED."""
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items())) or "0 errors"


def show_coverage(scene: Scene, user_ids: list[str]) -> None:
    """Shows how many of these customers get k financial products, and what is withheld from how many."""
    batch_count = min(scene.info.batch_count_max, BATCH_COUNT)
    with show_bar(scene.console, "asking for every customer with a risk level", len(user_ids)) as advance:
        found = measure_coverage(scene.stub, user_ids, k=COVERAGE_K, batch_count=batch_count, advance=advance)
    error_count = sum(found.error_counts.values())
    none_count = found.user_count - found.full_count - found.some_count - error_count
    say(
        scene.console,
        f"\n  All {found.user_count:,} customers with a risk level asked for {COVERAGE_K} assets: "
        f"{found.product_count:,} products shown.\n"
        f"  {found.full_count:,} customers ({found.full_share:.1%}) were shown {COVERAGE_K}, "
        f"{found.some_count:,} fewer, {none_count:,} none; {error_count} errors.\n"
        "  Reason codes, by the number of customers from whom each withheld something:",
    )
    for code, count in sorted(found.code_counts.items(), key=lambda entry: (-entry[1], entry[0])):
        say(scene.console, f"    {count:>7,}  {code}")


def show_assumed(source: Mapping[str, Mapping[str, Mapping[str, int]]], console: Console) -> None:
    """Shows each assumed field and in how many rows it was filled."""
    say(console, "  Assumed fields and the number of rows in which each was filled:")
    for table, fields in source["assumed"].items():
        for field, count in sorted(fields.items()):
            say(console, f"    {count:>7,}  {table}.{field}")


def list_rated(dataset: DataSet) -> list[str]:
    """Lists the users who have a risk level in this data set, stated or assumed."""
    return sorted(user for user, profile in dataset.profiles.items() if profile["risk_level"] is not None)


def read_limits(policy: Path) -> dict[int, int]:
    """Reads the highest risk score by risk level from a policy."""
    limits = read_json(policy)["risk_score"]["limit_by_level"]
    return {int(level): int(limit) for level, limit in limits.items()}


def heading(console: Console, text: str) -> None:
    """Writes a heading."""
    console.print(f"\n{text}", style="bold", markup=False, highlight=False, soft_wrap=True)


def say(console: Console, text: str) -> None:
    """Writes a paragraph as it stands."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
