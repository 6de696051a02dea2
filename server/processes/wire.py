"""What a supervisor and its processes say to each other: one JSON line each, over standard input and output.

The supervisor begins with the settings, and leaves the pipe open: its end means that the supervisor is gone.
A process says that it is about to serve and that it serves. Between the two, and for as long as it serves,
it follows the logs that all processes share: whoever has a record to write sends it to the supervisor, which
alone writes, has all others follow, and only then answers (`order_desk.py`). What takes long to bring into
force is prepared by all before it is written (`preparations.py`). Whoever serves is asked every second
whether it lives (`heartbeat.py`).
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Final, Literal, Self

from pydantic import Field, TypeAdapter

from server.config import Settings

COMMAND: Final = "worker"
"""First argument of the command line of a supervised process."""
LINE_BYTES_MAX: Final = 16 << 20
"""A record holds a message of at most 1 MiB, and its text twice escaped."""


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
class Joining:
    """That a process has read the shared logs and is about to serve: from now on it follows them."""

    kind: Literal["joining"] = "joining"


@dataclass(frozen=True, slots=True)
class Ready:
    """That a process serves; where its metrics are read, empty for nowhere."""

    metrics_address: str
    kind: Literal["ready"] = "ready"


@dataclass(frozen=True, slots=True)
class Append:
    """Asks for a record to be written after the last one that the process has followed.

    Where it `follows`, it is told to bring the record into force like all others, and is waited for.
    """

    log: str
    after: int
    texts: Mapping[str, str]
    follows: bool = False
    kind: Literal["append"] = "append"


@dataclass(frozen=True, slots=True)
class Followed:
    """That a log is in force in a process up to a sequence."""

    log: str
    sequence: int
    kind: Literal["followed"] = "followed"


@dataclass(frozen=True, slots=True)
class Follow:
    """Tells a process to bring a log into force up to a sequence."""

    log: str
    sequence: int
    kind: Literal["follow"] = "follow"


@dataclass(frozen=True, slots=True)
class Appended:
    """That a record is on disk and in force in every process that was to follow it."""

    log: str
    sequence: int
    kind: Literal["appended"] = "appended"


@dataclass(frozen=True, slots=True)
class NotAppended:
    """That a record was not written: because another one came first (`busy`), or the file failed."""

    log: str
    busy: bool
    problem: str
    kind: Literal["not_appended"] = "not_appended"


@dataclass(frozen=True, slots=True)
class Prepare:
    """Asks all to prepare for a record, and then each: the supervisor gives it a number."""

    log: str
    texts: Mapping[str, str]
    number: int = 0
    kind: Literal["prepare"] = "prepare"


@dataclass(frozen=True, slots=True)
class Prepared:
    """That a process is prepared, then that all are; or why not, or that another is under way (`busy`)."""

    log: str
    number: int = 0
    busy: bool = False
    problem: str = ""
    kind: Literal["prepared"] = "prepared"


@dataclass(frozen=True, slots=True)
class Release:
    """That what was prepared for is over: asked by whoever began it, then told to each."""

    log: str
    kind: Literal["release"] = "release"


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks a process that serves whether it lives."""

    kind: Literal["ping"] = "ping"


@dataclass(frozen=True, slots=True)
class Pong:
    """That a process lives; and which batch of calls it is at, none while no call waits to be computed."""

    batch: int | None
    kind: Literal["pong"] = "pong"


FromProcess = Joining | Ready | Append | Followed | Prepare | Prepared | Release | Pong
ToProcess = Follow | Appended | NotAppended | Prepare | Prepared | Release | Ping
_FROM_PROCESS: Final = TypeAdapter[FromProcess](Annotated[FromProcess, Field(discriminator="kind")])
_TO_PROCESS: Final = TypeAdapter[ToProcess](Annotated[ToProcess, Field(discriminator="kind")])


def write(message: FromProcess | ToProcess) -> bytes:
    """Returns the line of a message."""
    return json.dumps(asdict(message)).encode() + b"\n"


def read_from_process(line: bytes) -> FromProcess:
    """Reads what a process said. Raises ValueError: it is no message of ours."""
    return _FROM_PROCESS.validate_json(line)


def read_to_process(line: bytes) -> ToProcess:
    """Reads what the supervisor said. Raises ValueError: it is no message of ours."""
    return _TO_PROCESS.validate_json(line)
