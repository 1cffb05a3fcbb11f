-- Gives the right to send to an edge up.
--
-- KEYS     the claim
-- ARGV     who claimed
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 1
