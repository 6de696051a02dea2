"""Loads the policy: the numbers and lists that a compliance officer signs.

A policy is one JSON object. Unknown keys, missing keys, duplicate keys, wrong types and values out of range
are refused with the key path. Its identity is the SHA-256 of its canonical bytes (RFC 8785). The shape is
checked here; whether a well-formed policy is a lawful one is `lint`'s question.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from suitability.errors import PolicyError
from suitability.json_documents import canonical_bytes, errors_naming, frozen, read_document
from suitability.policy_schema import check_schema


@dataclass(frozen=True)
class Policy:
    """Holds a policy whose shape was checked; equal when the canonical bytes are equal.

    Attributes:
        values: the policy as a read-only mapping (lists are tuples).
        canonical: RFC 8785 bytes, as they are stored in a bundle.
        sha256: identity, lower-case hexadecimal.
    """

    values: Mapping[str, Any] = field(compare=False)
    canonical: bytes = field(init=False, repr=False)
    sha256: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Checks the shape, so that no unchecked Policy exists. Raises: PolicyError."""
        check_schema(self.values)
        canonical = canonical_bytes(self.values)
        object.__setattr__(self, "values", frozen(self.values))
        object.__setattr__(self, "canonical", canonical)
        object.__setattr__(self, "sha256", hashlib.sha256(canonical).hexdigest())

    @property
    def policy_id(self) -> str:
        """Returns the policy's name."""
        return str(self.values["policy_id"])

    @property
    def version(self) -> str:
        """Returns the policy's version."""
        return str(self.values["version"])


def default_policy_path() -> Path:
    """Returns the path of the policy shipped with the package."""
    return Path(__file__).with_name("policy.default.json")


def load_policy(source: str | Path | bytes | Mapping[str, Any]) -> Policy:
    """Loads a policy from a path, its bytes or an already parsed mapping.

    Raises:
        PolicyReadError: the file cannot be read or is larger than DOCUMENT_BYTES_MAX.
        PolicySyntaxError: the bytes are not one JSON object in UTF-8.
        PolicyKeyError: a key is unknown, missing or given twice.
        PolicyValueError: a value has the wrong type or lies out of range.
    """
    if isinstance(source, Mapping):
        return Policy(source)
    with errors_naming(source):
        return Policy(read_document(source))


def policy_values(policy: Policy | Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the plain mapping of a policy."""
    return policy.values if isinstance(policy, Policy) else policy


def well_formed(policy: object) -> bool:
    """Tells whether a policy has the right shape; a Policy has been checked, a mapping is checked now."""
    if isinstance(policy, Policy):
        return True
    try:
        check_schema(policy)
    except PolicyError:
        return False
    return True
