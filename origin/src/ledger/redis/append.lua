-- Gives a purge its place, keeps it, and tells the replicas.
--
-- ARGV  an incarnation in case there is no ledger, the purge's bytes, how many records to keep besides the
--       snapshot, the most records, the most bytes of records, the channel
local ledger = KEYS[1]
local at = open(ledger, ARGV[1])
local before = at.c
at.c = string.sub(redis.sha1hex(before .. ARGV[2]), 1, 16)
at.s, at.b = at.s + 1, at.b + 16 + #ARGV[2]
redis.call('HSET', ledger, 's', at.s, 'c', at.c, 'b', at.b, at.s, at.c .. ARGV[2])
trim(ledger, at, 4, tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]))
local head = table.concat({ '1', at.i, string.format('%.0f', at.s), before, at.c, '' }, ' ')
redis.call('PUBLISH', ARGV[6], head .. ARGV[2])
return { at.i, at.s, before, at.c }
