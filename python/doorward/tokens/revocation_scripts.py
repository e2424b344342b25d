"""What Redis keeps of revocations, and the two scripts that touch it.

Three keys in one slot. The log orders revocations by the number of their last change, so that whoever knows a number
asks for what came after it. The ends say until when each counts. The state holds the last number, and an epoch: a
random word of whoever wrote first. A server that lost everything has another one, or none.
"""

from __future__ import annotations

from typing import Final

from doorward._redis import Script

__all__ = ["MAX_BYTES", "PAGE", "READ", "WRITE", "keys"]

PAGE: Final = 200
"""Revocations read or written by one script: less than a millisecond of a server that others wait for."""

MAX_BYTES: Final = 200_000
"""Of one revocation: an issuer and a value as long as a token each, every character of them escaped."""

READ: Final = Script(
    """\
-- KEYS: log, ends, state. ARGV: the epoch and the number known, how many to read, how long one may be.
local epoch, number = unpack(redis.call('HMGET', KEYS[3], 'epoch', 'number'))
if not epoch then return {} end
local after = ARGV[2]
if epoch ~= ARGV[1] or tonumber(number) < tonumber(after) then after = '0' end
local answer = {epoch, after}
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. after, '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[3])
for i = 1, #found, 2 do
  answer[#answer + 1] = #found[i] <= tonumber(ARGV[4]) and found[i] or ''
  answer[#answer + 1] = found[i + 1]
  answer[#answer + 1] = redis.call('ZSCORE', KEYS[2], found[i]) or '0'
end
return answer
""",
    name="revocations, reading",
)

WRITE: Final = Script(
    """\
-- KEYS: log, ends, state. ARGV: an epoch to begin, how many may be kept, how many to trim, seconds of grace; then
-- revocations and their ends in turn. Returns how many found no room.
redis.call('HSETNX', KEYS[3], 'epoch', ARGV[1])
redis.call('HSETNX', KEYS[3], 'number', 0)
local passed = tonumber(redis.call('TIME')[1]) - tonumber(ARGV[4])
for _, old in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', passed, 'LIMIT', 0, ARGV[3])) do
  redis.call('ZREM', KEYS[1], old)
  redis.call('ZREM', KEYS[2], old)
end
local left = tonumber(ARGV[2]) - redis.call('ZCARD', KEYS[2])
local refused = 0
for i = 5, #ARGV, 2 do
  local before = redis.call('ZSCORE', KEYS[2], ARGV[i])
  if not before and left <= 0 then
    refused = refused + 1
  elseif not before or tonumber(before) < tonumber(ARGV[i + 1]) then
    if not before then left = left - 1 end
    redis.call('ZADD', KEYS[1], redis.call('HINCRBY', KEYS[3], 'number', 1), ARGV[i])
    redis.call('ZADD', KEYS[2], ARGV[i + 1], ARGV[i])
  end
end
return refused
""",
    name="revocations, writing",
)


def keys(prefix: str) -> list[str]:
    """Those of both scripts, for all who share the ``prefix``."""
    return [f"{prefix}:{{revocations}}:{name}" for name in ("log", "ends", "state")]
