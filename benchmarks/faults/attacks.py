"""Test 19: bundles that were made to harm: paths, links, traps for parsers, absurd sizes, no signatures."""

import dataclasses
import hashlib
import io
import json
import os
import random
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from unittest import mock

import numpy as np
import onnx

from benchmarks.faults.checker import Checker
from benchmarks.faults.corruption import PARSER
from benchmarks.faults.crowd import NOTHING_WRONG, crowd
from benchmarks.faults.figures import FaultTest, Findings, Target, share
from benchmarks.faults.ground import OLD, Ground
from benchmarks.faults.server_process import run_server, try_start
from benchmarks.faults.shelf import Shelf, wait_until_told
from index import bundle as bundle_module
from index.bundle import examine_bundle, open_bundle
from index.errors import IndexPackageError
from index.manifest import DIGEST, MANIFEST, SIGNATURES, FileEntry
from index.signing import sign_bundle
from suitability.signatures import (
    KEYS_SCHEMA_NAME,
    KeyRing,
    generate_private_key,
    load_keys,
    private_key_pem,
    public_key_of,
)

ROUND_COUNT: Final = 5
SETTLE_S: Final = 1.0
_VECTORS: Final = "item_vectors.int32.npy"
_TOWER: Final = "user_tower.onnx"

Attack = Callable[[Path], None]
"""Spoils a signed bundle. Whoever does it can write files, and has no publisher's key."""


PAYLOAD: Final = b"cos\nmkdir\n(V/pickle-was-loaded\ntR."
"""A pickle that makes a folder where it is loaded."""


def list_attacks() -> Mapping[str, Attack]:
    """Returns the attacks by name."""
    return {
        "a file named ../": lambda path: _name_file(path, "../outside"),
        "a file with an absolute name": lambda path: _name_file(path, "/etc/passwd"),
        "a file name with NUL": lambda path: _name_file(path, "a\0b"),
        "a symbolic link": _link_softly,
        "a hard link": _link_hard,
        "a pipe": _put_pipe,
        "a folder": lambda path: (path / "more").mkdir(),
        "a file more": lambda path: (path / "weights.pkl").write_bytes(PAYLOAD),
        "external data": _refer_outside,
        "a custom operator": _call_custom_operator,
        "a pickle in an array": _put_pickle,
        "a size of a petabyte": lambda path: _change_entry(path, size=1 << 50),
        "a size below zero": lambda path: _change_entry(path, size=-1),
        "a billion products": lambda path: _reseal(path, product_count=10**9),
        "no signatures": lambda path: (path / SIGNATURES).unlink(),
        "another bundle's signatures": _take_signatures,
        "vectors of somebody else": _forge_vectors,
    }


def attack_files(ground: Ground, folder: Path, keys: KeyRing, key: Path) -> Findings:
    """Opens a bundle after every attack, as a server that asks for signatures does."""
    counts = {"attacks": 0, "opened": 0, "seen by a parser": 0}
    whole = ground.copy_bundles(folder / "signed") / OLD
    sign_bundle(whole, key, "publisher")
    assert open_bundle(whole, keys).signers
    for name, attack in list_attacks().items():
        place = folder / f"attack-{counts['attacks']}"
        target = place / OLD
        shutil.copytree(whole, target)
        attack(target)
        counts["attacks"] += 1
        with mock.patch.object(bundle_module, PARSER, side_effect=AssertionError(name)):
            try:
                open_bundle(target, keys)
            except IndexPackageError:
                pass
            except AssertionError:
                counts["seen by a parser"] += 1
            else:
                counts["opened"] += 1
        shutil.rmtree(place)
    return Findings(counts)


def start_servers(ground: Ground, folder: Path, keys_file: Path, key: Path) -> Findings:
    """Starts a real server on the result of every attack, and counts those that served or broke."""
    bundles = ground.copy_bundles(folder / "started")
    whole = folder / "whole"
    sign_bundle(bundles / OLD, key, "publisher")
    shutil.copytree(bundles / OLD, whole)
    counts = {"servers started": 0, "served": 0, "crashes": 0}
    for attack in list_attacks().values():
        shutil.rmtree(bundles / OLD)
        shutil.copytree(whole, bundles / OLD)
        attack(bundles / OLD)
        status, _ = try_start(folder, ground.settings("--bundle-keys", keys_file, bundles=bundles))
        counts["servers started"] += 1
        counts["served"] += status == 0
        counts["crashes"] += status not in (0, 1)
    return Findings(counts)


def attack_live(ground: Ground, folder: Path, keys_file: Path, key: Path, seed: int) -> Findings:
    """Publishes the result of every attack, and an older bundle, to a server under load."""
    shelf = Shelf(ground, folder / "live")
    sign_bundle(shelf.bundles / OLD, key, "publisher")
    settings = ground.settings("--bundle-keys", keys_file, "--bundle-poll-s", 0.05, bundles=shelf.bundles)
    checker, attacks = Checker(ground.questions), [*list_attacks().values(), None]
    random.Random(seed).shuffle(attacks)  # noqa: S311 - nothing here is a secret.
    with run_server(folder, settings) as server:
        checker.learn(server.target)
        refused = 0
        with crowd(ground, server, seed, duration_s=SETTLE_S * len(attacks)) as others:
            for attack in attacks:
                version = shelf.make_next(older=attack is None)
                sign_bundle(shelf.bundles / version, key, "publisher")
                if attack is not None:
                    attack(shelf.bundles / version)
                shelf.publish(version)
                refused += wait_until_told(server, "bundle refused", version)
                time.sleep(SETTLE_S / 5)
        broken = 0 if server.alive else 1
    counts = {
        "live attacks": len(attacks),
        "live attacks not refused": len(attacks) - refused,
        "crashes": broken,
    }
    return others.judge(checker) + Findings(counts)


