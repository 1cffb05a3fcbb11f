-- Hands out what is due; it is due again a while later, unless it has been struck off by then.
--
-- KEYS     the agenda (see add.lua)
-- ARGV     most entries to hand out; after how many milliseconds they are due again
-- Answers with the entries, and in how many milliseconds the next is due (-1 if there is none).
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now), 'LIMIT', 0, ARGV[1])
for _, entry in ipairs(due) do
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[2])), entry)
end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if not first[2] then
  return { due, -1 }
end
return { due, math.max(0, tonumber(first[2]) - now) }
