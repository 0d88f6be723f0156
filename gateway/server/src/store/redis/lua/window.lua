-- At most ARGV[1] hits in any ARGV[2] ms, exactly: a list of the times of the hits that still count.
-- ARGV[3]: cost. ARGV[4]: '1' when refused requests count as well.
local max, window, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local key = KEYS[1]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
-- A clock that goes back (another primary) makes nothing older.
local newest = tonumber(redis.call('LINDEX', key, -1)) or 0
if newest > now then now = newest end
local total = redis.call('LLEN', key)
local gone = 0
while gone < total and now - tonumber(redis.call('LINDEX', key, gone)) >= window do gone = gone + 1 end
if gone > 0 then
  redis.call('LTRIM', key, gone, -1)
  total = total - gone
end
local allowed = total + cost <= max
if cost > 0 and (allowed or ARGV[4] == '1') then
  local hit = string.format('%.0f', now)
  for _ = 1, math.min(cost, max) do redis.call('RPUSH', key, hit) end
  total = total + math.min(cost, max)
  if total > max then
    redis.call('LTRIM', key, -max, -1)
    total = max
  end
  newest = now
  redis.call('PEXPIRE', key, window)
end
local function freed(units)
  local at = redis.call('LINDEX', key, units - 1)
  if not at then return window end
  return tonumber(at) + window - now
end
local remaining = math.max(max - total, 0)
local reset = 0
if not allowed then reset = freed(total + math.max(cost, 1) - max)
elseif remaining == 0 then reset = freed(1)
elseif total > 0 then reset = newest + window - now end
return {allowed and 1 or 0, remaining, math.max(reset, 0)}
