-- What the ledger's scripts share: each call touches one key, and is all or nothing.
--
-- KEYS[1]  the ledger: one hash, so that it can only be lost whole. Its fields:
--   i        the incarnation
--   a        those that it is known to come after, the latest first; not there while there are none
--   s, c     the last record's number, and the chain there
--   f        the floor: the first number that a record is kept under
--   b        bytes of the records that are kept
--   p, S     the snapshot, and the number that it stands at; zero and nothing while there is none
--   w        the number at which a replica was asked last to write one
--   1, 2, …  the records from the floor on: the chain there, 16 digits, and the purge's bytes
--   k0, …    the chains of records that are not kept any more, a block under the first one's number

local BLOCK = 64    -- records that are dropped together
local BLOCKS = 2048 -- blocks whose chains are kept
local MISSING = string.rep('-', 16)
local BEFORE = 64   -- incarnations that are known to have come before

-- Begins a new history after the one that is kept, if any, and after the one that the caller knows, if any.
local function begin(ledger, incarnation, known)
  local before = redis.call('HMGET', ledger, 'i', 'a')
  local after = (known or '') .. ' ' .. (before[1] or '') .. ' ' .. (before[2] or '')
  local names, seen = {}, {}
  for name in string.gmatch(after, '%x+') do
    if not seen[name] and #names < BEFORE then
      names[#names + 1] = name
      seen[name] = true
    end
  end
  redis.call('UNLINK', ledger)
  redis.call('HSET', ledger, 'i', incarnation, 's', 0, 'f', 0, 'c', incarnation, 'b', 0, 'p', 0, 'w', 0,
    0, incarnation)
  if #names > 0 then
    redis.call('HSET', ledger, 'a', table.concat(names, ' '))
  end
end

-- Whether this history is known to come after the one with this incarnation.
local function comes_after(ledger, incarnation)
  local before = redis.call('HGET', ledger, 'a')
  return before and string.find(before, incarnation, 1, true) ~= nil
end

-- The ledger's numbers; a new history if there is none, or only a part of one.
local function open(ledger, fresh, known)
  local i, s, f, c, b, p, w = unpack(redis.call('HMGET', ledger, 'i', 's', 'f', 'c', 'b', 'p', 'w'))
  if not (i and s and f and c and b and p and w) then
    begin(ledger, fresh, known)
    i, s, f, c, b, p, w = fresh, 0, 0, fresh, 0, 0, 0
  end
  return { i = i, s = tonumber(s), f = tonumber(f), c = c, b = tonumber(b), p = tonumber(p), w = tonumber(w) }
end

-- The chain at a number: of a record that is kept, or was kept lately; nothing is known of older ones.
local function chain_at(ledger, at, number)
  if number >= at.f then
    local record = redis.call('HGET', ledger, number)
    return record and string.sub(record, 1, 16) or MISSING
  end
  local first = number - number % BLOCK
  local chains = redis.call('HGET', ledger, 'k' .. string.format('%.0f', first))
  return chains and string.sub(chains, (number - first) * 16 + 1, (number - first) * 16 + 16)
end

local function drop_block(ledger, at)
  local names, chains, bytes = {}, {}, 0
  for number = at.f, at.f + BLOCK - 1 do
    names[#names + 1] = number
  end
  for place, record in ipairs(redis.call('HMGET', ledger, unpack(names))) do
    chains[place] = record and string.sub(record, 1, 16) or MISSING
    bytes = bytes + (record and #record or 0)
  end
  redis.call('HDEL', ledger, 'k' .. string.format('%.0f', at.f - BLOCK * BLOCKS), unpack(names))
  local name = 'k' .. string.format('%.0f', at.f)
  at.f, at.b = at.f + BLOCK, math.max(0, at.b - bytes)
  redis.call('HSET', ledger, name, table.concat(chains), 'f', at.f, 'b', at.b)
  if at.p > 0 and at.p < at.f then
    redis.call('HDEL', ledger, 'S') -- what lies between it and the floor is gone
    redis.call('HSET', ledger, 'p', 0)
    at.p = 0
  end
end

-- Drops records that the snapshot covers, but for the newest `recent` ones, and whatever is beyond the hard
-- limits; at most so many blocks at once, that nobody else waits for long.
local function trim(ledger, at, blocks, recent, most, most_bytes)
  for _ = 1, blocks do
    local floor = at.f + BLOCK
    local covered = floor <= at.p and floor <= at.s - recent
    local crowded = at.s - at.f > most or at.b > most_bytes
    if floor > at.s or not (covered or crowded) then
      return
    end
    drop_block(ledger, at)
  end
end
