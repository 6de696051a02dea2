"""Simulates a policy on a population before anybody signs it: who gains, who loses, and by which rule.

`python -m suitability simulate --policy NEW --against OLD --population DIR`. Both policies are taken to be in
effect: their rules are compared, not their periods.
"""

import argparse
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from suitability.errors import SimulationError
from suitability.policy import Policy, load_policy
from suitability.policy_lint import lint
from suitability.tools.arguments import parse_instant_argument
from suitability.tools.simulate_counts import Counting, Outcome
from suitability.tools.simulate_judges import Judge, SampleCheck, find_judge
from suitability.tools.simulate_population import (
    CHUNK_COUNT,
    Population,
    Rows,
    draw_rows,
    open_population,
    read_profiles,
)

CHECKED_PAIR_COUNT: Final = 2_000
"""Pairs that are judged again with the definition, each under both policies."""
DEFINITION_USER_COUNT: Final = 100
"""Users that the definition judges where no number is given: about a minute at 2,600 products."""
SEED: Final = 1


@dataclass(frozen=True)
class Simulation:
    """Says what was compared, how, and what came of it.

    Attributes:
        new, old: the policies as given.
        new_findings: what lint finds in the new policy.
        population: directory of the population.
        user_count, product_count: how many the population holds; the outcome says how many were judged.
        now: the instant of every verdict.
        channel: sales channel.
        judge: gate or definition.
        checked_pairs: pairs judged again with the definition under both policies, without a difference.
        checked_changed_pairs: those among them whose codes differ between the policies.
        outcome: what was counted.
    """

    new: Policy
    old: Policy
    new_findings: tuple[str, ...]
    population: str
    user_count: int
    product_count: int
    now: datetime
    channel: str
    judge: str
    checked_pairs: int
    checked_changed_pairs: int
    outcome: Outcome


def add_parser(subparsers: Any) -> None:
    """Adds the command `simulate`."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "simulate",
        help="show on a population what a new policy changes",
        description="Judges every user against every product under two policies and says who gains what, who "
        "loses what, and by which reason code. Exit status: 0 judged, 2 an input cannot be used or the gate "
        "differs from the definition.",
    )
    parser.add_argument("--policy", type=Path, required=True, metavar="NEW", help="the policy to judge")
    parser.add_argument("--against", type=Path, required=True, metavar="OLD", help="the policy it replaces")
    parser.add_argument(
        "--population", type=Path, required=True, metavar="DIR", help="profiles.parquet and products.parquet"
    )
    parser.add_argument(
        "--now",
        type=parse_instant_argument,
        help="decision time in RFC 3339 (default: the data's clock, else the system's)",
    )
    parser.add_argument("--channel", default="app", help="sales channel (default: app)")
    parser.add_argument("--users", type=int, metavar="N", help="judge N users drawn at random")
    parser.add_argument("--judge", choices=("auto", "gate", "definition"), default="auto")
    parser.add_argument("--out", type=Path, help="directory for simulate.txt, simulate.json and simulate.png")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns 0.

    Raises:
        SuitabilityError: a policy or the population cannot be used, or the gate differs from the definition.
    """
    from rich.console import Console

    from suitability.tools.simulate_report import require_matplotlib, write_report

    if arguments.out is not None:
        require_matplotlib()
    console = Console(highlight=False, emoji=False, markup=False)
    if not console.is_terminal:
        console.width = 120
    with console.status("judging") as status:
        simulation = simulate(
            load_policy(arguments.policy),
            load_policy(arguments.against),
            arguments.population,
            now=arguments.now,
            channel=arguments.channel,
            user_count=arguments.users,
            judge=arguments.judge,
            report_progress=lambda done, total: status.update(f"judged {done:,} of {total:,} users"),
        )
    write_report(simulation, arguments.out, console)
    return 0


def simulate(
    new: Policy,
    old: Policy,
    population_directory: Path,
    *,
    now: datetime | None = None,
    channel: str = "app",
    user_count: int | None = None,
    judge: str = "auto",
    report_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Simulation:
    """Judges a population under two policies.

    Args:
        new: the policy to judge.
        old: the policy it replaces.
        population_directory: where profiles.parquet and products.parquet are.
        now: the instant of every verdict; None for the data's clock, else the system's.
        channel: sales channel.
        user_count: users to judge, drawn at random; None for all of them, or for DEFINITION_USER_COUNT where
            the definition judges.
        judge: auto, gate or definition.
        report_progress: called with the users judged so far and the users to judge.

    Raises:
        SimulationError: the population cannot be read, or the gate differs from the definition.
    """
    if user_count is not None and user_count < 1:
        raise SimulationError(f"expected at least one user, got {user_count}")
    population = open_population(population_directory)
    moment = now or population.clock or datetime.now(UTC)
    judge_name, judge_chunks = find_judge(judge)
    if judge_name == "definition" and user_count is None:
        user_count = DEFINITION_USER_COUNT
    random = np.random.default_rng(SEED)
    rows = draw_rows(population, user_count, random)
    per_chunk = 0 if judge_name == "definition" else -(-CHECKED_PAIR_COUNT * CHUNK_COUNT // len(rows))
    check = SampleCheck(
        population.products,
        (_in_effect(old, moment), _in_effect(new, moment)),
        moment,
        channel,
        pairs_per_chunk=min(CHECKED_PAIR_COUNT, per_chunk),
        random=random,
    )
    counting = Counting(population.products, old, moment)
    _judge_population(population, rows, judge_chunks, check, counting, report_progress)
    return Simulation(
        new=new,
        old=old,
        new_findings=tuple(lint(new)),
        population=str(population_directory),
        user_count=population.profile_count,
        product_count=len(population.products),
        now=moment,
        channel=channel,
        judge=judge_name,
        checked_pairs=check.checked_count,
        checked_changed_pairs=check.changed_count,
        outcome=counting.finish(),
    )


def _judge_population(
    population: Population,
    rows: Rows,
    judge: Judge,
    check: SampleCheck,
    counting: Counting,
    report_progress: Callable[[int, int], None],
) -> None:
    """Judges chunk by chunk under both policies at once, so that one chunk is in memory at a time."""
    chunks = itertools.tee(read_profiles(population, rows), 3)
    before, after = (
        judge(each, population.products, policy, check.now, check.channel)
        for each, policy in zip(chunks, check.policies, strict=False)
    )
    done = 0
    for profiles, *masks in zip(chunks[2], before, after, strict=True):
        pair = masks[0], masks[1]
        check.check(profiles, rows[done : done + len(profiles)], pair)
        counting.add(profiles, pair)
        done += len(profiles)
        report_progress(done, len(rows))


def _in_effect(policy: Policy, now: datetime) -> Policy:
    """Returns the policy with a period that holds now; a draft's own period may lie ahead."""
    start = now.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return load_policy({**policy.values, "effective_from": start, "effective_to": None})
