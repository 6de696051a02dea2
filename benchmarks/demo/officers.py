"""Two compliance officers for the length of a demonstration: their keys, a signed policy, signed overlays."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from suitability import load_policy
from suitability.overlay import OVERLAY_SCHEMA_NAME, load_overlay
from suitability.signatures import (
    KEYS_SCHEMA_NAME,
    Purpose,
    SignatureSet,
    generate_private_key,
    public_key_of,
    sign,
)
from suitability.tools.signed_documents import signatures_path

NAMES = ("first officer", "second officer")


@dataclass(frozen=True)
class SignedOverlay:
    """An overlay and the signatures under it, as the server takes them."""

    document: bytes
    signatures: bytes


@dataclass(frozen=True)
class Officers:
    """Two officers whose private keys live as long as this process.

    Attributes:
        policy: a copy of the policy, with both signatures beside it.
        keys: file of their public keys.
        state: folder for the server's policy log.
        policy_id: which policy their overlays are for.
        private_keys: one per officer, by key id.
    """

    policy: Path
    keys: Path
    state: Path
    policy_id: str
    private_keys: Mapping[str, Any]

    def make_overlay(
        self, *, sequence: int, halted_products: Sequence[str], signer_count: int
    ) -> SignedOverlay:
        """Makes an overlay that halts these products: one signer tightens, two may loosen."""
        overlay = load_overlay(
            {
                "schema": OVERLAY_SCHEMA_NAME,
                "policy_id": self.policy_id,
                "sequence": sequence,
                "halted_products": list(halted_products),
                "halted_issuers": [],
                "level_cap": None,
                "reason": "demonstration",
            }
        )
        purpose = Purpose.TIGHTEN if signer_count == 1 else Purpose.LOOSEN
        return SignedOverlay(overlay.canonical, self._sign(overlay.sha256, purpose, signer_count))

    def _sign(self, sha256: str, purpose: Purpose, signer_count: int) -> bytes:
        now = datetime.now(UTC)
        signers = list(self.private_keys.items())[:signer_count]
        signatures = tuple(sign(sha256, purpose, key, key_id, now) for key_id, key in signers)
        return json.dumps(SignatureSet(purpose, sha256, signatures).values()).encode()


def appoint_officers(policy: Path, directory: Path) -> Officers:
    """Makes two key pairs and lets both officers sign a copy of the policy.

    Args:
        policy: the policy to serve under.
        directory: empty folder for keys, policy and log.
    """
    private_keys = {name.replace(" ", "-"): generate_private_key() for name in NAMES}
    public = [
        public_key_of(key, key_id=key_id, name=name).values()
        for (key_id, key), name in zip(private_keys.items(), NAMES, strict=True)
    ]
    keys = directory / "keys.json"
    keys.write_text(json.dumps({"schema": KEYS_SCHEMA_NAME, "keys": public}), encoding="utf-8")
    loaded = load_policy(policy)
    copy = directory / "policy.json"
    shutil.copyfile(policy, copy)
    log = directory / "log"
    log.mkdir()
    officers = Officers(copy, keys, log, loaded.policy_id, private_keys)
    signatures = officers._sign(loaded.sha256, Purpose.ACTIVATE, len(NAMES))
    signatures_path(copy).write_bytes(signatures)
    return officers
