"""Test 6: connections that say nothing, and connections that trickle."""

import socket
import threading
import time
from contextlib import ExitStack
from typing import Final

from benchmarks.faults.checker import Checker
from benchmarks.faults.crowd import NOTHING_WRONG, ROUND_S, Crowd, crowd
from benchmarks.faults.figures import FaultTest, Findings, Target, share
from benchmarks.faults.ground import Ground
from benchmarks.faults.server_process import ServerProcess, run_server

IDLE_COUNT: Final = 1000
TRICKLE_COUNT: Final = 100
PAIR_COUNT: Final = 5
TRICKLE_S: Final = 0.1
SETTLE_S: Final = 10.0
RATE: Final = 60.0
_HELLO: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
_PING: Final = b"\0\0\x08\6\0\0\0\0\0" + bytes(8)


class Hangers:
    """Connections that are open for the length of the block; some send a byte of a frame now and then."""

    def __init__(self, target: str, idle_count: int, trickle_count: int) -> None:
        """Opens nothing yet."""
        host, _, port = target.rpartition(":")
        self._address = (host, int(port))
        self._idle_count, self._trickle_count = idle_count, trickle_count
        self._ended = threading.Event()
        self._held = ExitStack()

    def __enter__(self) -> "Hangers":
        """Opens the connections and begins to trickle."""
        connections = [
            self._held.enter_context(socket.create_connection(self._address))
            for _ in range(self._idle_count + self._trickle_count)
        ]
        for number, connection in enumerate(connections):
            # Half of the idle ones have not even said that they speak HTTP/2.
            if number % 2 or number >= self._idle_count:
                connection.sendall(_HELLO)
        thread = threading.Thread(target=self._trickle, args=(connections[self._idle_count :],), daemon=True)
        thread.start()
        self._held.callback(thread.join)
        self._held.callback(self._ended.set)
        return self

    def __exit__(self, *error: object) -> None:
        self._held.close()

    def _trickle(self, connections: list[socket.socket]) -> None:
        place = 0
        while not self._ended.wait(TRICKLE_S):
            for connection in connections:
                try:
                    connection.sendall(_PING[place : place + 1])
                except OSError:
                    # The server may cut off who pings too often.
                    continue
            place = (place + 1) % len(_PING)


def run(ground: Ground, scale: float, seed: int) -> Findings:
    """Measures the others with and without such connections, in turns."""
    idle, trickle = share(IDLE_COUNT, scale), share(TRICKLE_COUNT, scale)
    count, round_s = share(PAIR_COUNT, scale), max(1.0, ROUND_S / 2 * min(scale, 1.0))
    found = Findings()
    with run_server(ground.make_folder("idle"), ground.settings()) as server:
        checker = Checker(ground.questions)
        checker.learn(server.target)
        before = server.read_usage().descriptor_count
        for pair in range(count):
            with crowd(ground, server, seed + 2 * pair, duration_s=round_s, rate=RATE) as alone:
                pass
            with Hangers(server.target, idle, trickle):
                with crowd(ground, server, seed + 2 * pair + 1, duration_s=round_s, rate=RATE) as beside:
                    pass
                held = server.read_usage().descriptor_count - before
            found += (
                alone.judge(checker) + beside.judge(checker) + _compare(alone, beside, idle + trickle, held)
            )
        left = _settle(server, before)
    return found + Findings(worst={"descriptors left": left})


def _compare(alone: Crowd, beside: Crowd, opened: int, held: int) -> Findings:
    ratio = beside.ended().percentile_ms(99) / alone.ended().percentile_ms(99)
    return Findings(
        {"pairs": 1, "connections opened": opened, "connections held by the server": held},
        samples={"p99, times that without": (ratio,)},
    )


def _settle(server: ServerProcess, before: int) -> float:
    """Returns how many descriptors more than before the server holds, at the latest after a while."""
    deadline_s = time.monotonic() + SETTLE_S
    while (left := server.read_usage().descriptor_count - before) > 0 and time.monotonic() < deadline_s:
        time.sleep(0.1)
    return max(0.0, left)


TEST: Final = FaultTest(
    6,
    "1,000 idle and 100 trickling connections",
    run,
    {"pairs": PAIR_COUNT, "connections opened": PAIR_COUNT * (IDLE_COUNT + TRICKLE_COUNT)},
    (
        Target("p99, times that without", "<", 1.2),
        Target("descriptors left", "==", 0),
        *NOTHING_WRONG,
    ),
)
