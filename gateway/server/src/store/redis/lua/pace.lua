-- GCRA. ARGV: ns between two, burst, cost, window in ms. The key holds when all that came would have come evenly:
-- seconds and nanoseconds apart, since together they do not fit a double.
local interval, burst, cost, window = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local key = KEYS[1]
local time = redis.call('TIME')
local s, n = tonumber(time[1]), tonumber(time[2]) * 1000
local ahead = 0
local known = redis.call('GET', key)
if known then
  local ks, kn = string.match(known, '^(%d+) (%d+)$')
  ahead = math.max((ks - s) * 1000000000 + (kn - n), 0)
end
local asked = math.max(cost, 1)
local wait = ahead + asked * interval - burst * interval
local allowed = asked <= burst and wait <= 0
if allowed and cost > 0 then
  ahead = ahead + cost * interval
  local at = n + ahead
  redis.call('SET', key, string.format('%.0f %.0f', s + math.floor(at / 1000000000), at % 1000000000),
    'PX', string.format('%.0f', math.ceil(ahead / 1000000) + 1))
end
local remaining = math.max(burst - math.ceil(ahead / interval), 0)
local reset = 0
if not allowed then reset = asked > burst and window or math.ceil(wait / 1000000)
elseif remaining == 0 then reset = math.ceil((ahead - (burst - 1) * interval) / 1000000)
else reset = math.ceil(ahead / 1000000) end
return {allowed and 1 or 0, remaining, math.max(reset, 0)}
