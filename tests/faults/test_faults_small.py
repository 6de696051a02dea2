"""The fault tests at a small scale, with seeds: every one injects, counts, and finds nothing wrong."""

import time
from collections.abc import Callable
from random import Random

import pytest
from prudence.v1 import recommendation_pb2 as pb

from benchmarks.faults import corruption, malformed
from benchmarks.faults.arguments import Trial, list_cases
from benchmarks.faults.crowd import beside_others
from benchmarks.faults.figures import Findings
from benchmarks.faults.ground import OLD, Ground
from benchmarks.faults.idle import Hangers
from benchmarks.faults.limits import Flood
from benchmarks.faults.malformed import Attack
from benchmarks.faults.numbers import Numbers
from benchmarks.faults.server_process import ServerProcess

SEED = 3
SETTLED_COUNT = 25


def for_ever() -> float:
    return time.monotonic() + 60.0


def zeros(findings: Findings, *names: str) -> None:
    assert {name: findings.counts[name] for name in names} == dict.fromkeys(names, 0)


def test_malformed_messages_and_sockets_are_refused_by_a_row_of_the_table(
    ground: Ground, server: ServerProcess
) -> None:
    attack = Attack(server.target, ground.requests, SEED)
    assert attack.send_messages(600, for_ever()) == 600
    assert attack.open_sockets(40, for_ever()) == 40
    found = attack.findings()
    zeros(found, "hangs", "UNKNOWN", "texts leaked")
    assert found.counts["INVALID_ARGUMENT"] > 300
    assert server.alive


def test_oversize_messages_and_metadata_are_refused(server: ServerProcess) -> None:
    flood = Flood(server.target)
    flood.send(8, for_ever())
    found = flood.findings()
    zeros(found, "oversize calls taken", "refused as something else")
    assert found.counts["oversize calls"] == 8


def test_counts_and_lists_beyond_their_limits_name_the_field(ground: Ground, server: ServerProcess) -> None:
    whole = pb.RecommendRequest.FromString(ground.questions[0].request)
    trial = Trial(server.target, list_cases(whole, ground.product_ids))
    trial.send(1, for_ever())
    assert trial.findings().counts["answered otherwise"] == 0
    assert trial.findings().counts["calls"] > 15


def test_connections_that_say_nothing_are_held_and_given_back(server: ServerProcess) -> None:
    before = settle(server)
    with Hangers(server.target, 40, 5):
        assert wait_for(server, lambda held: held >= before + 45)
    assert wait_for(server, lambda held: held <= before)


def settle(server: ServerProcess) -> int:
    """Returns the descriptors that are left once what earlier tests opened is closed."""
    readings = [server.read_usage().descriptor_count]
    while len(readings) < SETTLED_COUNT or len(set(readings[-SETTLED_COUNT:])) > 1:
        time.sleep(0.02)
        readings.append(server.read_usage().descriptor_count)
    return readings[-1]


def wait_for(server: ServerProcess, holds: Callable[[int], bool]) -> bool:
    until_s = for_ever()
    while not holds(server.read_usage().descriptor_count):
        if time.monotonic() > until_s:
            return False
        time.sleep(0.02)
    return True


def test_damaged_bundles_are_refused_before_a_parser_sees_them(ground: Ground) -> None:
    bundles = ground.copy_bundles(ground.make_folder("corruption"))
    found = corruption.count_opened(bundles / OLD, 3, SEED)
    zeros(found, "opened", "seen by a parser")
    assert found.counts["damaged bundles"] > 60
    zeros(corruption.count_started(ground, bundles, 1, SEED), "served", "crashes")


def test_numbers_that_are_none_are_refused_with_their_field(ground: Ground, server: ServerProcess) -> None:
    numbers = Numbers(ground, server.target)
    numbers.send(1, for_ever())
    found = numbers.findings()
    zeros(found, "odd numbers taken", "numbers lost")
    assert found.counts["rounds"] == 1


def test_others_are_answered_while_a_server_is_attacked(ground: Ground, server: ServerProcess) -> None:
    flood = Flood(server.target)

    def inject(until_s: float) -> bool:
        flood.send(4, until_s)
        return flood.sent_count < 4

    found = beside_others(ground, server, SEED, 0.05, inject)
    zeros(found, "others failed", "suitability violations", "crossed answers", "answers of no single bundle")
    assert found.counts["others answered"] > 10


@pytest.mark.parametrize("seed", [1, 2])
def test_spoiled_messages_depend_on_the_seed_alone(ground: Ground, seed: int) -> None:
    whole = ground.requests[0]
    first, second = (
        [malformed.spoil(whole, chance) for _ in range(20)] for chance in (Random(seed), Random(seed))
    )
    assert first == second
