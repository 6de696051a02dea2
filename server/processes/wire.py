"""What a supervisor and its processes say to each other: one JSON line each way.

The supervisor writes the settings to the process's standard input and leaves it open: its end means that the
supervisor is gone. The process writes where it is found to its standard output, once it serves.
"""

import json
from dataclasses import dataclass
from typing import Final, Self

from server.config import Settings

COMMAND: Final = "worker"
"""First argument of the command line of a supervised process."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What a process is to do: its number, from 0, and the settings of its own."""

    number: int
    settings: Settings

    def write(self) -> bytes:
        """Returns the line."""
        return (
            json.dumps({"number": self.number, "settings": self.settings.model_dump(mode="json")}).encode()
            + b"\n"
        )

    @classmethod
    def read(cls, line: bytes) -> Self:
        """Reads the line. Raises ValueError: it is none."""
        fields = json.loads(line)
        return cls(int(fields["number"]), Settings.model_validate(fields["settings"]))


@dataclass(frozen=True, slots=True)
class Ready:
    """That a process serves; where its metrics are read, empty for nowhere."""

    metrics_address: str

    def write(self) -> bytes:
        """Returns the line."""
        return json.dumps({"metrics_address": self.metrics_address}).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Self:
        """Reads the line. Raises ValueError: it is none."""
        fields = json.loads(line)
        if not isinstance(fields, dict) or not isinstance(fields.get("metrics_address"), str):
            raise ValueError("expected an object with metrics_address")
        return cls(fields["metrics_address"])
