-- Purges surrogate keys that nobody has purged before, PURGE_TAGS in each call.
local threads = 0
function setup(thread)
  thread:set("id", threads)
  threads = threads + 1
end
function init()
  asked = 0
  tags = tonumber(os.getenv("PURGE_TAGS"))
  prefix = os.time() .. "-" .. id .. "-"
  fields = { ["authorization"] = "Bearer " .. os.getenv("PURGE_TOKEN"), ["content-type"] = "application/json" }
end
function request()
  local keys = {}
  for n = 1, tags do
    asked = asked + 1
    keys[n] = '"product:' .. prefix .. asked .. '"'
  end
  return wrk.format("POST", "/.terrace/purge", fields, '{"surrogate_keys":[' .. table.concat(keys, ",") .. "]}")
end
