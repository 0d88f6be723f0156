-- At most ARGV[1] hits in any ARGV[2] ms, in sub-buckets of a thirtieth that count until all of them is a window old:
-- a list of end, hits, end, hits … ARGV[3]: cost. ARGV[4]: '1' when refused requests count as well.
local max, window, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local key = KEYS[1]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local runs = redis.call('LRANGE', key, 0, -1)
local first, total = 1, 0
while runs[first] and now - tonumber(runs[first]) >= window do first = first + 2 end
if first > 1 then redis.call('LTRIM', key, first - 1, -1) end
local ends, hits = {}, {}
for at = first, #runs, 2 do
  ends[#ends + 1] = tonumber(runs[at])
  hits[#hits + 1] = tonumber(runs[at + 1])
  total = total + hits[#hits]
end
local allowed = total + cost <= max
if cost > 0 and (allowed or ARGV[4] == '1') then
  local bucket = math.ceil(window / 30)
  local ending = (math.floor(now / bucket) + 1) * bucket - 1
  total = total + cost
  if #ends > 0 and ending <= ends[#ends] then
    hits[#hits] = hits[#hits] + cost
    redis.call('LSET', key, -1, string.format('%.0f', hits[#hits]))
  else
    ends[#ends + 1], hits[#hits + 1] = ending, cost
    redis.call('RPUSH', key, string.format('%.0f', ending), string.format('%.0f', cost))
  end
  if total > max then
    -- Only the newest ones decide; what is beyond them would but grow.
    local beyond = total - max
    total = max
    local kept = {}
    for at = 1, #ends do
      local less = math.min(hits[at], beyond)
      beyond = beyond - less
      hits[at] = hits[at] - less
      if hits[at] > 0 then
        kept[#kept + 1] = string.format('%.0f', ends[at])
        kept[#kept + 1] = string.format('%.0f', hits[at])
      end
    end
    redis.call('DEL', key)
    redis.call('RPUSH', key, unpack(kept))
  end
  redis.call('PEXPIRE', key, ends[#ends] + window - now)
end
local function freed(units)
  for at = 1, #ends do
    units = units - hits[at]
    if units <= 0 then return ends[at] + window - now end
  end
  return window
end
local remaining = math.max(max - total, 0)
local reset = 0
if not allowed then reset = freed(total + math.max(cost, 1) - max)
elseif remaining == 0 then reset = freed(1)
elseif total > 0 then reset = ends[#ends] + window - now end
return {allowed and 1 or 0, remaining, math.max(reset, 0)}
