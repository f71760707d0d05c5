-- Add a definitions version unless the latest says the same.
-- KEYS: definitions.   ARGV: content hash, JSON of the version, the number that must be the latest or -1.
local found = redis.call('HMGET', KEYS[1], 'latest', 'content_hash')
local latest, after = tonumber(found[1] or 0), tonumber(ARGV[3])
if latest > 0 and found[2] == ARGV[1] or after >= 0 and after ~= latest then return {'ok', latest} end
latest = latest + 1
redis.call('HSET', KEYS[1], 'latest', latest, 'content_hash', ARGV[1], 'version:' .. latest, ARGV[2])
return {'ok', latest}
