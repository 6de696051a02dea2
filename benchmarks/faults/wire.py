"""A small gRPC client over one HTTP/2 connection (RFC 9113), for loads: it costs far less than grpcio.

The generator shares the machine's cores with the server under test, so what it uses is taken from the server.
Only what a gRPC server answers is understood, and nothing is encrypted.
"""

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import grpc
from google.rpc import error_details_pb2, status_pb2

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _CONTINUATION = 0, 1, 3, 4, 6, 7, 9
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
_REFUSED_STREAM, _CANCEL = 7, 8
_WINDOW_MAX: Final = (1 << 31) - 1
_WINDOW_FIRST: Final = 65_535
_READ_BYTES: Final = 1 << 18
# No table of headers, no pushed streams, the largest windows, and binary trailers as they are (gRPC's own).
_OUR_SETTINGS: Final = ((1, 0), (2, 0), (4, _WINDOW_MAX), (0xFE03, 1))
_STATUS: Final = b"grpc-status"
_DETAILS: Final = b"grpc-status-details-bin"
_CODES: Final = {code.value[0]: code.name for code in grpc.StatusCode}
CONNECTION_LOST: Final = "CONNECTION_LOST"
NOT_SEEN: Final = "NOT_SEEN"
"""The server says that it never looked at the call: every client sends it again, elsewhere or later."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call ended: its stream, OK or the reason, and the answer's bytes."""

    stream: int
    reason: str
    answer: bytes


@dataclass(slots=True)
class _Open:
    """What has come of a call's answer."""

    data: bytearray = field(default_factory=bytearray)
    block: bytearray = field(default_factory=bytearray)
    trailers: dict[bytes, bytes] = field(default_factory=dict)


