-- The list of bans, if it is another than that of version ARGV[1]: version, then key and ms left of each.
local version = redis.call('GET', KEYS[2]) or '0'
if version == ARGV[1] then return {version} end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
local found = {version}
local all = redis.call('ZRANGE', KEYS[1], 0, 99999, 'WITHSCORES')
for at = 1, #all, 2 do
  found[#found + 1] = all[at]
  found[#found + 1] = string.format('%.0f', tonumber(all[at + 1]) - now)
end
return found