def make_keys(folder: Path) -> tuple[Path, Path]:
    """Makes a publisher's key; returns the file of public keys and that of the private one."""
    private = generate_private_key()
    key, keys_file = folder / "publisher.pem", folder / "publishers.json"
    key.write_bytes(private_key_pem(private))
    key.chmod(0o600)
    entry = public_key_of(private, key_id="publisher", name="Publisher").values()
    keys_file.write_text(json.dumps({"schema": KEYS_SCHEMA_NAME, "keys": [entry]}), encoding="utf-8")
    return keys_file, key


def run(ground: Ground, scale: float, seed: int) -> Findings:
    """Attacks files, starts and a running server."""
    found = Findings()
    for number in range(share(ROUND_COUNT, scale)):
        folder = ground.make_folder("attacks")
        keys_file, key = make_keys(folder)
        found += attack_files(ground, folder, load_keys(keys_file), key)
        found += start_servers(ground, folder, keys_file, key)
        found += attack_live(ground, folder, keys_file, key, seed * 1000 + number)
        found += Findings({"rounds": 1, "pickles loaded": int(Path("/pickle-was-loaded").exists())})
        shutil.rmtree(folder)
    return found


def _read_manifest(path: Path) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((path / MANIFEST).read_bytes())
    return body


def _write_manifest(path: Path, body: dict[str, Any]) -> None:
    """Writes a manifest with a digest of itself that holds, as far as its writer can compute it."""
    body.pop(DIGEST, None)
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    body[DIGEST] = hashlib.sha256(text).hexdigest()
    (path / MANIFEST).write_text(json.dumps(body), encoding="utf-8")


def _name_file(path: Path, name: str) -> None:
    body = _read_manifest(path)
    body["files"][name] = body["files"][_VECTORS]
    _write_manifest(path, body)


def _change_entry(path: Path, **values: int) -> None:
    body = _read_manifest(path)
    body["files"][_VECTORS] |= values
    _write_manifest(path, body)


def _reseal(path: Path, files: Mapping[str, bytes] | None = None, **values: Any) -> None:
    """Writes files and a manifest that fits them; only the signatures do not hold any more."""
    manifest, _ = examine_bundle(path)
    entries = dict(manifest.files)
    for name, content in (files or {}).items():
        (path / name).write_bytes(content)
        entries[name] = FileEntry(len(content), hashlib.sha256(content).hexdigest())
    (path / MANIFEST).write_bytes(dataclasses.replace(manifest, files=entries, **values).to_json())


def _link_softly(path: Path) -> None:
    outside = path.parent / f"{path.name}.outside"
    (path / _VECTORS).rename(outside)
    (path / _VECTORS).symlink_to(outside)


def _link_hard(path: Path) -> None:
    outside = path.parent / f"{path.name}.outside"
    outside.unlink(missing_ok=True)
    outside.hardlink_to(path / _VECTORS)


def _put_pipe(path: Path) -> None:
    (path / _VECTORS).unlink()
    os.mkfifo(path / _VECTORS)


def _refer_outside(path: Path) -> None:
    model = onnx.load_from_string((path / _TOWER).read_bytes())
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")
    _reseal(path, {_TOWER: model.SerializeToString()})


def _call_custom_operator(path: Path) -> None:
    model = onnx.load_from_string((path / _TOWER).read_bytes())
    model.graph.node[0].op_type, model.graph.node[0].domain = "Shell", "custom.operators"
    model.opset_import.add(domain="custom.operators", version=1)
    _reseal(path, {_TOWER: model.SerializeToString()})


def _put_pickle(path: Path) -> None:
    buffer = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": (1,)}
    np.lib.format.write_array_header_1_0(buffer, header)
    _reseal(path, {_VECTORS: buffer.getvalue() + PAYLOAD})


def _take_signatures(path: Path) -> None:
    body = json.loads((path / SIGNATURES).read_bytes())
    for name in [name for name in body if "sha256" in name]:
        body[name] = "0" * 64
    (path / SIGNATURES).write_text(json.dumps(body), encoding="utf-8")


def _forge_vectors(path: Path) -> None:
    content = bytearray((path / _VECTORS).read_bytes())
    content[-16:] = bytes(16)
    _reseal(path, {_VECTORS: bytes(content)})


TEST: Final = FaultTest(
    19,
    "bundles made to harm, at a start and published live",
    run,
    {"rounds": ROUND_COUNT},
    (
        Target("opened", "==", 0),
        Target("seen by a parser", "==", 0),
        Target("served", "==", 0),
        Target("live attacks not refused", "==", 0),
        Target("pickles loaded", "==", 0),
        Target("crashes", "==", 0),
        *NOTHING_WRONG,
    ),
)
