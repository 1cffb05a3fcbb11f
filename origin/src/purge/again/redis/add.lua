-- Writes down that a purge is due once more.
--
-- KEYS     the agenda: a sorted set of purges (a random number of 16 digits, and the purge's bytes) by the
--          millisecond at which each is due, on this server's own clock
-- ARGV     the entry; after how many milliseconds it is due; most entries
-- Answers with 1 if it is written down, and with 0 if there are too many.
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[2])), ARGV[1])
return 1
