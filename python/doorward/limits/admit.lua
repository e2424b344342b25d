-- Token buckets in integer microseconds: the arithmetic of rust/bucket.rs, decided by one clock, the server's.
--
-- A bucket is kept as "tb" and six numbers: when it would be full again, the period and the burst of its limit, when
-- it was last spent from, since when it has not been full, and how much was given back since. All numbers are whole and
-- below 2^53, where doubles count exactly, and travel as doubles in one string: as words of the protocol, thirty of
-- them took longer than all the rest.
--
-- KEYS  the buckets, each once, all in one slot
-- ARGV  now ('' asks the server), what to do, and packed for each bucket its period, its burst and
--       spend   need want observe: all needs or nothing; of a want that exceeds its need, up to half of what is there
--       look    the same, and nothing is spent
--       settle  cost actual at full_at since given: what was spent `at`, which left the bucket so, has cost actual
--       owe     tokens: spent elsewhere, so it is not asked whether they are there; the bucket is empty at worst
-- Returns   packed: now, admitted, and of all buckets granted, left, wait (-1: never), full_at, since, given
--
-- Arrays, not an object for each bucket: the server does nothing else meanwhile.

local floor, max, min, tonumber = math.floor, math.max, math.min, tonumber

local FORM, OURS, SIZE = '<c2dddddd', 'tb', 50 -- the letters tell it from anybody else's
local DEBT = 1 -- full bursts below empty, when a call turned out to cost more than it was charged
local UNKNOWN = 2 ^ 52 -- so much was given back that nobody counts any more
local WORDS = { spend = 5, look = 5, settle = 8, owe = 3 }

local verb, words, count = ARGV[2], WORDS[ARGV[2]], #KEYS
local now
if ARGV[1] == '' then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
else
  now = tonumber(ARGV[1])
end

local numbers = { struct.unpack('<' .. string.rep('d', #ARGV[3] / 8), ARGV[3]) }
local full_at, period, burst, last, since, given = {}, {}, {}, {}, {}, {}
local known, changed, granted, left, wait = {}, {}, {}, {}, {}

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

-- What was consumed stays consumed, and nobody is locked out for longer than one refill. What was spent at another
-- rate is not given back at this one, so a busy period of its own begins.
local function convert(i, new_period, new_burst)
  local backlog = max(full_at[i] - now, 0)
  local tokens, part = floor(backlog / period[i]), backlog % period[i]
  if tokens < new_burst then
    backlog = min(tokens * new_period + scaled(part, new_period, period[i]), new_period * new_burst)
  else
    backlog = new_period * new_burst
  end
  full_at[i], last[i], since[i], given[i] = now + backlog, max(now, last[i]), max(now, since[i] + 1), 0
  changed[i] = true
end

local function move(i, to)
  if full_at[i] <= now then
    since[i], given[i] = now, 0
  end
  full_at[i], last[i], changed[i] = to, max(last[i], now), true
end

-- Tokens that may not be there: the bucket is empty then, or so many full bursts below.
local function force(i, tokens, debt)
  local to = max(full_at[i], now) + min(tokens, 4 * burst[i]) * period[i]
  move(i, max(full_at[i], min(to, now + period[i] * burst[i] * (1 + debt))))
end

-- Tokens that were not needed, of those spent `at` which left the bucket so: what time has not given back, by the
-- larger of two lower bounds: the time since the spend, and first spent is first back.
local function give(i, tokens, cost, at, then_full_at, then_since, then_given)
  if since[i] == then_since then
    local young = period[i] * cost - max(last[i] - at, 0)
    local queued = given[i] >= UNKNOWN and 0 or then_full_at - (given[i] - then_given) - last[i]
    local back = min(period[i] * tokens, max(young, queued, 0))
    full_at[i], given[i], changed[i] = full_at[i] - back, min(given[i] + back, UNKNOWN), true
  end
end

local raw = redis.call('MGET', unpack(KEYS))
for i = 1, count do
  local a = 1 + (i - 1) * words
  local p, b = numbers[a], numbers[a + 1]
  granted[i], left[i], wait[i] = 0, 0, 0
  if not raw[i] then
    full_at[i], period[i], burst[i], last[i], since[i], given[i] = 0, p, b, 0, 0, 0
  elseif #raw[i] ~= SIZE or string.sub(raw[i], 1, 2) ~= OURS then
    return redis.error_reply('WRONGTYPE a key of doorward holds something else')
  else
    known[i] = true
    local _
    _, full_at[i], period[i], burst[i], last[i], since[i], given[i] = struct.unpack(FORM, raw[i])
    -- A clock that was set back locks nobody out for longer than a debt can.
    full_at[i] = min(full_at[i], now + (1 + DEBT) * period[i] * burst[i])
    if verb == 'settle' then
      -- Whether a full bucket is still kept is chance, and so must not matter: with it goes whatever limit it had last.
      if full_at[i] <= now then
        period[i], burst[i] = p, b
      end
    elseif period[i] ~= p or burst[i] ~= b then
      if b > 0 then
        convert(i, p, b)
      else
        -- A limit that admits nothing converts nothing: it would forget what was consumed.
        full_at[i] = 0
      end
      period[i], burst[i] = p, b
    end
  end
end

local admitted = 1
if verb == 'settle' then
  for i = 1, count do
    local a = 1 + (i - 1) * words
    local cost, actual = numbers[a + 2], numbers[a + 3]
    if actual > cost then
      force(i, actual - cost, DEBT)
    elseif known[i] then
      give(i, cost - actual, cost, numbers[a + 4], numbers[a + 5], numbers[a + 6], numbers[a + 7])
    end
  end
elseif verb == 'owe' then
  for i = 1, count do
    force(i, numbers[3 + (i - 1) * words], 0)
  end
else
  for i = 1, count do
    local a = 1 + (i - 1) * words
    local need = numbers[a + 2]
    local free = period[i] * burst[i] - max(full_at[i] - now, 0)
    left[i] = floor(max(free, 0) / period[i])
    if need > burst[i] then
      wait[i] = -1
    elseif need > 0 and need * period[i] > free then
      wait[i] = need * period[i] - free
    end
    if wait[i] ~= 0 and numbers[a + 4] == 0 then
      admitted = 0
    end
  end
  if verb == 'spend' and admitted == 1 then
    for i = 1, count do
      if wait[i] == 0 then
        local a = 1 + (i - 1) * words
        local tokens = max(numbers[a + 2], min(numbers[a + 3], floor(left[i] / 2)))
        if tokens > 0 then
          move(i, max(full_at[i], now) + tokens * period[i])
          granted[i], left[i] = tokens, left[i] - tokens
        end
      end
    end
  end
end

local reply = { now, admitted }
for i = 1, count do
  if changed[i] and full_at[i] > now then
    local value = struct.pack(FORM, OURS, full_at[i], period[i], burst[i], last[i], since[i], given[i])
    -- A second longer than it matters; without an end, the keys of callers long gone would stay.
    redis.call('SET', KEYS[i], value, 'PX', math.ceil((full_at[i] - now) / 1000) + 1000)
  elseif changed[i] and known[i] then
    redis.call('DEL', KEYS[i])
  end
  local at = i + 2
  reply[at], reply[at + count], reply[at + 2 * count] = granted[i], left[i], wait[i]
  reply[at + 3 * count], reply[at + 4 * count], reply[at + 5 * count] = full_at[i], since[i], given[i]
end
return struct.pack('<' .. string.rep('d', count * 6 + 2), unpack(reply))
