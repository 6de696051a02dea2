"""Test 18: callers without the right certificate, and certificates that are replaced under load."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import grpc

from benchmarks.faults.certificates import Authority, write_server_files
from benchmarks.faults.figures import FaultTest, Findings, Target, share
from benchmarks.faults.ground import Ground
from benchmarks.faults.server_process import run_server
from benchmarks.load.client import METHOD, read_reason

ROUND_COUNT: Final = 100
ROTATION_COUNT: Final = 50
CALLER_COUNT: Final = 3
CALLS_OF_CONNECTION: Final = 5
CALL_S_MAX: Final = 10.0
ROTATE_S: Final = 0.3
SHOP, OFFICE = "spiffe://prudence/shop", "spiffe://prudence/office"
CALLERS: Final = {
    "schema": "prudence-callers/1",
    "callers": [
        {"name": SHOP, "roles": ["caller", "profile_source"]},
        {"name": OFFICE, "roles": ["auditor"]},
    ],
}
_OPTIONS: Final = [("grpc.use_local_subchannel_pool", 1)]


def list_misuses(authority: Authority, target: str) -> dict[str, Callable[[], grpc.Channel]]:
    """Returns what opens a channel that the server must refuse, by what is wrong with it."""
    stranger = Authority("stranger")

    def opened(issuer: Authority, *names: str, expired: bool = False) -> Callable[[], grpc.Channel]:
        certificate, key = issuer.issue(*names, expired=expired)
        credentials = grpc.ssl_channel_credentials(authority.pem, key, certificate)
        return lambda: grpc.secure_channel(target, credentials, options=_OPTIONS)

    without = grpc.ssl_channel_credentials(authority.pem)
    return {
        "no certificate": lambda: grpc.secure_channel(target, without, options=_OPTIONS),
        "plaintext": lambda: grpc.insecure_channel(target, options=_OPTIONS),
        "expired": opened(authority, SHOP, expired=True),
        "another authority": opened(stranger, SHOP),
        "a name that nobody knows": opened(authority, "spiffe://prudence/nobody"),
        "no name": opened(authority),
        "two callers' names": opened(authority, SHOP, OFFICE),
        "the name of somebody without the role": opened(authority, OFFICE),
    }


def misuse(misuses: dict[str, Callable[[], grpc.Channel]], question: bytes, round_count: int) -> Findings:
    """Calls in every wrong way; only a refusal is right."""
    accepted: Counter[str] = Counter({"misuses accepted": 0})
    for _ in range(round_count):
        for what, open_channel in misuses.items():
            with open_channel() as channel:
                call = channel.unary_unary(METHOD, request_serializer=None, response_deserializer=None)
                try:
                    call(question, timeout=CALL_S_MAX)
                except grpc.RpcError:
                    continue
            accepted["misuses accepted"] += 1
            accepted[f"accepted: {what}"] += 1
    return Findings({"rounds of misuse": round_count, "misuses": round_count * len(misuses)} | dict(accepted))


class Callers:
    """Callers who open a new connection for every few calls, while the block runs."""

    def __init__(self, target: str, authority: Authority, question: bytes) -> None:
        """Calls nobody yet."""
        certificate, key = authority.issue(SHOP)
        self._target, self._question = target, question
        self._credentials = grpc.ssl_channel_credentials(authority.pem, key, certificate)
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._call_on) for _ in range(CALLER_COUNT)]
        self.reasons: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __enter__(self) -> "Callers":
        """Begins to call."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _call_on(self) -> None:
        while not self._ended.is_set():
            with grpc.secure_channel(self._target, self._credentials, options=_OPTIONS) as channel:
                call = channel.unary_unary(METHOD, request_serializer=None, response_deserializer=None)
                for _ in range(CALLS_OF_CONNECTION):
                    try:
                        call(self._question, timeout=CALL_S_MAX)
                        reason = "OK"
                    except grpc.RpcError as failure:
                        reason = read_reason(failure)
                    with self._lock:
                        self.reasons[reason] += 1


def rotate(authority: Authority, files: dict[str, Path], count: int) -> None:
    """Replaces the server's certificate and its key, one file after the other, so many times."""
    for _ in range(count):
        certificate, key = authority.issue()
        files["tls-certificate"].write_bytes(certificate)
        time.sleep(ROTATE_S / 3)  # Callers meet the half-done rotation, too.
        files["tls-key"].write_bytes(key)
        time.sleep(ROTATE_S * 2 / 3)


def run(ground: Ground, scale: float, seed: int) -> Findings:
    """Misuses TLS beside callers who use it, and rotates certificates under them."""
    folder, authority = ground.make_folder("tls"), Authority(f"authority {seed}")
    files, access = write_server_files(authority, folder), folder / "access.jsonl"
    callers = folder / "callers.json"
    callers.write_text(json.dumps(CALLERS), encoding="utf-8")
    named = [part for name, path in files.items() for part in (f"--{name}", path)]
    settings = ground.settings(*named, "--callers", callers, "--access-log", access)
    question, rotations = ground.questions[0].request, share(ROTATION_COUNT, scale)
    with run_server(folder, settings) as server:
        with Callers(server.target, authority, question) as others:
            found = misuse(list_misuses(authority, server.target), question, share(ROUND_COUNT, scale))
            rotate(authority, files, rotations)
        counts = {
            "rotations": rotations,
            "others answered": others.reasons["OK"],
            "others failed": sum(others.reasons.values()) - others.reasons["OK"],
            "crashes": 0 if server.alive else 1,
        }
        # Whoever was let in has a line of OK in the access log.
        lines = [json.loads(line) for line in access.read_text(encoding="utf-8").splitlines()]
        strangers = sum(
            line["code"] == "OK" and line["caller"] != SHOP for line in lines if METHOD in str(line)
        )
    return found + Findings(counts | {"calls of strangers that reached a handler": strangers})


TEST: Final = FaultTest(
    18,
    "TLS misused in eight ways, rotation under load",
    run,
    {"rounds of misuse": ROUND_COUNT, "rotations": ROTATION_COUNT},
    (
        Target("misuses accepted", "==", 0),
        Target("calls of strangers that reached a handler", "==", 0),
        Target("others failed", "==", 0),
        Target("crashes", "==", 0),
    ),
)
