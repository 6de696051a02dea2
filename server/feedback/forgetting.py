"""Takes out of a log, when a server starts, the users whom other servers of its store have erased.

A file beside the segments lists the pseudonyms that were taken out at starts, so that a log is gone through
for those alone that are new.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import structlog

from server.errors import FeedbackLogError, FeedbackStateError, StoreReadError
from server.feedback.disk import Disk

FORGOTTEN: Final = "forgotten"
"""Name of the file; a pseudonym in each line, hexadecimal."""

_log = structlog.get_logger("server")


def forget_erased(
    folder: Path, erased_names: Callable[[], Iterable[bytes]], purge: Callable[[frozenset[str]], None]
) -> None:
    """Removes the erased users of a store from a log that is open.

    Args:
        folder: of the log.
        erased_names: returns every pseudonym of every erased user; `UserStore.erased_names`.
        purge: removes users from the log, durably; `EventLog.purge`.

    Raises:
        FeedbackStateError: store or log cannot be read or written.
    """
    path = folder / FORGOTTEN
    try:
        known = frozenset(path.read_text(encoding="ascii").split()) if path.exists() else frozenset()
        new = frozenset(name.hex() for name in erased_names()) - known
        if not new:
            return
        purge(new)
        Disk().put(path, "".join(f"{name}\n" for name in sorted(known | new)).encode("ascii"))
    except (OSError, UnicodeDecodeError, FeedbackLogError, StoreReadError) as error:
        raise FeedbackStateError(
            f"feedback_log: {folder}: erased users cannot be removed: {error}"
        ) from error
    _log.info("removed erased users from the feedback log", pseudonyms=len(new))
