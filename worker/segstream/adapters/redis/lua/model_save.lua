-- Keep a model's learning state and, with a number, the snapshot offered; under its trainer's epoch only.
-- KEYS: the model.   ARGV: trainer epoch, learning state, snapshots to keep, and for an offer number and snapshot.
local found = redis.call('HMGET', KEYS[1], 'trainer_epoch', 'number')
local epoch, latest = tonumber(found[1] or 0), tonumber(found[2] or 0)
if epoch > tonumber(ARGV[1]) then return {'fenced', tostring(epoch)} end
local number = tonumber(ARGV[4])
if epoch < tonumber(ARGV[1]) or (number and number <= latest) then
    return {'lost', tostring(epoch), tostring(latest)}
end
local refused = forbidden('HSET', KEYS[1], 0, 0) or number and (forbidden('HKEYS', KEYS[1]) or forbidden('HDEL', KEYS[1], 0))
if refused then return refused end
redis.call('HSET', KEYS[1], 'learning', ARGV[2])
if number then
    redis.call('HSET', KEYS[1], 'number', ARGV[4], 'snapshot:' .. ARGV[4], ARGV[5])
    for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
        local old = tonumber(string.match(field, '^snapshot:(%d+)$'))
        if old and old <= number - tonumber(ARGV[3]) then redis.call('HDEL', KEYS[1], field) end
    end
end
return {'ok'}
