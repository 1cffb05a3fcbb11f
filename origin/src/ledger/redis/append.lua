-- Gives a purge its place, keeps it, and tells the replicas: one call, one slot, all or nothing.
--
-- KEYS[1]  the ledger: a hash with the incarnation (i), the sequence (s), the floor (f), the chain (c), and
--          under each number from the floor on a record: the chain there, 16 digits, and the purge's bytes.
-- KEYS[2]  the outbox: a stream of purges that go on to the edges (e: place in the ledger, p: bytes). Where nobody
--          has opened one, there is none; one that a purge is missing from says so by the gap (R8).
-- ARGV     an incarnation in case there is no ledger, the purge's bytes, how many records to keep, the channel,
--          how many letters the outbox keeps
local ledger = KEYS[1]
local incarnation, sequence, floor, before = unpack(redis.call('HMGET', ledger, 'i', 's', 'f', 'c'))
if not (incarnation and sequence and floor and before) then
  incarnation, sequence, floor, before = ARGV[1], 0, 0, ARGV[1]
  redis.call('DEL', ledger)
  redis.call('HSET', ledger, 'i', incarnation, 's', 0, 'f', 0, 'c', before, 0, before)
end
sequence = redis.call('HINCRBY', ledger, 's', 1)
local chain = string.sub(redis.sha1hex(before .. ARGV[2]), 1, 16)
redis.call('HSET', ledger, 'c', chain, sequence, chain .. ARGV[2])
local new_floor = sequence - tonumber(ARGV[3])
if new_floor > tonumber(floor) then
  for number = tonumber(floor), new_floor - 1 do
    redis.call('HDEL', ledger, number)
  end
  redis.call('HSET', ledger, 'f', new_floor)
end
if redis.call('EXISTS', KEYS[2]) == 1 then
  local place = incarnation .. '-' .. string.format('%.0f', sequence)
  redis.pcall('XADD', KEYS[2], 'MAXLEN', '~', ARGV[5], '*', 'e', place, 'p', ARGV[2])
end
local head = table.concat({ '1', incarnation, sequence, before, chain, '' }, ' ')
redis.call('PUBLISH', ARGV[4], head .. ARGV[2])
return { incarnation, sequence, before, chain }
