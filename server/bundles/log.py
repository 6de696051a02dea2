"""The bundle log: every change of what serves, who asked and what the gates said, before it takes effect."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from server.bundles.messages import Change, Facts, Finding, Goal, Order
from server.bundles.state import State, follow
from server.chained_log import ChainedLog, LogKind
from server.errors import BundleLogError, BundleStateError

FILE_NAME: Final = "bundle-log.jsonl"
_KIND: Final = LogKind(
    name="the bundle log",
    setting="bundle_state",
    file_name=FILE_NAME,
    keys=frozenset({"time", "document"}),
    write_error=BundleLogError,
    state_error=BundleStateError,
)
_FIELDS: Final = frozenset(field.name for field in fields(Change))


class BundleLog:
    """The log of one folder, held by one server at a time; `state` is what its records add up to."""

    def __init__(self, folder: Path) -> None:
        """Opens the log, makes it where there is none, and reads it.

        Raises:
            BundleStateError: it cannot be read or locked, or a line is wrong; the message names it.
        """
        self._log = ChainedLog(folder, _KIND)
        self.state: State | None = None
        for number, texts in enumerate(self._log.take_records(), start=1):
            try:
                self.state = follow(self.state, _read(json.loads(texts["document"])))
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                self.close()
                raise BundleStateError(
                    f"bundle_state: {folder / FILE_NAME}: line {number} is no change of bundles: {error!r}"
                ) from error

    def append(self, time: datetime, change: Change) -> None:
        """Writes a change and waits until it is on disk.

        Raises:
            BundleLogError: it could not be written; it must not take effect.
        """
        document = json.dumps(_write(change), sort_keys=True, ensure_ascii=False)
        self._log.append({"time": time.isoformat(), "document": document})
        self.state = follow(self.state, change)

    def close(self) -> None:
        """Closes the file, which frees it for another server."""
        self._log.close()


def _write(change: Change) -> dict[str, Any]:
    facts = {**asdict(change.facts), "created": change.facts.created.isoformat()}
    return {**asdict(change), "facts": facts}


def _read(values: Mapping[str, Any]) -> Change:
    if set(values) != _FIELDS:
        # What a newer server says beside it may change what serves.
        raise ValueError(f"expected {', '.join(sorted(_FIELDS))}")
    facts, order = values["facts"], values["order"]
    created = datetime.fromisoformat(facts["created"])
    if created.tzinfo is None:
        raise ValueError("expected an instant with its offset in created")
    return Change(
        kind=Goal(values["kind"]),
        facts=Facts(**{**facts, "created": created, "signers": tuple(facts["signers"])}),
        settled=values["settled"],
        order=None if order is None else Order(**{**order, "goal": Goal(order["goal"])}),
        findings=tuple(Finding(**finding) for finding in values["findings"]),
    )
