"""Writes to a store until it is killed, and says what was acknowledged: `python -m benchmarks.users.writer`.

Arguments: store, key file, file of acknowledgements, first number of the changes.
"""

import os
import sys
import threading
from pathlib import Path

from benchmarks.users.changes import USER_COUNT, make_change, make_event, open_users
from server.errors import ServingError
from server.users.pseudonyms import Pseudonyms
from server.users.store import UserStore


def main(store: str, key_file: str, acknowledged: str, first: str) -> None:
    """Runs the writers; ends only when the store fails or the process is killed."""
    opened, pseudonyms = open_users(store, Path(key_file))
    descriptor = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    threads = [
        threading.Thread(target=_write, args=(opened, pseudonyms, user, int(first), descriptor))
        for user in range(USER_COUNT)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _write(store: UserStore, pseudonyms: Pseudonyms, user: int, number: int, descriptor: int) -> None:
    """Makes one change and one event after the other; each is written down once it is acknowledged."""
    try:
        while True:
            changed = store.change(make_change(pseudonyms, user, number, None))
            os.write(descriptor, f"change {user} {number} {changed.version}\n".encode())
            store.append_events(
                [make_event(pseudonyms, user, number)], log_id=f"log {user}", log_position=number
            )
            os.write(descriptor, f"event {user} {number} 0\n".encode())
            number += 1
    except ServingError:
        return  # The store was killed.


if __name__ == "__main__":
    main(*sys.argv[1:])
