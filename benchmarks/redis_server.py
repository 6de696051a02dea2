"""A redis-server process on a free port, durable as a store must be; it can be killed and started again."""

import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Final, Self

from redis import Redis
from redis.exceptions import RedisError

START_TIMEOUT_S: Final = 20.0


class RedisServer:
    """Runs redis-server over one folder; a context manager."""

    def __init__(self, folder: Path, *, fsync: str = "always", policy: str = "noeviction") -> None:
        """Starts the server.

        Args:
            folder: where it keeps its files.
            fsync: its appendfsync.
            policy: its maxmemory-policy, under a limit that the tests do not reach.
        """
        program = shutil.which("redis-server")
        assert program is not None, "the tests need redis-server: apt-get install -y redis-server"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.folder = folder
        self._command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self._command += ["--appendonly", "yes", "--appendfsync", fsync, "--save", ""]
        self._command += ["--maxmemory", "1gb", "--maxmemory-policy", policy]
        self.start()

    def start(self) -> None:
        """Starts the process and waits until it answers from all that it has on disk."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)  # noqa: S603 - ours.

        deadline_s = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                with Redis(port=self.port) as client:
                    client.ping()
                return
            except RedisError:
                assert time.monotonic() < deadline_s, (self.folder / "log").read_text()
                time.sleep(0.02)

    def kill(self) -> None:
        """Ends the process as a crash does."""
        self._process.kill()
        self._process.wait()

    def empty(self) -> None:
        """Removes everything."""
        with Redis(port=self.port) as client:
            client.flushall()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
