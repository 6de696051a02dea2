"""Packs a user's history into one value: what a look-up reads at once, and an event replaces.

Little-endian: CRC-32 of what follows, number of events (4 bytes each), their times (float64 each), their
types (a byte each, the place in `EVENT_TYPES`), and their product ids (a list in JSON, UTF-8). Empty without
events.
"""

import json
import struct
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

from index.features import EVENT_TYPES, Event
from server.errors import StoreRowError
from server.users.store import EVENT_COUNT_MAX

_HEAD: Final = struct.Struct("<II")
_COUNT: Final = struct.Struct("<I")
_TIME: Final = struct.Struct("<d")
_PLACES: Final = {name: place for place, name in enumerate(EVENT_TYPES)}

_Order = tuple[float, str, int]
_make_event: Final = partial(tuple.__new__, Event)
"""Makes an event of its fields: in half the time of calling Event, once for each event of a look-up."""


def merge_events(history: Sequence[Event], events: Iterable[Event]) -> list[Event]:
    """Adds events to a history.

    Events that agree in product, type and time are one. Of more than EVENT_COUNT_MAX the oldest go; of those
    at one time, the first by product id, then by place of the type.

    Args:
        history: as this function or `unpack_history` gives it.
        events: in any order.

    Returns:
        the new history, the latest event last.
    """
    merged = list(history)
    for event in events:
        order = _order(event)
        at = bisect_left(merged, order, key=_order)
        if at == len(merged) or _order(merged[at]) != order:
            merged.insert(at, event)
    return merged[-EVENT_COUNT_MAX:]


def pack_history(history: Sequence[Event]) -> bytes:
    """Packs a history of `merge_events`."""
    if not history:
        return b""
    times, types, product_ids = _write_columns(history)
    return _seal(len(history), times + types + product_ids)


def unpack_history(packed: bytes) -> tuple[Event, ...]:
    """Reads a packed history, the latest event last.

    Raises:
        StoreRowError: it is none.
    """
    if not packed:
        return ()
    try:
        count, types_at = _open(packed)
        times = struct.unpack_from(f"<{count}d", packed, _HEAD.size)
        types = map(EVENT_TYPES.__getitem__, packed[types_at : types_at + count])
        product_ids = json.loads(packed[types_at + count :].decode())
        return tuple(map(_make_event, zip(product_ids, types, times, strict=True)))
    except (struct.error, ValueError, TypeError, IndexError, RecursionError) as error:
        raise StoreRowError("history") from error


def add_events(packed: bytes, events: Iterable[Event]) -> bytes:
    """Adds events to a packed history, as `merge_events` has it.

    Raises:
        StoreRowError: it is none.
    """
    added = merge_events((), events)
    if not packed or not added:
        return packed or pack_history(added)
    try:
        count, types_at = _open(packed)
        (latest,) = _TIME.unpack_from(packed, types_at - _TIME.size)
    except (struct.error, ValueError) as error:
        raise StoreRowError("history") from error
    if added[0].event_time <= latest or count + len(added) > EVENT_COUNT_MAX:
        return pack_history(merge_events(unpack_history(packed), added))
    # Mostly what comes is later than all that is there, and goes behind it, column by column: that takes a
    # fifth of reading and writing the whole.
    times, types, product_ids = _write_columns(added)
    ids_at = types_at + count
    times = packed[_HEAD.size : types_at] + times
    types = packed[types_at:ids_at] + types
    return _seal(count + len(added), times + types + packed[ids_at:-1] + b"," + product_ids[1:])


def _write_columns(history: Sequence[Event]) -> tuple[bytes, bytes, bytes]:
    """Returns times, types and product ids."""
    product_ids, types, times = zip(*history, strict=True)
    return (
        struct.pack(f"<{len(history)}d", *times),
        bytes(map(_PLACES.__getitem__, types)),
        json.dumps(product_ids, separators=(",", ":"), ensure_ascii=False).encode(),
    )


def _seal(count: int, columns: bytes) -> bytes:
    """Puts checksum and count before the columns."""
    return _HEAD.pack(zlib.crc32(columns, zlib.crc32(_COUNT.pack(count))), count) + columns


def _open(packed: bytes) -> tuple[int, int]:
    """Returns the number of events and where their types begin.

    Raises:
        ValueError, struct.error: the checksum is another, or there is none.
    """
    checksum, count = _HEAD.unpack_from(packed)
    if zlib.crc32(packed[_COUNT.size :]) != checksum:
        raise ValueError("checksum")
    return count, _HEAD.size + _TIME.size * count


def _order(event: Event) -> _Order:
    return event.event_time, event.product_id, _PLACES[event.event_type]
