"""The bytes of a segment: a header, then blocks; each block is what one write made durable together.

    segment  magic "PRUDLOG" 1 | log id, 16 bytes | sequence before its first block, uint64 | CRC32C of these
    block    magic | kind, uint8 | sequence, uint64 | length, uint32 | CRC32C of the payload | CRC32C of these
             payload: JSON lines in UTF-8, so that the magic, which is none, never stands in it

All numbers are little-endian. Sequences rise by one from block to block and from segment to segment, so that
a missing block is noticed. A block that a crash cut short can only be the last one of the last segment: when
any block follows what cannot be read, bytes have changed that were acknowledged, and no repair is right.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from google_crc32c import value as crc32c

from server.errors import FeedbackStateError

SEGMENT_HEADER: Final = struct.Struct("<8s16sQI")
BLOCK_HEADER: Final = struct.Struct("<4sBQIII")
PAYLOAD_BYTES_MAX: Final = 64 << 20
"""No block is longer; a length above it is none."""

_SEGMENT_MAGIC: Final = b"PRUDLOG\x01"
_BLOCK_MAGIC: Final = b"\xffB\xfe\x01"
_CRC: Final = struct.Struct("<I")


class BlockKind(IntEnum):
    """What the lines of a block are."""

    EVENTS = 1
    ANSWERS = 2


_KINDS: Final = frozenset(BlockKind)


@dataclass(frozen=True, slots=True)
class Block:
    """One block: its lines, each with its end, or no byte where an erasure took all of them."""

    kind: BlockKind
    sequence: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class SegmentContent:
    """A segment as it was read; `size` is where its last whole block ends."""

    log_id: str
    sequence_before: int
    blocks: tuple[Block, ...]
    size: int

    @property
    def sequence(self) -> int:
        """Sequence of its last block, or of the one before it."""
        return self.blocks[-1].sequence if self.blocks else self.sequence_before


def write_header(log_id: str, sequence_before: int) -> bytes:
    """Writes the header of a segment.

    Args:
        log_id: id of the log, 32 hexadecimal digits.
        sequence_before: sequence of the last block before it, 0 for the first segment.
    """
    head = SEGMENT_HEADER.pack(_SEGMENT_MAGIC, bytes.fromhex(log_id), sequence_before, 0)[: -_CRC.size]
    return head + _CRC.pack(crc32c(head))


def write_block(block: Block) -> bytes:
    """Writes a block."""
    if len(block.payload) > PAYLOAD_BYTES_MAX:
        raise ValueError(f"payload: expected at most {PAYLOAD_BYTES_MAX} bytes, got {len(block.payload)}")
    fields = (block.kind, block.sequence, len(block.payload), crc32c(block.payload), 0)
    head = BLOCK_HEADER.pack(_BLOCK_MAGIC, *fields)[: -_CRC.size]
    return head + _CRC.pack(crc32c(head)) + block.payload


def read_segment(data: bytes, name: str, *, last: bool) -> SegmentContent:
    """Reads a segment.

    Args:
        data: its bytes.
        name: of the file, for messages.
        last: whether it is the log's last one, whose last block may be torn; it begins at `size` then.

    Raises:
        FeedbackStateError: it is no segment, of another version, or corrupt; names the file and the offset.
    """
    log_id, sequence_before = _read_header(data, name)
    blocks: list[Block] = []
    offset, sequence = SEGMENT_HEADER.size, sequence_before
    while offset < len(data):
        block = _read_block(data, offset)
        if block is None:
            if last and not _holds_block(data, offset + 1):
                break
            raise FeedbackStateError(f"{name}: corrupt at offset {offset}: no whole block {sequence + 1}")
        sequence += 1
        if block.sequence != sequence:
            problem = f"expected block {sequence}, got block {block.sequence}"
            raise FeedbackStateError(f"{name}: corrupt at offset {offset}: {problem}")
        blocks.append(block)
        offset += BLOCK_HEADER.size + len(block.payload)
    return SegmentContent(log_id, sequence_before, tuple(blocks), offset)


def _read_header(data: bytes, name: str) -> tuple[str, int]:
    # A segment is put in place with its header: a crash leaves none without.
    if len(data) < SEGMENT_HEADER.size:
        raise FeedbackStateError(
            f"{name}: corrupt at offset 0: expected a header of {SEGMENT_HEADER.size} bytes, got {len(data)}"
        )
    magic, log_id, sequence_before, crc = SEGMENT_HEADER.unpack_from(data)
    if magic[:7] == _SEGMENT_MAGIC[:7] and magic != _SEGMENT_MAGIC:
        raise FeedbackStateError(f"{name}: expected format {_SEGMENT_MAGIC[7]}, got {magic[7]}")
    if magic != _SEGMENT_MAGIC or crc != crc32c(data[: SEGMENT_HEADER.size - _CRC.size]):
        raise FeedbackStateError(f"{name}: corrupt at offset 0: not the header of a segment")
    return log_id.hex(), sequence_before


def _read_block(data: bytes, offset: int) -> Block | None:
    """Reads the block at an offset; None where no whole one is."""
    found = _read_block_header(data, offset)
    if found is None:
        return None
    kind, sequence, length, payload_crc = found
    start = offset + BLOCK_HEADER.size
    payload = data[start : start + length]
    if len(payload) != length or crc32c(payload) != payload_crc:
        return None
    return Block(kind, sequence, payload)


def _read_block_header(data: bytes, offset: int) -> tuple[BlockKind, int, int, int] | None:
    head = data[offset : offset + BLOCK_HEADER.size]
    if len(head) < BLOCK_HEADER.size:
        return None
    magic, kind, sequence, length, payload_crc, crc = BLOCK_HEADER.unpack(head)
    if magic != _BLOCK_MAGIC or crc != crc32c(head[: -_CRC.size]):
        return None
    if length > PAYLOAD_BYTES_MAX or kind not in _KINDS:
        return None
    return BlockKind(kind), sequence, length, payload_crc


def _holds_block(data: bytes, offset: int) -> bool:
    """Tells whether the header of any block is found from an offset on."""
    while (offset := data.find(_BLOCK_MAGIC, offset)) >= 0:
        if _read_block_header(data, offset) is not None:
            return True
        offset += 1
    return False