class Connection:
    """One connection; the caller says when to send and when to read.

    Attributes:
        takes_calls: false once the server has said goodbye, or is gone.
    """

    def __init__(self, target: str, timeout_s: float) -> None:
        """Connects.

        Args:
            target: `host:port`.
            timeout_s: for the connection alone.

        Raises:
            OSError: nobody listens there.
        """
        host, _, port = target.rpartition(":")
        self.socket = socket.create_connection((host.strip("[]"), int(port)), timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(None)
        self._authority = target.encode("ascii")
        self.takes_calls = True
        self._open: dict[int, _Open] = {}
        self._next_stream = 1
        self._unread = b""
        self._taken_bytes = 0
        settings = b"".join(struct.pack(">HI", *each) for each in _OUR_SETTINGS)
        window = struct.pack(">I", _WINDOW_MAX - _WINDOW_FIRST)
        self.socket.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, settings) + _frame(8, 0, 0, window))

    @property
    def is_done(self) -> bool:
        """Whether no more calls will be sent, and none is awaited."""
        return not self.takes_calls and not self._open

    def head(self, method: str) -> bytes:
        """Returns the headers of a method's calls but for the timeout."""
        block = b"\x83\x86"  # POST, http: places of the static table.
        block += b"\x04" + _text(method.encode("ascii")) + b"\x01" + _text(self._authority)
        block += b"\x0f\x10" + _text(b"application/grpc")
        return block + b"\x00" + _text(b"te") + _text(b"trailers")

    def send(self, head: bytes, message: bytes, timeout_s: float) -> int:
        """Sends a call and returns its stream.

        Args:
            head: of the method.
            message: serialized.
            timeout_s: what the server is told.
        """
        stream = self._next_stream
        self._next_stream += 2
        timeout = b"%du" % max(1, min(int(timeout_s * 1e6), 99_999_999))
        block = head + b"\x00" + _text(b"grpc-timeout") + _text(timeout)
        body = b"\x00" + struct.pack(">I", len(message)) + message
        self._open[stream] = _Open()
        self.socket.sendall(
            _frame(_HEADERS, _END_HEADERS, stream, block) + _frame(_DATA, _END_STREAM, stream, body)
        )
        return stream

    def cancel(self, stream: int) -> bool:
        """Cancels a call; tells whether it had not ended."""
        if self._open.pop(stream, None) is None:
            return False
        self.socket.sendall(_frame(_RST_STREAM, 0, stream, struct.pack(">I", _CANCEL)))
        return True

    def read(self) -> Iterator[Ended]:
        """Reads what has come, and yields the calls that ended; all of them where the connection is lost."""
        try:
            received = self.socket.recv(_READ_BYTES)
        except OSError:
            received = b""
        if not received:
            self.takes_calls = False
            yield from self._give_up(0, CONNECTION_LOST)
            return
        data, at = self._unread + received, 0
        while len(data) - at >= 9:
            length = int.from_bytes(data[at : at + 3], "big")
            if len(data) - at - 9 < length:
                break
            kind, flags = data[at + 3], data[at + 4]
            stream = int.from_bytes(data[at + 5 : at + 9], "big") & _WINDOW_MAX
            payload = data[at + 9 : at + 9 + length]
            at += 9 + length
            if kind == _GOAWAY:
                self.takes_calls = False
                yield from self._give_up(int.from_bytes(payload[:4], "big") & _WINDOW_MAX, NOT_SEEN)
            elif (ended := self._take(kind, flags, stream, payload)) is not None:
                yield ended
        self._unread = data[at:]

    def close(self) -> None:
        """Closes the connection."""
        self.socket.close()

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> Ended | None:
        if kind == _SETTINGS and not flags & _ACK:
            self.socket.sendall(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self.socket.sendall(_frame(_PING, _ACK, 0, payload))
        elif kind == _DATA:
            self._return_window(len(payload))
        call = self._open.get(stream)
        if call is None:
            return None
        if kind == _DATA:
            call.data += payload
        elif kind in (_HEADERS, _CONTINUATION):
            assert not flags & (_PADDED | _PRIORITY) or kind == _CONTINUATION, "gRPC servers do not pad"
            call.block += payload
            if flags & _END_HEADERS:
                call.trailers.update(_read_headers(bytes(call.block)))
                call.block.clear()
        elif kind == _RST_STREAM:
            del self._open[stream]
            if int.from_bytes(payload, "big") == _REFUSED_STREAM:
                return Ended(stream, NOT_SEEN, b"")
            return Ended(stream, _find_reason(call) if _STATUS in call.trailers else "CANCELLED", b"")
        if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
            del self._open[stream]
            return Ended(stream, _find_reason(call), bytes(call.data[5:]))
        return None

    def _give_up(self, above: int, reason: str) -> Iterator[Ended]:
        """Ends the calls of streams above a number."""
        for stream in [each for each in self._open if each > above]:
            del self._open[stream]
            yield Ended(stream, reason, b"")

    def _return_window(self, length: int) -> None:
        """Allows the server as much again as has come, now and then."""
        self._taken_bytes += length
        if self._taken_bytes > 1 << 24:
            self.socket.sendall(_frame(8, 0, 0, struct.pack(">I", self._taken_bytes)))
            self._taken_bytes = 0


def _find_reason(call: _Open) -> str:
    code = _CODES.get(int(call.trailers.get(_STATUS, b"2")), "UNKNOWN")
    details = call.trailers.get(_DETAILS, b"")
    if code == "OK" or not details.startswith(b"\x00"):
        return code
    info = error_details_pb2.ErrorInfo()
    if any(each.Unpack(info) for each in status_pb2.Status.FromString(details[1:]).details):
        return str(info.reason)
    return code


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _text(value: bytes) -> bytes:
    assert len(value) < 127, "longer than the client's own headers are"
    return bytes((len(value),)) + value


def _read_headers(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Reads a header block (RFC 7541) of an encoder without a table; what is Huffman-coded comes as it is."""
    at = 0
    while at < len(block):
        first = block[at]
        if first & 0x80:  # A place of the static table, which holds nothing that a call's end needs.
            _, at = _read_number(block, at, 7)
        elif first & 0xE0 == 0x20:  # The size of the table, which is zero.
            _, at = _read_number(block, at, 5)
        else:
            name_at, at = _read_number(block, at, 6 if first & 0x40 else 4)
            name = b""
            if name_at == 0:
                name, at = _read_text(block, at)
            value, at = _read_text(block, at)
            yield name, value


def _read_number(block: bytes, at: int, bits: int) -> tuple[int, int]:
    value, at = block[at] & ((1 << bits) - 1), at + 1
    if value < (1 << bits) - 1:
        return value, at
    shift = 0
    while True:
        value += (block[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if not block[at - 1] & 0x80:
            return value, at


def _read_text(block: bytes, at: int) -> tuple[bytes, int]:
    length, at = _read_number(block, at, 7)
    return block[at : at + length], at + length
