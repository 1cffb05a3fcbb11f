-- What a replica lacks: the records after its own head, or all there are if it knows another history.
--
-- KEYS[1]  the ledger (see append.lua)
-- ARGV     an incarnation in case there is no ledger; the replica's incarnation ('' if none), head and chain
-- Answers with 'forked' if the replica knows purges that this ledger has lost, and otherwise with 'ok', the
-- incarnation, the number that the records follow, the head, the chain there, and the records.
local ledger = KEYS[1]
local incarnation, head, floor, chain = unpack(redis.call('HMGET', ledger, 'i', 's', 'f', 'c'))
if not (incarnation and head and floor and chain) then
  incarnation, head, floor, chain = ARGV[1], 0, 0, ARGV[1]
  redis.call('DEL', ledger)
  redis.call('HSET', ledger, 'i', incarnation, 's', 0, 'f', 0, 'c', chain, 0, chain)
end
head, floor = tonumber(head), tonumber(floor)
local since = tonumber(ARGV[3])
if incarnation ~= ARGV[2] or since < floor then
  since = floor
else
  local record = since <= head and redis.call('HGET', ledger, since)
  if not record or string.sub(record, 1, 16) ~= ARGV[4] then
    return { 'forked', incarnation, 0, head, chain, {} }
  end
end
local records = {}
for number = since + 1, head do
  records[#records + 1] = redis.call('HGET', ledger, number)
end
return { 'ok', incarnation, since, head, chain, records }
