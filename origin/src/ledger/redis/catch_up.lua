-- What a replica lacks: the records after its own head, or the snapshot and the records after it; a page at a time.
--
-- ARGV  an incarnation in case there is no ledger; the replica's incarnation ('' if none), head and chain; the
--       most records and bytes of an answer; after how many records and bytes a snapshot is due; 1 if replicas
--       shall vouch for the answer
-- Answers with a word, the incarnation, the number that the records follow, the head, the chain at the last
-- record, the records, the snapshot, and whether the replica shall write one. The word is
--   forked    the replica knows purges that this ledger has lost, or knows a history that this one may be older than
--   tail      the records follow on from the replica's own head
--   snapshot  they follow the snapshot
--   nothing   they follow what nobody knows any more
local ledger = KEYS[1]
-- Changes nothing, but only a server that may write takes it: a demoted master, or one that has lost the
-- replicas it must have (min-replicas-to-write), does not say that nothing is new.
redis.call('HDEL', ledger, 'q')
local at = open(ledger, ARGV[1], ARGV[2])
if ARGV[9] == '1' then
  -- A write that leaves nothing behind, needs no memory, and is new to the replicas each time.
  redis.call('PEXPIRE', ledger, 315360000000)
  redis.call('PERSIST', ledger)
end
local word, base, snapshot = 'nothing', at.f, ''
if at.i == ARGV[2] then
  local since = tonumber(ARGV[3])
  local chain = since <= at.s and chain_at(ledger, at, since)
  if since > at.s or (chain and chain ~= ARGV[4]) then
    return { 'forked', at.i, 0, at.s, at.c, {}, '', 0 }
  elseif since >= at.f then
    word, base = 'tail', since
  elseif chain and at.p > 0 then
    word = 'snapshot'
  elseif not chain then
    base = at.s -- so far behind that nobody can say whether its purges are this ledger's
  end
elseif ARGV[2] ~= '' and not comes_after(ledger, ARGV[2]) then
  return { 'forked', at.i, 0, at.s, at.c, {}, '', 0 }
elseif at.p > 0 then
  word = 'snapshot'
end
if word == 'snapshot' then
  base, snapshot = at.p, redis.call('HGET', ledger, 'S') or ''
end

local records, bytes, last, newest = {}, 0, base, nil
while last < at.s and #records < tonumber(ARGV[5]) and bytes < tonumber(ARGV[6]) do
  local names = {}
  for number = last + 1, math.min(last + 256, at.s) do
    names[#names + 1] = number
  end
  for _, record in ipairs(redis.call('HMGET', ledger, unpack(names))) do
    records[#records + 1] = record
    newest = record
    bytes = bytes + (record and #record or 0)
  end
  last = last + #names
end
local chain
if newest == nil then
  chain = chain_at(ledger, at, base)
else
  chain = newest and string.sub(newest, 1, 16) or MISSING
end

local due = 0
local since = at.s - at.p
local often = math.max(tonumber(ARGV[7]), redis.call('HSTRLEN', ledger, 'S') / 64)
if last == at.s and (since >= often or (at.b >= tonumber(ARGV[8]) and since >= BLOCK)) then
  -- One replica is asked; another one if so many purges later there is still none.
  if at.w <= at.p or at.s - at.w >= since / 2 then
    -- Where there is no memory for this, there is none for a snapshot.
    local noted = redis.pcall('HSET', ledger, 'w', at.s)
    due = type(noted) == 'table' and 0 or 1
  end
end
return { word, at.i, base, at.s, chain, records, snapshot, due }
