-- Token buckets in integer microseconds: the arithmetic of rust/bucket.rs, decided by one clock, the server's.
--
-- A bucket is kept as "full_at since period burst": when it would be full again, when it was last full, and under which
-- limit. All numbers stay below 2^53, where doubles count exactly; none is ever turned into text but by %.0f.
--
-- KEYS  the buckets, each once, in one slot
-- ARGV  now ('' asks the server), what to do, then five for each bucket:
--       spend  period burst need want observe: all needs or nothing; of wants, up to half of what is there
--       look   the same, and nothing is spent
--       give   period burst tokens at ceiling: back when spent `at` or later in one go since the bucket was last full;
--              a negative number is spent whether it is there or not, but never beyond `ceiling` bursts
-- Returns   now, admitted, then granted, left and wait (-1: never) for each bucket

local floor, max, min = math.floor, math.max, math.min

-- ceil(a * b / c) for a < c, though a * b may exceed 2^53: long division, fourteen bits at a time.
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

local now
if ARGV[1] == '' then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
else
  now = tonumber(ARGV[1])
end
local verb = ARGV[2]

local buckets = {}
for i, raw in ipairs(redis.call('MGET', unpack(KEYS))) do
  local a = 2 + (i - 1) * 5
  local period, burst = tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2])
  local bucket = { full_at = 0, since = now, period = period, burst = burst }
  if raw then
    local full_at, since, was_period, was_burst = string.match(raw, '^(%d+) (%d+) (%d+) (%d+)$')
    if not full_at then
      return redis.error_reply('WRONGTYPE a key of toolgate holds something else')
    end
    bucket.full_at, bucket.since = tonumber(full_at), tonumber(since)
    was_period, was_burst = tonumber(was_period), tonumber(was_burst)
    -- A clock that was set back locks nobody out for longer than two refills.
    bucket.full_at = min(bucket.full_at, now + 2 * was_period * was_burst)
    if bucket.full_at <= now then
      bucket.full_at, bucket.since = 0, now
    end
    if verb == 'give' then
      bucket.period, bucket.burst = was_period, was_burst
    elseif burst == 0 then
      -- A limit that admits nothing converts nothing: it would forget what was consumed.
      bucket.full_at = 0
    elseif was_period ~= period or was_burst ~= burst then
      -- What was consumed stays consumed.
      local backlog = max(bucket.full_at - now, 0)
      local tokens, part = floor(backlog / was_period), backlog % was_period
      backlog = tokens < burst and min(tokens * period + scaled(part, period, was_period), period * burst)
        or period * burst
      bucket.full_at = now + backlog
      bucket.changed = true
    end
  end
  bucket.free = bucket.period * bucket.burst - max(bucket.full_at - now, 0)
  bucket.left = floor(max(bucket.free, 0) / bucket.period)
  buckets[i] = bucket
end

local reply = { now, 1 }

if verb == 'give' then
  for i, bucket in ipairs(buckets) do
    local a = 2 + (i - 1) * 5
    local tokens = tonumber(ARGV[a + 3])
    local at, ceiling = tonumber(ARGV[a + 4]), tonumber(ARGV[a + 5])
    local cap = bucket.period * bucket.burst
    if tokens < 0 then
      local spent = min(-tokens, 2 * bucket.burst) * bucket.period
      bucket.full_at = max(bucket.full_at, min(max(bucket.full_at, now) + spent, now + ceiling * cap))
      bucket.changed = true
    elseif bucket.since <= at then
      bucket.full_at = bucket.full_at - min(tokens, bucket.burst) * bucket.period
      bucket.changed = true
    end
    bucket.granted = -tokens
  end
else
  for i, bucket in ipairs(buckets) do
    local a = 2 + (i - 1) * 5
    local need = tonumber(ARGV[a + 3])
    bucket.wait = 0
    if need > bucket.burst then
      bucket.wait = -1
    elseif need > 0 and need * bucket.period > bucket.free then
      bucket.wait = need * bucket.period - bucket.free
    end
    if bucket.wait ~= 0 and ARGV[a + 5] == '0' then
      reply[2] = 0
    end
  end
  for i, bucket in ipairs(buckets) do
    local a = 2 + (i - 1) * 5
    bucket.granted = 0
    if verb == 'spend' and reply[2] == 1 and bucket.wait == 0 then
      local need, want = tonumber(ARGV[a + 3]), tonumber(ARGV[a + 4])
      bucket.granted = max(need, min(want, floor(bucket.left / 2)))
      if bucket.granted > 0 then
        bucket.full_at = max(bucket.full_at, now) + bucket.granted * bucket.period
        bucket.left = bucket.left - bucket.granted
        bucket.changed = true
      end
    end
  end
end

for i, bucket in ipairs(buckets) do
  if bucket.changed and bucket.full_at > now then
    local value = string.format('%.0f %.0f %.0f %.0f', bucket.full_at, bucket.since, bucket.period, bucket.burst)
    -- A second longer than it matters; without an end, keys of callers long gone would stay.
    redis.call('SET', KEYS[i], value, 'PX', math.ceil((bucket.full_at - now) / 1000) + 1000)
  elseif bucket.changed then
    redis.call('DEL', KEYS[i])
  end
  reply[#reply + 1] = bucket.granted
  reply[#reply + 1] = bucket.left
  reply[#reply + 1] = bucket.wait or 0
end
return reply
