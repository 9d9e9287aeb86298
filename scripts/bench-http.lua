-- What wrk sends in bench-http: `lines` messages a request, each of about 200 bytes of text and unlike all others.
local started = 0

function setup(thread)
   thread:set("worker", started)
   started = started + 1
end

local THREADS = 16
local FILLER = (" what was said before is found again by what it meant, not by how it was put"):rep(3):sub(1, 176)

local path, media_type, parts, stamps
local sent = 0

function init(args)
   local lines = tonumber(args[1])
   path = "/v1/messages"
   media_type = lines == 1 and "application/json" or "application/x-ndjson"
   parts, stamps = {}, {}
   for line = 1, lines do
      local thread = (worker * 7 + line) % THREADS
      parts[#parts + 1] = ('{"thread":"thread-%02d","author":"bench","text":"%04d-%05d-'):format(thread, worker, line)
      stamps[line] = #parts + 1
      parts[#parts + 1] = ("%010d"):format(0)
      parts[#parts + 1] = FILLER .. (lines == 1 and '"}' or '"}\n')
   end
   head = ("POST %s HTTP/1.1\r\nhost: bench\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n"):format(
      path, media_type, #table.concat(parts))
end

function request()
   sent = sent + 1
   local stamp = ("%010d"):format(sent)
   for line = 1, #stamps do
      parts[stamps[line]] = stamp
   end
   if #stamps == 1 then
      parts[1] = ('{"thread":"thread-%02d","author":"bench","text":"%04d-%05d-'):format(sent % THREADS, worker, 1)
   end
   return head .. table.concat(parts)
end

function done(summary, latency)
   local errors = summary.errors
   local failed = errors.connect + errors.read + errors.write + errors.timeout
   io.write(("figures requests=%d refused=%d failed=%d seconds=%.3f p50_ms=%.2f p99_ms=%.2f max_ms=%.2f\n"):format(
      summary.requests, errors.status, failed, summary.duration / 1e6,
      latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end
