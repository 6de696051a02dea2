"""Lists the bundles of a folder: which serves, which could, and whose manifest is refused already."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from index.errors import BundleError
from index.files import CURRENT
from index.manifest import require_version_name
from server.bundles.machine import Machine
from server.bundles.messages import Facts, Refusal
from server.bundles.opener import Opener, to_refusal
from server.errors import SettingsError

COUNT_MAX: Final = 1000


class Standing(Enum):
    """Where a bundle stands; named as on the wire."""

    SERVING = "serving"
    LOADED = "loaded"
    LOADING = "loading"
    AVAILABLE = "available"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Entry:
    """One bundle of the folder, and what its manifest says or why that is refused."""

    version: str
    standing: Standing
    result: Facts | Refusal
    rolled_back: bool


def list_bundles(folder: Path, opener: Opener, machine: Machine) -> list[Entry]:
    """Returns the bundles of a folder, the youngest first; those refused come last.

    Of more than COUNT_MAX only those are looked at that were put there last.

    Raises:
        OSError: the folder cannot be read.
    """
    found = [path for path in folder.iterdir() if _may_be_bundle(path.name)]
    # Each manifest is read and its signature proven, on one of the few threads that orders need, too.
    found.sort(key=lambda path: path.lstat().st_mtime_ns, reverse=True)
    return sorted((_look(path.name, opener, machine) for path in found[:COUNT_MAX]), key=_age)


def _may_be_bundle(name: str) -> bool:
    try:
        return require_version_name(name) != CURRENT
    except BundleError:
        return False


def _look(version: str, opener: Opener, machine: Machine) -> Entry:
    rolled_back = version in machine.state.rolled_back
    try:
        facts = opener.examine(version)
    except (BundleError, OSError, SettingsError) as error:
        refusal = to_refusal(error)
        assert refusal is not None, "a bundle's errors are reasons"
        return Entry(version, Standing.REFUSED, refusal, rolled_back)
    loaded = machine.loaded
    if version == machine.state.serving.version:
        standing = Standing.SERVING
    elif loaded is not None and loaded[0].version == version:
        standing = Standing.LOADED
    elif version == machine.busy_with:
        standing = Standing.LOADING
    else:
        standing = Standing.AVAILABLE
    return Entry(version, standing, facts, rolled_back)


def _age(entry: Entry) -> tuple[bool, float, str]:
    if isinstance(entry.result, Refusal):
        return True, 0.0, entry.version
    return False, -entry.result.created.timestamp(), entry.version
