"""Test 1: power cuts for the server and for who publishes, at any instant of a publication."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import grpc
from prudence.v1 import recommendation_pb2 as pb

from benchmarks.faults.checker import Checker, learn_both
from benchmarks.faults.figures import FaultTest, Findings, Target, share
from benchmarks.faults.ground import Ground
from benchmarks.faults.server_process import ServerProcess, start_server
from benchmarks.faults.shelf import Shelf
from benchmarks.load.client import METHOD
from benchmarks.machine import ROOT
from index.bundle import read_current

KILL_COUNT: Final = 200
ASKED_COUNT: Final = 20
CALL_S_MAX: Final = 20.0
PUBLISH_S: Final = 0.15
"""About how long a publication takes, from the first byte to the pointer; a reload takes longer."""
PROGRAM: Final = "benchmarks.faults.publisher"


def run(ground: Ground, scale: float, seed: int) -> Findings:
    """Kills server, publisher or both during publications, and looks at what is served after the restart."""
    folder, chance = ground.make_folder("publishing"), random.Random(seed)  # noqa: S311 - no secret.
    served, candidates = Shelf(ground, folder), Shelf(ground, folder / "candidates")
    checker, found = learn_both(ground), Findings()
    settings = ground.settings("--bundle-poll-s", 0.05, bundles=served.bundles)
    server = start_server(folder, settings)
    try:
        for _ in range(share(KILL_COUNT, scale)):
            before, version = read_current(served.bundles).name, candidates.make_next()
            _publish_and_kill(server, candidates.bundles / version, served.bundles, chance)
            server.kill()
            server = start_server(folder, settings)
            found += _look(ground, checker, server, (before, version))
            candidates.drop(version)
            if read_current(served.bundles).name == version:
                served.drop(before)
            else:
                # A copy that the kill cut short stands aside, as an officer would set it.
                served.drop(version)
    finally:
        server.kill()
    return found


def _publish_and_kill(server: ServerProcess, candidate: Path, bundles: Path, chance: random.Random) -> None:
    """Starts a publication, and kills one side or both at an instant drawn over publication and reload."""
    victim = chance.choice(("server", "publisher", "both"))
    command = [sys.executable, "-m", PROGRAM, str(candidate), str(bundles)]
    publisher = subprocess.Popen(  # noqa: S603
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert publisher.stdin is not None
        assert publisher.stdout is not None
        publisher.stdout.readline()  # It has loaded what it needs.
        publisher.stdin.write(b"go\n")
        publisher.stdin.flush()
        time.sleep(chance.uniform(0.0, PUBLISH_S * (1 if victim == "publisher" else 4)))
        if victim != "publisher":
            server.kill()
        if victim != "server":
            publisher.send_signal(signal.SIGKILL)
        publisher.wait(timeout=CALL_S_MAX)
    finally:
        publisher.kill()
        publisher.communicate()


def _look(ground: Ground, checker: Checker, server: ServerProcess, may_serve: tuple[str, str]) -> Findings:
    """Asks the restarted server, and counts what is neither the old bundle's nor the new one's."""
    with grpc.insecure_channel(server.target) as channel:
        call = channel.unary_unary(METHOD, request_serializer=None, response_deserializer=None)
        answers = [
            (question.number, call(question.request, timeout=CALL_S_MAX))
            for question in ground.questions[:ASKED_COUNT]
        ]
    versions = {pb.RecommendResponse.FromString(answer).decision.bundle_version for _, answer in answers}
    counts = {
        "kills": 1,
        "new bundle served": int(versions == {may_serve[1]}),
        "neither old nor new": int(not versions <= set(may_serve) or len(versions) > 1),
    }
    return checker.judge(answers) + Findings(counts, {"ready after, s": server.ready_s})


TEST: Final = FaultTest(
    1,
    "kill -9 while a bundle is published and loaded",
    run,
    {"kills": KILL_COUNT},
    (
        Target("neither old nor new", "==", 0),
        Target("answers of no single bundle", "==", 0),
        Target("suitability violations", "==", 0),
        Target("crossed answers", "==", 0),
        Target("ready after, s", "<", 5.0, "s"),
    ),
    part=0.25,
)
