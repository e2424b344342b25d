-- Token buckets in integer microseconds: the arithmetic of rust/bucket.rs, decided by one clock, the server's.
--
-- A bucket is kept as "full_at period burst last since given": when it would be full again, under which limit, when it
-- was last spent from, since when it has not been full, and how much was given back since. All numbers stay below 2^53,
-- where doubles count exactly, and become text by %.0f alone.
--
-- KEYS  the buckets, each once, all in one slot
-- ARGV  now ('' asks the server), what to do, and for each bucket its period, its burst and
--       spend   need want observe: all needs or nothing; of a want that exceeds its need, up to half of what is there
--       look    the same, and nothing is spent
--       settle  cost actual at full_at since given: what was spent `at`, which left the bucket so, has cost actual
--       owe     tokens: spent elsewhere, so it is not asked whether they are there; the bucket is empty at worst
-- Returns   now, admitted, and for each bucket granted, left, wait (-1: never), full_at, since, given

local floor, max, min = math.floor, math.max, math.min

local DEBT = 1 -- full bursts below empty, when a call turned out to cost more than it was charged
local UNKNOWN = 2 ^ 52 -- so much was given back that nobody counts any more

-- ceil(a * b / c) for a < c < 2^38, though a * b may exceed 2^53: long division, fourteen bits at a time.
local function scaled(a, b, c)
  local quotient, rest = 0, 0
  for power = 2, 0, -1 do
    local digit = floor(b / 16384 ^ power) % 16384
    local part = rest * 16384 + a * digit
    quotient = quotient * 16384 + floor(part / c)
    rest = part % c
  end
  return rest > 0 and quotient + 1 or quotient
end

-- What was consumed stays consumed, and nobody is locked out for longer than one refill. What was spent at another rate
-- is not given back at this one, so a busy period of its own begins.
local function convert(bucket, period, burst, now)
  local backlog = max(bucket.full_at - now, 0)
  local tokens, part = floor(backlog / bucket.period), backlog % bucket.period
  if tokens < burst then
    backlog = min(tokens * period + scaled(part, period, bucket.period), period * burst)
  else
    backlog = period * burst
  end
  return {
    full_at = now + backlog,
    period = period,
    burst = burst,
    last = max(now, bucket.last),
    since = max(now, bucket.since + 1),
    given = 0,
    changed = true,
  }
end

local function move(bucket, full_at, now)
  if bucket.full_at <= now then
    bucket.since, bucket.given = now, 0
  end
  bucket.full_at, bucket.last, bucket.changed = full_at, max(bucket.last, now), true
end

-- Tokens that may not be there: the bucket is empty then, or so many full bursts below.
local function force(bucket, tokens, debt, now)
  local capacity = bucket.period * bucket.burst
  local full_at = max(bucket.full_at, now) + min(tokens, 4 * bucket.burst) * bucket.period
  move(bucket, max(bucket.full_at, min(full_at, now + capacity * (1 + debt))), now)
end

-- Tokens that were not needed, of those spent `at` which left the bucket so: what time has not given back, by the larger
-- of two lower bounds: the time since the spend, and first spent is first back.
local function give(bucket, tokens, cost, at, full_at, since, given)
  if bucket.since == since then
    local young = bucket.period * cost - max(bucket.last - at, 0)
    local queued = bucket.given >= UNKNOWN and 0 or full_at - (bucket.given - given) - bucket.last
    local back = min(bucket.period * tokens, max(young, queued, 0))
    bucket.full_at, bucket.given = bucket.full_at - back, min(bucket.given + back, UNKNOWN)
    bucket.changed = true
  end
end

local now
if ARGV[1] == '' then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
else
  now = tonumber(ARGV[1])
end
local verb = ARGV[2]
local words = ({ spend = 5, look = 5, settle = 8, owe = 3 })[verb]

local function word(i, nth)
  return tonumber(ARGV[2 + (i - 1) * words + nth])
end

local buckets = {}
for i, raw in ipairs(redis.call('MGET', unpack(KEYS))) do
  local period, burst = word(i, 1), word(i, 2)
  local bucket = { full_at = 0, period = period, burst = burst, last = 0, since = 0, given = 0 }
  if raw then
    local full_at, p, b, last, since, given = string.match(raw, '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
    if not full_at then
      return redis.error_reply('WRONGTYPE a key of toolgate holds something else')
    end
    bucket.full_at, bucket.period, bucket.burst = tonumber(full_at), tonumber(p), tonumber(b)
    bucket.last, bucket.since, bucket.given = tonumber(last), tonumber(since), tonumber(given)
    -- A clock that was set back locks nobody out for longer than a debt can.
    bucket.full_at = min(bucket.full_at, now + (1 + DEBT) * bucket.period * bucket.burst)
    if verb ~= 'settle' and (bucket.period ~= period or bucket.burst ~= burst) then
      if burst > 0 then
        bucket = convert(bucket, period, burst, now)
      else
        -- A limit that admits nothing converts nothing: it would forget what was consumed.
        bucket = { full_at = 0, period = period, burst = 0, last = 0, since = 0, given = 0 }
      end
    end
  end
  bucket.wait, bucket.granted, bucket.known = 0, 0, raw
  buckets[i] = bucket
end

local admitted = 1
if verb == 'settle' then
  for i, bucket in ipairs(buckets) do
    local cost, actual = word(i, 3), word(i, 4)
    if actual > cost then
      force(bucket, actual - cost, DEBT, now)
    elseif bucket.known then
      give(bucket, cost - actual, cost, word(i, 5), word(i, 6), word(i, 7), word(i, 8))
    end
  end
elseif verb == 'owe' then
  for i, bucket in ipairs(buckets) do
    force(bucket, word(i, 3), 0, now)
  end
else
  for i, bucket in ipairs(buckets) do
    local need = word(i, 3)
    local free = bucket.period * bucket.burst - max(bucket.full_at - now, 0)
    bucket.left = floor(max(free, 0) / bucket.period)
    if need > bucket.burst then
      bucket.wait = -1
    elseif need > 0 and need * bucket.period > free then
      bucket.wait = need * bucket.period - free
    end
    if bucket.wait ~= 0 and word(i, 5) == 0 then
      admitted = 0
    end
  end
  for i, bucket in ipairs(buckets) do
    if verb == 'spend' and admitted == 1 and bucket.wait == 0 then
      local granted = max(word(i, 3), min(word(i, 4), floor(bucket.left / 2)))
      if granted > 0 then
        move(bucket, max(bucket.full_at, now) + granted * bucket.period, now)
        bucket.granted, bucket.left = granted, bucket.left - granted
      end
    end
  end
end

local reply = { now, admitted }
for i, bucket in ipairs(buckets) do
  if bucket.changed and bucket.full_at > now then
    local value = string.format(
      '%.0f %.0f %.0f %.0f %.0f %.0f',
      bucket.full_at, bucket.period, bucket.burst, bucket.last, bucket.since, bucket.given
    )
    -- A second longer than it matters; without an end, the keys of callers long gone would stay.
    redis.call('SET', KEYS[i], value, 'PX', math.ceil((bucket.full_at - now) / 1000) + 1000)
  elseif bucket.changed and bucket.known then
    redis.call('DEL', KEYS[i])
  end
  for _, number in ipairs({ bucket.granted, bucket.left or 0, bucket.wait, bucket.full_at, bucket.since, bucket.given }) do
    reply[#reply + 1] = number
  end
end
return reply
