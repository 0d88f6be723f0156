-- Keeps the place ARGV[2] for ARGV[1] ms more; one that expired while nobody could say so is taken again.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[1])), ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
