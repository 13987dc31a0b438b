-- wrk's half of the load: sends requests that were prepared and signed beforehand, each once, and writes every 200's
-- body down for the ledger. Arguments: file of requests, bytes of each, file for the answers, mean pause between an
-- answer and the connection's next request in ms (0 for none).

local requests, request_bytes, answers, last, pause_ms

function init(args)
  requests = assert(io.open(args[1], "rb"))
  request_bytes = tonumber(args[2])
  answers = assert(io.open(args[3], "wb"))
  answers:setvbuf("full", 1048576)
  pause_ms = tonumber(args[4])
  math.randomseed(1)
  if pause_ms == 0 then
    delay = nil
  end
end

function request()
  local one = requests:read(request_bytes)
  if one == nil then
    wrk.thread:stop()
    return last
  end
  last = one
  return one
end

function response(status, headers, body)
  if status == 200 then
    answers:write(body, "\n")
  end
end

-- Exponential, so that requests come as from many senders that know nothing of each other.
function delay()
  return -pause_ms * math.log(1 - math.random())
end
