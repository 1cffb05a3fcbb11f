-- Asks for a path that nobody has asked for before, each time.
local threads = 0
function setup(thread)
  thread:set("id", threads)
  threads = threads + 1
end
function init()
  asked = 0
  prefix = "/1k/" .. os.time() .. "/" .. id .. "/"
end
function request()
  asked = asked + 1
  return wrk.format("GET", prefix .. asked)
end
