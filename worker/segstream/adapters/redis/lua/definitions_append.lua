-- Add a definitions version unless the latest says the same.
-- KEYS: definitions.   ARGV: content hash, JSON of the version, 'first' to add to an empty log only or ''.
local found = redis.call('HMGET', KEYS[1], 'latest', 'content_hash')
local latest = tonumber(found[1] or 0)
if latest > 0 and (found[2] == ARGV[1] or ARGV[3] == 'first') then return {'ok', latest} end
latest = latest + 1
redis.call('HSET', KEYS[1], 'latest', latest, 'content_hash', ARGV[1], 'version:' .. latest, ARGV[2])
return {'ok', latest}
