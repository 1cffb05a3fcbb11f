-- Gives a purge its place, keeps it, hands it to the outbox, and tells the replicas.
--
-- KEYS[2]  the outbox: a stream of purges that go on to the edges (e: place in the ledger, p: bytes). Where nobody
--          has opened one, there is none; one that a purge is missing from says so by the gap (R8).
-- ARGV     an incarnation in case there is no ledger, the purge's bytes, how many records to keep besides the
--          snapshot, the most records, the most bytes of records, the channel, how many letters the outbox keeps,
--          the incarnation that the caller knows ('' if none)
local ledger = KEYS[1]
local at = open(ledger, ARGV[1], ARGV[8])
local before = at.c
at.c = string.sub(redis.sha1hex(before .. ARGV[2]), 1, 16)
at.s, at.b = at.s + 1, at.b + 16 + #ARGV[2]
redis.call('HSET', ledger, 's', at.s, 'c', at.c, 'b', at.b, at.s, at.c .. ARGV[2])
trim(ledger, at, 4, tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]))
local sequence = string.format('%.0f', at.s)
if redis.call('EXISTS', KEYS[2]) == 1 then
  redis.pcall('XADD', KEYS[2], 'MAXLEN', '~', ARGV[7], '*', 'e', at.i .. '-' .. sequence, 'p', ARGV[2])
end
local head = table.concat({ '1', at.i, sequence, before, at.c, '' }, ' ')
redis.call('PUBLISH', ARGV[6], head .. ARGV[2])
return { at.i, at.s, before, at.c }
