"""The metrics' port: few connections at a time, and Prometheus is answered whatever others do."""

import socket
import threading
import urllib.request

from prometheus_client import CollectorRegistry, Counter

from server.metrics_port import READER_COUNT_MAX, serve_metrics


def read(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=60) as page:
        return str(page.read().decode())


def count_threads() -> int:
    return sum("process_request" in thread.name for thread in threading.enumerate())


def test_those_who_trickle_keep_no_thread_and_nobody_out() -> None:
    registry = CollectorRegistry()
    Counter("calls", "Calls.", registry=registry).inc()
    with serve_metrics(registry, 0) as address:
        host, _, port = address.rpartition(":")
        silent = [
            socket.create_connection((host, int(port)), timeout=60) for _ in range(READER_COUNT_MAX + 1)
        ]
        # The first was ended for the last.
        assert silent[0].recv(1) == b""
        assert "calls_total 1.0" in read(address)
        assert silent[1].recv(1) == b""
        assert count_threads() <= READER_COUNT_MAX + 1
        for connection in silent:
            connection.close()


def test_what_is_no_request_is_refused_and_the_next_one_answered() -> None:
    with serve_metrics(CollectorRegistry(), 0) as address:
        host, _, port = address.rpartition(":")
        for sent in (b"\x16\x03\x01 noise\n\n", b"GET / HTTP/1.0\r\n" + b"a: b\r\n" * 200 + b"\r\n"):
            with socket.create_connection((host, int(port)), timeout=60) as connection:
                connection.sendall(sent)
                assert b"200 OK" not in connection.recv(1000)
        assert read(address) == ""
