-- Takes or keeps the right to send to an edge, and reads what the edge has not taken yet.
--
-- KEYS     the claim, a string with its holder; how far the edges are, a hash (see note.lua); the outbox, a stream
--          of purges (e: place in the ledger, p: bytes); the ledger, a hash with its incarnation (i) and sequence (s)
-- ARGV     the edge; who claims; for how many milliseconds; most letters to read; how many milliseconds an
--          outbox that nobody reads is kept
-- Answers with 'elsewhere' and the edge's progress if another holds the claim, and otherwise with 'here', the
-- progress, the ledger's incarnation and sequence, the last letter's mark, and the letters after the edge's mark.
local claim, edges, outbox, ledger = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local progress = redis.call('HGET', edges, ARGV[1]) or ''
local holder = redis.call('GET', claim)
if holder and holder ~= ARGV[2] then
  return { 'elsewhere', progress, '', 0, '', {} }
end
redis.call('SET', claim, ARGV[2], 'PX', ARGV[3])
local incarnation, sequence = unpack(redis.call('HMGET', ledger, 'i', 's'))
if not (incarnation and sequence) then
  return { 'no ledger', progress, '', 0, '', {} }
end
if redis.call('EXISTS', outbox) == 0 then
  redis.call('XADD', outbox, '*', 'o', '1') -- from now on, whoever purges adds to it
end
redis.call('PEXPIRE', outbox, ARGV[5])
redis.call('PEXPIRE', edges, ARGV[5])
local last = redis.call('XREVRANGE', outbox, '+', '-', 'COUNT', 1)[1]
local mark = string.match(progress, '^(%d+%-%d+) ')
local letters = {}
if mark and tonumber(ARGV[4]) > 0 then
  local read = redis.call('XREAD', 'COUNT', ARGV[4], 'STREAMS', outbox, mark)
  for _, entry in ipairs(read and read[1][2] or {}) do
    local fields = entry[2]
    if fields[1] == 'e' then
      letters[#letters + 1] = { entry[1], fields[2], fields[4] }
    end
  end
end
return { 'here', progress, incarnation, tonumber(sequence), last and last[1] or '0-0', letters }
