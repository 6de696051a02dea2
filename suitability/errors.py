"""Errors of the suitability package.

SuitabilityError
├── DocumentError                a JSON document cannot be used; the message names the key path
│   ├── PolicyError              the policy cannot be used
│   │   ├── PolicyReadError      the file cannot be read or is too large
│   │   ├── PolicySyntaxError    the bytes are not one JSON object
│   │   ├── PolicyKeyError       a key is unknown, missing or given twice
│   │   ├── PolicyValueError     a value has the wrong type or lies out of range
│   │   └── OverlayError         the overlay cannot be read, or it does not tighten
│   ├── SignatureError           the signatures cannot be read, or they do not hold
│   │   └── SigningKeyError      a private key or the file of public keys cannot be used
│   └── RecordError              a user's or product's record cannot be read
├── WriteError                   a file cannot be written
└── SimulationError              a population cannot be judged, or a gate differs from the definition

`evaluate` raises none of them: what it cannot decide, it denies.
"""

from pathlib import Path
from typing import ClassVar


class SuitabilityError(Exception):
    """Is the root of this package's errors."""


class DocumentError(SuitabilityError):
    """Says that a JSON document cannot be used, with its file where it came from one."""

    document: ClassVar[str] = "document"

    def __init__(self, message: str, path: str = "") -> None:
        """Keeps message and key path, for example `risk_matrix.CN5.3`."""
        super().__init__(message, path)
        self.message = message
        self.path = path
        self.file: Path | None = None

    def __str__(self) -> str:
        """Returns the whole text, for example `policy old.json key level_cap: expected 0..7, got 9`."""
        file = f" {self.file}" if self.file is not None else ""
        key = f" key {self.path}" if self.path else ""
        return f"{self.document}{file}{key}: {self.message}"


class PolicyError(DocumentError):
    """Says that a policy cannot be used."""

    document = "policy"


class PolicyReadError(PolicyError):
    """Says that the policy file cannot be read or is too large."""


class PolicySyntaxError(PolicyError):
    """Says that the bytes are not one JSON object in UTF-8."""


class PolicyKeyError(PolicyError):
    """Says that a key is unknown, missing or given twice."""


class PolicyValueError(PolicyError):
    """Says that a value has the wrong type or lies out of range."""


class OverlayError(PolicyError):
    """Says that an overlay cannot be used: it cannot be read, or it does not tighten."""

    document = "overlay"


class SignatureError(DocumentError):
    """Says that signatures cannot be read, or why they do not hold."""

    document = "signatures"


class SigningKeyError(SignatureError):
    """Says that a private key or the file of public keys cannot be used."""

    document = "keys"


class WriteError(SuitabilityError):
    """Says that a file cannot be written."""


class RecordError(DocumentError):
    """Says that a user's or product's record cannot be read from JSON."""

    document = "record"


class SimulationError(SuitabilityError):
    """Says that a population cannot be judged, or that a gate differs from the definition."""
