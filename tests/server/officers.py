"""Three officers with keys, and what they sign: policies and overlays for tests."""

import copy
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from prudence.v1 import admin_pb2

from suitability.overlay import load_overlay
from suitability.policy import default_policy_path, load_policy
from suitability.signatures import (
    KEYS_SCHEMA_NAME,
    Purpose,
    SignatureSet,
    generate_private_key,
    public_key_of,
    sign,
)

ANNA, BO, CEM = "anna-1", "bo-1", "cem-1"
_PRIVATE_KEYS: Final = {key_id: generate_private_key() for key_id in (ANNA, BO, CEM)}
POLICY: Final = json.loads(default_policy_path().read_bytes())


def keys_document(*key_ids: str) -> bytes:
    """Returns the file of public keys; by default of Anna and Bo, so that Cem's key is unknown."""
    keys = [
        public_key_of(_PRIVATE_KEYS[key_id], key_id=key_id, name=key_id.partition("-")[0])
        for key_id in key_ids or (ANNA, BO)
    ]
    return json.dumps({"schema": KEYS_SCHEMA_NAME, "keys": [key.values() for key in keys]}).encode()


def make_policy(**changes: Any) -> bytes:
    """Returns the shipped policy with changes; a double underscore leads into a section."""
    values = copy.deepcopy(POLICY)
    for path, value in changes.items():
        *sections, name = path.split("__")
        place = values
        for section in sections:
            place = place[section]
        assert name in place
        place[name] = value
    return json.dumps(values).encode()


def make_overlay(sequence: int, **changes: Any) -> bytes:
    """Returns an overlay that halts nothing, with changes."""
    values: Mapping[str, Any] = {
        "schema": "suitability-overlay/1",
        "policy_id": POLICY["policy_id"],
        "sequence": sequence,
        "halted_products": [],
        "halted_issuers": [],
        "level_cap": None,
        "reason": "a test",
    }
    assert set(changes) <= set(values)
    return json.dumps({**values, **changes}).encode()


def sign_policy(document: bytes, *key_ids: str, at: datetime | None = None) -> bytes:
    """Returns signatures to activate, by default Anna's and Bo's of now."""
    return _sign(load_policy(document).sha256, Purpose.ACTIVATE, key_ids or (ANNA, BO), at)


def sign_overlay(
    document: bytes, *key_ids: str, purpose: Purpose = Purpose.TIGHTEN, at: datetime | None = None
) -> bytes:
    """Returns signatures on an overlay, by default Anna's of now to tighten."""
    return _sign(load_overlay(document).sha256, purpose, key_ids or (ANNA,), at)


def overlay_request(
    document: bytes, *key_ids: str, purpose: Purpose = Purpose.TIGHTEN
) -> admin_pb2.SetOverlayRequest:
    return admin_pb2.SetOverlayRequest(
        overlay_document=document, signature_document=sign_overlay(document, *key_ids, purpose=purpose)
    )


def policy_request(document: bytes, *key_ids: str) -> admin_pb2.ActivatePolicyRequest:
    return admin_pb2.ActivatePolicyRequest(
        policy_document=document, signature_document=sign_policy(document, *key_ids)
    )


def write_office(folder: Path, policy: bytes | None = None) -> tuple[str, ...]:
    """Writes keys, a signed policy and an empty state folder; returns the settings that name them."""
    state = folder / "state"
    state.mkdir(parents=True)
    policy = make_policy() if policy is None else policy
    (folder / "keys.json").write_bytes(keys_document())
    (folder / "policy.json").write_bytes(policy)
    (folder / "policy.json.sig.json").write_bytes(sign_policy(policy))
    return (
        *("--policy-keys", str(folder / "keys.json")),
        *("--policy-state", str(state)),
        *("--policy", str(folder / "policy.json")),
    )


def _sign(sha256: str, purpose: Purpose, key_ids: tuple[str, ...], at: datetime | None) -> bytes:
    moment = at or datetime.now(UTC)
    signatures = tuple(sign(sha256, purpose, _PRIVATE_KEYS[key_id], key_id, moment) for key_id in key_ids)
    return json.dumps(SignatureSet(purpose, sha256, signatures).values()).encode()
