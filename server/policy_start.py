"""Which policy a server starts under: what was activated before, or the policy file with its signatures."""

from datetime import UTC, datetime
from pathlib import Path

import structlog

from server.errors import PolicyLogError, PolicyStateError
from server.followed_log import Appender
from server.policy_changes import (
    Authority,
    Control,
    History,
    follow,
    load_authority,
    read_start_policy,
    replay,
    signature_bytes,
)
from server.policy_log import ChangeKind, PolicyLog
from suitability.policy import default_policy_path

_log = structlog.get_logger("server")


def open_control(
    keys: Path, state: Path, signature_days_max: int, policy: Path | None, appender: Appender | None = None
) -> Control:
    """Opens the officers' keys and the policy log, and reads back what was accepted.

    The first start writes the policy file into the log as the first version activated. From then on the log
    alone says what is in force, so that an older file cannot bring an older policy back.

    Args:
        keys: file of the officers' public keys.
        state: folder of the policy log.
        signature_days_max: days after which a signature is too old for a new change.
        policy: the policy file; None for the one shipped with suitability.
        appender: writes the log where several processes share it; None where this one does.

    Raises:
        PolicyStateError: keys, log or policy file cannot be used.
    """
    authority = load_authority(keys, signature_days_max)
    log = PolicyLog(state, appender)
    try:
        history = replay(log.records, authority)
        if not history.policies:
            history = _accept_start_policy(policy or default_policy_path(), authority, log)
        elif policy is not None:
            _log.info(
                "the policy file is not read: the policy log says what is in force",
                file=str(policy),
                latest_activated=history.policies[-1].version,
            )
    except BaseException:
        log.close()
        raise
    return Control(authority, log, history)


def _accept_start_policy(path: Path, authority: Authority, log: PolicyLog) -> History:
    change = read_start_policy(path, authority)
    try:
        log.append(
            datetime.now(UTC),
            ChangeKind.ACTIVATE,
            change.policy.canonical,
            signature_bytes(change.signatures),
        )
    except PolicyLogError as error:
        raise PolicyStateError(f"policy_state: {error}") from error
    # Somebody has to know that this is the first start: a log that was lost looks the same.
    _log.warning(
        "a new policy log begins with the policy file; no halt and no version came before it",
        file=str(path),
        version=change.policy.version,
    )
    return follow(History(), change)
