-- Write the catalog whole, unless a later definitions version wrote it.
-- KEYS: the catalog.   ARGV: definitions version, then fields and values.
local there = tonumber(redis.call('HGET', KEYS[1], 'definitions_version') or 0)
if there > tonumber(ARGV[1]) then return {'ok'} end
local refused = forbidden('DEL', KEYS[1]) or forbidden('HSET', KEYS[1], 0, 0)
if refused then return refused end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'definitions_version', ARGV[1])
for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
return {'ok'}
