"""Errors of the suitability package.

SuitabilityError
└── PolicyError              the policy cannot be used; the message names the key path
    ├── PolicyReadError      the file cannot be read or is too large
    ├── PolicySyntaxError    the bytes are not one JSON object
    ├── PolicyKeyError       a key is unknown, missing or given twice
    └── PolicyValueError     a value has the wrong type or lies out of range

`evaluate` raises none of them: what it cannot decide, it denies.
"""


class SuitabilityError(Exception):
    """Is the root of this package's errors."""


class PolicyError(SuitabilityError):
    """Says that a policy cannot be used."""

    def __init__(self, message: str, path: str = "") -> None:
        """Keeps the key path, for example `risk_matrix.CN5.3`, beside the message."""
        super().__init__(f"policy key {path}: {message}" if path else f"policy: {message}")
        self.path = path


class PolicyReadError(PolicyError):
    """Says that the policy file cannot be read or is too large."""


class PolicySyntaxError(PolicyError):
    """Says that the bytes are not one JSON object in UTF-8."""


class PolicyKeyError(PolicyError):
    """Says that a key is unknown, missing or given twice."""


class PolicyValueError(PolicyError):
    """Says that a value has the wrong type or lies out of range."""
