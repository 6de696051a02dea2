"""Test 8: bytes that are no message on every method, and bytes that are no HTTP/2 on the socket."""

import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import grpc
from prudence.v1 import (
    admin_pb2,
    feedback_pb2,
    profile_service_pb2,
    recommendation_pb2,
    risk_pb2,
)

from benchmarks.faults.crowd import NOTHING_WRONG, beside_others
from benchmarks.faults.figures import FaultTest, Findings, Target, share
from benchmarks.faults.ground import Ground
from benchmarks.faults.server_process import run_server

MESSAGE_COUNT: Final = 100_000
SOCKET_COUNT: Final = 5_000
UNDER_WAY_MAX: Final = 32
HANG_S: Final = 20.0
SOCKET_S: Final = 0.02
_FILES: Final = (admin_pb2, feedback_pb2, profile_service_pb2, recommendation_pb2, risk_pb2)
METHODS: Final = (
    *(
        f"/{service.full_name}/{method.name}"
        for file in _FILES
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ),
    "/grpc.health.v1.Health/Check",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)
_LEAK: Final = re.compile(r"Traceback|[A-Z][a-z]+Error\b|Exception|\.py\b|0x[0-9a-f]{6,}")
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTINGS: Final = b"\0\0\0\4\0\0\0\0\0"

if TYPE_CHECKING:  # The classes of grpc are generic only to the type checker.
    Future = grpc.Future[bytes]


