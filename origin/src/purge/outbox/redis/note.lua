-- Writes down how far an edge has come, if the claim still holds; what every edge has taken leaves the outbox.
--
-- KEYS     the claim; how far the edges are: a hash with the edge's mark, the second of this note and its progress
--          under its name; the outbox (see claim.lua)
-- ARGV     the edge; who claims; for how many milliseconds; the edge's mark; its progress
-- Answers with 1 if it is written down, and with 0 if the claim is another's.
local claim, edges, outbox = KEYS[1], KEYS[2], KEYS[3]
if redis.call('GET', claim) ~= ARGV[2] then
  return 0
end
redis.call('PEXPIRE', claim, ARGV[3])
local now = tonumber(redis.call('TIME')[1])
redis.call('HSET', edges, ARGV[1], table.concat({ ARGV[4], now, ARGV[5] }, ' '))
local first, first_time, first_number
local all = redis.call('HGETALL', edges)
for field = 1, #all, 2 do
  local mark, time, number, noted = string.match(all[field + 1], '^((%d+)%-(%d+)) (%d+) ')
  if not mark or tonumber(noted) < now - 86400 then
    redis.call('HDEL', edges, all[field]) -- nobody has sent to it for a day
  else
    time, number = tonumber(time), tonumber(number)
    if not first or time < first_time or (time == first_time and number < first_number) then
      first, first_time, first_number = mark, time, number
    end
  end
end
if first then
  redis.pcall('XTRIM', outbox, 'MINID', '~', first)
end
return 1
