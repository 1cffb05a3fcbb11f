-- Begins a new history, unless somebody else has done so already.
--
-- ARGV  the incarnation that lost a part of its history, the new one, the one that the caller knows ('' if none)
local ledger = KEYS[1]
if redis.call('HGET', ledger, 'i') == ARGV[1] then
  begin(ledger, ARGV[2], ARGV[3])
end
return 'OK'
