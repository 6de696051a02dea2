"""Makes further versions of the ground's two bundles, each younger than the one before, sound or spoiled."""

import dataclasses
import itertools
import json
import random
import shutil
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from benchmarks.faults.ground import NEW, OLD, Ground
from benchmarks.faults.server_process import ServerProcess
from index.bundle import examine_bundle, write_current
from index.manifest import MANIFEST, SIGNATURES

WAIT_S: Final = 30.0
LOOK_S: Final = 0.02


class Shelf:
    """A folder of bundles that a server follows; versions are named after what they are copies of."""

    def __init__(self, ground: Ground, folder: Path) -> None:
        """Copies the two bundles; the old one is current."""
        self.bundles = ground.copy_bundles(folder)
        self._newest = max(examine_bundle(self.bundles / kind)[0].created for kind in (OLD, NEW))
        self._made = itertools.count(1)
        self._kind = OLD

    def make_next(self, *, older: bool = False) -> str:
        """Makes a younger copy of the other bundle, or one older than all, and returns its version."""
        number, kind = next(self._made), NEW if self._kind == OLD else OLD
        version = f"{kind}-{number:04}"
        source, _ = examine_bundle(self.bundles / kind)
        shutil.copytree(self.bundles / kind, self.bundles / version)
        # Nothing from more than a day ahead is served.
        created = self._newest + (-timedelta(days=1) if older else timedelta(seconds=number))
        draft = dataclasses.replace(source, bundle_version=version, create_time=created.isoformat())
        (self.bundles / version / MANIFEST).write_bytes(draft.to_json())
        (self.bundles / version / SIGNATURES).unlink(missing_ok=True)
        if not older:
            self._kind = kind
        return version

    def make_spoiled(self, chance: random.Random) -> str:
        """Makes a younger bundle with one flipped bit or a file cut short, and returns its version."""
        kind = self._kind
        version = self.make_next()
        self._kind = kind
        path = chance.choice(sorted((self.bundles / version).iterdir()))
        content = bytearray(path.read_bytes())
        if chance.randrange(2):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        else:
            del content[chance.randrange(len(content)) :]
        path.write_bytes(content)
        return version

    def publish(self, version: str) -> None:
        """Points CURRENT at a version."""
        write_current(self.bundles, version)

    def drop(self, version: str) -> None:
        """Removes a version that serves no more."""
        shutil.rmtree(self.bundles / version, ignore_errors=True)


def read_told(server: ServerProcess, event: str) -> list[dict[str, Any]]:
    """Returns the lines of the server's log that tell of an event."""
    lines = [line for line in server.read_log().splitlines() if f'"{event}"' in line]
    return [json.loads(line) for line in lines]


def wait_until(is_so: Callable[[], bool], patience_s: float = WAIT_S) -> bool:
    """Waits until something is so; returns whether it ever was."""
    deadline_s = time.monotonic() + patience_s
    while not is_so():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(LOOK_S)
    return True


def wait_until_told(server: ServerProcess, event: str, version: str) -> bool:
    """Waits until the server has told of an event of a bundle; returns whether it did."""
    return wait_until(lambda: any(line.get("bundle") == version for line in read_told(server, event)))
