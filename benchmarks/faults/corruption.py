"""Test 3: a bundle whose files are cut short or have a flipped bit, before a server opens it."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from unittest import mock

from benchmarks.faults.checker import Checker
from benchmarks.faults.crowd import NOTHING_WRONG, crowd
from benchmarks.faults.figures import FaultTest, Findings, Target, share
from benchmarks.faults.ground import OLD, Ground
from benchmarks.faults.server_process import run_server, try_start
from benchmarks.faults.shelf import Shelf, wait_until_told
from index import bundle as bundle_module
from index.bundle import open_bundle
from index.errors import BundleError

CUT_BYTES: Final = 4096
FLIP_COUNT: Final = 500
START_COUNT: Final = 30
LIVE_COUNT: Final = 50
LIVE_S: Final = 0.4
PARSER: Final = "parse_contents"


def list_damages(folder: Path, flip_count: int, seed: int) -> Iterator[tuple[Path, bytes]]:
    """Yields a file and what it is spoiled to: every cut, and random flips over every file."""
    chance = random.Random(seed)  # noqa: S311 - nothing here is a secret.
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        for length in range(0, len(content), CUT_BYTES):
            yield path, content[:length]
        for _ in range(flip_count):
            spoiled = bytearray(content)
            spoiled[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            yield path, bytes(spoiled)


def count_opened(folder: Path, flip_count: int, seed: int) -> Findings:
    """Opens the bundle after every damage, and counts what was not refused, or refused by a parser."""
    tried = opened = parsed = 0
    for path, spoiled in list_damages(folder, flip_count, seed):
        whole = path.read_bytes()
        path.write_bytes(spoiled)
        with mock.patch.object(bundle_module, PARSER, side_effect=AssertionError("a parser saw it")):
            try:
                open_bundle(folder)
            except BundleError:
                pass
            except AssertionError:
                parsed += 1
            else:
                opened += 1
        path.write_bytes(whole)
        tried += 1
    return Findings({"damaged bundles": tried, "opened": opened, "seen by a parser": parsed})


def count_started(ground: Ground, bundles: Path, start_count: int, seed: int) -> Findings:
    """Starts real servers on damaged bundles, and counts those that did anything but refuse."""
    chance, served, crashed = random.Random(seed), 0, 0  # noqa: S311 - nothing here is a secret.
    damages = list(list_damages(bundles / OLD, 2, seed))
    for path, spoiled in chance.sample(damages, min(start_count, len(damages))):
        whole = path.read_bytes()
        path.write_bytes(spoiled)
        status, _ = try_start(bundles.parent, ground.settings(bundles=bundles))
        served += status == 0
        crashed += status not in (0, 1)
        path.write_bytes(whole)
    return Findings({"servers started": min(start_count, len(damages)), "served": served, "crashes": crashed})


def publish_live(ground: Ground, folder: Path, count: int, seed: int) -> Findings:
    """Publishes damaged bundles to a server under load."""
    shelf, checker = Shelf(ground, folder / "live"), Checker(ground.questions)
    chance = random.Random(seed)  # noqa: S311 - nothing here is a secret.
    with run_server(folder, ground.settings("--bundle-poll-s", 0.05, bundles=shelf.bundles)) as server:
        checker.learn(server.target)
        refused = 0
        with crowd(ground, server, seed, duration_s=LIVE_S * count) as others:
            for _ in range(count):
                version = shelf.make_spoiled(chance)
                shelf.publish(version)
                refused += wait_until_told(server, "bundle refused", version)
                shelf.drop(version)
        crashed = 0 if server.alive else 1
    counts = {"published live": count, "live ones not refused": count - refused, "crashes": crashed}
    return others.judge(checker) + Findings(counts)


def run(ground: Ground, scale: float, seed: int) -> Findings:
    """Damages a copy of the bundle in every way, in this process and before real starts."""
    folder = ground.make_folder("corruption")
    bundles = ground.copy_bundles(folder)
    flips = share(FLIP_COUNT, scale)
    found = count_opened(bundles / OLD, flips, seed) + Findings({"flips of every file": flips})
    found += count_started(ground, bundles, share(START_COUNT, scale), seed)
    # What was put back is the bundle that was there before.
    open_bundle(bundles / OLD)
    return found + publish_live(ground, folder, share(LIVE_COUNT, scale), seed)


TEST: Final = FaultTest(
    3,
    "bundle files cut every 4 KiB, and with flipped bits",
    run,
    {"flips of every file": FLIP_COUNT, "servers started": START_COUNT, "published live": LIVE_COUNT},
    (
        Target("opened", "==", 0),
        Target("seen by a parser", "==", 0),
        Target("served", "==", 0),
        Target("crashes", "==", 0),
        Target("live ones not refused", "==", 0),
        *NOTHING_WRONG,
    ),
    part=0.2,
)