class Attack:
    """Malformed calls and connections to one server, drawn from one seed."""

    def __init__(self, target: str, whole: Sequence[bytes], seed: int) -> None:
        """Sends nothing yet.

        Args:
            target: the server.
            whole: sound messages to spoil.
            seed: draws everything.
        """
        self._target = target
        self._whole = whole
        self._random = random.Random(seed)  # noqa: S311 - nothing here is a secret.
        self._slots = threading.BoundedSemaphore(UNDER_WAY_MAX)
        self._counts: Counter[str] = Counter()

    def send_messages(self, count: int, until_s: float) -> int:
        """Sends malformed messages to every method in turn; returns how many were sent in time."""
        sent = 0
        with grpc.insecure_channel(self._target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            calls = [
                channel.unary_unary(method, request_serializer=None, response_deserializer=None)
                for method in METHODS
            ]
            while sent < count and time.monotonic() < until_s:
                self._slots.acquire()
                data = spoil(self._random.choice(self._whole), self._random)
                calls[sent % len(calls)].future(data, timeout=HANG_S).add_done_callback(self._end)
                sent += 1
            for _ in range(UNDER_WAY_MAX):
                self._slots.acquire()
        for _ in range(UNDER_WAY_MAX):
            self._slots.release()
        return sent

    def open_sockets(self, count: int, until_s: float) -> int:
        """Sends what is no HTTP/2 over connections of their own; returns how many were opened in time."""
        host, _, port = self._target.rpartition(":")
        opened = 0
        while opened < count and time.monotonic() < until_s:
            opened += 1
            try:
                with socket.create_connection((host, int(port)), timeout=HANG_S) as connection:
                    connection.sendall(make_garbage(self._random))
                    connection.settimeout(SOCKET_S)
                    self._look(connection.recv(1 << 16).decode("latin-1"))
            except TimeoutError:
                continue
            except OSError:
                self._counts["connections reset"] += 1
        return opened

    def findings(self) -> Findings:
        """Returns what was counted."""
        names = ("hangs", "UNKNOWN", "texts leaked")
        return Findings(dict.fromkeys(names, 0) | dict(self._counts))

    def _end(self, future: "Future") -> None:
        error = future.exception()
        if error is None:
            self._counts["answered OK"] += 1
        else:
            assert isinstance(error, grpc.Call)
            code = error.code()
            self._counts[code.name] += 1
            self._counts["hangs"] += code is grpc.StatusCode.DEADLINE_EXCEEDED
            self._look(error.details() or "")
        self._slots.release()

    def _look(self, text: str) -> None:
        self._counts["texts leaked"] += bool(_LEAK.search(text))


def spoil(whole: bytes, chance: random.Random) -> bytes:
    """Returns random bytes, random fields, or a sound message with something wrong."""
    kind = chance.randrange(6)
    if kind == 0:
        return chance.randbytes(chance.randrange(1, 400))
    if kind == 1:
        return b"".join(_random_field(chance) for _ in range(chance.randrange(1, 12)))
    data = bytearray(whole)
    if kind == 2:
        return bytes(data[: chance.randrange(len(data))])
    if kind == 3:
        start = chance.randrange(len(data))
        return bytes(data[:start]) + chance.randbytes(8) + bytes(data[start:])
    if kind == 4:
        # Messages in messages, far deeper than any parser follows.
        for _ in range(chance.randrange(90, 200)):
            data = bytearray(b"\x12" + _varint(len(data)) + data)
        return bytes(data)
    for _ in range(chance.randrange(1, 9)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def make_garbage(chance: random.Random) -> bytes:
    """Returns bytes that begin like HTTP/2, HTTP/1, TLS or nothing, and go wrong."""
    noise = chance.randbytes(chance.randrange(1, 600))
    frames = b"".join(_random_frame(chance) for _ in range(chance.randrange(1, 20)))
    return chance.choice(
        (
            noise,
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + noise,
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + noise,
            _PREFACE[: chance.randrange(len(_PREFACE))],
            _PREFACE + _SETTINGS + noise,
            _PREFACE + _SETTINGS + frames,
            _PREFACE + frames,
        )
    )


def _random_frame(chance: random.Random) -> bytes:
    """Returns one frame of a known or unknown type, whose length may lie."""
    payload = chance.randbytes(chance.choice((0, 1, 4, 8, 100)))
    length = chance.choice((len(payload), len(payload), 0, 0xFFFFFF))
    kind, flags = chance.randrange(12), chance.randrange(256)
    stream = chance.choice((0, 1, 2, 3, 0x7FFFFFFF))
    return length.to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _random_field(chance: random.Random) -> bytes:
    """Returns a tag of a random field and wire type, with a value that may not be one."""
    tag = _varint(chance.randrange(1, 40) << 3 | chance.randrange(8))
    value = chance.choice(
        (_varint(chance.getrandbits(64)), b"\xff" * 11, _varint(chance.getrandbits(31)), chance.randbytes(8))
    )
    return tag + value + chance.randbytes(chance.randrange(20))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def run(ground: Ground, scale: float, seed: int) -> Findings:
    """Sends both kinds beside other callers, to a server that keeps users and events."""
    folder = ground.make_folder("malformed")
    settings = ground.settings("--store", ground.copy_store(folder), "--feedback-log", folder / "log")
    messages, sockets = share(MESSAGE_COUNT, scale), share(SOCKET_COUNT, scale)
    sent = opened = 0
    with run_server(folder, settings) as server:
        attack = Attack(server.target, ground.requests, seed)

        def inject(until_s: float) -> bool:
            nonlocal sent, opened
            sent += attack.send_messages(messages - sent, until_s)
            if sent == messages:
                opened += attack.open_sockets(sockets - opened, until_s)
            return opened < sockets

        found = beside_others(ground, server, seed, scale, inject)
        crashed = 0 if server.alive else 1
        internal = server.read_log().count("request failed")
    counts = {"messages": sent, "connections": opened, "crashes": crashed, "internal errors": internal}
    return found + attack.findings() + Findings(counts)


TEST: Final = FaultTest(
    8,
    "malformed messages, and bytes that are no HTTP/2",
    run,
    {"messages": MESSAGE_COUNT, "connections": SOCKET_COUNT},
    (
        Target("crashes", "==", 0),
        Target("hangs", "==", 0),
        Target("UNKNOWN", "==", 0),
        Target("texts leaked", "==", 0),
        *NOTHING_WRONG,
    ),
    part=0.2,
)
