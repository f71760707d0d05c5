-- Return the definitions versions after one: number, JSON, number, JSON, ...
-- KEYS: definitions.   ARGV: the last version known.
local found = {'ok'}
for number = tonumber(ARGV[1]) + 1, tonumber(redis.call('HGET', KEYS[1], 'latest') or 0) do
    found[#found + 1] = number
    found[#found + 1] = redis.call('HGET', KEYS[1], 'version:' .. number)
end
return found
