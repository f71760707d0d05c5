-- Begin a partition anew: replace its meta (but the epoch and the owners), and empty its timers, outbox and users.
-- KEYS: meta, timers, outbox, users.
-- ARGV: epoch, revision expected, revision, incarnation, the owner's name, then fields of meta (name, value).
-- What adds comes first: if Redis refuses it, nothing has been removed.
local meta = KEYS[1]
local found = redis.call('HMGET', meta, 'epoch', 'revision', 'owner')
local epoch, revision = tonumber(found[1] or 0), tonumber(found[2] or 0)
if epoch > tonumber(ARGV[1]) or (epoch == tonumber(ARGV[1]) and found[3] ~= ARGV[5]) then
    return {'fenced', tostring(epoch)}
end
if epoch < tonumber(ARGV[1]) or revision ~= tonumber(ARGV[2]) then
    return {'lost', tostring(epoch), tostring(revision)}
end

local refused = forbidden('HSET', meta, 0, 0) or forbidden('HKEYS', meta) or forbidden('HDEL', meta, 0)
    or forbidden('UNLINK', KEYS[2])
if refused then return refused end

local kept = {epoch = true, owner = true, owners = true, revision = true, incarnation = true}
redis.call('HSET', meta, 'revision', ARGV[3], 'incarnation', ARGV[4])
for i = 6, #ARGV, 2 do
    redis.call('HSET', meta, ARGV[i], ARGV[i + 1])
    kept[ARGV[i]] = true
end
for _, field in ipairs(redis.call('HKEYS', meta)) do
    if not kept[field] then redis.call('HDEL', meta, field) end
end
redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[4])
return {'ok'}
