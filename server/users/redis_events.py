"""Events in the shared store: one script, which Redis runs whole or not at all."""

from collections.abc import Sequence
from typing import Final

from server.users.records import EVENT_NUMBERS, digest_event_id
from server.users.redis_keys import ERASED, EVENT_ID, HIDDEN, HISTORY, LOGS, USER, write_event
from server.users.store import EVENT_COUNT_MAX, EVENT_ID_DAYS, HIDDEN_COUNT_MAX, NOT_INTERESTED, UserEvent

# The numbers that it returns are those of EventOutcome, in order.
APPEND: Final = f"""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return redis.error_reply('NOTREADY the store changed')
end
local log, position, now = ARGV[2], tonumber(ARGV[3]), ARGV[4]
local outcomes, at = {{}}, 6
for number = 1, tonumber(ARGV[5]) do
  local digest, kind, score, member, count = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local name, erased = nil, false
  for candidate = at + 5, at + 4 + count do
    if not name and redis.call('EXISTS', '{USER.decode()}' .. ARGV[candidate]) == 1 then
      name = ARGV[candidate]
    end
    erased = erased or redis.call('HEXISTS', '{ERASED.decode()}', ARGV[candidate]) == 1
  end
  at = at + 5 + count
  if not name then
    outcomes[number] = erased and 3 or 2
  elseif not redis.call('SET', '{EVENT_ID.decode()}' .. digest, '', 'NX', 'EX', {EVENT_ID_DAYS * 86_400}) then
    outcomes[number] = 1
  else
    outcomes[number] = 0
    if kind ~= '' then
      local key = kind .. name
      redis.call('ZADD', key, 'NX', score, member)
      local kept = kind == '{HISTORY.decode()}' and {EVENT_COUNT_MAX} or {HIDDEN_COUNT_MAX}
      redis.call('ZREMRANGEBYRANK', key, 0, -kept - 1)
    end
  end
end
local before = tonumber(redis.call('HGET', '{LOGS.decode()}', log) or '0')
if position > before then
  redis.call('HSET', '{LOGS.decode()}', log, ARGV[3])
end
return outcomes
"""


def write_arguments(
    batch: Sequence[UserEvent], log_id: str, log_position: int, now_us: int
) -> list[bytes | str | int | float]:
    """Writes the script's arguments after the first, which is what the store must say of itself."""
    arguments: list[bytes | str | int | float] = [log_id, log_position, now_us, len(batch)]
    for event in batch:
        kind, score, member = b"", 0.0, b""
        if event.event_type in EVENT_NUMBERS:
            number = EVENT_NUMBERS[event.event_type]
            kind, score = HISTORY, event.event_time_s
            member = write_event(event.product_id, number, event.event_time_s)
        elif event.event_type == NOT_INTERESTED:
            kind, score, member = HIDDEN, float(now_us), event.product_id.encode()
        arguments += [
            digest_event_id(event.event_id),
            kind,
            repr(score),
            member,
            len(event.names),
            *event.names,
        ]
    return arguments
