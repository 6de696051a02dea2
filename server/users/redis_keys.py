"""Under which keys the shared store keeps what, and how it writes one event of a history."""

from typing import Final

from index.features import Event
from server.errors import StoreRowError
from server.users.records import EVENT_NUMBERS

FORMAT: Final = 2

READY: Final = b"prudence:ready"  # What the store is: format, keys, whether anything is assumed. JSON.
FILLING: Final = b"prudence:filling"  # The same while an import fills the store, and READY is not there.
VERSION: Final = b"prudence:version"  # The last version given. Integer.
ERASED: Final = b"prudence:erased"  # When each pseudonym was erased. Hash.
LOGS: Final = b"prudence:logs"  # How far each log was applied. Hash.
USER: Final = b"prudence:u:"  # A user's state, by pseudonym. JSON.
HISTORY: Final = b"prudence:h:"  # A user's events, by time. Sorted set.
HIDDEN: Final = b"prudence:n:"  # What a user said no to, by when. Sorted set.
ANSWERS: Final = b"prudence:a:"  # Answers to a user's idempotency keys. Hash, for ANSWER_DAYS.
EVENT_ID: Final = b"prudence:e:"  # That an event was applied, by the digest of its id; for EVENT_ID_DAYS.

_TYPES: Final = {str(number): name for name, number in EVENT_NUMBERS.items()}
_SEPARATOR: Final = "\x1f"


def write_event(product_id: str, number: int, time_s: float) -> bytes:
    """Writes an event; two that agree in product, type and time are one."""
    return _SEPARATOR.join((product_id, str(number), repr(time_s))).encode()


def read_event(member: bytes) -> Event:
    """Reads what `write_event` wrote.

    Raises:
        StoreRowError: it is none.
    """
    try:
        # Only the product's id may hold the separator.
        product_id, number, time_s = member.decode().rsplit(_SEPARATOR, 2)
        return Event(product_id, _TYPES[number], float(time_s))
    except (ValueError, KeyError) as error:
        raise StoreRowError("history") from error
