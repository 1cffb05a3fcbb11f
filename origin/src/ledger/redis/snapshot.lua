-- Keeps a snapshot in place of an older one, if it is of this history.
--
-- ARGV  the incarnation, number and chain that it stands at, its bytes; how many records to keep besides it, the
--       most records, the most bytes of records
local ledger = KEYS[1]
local at = open(ledger, ARGV[1])
local number = tonumber(ARGV[2])
if at.i ~= ARGV[1] or number <= at.p or number < at.f or number > at.s then
  return 0
end
if chain_at(ledger, at, number) ~= ARGV[3] then
  return 0
end
redis.call('HSET', ledger, 'p', number, 'S', ARGV[4])
at.p = number
trim(ledger, at, 64, tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]))
return 1
