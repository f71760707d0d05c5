-- Look for requests to make the read model anew, and make one if asked to, or if a server is another than before.
-- KEYS: rebuild.   ARGV: the time in ms, 'request' or '', then the replication id of each server.
-- A request's number is the time or more, so that it grows also when earlier ones are forgotten.
local MOST = 256  -- replication ids remembered; those noticed longest ago go
local key = KEYS[1]
local first = redis.call('HEXISTS', key, 'watched') == 0
local strangers = {}
for i = 3, #ARGV do
    if redis.call('HEXISTS', key, 'node:' .. ARGV[i]) == 0 then strangers[#strangers + 1] = 'node:' .. ARGV[i] end
end
local requested = tonumber(redis.call('HGET', key, 'requested') or 0)
if ARGV[2] == 'request' or #strangers > 0 then
    local refused = forbidden('HSET', key, 0, 0) or forbidden('HGETALL', key) or forbidden('HDEL', key, 0)
    if refused then return refused end
    requested = math.max(requested + 1, tonumber(ARGV[1]))
    local number = string.format('%.0f', requested)
    redis.call('HSET', key, 'requested', number)
    for _, field in ipairs(strangers) do redis.call('HSET', key, field, number, 'watched', '1') end
    local known = {}
    local fields = redis.call('HGETALL', key)
    for i = 1, #fields, 2 do
        if string.sub(fields[i], 1, 5) == 'node:' then known[#known + 1] = {tonumber(fields[i + 1]), fields[i]} end
    end
    table.sort(known, function(a, b) return a[1] < b[1] end)
    for i = 1, #known - MOST do redis.call('HDEL', key, known[i][2]) end
end
return {'ok', string.format('%.0f', requested), #strangers, first and 1 or 0}
