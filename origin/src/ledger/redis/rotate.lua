-- Begins a new history, unless somebody else has done so already.
--
-- KEYS[1]  the ledger (see append.lua)
-- ARGV     the incarnation that lost a part of its history, the new one
local ledger = KEYS[1]
if redis.call('HGET', ledger, 'i') == ARGV[1] then
  redis.call('DEL', ledger)
  redis.call('HSET', ledger, 'i', ARGV[2], 's', 0, 'f', 0, 'c', ARGV[2], 0, ARGV[2])
end
return 'OK'
