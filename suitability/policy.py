"""Loads the policy: the numbers and lists that a compliance officer signs.

A policy is one JSON object. Unknown keys, missing keys, duplicate keys, wrong types and values out of range
are refused with the key path. Its identity is the SHA-256 of its canonical bytes (RFC 8785). The shape is
checked here; whether a well-formed policy is a lawful one is `lint`'s question.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from suitability.errors import (
    PolicyError,
    PolicyKeyError,
    PolicyReadError,
    PolicySyntaxError,
    PolicyValueError,
)
from suitability.policy_schema import check_schema

POLICY_BYTES_MAX = 1 << 20


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
        object.__setattr__(self, "values", _frozen(self.values))
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
        PolicyReadError: the file cannot be read or is larger than POLICY_BYTES_MAX.
        PolicySyntaxError: the bytes are not one JSON object in UTF-8.
        PolicyKeyError: a key is unknown, missing or given twice.
        PolicyValueError: a value has the wrong type or lies out of range.
    """
    if isinstance(source, Mapping):
        return Policy(source)
    return Policy(_parse(source if isinstance(source, bytes) else _read(Path(source))))


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


def canonical_bytes(value: object) -> bytes:
    """Returns the RFC 8785 form of nested mappings, lists, texts, integers, booleans and null.

    Raises:
        PolicyValueError: the value holds another type, or a text that UTF-8 cannot hold.
    """
    try:
        form = json.dumps(_ordered(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return form.encode("utf-8")
    except UnicodeEncodeError as error:
        raise PolicyValueError(f"expected text that UTF-8 can hold, {error.reason}") from error


def _ordered(value: object) -> object:
    if isinstance(value, Mapping):
        # RFC 8785 sorts keys by UTF-16 code units, which differs from code points beyond the basic plane.
        names = sorted(value, key=lambda name: str(name).encode("utf-16-be", "surrogatepass"))
        return {name: _ordered(value[name]) for name in names}
    if isinstance(value, (list, tuple)):
        return [_ordered(member) for member in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    raise PolicyValueError(f"expected a JSON value without fractions, got {type(value).__name__}")


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return MappingProxyType({name: _frozen(member) for name, member in value.items()})
    if isinstance(value, (list, tuple)):
        return tuple(_frozen(member) for member in value)
    return value


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(POLICY_BYTES_MAX + 1)
    except OSError as error:
        raise PolicyReadError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > POLICY_BYTES_MAX:
        raise PolicyReadError(f"expected at most {POLICY_BYTES_MAX} bytes in {path}, got more")
    return data


def _parse(data: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise PolicySyntaxError(f"expected JSON in UTF-8, {error}") from error
    if not isinstance(value, dict):
        raise PolicySyntaxError(f"expected one JSON object, got {type(value).__name__}")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for name, value in pairs:
        if name in seen:
            raise PolicyKeyError("expected each key once, got it twice", name)
        seen[name] = value
    return seen


def _refuse_constant(name: str) -> None:
    raise PolicySyntaxError(f"expected a JSON number, got {name}")
