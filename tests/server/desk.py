"""A policy's desk in process: a small bundle under an active policy, and what officers do there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from server.active_policy import ActivePolicy
from server.family import live_policies
from server.messages import ChangeQuery
from server.policy_changes import Control
from server.policy_start import open_control
from server.snapshot import Snapshot, load_fit_policy, open_snapshot, under_policy
from suitability.signatures import Purpose
from tests.server.cases import CHANNEL, NOW, eligible_user
from tests.server.officers import (
    keys_document,
    make_overlay,
    make_policy,
    sign_overlay,
    sign_policy,
)

SIGNED_AT = datetime(2026, 11, 20, tzinfo=UTC)


@dataclass
class MovingClock:
    """A clock that a test moves."""

    moment: datetime = NOW
    system: bool = field(default=True)

    def now(self) -> datetime:
        return self.moment


@dataclass
class Desk:
    """An active policy over a small bundle, with the clocks it reads."""

    active: ActivePolicy
    control: Control
    clock: MovingClock
    folder: Path

    def overlay(
        self, sequence: int, *key_ids: str, purpose: Purpose = Purpose.TIGHTEN, **changes: Any
    ) -> Any:
        document = make_overlay(sequence, **changes)
        signatures = sign_overlay(document, *key_ids, purpose=purpose, at=SIGNED_AT)
        return self.active.set_overlay(ChangeQuery(document, signatures, "test"))

    def activate(self, *key_ids: str, **changes: Any) -> Any:
        document = make_policy(**changes)
        signatures = sign_policy(document, *key_ids, at=SIGNED_AT)
        return self.active.activate(ChangeQuery(document, signatures, "test"))

    def state(self) -> tuple[Any, ...]:
        """Everything that a refusal must leave as it was."""
        log = (self.folder / "state" / "policy-log.jsonl").read_bytes()
        answer = self.active.describe()
        return answer.policy, answer.overlay, answer.scheduled, self.active.pin().gate.overlay, log

    def shown(self) -> set[str]:
        snapshot = self.active.pin()
        gate, rows = snapshot.gate, np.arange(snapshot.bundle.products.count)
        masks = gate.judge(gate.admit(eligible_user(), NOW, CHANNEL, None), rows)
        return {snapshot.bundle.product_ids[row] for row in rows[~masks.any(axis=1)]}


def open_tiny(tiny_bundles: Path) -> Snapshot:
    """Opens the small bundle under the shipped policy."""
    return open_snapshot(
        tiny_bundles,
        load_fit_policy(None),
        device="cpu",
        thread_count=1,
        retriever="faiss",
        allow_assumed=False,
    )


@contextmanager
def desks(snapshot: Snapshot, folder: Path) -> Iterator[Callable[[], Desk]]:
    """Opens the desk of one folder, again and again: what was accepted is read back."""
    policy = make_policy()
    (folder / "state").mkdir()
    (folder / "keys.json").write_bytes(keys_document())
    (folder / "policy.json").write_bytes(policy)
    (folder / "policy.json.sig.json").write_bytes(sign_policy(policy, at=SIGNED_AT))
    controls: list[Control] = []

    def open_one() -> Desk:
        for control in controls:
            control.log.close()
        controls.clear()
        control = open_control(folder / "keys.json", folder / "state", 30, folder / "policy.json")
        controls.append(control)
        clock = MovingClock()
        policies = live_policies(control.history.policies, clock.now())
        snapshots = [under_policy(snapshot, policy) for policy in policies]
        return Desk(ActivePolicy(snapshots, clock, control, MovingClock()), control, clock, folder)

    yield open_one
    for control in controls:
        control.log.close()
