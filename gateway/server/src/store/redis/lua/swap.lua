-- Puts ARGV[3] for ARGV[2] ms ('-1': nothing) where what is expected is; 1 when it was.
-- ARGV[1]: '0' nothing, '1' exactly ARGV[4], '2' what begins with ARGV[4] or one of those after it.
local is = redis.call('GET', KEYS[1])
local as = false
if ARGV[1] == '0' then as = not is
elseif ARGV[1] == '1' then as = is == ARGV[4]
elseif is then
  for at = 4, #ARGV do
    if string.sub(is, 1, #ARGV[at]) == ARGV[at] then as = true end
  end
end
if not as then return 0 end
if ARGV[2] == '-1' then redis.call('DEL', KEYS[1])
else redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[2]) end
return 1
