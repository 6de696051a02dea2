"""What a call to a Prudence server can end in.

PrudenceError
+-- InputFileError     a file cannot be read or does not hold what it should (the caller's fault)
+-- CallError          the call failed: refused by the server, or the server could not be reached
"""

from dataclasses import dataclass, field


class PrudenceError(Exception):
    """Any fault that the client reports."""


class InputFileError(PrudenceError):
    """A file cannot be read or does not hold what it should."""


@dataclass(frozen=True)
class FieldViolation:
    """One field of the request that the server refused."""

    field: str
    description: str


@dataclass(frozen=True)
class CallFault:
    """What the server said about a failed call, taken out of google.rpc.Status."""

    code: str
    message: str
    reason: str = ""
    request_id: str = ""
    retry_delay_s: float | None = None
    violations: tuple[FieldViolation, ...] = field(default=())


class CallError(PrudenceError):
    """The call failed: refused by the server, or the server could not be reached."""

    def __init__(self, fault: CallFault) -> None:
        super().__init__(_describe(fault))
        self.fault = fault


def _describe(fault: CallFault) -> str:
    lines = [f"{fault.code}{f' {fault.reason}' if fault.reason else ''}: {fault.message}"]
    # The server's message may consist of the one violation; nobody needs to read it twice.
    lines += [
        f"  field {violation.field}: {violation.description}"
        for violation in fault.violations
        if violation.description not in fault.message
    ]
    if fault.retry_delay_s is not None:
        lines.append(f"  retry after {fault.retry_delay_s:g} s")
    if fault.code == "UNIMPLEMENTED":
        where = "administration has a port of its own with --admin-port"
        lines.append(f"  this port does not answer that call; {where}")
    if fault.request_id:
        lines.append(f"  request id {fault.request_id}")
    return "\n".join(lines)
